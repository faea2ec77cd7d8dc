"""Sorted samples, and what a loss needs to know of the samples on each side of every split.

The samples on which a unit fires are a prefix or a suffix of the samples in the order of x. So the
full-batch loss and its gradient follow from a few moments of both sides, tabulated once, however
many samples there are; so does the best fit.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from relulab.model.double_double import DoubleDouble
from relulab.validation import Float64Array


@dataclass(frozen=True, eq=False)
class Moments:
    """Of every prefix of some samples, that of k samples at index k; each of shape (n_samples+1,).

    All in twice the precision of float64; 0 where there are too few samples to have them.

    Attributes
    ----------
    count, mean_x, mean_target
    sxx, sxt, stt
        The sums of (x - mean_x)^2, (x - mean_x)(target - mean_target), (target - mean_target)^2.
    """

    count: DoubleDouble
    mean_x: DoubleDouble
    mean_target: DoubleDouble
    sxx: DoubleDouble
    sxt: DoubleDouble
    stt: DoubleDouble

    @property
    def slope(self) -> DoubleDouble:
        """The slope of the least-squares line, 0 where all x are equal."""
        varies = self.sxx.hi > 0
        return (self.sxt / self.sxx.where(varies, 1.0)).where(varies)

    @property
    def residual_sum(self) -> DoubleDouble:
        """The sum of squared residuals of the least-squares line."""
        rest = self.stt - self.slope * self.sxt
        return rest.where(~(rest.hi < 0))  # NaN stays

    def reversed(self) -> Self:
        """Return the moments in the opposite order."""
        return type(self)(**{name: value[::-1] for name, value in vars(self).items()})

    def mirrored(self) -> Self:
        """Return the moments of the samples at -x."""
        return replace(self, mean_x=-self.mean_x, sxt=-self.sxt)


@dataclass(frozen=True, eq=False)
class Splits:
    """All splits of the samples into the first k in the order of x and the others.

    Attributes
    ----------
    x, target : ndarray of float64, shape (n_samples,)
        Ascending in x.
    first, last : Moments
        Of the samples 0 ... k-1, and k ... n_samples-1, at index k.
    """

    x: Float64Array
    target: Float64Array
    first: Moments
    last: Moments

    @classmethod
    def of(cls, x: Float64Array, target: Float64Array) -> Self:
        """Return the splits of some samples in any order; O(n log n)."""
        order = np.argsort(x, kind="stable")
        x, target = x[order], target[order]
        with np.errstate(all="ignore"):  # whoever needs finite moments looks
            return cls(x, target, _moments(x, target), _moments(x[::-1], target[::-1]).reversed())

    def mirrored(self) -> Self:
        """Return the splits of the samples at -x."""
        first, last = (side.mirrored().reversed() for side in (self.last, self.first))
        return type(self)(-self.x[::-1], self.target[::-1], first, last)


def _moments(x: Float64Array, target: Float64Array) -> Moments:
    """Return the moments of every prefix."""
    n = x.size
    # About sqrt(n) blocks of sqrt(n) samples: the prefixes within all blocks at once, one sample
    # longer each time, and then what is before the block put in front. Row i has the prefixes of
    # length i+1, column j is block j; what is beyond the end has count 0.
    side = math.isqrt(n - 1) + 1
    samples = np.zeros((3, side * side))
    samples[:, :n] = np.ones(n), x, target
    count, *means = samples.reshape(3, side, side).transpose(0, 2, 1)
    within = _Merged.of(count, np.stack(means))
    for i in range(1, side):
        within[i] = within[i - 1].followed_by(within[i])
    totals = within[side - 1]
    before = _Merged.of(np.zeros(side), np.zeros((2, side)))
    for j in range(1, side):
        before[j] = before[j - 1].followed_by(totals[j - 1])
    for i in range(side):  # row by row, which stays in the cache
        within[i] = before.followed_by(within[i])

    def column(values: DoubleDouble) -> DoubleDouble:
        """Return the values in the order of the samples, after a 0 for the empty prefix."""
        hi, lo = (np.append(0.0, part.T.ravel()[:n]) for part in (values.hi, values.lo))
        return DoubleDouble(hi, lo)

    return Moments(
        count=column(within.count),
        mean_x=column(within.means[0]),
        mean_target=column(within.means[1]),
        sxx=column(within.squares[0]),
        sxt=column(within.squares[1]),
        stt=column(within.squares[2]),
    )


@dataclass(frozen=True, eq=False)
class _Merged:
    """Moments of many sets of samples, put together as Chan, Golub & LeVeque (1983) do.

    Nothing cancels in it, however near to each other the samples of a set are.

    Attributes
    ----------
    count : DoubleDouble, shape (...)
    means : DoubleDouble, shape (2, ...)
        Of x and target.
    squares : DoubleDouble, shape (3, ...)
        sxx, sxt, stt.
    """

    count: DoubleDouble
    means: DoubleDouble
    squares: DoubleDouble

    @classmethod
    def of(cls, count: Float64Array, means: Float64Array) -> Self:
        """Return sets of at most one sample."""
        squares = np.zeros((3, *count.shape))
        return cls(DoubleDouble.of(count), DoubleDouble.of(means), DoubleDouble.of(squares))

    def __getitem__(self, index: Any) -> Self:
        inner = (slice(None), index)
        return type(self)(self.count[index], self.means[inner], self.squares[inner])

    def __setitem__(self, index: int, values: Self) -> None:
        self.count[index] = values.count
        self.means[:, index] = values.means
        self.squares[:, index] = values.squares

    def followed_by(self, other: Self) -> Self:
        """Return the moments of the unions."""
        count = self.count + other.count
        fraction = (other.count / count).where(count.hi > 0)
        step = other.means - self.means
        weight = self.count * fraction
        return type(self)(
            count=count,
            means=self.means + step * fraction,
            squares=self.squares + other.squares + step[[0, 0, 1]] * step[[0, 1, 1]] * weight,
        )
