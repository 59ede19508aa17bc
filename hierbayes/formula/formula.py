"""Formula text to values: response, population-level part, group terms and offsets, read to the last sign.

Each side of a bar goes on as canonical text.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from hierbayes.errors import FormulaError
from hierbayes.formula.bymember import check_by_member, refuse_by_member
from hierbayes.formula.calls import arguments_by_name, as_term, check_expression, read_arguments, suggest
from hierbayes.formula.grouping import GROUPINGS, Grouping, area_text, matrix_places, read_grouping
from hierbayes.formula.latent import refuse_latent
from hierbayes.formula.monotonic import MONOTONIC, refuse_steps_by_group
from hierbayes.formula.nonlinear import ALONE, NONLINEAR, Nonlinear, read_nonlinear
from hierbayes.formula.residuals import RESIDUALS, Residuals, read_residuals
from hierbayes.formula.smooths import group_text, is_of_groups, refuse_smooth
from hierbayes.formula.syntax import (
    BARS,
    SPELLINGS,
    Binary,
    Call,
    Constant,
    Group,
    Name,
    Node,
    Unary,
    columns_named,
    read,
    read_expression,
    render,
    summands,
    walk,
)
from hierbayes.formula.terms import Terms, expand
from hierbayes.formula.tokens import ReadError, caret, quote
from hierbayes.structures import STRUCTURES
from hierbayes.transforms import CATEGORIES
from hierbayes.transforms.record import Argument

# Additions that a row states beside its response, with the names of their arguments: each but dec, which is the
# response's sign, is a known parameter.
STATED = {
    "dec": ("dec",),
    "se": ("se", "sigma"),
    "cens": ("cens", "y2"),
    "trunc": ("lb", "ub"),
    "rate": ("rate",),
}
IMPUTED = "mi"  # the addition of a response whose missing values are drawn
BASELINE = "bhaz"  # the addition of a Cox model's baseline hazard
ADDITIONS = ("trials", "weights", *STATED, "thres", BASELINE, IMPUTED)
FEWEST_SPLINES, PLAIN_SPLINES, MOST_SPLINES = 4, 5, 20  # of a baseline hazard: cubic ones
_BASELINE_ARGUMENTS = {"df": Argument("whole"), "knots": Argument("numbers")}
COLUMNS = "cbind"  # of a response that has several; Bambi's word is c
_UNSUPPORTED_ADDITIONS = frozenset({"cat", "subset", "index", "vreal", "vint"})


# -- values -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GroupTerm:
    """Effects that vary by the levels of a grouping factor.

    Attributes
    ----------
    effects : str
        Canonical right-hand side, the intercept explicit: ``"1 + Days"``, ``"0 + x"``.
    factor : tuple of str
        The columns whose observed combinations are the levels.
    structure : str
        Covariance structure of the effects of one level (`hierbayes.structures`): ``"diag"`` for ``||``.
    position : int
        Offset of the term in the source text.
    identifier : str
        The ID of ``(x |ID| g)``, which terms of other formulas have too whose effects are correlated with these.
    grouping : Grouping
        How the levels stand to each other and to the rows, as ``gr()`` and ``mm()`` say it.
    rank : int
        Of how many dimensions the effects' loadings are, in ``rr(f | g, d=2)``; 0 of other structures.
    """

    effects: str
    factor: tuple[str, ...]
    structure: str
    position: int = field(default=0, compare=False)
    identifier: str = ""
    grouping: Grouping = field(default_factory=Grouping)
    rank: int = 0

    @property
    def encoded(self) -> str:
        """The right-hand side from which the columns of the effects are made."""
        return self.grouping.encoded(self.effects)

    def __str__(self) -> str:
        """Canonical text."""
        name, bar = SPELLINGS.get(self.structure, (self.structure, "|"))
        bar = f"|{self.identifier}|" if self.identifier else bar
        factor = self.grouping.written(self.factor)
        rank = f", d={self.rank}" if self.rank else ""
        return f"{name}({_implicit(self.effects)} {bar} {factor}{rank})"


@dataclass(frozen=True)
class Thresholds:
    """What is said of the thresholds between ordered categories.

    Attributes
    ----------
    equidistant : bool
        Whether they are evenly spaced.
    group : str
        The column whose values have thresholds of their own; "" where all rows share them.
    """

    equidistant: bool = False
    group: str = ""

    def __str__(self) -> str:
        """Canonical text, "" where nothing is said."""
        parts = ['"equidistant"'] if self.equidistant else []
        parts += [f"gr={quote(self.group)}"] if self.group else []
        return f"thres({', '.join(parts)})" if parts else ""


@dataclass(frozen=True)
class Baseline:
    """What is said of a Cox model's baseline hazard.

    Attributes
    ----------
    group : str
        The column of strata, whose values have a baseline each; "" where all rows share one.
    df : int or None
        How many splines it has; None where nothing is said.
    knots : tuple of float or None
        Where the inner knots are; None where the times say.
    """

    group: str = ""
    df: int | None = None
    knots: tuple[float, ...] | None = None

    @property
    def count(self) -> int:
        """How many splines there are."""
        if self.knots is not None:
            return len(self.knots) + FEWEST_SPLINES
        return PLAIN_SPLINES if self.df is None else self.df

    def __str__(self) -> str:
        """Canonical text, "" where nothing is said."""
        parts = [f"gr={quote(self.group)}"] if self.group else []
        parts += [f"df={self.df}"] if self.df is not None else []
        places = [repr(knot).removesuffix(".0") for knot in self.knots or ()]
        parts += [f"knots=[{', '.join(places)}]"] if places else []
        return f"{BASELINE}({', '.join(parts)})" if parts else ""


@dataclass(frozen=True)
class Response:
    """The left side: an expression, and what brms calls additions.

    Attributes
    ----------
    expression : str
        Canonical text, arithmetic inside ``I()``: ``"y"``, ``"log(y)"``, ``"I(y / 10)"``, ``"cbind(a, b, c)"``.
    additions : tuple of (str, str)
        Names and arguments in a fixed order: ``(("trials", "n"), ("weights", "w"))``.
    thresholds : Thresholds
        What ``thres(…)`` says of the thresholds between ordered categories.
    stated : tuple of (str, tuple of (str, str))
        The additions of `STATED` with their arguments by name: ``(("cens", (("cens", "c"), ("y2", "b"))),)``.
    baseline : Baseline
        What ``bhaz(…)`` says of the baseline hazard.
    imputed : bool
        Whether missing values are drawn, ``mi()``. With standard errors, ``mi(sd)``, so are the true values of others;
        measured ones have the distribution that ``se(sd, sigma=True)`` says, which `stated` has.
    """

    expression: str
    additions: tuple[tuple[str, str], ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    stated: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    imputed: bool = False
    baseline: Baseline = field(default_factory=Baseline)

    @property
    def sets(self) -> str:
        """The column whose values have thresholds, or a baseline hazard, of their own; "" where all rows share them."""
        return self.thresholds.group or self.baseline.group

    @property
    def columns(self) -> tuple[str, ...]:
        """The column that it is, or several; none where it is computed."""
        match read_expression(self.expression):
            case Name(name):
                return (name,)
            case Call(function) as call if function == COLUMNS:
                return columns_named(call)
        return ()

    def __str__(self) -> str:
        """Canonical text."""
        written = [f"{name}({argument})" for name, argument in self.additions]
        stated = dict(self.stated)
        if self.imputed:
            error = dict(stated.pop("se", ()))
            written.append(f"{IMPUTED}({error.get('se', '')})")
        written += [_stated_text(name, arguments) for name, arguments in stated.items()]
        written += [text for text in (str(self.thresholds), str(self.baseline)) if text]
        additions = " + ".join(written)
        return f"{self.expression} | {additions}" if additions else self.expression


@dataclass(frozen=True)
class Formula:
    """A formula, read. ``str()`` gives its canonical text, which `parse` reads to an equal value.

    Attributes
    ----------
    response : Response or None
        None for the formula of another parameter, ``"~ x"``.
    common : str
        The population-level part, the intercept explicit: ``"1 + a * b"``.
    groups : tuple of GroupTerm
        ``a/b`` and the like are written out; in order of appearance.
    offsets : tuple of str
        Arguments of ``offset()``, arithmetic inside ``I()``: ``("log(e)",)``.
    specific : str
        Terms in ``cs()``, whose effects differ by the threshold, the intercept explicit: ``"1 + x"``; "" for none.
    residuals : Residuals or None
        How residuals are correlated within a series; None where they are independent.
    nonlinear : Nonlinear or None
        The expression of ``nl()`` that the right-hand side is; None where it is a sum of terms.
    text : str
        The source text.
    columns : tuple of (str, int)
        Every column named anywhere with the offset where it is first named, in order of appearance.
    """

    response: Response | None
    common: str
    groups: tuple[GroupTerm, ...]
    offsets: tuple[str, ...]
    specific: str = ""
    residuals: Residuals | None = None
    nonlinear: Nonlinear | None = None
    text: str = field(default="", compare=False)
    columns: tuple[tuple[str, int], ...] = field(default=(), compare=False)

    @property
    def encoded_texts(self) -> tuple[str, ...]:
        """The texts that encodings are learnt from."""
        response = self.response.expression if self.response else "0"
        weights = [
            text for name, text in (self.response.additions if self.response else ()) if names_in(text)
        ]
        numbers = [f"0 + {text}" for text in (response, *self.offsets, *(f"I({text})" for text in weights))]
        specific = (self.specific,) if self.specific else ()
        return tuple(
            dict.fromkeys((self.common, *(term.encoded for term in self.groups), *specific, *numbers))
        )

    @property
    def response_columns(self) -> tuple[str, ...]:
        """Columns of the response's expression."""
        return names_in(self.response.expression) if self.response else ()

    @property
    def predictor_columns(self) -> tuple[str, ...]:
        """Columns of the population-level part, of the varying effects, of the offsets and of ``nl()``."""
        specific = (self.specific,) if self.specific else ()
        texts = (self.common, *(term.encoded for term in self.groups), *self.offsets, *specific)
        names = [name for text in texts for name in names_in(text)]
        return tuple(dict.fromkeys([*names, *(self.nonlinear.columns if self.nonlinear else ())]))

    @property
    def imputed_columns(self) -> tuple[str, ...]:
        """The response's column, where its missing values are drawn."""
        return self.response.columns if self.response and self.response.imputed else ()

    @property
    def stated(self) -> dict[str, str]:
        """What the rows state beside the response, by the names of the arguments: ``{"cens": "c", "y2": "b"}``."""
        additions = self.response.stated if self.response else ()
        return {name: text for _, arguments in additions for name, text in arguments}

    @property
    def grouping_columns(self) -> tuple[str, ...]:
        """Columns of the grouping factors."""
        return tuple(dict.fromkeys(name for term in self.groups for name in term.factor))

    def __str__(self) -> str:
        """Canonical text."""
        if self.nonlinear:
            right = f"{NONLINEAR}({self.nonlinear.text})"
            return f"{self.response} ~ {right}" if self.response else f"~ {right}"
        offsets = [f"offset({argument})" for argument in self.offsets]
        specific = [f"cs({_implicit(self.specific)})"] if self.specific else []
        residuals = [str(self.residuals)] if self.residuals else []
        right = " + ".join([_implicit(self.common), *specific, *offsets, *map(str, self.groups), *residuals])
        return f"{self.response} ~ {right}" if self.response else f"~ {right}"


