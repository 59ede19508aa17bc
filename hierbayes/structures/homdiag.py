"""Independent effects with one standard deviation."""

from hierbayes.structures.record import Structure, identity_correlation, identity_root, no_reverse

STRUCTURE = Structure(
    "homdiag",
    words="uncorrelated, one sd",
    equation="0",
    root=identity_root,
    reverse=no_reverse,
    correlation=identity_correlation,
    one_sd=True,
    place=2,
)
