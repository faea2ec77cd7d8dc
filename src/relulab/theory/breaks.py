"""The best fit of two straight lines that meet, in float64 and fast enough for many refits.

As for the best network (``optimum``), the samples lie on the two sides in n - 1 possible splits.
Each side has a best line. If these meet within the gap of the split, that is its best fit; if not,
the fit breaks at one of the gap's ends (Hudson 1966, JASA 61). With many samples, only every 64th
split is tried first: a split's squares are no less than those of a shorter left side and a shorter
right side together, which rules out most of the others.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from relulab.validation import Float64Array

# A fraction of the squares about the mean: a break that gains less may be rounding.
MARGIN = 1e-12

# The distance between the splits tried first, and the number of samples from which that pays.
STEP, MANY = 64, 2000

Hinge = tuple[float, float, float, float]


def best_break(
    x: Float64Array, target: Float64Array, *, sloping: tuple[bool, bool] = (True, True)
) -> float:
    """Return the break of the best continuous line of two straight parts, in O(n).

    The result is NaN if a straight line is no worse. If all samples of a sloping side have one x,
    any break between it and the next x is as good; the one at the next x is returned.

    Parameters
    ----------
    x : ndarray of float64, shape (n_samples,)
        Ascending. Squares of x and of the targets must be in range.
    target : ndarray of float64, shape (n_samples,)
    sloping : tuple of two bool
        Whether the left and the right part may slope, or else are flat. At least one may.
    """
    place, _ = _Terms.of(x, target).best(sloping)
    return place


def least_squares(
    x: Float64Array, target: Float64Array, *, sloping: tuple[bool, bool] = (True, True)
) -> float:
    """Return the sum of squared residuals of ``best_break``'s line, from moments of its parts."""
    terms = _Terms.of(x, target)
    return min(terms.line, terms.best(sloping)[1])


def best_hinge(x: Float64Array, target: Float64Array) -> Hinge:
    """Return w (1 or -1), place, slope and level of the best hinge, in O(n).

    All are NaN if a straight line is no worse. See ``best_break``.
    """
    terms = _Terms.of(x, target)
    (right, on_right), (left, on_left) = (terms.best((w < 0, w > 0)) for w in (1, -1))
    w, place = (1.0, right) if on_right <= on_left else (-1.0, left)
    if np.isnan(place):
        return np.nan, np.nan, np.nan, np.nan
    activation = np.maximum(w * (x - place), 0)
    mean, level = activation.mean(), target.mean()
    v = (activation - mean) @ (target - level) / np.sum((activation - mean) ** 2)
    return w, place, w * v, level - v * mean


@dataclass(frozen=True, eq=False)
class _Terms:
    """Samples ascending in x, with the terms that sum to the moments of both sides.

    Attributes
    ----------
    x, target
        Of shape (n_samples,).
    ahead, back : ndarray of float64, shape (5, n_samples)
        About the first sample and, in the opposite order, about the last one: so a side of few
        samples loses no digits.
    """

    x: Float64Array
    target: Float64Array
    ahead: Float64Array
    back: Float64Array

    @classmethod
    def of(cls, x: Float64Array, target: Float64Array) -> Self:
        return cls(x, target, _terms(x, target), _terms(x[::-1], target[::-1]))

    @property
    def line(self) -> float:
        """The sum of squared residuals of the best straight line."""
        n = self.x.size
        sums = _cumulated(self.ahead, n, n)
        return float(_Lines.of(sums, np.array([n]), self.x, self.target).squares[0])

    def best(self, sloping: tuple[bool, bool]) -> tuple[float, float]:
        """Return the best break and its sum of squared residuals, inf if there is none."""
        x, n = self.x, self.x.size
        if x[0] == x[-1]:
            return np.nan, np.inf
        line = self.line
        margin = MARGIN * n * float(np.var(self.target))
        splits = self._promising(sloping, line, margin) if n > MANY else np.arange(1, n)
        first, last = splits[[0, -1]]
        left, right = self._sides(
            _cumulated(self.ahead, first, last),
            _cumulated(self.back, n - last, n - first)[:, ::-1],
            splits,
            sloping,
        )
        squares, place = _joined(left, right, x[splits - 1], x[splits])
        best = squares.argmin()
        if not x[0] < place[best] < x[-1] or line - squares[best] <= margin:
            return np.nan, np.inf
        return float(place[best]), float(squares[best])

    def _promising(
        self, sloping: tuple[bool, bool], line: float, margin: float
    ) -> npt.NDArray[np.int64]:
        """Return a range of splits that contains the one with the least squares.

        The least squares are at most the line's, as a side may have a single x.
        """
        n = self.x.size
        splits = np.arange(STEP, n, STEP)
        ahead = np.add.reduceat(self.ahead[:, : splits[-1]], [0, *splits[:-1]], axis=1)
        ends = n - splits[::-1]
        back = np.add.reduceat(self.back[:, : ends[-1]], [0, *ends[:-1]], axis=1)
        left, right = self._sides(
            ahead.cumsum(axis=1), back.cumsum(axis=1)[:, ::-1], splits, sloping
        )
        squares, _ = _joined(left, right, self.x[splits - 1], self.x[splits])
        least = np.append(0, left.squares) + np.append(right.squares, 0)
        may_be = np.flatnonzero(least <= min(line, squares.min()) + margin)
        edges = np.array([1, *splits, n - 1])
        return np.arange(edges[may_be[0]], edges[may_be[-1] + 1] + 1)

    def _sides(
        self,
        ahead: Float64Array,
        back: Float64Array,
        splits: npt.NDArray[np.int64],
        sloping: tuple[bool, bool],
    ) -> "tuple[_Lines, _Lines]":
        x, target = self.x, self.target
        left = _Lines.of(ahead, splits, x, target, sloping[0])
        return left, _Lines.of(back, x.size - splits, x[::-1], target[::-1], sloping[1])


