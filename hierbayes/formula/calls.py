"""What a formula may compute: expressions checked against the table of functions before anything is evaluated."""

from collections.abc import Iterable, Mapping
from typing import Any

from hierbayes.formula.syntax import (
    COMPARISONS,
    Binary,
    Call,
    Constant,
    Group,
    List,
    Name,
    Node,
    Unary,
    columns_named,
    render,
)
from hierbayes.formula.tokens import ReadError
from hierbayes.spelling import meant
from hierbayes.transforms import (
    CATEGORIES,
    CONTRASTS,
    ELEMENTWISE,
    FUNCTIONS,
    KINDS,
    NAMED_CONTRASTS,
    REQUIRED,
    TRANSFORMS,
    Argument,
    ChosenContrast,
    elementwise,
)

_TENSOR = "a tensor product of smooths is t2(x, z), a term of its own"
_COUNTS = "give successes and trials as y | trials(n) ~ …, with n the number of trials"
_WAYS_OUT = (
    dict.fromkeys(("t2", "te", "ti"), _TENSOR)
    | dict.fromkeys(("p", "prop", "proportion", "cbind"), _COUNTS)
    | dict.fromkeys(("as.factor", "as.ordered", "ordered", "as_factor"), "write factor(x)")
    | dict.fromkeys(
        ("trials", "weights", "dec", "cens", "trunc", "rate", "se"),
        "it belongs to the response, after a bar: y | trials(n) + weights(w) ~ …",
    )
    | dict.fromkeys(("ma", "arma", "sar", "fcor"), "brms's special terms are not supported")
    | {
        "gr": "it stands right of a bar: (1 | gr(g, by=z))",
        "mm": "it stands right of a bar: (1 | mm(g1, g2))",
        "mmc": "it is a term of its own among effects of several levels a row: (1 + mmc(x1, x2) | mm(g1, g2))",
        "car": "areas are a term of their own on the right side: y ~ x + car(W, gr=county)",
    }
    | dict.fromkeys(NAMED_CONTRASTS, 'a contrast stands inside C(): C(x, Sum), C(x, Treatment("a"))')
    | dict.fromkeys(
        ("ar", "cosy", "unstr"), "correlated residuals are a term of their own: y ~ x + ar(time=t, gr=g)"
    )
    | {
        "s": "a smooth is a term of its own on the right side: y ~ z + s(x)",
        "mo": "a monotonic effect is a term of its own, or a factor of one: y ~ mo(x) * z",
        "me": "a predictor measured with error is a term of its own, or a factor of one: y ~ me(x, sd) * z",
        "mi": "a predictor with missing values is a term of its own, or a factor of one: y ~ mi(x) * z; and x has a "
        "formula too, x | mi() ~ z",
        "gp": "a Gaussian process is a term of its own on the right side: y ~ z + gp(x)",
        "nl": "a nonlinear predictor is the whole right side: y ~ nl(a * exp(-b * x)), where a and b have formulas",
        "hsgp": "write gp(x), whose k and c are those of its basis of sines",
        "ns": "write cr(x, df=5), a natural cubic spline",
        "c": "write a list in brackets, as in bs(x, knots=[1, 2])",
        "mean": "write center(x)",
        "sd": "write scale(x)",
        "std": "write scale(x)",
        "mvbind": "a model has one response",
        "offset": "an offset is a term of its own on the right side: y ~ x + offset(log(e))",
    }
)
# functions of numpy whose value in one row depends on the other rows
_ACROSS_ROWS = frozenset(
    {"mean", "median", "average", "std", "var", "cov", "corrcoef"}
    | {"min", "max", "amin", "amax", "ptp", "sum", "prod"}
    | {"quantile", "percentile", "nanmean", "nanmedian", "nanstd", "nanvar", "nanmin"}
    | {"nanmax", "nansum", "nanprod", "nanquantile", "nanpercentile", "cumsum", "cumprod"}
    | {"cumulative_sum", "cumulative_prod", "nancumsum", "nancumprod", "diff", "ediff1d", "gradient"}
    | {"sort", "argsort", "unique", "roll", "flip", "flipud", "convolve"}
    | {"correlate", "interp", "histogram", "digitize", "searchsorted", "random", "linalg"}
    | {"fft", "ma"}
)


# -- expressions ------------------------------------------------------------------------------------------------


def as_term(node: Node) -> str:
    """Canonical text of one term: arithmetic goes into ``I()``."""
    return render(node if isinstance(node, Name | Call) else Call("I", (node,), (), node.position))


