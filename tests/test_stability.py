"""Converged means at rest: chaotic runs, saddles, the edge of stability, and what never moves."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import oracle
import relulab as rl
from oracle import ENGINES, NUMBER, assert_same_bits, train_one
from relulab.training.options import TrainingOptions
from relulab.training.trainer import evaluated

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

POINT = rl.TrainingSet.point(1.0, 3.0)
GRID = np.linspace(-1, 1, 9)
LINE = rl.TrainingSet(GRID, GRID)


@pytest.fixture(params=ENGINES)
def engine(request):
    if request.param == "numba":
        pytest.importorskip("numba", reason="Numba (extra fast) missing")
    return request.param


def counts(trained):
    return dict(zip(*np.unique(np.array(trained.outcome), return_counts=True), strict=True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("tolerance", [1e-6, 1e-3])
def test_no_chaotic_run_is_converged(engine, tolerance, dtype):
    """c frozen, balanced starts, k = 1.5: the only fixed point is unstable."""
    y = np.arange(1, 1581) / 1000
    networks = rl.Networks(*rl.theory.balanced_start(1.0, 3.0, y), 0.0)
    trained = rl.train(
        networks, POINT, 0.5 / np.sqrt(2), freeze=("c",), gradient_tolerance=tolerance,
        max_steps=2000, dtype=dtype, engine=engine,
    )  # fmt: skip
    alive = trained.unit == "alive"
    assert 1250 < alive.sum() < 1330
    assert not (trained.outcome[alive] == "converged").any()
    assert (trained.outcome[~alive] == "converged").all()
    assert (trained.steps_taken[trained.outcome == "unfinished"] == 2000).all()


SETS = {
    "point": POINT,
    "line": LINE,
    "hinge": rl.TrainingSet(GRID, np.maximum(GRID, 0)),
    "noise": rl.TrainingSet(*np.random.default_rng(7).normal(size=(2, 60))),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("freeze", [(), ("c",)])
def test_what_is_converged_stays_where_it_is(engine, name, freeze):
    """From small starts, whose way leads past the saddle at 0; trained on with no tolerance."""
    data = SETS[name]
    starts = rl.Networks(*0.01 * np.random.default_rng(3).normal(size=(4, 400)))
    options = {"freeze": freeze, "engine": engine}
    trained = rl.train(starts, data, 0.2, max_steps=1500, gradient_tolerance=1e-4, **options)
    settled = np.array(trained.outcome == "converged") & np.array(trained.unit == "alive")
    there = rl.Networks.from_stack(trained.networks.stack()[:, settled])
    further = rl.train(there, data, 0.2, max_steps=1500, gradient_tolerance=0.0, **options)
    assert settled.sum() > 100 or name == "noise"
    # But for a few: the rule is local, and beyond a kink the loss may fall.
    left = np.abs(further.loss - trained.loss[settled]) > 1e-4
    assert left.sum() <= 0.01 * settled.sum()
    assert (further.gradient_norm[~left] <= 1e-3).all()


def test_a_slow_passage_of_a_saddle_ends_at_the_minimum(engine):
    """c frozen, A + v = 1e-11: A - v dies away first, and the gradient with it."""
    q = np.sqrt(2.0)
    plus, minus = np.array([1e-11, 1e-10, -1e-11]), np.array([1e-3, 1e-2, 1e-3])
    a, v = (plus + minus) / 2, (plus - minus) / 2
    networks = rl.Networks(a / q, a / q, v, 0.0)
    trained = rl.train(networks, POINT, 0.02, freeze=("c",), engine=engine)
    dies = rl.theory.dies_under_gradient_flow(
        networks.w, networks.b, networks.v, 0.0, 1.0, 3.0, freeze=("c",)
    )
    assert list(trained.unit == "died") == list(dies)
    assert list(trained.outcome) == ["converged"] * 3
    assert (trained.loss[~dies] < 1e-12).all()
    assert (trained.loss[dies] == 4.5).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_stands_on_an_unstable_point_is_told(engine, dtype):
    options = {"engine": engine, "dtype": dtype}
    # The minimum w = b = 1/2, v = 3 of sharpness 20, on both sides of 2/20.
    minimum = rl.Networks(0.5, 0.5, 3.0, 0.0)
    rates = [0.09, 0.0999, 0.1001, 1.0]
    trained = rl.train(rl.Networks(*np.repeat(minimum.stack(), 4, 1)), POINT, rates, **options)
    assert list(trained.outcome) == ["converged", "converged", "unstable", "unstable"]
    assert list(trained.steps_taken) == [0] * 4
    assert set(trained.unit) == {"alive"}
    # Dead units at the target: c alone moves, and its eigenvalue is the rate.
    dead = rl.Networks(-1.0, -1.0, 1.0, [3.0] * 4)
    trained = rl.train(dead, POINT, [1.0, 2.0, 2.0001, 5.0], **options)
    assert list(trained.outcome) == ["converged", "converged", "unstable", "unstable"]
    assert set(trained.unit) == {"born_dead"}
    # The saddle w = v = 0 of a straight line, at every rate.
    trained = rl.train(rl.Networks(0.0, 1.0, 0.0, [0.0] * 3), LINE, [1e-3, 0.1, 1.0], **options)
    assert list(trained.outcome) == ["unstable"] * 3
    # With a rate of 0, nothing leaves anywhere.
    assert rl.train(minimum, POINT, 0.0, **options).outcome[0] == "converged"


@pytest.mark.parametrize("freeze", [f for n in range(4) for f in combinations("wbvc", n)])
def test_rates_and_frozen_parameters_count_at_the_edge(engine, freeze):
    """At zero loss on one sample, M has rank one: its eigenvalue is a sum of four terms."""
    w, b, v, x = 0.3, 0.4, -1.7, 0.6
    a = w * x + b
    networks = rl.Networks(w, b, v, [0.0] * 2)
    data = rl.TrainingSet.point(x, v * a)
    terms = {"w": (v * x) ** 2, "b": v * v, "v": a * a, "c": 1.0}
    hidden = sum(terms[p] for p in "wb" if p not in freeze)
    output = sum(terms[p] for p in "vc" if p not in freeze)
    for part in (0.0, 0.3, 1.0):
        # A part of the edge for the hidden layer, the rest for the output.
        rates = {
            "hidden_learning_rate": 2 * part / hidden if hidden else 1.0,
            "output_learning_rate": 2 * (1 - part) / output if output else 1.0,
        }
        if not (hidden and output):
            rates = {k: 2 / (hidden + output) for k in rates}
        near = {k: np.array([rate * (1 - 1e-9), rate * (1 + 1e-9)]) for k, rate in rates.items()}
        trained = rl.train(networks, data, **near, freeze=freeze, engine=engine)
        assert list(trained.outcome) == ["converged", "unstable"], (freeze, part)


def test_a_slow_valley_is_no_saddle(engine):
    """The gradient is within the tolerance, the Hessian all but positive, and descent slow."""
    x = [1.574, 0.878, 0.804, 1.983, 0.174, -0.435, 0.576]
    target = [-0.658, -0.51, -0.564, -0.526, -0.464, -0.542, -0.708]
    valley = rl.Networks(-0.8268858, 1.3010578, 0.0378805, -0.5937329)
    options = {"gradient_tolerance": 1e-4, "engine": engine}
    trained = rl.train(valley, rl.TrainingSet(x, target), 0.376, **options)
    assert list(trained.outcome) == ["converged"]
    assert list(trained.steps_taken) == [0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_weak_saddle_is_none_the_less_one(engine, dtype):
    """Residuals and x are all but uncorrelated: it takes 17,000 steps to leave."""
    data = rl.TrainingSet([-1.0, 0.0, 1.0], [1 - 1e-4, -2.0, 1 + 1e-4])
    start = rl.Networks(1e-3, 3e-3, 1e-3, 0.0)
    options = {"gradient_tolerance": 1e-5, "dtype": dtype}
    # Most of the way by the faster engine, as NumPy's takes a millisecond to judge a state.
    n_steps = 0 if engine == "numba" else 15_000
    near = rl.train(start, data, 1.0, max_steps=n_steps, **options)
    assert list(near.outcome) == ["unfinished"]
    trained = rl.train(near.networks, data, 1.0, max_steps=30_000, engine=engine, **options)
    assert list(trained.outcome) == ["converged"]
    assert trained.steps_taken[0] + n_steps > 17_000
    assert trained.loss[0] == pytest.approx(0.74995, rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
def test_ordinary_runs_are_converged_when_their_gradient_says_so(engine, scale):
    """Noisy samples, with targets of several sizes; with batches of all, the gradient decides."""
    rng, x = np.random.default_rng(1), np.linspace(-1, 1, 20)
    data = rl.TrainingSet(x, scale * (np.maximum(x, 0) + 0.5 * rng.normal(size=20)))
    starts = rl.Networks(*rng.normal(size=(4, 300)))
    options = {"max_steps": 1000, "summation": "direct", "engine": engine}
    new, old = (rl.train(starts, data, 0.3, batch_size=size, **options) for size in (None, 20))
    assert (old.outcome == "converged").sum() > 100
    assert list(new.outcome) == list(old.outcome)
    assert list(new.steps_taken) == list(old.steps_taken)


def test_with_batches_the_gradient_alone_decides(engine):
    minimum = rl.Networks(0.5, 0.5, 3.0, 0.0)
    trained = rl.train(minimum, POINT, 1.0, batch_size=1, engine=engine)
    assert list(trained.outcome) == ["converged"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["point", "line", "hinge"])
@pytest.mark.parametrize("tolerance", [1e-6, 1e-2])
def test_same_bits_as_the_oracle(name, tolerance, dtype):
    """Small and large starts, per-layer rates, frozen parameters."""
    rng = np.random.default_rng(5)
    data, n = SETS[name], 40
    networks = rl.Networks(*rng.normal(size=(4, n)) * rng.choice([0.01, 1.0], n))
    hidden, output = rng.choice([0.1, 0.5, 1.2], (2, n))
    for freeze in ((), ("c",), ("b",)):
        options = {"freeze": freeze, "max_steps": 250, "gradient_tolerance": tolerance}
        with np.errstate(all="ignore"):
            finals = [
                train_one(start, data.x, data.target, h, o, number=NUMBER[dtype], **options)
                for start, h, o in zip(networks.stack().T, hidden, output, strict=True)
            ]
        for engine in ENGINES:
            trained = rl.train(
                networks, data, hidden_learning_rate=hidden, output_learning_rate=output,
                dtype=dtype, engine=engine, **options,
            )  # fmt: skip
            assert_same_bits(trained, finals)


NUMBERS = st.floats(-3, 3).map(lambda x: round(x, 3))


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6),
    st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    st.tuples(st.sampled_from([0.0, 1e-3, 0.3, 2.0]), st.sampled_from([1e-3, 0.3, 2.0])),
    st.sampled_from([(), ("c",), ("w",), ("v", "c"), ("b",)]),
)
@example([(1.0, 3.0)], (0.5, 0.5, 3.0, 0.0), (0.1, 0.1), ())  # at the edge
@example([(0.0, 0.0), (1.0, 1.0)], (0.0, 1.0, 0.0, 0.5), (0.3, 0.3), ())  # a saddle
def test_the_rule_is_the_oracles_at_any_state(samples, state, rates, freeze):
    """Eigenvalues and a solver of linear systems say what elimination says, both kinds of sums."""
    x, target = map(list, zip(*samples, strict=True))
    data = rl.TrainingSet(x, target)
    networks = rl.Networks(*state)
    here = rl.train(networks, data, 0.1, max_steps=0, freeze=freeze)
    loss, norm = here.loss[0], here.gradient_norm[0]
    expected = oracle.rests(state, samples, *rates, freeze, loss, norm)
    for summation in ("direct", "sorted"):
        options = TrainingOptions(learning_rate=1.0, freeze=freeze, summation=summation)
        of_layers = dict(
            zip(("hidden_learning_rate", "output_learning_rate"), np.array(rates)[:, None],
                strict=True)
        )  # fmt: skip
        lanes = evaluated(networks, data, of_layers, options)
        assert lanes.rest(np.arange(1)).tolist() == [expected]


def test_sorted_sums_rest_where_direct_sums_do(engine):
    starts = rl.Networks(*0.01 * np.random.default_rng(2).normal(size=(4, 300)))
    one, two = (
        rl.train(starts, SETS["noise"], 0.5, summation=summation, max_steps=2000, engine=engine)
        for summation in ("direct", "sorted")
    )
    assert counts(one) == counts(two)
    assert (one.steps_taken == two.steps_taken).mean() > 0.99


def test_a_hessian_beyond_the_range_is_no_place_to_rest(engine):
    network = rl.Networks(w=0.0, b=1.0, v=1e160, c=0.0)
    trained = rl.train(network, rl.TrainingSet.point(0.0, 1e160), 0.1, engine=engine)
    assert list(trained.outcome) == ["unstable"]


@pytest.mark.parametrize("summation", ["direct", "sorted"])
def test_a_dead_unit_rests_however_large_v_is(engine, summation):
    dead = rl.Networks(-1.0, -1.0, [1.0, 1e160, 1e300], 3.0)
    trained = rl.train(dead, POINT, 1.0, summation=summation, engine=engine)
    assert list(trained.outcome) == ["converged"] * 3
