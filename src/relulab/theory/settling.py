"""Where training can settle: sharpness, stability limits, and a conserved quantity."""

import math
from typing import Any

import numpy as np

from relulab.theory.extremes import distance, quotient
from relulab.validation import Float64Array, InputError, finite_number, instance_of, number_arrays

LARGEST_STABLE_RATE = 2.0
"""Above this rate no stationary point is linearly stable, on any data, as long as c trains.

The Hessian's entry for c is 1, so its largest eigenvalue is at least 1, and gradient descent is
stable only if that eigenvalue is below 2 / learning_rate.

On one sample an active unit does not oscillate with period 2 or 3 either, at any rate. c returns if
the k = learning_rate*q*e of all steps of the period add up to 0; A + v, if it is not 0, if the
product of all 1 - k is 1; A - v, if it is not 0, if that of all 1 + k is 1. For two steps both
products are 1 - k^2. For three they are 1 + p - r and 1 + p + r, where r is the product of the
three k and p = -(sum of k^2)/2. So both are 1 only if all k are 0. If A = |v|, only one of the two
conditions counts. But its factors are positive while the unit is active, and their mean is 1, so
their product is below 1.
"""


def interpolation_sharpness(w: Any, b: Any, v: Any, x: Any) -> Float64Array:
    """Return the largest eigenvalue of the Hessian at zero loss on one sample, c training.

    The residual is 0, so the Hessian is the outer square of the output's gradient (v*x, v, a, 1).
    It has rank one and the eigenvalue a^2 + 1 + s*v^2, or 1 if the unit is inactive; 1 less with c
    frozen. ``relulab.sharpness`` takes any networks on any data.

    Parameters
    ----------
    w, b, v, x : array_like
        Of shapes that broadcast; c makes the loss 0.

    Returns
    -------
    ndarray of float64, of the common shape
        Gradient descent settles there only if the learning rate is below 2 divided by this. At
        a = 0, where the loss has two sides, this is the smaller value, of the inactive side. NaN
        where an argument is NaN.

    Raises
    ------
    InputError
        If an argument is not of numbers.

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
    # NaN is not above 0, but not inactive either.
    return np.where(np.isnan(w) | np.isnan(b) | np.isnan(v) | np.isnan(x), np.nan, result)


def largest_stable_rate(
    x: float, target: float, *, c: float | None = None, c_trains: bool = True
) -> float:
    """Return the rate above which no active network with zero loss on one sample is stable.

    At zero loss v*a = target - c, so a^2 + s*v^2 >= 2*q*|target - c|, with equality at A = |v|; see
    ``interpolation_sharpness``.

    Parameters
    ----------
    x, target : float
        The sample.
    c : float, optional
        The output bias of the network at which training would settle; None for the best one.
    c_trains : bool
        Whether c trains; if not, ``c`` must be given.

    Returns
    -------
    float
        ``LARGEST_STABLE_RATE`` for the best c, which is near ``target``; 2/(1 + 2*q*|target - c|)
        for another c; 1/(q*|target - c|) if c is frozen, inf if it is frozen at ``target``.
        A supremum: the limit itself is not linearly stable.

    Raises
    ------
    InputError
        If a number is not finite, or c is not given where it does not train.

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
    if c_trains and frozen > 1e-300:  # below, the 1 does not count
        return LARGEST_STABLE_RATE / (1 + 2 / frozen)
    return frozen


