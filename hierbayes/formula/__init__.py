"""Formulas: text in, a `Formula` out, and back."""

from hierbayes.formula.formula import Formula, GroupTerm, Response, Thresholds, categories_in, names_in, parse
from hierbayes.formula.tokens import caret, quote

__all__ = [
    "Formula",
    "GroupTerm",
    "Response",
    "Thresholds",
    "caret",
    "categories_in",
    "names_in",
    "parse",
    "quote",
]
