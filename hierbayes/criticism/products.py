"""The marginal density of normal rows with one scale, from products over the rows that no draw enters.

With M = I + Λ' Z'WZ Λ / σ² (`criticism.marginal`) only Λ and σ differ between draws, so the rows are gone through once
for Z'WZ and in every draw for their residuals alone; a level of 5000 rows that has a hundred effects of its own
takes seconds, where its whitened columns in every draw would take minutes.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import CHUNK_ENTRIES, square_roots
from hierbayes.criticism.likelihood import has_one_scale
from hierbayes.criticism.marginal import Own, own_levels, rest_of
from hierbayes.data.design import MEAN, Design
from hierbayes.data.factors import Codes
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]


def log_marginal_by_products(spec: ModelSpec, draws: Draws, design: Design, places: Codes) -> Array:
    """Log density of the rows at these places in each draw, the effects that only they inform integrated: (S,)."""
    assert has_one_scale(spec), "other responses have no such closed form"
    rows, own = design.rows(places), own_levels(spec, design, places)
    assert rows.y is not None, "only rows with a response have a likelihood"
    weights = np.ones(len(rows)) if rows.weights is None else rows.weights
    y = np.log(rows.y) if spec.family.log_response else rows.y
    z = _columns(spec, rows, own)
    weighted = (z.multiply(weights[:, None])).tocsr()
    products = (weighted.T @ z).toarray()
    jacobian = float(weights @ y) if spec.family.log_response else 0.0
    found = np.empty(len(draws))
    step = max(1, CHUNK_ENTRIES // max(len(rows), z.shape[1] ** 2))
    for start in range(0, len(draws), step):
        some = draws.part(slice(start, min(start + step, len(draws))))
        precision = 1 / some.values["sigma"] ** 2
        e = y - rest_of(spec, MEAN, some, rows, own)
        square = np.square(e) @ weights
        constant = 0.5 * weights.sum() * np.log(precision / (2 * np.pi)) - jacobian
        scale = _scale(spec, some, own)
        h = (weighted.T @ e.T).T * precision[:, None]
        if scale.ndim == 2:
            h = h * scale
            m = products * scale[:, :, None] * scale[:, None, :] * precision[:, None, None]
        else:
            h = np.einsum("sab,sa->sb", scale, h)
            m = np.swapaxes(scale, 1, 2) @ products @ scale * precision[:, None, None]
        m[:, range(m.shape[1]), range(m.shape[1])] += 1.0
        root = np.linalg.cholesky(m)
        explained = (h * np.linalg.solve(m, h[..., None])[..., 0]).sum(axis=1)
        determinant = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        found[start : start + len(some)] = constant - 0.5 * (precision * square - explained + determinant)
    return found


def _columns(spec: ModelSpec, rows: Design, own: Own) -> sparse.csr_matrix:
    """Columns of the integrated effects, a level's effects side by side: (n, m)."""
    found = [sparse.csr_matrix((len(rows), 0))]
    for factor in spec.layout.predictors[MEAN].factors:
        levels, q = own[MEAN, factor.name]
        bound = rows.predictors[MEAN].factors[factor.name]
        at = np.flatnonzero(np.isin(bound.codes, levels))
        first = np.searchsorted(levels, bound.codes[at]) * q
        entries = (bound.z[at].ravel(), (np.repeat(at, q), (first[:, None] + np.arange(q)).ravel()))
        found.append(sparse.csr_matrix(entries, shape=(len(rows), len(levels) * q)))
    return sparse.hstack(found, format="csr")


def _scale(spec: ModelSpec, draws: Draws, own: Own) -> Array:
    """Λ of the integrated effects in every draw: its diagonal (S, m) where it is diagonal, or (S, m, m)."""
    factors = spec.layout.predictors[MEAN].factors
    total = sum(len(own[MEAN, factor.name][0]) * own[MEAN, factor.name][1] for factor in factors)
    diagonal = all(not factor.correlated or not len(own[MEAN, factor.name][0]) for factor in factors)
    scale = np.zeros((len(draws), total) if diagonal else (len(draws), total, total))
    first = 0
    for factor in factors:
        levels, q = own[MEAN, factor.name]
        variables = spec.factor_variables(MEAN, factor)
        sd = draws.values[variables["sd"].name]
        if diagonal:
            scale[:, first : first + len(levels) * q] = np.tile(sd, len(levels))
            first += len(levels) * q
            continue
        root = square_roots(draws.values[variables["cor"].name]) if factor.correlated else np.eye(q)
        block = sd[:, :, None] * root
        for _ in levels:
            scale[:, first : first + q, first : first + q] = block
            first += q
    return scale
