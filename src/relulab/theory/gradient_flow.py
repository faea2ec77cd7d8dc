"""Gradient flow on one sample, the limit of small rates: invariants, destination and times.

Time is learning_rate * steps.
"""

import math
from collections.abc import Collection
from typing import Any

import numpy as np

from relulab.theory.dying import c_is_frozen, dies_under_gradient_flow
from relulab.theory.extremes import scaled_activation
from relulab.validation import Float64Array, number_arrays

FLOW_SHARPNESS_FALLS = 1.2784645427610737
"""Up to this |k|, k = learning_rate*q*e, no step raises ``flow_sharpness``: 1 + W(1/e), c training.

W is Lambert's: (k - 1)*exp(k) = 1 there. A step multiplies the ``gradient_flow_invariants`` by
(1 - k)*exp(k) and (1 + k)*exp(-k). Up to there neither factor exceeds 1 in size, and the sharpness
rises with the square of each invariant.
"""

FLOW_SHARPNESS_FALLS_FROZEN_C = math.sqrt(2)
"""As ``FLOW_SHARPNESS_FALLS``, c frozen: a step multiplies A^2 - v^2 by 1 - k^2."""


def gradient_flow_invariants(
    w: Any, b: Any, v: Any, c: Any, x: Any
) -> tuple[Float64Array, Float64Array]:
    """Return (A + v)*exp(-q*c) and (A - v)*exp(q*c), which gradient flow conserves on one sample.

    If c trains, A + v moves at -q*e*(A + v), A - v at q*e*(A - v) and c at -e, so the changes
    cancel, even if e changes its sign. A step of gradient descent multiplies the two invariants by
    (1 - k)*exp(k) and (1 + k)*exp(-k), with k = learning_rate*q*e. Both factors are about
    1 - k^2/2, so the invariants shrink, unless |k| is large (``FLOW_SHARPNESS_FALLS``). With a dead
    unit c still moves, and the invariants with it. Their product is A^2 - v^2, which is ``balance``
    up to a term that no step changes.

    Parameters
    ----------
    w, b, v, c, x : array_like
        The parameters and the x of the sample, of shapes that broadcast.

    Returns
    -------
    two ndarrays of float64, of the common shape
        The relative error is a few |q*c| roundings, plus those of A + v and A - v.

    Raises
    ------
    InputError
        If an argument is not of numbers.

    Examples
    --------
    >>> from relulab import theory
    >>> plus, minus = theory.gradient_flow_invariants(w=1, b=0, v=[1, 2], c=0, x=0)
    >>> plus.tolist(), minus.tolist()
    ([1.0, 2.0], [-1.0, -2.0])
    """
    w, b, v, c, x = number_arrays(w=w, b=b, v=v, c=c, x=x)
    with np.errstate(all="ignore"):
        scaled, turn = scaled_activation(w, b, x), np.hypot(1, x) * c
        return _sum_times_exp(scaled, v, -turn), _sum_times_exp(scaled, -v, turn)


def _sum_times_exp(one: Float64Array, other: Float64Array, exponent: Float64Array) -> Float64Array:
    """Return (one + other)*exp(exponent) in parts, each within float64 if the result is."""
    value, half = one + other, one / 2 + other / 2
    far = np.isinf(value)
    part = np.exp(exponent / 4)
    product = np.where(far, half, value) * part * part * part * part * np.where(far, 2.0, 1.0)
    return np.where((value == 0) & ~np.isnan(exponent), 0.0, product)


