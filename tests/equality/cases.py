"""Models whose posterior is drawn twice: real data, simulated data of every family, data that upset approximations."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

import hierbayes as hb
from hierbayes.simulation import sample_prior, simulate_responses
from tests.calibration.designs import FAMILIES, Setting, responding
from tests.parity.models import MODELS

type Formula = str | dict[str, str]


@dataclass(frozen=True)
class Case:
    """One model of given rows.

    Attributes
    ----------
    name : str
    formula : str or dict of str
    rows : callable
        The data frame with its response.
    family, link : str
    priors : mapping of str to str
    strategy : str
        The fast strategy that is compared with NUTS on the graph.
    """

    name: str
    formula: Formula
    rows: Callable[[], pd.DataFrame]
    family: str = "gaussian"
    link: str | None = None
    priors: dict[str, str] = field(default_factory=dict)
    strategy: str = "whitened"

    def model(self) -> hb.Model:
        """The model of these rows."""
        return hb.Model(self.formula, self.rows(), family=self.family, link=self.link, priors=self.priors)


def _simulated(setting: Setting) -> Case:
    """A response that the setting's own model simulates."""

    def rows() -> pd.DataFrame:
        frame = setting.rows()
        blank = setting.model(frame)
        responses = simulate_responses(blank.spec, sample_prior(blank.spec, 1, 5), blank.design, 5)
        return frame.assign(y=next(iter(responses.data_vars.values())).to_numpy()[0, 0])

    return Case(setting.name, setting.formula, rows, setting.family, None, setting.priors)


def _referred(name: str, strategy: str) -> Case:
    """A reference model with its data and default priors."""
    reference = MODELS[name]
    rows = partial(hb.load_dataset, reference.dataset)
    return Case(name, reference.formula, rows, reference.family, strategy=strategy)


def growing(positive: bool) -> pd.DataFrame:
    """14 groups whose spread grows with the predictor; above 0 where asked."""
    frame, rng = responding(0.0, 12)(), np.random.default_rng(21)
    group = frame["g"].str[1:].astype(int).to_numpy()
    mean = 1 + 0.3 * frame["x"] + rng.normal(0, 0.4, 14)[group] + rng.normal(0, 0.2, 14)[group] * frame["x"]
    if positive:
        return frame.assign(y=np.exp(mean + rng.normal(0, 0.5, len(frame))))
    spread = np.exp(-0.5 + 0.3 * frame["x"] + rng.normal(0, 0.4, 14)[group])
    return frame.assign(y=rng.normal(mean, spread))


def curved() -> pd.DataFrame:
    """14 groups with an exponential mean and an error of constant size."""
    frame, rng = responding(0.0, 12)(), np.random.default_rng(22)
    group = frame["g"].str[1:].astype(int).to_numpy()
    mean = np.exp(1 + 0.3 * frame["x"] + rng.normal(0, 0.4, 14)[group])
    return frame.assign(y=rng.normal(mean, 0.8))


def insteval_sample() -> pd.DataFrame:
    """A tenth of the lecture evaluations."""
    return hb.load_dataset("insteval").sample(frac=0.1, random_state=1)


def answers() -> pd.DataFrame:
    """40 persons answer 12 items."""
    rng = np.random.default_rng(23)
    person, item = np.repeat(np.arange(40), 12), np.tile(np.arange(12), 40)
    eta = 0.3 + rng.normal(0, 1, 40)[person] + rng.normal(0, 0.8, 12)[item]
    return pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-eta))), "person": person, "item": item})


def separated() -> pd.DataFrame:
    """A predictor that tells the response perfectly."""
    rng = np.random.default_rng(24)
    frame = pd.DataFrame({"x": rng.integers(0, 3, 200), "g": np.arange(200) % 8})
    return frame.assign(y=(frame["x"] > 0).astype(int))


def rare() -> pd.DataFrame:
    """One event in 400 rows."""
    rng = np.random.default_rng(25)
    return pd.DataFrame(
        {"x": rng.normal(size=400), "g": np.arange(400) % 20, "y": np.arange(400) == 7}
    ).astype({"y": int})


def no_events() -> pd.DataFrame:
    """Counts that are all 0, in groups of which half have one row only."""
    rng = np.random.default_rng(26)
    g = np.concatenate([np.arange(20), rng.integers(0, 10, 100)])
    return pd.DataFrame({"x": rng.normal(size=120), "g": g, "y": 0})


CASES = {
    case.name: case
    for case in (
        *(
            _referred(name, "collapsed")
            for name in ("sleepstudy_slopes", "pastes_nested", "oats_splitplot", "radon_slopes", "hsb82_slopes")
        ),
        Case(
            "insteval-tenth", "y ~ service + (1 | s) + (1 | d) + (1 | dept)", insteval_sample,
            strategy="collapsed",
        ),
        *(_referred(name, "whitened") for name in ("cbpp", "contraception", "epilepsy_olre", "arabidopsis")),
        *(_simulated(setting) for setting in FAMILIES),
        Case("lognormal", "y ~ x + (x | g)", partial(growing, True), "lognormal"),
        Case("gaussian-log", "y ~ x + (1 | g)", curved, link="log"),
        Case("gaussian-sigma", {"mu": "y ~ x + (x | g)", "sigma": "~ x + (1 | g)"}, partial(growing, False)),
        Case("crossed", "y ~ 1 + (1 | person) + (1 | item)", answers, "bernoulli"),
        Case("separation", "y ~ x + (1 | g)", separated, "bernoulli"),
        Case("rare", "y ~ x + (1 | g)", rare, "bernoulli"),
        Case("no-events", "y ~ x + (1 | g)", no_events, "poisson"),
    )
}  # fmt: skip
