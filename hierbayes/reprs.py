"""How models and fits read in a terminal and in a notebook."""

import html

import pandas as pd
import xarray as xr

from hierbayes.answers.approximation import describe_approximation, is_approximate
from hierbayes.data.design import Design
from hierbayes.describe import describe_model, equations, link_words, prior_table
from hierbayes.engine.streamed import Streamed
from hierbayes.spec import ModelSpec

COUNTS = ("ess_bulk", "ess_tail")
EMPTY = (
    "empty mean or sd: it doesn't exist, or the draws can't tell it (pareto_k); report median and interval"
)


def format_table(table: pd.DataFrame, max_rows: int = 40) -> pd.DataFrame:
    """The table's numbers as text: three or more significant digits, whole ESS, R-hat to two places.

    Of more than `max_rows` rows the first and the last, and between them a row that says how many are left out.

    Examples
    --------
    >>> format_table(pd.DataFrame({"level": range(9), "mean": 0.5}), max_rows=2).to_numpy().tolist()
    [[0, '0.500'], ['… 7 more rows …', '…'], [8, '0.500']]
    """
    if len(table) <= max_rows + 1:  # a row that stands for one other says less than that one
        return _formatted(table)
    half = max_rows // 2
    gap = pd.DataFrame("…", index=_gap_index(table.index), columns=table.columns).astype(object)
    gap.iloc[0, 0] = f"… {len(table) - 2 * half:,} more rows …"
    parts = [_formatted(part).astype(object) for part in (table.head(half), table.tail(half))]
    return pd.concat([parts[0], gap, parts[1]])


def _gap_index(index: pd.Index) -> pd.Index:
    if isinstance(index, pd.MultiIndex):
        return pd.MultiIndex.from_tuples([("…",) * index.nlevels], names=index.names)
    return pd.Index(["…"], dtype=object, name=index.name)


def _formatted(table: pd.DataFrame) -> pd.DataFrame:
    formatted = table.copy()
    for name in table.columns:
        if name in COUNTS:
            formatted[name] = ["" if value != value else f"{value:.0f}" for value in table[name]]
        elif name == "r_hat":
            formatted[name] = ["" if value != value else f"{value:.2f}" for value in table[name]]
        elif pd.api.types.is_float_dtype(table[name]):
            formatted[name] = [_number(value) for value in table[name]]
    return formatted


def _number(value: float) -> str:
    if value != value:
        return ""
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-4:
        return f"{value:.3g}"
    places = 1 if size >= 100 else 2 if size >= 10 else 3 if size >= 0.1 else 4
    return f"{value:.{places}f}"


def model_text(spec: ModelSpec, design: Design | Streamed, strategy: str, reason: str) -> str:
    """A model in a terminal."""
    return describe_model(spec, design, strategy, reason)


def model_html(spec: ModelSpec, design: Design | Streamed, strategy: str, reason: str) -> str:
    """A model in a notebook: what it is, its equations, a table of priors."""
    heading = describe_model(spec, design, strategy, reason).split("\n\n")
    table = prior_table(spec).to_html(index=False, border=0)
    lines = "\n".join(equations(spec))
    return (
        f"<div><pre>{html.escape(heading[0])}</pre><pre>{html.escape(lines)}</pre>{table}"
        f"<p>{html.escape(heading[-1])}</p></div>"
    )


def fit_heading(spec: ModelSpec, tree: xr.DataTree, summary: pd.DataFrame) -> str:
    """Formula, family, how it was drawn."""
    sizes, attrs = tree["posterior"].sizes, tree.attrs
    formulas = "; ".join(str(formula) for formula in spec.formulas.values())
    if is_approximate(tree):
        how = f"{sizes['draw']} draws of {describe_approximation(tree)}"
    else:
        how = f"{sizes['chain']} chains × {sizes['draw']} draws by strategy {attrs.get('strategy', '?')!r}"
    seconds, compiling = attrs.get("sampling_seconds"), float(attrs.get("compile_seconds", 0.0))
    if seconds is not None:
        how += f" in {float(seconds):.1f} s" + (
            f" after {compiling:.0f} s of compiling" if compiling >= 1 else ""
        )
    if attrs.get("interrupted"):
        how += ", stopped early"
    empty = f"\n{EMPTY}" if "median" in summary else ""
    interval = summary.attrs["interval"]
    return f"{formulas}\n{spec.family.name}, {link_words(spec)}; {how}; lower–upper: {interval}{empty}"


def fit_text(spec: ModelSpec, tree: xr.DataTree, summary: pd.DataFrame) -> str:
    """A fit in a terminal."""
    return f"{fit_heading(spec, tree, summary)}\n\n{format_table(summary).to_string()}"


def fit_html(spec: ModelSpec, tree: xr.DataTree, summary: pd.DataFrame) -> str:
    """A fit in a notebook."""
    table = format_table(summary).to_html(border=0)
    return f"<div><pre>{html.escape(fit_heading(spec, tree, summary))}</pre>{table}</div>"
