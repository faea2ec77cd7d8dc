"""Uncertain pairs: how often do two starts at some distance have different fates?"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.analysis.statistics import wilson_interval
from relulab.boundary.points import Fate, check_corners, check_fate, check_sweep, fates_at
from relulab.sweeps.sweep import Sweep
from relulab.validation import (
    Float64Array,
    InputError,
    finite_array,
    seed_number,
    shown,
    whole_number,
)

# Random pairs are drawn in blocks of this many, each with its own key. So a pair depends only on
# the seed, the place of its scale and its number. Changing this changes every pair.
PAIRS_PER_BLOCK = 2**16

MOST_PAIRS = 10**9

Z = 1.959964  # of 95 %, as for all other intervals


def uncertain_pairs(
    sweep: Sweep,
    box: Mapping[str, tuple[float, float]],
    scales: npt.ArrayLike,
    n_pairs: int,
    seed: int = 0,
    fate: Fate | None = None,
) -> pd.DataFrame:
    """Return how often two starts have different fates, for each distance between them.

    The first start of a pair is uniform in the box. The second is at distance ``scale`` from it in
    a uniform direction, and may lie outside. If the fraction of pairs with different fates falls
    like scale^alpha, the boundary between the fates has the dimension n_axes - alpha (Grebogi,
    McDonald, Ott & Yorke, Phys. Lett. A 99, 415, 1983; McDonald et al., Physica D 17, 125, 1985):
    1 less than the box if it is smooth, more if it is fractal. ``dimension`` makes that fit.

    Parameters
    ----------
    sweep : Sweep
        The data and settings. It must have single numbers for everything not in the box.
    box : dict of str to (low, high)
        One or more ranges of initial values and settings: ``{"w": (-1, 5), "v": (-4, 4)}``. The
        distance between two starts is Euclidean in these numbers, unscaled.
    scales : array_like, shape (n_scales,)
        The distances, all different and well above the spacing of floating-point numbers.
    n_pairs : int
        Pairs per scale. A larger number adds pairs and changes none.
    seed : int
        Pairs of different scales are independent of each other.
    fate : function of DataFrame, optional
        Returns a label for each row of a table of runs; by default outcome and unit together.

    Returns
    -------
    DataFrame
        One row per scale, in the order given: scale, n_axes, n_pairs, n_different, fraction and its
        Wilson interval low, high; local_slope, the slope of log(fraction) against log(scale) from
        this scale to the next larger one, and its normal interval of 95 %, slope_low, slope_high.
        Slopes are missing at the largest scale, and if no pairs or all pairs differ.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> from relulab import boundary
    >>> sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), learning_rate=0.3)
    >>> box = {"w": (-1, 5), "v": (-4, 4)}
    >>> pairs = boundary.uncertain_pairs(sweep, box, [0.1, 0.01, 0.001], n_pairs=20_000)
    >>> pairs[["scale", "n_different"]]
       scale  n_different
    0  0.100          545
    1  0.010           81
    2  0.001            9
    """
    low, width = _checked_box(sweep, box)
    check_fate(fate)
    n_pairs = whole_number("n_pairs", n_pairs, at_least=1, at_most=MOST_PAIRS)
    seed = seed_number("seed", seed)
    distances = _checked_scales(scales, sweep, box, low, width)
    fates = partial(fates_at, sweep, list(box), fate=fate)
    different = []
    for place, scale in enumerate(distances):
        found = 0
        for block in range(-(-n_pairs // PAIRS_PER_BLOCK)):
            random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(place, block)))
            first, second = _pairs(random, low, width, scale)
            n = min(n_pairs - block * PAIRS_PER_BLOCK, PAIRS_PER_BLOCK)
            ends = fates(np.concatenate([first[:n], second[:n]]))
            found += int(np.count_nonzero(ends[:n] != ends[n:]))
        different.append(found)
    return _table(distances, np.array(different), n_pairs, len(box))


def _pairs(
    random: np.random.Generator, low: Float64Array, width: Float64Array, scale: float
) -> tuple[Float64Array, Float64Array]:
    """Return a block of pairs, each of shape (PAIRS_PER_BLOCK, n_axes)."""
    shape = PAIRS_PER_BLOCK, low.size
    first = low + width * random.random(shape)
    direction = random.standard_normal(shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return first, first + scale * direction


def _table(
    scale: Float64Array, n_different: npt.NDArray[np.int64], n_pairs: int, n_axes: int
) -> pd.DataFrame:
    low, high = wilson_interval(n_different, n_pairs)
    slope, error = np.full((2, scale.size), np.nan)
    order = np.argsort(scale)
    smaller, larger = order[:-1], order[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_fraction = np.log(n_different / n_pairs)
        variance = 1 / n_different - 1 / n_pairs  # of the logarithm: delta method
        ratio = np.log(scale[larger] / scale[smaller])
        slope[smaller] = (log_fraction[larger] - log_fraction[smaller]) / ratio
        error[smaller] = np.sqrt(variance[larger] + variance[smaller]) / ratio
    slope[~np.isfinite(slope) | ~(error > 0)] = np.nan
    return pd.DataFrame(
        {
            "scale": scale,
            "n_axes": n_axes,
            "n_pairs": n_pairs,
            "n_different": n_different,
            "fraction": n_different / n_pairs,
            "low": low,
            "high": high,
            "local_slope": slope,
            "slope_low": slope - Z * error,
            "slope_high": slope + Z * error,
        }
    )


def _checked_box(sweep: Sweep, box: Any) -> tuple[Float64Array, Float64Array]:
    """Return the lower ends and the widths of a box."""
    if not isinstance(box, Mapping) or not box:
        raise InputError(f"box: expected ranges by name, such as {{'w': (0, 1)}}, got {shown(box)}")
    check_sweep(sweep, box, "box")
    ends = []
    for name, value in box.items():
        pair = finite_array("box", value)
        if pair.size != 2 or not pair[0] < pair[1]:
            raise InputError(f"box: expected (low, high) for {name}, got {shown(value)}")
        ends.append(pair)
    low, high = np.transpose(ends)
    with np.errstate(over="ignore"):
        if not np.isfinite(high - low).all():
            raise InputError("box: expected ranges whose widths are finite, got wider ones")
    check_corners(sweep, "box", box, low, high)
    return low, high - low


def _checked_scales(
    scales: Any, sweep: Sweep, box: Mapping[str, Any], low: Float64Array, width: Float64Array
) -> Float64Array:
    distances = finite_array("scales", scales)
    if np.unique(distances).size < distances.size:
        raise InputError("scales: expected distinct numbers, got some number twice")
    # At smaller scales the distance between two starts is mostly rounding.
    largest = np.abs([low, low + width]).max()
    fewest = 1000 * float(np.spacing(largest.astype(sweep.dtype)))
    if distances.min() < fewest:
        raise InputError(
            f"scales: expected numbers >= {fewest:.2g}, which is 1000 times the spacing of"
            f" {sweep.dtype} in this box, got {distances.min()}"
        )
    check_corners(sweep, "scales", box, low - distances.max(), low + width + distances.max())
    return distances
