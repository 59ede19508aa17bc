"""A fit on disk comes back whole: predictions, types of labels, every kind of column, priors with their origins."""

import datetime as dt
import decimal
import enum
import fractions
import pickle
import subprocess
import sys
import uuid

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.testing import assert_array_equal

import hierbayes as hb
from hierbayes.seal import write_sealed

from .test_design import quiet
from .test_predict import prior_fit

N = 60
RNG = np.random.default_rng(8)
D = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(size=N),
        "age": RNG.uniform(20, 60, N),
        "kind": np.tile(["lo", "mid", "hi"], N // 3),
        "size": pd.Categorical(RNG.choice(["S", "M", "L"], N), ["S", "M", "L"]),
        "dose": pd.Categorical(np.tile([3, 1, 2, 4], N // 4), [3, 1, 2, 4]),
        "grade": pd.Categorical(np.tile(["C", "A", "D", "B"], N // 4), list("DCBA"), ordered=True),
        "agree": RNG.uniform(size=N) < 0.5,
        "day": np.tile(pd.date_range("2024-01-01", periods=5), N // 5),
        "g": np.tile(list("fedcba"), N // 6),
        "h": np.repeat(np.arange(10), N // 10),
        "k": RNG.integers(0, 11, N),
        "n": 12,
        "w": RNG.integers(1, 4, N),
        "yes": np.tile(["no", "yes"], N // 2),
    }
)


def through_disk(fit: hb.Fit, folder) -> hb.Fit:
    fit.save(folder / "fit.nc")
    return hb.load(folder / "fit.nc")


def assert_same_fit(found: hb.Fit, fit: hb.Fit) -> None:
    """Specification, draws, labels with their types, predictions and tables."""
    assert found.spec.priors == fit.spec.priors
    assert found.spec.layout.formulas == fit.spec.layout.formulas
    assert found.spec.family.name == fit.spec.family.name
    assert (found.spec.links, found.spec.shown_link) == (fit.spec.links, fit.spec.shown_link)
    assert found.spec.layout.kinds == fit.spec.layout.kinds
    for name, labels in fit.spec.coords.items():
        for loaded in (found.spec.coords[name], found.posterior[name].to_numpy()):
            assert loaded.tolist() == labels.tolist()
            assert [type(label) for label in loaded] == [type(label) for label in labels]
            assert loaded.dtype == labels.dtype
    for name in fit.posterior.data_vars:
        assert_array_equal(found.posterior[name], fit.posterior[name])
    assert_array_equal(found.design.y, fit.design.y)
    assert found.data.index.equals(fit.data.index)
    no_linear = fit.spec.family.name == "categorical"  # one for each category but the first
    for kind in ("mean", "response") if no_linear else ("linear", "mean", "response"):
        pd.testing.assert_frame_equal(
            found.predict(kind=kind), fit.predict(kind=kind), check_index_type=False
        )
    pd.testing.assert_frame_equal(
        found.predict(fit.data, new_levels="error"), fit.predict(fit.data), check_index_type=False
    )
    pd.testing.assert_frame_equal(found.summary(), fit.summary())
    pd.testing.assert_frame_equal(found.ranef(), fit.ranef())


MODELS = {
    "correlated": ("y ~ x + (x | g)", {}),
    "nested": ("y ~ x + (x || g/h)", {}),
    "columns of every kind": (
        "y ~ kind * x + size + dose + agree + bs(age, df=4) + (agree | g) + (1 | day)",
        {},
    ),
    "learnt transforms": ("log(age) ~ scale(x) + poly(x, 2):agree + C(dose, Sum) + (center(x) | g)", {}),
    "trials, weights, offset": (
        "k | trials(n) + weights(w / 2) ~ x + offset(log(age)) + (1 | g)",
        {"family": "binomial", "link": "probit"},
    ),
    "truth": ("yes ~ x + (1 | g)", {"family": "bernoulli"}),
    "two formulas": ({"mu": "y ~ x + (x | g)", "sigma": "~ kind + (1 | g)"}, {"family": "student"}),
    "a link of each parameter": (
        {"mu": "w ~ x", "shape": "~ kind"},
        {"family": "gamma", "link": {"mu": "softplus", "shape": "identity"}},
    ),
    "zeros": ({"mu": "k ~ x", "zi": "~ agree + (1 | g)"}, {"family": "zero_inflated_poisson"}),
    "ordered categories": (
        {"mu": "grade | thres(gr=kind) ~ x + (1 | g)", "disc": "~ 0 + agree"},
        {"family": "cumulative", "link": "probit"},
    ),
    "effects by category": ("grade ~ x + cs(agree) + (1 | g)", {"family": "acat"}),
    "categories": ("kind ~ x + (1 | g)", {"family": "categorical"}),
    "smooths": ("y ~ s(x, k=5) + s(age, by=kind, k=4) + (1 | g)", {}),
    "structures": ("y ~ x + ar1(0 + k | g) + cs(1 + x | h)", {}),
    "no groups": ("y ~ x", {}),
    "no population": ("y ~ 0 + (1 | g)", {}),
    "priors": (
        "y ~ x + (x | g)",
        {"priors": {"b[x]": "Cauchy", "sd[g, x]": "HalfNormal(3)", "Intercept": "Flat"}},
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_comes_back(name, tmp_path):
    formula, options = MODELS[name]
    model = quiet(formula, D, **{**options, "priors": None} if name == "priors" else options)
    fit = prior_fit(model, draws=15)
    if name == "priors":  # a flat prior has no draws of its own
        fit = hb.Fit(quiet(formula, D, **options).spec, fit.data, fit.design, fit.tree)
    assert_same_fit(through_disk(fit, tmp_path), fit)


DAYS = pd.date_range("2024-01-01", periods=6)
LEVELS = {
    "text": list("fedcba"),
    "text with colons, spaces, accents": ["a:b", " a b ", "é", "日本", "", "ß/ü"],
    "text with NUL": ["a\0b", "a", "b\0", "c", "d", "e"],
    "integers": [5, 30, -1, 2, 0, 100],
    "numbers": [0.1, 1 / 3, -2.0, 1e300, 5e-324, 3.0],
    "large integers": [2**63 + i for i in range(6)],
    "very large integers": [2**70 + i for i in range(6)],
    "truth": [True, False],
    "dates": [day.date() for day in DAYS],
    "clock times": [dt.time(hour, 30) for hour in range(6)],
    "identifiers": [uuid.UUID(int=i**7) for i in range(6)],
    "bytes": [b"\x00a", b"b", b"c", b"d", b"e", b"f"],
    "pairs": [(1, "a"), (0, "b"), (1, "b"), (0, "a"), (2, dt.date(2024, 1, 1)), (2, "c")],
    "mixed": ["a", 1, "1", 2.5, dt.date(2024, 1, 1), b"a"],
    "intervals": pd.interval_range(-3, 3).tolist(),
    "fractions": [fractions.Fraction(i, 7) for i in range(1, 7)],
    "pairs with a fraction": [(fractions.Fraction(i, 7), "a") for i in range(1, 7)],
    "dates long ago": [dt.date(1503, 1, i) for i in range(1, 7)],
    "dates far ahead": [dt.date(9999, 12, i) for i in range(1, 7)],
    "times long ago": [dt.datetime(1503, 1, i, 12) for i in range(1, 7)],
    "times far ahead": [dt.datetime(9999, 12, i, 12) for i in range(1, 7)],
}
ALL_AGES = np.array(
    ["-0500-01-01", "1503-05-06", "1999-01-02", "2262-12-31", "9999-12-31", "20000-01-01"], "M8[s]"
)
COLUMNS = {
    "times": pd.Series(DAYS),
    "times of day units": pd.Series(DAYS.astype("datetime64[s]")),
    "zoned times": pd.Series(DAYS.tz_localize("Europe/Paris")),
    "times with an offset": pd.Series(pd.to_datetime([f"2024-01-0{i}T00:00+02:00" for i in range(1, 7)])),
    "durations": pd.Series(pd.to_timedelta(range(1, 7), unit="h")),
    "periods": pd.Series(pd.period_range("2024", periods=6, freq="M")),
    "categories": pd.Series(pd.Categorical(list("fedcba"), list("bdfeca"))),
    "ordered categories": pd.Series(pd.Categorical(list("fedcba"), list("bdfeca"), ordered=True)),
    "categories of integers": pd.Series(pd.Categorical([5, 3, 1, 2, 9, 4], [9, 5, 3, 1, 2, 4])),
    "categories of times": pd.Series(pd.Categorical(DAYS, DAYS[[3, 1, 0, 2, 5, 4]])),
    "bins": pd.Series(pd.cut([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], 6)),
    "times of all ages": pd.Series(ALL_AGES),
    "categories of times long ago": pd.Series(pd.Categorical(ALL_AGES[1:5])),
    "nullable integers": pd.Series([3, 1, 2, 6, 5, 4], dtype="Int64"),
    "nullable text": pd.Series(list("fedcba"), dtype="string"),
}


@pytest.mark.parametrize("name", [*LEVELS, *COLUMNS])
def test_levels_of_every_type_come_back(name, tmp_path):
    levels = COLUMNS[name] if name in COLUMNS else pd.Series(LEVELS[name])
    column = levels.iloc[np.arange(N) % len(levels)].reset_index(drop=True)
    fit = prior_fit(quiet("y ~ x + (x | g)", D.assign(g=column)), draws=10)
    found = through_disk(fit, tmp_path)
    assert_same_fit(found, fit)
    pd.testing.assert_frame_equal(
        found.predict(D.assign(g=column), new_levels="error"),
        fit.predict(D.assign(g=column), new_levels="error"),
    )


UNKNOWN = {
    "complex numbers": [complex(i, 1) for i in range(6)],
    "frozensets": [frozenset(word) for word in ("ab", "abc", "b", "bc", "c", "")],
    "ranges": [range(i) for i in range(6)],
    "members of an enumeration": list(enum.Enum("Colour", "a b c d e f")),
    "lists": [[i] for i in range(6)],
    "sets in pairs": [(frozenset([i]), 1) for i in range(6)],
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ g"])
def test_levels_that_no_file_could_hold_are_refused_before_sampling(name, formula):
    column = pd.Series(UNKNOWN[name] * (N // 6))
    with pytest.raises(hb.DataError, match=r"'g' holds \w+ values.* make it"):
        hb.Model(formula, D.assign(g=column))


def test_ten_thousands_of_categories(tmp_path):
    labels = [f"a level with a long name, number {i}" for i in RNG.permutation(20_000)]
    data = pd.DataFrame({"y": RNG.normal(size=40_000), "g": pd.Categorical(labels * 2, labels)})
    fit = prior_fit(quiet("y ~ 1 + (1 | g)", data), draws=2)
    found = through_disk(fit, tmp_path)
    assert found.posterior["g"].to_numpy().tolist() == labels
    assert_array_equal(found.posterior["r_g"], fit.posterior["r_g"])


INDICES = {
    "numbers": pd.Index(np.arange(N)[::-1], name="row"),
    "text": pd.Index([f"r{i}" for i in range(N)]),
    "twice": pd.Index([1, 2] * 30),
    "times": pd.date_range("2024-01-01", periods=N, name="when"),
    "zoned": pd.date_range("2024-01-01", periods=N, tz="Asia/Tokyo"),
    "several": pd.MultiIndex.from_product([list("ab"), range(30)], names=["s", None]),
    "pairs": pd.Index([(i, "a") for i in range(N)], tupleize_cols=False),
}


@pytest.mark.parametrize("name", INDICES)
def test_the_index_comes_back(name, tmp_path):
    fit = prior_fit(hb.Model("y ~ x + (1 | g)", D.set_index(INDICES[name])), draws=10)
    found = through_disk(fit, tmp_path)
    assert found.data.index.equals(INDICES[name])
    assert found.data.index.names == INDICES[name].names
    pd.testing.assert_frame_equal(found.predict(), fit.predict(), check_index_type=False, check_freq=False)


@pytest.mark.parametrize(
    "name", ["a/b", "a b", "x_", "__index__", "posterior", "é", "chain", "g__levels", "y.1", "Intercept"]
)
def test_columns_of_any_name_come_back(name, tmp_path):
    data = D.assign(**{name: D["age"], f"{name}_": D["x"]})
    fit = prior_fit(hb.Model(f"y ~ `{name}` + `{name}_` + (`{name}_` | g)", data), draws=10)
    assert_same_fit(through_disk(fit, tmp_path), fit)


def test_a_second_save_changes_nothing(tmp_path):
    fit = prior_fit(quiet("y ~ kind + size + (1 | day)", D), draws=10)
    once = through_disk(fit, tmp_path)
    assert_same_fit(through_disk(once, tmp_path), fit)  # over the file that it was read from
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").data, once.data)


def test_attributes_origins_and_other_groups_come_back(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[priors]\nsd = "Exponential(2)"\n')
    fit = prior_fit(hb.Model("y ~ x + (x | g)", D, priors=file), draws=10)
    fit.tree.attrs.update({"strategy": "nuts", "seed": 3, "sampling_seconds": 1.5, "interrupted": 0})
    fit.tree["extra"] = xr.DataTree(xr.Dataset({"z": ("i", [1.0, 2.0])}))
    found = through_disk(fit, tmp_path)
    assert dict(found.tree.attrs) == dict(fit.tree.attrs)
    assert_array_equal(found.tree["extra"]["z"], [1.0, 2.0])
    assert {p.origin for p in found.spec.priors} == {"default", "file mine.toml"}
    assert set(found.tree.children) == {"posterior", "sample_stats", "observed_data", "extra"}


def test_every_method_works_on_a_loaded_fit(tmp_path):
    found = through_disk(prior_fit(hb.Model("y ~ x + kind + (x | g)", D), draws=20), tmp_path)
    assert "y ~ x + kind + (x | g)" in repr(found)
    assert len(found.coef()) == 12
    assert "posterior_predictive" in found.posterior_predictive(draws=5).children
    assert len(found.compare(D.head(2), D.tail(2))) == 2
    assert found.predict({"x": [0.0], "kind": ["lo"], "g": ["new"]}).shape == (1, 4)
    with pytest.raises(hb.DataError, match="training didn't: huge"):
        found.predict({"x": [0.0], "kind": ["huge"], "g": ["new"]})


def test_the_file_opens_in_xarray_and_arviz(tmp_path):
    fit = prior_fit(hb.Model("y ~ x + kind + (x | g)", D), draws=20)
    fit.save(tmp_path / "fit.nc")
    code = """
import sys
import arviz as az
import xarray as xr
tree = az.from_netcdf(sys.argv[1])
assert set(tree.children) == {"posterior", "sample_stats", "observed_data", "constant_data", "specification"}
assert az.summary(tree, var_names=["b"]).shape[0] == 4
opened = xr.open_datatree(sys.argv[1])
assert opened["constant_data"]["kind"].to_numpy()[:3].tolist() == ["lo", "mid", "hi"]
assert opened["posterior"]["r_g"].sel(g="a").dims == ("chain", "draw", "g_effect")
assert not any(name.startswith("hierbayes") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "fit.nc")], check=True)


def test_nothing_is_pickled(tmp_path, monkeypatch):
    def refuse(*_, **__):
        pytest.fail("a pickle")

    fit = prior_fit(
        quiet("y ~ kind + size + (1 | day)", D.assign(day=[day.date() for day in D["day"]])), draws=10
    )
    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    assert_same_fit(through_disk(fit, tmp_path), fit)


def test_levels_that_do_not_match_the_draws_are_refused(tmp_path):
    path = tmp_path / "fit.nc"
    prior_fit(hb.Model("y ~ x + (1 | g)", D), draws=10).save(path)
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        tree = opened.load()
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = xr.DataTree(posterior.assign_coords(g=posterior["g"].to_numpy()[::-1]))
    write_sealed(path, tree)
    with pytest.raises(hb.DataError, match=r"the levels of 'g' are not those of its training rows"):
        hb.load(path)


def test_decimals_are_read_as_numbers(tmp_path):
    column = [decimal.Decimal(i % 6) for i in range(N)]
    fit = prior_fit(hb.Model("y ~ x + (1 | g)", D.assign(g=column)), draws=10)
    assert_same_fit(through_disk(fit, tmp_path), fit)


def test_a_loaded_fit_has_its_model_again(tmp_path):
    """Model, formula and priors as before: the model can be fitted, drawn and printed anew."""
    sleep = hb.load_dataset("sleepstudy")
    model = hb.Model("Reaction ~ Days + (Days | Subject)", sleep, priors={"b[Days]": "Normal(0, 20)"})
    fit = prior_fit(model, draws=10)
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    assert again.formula == fit.formula == str(model.spec.layout.formulas["mu"])
    pd.testing.assert_frame_equal(again.priors, model.priors)
    assert str(again.model) == str(model) == str(fit.model)
    first, second = (m.prior_predictive(draws=3, seed=1)["prior_predictive"] for m in (model, again.model))
    xr.testing.assert_equal(first.to_dataset(), second.to_dataset())
    both = {"mu": "Reaction ~ Days", "sigma": "~ Days"}
    assert list(prior_fit(hb.Model(both, sleep), draws=10).formula) == ["mu", "sigma"]
