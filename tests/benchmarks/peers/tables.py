"""CPU seconds of what comes after a fit: ``python -m tests.benchmarks.peers.tables tables|arrays|predict``."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import hierbayes as hb

FORMULA = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"
ROWS, SUBJECTS = 100_000, 1000

TABLES: dict[str, Callable[[hb.Fit], Any]] = {
    "summary": lambda fit: fit.summary(),
    "fixef": lambda fit: fit.fixef(),
    "ranef": lambda fit: fit.ranef(),
    "coef": lambda fit: fit.coef(),
    "varcorr": lambda fit: fit.varcorr(),
    "icc": lambda fit: fit.icc(),
    "r2": lambda fit: fit.r2(),
    "shrinkage": lambda fit: fit.shrinkage(),
    "rank": lambda fit: fit.rank("s"),
    "contrasts of 100 levels": lambda fit: fit.contrasts("d", levels=fit.posterior["d"].to_numpy()[:100]),
    "conditional_effects": lambda fit: fit.conditional_effects("service", groups="average"),
    "avg_predictions": lambda fit: fit.avg_predictions(by="dept"),
    "avg_comparisons": lambda fit: fit.avg_comparisons(),
    "avg_slopes": lambda fit: fit.avg_slopes(),
    "compare": lambda fit: fit.compare(fit.data.iloc[:1000], fit.data.iloc[1000:2000]),
    "compare of averages": lambda fit: fit.compare(fit.data.iloc[:30_000], fit.data.iloc[30_000:]),
    "check": lambda fit: fit.check(),
    "prior_sensitivity": lambda fit: fit.prior_sensitivity(),
    "residual_tests": lambda fit: fit.residual_tests(),
    "loo": lambda fit: fit.loo().table,
    "logo of d": lambda fit: fit.logo("d").table,
    "logo of dept": lambda fit: fit.logo("dept").table,
    "logo of s": lambda fit: fit.logo("s").table,
}
ARRAYS: dict[str, Callable[[hb.Fit], Any]] = {
    "predict of the 73,421 rows": lambda fit: fit.predict(),
    "posterior_predictive": lambda fit: fit.posterior_predictive(),
    "log_likelihood": lambda fit: fit.log_likelihood(),
}


def predictions() -> dict[str, Callable[[hb.Fit], Any]]:
    """100,000 rows of the sleep study's model: its subjects' and new ones'."""
    rng = np.random.default_rng(0)
    subjects = hb.load_dataset("sleepstudy")["Subject"].unique()
    known = pd.DataFrame({"Days": rng.uniform(0, 9, ROWS), "Subject": rng.choice(subjects, ROWS)})
    new = known.assign(Subject=rng.integers(10_000, 10_000 + SUBJECTS, ROWS))
    return {
        "mean": lambda fit: fit.predict(known),
        "response": lambda fit: fit.predict(known, kind="response"),
        f"mean, {SUBJECTS} new levels": lambda fit: fit.predict(new),
    }


def main(what: str) -> dict[str, Any]:
    if what == "predict":
        work = predictions()
        fit = hb.fit(
            "Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy"), seed=1, progress=False
        )
    else:
        work = TABLES if what == "tables" else ARRAYS
        fit = hb.fit(FORMULA, hb.load_dataset("insteval"), seed=1, progress=False)
    import arviz  # noqa: F401 — the tables' own time, not that of imports

    found = {}
    for name, make in work.items():
        start = time.process_time()
        make(fit)
        found[name] = time.process_time() - start
    slowest = max(found, key=lambda name: found[name])
    return {
        "cpu": found[slowest],
        "each": ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.items()),
        "draws": f"{fit.posterior.sizes['chain']} × {fit.posterior.sizes['draw']:,}",
        "version": f"hierbayes {fit.tree.attrs['hierbayes_version']}",
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
