"""Posteriors of brms 2.18 (Stan, 2 × 2500 draws) under equal priors, every one of them written out.

brms's model: ``Reaction ~ Dc + (Dc | Subject)`` with ``Dc = Days - 4.5`` and the priors below.
"""

import numpy as np
import pytest

import hierbayes as hb

PRIORS = {
    "Intercept": "Normal(300, 100)",
    "b": "Normal(0, 20)",
    "sd": "Exponential(0.02)",
    "cor": "LKJ(2)",
    "sigma": "Exponential(0.02)",
}
# mean, sd and bulk effective sample size
BRMS = {
    "Intercept": (298.463, 9.5227, 843),
    "Dc": (10.4376, 1.6438, 1196),
    "sd[Subject, Intercept]": (38.5098, 6.9321, 1328),
    "sd[Subject, Dc]": (6.1571, 1.3577, 1730),
    "cor[Subject, Intercept, Dc]": (0.6026, 0.1804, 2209),
    "sigma": (25.783, 1.5457, 3995),
}


def test_the_sleep_study_with_all_priors_stated():
    data = hb.load_dataset("sleepstudy").assign(Dc=lambda d: d.Days - 4.5)
    table = hb.fit("Reaction ~ Dc + (Dc | Subject)", data, priors=PRIORS, seed=1, progress=False).summary()
    for name, (mean, sd, size) in BRMS.items():
        ours = table.loc[name]
        error = sd * np.sqrt(1 / size + 1 / ours["ess_bulk"])
        assert abs(ours["mean"] - mean) < 4 * error, name
        assert ours["sd"] == pytest.approx(sd, rel=4 * np.sqrt(0.5 / size + 0.5 / ours["ess_bulk"])), name


def test_stated_priors_at_another_zero_are_another_model():
    """At Days = 0, far from 4.5: the same numbers say something else, as in brms; no map moves them."""
    model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"), priors=PRIORS)
    factor = model.spec.layout.predictors["mu"].factors[0]
    assert factor.map.identity
    assert list(model.priors["stands"]) == ["at the predictors' means", "", "at 0", "", "at 0", ""]
