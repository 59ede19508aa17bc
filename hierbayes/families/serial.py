"""Normal responses whose residuals are correlated within a series: ``ar(time, gr)``, ``cosy(gr)``, ``unstr(time, gr)``.

The correlation is one more parameter of the family. What is asked of single rows is that of their marginal
distribution where it has an answer without the others: the mean and its variance. A row's density and its response
depend on the other rows of its series, so that they are not asked of this family: given those a row is normal
(`Family.in_series`), and `answers.series` says with which mean and standard deviation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NoReturn

import numpy as np

from hierbayes.errors import UnsupportedError
from hierbayes.families.record import Family, Parameter
from hierbayes.formula.residuals import Residuals
from hierbayes.kinds import CORRELATION, CORRELATIONS, PROBABILITY
from hierbayes.priors import Prior
from hierbayes.structures import STRUCTURES, Structure


@dataclass(frozen=True, eq=False)
class Correlated:
    """A way in which the residuals of a series are correlated.

    Attributes
    ----------
    structure : Structure
        The structure of group effects whose correlations are the residuals'.
    parameter : callable
        ``parameter(labels)``: the family's parameter, given the labels of all times.
    words : str
        Of the equation: what residuals at times s and t are.
    most : int
        How many times it may have.
    numbered : bool
        Whether it knows times that training had not, because times are numbers to it; otherwise they are labels.
    """

    structure: Structure
    parameter: Callable[[Sequence[str]], Parameter]
    words: str
    most: int = 200
    numbered: bool = True


def _ar(labels: Sequence[str]) -> Parameter:
    return Parameter(
        "ar",
        CORRELATION,
        ("identity",),
        "correlation of residuals one time apart",
        prior=lambda spread: Prior("Uniform", lower=-1.0, upper=1.0),
        typical=lambda spread: 0.0,
        formula=False,
    )


def _cosy(labels: Sequence[str]) -> Parameter:
    return Parameter(
        "cosy",
        PROBABILITY,
        ("identity",),
        "correlation of any two residuals of a series",
        prior=lambda spread: Prior("Uniform", lower=0.0, upper=1.0),
        typical=lambda spread: 0.5,
        formula=False,
    )


def _cortime(labels: Sequence[str]) -> Parameter:
    return Parameter(
        "cortime",
        CORRELATIONS,
        ("identity",),
        "correlations of residuals at each pair of times",
        prior=lambda spread: Prior("LKJ", eta=1.0),
        typical=lambda size: np.zeros(size * (size - 1) // 2),
        formula=False,
        size=len(labels),
        labels=tuple(f"{one}, {other}" for one, other in combinations(labels, 2)),
    )


KINDS = {
    "ar": Correlated(STRUCTURES["ar1"], _ar, "correlated ar^|s − t|"),
    "cosy": Correlated(STRUCTURES["homcs"], _cosy, "correlated cosy"),
    # 40 times have 780 correlations, each a coordinate
    "unstr": Correlated(STRUCTURES["us"], _cortime, "correlated cortime[s, t]", most=40, numbered=False),
}


def with_series(base: Family, term: Residuals, labels: Sequence[str]) -> Family:
    """A normal family whose residuals are correlated within series, which have times so called."""
    kind = KINDS[term.kind]
    mean, variance = base.mean, base.variance
    assert mean is not None, "a normal response has a mean"
    assert variance is not None, "and a variance"

    def refuse(*given: Any, **parameters: Any) -> NoReturn:
        raise UnsupportedError(
            f"residuals are correlated, by {term}: a row alone has no density and no response apart from its series, "
            "and this takes rows one by one"
        )

    return replace(
        base,
        parameters=(*base.parameters, kind.parameter(labels)),
        row=None,
        graph=refuse,
        simulate=refuse,
        mean=lambda **given: mean(mu=given["mu"], sigma=given["sigma"]),
        variance=lambda **given: variance(mu=given["mu"], sigma=given["sigma"]),
        cdf=None,
        tails=None,
        information=None,
        normal=False,
        takes_se=False,
        summed=False,
        equation=f"{base.equation}, residuals {kind.words}{f' within {term.group}' if term.group else ''}",
        in_series=base,
        variant=term.kind,
    )


def log_density(pt: Any, structure: Structure, rows: Any, value: Any, z: Any) -> Any:
    """Log density of standardised residuals (n,) in tensors.

    Series with the same times have the same correlations: R there, and independent rows for the times that they lack,
    whose residuals are 0.

    Parameters
    ----------
    pt : module
        Of tensors.
    structure : Structure
    rows : data.series.SeriesRows
    value : tensor
        Of the family's parameter.
    """
    codes, places, times = rows.codes, rows.places, rows.times
    observed = np.zeros((codes.max() + 1, len(times)), np.bool_)
    observed[codes, places] = True
    patterns, pattern_of = np.unique(observed, axis=0, return_inverse=True)
    if structure.matrix:
        i, j = np.triu_indices(len(times), 1)
        value = pt.eye(len(times))[i, j].set(value)[j, i].set(value)
    cor = structure.correlation(pt, len(times), times, value)
    both = patterns[:, :, None] & patterns[:, None, :]
    roots = pt.linalg.cholesky(pt.where(both, cor, np.eye(len(times))))
    whole, total = pt.zeros(observed.shape)[codes, places].set(z), -0.5 * len(codes) * np.log(2 * np.pi)
    for k in range(len(patterns)):
        here = np.flatnonzero(pattern_of == k)
        white = pt.linalg.solve_triangular(roots[k], whole[here].T, lower=True)
        total = total - 0.5 * pt.sqr(white).sum() - len(here) * pt.log(pt.diagonal(roots[k])).sum()
    return total
