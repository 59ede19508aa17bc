"""A fitted model: the specification, the training rows and the draws, with the answers as methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from hierbayes import simulation
from hierbayes.answers import comparison, effects, grids, partition, pooling, predict, ranks, smooths, summary
from hierbayes.answers.draws import Draws, flatten
from hierbayes.answers.intervals import get_interval, labelled
from hierbayes.answers.predict import Request
from hierbayes.answers.quantities import Output, check_output
from hierbayes.criticism import fitchecks, freedom, likelihood, sensitivity
from hierbayes.criticism.checks import Finding, check_draws, describe_approximation, is_approximate
from hierbayes.criticism.importance import FEWEST
from hierbayes.data.design import MEAN, Design
from hierbayes.data.sources import Source
from hierbayes.data.streamed import Streamed, in_memory
from hierbayes.describe import prior_table
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.pictures import Pictures
from hierbayes.prior_comparison import PriorComparison, with_priors
from hierbayes.priors import Priors, read_priors
from hierbayes.reprs import fit_html, fit_text
from hierbayes.sampling import approximate_posterior, draw_posterior
from hierbayes.spec import ModelSpec
from hierbayes.store import read_fit, write_fit

if TYPE_CHECKING:
    import xarray as xr

    from hierbayes.criticism.elpd import LOGO, LOO
    from hierbayes.model import Model


type Kind = Literal["linear", "mean", "response"]
type Method = Literal["lognormal", "delta", "trigamma"]
type NewLevels = Literal["sample", "mean", "average", "error"]


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Pictures):
    """A posterior and the model it belongs to; made by `Model.fit`, `Model.approximate` or `load`.

    Attributes
    ----------
    spec : ModelSpec
        What was learnt of the data, the family, every prior.
    data : pandas.DataFrame or Source
        The complete training rows, the columns that the model reads; or where they are.
    design : Design or Streamed
        Those rows as arrays, or what was summed up over them.
    tree : xarray.DataTree
        The draws, in ArviZ's groups posterior, sample_stats and observed_data: what ``az.summary`` and
        ``az.plot_trace`` read. `posterior_predictive` adds what ``az.plot_ppc_dist`` reads.
    """

    spec: ModelSpec
    data: pd.DataFrame | Source
    design: Design | Streamed
    tree: "xr.DataTree"

    def __repr__(self) -> str:
        return fit_text(self.spec, self.tree, self.summary())

    def _repr_html_(self) -> str:
        return fit_html(self.spec, self.tree, self.summary())

    @property
    def model(self) -> "Model":
        """The model that was fitted, of a loaded fit too: for its graph, its checks, another fit of it."""
        import hierbayes  # at the time of asking: a model makes fits, and a fit names its model

        return hierbayes.Model._of(self.spec, self.data, self.design)

    @property
    def formula(self) -> str | dict[str, str]:
        """The formula as canonical text; one a parameter where several have any."""
        formulas = {name: str(formula) for name, formula in self.spec.layout.formulas.items()}
        return formulas if len(formulas) > 1 else formulas[MEAN]

    @property
    def priors(self) -> pd.DataFrame:
        """Every prior, as `Model.priors`."""
        return prior_table(self.spec)

    @property
    def posterior(self) -> "xr.Dataset":
        """The posterior group as a dataset: dims chain, draw and the schema's own."""
        return self.tree["posterior"].to_dataset()

    @property
    def pareto_k(self) -> float | None:
        """How far the posterior is from the approximation that was drawn (`Model.approximate`); None for `Model.fit`.

        Below min(1 − 1/log₁₀ S, 0.7) of S draws, importance weights turn the approximation into the posterior
        (Vehtari et al. 2024, JMLR 25(72)): they are in ``tree["sample_stats"]["log_weight"]``.
        """
        return float(self.tree.attrs["pareto_k"]) if is_approximate(self.tree) else None

    def _reweightable(self, what: str) -> "xr.Dataset":
        """The posterior, for what reweights its draws."""
        if is_approximate(self.tree):
            raise UnsupportedError(
                f"{what} reweights draws of the posterior, and these are of {describe_approximation(self.tree)}; "
                "draw the posterior itself with the model's fit()"
            )
        draws = self.posterior.sizes["chain"] * self.posterior.sizes["draw"]
        if draws < FEWEST:
            raise UnsupportedError(
                f"{what} reweights draws of the posterior and needs {FEWEST} or more, and this fit has {draws}; "
                "draw more: fit(draws=…)"
            )
        return self.posterior

    # -- tables -------------------------------------------------------------------------------------------------

    def summary(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Population-level effects, sds, correlations and the family's own parameters.

        Parameters
        ----------
        prob : float, optional
            Probability of the credible interval; from ``arviz.rcParams`` unless given.
        interval : {"eti", "hdi"}, optional
            Its kind; from ``arviz.rcParams`` unless given.

        Returns
        -------
        pandas.DataFrame
            One row a quantity: mean, sd, lower, upper, ess_bulk, ess_tail, r_hat, mcse_mean. Independent draws of
            an approximation (`Model.approximate`) have no use for the last four; what they are is in the table's
            ``attrs["approximation"]``.
        """
        chosen = get_interval(prob, interval)
        if not is_approximate(self.tree):
            return summary.summary(self.spec, self.posterior, chosen)
        table = summary.estimates(self.spec, self.posterior, chosen)
        table.attrs["approximation"] = describe_approximation(self.tree)
        return table

    def fixef(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Population-level coefficients (lme4's name): parameter, effect, mean, sd, lower, upper."""
        return summary.fixef(self.spec, self.posterior, get_interval(prob, interval))

    def ranef(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Deviations of each level from the population (lme4's name): group, level, effect, mean, sd, lower, upper."""
        return summary.ranef(self.spec, self.posterior, get_interval(prob, interval))

    def coef(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Coefficients of each level, population-level plus deviation (lme4's name): as `ranef`."""
        return summary.coef(self.spec, self.posterior, get_interval(prob, interval))

    # -- variance -----------------------------------------------------------------------------------------------

    def varcorr(
        self, prob: float | None = None, interval: str | None = None, *, method: Method = "lognormal"
    ) -> pd.DataFrame:
        """Standard deviations and correlations of group effects, and the residual's (lme4's name).

        Parameters
        ----------
        prob, interval : float, str, optional
            Of the credible intervals, as in `summary`.
        method : {"lognormal", "delta", "trigamma"}
            As in `icc`: it enters the shares of counts and positive responses.

        Returns
        -------
        pandas.DataFrame
            parameter, group, effect, effect2 (empty for a standard deviation); mean, sd, lower, upper of the
            standard deviation or correlation; variance (for a correlation: covariance) and share with their bounds.
            Shares are of the variance about the population-level part, averaged over the rows, on the link's
            scale: z_j² Σ_jj for an effect, 2 z_i z_j Σ_ij for a covariance; with the residual's they add to 1.
            Where sigma has a formula the residual's variance is σ_i² averaged over the training rows, as in `icc`
            and `r2`, and its standard deviation the root of that.
        """
        chosen = get_interval(prob, interval)
        return partition.varcorr(self.spec, self._draws(), self.design, chosen, method)

    def icc(
        self,
        at: Mapping[str, Any] | None = None,
        scale: Literal["both", "latent", "response"] = "both",
        definition: Literal["adjusted", "unadjusted"] = "adjusted",
        *,
        method: Method = "lognormal",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
    ) -> Any:
        """Intraclass correlations: the share of each grouping factor in the variance, and of several together.

        Parameters
        ----------
        at : mapping of str to values, optional
            Predictors held at these values in all rows, as in ``at={"Days": [0, 5, 9]}``: with a varying slope the
            ICC is a function of the predictor. Unless given, variances are averaged over the rows (Johnson 2014).
        scale : {"both", "latent", "response"}
            The link's scale, with the distribution's own variance there (Nakagawa, Johnson & Schielzeth 2017); or
            the response's, where the ICC is the correlation of two responses that share the level. With an
            identity link the two are one.
        definition : {"adjusted", "unadjusted"}
            Whether the variance of the population-level part is left out of the total, or counts in it.
        method : {"lognormal", "delta", "trigamma"}
            How the variance of a count or a positive response is carried to the log scale.
        output : {"table", "draws"}
            A summary, or every draw. Where integration is long, evenly spaced draws are used.
        prob, interval : float, str, optional
            Of the credible interval, as in `summary`.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            group, the columns of `at`, scale, mean, sd, lower, upper; or draws (chain, draw, quantity).

        Raises
        ------
        DataError
            When `at` names no predictor of the model.
        UnsupportedError
            For the response's scale with link ``"inverse"``, where it has no variance.
        """
        check_output(output)
        design = self._rows("varcorr() has the shares of variance")
        found = partition.icc(self.spec, self._draws(), design, self._frame(), at, scale, definition, method)
        return found.array() if output == "draws" else found.table(get_interval(prob, interval))

    def r2(
        self,
        *,
        method: Method = "lognormal",
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
    ) -> Any:
        """Shares of variance explained: marginal (population-level part) and conditional (with group effects).

        ``gelman`` is of the expected responses in these rows and the variance about them (Gelman, Goodrich, Gabry &
        Vehtari 2019); ``nakagawa`` of new rows of new groups, on the link's scale (Nakagawa & Schielzeth 2013,
        Johnson 2014 for slopes, Nakagawa, Johnson & Schielzeth 2017).

        Parameters
        ----------
        method, output, prob, interval
            As in `icc`.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            definition, kind, mean, sd, lower, upper; or draws (chain, draw, quantity).
        """
        check_output(output)
        design = self._rows("varcorr() has the shares of variance")
        found = partition.r2(self.spec, self._draws(), design, method)
        return found.array() if output == "draws" else found.table(get_interval(prob, interval))

    # -- groups -------------------------------------------------------------------------------------------------

    def shrinkage(
        self, group: str | None = None, prob: float | None = None, interval: str | None = None
    ) -> pd.DataFrame:
        """Each level's estimate from its own rows alone, its posterior, and the population's value, side by side.

        Parameters
        ----------
        group : str, optional
            One grouping factor; every one of the mean's formula unless given.
        prob, interval : float, str, optional
            Of the credible interval, as in `summary`.

        Returns
        -------
        pandas.DataFrame
            group, level, effect, n; no_pooling (the level's coefficient by maximum likelihood from its own rows, NaN
            where they don't settle it), partial_pooling (its posterior mean) with lower and upper; population (the
            population-level coefficient's posterior mean), complete_pooling (by maximum likelihood from all rows as if
            they were one level); pooling and pooling_factor (of the level, and of the effect as a whole: 0 none, 1
            complete; Gelman & Pardoe 2006).
        """
        chosen = get_interval(prob, interval)
        design = self._rows("ranef() and coef() have each level's partial pooling")
        return pooling.shrinkage_table(self.spec, design, self.posterior, chosen, group)

    def rank(
        self,
        group: str | None = None,
        effect: str | None = None,
        descending: bool = False,
        prob: float | None = None,
        interval: str | None = None,
        *,
        at: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The posterior of each level's rank among its factor's levels, by one effect or by each.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the mean's formula; the first unless given.
        effect : str, optional
            One of its varying effects, such as a slope; each in turn unless given.
        descending : bool
            Whether rank 1 is the largest; it is the smallest unless given.
        prob, interval : float, str, optional
            Of the credible interval, as in `summary`.
        at : mapping of str to values, optional
            Instead of by coefficients, by where the levels are at these values, as in ``at={"Days": [0, 9]}`` and as
            `contrasts` takes it.

        Returns
        -------
        pandas.DataFrame
            group, level, effect (or the columns of `at`), mean, sd, lower, upper of the rank, p_first and p_last (of
            rank 1 and of the last). Levels that tie share them.

        Raises
        ------
        DataError
            For an unknown factor, effect or predictor, or one that `at` leaves open.
        """
        chosen = get_interval(prob, interval)
        return ranks.rank(self.spec, self._draws(), chosen, group, effect, descending, self._at(at))

    def contrasts(
        self,
        group: str | None = None,
        effect: str | None = None,
        levels: Sequence[Any] | None = None,
        pairs: Sequence[tuple[Any, Any]] | None = None,
        output: Output = "table",
        prob: float | None = None,
        interval: str | None = None,
        *,
        at: Mapping[str, Any] | None = None,
    ) -> Any:
        """Differences between levels of a grouping factor, a − b, and the probability that a is the larger.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the mean's formula; the first unless given.
        effect : str, optional
            One of its varying effects; all unless given.
        levels : list, optional
            Levels of which to compare all pairs; all levels unless given, up to 100 of them.
        pairs : list of tuple, optional
            The pairs to compare instead.
        output : {"table", "draws"}
        prob, interval : float, str, optional
            Of the credible interval, as in `summary`.
        at : mapping of str to values, optional
            Instead of coefficients, where the levels are at these values, on the link's scale: what ``compare`` with
            ``kind="linear"`` says of their rows. Columns of other grouping factors may be among them: the effects of
            the cells that they and the level name count too.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            group, level_a, level_b, effect (or the columns of `at`), mean, sd, lower, upper, p_greater; or draws
            (chain, draw, quantity).

        Raises
        ------
        DataError
            For an unknown factor, effect, level or predictor, one that `at` leaves open, or too many pairs.
        """
        check_output(output)
        found = ranks.contrasts(self.spec, self._draws(), group, effect, levels, pairs, self._at(at))
        return found.array() if output == "draws" else found.differences(get_interval(prob, interval))

    def _at(self, at: Mapping[str, Any] | None) -> ranks.At | None:
        return None if not at else ranks.At(at, self._frame())

    def check(self, thorough: bool = False) -> tuple[Finding, ...]:
        """What is wrong with the draws, the posterior or the fit and what to do; empty when all is well.

        Of the fit: whether residuals are uniform and vary as the model says, and whether it expects responses below 0
        where there is none (of rows that stay in their source it says nothing). Draws of an approximation always come
        with a finding that says so.

        Parameters
        ----------
        thorough : bool
            Whether to look for what takes seconds too: conflicts of prior and data (`prior_sensitivity`), levels
            and rows that the posterior hangs on (`logo`, `loo`).
        """
        findings = [
            *check_draws(self.spec, self.tree),
            *sensitivity.check_boundary(self.spec, self.posterior),
        ]
        if isinstance(self.design, Design):
            findings += fitchecks.check_fit(self.spec, self.design, self.posterior)
        if thorough:
            from hierbayes.criticism import crossval

            posterior = self._reweightable("check(thorough=True)")
            findings += sensitivity.sensitivity_findings(self.prior_sensitivity())
            findings += crossval.influence_findings(self.spec, self._rows(), posterior)
        return tuple(findings)

    # -- predictions --------------------------------------------------------------------------------------------

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
    ) -> Any:
        """Predictions for new rows, or for the training rows.

        A level that training had uses its own draws. A level it hadn't is a new group: its effects are drawn from
        the population, once per posterior draw and shared by its rows. A missing level is an unknown group of that
        row alone.

        Parameters
        ----------
        rows : data frame or mapping, optional
            n rows with the predictors' columns and those of the grouping factors that count; the training rows
            unless given.
        kind : {"linear", "mean", "response"}
            The linear predictor, the expected response (for binomial a probability), or simulated responses.
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

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            mean, sd, lower, upper with the index of `rows`; or draws (chain, draw, __obs__).

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
        request = predict.make_request(self.spec, kind, groups, new_levels, seed)
        check_output(output)
        draws = self._draws()
        if rows is None and isinstance(self.design, Streamed) and output == "table" and not request.unknown:
            chosen = get_interval(prob, interval)
            parts = self.design.designs()
            tables = [predict.predict_table(self.spec, draws, part, request, chosen) for part in parts]
            return labelled(pd.concat(tables), chosen)
        design = self._bind(rows, request)
        if output == "draws":
            return predict.predict_draws(self.spec, draws, design, request)
        return predict.predict_table(self.spec, draws, design, request, get_interval(prob, interval))

    def _bind(self, rows: Any, request: Request) -> Design:
        """New rows, or the training rows, as a prediction reads them."""
        if rows is None:
            design = self._rows("give some rows: predict(rows, …)")
            if not request.unknown:
                return design
        rows = self.data if rows is None else rows
        return self.spec.layout.bind_new(rows, request.groups, request.unknown)

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
    ) -> pd.DataFrame:
        """Posterior of the difference a − b between two situations, and the probability that it is positive.

        Parameters
        ----------
        rows_a, rows_b : data frame or mapping
            Equally many rows are compared one by one; otherwise each side is averaged within each draw (of more than
            10,000 rows in evenly spaced draws, as the averages of `avg_predictions`).
            A new level that stands on both sides is the same group, and so is the unknown group of a row whose level
            is missing on both.
        kind, groups, new_levels, prob, interval, seed
            As in `predict`.

        Returns
        -------
        pandas.DataFrame
            One row a difference: mean, sd, lower, upper, p_greater (the posterior probability of a > b).
        """
        request = predict.make_request(self.spec, kind, groups, new_levels, seed)
        draws = self._draws()
        return comparison.compare(self.spec, draws, rows_a, rows_b, request, get_interval(prob, interval))

    # -- what predictors do -------------------------------------------------------------------------------------

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
        kind, groups, new_levels, output, prob, interval, seed
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
        check_output(output)
        request = predict.make_request(self.spec, kind, groups, new_levels, seed)
        grid = grids.make_grid(self.spec, self._frame(), variable, by, at, resolution)
        if output == "draws":
            return grids.conditional_draws(self.spec, self._draws(), grid, request)
        return grids.conditional_table(self.spec, self._draws(), grid, request, get_interval(prob, interval))

    def conditional_smooths(
        self,
        smooth: str | None = None,
        prob: float | None = None,
        interval: str | None = None,
        resolution: int | None = None,
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
        band = get_interval(prob, interval)
        return smooths.conditional_smooths(self.spec, self._draws(), band, smooth, resolution)

    def edf(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Effective degrees of freedom of each smooth: 1 for a straight line, at most its number of columns.

        Where they come near that number, a larger ``k=`` may bend where the data do.

        Returns
        -------
        pandas.DataFrame
            One row a curve: smooth, columns, mean, sd, lower, upper, over 25 draws of the standard deviations.

        Raises
        ------
        DataError
            Where the model has no smooths.
        """
        return freedom.edf(self.spec, self._draws(), self._rows(), get_interval(prob, interval))

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
    ) -> Any:
        """Predictions averaged over rows, inside each draw (marginaleffects' name).

        Parameters
        ----------
        rows : data frame or mapping, optional
            The training rows unless given.
        by : str or list of str, optional
            Columns of `rows` within whose values to average.
        kind, groups, new_levels, output, prob, interval, seed
            As in `predict`.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            The columns of `by`, mean, sd, lower, upper; or draws (chain, draw, quantity).
        """
        check_output(output)
        request = predict.make_request(self.spec, kind, groups, new_levels, seed)
        asked = effects.read_rows(self.spec, self._frame(), rows, by, request)
        found = effects.avg_predictions(self.spec, self._draws(), asked, request)
        return found.array() if output == "draws" else found.table(get_interval(prob, interval))

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
        kind, groups, new_levels, output, prob, interval, seed
            As in `predict`.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            term, contrast, the columns of `by`, mean, sd, lower, upper, and for a difference p_greater (the
            probability that it is positive), for a ratio that it is above 1; or draws (chain, draw, quantity).
        """
        check_output(output)
        request = predict.make_request(self.spec, kind, groups, new_levels, seed)
        asked = effects.read_rows(self.spec, self._frame(), rows, by, request)
        found = effects.avg_comparisons(self.spec, self._draws(), asked, request, variables, comparison)
        if output == "draws":
            return found.array()
        return found.differences(get_interval(prob, interval), 1.0 if comparison == "ratio" else 0.0)

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
    ) -> Any:
        check_output(output)
        if kind not in ("linear", "mean"):
            raise ValueError(f"a slope is of kind 'linear' or 'mean'; got {kind!r}")
        request = predict.make_request(self.spec, kind, groups, new_levels, seed)
        asked = effects.read_rows(self.spec, self._frame(), rows, by, request)
        found = function(self.spec, self._draws(), asked, request, variables)
        return found.array() if output == "draws" else found.differences(get_interval(prob, interval))

    def posterior_predictive(self, draws: int | None = 500, seed: int = 0) -> "xr.DataTree":
        """The draws with simulated responses of the training rows beside them.

        Parameters
        ----------
        draws : int or None
            About how many of the draws to use, evenly spaced; None for all.
        seed : int

        Returns
        -------
        xarray.DataTree
            The groups of `tree` and ``posterior_predictive``: what ``az.plot_ppc_dist`` and its kin take.
        """
        design = self._rows("give some rows: predict(rows, kind='response', output='draws')")
        thinned = simulation.thin(self.posterior, draws)
        flat = flatten(self.spec, thinned)
        simulated = simulation.simulate_responses(self.spec, flat, design, seed)
        simulated = simulated.assign_coords(draw=thinned["draw"].to_numpy())
        return self._with_groups(posterior_predictive=simulated)

    # -- criticism ----------------------------------------------------------------------------------------------

    def log_likelihood(self) -> "xr.DataTree":
        """The fit's groups with the log-likelihood of every training row in every draw beside them.

        What ``az.loo`` and its kin read; `loo` itself needs no more than a chunk of it at a time. A row's weight
        multiplies its log density. Memory: 8 bytes × draws × rows, and some 200 MB while it is made.

        Returns
        -------
        xarray.DataTree
            The groups of `tree` and ``log_likelihood``: a variable named like the response, (chain, draw, __obs__).
        """
        values = likelihood.log_likelihood(self.spec, self._draws(), self._rows(), self.posterior)
        return self._with_groups(log_likelihood=values)

    def loo(self, refit: bool = False) -> "LOO":
        """Leave-one-out cross-validation: how well the model predicts a new row of the groups it knows.

        Pareto-smoothed importance sampling, as ``az.loo``. Rows whose Pareto k is too large are looked at again with
        the effects of their group integrated out, exactly for normal responses and by quadrature for others; of those
        whose k is still too large the draws are moved towards the posterior without the row (moment matching, Paananen
        et al. 2021, Statistics and Computing 31), which takes some ten passes over all rows and draws a row. Column
        method of the table says which it was.

        Parameters
        ----------
        refit : bool
            Whether to refit the model without each of the rows that are still not to be trusted.

        Returns
        -------
        LOO
            ArviZ's record (elpd, se, p, elpd_i, pareto_k), which ``az.compare`` and ``az.plot_khat`` take; its
            `table` has a row an observation.
        """
        from hierbayes.criticism import crossval

        posterior = self._reweightable("loo()")
        return crossval.loo(self.spec, self._rows(), posterior, self._refit if refit else None)

    def logo(self, group: str, refit: bool = False) -> "LOGO":
        """Leave-one-group-out cross-validation: how well the model predicts all rows of a new level.

        Each level's rows are held out together, with the effects that only they inform integrated out in every
        draw: exactly for normal responses, by quadrature for others; then PSIS over the draws.

        Parameters
        ----------
        group : str
            A grouping factor.
        refit : bool
            Whether to refit the model without each level whose Pareto k is too large.

        Returns
        -------
        LOGO
            ArviZ's record with an entry a level; its `table` has elpd, p_logo, pareto_k, n, error (of the
            quadrature, and of a refit's draws) and method.

        Raises
        ------
        DataError
            For a name that is no grouping factor.
        """
        from hierbayes.criticism import crossval

        posterior = self._reweightable("logo()")
        return crossval.logo(self.spec, self._rows(), posterior, group, self._refit if refit else None)

    def prior_sensitivity(self, threshold: float = 0.05) -> pd.DataFrame:
        """How far the posterior moves with the prior, and with the likelihood, by power-scaling: ArviZ's ``psense``.

        Parameters
        ----------
        threshold : float
            From which sensitivity on a quantity is said to depend on the prior.

        Returns
        -------
        pandas.DataFrame
            One row a quantity of `summary`: prior, likelihood, diagnosis ("" where all is well).
        """
        posterior = self._reweightable("prior_sensitivity()")
        return sensitivity.prior_sensitivity(self.spec, self._rows(), posterior, threshold)

    def residuals(self, draws: int | None = 1000, seed: int = 0) -> pd.DataFrame:
        """Residuals of the training rows, quantile residuals among them (DHARMa's), each row left out of the posterior.

        Parameters
        ----------
        draws : int or None
            About how many draws of the posterior to use, evenly spaced; None for all.
        seed : int
            Of the randomised quantiles of discrete responses; nothing else here is random.

        Returns
        -------
        pandas.DataFrame
            One row an observation: observed; fitted and sd, the mean and standard deviation of a response there;
            residual, pearson (residual / sd), quantile (uniform on (0, 1) where the model fits) and pareto_k of the
            leave-one-out weights (above 0.7 they are rough; missing where they are nearly even). A Student response
            with draws of two degrees of freedom or fewer has an infinite sd, and no pearson.
        """
        from hierbayes.criticism import residuals  # scipy.stats takes its time

        return residuals.residuals(self.spec, self._rows(), self.posterior, draws, seed).table

    def residual_tests(self, draws: int | None = 1000, seed: int = 0) -> pd.DataFrame:
        """DHARMa's tests of the quantile residuals: uniformity, dispersion, outliers, and for counts zeros.

        A ratio of observed to expected above 1 is more than the model says: overdispersion, zero inflation. The
        parameters were learnt from the same responses, so the tests are mild: a small p-value is a finding, a large
        one little comfort, and least of all about the dispersion of a family that has a scale of its own.

        Parameters
        ----------
        draws : int or None
            About how many draws of the posterior to use, evenly spaced; None for all.
        seed : int
            Of the sets of responses that dispersion and zeros are held against, and of the randomised quantiles of
            discrete responses.

        Returns
        -------
        pandas.DataFrame
            One row a test: observed, expected, ratio, p_value. Dispersion is the mean squared Pearson residual; of a
            Student response, which may have no variance, the mean square of the normal scores of the quantiles.
        """
        from hierbayes.criticism import residuals  # scipy.stats takes its time

        return residuals.residuals(self.spec, self._rows(), self.posterior, draws, seed).tests

    def _rows(self, instead: str = "") -> Design:
        """The training rows as arrays, for what needs all of them at once; `instead` is the way out."""
        return in_memory(self.design, "this", instead)

    def _frame(self) -> pd.DataFrame:
        """The training rows, for what needs all of them at once."""
        self._rows()
        assert isinstance(self.data, pd.DataFrame)
        return self.data

    # -- priors -------------------------------------------------------------------------------------------------

    def refit(self, priors: Priors, **options: Any) -> PriorComparison:
        """The same model and rows with other priors, beside this fit.

        Parameters
        ----------
        priors : mapping, PriorSet, path, list of these, or None
            As for `Model`; what isn't named stays as it is here, and None makes every prior a default.
        **options
            As for `Model.fit`; draws, chains and seed are those of this fit unless given. An approximation is
            approximated again, with the options of `Model.approximate`.

        Returns
        -------
        PriorComparison
            It prints both priors and posteriors and how far each quantity moved; `after` is the new fit.

        Raises
        ------
        TypeError
            For an option that there isn't, such as `chains` of an approximation.
        """
        from hierbayes.engine import Settings

        self._check_options(options, [*Settings.__dataclass_fields__, "strategy"])
        sizes, asked = self.posterior.sizes, dict(options)
        kept = {"draws": sizes["draw"], "seed": int(self.tree.attrs.get("seed", 0))}
        spec = with_priors(self.spec, None if priors is None else read_priors(priors))
        if is_approximate(self.tree):
            tree = approximate_posterior(spec, self.design, **{**kept, **asked})
            return PriorComparison(self, Fit(spec, self.data, self.design, tree))
        kept["chains"] = sizes["chain"]
        strategy = asked.pop("strategy", "auto")
        tree = draw_posterior(spec, self.design, Settings(**{**kept, **asked}), strategy)
        return PriorComparison(self, Fit(spec, self.data, self.design, tree))

    def _check_options(self, given: Mapping[str, Any], options: Sequence[str]) -> None:
        """Refuse what is no option of drawing this fit anew; `options` are those of a fit."""
        words = "refit() takes the options of fit()"
        if is_approximate(self.tree):
            options = ["draws", "seed", "progress"]
            words = "refit() of an approximation approximates again; independent draws have no other options"
        unknown = [name for name in given if name not in options]
        if unknown:
            raise TypeError(f"{words}: {', '.join(options)}; got {unknown[0]!r}")

    def _draws(self) -> Draws:
        return flatten(self.spec, self.posterior)

    def _refit(self, design: Design) -> Draws:
        """The same model and strategy on other rows; levels that have none of them keep their prior."""
        from hierbayes.engine import Settings, choose

        attributes, sizes = self.tree.attrs, self.posterior.sizes
        settings = Settings(
            draws=sizes["draw"], chains=sizes["chain"], seed=int(attributes.get("seed", 0)), progress=False
        )
        plan = choose(self.spec, design, attributes.get("strategy", "auto"))
        tree = plan.strategy.run(self.spec, design, settings)
        return flatten(self.spec, tree["posterior"].to_dataset())

    def _with_groups(self, **more: "xr.Dataset") -> "xr.DataTree":
        import xarray as xr

        groups: dict[str, Any] = {name: node.to_dataset() for name, node in self.tree.children.items()}
        whole = xr.DataTree.from_dict({**groups, **more})
        whole.attrs.update(self.tree.attrs)
        return whole

    # -- files --------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the whole fit to one netCDF file with a checksum: draws, training rows, specification. `load` reads it.

        An older file is replaced once the new one is complete; if saving fails, it stays as it was.
        """
        self._rows("write the draws with fit.tree.to_netcdf(…), or make the model of a sample of the rows")
        write_fit(path, self.spec, self._frame(), self.tree)


def load(path: str | Path) -> Fit:
    """Read a fit that `Fit.save` wrote; every method works as on the original.

    Raises
    ------
    DataError
        For a file that is damaged, that another program has changed, or that is no fit of hierbayes.
    """
    spec, data, design, tree = read_fit(path)
    return Fit(spec, data, design, tree)


def compare_models(
    *fits: Fit | Mapping[str, Fit],
    group: str | None = None,
    method: str | None = None,
    refit: bool = False,
    **named: Fit,
) -> pd.DataFrame:
    """Models side by side by cross-validation: the difference in predictive density and its standard error.

    Parameters
    ----------
    *fits : Fit or mapping of str to Fit
        Two or more fits to the same rows, called by their formulas; or a mapping of names to fits, as ``az.compare``'s.
    group : str, optional
        A grouping factor of all: leave a whole level out at a time, as `Fit.logo`; a row, as `Fit.loo`, unless given.
    method : {"stacking", "bb-pseudo-bma", "pseudo-bma"}, optional
        How the column weight is found; from ``arviz.rcParams`` unless given.
    refit : bool
        Whether to refit where importance sampling is not to be trusted.
    **named : Fit
        More fits, by the name to call them.

    Returns
    -------
    pandas.DataFrame
        One row a model, the best first: ArviZ's columns rank, elpd_diff, dse, p_worse, …, elpd, se, weight.

    Raises
    ------
    DataError
        For fewer than two fits, or fits to different rows or responses.
    """
    from hierbayes.criticism import crossval

    models: dict[str, Fit] = {}
    for fit in fits:
        if isinstance(fit, Mapping):
            models |= fit
            continue
        if not isinstance(fit, Fit):
            raise DataError(
                f"a comparison is of fits, each an argument of its own or by name; got {type(fit).__name__}. "
                "Of a list: compare_models(*fits)"
            )
        formulas = fit.spec.layout.formulas
        text = "; ".join(str(f) if name == MEAN else f"{name} {f}" for name, f in formulas.items())
        same = [name for name in models if name == text or name.startswith(f"{text} (")]
        models[f"{text} ({len(same) + 1})" if same else text] = fit
    models |= named
    if len(models) < 2:
        raise DataError(f"a comparison needs two or more fits; got {len(models)}")
    records = {
        name: fit.loo(refit) if group is None else fit.logo(group, refit) for name, fit in models.items()
    }
    return crossval.compare_models(
        records, [in_memory(fit.design, "compare_models").y for fit in models.values()], method
    )
