"""Formulas: text in, a `Formula` out, and back."""

from hierbayes.formula.formula import (
    CATEGORIES,
    CENTRINGS,
    FUNCTIONS,
    NUMPY_FUNCTIONS,
    WHOLE_COLUMN,
    Formula,
    GroupTerm,
    Response,
    caret,
    categories_in,
    names_in,
    parse,
    quote,
)

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
