"""What predictors do to predictions, as methods of a fit."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from hierbayes.answers import effects, grids, predict, smooths
from hierbayes.answers.intervals import get_interval
from hierbayes.answers.posterior import Posterior
from hierbayes.answers.predictions import Kind, NewLevels
from hierbayes.answers.quantities import Output, view


class MarginalEffects(Posterior):
    """Predictions along a predictor, and averaged, compared and differentiated over rows."""

    def conditional_effects(
        self,
        variable: str,
        by: str | None = None,
        at: Mapping[str, Any] | None = None,
        kind: Kind = "mean",
        groups: Any = "none",
        new_levels: NewLevels = "sample",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
        resolution: int = grids.RESOLUTION,
        parameter: str | None = None,
    ) -> Any:
        """Predictions along a predictor with the others held, as brms's function of that name.

        Parameters
        ----------
        variable : str
            A predictor: `resolution` values over its range, or its levels. ``"x:z"`` is ``"x"`` by ``"z"``.
        by : str, optional
            Another predictor, at its mean and a standard deviation either side, at 0 and 1 where it is one of these in
            every row, or at its levels.
        at : mapping of str to values, optional
            Columns held at these values, every combination. Other numbers are at their mean, categories at their first
            level; grouping factors at no level, so that one that counts is a new one.
        kind, groups, new_levels, output, prob, interval, seed, parameter
            As in `predict`; ``groups="none"`` is a level whose effects are 0, ``"average"`` averages over levels.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            The columns that differ, mean, sd, lower, upper; for means also predictive_lower and predictive_upper, the
            bounds of a new response (out of trials: of its share of the median number). Or draws
            (chain, draw, quantity). Either way ``attrs["held"]`` says at which values the other columns are.

        Raises
        ------
        DataError
            For a name that is no column of the model.

        Warns
        -----
        DataWarning
            Where the grid goes beyond the training rows.
        """
        wanted = view(output, prob, interval)
        request = predict.make_request(self.spec, kind, groups, new_levels, seed, parameter)
        grid = grids.make_grid(self.spec, self._frame(), variable, by, at, resolution)
        return wanted.of(grids.ConditionalEffects(self.spec, self._draws(), grid, request))

    def conditional_smooths(
        self,
        smooth: str | None = None,
        prob: float | None = None,
        interval: str | None = None,
        resolution: int | None = None,
        simultaneous: bool = False,
    ) -> pd.DataFrame:
        """Each smooth's curve by itself, without the intercept and the other terms, as brms's function of that name.

        Parameters
        ----------
        smooth : str, optional
            The label of one: ``"s(x)"``, ``"s(x):arm[placebo]"``. All of them unless given.
        prob, interval
            As in `summary`.
        resolution : int, optional
            Points along each predictor, over its range in the training rows: 100, of a surface 30, unless given.
        simultaneous : bool
            Whether lower and upper hold the whole curve at once with that probability, or each point.

        Returns
        -------
        pandas.DataFrame
            One row a point: smooth, variable, value, mean, sd, lower, upper, on the link's scale; a surface's rows have
            variable2 and value2 too, and where several parameters have formulas parameter comes first.

        Raises
        ------
        DataError
            Where no smooth is called so, or the model has none.
        """
        band = smooths.Band(get_interval(prob, interval), simultaneous)
        return smooths.conditional_smooths(self.spec, self._draws(), band, smooth, resolution)

    def smooth_slopes(
        self,
        smooth: str | None = None,
        prob: float | None = None,
        interval: str | None = None,
        resolution: int | None = None,
        simultaneous: bool = False,
    ) -> pd.DataFrame:
        """The slope (derivative) of each smooth's curve along its predictor, and where its band leaves 0 out.

        Parameters
        ----------
        smooth, prob, interval, resolution, simultaneous
            As in `conditional_smooths`; with ``simultaneous=True`` all points that have a direction have it together
            with that probability.

        Returns
        -------
        pandas.DataFrame
            The columns of `conditional_smooths`, and direction: ``"up"`` where the curve rises for all that the band
            holds, ``"down"`` where it falls, ``""`` elsewhere. A surface has the slopes along both its predictors, and
            the column along says which.

        Raises
        ------
        DataError
            Where no smooth is called so, or the model has none.
        """
        band = smooths.Band(get_interval(prob, interval), simultaneous)
        return smooths.smooth_slopes(self.spec, self._draws(), band, smooth, resolution)

    def avg_predictions(
        self,
        rows: Any = None,
        by: str | Sequence[str] | None = None,
        kind: Kind = "mean",
        groups: Any = "all",
        new_levels: NewLevels = "sample",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
        parameter: str | None = None,
    ) -> Any:
        """Predictions averaged over rows, inside each draw (marginaleffects' name).

        Parameters
        ----------
        rows : data frame or mapping, optional
            The training rows unless given.
        by : str or list of str, optional
            Columns of `rows` within whose values to average.
        kind, groups, new_levels, output, prob, interval, seed, parameter
            As in `predict`.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            The columns of `by`, mean, sd, lower, upper; or draws (chain, draw, quantity).
        """
        wanted = view(output, prob, interval)
        request = predict.make_request(self.spec, kind, groups, new_levels, seed, parameter)
        asked = effects.read_rows(self.spec, self._frame(), rows, by, request, self._draws(), self._rows())
        return wanted.of(effects.avg_predictions(self.spec, self._draws(), asked, request))

    def avg_comparisons(
        self,
        variables: Any = None,
        rows: Any = None,
        by: str | Sequence[str] | None = None,
        comparison: Literal["difference", "ratio"] = "difference",
        kind: Kind = "mean",
        groups: Any = "all",
        new_levels: NewLevels = "sample",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
        parameter: str | None = None,
    ) -> Any:
        """What changing one predictor in every row does to the average prediction (marginaleffects' name).

        The predictions are averaged over the rows inside each draw, with the predictor at one value and at another;
        then compared.

        Parameters
        ----------
        variables : str, list of str or mapping, optional
            Predictors, all unless given. A mapping says how each changes: a number by a step (1 unless given; one that
            is 0 or 1 in every row from 0 to 1) or from one value to another, ``{"age": (20, 30)}``; a category
            ``"reference"`` (each level against the first), ``"pairwise"`` or ``("control", "treated")``.
        rows, by
            As in `avg_predictions`.
        comparison : {"difference", "ratio"}
            Of the averages.
        kind, groups, new_levels, output, prob, interval, seed, parameter
            As in `predict`.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            term, contrast, the columns of `by`, mean, sd, lower, upper, and for a difference p_greater (the
            probability that it is positive), for a ratio that it is above 1; or draws (chain, draw, quantity).
        """
        wanted = view(output, prob, interval)
        request = predict.make_request(self.spec, kind, groups, new_levels, seed, parameter)
        asked = effects.read_rows(self.spec, self._frame(), rows, by, request, self._draws(), self._rows())
        return wanted.of(
            effects.avg_comparisons(self.spec, self._draws(), asked, request, variables, comparison)
        )

    def avg_slopes(
        self,
        variables: str | Sequence[str] | None = None,
        rows: Any = None,
        by: str | Sequence[str] | None = None,
        kind: Kind = "mean",
        groups: Any = "all",
        new_levels: NewLevels = "sample",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Average marginal effects: derivatives of the predictions in numeric predictors, averaged inside each draw.

        Parameters
        ----------
        variables : str or list of str, optional
            Numeric predictors, all unless given but for those that enter by a step, as in ``I(age >= 65)``, which have
            no derivative where they jump.
        rows, by
            As in `avg_predictions`.
        kind, groups, new_levels, output, prob, interval, seed
            As in `predict`; a simulated response has no derivative.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            term, contrast (``dY/dX``), the columns of `by`, mean, sd, lower, upper, p_greater; or draws
            (chain, draw, quantity).
        """
        return self._slopes(
            effects.avg_slopes, variables, rows, by, kind, groups, new_levels, output, prob, interval, seed
        )

    def slopes(
        self,
        variables: str | Sequence[str] | None = None,
        rows: Any = None,
        kind: Kind = "mean",
        groups: Any = "all",
        new_levels: NewLevels = "sample",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
    ) -> Any:
        """The derivatives that `avg_slopes` averages, one a row and predictor: term, contrast, row, mean, …"""
        return self._slopes(
            effects.slopes, variables, rows, None, kind, groups, new_levels, output, prob, interval, seed
        )

    def _slopes(
        self,
        function: Any,
        variables: Any,
        rows: Any,
        by: Any,
        kind: str,
        groups: Any,
        new_levels: str,
        output: Output,
        prob: float | None,
        interval: str | None,
        seed: int,
        parameter: str | None = None,
    ) -> Any:
        wanted = view(output, prob, interval)
        if kind not in ("linear", "mean", "score"):
            raise ValueError(f"a slope is of kind 'linear', 'mean' or 'score'; got {kind!r}")
        request = predict.make_request(self.spec, kind, groups, new_levels, seed, parameter)
        asked = effects.read_rows(self.spec, self._frame(), rows, by, request, self._draws(), self._rows())
        return wanted.of(function(self.spec, self._draws(), asked, request, variables))
