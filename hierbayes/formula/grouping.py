"""What ``gr()`` and ``mm()`` say of the levels of a grouping factor: ``(x | gr(g, by=z))``, ``(x | mm(g1, g2))``."""

from ast import literal_eval
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hierbayes.formula.calls import arguments_by_name, as_term, check_expression, suggest
from hierbayes.formula.syntax import Binary, Call, Constant, Name, Node, columns_named, render, walk
from hierbayes.formula.terms import Terms, read_terms
from hierbayes.formula.tokens import ReadError, quote
from hierbayes.structures import AREAS, LAWS

GROUPINGS = ("gr", "mm")
_MEMBER_OPTIONS = ("weights", "scale")
_OPTIONS = ("by", "cov", "car", "type", "dist")
_TOGETHER = ("type", "dist")  # that go with others
_MATRICES = ("cov", "car")
_NAMES_MATRIX = {*(("gr", word) for word in _MATRICES), ("car", "M")}
_UNSUPPORTED = {
    "id": "effects that are correlated across formulas are (x |ID| g)",
    "pw": "",
    "cor": "effects without correlations are (x || g)",
}
_BRMS_TYPES = {"escar": "car", "esicar": "icar"}
_TRUTHS = {"True": True, "False": False}


@dataclass(frozen=True)
class Grouping:
    """How the levels of a grouping factor stand to each other.

    Attributes
    ----------
    by : str
        The column for each of whose values the effects have a covariance of their own; ``""`` for none.
    cov : str
        The name of the known covariance between levels; ``""`` where there is none.
    car : str
        The name of what says which levels are neighbours, as areas are; ``""`` where they are none.
    type : str
        The covariance of neighbours: ``"icar"``, ``"bym2"`` or ``"car"``.
    dist : str
        The law of the levels' effects, ``""`` for the normal one: ``"student"``.
    several : bool
        Whether a row has several levels, one in each of the factor's columns: ``mm(g1, g2)``.
    weights : tuple of str
        The weight of each of them, an expression; none where they weigh the same.
    scale : bool
        Whether a row's weights are divided by their sum.
    """

    by: str = ""
    cov: str = ""
    car: str = ""
    type: str = ""
    dist: str = ""
    several: bool = False
    weights: tuple[str, ...] = ()
    scale: bool = True

    def written(self, columns: Sequence[str]) -> str:
        """Canonical text of a factor, given its columns.

        Examples
        --------
        >>> Grouping(by="arm").written(["g"]), Grouping().written(["g", "h"])
        ('gr(g, by=arm)', 'g:h')
        >>> Grouping(car="W", type="bym2").written(["county"])
        'gr(county, car=W, type="bym2")'
        >>> Grouping(by="arm", dist="student").written(["g"])
        'gr(g, by=arm, dist="student")'
        >>> Grouping(several=True, weights=("w1", "w2"), scale=False).written(["g1", "g2"])
        'mm(g1, g2, weights=cbind(w1, w2), scale=False)'
        """
        if self.several:
            weights = [f"weights=cbind({', '.join(self.weights)})"] if self.weights else []
            scale = [] if self.scale else ["scale=False"]
            return f"mm({', '.join([*map(quote, columns), *weights, *scale])})"
        factor = ":".join(map(quote, columns))
        named = [f"{word}={quote(value)}" for word in ("by", *_MATRICES) if (value := getattr(self, word))]
        options = [*named, *(f'{word}="{value}"' for word in _TOGETHER if (value := getattr(self, word)))]
        return f"gr({', '.join([factor, *options])})" if options else factor

    def encoded(self, effects: str) -> str:
        """The right-hand side from which the columns of the effects are made.

        Examples
        --------
        >>> Grouping(by="arm").encoded("1 + x"), Grouping().encoded("1 + x")
        ('0 + C(arm) + C(arm):x', '1 + x')
        """
        if not self.by:
            return effects
        terms, category = read_terms(effects), self.category
        parts = [category] if terms.intercept else []
        parts += [":".join([category, *map(render, term)]) for term in terms.present.values()]
        return " + ".join(["0", *parts])

    @property
    def plain(self) -> bool:
        """Whether nothing is said."""
        return self == Grouping()

    @property
    def category(self) -> str:
        """The text of the category that tells the covariances apart."""
        return f"C({quote(self.by)})"


