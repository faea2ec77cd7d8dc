"""Whether gradient descent rests at a state: the fourth part of the specification.

A small gradient is necessary, not sufficient: a chaotic run flies past an unstable minimum, and a
slow one passes a saddle. At a stationary point, descent with the rates D (0 for frozen parameters)
multiplies a small distance by I - M, with M = D^(1/2) H D^(1/2) and H the Hessian of the mean loss.
It rests there if

1. no eigenvalue of M is above 2, the edge of stability; and
2. no negative curvature leads away.

Optimizers other than plain descent have another edge, and Adam another rate for each parameter
(``update_rules``). A weight decay adds to the diagonal of H. Each sample is weighted by s, the
slope of the unit there: 1 if it is active, else the negative slope.

H = G + R. The Gauss-Newton part G has no negative eigenvalue. The residual part R has two entries,
of w with v and of b with v::

    X = sum s*e*x / n_samples,  E = sum s*e / n_samples    with residuals e

Its eigenvalues in the coordinates of M are +-growth, growth^2 = rate_v * (rate_w * X^2 +
rate_b * E^2): all negative curvature comes from X and E. The gradient is v*X in w and v*E in b.
Where descent settles, X and E vanish, and negative curvature with them; at a saddle v vanishes, and
X and E stay. The damped Gauss-Newton step -(G + damping*I)^(-1) * gradient, in the coordinates of
M, tells these cases apart by what it leaves of X and E. With the growth as damping, this is the
part that descent cannot remove in the time in which negative curvature acts. If at most half of the
growth is left, descent settles. If more, the state is a saddle, however weak, or in a valley where
descent is slower still. It is in a valley if no eigenvalue of H, for the trained parameters, is
below -2*gradient_norm/size, where size^2 is the larger of w^2 + b^2 + v^2 and the root mean square
residual. The reason is that a gradient looks like curvature: of size up to 2*gradient_norm/size, of
either sign, along the curve on which w, b grow as v shrinks and the network stays the same. With
weight decay X and E do not vanish where descent settles, and there is no such valley: only the test
of the eigenvalues of H is made.

All this is in float64, whatever the dtype of training, in the order of operations below; training
decides which samples are active. Three allowances are made for rounding. An eigenvalue up to
2 + SLACK counts as 2. FLAT times the trace of G is added to the damping, because rounding moves the
step along flat directions. A growth counts as 0 if it is at most ``resolution``, 256 of the dtype's
epsilons, times the largest growth possible at this loss. If an intermediate result is not finite,
descent does not rest.

The rule is local. It does not see beyond a kink nearby; at a kink it takes the side of the state,
where a sample with pre-activation 0 is inactive.

The functions are plain arithmetic on scalars or arrays: one source for both engines. ``rest``
combines them for arrays, the Numba kernel for scalars.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from relulab.training import sorted_sums
from relulab.validation import FloatArray

if TYPE_CHECKING:  # theory takes constants from here, and must not load what trains
    from relulab.training.specification import Problem, States

SLACK = 2.0**-40
FLAT = 2.0**-48
EDGE = 2.0  # of plain descent

# Sums over all samples of s^2, s^2*x, s^2*x^2, s, s*x, s*e, s*e*x, (1 - s)*e.
N_SUMS = 8


def resolution(dtype: Any) -> float:
    """Return the relative size up to which a sum of residuals may be rounding."""
    return 256.0 * float(np.finfo(dtype).eps)


def add_sample(
    sums: Any, active: Any, w: Any, b: Any, v: Any, c: Any, slope: Any, x: Any, target: Any
) -> Any:
    """Return the sums with one more sample, ``active`` (1) or not (0)."""
    n, sx, sxx, t, tx, se, sex, others = sums
    s = active + (1.0 - active) * slope
    e = (v * (s * (w * x + b)) + c) - target
    weight, slope_e = s * s, s * e
    weight_x = weight * x
    return (
        n + weight,
        sx + weight_x,
        sxx + weight_x * x,
        t + s,
        tx + s * x,
        se + slope_e,
        sex + slope_e * x,
        others + (e - slope_e),
    )


def sums_of_sides(
    w: Any, b: Any, v: Any, c: Any, slope: Any,
    n: Any, mean_x: Any, sxx: Any, to_x: Any, mean_target: Any,
    n_others: Any, others_x: Any, others_sxx: Any, others_to_x: Any, others_target: Any,
) -> Any:  # fmt: skip
    """Return the sums from the moments of the active and of the other samples.

    The moments of a side: number, mean and sum of squares of x, slope and mean of the targets.
    """
    sx = n * mean_x
    se = n * ((v * (w * mean_x + b) + c) - mean_target)
    sex = se * mean_x + sxx * (v * w - to_x)
    u, weight = slope * v, slope * slope
    other_sx = n_others * others_x
    other_se = n_others * ((u * (w * others_x + b) + c) - others_target)
    other_sex = other_se * others_x + others_sxx * (u * w - others_to_x)
    return (
        n + weight * n_others,
        sx + weight * other_sx,
        (sx * mean_x + sxx) + weight * (other_sx * others_x + others_sxx),
        n + slope * n_others,
        sx + slope * other_sx,
        se + slope * other_se,
        sex + slope * other_sex,
        (1.0 - slope) * other_se,
    )


def surely_rests(
    w: Any, b: Any, v: Any, rates: Any, edge: Any, x_moments: Any, gw: Any, gb: Any, norm: Any,
    size: Any,
) -> Any:  # fmt: skip
    """Return whether two bounds show that descent rests, without the sums, as for most states.

    X and E are gw/v and gb/v, and the most negative curvature is the root of X^2 + E^2. The trace
    of M is largest if every sample is active; ``x_moments`` are the means of x and x^2 of all. Not
    for weight decay.
    """
    rate_w, rate_b, rate_v, rate_c = rates
    x, xx = x_moments
    by_samples = rate_w * (v * v) * xx + rate_b * (v * v)
    trace = (by_samples + rate_v * (w * w * xx + 2.0 * (w * b) * x + b * b)) + rate_c
    growth = np.sqrt(rate_v * (rate_w * (gw * gw) + rate_b * (gb * gb)))
    seen = np.abs(v) > 1e-30  # for less, the gradients may have lost their digits
    flat = np.sqrt(gw * gw + gb * gb) * size < 2.0 * norm * np.abs(v)
    return seen & flat & (trace * np.abs(v) + growth <= edge * np.abs(v))


def decays_at(decay: Any) -> Any:
    """Return whether any trained parameter decays; ``decay`` is 0 for frozen ones."""
    return (decay[0] > 0.0) | (decay[1] > 0.0) | (decay[2] > 0.0) | (decay[3] > 0.0)


def rests_inactive(rates: Any, decay: Any, edge: Any) -> Any:
    """Return whether descent rests if no sample acts on w, b, v, however large v is.

    Then M is diagonal: the rates times the decay, for c times 1 + decay.
    """
    return (
        (rates[0] * decay[0] <= edge)
        & (rates[1] * decay[1] <= edge)
        & (rates[2] * decay[2] <= edge)
        & (rates[3] * (1.0 + decay[3]) <= edge)
    )


def settles(
    sums: Any, n_samples: Any, w: Any, b: Any, v: Any, rates: Any, decay: Any, size: Any
) -> Any:
    """Return whether at most half of the growth is left, and a bound on the eigenvalues of M.

    ``rates`` and ``decay`` are those of w, b, v, c, 0 if frozen; ``size`` is the resolution times
    the root of twice the loss. X and E after the step solve two linear equations, once the sum of
    (1 - s)*e, the other part of the gradient of c, is eliminated; here they are multiplied by the
    determinant.
    """
    rate_w, rate_b, rate_v, rate_c = rates
    n, x, xx = sums[0] / n_samples, sums[1] / n_samples, sums[2] / n_samples
    t, tx = sums[3] / n_samples, sums[4] / n_samples
    e, ex, others = sums[5] / n_samples, sums[6] / n_samples, sums[7] / n_samples
    a, ax = w * x + b * n, w * xx + b * x
    by_w, by_b, by_v = rate_w * (v * v), rate_b * (v * v), rate_v
    trace = ((by_w * xx + by_b * n) + by_v * (w * ax + b * a)) + rate_c
    growth_2 = rate_v * (rate_w * (ex * ex) + rate_b * (e * e))
    growth = np.sqrt(growth_2)
    damping = growth + FLAT * trace
    # The means of s*(1 - s) and s*(1 - s)*x, which are 0 without a negative slope.
    mixed, mixed_x = t - n, tx - x
    across = by_v * (w * b)
    from_x = mixed_x * (by_w + by_v * (w * w)) + mixed * across
    from_e = mixed_x * across + mixed * (by_b + by_v * (b * b))
    inactive = damping + rate_c * (1.0 - t)
    by_c = rate_c * damping / inactive
    c_x, c_e = rate_c * from_x / inactive, rate_c * (damping - from_e) / inactive
    xx_left = (damping + (by_w * xx + by_v * ax * w)) - c_x * tx
    xe_left = (by_b * x + by_v * ax * b) + c_e * tx
    ex_left = (by_w * x + by_v * a * w) - c_x * t
    ee_left = damping + ((by_b * n + by_v * a * b) + c_e * t)
    to_x, to_e = damping * ex - by_c * tx * others, damping * e - by_c * t * others
    left_x, left_e = to_x * ee_left - xe_left * to_e, xx_left * to_e - ex_left * to_x
    left_2 = rate_v * (rate_w * (left_x * left_x) + rate_b * (left_e * left_e))
    determinant = xx_left * ee_left - xe_left * ex_left
    halved = 4.0 * left_2 <= growth_2 * (determinant * determinant)
    plain = ((decay[0] + decay[1]) + (decay[2] + decay[3])) == 0.0
    rounding = growth_2 <= rate_v * (rate_w * xx + rate_b * n) * (size * size)
    decays = (rate_w * decay[0] + rate_b * decay[1]) + (rate_v * decay[2] + rate_c * decay[3])
    return (halved & plain) | rounding, (trace + growth) + decays


def size_of(w: Any, b: Any, v: Any, loss: Any) -> Any:
    """Return the size of a network from its parameters or residuals; see the module."""
    return np.sqrt(np.maximum(w * w + b * b + v * v, np.sqrt(2.0 * loss)))


def valley(rates: Any, decay: Any, norm: Any, size: Any) -> Any:
    """Return the diagonal for ``definite`` that ignores curvature of the gradient's size."""
    bend = 2.0 * norm / size
    # A frozen parameter has no row in M, but must not make it singular.
    rate_w, rate_b, rate_v, rate_c = rates
    return (
        rate_w * (bend + decay[0]) + (rate_w == 0.0),
        rate_b * (bend + decay[1]) + (rate_b == 0.0),
        rate_v * (bend + decay[2]) + (rate_v == 0.0),
        rate_c * (bend + decay[3]) + (rate_c == 0.0),
    )


