"""Censored and truncated shares, and successes out of trials."""

import itertools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, special, stats

import hierbayes as hb
from hierbayes.data.settling import settle
from hierbayes.errors import UnsupportedError
from hierbayes.families import FAMILIES, get_family
from hierbayes.formula import parse
from hierbayes.incomplete import beta_tails
from hierbayes.links import LINKS
from tests.families.fits import assert_kernel_is_the_graph, assert_works, grouped
from tests.slow import with_slow

LEFT, NONE, RIGHT, INTERVAL = -1.0, 0.0, 1.0, 2.0
OWN = {"beta": {"phi": 4.0}, "binomial": {}, "betabinomial": {"phi": 5.0}}
Y = {"beta": np.array([0.2, 0.45, 0.6]), "binomial": np.array([2.0, 3.0, 5.0])}
Y["betabinomial"] = Y["binomial"]
TRIALS = np.array([5.0, 9.0, 12.0])
ENDS = {"beta": (np.array([0.05, 0.2, 0.3]), np.array([0.7, 0.9, 0.8]))}
ENDS["binomial"] = ENDS["betabinomial"] = np.array([1.0, 1.0, 2.0]), np.array([4.0, 7.0, 11.0])
BOUNDS = {"": "", "lb": "trunc(lb=l)", "ub": "trunc(ub=u)", "both": "trunc(lb=l, ub=u)"}
ETA = np.array([-0.4, 0.3, 1.1])
each_family = pytest.mark.parametrize("name", OWN)


def counts(name: str) -> tuple[np.ndarray, ...]:
    return () if name == "beta" else (TRIALS,)


def scipys(name: str, p, n=TRIALS, **own):
    """The family's distribution as SciPy has it."""
    own = OWN[name] | own
    if name == "beta":
        return stats.beta(p * own["phi"], (1 - p) * own["phi"])
    if name == "binomial":
        return stats.binom(n.astype(int), p)
    return stats.betabinom(n.astype(int), p * own["phi"], (1 - p) * own["phi"])


def family_of(name: str, additions: str):
    trials = "" if name == "beta" else "trials(n) + "
    return settle(
        {"mu": parse(f"y | {trials}{additions} ~ 1")}, pd.DataFrame({"y": [1.0]}), *get_family(name)
    )[1]


def at(name: str, additions: str, eta, link: str = "logit", own=None, **stated):
    known = {k: np.asarray(v, float) for k, v in stated.items()}
    return family_of(name, additions).at(np.asarray(eta), (own or OWN[name]) | known, LINKS[link])


def bounded(name: str, bounds: str) -> str:
    """What a formula adds for censoring between bounds: binomial has code of its own for each of `BOUNDS`."""
    stated = BOUNDS[bounds if name == "binomial" else "both"]
    return " + ".join(part for part in ("cens(c, b)", stated) if part)


def stated_of(name: str, status: float, bounds: str) -> dict:
    """What rows state; a bound that is none is infinite."""
    lower = ENDS[name][0] if bounds in ("lb", "both") else np.full(3, -np.inf)
    upper = ENDS[name][1] if bounds in ("ub", "both") else np.full(3, np.inf)
    return {
        "cens": np.full(3, status),
        "y2": Y[name] + (0.1 if name == "beta" else 2.0),
        "lb": lower,
        "ub": upper,
    }


# -- densities -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "bounds"), list(itertools.product([LEFT, NONE, RIGHT, INTERVAL], BOUNDS)))
@each_family
def test_densities_are_scipys(name, status, bounds):
    additions = bounded(name, bounds)
    stated, y, whole = stated_of(name, status, bounds), Y[name], name != "beta"
    known = {p.name for p in family_of(name, additions).known}
    found = at(name, additions, ETA, **{k: v for k, v in stated.items() if k in known}).log_density(
        y, *counts(name)
    )
    lower, upper = stated["lb"], stated["ub"]
    exact = scipys(name, special.expit(ETA))
    below = exact.cdf(lower - 1 if whole else lower)
    expected = {
        LEFT: exact.cdf(y) - below,
        NONE: exact.pmf(y) if whole else exact.pdf(y),
        RIGHT: exact.cdf(upper) - exact.cdf(y),
        INTERVAL: exact.cdf(np.minimum(stated["y2"], upper)) - exact.cdf(y),
    }[status] / (exact.cdf(upper) - below)
    assert_allclose(found, np.log(expected), rtol=1e-10)


