"""Effects of levels at times that training didn't have, drawn given those at the times that it had."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.data.factors import Factor
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
LEAST = 1e-10  # of the largest eigenvalue: below it, a direction of correlations is none


def scales_of(factor: Factor, sd: Array) -> Array:
    """The standard deviations of a factor's effects, of which `sd` (S, q) has the known ones: (S, q + k)."""
    first = [factor.scales[scale][1][0] for scale in factor.scale_of]
    return sd[:, first]


def conditional(cor: Array, known: list[int], new: list[int]) -> tuple[Array, Array]:
    """The conditional distribution of some standardised normal effects given others.

    Parameters
    ----------
    cor : ndarray, (S, q, q)
        Their correlations.
    known, new : list of int
        Places of m that are given and of k others.

    Returns
    -------
    weights : ndarray, (S, k, m)
        The conditional mean is their product with the given effects.
    root : ndarray, (S, k, k)
        A square root of the conditional covariance.

    Examples
    --------
    >>> rho = 0.8 ** np.abs(np.subtract.outer(range(3), range(3)))
    >>> weights, root = conditional(rho[None], [0, 1], [2])
    >>> weights[0, 0, 1].round(12).item(), root[0].round(12).tolist()
    (0.8, [[0.6]])
    """
    given, across = cor[:, known][:, :, known], cor[:, new][:, :, known]
    try:
        half = np.linalg.cholesky(given)
        weights = np.linalg.solve(np.swapaxes(half, 1, 2), np.linalg.solve(half, np.swapaxes(across, 1, 2)))
    except np.linalg.LinAlgError:  # some draw's correlations are singular to rounding
        weights = np.linalg.pinv(given, rcond=LEAST, hermitian=True) @ np.swapaxes(across, 1, 2)
    weights = np.swapaxes(weights, 1, 2)
    left = cor[:, new][:, :, new] - weights @ np.swapaxes(across, 1, 2)
    values, vectors = np.linalg.eigh(left)
    return weights, vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]


def add_new_times(
    spec: ModelSpec,
    parameter: str,
    factor: Factor,
    draws: Draws,
    r: Array,
    generators: Sequence[np.random.Generator] | None,
) -> None:
    """Set the effects of levels at new times.

    Parameters
    ----------
    factor : Factor
        With effects for the new times, behind the q known ones.
    r : ndarray, (L, q + k, S)
        The known effects; those at new times are written.
    generators : sequence or None
        The generator of each of the L levels; None for the conditional means.
    """
    variables = spec.factor_variables(parameter, factor)
    q = draws.values[variables["sd"].name].shape[1]
    scales = scales_of(factor, draws.values[variables["sd"].name])
    cor = spec.correlations(parameter, factor, draws.values)
    parts = []
    for block in factor.structures:
        known = [place for place in block.effects if place < q]
        new = [place for place in block.effects if place >= q]
        if new:
            parts.append((known, new, *conditional(cor, known, new)))
    law = factor.law_values(spec.shape_values(parameter, factor, draws.values))
    squares = np.zeros((len(scales), len(r)))
    if not factor.law.normal:  # the further out a level's known effects are, the wider are its others
        squares = factor.squares(r[:, :q].transpose(2, 0, 1), scales[:, :q], cor[:, :q, :q])
    for level in range(len(r)):
        for known, new, weights, root in parts:
            own = scales[:, known].T
            standard = np.divide(r[level, known], own, out=np.zeros_like(own), where=own > 0)
            found = np.einsum("skm,ms->ks", weights, standard)
            if generators is not None:
                numbers = generators[level].standard_normal((len(root), len(new)))
                stretch = factor.law.stretch(generators[level], squares[:, level], q, *law)
                found += np.einsum("skj,sj->ks", root, numbers * stretch[:, None])
            r[level, new] = found * scales[:, new].T
