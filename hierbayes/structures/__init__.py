"""Covariance structures of the effects of a level, one file each."""

from hierbayes.structures.laws import LAWS, NORMAL, Law
from hierbayes.structures.record import (
    BOUNDED,
    POSITIVE,
    REAL,
    FreeCorrelations,
    FreeLoadings,
    Structure,
    StructureParameter,
)
from hierbayes.structures.registry import STRUCTURES
from hierbayes.structures.related import AREAS, KNOWN, LevelCovariance
from hierbayes.structures.shrinkage import INDEPENDENT, SHRINKAGES, Shrinkage, ShrinkageParameter
from hierbayes.structures.spectra import SPECTRA, Spectrum

__all__ = [
    "AREAS",
    "BOUNDED",
    "INDEPENDENT",
    "KNOWN",
    "LAWS",
    "NORMAL",
    "POSITIVE",
    "REAL",
    "SHRINKAGES",
    "SPECTRA",
    "STRUCTURES",
    "FreeCorrelations",
    "FreeLoadings",
    "Law",
    "LevelCovariance",
    "Shrinkage",
    "ShrinkageParameter",
    "Spectrum",
    "Structure",
    "StructureParameter",
]
