"""Criticism of a model as methods of a fit: checks, cross-validation, residuals; and models compared."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pandas as pd

from hierbayes import simulation
from hierbayes.answers.approximation import refuse_approximation
from hierbayes.answers.draws import Draws, flatten
from hierbayes.answers.intervals import get_interval
from hierbayes.answers.posterior import CORRELATED_WITH, Posterior
from hierbayes.criticism import fitchecks, freedom, likelihood, sensitivity
from hierbayes.criticism.checks import check_draws
from hierbayes.criticism.findings import Finding
from hierbayes.criticism.importance import FEWEST
from hierbayes.data.design import Design
from hierbayes.errors import UnsupportedError

if TYPE_CHECKING:
    import xarray as xr

    from hierbayes.criticism.elpd import LOGO, LOO


def _found(search: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a search finds; that it was left out, where its method refuses the model."""
    try:
        return list(search())
    except UnsupportedError as refusal:
        return [
            Finding(
                "left-out",
                f"a part of the thorough check was left out: {refusal}",
                "The others were made",
                True,
            )
        ]


class Criticism(Posterior):
    """Is the model any good."""

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
            searches = [
                self._prior_conflicts,
                *crossval.influence_searches(self.spec, self._rows(), posterior),
            ]
            findings += [finding for search in searches for finding in _found(search)]
        return tuple(findings)

    def _prior_conflicts(self) -> Iterable[Finding]:
        return sensitivity.sensitivity_findings(self.prior_sensitivity())

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

    def log_likelihood(self) -> "xr.DataTree":
        """The fit's groups with the log-likelihood of every training row in every draw beside them.

        What ``az.loo`` and its kin read; `loo` itself needs no more than a chunk of it at a time. A row's weight
        multiplies its log density. Memory: 8 bytes × draws × rows, and some 200 MB while it is made.

        Returns
        -------
        xarray.DataTree
            The groups of `tree` and ``log_likelihood``: a variable named like the response, (chain, draw, __obs__).
        """
        self._need_rows_alone("log_likelihood()")
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

    def _reweightable(self, what: str) -> "xr.Dataset":
        """The posterior, for what reweights its draws."""
        self._need_rows_alone(what)
        refuse_approximation(self.tree, what)
        draws = self.posterior.sizes["chain"] * self.posterior.sizes["draw"]
        if draws < FEWEST:
            raise UnsupportedError(
                f"{what} reweights draws of the posterior and needs {FEWEST} or more, and this fit has {draws}; "
                "draw more: fit(draws=…)"
            )
        return self.posterior

    def _need_rows_alone(self, what: str) -> None:
        """Refuse what takes each row's likelihood by itself, where other responses have a part in it."""
        others = self.tree.attrs.get(CORRELATED_WITH)
        if others:
            raise UnsupportedError(
                f"{what} takes the likelihood of each row of one response, and its residuals are correlated with those "
                f"of {others}; loo() of all responses leaves out whole rows; or fit the model with rescor=False"
            )

    def _refit(self, design: Design) -> Draws:
        """The same model and strategy on other rows; levels that have none of them keep their prior."""
        from hierbayes.engine import Settings, choose
        from hierbayes.engine.starting import with_places_to_start

        self._need_own_posterior("refitting without some rows")
        attributes, sizes = self.tree.attrs, self.posterior.sizes
        settings = Settings(
            draws=sizes["draw"], chains=sizes["chain"], seed=int(attributes.get("seed", 0)), progress=False
        )
        plan = choose(self.spec, design, attributes.get("strategy", "auto"))
        with with_places_to_start():
            tree = plan.strategy.run(self.spec, design, settings)
        return flatten(self.spec, tree["posterior"].to_dataset())
