"""From whitened coordinates back to the graph's free variables."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from hierbayes.distributions import BOUNDS
from hierbayes.engine.core.hyperparameters import CHOL, EFFECTS, END_SHAPE, FIRST_SHAPE, SIZE
from hierbayes.engine.core.shapes import LOWER, D
from hierbayes.engine.several import to_stacked
from hierbayes.engine.whitened import own_numbers, to_question
from hierbayes.engine.whitening.kernel import T, U, forward
from hierbayes.engine.whitening.laplace import evaluator, laplace_start
from hierbayes.engine.whitening.rows import VALUE
from hierbayes.families.correlated import roots
from hierbayes.several import JointSpec
from hierbayes.structures import BOUNDED, POSITIVE, SHRINKAGES
from tests.test_graph import REAL


def suffix(kind: str) -> str:
    others = {"Uniform": "_interval__", "Beta": "_logodds__"}
    if kind.startswith("Truncated"):
        return "_interval__"
    return "" if kind in REAL else others.get(kind, "_log__")


def kind_of(prior) -> str:
    """A prior's distribution, and which bounds it has, where either may be absent."""
    return "_".join(
        [prior.name, *(word for word, _ in prior.args if prior.distribution.inside and word in BOUNDS)]
    )


def unconstrained(prior, value: np.ndarray) -> np.ndarray:
    """PyMC's number for one above 0 or between its prior's bounds."""
    lower, upper = prior.distribution.bounds(**dict(prior.args))
    return np.log(value - lower) - (np.log(upper - value) if np.isfinite(upper) else 0.0)


UNSEEN = "unseen"  # effects whose sds a joint prior gives to groups: the engine's alone, the graph has none


def sds(name: str, kinds: list[str], values: np.ndarray, map_of_effects: str) -> dict[str, np.ndarray]:
    """Unconstrained standard deviations under the graph's names, but for those that a joint prior decides."""
    if not set(kinds) & set(SHRINKAGES):
        return named(f"{name}{map_of_effects}", kinds, values)
    free = [kind for kind in kinds if kind not in SHRINKAGES]
    return named(f"{name}_own", free, values) if free else {}


def named(name: str, kinds: list[str], values: np.ndarray) -> dict[str, np.ndarray]:
    """Unconstrained values under the graph's names: one variable a distribution, none for what is fixed."""
    distinct = list(dict.fromkeys(kinds))
    if len(distinct) == 1 and distinct != ["Fixed"]:
        return {f"{name}{suffix(distinct[0])}": values}
    free = [kind for kind in kinds if kind != "Fixed"]
    return {
        f"{name}_{kind.lower()}{suffix(kind)}": values[[k == kind for k in free]]
        for kind in distinct
        if kind != "Fixed"
    }


def spiral(chol: np.ndarray) -> np.ndarray:
    """PyMC's unconstrained numbers of a correlation matrix's Cholesky factor: the inverse of `correlation_of`."""
    q = len(chol)
    m = q - 1
    count = m * (m + 1) // 2
    labels = np.arange(count)
    places = np.tril(np.concatenate([labels[m:], labels[::-1]]).reshape(m, m) + 1)
    ratios = (chol / np.diagonal(chol)[:, None])[1:, :-1]
    y = np.zeros(count)
    y[places[places > 0] - 1] = ratios[places > 0]
    return y


def _shares(broken: np.ndarray) -> np.ndarray:
    """A stick's pieces from the parts of what is left that are broken off one after another."""
    pieces, left = [], 1.0
    for part in broken:
        pieces.append(left * part)
        left -= pieces[-1]
    return np.array([*pieces, left])


def _simplex_coordinates(broken: np.ndarray) -> np.ndarray:
    """PyMC's unconstrained numbers of the shares that are these parts of what is left."""
    shares = np.log(_shares(broken))
    return shares[:-1] - shares.mean()


def layout_of(spec, parameter):
    """A formula's layout."""
    return spec.layout.predictors[parameter]


