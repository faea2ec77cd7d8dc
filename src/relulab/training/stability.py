"""Whether gradient descent rests at a state: the fourth part of the specification.

A small gradient is necessary, not sufficient: a chaotic run flies past an unstable minimum, and a
slow one passes a saddle. At a stationary point, descent with the rates D (0 for what is frozen)
multiplies a small distance by I - M, with M = D^(1/2) H D^(1/2) and H the Hessian of the mean loss.
It rests there if

1. no eigenvalue of M is above 2, the edge of stability; and
2. no negative curvature leads away.

H = G + R. The Gauss-Newton part G has no negative eigenvalue. The residual part R has two entries,
that of w with v and that of b with v::

    X = sum e*x / n_samples,  E = sum e / n_samples    over active samples, with residuals e

so that its eigenvalues in the coordinates of M are +-growth, growth^2 = rate_v * (rate_w * X^2 +
rate_b * E^2): all negative curvature comes from X and E. The gradient has v*X for w and v*E for b.
Where descent settles, it is X and E that vanish, and negative curvature with them; at a saddle it
is v, and they stay. To tell these apart, one looks at what the damped Gauss-Newton step
-(G + growth*I)^(-1) * gradient, in the coordinates of M, leaves of X and E: that is what descent
cannot remove in the time in which negative curvature acts. The state rests if no more than half of
the growth is left. (No threshold for a curvature: a weak saddle is told like a strong one, and a
slow valley is no saddle.)

All this is in float64, whatever the dtype of the training, in the order of operations below; which
samples are active is what training says. Two roundings are allowed for: an eigenvalue up to 2 +
SLACK counts as 2; and a growth counts as 0 that is at most ``resolution``, the root of the dtype's
epsilon, times the largest that this loss could have. Where an intermediate result is not finite,
descent does not rest.

The rule is local. It does not see what lies beyond a kink nearby; at a kink it takes the side on
which the state is, where a sample with pre-activation 0 is inactive.

The functions are plain arithmetic on scalars or arrays: one source for both engines.
"""

from typing import Any

import numpy as np

SLACK = 2.0**-40
# Of the trace of M: more than the roundings of the step, to which flat directions are open.
FLAT = 2.0**-48

# Sums over active samples of 1, x, x^2, e, e*x, and of e over the others.
N_SUMS = 6


def resolution(dtype: Any) -> float:
    """Return the relative size below which a sum of residuals may be rounding."""
    return float(np.sqrt(np.float64(np.finfo(dtype).eps)))


def add_sample(sums: Any, active: Any, w: Any, b: Any, v: Any, c: Any, x: Any, target: Any) -> Any:
    """Return the six sums with one more sample, ``active`` (1) or not (0)."""
    n, sx, sxx, se, sex, others = sums
    e = (v * (active * (w * x + b)) + c) - target
    active_e, active_x = active * e, active * x
    return (
        n + active,
        sx + active_x,
        sxx + active_x * x,
        se + active_e,
        sex + active_e * x,
        (others + (e - active_e)),
    )


def sums_of_sides(
    w: Any, b: Any, v: Any, c: Any,
    n: Any, mean_x: Any, sxx: Any, slope: Any, mean_target: Any, n_others: Any, others_target: Any,
) -> Any:  # fmt: skip
    """Return the six sums from the moments of the active and of the other samples."""
    sx = n * mean_x
    se = n * ((v * (w * mean_x + b) + c) - mean_target)
    sex = se * mean_x + sxx * (v * w - slope)
    return n, sx, sx * mean_x + sxx, se, sex, n_others * (c - others_target)


def settles(sums: Any, n_samples: Any, w: Any, b: Any, v: Any, rates: Any, size: Any) -> Any:
    """Return whether no negative curvature leads away, and a bound of the eigenvalues of M.

    ``rates`` are those of w, b, v, c, 0 for what is frozen; ``size`` is the resolution times the
    root of twice the loss. X and E after the step solve two linear equations, once the sum of all
    residuals, which c sees, is eliminated; they stand here times the determinant.
    """
    rate_w, rate_b, rate_v, rate_c = rates
    n, x, xx = sums[0] / n_samples, sums[1] / n_samples, sums[2] / n_samples
    e, ex, others = sums[3] / n_samples, sums[4] / n_samples, sums[5] / n_samples
    a, ax = w * x + b * n, w * xx + b * x
    by_w, by_b, by_v = rate_w * (v * v), rate_b * (v * v), rate_v
    trace = ((by_w * xx + by_b * n) + by_v * (w * ax + b * a)) + rate_c
    growth_2 = rate_v * (rate_w * (ex * ex) + rate_b * (e * e))
    growth = np.sqrt(growth_2)
    damping = growth + FLAT * trace
    by_c = rate_c * damping / (damping + rate_c * (1.0 - n))
    xx_left = damping + (by_w * xx + by_v * ax * w)
    xe_left = (by_b * x + by_v * ax * b) + by_c * x
    ex_left = by_w * x + by_v * a * w
    ee_left = damping + ((by_b * n + by_v * a * b) + by_c * n)
    to_x, to_e = damping * ex - by_c * x * others, damping * e - by_c * n * others
    left_x, left_e = to_x * ee_left - xe_left * to_e, xx_left * to_e - ex_left * to_x
    left_2 = rate_v * (rate_w * (left_x * left_x) + rate_b * (left_e * left_e))
    determinant = xx_left * ee_left - xe_left * ex_left
    halved = 4.0 * left_2 <= growth_2 * (determinant * determinant)
    rounding = growth_2 <= rate_v * (rate_w * xx + rate_b * n) * (size * size)
    return halved | rounding, trace + growth


def below_edge(sums: Any, n_samples: Any, w: Any, b: Any, v: Any, rates: Any) -> Any:
    """Return whether no eigenvalue of M is above 2 (with the slack), by elimination."""
    n, x, xx = sums[0] / n_samples, sums[1] / n_samples, sums[2] / n_samples
    e, ex = sums[3] / n_samples, sums[4] / n_samples
    a, ax = w * x + b * n, w * xx + b * x
    to_w, to_b = np.sqrt(rates[0]), np.sqrt(rates[1])
    to_v, to_c = np.sqrt(rates[2]), np.sqrt(rates[3])
    edge = 2.0 + SLACK
    # edge*I - M is positive definite if every pivot is above 0.
    ww, bb = edge - (to_w * v) * (to_w * v) * xx, edge - (to_b * v) * (to_b * v) * n
    vv, cc = edge - to_v * to_v * (w * ax + b * a), edge - to_c * to_c
    wb, wv, wc = to_w * to_b * (v * v) * x, to_w * to_v * (v * ax + ex), to_w * to_c * (v * x)
    bv, bc, vc = to_b * to_v * (v * a + e), to_b * to_c * (v * n), to_v * to_c * a
    wb, wv, wc, bv, bc, vc = -wb, -wv, -wc, -bv, -bc, -vc
    b_w, v_w, c_w = wb / ww, wv / ww, wc / ww
    bb, bv, bc = bb - b_w * wb, bv - b_w * wv, bc - b_w * wc
    vv, vc, cc = vv - v_w * wv, vc - v_w * wc, cc - c_w * wc
    v_b, c_b = bv / bb, bc / bb
    vv, vc, cc = vv - v_b * bv, vc - v_b * bc, cc - c_b * bc
    cc = cc - vc / vv * vc
    return (ww > 0.0) & (bb > 0.0) & (vv > 0.0) & (cc > 0.0)
