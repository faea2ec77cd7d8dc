"""One sample with c frozen at 0 and A = v: the edge of stability in one number."""

import math
from typing import Any

import numpy as np

from relulab.validation import Float64Array, finite_number, number_arrays

FROZEN_C_SETTLES = 1.0
"""Below this k = learning_rate*q*target zero loss, y = 1, is stable in ``balanced_step``.

Its slope there is 1 - 2*k; period 2 begins.
"""

FROZEN_C_PERIOD_4 = math.sqrt(5) - 1
"""From this k on the orbit of period 2 of ``balanced_step`` is unstable: period 4 begins.

Its points have y*z = 1/k and y^2 + z^2 = 1 + 1/k, so the product of the two slopes 1 + k - 3*k*y^2
is 9 - 2*(1 + k)^2, which is -1 here.
"""

FROZEN_C_DIES = 1.5 * math.sqrt(3) - 1
"""Below this k no start under sqrt((1 + k)/k), where a step leads to 0, is ever killed.

The largest value of ``balanced_step``, at y^2 = (1 + k)/(3*k), comes up to that bound here. Above,
almost every start dies.
"""


def balanced_start(
    x: float, target: float, y: Any
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return w, b, v with A = v = y*sqrt(target/q), whose output with c = 0 is y^2*target.

    Parameters
    ----------
    x, target : float
        The sample; target > 0.
    y : array_like
        1 at zero loss.
    """
    x = finite_number("x", x)
    q = math.hypot(1, x)
    [y] = number_arrays(y=y)
    scale = math.sqrt(finite_number("target", target, above=0) / q)
    with np.errstate(all="ignore"):
        v = y * scale
        return x * v / q if x else np.zeros_like(v), v / q, v


def balanced_step(y: Any, k: Any) -> Float64Array:
    """Return y*(1 + k - k*y^2): a step from a balanced start with c frozen at 0.

    A + v is multiplied by 1 - learning_rate*q*e, with e = (y^2 - 1)*target, and A - v stays 0. The
    unit is dead as soon as this is not above 0.

    Parameters
    ----------
    y : array_like
        Of ``balanced_start``.
    k : array_like
        learning_rate*q*target.
    """
    y, k = number_arrays(y=y, k=k)
    with np.errstate(all="ignore"):
        result: Float64Array = y * (1 + k * (1 - y) * (1 + y))
    return result
