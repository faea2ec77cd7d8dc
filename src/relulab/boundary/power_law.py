"""The dimension of a boundary: a power law through the fractions of uncertain pairs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.validation import (
    Float64Array,
    InputError,
    columns_in,
    finite_number,
    numbers_in,
    seed_number,
    whole_number,
)

MOST_BOOTSTRAPS = 100_000

# Below this probability, the fractions count as not on a straight line.
DISAGREE_BELOW = 0.01


@dataclass(frozen=True)
class Dimension:
    """The dimension of a boundary: the result of ``dimension``.

    Attributes
    ----------
    dimension : float
        n_axes - alpha, with scale^alpha the fit to the fraction of uncertain pairs.
    low, high : float
        Its bootstrap interval: only the counting error, if a power law holds.
    n_axes : int
        The dimension of the box; a smooth boundary has the dimension n_axes - 1.
    smallest_scale, largest_scale : float
        The range of the fit.
    deviance : float
        The deviance of the counts from the fitted power law.
    p_value : float
        How often counts that follow the power law have a larger deviance.
    slopes_agree : bool
        Whether p_value is at least 0.01. If not, the slope changes with scale, and a single
        dimension describes this range of scales at best.
    """

    dimension: float
    low: float
    high: float
    n_axes: int
    smallest_scale: float
    largest_scale: float
    deviance: float
    p_value: float
    slopes_agree: bool

    def __repr__(self) -> str:
        words = "" if self.slopes_agree else "; local slopes do not agree: no single power law"
        return (
            f"Dimension({self.dimension:.3f}, {self.low:.3f} ... {self.high:.3f}, scales"
            f" {self.smallest_scale:.2g} ... {self.largest_scale:.2g}{words})"
        )


def dimension(
    pairs: pd.DataFrame, n_bootstrap: int = 1000, seed: int = 0, confidence: float = 0.95
) -> Dimension:
    """Return the dimension of the boundary between fates, from a table of ``uncertain_pairs``.

    Maximum likelihood of the binomial counts fits scale^alpha to the fraction of pairs with
    different fates; the boundary has the dimension n_axes - alpha (Grebogi, McDonald, Ott & Yorke
    1983). To fit only some scales, pass only their rows.

    Parameters
    ----------
    pairs : DataFrame
        ``uncertain_pairs(...)``: columns scale, n_axes, n_pairs and n_different.
    n_bootstrap : int
        How often to draw the counts again: from the fractions as they are, for the interval
        (percentiles), and from the fitted line, for the test of fit.
    seed : int
    confidence : float

    Returns
    -------
    Dimension

    Raises
    ------
    InputError
        If fewer than two scales have pairs with different fates, or an argument is wrong.

    Examples
    --------
    >>> import pandas as pd
    >>> from relulab import boundary
    >>> pairs = pd.DataFrame({"scale": [0.1, 0.01, 0.001], "n_axes": 2, "n_pairs": 100_000,
    ...                       "n_different": [10_000, 1_585, 251]})
    >>> boundary.dimension(pairs)
    Dimension(1.200, 1.183 ... 1.217, scales 0.001 ... 0.1)
    """
    n_bootstrap = whole_number("n_bootstrap", n_bootstrap, at_least=10, at_most=MOST_BOOTSTRAPS)
    random = np.random.default_rng(seed_number("seed", seed))
    confidence = finite_number("confidence", confidence)
    if not 0 < confidence < 1:
        raise InputError(f"confidence: expected a number between 0 and 1, got {confidence}")
    scale, n_pairs, n_different, n_axes = _checked_pairs(pairs)
    whole = n_pairs.astype(np.int64)
    log_scale = np.log(scale)

    [fit] = _fits(log_scale, n_pairs, n_different[np.newaxis])
    [deviance] = _deviances(log_scale, n_pairs, n_different[np.newaxis], fit[np.newaxis])
    again = random.binomial(whole, n_different / n_pairs, (n_bootstrap, scale.size))
    alphas = _fits(log_scale, n_pairs, again)[:, 1]
    ends = np.quantile(n_axes - alphas, [(1 - confidence) / 2, (1 + confidence) / 2])
    expected = np.exp(np.minimum(fit[0] + fit[1] * log_scale, 0))
    drawn = random.binomial(whole, expected, (n_bootstrap, scale.size))
    deviances = _deviances(log_scale, n_pairs, drawn, _fits(log_scale, n_pairs, drawn))
    p_value = float((1 + np.count_nonzero(deviances >= deviance)) / (1 + n_bootstrap))
    return Dimension(
        dimension=float(n_axes - fit[1]),
        low=float(ends[0]),
        high=float(ends[1]),
        n_axes=n_axes,
        smallest_scale=float(scale.min()),
        largest_scale=float(scale.max()),
        deviance=float(deviance),
        p_value=p_value,
        slopes_agree=p_value >= DISAGREE_BELOW,
    )


def _fits(log_scale: Float64Array, n: Float64Array, counts: npt.NDArray[Any]) -> Float64Array:
    """Return (intercept, slope) of the likeliest lines, shape (n_fits, 2), for counts (n_fits, n).

    log(fraction) is intercept + slope * log(scale): a binomial model with a logarithmic link, by
    iteratively reweighted least squares. Fractions are held below 1, where the link ends, and above
    a hundredth of a count, to keep the slope finite if all counts but one are 0.
    """
    center = log_scale.mean()
    x = log_scale - center
    floor = np.log(0.01 / n)
    logs = np.log((counts + 0.5) / (n + 1))
    fits = np.empty((len(counts), 2))
    for step in range(50):
        p = np.exp(np.clip(logs, floor, -1e-3))
        weight = n * p / (1 - p)
        working = np.log(p) + (counts / n - p) / p if step else logs
        sums = [weight.sum(1), (weight * x).sum(1), (weight * x**2).sum(1)]
        right = [(weight * working).sum(1), (weight * x * working).sum(1)]
        determinant = sums[0] * sums[2] - sums[1] ** 2
        before = fits.copy()
        fits[:, 1] = (sums[0] * right[1] - sums[1] * right[0]) / determinant
        fits[:, 0] = (right[0] - sums[1] * fits[:, 1]) / sums[0]
        logs = fits[:, :1] + fits[:, 1:] * x
        if step and np.abs(fits - before).max() < 1e-12:
            break
    fits[:, 0] -= fits[:, 1] * center
    return fits


def _deviances(
    log_scale: Float64Array,
    n: Float64Array,
    counts: npt.NDArray[Any],
    fits: Float64Array,
) -> Float64Array:
    """Return the binomial deviances of counts from lines, shape (n_fits,)."""
    p = np.exp(np.clip(fits[:, :1] + fits[:, 1:] * log_scale, -700, -1e-12))
    others = n - counts
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts > 0, counts * np.log(counts / (n * p)), 0)
        terms += np.where(others > 0, others * np.log(others / (n * (1 - p))), 0)
    total: Float64Array = 2 * terms.sum(1)
    return total


def _checked_pairs(pairs: pd.DataFrame) -> tuple[Float64Array, Float64Array, Float64Array, int]:
    names = ("scale", "n_axes", "n_pairs", "n_different")
    columns_in("pairs", pairs, *names)
    numbers_in("pairs", pairs, *names)
    scale, axes, n_pairs, n_different = (
        pairs[name].to_numpy(float, na_value=np.nan) for name in names
    )
    if np.unique(axes).size != 1 or not 1 <= axes[0] < 100 or axes[0] % 1:
        raise InputError("pairs: expected one whole number >= 1 in the column n_axes, got others")
    if not ((scale > 0) & (scale < np.inf)).all():
        raise InputError("pairs: expected numbers above 0 in the column scale, got others")
    fits = (n_pairs >= 1) & (n_pairs < 2**53) & (n_different >= 0) & (n_different <= n_pairs)
    if not fits.all() or (n_pairs % 1).any() or (n_different % 1).any():
        raise InputError("pairs: expected whole numbers 0 <= n_different <= n_pairs, got others")
    if np.unique(scale[n_different > 0]).size < 2:
        raise InputError("pairs: expected different fates at two scales or more, got fewer")
    return scale, n_pairs, n_different, int(axes[0])
