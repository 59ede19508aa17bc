"""What the default priors imply on the data sets that ship: responses of about the data's size, for every link."""

import numpy as np
import pytest

import hierbayes as hb

DRAWS = 400
IDENTITY = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "radon": "log_radon ~ floor + log_uranium + (floor | county)",
    "pastes": "strength ~ 1 + (1 | batch/cask)",
    "dyestuff2": "Yield ~ 1 + (1 | Batch)",
    "oats": "`yield` ~ nitro * Variety + (1 | Block/Variety)",
    "hsb82": "mAch ~ cses * meanses + (cses | school)",
    "insteval": "y ~ service + (1 | s) + (1 | d)",
}
LOGIT = {
    "cbpp": ("incidence | trials(size) ~ period + (1 | herd)", "binomial"),
    "contraception": ("use ~ age + I(age**2) + urban + livch + (urban | district)", "bernoulli"),
}
LOG = {
    "epilepsy": ("count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)", "poisson"),
    "arabidopsis": ("`total.fruits` ~ nutrient * amd + rack + status + (nutrient | gen)", "negbinomial"),
}


def simulation(name, formula, family="gaussian"):
    data = hb.load_dataset(name)
    rows = data.iloc[
        :: max(1, len(data) // 1500)
    ]  # the priors hardly change, and no more than that is simulated
    return hb.Model(formula, rows, family).simulate_prior(DRAWS, seed=1)


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
@pytest.mark.parametrize("name", IDENTITY)
def test_simulated_data_sets_are_not_ten_times_as_spread_as_the_data(name):
    found = simulation(name, IDENTITY[name])
    ratio = found.responses.std(axis=1) / found.design.y.std()
    assert 1 < np.median(ratio) < 6
    assert np.sqrt(np.mean(ratio**2)) < 7  # of all simulated outcomes together
    assert np.quantile(ratio, 0.95) < 10  # of single data sets
    if name != "oats":  # whose five coefficients add up
        assert np.mean(ratio > 10) < 0.01 + 4.0 * np.sqrt(0.01 / DRAWS)  # with its Monte Carlo error


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
@pytest.mark.parametrize("name", LOGIT)
def test_simulated_probabilities_do_not_pile_up_at_0_and_1(name):
    found = simulation(name, *LOGIT[name])
    assert np.mean((found.means < 0.01) | (found.means > 0.99)) < 0.5


@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
@pytest.mark.parametrize("name", LOG)
def test_simulated_medians_are_within_three_orders_of_magnitude(name):
    found = simulation(name, *LOG[name])
    medians = np.median(found.means, axis=1) / found.design.y.mean()
    assert np.mean(np.abs(np.log10(medians)) < 3) > 0.95
    assert abs(np.log10(np.median(found.responses) / np.median(found.design.y))) < 1


def test_there_are_ten_designs_or_more():
    assert len({*IDENTITY, *LOGIT, *LOG}) >= 10
