"""Several responses as one value: a specification each, what they share, and names in one posterior."""

import itertools
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.curves import Curve
from hierbayes.data.design import MEAN
from hierbayes.data.factors import Factor
from hierbayes.data.latent import LatentBlock
from hierbayes.data.levels import Levels
from hierbayes.data.tables import free_name
from hierbayes.defaults import addresses_of, correlation_target, resolve_targets, tie_target
from hierbayes.errors import DataError, FormulaError, PriorError
from hierbayes.families import Parameter
from hierbayes.families.record import Correlated
from hierbayes.priors import Prior, PriorSet, normalise_address
from hierbayes.schema import ARVIZ_NAMES, YMI, LatentVariables, ResolvedPrior, Shrunk, Variable, tie_variables
from hierbayes.spec import ModelSpec
from hierbayes.ties import Key, Tie, TiedGroup, find_ties, tied_groups

RESCOR = "rescor"


@dataclass(frozen=True)
class Across:
    """A correlation across responses: of effects of a grouping factor, or of residuals.

    Attributes
    ----------
    kind : {"cor", "rescor"}
    group : str
        The grouping factor; "" of residuals.
    labels : tuple of str
        Of the two effects, or the two responses.
    variable : Variable
    place : tuple of int
        Where in that.
    """

    kind: str
    group: str
    labels: tuple[str, str]
    variable: Variable
    place: tuple[int, int]

    @property
    def name(self) -> str:
        """What tables call it: ``"cor[g, a_Intercept, b_Intercept]"``, ``"rescor[a, b]"``."""
        return f"{self.kind}[{', '.join(part for part in (self.group, *self.labels) if part)}]"


@dataclass(frozen=True, eq=False)
class ResidualCorrelations:
    """How the residuals of a model's responses are correlated.

    Attributes
    ----------
    prior : ResolvedPrior
    variable : Variable
        Their matrix in the posterior.
    law : Correlated
        What they are drawn from together.
    """

    prior: ResolvedPrior
    variable: Variable
    law: Correlated


