"""Runs that go round in a circle: periods against theory, and what must not be taken for one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relulab as rl
from oracle import ENGINES, NUMBER, assert_same_bits, period_of, train_one
from relulab.training.numpy_engine import FOLLOWED_AT_ONCE
from relulab.training.orbits import LONGEST_PERIOD, RETURN_TOLERANCE, periods

pytestmark = pytest.mark.slow  # kernels of our own, which ask nothing of the libraries

POINT = rl.TrainingSet.point(1.0, 3.0)


@pytest.fixture(params=ENGINES)
def engine(request):
    if request.param == "numba":
        pytest.importorskip("numba", reason="Numba (extra fast) missing")
    return request.param


def balanced(k, target=3.0):
    """Return networks with w - x*b = 0 and A = v on x = 1, and the rates, for c frozen at 0."""
    q, v = np.sqrt(2.0), 0.9 * np.sqrt(target / np.sqrt(2.0))
    return rl.Networks(np.full(k.size, v / q), v / q, v, 0.0), k / (q * target)


def test_a_dead_unit_at_rate_2_has_period_2(engine):
    networks = rl.Networks(-1.0, -1.0, 1.0, np.linspace(-5, 5, 101))
    trained = rl.train(networks, POINT, 2.0, max_steps=1000, engine=engine)
    at_target = networks.c == 3.0
    assert set(trained.period[~at_target]) == {2}
    assert set(trained.outcome[~at_target]) == {"oscillating"}
    assert set(trained.outcome[at_target]) == {"converged"}
    assert set(trained.unit) == {"born_dead"}


@pytest.mark.parametrize(("rate", "outcome"), [(1.99, "converged"), (2.01, "diverged")])
def test_a_dead_unit_beside_rate_2_does_not_oscillate(engine, rate, outcome):
    trained = rl.train(rl.Networks(-1.0, -1.0, 1.0, 0.5), POINT, rate, engine=engine)
    assert list(trained.outcome) == [outcome]


def test_period_doubling_with_c_frozen(engine):
    """Fixed point below k = 1, period 2 up to sqrt(5) - 1 = 1.236, then 4, 8, ... (THEORY)."""
    k = np.array([0.5, 0.99, 1.01, 1.1, 1.2, 1.23, 1.24, 1.28, 1.29, 1.5, 1.6])
    networks, rate = balanced(k)
    options = {"freeze": ("c",), "max_steps": 20_000, "engine": engine}
    trained = rl.train(networks, POINT, rate, **options)
    assert list(trained.period) == [0, 0, 2, 2, 2, 2, 4, 4, 8, 0, 0]
    assert list(trained.outcome) == (
        ["converged"] * 2 + ["oscillating"] * 7 + ["unfinished"] + ["converged"]
    )  # chaotic at 1.5; at 1.6 the unit dies, and with c frozen nothing moves any more
    assert trained.unit[-1] == "died"
    assert set(trained.steps_taken[2:-1]) == {20_000}


POINTS = np.linspace(-1, 1, 9)


@pytest.mark.parametrize(
    ("x", "target", "rate", "fates"),
    [
        (POINTS, np.maximum(POINTS, 0), 1.0, (0.248, 0.379, 0.173, 0.0)),
        (POINTS, POINTS, 1.0, (0.248, 0.355, 0.397, 0.0)),
        ([-2.0, 1.0, 2.0], [1.0, -1.0, 3.0], 0.5, (0.148, 0.417, 0.025, 0.076)),
        ([-2.0, 1.0, 2.0], [1.0, -1.0, 3.0], 1.0, (0.148, 0.350, 0.0, 0.361)),
    ],
)
def test_the_table_of_fates(engine, x, target, rate, fates):
    """Fractions of 20,000 draws after 3000 steps, theirs and ours with a standard error each."""
    networks = rl.Networks(*np.random.default_rng(5).standard_normal((4, 20_000)))
    data = rl.TrainingSet(x, target)
    trained = rl.train(networks, data, rate, max_steps=3000, engine=engine)
    runs = trained.to_frame()
    alive = runs["unit"] == "alive"
    found = (
        (runs["unit"] == "born_dead").mean(),
        (runs["unit"] == "died").mean(),
        (trained.period == 2).mean(),
        (alive & (runs["outcome"] == "diverged")).mean(),
    )
    for ours, theirs in zip(found, fates, strict=True):
        error = np.sqrt(2 * theirs * (1 - theirs) / 20_000)
        assert ours == pytest.approx(theirs, abs=4 * error + 5e-4)  # theirs has three digits
    assert (runs["period"].notna() == (runs["outcome"] == "oscillating")).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 1},
        {"batch_size": 2, "max_steps": 301},
        {"batch_size": 2, "shuffle_seed": 3},
    ],
    ids=str,
)
def test_same_bits_as_the_oracle(dtype, options):
    """At large rates on three samples, where a third to all of the runs are followed."""
    options = {"max_steps": 300, **options}
    rng = np.random.default_rng(1)
    x, target = [-1.0, 0.25, 1.0], [-1.0, 0.25, 1.0]
    networks = rl.Networks(*rng.standard_normal((4, 100)))
    rate = rng.choice([0.5, 1.0, 1.5, 2.0], 100)
    data = rl.TrainingSet(x, target)
    finals = [
        train_one(start, x, target, r, r, number=NUMBER[dtype], **order_of(options))
        for start, r in zip(networks.stack().T, rate, strict=True)
    ]
    for engine in ENGINES:
        trained = rl.train(networks, data, rate, dtype=dtype, engine=engine, **options)
        assert_same_bits(trained, finals)
        if "shuffle_seed" not in options:
            assert (trained.period > 1).sum() >= 5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_same_bits_as_the_oracle_with_c_frozen(dtype):
    networks, rate = balanced(np.linspace(0.9, 1.6, 36))
    options = {"freeze": ("c",), "max_steps": 2000}
    finals = [
        train_one(start, [1.0], [3.0], r, r, number=NUMBER[dtype], **options)
        for start, r in zip(networks.stack().T, rate, strict=True)
    ]
    for engine in ENGINES:
        trained = rl.train(networks, POINT, rate, dtype=dtype, engine=engine, **options)
        assert_same_bits(trained, finals)
        assert {2, 4} <= set(trained.period)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_same_bits_as_the_oracle_where_orbits_drift(dtype):
    """Dead units at rates near 2, whose swing is tiny and decays or grows."""
    rng = np.random.default_rng(8)
    rates = 2 + rng.choice([-1, 1], 60) * 10 ** rng.uniform(-9, -2, 60)
    dead = rl.Networks(-1.0, -1.0, 1.0, 3 + 10 ** rng.uniform(-7, 0, 60))
    options = {"gradient_tolerance": 1e-12, "max_steps": 3}
    finals = [
        train_one(start, [1.0], [3.0], rate, rate, number=NUMBER[dtype], **options)
        for start, rate in zip(dead.stack().T, rates, strict=True)
    ]
    for engine in ENGINES:
        trained = rl.train(dead, POINT, rates, dtype=dtype, engine=engine, **options)
        assert_same_bits(trained, finals)
    assert len({f.outcome for f in finals}) > 1


def order_of(options):
    """Return the options of the oracle, with an order of its own for each epoch."""
    options = dict(options)
    if (seed := options.pop("shuffle_seed", None)) is not None:
        epochs = iter(range(10**9))

        def order(n):
            sequence = np.random.SeedSequence(seed, spawn_key=(next(epochs),))
            return np.random.default_rng(sequence).permutation(n)

        options["order"] = order
    return options


def test_sorted_sums_oscillate_too(engine):
    x = np.linspace(-1, 1, 101)
    networks = rl.Networks(*np.random.default_rng(2).standard_normal((4, 500)))
    trained = rl.train(
        networks, rl.TrainingSet(x, x), 1.0, max_steps=3000, summation="sorted", engine=engine
    )
    assert 0.3 < (trained.period == 2).mean() < 0.5


def test_what_stands_still_does_not_oscillate(engine):
    trained = rl.train(rl.Networks([0.5, 1.0], 0.2, 0.3, 0.1), POINT, 0.0, engine=engine)
    assert list(trained.outcome) == ["unfinished"] * 2
    assert list(trained.period) == [0, 0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_growth_is_no_orbit(engine, dtype):
    """What explodes makes all that came before look small."""
    dead = rl.Networks(-1.0, -1.0, 1.0, 1.0)
    options = {"max_steps": 20, "engine": engine, "dtype": dtype}
    assert list(rl.train(dead, rl.TrainingSet.point(1, 0), 2.8, **options).period) == [0]
    rng = np.random.default_rng(4)
    starts = rl.Networks(*rng.normal(0, [[1.4], [0], [1]], (3, 4000)), 0.0)
    rates = np.exp(rng.uniform(np.log(0.1), np.log(10), 4000))
    trained = rl.train(starts, POINT, rates, **options)
    assert not (trained.outcome == "oscillating").any()
    assert (trained.outcome == "unfinished").sum() > 1000


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_return_within_an_epoch_is_none(engine, batch_size):
    """The first two targets are the same, so that c stands still there, but not at the others."""
    data = rl.TrainingSet([1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 5.0, 5.0])
    dead = rl.Networks(-1.0, -1.0, 1.0, 0.0)
    for max_steps in range(400, 404):
        options = {"batch_size": batch_size, "max_steps": max_steps, "engine": engine}
        trained = rl.train(dead, data, 1.0, **options)
        assert list(trained.period) == [4 // batch_size]


def test_oscillating_runs_oscillate_on_with_the_same_period(engine):
    rng = np.random.default_rng(6)
    starts, rates = rl.Networks(*rng.standard_normal((4, 3000))), rng.uniform(0.5, 2, 3000)
    data = rl.TrainingSet(POINTS, POINTS)
    trained = rl.train(starts, data, rates, max_steps=2000, engine=engine)
    going = np.array(trained.outcome == "oscillating")
    assert going.sum() > 300
    there = rl.Networks.from_stack(trained.networks.stack()[:, going])
    further = rl.train(there, data, rates[going], max_steps=2000, engine=engine)
    assert list(further.period) == list(trained.period[going])


def test_what_creeps_does_not_oscillate(engine):
    """A step moves nothing by more than the tolerance, but many steps do."""
    network = rl.Networks(0.5, 0.2, 0.3, 0.1)
    rate = 0.3 * RETURN_TOLERANCE["float64"] / 3  # the gradients are below 3
    trained = rl.train(network, POINT, rate, max_steps=100, engine=engine)
    assert list(trained.outcome) == ["unfinished"]


def test_example_by_example_the_period_is_an_epoch(engine):
    """A dead unit's c goes round with the targets, in every order but a shuffled one."""
    data = rl.TrainingSet([1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 3.0, -2.0, 0.5, 7.0])
    dead = rl.Networks(-1.0, -1.0, 1.0, [0.0, 5.0])
    options = {"batch_size": 1, "max_steps": 1002, "engine": engine}
    assert list(rl.train(dead, data, 0.5, **options).period) == [5, 5]
    assert list(rl.train(dead, data, 0.5, shuffle_seed=1, **options).period) == [0, 0]


