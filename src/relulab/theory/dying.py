"""Units that training kills, on one sample."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from relulab.validation import (
    Float64Array,
    finite_number,
    non_negative_array,
    number_arrays,
)

BoolArray = npt.NDArray[np.bool_]


def dies_in_one_step(
    w: Any, b: Any, v: Any, c: Any, x: Any, target: Any, learning_rate: Any
) -> BoolArray:
    """Return whether the next step of gradient descent on one sample kills an active unit.

    The step changes w by -learning_rate*v*e*x and b by -learning_rate*v*e, so the pre-activation a
    becomes a - learning_rate*s*v*e: no longer active exactly where learning_rate*s*v*e >= a.

    Parameters
    ----------
    w, b, v, c, x, target, learning_rate : array_like
        Of shapes that broadcast.

    Returns
    -------
    ndarray of bool, of the common shape
        False where the unit is inactive.
    """
    w, b, v, c, x, target, rate = number_arrays(
        w=w, b=b, v=v, c=c, x=x, target=target, learning_rate=learning_rate
    )
    with np.errstate(over="ignore", invalid="ignore"):
        a = w * x + b
        result: BoolArray = (a > 0) & (rate * (1 + x * x) * v * (v * a + c - target) >= a)
    return result


def dies_under_gradient_flow(w: Any, b: Any, v: Any, c: Any, x: Any, target: Any) -> BoolArray:
    """Return whether an active unit dies on one sample in the limit of small learning rates.

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
        False where the unit is inactive to begin with.
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
    """Return P(active at first, then dies) on one sample as the learning rate goes to 0.

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
) -> Float64Array:
    """Return P(active at first, and the first step kills) on one sample.

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
    result: Float64Array = np.zeros(rates.size)
    if std_a > 0 and std_v > 0:
        # With v in units of std_v and a in units of std_a only two numbers are left.
        push, distance = (1 + x * x) * std_v * std_v, gap / std_a / std_v
        result[:] = [_first_step_death(rate * push, distance) for rate in rates.tolist()]
    return result.reshape(np.shape(learning_rate))


def _spreads(x: float, std_w: float, std_b: float, std_v: float) -> tuple[float, float]:
    """Return the standard deviations of the pre-activation and of v."""
    given = {"std_w": std_w, "std_b": std_b, "std_v": std_v}
    spreads = {name: finite_number(name, value, at_least=0) for name, value in given.items()}
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
