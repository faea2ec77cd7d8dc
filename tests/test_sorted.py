"""Sorted sums: their accuracy against exact fractions, both engines, and the numbers beneath."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from test_engines import both, mixture, needs_numba

import relulab as rl
from relulab.model.double_double import DoubleDouble, two_product, two_sum
from relulab.model.splits import Splits
from relulab.training import sorted_sums
from relulab.training.numpy_engine import Lanes
from relulab.training.options import DIRECT_UP_TO, TrainingOptions
from relulab.training.specification import Problem

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

EPS = 2.0**-52
LETTERS = ("gw", "gb", "gv", "gc", "loss")
few = settings(max_examples=60)


def noisy(n, seed=0, noise=0.1):
    """Samples of a ReLU, in no order, with noise."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return rl.TrainingSet(x, np.maximum(x, 0) + noise * rng.standard_normal(n))


def tables_of(x, target):
    x = np.asarray(x)
    return sorted_sums.tables(rl.TrainingSet(x, target), x.dtype)


def totals(networks, x, target, summation, dtype="float64"):
    """Return gw, gb, gv, gc, loss of every network by an engine, shape (5, n_nets)."""
    x, target = np.array(x, dtype), np.array(target, dtype)
    parameters = networks.stack().astype(dtype)
    problem = Problem(
        parameters=parameters,
        rates=np.zeros((2, len(networks)), dtype),
        trained=(True, True, True, True),
        x=x,
        target=target,
        sums=tables_of(x, target) if summation == "sorted" else None,
        batches=None,
        options=TrainingOptions(learning_rate=0.0),
    )
    with np.errstate(all="ignore"):
        lanes = Lanes(problem, np.arange(len(networks)))
        lanes.evaluate()
    return np.vstack([lanes.gradients, lanes.loss])


def exact(network, x, target):
    """Return n_samples times gw, gb, gv, gc, loss, and on how many samples the unit fires."""
    w, b, v, c = (Fraction(float(p)) for p in network)
    gw = gb = gv = gc = loss = Fraction(0)
    n_fire = 0
    for x_i, t_i in zip(x, target, strict=True):
        x_exact, residual = Fraction(float(x_i)), c - Fraction(float(t_i))
        with np.errstate(over="ignore"):
            fires = network[0] * x_i + network[1] > 0  # in the arithmetic, as the project says
        if fires:
            n_fire += 1
            h = w * x_exact + b
            residual += v * h
            gw += x_exact * residual * v
            gb += residual * v
            gv += residual * h
        gc += residual
        loss += residual * residual / 2
    return (gw, gb, gv, gc, loss), n_fire


def natural_scale(network, x, target):
    """Return bounds of what the terms of gw, gb, gv, gc, loss can be by size alone."""
    w, b, v, c = np.abs(network)
    largest = np.abs(x).max()
    h = w * largest + b
    r = v * h + c + np.abs(target).max()
    return np.array([largest * r * v, r * v, r * h, r, r * r])


def errors(networks, x, target):
    """Return errors of sorted and direct sums, the natural scales, (5, n_nets), and n_fire."""
    x, target = np.asarray(x, float), np.asarray(target, float)
    by_tables, direct = (totals(networks, x, target, g) for g in ("sorted", "direct"))
    off_sorted, off_direct, scale = np.zeros((3, 5, len(networks)))
    n_fire = np.zeros(len(networks), int)
    for i, network in enumerate(networks.stack().T.tolist()):
        truth, n_fire[i] = exact(network, x.tolist(), target.tolist())
        scale[:, i] = natural_scale(network, x, target)
        for k in range(5):
            mean = truth[k] / x.size
            off_sorted[k, i] = abs(Fraction(float(by_tables[k, i])) - mean)
            off_direct[k, i] = abs(Fraction(float(direct[k, i])) - mean)
    return off_sorted, off_direct, scale, n_fire


def near_teacher(rng, n):
    return rl.Networks(*(p + 1e-9 * rng.standard_normal(n) for p in (1.0, 0.0, 1.0, 0.0)))


def _some(n_fire, n):
    return (n_fire > 0).any() and (n_fire < n).any()


