"""Fits that many tests share."""

import pytest

import hierbayes as hb

SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="session")
def sleep_fit() -> hb.Fit:
    """The sleep study's correlated slopes, sampled by NUTS on the graph."""
    return hb.fit(SLEEP, hb.load_dataset("sleepstudy"), seed=1, strategy="nuts", progress=False)
