"""The trainer: to the bit against a plain Python loop, to 50 digits, and its invariances."""

import json
import warnings
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

import relulab as rl
from oracle import ENGINES, NUMBER, assert_same_bits, train_one
from relulab.training import orbits
from relulab.training.numpy_engine import Lanes

DATA = Path(__file__).parent / "data"
POINT = rl.TrainingSet.point(1.0, 3.0)
SEVERAL = rl.TrainingSet([-2.0, 1.0, 2.0], [1.0, -1.0, 3.0])
PARAMETERS = ("w", "b", "v", "c")


COMPILED = pytest.param(
    "numba",
    marks=pytest.mark.skipif(find_spec("numba") is None, reason="Numba (extra fast) is missing"),
)
both_engines = pytest.mark.parametrize("engine", ["numpy", COMPILED])


def random_networks(n, seed=0, scale=1.0):
    return rl.Networks(*(scale * np.random.default_rng(seed).standard_normal((4, n))))


def rates(n, low, high, seed=1):
    return np.exp(np.random.default_rng(seed).uniform(np.log(low), np.log(high), n))


def oracle(networks, data, hidden, output, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # float32 overflow, on purpose
        return [
            train_one(start, data.x, data.target, h, o, **options)
            for start, h, o in zip(networks.stack().T.tolist(), hidden, output, strict=True)
        ]


def same_columns(a, b):
    for name in ("loss", "gradient_norm", "steps_taken", "death_step"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(a.networks.stack(a.loss.dtype), b.networks.stack(b.loss.dtype))
    assert list(a.outcome) == list(b.outcome)


def test_seed_text_bit_for_bit():
    seed = json.loads((DATA / "seed_trace.json").read_text())
    trace = rl.trace(
        rl.Networks(**seed["initial"]),
        rl.TrainingSet.point(seed["x"], seed["target"]),
        seed["learning_rate"],
        len(seed["iterations"]),
    )
    for k, row in enumerate(seed["iterations"]):
        exact = {name: float.fromhex(value) for name, value in row["exact"].items()}
        assert trace["loss"][k] == exact["cost"]
        assert trace["prediction"][k] == exact["prediction"]
        for name in PARAMETERS:
            assert trace[name][k + 1] == exact[name]
        assert f"{trace['loss'][k]:.4f}" == row["cost_printed"]
        assert f"{trace['prediction'][k]:.2f}" == row["prediction_printed"]
        assert str(trace["w"][k + 1]) == row["w_printed"]
        assert f"{trace['b'][k + 1]:.4f}" == row["b_printed"]
        assert f"{trace['v'][k + 1]:.2f}" == row["v_printed"] == row["c_label_printed"]


@both_engines
def test_train_agrees_with_trace_at_the_last_step(engine):
    trained = rl.train(rl.Networks(0.5, 0.2, 0.3, 0.1), POINT, 0.01, max_steps=10, engine=engine)
    assert trained.networks.w[0] == 0.5949862276409392
    assert trained.steps_taken[0] == 10
    assert trained.outcome[0] == "unfinished"


CASES = json.loads((DATA / "cases.json").read_text())["cases"]


@both_engines
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_cases_at_50_digits(case, engine):
    trained = rl.train(
        rl.Networks(*(case[f"{p}0"] for p in PARAMETERS)),
        rl.TrainingSet(case["x"], case["target"]),
        case["learning_rate"],
        max_steps=case["steps"],
        gradient_tolerance=0,
        engine=engine,
    )
    # The last state at 50 digits: parameters relatively, the loss with an absolute floor.
    for name in PARAMETERS:
        expected = float(case["final"][name])
        assert getattr(trained.networks, name)[0] == pytest.approx(expected, rel=1e-11, abs=1e-13)
    assert trained.loss[0] == pytest.approx(float(case["final"]["loss"]), rel=1e-9, abs=1e-20)
    assert trained.death_step[0] == (-1 if case["death_step"] is None else case["death_step"])
    assert trained.steps_taken[0] == case["steps"]


CONDITIONS = {
    "one sample": (POINT, 1000, {}, 1.0),
    "several samples": (SEVERAL, 600, {}, 1.0),
    "nine samples": (rl.TrainingSet(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9)), 150, {}, 1.0),
    "overflow": (SEVERAL, 300, {"divergence_loss": 1e300}, 1e80),
    "overflow at x=0": (rl.TrainingSet.point(0.0, 1.0), 500, {"divergence_loss": 1e300}, 1e150),
    "c frozen": (POINT, 500, {"freeze": ("c",)}, 1.0),
    "w and b frozen": (SEVERAL, 300, {"freeze": ("w", "b")}, 1.0),
    "all frozen": (SEVERAL, 50, {"freeze": PARAMETERS}, 1.0),
    "no step": (SEVERAL, 50, {"max_steps": 0}, 1.0),
    "loose": (SEVERAL, 300, {"gradient_tolerance": 0.3, "divergence_loss": 10.0}, 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_bits_of_the_oracle(condition, dtype):
    data, n, options, scale = CONDITIONS[condition]
    if dtype == "float32":
        scale = scale**0.12  # 1e150 -> 1e18
        if options.get("divergence_loss", 0) > 1e38:
            options = {**options, "divergence_loss": 1e38}
    options = {"max_steps": 400, **options}
    networks, hidden = random_networks(n, scale=scale), rates(n, 1e-3, 5)
    expected = oracle(networks, data, hidden, hidden, number=NUMBER[dtype], **options)
    for engine in ENGINES:
        trained = rl.train(networks, data, hidden, dtype=dtype, **options, engine=engine)
        assert_same_bits(trained, expected)


def test_different_rates_for_hidden_and_output():
    networks, hidden, output = random_networks(300), rates(300, 0.01, 1), rates(300, 0.01, 1, 2)
    expected = oracle(networks, SEVERAL, hidden, output, max_steps=200)
    for engine in ENGINES:
        trained = rl.train(
            networks,
            SEVERAL,
            hidden_learning_rate=hidden,
            output_learning_rate=output,
            max_steps=200,
            engine=engine,
        )
        assert_same_bits(trained, expected)
        only_hidden = rl.train(
            networks, SEVERAL, output, hidden_learning_rate=hidden, max_steps=200, engine=engine
        )
        same_columns(trained, only_hidden)


number = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-3, 3)


@settings(max_examples=200)
@given(
    start=st.tuples(number, number, number, number),
    samples=st.lists(st.tuples(number, number), min_size=1, max_size=4),
    rate=st.floats(0, 1e100) | st.floats(0, 3),
    max_steps=st.integers(0, 30),
)
def test_bits_of_the_oracle_on_any_numbers(start, samples, rate, max_steps):
    data = rl.TrainingSet(*zip(*samples, strict=True))
    ours = [
        rl.train(rl.Networks(*start), data, rate, max_steps=max_steps, engine=engine)
        for engine in ENGINES
    ]
    try:
        with np.errstate(over="raise", invalid="raise"):
            final = train_one([p + 0.0 for p in start], data.x.tolist(), data.target.tolist(), rate,
                              rate, max_steps=max_steps)  # fmt: skip
    except FloatingPointError:
        reject()  # the eigenvalues that tell whether it rests are of products beyond float64
    outcomes = {final.outcome, *(trained.outcome[0] for trained in ours)}
    # Of such products the engines say that it does not rest. Nothing of that is the oracle's.
    largest = max(map(abs, (*start, *chain.from_iterable(samples), rate)))
    assume(largest < 1e50 or not outcomes & {"converged", "unstable"})
    for trained in ours:
        assert_same_bits(trained, [final])


@pytest.mark.slow
@both_engines
def test_alone_or_among_many(engine):
    n = 300
    networks, rate = random_networks(n), rates(n, 0.003, 3)
    together = rl.train(networks, SEVERAL, rate, max_steps=1000, engine=engine)
    for i in range(0, n, 17):
        alone = rl.train(
            rl.Networks(*networks.stack()[:, i : i + 1]),
            SEVERAL,
            rate[i],
            max_steps=1000,
            engine=engine,
        )
        for name in PARAMETERS:
            assert getattr(alone.networks, name)[0] == getattr(together.networks, name)[i]
        assert alone.steps_taken[0] == together.steps_taken[i]
        assert alone.death_step[0] == together.death_step[i]


@pytest.mark.slow
def test_any_window_of_lanes_gives_the_same_bits(monkeypatch):
    networks, rate = random_networks(100), rates(100, 0.01, 3)
    whole = rl.train(networks, SEVERAL, rate, max_steps=200, engine="numpy")
    assert len(set(whole.steps_taken)) > 30  # lanes are taken over at many moments
    for window in (1, 3, 64):
        monkeypatch.setattr("relulab.training.numpy_engine.WINDOW", window)
        same_columns(rl.train(networks, SEVERAL, rate, max_steps=200, engine="numpy"), whole)


@pytest.mark.parametrize(("patience", "most_held"), [(0, 0.25), (3, 0.9), (10**6, 0.99)])
def test_however_long_lanes_are_held_the_bits_are_the_same(monkeypatch, patience, most_held):
    networks, rate = random_networks(300), rates(300, 0.01, 3)
    options = dict(max_steps=200, gradient_tolerance=1e-3, engine="numpy")
    expected = rl.train(networks, SEVERAL, rate, **options)
    monkeypatch.setattr("relulab.training.numpy_engine.MOST_PATIENCE", patience)
    monkeypatch.setattr("relulab.training.numpy_engine.MOST_HELD", most_held)
    for window in (40, 8192):
        monkeypatch.setattr("relulab.training.numpy_engine.WINDOW", window)
        same_columns(rl.train(networks, SEVERAL, rate, **options), expected)


def test_lanes_are_not_held_in_vain(monkeypatch):
    """Chaotic runs often have small gradients, and do not finish."""
    update, n_steps = Lanes.update, [0]

    def counted(self, *args, **kwargs):
        n_steps[0] += 1
        update(self, *args, **kwargs)

    monkeypatch.setattr(Lanes, "update", counted)
    generator = np.random.default_rng(5)
    data = rl.TrainingSet(*np.round(generator.normal(size=(2, 4)), 2))
    networks = rl.Networks(*generator.normal(size=(4, 60)))
    options = dict(freeze=("c",), max_steps=1500, gradient_tolerance=0.1, engine="numpy")
    rl.train(networks, data, 1.0, **options)
    assert 1500 < n_steps[0] < 1.02 * (1501 + orbits.FOLLOWED)


@both_engines
def test_order_of_networks_does_not_matter(engine):
    networks, rate = random_networks(500), rates(500, 0.01, 3)
    order = np.random.default_rng(5).permutation(500)
    straight = rl.train(networks, SEVERAL, rate, max_steps=500, engine=engine)
    shuffled = rl.train(rl.Networks(*networks.stack()[:, order]), SEVERAL, rate[order],
                        max_steps=500, engine=engine)  # fmt: skip
    np.testing.assert_array_equal(straight.loss[order], shuffled.loss)
    np.testing.assert_array_equal(straight.steps_taken[order], shuffled.steps_taken)


@both_engines
def test_every_outcome_and_unit_in_one_batch(engine):
    starts = {
        ("converged", "alive"): (1, 0.5, 1, 0, 0.1),
        ("converged", "born_dead"): (-1, 0.5, 0.7, 0, 0.1),
        ("converged", "died"): (0.2, 0.1, -1, 0, 0.1),
        ("diverged", "alive"): (1e20, 1, 1, 0, 0.1),
        ("diverged", "born_dead"): (-0.5, -0.5, 1, 0.5, 2.5),
        ("diverged", "died"): (0.2, 0.1, -1, 0, 2.5),
        ("unfinished", "alive"): (1, 0.5, 1, 0, 1e-6),
        ("unfinished", "born_dead"): (-1, 0.5, 0.7, 0, 1e-6),
        ("unfinished", "died"): (1e-9, 0.0, -1.0, 0.0, 1e-6),
    }
    *parameters, rate = zip(*starts.values(), strict=True)
    trained = rl.train(rl.Networks(*parameters), POINT, rate, max_steps=1000, engine=engine)
    assert list(zip(trained.outcome, trained.unit, strict=True)) == list(starts)


@both_engines
def test_pre_activation_exactly_zero_does_not_fire(engine):
    trained = rl.train(rl.Networks(w=-0.5, b=0.5, v=1, c=0), POINT, 0.1, engine=engine)
    assert trained.unit[0] == "born_dead"
    assert trained.death_step[0] == 0
    assert trained.networks.w[0] == -0.5
    assert trained.networks.v[0] == 1


@both_engines
def test_converged_at_the_start_takes_no_step(engine):
    trained = rl.train(rl.Networks(1, 0, 1, 2), POINT, 0.1, max_steps=0, engine=engine)
    assert trained.outcome[0] == "converged"
    assert trained.steps_taken[0] == 0
    assert trained.loss[0] == 0


@both_engines
def test_nan_is_never_counted_as_dead(engine):
    # THEORY: `~(z > 0).any()` says 85.9 % dead here; the truth is 49.8 %.
    n = 20_000
    trained = rl.train(random_networks(n), SEVERAL, 1.0, max_steps=1000, engine=engine)
    dead = np.mean(trained.unit != "alive")
    assert dead == pytest.approx(0.498, abs=4 * np.sqrt(0.25 / n) + 0.0005)


@both_engines
def test_a_pre_activation_of_minus_infinity_is_diverged_and_not_dead(engine):
    trained = rl.train(rl.Networks(-1e308, -1e308, 1, 0), POINT, 0.1, engine=engine)
    assert trained.outcome[0] == "diverged"
    assert trained.steps_taken[0] == 0
    assert trained.unit[0] == "alive"


@both_engines
def test_a_dead_unit_never_moves_again(engine):
    n = 2000
    networks = random_networks(n)
    trace = rl.trace(networks, SEVERAL, 0.3, 30)
    trained = rl.train(networks, SEVERAL, 0.3, max_steps=30, gradient_tolerance=0, engine=engine)
    assert (trained.death_step > 0).sum() > 100
    history = trace.pivot(index="step", columns="run", values="w")
    for run in np.flatnonzero(trained.death_step >= 0):
        assert history[run].iloc[trained.death_step[run] :].nunique() == 1


@both_engines
def test_invariant_w_minus_x_b(engine):
    x = 1.7
    networks = random_networks(1000)
    trained = rl.train(networks, rl.TrainingSet.point(x, 2.0), 0.1, engine=engine)
    before, after = networks.w - x * networks.b, trained.networks.w - x * trained.networks.b
    assert (trained.unit == "alive").sum() > 200
    np.testing.assert_allclose(after, before, rtol=1e-11, atol=1e-12)


def test_invariant_of_many_samples():
    # Of one step: the change of w*w + b*b - v*v is rate^2 (gw^2 + gb^2 - gv^2).
    networks, rate = random_networks(500), 0.1
    after = rl.train(networks, SEVERAL, rate, max_steps=1, gradient_tolerance=0).networks
    change = sum(
        sign * (getattr(after, p) ** 2 - getattr(networks, p) ** 2)
        for p, sign in zip("wbv", (1, 1, -1), strict=True)
    )
    steps = {p: getattr(after, p) - getattr(networks, p) for p in "wbv"}
    np.testing.assert_allclose(
        change, steps["w"] ** 2 + steps["b"] ** 2 - steps["v"] ** 2, rtol=1e-9, atol=1e-12
    )


def test_to_frame_has_the_columns_of_the_results_table():
    frame = rl.train(random_networks(5), POINT, 0.1).to_frame()
    columns = "run w0 b0 v0 c0 learning_rate w b v c loss gradient_norm steps_taken"
    assert list(frame) == [*columns.split(), "death_step", "period", "outcome", "unit"]
    assert frame["death_step"].isna().equals(frame["unit"] == "alive")


def test_trace_of_a_run_that_overflows_ends_in_nan():
    trace = rl.trace(rl.Networks(1e20, 0, 1e20, 0), SEVERAL, 1.0, 8)
    assert trace["loss"].isna().iloc[-1]
    assert trace.loc[trace["loss"].isna(), ["w", "b", "v", "c"]].isna().all(axis=None)


BAD = {
    "x": lambda: rl.TrainingSet([], []),
    "target": lambda: rl.TrainingSet([1.0, 2.0], [1.0]),
    "x: expected finite": lambda: rl.TrainingSet([np.inf], [1.0]),
    "x: expected numbers": lambda: rl.TrainingSet(["one"], [1.0]),
    "w: expected 1 or 3": lambda: rl.Networks([1, 2], [1, 2, 3], 0, 0),
    "v: expected finite": lambda: rl.Networks(1, 1, np.nan, 0),
    "learning_rate: expected values >= 0": lambda: rl.train(random_networks(2), POINT, -0.1),
    "learning_rate: expected finite": lambda: rl.train(random_networks(2), POINT, [0.1, np.nan]),
    "learning_rate: expected 1 or 2": lambda: rl.train(random_networks(2), POINT, [0.1] * 3),
    "learning_rate: expected a value": lambda: rl.train(random_networks(2), POINT),
    "learning_rate: expected none": lambda: rl.train(
        random_networks(2), POINT, 1, hidden_learning_rate=1, output_learning_rate=1
    ),
    "max_steps": lambda: rl.train(random_networks(2), POINT, 0.1, max_steps=-1),
    "max_steps: expected a whole": lambda: rl.train(random_networks(2), POINT, 0.1, max_steps=2.5),
    "gradient_tolerance": lambda: rl.train(random_networks(2), POINT, 0.1, gradient_tolerance=-1.0),
    "divergence_loss": lambda: rl.train(random_networks(2), POINT, 0.1, divergence_loss=np.inf),
    "dtype": lambda: rl.train(random_networks(2), POINT, 0.1, dtype="float16"),
    "engine": lambda: rl.train(random_networks(2), POINT, 0.1, engine="gpu"),
    "freeze: expected one of": lambda: rl.train(random_networks(2), POINT, 0.1, freeze=("d",)),
    "freeze: expected a collection": lambda: rl.train(random_networks(2), POINT, 0.1, freeze="c"),
    "n_steps": lambda: rl.trace(random_networks(2), POINT, 0.1, -3),
    "x: expected numbers, got [1000": lambda: rl.TrainingSet([10**400], [1.0]),
    "x: expected one dimension": lambda: random_networks(2).predict([[1, 2], [3, 4]]),
    "x: expected numbers, got 'x'": lambda: random_networks(2).predict("x"),
    "networks: expected Networks": lambda: rl.train((1, 2, 3, 4), POINT, 0.1),
    "data: expected TrainingSet": lambda: rl.trace(random_networks(1), [1, 2], 0.1),
    "max_steps: expected a whole number <=": lambda: rl.train(
        random_networks(1), POINT, 0.1, max_steps=10**30
    ),
    "divergence_loss: expected a number within": lambda: rl.train(
        random_networks(1), POINT, 0.1, dtype="float32", divergence_loss=1e300
    ),
    "networks: expected values within": lambda: rl.train(
        rl.Networks(1e300, 0, 0, 0), POINT, 0.1, dtype="float32"
    ),
}


@pytest.mark.parametrize("start", BAD)
def test_bad_input_is_told_in_one_line(start):
    with pytest.raises(rl.InputError) as caught:
        BAD[start]()
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [POINT, SEVERAL])
def test_an_update_takes_the_gradients_times_the_rate(data):
    start = rl.Networks(*np.random.default_rng(3).standard_normal((4, 50)))
    options = {"max_steps": 1, "gradient_tolerance": 0, "divergence_loss": 1e300}
    moved = start.stack() - rl.train(start, data, 0.125, **options).networks.stack()
    np.testing.assert_allclose(
        moved, 0.125 * start.gradients(data.x, data.target), rtol=1e-12, atol=1e-14
    )


def test_the_gradients_are_those_of_the_loss_and_relu_has_slope_0_at_0():
    rng = np.random.default_rng(4)
    start, step = rng.standard_normal((4, 30)), 1e-6

    def loss(stack):
        predicted = rl.Networks.from_stack(stack).predict(SEVERAL.x)
        return (0.5 * (predicted - SEVERAL.target) ** 2).mean(axis=1)

    found = rl.Networks.from_stack(start).gradients(SEVERAL.x, SEVERAL.target)
    for row, direction in zip(found, np.eye(4)[:, :, np.newaxis] * step, strict=True):
        slope = (loss(start + direction) - loss(start - direction)) / (2 * step)
        np.testing.assert_allclose(row, slope, atol=1e-7)
    at_hinge = rl.Networks(w=1, b=-2, v=3, c=0.5).gradients([2.0], [1.0])
    np.testing.assert_array_equal(at_hinge, [[0], [0], [0], [-0.5]])


@pytest.mark.parametrize("dtype", [np.float32, np.dtype("float32"), np.float32(1).dtype])
def test_numpys_types_stand_for_their_names(dtype):
    sweep = rl.Sweep(data=POINT, w=1, v=0.5, learning_rate=0.1, dtype=dtype)
    named = replace(sweep, dtype="float32")
    assert sweep.specification() == named.specification()
    assert json.dumps(sweep.specification())
    assert sweep.run()["w"].dtype == np.float32
    with pytest.raises(rl.InputError, match=r"^dtype: expected one of"):
        replace(sweep, dtype=np.float16)
