"""What ``gr()`` says of the levels of a grouping factor: ``(x | gr(g, by=z))``."""

from collections.abc import Iterable
from dataclasses import dataclass

from hierbayes.formula.calls import suggest
from hierbayes.formula.syntax import Call, Constant, Name, Node, render, walk
from hierbayes.formula.terms import Terms, read_terms
from hierbayes.formula.tokens import ReadError, quote

_OPTIONS = ("by", "cov")
_UNSUPPORTED = ("dist", "id", "pw", "cor")


@dataclass(frozen=True)
class Grouping:
    """How the levels of a grouping factor stand to each other.

    Attributes
    ----------
    by : str
        The column for each of whose values the effects have a covariance of their own; ``""`` for none.
    cov : str
        The name of the known covariance between levels; ``""`` where they are independent.
    """

    by: str = ""
    cov: str = ""

    def written(self, factor: str) -> str:
        """Canonical text of a factor, given its own.

        Examples
        --------
        >>> Grouping(by="arm").written("g"), Grouping().written("g")
        ('gr(g, by=arm)', 'g')
        """
        options = [f"{word}={quote(value)}" for word in _OPTIONS if (value := getattr(self, word))]
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
    if not isinstance(item, Call) or item.function != "gr":
        return item, Grouping()
    if len(item.arguments) != 1:
        raise ReadError(item.position, "gr() takes one grouping factor and then options: gr(g, by=z)")
    for word, value in item.keywords:
        if word in _UNSUPPORTED:
            raise ReadError(value.position, f"gr(…, {word}=…) is not supported; there is {_listed(_OPTIONS)}")
        if word not in _OPTIONS:
            near = suggest(word, _OPTIONS)
            raise ReadError(value.position, f"gr() has no option {word}{near}; there is {_listed(_OPTIONS)}")
    options = dict(item.keywords)
    if len(options) == len(_OPTIONS):
        raise ReadError(item.position, "gr() takes by= or cov=, not both")
    by, cov = (options.get(word) for word in _OPTIONS)
    if cov is not None and not isinstance(cov, Name):
        raise ReadError(cov.position, "cov= names a matrix of data2: gr(g, cov=A) with data2={'A': …}")
    return item.arguments[0], Grouping(
        by=_read_by(by, effects) if by is not None else "", cov=cov.name if isinstance(cov, Name) else ""
    )


def matrix_places(node: Node) -> set[int]:
    """Where in the text the names stand that are no columns: those of known covariances."""
    calls = [part for part in walk(node) if isinstance(part, Call) and part.function == "gr"]
    return {value.position for call in calls for word, value in call.keywords if word == "cov"}


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
