"""Families of the user's own: the record of `families.record` from a density, a table of parameters and plain words."""

import inspect
import keyword
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hierbayes.compiling import Deferred
from hierbayes.errors import UnsupportedError
from hierbayes.families.record import (
    ABOVE_ZERO,
    COUNT,
    NUMBER_LINKS,
    OWN_LINKS,
    REAL,
    SUCCESSES,
    UNIT_LINKS,
    Array,
    Family,
    Parameter,
    Support,
    first_value,
)
from hierbayes.kinds import NUMBER, POSITIVE, PROBABILITY, Kind, ParameterValues
from hierbayes.priors import Prior, parse_prior

UNIT = Support("a number strictly between 0 and 1", lambda y, trials: (y > 0) & (y < 1))
NONNEGATIVE = Support("a finite number, 0 or more", lambda y, trials: np.isfinite(y) & (y >= 0))
BINARY = Support("0 or 1", lambda y, trials: (y == 0) | (y == 1), whole=True, two_levels=True)
SUPPORTS = {
    "number": REAL,
    "positive": ABOVE_ZERO,
    "nonnegative": NONNEGATIVE,
    "share": UNIT,
    "count": COUNT,
    "successes": SUCCESSES,
    "binary": BINARY,
}
# Of each kind: its links, the default first; a default prior of its value; a typical value.
KINDS: dict[str, tuple[Kind, tuple[str, ...], Prior, float]] = {
    "number": (NUMBER, NUMBER_LINKS, Prior("StudentT", nu=3.0, mu=0.0, sigma=2.5), 0.0),
    "positive": (
        POSITIVE,
        (*OWN_LINKS, "inverse", "sqrt", "1/mu^2", "logm1"),
        Prior("LogNormal", mu=0.0, sigma=1.0),
        1.0,
    ),
    "probability": (PROBABILITY, UNIT_LINKS, Prior("Beta", alpha=1.0, beta=1.0), 0.5),
}


def parameter(
    kind: str,
    *,
    link: str | None = None,
    prior: str | Prior | Callable[[float], Prior] | None = None,
    typical: float | None = None,
    words: str = "",
) -> Parameter:
    """A parameter of a family of your own: see `custom_family`.

    Parameters
    ----------
    kind : {"number", "positive", "probability"}
        Which values it may have.
    link : str, optional
        The link of its formula unless a model chooses another; identity, log and logit by kind.
    prior : str, Prior or callable, optional
        The default prior of its value where it has no formula; or ``prior(spread)`` of the response's standard
        deviation. By kind: StudentT(3, 0, 2.5), LogNormal(0, 1), Beta(1, 1). The first parameter always has a formula.
    typical : float, optional
        A typical value, where the default prior of its formula's intercept is centred; 0, 1 and 0.5 by kind.
    words : str
        What it is, for printing.

    Examples
    --------
    >>> import hierbayes as hb
    >>> hb.parameter("positive", prior="Exponential(1)").links[:2]
    ('log', 'identity')
    """
    if kind not in KINDS:
        raise UnsupportedError(f"there is no kind of parameter {kind!r}; there are {', '.join(KINDS)}")
    found, links, default, middle = KINDS[kind]
    if link is not None and link not in links:
        raise UnsupportedError(f"a {kind} has no link {link!r}; its links are {', '.join(links)}")
    ordered = links if link is None else (link, *(other for other in links if other != link))
    value = middle if typical is None else float(typical)
    if callable(prior):
        return Parameter("", found, ordered, words, prior, lambda spread: value)
    chosen = default if prior is None else parse_prior(prior)
    return Parameter("", found, ordered, words, lambda spread: chosen, lambda spread: value)


