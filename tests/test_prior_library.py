"""The library of prior files: what they say of their simulated data holds; a wrong file fails, and by how much."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import hierbayes as hb
from hierbayes.cli import main
from hierbayes.errors import PriorError
from hierbayes.priorfile import find_prior_files

FOLDER = Path(hb.__file__).parent.parent / "priors"
FILES = find_prior_files([FOLDER])

WRONG = """
description = "Reaction times as if in seconds, with priors in milliseconds"
formula = "rt ~ 1 + (1 | subject)"
[priors]
Intercept = "Normal(0.3, 0.05)"
sd = "HalfNormal(0.05)"
sigma = "HalfNormal(0.05)"
[design]
subject = 10
trial = [1, 2, 3]
[[expect]]
statistic = "response"
interval = [100, 600]
probability = 0.95
[[expect]]
statistic = "sd"
interval = [0, 10]
probability = 0.9
"""


def test_there_are_eight_files_or_more():
    assert len(FILES) >= 8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_documented_and_every_statement_holds(path):
    file = hb.read_prior_file(path)
    assert file.description
    assert file.source
    assert file.scale
    assert len(file.expect) >= 3
    verdicts = file.check(draws=1000, seed=7)
    assert all(verdict.passed for verdict in verdicts), "\n".join(map(str, verdicts))
    origins = dict(zip(file.model().priors["class"], file.model().priors["origin"], strict=True))
    assert set(origins.values()) == {f"file {path.name}"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_priors_survive_a_round_trip(path):
    priors = hb.PriorSet.from_toml(path)
    again = hb.PriorSet.from_toml(priors.to_toml())
    assert again.entries == priors.entries


def test_a_wrong_file_fails_and_says_by_how_much(tmp_path, capsys):
    (tmp_path / "wrong.toml").write_text(WRONG)
    assert main(["prior-check", str(tmp_path), "--draws", "500", "--figures", str(tmp_path / "figures")]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  a simulated response lies in 100 to 600 with probability 0.95 or more" in printed
    assert "observed 0.000: FAILS by 0.950; simulated: median 0." in printed
    assert "pass  the standard deviation" in printed
    assert "1 file, 2 statements, 1 failed" in printed
    assert [path.suffix for path in (tmp_path / "figures").iterdir()] == [".png"]


def test_a_right_file_passes(tmp_path, capsys):
    path = tmp_path / "right.toml"
    path.write_text(WRONG.replace("[100, 600]", "[0.1, 0.6]"))
    assert main(["prior-check", str(path), "--draws", "500", "--no-figures"]) == 0
    assert "FAIL" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [path]


def test_figures_are_saved_unless_told_otherwise(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "right.toml"
    path.write_text(WRONG.replace("[100, 600]", "[0.1, 0.6]"))
    assert main(["prior-check", str(path), "--draws", "200"]) == 0
    assert [path.name for path in (tmp_path / "prior-figures").iterdir()] == [f"{tmp_path.name}-right.png"]
    assert "figure: prior-figures" in capsys.readouterr().out


def test_what_is_not_there_is_an_error(tmp_path, capsys):
    assert main(["prior-check", str(tmp_path)]) == 2
    assert "no prior file" in capsys.readouterr().err
    assert main(["prior-check", str(tmp_path / "absent.toml")]) == 2
    assert "absent.toml" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_does_not_stop_the_others(tmp_path, capsys):
    right = WRONG.replace("[100, 600]", "[0.1, 0.6]")
    (tmp_path / "a_broken.toml").write_text("formula = y ~ x")
    (tmp_path / "b_right.toml").write_text(right)
    (tmp_path / "c_without_such_a_column.toml").write_text(right.replace("subject", "person", 1))
    (tmp_path / "d_wrong.toml").write_text(WRONG)
    assert main(["prior-check", str(tmp_path), "--draws", "200", "--no-figures"]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("PriorError") == 2
    assert f"Reading {tmp_path / 'a_broken.toml'}" in printed.err
    assert f"Checking {tmp_path / 'c_without_such_a_column.toml'}" in printed.err
    assert (printed.out.count("pass  "), printed.out.count("FAIL  ")) == (3, 1)
    assert "4 files, 4 statements, 1 failed; 2 files could not be checked" in printed.out


BAD = [
    ('formula = "y ~ x"', "no table [design]"),
    ('formula = "y ~ x"\n[design]\nx = [1]', "no table [priors]"),
    ("[design]\nx = [1]", "no formula"),
    ('formula = "y ~ x"\ncolour = 1', "unknown key 'colour'"),
    ('formula = "y ~ x"\nlink = 3', "link must be a text, or a table with one a parameter, not 3"),
    (
        'formula = "y ~ x"\n[design]\nx = [1]\n[priors]\nb = "Normal(0, -1)"',
        "Prior for 'b': Normal: sigma must",
    ),
    ('formula = "y ~ x"\n[design]\nx = [1]\n[priors]\n[expect]\nmean = 1', "[[expect]], with two brackets"),
    ('formula = "y ~ x"\n[design]\nx = [1]\n[priors]\n[[expect]]\nstatistic = "men"', "statistic = 'men'"),
    ("formula = y ~ x", "Invalid value"),
    ('formula = "y ~ x"\n[priors]\nsd[g] = "HalfNormal(1)"', 'stand in quotes: "sd[g]" = "HalfNormal(1)"'),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(PriorError) as caught:
        hb.read_prior_file(path)
    assert message in str(caught.value)
    assert str(caught.value).count(str(path)) == 1


def test_a_statement_that_cannot_be_checked_names_the_file_and_what_there_is(tmp_path):
    path = tmp_path / "wrong.toml"
    where = 'statistic = "difference"\na = { subject = "11" }\nb = { subject = "01" }'
    path.write_text(WRONG.replace('statistic = "sd"', where))
    with pytest.raises(
        PriorError, match=r"Checking .*wrong.toml: .*no row .* subject = '11'; subject has '01', '02', .*…\."
    ):
        hb.read_prior_file(path).check(draws=10)


def test_a_file_right_here_has_a_figure_of_its_own_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("right.toml").write_text(WRONG.replace("[100, 600]", "[0.1, 0.6]"))
    assert main(["prior-check", "right.toml", "--draws", "200"]) == 0
    assert Path("prior-figures/right.png").is_file()
    assert "1 file, 2 statements, 0 failed" in capsys.readouterr().out


# -- files and mappings together -----------------------------------------------------------------------------


def test_single_entries_of_a_file_are_replaced_and_origins_kept():
    path = FOLDER / "psychology" / "reaction_times.toml"
    sleep = hb.load_dataset("sleepstudy").rename(
        columns={"Reaction": "rt", "Days": "day", "Subject": "subject"}
    )
    model = hb.Model(
        "rt ~ center(day) + (center(day) | subject)",
        sleep,
        priors=[str(path), {"b[center(day)]": "Normal(10, 5)", "sigma": "HalfNormal"}],
    )
    table = model.priors.set_index(["class", "coefficient"])
    assert table.loc[("b", "center(day)"), "prior"] == "Normal(mu=10, sigma=5)"
    assert table.loc[("b", "center(day)"), "origin"] == "user"
    assert table.loc[("sigma", ""), "origin"] == "user"
    assert table.loc[("sd", "center(day)"), "prior"] == "HalfNormal(sigma=10)"
    assert table.loc[("sd", "center(day)"), "origin"] == "file reaction_times.toml"
    assert "Normal(mu=10, sigma=5)  (user)" in repr(model)
    assert "HalfNormal(sigma=10)  (file reaction_times.toml)" in repr(model)


def test_a_list_of_priors_reads_from_left_to_right(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text('[priors]\nb = "Normal(0, 3)"\nsd = "HalfNormal(3)"\n')
    cbpp = hb.load_dataset("cbpp")
    formula = "incidence | trials(size) ~ period + (1 | herd)"
    model = hb.Model(
        formula,
        cbpp,
        "binomial",
        priors=[{"b": "Normal(0, 1)", "sd": "Exponential(9)"}, path, {"sd": "Exponential(2)"}],
    )
    table = model.priors.set_index("class")
    assert set(table.loc["b", "prior"]) == {"Normal(mu=0, sigma=3)"}
    assert table.loc["sd", "prior"] == "Exponential(lam=2)"
    assert table.loc["Intercept", "origin"] == "default"
    with pytest.raises(PriorError, match="no prior file"):
        hb.Model(formula, cbpp, "binomial", priors=["absent.toml", {"sd": "Exponential(1)"}])


# -- scripts -------------------------------------------------------------------------------------------------


def test_the_script_checks_the_library(tmp_path):
    command = [
        sys.executable,
        FOLDER / "simulate.py",
        FOLDER / "surveys",
        "--draws",
        "300",
        "--figures",
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 file, 4 statements, 0 failed" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["surveys-cross_cultural_items.png"]


@pytest.mark.parametrize("path", sorted((FOLDER / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_runs(path, tmp_path):
    assert len(path.read_text().splitlines()) < 30
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_readme_walks_through_a_file_that_passes(tmp_path):
    text = (FOLDER / "README.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```toml\n")[1:]]
    whole = next(block for block in blocks if "[[expect]]" in block and "formula" in block)
    tomllib.loads(whole)
    path = tmp_path / "example.toml"
    path.write_text(whole)
    verdicts = hb.read_prior_file(path).check(seed=1)
    assert verdicts
    assert all(verdict.passed for verdict in verdicts), "\n".join(map(str, verdicts))
