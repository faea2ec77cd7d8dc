"""Keep intermediate numbers within float64 if the result is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from relulab.validation import Float64Array


def quotient(numerators: Sequence[Any], denominators: Sequence[Any] = ()) -> Float64Array:
    """Return the product of some numbers divided by others; no part of it over- or underflows.

    Mantissas and exponents are multiplied separately. A 0 among the numerators makes the result 0,
    whatever else there is; a 0 among the denominators alone makes it infinite. Takes about a
    thousand factors at most, none infinite, and no negative denominators.
    """
    mantissa: Any = np.float64(1)
    exponent: Any = np.int64(0)
    with np.errstate(all="ignore"):
        for value in numerators:
            part, power = np.frexp(value)
            mantissa, exponent = mantissa * part, exponent + power
        zero = mantissa == 0
        for value in denominators:
            part, power = np.frexp(value)
            mantissa, exponent = mantissa / part, exponent - power
        # ldexp takes an int32 exponent on every platform.
        exponent = np.clip(exponent, -5000, 5000).astype(np.int32)
        result: Float64Array = np.where(zero, 0.0, np.ldexp(mantissa, exponent))
    return result


def distance(one: Any, other: Any) -> tuple[Any, Any]:
    """Return two factors of |one - other|, each within float64: the second is 1 or 2."""
    with np.errstate(all="ignore"):
        whole = np.abs(np.subtract(one, other))
        half = np.abs(np.multiply(one, 0.5) - np.multiply(other, 0.5))
    far = np.isinf(whole)
    return np.where(far, half, whole), np.where(far, 2.0, 1.0)


def scaled_activation(w: Any, b: Any, x: Any) -> Float64Array:
    """Return A = (w*x + b)/q, with q = sqrt(1 + x^2); w*x may be beyond float64."""
    with np.errstate(all="ignore"):
        q = np.hypot(1, x)
        a = w * x + b
        result: Float64Array = np.where(np.isfinite(a), a / q, w * (x / q) + b / q)
    return result
