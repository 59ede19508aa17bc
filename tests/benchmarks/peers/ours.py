"""A job by hierbayes: ``python -m tests.benchmarks.peers.ours JOB``."""

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import hierbayes as hb
from hierbayes.answers.convergence import diagnostics
from tests.benchmarks.table import read_table

LEVELS_LOOKED_AT = 5000  # effective draws of more levels' effects take longer than the fits


def main(job: dict[str, Any]) -> dict[str, Any]:
    frame = hb.load_dataset(job["dataset"]) if "dataset" in job else read_table(Path(job["folder"]))
    matrices = import_module(job["matrices"]).matrices() if job.get("matrices") else None
    start = time.perf_counter()
    model = hb.Model(job["formula"], frame, family=job["family"], data2=matrices, **job.get("model", {}))
    modelled = time.perf_counter() - start
    seconds, cpu = [], []
    for seed in range(1 + job["repeats"]):
        start, used = time.perf_counter(), time.process_time()
        fit = model.fit(seed=seed, progress=False, **job["options"])
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    counted = slice(1, None) if job["repeats"] else slice(None)
    summary = fit.summary()
    statistics = fit.tree["sample_stats"]
    steps = int(statistics["n_steps"].sum())
    return {
        "seconds": float(np.median(seconds[counted])),
        "cpu": float(np.median(cpu[counted])),
        "first": seconds[0],
        "model": modelled,
        "moments": _moments_seconds(model) if fit.tree.attrs["strategy"] == "collapsed" else None,
        "ess": float(summary["ess_bulk"].min()),
        "least": str(summary["ess_bulk"].idxmin()),
        "ess_levels": _least_of_levels(fit),
        "gradients": steps,
        "divergences": int(statistics["diverging"].sum()),
        "strategy": fit.tree.attrs["strategy"],
        "draws": f"{fit.posterior.sizes['chain']} × {fit.posterior.sizes['draw']:,}",
        "version": f"hierbayes {fit.tree.attrs['hierbayes_version']}",
    }


def _moments_seconds(model: hb.Model) -> float | None:
    """Of the one pass over the rows that a collapsed fit of one response begins with."""
    if not isinstance(model, hb.Model):
        return None
    from hierbayes.engine.collapsed import to_problem
    from hierbayes.engine.gaussian.moments import moments

    problem = to_problem(model.spec, model.design)
    start = time.perf_counter()
    moments(problem)
    return time.perf_counter() - start


def _least_of_levels(fit: hb.Fit) -> float | None:
    """The smallest bulk ESS over every level's effects."""
    found = []
    for parameter, layout in fit.spec.layout.predictors.items() if isinstance(fit, hb.Fit) else ():
        for factor in layout.factors:
            if len(factor.levels) > LEVELS_LOOKED_AT:
                return None
            draws = fit.posterior[fit.spec.factor_variables(parameter, factor)["r"].name].to_numpy()
            found.append(np.min(diagnostics(draws.reshape(*draws.shape[:2], -1))["ess_bulk"]))
    return float(min(found)) if found else None


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
