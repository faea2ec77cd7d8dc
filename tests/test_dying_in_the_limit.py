"""Units whose pre-activations go to 0: told from a last state, and true of the states after it."""

import doctest

import numpy as np
import pytest

import relulab as rl
from relulab.theory import dies_in_the_limit

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

RELU = ("b", "v", "c")  # frozen at 0, 1, 0 where a ReLU is to learn a ReLU


def alive_at_the_end(starts, data, rate, freeze=(), tolerance=1e-6):
    """Return where the converged runs with a living unit ended."""
    trained = rl.train(
        starts, data, rate, freeze=freeze, gradient_tolerance=tolerance, max_steps=100_000
    )
    kept = (trained.outcome == "converged") & (trained.unit == "alive")
    return rl.Networks.from_stack(trained.networks.stack()[:, kept])


def largest_pre_activation(networks, data):
    return (np.outer(networks.w, data.x) + networks.b[:, np.newaxis]).max(axis=1)


def vanish(networks, data, rate, freeze):
    """Return whose pre-activations go on shrinking when training goes on: the truth."""
    on = rl.train(
        networks, data, rate, freeze=freeze, gradient_tolerance=1e-12, max_steps=300_000
    ).networks
    return largest_pre_activation(on, data) < 0.05 * largest_pre_activation(networks, data)


def normal(n_nets, c=1.0, seed=0):
    return rl.Networks(*np.random.default_rng(seed).normal(size=(4, n_nets)) * [[1], [1], [1], [c]])


@pytest.mark.parametrize("seed", range(5))
def test_half_of_the_starts_cannot_learn_a_relu(seed):
    """The example of stats.stackexchange.com, question 379884, with x that are random."""
    x = np.random.default_rng(seed).normal(size=30) * 2
    x = np.append(x, -x)
    data = rl.TrainingSet(x, np.maximum(x, 0))
    trained = rl.train(rl.Networks([10, -10], 0, 1, 0), data, 0.05, freeze=RELU)
    assert list(trained.outcome) == ["converged"] * 2
    assert list(trained.unit) == ["alive"] * 2
    np.testing.assert_allclose(trained.networks.w, [1, 0], atol=1e-5)
    assert dies_in_the_limit(trained.networks, data, RELU).tolist() == [False, True]
    assert vanish(trained.networks, data, 0.05, RELU).tolist() == [False, True]
    # Also where what remains is too small to be squared.
    on = rl.train(trained.networks, data, 0.05, freeze=RELU, gradient_tolerance=0).networks
    assert -1e-300 < on.w[1] < 0
    assert dies_in_the_limit(on, data, RELU).tolist() == [False, True]


X = np.array([-0.9, -0.6, 0.4, 1.3, -1.7])


@pytest.mark.parametrize(
    ("data", "freeze"),
    [
        (rl.TrainingSet.point(1, 0), ("c",)),
        (rl.TrainingSet(X, np.maximum(X, 0)), ("c",)),
        (rl.TrainingSet(X, np.maximum(X, 0)), ("b", "c")),
        (rl.TrainingSet(X + 5, np.maximum(X, 0)), ("w", "c")),
        # The mean of all targets is the target on one side, and c goes there slowly.
        (rl.TrainingSet([-1, 1, 2], [0, -1, 1]), ()),
    ],
)
def test_what_it_tells_comes_true(data, freeze):
    start = normal(1500, c=float("c" not in freeze))
    at_end = alive_at_the_end(start, data, 0.05, freeze)
    told, truth = dies_in_the_limit(at_end, data, freeze), vanish(at_end, data, 0.05, freeze)
    assert 20 < truth.sum() < len(truth)
    assert not (told & ~truth).any()
    # It misses only such as are far from their limit, because their gradient is small with v.
    missed = truth & ~told
    assert missed.sum() < 0.1 * truth.sum()
    assert (np.abs(at_end.v[missed]) < 0.15).all()


@pytest.mark.parametrize("freeze", [(), ("c",), ("v",), ("b", "v"), ("w", "v", "c"), ("w", "b")])
@pytest.mark.parametrize("n_samples", [1, 5])
def test_it_tells_no_ordinary_run(freeze, n_samples):
    rng = np.random.default_rng(n_samples)
    data = rl.TrainingSet(*rng.normal(size=(2, n_samples)))
    at_end = alive_at_the_end(normal(1500), data, 0.1, freeze)
    assert len(at_end.w) > 100
    assert not dies_in_the_limit(at_end, data, freeze).any()


def test_it_tells_no_run_with_small_weights():
    x = np.linspace(-1, 1, 9)
    w = np.array([1e-2, 1e-4, 1e-6])
    for one in w:
        # One that is to have a small w, and one whose v is large.
        small = rl.TrainingSet(x, one * np.maximum(x, 0))
        at_end = alive_at_the_end(rl.Networks(w, 0, 1, 0), small, 0.5, RELU, one * 1e-4)
        np.testing.assert_allclose(at_end.w, one, rtol=1e-2)
        assert not dies_in_the_limit(at_end, small, RELU).any()
        steep = rl.TrainingSet(x, np.maximum(x, 0))
        assert not dies_in_the_limit(rl.Networks(one, 0, 1 / one, 0), steep).any()
    # v goes to 0, and the unit stays.
    zero = rl.TrainingSet(x, np.zeros(9))
    at_end = alive_at_the_end(rl.Networks(1, 0.1, 0.3, 0), zero, 0.1)
    assert len(at_end) == 1
    assert not dies_in_the_limit(at_end, zero).any()
    # One that fits a sample with c, so that its unit may be as small as it likes.
    assert not dies_in_the_limit(
        rl.Networks(1e-5, 0, 1, 3 - 1e-5), rl.TrainingSet.point(1, 3)
    ).any()


def test_dead_and_diverged_networks():
    data = rl.TrainingSet([-1.0, 1.0], [0.0, 1.0])
    stack = np.array([[-1, -3, 1, 0], [0, 0, 1, 0], [0, 1, 1, 0], [np.nan, 0, 1, 0]]).T
    networks = rl.Networks.from_stack(stack.astype(float))
    assert not dies_in_the_limit(networks, data).any()
    stack = np.array([[-1e-9, 0, np.inf, 0], [-1e-9, 0, 1, 1e308], [-1e-9, 0, 1, 0]]).T
    told = dies_in_the_limit(rl.Networks.from_stack(stack), data, RELU)
    assert told.tolist() == [False, False, True]


def test_the_example_in_the_docstring():
    [example] = doctest.DocTestFinder(recurse=False).find(dies_in_the_limit, "example")
    assert example.examples
    assert not doctest.DocTestRunner().run(example).failed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, rl.TrainingSet.point(1, 3)), "networks: expected Networks, got None"),
        ((normal(1), [1]), "data: expected TrainingSet"),
        ((normal(1), rl.TrainingSet([1e200, -1e200], [0, 1])), "data: expected samples whose sums"),
        ((normal(1), rl.TrainingSet.point(1, 3), "c"), "freeze: expected a collection"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(rl.InputError, match=f"^{message}"):
        dies_in_the_limit(*arguments)
