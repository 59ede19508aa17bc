"""Two hundred replications of every setting: minutes each, run with ``-m slow``."""

import pytest

from tests.calibration.designs import SETTINGS
from tests.calibration.simulation import KEPT, calibrate
from tests.calibration.uniformity import p_value

REPLICATIONS = 200
LEVEL = 0.01  # chance that a right engine fails somewhere, over all quantities of all settings


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_the_truth_is_anywhere_among_the_draws(name):
    found = calibrate(SETTINGS[name], REPLICATIONS, seed=1)
    p = {quantity: p_value(ranks, KEPT) for quantity, ranks in found.ranks.items()}
    limit = LEVEL / (len(p) * len(SETTINGS))
    assert min(p.values()) > limit, {quantity: value for quantity, value in p.items() if value <= limit}
