"""Priors as the kernels know them: by numbers."""

from hierbayes.engine.core.problem import PriorCode

NORMAL, STUDENT_T, CAUCHY, LAPLACE, LOGISTIC, FLAT, BETA = 20, 21, 22, 23, 24, 25, 26
BOUNDED_CODES = {  # what lies between bounds, either of which may be absent
    "TruncatedNormal": NORMAL,
    "TruncatedStudentT": STUDENT_T,
    "TruncatedCauchy": CAUCHY,
    "TruncatedLaplace": LAPLACE,
    "TruncatedLogistic": LOGISTIC,
    "TruncatedGamma": PriorCode.GAMMA,
    "TruncatedInverseGamma": PriorCode.INVERSE_GAMMA,
    "TruncatedExponential": PriorCode.EXPONENTIAL,
    "TruncatedLogNormal": PriorCode.LOGNORMAL,
    "TruncatedBeta": BETA,
}
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
}

# Of fields, see `fields`:
# in a field's row: its levels, the kind, the place of its parameter in the shapes (-1: none), parts that sum to 0,
# where its levels begin, where its starts of the neighbours and of the factor's columns begin
SIZE, KIND, SHAPE, PARTS, NODE, ROW = range(6)
DIAGONAL, CONSTANT = 0, 1  # of what is known of levels
PIVOT, IN_Q, IN_D, AS_ROWS, BESIDE = range(5)  # of what is known of a field's coordinates: C₀, q, δ, a, b
KAPPA, TAU, ALPHA = range(3)  # κ₀², τ₀², α₀
