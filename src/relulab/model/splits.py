"""Sorted samples, and the moments of the samples on each side of every split.

The samples on which a unit fires are a prefix or a suffix of the samples in the order of x. So the
full-batch loss, its gradient and the best fit follow from a few moments of both sides, tabulated
once, however many samples there are.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Self

import numpy as np
import numpy.typing as npt

from relulab.model.double_double import DoubleDouble, two_sum
from relulab.validation import Float64Array

# The moments of all prefixes are computed for HEIGHT lengths of WIDTH blocks at once: intermediate
# arrays stay in the cache, and lines of the result are written whole.
HEIGHT, WIDTH = 8, 256


@dataclass(frozen=True, eq=False)
class Moments:
    """The moments of every prefix, that of k samples at index k; each of shape (n_samples+1,).

    All are in twice the precision of float64, and 0 for too few samples.

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
        """The slope of the least-squares line, 0 if all x are equal."""
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
    """All splits of the samples into the first k, in the order of x, and the others.

    Attributes
    ----------
    x, target : ndarray of float64, shape (n_samples,)
        Ascending in x.
    ahead, back : Prefixes
        The prefixes of the samples in this order, and in the opposite one.
    """

    x: Float64Array
    target: Float64Array
    ahead: "Prefixes"
    back: "Prefixes"

    @classmethod
    def of(cls, x: Float64Array, target: Float64Array) -> Self:
        """Return the splits of some samples in any order; O(n log n)."""
        order = np.argsort(x, kind="stable")
        x, target = x[order], target[order]
        return cls(x, target, *_prefixes(np.stack([x, target])))

    @cached_property
    def first(self) -> Moments:
        """The moments of the samples 0 ... k-1, at index k."""
        return self.ahead.all()

    @cached_property
    def last(self) -> Moments:
        """The moments of the samples k ... n_samples-1, at index k."""
        return self.back.all().reversed()

    def at(self, split: npt.NDArray[np.int64]) -> tuple[Moments, Moments]:
        """Return ``first`` and ``last`` at some splits, with the same bits."""
        return self.ahead.at(split), self.back.at(self.x.size - split)


@dataclass(frozen=True, eq=False)
class Prefixes:
    """The prefixes of samples in one order, in about sqrt(n) blocks of sqrt(n) samples.

    Attributes
    ----------
    n_samples : int
    within : DoubleDouble, shape (5, side, side)
        The moments from mean_x to stt; at [:, i, j] those of the first i+1 samples of block j.
        Entries beyond the end have no meaning.
    before : DoubleDouble, shape (5, 1, side)
        The same moments; at [:, 0, j] those of all samples before block j.
    """

    n_samples: int
    within: DoubleDouble
    before: DoubleDouble

    def at(self, length: npt.NDArray[np.int64]) -> Moments:
        """Return the moments of the prefixes of given lengths."""
        side = self.within.hi.shape[1]
        block, row = np.divmod(length - 1, side)
        with np.errstate(all="ignore"):  # callers that need finite moments check
            shares = _shares(side * block, row + 1)
            values = _united(self.before[:, 0, block], self.within[:, row, block], shares)
        return _named(length, values.where(length > 0))

    def all(self) -> Moments:
        """Return the moments of every prefix."""
        n, side = self.n_samples, self.within.hi.shape[1]
        values = DoubleDouble.of(np.zeros((5, side * side + 1)))
        hi, lo = (_by_blocks(part, side) for part in (values.hi, values.lo))
        for rows, blocks, earlier, later in _tiles(side):
            with np.errstate(all="ignore"):
                shares = _shares(earlier, later)
                part = _united(self.before[:, :, blocks], self.within[:, rows, blocks], shares)
            hi[:, rows, blocks], lo[:, rows, blocks] = part.hi, part.lo
        return _named(np.arange(n + 1), values[:, : n + 1])

    def nearly(self) -> Float64Array:
        """Return the moments of every prefix in float64, the means as sums of two; shape (7, n+1).

        In the order mean_x, mean_target, sxx, sxt, stt, and the low parts of the two means. The
        errors are a few units in the last place: for sxt, of its limit sqrt(sxx*stt); for the
        means, of their distances to the samples.
        """
        n, side = self.n_samples, self.within.hi.shape[1]
        values = np.zeros((7, side * side + 1))
        table = _by_blocks(values, side)
        for rows, blocks, earlier, later in _tiles(side):
            first, then = self.before[:, :, blocks], self.within[:, rows, blocks]
            step = (then.hi[:2] - first.hi[:2]) + (then.lo[:2] - first.lo[:2])
            share = later / (earlier + later)
            means, rest = two_sum(first.hi[:2], step * share)
            spread = step[[0, 0, 1]] * step[[0, 1, 1]] * (earlier * share)
            table[:2, rows, blocks] = means
            table[2:5, rows, blocks] = first.hi[2:] + then.hi[2:] + spread
            table[5:, rows, blocks] = rest + first.lo[:2]
        # Exactly, if there is nothing before.
        table[:5, :, 0], table[5:, :, 0] = self.within.hi[:, :, 0], self.within.lo[:2, :, 0]
        return values[:, : n + 1]


