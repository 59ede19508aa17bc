"""A model in words and equations: what it says, before anything is drawn."""

import re
from collections.abc import Iterator, Sequence

import pandas as pd

from hierbayes.data.blocks import Block
from hierbayes.data.curves import LSCALE, Curve
from hierbayes.data.design import MEAN, Design, PredictorLayout, is_main, prefix_of
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.factors import Factor
from hierbayes.data.latent import LatentBlock
from hierbayes.data.monotonic import Monotonic
from hierbayes.data.stated import Stated
from hierbayes.engine.streamed import Streamed
from hierbayes.kinds import NOTHING
from hierbayes.schema import CORME, MEANME, SDME, SIGMA, SIMPLEX, ResolvedPrior
from hierbayes.spec import ModelSpec
from hierbayes.standing import standing

LINK_WORDS = {"identity": "{}", "inverse": "1/{}", "1/mu^2": "1/{}²", "logm1": "log({} − 1)"}
SHOWN_TERMS = 12


def describe_model(spec: ModelSpec, design: Design | Streamed, strategy: str, reason: str) -> str:
    """The text that a model prints: formula, data, equations, priors, strategy ("" where it cannot be fitted)."""
    blocks = [
        "\n".join(_heading(spec, design)),
        "\n".join(["Equations", *(f"  {line}" for line in equations(spec))]),
        "\n".join(
            [
                "Priors (numbers settled)",
                *_prior_lines(spec),
            ]
        ),
        f"fit() will take strategy {strategy!r}: {reason}" if strategy else f"Not for fit(): {reason}",
    ]
    return "\n\n".join(blocks)


def _heading(spec: ModelSpec, design: Design | Streamed) -> Iterator[str]:
    for parameter, formula in spec.formulas.items():
        yield f"{'Formula' if is_main(parameter) else parameter + ' formula'}: {formula}"
    yield f"Family: {spec.family.name}, {link_words(spec)}"
    where = f" in {design.source.words}" if isinstance(design, Streamed) else ""
    missing = spec.layout.response.missing
    where += (
        ""
        if missing is None
        else f", and {len(missing):,} whose {spec.layout.response.name} is missing and drawn"
    )
    yield f"Rows: {len(design):,}{where}"
    for one in spec.layout.imputed:
        yield f"Predictor {one.column}: drawn in {len(one.index):,} rows, as a response of its own formula"
    levels = spec.layout.response.levels
    if levels and spec.family.support.columns:
        yield f"Response: columns {', '.join(map(str, levels))}"
    elif levels and spec.family.has_categories:
        between = " < " if spec.family.support.ordered else ", "
        yield f"Response: {spec.layout.response.name} = {between.join(map(str, levels))}"
    elif levels:
        yield f"Response: 1 stands for {spec.layout.response.name} = {levels[1]!r}, 0 for {levels[0]!r}"
    for parameter, layout in spec.layout.predictors.items():
        for factor in layout.factors:
            where = "" if is_main(parameter) else f" (in {parameter})"
            words = f"{_effect_words(factor)}{f', {factor.law.words}' if factor.law.words else ''}"
            yield f"Group {factor.name}{where}: {len(factor.levels):,} levels, {words}"


def link_words(spec: ModelSpec) -> str:
    """The links in words: the first parameter's, and others that are not their default, where they are in effect."""
    others = [own for own in spec.family.own if own.name in spec.layout.predictors]
    chosen = [f"{own.name} {spec.links[own.name]}" for own in others if spec.links[own.name] != own.link]
    return ", ".join([f"link {spec.shown_link}", *chosen])


def _effect_words(factor: Factor) -> str:
    effects = ", ".join(factor.effects)
    if len(factor.effects) == 1:
        return f"varying {effects}"
    if len(factor.effects) > SHOWN_TERMS:
        effects = f"{', '.join(factor.effects[: SHOWN_TERMS - 1])}, … ({len(factor.effects)} effects)"
    kinds = {block.structure.words for block in factor.structures if len(block.effects) > 1}
    if kinds <= {"uncorrelated"}:
        return f"varying {effects} (uncorrelated)"
    if kinds == {"correlated"}:
        within = "" if len(factor.blocks) == 1 else f" within {_block_words(factor)}"
        return f"varying {effects} (correlated{within})"
    if len(factor.structures) == 1:
        return f"varying {effects} ({factor.structures[0].structure.words})"
    words = " and ".join(
        factor.effects[block.effects[0]]
        if len(block.effects) == 1
        else f"{block.label} ({block.structure.words})"
        for block in factor.structures
    )
    return f"varying {words}"


