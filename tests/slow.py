"""Parameters of a test, some of which take long."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def with_slow(values: Iterable[Any], slow: Collection[Any]) -> list[Any]:
    """All of them, for `pytest.mark.parametrize`; those that take long carry the mark ``slow``."""
    return [pytest.param(value, marks=[pytest.mark.slow] * (value in slow)) for value in values]
