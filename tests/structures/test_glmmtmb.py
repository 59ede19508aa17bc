"""Maximum likelihood of glmmTMB 1.1.5: the marginal density of our models there is theirs, and a maximum.

Numbers are of ``glmmTMB(formula, d, REML = FALSE)``: ``logLik(m)``, ``fixef(m)$cond``, ``sigma(m)`` and what
``VarCorr(m)$cond`` has, with ``d$f <- factor(d$Days)``, ``d$nf <- numFactor(d$Days)``.
"""

from contextlib import nullcontext

import numpy as np
import pytest
from scipy import stats

import hierbayes as hb

SLEEP = hb.load_dataset("sleepstudy")
TOEP = (0.8075366966, 0.6806838338, 0.5984116205, 0.5731479733, 0.5472144862)
TOEP += (0.4788720884, 0.4844820747, 0.4892470390, 0.5391085433)
CS_SDS = (21.27794323, 24.75762329, 20.10732412, 32.78433959, 36.92011052)
CS_SDS += (47.32701229, 58.75131363, 44.05524275, 55.51990235, 63.98421000)
TOEP_SDS = (34.01473267, 37.09265981, 28.06708257, 35.40070273, 38.09740165)
TOEP_SDS += (53.11397388, 68.57737148, 52.75789798, 58.72862359, 63.86709471)

# logLik, fixed effects, sigma, sds, the structure's own numbers
CASES = {
    # Reaction ~ Days + ar1(0 + f | Subject), from betad = 5.4, theta = c(3.8, 1.9)
    "ar1(0 + Days": (
        -871.530932787,
        (253.848078191, 10.448849547),
        15.22875328,
        46.08287291,
        {"rho": 0.8789119894},
    ),
    # Reaction ~ Days + ou(0 + nf | Subject)
    "ou(0 + Days": (
        -871.530932787,
        (253.848003444, 10.448860900),
        15.22877075,
        46.08289157,
        {"decay": -np.log(0.8789122526)},
    ),
    # Reaction ~ Days + cs(0 + f | Subject)
    "cs(0 + C(Days)": (
        -875.381912598,
        (249.315662708, 9.594472217),
        20.78846303,
        CS_SDS,
        {"rho": 0.823894935},
    ),
    # Reaction ~ Days + toep(0 + f | Subject)
    "toep(0 + Days": (
        -851.276444784,
        (245.0559993233, 9.6051824574),
        0.000558426265,
        TOEP_SDS,
        {"cor": TOEP},
    ),
}


def marginal(model: hb.Model, b, sigma, sd, own) -> float:
    """The log likelihood of a Gaussian model's rows, their effects integrated out, by one dense normal."""
    (factor,) = model.spec.layout.main.factors
    bound = model.design.main.factors[factor.name]
    own, matrix = dict(own), None
    if "cor" in own:
        matrix = np.eye(len(factor.effects))
        matrix[0, 1:] = own.pop("cor")
    cor = factor.correlations([np.array(value) for value in own.values()], matrix)
    sds = np.broadcast_to(sd, len(factor.effects))
    within = bound.z @ (sds[:, None] * cor * sds) @ bound.z.T
    covariance = np.where(np.equal.outer(bound.codes, bound.codes), within, 0.0)
    covariance[np.diag_indices(len(covariance))] += sigma**2
    return float(stats.multivariate_normal.logpdf(model.design.y, model.design.main.x @ b, covariance))


@pytest.mark.parametrize("term", CASES)
def test_marginal_density_is_glmmtmbs_and_at_its_maximum(term):
    loglik, b, sigma, sd, own = CASES[term]
    free = pytest.warns(hb.DataWarning, match="more-effects-than-rows")  # of toep, not of few correlations
    with free if term.startswith("toep") else nullcontext():
        model = hb.Model(f"Reaction ~ Days + {term} | Subject)", SLEEP)
    assert marginal(model, b, sigma, sd, own) == pytest.approx(loglik, abs=2e-6)
    sd = np.array(sd)
    for factor in (0.99, 1.01):
        assert marginal(model, b, sigma, sd * factor, own) < loglik
        for name, value in own.items():
            moved = {**own, name: np.array(value) * factor}
            assert marginal(model, b, sigma, sd, moved) < loglik
