"""Fits on disk: one netCDF file with the draws, the training rows and the whole specification, no pickles."""

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from hierbayes.data.design import OBS, PACKAGE, Design, Layout, PredictorLayout, is_main
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.formulas import resolve_nonlinear
from hierbayes.data.learning import learn, observed_rows
from hierbayes.data.margins import Columns
from hierbayes.data.settling import settle
from hierbayes.errors import DataError, DataWarning, HierBayesError
from hierbayes.families import Family, get_family, is_known
from hierbayes.formula import parse
from hierbayes.outputs import replacing
from hierbayes.priors import Prior
from hierbayes.schema import CHAIN_DIMS, ResolvedPrior, Variable
from hierbayes.seal import FORMAT, check_contents, check_seal, write_sealed
from hierbayes.several import JointSpec, with_common_levels, with_drawn_rows
from hierbayes.spec import ModelSpec
from hierbayes.storedrows import UNSTORABLE, dataset_to_frame, frame_to_dataset

DATA_GROUP = "constant_data"
SPEC_GROUP = "specification"
DATA2_GROUP = "data2"
ORDINARY_TIMES = pd.Timestamp("1678-01-01"), pd.Timestamp("2262-01-01")  # what every netCDF reader decodes


class Stored(NamedTuple):
    """What a file of a fit holds: specification, complete training rows, those as arrays, draws."""

    spec: ModelSpec
    frame: pd.DataFrame
    design: Design
    tree: xr.DataTree


class JointStored(NamedTuple):
    """What a file of a fit of several responses holds: specification, each one's complete rows, draws."""

    spec: JointSpec
    frames: Mapping[str, pd.DataFrame]
    tree: xr.DataTree


def write_fit(path: str | Path, spec: ModelSpec, frame: pd.DataFrame, tree: xr.DataTree) -> None:
    """Write a fit to one netCDF file with a checksum; an older file is replaced once the new one is complete.

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
        Where it can't be written: no such folder, a full disk, …; what was there before is untouched.
    """
    _write(
        path,
        tree,
        {DATA_GROUP: frame_to_dataset(_with_missing(spec, frame))},
        _spec_to_dict(spec),
        spec.layout.matrices,
    )


def write_responses(
    path: str | Path, spec: JointSpec, frames: Mapping[str, pd.DataFrame], tree: xr.DataTree
) -> None:
    """As `write_fit`, of several responses with their rows."""
    rows = {
        f"{DATA_GROUP}_{name}": frame_to_dataset(_with_missing(spec.responses[name], frame))
        for name, frame in frames.items()
    }
    stored = {
        "format": FORMAT,
        "responses": {name: _spec_to_dict(own) for name, own in spec.responses.items()},
        "ties": [_prior_to_list(prior) for prior in spec.tie_priors],
        "rescor": None if spec.rescor is None else _prior_to_list(spec.rescor),
    }
    matrices = {
        name: matrix for own in spec.responses.values() for name, matrix in own.layout.matrices.items()
    }
    _write(path, tree, rows, stored, matrices)


