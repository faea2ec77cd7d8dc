"""Runs that cannot diverge: a potential that no step raises."""

from typing import Any

import numpy as np

from relulab.theory.dying import BoolArray
from relulab.theory.extremes import scaled_activation
from relulab.validation import Float64Array, InputError, number_arrays


def descent_potential(w: Any, b: Any, v: Any, c: Any, x: Any, target: Any) -> Float64Array:
    """Return V = A^2 + v^2 + 2*(c - target)^2, which steps at small rates cannot raise.

    A step of an active unit on one sample moves A by -rate*q*v*e, v by -rate*q*A*e and c by
    -rate*e. To first order V changes by -4*rate*e*(q*A*v + c - target), which is -4*rate*e^2; to
    second order by (rate*e)^2*(s*(A^2 + v^2) + 2). With lambda of ``interpolation_sharpness``, the
    whole change is exactly -rate*e^2*(4 - rate*(lambda + 1)). If the unit is dead, only c moves,
    and V does not rise at rates up to 2.

    On any number of samples with one target, U = w^2 + b^2 + v^2 + 2*(c - target)^2 changes by
    -8*rate*loss + rate^2*(g_w^2 + g_b^2 + g_v^2 + 2*g_c^2), with g the gradient: w*g_w + b*g_b and
    v*g_v are both the mean of e*v*a, and adding (c - target)*g_c to either gives the mean of e^2.
    On one sample U - V is ((w - x*b)/q)^2, which no step changes. (A Lyapunov function in the usual
    sense.)

    Parameters
    ----------
    w, b, v, c, x, target : array_like
        The parameters and the sample, of shapes that broadcast.

    Returns
    -------
    ndarray of float64, of the common shape
        In units of target^2 if x is a pure number.

    Raises
    ------
    InputError
        If an argument is not of numbers.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.descent_potential(1, 0, [1, 2], 0, x=0, target=3).tolist()
    [19.0, 22.0]
    """
    w, b, v, c, x, target = number_arrays(w=w, b=b, v=v, c=c, x=x, target=target)
    with np.errstate(all="ignore"):
        scaled, gap = scaled_activation(w, b, x), c - target
        result: Float64Array = scaled * scaled + v * v + 2 * gap * gap
    return result


def cannot_diverge(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, learning_rate: Any
) -> BoolArray:
    """Return whether gradient descent on one sample provably cannot diverge, c training.

    That is so if rate*(2 + s*V) < 4, with V of ``descent_potential``; so the rate must be below 2.
    As lambda + 1 is at most 2 + s*V, a step does not raise V. So the condition still holds before
    the next step, and V bounds the parameters. It is sufficient, not necessary: in millions of runs
    on one sample no unit was alive when its run diverged, at any rate. That is not proved.

    On any number of samples with one target the same holds with the largest s, and with w^2 + b^2
    in place of A^2, for full and other batches: by Cauchy-Schwarz, the squares of the mean gradient
    are at most the mean of those of the samples, and a^2 is at most s*(w^2 + b^2).

    Parameters
    ----------
    w, b, v, c, x, target, learning_rate : array_like
        The initial parameters, the sample and rates >= 0, of shapes that broadcast.

    Returns
    -------
    ndarray of bool, of the common shape
        False where a number is not finite or s*V is beyond float64.

    Raises
    ------
    InputError
        If a rate is negative.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.cannot_diverge(0, 1, 1, 0, x=0, target=1, learning_rate=[0.6, 0.7]).tolist()
    [True, False]
    """
    w, b, v, c, x, target, rate = number_arrays(
        w=w, b=b, v=v, c=c, x=x, target=target, learning_rate=learning_rate
    )
    if (rate < 0).any():
        raise InputError(f"learning_rate: expected values >= 0, got {rate[rate < 0][0]}")
    with np.errstate(all="ignore"):
        # q times A, v and the gap: so s itself need not be within float64.
        a, slope, gap = w * x + b, np.hypot(1, x) * v, np.hypot(1, x) * (c - target)
        bound = 2 + a * a + slope * slope + 2 * gap * gap
        result: BoolArray = np.isfinite(bound) & (rate * bound < 4)
    return result
