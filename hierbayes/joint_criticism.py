"""How well a model of several responses predicts rows that are left out with all their responses."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.approximation import refuse_approximation
from hierbayes.answers.draws import flatten
from hierbayes.answers.predict import CHUNK_ENTRIES, Request, choose_groups, evaluate_predictors
from hierbayes.data.design import OBS
from hierbayes.data.levels import Codes
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.joint_posterior import JointPosterior
from hierbayes.schema import CHAIN_DIMS
from hierbayes.several import ResidualCorrelations

if TYPE_CHECKING:
    from hierbayes.criticism.elpd import LOGO, LOO

Array = NDArray[np.float64]


class JointCriticism(JointPosterior):
    """Is a model of several responses any good: rows left out with all the responses that they have."""

    def log_likelihood(self, *, response: str | None = None) -> xr.DataTree:
        """The draws with the log-likelihood of every row beside them, all its responses together.

        Parameters
        ----------
        response : str, optional
            That one alone: its own draws and rows, as `response` has them.

        Returns
        -------
        xarray.DataTree
            The groups of `tree` and ``log_likelihood``, for ArviZ's functions.
        """
        if response is not None:
            own: xr.DataTree = self.response(response).log_likelihood()
            return own
        rows, values = self.rows, self._log_likelihoods()
        sizes = self.posterior.sizes["chain"], self.posterior.sizes["draw"]
        coords = {OBS: rows.to_numpy()}
        array = xr.DataArray(values.T.reshape(*sizes, len(rows)), coords, (*CHAIN_DIMS, OBS))
        whole = self.tree.copy()
        whole["log_likelihood"] = xr.Dataset({"responses": array})
        return whole

    def loo(self, refit: bool = False, *, response: str | None = None) -> "LOO":
        """Leave-one-out cross-validation of rows, each left out with all the responses that it has.

        By importance sampling alone: effects that few rows inform make Pareto's k large, and nothing is integrated,
        matched or refitted.

        Parameters
        ----------
        refit : bool
            Of one response alone, as `Fit.loo` takes it.
        response : str, optional
            Of that one, of which the others of the row stay: as `Fit.loo`.

        Returns
        -------
        LOO
            With an entry a row; its `table` has elpd, p_loo, pareto_k and method.

        Raises
        ------
        DataError
            Where rows of the responses cannot be told by their labels.
        """
        from hierbayes.criticism import crossval

        if response is not None:
            own: LOO = self.response(response).loo(refit)
            return own
        if refit:
            raise DataError("refit=True is about one response: loo(refit=True, response=…)")
        refuse_approximation(self.tree, "loo()")
        return crossval.loo_of(
            self._log_likelihoods().T, crossval.efficiency(self.spec.variables, self.posterior), self.rows
        )

    def logo(self, group: str, refit: bool = False, *, response: str | None = None) -> "LOGO":
        """Leave-one-group-out cross-validation of one response, as `Fit.logo`.

        Raises
        ------
        UnsupportedError
            Without a response, and where an ID joins its effects with those on other responses.
        """
        if response is None:
            raise UnsupportedError(
                f"logo() leaves out levels of one response: logo({group!r}, response={self.responses[0]!r}); "
                "loo() leaves out rows with all their responses"
            )
        own: LOGO = self.response(response).logo(group, refit)
        return own

    @property
    def rows(self) -> pd.Index:
        """The labels of all rows that have some response, in the order in which responses have them.

        Raises
        ------
        DataError
            Where two rows have one label.
        """
        indices = [model.design.index for model in self.model.models.values()]
        for name, index in zip(self.responses, indices, strict=True):
            if not index.is_unique:
                label = index[index.duplicated()][0]
                raise DataError(
                    f"two rows of {name!r} have the label {label!r}, so which responses are of one row can't be told; "
                    "give rows labels of their own (reset_index) before the model is made"
                )
        found = indices[0]
        for index in indices[1:]:
            found = found.append(index.difference(found, sort=False))
        return found

    def responses_by_row(self) -> Array:
        """The responses of every row, missing where it has none: (rows, responses)."""
        found = np.full((len(self.rows), len(self.responses)), np.nan)
        for place, model in enumerate(self.model.models.values()):
            found[self.rows.get_indexer(model.design.index), place] = model.design.y
        return found

    def _log_likelihoods(self) -> Array:
        """The log-likelihood of every row in every draw: (rows, S)."""
        rows = self.rows
        total = np.zeros((len(rows), self.posterior.sizes["chain"] * self.posterior.sizes["draw"]))
        for index, chunks in self._chunks():
            at = rows.get_indexer(index)
            for places, values in chunks:
                total[at[places]] += values.T
        return total

    def _chunks(self) -> Iterator[tuple[pd.Index, Iterator[tuple[Codes, Array]]]]:
        """Rows of each response, or of all whose residuals are correlated, and their log-likelihoods in chunks."""
        from hierbayes.criticism.likelihood import likelihood_chunks

        residuals = self.spec.residuals
        if residuals is not None:
            yield next(iter(self.model.models.values())).design.index, self._correlated_chunks(residuals)
            return
        for name in self.responses:
            own = self.response(name)
            yield own.design.index, likelihood_chunks(own.spec, flatten(own.spec, own.posterior), own.design)

    def _correlated_chunks(self, correlations: ResidualCorrelations) -> Iterator[tuple[Codes, Array]]:
        from hierbayes.families.correlated import log_densities

        parts = self.spec.named
        draws = flatten(parts[0], self.posterior)
        shared = self.spec.shared_values(draws.values)
        roots = np.linalg.cholesky(draws.values[correlations.variable.name])
        count = len(self.model.models[parts[0].response].design)
        step = max(1, CHUNK_ENTRIES // len(draws))
        for start in range(0, count, step):
            places = np.arange(start, min(start + step, count))
            residuals, scales = [], []
            for part in parts:
                design = self.model.models[part.response].design.rows(places)
                request = Request("linear", choose_groups(part, "all"), "error", 0)
                eta, aux = evaluate_predictors(part, draws, design, request)
                residuals.append(design.y - eta)
                scales.append(np.broadcast_to(aux["sigma"], eta.shape))
            yield (
                places,
                log_densities(
                    correlations.law, np.stack(residuals, -1), np.stack(scales, -1), roots, *shared
                ),
            )