def _block_words(factor: Factor) -> str:
    return " and ".join("{" + ", ".join(factor.effects[j] for j in block) + "}" for block in factor.blocks)


def equations(spec: ModelSpec) -> list[str]:
    """The model's equations, one a line."""
    lines = [f"{spec.layout.response.name}_i ~ {_indexed(spec)}"]
    known = {parameter.name for parameter in spec.family.known}
    for parameter, layout in spec.layout.predictors.items():
        nonlinear = spec.formulas[parameter].nonlinear if parameter in spec.formulas else None
        if nonlinear is not None:
            link = spec.parameter_link(parameter).name
            left = LINK_WORDS.get(link, link + "({})").format(f"{parameter}_i")
            lines.append(f"{left} = {_by_row(nonlinear.text, nonlinear.parameters)}")
            continue
        if any(isinstance(offset, Stated) and offset.is_predictor for offset in layout.offsets):
            continue
        if parameter in known:
            lines.append(f"{parameter}_i = {layout.offsets[0].text}")
            continue
        if spec.family.parameter(parameter).kind is NOTHING:
            continue
        link = spec.parameter_link(parameter).name
        left = LINK_WORDS.get(link, link + "({})").format(f"{parameter}_i")
        lines.append(f"{left} = {_predictor_words(layout)}")
        prefix = prefix_of(parameter, ".")
        lines += _shrunk_lines(spec, parameter, prefix)
        for factor in layout.factors:
            lines += _factor_lines(parameter, factor)
        for curve in layout.curves:
            name = f"{prefix}{curve.label}"
            lines.append(
                f"curve[{name}] = Σ s_j·column_j, s_j ~ Normal(0, {_column_sd(prefix, curve)}), j = 1, …, {curve.width}"
            )
        for effect in layout.monotonic:
            lines.append(f"{prefix}{effect.label} counts steps of {_step_words(prefix, effect)}")
    return lines + [line for block in spec.latent_blocks for line in _latent_lines(block)]


def _step_words(prefix: str, effect: Monotonic) -> str:
    """The height of a monotonic effect's steps: the product of their shares, where it is one of several."""
    places = ["j"] if len(effect.steps) == 1 else [f"j{i}" for i in range(1, len(effect.steps) + 1)]
    each = list(zip(places, effect.simplexes, map(len, effect.steps), strict=True))
    heights = "·".join(f"{size}·{prefix}{SIMPLEX}[{label}, {j}]" for j, label, size in each)
    return f"{heights}, {', '.join(f'{j} = 1, …, {size}' for j, _, size in each)}"


def _latent_lines(block: LatentBlock) -> list[str]:
    """The distributions of measurements and of what is measured."""
    i = f"[{block.group}]" if block.group else "_i"
    lines = [
        f"{one.column}{i} ~ Normal({one.label}{i}, {one.sd}{i})"
        for one in (latent.term for latent in block.latents)
    ]
    labels = [latent.term.label for latent in block.latents]
    if len(labels) == 1:
        (column,) = block.columns
        return [*lines, f"{labels[0]}{i} ~ Normal({MEANME}[{column}], {SDME}[{column}])"]
    cor = f"{CORME}[{block.group}]" if block.group else CORME
    covariance = f"D R D, D = diag({SDME}), R = {cor}"
    return [*lines, f"({', '.join(labels)}){i} ~ MvNormal({MEANME}, {covariance.replace(', ', '), ', 1)}"]


def _shrunk_lines(spec: ModelSpec, parameter: str, prefix: str) -> list[str]:
    """The distribution of coefficients that have a joint prior, and the standard deviations that it decides."""
    shrunk = spec.shrunk(parameter)
    if not shrunk.size:
        return []
    labels = [spec.layout.predictors[parameter].coefficients[place] for place in shrunk.places]
    scale = "" if shrunk.scale is None else f"{SIGMA}·"
    sd = shrunk.shrinkage.equation.format(prefix=prefix, scale=scale, **shrunk.arguments)
    own = [f"{prefix}{scale.label}" for scale in shrunk.scales]
    lines = [f"{prefix}b[j] ~ Normal(0, s_j), s_j = {sd}, j = {_few(labels)}"] if labels else []
    if own:
        lines.append(f"{_few(own)}: each its own s_j" + ("" if labels else f" = {sd}"))
    return lines


