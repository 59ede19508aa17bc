"""Two long runs of one model, and what they must agree on."""

import warnings

import hierbayes as hb
from tests.equality.scores import limit, scores


def compare(model: hb.Model, strategy: str) -> None:
    """Fit by a fast strategy, which must be the one that fit() would take, and by NUTS on the graph; compare."""
    fast = model.fit(draws=4000, seed=1, progress=False)
    assert fast.tree.attrs["strategy"] == strategy
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", hb.SamplingWarning
        )  # a divergence of NUTS on the graph is the reference's own
        nuts = model.fit(strategy="nuts", seed=2, draws=2000, tune=2000, progress=False, target_accept=0.99)
    z = scores(fast, nuts)
    far = z[z.abs() > limit(len(z))]
    print(
        f"{len(z)} scores, largest {z.abs().max():.2f}, limit {limit(len(z)):.2f}, rms {(z**2).mean() ** 0.5:.3f}"
    )
    assert far.empty, far.to_string()
