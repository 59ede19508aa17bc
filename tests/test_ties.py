"""Effects that are correlated across the formulas of one response: ``(x |ID| g)``."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import special, stats

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism import crossval
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_graph import FRAME

FORMULAS = {"mu": "real ~ x + (x |p| g)", "sigma": "~ w + (1 |p| g)"}


@pytest.mark.parametrize(
    ("formulas", "priors"),
    [
        (FORMULAS, {}),
        (
            {
                "mu": "real ~ x + (1 |p| g) + (0 + x |q| g) + (1 | h)",
                "sigma": "~ w + (w |p| g) + (0 + x |q| g)",
            },
            {"cor[g, p]": "LKJ(2.5)", "sd[g, x]": "HalfNormal(1)"},
        ),
        ({"mu": "real ~ x + (0 + x |p| g) + (1 | g)", "sigma": "~ 1 + (1 |p| g)"}, {"cor": "Fixed(0.3)"}),
    ],
)
def test_density_is_the_graphs(formulas, priors):
    model = hb.Model(formulas, FRAME, priors=priors)
    assert_kernel_is_the_graph(model)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    groups, rows = 80, 25
    effects = rng.multivariate_normal([0, 0], [[1.0, 0.7 * 0.4], [0.7 * 0.4, 0.16]], groups)
    g = np.repeat(np.arange(groups), rows)
    x = rng.normal(size=len(g))
    y = 2 + 0.5 * x + effects[g, 0] + np.exp(-0.3 + effects[g, 1]) * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "g": g, "a": effects[g, 0], "b": effects[g, 1]})


@pytest.fixture(scope="module")
def fit(data):
    return hb.fit({"mu": "y ~ x + (1 |p| g)", "sigma": "~ 1 + (1 |p| g)"}, data, seed=1, progress=False)


def test_recovery(fit):
    found = fit.summary()
    truth = {
        "Intercept": 2, "x": 0.5, "sd[g, Intercept]": 1, "sigma.Intercept": -0.3, "sigma.sd[g, Intercept]": 0.4,
        "cor[g, Intercept, sigma_Intercept]": 0.7,
    }  # fmt: skip
    assert list(found.index) == list(truth) or set(found.index) == set(truth)
    off = [(found.loc[name, "mean"] - value) / found.loc[name, "sd"] for name, value in truth.items()]
    assert np.abs(off).max() < 3
    assert found["ess_bulk"].min() > 400


def test_new_groups_have_the_correlation(fit):
    """Draws of a new group's mean and log sigma are correlated as those of groups are."""
    rows = pd.DataFrame({"x": [0.0] * 3, "g": ["new", "other", "new"]}).assign(g=[1001, 1002, 1001])
    mean = fit.predict(rows, kind="linear", output="draws", seed=4)
    sigma = fit.predict(rows, kind="linear", output="draws", seed=4, parameter="sigma")
    draws = flatten(fit.spec, fit.tree["posterior"].to_dataset()).values
    m = mean.to_numpy().reshape(-1, 3) - draws["b"][:, :1]
    s = sigma.to_numpy().reshape(-1, 3) - draws["b_sigma"]
    z = m[:, 0] / draws["sd_g"][:, 0], s[:, 0] / draws["sd_sigma_g"][:, 0]
    expected = draws["cor_g_p"][:, 0, 1].mean()
    assert abs(np.mean(z[0] * z[1]) - expected) < 4 * np.sqrt((1 + expected**2) / len(m))
    assert_allclose(m[:, 0], m[:, 2])
    assert abs(np.corrcoef(m[:, 0], s[:, 1])[0, 1]) < 4 / np.sqrt(len(m))


def test_one_formula_alone_is_as_without_an_id(data):
    with_id = hb.Model("y ~ x + (x |p| g)", data)
    without = hb.Model("y ~ x + (x | g)", data)
    assert with_id.spec.ties == ()
    pd.testing.assert_frame_equal(with_id.priors, without.priors)


