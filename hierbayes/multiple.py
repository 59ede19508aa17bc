"""One model of several tables, such as those of a multiple imputation: a fit each, and their draws together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hierbayes.answers.estimates import Estimates
from hierbayes.answers.marginal_effects import MarginalEffects
from hierbayes.answers.predictions import Predictions
from hierbayes.data.learning import complete_rows
from hierbayes.data.sources import find_source
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.model import Fit, Model
from hierbayes.reprs import fit_text

if TYPE_CHECKING:
    import xarray as xr

DRAWN = "posterior", "sample_stats"  # the groups of draws, which are pooled


@dataclass(frozen=True, eq=False, repr=False)
class MultipleFit(Estimates, Predictions, MarginalEffects):
    """Fits of one model to several tables and their draws together; made by `fit_multiple`.

    Its answers are those of a `Fit`, from all tables' draws. Where rows have a part in them (`icc`, `varcorr`, `r2`,
    averages over rows, what else a grid holds) these are the first table's. What is about the responses of one table,
    such as `loo` or `residuals`, each of `fits` has.

    Attributes
    ----------
    spec : ModelSpec
        Of all tables: levels, encodings and priors as learnt from the first.
    data, design
        The first table's rows.
    tree : xarray.DataTree
        The draws of all tables, one's chains after another's.
    fits : tuple of Fit
        The fit of each table.
    """

    fits: tuple[Fit, ...]

    def __repr__(self) -> str:
        words = f"draws of {len(self.fits)} tables together; r_hat is the largest of any one's"
        return f"{fit_text(self.spec, self.tree, self.summary())}\n{words}"

    def summary(
        self,
        prob: float | None = None,
        interval: str | None = None,
        *,
        transform: Any = None,
        output: Any = "table",
    ) -> Any:
        """As `Fit.summary`, from all tables' draws.

        Posteriors of different tables differ, and so do their chains: r_hat is the largest within a table, and the
        effective draws of the tables add up.
        """
        found = super().summary(prob, interval, transform=transform, output=output)
        if output != "table":
            return found
        each = [fit.summary(prob, interval, transform=transform) for fit in self.fits]
        for name in ("ess_bulk", "ess_tail"):
            found[name] = np.sum([table[name] for table in each], axis=0)
        found["r_hat"] = np.max([table["r_hat"] for table in each], axis=0)
        found["mcse_mean"] = np.sqrt(np.sum([table["mcse_mean"] ** 2 for table in each], axis=0)) / len(each)
        return found

    def shrinkage(self, *arguments: Any, **options: Any) -> Any:
        """Refused: levels have another estimate of their own in each table."""
        raise UnsupportedError(
            "levels have estimates of their own in each table; fits[0].shrinkage() has the first one's"
        )


def fit_multiple(
    formula: Any,
    tables: Iterable[Any],
    family: Any = "gaussian",
    priors: Any = None,
    link: Any = None,
    *,
    center: bool = True,
    data2: Any = None,
    seed: int = 0,
    **options: Any,
) -> MultipleFit:
    """Fit one model to each of several tables and put their draws together, as after multiple imputation.

    The draws are a sample of the posterior averaged over the tables, in which what is unknown about the missing values
    has its part; as brms's ``brm_multiple``. Take tens of tables, not five (Zhou & Reiter 2010, The American
    Statistician 64(2)).

    Parameters
    ----------
    formula, family, priors, link, center, data2
        As for `Model`. Default priors, levels and encodings (centres, knots, contrasts) are learnt from the first table
        and serve all, so that a coefficient is the same thing in each.
    tables : iterable of data frames
        Two or more, in memory: the imputed tables.
    seed : int
        The first table's; the following have the next ones.
    **options
        As for `Model.fit`.

    Raises
    ------
    DataError
        For fewer than two tables, or one with levels that the first hasn't got.

    Examples
    --------
    >>> import hierbayes as hb
    >>> tables = [hb.load_dataset("sleepstudy")] * 2
    >>> fit = hb.fit_multiple("Reaction ~ Days", tables, draws=50, progress=False)  # doctest: +SKIP
    >>> fit.tree["posterior"].sizes["chain"]  # doctest: +SKIP
    8
    """
    one = isinstance(tables, Mapping | str) or hasattr(tables, "columns")
    given = [tables] if one else list(tables)
    if len(given) < 2:
        what = f"one {type(tables).__name__}" if one else len(given)
        raise DataError(f"fit_multiple() takes two tables or more, a list of data frames; got {what}")
    for number, table in enumerate(given, start=1):
        if find_source(table) is not None:
            raise UnsupportedError(
                f"table {number} stays in its source; fit_multiple() takes tables in memory"
            )
    first = Model(formula, given[0], family, priors, link, center=center, data2=data2)
    if not isinstance(first, Model):
        raise UnsupportedError("fit_multiple() takes models of one response")
    models = [
        first,
        *(_of_other_rows(first, table, number) for number, table in enumerate(given[1:], start=2)),
    ]
    fits = tuple(model.fit(seed=seed + place, **options) for place, model in enumerate(models))
    return MultipleFit(first.spec, first.data, first.design, _pooled(fits), fits)


def _of_other_rows(model: Model, table: Any, number: int) -> Model:
    """The same model, nothing learnt anew, of another table's rows."""
    layout = model.spec.layout
    data = complete_rows(layout.formulas, table, model.spec.family)
    design = layout.bind(data)
    for bound in design.predictors.values():
        for name, factor in bound.factors.items():
            if factor.new:
                level = ":".join(map(str, factor.new[0]))
                raise DataError(
                    f"table {number} has the level {level!r} of {name!r}, which the first table hasn't got; put a "
                    "table that has all levels first"
                )
    return Model._of(model.spec, data, design)


def _pooled(fits: tuple[Fit, ...]) -> "xr.DataTree":
    """The draws of all fits, one's chains after another's."""
    import xarray as xr

    groups = {name: xr.concat([fit.tree[name].to_dataset() for fit in fits], "chain") for name in DRAWN}
    chains = np.arange(groups[DRAWN[0]].sizes["chain"])
    tree = xr.DataTree.from_dict({name: group.assign_coords(chain=chains) for name, group in groups.items()})
    tree.attrs.update({**fits[0].tree.attrs, "tables": len(fits)})
    return tree