def _with_missing(spec: ModelSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """Training rows with those below them whose response is missing and drawn."""
    missing = spec.layout.response.missing
    return frame if missing is None else pd.concat([frame, missing])


def _write(
    path: str | Path,
    tree: xr.DataTree,
    rows: Mapping[str, xr.Dataset],
    stored: Mapping[str, Any],
    matrices: Mapping[str, pd.DataFrame],
) -> None:
    groups = {name: node.to_dataset() for name, node in tree.children.items()} | dict(rows)
    labels = {name: list(matrix.index) for name, matrix in matrices.items()}
    groups[SPEC_GROUP] = xr.Dataset({"json": ((), json.dumps({**stored, "data2": labels}))})
    if matrices:
        groups[DATA2_GROUP] = xr.Dataset(
            {
                f"matrix{place}": ((f"level{place}", f"level{place}_2"), matrix.to_numpy())
                for place, matrix in enumerate(matrices.values())
            }
        )
    whole = xr.DataTree.from_dict({name: _storable(dataset) for name, dataset in groups.items()})
    whole.attrs.update(tree.attrs)
    with replacing(path) as draft:
        write_sealed(draft, whole)


def read_fit(path: str | Path, family: Family | None = None) -> Stored | JointStored:
    """Read what `write_fit` or `write_responses` wrote: specification, training rows, design and draws.

    Parameters
    ----------
    path : str or Path
    family : Family or None
        The user's own that the fit was made with.

    Raises
    ------
    DataError
        For a file that is damaged or no fit of hierbayes, or without the family that it was made with.
    """
    if not Path(path).exists():
        raise DataError(f"there is no file {str(path)!r} here ({Path.cwd()}); a fit's save() writes one")
    if not Path(path).is_file():
        raise DataError(
            f"{str(path)!r} is not a fit that hierbayes saved, but a folder; a fit's save() writes a file"
        )
    if not check_seal(path):
        warnings.warn(
            f"{str(path)!r} was saved by version 0.1, without a checksum: damage to it would not be noticed. "
            "Where you trust it, save it anew: hb.load(…).save(…)",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
    check_contents(path)
    try:
        return _read(path, family)
    except HierBayesError as error:
        raise DataError(f"{str(path)!r} cannot be read as a fit: {error}") from error
    except Exception as error:  # what a checksum can't know: a file that something else wrote
        raise DataError(
            f"{str(path)!r} is not a fit that hierbayes saved; a fit's save() writes one"
        ) from error


def _read(path: str | Path, family: Family | None) -> Stored | JointStored:
    with xr.open_datatree(path, engine="h5netcdf") as opened:
        tree = opened.load()
    stored = json.loads(str(tree[SPEC_GROUP]["json"].item()))
    if "responses" in stored:
        return _read_responses(tree, stored)
    frame = dataset_to_frame(tree[DATA_GROUP].to_dataset())
    spec, design = _spec_from_dict(stored, frame, family, _matrices(tree, stored))
    kept = {
        name: node.to_dataset()
        for name, node in tree.children.items()
        if name not in (DATA_GROUP, SPEC_GROUP, DATA2_GROUP)
    }
    _check_posterior(kept["posterior"], spec.variables, spec.coords)
    for name in ("posterior", "prior"):
        if name in kept:
            labels = {key: values for key, values in spec.coords.items() if key in kept[name].coords}
            _check_labels(kept[name], labels)
            kept[name] = kept[name].assign_coords(labels)
    for name, group in kept.items():
        if group.sizes.get(OBS) == len(design):
            kept[name] = group.assign_coords({OBS: design.labels})
    return Stored(spec, observed_rows(spec.layout.formulas, frame), design, _restored(kept, tree))


def _matrices(tree: xr.DataTree, stored: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The matrices that the formulas name; files of earlier versions have none."""
    return {
        name: pd.DataFrame(tree[DATA2_GROUP][f"matrix{place}"].to_numpy(), labels, labels)
        for place, (name, labels) in enumerate(stored.get("data2", {}).items())
    }


def _restored(kept: Mapping[str, xr.Dataset], tree: xr.DataTree) -> xr.DataTree:
    restored = xr.DataTree.from_dict(dict(kept))
    restored.attrs.update({key: _plain(value) for key, value in tree.attrs.items()})
    return restored


def _read_responses(tree: xr.DataTree, stored: Mapping[str, Any]) -> JointStored:
    frames = {
        name: dataset_to_frame(tree[f"{DATA_GROUP}_{name}"].to_dataset()) for name in stored["responses"]
    }
    matrices = _matrices(tree, stored)
    specs = {
        name: _spec_from_dict(own, frames[name], None, matrices)[0]
        for name, own in stored["responses"].items()
    }
    priors = tuple(map(_prior_of, stored["ties"]))
    residuals = stored.get("rescor")
    rescor = None if residuals is None else _prior_of(residuals)
    frames = {name: observed_rows(specs[name].layout.formulas, frame) for name, frame in frames.items()}
    settled = with_common_levels(with_drawn_rows(specs), frames)
    spec = JointSpec(MappingProxyType(settled), priors, rescor)
    posterior = tree["posterior"].to_dataset()
    _check_posterior(posterior, spec.variables, spec.coords)
    _check_labels(posterior, spec.coords)
    kept = {
        "posterior": posterior.assign_coords(spec.coords),
        "sample_stats": tree["sample_stats"].to_dataset(),
    }
    for name, frame in frames.items():
        labels = np.asarray(frame.index.to_numpy())
        kept[f"observed_data_{name}"] = (
            tree[f"observed_data_{name}"].to_dataset().assign_coords({OBS: labels})
        )
    return JointStored(spec, frames, _restored(kept, tree))


def _check_posterior(posterior: xr.Dataset, variables: Sequence[Variable], coords: Mapping[str, Any]) -> None:
    """The draws must be those of the model that the file states: its variables, as numbers in their shapes."""
    for variable in variables:
        if variable.name not in posterior:
            raise DataError(f"it has no draws of {variable.name!r}")
        draws = posterior[variable.name]
        lengths = tuple(len(coords[dim]) for dim in variable.dims)
        if (
            draws.dims != (*CHAIN_DIMS, *variable.dims)
            or draws.shape[2:] != lengths
            or draws.dtype.kind != "f"
        ):
            raise DataError(
                f"the draws of {variable.name!r} are {draws.dtype} of dims {', '.join(map(str, draws.dims))} "
                f"{draws.shape}, not numbers of {', '.join((*CHAIN_DIMS, *variable.dims))} (…, …, "
                f"{', '.join(map(str, lengths))})"
            )


def _check_labels(stored: xr.Dataset, labels: Mapping[str, Any]) -> None:
    """Draws belong to levels by place: the levels learnt again must be those that were written."""
    for name, values in labels.items():
        written = stored.coords[name].to_numpy()
        same = _texts(written) == _texts(values)
        if not (same or pd.Index(written).equals(pd.Index(values))):
            raise DataError(f"the levels of {name!r} are not those of its training rows")


def _storable(dataset: xr.Dataset) -> xr.Dataset:
    """Labels of several types as text; they are taken from the training rows again on reading."""
    texts = {
        name: (coord.dims, _texts(coord.to_numpy()))
        for name, coord in dataset.coords.items()
        if not _is_readable(coord.to_numpy())
    }
    return dataset.assign_coords(texts).drop_encoding()


def _is_readable(labels: np.ndarray[Any, Any]) -> bool:
    """Whether other programs read these labels from netCDF as they are."""
    if labels.dtype.kind == "M":
        return len(labels) == 0 or bool(
            labels.min() >= ORDINARY_TIMES[0] and labels.max() <= ORDINARY_TIMES[1]
        )
    return labels.dtype != object or all(isinstance(v, str) and not UNSTORABLE.search(v) for v in labels)


def _texts(labels: np.ndarray[Any, Any]) -> list[str]:
    one_unit = labels.astype("datetime64[us]") if labels.dtype.kind == "M" else labels
    return [UNSTORABLE.sub(_escaped, str(value)) for value in one_unit]


def _escaped(odd: re.Match[str]) -> str:
    return odd[0].encode("unicode_escape").decode()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _spec_to_dict(spec: ModelSpec) -> dict[str, Any]:
    known = {parameter.name for parameter in spec.family.known}  # the response's own formula has them
    links = {name: link for name, link in spec.links.items() if name not in known}
    return {
        "format": FORMAT,
        "formulas": {name: str(formula) for name, formula in spec.formulas.items()},
        "family": spec.family.name,
        "own_family": _own_kinds(spec.family),
        "link": {**links, spec.family.first.name: spec.shown_link},
        "priors": [_prior_to_list(prior) for prior in spec.priors],
        "center": spec.center,
    }


def _prior_to_list(p: ResolvedPrior) -> list[Any]:
    return [
        p.kind,
        p.coefficient,
        p.group,
        p.parameter,
        p.prior.name,
        dict(p.prior.args),
        p.origin,
        p.literal,
    ]


def _prior_of(stored: Sequence[Any]) -> ResolvedPrior:
    kind, coefficient, group, parameter, name, arguments, origin, *literal = stored
    return ResolvedPrior(kind, coefficient, group, parameter, Prior(name, **arguments), origin, *literal)


def _own_kinds(family: Family) -> dict[str, str] | None:
    """The kinds of the parameters of a family of the user's own; None of one that is here."""
    return None if is_known(family.name) else {one.name: one.kind.name for one in family.parameters}


def _family(stored: dict[str, Any], own: Family | None) -> str | Family:
    """The family of a file: one that is here by its name, one of the user's own as it is given.

    Raises
    ------
    DataError
        Where it is not given, or is another.
    """
    name, kinds = str(stored["family"]), stored.get("own_family")
    if kinds is None:
        if own is not None and own.name != name:
            raise DataError(f"the fit is of family {name!r}, not {own.name!r}; leave family= out")
        return name
    shown = ", ".join(f"{parameter} ({kind})" for parameter, kind in kinds.items())
    if own is None:
        raise DataError(
            f"the fit is of a family of your own, {name!r} with {shown}, and a file holds no code; make the family "
            "again and give it: hb.load(path, family=…)"
        )
    if own.name != name or _own_kinds(own) != kinds:
        have = ", ".join(f"{one.name} ({one.kind.name})" for one in own.parameters)
        raise DataError(
            f"the fit is of a family {name!r} with {shown}; the one given is {own.name!r} with {have}"
        )
    return own


def _spec_from_dict(
    stored: dict[str, Any],
    frame: pd.DataFrame,
    own: Family | None = None,
    matrices: Mapping[str, pd.DataFrame] = MappingProxyType({}),
) -> tuple[ModelSpec, Design]:
    """The layout is learnt again from the training rows; the priors are those that were settled."""
    texts = stored["formulas"]
    formulas = resolve_nonlinear({name: parse(text, response=is_main(name)) for name, text in texts.items()})
    named, saved = stored["link"], _family(stored, own)
    known, _ = get_family(saved)
    if isinstance(named, str):  # of earlier files: the first parameter's alone
        named = {known.first.name: named}
    before = {parameter.name for parameter in known.parameters}  # the response's categories settle others
    family, links = get_family(saved, {name: link for name, link in named.items() if name in before})
    formulas, family = settle(formulas, frame, family, {**named, **links})
    links = family.with_links({**named, **links})
    layout = learn(formulas, frame, family, links[family.first.name], matrices)
    if stored["format"] == 1:
        layout = _about_means(layout)
    priors = tuple(map(_prior_of, stored["priors"]))
    spec = ModelSpec(layout, family, links, priors, stored.get("center", True))
    return spec, spec.layout.bind(observed_rows(formulas, frame))


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
