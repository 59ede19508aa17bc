"""`zero_inflated` and `hurdle` of any family, a user's own included: see `families.zeros`."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from hierbayes.errors import UnsupportedError
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import Array, Family, Responses
from hierbayes.families.zeros import hurdle as with_hurdle
from hierbayes.families.zeros import zero_inflated as with_zeros_mixed_in
from hierbayes.kinds import ParameterValues

REJECTIONS = 30  # rounds of drawing zeros again, before probabilities are added up
HOME = {"__file__": __file__, "__name__": __name__}


@cache
def zero_inflated(base: Family) -> Family:
    """A family of counts, or of successes, with zeros mixed in: see `hierbayes.zero_inflated`."""
    if not base.support.counts:
        raise UnsupportedError(
            f"zeros are mixed into counts and successes, which have some of their own; a response of family "
            f"{base.name!r} is {base.support.words}. hurdle has zeros beside numbers above 0"
        )
    _check_complete(base, "zero_inflated")

    def graph(pm: Any, *trials: Any, zi: Any, **others: Any) -> tuple[Any, dict[str, Any]]:
        distribution, arguments = base.in_tensors(pm, *trials, **others)

        def log_density(y: Any, log_p: Any, log_q: Any, **given: Any) -> Any:
            pt = zi.m.arrays
            counted = log_q + pm.logp(distribution.dist(**given), y)
            return pt.switch(pt.eq(y, 0), pt.logaddexp(log_p, counted), counted)

        return ByDensity(pm, log_density), {"log_p": zi.log_p, "log_q": zi.log_q, **arguments}

    made = None if base.graph is None else graph
    return with_zeros_mixed_in(base, f"zero_inflated_{base.name}", HOME, made)


@cache
def hurdle(base: Family) -> Family:
    """Zeros with probability `hu`, else a response of the family that is not 0: see `hierbayes.hurdle`."""
    counts = base.support.counts and not base.needs_trials
    if not counts and (base.support.whole or not _is_above_zero(base)):
        raise UnsupportedError(
            f"a hurdle is for counts and for numbers above 0; a response of family {base.name!r} is "
            f"{base.support.words}"
        )
    _check_complete(base, "hurdle")

    def graph(pm: Any, hu: Any, **others: Any) -> tuple[Any, dict[str, Any]]:
        distribution, arguments = base.in_tensors(pm, **others)

        def log_density(y: Any, log_p: Any, log_q: Any, **given: Any) -> Any:
            pt, dist = hu.m.arrays, distribution.dist(**given)
            # in the place of a zero a response that has a density, so that its derivatives are numbers
            some = pm.logp(dist, pt.switch(pt.eq(y, 0), 1 if counts else 0.5, y))
            if counts:
                some = some - pt.log1mexp(pm.logp(dist, pt.zeros_like(y)))
            return pt.switch(pt.eq(y, 0), log_p, log_q + some)

        return ByDensity(pm, log_density), {"log_p": hu.log_p, "log_q": hu.log_q, **arguments}

    made = None if base.graph is None else graph
    positive = _positive(base) if counts else None
    return with_hurdle(base, f"hurdle_{base.name}", HOME, made, positive)


def _is_above_zero(base: Family) -> bool:
    """Whether responses are all numbers above 0 and no other."""
    y = np.array([-1.0, 0.0, 1e-3, 1.5, 1e3])
    return np.array_equal(base.support.contains(y, None), y > 0)


def _check_complete(base: Family, word: str) -> None:
    if base.components:
        raise UnsupportedError(
            f"{word} is of one distribution, and {base.name!r} of two; mix one that has the zeros"
        )
    names = ("row", "mean", "variance", "cdf")
    missing = [name for name in names if getattr(base, name) is None]
    taken = [one.name for one in base.parameters if one.name in ("zi", "hu")]
    if taken:
        raise UnsupportedError(f"family {base.name!r} has a probability of zeros already, {taken[0]}")
    if missing:
        raise UnsupportedError(
            f"{word} needs {', '.join(names[:-1])} and cdf of a family; {base.name!r} has no {missing[0]}"
        )


def _positive(base: Family) -> Callable[..., Array]:
    """Counts of a family that are not 0: drawn again while they are, then by adding up their probabilities."""

    def positive(rng: np.random.Generator, **parameters: ParameterValues) -> Array:
        y = np.asarray(base.simulate(rng, **parameters), np.float64)
        for _ in range(REJECTIONS):
            if (y > 0).all():
                return y
            y = np.where(y > 0, y, base.simulate(rng, **parameters))
        places = np.nonzero(y == 0)
        y[places] = _added_up(base, rng, _at(parameters, y.shape, places))
        return y

    return positive


def _at(
    parameters: Mapping[str, ParameterValues], shape: tuple[int, ...], places: tuple[Array, ...]
) -> dict[str, ParameterValues]:
    """The parameters at some places of an array of responses."""
    return {
        name: values.map(lambda eta: np.broadcast_to(eta, shape)[places])
        for name, values in parameters.items()
    }


def _added_up(base: Family, rng: np.random.Generator, parameters: Mapping[str, ParameterValues]) -> Array:
    """Counts above 0 where zeros are likely, so that they are small: by their probabilities, 1 first."""
    at = Responses(base, parameters)
    none = at.log_density(np.zeros(at.shape))
    left = rng.random(at.shape) * -np.expm1(none)
    y = np.ones(at.shape)
    while True:
        share = np.exp(at.log_density(y))
        going = (left > share) & (share > 0)
        if not going.any():
            return y
        left = np.where(going, left - share, 0.0)
        y = y + going
