"""The comparisons kept, as a section of docs/calibration.md."""

import json
from pathlib import Path
from typing import Any

from tests.equality.cases import CASES, Case
from tests.equality.comparing import Comparison

RESULTS = Path(__file__).parent / "results.json"
INTRODUCTION = (Path(__file__).parent / "introduction.md").read_text()


def load_results() -> dict[str, Any]:
    """The last comparison of every case."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def keep(case: Case, found: Comparison) -> None:
    """Put a case's figures among those kept, in the cases' order."""
    formulas = [case.formula] if isinstance(case.formula, str) else [
        text if parameter == "mu" else f"{parameter} {text}" for parameter, text in case.formula.items()
    ]  # fmt: skip
    kept = load_results() | {
        case.name: {
            "model": "; ".join(formulas),
            "family": case.family + (f" ({case.link})" if case.link else ""),
            "strategy": case.strategy,
            "quantities": len(found.scores) // 2,
            "mean": round(found.largest("mean"), 2),
            "sd": round(found.largest("sd"), 2),
            "limit": round(found.limit, 2),
            "ess": [round(each) for each in found.ess],
            "divergences": list(found.divergences),
        }
    }
    ordered = {name: kept[name] for name in CASES if name in kept}
    RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")


def section() -> str:
    """What the comparisons are, and a line for each."""
    lines = [
        INTRODUCTION,
        "| case | model | family | strategy | quantities | means | sds | limit | ESS | ESS of `nuts` | diverged |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, kept in load_results().items():
        model = kept["model"].replace("|", "\\|")
        cells = [
            name,
            f"`{model}`",
            kept["family"],
            f"`{kept['strategy']}`",
            f"{kept['quantities']:,}",
            *(f"{kept[figure]:.2f}" for figure in ("mean", "sd", "limit")),
            *(f"{each:,}" for each in kept["ess"]),
            " / ".join(map(str, kept["divergences"])),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
