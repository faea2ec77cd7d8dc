"""The Hessian and its largest eigenvalue, against sums and eliminations in exact fractions."""

import doctest
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relulab as rl
from relulab.theory import curvature
from relulab.theory.curvature import hessian, sharpness

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries


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


def brute_hessian(w, b, v, c, data, active=None, slope=0, decay=(0, 0, 0, 0)):
    """Return the Hessian as a sum over samples, one after the other, in exact arithmetic."""
    active = is_active(w, b, data) if active is None else active
    total = np.full((4, 4), Fraction(0))
    w, b, v, c, slope = (Fraction(float(p)) for p in (w, b, v, c, slope))
    samples = zip(map(Fraction, data.x), map(Fraction, data.target), active, strict=True)
    for x, target, fires in samples:
        leak = Fraction(1) if fires else slope
        h = leak * (w * x + b)
        gradient = np.array([v * leak * x, v * leak, h, Fraction(1)])
        e = v * h + c - target
        total += np.outer(gradient, gradient)
        total[[0, 1], 2] += e * leak * x, e * leak
        total[2, [0, 1]] += e * leak * x, e * leak
    return total / data.n_samples + np.diag([Fraction(float(d)) for d in decay])


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


def exact_loss(parameters, data, slope=0, decay=(0, 0, 0, 0)):
    """Return the mean loss and its decay term in exact arithmetic."""
    w, b, v, c = parameters
    total = Fraction(0)
    for x, target in zip(map(Fraction, data.x), map(Fraction, data.target), strict=True):
        pre = w * x + b
        total += (v * max(pre, Fraction(slope) * pre) + c - target) ** 2
    shrinking = sum(Fraction(d) * p * p for d, p in zip(decay, parameters, strict=True))
    return total / (2 * data.n_samples) + shrinking / 2


def difference_hessian(parameters, data, step, *options):
    """Return central second differences of the exact loss, whose only error is their own."""
    start = [Fraction(float(p)) for p in parameters]
    result = np.empty((4, 4))
    for i, j in product(range(4), repeat=2):
        total = Fraction(0)
        for along_i, along_j in product((1, -1), repeat=2):
            moved = list(start)
            moved[i] += along_i * step
            moved[j] += along_j * step
            total += along_i * along_j * exact_loss(moved, data, *options)
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


@pytest.mark.parametrize("slope", [0.3, 1])
def test_hessian_with_slope_and_decay_is_what_differences_of_the_loss_are(slope):
    data, networks, decay = sample(5), draw(8), {"w": 0.25, "b": 0.5, "v": 2.0, "c": 0.125}
    found = hessian(networks, data, negative_slope=slope, weight_decay=decay)
    for parameters, matrix in zip(networks.stack().T, found, strict=True):
        step = Fraction(1, 2**40)
        expected = difference_hessian(parameters, data, step, slope, tuple(decay.values()))
        np.testing.assert_allclose(matrix, expected, rtol=1e-12, atol=1e-12)


def assert_exact(networks, data, side="inactive", tolerance=2.0**-50, slope=0, decay=0):
    """Assert the bounds that the docstrings state, of the Hessian and of its largest eigenvalue."""
    options = {
        "side": side, "hinge_tolerance": tolerance, "negative_slope": slope, "weight_decay": decay,
    }  # fmt: skip
    found = hessian(networks, data, **options)
    sharp = {freeze: sharpness(networks, data, freeze, **options) for freeze in FREEZES}
    # Where all terms have one sign, nothing cancels.
    largest = rl.TrainingSet.point(np.abs(data.x).max(), -np.abs(data.target).max())
    sizes = hessian(rl.Networks(*np.abs(networks.stack())), largest)
    slopes, decays = (np.resize(value, len(networks)) for value in (slope, decay))
    for k, (parameters, matrix, size) in enumerate(
        zip(networks.stack().T, found, sizes, strict=True)
    ):
        w, b, _, _ = parameters
        active = is_active(w, b, data, side, tolerance)
        exact = brute_hessian(*parameters, data, active, slopes[k], [decays[k]] * 4)
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
    v *= 10 ** rng.uniform(-10, 1, n_nets)  # where it is small, other entries are the largest ones
    return rl.Networks(w, b, v, c)


