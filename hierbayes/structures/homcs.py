"""Compound symmetry with one standard deviation."""

from dataclasses import replace

from hierbayes.structures import cs

STRUCTURE = replace(cs.STRUCTURE, name="homcs", words="one correlation, one sd", one_sd=True, place=4)
