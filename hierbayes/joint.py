"""Models and fits of several responses: each answers as a fit of its own, beside what they share.

A response's own view of the posterior is exact: its variables by the names that they have in a model of it alone.
What no single response has, the correlations of effects across responses, is beside them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from hierbayes.answers.approximation import is_approximate
from hierbayes.answers.intervals import get_interval
from hierbayes.answers.quantities import Quantities
from hierbayes.answers.summary import Diagnosed
from hierbayes.criticism.checks import check_draws, check_mixing
from hierbayes.criticism.findings import Finding
from hierbayes.data.design import Design
from hierbayes.engine import Settings
from hierbayes.engine.several import approximate_jointly, choose_jointly, draw_jointly
from hierbayes.engine.starting import with_places_to_start
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.joint_criticism import JointCriticism
from hierbayes.joint_reading import (
    check_alike,
    check_measured,
    check_residuals,
    check_row_labels,
    families_of,
    imputes,
    one_each,
    response_names,
    rows_of_all,
    split_priors,
)
from hierbayes.joint_simulation import JointPriorSimulation, heading
from hierbayes.prior_comparison import PriorComparison, refit_options, with_priors
from hierbayes.priors import Priors, PriorSet, read_priors
from hierbayes.sampling import independent, versions, warn_of, weighted
from hierbayes.several import (
    JointSpec,
    by_response,
    known_response,
    resolve_joint,
    with_common_levels,
    with_drawn_rows,
)
from hierbayes.store import write_responses


class JointModel(JointPriorSimulation):
    """A model of several responses; `Model` makes it of a list of formulas, or of ``mvbind(a, b) ~ …``.

    Attributes
    ----------
    models : mapping of str to Model
        Each response's own: its formulas, rows, family and priors.
    spec : JointSpec
    """

    def __init__(
        self,
        make_model: Any,
        make_fit: Callable[..., Any],
        formulas: Sequence[Any],
        data: Any,
        family: Any = "gaussian",
        priors: Priors = None,
        link: Any = None,
        *,
        progress: bool = True,
        center: bool = True,
        rescor: bool = False,
        data2: Mapping[str, Any] | None = None,
    ) -> None:
        names = response_names(formulas)
        families = families_of(family, names)
        links = one_each(link, len(formulas), "link")
        user = read_priors(priors)
        own_priors = split_priors(user, names, rescor)
        imputing = any(map(imputes, formulas))
        if rescor or imputing:
            data = rows_of_all(formulas, data, families, links)
        if imputing:
            check_row_labels(data)
        models = [
            make_model.part(
                formula, data, one, own_priors[name], one_link, progress=progress, center=center, data2=data2
            )
            for formula, one, one_link, name in zip(formulas, families, links, names, strict=True)
        ]
        for name, model in zip(names, models, strict=True):
            if not isinstance(model.data, pd.DataFrame):
                raise UnsupportedError(
                    "several responses need rows in memory; read the file into a data frame first"
                )
            if isinstance(model.design, Design) and model.design.y is None:
                raise DataError(
                    f"a model of several responses needs them all, and the rows are without {name!r}"
                )
            if rescor:
                check_residuals(name, model.spec, model.design)
        frames = {name: model.data for name, model in zip(names, models, strict=True)}
        specs = {name: model.spec for name, model in zip(names, models, strict=True)}
        check_measured(specs)
        if rescor:
            check_alike(specs)
        whole = resolve_joint(with_common_levels(with_drawn_rows(specs), frames), user, rescor)
        self._assemble(make_model, make_fit, whole, frames)

    def _assemble(
        self,
        make_model: Any,
        make_fit: Callable[..., Any],
        spec: JointSpec,
        frames: Mapping[str, pd.DataFrame],
    ) -> None:
        self.spec, self._make_model, self._make_fit = spec, make_model, make_fit
        self.models: Mapping[str, Any] = MappingProxyType(
            {
                name: make_model._of(own, frames[name], own.layout.bind(frames[name]))
                for name, own in spec.responses.items()
            }
        )

    @classmethod
    def restored(
        cls,
        make_model: Any,
        make_fit: Callable[..., Any],
        spec: JointSpec,
        frames: Mapping[str, pd.DataFrame],
    ) -> "JointModel":
        """The model of a fit: what was learnt is not learnt again."""
        model = cls.__new__(cls)
        model._assemble(make_model, make_fit, spec, frames)
        return model

    @property
    def responses(self) -> tuple[str, ...]:
        """Names of the responses."""
        return tuple(self.models)

    def response(self, name: str) -> Any:
        """One response's own model, whose priors of what is shared are the margins of the joint ones."""
        return self.models[known_response(name, self.responses)]

    @property
    def priors(self) -> pd.DataFrame:
        """Every prior, as `Model.priors`, with its response; those of what several share have none."""
        tables = [model.priors.assign(response=name) for name, model in self.models.items()]
        for place, table in enumerate(tables):  # what all share is in no response's name, once
            common = table["parameter"].isin(self.spec.shared)
            tables[place] = table.assign(response=table["response"].mask(common, ""))[~common | (place == 0)]
        shared = [
            {
                "class": prior.kind,
                "coefficient": prior.coefficient,
                "group": prior.group,
                "parameter": "",
                "prior": str(prior.prior),
                "origin": prior.origin,
                "response": "",
            }
            for prior in self.spec.tie_priors
        ]
        if self.spec.rescor is not None:
            prior = self.spec.rescor
            shared.append({"class": prior.kind, "prior": str(prior.prior), "origin": prior.origin})
        table = pd.concat([*tables, pd.DataFrame(shared)], ignore_index=True).fillna("")
        return table[["response", *(name for name in table.columns if name != "response")]]

    def check(self) -> tuple[Finding, ...]:
        """Facts about the data that limit what the model can say, of every response."""
        return tuple(
            {str(finding): finding for model in self.models.values() for finding in model.check()}.values()
        )

    def structure(self) -> pd.DataFrame:
        """The grouping factors of each response, as `Model.structure`, with its name first."""
        return by_response({name: model.structure() for name, model in self.models.items()})

    def __repr__(self) -> str:
        blocks = [f"{len(self.models)} responses: {', '.join(self.models)}"]
        for name, model in self.models.items():
            text = repr(model).rpartition("\n\n")[0]
            blocks.append(f"{heading(name)}\n{text}")
        for tie, prior in zip(self.spec.ties, self.spec.tie_priors, strict=True):
            blocks.append(
                f"Correlated across formulas by {tie.group} (ID {tie.identifier}): {', '.join(tie.effects)}\n"
                f"  cor[{tie.group}, {tie.identifier}] ~ {prior.prior}"
            )
        if self.spec.rescor is not None:
            blocks.append(
                f"Residuals correlated across {', '.join(self.models)}\n  rescor ~ {self.spec.rescor.prior}"
            )
        blocks.append(self._strategy())
        return "\n\n".join(blocks)

    def _strategy(self) -> str:
        try:
            plan = choose_jointly(self.spec, self.designs)
        except UnsupportedError as obstacle:
            return f"Not for fit(): {obstacle}"
        return f"fit() will take strategy {plan.strategy.name!r}"

    def graph(self, parameterization: str = "noncentered") -> Any:
        """All responses as one `pymc.Model`, as `Model.graph` that of one.

        Its variables have the names of the posterior's, ``b_math``; each response's rows have a dimension of their
        own, ``__obs_math__``.
        """
        from hierbayes.graph import build_joint_graph

        return build_joint_graph(self.spec, self.designs, parameterization)

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
    ) -> "JointFit":
        """Draw the posterior of all responses together, as `Model.fit` that of one.

        Raises
        ------
        UnsupportedError
            For a strategy other than ``"whitened"`` and ``"nuts"``, or a model that it cannot draw.
        """
        plan = choose_jointly(self.spec, self.designs, strategy)
        settings = Settings(
            draws, chains, tune, seed, cores, target_accept, progress, sampler, parameterization
        )
        with with_places_to_start():
            tree = draw_jointly(self.spec, self.designs, settings, plan)
        return self._fitted(tree)

    def approximate(self, draws: int = 4000, seed: int = 0, progress: bool = True) -> "JointFit":
        """Draw a Gaussian approximation to the posterior of all responses, as `Model.approximate` that of one.

        Raises
        ------
        UnsupportedError
            For a model that only strategy ``"nuts"`` can draw.
        """
        settings = independent(draws, seed, progress)
        plan = choose_jointly(self.spec, self.designs)
        tree = weighted(approximate_jointly(self.spec, self.designs, settings, plan), plan)
        return self._fitted(tree)

    def _fitted(self, tree: Any) -> "JointFit":
        tree.attrs.update(versions())
        fit = JointFit(self, tree)
        warn_of(fit._found(lambda own: check_draws(own.spec, own.tree)))
        return fit

    def refit(self, priors: Priors, **options: Any) -> "PriorComparison[JointFit]":
        """Fit the model as it is and with other priors, as `Model.refit`: their posteriors side by side."""
        return self.fit(**options).refit(priors, **options)

    def with_priors(self, priors: Priors) -> "JointModel":
        """The same model and rows with other priors; what isn't named stays as it is, None makes all defaults."""
        user, rescor = PriorSet() if priors is None else read_priors(priors), self.spec.rescor is not None
        own = split_priors(user, self.responses, rescor)
        specs = {
            name: with_priors(spec, None if priors is None else own[name])
            for name, spec in self.spec.responses.items()
        }
        whole = resolve_joint(specs, user, rescor, None if priors is None else self.spec)
        return JointModel.restored(self._make_model, self._make_fit, whole, self.frames)


