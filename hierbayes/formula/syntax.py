"""Expression trees of the formula language: text to tree, and tree to canonical text."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from hierbayes.formula.tokens import LITERALS, NO_BRACKET, ReadError, Token, quote, tokenize
from hierbayes.spelling import meant
from hierbayes.structures import STRUCTURES
from hierbayes.transforms import NAMED_CONTRASTS

BARE = frozenset({"mi"})  # what may be called without an argument

# -- trees --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Name:
    """A column."""

    name: str
    position: int = field(compare=False)


@dataclass(frozen=True)
class Constant:
    """A number, a string, or a word (True, False, None, a contrast such as Sum), as canonical text."""

    kind: str
    text: str
    position: int = field(compare=False)


@dataclass(frozen=True)
class List:
    """Values in brackets, an argument of a transform: ``[1, 2]``."""

    items: "tuple[Node, ...]"
    position: int = field(compare=False)


@dataclass(frozen=True)
class Call:
    """A function with its arguments; ``{x}`` is ``I(x)``."""

    function: str
    arguments: "tuple[Node, ...]"
    keywords: "tuple[tuple[str, Node], ...]"
    position: int = field(compare=False)


@dataclass(frozen=True)
class Unary:
    """A sign before an operand; `doubled` when another operator stands right before it."""

    operator: str
    operand: "Node"
    position: int = field(compare=False)
    doubled: bool = field(compare=False)


@dataclass(frozen=True)
class Binary:
    """An operator between two operands, at the operator's place; ``^`` is ``**``.

    A sum of hundreds is as many of them, one in the other: each takes its hash from those of its operands when it is
    made, since Python 3.12 computes hashes within hashes to a depth of some 500 alone.
    """

    operator: str
    left: "Node"
    right: "Node"
    position: int = field(compare=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.operator, self.left, self.right)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type["Binary"], tuple[str, "Node", "Node", int]]:
        """Made anew by another process, whose texts have other hashes."""
        return Binary, (self.operator, self.left, self.right, self.position)


@dataclass(frozen=True)
class Group:
    """A bar directly inside parentheses, at the opening one's place; the name before them says the structure."""

    left: "Node"
    right: "Node"
    structure: str
    position: int = field(compare=False)
    identifier: str = (
        ""  # of (x |ID| g): its effects are correlated with those of other formulas' terms that have it
    )
    rank: int = 0  # of how many dimensions loadings are: the d of rr(x | g, d=2)


type Node = Name | Constant | List | Call | Unary | Binary | Group

COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
BARS = frozenset({"|", "||"})
_BAR, _COMPARISON, _SUM, _PRODUCT, _COLON, _PREFIX, _POWER = range(1, 8)
_BINDING = (
    dict.fromkeys(BARS, _BAR)
    | dict.fromkeys(COMPARISONS, _COMPARISON)
    | {"+": _SUM, "-": _SUM, "*": _PRODUCT, "/": _PRODUCT, ":": _COLON, "**": _POWER, "^": _POWER}
)
# functions whose arguments may name a contrast: C(x, Sum)
CONTRASTED = frozenset({"C", "factor"})
SPELLINGS = {"us": ("", "|"), "diag": ("", "||")}  # structures that are written without their names


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below one."""
    match node:
        case List(items):
            return items
        case Call(_, arguments, keywords):
            return (*arguments, *(value for _, value in keywords))
        case Unary(_, operand):
            return (operand,)
        case Binary(_, left, right) | Group(left, right):
            return (left, right)
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """A node and all below it, left to right."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(children(node)))


def columns_named(node: Node) -> tuple[str, ...]:
    """The columns that an expression names, each once, in order of appearance."""
    return tuple(dict.fromkeys(part.name for part in walk(node) if isinstance(part, Name)))


def summands(node: Node) -> list[tuple[int, Node]]:
    """The items of a sum with their signs, parentheses dissolved: ``x - (z - 1)`` gives +x, -z, +1."""
    items: list[tuple[int, Node]] = []
    pending = [(1, node)]
    while pending:  # a loop, because a sum of a thousand columns is a left branch as deep
        sign, node = pending.pop()
        match node:
            case Binary("+" | "-" as operator, left, right):
                pending += [(sign if operator == "+" else -sign, right), (sign, left)]
            case Unary(operator, operand, position, doubled):
                if doubled and not (operator == "-" and isinstance(operand, Constant)):
                    raise ReadError(
                        position, f"two operators in a row; leave out one before or at this `{operator}`"
                    )
                pending.append((sign if operator == "+" else -sign, operand))
            case _:
                items.append((sign, node))
    return items