def _few(labels: list[str]) -> str:
    return ", ".join(labels if len(labels) <= SHOWN_TERMS else [*labels[:3], "…", labels[-1]])


def _column_sd(prefix: str, curve: Curve) -> str:
    """The standard deviation of a curve's columns, in words."""
    sd = f"{prefix}{curve.scale}[{curve.label}]"
    return sd if curve.process is None else f"{sd}·√S(ω_j; {prefix}{LSCALE}[{curve.label}])"


def _indexed(spec: ModelSpec) -> str:
    return _by_row(spec.family.equation, (MEAN, "trials", *spec.layout.predictors))


def _by_row(text: str, names: Sequence[str]) -> str:
    """The text with an index behind what differs by row."""
    return re.sub(rf"(?<![A-Za-z_])({'|'.join(map(re.escape, names))})(?![A-Za-z_0-9])", r"\1_i", text)


def _predictor_words(layout: PredictorLayout) -> str:
    terms = [
        f"b[{label}]" if place == layout.intercept else f"b[{label}]·{label}"
        for place, label in enumerate(layout.coefficients)
    ]
    if len(terms) > SHOWN_TERMS:
        terms = [*terms[: SHOWN_TERMS - 1], f"… ({len(terms)} coefficients)"]
    terms += [f"offset({encoding.text.removeprefix('0 + ')})" for encoding in layout.offsets]
    for factor in layout.factors:
        own = _level_words(factor)
        terms += own if factor.members is None else [f"Σ_m w_m·({' + '.join(own)})_m"]
    terms += [f"curve[{curve.label}]" for curve in layout.curves]
    return " + ".join(terms) or "0"


def _level_words(factor: Factor) -> list[str]:
    """What a level's effects add to a row's linear predictor."""
    if len(factor.effects) > SHOWN_TERMS:
        return [f"Σ_j r[{factor.name}, j]·z_j ({len(factor.effects)} effects)"]
    return [
        f"r[{factor.name}]" if place == factor.intercept else f"r[{factor.name}, {effect}]·{effect}"
        for place, effect in enumerate(factor.effects)
    ]


def _factor_lines(parameter: str, factor: Factor) -> list[str]:
    name = prefix_of(parameter, ".") + factor.name
    if factor.relations is not None:
        labels = [f"{name}, {effect}" if len(factor.effects) > 1 else name for effect in factor.effects]
        covariance = factor.relations.kind.equation.format(name=factor.relations.name, rho=f"rho[{name}]")
        return [f"r[{label}] ~ MvNormal(0, sd[{label}]² {covariance})" for label in labels]
    if len(factor.effects) == 1:
        return [f"r[{name}] ~ {factor.law.single.format(sd=f'sd[{name}]', df=f'df[{name}]')}"]
    plain = {"us", "diag"}
    if factor.kinds is None and {block.structure.name for block in factor.structures} <= plain:
        effects = ", ".join(factor.effects)
        if not factor.correlated and factor.law.normal:
            return [f"r[{name}, ({effects})] ~ Normal(0, sd[{name}]), independent"]
        several = factor.law.several.format(
            covariance="D R D" if factor.correlated else "D I D", df=f"df[{name}]"
        )
        correlations = f", R = cor[{name}]" if factor.correlated else ""
        return [f"r[{name}, ({effects})] ~ {several}, D = diag(sd[{name}]){correlations}"]
    lines = [_block_line(name, factor, block) for block in factor.structures]
    together = len(lines) > 1 and factor.kinds is None and not factor.law.normal
    shared = [f"uncorrelated, and all {factor.law.words} together"] if together else []
    return [", ".join([line, *shared]) for line in lines]


