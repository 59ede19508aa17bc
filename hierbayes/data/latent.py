"""Predictors whose values are drawn, learnt: measured or missing ones, which values are whose, what rows say of them.

A predictor's column in the model matrix has the values as they were measured. What a draw adds to the linear predictor
is b w (x − x̃): the coefficient, the product w of the term's other factors, and how far the value is from x̃.

The true values x of the rows have a normal distribution in the population, x ~ Normal(μ, Σ), those of several columns
with one Σ; and each is measured by itself, x̃ ~ Normal(x, s²), with known s. So given x̃ they are normal again, and
x̃ ~ Normal(μ, Σ + diag(s²)) (Carroll et al. 2006, Measurement Error in Nonlinear Models, 2nd ed., sections 2.2, 4.4).

The values of a predictor that is missing in some rows are those of a response with a formula of its own. In the model
matrix their mean stands for x̃.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.expressions import Rows, describe_rows
from hierbayes.data.levels import Codes, Levels, learn_levels
from hierbayes.errors import DataError
from hierbayes.formula.latent import MEASURED, MISSING, LatentTerm, read_latent
from hierbayes.formula.syntax import Node

Array = NDArray[np.float64]
KNOWN = -1  # the code of a row whose value is known


@dataclass(frozen=True, eq=False)
class LatentRows:
    """What rows say of a predictor whose values are drawn.

    Attributes
    ----------
    values : ndarray, (n,)
        As measured, or as known.
    codes : ndarray of int, (n,)
        Which of the drawn values is each row's: below L one of the training rows', from L on a new one, `KNOWN` where
        the value is known.
    sds : ndarray, (n,)
        The standard deviation of the measurement; 0 where the value is known.
    """

    values: Array
    codes: Codes
    sds: Array

    def rows(self, part: slice | Codes) -> "LatentRows":
        """The same for some of the rows: a slice, or their places."""
        return LatentRows(self.values[part], self.codes[part], self.sds[part])

    def above(self, other: "LatentRows") -> "LatentRows":
        """These rows, and others below them."""
        return LatentRows(
            np.concatenate([self.values, other.values]),
            np.concatenate([self.codes, other.codes]),
            np.concatenate([self.sds, other.sds]),
        )


@dataclass(frozen=True, eq=False)
class _DrawnColumn:
    """What is the same of predictors that were measured and of those that are missing in some rows."""

    term: LatentTerm
    index: NDArray[Any]

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of its column in the model matrix."""
        return (self.term.label,)

    @property
    def column(self) -> str:
        """The column as it was measured, or as far as it is known."""
        return self.term.column


@dataclass(frozen=True, eq=False)
class Latent(_DrawnColumn):
    """A predictor whose values are drawn.

    Attributes
    ----------
    term : LatentTerm
    index : ndarray, (L,)
        Labels of what has a drawn value each: the training rows, or the levels whose rows share one.
    levels : Levels or None
        Those; None where every row has its own value.
    values, sds : ndarray, (L,)
        As measured, and the standard deviations of the measurements.
    """

    levels: Levels | None
    values: Array
    sds: Array

    def columns(self, rows: Rows) -> list[Array]:
        """The column of the model matrix: the values as they were measured, (n,)."""
        return [_numbers(rows.frame, self.term.column)]

    def training_rows(self, frame: pd.DataFrame, first: int = 0) -> LatentRows:
        """What the training rows say, from the `first` of them on."""
        codes = first + np.arange(len(frame)) if self.levels is None else self.levels.codes(frame)
        return LatentRows(_numbers(frame, self.term.column), codes, _numbers(frame, self.term.sd))

    def new_rows(self, frame: pd.DataFrame) -> LatentRows:
        """What new rows say: without a standard deviation, or with 0, the true value itself.

        A row of a known level has that level's value, whatever was measured; the rows of a new one share theirs.
        """
        values, sd = _numbers(frame, self.term.column), self.term.sd
        if sd not in frame:
            return LatentRows(values, np.full(len(frame), KNOWN), np.zeros(len(frame)))
        sds = np.nan_to_num(_numbers(frame, sd))
        if (sds < 0).any():
            raise DataError(
                f"{_negative(self.term)} in {describe_rows(frame.index[sds < 0])} of the new rows"
            )
        codes = len(self.index) + np.arange(len(frame))
        if self.levels is not None and set(self.levels.columns) <= set(frame):
            known = self.levels.codes(frame)
            unseen = frame[list(self.levels.columns)].apply(tuple, axis=1)
            codes = np.where(known >= 0, known, len(self.index) + pd.factorize(unseen)[0])
        return LatentRows(values, np.where(sds > 0, codes, KNOWN), sds)


