"""Prior distributions as plain data: one prior, a set of addressed priors, their text and TOML."""

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from hierbayes.distributions import (
    BOUNDS,
    HALVES,
    RECORDS,
    SEVERAL,
    TRUNCATED,
    Array,
    Distribution,
    Size,
    Support,
    equal_correlations,
    find_distribution,
)
from hierbayes.errors import PriorError

SWITCHES = {"true": True, "false": False}


@dataclass(frozen=True, init=False, repr=False)
class Prior:
    """One prior: a distribution's name with arguments, or a bare name whose scale is filled in later.

    Names are matched without case, underscores and hyphens. Arguments go by position or by name, as in PyMC;
    a location left out is 0. Raises PriorError for an unknown name and for arguments it doesn't take.

    Examples
    --------
    >>> Prior("normal", sigma=2.5)
    Prior("Normal", mu=0, sigma=2.5)
    >>> print(Prior("HalfNormal").resolve(location=0, scale=50 / 3))
    HalfNormal(sigma=16.6667)
    """

    name: str
    args: tuple[tuple[str, float], ...]

    def __init__(self, name: str, /, *values: float, **named: float) -> None:
        record = find_distribution(name)
        bounds = {word: value for word, value in named.items() if word in BOUNDS}
        if bounds and "lower" not in record.parameters:
            record, arguments = _bounded(record, values, named)
        else:
            arguments = record.bind(values, named)
        object.__setattr__(self, "name", record.name)
        object.__setattr__(self, "args", tuple(arguments.items()))

    @property
    def distribution(self) -> Distribution:
        """Record of the prior's distribution."""
        return RECORDS[self.name]

    @property
    def bare(self) -> bool:
        """True for a name without its arguments, to be filled in by `resolve`."""
        return not self.args and self.distribution.scaled is not None

    @property
    def fixed(self) -> float | None:
        """The value that a Fixed prior states; None for any other."""
        return dict(self.args)["value"] if self.name == "Fixed" else None

    @property
    def joint(self) -> bool:
        """Whether it is of many coefficients and standard deviations together: see `structures.shrinkage`."""
        return self.distribution.support == "coefficients"

    @property
    def support(self) -> Support:
        """ "real", "positive", "unit", "correlation", "simplex"; of a Uniform or a Fixed it depends on the numbers.

        Of a joint prior "coefficients".
        """
        if self.distribution.support in (*SEVERAL, "coefficients"):
            return self.distribution.support
        if self.fixed is not None:
            return "unit" if 0 < self.fixed < 1 else "positive" if self.fixed > 0 else "real"
        lower, upper = self.distribution.bounds(**dict(self.args))
        return "real" if lower < 0 else "unit" if upper <= 1 else "positive"

    @property
    def tail(self) -> float:
        """k of the upper tail, which falls as x^(-1/k): there is a mean for k < 1, a standard deviation for k < 1/2."""
        arguments, whole = dict(self.args), RECORDS.get(self.distribution.inside)
        if whole is None:
            return self.distribution.tail(*arguments.values())
        return 0.0 if "upper" in arguments else whole.tail(*(arguments[name] for name in whole.parameters))

    @property
    def typical(self) -> float:
        """A number in its middle: the median of draws, 0 or 1 where it is flat."""
        if self.fixed is not None:
            return self.fixed
        if "Flat" in self.name:
            return float(self.support == "positive")
        return float(np.median(self.sample(np.random.default_rng(0), 1001)))

    def resolve(self, location: float, scale: float) -> "Prior":
        """Prior with a bare name's arguments filled in at that location and scale; any other as it is."""
        if self.args or self.distribution.scaled is None:
            return self
        if not (math.isfinite(location) and 0 < scale < math.inf):
            raise PriorError(f"{self.name} cannot be scaled to location {location:g} and scale {scale:g}.")
        return Prior(self.name, **self.distribution.scaled(location, scale))

    def between(self, low: float, high: float) -> "Prior | None":
        """What of it lies between two limits, which may be infinite; None where nothing does.

        Examples
        --------
        >>> print(Prior("Gamma", 2, 0.1).between(0, 3))
        TruncatedGamma(alpha=2, beta=0.1, upper=3)
        """
        own = self.distribution.bounds(**dict(self.args))
        ends = {"lower": max(float(own[0]), low), "upper": min(float(own[1]), high)}
        if not ends["lower"] < ends["upper"]:
            return None
        return Prior(
            self.name, **(dict(self.args) | {word: end for word, end in ends.items() if np.isfinite(end)})
        )

    def logpdf(self, x: ArrayLike) -> Array:
        """Log density at `x`, -inf outside the support; for LKJ of matrices (..., q, q), for Dirichlet of (..., q)."""
        return self.distribution.logpdf(x, **self._complete())

    def sample(self, rng: Generator, size: Size = None, *, dimension: int = 0) -> Array:
        """Draws of shape `size`; for LKJ and Dirichlet, which need ``dimension=q``, (*size, q, q) and (*size, q).

        With a `dimension`, a fixed value is that of every correlation.
        """
        if self.fixed is not None and dimension:
            shape = () if size is None else tuple(np.atleast_1d(size))
            return np.tile(equal_correlations(self.fixed, dimension), (*shape, 1, 1))
        return self.distribution.sample(rng, size, dimension=dimension, **self._complete())

    def _complete(self) -> dict[str, float]:
        if self.bare:
            raise PriorError(f"{self.name} has no arguments yet: call resolve(location, scale) first.")
        return dict(self.args)

    def to_text(self, spec: str = "") -> str:
        """Text that `parse_prior` reads back to the same prior; `spec` may shorten the numbers, as ".3g"."""
        roles = dict(zip(self.distribution.parameters, self.distribution.roles, strict=True))
        numbers = [
            (name, str(value > 0) if roles.get(name) == "switch" else format(value, spec).removesuffix(".0"))
            for name, value in self.args
        ]
        each = self.distribution.each and len(numbers) > 1
        arguments = ", ".join(number if each else f"{name}={number}" for name, number in numbers)
        return self.name if self.bare else f"{self.name}({arguments})"

    def __str__(self) -> str:
        return self.to_text(".6g")

    def __repr__(self) -> str:
        arguments = self.to_text().removeprefix(self.name).strip("()")
        return f'Prior("{self.name}"{", " if arguments else ""}{arguments})'