@pytest.mark.parametrize("rate", [1.9, 1.99, 1.995])
@pytest.mark.parametrize("target", [3.0, 1e5])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_decay_that_flips_is_no_orbit(engine, rate, target, dtype):
    data = rl.TrainingSet.point(1.0, target)
    for max_steps in range(100, 2500, 150):
        network = rl.Networks(-1.0, -1.0, 1.0, 0.0)
        options = {"max_steps": max_steps, "dtype": dtype, "gradient_tolerance": 1e-9}
        assert rl.train(network, data, rate, engine=engine, **options).period[0] == 0


@pytest.mark.parametrize("distance", np.geomspace(2e-7, 2e-4, 13))
def test_a_slow_decay_that_flips_is_no_orbit(engine, distance):
    """Within 10^4 steps it has converged, or is at least much smaller."""
    c = np.array([3 + 3 * distance])
    for slow in (1e-3, 5e-4, 2e-4, 1e-4):
        dead = rl.Networks(-1.0, -1.0, 1.0, c)
        options = {"gradient_tolerance": 1e-12, "max_steps": 5, "engine": engine}
        assert rl.train(dead, POINT, 2 - slow, **options).period[0] == 0
        # The same with a living unit and c frozen, at the solution with A = v.
        living = rl.Networks(*rl.theory.balanced_start(1.0, 3.0, 1 + distance), 0.0)
        rate = (1 - slow / 2) / (np.sqrt(2) * 3)
        assert rl.train(living, POINT, rate, freeze=("c",), **options).period[0] == 0


