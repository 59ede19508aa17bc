"""Statements on simulated data: each statistic against pandas, verdicts against counting, bad statements refused."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import hierbayes as hb
from hierbayes.errors import PriorError
from hierbayes.expect import STATISTICS, Expectation, check, read_expectation
from hierbayes.implied import icc, inner_sds

PRIORS = {"Intercept": "Normal(10, 3)", "b": "Normal(1, 2)", "sd": "HalfNormal(2)", "sigma": "Exponential(1)"}
ROWS = hb.design_grid(x=[0.0, 1.0, 4.0], g=6, replicates=2)


@pytest.fixture(scope="module")
def simulation():
    return hb.Model("y ~ x + (x | g)", ROWS, priors=PRIORS).simulate_prior(draws=300, seed=5)


def long(simulation) -> pd.DataFrame:
    """One row a simulated response: draw, x, g, y, mean."""
    draws, n = simulation.responses.shape
    frame = pd.concat([pd.DataFrame(simulation.frame)] * draws, ignore_index=True)
    return frame.assign(
        draw=np.repeat(np.arange(draws), n), y=simulation.responses.ravel(), mean=simulation.means.ravel()
    )


def by_pandas(simulation, name, **options):
    frame = long(simulation)
    each = frame.groupby("draw")["y"]
    match name:
        case "response":
            return frame["y"]
        case "mean":
            return each.mean()
        case "sd":
            return each.std(ddof=0)
        case "minimum":
            return each.min()
        case "maximum":
            return each.max()
        case "quantile":
            return each.quantile(options["q"])
        case "proportion":
            low, high = options["between"]
            return frame["y"].between(low, high).groupby(frame["draw"]).mean()
        case "group_mean":
            return frame.groupby(["draw", "g"])["y"].mean()
        case "group_spread":
            return frame.groupby(["draw", "g"])["y"].mean().groupby("draw").std(ddof=0)
        case "difference" | "ratio":
            a, b = (
                frame[frame["x"] == options[side]["x"]].groupby("draw")["mean"].mean() for side in ("a", "b")
            )
            return a - b if name == "difference" else a / b
        case "r2" | "marginal_r2":
            return pd.Series([explained(simulation, draw, name == "r2") for draw in range(300)])


def explained(simulation, draw, conditional):
    """Share of variance explained in one draw: of the rows' linear predictors, of new groups, of σ²."""
    values = {name: array[draw] for name, array in simulation.prior.values.items()}
    rows = np.column_stack([np.ones(len(simulation.frame)), simulation.frame["x"]])
    covariance = np.outer(values["sd_g"], values["sd_g"]) * values["cor_g"]
    fixed = np.var(rows @ values["b"], ddof=1)
    between = np.mean([z @ covariance @ z for z in rows])
    return (fixed + conditional * between) / (fixed + between + values["sigma"] ** 2)


OPTIONS = {
    "quantile": {"q": 0.3},
    "proportion": {"between": (8.0, math.inf)},
    "group_mean": {"group": "g"},
    "group_spread": {"group": "g"},
    "icc": {"group": "g"},
    "difference": {"a": {"x": 4.0}, "b": {"x": 0.0}},
    "ratio": {"a": {"x": 4.0}, "b": {"x": 0.0}},
}


@pytest.mark.parametrize("name", [name for name in STATISTICS if name != "icc"])
def test_statistics_are_those_of_the_simulated_tables(simulation, name):
    options = OPTIONS.get(name, {})
    found = STATISTICS[name].values(simulation, **options)
    expected = by_pandas(simulation, name, **options).to_numpy()
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-10)


@pytest.mark.parametrize("name", list(STATISTICS))
def test_verdicts_count(simulation, name):
    options = OPTIONS.get(name, {})
    values = STATISTICS[name].values(simulation, **options).ravel()
    low, high = np.quantile(values, [0.2, 0.7])
    share = float(np.mean([low <= value <= high for value in values]))
    assert 0.45 < share < 0.6  # shares of few rows lie on the bounds, too
    for least, most, passed in (
        (share - 0.05, 1.0, True),
        (share + 0.05, 1.0, False),
        (0.0, share - 0.05, False),
        (share - 0.05, share + 0.05, True),
    ):
        verdict = check(simulation, Expectation(name, (low, high), (least, most), options))
        assert verdict.share == pytest.approx(share)
        assert verdict.passed is passed
        gap = share - least if most == 1 else min(share - least, most - share)
        assert verdict.margin == pytest.approx(gap)
        assert ("FAILS" in str(verdict)) is not passed
        assert f"{abs(gap):.3f}" in str(verdict)


def test_impossible_responses_lie_in_no_interval():
    model = hb.Model(
        "y ~ 1 + (1 | g)", ROWS, "gamma", {"Intercept": "Normal(0, 1)", "sd": "Fixed(0.001)"}, link="identity"
    )
    verdict = check(model.simulate_prior(2000), Expectation("response", (-math.inf, math.inf), (0.0, 1.0)))
    assert abs(verdict.share - 0.5) < 4.5 * 0.5 / math.sqrt(2000)  # half of the means are negative


