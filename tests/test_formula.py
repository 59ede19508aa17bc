"""Formula text: what is read, what is refused and where, and the laws of the canonical text."""

import pickle
import re
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hierbayes.errors import FormulaError
from hierbayes.formula import (
    Formula,
    GroupTerm,
    Response,
    caret,
    names_in,
    parse,
    quote,
)
from hierbayes.formula.syntax import read_expression

# text: (common, group terms, offsets), and what str() gives where it isn't the text itself
GOOD: dict[str, tuple] = {
    # intercepts
    "y ~ 1": ("1", [], []),
    "y ~ 0": ("0", [], []),
    "y ~ x": ("1 + x", [], []),
    "y ~ 1 + x": ("1 + x", [], [], "y ~ x"),
    "y ~ x + 1": ("1 + x", [], [], "y ~ x"),
    "y ~ 0 + x": ("0 + x", [], []),
    "y ~ x + 0": ("0 + x", [], [], "y ~ 0 + x"),
    "y ~ x - 1": ("0 + x", [], [], "y ~ 0 + x"),
    "y ~ -1 + x": ("0 + x", [], [], "y ~ 0 + x"),
    "y ~ x + -1": ("0 + x", [], [], "y ~ 0 + x"),
    "y ~ -0 + x": ("1 + x", [], [], "y ~ x"),
    "y ~ 0 + x + 1": ("1 + x", [], [], "y ~ x"),
    "y ~ +x": ("1 + x", [], [], "y ~ x"),
    "y ~ -(1 - x)": ("0 + x", [], [], "y ~ 0 + x"),
    # responses of several columns
    "cbind(a, `b c`) | weights(w) ~ x": ("1 + x", [], []),
    "c(a, b, c) | trials(n) ~ x": ("1 + x", [], [], "cbind(a, b, c) | trials(n) ~ x"),
    # the algebra of terms
    "y ~ x + z": ("1 + x + z", [], []),
    "y ~ ((x + z))": ("1 + x + z", [], [], "y ~ x + z"),
    "y ~ x + x": ("1 + x", [], [], "y ~ x"),
    "y ~ x:z": ("1 + x:z", [], []),
    "y ~ x:z:x": ("1 + x:z", [], [], "y ~ x:z"),
    "y ~ x*z": ("1 + x * z", [], [], "y ~ x * z"),
    "y ~ x*z - x:z": ("1 + x * z - x:z", [], [], "y ~ x * z - x:z"),
    "y ~ x*z - z:x": ("1 + x * z - x:z", [], [], "y ~ x * z - x:z"),
    "y ~ x*z*f - x:z:f": ("1 + x * z * f - x:z:f", [], [], "y ~ x * z * f - x:z:f"),
    "y ~ x*z + z:x": ("1 + x * z", [], [], "y ~ x * z"),
    "y ~ z:x + x*z": ("1 + z:x + x + z", [], [], "y ~ z:x + x + z"),
    "y ~ x*(z + f)": ("1 + x + z + f + x:z + x:f", [], [], "y ~ x + z + f + x:z + x:f"),
    "y ~ (x + z)*f - (x:f + z:f)": (
        "1 + x + z + f + x:f + z:f - x:f - z:f",
        [],
        [],
        "y ~ x + z + f + x:f + z:f - x:f - z:f",
    ),
    "y ~ (x*z - x):f": ("1 + z:f + x:z:f", [], [], "y ~ z:f + x:z:f"),
    "y ~ x/z": ("1 + x + x:z", [], [], "y ~ x + x:z"),
    "y ~ x/z/f": ("1 + x + x:z + x:z:f", [], [], "y ~ x + x:z + x:z:f"),
    "y ~ f/(x + z)": ("1 + f + f:x + f:z", [], [], "y ~ f + f:x + f:z"),
    "y ~ (x + z)/(f*g)": (
        "1 + x + z + x:z:f + x:z:g + x:z:f:g",
        [],
        [],
        "y ~ x + z + x:z:f + x:z:g + x:z:f:g",
    ),
    "y ~ (x + z + f)**2": ("1 + (x + z + f) ** 2", [], [], "y ~ (x + z + f) ** 2"),
    "y ~ (x + z + f)^3": ("1 + (x + z + f) ** 3", [], [], "y ~ (x + z + f) ** 3"),
    "y ~ (x + z)**1": ("1 + x + z", [], [], "y ~ x + z"),
    "y ~ (x + z)**999999999": ("1 + x + z + x:z", [], [], "y ~ x + z + x:z"),
    "y ~ (x*z)**2": ("1 + x + z + x:z", [], [], "y ~ x + z + x:z"),
    "y ~ (x + I(x^2))*(z + f)": (
        "1 + x + I(x ** 2) + z + f + x:z + x:f + I(x ** 2):z + I(x ** 2):f",
        [],
        [],
        "y ~ x + I(x ** 2) + z + f + x:z + x:f + I(x ** 2):z + I(x ** 2):f",
    ),
    # calls and arithmetic
    "y ~ log(x)": ("1 + log(x)", [], []),
    "y ~ np.log10(x) + np.clip(x, 0, 1)": ("1 + np.log10(x) + np.clip(x, 0, 1)", [], []),
    "y ~ I(x^2)": ("1 + I(x ** 2)", [], [], "y ~ I(x ** 2)"),
    "y ~ {x + 1}": ("1 + I(x + 1)", [], [], "y ~ I(x + 1)"),
    "y ~ I(-x**2)": ("1 + I(-(x ** 2))", [], [], "y ~ I(-(x ** 2))"),
    "y ~ I((-x)**2)": ("1 + I((-x) ** 2)", [], [], "y ~ I((-x) ** 2)"),
    "y ~ I(2**x**2)": ("1 + I(2 ** (x ** 2))", [], [], "y ~ I(2 ** (x ** 2))"),
    "y ~ I(x**-2*z)": ("1 + I(x ** -2 * z)", [], [], "y ~ I(x ** -2 * z)"),
    "y ~ I(x - (z - 1))": ("1 + I(x - (z - 1))", [], []),
    "y ~ I(((x + z)) * -2)": ("1 + I((x + z) * -2)", [], [], "y ~ I((x + z) * -2)"),
    "y ~ I(1e-3*x + .5 + 2.)": ("1 + I(0.001 * x + 0.5 + 2.0)", [], [], "y ~ I(0.001 * x + 0.5 + 2.0)"),
    "y ~ I(x > 2)": ("1 + I(x > 2)", [], []),
    "y ~ I(f == 'p')": ('1 + I(f == "p")', [], [], 'y ~ I(f == "p")'),
    "y ~ I(log(abs(x) + 1))": ("1 + I(log(abs(x) + 1))", [], []),
    "y ~ bs(x,df=4,degree=2)": ("1 + bs(x, df=4, degree=2)", [], [], "y ~ bs(x, df=4, degree=2)"),
    "y ~ poly(x, 2):f": ("1 + poly(x, 2):f", [], []),
    "y ~ cr(x, df=4, center=True)": ("1 + cr(x, df=4, center=True)", [], []),
    "y ~ np.where((x > 2), 1, 0)": ("1 + np.where(x > 2, 1, 0)", [], [], "y ~ np.where(x > 2, 1, 0)"),
    "y ~ bs(x, knots=[1, -2.5])": ("1 + bs(x, knots=[1, -2.5])", [], []),
    "y ~ bs(x, df=4):z": ("1 + bs(x, df=4):z", [], []),
    "y ~ f * (bs(x, df=4) + z)": (
        "1 + f + bs(x, df=4) + z + f:bs(x, df=4) + f:z",
        [],
        [],
        "y ~ f + bs(x, df=4) + z + f:bs(x, df=4) + f:z",
    ),
    "y ~ C(f, Helmert) + C(g, Poly)": ("1 + C(f, Helmert) + C(g, Poly)", [], []),
    "y ~ C(f, [[-1, 0], [1, -1], [0, 1]])": ("1 + C(f, [[-1, 0], [1, -1], [0, 1]])", [], []),
    "y ~ C(f, levels=['q', 'p'])": ('1 + C(f, levels=["q", "p"])', [], [], 'y ~ C(f, levels=["q", "p"])'),
    "y ~ arcsin(x) + np.maximum(x, z)": ("1 + arcsin(x) + np.maximum(x, z)", [], []),
    "y ~ scale(x) * center(z)": ("1 + scale(x) * center(z)", [], []),
    "y ~ factor(f) + C(g, Sum)": ("1 + factor(f) + C(g, Sum)", [], []),
    "y ~ C(f, Treatment('q'))": ('1 + C(f, Treatment("q"))', [], [], 'y ~ C(f, Treatment("q"))'),
    "y ~ T(f, ref='q') + S(g)": ('1 + T(f, ref="q") + S(g)', [], [], 'y ~ T(f, ref="q") + S(g)'),
    # names
    "y ~ `my col`": ("1 + `my col`", [], []),
    "y ~ `x` + `True`": ("1 + x + `True`", [], [], "y ~ x + `True`"),
    "y ~ _u + .p + x.y": ("1 + `_u` + `.p` + x.y", [], [], "y ~ `_u` + `.p` + x.y"),
    "y ~ größe + 年": ("1 + größe + 年", [], []),
    "y ~ e\u0301 * `a:b`": ("1 + `e\u0301` * `a:b`", [], [], "y ~ `e\u0301` * `a:b`"),
    "y ~ log(`my col` + 9)": ("1 + log(`my col` + 9)", [], []),
    # group terms
    "y ~ (1|g)": ("1", ["(1 | g)"], [], "y ~ 1 + (1 | g)"),
    "y ~ x + (x|g)": ("1 + x", ["(x | g)"], [], "y ~ x + (x | g)"),
    "y ~ x + ((x|g))": ("1 + x", ["(x | g)"], [], "y ~ x + (x | g)"),
    "y ~ (1 + x|g)": ("1", ["(x | g)"], [], "y ~ 1 + (x | g)"),
    "y ~ (x||g)": ("1", ["(x || g)"], [], "y ~ 1 + (x || g)"),
    "y ~ (0 + x|g)": ("1", ["(0 + x | g)"], [], "y ~ 1 + (0 + x | g)"),
    "y ~ (x - 1|g)": ("1", ["(0 + x | g)"], [], "y ~ 1 + (0 + x | g)"),
    "y ~ (-1 + x|g)": ("1", ["(0 + x | g)"], [], "y ~ 1 + (0 + x | g)"),
    "y ~ (1|g) + x + (0 + x|g)": (
        "1 + x",
        ["(1 | g)", "(0 + x | g)"],
        [],
        "y ~ x + (1 | g) + (0 + x | g)",
    ),
    "y ~ (x*z - x:z|g)": ("1", ["(x * z - x:z | g)"], [], "y ~ 1 + (x * z - x:z | g)"),
    "y ~ (poly(x, 2) | g)": ("1", ["(poly(x, 2) | g)"], [], "y ~ 1 + (poly(x, 2) | g)"),
    "y ~ (1|f/g)": ("1", ["(1 | f)", "(1 | f:g)"], [], "y ~ 1 + (1 | f) + (1 | f:g)"),
    "y ~ (1|f/g/h)": (
        "1",
        ["(1 | f)", "(1 | f:g)", "(1 | f:g:h)"],
        [],
        "y ~ 1 + (1 | f) + (1 | f:g) + (1 | f:g:h)",
    ),
    "y ~ (1|f/(g + h))": (
        "1",
        ["(1 | f)", "(1 | f:g)", "(1 | f:h)"],
        [],
        "y ~ 1 + (1 | f) + (1 | f:g) + (1 | f:h)",
    ),
    "y ~ (1|f*g)": ("1", ["(1 | f)", "(1 | g)", "(1 | f:g)"], [], "y ~ 1 + (1 | f) + (1 | g) + (1 | f:g)"),
    "y ~ (x||f + g)": ("1", ["(x || f)", "(x || g)"], [], "y ~ 1 + (x || f) + (x || g)"),
    "y ~ (1|(f + g):h)": ("1", ["(1 | f:h)", "(1 | g:h)"], [], "y ~ 1 + (1 | f:h) + (1 | g:h)"),
    "y ~ (1|f:g:f)": ("1", ["(1 | f:g)"], [], "y ~ 1 + (1 | f:g)"),
    "y ~ (`my col`|`a:b`/g)": (
        "1",
        ["(`my col` | `a:b`)", "(`my col` | `a:b`:g)"],
        [],
        "y ~ 1 + (`my col` | `a:b`) + (`my col` | `a:b`:g)",
    ),
    # offsets
    "y ~ x + offset(log(e))": ("1 + x", [], ["log(e)"]),
    "y ~ offset(e) + x + offset(z)": ("1 + x", [], ["e", "z"], "y ~ x + offset(e) + offset(z)"),
    "y ~ offset(e + z)": ("1", [], ["I(e + z)"], "y ~ 1 + offset(I(e + z))"),
    "y ~ x + (1|g) + offset(e)": ("1 + x", ["(1 | g)"], ["e"], "y ~ x + offset(e) + (1 | g)"),
    # layout of the text
    "  y~x\n + (1\n|\tg)  ": ("1 + x", ["(1 | g)"], [], "y ~ x + (1 | g)"),
}

