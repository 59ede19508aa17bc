"""Run every notebook from top to bottom; a cell that raises fails the run.

``python .ci/notebooks.py`` runs all with few draws and keeps nothing. ``python .ci/notebooks.py --write [name …]`` runs
them (or those named) in full and writes their outputs, as they are committed.
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

SECONDS_A_CELL = 900
FOLDER = Path("notebooks")
FEW_DRAWS = os.environ.get("HIERBAYES_NOTEBOOK_DRAWS", "100")

# Fewer draws than a notebook asks for: a first cell that is never written.
PATCH = f"""
from hierbayes.model import Model
in_full = Model.fit
Model.fit = lambda model, draws=1000, **options: in_full(model, min(draws, {int(FEW_DRAWS)}), **options)
"""


def run(path: Path, write: bool) -> None:
    """Run one notebook in its folder; keep its outputs if asked."""
    notebook = nbformat.read(path, as_version=4)
    if not write:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(PATCH))
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=SECONDS_A_CELL, kernel_name="python3", resources=folder, record_timing=False
    ).execute()
    if write:
        nbformat.write(notebook, path)


options = sys.argv[1:]
names = [name for name in options if name != "--write"] or sorted(
    path.stem for path in FOLDER.glob("*.ipynb")
)
for name in names:
    start = time.perf_counter()
    run(FOLDER / f"{name}.ipynb", write="--write" in options)
    print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
