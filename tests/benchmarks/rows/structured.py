"""Effects that are related: two responses, relatives, areas, times."""

from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes
from tests.benchmarks.measure import Row, effective, seconds

PUPILS, SCHOOLS = 1400, 40
ANIMALS, FOUNDERS = 1000, 150
SIDE, AREAS = 55, 3000
SUBJECTS, TIMES = 300, 20


def outcomes() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    school, x = rng.integers(0, SCHOOLS, PUPILS), rng.normal(size=PUPILS)
    effects = rng.multivariate_normal([0, 0], [[0.25, 0.15], [0.15, 0.36]], SCHOOLS)[school]
    left = rng.multivariate_normal([0, 0], [[1.0, 0.4], [0.4, 1.0]], PUPILS)
    y = np.array([0.5, -0.2]) + np.outer(x, [0.6, 0.3]) + effects + left
    return pd.DataFrame({"maths": y[:, 0], "reading": y[:, 1], "x": x, "school": _labels(school, "s")})


def parents() -> np.ndarray:
    """Of each animal the two parents, earlier animals; -1 of founders: (animals, 2)."""
    rng = np.random.default_rng(2)
    found = np.full((ANIMALS, 2), -1)
    for animal in range(FOUNDERS, ANIMALS):
        found[animal] = rng.choice(animal, 2, replace=False)
    return found


def relationship() -> np.ndarray:
    """The additive relationship matrix, by the tabular method (Henderson 1976)."""
    A = np.eye(ANIMALS)
    for animal, (sire, dam) in enumerate(parents()):
        if sire >= 0:
            A[animal, :animal] = A[:animal, animal] = 0.5 * (A[sire, :animal] + A[dam, :animal])
            A[animal, animal] = 1 + 0.5 * A[sire, dam]
    return A


def animals() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    value = np.linalg.cholesky(relationship()) @ rng.normal(size=ANIMALS)
    male = rng.integers(0, 2, ANIMALS)
    weight = 20 + 1.5 * male + 1.2 * value + 1.5 * rng.normal(size=ANIMALS)
    return pd.DataFrame({"weight": weight, "male": male, "animal": _labels(np.arange(ANIMALS), "a")})


def neighbours() -> pd.DataFrame:
    """Areas of a grid that share a side."""
    cell = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    pairs = np.concatenate(
        [
            np.column_stack([cell[:, 1:].ravel(), cell[:, :-1].ravel()]),
            np.column_stack([cell[1:].ravel(), cell[:-1].ravel()]),
        ]
    )
    pairs = pairs[(pairs < AREAS).all(axis=1)]
    return pd.DataFrame({"area": _labels(pairs[:, 0], "a"), "neighbour": _labels(pairs[:, 1], "a")})


def areas() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    place = np.column_stack(np.divmod(np.arange(AREAS), SIDE)) / SIDE
    risk = 0.5 * np.sin(5 * place[:, 0]) * np.cos(4 * place[:, 1]) + 0.2 * rng.normal(size=AREAS)
    expected, x = rng.gamma(5.0, 2.0, AREAS), rng.normal(size=AREAS)
    cases = rng.poisson(expected * np.exp(0.2 * x + risk))
    return pd.DataFrame(
        {"cases": cases, "expected": expected, "x": x, "area": _labels(np.arange(AREAS), "a")}
    )


def visits() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    subject, time = (each.ravel() for each in np.indices((SUBJECTS, TIMES)))
    effects = np.empty((SUBJECTS, TIMES))
    effects[:, 0] = rng.normal(size=SUBJECTS)
    for t in range(1, TIMES):
        effects[:, t] = 0.7 * effects[:, t - 1] + np.sqrt(1 - 0.7**2) * rng.normal(size=SUBJECTS)
    x = rng.normal(size=SUBJECTS * TIMES)
    y = 1 + 0.5 * x + effects.ravel() + 0.5 * rng.normal(size=SUBJECTS * TIMES)
    return pd.DataFrame({"y": y, "x": x, "time": time, "subject": _labels(subject, "s")})


def matrices() -> dict[str, Any]:
    """What the models' ``data2`` holds."""
    labels = _labels(np.arange(ANIMALS), "a").astype(str)
    return {"A": pd.DataFrame(relationship(), index=labels, columns=labels), "W": neighbours()}


def _labels(codes: np.ndarray, letter: str) -> pd.Categorical:
    return pd.Categorical([f"{letter}{code:04}" for code in codes])


PAIR = ["maths ~ x + (1 | p | school)", "reading ~ x + (1 | p | school)"]
RELATED = "weight ~ male + (1 | gr(animal, cov=A))"
MAPPED = 'cases ~ x + offset(log(expected)) + (1 | gr(area, car=W, type="bym2"))'
SERIES = "y ~ x + ar1(0 + time | subject)"
ROWS = (
    Row(
        "outcomes",
        f"simulated: `{'`, `'.join(PAIR)}`, rescor=True, {PUPILS:,} pupils in {SCHOOLS} schools, 4 × 1000 draws",
        outcomes,
        (hierbayes(PAIR, ["gaussian", "gaussian"], model={"rescor": True}),),
        (seconds(2), effective(1000)),
        runs=2,
    ),
    Row(
        "relatives",
        f"simulated: `{RELATED}`, gaussian, {ANIMALS:,} animals of a pedigree, a weight each, 4 × 1000 draws",
        animals,
        (hierbayes(RELATED, repeats=1, matrices=__name__),),
        (seconds(20), effective(1000)),
        runs=1,
    ),
    Row(
        "areas",
        f"simulated: `{MAPPED}`, poisson, {AREAS:,} areas of a grid, 4 × 1000 draws",
        areas,
        (hierbayes(MAPPED, "poisson", repeats=0, matrices=__name__),),
        (seconds(60), effective(1000)),
        runs=1,
    ),
    Row(
        "visits",
        f"simulated: `{SERIES}`, gaussian, {SUBJECTS} subjects × {TIMES} times, 4 × 1000 draws",
        visits,
        (hierbayes(SERIES, repeats=1),),
        (seconds(5), effective(1000)),
        runs=2,
    ),
)
