"""Rows that stay in files, relations, lazy frames and clusters: the same model as of the frame in memory."""

import warnings

import dask
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hierbayes as hb
from hierbayes.data import sources
from hierbayes.data.sources import find_source
from hierbayes.engine.collapsed import to_problem
from hierbayes.engine.gaussian.moments import Moments, moments

N = 5000
RNG = np.random.default_rng(3)


def make_rows() -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "x": 40 + RNG.normal(size=N),
            "z": np.exp(RNG.normal(size=N)) + 0.1,
            "kind": RNG.choice(["lo", "mid", "hi"], N),
            "yes": RNG.random(N) > 0.4,
            "w": RNG.integers(0, 4, N).astype(float),
            "o": RNG.normal(size=N),
            "g": RNG.integers(0, 60, N) * 7 - 40,
            "school": RNG.choice([f"s{i}" for i in range(12)], N),
            "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(RNG.integers(0, 9, N), unit="D"),
            "unused": RNG.normal(size=N),
        }
    )
    rows["room"] = RNG.integers(1, 4, N)
    rows["flag"] = RNG.random(N) > 0.5
    level = (rows["g"] + 40) // 7
    slope = 0.2 + RNG.normal(scale=0.5, size=60)[level]
    rows["y"] = 3 + RNG.normal(size=60)[level] + slope * (rows["x"] - 40) + rows["yes"] + RNG.normal(size=N)
    return rows.sort_values("x", ignore_index=True)  # parts that differ: the hard case


