"""Models that brms was fitted to under the same priors (`make_brms.R`): data, formulas, priors, names of quantities.

Each is (file in `brms/`, formulas, what else `Model` is given, brms's names → those of `Fit.summary`, or a function of
the posterior where the two state another number).
"""

from typing import Any

BASE = {"Intercept": "normal(0, 3)", "b": "normal(0, 1)", "sd": "exponential(1)", "sigma": "exponential(1)"}
JAWS = {"Intercept": "normal(24, 5)", "b": "normal(0, 2)", "sigma": "exponential(1)"}
OF_JAWS = {
    "b_Intercept": "Intercept",
    "b_agec": "agec",
    "b_sexmale": "sex[male]",
    "b_agec:sexmale": "agec:sex[male]",
}
OF_JAWS |= {"sigma": "sigma"}
AREAS = {"Intercept": "normal(0, 1)", "b": "normal(0, 1)", "sd": "exponential(2)", "rho": "beta(1, 1)"}
X = {"b_Intercept": "Intercept", "b_x": "x"}
X_BY_G = X | {"sd_g__Intercept": "sd[g, Intercept]"}
SMOOTHS = {
    "Intercept": "normal(0, 3)",
    "b": "normal(0, 2)",
    "sds": "exponential(1)",
    "sigma": "exponential(1)",
}
HURDLE = {
    "Intercept": "normal(1, 1)",
    "b": "normal(0, 1)",
    "hu.Intercept": "normal(0, 1)",
    "hu.b": "normal(0, 1)",
}
OF_HURDLE = {"b_Intercept": "Intercept", "b_e": "e", "b_x": "x"}
OF_HURDLE |= {"b_hu_Intercept": "hu.Intercept", "b_hu_k": "hu.k", "b_hu_e": "hu.e"}
EIGHT = [f"x{i}" for i in range(1, 9)]
COUNTS = {"Intercept": "normal(0, 2)", "b": "normal(0, 1)", "sd": "exponential(1)"}
IN_BOATS = {
    "Intercept": "normal(0, 2.5)",
    "b": "normal(0, 2.5)",
    "sd": "exponential(1)",
    "sigma": "exponential(1)",
}


def innovation(posterior: Any) -> Any:
    """What brms calls sigma beside ar(): the standard deviation of what is new at each time."""
    return posterior["sigma"] * (1 - posterior["ar"] ** 2) ** 0.5


def level(variable: str, *labels: str) -> Any:
    """A function of the posterior: one element of a variable, by its labels."""

    def value(posterior: Any) -> Any:
        found = posterior[variable]
        dims = [dim for dim in found.dims if dim not in ("chain", "draw")]
        return found.sel(dict(zip(dims, labels, strict=True)))

    return value


