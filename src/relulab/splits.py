"""Sorted samples, and what a loss needs to know of the samples on each side of every split.

The samples on which a unit fires are a prefix or a suffix of the samples in the order of x. So the
full-batch loss and its gradient follow from a few moments of both sides, tabulated once, however
many samples there are; so does the best fit.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relulab.double_double import DoubleDouble


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
        return rest.where(rest.hi > 0)


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

    x: npt.NDArray[np.float64]
    target: npt.NDArray[np.float64]
    first: Moments
    last: Moments

    @classmethod
    def of(cls, x: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> "Splits":
        """Return the splits of some samples in any order; O(n log n)."""
        order = np.argsort(x, kind="stable")
        x, target = x[order], target[order]
        with np.errstate(all="ignore"):  # whoever needs finite moments looks
            last = _moments(x[::-1], target[::-1])
            reverse = {name: value[::-1] for name, value in vars(last).items()}
            return cls(x, target, _moments(x, target), Moments(**reverse))


def _moments(x: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> Moments:
    """Return the moments of every prefix."""
    # Sums about a number near the mean, so that they do not cancel when the mean is subtracted.
    middle_x, middle_target = DoubleDouble.of(np.mean(x)), DoubleDouble.of(np.mean(target))
    dx, dt = DoubleDouble.of(x) - middle_x, DoubleDouble.of(target) - middle_target
    count = DoubleDouble.of(np.arange(x.size + 1))
    some = DoubleDouble.of(np.maximum(count.hi, 1))
    mean_dx, mean_dt = dx.cumulative_sum() / some, dt.cumulative_sum() / some

    def centered(a: DoubleDouble, b: DoubleDouble, means: DoubleDouble) -> DoubleDouble:
        return (a * b).cumulative_sum() - count * means

    # Exactly 0 where all values so far are equal, where only rounding would be left.
    x_varies = np.append(False, np.minimum.accumulate(x) < np.maximum.accumulate(x))
    t_varies = np.append(False, np.minimum.accumulate(target) < np.maximum.accumulate(target))
    any_yet = count.hi > 0
    return Moments(
        count=count,
        mean_x=(middle_x + mean_dx).where(any_yet),
        mean_target=(middle_target + mean_dt).where(any_yet),
        sxx=centered(dx, dx, mean_dx * mean_dx).where(x_varies),
        sxt=centered(dx, dt, mean_dx * mean_dt).where(x_varies & t_varies),
        stt=centered(dt, dt, mean_dt * mean_dt).where(t_varies),
    )
