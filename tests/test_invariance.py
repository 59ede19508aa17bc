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


def test_shifting_a_predictor_changes_nothing():
    shifted = _model(INTERCEPTS, lambda data: data.assign(Days=data["Days"] + 2000))
    constant = _assert_same_up_to_a_constant(_model(INTERCEPTS), shifted, lambda point: point)
    assert constant == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("formula", [INTERCEPTS, SLOPES, UNCORRELATED])
def test_rescaling_a_predictor_rescales_its_coefficients(formula):
    def change(point):
        point["b_slopes"] = point["b_slopes"] / 1000
        if point["sd_Subject_log__"].size == 2:
            point["sd_Subject_log__"] = point["sd_Subject_log__"] - [0.0, np.log(1000)]
        return point

    rescaled = _model(formula, lambda data: data.assign(Days=data["Days"] * 1000))
    _assert_same_up_to_a_constant(_model(formula), rescaled, change)


@pytest.mark.parametrize("formula", [INTERCEPTS, SLOPES])
def test_other_units_of_the_response_rescale_everything(formula):
    def change(point):
        for name in ("b_intercept", "b_slopes"):
            point[name] = point[name] / 1000
        for name in ("sd_Subject_log__", "sigma_log__"):
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


def test_a_varying_slope_far_from_zero_is_pointed_out():
    data = hb.load_dataset("sleepstudy")
    with pytest.warns(hb.DataWarning, match=r"far-from-zero.*center\(year\) \| Subject"):
        hb.Model("Reaction ~ year + (year | Subject)", data.assign(year=data["Days"] + 2000))