def frozen_c_flow_time(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, prediction: Any
) -> Float64Array:
    """Return the time in which gradient flow on one sample reaches a prediction, c frozen.

    Let f = q*A*v be the output without c, t = target - c, and D = q*|A^2 - v^2|, which flow with c
    frozen conserves. f moves at q*(t - f)*q*(A^2 + v^2), and q*(A^2 + v^2) is sqrt(D^2 + 4*f^2). So
    time is the integral of 1/(q*(t - f)*sqrt(D^2 + 4*f^2)), which is G(f)/q with S^2 = D^2 + 4*t^2
    and G(f) = log((D^2 + 4*t*f + S*sqrt(D^2 + 4*f^2))/(t - f))/S. The logarithm is arsinh(P/(2*D))
    plus a constant, with P = (D^2 + 4*t*f)/(t - f). The addition theorem gives its differences
    without cancellation. From a balanced start, D = 0 (A = v), the time from f0 to f1 is
    log(f1*(t - f0)/(f0*(t - f1)))/(2*q*t) (Saxe, McClelland & Ganguli 2013, arXiv 1312.6120, for
    deep linear networks).

    If ``dies_under_gradient_flow`` with c frozen, the unit dies at f = 0: the time of death is the
    time to the prediction c.

    Parameters
    ----------
    w, b, v, c, x, target, prediction : array_like
        The initial parameters, the sample and outputs including c, of shapes that broadcast.

    Returns
    -------
    ndarray of float64, of the common shape
        inf where the flow never gets there: for ``target`` itself, for what lies behind the start
        or beyond the target, and after death. NaN where an argument is not finite, or where the
        output or D over- or underflows float64.

    Raises
    ------
    InputError
        If an argument is not of numbers.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.frozen_c_flow_time(0, 1, 1, 0, x=0, target=2, prediction=[1, 1.5, 2]).round(4)
    array([0.    , 0.2747,    inf])
    >>> float(theory.frozen_c_flow_time(0, 1, -2, 0, x=0, target=2, prediction=0).round(4))  # death
    0.1962
    """
    given = number_arrays(w=w, b=b, v=v, c=c, x=x, target=target, prediction=prediction)
    w, b, v, c, x, target, prediction = np.broadcast_arrays(*given)
    dies = dies_under_gradient_flow(w, b, v, c, x, target, freeze=("c",))
    with np.errstate(all="ignore"):
        q, side = np.hypot(1, x), np.where(target < c, -1.0, 1.0)
        active, a = w * x + b > 0, np.maximum(w * x + b, 0)
        # Mirrored if the target is below c, so f rises toward t > 0.
        f0, f1, t, v = side * (v * a), side * (prediction - c), side * (target - c), side * v
        left1 = side * (target - prediction)
        falls = f0 > t  # from beyond the target: the only way down
        scaled = scaled_activation(w, b, x)
        apart = q * np.abs((scaled - v) * (scaled + v))
        time = _flow_time(f0, f1, t, left1, apart) / q
        between = np.where(falls, (f1 <= f0) & (left1 < 0), (f1 >= f0) & (left1 > 0))
        reached = active & between & ~(dies & (f1 > 0)) & (t >= 0)
        time = np.where(reached, time, np.inf)
        time = np.where(f1 == f0, 0.0, time)
        f0 = np.where((f0 == 0) & (a != 0) & (v != 0), np.nan, f0)  # underflow
        vanishes = (apart < np.finfo(float).tiny) & (np.abs(scaled) != np.abs(v))
        apart = np.where(vanishes, np.nan, apart)
        finite = np.isfinite(np.stack([w, b, c, x, target, prediction, f0, f1, t, apart])).all(
            axis=0
        )
    result: Float64Array = np.where(finite, time, np.nan)
    return result


def _flow_time(f0: Any, f1: Any, t: Any, left1: Any, apart: Any) -> Float64Array:
    """Return q times the time from f0 to f1, with left1 = t - f1 and apart = D.

    With sinh(z) = P/(2*D) and cosh(z) = C/(2*D) at either end, it is the difference of z over S,
    and sinh(z1 - z0) is (sinh z1 - sinh z0)*(1 + cosh(z1 - z0))/(cosh z0 + cosh z1). A power of 2
    is taken out first to keep squares within float64.
    """
    z0, z1 = _turn(f0, t, t - f0, apart), _turn(f1, t, left1, apart)
    largest = np.maximum(np.maximum(np.abs(f0), np.abs(f1)), np.maximum(np.abs(t), apart))
    unit = -np.frexp(largest)[1]
    f0, f1, t, left1, d = (np.ldexp(value, unit) for value in (f0, f1, t, left1, apart))
    left0, scale = t - f0, np.hypot(d, 2 * t)
    root0, root1 = np.hypot(d, 2 * f0), np.hypot(d, 2 * f1)
    rise = scale * np.abs(f1 - f0) / (root0 * np.abs(left1) + root1 * np.abs(left0))
    ratio = (root0 / left0) / (root1 / left1)  # cosh z0 / cosh z1
    tanh0, tanh1 = (
        np.sign(left) * (d * (d / scale) + 4 * f * (t / scale)) / root
        for f, left, root in ((f0, left0, root0), (f1, left1, root1))
    )
    sech0, sech1 = (
        2 * (d / scale) * np.abs(left) / root for left, root in ((left0, root0), (left1, root1))
    )
    # cosh(z1 - z0) over cosh z0 * cosh z1 is 1 - tanh0*tanh1, which cancels if both have one sign:
    # then divide the difference of squares, 1 - (tanh0*tanh1)^2, by 1 + tanh0*tanh1.
    sech = sech0 * sech1
    one_sign = (sech + tanh0 * tanh0 * ratio + tanh1 * tanh1 / ratio) / (1 + tanh0 * tanh1)
    cosh = np.where(tanh0 * tanh1 > 0, one_sign, (1 - tanh0 * tanh1) / sech)
    turned = np.arcsinh(rise * (1 + cosh))
    # Far apart, z1 and z0 can be subtracted.
    near = np.where(tanh0 * tanh1 <= 0, sech >= 1e-100, (ratio > 1e-100) & (ratio < 1e100))
    turned = np.where(near, turned, np.abs(z1 - z0))
    # A balanced start reaches f = 0, or leaves it, only after an infinite time.
    stuck = (apart == 0) & (f0 * f1 <= 0)
    return np.where(stuck, np.inf, np.ldexp(turned / scale, unit))