def cases():
    """Return by name x, target, networks, and what must be true of n_fire (that it is the case)."""
    rng = np.random.default_rng(12)
    n, n_nets = 150, 20
    x = rng.uniform(-1, 1, n)
    t = np.maximum(x, 0)
    noise = rng.standard_normal(n)
    w, b, v, c = rng.standard_normal((4, n_nets))
    plain = rl.Networks(w, b, v, c)
    up = rng.uniform(0.5, 2, n_nets)
    ordered = np.sort(x)
    top, bottom = ordered[-2:].mean(), ordered[:2].mean()
    far = np.where(x < 0.9, x, 1e6 * x)  # most at one place, some far beyond

    def never(n_fire, n):
        return (n_fire == 0).all()

    def always(n_fire, n):
        return (n_fire == n).all()

    def one(n_fire, n):
        return (n_fire == 1).all()

    return {
        "plain": (x, t, plain, _some),
        "noise": (x, noise, plain, _some),
        "offset": (x + 1e6, t, rl.Networks(w, 1e6 * b, v, c), _some),
        "offset, hinge inside": (
            x + 1e6, t, rl.Networks(up, -1e6 * up, 1 / up, 1e-3 * c), _some,
        ),
        "offset, hinge inside, falling": (
            x + 1e6, noise, rl.Networks(-up, 1e6 * up + b, v, c), _some,
        ),
        "offset of the targets": (x, t + 1e6, rl.Networks(w, b, v, 1e6 + c), _some),
        "near zero loss": (x, t, near_teacher(rng, n_nets), _some),
        "ties": (rng.integers(-3, 4, n) * 1.0, noise, plain, _some),
        "one distinct x": (np.full(n, 0.7), noise, plain, _some),
        "constant targets": (x, np.full(n, 0.7), plain, _some),
        "small x, large targets": (x * 1e-8, t * 1e8, plain, _some),
        "small x, hinge inside": (x * 1e-8, t * 1e8, rl.Networks(w * 1e8, b, v, c), _some),
        "large x, small targets": (x * 1e8, noise * 1e-8, rl.Networks(w * 1e-8, b, v, c), _some),
        "one fires, the last": (x, noise, rl.Networks(up, -up * top, v, c), one),
        "one fires, the first": (x, noise, rl.Networks(-up, up * bottom, v, c), one),
        "all but one fire": (
            x, noise, rl.Networks(up, -up * bottom, v, c), lambda k, n: (k == n - 1).all(),
        ),
        "none fires": (x, noise, rl.Networks(up, -up - 0.1, v, c), never),
        "all fire": (x, noise, rl.Networks(up, up + 0.1, v, c), always),
        "w = 0 < b": (x, noise, rl.Networks(np.zeros(n_nets), np.abs(b), v, c), always),
        "w = 0 >= b": (
            x, noise, rl.Networks(np.zeros(n_nets), -np.abs(b) * (b > 0), v, c), never,
        ),
        "w = -0.0 < b": (x, noise, rl.Networks(-np.zeros(n_nets), np.abs(b), v, c), always),
        "w < 0": (x, noise, rl.Networks(-up, b, v, c), _some),
        "outliers": (far, noise, rl.Networks(-up, b, v, c), _some),
        "two samples": ([1.0, -0.3], [0.2, 0.7], plain, _some),
    }  # fmt: skip


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_errors_are_no_larger_than_those_of_direct_sums(name):
    x, target, networks, is_the_case = CASES[name]
    off_sorted, off_direct, scale, n_fire = errors(networks, x, target)
    assert is_the_case(n_fire, len(x))
    # The floor, some units of twice the precision, is for direct sums that happen to be exact.
    bound = 4 * off_direct.max(axis=1) + 4e-32 * scale.max(axis=1)
    for letter, error, most in zip(LETTERS, off_sorted.max(axis=1), bound, strict=True):
        assert error <= most, letter


def test_at_an_offset_sums_lose_nothing_to_it():
    # Far better than direct sums, whose pre-activations are rounded at 1e6.
    rng = np.random.default_rng(21)
    x = 1e6 + rng.uniform(-1, 1, 100)
    networks = rl.Networks(w := -rng.uniform(0.5, 2, 20), -1e6 * w, *rng.standard_normal((2, 20)))
    off_sorted, off_direct, _, n_fire = errors(networks, x, rng.standard_normal(100))
    assert _some(n_fire, 100)
    assert (off_direct.max(axis=1)[1:4] > 1e-13).all()
    assert off_sorted.max(axis=1)[0] <= 1e6 * 1e-14
    assert (off_sorted.max(axis=1)[1:] <= 1e-14).all()


def test_residuals_of_a_unit_in_the_last_place():
    # A teacher whose slope no float64 has: what is left are the roundings of its targets.
    x = np.random.default_rng(22).uniform(-1, 1, 100)
    w, b, v, c = 1 / 3, 0.07, 0.7, 0.1
    target = v * np.maximum(w * x + b, 0) + c
    off_sorted, off_direct, _, _ = errors(rl.Networks(w, b, v, c), x, target)
    assert (off_direct[:4] > 1e-19).all()
    assert (off_sorted < 1e-30).all()


def test_small_integers_where_direct_sums_round_only_once():
    rng = np.random.default_rng(5)
    x, target = rng.integers(-9, 10, (2, 97)).astype(float)
    networks = rl.Networks(*rng.integers(-5, 6, (4, 40)).astype(float))
    off_sorted, off_direct, scale, _ = errors(networks, x, target)
    assert (off_direct <= EPS * scale).all()
    assert (off_sorted <= 4 * EPS * scale).all()


