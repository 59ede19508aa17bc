"""The façade: `Model` and `Fit`, which make each other; `fit`, and `load`."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hierbayes.answers.approximation import is_approximate
from hierbayes.answers.estimates import Estimates
from hierbayes.answers.marginal_effects import MarginalEffects
from hierbayes.answers.predictions import Predictions
from hierbayes.criticism.criticism import Criticism
from hierbayes.criticism.designchecks import check_design, structure
from hierbayes.criticism.findings import Finding
from hierbayes.data.design import MEAN, PACKAGE, Design
from hierbayes.data.formulas import Formulas, read_formulas
from hierbayes.data.learning import complete_rows, learn, observed_rows
from hierbayes.data.settling import settle
from hierbayes.data.sources import Source, find_source
from hierbayes.defaults import resolve_priors
from hierbayes.describe import prior_table
from hierbayes.engine import Settings, choose
from hierbayes.engine.streamed import Streamed, in_memory
from hierbayes.errors import DataError, DataWarning, FormulaError, UnsupportedError
from hierbayes.families import Family, Links, get_family
from hierbayes.joint import JointFit, JointModel
from hierbayes.joint_reading import split_formulas
from hierbayes.pictures import Pictures
from hierbayes.prior_comparison import PriorComparison, refit_options, with_priors
from hierbayes.prior_simulation import PriorSimulation
from hierbayes.priors import Priors, read_priors
from hierbayes.reprs import fit_html, fit_text, model_html, model_text
from hierbayes.sampling import approximate_posterior, draw_posterior
from hierbayes.several import no_formula
from hierbayes.spec import ModelSpec
from hierbayes.store import JointStored, read_fit, write_fit

if TYPE_CHECKING:
    import pymc as pm


class Model(PriorSimulation):
    """A Bayesian hierarchical model: a formula and data, with every prior settled.

    Making one is the composition of five steps, each of them a function: `parse` the formula, `complete_rows` of the
    data, `learn` the layout, `resolve_priors`, and `Layout.bind`.

    Parameters
    ----------
    formula : str, Formula or mapping of str to either
        ``"Reaction ~ Days + (Days | Subject)"``; or one a parameter, ``{"mu": "y ~ x", "sigma": "~ x"}``.
    data : data frame or mapping
        Any data frame that narwhals reads, n rows; rows with missing values are left out with a warning. A design
        (`design_grid`, `DesignRows`) needs no response column: such a model simulates and shows its priors, but
        cannot be fitted. For Gaussian models also a source that is read in parts, and never as a whole: the path
        of ``.parquet`` or ``.csv`` files (``"rows/*.parquet"``), a DuckDB relation, a polars LazyFrame, or a Dask data
        frame.
    family : str or Family
        ``"gaussian"``, ``"student"``, ``"lognormal"``, ``"bernoulli"``, ``"binomial"``,
        ``"betabinomial"``, ``"poisson"``, ``"negbinomial"``, ``"gamma"``, ``"beta"``, ``"cumulative"``,
        ``"sratio"``, ``"cratio"``, ``"acat"``, ``"categorical"``,
        ``"weibull"``, ``"zero_inflated_poisson"``, …: every name in ``hierbayes.families.FAMILIES``;
        or one of your own (`custom_family`).
    priors : mapping, PriorSet, path, list of these, or None
        Priors by address, ``{"b[Days]": "Normal(0, 10)", "sd": "HalfNormal"}``, or a TOML file of them; of a list,
        ``["reaction.toml", {"sd": "HalfNormal(50)"}]``, later entries replace earlier ones of the same address.
        What isn't named has a weakly informative default.
    link : str or mapping of str to str, optional
        The mean's link, or one a parameter, ``{"mu": "log", "sigma": "identity"}``; the family's defaults unless
        given. A link says how a parameter's formula makes it; without a formula its prior is of the value itself.
    progress : bool
        Whether to tell how far reading has come, where the rows stay in a source.
    center : bool
        Whether a prior given for an intercept is about the response at the predictors' means, as brms has it; False
        makes it literal, about 0 of all columns, as all other priors that are given.
    data2 : mapping of str to pandas.DataFrame or Pedigree, optional
        The matrices that the formula names: ``{"A": frame}`` for ``(1 | gr(g, cov=A))``, with the levels as index and
        columns, or a `pedigree`; for ``(1 | gr(g, car=W, type="bym2"))`` alike, or two columns with pairs of
        neighbours.

    Attributes
    ----------
    spec : ModelSpec
        What was learnt, the family, the link and the priors.
    data : pandas.DataFrame or Source
        The complete training rows, or where they are.
    design : Design or Streamed
        Those rows as arrays, or what was summed up over them.

    Raises
    ------
    FormulaError, DataError, PriorError, UnsupportedError
        Before any sampling: what was found, where, and the way out.

    Examples
    --------
    >>> import hierbayes as hb
    >>> model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))
    >>> model.priors["prior"].iloc[0]
    'Normal(mu=298.508, sigma=140.43)'
    """

    def __new__(cls, formula: Any = None, *arguments: Any, **options: Any) -> Any:
        """Of several formulas a `JointModel`."""
        several = None if cls is not Model else split_formulas(formula)
        return (
            super().__new__(cls)
            if several is None
            else JointModel(Model, Fit, several, *arguments, **options)
        )

    def __init__(
        self,
        formula: Formulas,
        data: Any,
        family: str | Family = "gaussian",
        priors: Priors = None,
        link: Links = None,
        *,
        progress: bool = True,
        center: bool = True,
        rescor: bool = False,
        data2: Mapping[str, Any] | None = None,
    ) -> None:
        if rescor:
            raise UnsupportedError(
                "rescor=True is about several responses, and this model has one; leave it out"
            )
        self._make(formula, data, family, priors, link, progress=progress, center=center, data2=data2)
        if self.spec.layout.imputed:
            one = self.spec.layout.imputed[0]
            raise FormulaError(no_formula(one.term.label, one.column))

    def _make(
        self,
        formula: Formulas,
        data: Any,
        family: str | Family,
        priors: Priors,
        link: Links,
        *,
        progress: bool,
        center: bool,
        data2: Mapping[str, Any] | None,
    ) -> None:
        if isinstance(family, (list, tuple, Mapping)):
            raise DataError(
                'one response has one family; several responses are a list of formulas, ["a ~ x", "b ~ x"], or '
                "mvbind(a, b) ~ x"
            )
        found, links = get_family(family, link)
        link_name = links[found.first.name]
        formulas = read_formulas(formula, found)
        prior_set = read_priors(priors)
        source = find_source(data)
        if source is None:
            self.data = complete_rows(formulas, data, found)
            formulas, found = settle(formulas, self.data, found, links)
            links = found.with_links(links)
            layout = learn(formulas, self.data, found, link_name, _named(data2))
            self.data = observed_rows(formulas, self.data)
        else:
            from hierbayes.engine.streaming import (
                stream,  # compiled kernels, which a model of a frame needs later
            )

            self.data = source
            self.design = stream(formulas, source, found, link_name, prior_set, progress)
            layout = self.design.layout
        resolved = resolve_priors(layout, found, links, prior_set, center)
        self.spec = ModelSpec(layout, found, links, resolved, center)
        if isinstance(self.data, pd.DataFrame):
            self.design = self.spec.layout.bind(self.data)
        for finding in self.check():
            if not finding.question:
                warnings.warn(str(finding), DataWarning, skip_file_prefixes=(PACKAGE,))

    @classmethod
    def part(cls, *arguments: Any, **options: Any) -> "Model":
        """One response of several, whose predictors may have values that another of them says."""
        model = cls.__new__(cls)
        model._make(*arguments, **options)
        return model

    @classmethod
    def _of(cls, spec: ModelSpec, data: pd.DataFrame | Source, design: Design | Streamed) -> "Model":
        """The model of a fit: what was learnt is not learnt again."""
        model = cls.__new__(cls)
        model.spec, model.data, model.design = spec, data, design
        return model

    def __repr__(self) -> str:
        return model_text(self.spec, self.design, *self._strategy())

    def _repr_html_(self) -> str:
        return model_html(self.spec, self.design, *self._strategy())

    def _strategy(self) -> tuple[str, str]:
        """The strategy that `fit` will take and why; no name where there is no response."""
        if isinstance(self.design, Design) and self.design.y is None:
            return "", f"a design without the response {self.spec.layout.response.name!r}"
        plan = choose(self.spec, self.design)
        return plan.strategy.name, plan.reason

    def _need_response(self, what: str) -> None:
        if isinstance(self.design, Design) and self.design.y is None:
            name = self.spec.layout.response.name
            raise DataError(
                f"{what} needs the response {name!r}, and the rows are a design without it; make the model of data "
                f"with a column {name!r}. Without it there are prior_predictive, priors and their summaries"
            )

    @property
    def priors(self) -> pd.DataFrame:
        """Every prior, its numbers settled: class, coefficient, group, parameter, prior, where it stands, origin.

        A default is about columns that are residuals on their margins, so that shifting a predictor changes nothing:
        it stands "at Days = 4.5", "at the predictors' means". A prior that was given is literal: it stands "at 0".
        Nothing is said where no other predictor has a part in what the quantity means.
        """
        return prior_table(self.spec)

    def check(self) -> tuple[Finding, ...]:
        """Facts about the data that limit what the model can say; empty when there are none."""
        return check_design(self.spec, self.design)

    def structure(self) -> pd.DataFrame:
        """How the grouping factors stand to each other, by looking at the rows: nested, crossed, partly crossed.

        Returns
        -------
        pandas.DataFrame
            One row a pair: factor, relation, other, pairs (combinations of levels that have rows), possible.
        """
        return structure(self.design)

    def graph(self, parameterization: str = "noncentered") -> "pm.Model":
        """The model as a `pymc.Model`, with dims and coords, usable as any PyMC model.

        Parameters
        ----------
        parameterization : {"noncentered", "centered"}
            Group effects as scaled standard normals, or drawn from their distribution directly.
        """
        from hierbayes.graph import build_graph

        self._need_response("graph()")
        design = in_memory(self.design, "the graph")
        graph: pm.Model = build_graph(self.spec, design, parameterization)
        return graph

    def fit(
        self,
        draws: int = 1000,
        chains: int = 4,
        seed: int = 0,
        strategy: str = "auto",
        progress: bool = True,
        *,
        tune: int | None = None,
        cores: int | None = None,
        target_accept: float | None = None,
        sampler: str = "nutpie",
        parameterization: str = "noncentered",
    ) -> "Fit":
        """Draw the posterior.

        Parameters
        ----------
        draws : int
            Draws kept from each chain.
        chains : int
        seed : int
            The same seed on the same model repeats the draws.
        strategy : str
            ``"auto"`` takes the first strategy that supports the model; printing the model shows which.
        progress : bool
            Whether to show progress.
        tune : int, optional
            Warm-up draws; the strategy's own number unless given.
        cores : int, optional
            Chains run at once.
        target_accept : float, optional
            Acceptance rate that the step size aims at; the strategy's own unless given.
        sampler : {"nutpie", "pymc", "numpyro"}
            Who runs NUTS, for strategy ``"nuts"``.
        parameterization : {"noncentered", "centered"}
            Of the graph, for strategy ``"nuts"``.

        Returns
        -------
        Fit
            Stopped by Ctrl-C, it holds the draws so far and is marked as interrupted.

        Warns
        -----
        SamplingWarning
            Where the draws are not to be trusted as they are, with what to do.

        Raises
        ------
        DataError
            For a design without a response.
        """
        self._need_response("fit()")
        settings = Settings(
            draws, chains, tune, seed, cores, target_accept, progress, sampler, parameterization
        )
        tree = draw_posterior(self.spec, self.design, settings, strategy)
        return Fit(self.spec, self.data, self.design, tree)

    def approximate(self, draws: int = 4000, seed: int = 0, progress: bool = True) -> "Fit":
        """Draw a Gaussian approximation to the posterior: a first look, and how far to trust it.

        It is Gaussian in the coordinates in which `fit` samples: for strategy ``"whitened"`` in all of them; for
        ``"collapsed"`` in sigma, standard deviations and correlations, with the coefficients drawn exactly given
        those. It takes one evaluation of the model a draw, and a few hundred to place it.

        Parameters
        ----------
        draws : int
            30 or more, independent of each other.
        seed : int
            The same seed on the same model repeats the draws.
        progress : bool
            Whether to say what takes long.

        Returns
        -------
        Fit
            Marked as an approximation wherever it prints, and in ``tree.attrs["approximation"]``. Its `pareto_k`
            says how far the posterior is from it, and ``tree["sample_stats"]["log_weight"]`` has the importance
            weights that correct it. What reweights draws of a posterior (`loo`, `prior_sensitivity`, …) refuses it.

        Warns
        -----
        SamplingWarning
            Where Pareto's k is too large for the approximation to be vouched for, or no mode was found.

        Raises
        ------
        UnsupportedError
            For a model that only strategy ``"nuts"`` can draw.

        Examples
        --------
        >>> import hierbayes as hb
        >>> model = hb.Model("incidence | trials(size) ~ period + (1 | herd)", hb.load_dataset("cbpp"), "binomial")
        >>> glance = model.approximate(seed=1)
        >>> glance.check()[0].code, glance.pareto_k < 0.7
        ('approximate', True)
        """
        self._need_response("approximate()")
        tree = approximate_posterior(self.spec, self.design, draws=draws, seed=seed, progress=progress)
        return Fit(self.spec, self.data, self.design, tree)

    def refit(self, priors: Priors, **options: Any) -> "PriorComparison[Fit]":
        """Fit the model as it is and with other priors: their posteriors side by side.

        Parameters
        ----------
        priors : mapping, PriorSet, path, list of these, or None
            As for `Model`; what isn't named stays as it is, and None makes every prior a default.
        **options
            As for `fit`, of both fits.

        Returns
        -------
        PriorComparison
            It prints the table; `before` and `after` are the fits.
        """
        return self.fit(**options).refit(priors, **options)


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Estimates, Predictions, MarginalEffects, Criticism, Pictures):
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

    def __repr__(self) -> str:
        return fit_text(self.spec, self.tree, self.summary())

    def _repr_html_(self) -> str:
        return fit_html(self.spec, self.tree, self.summary())

    @property
    def model(self) -> Model:
        """The model that was fitted, of a loaded fit too: for its graph, its checks, another fit of it."""
        return Model._of(self.spec, self.data, self.design)

    @property
    def formula(self) -> str | dict[str, str]:
        """The formula as canonical text; one a parameter where several have any."""
        formulas = {name: str(formula) for name, formula in self.spec.formulas.items()}
        return formulas if len(formulas) > 1 else formulas[MEAN]

    @property
    def priors(self) -> pd.DataFrame:
        """Every prior, as `Model.priors`."""
        return prior_table(self.spec)

    @property
    def pareto_k(self) -> float | None:
        """How far the posterior is from the approximation that was drawn (`Model.approximate`); None for `Model.fit`.

        Below min(1 − 1/log₁₀ S, 0.7) of S draws, importance weights turn the approximation into the posterior
        (Vehtari et al. 2024, JMLR 25(72)): they are in ``tree["sample_stats"]["log_weight"]``.
        """
        return float(self.tree.attrs["pareto_k"]) if is_approximate(self.tree) else None

    def refit(self, priors: Priors, **options: Any) -> "PriorComparison[Fit]":
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
        self._need_own_posterior("refit()")
        settings = refit_options(self.tree, options)
        spec = with_priors(self.spec, None if priors is None else read_priors(priors))
        if is_approximate(self.tree):
            tree = approximate_posterior(spec, self.design, **settings)
        else:
            strategy = settings.pop("strategy", "auto")
            tree = draw_posterior(spec, self.design, Settings(**settings), strategy)
        return PriorComparison(self, Fit(spec, self.data, self.design, tree))

    def save(self, path: str | Path) -> None:
        """Write the whole fit to one netCDF file with a checksum: draws, training rows, specification. `load` reads it.

        An older file is replaced once the new one is complete; if saving fails, it stays as it was.
        """
        self._need_own_posterior("save()")
        self._rows("write the draws with fit.tree.to_netcdf(…), or make the model of a sample of the rows")
        write_fit(path, self.spec, self._frame(), self.tree)


def _named(data2: Any) -> Mapping[str, Any]:
    """What a formula's terms call by names.

    Raises
    ------
    DataError
        Where it has no names.
    """
    if data2 is None:
        return {}
    if not isinstance(data2, Mapping):
        raise DataError(
            f"data2 is {type(data2).__name__}; it has matrices by the names that the formula calls them: "
            'data2={"A": …}'
        )
    return data2


def load(path: str | Path, family: Family | None = None) -> Any:
    """Read a fit that `Fit.save` or `JointFit.save` wrote; every method works as on the original.

    Parameters
    ----------
    path : str or Path
    family : Family, optional
        The family of your own (`custom_family`) that the fit was made with: a file holds its name and no code.

    Raises
    ------
    DataError
        For a file that is damaged, that another program has changed, or that is no fit of hierbayes.
    """
    found = read_fit(path, family)
    if isinstance(found, JointStored):
        return JointFit(JointModel.restored(Model, Fit, found.spec, found.frames), found.tree)
    return Fit(*found)


def fit(
    formula: Any,
    data: Any,
    family: Any = "gaussian",
    priors: Priors = None,
    link: Any = None,
    *,
    center: bool = True,
    rescor: bool = False,
    data2: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """``Model(formula, data, family, priors, link, center=center, data2=data2).fit(**options)``."""
    progress = options.get("progress", True)
    model = Model(
        formula, data, family, priors, link, progress=progress, center=center, rescor=rescor, data2=data2
    )
    return model.fit(**options)
