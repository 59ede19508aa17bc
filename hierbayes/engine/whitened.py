"""The strategy for models of any family: NUTS in coordinates in which the posterior is about N(0, I)."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from hierbayes.data.design import MEAN, Design
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.streamed import Streamed, in_memory
from hierbayes.engine.collapsed import COR_PRIORS, SD_PRIORS, sd_row, to_factor
from hierbayes.engine.draws import to_tree
from hierbayes.engine.gaussian.problem import Floats
from hierbayes.engine.known import all_coefficients, known_values, split_columns
from hierbayes.engine.settings import Settings, say, say_if_slow
from hierbayes.engine.whitening.codes import DENSITIES, LINK_CODES, PRIOR_CODES
from hierbayes.engine.whitening.compression import cells, compress
from hierbayes.engine.whitening.problem import Predictor, Problem
from hierbayes.links import LINKS
from hierbayes.priors import Prior
from hierbayes.spec import ModelSpec

if TYPE_CHECKING:
    from hierbayes.engine.whitening.pilot import Pilot
    from hierbayes.engine.whitening.sample import Draws


TUNE, TUNE_UNGUIDED = 250, 1000  # coordinates are good from the start, where the pilot arrived
TARGET_ACCEPT = 0.8  # there are no funnels to be careful in


class Whitened:
    """NUTS in coordinates that a pilot makes almost independent standard normals (docs/engine.md, section 3)."""

    name = "whitened"

    def describe(self, spec: ModelSpec, design: Design | Streamed) -> str:
        """What it does with this model, in words."""
        design = in_memory(design, "strategy 'whitened'")
        words = "NUTS in coordinates whitened by a Laplace approximation"
        left = cells(to_problem(spec, design))
        return words if left == len(design) else f"{words}; {len(design):,} rows → {left:,} cells"

    def supports(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """Why this model cannot be whitened, in words; None where it can."""
        if isinstance(design, Streamed):
            return f"its rows stay in {design.source.words}"
        if spec.family.name not in DENSITIES:
            return f"its kernel has no family {spec.family.name}"
        if spec.link_name not in LINK_CODES:
            return f"its kernel has no link {spec.link_name}"
        for prior in spec.priors:
            allowed = _allowed(prior.kind)
            if prior.prior.fixed is None and prior.prior.name not in allowed:
                return f"a prior of class {prior.kind} is {prior.prior.name}, not one of {', '.join(allowed)}"
        return None

    def run(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw the posterior: a DataTree of the schema."""
        from hierbayes.engine.whitening.sample import sample

        start = time.perf_counter()
        problem, pilot = _find(spec, design, settings)
        if not pilot.converged:
            say(settings, "The Laplace approximation did not converge: chains start from a wider region.")
        ready = time.perf_counter()
        drawn = sample(
            problem,
            pilot,
            draws=settings.draws,
            tune=settings.tune or (TUNE if pilot.converged else TUNE_UNGUIDED),
            chains=settings.chains,
            cores=settings.cores,
            seed=settings.seed,
            progress=settings.progress,
            target_accept=settings.target_accept or TARGET_ACCEPT,
        )
        interrupted = next(iter(drawn.statistics.values())).shape != (settings.chains, settings.draws)
        attributes = {
            "sampler": "nutpie",
            "compile_seconds": ready - start,
            "sampling_seconds": time.perf_counter() - ready,
            "interrupted": int(interrupted),
        }
        return self._tree(spec, design, problem, pilot, drawn, attributes)

    def approximate(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw a Gaussian approximation in the whitened coordinates."""
        from hierbayes.engine.gaussian.normal import draw_normal
        from hierbayes.engine.whitening.pilot import density_of
        from hierbayes.engine.whitening.sample import expand

        start = time.perf_counter()
        problem, pilot = _find(spec, design, settings)
        ready, threads = time.perf_counter(), settings.threads
        positions, log_ratio = draw_normal(
            density_of(pilot.packed), pilot.position, settings.draws, settings.seed, threads
        )
        drawn = expand(problem, pilot.packed, positions, {"log_ratio": log_ratio}, threads)
        attributes = {"compile_seconds": ready - start, "sampling_seconds": time.perf_counter() - ready}
        return self._tree(spec, design, problem, pilot, drawn, attributes)

    def _tree(
        self,
        spec: ModelSpec,
        design: Design | Streamed,
        problem: Problem,
        pilot: "Pilot",
        drawn: "Draws",
        attributes: dict[str, Any],
    ) -> Any:
        more = {
            "strategy": self.name,
            "rows": len(design),
            "cells": len(problem.y),
            "pilot": "converged" if pilot.converged else "not converged",
        }
        rows = in_memory(design, f"strategy {self.name!r}")
        return to_tree(spec, rows, posterior_arrays(spec, drawn), drawn.statistics, more | attributes)


def _find(spec: ModelSpec, design: Design | Streamed, settings: Settings) -> tuple[Problem, "Pilot"]:
    """The model as arrays, rows merged, and where its posterior is."""
    from hierbayes.engine.whitening.pilot import find_pilot

    problem = compress(to_problem(spec, in_memory(design, "strategy 'whitened'")))
    with say_if_slow(
        settings,
        "Finding where the posterior is; the first time on a machine that is compiled, in about half a minute …",
    ):
        pilot = find_pilot(problem)
    return problem, pilot


def _allowed(kind: str) -> tuple[str, ...]:
    if kind in (INTERCEPT, "b"):
        return tuple(PRIOR_CODES)
    return COR_PRIORS if kind == "cor" else tuple(SD_PRIORS)


def posterior_arrays(spec: ModelSpec, drawn: "Draws") -> dict[str, Any]:
    """Draws by the schema's names, on the scale of the user's columns."""
    arrays: dict[str, Any] = {
        name: drawn.own[..., place] for place, name in enumerate(spec.plain_auxiliaries)
    }
    for j, (parameter, layout) in enumerate(spec.layout.predictors.items()):
        if layout.coefficients:
            b = all_coefficients(drawn.b[j], layout, known_values(spec, parameter))
            arrays[spec.coefficient_variable(parameter).name] = b
        for k, factor in enumerate(layout.factors):
            sd, cor = factor.map.to_user_covariance(drawn.sd[j][k], drawn.cor[j][k])
            parts = {"sd": sd, "cor": cor, "r": factor.map.to_user(drawn.r[j][k])}
            for kind, variable in spec.factor_variables(parameter, factor).items():
                arrays[variable.name] = parts[kind]
    return arrays


def to_problem(spec: ModelSpec, design: Design) -> Problem:
    """The model and its rows as the plain arrays of the whitened engine."""
    assert design.y is not None, "a posterior is that of rows with a response"
    family, link = spec.family, spec.link
    names = [auxiliary.name for auxiliary in family.auxiliaries]
    plain = spec.plain_auxiliaries
    density = DENSITIES[family.name]
    n = len(design)
    trials = np.ones(n) if design.trials is None else np.asarray(design.trials, np.float64)
    weights = np.ones(n) if design.weights is None else np.asarray(design.weights, np.float64)
    typical = {a.name: a.typical(spec.layout.response.spread) for a in family.auxiliaries}

    def information(eta: Floats, aux: Floats, trials: Floats) -> Floats:
        own = {name: aux[place] for place, name in enumerate(names)}
        return family.information(eta, own, link, trials)

    return Problem(
        family=family.name,
        link=LINK_CODES[spec.link_name],
        y=density.response(design.y.astype(np.float64)),
        trials=trials,
        weights=weights,
        predictors=tuple(
            _predictor(spec, design, name, 0 if name == MEAN else 1 + names.index(name))
            for name in spec.layout.predictors
        ),
        plain=tuple(1 + names.index(name) for name in plain),
        scale_priors=np.array([sd_row(spec.prior(name, parameter=name)) for name in plain]).reshape(-1, 4),
        scales=tuple(typical[name] for name in plain),
        constant=float(weights @ density.constant(design.y.astype(np.float64), trials)),
        information=information,
    )


def _predictor(spec: ModelSpec, design: Design, parameter: str, place: int) -> Predictor:
    layout, bound = spec.layout.predictors[parameter], design.predictors[parameter]
    scale = spec.layout.response.scale if parameter == MEAN else 1.0
    if parameter == MEAN:
        start = spec.layout.response.location
    else:
        auxiliary = next(a for a in spec.family.auxiliaries if a.name == parameter)
        start = float(LINKS[auxiliary.link].link(auxiliary.typical(spec.layout.response.spread)))
    known = known_values(spec, parameter)
    X, added = split_columns(bound.x, layout, known)
    free = [p for p, value in zip(spec.coefficient_priors(parameter), known, strict=True) if np.isnan(value)]
    return Predictor(
        parameter=place,
        X=X,
        offset=bound.offset + added,
        factors=tuple(to_factor(spec, factor, design, parameter) for factor in layout.factors),
        priors=np.array([coefficient_row(prior) for prior in free]).reshape(-1, 4),
        start=start,
        sds=tuple(0.5 * scale / factor.columns.scales for factor in layout.factors),
    )


def coefficient_row(prior: Prior) -> Floats:
    """A prior of a coefficient as the kernel reads it: (code, a, b, c)."""
    arguments = [value for _, value in prior.args]
    return np.array([PRIOR_CODES[prior.name], *arguments, 0.0, 0.0, 0.0][:4], dtype=np.float64)
