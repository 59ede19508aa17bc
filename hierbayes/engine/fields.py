"""Related levels with a sparse precision, as the whitened engine takes them and as its draws are those of levels."""

from collections.abc import Iterator

import numpy as np

from hierbayes.data.design import Design
from hierbayes.data.factors import Factor as FactorLayout
from hierbayes.engine.collapsed import level_draws, sd_rows, shape_row, to_factors
from hierbayes.engine.core.problem import Block, Factor, Field, Floats
from hierbayes.engine.core.shapes import constant_rows
from hierbayes.spec import ModelSpec
from hierbayes.structures.related import MIXED


def whitened_factors(spec: ModelSpec, design: Design, parameter: str) -> Iterator[Factor]:
    """The factors of `to_factors`, those with a sparse precision as fields."""
    layout = spec.layout.predictors[parameter]
    others = iter(to_factors(spec, design, parameter, [f for f in layout.factors if f.precision is None]))
    for factor in layout.factors:
        yield next(others) if factor.precision is None else _to_field(spec, factor, design, parameter)
    yield from others


def _to_field(spec: ModelSpec, factor: FactorLayout, design: Design, parameter: str) -> Factor:
    """All levels that the covariance has, in its order; where a part of effects isn't related, as many once more."""
    relations, precision = factor.relations, factor.precision
    assert relations is not None, "levels are related"
    assert precision is not None, "their precision is sparse"
    bound, kind = design.predictors[parameter].factors[factor.name], relations.kind
    count = len(relations.labels)
    rows = [
        shape_row(shape, 1, np.empty(0), prior)
        for shape, prior in zip(kind.parameters, spec.shape_priors(parameter, factor), strict=True)
    ]
    rows.append(constant_rows([1.0] if kind.parameters else []))
    sizes = np.bincount(precision.parts[precision.parts >= 0])
    return Factor(
        codes=relations.places(factor.levels.labels, factor.name)[bound.codes],
        Z=factor.map.inner_columns(bound.z),
        n_levels=count * (2 if kind.field == MIXED else 1),
        sd_priors=sd_rows(spec, parameter, factor.name, spec.sd_priors(parameter, factor)),
        structured=(Block(kind.name if kind.parameters else "diag", (0,), (0,), np.concatenate(rows)),),
        related=Field(
            kind=kind.field,
            starts=precision.matrix.indptr.astype(np.int64),
            neighbours=precision.matrix.indices.astype(np.int64),
            strengths=precision.matrix.data,
            diagonal=precision.diagonal,
            constants=precision.constants,
            parts=precision.parts,
            constant=0.5 * (precision.log_determinant + float(np.log(sizes).sum())),
        ),
    )


def whitened_draws(factor: FactorLayout, sd: Floats, cor: Floats, r: Floats) -> tuple[Floats, Floats, Floats]:
    """Draws of sds (…, q), correlations (…, q, q) and effects (…, G, q), from those of `whitened_factors`."""
    if factor.precision is None:
        return level_draws(factor, sd, cor, r)
    assert factor.relations is not None
    return sd, cor, r[..., factor.relations.places(factor.levels.labels, factor.name), :]
