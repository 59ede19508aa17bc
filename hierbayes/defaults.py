"""Priors against a layout: addresses, the user's choices, and weakly informative defaults as numbers.

The defaults are those of `docs/priors.md`: for the identity link the intercept at the predictors' means is
Normal(mean y, 2.5 sd y), a coefficient Normal(0, 2.5 sd y / sd x), a group-level standard deviation
Exponential(sd x / sd y), that of a smooth likewise, sd x being the size of a curve whose standard deviation is 1, and
sigma Exponential(1 / sd y); links to a scale of their own (log, logit, …) count sd y
as 1. The mean of an offset is taken off the intercept's location. sd x is that of a column's residual on its margins
(`data.margins`), which the default is about: shifting or rescaling a predictor changes nothing but the units.

A prior that the user states is literal, about the quantity that summaries show; an intercept's is at the predictors'
means unless `center` is False. A bare name is a default in another shape, and stands where the default does.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hierbayes.data.curves import SCALES
from hierbayes.data.design import MEAN, Layout, PredictorLayout, is_main, prefix_of
from hierbayes.data.encoding import INTERCEPT
from hierbayes.data.latent import LatentBlock, blocks_of
from hierbayes.distributions import HALVES, MIDDLES
from hierbayes.errors import PriorError
from hierbayes.families import Family, Parameter
from hierbayes.priors import Prior, PriorSet, normalise_address
from hierbayes.schema import CORME, MEANME, SDME, SIGMA, SIMPLEX, ResolvedPrior, location_and_scale
from hierbayes.structures import BOUNDED
from hierbayes.ties import Tie, tie_of, ties_within

WIDTH = 2.5
LOADING = "loading"


@dataclass(frozen=True)
class Target:
    """One quantity that wants a prior.

    Attributes
    ----------
    kind, coefficient, group, parameter : str
        As in `ResolvedPrior`.
    addresses : tuple of str
        What a user may call it, the most specific first.
    location, scale : float
        Where a prior that names no numbers is put, and how wide; NaN where only a response could tell.
    default : Prior or None
        None where it would need a response that isn't there.
    support : str
        ``"real"``, ``"positive"``, ``"correlation"``, ``"simplex"``, ``"bounded"`` or ``"loading"``.
    dimension : int
        Of correlations: how many effects the largest matrix has. Of a simplex: how many shares.
    limits : tuple of float
        Of what is bounded: what it lies between.
    """

    kind: str
    coefficient: str
    group: str
    parameter: str
    addresses: tuple[str, ...]
    location: float
    scale: float
    default: Prior | None
    support: str
    dimension: int = 0
    limits: tuple[float, float] = (-np.inf, np.inf)


def resolve_priors(
    layout: Layout,
    family: Family,
    links: Mapping[str, str],
    user: PriorSet,
    center: bool = True,
    before: Sequence[ResolvedPrior] = (),
) -> tuple[ResolvedPrior, ...]:
    """Every prior of a model: the user's most specific entry, else the default.

    Parameters
    ----------
    layout : Layout
    family : Family
    links : mapping of str to str
        Of each parameter.
    user : PriorSet
    center : bool
        Whether stated priors of intercepts are about the predictors' means.
    before : sequence of ResolvedPrior
        Those that the same model had, which stand in for defaults that there aren't.

    Raises
    ------
    PriorError
        For an address that matches nothing in this model (the message lists what there is), a distribution
        whose support does not suit the quantity, or, without a response, a prior whose default needs its scale.
    """
    targets = tuple(_targets(layout, family, links))
    if before:
        pairs = zip(targets, before, strict=True)
        targets = tuple(replace(one, default=one.default or old.prior) for one, old in pairs)
    _check_addresses(targets, user)
    _check_complete(targets, user, [own.name for own in family.parameters if own.unscaled])
    stated = family.origin != "" and user.get(family.origin) is not None
    resolved = tuple(_resolve(target, user, center, stated and not center) for target in targets)
    return _with_joint(layout, family, resolved)


def _with_joint(
    layout: Layout, family: Family, resolved: tuple[ResolvedPrior, ...]
) -> tuple[ResolvedPrior, ...]:
    """The priors, the joint ones of each formula as the one that all its classes have: see `_settled_joint`."""
    classes: dict[str, dict[str, Prior]] = {}
    for own in resolved:
        if own.prior.joint:
            classes.setdefault(own.parameter, {})[own.kind] = own.prior
    settled = {
        parameter: _settled_joint(layout, family, parameter, _main(parameter, stated))
        for parameter, stated in classes.items()
    }
    return tuple(replace(own, prior=settled[own.parameter]) if own.prior.joint else own for own in resolved)


def _main(parameter: str, stated: Mapping[str, Prior]) -> Prior:
    """The joint prior whose arguments hold for all classes of a formula: the only one, or the one that says so."""
    names = [f"{prefix_of(parameter, '.')}{kind}" for kind in stated]
    if len({prior.name for prior in stated.values()}) > 1:
        kinds = ", ".join(f"{name}: {prior.name}" for name, prior in zip(names, stated.values(), strict=True))
        raise PriorError(f"the joint priors of one formula must be one and the same, not {kinds}")
    main = [prior for prior in stated.values() if len(stated) == 1 or dict(prior.args).get("main")]
    if len(main) != 1:
        name = next(iter(stated.values())).name
        raise PriorError(
            f"{' and '.join(names)} share one joint prior, {name}, and {len(main) or 'none'} of them has main=True; "
            f"give the arguments to one class, with main=True, and {name} alone to the others: "
            f'{{"{names[0]}": "{name}(…, main=True)", "{names[1]}": "{name}"}}'
        )
    return main[0]


def _settled_joint(layout: Layout, family: Family, parameter: str, prior: Prior) -> Prior:
    """A joint prior with what depends on the model as a number.

    That is whether it follows the residuals' standard deviation, which there must be one of, and the global scale
    that ``par_ratio`` stands for (Piironen & Vehtari 2017, equation 3.12).
    """
    arguments = dict(prior.args)
    arguments.pop("main", None)
    plain = [own.name for own in family.own if own.name not in layout.predictors]
    arguments["autoscale"] = float(bool(arguments["autoscale"]) and is_main(parameter) and SIGMA in plain)
    ratio = arguments.pop("par_ratio", None)
    if ratio is not None:
        if layout.rows is None:
            raise PriorError(
                f"{prior.name}: par_ratio is for a known number of rows, and they are read in parts; give scale_global"
            )
        arguments["scale_global"] = ratio / layout.rows**0.5
    return Prior(prior.name, **arguments)


def resolve_targets(targets: Sequence[Target], user: PriorSet) -> tuple[ResolvedPrior, ...]:
    """The user's most specific entry for each target, else its default; entries for others are not looked at."""
    return tuple(_resolve(target, user, True, False) for target in targets)