@pytest.mark.parametrize("n_samples", [1, 2, 9, 60])
@pytest.mark.parametrize("offset", [0.0, 30.0, 2020.0, 1e6, -1e8])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_entries_and_sharpness_are_exact_but_for_rounding(n_samples, offset, scale):
    data = sample(n_samples)
    data = rl.TrainingSet(data.x * scale + offset, data.target * 10 - offset)
    assert_exact(hinged(data, 8), data)


def test_many_samples_far_from_zero():
    data = sample(2000)
    data = rl.TrainingSet(data.x + 2020, data.target)
    assert_exact(hinged(data, 3), data)


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


@pytest.mark.parametrize("offset", [0.0, 2020.0, -1e8])
def test_slopes_and_decay_are_exact_but_for_rounding(offset):
    data = rl.TrainingSet(sample(9).x + offset, sample(9).target * 10 - offset)
    rng = np.random.default_rng(7)
    slopes = np.append([0.0, 1.0, 1e-9], rng.random(5))
    decay = np.append([0.0, 1e-12, 100.0], rng.exponential(size=5))
    assert_exact(hinged(data, 8), data, slope=slopes, decay=decay)
    w = np.array([1.0, -1.0])
    on_a_sample = rl.Networks(w, -w * data.x[4], 2, 0.5)
    for side in ("inactive", "active"):
        assert_exact(on_a_sample, data, side, slope=0.25, decay=0.5)


def test_a_kink_is_there_as_long_as_the_slope_is_not_1():
    data = rl.TrainingSet([-1.0, 0.0, 2.0], [0.5, 1.0, -1.0])
    for w in (1.0, -1.0):
        at = rl.Networks(w, 0, 1.5, 0.2)  # the hinge is on the sample at 0
        sides = {
            (slope, side): sharpness(at, data, negative_slope=slope, side=side)[0]
            for slope in (0.5, 1)
            for side in ("inactive", "active", "smaller")
        }
        for slope, side in sides:
            pre = w * data.x
            active = pre >= 0 if side == "active" else pre > 0
            matrix = brute_hessian(w, 0, 1.5, 0.2, data, active, slope).astype(float)
            if side != "smaller":
                largest = np.linalg.eigvalsh(matrix)[-1]
                assert sides[slope, side] == pytest.approx(largest, rel=1e-13)
        assert sides[0.5, "active"] > sides[0.5, "inactive"] + 0.01
        assert sides[0.5, "smaller"] == sides[0.5, "inactive"]
        assert sides[1, "active"] == pytest.approx(sides[1, "inactive"], rel=1e-14)


def test_at_the_origin_a_mixed_side_can_be_flatter_with_a_slope():
    """What the docstring says of "smaller": it is of all samples inactive or all active."""
    data = rl.TrainingSet([1.0, 2.0], [-10.0, 2.0])
    origin = rl.Networks(0, 0, 0, 0)
    none, every, mixed = np.zeros(2, bool), np.ones(2, bool), np.array([False, True])
    flattest, steepest, between = (
        np.linalg.eigvalsh(brute_hessian(0, 0, 0, 0, data, side, 0.5).astype(float))[-1]
        for side in (none, every, mixed)
    )
    assert sharpness(origin, data, negative_slope=0.5) == pytest.approx(min(flattest, steepest))
    assert between < min(flattest, steepest) - 0.5


