"""The command line: a few lines over the façade. Heavy imports wait until a command runs.

Exit status: 0 done; 1 a statement of a prior file fails, or ``--strict`` and a sampling warning; 2 an error;
130 stopped by Ctrl-C; 141 nobody reads the output any more.
"""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hierbayes.errors import HierBayesError, SamplingWarning

DEMO_FORMULA = "Reaction ~ Days + (Days | Subject)"
DEMO_TITLE = "Sleep deprivation: reaction times (ms) of 18 subjects over 10 days (Belenky et al. 2003)"
FAMILIES = sorted(  # by their files: importing them would take longer than many a command
    path.stem
    for path in (Path(__file__).parent / "families").glob("*.py")
    if "\nFAMILY = " in path.read_text("utf-8")
)

LEVEL_ROWS = 40  # of levels' deviations that a summary prints
WORDS = ("all", "none", "average")
ERRORS = (HierBayesError, ValueError, OSError)  # what a user can fix


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    told = _Warnings()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", SamplingWarning)
            warnings.showwarning = told.show  # type: ignore[assignment]
            status = int(options.run(options) or 0)
            sys.stdout.flush()
    except BrokenPipeError:  # as for any program before `head`: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ERRORS as error:
        _show_error(error)
        return 2
    except KeyboardInterrupt:
        print("hierbayes: stopped", file=sys.stderr)
        return 130
    if told.sampling and getattr(options, "strict", False):
        print("hierbayes: failed, since --strict was given and sampling warns", file=sys.stderr)
        return status or 1
    return status


class _Warnings:
    """Warnings as lines on the screen, with a note of whether any is about the draws."""

    def __init__(self) -> None:
        self.sampling = False

    def show(self, message: Warning | str, category: type[Warning], *_: Any) -> None:
        self.sampling |= issubclass(category, SamplingWarning)
        print(f"hierbayes: {category.__name__}: {message}", file=sys.stderr)


def _show_error(error: Exception) -> None:
    print(f"hierbayes: {type(error).__name__}: {error}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hierbayes",
        description="Bayesian hierarchical (mixed-effects, multilevel) models from a formula.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for add in (_add_demo, _add_fit, _add_summary, _add_predict, _add_prior_check):
        add(commands)
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="answer a real question with a real model, start to end")
    demo.add_argument(
        "--out", type=Path, default=Path("hierbayes-demo"), help="folder for the figure and the fit"
    )
    _add_sampling(demo)
    demo.set_defaults(run=_demo)


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser("fit", help="fit a formula to a CSV file")
    fit.add_argument("formula", help='for example "Reaction ~ Days + (Days | Subject)"')
    fit.add_argument("data", type=Path, help="a CSV file with a header")
    fit.add_argument("--family", default="gaussian", choices=FAMILIES)
    fit.add_argument("--link", help="the first parameter's link; the family's default unless given")
    fit.add_argument("--priors", type=Path, help="a TOML file of priors")
    fit.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column to read as text, codes say; may stand several times",
    )
    _add_reading(fit)
    fit.add_argument("--out", type=Path, help="where to save the fit (netCDF)")
    _add_sampling(fit)
    fit.set_defaults(run=_fit)


def _add_summary(commands: Any) -> None:
    summary = commands.add_parser("summary", help="tables of a saved fit")
    summary.add_argument("fit", type=Path)
    summary.add_argument("--prob", type=float, help="probability of the credible intervals")
    summary.add_argument("--all", action="store_true", help="every level, of however many")
    summary.set_defaults(run=_summary)


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser("predict", help="predictions of a saved fit for the rows of a CSV file")
    predict.add_argument("fit", type=Path)
    predict.add_argument("rows", type=Path, help="a CSV file; no response column needed")
    predict.add_argument("--kind", default="mean", choices=("linear", "mean", "response"))
    predict.add_argument(
        "--groups",
        default="all",
        help="grouping factors that count: all (as unless given), none, average, or names as in g,h",
    )
    predict.add_argument("--new-levels", default="sample", choices=("sample", "mean", "average", "error"))
    predict.add_argument("--prob", type=float, help="probability of the intervals")
    _add_reading(predict)
    predict.add_argument("--out", type=Path, help="CSV file to write; the screen unless given")
    predict.add_argument("--seed", type=int, default=0)
    predict.set_defaults(run=_predict)


