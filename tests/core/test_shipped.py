"""The kernels that come with the package: they are numba's, and where they don't fit numba takes over."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hierbayes.engine.core import arguments, machine, shipped
from hierbayes.engine.core.density import FUNCTION
from hierbayes.engine.gaussian.collapsed import density_of, prepare
from tests.gaussian.problems import PROBLEMS

ROOT = Path(__file__).parents[2]
NAMES = list(shipped.contents().get("kernels", {}))
HERE = shipped.contents().get("machine") == machine.llvm.get_default_triple()


def test_they_are_there_and_small():
    assert len(NAMES) >= 10
    assert sum(path.stat().st_size for path in shipped.FOLDER.iterdir()) < 2e6


@pytest.mark.skipif(not HERE, reason="they are made for another kind of machine")
@pytest.mark.parametrize("name", ["q = 2", "nested", "two crossed, slopes"])
def test_densities_are_numbas(name):
    model, _ = prepare(PROBLEMS[name]())
    density = density_of(model)
    table = density.table(1)
    key = machine.key_of(arguments.DENSITY, density.kernel, table.arguments[0])
    module = shipped.shipped_module(key, shipped.contents()["kernels"][key[0]]["sources"])
    function = FUNCTION(machine.link(machine.machine_code(module)))
    rng = np.random.default_rng(1)
    for _ in range(5):
        position, gradient, value = 0.5 * rng.normal(size=density.dim), np.zeros(density.dim), np.zeros(1)
        function(density.dim, *[array.ctypes.data for array in (position, gradient, value, table.words)])
        expected = np.zeros(density.dim)
        assert value[0] == pytest.approx(
            density.kernel(position, expected, *density.constants, *density.make_memory()), rel=1e-12
        )
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("change", ["sources", "layout", "machine", "llvm", "file", "damage"])
def test_what_does_not_fit_is_left_alone(monkeypatch, tmp_path, change):
    contents = json.loads(json.dumps(shipped.contents()))
    name = NAMES[0]
    kernel = contents["kernels"][name]
    key = name, kernel["kind"], kernel["layout"]
    contents["machine"] = machine.llvm.get_default_triple()
    monkeypatch.setattr(shipped, "contents", lambda: contents)
    assert shipped.shipped_module(key, kernel["sources"]) is not None
    asked = kernel["sources"]
    if change == "sources":
        asked = "others"
    elif change == "layout":
        key = (*key[:2], key[2].replace("float64", "float32"))
    elif change == "machine":
        contents["machine"] = "z80-unknown"
    elif change == "llvm":
        contents["llvm"] = machine.llvm.llvm_version_info[0] + 1
    elif change == "file":
        kernel["file"] = "absent.bc.xz"
    else:
        (tmp_path / kernel["file"]).write_bytes(b"no code")
        monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    assert shipped.shipped_module(key, asked) is None


@pytest.mark.skipif(not HERE, reason="they are made for another kind of machine")
def test_a_first_fit_compiles_nothing(tmp_path):
    """In an empty folder for machine code, numba's compiler is never asked."""
    stale = [
        k
        for k in NAMES
        if shipped.contents()["kernels"][k]["sources"] != machine.sources_of(k.rpartition(".")[0])
    ]
    if stale:
        pytest.skip(f"sources have changed since python .ci/kernels.py was run: {', '.join(stale)}")
    code = (
        "import numba.core.event as event, hierbayes as hb\n"
        "with event.install_recorder('numba:compile') as compiled:\n"
        "    data = hb.load_dataset('sleepstudy')\n"
        "    fit = hb.fit('Reaction ~ Days + (Days | Subject)', data, seed=1, progress=False)\n"
        "    fit.summary(), fit.predict()\n"
        "print(len(compiled.buffer))"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "0"
