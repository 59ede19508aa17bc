"""Normal responses whose residuals are correlated within a series: ``ar(time, gr)``, ``cosy(gr)``.

The correlation is one more parameter of the family. What is asked of single rows is that of their marginal
distribution, and has an answer: the mean and its variance. A row's density and its simulated response depend on the
other rows of its series: these are refused.
"""

from dataclasses import replace
from typing import Any, NoReturn

from hierbayes.errors import UnsupportedError
from hierbayes.families.record import Family, Parameter
from hierbayes.formula.residuals import Residuals
from hierbayes.kinds import CORRELATION, PROBABILITY
from hierbayes.priors import Prior

CORRELATIONS = {
    "ar": (
        Parameter(
            "ar",
            CORRELATION,
            ("identity",),
            "correlation of residuals one time apart",
            prior=lambda spread: Prior("Uniform", lower=-1.0, upper=1.0),
            typical=lambda spread: 0.0,
            formula=False,
        ),
        "correlated ar^|s − t|",
    ),
    "cosy": (
        Parameter(
            "cosy",
            PROBABILITY,
            ("identity",),
            "correlation of any two residuals of a series",
            prior=lambda spread: Prior("Uniform", lower=0.0, upper=1.0),
            typical=lambda spread: 0.5,
            formula=False,
        ),
        "correlated cosy",
    ),
}


def with_series(base: Family, term: Residuals) -> Family:
    """A normal family whose residuals are correlated within series."""
    parameter, words = CORRELATIONS[term.kind]
    mean, variance = base.mean, base.variance
    assert mean is not None, "a normal response has a mean"
    assert variance is not None, "and a variance"

    def refuse(*given: Any, **parameters: Any) -> NoReturn:
        raise UnsupportedError(
            f"residuals are correlated, by {term}: a row alone has no density and no response apart from its "
            "series, and what needs one (loo, residuals, simulated responses and their checks) is not computed; "
            'expected responses are, by predict(kind="mean") and the like'
        )

    return replace(
        base,
        parameters=(*base.parameters, parameter),
        row=None,
        graph=refuse,
        simulate=refuse,
        mean=lambda **given: mean(mu=given["mu"], sigma=given["sigma"]),
        variance=lambda **given: variance(mu=given["mu"], sigma=given["sigma"]),
        cdf=None,
        tails=None,
        information=None,
        normal=False,
        takes_se=False,
        summed=False,
        equation=f"{base.equation}, residuals {words}{f' within {term.group}' if term.group else ''}",
        variant=term.kind,
    )