@dataclass(frozen=True, eq=False)
class Imputed(_DrawnColumn):
    """A predictor with missing values, which are drawn as those of a response.

    Attributes
    ----------
    term : LatentTerm
    index : ndarray, (L,)
        Labels of the rows whose values are drawn: those that miss it, or all where it is measured with error.
    location : float
        The mean of the values that are there.
    """

    location: float

    def columns(self, rows: Rows) -> list[Array]:
        """The column of the model matrix: the values that are there, and the mean for others, (n,)."""
        return [self._filled(rows.frame)]

    def _filled(self, frame: pd.DataFrame) -> Array:
        values = _numbers(frame, self.column, MISSING)
        return np.where(np.isnan(values), self.location, values)

    def training_rows(self, frame: pd.DataFrame, first: int = 0) -> LatentRows:
        """What the training rows say: by their labels, which of the drawn values are theirs."""
        found = pd.Index(self.index).get_indexer(frame.index)
        return LatentRows(self._filled(frame), np.asarray(found, np.int64), np.zeros(len(frame)))

    def new_rows(self, frame: pd.DataFrame) -> LatentRows:
        """What new rows say: a value, or none, which is a new one."""
        absent = frame[self.column].isna().to_numpy()
        new = len(self.index) + np.cumsum(absent) - 1
        return LatentRows(self._filled(frame), np.where(absent, new, KNOWN), np.zeros(len(frame)))


