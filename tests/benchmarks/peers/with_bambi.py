"""A job by Bambi with nutpie: ``python with_bambi.py JOB`` by the interpreter of an environment that has both.

Alone, so that it runs where hierbayes is not installed.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import arviz as az
import bambi as bmb
import numpy as np
import pandas as pd

warnings.simplefilter("ignore")


def read_table(folder):
    columns = {}
    for place, column in enumerate(json.loads((folder / "columns.json").read_text())):
        values = np.fromfile(folder / f"{place}.f8", dtype="<f8")
        if column["whole"]:
            values = values.astype(np.int64)
        if column["levels"]:
            values = pd.Categorical.from_codes(values, column["levels"])
        columns[column["name"]] = values
    return pd.DataFrame(columns)


def main(job):
    frame = read_table(Path(job["folder"]))
    seconds, cpu, tree = [], [], None
    for seed in range(1 + job["repeats"]):
        start, used = time.perf_counter(), time.process_time()
        model = bmb.Model(job["formula"], frame, family=job["family"])
        tree = model.fit(
            inference_method="nutpie", random_seed=seed, progressbar=False, cores=2, **job["options"]
        )
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    posterior = tree.posterior.to_dataset()
    levels = [name for name in posterior if "|" in name and not name.endswith("_sigma")]
    effective = az.ess(posterior.drop_vars(levels), method="bulk")
    least = {name: float(effective[name].min()) for name in effective.data_vars}
    counted = slice(1, None) if job["repeats"] else slice(None)
    return {
        "seconds": float(np.median(seconds[counted])),
        "cpu": float(np.median(cpu[counted])),
        "first": seconds[0],
        "ess": min(least.values()),
        "least": min(least, key=least.get),
        "gradients": int(tree.sample_stats["n_steps"].sum()),
        "divergences": int(tree.sample_stats["diverging"].sum()),
        "draws": f"{posterior.sizes['chain']} × {posterior.sizes['draw']:,}",
        "version": f"Bambi {bmb.__version__}",
    }


if __name__ == "__main__":
    figures = main(json.loads(Path(sys.argv[1]).read_text()))
    print(json.dumps(figures))
