"""A data frame as files that Python and R read alike: doubles a column, the levels of text beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def write_table(frame: pd.DataFrame, folder: Path) -> None:
    """Column j goes to ``j.f8``; text and categoricals as the places of their levels, counted from 0."""
    columns: list[dict[str, Any]] = []
    for place, name in enumerate(frame.columns):
        column = frame[name]
        levels = None
        if not pd.api.types.is_numeric_dtype(column):
            categorical = pd.Categorical(column)
            levels, column = [str(level) for level in categorical.categories], categorical.codes
        np.asarray(column, dtype="<f8").tofile(folder / f"{place}.f8")
        columns.append({"name": name, "levels": levels, "whole": bool(levels or column.dtype.kind in "iu")})
    (folder / "columns.json").write_text(json.dumps(columns))


def read_table(folder: Path) -> pd.DataFrame:
    """The data frame that `write_table` wrote; text comes back as categoricals."""
    columns = {}
    for place, column in enumerate(json.loads((folder / "columns.json").read_text())):
        values = np.fromfile(folder / f"{place}.f8", dtype="<f8")
        if column["whole"]:
            values = values.astype(np.int64)
        if column["levels"]:
            values = pd.Categorical.from_codes(values, column["levels"])
        columns[column["name"]] = values
    return pd.DataFrame(columns)