def _turn(f: Any, t: Any, left: Any, apart: Any) -> Float64Array:
    """Return z, the arsinh of P/(2*D), from the logarithm of P/D, which may be beyond float64."""
    large, size = np.maximum(np.abs(f), apart), np.maximum(t, apart)
    part = (apart / large) * (apart / size) + 4 * (f / large) * (t / size)
    # In a difference D cancels where it is small: any number does for 0.
    log = np.log(np.abs(part)) + (np.log(large) - np.where(apart == 0, -3000, np.log(apart)))
    log += np.log(size) - np.log(np.abs(left))
    size_of_z = np.where(log > 40, log, np.arcsinh(np.exp(np.minimum(log, 40)) / 2))
    z: Float64Array = np.sign(part) * np.sign(left) * size_of_z
    return z


def flow_sharpness(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, *, freeze: Collection[str] = ()
) -> Float64Array:
    """Return the sharpness of the network to which gradient flow leads on one sample.

    The "gradient flow solution sharpness" of Kreisler, Nacson, Soudry & Carmon 2023 (arXiv
    2305.13064). At zero loss it is ``interpolation_sharpness``. As flow moves c by u/(2*q) from its
    start, g = (q*(A + v))^2/2 becomes g*exp(u) and h = (q*(A - v))^2/2 becomes h*exp(-u)
    (``gradient_flow_invariants``). Their difference is 2*q^2*A*v, so the loss is 0 at the only
    root of g*exp(u) - h*exp(-u) + u = 2*q*(target - c). Their sum there is the sharpness minus 1.
    A smaller g or h makes the sum at the root smaller, so a step that lowers both invariants lowers
    the sharpness. Every step with |k| up to ``FLOW_SHARPNESS_FALLS`` does, if flow kills the unit
    neither before nor after it. With c frozen the sharpness is s*(A^2 + v^2) =
    q*sqrt(D^2 + 4*(target - c)^2), with D = q*|A^2 - v^2|.

    Parameters
    ----------
    w, b, v, c, x, target : array_like
        The parameters and the sample, of shapes that broadcast.
    freeze : collection of str
        ("c",) if c does not train, as in ``train``; no other parameter may be frozen.

    Returns
    -------
    ndarray of float64, of the common shape
        1 (0 with c frozen) where the unit is inactive or flow kills it. NaN where an argument is
        not finite or a square is beyond float64.

    Raises
    ------
    InputError
        If an argument is not of this kind.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.flow_sharpness(0, 1, [1, 2], 0, x=0, target=2).round(4).tolist()
    [4.4537, 6.0]
    """
    given = number_arrays(w=w, b=b, v=v, c=c, x=x, target=target)
    w, b, v, c, x, target = np.broadcast_arrays(*given)
    frozen = c_is_frozen(freeze)
    alive = ~dies_under_gradient_flow(w, b, v, c, x, target, freeze=freeze)
    with np.errstate(all="ignore"):
        q, a = np.hypot(1, x), w * x + b
        plus, minus, gap = a + q * v, a - q * v, 2 * q * (target - c)
        if frozen:
            sharp = np.hypot(plus * minus, gap)
        else:
            sharp = 1 + _sum_at_root(plus * plus / 2, minus * minus / 2, gap)
        sharp = np.where(alive & (a > 0), sharp, 0.0 if frozen else 1.0)
    finite = np.isfinite(np.stack([w, b, v, c, x, target])).all(axis=0)
    result: Float64Array = np.where(finite, sharp, np.nan)
    return result


def _sum_at_root(g: Any, h: Any, gap: Any) -> Float64Array:
    """Return g*exp(u) + h*exp(-u) where g*exp(u) - h*exp(-u) + u = gap.

    By Newton's method, within bounds from the signs. The first bounds follow because the left side
    rises at least as fast as u, and because g*exp(u) is at most gap + h at the root if u > 0.
    """
    mirrored = gap < g - h
    g, h, gap = np.where(mirrored, h, g), np.where(mirrored, g, h), np.where(mirrored, -gap, gap)
    low, high = np.zeros_like(gap), np.minimum(gap - (g - h), np.log((gap + h) / g))
    high = np.maximum(np.where(np.isnan(high), gap - (g - h), high), 0.0)
    u = high
    for _ in range(100):
        rising, falling = g * np.exp(u), h * np.exp(-u)
        wrong = (rising - falling) + (u - gap)
        low, high = np.where(wrong <= 0, u, low), np.where(wrong > 0, u, high)
        following = u - wrong / (1 + rising + falling)
        outside = ~((low <= following) & (following <= high))
        following = np.where(outside, (low + high) / 2, following)
        if (np.abs(following - u) <= 2.0**-52 * np.abs(u)).all():
            break
        u = following
    total: Float64Array = g * np.exp(u) + h * np.exp(-u)
    return total
