"""Statements about what a prior implies, checked on simulated responses: statistic, interval, probability."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import Request, category_numbers, choose_groups, predict_draws
from hierbayes.data.design import Design
from hierbayes.errors import PriorError, UnsupportedError
from hierbayes.implied import icc, r2
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Simulation:
    """What statistics are taken of: draws of the prior and the data sets they imply.

    Attributes
    ----------
    spec : ModelSpec
    design : Design
        n rows.
    frame : pandas.DataFrame
        The same rows as they were given.
    prior : Draws
        S draws of every variable.
    responses, means : ndarray, (S, n)
        A simulated response and the expected one of every row, for its own levels; of several columns (S, n, m).
    """

    spec: ModelSpec
    design: Design
    frame: pd.DataFrame
    prior: Draws
    responses: Array
    means: Array

    def need_numbers(self) -> None:
        """Refuse what looks at one number a row."""
        if self.spec.family.support.columns:
            raise UnsupportedError(
                f"this looks at one number a row, and a response of family {self.spec.family.name!r} has several "
                "columns; prior_predictive() has all that are simulated, prior_summary() their shares"
            )


def simulate_all(spec: ModelSpec, design: Design, frame: pd.DataFrame, prior: Draws, seed: int) -> Simulation:
    """Responses and expected responses of every row in every draw; of categories their scores, of choices the times."""
    groups, categories = choose_groups(spec, "all"), spec.family.support.categories

    def predicted(kind: str) -> Array:
        return np.asarray(predict_draws(spec, prior, design, Request(kind, groups, "sample", seed)))[0]

    responses, means = spec.family.support.sizes(predicted("response")), predicted("mean")
    if design.y is not None:
        design = replace(design, y=spec.family.support.sizes(design.y))
    if categories:
        numbers = category_numbers(spec)
        responses, means = numbers[responses.astype(np.int64)], means @ numbers
        if design.y is not None:
            design = replace(design, y=numbers[design.y.astype(np.int64)])
    return Simulation(spec, design, frame, prior, responses, means)


@dataclass(frozen=True)
class Expectation:
    """One statement: the statistic lies in the interval with at least (or about) that probability.

    Attributes
    ----------
    statistic : str
        A name of `STATISTICS`.
    interval : tuple of float
        Lower and upper end, both inside; infinite where a side is open.
    probability : tuple of float
        Least and greatest share of the simulated values that lie in the interval.
    options : mapping
        What the statistic needs: ``q``, ``group``, ``between``, ``a`` and ``b``.
    why : str
        A reason, for the reader.
    """

    statistic: str
    interval: tuple[float, float]
    probability: tuple[float, float]
    options: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""

    def __str__(self) -> str:
        words = STATISTICS[self.statistic].words.format(**_worded(self.options))
        low, high = self.interval
        if np.isinf(low):
            where = f"is at most {high:g}"
        else:
            where = f"is at least {low:g}" if np.isinf(high) else f"lies in {low:g} to {high:g}"
        least, most = self.probability
        if most == 1.0:
            return f"{words} {where} with probability {least:g} or more"
        if least == 0.0:
            return f"{words} {where} with probability {most:g} or less"
        return f"{words} {where} with probability {least:g} to {most:g}"


@dataclass(frozen=True)
class Verdict:
    """A statement checked.

    Attributes
    ----------
    expectation : Expectation
    share : float
        The share of the simulated values in the interval.
    quantiles : tuple of float
        Their 5 %, 50 % and 95 % quantiles.
    """

    expectation: Expectation
    share: float
    quantiles: tuple[float, float, float]

    @property
    def margin(self) -> float:
        """By how much probability the statement holds; negative where it fails."""
        least, most = self.expectation.probability
        return min(self.share - least, most - self.share) if most < 1 else self.share - least

    @property
    def passed(self) -> bool:
        """Whether the statement holds."""
        return self.margin >= 0

    def __str__(self) -> str:
        low, middle, high = (f"{value:.4g}" for value in self.quantiles)
        by = f"{'holds' if self.passed else 'FAILS'} by {abs(self.margin):.3f}"
        simulated = f"simulated: median {middle}, 90 % within {low} to {high}"
        return f"{self.expectation}\n  observed {self.share:.3f}: {by}; {simulated}"


@dataclass(frozen=True)
class Statistic:
    """One way to look at simulated data sets.

    Attributes
    ----------
    words : str
        What it is, for sentences.
    values : callable
        ``values(simulation, **options)``: its values, the first axis of length S.
    options : tuple of str
        The options it needs.
    """

    words: str
    values: Callable[..., Array]
    options: tuple[str, ...] = ()


def check(simulation: Simulation, expectation: Expectation) -> Verdict:
    """Check one statement. A response that a mean makes impossible (NaN) lies in no interval."""
    simulation.need_numbers()
    statistic = STATISTICS[expectation.statistic]
    values = statistic.values(simulation, **expectation.options)
    low, high = expectation.interval
    share = float(np.mean((values >= low) & (values <= high)))
    known = values[~np.isnan(values)]
    quantiles = np.quantile(known, [0.05, 0.5, 0.95], method="nearest") if known.size else np.full(3, np.nan)
    low, middle, high = quantiles.tolist()
    return Verdict(expectation, share, (low, middle, high))


def read_expectation(entry: Mapping[str, Any]) -> Expectation:
    """A table ``[[expect]]`` of a prior file as a value.

    Parameters
    ----------
    entry : mapping
        ``statistic``; ``interval``, a pair (``-inf`` and ``inf`` leave a side open); ``probability``, the least, or a
        pair of least and greatest; what the statistic needs; ``why``.

    Raises
    ------
    PriorError
        For a word that is not known, one that is missing, or values that make no interval or probability.

    Examples
    --------
    >>> print(read_expectation({"statistic": "mean", "interval": [200, 500], "probability": 0.9}))
    the mean of a simulated data set lies in 200 to 500 with probability 0.9 or more
    """
    given = dict(entry)
    name = given.pop("statistic", None)
    if name not in STATISTICS:
        raise PriorError(f"[[expect]] has statistic = {name!r}; the statistics are {', '.join(STATISTICS)}.")
    words = f"[[expect]] {name}"
    interval = _pair(given.pop("interval", None), f"{words}: interval")
    probability = given.pop("probability", None)
    number = isinstance(probability, int | float) and not isinstance(probability, bool)
    least, most = (float(probability), 1.0) if number else _pair(probability, f"{words}: probability")
    if not 0 <= least <= most <= 1:
        raise PriorError(f"{words}: probability must lie between 0 and 1, not {probability!r}.")
    why = str(given.pop("why", ""))
    needed = STATISTICS[name].options
    for word in needed:
        if word not in given:
            raise PriorError(f"{words} needs {word}.")
    for word in given:
        if word not in needed:
            takes = ", ".join(("interval", "probability", "why", *needed))
            raise PriorError(f"{words} has no {word!r}; it has {takes}.")
    if "q" in given and not (isinstance(given["q"], int | float) and 0 <= given["q"] <= 1):
        raise PriorError(f"{words}: q must lie between 0 and 1, not {given['q']!r}.")
    if "between" in given:
        given["between"] = _pair(given["between"], f"{words}: between")
    for side in ("a", "b"):
        if side in given and not (isinstance(given[side], Mapping) and given[side]):
            raise PriorError(
                f"{words}: {side} must be a table of columns and values, such as {side} = {{x = 1}}."
            )
    return Expectation(name, interval, (least, most), given, why)


def _pair(value: Any, words: str) -> tuple[float, float]:
    numbers = isinstance(value, list | tuple) and all(
        isinstance(end, int | float) and not isinstance(end, bool) and not np.isnan(end) for end in value
    )
    if not numbers or len(value) != 2 or not value[0] <= value[1]:
        raise PriorError(
            f"{words} must be a pair of numbers, the lower first, such as [0, 1]; not {value!r}."
        )
    return float(value[0]), float(value[1])


def _worded(options: Mapping[str, Any]) -> dict[str, str]:
    words: dict[str, str] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            words[name] = ", ".join(f"{column} = {of}" for column, of in value.items())
        elif isinstance(value, tuple):
            low, high = value
            words[name] = f"{low:g} to {high:g}"
            if np.isinf(low):
                words[name] = f"at most {high:g}"
            elif np.isinf(high):
                words[name] = f"at least {low:g}"
        elif name == "q":
            words[name] = f"{100 * value:g}"
        else:
            words[name] = str(value)
    return words


# -- statistics -------------------------------------------------------------------------------------------------


def _proportion(simulation: Simulation, between: tuple[float, float]) -> Array:
    low, high = between
    y = simulation.responses
    return ((y >= low) & (y <= high)).mean(axis=1)


def level_means(simulation: Simulation, group: str, values: Array | None = None) -> Array:
    """The mean of each level's simulated responses, or of other values (S, n): (S, levels)."""
    values = simulation.responses if values is None else values
    factors = simulation.design.main.factors
    if group not in factors:
        raise PriorError(
            f"[[expect]] names the group {group!r}; the model's are {', '.join(factors) or 'none'}."
        )
    codes = factors[group].codes
    order = np.argsort(codes, kind="stable")
    _, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
    return np.asarray(np.add.reduceat(values[:, order], starts, axis=1) / counts)


