"""Networks that are inactive on every sample before any training, on any number of samples."""

import math

import numpy as np

from relulab.model.initialization import Distribution, Normal, Uniform
from relulab.validation import InputError, finite_number, shown


def born_dead_probability(w: object, b: object, x_min: float, x_max: float) -> float:
    """Return P(w*x + b <= 0 at every sample), which the smallest and the largest x decide.

    - Two Gaussians: their direction, in units of the standard deviations, is uniform, and firing at
      x is a half plane of directions. Two half planes whose normals include the angle t are both
      missed with probability (pi - t)/(2 pi). (The case of one dimension of Shin & Karniadakis
      2019, arXiv 1907.09696.)
    - Two uniform distributions on [-W, W] and [-B, B]: for w > 0 the unit is dead where
      b <= -x_max*w, for w < 0 where b <= -x_min*w; each is the area beside a line in a rectangle.
    - Where w or b is a number, what is dead is an interval of the other.

    Parameters
    ----------
    w, b : float, Normal or Uniform
        As a ``Sweep`` takes them; independent of each other.
    x_min, x_max : float
        Of the samples.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If x_min > x_max, or if there is no closed form here: for other distributions, and for two
        that are not of one kind or not both of mean 0.
    """
    low, high = finite_number("x_min", x_min), finite_number("x_max", x_max)
    if low > high:
        raise InputError(f"x_max: expected a number >= x_min = {low:g}, got {high:g}")
    w, b = _number_or_law("w", w), _number_or_law("b", b)
    if isinstance(b, float):
        return _dead_at_fixed_bias(w, b, low, high)
    if isinstance(w, float):
        return _below(b, -max(w * low, w * high))
    if isinstance(w, Normal) and isinstance(b, Normal) and w.mean == b.mean == 0:
        angle = math.atan2(high * w.std, b.std) - math.atan2(low * w.std, b.std)
        return 0.5 - angle / (2 * math.pi)
    if isinstance(w, Uniform) and isinstance(b, Uniform) and w.low + w.high == b.low + b.high == 0:
        ratio = w.high / b.high
        return (_mean_fraction_below(high * ratio) + _mean_fraction_below(-low * ratio)) / 2
    raise InputError(
        "w, b: expected two Normal or two Uniform of mean 0, or a number for one of them,"
        f" got {shown(w)} and {shown(b)}"
    )


def _number_or_law(name: str, value: object) -> float | Normal | Uniform:
    """Return a number or a distribution that has a density."""
    if isinstance(value, Normal) and value.std == 0:
        return value.mean
    if isinstance(value, Normal | Uniform):
        return value
    if isinstance(value, Distribution | np.ndarray | list | tuple):
        raise InputError(f"{name}: expected a number, Normal or Uniform, got {shown(value)}")
    return finite_number(name, value)


def _below(law: Normal | Uniform, value: float) -> float:
    """Return the probability of what is at most a value."""
    if isinstance(law, Normal):
        return math.erfc((law.mean - value) / (law.std * math.sqrt(2))) / 2
    return min(max((value - law.low) / (law.high - law.low), 0.0), 1.0)


def _dead_at_fixed_bias(w: float | Normal | Uniform, b: float, x_min: float, x_max: float) -> float:
    """Return the probability of the interval of w on which w*x <= -b at both ends of the data."""
    low, high = -math.inf, math.inf
    for x in (x_min, x_max):
        if x > 0:
            high = min(high, -b / x)
        elif x < 0:
            low = max(low, -b / x)
        elif b > 0:
            return 0.0
    if isinstance(w, float):
        return float(low <= w <= high)
    return max(_below(w, high) - _below(w, low), 0.0)


def _mean_fraction_below(slope: float) -> float:
    """Return the mean over r in [0, 1] of P(u <= -slope*r), for u uniform on [-1, 1].

    That is of (1 - slope*r)/2, within 0 and 1: a trapezium, or a triangle beside an empty or a full
    rectangle.
    """
    if slope > 1:
        return 1 / (4 * slope)
    if slope < -1:
        return 1 + 1 / (4 * slope)
    return 0.5 - slope / 4
