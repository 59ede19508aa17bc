"""Run every notebook from top to bottom; a cell that raises fails the run."""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

SECONDS_A_CELL = 600

for path in sorted(Path("notebooks").glob("*.ipynb")):
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=SECONDS_A_CELL, kernel_name="python3").execute()
    print(f"{path}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
