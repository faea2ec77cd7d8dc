"""Slopes and optimizers: the bits of the plain loop, laws between settings, closed forms."""

from importlib.util import find_spec
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_batches import orders
from test_engines import needs_numba

import oracle
import relulab as rl
from oracle import assert_same_bits, train_one

# Asks nothing of the libraries that bounds are given for.
pytestmark = pytest.mark.slow

ENGINES = ["numpy", pytest.param("numba", marks=needs_numba)]
both_engines = pytest.mark.parametrize("engine", ENGINES)
POINT = rl.TrainingSet.point(1.0, 3.0)
SEVERAL = rl.TrainingSet([-2.0, 1.0, 2.0], [1.0, -1.0, 3.0])
FIVE = rl.TrainingSet([-2.0, 1.0, 2.0, 0.5, -1.0], [1.0, -1.0, 3.0, 0.25, 0.1])

NUMBERS = {
    "SGD": ("momentum", "weight_decay", "max_norm"),
    "Adam": ("beta1", "beta2", "epsilon", "weight_decay"),
}


def of_net(numbers, i):
    """Return the numbers of one network; a weight decay can be given by parameter."""
    return {
        name: of_net(value, i) if isinstance(value, dict) else float(value[i])
        for name, value in numbers.items()
    }


def finals_of(networks, data, hidden, output, slope, kind, numbers, flags, dtype, seed, **options):
    """Return the oracle's final states."""
    columns = [
        np.broadcast_to(np.asarray(a, float), len(networks)) for a in (hidden, output, slope)
    ]
    finals = []
    with np.errstate(all="ignore"):
        for i, start in enumerate(networks.stack().T.tolist()):
            h, o, s = (float(column[i]) for column in columns)
            finals.append(
                train_one(
                    start, data.x.tolist(), data.target.tolist(), h, o,
                    number=float if dtype == "float64" else np.float32, order=orders(seed),
                    negative_slope=s,
                    optimizer=getattr(oracle, kind)(**of_net(numbers, i), **flags),
                    **options,
                )
            )  # fmt: skip
    return finals


def hold(networks, data, hidden, output, slope, kind, numbers, flags, dtype, seed=None, **options):
    """Hold both engines against the oracle; return one result."""
    finals = finals_of(
        networks, data, hidden, output, slope, kind, numbers, flags, dtype, seed, **options
    )
    for engine in ("numpy", "numba") if find_spec("numba") else ("numpy",):
        trained = rl.train(
            networks, data, hidden_learning_rate=hidden, output_learning_rate=output,
            negative_slope=slope, optimizer=getattr(rl, kind)(**numbers, **flags), dtype=dtype,
            shuffle_seed=seed, summation="direct", engine=engine, **options,
        )  # fmt: skip
        assert_same_bits(trained, finals)
    return trained


# Numbers at which pre-activations, gradients and residuals are exactly 0, and others.
coordinate = st.sampled_from([0.0, 1.0, -1.0, 0.5, -2.0]) | st.floats(-3, 3).map(
    lambda x: round(x, 3)
)
sample = st.tuples(coordinate, coordinate)
CHOICES = {
    "momentum": [0.0, 0.9, 0.5, 0.99, 1e-3],
    "weight_decay": [0.0, 0.1, 1e-3, 1.0],
    "max_norm": [1.0, 0.1, 1e-3, 1e30],
    "beta1": [0.9, 0.0, 0.5],
    "beta2": [0.999, 0.0, 0.9],
    "epsilon": [1e-8, 1e-3, 1.0, 0.0],
}
SLOPES = [0.0, 0.01, 0.3, 1.0]
RATES = {"SGD": [0.1, 0.0, 1e-3, 0.3, 1.0, 2.0, 5.0], "Adam": [0.1, 0.0, 1e-3, 1.0]}


