"""Saved fits under damage and on full disks: an error of ours, the older file untouched, never another number."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import hierbayes as hb
from hierbayes.outputs import check_folder, check_output, replacing
from hierbayes.seal import LENGTH, check_contents, write_sealed

from .test_predict import prior_fit

D = pd.DataFrame({"y": np.arange(24.0) % 7, "x": np.arange(24.0), "g": list("abcdef") * 4})


@pytest.fixture(scope="module")
def fit() -> hb.Fit:
    return prior_fit(hb.Model("y ~ x + (x | g)", D), draws=10)


@pytest.fixture
def saved(fit, tmp_path) -> Path:
    fit.save(tmp_path / "fit.nc")
    return tmp_path / "fit.nc"


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One kind of damage or another, at a random place."""
    place = int(rng.integers(len(content)))
    size = int(2 ** rng.uniform(0, 13))
    match rng.integers(6):
        case 0 | 1:
            return content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :]
        case 2:
            return content[:place] + bytes(len(content[place : place + size])) + content[place + size :]
        case 3:
            return content[:place]
        case 4:
            return content[:place] + content[place + size :]
        case _:
            return content + rng.bytes(size)


def test_a_thousand_damaged_files_are_refused(saved):
    rng = np.random.default_rng(14)
    content = saved.read_bytes()
    for _ in range(1000):
        spoilt = damaged(content, rng)
        if spoilt == content:  # zeros where there were zeros
            continue
        saved.write_bytes(spoilt)
        with pytest.raises(hb.DataError, match=r"damaged|is not a fit that hierbayes saved"):
            hb.load(saved)


def test_every_bit_of_the_checksum_counts(saved):
    content = saved.read_bytes()
    for place in range(len(content) - LENGTH, len(content)):
        for bit in range(8):
            saved.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
            with pytest.raises(hb.DataError, match=r"damaged|saved by a newer hierbayes"):
                hb.load(saved)


def test_a_file_of_version_0_1_loads_with_a_warning(fit, saved):
    content = saved.read_bytes()[:-LENGTH].replace(b'"format": 2,', b'"format": 1,')
    saved.write_bytes(content)
    with pytest.warns(
        hb.DataWarning, match=r"without a checksum: damage to it would not be noticed.*save it anew"
    ):
        found = hb.load(saved)
    assert found.posterior.equals(fit.posterior)


def test_what_another_program_wrote_anew_is_no_longer_what_was_saved(saved):
    with xr.open_datatree(saved) as opened:
        tree = opened.load()
    tree.to_netcdf(saved, engine="h5netcdf")
    with pytest.raises(hb.DataError, match="changed after hierbayes saved it"):
        hb.load(saved)


def sealed(path: Path, change) -> Path:
    """The file with a change to its content, and a checksum of what it is then."""
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        tree = opened.load()
    change(tree)
    write_sealed(path, tree)
    return path


def other_shape(tree):
    tree["posterior"] = xr.DataTree(tree["posterior"].to_dataset().isel(g=slice(5)))


def other_type(tree):
    tree["posterior"]["b"] = tree["posterior"]["b"].astype(int)


def no_draws(tree):
    tree["posterior"] = xr.DataTree(tree["posterior"].to_dataset().drop_vars("sigma"))


def rewritten(old: str, new: str):
    def change(tree):
        text = str(tree["specification"]["json"].item())
        assert old in text
        tree["specification"] = xr.DataTree(xr.Dataset({"json": ((), text.replace(old, new))}))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_shape, "draws of 'r_g' are float64 of dims chain, draw, g, g_effect"),
        (other_type, "draws of 'b' are int64"),
        (no_draws, "no draws of 'sigma'"),
        (rewritten('"gaussian"', '"gausian"'), "cannot be read as a fit.*no family 'gausian'"),
        (rewritten('"identity"', '"identity()"'), "cannot be read as a fit.*no link"),
        (rewritten('"Exponential"', '"exec"'), "cannot be read as a fit"),
        (rewritten('{"lam": ', '{"lam": "os.getpid()", "nu": '), "cannot be read as a fit|not a fit"),
        (rewritten('"priors"', '"prior"'), "is not a fit"),
    ],
)
def test_a_checksum_is_no_reason_to_trust_what_a_file_says(saved, change, message):
    with pytest.raises(hb.DataError, match=message):
        hb.load(sealed(saved, change))


