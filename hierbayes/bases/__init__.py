"""Bases of smooths, a record each: what they learn of the training rows, their columns and their penalty.

They are those of Wood's mgcv: on the same rows and with the same k they span the same functions with the same penalty.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hierbayes.bases.cubic import CYCLIC, NATURAL
from hierbayes.bases.hilbert import SineBasis, learn_sines
from hierbayes.bases.pspline import P_SPLINE
from hierbayes.bases.record import Basis, BasisKind
from hierbayes.bases.smooth import Smooth, learn_smooths
from hierbayes.bases.tensor import BENDING, TensorPart, learn_tensor
from hierbayes.bases.thinplate import THIN_PLATE

BASES: Mapping[str, BasisKind] = MappingProxyType(
    {kind.name: kind for kind in (THIN_PLATE, NATURAL, CYCLIC, P_SPLINE)}
)

__all__ = [
    "BASES",
    "BENDING",
    "Basis",
    "BasisKind",
    "SineBasis",
    "Smooth",
    "TensorPart",
    "learn_sines",
    "learn_smooths",
    "learn_tensor",
]
