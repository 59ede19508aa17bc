"""``B(y, "level")``: 1 where a column has one value, else 0."""

from typing import TYPE_CHECKING, Any

import numpy as np

from hierbayes.transforms.record import Argument, Array, Transform

if TYPE_CHECKING:  # formulas are read without it
    import pandas as pd


def _learn(values: "pd.Series[Any]", success: Any) -> Any:
    distinct = sorted(values.unique().tolist())
    if success is None:
        return distinct[0]
    if success not in distinct:
        raise ValueError(f"no row has the value {success!r}; there are {', '.join(map(repr, distinct[:20]))}")
    return success


def _columns(success: Any, values: "pd.Series[Any]") -> Array:
    return np.asarray(values == success, dtype=np.float64)


_SUCCESS = {"success": Argument("level")}
B = Transform("B", _learn, _columns, _SUCCESS, takes_numbers=False)
BINARY = Transform("binary", _learn, _columns, _SUCCESS, takes_numbers=False)
