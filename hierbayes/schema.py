"""The schema that every posterior follows: its variables and their names, its quantities, its priors as numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.design import OBS, Layout, PredictorLayout, is_main, prefix_of
from hierbayes.data.tables import free_name
from hierbayes.errors import PriorError
from hierbayes.families import Family, Parameter
from hierbayes.priors import Prior
from hierbayes.structures import Shrinkage, ShrinkageParameter
from hierbayes.ties import Tie

CHAIN_DIMS = ("chain", "draw")
CATEGORY = "category"  # the dimension of what each category has a number for
SIMPLEX = "simo"  # brms's word for the shares of a monotonic effect's steps
MEANME, SDME, CORME = (
    "meanme",
    "sdme",
    "corme",
)  # brms's words for means, standard deviations and correlations of true values
XME, YMI = "Xme", "Ymi"  # and for those values themselves, and for missing values of a response
SIGMA = "sigma"  # a family's parameter that residuals' standard deviation is, which joint priors follow
ARVIZ_NAMES = (*CHAIN_DIMS, "sample")  # the last is what its functions call chains and draws in one


@dataclass(frozen=True)
class ResolvedPrior:
    """One prior of a model, its numbers settled.

    Attributes
    ----------
    kind : str
        Class: ``"Intercept"``, ``"b"``, ``"sd"``, ``"cor"``, ``"sds"`` or the name of an auxiliary parameter.
    coefficient : str
        The coefficient, varying effect or smooth it is for, ``""`` where that does not apply.
    group : str
        The grouping factor, or ``""``.
    parameter : str
        The parameter whose formula it belongs to; ``"mu"`` for the mean.
    prior : Prior
    origin : str
        ``"default"``, ``"user"`` or the file it came from.
    literal : bool
        Whether it is about the quantity that summaries show; a default, or a bare name, is about inner columns.
    """

    kind: str
    coefficient: str
    group: str
    parameter: str
    prior: Prior
    origin: str
    literal: bool = False


@dataclass(frozen=True)
class Variable:
    """One row of the posterior schema.

    Attributes
    ----------
    name : str
    dims : tuple of str
        Beside chain and draw.
    kind : str
        ``"b"``, ``"sd"``, ``"cor"``, ``"r"``, ``"sds"``, ``"s"``, ``"simo"``, ``"auxiliary"``, ``"tie"``, ``"Xme"`` of
        a predictor's true values, ``"meanme"``, ``"sdme"`` and ``"corme"`` of their distribution, or the name of a
        structure's or a joint prior's parameter: ``"rho"``, ``"hs_global"``.
    parameter : str
        Parameter of the response distribution it belongs to.
    factor : str or None
        The grouping factor, the smooth's curve, or the column whose values are drawn.
    label : str
        Of a structure's parameter, where its factor has several: its block's. Of one loading which that is.
    place : tuple of int
        Of one loading: where it is among all, whose variable this is.
    """

    name: str
    dims: tuple[str, ...]
    kind: str
    parameter: str
    factor: str | None = None
    label: str = ""
    place: tuple[int, ...] = ()

    def of(self, values: Mapping[str, Any]) -> Any:
        """Its values (…, dims) among those by variable, or the one loading's (…)."""
        found = values[self.name]
        return found[(..., *self.place)] if self.place else found

    @property
    def whole(self) -> "Variable":
        """The row of the schema that a loading is part of; of any other itself."""
        return replace(self, label="", place=()) if self.place else self

    @property
    def address(self) -> str:
        """What tables and priors call a structure's parameter: ``"rho[g]"``."""
        return f"{self.kind}[{', '.join(part for part in (self.factor, self.label) if part)}]"


@dataclass(frozen=True)
class SharedScale:
    """A standard deviation of group effects, or of a smooth, that a joint prior decides.

    Attributes
    ----------
    owner : str
        The grouping factor's name, or the smooth's label.
    place : int
        Among the standard deviations of that factor.
    label : str
        ``"sd[g, x]"``, ``"sds[s(x)]"``.
    """

    owner: str
    place: int
    label: str