def _bounded(
    record: Distribution, values: tuple[float, ...], named: Mapping[str, float]
) -> tuple[Distribution, dict[str, float]]:
    """The distribution that is another one between bounds, with its arguments; itself where these cut nothing off."""
    bounds = {BOUNDS[word]: value for word, value in named.items() if word in BOUNDS}
    rest = {word: value for word, value in named.items() if word not in BOUNDS}
    whole, location = HALVES.get(record.name, (record.name, ""))
    if whole not in TRUNCATED:
        flat = ", between two it is Uniform(lower, upper), above 0 HalfFlat" if "Flat" in whole else ""
        raise PriorError(
            f"{record.name} takes no bounds{flat}; {', '.join([*TRUNCATED, *HALVES])} do, and Uniform has both"
        )
    own = record.bind(values, rest)
    if not own:
        raise PriorError(f"{record.name} between bounds needs its arguments: {', '.join(record.parameters)}.")
    found = TRUNCATED[whole]
    found.check(**own, **bounds)
    lowest, highest = record.bounds()
    kept = {
        word: value
        for word, value in bounds.items()
        if (value > lowest if word == "lower" else value < highest)
    }
    if not kept and record.support != "real":
        return record, own
    if location:  # the half that lies above 0
        own[location], kept["lower"] = 0.0, max(0.0, bounds.get("lower", 0.0))
    return found, found.bind((), {**own, **kept})


