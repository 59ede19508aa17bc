"""The training rows of a fit as a netCDF dataset, and back: any column that a model takes, no pickles."""

import json
import re
from collections.abc import Container
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hierbayes.data.design import OBS
from hierbayes.data.labels import from_json, to_json
from hierbayes.data.levels import factorize
from hierbayes.errors import DataError

INDEX = "__index__"
UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # netCDF's texts are UTF-8 and end at a NUL


def frame_to_dataset(frame: pd.DataFrame) -> xr.Dataset:
    """Training rows as a dataset; each variable's attrs keep its column's name and kind.

    Numbers, text and times are variables of their own. Categories and other values are level numbers, beside a
    variable of the levels in their order, each as JSON.
    """
    names = json.dumps([None if name is None else str(name) for name in frame.index.names])
    index, columns = (INDEX, frame.index.to_series(), {"names": names}), list(frame.columns)
    variables: dict[str, Any] = {}
    for name, column, described in [index, *((name, frame[name], {"column": str(name)}) for name in columns)]:
        values, attrs, levels = _encode(column)
        key = _free_name(str(name).replace("/", "_"), variables)
        variables[key] = ((OBS,), values, {**described, **attrs})
        if levels is not None:
            beside = _free_name(f"{key}_levels", variables)
            variables[key][2]["levels"] = beside
            variables[beside] = ((f"{beside}_dim",), np.array(levels, dtype=object))
    return xr.Dataset(variables)


def _free_name(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "_"
    return name


def dataset_to_frame(dataset: xr.Dataset) -> pd.DataFrame:
    """The rows that `frame_to_dataset` took."""
    columns: dict[str, Any] = {}
    for variable in {**dataset.data_vars, **dataset.coords}.values():
        beside = variable.attrs.get("levels")
        levels = None if beside is None else [from_json(text) for text in dataset[beside].to_numpy()]
        if "column" in variable.attrs:
            columns[variable.attrs["column"]] = pd.Series(_decode(variable, levels))
        elif "names" in variable.attrs:
            labels, names = list(_decode(variable, levels)), json.loads(variable.attrs["names"])
    several = len(names) > 1
    index = pd.MultiIndex.from_tuples(labels, names=names) if several else _index(labels).rename(names[0])
    return pd.DataFrame(columns).set_axis(index)


def _encode(column: pd.Series) -> tuple[np.ndarray[Any, Any], dict[str, Any], list[str] | None]:
    """A column as an array, what it was, and the levels where the array holds their numbers."""
    if pd.api.types.is_bool_dtype(column) and not isinstance(column.dtype, pd.CategoricalDtype):
        return column.to_numpy(np.int8), {"kind": "bool"}, None
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(), {"kind": "number"}, None
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        local, zone = column.dt.tz_convert("UTC").dt.tz_localize(None), str(column.dt.tz)
        return (
            local.to_numpy().astype(np.int64),
            {"kind": "time", "dtype": str(local.dtype), "zone": zone},
            None,
        )
    if column.dtype.kind in "mM":
        return column.to_numpy().astype(np.int64), {"kind": "time", "dtype": str(column.dtype)}, None
    text = pd.api.types.infer_dtype(column, skipna=False) == "string"
    if text and not any(map(UNSTORABLE.search, column)):
        return np.array(column, dtype=object), {"kind": "text"}, None
    values, codes = factorize(column)
    try:
        texts = [to_json(value) for value in values]
        exact = all(from_json(text) == value for text, value in zip(texts, values, strict=True))
    except DataError:  # only rows' own labels can be of any kind (see `check_labels`): theirs become texts
        texts, exact = [to_json(str(value)) for value in values], False
    kind = "category" if isinstance(column.dtype, pd.CategoricalDtype) or not exact else "object"
    unit = {"dtype": str(values.dtype)} if values.dtype.kind in "mM" else {}  # JSON has times, not their unit
    return codes, {"kind": kind, **unit}, texts


def _decode(variable: xr.DataArray, levels: list[Any] | None) -> Any:
    values, attrs = variable.to_numpy(), variable.attrs
    match attrs["kind"]:
        case "category":
            categories = _index(levels).astype(attrs["dtype"]) if "dtype" in attrs else _index(levels)
            return pd.Categorical.from_codes(values, categories=categories, ordered=True)
        case "object":
            return _index(levels).astype(object)[values]
        case "bool":
            return values.astype(bool)
        case "time":
            times = pd.Index(values.astype(attrs["dtype"]))
            return times.tz_localize("UTC").tz_convert(attrs["zone"]) if "zone" in attrs else times
        case "text":
            return pd.Index(values.tolist())
        case _:
            return values


def _index(levels: list[Any] | None) -> pd.Index:
    return pd.Index(levels or [], tupleize_cols=False)
