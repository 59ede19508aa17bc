"""Findings about a design, before any sampling: facts about the data that limit what the model can say."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.criticism.findings import Finding
from hierbayes.criticism.rowchecks import check_rows
from hierbayes.data.design import BoundFactor, Design, PredictorLayout, is_main, prefix_of
from hierbayes.data.factors import Factor
from hierbayes.data.facts import FactorFacts, factor_facts
from hierbayes.data.likeness import alike
from hierbayes.engine.streamed import Streamed, in_memory
from hierbayes.spec import ModelSpec
from hierbayes.structures import AREAS

Codes = NDArray[np.int64]
FEW_LEVELS = 5
DEPENDENT = 6  # columns that are named, at most
FAR_FROM_ZERO = 10.0
SAME_COLUMN = 1e-9  # below a cosine of 1: two columns are multiples of each other
SMALL_NUMBERING = 10  # labels 1 … 10 or a … j may be numbered anew in every outer level


def check_design(spec: ModelSpec, design: Design | Streamed) -> tuple[Finding, ...]:
    """Facts about the data that limit what the model can say.

    Of rows that stay in their source only what each factor's facts tell: not how two factors or effects stand.
    """
    findings: list[Finding] = []
    for parameter, layout in spec.layout.predictors.items():
        findings += _check_cells(layout)
        findings += _check_dependent(layout, parameter, len(design))
        for factor in layout.factors:
            facts = _facts(design, parameter, factor)
            findings += _check_factor(spec, factor, facts)
            findings += _check_areas(factor)
            findings += _check_slopes(spec, factor, facts, parameter)
            findings += _check_amount(spec, factor, facts, parameter)
            if isinstance(design, Design):
                findings += _check_correlations(factor, design.predictors[parameter].factors[factor.name])
        if isinstance(design, Design):
            findings += _check_pairs(layout.factors, design.predictors[parameter].factors)
    return (*findings, *_check_identifiers(spec), *_check_spellings(spec), *check_rows(spec, design))


def _check_identifiers(spec: ModelSpec) -> Iterator[Finding]:
    """An ID that one formula alone has: it correlates its effects with no others."""
    joined = {(tie.group, tie.identifier) for tie in spec.ties}
    for layout in spec.layout.predictors.values():
        for factor in layout.factors:
            for identifier in {block.identifier for block in factor.structures} - {""}:
                if (factor.name, identifier) not in joined and not factor.told_by_others:
                    yield Finding(
                        "id-used-once",
                        f"the ID {identifier!r} of (… |{identifier}| {factor.name}) stands in one formula alone, so "
                        "its effects are correlated with each other and no others",
                        "Give it to the other formula's effects that they should be correlated with, or leave it out",
                        question=True,
                    )


def _check_spellings(spec: ModelSpec) -> Iterator[Finding]:
    """Levels of one column that are the same but for how they are written."""
    columns: dict[str, Iterable[object]] = {}
    for layout in spec.layout.predictors.values():
        encodings = [layout.common, *(encoding for factor in layout.factors for encoding in factor.encodings)]
        for encoding in encodings:
            columns |= encoding.categories
        for factor in layout.factors:
            columns |= dict(zip(factor.levels.columns, factor.levels.values, strict=True))
    for name, values in columns.items():
        pairs = alike(values)
        if pairs:
            shown = ", ".join(f"{first!r} and {second!r}" for first, second in pairs[:3])
            yield Finding(
                "alike-levels",
                f"levels of {name!r} differ only in how they are written: {shown}{', …' if len(pairs) > 3 else ''}",
                "They are taken as different levels; make them one in the data if they are the same",
            )


def _check_cells(layout: PredictorLayout) -> Iterator[Finding]:
    encodings = [layout.common, *(encoding for factor in layout.factors for encoding in factor.encodings)]
    for encoding in encodings:
        if encoding.dropped:
            shown = ", ".join(map(repr, encoding.dropped[:5])) + (", …" if len(encoding.dropped) > 5 else "")
            yield Finding(
                "empty-cells",
                f"some combinations of categories have no rows, and so {shown} of {encoding.text!r} "
                f"{'is' if len(encoding.dropped) == 1 else 'are'} left out",
                "What is predicted for those combinations is the sum of the simpler terms",
            )


def _check_dependent(layout: PredictorLayout, parameter: str, n: int) -> Iterator[Finding]:
    """Population-level columns that determine each other: the data know only some combinations of coefficients."""
    columns, labels = layout.columns, layout.coefficients
    if not labels or n == 0:
        return
    prefix = prefix_of(parameter, ": ")
    combinations = columns.residuals @ columns.dependent()
    zero = columns.sizes == 0
    for label in (label for label, empty in zip(labels, zero, strict=True) if empty):
        yield Finding(
            "zero-column",
            f"{prefix}column {label!r} is 0 in every row",
            "Its coefficient is known from the prior alone; leave it out unless new rows will have it",
        )
    parts = np.abs(combinations[:, ~(combinations[zero] != 0).any(axis=0)]) * columns.sizes[:, None]
    if not parts.size:
        return
    told = (parts > 1e-6 * parts.max(axis=0)).any(axis=1)
    names = [repr(label) for label, part in zip(labels, told, strict=True) if part]
    few = f"{', '.join(names[:DEPENDENT])}{', …' if len(names) > DEPENDENT else ''}"
    more = f"{len(labels)} columns, {n} rows" if len(labels) > n else f"{n} rows"
    yield Finding(
        "dependent-columns",
        f"{prefix}the columns {few} determine each other (rank {len(labels) - combinations.shape[1]} of "
        f"{len(labels)}, {more})",
        "Predictions at such rows are learnt as ever, but how the coefficients share is decided by their priors; "
        "leave one out, or state the priors (model.priors) that should decide",
    )


def _facts(design: Design | Streamed, parameter: str, factor: Factor) -> FactorFacts:
    if isinstance(design, Streamed):
        return design.facts[factor.name]
    return factor_facts(design.predictors[parameter].factors[factor.name], len(factor.levels))


def _check_factor(spec: ModelSpec, factor: Factor, facts: FactorFacts) -> Iterator[Finding]:
    levels, n = len(factor.levels), int(facts.counts.sum())
    alone = any(len(places) == 1 for _, places in factor.scales)  # else many effects of a level tell each sd
    if alone and levels == 1:
        yield Finding(
            "one-level",
            f"{factor.name!r} has a single level",
            "Its standard deviation is known from the prior alone; leave the group term out",
        )
    elif alone and levels < FEW_LEVELS:
        yield Finding(
            "few-levels",
            f"{factor.name!r} has only {levels} levels",
            "Its standard deviation rests largely on its prior; "
            f"look at {factor.name!r} as a population-level factor too",
        )
    if levels > 1 and facts.counts.max() == 1 and factor.apart:
        binary = spec.family.support.two_levels
        # a count family may want a level a row, for overdispersion; the rows' numbers are whole then
        if _numeric(factor) and (spec.family.own or binary or factor.levels.values[0].dtype.kind == "f"):
            yield Finding(
                "numeric-factor",
                f"{factor.name!r} is numeric and has as many levels as there are rows ({n:,})",
                "Was a continuous predictor meant? Then write it as a term, not behind a bar",
            )
        elif _spread_unknown(spec):
            yield Finding(
                "one-row-a-level",
                f"every level of {factor.name!r} has one row",
                "Its standard deviation can hardly be distinguished from the residual's; "
                "leave the term out or collect replicates",
            )
        elif binary:
            yield Finding(
                "one-row-a-level",
                f"every level of {factor.name!r} has one row",
                "One 0 or 1 says nothing of how levels differ; leave the term out or collect replicates",
            )


def _check_areas(factor: Factor) -> Iterator[Finding]:
    """Areas without neighbours, which an island is, and one whose name is spelt in two ways."""
    if factor.relations is None or factor.relations.kind.name not in AREAS:
        return
    assert isinstance(factor.relations.table, pd.DataFrame), "areas have a matrix"
    weights = factor.relations.table.to_numpy()
    places = factor.relations.places(factor.levels.labels, factor.name)
    alone = [factor.levels.texts[level] for level in np.flatnonzero(~weights[places].any(axis=1))]
    if alone:
        shown = ", ".join(map(repr, alone[:5])) + (", …" if len(alone) > 5 else "")
        yield Finding(
            "isolated-areas",
            f"{factor.name!r} has {len(alone)} area{'s' if len(alone) > 1 else ''} without neighbours: {shown}",
            f"What others are says nothing of them; give them neighbours in {factor.relations.name} if they have any",
            question=True,
        )


def _spread_unknown(spec: ModelSpec) -> bool:
    """Whether the family has a parameter of its own to learn: not one that an offset or a Fixed prior states."""
    stated = [
        name for name, layout in spec.layout.predictors.items() if not (layout.coefficients or layout.factors)
    ]
    fixed = [name for name in spec.plain_parameters if spec.prior(name, parameter=name).fixed is not None]
    return any(auxiliary.name not in (*stated, *fixed) for auxiliary in spec.family.own)


def _numeric(factor: Factor) -> bool:
    return len(factor.levels.columns) == 1 and factor.levels.values[0].dtype.kind in "iuf"


def _check_slopes(spec: ModelSpec, factor: Factor, facts: FactorFacts, parameter: str) -> Iterator[Finding]:
    layout = spec.layout.predictors[parameter]
    for place, effect in enumerate(factor.effects):
        if place == factor.intercept:
            continue
        if factor.intercept is not None and len(factor.levels) > 1 and not facts.varying[place]:
            yield Finding(
                "constant-slope",
                f"{effect!r} doesn't vary within any level of {factor.name!r}",
                "Its varying slope cannot be told from the varying intercept; leave it out of the group term",
            )
        mean, sd = float(facts.columns.means[place]), float(facts.columns.deviations[place])
        apart = factor.intercept is not None and not factor.columns.about_means[place]
        if apart and sd > 0 and abs(mean) > FAR_FROM_ZERO * sd:
            yield Finding(
                "far-from-zero",
                f"{effect!r} lies far from 0 (mean {mean:.6g}, sd {sd:.3g}), and its slopes are uncorrelated with "
                f"the intercepts of {factor.name!r} at 0, which no data are near",
                f"Let them correlate, ({effect} | {factor.name}), or centre it, "
                f"(center({effect}) || {factor.name})",
            )
    if (
        layout.intercept is None
        and is_main(parameter)
        and factor.intercept is not None
        and not layout.coefficients
    ):
        yield Finding(
            "no-population-mean",
            f"the effects of {factor.name!r} have no population-level mean",
            "They are drawn from a distribution around 0; add the intercept unless that is meant",
        )


def _check_amount(spec: ModelSpec, factor: Factor, facts: FactorFacts, parameter: str) -> Iterator[Finding]:
    """As many effects as rows, and slopes that few levels show."""
    n, levels = int(facts.counts.sum()), len(factor.levels)
    residual = is_main(parameter) and _spread_unknown(spec)
    # correlations tell effects from residuals
    told = not factor.apart or any(block.parameters for block in factor.structures)
    effects = int(factor.has.sum())
    if residual and effects > levels > 1 and n <= effects and not told:
        yield Finding(
            "more-effects-than-rows",
            f"{factor.name!r} has {effects:,} effects ({levels:,} levels, {effects // levels} each) for {n:,} rows",
            "Their standard deviations can hardly be distinguished from the residual's; let fewer effects vary",
        )
    for place, effect in enumerate(factor.effects):
        if factor.intercept is None or place == factor.intercept or levels < FEW_LEVELS:
            continue
        varying = int(facts.varying[place])
        if 0 < varying < FEW_LEVELS:
            yield Finding(
                "few-slopes",
                f"{effect!r} varies within only {varying} of the {levels:,} levels of {factor.name!r}",
                "Those few levels alone tell how slopes differ; look at a model without the varying slope too",
            )


def _check_correlations(factor: Factor, bound: BoundFactor) -> Iterator[Finding]:
    """Pairs of effects that no level has together."""
    for block in factor.blocks:
        for i, j in combinations(block, 2):
            apart = factor.intercept not in (i, j)
            if apart and not _together(bound, i, j, len(factor.levels)):
                yield Finding(
                    "correlation-unseen",
                    f"no level of {factor.name!r} shows both {factor.effects[i]!r} and {factor.effects[j]!r}",
                    f"Their correlation is known from its prior alone; write (… || {factor.name}) or one term each",
                )


def _together(bound: BoundFactor, i: int, j: int, levels: int) -> bool:
    """Whether the rows of any level tell two effects apart: their columns there are no multiples of each other."""
    products = np.zeros((3, levels))
    for each in bound.memberships:
        first, second = each.z[:, i], each.z[:, j]
        pairs = (first * first, second * second, first * second)
        products += [np.bincount(each.codes, weights=pair, minlength=levels) for pair in pairs]
    product, crossed = products[0] * products[1], products[2]
    return bool((product - crossed**2 > 1e-9 * product).any())


# -- pairs of factors -----------------------------------------------------------------------------------------------


def relation(inner: Codes, outer: Codes) -> str:
    """How two groupings of the same rows stand: "the same", "nested in", "contains", "crossed" or "partly crossed".

    Nested where each inner level has rows in one outer level only; crossed where every pair of levels has rows.

    Examples
    --------
    >>> relation(np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1]))
    'nested in'
    >>> relation(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    'crossed'
    """
    pairs = _cells(inner, outer)
    counts = len(np.unique(inner)), len(np.unique(outer))
    if len(pairs) == counts[0] == counts[1]:
        return "the same"
    if len(pairs) == counts[0]:
        return "nested in"
    if len(pairs) == counts[1]:
        return "contains"
    return "crossed" if len(pairs) == counts[0] * counts[1] else "partly crossed"


def _cells(inner: Codes, outer: Codes) -> Codes:
    """The combinations of two groupings that have rows, as one number each."""
    return np.unique(outer * (inner.max() + 1) + inner)


def structure(design: Design | Streamed) -> pd.DataFrame:
    """How each pair of grouping factors stands, by looking at the rows: factor, relation, other, pairs, possible.

    Columns pairs and possible count the combinations of levels that have rows, and all there could be. A factor of
    which rows have several levels stands to no other in such a way.
    """
    rows = []
    design = in_memory(design, "how two factors stand to each other")
    seen: dict[str, Codes] = {}
    for bound in design.predictors.values():
        seen |= {name: rows.codes for name, rows in bound.factors.items() if len(rows.memberships) == 1}
    for (first, inner), (second, outer) in combinations(seen.items(), 2):
        words = relation(inner, outer)
        if words == "contains":
            first, inner, second, outer, words = second, outer, first, inner, "nested in"
        pairs = len(_cells(inner, outer))
        rows.append((first, words, second, pairs, len(np.unique(inner)) * len(np.unique(outer))))
    return pd.DataFrame(rows, columns=["factor", "relation", "other", "pairs", "possible"])


def _check_pairs(factors: tuple[Factor, ...], bound: Mapping[str, BoundFactor]) -> Iterator[Finding]:
    for first, second in combinations([factor for factor in factors if factor.members is None], 2):
        if set(first.levels.columns) & set(second.levels.columns):
            if _are_aliases(first, second, bound):
                yield _aliased(first, second)
            continue
        a, b = bound[first.name].codes, bound[second.name].codes
        if _are_aliases(first, second, bound):
            yield _aliased(first, second)
        for inner, outer in ((first, second), (second, first)):
            even = relation(a, b) == "crossed"  # then a truly crossed design looks the same
            if _numbered_anew(inner, bound[inner.name].codes, bound[outer.name].codes, even):
                labels = [str(label) for label in inner.levels.labels[:3]]
                yield Finding(
                    "nested-labels",
                    f"the levels of {inner.name!r} ({', '.join(labels)}, …) seem to be numbered anew in every level of "
                    f"{outer.name!r}, and as written {inner.name} {labels[0]} is one and the same in all of them",
                    f"If they are different ones, write (1 | {outer.name}/{inner.name}); "
                    "if they are the same, all is well",
                    question=even,
                )


def _are_aliases(first: Factor, second: Factor, bound: Mapping[str, BoundFactor]) -> bool:
    """Whether two factors divide the rows alike, and an effect of the first has the columns of one of the second."""
    a, b = bound[first.name], bound[second.name]
    if relation(a.codes, b.codes) != "the same" or not _of_one_covariance(first, second):
        return False
    one, other = (
        each.z / np.maximum(np.linalg.norm(each.z, axis=0), np.finfo(float).tiny) for each in (a, b)
    )
    return bool((np.abs(one.T @ other) > 1 - SAME_COLUMN).any())


def _of_one_covariance(first: Factor, second: Factor) -> bool:
    """Whether levels of both are related in the same way: an animal's own effect is another than its breeding value."""
    one, other = first.relations, second.relations
    if one is None or other is None:
        return one is other
    return (one.name, one.kind) == (other.name, other.kind)


def _aliased(first: Factor, second: Factor) -> Finding:
    return Finding(
        "same-groups",
        f"{first.name!r} and {second.name!r} divide the rows in the same way",
        "Their standard deviations cannot be distinguished; leave one of them out",
    )


def _numbered_anew(factor: Factor, inner: Codes, outer: Codes, even: bool) -> bool:
    """Whether labels look like 1, 2, … or a, b, … begun again in every outer level.

    Each outer level has an initial piece of the numbering; and either pieces differ in length, or every combination
    has several rows, as pupils of a class have and answers to a test item have not.
    """
    labels = list(factor.levels.labels)
    if not 2 <= len(labels) <= SMALL_NUMBERING or not _is_numbering(labels):
        return False
    cells, counts = np.unique(outer * len(labels) + inner, return_counts=True)
    outers, inners = np.divmod(cells, len(labels))
    sizes = np.bincount(outers)
    last = np.zeros(len(sizes), dtype=np.int64)
    np.maximum.at(last, outers, inners)
    present = sizes > 0
    if not (last[present] + 1 == sizes[present]).all() or present.sum() <= len(labels) or sizes.max() < 2:
        return False
    return bool(counts.min() > 1) if even else bool((sizes[present] > 1).mean() > 0.5)


def _is_numbering(labels: list[object]) -> bool:
    """Whether labels are 1 … k, 0 … k − 1 or the first letters."""
    texts = [str(label).strip().lower() for label in labels]
    letters = [chr(ord("a") + place) for place in range(len(texts))]
    numbers = [str(place) for place in range(len(texts) + 1)]
    return texts in (letters, numbers[1:], numbers[:-1])


# -- the response -----------------------------------------------------------------------------------------------------
