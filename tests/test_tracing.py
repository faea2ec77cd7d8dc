"""Traces of rows of a results table: they keep run, fate and settings, and lead to its end."""

import numpy as np
import pandas as pd
import pytest

import relulab as rl

POINT = rl.TrainingSet.point(1, 3)
SEVERAL = rl.TrainingSet([-1.0, 0.5, 2.0, 3.0], [1.0, 0.0, 2.0, -1.0])
NORMAL = rl.Normal(0, 1)


def runs_of(data, **options):
    starts = dict.fromkeys("wbv", NORMAL)
    rates = {} if "hidden_learning_rate" in options else {"learning_rate": np.geomspace(0.01, 8, 4)}
    sweep = rl.Sweep(data=data, **starts, draws=15, max_steps=120, **rates, **options)
    return sweep.run(engine="numpy").sample(frac=0.6, random_state=0)


HOW = {
    "plain": ({}, {}),
    "frozen": ({"freeze": ("c",)}, {"freeze": ("c",)}),
    "float32": ({"dtype": "float32"}, {"dtype": "float32"}),
    "leaky": ({"negative_slope": [0.0, 0.3]}, {}),
    "batches": ({"batch_size": 1, "shuffle_seed": 2}, {"batch_size": 1, "shuffle_seed": 2}),
    "two rates": ({"hidden_learning_rate": 0.1, "output_learning_rate": [0.2, 3.0]}, {}),
    "momentum": ({"optimizer": rl.SGD(momentum=[0.0, 0.9], weight_decay=0.1)}, {}),
    "Nesterov": (
        {"optimizer": rl.SGD(momentum=[0.5, 0.9], nesterov=True)},
        {"optimizer": rl.SGD(momentum=0.1, nesterov=True)},
    ),
    "decay by parameter": ({"optimizer": rl.SGD(weight_decay={"w": 0.1, "c": [0, 0.2]})}, {}),
    "Adam": ({"optimizer": rl.Adam(beta1=[0.5, 0.9])}, {"optimizer": rl.Adam()}),
}


@pytest.mark.parametrize("data", [POINT, SEVERAL], ids=["one sample", "several"])
@pytest.mark.parametrize("how", HOW)
def test_rows_are_traced_to_where_they_end(data, how):
    trained, traced = HOW[how]
    runs = runs_of(data, **trained)
    trace = rl.trace(runs, data, n_steps=120, **traced)
    assert list(trace["run"].unique()) == list(runs["run"])
    for row, (run, history) in zip(
        runs.itertuples(), trace.groupby("run", sort=False), strict=True
    ):
        assert run == row.run
        end = history[history["step"] == row.steps_taken].iloc[0]
        known = np.isfinite([row.w, row.b, row.v, row.c, row.loss]).all()
        if known and np.isfinite(end["loss"]):
            assert tuple(end[[*"wbvc"]]) == (row.w, row.b, row.v, row.c)
        assert set(zip(history["outcome"], history["unit"], strict=True)) == {
            (row.outcome, row.unit)
        }
    kept = [n for n in runs if n in ("learning_rate", "negative_slope", "momentum", "beta1")]
    for name in kept:
        expected = runs.set_index("run")[name].loc[trace["run"]].to_numpy()
        np.testing.assert_array_equal(trace[name], expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_active_samples_are_counted_one_by_one(dtype):
    rng = np.random.default_rng(0)
    x = np.repeat(rng.integers(-4, 5, 20) / 2, 2)  # some twice, in no order
    data = rl.TrainingSet(x, rng.standard_normal(x.size))
    w, b, v = rng.integers(-4, 5, (3, 60)) / 2  # with hinges on samples, and w = 0
    trace = rl.trace(rl.Networks(w, b, v, 0), data, 0.7, 30, dtype=np.dtype(dtype).name)
    for row in trace.itertuples():
        if np.isnan(row.loss):
            assert row.n_active is pd.NA
        else:
            one, other = dtype(row.w), dtype(row.b)
            assert row.n_active == sum(bool(one * dtype(at) + other > 0) for at in x)
    counts = trace["n_active"].dropna()
    assert counts.min() == 0
    assert counts.max() == x.size


def test_a_trace_of_several_sweeps_keeps_their_names():
    runs = pd.concat([runs_of(POINT).head(3).assign(sweep=name) for name in "ab"])
    trace = rl.trace(runs, POINT, n_steps=2)
    assert list(trace) == [
        "run", "step", *"wbvc", "loss", "prediction", "n_active", "sweep", "learning_rate",
        "outcome", "unit",
    ]  # fmt: skip
    assert trace.groupby(["sweep", "run"]).size().tolist() == [3] * 6


def test_rows_are_refused_that_were_trained_in_another_way():
    runs = runs_of(SEVERAL, optimizer=rl.SGD(momentum=0.5))
    run = runs["run"].iloc[0]
    for message, draw in {
        "networks: expected rows that were trained on this data with": lambda: rl.trace(
            runs, rl.TrainingSet([1, 2], [0, 1]), n_steps=120
        ),
        "networks: expected rows that were trained": lambda: rl.trace(
            runs, SEVERAL, n_steps=120, freeze=("w",)
        ),
        "networks: expected at least one row, got none": lambda: rl.trace(runs[:0], SEVERAL),
        "networks: expected the columns w0, b0": lambda: rl.trace(runs.drop(columns="w0"), SEVERAL),
        f"networks: expected each run once, got run {run} several": lambda: rl.trace(
            pd.concat([runs, runs[:1]]), SEVERAL
        ),
        "learning_rate: expected None beside rows that have one each": lambda: rl.trace(
            runs, SEVERAL, 0.1
        ),
        "optimizer: expected the one of the rows, which have momentum, got Adam": lambda: rl.trace(
            runs, SEVERAL, optimizer=rl.Adam()
        ),
    }.items():
        with pytest.raises(rl.InputError, match=f"^{message}"):
            draw()


def test_what_is_no_longer_finite_is_met_without_a_warning():
    """From the first such state on: predictions, gradients, sharpness."""
    trained = rl.train(rl.Networks(1e20, 0, 1e20, 0), SEVERAL, 1.0, divergence_loss=1e300)
    stack = [[np.nan, np.inf], [1, 1], [1, -np.inf], [0, np.nan]]
    ends = rl.Networks.from_stack(np.array(stack))
    for networks in (trained.networks, ends):
        found = [networks.predict([-1, 2]), networks.gradients([1.0], [1.0])]
        sharp = np.asarray(rl.sharpness(networks, SEVERAL), float)
    assert not np.isfinite(found[0]).any()
    assert not np.isfinite(found[1]).all(axis=0).any()
    assert not np.isfinite(sharp).any()
    trace = rl.trace(trained.to_frame(), SEVERAL, n_steps=9)
    assert trace["loss"].isna().any()
    assert trace["n_active"].isna().equals(trace["loss"].isna())
