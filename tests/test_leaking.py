"""Leaky units on one sample: who crosses the hinge, against plain loops at a small rate."""

import math

import numpy as np
import pytest

import relulab as rl
from relulab import theory

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries


@np.errstate(all="ignore")  # some diverge
def ends(start, x, target, slope, rate=2e-3, n_steps=40_000, frozen_c=False):
    """Return how often each unit was seen to cross, and its last pre-activation and residual."""
    w, b, v, c = np.array(start, float)
    crossings = np.zeros(w.shape, int)
    before = w * x + b > 0
    for _ in range(n_steps):
        pre = w * x + b
        leak = np.where(pre > 0, 1.0, slope)
        crossings += (pre > 0) != before
        before = pre > 0
        e = v * leak * pre + c - target
        back = e * v * leak
        w, b, v = w - rate * back * x, b - rate * back, v - rate * e * leak * pre
        if not frozen_c:
            c = c - rate * e
    pre = w * x + b
    return crossings, pre, v * np.where(pre > 0, pre, slope * pre) + c - target


@pytest.mark.parametrize("freeze", [(), ("c",)])
@pytest.mark.parametrize(
    ("x", "target", "slope"), [(1.0, 3.0, 0.3), (-0.5, -0.6, 0.8), (0.0, 1.0, 1.0)]
)
def test_who_crosses_and_that_none_is_lost(x, target, slope, freeze):
    start = np.random.default_rng(0).normal(size=(4, 2000))
    start[3] = 0.2
    crossings, pre, e = ends(start, x, target, slope, frozen_c=bool(freeze))
    dies = theory.dies_under_gradient_flow(*start, x, target, freeze=freeze)
    wakes = theory.wakes_under_gradient_flow(*start, x, target, slope, freeze=freeze)
    crossed = crossings > 0
    # A rate of 0.002 is small, not 0: who is near the boundary may differ.
    assert (crossed != (dies | wakes)).mean() < 0.004
    assert dies.sum() > 20
    assert wakes.sum() > 20
    assert (crossings <= 1).all()
    assert np.quantile(np.abs(e), 0.97) < 1e-3  # on their way to zero loss
    began = start[0] * x + start[1] > 0
    np.testing.assert_array_equal((pre > 0) != began, crossed)


def test_without_a_slope_none_wakes():
    start = np.random.default_rng(1).normal(size=(4, 1000))
    for freeze in ((), ("c",)):
        assert not theory.wakes_under_gradient_flow(*start, 1, 3, 0, freeze=freeze).any()
        options = {"std_w": 1, "std_b": 1, "std_v": 1, "freeze": freeze}
        assert theory.small_rate_wake_probability(1, 3, 0, **options) == 0


@pytest.mark.parametrize("freeze", [(), ("c",)])
@pytest.mark.parametrize("slope", [0.01, 0.3, 1.0])
def test_probabilities_are_those_of_random_starts(slope, freeze):
    n, (x, target, c) = 400_000, (0.7, 1.5, 0.4)
    std = {"std_w": 1.5, "std_b": 0.5, "std_v": 2.0}
    w, b, v = np.random.default_rng(2).normal(size=(3, n)) * np.array([[1.5], [0.5], [2.0]])
    p = theory.small_rate_wake_probability(x, target, slope, **std, c=c, freeze=freeze)
    wakes = theory.wakes_under_gradient_flow(w, b, v, c, x, target, slope, freeze=freeze)
    assert wakes.mean() == pytest.approx(p, abs=4 * math.sqrt(p / n))
    dying = theory.small_rate_death_probability(x, target, **std, c=c, freeze=freeze)
    assert (p == dying) == (slope == 1 or bool(freeze))
    assert p <= dying


def test_the_linear_network_has_the_critical_rate_of_the_theorem():
    """With c frozen; of starts on both sides of the hinge, which it does not know."""
    rng = np.random.default_rng(3)
    n_inactive = 0
    for _ in range(60):
        w, b, v, x, target = 1.5 * rng.normal(size=5)
        critical = float(theory.frozen_c_critical_rate(w, b, v, 0.1, x, target, linear=True))
        outcomes = []
        for factor in (0.97, 1.03):
            _, _, e = ends([[w], [b], [v], [0.1]], x, target, 1.0, factor * critical, 4000, True)
            outcomes.append(abs(e[0]))
        assert outcomes[0] < 1e-6
        assert not outcomes[1] < 1e-3  # oscillates, or is NaN
        n_inactive += w * x + b <= 0
    assert n_inactive > 15


def test_an_active_start_has_the_same_critical_rate_with_a_relu():
    w, b, v, target = np.random.default_rng(4).normal(size=(4, 500))
    relu = theory.frozen_c_critical_rate(w, b, v, 0, 0.5, target)
    linear = theory.frozen_c_critical_rate(w, b, v, 0, 0.5, target, linear=True)
    active = w * 0.5 + b > 0
    np.testing.assert_array_equal(relu[active], linear[active])
    assert np.isinf(relu[~active]).all()
    assert np.isfinite(linear).all()


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (
            lambda: theory.wakes_under_gradient_flow(1, 0, 1, 0, 1, 3, [0.5, 1.5]),
            "negative_slope: expected values from 0 to 1, got 1.5",
        ),
        (
            lambda: theory.small_rate_wake_probability(1, 3, -0.1, std_w=1, std_b=1, std_v=1),
            "negative_slope: expected values from 0 to 1, got -0.1",
        ),
        (
            lambda: theory.frozen_c_critical_rate(1, 0, 1, 0, 1, 3, linear=1),
            "linear: expected bool, got 1",
        ),
    ],
)
def test_mistakes_are_named(start, message):
    with pytest.raises(rl.InputError, match=f"^{message}"):
        start()
