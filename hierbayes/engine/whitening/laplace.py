"""The start: where the posterior is and how wide, so that whitened coordinates are about N(0, I) there.

A point of high density is found by quasi-Newton steps in whitened coordinates, and the map is made anew about it, in
turns. In such coordinates the density of a standard deviation has no spike at 0, so its mode is a sensible place.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hierbayes.engine.core.approximation import mean_score, nearest_mean
from hierbayes.engine.core.density import Density, Evaluate
from hierbayes.engine.core.hyperparameters import LAM, start_theta
from hierbayes.engine.core.problem import Floats
from hierbayes.engine.core.routine import run
from hierbayes.engine.core.standardisation import LogDensity, find_mode, spread_at
from hierbayes.engine.whitening.codes import NODE, ROW, SIZE
from hierbayes.engine.whitening.coefficients import unconstrain_coefficient
from hierbayes.engine.whitening.fields import inverse_field
from hierbayes.engine.whitening.heavy import coefficient_tails, theta_tails
from hierbayes.engine.whitening.information import Pairs, find_pairs, split, whiten
from hierbayes.engine.whitening.integrated import integrated, lay_out, moments, pass_on, rule, settle
from hierbayes.engine.whitening.kernel import R, U, forward, log_density
from hierbayes.engine.whitening.leaning import lean
from hierbayes.engine.whitening.levels import inverse_levels
from hierbayes.engine.whitening.own import start_own
from hierbayes.engine.whitening.packing import (
    CONDITIONAL,
    DENSE,
    FIELD,
    IS_WIDE,
    LEVELS,
    SQUARE,
    Memory,
    Packed,
    Q,
    pack,
)
from hierbayes.engine.whitening.problem import Problem
from hierbayes.engine.whitening.stacked import Question
from hierbayes.engine.whitening.tails import LEFT_RATE, PLAIN, RIGHT_RATE, VALUES, before_tails
from hierbayes.engine.whitening.wide import inverse_wide

COEFFICIENT_ROUNDS, ROUNDS = 4, 12  # rounds with theta fixed; rounds in all
STEPS = 12  # of a round
MODES, MEANS = 2, 6  # rounds with a factor's effects integrated out: about a mode, about a mean
STILL = 0.3  # standard deviations that theta may move in the last
PAIRS, FEW_PAIRS = (
    4,
    2,
)  # of opposite draws over which the log density of theta is averaged: at last, and before
MEAN_PAIRS = 8  # of those that find a mean
FIRST_RULE = (9, 1.0)  # nodes of the quadrature and how they are spread, at first
RULES = [(n, spread) for n in (5, 7, 9, 11, 15, 21) for spread in (1.0, 0.9)]
FINEST_RULE = (41, 1.0)
POINTS, EXACT = 8, 0.03  # points at which rules are compared, and the error of the log density that is none
COMPARED = 100  # draws at which the error is told
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
        Largest slope of the log density there, with effects integrated out its mean over N(position, I); NaN where it
        cannot be computed.
    """

    packed: Packed
    position: Floats
    slope: float

    @property
    def converged(self) -> bool:
        """Whether it is a mode, nearly, and the coordinates are about it."""
        near = self.packed.integrated is not None or np.abs(self.position).max(initial=0.0) < 1.0
        return self.slope < ARRIVED and bool(near)


def density_of(packed: Packed) -> Density:
    """The log density of a model's whitened coordinates."""
    return Density(log_density, packed.dim, (*packed.model, *packed.mapping), packed.memory)


def evaluator(packed: Packed, memory: Memory | None = None) -> Evaluate:
    """The log density and its gradient at a position; the gradient is the same array each time."""
    density = density_of(packed)
    return (density if memory is None else replace(density, make_memory=lambda: memory)).evaluator()


def laplace_start(problem: Question) -> LaplaceStart:
    """Whiten a model."""
    packed, pairs, memory, position = _at_mode(problem)
    packed, position = _centred(packed, position)
    leaning, there = lean(packed, evaluator(packed, memory), position)
    tails = theta_tails(leaning, _theta_density(memory, there[packed.n_theta :]))
    bends, directions = coefficient_tails(leaning, there, evaluator)
    if len(bends) or _tailed(tails).any():
        origin = before_tails(packed.mapping.origin, tails)
        packed = packed.mapped(origin=origin, tails=tails, bends=bends, directions=directions)
        packed, memory, position = _climbed(problem, packed, pairs, position)
        packed, position = _centred(packed, position)
        leaning, there = lean(packed, evaluator(packed, memory), position)
    packed, position = _framed(leaning, memory, there), there
    gradient = evaluator(packed, memory)(position)[1]
    return LaplaceStart(packed, position, float(np.abs(gradient).max(initial=0.0)))