def check_expression(node: Node, *, predictor: bool) -> None:
    """Refuse what has no meaning as a number a row, or as categories: a column, a call or arithmetic.

    Parameters
    ----------
    node : Node
    predictor : bool
        Whether it is about predictors, not a response.

    Raises
    ------
    ReadError
        For a function that is not in the table, a wrong argument, a text outside of a comparison, …
    """
    if isinstance(node, Call) and node.function in CATEGORIES:
        _check_column(node)
        arguments_of(node)
    else:
        _check_arithmetic(node, predictor)


def _check_column(call: Call) -> None:
    first = call.arguments[0] if call.arguments else None
    if first is None or not columns_named(first):
        raise ReadError(call.position, f"{call.function}() makes categories of a column: {call.function}(x)")
    _check_arithmetic(first, predictor=True)


def _check_arithmetic(node: Node, predictor: bool) -> None:
    while isinstance(node, Binary):  # a loop, because a sum of a thousand columns is a left branch as deep
        if node.operator in ("|", "||"):
            raise ReadError(node.position, "a group term cannot stand inside an expression")
        if node.operator == ":":
            raise ReadError(node.position, "`:` has no meaning in arithmetic; the product is a * b")
        compared = node.operator in COMPARISONS
        if not (compared and _is_text(node.right)):
            _check_arithmetic(node.right, predictor)
        if compared and _is_text(node.left):
            return
        node = node.left
    match node:
        case Name() | Constant("number"):
            pass
        case Unary(_, operand):
            _check_arithmetic(operand, predictor)
        case Call():
            _check_call(node, predictor)
        case Group(position=position):
            raise ReadError(position, "a group term cannot stand inside an expression")
        case List(position=position):
            raise ReadError(position, "a list is an argument of a transform, as in bs(x, knots=[1, 2])")
        case Constant("string", text, position):
            raise ReadError(
                position, f"a text stands in a comparison, as in I(x == {text}), or in a transform"
            )
        case Constant("word", "True" | "False"):
            pass
        case Constant(_, text, position):
            raise ReadError(position, f"{text} is no number")


def _is_text(node: Node) -> bool:
    return isinstance(node, Constant) and node.kind == "string"


def _check_call(call: Call, predictor: bool) -> None:
    name = call.function
    if name in CATEGORIES:
        raise ReadError(call.position, f"{name}() makes categories, a term or a factor of one, no numbers")
    if predictor and name in ("B", "binary"):
        raise ReadError(call.position, f'{name}() is for responses; write I(x == "level")')
    if name in TRANSFORMS:
        arguments_of(call)
        if not call.arguments:
            raise ReadError(call.position, f"the first argument of {name}() is what it transforms: {name}(x)")
        _check_arithmetic(call.arguments[0], predictor)
        return
    if name == "I":
        names: tuple[str, ...] = ("x",)
        required = 1
    elif record := elementwise(name):
        names, required = record.arguments, record.required
    else:
        raise ReadError(call.position, _why_no_function(name))
    given = arguments_by_name(call, names)
    if len(given) < required:
        raise ReadError(call.position, f"{name}() takes {', '.join(names[:required])}")
    for argument in given.values():
        _check_arithmetic(argument, predictor)


def _why_no_function(name: str) -> str:
    if name in _WAYS_OUT:
        return f"{name}() is not a function here: {_WAYS_OUT[name]}"
    short = name.removeprefix("numpy.").removeprefix("np.")
    if name != short and short.partition(".")[0] in _ACROSS_ROWS:
        return (
            f"{name}() looks across rows and would change with the new ones; write center(x) or scale(x), which "
            "remember the training rows, or make a column first"
        )
    if elementwise(short):
        return f"{name}() is not a known function; write np.{short}"
    hint = suggest(name, FUNCTIONS if name == short else [f"np.{word}" for word in ELEMENTWISE])
    return f"{name}() is not a known function{hint or '; make a column of it in the data first'}"


def suggest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean log?"`` where a known name comes near, otherwise nothing."""
    near = meant(
        name, known, 0.8 if name.startswith("np.") else 0.6
    )  # what is alike before the dot says nothing
    return f"; did you mean {' or '.join(near)}?" if near else ""


# -- arguments --------------------------------------------------------------------------------------------------