def custom_family(
    name: str,
    parameters: Mapping[str, Parameter | str],
    support: str | Support,
    *,
    row: Callable[..., Any] | None = None,
    distribution: Callable[..., tuple[Any, dict[str, Any]]] | None = None,
    simulate: Callable[..., Array] | None = None,
    mean: str | Callable[..., Array] | None = None,
    variance: Callable[..., Array] | None = None,
    cdf: Callable[..., Array] | None = None,
    of_y_alone: Callable[..., Array] | None = None,
    equation: str = "",
) -> Family:
    """A response distribution of your own, for ``family=`` of `Model`, `fit`, `simulate` and `load`.

    Its density is a row function, with which strategy ``"whitened"`` draws, or a distribution of PyMC's, with which
    ``"nuts"`` does; with both `check_family` compares them. All functions are given the parameters by name, in the form
    of their kind: ``mu.value``, a positive one's ``shape.log``, a probability's ``mu.p, mu.q, mu.log_p, mu.log_q``.

    Parameters
    ----------
    name : str
        Of letters, digits and underscores; no name of a family that is here already.
    parameters : mapping of str to Parameter or str
        Of each name what `parameter` says, or its kind alone. The first is what a bare formula is about.
    support : {"number", "positive", "nonnegative", "share", "count", "successes", "binary"} or Support
        Where responses may lie; of "successes" the formula states ``trials(n)``, which functions get after `y`.
    row : callable, optional
        ``row(y, [trials,] *parameters)``: the log density of one row and its derivatives in the parameters' inner
        coordinates (a number, the logarithm of a positive one, the log odds of a probability), as a tuple of numbers.
        It is compiled by numba; what it calls must be numba's too, or marked by `row_function`. Derivatives are never
        left to differences: where you have none, leave `row` out.
    distribution : callable, optional
        ``distribution(pm, [trials,] **parameters)``: PyMC's distribution and its arguments, such as
        ``(pm.Gamma, {"alpha": shape.value, "beta": shape.value / mu.value})``; with functions of ``mu.m``.
    simulate : callable, optional
        ``simulate(rng, [trials,] **parameters)``: an array of responses, one for each entry. PyMC draws them otherwise,
        which is slower.
    mean : str or callable, optional
        ``mean(**parameters)``: the expected response (of successes per trial); or the first parameter's name where
        that is it.
    variance, cdf : callable, optional
        ``variance(**parameters)`` and ``cdf(y, [trials,] **parameters)``. What needs one that is not there refuses.
    of_y_alone : callable, optional
        ``of_y_alone(y, [trials])``: what `row` leaves out because it depends on the response alone.
    equation : str
        The distribution as it is printed.

    Returns
    -------
    Family

    Examples
    --------
    >>> import hierbayes as hb
    >>> laplace = hb.custom_family(
    ...     "laplace",
    ...     {"mu": "number", "b": hb.parameter("positive", prior="Exponential(1)")},
    ...     "number",
    ...     distribution=lambda pm, mu, b: (pm.Laplace, {"mu": mu.value, "b": b.value}),
    ...     mean="mu",
    ... )
    >>> data = {"y": [0.1, 0.4, 2.0, 1.1], "x": [0.0, 1.0, 2.0, 3.0]}
    >>> print(hb.Model("y ~ x", data, family=laplace))  # doctest: +ELLIPSIS
    Formula: y ~ x
    ...
    """
    _check_name(name)
    described = tuple(_named(name, key, given) for key, given in parameters.items())
    found = _support(name, support)
    if not described:
        raise UnsupportedError(f"family {name!r} has no parameters; name at least one")
    if row is None and distribution is None:
        raise UnsupportedError(f"family {name!r} has no density: give it a row function or a distribution")
    first = described[0]
    if first.kind is PROBABILITY and found not in (UNIT, SUCCESSES, BINARY):
        raise UnsupportedError(
            f"the first parameter of family {name!r}, {first.name}, is a probability, which default priors place by "
            "the mean of shares, successes or zeros and ones; make a number or a positive one the first"
        )
    trials = ["trials"] if found is SUCCESSES else []
    names = [one.name for one in described]
    if row is not None:
        _check_takes(name, "row", _python(row), ["y", *trials, *names], exact=True)
    for word, function, given in (
        ("distribution", distribution, ["pm", *trials]),
        ("simulate", simulate, ["rng", *trials]),
        ("mean", mean if callable(mean) else None, []),
        ("variance", variance, []),
        ("cdf", cdf, ["y", *trials]),
    ):
        if function is not None:
            _check_takes(name, word, function, [*given, *names], exact=False)
    if isinstance(mean, str) and mean != first.name:
        raise UnsupportedError(
            f"mean={mean!r} of family {name!r}: only the first parameter, {first.name!r}, may be the mean by its name; "
            "give a function for another"
        )
    return Family(
        name,
        parameters=described,
        support=found,
        row=None if row is None else Deferred(_python(row), within=True, stored=False),
        graph=distribution,
        simulate=simulate or _by_pymc(name, distribution),
        equation=equation or f"{name}({', '.join(names)})",
        of_y_alone=of_y_alone or (lambda y, *trials: np.zeros(np.shape(y))),
        mean=first_value if isinstance(mean, str) else mean,
        variance=variance,
        cdf=cdf,
        needs_trials=bool(trials),
        has_variance=variance is not None and mean is not None,
        mean_of="value" if isinstance(mean, str) else "other",
        own_in_mean=() if isinstance(mean, str) else tuple(names[1:]),
    )