@dataclass(frozen=True)
class Whitened:
    """A model, of one response or several, its start, and the way from a position to the graph's point."""

    model: object

    def __post_init__(self):
        spec = self.model.spec
        if isinstance(spec, JointSpec):
            problem = to_stacked(spec, {name: own.design for name, own in self.model.models.items()})
        else:
            problem = to_question(spec, self.model.design)
        object.__setattr__(self, "problem", problem)
        object.__setattr__(self, "start", laplace_start(problem))
        object.__setattr__(self, "packed", self.start.packed)
        object.__setattr__(self, "memory", self.packed.memory())
        object.__setattr__(self, "evaluate", evaluator(self.packed))

    @property
    def specs(self):
        """Each response's, with the names that its variables have in the graph."""
        spec = self.model.spec
        return spec.named if isinstance(spec, JointSpec) else (spec,)

    def point(self, position: np.ndarray) -> dict[str, np.ndarray]:
        """The graph's free variables at a position."""
        packed, memory = self.packed, self.memory
        forward(position, packed.model, packed.mapping, memory)
        theta, found = memory.theta[0].copy(), {}
        for spec, name, of_own, places in self.plain():
            own, kind = spec.family.parameter(name), kind_of(spec.prior(name, parameter=name))
            called = spec.own_variable(own).name
            called += "_at_means" if spec.moving and name == spec.family.origin else ""
            if own.size:
                broken = memory.own[VALUE, places]
                by_set = [_simplex_coordinates(part) for part in broken.reshape(-1, own.size - 1)]
                found[f"{called}_simplex__"] = np.array(by_set if spec.sets_of(own) else by_set[0])
            elif own.kind.vector:
                ordered = "_ordered__" if own.kind.support == "ordered" else ""
                found[f"{called}{ordered}"] = theta[of_own].reshape(np.shape(spec.typical(own)))
            elif of_own[0] >= 0:  # neither known nor another response's
                t = theta[of_own[0]].reshape(())
                if own.of == "least":  # the kernel's is bounded by the least response, whatever its prior
                    t = unconstrained(spec.prior(name, parameter=name), memory.own[VALUE, places].reshape(()))
                found |= named(called, [kind], t)
        whole = self.model.spec
        residuals = whole.residuals if isinstance(whole, JointSpec) else None
        if residuals is not None and residuals.prior.prior.fixed is None:
            size = len(whole.responses)
            chol = roots(memory.own[VALUE, -(size * (size - 1) // 2) :])
            found[f"{residuals.variable.name}_chol_cholesky_corr__"] = spiral(chol)
        predictors = [(spec, parameter) for spec in self.specs for parameter in spec.layout.predictors]
        for j, (spec, parameter) in enumerate(predictors):
            found |= self.coefficients(spec, parameter, memory.coefs[T, slice(*packed.model.predictors[j])])
        for spec, parameter, simplex, places in self.steps():
            broken = memory.own[VALUE, places]
            found[f"{spec.simplex_variable(parameter, simplex.label).name}_simplex__"] = _simplex_coordinates(
                broken
            )
        first_sd = start = 0
        for number, members in enumerate(packed.places):
            if len(members) > 1:
                more, first_sd, start = self.tied(theta, number, members, first_sd, start)
            else:
                ((j, k),) = members
                of_one = self.curve if k >= len(layout_of(*predictors[j]).factors) else self.factor
                more, first_sd, start = of_one(theta, number, *predictors[j], k, first_sd, start)
            found |= more
        return {name: np.array(value) for name, value in found.items()}

    def plain(self):
        """Each parameter without a formula: its specification, name, and places in theta and among own numbers."""
        places, first = self.packed.model.own_places[:, 0], 0
        for spec in self.specs:
            index = first
            for name in spec.plain_parameters:
                size = spec.components(spec.family.parameter(name))
                yield spec, name, places[index : index + size], slice(index, index + size)
                index += size
            first += own_numbers(spec)

    def steps(self):
        """Shares of steps: their specification, formula, and places of their parts among the numbers of its own."""
        first = 0
        for spec in self.specs:
            index = first + sum(spec.components(spec.family.parameter(n)) for n in spec.plain_parameters)
            for parameter, layout in spec.layout.predictors.items():
                for simplex in layout.simplexes:
                    yield spec, parameter, simplex, slice(index, index + len(simplex.steps) - 1)
                    index += len(simplex.steps) - 1
            first += own_numbers(spec)

    def coefficients(self, spec, parameter, free_values):
        """The coefficients of one formula."""
        if not spec.layout.predictors[parameter].coefficients:
            return {}
        layout, own = spec.layout.predictors[parameter], spec.coefficient_variable(parameter).name
        kinds = np.array([kind_of(p) for p in spec.coefficient_priors(parameter)])
        free = ~np.isin(kinds, ["Fixed", *SHRINKAGES])
        t = np.full(len(kinds), np.nan)
        t[free] = free_values
        apart = np.arange(len(kinds)) == layout.intercept
        joint = np.isin(kinds, list(SHRINKAGES))
        found = {}
        if (apart & free).any():
            found |= named(f"{own}_intercept", list(kinds[apart]), t[apart].reshape(()))
        if (~apart & free).any():
            found |= named(f"{own}_slopes", list(kinds[~apart & ~joint]), t[~apart & free])
        return found

    def curve(self, theta, number, spec, parameter, k, first_sd, start):
        """A smooth's variables; then where the next factor's begin."""
        layout, packed = spec.layout.predictors[parameter], self.packed
        if k == len(layout.factors) + len(layout.curves):
            return self.shrunk(theta, number, spec, parameter, first_sd, start)
        curve = layout.curves[k - len(layout.factors)]
        variables = spec.curve_variables(parameter, curve)
        (variable, prior), *shapes = spec.curve_priors(parameter, curve)
        at = packed.model.scales[first_sd : first_sd + 1, 0]
        found = {}
        if prior.fixed is None and prior.name not in SHRINKAGES:
            found |= named(variable.name, [prior.name], theta[at].reshape(()))
        row = next(r for r in packed.model.blocks if r[0] == number)
        for shape, (variable, prior), of_shape in zip(
            curve.shapes, shapes, packed.model.shapes[row[FIRST_SHAPE] :], strict=False
        ):
            if prior.fixed is None:
                origin = np.log(shape.typical(np.empty(0)))
                found |= named(variable.name, [prior.name], theta[int(of_shape[0])] + origin)
        found[f"{variables['s'].name}_z"] = self.memory.effects[U, start : start + curve.width]
        return found, first_sd + 1, start + curve.width

    def shrunk(self, theta, number, spec, parameter, first_sd, start):
        """The variables of coefficients that have a joint prior; then where the next factor's begin."""
        packed, shrunk = self.packed, spec.shrunk(parameter)
        size, own = shrunk.size, len(shrunk.places)
        row = next(r for r in packed.model.blocks if r[0] == number)
        places = packed.model.shapes[row[FIRST_SHAPE] + 1 : row[END_SHAPE], 0].astype(int)
        found, first = {}, 0
        for one, variable, prior in shrunk.parts:
            if one.support == "simplex":
                shares = np.log(_shares(1 / (1 + np.exp(-theta[places[first : first + size - 1]]))))
                found[f"{variable.name}_simplex__"] = shares[:-1] - shares.mean()
                continue
            count = size if one.each else 1
            values, first = theta[places[first : first + count]], first + count
            if one.support == "positive":  # counted from the scale of their prior
                values = values + np.log(dict(prior.args).get("sigma", 1.0))
            found |= named(variable.name, [prior.name], values if one.each else values.reshape(()))
        name = spec.coefficient_variable(parameter).name
        effects = self.memory.effects[U, start : start + size]
        if own:
            found[f"{name}_shrunk_z"] = effects[:own]
        if own < size:
            found[f"{UNSEEN}_{name}"] = effects[own:]
        return found, first_sd + 1, start + size

    def factor(self, theta, number, spec, parameter, k, first_sd, start):
        """A grouping factor's variables; then where the next one's begin."""
        packed, memory = self.packed, self.memory
        factor = spec.layout.predictors[parameter].factors[k]
        variables = {kind: own.name for kind, own in spec.factor_variables(parameter, factor).items()}
        q, found = len(factor.effects), {}
        kinds = [prior.name for prior in spec.sd_priors(parameter, factor)]
        free = "" if factor.map.identity and not factor.loaded else "_centred"
        free = free if len(kinds) == q else "_scales"
        of_sds = packed.model.scales[first_sd : first_sd + len(kinds), 0]
        found |= sds(variables["sd"], kinds, theta[of_sds[of_sds >= 0]], free)
        several = sum(block.matrix is not None for block in factor.structures) > 1
        shapes = iter(spec.shape_variables(parameter, factor))
        for i, block in enumerate(factor.structures):
            row = next(r for r in packed.model.blocks if r[0] == number and r[EFFECTS] == block.effects[0])
            of_shapes = packed.model.shapes[row[FIRST_SHAPE] : row[END_SHAPE], 0].astype(int)
            if block.structure.loadings:
                own = [next(shapes).whole for _ in block.parameters]
                rows = packed.model.shapes[row[FIRST_SHAPE] : row[END_SHAPE]]
                cells = rows[:, LOWER] + rows[:, D] * theta[of_shapes]
                found[f"{own[0].name}_free"] = cells
                continue
            for shape, at in zip(block.parameters, of_shapes, strict=False):
                kind = "_interval__" if shape.kind == BOUNDED else "_log__"
                origin = np.log(shape.typical(block.positions)) if shape.kind == POSITIVE else 0.0
                found[f"{next(shapes).name}{kind}"] = theta[at] + origin
            number_of = i if several else ""
            if block.matrix and not block.every_pair and (of_shapes >= 0).any():
                halves = 2 * theta[of_shapes[of_shapes >= 0]]  # log odds of (1 + tanh θ) / 2
                found[f"{variables['cor']}_partials{number_of}_logodds__"] = halves
            if block.every_pair and (of_shapes >= 0).any():
                chol = memory.lams[CHOL, number][np.ix_(block.effects, block.effects)]
                found[f"{variables['cor']}_chol{number_of}_cholesky_corr__"] = spiral(chol)
        if factor.relations is not None:
            row = next(r for r in packed.model.blocks if r[0] == number)
            of_shapes = packed.model.shapes[row[FIRST_SHAPE] : row[END_SHAPE], 0].astype(int)
            for (_, shape), at in zip(factor.shapes, of_shapes, strict=False):
                assert shape.kind == BOUNDED
                found[f"{next(shapes).name}_interval__"] = theta[at]
        for shape in factor.law.parameters:
            row = next(r for r in packed.model.blocks if r[0] == number and r[SIZE] == 0)
            at = int(packed.model.shapes[row[FIRST_SHAPE], 0])
            if at >= 0:
                variable = next(shapes)
                kind = spec.prior(variable.kind, group=factor.name, parameter=parameter).name
                ending = "_interval__" if kind == "TruncatedGamma" else suffix(kind)
                found[f"{variable.name}{ending}"] = theta[at] + np.log(shape.typical(np.empty(0)))
        width = factor.width
        found[f"{variables['r']}_z"] = memory.effects[U, start : start + width * q].reshape(width, q)
        return found, first_sd + len(kinds), start + width * q

    def tied(self, theta, number, members, first_sd, start):
        """The same of effects that are correlated across formulas."""
        whole, packed, memory = self.model.spec, self.packed, self.memory
        specs = {spec.response: spec for spec in self.specs}
        keys = [(spec.response, parameter) for spec in self.specs for parameter in spec.layout.predictors]
        (group,) = (g for g in whole.tied_groups if len(g.members) == len(members))
        found = {}
        for (j, k), member in zip(members, group.members, strict=True):
            assert (*keys[j], k) == (member.response, member.parameter, member.place)
            spec = specs[member.response]
            kinds = [prior.name for prior in spec.sd_priors(member.parameter, member.factor)]
            at = packed.model.scales[first_sd : first_sd + len(kinds), 0]
            centred = "" if member.factor.map.identity else "_centred"
            name = spec.factor_variables(member.parameter, member.factor)["sd"].name
            found |= sds(name, kinds, theta[at[at >= 0]], centred)
            first_sd += len(kinds)
        for tie in group.ties:
            chol = memory.lams[CHOL, number][np.ix_(group.places(tie), group.places(tie))]
            if whole.tie_prior(tie).fixed is None:
                found[f"{tie.variable}_chol_cholesky_corr__"] = spiral(chol)
        levels, q = len(group.members[0].factor.levels), group.slices[-1].stop
        r = f"r_{group.members[0].factor.name}_{group.ties[0].identifier}_z"
        found[r] = memory.effects[U, start : start + levels * q].reshape(levels, q)
        return found, first_sd, start + levels * q

    def log_jacobian(self, position: np.ndarray) -> float:
        """log |d point / d position|, by central differences of fourth order."""
        step = 2e-3

        def flat(x):
            return np.concatenate([np.ravel(value) for value in self.point(x).values()])

        columns = []
        for unit in np.eye(position.size):
            near = flat(position + step * unit) - flat(position - step * unit)
            far = flat(position + 2 * step * unit) - flat(position - 2 * step * unit)
            columns.append((8 * near - far) / (12 * step))
        return float(np.linalg.slogdet(np.array(columns)).logabsdet)

    def differences(self, position: np.ndarray) -> np.ndarray:
        """The gradient by central differences of sixth order: doubly exponential densities need it."""
        step = 1e-3
        found = []
        for unit in np.eye(position.size):
            near, far, further = (
                self.evaluate(position + k * step * unit)[0] - self.evaluate(position - k * step * unit)[0]
                for k in (1, 2, 3)
            )
            found.append((45 * near - 9 * far + further) / (60 * step))
        return np.array(found)


def assert_density(model, by_hand, seed: int = 1, scale: float = 0.5) -> Whitened:
    """Kernel = graph + log-Jacobian, and gradient = differences, at two points; nearer where the density is 0."""
    whitened = Whitened(model)

    def log_density(position):
        point = whitened.point(position)
        unseen = [values for name, values in point.items() if name.startswith(UNSEEN)]
        seen = {name: values for name, values in point.items() if not name.startswith(UNSEEN)}
        return by_hand.logp(seen) + stats.norm.logpdf(np.concatenate([[], *unseen])).sum()

    rng = np.random.default_rng(seed)
    for _ in range(2):
        direction, size = rng.normal(size=whitened.packed.dim), scale
        with np.errstate(invalid="ignore"):
            while not np.isfinite(expected := log_density(size * direction)):
                size /= 2
                assert size > 0.01, "no point near the start has a density"
        position = size * direction
        value, gradient = whitened.evaluate(position)
        gradient = gradient.copy()
        np.testing.assert_allclose(value, expected + whitened.log_jacobian(position), rtol=1e-8, atol=1e-8)
        differences = whitened.differences(position)
        np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-6 * np.abs(differences).max())
    return whitened
