"""Predictors with a value for each of a row's levels: ``(1 + mmc(x1, x2) | mm(g1, g2))``."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.errors import DataError, FormulaError
from hierbayes.formula import parse
from tests.families.fits import assert_kernel_is_the_graph

N = 80
LEVELS = np.array([f"s{place}" for place in range(9)])
TERM = "(mmc(x1, x2) | mm(a, b, weights=cbind(u, v)))"
NAME = "mm(a, b)"


def rows(n: int = N, levels: int = 9, seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, levels, (2, n))
    x = 3 + rng.normal(size=(2, n)) * [[1.0], [2.0]]
    weights = rng.uniform(0.1, 2.0, (2, n))
    shares = weights / weights.sum(axis=0)
    r = rng.normal(size=(2, levels)) * [[1.0], [0.5]]
    eta = sum(
        share * (r[0, own] + r[1, own] * values)
        for share, own, values in zip(shares, (first, second), x, strict=True)
    )
    labels = np.array([f"s{place}" for place in range(levels)])
    table = {"y": 1 + eta + 0.5 * rng.normal(size=n), "a": labels[first], "b": labels[second]}
    table |= {"x1": x[0], "x2": x[1], "u": weights[0], "v": weights[1]}
    return pd.DataFrame(table | {"n": rng.poisson(np.exp(0.3 * eta)), "z": rng.normal(size=n)})


DATA = rows()


def test_the_text_round_trips():
    text = "y ~ z + (1 + mmc(x1, x2) | mm(a, b))"
    formula = parse(text)
    assert str(formula) == "y ~ z + (mmc(x1, x2) | mm(a, b))"
    assert str(parse(str(formula))) == str(formula)
    assert {"x1", "x2"} <= {name for name, _ in formula.columns}


@pytest.mark.parametrize(
    ("term", "reason"),
    [
        ("mmc(x1, x2)", "has values of each of a row's levels"),
        ("z:mmc(x1, x2)", "has values of each of a row's levels"),
        ("I(mmc(x1, x2))", "has values of each of a row's levels"),
        ("(mmc(x1, x2) | a)", "has values of each of a row's levels"),
        ("(mmc(x1, x2, z) | mm(a, b))", "has 3 columns, and each row 2 levels"),
        ("(mmc(x1) | mm(a, b))", "takes columns, one for each column of mm"),
        ("(mmc(x1, 2 * x2) | mm(a, b))", "takes columns, one for each column of mm"),
        ("(mmc(x1, x2, by=z) | mm(a, b))", "takes columns, one for each column of mm"),
        ("(I(mmc(x1, x2)) | mm(a, b))", "a term of its own"),
    ],
)
def test_what_means_nothing_is_refused(term, reason):
    with pytest.raises(FormulaError, match=reason):
        hb.Model(f"y ~ {term}", DATA)


def test_categories_are_refused():
    with pytest.raises(DataError, match="'f' has categories"):
        hb.Model("y ~ (mmc(x1, f) | mm(a, b))", DATA.assign(f=DATA["a"]))


def test_columns_are_each_levels_own():
    model = hb.Model(f"y ~ z + {TERM}", DATA)
    (factor,) = model.spec.layout.main.factors
    assert factor.effects == ("Intercept", "mmc(x1, x2)")
    bound = model.design.main.factors[NAME]
    sums = DATA["u"] + DATA["v"]
    for each, column, weight in zip(bound.memberships, ("x1", "x2"), ("u", "v"), strict=True):
        share = (DATA[weight] / sums).to_numpy()
        np.testing.assert_allclose(each.z, np.column_stack([share, share * DATA[column]]), rtol=1e-14)


def test_default_priors_go_by_the_values_of_all_levels():
    """They are about slopes for deviations from the mean of x1 and x2 together."""
    model = hb.Model("y ~ z + (mmc(x1, x2) | mm(a, b))", DATA)
    rate = float(
        model.priors.query("coefficient == 'mmc(x1, x2)'")["prior"].iloc[0].split("=")[1].rstrip(")")
    )
    together = np.concatenate([DATA["x1"], DATA["x2"]])
    assert rate == pytest.approx(together.std() * 0.5**0.5 / DATA["y"].std(ddof=0), rel=1e-4)
    twice = hb.Model("y ~ z + (mmc(x1, x2) | mm(a, b))", DATA.assign(x2=DATA["x1"]))
    plain = hb.Model("y ~ z + (x1 | mm(a, b))", DATA)
    assert twice.priors["prior"].tolist() == plain.priors["prior"].tolist()


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        (f"y ~ z + {TERM}", "gaussian"),
        ("n ~ z + (mmc(x1, x2) || mm(a, b, scale=False))", "poisson"),
        ("n ~ z + (0 + mmc(x1, x2):z | mm(a, b))", "poisson"),
        ("y ~ z + cs(1 + mmc(x1, x2) | mm(a, b))", "gaussian"),
    ],
)
def test_whitened_kernel_is_the_graph(formula, family):
    assert_kernel_is_the_graph(hb.Model(formula, DATA, family=family))


def test_a_value_that_all_levels_share_is_a_plain_predictor():
    data = DATA.assign(x2=DATA["x1"])
    ours = hb.Model("y ~ z + (mmc(x1, x2) | mm(a, b))", data)
    plain = hb.Model("y ~ z + (x1 | mm(a, b))", data)
    for one, other in zip(
        ours.design.main.factors[NAME].memberships, plain.design.main.factors[NAME].memberships, strict=True
    ):
        np.testing.assert_array_equal(one.z, other.z)


def test_predictions_are_the_weighted_sums(known_fit):
    model = hb.Model(f"y ~ 1 + {TERM}", DATA)
    rng = np.random.default_rng(2)
    r = rng.normal(size=(9, 2))
    values = {"b": np.array([2.0]), f"sd_{NAME}": np.array([1.0, 0.5]), f"cor_{NAME}": np.eye(2)}
    fit = known_fit(model, values | {f"r_{NAME}": r, "sigma": 1.0}, chains=1, draws=4000)
    new = pd.DataFrame({"a": ["s1", "s2"], "b": ["s3", "new"], "x1": [1.0, 2.0], "x2": [-1.0, 4.0]})
    new = new.assign(u=[1.0, 1.0], v=[3.0, 1.0])
    found = np.asarray(fit.predict(new, kind="linear", new_levels="sample", output="draws")).reshape(-1, 2)
    expected = 2 + 0.25 * (r[1, 0] + r[1, 1]) + 0.75 * (r[3, 0] - r[3, 1])
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-12)
    known = 2 + 0.5 * (r[2, 0] + 2 * r[2, 1])
    sd = 0.5 * np.sqrt(1.0 + 16 * 0.25)
    assert abs(found[:, 1].mean() - known) < 4.5 * sd / 4000**0.5
    assert found[:, 1].std() == pytest.approx(sd, rel=4.5 / 8000**0.5)
    missing = new.drop(columns="x2")
    with pytest.raises(DataError, match="x2"):
        fit.predict(missing)


def test_truth_is_found():
    data = rows(600, 40, seed=8)
    fit = hb.fit(f"y ~ z + {TERM}", data, seed=1, progress=False)
    summary = fit.summary()
    truth = {"sigma": 0.5, f"sd[{NAME}, Intercept]": 1.0, f"sd[{NAME}, mmc(x1, x2)]": 0.5, "z": 0.0}
    for name, value in truth.items():
        assert abs(summary.loc[name, "mean"] - value) < 4 * summary.loc[name, "sd"], name
    assert summary["r_hat"].max() < 1.03
    assert set(fit.ranef()["effect"]) == {"Intercept", "mmc(x1, x2)"}
    assert np.isfinite(fit.loo().elpd)
    assert np.isfinite(fit.varcorr()["mean"]).all()
    assert np.isfinite(fit.predict(data.head(3), kind="response")["mean"]).all()
    assert "mmc(x1, x2)" in repr(fit.model)


@pytest.mark.filterwarnings("ignore::hierbayes.SamplingWarning")
def test_save_and_load(tmp_path):
    fit = hb.fit(f"y ~ z + {TERM}", DATA, seed=1, draws=200, tune=400, progress=False)
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    new = DATA.head(4)
    pd.testing.assert_frame_equal(again.predict(new, kind="linear"), fit.predict(new, kind="linear"))


def test_weights_of_rows_count_for_all_levels():
    """A row twice is a row with the weight 2, in default priors too."""
    twice = pd.concat([DATA, DATA.head(20)], ignore_index=True)
    weighted = DATA.assign(w=np.where(np.arange(N) < 20, 2.0, 1.0))
    one = hb.Model("y ~ z + (mmc(x1, x2) | mm(a, b))", twice)
    other = hb.Model("y | weights(w) ~ z + (mmc(x1, x2) | mm(a, b))", weighted)
    assert one.priors["prior"].tolist() == other.priors["prior"].tolist()
