"""The terms of a formula: the functions they may call, and R's algebra of their sums and products.

formulae has an algebra of its own, but takes ``a:b`` and ``b:a`` for different terms, and two terms of one
name for one. So the terms are worked out here, and what formulae reads otherwise is written out for it.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hierbayes.formula.syntax import (
    BARS,
    COMPARISONS,
    ENCODED,
    ENCODINGS,
    Binary,
    Call,
    Constant,
    Group,
    Name,
    Node,
    Unary,
    columns_named,
    formulae_name,
    render,
    walk,
)
from hierbayes.formula.tokens import ReadError

FORMULAE_FUNCTIONS = frozenset(
    {"B", "C", "I", "S", "T", "binary", "bs", "cc", "center", "cr", "poly", "scale", "standardize", "tp"}
)
NUMPY_FUNCTIONS = frozenset(
    {"abs", "cos", "exp", "expm1", "log", "log10", "log1p", "log2", "sin", "sqrt", "tanh"}
)
FUNCTIONS = FORMULAE_FUNCTIONS | NUMPY_FUNCTIONS | {"factor"}

# what these learn of the training rows is a mean and a standard deviation
CENTRINGS = frozenset({"center", "scale", "standardize"})
# functions that make categories of a column, of numbers too
CATEGORIES = frozenset({"C", "S", "T", "factor"})
# what these learn takes all rows at once
WHOLE_COLUMN = frozenset({"bs", "cc", "cr", "poly", "tp"})

# formulae does not multiply these with other terms
SPLINES = frozenset({"bs", "cc", "cr", "tp"})

_SMOOTH = "smooths are not supported; a spline basis is bs(x, df=5) or cr(x, df=5)"
_COUNTS = "give successes and trials as y | trials(n) ~ …, with n the number of trials"
_WAYS_OUT = (
    dict.fromkeys(("s", "t2", "te", "ti"), _SMOOTH)
    | dict.fromkeys(("p", "prop", "proportion", "cbind"), _COUNTS)
    | dict.fromkeys(("as.factor", "as.ordered", "ordered", "as_factor"), "write factor(x)")
    | dict.fromkeys(
        ("trials", "weights", "cens"),
        "it belongs to the response, after a bar: y | trials(n) + weights(w) ~ …",
    )
    | dict.fromkeys(
        ("mo", "me", "mi", "ar", "ma", "arma", "gp", "hsgp", "car"), "brms's special terms are not supported"
    )
    | dict.fromkeys(("gr", "mm"), "gr() and mm() are not supported")
    | dict.fromkeys(ENCODINGS, 'an encoding stands inside C(): C(x, Sum), C(x, Treatment("a"))')
    | {
        "ns": "write cr(x, df=5), a natural cubic spline",
        "c": "there are no vectors in a formula; for splines give df=",
        "mean": "write center(x)",
        "sd": "write scale(x)",
        "std": "write scale(x)",
        "mvbind": "a model has one response",
        "offset": "an offset is a term of its own on the right side: y ~ x + offset(log(e))",
    }
)
# functions of numpy whose value in one row depends on the other rows
_ACROSS_ROWS = frozenset(
    {"mean", "median", "average", "std", "var", "cov", "corrcoef", "min", "max", "amin", "amax", "ptp", "sum"}
    | {"prod", "quantile", "percentile", "nanmean", "nanmedian", "nanstd", "nanvar", "nanmin", "nanmax"}
    | {
        "nansum",
        "nanquantile",
        "cumsum",
        "cumprod",
        "diff",
        "ediff1d",
        "gradient",
        "sort",
        "argsort",
        "unique",
    }
    | {"random", "linalg", "fft"}
)


# -- expressions and calls ----------------------------------------------------------------------------------


def as_term(node: Node) -> str:
    """Canonical text that formulae reads as one term: arithmetic goes into ``I()``."""
    return render(node if isinstance(node, Name | Call) else Call("I", (node,), (), node.position))


def check_expression(node: Node, *, predictor: bool) -> None:
    """Refuse what has no meaning in arithmetic, and functions that aren't there."""
    encodings: set[int] = set()
    for part in walk(node):
        match part:
            case Call(function, arguments, keywords):
                if function in ENCODED:
                    encodings |= {id(a) for a in (*arguments[1:], *(value for _, value in keywords))}
                if not (function in ENCODINGS and id(part) in encodings):
                    _check_function(part, predictor)
            case Group() | Binary("|" | "||"):
                raise ReadError(part.position, "a group term cannot stand inside an expression")
            case Binary(":"):
                raise ReadError(part.position, "`:` has no meaning in arithmetic; the product is a * b")


