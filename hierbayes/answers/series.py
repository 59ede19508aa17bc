"""Rows whose residuals are correlated within series: each given others, and responses drawn together.

In each draw the residuals over sigma, z, of a series are N(0, R). Given all others of its series row i is normal with
mean z_i − (R⁻¹z)_i / (R⁻¹)_ii and variance 1 / (R⁻¹)_ii (Bürkner, Gabry & Vehtari 2021, Computational Statistics 36,
section 2); given the earlier ones, with R = L L', mean z_i − L_ii (L⁻¹z)_i and variance L_ii². The densities of rows
given the earlier ones have the series' own density as their product.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.design import Design
from hierbayes.data.levels import Codes
from hierbayes.data.series import SeriesRows
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
ENTRIES = 2_000_000  # of correlations at a time
NEAR = 1e-10  # what is taken off correlations that are 1 to rounding
OTHERS, EARLIER = "others", "earlier"


def need_independent(spec: ModelSpec, what: str) -> None:
    """Refuse a model whose residuals are correlated, in what takes rows one by one."""
    series = spec.layout.response.series
    if series is not None:
        raise UnsupportedError(
            f"{what}: that takes rows one by one, and their residuals are correlated, by {series.term}. ranef() and "
            "coef() have the posterior of each level's effects"
        )


def check_series(spec: ModelSpec, design: Design) -> None:
    """Refuse new rows whose residuals have no correlations: responses need them."""
    series = spec.layout.response.series
    if series is None:
        return
    if design.series is None:
        columns = " and ".join(map(repr, series.columns))
        raise DataError(
            f"kind='response' draws the rows of a series together, and the new rows don't say theirs: give them the "
            f"columns {columns}, without missing values"
        )
    series.check(design.series, design.index)


def each_alone(design: Design, spec: ModelSpec) -> Design:
    """Rows of which each is a series of its own where residuals are correlated, as those of a grid are."""
    series = spec.layout.response.series
    if series is None:
        return design
    count = len(design)
    rows = SeriesRows(np.arange(count), np.zeros(count, np.int64), series.times[:1], np.full(count, -1))
    return replace(design, series=rows)


def series_blocks(rows: SeriesRows, most: int) -> Iterator[Codes]:
    """The places of all rows, in blocks of whole series that have `most` rows or so."""
    order = np.lexsort((rows.places, rows.codes))
    ends = np.cumsum(np.bincount(rows.codes))
    start = 0
    while start < len(order):
        end = ends[max(int(np.searchsorted(ends, start + most, side="right")) - 1, 0)]
        if end <= start:  # a series with more rows than that
            end = ends[int(np.searchsorted(ends, start, side="right"))]
        yield order[start:end]
        start = int(end)


def _patterns(rows: SeriesRows) -> Iterator[tuple[Codes, Codes]]:
    """Series of the same times together: their times' places (m,), and the places of their rows (series, m)."""
    order = np.lexsort((rows.places, rows.codes))
    found: dict[bytes, list[Codes]] = {}
    for own in np.split(order, np.flatnonzero(np.diff(rows.codes[order])) + 1):
        found.setdefault(rows.places[own].tobytes(), []).append(own)
    for series in found.values():
        yield rows.places[series[0]], np.array(series)


def correlations_at(spec: ModelSpec, aux: Any, times: Array) -> Array:
    """The correlations of residuals at some times, where the family's parameters have draws `aux`: (S, m, m)."""
    series = spec.layout.response.series
    assert series is not None, "residuals are correlated"
    values = aux[series.parameter][:, 0]
    if series.kind.numbered:
        return series.correlations(values, times)
    places = times.astype(np.int64)  # of what is no number
    return series.correlations(values)[:, places[:, None], places]


def roots(cor: Array) -> Array:
    """Cholesky factors, of correlations that are singular to rounding those of ones a little nearer to 0."""
    try:
        return np.linalg.cholesky(cor)
    except np.linalg.LinAlgError:
        found = cor + NEAR * (np.eye(cor.shape[-1]) - cor)
        values, vectors = np.linalg.eigh(found)
        scaled = vectors * np.sqrt(np.maximum(values, NEAR))[:, None, :]
        upper = np.linalg.qr(np.swapaxes(scaled, 1, 2), mode="r")
        signs = np.sign(np.diagonal(upper, axis1=1, axis2=2))
        return np.asarray(np.swapaxes(upper * signs[:, :, None], 1, 2))