RESPONSES = {
    "y ~ x": Response("y"),
    "log(y) ~ x": Response("log(y)"),
    "`my col` ~ x": Response("`my col`"),
    "y/10 ~ x": Response("I(y / 10)"),
    "-y ~ x": Response("I(-y)"),
    "{y > 2} ~ x": Response("I(y > 2)"),
    "y > 2 ~ x": Response("I(y > 2)"),
    "center(y) ~ x": Response("center(y)"),
    "B(f, 'p') ~ x": Response('B(f, "p")'),
    "y | trials(n) ~ x": Response("y", (("trials", "n"),)),
    "y|trials(10)~x": Response("y", (("trials", "10"),)),
    "y | trials(y + n) ~ x": Response("y", (("trials", "y + n"),)),
    "y | weights(w) + trials(n) ~ x": Response("y", (("trials", "n"), ("weights", "w"))),
    "log(y) | cens(c) + weights(sqrt(w)) ~ x": Response(
        "log(y)", (("weights", "sqrt(w)"),), stated=(("cens", (("cens", "c"),)),)
    ),
    "y | trunc(0, 2 * u) + cens(c, b) ~ x": Response(
        "y", stated=(("cens", (("cens", "c"), ("y2", "b"))), ("trunc", (("lb", "0"), ("ub", "2 * u"))))
    ),
    "y | trunc(ub=-1) + rate(d) ~ x": Response(
        "y", stated=(("trunc", (("ub", "-1"),)), ("rate", (("rate", "d"),)))
    ),
    "y | se(s, sigma=False) ~ x": Response("y", stated=(("se", (("se", "s"),)),)),
    "y | se(sqrt(v), sigma=True) ~ x": Response(
        "y", stated=(("se", (("se", "sqrt(v)"), ("sigma", "True"))),)
    ),
}

