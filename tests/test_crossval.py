"""Cross-validation against ArviZ, against closed forms, and against refitting without the rows."""

import arviz_stats
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import hierbayes as hb
from hierbayes.answers.draws import flatten
from hierbayes.criticism import crossval
from hierbayes.criticism.crossval import psis

from .conftest import SLEEP
from .test_predict import tame_fit, values_of

CBPP = "incidence | trials(size) ~ period + (1 | herd)"


@pytest.fixture(scope="module")
def slopes():
    return hb.fit(SLEEP, hb.load_dataset("sleepstudy"), seed=2, draws=1000, progress=False)


@pytest.fixture(scope="module")
def intercepts():
    data = hb.load_dataset("sleepstudy")
    return hb.fit("Reaction ~ Days + (1 | Subject)", data, seed=2, draws=1000, progress=False)


@pytest.fixture(scope="module")
def slopes_without_each_subject(slopes):
    """Log density of each subject's rows under the posterior of the other 17 subjects' rows, by refitting."""
    data = hb.load_dataset("sleepstudy")
    found = {}
    for subject in data["Subject"].unique():
        away = data["Subject"] == subject
        # the very same model, whose default priors are about the mean day of all: stated anew they would be about day 0
        found[subject] = slopes._refit(slopes.design.rows(np.flatnonzero(~away))), data[away]
    return found


def log_density_of_a_new_subject(draws, rows):
    """In each draw, the multivariate normal density with the new subject's effects integrated out: (S,)."""
    z = np.column_stack([np.ones(len(rows)), rows["Days"]])
    b, sd, cor, sigma = (draws.values[name] for name in ("b", "sd_Subject", "cor_Subject", "sigma"))
    mean = b @ z.T
    cov = z @ (sd[:, :, None] * cor * sd[:, None, :]) @ z.T + sigma[:, None, None] ** 2 * np.eye(len(rows))
    root = np.linalg.cholesky(cov)
    white = np.linalg.solve(root, (rows["Reaction"].to_numpy() - mean)[..., None])[..., 0]
    logdet = 2 * np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return -0.5 * (np.square(white).sum(axis=1) + logdet + len(rows) * np.log(2 * np.pi))


def log_mean(values):
    """log mean exp of (S,), and its Monte Carlo error with a quarter of the draws counted as independent."""
    answer = logsumexp(values) - np.log(len(values))
    return answer, np.exp(values - answer).std() / np.sqrt(len(values) / 4)


# -- leave one out ------------------------------------------------------------------------------------------------


def test_rows_of_loo_keep_the_labels_of_the_table():
    sleep = hb.load_dataset("sleepstudy").set_index(np.arange(1000, 1180))
    sleep.loc[1003, "Reaction"] = np.nan
    with pytest.warns(hb.DataWarning):
        fit = hb.fit("Reaction ~ Days + (1 | Subject)", sleep, seed=1, progress=False)
    assert list(fit.loo().table.index) == list(fit.residuals().index)
    assert 1003 not in fit.loo().table.index


def test_loo_is_arvizs(sleep_fit):
    """Where importance sampling is to be trusted the two are the same number; the rest is integrated."""
    theirs = arviz_stats.loo(sleep_fit.log_likelihood(), pointwise=True)
    ours = sleep_fit.loo()
    plain = ours.method_i.to_numpy() == "psis"
    assert 170 < plain.sum() < 180
    np.testing.assert_allclose(ours.elpd_i.to_numpy()[plain], theirs.elpd_i.to_numpy()[plain], atol=1e-6)
    np.testing.assert_allclose(ours.influence_pareto_k, theirs.pareto_k, atol=1e-6)
    assert ours.good_k == pytest.approx(theirs.good_k)
    assert ours.elpd == pytest.approx(theirs.elpd, abs=2.0)
    assert ours.se == pytest.approx(theirs.se, rel=0.05)
    assert (ours.pareto_k.to_numpy()[~plain] < theirs.pareto_k.to_numpy()[~plain]).all()


def test_loo_of_the_two_strategies_agree(sleep_fit, slopes):
    nuts, collapsed = sleep_fit.loo(), slopes.loo()
    good = (nuts.pareto_k < 0.5) & (collapsed.pareto_k < 0.5)
    plain = (nuts.method_i == "psis") & (collapsed.method_i == "psis")
    difference = (nuts.elpd_i - collapsed.elpd_i).to_numpy()
    assert np.abs(difference[good & plain]).max() < 0.1
    assert np.abs(difference[good]).max() < 0.2  # integrated by one, matched by the other
    assert np.abs(difference[good].mean()) < 0.01


