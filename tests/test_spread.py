"""Spreads: additive over rows, however they are split."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hierbayes.data.spread import spread_of

RNG = np.random.default_rng(1)
COLUMNS = np.column_stack(
    [RNG.normal(size=500), 1e6 + RNG.normal(size=500), 1e-3 * RNG.normal(size=500), np.full(500, 0.1)]
)
WEIGHTS = RNG.integers(0, 4, size=500).astype(float)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("cuts", [[250], [1, 2, 499], [100, 200, 300, 400]])
def test_parts_add_up_to_the_whole(weights, cuts):
    order = np.argsort(COLUMNS[:, 0])  # the parts' means lie far apart
    rows, w = COLUMNS[order], None if weights is None else weights[order]
    parts = np.split(np.arange(500), cuts)
    first, *rest = [spread_of(rows[part], None if w is None else w[part]) for part in parts]
    total = sum(rest, start=first)
    expected = np.average(rows, axis=0, weights=w)
    variance = np.average((rows - expected) ** 2, axis=0, weights=w)
    assert total.weight == (500 if w is None else w.sum())
    assert_allclose(total.means, expected, rtol=1e-13, atol=1e-15)
    assert_allclose(total.deviations[:3] ** 2, variance[:3], rtol=1e-9)
    assert_array_equal(total.low, rows.min(axis=0))
    assert_array_equal(total.high, rows.max(axis=0))
    assert total.constant.tolist() == [False, False, False, True]
    assert total.scales[3] == 1.0


def test_rows_without_weight_change_no_mean():
    some, none = spread_of(COLUMNS[:10]), spread_of(COLUMNS[10:20], np.zeros(10))
    for joined in (some + none, none + some):
        assert_allclose(joined.means, some.means, rtol=1e-14)
        assert_allclose(joined.products, some.products, rtol=1e-14)
    assert (none + none).weight == 0
