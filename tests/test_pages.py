"""What the documentation says is so: every Python block runs and prints what stands below it, and links hold."""

import re

import matplotlib.pyplot as plt
import pytest

import hierbayes as hb
from tests.pages import ROOT, as_read, every_page, read_blocks, read_links, remember, run_page

PAGES = every_page()
PROGRAMS = [path for path in PAGES if read_blocks(path.read_text())]
TIME = re.compile(r"in \d+(\.\d+)? m?s\b")
NUMBER = re.compile(r"[-−+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def name(path):
    return str(path.relative_to(ROOT))


COLUMNS = {"mean", "sd", "median", "lower", "upper", "elpd_diff"}
ELPD = 0.5  # two sums over hundreds of rows, each with a Monte Carlo error of one or two tenths


def errors(text):
    """The most by which each number may differ for the draws alone: in tables, means, medians and bounds by more.

    A bound's Monte Carlo error is about 0.03 posterior standard deviations, where 4,000 draws tell as much as
    independent ones; the difference of two is within 4.5 of its own, 0.06 of an 89% interval's width, or 0.19 standard
    deviations. Whole numbers, counts or rounded, may be the next ones.
    """
    allowed, ends = [], {}
    for line in TIME.sub("", text).splitlines():
        if COLUMNS & set(line.split()) and not NUMBER.search(line):
            ends = {found.end(): found.group() for found in re.finditer(r"\S+", line)}
        shown = {ends[f.end()]: f.group().replace("−", "-") for f in NUMBER.finditer(line) if f.end() in ends}
        values = {name: float(number) for name, number in shown.items()}
        if {"lower", "upper"} <= set(values):
            error = 0.06 * (values["upper"] - values["lower"])
            whole = all(values[bound].is_integer() and "." in shown[bound] for bound in ("lower", "upper"))
        else:
            error, whole = 0.19 * values.get("sd", 0.0), values.get("sd", 0.5).is_integer()
        for found in NUMBER.finditer(line):
            column = ends.get(found.end())
            of_draws = column in ("mean", "median", "lower", "upper", "elpd_diff")
            step = 1.0 if whole and of_draws and values[column].is_integer() else 0.0
            allowed.append(max(0.15, ELPD if column == "elpd_diff" else error + step if of_draws else 0.0))
    return allowed


def test_a_bound_of_an_interval_has_its_monte_carlo_error():
    table = (
        "    mean     sd  lower  upper  p_greater\n0  93.61  58.88   1.73  185.8       0.95\n\nR-hat 1.01\n"
    )
    assert len(errors(table)) == len(numbers(table))
    assert errors(table) == pytest.approx([0.15, 11.0, 0.15, 11.0, 11.0, 0.15, 0.15], abs=0.1)
    counts = "       mean   sd  lower  upper\nmean   2.05  1.1    0.0    4.0\n"
    assert errors(counts) == pytest.approx([0.24, 0.15, 1.24, 1.24])
    assert errors("  elpd_diff  dse\na      -1.0  2.0\n") == pytest.approx([0.5, 0.15])
    assert errors("    mean   sd\na  -89.0  6.0\n") == pytest.approx([2.14, 0.15])


@pytest.fixture(scope="module")
def fit_once():
    """Sampling that remembers, since many pages begin with the same fit."""
    return remember(hb.Model.fit)


def words(text):
    """What must be the same on every machine: everything but numbers, times, and the widths of columns."""
    return re.sub(r"\s+", " ", re.sub(r"\s+(?=])", "", NUMBER.sub("#", TIME.sub("in # s", text)))).strip()


def numbers(text):
    return [float(found.replace("−", "-")) for found in NUMBER.findall(TIME.sub("", text))]


@pytest.mark.parametrize("path", PROGRAMS, ids=name)
def test_the_blocks_run_and_print_what_the_page_shows(path, fit_once, monkeypatch, tmp_path):
    monkeypatch.setattr(hb.Model, "fit", fit_once)
    with as_read(tmp_path):
        for block, printed in run_page(path):
            plt.close("all")
            if block.shown is not None:
                where = f"{name(path)}, line {block.line}: `python -m tests.pages {name(path)}` writes the output anew"
                assert words(printed) == words(block.shown), where
                for found, shown, error in zip(
                    numbers(printed), numbers(block.shown), errors(block.shown), strict=True
                ):
                    assert found == pytest.approx(shown, rel=0.3, abs=error), where


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path):
    absent = [target for target in read_links(path) if not (path.parent / target).exists()]
    assert absent == []


def test_the_reference_has_every_public_name():
    listed = re.findall(r"^::: hierbayes\.(\w+)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(set(hb.__all__) - {"__version__"})
