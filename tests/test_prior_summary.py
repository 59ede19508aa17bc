"""Summaries and pictures of what priors imply: the numbers in them are those of the simulation."""

import re

import matplotlib
import numpy as np
import pytest
import scipy.stats as st

import hierbayes as hb

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SLOPES = hb.design_grid(x=[0.0, 1.0, 2.0], g=12)
SCALED = {"Intercept": "Normal(5, 2)", "b": "Normal(0, 1)", "sd": "HalfNormal(2)", "sigma": "Exponential(1)"}


def simulated(model, draws=2000):
    return np.asarray(model.simulate_prior(draws).responses)


def test_numbers_in_the_sentences_are_those_of_the_priors():
    """sd ~ HalfNormal(2): 5 %, 50 % and 95 % quantiles are SciPy's, to the Monte Carlo error of 40,000 draws."""
    model = hb.Model(
        "y ~ 1 + (1 | g)",
        hb.design_grid(g=6, replicates=2),
        priors={k: v for k, v in SCALED.items() if k != "b"},
    )
    summary = model.prior_summary(draws=40_000, seed=1)
    expected = st.halfnorm(scale=2).ppf([0.05, 0.5, 0.95])
    np.testing.assert_allclose(summary.effects.loc["sd[g, Intercept]"], expected, rtol=0.06)
    sentence = next(
        text for text in summary.sentences if text.startswith("A typical g differs from the population by")
    )
    low, high, middle = (
        float(number) for number in re.search(r"by ([\d.]+) to ([\d.]+) .* is ([\d.]+)\)", sentence).groups()
    )
    np.testing.assert_allclose([low, middle, high], summary.effects.loc["sd[g, Intercept]"], rtol=0.01)
    negative = np.mean(simulated(model, 40_000) < 0)
    share = float(re.search(r"([\d.]+) % of simulated responses are negative", repr(summary))[1]) / 100
    assert share == pytest.approx(negative, abs=0.005)


def test_a_summary_of_proportions_and_counts():
    text = repr(hb.Model("y ~ x + (1 | g)", SLOPES, "bernoulli").prior_summary())
    assert "The proportion in a simulated data set is" in text
    assert "of the probabilities lie below 1 % or above 99 %" in text
    assert "by 0." in text
    assert "log odds" in text
    model = hb.Model("y ~ x + (x | g)", SLOPES, "poisson")
    zeros = np.mean(simulated(model, 1000) == 0)
    text = repr(model.prior_summary(1000))
    assert float(re.search(r"([\d.]+) % of simulated responses are 0", text)[1]) / 100 == pytest.approx(
        zeros, abs=0.006
    )
    assert "A typical g's effect of x differs from the population's by a factor of" in text


def test_a_summary_beside_data_compares_their_spread():
    sleep = hb.load_dataset("sleepstudy")
    model = hb.Model("Reaction ~ Days + (Days | Subject)", sleep)
    summary = model.prior_summary()
    ratio = np.median(simulated(model, 1000).std(axis=1)) / sleep["Reaction"].std(ddof=0)
    sentence = next(text for text in summary.sentences if "times that of the data" in text)
    assert float(re.search(r"is ([\d.]+) times", sentence)[1]) == pytest.approx(ratio, rel=0.01)
    assert "<li>" in summary._repr_html_()
    assert "<table" in summary._repr_html_()


CASES = {
    "gaussian": ("y ~ x + (x | g)", "gaussian", SLOPES, SCALED, 5),
    "no groups": ("y ~ x", "poisson", SLOPES, None, 2),
    "no numbers": ("y ~ c + (c | g)", "bernoulli", hb.design_grid(c=["a", "b"], g=8, replicates=3), None, 5),
    "binomial": ("y | trials(9) ~ x + (1 | g)", "binomial", SLOPES, None, 4),
    "skewed": ("y ~ x + (x || g)", "gamma", SLOPES, None, 3),
    "beta": ("y ~ x + (1 | g)", "beta", SLOPES, None, 3),
    "two groups": (
        "y ~ x + (x | g) + (1 | h)",
        "gaussian",
        hb.design_grid(x=[0.0, 2.0], g=5, h=6),
        SCALED,
        5,
    ),
}


