"""Predictions and their differences, as methods of a fit."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from hierbayes.answers import comparison, predict
from hierbayes.answers.draws import Draws
from hierbayes.answers.intervals import get_interval, labelled
from hierbayes.answers.posterior import Posterior
from hierbayes.answers.predict import Request
from hierbayes.answers.quantities import Output, view
from hierbayes.answers.series import find_past
from hierbayes.answers.survival import Survival, check_times
from hierbayes.data.design import Design
from hierbayes.engine.streamed import Streamed, in_memory
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

type Kind = Literal["linear", "mean", "response", "score"]
type NewLevels = Literal["sample", "mean", "average", "error"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """A prediction of every row, in bounded memory unless its draws are asked for.

    Attributes
    ----------
    spec : ModelSpec
    posterior : Draws
    design : Design or Streamed
        The rows; those that stay in their source are read part by part, for a table.
    request : Request
    """

    spec: ModelSpec
    posterior: Draws
    design: Design | Streamed
    request: Request

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """One row a prediction: mean, sd, lower, upper; the index is that of the rows."""
        chosen = get_interval(prob, interval)
        parts = [self.design] if isinstance(self.design, Design) else self.design.designs()
        tables = [
            predict.predict_table(self.spec, self.posterior, part, self.request, chosen) for part in parts
        ]
        return labelled(pd.concat(tables), chosen) if len(tables) > 1 else tables[0]

    def draws(self) -> "xr.DataArray":
        """Every draw: (chain, draw, __obs__), of probabilities (…, category)."""
        design = in_memory(self.design, "this")
        array: xr.DataArray = predict.predict_draws(self.spec, self.posterior, design, self.request)
        return array


class Predictions(Posterior):
    """What a fit expects of rows."""

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
    ) -> Any:
        """Predictions for new rows, or for the training rows.

        A level that training had uses its own draws. A level it hadn't is a new group: its effects are drawn from
        the population, once per posterior draw and shared by its rows. A missing level is an unknown group of that
        row alone. Where residuals are correlated within series, rows of a series that training had, all at times it
        had no row of, are predicted given its residuals, responses and means, with ``groups="all"``.

        Parameters
        ----------
        rows : data frame or mapping, optional
            n rows with the predictors' columns and those of the grouping factors that count; the training rows
            unless given.
        kind : {"linear", "mean", "response", "score"}
            The linear predictor, the expected response (for binomial a probability, of categories each one's), or
            simulated responses. Of ordered categories also the expected score: their values where these are numbers,
            else 1, 2, …. A table of simulated categories is of scores too; their draws are places, 0, 1, ….
        groups : "all", "none", "average", str or list of str
            The grouping factors that count. ``"average"``: all, each row in a new group, and means averaged over
            the population of groups; the columns of grouping factors need not be there.
        new_levels : {"sample", "mean", "average", "error"}
            Draw a new level's effects from the population, set them to 0, average the expected response over the
            population (Gauss–Hermite quadrature in every draw), or refuse. Under ``"average"`` a linear predictor
            has them at 0, which is its average, and a simulated response has them drawn.
        output : {"table", "draws"}
            A summary, in bounded memory, or every draw.
        prob, interval : float, str, optional
            Probability and kind of the credible interval; from ``arviz.rcParams`` unless given.
        seed : int
            Of new levels and simulated responses.
        parameter : str, optional
            A parameter of the family in the response's place, such as ``"zi"``: its value, or with ``kind="linear"``
            its linear predictor.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            mean, sd, lower, upper with the index of `rows`, of probabilities also by category; or draws (chain,
            draw, __obs__), of probabilities (…, category).

        Raises
        ------
        DataError
            For an absent column, a missing predictor, an unseen level of a population-level factor, or with
            ``new_levels="error"`` an unseen level of a grouping factor.

        Warns
        -----
        DataWarning
            Where a number in a spline or a polynomial basis lies beyond its range in the training rows, or another
            number farther beyond its range than that is wide.
        """
        request = predict.make_request(self.spec, kind, groups, new_levels, seed, parameter)
        wanted = view(output, prob, interval)
        in_parts = rows is None and output == "table" and not request.unknown
        if in_parts and isinstance(self.design, Streamed):
            return wanted.of(Prediction(self.spec, self._draws(), self.design, request))
        bound = self._bind(rows, request)
        if (
            rows is not None
            and isinstance(groups, str)
            and groups == "all"
            and isinstance(self.design, Design)
        ):
            request = replace(request, past=find_past(self.design, bound))
        return wanted.of(Prediction(self.spec, self._draws(), bound, request))

    def _bind(self, rows: Any, request: Request) -> Design:
        """New rows, or the training rows, as a prediction reads them."""
        if rows is None:
            design = self._rows("give some rows: predict(rows, …)")
            if not request.unknown:
                return design
        rows = self.data if rows is None else rows
        return self.spec.layout.bind_new(rows, request.groups, request.unknown)

    def survival(
        self,
        times: Any,
        rows: Any = None,
        groups: Any = "all",
        new_levels: Literal["sample", "mean", "error"] = "sample",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
    ) -> Any:
        """The probability that the response is more than some times: survival curves.

        Parameters
        ----------
        times : number or sequence of numbers
            T of them, on the response's scale.
        rows : data frame or mapping, optional
            n rows, as in `predict`; the training rows unless given.
        groups, new_levels, output, prob, interval, seed
            As in `predict`. A group that training hadn't is drawn from the population in every draw, so that means over
            the draws are averages over groups; ``groups="none"`` is the curve of a group whose effects are 0.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            mean, sd, lower, upper of each row and time, the last part of the index; or draws (chain, draw, __obs__,
            time).

        Raises
        ------
        UnsupportedError
            For categories, yes or no, and successes out of trials.
        DataError
            For times that are no numbers, and rows as in `predict`.

        Notes
        -----
        Of a response that is censored it is that of the response itself. Beyond the last knot of a Cox model's baseline
        nothing is known: there it is missing.
        """
        found = check_times(self.spec.family, times)
        request = predict.make_request(self.spec, "linear", groups, new_levels, seed)
        wanted = view(output, prob, interval)
        return wanted.of(Survival(self.spec, self._draws(), self._bind(rows, request), request, found))

    def compare(
        self,
        rows_a: Any,
        rows_b: Any,
        kind: Kind = "mean",
        groups: Any = "all",
        new_levels: NewLevels = "sample",
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
        parameter: str | None = None,
    ) -> pd.DataFrame:
        """Posterior of the difference a − b between two situations, and the probability that it is positive.

        Parameters
        ----------
        rows_a, rows_b : data frame or mapping
            Equally many rows are compared one by one; otherwise each side is averaged within each draw (of more than
            10,000 rows in evenly spaced draws, as the averages of `avg_predictions`).
            A new level that stands on both sides is the same group, and so is the unknown group of a row whose level
            is missing on both.
        kind, groups, new_levels, prob, interval, seed, parameter
            As in `predict`.

        Returns
        -------
        pandas.DataFrame
            One row a difference: mean, sd, lower, upper, p_greater (the posterior probability of a > b).
        """
        request = predict.make_request(self.spec, kind, groups, new_levels, seed, parameter)
        draws = self._draws()
        return comparison.compare(self.spec, draws, rows_a, rows_b, request, get_interval(prob, interval))
