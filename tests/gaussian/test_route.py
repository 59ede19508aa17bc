"""What is integrated out and what is sampled."""

import pytest

from hierbayes.engine.gaussian.route import choose_route


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
