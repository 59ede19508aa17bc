"""Variables of PyMC models with priors of ours, data of rows, and names that are free."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hierbayes.data.design import OBS
from hierbayes.distributions import Distribution, equal_correlations
from hierbayes.families import Parameter
from hierbayes.kinds import CORRELATIONS, ORDERED
from hierbayes.priors import Prior
from hierbayes.schema import Variable
from hierbayes.spec import ModelSpec

AT_MEANS = "_at_means"


def row_dimension(spec: ModelSpec) -> str:
    """The dimension of a response's rows."""
    return f"__obs_{spec.response}__" if spec.response else OBS


def add_data(
    pm: Any, spec: ModelSpec, name: str, values: Any, dims: Sequence[str] = (), shape: Any = None
) -> Any:
    """What the rows have of a response: arrays (n, …)."""
    name = unused_name(pm, f"{spec.response}_{name}" if spec.response else name)
    return pm.Data(name, values, dims=(row_dimension(spec), *dims), shape=shape)


def plain_labels(values: np.ndarray) -> list[Any]:
    """Labels as plain Python values, which every sampler takes."""
    return [
        value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value
        for value in values
    ]


def own_parameter(pm: Any, spec: ModelSpec, parameter: Parameter) -> Any:
    """The value of a parameter that has no formula, as a free variable."""
    prior = spec.prior(parameter.name, parameter=parameter.name)
    moved, variable = parameter.name == spec.family.origin and spec.moving, spec.own_variable(parameter)
    name = f"{variable.name}{AT_MEANS if moved else ''}"
    if name in pm.modelcontext(None).named_vars:  # what coefficients' scales follow is there before
        return pm.modelcontext(None)[name]
    if not parameter.kind.vector:
        return free_variable(pm, prior, name)
    if parameter.kind is CORRELATIONS:
        return _pairs(pm, prior, variable, parameter.size)
    if parameter.size:
        return simplex(pm, prior, variable, parameter.size)
    start, dims = np.asarray(spec.typical(parameter), np.float64), variable.dims
    if prior.fixed is not None:
        return pm.Deterministic(name, np.full(start.shape, prior.fixed), dims=dims)
    arguments: dict[str, Any] = {key: np.full(start.shape, value) for key, value in prior.args}
    if parameter.kind is ORDERED:
        arguments["transform"] = pm.distributions.transforms.ordered
    return _drawn(pm, prior, name, arguments, initval=start, dims=dims)


def unused_name(pm: Any, name: str) -> str:
    """That name, or a longer one where a column that the user named so is a dimension already."""
    model, name = pm.modelcontext(None), name.replace("/", "_")  # PyMC allows no "/"
    while name in model.named_vars or name in model.coords:
        name = f"{name}_data"
    return name


def _pairs(pm: Any, prior: Prior, variable: Variable, size: int) -> Any:
    """The correlation of each pair of so many things, (pairs,): see `kinds.CORRELATIONS`."""
    cor = _correlations(pm, prior, variable, size)
    return pm.Deterministic(variable.name, cor[np.triu_indices(size, 1)], dims=variable.dims)


def correlation_root(pm: Any, prior: Prior, variable: Variable, size: int) -> Any:
    """The correlations of so many things: (k, k)."""
    return pm.Deterministic(variable.name, _correlations(pm, prior, variable, size), dims=variable.dims)


def _correlations(pm: Any, prior: Prior, variable: Variable, size: int) -> Any:
    import pytensor.tensor as pt

    if prior.fixed is not None:
        return pt.as_tensor(equal_correlations(prior.fixed, size))
    eta = np.float64(dict(prior.args)["eta"])
    chol = pm.LKJCorr(unused_name(pm, f"{variable.name}_chol"), n=size, eta=eta)
    return pt.dot(chol, chol.T)


def simplex(pm: Any, prior: Prior, variable: Variable, size: int) -> Any:
    """Shares, of a monotonic effect's steps, of a parameter's own or of a joint prior (D,); a single one is all."""
    if size == 1:
        import pytensor.tensor as pt

        return pm.Deterministic(variable.name, pt.as_tensor(np.ones(1)), dims=variable.dims)
    concentration = np.broadcast_to([value for _, value in prior.args], (size,)).astype(np.float64)
    return pm.Dirichlet(variable.name, concentration, dims=variable.dims)


