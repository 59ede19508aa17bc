"""The start: where the posterior is and how wide, so that whitened coordinates are about N(0, I) there.

A point of high density is found by quasi-Newton steps in whitened coordinates, and the map is made anew about it, in
turns. In such coordinates the density of a standard deviation has no spike at 0, so its mode is a sensible place.
"""

from dataclasses import dataclass, replace

import numpy as np

from hierbayes.engine.core.density import Density, Evaluate
from hierbayes.engine.core.hyperparameters import LAM, start_theta
from hierbayes.engine.core.problem import Floats
from hierbayes.engine.core.routine import run
from hierbayes.engine.core.standardisation import LogDensity, standardise
from hierbayes.engine.whitening.coefficients import unconstrain_coefficient
from hierbayes.engine.whitening.information import find_pairs, split, whiten
from hierbayes.engine.whitening.kernel import U, forward, log_density
from hierbayes.engine.whitening.leaning import lean
from hierbayes.engine.whitening.levels import inverse_levels
from hierbayes.engine.whitening.own import start_own
from hierbayes.engine.whitening.packing import CONDITIONAL, DENSE, IS_WIDE, LEVELS, Memory, Packed, Q, pack
from hierbayes.engine.whitening.stacked import Question
from hierbayes.engine.whitening.wide import inverse_wide

COEFFICIENT_ROUNDS, ROUNDS = 4, 12  # rounds with theta fixed; rounds in all
STEPS = 12  # of a round
FLAT, ARRIVED = 0.05, 0.5  # largest slope, per standard deviation, to stop at; to be content with
LONGEST = 2.0
HALVINGS = 30
REMEMBERED = 8  # steps that the quasi-Newton method looks back on


@dataclass(frozen=True)
class LaplaceStart:
    """A model in whitened coordinates.

    Attributes
    ----------
    packed : Packed
    position : array (dim,)
        Where the posterior is, in its coordinates: about 0 if all went well.
    slope : float
        Largest slope of the log density there; NaN where it cannot be computed.
    """

    packed: Packed
    position: Floats
    slope: float

    @property
    def converged(self) -> bool:
        """Whether it is a mode, nearly, and the coordinates are about it."""
        return self.slope < ARRIVED and bool(np.abs(self.position).max(initial=0.0) < 1.0)


def density_of(packed: Packed) -> Density:
    """The log density of a model's whitened coordinates."""
    return Density(log_density, packed.dim, (*packed.model, *packed.mapping), packed.memory)


def evaluator(packed: Packed, memory: Memory | None = None) -> Evaluate:
    """The log density and its gradient at a position; the gradient is the same array each time."""
    density = density_of(packed)
    return (density if memory is None else replace(density, make_memory=lambda: memory)).evaluator()


def laplace_start(problem: Question) -> LaplaceStart:
    """Whiten a model."""
    packed = pack(problem)
    sizes = packed.model.sizes.copy()
    conditional = split(packed)
    factors = packed.model.factors
    sizes[CONDITIONAL] = conditional
    left = factors[conditional:]
    sizes[DENSE] = int((left[:, LEVELS] * left[:, Q]).sum()) + packed.mapping.t.size
    theta, t = rough_start(problem, packed)
    packed = replace(packed, model=packed.model._replace(sizes=sizes)).mapped(origin=theta, t=t)
    pairs = find_pairs(packed, conditional)
    memory = packed.memory()
    run(forward, np.zeros(packed.dim), packed.model, packed.mapping, memory)
    for turn in range(ROUNDS):
        packed = whiten(problem, packed, pairs, memory)
        fixed = packed.n_theta if turn < COEFFICIENT_ROUNDS else 0
        evaluate = evaluator(packed, memory)
        position, slope = climb(evaluate, _position(packed, memory), fixed, packed.n_theta, STEPS)
        if fixed == 0 and slope < FLAT:
            break
        run(forward, position, packed.model, packed.mapping, memory)
    if packed.n_theta:
        packed = packed.mapped(origin=packed.mapping.origin + position[: packed.n_theta])
        position[: packed.n_theta] = 0.0
    packed, position = lean(packed, evaluator(packed, memory), position)
    if packed.n_theta:
        packed = _framed(packed, memory, position)
    gradient = evaluator(packed, memory)(position)[1]
    return LaplaceStart(packed, position, float(np.abs(gradient).max(initial=0.0)))


