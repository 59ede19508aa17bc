"""Two sets of priors side by side: refits, their table, and pictures of prior and posterior."""

import matplotlib
import numpy as np
import pytest
import scipy.stats as st

import hierbayes as hb
from hierbayes.errors import DataError, PriorError
from hierbayes.implied import inner_quantities
from hierbayes.simulation import sample_prior

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FORMULA = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleep():
    return hb.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep):
    return hb.Model(FORMULA, sleep, priors={"b[Days]": "Normal(0, 20)"}).fit(
        draws=500, seed=3, progress=False
    )


@pytest.fixture(scope="module")
def tight(fit):
    return fit.refit({"sd": "HalfNormal(5)"})


def test_a_refit_is_the_fit_of_the_model_with_these_priors(sleep, tight):
    """Seed, draws and chains are kept, so the draws are those of a model made so from the start."""
    direct = hb.Model(FORMULA, sleep, priors={"b[Days]": "Normal(0, 20)", "sd": "HalfNormal(5)"})
    again = direct.fit(draws=500, seed=3, progress=False)
    assert again.posterior.equals(tight.after.posterior)
    assert direct.priors["prior"].tolist() == [str(prior.prior) for prior in tight.after.spec.priors]
    assert [prior.origin for prior in tight.after.spec.priors] == direct.priors["origin"].tolist()


def test_quantities_at_the_means_have_their_priors(fit):
    """Taken back from the user's zero, draws of the prior are those that the priors state."""
    found = inner_quantities(fit.spec, sample_prior(fit.spec, 4000, seed=1))
    scale = 56.1721
    expected = {
        "Intercept": st.norm(298.508, 140.43),
        "Days": st.norm(0, 20),
        "sd[Subject, Intercept]": st.expon(scale=scale),
        "sd[Subject, Days]": st.expon(scale=1 / 0.0511336),
        "cor[Subject, Intercept, Days]": st.uniform(-1, 2),
        "sigma": st.expon(scale=scale),
    }
    assert list(found) == list(expected) == list(fit.summary().index)
    for name, reference in expected.items():
        assert st.kstest(found[name], reference.cdf).pvalue > 1e-3, name


@pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning")  # a hundred draws
def test_what_is_not_named_stays_and_none_means_defaults(sleep, fit):
    back = fit.refit(None, draws=100)
    assert [str(prior.prior) for prior in back.after.spec.priors] == hb.Model(FORMULA, sleep).priors[
        "prior"
    ].tolist()
    assert back.after.posterior.sizes["draw"] == 100


def test_the_table_is_that_of_both_summaries(tight):
    table = tight.table(prob=0.8)
    first, second = (side.summary(prob=0.8) for side in (tight.before, tight.after))
    assert list(table.index) == list(first.index)
    for word, summary in (("before", first), ("after", second)):
        for name in ("mean", "lower", "upper"):
            np.testing.assert_array_equal(table[f"{name}_{word}"], summary[name])
    np.testing.assert_allclose(table["shift"], (second["mean"] - first["mean"]) / first["sd"])
    np.testing.assert_allclose(table["sd_ratio"], second["sd"] / first["sd"])
    assert table.loc["Days", "prior_before"] == table.loc["Days", "prior_after"] == "Normal(mu=0, sigma=20)"
    assert table.loc["sd[Subject, Days]", "prior_after"] == "HalfNormal(sigma=5)"
    assert table.loc["cor[Subject, Intercept, Days]", "prior_after"] == "LKJ(eta=1)"
    assert table.loc["sd[Subject, Intercept]", "shift"] < -0.5  # 29 ms under Exponential(1/56), pulled to 5
    assert "HalfNormal(sigma=5)" in repr(tight)
    assert "<table" in tight._repr_html_()


@pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning")  # a hundred draws
def test_a_model_refits_with_both_sets(sleep):
    both = hb.Model(FORMULA, sleep).refit({"sigma": "Exponential(1)"}, draws=100, seed=1, progress=False)
    assert [str(side.spec.prior("sigma", parameter="sigma")) for side in (both.before, both.after)] == [
        "Exponential(lam=0.0178024)",
        "Exponential(lam=1)",
    ]


def test_priors_of_a_refit_are_checked(fit):
    with pytest.raises(PriorError, match="matches nothing in this model"):
        fit.refit({"b[Day]": "Normal(0, 1)"})
    with pytest.raises(TypeError, match=r"options of fit\(\): draws, chains, .* got 'drws'"):
        fit.refit(None, drws=100)


def test_prior_and_posterior_beside_each_other(fit):
    axes = fit.plot_prior_posterior()
    names = list(fit.summary().index)
    assert [ax.get_xlabel().replace("\n", " ").split(" at ")[0] for ax in axes] == names
    for ax, name in zip(axes, names, strict=True):
        prior, posterior = ax.patches
        # a step histogram of a density: the share of the posterior in view is nearly all of it
        heights = posterior.get_xy()
        area = abs(np.trapezoid(heights[:, 1], heights[:, 0]))
        assert area == pytest.approx(1.0, abs=0.01), name
        assert prior.get_linestyle() != posterior.get_linestyle()
    plt.close(axes[0].figure)
    axes = fit.plot_prior_posterior(["sigma", "Days"])
    assert [ax.get_xlabel() for ax in axes] == ["sigma", "Days"]
    plt.close(axes[0].figure)
    with pytest.raises(DataError, match="'Day' is no quantity of this model; it has Intercept, Days"):
        fit.plot_prior_posterior(["Day"])
