"""The command line: which columns it reads, what it refuses, and how it ends."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.cli import main
from hierbayes.data.csvfile import Dialect, read_csv

FORMULA = "Reaction ~ Days + (Days | Subject)"


def read(path, content: str, text=(), **dialect) -> pd.DataFrame:
    path.write_bytes(content.encode(dialect.get("encoding", "utf-8")))
    return read_csv(path, text, Dialect(**dialect))


SAME = {
    "plain": ("y,x\n1,2\n3,4\n", {}),
    "rows that end in a separator": ("y,x\n1,2,\n3,4,\n", {}),
    "blank lines, carriage returns": ("\r\ny,x\r\n\r\n1,2\r\n3,4\r\n", {}),
    "a byte-order mark": ("\ufeffy,x\n1,2\n3,4\n", {}),
    "quotes": ('"y","x"\n"1",2\n3,"4"\n', {}),
    "semicolons": ("y;x\n1;2\n3;4\n", {"separator": ";"}),
    "tabs": ("y\tx\n1\t2\n3\t4\n", {"separator": "\t"}),
    "another encoding": ("y,x\n1,2\n3,4\n", {"encoding": "utf-16"}),
}


@pytest.mark.parametrize("name", SAME)
def test_columns_stand_where_the_header_has_them(name, tmp_path):
    content, dialect = SAME[name]
    found = read(tmp_path / "a.csv", content, **dialect)
    assert found.to_dict("list") == {"y": [1, 3], "x": [2, 4]}


def test_values_are_those_of_pandas(tmp_path):
    path = tmp_path / "a.csv"
    found = read(path, 'y,g,h\n1, a,"b,c"\n,NA,"d ""e"""\n2.5,a ,\n')
    expected = pd.read_csv(path)
    assert (
        found.astype(object)
        .where(found.notna(), None)
        .equals(expected.astype(object).where(expected.notna(), None))
    )
    codes = read(path, "y,g\n1,01\n2,02\n", text=["g"])
    assert codes["g"].tolist() == ["01", "02"]
    comma = read(path, "y;é\n1,5;ü\n", encoding="latin-1", separator=";", decimal=",")["y"]
    assert comma.tolist() == [1.5]


READ_WRONGLY = {
    "more values than names": ("y,x\n1,1,2\n2,3,4\n", {}, "more values than its header has names"),
    "one longer row": ("y,x\n1,2\n3,4,5\n", {}, "Expected 2 fields in line 3, saw 3"),
    "semicolons": ("y;x\n1;2\n", {}, "--separator ';'"),
    "tabs": ("y\tx\n1\t2\n", {}, "--separator tab"),
    "one mark for both": ("y;x\n", {"separator": ",", "decimal": ","}, "must differ"),
    "two characters": ("y;x\n", {"separator": ",,"}, "one character"),
    "empty": ("", {}, "No columns to parse"),
}


@pytest.mark.parametrize("name", READ_WRONGLY)
def test_files_that_would_be_read_wrongly_are_refused(name, tmp_path):
    content, dialect, message = READ_WRONGLY[name]
    with pytest.raises(hb.DataError, match=message):
        read(tmp_path / "a.csv", content, **dialect)


def test_text_of_another_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes("y,x\né,2\n".encode("latin-1"))
    with pytest.raises(hb.DataError, match=r"not utf-8 text.*--encoding latin-1"):
        read_csv(tmp_path / "a.csv")
    with pytest.raises(hb.DataError, match="no encoding 'utf8859'"):
        Dialect(encoding="utf8859")


def test_columns_that_stand_twice_are_refused_where_they_are_used(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("y,x,x,z\n" + "".join(f"{i % 7},{i},{-i},{i * i % 5}\n" for i in range(20)))
    assert main(["fit", "y ~ x", str(path)]) == 2
    assert "more than one column 'x'" in capsys.readouterr().err
    assert hb.Model("y ~ z", read_csv(path)).design is not None


@pytest.fixture(scope="module")
def sleep(tmp_path_factory):
    path = tmp_path_factory.mktemp("sleep") / "sleep.csv"
    hb.load_dataset("sleepstudy").to_csv(path, index=False)
    return path


def test_an_output_that_is_an_input_is_refused_before_sampling(sleep, tmp_path, capsys):
    priors, link = tmp_path / "priors.toml", tmp_path / "link.csv"
    priors.write_text('[priors]\nsigma = "Exponential(0.02)"\n')
    link.symlink_to(sleep)
    content = sleep.read_bytes()
    for out, message in (
        (sleep, "is the input"),
        (link, "is the input"),
        (priors, "is the input"),
        (tmp_path, "is a folder"),
        (tmp_path / "absent" / "fit.nc", "there is no folder"),
    ):
        assert main(["fit", FORMULA, str(sleep), "--priors", str(priors), "--out", str(out)]) == 2
        printed = capsys.readouterr()
        assert message in printed.err
        assert printed.out == ""
    assert sleep.read_bytes() == content


def command(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "hierbayes.cli", *map(str, arguments)], text=True, **options
    )


@pytest.mark.filterwarnings("ignore::hierbayes.errors.SamplingWarning")
def test_ctrl_c_keeps_what_is_drawn(sleep, tmp_path):
    out = tmp_path / "fit.nc"
    hb.fit(
        FORMULA, pd.read_csv(sleep, dtype={"Subject": str}), draws=5, tune=50, progress=False, chains=1
    )  # compiled
    for wait in (2.0, 8.0, 32.0):  # on a busy machine drawing begins later
        running = command(
            "fit", FORMULA, sleep, "--text", "Subject", "--draws", 2_000_000, "--chains", 1, "--no-progress", "--out",
            out, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert running.stdout is not None
        while "fit() will take" not in running.stdout.readline():
            assert running.poll() is None
        time.sleep(wait)
        running.send_signal(signal.SIGINT)
        printed, errors = running.communicate(timeout=120)
        assert running.returncode == 130, errors
        assert "Traceback" not in errors
        if out.exists():
            break
    assert f"Saved {out}" in printed
    fit = hb.load(out)
    assert fit.tree.attrs["interrupted"] == 1
    assert 0 < fit.posterior.sizes["draw"] < 2_000_000


def test_a_closed_pipe_ends_quietly(sleep, tmp_path):
    fit = hb.Model(FORMULA, pd.read_csv(sleep, dtype={"Subject": str})).approximate()
    fit.save(tmp_path / "fit.nc")
    reading, writing = os.pipe()
    os.close(reading)
    done = command("summary", tmp_path / "fit.nc", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, errors = done.communicate(timeout=120)
    assert (done.returncode, errors) == (141, "")


def test_strict_fails_on_a_sampling_warning(sleep, tmp_path, capsys):
    arguments = ["fit", "Reaction ~ Days", str(sleep), "--no-progress", "--seed", "1"]
    few = [*arguments, "--draws", "10"]
    assert main(few) == 0
    assert "SamplingWarning" in capsys.readouterr().err
    assert main([*few, "--strict", "--out", str(tmp_path / "fit.nc")]) == 1
    assert (tmp_path / "fit.nc").exists()
    assert main([*arguments, "--strict"]) == 0


def test_a_machine_without_any_folder_for_kernels(monkeypatch):
    import numba

    from hierbayes import compiling

    compile_as_usual = numba.njit

    def without_a_folder(*given, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available for file 'x'")
        return compile_as_usual(*given, **options)

    monkeypatch.setattr(numba, "njit", without_a_folder)
    compiling._say_that_nothing_is_kept.cache_clear()
    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR"):
        double = compiling.kept(lambda x: 2.0 * x, cache=True)
    assert double(4.0) == 8.0