def _stated_text(addition: str, arguments: tuple[tuple[str, str], ...]) -> str:
    """An addition as people write it: the bounds of ``trunc`` and the word ``sigma`` by name."""
    named = {"trunc": ("lb", "ub"), "se": ("sigma",)}.get(addition, ())
    written = [f"{name}={text}" if name in named else text for name, text in arguments]
    return f"{addition}({', '.join(written)})"


def _implicit(terms: str) -> str:
    """A canonical sum as people write it, without the ``1 +``."""
    return terms.removeprefix("1 + ")


def names_in(text: str) -> tuple[str, ...]:
    """Columns that a canonical text names, each once, in order of appearance.

    Examples
    --------
    >>> names_in("1 + log(x) * `my col`")
    ('x', 'my col')
    """
    return columns_named(read_expression(text))


def categories_in(text: str) -> tuple[str, ...]:
    """Columns that a canonical text makes categories of, ordered ones too, each once, in order of appearance.

    Examples
    --------
    >>> categories_in("1 + x * C(year) + factor(`my column`, Sum) + mo(rank)")
    ('year', 'my column', 'rank')
    """
    calls = [node for node in walk(read_expression(text)) if isinstance(node, Call)]
    made = [call for call in calls if call.function in CATEGORIES or call.function == MONOTONIC]
    firsts = [call.arguments[0] for call in made if call.arguments]
    return tuple(dict.fromkeys(first.name for first in firsts if isinstance(first, Name)))


