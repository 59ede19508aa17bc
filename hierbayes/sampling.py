"""The draw of a posterior: strategy, attributes, and warnings about the draws."""

import platform
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING

from hierbayes.checks import check_draws
from hierbayes.design import PACKAGE, Design
from hierbayes.engine import Settings, choose
from hierbayes.errors import SamplingWarning
from hierbayes.spec import ModelSpec
from hierbayes.streamed import Streamed

if TYPE_CHECKING:
    import xarray as xr


def draw_posterior(
    spec: ModelSpec, design: Design | Streamed, settings: Settings, strategy: str = "auto"
) -> "xr.DataTree":
    """Draws of the schema, with how they came about in the attributes.

    Warns
    -----
    SamplingWarning
        Where the draws are not to be trusted as they are.
    """
    plan = choose(spec, design, strategy)
    tree: xr.DataTree = plan.strategy.run(spec, design, settings)
    tree.attrs.update({"strategy_reason": plan.reason, "seed": settings.seed, **_versions()})
    for finding in check_draws(spec, tree):
        warnings.warn(str(finding), SamplingWarning, skip_file_prefixes=(PACKAGE,))
    return tree


def _versions() -> dict[str, str]:
    return {"hierbayes_version": version("hierbayes"), "python_version": platform.python_version()}