def read_grouping(item: Node, effects: Terms) -> tuple[Node, Grouping]:
    """A summand right of a bar: the columns that make the levels, and what is said of these.

    Raises
    ------
    ReadError
        For an option that there isn't, or one that is no column.
    """
    if not isinstance(item, Call) or item.function not in GROUPINGS:
        return item, Grouping()
    if item.function == "mm":
        return _read_members(item)
    if len(item.arguments) != 1:
        raise ReadError(item.position, "gr() takes one grouping factor and then options: gr(g, by=z)")
    for word, value in item.keywords:
        if word in _UNSUPPORTED:
            hint = _UNSUPPORTED[word] or f"there is {_listed(_OPTIONS)}"
            raise ReadError(value.position, f"gr(…, {word}=…) is not supported; {hint}")
        if word not in _OPTIONS:
            near = suggest(word, _OPTIONS)
            raise ReadError(value.position, f"gr() has no option {word}{near}; there is {_listed(_OPTIONS)}")
    options = dict(item.keywords)
    chosen = [word for word in _MATRICES if word in options]
    if len(chosen) > 1:
        raise ReadError(item.position, f"gr() takes {chosen[0]}= or {chosen[1]}=, not both")
    by = options.get("by")
    return item.arguments[0], Grouping(
        by=_read_by(by, effects) if by is not None else "",
        cov=_read_matrix("cov", options),
        car=_read_matrix("car", options),
        type=_read_type(item, options),
        dist=_read_law(options),
    )


def _read_members(call: Call) -> tuple[Node, Grouping]:
    """The columns of ``mm()``, joined, and what it says of the levels that a row has of them."""
    columns = call.arguments
    for column in columns:
        if not isinstance(column, Name):
            raise ReadError(
                column.position, "mm() takes columns, each with one of a row's levels: mm(g1, g2)"
            )
    names = [column.name for column in columns if isinstance(column, Name)]
    if len(set(names)) < max(len(names), 2):
        raise ReadError(
            call.position, "mm() takes two columns or more, each with one of a row's levels: mm(g1, g2)"
        )
    for word, value in call.keywords:
        if word not in _MEMBER_OPTIONS:
            near = suggest(word, _MEMBER_OPTIONS)
            raise ReadError(
                value.position, f"mm() has no option {word}{near}; there is {_listed(_MEMBER_OPTIONS)}"
            )
    options = dict(call.keywords)
    weights, scale = options.get("weights"), options.get("scale")
    if scale is not None and not (isinstance(scale, Constant) and scale.text in _TRUTHS):
        raise ReadError(scale.position, "scale= is True, for weights that are divided by their sum, or False")
    joined: Node = columns[0]
    for column in columns[1:]:
        joined = Binary(":", joined, column, column.position)
    grouping = Grouping(
        several=True,
        weights=() if weights is None else _read_weights(weights, len(columns)),
        scale=not isinstance(scale, Constant) or _TRUTHS[scale.text],
    )
    return joined, grouping


def _read_weights(node: Node, count: int) -> tuple[str, ...]:
    if (
        not isinstance(node, Call)
        or node.function != "cbind"
        or node.keywords
        or len(node.arguments) != count
    ):
        raise ReadError(
            node.position, f"weights= has a column for each of the {count}: weights=cbind(w1, w2)"
        )
    for weight in node.arguments:
        if not columns_named(weight):
            raise ReadError(weight.position, "a weight is a column or an expression of columns")
        check_expression(weight, predictor=True)
    return tuple(as_term(weight) for weight in node.arguments)