def _at_mode(problem: Question) -> tuple[Packed, Pairs, Memory, Floats]:
    """A model with its map about a mode, and where that is in its coordinates."""
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
    packed, memory, position = _climbed(problem, packed, pairs, np.zeros(packed.dim), COEFFICIENT_ROUNDS)
    return packed, pairs, memory, position


def _climbed(
    problem: Question, packed: Packed, pairs: Pairs, position: Floats, held: int = 0
) -> tuple[Packed, Memory, Floats]:
    """The map made anew about a mode, from a position, theta being held for some rounds; its memory, and the mode."""
    memory = packed.memory()
    run(forward, position, packed.model, packed.mapping, memory)
    for turn in range(ROUNDS):
        packed = whiten(problem, packed, pairs, memory)
        fixed = packed.n_theta if turn < held else 0
        evaluate = evaluator(packed, memory)
        position, slope = climb(evaluate, _position(packed, memory), fixed, packed.n_theta, STEPS)
        if fixed == 0 and slope < FLAT:
            break
        run(forward, position, packed.model, packed.mapping, memory)
    return packed, memory, position


def integrated_start(problem: Problem) -> LaplaceStart:
    """Whiten a model whose first factor's effects are integrated out (`integrated.can_integrate`).

    About the whole model's mode first. But where levels say little, that is far from the mass: so the hyperparameters
    move to the mean of the normal distribution that is nearest, all others to their mode there, in turns with the map.
    """
    whole, pairs, memory, position = _at_mode(problem)
    run(forward, position, whole.model, whole.mapping, memory)
    count = int(whole.model.factors[0, LEVELS])
    levels = lay_out(whole.model.codes[0], count)
    whole = whiten(problem, whole, pairs, memory)
    packed = integrated(problem, whole, levels, rule(*FIRST_RULE), memory)
    for turn in range(MODES + MEANS):
        own = packed.memory()
        pass_on(memory, own, count, to_whole=False)
        before, position = own.theta[VALUES].copy(), _position(packed, own)
        if turn < MODES:
            position, _ = climb(evaluator(packed, own), position, 0, packed.n_theta, STEPS)
            framed = packed
        else:
            framed, position = _at_mean(packed, own, position)
        evaluator(framed, own)(position)
        own.theta[PLAIN] = own.theta[VALUES]  # the whole model has no tail transforms
        mean, variance = moments(levels, own)
        pass_on(own, memory, count, to_whole=True)
        memory.effects[U, :count], memory.effects[R, :count] = mean, mean * own.lams[LAM, 0, 0, 0]
        whole = whiten(problem, whole, pairs, memory)
        packed = integrated(problem, whole, levels, rule(*FIRST_RULE), memory)
        settle(packed.model, levels, mean, variance, float(own.lams[LAM, 0, 0, 0]))
        width = np.linalg.norm(framed.mapping.scale_tril, axis=1)
        if turn >= MODES and (np.abs(own.theta[VALUES] - before) < STILL * width).all():
            break
    own = packed.memory()
    pass_on(memory, own, count, to_whole=False)
    leading = np.flatnonzero(~_tailed(framed.mapping.tails))
    packed, position = lean(packed, evaluator(packed, own), _position(packed, own), leading)
    packed = _framed_with_tails(packed, own, position, PAIRS)
    packed = replace(packed, model=packed.model._replace(nodes=_enough_nodes(packed, position)))
    evaluate = evaluator(packed)
    position = nearest_mean(evaluate, position)
    return LaplaceStart(packed, position, float(np.abs(mean_score(evaluate, position)[1]).max()))


def _at_mean(packed: Packed, memory: Memory, position: Floats) -> tuple[Packed, Floats]:
    """Theta standardised and where its mean is, all other coordinates at their mode there."""
    packed, position = _centred(packed, position)
    packed = _framed_with_tails(packed, memory, position, FEW_PAIRS)
    evaluate = evaluator(packed, memory)
    found = nearest_mean(evaluate, position, MEAN_PAIRS)
    position = np.concatenate([found[: packed.n_theta], position[packed.n_theta :]])
    return packed, climb(evaluate, position, packed.n_theta, packed.n_theta, STEPS)[0]


def _enough_nodes(packed: Packed, position: Floats) -> Floats:
    """The rule with the fewest nodes whose error hardly differs between points like draws."""
    rng = np.random.default_rng(0)
    points = [position + rng.standard_normal(position.size) for _ in range(POINTS)]

    def values(nodes: Floats) -> Floats:
        evaluate = evaluator(replace(packed, model=packed.model._replace(nodes=nodes)))
        return np.array([evaluate(point)[0] for point in points])

    exact = values(rule(*FINEST_RULE))
    for chosen in RULES:
        if float((values(rule(*chosen)) - exact).std()) < EXACT:
            return rule(*chosen)
    return rule(*FINEST_RULE)