# -- parse --------------------------------------------------------------------------------------------------


def parse(text: str, *, response: bool = True) -> Formula:
    """Read a formula in the syntax of lme4 and brms, to the end of the text.

    Parameters
    ----------
    text : str
        ``"y ~ x + (x | g)"``.
    response : bool
        Whether the formula has a response. False for the formula of another parameter: ``"~ x + (1 | g)"``.

    Raises
    ------
    FormulaError
        When any part cannot be read; the message has a caret under the place.

    Examples
    --------
    >>> formula = parse("y | trials(n) ~ a*b + (x || g/h)")
    >>> formula.common
    '1 + a * b'
    >>> for term in formula.groups:
    ...     print(term)
    (x || g)
    (x || g:h)
    >>> print(formula)
    y | trials(n) ~ a * b + (x || g) + (x || g:h)
    """
    example = "y ~ x + (x | g)" if response else "~ x + (1 | g)"
    if not isinstance(text, str):
        order = "; the formula comes before the data" if hasattr(text, "columns") else ""
        raise FormulaError(f"a formula is a text such as {example!r}; this is {_describe(text)}{order}")
    if not text.strip():
        raise FormulaError(f"the formula is empty; write one such as {example!r}")
    try:
        return _formula(text, response)
    except ReadError as problem:
        raise FormulaError(caret(text, problem.position, problem.message)) from None
    except RecursionError:
        raise FormulaError(f"the formula is nested too deeply to be read: {text[:60]} …") from None


