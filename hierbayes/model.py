"""The façade: `Model`, and `fit`."""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

import pandas as pd

from hierbayes import truth
from hierbayes.answers.predict import choose_groups
from hierbayes.criticism.checks import Finding
from hierbayes.criticism.designchecks import check_design, structure
from hierbayes.data.design import MEAN, PACKAGE, Design
from hierbayes.data.learning import complete_rows, learn
from hierbayes.data.sources import Source, find_source
from hierbayes.data.streamed import Streamed, in_memory
from hierbayes.defaults import resolve_priors
from hierbayes.describe import prior_table
from hierbayes.engine import Settings, choose
from hierbayes.errors import (
    DataError,
    DataWarning,
    FormulaError,
    UnsupportedError,
)
from hierbayes.expect import Simulation, simulate_all
from hierbayes.families import Family, get_family
from hierbayes.fitted import Fit
from hierbayes.formula import Formula, parse
from hierbayes.prior_comparison import PriorComparison
from hierbayes.prior_summary import PriorSummary, summarise_prior
from hierbayes.priors import Priors, read_priors
from hierbayes.reprs import model_html, model_text
from hierbayes.sampling import approximate_posterior, draw_posterior
from hierbayes.simulation import prior_predictive, sample_prior
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr
    from numpy.typing import NDArray

type Formulas = str | Formula | Mapping[str, str | Formula]
type Links = str | Mapping[str, str] | None


class Model:
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
    family : str
        ``"gaussian"``, ``"student"``, ``"lognormal"``, ``"bernoulli"``, ``"binomial"``,
        ``"betabinomial"``, ``"poisson"``, ``"negbinomial"``, ``"gamma"``, ``"beta"``, ``"cumulative"``,
        ``"weibull"`` or ``"zero_inflated_poisson"``.
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

    def __init__(
        self,
        formula: Formulas,
        data: Any,
        family: str = "gaussian",
        priors: Priors = None,
        link: Links = None,
        *,
        progress: bool = True,
        center: bool = True,
    ) -> None:
        found, links = get_family(family, link)
        link_name = links[found.first.name]
        formulas = read_formulas(formula, found)
        prior_set = read_priors(priors)
        source = find_source(data)
        self.data: pd.DataFrame | Source
        self.design: Design | Streamed
        if source is None:
            self.data = complete_rows(formulas, data)
            layout = learn(formulas, self.data, found, link_name)
        else:
            from hierbayes.engine.passes import (
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

    def prior_predictive(self, draws: int = 500, seed: int = 0, rows: Any = None) -> "xr.DataTree":
        """Parameters from their priors and the responses they imply, by forward simulation.

        Parameters
        ----------
        draws : int
        seed : int
        rows : data frame or mapping, optional
            Other rows than the model's own, as `Fit.predict` takes them; levels that the model hasn't are new
            groups, drawn from the population.

        Returns
        -------
        xarray.DataTree
            Groups prior, prior_predictive and, where there is a response, observed_data, as one chain.
        """
        Settings(draws=draws, seed=seed)
        design = (
            in_memory(self.design, "prior_predictive")
            if rows is None
            else self.spec.layout.bind_new(rows, choose_groups(self.spec, "all"))
        )
        return prior_predictive(self.spec, design, draws, seed)

    def simulate_prior(self, draws: int = 1000, seed: int = 0) -> Simulation:
        """Data sets simulated from the priors, as arrays: what summaries and pictures of a prior are made of."""
        Settings(draws=draws, seed=seed)
        design = in_memory(self.design, "simulation from the priors")
        assert isinstance(self.data, pd.DataFrame)
        prior = sample_prior(self.spec, draws, seed)
        return simulate_all(self.spec, design, self.data, prior, seed)

    def prior_summary(self, draws: int = 1000, seed: int = 0) -> PriorSummary:
        """What the priors imply, in sentences and tables: responses, groups, intraclass correlations.

        Parameters
        ----------
        draws : int
            Data sets to simulate.
        seed : int

        Returns
        -------
        PriorSummary
            It prints itself; `responses` and `effects` are its tables.

        Examples
        --------
        >>> import hierbayes as hb
        >>> priors = {"Intercept": "Normal(300, 50)", "sd": "HalfNormal(30)", "sigma": "Exponential(0.02)"}
        >>> summary = hb.Model("rt ~ 1 + (1 | subject)", hb.design_grid(subject=20, trial=5), priors=priors)
        >>> print(summary.prior_summary().sentences[0])
        A simulated rt is 297 at the median; 90 % lie in 160 to 435.
        """
        return summarise_prior(self.simulate_prior(draws, seed))

    def plot_prior_predictive(
        self,
        draws: int = 1000,
        seed: int = 0,
        *,
        bounds: tuple[float, float] | None = None,
        label: str | None = None,
    ) -> "NDArray[Any]":
        """Simulated responses and groups, and the implied priors of sds, correlations and the ICC, a panel each.

        Parameters
        ----------
        draws : int
        seed : int
        bounds : tuple of float, optional
            What is plausible for a response: drawn, with the share of simulated responses outside.
        label : str, optional
            The response with its unit, for the axes.

        Returns
        -------
        ndarray of matplotlib.axes.Axes
        """
        from hierbayes.plots.priors import plot_prior_predictive

        return plot_prior_predictive(self.simulate_prior(draws, seed), bounds=bounds, label=label)

    @overload
    def simulate(
        self, parameters: Mapping[str, Any], seed: int = 0, *, effects: Literal[False] = False
    ) -> pd.DataFrame: ...

    @overload
    def simulate(
        self, parameters: Mapping[str, Any], seed: int = 0, *, effects: Literal[True]
    ) -> tuple[pd.DataFrame, pd.DataFrame]: ...

    def simulate(self, parameters: Mapping[str, Any], seed: int = 0, *, effects: bool = False) -> Any:
        """The training rows with responses drawn at known parameters: data of which the truth is known.

        Parameters
        ----------
        parameters : mapping of str to float
            By the names of `Fit.summary`, so that ``fit.summary()["mean"]`` will do: every coefficient, every
            ``"sd[group, effect]"`` and the family's own; a ``"cor[group, effect, effect]"`` is 0 unless given. All
            are at 0 of the user's columns.
        seed : int
            Of the group effects and the responses.
        effects : bool
            Whether to return the group effects that were drawn as well: the truth that `Fit.ranef` is about.

        Returns
        -------
        pandas.DataFrame, or two of them
            The columns that the model reads, the response simulated. With ``effects=True`` also group, level, effect
            and value, a row an effect in the order of `Fit.ranef`.

        Raises
        ------
        DataError
            For a parameter that is absent, unknown or out of range, or a response that is computed.

        Examples
        --------
        >>> import hierbayes as hb
        >>> model = hb.Model("Reaction ~ Days + (1 | Subject)", hb.load_dataset("sleepstudy"))
        >>> truth = {"Intercept": 250, "Days": 10, "sd[Subject, Intercept]": 40, "sigma": 30}
        >>> model.simulate(truth, seed=1).shape
        (180, 3)
        >>> data, effects = model.simulate(truth, seed=1, effects=True)
        >>> effects.columns.tolist()
        ['group', 'level', 'effect', 'value']
        """
        Settings(seed=seed)
        design = in_memory(self.design, "simulate")
        assert isinstance(self.data, pd.DataFrame)
        rows, drawn = truth.simulate(self.spec, design, self.data, parameters, seed)
        return (rows, drawn) if effects else rows

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
    ) -> Fit:
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

    def approximate(self, draws: int = 4000, seed: int = 0, progress: bool = True) -> Fit:
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

    def refit(self, priors: Priors, **options: Any) -> PriorComparison:
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