def quadrature_error(packed: Packed, positions: Floats) -> float:
    """Standard deviation over some of the positions (draws, dim) of what twice the nodes add to the log density."""
    nodes = rule(2 * packed.model.nodes.shape[1])
    finer = evaluator(replace(packed, model=packed.model._replace(nodes=nodes)))
    evaluate = evaluator(packed)
    chosen = positions[:: -(-len(positions) // COMPARED)]
    return float(np.std([finer(position)[0] - evaluate(position)[0] for position in chosen]))


def _tailed(tails: Floats) -> np.ndarray:
    """Which numbers of theta have tail transforms."""
    rates = tails[:, [LEFT_RATE, RIGHT_RATE]]
    return rates.any(axis=1)


def _centred(packed: Packed, position: Floats) -> tuple[Packed, Floats]:
    """The same with theta counted from the position."""
    n_theta = packed.n_theta
    packed = packed.mapped(origin=packed.mapping.origin + position[:n_theta])
    return packed, np.concatenate([np.zeros(n_theta), position[n_theta:]])


def _position(packed: Packed, memory: Memory) -> Floats:
    """The coordinates of the point that the map was made about."""
    mapping, model = packed.mapping, packed.model
    white = np.zeros(packed.n_effects + mapping.t.size)
    u = memory.effects[U].copy()
    for k, factor in enumerate(model.factors):
        lam = memory.lams[LAM, k]
        if factor[FIELD] >= 0:
            _place_field(packed, memory, k, u, white)
            continue
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


def _place_field(packed: Packed, memory: Memory, k: int, u: Floats, white: Floats) -> None:
    """Set the coordinates of a field's u."""
    model, mapping, factor = packed.model, packed.mapping, packed.model.factors[k]
    field, fields, own = model.fields.fields[factor[FIELD]], model.fields, mapping.fields
    size, node, row = int(field[SIZE]), int(field[NODE]), int(field[ROW])
    order = fields.order[2 * node : 2 * (node + size)]
    run(
        inverse_field, factor, field, memory.lams[LAM, k], memory.shaped,
        mapping.W[factor[SQUARE] : factor[SQUARE] + size], mapping.c, u, order[size:], order[:size],
        fields.columns[row : row + size + 1], fields.rows, own.roots,
        np.ascontiguousarray(own.known[:, node : node + size]), own.about[factor[FIELD]],
        np.zeros(len(fields.rows)), np.zeros((7, size)), white,
    )  # fmt: skip


def _theta_density(memory: Memory, white: Floats, pairs: int = 0) -> Callable[[Packed], LogDensity]:
    """A model's log density of theta before its tail transforms, all other coordinates fixed.

    With pairs, these are not as given but drawn about there, as many opposite draws, and the log density is their mean.
    """
    away = np.random.default_rng(0).standard_normal((pairs, white.size))
    points = np.concatenate([white + away, white - away]) if pairs else white[None]

    def log_density_of(packed: Packed) -> LogDensity:
        evaluate = evaluator(packed, memory)

        def log_density(theta: Floats) -> tuple[float, Floats]:
            total, score = 0.0, np.zeros(packed.n_theta)
            for point in points:
                value, gradient = evaluate(np.concatenate([theta - packed.mapping.origin, point]))
                total += value / len(points)
                score += gradient[: packed.n_theta] / len(points)
            return total, score

        return log_density

    return log_density_of


def _framed(packed: Packed, memory: Memory, position: Floats) -> Packed:
    """Theta in coordinates in which it is about N(0, I), all others fixed."""
    log_density = _theta_density(memory, position[packed.n_theta :])(packed)
    try:
        return packed.mapped(scale_tril=spread_at(log_density, packed.mapping.origin))
    except np.linalg.LinAlgError:  # not a number near there
        return packed


def _framed_with_tails(packed: Packed, memory: Memory, position: Floats, pairs: int) -> Packed:
    """The same, all others drawn about the position; tail transforms where theta's log density has no end."""
    density_of = _theta_density(memory, position[packed.n_theta :], pairs)
    try:
        tails = theta_tails(packed, density_of)
        if _tailed(tails).any():
            packed = packed.mapped(tails=tails, origin=before_tails(packed.mapping.origin, tails))
            packed = packed.mapped(origin=find_mode(density_of(packed), packed.mapping.origin))
        return packed.mapped(scale_tril=spread_at(density_of(packed), packed.mapping.origin))
    except np.linalg.LinAlgError:
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
