"""Limits of stability with momentum and of Adam, against plain loops on a parabola."""

import math

import numpy as np
import pytest

import relulab as rl
from relulab import theory

MOMENTA = [0.0, 0.1, 0.5, 0.9, 0.99]


def farthest(curvature, rate, momentum, nesterov, n_steps=40_000):
    """Return the largest |p| in the last steps of descent on a parabola from p = 1."""
    p, velocity, largest = 1.0, 0.0, 0.0
    for k in range(n_steps):
        d = curvature * p
        velocity = momentum * velocity + d
        p -= rate * (d + momentum * velocity if nesterov else velocity)
        if abs(p) > 1e6:
            return math.inf
        if k > 0.9 * n_steps:
            largest = max(largest, abs(p))
    return largest


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("nesterov", [False, True])
def test_descent_settles_below_the_limit_and_diverges_above(momentum, nesterov):
    for rate in (0.1, 3.0):
        limit = float(theory.stability_limit(rate, momentum, nesterov=nesterov))
        assert farthest(limit * 0.998, rate, momentum, nesterov) < 1e-3
        assert farthest(limit * 1.002, rate, momentum, nesterov) == math.inf


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("nesterov", [False, True])
def test_at_the_limit_the_largest_root_is_minus_1(momentum, nesterov):
    q = float(theory.stability_limit(1.0, momentum, nesterov=nesterov))
    m = momentum
    step = [[1 - q * (1 + m), -m * m], [q, m]] if nesterov else [[1 - q, -m], [q, m]]
    roots = np.linalg.eigvals(np.array(step))
    assert roots[np.abs(roots).argmax()] == pytest.approx(-1, abs=1e-12)


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9])
def test_adam_that_is_frozen_is_stable_up_to_its_limit(beta1):
    rate, divisor = 0.3, 0.7

    def ends(curvature):
        p, m = 1.0, 0.0
        for _ in range(20_000):
            m = beta1 * m + (1 - beta1) * curvature * p
            p -= rate * m / divisor
            if abs(p) > 1e6:
                break
        return abs(p)

    limit = float(theory.adam_stability_limit(rate, beta1)) * divisor
    assert ends(0.998 * limit) < 1e-3
    assert ends(1.002 * limit) > 1e6


def test_published_values():
    assert theory.adam_stability_limit(1e-3) == pytest.approx(38 / 1e-3, rel=1e-14)
    assert theory.stability_limit(0.1) == 20
    assert theory.stability_limit(0.1, 0.9) == pytest.approx(38)
    assert theory.stability_limit([0.0, 1e-320]).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            lambda: theory.stability_limit(0.1, 1),
            "momentum: expected values from 0 to below 1, got",
        ),
        (lambda: theory.stability_limit(0.1, -0.1), "momentum: expected values from 0 to below 1"),
        (lambda: theory.stability_limit(-0.1), "learning_rate: expected finite values >= 0, got"),
        (lambda: theory.stability_limit(math.inf), "learning_rate: expected finite values >= 0"),
        (lambda: theory.stability_limit(0.1, nesterov=1), "nesterov: expected bool, got 1"),
        (lambda: theory.adam_stability_limit(0.1, math.nan), "beta1: expected values from 0 to"),
    ],
)
def test_mistakes_are_named(start, message):
    with pytest.raises(rl.InputError, match=f"^{message}"):
        start()
