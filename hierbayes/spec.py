"""The whole of a model as one value, and the schema that every posterior follows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hierbayes.data.design import MEAN, OBS, RESERVED, Layout
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.factors import Factor
from hierbayes.errors import DataError
from hierbayes.families import Family, Parameter
from hierbayes.formula import Formula, quote
from hierbayes.links import LINKS, Link
from hierbayes.priors import Prior

CHAIN_DIMS = ("chain", "draw")


@dataclass(frozen=True)
class ResolvedPrior:
    """One prior of a model, its numbers settled.

    Attributes
    ----------
    kind : str
        Class: ``"Intercept"``, ``"b"``, ``"sd"``, ``"cor"`` or the name of an auxiliary parameter.
    coefficient : str
        The coefficient or varying effect it is for, ``""`` where that does not apply.
    group : str
        The grouping factor, or ``""``.
    parameter : str
        The parameter whose formula it belongs to; ``"mu"`` for the mean.
    prior : Prior
    origin : str
        ``"default"``, ``"user"`` or the file it came from.
    """

    kind: str
    coefficient: str
    group: str
    parameter: str
    prior: Prior
    origin: str


@dataclass(frozen=True)
class Variable:
    """One row of the posterior schema.

    Attributes
    ----------
    name : str
    dims : tuple of str
        Beside chain and draw.
    kind : str
        ``"b"``, ``"sd"``, ``"cor"``, ``"r"`` or ``"auxiliary"``.
    parameter : str
        Parameter of the response distribution it belongs to.
    factor : str or None
        The grouping factor.
    """

    name: str
    dims: tuple[str, ...]
    kind: str
    parameter: str
    factor: str | None = None


def factor_variables(parameter: str, name: str, correlated: bool) -> Mapping[str, Variable]:
    """The variables of one grouping factor of one parameter's formula, by kind: sd, cor (if correlated), r."""
    prefix = "" if parameter == MEAN else f"{parameter}_"
    effect = f"{prefix}{name}_effect"
    kinds = {"sd": (effect,), "cor": (effect, f"{effect}2"), "r": (name, effect)}
    if not correlated:
        del kinds["cor"]
    return {
        kind: Variable(f"{kind}_{prefix}{name}", dims, kind, parameter, name) for kind, dims in kinds.items()
    }


def coefficient_variable(parameter: str) -> Variable:
    """The population-level coefficients of one parameter's formula."""
    prefix, suffix = ("", "") if parameter == MEAN else (f"{parameter}_", f"_{parameter}")
    return Variable(f"b{suffix}", (f"{prefix}coef",), "b", parameter)


