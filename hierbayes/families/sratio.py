"""Ordered categories reached one after another: the chance to stop at each, P(y = k | y >= k) = F(disc (t_k − mu))."""

import numpy as np

from hierbayes.compiling import Deferred, row_function
from hierbayes.families.latent import log_odds_row
from hierbayes.families.ordinal import (
    Steps,
    ahead,
    distance,
    hazards,
    log_tails,
    put_score,
    stages,
    tensor_products,
)
from hierbayes.families.record import Array
from hierbayes.kinds import ListRow, NumberRow, PositiveRow


@row_function
def logistic_tails(odds: float) -> tuple[float, float, float, float]:
    """Return log F, log(1 − F), F and 1 − F at log odds."""
    tail = np.exp(-abs(odds))
    rest, total = np.log1p(tail), 1.0 + tail
    if odds > 0.0:
        return -rest, -odds - rest, 1.0 / total, tail / total
    return odds - rest, -rest, tail / total, 1.0 / total


def row_of(code: int, specific: bool) -> Deferred:
    """The row function under one latent distribution, with or without category-specific effects."""

    @row_function
    def row(
        y: float, mu: NumberRow, disc: PositiveRow, listed: ListRow, scores: ListRow
    ) -> tuple[float, float, float]:
        """Return the log density, and its scores in mu and log disc; set those of the thresholds."""
        k, m = int(y), listed.size // 2 if specific else listed.size
        value, total, spread = 0.0, 0.0, 0.0
        for j in range(m):
            score = 0.0
            if j <= k:
                x = distance(disc.value, mu.value, listed, specific, j)
                odds, slope = log_odds_row(code, x)
                log_p, log_q, p, q = logistic_tails(odds)
                value += log_p if j == k else log_q
                score = q * slope if j == k else -p * slope
            total += score
            spread += score * x if score != 0.0 else 0.0
            put_score(scores, specific, j, disc.value * score)
        return value, -disc.value * total, spread

    return row


def log_weights(latent: str, x: Array) -> Array:
    """Log probabilities of the categories."""
    inside, outside = log_tails(latent, x)
    return ahead(outside) + np.concatenate([inside, np.zeros((*x.shape[:-1], 1))], axis=-1)


def slopes(latent: str, x: Array, p: Array) -> Array:
    """Their derivatives in mu at disc 1."""
    rising, falling = hazards(latent, x)
    return ahead(falling) - np.concatenate([rising, np.zeros((*x.shape[:-1], 1))], axis=-1)


FAMILY = Steps(
    "sratio",
    "StoppingRatio(mu, disc, thresholds)",
    row_of,
    log_weights,
    slopes,
    lambda pt, below, above: tensor_products(pt, 1.0 - below, below),
    stages,
).family()
