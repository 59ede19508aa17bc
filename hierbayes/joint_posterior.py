"""A posterior of several responses: as each of them sees it, and predictions of all."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.draws import draws_of
from hierbayes.answers.latents import true_values
from hierbayes.answers.posterior import CORRELATED_WITH, PREDICTS
from hierbayes.answers.predict import Request, choose_groups, evaluate_predictors, with_categories
from hierbayes.answers.predictions import Kind, NewLevels
from hierbayes.answers.quantities import Output
from hierbayes.data.tables import column_names, read_columns
from hierbayes.engine.draws import to_dataset
from hierbayes.errors import UnsupportedError
from hierbayes.schema import CHAIN_DIMS
from hierbayes.several import JointSpec, known_response

Array = NDArray[np.float64]
MISSING = 13  # parts the random numbers of missing predictors from all others


class JointPosterior:
    """Draws of several responses; `JointFit` adds the answers.

    Attributes
    ----------
    model : JointModel
    tree : xarray.DataTree
    """

    def __init__(self, model: Any, tree: xr.DataTree) -> None:
        self.model, self.tree = model, tree
        self._views: dict[str, Any] = {}

    @property
    def spec(self) -> JointSpec:
        """What was learnt of the data, the families, every prior."""
        spec: JointSpec = self.model.spec
        return spec

    @property
    def responses(self) -> tuple[str, ...]:
        """Names of the responses."""
        names: tuple[str, ...] = self.model.responses
        return names

    @property
    def posterior(self) -> xr.Dataset:
        """The posterior group as a dataset."""
        return self.tree["posterior"].to_dataset()

    def response(self, name: str) -> Any:
        """The fit as one response sees it: a `Fit`, with all its methods; its draws are the joint posterior's."""
        name = known_response(name, self.responses)
        if name not in self._views:
            self._views[name] = self._view(name)
        return self._views[name]

    def _view(self, name: str) -> Any:
        spec, own = self.spec.responses[name], self.model.models[name]
        arrays = {str(key): values.to_numpy() for key, values in self.posterior.data_vars.items()}
        groups = {
            "posterior": to_dataset(spec, self.spec.own_arrays(name, arrays)),
            "sample_stats": self.tree["sample_stats"].to_dataset(),
            "observed_data": self.tree[f"observed_data_{name}"].to_dataset(),
        }
        tree = xr.DataTree.from_dict(groups)
        tree.attrs.update(self.tree.attrs)
        if self.spec.rescor is not None:
            tree.attrs[CORRELATED_WITH] = ", ".join(other for other in self.responses if other != name)
        others = [
            other
            for other, one in self.spec.responses.items()
            if name in [self.spec.source_of(imputed.column) for imputed in one.layout.imputed]
        ]
        if others:
            tree.attrs[PREDICTS] = ", ".join(others)
        return self.model._make_fit(spec, own.data, own.design, tree)

    def _part(self, name: str) -> Any:
        """The fit of one response as a part of all: its draws are all responses', by their names there."""
        part = next(spec for spec in self.spec.named if spec.response == name)
        own = self.model.models[name]
        return self.model._make_fit(part, own.data, own.design, self.tree)

    def _with_missing(self, name: str, rows: Any, seed: int) -> Any:
        """As `_part`, with draws of predictors that new rows miss: each from the formula of its own."""
        part = self._part(name)
        if rows is None or not part.spec.layout.imputed:
            return part
        posterior = self.posterior
        table = read_columns(rows, column_names(rows, "the new rows"), words="the new rows")
        for one in part.spec.layout.imputed:
            absent = np.ones(len(table), np.bool_)
            if one.column in table:
                absent = table[one.column].isna().to_numpy()
            if not absent.any():
                continue
            if not len(one.index):
                raise UnsupportedError(
                    f"{one.column!r} is missing in new rows, and was in none that the model was made of; fill it"
                )
            new = self._values(self.spec.source_of(one.column), table[absent], seed)
            variable = part.spec.imputed_variable(one.column)
            known = draws_of(posterior, variable)
            both = np.concatenate([known, new.reshape(*known.shape[:2], -1)], axis=2)
            posterior = posterior.drop_vars([variable.name, variable.dims[0]], errors="ignore")
            posterior[variable.name] = (*CHAIN_DIMS, *variable.dims), both
        tree = xr.DataTree.from_dict({"posterior": posterior})
        tree.attrs.update(self.tree.attrs)
        own = self.model.models[name]
        return self.model._make_fit(part.spec, own.data, own.design, tree)

    def _values(self, name: str, rows: pd.DataFrame, seed: int) -> Array:
        """Values of a response in new rows, without errors of measurement: (S, n)."""
        part = self._with_missing(name, rows, seed)
        groups = choose_groups(part.spec, "all")
        design, draws = part.spec.layout.bind_new(rows, groups), part._draws()
        eta, aux = evaluate_predictors(part.spec, draws, design, Request("linear", groups, "sample", seed))
        rng = np.random.default_rng([seed, MISSING])
        if part.spec.layout.response.measured is not None:
            return true_values(part.spec, eta, aux, rng)
        found: Array = part.spec.family.of_row.at(eta, aux, part.spec.link).simulate(rng, None)
        return found

    def predict(
        self,
        rows: Any = None,
        kind: Kind = "mean",
        groups: Any = "all",
        new_levels: NewLevels = "sample",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
        parameter: str | None = None,
        *,
        response: str | None = None,
    ) -> Any:
        """Predictions of every response, as `Fit.predict` those of one.

        A new group's effects on all responses are drawn together: those with an ID have the correlations of the
        draw. So sums and differences of draws of several responses are those of one group.

        Parameters
        ----------
        rows, kind, groups, new_levels, output, prob, interval, seed, parameter
            As in `Fit.predict`; without `rows` each response has its own training rows. A predictor in ``mi()`` that a
            row misses, or that has no column there, is drawn from the formula of its own.
        response : str, optional
            That one alone.

        Returns
        -------
        pandas.DataFrame, xarray.DataArray or dict
            Of one response as from `Fit.predict`. Of all a table with the response before the index of the rows, or
            with ``output="draws"`` a DataArray by response.
        """
        names = self.responses if response is None else (known_response(response, self.responses),)
        found = {
            name: self._with_missing(name, rows, seed).predict(
                rows, kind, groups, new_levels, output, prob, interval, seed, parameter
            )
            for name in names
        }
        if response is not None:
            return found[response]
        return found if output == "draws" else _below_each_other(found)

    def posterior_predictive(
        self, draws: int | None = 500, seed: int = 0, *, response: str | None = None
    ) -> xr.DataTree:
        """The draws with simulated responses of the training rows beside them, as `Fit.posterior_predictive`.

        Parameters
        ----------
        draws : int or None
            About how many of the draws to use, evenly spaced; None for all.
        seed : int
        response : str, optional
            That one alone: its own draws, as `response` has them.

        Returns
        -------
        xarray.DataTree
            The groups of `tree`, and for each response such as ``posterior_predictive_math``.
        """
        if response is not None:
            one: xr.DataTree = self.response(response).posterior_predictive(draws, seed)
            return one
        tree = self.tree.copy()
        for name in self.responses:
            simulated = self._part(name).posterior_predictive(draws, seed)["posterior_predictive"]
            tree[f"posterior_predictive_{name}"] = simulated
        return tree


def _below_each_other(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of predictions with the response before their index; numbers have no category, "", beside categories'."""
    depth = max(table.index.nlevels for table in tables.values())
    same = [
        table if table.index.nlevels == depth else table.set_axis(with_categories(table.index, ("",)))
        for table in tables.values()
    ]
    return pd.concat(same, keys=list(tables), names=["response", *same[0].index.names])
