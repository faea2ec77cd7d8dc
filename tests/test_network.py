"""Predictions and gradients of networks with a slope where the unit is inactive, by plain loops."""

import math
from fractions import Fraction

import numpy as np
import pytest

import relulab as rl

X, TARGET = [-1.5, 0.25, 2.0, 3.0], [1.0, -0.5, 0.3, 2.0]


def draw(n, seed=0):
    return rl.Networks(*np.random.default_rng(seed).normal(size=(4, n)))


def looped(parameters, slope, number=float):
    """Return predictions and gradients, one sample after the other."""
    w, b, v, c = map(number, parameters)
    slope, outputs, sums = number(slope), [], [number(0)] * 4
    for x, target in zip(map(number, X), map(number, TARGET), strict=True):
        pre = w * x + b
        fires = pre > 0
        h = pre if fires else slope * pre
        outputs.append(v * h + c)
        e = outputs[-1] - target
        back = e * v * (1 if fires else slope)
        terms = back * x, back, e * h, e
        sums = [s + term / len(X) for s, term in zip(sums, terms, strict=True)]
    return outputs, sums


@pytest.mark.parametrize("slope", [0, 1e-300, 0.01, 0.3, 1])
def test_predictions_and_gradients_are_those_of_a_loop(slope):
    networks = draw(40)
    predicted = networks.predict(X, slope)
    gradients = networks.gradients(X, TARGET, slope)
    for k, parameters in enumerate(networks.stack().T):
        outputs, sums = looped(parameters, slope, Fraction)
        np.testing.assert_allclose(predicted[k], [float(y) for y in outputs], rtol=0, atol=1e-14)
        np.testing.assert_allclose(gradients[:, k], [float(g) for g in sums], rtol=0, atol=1e-13)


def test_gradients_are_differences_of_the_exact_loss():
    """On the side where the samples are, the loss is a polynomial of degree 4."""

    def loss(parameters, slope):
        outputs, _ = looped(parameters, slope, Fraction)
        return sum((y - Fraction(t)) ** 2 for y, t in zip(outputs, TARGET, strict=True)) / 8

    step = Fraction(1, 2**40)
    networks = draw(20, seed=1)
    found = networks.gradients(X, TARGET, 0.2)
    for k, parameters in enumerate(networks.stack().T.tolist()):
        for i in range(4):
            ends = [
                loss([Fraction(p) + sign * step * (i == j) for j, p in enumerate(parameters)], 0.2)
                for sign in (1, -1)
            ]
            assert found[i, k] == pytest.approx(float((ends[0] - ends[1]) / (2 * step)), abs=1e-12)


def test_without_a_slope_the_bits_are_those_of_a_plain_relu():
    stack = np.random.default_rng(2).normal(size=(4, 300))
    stack[:, 0] = math.nan
    stack[1, 1], stack[2, 2] = -math.inf, math.inf
    stack[:2, 3] = 0
    x, target = np.array(X), np.array(TARGET)
    with np.errstate(all="ignore"):
        w, b, v, c = stack[:, :, np.newaxis]
        h = np.maximum(w * x + b, 0)
        outputs = v * h + c
        residual = outputs - target
        back = np.where(w * x + b > 0, residual * v, 0)
        terms = np.array([back * x, back, residual * h, residual]).mean(axis=2)
    networks = rl.Networks.from_stack(stack)
    for slope in (0, 0.0, -0.0, np.zeros(300)):
        assert networks.predict(X, slope).tobytes() == outputs.tobytes()
        assert networks.gradients(X, TARGET, slope).tobytes() == terms.tobytes()
    assert networks.predict(X).tobytes() == networks.predict(X, 0).tobytes()


def test_each_network_has_its_slope():
    slopes = [0.0, 0.25, 1.0, 0.0, 1e-9]
    networks = draw(5, seed=3)
    networks = rl.Networks(*networks.stack()[:3], c=[0.0, 1.0, 2.0, 3.0, 4.0])
    for k, slope in enumerate(slopes):
        one = rl.Networks(*networks.stack()[:, k])
        np.testing.assert_array_equal(networks.predict(X, slopes)[k], one.predict(X, slope)[0])
        found = networks.gradients(X, TARGET, slopes)[:, [k]]
        np.testing.assert_array_equal(found, one.gradients(X, TARGET, slope))


def test_at_the_hinge_the_derivative_is_the_slope():
    at_hinge = rl.Networks(w=1, b=-2, v=3, c=0.5)
    for slope in (0, 0.25, 1):
        expected = [[-1.5 * 2 * slope], [-1.5 * slope], [0], [-0.5]]
        np.testing.assert_array_equal(at_hinge.gradients([2.0], [1.0], slope), expected)


def test_with_a_slope_of_1_the_network_is_linear():
    networks = draw(50, seed=4)
    w, b, v, c = networks.stack()[:, :, np.newaxis]
    np.testing.assert_array_equal(networks.predict(X, 1), v * (w * np.array(X) + b) + c)


def test_a_slope_of_0_hides_no_product_that_overflows():
    huge = rl.Networks(w=[-1e300] * 2, b=0, v=1e300, c=[1e300, 0])
    assert huge.predict([1e300], [0, 1]).ravel().tolist() == [1e300, -math.inf]
    gradients = huge.gradients([1e300], [0], 0)
    assert gradients[:3, 0].tolist() == [0, 0, 0]
    single = rl.Networks.from_stack(draw(3).stack(np.float32))
    np.testing.assert_allclose(single.predict(X, 0.1), draw(3).predict(X, 0.1), rtol=1e-5)


@pytest.mark.parametrize(
    ("slope", "message"),
    [
        (-0.1, "expected values >= 0, got -0.1"),
        ([0.5, 1.5], "expected values from 0 to 1, got 1.5"),
        ([0.5] * 3, "expected 1 or 2 values, got 3"),
        (math.nan, "expected finite values"),
        ("steep", "expected numbers, got 'steep'"),
    ],
)
def test_other_slopes_are_refused(slope, message):
    for refused in (
        lambda: draw(2).predict(X, slope),
        lambda: draw(2).gradients(X, TARGET, slope),
    ):
        with pytest.raises(rl.InputError, match=f"^negative_slope: {message}"):
            refused()
