"""Tables of estimates, variances and levels, as methods of a fit."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from hierbayes.answers import latents, partition, pooling, ranks, summary
from hierbayes.answers.approximation import describe_approximation, is_approximate
from hierbayes.answers.intervals import get_interval
from hierbayes.answers.posterior import Posterior
from hierbayes.answers.quantities import Output, view
from hierbayes.data.design import MEAN

type Method = Literal["lognormal", "delta", "trigamma"]


class Estimates(Posterior):
    """What a fit says of its quantities: estimates, shares of variance, levels against each other."""

    def summary(
        self,
        prob: float | None = None,
        interval: str | None = None,
        *,
        transform: summary.Transform | None = None,
        output: Output = "table",
    ) -> Any:
        """Population-level effects, sds, correlations and the family's own parameters.

        Parameters
        ----------
        prob : float, optional
            Probability of the credible interval; from ``arviz.rcParams`` unless given.
        interval : {"eti", "hdi"}, optional
            Its kind; from ``arviz.rcParams`` unless given.
        transform : function, or mapping of str to function, optional
            ``np.exp`` for the exponential of every quantity; or new quantities by name, each a function of all by
            name, (chain, draw): ``{"half-life": lambda q: np.log(2) / -q["time"]}``.

        Returns
        -------
        pandas.DataFrame
            One row a quantity: mean, sd, lower, upper, ess_bulk, ess_tail, r_hat, mcse_mean. Independent draws of
            an approximation (`Model.approximate`) have no use for the last four; what they are is in the table's
            ``attrs["approximation"]``.

        Raises
        ------
        DataError
            When `transform` asks for a quantity that isn't there, or doesn't return a number a draw.
        """
        wanted = view(output, prob, interval)
        if is_approximate(self.tree):
            words = describe_approximation(self.tree)
            found = summary.estimates(self.spec, self.posterior, approximation=words)
        else:
            found = summary.summary(self.spec, self.posterior)
        return wanted.of(found if transform is None else summary.transformed(found, transform))

    def fixef(
        self, prob: float | None = None, interval: str | None = None, *, output: Output = "table"
    ) -> Any:
        """Population-level coefficients (lme4's name): parameter, effect, mean, sd, lower, upper."""
        return view(output, prob, interval).of(summary.fixef(self.spec, self.posterior))

    def ranef(
        self, prob: float | None = None, interval: str | None = None, *, output: Output = "table"
    ) -> Any:
        """Deviations of each level from the population (lme4's name): group, level, effect, mean, sd, lower, upper."""
        return view(output, prob, interval).of(summary.ranef(self.spec, self.posterior))

    def latent_values(
        self, prob: float | None = None, interval: str | None = None, *, output: Output = "table"
    ) -> Any:
        """The true values of predictors that were measured with error: column, row, mean, sd, lower, upper.

        Parameters
        ----------
        prob, interval : float, str, optional
            Of the credible intervals, as in `summary`.
        output : {"table", "draws"}
            The table, or every draw.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            A row for each row of the data, called by its label, or for each level that ``gr=`` gives one value.

        Raises
        ------
        DataError
            Where the model has no such predictor.
        """
        return view(output, prob, interval).of(latents.latent_values(self.spec, self.posterior))

    def coef(
        self, prob: float | None = None, interval: str | None = None, *, output: Output = "table"
    ) -> Any:
        """Coefficients of each level, population-level plus deviation (lme4's name): as `ranef`."""
        return view(output, prob, interval).of(summary.coef(self.spec, self.posterior))

    def varcorr(
        self,
        prob: float | None = None,
        interval: str | None = None,
        *,
        method: Method = "lognormal",
        output: Output = "table",
    ) -> Any:
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
        wanted = view(output, prob, interval)
        return wanted.of(partition.varcorr(self.spec, self._draws(), self.design, method))

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
        wanted = view(output, prob, interval)
        design = self._rows("varcorr() has the shares of variance")
        frame = self._frame()
        return wanted.of(
            partition.icc(self.spec, self._draws(), design, frame, at, scale, definition, method)
        )

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
        Johnson 2014 for slopes, Nakagawa, Johnson & Schielzeth 2017). A definition that the response hasn't is left
        out: responses with a point mass have no one variance about a linear predictor.

        Parameters
        ----------
        method, output, prob, interval
            As in `icc`.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            definition, kind, mean, sd, lower, upper; or draws (chain, draw, quantity).
        """
        wanted = view(output, prob, interval)
        design = self._rows("varcorr() has the shares of variance")
        return wanted.of(partition.r2(self.spec, self._draws(), design, method))

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
        output: Output = "table",
        parameter: str = MEAN,
    ) -> Any:
        """The posterior of each level's rank among its factor's levels, by one effect or by each.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the parameter's formula; the first unless given.
        effect : str, optional
            One of its varying effects, such as a slope; each in turn unless given.
        descending : bool
            Whether rank 1 is the largest; it is the smallest unless given.
        prob, interval : float, str, optional
            Of the credible interval, as in `summary`.
        at : mapping of str to values, optional
            Instead of by coefficients, by where the levels are at these values, as in ``at={"Days": [0, 9]}`` and as
            `contrasts` takes it.
        output : {"table", "draws"}
        parameter : str
            In whose formula the factor stands: the mean's unless given, of categories ``"muB"`` or another.

        Returns
        -------
        pandas.DataFrame or xarray.DataArray
            group, level, effect (or the columns of `at`), mean, sd, lower, upper of the rank, p_first and p_last (of
            rank 1 and of the last). Levels that tie share them. Or draws (chain, draw, quantity).

        Raises
        ------
        DataError
            For an unknown factor, effect or predictor, or one that `at` leaves open.
        """
        wanted = view(output, prob, interval)
        return wanted.of(
            ranks.rank(self.spec, self._draws(), group, effect, descending, self._at(at), parameter)
        )

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
        parameter: str = MEAN,
    ) -> Any:
        """Differences between levels of a grouping factor, a − b, and the probability that a is the larger.

        Parameters
        ----------
        group : str, optional
            A grouping factor of the parameter's formula; the first unless given.
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
        parameter : str
            As in `rank`.

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
        wanted = view(output, prob, interval)
        return wanted.of(
            ranks.contrasts(self.spec, self._draws(), group, effect, levels, pairs, self._at(at), parameter)
        )

    def _at(self, at: Mapping[str, Any] | None) -> ranks.At | None:
        return None if not at else ranks.At(at, self._frame())
