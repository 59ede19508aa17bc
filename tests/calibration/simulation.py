"""Ranks of the parameters that made the data among the draws of their posterior."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import hierbayes as hb
from hierbayes.answers.draws import Draws, flatten
from hierbayes.answers.predict import Request, choose_groups, evaluate_predictors
from hierbayes.answers.related import conditional_levels
from hierbayes.criticism.likelihood import log_densities
from hierbayes.data.design import MEAN
from hierbayes.data.factors import Factor
from hierbayes.simulation import sample_prior, simulate_responses
from hierbayes.spec import ModelSpec
from tests.calibration.designs import Setting
from tests.calibration.several import SeveralResponses

Array = NDArray[np.float64]
CHAINS, DRAWS, THIN = 2, 1000, 10
KEPT = CHAINS * DRAWS // THIN  # draws that a parameter is ranked among, nearly independent
LIKELIHOOD, ROW, NEW = "log likelihood", "predictor of the first row", "mean of a new group"
FEW = 4  # effects of a level that are all ranked; of more, the first and the last


@dataclass(frozen=True)
class Calibration:
    """The ranks of one setting.

    Attributes
    ----------
    ranks : mapping of str to ndarray of int (replications,)
        How many of `KEPT` draws lie below the truth: uniform on 0 … KEPT when the posterior is right.
    divergences : int
        Over all replications.
    seconds : float
    """

    ranks: dict[str, NDArray[np.int64]]
    divergences: int
    seconds: float


class OneResponse:
    """Parameters and responses of a model of one response, drawn from its prior."""

    def __init__(self, setting: Setting, replications: int, seed: int) -> None:
        self.setting, self.table = setting, setting.rows()
        blank = self.model(self.table["y"].to_numpy())
        self.prior = sample_prior(blank.spec, replications, seed)
        responses = simulate_responses(blank.spec, self.prior, blank.design, seed)
        self.responses = next(iter(responses.data_vars.values())).to_numpy()[0]
        self.rng = np.random.default_rng([seed, 7])

    def model(self, y: Array) -> hb.Model:
        """The model of the rows with these responses."""
        return self.setting.model(self.setting.observe(self.table, y))

    def simulated(self, replication: int) -> hb.Model:
        """The model of the responses of a replication."""
        return self.model(self.responses[replication])

    def compared(
        self, fit: hb.Fit, posterior: xr.Dataset, replication: int
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """What is ranked: the truth (1,), and draws (KEPT,)."""
        setting, new = self.setting, self.setting.new
        truth = Draws({key: values[[replication]] for key, values in self.prior.values.items()}, 1, 1)
        draws = flatten(fit.spec, posterior)
        true, drawn = (quantities(fit.model, values) for values in (truth, draws))
        if new is not None:
            true[NEW] = new_mean(fit.spec, truth, setting, new, self.rng)
            predicted = fit.predict(new, output="draws", seed=replication)
            drawn[NEW] = predicted.to_numpy()[:, THIN - 1 :: THIN].ravel()
        return true, drawn


def calibrate(
    setting: Setting, replications: int, seed: int, tell: Callable[[str], None] = lambda words: None
) -> Calibration:
    """Draw parameters and responses from the prior, fit each response, and rank."""
    start = time.perf_counter()
    kind = SeveralResponses if isinstance(setting.formula, list) else OneResponse
    source = kind(setting, replications, seed)
    ranks: dict[str, list[int]] = {}
    divergences = 0
    for replication in range(replications):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of draws: divergences are counted, the ranks tell the rest
            fit = source.simulated(replication).fit(
                draws=DRAWS,
                chains=CHAINS,
                seed=replication,
                strategy=setting.strategy,
                progress=False,
                **setting.options,
            )
        divergences += int(fit.tree["sample_stats"]["diverging"].sum())
        posterior = fit.posterior.isel(draw=slice(THIN - 1, None, THIN))
        true, drawn = source.compared(fit, posterior, replication)
        for key, values in drawn.items():
            assert values.shape == (KEPT,)
            if np.all(values == true[key][0]):  # a known number
                continue
            ranks.setdefault(key, []).append(int(np.sum(values < true[key][0])))
        if replication % 20 == 19:
            tell(f"{setting.name}: {replication + 1} of {replications}, {time.perf_counter() - start:.0f} s")
    return Calibration(
        {key: np.array(values) for key, values in ranks.items()}, divergences, time.perf_counter() - start
    )


def quantities(model: hb.Model, draws: Draws) -> dict[str, Array]:
    """What is ranked, each (S,): every scalar of the model, one level's effects of each factor, the log likelihood."""
    spec, values = model.spec, draws.values
    found: dict[str, Array] = {}
    for parameter in spec.layout.predictors:
        found |= _of_predictor(spec, parameter, values)
    for name in spec.plain_parameters:
        each = values[spec.own_variable(spec.family.parameter(name)).name]
        found |= {name: each} if each.ndim == 1 else {f"{name}[{j}]": of for j, of in enumerate(each.T)}
    request = Request("linear", choose_groups(spec, "all"), "error", 0)
    eta, own_values = evaluate_predictors(spec, draws, model.design, request)
    for variable in spec.tie_variables:
        cor, labels = values[variable.name], range(values[variable.name].shape[-1])
        found |= {f"{variable.name}[{i}, {j}]": cor[:, i, j] for i, j in combinations(labels, 2)}
    for parameter, layout in spec.layout.predictors.items():
        for curve in layout.curves:
            of_curve = [v.name for v in spec.curve_variables(parameter, curve).values()]
            found |= {name: values[name] for name in of_curve if values[name].ndim == 1}
    found |= {ROW: np.asarray(eta)[:, 0]}
    return found | {LIKELIHOOD: log_densities(spec, model.design, eta, own_values).sum(axis=1)}


