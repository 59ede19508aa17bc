"""Ordinal and categorical models beside brms 2.18 under equal priors, and beside ordinal::clmm (make_ordinal.R)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from tests.slow import with_slow

REFERENCE = json.loads((Path(__file__).parent / "ordinal_reference.json").read_text())
COMMON = {"thresholds": "Normal(0, 2.5)", "b": "Normal(0, 2.5)", "sd": "Exponential(1)"}
JUDGE, SUBJECT = "sd_judge__Intercept", "sd_subject__Intercept"
INHALER = {"period": "b_period", "carry": "b_carry", "treat": "b_treat"}


def wine() -> pd.DataFrame:
    data = hb.load_dataset("wine")
    names = np.array(["low", "low", "middle", "high", "high"])
    liking = pd.Categorical(names[data["rating"] - 1], ["low", "middle", "high"])
    return data.assign(liking=liking)


def thresholds(labels, template: str = "b_Intercept[{}]") -> dict[str, str]:
    return {f"thresholds[{label}]": template.format(k) for k, label in enumerate(labels, start=1)}


FIVE, FOUR = ("1|2", "2|3", "3|4", "4|5"), ("1|2", "2|3", "3|4")
WINE = {"temp[warm]": "b_tempwarm", "contact[yes]": "b_contactyes", "sd[judge, Intercept]": JUDGE}
SPECIFIC = {f"cs{k}.treat": f"bcs_treat[{k}]" for k in (1, 2, 3)}
OF_SUBJECTS = {"sd[subject, Intercept]": SUBJECT}
NOMINAL = {
    name: value
    for p in ("middle", "high")
    for name, value in {
        f"mu{p}.Intercept": f"b_mu{p}_Intercept",
        f"mu{p}.temp[warm]": f"b_mu{p}_tempwarm",
        f"mu{p}.contact[yes]": f"b_mu{p}_contactyes",
        f"mu{p}.sd[judge, Intercept]": f"sd_judge__mu{p}_Intercept",
    }.items()
}
CATEGORICAL_PRIORS = {
    f"mu{p}.{name}": prior
    for p in ("middle", "high")
    for name, prior in {"Intercept": "Normal(0, 2.5)", "b": "Normal(0, 2.5)", "sd": "Exponential(1)"}.items()
}
# data, formulas, family, link, priors, and what the same numbers are called there
MODELS = {
    "wine_probit_disc": (
        wine,
        {"mu": "rating ~ temp + contact + (1 | judge)", "disc": "~ contact"},
        "cumulative",
        "probit",
        {**COMMON, "disc.b": "Normal(0, 1)"},
        {**WINE, **thresholds(FIVE), "disc.contact[yes]": "b_disc_contactyes"},
    ),
    "wine_equidistant": (
        wine,
        'rating | thres("equidistant") ~ temp + contact + (1 | judge)',
        "cumulative",
        "logit",
        {
            "threshold": "Normal(0, 2.5)",
            "delta": "Exponential(1)",
            "b": "Normal(0, 2.5)",
            "sd": "Exponential(1)",
        },
        {**WINE, "threshold": "b_Intercept[1]", "delta": "delta"},
    ),
    "wine_by_contact": (
        wine,
        "rating | thres(gr=contact) ~ temp + (1 | judge)",
        "cumulative",
        "logit",
        COMMON,
        {"temp[warm]": "b_tempwarm", "sd[judge, Intercept]": JUDGE}
        | thresholds([f"no, {label}" for label in FIVE], "b_Intercept[no,{}]")
        | thresholds([f"yes, {label}" for label in FIVE], "b_Intercept[yes,{}]"),
    ),
    "inhaler_cratio_cloglog": (
        lambda: hb.load_dataset("inhaler"),
        "rating ~ period + carry + treat + (1 | subject)",
        "cratio",
        "cloglog",
        COMMON,
        {**INHALER, **OF_SUBJECTS, **thresholds(FOUR)},
    ),
    **{
        f"inhaler_{family}_cs": (
            lambda: hb.load_dataset("inhaler"),
            "rating ~ period + carry + cs(treat) + (1 | subject)",
            family,
            "logit",
            {**COMMON, **{f"cs{k}.b": "Normal(0, 2.5)" for k in (1, 2, 3)}},
            {"period": "b_period", "carry": "b_carry", **OF_SUBJECTS, **SPECIFIC, **thresholds(FOUR)},
        )
        for family in ("acat", "sratio")
    },
    "wine_categorical": (
        wine,
        "liking ~ temp + contact + (1 | judge)",
        "categorical",
        None,
        CATEGORICAL_PRIORS,
        NOMINAL,
    ),
}
LONG = {"inhaler_acat_cs", "inhaler_cratio_cloglog"}


@pytest.mark.parametrize("name", with_slow(MODELS, LONG))
def test_posteriors_are_those_of_brms(name):
    data, formula, family, link, priors, names = MODELS[name]
    center = "gr=" not in str(formula)  # thresholds by group are those at 0 in brms
    model = hb.Model(formula, data(), family=family, link=link, priors=priors, center=center)
    fit = model.fit(draws=3000, seed=1, target_accept=0.95, progress=False)
    table = fit.summary()
    theirs = pd.DataFrame(REFERENCE[name]).set_index("variable")
    free = [quantity for quantity in table.index if table.loc[quantity, "sd"] > 0]
    assert set(names) == set(free)
    for ours, brms in names.items():
        mine, other = table.loc[ours], theirs.loc[brms]
        error = np.hypot(mine["sd"] / mine["ess_bulk"] ** 0.5, other["sd"] / other["ess_bulk"] ** 0.5)
        assert abs(mine["mean"] - other["mean"]) < 4.5 * error, ours
        spread = np.sqrt(1 / mine["ess_tail"] + 1 / other["ess_bulk"])  # about, of sds with heavier tails
        assert abs(np.log(mine["sd"] / other["sd"])) < 4.5 * spread, ours


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_estimates_are_those_of_clmm(link):
    """The likelihood at clmm's estimates, the judges integrated out, is clmm's; and no point near has a higher one."""
    from hierbayes.answers.draws import Draws
    from hierbayes.criticism.marginal import hold_out, log_marginal
    from hierbayes.known_parameters import known_draws

    model = hb.Model("rating ~ temp + contact + (1 | judge)", wine(), family="cumulative", link=link)
    found = REFERENCE["clmm"][link]
    names = {"temp[warm]": "tempwarm", "contact[yes]": "contactyes", "sd[judge, Intercept]": "sd"}
    names |= {f"thresholds[{label}]": label for label in FIVE}
    centre = {ours: found[theirs] for ours, theirs in names.items()} | {"disc": 1.0}

    def log_likelihood(parameters: dict[str, float]) -> float:
        draws: Draws = known_draws(model.spec, parameters, 1)
        total = 0.0
        for judge in range(9):
            places = np.flatnonzero(model.design.predictors["mu"].factors["judge"].codes == judge)
            for _, held in hold_out(model.spec, draws, model.design, places):
                total += float(log_marginal(model.spec, held)[0][0])
        return total

    top = log_likelihood(centre)
    # the package's likelihood of Cauchy's latent variable is about 3e-4 from that by R's own pcauchy
    assert top == pytest.approx(found["logLik"], abs=1e-3 if link == "cauchit" else 1e-6)
    for name in names:
        for step in (-0.05, 0.05):
            assert log_likelihood({**centre, name: centre[name] + step}) < top + 1e-6


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_the_likelihood_is_that_of_clm(link):
    """At clm's estimates, where it is highest; by pcauchy clm's cauchit would be -92.5155540343, as here."""
    from hierbayes.known_parameters import known_draws

    model = hb.Model("rating ~ temp + contact", wine(), family="cumulative", link=link)
    found = REFERENCE["clm"][link]
    centre = {"temp[warm]": found["tempwarm"], "contact[yes]": found["contactyes"], "disc": 1.0}
    centre |= {f"thresholds[{label}]": found[label] for label in FIVE}
    spec, design = model.spec, model.design
    values = known_draws(spec, centre, 1).values
    eta = design.predictors["mu"].x @ values["b"][0]
    at = spec.family.at(eta, {"disc": 1.0, "thresholds": values["thresholds"][0]}, spec.link)
    density, (scores, *_) = at.evaluate(design.y)
    if link == "cauchit":
        assert density.sum() == pytest.approx(-92.5155540343, abs=1e-9)
        return
    assert density.sum() == pytest.approx(found["logLik"], abs=1e-6)
    np.testing.assert_allclose(scores @ design.predictors["mu"].x[:, 1:], 0.0, atol=1e-4)
