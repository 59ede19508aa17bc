"""Pedigrees: relationships, inbreeding, the sparse inverse, and models of animals."""

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.data.relations import of_pedigree
from tests.families.fits import assert_kernel_is_the_graph
from tests.test_fields import Field


def random_pedigree(count: int, seed: int, founders: int = 6, unknown: float = 0.1) -> pd.DataFrame:
    """Animals whose parents are any before them, the same one twice now and then; rows in no order."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        parents = [None, None]
        if i >= founders:
            parents = [f"a{rng.integers(max(0, i - 12), i)}" for _ in range(2)]
            parents = [None if rng.random() < unknown else parent for parent in parents]
        rows.append((f"a{i}", *parents))
    return pd.DataFrame(rows, columns=["animal", "sire", "dam"]).sample(frac=1, random_state=seed)


def tabular(frame: pd.DataFrame) -> pd.DataFrame:
    """A by the tabular method, one entry after another (Emik & Terrill 1949), of animals named by number."""
    of = {row.animal: (row.sire, row.dam) for row in frame.itertuples()}
    names = sorted(of, key=lambda name: int(name[1:]))
    A = pd.DataFrame(0.0, names, names)
    for place, name in enumerate(names):
        known = [parent for parent in of[name] if isinstance(parent, str)]
        for other in names[:place]:
            A.loc[name, other] = A.loc[other, name] = sum(A.loc[parent, other] for parent in known) / 2
        A.loc[name, name] = 1 + (A.loc[known[0], known[1]] / 2 if len(known) == 2 else 0)
    return A


@pytest.mark.parametrize("seed", range(4))
def test_relationships_and_their_inverse_are_those_of_the_tabular_method(seed):
    frame = random_pedigree(45, seed)
    expected, found = tabular(frame), hb.pedigree(frame)
    order = list(found.labels)
    expected = expected.loc[order, order]
    assert expected.to_numpy().diagonal().max() > 1.1
    np.testing.assert_allclose(found.relationships().loc[order, order], expected, atol=1e-12)
    np.testing.assert_allclose(found.inverse().toarray() @ expected.to_numpy(), np.eye(45), atol=1e-9)
    np.testing.assert_allclose(found.inbreeding, expected.to_numpy().diagonal() - 1, atol=1e-12)
    np.testing.assert_allclose(
        -np.log(found.sampling_variances).sum(), -np.linalg.slogdet(expected).logabsdet, rtol=1e-10
    )


def test_parents_stand_before_their_offspring():
    found = hb.pedigree(random_pedigree(60, 1))
    for i, parents in enumerate(found.parents):
        assert (parents < i).all()


def test_selfing_halves_what_is_not_inbred():
    rows = {"animal": list("bcde"), "sire": list("abcd"), "dam": list("abcd")}
    found = hb.pedigree(rows)
    np.testing.assert_allclose(found.inbreeding[list("abcde")], [0, 1 / 2, 3 / 4, 7 / 8, 15 / 16])
    np.testing.assert_allclose(found.inverse() @ found.relationships().to_numpy(), np.eye(5), atol=1e-9)


def test_parents_without_a_row_are_founders_and_gaps_make_no_numbers_of_texts():
    found = hb.pedigree({"id": [3, 4], "f": [1, np.nan], "m": [2, 3]}, "id", ("f", "m"))
    assert set(found.labels) == {"1", "2", "3", "4"}
    A = found.relationships()
    assert (A.loc["3", "1"], A.loc["4", "3"], A.loc["4", "1"], A.loc["1", "2"]) == (0.5, 0.5, 0.25, 0.0)
    assert repr(found) == "Pedigree of 4 animals, 2 of them founders, 0 inbred"


@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        ({"animal": ["a", "a"], "sire": ["b", "c"], "dam": ["d", "d"]}, {}, "two rows of the animal 'a'"),
        (
            {"animal": ["a", "b"], "sire": ["b", "a"], "dam": [None, None]},
            {},
            "in a circle: 'a' is a child of",
        ),
        ({"animal": ["a"], "sire": ["a"], "dam": [None]}, {}, "'a' is a child of 'a'"),
        ({"animal": ["a", "b"], "sire": ["0", "0"], "dam": ["c", "c"]}, {}, "the parent '0', who has no row"),
        ({"animal": ["a", "b"], "sire": [0, 0], "dam": ["c", "c"]}, {}, "the parent '0', who has no row"),
        ({"animal": ["a", None], "sire": ["b", "b"], "dam": ["c", "c"]}, {}, "no animal in row 1"),
        ({"animal": [], "sire": [], "dam": []}, {}, "no rows"),
        ({"id": ["a"], "sire": ["b"], "dam": ["c"]}, {}, "say which column is which"),
        ({"animal": ["a"], "sire": ["b"]}, {"parents": ("sire",)}, "two columns of parents, not 1"),
    ],
)
def test_what_is_no_pedigree_says_why(rows, options, reason):
    with pytest.raises(hb.DataError, match=reason):
        hb.pedigree(rows, **options)


def test_a_thousand_generations_take_no_recursion():
    rows = {"animal": np.arange(1, 3000), "sire": np.arange(2999), "dam": [None] * 2999}
    rows["sire"] = [f"x{sire}" for sire in rows["sire"]]
    rows["animal"] = [f"x{animal}" for animal in rows["animal"]]
    found = hb.pedigree(rows)
    assert len(found) == 3000
    assert found.inverse().nnz == 3000 + 2 * 2999


# -- in models ---------------------------------------------------------------------------------------------------


def families(sires: int = 20, each: int = 4, seed: int = 2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Broods of full siblings, and a record of each."""
    rng = np.random.default_rng(seed)
    rows = [(f"c{s}.{k}", f"s{s}", f"d{s // 2}") for s in range(sires) for k in range(each)]
    frame = pd.DataFrame(rows, columns=["animal", "sire", "dam"])
    data = pd.DataFrame({"animal": frame["animal"], "y": rng.normal(size=len(frame))})
    return frame, data.assign(n=rng.poisson(2.0, size=len(data)))