def _describe(value: Any) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:60] + '…'}"


def _formula(text: str, has_response: bool) -> Formula:
    left, tilde, right = read(text)
    if has_response and left is None:
        raise ReadError(tilde, "there is no response before the `~`")
    if not has_response and left is not None:
        start = len(text) - len(text.lstrip())
        raise ReadError(start, "the formula of a parameter has no response; begin it with `~`")
    response = _read_response(left) if left else None
    nonlinear = _read_nonlinear(right)
    if nonlinear:
        return Formula(response, "0", (), (), nonlinear=nonlinear, text=text, columns=_columns(left, right))
    common, groups, offsets, specific, residuals = _read_predictors(right)
    if residuals and not has_response:
        raise ReadError(residuals.position, "correlated residuals stand in the formula of the response")
    columns = _columns(left, right)
    return Formula(response, common, groups, offsets, specific, residuals, text=text, columns=columns)


def _columns(left: Node | None, right: Node) -> tuple[tuple[str, int], ...]:
    """Every column with the offset where it is first named."""
    names = [part for side in (left, right) if side for part in walk(side) if isinstance(part, Name)]
    matrices = matrix_places(right)
    columns: dict[str, int] = {}
    for part in sorted(names, key=lambda part: part.position):
        if part.position not in matrices:
            columns.setdefault(part.name, part.position)
    return tuple(columns.items())


