"""Closed forms that results are held against, each where its assumptions are stated.

Notation for one sample (x, target): q = sqrt(1 + x**2), A = (w*x + b)/q, f = v*(w*x + b),
residual e = f + c - target. With a small step the pair (A, v) moves on a hyperbola A**2 - v**2.
"""

import math


def born_dead_probability_normal(std_w: float, std_b: float, x_min: float, x_max: float) -> float:
    """Return P(w*x + b <= 0 on [x_min, x_max]) for w ~ N(0, std_w), b ~ N(0, std_b).

    The direction of (w, b) in units of the standard deviations is uniform, and firing at x is a
    half plane; two half planes whose normals include the angle t are both missed with probability
    (pi - t)/(2 pi). At one dimension this is Shin & Karniadakis 2019, arXiv 1907.09696.
    """
    angle = math.atan2(x_max * std_w, std_b) - math.atan2(x_min * std_w, std_b)
    return 0.5 - angle / (2 * math.pi)


def born_dead_probability_uniform(r: float, *, from_zero: bool = False) -> float:
    """Return the same for w, b ~ U(-1, 1) on [-r, r], or on [0, r] with ``from_zero``.

    The area of the square on which b <= -r*|w|, or b <= -max(0, r*w), divided by 4.
    """
    if from_zero:
        return (1 + (1 - r / 2 if r <= 1 else 1 / (2 * r))) / 4
    return 1 / (4 * r) if r >= 1 else 0.5 - r / 4


def small_rate_death_probability(
    x: float, target: float, *, std_w: float, std_b: float, std_v: float, c: float = 0.0
) -> float:
    """Return P(fires at first, then dies) on one sample as the learning rate goes to 0.

    For w, b, v ~ N(0, std_w), N(0, std_b), N(0, std_v) and a fixed initial c. Gradient flow rotates
    (A, v) hyperbolically by an angle that may reach q*|target - c|; a firing unit dies where A
    becomes 0 before the residual does, that is where |v|/A > 1/tanh(q*|target - c|) with v of the
    sign of c - target. The rest is the angle of that wedge in the plane of two Gaussians.
    """
    q = math.hypot(1, x)
    std_a = math.hypot(x * std_w, std_b) / q
    return math.atan(std_v / std_a * math.tanh(q * abs(target - c))) / (2 * math.pi)


LARGEST_STABLE_RATE = 2.0
"""No stationary point is linearly stable above it, on any data, as long as c trains.

The Hessian's entry for c is 1, so its largest eigenvalue is at least 1, and gradient descent is
stable only where that is below 2 / learning_rate.
"""
