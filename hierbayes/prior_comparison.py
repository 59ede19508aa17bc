"""Consequences of a choice of priors: two prior sets and the posteriors they lead to, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from hierbayes.answers.approximation import is_approximate
from hierbayes.answers.intervals import get_interval, labelled
from hierbayes.defaults import resolve_priors
from hierbayes.engine import Settings
from hierbayes.priors import PriorSet
from hierbayes.reprs import format_table
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    import xarray as xr


SHOWN = ("mean", "median", "lower", "upper")  # median where a mean is left empty


class Summarised(Protocol):
    """A fit of one response or of several, with a table of its quantities and their priors as text."""

    @property
    def spec(self) -> Any:
        """A specification, with `prior_texts`."""

    def summary(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """The quantities, by name."""


@dataclass(frozen=True, eq=False)
class PriorComparison[F: Summarised]:
    """Two fits of one model to the same rows under two sets of priors; it prints as their table.

    Attributes
    ----------
    before, after : Fit
    """

    before: F
    after: F

    def table(self, prob: float | None = None, interval: str | None = None) -> pd.DataFrame:
        """One row a quantity: its prior and posterior in both fits, and how far the second moved.

        Parameters
        ----------
        prob, interval : float, str, optional
            Of the credible intervals, as in `Fit.summary`.

        Returns
        -------
        pandas.DataFrame
            prior, mean, lower and upper before and after, and median where a mean is left empty; shift, the difference
            of the means in posterior standard deviations of the first fit; sd_ratio, the second posterior's standard
            deviation over the first's.
        """
        chosen = get_interval(prob, interval)
        sides = {"before": self.before, "after": self.after}
        columns: dict[str, Any] = {}
        found = {}
        for word, fit in sides.items():
            found[word] = fit.summary(prob, interval)
            priors = fit.spec.prior_texts
            columns[f"prior_{word}"] = [priors[name] for name in found[word].index]
            columns |= {f"{name}_{word}": found[word][name] for name in SHOWN if name in found[word]}
        first, second = found.values()
        columns["shift"] = (second["mean"] - first["mean"]) / first["sd"]
        columns["sd_ratio"] = second["sd"] / first["sd"]
        return labelled(pd.DataFrame(columns, index=first.index), chosen)

    def __repr__(self) -> str:
        return format_table(self.table()).T.to_string()

    def _repr_html_(self) -> str:
        return format_table(self.table()).to_html(border=0)


def with_priors(spec: ModelSpec, priors: PriorSet | None) -> ModelSpec:
    """The same model with other priors; what the set does not name stays as it was, None makes all of them defaults."""
    before = () if priors is None else spec.priors
    resolved = resolve_priors(spec.layout, spec.family, spec.links, priors or PriorSet(), spec.center, before)
    if priors is not None:
        resolved = tuple(
            old if new.origin == "default" else new for old, new in zip(spec.priors, resolved, strict=True)
        )
    return replace(spec, priors=resolved)


def refit_options(tree: "xr.DataTree", given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of drawing a fit anew: those given, and draws, chains and seed as they were.

    Raises
    ------
    TypeError
        For an option that there isn't, such as `chains` of an approximation.
    """
    known, words = [*Settings.__dataclass_fields__, "strategy"], "refit() takes the options of fit()"
    sizes = tree["posterior"].sizes
    kept = {"draws": sizes["draw"], "seed": int(tree.attrs.get("seed", 0)), "chains": sizes["chain"]}
    if is_approximate(tree):
        known = ["draws", "seed", "progress"]
        words = "refit() of an approximation approximates again; independent draws have no other options"
        del kept["chains"]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise TypeError(f"{words}: {', '.join(known)}; got {unknown[0]!r}")
    return {**kept, **given}
