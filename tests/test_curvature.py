"""The Hessian and its largest eigenvalue, against brute force, finite differences and LAPACK."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import relulab as rl
from relulab.theory import curvature
from relulab.theory.curvature import hessian, sharpness

EPSILON = np.finfo(float).eps


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    return rl.TrainingSet(rng.normal(size=n), rng.normal(size=n))


def draw(n, seed=1):
    return rl.Networks(*np.random.default_rng(seed).normal(size=(4, n)))


def brute_hessian(w, b, v, c, data):
    """Return the Hessian as a sum over samples, one after the other."""
    total = np.zeros((4, 4))
    for x, target in zip(data.x, data.target, strict=True):
        a = w * x + b
        if a > 0:
            gradient = np.array([v * x, v, a, 1])
            e = v * a + c - target
            total += np.outer(gradient, gradient)
            total[[0, 1], 2] += e * x, e
            total[2, [0, 1]] += e * x, e
        else:
            total[3, 3] += 1
    return total / data.n_samples


def exact_loss(parameters, data):
    """Return the mean loss in exact arithmetic."""
    w, b, v, c = parameters
    total = Fraction(0)
    for x, target in zip(map(Fraction, data.x), map(Fraction, data.target), strict=True):
        total += (v * max(w * x + b, Fraction(0)) + c - target) ** 2
    return total / (2 * data.n_samples)


def difference_hessian(parameters, data, step):
    """Return central second differences of the exact loss, whose only error is their own."""
    start = [Fraction(float(p)) for p in parameters]
    result = np.empty((4, 4))
    for i, j in product(range(4), repeat=2):
        total = Fraction(0)
        for along_i, along_j in product((1, -1), repeat=2):
            moved = list(start)
            moved[i] += along_i * step
            moved[j] += along_j * step
            total += along_i * along_j * exact_loss(moved, data)
        result[i, j] = total / (4 * step * step)
    return result


@pytest.mark.parametrize("n_samples", [1, 2, 5])
def test_hessian_is_what_differences_of_the_loss_are(n_samples):
    data, networks = sample(n_samples), draw(8)
    found = hessian(networks, data)
    for parameters, matrix in zip(networks.stack().T, found, strict=True):
        # The loss is a polynomial of degree 4, so the differences are wrong by a few step^2.
        expected = difference_hessian(parameters, data, Fraction(1, 2**40))
        np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_samples", [1, 2, 9, 100])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_hessian_is_the_sum_over_samples(n_samples, offset):
    data = sample(n_samples)
    data = rl.TrainingSet(data.x + offset, data.target - offset)
    networks = draw(60)
    found = hessian(networks, data)
    for parameters, matrix in zip(networks.stack().T, found, strict=True):
        expected = brute_hessian(*parameters, data)
        size = np.abs(expected).max()
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=200 * EPSILON * size)


@pytest.mark.parametrize("freeze", [(), ("c",), ("w", "b"), ("v", "c"), ("w", "b", "v")])
def test_sharpness_is_the_largest_eigenvalue_of_what_trains(freeze):
    data, networks = sample(1000), draw(40)
    kept = [i for i, name in enumerate("wbvc") if name not in freeze]
    found = sharpness(networks, data, freeze)
    for parameters, value in zip(networks.stack().T, found, strict=True):
        matrix = brute_hessian(*parameters, data)[np.ix_(kept, kept)]
        assert value == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-12, abs=1e-13)


def test_where_all_is_frozen_nothing_is_sharp():
    assert sharpness(draw(5), sample(3), ("w", "b", "v", "c")).tolist() == [0] * 5


def test_order_of_samples_and_equal_x_do_not_matter():
    data, networks = sample(50), draw(100)
    turned = rl.TrainingSet(data.x[::-1], data.target[::-1])
    twice = rl.TrainingSet(np.repeat(data.x, 2), np.repeat(data.target, 2))
    for other in (turned, twice):
        np.testing.assert_allclose(
            sharpness(networks, other), sharpness(networks, data), rtol=1e-12
        )


def test_a_sample_at_the_hinge_does_not_fire():
    data = rl.TrainingSet([1.0, 2.0, 3.0], [0, 0, 0])
    [matrix] = hessian(rl.Networks(1, -2, 1, 0), data)
    np.testing.assert_allclose(matrix, brute_hessian(1, -2, 1, 0, data), rtol=1e-15)
    assert matrix[1, 1] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("x", "target"), [(1.0, 3.0), (-0.5, 0.3), (0.0, 1.0)])
def test_one_sample_at_zero_loss(x, target):
    rng = np.random.default_rng(0)
    w, b, v = rng.normal(size=(3, 100))
    a = w * x + b
    networks = rl.Networks(w, b, v, target - v * np.maximum(a, 0))
    expected = np.where(a > 0, 1 + a**2 + (1 + x * x) * v**2, 1.0)
    np.testing.assert_allclose(sharpness(networks, rl.TrainingSet.point(x, target)), expected)


def test_sharpness_is_at_least_one_where_c_trains_and_never_negative():
    for n_samples in (1, 7, 1000):
        assert (sharpness(draw(2000), sample(n_samples)) >= 1 - 4 * EPSILON).all()
        for freeze in (["c"], ["v", "c"], ["w"]):
            assert (sharpness(draw(2000), sample(n_samples), freeze) >= 0).all()


def test_dead_networks():
    data = rl.TrainingSet([1, 2, 4], [1, 0, 5])
    dead = rl.Networks([-1, 0, 1, -1e200], [0, 0, -4, 0], [2, 3, 4, 1e200], [1, 1e9, 5, 1e300])
    assert sharpness(dead, data).tolist() == [1, 1, 1, 1]
    assert sharpness(dead, data, ("c",)).tolist() == [0, 0, 0, 0]


def test_what_is_not_finite_is_nan_and_harms_no_neighbour():
    data = sample(20)
    stack = draw(6).stack()
    alone = sharpness(rl.Networks.from_stack(stack[:, 4:]), data)
    stack[0, 0], stack[1, 1], stack[2, 2] = np.nan, np.inf, -np.inf
    stack[:, 3] = 1e200  # finite, but its Hessian is not
    found = sharpness(rl.Networks.from_stack(stack), data)
    assert np.isnan(found).tolist() == [True] * 4 + [False] * 2
    np.testing.assert_array_equal(found[4:], alone)
    stack[:, 0] = -1, -1e9, 1, np.inf  # dead, but diverged
    assert np.isnan(sharpness(rl.Networks.from_stack(stack), data, ("c",))[0])
    assert np.isnan(hessian(rl.Networks.from_stack(stack), data)[0]).all()


def test_blocks_do_not_show():
    data, networks = sample(9), draw(2 * curvature.BLOCK + 5)
    whole = sharpness(networks, data)
    parts = [
        sharpness(rl.Networks.from_stack(part), data)
        for part in np.array_split(networks.stack(), 7, axis=1)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    single = rl.Networks.from_stack(networks.stack(np.float32))
    np.testing.assert_allclose(sharpness(single, data), whole, rtol=1e-3)


def test_gradient_descent_settles_only_below_two_over_the_rate():
    rate = 0.6
    trained = rl.train(draw(2000), sample(6), rate, max_steps=5000)
    settled = (trained.outcome == "converged") & (trained.unit == "alive")
    assert settled.sum() > 100
    assert (sharpness(trained.networks, sample(6))[settled] < 2 / rate + 1e-3).all()


@pytest.mark.parametrize(
    ("networks", "data", "freeze", "message"),
    [
        (None, sample(2), (), "networks: expected Networks, got None"),
        (draw(1), [1, 2], (), "data: expected TrainingSet"),
        (draw(1), sample(2), ("a",), "freeze: expected one of"),
        (draw(1), sample(2), "c", "freeze: expected a collection"),
        (draw(1), rl.TrainingSet([1e200, -1e200], [0, 1]), (), "data: expected samples whose sums"),
    ],
)
def test_mistakes_are_named(networks, data, freeze, message):
    with pytest.raises(rl.InputError, match=message):
        sharpness(networks, data, freeze)