@pytest.mark.parametrize(("status", "bounds"), list(itertools.product([LEFT, RIGHT, INTERVAL], BOUNDS)))
@pytest.mark.parametrize(("name", "link"), [(name, link) for name in OWN for link in FAMILIES[name].links])
def test_scores_are_differences(name, link, status, bounds):
    additions = bounded(name, bounds)
    family, y = family_of(name, additions), Y[name]
    eta = LINKS[link].link(special.expit(ETA))
    known = {p.name: stated_of(name, status, bounds)[p.name] for p in family.known}

    def density(eta, own):
        return family.at(eta, own | known, LINKS[link]).log_density(y, *counts(name))

    def difference(moved):
        near, far = (moved(k) - moved(-k) for k in (1e-3, 2e-3))
        return (8 * near - far) / 12e-3

    own = {k: np.asarray(v) for k, v in OWN[name].items()}
    _, scores = family.at(eta, own | known, LINKS[link]).evaluate(y, *counts(name))
    assert_allclose(scores[0], difference(lambda h: density(eta + h, own)), rtol=1e-6, atol=1e-8)
    for place, (parameter, value) in enumerate(own.items(), start=1):
        found = difference(lambda h, p=parameter, v=value: density(eta, own | {p: v + h}))
        assert_allclose(scores[place], found, rtol=1e-6, atol=1e-8)


def exact_tails(name: str, eta: float) -> tuple[float, float]:
    """Logarithms of the probabilities below and above the first of `Y`, in a tail by its leading terms."""
    y, n = Y[name][0], TRIALS[0]
    odds = np.exp(-abs(eta))
    p = odds / (1 + odds) if eta < 0 else 1 / (1 + odds)
    q = 1 / (1 + odds) if eta < 0 else odds / (1 + odds)
    if name == "beta":
        a, b = p * OWN[name]["phi"], q * OWN[name]["phi"]
        # over B(a, b), of which the smaller shape's Γ is 1 / shape
        log_beta = special.gammaln(a + 1) - np.log(a) + special.gammaln(b + 1) - np.log(b)
        log_beta -= special.gammaln(a + b)
        parts = [
            integrate.quad(lambda x: x ** (a - 1) * (1 - x) ** (b - 1), *ends, epsabs=0, epsrel=1e-12)[0]
            for ends in ([(y, 1.0)] if eta < 0 else [(0.0, y)])
        ]
        small = np.log(parts[0]) - log_beta
        return (np.log1p(-np.exp(small)), small) if eta < 0 else (small, np.log1p(-np.exp(small)))
    k = np.arange(n + 1)
    logs = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    if name == "binomial":
        logs = logs + k * np.log(p) + (n - k) * np.log(q)
    else:
        a, b = p * OWN[name]["phi"], q * OWN[name]["phi"]
        rise = [[np.log(np.prod([s + i for i in range(int(m))])) for m in k] for s in (a, b)]
        logs = logs + np.array(rise[0]) + np.array(rise[1])[::-1]
        logs -= np.log(np.prod([a + b + i for i in range(int(n))]))
    below, above = special.logsumexp(logs[k <= y]), special.logsumexp(logs[k > y])
    return (np.log1p(-np.exp(above)), above) if eta < 0 else (below, np.log1p(-np.exp(below)))


