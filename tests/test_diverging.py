"""The potential that no step raises at small rates, and the runs that it keeps from diverging."""

import math
from fractions import Fraction

import numpy as np
import pytest

import relulab as rl
from relulab import theory

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries


def states(n, seed=0, size=1.0):
    """Return random w, b, v, c of shape (4, n)."""
    return size * np.random.default_rng(seed).normal(size=(4, n))


def exact_potential(w, b, v, c, x, target):
    a = w * x + b
    return a * a / (1 + x * x) + v * v + 2 * (c - target) ** 2


def test_the_change_in_a_step_is_exact():
    """In fractions, so to the last digit: on 200 random states, most of them active."""
    rng = np.random.default_rng(0)
    n_active = 0
    for _ in range(200):
        w, b, v, c, x, target, rate = map(Fraction, rng.normal(size=7).tolist())
        a = w * x + b
        if a <= 0:
            continue
        n_active += 1
        e = v * a + c - target
        following = (w - rate * e * v * x, b - rate * e * v, v - rate * e * a, c - rate * e)
        change = exact_potential(*following, x, target) - exact_potential(w, b, v, c, x, target)
        sharp = a * a + 1 + (1 + x * x) * v * v
        assert change == -rate * e * e * (4 - rate * (sharp + 1))
        numbers = [float(value) for value in (w, b, v, c, x, target)]
        found = theory.descent_potential(*numbers)
        assert float(found) == pytest.approx(
            float(exact_potential(w, b, v, c, x, target)), rel=1e-14, abs=0
        )
    assert n_active > 60


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_the_change_on_samples_of_one_target(batch_size):
    data, rate = rl.TrainingSet([-2, 0.5, 1, 3], [0.7] * 4), 0.05
    trace = rl.trace(rl.Networks(*states(100)), data, rate, 20, batch_size=batch_size)
    w, b, v, c = (trace[p].to_numpy().reshape(100, 21) for p in "wbvc")
    potential = w * w + b * b + v * v + 2 * (c - 0.7) ** 2
    squares = np.diff(w) ** 2 + np.diff(b) ** 2 + np.diff(v) ** 2 + 2 * np.diff(c) ** 2
    if batch_size is None:
        loss = trace["loss"].to_numpy().reshape(100, 21)[:, :-1]
        expected = -8 * rate * loss + squares
        np.testing.assert_allclose(np.diff(potential), expected, rtol=1e-10, atol=1e-12)
    # The promise, with the largest s: what it is given to never rises again.
    bounded = rate * (2 + 10 * potential[:, 0]) < 4
    assert 20 < bounded.sum() < 100
    assert (np.diff(potential[bounded]) <= 1e-12).all()


def test_no_run_that_is_promised_not_to_diverge_does():
    rng = np.random.default_rng(1)
    n_promised, n_not = 0, 0
    for x, target in ((1.0, 3.0), (-0.4, 0.2), (20.0, 1.0)):
        parameters = states(10_000, seed=2, size=0.5)
        rate = rng.uniform(0, 2.2, 10_000) ** 3 / 4
        rate[:200] = 1.99
        parameters[:, :200] *= 0.01
        promised = theory.cannot_diverge(*parameters, x, target, rate)
        before = theory.descent_potential(*parameters, x, target)
        networks, data = rl.Networks(*parameters), rl.TrainingSet.point(x, target)
        trained = rl.train(networks, data, rate, max_steps=500)
        after = theory.descent_potential(*trained.networks.stack(), x, target)
        assert (after[promised] <= before[promised] * (1 + 1e-12)).all()
        assert not (trained.outcome[promised] == "diverged").any()
        n_promised += promised.sum()
        n_not += (~promised).sum()
    assert n_promised > 5000
    assert n_not > 5000


def test_the_promise_at_its_bounds():
    # A = 0 and v = 0, c at the target: s*V = 0 and the rate alone decides.
    rates = [0.0, 1.0, math.nextafter(2, 0), 2.0, 3.0]
    assert theory.cannot_diverge(0, 0, 0, 3, 1, 3, rates).tolist() == [1, 1, 1, 0, 0]
    # s*V = 2: up to a rate of 1, which is not below.
    assert theory.cannot_diverge(0, 0, 1, 3, 1, 3, [math.nextafter(1, 0), 1.0]).tolist() == [1, 0]
    assert not theory.cannot_diverge(1e200, 0, 1, 0, 1, 3, [0.0, 1e-300]).any()
    assert not theory.cannot_diverge(math.nan, 0, 1, 0, 1, 3, 0.1)
    assert theory.cannot_diverge(1, 0, 0, 0, 1e-300, 1, [0.9, 1.0]).tolist() == [1, 0]
    with pytest.raises(rl.InputError, match="learning_rate: expected values >= 0, got -0"):
        theory.cannot_diverge(0, 0, 0, 3, 1, 3, [1.0, -0.1])


def test_on_one_sample_no_run_diverges_while_its_unit_is_alive():
    """Seen, not proved. Losses grow for a while, so only what is not finite counts."""
    rng = np.random.default_rng(7)
    for x, target in ((1.0, 3.0), (-3.0, 0.2), (0.4, -20.0)):
        start = states(20_000, seed=1) * 10 ** rng.uniform(-1, 1, 20_000)
        trained = rl.train(
            rl.Networks(*start), rl.TrainingSet.point(x, target), 10 ** rng.uniform(-2, 1, 20_000),
            max_steps=1000, divergence_loss=1e300,
        )  # fmt: skip
        alive = trained.unit == "alive"
        assert alive.sum() > 1000
        assert (trained.outcome == "diverged").sum() > 1000  # with dead units
        assert not (alive & (trained.outcome == "diverged")).any()


def test_potentials_beyond_float64_on_the_way():
    assert theory.descent_potential(1e200, 0, 0, 1, 1e200, 1) == math.inf
    assert float(theory.descent_potential(1e-200, 0, 3, 1, 1e300, 1)) == 9
    assert float(theory.descent_potential(2, 0, 3, 1, 1e300, 1)) == 13
    assert float(theory.descent_potential(1e100, 0, 0, 1, 1e300, 1)) == pytest.approx(
        1e200, abs=0, rel=1e-12
    )
