"""Steps that take a batch: the bits of the plain loop, the closed form of the dead unit, epochs."""

import numpy as np
import pytest
from test_engines import both, mixture, needs_numba

import oracle
import relulab as rl
from oracle import NUMBER, assert_same_bits, train_one
from relulab.training.batches import Batches

ENGINES = ["numpy", pytest.param("numba", marks=needs_numba)]
SEVERAL = rl.TrainingSet([-2.0, 1.0, 2.0, 0.5, -1.0], [1.0, -1.0, 3.0, 0.25, 0.1])


def orders(shuffle_seed):
    """Return a function that gives the order of each next epoch."""
    if shuffle_seed is None:
        return range
    epochs = iter(range(10**6))

    def order(n):
        sequence = np.random.SeedSequence(shuffle_seed, spawn_key=(next(epochs),))
        return np.random.default_rng(sequence).permutation(n).tolist()

    return order


@pytest.mark.slow
@pytest.mark.parametrize("shuffle_seed", [None, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "options",
    [{}, {"freeze": ("c",)}, {"divergence_loss": 2.0}, {"gradient_tolerance": 0.05}],
    ids=str,
)
def test_bits_of_the_oracle(shuffle_seed, batch_size, dtype, options):
    networks, rates = mixture(150, 1e-2, 2.0)
    options = {"max_steps": 103, "batch_size": batch_size, **options}
    with np.errstate(all="ignore"):
        finals = [
            train_one(
                start, SEVERAL.x.tolist(), SEVERAL.target.tolist(), rate, rate,
                number=NUMBER[dtype], order=orders(shuffle_seed), **options,
            )
            for *start, rate in np.vstack([networks.stack(), rates]).T.tolist()
        ]  # fmt: skip
    for engine in oracle.ENGINES:
        trained = rl.train(
            networks, SEVERAL, rates, shuffle_seed=shuffle_seed, dtype=dtype, engine=engine,
            **options,
        )  # fmt: skip
        assert_same_bits(trained, finals)
        assert {"diverged", "unfinished"} <= set(trained.outcome)


@needs_numba
@pytest.mark.parametrize("n", [1, 127, 129, 9000])
@pytest.mark.parametrize("max_steps", [0, 1, 2, 3, 500])
def test_engines_agree_on_any_number_of_networks_and_steps(n, max_steps):
    networks, rates = mixture(n)
    trained = both(networks, SEVERAL, rates, batch_size=2, shuffle_seed=1, max_steps=max_steps)
    assert trained.steps_taken.max() == max_steps or n == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_of_everything_is_the_full_batch(engine):
    networks, rates = mixture(500)
    options = {"max_steps": 300, "engine": engine}
    one = rl.train(networks, SEVERAL, rates, batch_size=5, **options)
    full = rl.train(networks, SEVERAL, rates, summation="direct", **options)
    assert one.to_frame().equals(full.to_frame())
    shuffled = rl.train(networks, SEVERAL, rates, batch_size=5, shuffle_seed=0, **options)
    assert not shuffled.to_frame().equals(full.to_frame())  # another order of the sums
    assert list(shuffled.unit) == list(full.unit)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rate", [0.01, 0.3, 1.5])
def test_where_a_dead_unit_ends(engine, rate):
    # After an epoch c is (1-rate)^n c + rate * sum (1-rate)^(n-i) target_i: its fixed point.
    n, target = SEVERAL.n_samples, SEVERAL.target
    weights = (1 - rate) ** (n - np.arange(1, n + 1))
    fixed_point = rate * (weights @ target) / (1 - (1 - rate) ** n)
    dead = rl.Networks(
        w=[0.0, 1.0, -1.0], b=[-1.0, -2.5, -5.0], v=[1.0, -2.0, 3.0], c=[0.0, 9.0, -4]
    )
    trained = rl.train(dead, SEVERAL, rate, batch_size=1, max_steps=5000 * n, engine=engine)
    np.testing.assert_allclose(trained.networks.c, fixed_point, rtol=1e-12)
    assert list(trained.unit) == ["born_dead"] * 3
    assert abs(fixed_point - target.mean()) > 1e-3  # it is not the mean
    assert set(trained.outcome) == {"oscillating"}  # nor a stationary point of the loss
    for before, after in zip("wbv", "wbv", strict=True):
        np.testing.assert_array_equal(getattr(dead, before), getattr(trained.networks, after))


@pytest.mark.parametrize("engine", ENGINES)
def test_death_is_about_all_samples(engine):
    # Silent on the first sample and firing on the second: silent in this step, not dead.
    data = rl.TrainingSet([-1.0, 1.0], [0.0, 1.0])
    trained = rl.train(rl.Networks(1, 0, 1, 0), data, 0.1, batch_size=1, engine=engine)
    assert trained.unit[0] == "alive"


def test_the_trace_ends_where_training_does():
    networks, rates = mixture(50, 1e-2, 0.3)
    options = {"batch_size": 2, "shuffle_seed": 4}
    trained = rl.train(
        networks,
        SEVERAL,
        rates,
        max_steps=37,
        gradient_tolerance=0,
        divergence_loss=1e300,
        **options,
    )
    history = rl.trace(networks, SEVERAL, rates, 37, **options)
    last = history[history["step"] == 37]
    for name in "wbvc":
        np.testing.assert_array_equal(last[name], getattr(trained.networks, name))
    np.testing.assert_array_equal(last["loss"], trained.loss)


def test_an_epoch_takes_every_sample_once():
    batches = Batches(10, 3, shuffle_seed=2)
    epochs = [[batch.tolist() for batch in batches.epoch(k)] for k in range(3)]
    assert [list(map(len, epoch)) for epoch in epochs] == [[3, 3, 3, 1]] * 3
    flat = [[sample for batch in epoch for sample in batch] for epoch in epochs]
    assert all(sorted(order) == list(range(10)) for order in flat)
    assert flat[0] != flat[1] != flat[2]
    assert [b.tolist() for b in Batches(10, 3, 2).epoch(1)] == epochs[1]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 6}, "batch_size: expected at most 5, the number of samples, got 6"),
        ({"batch_size": 0}, "batch_size: expected a whole number >= 1, got 0"),
        ({"batch_size": 1.5}, "batch_size: expected a whole number >= 1, got 1.5"),
        (
            {"batch_size": 1, "shuffle_seed": -1},
            "shuffle_seed: expected a whole number >= 0, got -1",
        ),
        ({"shuffle_seed": 1}, "shuffle_seed: expected None without batch_size"),
        ({"batch_size": 1, "summation": "sorted"}, "summation: expected direct or auto with batch"),
        ({"summation": "fast"}, "summation: expected one of auto, direct, sorted, got 'fast'"),
    ],
)
def test_bad_input(options, text):
    for call in (
        lambda: rl.train(rl.Networks(1, 0, 1, 0), SEVERAL, 0.1, **options),
        lambda: rl.trace(rl.Networks(1, 0, 1, 0), SEVERAL, 0.1, 5, **options),
        lambda: rl.Sweep(data=SEVERAL, learning_rate=0.1, **options),
    ):
        with pytest.raises(rl.InputError) as error:
            call()
        assert str(error.value).startswith(text)
        assert "\n" not in str(error.value)


def test_a_sweep_takes_batches():
    sweep = rl.Sweep(
        data=SEVERAL, w=[0.5, 1.0], v=1.0, b=0.1, learning_rate=[0.1, 0.2],
        batch_size=np.int64(2), shuffle_seed=7, max_steps=100,
    )  # fmt: skip
    runs = sweep.run(shard_size=1)
    alone = rl.train(
        rl.Networks(0.5, 0.1, 1.0, 0.0), SEVERAL, 0.2, batch_size=2, shuffle_seed=7, max_steps=100
    )
    assert runs.loc[1, "w"] == alone.networks.w[0]
    described = sweep.specification()
    assert (described["batch_size"], described["shuffle_seed"]) == (2, 7)
    assert type(described["batch_size"]) is int