def below(edge: Any, rates: Any, decay: Any) -> Any:
    """Return the diagonal for ``definite``: the edge minus the part of the decay."""
    most = edge + SLACK
    return (
        most - rates[0] * decay[0],
        most - rates[1] * decay[1],
        most - rates[2] * decay[2],
        most - rates[3] * decay[3],
    )


def definite(
    sums: Any, n_samples: Any, w: Any, b: Any, v: Any, rates: Any, sign: float, diagonal: Any
) -> Any:
    """Return whether sign*M, without decay, plus a diagonal is positive definite.

    By elimination.
    """
    n, x, xx = sums[0] / n_samples, sums[1] / n_samples, sums[2] / n_samples
    t, tx = sums[3] / n_samples, sums[4] / n_samples
    e, ex = sums[5] / n_samples, sums[6] / n_samples
    a, ax = w * x + b * n, w * xx + b * x
    to_w, to_b = np.sqrt(rates[0]), np.sqrt(rates[1])
    to_v, to_c = np.sqrt(rates[2]), np.sqrt(rates[3])
    ww = diagonal[0] + sign * ((to_w * v) * (to_w * v) * xx)
    bb = diagonal[1] + sign * ((to_b * v) * (to_b * v) * n)
    vv = diagonal[2] + sign * (to_v * to_v * (w * ax + b * a))
    cc = diagonal[3] + sign * (to_c * to_c)
    wb, wv = sign * (to_w * to_b * (v * v) * x), sign * (to_w * to_v * (v * ax + ex))
    wc, bv = sign * (to_w * to_c * (v * tx)), sign * (to_b * to_v * (v * a + e))
    bc, vc = sign * (to_b * to_c * (v * t)), sign * (to_v * to_c * (w * tx + b * t))
    b_w, v_w, c_w = wb / ww, wv / ww, wc / ww
    bb, bv, bc = bb - b_w * wb, bv - b_w * wv, bc - b_w * wc
    vv, vc, cc = vv - v_w * wv, vc - v_w * wc, cc - c_w * wc
    v_b, c_b = bv / bb, bc / bb
    vv, vc, cc = vv - v_b * bv, vc - v_b * bc, cc - c_b * bc
    cc = cc - vc / vv * vc
    return (ww > 0.0) & (bb > 0.0) & (vv > 0.0) & (cc > 0.0)