@st.composite
def jobs(draw):
    """Return the arguments of ``hold`` for a few networks."""
    n = draw(st.integers(1, 3))

    def array(choices):
        return np.array(draw(st.lists(st.sampled_from(choices), min_size=n, max_size=n)))

    kind = draw(st.sampled_from(["SGD", "Adam"]))
    given_names = draw(st.sets(st.sampled_from(NUMBERS[kind])))
    numbers = {name: array(CHOICES[name]) for name in NUMBERS[kind] if name in given_names}
    if "weight_decay" in numbers and draw(st.booleans()):
        names = draw(st.sets(st.sampled_from("wbvc"), min_size=1))
        numbers["weight_decay"] = {p: array(CHOICES["weight_decay"]) for p in "wbvc" if p in names}
    flags = {}
    if kind == "SGD" and "momentum" in numbers:
        flags = {"nesterov": draw(st.booleans())}
    samples = draw(st.lists(sample, min_size=1, max_size=6))
    batch_size = draw(st.none() | st.integers(1, len(samples)))
    starts = draw(st.lists(st.tuples(*[coordinate] * 4), min_size=n, max_size=n))
    return {
        "networks": rl.Networks(*zip(*starts, strict=True)),
        "data": rl.TrainingSet(*zip(*samples, strict=True)),
        "hidden": array(RATES[kind]),
        "output": array(RATES[kind]),
        "slope": array(SLOPES),
        "kind": kind,
        "numbers": numbers,
        "flags": flags,
        "dtype": draw(st.sampled_from(["float64", "float32"])),
        "seed": None if batch_size is None else draw(st.none() | st.integers(0, 2)),
        "batch_size": batch_size,
        "freeze": draw(st.sets(st.sampled_from("wbvc"), max_size=2)),
        "max_steps": draw(st.sampled_from([0, 1, 2, 5, 47, 48, 49, 100, 300])),
        "gradient_tolerance": draw(st.sampled_from([1e-6, 0.0, 1e-2, 0.3])),
        "divergence_loss": draw(st.sampled_from([1e30, 10.0])),
    }


@settings(max_examples=100)
@given(jobs())
def test_bits_of_the_oracle_whatever_is_asked(job):
    hold(**job)


# Name, kind, numbers by draws of a random generator, flags.
KINDS = {
    "slope": ("SGD", {}, {}),
    "momentum": ("SGD", {"momentum": [0.0, 0.5, 0.9, 0.99]}, {}),
    "nesterov": ("SGD", {"momentum": [0.0, 0.5, 0.9, 0.99]}, {"nesterov": True}),
    "decay": ("SGD", {"weight_decay": [0.0, 1e-3, 0.1, 0.5]}, {}),
    "clipping": ("SGD", {"max_norm": [1e-2, 0.3, 10.0, 1e300]}, {}),
    "all of SGD": (
        "SGD",
        {"momentum": [0.0, 0.9], "weight_decay": [0.0, 0.01], "max_norm": [0.3, 3.0]},
        {"nesterov": True},
    ),
    "Adam": ("Adam", {"beta1": [0.0, 0.9], "beta2": [0.0, 0.9, 0.999]}, {}),
    "all of Adam": (
        "Adam",
        {"epsilon": [1e-8, 1e-2], "weight_decay": [0.0, 0.01, 0.3], "beta1": [0.5, 0.9]},
        {},
    ),
}


def drawn(kind, n, seed=0, *, slopes=(0.0, 0.01, 0.3, 1.0)):
    """Return starts, a rate, a slope and an optimizer's numbers for each of n networks."""
    rng = np.random.default_rng(seed)
    _, choices, _ = KINDS[kind]
    rates = np.exp(rng.uniform(np.log(1e-2), np.log(3.0), n))
    if KINDS[kind][0] == "Adam":
        rates = 0.1 * rates
    numbers = {name: rng.choice(values, n) for name, values in choices.items()}
    networks = rl.Networks(*rng.standard_normal((4, n)))
    return networks, rates, rng.choice(slopes, n), numbers


@pytest.mark.parametrize(("tolerance", "dtype"), [(1e-6, "float64"), (1e-2, "float32")])
@pytest.mark.parametrize("kind", KINDS)
def test_bits_of_the_oracle_by_kind(kind, tolerance, dtype):
    name, _, flags = KINDS[kind]
    networks, rates, slopes, numbers = drawn(kind, 60)
    if dtype == "float32" and "max_norm" in numbers:
        numbers["max_norm"] = np.minimum(numbers["max_norm"], 1e30)
    trained = hold(
        networks, SEVERAL, rates, rates, slopes, name, numbers, flags, dtype,
        max_steps=250, gradient_tolerance=tolerance,
    )  # fmt: skip
    assert len(set(trained.outcome)) >= 2
    assert len(set(trained.unit)) == 3