def row_function(function: Callable[..., Any]) -> Deferred:
    """Mark a function that a row function of your own calls: numba compiles it when it is first needed.

    Examples
    --------
    >>> import hierbayes as hb
    >>> @hb.row_function
    ... def square(x):
    ...     return x * x
    >>> square(3.0)
    9.0
    """
    return Deferred(function, within=True, stored=False)


def _check_name(name: str) -> None:
    from hierbayes.families.registry import FAMILIES

    if not name.isidentifier() or keyword.iskeyword(name):
        raise UnsupportedError(
            f"{name!r} is no name of a family: take letters, digits and underscores, such as 'my_family'"
        )
    if name in FAMILIES:
        raise UnsupportedError(
            f"there is a family {name!r} already; give yours another name, such as 'my_{name}'"
        )


def _named(family: str, name: str, given: Parameter | str) -> Parameter:
    taken = ("y", "trials", "pm", "rng", "once", "value", "t", "out", "n", "i", "J")
    if not name.isidentifier() or keyword.iskeyword(name) or name in taken:
        raise UnsupportedError(
            f"family {family!r} cannot have a parameter called {name!r}; take another name of letters and digits"
        )
    found = parameter(given) if isinstance(given, str) else given
    return replace(found, name=name, words=found.words or name)


def _support(name: str, support: str | Support) -> Support:
    if isinstance(support, Support):
        return support
    if support not in SUPPORTS:
        raise UnsupportedError(
            f"support={support!r} of family {name!r} is none of {', '.join(SUPPORTS)}; another is a "
            "hierbayes.families.Support"
        )
    return SUPPORTS[support]


def _python(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is written, of one that numba or we have wrapped."""
    if isinstance(function, Deferred):
        return function.function
    return getattr(function, "py_func", function)


def _check_takes(
    family: str, word: str, function: Callable[..., Any], names: list[str], *, exact: bool
) -> None:
    """Refuse a function that cannot be called with these names; `exact`: in this order."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*names) if exact else signature.bind(*names[:1], **dict.fromkeys(names[1:]))
        right = not exact or list(bound.arguments) == names
    except TypeError:
        right = not exact and _takes_some_by_place(signature, names)
    if not right:
        raise UnsupportedError(
            f"{word} of family {family!r} takes {signature}; it is to take ({', '.join(names)})"
        )


def _takes_some_by_place(signature: inspect.Signature, names: list[str]) -> bool:
    """Whether it can be called with ``trials`` by its place under another name, and parameters by their names."""
    places = [place for place, name in enumerate(names) if name == "trials"]
    if not places:
        return False
    try:
        signature.bind(*names[: places[0] + 1], **dict.fromkeys(names[places[0] + 1 :]))
    except TypeError:
        return False
    return True


def _by_pymc(
    name: str, distribution: Callable[..., tuple[Any, dict[str, Any]]] | None
) -> Callable[..., Array]:
    """Responses drawn by PyMC's distribution."""

    def simulate(rng: np.random.Generator, *trials: Any, **parameters: ParameterValues) -> Array:
        if distribution is None:
            raise UnsupportedError(
                f"family {name!r} cannot be simulated: give custom_family simulate=, or a distribution of PyMC's"
            )
        import pymc as pm
        import pytensor.tensor as pt

        from hierbayes.tensormath import tensor_math

        shape = np.broadcast_shapes(
            *(np.shape(values.eta) for values in parameters.values()), *map(np.shape, trials)
        )
        math = tensor_math(pm)
        given = {
            key: values.kind.under(
                values.link, pt.as_tensor(np.broadcast_to(np.asarray(values.eta, np.float64), shape)), math
            )
            for key, values in parameters.items()
        }
        counts = [pt.as_tensor(np.broadcast_to(np.asarray(n, np.int64), shape)) for n in trials]
        kind, arguments = distribution(pm, *counts, **given)
        return np.asarray(pm.draw(kind.dist(**arguments), random_seed=rng), np.float64).reshape(shape)

    return simulate
