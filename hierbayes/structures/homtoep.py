"""Toeplitz correlations with one standard deviation."""

from dataclasses import replace

from hierbayes.structures import toep

STRUCTURE = replace(
    toep.STRUCTURE, name="homtoep", words="a correlation for each lag, one sd", one_sd=True, place=8
)
