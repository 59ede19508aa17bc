"""What the whitened engine is asked: rows, linear predictors and priors as plain arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hierbayes.engine.gaussian.problem import Factor, Floats, Ints
from hierbayes.engine.whitening.codes import DENSITIES, Density


@dataclass(frozen=True)
class Predictor:
    """One linear predictor, ``offset + X b + Σ_k Z_k r_k[codes_k]``.

    Attributes
    ----------
    parameter : int
        What it is the predictor of: 0 for the mean, 1 or 2 for the family's own parameters (their logarithm).
    X : array, shape (n, p)
        Population-level columns, those that the priors are about.
    offset : array, shape (n,)
    factors : tuple of Factor
    priors : array, shape (p, 4)
        Prior of each coefficient, ``(code, a, b, c)``: see `coefficients.CODES`.
    start : float
        A middling value of the linear predictor.
    sds : tuple of arrays, shape (q,)
        Middling values of each factor's standard deviations.
    """

    parameter: int
    X: Floats
    offset: Floats
    factors: tuple[Factor, ...]
    priors: Floats
    start: float
    sds: tuple[Floats, ...]


@dataclass(frozen=True)
class Problem:
    """A hierarchical model of any family.

    Attributes
    ----------
    family : str
        Key of `densities.DENSITIES`.
    link : int
        The mean's link, by `densities.LINK_CODES`.
    y, trials, weights : arrays, shape (n,)
        A weight multiplies its row's log density.
    predictors : tuple of Predictor
        The mean's first.
    plain : tuple of int
        The family's own parameters (1 or 2) that have no predictor.
    scale_priors : array, shape (len(plain), 4)
        Their priors, ``(code, a, b, c)``, see `gaussian.problem.PriorCode`.
    scales : tuple of float
        Middling values of theirs.
    constant : float
        The rows' part of the log density that depends on no parameter.
    information : callable
        ``information(eta, aux, trials)``: Fisher information of each row about the mean's linear predictor, for
        eta (n,), aux (2, n) and trials (n,).
    """

    family: str
    link: int
    y: Floats
    trials: Floats
    weights: Floats
    predictors: tuple[Predictor, ...]
    plain: tuple[int, ...]
    scale_priors: Floats
    scales: tuple[float, ...]
    constant: float
    information: Callable[[Floats, Floats, Floats], Floats]

    @property
    def density(self) -> Density:
        """The family's log density."""
        return DENSITIES[self.family]

    def columns(self) -> list[Floats | Ints]:
        """All that the linear predictors read of the rows, as columns (n,)."""
        found: list[Floats | Ints] = []
        for predictor in self.predictors:
            found += [*predictor.X.T, predictor.offset]
            for factor in predictor.factors:
                found += [factor.codes, *factor.Z.T]
        return found

    def merged(self, chosen: Ints, y: Floats, trials: Floats, weights: Floats) -> "Problem":
        """The same model on some of the rows, with other responses, trials and weights."""
        predictors = tuple(
            replace(
                p,
                X=p.X[chosen],
                offset=p.offset[chosen],
                factors=tuple(replace(f, codes=f.codes[chosen], Z=f.Z[chosen]) for f in p.factors),
            )
            for p in self.predictors
        )
        return replace(self, y=y, trials=trials, weights=weights, predictors=predictors)


def ordered_factors(predictors: Sequence[Predictor]) -> list[tuple[int, int]]:
    """Places (predictor, factor) of all factors, those with the most coefficients first."""
    places = [(j, k) for j, p in enumerate(predictors) for k in range(len(p.factors))]

    def size(place: tuple[int, int]) -> int:
        factor = predictors[place[0]].factors[place[1]]
        return factor.n_levels * factor.q

    return sorted(places, key=lambda place: -size(place))