@pytest.mark.parametrize(("batch_size", "seed"), [(1, 3), (2, None), (5, None)])
@pytest.mark.parametrize("kind", ["all of SGD", "all of Adam"])
def test_bits_of_the_oracle_with_batches(kind, batch_size, seed):
    name, _, flags = KINDS[kind]
    networks, rates, slopes, numbers = drawn(kind, 40)
    hold(
        networks, FIVE, rates, rates, slopes, name, numbers, flags, "float64", seed,
        batch_size=batch_size, max_steps=203,
    )  # fmt: skip


def optimizer_of(kind, numbers):
    name, _, flags = KINDS[kind]
    return getattr(rl, name)(**numbers, **flags)


@needs_numba
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "dtype", "batch_size"),
    [(1, "float64", None), (129, "float32", 2), (9000, "float64", None)],
)
def test_engines_agree_on_any_number_of_networks(n, kind, dtype, batch_size):
    """More than lanes and windows hold, so that networks wait, move and are replaced."""
    networks, rates, slopes, numbers = drawn(kind, n, seed=1)
    if dtype == "float32" and "max_norm" in numbers:
        numbers["max_norm"] = np.minimum(numbers["max_norm"], 1e30)
    one, two = (
        rl.train(
            networks, SEVERAL, rates, negative_slope=slopes, optimizer=optimizer_of(kind, numbers),
            max_steps=300, dtype=dtype, batch_size=batch_size, engine=engine,
        )
        for engine in ("numpy", "numba")
    )  # fmt: skip
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame(), check_exact=True)


def same_states(one, two):
    """Hold final states and labels together, bit for bit."""
    for name in ("loss", "gradient_norm", "steps_taken", "death_step", "period"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), name)
    np.testing.assert_array_equal(one.networks.stack(), two.networks.stack())
    assert list(one.outcome) == list(two.outcome)
    assert list(one.unit) == list(two.unit)


def revivals(trained):
    return np.zeros(len(trained.initial)) if trained.n_revivals is None else trained.n_revivals


@both_engines
@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize(
    "optimizer",
    [
        rl.SGD(),
        rl.SGD(momentum=[0.0] * 400),
        rl.SGD(momentum=[0.0] * 400, nesterov=True),
        rl.SGD(weight_decay=[0.0] * 400),
        rl.SGD(weight_decay={"w": [0.0] * 400}),
        rl.SGD(max_norm=1e100),
    ],
    ids=["default", "momentum", "nesterov", "decay", "decay of w", "clipping"],
)
def test_what_does_nothing_changes_no_bit(engine, batch_size, optimizer):
    networks, rates, _, _ = drawn("slope", 400)
    options = {"max_steps": 300, "batch_size": batch_size, "engine": engine}
    plain = rl.train(networks, FIVE, rates, **options)
    other = rl.train(networks, FIVE, rates, optimizer=optimizer, negative_slope=0.0, **options)
    same_states(plain, other)
    assert len(set(plain.outcome)) >= 3
    assert not revivals(other).any()


@both_engines
@pytest.mark.parametrize("where", ["saddle", "minimum", "rounding"])
def test_without_momentum_there_is_no_velocity_beside_others_that_have_one(engine, where):
    """A velocity that the next step forgets must not keep a run that stands from ending."""
    far = 2.0**40
    start, rate, data = {
        "saddle": ((0.0, 1.0, 0.0, 0.0), 0.1, rl.TrainingSet([-1.0, 1.0], [-1.0, 1.0])),
        "minimum": ((0.5, 0.5, 3.0, 0.0), 1.0, POINT),
        # The gradient is not 0, but the step is less than half of the distance to the next c.
        "rounding": (
            (-1.0, -1.0, 1.0, far), 2.5, rl.TrainingSet(np.ones(8), [far] * 7 + [far + 2.0**-12])
        ),
    }[where]  # fmt: skip
    networks = rl.Networks(*np.repeat([start], 2, axis=0).T)
    options = {"max_steps": 300, "gradient_tolerance": 1e-4, "engine": engine}
    plain = rl.train(networks, data, rate, **options)
    other = rl.train(networks, data, rate, optimizer=rl.SGD(momentum=[0.0, 0.9]), **options)
    assert plain.outcome[0] == "unstable"
    assert plain.steps_taken[0] == 0
    assert (plain.gradient_norm[0] > 0) == (where == "rounding")
    for name in ("outcome", "steps_taken", "gradient_norm", "loss"):
        assert getattr(other, name)[0] == getattr(plain, name)[0], name


