"""Families with a parameter that every row states beside its response: known standard errors, and what counts are of.

A known parameter has a value in each row, which no posterior is of. `with_se` adds the variance of a measurement to the
family's own, or takes its place; `with_rate` multiplies what a count grows with: where Y is the count over one unit,
the count over d of them is the sum of d such.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hierbayes.compiling import Deferred, written
from hierbayes.families.record import Array, Family, Parameter, Tails
from hierbayes.kinds import POSITIVE, ParameterValues, positive_row
from hierbayes.special import exp_lane, log1p_lane

type Change = Callable[[Mapping[str, ParameterValues]], dict[str, ParameterValues]]
SIGMA = "sigma"


def with_se(base: Family, beside_sigma: bool) -> Family:
    """The family whose rows state the standard error of their response.

    Parameters
    ----------
    base : Family
        With a parameter `sigma`.
    beside_sigma : bool
        Whether a residual standard deviation is learnt beside it, sqrt(sigma² + se²) being the whole; otherwise the
        standard error takes the place of `sigma`.
    """
    if not beside_sigma:
        known = replace(base.parameter(SIGMA), links=("log",), known="se", words="known standard error")
        return replace(base, parameters=tuple(known if p.name == SIGMA else p for p in base.parameters))
    added = Parameter("se", POSITIVE, ("log",), "known standard error", known="se")

    def change(given: Mapping[str, ParameterValues]) -> dict[str, ParameterValues]:
        sigma, se = given[SIGMA], given["se"]
        total = sigma.m.sqrt(sigma.value * sigma.value + se.value * se.value)
        kept = {name: values for name, values in given.items() if name != "se"}
        return kept | {SIGMA: POSITIVE.under("identity", total, sigma.m)}

    lines = [
        "larger = max(sigma.log, se.log)",
        "total = larger + 0.5 * log1p_lane(exp_lane(2.0 * (min(sigma.log, se.log) - larger)))",
        "part = exp_lane(2.0 * (sigma.log - total))  # of the variance",
    ]
    family = _changed(base, added, change, lines, {SIGMA: "total"}, {SIGMA: "part"})
    equation = base.equation.replace(SIGMA, "√(sigma² + se²)")
    return replace(family, equation=equation, normal=False)


def with_rate(base: Family) -> Family:
    """The family of counts over so much as each row states: brms's ``rate(…)``."""
    fixed: Mapping[str, float] = {}
    family = base
    if base.as_sum is not None:
        family, fixed = base.as_sum
    added = Parameter("rate", POSITIVE, ("log",), "what the count is over", known="rate")

    def change(given: Mapping[str, ParameterValues]) -> dict[str, ParameterValues]:
        rate = given["rate"]
        scaled = {}
        for parameter in family.parameters:
            name = parameter.name
            if name in fixed:
                scaled[name] = POSITIVE.under("identity", fixed[name] * rate.value, rate.m)
            elif name in family.grows:
                scaled[name] = POSITIVE.under("identity", given[name].value * rate.value, rate.m)
            else:
                scaled[name] = given[name]
        return scaled

    logs = {name: f"{name}.log + rate.log" for name in family.grows if name not in fixed}
    logs |= {name: f"{np.log(value)} + rate.log" for name, value in fixed.items()}
    made = _changed(family, added, change, [], logs, {}, fixed)
    own = tuple(p for p in made.parameters if p.name not in fixed)
    return replace(
        made,
        name=base.name,
        parameters=(base.first, *own[1:]),
        place=base.place,
        summed=base.summed and family is base,
        equation=_over_rate(family, fixed),
    )


def _over_rate(family: Family, fixed: Mapping[str, float]) -> str:
    """The equation where the parameters that grow are multiplied by the rate."""
    equation = family.equation.partition(", variance")[0]
    for name in family.grows:
        value = f"{fixed[name]:g}·".removeprefix("1·") if name in fixed else f"{name}·"
        equation = re.sub(rf"\b{name}\b", f"{value}rate", equation)
    return equation


def _changed(
    base: Family,
    added: Parameter,
    change: Change,
    lines: list[str],
    logs: Mapping[str, str],
    factors: Mapping[str, str],
    fixed: Mapping[str, float] | None = None,
) -> Family:
    """The base family where some of its positive parameters are functions of themselves and of the added one.

    Parameters
    ----------
    change : callable
        From all parameters to the base family's, of arrays and of tensors alike.
    lines : list of str
        What a row computes first.
    logs : mapping of str to str
        The logarithms of the parameters that change.
    factors : mapping of str to str
        The derivatives of these in the logarithms of their own; 1 where none is given.
    fixed : mapping of str to float, optional
        Parameters of the base family that are none of the new one's.
    """
    fixed = fixed or {}
    names = [p.name for p in base.parameters]
    kept = [name for name in names if name not in fixed]
    once = ["once"] if base.shared else []
    given = [f"positive_row({logs[name]})" if name in logs else name for name in names]
    name = "_".join(part for part in (base.name, base.variant, added.name) if part)

    def through_row(word: str, values: tuple[str, ...], inner: Deferred) -> Deferred:
        """The base family's row function, which returns values with their scores, of changed parameters."""
        found = [f"{value}{part}" for value in values for part in ("", *(f"_{n}" for n in names))]
        returned = []
        for value in values:
            scores = [f"{value}_{n} * {factors[n]}" if n in factors else f"{value}_{n}" for n in kept]
            returned += [value, *scores, "0.0"]
        body = [
            *lines,
            f"{', '.join(found)} = inner({', '.join(['y', *given, *once])})",
            f"return {', '.join(returned)}",
        ]
        heading = f"def {name}_{word}({', '.join(['y', *kept, added.name, *once])}):"
        source = "\n".join([heading, *(f"    {line}" for line in body), ""])
        tools: dict[str, Any] = {"positive_row": positive_row, "exp_lane": exp_lane, "log1p_lane": log1p_lane}
        return written(f"{name}_{word}", source, __file__, __name__, inner=inner, **tools)

    def through(function: Callable[..., Array] | None) -> Callable[..., Array] | None:
        if function is None:
            return None
        return lambda *values, **parameters: function(*values, **change(parameters))

    def graph(pm: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        return base.in_tensors(pm, **change(parameters))

    def moments(
        log_mass: Callable[..., Array], lower: Array, upper: Array, **parameters: ParameterValues
    ) -> tuple[Array, Array]:
        assert base.tails is not None, "the base family has tails"
        assert base.tails.moments is not None, "the base family has moments"
        return base.tails.moments(log_mass(base), lower, upper, **change(parameters))

    tails = base.tails and Tails(
        through_row("tails", ("below", "above"), base.tails.row), moments, base.tails.above, base.tails.below
    )
    assert base.row is not None, "the base family has a row function"
    return replace(
        base,
        parameters=(*base.parameters, added),
        row=through_row("row", ("value",), base.row),
        tails=tails,
        graph=graph,
        simulate=lambda rng, **parameters: base.simulate(rng, **change(parameters)),
        mean=through(base.mean),
        variance=through(base.variance),
        cdf=through(base.cdf),
        information=through(base.information),
        own_in_mean=base.own_in_mean if added.name == "se" else (*base.own_in_mean, added.name),
        mean_of=base.mean_of if added.name == "se" else "multiple",
        variant="_".join(part for part in (base.variant, added.name) if part),
    )
