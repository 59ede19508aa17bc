"""Formulas: text in, a `Formula` out, and back."""

from hierbayes.formula.formula import Formula, GroupTerm, Response, categories_in, names_in, parse
from hierbayes.formula.tokens import caret, quote

__all__ = [
    "Formula",
    "GroupTerm",
    "Response",
    "caret",
    "categories_in",
    "names_in",
    "parse",
    "quote",
]
