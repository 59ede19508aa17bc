"""Where the variance of responses lies whose mean is an expression of parameters, ``nl()``, that vary by groups.

There is no linear predictor that is a sum of parts, so a factor's part is what the expected response varies by over its
effects, on whichever parameters these are, averaged over those of other factors: what two responses of a level share.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from hierbayes.answers.averaging import RULES, normal_nodes
from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import (
    CHUNK_ENTRIES,
    Request,
    choose_groups,
    gather_effects,
    joint_covariance,
    linear_predictor_of,
    mean_is_computed,
    values_at,
)
from hierbayes.answers.variance import Components
from hierbayes.data.design import Design
from hierbayes.data.factors import Factor
from hierbayes.data.latent import combined, triangular_root
from hierbayes.errors import UnsupportedError
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
type Varying = dict[str, list[Factor]]  # the grouping factors of each parameter
MOST_NUMBERS = 3  # that vary by a factor, or by all


def varies_in_numbers(spec: ModelSpec) -> bool:
    """Whether the mean is an expression of parameters that vary by groups."""
    return mean_is_computed(spec) and bool(_varying(spec))


def _varying(spec: ModelSpec, names: tuple[str, ...] | None = None) -> Varying:
    """The parameters of ``nl()`` that vary by the named grouping factors, all unless given."""
    assert spec.family.computed is not None, "asked only where the mean is an expression"
    found = {
        parameter: [f for f in layout.factors if names is None or f.name in names]
        for parameter, layout in spec.layout.predictors.items()
        if parameter in spec.family.computed.learnt
    }
    return {parameter: factors for parameter, factors in found.items() if factors}


def evaluations_of_numbers(spec: ModelSpec, design: Design) -> int:
    """About how many evaluations one draw of `nonlinear_components` takes."""
    names = tuple(dict.fromkeys(f.name for factors in _varying(spec).values() for f in factors))

    def points(some: tuple[str, ...]) -> int:
        numbers = min(len(_varying(spec, some)), MOST_NUMBERS)
        return int(RULES[numbers - 1][0] ** numbers) if numbers else 1

    pairs = [((name,), tuple(other for other in names if other != name)) for name in names]
    return sum(points(some) * points(others) for some, others in [*pairs, (names, ())]) * len(design)


def nonlinear_components(spec: ModelSpec, draws: Draws, design: Design, weights: Array) -> Components:
    """Components of the response, by integration over the effects: see `variance.response_components`.

    Raises
    ------
    UnsupportedError
        Where effects are not normal, where more than three parameters vary, and where a family has no mean.
    """
    whole = _varying(spec)
    _check(spec, whole)
    named = dict.fromkeys(f.name for factors in whole.values() for f in factors)
    levels = {f.name: f for factors in whole.values() for f in factors}
    shared = tuple(name for name in named if len(levels[name].levels) < len(design) or not levels[name].apart)
    subsets = {name: (name,) for name in shared} | ({"": shared} if len(shared) > 1 else {})
    share = weights / weights.sum()
    found = {key: np.zeros(len(draws)) for key in subsets}
    own, everything, mean, square = (np.zeros(len(draws)) for _ in range(4))
    for part, model in _each_rows(spec, draws, design):
        average, between, variance = model.split(tuple(named))
        for key, subset in subsets.items():
            found[key] += (between if set(subset) == set(named) else model.split(subset)[1]) @ share[part]
        own += variance @ share[part]
        everything += between @ share[part]
        mean += average @ share[part]
        square += average**2 @ share[part]
    together = found.pop("") if len(shared) > 1 else sum(found.values(), start=np.zeros(len(draws)))
    fixed = np.maximum(square - mean**2, 0.0) * weights.sum() / max(weights.sum() - 1, 1.0)
    return Components(found, together, fixed, own + everything - together, own)


def _check(spec: ModelSpec, whole: Varying) -> None:
    heavy = next((f.name for factors in whole.values() for f in factors if not f.law.normal), "")
    if heavy:
        raise UnsupportedError(f"the effects of {heavy!r} are not normal (dist=), and have no such average")
    if len(whole) > MOST_NUMBERS:
        raise UnsupportedError(
            f"{', '.join(whole)} vary by groups: this variance is an integral over at most {MOST_NUMBERS} parameters. "
            "varcorr() has the groups' standard deviations"
        )


class _Rows:
    """Some rows in every draw: expected responses and their variances at any effects of groups."""

    def __init__(self, spec: ModelSpec, draws: Draws, rows: Design) -> None:
        self.spec, self.draws, self.rows = spec, draws, rows
        request = Request("linear", choose_groups(spec, "all"), "mean", 0)
        varying, found = _varying(spec), gather_effects(spec, draws, rows, request)
        effects = {
            key: own for key, own in found.items() if key[0] not in varying
        }  # as of each row's own levels
        self.etas = {
            parameter: linear_predictor_of(spec, parameter, draws, bound, effects)
            for parameter, bound in rows.predictors.items()
        }

    def _at(self, shifts: Mapping[str, Array | float]) -> tuple[Array, Array]:
        moved = {name: self.etas[name] + shift for name, shift in shifts.items()}
        eta, aux = values_at(self.spec, self.draws, self.rows, self.etas | moved)
        at = self.spec.family.at(eta, aux, self.spec.link)
        return np.broadcast_to(at.mean(), eta.shape), np.broadcast_to(at.variance(), eta.shape)

    def _nodes(self, names: tuple[str, ...]) -> Iterator[tuple[float, dict[str, Array]]]:
        """Effects of some factors with their weights: by a product of Gauss–Hermite rules."""
        varying = _varying(self.spec, names)
        if not varying:
            yield 1.0, {}
            return
        covariance = joint_covariance(self.spec, self.draws, self.rows, varying, known=True)
        root = triangular_root(np, covariance)
        for weight, point in normal_nodes(RULES[len(varying) - 1][0], len(varying)):
            yield weight, dict(zip(varying, combined(root, point), strict=True))

    def split(self, names: tuple[str, ...]) -> tuple[Array, Array, Array]:
        """Over effects of all factors the mean; the variance over some factors' of what it is given these; the rest.

        The rest is what responses vary by about their expectation: each (S, n).
        """
        every = tuple(dict.fromkeys(f.name for fs in _varying(self.spec).values() for f in fs))
        others = tuple(name for name in every if name not in names)
        mean, square, variance = (np.zeros(next(iter(self.etas.values())).shape) for _ in range(3))
        for weight, shifts in self._nodes(names):
            given = np.zeros(mean.shape)
            for inner, more in self._nodes(others):
                both = {key: shifts.get(key, 0.0) + more.get(key, 0.0) for key in {**shifts, **more}}
                value, spread = self._at(both)
                given += inner * value
                variance += weight * inner * spread
            mean += weight * given
            square += weight * given**2
        return mean, np.maximum(square - mean**2, 0.0), variance


def _each_rows(spec: ModelSpec, draws: Draws, design: Design) -> Iterator[tuple[slice, _Rows]]:
    step = max(1, CHUNK_ENTRIES // len(draws))
    for start in range(0, len(design), step):
        part = slice(start, min(start + step, len(design)))
        yield part, _Rows(spec, draws, design.rows(part))