def test_a_cluster_far_smaller_than_the_distance_of_an_outlier():
    # Firing samples within 1e-9 of each other, and a silent one 1e6 away: moments of the firing
    # ones by differences of sums about the mean of all would lose them.
    rng = np.random.default_rng(8)
    x = np.append(rng.uniform(-1e-9, 1e-9, 99), 1e6)
    target = rng.standard_normal(100)
    w = -1e9 * rng.uniform(0.5, 2, 20)
    networks = rl.Networks(w, rng.uniform(-0.3, 0.3, 20), *rng.standard_normal((2, 20)))
    off_sorted, off_direct, _, n_fire = errors(networks, x, target)
    assert ((n_fire > 10) & (n_fire < 90)).all()
    assert (off_sorted.max(axis=1) <= 4 * off_direct.max(axis=1)).all()


@pytest.mark.parametrize(("dtype", "size"), [("float64", 1e-165), ("float32", 1e-24)])
def test_x_whose_squares_vanish(dtype, size):
    # Sums of squares that are 0 by underflow: either as good as direct, or refused in one line.
    x = np.linspace(-1, 1, 50) * size
    target = np.maximum(np.linspace(-1, 1, 50), 0)
    networks = rl.Networks([0.5 / size, 1 / size], 0.1, [0.8, 0.7], 0.3)
    direct = totals(networks, x, target, "direct", dtype)
    try:
        by_tables, refusal = totals(networks, x, target, "sorted", dtype), ""
    except rl.InputError as error:
        by_tables, refusal = direct, str(error)
    assert not refusal or refusal.startswith("summation: ")
    np.testing.assert_allclose(by_tables[1:], direct[1:], rtol=1e-4)


@pytest.fixture(scope="module")
def million():
    """A million samples at 1e6, networks with w = 1 or -1, their totals; splits of all kinds."""
    rng = np.random.default_rng(3)
    x = 1e6 + rng.uniform(-1, 1, 10**6)
    target = np.maximum(x - 1e6, 0) + 0.1 * rng.standard_normal(10**6)
    low, high = np.partition(x, 1)[1], np.partition(x, -2)[-2]
    networks = rl.Networks(
        w=[1, -1, 1, -1, 1],
        b=[-high, low, -1e6, 1e6 + 0.3, -2e6],
        v=[1.7, -0.6, 0.9, 0.8, 1.1],
        c=[0.1, -0.2, 0.05, 0.3, 0.7],
    )
    return x, target, networks, totals(networks, x, target, "sorted")


@pytest.mark.parametrize(("i", "which"), [(0, np.argmax), (1, np.argmin)])
def test_one_of_a_million_samples_fires(million, i, which):
    x, target, networks, found = million
    k = int(which(x))
    network = networks.stack()[:, i].tolist()
    assert np.count_nonzero(network[0] * x + network[1] > 0) == 1
    truth, n_fire = exact(network, x[[k]].tolist(), target[[k]].tolist())
    assert n_fire == 1
    for letter, value, sum_of_one in zip(LETTERS[:3], found[:3, i], truth[:3], strict=True):
        assert value == pytest.approx(float(sum_of_one / 10**6), rel=4 * EPS, abs=0), letter


@pytest.mark.skipif(
    np.finfo(np.longdouble).nmant <= 52, reason="numpy.longdouble is no longer than float64 here"
)
def test_a_million_samples_at_an_offset(million):
    x, target, networks, found = million
    x, target = x.astype(np.longdouble), target.astype(np.longdouble)
    n_fire = []
    for i, (w, b, v, c) in enumerate(networks.stack().T.astype(np.longdouble)):
        pre = w * x + b  # exact: w is 1 or -1
        h = np.where(pre > 0, pre, 0)
        n_fire.append(np.count_nonzero(pre > 0))
        residual = v * h + c - target
        gh = np.where(pre > 0, residual * v, 0)
        terms = np.stack([x * gh, gh, residual * h, residual, residual * residual / 2])
        off = np.abs(found[:, i] - terms.mean(axis=1))
        assert (off <= 4 * EPS * np.abs(terms).mean(axis=1)).all(), i
    assert n_fire[:2] == [1, 1]
    assert 4e5 < n_fire[2] < 6e5 < n_fire[3] < 7e5
    assert n_fire[4] == 0


def test_a_loss_of_zero_is_no_sum_that_cancels():
    # By t'Ct - 2... the loss would be about 1e-16 of the mean square of the targets, 0.3. As a sum
    # of terms that are not negative it is what twice the precision leaves of it squared.
    x = np.random.default_rng(0).uniform(-1, 1, 1000)
    found = totals(rl.Networks(1, 0, 1, 0), x, np.maximum(x, 0), "sorted")
    assert 0 <= found[4, 0] < 1e-30
    assert np.abs(found[:4]).max() < 1e-30


