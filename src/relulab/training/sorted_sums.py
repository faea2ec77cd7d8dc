"""Full-batch loss and gradients from tabulated moments: O(log n_samples) a step, not O(n_samples).

The second bit-for-bit specification, for ``summation="sorted"``. It agrees with the direct sums of
``specification`` to rounding, and is usually nearer to the exact sums than they are. The samples
are in ascending order of x. For w >= 0 the unit fires on a suffix of them, else on a prefix. The
split k is the first i at which ``(w*x[i] + b > 0) == (w >= 0)``, or n_samples. So the same
predicate as in the direct sums decides; it is monotone in x, even in floating point. With the
moments of the two sides at k::

    a, a_low  = w*mean_x + b            y, y_low = v*a + c        vw, vw_low = v*w
    e = (y - mean_target) + (y_low - mean_target_low)             the mean residual of the firing
    s = (vw - slope) + (vw_low - slope_low)                       and the slope of their residuals
    d = (c - mean_target') - mean_target_low'                     the mean residual of the silent
    firing = count*e;  silent = count'*d;  skew = sxx*s
    gw = v*(mean_x*firing + skew);  gb = v*firing;  gv = firing*(a + a_low) + w*skew
    gc = firing + silent
    stt' = residual_sum' + slope'*(slope'*sxx')
    loss = 0.5*(((residual_sum + firing*e) + skew*s) + (stt' + silent*d))

each divided by n_samples. If negative_slope > 0, the silent side has residuals on a line, too: with
u = negative_slope*v in place of v, its moments give e' and s' as above, and its mean_x gives a'.
Then::

    silent = count'*e';  skew' = sxx'*s'
    gw = gw + u*(mean_x'*silent + skew');  gb = gb + u*silent
    gv = gv + negative_slope*(silent*(a' + a_low') + w*skew');  gc = firing + silent
    loss = 0.5*(((residual_sum + firing*e) + skew*s) + ((residual_sum' + silent*e') + skew'*s'))

A prime marks the silent side, and ``_low`` the low part of a number of twice the precision;
``evaluate`` has the order of operations. The loss is a sum of terms that are not negative, so
nothing cancels in it. If no sample fires, e is 0; if all firing x are equal, s is 0. (The sums are
those of the parallel axis theorem.)
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relulab.model.data import TrainingSet, cached, rounded
from relulab.model.double_double import DoubleDouble, two_product, two_sum
from relulab.model.splits import Moments, Splits
from relulab.validation import FloatArray, InputError

# The columns of a row of moments: 64 bytes, a cache line.
N_COLUMNS = 8
MEAN_X, MEAN_X_LOW, MEAN_TARGET, MEAN_TARGET_LOW, SXX, SLOPE, SLOPE_LOW, RESIDUAL_SUM = range(8)


@dataclass(frozen=True, eq=False)
class SortedSums:
    """Tables of a training set in the dtype of the arithmetic.

    Attributes
    ----------
    x : ndarray, shape (n_samples,)
        Ascending.
    moments : ndarray, shape (n_samples+1, 2, N_COLUMNS)
        At index k, those of the first k samples and of the others.
    guesses : ndarray of int32, shape (n_samples+1,)
        The number of samples below ``x[0] + i*width``: where the search for a split begins.
    width : float
        The width of the n_samples equal parts of the range of x.
    """

    x: FloatArray
    moments: FloatArray
    guesses: npt.NDArray[np.int32]
    width: float

    @classmethod
    def of(cls, data: TrainingSet, dtype: np.dtype[Any]) -> Self:
        """Return the tables; raise InputError if they are beyond the range of the dtype."""
        if not in_range(data, dtype):
            raise InputError(
                "summation: expected 'direct' for these samples, because sums of their squares are"
                f" beyond the range of {dtype}"
            )
        data = rounded(data, dtype)
        splits = Splits.of(data.x, data.target)
        moments = _aligned((splits.x.size + 1, 2, N_COLUMNS), dtype)
        for side, values in enumerate((splits.first, splits.last)):
            _fill(moments[:, side], values)
        edges, width = np.linspace(splits.x[0], splits.x[-1], splits.x.size + 1, retstep=True)
        guesses = np.asarray(np.searchsorted(splits.x, edges), np.int32)
        return cls(splits.x.astype(dtype), moments, guesses, float(width))


def in_range(data: TrainingSet, dtype: np.dtype[Any]) -> bool:
    """Return whether the moments of every side, and their combinations, are within the range.

    The least sum of squares is that of the two lowest or the two highest x, which would look equal
    if it were 0. No slope is steeper than through these, from the lowest target to the highest.
    """
    data, n, limits = rounded(data, dtype), data.n_samples, np.finfo(dtype)
    x, low, high = data.x, data.x.min(), data.x.max()
    with np.errstate(all="ignore"):
        gap = min(x[x > low].min(initial=np.inf) - low, high - x[x < high].max(initial=-np.inf))
        far, most = high - low, np.abs(data.target).max()
        # Halving the digits of larger numbers overflows; products of smaller ones lose digits.
        fits = n * max(far**2, most**2, most / gap) < float(limits.max) * 2.0**-30
        least = min(gap**2 / 2, *([gap * most, most / far] if most else [1.0]))
        fits &= least > float(limits.tiny) / float(limits.eps)
        # Moments are merged in float64, with squares of the distance from 0 in between.
        fits &= n * np.abs(x).max() ** 2 < np.finfo(float).max * 2.0**-30
    return bool(fits)


def tables(data: TrainingSet, dtype: np.dtype[Any]) -> SortedSums:
    """Return ``SortedSums.of(data, dtype)``, made once."""
    return cached(data, SortedSums.of, dtype)


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> FloatArray:
    """Return an empty array aligned to cache lines, so that its rows are lines."""
    spare = 64 // dtype.itemsize
    memory: FloatArray = np.empty(math.prod(shape) + spare, dtype)
    skip = -memory.ctypes.data % 64 // dtype.itemsize
    return memory[skip : skip + math.prod(shape)].reshape(shape)


def _fill(table: FloatArray, values: Moments) -> None:
    def store(column: int, value: DoubleDouble, low: int | None = None) -> None:
        table[:, column] = value.hi
        if low is not None:
            table[:, low] = (value.hi - table[:, column].astype(np.float64)) + value.lo

    store(MEAN_X, values.mean_x, MEAN_X_LOW)
    store(SXX, values.sxx)
    store(SLOPE, values.slope, SLOPE_LOW)
    store(MEAN_TARGET, values.mean_target, MEAN_TARGET_LOW)
    store(RESIDUAL_SUM, values.residual_sum)


def find_splits(sums: SortedSums, w: FloatArray, b: FloatArray) -> npt.NDArray[np.int64]:
    """Return the split of every network, by bisection."""
    rising = w >= 0
    low, high = np.zeros(w.size, np.int64), np.full(w.size, sums.x.size)
    for _ in range(sums.x.size.bit_length()):
        middle = (low + high) >> 1
        # If low == high == n_samples, there is no such sample.
        beyond = ((w * sums.x[np.minimum(middle, sums.x.size - 1)] + b) > 0) == rising
        beyond |= middle >= high
        high = np.where(beyond, middle, high)
        low = np.where(beyond, low, middle + 1)
    return high


def sides(sums: SortedSums, w: FloatArray, b: FloatArray) -> tuple[FloatArray, ...]:
    """Return the arguments of ``stability.sums_of_sides`` for the splits, in float64."""
    split = find_splits(sums, w, b)
    rising = (w >= 0).astype(np.int64)
    n_active = np.where(rising, sums.x.size - split, split).astype(np.float64)
    result: list[FloatArray] = []
    for side, count in ((rising, n_active), (1 - rising, sums.x.size - n_active)):
        moments = sums.moments[split, side].T.astype(np.float64)
        result += [
            count,
            moments[MEAN_X] + moments[MEAN_X_LOW],
            moments[SXX],
            moments[SLOPE] + moments[SLOPE_LOW],
            moments[MEAN_TARGET] + moments[MEAN_TARGET_LOW],
        ]
    return tuple(result)


def evaluate(
    sums: SortedSums, parameters: FloatArray, out: FloatArray, slope: FloatArray | None = None
) -> None:
    """Write gw, gb, gv, gc, loss to the rows of ``out``; ``slope`` is None if all are 0."""
    w, b, v, c = parameters
    half, n_samples = sums.x.dtype.type(0.5), sums.x.dtype.type(sums.x.size)
    split = find_splits(sums, w, b)
    rising = (w >= 0).astype(np.int64)
    firing_side = sums.moments[split, rising].T
    silent_side = sums.moments[split, 1 - rising].T
    count = np.where(rising, sums.x.size - split, split).astype(sums.x.dtype)

    e, s, a = _residuals(firing_side, count, w, b, v, c)
    d = (c - silent_side[MEAN_TARGET]) - silent_side[MEAN_TARGET_LOW]
    firing, silent, skew = count * e, (n_samples - count) * d, firing_side[SXX] * s
    gw, gb, gv, gc, loss = out
    gw[:] = v * (firing_side[MEAN_X] * firing + skew)
    gb[:] = v * firing
    gv[:] = firing * a + w * skew
    gc[:] = firing + silent
    firing_loss = (firing_side[RESIDUAL_SUM] + firing * e) + skew * s
    to_x = silent_side[SLOPE]
    stt = silent_side[RESIDUAL_SUM] + to_x * (to_x * silent_side[SXX])
    loss[:] = half * (firing_loss + (stt + silent * d))
    if slope is not None:
        u, leaks = slope * v, slope > 0
        e, s, a = _residuals(silent_side, n_samples - count, w, b, u, c)
        silent, skew = (n_samples - count) * e, silent_side[SXX] * s
        np.add(gw, u * (silent_side[MEAN_X] * silent + skew), out=gw, where=leaks)
        np.add(gb, u * silent, out=gb, where=leaks)
        np.add(gv, slope * (silent * a + w * skew), out=gv, where=leaks)
        np.add(firing, silent, out=gc, where=leaks)
        silent_loss = (silent_side[RESIDUAL_SUM] + silent * e) + skew * s
        np.multiply(half, firing_loss + silent_loss, out=loss, where=leaks)
    np.divide(out, n_samples, out=out)


def _residuals(
    side: FloatArray, count: FloatArray, w: FloatArray, b: FloatArray, v: FloatArray, c: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mean and slope of one side's residuals, and its mean activation."""
    zero = side.dtype.type(0)
    a, a_low = two_product(w, side[MEAN_X])
    a_low = _finite_or_zero(a_low) + w * side[MEAN_X_LOW]
    a, rest = two_sum(a, b)
    a_low = rest + a_low
    y, y_low = two_product(v, a)
    y_low = _finite_or_zero(y_low) + v * a_low
    y, rest = two_sum(y, c)
    y_low = rest + y_low
    e = (y - side[MEAN_TARGET]) + (y_low - side[MEAN_TARGET_LOW])
    e = np.where(count > 0, e, zero)
    vw, vw_low = two_product(v, w)
    s = (vw - side[SLOPE]) + (_finite_or_zero(vw_low) - side[SLOPE_LOW])
    s = np.where(side[SXX] > 0, s, zero)
    return e, s, a + a_low


def _finite_or_zero(error: Any) -> Any:
    """Drop a product's error if halving the digits overflowed; the product itself did not."""
    return np.where(np.isfinite(error), error, error.dtype.type(0))
