"""The tokens of a formula, each with its place in the text, and the caret that points there."""

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

from hierbayes.errors import FormulaError


class ReadError(Exception):
    """What stops the reading of a formula, and where; `parse` turns it into a FormulaError with a caret."""

    def __init__(self, position: int, message: str):
        """Keep the place, an offset in the text, and the message."""
        super().__init__(message)
        self.position = position
        self.message = message


def caret(text: str, position: int, message: str) -> str:
    """A message over the text with a caret under one place of it.

    Parameters
    ----------
    text : str
        The formula; line breaks and tabs are shown as single spaces, so that the place holds.
    position : int
        Offset of the place in `text`; ``len(text)`` is just behind its end.
    message : str
        What is wrong there.

    Examples
    --------
    >>> print(caret("y ~ x | g", 6, "a group term needs parentheses: (x | g)"))
    a group term needs parentheses: (x | g)
        y ~ x | g
              ^
    """
    line = "".join(" " if char.isspace() else char for char in text)
    return f"{message}\n    {line}\n    {' ' * sum(map(_width, line[:position]))}^"


def _width(char: str) -> int:
    """Columns of a terminal that one character takes."""
    if _is_mark(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


# -- names --------------------------------------------------------------------------------------------------

# R's spellings would otherwise be read as columns
LITERALS = {
    "True": "True",
    "False": "False",
    "None": "None",
    "TRUE": "True",
    "FALSE": "False",
    "NULL": "None",
}


def quote(name: str) -> str:
    """A column's name as a formula spells it: in backquotes unless it is a plain identifier.

    Parameters
    ----------
    name : str
        The column's name in the data.

    Raises
    ------
    FormulaError
        For an empty name or one with a backquote in it, which no formula can spell.

    Examples
    --------
    >>> quote("Days"), quote("my col"), quote("_x"), quote("x.1")
    ('Days', '`my col`', '`_x`', 'x.1')
    """
    if not name or "`" in name:
        raise FormulaError(f"a formula cannot spell the column name {name!r}; rename the column")
    plain = name[0].isalpha() and all(char.isalnum() or char in "._" for char in name)
    return name if plain and name not in LITERALS else f"`{name}`"


def _is_mark(char: str) -> bool:
    """Whether it is a combining accent or vowel sign, a part of the letter before it."""
    return unicodedata.category(char) in ("Mn", "Mc")


def _continues_name(char: str) -> bool:
    return char.isalnum() or char in "._" or _is_mark(char)


# -- tokens -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """A piece of the text: its kind (name, column, number, string, sign or end), spelling and offset."""

    kind: str
    text: str
    position: int


_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SIGN = re.compile(r"\*\*|\|\||[=!<>]=|[-+*/:^|<>=~,(){}\[\]]")
NO_BRACKET = (
    "`[` has no meaning here: there are no subsets of a response, and lists only as arguments of a transform, "
    "knots=[1, 2]; make the column in the data first"
)
_FOREIGN = {
    "%": "%in% and other %operators% are not supported; for b within a write a:b",
    "$": "name the column alone; the data come as an argument of their own",
}


_LOOKALIKES = {
    "-": "\u2010\u2011\u2012\u2013\u2014\u2212",
    "*": "×∗",
    '"': "“”„",
    "'": "‘’",
    "~": "∼˜",
    "|": "∣",
    ":": "∶",
}


def tokenize(text: str) -> list[Token]:
    """The tokens of a formula, the last one of kind ``"end"`` just behind its last character."""
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token, at = _scan(text, at)
        tokens.append(token)
    return [*tokens, Token("end", "", len(text.rstrip()))]


def _scan(text: str, at: int) -> tuple[Token, int]:
    """The token that starts at an offset, and the offset behind it."""
    char = text[at]
    if char in "`'\"":
        return _scan_quoted(text, at)
    if number := _NUMBER.match(text, at):
        return Token("number", _decimal(number[0], at), at), _end_of_number(text, number)
    if char.isalpha() or char in "._":
        end = at + 1
        while end < len(text) and _continues_name(text[end]):
            end += 1
        if not text[at:end].strip("."):
            raise ReadError(at, "`.` for all other columns is not supported; name the columns")
        return Token("name", text[at:end], at), end
    if sign := _SIGN.match(text, at):
        return Token("sign", sign[0], at), sign.end()
    message = f"{char!r} has no meaning in a formula; a column name that holds it goes in backquotes"
    if meant := next((plain for plain, alike in _LOOKALIKES.items() if char in alike), ""):
        message = f"{char} is not the sign that it looks like, as in copied text; write {meant}"
    raise ReadError(at, _FOREIGN.get(char, message))


def _scan_quoted(text: str, at: int) -> tuple[Token, int]:
    mark = text[at]
    end = text.find(mark, at + 1)
    if end < 0:
        raise ReadError(at, f"the {mark} that opens here is never closed")
    inside = text[at + 1 : end]
    if mark == "`":
        if not inside:
            raise ReadError(at, "there is no column name between these backquotes")
        return Token("column", inside, at), end + 1
    if "'" in inside or '"' in inside:
        raise ReadError(at, "a string cannot hold a quotation mark; rename the level in the data")
    return Token("string", f'"{inside}"', at), end + 1


def _end_of_number(text: str, number: re.Match[str]) -> int:
    end = number.end()
    if end < len(text) and _continues_name(text[end]):
        raise ReadError(
            number.start(), "a name cannot start with a digit; a column named so goes in backquotes"
        )
    return end


def _decimal(spelling: str, position: int) -> str:
    """A number written without an exponent."""
    if spelling.isdigit() and len(spelling) <= 18:
        return str(int(spelling))
    value = float(spelling)
    if value == float("inf"):
        raise ReadError(position, "this number is too large")
    digits = f"{Decimal(repr(value)):f}"
    return digits if "." in digits else f"{digits}.0"