def _resolve(target: Target, user: PriorSet, center: bool, thresholds_at_zero: bool) -> ResolvedPrior:
    for address in target.addresses:
        prior = user.get(address)
        if prior is not None:
            if target.support == LOADING:
                prior = _loading_prior(prior, target, address)
            elif target.support == BOUNDED:
                prior = _bounded_prior(prior, target, address)
            else:
                if target.support == "unit":
                    prior = _normal_within(prior, 0.0, 1.0) or prior
                _check_support(prior, target, address)
            settled = prior.resolve(target.location, target.scale) if prior.bare else prior
            literal = not prior.bare and not (center and target.kind == INTERCEPT)
            return _resolved(target, settled, user.origin_of(address), literal)
    assert target.default is not None, "checked before"
    # a known value, such as a discrimination of 1, is that where the predictors are 0; thresholds are those at their
    # means, as an intercept is
    known = target.kind == INTERCEPT and target.default.fixed is not None
    literal = known and (bool(target.addresses) or thresholds_at_zero)
    return _resolved(target, target.default, "default", literal)


def _entry(target: Target, user: PriorSet) -> Prior | None:
    found = (user.get(address) for address in target.addresses)
    return next((prior for prior in found if prior is not None), None)


def _check_complete(targets: tuple[Target, ...], user: PriorSet, unscaled: Sequence[str]) -> None:
    """Refuse what a default, or a bare name, could only take from a scale: the response's, or one that there isn't."""
    missing: list[Target] = []
    for target in targets:
        prior = _entry(target, user)
        scaled = np.isfinite(target.scale) and np.isfinite(target.location)
        if (prior is None and target.default is None) or (prior is not None and prior.bare and not scaled):
            missing.append(target)
    of_scale = [target for target in missing if target.parameter in unscaled]
    if of_scale:
        example = {"Intercept": "Normal(0, 1)", "b": "Normal(0, 1)"}
        shown = ", ".join(
            f'"{target.addresses[-1]}": "{example.get(target.kind, "Exponential(1)")}"'
            for target in {target.addresses[-1]: target for target in of_scale}.values()
        )
        raise PriorError(
            "no default prior knows how large the parameters of nl() are, so these priors must be given with their "
            f"numbers: {', '.join(target.addresses[0] for target in of_scale)}. Say what is plausible in the units of "
            f"each, in the manner of priors={{{shown}}}"
        )
    if missing:
        raise PriorError(
            "there is no response to take a scale from, so these priors must be given with their numbers: "
            f"{', '.join(target.addresses[0] for target in missing)}"
        )


