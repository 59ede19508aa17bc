"""Cross-validated predictive densities as ArviZ's records, so that its tables and plots take them."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.utils import ELPDDataLOO
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(kw_only=True, repr=False)
class LOO(ELPDDataLOO):  # type: ignore[misc, unused-ignore]
    """Leave-one-out cross-validation: ArviZ's record, and how each row's density was found.

    Attributes
    ----------
    method_i : xarray.DataArray of str
        One a row: ``"psis"`` (plain importance sampling), ``"integrated"`` (with the row's group effects integrated
        out), ``"moment_match"`` (and with the draws moved towards the posterior without the row) or ``"refit"``.
    influence_pareto_k : xarray.DataArray
        Pareto k of plain importance sampling, before anything was integrated, matched or refitted: how much each row
        moves the posterior.
    labels : pandas.Index
        The rows as the user's table has them, less those that were left out for missing values.
    """

    method_i: xr.DataArray | None = None
    labels: pd.Index

    @property
    def table(self) -> pd.DataFrame:
        """One row an observation, by its label in the user's table: elpd, p_loo, pareto_k, method."""
        columns = {"p_loo": self.p_loo_i, "pareto_k": self.pareto_k, "method": self.method_i}
        return _table(self, columns).set_axis(self.labels, axis="index")


@dataclass(kw_only=True, repr=False)
class LOGO(ELPDDataLOO):  # type: ignore[misc, unused-ignore]
    """Leave-one-group-out cross-validation, one entry a level: ArviZ's record with what belongs to groups.

    Attributes
    ----------
    rows_i : xarray.DataArray of int
        Rows of each level.
    error_i : xarray.DataArray
        How far the level's elpd moves when the quadrature is halved; 0 where the integral is exact. Of a level that
        was refitted also the Monte Carlo error of its mean density; of others Pareto's k says how good the draws are.
    method_i : xarray.DataArray of str
        ``"psis"`` or ``"refit"``.
    """

    _kind: ClassVar[str] = "logo"

    rows_i: xr.DataArray | None = None
    error_i: xr.DataArray | None = None
    method_i: xr.DataArray | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row a level: elpd, p_logo, pareto_k, n, error, method."""
        columns = {
            "p_logo": self.p_loo_i,
            "pareto_k": self.pareto_k,
            "n": self.rows_i,
            "error": self.error_i,
            "method": self.method_i,
        }
        return _table(self, columns)


def _table(record: Any, columns: dict[str, Any]) -> pd.DataFrame:
    values = {"elpd": record.elpd_i, **columns}
    dim = record.elpd_i.dims[0]
    index = pd.Index(record.elpd_i[dim].to_numpy(), name=dim)
    return pd.DataFrame({name: array.to_numpy() for name, array in values.items()}, index=index)


def summed(elpd: Array, p: Array) -> dict[str, Any]:
    """Total, its standard error and the effective number of parameters of pointwise values (n,)."""
    return {
        "elpd": float(elpd.sum()),
        "se": float(np.sqrt(len(elpd) * elpd.var())),
        "p": float(p.sum()),
        "n_data_points": len(elpd),
        "scale": "log",
    }
