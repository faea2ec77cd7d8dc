"""Closed forms that results are held against, each where its assumptions are stated.

Notation for one sample (x, target): s = 1 + x^2 and q = sqrt(s); pre-activation a = w*x + b and
A = a/q; output f = v*a, residual e = f + c - target. While the unit fires, a step of gradient
descent multiplies A+v by 1 - learning_rate*q*e and A-v by 1 + learning_rate*q*e, and leaves w - x*b
as it is. So the many parameters are few: all that follows is about A, v and c.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from relulab.initialization import Distribution, Normal, Uniform
from relulab.validation import (
    InputError,
    finite_array,
    finite_number,
    instance_of,
    non_negative_array,
    number_arrays,
    shown,
)

BoolArray = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


# Born dead, on any number of samples.


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
        return (_mean_share_below(high * ratio) + _mean_share_below(-low * ratio)) / 2
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


def _mean_share_below(slope: float) -> float:
    """Return the mean over r in [0, 1] of P(u <= -slope*r), for u uniform on [-1, 1].

    That is of (1 - slope*r)/2, within 0 and 1: a trapezium, or a triangle beside an empty or a full
    rectangle.
    """
    if slope > 1:
        return 1 / (4 * slope)
    if slope < -1:
        return 1 + 1 / (4 * slope)
    return 0.5 - slope / 4


# Death by training, on one sample.


def dies_in_one_step(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, learning_rate: Any
) -> BoolArray:
    """Return whether the next step of gradient descent on one sample kills a firing unit.

    The step changes w by -learning_rate*v*e*x and b by -learning_rate*v*e, so the pre-activation a
    becomes a - learning_rate*s*v*e: no longer firing exactly where learning_rate*s*v*e >= a.

    Parameters
    ----------
    w, b, v, c, x, target, learning_rate : array_like
        Of shapes that broadcast.

    Returns
    -------
    ndarray of bool, of the common shape
        False where the unit does not fire.
    """
    w, b, v, c, x, target, rate = number_arrays(
        w=w, b=b, v=v, c=c, x=x, target=target, learning_rate=learning_rate
    )
    with np.errstate(over="ignore", invalid="ignore"):
        a = w * x + b
        result: BoolArray = (a > 0) & (rate * (1 + x * x) * v * (v * a + c - target) >= a)
    return result


def dies_under_gradient_flow(w: Any, b: Any, v: Any, c: Any, x: Any, target: Any) -> BoolArray:
    """Return whether a firing unit dies on one sample in the limit of small learning rates.

    Gradient flow moves A at -q*v*e, v at -q*A*e and c at -e, so as c moves by d the pair (A, v) is
    turned hyperbolically by the angle q*d: A becomes A*cosh(q*d) + v*sinh(q*d). That is 0 at
    tanh(q*d) = -A/v, and the residual, which grows with c, has not come to 0 before exactly where
    v*tanh(q*(c - target)) > A.

    Parameters
    ----------
    w, b, v, c, x, target : array_like
        The initial parameters and the sample, of shapes that broadcast.

    Returns
    -------
    ndarray of bool, of the common shape
        False where the unit does not fire to begin with.
    """
    w, b, v, c, x, target = number_arrays(w=w, b=b, v=v, c=c, x=x, target=target)
    with np.errstate(over="ignore", invalid="ignore"):
        q = np.hypot(1, x)
        scaled = (w * x + b) / q
        result: BoolArray = (scaled > 0) & (v * np.tanh(q * (c - target)) > scaled)
    return result


def small_rate_death_probability(
    x: float, target: float, *, std_w: float, std_b: float, std_v: float, c: float = 0.0
) -> float:
    """Return P(fires at first, then dies) on one sample as the learning rate goes to 0.

    For w, b, v ~ N(0, std_w), N(0, std_b), N(0, std_v) and a fixed initial c. A and v are two
    Gaussians, and what dies under gradient flow (``dies_under_gradient_flow``) is a wedge
    0 < A < v*tanh(q*(c - target)) of their plane.
    """
    x = finite_number("x", x)
    q = math.hypot(1, x)
    std_a, std_v = _spreads(x, std_w, std_b, std_v)
    if std_a == 0:
        return 0.0
    gap = abs(finite_number("target", target) - finite_number("c", c))
    return math.atan2(std_v * math.tanh(q * gap), std_a / q) / (2 * math.pi)


def death_at_first_step_probability(
    x: float,
    target: float,
    learning_rate: Any,
    *,
    std_w: float,
    std_b: float,
    std_v: float,
    c: float = 0.0,
) -> Array:
    """Return P(fires at first, and the first step kills) on one sample.

    For w, b, v ~ N(0, std_w), N(0, std_b), N(0, std_v) and a fixed initial c; to about 1e-12.

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
    """
    rates = non_negative_array("learning_rate", learning_rate)
    x = finite_number("x", x)
    std_a, std_v = _spreads(x, std_w, std_b, std_v)
    gap = abs(finite_number("target", target) - finite_number("c", c))
    result: Array = np.zeros(rates.size)
    if std_a > 0 and std_v > 0:
        # With v in units of std_v and a in units of std_a only two numbers are left.
        push, distance = (1 + x * x) * std_v * std_v, gap / std_a / std_v
        result[:] = [_first_step_death(rate * push, distance) for rate in rates.tolist()]
    return result.reshape(np.shape(learning_rate))


def _spreads(x: float, std_w: float, std_b: float, std_v: float) -> tuple[float, float]:
    """Return the standard deviations of the pre-activation and of v."""
    given = {"std_w": std_w, "std_b": std_b, "std_v": std_v}
    spreads = {name: finite_number(name, value) for name, value in given.items()}
    for name, value in spreads.items():
        if value < 0:
            raise InputError(f"{name}: expected a number >= 0, got {value}")
    return math.hypot(x * spreads["std_w"], spreads["std_b"]), spreads["std_v"]


_erf = np.vectorize(math.erf, otypes=[float])


def _first_step_death(push: float, distance: float) -> float:
    """Return P(0 < a <= push*v*(v*a + distance)) for two standard Gaussians a and v.

    With h = push*v*distance/|1 - push*v^2|, what dies is 0 < a <= h where v is between 0 and
    z = 1/sqrt(push); all of a > 0 where v > z; and a >= h where v < -z. The layer in which h passes
    through 1 may be anywhere and very thin. v = z*tanh(r) for the first and v = -z*coth(r) for the
    last make h = sqrt(push)*distance*sinh(2*r)/2 of both. In log(r) the integrand is smooth and
    falls off at both ends, so that the trapezoidal rule converges exponentially (Trefethen &
    Weideman 2014, SIAM Review 56).
    """
    if push == 0:
        return 0.0
    step = 1 / 32
    r = np.exp(np.arange(-60, 3.5, step))
    push = min(push, 1e40)  # from where on no digit changes
    z = 1 / math.sqrt(push)
    with np.errstate(over="ignore"):  # erf is 1 there, and the Gaussian 0
        covered = _erf(math.sqrt(push / 8) * distance * np.sinh(2 * r))
        first = np.exp(-0.5 * (z * np.tanh(r)) ** 2) / np.cosh(r) ** 2 * covered
        last = np.exp(-0.5 * (z / np.tanh(r)) ** 2) / np.sinh(r) ** 2 * (1 - covered)
    integral = z * step * float((r * (first + last)).sum()) / math.sqrt(2 * math.pi)
    return (integral + math.erfc(z / math.sqrt(2)) / 2) / 2


# Where training can settle.


LARGEST_STABLE_RATE = 2.0
"""No stationary point is linearly stable above it, on any data, as long as c trains.