@dataclass(frozen=True, eq=False)
class JointSpec:
    """A model of several responses.

    Attributes
    ----------
    responses : mapping of str to ModelSpec
        Each response's own, in order.
    tie_priors : tuple of ResolvedPrior
        Of the correlations of each of `ties`.
    rescor : ResolvedPrior or None
        Of the correlations of the responses' residuals; None where these are independent.
    """

    responses: Mapping[str, ModelSpec]
    tie_priors: tuple[ResolvedPrior, ...]
    rescor: ResolvedPrior | None = None

    @cached_property
    def ties(self) -> tuple[Tie, ...]:
        """Group effects that are correlated across formulas, of one response or of several."""
        return ties_of(self.responses)

    @cached_property
    def tied_groups(self) -> tuple[TiedGroup, ...]:
        """The grouping factors whose effects on several predictors are drawn together."""
        return tied_groups(self.ties)

    @cached_property
    def predictors(self) -> Mapping[Key, int]:
        """The place of each response's and parameter's linear predictor among all."""
        keys = [
            (name, parameter) for name, spec in self.responses.items() for parameter in spec.layout.predictors
        ]
        return {key: place for place, key in enumerate(keys)}

    @cached_property
    def renamed(self) -> Mapping[str, tuple[tuple[Variable, Variable], ...]]:
        """By response: each variable of its own specification, and what it is in the posterior of all."""
        taken = set(ARVIZ_NAMES)
        levels = {
            variable.dims[0]
            for spec in self.responses.values()
            for variable in spec.variables
            if variable.kind == "r"
        }
        taken |= levels
        found: dict[str, tuple[tuple[Variable, Variable], ...]] = {}
        common: dict[str, Variable] = {}
        for response, spec in self.responses.items():
            pairs = []
            dims: dict[str, str] = {dim: dim for dim in levels}
            for variable in (v for v in spec.variables if v.kind != "tie" and not _is_of_another(v)):
                if variable.name in common:
                    pairs.append((variable, common[variable.name]))
                    continue
                for dim in variable.dims:
                    if dim not in dims:
                        dims[dim] = free_name(f"{response}_{dim}", taken)
                        taken.add(dims[dim])
                together = variable.kind == "auxiliary" and variable.parameter in self.shared
                name = free_name(variable.name if together else joint_name(response, variable), taken)
                taken.add(name)
                new = replace(variable, name=name, dims=tuple(dims[d] for d in variable.dims))
                if together:
                    common[variable.name] = new
                pairs.append((variable, new))
            found[response] = tuple(pairs)
        for response, spec in self.responses.items():
            found[response] += tuple(
                (variable, self._imputed(variable, found))
                for variable in spec.variables
                if _is_of_another(variable)
            )
        return found

    def _imputed(
        self, variable: Variable, named: Mapping[str, tuple[tuple[Variable, Variable], ...]]
    ) -> Variable:
        """What the missing values of a predictor are called among those of all: the variable of that response."""
        source = self.source_of(variable.factor or "")
        return next(new for old, new in named[source] if old == self.responses[source].missing_variable)

    def source_of(self, column: str) -> str:
        """The response that a predictor with missing values is."""
        return next(
            name for name, spec in self.responses.items() if spec.layout.response.columns == (column,)
        )

    @cached_property
    def in_order(self) -> "tuple[NamedSpec, ...]":
        """Each response's own, those before others whose missing values are predictors of these."""
        named = {spec.response: spec for spec in self.named}
        before = {
            name: [self.source_of(one.column) for one in spec.layout.imputed] for name, spec in named.items()
        }
        return tuple(named[name] for name in TopologicalSorter(before).static_order())

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """Parameters of which all responses have one in common."""
        law = self._law
        return () if law is None else law.shared

    @property
    def _law(self) -> Correlated | None:
        return None if self.rescor is None else next(iter(self.responses.values())).family.correlated

    def shared_values(self, values: Mapping[str, Any]) -> list[NDArray[Any]]:
        """The values of those."""
        first = self.named[0]
        return [values[first.own_variable(first.family.parameter(name)).name] for name in self.shared]

    @cached_property
    def named(self) -> "tuple[NamedSpec, ...]":
        """Each response's own as a part of all."""
        return tuple(
            NamedSpec(
                **{each.name: getattr(spec, each.name) for each in fields(spec)},
                response=response,
                whole=self,
            )
            for response, spec in self.responses.items()
        )

    @cached_property
    def tie_variables(self) -> tuple[Variable, ...]:
        """The variable of each tie's correlation matrix."""
        pairs = [new for own in self.renamed.values() for _, new in own]
        taken = {name for variable in pairs for name in (variable.name, *variable.dims)}
        return tie_variables(self.ties, {*taken, *ARVIZ_NAMES})

    @cached_property
    def residuals(self) -> ResidualCorrelations | None:
        """How the responses' residuals are correlated; None where they are independent."""
        if self.rescor is None or (law := self._law) is None:
            return None
        known = (*(new for own in self.renamed.values() for _, new in own), *self.tie_variables)
        taken = {name for variable in known for name in (variable.name, *variable.dims)}
        dims = free_name(f"{RESCOR}_response", taken), free_name(f"{RESCOR}_response2", taken)
        variable = Variable(free_name(RESCOR, taken), dims, RESCOR, "")
        return ResidualCorrelations(self.rescor, variable, law)

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The posterior schema of all responses together."""
        residuals = () if self.residuals is None else (self.residuals.variable,)
        own = dict.fromkeys(new for pairs in self.renamed.values() for _, new in pairs)
        return (*own, *self.tie_variables, *residuals)

    @cached_property
    def coords(self) -> Mapping[str, NDArray[Any]]:
        """Labels of every dimension of the posterior."""
        found: dict[str, Any] = {}
        for response, pairs in self.renamed.items():
            own = self.responses[response].coords
            for old, new in pairs:
                found |= {there: own[here] for here, there in zip(old.dims, new.dims, strict=True)}
        for tie, variable in zip(self.ties, self.tie_variables, strict=True):
            found |= {dim: np.array(tie.effects, dtype=object) for dim in variable.dims}
        if self.residuals is not None:
            found |= {
                dim: np.array(list(self.responses), dtype=object) for dim in self.residuals.variable.dims
            }
        return found

    def joint_arrays(self, response: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """One response's arrays by its own names, by those of all."""
        return {new.name: arrays[old.name] for old, new in self.renamed[response]}

    def own_arrays(self, response: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The arrays (chain, draw, …) of one response by its own names, from those of all."""
        spec = self.responses[response]
        found = {old.name: np.asarray(values[new.name]) for old, new in self.renamed[response]}
        for tie, variable in zip(spec.ties, spec.tie_variables, strict=True):
            place, chosen = self.places_of(response, tie)
            matrix = np.asarray(values[self.tie_variables[place].name])
            found[variable.name] = matrix[..., chosen, :][..., chosen]
        return found

    def places_of(self, response: str, tie: Tie) -> tuple[int, list[int]]:
        """Which of `ties` a tie of one response is part of, and where its effects are there."""
        names = tie.group, tie.identifier
        number, joint = next(
            (k, one) for k, one in enumerate(self.ties) if (one.group, one.identifier) == names
        )
        members = zip(joint.members, joint.places, strict=True)
        return number, [place for m, places in members if m.response == response for place in places]

    def shown_name(self, response: str, quantity: str) -> str:
        """What tables of all responses call a quantity of one: its name in front, but of what all share."""
        return quantity if quantity in self.shared else f"{response}.{quantity}"

    def across(self) -> Iterator[Across]:
        """The correlations that no single response has: of effects, then of residuals."""
        for tie, variable in zip(self.ties, self.tie_variables, strict=True):
            whose = [m.response for m, places in zip(tie.members, tie.places, strict=True) for _ in places]
            for i, j in tie.across:
                if whose[i] != whose[j]:
                    yield Across("cor", tie.group, (tie.effects[i], tie.effects[j]), variable, (i, j))
        if self.residuals is not None:
            for (i, one), (j, other) in itertools.combinations(enumerate(self.responses), 2):
                yield Across(RESCOR, "", (one, other), self.residuals.variable, (i, j))

    @property
    def prior_texts(self) -> Mapping[str, str]:
        """The prior of every quantity as text, by the names that tables of all responses have."""
        found = {
            self.shown_name(response, quantity): text
            for response, spec in self.responses.items()
            for quantity, text in spec.prior_texts.items()
        }
        shared = dict(zip(self.tie_variables, self.tie_priors, strict=True))
        if self.residuals is not None:
            shared[self.residuals.variable] = self.residuals.prior
        return found | {one.name: str(shared[one.variable].prior) for one in self.across()}

    def tie_prior(self, tie: Tie) -> Prior:
        """The prior of all correlations of a tie."""
        return self.tie_priors[self.ties.index(tie)].prior


@dataclass(frozen=True, eq=False)
class NamedSpec(ModelSpec):
    """One response's specification as a part of all: by their names of its variables, and with what they share.

    What reads values by a specification's names reads those of all responses by it.

    Attributes
    ----------
    response : str
    whole : JointSpec
    """

    response: str = field(kw_only=True)
    whole: JointSpec = field(kw_only=True)

    @cached_property
    def names(self) -> Mapping[Variable, Variable]:
        """What each variable of its own specification is called."""
        return dict(self.whole.renamed[self.response])

    @property
    def siblings(self) -> Mapping[str, ModelSpec]:
        """The specifications of all responses, by name."""
        return {spec.response: spec for spec in self.whole.named}

    @cached_property
    def ties(self) -> tuple[Tie, ...]:
        """Those of all responses."""
        return self.whole.ties

    @cached_property
    def tie_variables(self) -> tuple[Variable, ...]:
        """Those of all responses."""
        return self.whole.tie_variables

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """Those of all responses."""
        return self.whole.variables

    @cached_property
    def coords(self) -> Mapping[str, NDArray[Any]]:
        """Those of all responses."""
        return self.whole.coords

    def correlated_residuals(
        self, values: Mapping[str, Any]
    ) -> Callable[[np.random.Generator], NDArray[Any]] | None:
        """As a `ModelSpec`'s."""
        residuals = self.whole.residuals
        if residuals is None:
            return None
        root, law = np.linalg.cholesky(values[residuals.variable.name]), residuals.law
        weights = root[..., list(self.siblings).index(self.response), :]
        shared = self.whole.shared_values(values)

        def draw(rng: np.random.Generator) -> NDArray[Any]:
            z = np.einsum("sk,sk->s", weights, rng.standard_normal(weights.shape))
            found: NDArray[Any] = z * law.stretch(rng, *shared)
            return found

        return draw

    def tie_prior(self, tie: Tie) -> Prior:
        """As a `JointSpec`'s."""
        return self.whole.tie_prior(tie)

    def coefficient_variable(self, parameter: str) -> Variable:
        """As a `ModelSpec`'s."""
        return self.names[super().coefficient_variable(parameter)]

    def factor_variables(self, parameter: str, factor: Factor) -> Mapping[str, Variable]:
        """As a `ModelSpec`'s."""
        return {key: self.names[own] for key, own in super().factor_variables(parameter, factor).items()}

    def shape_variables(self, parameter: str, factor: Factor) -> tuple[Variable, ...]:
        """As a `ModelSpec`'s."""
        return tuple(
            replace(self.names[own.whole], label=own.label, place=own.place)
            for own in super().shape_variables(parameter, factor)
        )

    def curve_variables(self, parameter: str, curve: Curve) -> Mapping[str, Variable]:
        """As a `ModelSpec`'s."""
        return {key: self.names[own] for key, own in super().curve_variables(parameter, curve).items()}

    def simplex_variable(self, parameter: str, label: str) -> Variable:
        """As a `ModelSpec`'s."""
        return self.names[super().simplex_variable(parameter, label)]

    def latent_variables(self, block: LatentBlock) -> LatentVariables:
        """As a `ModelSpec`'s."""
        return super().latent_variables(block).renamed(self.names)

    @property
    def missing_variable(self) -> Variable | None:
        """As a `ModelSpec`'s."""
        own = super().missing_variable
        return None if own is None else self.names[own]

    def imputed_variable(self, column: str) -> Variable:
        """As a `ModelSpec`'s."""
        return self.names[super().imputed_variable(column)]

    def shrunk(self, parameter: str) -> Shrunk:
        """As a `ModelSpec`'s."""
        own = super().shrunk(parameter)
        return replace(own, variables=tuple(self.names[variable] for variable in own.variables))

    def own_variable(self, parameter: Parameter) -> Variable:
        """As a `ModelSpec`'s."""
        return self.names[super().own_variable(parameter)]


def _is_of_another(variable: Variable) -> bool:
    """Whether a variable of one response's specification is the missing values of another."""
    return variable.kind == YMI and variable.factor is not None


def with_drawn_rows(specs: Mapping[str, ModelSpec]) -> dict[str, ModelSpec]:
    """The same where predictors with missing values are drawn in the rows in which they are as responses.

    Raises
    ------
    FormulaError
        For such a predictor without a formula with ``mi()``, or two whose values say each other's.
    """
    sources = {
        spec.layout.response.columns[0]: name
        for name, spec in specs.items()
        if spec.formulas[MEAN].imputed_columns
    }
    needs: dict[str, set[str]] = {}
    for name, spec in specs.items():
        for one in spec.layout.imputed:
            if one.column not in sources:
                raise FormulaError(no_formula(one.term.label, one.column))
            needs.setdefault(name, set()).add(sources[one.column])
    _refuse_circles(needs)
    index = {column: specs[name].drawn_rows for column, name in sources.items()}
    return {
        name: replace(spec, layout=spec.layout.with_drawn(index)) if spec.layout.imputed else spec
        for name, spec in specs.items()
    }


def no_formula(label: str, column: str) -> str:
    """What is said of a predictor with missing values that has no formula."""
    return (
        f"{label} draws missing values of {column!r}, and nothing says how these are distributed; add its formula: "
        f'["y ~ {label} + …", "{column} | mi() ~ …"]'
    )


def _refuse_circles(needs: Mapping[str, set[str]]) -> None:
    """Refuse missing values that are predicted from each other."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as circle:
        name = next(name for name in needs if name in circle.args[1])
        raise FormulaError(
            f"missing values of {name!r} are predicted from others that they predict themselves; take "
            f"mi({name}) out of one of the formulas"
        ) from None


def ties_of(responses: Mapping[str, ModelSpec]) -> tuple[Tie, ...]:
    """The ties of several responses' formulas."""
    return find_ties(
        {
            (n, parameter): layout
            for n, spec in responses.items()
            for parameter, layout in spec.layout.predictors.items()
        }
    )


def joint_name(response: str, variable: Variable) -> str:
    """What one response's variable is called beside those of others: ``"b_math"``, ``"sd_math_school"``.

    Examples
    --------
    >>> joint_name("math", Variable("sd_sigma_school", (), "sd", "sigma", "school"))
    'sd_math_sigma_school'
    >>> joint_name("math", Variable("sigma", (), "auxiliary", "sigma"))
    'sigma_math'
    """
    kind = variable.kind
    if kind != "auxiliary" and (variable.name == kind or variable.name.startswith(f"{kind}_")):
        return f"{kind}_{response}{variable.name[len(kind) :]}"
    return f"{variable.name}_{response}"


def with_common_levels(
    specs: Mapping[str, ModelSpec], frames: Mapping[str, pd.DataFrame]
) -> dict[str, ModelSpec]:
    """The same with the levels of all responses' rows, where several vary by one grouping factor.

    A level without a row of one response has effects there all the same, from the population and from what the other
    responses say of it; factors whose effects are correlated with theirs are marked.
    """
    columns: dict[tuple[str, ...], list[str]] = {}
    factors: dict[tuple[str, ...], Factor] = {}
    for name, spec in specs.items():
        for layout in spec.layout.predictors.values():
            for factor in layout.factors:
                factors.setdefault(factor.levels.columns, factor)
                known = columns.setdefault(factor.levels.columns, [])
                if name not in known:
                    known.append(name)
    common: dict[tuple[str, ...], Levels] = {}
    for own, names in columns.items():
        if len(names) > 1:
            columns_read = list(factors[own].level_columns)
            rows = pd.concat([frames[name][columns_read] for name in names], ignore_index=True)
            common[own] = factors[own].levels_of(rows)
    told = {
        (member.response, member.parameter, tie.group)
        for tie in ties_of(specs)
        if len({member.response for member in tie.members}) > 1
        for member in tie.members
    }
    return {name: _with_levels(name, spec, common, told) for name, spec in specs.items()}


def _with_levels(
    name: str,
    spec: ModelSpec,
    common: Mapping[tuple[str, ...], Levels],
    told: Container[tuple[str, str, str]],
) -> ModelSpec:
    def of_all(parameter: str, factor: Factor) -> Factor:
        whole = factor.with_levels(common.get(factor.levels.columns, factor.levels))
        return replace(whole, told_by_others=(name, parameter, factor.name) in told)

    predictors = {
        parameter: replace(layout, factors=tuple(of_all(parameter, factor) for factor in layout.factors))
        for parameter, layout in spec.layout.predictors.items()
    }
    return replace(spec, layout=replace(spec.layout, predictors=MappingProxyType(predictors)))


def resolve_joint(
    specs: Mapping[str, ModelSpec], user: PriorSet, rescor: bool = False, before: JointSpec | None = None
) -> JointSpec:
    """Responses and what they share, with the priors of that; each response's own priors of it are its margins.

    What the user does not name of what they share is as it was `before`, or a default.
    """
    ties = ties_of(specs)
    targets = [tie_target(tie) for tie in ties]
    targets.append(correlation_target(RESCOR, "", "", "", (RESCOR,), len(specs)))
    shared = targets if rescor else targets[:-1]
    _check_common(specs, [address for target in shared for address in target.addresses], user)
    *resolved, residuals = resolve_targets(targets, user)
    if before is not None:
        resolved = [_kept(old, new) for old, new in zip(before.tie_priors, resolved, strict=True)]
        residuals = residuals if before.rescor is None else _kept(before.rescor, residuals)
    found = {name: _with_margins(name, spec, ties, resolved) for name, spec in specs.items()}
    return JointSpec(MappingProxyType(found), tuple(resolved), residuals if rescor else None)


def _check_common(specs: Mapping[str, ModelSpec], shared: Sequence[str], user: PriorSet) -> None:
    """Refuse a prior without a response in front that neither a response has a use for nor what they share."""
    known = list(shared)
    for spec in specs.values():
        known += addresses_of(spec.layout, spec.family, spec.links)
    matched = {normalise_address(address) for address in known}
    for address, _ in user.entries:
        head, dot, _rest = address.partition(".")
        if address not in matched and not (dot and head in specs):
            raise PriorError(
                f"the prior {address!r} matches nothing of any response. There are: {', '.join(dict.fromkeys(known))}; "
                f"with a response in front, as {next(iter(specs))}.{known[-1]}, they are about that one alone"
            )


def _kept(old: ResolvedPrior, new: ResolvedPrior) -> ResolvedPrior:
    return old if new.origin == "default" else new


def _with_margins(
    name: str, spec: ModelSpec, ties: tuple[Tie, ...], resolved: Sequence[ResolvedPrior]
) -> ModelSpec:
    """One response's specification with what the priors of all correlations say of its own."""
    priors = list(spec.priors)
    for tie, prior in zip(ties, resolved, strict=True):
        own = [member for member in tie.members if member.response == name]
        effects = sum(len(member.effects) for member in own)
        if effects < 2:
            continue
        group, identifier = own[0].factor.name, tie.identifier if len(own) > 1 else ""
        for place, known in enumerate(priors):
            if (known.kind, known.group, known.parameter, known.coefficient) == (
                "cor", group, own[0].parameter, identifier,
            ):  # fmt: skip
                margin = tie.margin(prior.prior, effects)
                priors[place] = replace(known, prior=margin, origin=prior.origin, literal=prior.literal)
    return replace(spec, priors=tuple(priors))


def check_names(names: list[str]) -> None:
    """Refuse two responses of one name."""
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{name!r} is the response of two formulas; each needs a response of its own")


def known_response(name: str, names: Sequence[str]) -> str:
    """The name, which is that of a response."""
    if name not in names:
        raise DataError(f"there is no response {name!r}; there are {', '.join(names)}")
    return name


def by_response(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of all responses, one below the other, with the response's name first."""
    found, some = [], {name: table for name, table in tables.items() if len(table)}
    for name, table in (some or tables).items():
        table.insert(0, "response", name)
        found.append(table)
    return pd.concat(found, ignore_index=True)