def test_training_down_to_a_loss_of_zero():
    # Close to the minimum the loss is at most |gradient|^2/(2*curvature); along the directions
    # that change the prediction the curvature here is above 0.01: 4e-28/0.02 for 4 gradients.
    x = np.random.default_rng(0).uniform(-1, 1, 1000)
    data = rl.TrainingSet(x, np.maximum(x, 0))
    start = rl.Networks([0.9, 1.2, 0.7], [0.05, -0.1, 0.02], [1.1, 0.8, 1.2], [-0.02, 0.1, 0.0])
    trained = rl.train(
        start, data, 1.0, max_steps=20_000, gradient_tolerance=1e-14, summation="sorted"
    )
    assert list(trained.outcome) == ["converged"] * 3
    assert (trained.loss >= 0).all()
    assert (trained.loss < 2e-26).all()
    n = trained.networks
    np.testing.assert_allclose(n.v * n.w, 1, atol=1e-11)


def brute_split(x, w, b):
    for i, x_i in enumerate(x):
        if (w * x_i + b > 0) == (w >= 0):
            return i
    return len(x)


places = st.one_of(
    st.integers(-4, 4).map(float), st.floats(-1e3, 1e3), st.sampled_from([1e6, 1e6 + 2**-33, -1e9])
)
weights = st.one_of(
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1e300, -1e300, 0.1, -0.1, 1 / 3]),
    st.floats(-1e3, 1e3),
)


@st.composite
def hinges(draw, most=12):
    """Draw x, ascending, and w, b, of which many are exactly at a sample or a bit beside it."""
    x = sorted(draw(st.lists(places, min_size=1, max_size=25)))
    assume(sorted_sums.in_range(rl.TrainingSet(x, [0.0] * len(x)), np.dtype(np.float64)))
    networks = []
    for _ in range(draw(st.integers(1, most))):
        w = draw(weights)
        b = draw(st.one_of(st.sampled_from([0.0, -0.0, 5e-324, -1e300]), st.floats(-1e3, 1e3)))
        at = -(w * draw(st.sampled_from(x)))
        kind = draw(st.integers(0, 3))
        if kind and math.isfinite(at):
            b = [at, math.nextafter(at, math.inf), math.nextafter(at, -math.inf)][kind - 1]
        networks.append((w, b))
    return x, networks


@few
@given(hinges())
def test_splits_are_those_of_a_scan(drawn):
    x, networks = drawn
    sums = tables_of(np.array(x), np.zeros(len(x)))
    w, b = np.array(networks).T
    with np.errstate(all="ignore"):
        found = sorted_sums.find_splits(sums, w, b)
    assert found.tolist() == [brute_split(x, *network) for network in networks]


@needs_numba
@settings(few, max_examples=40)
@given(hinges(), st.integers(0, 2**32 - 1))
def test_hinges_at_samples_in_both_engines(drawn, seed):
    x, networks = drawn
    rng = np.random.default_rng(seed)
    data = rl.TrainingSet(x, rng.standard_normal(len(x)))
    assume(sorted_sums.in_range(data, np.dtype(np.float64)))
    w, b = np.array(networks).T
    start = rl.Networks(w, b, *rng.standard_normal((2, w.size)))
    for max_steps in (0, 60):
        both(start, data, 0.01, max_steps=max_steps, summation="sorted")


@needs_numba
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 17, 1000])
def test_any_number_of_samples(n, dtype):
    networks, rate = mixture(300, 1e-2, 3.0)
    trained = both(networks, noisy(n), rate, max_steps=120, summation="sorted", dtype=dtype)
    assert len(set(trained.unit)) > 1


@needs_numba
@pytest.mark.parametrize("freeze", [("c",), ("w", "b"), ("v",), ("b", "c"), ("w", "b", "v", "c")])
def test_frozen_parameters(freeze):
    networks, rate = mixture(300, 1e-2, 3.0)
    trained = both(networks, noisy(60), rate, max_steps=150, freeze=freeze, summation="sorted")
    for name in "wbvc":
        same = getattr(trained.networks, name) == getattr(networks, name)
        assert same.all() == (name in freeze)


@needs_numba
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("outliers", [[1e3], [-1e3], [-1e3, 500.0, 1e5]])
def test_clustered_x(outliers, dtype):
    # Nearly all samples lie in one of the equal parts of the range, so guesses tell nothing.
    rng = np.random.default_rng(2)
    x = np.append(1e-3 * rng.standard_normal(500), outliers)
    data = rl.TrainingSet(x, rng.standard_normal(x.size))
    w, v, c = rng.standard_normal((3, 300))
    start = rl.Networks(w, -w * rng.choice(x, 300) * rng.choice([1, 1.001, 0.999], 300), v, c)
    rate = np.exp(rng.uniform(np.log(1e-9), np.log(1e-2), 300))
    both(start, data, rate, max_steps=100, summation="sorted", dtype=dtype)