def test_without_slope_and_decay_the_bits_are_as_before():
    data, networks = sample(30), draw(200)
    for function in (sharpness, hessian):
        plain = function(networks, data)
        same = function(networks, data, negative_slope=np.zeros(200), weight_decay={"w": 0.0})
        assert plain.tobytes() == same.tobytes()
    mixed = sharpness(networks, data, negative_slope=np.resize([0.0, 0.5], 200))
    assert mixed[::2].tobytes() == sharpness(networks, data)[::2].tobytes()


def test_an_inactive_unit_is_as_sharp_as_its_decay():
    dead, data = rl.Networks([-1, -1], 0, 1, 0), rl.TrainingSet([1.0, 2.0], [0, 1])
    assert sharpness(dead, data, weight_decay=0.5).tolist() == [1.5, 1.5]
    assert sharpness(dead, data, weight_decay={"w": [3.0, 0.1], "c": 0.25}).tolist() == [3, 1.25]
    assert sharpness(dead, data, ("c",), weight_decay={"c": 5, "b": 0.5}).tolist() == [0.5, 0.5]


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


TEACHER = rl.Networks(1, 0.2, 1.5, 0)
TAUGHT = rl.TrainingSet.teacher(w=1, b=0.2, v=1.5, c=0, n_samples=16)


def largest_eigenvalue(network, data, active, freeze=()):
    matrix = brute_hessian(*network.stack()[:, 0], data, active).astype(float)
    kept = [i for i, name in enumerate("wbvc") if name not in freeze]
    return np.linalg.eigvalsh(matrix[np.ix_(kept, kept)])[-1]


def test_a_hinge_on_a_sample_has_two_sides_though_rounding_moved_it():
    pre = TAUGHT.x + 0.2
    assert 0 < pre[6] < 1e-16  # on the hinge, but for rounding
    without, beside = largest_eigenvalue(TEACHER, TAUGHT, pre > 0.01), pre > -0.01
    with_it = largest_eigenvalue(TEACHER, TAUGHT, beside)
    assert without < with_it - 0.1
    for side, expected in {"smaller": without, "inactive": without, "active": with_it}.items():
        assert sharpness(TEACHER, TAUGHT, side=side) == pytest.approx(expected)
        # Taken at its word, the network is active there, and there is one side.
        exact = sharpness(TEACHER, TAUGHT, side=side, hinge_tolerance=0)
        assert exact == pytest.approx(with_it)
    assert sharpness(TEACHER, TAUGHT) == sharpness(TEACHER, TAUGHT, side="smaller")
    assert hessian(TEACHER, TAUGHT)[0, 1, 1] == 1.5**2 * 9 / 16
    assert hessian(TEACHER, TAUGHT, side="active")[0, 1, 1] == 1.5**2 * 10 / 16


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("freeze", [(), ("c",), ("b",), ("w", "c")])
def test_the_sides_are_the_limits_from_both_sides(sign, freeze):
    data = sample(7)
    data = rl.TrainingSet(np.tile(data.x, 2), np.append(data.target, sample(7, 1).target))
    rng = np.random.default_rng(0)
    sharper = []
    for x in data.x.repeat(3):
        w, b, v, c = sign, -sign * x, *rng.normal(size=2)
        one = rl.Networks(w, b, v, c)
        # The samples on the hinge are two, and switch together.
        below, above = (
            sharpness(rl.Networks(w, b + step, v, c), data, freeze)[0] for step in (-1e-12, 1e-12)
        )
        assert sharpness(one, data, freeze, side="inactive")[0] == pytest.approx(below, abs=1e-10)
        assert sharpness(one, data, freeze, side="active")[0] == pytest.approx(above, abs=1e-10)
        smaller = sharpness(one, data, freeze)[0]
        assert smaller == pytest.approx(min(below, above), abs=1e-10)
        sharper.append(above > below)
    assert any(sharper)
    assert freeze == ("w", "c") or not all(sharper)  # either side may be the sharper one


