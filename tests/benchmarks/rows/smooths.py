"""Smooth terms: few rows, chicks with slopes, a million rows, four smooths of a probability."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.contenders import hierbayes
from tests.benchmarks.measure import Row, effective, seconds

HERE = Path(__file__).parents[2] / "smooths"
MANY, GROUPS, BINARY = 1_000_000, 1000, 50_000


def chicks() -> pd.DataFrame:
    """Weights of chicks on four diets (Crowder & Hand 1990, example 5.3; R's ChickWeight)."""
    return pd.read_csv(HERE / "chick_weight.csv", dtype={"Chick": str, "Diet": str})


def many() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    g, x, z = rng.integers(0, GROUPS, MANY), rng.random(MANY), rng.random(MANY)
    mean = np.sin(6 * x) + 0.5 * np.cos(9 * z) + 0.4 * rng.normal(size=GROUPS)[g]
    group = pd.Categorical.from_codes(g, [f"g{level:03}" for level in range(GROUPS)])
    return pd.DataFrame({"y": mean + rng.normal(size=MANY), "x": x, "z": z, "g": group})


def binary() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    x = rng.random((BINARY, 4))
    eta = np.sin(6 * x[:, 0]) + 2 * (x[:, 1] - 0.5) ** 2 + 0.3 * np.cos(9 * x[:, 2]) - 0.5
    columns = {f"x{j + 1}": x[:, j] for j in range(4)}
    return pd.DataFrame({"y": (rng.random(BINARY) < 1 / (1 + np.exp(-eta))).astype(int), **columns})


GROWTH = "weight ~ Diet + s(Time, k=8) + (Time | Chick)"
FOUR = "y ~ " + " + ".join(f"s(x{j})" for j in range(1, 5))
ROWS = (
    Row(
        "mcycle",
        "`accel ~ s(times, k=15)`, gaussian, 133 rows, 4 × 1000 draws",
        lambda: pd.read_csv(HERE / "mcycle.csv"),
        (hierbayes("accel ~ s(times, k=15)"),),
        (seconds(0.5), effective(1000)),
        runs=2,
    ),
    Row(
        "chicks",
        f"`{GROWTH}`, gaussian, 578 weights of 50 chicks, 4 × 1000 draws",
        chicks,
        (hierbayes(GROWTH),),
        (seconds(1.5), effective(1000)),
        runs=2,
    ),
    Row(
        "million-smooth",
        f"simulated: `y ~ s(x) + s(z) + (1 | g)`, gaussian, {MANY:,} rows, {GROUPS} groups, 4 × 1000 draws",
        many,
        (hierbayes("y ~ s(x) + s(z) + (1 | g)", repeats=0),),
        (seconds(10), effective(1000)),
        runs=1,
    ),
    Row(
        "four-smooths",
        f"simulated: `{FOUR}`, bernoulli, {BINARY:,} rows, 4 × 1000 draws",
        binary,
        (hierbayes(FOUR, "bernoulli", repeats=0),),
        (seconds(20), effective(1000)),
        runs=1,
    ),
)
