"""The table of families, and a family by its name: every module here that has a record, `FAMILY`."""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from hierbayes.errors import UnsupportedError
from hierbayes.families.record import Family
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
    **dict.fromkeys(
        ("cox", "survival"),
        "times, censored too, are 'weibull', 'lognormal' or 'exponential': time | cens(status)",
    ),
    "multinomial": "'categorical' is for one choice a row; brms and Bambi have counts of several",
    "dirichlet": "brms and Bambi have it",
    "logistic": "for a yes/no response take 'bernoulli'",
    "quasi": "for counts that vary more than a Poisson's take 'negbinomial', for proportions 'betabinomial'",
    "compois": "glmmTMB has it",
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
    aliases = {"normal": "gaussian", "t": "student", "binary": "bernoulli", "negativebinomial": "negbinomial"}
    key = re.sub(r"[\s_.-]", "", str(name)).lower()
    spelt = {family.replace("_", ""): family for family in FAMILIES}
    family = FAMILIES.get(spelt.get(aliases.get(key, key), ""))
    if family is None:
        near = meant(key, FAMILIES, 0.8)
        hint = f"; did you mean {' or '.join(near)}? " if near else "; "
        hint = next((f"; {way}; " for word, way in ELSEWHERE.items() if word in key), hint)
        raise UnsupportedError(f"there is no family {name!r}{hint}the families are {', '.join(FAMILIES)}")
    return family.under(link)
