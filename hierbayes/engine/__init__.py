"""Strategies: how the posterior of a model is drawn. Each has `name`, `supports` and `run`; `"auto"` takes the first
that supports the model.
"""

from hierbayes.engine.registry import STRATEGIES, Plan, choose
from hierbayes.engine.settings import Settings

__all__ = ["STRATEGIES", "Plan", "Settings", "choose"]
