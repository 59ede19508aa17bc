"""Findings about draws: did the chains mix, and do they tell means and standard deviations."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hierbayes.answers.approximation import describe_approximation, good_k, is_approximate
from hierbayes.answers.convergence import FEWEST, diagnostics
from hierbayes.answers.summary import estimates, summary_draws
from hierbayes.criticism.findings import Finding
from hierbayes.criticism.processchecks import check_processes
from hierbayes.spec import ModelSpec

RHAT_LIMIT = 1.01
ESS_PER_CHAIN = 100
QUADRATURE_LIMIT = 0.2  # weights of draws that would differ by a fifth


def check_draws(spec: ModelSpec, tree: xr.DataTree) -> tuple[Finding, ...]:
    """What is wrong with the draws, and what to do; nothing when all is well."""
    posterior = tree["posterior"].to_dataset()
    own = [_check_approximation(tree)] if is_approximate(tree) else _check_chains(spec, tree, posterior)
    return (*own, *check_processes(spec, posterior))


def _check_chains(spec: ModelSpec, tree: xr.DataTree, posterior: xr.Dataset) -> list[Finding]:
    findings = list(_check_sampler(tree))
    named = summary_draws(spec, posterior)
    if named:
        findings += check_mixing(named)
    if named and posterior.sizes["draw"] >= FEWEST:
        findings += _check_moments(spec, posterior)
    return findings


def check_mixing(named: dict[str, NDArray[np.float64]]) -> list[Finding]:
    """Whether the chains of some quantities, each (chain, draw), agree and tell enough."""
    findings = []
    values = np.stack(list(named.values()), axis=-1)
    chains, draws = values.shape[:2]
    if draws < FEWEST:
        return [
            Finding(
                "few-draws",
                f"{chains * draws} draw{'s' * (chains * draws > 1)} say nothing of convergence, and next to nothing of "
                "intervals",
                f"Draw more: fit(draws=…); diagnostics need {FEWEST} a chain, intervals hundreds",
            )
        ]
    measures = diagnostics(values)
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
    return findings


def _check_moments(spec: ModelSpec, posterior: xr.Dataset) -> Iterator[Finding]:
    table = estimates(spec, posterior).table()
    names = table.index.to_numpy(dtype=object)
    no_mean, no_sd = (table[column].isna().to_numpy() for column in ("mean", "sd"))
    if no_sd.any():
        means = f" and no mean of {_list(names[no_mean])}" if no_mean.any() else ""
        yield Finding(
            "heavy-tails",
            f"the draws tell no standard deviation of {_list(names[no_sd])}{means}: Pareto k up to "
            f"{table['pareto_k'].max():.2f} "
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
    error = tree.attrs.get("quadrature_error", 0.0)
    if not error < QUADRATURE_LIMIT:
        yield Finding(
            "quadrature",
            f"effects were integrated out with {tree.attrs['quadrature_nodes']} nodes, and with twice as many the log "
            f"density differs by {error:.2g} (a standard deviation over draws)",
            "Compare with the posterior of fit(strategy='nuts')",
        )


def _list(names: NDArray[np.object_]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown}, … ({len(names)} in all)" if len(names) > 4 else shown