def _average(simulation: Simulation, where: Mapping[str, Any]) -> Array:
    """The mean expected response over the rows with those values: (S,)."""
    rows = np.ones(len(simulation.frame), dtype=bool)
    for column, value in where.items():
        if column not in simulation.frame:
            have = ", ".join(simulation.frame.columns)
            raise PriorError(f"[[expect]] names the column {column!r}; the design's are {have}.")
        rows &= (simulation.frame[column] == value).to_numpy()
    if not rows.any():
        words = ", ".join(f"{column} = {value!r}" for column, value in where.items())
        have = "; ".join(f"{column} has {_some(simulation.frame[column])}" for column in where)
        raise PriorError(f"[[expect]]: no row of the design has {words}; {have}.")
    return np.asarray(simulation.means[:, rows].mean(axis=1))


def _some(column: "pd.Series[Any]") -> str:
    values = [repr(value) for value in column.unique().tolist()]
    return ", ".join(values[:8]) + (", …" if len(values) > 8 else "")


def _ratio(simulation: Simulation, a: Mapping[str, Any], b: Mapping[str, Any]) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(_average(simulation, a) / _average(simulation, b))


def _icc(simulation: Simulation, group: str) -> Array:
    return icc(simulation.spec, simulation.prior, simulation.design, group)