def _read_nonlinear(right: Node) -> Nonlinear | None:
    """The nonlinear predictor that a right-hand side is, which has no other term."""
    items = summands(right)
    for _, item in items:
        if isinstance(item, Call) and item.function == NONLINEAR:
            if len(items) > 1:
                raise ReadError(item.position, ALONE)
            return read_nonlinear(item)
    return None


# -- left side ----------------------------------------------------------------------------------------------


def _read_response(node: Node) -> Response:
    match node:
        case Binary("|", Binary("|" | "||"), position=position):
            raise ReadError(
                position, "a second bar; additions are joined by +: y | trials(n) + weights(w) ~ …"
            )
        case Binary("|", left, right):
            return _with_missing(Response(_read_outcome(left), *_read_additions(right)), right.position)
        case Binary("||", position=position):
            raise ReadError(position, "additions follow one bar: y | trials(n) ~ …")
        case Group(position=position):
            raise ReadError(position, "additions stand without parentheses: y | trials(n) ~ …")
    return Response(_read_outcome(node))


def _with_missing(response: Response, position: int) -> Response:
    """Refuse what a response whose missing values are drawn cannot have beside it, or be."""
    if not response.imputed:
        return response
    beside = [name for name, _ in response.additions]
    beside += [name for name, arguments in response.stated if name != "se" or "sigma" not in dict(arguments)]
    beside += ["thres"] if str(response.thresholds) else []
    beside += [BASELINE] if str(response.baseline) else []
    if beside:
        raise ReadError(position, f"mi() and {beside[0]}() don't go together; leave one of the two out")
    if response.expression.startswith(("I(", COLUMNS)) or len(response.columns) != 1:
        raise ReadError(
            position, "mi() is of a response that is a column; compute that column in the data first"
        )
    return response


def _read_outcome(node: Node) -> str:
    match node:
        case Call("cbind" | "c"):
            return _read_columns(node)
    if not columns_named(node):
        raise ReadError(node.position, "the response names no column")
    check_expression(node, predictor=False)
    return as_term(node)


def _read_columns(call: Call) -> str:
    """The canonical text of a response of several columns."""
    names = columns_named(call)
    if call.keywords or len(names) < 2 or not all(isinstance(each, Name) for each in call.arguments):
        way = "name the columns of the categories, two or more: cbind(a, b, c) ~ …"
        if len(call.arguments) == 2 and names:
            good, bad = map(render, call.arguments)
            way = f"of successes and failures write {good} | trials({good} + {bad}) ~ …; otherwise {way}"
        raise ReadError(call.position, way)
    if len(names) < len(call.arguments):
        raise ReadError(call.position, "one of these columns stands twice; leave one out")
    return f"{COLUMNS}({', '.join(map(quote, names))})"


