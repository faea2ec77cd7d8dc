"""The samples on which a unit is active or that lie on its hinge: moments in double-double.

In sorted order the active samples are a prefix or a suffix. So their moments come from a table, and
a network costs O(log n_samples). The table has twice the digits of float64, because formulas with
w*mean_x + b cancel if x is far from 0 (years, say).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from relulab.model.data import TrainingSet, cached
from relulab.model.double_double import DoubleDouble
from relulab.model.splits import Splits
from relulab.validation import Float64Array, FloatArray, InputError, instance_of

IntArray = npt.NDArray[np.int64]


class Side(NamedTuple):
    """Which samples are active, in the order of x, for every network; both of shape (n_nets,).

    Attributes
    ----------
    split : ndarray of int
        The samples from this one on are active or, if not ``rising``, those before it.
    rising : ndarray of int
        1 or 0.
    """

    split: IntArray
    rising: IntArray


class Moments(NamedTuple):
    """The moments of the active samples of every network, each of shape (n_nets,).

    Attributes
    ----------
    fraction : DoubleDouble
        Their share of all samples.
    mean_x, mean_target : DoubleDouble
    sxx, sxt : DoubleDouble
        The sums of (x - mean_x)^2 and (x - mean_x)*target, divided by the number of all samples.
    """

    fraction: DoubleDouble
    mean_x: DoubleDouble
    mean_target: DoubleDouble
    sxx: DoubleDouble
    sxt: DoubleDouble


@dataclass(frozen=True, eq=False)
class ActiveSamples:
    """A training set, prepared for questions about the active samples of many networks.

    Attributes
    ----------
    x : ndarray of float64, shape (n_samples,)
        Ascending.
    table : ndarray of float64, shape (n_samples+1, 2, 8)
        High and low parts of mean_x, mean_target, sxx, sxt; index k has those of the first k
        samples and of the others.
    """

    x: Float64Array
    table: Float64Array

    @classmethod
    def of(cls, data: object) -> Self:
        """Return the table of a training set, made once; refuse anything else."""
        instance_of("data", data, TrainingSet)
        return cached(data, cls._of)  # type: ignore[arg-type]

    @classmethod
    def _of(cls, data: TrainingSet) -> Self:
        splits = Splits.of(data.x, data.target)
        n_samples = DoubleDouble.of(splits.x.size)
        table = np.empty((splits.x.size + 1, 2, 8))
        with np.errstate(all="ignore"):
            for side, values in enumerate((splits.first, splits.last)):
                moments = (
                    values.mean_x,
                    values.mean_target,
                    *(total / n_samples for total in (values.sxx, values.sxt)),
                )
                for column, moment in enumerate(moments):
                    table[:, side, 2 * column] = moment.hi
                    table[:, side, 2 * column + 1] = moment.lo
        # Squares too small for float64 would make distinct x look equal.
        smallest = np.finfo(float).tiny / np.finfo(float).eps ** 2
        vanishes = splits.x[0] < splits.x[-1] and splits.last.sxx.hi[0] < smallest
        if vanishes or not np.isfinite(table).all():
            raise InputError(
                "data: expected samples whose sums of squares are within the range of float64, got"
                f" {data!r}"
            )
        return cls(splits.x, table)

    def sides(self, w: FloatArray, b: FloatArray, tolerance: float) -> tuple[Side, Side]:
        """Return the sides with the samples on the hinge inactive, and with them active.

        A sample is on the hinge if |w*x + b| <= tolerance*(|w|*max|x| + |b|).
        """
        rising = w >= 0
        sign = np.where(rising, 1.0, -1.0)
        with np.errstate(all="ignore"):  # networks that are not finite, and overflow
            largest_x = max(-self.x[0], self.x[-1])
            slack = tolerance * np.abs(w) * largest_x + tolerance * np.abs(b)
            first = self._first(lambda pre: pre >= -slack, sign * w, sign * b)
            after = self._first(lambda pre: pre > slack, sign * w, sign * b)
        inactive, active = np.where(rising, after, first), np.where(rising, first, after)
        return Side(inactive, rising.astype(np.int64)), Side(active, rising.astype(np.int64))

    def _first(
        self, is_beyond: Callable[[FloatArray], npt.NDArray[np.bool_]], w: FloatArray, b: FloatArray
    ) -> IntArray:
        """Return the first sample at which ``is_beyond(w*x + b)``, which is monotone for w >= 0."""
        low, high = np.zeros(w.size, np.int64), np.full(w.size, self.x.size)
        for _ in range(self.x.size.bit_length()):
            middle = (low + high) >> 1
            # If low == high == n_samples, there is no such sample.
            beyond = is_beyond(w * self.x[np.minimum(middle, self.x.size - 1)] + b)
            beyond |= middle >= high
            high = np.where(beyond, middle, high)
            low = np.where(beyond, low, middle + 1)
        return high

    @property
    def mean_target(self) -> DoubleDouble:
        """The mean target of all samples."""
        return DoubleDouble(*self.table[0, 1, 2:4])

    def moments(self, side: Side) -> Moments:
        """Return the moments of the active samples; all 0 if there are none."""
        rows = self.table[side.split, side.rising].T
        count = np.where(side.rising, self.x.size - side.split, side.split)
        fraction = DoubleDouble.of(count) / DoubleDouble.of(self.x.size)
        return Moments(fraction, *(DoubleDouble(*rows[i : i + 2]) for i in range(0, 8, 2)))