def free_variable(pm: Any, prior: Prior, name: str, dims: Any = None) -> Any:
    """A variable with that prior; a constant of a Fixed one."""
    import pytensor.tensor as pt

    if prior.fixed is not None:
        return pm.Deterministic(name, pt.as_tensor(np.array(prior.fixed)), dims=dims)
    # arrays, because PyTensor keeps a Python number in the smallest type that holds it, single precision included
    arguments = {key: np.array(value) for key, value in prior.args}
    return _drawn(pm, prior, name, arguments, dims=dims)


def _drawn(pm: Any, prior: Prior, name: str, arguments: Mapping[str, Any], **shape: Any) -> Any:
    """PyMC's variable of that distribution, the arguments in place of the prior's own."""
    if not prior.distribution.whole:
        return getattr(pm, prior.name)(name, **arguments, **shape)
    ends = {word: arguments[word] for word in ("lower", "upper") if word in arguments}
    own = {word: value for word, value in arguments.items() if word not in ends}
    if not ends:
        return getattr(pm, prior.distribution.whole)(name, **own, **shape)
    return _between(pm, prior.distribution, name, own, prior.distribution.bounds(**ends), shape)


def _between(
    pm: Any,
    record: Distribution,
    name: str,
    own: Mapping[str, Any],
    bounds: tuple[Any, Any],
    shape: Mapping[str, Any],
) -> Any:
    """A variable of what lies between bounds, which PyMC's ``Truncated`` makes infinite where tails are far out.

    `own` are numbers, so what there is between the bounds is one too, and computed here.
    """
    import pytensor.tensor as pt

    assert record.share is not None, "it lies between bounds"
    arguments = [*own.values(), *bounds]
    share = np.vectorize(record.share)(*arguments)

    def logp(value: Any, *given: Any) -> Any:
        *others, lower, upper, share = given
        whole = getattr(pm, record.whole).dist(**dict(zip(own, others, strict=True)))
        inside = pt.and_(pt.ge(value, lower), pt.le(value, upper))
        return pt.switch(inside, pm.logp(whole, value) - share, -np.inf)

    def random(*given: Any, rng: Any, size: Any) -> Any:
        one = np.vectorize(lambda *one: _draws(record, rng, *one, size=None))
        return one(*(np.broadcast_to(value, size or np.shape(value)) for value in given[:-1]))

    finite = [None if np.isinf(end).all() else end for end in bounds]
    transform = pm.distributions.transforms.Interval(bounds_fn=lambda *inputs: tuple(finite))
    middle = np.vectorize(lambda *one: np.median(_draws(record, np.random.default_rng(0), *one, size=101)))
    inside = {"transform": transform, "initval": middle(*arguments)}
    return pm.CustomDist(
        name, *arguments, share, logp=logp, random=random, class_name=record.name, **(inside | dict(shape))
    )


def _draws(record: Distribution, rng: Any, *arguments: float, size: int | None) -> Any:
    assert record.draw is not None, "it is proper"
    return record.draw(rng, *arguments, size=size)


def free_vector(pm: Any, priors: Sequence[Prior], name: str, dims: Any = None) -> Any:
    """One variable a distribution, with an argument an element; several distributions make several variables."""
    import pytensor.tensor as pt

    kinds: dict[str, list[int]] = {}
    for place, prior in enumerate(priors):
        stated = [word for word, _ in prior.args if word in prior.distribution.defaults]  # what may be absent
        kinds.setdefault("_".join([prior.name.lower(), *stated]), []).append(place)
    if len(kinds) == 1:
        return _vector(pm, priors, name, dims)
    vector = pt.zeros(len(priors))
    for kind, places in kinds.items():
        vector = vector[np.array(places)].set(
            _vector(pm, [priors[j] for j in places], f"{name}_{kind}", None)
        )
    return pm.Deterministic(name, vector, dims=dims) if dims else vector


def _vector(pm: Any, priors: Sequence[Prior], name: str, dims: Any) -> Any:
    arguments = {key: np.array([dict(prior.args)[key] for prior in priors]) for key, _ in priors[0].args}
    if priors[0].name == "Fixed":
        import pytensor.tensor as pt

        return pm.Deterministic(name, pt.as_tensor(arguments["value"]), dims=dims)
    shape = {"dims": dims} if dims else {"shape": len(priors)}
    return _drawn(pm, priors[0], name, arguments, **shape)