def parse_prior(text: "str | Prior") -> Prior:
    """Read a prior's text, with PriorError if it cannot be read; a Prior is returned as it is.

    Examples
    --------
    >>> parse_prior("student_t(3, 0, sigma=2.5)")
    Prior("StudentT", nu=3, mu=0, sigma=2.5)
    """
    if isinstance(text, Prior):
        return text
    if not isinstance(text, str):
        raise PriorError(f"A prior is written 'Normal(0, 2.5)', not {text!r}; a fixed value is 'Fixed(2.5)'.")
    match = re.fullmatch(r"([^(),=]*)(?:\(([^()]*)\)\s*)?", text)
    if match is None or not match[1].strip():
        raise PriorError(f'Cannot read the prior {text!r}; write it as "Normal(0, 2.5)" or "HalfNormal".')
    values: list[float] = []
    named: dict[str, float] = {}
    for argument in match[2].split(",") if match[2] and match[2].strip() else ():
        word, equals, digits = (part.strip() for part in argument.rpartition("="))
        if named and (not equals or word in named):
            raise PriorError(f"Cannot read the prior {text!r}: {argument.strip()!r} needs a name of its own.")
        try:
            number = SWITCHES[digits.lower()] if digits.lower() in SWITCHES else float(digits)
        except ValueError:
            raise PriorError(f"Cannot read the prior {text!r}: {digits!r} is not a number.") from None
        named |= {word: number} if equals else {}
        values += [] if equals else [number]
    return Prior(match[1].strip(), *values, **named)


def normalise_address(text: str) -> str:
    """One spelling of a prior's address, whatever the spaces at its brackets, commas and dots.

    Examples
    --------
    >>> normalise_address("sigma . sd[ Subject ,Days ]"), normalise_address("b[ C( x )[T.Dr. a b] ]")
    ('sigma.sd[Subject, Days]', 'b[C(x)[T.Dr. a b]]')
    """
    head, bracket, rest = text.partition("[")
    text = re.sub(r"\s*\.\s*", ".", head) + bracket + rest  # a dot inside brackets is part of a name
    text = re.sub(r"\s*,\s*", ", ", text)
    return re.sub(r"\s*([\[\]])\s*|(\()\s+|\s+(\))", r"\1\2\3", text).strip()