def check_names(formulas: Mapping[str, Formula], family: Family) -> None:
    """Refuse a response or a grouping factor that is called like a part of the posterior, before any row is read.

    Raises
    ------
    DataError
    """
    response = formulas[MEAN].response
    if response is not None and response.expression in ("chain", "draw", quote(OBS)):
        raise DataError(
            f"the response cannot be called {response.expression!r}, a dimension of every posterior; rename it"
        )
    variables = _foreseen_variables(formulas, family)
    names = [variable.name for variable in variables]
    dims = {dim for variable in variables for dim in variable.dims if dim != variable.factor}
    for name in dict.fromkeys(variable.factor for variable in variables if variable.factor is not None):
        if name == "sample":
            what = "is what ArviZ calls chains and draws in one"
        elif name in RESERVED:
            what = "is a dimension of every posterior"
        elif "/" in name:
            what = "holds a '/'"
        elif name in names:
            what = "is a variable of this posterior"
        elif name in dims:
            what = "is a dimension of this posterior"
        else:
            continue
        raise DataError(
            f"a grouping factor cannot be called {name!r}, which {what}; rename the column, "
            f"as in data.rename(columns={{{name!r}: '{name.replace('/', '_')}_id'}})"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(
            f"two parts of the posterior would be called {twice[0]!r}; rename a grouping factor's column"
        )


def _foreseen_variables(formulas: Mapping[str, Formula], family: Family) -> list[Variable]:
    """The variables that a model's posterior may have, as far as its formulas say."""
    found = [Variable(aux.name, (), "auxiliary", aux.name) for aux in family.own if aux.name not in formulas]
    for parameter, formula in formulas.items():
        if formula.common != "0":
            found.append(coefficient_variable(parameter))
        correlated: dict[str, bool] = {}
        for term in formula.groups:
            name = ":".join(term.factor)
            correlated[name] = correlated.get(name, False) or (term.correlated and term.effects != "1")
        for name, several in correlated.items():
            found += factor_variables(parameter, name, several).values()
    return found


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model, complete: what was learnt of the data, the family, the link and every prior.

    Attributes
    ----------
    layout : Layout
    family : Family
    link_name : str
        The mean's link.
    priors : tuple of ResolvedPrior
    """

    layout: Layout
    family: Family
    link_name: str
    priors: tuple[ResolvedPrior, ...]

    @property
    def link(self) -> Link:
        """The mean's link."""
        return LINKS[self.link_name]

    @property
    def is_normal(self) -> bool:
        """Whether the response, or its logarithm, is normal about the linear predictor itself."""
        return self.family.is_normal(self.link_name)

    def parameter_link(self, parameter: str) -> Link:
        """The link between a parameter and its linear predictor."""
        first = self.family.parameters[0].name
        return self.link if parameter == first else LINKS[self.family.parameter(parameter).link]

    @property
    def plain_parameters(self) -> tuple[str, ...]:
        """The family's parameters that have no formula."""
        return tuple(p.name for p in self.family.parameters if p.name not in self.layout.predictors)

    def components(self, parameter: Parameter) -> int:
        """How many numbers a parameter is: 1, or as many as a vector has elements."""
        return np.size(self.typical(parameter))

    def typical(self, parameter: Parameter) -> Any:
        """A middling value of a parameter, or of each element of a vector."""
        return parameter.typical(self.layout.response.spread)

    @cached_property
    def _prior_index(self) -> Mapping[tuple[str, str, str, str], Prior]:
        return {(p.parameter, p.kind, p.coefficient, p.group): p.prior for p in self.priors}

    def prior(self, kind: str, *, coefficient: str = "", group: str = "", parameter: str = MEAN) -> Prior:
        """The prior of one quantity."""
        return self._prior_index[parameter, kind, coefficient, group]

    def coefficient_priors(self, parameter: str = MEAN) -> tuple[Prior, ...]:
        """The priors of one formula's population-level coefficients, in their order."""
        return tuple(
            self.prior(INTERCEPT, parameter=parameter)
            if label == INTERCEPT
            else self.prior("b", coefficient=label, parameter=parameter)
            for label in self.layout.predictors[parameter].coefficients
        )

    def factor_variables(self, parameter: str, factor: Factor) -> Mapping[str, Variable]:
        """The variables of one grouping factor of one parameter's formula, by kind: sd, cor (if correlated), r."""
        return factor_variables(parameter, factor.name, factor.correlated)

    def coefficient_variable(self, parameter: str) -> Variable:
        """The population-level coefficients of one parameter's formula."""
        return coefficient_variable(parameter)

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The posterior schema of this model: what every strategy writes, in this order."""
        found: list[Variable] = []
        for parameter, layout in self.layout.predictors.items():
            if layout.coefficients:
                found.append(self.coefficient_variable(parameter))
            for factor in layout.factors:
                found += self.factor_variables(parameter, factor).values()
        found += [Variable(name, (), "auxiliary", name) for name in self.plain_parameters]
        order = ("b", "sd", "cor", "auxiliary", "r")
        return tuple(sorted(found, key=lambda variable: order.index(variable.kind)))

    @cached_property
    def coords(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Labels of every dimension of the schema."""
        coords: dict[str, Any] = {}
        for parameter, layout in self.layout.predictors.items():
            if layout.coefficients:
                coords[self.coefficient_variable(parameter).dims[0]] = np.array(
                    layout.coefficients, dtype=object
                )
            for factor in layout.factors:
                effect = self.factor_variables(parameter, factor)["sd"].dims[0]
                coords[factor.name] = factor.levels.labels
                coords[effect] = np.array(factor.effects, dtype=object)
                if factor.correlated:
                    coords[f"{effect}2"] = np.array(factor.effects, dtype=object)
        return coords
