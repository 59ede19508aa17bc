"""Model matrices: spaces of columns, their names and numbers, held to definitions, to formulae and to R."""

import contextlib
import io
import random
import shutil
import subprocess
import sys
import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import hierbayes as hb
from hierbayes.data.encoding import learn_encoding, learn_number
from hierbayes.errors import FormulaError
from hierbayes.formula import parse
from hierbayes.formula.syntax import render
from hierbayes.formula.terms import read_terms
from hierbayes.formula.tokens import ReadError
from hierbayes.transforms import ELEMENTWISE, TRANSFORMS

N = 240
RNG = np.random.default_rng(0)
D = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "x": RNG.normal(3, 1, N),
        "z": RNG.uniform(1, 4, N),
        "s": RNG.choice(list("pqr"), N),
        "t": RNG.choice(list("uv"), N),
        "u": pd.Categorical(RNG.choice(list("SML"), N), ["S", "M", "L"], ordered=True),
        "i": RNG.integers(0, 3, N),
        "yes": RNG.random(N) < 0.4,
        "g": RNG.choice(list("abcdef"), N),
    }
)


def matrix(text: str, frame: pd.DataFrame = D) -> np.ndarray:
    return learn_encoding(text, frame).matrix(frame)


def quiet(*arguments, **options) -> hb.Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        return hb.Model(*arguments, **options)


def rank(columns: np.ndarray) -> int:
    if not columns.shape[1]:
        return 0
    sizes = np.linalg.norm(columns, axis=0)
    return int(np.linalg.matrix_rank(columns / np.where(sizes > 0, sizes, 1)))


# -- random formulas ----------------------------------------------------------------------------------------------

NUMERIC = ["x", "z", "log(z)", "I(x**2)", "poly(x, 2)", "scale(x)", "bs(z, df=4)"]
CATEGORICAL = ["s", "t", "u", "C(i)"]


def random_side(rng: random.Random, variables: list[str], depth: int = 0) -> str:
    if depth == 2 or rng.random() < 0.35:
        return rng.choice(variables)
    sign = rng.choice(["+", "*", ":", "/", "**"])
    if sign == "**":
        return f"({' + '.join(rng.choice(variables) for _ in range(3))})**2"
    return f"({random_side(rng, variables, depth + 1)} {sign} {random_side(rng, variables, depth + 1)})"


def random_formulas(seed: int, count: int, variables: list[str]) -> list[str]:
    """Right-hand sides of up to five variables that parse."""
    rng = random.Random(seed)
    found: list[str] = []
    while len(found) < count:
        chosen = rng.sample(variables, rng.randint(1, 5))
        sides = [random_side(rng, chosen) for _ in range(rng.randint(1, 3))]
        text = rng.choice(["", "0 + ", "1 + "]) + " + ".join(sides)
        text += f" - {rng.choice(chosen)}" if rng.random() < 0.3 else ""
        with contextlib.suppress(FormulaError):
            if parse(f"y ~ {text}").common != "0":
                found.append(text)
    return found


def expansion(common: str) -> np.ndarray:
    """All products of indicators of every level and numeric columns that the terms stand for, made without encoders."""
    terms = read_terms(common)
    columns = [np.ones(N)] if terms.intercept else []
    for term in terms.present.values():
        each = []
        for node in term:
            name = render(node)
            if name in CATEGORICAL:
                column = D["i" if name == "C(i)" else name]
                each.append([(column == level).to_numpy(float) for level in column.unique()])
            else:
                each.append(numbers(name))
        columns += [np.prod(parts, axis=0) for parts in product(*each)]
    return np.column_stack(columns) if columns else np.empty((N, 0))


def numbers(name: str) -> list[np.ndarray]:
    x, z = D["x"].to_numpy(), D["z"].to_numpy()
    if name.startswith("bs"):  # any basis of its space: these are the columns themselves
        return list(matrix(f"0 + {name}").T)
    centred = x - x.mean()
    return {
        "x": [x],
        "z": [z],
        "log(z)": [np.log(z)],
        "I(x ** 2)": [x**2],
        "scale(x)": [centred / x.std()],
        "poly(x, 2)": [centred, centred**2 - np.polyval(np.polyfit(x, centred**2, 1), x)],
    }[name]