# -- text -> tree -------------------------------------------------------------------------------------------


def read(text: str) -> tuple[Node | None, int, Node]:
    """The trees left and right of ``~``, and the place of that; the left one is None where nothing stands."""
    reader = _Reader(text)
    left = None if reader.at("~") else reader.expression()
    if not reader.at("~"):
        raise reader.unexpected("there is no `~` here: write response ~ predictors, as in y ~ x + (1 | g)")
    tilde = reader.advance().position
    right = reader.expression()
    if reader.token.kind != "end":
        raise reader.unexpected("")
    return left, tilde, right


def read_expression(text: str) -> Node:
    """The tree of a text without ``~``, such as one side of a formula."""
    reader = _Reader(text)
    node = reader.expression()
    if reader.token.kind != "end":
        raise reader.unexpected("")
    return node


class _Reader:
    """Operator-precedence reader, with R's precedences: ``**``, then signs, ``:``, ``* /``, ``+ -``."""

    def __init__(self, text: str):
        self.tokens = tokenize(text)
        self.index = 0
        self.opened: list[Token] = []
        self.calls = 0  # that are open

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def at(self, *signs: str) -> bool:
        return self.token.kind == "sign" and self.token.text in signs

    def advance(self) -> Token:
        self.index += 1
        return self.tokens[self.index - 1]

    def expression(self, binding: int = 0) -> Node:
        """An operand and all operators after it that bind at least as tightly as `binding`."""
        node = self.operand()
        compared = False
        while self.token.kind == "sign" and (power := _BINDING.get(self.token.text, -1)) >= binding:
            token = self.advance()
            if compared and power == _COMPARISON:
                raise ReadError(
                    token.position, "comparisons cannot be chained; compare two at a time, in parentheses"
                )
            compared = power == _COMPARISON
            right = self.expression(power if power == _POWER else power + 1)
            node = Binary("**" if token.text == "^" else token.text, node, right, token.position)
        return node

    def operand(self) -> Node:
        before = self.tokens[self.index - 1] if self.index else None
        token = self.token
        match token.kind, token.text:
            case "sign", "+" | "-":
                self.advance()
                doubled = (
                    before is not None and before.kind == "sign" and before.text in _BINDING.keys() - BARS
                )
                return Unary(token.text, self.expression(_PREFIX), token.position, doubled)
            case "sign", "(":
                return self.parenthesis()
            case "sign", "{":
                opening = self.open()
                inside = self.expression()
                self.close("}")
                return Call("I", (inside,), (), opening.position)
            case "sign", "[":
                return self.bracket(before)
            case "name", word:
                self.advance()
                if self.at("("):
                    return self.call(token)
                if word in LITERALS:
                    return self.literal(token)
                return Name(word, token.position)
            case "column", name:
                self.advance()
                return Name(name, token.position)
            case "number" | "string", _:
                self.advance()
                return Constant(token.kind, token.text, token.position)
        raise self.missing_operand(before)

    def literal(self, token: Token) -> Constant:
        spelling = LITERALS[token.text]
        if spelling != token.text:
            raise ReadError(
                token.position, f"write {spelling} (for a column of this name: `{token.text}` in backquotes)"
            )
        return Constant("word", spelling, token.position)

    def parenthesis(self) -> Node:
        opening = self.open()
        inside = self.expression()
        self.close(")")
        match inside:
            case Binary("|" | "||" as bar, left, right):
                if isinstance(left, Binary) and left.operator in BARS:
                    return self.identified(left, bar, right, opening.position)
                return Group(left, right, "us" if bar == "|" else "diag", opening.position)
        return inside

    def identified(self, left: Binary, bar: str, right: Node, position: int) -> Group:
        """The group term (x |ID| g), whose effects are correlated with those of other terms with this ID."""
        if left.operator != "|" or bar != "|" or not isinstance(left.right, Name | Constant):
            raise ReadError(left.position, "a group term has one bar, or an ID between two: (x |ID| g)")
        if isinstance(left.left, Binary) and left.left.operator in BARS:
            raise ReadError(left.left.position, "a group term has one ID: (x |ID| g)")
        identifier = left.right.name if isinstance(left.right, Name) else left.right.text
        if not identifier.isalnum():
            raise ReadError(left.right.position, "an ID is a plain word of letters and digits: (x |p| g)")
        return Group(left.left, right, "us", position, identifier)

    def bracket(self, before: Token | None) -> List:
        opening = self.token
        if before is None or before.text not in ("(", ",", "=", "[") or not self.calls:
            raise ReadError(opening.position, NO_BRACKET)
        self.open()
        items: list[Node] = []
        while not self.at("]"):
            items.append(self.expression(_COMPARISON))
            if not self.at(","):
                break
            self.advance()
        self.close("]")
        return List(tuple(items), opening.position)

    def call(self, name: Token) -> Call | Group:
        self.open()
        if self.at(")") and name.text not in BARE:
            raise ReadError(self.token.position, f"{name.text}() needs an argument")
        if self.at(")"):
            self.close(")")
            return Call(name.text, (), (), name.position)
        self.calls += 1
        arguments: list[Node] = []
        keywords: dict[str, Node] = {}
        while True:
            group = self.argument(name.text, arguments, keywords)
            if group is not None:
                self.close(")")
                self.calls -= 1
                return replace(group, position=name.position)
            if not self.at(","):
                break
            self.advance()
        self.close(")")
        self.calls -= 1
        return Call(name.text, tuple(arguments), tuple(keywords.items()), name.position)

    def argument(self, function: str, arguments: list[Node], keywords: dict[str, Node]) -> Group | None:
        """Read an argument of a call; the effects and the groups, where the call is a covariance structure's."""
        start = self.token
        keyword = None
        if (
            start.kind != "end"
            and self.tokens[self.index + 1].kind == "sign"
            and self.tokens[self.index + 1].text == "="
        ):
            keyword = start.text
            if start.kind != "name" or not keyword.isidentifier() or quote(keyword) != keyword:
                raise ReadError(start.position, "a keyword is a plain word: f(x, word=value)")
            if keyword in keywords:
                raise ReadError(start.position, f"the keyword {keyword} is given twice")
            self.index += 2
        elif keywords:
            raise ReadError(start.position, "an argument without a keyword stands after one with a keyword")
        value = self.expression()
        match value:
            case Binary("|" | "||" as bar, left, right, position):
                return self.structured(function, bar, left, right, position, not arguments and not keyword)
            case Name(name) if function in CONTRASTED and name in NAMED_CONTRASTS and (arguments or keyword):
                value = Constant("word", name, value.position)
        if keyword is None:
            arguments.append(value)
        else:
            keywords[keyword] = value
        return None

    def structured(
        self, function: str, bar: str, left: Node, right: Node, position: int, alone: bool
    ) -> Group:
        """The group term that a structure's name stands before: ``cs(0 + f | g)``."""
        if function not in STRUCTURES:
            near = meant(function, STRUCTURES)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise ReadError(
                position,
                f"a bar cannot stand inside a call of {function}(), which is no covariance structure; {hint}there are "
                f"{', '.join(STRUCTURES)}; if {function} is a column, an operator is missing before the parenthesis",
            )
        if bar == "||":
            raise ReadError(position, f"inside {function}() stands one bar: {function}(x | g)")
        if isinstance(left, Binary) and left.operator in BARS:
            raise ReadError(position, f"inside {function}() stands one bar: {function}(x | g)")
        rank = self.rank(function) if STRUCTURES[function].loadings else 0
        if not alone or not self.at(")"):
            raise ReadError(
                self.token.position if alone else position,
                f"{function}() takes effects and groups alone: {function}(x | g)",
            )
        return Group(left, right, function, position, rank=rank)

    def rank(self, function: str) -> int:
        """Of how many dimensions the loadings of a structure's effects are: ``d=2``, which it is unless said."""
        if not self.at(","):
            return 2
        self.advance()
        word, equals, number = (self.tokens[min(self.index + k, len(self.tokens) - 1)] for k in range(3))
        if word.text != "d" or equals.text != "=":
            raise ReadError(
                word.position, f"{function}() has the option d=, how many dimensions: {function}(x | g, d=2)"
            )
        if number.kind != "number" or not number.text.isdecimal() or int(number.text) < 1:
            raise ReadError(number.position, "d= is a whole number of dimensions, 1 or more")
        self.index += 3
        return int(number.text)

    # -- brackets and what can go wrong

    def open(self) -> Token:
        self.opened.append(self.token)
        return self.advance()

    def close(self, bracket: str) -> None:
        if not self.at(bracket):
            raise self.unexpected("")
        self.opened.pop()
        self.advance()

    def unexpected(self, at_end: str) -> ReadError:
        """Why the text cannot go on with this token after a complete expression."""
        token = self.token
        if token.kind == "end":
            if self.opened:
                return ReadError(self.opened[-1].position, f"this `{self.opened[-1].text}` is never closed")
            return ReadError(token.position, at_end)
        if token.kind != "sign" or token.text in "({":
            return ReadError(token.position, f"an operator such as + is missing before {token.text}")
        reasons = {
            "~": "a second `~`; a formula has one"
            if not self.opened
            else "`~` cannot stand inside parentheses",
            ",": "a comma has a meaning only between the arguments of a call",
            "=": "`=` has a meaning only after a keyword in a call; the response is followed by `~`",
            ")": "this `)` closes nothing",
            "}": "this `}` closes nothing",
            "[": NO_BRACKET,
            "]": "this `]` closes nothing",
        }
        return ReadError(token.position, reasons[token.text])

    def missing_operand(self, before: Token | None) -> ReadError:
        """Why no operand starts here: an operator has nothing on its right or on its left."""
        token = self.token
        if before is not None:
            opening = before.text in ("(", "{")
            if token.kind == "end" and (opening or before.text == ","):
                return ReadError(self.opened[-1].position, f"this `{self.opened[-1].text}` is never closed")
            if opening and token.text in (")", "}"):
                return ReadError(before.position, "these parentheses are empty")
            if not opening and (token.kind == "end" or token.text in (")", "}", "]", ",", "~", "=")):
                hint = "; write 1 for the intercept alone" if before.text == "~" else ""
                return ReadError(before.position, f"nothing follows this `{before.text}`{hint}")
            if before.text in _BINDING:
                message = f"two operators in a row: `{before.text}` and `{token.text}`"
                return ReadError(token.position, message)
        hint = "; (1 | g) for the intercepts alone" if token.text in BARS else ""
        return ReadError(token.position, f"nothing stands before this `{token.text}`{hint}")


