"""The package as a whole: its surface, its imports, its command line."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import hierbayes as hb
from hierbayes.pictures import Pictures
from hierbayes.plots.effects import plot_conditional_effects
from hierbayes.plots.groups import plot_groups
from hierbayes.plots.ppc import plot_ppc
from hierbayes.plots.ranef import plot_ranef
from hierbayes.plots.residuals import plot_residuals
from hierbayes.plots.shrinkage import plot_shrinkage
from hierbayes.prior_comparison import PriorComparison

ROOT = Path(hb.__file__).parent
LAYERS = [
    "errors", "spelling", "compiling", "special",
    "incomplete", "truncation", "passage", "distributions", "priors", "structures", "bases", "transforms",
    "formula", "elicitation", "links", "tensormath", "compiledlinks", "kinds", "cumulative", "families",
    "columnmap", "data", "ties", "schema", "spec", "standing", "defaults", "several", "exchange", "graph",
    "engine", "answers", "simulation", "known_parameters", "criticism", "sampling", "describe", "reprs", "implied",
    "expect", "prior_summary", "plots", "prior_comparison", "outputs", "seal", "storedrows", "store", "pictures",
    "joint_reading", "joint_known_parameters", "prior_simulation", "joint_simulation", "joint_posterior",
    "joint_criticism", "joint",
    "model", "multiple", "model_comparison", "priorfile", "datasets",
    "cli",
]  # fmt: skip


def test_the_public_names_are_there():
    for name in hb.__all__:
        assert getattr(hb, name) is not None
    assert "Model" in dir(hb)
    with pytest.raises(AttributeError, match="no attribute 'Modell'"):
        hb.Modell  # noqa: B018


PICTURES = [plot_conditional_effects, plot_groups, plot_ppc, plot_ranef, plot_residuals, plot_shrinkage]
SURFACE = [
    *(getattr(hb, name) for name in hb.__all__ if inspect.isfunction(getattr(hb, name))),
    *(
        method
        for owner in (*hb.Fit.__mro__[:-1], *hb.Model.__mro__[:-1], PriorComparison)
        for name, method in vars(owner).items()
        if inspect.isfunction(method) and not name.startswith("_")
    ),
    *PICTURES,
]


def test_the_same_argument_has_the_same_name_everywhere():
    taken = [inspect.signature(function).parameters for function in SURFACE]
    others = {
        "mass",
        "ci",
        "hdi_prob",
        "level",
        "ci_prob",
        "ci_kind",
        "by_group",
        "random_seed",
        "rng",
        "num_draws",
    }
    for parameters in taken:
        assert not others & set(parameters)
        if "interval" in parameters:
            assert parameters["interval"].default is parameters["prob"].default is None
        if "seed" in parameters:
            assert parameters["seed"].default == 0
    # the probability of an interval that is given has no kind: elicit(lower, upper, prob)
    assert sum("prob" in p for p in taken) - sum("interval" in p for p in taken) == 2


def test_the_pictures_options_stand_in_the_methods_signatures():
    """Each method of a fit has the options of what it calls, the same defaults, and words for each."""
    methods = {name: method for name, method in vars(Pictures).items() if name.startswith("plot_")}
    assert len(methods) >= 9
    functions: dict[str, Any] = {}
    for path in (ROOT / "plots").glob("*.py"):
        module = importlib.import_module(f"hierbayes.plots.{path.stem}")
        functions |= {name: function for name, function in vars(module).items() if name in methods}
    for name, method in methods.items():
        own = [p for p in inspect.signature(method).parameters.values() if p.name != "self"]
        taken = list(inspect.signature(functions[name]).parameters.values())
        given = [p for p in taken if p.name not in ("spec", "design", "data", "posterior")]
        assert [(p.name, p.kind, p.default) for p in own] == [(p.name, p.kind, p.default) for p in given]
        words = re.findall(
            r"^ {8}([\w, ]+)(?: : |$)", inspect.getdoc(method).replace("\n", "\n        "), re.M
        )
        assert {p.name for p in own} <= {word for line in words for word in line.split(", ")}, name


def test_importing_is_cheap():
    code = (
        "import sys, hierbayes; "
        "heavy = ('pymc', 'pytensor', 'arviz', 'arviz_base', 'nutpie', 'numba', 'pandas', 'matplotlib'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_model_is_made_and_printed_without_the_heavy_packages():
    code = (
        "import sys, hierbayes as hb; "
        "print(hb.Model('Reaction ~ Days + (Days | Subject)', hb.load_dataset('sleepstudy'))); "
        "heavy = ('pymc', 'pytensor', 'arviz', 'arviz_base', 'nutpie', 'matplotlib', 'scipy.stats'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


@cache
def _modules() -> dict[str, Path]:
    """Every module below hierbayes by its dotted name: of a package, its ``__init__``."""
    paths = {path.relative_to(ROOT).with_suffix(""): path for path in ROOT.rglob("*.py")}
    names = {
        ".".join(part for part in name.parts if part != "__init__"): path for name, path in paths.items()
    }
    return {name: path for name, path in names.items() if name}


@cache
def _imports(path: Path) -> set[str]:
    """Modules of hierbayes that a module imports: when it is loaded, in a function, or for type checking."""
    modules = _modules()
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "hierbayes"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hierbayes":
            home = str(node.module).removeprefix("hierbayes").removeprefix(".")
            inner = {alias.name: f"{home}.{alias.name}".removeprefix(".") for alias in node.names}
            found |= {full if full in modules else home for full in inner.values()}
    return found


def test_no_module_imports_itself_through_others():
    """Type-checking imports included. The package itself imports all, and only the command line the package."""
    graph = {name: _imports(path) for name, path in _modules().items()}
    assert {name for name, imported in graph.items() if imported & {"", "hierbayes"}} == {"cli"}
    TopologicalSorter(graph).prepare()  # raises with the circle


def test_imports_go_only_downwards():
    modules = {path.stem: [path] for path in ROOT.glob("*.py") if path.stem != "__init__"}
    modules |= {
        folder.name: list(folder.rglob("*.py"))
        for folder in ROOT.iterdir()
        if (folder / "__init__.py").exists()
    }
    assert sorted(modules) == sorted(LAYERS), (
        "a module is missing from the layers, or listed without being there"
    )
    for name, paths in modules.items():
        below = set(LAYERS[: LAYERS.index(name) + 1])
        for path in paths:
            if name == "cli":
                continue
            imported = {module.split(".")[0] for module in _imports(path)}
            assert imported <= below, f"{path.name} imports upwards: {imported - below}"


def test_only_families_the_graph_and_the_nuts_strategy_import_pymc():
    """And families, for distributions that PyMC hasn't, or for densities and responses that PyMC alone has."""
    users = {
        path.parent.name if path.parent.name in ("families", "graph") else path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        and any(alias.name.split(".")[0] in ("pymc", "pytensor") for alias in node.names)
        # a family's distribution in the graph, or a structure's correlations, may need PyTensor's functions
        and not (
            path.parent.name in ("families", "structures")
            and node.col_offset
            and node.names[0].name == "pytensor.tensor"
        )
    }
    assert users <= {"families", "tensormath.py", "graph", "engine/nuts.py", "model.py"}