def test_rows_that_importance_sampling_gets_wrong_are_right_when_refitted(slopes):
    """The two famous outliers: what remains doubtful is refitted, and the integrated row agrees with its refit."""
    plain, refitted = slopes.loo(), slopes.loo(refit=True)
    assert (refitted.method_i == "refit").sum() == (plain.pareto_k > plain.good_k).sum()
    assert not refitted.warning
    integrated = np.flatnonzero(plain.method_i == "integrated")
    assert len(integrated) > 0
    for place in integrated[:2]:
        others = np.delete(np.arange(180), place)
        draws = slopes._refit(slopes.design.rows(others))
        b, r, sigma = draws.values["b"], draws.values["r_Subject"], draws.values["sigma"]
        days, y = slopes.data["Days"].iloc[place], slopes.data["Reaction"].iloc[place]
        code = slopes.design.predictors["mu"].factors["Subject"].codes[place]
        mean = b[:, 0] + r[:, code, 0] + (b[:, 1] + r[:, code, 1]) * days
        want, error = log_mean(stats.norm(mean, sigma).logpdf(y))
        assert float(plain.elpd_i[place]) == pytest.approx(want, abs=4 * error + 0.3)
        assert abs(float(plain.elpd_i[place]) - want) < abs(
            float(slopes.log_likelihood()["log_likelihood"]["Reaction"][..., place].mean()) - want
        )


def test_the_only_row_of_a_level_is_integrated_and_agrees_with_its_refit():
    """An effect that follows one row looks harmless to Pareto's k, and flatters the row."""
    cbpp = hb.load_dataset("cbpp").assign(row=lambda data: np.arange(len(data)))
    formula = "incidence | trials(size) ~ period + (1 | herd) + (1 | row)"
    fit = hb.fit(formula, cbpp, family="binomial", seed=1, draws=3000, progress=False)  # sd[row] mixes slowly
    found = fit.loo()
    assert (found.method_i == "integrated").mean() > 0.9
    for place in np.argsort(found.elpd_i.to_numpy())[:4]:
        draws = fit._refit(fit.design.rows(np.delete(np.arange(len(cbpp)), place)))
        want, _ = crossval._refitted(fit.spec, draws, fit.design, np.array([place]))
        assert float(found.elpd_i[place]) == pytest.approx(want, abs=0.15)


def test_rows_are_integrated_or_matched_only_where_that_is_better(slopes, monkeypatch):
    """A density with a larger Pareto k is not taken, whatever it is; one with a smaller k is."""
    found = slopes.loo()
    doubtful = np.flatnonzero(found.influence_pareto_k > found.good_k)
    assert len(doubtful) >= 2
    size = slopes.posterior.sizes["chain"] * slopes.posterior.sizes["draw"]
    wild = -3 * np.random.default_rng(0).exponential(size=size)  # weights with k = 3
    tame = 0.01 * np.random.default_rng(0).normal(size=size)

    def fake(values):
        return lambda spec, draws, design, wanted, alone: iter(
            [(doubtful, np.tile(values, (len(doubtful), 1)))]
        )

    monkeypatch.setattr(crossval, "match_rows", lambda *arguments: iter([(int(doubtful[0]), 5.0, 9.0)]))
    plain = crossval.psis(
        np.stack(list(values_of_rows(slopes)), axis=1),
        crossval.efficiency(slopes.spec.variables, slopes.posterior),
    )
    monkeypatch.setattr(crossval, "_integrated_rows", fake(wild))
    worse = slopes.loo()
    assert set(worse.method_i.to_numpy()) == {"psis"}
    np.testing.assert_array_equal(worse.elpd_i, plain[0])
    np.testing.assert_array_equal(worse.pareto_k, plain[1])
    monkeypatch.setattr(crossval, "_integrated_rows", fake(tame))
    better = slopes.loo()
    assert (better.method_i.to_numpy()[doubtful] == "integrated").all()
    np.testing.assert_allclose(better.elpd_i.to_numpy()[doubtful], 0.0, atol=0.01)
    others = np.setdiff1d(np.arange(180), doubtful)
    np.testing.assert_array_equal(better.elpd_i.to_numpy()[others], plain[0][others])
    monkeypatch.setattr(crossval, "_integrated_rows", lambda *arguments: iter([]))
    monkeypatch.setattr(crossval, "match_rows", lambda *arguments: iter([(int(doubtful[0]), 5.0, 0.1)]))
    matched = slopes.loo()
    assert list(np.flatnonzero(matched.method_i == "moment_match")) == [doubtful[0]]
    assert (matched.elpd_i[doubtful[0]], matched.pareto_k[doubtful[0]]) == (5.0, 0.1)


