"""Several responses, and effects that are correlated across predictors, as one question to the engine.

Each response is a `Problem` of its own: its rows, its family, its linear predictors. They stand one below the other,
and what they share are the levels' effects of `Tie`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hierbayes.engine.core.problem import Block, Factor, Field, Floats
from hierbayes.engine.whitening.problem import Own, Predictor, Problem
from hierbayes.structures.registry import DIAGONAL

WIDE = (
    40  # effects of one level from which on a factorization of their precision in each evaluation is too slow
)
FEW = 100  # effects of all levels, beside a field
Place = tuple[int, int]  # a predictor among all responses', and one of its factors


@dataclass(frozen=True)
class Tie:
    """One grouping factor's effects that are correlated across predictors.

    Attributes
    ----------
    members : tuple of (int, int, tuple of int)
        Predictor among all responses', factor among that predictor's, and the tied ones of its effects.
    structure : str
        Of all tied effects together, in the members' order.
    shapes : array, shape (P, 8)
        As in `Block`.
    """

    members: tuple[tuple[int, int, tuple[int, ...]], ...]
    structure: str
    shapes: Floats


@dataclass(frozen=True)
class Stacked:
    """Several responses with what they share; of one response, what its parameters share.

    Attributes
    ----------
    problems : tuple of Problem
    ties : tuple of Tie
        Those of one factor have the same members' factors.
    """

    problems: tuple[Problem, ...]
    ties: tuple[Tie, ...]

    @property
    def predictors(self) -> tuple[Predictor, ...]:
        """Of all responses, in their order; each over its own response's rows."""
        return tuple(predictor for problem in self.problems for predictor in problem.predictors)

    @property
    def own(self) -> tuple[Own, ...]:
        """The numbers of the model's own, of all responses."""
        return tuple(own for problem in self.problems for own in problem.own)

    @property
    def constant(self) -> float:
        """The rows' part of the log density that depends on no parameter."""
        return sum(problem.constant for problem in self.problems)


type Question = Problem | Stacked


def problems_of(question: Question) -> tuple[Problem, ...]:
    """Each response's own problem."""
    return question.problems if isinstance(question, Stacked) else (question,)


def response_of(question: Question) -> list[int]:
    """The response of each predictor."""
    return [number for number, problem in enumerate(problems_of(question)) for _ in problem.predictors]


def ties_of(question: Question, places: Sequence[Place] | None = None) -> list[Tie]:
    """All ties, or those of the factor at some places."""
    ties = question.ties if isinstance(question, Stacked) else ()
    return [tie for tie in ties if places is None or tie.members[0][:2] in places]


def tied_effects(ties: Sequence[Tie]) -> set[tuple[int, int, int]]:
    """Predictor, factor and effect of all that is tied."""
    return {(j, k, effect) for tie in ties for j, k, effects in tie.members for effect in effects}


def joint_factors(question: Question) -> list[tuple[tuple[Place, ...], Factor]]:
    """All grouping factors with their places, those with the most coefficients first and wide ones last.

    Fields of related levels come between large factors, whose levels they know each by itself, and small ones, of
    which each level may know all of a field's. Tied ones are one. The columns of a tied factor are zero in rows of
    other responses.
    """
    ties = ties_of(question)
    together: dict[Place, list[Place]] = {}
    for tie in ties:
        places = [(j, k) for j, k, _ in tie.members]
        joined = list(dict.fromkeys(other for place in places for other in together.get(place, [place])))
        for place in joined:
            together[place] = joined
    found: list[tuple[tuple[Place, ...], Factor]] = []
    seen: set[Place] = set()
    for j, predictor in enumerate(question.predictors):
        for k in range(len(predictor.factors)):
            if (j, k) not in seen:
                own = tuple(sorted(together.get((j, k), [(j, k)])))
                seen |= set(own)
                found.append((own, _over_all_rows(question, own, ties_of(question, own))))
    return sorted(found, key=lambda each: (_rank(each[1]), -each[1].n_levels * each[1].q))