The Hessian's entry for c is 1, so its largest eigenvalue is at least 1, and gradient descent is
stable only where that is below 2 / learning_rate.
"""


def interpolation_sharpness(w: Any, b: Any, v: Any, x: Any) -> Array:
    """Return the largest eigenvalue of the Hessian at zero loss on one sample, c training.

    The residual is 0, so the Hessian is the square of the gradient (v*x, v, a, 1) of the output: of
    rank one, with the eigenvalue a^2 + 1 + s*v^2, or 1 where the unit does not fire. With c frozen
    it is less by 1. ``relulab.sharpness`` is of any networks on any data.

    Parameters
    ----------
    w, b, v, x : array_like
        Of shapes that broadcast; c is what makes the loss 0.

    Returns
    -------
    ndarray of float64, of the common shape
        Gradient descent settles there only if the learning rate is below 2 divided by this.
    """
    w, b, v, x = number_arrays(w=w, b=b, v=v, x=x)
    with np.errstate(over="ignore", invalid="ignore"):
        a = w * x + b
        result: Array = 1 + np.where(a > 0, a * a + (1 + x * x) * v * v, 0)
    return result


def largest_stable_rate(
    x: float, target: float, *, c: float | None = None, c_trains: bool = True
) -> float:
    """Return the learning rate above which no firing network of zero loss on one sample is stable.

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
    """
    q, target = math.hypot(1, finite_number("x", x)), finite_number("target", target)
    instance_of("c_trains", c_trains, bool)
    if c is None:
        if not c_trains:
            raise InputError("c: expected a number where c does not train, got None")
        return LARGEST_STABLE_RATE
    distance = q * abs(target - finite_number("c", c))
    if c_trains:
        return LARGEST_STABLE_RATE / (1 + 2 * distance)
    return 1 / distance if distance > 0 else math.inf


def balance(w: Any, b: Any, v: Any) -> Array:
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
    """
    w, b, v = number_arrays(w=w, b=b, v=v)
    with np.errstate(over="ignore", invalid="ignore"):
        result: Array = w * w + b * b - v * v
    return result