def stability_limit(
    learning_rate: Any, momentum: Any = 0, *, nesterov: bool = False
) -> Float64Array:
    """Return the sharpness above which gradient descent with momentum is not stable.

    Take a parabola of curvature h with its minimum at 0, and q = learning_rate*h. Three successive
    parameters p, p', p'' satisfy p'' = (1 + momentum - q)*p' - momentum*p. Both roots of
    z^2 - (1 + momentum - q)*z + momentum are within the unit circle exactly if q > 0 and no root
    has passed -1, which happens at q = 2*(1 + momentum). With Nesterov's form the polynomial is
    z^2 - (1 + momentum)*(1 - q)*z + momentum*(1 - q), which is 0 at z = -1 for
    q = 2*(1 + momentum)/(1 + 2*momentum). Near a stationary point the loss along each eigenvector
    of the Hessian is such a parabola (Cohen, Kaur, Li, Kolter & Talwalkar 2021, arXiv 2103.00065,
    appendix B). The Hessian includes weight decay, if any.

    Parameters
    ----------
    learning_rate : array_like
        At least 0. The hidden and the output layer must have the same rate.
    momentum : array_like
        From 0 to below 1.
    nesterov : bool
        Whether momentum is Nesterov's.

    Returns
    -------
    ndarray of float64, of the common shape
        2/learning_rate without momentum; inf at a rate of 0.

    Raises
    ------
    InputError
        If a rate is negative or a momentum is out of range.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.stability_limit(0.5, [0, 0.5]).tolist()
    [4.0, 6.0]
    >>> theory.stability_limit(0.5, 0.5, nesterov=True).tolist()
    3.0
    """
    rate, momentum = number_arrays(learning_rate=learning_rate, momentum=momentum)
    in_range("learning_rate", rate, np.inf)
    in_range("momentum", momentum, 1)
    instance_of("nesterov", nesterov, bool)
    edge = 2 * (1 + momentum) / (1 + 2 * momentum * nesterov)
    with np.errstate(divide="ignore", over="ignore"):
        result: Float64Array = np.divide(edge, rate)
    return result


def adam_stability_limit(learning_rate: Any, beta1: Any = 0.9) -> Float64Array:
    """Return the preconditioned sharpness above which Adam is not stable.

    That is the largest eigenvalue of P^(-1/2) H P^(-1/2), with H the Hessian and P the diagonal
    matrix of sqrt(s)/sqrt(1 - power2) + epsilon, by which Adam divides. While P hardly changes,
    Adam is descent with momentum beta1 and a rate multiplied by 1 - beta1. Its limit is
    2*(1 + beta1)/((1 - beta1)*learning_rate), 38/learning_rate with the default beta1 (Cohen et al.
    2022, arXiv 2207.14484).

    Parameters
    ----------
    learning_rate : array_like
        At least 0.
    beta1 : array_like
        From 0 to below 1.

    Returns
    -------
    ndarray of float64, of the common shape
        inf at a rate of 0.

    Raises
    ------
    InputError
        If a rate is negative or a beta1 is out of range.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.adam_stability_limit(0.5, [0.5, 0.75]).tolist()
    [12.0, 28.0]
    """
    rate, beta1 = number_arrays(learning_rate=learning_rate, beta1=beta1)
    in_range("learning_rate", rate, np.inf)
    in_range("beta1", beta1, 1)
    with np.errstate(divide="ignore", over="ignore"):
        result: Float64Array = np.divide(2 * (1 + beta1) / (1 - beta1), rate)
    return result


def in_range(name: str, values: Float64Array, below: float) -> None:
    """Refuse values outside [0, below)."""
    wrong = values[~((values >= 0) & (values < below))]
    if wrong.size:
        limit = "finite values >= 0" if below == np.inf else f"values from 0 to below {below:g}"
        raise InputError(f"{name}: expected {limit}, got {wrong[0]}")


def balance(w: Any, b: Any, v: Any) -> Float64Array:
    """Return w^2 + b^2 - v^2, which gradient flow conserves, on any data.

    The loss depends on (w, b) and v through v*relu(w*x + b), which stays the same when w and b are
    multiplied by a positive number and v is divided by it. So the gradient g has
    w*g_w + b*g_b - v*g_v = 0, and a step changes the balance by exactly
    learning_rate^2 * (g_w^2 + g_b^2 - g_v^2). (Du, Hu & Lee 2018, arXiv 1806.00900, show this for
    deep networks.) On one sample, every step also conserves w - x*b. Both hold with a negative
    slope, too. With one weight decay for w, b and v, a plain step first multiplies the balance by
    (1 - learning_rate*decay)^2, and w - x*b by 1 - learning_rate*decay.

    Parameters
    ----------
    w, b, v : array_like
        Of shapes that broadcast.

    Returns
    -------
    ndarray of float64, of the common shape
        Below 0 if v is the larger layer.

    Raises
    ------
    InputError
        If an argument is not of numbers.

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
