"""Simulations of several responses from their priors, as methods of a model of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hierbayes.answers.draws import Draws
from hierbayes.answers.predict import choose_groups
from hierbayes.data.design import Design
from hierbayes.engine import Settings
from hierbayes.engine.draws import observed_dataset, to_dataset
from hierbayes.expect import Simulation, simulate_all
from hierbayes.joint_known_parameters import simulate_jointly
from hierbayes.prior_summary import PriorSummary, summarise_prior
from hierbayes.several import JointSpec, known_response
from hierbayes.simulation import sample_joint_prior, simulate_responses

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PriorSummaries:
    """What the priors imply for each of several responses; it prints them one below the other.

    Attributes
    ----------
    responses : mapping of str to PriorSummary
    """

    responses: Mapping[str, PriorSummary]

    def __repr__(self) -> str:
        return "\n\n".join(f"{heading(name)}\n{summary!r}" for name, summary in self.responses.items())


def heading(name: str) -> str:
    """A line above what is about one of several responses."""
    return f"── {name} " + "─" * max(3, 60 - len(name))


class JointPriorSimulation:
    """What the priors of several responses imply.

    Attributes
    ----------
    spec : JointSpec
    models : mapping of str to Model
    """

    spec: JointSpec
    models: Mapping[str, Any]

    @property
    def designs(self) -> dict[str, Design]:
        """The training rows of every response as arrays."""
        return {name: model.design for name, model in self.models.items()}

    @property
    def frames(self) -> "dict[str, pd.DataFrame]":
        """And as tables."""
        return {name: model.data for name, model in self.models.items()}

    def prior_predictive(self, draws: int = 500, seed: int = 0, rows: Any = None) -> "xr.DataTree":
        """Parameters from their priors and the responses they imply, as `Model.prior_predictive` those of one.

        Parameters
        ----------
        draws : int
        seed : int
        rows : data frame or mapping, optional
            Other rows than the model's own; a level that the model hasn't is a new group, whose effects on all
            responses are drawn together.

        Returns
        -------
        xarray.DataTree
            Group prior, by the names of the posterior's variables; for each response a group such as
            ``prior_predictive_math``, and without other rows ``observed_data_math``.
        """
        import xarray as xr

        Settings(draws=draws, seed=seed)
        prior = sample_joint_prior(self.spec, self.designs, draws, seed)
        arrays = {name: values[None] for name, values in prior.values.items()}
        groups = {"prior": to_dataset(self.spec, arrays)}
        for own in self.spec.named:
            design: Design = self.models[own.response].design
            if rows is not None:
                design = own.layout.bind_new(rows, choose_groups(own, "all"))
            groups[f"prior_predictive_{own.response}"] = simulate_responses(own, prior, design, seed)
            if design.y is not None:
                groups[f"observed_data_{own.response}"] = observed_dataset(own, design)
        tree = xr.DataTree.from_dict(groups)
        tree.attrs["seed"] = seed
        return tree

    def simulate_prior(self, draws: int = 1000, seed: int = 0) -> dict[str, Simulation]:
        """Data sets simulated from the priors, by response; a draw of one is of the same parameters in all."""
        Settings(draws=draws, seed=seed)
        prior = sample_joint_prior(self.spec, self.designs, draws, seed)
        found = {}
        for name, part in zip(self.spec.responses, self.spec.named, strict=True):
            model = self.models[name]
            own = Draws(self.spec.own_arrays(name, prior.values), prior.chains, prior.draws)
            simulation = simulate_all(part, model.design, model.data, prior, seed)
            found[name] = replace(simulation, spec=self.spec.responses[name], prior=own)
        return found

    def simulate(
        self, parameters: Mapping[str, Any], seed: int = 0, *, effects: bool = False
    ) -> "pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]":
        """The rows with all responses drawn at known parameters, as `Model.simulate` draws those of one.

        A response that is a predictor of another is drawn first, and predicts the other as it was drawn.

        Parameters
        ----------
        parameters : mapping of str to float
            By the names of the joint fit's summary: ``"math.Intercept"``, ``"math.sd[school, Intercept]"``, …;
            correlations across responses, ``"cor[school, math_Intercept, reading_Intercept]"`` and
            ``"rescor[math, reading]"``, are 0 unless given, as those of one response are.
        seed : int
        effects : bool
            Whether to return the group effects that were drawn as well.

        Returns
        -------
        pandas.DataFrame, or two of them
            The rows of any response. With ``effects=True`` also response, group, level, effect and value.

        Raises
        ------
        DataError
            For a parameter that is absent, unknown or out of range, responses that predict each other, or one that
            is computed.
        """
        Settings(seed=seed)
        rows, drawn = simulate_jointly(self.spec, self.frames, parameters, seed)
        return (rows, drawn) if effects else rows

    def prior_summary(self, draws: int = 1000, seed: int = 0) -> PriorSummaries:
        """What the priors imply for each response, as `Model.prior_summary`.

        Returns
        -------
        PriorSummaries
            It prints itself; `responses` has each one's, by name.
        """
        simulations = self.simulate_prior(draws, seed)
        return PriorSummaries({name: summarise_prior(own) for name, own in simulations.items()})

    def plot_prior_predictive(
        self,
        response: str,
        draws: int = 1000,
        seed: int = 0,
        *,
        bounds: tuple[float, float] | None = None,
        label: str | None = None,
    ) -> "NDArray[Any]":
        """Simulated data of one response, as `Model.plot_prior_predictive`."""
        from hierbayes.plots.priors import plot_prior_predictive

        own = self.simulate_prior(draws, seed)[known_response(response, tuple(self.models))]
        return plot_prior_predictive(own, bounds=bounds, label=label)