def values_of_rows(fit):
    """Log-likelihood of each row in every draw, (S,)."""
    return fit.log_likelihood()["log_likelihood"]["Reaction"].to_numpy().reshape(-1, 180).T


def test_conjugate_leave_one_out():
    """y ~ N(mu, 1) with mu ~ N(0, 10²) and hand-made exact draws: the closed form."""
    rng = np.random.default_rng(3)
    y = rng.normal(1.0, 1.0, 40)
    tau = 1 / 100
    draws = rng.normal(y.sum() / (40 + tau), (40 + tau) ** -0.5, 40_000)
    elpd, k, p = psis(stats.norm(draws[:, None], 1.0).logpdf(y), 1.0)
    without = y.sum() - y
    want = stats.norm(without / (39 + tau), np.sqrt(1 + 1 / (39 + tau))).logpdf(y)
    ratios = np.exp(elpd - stats.norm(draws[:, None], 1.0).logpdf(y))  # weights whose mean is 1
    assert (np.abs(elpd - want) < 4 * ratios.std(axis=0) / np.sqrt(len(draws))).all()
    assert k.max() < 0.5
    np.testing.assert_allclose(
        p, logsumexp(stats.norm(draws[:, None], 1.0).logpdf(y), axis=0) - np.log(40_000) - elpd
    )


def test_rows_of_weight_zero_and_impossible_rows():
    values = np.column_stack([np.zeros(200), np.r_[-np.inf, np.random.default_rng(0).normal(size=199)]])
    elpd, k, _ = psis(values, 1.0)
    assert (elpd[0], k[0]) == (0.0, -np.inf)
    assert (elpd[1], k[1]) == (-np.inf, np.inf)


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_observation_level_effects_are_integrated():
    """Each row has an effect of its own: plain importance sampling fails, the integrated row does not."""
    rng = np.random.default_rng(8)
    data = pd.DataFrame(
        {"y": rng.poisson(np.exp(1 + rng.normal(size=40))), "row": [f"r{i}" for i in range(40)]}
    )
    model = hb.Model("y ~ 1 + (1 | row)", data, family="poisson")
    fit = tame_fit(model, draws=1000)
    values = {v.name: values_of(fit, v.name).copy() for v in fit.spec.variables}
    values["b"] += 0.7
    values["sd_row"] *= 2.5
    eta = np.log(data["y"].to_numpy() + 0.5)
    values["r_row"][..., 0] = eta + rng.normal(size=(2000, 40)) / np.sqrt(data["y"].to_numpy() + 1)
    values["r_row"] -= values["b"][:, None]
    for name, array in values.items():
        fit.tree["posterior"][name].values[:] = array.reshape(2, 1000, *array.shape[1:])
    found = fit.loo()
    doubtful = (found.influence_pareto_k > found.good_k).to_numpy()
    assert doubtful.sum() > 5
    assert (found.method_i.to_numpy()[doubtful] == "integrated").all()
    assert (found.pareto_k < found.good_k).all()
    at = int(np.flatnonzero(doubtful)[0])
    z, w = np.polynomial.hermite_e.hermegauss(60)
    rate = np.exp(values["b"] + values["sd_row"] * z)
    logs = logsumexp(stats.poisson(rate).logpmf(data["y"][at]) + np.log(w / np.sqrt(2 * np.pi)), axis=1)
    want, error = -log_mean(-logs)[0], log_mean(-logs)[1]
    assert float(found.elpd_i[at]) == pytest.approx(want, abs=4 * error + 0.01)


# -- leave one group out ------------------------------------------------------------------------------------------


def test_logo_is_refitting_without_each_subject(slopes, slopes_without_each_subject):
    found = slopes.logo("Subject").table
    assert list(found.index) == list(hb.load_dataset("sleepstudy")["Subject"].unique())
    assert (found["n"] == 10).all()
    assert (found["error"] == 0).all()
    total, sum_error, whole = 0.0, 0.0, flatten(slopes.spec, slopes.posterior)
    for subject, (without, rows) in slopes_without_each_subject.items():
        want, error = log_mean(log_density_of_a_new_subject(without, rows))
        weights = -log_density_of_a_new_subject(whole, rows)
        own = log_mean(weights)[1]
        k = found.loc[subject, "pareto_k"]
        if k < 0.5:  # above, weights have no variance, and no error of theirs is known
            assert found.loc[subject, "elpd"] == pytest.approx(want, abs=4 * np.hypot(error, own))
        if k < 0.7:
            assert found.loc[subject, "elpd"] == pytest.approx(want, abs=0.5)
            total += found.loc[subject, "elpd"] - want
            sum_error = np.hypot(sum_error, np.hypot(error, own))
    assert (found["pareto_k"] < 0.7).sum() >= 15
    assert abs(total) < 4 * sum_error