def _add_prior_check(commands: Any) -> None:
    check = commands.add_parser(
        "prior-check", help="simulate from prior files and check what they say of the simulated data"
    )
    check.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="TOML files, or folders of them")
    check.add_argument(
        "--figures",
        type=Path,
        default=Path("prior-figures"),
        help="folder for one figure a file (prior-figures)",
    )
    check.add_argument("--no-figures", action="store_true", help="draw none")
    check.add_argument("--draws", type=int, default=2000, help="data sets to simulate (2000)")
    check.add_argument("--seed", type=int, default=0)
    check.set_defaults(run=_prior_check)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--separator",
        default=",",
        metavar="MARK",
        help="what separates values: ',' unless given, ';', tab, …",
    )
    parser.add_argument("--decimal", default=".", metavar="MARK", help="the decimal mark of numbers ('.')")
    parser.add_argument("--encoding", default="utf-8", help="the text's encoding (utf-8), such as latin-1")


def _dialect(options: argparse.Namespace) -> Any:
    from hierbayes.data.csvfile import Dialect

    separator = "\t" if options.separator in ("tab", "\\t") else options.separator
    return Dialect(separator, options.decimal, options.encoding)


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=int, default=1000, help="draws kept from each chain (1000)")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="the same seed repeats the draws")
    parser.add_argument("--no-progress", action="store_true")
    parser.add_argument(
        "--strict", action="store_true", help="exit with status 1 where sampling gives cause for a warning"
    )


def _sampling(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "draws": options.draws,
        "chains": options.chains,
        "seed": options.seed,
        "progress": not options.no_progress,
    }


