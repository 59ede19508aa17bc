"""Findings about a design before sampling, and about draws after it.

Each finding has a code, what was found and what to do; `docs/findings.md` has a paragraph for each code.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hierbayes.design import MEAN, BoundFactor, Design
from hierbayes.encoding import INTERCEPT
from hierbayes.factors import Factor
from hierbayes.spec import ModelSpec
from hierbayes.summary import diagnostics, summary_draws

FEW_LEVELS = 5
FAR_FROM_ZERO = 10.0
RHAT_LIMIT = 1.01
ESS_PER_CHAIN = 100


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing.

    Attributes
    ----------
    code : str
        ``"few-levels"``, ``"divergences"``, …
    found : str
        What was found, with the names and numbers.
    advice : str
        What to do about it.
    """

    code: str
    found: str
    advice: str

    def __str__(self) -> str:
        return f"[{self.code}] {self.found}. {self.advice}."


def check_design(spec: ModelSpec, design: Design) -> tuple[Finding, ...]:
    """Facts about the data that limit what the model can say."""
    findings: list[Finding] = []
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            bound = design.predictors[parameter].factors[factor.name]
            findings += _check_factor(spec, design, factor, bound)
            findings += _check_slopes(spec, factor, bound, parameter)
    return tuple(findings)


def _check_factor(spec: ModelSpec, design: Design, factor: Factor, bound: BoundFactor) -> Iterator[Finding]:
    levels, n = len(factor.levels), len(design)
    if levels == 1:
        yield Finding(
            "one-level",
            f"{factor.name!r} has a single level",
            "Its standard deviation is known from the prior alone; leave the group term out",
        )
    elif levels < FEW_LEVELS:
        yield Finding(
            "few-levels",
            f"{factor.name!r} has only {levels} levels",
            "Its standard deviation rests largely on its prior; "
            f"look at {factor.name!r} as a population-level factor too",
        )
    counts = np.bincount(bound.codes, minlength=levels)
    if levels > 1 and counts.max() == 1:
        binary = spec.family.support.two_levels
        # a count family may want a level a row, for overdispersion; the rows' numbers are whole then
        if _numeric(factor) and (
            spec.family.auxiliaries or binary or factor.levels.values[0].dtype.kind == "f"
        ):
            yield Finding(
                "numeric-factor",
                f"{factor.name!r} is numeric and has as many levels as there are rows ({n:,})",
                "Was a continuous predictor meant? Then write it as a term, not behind a bar",
            )
        elif spec.family.auxiliaries:
            yield Finding(
                "one-row-a-level",
                f"every level of {factor.name!r} has one row",
                "Its standard deviation can hardly be told from the residual's; "
                "leave the term out or collect replicates",
            )
        elif binary:
            yield Finding(
                "one-row-a-level",
                f"every level of {factor.name!r} has one row",
                "One 0 or 1 says nothing of how levels differ; leave the term out or collect replicates",
            )


def _numeric(factor: Factor) -> bool:
    return len(factor.levels.columns) == 1 and factor.levels.values[0].dtype.kind in "iuf"


def _check_slopes(spec: ModelSpec, factor: Factor, bound: BoundFactor, parameter: str) -> Iterator[Finding]:
    layout = spec.layout.predictors[parameter]
    for place, effect in enumerate(factor.effects):
        if effect == INTERCEPT:
            continue
        z = bound.z[:, place]
        if (
            INTERCEPT in factor.effects
            and len(factor.levels) > 1
            and not _varies_within(bound.codes, z, len(factor.levels))
        ):
            yield Finding(
                "constant-slope",
                f"{effect!r} doesn't vary within any level of {factor.name!r}",
                "Its varying slope cannot be told from the varying intercept; leave it out of the group term",
            )
        mean, sd = float(z.mean()), float(z.std())
        apart = INTERCEPT in factor.effects and not factor.centres[place]
        if apart and sd > 0 and abs(mean) > FAR_FROM_ZERO * sd:
            yield Finding(
                "far-from-zero",
                f"{effect!r} lies far from 0 (mean {mean:.6g}, sd {sd:.3g}), and its slopes are uncorrelated with "
                f"the intercepts of {factor.name!r} at 0, which no data are near",
                f"Let them correlate, ({effect} | {factor.name}), or centre it, "
                f"(center({effect}) || {factor.name})",
            )
    if (
        layout.intercept is None
        and parameter == MEAN
        and INTERCEPT in factor.effects
        and not layout.coefficients
    ):
        yield Finding(
            "no-population-mean",
            f"the effects of {factor.name!r} have no population-level mean",
            "They are drawn from a distribution around 0; add the intercept unless that is meant",
        )


def _varies_within(codes: NDArray[np.int64], z: NDArray[np.float64], levels: int) -> bool:
    low, high = np.full(levels, np.inf), np.full(levels, -np.inf)
    np.minimum.at(low, codes, z)
    np.maximum.at(high, codes, z)
    return bool((high > low).any())


def check_draws(spec: ModelSpec, tree: xr.DataTree) -> tuple[Finding, ...]:
    """What is wrong with the draws, and what to do; nothing when all is well."""
    posterior = tree["posterior"].to_dataset()
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    findings = list(_check_sampler(tree))
    named = summary_draws(spec, posterior)
    if draws < 4 or not named:
        return tuple(findings)
    measures = diagnostics(np.stack(list(named.values()), axis=-1))
    names = np.array(list(named), dtype=object)
    unmixed = measures["r_hat"] > RHAT_LIMIT
    if chains > 1 and unmixed.any():
        worst = names[np.nanargmax(measures["r_hat"])]
        findings.append(
            Finding(
                "r-hat",
                f"the chains disagree: R-hat above {RHAT_LIMIT} for {_list(names[unmixed])} "
                f"(largest {np.nanmax(measures['r_hat']):.3f}, {worst})",
                "Run longer (tune=2000, draws=2000); if it stays, the model asks for more than the data say",
            )
        )
    ess = np.minimum(measures["ess_bulk"], measures["ess_tail"])
    short = ess < ESS_PER_CHAIN * chains
    if short.any():
        findings.append(
            Finding(
                "low-ess",
                f"few effective draws (fewer than {ESS_PER_CHAIN} a chain) of {_list(names[short])}; "
                f"least {np.nanmin(ess):.0f}",
                "Draw more: fit(draws=…)",
            )
        )
    return tuple(findings)


def _check_sampler(tree: xr.DataTree) -> Iterator[Finding]:
    stats = tree["sample_stats"].to_dataset() if "sample_stats" in tree else xr.Dataset()
    if tree.attrs.get("interrupted"):
        sizes = tree["posterior"].sizes
        yield Finding(
            "interrupted",
            f"sampling was stopped; {sizes['draw']} draws of {sizes['chain']} chains were kept",
            "Read the answers as provisional",
        )
    if "diverging" in stats and int(stats["diverging"].sum()):
        count, total = int(stats["diverging"].sum()), stats["diverging"].size
        yield Finding(
            "divergences",
            f"{count} of {total} draws diverged, so parts of the posterior may be missed",
            "Take smaller steps, fit(target_accept=0.99), and look for a standard deviation near 0 or a prior too wide",
        )
    if "reached_max_treedepth" in stats:
        share = float(stats["reached_max_treedepth"].mean())
        if share > 0.05:
            yield Finding(
                "treedepth",
                f"{share:.0%} of the draws reached the largest tree depth",
                "The draws are right but dear; centre and scale the predictors, or tighten the priors",
            )


def _list(names: NDArray[np.object_]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown}, … ({len(names)} in all)" if len(names) > 4 else shown
