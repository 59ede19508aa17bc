"""Families, links and priors as the kernels know them: by numbers.

A family of the kernels is its record in `DENSITIES`, under the name of its record in `hierbayes.families`, and one
function in `densities`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from hierbayes.engine.gaussian.problem import Floats, PriorCode

IDENTITY, LOG, INVERSE, LOGIT, PROBIT, CLOGLOG = 0, 1, 2, 3, 4, 5
GAUSSIAN, STUDENT, BINOMIAL, POISSON, NEGBINOMIAL, GAMMA, BETA, BETABINOMIAL = 0, 1, 2, 3, 4, 5, 6, 7
LINK_CODES = {
    "identity": IDENTITY,
    "log": LOG,
    "inverse": INVERSE,
    "logit": LOGIT,
    "probit": PROBIT,
    "cloglog": CLOGLOG,
}
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Density:
    """What the kernel needs to know of a family.

    Attributes
    ----------
    code : int
        The kernel's number for its log density.
    constant : callable
        ``constant(y, trials)``: what the kernel leaves out of each row's log density.
    response : callable
        What the kernel takes for the response.
    summed : bool
        Whether rows that differ in the response alone may be merged: their log density is linear in the response
        (and the trials).
    """

    code: int
    constant: Callable[[Floats, Floats], Floats]
    response: Callable[[Floats], Floats] = lambda y: y
    summed: bool = False


def _choose(y: Floats, trials: Floats) -> Floats:
    return special.gammaln(trials + 1) - special.gammaln(y + 1) - special.gammaln(trials - y + 1)


_BINOMIAL = Density(BINOMIAL, _choose, summed=True)
DENSITIES: dict[str, Density] = {
    "gaussian": Density(GAUSSIAN, lambda y, trials: np.full(y.shape, -0.5 * LOG_2PI)),
    "student": Density(STUDENT, lambda y, trials: np.full(y.shape, -0.5 * np.log(np.pi))),
    "lognormal": Density(GAUSSIAN, lambda y, trials: -0.5 * LOG_2PI - np.log(y), response=np.log),
    "bernoulli": _BINOMIAL,
    "binomial": _BINOMIAL,
    "betabinomial": Density(BETABINOMIAL, _choose),
    "poisson": Density(POISSON, lambda y, trials: -special.gammaln(y + 1), summed=True),
    "negbinomial": Density(NEGBINOMIAL, lambda y, trials: -special.gammaln(y + 1)),
    "gamma": Density(GAMMA, lambda y, trials: -np.log(y)),
    "beta": Density(BETA, lambda y, trials: -np.log(y) - np.log1p(-y)),
}
NORMAL, STUDENT_T, CAUCHY, LAPLACE, LOGISTIC, FLAT = 20, 21, 22, 23, 24, 25
PRIOR_CODES = {  # our distributions → the kernel's numbers; the bounded ones are those of standard deviations
    "Normal": NORMAL,  # mu, sigma
    "StudentT": STUDENT_T,  # nu, mu, sigma
    "Cauchy": CAUCHY,  # alpha, beta
    "Laplace": LAPLACE,  # mu, b
    "Logistic": LOGISTIC,  # mu, s
    "Flat": FLAT,
    "Exponential": PriorCode.EXPONENTIAL,
    "HalfNormal": PriorCode.HALF_NORMAL,
    "HalfStudentT": PriorCode.HALF_STUDENT,
    "HalfCauchy": PriorCode.HALF_CAUCHY,
    "Gamma": PriorCode.GAMMA,
    "InverseGamma": PriorCode.INVERSE_GAMMA,
    "LogNormal": PriorCode.LOGNORMAL,
    "Uniform": PriorCode.UNIFORM,
    "HalfFlat": PriorCode.HALF_FLAT,
}
