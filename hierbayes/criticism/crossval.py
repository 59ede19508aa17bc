"""Cross-validation from one fit: leave one row out, leave one group out, and comparison of models by either.

Leaving rows out changes the posterior by the factor 1 / p(rows | draw), so importance sampling of the draws with
Pareto smoothing (PSIS) gives what a refit would, wherever the Pareto k of the weights is small (Vehtari, Gelman &
Gabry 2017, Statistics and Computing 27; Vehtari et al. 2024, JMLR 25(72)). Group effects that few rows inform make
those weights wild; integrated out (`criticism.marginal`), they don't: p(rows | draw) is then the density of the rows
given coefficients, standard deviations and the rows that stay (Merkle, Furr & Rabe-Hesketh 2019, Psychometrika 84).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from hierbayes.answers.approximation import good_k
from hierbayes.answers.convergence import FEWEST, ess_mean
from hierbayes.answers.draws import Draws, flatten
from hierbayes.answers.latents import need_known_predictors
from hierbayes.criticism.canonical import log_marginals_of_one
from hierbayes.criticism.findings import Finding
from hierbayes.criticism.likelihood import has_one_scale, likelihood_chunks
from hierbayes.criticism.marginal import hold_out, log_marginal
from hierbayes.criticism.matching import group_densities, holds_whole, match_rows, smallest_group
from hierbayes.criticism.products import log_marginal_by_products, log_marginals_by_products
from hierbayes.criticism.psis import leave_one_out
from hierbayes.data.design import OBS, Design
from hierbayes.data.encoding import describe_rows
from hierbayes.data.factors import Factor
from hierbayes.data.levels import Codes
from hierbayes.errors import DataError, UnsupportedError
from hierbayes.schema import CHAIN_DIMS, Variable
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    from hierbayes.criticism.elpd import LOGO, LOO

Array = NDArray[np.float64]
type Refit = Callable[[Design], Draws]
ESS_LEVELS = 200  # levels of a factor that the draws' efficiency is judged by


def psis(log_likelihood: Array, efficiency: float) -> tuple[Array, Array, Array]:
    """Leave-one-out density of each column: log densities (S, k) → elpd, Pareto k, p = lppd − elpd, each (k,).

    A column that is the same in every draw, as that of a row of weight 0, has nothing to smooth: k is −inf. One that is
    impossible in some draw has no density without it: elpd −inf, k +inf.
    """
    elpd, k, lppd = leave_one_out(log_likelihood.T, efficiency)
    with np.errstate(invalid="ignore"):  # of what is impossible both ways
        return elpd, k, lppd - elpd


def efficiency(variables: Sequence[Variable], posterior: xr.Dataset) -> float:
    """Effective draws of the means of variables over the number of draws, averaged over its quantities; 1 for a chain.

    As ArviZ's, but of a factor with many levels only some are looked at.
    """
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    if chains == 1 or draws < 4:
        return 1.0
    found = []
    for variable in variables:
        values = np.asarray(posterior[variable.name].transpose(*CHAIN_DIMS, *variable.dims))
        values = values.reshape(chains, draws, -1)
        some = np.linspace(0, values.shape[2] - 1, min(values.shape[2], ESS_LEVELS)).astype(int)
        found.append(ess_mean(values[..., some]))
    return float(np.nanmean(np.concatenate(found)) / (chains * draws)) if found else 1.0


def loo(spec: ModelSpec, design: Design, posterior: xr.Dataset, refit: Refit | None = None) -> "LOO":
    """Leave-one-out cross-validation of every row.

    Plain importance sampling; where Pareto k is too large, with the row's group effects integrated out; where it still
    is, with the draws moved by moment matching; and where that is not enough, and is asked for, by refitting.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    refit : callable, optional
        ``refit(design)``: draws of the posterior of other rows, for rows that nothing else helps.

    Returns
    -------
    LOO
        ArviZ's record: elpd, se, p, elpd_i, pareto_k, …
    """
    if refit is not None:
        need_known_predictors(spec, "refitting without some rows")
    draws = flatten(spec, posterior)
    limit, efficient = good_k(len(draws)), efficiency(spec.variables, posterior)
    elpd, k, p = (np.empty(len(design)) for _ in range(3))
    for part, values in likelihood_chunks(spec, draws, design):
        elpd[part], k[part], p[part] = psis(values, efficient)
    plain, lppd = k.copy(), elpd + p
    methods = np.full(len(design), "psis", dtype=object)
    if spec.layout.latents:  # the rows' own are integrated out already, and nothing else knows them
        return _loo_record(elpd, p, k, plain, methods, design.index, len(draws))
    alone = _alone(spec, design)
    for places, values in _integrated_rows(spec, draws, design, (k > limit) | alone, alone):
        new_elpd, new_k, _ = psis(values.T, efficient)
        better = (new_k < k[places]) | (alone[places] & (new_k <= limit))
        places = places[better]
        elpd[places], k[places], methods[places] = new_elpd[better], new_k[better], "integrated"
    left = np.flatnonzero((k > limit) | (alone & (methods == "psis") & np.isfinite(k)))
    worst_first = left[np.argsort(-k[left], kind="stable")]
    plain_levels = not spec.ties and not _told_by_others(spec)
    matched = match_rows(spec, draws, design, worst_first, efficient) if plain_levels else ()
    for row, density, shape in matched:
        if shape < k[row] or (alone[row] and shape <= limit):
            elpd[row], k[row], methods[row] = density, shape, "moment_match"
    if refit is not None:
        for place in np.flatnonzero(k > limit):
            others = np.delete(np.arange(len(design)), place)
            elpd[place], _ = _refitted(spec, refit(design.rows(others)), design, np.array([place]))
            k[place], methods[place] = -np.inf, "refit"
    return _loo_record(elpd, lppd - elpd, k, plain, methods, design.index, len(draws))


def loo_of(log_likelihood: Array, efficient: float, index: pd.Index) -> "LOO":
    """Leave-one-out cross-validation by importance sampling alone, of log densities (S, n) of rows so called."""
    elpd, k, p = psis(log_likelihood, efficient)
    methods = np.full(len(index), "psis", dtype=object)
    return _loo_record(elpd, p, k, k, methods, index, len(log_likelihood))


def _loo_record(
    elpd: Array, p: Array, k: Array, plain: Array, methods: Any, index: pd.Index, draws: int
) -> "LOO":
    from hierbayes.criticism.elpd import LOO, summed

    coords, limit = {OBS: index.to_numpy()}, good_k(draws)

    def labelled(values: Any) -> xr.DataArray:
        return xr.DataArray(values, dims=(OBS,), coords=coords)

    return LOO(
        **summed(elpd, p),
        n_samples=draws,
        warning=bool((k > limit).any()),
        good_k=limit,
        elpd_i=labelled(elpd),
        pareto_k=labelled(k),
        p_loo_i=labelled(p),
        influence_pareto_k=labelled(plain),
        method_i=labelled(methods),
        labels=index,
    )


def _alone(spec: ModelSpec, design: Design) -> NDArray[np.bool_]:
    """Rows that are the only one of a level: an effect of their own follows them, whatever Pareto's k says."""
    alone, told = np.zeros(len(design), dtype=bool), _told_by_others(spec)
    for parameter, predictor in design.predictors.items():
        for name, bound in predictor.factors.items():
            if (parameter, name) not in told:
                alone |= np.bincount(bound.codes)[bound.codes] == 1
    return alone


