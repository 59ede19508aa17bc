"""The Python of documentation pages runs, block after block."""

import re
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["criticism.md"])
def test_every_block_of_a_page_runs(page):
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.S | re.M)
    assert blocks
    for block in blocks:
        exec(compile(block, page, "exec"), names)
        plt.close("all")
