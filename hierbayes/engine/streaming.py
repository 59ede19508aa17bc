"""Gaussian models whose rows stay in their source: two passes, and then the cross-products stand for the rows.

The first pass scans the rows (`data.scan`), the second sums up means, spreads and cross-products. These are taken
of provisional residuals (`data.margins`) about a provisional point, both learnt from a sample, and moved to the exact
ones afterwards; as they are near each other, no digits are lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.data.design import MEAN, Design, Layout, columns_of
from hierbayes.data.facts import FactorFacts, factor_facts
from hierbayes.data.learning import (
    Measures,
    draft,
    learn_columns,
    measure,
    report_gaps,
    settle,
    settle_types,
)
from hierbayes.data.scan import Scan, keys_of, scan, with_transforms
from hierbayes.data.sources import Progress, Source, join
from hierbayes.data.spread import Spread, spread_of
from hierbayes.data.tables import Chunk, check_columns, used_categories
from hierbayes.engine.collapsed import takes_prior
from hierbayes.engine.core.problem import Factor, PriorCode
from hierbayes.engine.gaussian.moments import Moments, Reference, least_squares, moments, reference
from hierbayes.engine.gaussian.problem import GaussianProblem
from hierbayes.engine.streamed import Streamed
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.families import Family
from hierbayes.formula import Formula
from hierbayes.priors import PriorSet

Array = NDArray[np.float64]
KINDS = ("Intercept", "b", "sd", "cor", "sigma")
PIECE = 1 << 24  # numbers in a dense matrix of some rows, 128 MB


@dataclass(frozen=True, eq=False)
class Sums:
    """What the second pass adds up."""

    count: int
    response: Spread
    measures: Measures
    moments: Moments
    facts: tuple[FactorFacts, ...]

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.count + other.count,
            self.response + other.response,
            self.measures + other.measures,
            self.moments + other.moments,
            tuple(mine + theirs for mine, theirs in zip(self.facts, other.facts, strict=True)),
        )


def stream(
    formulas: Mapping[str, Formula],
    source: Source,
    family: Family,
    link: str,
    priors: PriorSet,
    progress: bool = True,
) -> Streamed:
    """Learn the layout and the cross-products of a Gaussian model from a source, in two passes.

    Parameters
    ----------
    formulas : mapping of str to Formula
    source : Source
    family : Family
    link : str
    priors : PriorSet
        The user's: with some of them the coefficients cannot be integrated out.
    progress : bool
        Whether to tell how far a long pass is.

    Raises
    ------
    UnsupportedError
        Before any row is read, where the model needs them all at once.
    """
    _check_scope(formulas, source, family, link, priors)
    keys = keys_of(formulas)
    columns = columns_of(formulas)
    check_columns(source.names, columns)
    texts = tuple(dict.fromkeys(text for formula in formulas.values() for text in formula.encoded_texts))
    first = Progress("Reading rows, pass 1 of 2", None, progress)
    found = source.total(columns, partial(scan, keys, texts), first)
    if found is None:
        raise DataError("the data have no rows; check how they were read or filtered")
    layout = _draft(formulas, found, family, link)
    layout, about = _provisional(layout, found.sample)
    second = Progress("Reading rows, pass 2 of 2", found.rows, progress)
    sums = source.total(columns, partial(sum_up, layout, about), second)
    if sums is None or sums.count != found.complete:
        raise DataError(
            f"the rows of {source.words} changed between two passes over them; read them when they rest"
        )
    return _settle(layout, sums, source)


def _check_scope(
    formulas: Mapping[str, Formula], source: Source, family: Family, link: str, priors: PriorSet
) -> None:
    """Refuse, before any row is read, a model whose coefficients cannot be integrated out."""
    if family.log_response:
        _refuse(
            f"rows of {family.name} are read in memory; write log({formulas[MEAN].response}) with family 'gaussian'",
            source,
        )
    if not family.is_normal(link):
        _refuse(f"the response is {family.name} with link {link}", source)
    if any(formula.nonlinear for formula in formulas.values()):
        _refuse("nl(…) is no sum of terms", source)
    if formulas[MEAN].residuals:
        _refuse(f"{formulas[MEAN].residuals} correlates residuals", source)
    if formulas[MEAN].imputed_columns:
        _refuse("missing values of the response are drawn", source)
    if formulas[MEAN].stated:
        _refuse("its response has additions that rows state", source)
    if len(formulas) > 1:
        _refuse("sigma has a formula of its own", source)
    for term in (term for formula in formulas.values() for term in formula.groups):
        if not term.grouping.plain:
            _refuse(f"{term} says how levels stand to each other", source)
    for address, prior in priors.entries:
        kind = address.partition("[")[0]
        if kind in KINDS and not takes_prior(kind, prior):
            _refuse(f"the prior of {address} is {prior.name}", source)


def _refuse(obstacle: str, source: Source) -> None:
    raise UnsupportedError(
        f"only models whose coefficients can be integrated out (strategy 'collapsed') are fitted to rows that stay "
        f"in {source.words}, and this one's cannot: {obstacle}. Give the rows, or a sample of them, in memory: "
        f"{source.collect}"
    )


def _draft(formulas: Mapping[str, Formula], found: Scan, family: Family, link: str) -> Layout:
    report_gaps(found.rows, found.complete, found.missing)
    frame = settle_types(formulas, found.frame, found.missing)
    return with_transforms(draft(formulas, frame, family, link), found.transforms)


def _provisional(layout: Layout, sample: pd.DataFrame) -> tuple[Layout, Reference]:
    """Means and a least-squares fit that are near those of all rows: the point that moments are summed about."""
    design = layout.bind(used_categories(sample))
    predictor = learn_columns(layout.main, *_rows(layout, design), None)
    layout = replace(layout, predictors=MappingProxyType({MEAN: predictor}))
    return layout, reference(_problem(layout, design))


def _rows(layout: Layout, design: Design) -> tuple[Array, list[Array], Array]:
    bound = design.main
    return bound.x, [bound.factors[factor.name].z for factor in layout.main.factors], bound.offset


def sum_up(layout: Layout, about: Reference, chunk: Chunk) -> Sums | None:
    """Sum up one part of a table; None where it has no complete row."""
    predictor = layout.main
    step = max(1, PIECE // (1 + about.b.size + sum(len(factor.effects) for factor in predictor.factors)))
    total: Sums | None = None
    frame = used_categories(chunk.frame)
    for start in range(0, len(frame), step):
        design = layout.bind(frame.iloc[start : start + step])
        assert design.y is not None
        bound = design.main.factors
        part = Sums(
            len(design),
            spread_of(design.y[:, None], design.weights),
            measure(predictor, *_rows(layout, design), design.weights),
            moments(_problem(layout, design), about),
            tuple(factor_facts(bound[factor.name], len(factor.levels)) for factor in predictor.factors),
        )
        total = join(total, part)
    return total


def _settle(layout: Layout, sums: Sums, source: Source) -> Streamed:
    if sums.response.constant[0]:
        raise DataError(
            f"the response {layout.response.name!r} is {sums.response.low[0]:g} in every row; there is nothing to "
            "model: check the column"
        )
    before = layout.main
    predictor = settle(before, sums.measures)
    change = before.columns.inner.inverse @ predictor.columns.residuals
    effects = tuple(
        old.columns.inner.inverse @ new.columns.residuals
        for old, new in zip(before.factors, predictor.factors, strict=True)
    )
    exact = sums.moments.about(np.linalg.solve(change, sums.moments.reference.b), change, effects)
    fitted = exact.about(exact.reference.b + least_squares(exact.dense))
    location, scale = float(sums.response.means[0]), float(sums.response.scales[0])
    response = replace(layout.response, location=location, scale=scale, spread=scale)
    settled = replace(layout, predictors=MappingProxyType({MEAN: predictor}), response=response)
    facts = {factor.name: fact for factor, fact in zip(predictor.factors, sums.facts, strict=True)}
    return Streamed(source, settled, fitted, facts, sums.count)


def _problem(layout: Layout, design: Design) -> GaussianProblem:
    """Rows as the engine reads them, with flat priors: cross-products know nothing of priors."""
    predictor, bound = layout.main, design.main
    assert design.y is not None
    p, flat = len(predictor.coefficients), (float(PriorCode.HALF_FLAT), 0.0, 0.0, 0.0)
    factors = [
        Factor(
            codes=bound.factors[factor.name].codes,
            Z=factor.map.inner_columns(bound.factors[factor.name].z),
            n_levels=len(factor.levels),
            blocks=tuple((place,) for place in range(len(factor.effects))),
            sd_priors=np.array([flat] * len(factor.effects)),
            eta=(1.0,) * len(factor.effects),
        )
        for factor in predictor.factors
    ]
    return GaussianProblem(
        y=design.y,
        X=predictor.map.inner_columns(bound.x),
        factors=factors,
        prior_mean=np.zeros(p),
        prior_precision=np.zeros(p),
        sigma_prior=np.array(flat),
        centre=np.zeros(p),
        offset=bound.offset if predictor.offsets else None,
        weights=design.weights,
    )
