"""Networks whose unit is dead, which train by themselves: the oracle's bits."""

import numpy as np
import pandas as pd
import pytest
from test_engines import both, needs_numba

import relulab as rl
from oracle import ENGINES, assert_same_bits, train_one

pytestmark = pytest.mark.slow

# The mean is a power of 2 away from the sum, or not; the sums are rounded.
TARGETS = {n: np.round(np.linspace(-1, 2, n) ** 3 + 1 / 3, 9) for n in (1, 2, 3, 4, 7, 20)}
# The side of the samples on which each unit is dead, so that w rises, falls, or is 0.
DEAD = [(-1.0, -2.0), (1.0, -2.0), (0.0, 0.0), (0.5, -0.5), (-0.5, -0.5)]


def dead(n, seed=0):
    rng = np.random.default_rng(seed)
    w, b = np.array(DEAD * (n // len(DEAD) + 1)).T[:, :n]
    return rl.Networks(w, b, rng.standard_normal(n), 3 * rng.standard_normal(n))


def samples(n):
    x = np.linspace(-1, 1, n) if n > 1 else np.array([1.0])
    return rl.TrainingSet(x, TARGETS[n])


# Slow and fast, around the edge of stability, beyond it.
RATES = np.array([1e-3, 0.07, 0.5, 1.0, 1.7, 1.99, 2.0, 2.0000001, 2.1, 3.0] * 3)
MAX_STEPS = [0, 1, 63, 64, 65, 300]


@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
@pytest.mark.parametrize("number", [float, np.float32])
@pytest.mark.parametrize("n_samples", TARGETS)
def test_every_step_is_the_oracles(n_samples, number, tolerance):
    networks, data = dead(RATES.size), samples(n_samples)
    starts = list(zip(networks.w, networks.b, networks.v, networks.c, strict=True))
    for max_steps in MAX_STEPS:
        options = {
            "max_steps": max_steps, "gradient_tolerance": tolerance, "divergence_loss": 50.0
        }  # fmt: skip
        with np.errstate(all="ignore"):
            finals = [
                train_one(start, data.x, data.target, rate, rate, number=number, **options)
                for start, rate in zip(starts, RATES.tolist(), strict=True)
            ]
        for engine in ENGINES:
            trained = rl.train(
                networks, data, RATES, summation="direct", engine=engine,
                dtype=np.dtype(number).name, **options,
            )  # fmt: skip
            assert_same_bits(trained, finals)


@needs_numba
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_samples", TARGETS)
def test_every_step_by_sorted_sums_is_the_other_engines(n_samples, dtype):
    for max_steps in MAX_STEPS:
        both(
            dead(RATES.size), samples(n_samples), RATES, summation="sorted", max_steps=max_steps,
            dtype=dtype, divergence_loss=50.0,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("summation", ["direct", "sorted"])
@pytest.mark.parametrize("n_samples", TARGETS)
def test_the_numpy_engine_gives_the_same_bits_without(n_samples, summation, dtype, monkeypatch):
    """Every network in the window to its end, or in bursts of any length and lanes of any number.

    Then more come and go than there are lanes. However few steps it has left, a network may leave.
    """
    rng = np.random.default_rng(2)
    networks, rate = rl.Networks(*rng.standard_normal((4, 300))), rng.choice(RATES, 300)

    def trained(max_steps):
        return rl.train(
            networks, samples(n_samples), rate, summation=summation, max_steps=max_steps,
            dtype=dtype, divergence_loss=50.0, engine="numpy",
        ).to_frame()  # fmt: skip

    for max_steps in MAX_STEPS:
        with monkeypatch.context() as without:
            without.setattr("relulab.training.numpy_engine.step_dead", lambda *_: None)
            plain = trained(max_steps)
        assert (plain["death_step"] >= 0).any()
        for window, burst, long in ((7, 32, 64), (7, 8, 1), (100, 5, 0), (1000, 64, 16)):
            with monkeypatch.context() as other:
                other.setattr("relulab.training.numpy_dead.WINDOW", window)
                other.setattr("relulab.training.numpy_dead.BURST", burst)
                other.setattr("relulab.training.numpy_dead.LONG", long)
                pd.testing.assert_frame_equal(trained(max_steps), plain, check_exact=True)


@needs_numba
@pytest.mark.parametrize("n_samples", [1, 3, 20])
def test_lanes_are_refilled_until_all_have_ended(n_samples):
    rng = np.random.default_rng(1)
    n = 3000  # many times the lanes
    networks, rate = rl.Networks(*rng.standard_normal((4, n))), np.exp(rng.uniform(-6, 1, n))
    trained = both(networks, samples(n_samples), rate, max_steps=3000)
    assert {"born_dead", "died", "alive"} == set(trained.unit)
    assert {"converged", "diverged", "unfinished"} <= set(trained.outcome)


@needs_numba
@pytest.mark.parametrize("frozen", ["c", "w", "b", "v"])
def test_frozen_parameters(frozen):
    both(dead(300), samples(3), 0.1, freeze=(frozen,), max_steps=500)


@needs_numba
@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3, 1e8])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_losses_around_the_bound_of_divergence(dtype, spread):
    """The cheap test may err in one direction only, also where targets are far apart."""
    data = rl.TrainingSet([-1.0, 0.0, 1.0], [0.0, spread, 3 * spread])
    for distance in (0.0, 0.5, 1.0, 3.0):
        networks = rl.Networks(-1.0, -2.0, 1.0, distance * spread + np.linspace(-1, 1, 50))
        loss = networks.predict(data.x[:1]).ravel()  # of some start: c
        bounds = np.quantile((loss[:, None] - data.target) ** 2 / 2, [0.1, 0.5, 0.9])
        for bound in bounds:
            for rate in (0.1, 1.0, 2.0, 2.5):
                both(
                    networks, data, rate, max_steps=100, dtype=dtype, divergence_loss=bound,
                    gradient_tolerance=1e-9,
                )  # fmt: skip


@needs_numba
@pytest.mark.parametrize("v", [1e308, 1e160, -1e308])
@pytest.mark.parametrize("c", [0.0, 1e150, -1e153, 1e160])
def test_the_ends_of_float64(v, c):
    networks = rl.Networks([-1.0, -1e308, 1e308, 0.0], [-1.0, -1e308, -1e308, 0.0], v, c)
    for data in (samples(1), rl.TrainingSet([-2.0, 1.0], [0.0, 1e150])):
        both(networks, data, 0.5, max_steps=70, divergence_loss=1e308)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_too_small_for_float32_has_no_sign(engine):
    """Else the sign of a zero gradient, which dead networks do not keep, decides bits."""
    networks = rl.Networks([-1e-300, 1, -1], [-1, -1e-300, -1], [1, -1, -1e-300], [0, 4, 1])
    for max_steps in (0, 1, 200):
        trained = rl.train(
            networks, rl.TrainingSet.point(-1, 3), 0.001, max_steps=max_steps, dtype="float32",
            engine=engine,
        )  # fmt: skip
        assert not np.signbit(np.diag(trained.networks.stack()[:3])).any()
