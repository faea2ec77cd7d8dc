"""Where two straight lines that meet fit samples best, in float64 and fast enough for many refits.

As for the best network (``optimum``), which samples lie on which side leaves n - 1 splits. Each
side has its own best line, and where these meet within the gap of the split, that is its best fit;
else it breaks at one of the gap's ends (Hudson 1966, JASA 61).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from relulab.validation import Float64Array

# Of the squares about the mean: a break that lowers them by less is one of rounding alone.
MARGIN = 1e-12


def best_break(
    x: Float64Array, target: Float64Array, *, sloping: tuple[bool, bool] = (True, True)
) -> float:
    """Return where a continuous line of two straight parts fits samples best, in O(n).

    NaN is returned if a straight line is no worse. Where all samples of a sloping side have one x,
    any break between it and the next x is as good; the one at the next x is returned.

    Parameters
    ----------
    x : ndarray of float64, shape (n_samples,)
        Ascending. Squares of x and of the targets must be in range.
    target : ndarray of float64, shape (n_samples,)
    sloping : tuple of two bool
        Whether the left and the right part may slope; one that may not is flat.
    """
    if x[0] == x[-1]:
        return np.nan
    target = target - target.mean()
    left = _Lines.of(x, target, sloping[0])
    right = _Lines.of(x[::-1], target[::-1], sloping[1])
    line = min(left.squares[-1], right.squares[-1])  # unless none may slope, the straight one's
    left, right = left[:-1], right[-2::-1]
    low, high = x[:-1], x[1:]
    with np.errstate(all="ignore"):  # parallel lines do not meet; one x has no slope
        gaps = [right.at(end) - left.at(end) for end in (low, high)]
        meet = low + gaps[0] / (left.slope - right.slope)
        # What it takes to close the gap at an end, by how well both lines are known there.
        closed = [
            gap**2 / (left.variance(end) + right.variance(end))
            for gap, end in zip(gaps, (low, high), strict=True)
        ]
        within = (low <= meet) & (meet <= high)
        at_low = ~(closed[0] > closed[1]) & ~np.isnan(closed[0])
        place = np.select([within, at_low], [meet, low], high)
        squares = left.squares + right.squares + np.where(within, 0.0, np.fmin(*closed))
    squares = np.where((low == high) | np.isnan(squares), np.inf, squares)
    best = squares.argmin()
    if not x[0] < place[best] < x[-1] or line - squares[best] <= MARGIN * (target @ target):
        return np.nan
    return float(place[best])


def best_hinge(x: Float64Array, target: Float64Array) -> tuple[float, float, float, float]:
    """Return w, which is 1 or -1, the place, the slope and the level of the best hinge, in O(n).

    All are NaN if a straight line is no worse. See ``best_break``.
    """
    best, found = np.inf, (np.nan, np.nan, np.nan, np.nan)
    rise = target - target.mean()
    for w in (1.0, -1.0):
        place = best_break(x, target, sloping=(w < 0, w > 0))
        if np.isnan(place):
            continue
        activation = np.maximum(w * (x - place), 0)
        mean = activation.mean()
        away = activation - mean
        v = (away @ rise) / (away @ away)
        squares = np.sum((rise - v * away) ** 2)
        if squares < best:
            best, found = squares, (w, place, w * v, float(target.mean() - v * mean))
    return found


@dataclass(frozen=True, eq=False)
class _Lines:
    """The best lines through the first 1 ... n samples, all of shape (n_samples,).

    Attributes
    ----------
    count, x, target
        How many samples there are, and their means.
    slope, squares
        0 for flat lines and where there is one x; the sum of squared residuals.
    sxx
        Of x about the mean, infinite for flat lines.
    """

    count: Float64Array
    x: Float64Array
    target: Float64Array
    slope: Float64Array
    squares: Float64Array
    sxx: Float64Array

    @classmethod
    def of(cls, x: Float64Array, target: Float64Array, sloping: bool) -> Self:
        """Return the lines, of moments about the first sample: so few samples lose no digits."""
        count, away, rise = np.arange(1.0, x.size + 1), x - x[0], target - target[0]
        mean_x, mean_target = np.cumsum(away) / count, np.cumsum(rise) / count
        stt = np.cumsum(rise * rise) - count * mean_target**2
        if not sloping:
            flat, endless = np.zeros(x.size), np.full(x.size, np.inf)
            return cls(count, mean_x + x[0], mean_target + target[0], flat, stt, endless)
        sxx = np.cumsum(away * away) - count * mean_x**2
        sxt = np.cumsum(away * rise) - count * mean_x * mean_target
        sxx = np.where(x == x[0], 0.0, np.maximum(sxx, 0.0))
        slope = np.divide(sxt, sxx, out=np.zeros(x.size), where=sxx > 0)
        squares = np.maximum(stt - slope * sxt, 0.0)
        return cls(count, mean_x + x[0], mean_target + target[0], slope, squares, sxx)

    def __getitem__(self, which: slice) -> Self:
        return type(self)(*(values[which] for values in vars(self).values()))

    def at(self, x: Float64Array) -> Float64Array:
        """Return the heights of the lines."""
        return self.target + self.slope * (x - self.x)

    def variance(self, x: Float64Array) -> Float64Array:
        """Return the variances of the heights, in units of that of the noise."""
        return 1 / self.count + (x - self.x) ** 2 / self.sxx
