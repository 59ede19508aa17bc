"""Findings about Gaussian processes: do their functions stand for the length scale that was found.

The rules are those of Riutort-Mayol et al. (2023), Statistics and Computing 33, section 4.2. Below the shortest length
scale that the functions can follow their density is that of no process, and it is often far too high.
"""

from collections.abc import Iterator
from math import ceil

import numpy as np
import xarray as xr

from hierbayes.answers.draws import draws_of
from hierbayes.criticism.findings import Finding
from hierbayes.data.curves import LSCALE, Process
from hierbayes.spec import ModelSpec

SHARE = 0.05  # of the draws, that may lie beyond what the functions can follow


def check_processes(spec: ModelSpec, posterior: xr.Dataset) -> Iterator[Finding]:
    """Whether k and c suffice for the length scales of the draws, and which would."""
    for parameter, layout in spec.layout.predictors.items():
        for curve in layout.curves:
            if curve.process is not None:
                variable = spec.curve_variables(parameter, curve)[LSCALE]
                lscale = draws_of(posterior, variable).ravel()
                yield from _check(curve.label, curve.process, lscale)


def shortest(process: Process) -> float:
    """The shortest length scale that the functions can follow."""
    k = float(process.basis.indices.max())
    return process.spectrum.fewest * process.basis.half_width / k


def longest(process: Process) -> float:
    """The longest length scale for which the box is wide enough."""
    return process.basis.half_width / process.spectrum.widest


def _check(label: str, process: Process, lscale: np.ndarray) -> Iterator[Finding]:
    low, high = (float(value) for value in np.quantile(lscale, [SHARE, 1 - SHARE]))
    basis, least, most = process.basis, shortest(process), longest(process)
    if low < least:
        share = float(np.mean(lscale < least))
        k = ceil(process.spectrum.fewest * basis.half_width / low)
        k = min(
            k, 2 * int(basis.indices.max())
        )  # draws below `least` don't say how short the length scale is
        yield Finding(
            "few-functions",
            f"the {basis.indices.max():.0f} functions of {label} follow length scales from {least:.3g} on, and "
            f"{share:.0%} of the draws are shorter",
            f"Fit with k={k}, and look again",
        )
    middle = float(np.median(lscale))
    if middle > most:
        c = ceil(20 * process.spectrum.widest * middle / basis.extent) / 20
        k = ceil(process.spectrum.fewest * c * basis.extent / min(low, middle))
        k = max(k, int(basis.indices.max()))
        yield Finding(
            "narrow-box",
            f"the functions of {label} are made for length scales up to {most:.3g}, and the draws' median is "
            f"{middle:.3g} (95 % below {high:.3g}), so that the ends of the curve are drawn towards 0",
            f"Fit with c={c:g}, k={k}; a curve as even as that may well be a straight line or s()",
            question=True,
        )
