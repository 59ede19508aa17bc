"""The covariance structures as the kernels call them: one function for all, written out from the registry (numba).

Each structure is compiled by itself and called by its number, so a kernel's code is the same for all models, and is
kept on disk and shipped with the others.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from hierbayes.compiling import Deferred, resolved
from hierbayes.engine.core.loops import compiled
from hierbayes.structures.registry import KERNELS


def _dispatch(name: str, arguments: str, parts: list[Deferred]) -> Callable[..., None]:
    """A compiled function that calls one of the parts with those arguments, by the number that it is given first.

    Its name has those of all structures: numba keeps machine code by name, and another set is another function.
    """
    whole = "_".join([name, *KERNELS])
    lines = [f"def {whole}(code, {arguments}):"]
    space: dict[str, Any] = {"__name__": __name__, "nan": np.nan}
    for code, part in enumerate(parts):
        space[f"{name}_{code}"] = compiled(resolved(part.function))
        lines += [f"    {'el' if code else ''}if code == {code}:", f"        {name}_{code}({arguments})"]
    lines += ["    else:", "        chol[0, 0] = nan"]  # no density, rather than a wrong one
    exec(compile("\n".join(lines), __file__, "exec"), space)
    return compiled(space[whole])


set_root = _dispatch("root", "q, p, chol", [kernel.root for kernel in KERNELS.values()])
add_reverse = _dispatch("reverse", "q, p, chol, chol_score", [kernel.reverse for kernel in KERNELS.values()])
