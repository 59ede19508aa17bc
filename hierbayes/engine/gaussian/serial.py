"""Gaussian rows whose residuals are correlated within series: coefficients and effects of levels integrated out.

y = offset + X b + Z r_g + e, and the residuals e of a series are N(0, D R D), R the correlations of its rows' times, as
a structure has them, and D their standard deviations: sigma, or of each row its own by a formula of log sigma. A series
lies within one level g. With the Cholesky factor L of R the rows L⁻¹D⁻¹[Z, X, y] are independent and of variance 1.
They change with R, so that their cross-products are summed up in each evaluation, a level at a time, from which its
effects are eliminated as in `elimination`. `serialkernels` has the density and its gradient.

Series of one level and of the same times, whose rows have the same standard deviations, have a part in the density by
the cross-products of all their rows with each other alone. Where there are more of them than such rows have numbers,
as many made-up series as that have the same cross-products, from a QR factorisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from hierbayes.engine.core.density import Density
from hierbayes.engine.core.hyperparameters import FACTOR, block_table, scale_table
from hierbayes.engine.core.problem import Floats, Ints
from hierbayes.engine.core.routine import run
from hierbayes.engine.gaussian.conditional import Coefficients, in_batches
from hierbayes.engine.gaussian.moments import Moments
from hierbayes.engine.gaussian.packing import constant
from hierbayes.engine.gaussian.problem import GaussianProblem, LogSigma
from hierbayes.engine.gaussian.serialkernels import (
    SerialConstants,
    SerialMemory,
    draw_serial_conditional,
    serial_log_density,
)


class OwnSeries(NamedTuple):
    """Rows of one series, or of a made-up one; of made-up ones the first stands for all series, the others for none."""

    level: int
    times: tuple[int, ...]
    rows: Floats  # (m, q + p + 1): Z, X and the response about the reference
    sigma: Floats  # (m, S + 1): the columns of log sigma, and its offset
    stands_for: float  # how many series


@dataclass(frozen=True)
class Serial:
    """A collapsed model of correlated residuals: its constants and the way to make memory for them."""

    constants: SerialConstants
    n_theta: int
    n_coefficients: int

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return self.n_theta

    def standardised(self, origin: Floats, scale_tril: Floats) -> "Serial":
        """Return the model in other coordinates of theta."""
        return replace(self, constants=self.constants._replace(origin=origin, scale_tril=scale_tril))

    def with_tails(self, tails: Floats) -> "Serial":
        """Return the model with other tails of its scales."""
        priors = np.column_stack([self.constants.scale_priors[:, :2], tails])
        return replace(self, constants=self.constants._replace(scale_priors=priors))

    def density(self) -> Density:
        """Return the log density of its coordinates."""
        return Density(serial_log_density, self.dim, (self.constants,), lambda: (self.memory(),))

    def memory(self) -> SerialMemory:
        """Return memory for evaluations on one thread."""
        c = self.constants
        q, p, own = (int(size) for size in c.sizes[:3])
        times, levels, width = int(c.factors[-1, 0]), len(c.levels) - 1, q + p + 1
        largest = int(c.factors[:, 0].max())
        return SerialMemory(
            theta=np.zeros(self.n_theta),
            score=np.zeros(self.n_theta),
            scale=np.zeros((3, len(c.scales))),
            shaped=np.zeros((7, len(c.shapes))),
            lams=np.zeros((5, len(c.factors), largest, largest)),
            factor=np.zeros((times, times)),
            inverse=np.zeros((times, times)),
            spread=np.zeros((times, times)),
            half=np.zeros((times, times)),
            volumes=np.zeros(len(c.time_starts) - 1),
            roots=np.zeros(int(c.root_starts[-1])),
            inverses=np.zeros(int(c.root_starts[-1])),
            spreads=np.zeros(int(c.root_starts[-1])),
            sds=np.zeros(len(c.rows)),
            white=np.zeros(c.rows.shape),
            terms=np.zeros((2, times, width)),
            products=np.zeros((width, width)),
            level_inverse=np.zeros((levels, q, q)),
            level_columns=np.zeros((levels, q, p + 1)),
            level_square=np.zeros((q, q)),
            level_room=np.zeros((5, max(q, p + 1), max(q, p + 1))),
            H=np.zeros((p + 1, p + 1)),
            squares=np.zeros((3, p, p)),
            vectors=np.zeros((2, p)),
            own=np.zeros((2, own)),
        )


def serialise(problem: GaussianProblem, m: Moments) -> Serial:
    """Arrange the rows of a problem whose residuals are correlated within series.

    It has one factor or none, whose levels hold whole series.
    """
    series = problem.series
    assert series is not None, "its residuals are correlated"
    factors = (*problem.factors, series)
    q = problem.factors[0].q if problem.factors else 0
    levels = problem.factors[0].n_levels if problem.factors else 1
    found = merged(series_of(problem, m), q + problem.X.shape[1] + 1)
    patterns = {times: number for number, times in enumerate(dict.fromkeys(one.times for one in found))}
    sizes = np.array([len(times) for times in patterns])
    log_sigma = problem.log_sigma
    scales, scale_priors = scale_table(problem.own_priors, factors)
    blocks, shapes = block_table(problem.own_priors, factors)
    sds = [len(f.sd_priors) for f in factors]
    first = len(problem.own_priors) + np.cumsum(sds) - sds
    sigma = np.concatenate([one.sigma for one in found])
    p = problem.X.shape[1]
    constants = SerialConstants(
        origin=np.zeros(problem.n_theta),
        scale_tril=np.eye(problem.n_theta),
        sizes=np.array([q, p, sigma.shape[1] - 1, log_sigma is None], np.int64),
        scalars=np.array([constant(replace(problem, factors=factors, series=None), m)]),
        scales=scales,
        scale_priors=scale_priors,
        factors=np.array(
            [[f.q, at, 0, f.n_levels, 0] for f, at in zip(factors, first, strict=True)], np.int64
        ),
        blocks=blocks,
        shapes=shapes,
        rows=np.ascontiguousarray(np.concatenate([one.rows for one in found])),
        sigma=np.ascontiguousarray(sigma),
        counts=np.array([one.stands_for for one in found]),
        starts=_starts([len(one.times) for one in found]),
        patterns=np.array([patterns[one.times] for one in found], np.int64),
        levels=_starts(np.bincount([one.level for one in found], minlength=levels)),
        times=np.concatenate([np.array(times, np.int64) for times in patterns]),
        time_starts=_starts(sizes),
        root_starts=_starts(sizes**2),
        prior=np.stack([problem.prior_precision, problem.prior_mean - m.reference.b]),
    )
    return Serial(constants, problem.n_theta, p + (levels * q if q else 0))


def series_of(problem: GaussianProblem, m: Moments) -> list[OwnSeries]:
    """The series of a problem, level by level; their rows in time."""
    series = problem.series
    assert series is not None, "its residuals are correlated"
    n = len(problem.y)
    place = np.argmax(series.Z, axis=1)
    y = problem.y - m.reference.b @ problem.X.T
    y = y if problem.offset is None else y - problem.offset
    level = problem.factors[0].codes if problem.factors else np.zeros(n, np.int64)
    z = problem.factors[0].Z if problem.factors else np.zeros((n, 0))
    rows = np.column_stack([z, problem.X, y])
    own = problem.log_sigma or LogSigma(np.ones((n, 1)), np.zeros(n), problem.sigma_prior[None])
    sigma = np.column_stack([own.columns, own.offset])
    order = np.lexsort((place, series.codes, level))
    ends = np.flatnonzero(np.diff(series.codes[order])) + 1
    return [
        OwnSeries(int(level[one[0]]), tuple(place[one].tolist()), rows[one], sigma[one], 1.0)
        for one in np.split(order, ends)
    ]


def merged(series: Sequence[OwnSeries], width: int) -> list[OwnSeries]:
    """Fewer series with the same cross-products, level by level."""
    alike: dict[tuple[int, tuple[int, ...], bytes], list[OwnSeries]] = {}
    for one in series:
        alike.setdefault((one.level, one.times, one.sigma.tobytes()), []).append(one)
    found = []
    for (_, times, _), same in sorted(alike.items(), key=lambda item: item[0][0]):
        if len(same) <= len(times) * width:
            found += same
            continue
        stacked = np.linalg.qr(np.stack([one.rows.ravel() for one in same]), mode="r")
        counts = [float(len(same))] + [0.0] * (len(stacked) - 1)
        found += [
            same[0]._replace(rows=rows.reshape(len(times), width), stands_for=count)
            for rows, count in zip(stacked, counts, strict=True)
        ]
    return found


def _starts(sizes: Sequence[int] | Ints) -> Ints:
    """Where runs of some sizes begin, and the last one's end."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def draw_serial(
    model: Serial, thetas: Floats, seed: Sequence[int] | int, threads: int = 1, keep: int | None = None
) -> Coefficients:
    """Draw coefficients and effects from their exact conditional, as `conditional.draw_coefficients`."""
    thetas, c = np.ascontiguousarray(thetas, dtype=np.float64), model.constants
    of_levels = c.blocks[c.blocks[:, FACTOR] < len(c.factors) - 1]

    def draw_batch(part: slice, out: Floats, out_scale: Floats, out_chol: Floats) -> None:
        run(draw_serial_conditional, thetas[part], out, out_scale, out_chol, c, model.memory())

    return in_batches(model, len(thetas), draw_batch, seed, threads, keep, of_levels)
