"""Closed forms against simulation, and simulation against the published values."""

import numpy as np
import pytest

import relulab as rl
from relulab import theory

N = 40_000


def share(p):
    return pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / N) + 1e-12)


def units(w, b, v, c, data, rate=0.0, seed=0, **options):
    sweep = rl.Sweep(
        data=data, w=w, b=b, v=v, c=c, learning_rate=rate, draws=N, seed=seed, **options
    )
    return sweep.run()["unit"].value_counts(normalize=True)


@pytest.mark.parametrize(
    ("std_w", "std_b", "low", "high"),
    [(1, 1, -1, 1), (1, 1, -(3**0.5), 3**0.5), (2, 0.5, -1, 1), (1, 1, 0, 2), (0.7, 2, 1, 3)],
)
def test_born_dead_normal(std_w, std_b, low, high):
    data = rl.TrainingSet([low, (low + high) / 2, high], [0, 1, 2])
    found = units(rl.Normal(0, std_w), rl.Normal(0, std_b), 1.0, 0.0, data, max_steps=0)
    expected = theory.born_dead_probability_normal(std_w, std_b, low, high)
    assert found["born_dead"] == share(expected)


def test_born_dead_normal_published_values():
    assert theory.born_dead_probability_normal(1, 1, -1, 1) == pytest.approx(1 / 4)
    assert theory.born_dead_probability_normal(1, 1, -(3**0.5), 3**0.5) == pytest.approx(1 / 6)
    assert theory.born_dead_probability_normal(1, 0, -1, 1) == pytest.approx(0)
    assert theory.born_dead_probability_normal(1, 1, 2, 2) == pytest.approx(1 / 2)


@pytest.mark.parametrize("r", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("from_zero", [False, True])
def test_born_dead_uniform(r, from_zero):
    data = rl.TrainingSet([0.0 if from_zero else -r, r], [0, 1])
    found = units(rl.Uniform(-1, 1), rl.Uniform(-1, 1), 1.0, 0.0, data, max_steps=0)
    expected = theory.born_dead_probability_uniform(r, from_zero=from_zero)
    assert found["born_dead"] == share(expected)


def test_zero_bias_is_born_dead_by_the_sign_of_w_or_never():
    one_sided, straddling = rl.TrainingSet([1, 2], [0, 0]), rl.TrainingSet([-1, 2], [0, 0])
    assert units(rl.Normal(0, 1), 0.0, 1.0, 0.0, one_sided, max_steps=0)["born_dead"] == share(0.5)
    assert units(rl.Normal(0, 1), 0.0, 1.0, 0.0, straddling, max_steps=0)["born_dead"] == 0


def test_small_rate_death_published_values():
    assert theory.small_rate_death_probability(
        1, 3, std_w=1, std_b=1, std_v=1
    ) == pytest.approx(0.124967, abs=5e-7)  # fmt: skip
    assert theory.small_rate_death_probability(
        1, 1, std_w=2**0.5, std_b=0, std_v=1
    ) == pytest.approx(0.115604, abs=5e-7)  # fmt: skip


@pytest.mark.parametrize(
    ("x", "target", "std_w", "std_b", "std_v", "c"),
    [(1.0, 3.0, 1, 1, 1, 0.0), (1.0, 1.0, 2**0.5, 0, 1, 0.0), (-0.5, 0.3, 1, 0.5, 2, 1.0)],
)
def test_small_rate_death(x, target, std_w, std_b, std_v, c):
    b = rl.Normal(0, std_b) if std_b else 0.0
    found = units(
        rl.Normal(0, std_w), b, rl.Normal(0, std_v), c, rl.TrainingSet.point(x, target), 0.003,
        max_steps=100_000, gradient_tolerance=1e-4,
    )  # fmt: skip
    expected = theory.small_rate_death_probability(
        x, target, std_w=std_w, std_b=std_b, std_v=std_v, c=c
    )
    # At rate 0.003 the discretization moves the share by less than 0.001.
    tolerance = 4 * np.sqrt(expected * (1 - expected) / N) + 0.001
    assert found["died"] == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    ("rate", "probability"),
    [(0.01, 0.007042), (0.1, 0.085415), (0.2, 0.138629), (0.5, 0.196883), (1, 0.225296),
     (2, 0.242597)],
)  # fmt: skip
def test_share_that_dies_at_step_one(rate, probability):
    normal = rl.Normal(0, 1)
    sweep = rl.Sweep(
        data=rl.TrainingSet.point(1, 3), w=normal, b=normal, v=normal, learning_rate=rate,
        draws=N, max_steps=1,
    )  # fmt: skip
    assert sweep.run()["death_step"].eq(1).fillna(False).mean() == share(probability)


def test_nothing_firing_converges_above_the_largest_stable_rate():
    normal = rl.Normal(0, 1)
    for data in (rl.TrainingSet.point(1, 3), rl.TrainingSet([-2, 1, 2], [1, -1, 3])):
        runs = rl.Sweep(
            data=data, w=normal, b=normal, v=normal, c=normal, draws=5000, max_steps=2000,
            learning_rate=[theory.LARGEST_STABLE_RATE * 1.01, 3.0],
        ).run()  # fmt: skip
        firing = runs[runs["unit"] == "alive"]
        assert not (firing["outcome"] == "converged").any()


@pytest.mark.parametrize("c0", [0.0, 7.0])
def test_dead_unit_follows_the_geometric_law(c0):
    rate = np.array([0.1, 1.0, 1.9])
    trained = rl.train(
        rl.Networks([-1] * 3, 0, 1, c0), rl.TrainingSet.point(1, 3), rate,
        max_steps=20, gradient_tolerance=0,
    )  # fmt: skip
    k = trained.steps_taken
    expected = 3 + (1 - rate) ** k * (c0 - 3)
    np.testing.assert_allclose(trained.networks.c, expected, rtol=1e-13)
