"""What is integrated out and what is sampled."""

import numpy as np
import pytest

from hierbayes.engine.gaussian.route import chain_of, choose_route


@pytest.mark.parametrize(
    ("factors", "rows", "primary", "sampled"),
    [
        ([], 100, -1, ()),
        ([(18, 2)], 180, 0, ()),
        ([(6, 2), (5, 3)], 60, 1, ()),  # 15 effects are more than 12
        ([(24, 1), (6, 1)], 144, 0, ()),
        ([(2972, 1), (1128, 1), (14, 1)], 73_421, 0, (1, 2)),
        ([(14, 1), (1128, 1), (2972, 1)], 73_421, 2, (0, 1)),
        ([(2000, 1), (700, 1)], 60, 0, (1,)),
        ([(5000, 1), (3000, 1), (3, 1)], 500_000, 0, (1,)),  # few levels are always integrated out
        ([(5000, 1), (3000, 1), (9, 1), (4, 1)], 500_000, 0, (1,)),
    ],
)
def test_the_cheaper_way_is_taken(factors, rows, primary, sampled):
    route = choose_route(2, factors, rows)
    assert (route.primary, route.sampled) == (primary, sampled)
    integrated = [q * levels for k, (levels, q) in enumerate(factors) if k != primary and k not in sampled]
    assert route.columns == 2 + sum(integrated)
    assert route.seconds > 0


def test_a_gradient_is_dearer_with_more_of_anything():
    base = choose_route(2, [(300, 1), (20, 1)], 3000).seconds
    for p, factors, rows in (
        (60, [(300, 1), (20, 1)], 3000),
        (2, [(3000, 1), (20, 1)], 30_000),
        (2, [(300, 3), (20, 3)], 3000),
    ):
        assert choose_route(p, factors, rows).seconds > base


@pytest.mark.parametrize(
    ("p", "factors", "surely"),
    [
        (2, [(18, 2)], True),
        (2, [(60, 2), (1700, 2)], True),
        (4, [(131, 1), (2410, 1)], True),
        (15, [(1000, 2)], False),  # cheaper only if levels can be merged
    ],
)
def test_a_chain_is_eliminated_where_that_is_cheaper(p, factors, surely):
    route = choose_route(p, factors, 8000, nested=True)
    assert route.sampled == ()
    assert (route.seconds == route.chained) is surely
    assert choose_route(p, factors, 8000).chained == np.inf


def test_a_chain_goes_from_the_innermost_factor_outwards():
    school = np.array([0, 1, 2, 3, 4, 5, 5, 0])
    town, month = school // 2, np.arange(8) % 2
    codes = [town, month, school]
    assert chain_of([3, 6], lambda j, k: (codes[2 * j], codes[2 * k])) == (1, 0)
    assert chain_of([3, 2, 6], lambda j, k: (codes[j], codes[k])) == ()  # months are crossed with towns
    assert chain_of([3], lambda j, k: pytest.fail("nothing to compare")) == (0,)
    assert chain_of([], lambda j, k: pytest.fail("nothing to compare")) == ()