def _block_line(name: str, factor: Factor, block: Block) -> str:
    """The distribution of one block's effects."""
    single, law = block.structure.one_sd or len(block.effects) == 1, factor.law
    scale = f"sd[{name}, {block.label if len(block.effects) > 1 else factor.effects[block.effects[0]]}]"
    if len(block.effects) == 1:
        own = law.single.format(sd=scale, df=f"df[{name}]")
        return f"r[{name}, {factor.effects[block.effects[0]]}] ~ {own}"
    names = [factor.effects[place] for place in block.effects]
    left = f"r[{name}, ({', '.join(names if len(names) <= SHOWN_TERMS else [*names[:3], '…', names[-1]])})]"
    if not block.correlated and law.normal:
        return f"{left} ~ Normal(0, {scale if single else f'sd[{name}]'}), independent"
    if block.structure.loadings:
        covariance = block.structure.equation.format(group=name)
        return f"{left} ~ {law.several.format(covariance=covariance, df=f'df[{name}]')}"
    correlations = "R" if block.correlated else "I"
    covariance = f"{scale}² {correlations}" if single else f"D {correlations} D"
    diagonal = "" if single else f", D = diag(sd[{name}])"
    alike = [other for other in factor.structures if other.structure.parameters == block.structure.parameters]
    several = len(alike) > 1 and not block.matrix  # cor[g] has those of all blocks
    correlation = block.structure.equation.format(group=f"{name}, {block.label}" if several else name)
    equals = f", R = {correlation}" if block.correlated else ""
    return f"{left} ~ {law.several.format(covariance=covariance, df=f'df[{name}]')}{diagonal}{equals}"


def prior_name(prior: ResolvedPrior) -> str:
    """A prior's most specific address: ``"sd[Subject, Days]"``.

    Examples
    --------
    >>> from hierbayes.priors import Prior
    >>> prior_name(ResolvedPrior("sd", "Days", "Subject", "mu", Prior("Exponential", 1), "default"))
    'sd[Subject, Days]'
    """
    prefix = "" if prior.parameter == prior.kind else prefix_of(prior.parameter, ".")
    inside = ", ".join(part for part in (prior.group, prior.coefficient) if part)
    return f"{prefix}{prior.kind}[{inside}]" if inside else f"{prefix}{prior.kind}"


def _prior_lines(spec: ModelSpec) -> list[str]:
    told, lines = set[str](), list[tuple[str, ResolvedPrior]]()
    for prior in stated(spec):
        if not prior.prior.joint:
            lines.append((prior_name(prior), prior))
        elif prior.parameter not in told:  # for all of them
            told.add(prior.parameter)
            size, prefix = spec.shrunk(prior.parameter).size, prefix_of(prior.parameter, ".")
            kinds = [
                p.kind for p in stated(spec) if p.prior == prior.prior and p.parameter == prior.parameter
            ]
            classes = " and ".join(f"{prefix}{kind}" for kind in dict.fromkeys(kinds))
            lines.append((f"{classes}, {size} of them", prior))
    names, priors = zip(*lines, strict=True) if lines else ((), ())
    width = max(map(len, names), default=0)
    return [
        f"  {name:<{width}}  ~ {prior.prior}" + _prior_notes(spec, prior)
        for name, prior in zip(names, priors, strict=True)
    ]


def stated(spec: ModelSpec) -> list[ResolvedPrior]:
    """All priors but those of intercepts that thresholds hold, which are no quantities."""
    return [p for p in spec.priors if not (p.kind == INTERCEPT and p.parameter in spec.moving)]


def _prior_notes(spec: ModelSpec, prior: ResolvedPrior) -> str:
    """Where a prior stands, and where it comes from, in parentheses."""
    notes = [standing(spec, prior), "" if prior.origin == "default" else prior.origin]
    words = "; ".join(note for note in notes if note)
    return f"  ({words})" if words else ""


class PriorTable(pd.DataFrame):
    """A data frame that prints all its columns, however narrow the terminal; parts of it are plain data frames."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        return self.to_string()


def prior_table(spec: ModelSpec) -> pd.DataFrame:
    """Every prior of the model: class, coefficient, group, parameter, prior, where it stands, origin."""
    rows = [
        (p.kind, p.coefficient, p.group, p.parameter, str(p.prior), standing(spec, p), p.origin)
        for p in stated(spec)
    ]
    return PriorTable(
        rows, columns=["class", "coefficient", "group", "parameter", "prior", "stands", "origin"]
    )