def _of_predictor(spec: ModelSpec, parameter: str, values: Mapping[str, Array]) -> dict[str, Array]:
    """What is ranked of the formula of one parameter."""
    layout, prefix = spec.layout.predictors[parameter], "" if parameter == MEAN else f"{parameter}."
    found: dict[str, Array] = {}
    if layout.coefficients:
        b = values[spec.coefficient_variable(parameter).name]
        found |= {f"{prefix}b[{label}]": b[:, j] for j, label in enumerate(layout.coefficients)}
    for simplex in layout.simplexes:
        shares = values[spec.simplex_variable(parameter, simplex.label).name]
        found |= {
            f"{prefix}simo[{simplex.label}, {step}]": shares[:, j] for j, step in enumerate(simplex.steps)
        }
    for factor in layout.factors:
        variables = {
            kind: values[variable.name] for kind, variable in spec.factor_variables(parameter, factor).items()
        }
        level = factor.levels.labels[0]
        for j, effect in enumerate(factor.effects):
            if len(factor.effects) > FEW and 0 < j < len(factor.effects) - 1:
                continue
            if j == 0 or np.any(variables["sd"][:, j] != variables["sd"][:, 0]):
                found[f"{prefix}sd[{factor.name}, {effect}]"] = variables["sd"][:, j]
            found[f"{prefix}r[{factor.name}, {level}, {effect}]"] = variables["r"][:, 0, j]
        for i, j in factor.correlated_pairs if factor.correlated else ():
            found[f"{prefix}cor[{factor.name}, {factor.effects[i]}, {factor.effects[j]}]"] = variables["cor"][
                :, i, j
            ]
        values_of = spec.shape_values(parameter, factor, values)
        for (block, shape), label, each in zip(factor.shapes, factor.shape_labels, values_of, strict=True):
            if not (block.matrix and shape.name == "cor"):
                found[f"{prefix}{shape.name}[{', '.join(filter(None, (factor.name, label)))}]"] = each
    return found | {v.name: values[v.name] for v in spec.shrunk(parameter).variables if not v.dims}


def new_mean(
    spec: ModelSpec, truth: Draws, setting: Setting, new: dict[str, list[object]], rng: np.random.Generator
) -> Array:
    """The expected response of a group that was not observed, its effects drawn from the true distribution: (1,)."""
    numbers = {name: values[0] for name, values in new.items() if isinstance(values[0], float)}
    columns = {"Intercept": 1.0} | numbers
    if setting.curve is not None:
        names = [name for parameter in spec.family.parameters if (name := parameter.name) in setting.formula]
        etas = {
            name: _new_eta(spec, name, truth, setting.steps_below, new, columns, rng)
            for name in names
            if name != MEAN
        }
        return np.atleast_1d(setting.curve(**numbers, **etas))
    eta = _new_eta(spec, MEAN, truth, setting.steps_below, new, columns, rng)
    auxiliaries = {name: truth.values[name] for name in spec.plain_parameters}
    return np.atleast_1d(spec.family.at(np.array([eta]), auxiliaries, spec.link).mean())


def _new_eta(
    spec: ModelSpec,
    parameter: str,
    truth: Draws,
    steps_below: int,
    new: dict[str, list[object]],
    columns: dict[str, Any],
    rng: np.random.Generator,
) -> float:
    """The linear predictor of one parameter there."""
    layout = spec.layout.predictors[parameter]
    for effect in layout.monotonic:
        (shares,) = (own[0] for own in spec.shares(parameter, effect, truth.values))
        below = shares.size * shares[:steps_below].sum()
        columns = columns | {effect.label: below * (columns["x"] if effect.label.endswith(":x") else 1.0)}
    b = truth.values[spec.coefficient_variable(parameter).name][0]
    eta = sum(b[j] * columns[label] for j, label in enumerate(layout.coefficients))
    for factor in layout.factors:
        variables = spec.factor_variables(parameter, factor)
        sd = truth.values[variables["sd"].name][0]
        cor = spec.correlations(parameter, factor, truth.values)[0]
        if factor.relations is None:
            effects = rng.multivariate_normal(np.zeros(len(sd)), cor * np.outer(sd, sd))
        else:
            effects = related_effects(spec, factor, truth, new, sd, rng)
        own = columns | {f"kind[{kind}]": float(kind == new["kind"][0]) for kind in "abcd" if "kind" in new}
        eta = eta + sum(effect * own[name] for effect, name in zip(effects, factor.effects, strict=True))
    return float(eta)


def related_effects(
    spec: ModelSpec,
    factor: Factor,
    truth: Draws,
    new: dict[str, list[object]],
    sd: Array,
    rng: np.random.Generator,
) -> Array:
    """The one effect of a level that was not observed, given the true ones of those it is related to: (1,)."""
    shapes = spec.shape_values(MEAN, factor, truth.values)
    weights, covariance = conditional_levels(factor, [(new[factor.name][0],)], shapes)
    r = truth.values[spec.factor_variables(MEAN, factor)["r"].name][0]
    return np.asarray(weights[0] @ r + sd * np.sqrt(covariance[0]) * rng.normal(size=(1, 1)))[0]
