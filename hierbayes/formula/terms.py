"""The terms of a formula: R's algebra of their sums and products."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hierbayes.formula.bymember import is_by_member, read_by_member
from hierbayes.formula.calls import check_expression
from hierbayes.formula.latent import is_latent, read_latent, refuse_steps_of_latent
from hierbayes.formula.monotonic import is_monotonic, read_monotonic, refuse_steps_twice
from hierbayes.formula.smooths import is_smooth, read_smooth, refuse_smooth
from hierbayes.formula.syntax import (
    BARS,
    COMPARISONS,
    Binary,
    Call,
    Constant,
    Group,
    Name,
    Node,
    Unary,
    columns_named,
    label_of,
    read_expression,
    render,
    summands,
)
from hierbayes.formula.tokens import ReadError

# -- the algebra of terms -----------------------------------------------------------------------------------

_TOO_MANY_TERMS = 2_000

type Term = tuple[Node, ...]  # columns and calls whose product it is


@dataclass(eq=False)
class Terms:
    """One signed sum as it is read: whether it has an intercept, the terms present, its text."""

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
        """Refuse two terms whose coefficients would have one name."""
        name = ":".join(map(label_of, term))
        if self._names.setdefault(name, frozenset(term)) != frozenset(term):
            raise ReadError(
                position, f"two different terms would both be called {name}; rename or make a column first"
            )


def read_terms(text: str) -> Terms:
    """The terms of a right-hand side's canonical text, checked again.

    Examples
    --------
    >>> [len(term) for term in read_terms("1 + a * b").present.values()]
    [1, 1, 2]
    """
    terms = Terms()
    for sign, item in summands(read_expression(text)):
        terms.put(sign, item)
    return terms


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
        case Call() if is_smooth(node):
            read_smooth(node)
            return [(node,)]
        case Call() if is_monotonic(node):
            read_monotonic(node)
            return [(node,)]
        case Call() if is_by_member(node):
            read_by_member(node)
            return [(node,)]
        case Call() if is_latent(node):
            read_latent(node)
            return [(node,)]
        case Call():
            check_expression(node, predictor=True)
            if not columns_named(node):
                raise ReadError(node.position, f"{node.function}() names no column here")
            return [(node,)]
        case Binary("+"):
            items: list[Node] = []
            while isinstance(node, Binary) and node.operator == "+":
                items.append(node.right)
                node = node.left
            items.append(node)
            return _distinct((term for item in reversed(items) for term in expand(item)), items[0])
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
            for factor in (factor for term in a for factor in term):
                refuse_smooth(factor)
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
    return _distinct((_product((a, b)) for a in left for b in right), node)


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


def _product(terms: Iterable[Term]) -> Term:
    terms = tuple(terms)
    for factor in (factor for term in terms for factor in term):
        refuse_smooth(factor)
    product = tuple(dict.fromkeys(factor for term in terms for factor in term))
    refuse_steps_twice(product)
    refuse_steps_of_latent(product)
    return product


def _is_plain(node: Node) -> bool:
    """Whether the canonical text has it as it is written: different columns or calls under one operator."""
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
        return False
    return all(isinstance(o, Name | Call) for o in operands) and len(set(operands)) == len(operands) > 1
