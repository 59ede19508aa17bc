"""The table of covariance structures: every module here that has a record, `STRUCTURE`."""

import hashlib
from importlib import import_module
from pathlib import Path

from hierbayes.structures.record import Structure
from hierbayes.structures.related import AREAS, LevelCovariance
from hierbayes.structures.shrinkage import SHRINKAGES, Shrinkage
from hierbayes.structures.spectra import SPECTRA, Spectrum


def _found() -> list[Structure]:
    modules = (
        import_module(f"hierbayes.structures.{path.stem}") for path in Path(__file__).parent.glob("[!_]*.py")
    )
    structures = [module.STRUCTURE for module in modules if hasattr(module, "STRUCTURE")]
    return sorted(structures, key=lambda structure: (structure.place, structure.name))


STRUCTURES: dict[str, Structure] = {structure.name: structure for structure in _found()}
# Of all their files: kernels are compiled with what they say.
DIGEST = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()
KERNELS: dict[str, Structure | Spectrum | Shrinkage | LevelCovariance] = {  # what has a root
    **STRUCTURES,
    **SPECTRA,
    **SHRINKAGES,
    **{name: one for name, one in AREAS.items() if one.parameters},
}
DIAGONAL = {*SPECTRA, *AREAS}  # whose root is diagonal: effects are independent, with variances of their own
CODES = {name: code for code, name in enumerate(KERNELS)}  # what the kernels know them by
