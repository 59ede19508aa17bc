"""Predictions, intraclass correlations and R² against what merTools and performance make of lme4's fits."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import hierbayes as hb
from tests.parity.comparison import REFERENCE, _key
from tests.parity.models import MODELS

HERE = Path(__file__).parent
INTERVALS = pd.read_csv(HERE / "predict_interval.csv", dtype={"subject": str})
VARIANCE = pd.read_csv(HERE / "variance.csv", index_col="model")


# -- merTools::predictInterval --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sleep():
    formula = "Reaction ~ Days + (Days | Subject)"
    return hb.fit(formula, hb.load_dataset("sleepstudy"), seed=1, draws=2000, progress=False)


def beside(fit: hb.Fit, rows: pd.DataFrame, **options) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distances of median-like fits and bounds, in widths of merTools' interval; and the ratio of the widths."""
    new = pd.DataFrame({"Days": rows["days"], "Subject": rows["subject"]})
    found = fit.predict(new, kind="response", prob=0.8, interval="eti", **options)
    width = rows["upr"] - rows["lwr"]
    pairs = {"mean": "fit", "lower": "lwr", "upper": "upr"}
    distances = pd.DataFrame({ours: (found[ours] - rows[theirs]) / width for ours, theirs in pairs.items()})
    return distances, (found["upper"] - found["lower"]) / width


def test_known_subjects_as_predict_interval_has_them(sleep):
    """merTools adds variances of coefficients and effects that offset each other: its intervals are a little wide."""
    distances, ratio = beside(sleep, INTERVALS[INTERVALS["group"] == "known"])
    assert len(ratio) == 18 * 3
    assert distances.abs().max().max() < 0.1
    assert distances.abs().mean().max() < 0.04
    assert 0.88 < ratio.min() <= ratio.max() < 1.05
    assert ratio.mean() < 1


def test_a_new_subject_has_the_populations_spread(sleep):
    """merTools leaves a new group's effects at 0. Drawn at lme4's estimate they are no more uncertain than a posterior,
    whose quantiles have a Monte Carlo error of 1.5 % of the width."""
    distances, ratio = beside(sleep, INTERVALS[INTERVALS["group"] == "zero"], groups="none")
    assert distances.abs().max().max() < 0.03
    assert_allclose(ratio, 1.0, atol=0.04)
    distances, ratio = beside(sleep, INTERVALS[INTERVALS["group"] == "population"])
    assert distances.abs().max().max() < 0.1
    assert ((ratio > 0.97) & (ratio < 1.15)).all()


# -- performance::icc, performance::r2_nakagawa ---------------------------------------------------------------------


def at_estimates(name: str, known_fit) -> hb.Fit:
    """A fit whose every draw is lme4's estimate."""
    reference, entry = REFERENCE[name], MODELS[name]
    model = hb.Model(entry.formula, hb.load_dataset(entry.dataset), family=entry.family)
    layout = model.spec.layout.predictors["mu"]
    fixed = {_key(label): value for label, value in reference["fixef"].items()}
    values = {"b": [fixed[_key(label)] for label in layout.coefficients]}
    for row in reference["varcorr"]:
        if row["grp"] == "Residual":
            values["sigma"] = row["sdcor"]
        elif row["var2"] is None:
            values.setdefault(f"sd_{row['grp']}", []).append(row["sdcor"])
        else:
            values[f"cor_{row['grp']}"] = [[1, row["sdcor"]], [row["sdcor"], 1]]
    return known_fit(model, values)


def answers(fit: hb.Fit, group: str) -> pd.Series:
    """ICCs on the link's scale and Nakagawa's R², named as in the file."""
    found = {}
    for definition in ("adjusted", "unadjusted"):
        table = fit.icc(scale="latent", definition=definition).set_index("group")
        found[f"icc_{definition}"] = table.loc[group, "mean"]
    r2 = fit.r2().set_index(["definition", "kind"])["mean"]["nakagawa"]
    return pd.Series(found | {f"r2_{kind}": r2[kind] for kind in ("marginal", "conditional")})


@pytest.mark.parametrize(
    ("entry", "name", "group"),
    [("sleepstudy", "sleepstudy_slopes", "Subject"), ("epilepsy_rows", "epilepsy_olre", "patient")],
)
def test_variance_explained_at_lme4s_estimates(known_fit, entry, name, group):
    assert_allclose(answers(at_estimates(name, known_fit), group), VARIANCE.loc[entry], rtol=2e-4)


def test_variance_explained_in_herds_is_that_of_animals(known_fit):
    """performance counts a row of 30 animals as often as one of 2 in the variance of the periods."""
    found, theirs = answers(at_estimates("cbpp", known_fit), "herd"), VARIANCE.loc["cbpp"]
    assert_allclose(found["icc_adjusted"], theirs["icc_adjusted"], rtol=2e-3)
    assert_allclose(found, theirs, atol=0.01)


def test_the_mean_count_of_the_model_without_predictors(known_fit):
    """performance takes Poisson's own variance at the mean of a model without predictors: an ICC of 0.49, not 0.51."""
    found = answers(at_estimates("epilepsy_olre", known_fit), "patient")
    assert_allclose(found, VARIANCE.loc["epilepsy"], atol=0.02)


def test_the_reference_is_of_every_subject():
    assert len(INTERVALS) == 20 * 3
    assert np.isfinite(INTERVALS[["fit", "lwr", "upr"]].to_numpy()).all()