# text with the place marked by ‸ just before it, and a piece of the message
BAD = [
    # bars and parentheses
    ("y ~ x ‸| g", r"a group term needs parentheses: \(x \| g\)"),
    ("y ~ x + 1‸|g", r"needs parentheses: \(x \| g\)"),
    ("y ~ x ‸|| g", r"needs parentheses: \(x \|\| g\)"),
    ("y ~ (1|g) ‸| h", "needs parentheses"),
    ("y ~ x ‸| g | h", "needs parentheses"),
    ("y ~ x‸) + (1|g)", r"this `\)` closes nothing"),
    ("y ~ ‸(x||g", r"this `\(` is never closed"),
    ("y ~ x + ‸(1|g + z", "never closed"),
    ("y ~ log‸(x", "never closed"),
    ("y ~ log‸(x,", "never closed"),
    ("y ~ ‸{x", "never closed"),
    ("y ~ ‸(", "never closed"),
    ("y ~ (x‸}", "closes nothing"),
    ("y ~ ‸()", "empty"),
    ("y ~ x + (‸| g)", "nothing stands before this `|`"),
    ("y ~ x + (1 ‸| )", "nothing follows this `|`"),
    ("y ~ (x ‸|| i | g)", "an ID between two"),
    ("y ~ (x + ‸(1|h) | g)", "cannot stand inside another"),
    ("y ~ (‸offset(x) | g)", "offset cannot vary"),
    ("y ~ (‸0 | g)", "no effects"),
    ("y ~ (0 + x ‸- x | g)", "no effects"),
    ("y ~ x * ‸(1|g)", "can only be added"),
    ("y ~ x - ‸(1|g)", "cannot be subtracted"),
    ("y ~ x - ‸offset(e)", "cannot be subtracted"),
    ("y ~ log(x ‸| g)", "inside a call of log"),
    ("y ~ x (1‸|g)", "an operator is missing before the parenthesis"),
    ("y ~ log(‸(1|g))", "inside an expression"),
    # right of the bar
    ("y ~ (1 | ‸log(g))", "make log\\(g\\) a column"),
    ("y ~ (1 | gr(g, dist=‸t))", "no dist t"),
    ("y ~ (1 | ‸mm(f))", "two columns or more"),
    ("y ~ (1 | ‸mm(f, f))", "two columns or more"),
    ("y ~ (1 | mm(f, ‸log(g)))", "takes columns"),
    ("y ~ (1 | mm(f, g, by=‸h))", "no option by"),
    ("y ~ (1 | mm(f, g, weights=‸w))", "weights=cbind\\(w1, w2\\)"),
    ("y ~ (1 | mm(f, g, weights=‸cbind(u, v, w)))", "for each of the 2"),
    ("y ~ (1 | mm(f, g, weights=cbind(u, ‸1)))", "a weight is a column"),
    ("y ~ (1 | mm(f, g, scale=‸2))", "scale= is True"),
    ("y ~ (1 |p| ‸mm(f, g))", "don't go together"),
    ("y ~ (1 | ‸mm(f, g) / h)", "stands alone"),
    ("y ~ ‸mm(f, g)", "right of a bar"),
    ("y ~ (1 | ‸1)", "right of a bar stand columns"),
    ("y ~ (1 | f ‸- g)", "`-` has no meaning right of a bar"),
    ("y ~ (1 | f‸**2)", "has no meaning right of a bar"),
    ("y ~ (1 | ‸(x | g))", "right of a bar stand columns"),
    # copied text
    ("y ~ x ‸− 1", "not the sign that it looks like.*write -"),
    ("y ~ x ‸– 1", "write -"),
    ("y ‸∼ x", "write ~"),
    ("y ~ C(x, Treatment(‸“low”))", 'write "'),
    # repeated terms
    ("y ~ (1|g) + ‸(1|g)", "stands twice"),
    ("y ~ (1|f) + ‸(1|f/g)", r"\(1 \| f\) stands twice"),
    ("y ~ (1|f:g) + ‸(1|g:f)", r"\(1 \| f:g\) stands twice"),
    ("y ~ (x + z|g) + ‸(1 + z + x||g)", "stands twice"),
    ("y ~ (1|f + ‸f)", "stands twice"),
    # operators
    ("y ~ x ‸+", r"nothing follows this `\+`"),
    ("y ~ x ‸+  ", "nothing follows"),
    ("y ~ x‸:", "nothing follows"),
    ("y ~ x + ‸* z", r"two operators in a row: `\+` and `\*`"),
    ("y ~ x + ‸+ z", "two operators in a row"),
    ("y ~ x - ‸- z", "two operators in a row"),
    ("y ~ ‸* x", r"nothing stands before this `\*`"),
    ("y ~ (‸* x)", "nothing stands before this `\\*`"),
    ("y ~ x ‸z", "an operator such as \\+ is missing before z"),
    ("y ~ x ‸2", "missing before 2"),
    ("y ~ x ‸%in% z", "%in%"),
    ("y ~ x ‸> 2", r"I\(x > 2\)"),
    ("y ~ I(x > 2 ‸> 1)", "chained"),
    ("y ~ x‸**2", r"write I\(x\*\*2\)"),
    ("y ~ x‸^2", r"write I\(x\*\*2\)"),
    ("y ~ log(x)‸**2", r"write I\(log\(x\)\*\*2\)"),
    ("y ~ (x + z)**‸f", "whole number"),
    ("y ~ (x + z)**‸0", "whole number"),
    ("y ~ ‸2*x", r"I\(2 \* x\)"),
    ("y ~ x + ‸2", "2 is no term"),
    ("y ~ x * ‸1", "1 is no term"),
    ("y ~ x * ‸-z", r"I\(-x\)"),
    ("y ~ x ‸& z", "no meaning in a formula"),
    ("y ~ x - ‸z", "no term z before this"),
    ("y ~ -‸x + z", "no term x before this"),
    ("y ~ (x + z ‸- f):g", "no term f before this"),
    ("y ~ I(x‸:z)", "the product is a \\* b"),
    ("y ~ (a+b+c+d+e+f+g+h+i+j+k)‸**11 * z", "more than 2000 terms"),
    # single things that are no terms
    ("y ~ ‸.", "all other columns"),
    ("y ~ ‸. + x", "all other columns"),
    ("y ~ x + ‸'a'", '"a" is no term'),
    ("y ~ ‸True", "True is no term"),
    ("y ~ x + ‸None", "None is no term"),
    ("y ~ bs(x, intercept=‸TRUE)", "write True"),
    ("y ~ x + ‸2nd", "backquotes"),
    ("y ~ I(x * ‸1e999)", "too large"),
    ("y ~ ‸`my col", "never closed"),
    ("y ~ x + ‸``", "no column name"),
    ('y ~ I(f == ‸"a)', "never closed"),
    ('y ~ I(f == ‸"it\'s")', "quotation mark"),
    ("y ~ df‸$x", "name the column alone"),
    ("y ~ ‸[1, 2]", "lists only as arguments"),
    ("y ~ log(‸[1, 2])", "a list is an argument of a transform"),
    ("y ~ bs(x, knots=‸[1, z])", "a list of numbers"),
    ("y ~ bs(x, knots=‸[])", "a list of numbers"),
    ("y ~ bs(x, knots=[1, 2‸)", "closes nothing"),
    ("y ~ x‸]", "closes nothing"),
    ("y ~ x‸, z", "a comma"),
    ("y ~ (x‸, z)", "a comma"),
    ("y ‸= x", "followed by `~`"),
    # different terms of one name
    ("y ~ x:z + ‸`x:z`", "both be called x:z"),
    ("y ~ log(x) + ‸`log(x)`", "both be called"),
    ("y ~ I((x + z) * f) + ‸I(x + z * f)", "both be called"),
    # functions
    ("y ~ x + ‸lgo(x)", "did you mean log"),
    ("y ~ ‸Log(x)", "did you mean log"),
    ("y ~ ‸np.lgo(x)", "not a known function; did you mean np.log"),
    ("y ~ ‸np.pi(x)", "not a known function"),
    ("y ~ ‸np.save(x)", "not a known function; make a column"),
    ("y ~ ‸np.log.at(x)", "not a known function"),
    ("y ~ x.mean(‸)", "needs an argument"),
    ("y ~ ‸x.mean(x)", "not a known function"),
    ("y ~ ‸np.testing.measure('1')", "not a known function"),
    ("y ~ ‸np.load('a')", "not a known function"),
    ("y ~ ‸__import__('os')", "not a known function"),
    ("y ~ x + ‸np.roll(x, 1)", "looks across rows"),
    ("y ~ I(‸np.cumulative_sum(x))", "looks across rows"),
    ("‸np.mean(y) ~ x", "looks across rows"),
    ("y ~ offset(‸np.ma.mean(x))", "looks across rows"),
    ("y | weights(‸np.flip(w)) ~ x", "looks across rows"),
    ("y ~ (‸np.interp(x, x, x) | g)", "looks across rows"),
    ("y ~ I(‸'a' * x)", "stands in a comparison"),
    ("y ~ log(‸'a')", "stands in a comparison"),
    ("y ~ log(x, ‸z)", r"log\(\) takes 1 argument"),
    ("y ~ ‸clip(x, 1)", "takes a, a_min, a_max"),
    ("y ~ clip(x, 1, a_min=‸2)", "given twice"),
    ("y ~ I(x + ‸None)", "no number"),
    ("y ~ bs(x, df=‸z)", "df of bs\\(\\) is a whole number"),
    ("y ~ bs(x, dg=‸3)", "no argument dg; it has df, knots, degree"),
    ("y ~ poly(x, ‸2.5)", "whole number"),
    ("y ~ scale(x, ‸1)", r"scale\(\) takes no other argument"),
    ("y ~ ‸cc(x, df=4)", "needs period="),
    ("y ~ C(f, ‸contr.sum)", "Helmert, Poly, Sum, Treatment"),
    ("y ~ C(f, ‸[1, 2])", "equally long rows"),
    ("y ~ C(f, Treatment(‸g))", "a level"),
    ("y ~ log(‸C(f))", "makes categories"),
    ("y ~ ‸C(1)", "of a column"),
    ("y ~ ‸np(x)", "not a known function"),
    ("y ~ ‸numpy.log(x)", "write np.log"),
    ("y ~ I(x - ‸np.mean(x))", r"write center\(x\) or scale\(x\)"),
    ("y ~ ‸np.random.permutation(x)", "looks across rows"),
    ("y ~ log(‸t2(x, z))", "a term of its own"),
    ("y ~ ‸te(x, z)", r"is t2\(x, z\)"),
    ("y ~ log(‸mo(x))", "a term of its own, or a factor of one"),
    ("y ~ ‸ma(x)", "not supported"),
    ("y ~ ‸ar(x):z", "a term of their own"),
    ("y ~ ar(t, gr=‸log(g))", "gr of ar.* is a column"),
    ("y ~ ar(t, p=‸2)", "one autoregressive term"),
    ("y ~ ar(t) + ‸cosy(gr=g)", "says already how residuals are correlated"),
    ("y ~ mi(‸log(x))", "x of mi\\(\\) is a column"),
    ("y ~ ‸gr(x)", "right of a bar"),
    ("y ~ ‸as.factor(x)", r"write factor\(x\)"),
    ("y ~ ‸binary(f)", r'I\(x == "level"\)'),
    ("y ~ ‸trials(n) + x", "belongs to the response"),
    ("y ~ x * ‸offset(e)", "term of its own"),
    ("y ~ log(‸offset(e))", "term of its own"),
    ("y ~ ‸offset(e, z)", "one argument"),
    ("y ~ offset(‸2)", "names no column"),
    ("y ~ x + ‸Sum(f)", r"C\(x, Sum\)"),
    ("y ~ log(‸Treatment(f))", r"C\(x, Sum\)"),
    ("y ~ ‸I(2)", "names no column"),
    ("y ~ log(‸)", "needs an argument"),
    ("y ~ log(x‸,)", "nothing follows this `,`"),
    ("y ~ bs(x, df=4, ‸df=5)", "given twice"),
    ("y ~ bs(df=4, ‸x)", "without a keyword"),
    ("y ~ bs(x, ‸a.b=4)", "plain word"),
    ("y ~ bs(x, ‸2=4)", "plain word"),
    ("y ~ bs(x, df‸=)", "nothing follows"),
    ("y ~ log(x)‸(z)", "missing before"),
    ("y ~ log(‸, x)", "nothing stands before"),
    ("y ~ (‸~ x)", "nothing stands before"),
    # the tilde and the response
    ("y‸", "no `~`"),
    ("y + x‸", "no `~`"),
    ("y ‸~", "nothing follows this `~`"),
    ("y ~ x ‸~ z", "second `~`"),
    ("y ~ (x ‸~ z)", "inside parentheses"),
    ("y ‸+ ~ x", r"nothing follows this `\+`"),
    ("‸~ x", "no response"),
    ("  ‸~ x", "no response"),
    ("‸) ~ x", "nothing stands before"),
    ("‸1 ~ x", "names no column"),
    ("‸'y' ~ x", "names no column"),
    ("y‸[1] ~ x", "no subsets"),
    ("y‸:z ~ x", "no meaning in arithmetic"),
    ("‸cbind(a, n - a) ~ x", r"write a \| trials\(a \+ n - a\) ~"),
    ("‸cbind(a, b, log(c)) ~ x", r"name the columns of the categories"),
    ("‸cbind(a) ~ x", r"two or more"),
    ("‸c(a, b, a) ~ x", r"stands twice"),
    ("‸prop(y, n) ~ x", r"y \| trials\(n\)"),
    ("‸mvbind(y, z) ~ x", "one response"),
    ("‸(y | trials(n)) ~ x", "without parentheses"),
    ("y ‸|| trials(n) ~ x", "one bar"),
    ("y | trials(n) ‸| weights(w) ~ x", "joined by"),
    ("y | ‸trial(n) ~ x", "unknown; did you mean trials"),
    ("y | ‸mi(n, 2) ~ x", "mi\\(\\) takes nothing"),
    ("y | trunc(‸) ~ x", "needs an argument"),
    ("y | ‸cens(y2=b) ~ x", "needs cens"),
    ("y | se(s, ‸t) ~ x", "sigma of se\\(\\) is True"),
    ('y | trunc(‸"a") ~ x', "takes a column"),
    ("y | ‸n ~ x", "after the bar of a response stand"),
    ("y | trials(‸) ~ x", "needs an argument"),
    ("y | ‸trials(n, w) ~ x", "takes one argument"),
    ("y | ‸weights(w, scale=True) ~ x", "takes one argument"),
    ("y | trials(‸'n') ~ x", "takes a column"),
    ("y | trials(n) + ‸trials(w) ~ x", "given twice"),
    ("y | trials(n) - ‸weights(w) ~ x", "joined by"),
    ("y | trials(‸lgo(n)) ~ x", "did you mean log"),
]


