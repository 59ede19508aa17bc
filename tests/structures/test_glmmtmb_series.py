"""Maximum likelihood of glmmTMB 1.1.5 on nlme's repeated measures: our marginal densities there, and maxima.

Numbers are of ``glmmTMB(formula, d, REML = FALSE)`` as in `test_glmmtmb`, with ``dispformula = ~0`` where a level has
one row an effect, which leaves a residual sd of 2^-13. The data are those of R's nlme 3.1 (Pinheiro & Bates 2000,
Mixed-Effects Models in S and S-PLUS, appendix A): Oxboys, heights of 26 boys on nine occasions; BodyWeight, of 16
rats on three diets at eleven times with unequal gaps; Ovary, follicles of eleven mares, numbered in time by ``i``;
Orthodont.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hierbayes as hb
from tests.structures.test_glmmtmb import marginal

FOLDER = Path(__file__).parent / "nlme"
NONE = 2.0**-13
SEASON = "follicles ~ I(np.sin(2 * 3.141592653589793 * Time)) + I(np.cos(2 * 3.141592653589793 * Time))"
CS = (2.31125144319, 1.99463572726, 2.41426015753, 2.11895585589)
TOEP = (2.34898951198, 2.00821950273, 2.44150679810, 2.08680111072)


def rho(theta: float) -> float:
    """The correlation that glmmTMB's own parameter of ar1() stands for."""
    return theta / np.sqrt(1 + theta**2)


def of_girls(intercept: float, age: float, female: float, by_age: float) -> tuple[float, ...]:
    """The coefficients with girls, the first in the alphabet, as the reference; in R boys are."""
    return intercept + female, age + by_age, -female, -by_age


# data, formula, logLik, fixed effects in our order, sigma, sds, the structure's own numbers
CASES = {
    "ar1, Oxboys": (
        "oxboys",
        "height ~ age + ar1(0 + Occasion | Subject)",
        -341.1137381822,
        (149.72833372390, 6.54620588372),
        NONE,
        8.22837022184,
        {"rho": rho(10.20208251775)},
    ),
    "ou, BodyWeight": (
        "bodyweight",
        "weight ~ Time * C(Diet) + ou(0 + Time | Rat)",
        -571.4478270129,
        (
            250.589197606704,
            0.363880616546,
            201.906230319767,
            255.985077860296,
            0.657254665971,
            0.305897574392,
        ),
        2.5253339055,
        33.7392105507,
        {"decay": np.exp(-6.73575457182)},
    ),
    "exp, BodyWeight": (
        "bodyweight",
        "weight ~ Time * C(Diet) + exp(0 + Time | Rat)",
        -571.4478270129,
        (
            250.589197600903,
            0.363880616715,
            201.906230295515,
            255.985077793335,
            0.657254665197,
            0.305897574581,
        ),
        2.52533390678,
        33.7392105519,
        {"lscale": np.exp(6.73575457312)},
    ),
    "cs, Orthodont": (
        "orthodont",
        "distance ~ age * sex + cs(0 + C(age) | child)",
        -213.358291824,
        of_girls(16.135472860080, 0.794478688136, 1.268366672062, -0.315688690954),
        NONE,
        CS,
        {"rho": 0.622385385562},
    ),
    "toep, Orthodont": (
        "orthodont",
        "distance ~ age * sex + toep(0 + age | child)",
        -211.2486708634,
        of_girls(15.982117831215, 0.814932486464, 1.460498310728, -0.340163569542),
        NONE,
        TOEP,
        {"cor": (0.622192274692, 0.695352844242, 0.481283959597)},
    ),
    "ar1, Ovary": (
        "ovary",
        f"{SEASON} + ar1(0 + i | Mare)",
        -774.6051256472,
        (12.059648256709, -2.889303294411, -0.803104959708),
        1.87326437619,
        4.08449445162,
        {"rho": rho(1.93964359473)},
    ),
    "ou, Ovary": (
        "ovary",
        f"{SEASON} + ou(0 + i | Mare)",
        -774.6051256466,
        (12.059656003198, -2.889308845785, -0.803095617827),
        1.87326704428,
        4.08448720189,
        {"decay": np.exp(-2.13831961889)},
    ),
}


def data_of(name: str) -> pd.DataFrame:
    return hb.load_dataset(name) if name == "orthodont" else pd.read_csv(FOLDER / f"{name}.csv")


@pytest.mark.filterwarnings("ignore::hierbayes.DataWarning")
@pytest.mark.parametrize("case", CASES)
def test_marginal_density_is_glmmtmbs_and_at_its_maximum(case):
    data, formula, loglik, b, sigma, sd, own = CASES[case]
    model = hb.Model(formula, data_of(data))
    near = 2e-4 if case.startswith("exp") else 3e-6  # a place has 1e-8 of the variance to itself
    assert marginal(model, b, sigma, sd, own) == pytest.approx(loglik, abs=near)
    sd = np.array(sd)
    for factor in (0.97, 1.03):
        assert marginal(model, b, sigma, sd * factor, own) < loglik
        for name, value in own.items():
            # towards a bound of 1 by its distance
            other = 1 - (1 - np.array(value)) * factor if name != "lscale" else np.array(value) * factor
            other = np.array(value) * factor if name == "decay" else other
            assert marginal(model, b, sigma, sd, {**own, name: other}) < loglik
    for place in range(len(b)):
        moved = np.array(b)
        moved[place] += 0.05 * (1 + abs(moved[place]))
        assert marginal(model, moved, sigma, sd, own) < loglik