def test_at_the_origin_every_sample_is_on_the_hinge():
    data = rl.TrainingSet([-3.0, -1.0, 0.0, 2.0, 2.0], [1.0, 5.0, 0.0, -1.0, 2.0])
    v, c = 1.5, 0.5
    origin = rl.Networks(0, 0, v, c)
    every, none = np.ones(5, bool), np.zeros(5, bool)
    for freeze in ((), ("c",), ("w",), ("v",), ("w", "b", "c"), ("w", "v")):
        without = largest_eigenvalue(origin, data, none, freeze)
        with_all = largest_eigenvalue(origin, data, every, freeze)
        assert sharpness(origin, data, freeze) == pytest.approx(without)
        assert sharpness(origin, data, freeze, side="inactive") == pytest.approx(without)
        assert sharpness(origin, data, freeze, side="active") == pytest.approx(with_all)
        # No other side is smaller.
        for split in range(6):
            for active in (np.arange(5) < split, np.arange(5) >= split):
                assert largest_eigenvalue(origin, data, active, freeze) >= without
    # With b frozen at 0 training moves to w < 0 or w > 0.
    for freeze in (("b",), ("b", "v", "c")):
        sides = [sharpness(rl.Networks(w, 0, v, c), data, freeze)[0] for w in (-1e-30, 1e-30)]
        assert sides[0] != pytest.approx(sides[1])
        assert sharpness(origin, data, freeze)[0] == pytest.approx(min(sides))
    assert sharpness(origin, data, ("b", "v", "c"))[0] == v**2 * 8 / 5


def test_kinks_among_many_networks():
    data = sample(9)
    w, b, v, c = np.random.default_rng(0).normal(size=(4, 3 * curvature.BLOCK))
    b[::5] = -w[::5] * data.x[3]
    b[7], w[7] = 0, 0
    networks = rl.Networks(w, b, v, c)
    both = [sharpness(networks, data, side=side) for side in ("inactive", "active")]
    np.testing.assert_array_equal(sharpness(networks, data), np.minimum(*both))
    assert (both[0] != both[1]).sum() == (len(w) + 4) // 5 + 1
    # A side that overflows is no reason not to know the other.
    assert sharpness(rl.Networks(0, 0, 1e200, 0), data).tolist() == [1]
    assert np.isnan(sharpness(rl.Networks(0, 0, 1e200, 0), data, side="active"))


def test_a_tolerance_says_which_samples_are_on_the_hinge():
    data = rl.TrainingSet([1.0, 2.0, 4.0], [0, 0, 0])
    # Off by 1e-3, where |w|*max|x| + |b| is 6.001.
    for network in (rl.Networks(1, -2.001, 1, 0), rl.Networks(-1, 2.001, 1, 0)):
        near = {"hinge_tolerance": 1.01e-3 / 6}, {"hinge_tolerance": 0.99e-3 / 6}
        counts = [
            [3 * hessian(network, data, side=side, **o)[0, 1, 1] for side in ("inactive", "active")]
            for o in near
        ]
        assert counts[0] == [1, 2]
        assert counts[1] == ([1, 1] if network.w > 0 else [2, 2])


def test_a_hinge_on_a_sample_is_exact_without_a_tolerance():
    data = rl.TrainingSet([1.0, 2.0, 2.0, 3.0], [0, 0, 0, 0])
    for w, b in ((1, -2), (-1, 2)):
        for side, count in {"inactive": 1, "active": 3}.items():
            one = rl.Networks(w, b, 1, 0)
            [matrix] = hessian(one, data, side=side, hinge_tolerance=0)
            assert matrix[1, 1] == count / 4
    for b, count in ((1, 4), (-1, 0)):  # w = 0: no hinge
        for side in ("inactive", "active"):
            assert hessian(rl.Networks(0, b, 1, 0), data, side=side)[0, 1, 1] == count / 4


