"""Networks that are inactive on every sample before training, on any number of samples."""

import math

import numpy as np

from relulab.model.initialization import Distribution, Normal, Uniform
from relulab.theory.extremes import quotient
from relulab.validation import InputError, finite_number, shown


def born_dead_probability(w: object, b: object, x_min: float, x_max: float) -> float:
    """Return P(w*x + b <= 0 at every sample), which the smallest and the largest x decide.

    - Two numbers: the same test as in training in float64, to the bit.
    - Two Gaussians: their direction, in units of the standard deviations, is uniform, and the unit
      fires at x on a half plane of directions. Two half planes whose normals enclose the angle t
      are both missed with probability (pi - t)/(2 pi). (This is the one-dimensional case of Shin &
      Karniadakis 2019, arXiv 1907.09696.)
    - Two uniform distributions on [-W, W] and [-B, B]: the unit is dead if b <= -x_max*w for w > 0,
      or b <= -x_min*w for w < 0; each is the area below a line in a rectangle.
    - One of w and b is a number: the unit is dead on an interval of the other.

    Parameters
    ----------
    w, b : float, Normal or Uniform
        As a ``Sweep`` takes them; independent of each other.
    x_min, x_max : float
        The smallest and the largest x of the samples.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If x_min > x_max, or if there is no closed form here: for other distributions, or two of
        different kinds or not both of mean 0.

    Examples
    --------
    >>> import relulab as rl
    >>> rl.theory.born_dead_probability(rl.Normal(0, 1), rl.Normal(0, 1), x_min=-1, x_max=1)
    0.25
    """
    low, high = finite_number("x_min", x_min), finite_number("x_max", x_max)
    if low > high:
        raise InputError(f"x_max: expected a number >= x_min = {low:g}, got {high:g}")
    w, b = _number_or_law("w", w), _number_or_law("b", b)
    if isinstance(w, float) and isinstance(b, float):
        return float(not (w * low + b > 0 or w * high + b > 0))
    if isinstance(b, float):
        return _probability(w, *_dead_interval(b, low, high))
    if isinstance(w, float):
        return _probability(b, -math.inf, -max(w * low, w * high))
    if isinstance(w, Normal) and isinstance(b, Normal) and w.mean == b.mean == 0:
        # From the angles of the two half planes that do not fire: nothing cancels if few are dead.
        ends = (float(quotient([x, w.std], [b.std])) for x in (high, -low))
        return sum(math.atan2(1, end) for end in ends) / (2 * math.pi)
    if isinstance(w, Uniform) and isinstance(b, Uniform) and w.low + w.high == b.low + b.high == 0:
        slopes = (float(quotient([x, w.high], [b.high])) for x in (high, -low))
        return sum(map(_mean_fraction_below, slopes)) / 2
    raise InputError(
        "w, b: expected two Normal or two Uniform of mean 0, or a number for one of them,"
        f" got {shown(w)} and {shown(b)}"
    )


def _number_or_law(name: str, value: object) -> float | Normal | Uniform:
    """Return a number or a distribution with a density."""
    if isinstance(value, Normal) and value.std == 0:
        return value.mean
    if isinstance(value, Normal | Uniform):
        return value
    if isinstance(value, Distribution | np.ndarray | list | tuple):
        raise InputError(f"{name}: expected a number, Normal or Uniform, got {shown(value)}")
    return finite_number(name, value)


def _probability(law: float | Normal | Uniform, low: float, high: float) -> float:
    """Return the probability of an interval, which may be empty or unbounded."""
    if isinstance(law, float):
        return float(low <= law <= high)
    if low > high:
        return 0.0
    if isinstance(law, Uniform):
        return max(min(high, law.high) - max(low, law.low), 0.0) / (law.high - law.low)
    low, high = _standardized(law, low), _standardized(law, high)
    if low > 0:  # mirrored: small tails keep their digits
        low, high = -high, -low
    if high > 0:
        return (math.erf(high) - math.erf(low)) / 2
    return (math.erfc(-high) - math.erfc(-low)) / 2


def _standardized(law: Normal, value: float) -> float:
    """Return (value - mean)/(std*sqrt(2)); intermediate numbers may be beyond float64."""
    if math.isinf(value):
        return value
    apart = value - law.mean
    factors = [apart] if math.isfinite(apart) else [value / 2 - law.mean / 2, 2.0]
    return float(quotient(factors, [law.std, math.sqrt(2)]))


def _dead_interval(b: float, x_min: float, x_max: float) -> tuple[float, float]:
    """Return the interval of w on which w*x <= -b at both ends of the data; empty if low > high."""
    low, high = -math.inf, math.inf
    for x in (x_min, x_max):
        end = float(quotient([-b], [abs(x)]))
        if x > 0:
            high = min(high, end)
        elif x < 0:
            low = max(low, -end)
        elif b > 0:
            return math.inf, -math.inf
    return low, high


def _mean_fraction_below(slope: float) -> float:
    """Return the mean over r in [0, 1] of P(u <= -slope*r), for u uniform on [-1, 1].

    That is the mean of (1 - slope*r)/2, clipped to 0 and 1: a trapezoid, or a triangle next to an
    empty or a full rectangle.
    """
    if slope > 1:
        return 0.25 / slope
    if slope < -1:
        return 1 + 0.25 / slope
    return 0.5 - slope / 4