def test_logo_refits_what_importance_sampling_cannot_reach(slopes, slopes_without_each_subject):
    found = slopes.logo("Subject", refit=True)
    assert not found.warning
    refitted = found.table[found.table["method"] == "refit"]
    assert list(refitted.index) == list(found.table.index[slopes.logo("Subject").table["pareto_k"] > 0.7])
    for subject in refitted.index:
        want, error = log_mean(log_density_of_a_new_subject(*slopes_without_each_subject[subject]))
        own = refitted.loc[subject, "error"]  # there is no quadrature: all of it is of the draws
        assert own == pytest.approx(error, rel=0.7)
        assert refitted.loc[subject, "elpd"] == pytest.approx(want, abs=4 * np.hypot(error, own))


def test_logo_reads_as_arvizs_records_do(slopes):
    text = repr(slopes.logo("Subject"))
    assert "elpd_logo" in text
    assert "18 observations" in text


def test_logo_of_an_unknown_group(slopes):
    with pytest.raises(hb.DataError, match=r"'Days' is no grouping factor of this model; it has Subject"):
        slopes.logo("Days")


@pytest.mark.slow
def test_logo_of_cbpp_is_refitting_without_each_herd():
    data = hb.load_dataset("cbpp")
    fit = hb.fit(CBPP, data, family="binomial", seed=1, progress=False)
    found, refits = fit.logo("herd"), []
    assert (found.table["error"] < 1e-3).all()
    codes = fit.design.predictors["mu"].factors["herd"].codes
    for level, label in enumerate(found.table.index):
        rows = data[data["herd"] == label]
        draws = fit._refit(fit.design.rows(codes != level))
        x = fit.design.predictors["mu"].x[codes == level]
        z, w = np.polynomial.hermite_e.hermegauss(40)
        eta = (draws.values["b"] @ x.T)[..., None] + draws.values["sd_herd"][:, :, None] * z
        p = 1 / (1 + np.exp(-eta))
        each = stats.binom(rows["size"].to_numpy()[:, None], p).logpmf(rows["incidence"].to_numpy()[:, None])
        logs = logsumexp(each.sum(axis=1) + np.log(w / np.sqrt(2 * np.pi)), axis=1)
        want, error = log_mean(logs)
        refits.append(want)
        if found.table["pareto_k"].iloc[level] < 0.7:
            assert found.table["elpd"].iloc[level] == pytest.approx(want, abs=6 * error + 0.03)
    assert found.elpd == pytest.approx(sum(refits), abs=0.3)


# -- comparison ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [None, "Subject"])
def test_models_are_compared_row_by_row_or_group_by_group(slopes, intercepts, group):
    table = hb.compare_models(slopes, intercepts, group=group)
    assert list(table.index) == ["Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)"]
    records = [fit.loo() if group is None else fit.logo(group) for fit in (slopes, intercepts)]
    difference = (records[1].elpd_i - records[0].elpd_i).to_numpy()
    assert table["elpd_diff"].iloc[1] == pytest.approx(difference.sum(), rel=1e-6)
    assert table["dse"].iloc[1] == pytest.approx(np.sqrt(len(difference) * difference.var()), rel=1e-6)
    assert difference.sum() < -10


def test_names_of_compared_models(slopes, intercepts):
    assert list(hb.compare_models(line=slopes, level=intercepts).index) == ["line", "level"]
    assert list(hb.compare_models({"a line": slopes, "a level": intercepts}).index) == ["a line", "a level"]
    assert set(hb.compare_models(slopes, slopes).index) == {SLEEP, f"{SLEEP} (2)"}
    with pytest.raises(hb.DataError, match="two or more fits; got 1"):
        hb.compare_models(slopes)
    with pytest.raises(hb.DataError, match=r"got list. Of a list: compare_models\(\*fits\)"):
        hb.compare_models([slopes, intercepts])


def test_models_of_other_rows_are_not_compared(slopes):
    model = hb.Model(SLEEP, hb.load_dataset("sleepstudy").iloc[:170])
    with pytest.raises(hb.DataError, match="different responses or rows"):
        hb.compare_models(a=slopes, b=tame_fit(model, draws=50))
