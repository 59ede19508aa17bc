"""Bayesian hierarchical models from a formula.

>>> import hierbayes as hb
>>> model = hb.Model("Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"))
>>> fit = model.fit(seed=1)  # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hierbayes.data.designrows import DesignRows, design_grid
    from hierbayes.data.pedigrees import Pedigree, pedigree
    from hierbayes.datasets import load_dataset
    from hierbayes.elicitation import elicit, elicit_groups
    from hierbayes.errors import (
        DataError,
        DataWarning,
        FormulaError,
        HierBayesError,
        PriorError,
        SamplingWarning,
        UnsupportedError,
    )
    from hierbayes.families.checking import check_family
    from hierbayes.families.own import custom_family, parameter, row_function
    from hierbayes.families.registry import hurdle, mixture, zero_inflated
    from hierbayes.formula import parse
    from hierbayes.joint import JointFit, JointModel
    from hierbayes.model import Fit, Model, fit, load
    from hierbayes.model_comparison import compare_models
    from hierbayes.multiple import MultipleFit, fit_multiple
    from hierbayes.prior_simulation import simulate
    from hierbayes.priorfile import PriorFile, read_prior_file
    from hierbayes.priors import Prior, PriorSet

_HOMES = {
    "DataError": "errors",
    "DataWarning": "errors",
    "DesignRows": "data.designrows",
    "Fit": "model",
    "FormulaError": "errors",
    "HierBayesError": "errors",
    "JointFit": "joint",
    "JointModel": "joint",
    "Model": "model",
    "MultipleFit": "multiple",
    "Pedigree": "data.pedigrees",
    "Prior": "priors",
    "PriorError": "errors",
    "PriorFile": "priorfile",
    "PriorSet": "priors",
    "SamplingWarning": "errors",
    "UnsupportedError": "errors",
    "check_family": "families.checking",
    "compare_models": "model_comparison",
    "custom_family": "families.own",
    "mixture": "families.registry",
    "design_grid": "data.designrows",
    "elicit": "elicitation",
    "elicit_groups": "elicitation",
    "fit": "model",
    "fit_multiple": "multiple",
    "hurdle": "families.registry",
    "load": "model",
    "load_dataset": "datasets",
    "parameter": "families.own",
    "parse": "formula",
    "pedigree": "data.pedigrees",
    "read_prior_file": "priorfile",
    "row_function": "families.own",
    "simulate": "prior_simulation",
    "zero_inflated": "families.registry",
}

__all__ = [
    "DataError",
    "DataWarning",
    "DesignRows",
    "Fit",
    "FormulaError",
    "HierBayesError",
    "JointFit",
    "JointModel",
    "Model",
    "MultipleFit",
    "Pedigree",
    "Prior",
    "PriorError",
    "PriorFile",
    "PriorSet",
    "SamplingWarning",
    "UnsupportedError",
    "__version__",
    "check_family",
    "compare_models",
    "custom_family",
    "design_grid",
    "elicit",
    "elicit_groups",
    "fit",
    "fit_multiple",
    "hurdle",
    "load",
    "load_dataset",
    "mixture",
    "parameter",
    "parse",
    "pedigree",
    "read_prior_file",
    "row_function",
    "simulate",
    "zero_inflated",
]


def __getattr__(name: str) -> Any:
    """Names are imported at first use, so that ``import hierbayes`` stays cheap."""
    if name == "__version__":
        from importlib.metadata import version

        return version("hierbayes")
    if name not in _HOMES:
        raise AttributeError(f"module 'hierbayes' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hierbayes.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