def summary(formula: Formula) -> tuple[str, list[str], list[str]]:
    return formula.common, [str(term) for term in formula.groups], list(formula.offsets)


@pytest.mark.parametrize("text", GOOD)
def test_reads(text):
    common, groups, offsets, *canonical = GOOD[text]
    formula = parse(text)
    assert summary(formula) == (common, groups, offsets)
    assert str(formula) == (canonical[0] if canonical else text)
    assert parse(str(formula)) == formula


@pytest.mark.parametrize("text", RESPONSES)
def test_reads_the_response(text):
    formula = parse(text)
    assert formula.response == RESPONSES[text]
    assert parse(str(formula)) == formula


@pytest.mark.parametrize(("marked", "message"), BAD)
def test_refuses_with_a_caret_at_the_place(marked, message):
    text = marked.replace("‸", "")
    with pytest.raises(FormulaError, match=message) as caught:
        parse(text)
    *_, shown, pointer = str(caught.value).split("\n")
    assert shown == "    " + text
    assert pointer == "    " + " " * marked.index("‸") + "^"


def test_tables_are_large_and_consistent():
    assert len(GOOD) + len(RESPONSES) + len(BAD) > 200
    assert all(marked.count("‸") == 1 for marked, _ in BAD)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "empty; write one such as 'y ~ x"),
        (" \n ", "empty"),
        (None, "this is NoneType None"),
        (["y ~ x"], r"this is list \['y ~ x'\]"),
        (b"y ~ x", "this is bytes"),
    ],
)
def test_refuses_what_is_no_text(value, message):
    with pytest.raises(FormulaError, match=message):
        parse(value)