@pytest.mark.parametrize("eta", [-40.0, -12.0, -5.0, 5.0, 12.0, 40.0])
@each_family
def test_nothing_is_lost_in_the_tails(name, eta):
    below, above = exact_tails(name, eta)
    for status, expected in ((LEFT, below), (RIGHT, above)):
        found = at(name, "cens(c)", [eta], cens=[status])
        value, scores = found.evaluate(Y[name][:1], *(n[:1] for n in counts(name)))
        assert_allclose(value[0], expected, rtol=1e-9, atol=1e-300)
        assert np.isfinite(scores).all()
        # far out the logarithm of the smaller probability is a line, the other's score vanishes
        if abs(eta) == 40 and name != "binomial":
            smaller = (status == LEFT) == (eta > 0)
            assert_allclose(scores[0][0], -np.sign(eta) if smaller else 0.0, atol=1e-9)


@pytest.mark.parametrize("a", [1e-12, 1e-5, 9e-4, 1.1e-3, 0.5, 3.0, 15.0, 3000.0])
@pytest.mark.parametrize("b", [1e-9, 9e-4, 0.3, 4.0, 30.0, 1000.0])
def test_the_derivatives_of_both_tails_of_a_beta_variable_are_differences(a, b):
    for odds in (-8.0, -2.0, 0.0, 0.5, 4.0):

        def logs(a, b, odds=odds):
            rest = [-np.logaddexp(0, -odds), -np.logaddexp(0, odds)]
            return np.array(beta_tails.compiled(a, b, *rest))

        found = logs(a, b)
        assert_allclose(np.exp(found[0]) + np.exp(found[4]), 1.0, rtol=1e-9)
        side = 0 if found[0] < found[4] else 4  # the smaller tail; the other follows from it
        small, other = found[side : side + 4], found[4 - side : 8 - side]
        assert_allclose(other[1:], -np.exp(small[0] - other[0]) * small[1:], rtol=1e-9, atol=1e-300)
        for place, (step_a, step_b) in enumerate([(a * 1e-3, 0.0), (0.0, b * 1e-3)], start=1):
            near, far = (
                logs(a + k * step_a, b + k * step_b)[side] - logs(a - k * step_a, b - k * step_b)[side]
                for k in (1, 2)
            )
            size = step_a + step_b
            rounding = 1e-14 * max(abs(small[0]), a + b, 1.0) / size
            assert_allclose(small[place], (8 * near - far) / (12 * size), rtol=2e-7, atol=rounding)


# -- what bounds leave ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", ["lb", "ub", "both"])
def test_moments_between_bounds_are_integrals(bounds):
    lower, upper = ENDS["beta"]
    stated = {"lb": lower, "ub": upper}
    truncated = at("beta", BOUNDS[bounds], ETA, **(stated if bounds == "both" else {bounds: stated[bounds]}))
    for place, p in enumerate(special.expit(ETA)):
        ends = lower[place] if bounds != "ub" else 0.0, upper[place] if bounds != "lb" else 1.0
        mass, first, second = (
            integrate.quad(lambda y, k=k, p=p: y**k * scipys("beta", p).pdf(y), *ends, epsabs=1e-12)[0]
            for k in range(3)
        )
        assert_allclose(truncated.mean()[place], first / mass, rtol=1e-7)
        assert_allclose(truncated.variance()[place], second / mass - (first / mass) ** 2, rtol=1e-6)


@pytest.mark.parametrize("name", ["binomial", "betabinomial"])
def test_counts_refuse_moments_between_bounds(name):
    truncated = at(name, "trunc(lb=l)", ETA, lb=ENDS[name][0])
    for moment in (truncated.mean, truncated.variance):
        with pytest.raises(UnsupportedError, match="has no"):
            moment()


@pytest.mark.parametrize("far", [False, True])
@each_family
def test_simulated_responses_lie_between_bounds_and_have_the_cdf(name, far):
    """Where a share of 1e-9 or less lies between the bounds too: then by the inverse."""
    lb, ub = ENDS[name]
    drawn = at(name, "trunc(lb=l, ub=u)", np.tile(ETA - 12 * far, (4000, 1)), lb=lb, ub=ub)
    y = drawn.simulate(np.random.default_rng(1), *counts(name))
    assert ((y >= lb) & (y <= ub)).all()
    upto = drawn.cdf(y, *counts(name))
    before = drawn.cdf(y - 1, *counts(name)) if name != "beta" else upto
    share = np.random.default_rng(2).uniform(before, np.maximum(before, upto))
    for column in share.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    ends = at(name, "trunc(lb=l, ub=u)", ETA, lb=lb, ub=ub)
    assert_allclose(ends.cdf(ub, *counts(name)), 1.0)
    assert_allclose(ends.cdf(lb - 1, *counts(name)), 0.0)


