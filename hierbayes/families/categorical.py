"""Categories in no order: one choice a row."""

from typing import Any

import numpy as np

from hierbayes.compiling import row_function
from hierbayes.families import ordinal, softmax
from hierbayes.families.record import Array, Family, Support
from hierbayes.families.softmax import log_total
from hierbayes.kinds import ListRow, ParameterValues

CATEGORIES = Support(
    "one of at least two categories",
    lambda y, trials: np.isfinite(y) & (y == np.floor(y)) & (y >= 0),
    whole=True,
    categories=True,
    ordered=False,
)


@row_function
def row(y: float, listed: ListRow, scores: ListRow) -> float:
    """Return the log density; set its scores in all predictors, the first category's included."""
    k, total = int(y), log_total(listed)
    for j in range(listed.size):
        share = np.exp(listed.values[listed.first + j, listed.at] - total)
        scores.values[scores.first + j, scores.at] = (1.0 if j == k else 0.0) - share
    return listed.values[listed.first + k, listed.at] - total


def below(parameters: dict[str, ParameterValues]) -> Array:
    """P(y <= k) of all categories but the last: (…, K − 1)."""
    return np.minimum(np.cumsum(softmax.probabilities(**parameters)[..., :-1], axis=-1), 1.0)


def graph(pm: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
    """PyMC's categorical distribution of the predictors as log odds."""
    return pm.Categorical, {"logit_p": softmax.stacked(**parameters)}


FAMILY = softmax.of_categories(
    Family(
        "categorical",
        parameters=(softmax.MU,),
        support=CATEGORIES,
        row=row,
        graph=graph,
        simulate=lambda rng, **parameters: ordinal.draw(rng, below(parameters)),
        cdf=lambda y, **parameters: ordinal.up_to(y, below(parameters)),
        probabilities=softmax.probabilities,
        listed=0,
        equation="Categorical(softmax({}))",
    )
)
