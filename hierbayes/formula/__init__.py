"""Formulas: text in, a `Formula` out, and back."""

from hierbayes.formula.formula import Formula, GroupTerm, Response, categories_in, names_in, parse
from hierbayes.formula.terms import CATEGORIES, CENTRINGS, FUNCTIONS, NUMPY_FUNCTIONS, WHOLE_COLUMN
from hierbayes.formula.tokens import caret, quote

__all__ = [
    "CATEGORIES",
    "CENTRINGS",
    "FUNCTIONS",
    "NUMPY_FUNCTIONS",
    "WHOLE_COLUMN",
    "Formula",
    "GroupTerm",
    "Response",
    "caret",
    "categories_in",
    "names_in",
    "parse",
    "quote",
]
