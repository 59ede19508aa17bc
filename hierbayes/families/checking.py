"""Whether a family is what it says: its density, scores, simulated responses, distribution function and moments."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from hierbayes.errors import UnsupportedError
from hierbayes.families.own import KINDS
from hierbayes.families.record import Array, Family, Parameter, Responses
from hierbayes.families.tensorrows import TensorRows
from hierbayes.kinds import PROBABILITY, ParameterValues

DRAWS, BINS, NODES = 20_000, 20, 40
STEPS = 1e-3  # of differences of the fourth order
DENSITY, SCORES = 1e-8, 1e-5
SURE = 1e-4  # p-value
APART = 4.5  # standard errors
FARTHER = np.array([-1.0, 0.0, 1.0])  # from the middle, in inner coordinates: the first parameter's values
AWAY = np.array(
    [0.4, -0.3, 0.6]
)  # the others': at a typical value, such as 1, a logarithm left out is not missed


def check_family(
    family: Family,
    values: Mapping[str, Any] | None = None,
    *,
    trials: int = 6,
    seed: int = 0,
) -> pd.DataFrame:
    """Whether a family is what it says, at some values of its parameters.

    Parameters
    ----------
    family : Family
        Of `custom_family`.
    values : mapping of str to number or sequence, optional
        Values of some parameters, of which as many are checked as the longest has; those of the others are three
        near typical ones.
    trials : int
        Of a response of successes.
    seed : int
        Of simulated responses.

    Returns
    -------
    pandas.DataFrame
        A row a check, with columns `found`, `allowed` and `passed`. Checks of what the family has not are left out.

        - ``support``: the share of simulated responses that are no responses
        - ``density``: the largest difference between the row function and PyMC's distribution
        - ``scores``: that between the row function's derivatives and differences of its values
        - ``simulate``: one minus the p-value of simulated responses against the density, by χ²
        - ``cdf``: one minus that against the distribution function, by Kolmogorov and Smirnov
        - ``mean``, ``variance``: how many standard errors from those of simulated responses

    Examples
    --------
    >>> import hierbayes as hb
    >>> laplace = hb.custom_family(
    ...     "laplace",
    ...     {"mu": "number", "b": "positive"},
    ...     "number",
    ...     distribution=lambda pm, mu, b: (pm.Laplace, {"mu": mu.value, "b": b.value}),
    ...     mean="mu",
    ... )
    >>> hb.check_family(laplace)["passed"].to_dict()
    {'support': True, 'simulate': True, 'mean': True}
    """
    if any(one.kind.vector for one in family.parameters) or family.support.categories:
        raise UnsupportedError(
            "check_family is for families whose parameters and responses are numbers, one each"
        )
    given = _parameters(family, values or {})
    counts = np.array(float(trials)) if family.needs_trials else None
    found = [
        (name, float(value), allowed, bool(value <= allowed))
        for name, value, allowed in _checks(family, given, counts, np.random.default_rng(seed))
    ]
    table = pd.DataFrame(found, columns=["check", "found", "allowed", "passed"])
    return table.set_index("check")


def _parameters(family: Family, values: Mapping[str, Any]) -> dict[str, ParameterValues]:
    """The parameters in their forms under the canonical links: (P,)."""
    known = [one.name for one in family.parameters]
    for name in values:
        if name not in known:
            raise UnsupportedError(
                f"family {family.name!r} has no parameter {name!r}; it has {', '.join(known)}"
            )
    inner = {}
    for one in family.parameters:
        if one.name in values:
            inner[one.name] = one.kind.free(np.atleast_1d(np.asarray(values[one.name], np.float64)))
        else:
            middle = one.kind.free(np.array([_typical(one)]))
            inner[one.name] = middle + (FARTHER if one is family.first else AWAY)
    points = max(t.size for name, t in inner.items() if name in values) if values else FARTHER.size
    inner = {name: t if name in values else np.resize(t, points) for name, t in inner.items()}
    shape = np.broadcast_shapes(*(t.shape for t in inner.values()))
    return {
        one.name: one.kind.under(one.kind.links[0], np.broadcast_to(inner[one.name], shape).copy())
        for one in family.parameters
    }


def _typical(one: Parameter) -> float:
    value = float(one.typical(1.0))
    inside = 0 < value < 1 if one.kind is PROBABILITY else True
    return value if inside else KINDS[one.kind.name][3]


def _checks(
    family: Family, given: dict[str, ParameterValues], trials: Array | None, rng: np.random.Generator
) -> Iterator[tuple[str, float, float]]:
    points = len(next(iter(given.values())).eta)
    long = {
        name: values.map(lambda eta: np.broadcast_to(eta, (DRAWS, points))) for name, values in given.items()
    }
    y = Responses(family, long).simulate(rng, trials)
    yield "support", 1.0 - family.support.contains(y, trials).mean(), 0.0
    few = y[:200]
    if family.row is not None and family.graph is not None:
        yield "density", _from_distribution(family, given, few, trials), DENSITY
    if family.row is not None:
        yield "scores", _from_differences(family, given, few, trials), SCORES
    yield "simulate", max(1 - p for p in _fits(family, given, y, trials)), 1 - SURE
    if family.cdf is not None:
        distances = [
            _distance(Responses(family, _one(given, k)), y[:, k], trials, family.support.whole)
            for k in range(points)
        ]
        yield "cdf", 1 - special.kolmogorov(np.sqrt(DRAWS) * max(distances)), 1 - SURE
    yield from _moments(family, given, y, trials)


def _one(given: Mapping[str, ParameterValues], place: int) -> dict[str, ParameterValues]:
    return {name: values.map(lambda eta: eta[place : place + 1]) for name, values in given.items()}


def _from_distribution(
    family: Family, given: Mapping[str, ParameterValues], y: Array, trials: Array | None
) -> float:
    """The largest difference between log densities, relative to the size of large ones."""
    value, _ = Responses(family, given).evaluate(y, trials)
    kinds = [(one.name, one.kind) for one in family.parameters]
    tensors = TensorRows(family.name, family.in_tensors, kinds, family.needs_trials, family.support.whole)
    shape = value.shape
    t = np.stack([np.broadcast_to(values.inner, shape).ravel() for values in given.values()])
    counts = None if trials is None else np.broadcast_to(trials, shape).ravel()
    exact = tensors.evaluate(y.ravel(), counts, t)[0].reshape(shape)
    return float(np.max(np.abs(value - exact) / np.maximum(1.0, np.abs(exact))))


def _from_differences(
    family: Family, given: Mapping[str, ParameterValues], y: Array, trials: Array | None
) -> float:
    """The largest difference between scores and differences of the fourth order, relative to the size of large ones."""
    _, scores = Responses(family, given).evaluate(y, trials)
    worst = 0.0
    for place, name in enumerate(given):

        def moved(h: float, name: str = name) -> Array:
            return Responses(family, {**given, name: given[name].map(lambda eta: eta + h)}).log_density(
                y, trials
            )

        near, far = (moved(k * STEPS) - moved(-k * STEPS) for k in (1, 2))
        difference = (8 * near - far) / (12 * STEPS)
        worst = max(
            worst, float(np.max(np.abs(scores[place] - difference) / np.maximum(1.0, np.abs(difference))))
        )
    return worst


def _fits(
    family: Family, given: Mapping[str, ParameterValues], y: Array, trials: Array | None
) -> Iterator[float]:
    """p-values of χ² of simulated responses against the density, one a value of the parameters."""
    for place in range(y.shape[1]):
        at, column = Responses(family, _one(given, place)), y[:, place]
        if family.support.whole:
            observed, shares = _whole_shares(at, column, trials)
        else:
            observed, shares = _bin_shares(at, column, family)
        rest = len(column) - observed.sum()
        if rest > 0 or shares.sum() < 1 - 1e-9:
            observed, shares = np.append(observed, rest), np.append(shares, max(1 - shares.sum(), 1e-12))
        expected = shares * len(column)
        if shares.sum() > 1 + 1e-6 + 1e-3 * (not family.support.whole):
            yield 0.0  # it adds up to more than 1
            continue
        yield float(special.chdtrc(len(observed) - 1, ((observed - expected) ** 2 / expected).sum()))


def _whole_shares(at: Responses, y: Array, trials: Array | None) -> tuple[Array, Array]:
    """Values that are not rare: how often they were, and their probabilities."""
    values, counts = np.unique(y, return_counts=True)
    frequent = counts >= 20
    return counts[frequent].astype(float), np.exp(at.log_density(values[frequent], trials))


def _bin_shares(at: Responses, y: Array, family: Family) -> tuple[Array, Array]:
    """Bins between quantiles of some responses: how many of the others are inside, and integrals of the density."""
    atoms = np.array(family.support.atoms)
    numbers = y[~np.isin(y, atoms)]
    edges = np.unique(np.quantile(numbers, np.linspace(0.02, 0.98, BINS + 1)))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    density = np.exp(at.log_density(middle[:, None] + half[:, None] * nodes))
    shares = (density * weights).sum(axis=1) * half
    observed = np.histogram(numbers, edges)[0].astype(float)
    if atoms.size:
        observed = np.append(observed, [(y == atom).sum() for atom in atoms])
        shares = np.append(shares, np.exp(at.log_density(atoms)))
    kept = shares * len(y) > 5
    return observed[kept], shares[kept]


def _distance(at: Responses, y: Array, trials: Array | None, whole: bool) -> float:
    values, counts = np.unique(y, return_counts=True)
    upto = np.cumsum(counts) / len(y)
    return float(np.abs(upto - at.cdf(values, trials)).max())


def _moments(
    family: Family, given: Mapping[str, ParameterValues], y: Array, trials: Array | None
) -> Iterator[tuple[str, float, float]]:
    at = Responses(family, given)
    if family.mean is None:
        return
    out_of = 1.0 if trials is None else float(trials)
    mean = np.broadcast_to(at.mean() * out_of, y.shape[1:])
    error = y.std(axis=0) / np.sqrt(len(y))
    yield "mean", float(np.max(np.abs(y.mean(axis=0) - mean) / error)), APART
    if family.variance is None:
        return
    variance = at.moments(trials)[1]
    squares = np.square(y - mean)
    error = squares.std(axis=0) / np.sqrt(len(y))
    yield "variance", float(np.max(np.abs(squares.mean(axis=0) - variance) / error)), APART
