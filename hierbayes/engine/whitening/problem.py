"""What the whitened engine is asked: rows, linear predictors and priors as plain arrays."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hierbayes.engine.core.problem import Factor, Floats, Ints


@dataclass(frozen=True)
class Climb:
    """Columns whose coefficients are the same shares of a group's effect, ``r (m ζ − 1)``.

    Attributes
    ----------
    factor, membership, effect : int
        Of the predictor's factors, of the levels that rows have, of a level's effects.
    columns : array, shape (n, m)
    """

    factor: int
    membership: int
    effect: int
    columns: Floats


@dataclass(frozen=True)
class Steps:
    """Columns whose coefficients are shares of another, ``c (m ζ − 1)`` with a simplex ζ.

    Attributes
    ----------
    columns : array, shape (n, m)
    of : array, shape (p,)
        What c is of each of the predictor's coefficients.
    known : float
        And what it is beside them.
    own : int
        Place among the problem's own numbers of the first of the m − 1 that ζ is made of: see `steps`.
    climbs : tuple of Climb
        Groups' effects that rise in the same steps.
    """

    columns: Floats
    of: Floats
    known: float
    own: int
    climbs: tuple[Climb, ...] = ()

    def rows(self, chosen: Ints) -> "Steps":
        """The same for some of the rows."""
        climbs = tuple(replace(climb, columns=climb.columns[chosen]) for climb in self.climbs)
        return replace(self, columns=self.columns[chosen], climbs=climbs)


@dataclass(frozen=True)
class Predictor:
    """One linear predictor, ``offset + X b + Σ_k Z_k r_k[codes_k]``, and the columns of its steps.

    Attributes
    ----------
    X : array, shape (n, p)
        Population-level columns, those that the priors are about.
    offset : array, shape (n,)
    factors : tuple of Factor
    priors : array, shape (p, 4)
        Prior of each coefficient, ``(code, a, b, c)``: see `coefficients.CODES`.
    start : float
        A typical value of the linear predictor.
    sds : tuple of arrays, shape (q,)
        Typical values of each factor's standard deviations.
    steps : tuple of Steps
    coefficients : array, shape (p,), or None
        Typical values of the coefficients, where `start` says nothing.
    """

    X: Floats
    offset: Floats
    factors: tuple[Factor, ...]
    priors: Floats
    start: float
    sds: tuple[Floats, ...]
    steps: tuple[Steps, ...] = ()
    coefficients: Floats | None = None


@dataclass(frozen=True)
class Own:
    """A number of the model's own, the same in all rows: what a parameter without a formula is.

    Attributes
    ----------
    prior : array, shape (4,)
        Of its value, ``(code, a, b, c)``: see `codes.PRIOR_CODES`.
    value : float
        A typical value.
    after : bool
        Whether it lies above the one before it, as the thresholds of categories do.
    """

    prior: Floats
    value: float
    after: bool = False


@dataclass(frozen=True)
class Component:
    """A parameter of the family, or an element of one: where it comes from. One of both is -1.

    Attributes
    ----------
    predictor : int
        Place of its linear predictor in the problem.
    own : int
        Place among the numbers of the model's own.
    link : int
        Its link by number: see `hierbayes.kinds`.
    step : int
        How far apart the numbers of successive sets of rows are, 0 where all rows share one.
    """

    predictor: int
    own: int
    link: int
    step: int = 0


@dataclass(frozen=True)
class Problem:
    """A hierarchical model of any family.

    Attributes
    ----------
    address : int
        Of the family's compiled rows: see `hierbayes.families.rows`.
    components : tuple of Component
        J of them, in the family's order.
    y : array, shape (n, m)
        The responses, of most families in one column.
    trials, weights : arrays, shape (n,)
        A weight multiplies its row's log density.
    categories : array, shape (K,)
        The responses that there are, where they are categories; else none.
    sets : array of int, shape (n,)
        To which set of rows each belongs, for components that differ by it.
    predictors : tuple of Predictor
    own : tuple of Own
    constant : float
        The rows' part of the log density that depends on no parameter.
    information : callable or None
        ``information(etas, own, trials, sets)``: expected information of each row about its first component's linear
        predictor, for linear predictors (P, n), own values (A,), trials (n,) and sets (n,).
    summed : bool
        Whether rows that differ in the response alone may be merged: their log density is linear in the response
        (and the trials).
    curved : bool
        Whether the family's parameters lie on a curved ridge where rows are few.
    """

    address: int
    components: tuple[Component, ...]
    y: Floats
    trials: Floats
    weights: Floats
    categories: Floats
    sets: Ints
    predictors: tuple[Predictor, ...]
    own: tuple[Own, ...]
    constant: float
    information: Callable[[Floats, Floats, Floats, Ints], Floats] | None
    summed: bool
    curved: bool

    def columns(self) -> list[Floats | Ints]:
        """All that the linear predictors read of the rows, as columns (n,)."""
        found: list[Floats | Ints] = [self.sets]
        for predictor in self.predictors:
            found += [*predictor.X.T, predictor.offset]
            for factor in predictor.factors:
                for codes, Z in factor.memberships:
                    found += [codes, *Z.T]
            for steps in predictor.steps:
                found += [*steps.columns.T]
                found += [column for climb in steps.climbs for column in climb.columns.T]
        return found

    def merged(self, chosen: Ints, y: Floats, trials: Floats, weights: Floats) -> "Problem":
        """The same model on some of the rows, with other responses, trials and weights."""
        predictors = tuple(
            replace(
                p,
                X=p.X[chosen],
                offset=p.offset[chosen],
                factors=tuple(factor.rows(chosen) for factor in p.factors),
                steps=tuple(steps.rows(chosen) for steps in p.steps),
            )
            for p in self.predictors
        )
        sets = self.sets[chosen]
        return replace(self, y=y, trials=trials, weights=weights, sets=sets, predictors=predictors)
