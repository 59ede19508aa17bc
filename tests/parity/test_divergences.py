"""The reference models at default settings draw without divergences, whatever the seed: run with ``-m slow``."""

import pytest

import hierbayes as hb
from tests.parity.models import MODELS

SEEDS = range(1, 6)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_no_draw_diverges(name):
    reference = MODELS[name]
    model = hb.Model(reference.formula, hb.load_dataset(reference.dataset), family=reference.family)
    diverged = {
        seed: int(model.fit(seed=seed, progress=False).tree["sample_stats"]["diverging"].sum())
        for seed in SEEDS
    }
    assert not any(diverged.values()), diverged