def test_help_answers():
    for command in ([], ["demo"], ["fit"], ["summary"], ["predict"], ["prior-check"]):
        done = subprocess.run(
            [sys.executable, "-m", "hierbayes.cli", *command, "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "usage: hierbayes" in done.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom hierbayes.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numpy', 'pandas', 'pymc', 'arviz') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_command_line_says_what_is_wrong(tmp_path, capsys):
    from hierbayes.cli import main

    assert main(["fit", "y ~ x", str(tmp_path / "absent.csv")]) == 2
    assert "absent.csv" in capsys.readouterr().err
    csv = tmp_path / "some.csv"
    csv.write_text("y,x\n1,2\n2,3\n4,5\n")
    assert main(["fit", "y ~ xx", str(csv)]) == 2
    assert "did you mean 'x'" in capsys.readouterr().err


MISTAKES = [
    (["fit", "y ~ x", "{csv}", "--draws", "-5"], "draws must be a whole number"),
    (["fit", "y ~ x", "{csv}", "--out", "{folder}/absent/fit.nc"], "there is no folder"),
    (["fit", "y ~ x", "{csv}", "--text", "gg"], "no column 'gg' to read as text; it has y, x"),
    (["fit", "y ~ x", "{folder}"], "{folder}"),
    (["fit", "y ~ x", "{empty}"], "No columns"),
    (["summary", "{fit}", "--prob", "95"], "between 0 and 1"),
    (["predict", "{fit}", "{csv}", "--prob", "95"], "between 0 and 1"),
    (["predict", "{fit}", "{csv}", "--out", "{folder}/absent/out.csv"], "there is no folder"),
    (["predict", "{fit}", "{csv}", "--groups", "h"], "no grouping factor of this model"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    paths = {name: folder / f"{name}.csv" for name in ("csv", "empty")} | {"fit": folder / "fit.nc"}
    paths["csv"].write_text("y,x\n" + "".join(f"{x + x * x % 7},{x}\n" for x in range(30)))
    paths["empty"].write_text("")
    hb.fit("y ~ x", pd.read_csv(paths["csv"]), seed=1, progress=False).save(paths["fit"])
    return {name: str(path) for name, path in paths.items()} | {"folder": str(folder)}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_on_the_command_line_is_one_line(files, capsys, arguments, message):
    from hierbayes.cli import main

    assert main([argument.format(**files) for argument in arguments]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("hierbayes: ")
    assert message.format(**files) in printed


def test_the_command_line_end_to_end(tmp_path, capsys):
    from hierbayes.cli import main

    rows = tmp_path / "sleep.csv"
    hb.load_dataset("sleepstudy").to_csv(rows, index=False)
    new = tmp_path / "new.csv"
    new.write_text("Days,Subject,mean\n0,308,1\n9,999,2\n")
    out = tmp_path / "fit.nc"
    sampling = ["--draws", "1000", "--seed", "1", "--no-progress"]
    assert (
        main(
            [
                "fit",
                "Reaction ~ Days + (Days | Subject)",
                str(rows),
                "--text",
                "Subject",
                "--out",
                str(out),
                *sampling,
            ]
        )
        == 0
    )
    assert "sd[Subject, Intercept]" in capsys.readouterr().out
    assert main(["summary", str(out)]) == 0
    assert "308" in capsys.readouterr().out
    assert main(["predict", str(out), str(new), "--out", str(tmp_path / "predicted.csv")]) == 0
    assert main(["predict", str(out), str(new), "--groups", "none"]) == 0
    assert main(["predict", str(out), str(new), "--groups", "Subject"]) == 0
    new.write_text("Days\n9\n")
    assert main(["predict", str(out), str(new), "--groups", "average", "--new-levels", "average"]) == 0
    predicted = (tmp_path / "predicted.csv").read_text().splitlines()
    assert predicted[0] == "Days,Subject,mean,mean_predicted,sd,lower,upper"
    assert "Warning" not in capsys.readouterr().err
    assert len(predicted) == 3


def test_fit_is_the_composition_of_its_steps():
    formula, sleep = "Reaction ~ Days + (Days | Subject)", hb.load_dataset("sleepstudy")
    stepwise = hb.Model(formula, sleep).fit(seed=2, progress=False)
    assert stepwise.posterior.equals(hb.fit(formula, sleep, seed=2, progress=False).posterior)
