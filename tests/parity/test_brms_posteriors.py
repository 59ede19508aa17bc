"""Posteriors of brms 2.18 under the same priors, each written out on both sides: `make_brms.R`, `brms_models.py`."""

import json
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from tests.parity.brms_models import MODELS
from tests.slow import with_slow

FOLDER = Path(__file__).parent
BRMS = json.loads((FOLDER / "brms_posteriors.json").read_text())
QUICK = ("cosy", "ovary_ar", "two_gauss")
LABELS = ("Subject", "child", "county", "patient", "school", "seed")  # numbers or not, names of levels


def data_of(name: str) -> pd.DataFrame:
    frame = pd.read_csv(FOLDER / "brms" / f"{name}.csv")
    return frame.astype({column: str for column in LABELS if column in frame})


def fitted(name: str) -> hb.Fit:
    data, formula, options, _ = MODELS[name]
    matrices = {
        key: pd.read_csv(FOLDER / "brms" / f"{file}.csv", index_col=0)
        for key, file in options.get("data2", {}).items()
    }
    given = options | ({"data2": matrices} if matrices else {})
    return hb.Model(formula, data_of(data), **given).fit(
        draws=2000, seed=1, target_accept=0.95, progress=False
    )


@pytest.mark.parametrize("name", with_slow(MODELS, MODELS.keys() - QUICK))
def test_the_posterior_is_brmss(name):
    fit = fitted(name)
    table, posterior = fit.summary(), fit.posterior
    theirs = BRMS[name]["posterior"]
    assert set(theirs) == set(MODELS[name][3])
    for there, here in MODELS[name][3].items():
        if callable(here):
            draws = here(posterior).to_numpy()
            mean, sd = draws.mean(), draws.std()
            size, of_sd = float(az.ess(draws)), float(az.ess(draws, method="sd"))
        else:
            mean, sd, size, of_sd = table.loc[here, ["mean", "sd", "ess_bulk", "ess_tail"]]
        brms = theirs[there]
        assert abs(mean - brms["mean"]) < 4.5 * np.hypot(sd / size**0.5, brms["mcse_mean"]), there
        spread = np.hypot((0.5 / of_sd) ** 0.5, brms["mcse_sd"] / brms["sd"])
        assert abs(np.log(sd / brms["sd"])) < 4.5 * spread, there


def test_every_reference_has_a_model_and_was_drawn_without_divergences():
    assert set(BRMS) == set(MODELS)
    assert all(one["divergences"] <= 5 for one in BRMS.values())