def test_random_formulas_span_what_their_terms_stand_for():
    compared = refused = 0
    for text in random_formulas(1, 2000, NUMERIC + CATEGORICAL):
        common = parse(f"y ~ {text}").common
        try:
            columns = matrix(common)
        except FormulaError as error:
            refused += "R and lme4 would leave" in str(error)
            continue
        if columns.shape[1] > 150:
            continue
        wanted = expansion(common)
        assert rank(columns) == rank(wanted) == rank(np.hstack([columns, wanted])), text
        compared += 1
    assert compared > 1800
    assert refused < 80


def test_columns_are_of_full_rank_where_the_terms_have_it():
    for text in random_formulas(2, 500, ["x", "z", *CATEGORICAL]):
        with contextlib.suppress(FormulaError):
            columns = matrix(parse(f"y ~ {text}").common)
            if columns.shape[1] < 150:
                assert rank(columns) == columns.shape[1], text


R_SCRIPT = """
C <- function(x) factor(x)
arguments <- commandArgs(TRUE)
d <- read.csv(arguments[1], stringsAsFactors = TRUE)
out <- file(arguments[3], "wb")
for (f in readLines(arguments[2])) {
  m <- tryCatch(model.matrix(as.formula(paste("~", f)), d), error = function(e) matrix(0, nrow(d), 0))
  writeBin(ncol(m), out)
  writeBin(as.double(m), out)
}
close(out)
"""


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="needs R")
def test_random_formulas_have_the_columns_of_r(tmp_path):
    script, rows, formulas, out = (tmp_path / name for name in ("s.R", "d.csv", "f.txt", "o.bin"))
    script.write_text(R_SCRIPT)
    D.to_csv(rows, index=False)
    texts = random_formulas(3, 2000, [name for name in NUMERIC if not name.startswith("bs")] + CATEGORICAL)
    formulas.write_text("".join(text.replace("**", "^") + "\n" for text in texts))
    subprocess.run(["Rscript", script, rows, formulas, out], check=True)
    found, at, compared = out.read_bytes(), 0, 0
    for text in texts:
        p = int(np.frombuffer(found, np.int32, 1, at)[0])
        theirs = np.frombuffer(found, np.float64, N * p, at + 4).reshape(p, N).T
        at += 4 + 8 * N * p
        try:
            ours = matrix(parse(f"y ~ {text}").common)
        except FormulaError:
            continue
        if p and ours.shape[1] < 150:
            compared += 1
            assert rank(ours) == rank(theirs) == rank(np.hstack([ours, theirs])), text
    assert compared > 1800


# -- formulae, another encoder ------------------------------------------------------------------------------------


