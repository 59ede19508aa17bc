"""The whitening map: about the point that it is made about, the posterior is N(0, I) given theta."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.engine.whitened import to_question
from hierbayes.engine.whitening import laplace
from hierbayes.engine.whitening.laplace import laplace_start
from hierbayes.engine.whitening.packing import CONDITIONAL

N = 120


def rows(seed: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b, x = rng.integers(0, 9, N), rng.integers(2, 10, N), rng.normal(size=N)
    counts = rng.poisson(np.exp(0.3 + 0.2 * x + 0.3 * rng.normal(size=10)[a]))
    return pd.DataFrame(
        {"a": a, "b": b, "h": rng.integers(0, 5, N), "x": x, "w": rng.uniform(size=N), "n": counts}
    )


def curvature(model: hb.Model) -> np.ndarray:
    """Second derivatives of a model's log density in its whitened coordinates, where the map was first made."""
    found = []

    def climb(evaluate, start, fixed, n_theta, steps):
        if not found:
            moved = 1e-4 * np.eye(len(start))[n_theta:]
            each = [evaluate(start + e)[1].copy() - evaluate(start - e)[1] for e in moved]
            found.append(np.array(each)[:, n_theta:] / 2e-4)
        return start, 0.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laplace, "climb", climb)
        laplace.laplace_start(to_question(model.spec, model.design))
    return found[0]


@pytest.mark.parametrize(
    "terms",
    [
        "(x | a) + (1 | h)",
        "(x | a) + (x | b)",
        "(x || a) + (x | b) + (1 | h)",
        "(1 | mm(a, b))",
        "(x | mm(a, b, weights=cbind(w, I(1 - w))))",
        "(x | mm(a, b, weights=cbind(w, 1 - w))) + (x | h) + (1 | a)",
    ],
)
@pytest.mark.filterwarnings("ignore::hierbayes.errors.DataWarning")
def test_the_density_has_unit_curvature_where_the_map_was_made(terms):
    found = curvature(hb.Model(f"n ~ x + {terms}", rows(), "poisson"))
    np.testing.assert_allclose(found, -np.eye(len(found)), atol=1e-5)


def test_factors_that_nest_all_larger_ones_are_eliminated():
    """Of a dense factor the map follows its own standard deviation, and not those of the factors within its levels."""
    rng = np.random.default_rng(1)
    brood = np.repeat(np.arange(30), 3)
    frame = pd.DataFrame(
        {"y": rng.poisson(2.0, size=90), "row": np.arange(90), "brood": brood, "place": brood // 3}
    )
    frame["year"] = frame["row"] % 7

    def conditional(formula):
        model = hb.Model(formula, frame, family="poisson")
        return int(laplace_start(to_question(model.spec, model.design)).packed.model.sizes[CONDITIONAL])

    assert conditional("y ~ 1 + (1 | row) + (1 | brood) + (1 | place)") == 3
    assert (
        conditional("y ~ 1 + (1 | row) + (1 | brood) + (1 | place) + (1 | year)") == 3
    )  # crossed with those above
    assert conditional("y ~ 1 + (1 | brood) + (1 | year)") == 1
