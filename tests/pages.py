"""The pages of the documentation as programs: their Python blocks, and what these print.

``python -m tests.pages docs/tutorial.md …`` runs pages and writes what the blocks print into the ``text`` blocks that
follow them, and the pictures that they save into ``docs/figures``. A block prints as a notebook's cell does: what it
prints itself, then its last expression.
"""

import ast
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib.pyplot as plt
import pandas as pd

import hierbayes as hb

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
COMPILED = r" after \d+(\.\d+)? s of compiling"  # said of the first fit on a machine
DISPLAY = ("display.width", 110, "display.max_columns", 20, "display.max_rows", 24)


@dataclass(frozen=True)
class Block:
    """A fenced block of Python and the text that stands below it as its output, if any does."""

    code: str
    shown: str | None
    end: tuple[int, int]  # where the shown text stands in the page
    line: int


def every_page() -> list[Path]:
    """The pages that people read: README, docs/, priors/."""
    return [
        ROOT / "README.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "priors").rglob("*.md")),
    ]


def read_blocks(text: str) -> list[Block]:
    """The Python blocks of a page, in order."""
    return [
        Block(found[1], found[2], found.span(2), text.count("\n", 0, found.start()) + 1)
        for found in BLOCK.finditer(text)
    ]


def read_links(path: Path) -> list[str]:
    """Targets of the links to files, outside code."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    return LINK.findall(prose)


def run_page(path: Path) -> Iterator[tuple[Block, str]]:
    """Run the blocks of a page in one namespace; yields each with what it printed."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in read_blocks(path.read_text()):
        tree = ast.parse("\n" * block.line + block.code, str(path))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pd.option_context(*DISPLAY):
            exec(compile(tree, str(path), "exec"), names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), str(path), "eval"), names)
                if value is not None:
                    print(value if isinstance(value, str) else repr(value))
        lines = re.sub(COMPILED, "", printed.getvalue()).splitlines()
        yield block, "".join(f"{line.rstrip()}\n" for line in lines)


def remember(fit: Callable[..., hb.Fit]) -> Callable[..., hb.Fit]:
    """`Model.fit` that samples the same model of the same rows once."""
    known: dict[Any, hb.Fit] = {}

    def remembered(model: hb.Model, *arguments: Any, **options: Any) -> hb.Fit:
        if not isinstance(model.data, pd.DataFrame):
            return fit(model, *arguments, **options)
        rows = tuple(pd.util.hash_pandas_object(model.data))
        key = (repr(model), tuple(model.data.columns), rows, arguments, repr(sorted(options.items())))
        if key not in known:
            known[key] = fit(model, *arguments, **options)
        return known[key]

    return remembered


@contextmanager
def as_read(folder: Path) -> Iterator[None]:
    """What a reader has: an empty folder, and pictures that open no window."""
    back = Path.cwd()
    plt.switch_backend("Agg")
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(back)
        plt.close("all")


def main(paths: list[str]) -> None:
    """Write the outputs of these pages."""
    with patch.object(hb.Model, "fit", remember(hb.Model.fit)):
        for path in [Path(name).resolve() for name in paths]:
            text, moved = path.read_text(), 0
            with tempfile.TemporaryDirectory() as folder, as_read(Path(folder)):
                for block, printed in run_page(path):
                    if block.shown is not None:
                        start, end = block.end[0] + moved, block.end[1] + moved
                        text, moved = (
                            text[:start] + printed + text[end:],
                            moved + len(printed) - (end - start),
                        )
                for picture in Path(folder).glob("*.png"):
                    shutil.copy(picture, ROOT / "docs" / "figures")
            path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
