"""What a formula says of correlated residuals: ``ar(time=t, gr=g)``, ``cosy(gr=g)``, ``unstr(time=t, gr=g)``."""

from dataclasses import dataclass, field

from hierbayes.formula.calls import arguments_by_name
from hierbayes.formula.syntax import Call, Constant, Name
from hierbayes.formula.tokens import ReadError, quote

# what each takes, and what it can't do without
RESIDUALS = {"ar": ("time", "gr", "p", "cov"), "cosy": ("time", "gr"), "unstr": ("time", "gr")}
NEEDED = {"unstr": ("time", "gr")}


@dataclass(frozen=True)
class Residuals:
    """Residuals that are correlated within a series.

    Attributes
    ----------
    kind : str
        ``"ar"``, a correlation that falls with the distance in time, ``"cosy"``, one for all pairs of rows, or
        ``"unstr"``, one for each pair of times.
    time : str
        The column of times; "" for the order of the rows.
    group : str
        The column whose values are the series; "" where all rows are one.
    position : int
        Offset of the term in the source text.
    """

    kind: str
    time: str = ""
    group: str = ""
    position: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """Canonical text.

        Examples
        --------
        >>> str(Residuals("ar", "week", "id"))
        'ar(time=week, gr=id)'
        """
        given = [f"{word}={quote(name)}" for word, name in (("time", self.time), ("gr", self.group)) if name]
        return f"{self.kind}({', '.join(given)})"


def read_residuals(call: Call) -> Residuals:
    """The term from its call.

    Raises
    ------
    ReadError
        For an argument that there isn't, one that is no column, or one that is needed and absent; for an order
        beyond 1.
    """
    given = arguments_by_name(call, RESIDUALS[call.function])
    whole = given.pop("cov", None)
    if whole is not None and not (isinstance(whole, Constant) and whole.text == "True"):
        raise ReadError(
            whole.position,
            f"the residuals of {call.function}() are correlated as in brms's cov = TRUE: cov=True",
        )
    order = given.pop("p", None)
    if order is not None and not (isinstance(order, Constant) and order.text == "1"):
        raise ReadError(order.position, "ar() has one autoregressive term, p=1; more are not fitted yet")
    for word, node in given.items():
        if not isinstance(node, Name):
            raise ReadError(node.position, f"{word} of {call.function}() is a column")
    columns = {word: node.name for word, node in given.items() if isinstance(node, Name)}
    for word in NEEDED.get(call.function, ()):
        if word not in columns:
            raise ReadError(
                call.position,
                f"{call.function}() has a correlation for each pair of times, learnt from several series: it needs "
                f"{word}=, as in {call.function}(time=visit, gr=patient)",
            )
    return Residuals(call.function, columns.get("time", ""), columns.get("gr", ""), call.position)