def _position(packed: Packed, memory: Memory) -> Floats:
    """The coordinates of the point that the map was made about."""
    mapping, model = packed.mapping, packed.model
    white = np.zeros(packed.n_effects + mapping.t.size)
    u = memory.effects[U].copy()
    for k, factor in enumerate(model.factors):
        lam = memory.lams[LAM, k]
        if factor[IS_WIDE]:
            run(inverse_wide, factor, lam, mapping.W, mapping.c, mapping.spread, u, white)
            continue
        run(
            inverse_levels, factor, lam, memory.shaped, mapping.W, mapping.weight, mapping.c, u, memory.roots, white
        )  # fmt: skip
    dense = len(mapping.rotation)
    if dense:
        white[len(white) - dense :] = np.linalg.solve(mapping.rotation, white[len(white) - dense :])
    return np.concatenate([np.zeros(packed.n_theta), white])


def _framed(packed: Packed, memory: Memory, position: Floats) -> Packed:
    """Theta in coordinates in which it is about N(0, I), all others fixed; tail transforms of sds that may be 0."""
    white = position[packed.n_theta :]

    def log_density_of(packed: Packed) -> LogDensity:
        evaluate = evaluator(packed, memory)

        def log_density(theta: Floats) -> tuple[float, Floats]:
            value, gradient = evaluate(np.concatenate([theta - packed.mapping.origin, white]))
            return value, gradient[: packed.n_theta]

        return log_density

    try:
        return standardise(packed, packed.model.scales, log_density_of, packed.mapping.origin)
    except np.linalg.LinAlgError:  # not a number near there
        return packed


def climb(evaluate: Evaluate, start: Floats, fixed: int, n_theta: int, steps: int) -> tuple[Floats, float]:
    """Go uphill by L-BFGS, the first coordinates fixed; also return the largest slope at the start.

    Nocedal & Wright (2006), Numerical Optimization, algorithm 7.4, with a backtracking line search. Hyperparameters
    move by `LONGEST` at most in one step.
    """
    # by hand: cbpp takes 29 evaluations, contraception 34; scipy's L-BFGS-B 30 and 37, and 600 ms of import
    x = start.copy()
    value, score = evaluate(x)
    score = _held(score, fixed)
    at_start = slope = float(np.abs(score).max(initial=0.0))
    moved: list[Floats] = []
    bent: list[Floats] = []
    for _ in range(steps):
        if not slope > FLAT / 10:
            break
        direction = _direction(score, moved, bent)
        rise = float(score @ direction)
        step = min(1.0, LONGEST / float(np.abs(direction[:n_theta]).max(initial=LONGEST)))
        for _ in range(HALVINGS):
            new_value, new_score = evaluate(x + step * direction)
            if new_value >= value + 1e-4 * step * rise and np.isfinite(new_score).all():
                break
            step *= 0.4
        else:
            break
        new_score = _held(new_score, fixed)
        if float((score - new_score) @ direction) * step > 1e-12:
            moved, bent = [*moved, step * direction][-REMEMBERED:], [*bent, score - new_score][-REMEMBERED:]
        x, value, score = x + step * direction, new_value, new_score
        slope = float(np.abs(score).max(initial=0.0))
    return x, at_start


def _held(score: Floats, fixed: int) -> Floats:
    held = score.copy()
    held[:fixed] = 0.0
    return held


def _direction(score: Floats, moved: list[Floats], bent: list[Floats]) -> Floats:
    """The inverse curvature of the last steps times the score; 1 before there are any."""
    direction = score.copy()
    shares = []
    for s, y in zip(reversed(moved), reversed(bent), strict=True):
        share = float(s @ direction) / float(s @ y)
        shares.append(share)
        direction -= share * y
    if moved:
        direction *= float(moved[-1] @ bent[-1]) / float(bent[-1] @ bent[-1])
    for s, y, share in zip(moved, bent, reversed(shares), strict=True):
        direction += s * (share - float(y @ direction) / float(s @ y))
    return direction


def rough_start(problem: Question, packed: Packed) -> tuple[Floats, Floats]:
    """Theta and unconstrained coefficients of sensible size: the linear predictors near their typical values."""
    scales = [sd for places in packed.places for j, k in places for sd in problem.predictors[j].sds[k]]
    theta = start_theta(packed.n_theta, packed.model.scales, packed.model.scale_priors, scales)
    start_own([own.value for own in problem.own], packed.model.own_places, packed.model.own_priors, theta)
    t = []
    for predictor in problem.predictors:
        size = np.sqrt((predictor.X**2).mean(axis=0)).clip(1e-300)
        X = predictor.X / size
        gram = X.T @ X + 1e-6 * len(X) * np.eye(X.shape[1])
        values = np.linalg.solve(gram, X.T @ (predictor.start - predictor.offset)) / size
        if predictor.coefficients is not None:
            values = predictor.coefficients
        t += [unconstrain_coefficient(b, prior) for b, prior in zip(values, predictor.priors, strict=True)]
    return theta, np.array(t, np.float64)