@pytest.mark.parametrize("case", list(CASES))
def test_pictures_of_every_kind(case):
    formula, family, rows, priors, least = CASES[case]
    axes = hb.Model(formula, rows, family, priors).plot_prior_predictive(
        draws=200, bounds=(0.0, 4.0), label="y (kg)"
    )
    assert len(axes) >= least
    figure = axes[0].figure
    assert figure.get_axes() == list(axes)
    assert "y (kg)" in axes[0].get_xlabel()
    for ax in axes:
        assert ax.get_title()
        assert ax.get_ylabel()
    figure.canvas.draw()
    plt.close(figure)


def test_the_share_outside_the_bounds_is_counted():
    model = hb.Model("y ~ x + (x | g)", SLOPES, priors=SCALED)
    axes = model.plot_prior_predictive(draws=500, seed=2, bounds=(0.0, 10.0))
    y = model.simulate_prior(500, seed=2).responses
    share = 100 * np.mean((y < 0) | (y > 10))
    words = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert f"plausible ({share:.2g} % outside)" in words
    plt.close(axes[0].figure)


def test_the_lines_are_the_expected_responses_of_the_levels():
    model = hb.Model("y ~ x + (x | g)", SLOPES, priors=SCALED)
    axes = model.plot_prior_predictive(draws=50, seed=2)
    means = model.simulate_prior(50, seed=2).means
    frame = SLOPES.assign(mean=means[0])
    first = axes[1].get_lines()[0]
    expected = frame[frame["g"] == "01"].sort_values("x")
    np.testing.assert_allclose(first.get_xdata(), expected["x"])
    np.testing.assert_allclose(first.get_ydata(), expected["mean"])
    assert len(axes[1].get_lines()) == 3 * 12
    plt.close(axes[0].figure)


def test_a_predictor_of_the_levels_is_drawn_as_points_and_a_logarithm_is_named():
    rows = hb.design_grid(g=12, x={"of": "g", "values": [0.0, 1.0, 2.0]}, n=[1, 2])
    model = hb.Model("y ~ x + (1 | g)", rows, "lognormal", priors=SCALED)
    axes = model.plot_prior_predictive(draws=50, label="income")
    assert {line.get_marker() for line in axes[1].get_lines()} == {"o"}
    assert axes[2].get_xlabel() == "standard deviation, log income"
    assert "A typical g differs from the population by a factor of" in repr(model.prior_summary(50))
    plt.close(axes[0].figure)


def test_a_level_whose_rows_differ_in_another_predictor_is_points_and_no_zigzag():
    rows = hb.design_grid(x=[0.0, 1.0, 2.0], balanced=[0, 1], g=6)
    rows["z"] = np.arange(len(rows)) % 5
    lines = {"-", "--", ":"}
    for formula, styles in (("x + z", {"None"}), ("x + balanced", lines), ("x", lines)):
        axes = hb.Model(f"y ~ {formula} + (1 | g)", rows, priors=SCALED).plot_prior_predictive(draws=50)
        assert {line.get_linestyle() for line in axes[1].lines} == styles
    plt.close("all")


def test_a_fixed_value_has_a_picture():
    sleep = hb.load_dataset("sleepstudy")
    fit = hb.fit("Reaction ~ 1 + (1 | Subject)", sleep, priors={"sigma": "Fixed(30)"}, seed=1, progress=False)
    axes = fit.plot_prior_posterior()
    low, high = axes[-1].get_xlim()
    assert low < 30 < high
    assert 10 < high - low < 200
    plt.close("all")


def test_a_summary_says_what_predictors_and_groups_explain():
    """One predictor, no groups: R² = b² v / (b² v + σ²), its quantiles from draws of b and σ of our own."""
    rows = hb.design_grid(x=[-1.0, 0.0, 1.0], replicates=20)
    model = hb.Model("y ~ x", rows, priors={k: v for k, v in SCALED.items() if k != "sd"})
    text = next(line for line in model.prior_summary(20_000).sentences if "R²" in line)
    rng = np.random.default_rng(1)
    signal = rng.normal(size=100_000) ** 2 * rows["x"].var()
    expected = np.quantile(signal / (signal + rng.exponential(size=100_000) ** 2), [0.5, 0.05, 0.95])
    assert text.startswith("Predictors explain a share of")
    found = re.search(r"share of ([\d.]+) .* lie in ([\d.e-]+) to ([\d.]+)\.$", text).groups()
    np.testing.assert_allclose([float(number) for number in found], expected, rtol=0.05, atol=0.003)
    assert not any(
        "R²" in line for line in hb.Model("y ~ 1 + (1 | g)", SLOPES, "poisson").prior_summary().sentences
    )