def _read_additions(
    node: Node,
) -> tuple[
    tuple[tuple[str, str], ...],
    Thresholds,
    tuple[tuple[str, tuple[tuple[str, str], ...]], ...],
    bool,
    Baseline,
]:
    found: dict[str, str] = {}
    stated: dict[str, tuple[tuple[str, str], ...]] = {}
    thresholds, baseline = Thresholds(), Baseline()
    for sign, item in summands(node):
        if not isinstance(item, Call) or sign < 0:
            known = " + ".join(f"{name}(…)" for name in ADDITIONS)
            raise ReadError(item.position, f"after the bar of a response stand {known}, joined by +")
        name = item.function
        if name not in ADDITIONS:
            hint = "not supported" if name in _UNSUPPORTED_ADDITIONS else f"unknown{suggest(name, ADDITIONS)}"
            raise ReadError(
                item.position, f"the addition {name}() is {hint}; there are {', '.join(ADDITIONS)}"
            )
        if name in found or name in stated:
            raise ReadError(item.position, f"{name}() is given twice")
        if name == "thres":
            thresholds = _read_thresholds(item)
            found[name] = ""
        elif name == BASELINE:
            baseline = _read_baseline(item)
            found[name] = ""
        elif name == IMPUTED:
            found[name] = ""
            if item.arguments or item.keywords:
                if "se" in stated:
                    raise ReadError(item.position, "mi(sd) says what se() does; leave se() out")
                stated["se"] = _read_error(item)
        elif name in STATED:
            stated[name] = _read_stated(item)
        elif len(item.arguments) != 1 or item.keywords:
            raise ReadError(item.position, f"{name}() takes one argument, a column or an expression")
        else:
            found[name] = _read_number(item.arguments[0], name)
    return (
        tuple((name, found[name]) for name in ADDITIONS if found.get(name)),
        thresholds,
        tuple((name, stated[name]) for name in STATED if name in stated),
        IMPUTED in found,
        baseline,
    )


def _read_error(call: Call) -> tuple[tuple[str, str], ...]:
    """The standard errors of ``mi(sd)``, as ``se(sd, sigma=True)`` has them."""
    if len(call.arguments) != 1 or call.keywords:
        raise ReadError(call.position, "mi() takes nothing, or the standard errors of a response: x | mi(sd)")
    return ("se", _read_number(call.arguments[0], IMPUTED)), ("sigma", "True")


def _read_stated(call: Call) -> tuple[tuple[str, str], ...]:
    """The arguments of an addition that rows state, by name."""
    name, names = call.function, STATED[call.function]
    given = arguments_by_name(call, names)
    if name != "trunc" and names[0] not in given:
        raise ReadError(call.position, f"{name}() needs {names[0]}, a column")
    found = {}
    for word in names:
        if word not in given:
            continue
        node = given[word]
        if (name, word) == ("se", "sigma"):
            if not (isinstance(node, Constant) and node.text in ("True", "TRUE", "False", "FALSE")):
                raise ReadError(node.position, "sigma of se() is True, for a residual sd beside it, or False")
            if node.text.lower() == "true":
                found[word] = "True"
        else:
            found[word] = _read_number(node, name)
    return tuple(found.items())


def _read_number(node: Node, addition: str) -> str:
    """The canonical text of what is a number in every row: a column, an expression of columns, a number."""
    number = node.operand if isinstance(node, Unary) and node.operator in "+-" else node
    if not columns_named(node) and not (isinstance(number, Constant) and number.kind == "number"):
        raise ReadError(node.position, f"{addition}() takes a column, an expression of columns or a number")
    check_expression(node, predictor=True)
    return render(node)


def _read_thresholds(call: Call) -> Thresholds:
    equidistant, group = False, ""
    for argument in call.arguments:
        if not (isinstance(argument, Constant) and argument.text.strip("\"'") == "equidistant"):
            raise ReadError(
                argument.position,
                'thres() takes "equidistant" and gr=column; the categories are counted in the data',
            )
        equidistant = True
    for name, value in call.keywords:
        if name != "gr" or not isinstance(value, Name):
            raise ReadError(value.position, "thresholds by group are thres(gr=item), item a column")
        group = value.name
    return Thresholds(equidistant, group)


