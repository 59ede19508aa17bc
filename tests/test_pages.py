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


@pytest.fixture(scope="module")
def fit_once():
    """Sampling that remembers, since many pages begin with the same fit."""
    return remember(hb.Model.fit)


def words(text):
    """What must be the same on every machine: everything but numbers, times, and the widths of columns."""
    return re.sub(r"\s+", " ", NUMBER.sub("#", TIME.sub("in # s", text))).strip()


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
                assert numbers(printed) == pytest.approx(numbers(block.shown), rel=0.3, abs=0.15), where


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_links_lead_somewhere(path):
    absent = [target for target in read_links(path) if not (path.parent / target).exists()]
    assert absent == []


def test_the_reference_has_every_public_name():
    listed = re.findall(r"^::: hierbayes\.(\w+)$", (ROOT / "docs" / "reference.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(set(hb.__all__) - {"__version__"})