def test_refuses_endless_nesting():
    with pytest.raises(FormulaError, match="nested too deeply"):
        parse("y ~ " + "(" * 5000 + "x" + ")" * 5000)


def test_reads_wide_formulas():
    terms = [f"x{i}" for i in range(3000)]
    assert parse("y ~ " + " + ".join(terms)).common == " + ".join(["1", *terms])


# -- formulas of other parameters ---------------------------------------------------------------------------


def test_parameter_formula_has_no_response():
    formula = parse("~ x + (1 | g)", response=False)
    assert formula.response is None
    assert summary(formula) == ("1 + x", ["(1 | g)"], [])
    assert str(formula) == "~ x + (1 | g)"
    assert parse(str(formula), response=False) == formula


@pytest.mark.parametrize(
    ("marked", "message"),
    [("‸sigma ~ x", "has no response"), ("x + (1 | g)‸", "no `~`"), ("‸~", "nothing follows")],
)
def test_parameter_formula_refuses(marked, message):
    with pytest.raises(FormulaError, match=message) as caught:
        parse(marked.replace("‸", ""), response=False)
    assert str(caught.value).endswith("\n    " + " " * marked.index("‸") + "^")


# -- values -------------------------------------------------------------------------------------------------


def test_group_terms_carry_plain_names_and_their_place():
    text = "y ~ x + (1 + `a b` || `f 1`/g)"
    assert parse(text).groups == (
        GroupTerm("1 + `a b`", ("f 1",), structure="diag"),
        GroupTerm("1 + `a b`", ("f 1", "g"), structure="diag"),
    )
    assert {term.position for term in parse(text).groups} == {text.index("(")}