STATISTICS: Mapping[str, Statistic] = {
    "response": Statistic("a simulated response", lambda s: s.responses),
    "mean": Statistic("the mean of a simulated data set", lambda s: s.responses.mean(axis=1)),
    "sd": Statistic("the standard deviation of a simulated data set", lambda s: s.responses.std(axis=1)),
    "minimum": Statistic("the minimum of a simulated data set", lambda s: s.responses.min(axis=1)),
    "maximum": Statistic("the maximum of a simulated data set", lambda s: s.responses.max(axis=1)),
    "quantile": Statistic(
        "the {q} % quantile of a simulated data set", lambda s, q: np.quantile(s.responses, q, axis=1), ("q",)
    ),
    "proportion": Statistic("the proportion of responses {between} in a data set", _proportion, ("between",)),
    "group_mean": Statistic("the mean response of a {group}", level_means, ("group",)),
    "group_spread": Statistic(
        "the standard deviation of the {group} means",
        lambda s, group: level_means(s, group).std(axis=1),
        ("group",),
    ),
    "icc": Statistic("the ICC of {group}", _icc, ("group",)),
    "r2": Statistic("the variance explained (R²)", lambda s: r2(s.spec, s.prior, s.design)[1]),
    "marginal_r2": Statistic(
        "the variance explained by predictors (marginal R²)", lambda s: r2(s.spec, s.prior, s.design)[0]
    ),
    "difference": Statistic(
        "the expected response with {a}, less that with {b},",
        lambda s, a, b: _average(s, a) - _average(s, b),
        ("a", "b"),
    ),
    "ratio": Statistic("the expected response with {a}, divided by that with {b},", _ratio, ("a", "b")),
}
