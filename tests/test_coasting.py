"""Units that wake or die by velocity, against plain loops."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relulab as rl
from relulab import theory


def coasts(w, b, velocity_w, velocity_b, x, rate, momentum, nesterov, n_steps=3000):
    """Return the first step at which the unit is active on a sample, in a loop; inf if never."""
    for k in range(n_steps):
        if w * x + b > 0:
            return k
        velocity_w, velocity_b = momentum * velocity_w, momentum * velocity_b
        factor = momentum if nesterov else 1.0
        w, b = w - rate * factor * velocity_w, b - rate * factor * velocity_b
    return math.inf


@pytest.mark.slow
@pytest.mark.parametrize("nesterov", [False, True])
def test_units_wake_when_a_loop_says(nesterov):
    rng = np.random.default_rng(0)
    steps = []
    for _ in range(3000):
        w, b, velocity_w, velocity_b, x = rng.normal(size=5)
        rate, momentum = rng.choice([0.05, 0.3]), rng.choice([0.5, 0.9, 0.99])
        velocity = x * velocity_w + velocity_b
        found = theory.steps_to_wake(w * x + b, velocity, rate, momentum, nesterov=nesterov)
        steps.append(float(found))
        assert found == coasts(w, b, velocity_w, velocity_b, x, rate, momentum, nesterov)
    steps = np.array(steps)
    assert min((steps == 0).sum(), np.isinf(steps).sum()) > 500
    assert ((steps > 1) & (steps < math.inf)).sum() > 100


@given(st.floats(1e-3, 0.999), st.floats(0.01, 10), st.floats(0.01, 10))
def test_it_never_comes_quite_to_where_its_steps_end(momentum, velocity, rate):
    whole = Fraction(momentum) / (1 - Fraction(momentum)) * Fraction(velocity) * Fraction(rate)
    beyond, short = -float(whole) * (1 + 1e-12), -float(whole) * (1 - 1e-12)
    assert theory.steps_to_wake(beyond, -velocity, rate, momentum) == math.inf
    k = float(theory.steps_to_wake(short, -velocity, rate, momentum))
    # m^k is 1e-12, but for the roundings of that difference.
    assert k == pytest.approx(math.log(1e-12) / math.log(momentum), abs=1 + 1e-3 * k)


def test_the_first_sample_to_wake_a_unit_is_an_end():
    rng = np.random.default_rng(1)
    x = np.sort(rng.normal(size=20))
    n_woken = 0
    for _ in range(300):
        w, velocity_w, velocity_b = rng.normal(size=3)
        b = -np.maximum(w * x[0], w * x[-1]) - rng.exponential(0.3)
        arguments = x * velocity_w + velocity_b, 0.2, 0.8
        steps = theory.steps_to_wake(w * x + b, *arguments)
        assert steps.min() == min(steps[0], steps[-1])
        n_woken += steps.min() < math.inf
    assert n_woken > 50


def test_rests_and_boundaries():
    wake = theory.steps_to_wake
    assert wake(0, -1, 1, 0.5) == 1
    assert wake(0, [0, 1], 1, 0.5).tolist() == [math.inf] * 2
    assert wake([1, -1], 0, 0, 0).tolist() == [0, math.inf]
    assert wake(-1, -1, 1, 0.5) == math.inf  # comes to 0 in infinitely many steps
    assert wake(-0.5, -1, 1, 0.5) == 2  # on the hinge after one
    assert np.isnan(wake(math.nan, 1, 1, 0.5))


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_a_step_with_velocity_kills_when_a_loop_says(momentum, nesterov):
    rng = np.random.default_rng(2)
    w, b, v, c, x, target, velocity_w, velocity_b = rng.normal(size=(8, 4000))
    rate = 0.3
    found = theory.dies_in_one_step(
        w, b, v, c, x, target, rate, momentum=momentum, velocity=x * velocity_w + velocity_b,
        nesterov=nesterov,
    )  # fmt: skip
    a = w * x + b
    e = v * a + c - target
    new_w, new_b = momentum * velocity_w + e * v * x, momentum * velocity_b + e * v
    step_w = e * v * x + momentum * new_w if nesterov else new_w
    step_b = e * v + momentum * new_b if nesterov else new_b
    after = (w - rate * step_w) * x + b - rate * step_b
    np.testing.assert_array_equal(found, (a > 0) & (after <= 0))
    plain = theory.dies_in_one_step(w, b, v, c, x, target, rate)
    assert (found != plain).any() == (momentum > 0)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            lambda: theory.steps_to_wake(-1, 1, -1, 0.5),
            "learning_rate: expected finite values >= 0",
        ),
        (lambda: theory.steps_to_wake(-1, 1, 1, 1), "momentum: expected values from 0 to below 1"),
        (lambda: theory.steps_to_wake(-1, 1, 1, 0, nesterov=0), "nesterov: expected bool, got 0"),
        (
            lambda: theory.dies_in_one_step(1, 0, 1, 1, 1, 1, 0.1, momentum=2),
            "momentum: expected values from 0 to below 1, got 2",
        ),
    ],
)
def test_mistakes_are_named(start, message):
    with pytest.raises(rl.InputError, match=f"^{message}"):
        start()