@both_engines
@pytest.mark.parametrize("kind", KINDS)
def test_a_result_does_not_depend_on_the_networks_beside(engine, kind):
    networks, rates, slopes, numbers = drawn(kind, 60, seed=2)
    options = {"max_steps": 400, "engine": engine}
    together = rl.train(
        networks, SEVERAL, rates, negative_slope=slopes, optimizer=optimizer_of(kind, numbers),
        **options,
    )  # fmt: skip
    for i in range(0, 60, 7):
        alone = rl.train(
            rl.Networks(*networks.stack()[:, [i]]), SEVERAL, rates[i], negative_slope=slopes[[i]],
            optimizer=optimizer_of(kind, {k: a[[i]] for k, a in numbers.items()}), **options,
        )  # fmt: skip
        one = {k: v[i] for k, v in together.final().items() if k != "n_revivals"}
        other = {k: v[0] for k, v in alone.final().items() if k != "n_revivals"}
        assert str(one) == str(other)
        assert revivals(alone)[0] == revivals(together)[i]


@both_engines
def test_of_a_linear_network_the_signs_do_not_matter(engine):
    """With slope 1 nothing changes if w, b and v all change their signs: not a bit."""
    networks, rates, _, _ = drawn("slope", 300)
    w, b, v, c = networks.stack()
    for optimizer in (rl.SGD(momentum=0.9, weight_decay=0.01), rl.SGD(max_norm=1.0), rl.Adam()):
        options = {"negative_slope": 1, "optimizer": optimizer, "engine": engine, "max_steps": 200}
        one = rl.train(networks, SEVERAL, rates, **options)
        two = rl.train(rl.Networks(-w, -b, -v, c), SEVERAL, rates, **options)
        np.testing.assert_array_equal(one.networks.stack()[:3], -two.networks.stack()[:3])
        for name in ("loss", "gradient_norm", "steps_taken", "period"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert list(one.outcome) == list(two.outcome)


@both_engines
@pytest.mark.parametrize(
    "optimizer",
    [
        rl.SGD(),
        rl.SGD(momentum=0.9),
        rl.SGD(momentum=0.9, nesterov=True),
        rl.SGD(weight_decay={"w": 0.3, "b": 0.2}),
    ],
    ids=str,
)
def test_the_critical_rate_of_a_parabola(engine, optimizer):
    """A linear unit whose w and b alone train: least squares, or ridge regression."""
    rng = np.random.default_rng(3)
    data = rl.TrainingSet(rng.normal(size=7), rng.normal(size=7))
    v = 1.3
    design = v * np.stack([data.x, np.ones(7)], axis=1)
    decay = optimizer.weight_decay if isinstance(optimizer.weight_decay, dict) else {}
    hessian = design.T @ design / 7 + np.diag([decay.get("w", 0.0), decay.get("b", 0.0)])
    minimum = np.linalg.solve(hessian, design.T @ (data.target - 0.4) / 7)
    m = float(optimizer.momentum)
    edge = 2 * (1 + m) / (1 + 2 * m if optimizer.nesterov else 1)
    critical = edge / np.linalg.eigvalsh(hessian)[-1]
    trained = rl.train(
        rl.Networks(rng.normal(size=2), 0.2, v, 0.4), data, critical * np.array([0.98, 1.02]),
        freeze=("v", "c"), negative_slope=1, optimizer=optimizer, gradient_tolerance=1e-12,
        max_steps=20_000, engine=engine,
    )  # fmt: skip
    assert list(trained.outcome) == ["converged", "diverged"]
    found = [trained.networks.w[0], trained.networks.b[0]]
    np.testing.assert_allclose(found, minimum, rtol=1e-10)


def of_a_dead_unit(rate, momentum, nesterov, k):
    """Return c - target after k steps from 1, by the roots of the recurrence of second order."""
    damped = 1 - rate if nesterov else 1
    trace = (1 + momentum) * damped if nesterov else 1 + momentum - rate
    roots = np.roots([1.0, -trace, momentum * damped])
    first = 1 - rate * (1 + momentum) if nesterov else 1 - rate
    weights = np.linalg.solve(np.stack([np.ones(2), roots]).astype(complex), [1.0, first])
    return np.real([weights @ roots**i for i in range(k + 1)])


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("rate", [0.01, 0.3, 1.1])
def test_c_of_a_dead_unit_under_momentum(rate, momentum, nesterov):
    history = rl.trace(
        rl.Networks(-1.0, -1.0, 0.5, 4.0), POINT, rate, 60,
        optimizer=rl.SGD(momentum=momentum, nesterov=nesterov),
    )  # fmt: skip
    expected = of_a_dead_unit(rate, momentum, nesterov, 60)
    np.testing.assert_allclose(history["c"] - 3.0, expected, rtol=1e-9, atol=1e-12)
    assert (history[["w", "b", "v"]] == [-1.0, -1.0, 0.5]).all(axis=None)


@both_engines
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.125, 0.5, 0.75])
def test_where_a_dead_unit_stops_converging(engine, momentum, nesterov):
    """At the edge one root is -1, the other within the circle: an orbit of period 2 is left."""
    edge = 2 * (1 + momentum) / (1 + 2 * momentum if nesterov else 1)
    trained = rl.train(
        rl.Networks(-1.0, -1.0, 1.0, [5.0] * 3), POINT, edge * np.array([0.95, 1.0, 1.05]),
        optimizer=rl.SGD(momentum=momentum, nesterov=nesterov), max_steps=5000, engine=engine,
    )  # fmt: skip
    assert list(trained.outcome) == ["converged", "oscillating", "diverged"]
    assert list(trained.period) == [0, 2, 0]
    assert set(trained.unit) == {"born_dead"}


