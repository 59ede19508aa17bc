"""Shares of which some are 0: whether there is any, and how large a share where there is, of a beta distribution."""

from typing import Any

import numpy as np

from hierbayes.families import beta
from hierbayes.families.densities import ByDensity
from hierbayes.families.record import Support
from hierbayes.families.zeros import hurdle

SHARE = Support("a number from 0 to 1, without 1", lambda y, trials: (y >= 0) & (y < 1), atoms=(0.0,))


def graph(pm: Any, mu: Any, phi: Any, zi: Any) -> tuple[Any, dict[str, Any]]:
    """Zeros, and PyMC's beta distribution."""
    import pytensor.tensor as pt

    def log_density(y: Any, a: Any, b: Any, log_p: Any, log_q: Any) -> Any:
        none = pt.eq(y, 0.0)
        inside = pt.switch(none, np.array(0.5), y)
        return pt.switch(none, log_p, log_q + pm.logp(pm.Beta.dist(alpha=a, beta=b), inside))

    arguments = {"a": mu.p * phi.value, "b": mu.q * phi.value, "log_p": zi.log_p, "log_q": zi.log_q}
    return ByDensity(pm, log_density), arguments


FAMILY = hurdle(beta.FAMILY, "zero_inflated_beta", globals(), graph, parameter="zi", support=SHARE, place=28)