def _resolved(target: Target, prior: Prior, origin: str, literal: bool = False) -> ResolvedPrior:
    return ResolvedPrior(
        target.kind, target.coefficient, target.group, target.parameter, prior, origin, literal
    )


def _check_support(prior: Prior, target: Target, address: str) -> None:
    if prior.fixed is not None and target.support == "correlation":
        lowest = -1 / (target.dimension - 1)
        if not lowest < prior.fixed < 1:
            raise PriorError(
                f"{address}: {target.dimension} effects cannot all have the correlation {prior.fixed:g}; "
                f"it must lie between {lowest:.3g} and 1"
            )
        return
    if prior.support == target.support == "simplex" and len(prior.args) not in (0, 1, target.dimension):
        raise PriorError(
            f"{address} is of {target.dimension} steps and cannot have the prior {prior}; give one number for all or "
            f"{target.dimension}, one for each"
        )
    if prior.joint:
        if target.kind in ("b", "sd", *SCALES) and address == target.addresses[-1]:
            return
        own = f"{prefix_of(target.parameter, '.')}{target.kind if target.kind in ('sd', *SCALES) else 'b'}"
        raise PriorError(
            f"{address} cannot have the prior {prior.name}, which is a joint one of all coefficients of a formula, or "
            f"of all its standard deviations; give it to {own!r}, and to single ones that are to stay out of it, as "
            f"{own}[{'x' if own.endswith('b') else 'g'}], a prior of their own"
        )
    allowed = {
        "real": ("real", "positive", "unit"),
        "positive": ("positive", "unit"),
        "unit": ("unit",),
        "ordered": () if prior.fixed is not None else ("real",),
        "correlation": ("correlation",),
        "simplex": ("simplex",),
    }
    if prior.support in allowed[target.support]:
        return
    ways = {
        "real": "use a distribution of real numbers, such as Normal or StudentT",
        "positive": f"use a positive one, such as {_half(prior) or 'Exponential, HalfNormal, HalfStudentT or Gamma'}, "
        "or a Fixed above 0",
        "unit": "use one on (0, 1), such as Beta(alpha, beta) or Uniform(0, 1), Normal(mu, sigma), of which what lies "
        "between them is taken, or a Fixed between 0 and 1",
        "ordered": "use one of real numbers, such as Normal or StudentT, for all of them alike",
        "correlation": "use LKJ(eta) or Fixed(value)",
        "simplex": "use Dirichlet(1), with one number for all steps or one for each",
    }
    raise PriorError(
        f"{address} cannot have the prior {prior}, whose support is {prior.support}; {ways[target.support]}"
    )


