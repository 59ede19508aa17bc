"""Loops of the quadrature over one effect a group, for counts and proportions with their canonical links (numba)."""

import numpy as np

from hierbayes import special
from hierbayes.engine.core.loops import add, compiled, fill
from hierbayes.engine.core.problem import Floats, Ints

exp_lane, log1p_lane = special.exp_lane.compiled, special.log1p_lane.compiled
STEPS, NEAR = 25, 1e-3  # of Newton's method, and a step that ends it
FARTHEST = 2.0  # that one moves a linear predictor
MODE, MOVE, GRADIENT, WIDTH, SLOPE, LEVEL, PEAK, TOTAL = range(8)  # rows of the memory


@compiled
def integrate_one(
    logit: bool, firsts: Ints, y: Floats, trials: Floats, z: Floats, eta: Floats, scales: Ints, lams: Floats,
    constants: Floats, fine: Floats, coarse: Floats, values: Floats, halved: Floats, memory: Floats,
) -> None:  # fmt: skip
    """Set values and halved to the log density of each group's rows, its one effect integrated by either rule.

    A row's log density is y η − trials b(η) and a constant, with b(η) = log(1 + exp η) or exp η.

    Parameters
    ----------
    firsts : (G + 1,)
        Each group's first row.
    y, trials, z : (n,)
        The first two times the row's weight; the effect's column.
    eta : (n, S)
        Linear predictors without the effect.
    scales, lams : (G,), (R, S)
        Which row is the effect's standard deviation.
    constants : (G,)
    fine, coarse : (2, K)
        Points of a rule, and logarithms of their weights.
    values, halved : (G, S)
    memory : (8, B)
        For B draws at a time.
    """
    lanes = memory.shape[1]
    for group in range(firsts.size - 1):
        first, last = firsts[group], firsts[group + 1]
        widest = 0.0
        for i in range(first, last):
            widest = max(widest, abs(z[i]))
        for at in range(0, eta.shape[1], lanes):
            to = min(at + lanes, eta.shape[1])
            sd, level, slope = lams[scales[group], at:to], memory[LEVEL, : to - at], memory[SLOPE, : to - at]
            fill(level, constants[group])
            fill(slope, 0.0)
            for i in range(first, last):
                add(level, y[i], eta[i, at:to])
                add(slope, y[i] * z[i], sd)
            _climb(logit, first, last, at, trials, z, eta, sd, widest, memory)
            for i in range(to - at):
                memory[WIDTH, i] = 1.0 / np.sqrt(memory[WIDTH, i])
            _joint(logit, first, last, at, trials, z, eta, sd, 0.0, memory, memory[PEAK, : to - at])
            _sum(logit, first, last, at, trials, z, eta, sd, fine, memory, values[group, at:to])
            _sum(logit, first, last, at, trials, z, eta, sd, coarse, memory, halved[group, at:to])


@compiled
def _climb(
    logit: bool, first: int, last: int, at: int, trials: Floats, z: Floats, eta: Floats, sd: Floats, widest: float,
    memory: Floats,
) -> None:  # fmt: skip
    """Set MODE to the integrand's and WIDTH to its curvature; they only place the points, so they need not be exact."""
    u, move, gradient = memory[MODE, : sd.size], memory[MOVE, : sd.size], memory[GRADIENT, : sd.size]
    slope, curvature = memory[SLOPE, : sd.size], memory[WIDTH, : sd.size]
    fill(u, 0.0)
    for _ in range(STEPS):
        for s in range(u.size):
            move[s] = sd[s] * u[s]
            gradient[s] = slope[s] - u[s]
            curvature[s] = 1.0
        for i in range(first, last):
            row = eta[i, at : at + u.size]
            if logit:
                _logit_slopes(trials[i], z[i], row, move, sd, gradient, curvature)
            else:
                _log_slopes(trials[i], z[i], row, move, sd, gradient, curvature)
        longest = 0.0
        for s in range(u.size):
            most = FARTHEST / (widest * sd[s] + 1e-300)
            step = min(max(gradient[s] / curvature[s], -most), most)
            u[s] += step
            longest = max(longest, abs(step))
        if not longest >= NEAR:
            break


@compiled
def _joint(
    logit: bool, first: int, last: int, at: int, trials: Floats, z: Floats, eta: Floats, sd: Floats, point: float,
    memory: Floats, out: Floats,
) -> None:  # fmt: skip
    """Set out to the log density of rows and effect, `point` of its standard deviations from the mode."""
    mode, width, move = memory[MODE, : sd.size], memory[WIDTH, : sd.size], memory[MOVE, : sd.size]
    level, slope = memory[LEVEL, : sd.size], memory[SLOPE, : sd.size]
    for s in range(sd.size):
        u = mode[s] + point * width[s]
        move[s] = sd[s] * u
        out[s] = level[s] + u * slope[s] - 0.5 * u * u
    for i in range(first, last):
        row = eta[i, at : at + out.size]
        if logit:
            _logit_value(trials[i], z[i], row, move, out)
        else:
            _log_value(trials[i], z[i], row, move, out)


@compiled
def _sum(
    logit: bool, first: int, last: int, at: int, trials: Floats, z: Floats, eta: Floats, sd: Floats, rule: Floats,
    memory: Floats, out: Floats,
) -> None:  # fmt: skip
    """Set out to the logarithm of the integral by a rule."""
    total, joint, peak = memory[TOTAL, : sd.size], memory[GRADIENT, : sd.size], memory[PEAK, : sd.size]
    fill(total, 0.0)
    for k in range(rule.shape[1]):
        _joint(logit, first, last, at, trials, z, eta, sd, rule[0, k], memory, joint)
        for s in range(out.size):
            total[s] += exp_lane(rule[1, k] + joint[s] - peak[s])
    for s in range(out.size):
        out[s] = peak[s] + np.log(total[s] * memory[WIDTH, s]) - 0.9189385332046727


# of one row, in some draws; a loop that could do either would not fill vector registers


@compiled
def _logit_slopes(
    trials: float, z: float, row: Floats, move: Floats, sd: Floats, gradient: Floats, curvature: Floats
) -> None:
    for s in range(row.size):
        p = 1.0 / (1.0 + exp_lane(-row[s] - z * move[s]))
        column = z * sd[s]
        gradient[s] -= column * trials * p
        curvature[s] += column * column * trials * p * (1.0 - p)


@compiled
def _log_slopes(
    trials: float, z: float, row: Floats, move: Floats, sd: Floats, gradient: Floats, curvature: Floats
) -> None:
    for s in range(row.size):
        mean = trials * exp_lane(row[s] + z * move[s])
        column = z * sd[s]
        gradient[s] -= column * mean
        curvature[s] += column * column * mean


@compiled
def _logit_value(trials: float, z: float, row: Floats, move: Floats, out: Floats) -> None:
    for s in range(row.size):
        e = row[s] + z * move[s]
        out[s] -= trials * (max(e, 0.0) + log1p_lane(exp_lane(-abs(e))))


@compiled
def _log_value(trials: float, z: float, row: Floats, move: Floats, out: Floats) -> None:
    for s in range(row.size):
        out[s] -= trials * exp_lane(row[s] + z * move[s])
