"""The table of strategies, and the choice among them."""

from dataclasses import dataclass
from typing import Any, Protocol

from hierbayes.data.design import Design
from hierbayes.engine.collapsed import Collapsed
from hierbayes.engine.nuts import Nuts
from hierbayes.engine.settings import Settings
from hierbayes.engine.streamed import Streamed
from hierbayes.engine.whitened import Whitened
from hierbayes.errors import UnsupportedError
from hierbayes.spec import ModelSpec


class Strategy(Protocol):
    """What every strategy is."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    def describe(self, spec: ModelSpec, design: Design | Streamed) -> str:
        """What it does with this model, in a clause."""
        ...

    def supports(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """None where it can draw this model's posterior; else the reason why not, in words."""
        ...

    def dear(self, spec: ModelSpec, design: Design | Streamed) -> str | None:
        """Why another strategy costs much less, if it can draw the model too; else None."""
        ...

    def run(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw the posterior: a DataTree that follows the schema."""
        ...

    def approximate(self, spec: ModelSpec, design: Design | Streamed, settings: Settings) -> Any:
        """Draw a Gaussian approximation: such a tree with ``log_ratio``; None where there are no such coordinates.

        ``log_ratio`` (chain, draw) is the exact log density less that of the approximation.
        """
        ...


STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in (Collapsed(), Whitened(), Nuts())}


@dataclass(frozen=True)
class Plan:
    """The strategy that a fit takes, and why.

    Attributes
    ----------
    strategy : Strategy
    reason : str
        In words, shown with the model and kept with its draws.
    """

    strategy: Strategy
    reason: str


def choose(spec: ModelSpec, design: Design | Streamed, name: str = "auto") -> Plan:
    """The strategy of that name, or for ``"auto"`` the first that supports the model and isn't dear.

    Raises
    ------
    UnsupportedError
        For an unknown name, or a strategy that cannot draw this model.
    """
    if name != "auto":
        strategy = STRATEGIES.get(name)
        if strategy is None:
            raise UnsupportedError(f"there is no strategy {name!r}; there are auto, {', '.join(STRATEGIES)}")
        obstacle = strategy.supports(spec, design)
        if obstacle:
            raise UnsupportedError(
                f"strategy {name!r} cannot draw this model: {obstacle}; use strategy='auto'"
            )
        return Plan(strategy, "asked for")
    obstacles: list[str] = []
    for strategy in STRATEGIES.values():
        obstacle = strategy.supports(spec, design)
        dear = strategy.dear(spec, design) if obstacle is None else None
        others = (other for other in STRATEGIES.values() if other is not strategy)
        if dear is not None and any(other.supports(spec, design) is None for other in others):
            obstacle = dear
        if obstacle is None:
            return Plan(strategy, "; ".join([strategy.describe(spec, design), *obstacles]))
        obstacles.append(f"not {strategy.name}: {obstacle}")
    raise UnsupportedError("no strategy can draw this model: " + "; ".join(obstacles))
