"""Effects of grouping factors and curves in a PyMC model, with their standard deviations and correlations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from hierbayes.data.blocks import Block
from hierbayes.data.curves import Curve
from hierbayes.data.factors import Factor
from hierbayes.distributions import HALVES, equal_correlations
from hierbayes.errors import UnsupportedError
from hierbayes.graph.variables import free_variable, free_vector, own_parameter, simplex, unused_name
from hierbayes.priors import Prior
from hierbayes.schema import SIGMA, Shrunk, Variable
from hierbayes.spec import ModelSpec
from hierbayes.ties import TiedGroup

type Effects = Mapping[tuple[str, str, str], Any]  # (G, q), by response, parameter and factor


def shrunk_effects(pm: Any, sds: Any, size: int, name: str, centered: bool) -> Any:
    """The coefficients that have a joint prior."""
    if centered:
        return pm.Normal(unused_name(pm, name), 0.0, sds, shape=size)
    return pm.Normal(unused_name(pm, f"{name}_z"), 0.0, 1.0, shape=size) * sds


def joint_sds(pm: Any, spec: ModelSpec, shrunk: Shrunk) -> Any:
    """The standard deviations that a joint prior decides (size,); whoever asks first makes its parameters."""
    import pytensor.tensor as pt

    size, values = shrunk.size, dict[str, Any]()
    for one, variable, prior in shrunk.parts:
        if variable.name in pm.modelcontext(None).named_vars:
            found = pm.modelcontext(None)[variable.name]
        elif one.support == "simplex":
            found = simplex(pm, prior, variable, size)
        elif one.each:
            found = free_vector(pm, [prior] * size, variable.name, variable.dims)
        else:
            found = free_variable(pm, prior, variable.name)
        values[variable.name] = found
    if shrunk.scale is not None:
        values[shrunk.scale.name] = own_parameter(pm, spec, spec.family.parameter(SIGMA))
    return shrunk.sds(pt, values)


def group_effects(pm: Any, spec: ModelSpec, parameter: str, factor: Factor, centered: bool) -> Any:
    """The (G, q) effects r of one factor, with their sds and correlations.

    Where priors are about other columns than the user's, so are the free variables; the schema's are computed from
    them.
    """
    import pytensor.tensor as pt

    variables, moved = spec.factor_variables(parameter, factor), not factor.map.identity
    free = "_centred" if moved else ""
    sd = _sds(pm, spec, parameter, factor)
    shape = (factor.width, len(factor.effects))
    name = variables["r"].name
    if not factor.correlated:
        shapes = [
            free_variable(pm, prior, variable.name) for variable, prior in _shapes(spec, parameter, factor)
        ]
        law = factor.law_values(shapes)
        if centered and factor.relations is None:
            if factor.law.normal:
                return pm.Normal(name, 0.0, sd, dims=variables["r"].dims)
            return factor.law.graph(pm, name, pt.diag(sd), shape, *law, dims=variables["r"].dims)
        z = _standard(pm, factor, unused_name(pm, f"{name}_z"), shape, law)
        return pm.Deterministic(name, factor.related(z, shapes, pt) * sd, dims=variables["r"].dims)
    chol, law = _correlation_factor(pm, spec, parameter, factor)
    scaled = sd[:, None] * chol
    root = pt.dot(factor.map.matrix, scaled) if moved else scaled
    if moved or factor.loaded:
        shifted = pt.sqrt(pt.sqr(root).sum(axis=1))
        pm.Deterministic(variables["sd"].name, shifted, dims=variables["sd"].dims)
        chol = root / shifted[:, None]
    if "cor" in variables:
        pm.Deterministic(variables["cor"].name, chol @ chol.T, dims=variables["cor"].dims)
    if centered and not factor.loaded:  # whose effects have no density, some deciding others
        dims = variables["r"].dims
        r = factor.law.graph(pm, unused_name(pm, f"{name}{free}"), scaled, shape, *law, dims=dims)
        return pm.Deterministic(name, pt.dot(r, factor.map.matrix.T), dims=dims) if moved else r
    z = _standard(pm, factor, unused_name(pm, f"{name}_z"), shape, law)
    return pm.Deterministic(name, pt.dot(z, root.T), dims=variables["r"].dims)


def _standard(pm: Any, factor: Factor, name: str, shape: tuple[int, int], law: Sequence[Any]) -> Any:
    """Standard effects (m, q): independent of each other where they are normal."""
    if factor.law.normal:
        return pm.Normal(name, 0.0, 1.0, shape=shape)
    return factor.law.graph(pm, name, np.eye(shape[1]), shape, *law)


def _shapes(spec: ModelSpec, parameter: str, factor: Factor) -> list[tuple[Variable, Prior]]:
    """The parameters of a factor's structures and of its levels' law, in the order of its `shapes`."""
    variables, priors = spec.shape_variables(parameter, factor), spec.shape_priors(parameter, factor)
    return list(zip(variables, priors, strict=True))


def _sds(pm: Any, spec: ModelSpec, parameter: str, factor: Factor) -> Any:
    """The standard deviations of the effects that the priors are about; the schema's, where those are the same."""
    import pytensor.tensor as pt

    variable, priors = spec.factor_variables(parameter, factor)["sd"], spec.sd_priors(parameter, factor)
    moved, shrunk = not factor.map.identity or factor.loaded is not None, spec.shrunk(parameter)
    if decided := shrunk.decided(factor.name):
        assert not moved, "standard deviations of a joint prior are those of the user's columns"
        sds, own = pt.zeros(len(priors)), [place for place in range(len(priors)) if place not in decided]
        sds = sds[list(decided)].set(joint_sds(pm, spec, shrunk)[list(decided.values())])
        if own:
            free = free_vector(pm, [priors[place] for place in own], unused_name(pm, f"{variable.name}_own"))
            sds = sds[own].set(free)
        return pm.Deterministic(variable.name, sds[np.array(factor.scale_of)], dims=variable.dims)
    if factor.loaded is not None and all(prior.fixed is not None for prior in priors):
        return pt.as_tensor(np.array([prior.fixed for prior in priors])[list(factor.scale_of)])
    if len(priors) == len(factor.effects):
        return free_vector(pm, priors, f"{variable.name}{'_centred' if moved else ''}", dims=variable.dims)
    sd = free_vector(pm, priors, unused_name(pm, f"{variable.name}_scales"))[np.array(factor.scale_of)]
    return sd if moved else pm.Deterministic(variable.name, sd, dims=variable.dims)