def arguments_by_name(call: Call, names: tuple[str, ...]) -> dict[str, Node]:
    """The arguments of a call by the names that they go by."""
    if len(call.arguments) > len(names):
        extra = call.arguments[len(names)]
        words = f"takes {len(names)} argument{'s' if len(names) > 1 else ''}: {', '.join(names)}"
        raise ReadError(extra.position, f"{call.function}() {words if names else 'takes no other argument'}")
    given = dict(zip(names, call.arguments, strict=False))
    for word, value in call.keywords:
        if word not in names:
            known = f"it has {', '.join(names)}" if names else "it has none"
            raise ReadError(value.position, f"{call.function}() has no argument {word}; {known}")
        if word in given:
            raise ReadError(value.position, f"the argument {word} is given twice")
        given[word] = value
    return given


def arguments_of(call: Call) -> dict[str, Any]:
    """The values of a transform's arguments behind the first, by name, defaults filled in.

    Parameters
    ----------
    call : Call
        Of a function in `TRANSFORMS` or `CATEGORIES`.

    Raises
    ------
    ReadError
        For one that the function doesn't have, one that is missing, or a value of another kind.
    """
    name = call.function
    known = (CATEGORIES[name] if name in CATEGORIES else TRANSFORMS[name]).arguments
    return read_arguments(Call(name, call.arguments[1:], call.keywords, call.position), known)


def read_arguments(call: Call, known: Mapping[str, Argument]) -> dict[str, Any]:
    """The values of a call's arguments by name, defaults filled in."""
    name = call.function
    given = arguments_by_name(call, tuple(known))
    values: dict[str, Any] = {}
    for word, argument in known.items():
        if word in given:
            values[word] = _value(given[word], argument, f"{word} of {name}()")
        elif argument.default is REQUIRED:
            raise ReadError(call.position, f"{name}() needs {word}=, {KINDS[argument.kind][1]}")
        else:
            values[word] = argument.default
    return values


def _value(node: Node, argument: Argument, words: str) -> Any:
    if isinstance(node, Constant) and node.text == "None":
        return argument.default
    if argument.kind == "contrast":
        return _contrast(node)
    fits, what = KINDS[argument.kind]
    if not _is_literal(node) or not fits(literal(node)):
        raise ReadError(node.position, f"{words} is {what}")
    return literal(node)


def _is_literal(node: Node) -> bool:
    match node:
        case Constant():
            return True
        case Unary("-" | "+", Constant("number")):
            return True
        case Binary("/", Constant("number"), Constant("number")):  # brms writes 5/4
            return literal(node.right) != 0
        case List(items):
            return all(map(_is_literal, items))
    return False


def literal(node: Node) -> Any:
    """The value of a number, a text, a word or a list of these."""
    match node:
        case Constant("number", text):
            return int(text) if text.isdigit() else float(text)
        case Constant("string", text):
            return text[1:-1]
        case Constant(_, text):
            return {"True": True, "False": False}.get(text)
        case Binary("/", over, under):
            return literal(over) / literal(under)
        case Unary(sign, operand):
            return -literal(operand) if sign == "-" else literal(operand)
        case List(items):
            return tuple(map(literal, items))
    raise AssertionError(node)


def _contrast(node: Node) -> ChosenContrast:
    """The contrast that the second argument of ``C()`` names or writes out."""
    match node:
        case Constant("word", name) if name in NAMED_CONTRASTS:
            return ChosenContrast(name)
        case Call(name) if name in NAMED_CONTRASTS:
            contrast = CONTRASTS[name]
            names = (contrast.argument,) if contrast.argument else ()
            given = arguments_by_name(node, names)
            argument = Argument(contrast.kind)
            values = [_value(value, argument, f"{word} of {name}()") for word, value in given.items()]
            return ChosenContrast(name, *values)
        case List():
            return ChosenContrast("matrix", _rows(node))
    known = ", ".join(sorted(NAMED_CONTRASTS))
    raise ReadError(
        node.position, f"a contrast is one of {known}, or a matrix with a row for each level: [[-1], [1]]"
    )


def _rows(node: List) -> tuple[tuple[float, ...], ...]:
    rows = literal(node) if _is_literal(node) else ()
    numbers = KINDS["numbers"][0]
    if not rows or not all(map(numbers, rows)) or len({len(row) for row in rows}) > 1:
        raise ReadError(
            node.position,
            "a matrix of contrasts is a list of equally long rows, one for each level: [[-1], [1]]",
        )
    return tuple(tuple(map(float, row)) for row in rows)
