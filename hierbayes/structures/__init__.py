"""Covariance structures of the effects of a level, one file each."""

from hierbayes.structures.record import BOUNDED, POSITIVE, FreeCorrelations, Structure, StructureParameter
from hierbayes.structures.registry import STRUCTURES
from hierbayes.structures.spectra import SPECTRA, Spectrum

__all__ = [
    "BOUNDED",
    "POSITIVE",
    "SPECTRA",
    "STRUCTURES",
    "FreeCorrelations",
    "Spectrum",
    "Structure",
    "StructureParameter",
]
