"""Categories in no order: the softmax of a predictor for each but the first, whose predictor is 0.

The predictor of a category called B is ``muB``, as in brms: log(P(y = B) / P(y = first)).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from hierbayes.compiling import row_function
from hierbayes.errors import DataError
from hierbayes.families import ordinal
from hierbayes.families.record import Array, Family, Parameter, Support
from hierbayes.kinds import NUMBER, ListRow, ParameterValues
from hierbayes.priors import Prior

CATEGORIES = Support(
    "one of at least two categories",
    lambda y, trials: np.isfinite(y) & (y == np.floor(y)) & (y >= 0),
    whole=True,
    categories=True,
    ordered=False,
)
MU = Parameter("mu", NUMBER, ("identity",), "predictor of the first category, 0")


@row_function
def row(y: float, listed: ListRow, scores: ListRow) -> float:
    """Return the log density; set its scores in all predictors, the first category's included."""
    k, largest, total = int(y), -np.inf, 0.0
    for j in range(listed.size):
        largest = max(largest, listed.values[listed.first + j, listed.at])
    for j in range(listed.size):
        total += np.exp(listed.values[listed.first + j, listed.at] - largest)
    for j in range(listed.size):
        share = np.exp(listed.values[listed.first + j, listed.at] - largest) / total
        scores.values[scores.first + j, scores.at] = (1.0 if j == k else 0.0) - share
    return listed.values[listed.first + k, listed.at] - largest - np.log(total)


def probabilities(**parameters: ParameterValues) -> Array:
    """P(y = k) of every category k: (…, K)."""
    etas = np.stack(np.broadcast_arrays(*(np.asarray(one.value) for one in parameters.values())), axis=-1)
    found: Array = special.softmax(etas, axis=-1)
    return found


def below(parameters: dict[str, ParameterValues]) -> Array:
    """P(y <= k) of all categories but the last: (…, K − 1)."""
    return np.minimum(np.cumsum(probabilities(**parameters)[..., :-1], axis=-1), 1.0)


def graph(pm: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's categorical distribution of the predictors as log odds."""
    mu = parameters["mu"]
    pt = mu.m.arrays
    etas = [one.value + pt.zeros_like(mu.value) for one in parameters.values()]
    return pm.Categorical, {"logit_p": pt.stack(etas, axis=-1)}


def names_of(levels: Sequence[Any]) -> tuple[str, ...]:
    """The parameters of all categories but the first: ``mu`` and the category without blanks and signs.

    Examples
    --------
    >>> names_of(("red", "dark blue", 3))
    ('mudarkblue', 'mu3')
    """
    found = tuple(f"mu{re.sub(r'[^0-9A-Za-z]', '', str(level))}" for level in levels[1:])
    if len({*found, "mu"}) <= len(found):
        raise DataError(
            f"the categories {', '.join(map(repr, levels))} do not differ in letters and digits, which their "
            "parameters are called after; rename some"
        )
    return found


def by_category(levels: Sequence[Any]) -> Family:
    """The family for these categories."""
    own = tuple(
        Parameter(
            name,
            NUMBER,
            ("identity",),
            f"log odds of {level!s} against {levels[0]!s}",
            lambda spread: Prior("StudentT", nu=3.0, mu=0.0, sigma=2.5),
            lambda spread: 0.0,
            intercept=Prior("StudentT", nu=3.0, mu=0.0, sigma=2.5),
        )
        for name, level in zip(names_of(levels), levels[1:], strict=True)
    )
    return family(own)


def family(own: tuple[Parameter, ...]) -> Family:
    """The family with these predictors beside the first category's."""
    return Family(
        "categorical",
        parameters=(MU, *own),
        support=CATEGORIES,
        row=row,
        graph=graph,
        simulate=lambda rng, **parameters: ordinal.draw(rng, below(parameters)),
        cdf=lambda y, **parameters: ordinal.up_to(y, below(parameters)),
        probabilities=probabilities,
        has_variance=False,
        own_in_mean=tuple(parameter.name for parameter in own),
        latent="logit",
        listed=0,
        by_category=by_category,
        components=tuple(parameter.name for parameter in own),
        equation=f"Categorical(softmax({', '.join(p.name for p in (MU, *own))}))",
    )


FAMILY = replace(family(()), latents={"logit": family(())})
