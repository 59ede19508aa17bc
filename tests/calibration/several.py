"""Ranks of the parameters of several responses that are modelled together."""

from typing import Any

import numpy as np
import xarray as xr

from tests.calibration.designs import Setting

FIRST = 2  # of a variable's levels


def ranked(variables: xr.Dataset) -> dict[str, np.ndarray]:
    """What is ranked, each (S,): every scalar, correlations once, and two levels of each factor."""
    found: dict[str, np.ndarray] = {}
    for name, variable in variables.data_vars.items():
        values = variable.stack(sample=("chain", "draw")).transpose("sample", ...).to_numpy()
        for place in np.ndindex(values.shape[1:]):
            level = str(name).startswith("r_")
            correlation = values.ndim == 3 and not level
            if (level and place[0] >= FIRST) or (correlation and place[0] >= place[1]):
                continue
            inside = ", ".join(map(str, place))
            found[f"{name}[{inside}]" if inside else str(name)] = values[(slice(None), *place)]
    return found


class SeveralResponses:
    """Parameters and responses of a model of several responses, drawn from its prior."""

    def __init__(self, setting: Setting, replications: int, seed: int) -> None:
        self.setting, self.table = setting, setting.rows()
        blank = setting.model(self.table)
        prior = blank.prior_predictive(draws=replications, seed=seed)
        self.truths = ranked(prior["prior"].to_dataset())
        self.responses = {
            name: prior[f"prior_predictive_{name}"][name].to_numpy()[0] for name in blank.responses
        }

    def simulated(self, replication: int) -> Any:
        """The model of the responses of a replication."""
        y = {name: values[replication] for name, values in self.responses.items()}
        return self.setting.model(self.table.assign(**y))

    def compared(
        self, fit: Any, posterior: xr.Dataset, replication: int
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """What is ranked: the truth (1,), and draws (S,)."""
        return {name: values[[replication]] for name, values in self.truths.items()}, ranked(posterior)