def _demo(options: argparse.Namespace) -> int:
    import hierbayes as hb
    from hierbayes.outputs import check_folder, replacing
    from hierbayes.reprs import format_table

    check_folder(options.out)
    sleep = hb.load_dataset("sleepstudy")
    _heading(DEMO_TITLE)
    print(sleep.head(3).to_string(index=False), f"\n… {len(sleep)} rows\n")
    model = hb.Model(DEMO_FORMULA, sleep)
    _heading("The model")
    print(model, "\n", flush=True)
    fit = model.fit(**_sampling(options))
    _heading("The posterior")
    print(fit, "\n")
    _heading("Each subject: baseline (ms) and slope (ms per day)")
    print(format_table(fit.coef()).to_string(index=False), "\n")
    _heading("A subject nobody has measured")
    rows = {"Days": [0, 5, 9], "Subject": ["new subject"] * 3}
    mean, response = fit.predict(rows), fit.predict(rows, kind="response", seed=options.seed)
    table = mean[["mean", "lower", "upper"]].assign(
        Days=rows["Days"], response_lower=response["lower"], response_upper=response["upper"]
    )
    print(format_table(table.set_index("Days")).to_string())
    print(
        f"lower–upper: {mean.attrs['interval']} of the subject's mean; response_…: of a single reaction time\n"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    figure = fit.plot_shrinkage().get_figure(root=True)
    assert figure is not None, "an axes of ours is in a figure"
    with replacing(options.out / "shrinkage.png") as draft:
        figure.savefig(draft, dpi=150, format="png")
    fit.save(options.out / "sleepstudy.nc")
    print(
        f"Saved {options.out / 'shrinkage.png'} (the shrinkage plot) and {options.out / 'sleepstudy.nc'} (the fit)."
    )
    print(
        'Your own table: hierbayes fit "y ~ x + (x | group)" table.csv. What it all means: docs/tutorial.md'
    )
    return _status(fit)


def _heading(text: str) -> None:
    print(f"{text}\n{'─' * len(text)}")


def _status(fit: Any) -> int:
    """130 where Ctrl-C stopped the sampling, so that what is drawn is less than was asked for."""
    return 130 if fit.tree.attrs.get("interrupted") else 0


def _fit(options: argparse.Namespace) -> int:
    import hierbayes as hb
    from hierbayes.data.csvfile import read_csv
    from hierbayes.outputs import check_output

    if options.out:
        check_output(options.out, [options.data, options.priors])
    data = read_csv(options.data, options.text, _dialect(options))
    model = hb.Model(options.formula, data, family=options.family, link=options.link, priors=options.priors)
    print(model, "\n", flush=True)
    fit = model.fit(**_sampling(options))
    if options.out:  # before anything is printed: whoever reads that may be gone
        fit.save(options.out)
    print(fit)
    if options.out:
        print(f"\nSaved {options.out}")
    return _status(fit)


def _summary(options: argparse.Namespace) -> None:
    import hierbayes as hb
    from hierbayes.reprs import fit_text, format_table

    fit = hb.load(options.fit)
    print(fit_text(fit.spec, fit.tree, fit.summary(prob=options.prob)))
    if fit.spec.layout.predictors["mu"].factors:
        table = fit.ranef(prob=options.prob)
        shown = format_table(table, max_rows=len(table) if options.all else LEVEL_ROWS)
        print("\nDeviations of the levels")
        print(shown.to_string(index=False))
        if len(shown) < len(table):
            print("--all prints every row")


def _predict(options: argparse.Namespace) -> None:
    import hierbayes as hb
    from hierbayes.data.csvfile import read_csv, read_header
    from hierbayes.outputs import check_output, replacing
    from hierbayes.reprs import format_table

    if options.out:
        check_output(options.out, [options.fit, options.rows])
    dialect = _dialect(options)
    fit = hb.load(options.fit)
    data: Any = fit.data  # a saved fit holds its rows
    text = [name for name in data.columns if not _is_number(data[name])]
    header = set(read_header(options.rows, dialect))
    rows = read_csv(options.rows, [name for name in text if name in header], dialect)
    groups = options.groups if options.groups in WORDS else options.groups.split(",")
    table = fit.predict(
        rows, options.kind, groups=groups, new_levels=options.new_levels, prob=options.prob, seed=options.seed
    )
    joined = rows.join(table.rename(columns={name: f"{name}_predicted" for name in table if name in rows}))
    if options.out:
        with replacing(options.out) as draft:
            joined.to_csv(draft, index=False, **dialect.options)
        print(f"Saved {options.out}: {len(joined)} rows, interval {table.attrs['interval']}")
    else:
        print(format_table(joined, max_rows=len(joined)).to_string(index=False))
        print(f"lower–upper: {table.attrs['interval']}")


def _is_number(column: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(column))


def _prior_check(options: argparse.Namespace) -> int:
    """Check every file; 2 where one cannot be read or simulated from, else 1 where a statement fails."""
    from hierbayes.outputs import check_folder
    from hierbayes.priorfile import find_prior_files

    paths = find_prior_files(options.paths)
    if not options.no_figures:
        check_folder(options.figures)
        options.figures.mkdir(parents=True, exist_ok=True)
    passed: list[bool] = []
    broken = 0
    for path in paths:
        _heading(str(path))
        try:
            passed += _check_prior_file(path, options)
        except ERRORS as error:
            _show_error(error)
            broken += 1
        print(flush=True)
    failed = f"{passed.count(False)} failed"
    unchecked = f"; {_count(broken, 'file')} could not be checked" if broken else ""
    print(f"{_count(len(paths), 'file')}, {_count(len(passed), 'statement')}, {failed}{unchecked}")
    return 2 if broken else int(not all(passed))


def _check_prior_file(path: Path, options: argparse.Namespace) -> list[bool]:
    """Print what came of each of a file's statements, and draw its figure; whether each holds."""
    from hierbayes.priorfile import read_prior_file

    file = read_prior_file(path)
    verdicts = file.check(options.draws, options.seed)
    for verdict in verdicts:
        print(f"{'pass' if verdict.passed else 'FAIL'}  {verdict}")
    if not verdicts:
        print("no statements: add a table [[expect]]")
    if not options.no_figures:
        place = options.figures / ("-".join(filter(None, (path.parent.name, path.stem))) + ".png")
        _save(file.plot(min(options.draws, 1000), options.seed)[0].figure, place)
        print(f"figure: {place}")
    return [verdict.passed for verdict in verdicts]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _save(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    from hierbayes.outputs import replacing

    with replacing(path) as draft:
        figure.savefig(draft, dpi=100, format="png")
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