def _loading_prior(prior: Prior, target: Target, address: str) -> Prior:
    """The prior of a loading: any sign is as likely, and of one on the diagonal it is the half above 0."""
    diagonal, arguments = target.limits[0] == 0, dict(prior.args)
    middle = arguments.pop(MIDDLES[prior.name], 0.0) if prior.name in MIDDLES else 0.0
    allowed = ("Normal, StudentT or Cauchy about 0", "Fixed(0)")
    if diagonal:
        allowed = ("HalfNormal, HalfStudentT or HalfCauchy, or the whole of one about 0", "a Fixed above 0")
        if prior.name in MIDDLES and middle == 0:
            whole = prior.resolve(0.0, target.scale) if prior.bare else prior
            return Prior(f"Half{whole.name}", **{k: v for k, v in whole.args if k != MIDDLES[whole.name]})
        if prior.name in HALVES or (prior.fixed is not None and prior.fixed > 0):
            return prior
    elif (prior.name in MIDDLES and middle == 0) or prior.fixed == 0:
        return prior
    raise PriorError(
        f"{address} cannot be {prior}: the sign of a column of loadings is a convention, {target.addresses[0]} "
        f"{'being positive' if diagonal else 'having either'}; use {' or '.join(allowed)}"
    )


def _bounded_prior(prior: Prior, target: Target, address: str) -> Prior:
    """Of a number between two limits: uniform between them or within, a Beta on (0, 1), a Normal's part, or known."""
    low, high = target.limits
    arguments = dict(prior.args)
    if prior.name == "Uniform" and low <= arguments["lower"] and arguments["upper"] <= high:
        return prior
    if prior.fixed is not None and low < prior.fixed < high:
        return prior
    if prior.name == "Beta" and high == 1.0:
        return prior
    within = _normal_within(prior, low, high)
    if within is not None:
        return within
    raise PriorError(
        f"{address} lies between {low:.3g} and {high:.3g} and cannot have the prior {prior}; use a Uniform within "
        "those, Beta(alpha, beta), Normal(mu, sigma), of which what lies between them is taken, or a Fixed value"
    )


def _normal_within(prior: Prior, low: float, high: float) -> Prior | None:
    """What of a Normal lies between two limits. None: nothing of it does, or it is no Normal with its numbers."""
    if prior.name not in ("Normal", "TruncatedNormal") or prior.bare:
        return None
    return prior.between(low, high)


def _half(prior: Prior) -> str | None:
    """The half of a distribution about 0, which brms means by the whole one."""
    if prior.bare:
        return f"Half{prior.name}" if prior.name in ("Normal", "StudentT", "Cauchy") else None
    given = dict(prior.args)
    if prior.name not in ("Normal", "StudentT", "Cauchy") or given.pop("mu", given.pop("alpha", 0.0)) != 0:
        return None
    return f"Half{prior.name}({', '.join(f'{name}={value:g}' for name, value in given.items())})"


def _check_addresses(targets: tuple[Target, ...], user: PriorSet) -> None:
    known = _addresses(targets)
    normal = {normalise_address(address) for address in known} | user.elsewhere
    for address, _ in user.entries:
        if address in normal:
            continue
        whole = [
            full for full in known if full.endswith((f"[{address}]", f", {address}]"))
        ]  # brms and Bambi: a coefficient's bare name
        near = whole or difflib.get_close_matches(address, known, n=3, cutoff=0.6)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise PriorError(
            f"the prior {address!r} matches nothing in this model{hint} There are: {', '.join(known)}"
        )


