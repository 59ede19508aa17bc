"""What is known of a response distribution: its record, and what several families share."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hierbayes.compiling import Deferred
from hierbayes.errors import UnsupportedError
from hierbayes.families.rows import Rows, inner_coordinates
from hierbayes.families.tensorrows import TensorRows
from hierbayes.kinds import POSITIVE, Kind, ParameterValues
from hierbayes.links import LINKS, NUMPY_MATH, Link
from hierbayes.priors import Prior

Array = NDArray[np.float64]
Values = Mapping[str, Any]
TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Support:
    """Where a response may lie.

    Attributes
    ----------
    words : str
        The condition in words, for messages: "a whole number, 0 or more".
    contains : callable
        ``contains(y, trials)``: boolean array, one a row.
    whole : bool
        Whether responses are whole numbers.
    atoms : tuple of float
        Values that have probabilities of their own where others have densities, such as 0.
    two_levels : bool
        Whether a two-valued column (text, categories, True and False) stands for 0 and 1.
    categories : bool
        Whether responses are categories: a column's values, which stand for 0, 1, 2, …
    ordered : bool
        Whether these are in an order.
    advice : str
        What to do about responses elsewhere, for messages; general words unless given.
    fewest : int
        How many categories there are at least.
    columns : bool
        Whether a response has a column for each of several categories, the last axis of `y`: counts, or shares.
    signed : bool
        Whether a response is a time above 0 with the sign of a choice, of which ``dec(…)`` says which one it was: below
        0 at the lower of two boundaries. Its size is the time.
    """

    words: str
    contains: Callable[[Array, Array | None], NDArray[np.bool_]]
    whole: bool = False
    atoms: tuple[float, ...] = ()
    two_levels: bool = False
    categories: bool = False
    ordered: bool = True
    advice: str = ""
    fewest: int = 2
    columns: bool = False
    signed: bool = False

    @property
    def counts(self) -> bool:
        """Whether responses are counts, whose zeros are counted: neither two values nor categories."""
        return self.whole and not self.two_levels and not self.categories and not self.columns

    @property
    def is_interval(self) -> bool:
        """Whether responses are all real numbers, all above 0, or all between 0 and 1."""
        if self.whole or self.atoms or self.categories or self.columns or self.signed:
            return False
        inside = self.contains(np.array([-1e6, 0.0, 0.5, 1.0, 1e6]), None).tolist()
        return inside in ([True] * 5, [False, False, True, True, True], [False, False, True, False, False])

    def parts(self, y: Array) -> list[Array]:
        """The columns of responses (…, m), each (…); responses (…) are one."""
        return list(np.moveaxis(y, -1, 0)) if self.columns else [y]

    def sizes(self, y: Array) -> Array:
        """What means, variances and spreads of responses are of: themselves, less the sign of a choice."""
        return np.abs(y) if self.signed else y


@dataclass(frozen=True)
class Parameter:
    """A parameter of a response distribution.

    Attributes
    ----------
    name : str
        Its name in formulas, in priors and in the posterior: ``"mu"``, ``"sigma"``, ``"zi"``.
    kind : Kind
        Which values it may have: see `hierbayes.kinds`.
    links : tuple of str
        The links that its formula may use, the default first.
    words : str
        What it is, for printing.
    prior : callable or None
        ``prior(spread)``: the default prior of its value where it has no formula, for a response of that standard
        deviation. None for the first parameter, which always has one.
    typical : callable
        ``typical(spread)``: a typical value, where the intercept of its own formula is centred. Of a vector
        ``typical(shares)``, its elements for a response whose categories have these shares of the rows.
    intercept : Prior or None
        The default prior of its formula's intercept, where it is none of the usual ones: Fixed at 0 where other
        parameters say where the response lies.
    formula : bool
        Whether it may have a formula; a vector has none.
    moves : int or None
        Which element of the family's `origin` its formula's intercept would only move, all of them for -1; None where
        that intercept is a number of its own.
    endless : bool
        Whether an infinite value is another distribution that responses may have, as a Poisson's: then no data bound
        it, and the tail of its posterior is that of its prior.
    of : str
        What `prior` and `typical` are given of the response: its ``"spread"``, or the ``"least"`` of it. Of
        ``"response"`` its predictor has the response's own centre and spread, as the first parameter's.
    start : float
        How many of its predictor's spreads from the centre a search for the posterior begins.
    known : str
        The argument of an addition by which every row states its value, ``"se"`` of ``se(s)``, or its name in what
        the family's `known_from` says; "" where it is learnt.
    size : int
        How many things its elements have a joint prior of: shares, or things that are correlated by pairs; 0 where
        each element has its own.
    labels : tuple of str
        Of its elements, where the family knows them.
    unscaled : bool
        Whether nothing says how large it may be, so that there are no default priors of its formula's coefficients.
    """

    name: str
    kind: Kind
    links: tuple[str, ...]
    words: str = ""
    prior: Callable[[float], Prior] | None = None
    typical: Callable[[Any], Any] = lambda spread: 1.0
    intercept: Prior | None = None
    formula: bool = True
    moves: int | None = None
    endless: bool = False
    of: str = "spread"
    start: float = 0.0
    known: str = ""
    size: int = 0
    labels: tuple[str, ...] = ()
    unscaled: bool = False

    @property
    def link(self) -> str:
        """The link that its formula uses by default."""
        return self.links[0]

    @property
    def arguments(self) -> tuple[tuple[str, Kind], ...]:
        """What row functions are given of it, each by a name and a kind: itself, of shares the parts broken off."""
        part = self.kind.of_part
        if part is None:
            return ((self.name, self.kind),)
        return tuple((f"{self.name}{k}", part) for k in range(1, self.size))

    @property
    def takes_formula(self) -> bool:
        """Whether it may have a formula: a vector has none."""
        return self.formula and not self.kind.vector and not self.known

    def location_and_scale(self, link: str, spread: float) -> tuple[float, float]:
        """Centre and spread of its linear predictor under a link, for the default priors of its formula.

        The link of its middling value; and 1 for a link to a scale of its own, otherwise what a change of 1 in the
        inner coordinate is there: a factor e of a positive number, log odds of 1.
        """
        location = float(LINKS[link].link(self.typical(spread)))
        if LINKS[link].unit is None:
            return location, 1.0
        _, slope, _ = inner_coordinates(self.kind, link, np.array([location]))
        return location, float(1 / np.abs(slope * np.ones(1))[0])


@dataclass(frozen=True)
class Alike:
    """Components of one density: with their parameters exchanged, the distribution of responses is the same.

    Attributes
    ----------
    named : tuple of tuples of str
        Each component's parameters, in one order; the first of each has the bare formula.
    shares : tuple of str
        The probability of each component but the first among those up to it.
    """

    named: tuple[tuple[str, ...], ...]
    shares: tuple[str, ...]


class ManyRows(Protocol):
    """What gives log densities and scores of many rows."""

    def evaluate(self, y: Array, trials: Array | None, t: Array) -> Array:
        """Log density and scores (1 + J, N) of N rows from inner coordinates (J, N)."""


class Computed(Protocol):
    """How some parameters of a family follow from others."""

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that follow from others."""

    @property
    def learnt(self) -> tuple[str, ...]:
        """The numbers that they follow from, which have formulas of their own."""

    @property
    def rows(self) -> ManyRows:
        """The density of many rows, where the family has no row function."""

    def etas(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The linear predictors of those named, from all parameters in their forms."""


@dataclass(frozen=True, eq=False)
class Correlated:
    """How residuals are correlated across several responses of a family: mu + sigma L z, L L' their correlations.

    Attributes
    ----------
    name : str
        Of the distribution of z.
    row : Deferred
        ``row(y, inner, scores)``: log density of one row of all responses, from mu − y and log sigma of each, L's
        partial correlations and the shared parameters; it sets their scores.
    shared : tuple of str
        Parameters of which all responses have one in common.
    log_density : callable
        ``log_density(square, size, *shared)``: of z of so many numbers, from the sum of their squares.
    stretch : callable
        ``stretch(rng, *shared)``: by what standard normal numbers are multiplied to be z, drawn for a row.
    graph : callable
        ``graph(pm, size, chol, *shared)``: PyMC's distribution of L z.
    """

    name: str
    row: Deferred
    log_density: Callable[..., Any]
    stretch: Callable[..., Any]
    graph: Callable[..., Any]
    shared: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Tails:
    """The probabilities below and above a value: what responses need that are censored or truncated.

    Attributes
    ----------
    row : Deferred
        ``row(y, *parameters[, once])``: the logarithm of P(Y <= y) and its scores in the parameters' inner coordinates,
        then that of P(Y > y) and its scores; of numbers, compiled. `y` is the response itself, any finite number.
    moments : callable or None
        ``moments(log_mass, lower, upper, **parameters)``: mean and variance of Y given lower < Y <= upper, either of
        which may be infinite, from ``log_mass(lower, upper, **parameters)``, the logarithm of the probability of that.
    above : callable or None
        ``above(y, **arguments)``: the logarithm of P(Y > y) in tensors, from the arguments of PyMC's distribution,
        where PyMC has but the logarithm of one minus P(Y <= y).
    below : callable or None
        ``below(y, **arguments)``: that of P(Y <= y), where PyMC has none.
    """

    row: Deferred
    moments: Callable[..., tuple[Array, Array]] | None
    above: Callable[..., Any] | None = None
    below: Callable[..., Any] | None = None


@dataclass(frozen=True, eq=False)
class Family:
    """A response distribution over named parameters.

    Functions are given the parameters by name, each in the form of its kind: ``mu.value``, a positive one's
    ``shape.log``, a probability's ``mu.p, mu.q, mu.log_p, mu.log_q`` (`hierbayes.kinds.Values`). Those that take
    `trials` do so only in families that need them.

    Attributes
    ----------
    name : str
        What users write.
    parameters : tuple of Parameter
        The first is the one that a bare formula is about; a vector with an element a category is the last.
    support : Support
        Where the response may lie.
    row : Deferred
        ``row(y, [trials,] *parameters[, once])``: the log density of one row, without what depends on its response and
        trials alone, and its scores in the parameters' inner coordinates; of numbers, compiled
        (`hierbayes.compiling.deferred`). It is given the forms of `hierbayes.kinds` in a row. None where PyMC's
        distribution is all that is known of the density: then strategy ``"nuts"`` draws.
    graph : callable or None
        ``graph(pm, [trials,] **parameters)``: PyMC's distribution and its arguments.
    simulate : callable
        ``simulate(rng, [trials,] **parameters)``: one response for each entry, NaN for parameters that the
        distribution cannot have.
    equation : str
        The distribution as printed: ``"Normal(mu, sigma)"``.
    of_y_alone : callable
        ``of_y_alone(y[, trials])``: what `row` leaves out.
    shared : Deferred or None
        ``shared(*some of trials and the parameters)``: what `row` takes for its last argument; computed once for rows
        with the same values of these.
    response : callable
        ``response(y)``: what `row` is given of a response.
    mean : callable or None
        ``mean(**parameters)``: expected response (for families with trials: per trial).
    variance : callable or None
        ``variance(**parameters)``: variance of the response about that mean (for families with trials: of one
        trial), infinite where it has none. Both are of its size, where it has a sign beside.
    cdf : callable or None
        ``cdf(y, [trials,] **parameters)``: probability of a response of `y` or less, `y` in the support; NaN for
        parameters that the distribution cannot have.
    tails : Tails or None
        Where responses may be censored or truncated.
    known_from : callable or None
        ``known_from(y)``: of the training responses, the values that known parameters have in all rows, by what their
        `known` says. None where rows state what is known.
    known_between : callable or None
        ``known_between(y, **parameters)``: the ends between which responses are known to lie, the lower one excluded;
        both are `y` in rows that are not censored. None where no row is.
    probabilities : callable or None
        ``probabilities(**parameters)``: of each category, on a last axis; for responses that are categories, or counts
        of several. Of shares of several the expected ones.
    information : callable or None
        ``information([trials,] **parameters)``: expected information of a row about the first parameter's inner
        coordinate. Where it is not known, and for other parameters, curvature does.
    zeros_by : str
        The parameter that is the probability of zeros of its own; none unless given.
    needs_trials : bool
        Whether the response must state its trials.
    log_response : bool
        Whether location and scale are those of the response's logarithm.
    has_variance : bool
        Whether the response has a mean and a variance whatever the parameters are.
    design_effect : callable
        ``design_effect(trials, **parameters)``: the variance of a response out of trials over that of independent
        ones.
    typical_rows : callable or None
        ``typical_rows(y)``: which responses say where the first parameter is, for its default prior; None for all.
    stands_for : callable
        ``stands_for(y)``: the number of each response that the first parameter is the mean of, for its default prior;
        the response itself in most families.
    first_scale : callable or None
        ``first_scale(spread)``: how large the first parameter is, either side of 0, where responses have that standard
        deviation but are not about it, such as a drift; for its default prior. None where responses say.
    quantities : mapping of str to callable
        What predictions may be asked for by name, as for a parameter: ``quantities[name](**parameters)``.
    mean_of : str
        What `mean` is of the first parameter: ``"value"``, its value; ``"multiple"``, that times what others say;
        ``"other"``. With `log_response` it is a multiple of the value's exponential.
    own_in_mean : tuple of str
        The other parameters that `mean` depends on.
    threshold : bool
        Whether a response, or each of its trials, says on which side of a threshold a latent variable fell, whose
        distribution about the linear predictor is the link's.
    latent : str
        The link that its latent variable's distribution is called after, in families that are told by their parameters
        and by such a distribution; their parameters' own links are others.
    latents : mapping of str to Family
        The same family under each such link, the default first.
    latent_variance : float or None
        Variance of a latent variable about the linear predictor, where the family has one of its own.
    origin : str
        The own parameter that holds the intercepts, those where all predictors are 0: thresholds; "" for most.
    specific : callable or None
        ``specific(thresholds)``: the same family with a predictor of its own, ``cs1``, ``cs2``, …, for each of so many
        thresholds; where it may have category-specific effects.
    equidistant : callable or None
        ``equidistant(categories)``: the same family with evenly spaced thresholds, where it may have such.
    baseline : callable or None
        ``baseline(count, knots, apart)``: the same family with a baseline hazard of so many splines, with inner knots
        there or None for the times' quantiles, and whether strata have shares of their own.
    by_category : callable or None
        ``by_category(levels)``: the same family with a parameter for each category but the first.
    components : tuple of str
        The parameters that have the bare formula, each where it has none of its own; the first parameter's is then
        none. Empty where the bare formula is the first's.
    computed : Computed or None
        How some of the parameters follow from others (`hierbayes.families.nonlinear`): their own predictors are 0.
    correlated : Correlated or None
        How its residuals may be correlated with those of other responses.
    alike : Alike or None
        Components that nothing but their formulas and priors tells apart.
    in_series : Family or None
        That of a row given the other rows of its series, where residuals are correlated; None where rows are
        independent.
    variant : str
        What tells its row function from another of a family of this name.
    listed : int or None
        From which parameter on `row` is given all components as one list, and writes their scores into another, its
        last argument, instead of returning them.
    summed : bool
        Whether rows that differ in the response alone may be merged: `row` is linear in the response and the trials.
    normal : bool
        Whether the response, or with `log_response` its logarithm, is normal with mean mu and standard deviation sigma.
    moving_ends : bool
        Whether where a response may lie depends on the parameters.
    curved : bool
        Whether its parameters lie on a curved ridge where rows are few, so that draws need short steps.
    takes_se : bool
        Whether rows may state standard errors, which are about `mu` as `sigma` is.
    grows : tuple of str
        The positive parameters that a count over more grows with in proportion, where rows may state what it is over.
    as_sum : (Family, mapping of str to float) or None
        The family that sums of such responses have, with the values that others of its parameters have for one of
        them; None where it is this one.
    place : int
        Where lists of families show it.
    """

    name: str
    parameters: tuple[Parameter, ...]
    support: Support
    row: Deferred | None
    graph: Callable[..., tuple[Any, dict[str, Any]]] | None
    simulate: Callable[..., Array]
    equation: str
    of_y_alone: Callable[..., Array] = lambda y, *trials: np.zeros(np.shape(y))
    shared: Deferred | None = None
    response: Callable[[Array], Array] = lambda y: y
    mean: Callable[..., Array] | None = None
    variance: Callable[..., Array] | None = None
    cdf: Callable[..., Array] | None = None
    tails: Tails | None = None
    known_from: Callable[[Array], Mapping[str, float]] | None = None
    known_between: Callable[..., tuple[Array, Array]] | None = None
    probabilities: Callable[..., Array] | None = None
    information: Callable[..., Array] | None = None
    zeros_by: str = ""
    needs_trials: bool = False
    log_response: bool = False
    has_variance: bool = True
    design_effect: Callable[..., Array] = lambda trials, **parameters: np.ones_like(trials)
    typical_rows: Callable[[Array], NDArray[np.bool_]] | None = None
    stands_for: Callable[[Array], Array] = lambda y: y
    first_scale: Callable[[float], float] | None = None
    quantities: Mapping[str, Callable[..., Array]] = field(default_factory=dict)
    mean_of: str = "value"
    own_in_mean: tuple[str, ...] = ()
    threshold: bool = False
    latent: str = ""
    latents: Mapping[str, "Family"] = field(default_factory=dict)
    latent_variance: float | None = None
    origin: str = ""
    specific: "Callable[[int], Family] | None" = None
    equidistant: "Callable[[int], Family] | None" = None
    baseline: "Callable[[int, tuple[float, ...] | None, bool], Family] | None" = None
    by_category: "Callable[[Sequence[Any]], Family] | None" = None
    components: tuple[str, ...] = ()
    computed: "Computed | None" = None
    alike: Alike | None = None
    correlated: Correlated | None = None
    in_series: "Family | None" = None
    variant: str = ""
    listed: int | None = None
    summed: bool = False
    normal: bool = False
    moving_ends: bool = False
    curved: bool = False
    takes_se: bool = False
    grows: tuple[str, ...] = ()
    as_sum: "tuple[Family, Mapping[str, float]] | None" = None
    place: int = 100

    @property
    def links(self) -> tuple[str, ...]:
        """The links that users may ask for, the default first: the first parameter's or the latent variable's."""
        return tuple(self.latents) or self.parameters[0].links

    def under(self, chosen: str | Mapping[str, str] | None) -> tuple["Family", dict[str, str]]:
        """The family under chosen links, and the link of each of its parameters: see `chosen_links`.

        The link of a family of latent variables says how those are distributed.
        """
        if not self.latents:
            return self, self.chosen_links(chosen)
        given = dict(chosen) if isinstance(chosen, Mapping) else {self.first.name: chosen or self.links[0]}
        latent = given.pop(self.first.name, self.links[0])
        if latent not in self.latents:
            raise UnsupportedError(
                f"family {self.name!r} has no link {latent!r}; its links are {', '.join(self.links)}"
            )
        return self.latents[latent], self.latents[latent].chosen_links(given)

    @property
    def of_row(self) -> "Family":
        """That of a row given all parameters and the other rows: itself, but where residuals are correlated."""
        return self.in_series or self

    @property
    def has_categories(self) -> bool:
        """Whether responses are categories, or have a column for each: answers are a number for each of them."""
        return self.probabilities is not None

    @property
    def first(self) -> Parameter:
        """The one that a bare formula is about."""
        return self.parameters[0]

    @property
    def known(self) -> tuple[Parameter, ...]:
        """The parameters that every row states."""
        return tuple(parameter for parameter in self.parameters if parameter.known)

    @property
    def own(self) -> tuple[Parameter, ...]:
        """The parameters beyond the first."""
        return self.parameters[1:]

    def chosen_links(self, chosen: str | Mapping[str, str] | None) -> dict[str, str]:
        """The link of every parameter, by its name: those chosen (a text is the first parameter's), or its default.

        Raises
        ------
        UnsupportedError
            For a parameter that the family hasn't got, or a link that the parameter hasn't got.
        """
        given = (
            {}
            if chosen is None
            else dict(chosen)
            if isinstance(chosen, Mapping)
            else {self.first.name: chosen}
        )
        known = {parameter.name: parameter for parameter in self.parameters}
        for name, link in given.items():
            if name not in known:
                raise UnsupportedError(
                    f"family {self.name!r} has no parameter {name!r} for the link {link!r}; it has {', '.join(known)}"
                )
            links = known[name].links
            if link not in links:
                whose = "" if name == self.first.name else f" for {name}"
                raise UnsupportedError(
                    f"family {self.name!r} has no link {link!r}{whose}; its links{whose} are {', '.join(links)}"
                )
        return {name: given.get(name, parameter.link) for name, parameter in known.items()}

    def with_links(self, chosen: Mapping[str, str]) -> dict[str, str]:
        """The link of every parameter, its default where none is given; of parameters that it hasn't got none."""
        return {p.name: p.link if p.known else chosen.get(p.name, p.link) for p in self.parameters}

    @cached_property
    def rows(self) -> "Rows | TensorRows | ManyRows":
        """The row function over many rows; PyMC's distribution where there is none."""
        if self.computed is not None and self.row is None:
            return self.computed.rows
        kinds = [argument for parameter in self.parameters for argument in parameter.arguments]
        if self.row is None:
            return TensorRows(self.name, self.in_tensors, kinds, self.needs_trials, self.support.whole)
        name = "_".join(part for part in (self.name, self.latent, self.variant) if part)
        name = re.sub(r"\W+", "_", name).strip("_")
        beside = len(self.parameters) - len(self.components) - 1 if self.support.columns else None
        return Rows(name, self.row, self.shared, kinds, self.needs_trials, self.listed, beside)

    def in_tensors(self, pm: Any, *trials: Any, **parameters: Any) -> tuple[Any, dict[str, Any]]:
        """PyMC's distribution and its arguments.

        Raises
        ------
        UnsupportedError
            Of a family that has a row function alone.
        """
        if self.graph is None:
            raise UnsupportedError(
                f"family {self.name!r} has a row function and no distribution of PyMC's, so there is no graph; "
                "give custom_family a distribution"
            )
        return self.graph(pm, *trials, **parameters)

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name."""
        return next(parameter for parameter in self.parameters if parameter.name == name)

    @property
    def imputable(self) -> bool:
        """Whether a missing response can be drawn as a parameter is: from an interval that is always the same."""
        return self.support.is_interval and not self.moving_ends and self.graph is not None

    def is_normal(self, link: str) -> bool:
        """Whether the response, or its logarithm, is normal about the linear predictor itself."""
        return self.normal and link == "identity"

    def mean_is_predictor(self, link: str) -> bool:
        """Whether the expected response is the linear predictor itself."""
        return self.mean is not None and self.mean_of == "value" and self.mean_is_linear(link)

    def mean_is_linear(self, link: str) -> bool:
        """Whether the expected response is a multiple of the linear predictor."""
        return link == "identity" and self.mean_of != "other" and not self.log_response

    def mean_is_exponential(self, link: str) -> bool:
        """Whether the expected response is a multiple of the linear predictor's exponential."""
        return self.mean_of != "other" and link == ("identity" if self.log_response else "log")

    def constant(
        self, y: Array, trials: Array | None = None, known: Mapping[str, ParameterValues] | None = None
    ) -> Array:
        """What `row` leaves out of the log density of responses, whatever is learnt of the parameters.

        `known` has those that rows state, at least. The probability of a censored response has nothing left out.
        """
        left_out = self.of_y_alone(y, *self.of_trials(trials, y))
        if self.known_between is None:
            return left_out
        lower, upper = self.known_between(y, **(known or {}))
        return np.where(lower < upper, 0.0, left_out)

    def at(self, eta: Array, own: Mapping[str, Any], link: Link) -> "Responses":
        """Responses where the first parameter's linear predictor is `eta`: see `given`."""
        return Responses(self, self.given(eta, own, link))

    def given(
        self, eta: Any, own: Mapping[str, Any], link: Link, m: Any = NUMPY_MATH
    ) -> dict[str, ParameterValues]:
        """All parameters by name, in their forms.

        Parameters
        ----------
        eta : array or tensor (…, n)
            The first parameter's linear predictor.
        own : mapping of str to array, tensor or ParameterValues
            The other parameters, by name: their values, which broadcast against `eta`.
        link : Link
            The first parameter's.
        m : namespace
            The mathematics to use, of arrays or of tensors.
        """
        first = self.parameters[0]
        given = {first.name: first.kind.under(link, eta, m)}
        for parameter in self.own:
            value = own[parameter.name]
            given[parameter.name] = (
                value if isinstance(value, ParameterValues) else parameter.kind.under("identity", value, m)
            )
        return given

    def of_trials(self, trials: Any, like: Any) -> tuple[Any, ...]:
        """What functions are given of the trials: nothing in most families, 1 where there are none yet."""
        if not self.needs_trials:
            return ()
        return (np.ones_like(like) if trials is None else trials,)

    def location_and_scale(
        self, y: Array, trials: Array | None, weights: Array, link: str
    ) -> tuple[float, float]:
        """Centre and spread of the response on the link's scale, for the default priors.

        Identity link: the (weighted) mean and standard deviation of the response. Links to a scale of their own (log,
        logit, …): the link of the mean, pulled half a row from the boundary, and 1. Inverse: the inverse of the mean,
        twice. Others: the link of the mean, and what one standard deviation of the response is there; of 1/mu², what
        a mean e times as large is.
        """
        if self.has_categories:  # the first parameter is on a scale of its own
            return 0.0, 1.0
        y, weights = self.typical(y, weights)
        if self.first_scale is not None:
            return self._about_zero(self.first_scale(response_scale(y, weights)), link)
        values = np.log(y) if self.log_response else self.stands_for(y)
        if trials is not None:  # a row without trials is ignored
            values, weights = y / np.maximum(trials, 1), weights * trials
        total = weights.sum()
        mean = float((weights * values).sum() / total)
        if link == "identity":
            return mean, response_scale(values, weights)
        if link == "inverse":
            mean = mean or response_scale(values, weights)
            return 1 / mean, abs(1 / mean)
        if LINKS[link].log_odds is not None:
            mean = (mean * total + 0.5) / (total + 1)
        elif mean <= 0:
            mean = 0.5 / total if np.all(values >= 0) else response_scale(values, weights)
        location, unit = float(LINKS[link].link(mean)), LINKS[link].unit
        if unit is None:
            return location, 1.0
        change = mean if unit == "relative" else response_scale(values, weights)
        return location, change / abs(float(LINKS[link].slope(location)))

    def _about_zero(self, size: float, link: str) -> tuple[float, float]:
        """Centre and spread on the link's scale of a first parameter that is so large."""
        if link == "identity":
            return 0.0, size
        location = float(LINKS[link].link(size))
        return location, 1.0 if LINKS[link].unit is None else size / abs(float(LINKS[link].slope(location)))

    def typical(self, y: Array, weights: Array) -> tuple[Array, Array]:
        """The sizes of the responses, and their weights, that say where the first parameter is."""
        y = self.support.sizes(y)
        if self.typical_rows is None:
            return y, weights
        chosen = self.typical_rows(y)
        return y[chosen], weights[chosen]

    def spread(self, y: Array, weights: Array) -> float:
        """Standard deviation of the response, or its logarithm, on whose scale own parameters are; 1 of categories."""
        if self.has_categories:
            return 1.0
        y, weights = self.typical(y, weights)
        return response_scale(np.log(y) if self.log_response else y, weights)

    def typical_location_and_scale(self, link: str) -> tuple[float, float]:
        """The same without a response: the middle of a link's own scale and 1, NaN where there is none.

        The middle is a probability of a half, or a mean of 1 under the log link.
        """
        if self.has_categories:
            return 0.0, 1.0
        if LINKS[link].unit is not None:
            return np.nan, np.nan
        return (0.0 if LINKS[link].log_odds is None else float(LINKS[link].link(0.5))), 1.0


def response_scale(values: Array, weights: Array) -> float:
    """Weighted standard deviation (divisor: the weights' sum), 1 where it vanishes."""
    mean = (weights * values).sum() / weights.sum()
    scale = float(np.sqrt((weights * np.square(values - mean)).sum() / weights.sum()))
    return scale if scale > 0 else 1.0


@dataclass(frozen=True, eq=False)
class Responses:
    """A family where its parameters have given values: what is asked of a response distribution.

    Attributes
    ----------
    family : Family
    parameters : mapping of str to Values
        All of the family's, in its order.
    """

    family: Family
    parameters: Mapping[str, ParameterValues]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the first parameter's linear predictor."""
        return np.shape(next(iter(self.parameters.values())).eta)

    def log_density(self, y: Array, trials: Array | None = None) -> Array:
        """Log density of each row, -inf where the parameters are none that the distribution can have."""
        return self.evaluate(y, trials)[0]

    def evaluate(self, y: Array, trials: Array | None = None) -> tuple[Array, list[Array]]:
        """Log density of each row, and its derivatives in the linear predictor of every component of a parameter."""
        family, y = self.family, np.asarray(y, np.float64)
        counts = [] if trials is None else [np.asarray(trials, np.float64)]
        components = [part for values in self.parameters.values() for part in _components(values)]
        columns = family.support.parts(family.response(y))
        shape = np.broadcast_shapes(
            *(a.shape for a in (*columns, *counts, *(part[0] for part in components)))
        )
        # in the order in memory of the linear predictors: draws mostly lie side by side
        order: Any = "F" if np.isfortran(components[0][0]) else "C"

        def flat(array: Array) -> Array:
            return np.broadcast_to(array, shape).ravel(order)

        t = np.empty((len(components), math.prod(shape)))
        for place, (inner, _, _) in enumerate(components):
            t[place] = flat(inner)
        responses = np.stack([flat(column) for column in columns], axis=-1)
        out = family.rows.evaluate(responses, flat(counts[0]) if counts else None, t)
        value, *scores = (column.reshape(shape, order=order) for column in out)
        value = value + family.constant(y, counts[0] if counts else None, self.parameters)
        for _, _, possible in components:
            if possible is not True:
                value = np.where(possible, value, -np.inf)
        with np.errstate(invalid="ignore", over="ignore"):
            return value, [score * slope for score, (_, slope, _) in zip(scores, components, strict=True)]

    def simulate(self, rng: np.random.Generator, trials: Array | None = None) -> Array:
        """One response for each entry, NaN where the parameters are none that the distribution can have."""
        counts = (np.asarray(1 if trials is None else trials, np.int64),) if self.family.needs_trials else ()
        possible = self._possible()
        if possible is None:
            return self.family.simulate(rng, *counts, **self.parameters)
        inside = {name: values.possible() for name, values in self.parameters.items()}
        if self.family.support.columns:
            possible = possible[..., None]
        return np.where(possible, self.family.simulate(rng, *counts, **inside), np.nan)

    def mean(self) -> Array:
        """Expected response (for families with trials: per trial)."""
        return self._capability("mean", "expected response")(**self.parameters)

    def variance(self) -> Array:
        """Variance of the response (for families with trials: of one trial), infinite where it has none."""
        return self._capability("variance", "variance")(**self.parameters)

    def cdf(self, y: Array, trials: Array | None = None) -> Array:
        """Probability of a response of `y` or less, NaN for parameters that the distribution cannot have."""
        function = self._capability("cdf", "distribution function")
        possible = self._possible()
        if possible is None:
            return function(y, *self.family.of_trials(trials, y), **self.parameters)
        inside = {name: values.possible() for name, values in self.parameters.items()}
        return np.where(possible, function(y, *self.family.of_trials(trials, y), **inside), np.nan)

    def upto(self, y: Array, trials: Array | None = None) -> Array:
        """Probability of a response that is no more than `y` can be: than the end of what is known of it."""
        return self.cdf(self._known_between(y)[1], trials)

    def in_steps(self, y: Array) -> NDArray[np.bool_]:
        """Which responses have a probability and no density: counts, atoms, and those that are censored."""
        support = self.family.support
        return support.whole | np.isin(y, support.atoms) | self.censored(y)

    def censored(self, y: Array) -> NDArray[np.bool_]:
        """Of which responses (n,) it is known only between which ends they lie."""
        lower, upper = self._known_between(y)
        return lower < upper

    def _known_between(self, y: Array) -> tuple[Array, Array]:
        """The ends between which the responses are known to lie, (n,): what rows state is the same in all draws."""
        if self.family.known_between is None:
            return y, y
        lower, upper = self.family.known_between(y, **self.parameters)
        return lower.reshape(-1, len(y))[0], upper.reshape(-1, len(y))[0]

    def probabilities(self) -> Array:
        """Probability of each category, on a last axis."""
        return self._capability("probabilities", "categories")(**self.parameters)

    def information(self, trials: Array | None = None) -> Array:
        """Expected information of a row about the first parameter's linear predictor."""
        function = self._capability("information", "known information")
        first = next(iter(self.parameters.values()))
        with np.errstate(all="ignore"):
            found = function(*self.family.of_trials(trials, np.ones(1)), **self.parameters)
            return np.asarray(found * _components(first)[0][1] ** 2)

    def moments(self, trials: Array | None = None) -> tuple[Array, Array]:
        """Mean and variance of the response itself, out of all its trials; each in the shape of `eta`."""
        mean, variance = self.mean(), self.variance()
        if trials is not None:
            effect = self.family.design_effect(trials, **self.parameters)
            mean, variance = trials * mean, trials * effect * variance
        return np.broadcast_to(mean, self.shape), np.broadcast_to(variance, self.shape)

    def _possible(self) -> NDArray[np.bool_] | None:
        """Where all parameters are ones that the distribution can have; None where that is everywhere."""
        found = [
            where for values in self.parameters.values() if (where := values.where_possible()) is not None
        ]
        return np.logical_and.reduce(np.broadcast_arrays(*found)) if found else None

    def _capability(self, name: str, words: str) -> Callable[..., Array]:
        function: Callable[..., Array] | None = getattr(self.family, name)
        if function is None:
            first = self.family.first.name
            way = f"; parameter={first!r} has that of {first}" if name == "mean" else ""
            raise UnsupportedError(
                f"a response of family {self.family.name!r} has no {words}, which this asks for{way}"
            )
        return function


def _components(values: ParameterValues) -> list[tuple[Array, Any, Any]]:
    """Of each component of a parameter: its inner coordinates, their slopes, and which are possible."""
    eta = np.asarray(values.eta, np.float64)
    if values.kind.parts is not None:
        return [(part, 1.0, True) for part in values.kind.parts(eta)]
    parts = np.moveaxis(eta, -1, 0) if values.kind.vector else [eta]
    return [inner_coordinates(values.kind, values.link.name, part) for part in parts]


# -- what several families share ---------------------------------------------------------------------------------


def first_value(mu: ParameterValues, **own: ParameterValues) -> Array:
    """The first parameter's value, which is the expected response of most families."""
    value: Array = mu.value
    return value


def whole(y: Array) -> NDArray[np.bool_]:
    """Which values are whole numbers, 0 or more."""
    return np.isfinite(y) & (y == np.floor(y)) & (y >= 0)


REAL = Support("a finite number", lambda y, trials: np.isfinite(y))
ABOVE_ZERO = Support("a finite number above 0", lambda y, trials: np.isfinite(y) & (y > 0))
COUNT = Support("a whole number, 0 or more", lambda y, trials: whole(y), whole=True)
SUCCESSES = Support(
    "a whole number from 0 to the row's trials",
    lambda y, trials: whole(y) & (y <= np.asarray(trials)),
    whole=True,
)
# What brms offers.
NUMBER_LINKS = ("identity", "log", "inverse", "softplus", "squareplus")
POSITIVE_LINKS = ("log", "identity", "inverse", "softplus", "squareplus")
COUNT_LINKS = ("log", "identity", "sqrt", "softplus", "squareplus")
UNIT_LINKS = ("logit", "probit", "cloglog", "cauchit", "identity", "log")
OWN_LINKS = ("log", "identity", "softplus", "squareplus")  # of a scale, a shape or a precision
SHARE_LINKS = ("logit", "identity", "probit", "cloglog", "cauchit")  # of a probability beside the mean
# Heavy right tail (the Poisson limit stays possible), little mass near 0: brms' default for negbinomial's shape.
DISPERSION = Prior("InverseGamma", alpha=0.4, beta=0.3)
SHAPE = Parameter("shape", POSITIVE, OWN_LINKS, "shape", lambda spread: DISPERSION)
PHI = Parameter("phi", POSITIVE, OWN_LINKS, "precision", lambda spread: DISPERSION, lambda spread: 10.0)


def sigma(words: str) -> Parameter:
    """A standard deviation, or a scale, of the response's own size."""
    return Parameter(
        "sigma",
        POSITIVE,
        OWN_LINKS,
        words,
        lambda spread: Prior("Exponential", lam=1 / spread),
        lambda spread: spread,
    )