def fit(
    formula: Formulas,
    data: Any,
    family: str = "gaussian",
    priors: Priors = None,
    link: Links = None,
    *,
    center: bool = True,
    **options: Any,
) -> Fit:
    """``Model(formula, data, family, priors, link, center=center).fit(**options)``."""
    progress = options.get("progress", True)
    return Model(formula, data, family, priors, link, progress=progress, center=center).fit(**options)


@overload
def simulate(
    formula: Formulas,
    design: Any,
    parameters: Mapping[str, Any],
    seed: int = 0,
    family: str = "gaussian",
    link: Links = None,
    *,
    effects: Literal[False] = False,
) -> pd.DataFrame: ...


@overload
def simulate(
    formula: Formulas,
    design: Any,
    parameters: Mapping[str, Any],
    seed: int = 0,
    family: str = "gaussian",
    link: Links = None,
    *,
    effects: Literal[True],
) -> tuple[pd.DataFrame, pd.DataFrame]: ...


def simulate(
    formula: Formulas,
    design: Any,
    parameters: Mapping[str, Any],
    seed: int = 0,
    family: str = "gaussian",
    link: Links = None,
    *,
    effects: bool = False,
) -> Any:
    """Data from known truths, for rows that have no response yet.

    Parameters
    ----------
    formula : str, Formula or mapping of str to either
        As for `Model`; its left side names the column to make, ``trials(n)`` a column of the design.
    design : data frame or mapping
        n rows with the predictors and the grouping factors.
    parameters, seed
        As in `Model.simulate`.
    family, link : str, str or mapping
        As for `Model`.
    effects : bool
        As in `Model.simulate`.

    Returns
    -------
    pandas.DataFrame, or two of them
        The design and the response; with ``effects=True`` also the group effects.

    Examples
    --------
    >>> import hierbayes as hb
    >>> design = {"x": [0.0, 1.0] * 10, "g": [g for g in range(10) for _ in range(2)]}
    >>> truth = {"Intercept": 1, "x": 0.5, "sd[g, Intercept]": 1, "sigma": 0.3}
    >>> hb.simulate("y ~ x + (1 | g)", design, truth, seed=1).columns.tolist()
    ['x', 'g', 'y']
    """
    Settings(seed=seed)
    found, links = get_family(family, link)
    formulas = read_formulas(formula, found)
    rows, drawn = truth.simulate_design(formulas, design, found, links, parameters, seed)
    return (rows, drawn) if effects else rows


def read_formulas(formula: Formulas, family: Family) -> dict[str, Formula]:
    """The formula of each parameter, the mean's first.

    Raises
    ------
    FormulaError
        When a text cannot be read, or none is the mean's.
    UnsupportedError
        For a parameter that the family hasn't got.
    """
    if not isinstance(formula, Mapping):
        return {MEAN: _read(formula, response=True)}
    if MEAN not in formula:
        raise FormulaError(
            f"the formulas need one for {MEAN!r}, the mean; got {', '.join(map(repr, formula)) or 'none'}"
        )
    known = [auxiliary.name for auxiliary in family.own]
    for name in formula:
        if name != MEAN and name not in known:
            have = ", ".join([MEAN, *known])
            raise UnsupportedError(f"family {family.name!r} has no parameter {name!r}; it has {have}")
        if name != MEAN and not family.parameter(name).takes_formula:
            raise UnsupportedError(
                f"{name} of family {family.name!r} is a vector, which has no formula; leave it out"
            )
    others = {name: _read(text, response=False) for name, text in formula.items() if name != MEAN}
    return {MEAN: _read(formula[MEAN], response=True)} | others


def _read(formula: str | Formula, response: bool) -> Formula:
    return formula if isinstance(formula, Formula) else parse(formula, response=response)
