"""Ordinal families under every link, their variants, and what fits say of categories."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import hierbayes as hb
from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import Request, predict_draws
from hierbayes.errors import DataError, FormulaError, PriorError, UnsupportedError
from hierbayes.families import get_family
from hierbayes.known_parameters import known_draws
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph

FAMILIES = ("cumulative", "sratio", "cratio", "acat")
# distribution functions by SciPy; the cloglog's is that of the smallest extreme value
CDF = {
    "logit": stats.logistic.cdf,
    "probit": stats.norm.cdf,
    "cloglog": stats.gumbel_l.cdf,
    "cauchit": stats.cauchy.cdf,
}
ETA, DISC, THRESHOLDS = np.array([-1.2, 0.3, 0.9]), 1.4, np.array([-0.8, 0.1, 1.3])
EVERY = list(itertools.product(FAMILIES, CDF))


@pytest.mark.parametrize("name", FAMILIES)
def test_thresholds_begin_where_categories_have_their_shares(name):
    shares = np.array([0.6, 0.35, 0.04, 0.01])
    family, _ = get_family(name, "logit")
    thresholds = next(one for one in family.own if one.name == "thresholds").typical(shares)
    assert_allclose(by_hand(name, "logit", thresholds[None]), shares[None], rtol=1e-12)


def by_hand(family: str, link: str, distances: np.ndarray) -> np.ndarray:
    """Probabilities as brms's vignette "Estimating Distributional Models" and ?brmsfamily define them: (…, K)."""
    below, above = CDF[link](distances), CDF[link](-distances)
    beyond = np.exp(log_tails(link, distances)[1])
    n, m = distances.shape
    p = np.empty((n, m + 1))
    for k in range(m + 1):
        match family:
            case "cumulative":
                p[:, k] = below[:, k] - (below[:, k - 1] if k else 0.0) if k < m else beyond[:, -1]
            case "sratio":
                p[:, k] = beyond[:, :k].prod(axis=1) * (below[:, k] if k < m else 1.0)
            case "cratio":
                p[:, k] = above[:, :k].prod(axis=1) * (1 - above[:, k] if k < m else 1.0)
            case "acat":
                p[:, k] = above[:, :k].prod(axis=1) * (1 - above[:, k:]).prod(axis=1)
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("name", "link"), EVERY)
def test_probabilities_are_those_of_brms_definitions(name, link):
    family, _ = get_family(name, link)
    at = family.at(ETA, {"disc": DISC, "thresholds": THRESHOLDS}, LINKS["identity"])
    expected = by_hand(name, link, DISC * (THRESHOLDS - ETA[:, None]))
    assert_allclose(at.probabilities(), expected, rtol=1e-10)
    density = np.exp(at.log_density(np.arange(4.0)[:, None]))
    assert_allclose(density, expected.T, rtol=1e-10)


