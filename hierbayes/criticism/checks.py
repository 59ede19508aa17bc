"""Findings: what they are, and those about draws; `hierbayes.criticism.designchecks` has those about a design.

Each finding has a code, what was found and what to do; `docs/findings.md` has a paragraph for each code.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.approximation import describe_approximation, good_k, is_approximate
from hierbayes.answers.convergence import FEWEST, diagnostics
from hierbayes.answers.pareto import tail_shapes, unknown_moments
from hierbayes.answers.summary import known_tails, summary_draws
from hierbayes.spec import ModelSpec

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
    question : bool
        Whether it may as well be meant: told by `Model.check` or `Fit.check`, and not as a warning.
    """

    code: str
    found: str
    advice: str
    question: bool = False

    def __str__(self) -> str:
        return f"[{self.code}] {self.found}. {self.advice}."


def check_draws(spec: ModelSpec, tree: xr.DataTree) -> tuple[Finding, ...]:
    """What is wrong with the draws, and what to do; nothing when all is well."""
    if is_approximate(tree):
        return (_check_approximation(tree),)
    posterior = tree["posterior"].to_dataset()
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    findings = list(_check_sampler(tree))
    named = summary_draws(spec, posterior)
    if not named:
        return tuple(findings)
    if draws < FEWEST:
        findings.append(
            Finding(
                "few-draws",
                f"{chains * draws} draw{'s' * (chains * draws > 1)} say nothing of convergence, and next to nothing of "
                "intervals",
                f"Draw more: fit(draws=…); diagnostics need {FEWEST} a chain, intervals hundreds",
            )
        )
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
    findings += _check_moments(spec, named)
    return tuple(findings)


def _check_moments(spec: ModelSpec, named: dict[str, NDArray[np.float64]]) -> Iterator[Finding]:
    flat = np.stack(list(named.values()), axis=-1).reshape(-1, len(named))
    shapes = np.fmax(tail_shapes(np.sort(flat, axis=0)), known_tails(spec, flat))
    no_mean, no_sd = unknown_moments(shapes, len(flat))
    if no_sd.any():
        names = np.array(list(named), dtype=object)
        means = f" and no mean of {_list(names[no_mean])}" if no_mean.any() else ""
        yield Finding(
            "heavy-tails",
            f"the draws tell no standard deviation of {_list(names[no_sd])}{means}: Pareto k up to {shapes.max():.2f} "
            "(a standard deviation exists below 0.5, a mean below 1)",
            "Report medians and intervals, which the tables have; the data leave that tail to the prior, so one with "
            "a lighter tail, priors={…}, has both",
            question=True,
        )


def _check_approximation(tree: xr.DataTree) -> Finding:
    arrived = tree.attrs.get("initialisation", tree.attrs.get("pilot")) != "not converged"
    good = arrived and tree.attrs["pareto_k"] < good_k(tree["posterior"].sizes["draw"])
    where = "" if arrived else ", and where the posterior has its mode was not found"
    return Finding(
        "approximate",
        f"the draws are of {describe_approximation(tree)}{where}",
        "A good first look; fit() draws the posterior itself"
        if good
        else "Means and intervals may be off by more than is known; fit() draws the posterior itself",
        question=good,
    )


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
