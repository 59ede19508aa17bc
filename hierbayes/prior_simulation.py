"""Simulations before there is a posterior, as methods of a model: from its priors, and from known parameters."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import pandas as pd

from hierbayes import known_parameters
from hierbayes.answers.predict import choose_groups
from hierbayes.data.design import Design
from hierbayes.data.formulas import Formulas, read_formulas
from hierbayes.data.sources import Source
from hierbayes.engine import Settings
from hierbayes.engine.streamed import Streamed, in_memory
from hierbayes.errors import UnsupportedError
from hierbayes.expect import Simulation, simulate_all
from hierbayes.families import Family, Links, get_family
from hierbayes.joint_known_parameters import simulate_joint_design
from hierbayes.joint_reading import split_formulas
from hierbayes.prior_summary import PriorSummary, summarise_prior
from hierbayes.simulation import prior_predictive, sample_prior
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


class PriorSimulation:
    """What a model's priors imply, and data from parameters that are known.

    Attributes
    ----------
    spec : ModelSpec
    data : pandas.DataFrame or Source
    design : Design or Streamed
    """

    spec: ModelSpec
    data: pd.DataFrame | Source
    design: Design | Streamed

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
        return prior_predictive(self.spec, design, draws, seed, self.design)

    def simulate_prior(self, draws: int = 1000, seed: int = 0) -> Simulation:
        """Data sets simulated from the priors, as arrays: what summaries and pictures of a prior are made of."""
        Settings(draws=draws, seed=seed)
        design = in_memory(self.design, "simulation from the priors")
        assert isinstance(self.data, pd.DataFrame)
        prior = sample_prior(self.spec, draws, seed, design)
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
        rows, drawn = known_parameters.simulate(self.spec, design, self.data, parameters, seed)
        return (rows, drawn) if effects else rows


@overload
def simulate(
    formula: Formulas | Sequence[Formulas],
    design: Any,
    parameters: Mapping[str, Any],
    seed: int = 0,
    family: str | Family | Sequence[str | Family] = "gaussian",
    link: Links | Sequence[Links] = None,
    *,
    effects: Literal[False] = False,
    rescor: bool = False,
    data2: Mapping[str, Any] | None = None,
) -> pd.DataFrame: ...


@overload
def simulate(
    formula: Formulas | Sequence[Formulas],
    design: Any,
    parameters: Mapping[str, Any],
    seed: int = 0,
    family: str | Family | Sequence[str | Family] = "gaussian",
    link: Links | Sequence[Links] = None,
    *,
    effects: Literal[True],
    rescor: bool = False,
    data2: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]: ...


def simulate(
    formula: Formulas | Sequence[Formulas],
    design: Any,
    parameters: Mapping[str, Any],
    seed: int = 0,
    family: str | Family | Sequence[str | Family] = "gaussian",
    link: Links | Sequence[Links] = None,
    *,
    effects: bool = False,
    rescor: bool = False,
    data2: Mapping[str, Any] | None = None,
) -> Any:
    """Data from known truths, for rows that have no response yet.

    Parameters
    ----------
    formula : str, Formula, mapping of str to either, or a list of these
        As for `Model`; its left side names the column to make, ``trials(n)`` a column of the design. Of a list each
        makes one.
    design : data frame or mapping
        n rows with the predictors and the grouping factors.
    parameters, seed
        As in `Model.simulate`.
    family, link : str, str or mapping
        As for `Model`.
    effects : bool
        As in `Model.simulate`.
    rescor : bool
        As for `Model`.
    data2 : mapping of str to pandas.DataFrame, optional
        As for `Model`.

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
    several = split_formulas(formula)
    if several is not None:
        rows, drawn = simulate_joint_design(
            several, design, family, link, parameters, seed, data2 or {}, rescor
        )
        return (rows, drawn) if effects else rows
    if rescor:
        raise UnsupportedError("rescor=True is about several responses, and here is one; leave it out")
    found, links = get_family(cast(Any, family), cast(Links, link))
    formulas = read_formulas(cast(Formulas, formula), found)
    rows, drawn = known_parameters.simulate_design(
        formulas, design, found, links, parameters, seed, data2 or {}
    )
    return (rows, drawn) if effects else rows
