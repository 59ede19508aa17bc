"""Models compared by how well they predict what they have not seen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hierbayes.criticism import crossval
from hierbayes.criticism.criticism import Criticism
from hierbayes.data.design import is_main
from hierbayes.engine.streamed import in_memory
from hierbayes.errors import DataError
from hierbayes.joint_criticism import JointCriticism
from hierbayes.spec import ModelSpec

Array = NDArray[np.float64]
type Compared = Criticism | JointCriticism


def compare_models(
    *fits: Compared | Mapping[str, Compared],
    group: str | None = None,
    method: str | None = None,
    refit: bool = False,
    **named: Compared,
) -> pd.DataFrame:
    """Models side by side by cross-validation: the difference in predictive density and its standard error.

    Parameters
    ----------
    *fits : Fit or JointFit, or mapping of str to these
        Two or more fits to the same rows, called by their formulas; or a mapping of names to fits, as ``az.compare``'s.
    group : str, optional
        A grouping factor of all: leave a whole level out at a time, as `Fit.logo`; a row, as `Fit.loo`, unless given.
    method : {"stacking", "bb-pseudo-bma", "pseudo-bma"}, optional
        How the column weight is found; from ``arviz.rcParams`` unless given.
    refit : bool
        Whether to refit where importance sampling is not to be trusted.
    **named : Fit
        More fits, by the name to call them.

    Returns
    -------
    pandas.DataFrame
        One row a model, the best first: ArviZ's columns rank, elpd_diff, dse, p_worse, …, elpd, se, weight.

    Raises
    ------
    DataError
        For fewer than two fits, or fits to different rows or responses.
    """
    models: dict[str, Compared] = {}
    for fit in fits:
        if isinstance(fit, Mapping):
            models |= fit
            continue
        if not isinstance(fit, Criticism | JointCriticism):
            raise DataError(
                f"a comparison is of fits, each an argument of its own or by name; got {type(fit).__name__}. "
                "Of a list: compare_models(*fits)"
            )
        text = _title(fit)
        same = [name for name in models if name == text or name.startswith(f"{text} (")]
        models[f"{text} ({len(same) + 1})" if same else text] = fit
    models |= named
    if len(models) < 2:
        raise DataError(f"a comparison needs two or more fits; got {len(models)}")
    records = {
        name: fit.loo(refit) if group is None else fit.logo(group, refit) for name, fit in models.items()
    }
    return crossval.compare_models(records, [_responses(fit) for fit in models.values()], method)


def _title(fit: Compared) -> str:
    """What a fit is called: its formulas."""
    if isinstance(fit, JointCriticism):
        return "; ".join(_formulas(spec) for spec in fit.spec.responses.values())
    return _formulas(fit.spec)


def _formulas(spec: ModelSpec) -> str:
    return "; ".join(str(f) if is_main(name) else f"{name} {f}" for name, f in spec.formulas.items())


def _responses(fit: Compared) -> Array | None:
    """What a fit predicts: (n,), or of several responses (n, K)."""
    return (
        fit.responses_by_row()
        if isinstance(fit, JointCriticism)
        else in_memory(fit.design, "compare_models").y
    )
