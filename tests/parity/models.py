"""The models of `lme4_reference.json` as hierbayes writes them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reference:
    """One model: its formula, data set and family, and what may differ from lme4 by more than the usual."""

    formula: str
    dataset: str
    family: str = "gaussian"
    renamed: dict[str, str] = field(default_factory=dict)


MODELS = {
    "sleepstudy_slopes": Reference("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
    "sleepstudy_intercepts": Reference("Reaction ~ Days + (1 | Subject)", "sleepstudy"),
    "sleepstudy_uncorrelated": Reference("Reaction ~ Days + (Days || Subject)", "sleepstudy"),
    "pastes_nested": Reference("strength ~ 1 + (1 | batch/cask)", "pastes"),
    "oats_splitplot": Reference("yield ~ nitro + Variety + (1 | Block/Variety)", "oats"),
    "radon_slopes": Reference("log_radon ~ floor + log_uranium + (floor | county)", "radon"),
    "radon_intercepts": Reference("log_radon ~ floor + log_uranium + (1 | county)", "radon"),
    "hsb82_slopes": Reference("mAch ~ meanses*cses + sector*cses + (cses | school)", "hsb82"),
    "cbpp": Reference("incidence | trials(size) ~ period + (1 | herd)", "cbpp", "binomial"),
    "contraception": Reference(
        "use ~ age + I(age**2) + urban + livch + (1 | district)", "contraception", "bernoulli"
    ),
    "epilepsy_olre": Reference("count ~ zAge + zBase*Trt + (1 | patient) + (1 | obs)", "epilepsy", "poisson"),
    "arabidopsis": Reference(
        "total.fruits ~ nutrient*amd + rack + status + (1 | popu) + (1 | gen)", "arabidopsis", "poisson"
    ),
}
