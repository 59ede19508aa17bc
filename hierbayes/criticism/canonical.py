"""The marginal density of groups of counts or proportions that have one effect of their own, by quadrature.

What `criticism.marginal` does for any response, group by group, compiled: with the canonical link a row's log density
is y η − m b(η) and a constant, which is concave, and whose derivatives are at hand.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import LEVEL_ENTRIES
from hierbayes.criticism.likelihood import log_densities
from hierbayes.criticism.marginal import quadrature_rules
from hierbayes.criticism.normal import TABLE_ENTRIES, sums_of
from hierbayes.criticism.products import columns_of_rows, effects_of, integrated_effects
from hierbayes.data.design import MEAN, Design
from hierbayes.data.levels import Codes
from hierbayes.engine.core.routine import run
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
LINEAR_PREDICTORS = "hierbayes.criticism.normalloops.linear_predictors"
INTEGRATE_ONE = "hierbayes.criticism.canonicalloops.integrate_one"
LANES = 256  # draws that are gone through at a time
LINKS = {"bernoulli": "logit", "binomial": "logit", "poisson": "log"}


def log_marginals_of_one(
    spec: ModelSpec, draws: Draws, design: Design, groups: Codes
) -> Iterator[tuple[Codes, Array, Array]]:
    """Log densities of groups with one effect of their own, and the same with half the quadrature, some at a time.

    Parameters
    ----------
    groups : ndarray of int (n,)
        The group of each row: 0, 1, …; −1 for rows that are in none.

    Yields
    ------
    ndarray of int (k,), ndarray (k, S), ndarray (k, S)
        Which groups, and their densities. Other groups don't come, nor do any of other families or links.
    """
    if LINKS.get(spec.family.name) != spec.link_name or spec.family.own:  # what rows state is no part of it
        return
    if spec.layout.main.steps_by_group:  # columns differ from draw to draw
        return
    columns, firsts = integrated_effects(spec, design, groups)
    order = np.argsort(groups, kind="stable")
    edges = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    waiting = [np.flatnonzero(np.diff(firsts) == 1)]
    while waiting:
        some = waiting.pop()
        places = np.concatenate(
            [np.empty(0, dtype=np.int64), *(order[edges[g] : edges[g + 1]] for g in some)]
        )
        rows = design.rows(places)
        large = effects_of(rows.main) * len(draws) > TABLE_ENTRIES
        if len(some) > 1 and (large or len(rows) * len(draws) > LEVEL_ENTRIES):
            waiting += [some[len(some) // 2 :], some[: len(some) // 2]]
        elif len(some):
            own = {name: np.where(np.isin(each, firsts[some]), each, -1) for name, each in columns.items()}
            starts = np.append(0, np.cumsum(np.diff(edges)[some]))
            yield some, *_integrate(spec, draws, rows, starts, own)


def _integrate(
    spec: ModelSpec, draws: Draws, rows: Design, starts: Codes, own: Mapping[str, Codes]
) -> tuple[Array, Array]:
    """Log densities of groups of rows that follow each other, by the two rules: (G, S), (G, S)."""
    assert rows.y is not None, "only rows with a response have a likelihood"
    bound, logit = rows.main, spec.link_name == "logit"
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    trials = weights if rows.trials is None else weights * rows.trials
    sums = sums_of(spec, draws, rows, {name: each[:, 0] >= 0 for name, each in own.items()})
    eta = np.empty((len(rows), len(draws)))
    run(LINEAR_PREDICTORS, bound.offset, sums.places, sums.coefficients, sums.table, eta)
    here = columns_of_rows(bound, own) >= 0
    z = (sums.coefficients[:, sums.places.shape[1] - here.shape[1] :] * here).sum(axis=1)
    # what a row's log density has beside y η − m b(η): their difference where η is 0
    rest = log_densities(spec, rows, np.zeros(len(rows)), {}) + trials * (np.log(2.0) if logit else 1.0)
    factors = spec.layout.main.factors
    which = np.stack(
        [
            (own[factor.name][bound.factors[factor.name].memberships[0].codes[starts[:-1]], 0] >= 0)
            for factor in factors
        ]
    )
    sds = [draws.values[spec.factor_variables(MEAN, factor)["sd"].name][:, 0] for factor in factors]
    fine, coarse = (np.stack([points[:, 0], logs]) for points, logs in quadrature_rules(1))
    values, halved = (np.empty((len(starts) - 1, len(draws))) for _ in range(2))
    run(
        INTEGRATE_ONE, logit, starts, weights * rows.y, trials, z, eta, which.argmax(axis=0), np.stack(sds),
        np.add.reduceat(rest, starts[:-1]), fine, coarse, values, halved, np.empty((8, min(LANES, len(draws)))),
    )  # fmt: skip
    return values, halved
