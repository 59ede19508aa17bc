"""Fits on disk: one netCDF file with the draws, the training rows and the whole specification, no pickles."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hierbayes.design import MEAN, OBS, Design, learn
from hierbayes.errors import DataError
from hierbayes.families import get_family
from hierbayes.formula import parse
from hierbayes.priors import Prior
from hierbayes.spec import ModelSpec, ResolvedPrior

FORMAT = 1
DATA_GROUP = "constant_data"
SPEC_GROUP = "specification"
INDEX = "__index__"


def write_fit(path: str | Path, spec: ModelSpec, frame: pd.DataFrame, tree: xr.DataTree) -> None:
    """Write a fit to one netCDF file.

    Parameters
    ----------
    path : str or Path
    spec : ModelSpec
    frame : pandas.DataFrame
        The complete training rows.
    tree : xarray.DataTree
    """
    groups = {name: node.to_dataset() for name, node in tree.children.items()}
    groups[DATA_GROUP] = frame_to_dataset(frame)
    groups[SPEC_GROUP] = xr.Dataset({"json": ((), json.dumps(_spec_to_dict(spec)))})
    whole = xr.DataTree.from_dict({name: _storable(dataset) for name, dataset in groups.items()})
    whole.attrs.update(tree.attrs)
    whole.to_netcdf(path, engine="h5netcdf")


def read_fit(path: str | Path) -> tuple[ModelSpec, pd.DataFrame, Design, xr.DataTree]:
    """Read what `write_fit` wrote: specification, training rows, design and draws.

    Raises
    ------
    DataError
        For a file that is no fit of hierbayes.
    """
    if not Path(path).exists():
        raise DataError(f"there is no file {str(path)!r}")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
        text = str(tree[SPEC_GROUP]["json"].item())
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{str(path)!r} is not a fit that hierbayes saved") from error
    frame = dataset_to_frame(tree[DATA_GROUP].to_dataset())
    spec, design = _spec_from_dict(json.loads(text), frame)
    kept = {name: node.to_dataset() for name, node in tree.children.items() if name not in (DATA_GROUP, SPEC_GROUP)}
    for name in ("posterior", "prior"):
        if name in kept:
            labels = {key: values for key, values in spec.coords.items() if key in kept[name].coords}
            kept[name] = kept[name].assign_coords(labels)
    restored = xr.DataTree.from_dict(kept)
    restored.attrs.update({key: _plain(value) for key, value in tree.attrs.items()})
    return spec, frame, design, restored


def _storable(dataset: xr.Dataset) -> xr.Dataset:
    """Labels of several types as text; they are taken from the training rows again on reading."""
    mixed = {
        name: [str(value) for value in coord.to_numpy()]
        for name, coord in dataset.coords.items()
        if coord.dtype == object and not all(isinstance(value, str) for value in coord.to_numpy())
    }
    return dataset.assign_coords({name: (dataset.coords[name].dims, values) for name, values in mixed.items()})


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def frame_to_dataset(frame: pd.DataFrame) -> xr.Dataset:
    """Training rows as a dataset; each variable's attrs keep its column's name and kind."""
    variables = {}
    for number, name in enumerate((*frame.columns, INDEX)):
        column = frame.index.to_series() if name == INDEX else frame[name]
        values, attrs = _encode(column)
        key = str(name).replace("/", "_")
        key = key if key not in variables else f"{key}_{number}"
        variables[key] = ((OBS,), values, {"column": str(name), **attrs})
    return xr.Dataset(variables)


def dataset_to_frame(dataset: xr.Dataset) -> pd.DataFrame:
    """The rows that `frame_to_dataset` took."""
    variables = {v.attrs["column"]: v for v in {**dataset.data_vars, **dataset.coords}.values() if "column" in v.attrs}
    columns = {name: _decode(variable) for name, variable in variables.items()}
    index = columns.pop(INDEX)
    frame = pd.DataFrame(columns)
    frame.index = pd.Index(index)
    return frame


def _encode(column: pd.Series) -> tuple[np.ndarray[Any, Any], dict[str, Any]]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = [_plain(value) for value in column.cat.categories]
        if all(isinstance(value, str | int | float | bool) for value in categories):
            return column.cat.codes.to_numpy(np.int32), {"kind": "category", "categories": json.dumps(categories)}
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(column):
        return column.to_numpy(np.int8), {"kind": "bool"}
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(), {"kind": "number"}
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.to_numpy("datetime64[ns]").astype(np.int64), {"kind": "datetime"}
    types = sorted({type(value).__name__ for value in column})
    return np.array([json.dumps(_plain(value), default=str) for value in column], dtype=object), {
        "kind": "object",
        "types": ", ".join(types),
    }


def _decode(variable: xr.DataArray) -> Any:
    values = variable.to_numpy()
    match variable.attrs["kind"]:
        case "category":
            categories = json.loads(variable.attrs["categories"])
            return pd.Categorical.from_codes(values, categories=categories, ordered=True)
        case "bool":
            return values.astype(bool)
        case "datetime":
            return values.astype("datetime64[ns]")
        case "object":
            return pd.Series([json.loads(value) for value in values], dtype=object).infer_objects().to_numpy()
        case _:
            return values


def _spec_to_dict(spec: ModelSpec) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "formulas": {name: str(formula) for name, formula in spec.layout.formulas.items()},
        "family": spec.family.name,
        "link": spec.link_name,
        "priors": [
            [p.kind, p.coefficient, p.group, p.parameter, p.prior.name, dict(p.prior.args), p.origin]
            for p in spec.priors
        ],
    }


def _spec_from_dict(stored: dict[str, Any], frame: pd.DataFrame) -> tuple[ModelSpec, Design]:
    """The layout is learnt again from the training rows; the priors are those that were settled."""
    if stored["format"] > FORMAT:
        raise DataError("the file was saved by a newer hierbayes; update to read it")
    formulas = {name: parse(text, response=name == MEAN) for name, text in stored["formulas"].items()}
    family, link = get_family(stored["family"], stored["link"])
    layout = learn(formulas, frame, family, link)
    priors = tuple(
        ResolvedPrior(kind, coefficient, group, parameter, Prior(name, **args), origin)
        for kind, coefficient, group, parameter, name, args, origin in stored["priors"]
    )
    return ModelSpec(layout, family, link, priors), layout.bind(frame)
