"""Every family's posterior is that of NUTS on the graph: minutes each, run with ``-m slow``."""

import pytest

from tests.equality.cases import CASES
from tests.equality.comparing import compare
from tests.test_families import TEN


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")  # of the data that upset approximations
@pytest.mark.parametrize("name", CASES)
def test_the_posterior_is_that_of_nuts(name):
    found = compare(CASES[name].model(), CASES[name].strategy)
    assert found.far.empty, found.far.to_string()


@pytest.mark.slow
def test_every_family_is_compared():
    assert {case.family for case in CASES.values()} == set(TEN)
