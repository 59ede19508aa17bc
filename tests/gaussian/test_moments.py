"""Cross-products: against dense matrices, additive, accurate."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hierbayes.engine.gaussian import moments as module
from hierbayes.engine.gaussian.moments import Moments, Reference, moments, reference
from tests.gaussian import problems as ref
from tests.gaussian.problems import PROBLEMS


def assert_same(a: Moments, b: Moments) -> None:
    assert a.n == pytest.approx(b.n)
    for x, y in zip((a.dense, *a.within, *a.with_dense), (b.dense, *b.within, *b.with_dense), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-10)
    for x, y in zip(a.pairs, b.pairs, strict=True):
        np.testing.assert_array_equal(x.keys, y.keys)
        np.testing.assert_allclose(x.values, y.values, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "name", ["three crossed", "weights and offset", "nested", "empty levels", "no intercept"]
)
def test_moments_are_the_dense_cross_products(name: str) -> None:
    made = PROBLEMS[name]()
    m = moments(made)
    A = made.X - made.centre
    A = np.column_stack([A, ref.response(made) - A @ m.reference.b])
    w = ref.weight(made)[:, None]
    np.testing.assert_allclose(m.dense, A.T @ (A * w), rtol=1e-10, atol=1e-10)
    columns = [np.eye(f.n_levels)[f.codes][:, :, None] * f.Z[:, None, :] for f in made.factors]
    for k, f in enumerate(made.factors):
        np.testing.assert_allclose(
            m.within[k], np.einsum("nga,ngb->gab", columns[k] * w[..., None], columns[k])
        )
        np.testing.assert_allclose(
            m.with_dense[k], np.einsum("nga,nj->gaj", columns[k] * w[..., None], A), rtol=1e-10, atol=1e-10
        )
        for other in range(len(made.factors)):
            if other != k:
                level, other_level, values = m.pair(k, other)
                found = np.zeros((f.n_levels, made.factors[other].n_levels, *values.shape[1:]))
                found[level, other_level] = values
                expected = np.einsum("nga,nhb->ghab", columns[k] * w[..., None], columns[other])
                np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["three crossed", "weights and offset", "no factor"]),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_moments_of_parts_add_to_those_of_the_whole(name: str, first: int, second: int) -> None:
    made = PROBLEMS[name]()
    about = reference(made)
    a, b = sorted((first, second))
    parts = [moments(made.rows(slice(*bounds)), about) for bounds in ((0, a), (a, b), (b, 60))]
    assert_same(parts[0] + parts[1] + parts[2], moments(made, about))
    assert_same(parts[2] + parts[0] + parts[1], moments(made, about))


def test_moments_about_different_points_do_not_add() -> None:
    made = PROBLEMS["q = 2"]()
    with pytest.raises(ValueError, match="references"):
        moments(made) + moments(made, Reference(made.centre, np.zeros(3)))


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    made = PROBLEMS["three crossed"]()
    whole = moments(made)
    monkeypatch.setattr(module, "CHUNK", 7)
    assert_same(moments(made, whole.reference), whole)


def test_keys_are_the_same_by_table_and_by_sorting() -> None:
    keys = np.random.default_rng(0).integers(0, 50, 30)
    for small, large in zip(module._number(keys, 50), module._number(keys, 10**12), strict=True):
        np.testing.assert_array_equal(small, large)


def test_reference_takes_out_a_large_mean_without_an_intercept() -> None:
    made = PROBLEMS["no intercept"]()
    made = replace(made, X=np.eye(2)[np.arange(60) % 2], y=made.y + 1e6)
    assert moments(made).dense[-1, -1] < 1e4


def test_reference_survives_a_repeated_column() -> None:
    made = PROBLEMS["q = 2"]()
    made = replace(made, X=made.X[:, [0, 1, 1]], centre=made.centre[[0, 1, 1]])
    assert np.all(np.abs(reference(made).b) < 100)
