"""Distances between a posterior and lme4's estimates, in posterior standard deviations."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

import hierbayes as hb

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "lme4_reference.json").read_text())


def distances(name: str, fit: hb.Fit) -> dict[str, pd.Series]:
    """For each coefficient, standard deviation and level: (posterior mean − lme4's estimate) / posterior sd."""
    reference = REFERENCE[name]
    return {
        "fixef": _fixef(reference, fit),
        "sd": _standard_deviations(reference, fit),
        "ranef": _levels(reference, fit),
    }


def _key(name: str) -> frozenset[str]:
    """One name for a term, whatever its order: lme4's ``I(age^2)`` and ``VarietyVictory`` as ours."""
    name = "Intercept" if name == "(Intercept)" else name
    plain = re.sub(r"[\[\]\s]", "", name).replace("^", "**")
    return frozenset(plain.split(":"))


def _fixef(reference: dict[str, Any], fit: hb.Fit) -> pd.Series:
    table = fit.fixef().set_index("effect")
    estimates = {_key(name): value for name, value in reference["fixef"].items()}
    return pd.Series({e: (row["mean"] - estimates.pop(_key(e))) / row["sd"] for e, row in table.iterrows()})


def _standard_deviations(reference: dict[str, Any], fit: hb.Fit) -> pd.Series:
    table = fit.varcorr()
    table = table[table["effect2"] == ""].set_index(["group", "effect"])
    found = {}
    for entry in reference["varcorr"]:
        if entry["var2"] is None:
            if entry["grp"] == "Residual":
                row = table.loc[("Residual", "sigma")]
            else:
                group = re.sub(r"\.\d+$", "", entry["grp"])
                row = next(
                    r
                    for (g, e), r in table.iterrows()
                    if _key(g) == _key(group) and _key(e) == _key(entry["var1"])
                )
            found[f"{entry['grp']} {entry['var1']}"] = (row["mean"] - entry["sdcor"]) / row["sd"]
    return pd.Series(found)


def _levels(reference: dict[str, Any], fit: hb.Fit) -> pd.Series:
    table = fit.ranef()
    table["level"] = table["level"].astype(str)
    ours = {
        (_key(group), frozenset(str(level).split(":")), _key(effect)): (mean, sd)
        for group, level, effect, mean, sd in table[["group", "level", "effect", "mean", "sd"]].itertuples(
            index=False
        )
    }
    found = {}
    for group, rows in reference["ranef"].items():
        for row in rows or []:
            for effect, value in row.items():
                if effect in ("level", "_row"):
                    continue
                mean, sd = ours[_key(group), frozenset(row["level"].split(":")), _key(effect)]
                found[f"{group} {row['level']} {effect}"] = (mean - value) / sd
    return pd.Series(found, dtype=float)
