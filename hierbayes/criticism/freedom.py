"""Effective degrees of freedom of smooths: how many coefficients' worth of the rows each curve takes up.

Of a penalised coefficient that is 1 less its variance given the rows and all standard deviations over its variance
before them; summed over a curve it is the trace that mgcv reports (Wood 2017, Generalized Additive Models, section
6.1.2), here in several draws of the standard deviations. What the rows say is taken from the curvature of their log
likelihood in each parameter's linear predictor.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.intervals import Interval, labelled, summarise
from hierbayes.answers.latents import need_known_predictors
from hierbayes.answers.predict import (
    Request,
    choose_groups,
    covariances,
    evaluate_predictors,
    gather_effects,
    linear_predictor_of,
)
from hierbayes.answers.series import need_independent
from hierbayes.answers.smooths import curves_of
from hierbayes.criticism.likelihood import log_densities
from hierbayes.data.design import BoundPredictor, Design, is_main
from hierbayes.priors import Prior
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
DRAWS = 25
STEP = 1e-3


def edf(spec: ModelSpec, draws: Draws, design: Design, interval: Interval) -> pd.DataFrame:
    """One row a curve: smooth, columns (its most), mean, sd, lower, upper of its effective degrees of freedom.

    Raises
    ------
    DataError
        Where the model has no smooths.
    """
    need_known_predictors(spec, "edf()")
    need_independent(spec, "edf() counts what smooths take up of the rows' information")
    some = draws.thinned(DRAWS)
    next(iter(curves_of(spec, some, points=2)))
    found: dict[tuple[str, str], list[float]] = {}
    most: dict[tuple[str, str], int] = {}
    for place in range(len(some)):
        draw = some.part(slice(place, place + 1))
        for parameter, layout in spec.layout.predictors.items():
            if not layout.curves:
                continue
            taken = _taken_up(spec, draw, design, parameter)
            first = len(layout.coefficients)
            for smooth in layout.common.smooths:
                straight = len(smooth.straight) // len(smooth.curves.each)
                for number, curve in enumerate(smooth.curves.each):
                    own = list(smooth.straight[number * straight : (number + 1) * straight])
                    own += range(first, first + curve.width)
                    first += curve.width
                    found.setdefault((parameter, curve.label), []).append(float(taken[own].sum()))
                    most[parameter, curve.label] = len(own)
    labels = pd.DataFrame(list(found), columns=["parameter", "smooth"]).assign(columns=list(most.values()))
    table = pd.concat([labels, pd.DataFrame(summarise(np.array(list(found.values())).T, interval))], axis=1)
    several = not spec.layout.alone
    return labelled(table if several else table.drop(columns="parameter"), interval)


def _taken_up(spec: ModelSpec, draw: Draws, design: Design, parameter: str) -> Array:
    """1 − posterior over prior variance of each population-level and penalised coefficient, in one draw: (p + m,)."""
    from scipy import sparse
    from scipy.sparse.linalg import splu

    layout, bound = spec.layout.predictors[parameter], design.predictors[parameter]
    information = _information(spec, draw, design, parameter)
    inner = layout.map.inner_columns(bound.x + _rises(spec, draw, bound, parameter))
    columns = [sparse.csr_matrix(np.hstack([inner, bound.penalised]))]
    precision = [_precision(prior) for prior in spec.coefficient_priors(parameter)]
    shrunk = spec.shrunk(parameter)
    sds = np.broadcast_to(shrunk.sds(np, draw.values), (1, shrunk.size))[0]
    for place, sd in zip(shrunk.places, sds, strict=False):  # those of the coefficients come first
        precision[place] = max(sd, 1e-6) ** -2.0
    for curve in layout.curves:
        sds = spec.curve_sds(parameter, curve, draw.values)[0]
        precision += (np.maximum(sds, 1e-6) ** -2.0).tolist()
    own = np.array(precision)
    blocks = [sparse.diags(own)]
    for factor in layout.factors:
        rows, q = bound.factors[factor.name], len(factor.effects)
        units = spec.with_steps(parameter, factor, draw.values, np.eye(q)[None])[0]
        at = np.arange(len(bound.offset))
        each = [
            sparse.csr_matrix((z, (at, one.codes * q + j)), (len(at), len(factor.levels) * q))
            for one in rows.memberships
            for j, z in enumerate((one.columns @ units.T).T)
        ]
        columns.append(sum(each[1:], start=each[0]))
        covariance = covariances(spec, parameter, factor, draw)[0]
        tiny = 1e-10 * max(float(np.trace(covariance)), 1e-10)
        levels = sparse.diags_array(spec.level_weights(parameter, factor, draw.values)[0])
        if factor.relations is not None:
            shapes = spec.shape_values(parameter, factor, draw.values)
            levels = factor.level_precision([values[0] for values in shapes])
        blocks.append(sparse.kron(levels, np.linalg.inv(covariance + tiny * np.eye(q))))
    a = sparse.hstack(columns).tocsc()
    whole = (a.T @ sparse.diags(information) @ a + sparse.block_diag(blocks)).tocsc()
    unit = np.zeros((whole.shape[0], len(own)))
    unit[range(len(own)), range(len(own))] = 1.0
    variances = np.diagonal(splu(whole).solve(unit))
    taken: Array = 1.0 - own * variances
    return taken


def _rises(spec: ModelSpec, draw: Draws, bound: BoundPredictor, parameter: str) -> Array:
    """What the columns of monotonic effects rise by beside their even rise, in one draw: (n, p)."""
    found, first = np.zeros_like(bound.x), 0
    for effect in spec.layout.predictors[parameter].monotonic:
        shares = [own[0] for own in spec.shares(parameter, effect, draw.values)]
        unit = np.eye(1, bound.x.shape[1], effect.place)[0]
        stairs = bound.stairs[:, first : first + effect.width]
        found[:, effect.place] = stairs @ effect.coefficients(unit, shares)
        first += effect.width
    return found


def _precision(prior: Prior) -> float:
    """Of a normal prior, 0 of any other: they say little of a straight line."""
    return dict(prior.args)["sigma"] ** -2.0 if prior.name == "Normal" else 0.0


def _information(spec: ModelSpec, draw: Draws, design: Design, parameter: str) -> Array:
    """Curvature of each row's log likelihood in a parameter's linear predictor, 0 where it bends upwards: (n,)."""
    everybody = Request("linear", choose_groups(spec, "all"), "mean", 0)
    eta, aux = evaluate_predictors(spec, draw, design, everybody)
    link = spec.parameter_link(parameter)

    def density(change: float) -> Array:
        if is_main(parameter):
            return log_densities(spec, design, eta + change, aux)[0]
        kind = spec.family.parameter(parameter).kind
        moved = kind.under(link, _predictor(spec, draw, design, parameter) + change)
        return log_densities(spec, design, eta, {**aux, parameter: moved})[0]

    curvature = (2 * density(0.0) - density(STEP) - density(-STEP)) / STEP**2
    return np.maximum(np.nan_to_num(curvature, nan=0.0, posinf=0.0, neginf=0.0), 0.0)


def _predictor(spec: ModelSpec, draw: Draws, design: Design, parameter: str) -> Array:
    request = Request("linear", choose_groups(spec, "all"), "mean", 0)
    return linear_predictor_of(
        spec, parameter, draw, design.predictors[parameter], gather_effects(spec, draw, design, request)
    )
