"""Priors as the kernels know them: by numbers."""

from hierbayes.engine.core.problem import PriorCode
from hierbayes.priors import Prior

NORMAL, STUDENT_T, CAUCHY, LAPLACE, LOGISTIC, FLAT, BETA = 20, 21, 22, 23, 24, 25, 26
ABOVE, BELOW = 27, 28  # normal distributions cut off at one end: mu, sigma, the end
PRIOR_CODES = {  # our distributions → the kernel's numbers; the bounded ones are those of standard deviations
    "Normal": NORMAL,  # mu, sigma
    "StudentT": STUDENT_T,  # nu, mu, sigma
    "Cauchy": CAUCHY,  # alpha, beta
    "Laplace": LAPLACE,  # mu, b
    "Logistic": LOGISTIC,  # mu, s
    "Flat": FLAT,
    "Beta": BETA,  # alpha, beta
    "Exponential": PriorCode.EXPONENTIAL,
    "HalfNormal": PriorCode.HALF_NORMAL,
    "HalfStudentT": PriorCode.HALF_STUDENT,
    "HalfCauchy": PriorCode.HALF_CAUCHY,
    "Gamma": PriorCode.GAMMA,
    "InverseGamma": PriorCode.INVERSE_GAMMA,
    "LogNormal": PriorCode.LOGNORMAL,
    "Uniform": PriorCode.UNIFORM,
    "HalfFlat": PriorCode.HALF_FLAT,
    "TruncatedNormal": ABOVE,  # or BELOW, see `row_of`
}


def row_of(prior: Prior) -> tuple[float, ...] | None:
    """A prior as a kernel reads it, its number and up to three arguments; None for one that it has no number for."""
    if prior.name == "TruncatedNormal":
        arguments = dict(prior.args)
        ends = [arguments.get("lower"), arguments.get("upper")]
        if None not in ends:
            return None
        code, end = (BELOW, ends[1]) if ends[0] is None else (ABOVE, ends[0])
        return code, arguments["mu"], arguments["sigma"], end
    if prior.name not in PRIOR_CODES:
        return None
    return PRIOR_CODES[prior.name], *(value for _, value in prior.args)