def tied_effects(pm: Any, spec: ModelSpec, centered: bool) -> dict[tuple[str, str, str], Any]:
    """The effects (G, q) of factors that are drawn together with those of other formulas, of all responses."""
    import pytensor.tensor as pt

    found: dict[tuple[str, str, str], Any] = {}
    for group in spec.tied_groups:
        sd = pt.concatenate(
            [_sds(pm, spec.siblings[m.response], m.parameter, m.factor) for m in group.members]
        )
        chol = pt.eye(group.slices[-1].stop)
        for member in group.members:
            if any(block.correlated and not block.identifier for block in member.factor.structures):
                raise UnsupportedError(
                    f"the graph has no effects of {member.factor.name!r} with an ID beside other correlated ones of "
                    "it; strategy='whitened' draws them"
                )
        for tie in group.ties:
            variable = spec.tie_variables[spec.ties.index(tie)]
            prior, q = spec.tie_prior(tie), len(tie.effects)
            part = (
                np.linalg.cholesky(equal_correlations(prior.fixed, q))
                if prior.fixed is not None
                else pm.LKJCorr(
                    unused_name(pm, f"{variable.name}_chol"), n=q, eta=np.float64(dict(prior.args)["eta"])
                )
            )
            rows, columns = np.ix_(group.places(tie), group.places(tie))
            chol = chol[rows, columns].set(part)
        matrix = block_diag(*(member.factor.map.matrix for member in group.members))
        root = pt.dot(matrix, sd[:, None] * chol)
        covariance = pt.dot(root, root.T)
        shifted = pt.sqrt(pt.diag(covariance))
        cor = covariance / (shifted[:, None] * shifted)
        for tie in group.ties:
            variable, places = spec.tie_variables[spec.ties.index(tie)], group.places(tie)
            pm.Deterministic(variable.name, cor[places][:, places], dims=variable.dims)
        found |= _tied_parts(pm, spec, group, root, shifted, cor, centered)
    return found


def _tied_parts(
    pm: Any,
    spec: ModelSpec,
    group: TiedGroup,
    root: Any,
    sd: Any,
    cor: Any,
    centered: bool,
) -> dict[tuple[str, str, str], Any]:
    """Each formula's part of effects that are drawn together, and the schema's variables."""
    import pytensor.tensor as pt

    levels, size = len(group.members[0].factor.levels), group.slices[-1].stop
    name = unused_name(pm, f"r_{group.members[0].factor.name}_{group.ties[0].identifier}")
    if centered:
        r = pm.MvNormal(name, mu=np.zeros(size), chol=root, shape=(levels, size))
    else:
        r = pt.dot(pm.Normal(f"{name}_z", 0.0, 1.0, shape=(levels, size)), root.T)
    found = {}
    for member, own in zip(group.members, group.slices, strict=True):
        variables = spec.siblings[member.response].factor_variables(member.parameter, member.factor)
        if variables["sd"].name not in pm.modelcontext(None).named_vars:
            pm.Deterministic(variables["sd"].name, sd[own], dims=variables["sd"].dims)
        if "cor" in variables:
            pm.Deterministic(variables["cor"].name, cor[own, own], dims=variables["cor"].dims)
        effects = pm.Deterministic(variables["r"].name, r[:, own], dims=variables["r"].dims)
        found[member.response, member.parameter, member.factor.name] = effects
    return found