def slices(draws: int, size: int) -> Iterator[slice]:
    """Slices of the draws, in which matrices of a size don't take much memory."""
    step = max(1, ENTRIES // size**2)
    for start in range(0, draws, step):
        yield slice(start, min(start + step, draws))


def given_others(
    spec: ModelSpec, rows: Design, eta: Array, aux: Any, others: str
) -> tuple[Array, dict[str, Any]]:
    """Mean and standard deviation of each row given others of its series, in the places of predictor and sigma.

    Parameters
    ----------
    rows : Design
        Whole series, n rows with their response.
    eta : ndarray (S, n)
        The linear predictor.
    aux : mapping
        The other parameters.
    others : {"others", "earlier"}
        All others, or those of earlier times.
    """
    assert rows.y is not None, "only rows with a response say something of others"
    assert rows.series is not None, "their residuals are correlated"
    given = spec.family.given(eta, aux, spec.link)
    sigma = np.broadcast_to(given["sigma"].value, eta.shape)
    z = (rows.y - given[spec.family.first.name].value) / sigma
    centre, width = np.empty(eta.shape), np.empty(eta.shape)
    for places, own in _patterns(rows.series):
        cor = correlations_at(spec, aux, rows.series.times[places])
        for part in slices(len(eta), len(places)):
            root = roots(cor[part])
            own_z = np.moveaxis(z[part][:, own], 1, 2)  # (S, m, series)
            white = np.linalg.solve(root, own_z)
            if others == EARLIER:
                sd = np.diagonal(root, axis1=1, axis2=2)
                left = sd[:, :, None] * white
            else:
                inverse = np.linalg.inv(root)
                precision = np.square(inverse).sum(axis=1)
                sd = 1 / np.sqrt(precision)
                left = (np.swapaxes(inverse, 1, 2) @ white) / precision[:, :, None]
            centre[part, own] = np.moveaxis(own_z - left, 2, 1)
            width[part, own] = sd[:, None, :]
    return rows.y - sigma * (z - centre), {"sigma": sigma * width}


@dataclass(frozen=True, eq=False)
class Past:
    """Training rows that new rows come after, between or before, in the same series.

    Attributes
    ----------
    rows : Design
        All training rows.
    of : ndarray of int, (n,)
        The series of training that each new row belongs to, −1 where it is another one.
    """

    rows: Design
    of: Codes

    def beside(self, places: Codes) -> Codes:
        """The places of the training rows that belong with some of the new ones."""
        assert self.rows.series is not None, "their residuals are correlated"
        return np.flatnonzero(np.isin(self.rows.series.codes, self.of[places]))


def find_past(training: Design, new: Design) -> Past | None:
    """What training knows of the series of new rows; None where that is nothing.

    Rows of one of training's series belong to it where it had none of their times.
    """
    rows, known = new.series, training.series
    if rows is None or known is None:
        return None
    found = np.full(len(rows.codes), -1)
    for code in np.unique(rows.codes[rows.known >= 0]):
        own = np.flatnonzero(rows.codes == code)
        series = rows.known[own[0]]
        times = known.times[known.places[known.codes == series]]
        if (rows.places[own] >= 0).all() and not np.isin(rows.times[rows.places[own]], times).any():
            found[own] = series
    return Past(training, found) if (found >= 0).any() else None


def given_past(
    spec: ModelSpec, rows: Design, of: Codes, past: Design, z: Array, aux: Any, noise: Array | None
) -> Array:
    """Residuals over sigma of new rows that belong to training's series: (S, n), 0 in others.

    Parameters
    ----------
    rows, past : Design
        The new rows, and all training rows of their series.
    of : ndarray of int, (n,)
        As in `Past`.
    z : ndarray (S, rows of the past)
        Residuals over sigma of those.
    aux : mapping
    noise : ndarray (S, n), optional
        Independent standard normal numbers; the conditional means unless given.
    """
    assert rows.series is not None, "their residuals are correlated"
    assert past.series is not None, "their residuals are correlated"
    found = np.zeros((len(z), len(of)))
    for series in np.unique(of[of >= 0]):
        own, before = np.flatnonzero(of == series), np.flatnonzero(past.series.codes == series)
        times = np.concatenate([
            past.series.times[past.series.places[before]], rows.series.times[rows.series.places[own]]
        ])  # fmt: skip
        order = np.argsort(np.argsort(times))
        cor = correlations_at(spec, aux, np.sort(times))[:, order[:, None], order]
        count = len(before)
        for part in slices(len(z), len(times)):
            root = roots(cor[part])
            white = np.linalg.solve(root[:, :count, :count], z[part][:, before, None])
            residual = root[:, count:, :count] @ white
            if noise is not None:
                residual += root[:, count:, count:] @ noise[part][:, own, None]
            found[part, own] = residual[..., 0]
    return found


def draw_responses(spec: ModelSpec, rows: Design, eta: Array, aux: Any, seed: tuple[int, ...]) -> Array:
    """Responses (S, n) of whole series; those of one come from random numbers of its own."""
    assert rows.series is not None, "their residuals are correlated"
    given = spec.family.given(eta, aux, spec.link)
    found = np.empty(eta.shape)
    for places, own in _patterns(rows.series):
        z = np.empty((len(eta), *own.shape))
        for number, each in enumerate(own):
            rng = np.random.default_rng([*seed, int(rows.series.codes[each[0]])])
            z[:, number] = rng.standard_normal((len(eta), len(places)))
        cor = correlations_at(spec, aux, rows.series.times[places])
        for part in slices(len(eta), len(places)):
            root = roots(cor[part])
            found[part, own] = z[part] @ np.swapaxes(root, 1, 2)
    return np.asarray(given[spec.family.first.name].value + given["sigma"].value * found)
