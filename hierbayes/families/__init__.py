"""Families: everything known of a response distribution, one record a file.

Adding a family is adding its file; `registry` finds it, and nothing else is touched (docs/adding-a-family.md). The
graph, the compiled kernels, the predictions, the checks of the response and the default priors read the record; nothing
else asks which family a model has.
"""

from hierbayes.families.record import Family, Parameter, Responses, Support, Values, response_scale
from hierbayes.families.registry import FAMILIES, Links, get_family, is_known

__all__ = [
    "FAMILIES",
    "Family",
    "Links",
    "Parameter",
    "Responses",
    "Support",
    "Values",
    "get_family",
    "is_known",
    "response_scale",
]
