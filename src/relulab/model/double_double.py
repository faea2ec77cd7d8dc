"""Numbers of twice the working precision, as unevaluated sums of two floats, on NumPy arrays.

Moments of a million samples need this to lose nothing of a float64 result, on every machine
(``numpy.longdouble`` is 64 bits on some). Dekker 1971; Hida, Li & Bailey 2001.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, eq=False)
class DoubleDouble:
    """The number hi + lo, with lo at most half a unit in the last place of hi."""

    hi: Any
    lo: Any

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return float64 values exactly."""
        hi = np.asarray(value, np.float64)
        return cls(hi, np.zeros_like(hi))

    def __add__(self, other: Self) -> Self:
        high, low = two_sum(self.hi, other.hi), two_sum(self.lo, other.lo)
        hi, lo = _renormalized(high[0], high[1] + low[0])
        return type(self)(*_renormalized(hi, lo + low[1]))

    def __neg__(self) -> Self:
        return type(self)(-self.hi, -self.lo)

    def __sub__(self, other: Self) -> Self:
        return self + -other

    def __mul__(self, other: Self) -> Self:
        hi, lo = two_product(self.hi, other.hi)
        return type(self)(*_renormalized(hi, lo + (self.hi * other.lo + self.lo * other.hi)))

    def __truediv__(self, other: Self) -> Self:
        first = type(self).of(self.hi / other.hi)
        rest = self - first * other
        second = type(self).of(rest.hi / other.hi)
        rest = rest - second * other
        return first + second + type(self).of(rest.hi / other.hi)

    def __getitem__(self, index: Any) -> Self:
        return type(self)(self.hi[index], self.lo[index])

    def __setitem__(self, index: Any, values: Self) -> None:
        self.hi[index], self.lo[index] = values.hi, values.lo

    def where(self, condition: Any, otherwise: float = 0.0) -> Self:
        """Return the numbers where the condition holds, else ``otherwise``."""
        return type(self)(np.where(condition, self.hi, otherwise), np.where(condition, self.lo, 0))


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the rounded sum and its error, exactly (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """Return the rounded product and its error, exact unless it overflows (Dekker, Veltkamp)."""
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def splitter(dtype: Any) -> Any:
    """Return the factor that splits a float into two halves of its digits (Veltkamp)."""
    return _splitter(np.dtype(dtype))


@cache
def _splitter(dtype: np.dtype[Any]) -> Any:
    return dtype.type(2 ** ((np.finfo(dtype).nmant + 2) // 2) + 1)


def _halves(a: Any) -> tuple[Any, Any]:
    scaled = splitter(np.asarray(a).dtype) * a
    high = scaled - (scaled - a)
    return high, a - high


def _renormalized(hi: Any, lo: Any) -> tuple[Any, Any]:
    total = hi + lo
    return total, lo - (total - hi)