def _check_function(call: Call, predictor: bool) -> None:
    name = call.function
    if predictor and name in ("B", "binary"):
        # on new rows formulae would choose the level anew
        raise ReadError(call.position, f'{name}() is for responses; write I(x == "level")')
    if name in FUNCTIONS:
        return
    if name in _WAYS_OUT:
        raise ReadError(call.position, f"{name}() is not a function here: {_WAYS_OUT[name]}")
    if not name.startswith("np."):
        near = f"np.{name.removeprefix('numpy.')}"
        hint = f"; write {near}" if _is_rowwise(near) else suggest(name, FUNCTIONS)
        raise ReadError(call.position, f"{name}() is not a known function{hint}")
    if not _is_numpy_function(name):
        import numpy as np

        near = suggest(name, [f"np.{word}" for word in dir(np) if callable(getattr(np, word, None))])
        raise ReadError(call.position, f"{name}() is not a function of numpy{near}")
    if predictor and not _is_rowwise(name):
        way_out = "write center(x) or scale(x), which remember the training rows, or make a column first"
        raise ReadError(
            call.position, f"{name}() looks across rows and would change with the new ones; {way_out}"
        )


def _is_numpy_function(name: str) -> bool:
    import numpy as np

    found: Any = np
    for word in name.split(".")[1:]:
        found = getattr(found, word, None) if not word.startswith("_") else None
    return callable(found)


def _is_rowwise(name: str) -> bool:
    return _is_numpy_function(name) and name.split(".")[1] not in _ACROSS_ROWS


def suggest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean log?"`` where a known name comes near, otherwise nothing."""
    words = sorted(known)
    near = difflib.get_close_matches(name, words) or difflib.get_close_matches(name.lower(), words)
    return f"; did you mean {' or '.join(near)}?" if near else ""


# -- the algebra of terms -----------------------------------------------------------------------------------

_TOO_MANY_TERMS = 2_000

type Term = tuple[Node, ...]  # columns and calls whose product it is


@dataclass(eq=False)
class Terms:
    """One signed sum as it is read: whether it has an intercept, the terms present, the text for formulae."""

    intercept: bool = True
    present: dict[frozenset[Node], Term] = field(default_factory=dict)
    _names: dict[str, frozenset[Node]] = field(default_factory=dict)
    _pieces: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[bool, frozenset[frozenset[Node]]]:
        """Equal for two sums of the same terms."""
        return self.intercept, frozenset(self.present)

    @property
    def text(self) -> str:
        """Canonical text: ``"1 + a * b - a:b"``."""
        return " ".join(["1" if self.intercept else "0", *self._pieces])

    def put(self, sign: int, node: Node) -> None:
        """Add or remove the intercept or the terms of one item."""
        if isinstance(node, Constant) and node.text in ("0", "1"):
            self.intercept = (node.text == "1") == (sign > 0)
        elif sign > 0:
            self._add(node)
        else:
            self._remove(node)

    def _add(self, node: Node) -> None:
        terms = expand(node)
        new = [term for term in terms if frozenset(term) not in self.present]
        for term in new:
            self._check_name(term, node.position)
            self.present[frozenset(term)] = term
        reads_alike = _is_plain(node) and all(self.present[frozenset(term)] == term for term in terms)
        if reads_alike and new:
            self._pieces.append(f"+ {render(node)}")
        else:
            self._pieces += [f"+ {_join(term)}" for term in new]

    def _remove(self, node: Node) -> None:
        for term in expand(node):
            self._pieces.append(f"- {_join(_take(self.present, term, node.position))}")

    def _check_name(self, term: Term, position: int) -> None:
        """Refuse two terms that formulae would call the same, and then take for one."""
        name = ":".join(map(formulae_name, term))
        if self._names.setdefault(name, frozenset(term)) != frozenset(term):
            raise ReadError(
                position, f"two different terms would both be called {name}; rename or make a column first"
            )


def _join(term: Term) -> str:
    return ":".join(map(render, term))


def _take(present: dict[frozenset[Node], Term], term: Term, position: int) -> Term:
    """Remove a term that is there."""
    if frozenset(term) not in present:
        raise ReadError(position, f"there is no term {_join(term)} before this to take away")
    return present.pop(frozenset(term))


