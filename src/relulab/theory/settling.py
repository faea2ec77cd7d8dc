"""Where training can settle: sharpness, stability limits, and what is conserved."""

import math
from typing import Any

import numpy as np

from relulab.theory.extremes import distance, quotient
from relulab.validation import Float64Array, InputError, finite_number, instance_of, number_arrays

LARGEST_STABLE_RATE = 2.0
"""No stationary point is linearly stable above it, on any data, as long as c trains.

The Hessian's entry for c is 1, so its largest eigenvalue is at least 1, and gradient descent is
stable only where that is below 2 / learning_rate.
"""


def interpolation_sharpness(w: Any, b: Any, v: Any, x: Any) -> Float64Array:
    """Return the largest eigenvalue of the Hessian at zero loss on one sample, c training.

    The residual is 0, so the Hessian is the square of the gradient (v*x, v, a, 1) of the output: of
    rank one, with the eigenvalue a^2 + 1 + s*v^2, or 1 where the unit is inactive. With c frozen
    it is less by 1. ``relulab.sharpness`` is of any networks on any data.

    Parameters
    ----------
    w, b, v, x : array_like
        Of shapes that broadcast; c is what makes the loss 0.

    Returns
    -------
    ndarray of float64, of the common shape
        Gradient descent settles there only if the learning rate is below 2 divided by this. At
        a = 0, where the loss has two sides, this is of the inactive one, the smaller.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.interpolation_sharpness(w=[1, -1], b=0, v=3, x=1).tolist()
    [20.0, 1.0]
    """
    w, b, v, x = number_arrays(w=w, b=b, v=v, x=x)
    with np.errstate(all="ignore"):
        a, slope = w * x + b, v * x
        result: Float64Array = 1 + np.where(a > 0, a * a + v * v + slope * slope, 0)
    return result


def largest_stable_rate(
    x: float, target: float, *, c: float | None = None, c_trains: bool = True
) -> float:
    """Return the learning rate above which no active network of zero loss on one sample is stable.

    At zero loss v*a = target - c, so that a^2 + s*v^2 >= 2*q*|target - c|, with equality where
    A = |v|; ``interpolation_sharpness`` has the rest.

    Parameters
    ----------
    x, target : float
        The sample.
    c : float, optional
        The output bias of the network that training would settle at; None for the best of all.
    c_trains : bool
        Whether c is trained; where it is not, it must be given.

    Returns
    -------
    float
        ``LARGEST_STABLE_RATE`` for the best c, which is near ``target``; 2/(1 + 2*q*|target - c|)
        for another; 1/(q*|target - c|) where c is frozen, inf where it is frozen at ``target``.
        A supremum: the limit itself is not linearly stable.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.largest_stable_rate(1, 3), round(theory.largest_stable_rate(1, 3, c=0), 6)
    (2.0, 0.210853)
    """
    q, target = math.hypot(1, finite_number("x", x)), finite_number("target", target)
    instance_of("c_trains", c_trains, bool)
    if c is None:
        if not c_trains:
            raise InputError("c: expected a number where c does not train, got None")
        return LARGEST_STABLE_RATE
    gap = distance(target, finite_number("c", c))
    frozen = float(quotient([1.0], [q, *gap]))
    if c_trains and frozen > 1e-300:  # below, the 1 counts for nothing
        return LARGEST_STABLE_RATE / (1 + 2 / frozen)
    return frozen


def balance(w: Any, b: Any, v: Any) -> Float64Array:
    """Return w^2 + b^2 - v^2, which gradient flow conserves, on any data.

    The loss depends on (w, b) and v through v*relu(w*x + b), which stays the same when w and b are
    multiplied by a positive number and v divided by it. So w*g_w + b*g_b - v*g_v = 0 of the
    gradient g, and a step changes the balance by learning_rate^2 * (g_w^2 + g_b^2 - g_v^2) exactly.
    (Du, Hu & Lee 2018, arXiv 1806.00900, have it for deep networks.) On one sample w - x*b is
    conserved as well, by any step.

    Parameters
    ----------
    w, b, v : array_like
        Of shapes that broadcast.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.balance(w=[1, 3], b=[2, 4], v=5).tolist()
    [-20.0, 0.0]
    """
    w, b, v = number_arrays(w=w, b=b, v=v)
    largest = np.maximum(np.maximum(np.abs(w), np.abs(b)), np.abs(v))
    power = np.where(largest > 2.0**500, -600, 0).astype(np.int32)
    with np.errstate(all="ignore"):
        w, b, v = (np.ldexp(value, power) for value in (w, b, v))
        result: Float64Array = np.ldexp(w * w + b * b - v * v, -2 * power)
    return result
