"""Families of which some parameters are expressions of others: ``nl()`` of brms.

Its parameters are numbers with formulas of their own, and the parts of the expression that are of columns alone are
known parameters, which every row states. What the expression is of has a predictor that is 0, as a mixture's mu has.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from hierbayes.families.nonlinear_row import nonlinear_row
from hierbayes.families.record import Array, Family, Parameter, Responses
from hierbayes.families.rows import inner_coordinates
from hierbayes.formula.nonlinear import NONLINEAR, Nonlinear
from hierbayes.formula.syntax import render
from hierbayes.kinds import NOTHING, NUMBER, ParameterValues

OF_COLUMNS = f"{NONLINEAR}()"  # what messages call a part that every row states


class Made(NamedTuple):
    """A family with nonlinear predictors, and the text of what its rows state, by its parameters."""

    family: Family
    stated: tuple[tuple[Parameter, str], ...]


@dataclass(frozen=True, eq=False)
class Expressions:
    """How the parameters of a family follow from others.

    Attributes
    ----------
    base : Family
        The family without nonlinear predictors.
    links : mapping of str to str
        Of its parameters.
    expressions : mapping of str to Nonlinear
        By the parameter whose linear predictor's place they take.
    stated : mapping of str to str
        The known parameters of the rows, by the canonical text of the part of an expression that they are.
    parameters : tuple of Parameter
        Of the family that this makes.
    """

    base: Family
    links: Mapping[str, str]
    expressions: Mapping[str, Nonlinear]
    stated: Mapping[str, str]
    parameters: tuple[Parameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that are expressions."""
        return tuple(self.expressions)

    @property
    def learnt(self) -> tuple[str, ...]:
        """The numbers in them that have formulas of their own."""
        return tuple(dict.fromkeys(name for one in self.expressions.values() for name in one.parameters))

    @property
    def rows(self) -> "Expressions":
        """What evaluates many rows: itself."""
        return self

    def _arguments(
        self, expression: Nonlinear, values: Callable[[str], Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        learnt = {name: values(name) for name in expression.parameters}
        return learnt, [values(self.stated[render(part)]) for part in expression.parts]

    def etas(self, given: Mapping[str, ParameterValues]) -> dict[str, Any]:
        """The linear predictors of the parameters that are expressions, from all parameters in their forms."""
        found = {}
        for name, expression in self.expressions.items():
            arguments = self._arguments(expression, lambda one: given[one].value)
            with np.errstate(all="ignore"):
                found[name] = expression.evaluate(*arguments, given[name].m.arrays)
        return found

    def through(self, given: Mapping[str, ParameterValues]) -> dict[str, ParameterValues]:
        """The base family's parameters in their forms, from this one's."""
        etas = self.etas(given)
        found = {}
        for parameter in self.base.parameters:
            values = given[parameter.name]
            if parameter.name in etas:
                link = self.links[parameter.name]
                values = parameter.kind.under(link, etas[parameter.name], values.m)
            found[parameter.name] = values
        return found

    def evaluate(self, y: Array, trials: Array | None, t: Array) -> Array:
        """Log density and scores (1 + J, N) of N rows from inner coordinates (J, N): the chain rule."""
        own = _columns(self.parameters, len(t))
        of_base = _columns(self.base.parameters, len(t) - self._added)
        inner = np.empty((len(t) - self._added, t.shape[1]))
        slopes: dict[str, dict[str, Any]] = {}
        possible = np.ones(t.shape[1], np.bool_)
        for parameter in self.base.parameters:
            name = parameter.name
            if name not in self.expressions:
                inner[of_base[name]] = t[own[name]]
                continue
            expression = self.expressions[name]
            arguments = self._arguments(expression, lambda one: t[own[one]][0])
            value, derivatives = expression.derivatives(*arguments)
            eta = np.array(np.broadcast_to(value, t.shape[1]))
            at, slope, inside = inner_coordinates(parameter.kind, self.links[name], eta)
            inner[of_base[name]] = at
            possible &= np.isfinite(eta) & inside
            slopes[name] = {one: slope * derivative for one, derivative in derivatives.items()}
        found = self.base.rows.evaluate(y, trials, inner)
        out = np.zeros((1 + len(t), t.shape[1]))
        out[0] = np.where(possible, found[0], -np.inf)
        scores, of_rows = out[1:], found[1:]
        for parameter in self.base.parameters:
            name = parameter.name
            if name not in self.expressions:
                scores[own[name]] = of_rows[of_base[name]]
                continue
            for one, slope in slopes[name].items():
                scores[own[one]] += of_rows[of_base[name]] * slope
        return out

    @property
    def _added(self) -> int:
        """How many parameters the base family has not."""
        return len(self.parameters) - len(self.base.parameters)


def _columns(parameters: tuple[Parameter, ...], size: int) -> dict[str, slice]:
    """The components of each parameter, of so many in all: a vector without a size has what others leave."""
    sizes = {p.name: 0 if p.kind.vector and not p.size else len(p.arguments) for p in parameters}
    left = size - sum(sizes.values())
    found, first = {}, 0
    for parameter in parameters:
        own = sizes[parameter.name] or left
        found[parameter.name] = slice(first, first + own)
        first += own
    return found


def nonlinear(base: Family, expressions: Mapping[str, Nonlinear], links: Mapping[str, str]) -> Made:
    """The family of which some linear predictors are expressions of numbers with formulas of their own.

    Parameters
    ----------
    base : Family
    expressions : mapping of str to Nonlinear
        By its parameters.
    links : mapping of str to str
        Of its parameters.
    """
    learnt = dict.fromkeys(name for one in expressions.values() for name in one.parameters)
    texts = dict.fromkeys(render(part) for one in expressions.values() for part in one.parts)
    taken = {*learnt, *(parameter.name for parameter in base.parameters)}
    stated: dict[str, str] = {}
    known: list[tuple[Parameter, str]] = []
    for text in texts:
        name = f"{NONLINEAR}{len(stated) + 1}"
        while name in taken:
            name += "_"
        taken.add(name)
        stated[text] = name
        words = "what nl() is computed from"
        known.append((Parameter(name, NUMBER, ("identity",), words, known=OF_COLUMNS), text))
    numbers = [
        Parameter(
            name, NUMBER, ("identity",), f"parameter of {NONLINEAR}()", typical=lambda _: 0.0, unscaled=True
        )
        for name in learnt
    ]
    own = [
        replace(p, kind=NOTHING, links=(links[p.name],), moves=None) if p.name in expressions else p
        for p in base.parameters
    ]
    vectors = [p for p in own if p.kind.vector]  # which stand last
    parameters = (*(p for p in own if not p.kind.vector), *numbers, *(p for p, _ in known), *vectors)
    computed = Expressions(base, links, expressions, stated, parameters)
    row = nonlinear_row(base, links, expressions, stated, parameters)
    in_mean = [p.name for p in (*numbers, *(p for p, _ in known))] if _moves_mean(base, expressions) else []
    family = replace(
        base,
        parameters=parameters,
        row=row,
        shared=None if row is None else base.shared,
        computed=computed,
        graph=lambda pm, *trials, **given: base.in_tensors(pm, *trials, **computed.through(given)),
        simulate=lambda rng, *trials, **given: _at(computed, given).simulate(rng, *trials),
        cdf=base.cdf and (lambda y, *trials, **given: _at(computed, given).cdf(y, *trials)),
        tails=None,
        mean=_through(computed, base.mean),
        variance=_through(computed, base.variance),
        probabilities=_through(computed, base.probabilities),
        known_between=_of_known(base),
        design_effect=_through(computed, base.design_effect) or base.design_effect,
        information=None,
        mean_of="other" if base.mean is not None else base.mean_of,
        own_in_mean=(*base.own_in_mean, *in_mean),
        threshold=False,
        latents={},
        latent_variance=None,
        specific=None,
        equidistant=None,
        by_category=None,
        variant="_".join(part for part in (base.variant, NONLINEAR) if part),
        listed=None,
        summed=False,
        normal=False,
        takes_se=False,
        grows=(),
        as_sum=None,
        correlated=None,
    )
    return Made(family, tuple(known))


def _moves_mean(base: Family, expressions: Mapping[str, Nonlinear]) -> bool:
    return any(name in (base.first.name, *base.own_in_mean) for name in expressions)


def _of_known(base: Family) -> Callable[..., tuple[Array, Array]] | None:
    """The ends between which responses are known to lie: only what rows state says so."""
    between = base.known_between
    if between is None:
        return None
    return lambda y, **given: between(y, **{p.name: given[p.name] for p in base.known if p.name in given})


def _at(computed: Expressions, given: Mapping[str, ParameterValues]) -> Responses:
    return Responses(computed.base, computed.through(given))


def _through(computed: Expressions, function: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """A function of the base family's parameters as one of this one's."""
    if function is None:
        return None
    return lambda *values, **given: function(*values, **computed.through(given))