# -- tree -> text -------------------------------------------------------------------------------------------

# how tightly operators bind; -x ** 2 and a ** b ** c, which not every language reads alike, get parentheses
_TIGHT, _SIGNED = 9, 8
_RENDERED = _BINDING | {"**": _PREFIX}


def render(node: Node) -> str:
    """Canonical text of an expression, with the parentheses that it needs."""
    return _text(node, 0, True)


def label_of(node: Node) -> str:
    """What coefficients call a column or a call: its text without backquotes and inner parentheses.

    A matrix of contrasts is called ``matrix``.

    Examples
    --------
    >>> label_of(read_expression("I((a + `b c`) * 2)"))
    'I(a + b c * 2)'
    >>> label_of(read_expression("C(f, [[-1], [1]])"))
    'C(f, matrix)'
    """
    return _text(node, 0, False)


def _text(node: Node, level: int, exact: bool) -> str:
    """Text of a node in parentheses (where `exact`) when it binds less tightly than `level`."""
    match node:
        case Name(name):
            return quote(name) if exact else name
        case Constant(_, text):
            return text
        case List(items):
            nested = not exact and any(isinstance(item, List) for item in items)
            return "matrix" if nested else f"[{', '.join(_text(item, 0, exact) for item in items)}]"
        case Call(function, arguments, keywords):
            named = [f"{word}={_text(value, 0, exact)}" for word, value in keywords]
            return f"{function}({', '.join([*(_text(a, 0, exact) for a in arguments), *named])})"
        case Unary(operator, operand):
            own, text = _SIGNED, operator + _text(operand, _SIGNED, exact)
        case Binary("**", left, right):
            own, text = _RENDERED["**"], f"{_text(left, _TIGHT, exact)} ** {_text(right, _SIGNED, exact)}"
        case Binary(operator, left, right):
            own = _RENDERED[operator]
            inner = own + 1 if operator in COMPARISONS else own
            joint = ":" if operator == ":" else f" {operator} "
            text = f"{_text(left, inner, exact)}{joint}{_text(right, own + 1, exact)}"
        case Group(left, right, structure, _, identifier, rank):
            name, bar = SPELLINGS.get(structure, (structure, "|"))
            bar = f"|{identifier}|" if identifier else bar
            option = f", d={rank}" if rank else ""
            return f"{name}({_text(left, 0, exact)} {bar} {_text(right, 0, exact)}{option})"
    return f"({text})" if own < level and exact else text
