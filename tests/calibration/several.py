"""Ranks of the parameters of several responses that are modelled together."""

import time
import warnings
from collections.abc import Callable
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


def ranks_of_several(
    setting: Setting,
    replications: int,
    seed: int,
    settings_of_fit: dict[str, Any],
    thin: int,
    tell: Callable[[str], None],
) -> tuple[dict[str, list[int]], int]:
    """Ranks of every quantity among the thinned draws, and divergences."""
    start = time.perf_counter()
    rows = setting.rows()
    blank = setting.model(rows)
    prior = blank.prior_predictive(draws=replications, seed=seed)
    truths = ranked(prior["prior"].to_dataset())
    responses = {name: prior[f"prior_predictive_{name}"][name].to_numpy()[0] for name in blank.responses}
    ranks: dict[str, list[int]] = {name: [] for name in truths}
    divergences = 0
    for replication in range(replications):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of draws: divergences are counted, the ranks tell the rest
            model = setting.model(rows.assign(**{name: y[replication] for name, y in responses.items()}))
            fit = model.fit(seed=replication, progress=False, **settings_of_fit, **setting.options)
        divergences += int(fit.tree["sample_stats"]["diverging"].sum())
        drawn = ranked(fit.posterior.isel(draw=slice(thin - 1, None, thin)))
        assert drawn.keys() == truths.keys()
        for name, values in drawn.items():
            ranks[name].append(int(np.sum(values < truths[name][replication])))
        if replication % 20 == 19:
            tell(f"{setting.name}: {replication + 1} of {replications}, {time.perf_counter() - start:.0f} s")
    return ranks, divergences
