"""Where to start: the posterior mode of the hyperparameters and the curvature there."""

from collections.abc import Callable

import numpy as np

from hierbayes.engine.gaussian.problem import Floats

LogDensity = Callable[[Floats], tuple[float, Floats]]


def find_mode(log_density: LogDensity, start: Floats, max_steps: int = 200) -> Floats:
    """Return a maximum of the log density by BFGS; the last point reached if it does not converge.

    ``log_density`` may return the same array for every gradient.
    Nocedal & Wright (2006), Numerical Optimization, algorithm 6.1, with a backtracking line search.
    """
    x = start.copy()
    value, score = log_density(x)
    score = score.copy()
    inverse = np.eye(x.size)
    for _ in range(max_steps):
        direction = inverse @ score
        slope = float(score @ direction)
        if not slope > 1e-8:
            break
        step = min(1.0, 2.0 / np.abs(direction).max())
        for _ in range(30):
            new_value, new_score = log_density(x + step * direction)
            if new_value >= value + 1e-4 * step * slope:
                break
            step *= 0.4
        else:
            break
        moved, bent = step * direction, score - new_score
        x, value, score = x + moved, new_value, new_score.copy()
        curvature = float(moved @ bent)
        if curvature > 1e-12:
            reflect = np.eye(x.size) - np.outer(moved, bent) / curvature
            inverse = reflect @ inverse @ reflect.T + np.outer(moved, moved) / curvature
    return x


def spread_at(log_density: LogDensity, mode: Floats, widest: float = 1.0) -> Floats:
    """Return a Cholesky factor of the inverse curvature at the mode, directions no wider than ``widest``.

    Flat or rising directions (an sd near zero) count as of that width.
    """
    dim = mode.size
    hessian = np.empty((dim, dim))
    for i in range(dim):
        step = np.zeros(dim)
        step[i] = 1e-3
        hessian[i] = (log_density(mode - step)[1].copy() - log_density(mode + step)[1]) / 2e-3
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    variances = 1.0 / np.maximum(values, widest**-2)
    return np.linalg.cholesky((vectors * variances) @ vectors.T)
