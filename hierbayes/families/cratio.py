"""Ordered categories reached one after another: the chance to go on, P(y > k | y >= k) = F(disc (mu − t_k)).

Under a symmetric latent distribution these are `sratio`'s categories.
"""

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
from hierbayes.families.sratio import logistic_tails
from hierbayes.kinds import ListRow, NumberRow, PositiveRow


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
                odds, slope = log_odds_row(code, -x)
                log_p, log_q, p, q = logistic_tails(odds)
                value += log_q if j == k else log_p
                score = p * slope if j == k else -q * slope
            total += score
            spread += score * x if score != 0.0 else 0.0
            put_score(scores, specific, j, disc.value * score)
        return value, -disc.value * total, spread

    return row


def log_weights(latent: str, x: Array) -> Array:
    """Log probabilities of the categories."""
    on, stopped = log_tails(latent, -x)
    return ahead(on) + np.concatenate([stopped, np.zeros((*x.shape[:-1], 1))], axis=-1)


def slopes(latent: str, x: Array, p: Array) -> Array:
    """Their derivatives in mu at disc 1."""
    rising, falling = hazards(latent, -x)
    return ahead(rising) - np.concatenate([falling, np.zeros((*x.shape[:-1], 1))], axis=-1)


FAMILY = Steps(
    "cratio",
    "ContinuationRatio(mu, disc, thresholds)",
    row_of,
    log_weights,
    slopes,
    lambda pt, below, above: tensor_products(pt, above, 1.0 - above),
    stages,
).family()