def _told_by_others(spec: ModelSpec) -> set[tuple[str, str]]:
    """The grouping factors of whose levels other rows than their own say something, by parameter and name."""
    return {
        (parameter, factor.name)
        for parameter, layout in spec.layout.predictors.items()
        for factor in layout.factors
        if not factor.by_own_rows
    }


def _integrated_rows(
    spec: ModelSpec, draws: Draws, design: Design, wanted: NDArray[np.bool_], alone: NDArray[np.bool_]
) -> Iterator[tuple[Codes, Array]]:
    """Some of the wanted rows, and their log densities given the rest of their group: (k,), (k, S).

    Rows that are alone are groups of their own, and gone through together where that can be done.
    """
    wanted = wanted.copy()
    single = np.flatnonzero(wanted & alone)
    if len(single):
        groups = np.full(len(design), -1)
        groups[single] = np.arange(len(single))
        for some, values, _ in _together(spec, draws, design, groups):
            wanted[single[some]] = False
            yield single[some], values
    for place in np.flatnonzero(wanted):
        each, without = _integrated(spec, draws, design, int(place))
        if without:
            yield np.array([place]), each[None]


def _integrated(spec: ModelSpec, draws: Draws, design: Design, place: int) -> tuple[Array, bool]:
    """Log density of one row given the other rows of its group, the group's effects integrated: (S,).

    The group is that of the row's factor with the fewest rows a level. False where the row is in no group.
    """
    if not any(predictor.factors for predictor in design.predictors.values()):
        return np.zeros(len(draws)), False
    _, values = group_densities(spec, draws, design, smallest_group(design, place), place)
    return values, True


