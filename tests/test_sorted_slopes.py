"""Sorted sums where the inactive side leaks: against exact fractions, and both engines."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engines import both, mixture, needs_numba
from test_sorted import CASES, EPS, LETTERS, natural_scale, noisy, tables_of

import relulab as rl
from relulab.training.numpy_engine import Lanes
from relulab.training.options import TrainingOptions
from relulab.training.specification import Problem

# Asks nothing of the libraries that bounds are given for.
pytestmark = pytest.mark.slow

SLOPES = (0.0, 0.01, 0.3, 1.0)


def totals(networks, x, target, slope, summation):
    """Return gw, gb, gv, gc, loss of every network by an engine, shape (5, n_nets)."""
    parameters = networks.stack()
    problem = Problem(
        parameters=parameters,
        rates=np.zeros((2, len(networks))),
        trained=(True, True, True, True),
        x=x,
        target=target,
        sums=tables_of(x, target) if summation == "sorted" else None,
        batches=None,
        options=TrainingOptions(learning_rate=0.0),
        slope=np.broadcast_to(slope, len(networks)).astype(float),
        rule=None,
    )
    with np.errstate(all="ignore"):
        lanes = Lanes(problem, np.arange(len(networks)))
        lanes.evaluate()
    return np.vstack([lanes.gradients, lanes.loss])


def exact(network, x, target, slope):
    """Return the means of gw, gb, gv, gc, loss as fractions."""
    w, b, v, c = (Fraction(p) for p in network)
    sums = [Fraction(0)] * 5
    for x_i, t_i in zip(x, target, strict=True):
        active = network[0] * x_i + network[1] > 0  # in the arithmetic, as the project says
        s = Fraction(1) if active else Fraction(slope)
        h = s * (w * Fraction(x_i) + b)
        residual = v * h + c - Fraction(t_i)
        terms = (Fraction(x_i) * s * residual * v, s * residual * v, residual * h, residual)
        sums = [a + t for a, t in zip(sums, (*terms, residual * residual / 2), strict=True)]
    return [total / len(x) for total in sums]


def errors(networks, x, target, slope):
    """Return errors of sorted and of direct sums, each of shape (5, n_nets)."""
    both_kinds = [totals(networks, x, target, slope, kind) for kind in ("sorted", "direct")]
    off = np.zeros((2, 5, len(networks)))
    for i, network in enumerate(networks.stack().T.tolist()):
        truth = exact(network, x.tolist(), target.tolist(), slope)
        for which, found in enumerate(both_kinds):
            pairs = zip(found[:, i].tolist(), truth, strict=True)
            off[which, :, i] = [abs(Fraction(value) - mean) for value, mean in pairs]
    return off


@pytest.mark.parametrize("slope", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_errors_are_no_larger_than_those_of_direct_sums(name, slope):
    x, target, networks, _ = CASES[name]
    x, target = np.asarray(x, float), np.asarray(target, float)
    off_sorted, off_direct = errors(networks, x, target, slope).max(axis=2)
    scale = np.max([natural_scale(n, x, target) for n in networks.stack().T], axis=0)
    # The floor, some units of twice the precision, is for direct sums that happen to be exact.
    bound = 4 * off_direct + 4e-32 * scale
    for letter, error, most in zip(LETTERS, off_sorted, bound, strict=True):
        assert error <= most, letter


def test_small_integers_where_direct_sums_round_only_once():
    rng = np.random.default_rng(5)
    x, target = rng.integers(-9, 10, (2, 97)).astype(float)
    networks = rl.Networks(*rng.integers(-5, 6, (4, 40)).astype(float))
    scale = np.stack([natural_scale(n, x, target) for n in networks.stack().T], axis=1)
    for slope in (0.25, 0.5, 1.0):
        off_sorted, off_direct = errors(networks, x, target, slope)
        assert (off_direct <= EPS * scale).all()
        assert (off_sorted <= 4 * EPS * scale).all()


places = st.integers(-4, 4).map(float) | st.floats(-1e3, 1e3)
weights = st.integers(-3, 3).map(float) | st.floats(-100, 100)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(places, weights), min_size=1, max_size=12),
    st.tuples(weights, weights, weights, weights),
    st.sampled_from(SLOPES) | st.floats(0, 1),
)
def test_errors_are_a_few_roundings(samples, network, slope):
    x, target = np.array(samples).T
    try:
        tables_of(x, target)
    except rl.InputError:  # beyond the range of what can be tabulated
        return
    off = errors(rl.Networks(*network), x, target, slope)[0, :, 0]
    scale = natural_scale(np.array(network), x, target)
    assert (off <= 8 * EPS * scale + 1e-300).all(), off / scale


def test_slope_0_has_the_bits_that_it_had():
    """Beside others that leak, too."""
    x = np.random.default_rng(0).uniform(-1, 1, 100)
    target = np.maximum(x, 0)
    networks, _ = mixture(200)
    mixed = totals(networks, x, target, np.resize([0.0, 0.3], 200), "sorted")
    for slope, which in ((0.0, slice(0, None, 2)), (0.3, slice(1, None, 2))):
        alone = totals(networks, x, target, slope, "sorted")
        np.testing.assert_array_equal(mixed[:, which], alone[:, which])
    plain = rl.train(networks, rl.TrainingSet(x, target), 0.1, max_steps=0, summation="sorted")
    np.testing.assert_array_equal(plain.loss[::2], mixed[4, ::2])


def test_slope_1_does_not_know_where_the_hinge_is():
    """The two sides make up all samples: to rounding, the sums of the linear network."""
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(2, 200))
    w, b, v, c = rng.standard_normal((4, 50))
    found = totals(rl.Networks(w, b, v, c), x, target, 1.0, "sorted")
    residual = v[:, None] * (np.outer(w, x) + b[:, None]) + c[:, None] - target
    expected = [
        (v[:, None] * residual * x).mean(axis=1),
        v * residual.mean(axis=1),
        (residual * (np.outer(w, x) + b[:, None])).mean(axis=1),
        residual.mean(axis=1),
        (residual**2).mean(axis=1) / 2,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


OPTIMIZERS = {
    "plain": rl.SGD(),
    "SGD": rl.SGD(momentum=0.8, nesterov=True, weight_decay=0.01, max_norm=1.0),
    "Adam": rl.Adam(weight_decay={"v": 0.1}),
}


@needs_numba
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("n_samples", [2, 17, 300])
def test_engines_agree(n_samples, optimizer, dtype):
    networks, rates = mixture(1500, 1e-2, 2.0)
    slopes = np.random.default_rng(2).choice(SLOPES, 1500)
    trained = both(
        networks, noisy(n_samples), rates, negative_slope=slopes, optimizer=OPTIMIZERS[optimizer],
        summation="sorted", dtype=dtype, max_steps=300,
    )  # fmt: skip
    assert len(set(trained.outcome)) >= 2


@needs_numba
def test_engines_agree_that_it_rests():
    """From small starts, past the saddle at 0."""
    networks = rl.Networks(*0.01 * np.random.default_rng(3).normal(size=(4, 300)))
    for options in ({}, {"optimizer": rl.SGD(weight_decay={"w": 0.01, "v": 0.01})}):
        options = {"negative_slope": np.resize(SLOPES, 300), "max_steps": 3000, **options}
        one, two = (
            both(networks, noisy(60), 0.5, summation=summation, **options)
            for summation in ("sorted", "direct")
        )
        assert (np.array(one.outcome) == np.array(two.outcome)).mean() > 0.98
        assert (one.outcome == "converged").sum() > 100
