"""Two long runs of one model, and what they must agree on."""

import warnings
from dataclasses import dataclass

import pandas as pd

import hierbayes as hb
from tests.equality.scores import limit, scores


@dataclass(frozen=True)
class Comparison:
    """A fast strategy's posterior beside that of NUTS on the graph.

    Attributes
    ----------
    scores : Series
        z of each scalar's mean and sd, indexed by (name, statistic).
    ess : tuple of float
        Smallest bulk ESS over coefficients, sds, correlations and the family's own parameters: the fast one's, NUTS'.
    divergences : tuple of int
        The fast strategy's, NUTS'.
    """

    scores: pd.Series
    ess: tuple[float, float]
    divergences: tuple[int, int]

    @property
    def limit(self) -> float:
        """The |z| that the largest of right posteriors seldom exceeds."""
        return limit(len(self.scores))

    @property
    def far(self) -> pd.Series:
        """Scores beyond the limit."""
        return self.scores[self.scores.abs() > self.limit]

    def largest(self, statistic: str) -> float:
        """The largest |z| of the means or of the sds."""
        return float(self.scores.xs(statistic, level=1).abs().max())


def compare(model: hb.Model, strategy: str) -> Comparison:
    """Fit by a fast strategy, which must be the one that fit() would take, and by NUTS on the graph."""
    fast = model.fit(draws=4000, seed=1, progress=False)
    assert fast.tree.attrs["strategy"] == strategy
    with warnings.catch_warnings():
        # a divergence of NUTS on the graph is the reference's own
        warnings.simplefilter("ignore", hb.SamplingWarning)
        nuts = model.fit(strategy="nuts", seed=2, draws=2000, tune=1000, progress=False, target_accept=0.99)
    return Comparison(
        scores(fast, nuts),
        tuple(float(fit.summary()["ess_bulk"].min()) for fit in (fast, nuts)),
        tuple(int(fit.tree["sample_stats"]["diverging"].sum()) for fit in (fast, nuts)),
    )
