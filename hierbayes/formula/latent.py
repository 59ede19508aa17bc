"""Predictors whose values are drawn: ``me(x, sd)``, measured with error, and ``mi(x)``, missing in some rows."""

from dataclasses import dataclass

from hierbayes.formula.calls import arguments_by_name
from hierbayes.formula.monotonic import is_monotonic
from hierbayes.formula.syntax import Call, Name, Node, read_expression, walk
from hierbayes.formula.tokens import ReadError

MEASURED, MISSING = "me", "mi"
LATENT = (MEASURED, MISSING)
_EXAMPLES = {MEASURED: "me(x, sd), sd the column of x's standard errors", MISSING: "mi(x)"}
_ARGUMENTS = {MEASURED: ("x", "sd", "gr"), MISSING: ("x",)}


@dataclass(frozen=True)
class LatentTerm:
    """A predictor whose values are drawn, as the formula has it.

    Attributes
    ----------
    function : str
        ``"me"`` or ``"mi"``.
    column : str
        The column as it was measured, or as far as it is known.
    sd : str
        The column of the measurements' standard deviations; "" of missing values.
    group : str
        The column whose values have one true value each; "" where every row has its own.
    """

    function: str
    column: str
    sd: str = ""
    group: str = ""

    @property
    def label(self) -> str:
        """What its coefficient is called: ``"me(x)"``."""
        return f"{self.function}({self.column})"


def is_latent(node: Node) -> bool:
    """Whether an expression is a predictor whose values are drawn."""
    return isinstance(node, Call) and node.function in LATENT


def latent_terms(text: str) -> list[LatentTerm]:
    """The predictors of a right-hand side whose values are drawn.

    Examples
    --------
    >>> [(term.label, term.sd) for term in latent_terms("1 + z + me(x, se) * age")]
    [('me(x)', 'se')]
    """
    return [read_latent(node) for node in walk(read_expression(text)) if is_latent(node)]


def predictors_in(text: str) -> tuple[str, ...]:
    """The columns of a right-hand side but for those that say how others were measured, in order of appearance.

    Examples
    --------
    >>> predictors_in("1 + z + me(x, se) * age")
    ('z', 'x', 'age')
    """
    node = read_expression(text)
    calls = [part for part in walk(node) if is_latent(part)]
    beside = {id(name) for call in calls for name in walk(call) if isinstance(name, Name)}
    beside -= {id(name) for call in calls for name in walk(call) if _is(name, read_latent(call).column)}
    names = [part.name for part in walk(node) if isinstance(part, Name) and id(part) not in beside]
    return tuple(dict.fromkeys(names))


def _is(node: Node, column: str) -> bool:
    return isinstance(node, Name) and node.name == column


def names_outside(node: Node) -> tuple[str, ...]:
    """The columns of an expression that stand anywhere but in ``mi()``, whose values must be there."""
    missing = [part for part in walk(node) if isinstance(part, Call) and part.function == MISSING]
    inside = {id(name) for call in missing for name in walk(call)}
    return tuple(part.name for part in walk(node) if isinstance(part, Name) and id(part) not in inside)


def read_latent(call: Node) -> LatentTerm:
    """The predictor that a call is.

    Raises
    ------
    ReadError
        Where an argument is no column, or one is absent or unknown.
    """
    assert isinstance(call, Call), "is_latent said so"
    given = arguments_by_name(call, _ARGUMENTS[call.function])
    found = {}
    for word, node in given.items():
        if not isinstance(node, Name):
            raise ReadError(
                node.position,
                f"{word} of {call.function}() is a column; make one in the data first: "
                f"{_EXAMPLES[call.function]}",
            )
        found[word] = node.name
    for word in _ARGUMENTS[call.function][:2]:  # gr= may be absent
        if word not in found:
            raise ReadError(
                call.position, f"{call.function}() needs {word}: write {_EXAMPLES[call.function]}"
            )
    return LatentTerm(call.function, found["x"], found.get("sd", ""), found.get("gr", ""))


def refuse_latent(node: Node, where: str) -> None:
    """Refuse predictors whose values are drawn in a part of a formula that has none."""
    for part in walk(node):
        if is_latent(part):
            assert isinstance(part, Call)
            raise ReadError(
                part.position, f"{part.function}() is a term of its own, or a factor of one, not {where}"
            )


def refuse_steps_of_latent(factors: tuple[Node, ...]) -> None:
    """Refuse a product of a predictor whose values are drawn and a monotonic effect."""
    latent = next((factor for factor in factors if is_latent(factor)), None)
    if latent is not None and any(map(is_monotonic, factors)):
        raise ReadError(
            latent.position,
            "a term has mo() or a predictor whose values are drawn, not both; of the ordered one take C(x), or the "
            "number itself",
        )
