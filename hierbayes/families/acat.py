"""Ordered categories against their neighbours: P(y = k + 1 | y = k or k + 1) = F(disc (mu − t_k)).

Under the logit this is the partial credit model of test items.
"""

from typing import Any

import numpy as np

from hierbayes.compiling import Deferred, row_function
from hierbayes.families.latent import log_odds, log_odds_row
from hierbayes.families.ordinal import Steps, ahead, distance, hazards, put_score
from hierbayes.families.record import Array
from hierbayes.kinds import ListRow, NumberRow, PositiveRow


def row_of(code: int, specific: bool) -> Deferred:
    """The row function under one latent distribution, with or without category-specific effects."""

    @row_function
    def row(
        y: float, mu: NumberRow, disc: PositiveRow, listed: ListRow, scores: ListRow
    ) -> tuple[float, float, float]:
        """Return the log density, and its scores in mu and log disc; set those of the thresholds.

        With λ_j the log odds of step j, log p_k is Σ_{j < k} λ_j less the logarithm of such terms' sum.
        """
        k, m = int(y), listed.size // 2 if specific else listed.size
        here, own, largest = 0.0, 0.0, 0.0
        for j in range(m):
            here += log_odds_row(code, -distance(disc.value, mu.value, listed, specific, j))[0]
            own = here if j + 1 == k else own
            largest = max(largest, here)
        sum_, height = 0.0, here  # from the last category down, so that what lies above a step is known at it
        for j in range(m, -1, -1):
            sum_ += np.exp(height - largest)
            if j > 0:
                height -= log_odds_row(code, -distance(disc.value, mu.value, listed, specific, j - 1))[0]
        total, spread, above, height = 0.0, 0.0, 0.0, here
        for j in range(m - 1, -1, -1):
            x = distance(disc.value, mu.value, listed, specific, j)
            odds, slope = log_odds_row(code, -x)
            above += np.exp(height - largest)
            height -= odds
            score = (above / sum_ - (1.0 if j < k else 0.0)) * slope
            total += score
            spread += score * x if score != 0.0 else 0.0
            put_score(scores, specific, j, disc.value * score)
        return own - largest - np.log(sum_), -disc.value * total, spread

    return row


def log_weights(latent: str, x: Array) -> Array:
    """Log probabilities of the categories, up to a constant."""
    return ahead(log_odds(latent, -x))


def slopes(latent: str, x: Array, p: Array) -> Array:
    """Their derivatives in mu at disc 1."""
    rising, falling = hazards(latent, -x)
    steps = ahead(rising + falling)
    found: Array = steps - (p * steps).sum(axis=-1, keepdims=True)
    return found


def tensor(pt: Any, below: Any, above: Any) -> Any:
    """Probabilities as products: of going up each step before a category, and of not going up each later one."""
    edge = pt.ones_like(above[..., :1])
    up = pt.cumprod(pt.concatenate([edge, above], axis=-1), axis=-1)
    down = pt.cumprod(pt.concatenate([edge, (1.0 - above)[..., ::-1]], axis=-1), axis=-1)[..., ::-1]
    return up * down / (up * down).sum(axis=-1, keepdims=True)


def between(shares: Array) -> Array:
    """Thresholds of a logistic variable at which neighbours have these shares."""
    found: Array = np.log(shares[:-1] / shares[1:])
    return found


FAMILY = Steps(
    "acat", "AdjacentCategory(mu, disc, thresholds)", row_of, log_weights, slopes, tensor, between
).family()
