"""Families: everything known of a response distribution, one record each, a module a kind.

Adding a family is writing its record and adding it to `registry.FAMILIES`. The graph, the predictions, the checks of
the response and the default priors read the record; nothing else asks which family a model has. Two places know its
name besides: the command line's list, which must import nothing, and, for strategy ``whitened``, a compiled density
under `hierbayes.engine.whitening.codes`; without that NUTS on the graph takes the model.
"""

from hierbayes.families.record import Auxiliary, Family, Support, Values, response_scale
from hierbayes.families.registry import FAMILIES, get_family

__all__ = ["FAMILIES", "Auxiliary", "Family", "Support", "Values", "get_family", "response_scale"]