@both_engines
@pytest.mark.parametrize(
    ("optimizer", "edge"),
    [
        (rl.SGD(), 2.0),
        (rl.SGD(momentum=0.9), 3.8),
        (rl.SGD(momentum=0.9, nesterov=True), 3.8 / 2.8),
        (rl.SGD(momentum=0.5, max_norm=1e-3), 3.0),
        # (rate/(1 - beta1)) / epsilon is the first size, where there is no gradient.
        (rl.Adam(epsilon=0.25), 2 * 1.9 * 0.25),
        (rl.Adam(beta1=0.5, beta2=0.9, epsilon=0.25), 2 * 1.5 * 0.25),
        (rl.Adam(beta1=0.0, epsilon=1.0), 2.0),
    ],
    ids=str,
)
def test_the_edge_of_rest(engine, optimizer, edge):
    """A dead unit at the target: the only eigenvalue that is not 0 is the rate of c."""
    rates = edge * np.array([0.5, 1 - 1e-9, 1 + 1e-9, 2.0])
    trained = rl.train(
        rl.Networks(-1.0, -1.0, 1.0, [3.0] * 4), POINT, rates, optimizer=optimizer, engine=engine
    )
    assert list(trained.outcome) == ["converged", "converged", "unstable", "unstable"]
    assert list(trained.steps_taken) == [0] * 4


@both_engines
def test_the_edge_of_rest_with_decay(engine):
    """Where c - target + decay*c is 0, the eigenvalues are rate*(1 + decay) and rate*decay."""
    rates = np.array([1 - 1e-9, 1 + 1e-9]) / 0.75
    for decay in ({"c": 0.5}, 0.5):
        trained = rl.train(
            rl.Networks(0.0, 0.0, 0.0, [2.0] * 2), POINT, rates,
            optimizer=rl.SGD(weight_decay=decay), engine=engine,
        )  # fmt: skip
        assert list(trained.outcome) == ["converged", "unstable"]
        assert list(trained.gradient_norm) == [0.0, 0.0]
        assert list(trained.loss) == [0.5, 0.5]
    # A large decay of w alone is an eigenvalue, too, though nothing of the loss bends there.
    rates = np.array([1 - 1e-9, 1 + 1e-9]) / 4
    trained = rl.train(
        rl.Networks(0.0, -1.0, 1.0, [3.0] * 2), POINT, rates,
        optimizer=rl.SGD(weight_decay={"w": 8.0}), engine=engine,
    )  # fmt: skip
    assert list(trained.outcome) == ["converged", "unstable"]