# -- models --------------------------------------------------------------------------------------------------------


def table_of(name: str, rows: int = 240, seed: int = 4) -> pd.DataFrame:
    """Responses of 24 groups: some beyond an upper limit, others known to an interval, or to no more than a limit."""
    rng, columns = grouped(rows, 24, seed)
    p, n = special.expit(columns["eta"]), rng.integers(6, 14, rows)
    y = scipys(name, p, n).rvs(random_state=rng)
    kind, step = np.arange(rows) % 3, 0.1 if name == "beta" else 2
    y = np.clip(y, 1e-9, 1 - 1e-9) if name == "beta" else y
    limits = (0.3, 0.7) if name == "beta" else (3, 6)
    begun = (np.ceil(y / step) - 1) * step
    status = np.where(
        (kind == 0) & (y > limits[1]), "right", np.where((kind == 1) & (y <= limits[0]), "left", "none")
    )
    status = np.where((kind == 2) & (begun > 0), "interval", status)
    seen = np.select(
        [status == "right", status == "left", status == "interval"], [limits[1], limits[0], begun], y
    )
    return pd.DataFrame(
        {
            "x": columns["x"],
            "g": columns["g"],
            "n": n,
            "y": seen,
            "end": begun + step,
            "status": status,
            "exact": y,
        }
    )


def formula_of(name: str, response: str, additions: str) -> str:
    trials = "" if name == "beta" else "trials(n) + "
    return f"{response} | {trials}{additions} ~ x + (1 | g)"


@pytest.mark.parametrize(
    ("response", "additions"), [("y", "cens(status, end)"), ("exact", "trunc(lb=low, ub=high)")]
)
@each_family
def test_the_kernel_is_the_graph(name, response, additions):
    rows = table_of(name, 120)
    low, high = (0.1, 0.95) if name == "beta" else (1, 12)
    rows = rows.assign(low=low, high=high)
    if response == "exact":
        rows = rows[(rows["exact"] >= low) & (rows["exact"] <= high)]
    assert_kernel_is_the_graph(hb.Model(formula_of(name, response, additions), rows, family=name))


@pytest.mark.slow
@each_family
def test_censored_responses_are_fitted_and_answered(name):
    model = hb.Model(formula_of(name, "y", "cens(status, end)"), table_of(name, 900), family=name)
    assert_works(model, {"x": 0.4, "Intercept": 0.0, "sd[g, Intercept]": 0.5} | OWN[name])


@pytest.mark.parametrize("name", with_slow(OWN, OWN.keys() - {"binomial"}))
def test_truncated_responses_are_fitted_and_answered(name):
    rows = table_of(name, 900)
    low = 0.2 if name == "beta" else 2
    rows = rows[rows["exact"] >= low]
    model = hb.Model(formula_of(name, "exact", f"trunc(lb={low})"), rows, family=name)
    fit = assert_works(model, {"x": 0.4, "Intercept": 0.0} | OWN[name])
    drawn = fit.predict(fit.data.iloc[:9], kind="response", output="draws").to_numpy()
    assert (drawn >= low).all()
    if name != "beta":
        with pytest.raises(UnsupportedError, match="has no expected response"):
            fit.predict(fit.data.iloc[:9])


def test_more_successes_than_trials_are_refused():
    rows = table_of("binomial").assign(status="none")
    rows.loc[3, ["status", "y"]] = "right", rows.loc[3, "n"]
    with pytest.raises(hb.DataError, match=r"nothing is left where the response 'y' may be, in row"):
        hb.Model(formula_of("binomial", "y", "cens(status)"), rows, family="binomial")