def _read_baseline(call: Call) -> Baseline:
    words = (
        "bhaz() takes gr=column, of strata, df=, how many splines, and knots=[…], where the inner knots are"
    )
    given = dict(zip(("gr", "df"), call.arguments, strict=False))
    for word, value in call.keywords:
        if word in given or word not in ("gr", "df", "knots"):
            raise ReadError(value.position, words)
        given[word] = value
    if len(call.arguments) > 2 or not given:
        raise ReadError(call.position, words)
    group = given.pop("gr", None)
    if group is not None and not isinstance(group, Name):
        raise ReadError(group.position, "strata with a baseline each are bhaz(gr=clinic), clinic a column")
    values = read_arguments(Call(BASELINE, (), tuple(given.items()), call.position), _BASELINE_ARGUMENTS)
    df, knots = values["df"], values["knots"]
    if knots is not None:
        knots = tuple(sorted(map(float, knots)))
        if df is not None and df != len(knots) + FEWEST_SPLINES:
            raise ReadError(
                given["df"].position,
                f"df={df} goes with {df - FEWEST_SPLINES} inner knots, and knots= has {len(knots)}; leave one of both "
                "out",
            )
    found = Baseline(group.name if group is not None else "", df if knots is None else None, knots)
    if not FEWEST_SPLINES <= found.count <= MOST_SPLINES:
        raise ReadError(
            call.position,
            f"a baseline has {FEWEST_SPLINES} splines, without an inner knot, to {MOST_SPLINES}; {found.count} are "
            "asked for",
        )
    return found


# -- right side ---------------------------------------------------------------------------------------------


def _read_predictors(
    node: Node,
) -> tuple[str, tuple[GroupTerm, ...], tuple[str, ...], str, Residuals | None]:
    """The population-level part, the group terms, the offsets, the category-specific part, correlated residuals."""
    common, specific = Terms(), Terms()
    groups: dict[Any, GroupTerm] = {}
    offsets: list[str] = []
    residuals: Residuals | None = None
    for sign, item in summands(node):
        match item:
            case Group() | Call("offset" | "cs" | "ar" | "cosy") if sign < 0:
                raise ReadError(
                    item.position, "this cannot be subtracted; leave it out of the formula instead"
                )
            case Group():
                _read_group(item, groups)
            case Call("offset"):
                offsets.append(_read_offset(item))
            case Call("s" | "car") if item.function == "car" or is_of_groups(item):
                if sign < 0:
                    raise ReadError(
                        item.position, "this cannot be subtracted; leave it out of the formula instead"
                    )
                written = area_text(item) if item.function == "car" else group_text(item)
                for _, group in summands(read_expression(written)):
                    assert isinstance(group, Group), "it is written in group terms"
                    _read_group(replace(group, position=item.position), groups)
            case Call("cs", (argument,), ()):
                _read_specific(argument, specific)
            case Call("cs"):
                raise ReadError(
                    item.position, "cs() takes one argument, terms whose effects differ: cs(x + z)"
                )
            case Call(function) if function in RESIDUALS:
                if residuals:
                    raise ReadError(item.position, f"{residuals} says already how residuals are correlated")
                residuals = read_residuals(item)
            case _:
                refuse_by_member(item)
                common.put(sign, item)
    for _, item in summands(node):
        if isinstance(item, Group):
            refuse_latent(item.left, "an effect that varies by group: y ~ me(x, sd) + (1 | g)")
            refuse_steps_by_group(item.left, common.text)
    return (
        common.text,
        tuple(groups.values()),
        tuple(offsets),
        specific.text if specific.present else "",
        residuals,
    )


def _read_specific(node: Node, terms: Terms) -> None:
    for sign, item in summands(node):
        if isinstance(item, Constant):
            raise ReadError(item.position, "the thresholds are the intercepts; cs() takes terms: cs(x)")
        refuse_latent(item, "an effect that differs by threshold")
        terms.put(sign, item)


def _read_offset(call: Call) -> str:
    if len(call.arguments) != 1 or call.keywords:
        raise ReadError(call.position, "offset() takes one argument: offset(log(e))")
    argument = call.arguments[0]
    check_expression(argument, predictor=True)
    if not columns_named(argument):
        raise ReadError(argument.position, "this offset names no column; a constant belongs to the intercept")
    return as_term(argument)


