"""Fits of one model to several tables: ``hb.fit_multiple``."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.errors import DataError, UnsupportedError

FORMULA = "y ~ x + z"
FLAT = {"Intercept": "Flat()", "b": "Flat()", "sigma": "HalfFlat()"}


def imputed(tables: int = 4, rows: int = 80) -> list[pd.DataFrame]:
    """Tables that differ in the third of x that was missing, drawn given the rest."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=rows)
    x = 0.5 * z + rng.normal(size=rows)
    y = 1 + x - 0.5 * z + rng.normal(size=rows)
    found = []
    for _ in range(tables):
        filled = x.copy()
        filled[: rows // 3] = 0.5 * z[: rows // 3] + rng.normal(size=rows // 3)
        found.append(pd.DataFrame({"y": y, "x": filled, "z": z, "g": np.arange(rows) % 8}))
    return found


TABLES = imputed()


@pytest.fixture(scope="module")
def fit() -> hb.MultipleFit:
    return hb.fit_multiple(FORMULA, TABLES, priors=FLAT, seed=1, draws=1000, chains=2, progress=False)


def test_the_posterior_is_that_of_rubins_rules(fit):
    """Under flat priors a coefficient given a table is Student's t about least squares: mixed over the tables."""
    means, variances = [], []
    for table in TABLES:
        X = np.column_stack([np.ones(len(table)), table["x"], table["z"]])
        b, rss, _, _ = np.linalg.lstsq(X, table["y"], rcond=None)
        freedom = len(X) - 3 - 1  # sigma is flat, not its logarithm
        means.append(b)
        variances.append(np.diagonal(np.linalg.inv(X.T @ X)) * rss[0] / (freedom - 2))
    sd = np.sqrt(np.mean(variances, axis=0) + np.var(means, axis=0))
    table = fit.summary()
    named = ["Intercept", "x", "z"]
    assert np.abs((table.loc[named, "mean"] - np.mean(means, axis=0)) / sd).max() < 0.08
    np.testing.assert_allclose(table.loc[named, "sd"], sd, rtol=0.06)
    assert (table.loc[["x"], "sd"] > 1.1 * np.sqrt(np.mean(variances, axis=0))[1]).all()  # the tables differ


def test_draws_are_those_of_each_table_and_mixing_is_judged_within(fit):
    b = fit.posterior["b"]
    assert dict(b.sizes) == {"chain": 8, "draw": 1000, "coef": 3}
    for place, own in enumerate(fit.fits):
        np.testing.assert_array_equal(b[2 * place : 2 * place + 2], own.posterior["b"])
    each = [own.summary() for own in fit.fits]
    np.testing.assert_array_equal(fit.summary()["r_hat"], np.max([table["r_hat"] for table in each], axis=0))
    np.testing.assert_allclose(
        fit.summary()["ess_bulk"], np.sum([table["ess_bulk"] for table in each], axis=0)
    )


def test_a_fit_of_one_table_is_that_of_the_same_model(fit):
    alone = hb.fit(FORMULA, TABLES[0], priors=FLAT, seed=1, draws=1000, chains=2, progress=False)
    np.testing.assert_allclose(fit.fits[0].posterior["b"], alone.posterior["b"])


def test_priors_and_encodings_are_the_first_tables_in_all():
    fit = hb.fit_multiple("y ~ center(x) + (1 | g)", TABLES[:2], draws=1000, chains=2, progress=False)
    assert fit.fits[0].spec is fit.fits[1].spec
    X = fit.fits[1].design.main.x
    np.testing.assert_allclose(X[:, 1], TABLES[1]["x"] - TABLES[0]["x"].mean())
    new = TABLES[0].head(3)
    pooled = fit.predict(new, kind="linear", output="draws").to_numpy()
    each = [own.predict(new, kind="linear", output="draws").to_numpy() for own in fit.fits]
    np.testing.assert_allclose(pooled, np.concatenate(each))
    assert len(fit.ranef()) == 8
    assert "2 tables" in repr(fit)
    with pytest.raises(UnsupportedError, match="each table"):
        fit.shrinkage()


def test_what_cannot_be_pooled_is_refused():
    with pytest.raises(DataError, match="two tables or more"):
        hb.fit_multiple(FORMULA, TABLES[:1])
    for one in (TABLES[0], {"a": TABLES[0], "b": TABLES[1]}):
        with pytest.raises(DataError, match=f"a list of data frames; got one {type(one).__name__}"):
            hb.fit_multiple(FORMULA, one)
    other = TABLES[1].assign(g=TABLES[1]["g"] + 1)
    with pytest.raises(DataError, match="table 2 has the level '8' of 'g'"):
        hb.fit_multiple("y ~ x + (1 | g)", [TABLES[0], other])