def _addresses(targets: Iterable[Target]) -> list[str]:
    return list(dict.fromkeys(address for target in targets for address in reversed(target.addresses)))


def addresses_of(layout: Layout, family: Family, links: Mapping[str, str]) -> list[str]:
    """What the priors of a model may be called, classes before what is of one quantity alone."""
    return _addresses(_targets(layout, family, links))


def _targets(layout: Layout, family: Family, links: Mapping[str, str]) -> Iterator[Target]:
    ties = ties_within(layout.predictors)
    for parameter, predictor in layout.predictors.items():
        own = family.parameter(parameter)
        location, scale = location_and_scale(layout, family, links, parameter)
        if own.unscaled:
            location, scale = np.nan, np.nan
        yield from _predictor_targets(own, predictor, location, scale, ties)
    for block in blocks_of(layout.latents):
        yield from _latent_targets(block)
    yield from map(tie_target, ties)
    for own in family.own:
        if own.name not in layout.predictors:
            yield _own_target(own, layout.response.measure(own.of))


def _own_target(own: Parameter, spread: float) -> Target:
    name = own.name
    assert own.prior is not None, "a parameter that needs no formula has a default prior"
    scale = WIDTH if own.kind.vector else float(own.typical(spread))
    default = own.prior(spread) if np.isfinite(scale) else None
    limits = own.kind.domains.get("identity", (-np.inf, np.inf))
    support, size = own.kind.support, own.size
    return Target(name, "", "", name, (name,), 0.0, scale, default, support, size, limits)


def _normal(location: float, width: float) -> Prior | None:
    known = np.isfinite(location) and np.isfinite(width)
    return Prior("Normal", mu=location, sigma=width) if known else None


def _predictor_targets(
    own: Parameter, predictor: PredictorLayout, location: float, scale: float, ties: Sequence[Tie]
) -> Iterator[Target]:
    parameter = own.name
    prefix = prefix_of(parameter, ".")
    location -= predictor.offset_mean
    widths = _coefficient_widths(predictor, location, scale)
    addresses: tuple[str, ...]
    default: Prior | None
    for place, (label, width) in enumerate(zip(predictor.coefficients, widths, strict=True)):
        if place == predictor.intercept:
            addresses = () if own.moves is not None else (f"{prefix}{label}",)
            default = own.intercept or _normal(location, WIDTH * scale)
            yield Target(INTERCEPT, "", "", parameter, addresses, location, WIDTH * scale, default, "real")
        else:
            addresses = (f"{prefix}b[{label}]", f"{prefix}b")
            yield Target("b", label, "", parameter, addresses, 0.0, width, _normal(0.0, width), "real")
    for factor in predictor.factors:
        for (effect, (place, *_)), effect_scale in zip(factor.scales, factor.scale_sizes, strict=True):
            if factor.is_loaded(place):
                continue
            addresses = (f"{prefix}sd[{factor.name}, {effect}]", f"{prefix}sd[{factor.name}]", f"{prefix}sd")
            size = scale / effect_scale
            default = Prior("Exponential", lam=1 / size) if np.isfinite(size) else None
            yield Target("sd", effect, factor.name, parameter, addresses, 0.0, size, default, "positive")
        for (block, shape), label in zip(factor.shapes, factor.shape_labels, strict=True):
            name = f"{prefix}{shape.name}"
            several = (f"{name}[{factor.name}, {label}]",) if label else ()
            addresses = (*several, f"{name}[{factor.name}]", name)
            q = len(block.effects)
            (distribution, arguments), limits = (
                shape.prior(q, block.positions),
                (shape.lower(q), shape.upper(q)),
            )
            default, size, support = Prior(distribution, **arguments), 1.0, shape.kind
            if shape.place:
                effect_scale = factor.scale_sizes[factor.scale_of[block.effects[shape.place[0]]]]
                size, support = arguments["sigma"] * scale / effect_scale, LOADING
                default = Prior(distribution, **arguments | {"sigma": size}) if np.isfinite(size) else None
            yield Target(
                shape.name,
                label,
                factor.name,
                parameter,
                addresses,
                0.0,
                size,
                default,
                support,
                limits=limits,
            )
        own_blocks = [
            block
            for block in factor.structures
            if block.matrix and not tie_of(ties, "", parameter, factor, block)
        ]
        if own_blocks:
            addresses = (f"{prefix}cor[{factor.name}]", f"{prefix}cor")
            default = Prior("LKJ", eta=1.0)
            largest = max(len(block.effects) for block in own_blocks)
            yield Target(
                "cor", "", factor.name, parameter, addresses, 0.0, 1.0, default, "correlation", largest
            )
    for curve in predictor.curves:
        addresses = (f"{prefix}{curve.scale}[{curve.label}]", f"{prefix}{curve.scale}")
        size = scale / curve.size
        default = Prior("Exponential", lam=1 / size) if np.isfinite(size) else None
        yield Target(curve.scale, curve.label, "", parameter, addresses, 0.0, size, default, "positive")
        for shape in curve.shapes:
            addresses = (f"{prefix}{shape.name}[{curve.label}]", f"{prefix}{shape.name}")
            distribution, arguments = shape.prior(curve.width, np.empty(0))
            default, typical = Prior(distribution, **arguments), shape.typical(np.empty(0))
            yield Target(shape.name, curve.label, "", parameter, addresses, 0.0, typical, default, "positive")
    for simplex in predictor.simplexes:
        named = [label for label in (simplex.label, simplex.product) if label]
        addresses = (*(f"{prefix}{SIMPLEX}[{label}]" for label in named), f"{prefix}{SIMPLEX}")
        default, size = Prior("Dirichlet", a=1.0), len(simplex.steps)
        yield Target(SIMPLEX, simplex.label, "", parameter, addresses, 0.0, 1.0, default, "simplex", size)