def test_arrays_that_are_not_plain_in_the_file_are_refused_before_they_are_read(tmp_path):
    path, other = tmp_path / "odd.nc", tmp_path / "other"
    other.write_bytes(bytes(800))
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(other), "x", shape=(3,))
    odd = {
        "would be larger than the file": lambda g: g.create_dataset("x", shape=(10**12,), dtype="f8"),
        "does not lie in the file as it is": lambda g: g.create_dataset("x", data=np.zeros(999), compression=1),
        "not lie in the file as": lambda g: g.create_dataset("x", (100,), "f8", external=[(str(other), 0, 800)]),
        "lie in the file as": lambda g: g.create_virtual_dataset("x", layout),
        "no dataset": lambda g: g.create_group("x"),
        "holds 'x', which": lambda g: g.__setitem__("x", h5py.ExternalLink(str(other), "/x")),
        "'x', which is no": lambda g: g.__setitem__("x", h5py.SoftLink("/posterior")),
        "neither numbers nor text": lambda g: g.create_dataset("x", data=np.zeros(2, "V9")),
    }  # fmt: skip
    for message, make in odd.items():
        with h5py.File(path, "w") as file:
            make(file.create_group("posterior"))
        with pytest.raises(hb.DataError, match=message):
            check_contents(path)


SAVES = """
import resource, signal, sys
import hierbayes as hb
fit = hb.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    fit.save(sys.argv[2])
except hb.DataError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.999])
def test_a_full_disk_leaves_the_older_file(saved, share):
    older = saved.with_name("older.nc")
    older.write_bytes(saved.read_bytes())
    room = int(share * older.stat().st_size)
    done = subprocess.run(
        [sys.executable, "-c", SAVES, str(saved), str(older), str(room)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "could not be written" in done.stdout
    assert "what was there before is untouched" in done.stdout
    assert older.read_bytes() == saved.read_bytes()
    assert sorted(path.name for path in older.parent.iterdir()) == ["fit.nc", "older.nc"]


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.999])
def test_a_disk_that_fills_while_it_is_written_to(saved, share, monkeypatch):
    """Without room asked for first: HDF5 itself meets no failure, and reads back what it wrote; the save fails."""
    monkeypatch.setattr("hierbayes.seal._reserve", lambda file, size: None)
    found, content = hb.load(saved), saved.read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * len(content)), usual[1]))
    try:
        with pytest.raises(hb.DataError, match="could not be written: File too large"):
            found.save(saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert saved.read_bytes() == content
    assert [path.name for path in saved.parent.iterdir()] == ["fit.nc"]


def test_what_fails_in_the_middle_leaves_the_older_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("older")
    stopped = replacing(path)
    stopped.__enter__().write_text("half")
    assert len(list(tmp_path.iterdir())) == 2
    stopped.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert path.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_replaced_file_keeps_its_permissions_and_its_links(tmp_path):
    path, link = tmp_path / "real.csv", tmp_path / "link.csv"
    path.write_text("older")
    path.chmod(0o640)
    link.symlink_to(path)
    with replacing(link) as draft:
        draft.write_text("newer")
    assert link.is_symlink()
    assert path.read_text() == "newer"
    assert path.stat().st_mode & 0o777 == 0o640


def test_outputs_that_cannot_be(tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("y,x\n")
    (tmp_path / "link.csv").symlink_to(data)
    os.link(data, tmp_path / "hard.csv")
    (tmp_path / "folder").mkdir()
    for name in ("data.csv", "link.csv", "hard.csv", "folder/../data.csv"):
        with pytest.raises(hb.DataError, match="is the input"):
            check_output(tmp_path / name, [None, tmp_path / "absent", data])
    for path, message in {
        tmp_path: "is a folder; name the file",
        tmp_path / "absent" / "fit.nc": "no folder .* make it first",
        data / "fit.nc": "no folder",
        Path("/dev/null"): "not a file that could be",
        tmp_path / ("x" * 300): "nothing can be written",
    }.items():
        with pytest.raises(hb.DataError, match=message):
            check_output(path)
    check_output(tmp_path / "new.nc", [data])
    with pytest.raises(hb.DataError, match="is a file, not a folder"):
        check_folder(data)
    check_folder(tmp_path / "new" / "folders")
    assert not (tmp_path / "new").exists()
