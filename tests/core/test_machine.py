"""Kernels as C functions: their words, their threads, and their machine code on disk."""

import threading
from pathlib import Path

import numpy as np
import pytest

from hierbayes.answers import rowloops
from hierbayes.engine.core import machine
from hierbayes.engine.core.arguments import ROUTINE, layout_of, make_table, words_of
from hierbayes.engine.core.density import FUNCTION, Evaluator
from hierbayes.engine.core.routine import run
from tests.core.kernels import Shape, gamma_density, log_gamma, triangle, triangle_density


def test_values_and_gradients_are_the_kernels():
    density = triangle_density(3)
    evaluate = density.evaluator()
    for position in ([0.5, 0.6, 0.7], [0.5, 2.0, 0.7]):
        gradient = np.zeros(3)
        expected = triangle(np.array(position), gradient, *density.constants, *density.make_memory())
        value, found = evaluate(np.array(position))
        assert value == expected
        np.testing.assert_array_equal(found, gradient)


def test_a_layout_is_types_and_dimensions_alone():
    shape = Shape(np.zeros(2), np.zeros((3, 1)))
    assert layout_of((shape, np.zeros(1, np.uint32))) == "Shape(float64[1],float64[2]),uint32[1]"


def test_arrays_with_gaps_are_refused():
    with pytest.raises(ValueError, match=r"array 1 .* shape \(3, 2\), is not contiguous"):
        words_of([np.zeros(2), np.zeros((2, 3)).T])


def test_threads_never_share_memory():
    """Each call counts itself without a lock: a count is lost if two threads ever have the same memory."""
    density = triangle_density(2)
    table = density.table(4)
    function = FUNCTION(density.address(table))
    calls, wrong = 30_000, []

    def work() -> None:
        position, gradient, value = np.array([0.3, 0.9]), np.zeros(2), np.zeros(1)
        places = [a.ctypes.data for a in (position, gradient, value, table.words)]
        for _ in range(calls):
            function(2, *places)
        if abs(value[0] - np.log(0.3 * 0.9)) > 1e-12:
            wrong.append(value[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sum(int(arguments[-1][0]) for arguments in table.arguments) == 4 * calls
    assert not table.words[1:, 0].any()  # all are free again


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty place for machine code, and a process that has none."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(machine, "_loaded", {})
    monkeypatch.setattr(machine, "_absent", set())
    return tmp_path / "hierbayes"


def evaluated() -> tuple[float, list[float]]:
    value, gradient = Evaluator(gamma_density(2))(np.array([0.1, 0.2]))
    return value, gradient.tolist()


def no_compiler(*_):
    raise AssertionError("compiled though machine code was there")


def test_machine_code_is_kept(monkeypatch, folder):
    expected = evaluated()
    (file,) = folder.iterdir()
    assert file.stat().st_size < 20_000
    monkeypatch.setattr(machine, "_loaded", {})
    monkeypatch.setattr(machine, "machine_code", no_compiler)
    assert evaluated() == expected


@pytest.mark.parametrize("harm", [lambda code: code[:100], lambda code: code[:-1] + b"?", lambda code: b""])
def test_a_damaged_file_is_made_anew(monkeypatch, folder, harm):
    expected = evaluated()
    (file,) = folder.iterdir()
    file.write_bytes(harm(file.read_bytes()))
    assert machine.read(file.name) is None
    monkeypatch.setattr(machine, "_loaded", {})
    assert evaluated() == expected
    assert machine.read(file.name)


def test_nowhere_to_write_is_no_trouble(monkeypatch, folder):
    folder.write_text("a file where the folder should be")
    assert evaluated()[0] == pytest.approx(3 * 0.3 - np.exp(0.1) - np.exp(0.2))


def test_other_sources_are_other_code(monkeypatch, tmp_path):
    """What a kernel imports counts, however far away; other files don't."""
    for name, text in {
        "engine/core/entry": "",
        "engine/core/arguments": "",
        "engine/a": "from hierbayes.engine import b\n",
        "engine/b": "import numpy\nfrom hierbayes import (\n    c,\n)\n",
        "c": "from hierbayes.engine.e import f\n",
        "engine/e": "",
        "d": "",
    }.items():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(machine, "PACKAGE", tmp_path)

    def digest() -> str:
        machine.sources_of.cache_clear()
        return machine.sources_of("hierbayes.engine.a")

    before = digest()
    (tmp_path / "d.py").write_text("changed = 1")
    assert digest() == before
    (tmp_path / "engine/e.py").write_text("f = 2\n")
    assert digest() != before
    machine.sources_of.cache_clear()


def test_a_kernel_elsewhere_has_its_own_file_looked_at():
    assert log_gamma.__module__ == "tests.core.kernels"
    assert machine.sources_of("tests.core.kernels") != machine.sources_of("tests.core.test_nuts")
    assert Path(machine.PACKAGE / "engine" / "core" / "entry.py").exists()


def test_rows_are_lines_apart():
    table = make_table([(np.zeros(3),), (np.ones(3),)])
    assert table.words.shape[1] % 16 == 0
    assert table.words[0, :2].tolist() == list(table.words.shape)
    assert table.words[2, 2] == table.arguments[1][0].ctypes.data


def test_a_routine_takes_any_arrays_and_names(folder):
    """By its function or by its name, ready or not, and arrays with gaps as any."""
    name = "hierbayes.answers.rowloops.add_effects"
    codes, z, r = np.array([1, 0, 1]), np.arange(6.0).reshape(3, 2), np.arange(16.0).reshape(2, 2, 4)
    expected = np.einsum("ij,ijs->is", z, r[codes])
    gaps = np.asfortranarray(z), np.asfortranarray(r)
    for kernel, arrays in ((name, (z, r)), (name, gaps), (rowloops.add_effects, (z, r))):
        for _ in range(2):
            out = np.zeros((3, 4))
            run(kernel, codes, *arrays, out)
            np.testing.assert_array_equal(out, expected)
            machine.address_of(ROUTINE, name, (codes, z, r, out))


def test_moments_are_numpys():
    values = np.random.default_rng(1).normal(1e6, 1.0, (5, 101))
    values[3, 7], values[4, 2] = np.inf, np.nan
    means, sds = np.empty(5), np.empty(5)
    rowloops.set_moments(values, means, sds)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(means, values.mean(axis=1), rtol=1e-14)
        np.testing.assert_allclose(sds, values.std(axis=1, ddof=1), rtol=1e-9)
    rowloops.set_moments(values[:, :1].copy(), means, sds)
    assert np.isnan(sds).all()