def fields_of(question: Question) -> list[Field]:
    """The fields of related levels, in the kernel's order."""
    return [factor.related for _, factor in joint_factors(question) if factor.related is not None]


def _rank(factor: Factor) -> int:
    if factor.related is not None:
        return 1
    if is_wide(factor):
        return 3
    return 0 if factor.n_levels * factor.q > FEW else 2


def is_wide(factor: Factor) -> bool:
    """Whether a factor has many independent effects of one level."""
    spectral = [block.effects for block in factor.structured if block.structure in DIAGONAL]
    diagonal = all(len(block) == 1 or block in spectral for block in factor.blocks)
    return factor.n_levels == 1 and factor.q >= WIDE and diagonal


def _over_all_rows(question: Question, places: Sequence[Place], ties: Sequence[Tie]) -> Factor:
    """The factor at some places, tied where there are several, over the rows of all responses."""
    problems, responses = problems_of(question), response_of(question)
    sizes = [len(problem.y) for problem in problems]
    starts = np.cumsum([0, *sizes])
    parts = [question.predictors[j].factors[k] for j, k in places]
    if len(problems) == 1 and len(parts) == 1:
        return parts[0]
    if len(parts) == 1:
        return _over_other_rows(parts[0], slice(*starts[responses[places[0][0]] :][:2]), int(starts[-1]))
    codes = np.zeros(starts[-1], np.int64)
    columns = np.zeros((starts[-1], sum(part.q for part in parts)))
    at = 0
    for (j, _), part in zip(places, parts, strict=True):
        rows = slice(starts[responses[j]], starts[responses[j] + 1])
        codes[rows] = part.codes
        columns[rows, at : at + part.q] = part.Z
        at += part.q
    return Factor(
        codes=codes,
        Z=columns,
        n_levels=max(part.n_levels for part in parts),
        sd_priors=np.vstack([part.sd_priors for part in parts]),
        structured=tuple(_blocks(places, parts, ties)),
    )


def _over_other_rows(factor: Factor, rows: slice, n: int) -> Factor:
    """A factor of some of n rows, over all of them: its columns are zero in others."""
    memberships = []
    for own, Z in factor.memberships:
        codes, columns = np.zeros(n, np.int64), np.zeros((n, factor.q))
        codes[rows], columns[rows] = own, Z
        memberships.append((codes, columns))
    return replace(factor, codes=memberships[0][0], Z=memberships[0][1], more=tuple(memberships[1:]))


def _blocks(places: Sequence[Place], parts: Sequence[Factor], ties: Sequence[Tie]) -> list[Block]:
    """The covariance structures of tied factors: those of the ties, and each one's own of the effects left over."""
    from hierbayes.engine.core.hyperparameters import blocks_of  # compiled

    effect = dict(zip(places, np.cumsum([0, *(part.q for part in parts)])[:-1].tolist(), strict=True))
    scale = dict(zip(places, np.cumsum([0, *(len(p.sd_priors) for p in parts)])[:-1].tolist(), strict=True))
    scale_of = {place: part.scale_of for place, part in zip(places, parts, strict=True)}
    found, tied = [], tied_effects(ties)
    for tie in ties:
        own = sorted(((j, k), e) for j, k, e in tied_effects([tie]))
        effects = tuple(effect[place] + e for place, e in own)
        scales = tuple(int(scale[place] + scale_of[place][e]) for place, e in own)
        found.append(Block(tie.structure, effects, scales, tie.shapes))
    for place, part in zip(places, parts, strict=True):
        for block in blocks_of(part):
            if not any((*place, e) in tied for e in block.effects):
                effects = tuple(effect[place] + e for e in block.effects)
                scales = tuple(scale[place] + s for s in block.scales)
                found.append(replace(block, effects=effects, scales=scales))
    return found