@needs_numba
@pytest.mark.parametrize("max_steps", [0, 1, 47, 48, 49, 95, 96, 97])
def test_max_steps_at_the_edges_of_bursts(max_steps):
    networks, rate = mixture(300)
    trained = both(networks, noisy(50), rate, max_steps=max_steps, summation="sorted")
    assert trained.steps_taken.max() == max_steps


@needs_numba
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rates_at_which_training_diverges(dtype):
    networks, rate = mixture(400, 1.0, 100.0)
    trained = both(networks, noisy(50), rate, max_steps=300, summation="sorted", dtype=dtype)
    assert 20 < (trained.outcome == "diverged").sum() < 400


@needs_numba
@pytest.mark.parametrize("tolerance", [0.0, 1e-3, 0.1])
@pytest.mark.parametrize("divergence_loss", [0.5, 1e38])
def test_tolerance_and_divergence_loss(tolerance, divergence_loss):
    networks, rate = mixture(400, 0.1, 3.0)
    both(
        networks, noisy(40), rate, max_steps=200, summation="sorted",
        gradient_tolerance=tolerance, divergence_loss=divergence_loss,
    )  # fmt: skip


@needs_numba
def test_weights_that_change_their_sign():
    rng = np.random.default_rng(4)
    w, (b, v, c) = 1e-2 * rng.standard_normal(400), rng.standard_normal((3, 400))
    trained = both(rl.Networks(w, b, v, c), noisy(100), 0.3, max_steps=200, summation="sorted")
    alive = trained.death_step < 0
    assert ((trained.networks.w > 0) != (w > 0))[alive].sum() > 20


@needs_numba
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_the_order_of_the_samples_changes_no_bit(order):
    networks, rate = mixture(200, 1e-2, 3.0)
    data = noisy(70)
    i = np.argsort(data.x)
    i = {"ascending": i, "descending": i[::-1], "shuffled": np.roll(i, 13)}[order]
    other = rl.TrainingSet(data.x[i], data.target[i])
    trained = [both(networks, d, rate, max_steps=100, summation="sorted") for d in (data, other)]
    pd.testing.assert_frame_equal(*(t.to_frame() for t in trained), check_exact=True)


def test_networks_end_where_direct_sums_end_them():
    # Rates below the edge of stability, where no rounding grows, and as many steps for both.
    networks, rate = mixture(400, 0.01, 0.2, seed=9)
    one, two = (
        rl.train(networks, noisy(50), rate, max_steps=1000, gradient_tolerance=0.0, summation=g)
        for g in ("sorted", "direct")
    )
    np.testing.assert_array_equal(one.steps_taken, two.steps_taken)
    np.testing.assert_array_equal(one.death_step, two.death_step)
    assert (one.death_step > 0).sum() >= 3
    assert (one.death_step == 0).sum() >= 3
    assert list(one.outcome) == list(two.outcome)
    for name in "wbvc":
        np.testing.assert_allclose(
            getattr(one.networks, name), getattr(two.networks, name), rtol=1e-6, atol=1e-6
        )
    np.testing.assert_allclose(one.loss, two.loss, rtol=1e-6)


def test_labels_are_those_of_direct_sums():
    networks, rate = mixture(400, 0.01, 3.0)
    one, two = (
        rl.train(networks, noisy(50), rate, max_steps=400, gradient_tolerance=1e-3, summation=g)
        for g in ("sorted", "direct")
    )
    assert (one.outcome == two.outcome).mean() > 0.98
    assert (one.unit == two.unit).mean() > 0.98
    assert len(set(zip(one.outcome, one.unit, strict=True))) >= 4


@pytest.mark.parametrize(("n", "same"), [(DIRECT_UP_TO, "direct"), (DIRECT_UP_TO + 1, "sorted")])
def test_auto(n, same):
    networks, rate = mixture(50)
    frames = {
        g: rl.train(networks, noisy(n), rate, max_steps=50, summation=g).to_frame()
        for g in ("auto", "direct", "sorted")
    }
    assert not frames["direct"].equals(frames["sorted"])
    assert frames["auto"].equals(frames[same])
    default = rl.train(networks, noisy(n), rate, max_steps=50).to_frame()
    assert default.equals(frames[same])


def test_direct_up_to_sixteen():
    assert DIRECT_UP_TO == 16


@pytest.mark.parametrize("summation", ["auto", "direct", "sorted"])
@pytest.mark.parametrize("n", [16, 17])
def test_a_sweep_tells_how_it_sums(summation, n):
    sweep = rl.Sweep(data=noisy(n), w=[0.1, 0.2], learning_rate=0.1, summation=summation)
    auto = "direct" if n == 16 else "sorted"
    assert sweep.specification()["gradient"] == (auto if summation == "auto" else summation)