@dataclass(frozen=True, eq=False)
class LatentBlock:
    """Predictors whose true values are drawn together, and have correlations.

    Attributes
    ----------
    group : str
        The column whose values have one true value each; "" where every row has its own.
    latents : tuple of Latent
        k of them, of the same L rows or levels.
    """

    group: str
    latents: tuple[Latent, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns as they were measured."""
        return tuple(latent.column for latent in self.latents)

    @property
    def index(self) -> NDArray[Any]:
        """Labels of what has a drawn value each: (L,)."""
        return self.latents[0].index

    @property
    def measured(self) -> tuple[list[Array], list[Array]]:
        """The values as measured and the standard deviations of the measurements, each (L,) of each column."""
        return [latent.values for latent in self.latents], [latent.sds for latent in self.latents]

    def covariance(self, sds: Sequence[Any], cor: Any) -> list[list[Any]]:
        """Σ of the true values, from their sds and correlations (…, k, k), which one alone has none of."""
        k = range(len(self.latents))
        return [[sds[i] * sds[j] * (1.0 if i == j else cor[..., i, j]) for j in k] for i in k]


def blocks_of(latents: Iterable[Latent | Imputed]) -> tuple[LatentBlock, ...]:
    """The blocks of measured predictors that stand for the same rows or levels."""
    found: dict[str, list[Latent]] = {}
    for latent in latents:
        if isinstance(latent, Latent):
            found.setdefault(latent.term.group, []).append(latent)
    return tuple(LatentBlock(group, tuple(own)) for group, own in found.items())


@dataclass(frozen=True)
class LatentEffect:
    """A coefficient of a product with predictors whose values are drawn.

    Attributes
    ----------
    label : str
        ``"me(x)"``, ``"me(x):z"``.
    place : int
        Where it is among the coefficients.
    columns : tuple of str
        Those predictors.
    """

    label: str
    place: int
    columns: tuple[str, ...]

    def addition(
        self, b: Any, multiplier: Any, drawn: Mapping[str, Any], rows: Mapping[str, LatentRows]
    ) -> Any:
        """What drawn values add to the linear predictor that the measured ones give: (…, n), of arrays or tensors.

        Parameters
        ----------
        b : (…, p)
            All coefficients.
        multiplier : (n,)
            The product of the term's other factors.
        drawn : mapping of str to (…, n)
            The values by column.
        """
        found: Any = 1.0
        measured: Any = 1.0
        for column in self.columns:
            found, measured = found * drawn[column], measured * rows[column].values
        return b[..., self.place, None] * multiplier * (found - measured)


def loadings_of(
    effects: Sequence[LatentEffect], columns: Sequence[str], b: Any, multipliers: Array
) -> list[Any]:
    """What the values of each of k columns are multiplied by in a linear predictor: k of (…, n).

    Of effects that are of one drawn predictor each.
    """
    found: list[Any] = [0.0] * len(columns)
    for place, effect in enumerate(effects):
        (column,) = effect.columns
        at = list(columns).index(column)
        found[at] = found[at] + b[..., effect.place, None] * multipliers[:, place]
    return found


def learn_latent(node: Node, rows: Rows) -> Latent | Imputed:
    """A predictor whose values are drawn, learnt from the training rows.

    Raises
    ------
    DataError
        For values that are no numbers or all the same, standard deviations that are not above 0, and levels with more
        than one value.
    """
    term, frame = read_latent(node), rows.frame
    if term.function == MISSING:
        values = _numbers(frame, term.column, MISSING)
        absent = np.isnan(values)
        return Imputed(term, np.asarray(frame.index.to_numpy())[absent], float(values[~absent].mean()))
    values, sds = _numbers(frame, term.column), _numbers(frame, term.sd)
    if not (sds > 0).all():
        raise DataError(
            f"{_negative(term)} or 0 in {describe_rows(frame.index[~(sds > 0)])}; correct those rows, or leave them out"
        )
    if np.ptp(values) == 0:
        raise DataError(f"column {term.column!r} has the one value {values[0]:g}; it cannot be a predictor")
    if not term.group:
        return Latent(term, np.asarray(frame.index.to_numpy()), None, values, sds)
    levels = learn_levels((term.group,), frame)
    first = np.unique(levels.codes(frame), return_index=True)[1]
    for column, numbers in ((term.column, values), (term.sd, sds)):
        differing = numbers != numbers[first][levels.codes(frame)]
        if differing.any():
            raise DataError(
                f"{term.label} has one value for each {term.group}, and {column!r} differs among the rows of "
                f"{levels.labels[levels.codes(frame)[differing][0]]!r}; leave gr= out, or correct those rows"
            )
    return Latent(term, levels.labels, levels, values[first], sds[first])


type Normal = tuple[list[Any], list[list[Any]]]  # means (k), and covariances (k by k), each (…,)


def given_measurements(
    m: Any,
    mean: Sequence[Any],
    covariance: Sequence[Sequence[Any]],
    values: Sequence[Any],
    sds: Sequence[Any],
) -> tuple[Normal, Any]:
    """The distribution of k true values given their measurements, and the log density of these.

    One measurement after the other is conditioned on, so that all is arithmetic on arrays, or tensors, of any shape.

    Parameters
    ----------
    m : module
        NumPy, or that of tensors.
    mean, covariance : k, and k by k
        Of the true values in the population.
    values, sds : k
        The measurements, and their standard deviations.

    Examples
    --------
    >>> (mean, cov), _ = given_measurements(np, [0.0], [[1.0]], [2.0], [1.0])
    >>> float(mean[0]), float(cov[0][0])
    (1.0, 0.5)
    """
    k, density = range(len(mean)), 0.0
    mean, cov = list(mean), [list(row) for row in covariance]
    for c in k:
        total, rest = cov[c][c] + sds[c] ** 2, values[c] - mean[c]
        density = density - 0.5 * (m.log(2 * np.pi * total) + rest**2 / total)
        row, left = list(cov[c]), sds[c] ** 2 / total  # as 1 − gain, rounding would take what is left
        mean = [mean[i] + row[i] / total * rest for i in k]
        cov = [
            [row[i + j - c] * left if c in (i, j) else cov[i][j] - row[i] * row[j] / total for j in k]
            for i in k
        ]
    return (mean, cov), density


def given_measurement(sqrt: Any, y: Any, mu: Any, sigma: Any, se: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of true values that are Normal(mu, sigma), measured as y with standard errors se."""
    total = sigma * sigma + se * se
    return mu + sigma * sigma / total * (y - mu), sigma * se / sqrt(total)


def given_sum(normal: Normal, loadings: Sequence[Any], rest: Any, variance: Any) -> Normal:
    """The distribution of k true values given a response to which they add multiples of themselves.

    Parameters
    ----------
    normal : Normal
        Before.
    loadings : k
        The multiples.
    rest : (…,)
        The response less its mean.
    variance : (…,)
        Of the response about the sum.
    """
    mean, cov = normal
    k = range(len(mean))
    cross = [sum(cov[i][j] * loadings[j] for j in k) for i in k]
    total = variance + sum(loadings[i] * cross[i] for i in k)
    mean = [mean[i] + cross[i] / total * rest for i in k]
    if len(k) == 1:
        return mean, [[cov[0][0] * variance / total]]
    return mean, [[cov[i][j] - cross[i] * cross[j] / total for j in k] for i in k]


def variance_of_sum(normal: Normal, loadings: Sequence[Any]) -> Any:
    """The variance that k true values add to what is a sum of multiples of them."""
    cov, k = normal[1], range(len(loadings))
    return sum(loadings[i] * loadings[j] * cov[i][j] for i in k for j in k)


type Root = list[list[Any]]  # the rows of a lower triangular matrix, entries (…,)


def triangular_root(m: Any, covariance: Any) -> Root:
    """The Cholesky factor of covariances (k by k, each (…,)), which may be 0 in some direction."""
    root: Root = []
    for i in range(len(covariance)):
        row: list[Any] = []
        for j in range(i + 1):
            rest = covariance[i][j] - sum(
                row[place] * (root[j] if j < i else row)[place] for place in range(j)
            )
            if i == j:
                row.append(m.sqrt(m.maximum(rest, 0.0)))
            else:  # of a value that is known nothing else is a part
                row.append(rest / m.where(root[j][j] > 0, root[j][j], np.inf))
        root.append(row)
    return root


def combined(root: Root, z: Iterable[Any]) -> list[Any]:
    """The k correlated numbers that as many independent ones, each (…,), become."""
    numbers = list(z)
    return [sum(entry * numbers[place] for place, entry in enumerate(row)) for row in root]


def drawn_from(m: Any, normal: Normal, z: Iterable[Any]) -> list[Any]:
    """The k values that independent standard normal numbers (…,) become."""
    mean, covariance = normal
    moved = combined(triangular_root(m, covariance), z)
    return [middle + by for middle, by in zip(mean, moved, strict=True)]


def _numbers(frame: pd.DataFrame, name: str, function: str = MEASURED) -> Array:
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        kind = type(column.iloc[0]).__name__ if len(column) else str(column.dtype)
        raise DataError(
            f"column {name!r} in {function}() must hold numbers, and holds {kind} values; convert it"
        )
    return np.asarray(column.to_numpy(dtype=np.float64))


def _negative(term: LatentTerm) -> str:
    return f"{term.sd!r}, the standard deviation of {term.column!r} in me(), is negative"