@dataclass(frozen=True, repr=False)
class PriorSet:
    """Priors by address, in the order given: what a user or a file says, not yet matched to a model.

    Examples
    --------
    >>> print(PriorSet.of({"b": "Normal(0, 1)", "sd[ Subject ]": "HalfNormal"}).to_toml(), end="")
    [priors]
    b = "Normal(mu=0, sigma=1)"
    "sd[Subject]" = "HalfNormal"
    """

    entries: tuple[tuple[str, Prior], ...] = ()
    origin: str = "user"
    origins: tuple[str, ...] = ()  # one an entry; `origin` for all unless given
    elsewhere: frozenset[str] = (
        frozenset()
    )  # addresses that may match nothing here, but in another response's model

    def __post_init__(self) -> None:
        entries: dict[str, Prior] = {}
        for given, prior in self.entries:
            address = normalise_address(str(given))
            try:
                if not address or address in entries:
                    raise PriorError(f"the address is {'given twice' if address else 'empty'}.")
                entries[address] = parse_prior(prior)
            except PriorError as error:
                raise PriorError(f"Prior for {given!r}: {error}") from error
        object.__setattr__(self, "entries", tuple(entries.items()))
        object.__setattr__(self, "origins", self.origins or (self.origin,) * len(entries))

    @classmethod
    def of(cls, source: "Mapping[str, Any] | PriorSet | str | Path | None") -> "PriorSet":
        """Set from a mapping (to Priors or texts), a TOML file's path or None; a PriorSet as it is."""
        if isinstance(source, PriorSet):
            return source
        if isinstance(source, str | Path):
            return cls.from_toml(source)
        if source is not None and not isinstance(source, Mapping):
            raise PriorError(f"Priors are a mapping from addresses to priors or a TOML file, not {source!r}.")
        return cls(tuple((source or {}).items()))

    def __repr__(self) -> str:
        width = max((len(address) for address, _ in self.entries), default=0)
        lines = (
            f"  {address:{width}}  {prior}  ({origin})"
            for (address, prior), origin in zip(self.entries, self.origins, strict=True)
        )
        return "\n".join(("PriorSet" if self.entries else "PriorSet, empty", *lines))

    def get(self, address: str) -> Prior | None:
        """Prior at exactly that address, or None."""
        return dict(self.entries).get(normalise_address(address))

    def origin_of(self, address: str) -> str:
        """Where the entry at exactly that address came from: ``"user"`` or a file."""
        places = [entry for entry, _ in self.entries]
        return self.origins[places.index(normalise_address(address))]

    def merge(self, other: "PriorSet") -> "PriorSet":
        """Both sets' entries, each with its origin; where both have an address, `other` wins."""
        whole = dict.fromkeys(part.origin for part in (self, other) if part.entries)
        entries: dict[str, tuple[Prior, str]] = {}
        for part in (self, other):
            for (address, prior), origin in zip(part.entries, part.origins, strict=True):
                entries[address] = (prior, origin)
        return PriorSet(
            tuple((address, prior) for address, (prior, _) in entries.items()),
            " and ".join(whole) or "user",
            tuple(origin for _, origin in entries.values()),
        )

    def to_toml(self) -> str:
        """TOML text with one table, ``[priors]``, that `from_toml` reads back to the same entries."""
        text = "[priors]\n"
        for address, prior in self.entries:
            key = address if re.fullmatch(r"(?a)[\w-]+", address) else json.dumps(address, ensure_ascii=False)
            text += f'{key} = "{prior.to_text()}"\n'
        return text.replace("\x7f", "\\u007f")  # DEL is the one character that JSON leaves and TOML doesn't

    @classmethod
    def from_toml(cls, source: str | Path) -> "PriorSet":
        """Read the table [priors] of a file (a Path, or a name ending in ".toml") or of a TOML text."""
        is_file = isinstance(source, Path) or (source.endswith(".toml") and "\n" not in source)
        try:
            table = tomllib.loads(Path(source).read_text("utf-8") if is_file else str(source)).get("priors")
            if not isinstance(table, dict):
                raise PriorError('no table [priors]; write one, with lines such as b = "Normal(0, 1)".')
            entries: list[tuple[str, Any]] = []
            for key, value in table.items():  # to TOML, an unquoted sigma.Intercept is a table
                parts = value.items() if isinstance(value, dict) else [(None, value)]
                entries += [(key if part is None else f"{key}.{part}", prior) for part, prior in parts]
            return cls(tuple(entries), f"file {Path(source).name}" if is_file else "user")
        except (OSError, ValueError) as error:
            where = source if is_file else "a TOML text"
            raise PriorError(f"Reading {where}: {error}{quotes_hint(error)}") from error


def quotes_hint(error: Exception) -> str:
    """What is mostly wrong where TOML cannot be read; nothing for another error."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        return ""
    return '; addresses with brackets and priors stand in quotes: "sd[g]" = "HalfNormal(1)"'


type OnePriors = Mapping[str, Prior | str] | PriorSet | str | Path | None
type Priors = OnePriors | Sequence[OnePriors]


def read_priors(priors: Priors) -> PriorSet:
    """A mapping, a set, a TOML file, or a list of these as a `PriorSet`; of a list, later entries win."""
    if isinstance(priors, Sequence) and not isinstance(priors, str):
        return reduce(PriorSet.merge, map(read_priors, priors), PriorSet())
    if isinstance(priors, str | Path):
        if not Path(priors).is_file():
            raise PriorError(
                f"there is no prior file {str(priors)!r} here ({Path.cwd()}); priors are the path of a TOML file or a "
                "mapping such as {'b': 'Normal(0, 1)'}"
            )
        return PriorSet.from_toml(Path(priors))
    return PriorSet.of(priors)