def test_the_precision_is_written_down():
    pedigree = hb.pedigree(families()[0])
    precision = of_pedigree(pedigree)
    A = pedigree.relationships().to_numpy()
    np.testing.assert_allclose(precision.matrix.toarray(), np.linalg.inv(A), atol=1e-10)
    assert precision.log_determinant == pytest.approx(-np.linalg.slogdet(A).logabsdet, rel=1e-10)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_a_pedigree_is_its_matrix(family):
    """The same default priors and kernel as with A itself, whose inverse is computed."""
    frame, data = families()
    pedigree = hb.pedigree(frame)
    response = "y" if family == "gaussian" else "n"
    text = f"{response} ~ 1 + (1 | gr(animal, cov=A))"
    model = hb.Model(text, data, family, data2={"A": pedigree})
    dense = hb.Model(text, data, family, data2={"A": pedigree.relationships()})
    assert [str(own.prior) for own in model.spec.priors] == [str(own.prior) for own in dense.spec.priors]
    (factor,) = model.spec.layout.main.factors
    assert factor.precision is not None
    position = np.random.default_rng(4).normal(scale=0.3, size=Field(model).packed.dim)
    (value, gradient), (expected, slopes) = (
        (found[0], found[1].copy()) for found in (Field(one).evaluate(position) for one in (model, dense))
    )
    assert value == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-7)


def test_few_animals_have_a_dense_matrix():
    frame, data = families(4, 3)
    model = hb.Model("y ~ 1 + (1 | gr(animal, cov=A))", data, data2={"A": hb.pedigree(frame)})
    assert model.spec.layout.main.factors[0].precision is None
    assert_kernel_is_the_graph(model)


def test_fits_are_saved_with_their_pedigree(known_fit, tmp_path):
    frame, data = families()
    pedigree = hb.pedigree(frame)
    model = hb.Model("n ~ 1 + (1 | gr(animal, cov=A))", data, "poisson", data2={"A": pedigree})
    rng = np.random.default_rng(3)
    values = {"r_animal": rng.normal(size=(2000, 80, 1)), "sd_animal": np.full((2000, 1), 0.7)}
    fit = known_fit(model, values)
    fit.save(tmp_path / "fit.nc")
    loaded = hb.load(tmp_path / "fit.nc")
    stored = loaded.spec.layout.matrices["A"]
    assert list(stored.labels) == list(pedigree.labels)
    np.testing.assert_array_equal(stored.parents, pedigree.parents)
    new = {"animal": ["s3", "d1", "c4.0"]}
    pd.testing.assert_frame_equal(loaded.predict(new, seed=1), fit.predict(new, seed=1))
    # parents without records, given their offspring: the dense conditional normal
    found = fit.predict(new, kind="linear", output="draws", seed=1).to_numpy().reshape(-1, 3)
    A = pedigree.relationships()
    labels = list(model.spec.layout.main.factors[0].levels.texts)
    weights = np.linalg.solve(A.loc[labels, labels], A.loc[labels, ["s3", "d1"]]).T
    left = A.loc[["s3", "d1"], ["s3", "d1"]].to_numpy() - weights @ A.loc[labels, ["s3", "d1"]].to_numpy()
    off = found[:, :2] - values["r_animal"][..., 0] @ weights.T
    z = np.linalg.solve(0.7 * np.linalg.cholesky(left), off.T)
    assert np.abs(z.mean(axis=1)).max() < 4.5 / 2000**0.5
    assert np.abs(z @ z.T / 2000 - np.eye(2)).max() < 4.5 * (2 / 2000) ** 0.5


def test_what_is_no_pedigree_of_the_rows_says_why():
    frame, data = families(4, 3)
    pedigree = hb.pedigree(frame[frame["animal"] != "c1.1"])
    with pytest.raises(hb.DataError, match=r"no row for 'c1\.1'"):
        hb.Model("y ~ 1 + (1 | gr(animal, cov=A))", data, data2={"A": pedigree})
    with pytest.raises(hb.DataError, match="Pedigree; it must be"):
        hb.Model('y ~ 1 + (1 | gr(animal, car=A, type="icar"))', data, data2={"A": pedigree})
    with pytest.raises(hb.DataError, match=r"hb\.pedigree\(data\) makes"):
        hb.Model("y ~ 1 + (1 | gr(animal, cov=A))", data, data2={"A": pedigree.inverse()})