@both_engines
@pytest.mark.parametrize("decay", [0.1, {"w": 0.3, "b": 0.2, "v": 0.1, "c": 0.05}, {"v": 0.4}])
def test_what_decays_in_a_dead_unit(engine, decay):
    rate, k = 0.3, 40
    start = np.array([-1.0, -1.5, 2.0, 5.0])
    trained = rl.train(
        rl.Networks(*start), POINT, rate, optimizer=rl.SGD(weight_decay=decay), max_steps=k,
        gradient_tolerance=0.0, engine=engine,
    )  # fmt: skip
    decays = np.array([decay.get(p, 0.0) if isinstance(decay, dict) else decay for p in "wbvc"])
    expected = start * (1 - rate * decays) ** k
    # c is drawn to target/(1 + decay), by 1 + decay.
    rests_at = 3.0 / (1 + decays[3])
    expected[3] = rests_at + (start[3] - rests_at) * (1 - rate * (1 + decays[3])) ** k
    np.testing.assert_allclose(trained.networks.stack()[:, 0], expected, rtol=1e-13)
    assert trained.unit[0] == "born_dead"
    assert list(revivals(trained)) == [0]


@both_engines
def test_decay_wakes_a_unit(engine):
    """b decays faster than w, so that the hinge comes nearer, until it passes the sample."""
    trained = rl.train(
        rl.Networks(1.0, -1.5, 1e-3, 0.0), rl.TrainingSet.point(1.0, 0.0), 0.1,
        optimizer=rl.SGD(weight_decay={"b": 0.5}), max_steps=100, gradient_tolerance=0.0,
        engine=engine,
    )  # fmt: skip
    assert trained.unit[0] == "alive"
    assert trained.n_revivals[0] == 1
    assert trained.death_step[0] == -1


@both_engines
@pytest.mark.parametrize("kind", KINDS)
def test_deaths_and_revivals_are_those_of_the_trace(engine, kind):
    networks, rates, slopes, numbers = drawn(kind, 200, seed=5)
    options = {"negative_slope": slopes, "optimizer": optimizer_of(kind, numbers)}
    k = 150
    trained = rl.train(
        networks, SEVERAL, rates, max_steps=k, gradient_tolerance=0.0, divergence_loss=1e300,
        engine=engine, **options,
    )  # fmt: skip
    history = rl.trace(networks, SEVERAL, rates, k, **options)
    by_run = history.pivot(index="run", columns="step")
    w, b = by_run["w"].to_numpy()[:, :, None], by_run["b"].to_numpy()[:, :, None]
    active = (w * SEVERAL.x + b > 0).any(axis=2)
    done = np.array(trained.outcome != "diverged") & (trained.steps_taken == k)
    assert done.sum() > 20
    last = np.where(active.any(axis=1), k - active[:, ::-1].argmax(axis=1), -1)
    death_step = np.where(last == k, -1, last + 1)
    woken = (active[:, 1:] & ~active[:, :-1]).sum(axis=1)
    np.testing.assert_array_equal(trained.death_step[done], death_step[done])
    np.testing.assert_array_equal(revivals(trained)[done], woken[done])
    np.testing.assert_array_equal(
        trained.networks.stack()[:, done], by_run.iloc[done].xs(k, axis=1, level="step").T[:4]
    )
    if kind not in ("clipping",):
        assert woken[done].any()