def _read_matrix(word: str, options: Mapping[str, Node]) -> str:
    node = options.get(word)
    if node is None:
        return ""
    if not isinstance(node, Name):
        raise ReadError(
            node.position, f"{word}= names a matrix of data2: gr(g, {word}=A) with data2={{'A': …}}"
        )
    return node.name


def _read_type(item: Call, options: Mapping[str, Node]) -> str:
    kinds = _quoted(AREAS)
    node = options.get("type")
    if "car" not in options:
        if node is not None:
            raise ReadError(node.position, 'type= goes with car=: gr(g, car=W, type="bym2")')
        return ""
    if node is None:
        raise ReadError(
            item.position, f"gr(…, car=) needs type=, how effects follow their neighbours': {kinds}"
        )
    if _string(node) not in AREAS:
        here = _BRMS_TYPES.get(_string(node))
        known = f'brms\'s {render(node)} is type="{here}" here' if here else f"there is {kinds}"
        raise ReadError(node.position, f"there is no type {render(node)}; {known}")
    return _string(node)


def _read_law(options: Mapping[str, Node]) -> str:
    node = options.get("dist")
    if node is None:
        return ""
    if _string(node) not in LAWS:
        raise ReadError(
            node.position, f"levels' effects have no dist {render(node)}; there is {_quoted(LAWS)}"
        )
    law = LAWS[_string(node)]
    related = next((word for word in _MATRICES if word in options), "")
    if related and not law.normal:
        raise ReadError(
            node.position,
            f"effects of related levels, {related}=, are normal ones; leave dist= or {related}= out",
        )
    return "" if law.normal else law.name


def _string(node: Node) -> str:
    """The text of a string constant, "" of anything else."""
    return str(literal_eval(node.text)) if isinstance(node, Constant) and node.kind == "string" else ""


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


def area_text(call: Call) -> str:
    """The group term that brms's term of areas stands for.

    Examples
    --------
    >>> from hierbayes.formula.syntax import read_expression
    >>> area_text(read_expression('car(W, gr=county, type="bym2")'))
    '(1 | gr(county, car=W, type="bym2"))'

    Raises
    ------
    ReadError
        For an argument that it doesn't have.
    """
    given = arguments_by_name(call, ("M", "gr", "type"))
    matrix, group, kind = (given.get(word) for word in ("M", "gr", "type"))
    if not isinstance(matrix, Name) or not isinstance(group, Name):
        raise ReadError(
            call.position, "car() names a matrix of data2 and a column of areas: car(W, gr=county)"
        )
    named = dict.fromkeys(AREAS, "") | _BRMS_TYPES
    written = "escar" if kind is None else _string(kind)
    if kind is not None and written not in named:
        raise ReadError(kind.position, f"there is no type {render(kind)}; there is {_quoted(named)}")
    grouping = Grouping(car=matrix.name, type=named[written] or written)
    return f"(1 | {grouping.written([group.name])})"


def matrix_places(node: Node) -> set[int]:
    """Where in the text the names stand that are no columns: those of matrices of levels."""
    calls = [part for part in walk(node) if isinstance(part, Call)]
    options = [(call.function, *option) for call in calls for option in call.keywords]
    found = {value.position for function, word, value in options if (function, word) in _NAMES_MATRIX}
    return found | {call.arguments[0].position for call in calls if call.function == "car" and call.arguments}


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"{word}=" for word in words)


def _read_by(node: Node, effects: Terms) -> str:
    if not isinstance(node, Name):
        shown = f" (not {render(node)})" if not isinstance(node, Constant) else ""
        raise ReadError(node.position, f"by= names a column, the same in all rows of a level{shown}")
    named = {
        part.name
        for term in effects.present.values()
        for each in term
        for part in walk(each)
        if isinstance(part, Name)
    }
    if node.name in named:
        raise ReadError(
            node.position,
            f"{node.name} is the same in all rows of a level, and cannot vary within it; leave it out of one",
        )
    return node.name
