"""Survival: the probability that a response is more than some times, in every draw."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.draws import Draws
from hierbayes.answers.intervals import get_interval, labelled, measure, when_needed
from hierbayes.answers.predict import Request, evaluate_predictors, row_chunks
from hierbayes.data.design import OBS, Design
from hierbayes.data.levels import Codes
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families import Family
from hierbayes.schema import CHAIN_DIMS
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
TIME = "time"


@dataclass(frozen=True, eq=False)
class Survival:
    """The probability of more than each of T times, in every row.

    Attributes
    ----------
    spec : ModelSpec
    posterior : Draws
    design : Design
        The n rows.
    request : Request
        Of a linear predictor: which groups count.
    times : ndarray (T,)
    """

    spec: ModelSpec
    posterior: Draws
    design: Design
    request: Request
    times: Array

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """One row a row and time: mean, sd, lower, upper."""
        chosen, size = get_interval(prob, interval), len(self.times)
        found: dict[str, Array] = {}
        for places, values in self.chunks():
            columns = measure(values, chosen, bounded=True)
            for name, column in columns.items():
                whole = found.setdefault(name, np.empty((len(self.design), size)))
                whole[places] = column.reshape(len(places), size)
        names = self.design.index.names
        labels = [label if isinstance(label, tuple) else (label,) for label in self.design.index]
        index = pd.MultiIndex.from_tuples(
            [(*label, time) for label in labels for time in self.times.tolist()], names=[*names, TIME]
        )
        flat = {name: whole.ravel() for name, whole in found.items()}
        return labelled(pd.DataFrame(when_needed(flat), index=index), chosen)

    def draws(self) -> "xr.DataArray":
        """Every draw: (chain, draw, __obs__, time)."""
        import xarray as xr

        n, size = len(self.design), len(self.times)
        values = np.empty((len(self.posterior), n, size))
        for places, piece in self.chunks():
            values[:, places] = piece
        chains, draws = self.posterior.chains, self.posterior.draws
        coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws)}
        coords |= {OBS: self.design.labels, TIME: self.times}
        shape = (chains, draws, n, size)
        return xr.DataArray(values.reshape(shape), coords, (*CHAIN_DIMS, OBS, TIME), "survival")

    def chunks(self) -> Iterator[tuple[Codes, Array]]:
        """The places of some rows and their probabilities (S, rows, T); every row once."""
        spec = self.spec
        times = np.floor(self.times) if spec.family.support.whole else self.times
        signed = spec.family.support.signed
        certain = (times <= 0) & (signed | ~spec.family.support.contains(times, None))
        for places, rows, effects in row_chunks(spec, self.posterior, self.design, self.request):
            eta, aux = evaluate_predictors(spec, self.posterior, rows, self.request, effects)
            at = spec.family.at(eta, aux, spec.link)
            found = np.ones((*eta.shape, len(self.times)))
            for place in np.flatnonzero(~certain):
                time = np.full(eta.shape[1], times[place])
                found[..., place] = 1.0 - at.cdf(time) + (at.cdf(-time) if signed else 0.0)
            yield places, found


def check_times(family: Family, times: Any) -> Array:
    """Times as numbers in their order (T,), of a response that has any.

    Raises
    ------
    UnsupportedError
        For categories, yes or no, and successes out of trials.
    DataError
        For times that are no numbers.
    """
    if family.support.categories or family.support.two_levels or family.needs_trials:
        raise UnsupportedError(
            f"survival() is the probability that a number is more than a time; a response of family {family.name!r} "
            f"is {family.support.words}"
        )
    try:
        found = np.unique(np.asarray(times, np.float64).ravel())
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not found.size or not np.isfinite(found).all():
        raise DataError(f"times must be one number or several; got {times!r}")
    return found
