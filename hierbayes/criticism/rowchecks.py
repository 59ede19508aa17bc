"""Findings about the response and the population-level predictors, before any sampling."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from hierbayes.criticism.findings import Finding
from hierbayes.data.design import Design
from hierbayes.engine.streamed import Streamed
from hierbayes.families.bounds import LEFT, RIGHT
from hierbayes.spec import ModelSpec

MANY_CATEGORIES = 10
NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?\s*", re.IGNORECASE)


def check_rows(spec: ModelSpec, design: Design | Streamed) -> Iterator[Finding]:
    """Facts about the rows that are not about their groups; of rows that stay in their source only the categories."""
    for layout in spec.layout.predictors.values():
        yield from _check_categories(spec, layout.coefficients, design)
    if isinstance(design, Design):
        yield from _check_response(spec, design)
        yield from _check_zeros(spec, design)
        if spec.family.has_categories and design.y is not None:
            amounts = _of_categories(spec, design.y)
            yield from _check_empty(spec, amounts)
            yield from _check_separation(spec, design, amounts)
        yield from _check_censoring(spec, design)
        yield from _check_offset(spec, design)
        yield from _check_trials(spec, design)


def _check_categories(
    spec: ModelSpec, labels: tuple[str, ...], design: Design | Streamed
) -> Iterator[Finding]:
    """A text predictor with a coefficient for each of many values: numbers stored as text, or the names of groups."""
    for name in (name for name, kind in spec.layout.kinds.items() if kind == "text"):
        own = [label for label in labels if label.startswith(f"{name}[") and "]:" not in label]
        values = [label[len(name) + 1 : -1] for label in own]
        if len(values) < MANY_CATEGORIES:
            continue
        if all(NUMBER.fullmatch(value) for value in values):
            yield Finding(
                "numbers-as-text",
                f"{name!r} is text whose values are numbers, and has {len(values):,} coefficients, one a value",
                f"Convert it unless it is a code: pandas.to_numeric(data[{name!r}])",
            )
        elif isinstance(design, Design) and 2 * len(values) >= len(design):
            yield Finding(
                "many-categories",
                f"{name!r} has {len(values):,} coefficients, one a value, for {len(design):,} rows",
                f"If its values are groups of rows, let them vary: (1 | {name})",
            )


def _check_response(spec: ModelSpec, design: Design) -> Iterator[Finding]:
    """Nothing but failures, nothing but successes, or no count at all: the mean is bounded by the prior on one side."""
    y, name = design.y, spec.layout.response.name
    if y is not None and spec.family.support.signed and (np.sign(y) == np.sign(y[:1])).all():
        yield Finding(
            "constant-response",
            f"the choice is the {'upper' if y[0] > 0 else 'lower'} boundary in every row",
            "How far the other boundary is, and where the process starts, is decided by the priors; times without a "
            "choice are 'shifted_lognormal' or 'exgaussian'",
        )
    if y is None or not spec.family.support.whole or spec.family.support.columns:
        return
    most = (
        design.trials
        if design.trials is not None
        else np.ones(len(y))
        if spec.family.support.two_levels
        else None
    )
    if not y.any() or (most is not None and (y == most).all()):
        yield Finding(
            "constant-response",
            f"the response {name!r} is {'0' if not y.any() else 'as large as it can be'} in every row",
            "How near the mean comes to that end is decided by the priors; say so where it is reported",
        )


def _check_zeros(spec: ModelSpec, design: Design) -> Iterator[Finding]:
    """No zeros, where a parameter is the probability of some: it is bounded by the prior on one side."""
    zeros, name = spec.family.zeros_by, spec.layout.response.name
    if zeros and design.y is not None and len(design) and design.y.all():
        yield Finding(
            "no-zeros",
            f"no row has {name} = 0, and {zeros} of family {spec.family.name!r} is the probability of zeros",
            f"How near {zeros} comes to 0 is decided by its prior; where there can be none, take a family without it",
            question=True,
        )


def _check_censoring(spec: ModelSpec, design: Design) -> Iterator[Finding]:
    """Nothing but responses that are censored on one side: the other side is bounded by the priors alone."""
    if "cens" not in design.predictors:
        return
    name, status = spec.layout.response.name, design.predictors["cens"].offset
    for side, value in (("right", RIGHT), ("left", LEFT)):
        if (status == value).all():
            yield Finding(
                "all-censored",
                f"the response {name!r} is censored in every row, always from the {side}",
                f"How far it lies {'above' if side == 'right' else 'below'} is decided by the priors; check that the "
                "status does not say the opposite: in brms's cens() 1 is censored, in survival's Surv() an event",
            )


def _of_categories(spec: ModelSpec, y: NDArray[np.float64]) -> NDArray[Any]:
    """How much of each category a row has, (n, K): its columns, or whether it is of that category."""
    if spec.family.support.columns:
        return y
    return y[:, None] == np.arange(len(spec.layout.response.levels or ()))


def _check_empty(spec: ModelSpec, amounts: NDArray[Any]) -> Iterator[Finding]:
    """Categories without a row, of those that are stated or, of whole numbers, that lie between others."""
    name, levels = spec.layout.response.name, spec.layout.response.levels or ()
    empty = [level for level, some in zip(levels, amounts.any(axis=0), strict=True) if not some]
    if empty and spec.family.support.columns:
        yield Finding(
            "empty-category",
            f"no row has any of the category {', '.join(map(repr, empty))}",
            "What is said of such a category is decided by the prior; leave its column out if it could not occur",
        )
    elif empty:
        yield Finding(
            "empty-category",
            f"no row has {name} = {', '.join(map(repr, empty))}",
            "What is said of such a category is decided by the prior; leave it out of the column's categories if it "
            "could not be chosen",
        )
    if spec.family.support.ordered and all(isinstance(level, int) for level in levels):
        between = sorted(set(range(levels[0], levels[-1] + 1)) - set(levels))
        if 0 < len(between) < len(levels):
            yield Finding(
                "category-gap",
                f"{name} is never {', '.join(map(str, between))}, between its values: that is no category then",
                "If it could be chosen, say so: pandas.Categorical(…, all of them, ordered=True)",
                question=True,
            )


def _check_separation(spec: ModelSpec, design: Design, amounts: NDArray[Any]) -> Iterator[Finding]:
    """A predictor that is told by the category: its coefficient has no finite maximum of the likelihood.

    Of ordered categories: all rows where a column is not 0 lie in the first or the last, or the column rises with them
    without overlap. Of others: all such rows lie in one.
    """
    ordered, last = spec.family.support.ordered, len(spec.layout.response.levels or ()) - 1
    found = []
    for parameter, layout in spec.layout.predictors.items():
        for place, label in enumerate(layout.coefficients):
            column = design.predictors[parameter].x[:, place]
            if place != layout.intercept and _separates(column, amounts, last if ordered else None):
                found.append(label)
    for label in dict.fromkeys(found):
        yield Finding(
            "separation",
            f"{label!r} goes with the categories of {spec.layout.response.name!r} without overlap",
            "How large its coefficient is, the prior alone says; state one that you mean, or merge categories",
        )


def _separates(column: NDArray[np.float64], amounts: NDArray[Any], last: int | None) -> bool:
    values = np.unique(column)
    if len(values) < 2 or np.count_nonzero(amounts.any(axis=0)) < 2:
        return False
    if len(values) == 2:
        sides = [np.flatnonzero(amounts[column == value].any(axis=0)) for value in values]
        return any(len(side) == 1 and (last is None or side[0] in (0, last)) for side in sides)
    if last is None:
        return False
    y = amounts.argmax(axis=1)
    ends = [(column[y == k].min(), column[y == k].max()) for k in np.unique(y)]
    rising = all(high < low for (_, high), (low, _) in itertools.pairwise(ends))
    falling = all(low > high for (low, _), (_, high) in itertools.pairwise(ends))
    return bool(rising or falling)


def _check_offset(spec: ModelSpec, design: Design) -> Iterator[Finding]:
    """An exposure that was not logged: a log link, positive offsets, and responses in proportion to them as they are.

    Compared by Poisson's deviance of a mean in proportion to the offset's exponential, and to the offset itself.
    """
    offset, y = design.main.offset, design.y
    texts = [encoding.text for encoding in spec.layout.main.offsets]
    if spec.link_name != "log" or not texts or y is None or any("log" in text for text in texts):
        return
    if offset.min() <= 0 or np.ptp(offset) < 1 or y.sum() <= 0:
        return
    as_written, as_exposure = np.exp(offset - offset.max()), offset

    def deviance(exposure: NDArray[np.float64]) -> float:
        mu = np.maximum(exposure * (y.sum() / exposure.sum()), 1e-12)
        return float(2 * (xlogy(y, np.maximum(y, 1e-12) / mu) - (y - mu)).sum())

    if deviance(as_exposure) < deviance(as_written):
        names = " + ".join(text.removeprefix("0 + ") for text in texts)
        yield Finding(
            "offset-not-logged",
            f"the offset {names} reaches {offset.max():.6g}, so that means would differ by a factor of "
            f"{np.exp(min(np.ptp(offset), 700.0)):.3g}, and the responses grow with the offset itself",
            f"With a log link an exposure enters by its logarithm: offset(log({names}))",
        )


def _check_trials(spec: ModelSpec, design: Design) -> Iterator[Finding]:
    """One trial a row says nothing of how the trials of a row go together."""
    if spec.family.own and design.trials is not None and design.trials.max() <= 1:
        names = " and ".join(auxiliary.name for auxiliary in spec.family.own)
        yield Finding(
            "one-trial-a-row",
            f"no row has more than one trial, and {names} is about how the trials of a row go together",
            "Its posterior is its prior; take family='bernoulli', or make each row the trials that belong together",
        )
