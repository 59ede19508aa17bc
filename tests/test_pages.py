"""Every Python block of these pages of the documentation runs, one after the other."""

import re
from pathlib import Path

import pytest

import hierbayes as hb

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["variance", "predictions", "criticism"]


@pytest.fixture(scope="module")
def fit_once():
    """`hb.fit` that remembers, since several pages begin with the same fit."""
    fit, known = hb.fit, {}

    def remembered(formula, data, **options):
        key = (formula, tuple(data.columns), len(data), str(options))
        if key not in known:
            known[key] = fit(formula, data, **options)
        return known[key]

    return remembered


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_run(page, fit_once, monkeypatch, tmp_path):
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(vars(hb), "fit", fit_once)
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), names)
