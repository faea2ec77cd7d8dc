"""One sample with c frozen: the edge of stability; if A = v, one number decides.

That number is k = learning_rate*q*|target - c|. The phases as k grows: monotone below
``FROZEN_C_MONOTONE``, settling below ``FROZEN_C_SETTLES``, periods 2, 4, 8, ..., chaos with
windows, and death from ``FROZEN_C_DIES`` on (Chen, Balasubramanian, Ghosal & Agrawalla 2023, arXiv
2310.01687, describe them for the same cubic map).
"""

import math
from typing import Any

import numpy as np

from relulab.theory.extremes import distance, quotient, scaled_activation
from relulab.validation import Float64Array, InputError, finite_number, instance_of, number_arrays

FROZEN_C_MONOTONE = 2 / (1 + math.sqrt(2))  # 2*sqrt(2) - 2, with all its digits
"""Up to this k no step of ``balanced_step`` raises the loss, from any start that it does not kill.

With e = y^2 - 1, a step multiplies e by 1 - 2*k - k*(2 - k)*e + k^2*e^2. That is at most 1 for e up
to 2/k. Its minimum, at e = (2 - k)/(2*k), is 1 - 2*k - (2 - k)^2/4, which is -1 here. For larger k,
some starts with e > 0 are thrown further below 0 than they were above it (a catapult).
"""

FROZEN_C_SETTLES = 1.0
"""Below this k = learning_rate*q*target, zero loss (y = 1) is stable in ``balanced_step``.

The slope of the step there is 1 - 2*k, which is -1 here: period 2 begins.
"""

FROZEN_C_SUPERSTABLE = math.sqrt(4.5) - 1
"""At this k the orbit of period 2 of ``balanced_step`` attracts fastest: one of its slopes is 0.

See ``FROZEN_C_PERIOD_4``: the product of the two slopes, 9 - 2*(1 + k)^2, is 0 here.
"""

FROZEN_C_PERIOD_4 = math.sqrt(5) - 1
"""From this k on the orbit of period 2 of ``balanced_step`` is unstable: period 4 begins.

Its points have y*z = 1/k and y^2 + z^2 = 1 + 1/k, so the product of the two slopes 1 + k - 3*k*y^2
is 9 - 2*(1 + k)^2, which is -1 here.
"""

FROZEN_C_PERIOD_8 = 1.2880317544828428
"""From this k on the orbit of period 4 of ``balanced_step`` is unstable: period 8 begins.

The product of the orbit's slopes is -1 here, and also at the next two constants. They were found by
Newton's method at 50 digits, which a test repeats. The intervals between them shrink by a factor of
about 4.669 each time (Feigenbaum 1978).
"""

FROZEN_C_PERIOD_16 = 1.299227939650204
"""From this k on the orbit of period 8 of ``balanced_step`` is unstable: period 16 begins."""

FROZEN_C_PERIOD_32 = 1.3016289140370811
"""From this k on the orbit of period 16 of ``balanced_step`` is unstable: period 32 begins."""

FROZEN_C_DIES = 1.5 * math.sqrt(3) - 1
"""Below this k no start under sqrt((1 + k)/k), where a step leads to 0, ever dies.

The largest value of ``balanced_step``, at y^2 = (1 + k)/(3*k), reaches that bound here. Above this
k almost every start dies.
"""


