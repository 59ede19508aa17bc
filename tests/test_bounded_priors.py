"""Priors between bounds: the kernel's density is the graph's, and draws are those without bounds that lie between."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.simulation import sample_prior
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_shrinkage import FRAME

ALL = {
    "Intercept": "Normal(1, 2, upper=5)",
    "b[u]": "Laplace(0.2, 1, lower=-1, upper=2)",
    "b[v]": "Cauchy(0, 1, lower=-3)",
    "b[w]": "Logistic(0, 1, upper=3)",
    "b[x]": "StudentT(4, 0, 1, lower=-1, upper=1)",
    "sigma": "Normal(1, 1, lower=0.2, upper=4)",
}

ABOVE_ZERO = {
    "b[u]": "Gamma(2, 3, upper=1.5)",
    "b[v]": "LogNormal(-1, 1, lower=0.2)",
    "b[w]": "Exponential(2, lower=0.1, upper=3)",
    "b[x]": "Beta(2, 3, lower=0.1)",
    "sigma": "InverseGamma(3, 4, lower=0.5)",
}
SHARES = {
    "Intercept": "Beta(0.7, 0.6, lower=0.4)",
    "b[u]": "Beta(3, 2, upper=0.9)",
    "shape": "Gamma(0.7, 0.2, lower=0.1)",
    "zi": "Beta(2, 2, lower=0.1, upper=0.6)",
}


@pytest.mark.parametrize(
    ("formula", "family", "priors"),
    [
        ("y ~ u + v + w + x + (1 | g)", "gaussian", ABOVE_ZERO),
        ("count ~ u + (1 | g)", "zero_inflated_negbinomial", SHARES),
        ("y ~ u", "student", {"nu": "Gamma(2, 0.1, lb=1, ub=80)", "sigma": "LogNormal(0, 1, upper=9)"}),
        ("y ~ u + v + w + x + (1 | g)", "gaussian", ALL),
        (
            "y ~ u + v + w",
            "gaussian",
            {"b": "Normal(0.2, 1.5, lower=-0.5)", "sigma": "HalfCauchy(1, upper=3)"},
        ),
        (
            "count ~ u + mo(size)",
            "negbinomial",
            {"b": "StudentT(3, 0, 1, upper=2)", "shape": "HalfNormal(9, lower=1)"},
        ),
        (
            {"mu": "y ~ u", "sigma": "~ w"},
            "gaussian",
            {"b": "Fixed(0.3)", "sigma.b": "HalfNormal(1, upper=2)"},
        ),
    ],
)
def test_the_whitened_density_is_the_graphs(formula, family, priors):
    model = hb.Model(formula, FRAME, family=family, priors=priors)
    assert "strategy 'whitened'" in repr(model)
    assert_kernel_is_the_graph(model)


@pytest.mark.parametrize(
    "prior", ["Normal(1, 0.5, upper=2)", "HalfNormal(1, upper=2)", "Gamma(2, 1, upper=2)"]
)
def test_standard_deviations_of_groups_are_drawn_by_nuts(prior):
    priors = {"sd": prior}
    if prior.startswith("Normal"):
        with pytest.raises(hb.PriorError, match="support is real"):
            hb.Model("y ~ u + (1 | g)", FRAME, priors=priors)
        priors = {"sd": prior.replace("upper", "lower=0, upper")}
    model = hb.Model("y ~ u + (1 | g)", FRAME, priors=priors)
    assert "strategy 'nuts'" in repr(model)
    assert "a prior of class sd is Truncated" in repr(model)


def test_vectors_have_no_bounds_in_kernels():
    frame = FRAME.assign(rating=np.resize([1, 2, 3], len(FRAME)))
    model = hb.Model(
        "rating ~ u", frame, family="cumulative", priors={"thresholds": "Normal(0, 2, lower=-5)"}
    )
    assert "strategy 'nuts'" in repr(model)


def _made() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    frame = pd.DataFrame(rng.normal(size=(60, 2)), columns=["dose", "age"])
    frame["g"] = np.arange(60) % 12
    effects = rng.normal(0, 0.5, 12)
    return frame.assign(
        y=0.1 * frame["dose"] + 0.5 * frame["age"] + effects[frame["g"]] + rng.normal(size=60)
    )


OTHERS = {
    "Intercept": "Normal(0, 2)",
    "b[age]": "Normal(0, 1)",
    "sd": "HalfNormal(1)",
    "sigma": "Exponential(1)",
}
LOW, HIGH = 0.0, 0.3


@pytest.fixture(scope="module")
def bounded():
    priors = OTHERS | {"b[dose]": f"Normal(0, 1, lower={LOW}, upper={HIGH})"}
    return hb.fit("y ~ dose + age + (1 | g)", _made(), priors=priors, seed=1, progress=False)


def test_draws_are_those_between_the_bounds(bounded):
    """The posterior under a truncated prior is that under the whole one given that the coefficient lies between."""
    assert bounded.tree.attrs["strategy"] == "whitened"
    assert bounded.summary()["ess_bulk"].min() > 1000
    whole = hb.fit(
        "y ~ dose + age + (1 | g)", _made(), priors=OTHERS | {"b[dose]": "Normal(0, 1)"}, seed=2, draws=5000,
        progress=False,
    )  # fmt: skip
    b = whole.posterior["b"].sel(coef="dose").to_numpy().ravel()
    inside = (b > LOW) & (b < HIGH)
    assert inside.mean() > 0.3
    for name, row in bounded.summary().iterrows():
        wanted = _draws(whole, name)[inside]
        error = np.hypot(row["sd"] / row["ess_bulk"] ** 0.5, wanted.std() / (inside.sum() / 5) ** 0.5)
        assert abs(row["mean"] - wanted.mean()) < 4 * error, name
        assert row["sd"] == pytest.approx(
            wanted.std(), rel=4 * (0.5 / row["ess_tail"] + 2.5 / inside.sum()) ** 0.5
        )


def _draws(fit, name: str) -> np.ndarray:
    if name in fit.posterior["b"]["coef"]:
        return fit.posterior["b"].sel(coef=name).to_numpy().ravel()
    return fit.posterior["sigma" if name == "sigma" else "sd_g"].to_numpy().ravel()


def test_answers(bounded, tmp_path):
    b = bounded.posterior["b"].sel(coef="dose")
    assert float(b.min()) > LOW
    assert float(b.max()) < HIGH
    assert np.isfinite(bounded.loo().elpd)
    assert "dose" in bounded.prior_sensitivity().index
    bounded.save(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(hb.load(tmp_path / "fit.nc").summary(), bounded.summary())
    drawn = sample_prior(bounded.spec, 500, 1).values["b"][:, 1]
    assert LOW < drawn.min() < 0.05
    assert 0.25 < drawn.max() < HIGH


def test_simulated_parameters_lie_between():
    model = hb.Model("y ~ u + v + w + x + (1 | g)", FRAME, priors=ABOVE_ZERO)
    tree = model.prior_predictive(draws=400, seed=1)
    b = tree["prior"]["b"].to_numpy()[0, :, 1:]
    assert (b.min(axis=0) >= [0, 0.2, 0.1, 0.1]).all()
    assert (b.max(axis=0) <= [1.5, np.inf, 3, 1]).all()
    assert b[:, 0].max() > 1.2
    assert tree["prior"]["sigma"].min() > 0.5
    text = str(model.priors["prior"].tolist())
    assert "TruncatedBeta(alpha=2, beta=3, lower=0.1)" in text
    assert "TruncatedInverseGamma(alpha=3, beta=4, lower=0.5)" in text