@pytest.mark.parametrize(
    ("x", "target", "dtype"),
    [
        ([1e200, 1.0, 2.0], [0.0, 1.0, 2.0], "float64"),
        ([0.0, 1.0, 2.0], [0.0, 1e200, 2.0], "float64"),
        ([1e25, 1.0, 2.0], [0.0, 1.0, 2.0], "float32"),
        ([0.0, 1.0, 2.0], [0.0, 1e25, 2.0], "float32"),
    ],
)
def test_sums_of_squares_beyond_the_range(x, target, dtype):
    data = rl.TrainingSet(x, target)
    with pytest.raises(rl.InputError) as raised:
        rl.train(rl.Networks(1, 0, 1, 0), data, 0.1, summation="sorted", dtype=dtype)
    message = str(raised.value)
    assert message.startswith("summation: expected 'direct'")
    assert dtype in message
    assert "\n" not in message
    rl.train(rl.Networks(1, 0, 1, 0), data, 0.1, summation="direct", dtype=dtype)


def test_a_loss_beyond_the_range_is_not_zero():
    data = rl.TrainingSet([1.0, 1.0], [1e200, -1e200])
    assert rl.train(rl.Networks(0, 0, 0, 0), data, 0.1, summation="direct").loss[0] == np.inf
    try:
        loss = rl.train(rl.Networks(0, 0, 0, 0), data, 0.1, summation="sorted").loss[0]
    except rl.InputError:
        return
    assert not loss < 1e300


@pytest.mark.parametrize(
    ("end", "dtype"),
    [([1e200], "float64"), ([1e25], "float32"), ([0, 1e-161], "float64"), ([0, 1e-22], "float32")],
)
def test_auto_takes_direct_sums_where_sorted_are_refused(end, dtype):
    x = np.append(np.linspace(1, 3, DIRECT_UP_TO), end)
    data = rl.TrainingSet(x, np.arange(x.size))
    networks = rl.Networks(1e-30, 0, 1, 0)
    with pytest.raises(rl.InputError, match=r"\Asummation: expected 'direct'.*\Z"):
        rl.train(networks, data, 1e-9, summation="sorted", dtype=dtype)
    auto, direct = (
        rl.train(networks, data, 1e-9, summation=g, dtype=dtype, max_steps=3).to_frame()
        for g in ("auto", "direct")
    )
    pd.testing.assert_frame_equal(auto, direct)
    sweep = rl.Sweep(data=data, w=[1e-30, 1], learning_rate=0.1, dtype=dtype)
    assert sweep.specification()["gradient"] == "direct"


@st.composite
def extreme_samples(draw):
    """Draw a dtype and samples in it: some close to each other, all sizes, few ulps apart."""
    dtype = np.dtype(draw(st.sampled_from(["float32", "float64"])))
    limits = np.finfo(dtype)
    n = draw(st.integers(2, 7))
    ints = st.lists(st.integers(-4, 4), min_size=n, max_size=n).map(np.array)
    exponents = st.integers(limits.minexp - limits.nmant, limits.maxexp - 4)

    def values():
        z, other = draw(ints), draw(ints)
        size, base = (np.ldexp(1.0, draw(exponents)) for _ in range(2))
        kind = draw(st.sampled_from(["plain", "scaled", "cluster", "ulps"]))
        return {
            "plain": z * 1.0,
            "scaled": z * size,
            "cluster": np.where(other > 0, z * size, other),
            "ulps": base * (1 + z * float(limits.eps)),
        }[kind].astype(dtype)

    return values(), values()


@few
@given(extreme_samples(), st.integers(0, 2**32 - 1))
@example((np.array([0, 1e-22, 1, 2], "f4"), np.array([1, 0, 1, 3], "f4")), 0)
@example((np.array([2, 1, 1e-161, 0]), np.array([1.0, 0, 1, 3])), 0)
def test_sums_are_exact_or_refused_wherever_samples_lie(samples, seed):
    x, target = samples
    dtype, limits, rng = x.dtype, np.finfo(x.dtype), np.random.default_rng(seed)
    distances = np.diff(np.unique(x.astype(float)))
    with np.errstate(all="ignore"):
        # Slopes as steep as the targets and the distances of the x ask for, hinges beside them.
        near = rng.choice(distances if distances.size else np.ones(1), 5)
        w = rng.choice([-1, 1], 5) * rng.choice([np.ones(5), 1 / near], axis=0)
        b = -w * (rng.choice(x, 5) + near * rng.standard_normal(5))
        v, c = rng.standard_normal((2, 5)) * rng.choice([1.0, np.abs(target).max()], (2, 5))
        start = np.array([w, b, v, c]).astype(dtype)
    start = start[:, np.isfinite(start).all(axis=0)].astype(float)
    networks = rl.Networks(*start)
    try:
        found = totals(networks, x, target, "sorted", dtype)
    except rl.InputError:
        return
    direct = totals(networks, x, target, "direct", dtype)
    for i, network in enumerate(start.T):
        truth = exact(network.astype(dtype), x, target)[0]
        if not np.isfinite(direct[:, i]).all():
            continue  # where direct sums are beyond the range, too
        w, b, v, c, far, most = (Fraction(float(abs(z))) for z in [*network, *extremes(x, target)])
        h = w * far + b
        r = v * h + c + most
        for k, scale in enumerate((far * r * v, r * v, r * h, r, r * r)):
            off, off_direct = (
                abs(Fraction(float(value)) - truth[k] / x.size) if np.isfinite(value) else math.inf
                for value in (found[k, i], direct[k, i])
            )
            bound = 64 * x.size * Fraction(float(limits.eps)) * scale
            assert off <= max(bound, 4 * off_direct, Fraction(float(limits.tiny))), LETTERS[k]


