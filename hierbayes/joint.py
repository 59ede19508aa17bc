"""Models and fits of several responses: each answers as a fit of its own, beside what they share.

A response's own view of the posterior is exact: its variables by the names that they have in a model of it alone.
What no single response has, the correlations of effects across responses, is beside them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from hierbayes.answers.intervals import get_interval
from hierbayes.answers.summary import Diagnosed
from hierbayes.criticism.checks import check_draws, check_mixing
from hierbayes.criticism.findings import Finding
from hierbayes.data.design import MEAN, Design
from hierbayes.data.formulas import read_formulas
from hierbayes.data.learning import complete_rows
from hierbayes.data.sources import find_source
from hierbayes.engine import Settings
from hierbayes.engine.several import choose_jointly, draw_jointly
from hierbayes.errors import DataError, FormulaError, PriorError, UnsupportedError
from hierbayes.families import get_family
from hierbayes.joint_criticism import JointCriticism
from hierbayes.joint_posterior import known_response
from hierbayes.joint_simulation import JointPriorSimulation, heading
from hierbayes.priors import Priors, PriorSet, read_priors
from hierbayes.sampling import versions, warn_of
from hierbayes.several import (
    RESCOR,
    JointSpec,
    check_names,
    resolve_joint,
    with_common_levels,
    with_drawn_rows,
)
from hierbayes.spec import ModelSpec
from hierbayes.store import write_responses

MVBIND = re.compile(r"^\s*mvbind\s*\(([^()]*)\)\s*~(.*)$", re.DOTALL)


def split_formulas(formula: Any) -> list[Any] | None:
    """The formulas of several responses; None where there is one response alone.

    Examples
    --------
    >>> split_formulas("mvbind(a, b) ~ x + (1 |p| g)")
    ['a ~ x + (1 |p| g)', 'b ~ x + (1 |p| g)']
    >>> split_formulas("a ~ x") is None
    True
    """
    if isinstance(formula, Mapping):
        several = split_formulas(formula.get(MEAN))
        return several and [{**formula, MEAN: own} for own in several]
    if isinstance(formula, str):
        match = MVBIND.match(formula)
        if match is None:
            return None
        names = [name.strip() for name in match[1].split(",")]
        if "" in names:
            raise FormulaError(
                f"mvbind() joins the names of responses: mvbind(a, b) ~ …; got mvbind({match[1]})"
            )
        return [f"{name} ~{match[2]}" for name in names]
    if isinstance(formula, Sequence):
        found = [own for given in formula for own in (split_formulas(given) or [given])]
        if not found:
            raise FormulaError("the list of formulas is empty; give one for each response")
        return found
    return None


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
        families = _each(family, len(formulas), "family")
        links = _each(link, len(formulas), "link")
        user = read_priors(priors)
        names = _names(formulas)
        own_priors = _split_priors(user, names, rescor)
        imputing = any(map(_imputes, formulas))
        if rescor or imputing:
            data = _rows_of_all(formulas, data, families, links)
        if imputing and isinstance(data, pd.DataFrame) and not data.index.is_unique:
            label = data.index[data.index.duplicated()].tolist()[0]
            raise DataError(
                f"two rows have the label {label!r}, and missing values are drawn for rows by label; give rows labels "
                "of their own (reset_index) before the model is made"
            )
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
                _check_residuals(name, model)
        frames = {name: model.data for name, model in zip(names, models, strict=True)}
        specs = {name: model.spec for name, model in zip(names, models, strict=True)}
        _check_latents(specs)
        if rescor:
            _check_alike(specs)
        whole = resolve_joint(with_common_levels(with_drawn_rows(specs), frames), user, rescor)
        self._assemble(make_model, make_fit, whole, frames)

    def _assemble(
        self,
        make_model: Any,
        make_fit: Callable[..., Any],
        spec: JointSpec,
        frames: Mapping[str, pd.DataFrame],
    ) -> None:
        self.spec, self._make_fit = spec, make_fit
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
            plan = choose_jointly(self.spec, self._designs())
        except UnsupportedError as obstacle:
            return f"Not for fit(): {obstacle}"
        return f"fit() will take strategy {plan.strategy.name!r}"

    def _designs(self) -> dict[str, Design]:
        return {name: model.design for name, model in self.models.items()}

    def graph(self, parameterization: str = "noncentered") -> Any:
        """All responses as one `pymc.Model`, as `Model.graph` that of one.

        Its variables have the names of the posterior's, ``b_math``; each response's rows have a dimension of their
        own, ``__obs_math__``.
        """
        from hierbayes.graph import build_joint_graph

        return build_joint_graph(self.spec, self._designs(), parameterization)

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
        plan = choose_jointly(self.spec, self._designs(), strategy)
        settings = Settings(
            draws, chains, tune, seed, cores, target_accept, progress, sampler, parameterization
        )
        tree = draw_jointly(self.spec, self._designs(), settings, plan)
        tree.attrs.update(versions())
        fit = JointFit(self, tree)
        warn_of(fit._found(lambda own: check_draws(own.spec, own.tree)))
        return fit

    def __getattr__(self, name: str) -> Any:
        if name in (
            "approximate",
            "refit",
            "structure",
            "simulate",
            "plot_prior_predictive",
        ):
            raise UnsupportedError(
                f"{name}() is not there yet for several responses together; each has it alone: "
                f"model.response({next(iter(self.models))!r}).{name}(…)"
            )
        raise AttributeError(f"a model of several responses has no attribute {name!r}")


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

    def summary(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """Every response's quantities, its name in front, and the correlations across responses."""
        tables = [self._own_summary(name, prob, interval) for name in self.responses]
        across = self._across(prob, interval)
        return pd.concat([*tables, across] if len(across) else tables)

    def _own_summary(self, name: str, prob: float | None, interval: str | None) -> pd.DataFrame:
        """The quantities of one response; those that all share are the first's, and have no name in front."""
        shared, table = self.spec.shared, self.response(name).summary(prob, interval)
        if name != self.responses[0]:
            table = table.drop(index=list(shared))
        return table.rename(index=lambda quantity: quantity if quantity in shared else f"{name}.{quantity}")

    def _across(self, prob: float | None, interval: str | None) -> pd.DataFrame:
        draws = self._correlations_across()
        if not draws:
            return pd.DataFrame()
        chosen = get_interval(prob, interval)
        labels = pd.DataFrame(index=pd.Index(list(draws), name="quantity"))
        flat = np.stack(list(draws.values()), axis=-1).reshape(-1, len(draws))
        found = Diagnosed(labels, flat, self.posterior.sizes["chain"], "summary")
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
        tables = []
        for name in self.responses:
            table = getattr(self.response(name), method)(prob, interval)
            table.insert(0, "response", name)
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def save(self, path: str | Path) -> None:
        """Write the whole fit to one netCDF file with a checksum, as `Fit.save`; `load` reads it."""
        frames = {name: own.data for name, own in self.model.models.items()}
        write_responses(path, self.spec, frames, self.tree)

    def check(self, thorough: bool = False) -> tuple[Finding, ...]:
        """What is wrong with the draws, the posterior or the fit, as `Fit.check`, of every response."""
        return self._found(lambda own: own.check(thorough))

    def _found(self, look: Callable[[Any], Sequence[Finding]]) -> tuple[Finding, ...]:
        """What is found in the correlations across responses, and looking at each; what all have is said once."""
        across = self._correlations_across()
        common = check_mixing(across) if across else []
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


