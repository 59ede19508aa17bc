"""docs/families.md, made from the registry: `python -m tests.families.page` writes it."""

from pathlib import Path

import numpy as np

from hierbayes.families import FAMILIES, Family, Parameter

PAGE = Path(__file__).parents[2] / "docs" / "families.md"
START = """# Families

All response distributions, their parameters, and the links and default priors of these. This page is made from what
the code says of them.

`family="…"` names one. `link=` names the link of the first parameter, or one a parameter:
`link={"mu": "log", "sigma": "identity"}`; the first of those listed is the default. Every parameter but thresholds may
have [a formula](formula.md), of which `mu` is the first: `{"mu": "y ~ x + (1 | g)", "sigma": "~ x"}`. Without one it is
a number with the prior listed, in which *s* is the standard deviation of the response (of its logarithm where `mu` is
the mean of that) and *least* its least value. Priors of formulas are told in [Priors](priors.md).

Names, links and parameterisations are brms's; glmmTMB's where brms has no such family. More on [zeros](zeros.md),
on [categories in order](ordinal.md), on [choices and their times](choices-and-times.md),
on [counts and shares of several categories](compositions.md)
and on [mixtures of these](mixtures.md).
"""
NUMBER, POSITIVE, COUNT, TRIALS, SHARE, CATEGORY = (
    "Numbers",
    "Positive numbers",
    "Counts",
    "Yes or no, and successes out of trials",
    "Shares",
    "Categories",
)


def kind_of(family: Family) -> str:
    """Under which heading a family stands."""
    support = family.support
    if family.has_categories:
        return CATEGORY
    if support.two_levels or family.needs_trials:
        return TRIALS
    if support.whole:
        return COUNT
    negative, large = support.contains(np.array([-0.5, 1.5]), None)
    return NUMBER if negative and not support.signed else POSITIVE if large else SHARE


def prior_of(parameter: Parameter) -> str:
    """Its default prior as text, with the response's scale as a letter."""
    if parameter.prior is None:
        return "it has a formula"
    once, twice = parameter.prior(1.0), parameter.prior(2.0)
    scale = {"spread": "s", "least": "least"}[parameter.of]
    words = []
    for (name, value), (_, other) in zip(once.args, twice.args, strict=True):
        if value == other:
            words.append(f"{name}={value:g}")
        elif value == 0:
            words.append(f"{name}={(other - value) / np.log(2):.3g} log {scale}")
        elif other == value / 2:
            words.append(f"{name}={value:g}/{scale}")
        elif np.isclose(other, value / np.sqrt(2)):
            words.append(f"{name}={value:g}/√{scale}")
        else:
            assert other == 2 * value, f"how the prior of {parameter.name} goes with the scale"
            words.append(f"{name}={'' if value == 1 else f'{value:g} '}{scale}")
    return f"{once.name}({', '.join(words)})"


def table(families: list[Family]) -> str:
    """Families with a row for each of their parameters."""
    lines = ["| family | parameter | | links | default prior |", "|---|---|---|---|---|"]
    for family in families:
        for parameter in (one for one in family.parameters if not one.known):
            first = parameter is family.first
            name = f"`{family.name}`" if first else ""
            links = family.links if first else parameter.links
            words = ", ".join(f"`{link}`" for link in links) if parameter.takes_formula else "no formula"
            prior = prior_of(parameter).replace("|", "\\|")
            lines.append(f"| {name} | `{parameter.name}` | {parameter.words} | {words} | {prior} |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    parts = [START]
    for heading in (NUMBER, POSITIVE, COUNT, TRIALS, SHARE, CATEGORY):
        families = [family for family in FAMILIES.values() if kind_of(family) == heading]
        told = ["| family | a response is | distribution |", "|---|---|---|"]
        told += [f"| `{one.name}` | {one.support.words} | {one.equation} |" for one in families]
        parts += [f"## {heading}\n", "\n".join(told) + "\n", table(families) + "\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