ROWS = make_rows()
FORMULAS = {
    "slopes": "y ~ x * kind + yes + (x | g)",
    "everything": "y | weights(w) ~ scale(log(z)) + center(x) + C(room) + offset(o) + (1 + x + z | g) + (x || school)",
    "nested": "y ~ x + (1 | school / room) + (1 | day) + (1 | flag)",
    "no intercept": "y ~ 0 + x + z + (0 + x | g)",
    "computed": "log(z) ~ I(x**2) + scale(x):yes + (1 | g)",
    "no groups": "y ~ x + kind",
    "curved": "y ~ 0 + kind + kind:x + x:z + z + I(x**2) + (x * z | g)",
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(sources, "CHUNK", 701)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write(ROWS, folder / "all.parquet")
    for part, rows in enumerate(np.array_split(np.arange(N), 3)):
        write(ROWS.iloc[rows], folder / f"part{part}.parquet")
    ROWS.to_csv(folder / "all.csv", index=False)
    return folder


def write(rows: pd.DataFrame, path) -> None:
    rows.to_parquet(path, row_group_size=900, index=False)


SOURCES = {
    "file": lambda folder: folder / "all.parquet",
    "files": lambda folder: str(folder / "part*.parquet"),
    "relation": lambda folder: duckdb.from_parquet(str(folder / "all.parquet")),
    "lazy": lambda folder: pl.scan_parquet(folder / "all.parquet"),
    "lazy in memory": lambda folder: pl.from_pandas(ROWS).lazy(),
    "dask": lambda folder: dd.from_pandas(ROWS, npartitions=5),
}


def quiet(formula: str, data: object, **options: object) -> hb.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        return hb.Model(formula, data, progress=False, **options)


def findings(formula: str, data: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hb.Model(formula, data, progress=False)
    return sorted(str(w.message) for w in caught if issubclass(w.category, hb.DataWarning))


def assert_same(found: hb.Model, expected: hb.Model) -> None:
    """Layouts equal, priors and cross-products equal to rounding."""
    assert len(found.design) == len(expected.design)
    assert found.spec.coords.keys() == expected.spec.coords.keys()
    for name, labels in expected.spec.coords.items():
        assert found.spec.coords[name].tolist() == labels.tolist()
        assert list(map(type, found.spec.coords[name].tolist())) == list(map(type, labels.tolist()))
    assert found.spec.layout.kinds == expected.spec.layout.kinds
    for mine, theirs in zip(found.spec.priors, expected.spec.priors, strict=True):
        assert (mine.kind, mine.coefficient, mine.group) == (theirs.kind, theirs.coefficient, theirs.group)
        assert mine.prior.name == theirs.prior.name
        assert_allclose(
            [v for _, v in mine.prior.args], [v for _, v in theirs.prior.args], rtol=1e-12, atol=1e-14
        )
    predictor, other = found.spec.layout.predictors["mu"], expected.spec.layout.predictors["mu"]
    assert_allclose(predictor.columns.means, other.columns.means, rtol=1e-12, atol=1e-14)
    assert_allclose(predictor.columns.scales, other.columns.scales, rtol=1e-12)
    assert_allclose(predictor.map.matrix, other.map.matrix, rtol=1e-11, atol=1e-13)
    for mine, theirs in zip(predictor.factors, other.factors, strict=True):
        assert mine.blocks == theirs.blocks
        assert_allclose(mine.map.matrix, theirs.map.matrix, rtol=1e-11, atol=1e-13)
    assert_same_moments(
        found.design.inner_moments(found.spec.layout), moments(to_problem(expected.spec, expected.design))
    )


def assert_same_moments(found: Moments, expected: Moments) -> None:
    """Equal to 1e-12, relative to the lengths of the columns that are multiplied."""
    assert_allclose(found.n, expected.n, rtol=1e-14)
    assert_allclose(found.reference.centre, expected.reference.centre, rtol=1e-12, atol=1e-14)
    length = np.sqrt(np.diag(expected.dense))
    assert_allclose(
        found.dense / np.outer(length, length), expected.dense / np.outer(length, length), atol=1e-12
    )
    own = [np.sqrt(np.einsum("gaa->a", ZZ)) for ZZ in expected.within]
    for k, size in enumerate(own):
        assert_allclose(
            found.within[k] / np.outer(size, size), expected.within[k] / np.outer(size, size), atol=1e-12
        )
        scale = np.outer(size, length)
        assert_allclose(found.with_dense[k] / scale, expected.with_dense[k] / scale, atol=1e-12)
    places = [(a, b) for a in range(len(own)) for b in range(a + 1, len(own))]
    for (a, b), mine, theirs in zip(places, found.pairs, expected.pairs, strict=True):
        assert_array_equal(mine.keys, theirs.keys)
        scale = np.outer(own[a], own[b])
        assert_allclose(mine.values / scale, theirs.values / scale, atol=1e-12)


# -- the same model --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=list(FORMULAS))
def test_a_file_gives_the_model_of_the_frame(folder, formula):
    assert_same(quiet(formula, folder / "all.parquet"), quiet(formula, ROWS))


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_model_of_the_frame(folder, name):
    for formula in (FORMULAS["everything"], FORMULAS["nested"]):
        assert_same(quiet(formula, SOURCES[name](folder)), quiet(formula, ROWS))


def test_text_files_have_the_types_that_pandas_gives_them(folder):
    formula = "y ~ x + kind + yes + (1 | g) + (1 | day) + (1 | flag)"
    expected = quiet(formula, pd.read_csv(folder / "all.csv"))
    assert isinstance(expected.spec.coords["day"][0], str)
    assert_same(quiet(formula, folder / "all.csv"), expected)


def test_levels_keep_their_order_and_type_through_every_source():
    order = ["mid", "lo", "hi", "never"]
    frame = pl.from_pandas(ROWS).with_columns(
        pl.col("kind").cast(pl.Enum(order)), small=pl.col("g").cast(pl.Int16)
    )
    formula = "y ~ x:kind + (1 | kind / small) + (1 | day)"
    expected = quiet(formula, frame)
    assert expected.spec.coords["kind"].tolist() == order[:3]
    table = duckdb.connect().from_arrow(frame.to_arrow())
    columns = ", ".join(name for name in frame.columns if name != "kind")
    relation = table.select(f"{columns}, kind::ENUM{tuple(order)} as kind")
    pandas = frame.to_pandas().assign(kind=pd.Categorical(ROWS["kind"], order))
    for source in (frame.lazy(), relation, dd.from_pandas(pandas, npartitions=3)):
        assert_same(quiet(formula, source), expected)


def test_categories_in_parquet_files_keep_their_order(tmp_path):
    rows = ROWS.assign(
        kind=pd.Categorical(ROWS["kind"].where(ROWS["x"] < 41), ["mid", "lo", "hi", "never"], ordered=True)
    )
    for part, frame in enumerate((rows.iloc[:2000], rows.iloc[2000:])):
        write(frame, tmp_path / f"{part}.parquet")
    formula = "y ~ x * kind + (1 | kind / room)"
    assert_same(quiet(formula, tmp_path / "*.parquet"), quiet(formula, rows))


def test_a_category_that_no_row_has_left_has_no_column():
    rows = ROWS.assign(
        kind=pd.Categorical(ROWS["kind"].where(ROWS.index != 1, "rare"), ["rare", "hi", "lo", "mid"])
    )
    rows.loc[1, "x"] = np.nan
    found = quiet("y ~ x + kind + (1 | g)", dd.from_pandas(rows, npartitions=4))
    assert found.spec.layout.predictors["mu"].coefficients == ("Intercept", "x", "kind[lo]", "kind[mid]")


# -- rows with gaps --------------------------------------------------------------------------------------------


def with_gaps() -> pl.DataFrame:
    rows = np.random.default_rng(1)
    frame = pl.from_pandas(ROWS).with_row_index("row")
    for name in ("y", "x", "kind", "g", "flag"):
        gone = rows.choice(N, 40, replace=False)
        frame = frame.with_columns(pl.when(~pl.col("row").is_in(gone)).then(pl.col(name)).alias(name))
    return frame.with_columns(z=pl.when(pl.col("row") == 9).then(float("nan")).otherwise(pl.col("z")))


def test_gaps_are_left_out_and_told_as_of_the_frame(tmp_path):
    frame = with_gaps()
    frame.write_parquet(tmp_path / "gaps.parquet", row_group_size=300)
    formula = "y ~ x + z + kind + (1 | g) + (1 | flag)"
    expected = quiet(formula, frame)
    pandas = frame.to_pandas()
    with dask.config.set({"dataframe.convert-string": False}):  # or True and False with gaps become texts
        partitions = dd.from_pandas(pandas, npartitions=4)
    for source in (tmp_path / "gaps.parquet", frame.lazy(), partitions):
        assert findings(formula, source) == findings(formula, frame)
    for source in (tmp_path / "gaps.parquet", frame.lazy()):
        assert_same(quiet(formula, source), expected)
    assert_same(quiet(formula, partitions), quiet(formula, pandas))


def test_only_the_columns_of_the_formula_are_read():
    def never(values: pl.Series) -> pl.Series:
        raise AssertionError("the column was read")

    lazy = (
        pl.from_pandas(ROWS).lazy().with_columns(pl.col("x").map_batches(never, pl.Float64).alias("unused"))
    )
    assert len(quiet("y ~ x + (1 | g)", lazy).design) == N


# -- fits ------------------------------------------------------------------------------------------------------

SLOPES = FORMULAS["slopes"]
SAMPLING = {"draws": 500, "chains": 2, "seed": 4, "progress": False}


@pytest.fixture(scope="module")
def fits(folder):
    frame = quiet(SLOPES, ROWS).fit(**SAMPLING)
    return frame, quiet(SLOPES, folder / "all.parquet").fit(**SAMPLING)


def test_the_posterior_is_that_of_the_frame(fits):
    frame, streamed = fits
    for name, expected in frame.posterior.data_vars.items():
        found = streamed.posterior[name]
        error = expected.std(("chain", "draw")) / 15  # of some 600 effective draws, with room
        assert (
            abs(found.mean(("chain", "draw")) - expected.mean(("chain", "draw"))) <= 4 * error + 1e-12
        ).all()
    # the first draws have had no time to part by rounding
    assert_allclose(streamed.posterior["b"][:, 0], frame.posterior["b"][:, 0], rtol=1e-6)


def test_tables_of_a_fit_need_no_rows(fits):
    frame, streamed = fits
    assert streamed.tree.attrs["strategy"] == "collapsed"
    assert "observed_data" not in streamed.tree.children
    for table in ("summary", "fixef", "ranef", "coef"):
        assert getattr(streamed, table)().shape == getattr(frame, table)().shape
    found, expected = streamed.varcorr(), frame.varcorr()
    assert found["effect"].tolist() == expected["effect"].tolist()
    assert_allclose(found["share"], expected["share"], atol=0.02)
    assert found["share"].sum() == pytest.approx(1)


def test_variance_shares_come_from_the_cross_products(fits):
    frame, streamed = fits
    again = hb.Fit(streamed.spec, streamed.data, streamed.design, frame.tree)  # the same draws
    assert_allclose(again.varcorr()["share"], frame.varcorr()["share"], rtol=1e-9)


def test_predictions_of_new_rows_are_as_ever_and_of_all_rows_read_them_again(fits):
    frame, streamed = fits
    again = hb.Fit(streamed.spec, streamed.data, streamed.design, frame.tree)
    new = ROWS.iloc[::500]
    pd.testing.assert_frame_equal(again.predict(new), frame.predict(new), rtol=1e-9)
    pd.testing.assert_frame_equal(again.predict(), frame.predict(), rtol=1e-9)
    assert again.predict(new, output="draws").shape == (2, 500, 10)


def test_what_needs_all_rows_at_once_says_so(fits, tmp_path):
    streamed = fits[1]
    for ask in (
        streamed.shrinkage,
        streamed.plot_shrinkage,
        streamed.posterior_predictive,
        streamed.log_likelihood,
        streamed.loo,
        lambda: streamed.logo("g"),
        streamed.icc,
        streamed.r2,
        lambda: streamed.save(tmp_path / "fit.nc"),
        lambda: streamed.predict(output="draws"),
    ):
        with pytest.raises(hb.UnsupportedError, match=r"they stay in .*all\.parquet through DuckDB; "):
            ask()


def test_a_model_says_where_its_rows_are(folder):
    model = quiet(SLOPES, folder / "all.parquet")
    assert "Rows: 5,000 in " in repr(model)
    for ask in (model.graph, model.prior_predictive, lambda: model.fit(strategy="nuts")):
        with pytest.raises(hb.UnsupportedError, match=r"all\.parquet"):
            ask()


# -- what cannot be fitted so ----------------------------------------------------------------------------------

REFUSED = {
    "family": ("yes ~ x + (1 | g)", {"family": "bernoulli"}, "bernoulli"),
    "link": ("z ~ x", {"family": "gaussian", "link": "log"}, "link log"),
    "logarithm": ("z ~ x", {"family": "lognormal"}, r"write log\(z\) with family .gaussian"),
    "sigma": ({"mu": "y ~ x", "sigma": "~ x"}, {}, "sigma has a formula"),
    "prior": ("y ~ x", {"priors": {"b[x]": "StudentT(3, 0, 1)"}}, "StudentT"),
    "spline": ("y ~ bs(x, df=5)", {}, "whole column"),
    "poly": ("y ~ 1 + (poly(x, 2) | g)", {}, "whole column"),
    "twice": ("y ~ scale(center(x))", {}, "one of the two"),
    "computed categories": ("y ~ C(x > 40)", {}, "make it a column"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_needs_the_rows_is_refused_before_they_are_read(name):
    formula, options, words = REFUSED[name]

    def never(values: pl.Series) -> pl.Series:
        raise AssertionError("a row was read")

    columns = pl.col("x", "y", "z").map_batches(never, pl.Float64)
    rows = {"x": [1.0], "y": [1.0], "z": [1.0], "yes": [True]}
    rows |= {name: [1] for name in ("g", "b", "chain", "g_effect", "draw")}
    lazy = pl.LazyFrame(rows).with_columns(columns)
    with pytest.raises((hb.UnsupportedError, hb.DataError), match=words):
        hb.Model(formula, lazy, **options)


def test_wide_crossed_factors_are_sampled_from_the_same_moments():
    rows = ROWS.assign(s=np.arange(N) % 1000, d=np.arange(N) // 5 % 900)
    frame, lazy = (quiet("y ~ (1 | s) + (1 | d)", data) for data in (rows, pl.from_pandas(rows).lazy()))
    assert "whitened" in repr(lazy).splitlines()[-1]
    options = {"draws": 5, "tune": 20, "chains": 1, "seed": 1, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.SamplingWarning)
        fits = [model.fit(**options) for model in (frame, lazy)]
    first, second = (fit.posterior.isel(draw=0) for fit in fits)
    for name in first.data_vars:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-4, atol=1e-4)


MISTAKES = [
    ("y ~ xx", "did you mean 'x'"),
    ("one ~ x", "nothing to model"),
    ("y ~ log(x - 100)", "not a finite number"),
    ("y ~ x + only", "one value"),
    ("y ~ x + day", "days since a date"),
    ("kind ~ x", "finite number"),
    ("y | weights(nothing) ~ x", "weights are all 0"),
    ("y ~ x + endless", "infinite"),
]


@pytest.mark.parametrize(("formula", "words"), MISTAKES)
def test_mistakes_are_found_as_in_a_frame(formula, words):
    rows = ROWS.assign(one=1.0, only="a", nothing=0.0, endless=np.where(np.arange(N) == 7, np.inf, 1.0))
    for data in (rows, pl.from_pandas(rows).lazy()):
        with pytest.raises(hb.DataError, match=words):
            quiet(formula, data)


@pytest.mark.parametrize("formula", ["y ~ x + I(2 * x)", "y ~ x + one"])
def test_columns_that_determine_each_other_warn_as_in_a_frame(formula):
    rows = ROWS.assign(one=1.0)
    for data in (rows, pl.from_pandas(rows).lazy()):
        with pytest.warns(hb.DataWarning, match="determine each other"):
            hb.Model(formula, data)


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(hb.DataError, match="there is no file"):
        hb.Model("y ~ x", tmp_path / "*.parquet")
    with pytest.raises(hb.DataError, match=r"\.parquet, \.csv"):
        hb.Model("y ~ x", "rows.xlsx")
    (tmp_path / "broken.parquet").write_text("no")
    with pytest.raises(hb.DataError, match="DuckDB cannot read"):
        hb.Model("y ~ x", tmp_path / "broken.parquet")


# -- progress, memory, clusters --------------------------------------------------------------------------------


def test_progress_is_told_where_it_takes_long_and_is_wanted(capsys):
    chunks = list(find_source(pl.from_pandas(ROWS).lazy()).chunks(["y"]))
    for shown in (True, False):
        told = list(sources.Progress("Reading", N, shown).over(iter(chunks), wait=-1.0, every=0.0))
        assert len(told) == len(chunks)
        assert (f"100% of {N:,} rows" in capsys.readouterr().err) == shown


def test_a_cluster_of_two_workers_gives_the_model_of_the_frame():
    from dask.distributed import Client, LocalCluster

    frame = dd.from_pandas(ROWS, npartitions=7)
    formula = FORMULAS["everything"]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        found = quiet(formula, frame)
    assert_same(found, quiet(formula, ROWS))