def curve_effects(pm: Any, spec: ModelSpec, parameter: str, curve: Curve, centered: bool) -> Any:
    """The penalised coefficients of a smooth (m,), with their standard deviations."""
    import pytensor.tensor as pt

    variables, shrunk = spec.curve_variables(parameter, curve), spec.shrunk(parameter)
    sds, *shapes = (
        pm.Deterministic(variable.name, joint_sds(pm, spec, shrunk)[shrunk.decided(curve.label)[0]])
        if prior.joint
        else free_variable(pm, prior, variable.name)
        for variable, prior in spec.curve_priors(parameter, curve)
    )
    if curve.process is not None:
        sds = sds * curve.process.sizes(pt, *shapes)
    name, dims = variables["s"].name, variables["s"].dims
    if centered:
        return pm.Normal(name, 0.0, sds, dims=dims)
    z = pm.Normal(unused_name(pm, f"{name}_z"), 0.0, 1.0, shape=curve.width)
    return pm.Deterministic(name, z * sds, dims=dims)


def _correlation_factor(pm: Any, spec: ModelSpec, parameter: str, factor: Factor) -> tuple[Any, list[Any]]:
    """The (q, q) Cholesky factor of the correlations: each structure's own, zeros between blocks.

    And the parameters of the levels' law.
    """
    import pytensor.tensor as pt

    several = sum(block.matrix is not None for block in factor.structures) > 1
    shapes = _shapes(spec, parameter, factor)
    chol = pt.eye(len(factor.effects))
    for number, block in enumerate(factor.structures):
        q = len(block.effects)
        if not block.correlated:
            continue
        if block.structure.loadings:
            own, shapes = shapes[: len(block.parameters)], shapes[len(block.parameters) :]
            part = _loadings(pm, factor, block, own)
        elif block.matrix:
            prior = spec.cor_prior(parameter, factor, block)
            name = spec.factor_variables(parameter, factor)["cor"].name
            own_name = unused_name(pm, f"{name}_{block.matrix.free}{number if several else ''}")
            part = (
                np.linalg.cholesky(equal_correlations(prior.fixed, q))
                if prior.fixed is not None
                else block.matrix.graph_factor(pm, own_name, q, dict(prior.args)["eta"])
            )
        else:
            own, shapes = shapes[: len(block.parameters)], shapes[len(block.parameters) :]
            values = [free_variable(pm, prior, variable.name)[None, None] for variable, prior in own]
            cor = block.structure.correlation(pt, q, block.positions, *values)
            part = pt.linalg.cholesky(cor, lower=True)
        rows, columns = np.ix_(block.effects, block.effects)
        chol = chol[rows, columns].set(part)
    return chol, [free_variable(pm, prior, variable.name) for variable, prior in shapes]


def _loadings(pm: Any, factor: Factor, block: Block, own: Sequence[tuple[Variable, Prior]]) -> Any:
    """The root (q, q) of a covariance that comes of loadings: those, and zeros for the dimensions that there aren't.

    Those on the diagonal may have either sign here, as in the kernels (`structures.rr`); the schema's are settled.
    """
    import pytensor.tensor as pt

    assert block.structure.loadings is not None
    variable, priors = own[0][0].whole, []
    for _, prior in own:
        whole, middle = HALVES.get(prior.name, ("", ""))
        priors.append(Prior(whole, **{middle: 0.0}, **dict(prior.args)) if whole else prior)
    free = free_vector(pm, priors, unused_name(pm, f"{variable.name}_free"))
    rows, columns = zip(*(cell.place for cell, _ in own), strict=True)
    places = np.searchsorted(block.effects, rows)
    matrix = pt.zeros((len(block.effects), block.rank))[places, np.array(columns)].set(free)
    whole_matrix = pt.zeros((len(factor.effects), block.rank))
    settled = block.structure.loadings.settled(matrix, pt)
    pm.Deterministic(variable.name, whole_matrix[np.array(block.effects)].set(settled), dims=variable.dims)
    left = pt.zeros((len(block.effects), len(block.effects) - block.rank))
    return pt.concatenate([matrix, left], axis=1)