def balanced_start(
    x: float, target: float, y: Any
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return w, b, v with A = v = y*sqrt(target/q); with c = 0 the output is y^2*target.

    Parameters
    ----------
    x, target : float
        The sample; target > 0.
    y : array_like
        1 at zero loss.

    Returns
    -------
    three ndarrays of float64, of the shape of ``y``
        w and b are y*x and y times sqrt(target/q)/q.

    Raises
    ------
    InputError
        If x is not finite, or the target is not above 0.

    Examples
    --------
    >>> import relulab as rl
    >>> w, b, v = rl.theory.balanced_start(x=1, target=3, y=0.5)
    >>> rl.Networks(w, b, v, 0).predict([1.0]).round(12).tolist()
    [[0.75]]
    """
    x = finite_number("x", x)
    q = math.hypot(1, x)
    [y] = number_arrays(y=y)
    target = finite_number("target", target, above=0)
    scale = math.sqrt(target / q)
    if target / q < np.finfo(float).tiny:
        scale = math.sqrt(target) / math.sqrt(q)
    with np.errstate(all="ignore"):
        v = y * scale
        w = x * v / q if x else np.zeros_like(v)
        return np.where(np.isfinite(w), w, x / q * v), v / q, v


def balanced_step(y: Any, k: Any) -> Float64Array:
    """Return y*(1 + k - k*y^2): a step from a balanced start with c frozen at 0.

    A + v is multiplied by 1 - learning_rate*q*e, with e = (y^2 - 1)*target, and A - v stays 0. The
    unit is dead as soon as the result is not above 0. It is computed as
    y*(1 + k*(1 - y)*(1 + y)), which keeps the digits of y near 1.

    Parameters
    ----------
    y : array_like
        As in ``balanced_start``.
    k : array_like
        learning_rate*q*target.

    Returns
    -------
    ndarray of float64, of the common shape

    Raises
    ------
    InputError
        If an argument is not of numbers.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.balanced_step([0.5, 1, 2], k=1).tolist()
    [0.875, 1.0, -4.0]
    """
    y, k = number_arrays(y=y, k=k)
    with np.errstate(all="ignore"):
        result: Float64Array = y * (1 + k * (1 - y) * (1 + y))
    # At y = -1 the first product can overflow before the factor 0.
    return np.where((np.abs(y) == 1) & np.isfinite(k), y, result)


def balanced_two_cycle(k: Any) -> tuple[Float64Array, Float64Array]:
    """Return the two points of the orbit of period 2 of ``balanced_step``.

    As in ``FROZEN_C_PERIOD_4``, their product is 1/k and the sum of their squares is 1 + 1/k. So
    the upper one has 2*k*y^2 = k + 1 + sqrt((k - 1)*(k + 3)). With r = y^2 this is
    1/k = r*(1/2 + sqrt(1/r - 3/4)), for the lower one and, up to k = 1.5, for both (Chen & Bruna
    2022, arXiv 2206.04172).

    Parameters
    ----------
    k : array_like
        At least 1, where both points are 1. The orbit attracts up to ``FROZEN_C_PERIOD_4``.

    Returns
    -------
    two ndarrays of float64, of the shape of ``k``
        The lower and the upper point; the outputs are y^2*target.

    Raises
    ------
    InputError
        If a k is below 1 or not finite.

    Examples
    --------
    >>> from relulab import theory
    >>> low, high = theory.balanced_two_cycle(1.1)
    >>> float(low.round(6)), float(high.round(6)), float(theory.balanced_step(low, 1.1).round(6))
    (0.814552, 1.116063, 1.116063)
    """
    [k] = number_arrays(k=k)
    wrong = k[~((k >= 1) & np.isfinite(k))]
    if wrong.size:
        raise InputError(f"k: expected finite values >= 1, got {wrong[0]}")
    with np.errstate(under="ignore"):
        inverse = 1 / k
        apart = np.sqrt((k - 1) / k * (1 + 3 * inverse))
        high: Float64Array = np.sqrt((1 + inverse + apart) / 2)
        low: Float64Array = inverse / high
    return low, high


def frozen_c_critical_rate(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, *, linear: bool = False
) -> Float64Array:
    """Return the rate below which descent with w, b and v training and c frozen ends at rest.

    Theorem 1 of Liang & Montufar 2025, arXiv 2509.25351, is about the product A*v with the target
    z = (target - c)/q. It converges from almost every start exactly if the rate is below 1/(s*|z|)
    and below 8/(s*(R + sqrt(R^2 - 16*z*(A*v - z)))), with R = A^2 + v^2. The radicand is computed
    as (A^2 - v^2)^2 + 4*(A*v - 2*z)^2. If the first bound is smaller, it is the limit of stability
    (``largest_stable_rate`` with c frozen), and runs above it oscillate. If the second is smaller,
    the network without its ReLU diverges above it, and with its ReLU the unit dies. Below both a
    unit may die, too (``dies_under_gradient_flow``); then the network rests at another loss.

    Parameters
    ----------
    w, b, v, c, x, target : array_like
        The initial parameters and the sample, of shapes that broadcast.
    linear : bool
        Whether the network is linear (a negative slope of 1), as in the theorem: it moves like an
        active unit, whatever the sign of A.

    Returns
    -------
    ndarray of float64, of the common shape
        inf where the unit is inactive and not linear: nothing moves. NaN where an argument is NaN.

    Raises
    ------
    InputError
        If an argument is not of numbers, or ``linear`` is not a bool.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.frozen_c_critical_rate(0, 1, [1, 8], 0, x=0, target=2).round(4).tolist()
    [0.5, 0.0623]
    """
    w, b, v, c, x, target = number_arrays(w=w, b=b, v=v, c=c, x=x, target=target)
    instance_of("linear", linear, bool)
    with np.errstate(all="ignore"):
        q, scaled, gap = np.hypot(1, x), scaled_activation(w, b, x), distance(target, c)
        stable = quotient([1.0], [q, *gap])
        # A and v in units of a power of 2, to keep their squares within float64.
        largest = np.maximum(np.maximum(np.abs(scaled), np.abs(v)), np.sqrt(gap[0] / q) * 2)
        power = np.frexp(largest)[1]
        a, v = np.ldexp(scaled, -power), np.ldexp(v, -power)
        z = np.copysign(np.ldexp(gap[0] / q, -2 * power) * gap[1], target - c)
        curved = a * a + v * v + np.hypot((a - v) * (a + v), 2 * (a * v - 2 * z))
        half = np.ldexp(0.5, power)
        bounded = quotient([2.0], [q, q, curved, half, half])
        nan = np.isnan(w + b + v + c + x + target)
        result: Float64Array = np.where(
            linear | (w * x + b > 0), np.minimum(stable, bounded), np.inf
        )
    return np.where(nan, np.nan, result)


def frozen_c_edge_error(step: Any, *, balanced: bool) -> Float64Array:
    """Return |e/(target - c)| after many steps at k = 1, the edge of stability, with c frozen.

    To leading order this is 1/(2*sqrt(step)) from balanced starts, A = v, and 1/sqrt(2*step) from
    others, unless they die. Let r = e/(target - c). At A = v one step takes r to -r - r^2 + r^3 and
    two take it to r - 4*r^3 + ...; so 1/r^2 grows by 4 per step. Otherwise d = D/(2*(target - c)),
    with D = q*(A^2 - v^2), makes the network sharper. Each step multiplies D by 1 - r^2: |r|
    shrinks by |r|*(2*r^2 - d^2) per step and |d| by |d|*r^2. So d^2/r^2 goes to 1, where 1/r^2
    grows by 2 per step; a nearly balanced start first follows the law of balanced ones. (MacDonald
    et al. 2025, theorem 5.2, have the order step^(-1/2).) Such runs end as unfinished.

    Parameters
    ----------
    step : array_like
        Greater than 0; the error is of a higher order in 1/sqrt(step).
    balanced : bool
        Whether A = v at the start.

    Returns
    -------
    ndarray of float64, of the shape of ``step``

    Raises
    ------
    InputError
        If a step is not above 0.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.frozen_c_edge_error([100, 10_000], balanced=True).tolist()
    [0.05, 0.005]
    """
    [step] = number_arrays(step=step)
    instance_of("balanced", balanced, bool)
    if not (step > 0).all():
        raise InputError(f"step: expected values > 0, got {step[~(step > 0)][0]}")
    result: Float64Array = (0.5 if balanced else math.sqrt(0.5)) / np.sqrt(step)
    return result