def _read_group(group: Group, seen: dict[Any, GroupTerm]) -> None:
    """Add the terms of one parenthesis, one for each combination of columns right of its bar."""
    effects = Terms()
    for sign, item in summands(group.left):
        if isinstance(item, Group):
            raise ReadError(item.position, "a group term cannot stand inside another")
        if isinstance(item, Call) and item.function == "offset":
            raise ReadError(item.position, "an offset cannot vary by group; put it outside the parentheses")
        refuse_smooth(item)
        for part in _coordinates(item, group.structure):
            effects.put(sign, part)
    if not effects.intercept and not effects.present:
        raise ReadError(
            group.left.position, "no effects are left of this bar; (1 | g) has an intercept for each level"
        )
    for part, grouping in _factor_sum(group.right, effects, group.identifier):
        if not grouping.several:
            refuse_by_member(group.left)
        for term in expand(part):
            check_by_member(group.left, len(term))
            factor = tuple(column.name for column in term if isinstance(column, Name))
            key = (effects.key, frozenset(factor), grouping.several)
            if key in seen:
                first = seen[key].position == group.position
                place = part.position if first else group.position
                raise ReadError(place, _twice(seen[key], group.structure, grouping))
            seen[key] = GroupTerm(
                effects.text,
                factor,
                group.structure,
                group.position,
                group.identifier,
                grouping,
                group.rank,
            )


def _twice(before: GroupTerm, structure: str, grouping: Grouping) -> str:
    """Why effects of a factor that a term before has cannot be those of another one too."""
    plain = {before.structure, structure} <= {"us", "diag"} or before.structure == structure
    if plain and before.grouping == grouping:
        return f"the term {before} stands twice; leave one out"
    return (
        f"the term {before} has these effects of these levels already; leave one out, or make a copy of the grouping "
        "column under another name for one of them"
    )


def _coordinates(item: Node, structure: str) -> tuple[Node, ...]:
    """The columns of ``pos(x, y)``, the coordinates of places; of any other effect itself."""
    if not isinstance(item, Call) or item.function != "pos":
        return (item,)
    placed = [f"{name}()" for name, one in STRUCTURES.items() if one.positions == "place"]
    if f"{structure}()" not in placed:
        words = f"{', '.join(placed[:-1])} and {placed[-1]}"
        raise ReadError(item.position, f"pos() has the coordinates of places, in {words}")
    if item.keywords or not item.arguments or not all(isinstance(each, Name) for each in item.arguments):
        raise ReadError(item.position, "pos() names the columns of coordinates: pos(x, y)")
    return item.arguments


def _factor_sum(node: Node, effects: Terms, identifier: str) -> list[tuple[Node, Grouping]]:
    """The summands right of a bar, checked, with what ``gr()`` or ``mm()`` says of each."""
    items = summands(node)
    if not any(isinstance(item, Call) and item.function in GROUPINGS for _, item in items):
        _check_columns(node)
    found = []
    for sign, item in items:
        if sign < 0:
            raise ReadError(item.position, "grouping factors cannot be subtracted; leave this one out")
        part, grouping = read_grouping(item, effects)
        _check_columns(part)
        if identifier and isinstance(item, Call):
            raise ReadError(
                item.position,
                f"{item.function}() and an ID, |{identifier}|, don't go together; leave one of the two out",
            )
        found.append((part, grouping))
    return found


def _check_columns(node: Node) -> None:
    """Refuse what is not columns joined by ``/ : * +`` right of a bar."""
    for part in walk(node):
        match part:
            case Name() | Binary("/" | ":" | "*" | "+"):
                continue
            case Call("gr"):
                reason = "gr() stands alone right of a bar: (1 | gr(g, by=z))"
            case Call("mm"):
                reason = "mm() stands alone right of a bar: (1 | mm(g1, g2))"
            case Call():
                reason = (
                    f"right of a bar stand columns, not calls; make {render(part)} a column of the data first"
                )
            case Binary(operator) if operator in BARS:
                reason = "a group term has one bar"
            case Binary(operator) | Unary(operator):
                reason = f"`{operator}` has no meaning right of a bar; columns are joined by / : * +"
            case _:
                reason = "right of a bar stand columns, joined by / : * +"
        raise ReadError(part.position, reason)
