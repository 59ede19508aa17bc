"""Units don't matter: shifting or rescaling a column changes the posterior by the change of units and nothing else.

The graph's log density is a function of its free variables. After a change of units the same posterior has to come out
at the changed values, up to the constant that the density picks up from the change of variables.
"""

import numpy as np
import pytest

import hierbayes as hb

SLOPES = "Reaction ~ Days + (Days | Subject)"
INTERCEPTS = "Reaction ~ Days + (1 | Subject)"
UNCORRELATED = "Reaction ~ Days + (Days || Subject)"


def _log_density(model):
    """The joint log density as a function of a point, compiled lightly."""
    graph = model.graph()
    return graph.initial_point(), graph.compile_logp(mode="FAST_COMPILE")


def _points(start, count=3):
    rng = np.random.default_rng(5)
    return [
        {name: value + 0.3 * rng.normal(size=np.shape(value)) for name, value in start.items()}
        for _ in range(count)
    ]


def _assert_same_up_to_a_constant(before, after, change):
    start, density = _log_density(before)
    _, changed_density = _log_density(after)
    points = _points(start)
    constants = [float(changed_density(change(dict(point))) - density(point)) for point in points]
    np.testing.assert_allclose(constants, constants[0], rtol=0, atol=1e-7)
    return constants[0]


def _model(formula, change=lambda data: data):
    return hb.Model(formula, change(hb.load_dataset("sleepstudy")))


@pytest.mark.parametrize("formula", [INTERCEPTS, SLOPES])
def test_shifting_a_predictor_changes_nothing(formula):
    shifted = _model(formula, lambda data: data.assign(Days=data["Days"] + 2000))
    constant = _assert_same_up_to_a_constant(_model(formula), shifted, lambda point: point)
    assert constant == pytest.approx(0.0, abs=1e-7)


def test_the_answers_at_another_zero_are_the_same_answers():
    """What a shift leaves alone: slopes, sigma, predictions; the intercepts are those at the new zero."""
    before, after = (
        _model(SLOPES, lambda data, by=by: data.assign(Days=data["Days"] + by)).fit(seed=1, progress=False)
        for by in (0, 2000)
    )
    here, there = before.posterior, after.posterior
    for name in ("sigma", "sd_Subject", "r_Subject", "b"):
        slopes = {dim: "Days" for dim in here[name].dims if dim in ("coef", "Subject_effect")}
        np.testing.assert_allclose(there[name].sel(slopes), here[name].sel(slopes), rtol=1e-6)
    new = {"Days": [0.0, 9.0, 4.0], "Subject": ["308", "nobody", None]}
    moved = new | {"Days": [2000.0, 2009.0, 2004.0]}
    expected = before.predict(new, output="draws", seed=3).to_numpy()
    found = after.predict(moved, output="draws", seed=4).to_numpy()
    np.testing.assert_allclose(found[..., 0], expected[..., 0], rtol=1e-6)
    for row in (
        1,
        2,
    ):  # new subjects: the same distribution, the same draws of the population, other draws of them
        gap = found[..., row] - expected[..., row]
        assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(gap.size)
        assert found[..., row].std() == pytest.approx(expected[..., row].std(), rel=0.06)
    r, slope = (there["r_Subject"].sel(Subject_effect=name) for name in ("Intercept", "Days"))
    np.testing.assert_allclose(r + 2000 * slope, here["r_Subject"].sel(Subject_effect="Intercept"), atol=1e-5)


@pytest.mark.parametrize("formula", [INTERCEPTS, SLOPES, UNCORRELATED])
def test_rescaling_a_predictor_rescales_its_coefficients(formula):
    def change(point):
        point["b_slopes"] = point["b_slopes"] / 1000
        name = "sd_Subject_centred_log__" if formula == SLOPES else "sd_Subject_log__"
        if point[name].size == 2:
            point[name] = point[name] - [0.0, np.log(1000)]
        return point

    rescaled = _model(formula, lambda data: data.assign(Days=data["Days"] * 1000))
    _assert_same_up_to_a_constant(_model(formula), rescaled, change)


@pytest.mark.parametrize("formula", [INTERCEPTS, SLOPES])
def test_other_units_of_the_response_rescale_everything(formula):
    def change(point):
        for name in ("b_intercept", "b_slopes"):
            point[name] = point[name] / 1000
        sd = "sd_Subject_centred_log__" if formula == SLOPES else "sd_Subject_log__"
        for name in (sd, "sigma_log__"):
            point[name] = point[name] - np.log(1000)
        return point

    seconds = _model(formula, lambda data: data.assign(Reaction=data["Reaction"] / 1000))
    _assert_same_up_to_a_constant(_model(formula), seconds, change)


def test_shifting_the_response_shifts_only_the_intercept():
    def change(point):
        point["b_intercept"] = point["b_intercept"] + 5000.0
        return point

    shifted = _model(SLOPES, lambda data: data.assign(Reaction=data["Reaction"] + 5000))
    constant = _assert_same_up_to_a_constant(_model(SLOPES), shifted, change)
    assert constant == pytest.approx(0.0, abs=1e-7)


def test_a_count_models_predictor_may_be_in_any_unit():
    formula = "count ~ zAge + zBase*Trt + (1 | patient)"
    data = hb.load_dataset("epilepsy")
    before = hb.Model(formula, data, family="poisson")
    after = hb.Model(formula, data.assign(zAge=1000 * data["zAge"] + 2000), family="poisson")
    place = before.spec.layout.predictors["mu"].coefficients.index("zAge") - 1

    def change(point):
        point["b_slopes"] = point["b_slopes"].copy()
        point["b_slopes"][place] /= 1000
        return point

    _assert_same_up_to_a_constant(before, after, change)


def test_an_uncorrelated_slope_far_from_zero_is_pointed_out():
    data = hb.load_dataset("sleepstudy")
    with pytest.warns(hb.DataWarning, match=r"far-from-zero.*\(year \| Subject\)"):
        hb.Model("Reaction ~ year + (year || Subject)", data.assign(year=data["Days"] + 2000))
