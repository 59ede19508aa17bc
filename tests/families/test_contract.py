"""What every family's record promises, whatever the family: row = graph, scores = differences, draws = cdf, moments.

A new family is among these as soon as its file is there; what its density should be is for a test of its own.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hierbayes.errors import UnsupportedError
from hierbayes.families import FAMILIES, Family, get_family
from hierbayes.kinds import PROBABILITY
from hierbayes.links import LINKS

CATEGORIES, TRIALS, SPREAD = 4, 6.0, 1.3
CATEGORY_SHARES = np.array([0.15, 0.35, 0.35, 0.15])
MODERATE = {
    "identity": np.array([0.4, 1.1, 2.3]),
    "inverse": np.array([0.5, 0.9, 1.6]),
    "log": np.array([-0.7, 0.2, 1.3]),
    "sqrt": np.array([0.7, 1.1, 2.0]),
    "1/mu^2": np.array([0.4, 1.1, 2.3]),
}
ENDED = ("gen_extreme_value",)  # families of numbers with an end that depends on the parameters
SHARES = {"identity": np.array([0.2, 0.5, 0.7]), "log": np.array([-1.5, -0.7, -0.3])}
# those whose knots are learnt from responses cannot be simulated: see test_cox.py
PAIRS = [(n, link) for n, family in FAMILIES.items() if family.known_from is None for link in family.links]
pairs = pytest.mark.parametrize(("name", "link"), PAIRS, ids=[f"{name}-{link}" for name, link in PAIRS])


def settled(name: str, link: str) -> tuple[Family, str]:
    """A family under a link, with its parameters for four categories where they depend on these."""
    family, links = get_family(name, link)
    settled = family if family.by_category is None else family.by_category(("a", "b", "c", "d"))
    return settled, links[family.first.name]


def etas_of(name: str, link: str) -> np.ndarray:
    """Linear predictors whose means are ordinary ones."""
    table = SHARES if FAMILIES[name].first.kind is PROBABILITY else MODERATE
    return table.get(link, np.array([-1.2, 0.1, 0.6]))


def own_values(family: Family) -> dict:
    """Ordinary values of the other parameters."""
    return {
        p.name: np.asarray(p.typical(CATEGORY_SHARES if p.kind.vector else SPREAD), float)
        * (0.6 if p.kind is PROBABILITY else 1.0)
        for p in family.own
    }


def trials_of(family: Family) -> np.ndarray | None:
    return np.array(TRIALS) if family.needs_trials else None


def responses_of(family: Family, link: str, count: int, seed: int = 1) -> np.ndarray:
    """Simulated responses: (count, 3)."""
    eta = np.tile(etas_of(family.name, link), (count, 1))
    at = family.at(eta, own_values(family), LINKS[link])
    asked = family.latent or link
    return at.simulate(np.random.default_rng([seed, PAIRS.index((family.name, asked))]), trials_of(family))


@pairs
def test_simulated_responses_are_in_the_support_and_have_the_cdf(name, link):
    family, link = settled(name, link)
    y = responses_of(family, link, 20_000)
    assert y.shape == (20_000, 3, *([CATEGORIES] if family.support.columns else []))
    assert family.support.contains(y, trials_of(family)).all()
    if family.cdf is None:  # of several columns, each of which has a mean
        expected = family.at(etas_of(name, link), own_values(family), LINKS[link]).probabilities()
        expected = expected * (trials_of(family) if family.needs_trials else 1.0)
        assert np.all(np.abs(y.mean(axis=0) - expected) < 4.5 * y.std(axis=0) / np.sqrt(len(y)))
        return
    for column, eta in zip(y.T, etas_of(name, link), strict=True):
        values, counts = np.unique(column, return_counts=True)
        at = family.at(np.full(values.shape, eta), own_values(family), LINKS[link])
        distance = np.abs(np.cumsum(counts) / len(column) - at.cdf(values, trials_of(family))).max()
        assert distance < 2.2 / np.sqrt(len(column))  # exceeded once in 8000 times


@pytest.mark.parametrize(
    ("name", "link"), [p for p in PAIRS if FAMILIES[p[0]].support.whole and FAMILIES[p[0]].cdf is not None]
)
def test_the_cdf_of_whole_responses_adds_up_the_density(name, link):
    family, link = settled(name, link)
    last = 2 if family.support.two_levels else CATEGORIES if family.support.categories else 7
    y = np.arange(float(last))[:, None]
    at = family.at(etas_of(name, link), own_values(family), LINKS[link])
    trials = trials_of(family)
    assert_allclose(np.exp(at.log_density(y, trials)).cumsum(axis=0), at.cdf(y, trials), rtol=1e-10)
    if family.probabilities is not None:
        assert_allclose(at.probabilities().T, np.exp(at.log_density(y)), rtol=1e-10)


@pairs
def test_scores_are_differences(name, link):
    family, link = settled(name, link)
    y, eta, own = responses_of(family, link, 6), etas_of(name, link), own_values(family)
    trials = trials_of(family)

    def density(eta, own):
        return family.at(eta, own, LINKS[link]).log_density(y, trials)

    def difference(moved):
        near, far = (moved(k) - moved(-k) for k in (1e-3, 2e-3))
        return (8 * near - far) / 12e-3

    _, scores = family.at(eta, own, LINKS[link]).evaluate(y, trials)
    assert_allclose(scores[0], difference(lambda h: density(eta + h, own)), rtol=1e-6, atol=1e-7)
    place = 1
    for parameter, value in own.items():
        for element in range(value.size):
            unit = np.eye(value.size)[element].reshape(value.shape)
            found = difference(lambda h, p=parameter, v=value, u=unit: density(eta, own | {p: v + h * u}))
            assert_allclose(scores[place], found, rtol=1e-5, atol=1e-7)
            place += 1
    assert place == len(scores)


@pairs
def test_pymcs_distribution_has_the_same_density(name, link):
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt

    from hierbayes.tensormath import tensor_math as _math
    from tests.test_families import evaluate

    family, link = settled(name, link)
    y = responses_of(family, link, 5)
    eta, own = np.tile(etas_of(name, link), 5), own_values(family)
    y = y.reshape(15, -1) if family.support.columns else y.ravel()
    observed = y.astype(np.int64) if family.support.whole else y
    counts = [pytensor.shared(np.full(15, TRIALS))] if family.needs_trials else []
    given = family.given(
        pt.as_tensor(eta), {k: pt.as_tensor(v) for k, v in own.items()}, LINKS[link], _math(pm)
    )
    kind, arguments = family.graph(pm, *counts, **given)
    found = evaluate([pm.logp(kind.dist(**arguments), observed)])[0]
    expected = family.at(eta, own, LINKS[link]).log_density(y, trials_of(family))
    assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


@pairs
def test_moments_are_those_of_simulated_responses(name, link):
    family, link = settled(name, link)
    at = family.at(etas_of(name, link), own_values(family), LINKS[link])
    if family.mean is None:
        with pytest.raises(UnsupportedError, match="has no expected response"):
            at.mean()
        return
    # of the squares of lognormal numbers 40,000 don't have a normal mean yet
    y = responses_of(family, link, 400_000 if "lognormal" in name else 40_000, seed=2)
    y = family.support.sizes(y)
    mean, variance = at.moments(trials_of(family))
    assert np.abs((y.mean(axis=0) - mean) / np.sqrt(variance / len(y))).max() < 4
    squares = np.square(y - mean)
    assert np.all(
        np.abs(squares.mean(axis=0) - variance) < 4.5 * squares.std(axis=0) / np.sqrt(len(y)) + 1e-9
    )


@pytest.mark.parametrize(("name", "link"), [p for p in PAIRS if FAMILIES[p[0]].information is not None])
def test_information_is_the_mean_square_of_the_score(name, link):
    family, link = settled(name, link)
    y = responses_of(family, link, 40_000, seed=3)
    at = family.at(etas_of(name, link), own_values(family), LINKS[link])
    squares = at.evaluate(y, trials_of(family))[1][0] ** 2
    expected = at.information(trials_of(family))
    assert np.all(
        np.abs(squares.mean(axis=0) - expected) < 4.5 * squares.std(axis=0) / np.sqrt(len(y)) + 1e-9
    )


@pairs
def test_nothing_is_lost_or_broken_far_out(name, link):
    family, link = settled(name, link)
    if link in family.first.kind.domains or (
        link in ("identity", "inverse") and not family.support.categories
    ):
        return
    y, own, trials = responses_of(family, link, 3), own_values(family), trials_of(family)
    for eta in (-40.0, 40.0):
        value, scores = family.at(np.full(3, eta), own, LINKS[link]).evaluate(y, trials)
        if name in ENDED:  # what lies beyond its end has no density
            below = family.at(np.full(3, eta), own, LINKS[link]).cdf(y)
            assert np.all(np.isfinite(value) | ((value == -np.inf) & ((below == 0) | (below == 1))))
        else:
            assert np.isfinite(value).all()
        assert all(np.isfinite(score).all() for score in scores)
    for eta in (-800.0, 800.0):
        at = family.at(np.full(3, eta), own, LINKS[link])
        assert not np.isnan(at.simulate(np.random.default_rng(1), trials)).any()
        assert not np.isnan(at.log_density(y, trials)).any()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_record_is_complete(name):
    family = FAMILIES[name]
    assert family.name == name
    assert all(parameter.words for parameter in family.parameters)
    assert family.parameters[0].name in family.equation
    if family.mean is None or family.variance is None:
        assert not family.has_variance
    assert [p.kind.vector for p in family.parameters] == sorted(p.kind.vector for p in family.parameters)
    rng = np.random.default_rng(1)
    for parameter in family.own:
        assert parameter.name in family.equation
        assert set(parameter.links) <= set(parameter.kind.links)
        if parameter.known or parameter.size:
            assert (parameter.prior is None) == bool(parameter.known)
            continue
        prior = parameter.prior(SPREAD)
        if prior.fixed is not None:  # what it is unless it has a formula
            assert prior.fixed == parameter.typical(SPREAD)
            continue
        typical = np.ravel(parameter.typical(CATEGORY_SHARES if parameter.kind.vector else SPREAD))
        assert all(0.02 < (prior.sample(rng, (2000,)) < value).mean() < 0.98 for value in typical)