def test_prior_draws_have_the_prior(data):
    model = hb.Model(
        {"mu": "y ~ x + (x |p| g)", "sigma": "~ 1 + (1 |p| g)"}, data, priors={"cor[g, p]": "LKJ(2)"}
    )
    tree = model.prior_predictive(draws=4000, seed=2)
    cor = tree["prior"]["cor_g_p"].to_numpy()[0]
    assert_allclose(cor[:, 0, 2].var(), 1 / (2 * 2 + 3 - 1), rtol=0.1)  # Beta(η + (q - 2)/2) on (-1, 1)
    inside = tree["prior"]["cor_g"].to_numpy()[0]
    assert_allclose(cor[:, 0, 1], inside[:, 0, 1])


def test_saved_and_loaded(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.summary(), fit.summary(), check_exact=False)
    assert str(again.formula["mu"]) == "y ~ x + (1 |p| g)"


def test_marginal_likelihood_of_a_group(fit, data):
    """As on a fine grid over its two effects."""
    design, places = fit.design, np.flatnonzero(data["g"] == 3)
    draws = flatten(fit.spec, fit.tree["posterior"].to_dataset()).part(slice(0, 5))
    found, _ = crossval._marginals(fit.spec, draws, design, places)
    nodes = np.linspace(-5.5, 5.5, 221)
    u, v = (axis.ravel() for axis in np.meshgrid(nodes, nodes))
    log_weight = stats.norm.logpdf(u) + stats.norm.logpdf(v) + 2 * np.log(nodes[1] - nodes[0])
    y, x = (data[name].to_numpy()[places] for name in ("y", "x"))
    values = draws.values
    for s in range(5):
        b, cor = values["b"][s], values["cor_g_p"][s, 0, 1]
        mean = b[0] + values["sd_g"][s, 0] * u
        log_sigma = values["b_sigma"][s, 0] + values["sd_sigma_g"][s, 0] * (cor * u + np.sqrt(1 - cor**2) * v)
        rows = stats.norm.logpdf(y[:, None], mean + b[1] * x[:, None], np.exp(log_sigma)).sum(axis=0)
        assert_allclose(found[s], special.logsumexp(rows + log_weight), rtol=1e-3)


def test_variance_components_name_the_correlation(fit):
    row = fit.varcorr().set_index(["group", "effect", "effect2"]).loc[("g", "Intercept", "sigma_Intercept")]
    assert_allclose(row["mean"], fit.summary().loc["cor[g, Intercept, sigma_Intercept]", "mean"])


def test_known_parameters_have_the_correlation():
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(
        {"g": np.repeat(np.arange(4000), 2), "x": rng.normal(size=8000), "w": rng.normal(size=8000)}
    )
    truth = {
        "Intercept": 1, "x": 0.5, "sd[g, Intercept]": 2, "sd[g, x]": 1, "sigma.sd[g, Intercept]": 0.3,
        "sigma.Intercept": 0, "sigma.w": 0.1, "cor[g, Intercept, x]": 0.3,
        "cor[g, Intercept, sigma_Intercept]": 0.7, "cor[g, x, sigma_Intercept]": -0.4,
    }  # fmt: skip
    _, effects = hb.simulate(FORMULAS, rows, truth, seed=2, effects=True)
    wide = effects.pivot_table(index="level", columns=["parameter", "effect"], values="value")
    expected = [[1, 0.3, 0.7], [0.3, 1, -0.4], [0.7, -0.4, 1]]
    columns = [("mu", "Intercept"), ("mu", "x"), ("sigma", "Intercept")]
    assert_allclose(wide[columns].corr(), expected, atol=4 / np.sqrt(4000))
    assert_allclose(wide[columns].std(), [2, 1, 0.3], rtol=4 / np.sqrt(8000))
    with pytest.raises(hb.DataError, match="contradict each other"):
        hb.simulate(FORMULAS, rows, truth | {"cor[g, Intercept, x]": -0.9, "cor[g, x, sigma_Intercept]": 0.9})


def test_what_is_not_there_says_so(fit, data):
    with pytest.raises(hb.UnsupportedError, match="correlated across formulas"):
        fit.prior_sensitivity()


def test_words(data):
    assert "(1 |p| g)" in repr(hb.Model({"mu": "y ~ x + (1 |p| g)", "sigma": "~ 1 + (1 |p| g)"}, data))
    with pytest.raises(hb.FormulaError, match="an ID between two"):
        hb.Model("y ~ x + (x || p | g)", data)
