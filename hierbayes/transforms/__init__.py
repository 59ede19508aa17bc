"""The functions that a formula may call, and no others: a table of records.

A new transform is a record (what it learns of the training rows, and the columns that it makes of any rows) and a line
in `TRANSFORMS`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hierbayes.transforms.bends import BENDS
from hierbayes.transforms.binary import BINARY, B
from hierbayes.transforms.centring import CENTER, SCALE, STANDARDIZE
from hierbayes.transforms.contrasts import CATEGORIES, CONTRASTS, NAMED_CONTRASTS, ChosenContrast, Coding
from hierbayes.transforms.elementwise import ELEMENTWISE
from hierbayes.transforms.polynomial import POLY
from hierbayes.transforms.record import KINDS, REQUIRED, Argument, Categories, Elementwise, Transform
from hierbayes.transforms.splines import BS, CC, CR, TP

TRANSFORMS: Mapping[str, Transform] = MappingProxyType(
    {record.name: record for record in (B, BENDS, BINARY, BS, CC, CENTER, CR, POLY, SCALE, STANDARDIZE, TP)}
)
FUNCTIONS = frozenset({"I", *ELEMENTWISE, *TRANSFORMS, *CATEGORIES})

__all__ = [
    "CATEGORIES",
    "CONTRASTS",
    "ELEMENTWISE",
    "FUNCTIONS",
    "KINDS",
    "NAMED_CONTRASTS",
    "REQUIRED",
    "TRANSFORMS",
    "Argument",
    "Categories",
    "ChosenContrast",
    "Coding",
    "Elementwise",
    "Transform",
    "elementwise",
]


def elementwise(name: str) -> Elementwise | None:
    """The function of one row that a formula calls ``log`` or ``np.log``; None where the table has none.

    Examples
    --------
    >>> elementwise("np.log").name
    'log'
    >>> elementwise("np.roll") is None
    True
    """
    return ELEMENTWISE.get(name.removeprefix("np."))