# Dead units: only c moves.


def dead_unit_c(c0: Any, target: Any, learning_rate: Any, step: Any) -> Array:
    """Return c after some full-batch steps of a network whose unit is dead.

    Its gradient is c - target, so each step multiplies that by 1 - learning_rate: convergence below
    a rate of 2, period 2 at 2, and a dead network that diverges above.

    Parameters
    ----------
    c0, target, learning_rate, step : array_like
        Of shapes that broadcast; ``target`` is the mean of the targets where there are several, and
        the loss that c converges to is half their variance.
    """
    c0, target, rate, step = number_arrays(
        c0=c0, target=target, learning_rate=learning_rate, step=step
    )
    wrong = step[(step < 0) | (step != np.rint(step))]
    if wrong.size:
        raise InputError(f"step: expected whole numbers >= 0, got {wrong[0]}")
    with np.errstate(over="ignore", invalid="ignore"):  # it diverges
        result: Array = target + (1 - rate) ** step * (c0 - target)
    return result


def dead_unit_steps(c0: Any, target: Any, learning_rate: Any, tolerance: float) -> Array:
    """Return after how many full-batch steps a dead unit's network has converged.

    The first k at which |c_k - target|, its gradient norm, is at most the tolerance; see
    ``dead_unit_c``.

    Parameters
    ----------
    c0, target, learning_rate : array_like
        Of shapes that broadcast.
    tolerance : float
        Greater than 0.

    Returns
    -------
    ndarray of float64
        Whole numbers up to rounding at a boundary; inf where it never converges.
    """
    c0, target, rate = number_arrays(c0=c0, target=target, learning_rate=learning_rate)
    tolerance = finite_number("tolerance", tolerance, above=0.0)
    with np.errstate(all="ignore"):
        distance = np.abs(c0 - target) / tolerance
        factor = np.abs(1 - rate)
        steps = np.ceil(np.log(distance) / -np.log(factor))
    result: Array = np.select([distance <= 1, factor >= 1, factor == 0], [0.0, np.inf, 1.0], steps)
    return result


def dead_unit_c_per_example(targets: Any, learning_rate: Any) -> Array:
    """Return c at the beginning of late epochs of a dead unit, one example a step.

    An epoch takes c to (1-r)^n * c + r * sum (1-r)^(n-i) * target_i, with r the learning rate and i
    from 1 to n, whose fixed point is a mean of the targets with the weights (1-r)^(n-i): the later
    in an epoch, the heavier. Only as r goes to 0 is it the mean that full-batch steps lead to.

    Parameters
    ----------
    targets : array_like, shape (n_samples,)
        In the order in which the examples come.
    learning_rate : float or array_like, shape (n_rates,)

    Returns
    -------
    ndarray of float64, of the shape of ``learning_rate``

    Raises
    ------
    InputError
        If a rate is not between 0 and 2, where (1-r)^n goes to 0 and every c to this limit. Above,
        c diverges. At a rate of 2, where (1-r)^n is 1 or -1, it moves by a constant each epoch if n
        is even, and is back after two epochs if n is odd.
    """
    rates, targets = finite_array("learning_rate", learning_rate), finite_array("targets", targets)
    outside = rates[(rates <= 0) | (rates >= 2)]
    if outside.size:
        raise InputError(f"learning_rate: expected values between 0 and 2, got {outside[0]}")
    weights = (1 - rates[:, np.newaxis]) ** np.arange(targets.size)[::-1]
    with np.errstate(over="ignore", invalid="ignore"):
        result: Array = weights @ targets / weights.sum(axis=1)
    if not np.isfinite(result).all():
        raise InputError("targets: expected values whose sum is within the range of float64")
    return result.reshape(np.shape(learning_rate))


# One sample with c frozen at 0 and A = v: the edge of stability in one number.


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


def balanced_start(x: float, target: float, y: Any) -> tuple[Array, Array, Array]:
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
    with np.errstate(over="ignore", invalid="ignore"):
        v = y * scale
        return x * v / q, v / q, v


def balanced_step(y: Any, k: Any) -> Array:
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
    with np.errstate(over="ignore", invalid="ignore"):
        result: Array = y * (1 + k - k * y * y)
    return result
