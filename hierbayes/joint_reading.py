"""What a user gives for several responses: formulas, names, families, priors; and what rescor=True asks of them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hierbayes.data.design import MEAN, Design
from hierbayes.data.formulas import read_formulas
from hierbayes.data.learning import complete_rows
from hierbayes.data.sources import find_source
from hierbayes.errors import DataError, FormulaError, PriorError, UnsupportedError
from hierbayes.families import get_family
from hierbayes.priors import PriorSet
from hierbayes.several import RESCOR, check_names
from hierbayes.spec import ModelSpec

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


def families_of(given: Any, names: Sequence[str]) -> list[Any]:
    """The family of each response: a list, a mapping by their names, or one for all.

    Examples
    --------
    >>> families_of({"b": "poisson", "a": "gaussian"}, ["a", "b"])
    ['gaussian', 'poisson']
    """
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise DataError(
                f"family has {', '.join(map(repr, given))} for the responses {', '.join(map(repr, names))}; give each "
                "its family, or one for all"
            )
        return [given[name] for name in names]
    return one_each(given, len(names), "family")


def one_each(given: Any, count: int, word: str) -> list[Any]:
    """One for each response: a list of them, or one for all."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        if len(given) != count:
            raise DataError(
                f"{word} names {len(given)} for {count} responses; give one for each, or one for all"
            )
        return list(given)
    return [given] * count


def response_names(formulas: Sequence[Any]) -> list[str]:
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


def rows_of_all(formulas: Sequence[Any], data: Any, families: Sequence[Any], links: Sequence[Any]) -> Any:
    """The rows that have all responses and predictors."""
    if find_source(data) is not None:
        return data
    whole: dict[str, Any] = {}
    for number, (formula, family, link) in enumerate(zip(formulas, families, links, strict=True)):
        read = read_formulas(formula, get_family(family, link)[0])
        whole |= {f"{number}.{parameter}": own for parameter, own in read.items()}
    return complete_rows(whole, data)


def imputes(formula: Any) -> bool:
    """Whether missing values of a response, or of a predictor, are drawn.

    Examples
    --------
    >>> [imputes(formula) for formula in ("y ~ mi(x)", {"mu": "x | mi() ~ z"}, "y ~ x")]
    [True, True, False]
    """
    parts = list(formula.values()) if isinstance(formula, Mapping) else [formula]
    return any(re.search(r"\bmi\s*\(", str(part)) for part in parts)


def check_row_labels(rows: Any) -> None:
    """Refuse rows of one label, where missing values are drawn for rows by their labels."""
    if isinstance(rows, pd.DataFrame) and not rows.index.is_unique:
        label = rows.index[rows.index.duplicated()].tolist()[0]
        raise DataError(
            f"two rows have the label {label!r}, and missing values are drawn for rows by label; give rows labels of "
            "their own (reset_index) before the model is made"
        )


def check_measured(specs: Mapping[str, ModelSpec]) -> None:
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


def check_residuals(name: str, spec: ModelSpec, design: Design) -> None:
    """Refuse a response without normal residuals of weight 1."""
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
    stated = ["weights"] * (design.weights is not None) + [one.name for one in spec.family.known]
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


def check_alike(specs: Mapping[str, ModelSpec]) -> None:
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


def split_priors(user: PriorSet, names: Sequence[str], rescor: bool) -> dict[str, PriorSet]:
    """Each response's priors: those with its name in front, and those without any, which are about all of them."""
    shared = re.compile(rf"^cor\[.*, \w+\]{f'|{RESCOR}' if rescor else ''}$")
    found = {}
    for name in names:
        common: set[str] = set()
        entries, origins = [], []
        for (address, prior), origin in zip(user.entries, user.origins, strict=True):
            head, dot, rest = address.partition(".")
            if dot and head == name:
                entries.append((rest, prior))
                origins.append(origin)
            elif not (dot and head in names) and not shared.match(address):
                entries.append((address, prior))
                origins.append(origin)
                common.add(address)
        found[name] = PriorSet(tuple(entries), user.origin, tuple(origins), frozenset(common))
    return found
