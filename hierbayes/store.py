"""Fits on disk: one netCDF file with the draws, the training rows and the whole specification, no pickles."""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from hierbayes.data.design import MEAN, OBS, Design, Layout, PredictorLayout
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.factors import factorize
from hierbayes.data.learning import learn
from hierbayes.data.margins import Columns
from hierbayes.errors import DataError
from hierbayes.families import get_family
from hierbayes.formula import parse
from hierbayes.priors import Prior
from hierbayes.spec import ModelSpec, ResolvedPrior

FORMAT = 2  # 1, until 0.1: priors about intercepts at the means, whoever stated them, products as they are
DATA_GROUP = "constant_data"
SPEC_GROUP = "specification"
INDEX = "__index__"


def check_folder(path: str | Path) -> None:
    """Refuse a file that could not be written because its folder does not exist."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise DataError(f"there is no folder {str(folder)!r} to save in; make it first")


def write_fit(path: str | Path, spec: ModelSpec, frame: pd.DataFrame, tree: xr.DataTree) -> None:
    """Write a fit to one netCDF file.

    Parameters
    ----------
    path : str or Path
    spec : ModelSpec
    frame : pandas.DataFrame
        The complete training rows.
    tree : xarray.DataTree

    Raises
    ------
    DataError
        When the file's folder does not exist.
    """
    check_folder(path)
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
        raise DataError(f"there is no file {str(path)!r} here ({Path.cwd()}); a fit's save() writes one")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
        text = str(tree[SPEC_GROUP]["json"].item())
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{str(path)!r} is not a fit that hierbayes saved; a fit's save() writes one"
        ) from error
    frame = dataset_to_frame(tree[DATA_GROUP].to_dataset())
    spec, design = _spec_from_dict(json.loads(text), frame)
    kept = {
        name: node.to_dataset()
        for name, node in tree.children.items()
        if name not in (DATA_GROUP, SPEC_GROUP)
    }
    for name in ("posterior", "prior"):
        if name in kept:
            labels = {key: values for key, values in spec.coords.items() if key in kept[name].coords}
            _check_labels(kept[name], labels, path)
            kept[name] = kept[name].assign_coords(labels)
    restored = xr.DataTree.from_dict(kept)
    restored.attrs.update({key: _plain(value) for key, value in tree.attrs.items()})
    return spec, frame, design, restored


def _check_labels(stored: xr.Dataset, labels: Mapping[str, Any], path: str | Path) -> None:
    """Draws belong to levels by place: the levels learnt again must be those that were written."""
    for name, values in labels.items():
        written = stored.coords[name].to_numpy()
        same = len(written) == len(values) and list(map(_text, written)) == list(map(_text, values))
        if not (same or pd.Index(written).equals(pd.Index(values))):
            raise DataError(
                f"{str(path)!r} is damaged: the levels of {name!r} are not those of its training rows"
            )


def _storable(dataset: xr.Dataset) -> xr.Dataset:
    """Labels of several types as text; they are taken from the training rows again on reading."""
    mixed = {
        name: [_text(value) for value in coord.to_numpy()]
        for name, coord in dataset.coords.items()
        if coord.dtype == object and not all(isinstance(v, str) and "\0" not in v for v in coord.to_numpy())
    }
    return dataset.assign_coords(
        {name: (dataset.coords[name].dims, values) for name, values in mixed.items()}
    )


def _text(value: Any) -> str:
    return str(value).replace("\0", "\\0")  # netCDF's texts end at a NUL


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


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
        levels = None if beside is None else [_from_json(text) for text in dataset[beside].to_numpy()]
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
    if (
        pd.api.types.infer_dtype(column, skipna=False) == "string"
        and not column.str.contains("\0", regex=False).any()
    ):
        return np.array(column, dtype=object), {"kind": "text"}, None
    values, codes = factorize(column)
    exact = all(_from_json(_to_json(value)) == value for value in values)
    kind = "category" if isinstance(column.dtype, pd.CategoricalDtype) or not exact else "object"
    return codes, {"kind": kind}, [_to_json(value) for value in values]


def _decode(variable: xr.DataArray, levels: list[Any] | None) -> Any:
    values, attrs = variable.to_numpy(), variable.attrs
    match attrs["kind"]:
        case "category":
            return pd.Categorical.from_codes(values, categories=_index(levels), ordered=True)
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


def _to_json(value: Any) -> str:
    """A level as JSON; a value of no kind that JSON or this function knows becomes its text."""
    return json.dumps(_tagged(_plain(value)))


def _tagged(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case uuid.UUID():
            return {"uuid": value.hex}
        case bytes():
            return {"bytes": value.hex()}
        case tuple():
            return {"tuple": [_tagged(_plain(part)) for part in value]}
        case pd.Interval(left=left, right=right, closed=closed):
            return {"interval": [_tagged(_plain(left)), _tagged(_plain(right)), closed]}
        case pd.Period(freqstr=freq):
            return {"period": [str(value), freq]}
        case pd.Timedelta():
            return {"timedelta": value.isoformat()}
        case dt.datetime():
            return {"datetime": value.isoformat()}
        case dt.date():
            return {"date": value.isoformat()}
        case dt.time():
            return {"time": value.isoformat()}
    return str(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "uuid": uuid.UUID,
    "bytes": bytes.fromhex,
    "tuple": tuple,
    "interval": lambda parts: pd.Interval(*parts),
    "period": lambda parts: pd.Period(*parts),
    "timedelta": pd.Timedelta,
    "datetime": pd.Timestamp,
    "date": dt.date.fromisoformat,
    "time": dt.time.fromisoformat,
}


def _from_json(text: str) -> Any:
    def read(tagged: dict[str, Any]) -> Any:
        ((kind, value),) = tagged.items()
        return _READERS[kind](value)

    return json.loads(text, object_hook=read)


def _spec_to_dict(spec: ModelSpec) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "formulas": {name: str(formula) for name, formula in spec.layout.formulas.items()},
        "family": spec.family.name,
        "link": spec.link_name,
        "priors": [
            [
                p.kind,
                p.coefficient,
                p.group,
                p.parameter,
                p.prior.name,
                dict(p.prior.args),
                p.origin,
                p.literal,
            ]
            for p in spec.priors
        ],
        "center": spec.center,
    }


def _spec_from_dict(stored: dict[str, Any], frame: pd.DataFrame) -> tuple[ModelSpec, Design]:
    """The layout is learnt again from the training rows; the priors are those that were settled."""
    if stored["format"] > FORMAT:
        raise DataError("the file was saved by a newer hierbayes; update to read it")
    formulas = {name: parse(text, response=name == MEAN) for name, text in stored["formulas"].items()}
    family, link = get_family(stored["family"], stored["link"])
    layout = learn(formulas, frame, family, link)
    if stored["format"] == 1:
        layout = _about_means(layout)
    priors = tuple(
        ResolvedPrior(kind, coefficient, group, parameter, Prior(name, **args), origin, *literal)
        for kind, coefficient, group, parameter, name, args, origin, *literal in stored["priors"]
    )
    spec = ModelSpec(layout, family, link, priors, stored.get("center", True))
    return spec, spec.layout.bind(frame)


def _about_means(layout: Layout) -> Layout:
    """The layout as 0.1 had it: columns less their means beside an intercept, and as they are without one."""

    def centred(columns: Columns, labels: Sequence[str], blocks: Sequence[Sequence[int]]) -> Columns:
        residuals = np.eye(len(labels))
        for block in blocks:
            for intercept in (place for place in block if labels[place] == INTERCEPT):
                own = [place for place in block if place != intercept]
                residuals[intercept, own] = -columns.means[own]
        back = columns.inner.inverse @ residuals
        spread = columns.spread
        moved = replace(spread, means=spread.means @ back, products=back.T @ spread.products @ back)
        return replace(columns, residuals=residuals, spread=moved)

    def earlier(predictor: PredictorLayout) -> PredictorLayout:
        labels = predictor.coefficients
        factors = tuple(
            replace(factor, columns=centred(factor.columns, factor.effects, factor.blocks))
            for factor in predictor.factors
        )
        columns = centred(predictor.columns, labels, [range(len(labels))])
        return replace(predictor, columns=columns, factors=factors)

    predictors = {name: earlier(predictor) for name, predictor in layout.predictors.items()}
    return replace(layout, predictors=MappingProxyType(predictors))