MODELS: dict[str, tuple[str, Any, dict[str, Any], dict[str, Any]]] = {
    "gr_by": (
        "orthodont",
        "distance ~ agec * sex + (agec | gr(child, by=sex))",
        {"priors": JAWS | {"sd": "exponential(0.5)", "cor": "lkj(2)"}},
        OF_JAWS
        | {
            f"sd_child__{effect}:sex{sex}": f"sd[child, {effect}:sex{sex}]"
            for effect in ("Intercept", "agec")
            for sex in ("female", "male")
        },
    ),
    "cosy": (
        "orthodont",
        "distance ~ agec * sex + cosy(gr=child)",
        {"priors": JAWS | {"cosy": "Uniform(0, 1)"}},
        OF_JAWS | {"cosy": "cosy"},
    ),
    "ovary_ar": (
        "ovary",
        "follicles ~ s + c + ar(time=idx, gr=Mare)",
        {
            "priors": {
                "Intercept": "normal(12, 10)",
                "b": "normal(0, 5)",
                "ar": "normal(0, 0.5)",
                "sigma": "exponential(0.2)",
            }
        },
        {"b_Intercept": "Intercept", "b_s": "s", "b_c": "c", "ar[1]": "ar", "sigma": innovation},
    ),
    "bym2": (
        "sids",
        "deaths ~ x + offset(logb) + (1 | gr(county, car=W, type='bym2'))",
        {"family": "poisson", "priors": AREAS, "data2": {"W": "sids_W"}},
        X | {"sdcar": "sd[county, Intercept]", "rhocar": "rho[county]"},
    ),
    "id_sigma": (
        "sleep",
        {"mu": "y ~ Dc + (Dc |p| Subject)", "sigma": "~ 1 + (1 |p| Subject)"},
        {
            "priors": {
                "Intercept": "normal(3, 1)",
                "b": "normal(0, 0.2)",
                "sd": "exponential(2)",
                "cor": "lkj(2)",
                "sigma.Intercept": "normal(-1, 1)",
                "sigma.sd": "exponential(1)",
            }
        },
        {
            "b_Intercept": "Intercept",
            "b_Dc": "Dc",
            "b_sigma_Intercept": "sigma.Intercept",
            "sd_Subject__Intercept": "sd[Subject, Intercept]",
            "sd_Subject__Dc": "sd[Subject, Dc]",
            "sd_Subject__sigma_Intercept": "sigma.sd[Subject, Intercept]",
            "cor_Subject__Intercept__Dc": "cor[Subject, Intercept, Dc]",
            "cor_Subject__Intercept__sigma_Intercept": "cor[Subject, Intercept, sigma_Intercept]",
            "cor_Subject__Dc__sigma_Intercept": "cor[Subject, Dc, sigma_Intercept]",
        },
    ),
    "gr_student": (
        "sleep",
        "y ~ Dc + (Dc | gr(Subject, dist='student'))",
        {
            "priors": {
                "Intercept": "normal(3, 1)",
                "b": "normal(0, 0.2)",
                "sd": "exponential(2)",
                "cor": "lkj(2)",
                "sigma": "exponential(2)",
                "df": "TruncatedGamma(2, 0.1, 1)",  # gamma(2, 0.1) there, where df is above 1
            }
        },
        {
            "b_Intercept": "Intercept",
            "b_Dc": "Dc",
            "sigma": "sigma",
            "sd_Subject__Intercept": "sd[Subject, Intercept]",
            "sd_Subject__Dc": "sd[Subject, Dc]",
            "cor_Subject__Intercept__Dc": "cor[Subject, Intercept, Dc]",
            "df_Subject": "df[Subject]",
            "r_Subject[308,Dc]": level("r_Subject", "308", "Dc"),
        },
    ),
    "mmc": (
        "members",
        "y ~ x1 + (1 + mmc(x1, x2) | mm(g1, g2))",
        {"priors": BASE | {"cor": "lkj(1)"}},
        {
            "b_Intercept": "Intercept",
            "b_x1": "x1",
            "sigma": "sigma",
            "sd_mmg1g2__Intercept": "sd[mm(g1, g2), Intercept]",
            "sd_mmg1g2__mmcx1x2": "sd[mm(g1, g2), mmc(x1, x2)]",
        },
    ),
    "mm_mm": (
        "mm",
        "y ~ x + (1 | mm(s1, s2))",
        {"priors": IN_BOATS},
        X
        | {
            "sigma": "sigma",
            "sd_mms1s2__Intercept": "sd[mm(s1, s2), Intercept]",
            "r_mms1s2[s1,Intercept]": level("r_mm(s1, s2)", "s1", "Intercept"),
        },
    ),
    "two_gauss": (
        "bdf",
        ["l ~ q + (1 |p| school)", "a ~ q + (1 |p| school)"],
        {
            "rescor": True,
            "priors": BASE | {"Intercept": "normal(0, 1)", "cor": "lkj(2)", "rescor": "lkj(1)"},
        },
        {
            **{f"b_{y}_{x}": f"{y}.{x}" for y in "la" for x in ("Intercept", "q")},
            **{f"sigma_{y}": f"{y}.sigma" for y in "la"},
            **{f"sd_school__{y}_Intercept": f"{y}.sd[school, Intercept]" for y in "la"},
            "cor_school__l_Intercept__a_Intercept": "cor[school, l_Intercept, a_Intercept]",
            "rescor__l__a": "rescor[l, a]",
        },
    ),
    "s_by": (
        "chile",
        "statusquo ~ sex + s(age, by=sex, k=6)",
        {"priors": SMOOTHS},
        {
            "b_Intercept": "Intercept",
            "b_sexmale": "sex[male]",
            "sigma": "sigma",
            "sds_sagesexfemale_1": "sds[s(age):sex[female]]",
            "sds_sagesexmale_1": "sds[s(age):sex[male]]",
        },
    ),
    "mo_g": (
        "chile",
        "statusquo ~ mo(inc) + (mo(inc) | region)",
        {
            "priors": BASE
            | {"b": "normal(0, 0.5)", "sd": "exponential(2)", "cor": "lkj(2)", "simo": "dirichlet(1)"}
        },
        {
            "b_Intercept": "Intercept",
            "bsp_moinc": "mo(inc)",
            "sigma": "sigma",
            "simo_moinc1[1]": "simo[mo(inc), 0|1]",
            "sd_region__Intercept": "sd[region, Intercept]",
            "sd_region__moinc": "sd[region, mo(inc)]",
            "cor_region__Intercept__moinc": "cor[region, Intercept, mo(inc)]",
        },
    ),
    "me": (
        "errors",
        "y ~ me(xo, sdx) + v + (1 | g)",
        {"priors": BASE | {"meanme": "normal(0, 1)", "sdme": "exponential(1)"}},
        {
            "b_Intercept": "Intercept",
            "b_v": "v",
            "bsp_mexosdx": "me(xo)",
            "sigma": "sigma",
            "meanme_mexo": "meanme[xo]",
            "sdme_mexo": "sdme[xo]",
            "sd_g__Intercept": "sd[g, Intercept]",
        },
    ),
    "mi": (
        "errors",
        ["ym ~ mi(xm) + v", "xm | mi() ~ v"],
        {"priors": {of: prior for of, prior in BASE.items() if of != "sd"}},
        {
            **{f"b_{y}_{x}": f"{y}.{x}" for y in ("ym", "xm") for x in ("Intercept", "v")},
            "bsp_ym_mixm": "ym.mi(xm)",
            "sigma_ym": "ym.sigma",
            "sigma_xm": "xm.sigma",
        },
    ),
    "nl": (
        "loblolly",
        {
            "mu": "h ~ nl(Asym - (Asym - R0) * exp(-exp(lrc) * age10))",
            "Asym": "~ 1 + (1 | seed)",
            "R0": "~ 1",
            "lrc": "~ 1",
        },
        {
            "priors": {
                "Asym.Intercept": "normal(10, 3)",
                "R0.Intercept": "normal(0, 1)",
                "lrc.Intercept": "normal(-1, 1)",
                "Asym.sd": "exponential(2)",
                "sigma": "exponential(5)",
            }
        },
        {
            **{f"b_{parameter}_Intercept": f"{parameter}.Intercept" for parameter in ("Asym", "R0", "lrc")},
            "sigma": "sigma",
            "sd_seed__Asym_Intercept": "Asym.sd[seed, Intercept]",
        },
    ),
    "r2d2": (
        "hs",
        f"y ~ {' + '.join(EIGHT)}",
        {
            "priors": {
                "Intercept": "normal(0, 5)",
                "b": "R2D2(mean_R2=0.4, prec_R2=5, cons_D2=0.7)",
                "sigma": "exponential(1)",
            }
        },
        {"b_Intercept": "Intercept", "sigma": "sigma", "R2D2_R2": lambda posterior: posterior["R2D2_R2"]}
        | {f"b_{x}": x for x in EIGHT},
    ),
    "hurdle_gamma": (
        "mroz",
        {"mu": "w ~ e + x", "hu": "~ k + e", "shape": "~ x"},
        {
            "family": "hurdle_gamma",
            "priors": HURDLE | {"shape.Intercept": "normal(1, 1)", "shape.b": "normal(0, 0.5)"},
        },
        OF_HURDLE | {"b_shape_Intercept": "shape.Intercept", "b_shape_x": "shape.x"},
    ),
    "catch_hurdle_lognormal": (
        "catch",
        "y ~ x + (1 | boat)",
        {"family": "hurdle_lognormal", "priors": IN_BOATS | {"hu": "beta(1, 1)"}},
        X | {"sd_boat__Intercept": "sd[boat, Intercept]", "sigma": "sigma", "hu": "hu"},
    ),
    "zoib": (
        "shares",
        {"mu": "y ~ x + (1 | g)", "zoi": "~ x", "coi": "~ x", "phi": "~ x"},
        {
            "family": "zero_one_inflated_beta",
            "priors": {"Intercept": "normal(0, 1)", "b": "normal(0, 1)", "sd": "exponential(1)"}
            | {f"{p}.{of}": "normal(0, 1)" for p in ("zoi", "coi") for of in ("Intercept", "b")}
            | {"phi.Intercept": "normal(1, 1)", "phi.b": "normal(0, 0.5)"},
        },
        X_BY_G | {f"b_{p}_{x}": f"{p}.{x}" for p in ("zoi", "coi", "phi") for x in ("Intercept", "x")},
    ),
    "weibull_cens": (
        "kidney",
        "t | cens(cens) ~ agec + male + (1 | patient)",
        {"family": "weibull", "priors": COUNTS | {"shape": "gamma(2, 1)"}},
        {
            "b_Intercept": "Intercept",
            "b_agec": "agec",
            "b_male": "male",
            "sd_patient__Intercept": "sd[patient, Intercept]",
            "shape": "shape",
        },
    ),
    "cox": (
        "sim",
        "ty | cens(tc) ~ x + (1 | g)",
        {"family": "cox", "priors": COUNTS | {"sbhaz": "dirichlet(1)"}},
        X_BY_G | {f"sbhaz[{i}]": f"sbhaz[{i}]" for i in range(1, 6)},
    ),
    "rt_shifted": (
        "rt",
        "y ~ x + (1 | id)",
        {
            "family": "shifted_lognormal",
            "priors": {
                "Intercept": "normal(-1, 1)",
                "b": "normal(0, 1)",
                "sd": "exponential(2)",
                "sigma": "exponential(1)",
                "ndt": "uniform(0, 0.4)",
            },
        },
        X | {"sd_id__Intercept": "sd[id, Intercept]", "sigma": "sigma", "ndt": "ndt"},
    ),
    "exgaussian": (
        "sim",
        "ex ~ x + (1 | g)",
        {"family": "exgaussian", "priors": BASE | {"beta": "gamma(2, 2)"}},
        X_BY_G | {"sigma": "sigma", "beta": "beta"},
    ),
    "skew_normal": (
        "sim",
        "ex ~ x + (1 | g)",
        {"family": "skew_normal", "priors": BASE | {"alpha": "normal(0, 4)"}},
        X_BY_G | {"sigma": "sigma", "alpha": "alpha"},
    ),
    "gamma_trunc": (
        "sim_trunc",
        "yt | trunc(lb=0.3) ~ x + (1 | g)",
        {"family": "gamma", "priors": COUNTS | {"shape": "gamma(2, 1)"}},
        X_BY_G | {"shape": "shape"},
    ),
}