def rest(problem: "Problem", states: "States") -> npt.NDArray[np.bool_]:
    """Return for each of some states of a problem whether descent rests there."""
    with np.errstate(all="ignore"):
        w, b, v, _ = states.parameters.astype(np.float64)
        gw, gb, _, _ = states.gradients.astype(np.float64)
        norm, loss = states.norm.astype(np.float64), states.loss.astype(np.float64)
        trained = np.array(problem.trained)[:, np.newaxis]
        rates = tuple(np.where(trained, states.rates.astype(np.float64), 0))
        size, edge = size_of(w, b, v, loss), states.edge
        result = surely_rests(w, b, v, rates, edge, problem.x_moments, gw, gb, norm, size)
        result &= ~decays_at(states.decay)
        unsure = np.flatnonzero(~result)
        if unsure.size:
            result[unsure] = _rest_by_sums(problem, states.take(unsure), size[unsure])
    return np.asarray(result)


def _rest_by_sums(problem: "Problem", states: "States", size: FloatArray) -> npt.NDArray[np.bool_]:
    w, b, v, c = states.parameters.astype(np.float64)
    slope, decay = states.slope.astype(np.float64), tuple(states.decay)
    trained = np.array(problem.trained)[:, np.newaxis]
    rates = tuple(np.where(trained, states.rates.astype(np.float64), 0))
    norm, loss = states.norm.astype(np.float64), states.loss.astype(np.float64)
    if problem.sums is None:
        sums: Any = np.zeros((N_SUMS, w.size))
        for x, target in zip(problem.x, problem.target, strict=True):
            active = (states.parameters[0] * x + states.parameters[1] > 0).astype(np.float64)
            sums = add_sample(sums, active, w, b, v, c, slope, np.float64(x), np.float64(target))
    else:
        sides = sorted_sums.sides(problem.sums, *states.parameters[:2])
        sums = sums_of_sides(w, b, v, c, slope, *sides)
    state = sums, float(problem.x.size), w, b, v, rates
    at_bottom, bound = settles(*state, decay, resolution(problem.dtype) * np.sqrt(2.0 * loss))
    at_bottom |= definite(*state, 1.0, valley(rates, decay, norm, size))
    edge = states.edge
    at_bottom &= (bound <= edge) | definite(*state, -1.0, below(edge, rates, decay))
    return np.asarray(at_bottom | ((sums[0] == 0) & rests_inactive(rates, decay, edge)))