def logo(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, group: str, refit: Refit | None = None
) -> "LOGO":
    """Leave-one-group-out cross-validation: all rows of a level are held out and its effects integrated.

    Answers how well the model predicts a *new* level, where `loo` asks for a new row of a known one.

    Parameters
    ----------
    spec : ModelSpec
    design : Design
        The training rows.
    posterior : xarray.Dataset
    group : str
        A grouping factor of any of the formulas.
    refit : callable, optional
        ``refit(design)``: draws of the posterior of other rows, for levels whose Pareto k is too large.

    Returns
    -------
    LOGO
        ArviZ's record with one entry a level.

    Raises
    ------
    DataError
        For a name that is no grouping factor.
    """
    from hierbayes.criticism.elpd import LOGO, summed

    need_known_predictors(spec, "logo()")
    if _find_group(spec, group)[1].members is not None:
        raise UnsupportedError(
            f"a row has several levels of {group!r}, and left out with one of them it would be left out for the others "
            "too; logo() has no such levels. loo() leaves out rows"
        )
    labels, codes = group_codes(spec, design, group)
    if any(name == group for _, name in _told_by_others(spec)):
        raise UnsupportedError(
            f"the levels of {group!r} are related, or their effects correlated with those on other responses: a level "
            "left out would be told by other rows, and logo() doesn't know that yet. loo() leaves out rows"
        )
    if design.series is not None and not all(
        holds_whole(design.series.codes, np.flatnonzero(codes == level)) for level in range(len(labels))
    ):
        raise UnsupportedError(
            f"residuals are correlated across levels of {group!r}: a level left out would be told by other rows of its "
            "series. loo() leaves out rows"
        )
    draws = flatten(spec, posterior)
    limit, efficient = good_k(len(draws)), efficiency(spec.variables, posterior)
    elpd, k, p, errors = (np.zeros(len(labels)) for _ in range(4))
    methods = np.full(len(labels), "psis", dtype=object)
    for some, fine, coarse in _marginals_by_level(spec, draws, design, codes):
        elpd[some], k[some], p[some] = psis(fine.T, efficient)
        errors[some] = 0.0 if coarse is fine else np.abs(elpd[some] - psis(coarse.T, efficient)[0])
    if refit is not None:
        for level in np.flatnonzero(k > limit):
            lppd = p[level] + elpd[level]
            draws_without = refit(design.rows(np.flatnonzero(codes != level)))
            places = np.flatnonzero(codes == level)
            elpd[level], errors[level] = _refitted(spec, draws_without, design, places)
            p[level], k[level], methods[level] = lppd - elpd[level], -np.inf, "refit"

    def labelled(values: Any) -> xr.DataArray:
        return xr.DataArray(values, dims=(group,), coords={group: labels})

    return LOGO(
        **summed(elpd, p),
        n_samples=len(draws),
        warning=bool((k > limit).any()),
        good_k=limit,
        elpd_i=labelled(elpd),
        pareto_k=labelled(k),
        p_loo_i=labelled(p),
        rows_i=labelled(np.bincount(codes, minlength=len(labels))),
        error_i=labelled(errors),
        method_i=labelled(methods),
    )


def group_codes(spec: ModelSpec, design: Design, group: str) -> tuple[NDArray[Any], Codes]:
    """Labels of a factor's levels, and the level of each row: (G,), (n,)."""
    parameter, factor = _find_group(spec, group)
    return factor.levels.labels, design.predictors[parameter].factors[group].codes


def _find_group(spec: ModelSpec, group: str) -> tuple[str, Factor]:
    """The first formula with a grouping factor of that name, and the factor."""
    names: list[str] = []
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            if factor.name == group:
                return parameter, factor
            names.append(factor.name)
    have = ", ".join(dict.fromkeys(names)) or "none"
    raise DataError(f"{group!r} is no grouping factor of this model; it has {have}")


def _marginals_by_level(
    spec: ModelSpec, draws: Draws, design: Design, codes: Codes
) -> Iterator[tuple[Codes, Array, Array]]:
    """Levels, log densities of their rows, and those with half the quadrature: (k,), (k, S), (k, S)."""
    waiting = np.ones(codes.max() + 1, dtype=bool)
    for levels, fine, coarse in _together(spec, draws, design, codes):
        waiting[levels] = False
        yield levels, fine, coarse
    for level in np.flatnonzero(waiting):
        one, half = _marginals(spec, draws, design, np.flatnonzero(codes == level))
        each = one[None]
        yield np.array([level]), each, each if np.array_equal(one, half) else half[None]