def extremes(*arrays):
    return [np.abs(array).max() for array in arrays]


# Numbers of twice the precision. Far from overflow and from where products lose their low digits.
singles = st.builds(
    lambda m, e: math.ldexp(m, e),
    st.one_of(st.floats(0.5, 1), st.floats(-1, -0.5), st.sampled_from([0.5, 1 - 2**-53])),
    st.integers(-60, 60),
)


@st.composite
def doubles(draw, zero=True):
    hi = draw(st.one_of(singles, st.just(0.0)) if zero else singles)
    lo = draw(st.sampled_from([0.0, 0.5, -0.5, 0.3, -0.49, 1e-9])) * math.ulp(hi)
    total = hi + lo
    return total, lo - (total - hi)


def double(pair):
    return DoubleDouble(*(np.array([value]) for value in pair))


def value(number):
    (hi,), (lo,) = number.hi, number.lo
    assert hi + lo == hi  # no digit of lo overlaps hi
    return Fraction(float(hi)) + Fraction(float(lo))


@few
@given(doubles(), doubles(), st.sampled_from([0.0, 1e-17, 1.0]))
def test_sums_and_differences(a, b, nearness):
    if nearness == 0:
        b = (-a[0], a[1])  # all that is left is of the low parts
    elif nearness < 1:
        b = (-math.nextafter(a[0], math.inf), b[1] * nearness)
    a, b = double(a), double(b)
    if nearness < 1:
        b = DoubleDouble(*two_sum(b.hi, b.lo))
    va, vb = value(a), value(b)
    assert abs(value(a + b) - (va + vb)) <= abs(va + vb) * Fraction(2) ** -103
    assert abs(value(a - b) - (va - vb)) <= abs(va - vb) * Fraction(2) ** -103


@few
@given(doubles(), doubles(zero=False))
def test_products_and_quotients(a, b):
    a, b = double(a), double(b)
    product, quotient = value(a) * value(b), value(a) / value(b)
    assert abs(value(a * b) - product) <= abs(product) * Fraction(2) ** -101
    assert abs(value(a / b) - quotient) <= abs(quotient) * Fraction(2) ** -100
    assert value(-a) == -value(a)


@few
@given(singles, singles, st.sampled_from([np.float64, np.float32]))
def test_errors_of_sums_and_products_are_exact(a, b, number):
    if number is np.float32:  # away from the ends of its range
        a, b = (math.ldexp(math.frexp(y)[0], math.frexp(y)[1] // 2) for y in (a, b))
    a, b = number(a), number(b)
    for pair, truth in (
        (two_sum(a, b), Fraction(float(a)) + Fraction(float(b))),
        (two_product(a, b), Fraction(float(a)) * Fraction(float(b))),
    ):
        assert all(part.dtype == number for part in pair)
        assert sum(Fraction(float(part)) for part in pair) == truth
        assert pair[0] + pair[1] == pair[0]


def put_together(first, then):
    """Return the moments of a union: count, mean_x, mean_target, sxx, sxt, stt."""
    count = first[0] + then[0]
    fraction = then[0] / count
    weight = first[0] * fraction
    dx, dt = then[1] - first[1], then[2] - first[2]
    means = first[1] + dx * fraction, first[2] + dt * fraction
    products = dx * dx, dx * dt, dt * dt
    squares = (
        a + b + product * weight
        for a, b, product in zip(first[3:], then[3:], products, strict=True)
    )
    return count, *means, *squares


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 10, 17, 101, 300])
def test_moments_are_put_together_in_one_order(n):
    """The tables are part of the specification: sample by sample in blocks, then these in turn."""
    rng = np.random.default_rng(n)
    x, target = np.sort(rng.standard_normal(n)), rng.standard_normal(n)
    splits, side = Splits.of(x, target), math.isqrt(n - 1) + 1
    sides = (x, target, splits.first, 0), (x[::-1], target[::-1], splits.last.reversed(), 1)
    for xs, targets, table, order in sides:
        nothing = before = within = tuple(DoubleDouble.of(0.0) for _ in range(6))
        for k, sample in enumerate(zip(xs.tolist(), targets.tolist(), strict=True)):
            one = *map(DoubleDouble.of, (1.0, *sample)), *nothing[3:]
            if k % side == 0:
                before, within = put_together(before, within) if k else nothing, one
            else:
                within = put_together(within, one)
            expected = put_together(before, within)
            length = k + 1 if order == 0 else n - k - 1
            alone = splits.at(np.array([length]))[order]
            for name, value in zip(vars(table), expected, strict=True):
                row, again = getattr(table, name)[k + 1], getattr(alone, name)[0]
                assert (row.hi, row.lo) == (value.hi, value.lo) == (again.hi, again.lo)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9, 10, 17, 101])
