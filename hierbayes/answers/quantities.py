"""Answers as values: quantities of a posterior, their labels beside their draws, as a table or as a labelled array."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.answers.intervals import MEASURES, Interval, get_interval, labelled, measure, when_needed
from hierbayes.data.tables import free_name
from hierbayes.errors import DataError
from hierbayes.schema import CHAIN_DIMS

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
type Output = Literal["table", "draws"]
QUANTITY = "quantity"


class Answer(Protocol):
    """What a method of a fit has found out, before it is put into numbers of a table."""

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Estimates with credible intervals, from ``arviz.rcParams`` unless given."""

    def draws(self) -> "xr.DataArray":
        """The same in every draw."""


@dataclass(frozen=True)
class View:
    """How an answer is wanted: as a table with such intervals, or every draw."""

    output: Output
    prob: float | None
    interval: str | None

    def of(self, answer: Answer) -> Any:
        """The answer as it is wanted."""
        return answer.draws() if self.output == "draws" else answer.table(self.prob, self.interval)


def view(output: Output, prob: float | None, interval: str | None) -> View:
    """How a user wants an answer, which is asked before anything is computed.

    Raises
    ------
    ValueError
        For an output that is neither a table nor draws, or a table's intervals that aren't any.
    """
    if output not in ("table", "draws"):
        raise ValueError(f"output must be 'table' or 'draws'; got {output!r}")
    if output == "table":
        chosen = get_interval(prob, interval)
        return View(output, chosen.prob, chosen.kind)
    return View(output, prob, interval)


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
    bounded : bool or ndarray, (k,)
        Whether they are probabilities or differences of such, which have means and sds whatever the draws.
    tails : ndarray, (k,), or float
        Values that Pareto k is known to have at least.
    more : mapping of str to ndarray, (k,)
        Columns that a table has at its end.
    attrs : mapping
        What goes with the table and the array.
    """

    labels: pd.DataFrame
    values: Array
    chains: int
    name: str
    tails: Array | float = -np.inf
    more: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    attrs: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    bounded: NDArray[np.bool_] | bool = False

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """One row a quantity: its labels, then mean, sd, lower, upper, and what else is known of it."""
        chosen = get_interval(prob, interval)
        return labelled(self._beside(when_needed(self._measure(chosen))), chosen)

    def measured(self, interval: Interval) -> pd.DataFrame:
        """As `table`, always with median and pareto_k: a piece of a larger table."""
        return self._beside(self._measure(interval))

    def _measure(self, interval: Interval) -> Mapping[str, Array]:
        return measure(self.values, interval, self.tails, self.bounded)

    def _beside(self, columns: Mapping[str, Array]) -> pd.DataFrame:
        table = beside(beside(self.labels, columns), self.more)
        table.attrs.update(self.attrs)
        return table

    def draws(self) -> "xr.DataArray":
        """Every draw: (chain, draw, quantity), the labels as coordinates of the last dimension."""
        import xarray as xr

        shape = (self.chains, len(self.values) // self.chains, self.values.shape[1])
        coords: dict[str, Any] = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
        for name in self.labels.columns:  # chain and draw are ArviZ's: there the column gives way
            coords[free_name(str(name), {*coords, QUANTITY})] = QUANTITY, self.labels[name].to_numpy()
        name = free_name(self.name, coords)
        return xr.DataArray(
            self.values.reshape(shape), coords, (*CHAIN_DIMS, QUANTITY), name, attrs=dict(self.attrs)
        )


@dataclass(frozen=True, eq=False)
class Pieces:
    """Quantities in several pieces, whose draws are not put side by side for a table.

    Attributes
    ----------
    pieces : tuple of Quantities
    columns : tuple of str
        The labels' columns, for a table without rows.
    """

    pieces: tuple[Quantities, ...]
    columns: tuple[str, ...]

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """The pieces' tables one below the other."""
        chosen = get_interval(prob, interval)
        tables = [piece.measured(chosen) for piece in self.pieces]
        return labelled(when_needed(stack(tables, (*self.columns, *MEASURES))), chosen)

    def draws(self) -> "xr.DataArray":
        """Every draw: (chain, draw, quantity).

        Raises
        ------
        DataError
            Where there are no quantities.
        """
        if not self.pieces:
            raise DataError(f"the model has no quantities of this kind, by {', '.join(self.columns)}")
        first = self.pieces[0]
        labels = stack([piece.labels for piece in self.pieces], self.columns)
        values = np.hstack([piece.values for piece in self.pieces])
        return Quantities(labels, values, first.chains, first.name).draws()


def stack(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Tables one below the other, each level with its own value and type; of none, an empty one."""
    if not tables:
        return pd.DataFrame(columns=list(columns))
    if len({table["level"].dtype for table in tables if "level" in table}) > 1:
        tables = [table.astype({"level": object}) for table in tables]
    return pd.concat(tables, ignore_index=True)


def share_above(values: Array, null: float = 0.0) -> dict[str, Array]:
    """Column p_greater: the posterior probability that draws (S, k) are above `null`, a tie counting half."""
    return {"p_greater": np.mean(values > null, axis=0) + 0.5 * np.mean(values == null, axis=0)}


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
