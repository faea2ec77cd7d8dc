"""What weight decay leaves on one sample, against plain descent and exact arithmetic."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relulab as rl
from relulab import theory
from relulab.theory.curvature import hessian

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries


def descend(start, x, target, decay, rate, n_steps, frozen_c=False, slope=0.0):
    """Return w, b, v, c after plain steps on the loss with its decay term, shape (4, n_nets)."""
    w, b, v, c = np.array(start, float)
    for _ in range(n_steps):
        pre = w * x + b
        leak = np.where(pre > 0, 1.0, slope)
        e = v * leak * pre + c - target
        new_w = w - rate * (e * v * leak * x + decay[0] * w)
        new_b = b - rate * (e * v * leak + decay[1] * b)
        v = v - rate * (e * leak * pre + decay[2] * v)
        w, b = new_w, new_b
        if not frozen_c:
            c = c - rate * (e + decay[3] * c)
    return np.array([w, b, v, c])


def total_loss(parameters, x, target, decay):
    w, b, v, c = parameters
    e = v * np.maximum(w * x + b, 0) + c - target
    squares = sum(d * p * p for d, p in zip(decay, parameters, strict=True))
    return (e * e + squares) / 2


CASES = [
    # x, target, decay of w, b, v, c, and c if it is frozen
    (0.0, 0.5, (0.2, 0.2, 0.2, 0.0), 0.0),
    (1.0, 3.0, (0.5, 0.5, 0.5, 0.0), 0.2),
    (1.0, -3.0, (0.5, 0.5, 0.5, 0.0), 0.2),
    (-0.7, 2.0, (0.1, 0.4, 0.9, 0.0), -0.3),
    (0.5, 0.4, (0.6, 0.5, 0.4, 0.0), 0.0),
    (1.0, 3.0, (0.2, 0.2, 0.2, 0.0), None),
    (1.0, 3.0, (0.2, 0.2, 0.2, 0.2), None),
    (2.0, -4.0, (0.3, 0.1, 0.2, 0.5), None),
]


@pytest.mark.parametrize(("x", "target", "decay", "c"), CASES)
def test_no_start_leads_lower_than_the_minimum(x, target, decay, c):
    named = dict(zip("wbvc", decay, strict=True))
    found = np.array(theory.decayed_minimum(x, target, named, c=c))
    start = 1.5 * np.random.default_rng(0).normal(size=(4, 200))
    if c is not None:
        start[3] = c
    ends = descend(start, x, target, decay, 0.02, 30_000, frozen_c=c is not None)
    best = total_loss(found, x, target, decay)
    losses = total_loss(ends, x, target, decay)
    assert (losses >= best * (1 - 1e-12)).all()
    reached = losses < best * (1 + 1e-9) + 1e-12
    assert reached.sum() > 20
    if found[2]:  # v may have come with either sign of the target, but one is the minimum
        np.testing.assert_allclose(
            ends[:, reached].T, np.tile(found, (reached.sum(), 1)), atol=1e-5
        )


@pytest.mark.parametrize(("x", "target", "decay", "c"), CASES)
def test_what_is_left_has_the_residual_of_the_collapse(x, target, decay, c):
    named = dict(zip("wbvc", decay, strict=True))
    w, b, v, end = theory.decayed_minimum(x, target, named, c=c)
    e = v * max(w * x + b, 0) + end - target
    residual = theory.collapse_residual(x, named)
    if v:
        assert abs(e) == pytest.approx(residual, rel=1e-14)
        network, data = rl.Networks(w, b, v, end), rl.TrainingSet.point(x, target)
        gradient = network.gradients([x], [target])[:, 0] + np.array(decay) * [w, b, v, end]
        trained = slice(0, 3 if c is not None else 4)
        # The residual has the rounding of the target, and a gradient that times a factor.
        rounding = 4 * 2.0**-52 * abs(target) * max(1, w * x + b, abs(v * x), abs(v))
        np.testing.assert_allclose(gradient[trained], 0, atol=rounding)
        matrix = hessian(network, data, weight_decay=named)[0][trained, trained]
        assert np.linalg.eigvalsh(matrix)[0] > 0
    else:
        assert abs(e) <= residual


@pytest.mark.parametrize("factor", [0.9, 1.1])
@pytest.mark.parametrize(("x", "decay"), [(1.0, (0.3, 0.3, 0.3)), (-2.0, (0.1, 0.5, 0.2))])
def test_the_unit_collapses_up_to_the_threshold_and_not_above(x, decay, factor):
    threshold = theory.collapse_residual(x, dict(zip("wbv", decay, strict=True)))
    start = np.random.default_rng(1).normal(size=(4, 100))
    start[3] = 0
    target = factor * threshold
    ends = descend(start, x, target, (*decay, 0.0), 0.05, 40_000, frozen_c=True)
    alive = ends[0] * x + ends[1] > 1e-3
    assert alive.any() == (factor > 1)
    if factor < 1:
        np.testing.assert_allclose(ends[:3], 0, atol=1e-5)


@given(
    st.floats(-5, 5), st.floats(-10, 10), *[st.floats(1e-6, 3)] * 3, st.floats(0, 2),
    st.floats(0.7, 1.4),
)  # fmt: skip
def test_the_minimum_is_below_all_that_is_near_it(x, target, dw, db, dv, dc, factor):
    decay = (dw, db, dv, dc)
    found = theory.decayed_minimum(x, target, dict(zip("wbvc", decay, strict=True)))
    best = total_loss(found, x, target, decay)
    for i in range(4):
        for change in (factor, -1.0):
            other = list(found)
            other[i] = other[i] * change + (factor - 1) * 1e-3
            assert total_loss(other, x, target, decay) >= best * (1 - 1e-12)


def test_thresholds():
    assert theory.collapse_residual(3, 0.2) == pytest.approx(0.2 / math.sqrt(10), rel=1e-15)
    assert theory.collapse_residual(3, {"w": 0.2, "b": 0.2}) == 0
    assert theory.collapse_residual(3, {"b": 0.2, "v": 0.1}) == 0  # w pays nothing
    assert theory.collapse_residual(0, {"b": 0.4, "v": 0.1}) == pytest.approx(0.2, rel=1e-15)
    assert theory.collapse_residual(1e200, 1) == pytest.approx(1e-200, rel=1e-14)
    # The origin is a saddle exactly above it: rate 1, decay 0.2, product 0.5 do not collapse.
    assert theory.decayed_minimum(0, 0.5, 0.2, c=0)[1] == pytest.approx(math.sqrt(0.3), rel=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, {"w": 1, "b": 1}), "weight_decay: expected that of w, b, v above 0"),
        ((0, 1, -1), "weight_decay: expected values >= 0"),
        ((0, 1, {"d": 1}), "weight_decay: expected among w, b, v, c, got 'd'"),
        ((0, 1, [0.1, 0.2]), "weight_decay: expected 1 value, got 2"),
        ((0, math.nan, 1), "target: expected a finite number"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(rl.InputError, match=f"^{message}"):
        theory.decayed_minimum(*arguments)


# What is conserved without decay


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_decay_shrinks_the_balance_of_a_step(slope):
    rng = np.random.default_rng(2)
    start, rate, decay = rng.normal(size=(4, 50)), 0.1, 0.7
    x, target = [-1.0, 0.5, 2.0], [1.0, 0.0, -2.0]
    gradients = rl.Networks(*start).gradients(x, target, slope)
    after = start - rate * (gradients + decay * start)
    gw, gb, gv, _ = gradients
    expected = (1 - rate * decay) ** 2 * theory.balance(*start[:3])
    expected += rate**2 * (gw**2 + gb**2 - gv**2)
    np.testing.assert_allclose(theory.balance(*after[:3]), expected, atol=1e-13)
    one = start - rate * (rl.Networks(*start).gradients([2.0], [1.0], slope) + decay * start)
    shrunk = (1 - rate * decay) * (start[0] - 2 * start[1])
    np.testing.assert_allclose(one[0] - 2 * one[1], shrunk, atol=1e-14)
