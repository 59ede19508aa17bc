"""Several quantities of a posterior, their labels beside their draws: a table of them, or a labelled array."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.intervals import Interval, labelled, summarise
from hierbayes.data.tables import free_name
from hierbayes.spec import CHAIN_DIMS

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
type Output = Literal["table", "draws"]
QUANTITY = "quantity"


@dataclass(frozen=True, eq=False)
class Quantities:
    """k quantities in every draw.

    Attributes
    ----------
    labels : pandas.DataFrame, (k, …)
        What each is: group, level, effect, …; the index is that of the table.
    values : ndarray, (S, k)
        Draws, chains one after the other.
    chains : int
    name : str
        What the values are.
    bounded : bool
        Whether they are probabilities or differences of such, which have means and sds whatever the draws.
    """

    labels: pd.DataFrame
    values: Array
    chains: int
    name: str
    bounded: bool = False

    def table(self, interval: Interval) -> pd.DataFrame:
        """One row a quantity: its labels, then mean, sd, lower, upper."""
        return labelled(beside(self.labels, summarise(self.values, interval, self.bounded)), interval)

    def differences(self, interval: Interval, null: float = 0.0) -> pd.DataFrame:
        """As `table`, and p_greater: the posterior probability that it is above `null`, a tie counting half."""
        greater = np.mean(self.values > null, axis=0) + 0.5 * np.mean(self.values == null, axis=0)
        return labelled(beside(self.table(interval), {"p_greater": greater}), interval)

    def array(self) -> "xr.DataArray":
        """Every draw: (chain, draw, quantity), the labels as coordinates of the last dimension."""
        import xarray as xr

        shape = (self.chains, len(self.values) // self.chains, self.values.shape[1])
        coords: dict[str, Any] = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
        for name in self.labels.columns:  # chain and draw are ArviZ's: there the column gives way
            coords[free_name(str(name), {*coords, QUANTITY})] = QUANTITY, self.labels[name].to_numpy()
        name = free_name(self.name, coords)
        return xr.DataArray(self.values.reshape(shape), coords, (*CHAIN_DIMS, QUANTITY), name)


def beside(table: pd.DataFrame, columns: Mapping[str, Any], first: bool = False) -> pd.DataFrame:
    """A table with columns of ours behind it, or in front: those called like one of its own have an underscore behind.

    Examples
    --------
    >>> beside(pd.DataFrame({"mean": ["a"]}), {"mean": [1.5], "sd": [0.1]}).columns.tolist()
    ['mean', 'mean_', 'sd']
    """
    named = {own_column(table, name): values for name, values in columns.items()}
    ours = pd.DataFrame(named, index=table.index)
    return pd.concat([ours, table] if first else [table, ours], axis=1)


def by_category(labels: pd.DataFrame, levels: Sequence[Any]) -> pd.DataFrame:
    """Each row once for each category, which a last column has; the rows themselves where there are none.

    Examples
    --------
    >>> by_category(pd.DataFrame({"x": [1, 2]}), ("low", "high"))["category"].tolist()
    ['low', 'high', 'low', 'high']
    """
    if not levels:
        return labels
    repeated = labels.loc[labels.index.repeat(len(levels))].reset_index(drop=True)
    return beside(repeated, {"category": list(levels) * len(labels)})


def own_column(labels: pd.DataFrame, name: str) -> str:
    """What a column of ours is called in a table beside these labels."""
    return free_name(name, set(labels.columns))


def check_output(output: str) -> None:
    """Refuse an output that is neither a table nor draws.

    Raises
    ------
    ValueError
    """
    if output not in ("table", "draws"):
        raise ValueError(f"output must be 'table' or 'draws'; got {output!r}")
