"""Coefficients with a joint prior as the engines have them: independent effects of one level with structured sds.

Standard deviations of group effects and smooths that the prior is of too are those of further effects, which no row
has: whatever these are, they integrate to 1. The other factors' standard deviations refer to theirs.
"""

import numpy as np

from hierbayes.data.design import Design
from hierbayes.engine.collapsed import sd_row
from hierbayes.engine.core.problem import Block, Factor, Floats, PriorCode
from hierbayes.engine.core.shapes import bounded_row, constant_rows, follow_row, positive_row
from hierbayes.engine.whitening.codes import BOUNDED_CODES
from hierbayes.priors import Prior
from hierbayes.schema import SIGMA, Shrunk
from hierbayes.spec import ModelSpec


def obstacle(spec: ModelSpec, parameter: str) -> str | None:
    """Why the joint prior of a formula's coefficients cannot be whitened, in words; None where it can."""
    layout, shrunk = spec.layout.predictors[parameter], spec.shrunk(parameter)
    if shrunk.size == 1:
        what = "coefficient" if shrunk.places.size else "standard deviation"
        return f"a joint prior, {shrunk.shrinkage.name}, is of one {what}"
    if any(layout.map.matrix[effect.place][shrunk.places].any() for effect in layout.monotonic):
        return f"a monotonic effect has a joint prior, {shrunk.shrinkage.name}"
    of_sigma = "" if shrunk.scale is None else spec.prior(SIGMA, parameter=SIGMA).name
    if of_sigma in ("Uniform", "Beta", *BOUNDED_CODES):  # of which the engine's number is no logarithm
        return f"a joint prior, {shrunk.shrinkage.name}, follows {SIGMA}, whose prior is {of_sigma}"
    return None


def to_factors(spec: ModelSpec, design: Design, parameter: str) -> tuple[Factor, ...]:
    """The one factor that what of a formula has a joint prior is; none where there is nothing."""
    layout, shrunk = spec.layout.predictors[parameter], spec.shrunk(parameter)
    size = shrunk.size
    if not size:
        return ()
    rows = np.concatenate([_scale(spec, shrunk), *_rows(shrunk), constant_rows([_constant(shrunk)])])
    places = tuple(range(size))
    columns = layout.map.inner_columns(design.predictors[parameter].x)
    return (
        Factor(
            codes=np.zeros(len(design), np.int64),
            Z=np.hstack([columns[:, shrunk.places], np.zeros((len(design), len(shrunk.scales)))]),
            n_levels=1,
            sd_priors=np.array([[PriorCode.FIXED, 1.0, 0.0, 0.0]]),
            structured=(Block(shrunk.shrinkage.name, places, (0,) * size, rows),),
        ),
    )


def _constant(shrunk: Shrunk) -> float:
    return shrunk.shrinkage.constant(shrunk.arguments)


def _scale(spec: ModelSpec, shrunk: Shrunk) -> Floats:
    """What the standard deviations are multiples of: 1, or the residuals' own, which may be known."""
    if shrunk.scale is None:
        return constant_rows([1.0])
    known = spec.prior(SIGMA, parameter=SIGMA).fixed
    if known is not None:
        return constant_rows([known])
    plain = [
        name for name in spec.plain_parameters for _ in range(spec.components(spec.family.parameter(name)))
    ]
    return follow_row(plain.index(SIGMA))


def _rows(shrunk: Shrunk) -> list[Floats]:
    """The parameters with their priors; shares are those of a stick, whose breaks have Beta priors."""
    size, found = shrunk.size, list[Floats]()
    for one, _, prior in shrunk.parts:
        arguments = dict(prior.args)
        if one.support == "positive":
            found += [positive_row(sd_row(prior), _typical(prior))] * (size if one.each else 1)
        elif one.support == "unit":
            found.append(bounded_row(0.0, 1.0, arguments["alpha"], arguments["beta"], 0.0, 1.0))
        else:
            later = arguments["a"] * np.arange(size - 1, 0, -1)
            found += [bounded_row(0.0, 1.0, arguments["a"], each, 0.0, 1.0) for each in later]
    return found


def _typical(prior: Prior) -> float:
    """Where the prior of a positive parameter is: its scale, or what stands for it."""
    return dict(prior.args).get("sigma", 1.0)


def joint_arrays(spec: ModelSpec, parameter: str, shapes: Floats) -> dict[str, Floats]:
    """Draws of a joint prior's parameters by the schema's names, from those of the factor (…, P)."""
    shrunk, arrays, first = spec.shrunk(parameter), dict[str, Floats](), 1
    size = shrunk.size
    for one, variable, _ in shrunk.parts:
        count = (size - 1 if one.support == "simplex" else size) if one.each else 1
        values = shapes[..., first : first + count]
        first += count
        if one.support == "simplex":
            values = shares_of(values)
        arrays[variable.name] = values if one.each else values[..., 0]
    return arrays


def shares_of(broken: Floats) -> Floats:
    """The shares (…, m) of a stick from which these parts of what is left are broken one after another, (…, m − 1)."""
    whole = np.ones((*broken.shape[:-1], 1))
    left = np.concatenate([whole, np.cumprod(1.0 - broken, axis=-1)], axis=-1)
    return left * np.concatenate([broken, whole], axis=-1)