def expand(node: Node) -> list[Term]:
    """The terms that an expression of the algebra stands for, each once; ``a * b`` is a, b and a:b."""
    match node:
        case Name():
            return [(node,)]
        case Call():
            check_expression(node, predictor=True)
            if not columns_named(node):
                raise ReadError(node.position, f"{node.function}() names no column here")
            return [(node,)]
        case Binary("+", left, right):
            return _distinct([*expand(left), *expand(right)], node)
        case Binary("-", left, right):
            kept = {frozenset(term): term for term in expand(left)}
            for term in expand(right):
                _take(kept, term, node.position)
            return list(kept.values())
        case Binary(":", left, right):
            return _cross(expand(left), expand(right), node)
        case Binary("*", left, right):
            a, b = expand(left), expand(right)
            return _distinct([*a, *b, *_cross(a, b, node)], node)
        case Binary("/", left, right):
            a = expand(left)
            everything = [tuple(dict.fromkeys(factor for term in a for factor in term))]
            return _distinct([*a, *_cross(everything, expand(right), node)], node)
        case Binary("**", left, right):
            return _power(expand(left), right, node)
        case Binary("|" | "||", Binary("|" | "||") as first):
            return expand(first)
    raise ReadError(node.position, _why_no_term(node))


def _why_no_term(node: Node) -> str:
    match node:
        case Group():
            return "a group term can only be added to the others"
        case Constant("number", number):
            return f"{number} is no term (0 and 1 set the intercept); arithmetic goes into I(): I(2 * x)"
        case Constant(_, text):
            return f"{text} is no term; name a column"
        case Unary(operator):
            return f"`{operator}` has no meaning here; arithmetic goes into I(): I(-x)"
        case Binary(operator) if operator in BARS:
            return f"a group term needs parentheses: (x {operator} g)"
        case Binary(operator) if operator in COMPARISONS:
            return f"a comparison goes into I(): I({render(node)})"
    raise AssertionError(node)


def _distinct(terms: Iterable[Term], node: Node) -> list[Term]:
    found: dict[frozenset[Node], Term] = {}
    for term in terms:
        found.setdefault(frozenset(term), term)
        if len(found) > _TOO_MANY_TERMS:
            raise ReadError(node.position, f"this expands to more than {_TOO_MANY_TERMS} terms")
    return list(found.values())


def _cross(left: list[Term], right: list[Term], node: Node) -> list[Term]:
    return _distinct((_product((a, b), node) for a in left for b in right), node)


def _power(terms: list[Term], exponent: Node, node: Binary) -> list[Term]:
    """All products of up to `exponent` of the terms."""
    if len(terms) == 1:
        square = render(node).replace(" ** ", "**")
        raise ReadError(node.position, f"a power of one term is only that term; write I({square})")
    if not isinstance(exponent, Constant) or not exponent.text.isdigit() or exponent.text == "0":
        raise ReadError(
            exponent.position, "the power of a sum of terms is a whole number, as in (a + b + c)**2"
        )
    products = terms
    for _ in range(min(int(exponent.text), len(terms)) - 1):
        products = _distinct([*products, *_cross(products, terms, node)], node)
    return products


def _product(terms: Iterable[Term], node: Node) -> Term:
    factors = tuple(dict.fromkeys(factor for term in terms for factor in term))
    for factor in factors if len(factors) > 1 else ():
        if isinstance(factor, Call) and factor.function in SPLINES:
            raise ReadError(node.position, f"{factor.function}() cannot be in an interaction; poly(x, 3) can")
    return factors


def _is_plain(node: Node) -> bool:
    """Whether formulae's algebra reads this as ours does: different columns or calls under one operator.

    It fails or differs on most else: ``(a + I(x**2)) * (b + c)`` cannot be hashed, ``(a + b)/(c * d)`` loses
    ``a:b:c:d``, ``(a * b)**2`` has both ``a:b`` and ``b:a``, ``a / x`` with a categorical ``a`` loses a column's label.
    """
    match node:
        case Binary("/"):
            return False
        case Binary("**", base):
            operator = "+"
        case Binary(operator):
            base = node
        case _:
            return True
    operands: list[Node] = []
    while isinstance(base, Binary) and base.operator == operator:
        operands.append(base.right)
        base = base.left
    operands.append(base)
    if isinstance(node.right, Constant) and not 2 <= int(node.right.text) <= len(operands):
        return False  # formulae counts up to any power, and has no power 1
    return all(isinstance(o, Name | Call) for o in operands) and len(set(operands)) == len(operands) > 1