def _latent_targets(block: LatentBlock) -> Iterator[Target]:
    """The population of predictors whose values are drawn: where the measurements are, and as wide as they or less."""
    for latent in block.latents:
        column, location, scale = latent.column, float(latent.values.mean()), float(latent.values.std())
        default, addresses = _normal(location, WIDTH * scale), (f"{MEANME}[{column}]", MEANME)
        yield Target(MEANME, column, "", MEAN, addresses, location, WIDTH * scale, default, "real")
        addresses = f"{SDME}[{column}]", SDME
        yield Target(
            SDME, column, "", MEAN, addresses, 0.0, scale, Prior("Exponential", lam=1 / scale), "positive"
        )
    if len(block.latents) > 1:
        named = (f"{CORME}[{block.group}]", CORME) if block.group else (CORME,)
        yield correlation_target(CORME, "", block.group, MEAN, named, len(block.latents))


def tie_target(tie: Tie) -> Target:
    """The correlations of effects of several formulas."""
    addresses = (f"cor[{tie.group}, {tie.identifier}]", f"cor[{tie.group}]", "cor")
    parameter = tie.members[0].parameter
    return correlation_target("cor", tie.identifier, tie.group, parameter, addresses, len(tie.effects))


def correlation_target(
    kind: str, coefficient: str, group: str, parameter: str, addresses: tuple[str, ...], size: int
) -> Target:
    """The correlations of so many: uniform unless a user says otherwise."""
    default = Prior("LKJ", eta=1.0)
    return Target(kind, coefficient, group, parameter, addresses, 0.0, 1.0, default, "correlation", size)


def _coefficient_widths(predictor: PredictorLayout, location: float, scale: float) -> list[float]:
    """2.5 sd y / sd x; columns without a constant among their margins carry the level too: root mean squares there."""
    columns = predictor.columns
    level = float(np.hypot(location, scale)) / columns.magnitudes
    return (WIDTH * np.where(columns.about_means, scale / columns.scales, level)).tolist()
