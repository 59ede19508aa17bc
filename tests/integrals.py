"""The density that `collapsed` samples, beside the graph's with everything normal integrated out."""

from collections.abc import Iterator

import numpy as np

from hierbayes.engine.collapsed import to_problem
from hierbayes.engine.gaussian.collapsed import arrange, density_of, route_of
from hierbayes.engine.gaussian.moments import moments


def densities(model, scale: float = 0.5) -> Iterator[tuple[float, float]]:
    """At two points the collapsed density, and the graph's integral; theta is as far from its origin as `scale`."""
    graph = model.graph()
    density = graph.compile_logp(mode="FAST_COMPILE")
    start = graph.initial_point()
    scales = [name for name in start if name.endswith("_log__")]
    coefficients = [name for name in start if name not in scales]
    typical = {}
    for curve in model.spec.layout.main.curves:
        shapes = {shape.name: np.log(shape.typical(np.empty(0))) for shape in curve.shapes}
        for key, variable in model.spec.curve_variables("mu", curve).items():
            typical[f"{variable.name}_log__"] = shapes.get(key, 0.0)
    order = [name for name in ("sigma_log__",) if name in scales]
    order += [name for name in scales if name.startswith("sd_")]
    order += [name for name in typical if name in scales]
    assert sorted(order) == sorted(scales)
    problem = to_problem(model.spec, model.design)
    evaluate = density_of(arrange(problem, moments(problem), route_of(problem))).evaluator()
    rng = np.random.default_rng(1)
    for _ in range(2):
        theta = rng.normal(scale=scale, size=problem.n_theta)
        point, at = dict(start), 0
        for name in order:
            size = np.size(start[name])
            point[name] = theta[at : at + size].reshape(np.shape(start[name])) + typical.get(name, 0.0)
            at += size
        assert at == len(theta)
        yield evaluate(theta)[0], _gaussian_integral(density, point, coefficients)


def _gaussian_integral(density, point, names):
    sizes = [np.size(point[name]) for name in names]
    splits = np.cumsum(sizes)[:-1]

    def value(v):
        parts = np.split(v, splits)
        moved = {name: part.reshape(np.shape(point[name])) for name, part in zip(names, parts, strict=True)}
        return float(density(point | moved))

    d = sum(sizes)
    unit = np.eye(d)
    zero = value(np.zeros(d))
    plus, minus = np.array([value(e) for e in unit]), np.array([value(-e) for e in unit])
    gradient = (plus - minus) / 2
    hessian = np.diag(plus + minus - 2 * zero)
    for i in range(d):
        for j in range(i):
            hessian[i, j] = hessian[j, i] = value(unit[i] + unit[j]) - plus[i] - plus[j] + zero
    mode = np.linalg.solve(-hessian, gradient)
    return zero + 0.5 * gradient @ mode + 0.5 * d * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(-hessian)[1]