def test_places_and_source_text_do_not_count_in_equality():
    left, right = parse("y~x+(1|g)"), parse("  y ~ x + (1 | g)")
    assert left == right
    assert hash(left) == hash(right)
    assert left.text != right.text
    assert left.columns != right.columns


def test_columns_in_order_of_appearance():
    text = "log(y) | trials(n) ~ x + C(f, Sum) + bs(`my x`, df=4) + log(k) + offset(e) + (x + z | g/h) + T(g, ref='a')"
    formula = parse(text)
    assert [name for name, _ in formula.columns] == ["y", "n", "x", "f", "my x", "k", "e", "z", "g", "h"]
    assert all(text[at:].lstrip("`").startswith(name) for name, at in formula.columns)
    assert formula.response_columns == ("y",)
    assert formula.predictor_columns == ("x", "f", "my x", "k", "g", "z", "e")
    assert formula.grouping_columns == ("g", "h")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("y ~ C(f, Treatment('a'))", ["y", "f"]),
        ("y ~ C(f, contrast=Sum)", ["y", "f"]),
        ("y ~ factor(f, Sum)", ["y", "f"]),
        ("y ~ C(Sum)", ["y", "Sum"]),
        ("y ~ Sum + Treatment", ["y", "Sum", "Treatment"]),
        ("y ~ np.log(x)", ["y", "x"]),
        ("y ~ a*b - a", ["y", "a", "b"]),
    ],
)
def test_encodings_functions_and_keywords_are_no_columns(text, columns):
    assert [name for name, _ in parse(text).columns] == columns


