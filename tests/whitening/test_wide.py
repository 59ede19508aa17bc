"""Many independent effects of one level: smooths, processes, related levels and areas."""

import numpy as np
import pytest

import hierbayes as hb
from hierbayes.engine.whitening.packing import IS_WIDE, Q
from tests.families.fits import Graph
from tests.test_areas import DATA, PAIRS
from tests.test_relations import MATRIX
from tests.whitening.points import Whitened, assert_density

RELATED = MATRIX.set_axis([f"a{i}" for i in range(12)]).set_axis([f"a{i}" for i in range(12)], axis=1)
FRAME = DATA.assign(z=np.linspace(0, 3, len(DATA)) ** 1.5)


@pytest.fixture
def few_are_wide(monkeypatch):
    monkeypatch.setattr("hierbayes.engine.whitening.stacked.WIDE", 4)


@pytest.mark.parametrize(
    ("formula", "wide"),
    [
        ('n ~ x + (1 | gr(g, car=W, type="icar"))', [10]),
        ('n ~ x + (1 | gr(g, car=W, type="bym2"))', [10]),
        ('n ~ x + (1 | gr(g, car=W, type="car")) + (1 | h)', [12]),
        ("n ~ x + (x || gr(g, cov=A)) + (1 | h)", [20]),
        ("n ~ s(z) + (1 | gr(g, cov=A)) + (x | h)", [10, 8]),
        ("n ~ gp(z, k=6) + (1 | h)", [6]),
    ],
)
def test_kernel_is_the_graph(few_are_wide, formula, wide):
    model = hb.Model(formula, FRAME, "poisson", data2={"W": PAIRS, "A": RELATED})
    whitened = assert_density(model, Graph(model.graph()), scale=0.3)
    factors = whitened.packed.model.factors
    assert factors[factors[:, IS_WIDE] == 1, Q].tolist() == wide
    assert whitened.start.converged


def test_coordinates_are_independent_at_the_start(few_are_wide):
    """Given theta the posterior of a normal response is N(0, I) in them, at the start and at any other sd."""
    model = hb.Model('y ~ x + (1 | gr(g, car=W, type="icar"))', FRAME, data2={"W": PAIRS})
    whitened = Whitened(model)
    n_theta = whitened.packed.n_theta
    for sd, most in ((0.0, 0.01), (1.5, 0.5)):
        position = np.zeros(whitened.packed.dim)
        position[1] = sd
        score = whitened.evaluate(position)[1].copy()
        units = np.eye(whitened.packed.dim)[n_theta:]
        curvature = np.array([score - whitened.evaluate(position + unit)[1] for unit in units])[:, n_theta:]
        assert np.abs(curvature - np.eye(len(units))).max() < most
