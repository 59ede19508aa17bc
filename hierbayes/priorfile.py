"""Prior files: a model's beliefs as TOML, with the design they are about and statements about what they imply."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hierbayes.data.designrows import DesignRows, design_grid
from hierbayes.errors import HierBayesError, PriorError
from hierbayes.expect import Expectation, Simulation, Verdict, check, read_expectation
from hierbayes.model import Model
from hierbayes.priors import PriorSet, quotes_hint

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEXTS = ("description", "scale", "family", "response")
KEYS = (*TEXTS, "link", "source", "formula", "replicates", "priors", "design", "expect")
DRAWS = 2000


@dataclass(frozen=True)
class PriorFile:
    """A file of priors with all that a check of it needs.

    Attributes
    ----------
    path : Path
    description : str
        What it is for.
    source : tuple of str
        The literature it rests on.
    scale : str
        What the columns are measured in.
    response : str
        What the response is, with its unit: the label of pictures.
    formula : str or mapping of str to str
        The model it is stated for.
    family : str
    link : str, mapping of str to str, or None
    priors : PriorSet
    design : mapping
        Columns as `design_grid` takes them, and how many replicates.
    replicates : int
    expect : tuple of Expectation
    """

    path: Path
    description: str
    source: tuple[str, ...]
    scale: str
    response: str
    formula: Any
    family: str
    link: str | Mapping[str, str] | None
    priors: PriorSet
    design: Mapping[str, Any]
    replicates: int
    expect: tuple[Expectation, ...] = field(default=())

    def rows(self) -> DesignRows:
        """The design's rows."""
        return design_grid(self.design, replicates=self.replicates)

    def model(self) -> Model:
        """The model that the file describes, on its design."""
        return Model(self.formula, self.rows(), self.family, self.priors, self.link)

    def simulate(self, draws: int = DRAWS, seed: int = 0) -> Simulation:
        """Parameters from the priors and the data sets they imply."""
        return self.model().simulate_prior(draws, seed)

    def check(self, draws: int = DRAWS, seed: int = 0) -> tuple[Verdict, ...]:
        """Every statement of the file, checked.

        Parameters
        ----------
        draws : int
            Data sets to simulate.
        seed : int

        Examples
        --------
        >>> import hierbayes as hb
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "heights.toml")
        >>> _ = path.write_text('''
        ... formula = "height ~ (1 | school)"
        ... [priors]
        ... Intercept = "Normal(170, 5)"
        ... sd = "HalfNormal(3)"
        ... sigma = "LogNormal(2, 0.1)"
        ... [design]
        ... school = 5
        ... child = [1, 2, 3]
        ... [[expect]]
        ... statistic = "response"
        ... interval = [140, 200]
        ... probability = 0.98
        ... ''')
        >>> [verdict.passed for verdict in hb.read_prior_file(path).check()]
        [True]
        """
        try:
            simulation = self.simulate(draws, seed)
            return tuple(check(simulation, expectation) for expectation in self.expect)
        except HierBayesError as error:
            raise PriorError(f"Checking {self.path}: {error}") from error

    def plot(self, draws: int = 1000, seed: int = 0) -> "NDArray[Any]":
        """The pictures of `Model.plot_prior_predictive`, with the first interval of a response as its bounds."""
        from hierbayes.plots.priors import plot_prior_predictive

        bounds = next((e.interval for e in self.expect if e.statistic == "response"), None)
        simulation = self.simulate(draws, seed)
        return plot_prior_predictive(
            simulation, bounds=bounds, label=self.response or None, title=self.path.stem
        )


def find_prior_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The files named, and the TOML files below the folders named, in alphabetical order.

    Raises
    ------
    PriorError
        For a path that isn't there, or a folder without any.
    """
    found: list[Path] = []
    for path in paths:
        below = sorted(path.rglob("*.toml")) if path.is_dir() else [path]
        if not below or not below[0].is_file():
            raise PriorError(f"there is no prior file at {str(path)!r}; give a TOML file or a folder of them")
        found += below
    return tuple(dict.fromkeys(found))


def read_prior_file(path: str | Path) -> PriorFile:
    """Read a prior file; `priors/README.md` says what stands in one.

    Raises
    ------
    PriorError
        For a file that isn't there or cannot be read, with what is wrong in it.
    """
    place = Path(path)
    try:
        table = tomllib.loads(place.read_text("utf-8"))
        unknown = [key for key in table if key not in KEYS]
        if unknown:
            raise PriorError(f"unknown key {unknown[0]!r}; there are {', '.join(KEYS)}.")
        for key in TEXTS:
            if not isinstance(table.get(key, ""), str):
                raise PriorError(f"{key} must be a text, not {table[key]!r}.")
        if not isinstance(table.get("link", ""), str | dict):
            raise PriorError(f"link must be a text, or a table with one a parameter, not {table['link']!r}.")
        if not isinstance(table.get("formula"), str | dict):
            raise PriorError('no formula; write one, such as formula = "y ~ x + (x | g)".')
        if not isinstance(table.get("design"), dict):
            raise PriorError("no table [design]; write one, with lines such as x = [0, 1] and g = 20.")
        if not isinstance(table.get("expect", []), list):
            raise PriorError("statements are tables [[expect]], with two brackets.")
        source = table.get("source", [])
        return PriorFile(
            path=place,
            description=table.get("description", ""),
            source=(source,) if isinstance(source, str) else tuple(map(str, source)),
            scale=table.get("scale", ""),
            response=table.get("response", ""),
            formula=table["formula"],
            family=table.get("family", "gaussian"),
            link=table.get("link"),
            priors=PriorSet.from_toml(place),
            design=table["design"],
            replicates=table.get("replicates", 1),
            expect=tuple(map(read_expectation, table.get("expect", []))),
        )
    except (OSError, HierBayesError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = str(error).removeprefix(f"Reading {place}: ")
        raise PriorError(f"Reading {path}: {message}{quotes_hint(error)}") from error