def test_names_in():
    assert names_in("0 + I(n)") == ("n",)
    assert names_in("10") == ()
    assert names_in("`a b` + log(x, base=z) - x") == ("a b", "x", "z")


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("x", "x"), ("x.1_y", "x.1_y"), ("é", "é"), ("年", "年"), ("x²", "x²"), ("np", "np"),
        ("_x", "`_x`"), (".x", "`.x`"), ("1x", "`1x`"), ("²x", "`²x`"), ("a b", "`a b`"),
        ("a:b", "`a:b`"), ("a'b", "`a'b`"),
        ("e\u0301", "`e\u0301`"), ("True", "`True`"), ("None", "`None`"), ("TRUE", "`TRUE`"),
    ],
)  # fmt: skip
def test_quote(name, spelling):
    assert quote(name) == spelling
    assert parse(f"y ~ {spelling}").columns[1] == (name, 4)


@pytest.mark.parametrize("name", ["", "a`b"])
def test_quote_refuses_what_no_formula_can_spell(name):
    with pytest.raises(FormulaError, match="rename the column"):
        quote(name)


def test_caret_holds_its_place_in_text_of_several_lines():
    assert caret("y ~ x\n\t+ z", 8, "here") == "here\n    y ~ x  + z\n            ^"


def test_caret_counts_the_columns_of_a_terminal():
    assert caret("年 ~ x", 4, "m").split("\n")[2] == "    " + " " * 5 + "^"
    assert caret("e\u0301 ~ x", 5, "m").split("\n")[2] == "    " + " " * 4 + "^"


# -- laws ---------------------------------------------------------------------------------------------------