def _terms(x: Float64Array, target: Float64Array) -> Float64Array:
    away, rise = x - x[0], target - target[0]
    return np.stack([away, rise, away * away, away * rise, rise * rise])


def _cumulated(terms: Float64Array, first: int, last: int) -> Float64Array:
    """Return the sums of the first k terms for k from ``first`` to ``last``."""
    start = terms[:, :first].sum(axis=1, keepdims=True)
    return np.cumsum(np.hstack([start, terms[:, first:last]]), axis=1)


def _joined(
    left: "_Lines", right: "_Lines", low: Float64Array, high: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the squares and places of the best breaks within the gaps of some splits."""
    with np.errstate(all="ignore"):  # parallel lines do not meet; one x has no slope
        gaps = [right.at(end) - left.at(end) for end in (low, high)]
        meet = low + gaps[0] / (left.slope - right.slope)
        # The cost of closing the gap at an end, given how well both lines are known there.
        closed = [
            gap**2 / (left.variance(end) + right.variance(end))
            for gap, end in zip(gaps, (low, high), strict=True)
        ]
        within = (low <= meet) & (meet <= high)
        at_low = ~(closed[0] > closed[1]) & ~np.isnan(closed[0])
        squares = left.squares + right.squares + np.where(within, 0.0, np.fmin(*closed))
    squares = np.where((low == high) | np.isnan(squares), np.inf, squares)
    return squares, np.select([within, at_low], [meet, low], high)


@dataclass(frozen=True, eq=False)
class _Lines:
    """The best lines through the first k samples, one line for each k.

    Attributes
    ----------
    count, x, target
        The number of samples, and their means.
    slope, squares
        The slope, 0 for flat lines and a single x; the sum of squared residuals.
    sxx
        The sum of squares of x about the mean, infinite for flat lines.
    """

    count: npt.NDArray[np.int64]
    x: Float64Array
    target: Float64Array
    slope: Float64Array
    squares: Float64Array
    sxx: Float64Array

    @classmethod
    def of(
        cls,
        sums: Float64Array,
        count: npt.NDArray[np.int64],
        x: Float64Array,
        target: Float64Array,
        sloping: bool = True,
    ) -> Self:
        """Return the lines from cumulated sums of the terms."""
        means = sums[:2] / count
        mean_x, mean_target = means + np.array([[x[0]], [target[0]]])
        stt = np.maximum(sums[4] - count * means[1] ** 2, 0.0)
        if not sloping:
            return cls(count, mean_x, mean_target, 0 * stt, stt, np.full_like(stt, np.inf))
        one_x = x[count - 1] == x[0]
        sxx = np.where(one_x, 0.0, np.maximum(sums[2] - count * means[0] ** 2, 0.0))
        sxt = sums[3] - count * means[0] * means[1]
        slope = np.divide(sxt, sxx, out=np.zeros_like(sxx), where=sxx > 0)
        squares = np.maximum(stt - slope * sxt, 0.0)
        return cls(count, mean_x, mean_target, slope, squares, sxx)

    def at(self, x: Float64Array) -> Float64Array:
        """Return the heights of the lines."""
        return self.target + self.slope * (x - self.x)

    def variance(self, x: Float64Array) -> Float64Array:
        """Return the variances of the heights, in units of the variance of the noise."""
        return 1 / self.count + (x - self.x) ** 2 / self.sxx
