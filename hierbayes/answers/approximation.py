"""What draws of an approximation are, and how far to trust them."""

import numpy as np
import xarray as xr

from hierbayes.errors import UnsupportedError


def good_k(draws: int) -> float:
    """The largest Pareto k at which importance sampling with that many draws can be trusted: 1 − 1/log₁₀ S, up to 0.7.

    Vehtari et al. (2024), section 3.2.4.

    Examples
    --------
    >>> round(good_k(1000), 2), good_k(4000)
    (0.67, 0.7)
    """
    return float(min(1 - 1 / np.log10(max(draws, 11)), 0.7))


def is_approximate(tree: xr.DataTree) -> bool:
    """Whether the draws are of an approximation to the posterior."""
    return "approximation" in tree.attrs


def describe_approximation(tree: xr.DataTree) -> str:
    """What the draws are of, and how far the posterior is from that.

    Examples
    --------
    >>> tree = xr.DataTree.from_dict({"posterior": xr.Dataset(coords={"chain": [0], "draw": np.arange(4000)})})
    >>> tree.attrs |= {"approximation": "Gaussian", "pareto_k": 0.523}
    >>> describe_approximation(tree)
    'a Gaussian approximation to the posterior, Pareto k 0.52 (trusted below 0.70)'
    """
    kind, k, limit = (
        tree.attrs["approximation"],
        tree.attrs["pareto_k"],
        good_k(tree["posterior"].sizes["draw"]),
    )
    return f"a {kind} approximation to the posterior, Pareto k {k:.2f} (trusted below {limit:.2f})"


def refuse_approximation(tree: xr.DataTree, what: str) -> None:
    """Refuse what reweights draws of the posterior, where they are of an approximation to it."""
    if is_approximate(tree):
        raise UnsupportedError(
            f"{what} reweights draws of the posterior, and these are of {describe_approximation(tree)}; draw the "
            "posterior itself with the model's fit()"
        )
