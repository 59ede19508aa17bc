"""The whole of a model as one value."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hierbayes.data.blocks import Block
from hierbayes.data.curves import LSCALE, SCALES, Curve
from hierbayes.data.design import MEAN, OBS, Layout, is_main, prefix_of
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.factors import Factor
from hierbayes.data.latent import LatentBlock, blocks_of
from hierbayes.data.monotonic import Monotonic
from hierbayes.data.response import RowSets
from hierbayes.data.settling import as_written
from hierbayes.data.tables import free_name
from hierbayes.errors import PriorError, UnsupportedError
from hierbayes.families import Family, Parameter, Responses
from hierbayes.formula import Formula
from hierbayes.links import LINKS, Link
from hierbayes.priors import Prior
from hierbayes.schema import (
    ARVIZ_NAMES,
    CORME,
    MEANME,
    SDME,
    SIGMA,
    SIMPLEX,
    XME,
    YMI,
    LatentVariables,
    Quantity,
    ResolvedPrior,
    Shrunk,
    Variable,
    coefficient_variable,
    element_dimension,
    location_and_scale,
    name_variables,
    set_dimension,
    shared_scale,
    suffix_of,
    tie_variables,
)
from hierbayes.structures import INDEPENDENT, SHRINKAGES
from hierbayes.ties import Tie, TiedGroup, tie_of, tied_groups, ties_within


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """A model, complete: what was learnt of the data, the family, the link and every prior.

    Attributes
    ----------
    layout : Layout
        With the columns that its priors are about.
    family : Family
    links : mapping of str to str
        The link of each of the family's parameters, in effect where it has a formula.
    priors : tuple of ResolvedPrior
    center : bool
        Whether a stated prior of an intercept is about the predictors' means, or literal as all others.

    Raises
    ------
    PriorError
        Where columns determine each other and flat priors leave open how they share.
    UnsupportedError
        For levels' effects that are not normal beside correlated residuals.
    """

    layout: Layout
    family: Family
    links: Mapping[str, str]
    priors: tuple[ResolvedPrior, ...]
    center: bool = True

    response = ""  # which of several it is of; there is one alone

    def __post_init__(self) -> None:
        if self.layout.response.series and not self.has_normal_levels:
            raise UnsupportedError(
                f"levels' effects beside correlated residuals, {self.layout.response.series.term}, are normal; leave "
                "dist= or that term out"
            )
        literal = {
            (
                prior.parameter,
                prior.group,
                prior.coefficient or (self.layout.intercept_label if prior.kind == INTERCEPT else ""),
            )
            for prior in self.priors
            if prior.literal and prior.kind not in (MEANME, SDME, CORME)
        }
        # standard deviations of a joint prior are those of the user's columns, and so are all others beside them
        literal |= {(p.parameter, p.group, "") for p in self.priors if p.prior.joint and p.group}
        literal |= {
            (member.parameter, tie.group, "")
            for tie in ties_within(self.layout.predictors)
            for member in tie.members
            if (tie.members[0].parameter, tie.group, tie.identifier) in literal
        }

        def is_literal(parameter: str, group: str, coefficient: str) -> bool:
            correlations = group != "" and (parameter, group, "") in literal
            return correlations or (parameter, group, coefficient) in literal

        object.__setattr__(self, "layout", self.layout.with_literal(is_literal))
        for parameter in self.layout.predictors if self.priors else ():  # known truths have none
            self._check_proper(parameter)

    def _check_proper(self, parameter: str) -> None:
        """Refuse a posterior that no distribution is: a combination of coefficients that nothing says anything of."""
        layout, priors = self.layout.predictors[parameter], self.coefficient_priors(parameter)
        flat = np.array([prior.name == "Flat" for prior in priors], dtype=bool)
        if not flat.any():
            return
        columns = layout.columns
        combinations = layout.map.to_inner((columns.residuals @ columns.dependent()).T)
        sizes = np.where(columns.sizes > 0, columns.sizes, 1.0)
        shares = np.linalg.svd(combinations * sizes, full_matrices=False)[
            2
        ]  # orthonormal, a row a combination
        decided = np.linalg.matrix_rank(shares[:, ~flat], tol=1e-6) if (~flat).any() else 0
        if decided < len(shares):
            names = [label for label, open_ in zip(layout.coefficients, flat, strict=True) if open_]
            raise PriorError(
                f"columns determine each other, and the flat priors of {', '.join(names)} leave open how they share: "
                "that is no posterior; give one of them a proper prior, or leave it out"
            )

    @property
    def siblings(self) -> Mapping[str, "ModelSpec"]:
        """The specifications of the model's responses, by name."""
        return {self.response: self}

    def correlated_residuals(
        self, values: Mapping[str, Any]
    ) -> Callable[[np.random.Generator], NDArray[np.float64]] | None:
        """How a row's residual over its sigma is drawn, in every draw: (S,), where it is correlated with others'.

        From a generator in the same state those of all responses belong together. None where it is no response's but
        this one's.
        """
        return None

    @property
    def formulas(self) -> Mapping[str, Formula]:
        """The formulas as they are written: what rows state is in the response's, as is what components share."""
        known = {parameter.name for parameter in self.family.known}
        settled = {name: formula for name, formula in self.layout.formulas.items() if name not in known}
        return as_written(settled, self.family)

    @property
    def link_name(self) -> str:
        """The first parameter's link."""
        return self.links[self.family.first.name]

    @property
    def link(self) -> Link:
        """The first parameter's link."""
        return LINKS[self.link_name]

    @property
    def is_normal(self) -> bool:
        """Whether the response, or its logarithm, is normal about the linear predictor itself."""
        return self.family.is_normal(self.link_name)

    def at(self, eta: Any, own: Mapping[str, Any]) -> Responses:
        """The responses of rows one by one, given the others' where residuals are correlated: `eta` is the mean then.

        Parameters
        ----------
        eta : ndarray (…, n)
            The first parameter's linear predictor.
        own : mapping
            The other parameters.
        """
        link = self.link if self.family.in_series is None else LINKS["identity"]
        return self.family.of_row.at(eta, own, link)

    def parameter_link(self, parameter: str) -> Link:
        """The link between a parameter and its linear predictor."""
        return LINKS[self.links[parameter]]

    def location_and_scale(self, parameter: str) -> tuple[float, float]:
        """Centre and spread of a parameter's linear predictor, for default priors and starting values."""
        return location_and_scale(self.layout, self.family, self.links, parameter)

    @property
    def shown_link(self) -> str:
        """The link that users know: the first parameter's, or that of a latent variable's distribution."""
        return self.family.latent or self.link_name

    @cached_property
    def moving(self) -> Mapping[str, int]:
        """The parameters whose formula's intercept is none but moves thresholds, and which element (-1: all)."""
        return {
            p.name: p.moves
            for p in self.family.parameters
            if p.moves is not None
            and p.name in self.layout.predictors
            and self.layout.predictors[p.name].intercept is not None
        }

    def about_zero(self, arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """Variables of the schema whose thresholds are at the predictors' means, with those at 0 of all predictors.

        What moving the predictors' origin adds to an intercept that is known to be 0 is taken off the thresholds.

        Parameters
        ----------
        arrays : mapping of str to array or tensor
            By variable: (…, dims).
        """
        return self._moved(arrays, lambda layout, b: b[..., layout.intercept])

    def about_means(self, arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """The inverse of `about_zero`: the thresholds that priors are about."""
        return self._moved(arrays, lambda layout, b: layout.map.to_inner(b)[..., layout.intercept])

    def _moved(self, arrays: Mapping[str, Any], by: Any) -> dict[str, Any]:
        moved = dict(arrays)
        for parameter, element in self.moving.items():
            layout, name = self.layout.predictors[parameter], self.coefficient_variable(parameter).name
            origin = self.own_variable(self.family.parameter(self.family.origin)).name
            b, thresholds = np.array(moved[name]), np.array(moved[origin])
            shift = np.array(by(layout, b))
            b[..., layout.intercept] -= shift
            part = thresholds if element < 0 else thresholds[..., element]
            part -= shift.reshape(shift.shape + (1,) * (part.ndim - shift.ndim))
            moved |= {name: b, origin: thresholds}
        return moved

    @property
    def plain_parameters(self) -> tuple[str, ...]:
        """The family's parameters that have no formula."""
        return tuple(p.name for p in self.family.parameters if p.name not in self.layout.predictors)

    def components(self, parameter: Parameter) -> int:
        """How many numbers say a parameter: 1, or as many as a vector has elements, those of all sets of rows.

        Of shares it is one fewer a set, for their sum is known.
        """
        size = np.size(self.typical(parameter))
        return size if parameter.kind.of_part is None else size - size // parameter.size

    def sets_of(self, parameter: Parameter) -> RowSets | None:
        """The sets of rows for which a vector has elements of its own; None where all rows share them."""
        return self.layout.response.sets if parameter.kind.vector else None

    def in_rows(self, name: str, values: Any, sets: Any) -> Any:
        """Draws of a parameter without a formula as families take them beside rows: (S, 1 or n, elements)."""
        if self.sets_of(self.family.parameter(name)) is None:
            return values[:, None]
        return values[:, sets]

    def typical(self, parameter: Parameter) -> Any:
        """A typical value of a parameter, or of each element of a vector."""
        response, sets = self.layout.response, self.sets_of(parameter)
        of = response.shares if parameter.kind.vector else response.measure(parameter.of)
        found = parameter.typical(parameter.size or of)
        return found if sets is None else np.tile(found, (len(sets.labels), 1))

    def own_variable(self, parameter: Parameter) -> Variable:
        """The variable of a parameter that has no formula."""
        dims = (element_dimension(parameter),) if parameter.kind.vector else ()
        if self.sets_of(parameter) is not None:
            dims = (set_dimension(parameter), *dims)
        return Variable(parameter.name, dims, "auxiliary", parameter.name)

    def elements(self, parameter: Parameter) -> tuple[str, ...]:
        """Labels of a vector's elements: the family's, of shares their numbers, else categories by twos: ``"1|2"``."""
        if parameter.labels:
            return parameter.labels
        if parameter.size:
            return tuple(str(k) for k in range(1, parameter.size + 1))
        levels = (self.layout.response.levels or ())[-1 - np.shape(self.typical(parameter))[-1] :]
        return tuple(f"{below}|{above}" for below, above in itertools.pairwise(levels))

    @cached_property
    def _prior_index(self) -> Mapping[tuple[str, str, str, str], ResolvedPrior]:
        found = {(p.parameter, p.kind, p.coefficient, p.group): p for p in self.priors}
        for parameter in self.layout.predictors if self.priors else ():
            shrunk = self.shrunk(parameter)
            for own, _, prior in shrunk.parts:
                resolved = ResolvedPrior(own.name, "", "", parameter, prior, shrunk.origin, True)
                found[parameter, own.name, "", ""] = resolved
        return found

    def prior(self, kind: str, *, coefficient: str = "", group: str = "", parameter: str = MEAN) -> Prior:
        """The prior of one quantity."""
        return self._prior_index[parameter, kind, coefficient, group].prior

    def prior_of(self, quantity: Quantity) -> ResolvedPrior:
        """The prior of what a table lists."""
        parameter, group = quantity.variable.parameter, quantity.variable.factor or ""
        layout, kind, coefficient = self.layout.predictors.get(parameter), quantity.kind, ""
        if layout is None:
            kind = parameter
        elif kind == "b" and quantity.place[0] == layout.intercept:
            kind = INTERCEPT
        elif kind == "b":
            coefficient = layout.coefficients[quantity.place[0]]
        elif kind == "sd":
            factor = next(factor for factor in layout.factors if factor.name == group)
            coefficient = factor.scales[factor.scale_of[quantity.place[0]]][0]
        elif kind in (MEANME, SDME, SIMPLEX) or (
            group in [curve.label for curve in layout.curves] and kind in (*SCALES, LSCALE)
        ):
            coefficient, group = group, ""
        elif quantity.variable.kind == "tie" or kind != "cor":
            coefficient = quantity.variable.label
        return self._prior_index[parameter, kind, coefficient, group]

    @property
    def prior_texts(self) -> Mapping[str, str]:
        """The prior of every quantity as text, by the quantity's name."""
        return {quantity.name: str(self.prior_of(quantity).prior) for quantity in self.quantities}

    def coefficient_priors(self, parameter: str = MEAN) -> tuple[Prior, ...]:
        """The priors of one formula's population-level coefficients, in their order."""
        layout = self.layout.predictors[parameter]
        return tuple(
            self.prior(INTERCEPT, parameter=parameter)
            if place == layout.intercept
            else self.prior("b", coefficient=label, parameter=parameter)
            for place, label in enumerate(layout.coefficients)
        )

    def shrunk(self, parameter: str) -> Shrunk:
        """The coefficients of one formula that have a joint prior."""
        return self._shrunk[parameter]

    @cached_property
    def _shrunk(self) -> Mapping[str, Shrunk]:
        names, found = self._names_of_factors, {}
        for parameter, layout in self.layout.predictors.items():
            own = [p for p in self.priors if p.parameter == parameter and p.prior.joint]
            if len({p.prior for p in own}) > 1:
                raise PriorError(
                    "the joint priors of one formula must be one and the same, not "
                    f"{' and '.join(dict.fromkeys(f'{p.kind}: {p.prior}' for p in own))}; state them together"
                )
            coefficients = [p.coefficient for p in own if p.kind == "b"]
            places = np.array([layout.coefficients.index(label) for label in coefficients], np.intp)
            scales = tuple(shared_scale(layout, p) for p in own if p.kind != "b")
            shrinkage = SHRINKAGES[own[0].prior.name] if own else INDEPENDENT
            arguments = dict(own[0].prior.args) if own else {}
            suffix, variables = suffix_of(parameter), []
            dim = free_name(f"{prefix_of(parameter, '_')}shrunk", names)
            for one in shrinkage.parameters:
                name = free_name(f"{one.name}{suffix}", names)
                names |= {name, dim}
                variables.append(Variable(name, (dim,) if one.each else (), one.name, parameter))
            scale = self.own_variable(self.family.parameter(SIGMA)) if arguments.get("autoscale") else None
            origin = own[0].origin if own else ""
            found[parameter] = Shrunk(shrinkage, arguments, origin, places, scales, tuple(variables), scale)
        return found

    def with_joint_sds(self, values: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
        """Values by variable, those standard deviations put in that a joint prior decides."""
        found = dict(values)
        for parameter, layout in self.layout.predictors.items():
            shrunk = self.shrunk(parameter)
            if not shrunk.scales:
                continue
            sds = shrunk.sds(np, values)
            for factor in layout.factors:
                name = self.factor_variables(parameter, factor)["sd"].name
                decided = shrunk.decided(factor.name)
                found[name] = np.stack(
                    [
                        sds[..., decided[scale]] if scale in decided else found[name][..., effect]
                        for effect, scale in enumerate(factor.scale_of)
                    ],
                    axis=-1,
                )
            for curve in layout.curves:
                for place in shrunk.decided(curve.label).values():
                    found[self.curve_variables(parameter, curve)["sd"].name] = sds[..., place]
        return found

    def factor_variables(self, parameter: str, factor: Factor) -> Mapping[str, Variable]:
        """The variables of one grouping factor of one parameter's formula, by kind: sd, cor (if it has any), r."""
        return self._factor_variables[parameter, factor.name]

    def sd_priors(self, parameter: str, factor: Factor) -> tuple[Prior, ...]:
        """The priors of a grouping factor's standard deviations, in the order of its `scales`.

        Those of effects with loadings are what these make of 1.
        """
        return tuple(
            Prior("Fixed", value=1.0)
            if factor.is_loaded(place)
            else self.prior("sd", coefficient=label, group=factor.name, parameter=parameter)
            for label, (place, *_) in factor.scales
        )

    def shape_variables(self, parameter: str, factor: Factor) -> tuple[Variable, ...]:
        """The variables of the parameters of a grouping factor's structures, in the order of its `shapes`.

        Loadings have one variable, with one of these for each of them.
        """
        return self._shape_variables[parameter, factor.name]

    def structure_variables(self, parameter: str, factor: Factor) -> tuple[Variable, ...]:
        """The rows of the schema that `shape_variables` are of, each once."""
        return tuple(dict.fromkeys(own.whole for own in self.shape_variables(parameter, factor)))

    def shape_values(
        self, parameter: str, factor: Factor, values: Mapping[str, NDArray[np.float64]]
    ) -> list[NDArray[np.float64]]:
        """The values (…) of a grouping factor's `shapes`, from values by variable."""
        return [variable.of(values) for variable in self.shape_variables(parameter, factor)]

    def shape_priors(self, parameter: str, factor: Factor) -> tuple[Prior, ...]:
        """The priors of the parameters of a grouping factor's structures, in the order of its `shapes`."""
        return tuple(
            self.prior(shape.name, coefficient=label, group=factor.name, parameter=parameter)
            for (_, shape), label in zip(factor.shapes, factor.shape_labels, strict=True)
        )

    def correlations(
        self, parameter: str, factor: Factor, values: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Correlations of a factor's effects, from values by variable: (…, q, q), or (1, q, q) without any."""
        variables = self.factor_variables(parameter, factor)
        matrix = values[variables["cor"].name] if "cor" in variables else None
        if matrix is not None and matrix.shape[-1] == len(factor.effects):
            return matrix
        if not factor.correlated:
            return np.eye(len(factor.effects))[None]
        shapes = self.shape_values(parameter, factor, values)
        found: NDArray[np.float64] = factor.correlations(shapes, matrix)
        return found

    def level_weights(
        self, parameter: str, factor: Factor, values: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """How much more a level's effects are drawn to 0 than normal ones, from values by variable: (S, G).

        1 where they are normal.
        """
        variables = self.factor_variables(parameter, factor)
        r, sd = values[variables["r"].name], values[variables["sd"].name]
        if factor.law.normal:
            return np.ones(r.shape[:2])
        squares = factor.squares(r, sd, self.correlations(parameter, factor, values))
        law = factor.law_values(self.shape_values(parameter, factor, values))
        found: NDArray[np.float64] = factor.law.weight(
            squares, len(factor.effects), *(each[:, None] for each in law)
        )
        return found

    @property
    def has_normal_levels(self) -> bool:
        """Whether all grouping factors' effects are normal."""
        return all(f.law.normal for layout in self.layout.predictors.values() for f in layout.factors)

    @cached_property
    def ties(self) -> tuple[Tie, ...]:
        """Group effects that are correlated across the formulas of this response's parameters."""
        return ties_within(self.layout.predictors)

    def cor_prior(self, parameter: str, factor: Factor, block: Block) -> Prior:
        """The prior of the correlations of one block that are parameters one by one."""
        tie = tie_of(self.ties, self.response, parameter, factor, block)
        if tie is None:
            return self.prior("cor", group=factor.name, parameter=parameter)
        return tie.margin(self.tie_prior(tie), len(block.effects))

    def tie_prior(self, tie: Tie) -> Prior:
        """The prior of all correlations of a tie."""
        return self.prior(
            "cor", coefficient=tie.identifier, group=tie.group, parameter=tie.members[0].parameter
        )

    @cached_property
    def tie_variables(self) -> tuple[Variable, ...]:
        """The variable of each tie's correlation matrix."""
        taken = {*ARVIZ_NAMES, OBS, *self.plain_parameters, *self._coefficient_names}
        for variables in self._factor_variables.values():
            taken |= {name for v in variables.values() for name in (v.name, *v.dims)}
        return tie_variables(self.ties, taken)

    @cached_property
    def tied_groups(self) -> tuple[TiedGroup, ...]:
        """The grouping factors whose effects on several of the parameters are drawn together."""
        return tied_groups(self.ties)

    def tied_group(self, parameter: str, factor: Factor) -> tuple[TiedGroup, slice] | None:
        """The tied group that a formula's factor is part of, and where its effects are there; None where it is none."""
        for group in self.tied_groups:
            for member, own in zip(group.members, group.slices, strict=True):
                here = self.response, parameter, factor.name
                if (member.response, member.parameter, member.factor.name) == here:
                    return group, own
        return None

    def tied_covariance(self, group: TiedGroup, values: Mapping[str, Any]) -> tuple[Any, Any]:
        """Sds (…, Q) and correlations (…, Q, Q) of all effects of a tied group, from values by variable."""
        members = [(self.siblings[m.response], m.parameter, m.factor) for m in group.members]
        sds = [
            values[spec.factor_variables(parameter, factor)["sd"].name] for spec, parameter, factor in members
        ]
        cors = [spec.correlations(parameter, factor, values) for spec, parameter, factor in members]
        names = dict(zip(self.ties, self.tie_variables, strict=True))
        tied = [values[names[tie].name] for tie in group.ties]
        return np.concatenate(sds, axis=-1), group.joint(cors, tied)

    def factor_arrays(
        self, parameter: str, factor: Factor, sd: Any, cor: Any, shapes: Sequence[Any], r: Any
    ) -> dict[str, NDArray[np.float64]]:
        """A factor's variables by name: inner sds (…, q) and correlations (…, q, q), `shapes` and inner effects."""
        sd, cor, shapes = factor.settled(sd, cor, shapes)
        sd, cor = factor.map.to_user_covariance(sd, cor)
        parts = {"sd": sd, "cor": cor, "r": factor.map.to_user(r)}
        found = {v.name: parts[kind] for kind, v in self.factor_variables(parameter, factor).items()}
        for variable, values in zip(self.shape_variables(parameter, factor), shapes, strict=True):
            found[variable.name] = factor.loadings(shapes) if variable.place else values
        return found

    @cached_property
    def _factor_variables(self) -> Mapping[tuple[str, str], Mapping[str, Variable]]:
        predictors = self.layout.predictors
        factors = [
            (parameter, factor.name, factor.has_matrix)
            for parameter, layout in predictors.items()
            for factor in layout.factors
        ]
        return name_variables(factors, [*self._coefficient_names, *self.plain_parameters])

    @property
    def _coefficient_names(self) -> list[str]:
        """Names of the coefficients' variables and dimensions."""
        own = [
            coefficient_variable(name)
            for name, layout in self.layout.predictors.items()
            if layout.coefficients
        ]
        return [name for variable in own for name in (variable.name, *variable.dims)]

    def curve_variables(self, parameter: str, curve: Curve) -> Mapping[str, Variable]:
        """The variables of one smooth's curve: sd, its standard deviation, and s, its penalised coefficients.

        Those of its other parameters have their names: lscale.
        """
        return self._curve_variables[parameter, curve.label]

    def curve_priors(self, parameter: str, curve: Curve) -> tuple[tuple[Variable, Prior], ...]:
        """A curve's standard deviation and its other parameters: each one's variable and prior."""
        variables = self.curve_variables(parameter, curve)
        named = {"sd": curve.scale} | {shape.name: shape.name for shape in curve.shapes}
        return tuple(
            (variables[key], self.prior(kind, coefficient=curve.label, parameter=parameter))
            for key, kind in named.items()
        )

    def simplex_variable(self, parameter: str, label: str) -> Variable:
        """The variable of shares of steps, by their `Simplex`'s label."""
        return self._simplex_variables[parameter, label]

    def simplex_prior(self, parameter: str, label: str) -> Prior:
        """The prior of shares of steps."""
        return self.prior(SIMPLEX, coefficient=label, parameter=parameter)

    def shares(self, parameter: str, effect: Monotonic, values: Mapping[str, Any]) -> list[Any]:
        """The shares of a monotonic effect's steps, (…, D) of each of its predictors, among values by variable."""
        return [values[self.simplex_variable(parameter, label).name] for label in effect.simplexes]

    @property
    def drawn_data(self) -> str:
        """What of the data is drawn, in words: missing responses, or values of a predictor; "" where all is known."""
        if self.missing_variable is not None:
            return "missing values of the response"
        return f"the values of {self.layout.latents[0].term.label}" if self.layout.latents else ""

    @cached_property
    def latent_blocks(self) -> tuple[LatentBlock, ...]:
        """The predictors whose values are drawn, those together that are correlated."""
        return blocks_of(self.layout.latents)

    @property
    def integrates_latents(self) -> bool:
        """Whether a response is normal also where predictors' true values are not known, but their measurements.

        That is where it is a normal one, or a normal one's exponential, and each row has true values of its own, which
        the mean alone is linear in.
        """
        main, response = self.layout.main, self.layout.response
        return (
            self.is_normal
            and {own.name for own in self.family.parameters} == {MEAN, SIGMA}
            and response.weights is None
            and response.series is None
            and [block.group for block in self.latent_blocks] == [""]
            and not self.layout.imputed
            and self.missing_variable is None
            and not any(
                own.latent_effects for name, own in self.layout.predictors.items() if not is_main(name)
            )
            and all(len(effect.columns) == 1 for effect in main.latent_effects)
        )

    @property
    def drawn_rows(self) -> NDArray[Any]:
        """Labels of the rows whose response is drawn: the missing ones, or all where true ones were measured: (L,)."""
        missing, index = self.layout.response.missing, self.layout.response.measured
        labels = np.empty(0, object) if missing is None else np.asarray(missing.index.to_numpy())
        return labels if index is None else np.concatenate([index, labels])

    @property
    def missing_variable(self) -> Variable | None:
        """The variable of the response's missing values; None where none are drawn."""
        if not len(self.drawn_rows):
            return None
        names = self._names_of_factors
        return Variable(free_name(YMI, names), (free_name(f"{YMI}_row", names),), YMI, MEAN)

    def imputed_variable(self, column: str) -> Variable:
        """The variable of the missing values of a predictor, which is another response."""
        names = self._names_of_factors
        return Variable(
            free_name(f"{YMI}_{column}".replace("/", "_"), names),
            (free_name(f"{YMI}_{column}_row".replace("/", "_"), names),),
            YMI,
            MEAN,
            column,
        )

    @property
    def _own_imputed(self) -> list[Variable]:
        return [self.imputed_variable(one.column) for one in self.layout.imputed if len(one.index)]

    def latent_variables(self, block: LatentBlock) -> LatentVariables:
        """The variables of predictors whose values are drawn."""
        return self._latent_variables[block.group]

    @cached_property
    def _latent_variables(self) -> Mapping[str, LatentVariables]:
        names = self._names_of_factors

        def take(name: str) -> str:
            free = free_name(name.replace("/", "_"), names)
            names.add(free)
            return free

        found = {}
        for block in self.latent_blocks:
            beside = f"_{block.group}" if block.group else ""
            row = take(f"me{beside}_row" if not block.group else f"me{beside}_level")
            each: dict[str, list[Variable]] = {MEANME: [], SDME: []}
            values = []
            for column in block.columns:
                for kind, own in each.items():
                    own.append(Variable(take(f"{kind}_{column}"), (), kind, MEAN, column))
                values.append(Variable(take(f"{XME}_{column}"), (row,), XME, MEAN, column))
            cor = None
            if len(values) > 1:
                dims = take(f"me{beside}_column"), take(f"me{beside}_column2")
                cor = Variable(take(f"{CORME}{beside}"), dims, CORME, MEAN, block.group or None)
            found[block.group] = LatentVariables(tuple(values), tuple(each[MEANME]), tuple(each[SDME]), cor)
        return found

    def with_steps(self, parameter: str, factor: Factor, values: Mapping[str, Any], r: Any) -> Any:
        """Effects of a factor (…, q) with those of the columns of its monotonic effects' steps behind: (…, q + l).

        Of effects at new times behind the q known ones too. `values` are draws, or their means, by variable.
        """
        parts = [r]
        for effect in factor.monotonic:
            shares = [
                own.reshape(*own.shape[:-1], *(1,) * (r.ndim - own.ndim), own.shape[-1])
                for own in self.shares(parameter, effect, values)
            ]
            parts.append(effect.coefficients(r, shares))
        return np.concatenate(parts, axis=-1) if len(parts) > 1 else r

    def curve_sds(
        self, parameter: str, curve: Curve, values: Mapping[str, NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """The standard deviation of each of a curve's columns, from draws by variable: (S, m)."""
        variables = self.curve_variables(parameter, curve)
        shapes = [values[variables[shape.name].name] for shape in curve.shapes]
        return curve.column_sds(values[variables["sd"].name], shapes)

    @cached_property
    def _simplex_variables(self) -> Mapping[tuple[str, str], Variable]:
        names = self._names_of_factors
        found = {}
        for parameter, layout in self.layout.predictors.items():
            prefix = prefix_of(parameter, "_")
            for label in (simplex.label for simplex in layout.simplexes):
                own = []
                for name in (f"{SIMPLEX}_{prefix}{label}", f"{prefix}{label}_step"):
                    own.append(free_name(name.replace("/", "_"), names))
                    names.add(own[-1])
                found[parameter, label] = Variable(own[0], (own[1],), SIMPLEX, parameter, label)
        return found

    @property
    def _names_of_factors(self) -> set[str]:
        """Names that are taken before curves and monotonic effects have any."""
        variables = [variable for own in self._factor_variables.values() for variable in own.values()]
        names = {name for variable in variables for name in (variable.name, *variable.dims)}
        return names | {*ARVIZ_NAMES, OBS, *self.plain_parameters, *self._coefficient_names}

    @cached_property
    def _curve_variables(self) -> Mapping[tuple[str, str], Mapping[str, Variable]]:
        names = self._names_of_factors
        found = {}
        for parameter, layout in self.layout.predictors.items():
            prefix = prefix_of(parameter, "_")
            for curve in layout.curves:
                own = {}
                for kind in (curve.scale, *(shape.name for shape in curve.shapes), "s", "basis"):
                    name = (
                        f"{kind}_{prefix}{curve.label}" if kind != "basis" else f"{prefix}{curve.label}_basis"
                    )
                    own[kind] = free_name(name.replace("/", "_"), names)
                    names.add(own[kind])
                found[parameter, curve.label] = {
                    "sd": Variable(own[curve.scale], (), curve.scale, parameter, curve.label),
                    **{
                        shape.name: Variable(own[shape.name], (), shape.name, parameter, curve.label)
                        for shape in curve.shapes
                    },
                    "s": Variable(own["s"], (own["basis"],), "s", parameter, curve.label),
                }
        return found

    @cached_property
    def _shape_variables(self) -> Mapping[tuple[str, str], tuple[Variable, ...]]:
        own = [
            coefficient_variable(name)
            for name, layout in self.layout.predictors.items()
            if layout.coefficients
        ]
        own += [variable for each in self._factor_variables.values() for variable in each.values()]
        taken = {name for variable in own for name in (variable.name, *variable.dims)}
        taken |= {*ARVIZ_NAMES, OBS, *self.plain_parameters}
        found = {}
        for parameter, layout in self.layout.predictors.items():
            prefix = prefix_of(parameter, "_")
            for factor in layout.factors:
                variables = []
                loadings: list[str] = []  # the variable and its dimension
                for (block, shape), label in zip(factor.shapes, factor.shape_labels, strict=True):
                    wanted = [f"{shape.name}_{prefix}{factor.name}"]
                    wanted += [f"{prefix}{factor.name}_dimension"] if shape.place else []
                    names = loadings if shape.place and loadings else []
                    for name in wanted if not names else []:
                        names.append(free_name(name.replace("/", "_"), taken))
                        taken.add(names[-1])
                    dims: tuple[str, ...] = ()
                    place: tuple[int, ...] = ()
                    if shape.place:
                        loadings = names
                        effect = self.factor_variables(parameter, factor)["sd"].dims[0]
                        dims, place = (effect, names[1]), (block.effects[shape.place[0]], shape.place[1])
                    variables.append(
                        Variable(names[0], dims, shape.name, parameter, factor.name, label, place)
                    )
                found[parameter, factor.name] = tuple(variables)
        return found

    @cached_property
    def quantities(self) -> tuple[Quantity, ...]:
        """What tables list, in their order; a name of ours gives way to that of a user's column."""
        found: list[Quantity] = []
        auxiliaries = {v.name: v for v in self.variables if v.kind == "auxiliary"}
        taken = set(self.layout.main.coefficients)

        def add(name: str, variable: Variable, *place: int, kind: str = "") -> None:
            if not (variable.kind == "b" and is_main(variable.parameter)):
                name = free_name(name, taken)
                taken.add(name)
            found.append(Quantity(name, kind or variable.kind, variable, place))

        for parameter, layout in self.layout.predictors.items():
            prefix = prefix_of(parameter, ".")
            for place, label in enumerate(layout.coefficients):
                if not (parameter in self.moving and place == layout.intercept):
                    add(f"{prefix}{label}", self.coefficient_variable(parameter), place)
            for variable in self.shrunk(parameter).variables:
                if not variable.dims:
                    add(f"{prefix}{variable.kind}", variable)
            for factor in layout.factors:
                variables = self.factor_variables(parameter, factor)
                for label, places in factor.scales:
                    if not factor.is_loaded(places[0]):
                        add(f"{prefix}sd[{factor.name}, {label}]", variables["sd"], places[0])
                for i, j in factor.correlated_pairs:
                    effects = f"{factor.effects[i]}, {factor.effects[j]}"
                    add(f"{prefix}cor[{factor.name}, {effects}]", variables["cor"], i, j)
                for variable in self.shape_variables(parameter, factor):
                    add(f"{prefix}{variable.address}", variable, *variable.place)
            for curve in layout.curves:
                for variable in self.curve_variables(parameter, curve).values():
                    if variable.kind != "s":
                        add(f"{prefix}{variable.kind}[{curve.label}]", variable)
            for simplex in layout.simplexes:
                variable = self.simplex_variable(parameter, simplex.label)
                for place, step in enumerate(simplex.steps):
                    add(f"{prefix}{SIMPLEX}[{simplex.label}, {step}]", variable, place)
        for tie, variable in zip(self.ties, self.tie_variables, strict=True):
            for i, j in tie.across:
                add(f"cor[{tie.group}, {tie.effects[i]}, {tie.effects[j]}]", variable, i, j, kind="cor")
        for block in self.latent_blocks:
            latent = self.latent_variables(block)
            for variable in (*latent.means, *latent.sds):
                add(variable.address, variable)
            for i, j in itertools.combinations(range(len(block.latents)), 2):
                if latent.cor is not None:
                    add(f"{CORME}[{block.columns[i]}, {block.columns[j]}]", latent.cor, i, j)
        for name, variable in auxiliaries.items():
            parameter_ = self.family.parameter(name)
            sets = self.sets_of(parameter_)
            if sets is not None:
                for (row, group), (place, label) in itertools.product(
                    enumerate(sets.labels), enumerate(self.elements(parameter_))
                ):
                    add(f"{name}[{group}, {label}]", variable, row, place)
            elif variable.dims:
                for place, label in enumerate(self.elements(parameter_)):
                    add(f"{name}[{label}]", variable, place)
            else:
                add(name, variable)
        return tuple(found)

    @property
    def response_name(self) -> str:
        """What the response is called among draws and data: as it is written, but for names that are taken there."""
        return free_name(self.layout.response.name.replace("/", "_"), {*ARVIZ_NAMES, OBS})

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
            found += self.shrunk(parameter).variables
            for factor in layout.factors:
                found += self.factor_variables(parameter, factor).values()
                found += self.structure_variables(parameter, factor)
            for curve in layout.curves:
                found += self.curve_variables(parameter, curve).values()
            found += [self.simplex_variable(parameter, simplex.label) for simplex in layout.simplexes]
        for block in self.latent_blocks:
            found += self.latent_variables(block).all
        found += [self.missing_variable] if self.missing_variable else []
        found += self._own_imputed
        found += self.tie_variables
        found += [self.own_variable(self.family.parameter(name)) for name in self.plain_parameters]
        order = {
            "b": 0,
            "sd": 1,
            "cor": 2,
            "auxiliary": 4,
            "r": 5,
            "s": 6,
            XME: 7,
            YMI: 8,
        }  # structures' parameters after correlations
        return tuple(sorted(found, key=lambda variable: order.get(variable.kind, 3)))

    @cached_property
    def coords(self) -> Mapping[str, np.ndarray[Any, Any]]:
        """Labels of every dimension of the schema."""
        coords: dict[str, Any] = {}
        for own in self.family.own:
            if own.kind.vector:
                coords[element_dimension(own)] = np.array(self.elements(own), dtype=object)
                sets = self.sets_of(own)
                if sets is not None:
                    coords[set_dimension(own)] = sets.labels.to_numpy()
        for parameter, layout in self.layout.predictors.items():
            if layout.coefficients:
                labels = np.array(layout.coefficients, dtype=object)
                coords[self.coefficient_variable(parameter).dims[0]] = labels
            shrunk = self.shrunk(parameter)
            shared = [layout.coefficients[place] for place in shrunk.places]
            shared += [scale.label for scale in shrunk.scales]
            coords |= {dim: np.array(shared, dtype=object) for v in shrunk.variables for dim in v.dims}
            for factor in layout.factors:
                variables = self.factor_variables(parameter, factor)
                levels, effect = variables["r"].dims
                coords[levels] = factor.levels.labels
                for dim in variables["cor"].dims if "cor" in variables else (effect,):
                    coords[dim] = np.array(factor.effects, dtype=object)
                if factor.loaded is not None:
                    dims = {own.dims[1] for own in self.structure_variables(parameter, factor) if own.dims}
                    coords |= dict.fromkeys(dims, np.arange(1, factor.loaded.rank + 1))
            for curve in layout.curves:
                coords[self.curve_variables(parameter, curve)["s"].dims[0]] = np.arange(1, curve.width + 1)
            for simplex in layout.simplexes:
                steps = np.array(simplex.steps, dtype=object)
                coords[self.simplex_variable(parameter, simplex.label).dims[0]] = steps
        for block in self.latent_blocks:
            latent = self.latent_variables(block)
            coords[latent.values[0].dims[0]] = block.index
            for dim in latent.cor.dims if latent.cor else ():
                coords[dim] = np.array(block.columns, dtype=object)
        if self.missing_variable is not None:
            coords[self.missing_variable.dims[0]] = self.drawn_rows
        for one in self.layout.imputed:
            coords[self.imputed_variable(one.column).dims[0]] = one.index
        for tie, variable in zip(self.ties, self.tie_variables, strict=True):
            for dim in variable.dims:
                coords[dim] = np.array(tie.effects, dtype=object)
        return coords
