"""Covariance structures of the effects of a level, one file each."""

from hierbayes.structures.record import BOUNDED, POSITIVE, Structure, StructureParameter
from hierbayes.structures.registry import STRUCTURES

__all__ = ["BOUNDED", "POSITIVE", "STRUCTURES", "Structure", "StructureParameter"]