def _prefixes(samples: Float64Array) -> tuple[Prefixes, Prefixes]:
    """Return the prefixes of samples, shape (2, n_samples), in this and the opposite order."""
    n = samples.shape[1]
    # First the prefixes within all blocks at once, one sample longer each time, then the blocks one
    # by one. The part before a block is added to its prefixes when they are needed.
    side = math.isqrt(n - 1) + 1
    padded = np.zeros((2, 2, side * side))
    padded[:, 0, :n], padded[:, 1, :n] = samples, samples[:, ::-1]
    within = DoubleDouble(*np.zeros((2, 5, 2, side, side)))
    within.hi[:2] = _by_blocks(padded, side, first=0)
    before = DoubleDouble.of(np.zeros((5, 2, side)))
    with np.errstate(all="ignore"):
        shares = _shares(np.arange(side), 1)
        for i in range(1, side):
            within[:, :, i] = _united(within[:, :, i - 1], within[:, :, i], shares[:, i])
        shares = _shares(side * np.arange(side), side)
        for j in range(1, side):
            block = within[:, :, -1, j - 1]
            before[:, :, j] = _united(before[:, :, j - 1], block, shares[:, j - 1])
    ahead, back = (Prefixes(n, within[:, order], before[:, [order]]) for order in range(2))
    return ahead, back


def _united(first: DoubleDouble, then: DoubleDouble, shares: DoubleDouble) -> DoubleDouble:
    """Return the moments of unions, combined as in Chan, Golub & LeVeque (1983).

    Nothing cancels, however close the samples are.
    """
    step = then[:2] - first[:2]
    means = first[:2] + step * shares[0]
    squares = first[2:] + then[2:] + step[[0, 0, 1]] * step[[0, 1, 1]] * shares[1]
    hi, lo = ((means.hi, squares.hi), (means.lo, squares.lo))
    return DoubleDouble(np.concatenate(hi), np.concatenate(lo))


def _shares(earlier: npt.ArrayLike, later: npt.ArrayLike) -> DoubleDouble:
    """Return the share of the later samples in the union, and the earlier count times it."""
    share = DoubleDouble.of(later) / DoubleDouble.of(np.add(earlier, later))
    weight = DoubleDouble.of(earlier) * share
    return DoubleDouble(np.stack([share.hi, weight.hi]), np.stack([share.lo, weight.lo]))


def _tiles(side: int) -> Iterator[tuple[slice, slice, Float64Array, Float64Array]]:
    """Yield some rows and blocks, and the numbers of samples before the blocks and in the rows."""
    number = np.arange(float(side))
    for i, j in product(range(0, side, HEIGHT), range(0, side, WIDTH)):
        rows, blocks = slice(i, i + HEIGHT), slice(j, j + WIDTH)
        yield rows, blocks, side * number[blocks], 1 + number[rows, np.newaxis]


def _by_blocks(values: Float64Array, side: int, first: int = 1) -> Float64Array:
    """Return a view of values of prefixes; length i+1 of block j is at [..., i, j]."""
    return np.swapaxes(values[..., first:].reshape(*values.shape[:-1], side, side), -1, -2)


def _named(count: npt.NDArray[np.int64], values: DoubleDouble) -> Moments:
    return Moments(DoubleDouble.of(count), *(values[i] for i in range(5)))