class JointFit(JointCriticism):
    """A posterior of several responses; made by fitting a `JointModel`.

    Attributes
    ----------
    model : JointModel
    tree : xarray.DataTree
        The draws of all responses: each one's variables have its name in them, ``b_math``.
    """

    @property
    def priors(self) -> pd.DataFrame:
        """Every prior, as `JointModel.priors`."""
        return self.model.priors

    @property
    def formula(self) -> dict[str, Any]:
        """The formulas as canonical text, by response."""
        return {name: self.response(name).formula for name in self.responses}

    def __repr__(self) -> str:
        return f"Fit of {len(self.responses)} responses: {', '.join(self.responses)}\n\n{self.summary()}"

    @property
    def pareto_k(self) -> float | None:
        """How far the posterior is from the approximation that was drawn, as `Fit.pareto_k`."""
        return float(self.tree.attrs["pareto_k"]) if is_approximate(self.tree) else None

    def refit(self, priors: Priors, **options: Any) -> "PriorComparison[JointFit]":
        """The same model and rows with other priors, beside this fit, as `Fit.refit`.

        Parameters
        ----------
        priors : mapping, PriorSet, path, list of these, or None
            As for the model; what isn't named stays as it is here, and None makes every prior a default.
        **options
            As for `JointModel.fit`; draws, chains and seed are those of this fit unless given. An approximation is
            approximated again, with the options of `JointModel.approximate`.
        """
        settings, model = refit_options(self.tree, options), self.model.with_priors(priors)
        drawn = model.approximate if is_approximate(self.tree) else model.fit
        return PriorComparison(self, drawn(**settings))

    def summary(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Every response's quantities, its name in front, and the correlations across responses."""
        tables = [self._own_summary(name, prob, interval) for name in self.responses]
        across = self._across(prob, interval)
        return pd.concat([*tables, across] if len(across) else tables)

    def _own_summary(self, name: str, prob: float | None, interval: str | None) -> pd.DataFrame:
        """The quantities of one response; those that all share are the first's, and have no name in front."""
        table = self.response(name).summary(prob, interval)
        if name != self.responses[0]:
            table = table.drop(index=list(self.spec.shared))
        return table.rename(index=partial(self.spec.shown_name, name))

    def _across(self, prob: float | None, interval: str | None) -> pd.DataFrame:
        draws = self._correlations_across()
        if not draws:
            return pd.DataFrame()
        chosen = get_interval(prob, interval)
        labels = pd.DataFrame(index=pd.Index(list(draws), name="quantity"))
        flat = np.stack(list(draws.values()), axis=-1).reshape(-1, len(draws))
        made = Quantities if is_approximate(self.tree) else Diagnosed
        found = made(labels, flat, self.posterior.sizes["chain"], "summary")
        return found.table(chosen.prob, chosen.kind)

    def _correlations_across(self) -> dict[str, np.ndarray]:
        """Correlations of effects on different responses, each (chain, draw), by label."""
        posterior = self.posterior
        return {
            one.name: posterior[one.variable.name].to_numpy()[(..., *one.place)] for one in self.spec.across()
        }

    def fixef(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Population-level coefficients of every response, as `Fit.fixef`."""
        return self._stacked("fixef", prob, interval)

    def ranef(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Deviations of each level from the population, of every response, as `Fit.ranef`."""
        return self._stacked("ranef", prob, interval)

    def coef(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Coefficients of each level, of every response, as `Fit.coef`."""
        return self._stacked("coef", prob, interval)

    def varcorr(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Standard deviations and correlations of every response, as `Fit.varcorr`, then those across responses."""
        own = self._stacked("varcorr", prob, interval)
        across = self._across(prob, interval)
        if not len(across):
            return own
        labels = pd.DataFrame(
            [
                {
                    "response": "",
                    "parameter": "",
                    "group": one.group or "residual",
                    "effect": one.labels[0],
                    "effect2": one.labels[1],
                }
                for one in self.spec.across()
            ]
        )
        shown = across[["mean", "sd", "lower", "upper"]].reset_index(drop=True)
        return pd.concat([own, pd.concat([labels, shown], axis=1)], ignore_index=True)

    def _stacked(self, method: str, prob: float | None, interval: str | None) -> pd.DataFrame:
        return by_response(
            {name: getattr(self.response(name), method)(prob, interval) for name in self.responses}
        )

    def save(self, path: str | Path) -> None:
        """Write the whole fit to one netCDF file with a checksum, as `Fit.save`; `load` reads it."""
        write_responses(path, self.spec, self.model.frames, self.tree)

    def check(self, thorough: bool = False) -> tuple[Finding, ...]:
        """What is wrong with the draws, the posterior or the fit, as `Fit.check`, of every response."""
        return self._found(lambda own: own.check(thorough))

    def _found(self, look: Callable[[Any], Sequence[Finding]]) -> tuple[Finding, ...]:
        """What is found in the correlations across responses, and looking at each; what all have is said once."""
        across = self._correlations_across()
        common = check_mixing(across) if across and not is_approximate(self.tree) else []
        each = {name: look(self.response(name)) for name in self.responses}
        common += [
            finding for finding in each[self.responses[0]] if all(finding in own for own in each.values())
        ]
        return (
            *dict.fromkeys(common),
            *(
                replace(finding, found=f"{name}: {finding.found}")
                for name, own in each.items()
                for finding in own
                if finding not in common
            ),
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if not callable(getattr(type(self.response(self.responses[0])), name, None)):
            raise AttributeError(
                f"a fit of several responses has no attribute {name!r}; fit.response({self.responses[0]!r}) has all "
                "that a fit of one response has"
            )

        def of_response(*arguments: Any, response: str | None = None, **options: Any) -> Any:
            if response is None:
                raise TypeError(
                    f"{name}() is about one response: {name}(…, response={self.responses[0]!r}); there are "
                    f"{', '.join(self.responses)}"
                )
            return getattr(self.response(response), name)(*arguments, **options)

        of_response.__name__ = name
        return of_response