def _together(
    spec: ModelSpec, draws: Draws, design: Design, groups: Codes
) -> Iterator[tuple[Codes, Array, Array]]:
    """The same of those groups of rows (−1 for none) that can be gone through together."""
    if design.series is not None or not spec.has_normal_levels:
        return
    if has_one_scale(spec):
        for some, exact in log_marginals_by_products(spec, draws, design, groups):
            yield np.arange(some.start, some.stop), exact, exact
    else:
        yield from log_marginals_of_one(spec, draws, design, groups)


def _marginals(spec: ModelSpec, draws: Draws, design: Design, places: Codes) -> tuple[Array, Array]:
    if has_one_scale(spec) and spec.has_normal_levels:
        exact = log_marginal_by_products(spec, draws, design, places)
        return exact, exact
    fine, coarse = np.empty(len(draws)), np.empty(len(draws))
    for part, held in hold_out(spec, draws, design, places):
        fine[part], coarse[part] = log_marginal(spec, held)
    return fine, coarse


def _refitted(spec: ModelSpec, draws: Draws, design: Design, places: Codes) -> tuple[float, float]:
    """Log density of held-out rows under draws that never saw them, the effects that only they have integrated.

    Beside it its error: of the quadrature, and the Monte Carlo error of the mean density over the draws; infinite where
    the draws are too few to tell.
    """
    if design.series is not None and len(places) == 1:
        place = int(places[0])
        _, fine = group_densities(spec, draws, design, smallest_group(design, place), place)
        coarse = fine
    else:
        fine, coarse = _marginals(spec, draws, design, places)
    mean, rough = (float(logsumexp(values) - np.log(len(draws))) for values in (fine, coarse))
    density = np.exp(fine - mean).reshape(draws.chains, draws.draws, 1)  # over its mean
    if draws.draws < FEWEST:
        return mean, np.inf
    return mean, float(np.hypot(mean - rough, density.std() / np.sqrt(ess_mean(density)[0])))


def compare_models(
    records: Mapping[str, Any], responses: Sequence[Array | None], method: str | None = None
) -> pd.DataFrame:
    """ArviZ's comparison of cross-validation records, after checking that they are about the same responses.

    Raises
    ------
    DataError
        For models of different rows or responses: their densities are not comparable.
    """
    import arviz_stats

    names = list(records)
    first = responses[0]
    for name, y in zip(names[1:], responses[1:], strict=True):
        if first is None or y is None or not np.array_equal(y, first, equal_nan=True):
            raise DataError(
                f"{names[0]!r} and {name!r} were fitted to different responses or rows, so their predictive densities "
                "cannot be compared; fit both to the rows that are complete for both, and the same response"
            )
    table: pd.DataFrame = arviz_stats.compare(dict(records), method=method, round_to="none")
    return table


def influence_searches(
    spec: ModelSpec, design: Design, posterior: xr.Dataset
) -> list[Callable[[], Iterator[Finding]]]:
    """Searches for levels of each factor, and for rows, that move the posterior far: by Pareto k."""
    names = dict.fromkeys(
        factor.name for layout in spec.layout.predictors.values() for factor in layout.factors
    )
    given = spec, design, posterior
    return [*(partial(influential_levels, *given, name) for name in names), partial(influential_rows, *given)]


def influential_levels(
    spec: ModelSpec, design: Design, posterior: xr.Dataset, name: str
) -> Iterator[Finding]:
    """Levels of a factor that move the posterior so far that importance sampling cannot follow."""
    if len(group_codes(spec, design, name)[0]) < 2:
        return
    table = (found := logo(spec, design, posterior, name)).table
    moved = table[table["pareto_k"] > found.good_k].sort_values("pareto_k", ascending=False)
    if len(moved):
        shown = ", ".join(str(level) for level in moved.index[:4])
        yield Finding(
            "influential-level",
            f"the posterior hangs on {len(moved)} of the {len(table)} levels of {name!r}: {shown}"
            f"{', …' if len(moved) > 4 else ''} (Pareto k up to {moved['pareto_k'].iloc[0]:.2f})",
            "Look at those levels' rows, and compare with a fit without them",
        )


def influential_rows(spec: ModelSpec, design: Design, posterior: xr.Dataset) -> Iterator[Finding]:
    """Rows that move the posterior so far that importance sampling cannot follow."""
    rows = (found := loo(spec, design, posterior)).table
    # a row that was matched is reported all the same: it moves the posterior
    moved = np.flatnonzero((rows["pareto_k"] > found.good_k) | (rows["method"] == "moment_match"))
    if len(moved):
        yield Finding(
            "influential-rows",
            f"the posterior hangs on {describe_rows(design.index[moved])} (Pareto k up to "
            f"{found.influence_pareto_k.to_numpy()[moved].max():.2f})",
            "Look at them; a family with heavier tails, such as student, is moved less",
        )