@dataclass(frozen=True, eq=False)
class Shrunk:
    """What of one formula has a joint prior: coefficients, and standard deviations; nothing where each has its own.

    Attributes
    ----------
    shrinkage : Shrinkage
    arguments : mapping of str to float
        Of the joint prior.
    origin : str
        Who stated it.
    places : ndarray of int
        Of the coefficients, p of them, among the formula's.
    scales : tuple of SharedScale
        The standard deviations.
    variables : tuple of Variable
        Of the joint prior's parameters, in its order.
    scale : Variable or None
        The standard deviation of the residuals that theirs are multiples of.
    """

    shrinkage: Shrinkage
    arguments: Mapping[str, float]
    origin: str
    places: NDArray[np.intp]
    scales: tuple[SharedScale, ...]
    variables: tuple[Variable, ...]
    scale: Variable | None

    @property
    def size(self) -> int:
        """How many coefficients and standard deviations it is of."""
        return len(self.places) + len(self.scales)

    def decided(self, owner: str) -> dict[int, int]:
        """Which standard deviations of a grouping factor or a smooth it decides, and where each is in `sds`."""
        first = len(self.places)
        return {one.place: first + k for k, one in enumerate(self.scales) if one.owner == owner}

    @cached_property
    def priors(self) -> tuple[Prior, ...]:
        """Of its parameters, independent of each other."""
        stated = (parameter.prior(self.arguments) for parameter in self.shrinkage.parameters)
        return tuple(Prior(name, **own) for name, own in stated)

    @property
    def parts(self) -> Iterator[tuple[ShrinkageParameter, Variable, Prior]]:
        """Its parameters, each with its variable and its prior."""
        return zip(self.shrinkage.parameters, self.variables, self.priors, strict=True)

    def sds(self, m: Any, values: Mapping[str, Any]) -> Any:
        """Standard deviations (…, size) from values by variable, with `m` NumPy or tensors' module.

        Those of the p coefficients first, then those that are themselves what the prior is of.
        """
        own = [
            values[variable.name] if parameter.each else values[variable.name][..., None]
            for parameter, variable, _ in self.parts
        ]
        sigma = 1.0 if self.scale is None else values[self.scale.name][..., None]
        return self.shrinkage.sds(m, self.arguments, sigma, *own)


@dataclass(frozen=True, eq=False)
class LatentVariables:
    """The variables of a block of predictors whose values are drawn.

    Attributes
    ----------
    values : tuple of Variable
        The drawn values of each column: (L,).
    means, sds : tuple of Variable
        Of the population that each column's are from.
    cor : Variable or None
        The correlations there; None of one column.
    """

    values: tuple[Variable, ...]
    means: tuple[Variable, ...]
    sds: tuple[Variable, ...]
    cor: Variable | None

    @property
    def all(self) -> tuple[Variable, ...]:
        """Every one of them."""
        return (*self.means, *self.sds, *([self.cor] if self.cor else []), *self.values)

    def renamed(self, names: Mapping[Variable, Variable]) -> "LatentVariables":
        """The same by other names."""

        def those(own: tuple[Variable, ...]) -> tuple[Variable, ...]:
            return tuple(names[variable] for variable in own)

        cor = None if self.cor is None else names[self.cor]
        return LatentVariables(those(self.values), those(self.means), those(self.sds), cor)


@dataclass(frozen=True, eq=False)
class Quantity:
    """One number of a model that its tables list: all but the levels' effects.

    Attributes
    ----------
    name : str
        ``"Days"``, ``"sd[Subject, Days]"``, ``"cor[Subject, Intercept, Days]"``, ``"sigma"``.
    kind : str
        ``"b"``, ``"sd"``, ``"cor"``, ``"sds"``, ``"auxiliary"`` or that of a structure's parameter.
    variable : Variable
        Where it is in the posterior.
    place : tuple of int
        And where in that.
    """

    name: str
    kind: str
    variable: Variable
    place: tuple[int, ...]

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """It alone, (…), of its variable's values (…, dims)."""
        index: tuple[Any, ...] = (..., *self.place)
        found: NDArray[np.float64] = values[index]
        return found


def element_dimension(parameter: Parameter) -> str:
    """The dimension of a vector's elements."""
    return f"{parameter.name}_element"


def set_dimension(parameter: Parameter) -> str:
    """The dimension of the sets of rows for which a vector has elements of its own."""
    return f"{parameter.name}_set"