@pytest.mark.parametrize("kind", ["random", "offset", "all sizes", "ties"])
def test_moments_of_both_sides(n, kind):
    rng = np.random.default_rng(n)
    x, target = np.sort(rng.standard_normal(n)), rng.standard_normal(n)
    if kind == "offset":
        x, target = x + 1e6, target - 1e9
    elif kind == "all sizes":
        x, target = (v * 2.0 ** rng.integers(-30, 30, n) for v in (x, target))
        x.sort()
    elif kind == "ties":
        x, target = x.round(), target.round()
    splits = Splits.of(x, target)
    for k in range(n + 1):
        for side, chosen in ((splits.first, slice(0, k)), (splits.last, slice(k, n))):
            xs, ts = ([Fraction(v) for v in z[chosen].tolist()] for z in (x, target))
            count = len(xs)
            mean_x, mean_t = (sum(z) / count if count else Fraction(0) for z in (xs, ts))
            dx, dt = [v - mean_x for v in xs], [v - mean_t for v in ts]
            sxx, stt = sum(v * v for v in dx), sum(v * v for v in dt)
            sxt = sum(a * b for a, b in zip(dx, dt, strict=True))
            # Nothing cancels in sxx and stt; the terms of sxt may have either sign.
            for name, truth, size in (
                ("count", count, 0),
                ("mean_x", mean_x, max(map(abs, xs), default=0)),
                ("mean_target", mean_t, max(map(abs, ts), default=0)),
                ("sxx", sxx, sxx),
                ("stt", stt, stt),
                ("sxt", sxt, sum(abs(a * b) for a, b in zip(dx, dt, strict=True))),
            ):
                value = getattr(side, name)[k]
                found = Fraction(float(value.hi)) + Fraction(float(value.lo))
                scale = max(size, 0)
                if name in ("sxx", "stt", "sxt"):  # the means are rounded, too
                    far_x, far_t = (max(map(abs, z), default=0) for z in (xs, ts))
                    scale += (far_x + far_t) * sum(map(abs, dx + dt)) * Fraction(2) ** -12
                assert abs(found - truth) <= scale * Fraction(2) ** -90, (name, k)


@needs_numba
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_hinges_among_samples_of_which_no_guess_is_near(dtype):
    # Two outliers make all others fall into one of the equal parts that guesses are made of.
    x = np.concatenate([np.linspace(-1, 1, 500), [-1e3, 1e3]])
    networks, rates = mixture(300, 1e-7, 1e-5)
    trained = both(
        networks, rl.TrainingSet(x, np.abs(x) ** 0.1), rates, summation="sorted", max_steps=60,
        dtype=dtype, divergence_loss=1e20,
    )  # fmt: skip
    hinges = -trained.networks.b / trained.networks.w
    assert np.mean(np.abs(hinges) < 1) > 0.2  # that is where they are


@pytest.mark.parametrize("engine", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_a_slope_beyond_the_range_of_samples_at_one_point(engine):
    # v*w overflows, but no prediction does: the samples that fire have one x, and so no slope.
    data = rl.TrainingSet([0.0, 0.0], [1.0, 3.0])
    network = rl.Networks(w=1e160, b=1e-320, v=1e160, c=1.5)
    for summation in ("direct", "sorted"):
        trained = rl.train(network, data, 0.0, max_steps=100, summation=summation, engine=engine)
        assert trained.outcome[0] == "unfinished"
        assert trained.loss[0] == 0.625


@needs_numba
def test_hinges_among_samples_that_rounding_cannot_tell_apart():
    # Neighbours of 1e6, ten samples at each: which of them fire is up to the rounding of w*x + b,
    # and a guess from -b/w is off to either side.
    x = np.repeat(1e6 + np.arange(50) * np.spacing(1e6), 10)
    rng = np.random.default_rng(0)
    w = rng.standard_normal(2000)
    networks = rl.Networks(w, -w * x[rng.integers(0, x.size, w.size)], 0.5, 0.1)
    data = rl.TrainingSet(x, rng.standard_normal(x.size))
    # No step, so that they stay there, and steps, for the search in a burst.
    for rate, max_steps in ((0.0, 0), (1e-30, 100)):
        both(networks, data, rate, summation="sorted", max_steps=max_steps)