def log_tails(link: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log F and log(1 − F), of angles for Cauchy's."""
    if link == "cauchit":
        return np.log(np.arctan2(1.0, -x) / np.pi), np.log(np.arctan2(1.0, x) / np.pi)
    kind = {"logit": stats.logistic, "probit": stats.norm, "cloglog": stats.gumbel_l}[link]
    if link == "cloglog":
        return np.log(-np.expm1(-np.exp(x))), -np.exp(x)
    return kind.logcdf(x), kind.logsf(x)


def log_difference(larger: float, smaller: float) -> float:
    return larger + np.log(-np.expm1(smaller - larger))


@pytest.mark.parametrize(("name", "link"), EVERY)
@pytest.mark.parametrize("eta", [-40.0, 40.0])
def test_tails_keep_their_digits(name, link, eta):
    """Log densities at η = ±40, by logarithms of the nearer tail."""
    family, _ = get_family(name, link)
    at = family.at(np.full(4, eta), {"disc": 1.0, "thresholds": THRESHOLDS}, LINKS["identity"])
    value = at.log_density(np.arange(4.0))
    x = THRESHOLDS - eta
    below, above = log_tails(link, x)
    up, stay = log_tails(link, -x)
    expected = []
    for k in range(4):
        match name:
            case "cumulative" if k == 0:
                expected.append(below[0])
            case "cumulative" if k == 3:
                expected.append(above[2])
            case "cumulative":
                pair = (below[k], below[k - 1]) if eta > 0 else (above[k - 1], above[k])
                expected.append(log_difference(*pair))
            case "sratio":
                expected.append(above[:k].sum() + (below[k] if k < 3 else 0.0))
            case "cratio":
                expected.append(up[:k].sum() + (stay[k] if k < 3 else 0.0))
            case "acat":
                expected.append(up[:k].sum() + stay[k:].sum())
    expected = np.array(expected) - (np.logaddexp.reduce(expected) if name == "acat" else 0.0)
    assert_allclose(value, expected, rtol=1e-8, atol=1e-10)
    y = np.arange(4.0)[:, None]
    at = family.at(np.array([eta]), {"disc": 1.0, "thresholds": THRESHOLDS}, LINKS["identity"])
    assert all(np.isfinite(score).all() for score in at.evaluate(y)[1])


# -- models ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wine() -> pd.DataFrame:
    words = np.array(["awful", "bad", "so so", "good", "very good"])
    data = hb.load_dataset("wine")
    kinds = np.array(["red", "dark blue", "x"])[data["rating"].clip(2, 4) - 2]
    word = pd.Categorical(words[data["rating"] - 1], words, ordered=True)
    return data.assign(word=word, kind=kinds, x=np.linspace(3, 5, len(data)))


@pytest.mark.parametrize(
    ("formula", "family", "link"),
    [
        ("rating ~ temp + x + (1 | judge)", "sratio", "probit"),
        ({"mu": "rating ~ temp + (x | judge)", "disc": "~ contact"}, "cumulative", "probit"),
        ('rating | thres("equidistant") ~ temp + contact + (1 | judge)', "cumulative", "cloglog"),
        ("rating | thres(gr=contact) ~ x + (1 | judge)", "cumulative", "logit"),
        ("rating | thres(gr=contact) ~ x + (1 | judge)", "acat", "cauchit"),
        ("rating ~ x + cs(temp * contact) + (1 | judge)", "acat", "logit"),
        ({"mu": "rating ~ x + cs(temp) + (1 | judge)", "disc": "~ temp"}, "cratio", "cloglog"),
        ("kind ~ temp + x + (1 | judge)", "categorical", None),
        ({"mu": "kind ~ temp + (1 | judge)", "mux": "~ temp * contact"}, "categorical", None),
    ],
)
def test_the_kernel_is_the_graph(wine, formula, family, link):
    assert_kernel_is_the_graph(hb.Model(formula, wine, family=family, link=link))


@pytest.fixture(scope="module")
def fit(wine) -> hb.Fit:
    formula = "word ~ temp + contact + x + (1 | judge)"
    return hb.fit(formula, wine, family="cumulative", seed=1, progress=False)


def test_thresholds_are_those_where_all_predictors_are_0(wine, fit):
    """Shifting a predictor by d moves every threshold by d times its coefficient, and nothing else."""
    shifted = hb.fit(
        "word ~ temp + contact + x + (1 | judge)",
        wine.assign(x=wine["x"] - 10),
        family="cumulative",
        seed=1,
        progress=False,
    )
    ours, other = fit.posterior, shifted.posterior
    expected = ours["thresholds"] - 10 * ours["b"].sel(coef="x")
    for found, wanted in ((other["thresholds"], expected), (other["b"], ours["b"])):
        sd = wanted.std(("chain", "draw"))
        distance = np.abs(found.mean(("chain", "draw")) - wanted.mean(("chain", "draw")))
        assert (distance <= 4.5 * sd * np.sqrt(2 / 1500)).all()  # each from 1500 effective draws or more
    assert not ours["b"].sel(coef="Intercept").any()
    assert "Intercept" not in fit.summary().index
    assert "Intercept" not in set(fit.fixef()["effect"])


def test_one_new_row_has_every_category(fit):
    new = {"temp": ["cold"], "contact": ["no"], "x": [4.0], "judge": ["somebody new"]}
    table = fit.predict(new)
    assert list(table.index.get_level_values("category")) == ["awful", "bad", "so so", "good", "very good"]
    assert_allclose(table["mean"].sum(), 1.0)
    draws = fit.predict(new, output="draws")
    score = fit.predict(new, kind="score", output="draws")
    assert_allclose(score, draws.to_numpy() @ np.arange(1.0, 6.0), rtol=1e-12)


def test_averages_over_new_groups_are_integrals(fit):
    new = {"temp": ["cold", "warm"], "contact": ["no", "yes"], "x": [4.0, 3.5]}
    found = fit.predict(new, groups="average", output="draws").to_numpy()[0, :3]
    posterior = fit.posterior.isel(chain=0)
    z = np.linspace(-9, 9, 2001)
    for draw in range(3):
        one = posterior.isel(draw=draw)
        x = np.array([[0, 0, 0, 4.0], [0, 1, 1, 3.5]]) @ one["b"].to_numpy()
        eta = x[:, None] + float(one["sd_judge"][0]) * z
        below = stats.logistic.cdf(one["thresholds"].to_numpy()[:, None, None] - eta)
        edges = np.concatenate([np.zeros_like(below[:1]), below, np.ones_like(below[:1])])
        expected = np.trapezoid(np.diff(edges, axis=0) * stats.norm.pdf(z), z, axis=-1).T
        assert_allclose(found[draw], expected, rtol=1e-6)


def test_differences_by_category_add_up_to_nothing(fit):
    table = fit.avg_comparisons("temp")
    assert list(table["category"]) == ["awful", "bad", "so so", "good", "very good"]
    assert abs(table["mean"].sum()) < 1e-12
    slopes = fit.avg_slopes("x")
    assert abs(slopes["mean"].sum()) < 1e-9
    score = fit.avg_comparisons("temp", kind="score")["mean"].iloc[0]
    assert_allclose(score, table["mean"] @ np.arange(1.0, 6.0), rtol=1e-9)
    compared = fit.compare(
        {"temp": ["warm"], "contact": ["no"], "x": [4.0]},
        {"temp": ["cold"], "contact": ["no"], "x": [4.0]},
        groups="none",
    )
    effects = fit.conditional_effects("temp", at={"x": 4.0})
    by_hand = effects["mean"].to_numpy()[5:] - effects["mean"].to_numpy()[:5]
    assert_allclose(compared["mean"], by_hand, rtol=1e-9)


def test_saved_fits_and_pictures(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    again = hb.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.summary(), fit.summary())
    pd.testing.assert_frame_equal(again.predict(), fit.predict())
    for options in ({}, {"by": "temp"}, {"stacked": True}, {"kind": "score"}):
        ax = fit.plot_conditional_effects("x", **options)
        assert "word" in ax.get_ylabel()
    with pytest.raises(DataError, match="stacked=True draws one combination"):
        fit.plot_conditional_effects("x", by="temp", stacked=True)
    assert [t.get_text() for t in fit.plot_ppc().get_xticklabels()][2] == "so so"


def test_what_has_no_variance_is_refused(wine, fit):
    assert set(fit.r2()["definition"]) == {"nakagawa"}
    other = hb.fit("word ~ temp + (1 | judge)", wine, family="acat", seed=1, progress=False)
    for method in (other.icc, other.r2):
        with pytest.raises(UnsupportedError, match="no one latent variable"):
            method()
    assert other.varcorr()["share"].isna().all()


@pytest.mark.parametrize(
    ("formula", "family", "more"),
    [
        ('word | thres("equidistant") ~ temp', "cumulative", {"threshold": -1.0, "delta": 0.8}),
        (
            "word | thres(gr=contact) ~ temp",
            "cumulative",
            {
                f"thresholds[{c}, {label}]": value
                for c in ("no", "yes")
                for label, value in zip(
                    ("awful|bad", "bad|so so", "so so|good", "good|very good"), (-1, 0, 1.0, 2.0), strict=True
                )
            },
        ),
    ],
)
def test_simulated_shares_are_the_models(wine, formula, family, more):
    model = hb.Model(formula, wine, family=family)
    truth = {"temp[warm]": 0.7, "disc": 1.0} | more
    draws = known_draws(model.spec, truth, 1)
    expected = predict_draws(model.spec, draws, model.design, Request("mean", (), "mean", 0)).to_numpy()[0, 0]
    many = Draws({name: np.repeat(v, 4000, axis=0) for name, v in draws.values.items()}, 1, 4000)
    y = predict_draws(model.spec, many, model.design, Request("response", (), "mean", 3)).to_numpy()[0]
    for row in (0, 5, 40):
        counts = np.bincount(y[:, row].astype(int), minlength=5)
        assert stats.chisquare(counts, 4000 * expected[row]).pvalue > 1e-4


# -- data that say little, and what is refused ------------------------------------------------------------------


def test_stated_categories_count_and_empty_ones_are_told(wine):
    scale = pd.Categorical(wine["rating"], range(1, 8), ordered=True)
    with pytest.warns(UserWarning, match="no row has rating = 6, 7"):
        model = hb.Model("rating ~ temp", wine.assign(rating=scale), family="cumulative")
    fit = model.fit(seed=1, progress=False)
    assert np.isfinite(fit.summary()["mean"]).all()
    assert fit.predict({"temp": ["cold"]}).loc[(0, 7), "mean"] < 0.05
    gaps = hb.Model("rating ~ temp", wine[wine["rating"] != 3], family="sratio").check()
    assert [finding.code for finding in gaps] == ["category-gap"]


def test_separation_is_told_and_one_arm_alone_is_none(wine):
    data = wine.assign(arm=np.where(wine["rating"] == 5, "treated", "control"))
    with pytest.warns(UserWarning, match="without overlap"):
        hb.Model("rating ~ arm", data, family="cumulative")
    once = data.assign(arm=np.where((wine["rating"] == 5) | (wine.index < 20), "treated", "control"))
    assert hb.Model("rating ~ arm", once, family="cumulative").check() == ()


@pytest.mark.parametrize(
    ("formula", "family", "error", "words"),
    [
        ("rating ~ cs(temp)", "cumulative", UnsupportedError, "no category-specific effects"),
        ('rating | thres("equidistant") ~ temp', "sratio", UnsupportedError, "no evenly spaced"),
        ("rating | thres(gr=contact) ~ temp", "poisson", DataError, "has no thresholds"),
        ("rating | thres(5) ~ temp", "cumulative", FormulaError, "counted in the data"),
        (
            {"mu": "kind ~ temp", "mublue": "~ 1"},
            "categorical",
            UnsupportedError,
            "has no parameter 'mublue'",
        ),
    ],
)
def test_what_a_family_does_not_take_is_refused(wine, formula, family, error, words):
    with pytest.raises(error, match=words):
        hb.Model(formula, wine, family=family)


def test_more_refusals(wine):
    with pytest.raises(PriorError, match="matches nothing"):
        hb.Model("rating ~ temp", wine, family="cumulative", priors={"Intercept": "Normal(0, 1)"})
    with pytest.raises(DataError, match="alphabetical order"):
        hb.Model("word ~ temp", wine.assign(word=wine["word"].astype(str).astype("category")), family="acat")
    model = hb.Model("rating | thres(gr=contact) ~ temp", wine, family="cumulative")
    with pytest.raises(DataError, match="nothing is known of the thresholds of contact = 'perhaps'"):
        model.prior_predictive(rows={"temp": ["cold"], "contact": ["perhaps"]})
