"""Units that die in training, on one sample."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from relulab.theory.extremes import distance, quotient, scaled_activation
from relulab.theory.settling import in_range
from relulab.training.options import checked_freeze
from relulab.validation import (
    Float64Array,
    InputError,
    finite_number,
    instance_of,
    non_negative_array,
    number_arrays,
)

BoolArray = npt.NDArray[np.bool_]


def dies_in_one_step(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, learning_rate: Any, *,
    momentum: Any = 0, velocity: Any = 0, nesterov: bool = False,
) -> BoolArray:  # fmt: skip
    """Return whether the next step of gradient descent on one sample kills an active unit.

    The step changes w by -learning_rate*v*e*x and b by -learning_rate*v*e, so the pre-activation a
    becomes a - learning_rate*s*v*e: the unit dies exactly if learning_rate*s*v*e >= a. Momentum m
    puts s*v*e + m*velocity in the place of s*v*e, and Nesterov's form
    (1 + m)*s*v*e + m^2*velocity. ``steps_to_wake`` says whether such a unit stays dead.

    Parameters
    ----------
    w, b, v, c, x, target, learning_rate : array_like
        Of shapes that broadcast.
    momentum, velocity : array_like
        The velocity is that of the pre-activation before the step, x*velocity_w + velocity_b.
    nesterov : bool
        Whether momentum is Nesterov's.

    Returns
    -------
    ndarray of bool, of the common shape
        False where the unit is inactive, or where its pre-activation is not finite.

    Raises
    ------
    InputError
        If a momentum is out of range.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.dies_in_one_step(1, 0, 1, 1, x=1, target=1, learning_rate=[0.4, 0.5]).tolist()
    [False, True]
    """
    w, b, v, c, x, target, rate, m, velocity = number_arrays(
        w=w, b=b, v=v, c=c, x=x, target=target, learning_rate=learning_rate, momentum=momentum,
        velocity=velocity,
    )  # fmt: skip
    in_range("momentum", m, 1)
    instance_of("nesterov", nesterov, bool)
    with np.errstate(all="ignore"):
        a, q = w * x + b, np.hypot(1, x)
        e = v * a + c - target
        growth = rate * (1 + x * x)
        part = growth * v
        tiny = np.finfo(float).tiny
        safe = np.isfinite(part) & (np.abs(growth) > tiny) & (np.abs(part) > tiny)
        fall = np.where(safe, part * e, quotient([rate, q, q, v, e]))
        coasted = rate * m * velocity
        if nesterov:
            fall, coasted = (1 + m) * fall, m * coasted
        fall = np.where(m * velocity == 0, fall, fall + coasted)
        result: BoolArray = (a > 0) & np.isfinite(a) & (fall >= a)
    return result


def dies_under_gradient_flow(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, *, freeze: Collection[str] = ()
) -> BoolArray:
    """Return whether an active unit dies on one sample in the limit of small learning rates.

    Gradient flow moves A at -q*v*e, v at -q*A*e and c at -e. So as c moves by d, the pair (A, v)
    makes a hyperbolic turn by the angle q*d: A becomes A*cosh(q*d) + v*sinh(q*d), which is 0 at
    tanh(q*d) = -A/v. The residual, which grows with c, reaches 0 only after that exactly if
    v*tanh(q*(c - target)) > A.

    With c frozen the turn ends only when the residual reaches 0, and the condition is that of an
    infinite angle: sign(target - c)*v < -A. Then v*A must pass through 0 on its way to target - c,
    and A is the first of the two to vanish. This also holds for gradient descent if |k| < 1 in
    every step, with k = learning_rate*q*e: a step multiplies A+v and A-v by 1 - k and 1 + k, which
    are positive then, so A+v and A-v keep their signs.

    A leaky unit becomes inactive from the same starts, whatever its negative slope, which does not
    matter until then. It does not become active again, as A has one zero on its way, but it moves
    on until the residual is 0. See ``wakes_under_gradient_flow``.

    Parameters
    ----------
    w, b, v, c, x, target : array_like
        The initial parameters and the sample, of shapes that broadcast.
    freeze : collection of str
        ("c",) if c does not train, as in ``train``; no other parameter may be frozen.

    Returns
    -------
    ndarray of bool, of the common shape
        False where the unit is inactive to begin with.

    Raises
    ------
    InputError
        If an argument is not of this kind.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.dies_under_gradient_flow(1, 0, [-0.8, 0.8], 0, x=1, target=3).tolist()
    [True, False]
    >>> theory.dies_under_gradient_flow(1, 0, -0.8, 2.9, 1, 3, freeze=("c",)).tolist()
    True
    """
    w, b, v, c, x, target = number_arrays(w=w, b=b, v=v, c=c, x=x, target=target)
    c_trains = not c_is_frozen(freeze)
    with np.errstate(all="ignore"):
        gap = c - target
        push = v * (np.tanh(np.hypot(1, x) * gap) if c_trains else np.sign(gap))
        result: BoolArray = (w * x + b > 0) & (push > scaled_activation(w, b, x))
    return result


def wakes_under_gradient_flow(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, negative_slope: Any, *,
    freeze: Collection[str] = (),
) -> BoolArray:  # fmt: skip
    """Return whether an inactive leaky unit becomes active, in the limit of small learning rates.

    This is the converse of ``dies_under_gradient_flow``. While the unit is inactive, w, b and v
    move at the negative slope times their speed in an active unit, so (A, v) turns by the angle
    slope*q*d as c moves by d. A, not above 0 at first, passes through 0 exactly if
    v*tanh(slope*q*(target - c)) > -A. With c frozen the turn has no end, and the condition is
    sign(target - c)*v > -A for every slope but 0. Then the unit stays active: A has one zero on its
    way. So no leaky unit is lost: each ends at zero loss, active or not.

    Parameters
    ----------
    w, b, v, c, x, target : array_like
        The initial parameters and the sample, of shapes that broadcast.
    negative_slope : array_like
        From 0, with which no unit wakes, to 1.
    freeze : collection of str
        ("c",) if c does not train, as in ``train``; no other parameter may be frozen.

    Returns
    -------
    ndarray of bool, of the common shape
        False where the unit is active to begin with.

    Raises
    ------
    InputError
        If an argument is not of this kind.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.wakes_under_gradient_flow(-0.1, 0, 1, 0, x=1, target=3, negative_slope=0.1).tolist()
    True
    """
    w, b, v, c, x, target, slope = number_arrays(
        w=w, b=b, v=v, c=c, x=x, target=target, negative_slope=negative_slope
    )
    _checked_range(slope)
    c_trains = not c_is_frozen(freeze)
    with np.errstate(all="ignore"):
        side = np.sign(target - c)
        turn = side * (slope > 0)
        if c_trains:
            turn = side * np.tanh(quotient([slope, np.hypot(1, x), *distance(target, c)]))
        scaled = scaled_activation(w, b, x)
        result: BoolArray = ~(w * x + b > 0) & (v * turn > -scaled)
    return result


def _checked_range(slope: Float64Array) -> None:
    wrong = slope[~((slope >= 0) & (slope <= 1))]
    if wrong.size:
        raise InputError(f"negative_slope: expected values from 0 to 1, got {wrong[0]}")


def c_is_frozen(freeze: object) -> bool:
    """Return whether c is frozen; refuse other frozen parameters, for lack of a formula."""
    frozen = checked_freeze(freeze)
    if frozen not in ((), ("c",)):
        raise InputError(f"freeze: expected () or ('c',), got {frozen}")
    return bool(frozen)


def small_rate_death_probability(
    x: float,
    target: float,
    *,
    std_w: float,
    std_b: float,
    std_v: float,
    c: float = 0.0,
    freeze: Collection[str] = (),
) -> float:
    """Return P(active at first, then dies) on one sample as the learning rate goes to 0.

    For w, b, v ~ N(0, std_w), N(0, std_b), N(0, std_v) and a fixed initial c. A and v are two
    Gaussians. The starts that die (``dies_under_gradient_flow``) form a wedge
    0 < A < v*tanh(q*(c - target)) of their plane; with c frozen, 0 < A < v*sign(c - target). The
    probability of the latter is the same for every target except c itself.

    Parameters
    ----------
    x, target : float
        The sample.
    std_w, std_b, std_v, c : float
        Of the initial parameters.
    freeze : collection of str
        ("c",) if c does not train, as in ``train``; no other parameter may be frozen.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If a number is not finite or a standard deviation is negative.

    Examples
    --------
    >>> from relulab import theory
    >>> round(theory.small_rate_death_probability(1, 3, std_w=1, std_b=1, std_v=1), 6)
    0.124967
    >>> theory.small_rate_death_probability(0, 3, std_w=1, std_b=1, std_v=1, freeze=("c",))
    0.125
    """
    return _wedge(x, target, 1.0, std_w, std_b, std_v, c, freeze)


def _wedge(
    x: float, target: float, slope: float, std_w: float, std_b: float, std_v: float, c: float,
    freeze: Collection[str],
) -> float:  # fmt: skip
    """Return the probability of the wedge that crosses the hinge, from the side of a slope."""
    x, target, c = finite_number("x", x), finite_number("target", target), finite_number("c", c)
    std_a, std_v = _spreads(x, std_w, std_b, std_v)
    c_trains = not c_is_frozen(freeze)
    if std_a is None:
        return 0.0
    turn = float(quotient([math.hypot(1, x), *distance(target, c), slope]))
    part = math.tanh(turn) if c_trains else float(target != c and slope > 0)
    # By the ratio, because both numbers may be beyond float64.
    return math.atan(float(quotient([std_v, part], [std_a]))) / (2 * math.pi)


def small_rate_wake_probability(
    x: float,
    target: float,
    negative_slope: float,
    *,
    std_w: float,
    std_b: float,
    std_v: float,
    c: float = 0.0,
    freeze: Collection[str] = (),
) -> float:
    """Return P(inactive at first, then active) of a leaky unit as the learning rate goes to 0.

    On one sample, for w, b, v ~ N(0, std_w), N(0, std_b), N(0, std_v) and a fixed initial c. The
    starts of ``wakes_under_gradient_flow`` form the mirror image of the wedge of
    ``small_rate_death_probability``, with slope*q in place of q. So more units become inactive than
    active, unless the slope is 1 or c is frozen: then equally many.

    Parameters
    ----------
    x, target : float
        The sample.
    negative_slope : float
        From 0 to 1.
    std_w, std_b, std_v, c : float
        Of the initial parameters.
    freeze : collection of str
        ("c",) if c does not train, as in ``train``; no other parameter may be frozen.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If a number is not finite, a standard deviation negative, or the slope not from 0 to 1.

    Examples
    --------
    >>> from relulab import theory
    >>> standard = {"std_w": 1, "std_b": 1, "std_v": 1}
    >>> round(theory.small_rate_wake_probability(1, 3, 0.1, **standard), 6)
    0.06063
    """
    slope = finite_number("negative_slope", negative_slope)
    _checked_range(np.array([slope]))
    return _wedge(x, target, slope, std_w, std_b, std_v, c, freeze)


def death_at_first_step_probability(
    x: float,
    target: float,
    learning_rate: Any,
    *,
    std_w: float,
    std_b: float,
    std_v: float,
    c: float = 0.0,
) -> Float64Array:
    """Return P(active at first, dead after the first step) on one sample.

    For w, b, v ~ N(0, std_w), N(0, std_b), N(0, std_v) and a fixed initial c; by quadrature, to
    about 12 digits. (The first step does not depend on whether c trains.)

    Parameters
    ----------
    x, target : float
        The sample.
    learning_rate : float or array_like, shape (n_rates,)
    std_w, std_b, std_v, c : float
        Of the initial parameters.

    Returns
    -------
    ndarray of float64, of the shape of ``learning_rate``

    Raises
    ------
    InputError
        If a number is not finite, or a rate or a standard deviation negative.

    Examples
    --------
    >>> from relulab import theory
    >>> standard = {"std_w": 1, "std_b": 1, "std_v": 1}
    >>> theory.death_at_first_step_probability(1, 3, [0.01, 0.1], **standard).round(6).tolist()
    [0.007042, 0.085415]
    """
    rates = non_negative_array("learning_rate", learning_rate)
    x = finite_number("x", x)
    std_a, std_v = _spreads(x, std_w, std_b, std_v)
    gap = distance(finite_number("target", target), finite_number("c", c))
    result: Float64Array = np.zeros(rates.size)
    if std_a is not None and std_v > 0:
        # With A in units of std_a and v in units of std_v, only two numbers are left. The factor
        # of v**2 is kept as its root, which has twice the range in float64.
        q = math.hypot(1, x)
        push = quotient([np.sqrt(rates), q, std_v])
        shift = quotient([rates, q, std_v, *gap], [std_a])
        relative = float(quotient(gap, [q, std_a, std_v]))
        result[:] = [
            # The rate hardly moves v: the starts that die are the wedge 0 < a <= shift*v.
            math.atan(one) / (2 * math.pi) if root < 1e-10 else _first_step_death(root, relative)
            for root, one in zip(push.tolist(), shift.tolist(), strict=True)
        ]
    return result.reshape(np.shape(learning_rate))


def _spreads(x: float, std_w: float, std_b: float, std_v: float) -> tuple[float | None, float]:
    """Return the standard deviations of A (None if the unit is never active) and of v."""
    given = {"std_w": std_w, "std_b": std_b, "std_v": std_v}
    spreads = {name: finite_number(name, value, at_least=0) for name, value in given.items()}
    std_w, std_b, q = spreads["std_w"], spreads["std_b"], math.hypot(1, x)
    if (std_w == 0 or x == 0) and std_b == 0:
        return None, spreads["std_v"]
    # A mean of the two: not larger than both and, for these arguments, not 0.
    std_a = math.hypot(x / q * std_w, std_b / q)
    return min(max(std_a, math.ulp(0.0)), max(std_w, std_b)), spreads["std_v"]


_erf = np.vectorize(math.erf, otypes=[float])


def _first_step_death(root: float, distance: float) -> float:
    """Return P(0 < a <= push*v*(v*a + distance)) for two standard Gaussians a and v.

    With push = root^2 and h = push*v*distance/|1 - push*v^2|, the units that die have 0 < a <= h
    for v between 0 and z = 1/root, any a > 0 for v > z, and a >= h for v < -z. The layer in which h
    passes through 1 may be anywhere and very thin. v = z*tanh(r) in the first case and
    v = -z*coth(r) in the last give h = root*distance*sinh(2*r)/2 in both. In log(r) the integrand
    is smooth and falls off at both ends, so the trapezoidal rule converges exponentially (Trefethen
    & Weideman 2014, SIAM Review 56).
    """
    step = 1 / 32
    r = np.exp(np.arange(-60, 3.5, step))
    root = min(root, 1e20)  # beyond this no digit changes
    z = 1 / root
    with np.errstate(all="ignore"):  # erf is 1 where a product overflows, and the Gaussian 0
        covered = _erf(root * distance / math.sqrt(8) * np.sinh(2 * r))
        first = np.exp(-0.5 * (z * np.tanh(r)) ** 2) / np.cosh(r) ** 2 * covered
        last = np.exp(-0.5 * (z / np.tanh(r)) ** 2) / np.sinh(r) ** 2 * (1 - covered)
        integral = z * step * float((r * (first + last)).sum()) / math.sqrt(2 * math.pi)
    return (integral + math.erfc(z / math.sqrt(2)) / 2) / 2