@both_engines
def test_who_can_revive(engine):
    networks, rates, _, _ = drawn("slope", 300)
    options = {"max_steps": 100, "engine": engine}
    for optimizer in (None, rl.SGD(max_norm=0.3)):
        chosen = {} if optimizer is None else {"optimizer": optimizer}
        trained = rl.train(networks, SEVERAL, rates, **chosen, **options)
        assert trained.n_revivals is None
        assert "n_revivals" not in trained.to_frame()
    for chosen in (
        {"optimizer": rl.SGD(momentum=0.9)},
        {"optimizer": rl.Adam()},
        {"optimizer": rl.SGD(weight_decay=0.1)},
        {"negative_slope": 0.3},
    ):
        trained = rl.train(networks, SEVERAL, rates, **chosen, **options)
        assert trained.to_frame()["n_revivals"].dtype.kind == "i"
        np.testing.assert_array_equal(trained.to_frame()["n_revivals"], trained.n_revivals)


@both_engines
def test_clipped_steps_have_a_length(engine):
    """Far from the target, c of a dead unit moves by rate*max_norm a step; beyond rate 2, too."""
    history = rl.trace(
        rl.Networks(-1.0, -1.0, 1.0, 1e3), POINT, 2.5, 100, optimizer=rl.SGD(max_norm=0.5)
    )
    np.testing.assert_allclose(np.diff(history["c"]), -1.25, rtol=1e-8)
    trained = rl.train(
        rl.Networks(-1.0, -1.0, 1.0, 10.0), POINT, 2.5, optimizer=rl.SGD(max_norm=0.5),
        max_steps=1000, engine=engine,
    )  # fmt: skip
    assert trained.outcome[0] != "diverged"
    assert abs(trained.networks.c[0] - 3.0) <= 1.25


@both_engines
def test_the_first_step_of_adam_has_the_length_of_the_rate(engine):
    networks, _, _, _ = drawn("Adam", 100)
    trained = rl.train(
        networks, SEVERAL, 0.01, optimizer=rl.Adam(epsilon=0.0), max_steps=1, engine=engine
    )
    # But for a dead unit's w, b, v, whose gradient is 0: 0/0 is no number.
    alive = np.array(trained.unit != "born_dead")
    moved = np.abs(trained.networks.stack() - networks.stack())[:, alive]
    np.testing.assert_allclose(moved, 0.01, rtol=1e-9)
    assert set(trained.outcome[~alive]) == {"diverged"}


@both_engines
@pytest.mark.parametrize("freeze", [f for n in (1, 2) for f in combinations("wbvc", n)])
@pytest.mark.parametrize("kind", ["all of SGD", "all of Adam"])
def test_what_is_frozen_stays(engine, freeze, kind):
    """Neither decays nor counts among the gradients that are clipped."""
    networks, rates, slopes, numbers = drawn(kind, 50)
    trained = rl.train(
        networks, SEVERAL, rates, negative_slope=slopes, optimizer=optimizer_of(kind, numbers),
        freeze=freeze, max_steps=100, engine=engine,
    )  # fmt: skip
    for name in freeze:
        np.testing.assert_array_equal(getattr(trained.networks, name), getattr(networks, name))


@both_engines
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.5, 0.9, 0.99])
def test_a_run_that_only_passes_the_target_is_not_converged(engine, momentum, nesterov):
    """Of a dead unit: the gradient is c - target, and the velocity is what c moved by."""
    rate, tolerance = 0.05, 1e-2
    e = of_a_dead_unit(rate, momentum, nesterov, 5000)
    velocity = np.zeros(5001)
    for k in range(5000):
        velocity[k + 1] = momentum * velocity[k] + e[k]
    share = momentum / (1 - momentum) * (momentum if nesterov else 1)
    slow = np.abs(e) <= tolerance
    still = slow & (share * np.abs(velocity) <= tolerance)
    trained = rl.train(
        rl.Networks(-1.0, -1.0, 0.5, 4.0), POINT, rate, gradient_tolerance=tolerance,
        optimizer=rl.SGD(momentum=momentum, nesterov=nesterov), engine=engine,
    )  # fmt: skip
    assert trained.outcome[0] == "converged"
    assert trained.steps_taken[0] == still.argmax()
    assert still.argmax() > slow.argmax() or momentum == 0.5