def theirs_of(common: str) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Names and columns by formulae; None where it fails."""
    from formulae import design_matrices

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            made = design_matrices(common, D).common
        return tuple(made.as_dataframe().columns), np.asarray(made.design_matrix, float).reshape(N, -1)
    except Exception:
        return None


FORMULAE_READS = [
    "1 + x + z",
    "1 + x * s * t",
    "0 + s + x:s",
    "1 + C(i, Sum) * u",
    '1 + C(s, Treatment("q")) + T(u, ref="M")',
    "0 + S(t)",
    "1 + bs(x, df=6, degree=2) + cr(z, df=5) + cc(x, period=3.5, df=4) + tp(z, df=5)",
    "0 + bs(x, df=6, center=False) + tp(z, df=4, center=False)",
    "1 + cr(x, df=4, lower_bound=2, upper_bound=4)",
    "1 + poly(x, 3):s + poly(z, 2, raw=True)",
    "1 + standardize(log(z)) + center(x):yes",
    '1 + I(s == "p") + I(-(x ** 2)) + I((x - (z - 1)) / (2 ** z))',
    "1 + I(x > 2):t + sqrt(z) + np.where(x > 2, z, 0)",
]


@pytest.mark.parametrize("common", FORMULAE_READS)
def test_names_and_numbers_are_those_of_formulae(common):
    from formulae import design_matrices

    functions = {"np": np, "sqrt": np.sqrt, "log": np.log}
    made = design_matrices(common, D, extra_namespace=functions).common
    ours = learn_encoding(common, D)
    assert ours.labels == tuple(made.as_dataframe().columns)
    theirs = np.asarray(made.design_matrix, float).reshape(N, -1)
    assert_allclose(ours.matrix(D), theirs, rtol=1e-8, atol=1e-9)
    new = D.head(30).assign(x=np.linspace(-1, 9, 30))
    theirs = np.asarray(made.evaluate_new_data(new).design_matrix, float).reshape(30, -1)
    assert_allclose(ours.matrix(new), theirs, rtol=1e-6, atol=1e-8)


def test_random_formulas_have_the_names_of_formulae_where_that_is_right():
    same = 0
    for text in random_formulas(4, 400, ["x", "z", "poly(x, 2)", *CATEGORICAL]):
        common = parse(f"y ~ {text}").common
        try:
            ours = learn_encoding(common, D)
        except FormulaError:
            continue
        theirs = theirs_of(common)
        if theirs is None or rank(theirs[1]) < theirs[1].shape[1]:
            continue
        assert ours.labels == theirs[0], text
        assert_allclose(ours.matrix(D), theirs[1], rtol=1e-9, atol=1e-9)
        same += 1
    assert same > 150


# -- functions ----------------------------------------------------------------------------------------------------

EACH_FUNCTION = [f"{name}({', '.join(['x', 'z', '2'][: f.required])})" for name, f in ELEMENTWISE.items()]
EACH_FUNCTION = [
    text.replace("arccosh(x)", "arccosh(abs(x) + 1)").replace("x)", "x / 9)")
    if text.startswith("arc")
    else text
    for text in EACH_FUNCTION
]
EACH_TRANSFORM = {
    "bends": "bends(x, k=5)",
    "bs": "bs(x, df=5)",
    "cc": "cc(x, period=2, df=4)",
    "center": "center(x)",
    "cr": "cr(x, df=4)",
    "poly": "poly(x, 3)",
    "scale": "scale(x)",
    "standardize": "standardize(x)",
    "tp": "tp(x, df=4)",
}
ROWWISE = [
    *EACH_FUNCTION,
    *EACH_TRANSFORM.values(),
    'I(s == "p")',
    'I(u > "S")',
    "I(x > z)",
    "C(i, Sum)",
    "s:u",
    "I(yes + yes)",
    "np.log(z)",
]


def test_every_transform_is_tried():
    assert set(EACH_TRANSFORM) | {"B", "binary"} == set(TRANSFORMS)


@pytest.mark.parametrize("term", ROWWISE)
def test_a_row_alone_is_the_row_of_the_table(term):
    frame = D.assign(x=D["x"].abs() + 0.01)
    finite = np.isfinite(frame["x"])
    frame = frame[finite]
    encoding = learn_encoding(f"0 + {term}", frame)
    whole = encoding.matrix(frame)
    for row in range(0, len(frame), 29):
        alone = frame.iloc[[row]].astype({"u": str})
        assert_allclose(encoding.matrix(alone), whole[[row]], rtol=1e-12, atol=1e-14)
    turned = frame.iloc[::-1]
    assert_allclose(encoding.matrix(turned), whole[::-1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("function", ["log1p(z)", "scale(z)", "maximum(x, z)", "where(x > z, 1, 2)"])
def test_offsets_weights_and_trials_of_a_row_alone(function):
    rows = D.assign(n=20, k=3)
    left = f"k | trials(rint({function} * 0 + n)) + weights({function} * 0 + 1)"
    model = quiet(f"{left} ~ x + offset({function}) + ({function} | g)", rows, family="binomial")
    layout = model.spec.layout
    for row in (0, 7, 100):
        alone = layout.bind(rows.iloc[[row]])
        mine, whole = alone.predictors["mu"], model.design.predictors["mu"]
        assert_allclose(mine.offset, whole.offset[[row]], rtol=1e-12)
        assert_allclose(mine.factors["g"].z, whole.factors["g"].z[[row]], rtol=1e-12)
        assert_allclose(alone.trials, model.design.trials[[row]])
        assert_allclose(alone.weights, model.design.weights[[row]])


# -- numbers are float64 ------------------------------------------------------------------------------------------


def test_whole_numbers_do_not_overflow():
    rows = D.assign(big=np.arange(N) * 20_000_000 + 1, wide=np.full(N, 2**62))
    exact = np.array([float(int(v) ** 3) for v in rows["big"]])
    assert_allclose(matrix("0 + I(big ** 3)", rows)[:, 0], exact)
    assert_allclose(matrix("0 + big:wide", rows)[:, 0], rows["big"].astype(float) * 2.0**62)
    assert_allclose(learn_number("I(wide + wide)", rows, "an offset").matrix(rows)[:, 0], 2.0**63)
    encoding = learn_encoding("0 + I(big ** 3)", rows.astype({"big": float}))
    assert_array_equal(encoding.matrix(rows), encoding.matrix(rows.astype({"big": float})))


def test_truth_values_are_numbers_in_arithmetic():
    rows = D.assign(a=D["x"] > 3, b=D["z"] > 2, c=D["i"] > 0)
    ints = rows.astype({"a": int, "b": int, "c": int})
    for text in (
        "I(a + b + c)",
        "I(-a)",
        "log1p(a)",
        "I(a - b)",
        "I(a * b)",
        "a:b",
        "I(a == 1)",
        "scale(a)",
        "C(a)",
    ):
        encoding = learn_encoding(f"0 + {text}", rows)
        assert_array_equal(encoding.matrix(rows), encoding.matrix(ints), text)
        other = learn_encoding(f"0 + {text}", ints)
        assert_array_equal(other.matrix(rows), other.matrix(ints), text)
    assert_array_equal(matrix("0 + I(a + b + c)", rows)[:, 0], ints[["a", "b", "c"]].sum(axis=1))
    assert matrix("0 + log1p(a)", rows).dtype == np.float64
    assert_allclose(matrix("0 + log1p(a)", rows)[:, 0], np.log1p(ints["a"].astype(float)), rtol=1e-15)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint32", "float32", "float16", "Int64", "boolean"]
)
def test_a_columns_type_does_not_matter(dtype):
    values = (np.arange(N) % 2 if dtype == "boolean" else np.arange(N) % 100).astype(float)
    plain = D.assign(v=values)
    typed = D.assign(v=pd.Series(values).astype(dtype))
    formula = "y ~ I(v**3) + I(-v) + log1p(v) + offset(v * v)"
    if dtype == "boolean":
        formula = "y ~ log1p(v) + offset(v + v)"
    ours, wanted = (
        quiet(formula, typed).design.predictors["mu"],
        quiet(formula, plain).design.predictors["mu"],
    )
    assert_array_equal(ours.x, wanted.x)
    assert_array_equal(ours.offset, wanted.offset)


# -- contrasts ----------------------------------------------------------------------------------------------------


def coded(term: str, frame: pd.DataFrame = D) -> np.ndarray:
    """The rows of a contrast matrix: columns beside the intercept for one row of each level."""
    encoding = learn_encoding(f"1 + {term}", frame)
    return encoding.matrix(pd.DataFrame({"i": [0, 1, 2], "s": list("pqr")}))[:, 1:]


def test_contrasts_are_those_of_r():
    # contr.treatment(3, base = 2), contr.sum(3), contr.helmert(3), contr.poly(3)
    assert_array_equal(coded('C(s, Treatment("q"))'), [[1, 0], [0, 0], [0, 1]])
    assert_array_equal(coded("C(i, Treatment(reference=1))"), [[1, 0], [0, 0], [0, 1]])
    assert_array_equal(coded("C(s, Sum)"), [[1, 0], [0, 1], [-1, -1]])
    assert_array_equal(coded('C(s, Sum("p"))'), [[-1, -1], [1, 0], [0, 1]])
    assert_array_equal(coded("C(s, Helmert)"), [[-1, -1], [1, -1], [0, 2]])
    half, sixth = np.sqrt(1 / 2), np.sqrt(1 / 6)
    assert_allclose(coded("C(s, Poly)"), [[-half, sixth], [0, -2 * sixth], [half, sixth]], atol=1e-15)
    # contr.poly(3, scores = c(1, 2, 4))
    assert_allclose(
        coded("C(i, Poly([1, 2, 4]))"),
        [[-0.6172134, 0.5345225], [-0.1543033, -0.8017837], [0.7715167, 0.2672612]],
        atol=1e-7,
    )
    assert_array_equal(coded("C(s, [[1, 0], [-1, 1], [0, -1]])"), [[1, 0], [-1, 1], [0, -1]])
    assert_array_equal(coded('C(s, levels=["r", "p", "q"])'), [[1, 0], [0, 1], [0, 0]])


def test_names_of_contrasts():
    text = "1 + C(s, Helmert) + C(i, Poly) + C(t, [[-1], [1]])"
    assert learn_encoding(text, D).labels == (
        "Intercept",
        "C(s, Helmert)[q]",
        "C(s, Helmert)[r]",
        "C(i, Poly)[.L]",
        "C(i, Poly)[.Q]",
        "C(t, matrix)[1]",
    )


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("C(s, [[1], [2]])", "2 rows and there are 3 levels: 'p', 'q', 'r'"),
        ("C(s, [[1], [1], [1]])", "determine each other"),
        ("C(s, Treatment('w'))", "'w' is none of its levels"),
        ("C(i, Poly([1, 2]))", "as many different scores"),
        ("C(s, levels=['p', 'q'])", "each of its levels once"),
        ("bs(x, df=2)", "df is 3 or more here"),
        ("bs(x)", "it needs df= or knots="),
        ("poly(i, 5)", "more than 5 different values; there are 3"),
        ("I(s * 2)", "'s' is text or categories"),
        ("I(x == 'p')", "the other side numbers"),
        ("scale(s)", "'s' is text or categories"),
        ("scale(I(0 * x))", "no standard deviation"),
    ],
)
def test_refusals_name_the_term_and_the_reason(term, message):
    with pytest.raises(hb.DataError, match="cannot be computed from these data") as caught:
        quiet(f"y ~ {term}", D)
    assert message in str(caught.value)


# -- formulas that crashed, cells without rows --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "s:C(i)",
        "t:u + t",
        "0 + (s + x)**2",
        "0 + s*t*x",
        "t:u + t + s:t:u",
        "bs(x, df=4) * s",
        "0 + s:x + t",
        " + ".join(f"I(x**{j}/9**{j})" for j in range(1, 3)),
    ],
)
def test_fits_what_crashed(text):
    common = parse(f"y ~ {text}").common
    columns = matrix(common)
    assert rank(columns) == columns.shape[1]
    quiet(f"y ~ {text} + ({text} | g)", D)


def test_five_hundred_predictors():
    rng = np.random.default_rng(1)
    wide = pd.DataFrame(rng.normal(size=(600, 500)), columns=[f"x{j}" for j in range(500)])
    names = " + ".join(wide.columns)
    encoding = learn_encoding(f"1 + {names}", wide)
    assert_array_equal(encoding.matrix(wide)[:, 1:], wide)
    total = learn_encoding(parse(f"y ~ 0 + I({names})").common, wide).matrix(wide)[:, 0]
    assert_allclose(total, wide.sum(axis=1), atol=1e-10)
    assert len(quiet(f"y ~ {names}", wide.assign(y=rng.normal(size=600))).spec.coords["coef"]) == 501


@pytest.mark.parametrize("right", ["0", "1 - 1", "0 + t - t", "0 + offset(x)"])
def test_a_mean_without_coefficients_leaves_the_own_parameters_to_learn(right):
    """The response is normal about the offset: of sigma, flat beside so many rows, the mean square is the estimate."""
    rows = pd.concat([D] * 20)
    fit = hb.fit(f"y ~ {right}", rows, seed=1, draws=2000, progress=False)
    assert list(fit.summary().index) == ["sigma"]
    left = rows["y"] - (rows["x"] if "offset" in right else 0.0)
    error = fit.summary()["sd"]["sigma"]
    assert abs(fit.summary()["mean"]["sigma"] - np.sqrt(np.mean(np.square(left)))) < 0.5 * error


def test_nothing_to_learn_is_refused():
    with pytest.raises(FormulaError, match=r"nothing to learn.*y ~ 1"):
        hb.Model("y ~ 0", D.assign(y=1), family="poisson")


CELLS = D[~((D["s"] == "q") & (D["t"] == "v"))]
CORNER = D[~((D["s"] == "p") & (D["t"] == "u"))]


@pytest.mark.parametrize("frame", [CELLS, CORNER], ids=["inside", "reference"])
@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("1 + s * t", 5),
        ("0 + s:t", 5),
        ("1 + C(s, Sum) * C(t, Helmert)", 5),
        ("1 + s * t * x", 10),
        ("1 + poly(x, 2) * s * t", 15),
        ("1 + s * t * u", 15),
    ],
)
def test_columns_of_empty_cells_are_left_out(frame, text, columns):
    encoding = learn_encoding(text, frame)
    made = encoding.matrix(frame)
    assert rank(made) == made.shape[1] == columns
    assert len(encoding.dropped) == len(learn_encoding(text, D).labels) - columns
    assert sorted(j for term in encoding.terms for j in term.columns) == list(range(columns))


def test_a_model_says_which_columns_are_left_out():
    with pytest.warns(hb.DataWarning, match=r"empty-cells.*'s\[q\]:t\[v\]' of '1 \+ s \* t' is left out"):
        model = hb.Model("y ~ s * t + (1 | g)", CELLS)
    assert model.spec.layout.predictors["mu"].coefficients == (
        "Intercept",
        "s[q]",
        "s[r]",
        "t[v]",
        "s[r]:t[v]",
    )
    with pytest.warns(hb.DataWarning, match="empty-cells"):
        grouped = hb.Model("y ~ 1 + (s:t | g)", CELLS)
    assert len(grouped.spec.layout.predictors["mu"].factors[0].effects) == 5


def test_terms_say_where_their_columns_are():
    encoding = learn_encoding("1 + x * s + I(x ** 2):t", D)
    assert [(t.text, sorted(t.variables), t.columns) for t in encoding.terms] == [
        ("1", [], (0,)),
        ("x", ["x"], (1,)),
        ("s", ["s"], (2, 3)),
        ("x:s", ["s", "x"], (4, 5)),
        ("I(x ** 2):t", ["t", "x"], (6, 7)),
    ]


def test_a_comparison_by_order_keeps_the_order_of_the_categories():
    encoding = learn_encoding('0 + I(u > "S")', D)
    assert_array_equal(encoding.matrix(pd.DataFrame({"u": ["S", "M", "L"]}))[:, 0], [0, 1, 1])


def test_importing_and_building_a_model_needs_no_formulae():
    code = (
        "import sys, hierbayes as hb; hb.Model('Reaction ~ Days + (Days | Subject)', hb.load_dataset('sleepstudy'));"
        "print('formulae' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# -- code in a formula --------------------------------------------------------------------------------------------

HARMFUL = [
    "np.save('{file}', x)",
    "np.loadtxt('{file}')",
    "np.load('{file}', allow_pickle=True)",
    "np.testing.measure('open(chr(47))')",
    "np.ctypeslib.load_library('{file}', x)",
    "np.lib.npyio.np.os.system('touch {file}')",
    "I(x.__class__(x))",
    "__import__('os')",
    "np.vectorize(x)",
]


@pytest.mark.parametrize("term", HARMFUL)
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ {}",
        "y ~ x + ({} | g)",
        "y ~ x + offset({})",
        "{} ~ x",
        "y | weights({}) ~ x",
        "y ~ scale({})",
        "y ~ bs(x, df={})",
        "y ~ C({})",
    ],
)
def test_a_formula_runs_no_code(formula, term, tmp_path):
    file = tmp_path / "made.npy"
    with pytest.raises(FormulaError, match=r"\^"):
        hb.Model(formula.format(term.format(file=file)), D)
    assert not file.exists()


@pytest.mark.parametrize(
    "text", ["1 + np.save(x)", "0 + np.roll(x, 1)", "1 + x.mean(x)", "0 + I(np.flip(x))"]
)
def test_the_encoder_itself_knows_no_other_function(text):
    with pytest.raises(ReadError, match=r"not a known function|looks across rows"):
        learn_encoding(text, D)


def test_a_saved_fit_runs_no_code(tmp_path, monkeypatch):
    from hierbayes import store

    made = tmp_path / "made.npy"
    model = quiet("y ~ x + (1 | g)", D)
    stored = store._spec_to_dict(model.spec)
    stored["formulas"]["mu"] = f"y ~ np.save('{made}', x)"
    with pytest.raises(FormulaError, match="not a known function"):
        store._spec_from_dict(stored, model.data)
    assert not made.exists()


def test_cells_of_rows_that_stay_in_a_file_are_those_of_the_frame(tmp_path, monkeypatch):
    from hierbayes.data import sources

    monkeypatch.setattr(sources, "CHUNK", 37)
    path = tmp_path / "rows.parquet"
    rows = pd.concat([CELLS.astype({"u": str})] * 2, ignore_index=True)
    rows.to_parquet(path, row_group_size=40)
    formula = "y ~ s * t * u + scale(x):s + C(i):t + (1 | g)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hb.DataWarning)
        streamed, whole = hb.Model(formula, path, progress=False), hb.Model(formula, rows)
    mine, theirs = (model.spec.layout.predictors["mu"].common for model in (streamed, whole))
    assert mine.labels == theirs.labels
    assert mine.dropped == theirs.dropped != ()
    assert_allclose(mine.matrix(rows), theirs.matrix(rows), rtol=1e-12, atol=1e-12)
