"""A posterior and the model it belongs to: what every answer is computed from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from hierbayes.answers.draws import Draws, flatten
from hierbayes.data.design import Design
from hierbayes.data.sources import Source
from hierbayes.engine.streamed import Streamed, in_memory
from hierbayes.errors import UnsupportedError
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

CORRELATED_WITH = (
    "residuals_correlated_with"  # of one response's draws: other responses that say something of its rows
)
PREDICTS = (
    "missing_values_predict"  # of one response's draws: other responses that its missing values predict
)


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Specification, training rows and draws; `Fit` adds the answers, a class a group of them.

    Attributes
    ----------
    spec : ModelSpec
    data : pandas.DataFrame or Source
    design : Design or Streamed
    tree : xarray.DataTree
    """

    spec: ModelSpec
    data: pd.DataFrame | Source
    design: Design | Streamed
    tree: "xr.DataTree"

    @property
    def posterior(self) -> "xr.Dataset":
        """The posterior group as a dataset: dims chain, draw and the schema's own."""
        return self.tree["posterior"].to_dataset()

    def _need_own_posterior(self, what: str) -> None:
        """Refuse what takes the draws for those of a model of this response alone, where they are of several.

        Raises
        ------
        UnsupportedError
        """
        factors = (factor for layout in self.spec.layout.predictors.values() for factor in layout.factors)
        told = self.tree.attrs.get(CORRELATED_WITH) or self.tree.attrs.get(PREDICTS)
        if told or self.spec.layout.imputed or any(factor.told_by_others for factor in factors):
            raise UnsupportedError(
                f"{what} is about a model of one response, and these draws know of others that say something of its "
                "effects, residuals or missing values: take the fit of all responses, or fit a model of this one alone"
            )

    def _draws(self) -> Draws:
        return flatten(self.spec, self.posterior)

    def _rows(self, instead: str = "") -> Design:
        """The training rows as arrays, for what needs all of them at once; `instead` is the way out."""
        return in_memory(self.design, "this", instead)

    def _frame(self) -> pd.DataFrame:
        """The training rows, for what needs all of them at once."""
        self._rows()
        assert isinstance(self.data, pd.DataFrame)
        return self.data

    def _with_groups(self, **more: "xr.Dataset") -> "xr.DataTree":
        import xarray as xr

        groups: dict[str, Any] = {name: node.to_dataset() for name, node in self.tree.children.items()}
        whole = xr.DataTree.from_dict({**groups, **more})
        whole.attrs.update(self.tree.attrs)
        return whole