def location_and_scale(
    layout: Layout, family: Family, links: Mapping[str, str], parameter: str
) -> tuple[float, float]:
    """Centre and spread of a parameter's linear predictor: the response's for the first, for others their own."""
    response = layout.response
    own = family.parameter(parameter)
    if own is family.first or own.of == "response":
        return response.location, response.scale
    return own.location_and_scale(links[parameter], response.measure(own.of))


def shared_scale(layout: PredictorLayout, prior: ResolvedPrior) -> SharedScale:
    """The standard deviation that a prior of class sd, or of a smooth's, is of."""
    if prior.kind != "sd":
        return SharedScale(prior.coefficient, 0, f"{prior.kind}[{prior.coefficient}]")
    factor = next(factor for factor in layout.factors if factor.name == prior.group)
    if factor.loaded is not None:
        raise PriorError(
            f"effects of {factor.name!r} have reduced rank, and no standard deviations of a joint prior; give "
            f"sd[{factor.name}] a prior of its own"
        )
    labels = [label for label, _ in factor.scales]
    return SharedScale(
        factor.name, labels.index(prior.coefficient), f"sd[{factor.name}, {prior.coefficient}]"
    )


def suffix_of(parameter: str) -> str:
    """What variables of a parameter's formula end with: nothing in the main formula.

    Examples
    --------
    >>> suffix_of("mu"), suffix_of("sigma")
    ('', '_sigma')
    """
    return "" if is_main(parameter) else f"_{parameter}"


def coefficient_variable(parameter: str) -> Variable:
    """The population-level coefficients of one parameter's formula."""
    return Variable(f"b{suffix_of(parameter)}", (f"{prefix_of(parameter, '_')}coef",), "b", parameter)


def tie_variables(ties: Sequence[Tie], taken: Iterable[str]) -> tuple[Variable, ...]:
    """The variables of the ties' correlation matrices, where some names are taken."""
    names, found = set(taken), []
    for tie in ties:
        own = []
        effect = f"{tie.group}_{tie.identifier}_effect"
        for name in (tie.variable, effect, f"{effect}2"):
            own.append(free_name(name.replace("/", "_"), names))
            names.add(own[-1])
        first = tie.members[0].parameter
        found.append(Variable(own[0], (own[1], own[2]), "tie", first, tie.group, tie.identifier))
    return tuple(found)


def name_variables(
    factors: Sequence[tuple[str, str, bool]], taken: Iterable[str]
) -> Mapping[tuple[str, str], Mapping[str, Variable]]:
    """The variables of grouping factors, by parameter and factor and then by kind: sd, cor (if they have it), r.

    They and the dimensions of their effects are called after the factor, and the levels' dimension is its very name.
    Where a name is taken, or is ArviZ's, underscores behind it make another. No name has a ``/`` in it, which parts
    groups in a file.

    Parameters
    ----------
    factors : sequence of (str, str, bool)
        Parameter, name, and whether any of its correlations are parameters one by one.
    taken : iterable of str
        Names of the posterior's other variables and dimensions.

    Examples
    --------
    >>> variables = name_variables([("mu", "b", False), ("mu", "site/year", False)], ["b", "coef"])
    >>> variables["mu", "b"]["r"].name, variables["mu", "b"]["r"].dims
    ('r_b', ('b_', 'b_effect'))
    >>> variables["mu", "site/year"]["sd"].name
    'sd_site_year'
    """
    names = {*taken, *ARVIZ_NAMES, OBS}

    def take(name: str) -> str:
        free = free_name(name.replace("/", "_"), names)
        names.add(free)
        return free

    own: dict[tuple[str, str], tuple[dict[str, str], tuple[str, str]]] = {}
    for parameter, name, correlated in factors:
        prefix = prefix_of(parameter, "_")
        kinds = ("sd", "cor", "r") if correlated else ("sd", "r")
        variables = {kind: take(f"{kind}_{prefix}{name}") for kind in kinds}
        effect = f"{prefix}{name}_effect"
        own[parameter, name] = variables, (take(effect), take(f"{effect}2") if correlated else "")
    levels = {name: take(name) for name in dict.fromkeys(name for _, name, _ in factors)}
    found = {}
    for (parameter, name), (variables, (effect, second)) in own.items():
        dims = {"sd": (effect,), "cor": (effect, second), "r": (levels[name], effect)}
        found[parameter, name] = {
            kind: Variable(variable, dims[kind], kind, parameter, name)
            for kind, variable in variables.items()
        }
    return found
