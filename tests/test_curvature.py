"""The Hessian and its largest eigenvalue, against sums and eliminations in exact fractions."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relulab as rl
from relulab.theory import curvature
from relulab.theory.curvature import hessian, sharpness

EPSILON = np.finfo(float).eps


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    return rl.TrainingSet(rng.normal(size=n), rng.normal(size=n))


def draw(n, seed=1):
    return rl.Networks(*np.random.default_rng(seed).normal(size=(4, n)))


def is_active(w, b, data, side="inactive", tolerance=2.0**-50):
    """Return which samples count as active, shape (n_samples,)."""
    slack = tolerance * abs(w) * np.abs(data.x).max() + tolerance * abs(b)
    pre = w * data.x + b
    return pre >= -slack if side == "active" else pre > slack


def brute_hessian(w, b, v, c, data, active=None):
    """Return the Hessian as a sum over samples, one after the other, in exact arithmetic."""
    active = is_active(w, b, data) if active is None else active
    total = np.full((4, 4), Fraction(0))
    w, b, v, c = (Fraction(float(p)) for p in (w, b, v, c))
    samples = zip(map(Fraction, data.x), map(Fraction, data.target), active, strict=True)
    for x, target, fires in samples:
        if fires:
            a = w * x + b
            gradient = np.array([v * x, v, a, Fraction(1)])
            e = v * a + c - target
            total += np.outer(gradient, gradient)
            total[[0, 1], 2] += e * x, e
            total[2, [0, 1]] += e * x, e
        else:
            total[3, 3] += 1
    return total / data.n_samples


def is_positive_definite(matrix):
    """Return whether an exact symmetric matrix is, by elimination."""
    matrix = matrix.copy()
    for i in range(len(matrix)):
        if matrix[i, i] <= 0:
            return False
        for j in range(i + 1, len(matrix)):
            matrix[j] = matrix[j] - matrix[i] * (matrix[j, i] / matrix[i, i])
    return True


def assert_largest_eigenvalue(value, matrix, error):
    """Assert that the largest eigenvalue of an exact matrix is within an error of a float."""
    identity = np.diag([Fraction(1)] * len(matrix))
    value, error = Fraction(float(value)), Fraction(error)
    assert is_positive_definite(identity * (value + error) - matrix)
    assert not is_positive_definite(identity * (value - error) - matrix)


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


def assert_exact(networks, data, side="inactive", tolerance=2.0**-50):
    """Assert the bounds that the docstrings state, of the Hessian and of its largest eigenvalue."""
    options = {"side": side, "hinge_tolerance": tolerance}
    found = hessian(networks, data, **options)
    sharp = {freeze: sharpness(networks, data, freeze, **options) for freeze in FREEZES}
    # Where all terms have one sign, nothing cancels.
    largest = rl.TrainingSet.point(np.abs(data.x).max(), -np.abs(data.target).max())
    sizes = hessian(rl.Networks(*np.abs(networks.stack())), largest)
    for k, (parameters, matrix, size) in enumerate(
        zip(networks.stack().T, found, sizes, strict=True)
    ):
        w, b, _, _ = parameters
        exact = brute_hessian(*parameters, data, is_active(w, b, data, side, tolerance))
        lost = size.max() * 2.0**-90
        for entry, expected, terms in zip(matrix.flat, exact.flat, size.flat, strict=True):
            error = abs(Fraction(float(entry)) - expected)
            assert error <= abs(expected) / 2**52 + Fraction(float(terms)) / 2**90
        for freeze, values in sharp.items():
            kept = [i for i, name in enumerate("wbvc") if name not in freeze]
            trained = exact[np.ix_(kept, kept)]
            norm = float(np.abs(trained).max())  # of all norms the smallest
            assert_largest_eigenvalue(values[k], trained, norm / 2**49 + lost)


FREEZES = [(), ("c",), ("w", "b"), ("v", "c"), ("w", "b", "v"), ("w",), ("b", "c")]


def hinged(data, n_nets, seed=2):
    """Return networks whose hinges are among the samples, in the units of the samples."""
    rng = np.random.default_rng(seed)
    size, spread = np.abs(data.target).max(), np.ptp(data.x) or np.abs(data.x).max() or 1.0
    w = rng.normal(size=n_nets) * 10 ** rng.uniform(-1, 1, n_nets) / spread
    b = -w * (rng.choice(data.x, n_nets) + spread * rng.normal(size=n_nets) * 0.3)
    v, c = rng.normal(size=(2, n_nets)) * (size or 1.0)
    return rl.Networks(w, b, v, c)


@pytest.mark.parametrize("n_samples", [1, 2, 9, 60])
@pytest.mark.parametrize("offset", [0.0, 30.0, 2020.0, 1e6, -1e8])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_entries_and_sharpness_are_exact_but_for_rounding(n_samples, offset, scale):
    data = sample(n_samples)
    data = rl.TrainingSet(data.x * scale + offset, data.target * 10 - offset)
    assert_exact(hinged(data, 8), data)


def test_equal_x_far_from_zero():
    x = np.repeat([1e8, 1e8 + 1, 1e8 + 3], [5, 1, 4])
    data = rl.TrainingSet(x, sample(10).target)
    for side in ("inactive", "active"):
        assert_exact(hinged(data, 20), data, side)
        assert_exact(rl.Networks(1, -x[[0, 5, 9]], 2, 0.5), data, side)  # the hinge is on a sample


numbers = st.floats(-10, 10).filter(lambda x: x == 0 or abs(x) > 1e-10)


@given(
    samples=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6),
    network=st.tuples(numbers, numbers, numbers, numbers),
    offset=st.sampled_from([0.0, 1.0, 1990.0, 1e6, 1e8]),
    exponent=st.integers(-8, 8),
    side=st.sampled_from(["inactive", "active"]),
    tolerance=st.sampled_from([0.0, 2.0**-50, 1e-6]),
    through=st.booleans(),
)
def test_any_network_on_any_samples(samples, network, offset, exponent, side, tolerance, through):
    x, target = np.array(samples).T
    data = rl.TrainingSet((x + offset) * 10.0**exponent, target)
    w, b, v, c = network
    if through:  # near or on a sample
        b = b * 1e-6 - w * data.x[0]
    assert_exact(rl.Networks(w, b, v, c), data, side, tolerance)


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
    np.testing.assert_allclose(matrix, brute_hessian(1, -2, 1, 0, data).astype(float), rtol=1e-15)
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