READ = [
    ({"statistic": "mean", "interval": [0, 1], "probability": 0.9},
     "the mean of a simulated data set lies in 0 to 1 with probability 0.9 or more"),
    ({"statistic": "sd", "interval": [-math.inf, 1], "probability": [0, 0.1]},
     "the standard deviation of a simulated data set is at most 1 with probability 0.1 or less"),
    ({"statistic": "quantile", "q": 0.25, "interval": [1, math.inf], "probability": [0.2, 0.8]},
     "the 25 % quantile of a simulated data set is at least 1 with probability 0.2 to 0.8"),
    ({"statistic": "proportion", "between": [-math.inf, 0], "interval": [0, 0.01], "probability": 0.9},
     "the proportion of responses at most 0 in a data set lies in 0 to 0.01 with probability 0.9 or more"),
    ({"statistic": "difference", "a": {"x": 1, "g": "a"}, "b": {"x": 0}, "interval": [0, 1], "probability": 0.9},
     "the expected response with x = 1, g = a, less that with x = 0, lies in 0 to 1 with probability 0.9 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "words"), READ)
def test_statements_read_as_sentences(entry, words):
    assert str(read_expectation({**entry, "why": "because"})) == words


MEAN = {"statistic": "mean", "interval": [0, 1], "probability": 0.9}
BAD = [
    ({}, "statistic = None; the statistics are response, mean"),
    ({**MEAN, "statistic": "median"}, "statistic = 'median'"),
    ({**MEAN, "interval": [1, 0]}, "interval must be a pair of numbers, the lower first"),
    ({**MEAN, "interval": 3}, "interval must be a pair"),
    ({**MEAN, "interval": [0, math.nan]}, "interval must be a pair"),
    ({**MEAN, "interval": [0, "1"]}, "interval must be a pair"),
    ({**MEAN, "probability": 90}, "probability must lie between 0 and 1, not 90"),
    ({**MEAN, "probability": [0.2, 1.1]}, "probability must lie between 0 and 1"),
    ({**MEAN, "probability": None}, "probability must be a pair"),
    ({**MEAN, "probability": True}, "probability must be a pair"),
    ({**MEAN, "group": "g"}, "mean has no 'group'; it has interval, probability, why"),
    ({**MEAN, "statistic": "icc"}, "icc needs group"),
    ({**MEAN, "statistic": "quantile", "q": 25}, "q must lie between 0 and 1, not 25"),
    ({**MEAN, "statistic": "proportion", "between": 3}, "between must be a pair"),
    ({**MEAN, "statistic": "ratio", "a": 1, "b": {"x": 1}}, "a must be a table of columns and values"),
]


@pytest.mark.parametrize(("entry", "message"), BAD)
def test_bad_statements(entry, message):
    with pytest.raises(PriorError) as caught:
        read_expectation(entry)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("group_mean", {"group": "h"}, "names the group 'h'; the model's are g"),
        ("difference", {"a": {"z": 1}, "b": {"x": 0}}, "names the column 'z'; the design's are"),
        ("ratio", {"a": {"x": 4.0}, "b": {"x": 2}}, "no row of the design has x = 2"),
    ],
)
def test_statements_that_do_not_fit_the_model(simulation, name, options, message):
    with pytest.raises(PriorError, match=message):
        check(simulation, Expectation(name, (0, 1), (0.5, 1.0), options))


# -- implied quantities --------------------------------------------------------------------------------------


def test_stated_sds_are_at_zero_as_drawn(simulation):
    """HalfNormal(2) is stated, so about the user's 0, where the draws are; the default correlations stand there too."""
    factor = simulation.spec.layout.predictors["mu"].factors[0]
    sd, cor = inner_sds(simulation.spec, simulation.prior, factor)
    for column in sd.T:
        assert st.kstest(column, st.halfnorm(scale=2).cdf).pvalue > 1e-3
    assert st.kstest(cor[:, 0, 1], st.uniform(-1, 2).cdf).pvalue > 1e-3
    np.testing.assert_array_equal(sd, simulation.prior.values["sd_g"])


def test_icc_is_the_share_of_variance(simulation):
    """Row by row: Var(z r) over that plus sigma², averaged over the rows."""
    values = simulation.prior.values
    sd, cor = values["sd_g"], values["cor_g"]
    covariance = sd[:, :, None] * cor * sd[:, None, :]
    between = np.mean([[1, x] @ covariance @ [1, x] for x in simulation.frame["x"]], axis=0)
    expected = between / (between + values["sigma"] ** 2)
    np.testing.assert_allclose(
        icc(simulation.spec, simulation.prior, simulation.design, "g"), expected, rtol=1e-10
    )


def test_icc_of_log_odds():
    model = hb.Model("y ~ 1 + (1 | g)", ROWS, "bernoulli", {"sd": "Fixed(2)"})
    simulation = model.simulate_prior(5)
    found = icc(simulation.spec, simulation.prior, simulation.design, "g")
    np.testing.assert_allclose(found, 4 / (4 + np.pi**2 / 3))
