"""The pictures of a fit, as methods: each draws what a function of `plots` draws, with the same options."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hierbayes.answers.grids import RESOLUTION
from hierbayes.answers.posterior import Posterior
from hierbayes.data.design import MEAN

if TYPE_CHECKING:
    from geopandas import GeoDataFrame
    from matplotlib.axes import Axes
    from numpy.typing import NDArray


class Pictures(Posterior):
    """What draws a fit."""

    def plot_conditional_effects(
        self,
        variable: str,
        by: str | None = None,
        *,
        at: Mapping[str, Any] | None = None,
        kind: str = "mean",
        stacked: bool = False,
        surface: bool = False,
        groups: Any = "none",
        new_levels: Any = "sample",
        show: str | tuple[str, ...] = ("expected", "predictive", "data"),
        prob: float | None = None,
        interval: str | None = None,
        seed: int = 0,
        resolution: int = RESOLUTION,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "Axes":
        """The table of `conditional_effects` as a picture.

        Parameters
        ----------
        variable, by, at, groups, new_levels, prob, interval, seed, resolution
            As in `conditional_effects`; up to eight curves.
        show : str or tuple of {"expected", "predictive", "data"}
            Beside the curve: the band of the expected response, that of a new response, and the training rows; a new
            response's band is drawn for a single curve, and where there are more than the two responses 0 and 1. Where
            an offset is held, as an exposure is, the training responses are carried to it: with a log link multiplied
            by the ratio, else left out where the curves differ by it.
        kind : {"mean", "score"}
            Of categories their probabilities, a curve each, or the expected score.
        stacked : bool
            Whether the categories' probabilities are stacked, without bands, rather than curves.
        surface : bool
            Whether two numbers span a surface, contours of the posterior mean with the training rows as points, rather
            than curves at three values of the second.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.
        figsize : tuple of float, optional
            Width and height of the new figure in inches.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        DataError
            For a name that is no column of the model, more than eight curves, or an unknown word in `show`.
        """
        from hierbayes.plots.effects import plot_conditional_effects

        return plot_conditional_effects(
            self.spec,
            self._rows(),
            self._frame(),
            self.posterior,
            variable,
            by,
            at=at,
            kind=kind,
            stacked=stacked,
            surface=surface,
            groups=groups,
            new_levels=new_levels,
            show=show,
            prob=prob,
            interval=interval,
            seed=seed,
            resolution=resolution,
            ax=ax,
            figsize=figsize,
        )

    def plot_conditional_smooths(
        self,
        smooth: str | None = None,
        *,
        prob: float | None = None,
        interval: str | None = None,
        simultaneous: bool = False,
        figsize: tuple[float, float] | None = None,
    ) -> "NDArray[Any]":
        """The table of `conditional_smooths` as a picture: a panel a curve with its band, or a surface.

        Parameters
        ----------
        smooth, prob, interval, simultaneous
            As in `conditional_smooths`.
        figsize : tuple of float, optional
            Width and height in inches.

        Returns
        -------
        ndarray of matplotlib.axes.Axes
            One panel a curve; the marks below are the values of the training rows.

        Raises
        ------
        DataError
            Where no smooth is called so, or the model has none.
        """
        from hierbayes.plots.smooths import plot_conditional_smooths

        options: dict[str, Any] = {"prob": prob, "interval": interval, "simultaneous": simultaneous}
        return plot_conditional_smooths(
            self.spec, self._frame(), self.posterior, smooth, **options, figsize=figsize
        )

    def plot_smooth_slopes(
        self,
        smooth: str | None = None,
        *,
        prob: float | None = None,
        interval: str | None = None,
        simultaneous: bool = False,
        figsize: tuple[float, float] | None = None,
    ) -> "NDArray[Any]":
        """The table of `smooth_slopes` as a picture: the line is thick where its band leaves 0 out.

        Parameters
        ----------
        smooth, prob, interval, simultaneous
            As in `smooth_slopes`.
        figsize : tuple of float, optional
            Width and height in inches.

        Returns
        -------
        ndarray of matplotlib.axes.Axes
            One panel a curve, of a surface one along each of its predictors.

        Raises
        ------
        DataError
            Where no smooth is called so, or the model has none.
        """
        from hierbayes.plots.smooths import plot_smooth_slopes

        options: dict[str, Any] = {"prob": prob, "interval": interval, "simultaneous": simultaneous}
        return plot_smooth_slopes(
            self.spec, self._frame(), self.posterior, smooth, **options, figsize=figsize
        )

    def plot_groups(
        self,
        group: str | None = None,
        x: str | None = None,
        *,
        levels: Sequence[Any] | None = None,
        max_levels: int = 24,
        prob: float | None = None,
        interval: str | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> "NDArray[Any]":
        """Expected responses of each level along a predictor, over the level's own data: a panel a level.

        The line is the posterior mean with the factor's effects, the band its interval, the dashed line the same
        without those effects: a level at the population's centre. Lines go over the level's own range of `x`; along a
        category, and where a level has one value alone, there are points for lines. Other predictors are at the
        level's own mean, categories at its most common value. Factors that the level lies in, as a class in a school,
        count in its line; other grouping factors count in neither.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the mean's formula; the first unless given.
        x : str, optional
            A predictor; the first number among those whose effects vary by the factor, else among all, else the first
            category in that order, unless given.
        levels : list, optional
            The levels to show, in that order.
        max_levels : int
            Unless `levels` are given: of more levels the lowest and the highest are shown, half each, by the posterior
            mean of their effect of `x`, or of the first effect where `x` does not vary; the title says so.
        prob, interval : float, str, optional
            Probability and kind of the band; from ``arviz.rcParams`` unless given.
        figsize : tuple of float, optional
            Width and height in inches; made to fit the panels unless given.

        Returns
        -------
        ndarray of matplotlib.axes.Axes, (panels,)

        Raises
        ------
        DataError
            For an unknown factor, level or predictor, or a model without predictors.
        """
        from hierbayes.plots.groups import plot_groups

        return plot_groups(
            self.spec,
            self._rows(),
            self._frame(),
            self.posterior,
            group,
            x,
            levels=levels,
            max_levels=max_levels,
            prob=prob,
            interval=interval,
            figsize=figsize,
        )

    def plot_shrinkage(
        self,
        group: str | None = None,
        *,
        effects: str | Sequence[str] | None = None,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
        max_levels: int | None = 60,
        labels: str | Sequence[Any] = "auto",
        order: str = "estimate",
    ) -> "Axes":
        """Each level's coefficients from its own rows alone, and where partial pooling draws them.

        Two effects span a plane. The open marker is what a level's own rows say (`pooling.no_pooling`); an arrow
        leads to the filled one, its posterior mean; the cross is the population, and the ellipses hold 50% and
        90% of its levels. With one effect there is a row a level, ordered by posterior mean or by n, with credible
        intervals (width and kind from ``arviz.rcParams``). A level that has no estimate of its own has the filled
        marker only.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the mean's formula; the first unless given.
        effects : str or list of str, optional
            One or two of its varying effects; the first two unless given.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given. The heading stands above the axes: make a figure of your own
            with ``layout="constrained"``, which leaves room for it.
        figsize : tuple of float, optional
            Width and height of the new figure in inches; made to fit the levels unless given.
        max_levels : int or None
            Of more levels, rows show the lowest and the highest, half each. The plane shows all, but its frame no
            longer stretches to far own estimates. The title says what was left out. None: no limit.
        labels : {"auto", "all", "none"} or list
            The levels to name in the plane: all of a few, the most extreme of many; all; none; those listed. A
            name for which there is no room is left out.
        order : {"estimate", "n"}
            What the rows are ordered by: the posterior mean, or the number of the level's own rows, few at the bottom,
            where estimates move farthest.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        DataError
            For a model without grouping factors, or an unknown factor, effect or level.
        """
        from hierbayes.plots.shrinkage import plot_shrinkage

        return plot_shrinkage(
            self.spec,
            self._rows("ranef() and coef() have each level's partial pooling"),
            self.posterior,
            group,
            effects=effects,
            ax=ax,
            figsize=figsize,
            max_levels=max_levels,
            labels=labels,
            order=order,
        )

    def plot_ranef(
        self,
        group: str | None = None,
        *,
        effects: str | Sequence[str] | None = None,
        prob: float | None = None,
        interval: str | None = None,
        figsize: tuple[float, float] | None = None,
        max_levels: int | None = 60,
        parameter: str = MEAN,
    ) -> "NDArray[Any]":
        """Deviations of the levels from the population: a panel an effect, a row a level.

        The levels are ordered by posterior mean of the first effect, alike in all panels. The marker is the
        posterior mean, the thick line the 50% interval.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the parameter's formula; the first unless given.
        effects : str or list of str, optional
            The varying effects to show; all unless given.
        prob : float, optional
            Probability of the thin line's interval; from ``arviz.rcParams`` unless given.
        interval : {"eti", "hdi"}, optional
            The kind of both; from ``arviz.rcParams`` unless given.
        figsize : tuple of float, optional
            Width and height in inches; made to fit panels and levels unless given.
        max_levels : int or None
            Of more levels the lowest and the highest are shown, half each, and the title says so. None: no limit.
        parameter : str
            In whose formula the factor stands: the mean's unless given, of categories ``"muB"`` or another.

        Returns
        -------
        ndarray of matplotlib.axes.Axes, (effects,)

        Raises
        ------
        DataError
            For a model without grouping factors, or an unknown factor or effect.
        """
        from hierbayes.plots.ranef import plot_ranef

        return plot_ranef(
            self.spec,
            self.posterior,
            group,
            effects=effects,
            prob=prob,
            interval=interval,
            figsize=figsize,
            max_levels=max_levels,
            parameter=parameter,
        )

    def plot_map(
        self,
        geometry: "GeoDataFrame",
        group: str | None = None,
        *,
        on: str | None = None,
        effects: str | Sequence[str] | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> "NDArray[Any]":
        """Posterior means and standard deviations of the levels' effects, each on a map.

        Areas of the geometry that are no levels are grey.

        Parameters
        ----------
        geometry : geopandas.GeoDataFrame
            The shapes, with the levels as index. Several shapes of one level are alike. Needs the extra ``geo``:
            ``pip install 'hierbayes[geo]'``.
        group : str, optional
            A grouping factor of the mean's formula; the first unless given.
        on : str, optional
            The column of `geometry` with the levels, where its index hasn't them.
        effects : str or list of str, optional
            The varying effects to show; all unless given.
        figsize : tuple of float, optional
            Width and height in inches.

        Returns
        -------
        ndarray of matplotlib.axes.Axes, (effects, 2)
            Means on the left, centred at 0, and standard deviations on the right.

        Raises
        ------
        DataError
            For a geometry that is none or that levels are missing from, a model without grouping factors, or an
            unknown factor or effect.
        ImportError
            Where GeoPandas isn't installed.
        """
        from hierbayes.plots.map import plot_map

        return plot_map(self.spec, self.posterior, geometry, group, on=on, effects=effects, figsize=figsize)

    def plot_ppc(
        self,
        kind: str | Callable[..., float] = "density",
        *,
        group: str | None = None,
        draws: int = 200,
        seed: int = 0,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "Axes":
        """Responses simulated from the posterior beside the observed ones.

        Parameters
        ----------
        kind : {"density", "group", "rootogram", "zeros", "survival"} or callable
            The distribution of all responses (of discrete ones the frequency of each value, of binomial ones the
            cumulative distribution of the shares); the mean of each level; for counts the hanging rootogram
            (Kleiber & Zeileis 2016, American Statistician 70(3)) or the share of zeros; the share of responses above
            each time, by Kaplan and Meier where some are censored, beside what the model expects of the same rows; or
            any statistic of a set of responses, ``function(y)`` that returns a number, such as ``numpy.max``.
        group : str, optional
            The grouping factor for ``"group"``; the first unless given.
        draws : int
            About how many sets of responses to simulate.
        seed : int
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.
        figsize : tuple of float, optional
            Width and height of the new figure in inches.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        DataError
            For an unknown kind, a rootogram or zeros of a response that is not counts, a model without groups.
        UnsupportedError
            For simulated beside censored responses: take ``"survival"``. For survival of responses that are truncated,
            or censored but on the right.
        """
        from hierbayes.plots.ppc import plot_ppc

        return plot_ppc(
            self.spec,
            self._rows(),
            self.posterior,
            kind,
            group=group,
            draws=draws,
            seed=seed,
            ax=ax,
            figsize=figsize,
        )

    def plot_residuals(
        self,
        kind: str = "quantile",
        *,
        draws: int | None = 1000,
        seed: int = 0,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "Axes":
        """Residuals of the training rows.

        Parameters
        ----------
        kind : {"quantile", "fitted", "scale"}
            Quantile residuals against the uniform distribution they have under the model, with the tests' p-values;
            quantile residuals against fitted means, with their running quartiles; or the size of Pearson's
            residuals (of a Student response: of normal scores) against fitted means.
        draws : int or None
            About how many draws of the posterior to use; None for all.
        seed : int
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.
        figsize : tuple of float, optional
            Width and height of the new figure in inches.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from hierbayes.plots.residuals import plot_residuals

        return plot_residuals(
            self.spec, self._rows(), self.posterior, kind, draws=draws, seed=seed, ax=ax, figsize=figsize
        )

    def plot_level_qq(
        self,
        group: str | None = None,
        effect: str | None = None,
        *,
        parameter: str = MEAN,
        ax: "Axes | None" = None,
        figsize: tuple[float, float] | None = None,
    ) -> "Axes":
        """Effects of the levels, over their standard deviation, against the normal distribution they are drawn from.

        Parameters
        ----------
        group : str, optional
            A grouping factor; the first unless given.
        effect : str, optional
            One of its varying effects; the first unless given.
        parameter : str
            The parameter whose formula it stands in.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.
        figsize : tuple of float, optional
            Width and height of the new figure in inches.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        DataError
            For a model without grouping factors, or an unknown factor or effect.
        """
        from hierbayes.plots.residuals import plot_level_qq

        return plot_level_qq(
            self.spec, self.posterior, group, effect, parameter=parameter, ax=ax, figsize=figsize
        )

    def plot_check(
        self,
        *,
        draws: int = 500,
        seed: int = 0,
        figsize: tuple[float, float] | None = None,
    ) -> "NDArray[Any]":
        """One page of all that can be seen of a model's fit.

        Simulated beside observed responses: their distribution, for counts a rootogram and the share of zeros, the
        means of the first factor's levels; of censored responses the survival instead, by Kaplan and Meier. Quantile
        residuals with their tests, residuals against fitted means and scale–location; level effects against their
        distribution, up to four. What is left out is named at the foot.

        Parameters
        ----------
        draws : int
            About how many draws of the posterior the residuals are of; at most 200 simulate responses.
        seed : int
        figsize : tuple of float, optional
            Width and height in inches; made to fit the panels unless given.

        Returns
        -------
        ndarray of matplotlib.axes.Axes, (panels,)
        """
        from hierbayes.plots.check import plot_check

        return plot_check(self.spec, self._rows(), self.posterior, draws=draws, seed=seed, figsize=figsize)

    def plot_prior_posterior(
        self,
        names: Sequence[str] | None = None,
        *,
        draws: int = 4000,
        seed: int = 0,
        figsize: tuple[float, float] | None = None,
    ) -> "NDArray[Any]":
        """Prior and posterior of each quantity that `summary` lists, a panel each.

        Both are where the priors are stated: intercepts, and what correlates with them, at the predictors' means. A
        panel shows the posterior and as much of the prior as lies within six times its width.

        Parameters
        ----------
        names : sequence of str, optional
            Names as in `summary`; the first twelve unless given, and the heading says of how many.
        draws : int
            Of the prior.
        seed : int
        figsize : tuple of float, optional
            Inches.

        Returns
        -------
        ndarray of matplotlib.axes.Axes

        Raises
        ------
        DataError
            For a name that is no quantity of the model.
        PriorError
            For an improper prior, which cannot be simulated.
        """
        from hierbayes.plots.prior_posterior import plot_prior_posterior

        return plot_prior_posterior(self.spec, self.posterior, names, draws=draws, seed=seed, figsize=figsize)