def test_a_slow_decay_ends_converged_and_is_no_orbit_before(engine):
    dead = rl.Networks(-1.0, -1.0, 1.0, 0.0)
    for max_steps, outcome in ((28_300, "unfinished"), (30_000, "converged")):
        trained = rl.train(dead, POINT, 1.9995, max_steps=max_steps, engine=engine)
        assert list(trained.outcome) == [outcome]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_orbit_through_zero_is_one(engine, dtype):
    """From c = 0, a dead unit's network comes back to about 0, which is far from it relatively."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        data = rl.TrainingSet(rng.uniform(1, 2, 7), rng.normal(size=7))
        network = rl.Networks(-1.0, -1.0, 1.0, 0.0)
        trained = rl.train(network, data, 2.0, max_steps=500, dtype=dtype, engine=engine)
        assert list(trained.period) == [2]


def test_every_run_of_many_is_followed(engine):
    n = FOLLOWED_AT_ONCE + 1000
    trained = rl.train(rl.Networks(-1.0, -1.0, 1.0, np.arange(n) + 4.0), POINT, 2.0, max_steps=10,
                       engine=engine)  # fmt: skip
    assert (trained.period == 2).all()


def test_an_epoch_of_more_steps_than_the_longest_period_has_none(engine):
    dead = rl.Networks(-1.0, -1.0, 1.0, 0.0)
    for n_samples, period in ((LONGEST_PERIOD, LONGEST_PERIOD), (LONGEST_PERIOD + 1, 0)):
        data = rl.TrainingSet(np.arange(1.0, n_samples + 1), np.arange(n_samples) % 7)
        trained = rl.train(dead, data, 0.5, batch_size=1, max_steps=1000, engine=engine)
        assert list(trained.period) == [period]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=70), st.integers(0, 150))
def test_periods_are_the_oracles(cycle, wrong):
    """For a periodic sequence, perhaps with one state that breaks it."""
    states = [(float(cycle[k % len(cycle)]),) for k in range(2 * LONGEST_PERIOD + 1)]
    if wrong < len(states):
        states[wrong] = (9.0,)
    assert periods(np.array(states)[:, :, np.newaxis])[0] == period_of(states)


def test_what_overflows_while_it_is_followed_has_no_period():
    states = np.zeros((2 * LONGEST_PERIOD + 1, 4, 1))
    states[1::2, 3] = 1.0
    states[60:70, 0], states[70:, 0] = np.inf, np.nan
    assert list(periods(states)) == [0]  # and there is no warning