def test_runs_that_settle_on_a_kink_are_below_two_over_the_rate_on_one_side():
    """All networks of zero loss have their hinge on the sample at -0.2."""
    rate, rng = 0.75, np.random.default_rng(0)
    near = TEACHER.stack() * np.exp(0.3 * rng.normal(size=(4, 1000)))
    starts = rl.Networks(*near + 0.05 * rng.normal(size=(4, 1000)))
    trained = rl.train(starts, TAUGHT, rate, max_steps=20_000)
    settled = (trained.outcome == "converged") & (trained.unit == "alive")
    networks = rl.Networks.from_stack(trained.networks.stack()[:, settled])
    assert settled.sum() > 900
    # Training stops on the side that is flat enough: the active one is too sharp for many.
    assert (sharpness(networks, TAUGHT) <= 2 / rate).all()
    sharper = sharpness(networks, TAUGHT, side="active", hinge_tolerance=1e-4)
    assert (sharper > 2 / rate).sum() > 20


def test_runs_in_float32_that_settle_on_a_kink_too():
    """There the sample is off the hinge by the rounding of float32, to the sharp side for some."""
    rate, rng = 0.77, np.random.default_rng(0)
    near = TEACHER.stack() + 10 ** rng.uniform(-4, -1, 2000) * rng.normal(size=(4, 2000))
    trained = rl.train(rl.Networks(*near), TAUGHT, rate, max_steps=5000, dtype="float32")
    settled = (trained.outcome == "converged") & (trained.unit == "alive")
    networks = rl.Networks.from_stack(trained.networks.stack(np.float32)[:, settled])
    assert settled.sum() > 500
    limit = 2 / float(np.float32(rate))
    assert (sharpness(networks, TAUGHT) <= limit).all()
    in_a_table = rl.Networks(*networks.stack())
    assert (sharpness(in_a_table, TAUGHT) > limit).any()
    same = sharpness(in_a_table, TAUGHT, hinge_tolerance=2.0**-21)
    np.testing.assert_array_equal(same, sharpness(networks, TAUGHT))
    for side in ("inactive", "active"):
        explicit = hessian(in_a_table, TAUGHT, side=side, hinge_tolerance=2.0**-21)
        np.testing.assert_array_equal(hessian(networks, TAUGHT, side=side), explicit)


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
        assert (sharpness(draw(2000), sample(n_samples)) >= 1).all()
        small = rl.Networks.from_stack(draw(2000).stack() * 1e-9)  # LAPACK has 1 - 1e-16 there
        assert (sharpness(small, sample(n_samples)) >= 1).all()
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


@pytest.mark.parametrize("function", [sharpness, hessian])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("negative_slope", 1.5, "expected values from 0 to 1, got 1.5"),
        ("negative_slope", [0.1, 0.2], "expected 1 or 3 values, got 2"),
        ("weight_decay", -1, "expected values >= 0, got -1"),
        ("weight_decay", {"x": 1}, "expected among w, b, v, c, got 'x'"),
        ("weight_decay", {"w": [1, 2]}, "expected 1 or 3 values, got 2"),
    ],
)
def test_mistakes_about_slopes_and_decay_are_named(function, name, value, message):
    with pytest.raises(rl.InputError, match=f"^{name}: {message}"):
        function(draw(3), sample(2), **{name: value})


@pytest.mark.parametrize("function", [sharpness, hessian])
def test_mistakes_about_sides_are_named(function):
    allowed = "smaller, inactive, active" if function is sharpness else "inactive, active"
    with pytest.raises(rl.InputError, match=f"^side: expected one of {allowed}, got 'both'"):
        function(draw(1), sample(2), side="both")
    with pytest.raises(rl.InputError, match=r"^hinge_tolerance: expected a number >= 0"):
        function(draw(1), sample(2), hinge_tolerance=-1)


def test_the_example_in_the_docstring_of_hessian():
    names = {"hessian": hessian}
    [example] = doctest.DocTestFinder(recurse=False).find(hessian, "example", globs=names)
    assert example.examples
    assert not doctest.DocTestRunner().run(example).failed