def _each(given: Any, count: int, word: str) -> list[Any]:
    """One for each response: a list of them, or one for all."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        if len(given) != count:
            raise DataError(
                f"{word} names {len(given)} for {count} responses; give one for each, or one for all"
            )
        return list(given)
    return [given] * count


def _names(formulas: Sequence[Any]) -> list[str]:
    """What the responses are called: their left-hand sides, as names of variables may be."""
    from hierbayes.formula import Formula, parse

    found = []
    for formula in formulas:
        main = formula.get(MEAN) if isinstance(formula, Mapping) else formula
        parsed = main if isinstance(main, Formula) else parse(str(main), response=True)
        assert parsed.response is not None
        plain = parsed.response.expression.strip("`")
        found.append(re.sub(r"\W+", "_", plain).strip("_") or "y")
    check_names(found)
    return found


def _imputes(formula: Any) -> bool:
    """Whether missing values of a response, or of a predictor, are drawn."""
    parts = list(formula.values()) if isinstance(formula, Mapping) else [formula]
    texts = [part if isinstance(part, str) else str(part) for part in parts]
    return any(re.search(r"\bmi\s*\(", text) for text in texts)


def _rows_of_all(formulas: Sequence[Any], data: Any, families: Sequence[Any], links: Sequence[Any]) -> Any:
    """The rows that have all responses and predictors."""
    if find_source(data) is not None:
        return data
    whole: dict[str, Any] = {}
    for number, (formula, family, link) in enumerate(zip(formulas, families, links, strict=True)):
        read = read_formulas(formula, get_family(family, link)[0])
        whole |= {f"{number}.{parameter}": own for parameter, own in read.items()}
    return complete_rows(whole, data)


def _check_residuals(name: str, model: Any) -> None:
    """Refuse a response without normal residuals of weight 1."""
    spec = model.spec
    way = f"leave rescor=True out, or {name!r} of the model"
    if spec.layout.latents:
        raise UnsupportedError(
            f"rescor=True is about predictors that are known, and {name!r} has {spec.layout.latents[0].term.label}; "
            f"{way}"
        )
    if spec.formulas[MEAN].imputed_columns:
        raise UnsupportedError(f"rescor=True is about responses that are known, and {name!r} has mi(); {way}")
    if spec.family.computed is not None:
        raise UnsupportedError(f"rescor=True is about sums of terms, and {name!r} has nl(…); {way}")
    stated = ["weights"] * (model.design.weights is not None) + [one.name for one in spec.family.known]
    if stated:
        raise UnsupportedError(
            f"rescor=True is about rows that state their response alone, and those of {name!r} state "
            f"{', '.join(stated)}; {way}"
        )
    if spec.layout.response.series is not None:
        raise UnsupportedError(
            f"rescor=True is about residuals that are correlated across responses alone, and those of {name!r} are, by "
            f"{spec.layout.response.series.term}, across rows; {way}"
        )
    if spec.family.correlated is None or spec.link_name != "identity":
        raise UnsupportedError(
            "rescor=True is about residuals of gaussian or student responses with link identity, and "
            f"{name!r} is {spec.family.name} with link {spec.link_name}; {way}. Effects with an ID, (1 |p| g), are "
            "correlated across responses of any family"
        )
    for parameter in spec.family.correlated.shared:
        if parameter in spec.layout.predictors:
            raise UnsupportedError(
                f"rescor=True has one {parameter} for all responses, and that of {name!r} has a formula; leave the "
                "formula out, or rescor=True"
            )


def _check_latents(specs: Mapping[str, ModelSpec]) -> None:
    """Refuse a predictor measured with error in several responses, whose rows would each have two true values."""
    found: dict[str, str] = {}
    for name, spec in specs.items():
        for latent in (one for block in spec.latent_blocks for one in block.latents):
            other = found.setdefault(latent.column, name)
            if other != name:
                raise UnsupportedError(
                    f"{latent.term.label} stands in the formulas of {other!r} and {name!r}, and one true value for "
                    "both is not there yet; model one of them by itself"
                )


def _check_alike(specs: Mapping[str, ModelSpec]) -> None:
    """Refuse responses whose residuals are of different distributions, or what they share of different priors."""
    (first, one), *others = specs.items()
    for name, other in others:
        if one.family.correlated is not other.family.correlated:
            raise UnsupportedError(
                f"rescor=True is about residuals of one distribution, and {first!r} is {one.family.name}, "
                f"{name!r} {other.family.name}; take one family for all, or leave rescor=True out"
            )
        for parameter in one.family.correlated.shared if one.family.correlated else ():
            stated = [str(spec.prior(parameter, parameter=parameter)) for spec in (one, other)]
            if stated[0] != stated[1]:
                raise PriorError(
                    f"rescor=True has one {parameter} for all responses, and its prior is {stated[0]} of {first!r}, "
                    f"{stated[1]} of {name!r}; state it without a response in front"
                )


def _split_priors(user: PriorSet, names: Sequence[str], rescor: bool) -> dict[str, PriorSet]:
    """Each response's priors: those with its name in front, and those without any, which are about all of them."""
    shared = re.compile(rf"^cor\[.*, \w+\]{f'|{RESCOR}' if rescor else ''}$")
    found = {}
    for name in names:
        entries, origins = [], []
        for (address, prior), origin in zip(user.entries, user.origins, strict=True):
            head, dot, rest = address.partition(".")
            if dot and head == name:
                entries.append((rest, prior))
                origins.append(origin)
            elif not (dot and head in names) and not shared.match(address):
                entries.append((address, prior))
                origins.append(origin)
        found[name] = PriorSet(tuple(entries), user.origin, tuple(origins))
    return found
