"""Other families in whitened coordinates against NUTS on the graph, on responses that they simulate."""

import pytest

from hierbayes.simulation import sample_prior, simulate_responses
from tests.calibration.designs import FAMILIES
from tests.equality.comparing import compare

SETTINGS = {setting.name: setting for setting in FAMILIES}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_the_posterior_is_that_of_nuts(name):
    setting = SETTINGS[name]
    rows = setting.rows()
    blank = setting.model(rows)
    responses = simulate_responses(blank.spec, sample_prior(blank.spec, 1, 5), blank.design, 5)
    y = next(iter(responses.data_vars.values())).to_numpy()[0, 0]
    compare(setting.model(rows.assign(y=y)), "whitened")
