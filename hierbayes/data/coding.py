"""Which factors of which terms are coded by contrasts and which by a column a level: the columns of full rank.

A term of categorical factors F and numeric ones N stands for all products of N's columns with indicators of F's cells.
The part of that which earlier terms with the same N already have is left out of it, as in R and Patsy: what is new
are the subsets S ⊆ F, each standing for contrasts of all factors in S, that none of those terms contains. Two new
subsets that differ in one factor are joined: contrasts of that factor and the constant are together a column a level.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class CodedBlock[F: Hashable]:
    """Some columns of a term: a product of its numeric factors and some of its categorical ones.

    Attributes
    ----------
    term : int
        The place of the term.
    factors : tuple
        The factors whose product it is, in the order of the columns' names.
    full : frozenset
        The categorical factors with a column for each level; the others have contrasts.
    """

    term: int
    factors: tuple[F, ...]
    full: frozenset[F]


def code_terms[F: Hashable](
    terms: Sequence[tuple[F, ...]], categorical: frozenset[F]
) -> tuple[CodedBlock[F], ...]:
    """The blocks of columns that span all terms and are of full rank wherever every cell has rows.

    Parameters
    ----------
    terms : sequence of tuple
        The factors of each term in order of appearance; none for the intercept.
    categorical : frozenset
        Those that are categories.

    Examples
    --------
    >>> for block in code_terms([(), ("a", "b")], frozenset("ab")):
    ...     print(block.term, block.factors, sorted(block.full))
    0 () []
    1 ('b',) []
    1 ('a', 'b') ['b']
    """
    numeric = [tuple(factor for factor in factors if factor not in categorical) for factors in terms]
    alone = {frozenset(factors) for factors in terms if categorical.isdisjoint(factors)}
    seen: dict[frozenset[F], set[frozenset[F]]] = {numbers: {frozenset()} for numbers in alone}
    blocks: list[CodedBlock[F]] = []
    for place in _margins_first(terms, categorical):
        factors = terms[place]
        categories = tuple(factor for factor in factors if factor in categorical)
        known = seen.setdefault(frozenset(numeric[place]), set())
        new = (
            [subset for subset in _subsets(categories) if subset not in known]
            if categories
            else [frozenset()]
        )
        known.update(new)
        blocks += [
            CodedBlock(place, _ordered(factors, categories, numeric[place], contrasts | full), full)
            for contrasts, full in _joined(new)
        ]
    return tuple(blocks)


def _margins_first[F: Hashable](terms: Sequence[tuple[F, ...]], categorical: frozenset[F]) -> list[int]:
    """Places in order of appearance, but those with fewer of an earlier term's categories, else the same, before it."""
    order: list[int] = []
    numeric = [frozenset(factors) - categorical for factors in terms]
    for place, factors in enumerate(terms):
        margins = [
            other
            for other in range(place + 1, len(terms))
            if numeric[other] == numeric[place] and numeric[other] < set(terms[other]) < set(factors)
        ]
        for other in [*sorted(margins, key=lambda j: len(terms[j])), place]:
            if other not in order:
                order.append(other)
    return order


def _subsets[F: Hashable](factors: tuple[F, ...]) -> Iterable[frozenset[F]]:
    """All subsets, smaller ones first."""
    for size in range(len(factors) + 1):
        yield from map(frozenset, combinations(factors, size))


def _joined[F: Hashable](
    subsets: list[frozenset[F]],
) -> list[tuple[frozenset[F], frozenset[F]]]:
    """Products of contrasts joined to products with whole factors: pairs (factors with contrasts, whole factors)."""
    products: list[tuple[frozenset[F], frozenset[F]]] = [(subset, frozenset()) for subset in subsets]
    while pair := _joinable(products):
        short, long = pair
        contrasts, full = products[short]
        (added,) = products[long][0] - contrasts
        products[long] = (contrasts, full | {added})
        del products[short]
    return products


def _joinable[F: Hashable](
    products: list[tuple[frozenset[F], frozenset[F]]],
) -> tuple[int, int] | None:
    """Places of two products that differ by contrasts of one factor."""
    places = {product: place for place, product in enumerate(products)}
    for short, (contrasts, full) in enumerate(products):
        longer = [
            places[other]
            for other in products[short + 1 :]
            if other[1] == full and len(other[0]) == len(contrasts) + 1 and contrasts < other[0]
        ]
        if longer:
            return short, min(longer)
    return None


def _ordered[F: Hashable](
    factors: tuple[F, ...], categories: tuple[F, ...], numeric: tuple[F, ...], kept: frozenset[F]
) -> tuple[F, ...]:
    """The factors of one block: as the term has them where all are there, else numeric ones last."""
    if len(kept) == len(categories):
        return factors
    return (*(factor for factor in categories if factor in kept), *numeric)


# -- R's rule ---------------------------------------------------------------------------------------------------


def short_in_r[F: Hashable](terms: Sequence[tuple[F, ...]], categorical: frozenset[F]) -> int | None:
    """Place of a term of which R's coding, and so lme4's, leaves something out; None where it spans all of them.

    R codes a factor by contrasts where some term before has the rest of its term's factors among its own, be that
    numeric factors that multiply them (Chambers and Hastie 1992, Statistical Models in S, page 38; `TermCode` in R's
    model.c): ``0 + x:s + s:t`` has contrasts of t there, as if s stood alone, and loses a cell for each s.

    Examples
    --------
    >>> short_in_r([("x", "s"), ("s", "t")], frozenset("st"))
    1
    >>> short_in_r([("s", "t"), ("x", "s")], frozenset("st")) is None
    True
    """
    order = sorted(range(len(terms)), key=lambda place: len(terms[place]))
    spanned: dict[frozenset[F], set[frozenset[F]]] = {}
    intercept = () in terms
    for position, place in enumerate(order):
        factors = terms[place]
        before = [set(terms[other]) for other in order[:position] if terms[other]]
        full: set[F] = set()
        for factor in categorical.intersection(factors):
            rest = set(factors) - {factor}
            if rest and not any(rest <= other for other in before):
                full.add(factor)
            elif not rest and not intercept:
                full.add(factor)
                intercept = True
        own = tuple(factor for factor in factors if factor in categorical)
        if own and not intercept:  # the first factor of all, where there is no intercept
            full.add(own[0])
            intercept = True
        spanned.setdefault(frozenset(factors) - categorical, set()).update(
            subset | (frozenset(own) - full)
            for subset in _subsets(tuple(factor for factor in own if factor in full))
        )
    for place in order:
        categories = tuple(factor for factor in terms[place] if factor in categorical)
        if any(
            subset not in spanned[frozenset(terms[place]) - categorical] for subset in _subsets(categories)
        ):
            return place
    return None
