"""The draw of a posterior, or of its approximation: strategy, attributes, and warnings about the draws."""

import platform
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING

from hierbayes.criticism.checks import check_draws
from hierbayes.criticism.findings import Finding
from hierbayes.criticism.importance import FEWEST, smoothed_weights
from hierbayes.data.design import PACKAGE, Design
from hierbayes.engine import Plan, Settings, choose
from hierbayes.engine.starting import with_places_to_start
from hierbayes.engine.streamed import Streamed
from hierbayes.errors import SamplingWarning, UnsupportedError
from hierbayes.spec import ModelSpec

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

    Raises
    ------
    DataError
        For a posterior whose density is 0, or no number, wherever chains were to start.
    """
    plan = choose(spec, design, strategy)
    with with_places_to_start():
        tree: xr.DataTree = plan.strategy.run(spec, design, settings)
    return _signed(spec, tree, plan, settings)


def approximate_posterior(
    spec: ModelSpec, design: Design | Streamed, *, draws: int, seed: int, progress: bool = True
) -> "xr.DataTree":
    """Draws of a Gaussian approximation to the posterior, with the schema and attributes of a posterior's.

    Beside the posterior's groups there are in ``sample_stats`` the exact log density less that of the approximation,
    ``log_ratio``, and Pareto-smoothed importance weights, ``log_weight``; in the attributes ``approximation``
    (what it is) and ``pareto_k``.

    Raises
    ------
    ValueError
        For fewer draws than Pareto's k can be estimated from.
    UnsupportedError
        For a model that only strategy ``"nuts"`` can draw.
    """
    settings = independent(draws, seed, progress)
    plan = choose(spec, design)
    tree = weighted(plan.strategy.approximate(spec, design, settings), plan)
    return _signed(spec, tree, plan, settings)


def independent(draws: int, seed: int, progress: bool) -> Settings:
    """The settings of draws of an approximation.

    Raises
    ------
    ValueError
        For fewer than Pareto's k can be estimated from.
    """
    settings = Settings(draws=draws, chains=1, seed=seed, progress=progress)
    if draws < FEWEST:
        raise ValueError(f"draws must be a whole number, {FEWEST} or more; got {draws!r}")
    return settings


def weighted(tree: "xr.DataTree | None", plan: Plan) -> "xr.DataTree":
    """The draws of an approximation with their importance weights, and Pareto's k; refused where there are none."""
    if tree is None:
        raise UnsupportedError(
            f"there is no approximation of this model ({plan.reason}); fit() draws its posterior itself"
        )
    log_ratio = tree["sample_stats"].to_dataset()["log_ratio"]
    log_weight, k = smoothed_weights(-log_ratio.to_numpy().reshape(-1, 1))
    tree["sample_stats/log_weight"] = log_ratio.copy(data=log_weight.reshape(log_ratio.shape))
    tree.attrs.update({"approximation": "Gaussian", "pareto_k": float(k[0])})
    return tree


def _signed(spec: ModelSpec, tree: "xr.DataTree", plan: Plan, settings: Settings) -> "xr.DataTree":
    """The tree with how it came about; what is not as it should be is reported."""
    tree.attrs.update({"strategy_reason": plan.reason, "seed": settings.seed, **versions()})
    warn_of(check_draws(spec, tree))
    return tree


def warn_of(findings: Iterable[Finding]) -> None:
    """A warning for each finding that isn't a question."""
    for finding in findings:
        if not finding.question:
            warnings.warn(str(finding), SamplingWarning, skip_file_prefixes=(PACKAGE,))


def versions() -> dict[str, str]:
    """What a fit was made with."""
    return {"hierbayes_version": version("hierbayes"), "python_version": platform.python_version()}
