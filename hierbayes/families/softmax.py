"""Probabilities of categories in no order: the softmax of a predictor for each but the first, whose predictor is 0.

The predictor of a category called B is ``muB``, as in brms: log(P(B) / P(first)).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.errors import DataError
from hierbayes.families.record import Array, Family, Parameter
from hierbayes.kinds import NUMBER, ListRow, ParameterValues
from hierbayes.priors import Prior

MU = Parameter("mu", NUMBER, ("identity",), "predictor of the first category, 0")
PRIOR = Prior("StudentT", nu=3.0, mu=0.0, sigma=2.5)  # brms's, of intercepts


@row_function
def log_total(listed: ListRow) -> float:
    """Return log Σ exp of all predictors."""
    largest, total = -np.inf, 0.0
    for j in range(listed.size):
        largest = max(largest, listed.values[listed.first + j, listed.at])
    for j in range(listed.size):
        total += np.exp(listed.values[listed.first + j, listed.at] - largest)
    return largest + np.log(total)


@row_function
def centre_scores(total: float, every: float, listed: ListRow, scores: ListRow) -> None:
    """Take off each score, in the logarithm of a share, the share times the sum of all: then it is in its predictor."""
    for j in range(listed.size):
        share = np.exp(listed.values[listed.first + j, listed.at] - total)
        scores.values[scores.first + j, scores.at] -= share * every


def probabilities(**predictors: ParameterValues) -> Array:
    """Of every category: (…, K)."""
    etas = np.broadcast_arrays(*(np.asarray(one.value) for one in predictors.values()))
    found: Array = special.softmax(np.stack(etas, axis=-1), axis=-1)
    return found


def stacked(mu: Any, **others: Any) -> Any:
    """The predictors of all categories as a tensor (…, K)."""
    pt = mu.m.arrays
    return pt.stack([one.value + pt.zeros_like(mu.value) for one in (mu, *others.values())], axis=-1)


def names_of(levels: Sequence[Any]) -> tuple[str, ...]:
    """The parameters of all categories but the first: ``mu`` and the category without blanks and signs.

    Examples
    --------
    >>> names_of(("red", "dark blue", 3))
    ('mudarkblue', 'mu3')
    """
    found = tuple(f"{MU.name}{re.sub(r'[^0-9A-Za-z]', '', str(level))}" for level in levels[1:])
    if len({*found, MU.name}) <= len(found):
        raise DataError(
            f"the categories {', '.join(map(repr, levels))} do not differ in letters and digits, which their "
            "parameters are called after; rename some"
        )
    return found


def parameters_of(levels: Sequence[Any]) -> tuple[Parameter, ...]:
    """The predictors of all categories but the first."""
    return tuple(
        Parameter(
            name,
            NUMBER,
            ("identity",),
            f"log odds of {level!s} against {levels[0]!s}",
            lambda spread: PRIOR,
            lambda spread: 0.0,
            intercept=PRIOR,
        )
        for name, level in zip(names_of(levels), levels[1:], strict=True)
    )


def of_categories(base: Family) -> Family:
    """A family whose responses are of categories in no order, from what it is but for their predictors.

    Parameters
    ----------
    base : Family
        With `MU` and whatever other parameters stand before the predictors; its equation has ``{}`` in the place of all
        predictors' names.

    Returns
    -------
    Family
        Its `by_category` adds the predictors once the categories are known.
    """

    def with_predictors(own: tuple[Parameter, ...]) -> Family:
        names = tuple(parameter.name for parameter in own)
        return replace(
            base,
            parameters=(*base.parameters, *own),
            has_variance=False,
            own_in_mean=names,
            latent="logit",
            by_category=lambda levels: with_predictors(parameters_of(levels)),
            components=names,
            equation=base.equation.format(", ".join((MU.name, *names))),
        )

    unsettled = with_predictors(())
    return replace(unsettled, latents={"logit": unsettled})