@both_engines
@pytest.mark.parametrize("kind", KINDS)
def test_the_trace_ends_where_training_does(engine, kind):
    networks, rates, slopes, numbers = drawn(kind, 50, seed=6)
    options = {
        "negative_slope": slopes,
        "optimizer": optimizer_of(kind, numbers),
        "batch_size": 2,
        "shuffle_seed": 4,
    }
    trained = rl.train(
        networks, FIVE, rates, max_steps=37, gradient_tolerance=0.0, divergence_loss=1e300,
        engine=engine, **options,
    )  # fmt: skip
    history = rl.trace(networks, FIVE, rates, 37, **options)
    last = history[history["step"] == 37]
    done = np.array(trained.steps_taken == 37) & np.array(trained.outcome != "diverged")
    assert done.sum() > 10
    for name in "wbvc":
        np.testing.assert_array_equal(last[name][done], getattr(trained.networks, name)[done])
    np.testing.assert_array_equal(last["loss"][done], trained.loss[done])


@both_engines
@pytest.mark.parametrize("batch_size", [None, 1])
def test_velocity_goes_on_while_a_run_is_followed(engine, batch_size):
    """At the edge: begun again without velocity, c would not come back to the same two places."""
    data = POINT if batch_size is None else rl.TrainingSet([1.0, 2.0], [3.0, 5.0])
    optimizer = rl.SGD(momentum=0.5)
    for max_steps in (1000, 1001):
        trained = rl.train(
            rl.Networks(-1.0, -1.0, 1.0, 5.3), data, 3.0 if batch_size is None else 0.5,
            optimizer=optimizer, max_steps=max_steps, batch_size=batch_size, engine=engine,
        )  # fmt: skip
        assert list(trained.period) == [2]


def on_mean_squared_error(rate, decay, n_steps, momentum=None, max_norm=None, epsilon=None):
    """Return w, b, v, c after steps on a mean squared error without 1/2, as in PyTorch."""
    p, first, second = [0.9, 0.3, 0.7, 0.1], [0.0] * 4, [0.0] * 4
    samples = [(-1.0, 1.0), (0.5, 0.0), (1.0, 2.0)]
    for t in range(1, n_steps + 1):
        g = [0.0] * 4
        for x, target in samples:
            a = max(p[0] * x + p[1], 0.0)
            e = 2 * (p[2] * a + p[3] - target) / len(samples)
            terms = (e * p[2] * x * (a > 0), e * p[2] * (a > 0), e * a, e)
            g = [total + term for total, term in zip(g, terms, strict=True)]
        norm = sum(each * each for each in g) ** 0.5
        if max_norm is not None and norm > max_norm:
            g = [each * max_norm / norm for each in g]
        g = [each + decay * value for each, value in zip(g, p, strict=True)]
        if epsilon is None:
            first = [momentum * m + each for m, each in zip(first, g, strict=True)]
            steps = first
        else:
            first = [0.9 * m + 0.1 * each for m, each in zip(first, g, strict=True)]
            second = [0.999 * s + 0.001 * each**2 for s, each in zip(second, g, strict=True)]
            steps = [
                m / (1 - 0.9**t) / ((s / (1 - 0.999**t)) ** 0.5 + epsilon)
                for m, s in zip(first, second, strict=True)
            ]
        p = [value - rate * step for value, step in zip(p, steps, strict=True)]
    return p


def test_how_a_run_on_a_mean_squared_error_without_half_is_repeated():
    """As the docstrings of SGD and Adam say."""
    data, start = rl.TrainingSet([-1, 0.5, 1], [1, 0, 2]), rl.Networks(0.9, 0.3, 0.7, 0.1)
    sgd = on_mean_squared_error(0.03, 0.1, 50, momentum=0.5, max_norm=0.8)
    adam = on_mean_squared_error(0.03, 0.1, 50, epsilon=0.01)
    for expected, rate, optimizer in (
        (sgd, 0.06, rl.SGD(momentum=0.5, weight_decay=0.05, max_norm=0.4)),
        (adam, 0.03, rl.Adam(epsilon=0.005, weight_decay=0.05)),
    ):
        ended = rl.train(start, data, rate, max_steps=50, optimizer=optimizer).networks
        assert ended.stack()[:, 0].tolist() == pytest.approx(expected, rel=1e-5)
