"""Independent effects, each with a standard deviation of its own: ``(x || g)``."""

from hierbayes.structures.record import Structure, identity_correlation, identity_root, no_reverse

STRUCTURE = Structure(
    "diag",
    words="uncorrelated",
    equation="0",
    root=identity_root,
    reverse=no_reverse,
    correlation=identity_correlation,
    place=1,
)
