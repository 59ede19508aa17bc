"""The table of families, and a family by its name: every module here that has a record, `FAMILY`."""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from hierbayes.errors import UnsupportedError
from hierbayes.families.mixtures import mixed
from hierbayes.families.record import Family
from hierbayes.families.with_zeros import hurdle as with_hurdle
from hierbayes.families.with_zeros import zero_inflated as with_zeros_mixed_in
from hierbayes.spelling import meant

type Links = str | Mapping[str, str] | None  # the first parameter's link, or links by parameter


def _found() -> list[Family]:
    modules = (
        import_module(f"hierbayes.families.{path.stem}") for path in Path(__file__).parent.glob("[!_]*.py")
    )
    families = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return sorted(families, key=lambda family: (family.place, family.name))


FAMILIES: dict[str, Family] = {family.name: family for family in _found()}

# What a name that is no family's asks for, by a part of it, and what does it.
ELSEWHERE = {
    **dict.fromkeys(
        ("ordinal", "ordered", "polr", "clm"),
        "'cumulative' is for categories in an order, as are 'sratio', 'cratio' and 'acat'",
    ),
    **dict.fromkeys(
        ("zip", "zinb"), "counts with more zeros are 'zero_inflated_poisson' and 'zero_inflated_negbinomial'"
    ),
    "survival": "times, censored too, are 'cox', 'weibull', 'lognormal' or 'exponential': time | cens(status)",
    "logistic": "for a yes/no response take 'bernoulli'",
    "quasi": "for counts that vary more than a Poisson's take 'negbinomial', for proportions 'betabinomial'",
    **dict.fromkeys(
        ("com_poisson", "compoisson", "conway"),
        "'compois' is the Conway–Maxwell–Poisson distribution by its mean",
    ),
    "laplace": "'asym_laplace' with the prior quantile = Fixed(0.5) is Laplace's",
}


def get_family(name: str | Family, link: Links = None) -> tuple[Family, dict[str, str]]:
    """The family of that name, with the link of each of its parameters: the one asked for, or its default.

    Parameters
    ----------
    name : str or Family
        A family of the user's own is its record.
    link : str, mapping of str to str, or None
        A text is the link of the first parameter; a mapping has one a parameter.

    Raises
    ------
    UnsupportedError
        For a family or a link that is not offered; the message lists those that are.

    Examples
    --------
    >>> family, links = get_family("negbinomial", {"shape": "identity"})
    >>> family.name, links
    ('negbinomial', {'mu': 'log', 'shape': 'identity'})
    """
    if isinstance(name, Family):
        return name.under(link)
    parts = re.fullmatch(r"\s*mixture\((.*)\)\s*", str(name))
    if parts:
        return mixture(*parts[1].split(",")).under(link)
    aliases = {"normal": "gaussian", "t": "student", "binary": "bernoulli", "negativebinomial": "negbinomial"}
    key = re.sub(r"[\s_.-]", "", str(name)).lower()
    family = _here(aliases.get(key, key)) or _with_zeros(key)
    if family is None:
        near = meant(key, FAMILIES, 0.8)
        hint = f"; did you mean {' or '.join(near)}? " if near else "; "
        hint = next((f"; {way}; " for word, way in ELSEWHERE.items() if word in key), hint)
        raise UnsupportedError(f"there is no family {name!r}{hint}the families are {', '.join(FAMILIES)}")
    return family.under(link)


def is_known(name: str) -> bool:
    """Whether a name alone says which family it is."""
    try:
        get_family(name)
    except UnsupportedError:
        return False
    return True


def mixture(*components: str | Family) -> Family:
    """Responses that are each of one of several distributions, which is not known: brms's ``mixture``.

    Parameters are those of all with a 1, a 2, … behind, and ``theta2``, the probability of the second: ``mu1, mu2,
    sigma1, sigma2, theta2`` of two normal distributions. Of three, ``theta2`` is the probability of the second among
    the first two, and ``theta3`` that of the third; and so on. A bare formula is that of ``mu1``, ``mu2``, …; each of
    the parameters may have its own: ``{"mu": "y ~ x", "mu2": "~ 1", "theta2": "~ z"}``.

    Parameters
    ----------
    *components : str or Family
        Two names of families and more, or families of your own, for responses of the same support.

    Returns
    -------
    Family
        For ``family=`` of `Model` and `fit`, which take its name too: ``"mixture(gaussian, gaussian)"``.

    Raises
    ------
    UnsupportedError
        For families of categories, and for those that are not densities of the same numbers.

    Notes
    -----
    Where all are of one family and have the same formulas and priors, nothing tells them apart, and the posterior has
    each mode once for every order of the labels. Then the order is that of the linear predictors of `mu`, at the
    predictors' means, from the smallest to the largest, in every draw. Priors or formulas that differ tell them apart,
    and nothing is exchanged.

    Examples
    --------
    >>> import hierbayes as hb
    >>> family = hb.mixture("gaussian", "gaussian")
    >>> [parameter.name for parameter in family.parameters]
    ['mu', 'mu1', 'mu2', 'sigma1', 'sigma2', 'theta2']
    """
    return mixed(*(get_family(part)[0] for part in components))


def zero_inflated(family: str | Family) -> Family:
    """A family of counts, or of successes, with zeros mixed in: 0 with probability `zi`, else a response of the family.

    Parameters
    ----------
    family : str or Family
        Counts, or successes out of trials, by name or of your own (`custom_family`), with a row function, a mean, a
        variance and a distribution function.

    Returns
    -------
    Family
        For ``family=`` of `Model` and `fit`, which take the name of one that is here too:
        ``"zero_inflated_geometric"``. The one of brms's name where there is one.

    Raises
    ------
    UnsupportedError
        For other responses, and a family that lacks one of these.

    Examples
    --------
    >>> import hierbayes as hb
    >>> [parameter.name for parameter in hb.zero_inflated("geometric").parameters]
    ['mu', 'zi']
    """
    base = get_family(family)[0]
    return _here(f"zero_inflated_{base.name}") or with_zeros_mixed_in(base)


def hurdle(family: str | Family) -> Family:
    """Zeros with probability `hu`, else a response of the family that is not 0.

    Parameters
    ----------
    family : str or Family
        Counts, of which the zeros are left out, or numbers above 0, by name or of your own (`custom_family`), with a
        row function, a mean, a variance and a distribution function.

    Returns
    -------
    Family
        For ``family=`` of `Model` and `fit`, which take the name of one that is here too: ``"hurdle_weibull"``. The
        one of brms's name where there is one.

    Raises
    ------
    UnsupportedError
        For other responses, and a family that lacks one of these.

    Examples
    --------
    >>> import hierbayes as hb
    >>> hb.hurdle("weibull").equation
    '0 with probability hu, else Weibull(shape, scale mu/Γ(1 + 1/shape))'
    """
    base = get_family(family)[0]
    return _here(f"hurdle_{base.name}") or with_hurdle(base)


def _here(name: str) -> Family | None:
    """The family of that name in the table, underscores aside."""
    return {known.replace("_", ""): family for known, family in FAMILIES.items()}.get(name.replace("_", ""))


def _with_zeros(key: str) -> Family | None:
    """The family of a name such as ``hurdle_weibull``, of one that is here."""
    for word, make in (("zeroinflated", zero_inflated), ("hurdle", hurdle)):
        base = _here(key.removeprefix(word)) if key.startswith(word) else None
        if base is not None:
            return make(base)
    return None