SPELLINGS = st.one_of(
    st.sampled_from(
        ["x", "z", "x.1", "größe", "_u", "年", "`my col`", "`a:b`", "`é (m)`", "`log(x)`", "Sum"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="`"), min_size=1).map(
        lambda s: f"`{s}`"
    ),
)
FACTORS = st.recursive(
    SPELLINGS,
    lambda inner: st.tuples(inner, st.sampled_from("/:*+"), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
    max_leaves=4,
)
NUMBERS = st.one_of(
    st.integers(0, 10**20).map(str), st.floats(0, 1e300).map(repr), st.sampled_from([".5", "2.", "1E3"])
)
ATOMS = st.one_of(SPELLINGS, NUMBERS, st.just("True"))
TEXTS = st.sampled_from(["'a'", '"b c"'])


def arithmetic(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**", "^"]), inner).map(" ".join)
    compared = st.tuples(inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner)
    return st.one_of(
        binary,
        binary.map("({})".format),
        compared.map(lambda t: f"(({t[0]}){t[1]}({t[2]}))"),
        st.tuples(inner, st.sampled_from(["==", "<"]), TEXTS).map(lambda t: f"(({t[0]}) {t[1]} {t[2]})"),
        st.tuples(st.sampled_from("+-"), inner).map("".join),
        st.tuples(st.sampled_from(["log", "np.exp", "I", "scale"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        inner.map(lambda e: f"{{{e}}}"),
        st.tuples(inner, st.integers(1, 3)).map(lambda t: f"poly({t[0]}, degree={t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"maximum({t[0]}, x2={t[1]})"),
    )


EXPRESSIONS = st.recursive(ATOMS, arithmetic, max_leaves=6)
# an argument that names a column, whatever else it holds
CALLS = st.tuples(st.sampled_from(["log", "I", "np.sqrt", "center"]), SPELLINGS, EXPRESSIONS).map(
    lambda t: f"{t[0]}({t[1]} + ({t[2]}))"
)
TERMS = st.recursive(
    st.one_of(SPELLINGS, CALLS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", ":", "/"]), inner).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(inner, st.sampled_from(["*", ":", "/"]), inner).map(" ".join),
        st.tuples(inner, inner, st.integers(1, 4)).map(lambda t: f"({t[0]} + {t[1]})**{t[2]}"),
    ),
    max_leaves=4,
)
SUMS = st.lists(st.one_of(TERMS, st.sampled_from(["0", "1", "-1"])), min_size=1, max_size=4).map(" + ".join)
EFFECTS = st.one_of(st.just("1"), TERMS, st.tuples(SUMS, TERMS).map(" + ".join))
GROUPS = st.tuples(EFFECTS, st.sampled_from(["|", "||"]), FACTORS).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
OFFSETS = st.tuples(SPELLINGS, EXPRESSIONS).map(lambda t: f"offset({t[0]} - ({t[1]}))")
RIGHT = st.lists(st.one_of(SUMS, GROUPS, OFFSETS), min_size=1, max_size=4).map(" + ".join)
ADDITIONS = st.lists(
    st.sampled_from(["trials", "weights", "cens", "se", "rate", "trunc"]), unique=True
).flatmap(lambda names: st.tuples(*[SPELLINGS.map(f"{name}({{}})".format) for name in names]).map(" + ".join))
LEFT = st.tuples(st.one_of(SPELLINGS, CALLS, SPELLINGS.map("2 * {}".format)), ADDITIONS).map(
    lambda t: f"{t[0]} | {t[1]}" if t[1] else t[0]
)
FORMULAS = st.tuples(LEFT, RIGHT).map(" ~ ".join)


def parse_or_none(text: str) -> Formula | None:
    """The formula, or None for one of the few that are refused (a term twice, a power of one term, …)."""
    try:
        return parse(text)
    except FormulaError as error:
        if re.search("stands twice|only that term|both be called", str(error)):
            return None
        raise


@settings(deadline=None)
@given(FORMULAS)
def test_canonical_text_is_read_to_an_equal_formula(text):
    formula = parse_or_none(text)
    if formula is not None:
        again = parse(str(formula))
        assert again == formula
        assert str(again) == str(formula)
        assert {name for name, _ in again.columns} <= {name for name, _ in formula.columns}


def test_the_strategy_is_mostly_read():
    read = []

    @settings(deadline=None, max_examples=100, database=None, derandomize=True)
    @given(FORMULAS)
    def count(text):
        read.append(parse_or_none(text) is not None)

    count()
    assert sum(read) > 0.9 * len(read)


@settings(deadline=None, max_examples=300)
@given(st.text("xyzg01. +-*/:^|~(){},=<>!`'\"%[]_é\n", max_size=40))
@example("y ~ ((x)")
@example("y ~ x**((2))")
def test_any_text_is_read_or_refused(text):
    for response in (True, False):
        try:
            formula = parse(text, response=response)
        except FormulaError:
            continue
        assert parse(str(formula), response=response) == formula


PIECES = st.one_of(
    st.sampled_from("yxzg012.~+-*/:^|(){},=<"),
    st.sampled_from(["**", "||", "==", "1.5", "'a'", "`b c`", "Sum", "True"]),
    st.sampled_from(["log(", "I(", "offset(", "trials(", "C(", "np.exp(", "(1|", "(x||g)", "bs(x,df=4)"]),
)


@settings(deadline=None, max_examples=500)
@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_any_pieces_are_read_or_refused(text):
    try:
        formula = parse(f"y ~ {text}")
    except FormulaError as error:
        if not str(error).endswith("^"):
            raise
    else:
        assert parse(str(formula)) == formula


@pytest.mark.parametrize("text", [*GOOD, *RESPONSES])
def test_white_space_does_not_matter(text):
    tokens = re.findall(r"`[^`]*`|'[^']*'|\*\*|\|\||==|1e-3|[\w.\u0301]+|[^\s\w]", text)
    tight = "".join(
        f" {token}" if re.match(r"[\w.]", token) and re.match(r"[\w.]", before) else token
        for before, token in pairwise(["~", *tokens])
    )
    assert parse(tight) == parse("\n \t".join(tokens)) == parse(text)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("(x | a/b)", "(x | a + a:b)"),
        ("(x | a/b)", "(x | a) + (x | a:b)"),
        ("(1 | a/b/c)", "(1 | a) + (1 | a:b) + (1 | a:b:c)"),
        ("(1 | a/(b + c))", "(1 | a + a:b + a:c)"),
        ("(1 | a*b)", "(1 | a + b + a:b)"),
        ("(x || a + b)", "(x || a) + (x || b)"),
        ("(1 | (a + b):c)", "(1 | a:c + b:c)"),
        ("(x - 1 | g)", "(0 + x | g)"),
        ("(x + z | g)", "((x + z) | g)"),
        ("I(x^2)", "{x**2}"),
        ("x - -1", "x + 1"),
    ],
)
def test_same_meaning(short, long):
    assert parse(f"y ~ {short}") == parse(f"y ~ {long}")


@given(st.permutations(["x", "z*f", "0", "offset(e)", "(x | g)", "(0 + z || h)"]))
def test_order_of_unlike_parts_does_not_matter(parts):
    first = parse("y ~ z*f + x + 0 + offset(e) + (x | g) + (0 + z || h)")
    other = parse("y ~ " + " + ".join(parts))
    assert set(other.common.split(" + ")) == set(first.common.split(" + "))
    assert set(other.groups) == set(first.groups)
    assert other.offsets == first.offsets


# -- formulae, another reader of this language -----------------------------------------------------------------

ALGEBRA = st.recursive(
    st.sampled_from(["x", "z", "f", "g", "log(x)", "I(x**2)", "`a b`"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("*:/"), inner).map("".join),
        st.tuples(inner, st.sampled_from("+*:/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, inner, st.integers(1, 4)).map(lambda t: f"({t[0]} + {t[1]})**{t[2]}"),
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=300)
@given(st.lists(ALGEBRA, min_size=1, max_size=3), st.lists(ALGEBRA, max_size=1))
@example(["x*z"], ["z:x"])
@example(["z:x", "x*z"], [])
@example(["(x*z)**2"], [])
@example(["(x + z)/(f*g)"], [])
@example(["(x + I(x**2))*(z + f)"], [])
@example(["x/z/f"], ["x:z"])
def test_formulae_has_just_our_terms(added, removed):
    from formulae import model_description

    from hierbayes.formula.syntax import label_of, read_expression, summands
    from hierbayes.formula.terms import Terms
    from hierbayes.formula.tokens import ReadError

    terms = Terms()
    try:
        for sign, item in summands(read_expression(" - ".join([" + ".join(added), *removed]))):
            terms.put(sign, item)
    except ReadError as error:
        assume("only that term" not in error.message)
        assume("no term" not in error.message)
        raise
    theirs = [term.name for term in model_description(terms.text).common_terms]
    ours = [":".join(map(label_of, term)) for term in terms.present.values()]
    assert sorted(theirs) == sorted(["Intercept", *ours])


def test_import_is_cheap():
    code = (
        "import sys, hierbayes.formula as f; f.parse('y ~ log(x) + bs(x, df=4) + (1|g)'); print(*sys.modules)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"formulae", "pandas", "scipy", "pymc"} & set(loaded)


def test_a_formula_of_another_process_is_equal_and_found():
    """Python's hashes of texts differ from process to process."""
    code = "import pickle, sys; from hierbayes.formula.syntax import read_expression; "
    code += "sys.stdout.buffer.write(pickle.dumps(read_expression('log(x) + z * 2')))"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    node = pickle.loads(made)
    assert node in {read_expression("log(x) + z * 2")}
