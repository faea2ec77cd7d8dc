import tracemalloc
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest

import relulab as rl

POINT = rl.TrainingSet.point(1.0, 3.0)


def small_sweep(**changes):
    fields = {
        "data": POINT,
        "w": rl.Normal(0, 1),
        "b": 0.25,
        "v": rl.Uniform(-1, 1),
        "c": np.array([0.0, 1.0]),
        "learning_rate": np.geomspace(0.01, 2, 7),
        "draws": 30,
        "seed": 3,
        "max_steps": 300,
    }
    return rl.Sweep(**(fields | changes))


def test_length_is_the_product_of_axes_and_draws():
    assert len(small_sweep()) == 2 * 7 * 30


def test_runs_count_the_last_axis_fastest_and_draws_slowest():
    rows = small_sweep().parameters(0, 420)
    first = rows.iloc[:14]
    assert (first["draw"] == 0).all()
    assert list(first["c0"]) == [0.0] * 7 + [1.0] * 7
    np.testing.assert_array_equal(first["learning_rate"], np.tile(np.geomspace(0.01, 2, 7), 2))
    assert (rows["b0"] == 0.25).all()
    assert list(rows["draw"].unique()) == list(range(30))


def test_the_same_draws_at_every_point_of_the_grid():
    rows = small_sweep().parameters(0, 420)
    assert (rows.groupby("draw")[["w0", "v0"]].nunique() == 1).all(axis=None)
    assert rows["w0"].nunique() == 30


def test_any_slice_has_the_same_values():
    sweep = small_sweep(draws=9000)
    whole = sweep.parameters(0, len(sweep))
    for start, stop in ((0, 1), (57_000, 57_500), (13, 13), (125_999, 126_000)):
        pd.testing.assert_frame_equal(
            sweep.parameters(start, stop), whole.iloc[start:stop].reset_index(drop=True)
        )


def test_raising_draws_appends_runs_and_changes_none():
    few, many = small_sweep(), small_sweep(draws=5000)
    pd.testing.assert_frame_equal(few.parameters(0, 420), many.parameters(0, 420))


def test_a_draw_depends_on_the_seed_the_parameter_and_its_number_alone():
    a = small_sweep().parameters(0, 420)
    b = small_sweep(v=rl.Normal(5, 1), c=0.0).parameters(0, 210)
    np.testing.assert_array_equal(a["w0"].unique(), b["w0"].unique())
    assert not np.intersect1d(a["w0"], small_sweep(seed=4).parameters(0, 420)["w0"]).size


PINNED = {
    "w0": ["0x1.80f31a558f8e1p-4", "-0x1.8bff1f2117046p-2"],
    "v0": ["-0x1.8e70279234934p-2", "-0x1.7f9eebaa69a34p-1"],
}


def test_drawn_values_are_these_forever():
    # Stored results can be extended only as long as NumPy"s generators keep their streams.
    rows = small_sweep().parameters(0, 15)
    assert [x.hex() for x in rows["w0"].unique()] == PINNED["w0"]
    assert [x.hex() for x in rows["v0"].unique()] == PINNED["v0"]


def test_a_billion_runs_cost_no_memory():
    tracemalloc.start()
    sweep = small_sweep(draws=10**9)
    assert len(sweep) == 14 * 10**9
    rows = sweep.parameters(len(sweep) - 3, len(sweep))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(rows["draw"]) == [10**9 - 1] * 3
    assert peak < 2e6


def test_any_shard_size_and_number_of_workers_gives_the_same_bits():
    sweep = small_sweep()
    whole = sweep.run()
    assert len(whole) == len(sweep)
    assert whole["outcome"].nunique() > 1
    for options in ({"shard_size": 1000}, {"shard_size": 37}, {"shard_size": 100, "n_jobs": 2}):
        pd.testing.assert_frame_equal(sweep.run(**options), whole, check_exact=True)


def test_the_sweep_equals_train():
    sweep = small_sweep(dtype="float32", freeze=("b",))
    rows = sweep.run()
    trained = rl.train(
        rl.Networks(*(rows[f"{p}0"] for p in "wbvc")),
        POINT,
        rows["learning_rate"],
        max_steps=300,
        dtype="float32",
        freeze=("b",),
    )
    np.testing.assert_array_equal(rows["loss"], trained.loss)
    assert rows["loss"].dtype == np.float32
    assert (rows["b"] == np.float32(0.25)).all()


def test_separate_rates_are_columns():
    sweep = small_sweep(
        learning_rate=None, hidden_learning_rate=[0.0, 0.1], output_learning_rate=0.2
    )
    rows = sweep.run()
    assert {"hidden_learning_rate", "output_learning_rate"} <= set(rows)
    still = rows[rows["hidden_learning_rate"] == 0]
    assert (still["w"] == still["w0"]).all()


def test_specification_tells_what_decides_the_bits_but_for_draws():
    sweep = small_sweep()
    assert sweep.specification() == replace(sweep, draws=31).specification()
    for change in (
        {"w": rl.Normal(0, 2)},
        {"w": rl.Uniform(0, 1)},
        {"b": 0.3},
        {"seed": 4},
        {"max_steps": 301},
        {"dtype": "float32"},
        {"freeze": ("c",)},
        {"data": rl.TrainingSet.point(1.0, 2.0)},
        {"learning_rate": 0.1},
        {"gradient_tolerance": 1e-7},
    ):
        assert sweep.specification() != replace(sweep, **change).specification(), change


BAD = {
    "draws: expected a whole number": {"draws": None},
    "draws: expected a whole": {"draws": 0},
    "draws: expected a whole number <=": {"draws": 10**30},
    "w: expected numbers, got None": {"w": None},
    "v: expected numbers": {"v": rl.Normal},
    "w: expected a distribution that is a dataclass": {
        "w": type("Other", (), {"sample": lambda self, rng, n: np.ones(n)})()
    },
    "learning_rate: expected values >= 0, drew": {"learning_rate": rl.Normal(0, 1)},
    "freeze: expected a collection": {"freeze": np.array("c")},
    "gradient_tolerance: expected a finite number": {"gradient_tolerance": 10**400},
    "draws: expected None": {"w": 1.0, "v": 1.0},
    "learning_rate: expected at least one value": {"learning_rate": []},
    "learning_rate: expected values >= 0": {"learning_rate": [0.1, -0.1]},
    "learning_rate: expected a value": {"learning_rate": None},
    "c: expected an axis of distinct": {"c": [1.0, 1.0]},
    "c: expected one dimension": {"c": [[1.0], [2.0]]},
    "c: expected numbers": {"c": "zero"},
    "b: expected finite": {"b": np.nan},
    "seed": {"seed": -1},
    "data": {"data": [1, 2]},
    "freeze": {"freeze": ("learning_rate",)},
    "dtype": {"dtype": float},
    "max_steps": {"max_steps": -1},
}


@pytest.mark.parametrize("start", BAD)
def test_bad_input_is_told_in_one_line(start):
    with pytest.raises(rl.InputError) as caught:
        small_sweep(**BAD[start])
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("start", "call"),
    [
        ("shard_size", lambda s: small_sweep(draws=10**15).run()),
        ("n_jobs", lambda s: s.run(n_jobs=0)),
        ("shard_size", lambda s: s.run(shard_size=0)),
        ("engine", lambda s: s.run(engine="gpu")),
        ("start, stop", lambda s: s.parameters(0, 421)),
    ],
)
def test_bad_arguments_of_methods(start, call):
    with pytest.raises(rl.InputError, match=f"^{start}: expected"):
        call(small_sweep())


def test_excess_loss_is_the_loss_above_the_best_networks():
    data = rl.TrainingSet.teacher(1, 0.25, 2, -1, n_samples=20)
    sweep = rl.Sweep(data=data, w=[0.5, 1.0, -1.0], v=1.0, learning_rate=0.1, max_steps=20_000)
    runs = sweep.run(shard_size=2)
    np.testing.assert_array_equal(runs["excess_loss"], runs["loss"] - rl.best_fit(data).loss)
    assert (runs["excess_loss"] > -1e-12).all()
    assert runs["excess_loss"].min() < 1e-10  # one of them finds the teacher
    assert "excess_loss" not in rl.Sweep(data=POINT, learning_rate=0.1).run()


def test_excess_loss_in_float32_is_above_the_best_on_the_rounded_samples():
    x = np.linspace(-1, 1, 10)
    data = rl.TrainingSet(x, 1e4 + 1e-4 * np.sin(9 * x))  # constant when rounded
    dead = rl.Sweep(
        data=data, w=-1.0, b=-5.0, c=float(np.float32(data.target[0])), learning_rate=0.5,
        dtype="float32",
    )  # fmt: skip
    assert list(dead.run()["excess_loss"]) == [0.0]


def test_a_joblib_backend_may_give_all_results_at_once():
    class AllAtOnce(joblib._parallel_backends.ThreadingBackend):
        supports_return_generator = False

    joblib.register_parallel_backend("all at once", AllAtOnce)
    with joblib.parallel_config(backend="all at once"):
        there = small_sweep().run(n_jobs=2, shard_size=100, engine="numpy")
    pd.testing.assert_frame_equal(there, small_sweep().run(), check_exact=True)


def test_progress_is_told_where_it_is_asked_for(capsys):
    small_sweep().run(shard_size=100)
    assert capsys.readouterr().err == ""
    small_sweep().run(shard_size=100, progress=True)
    assert "420/420" in capsys.readouterr().err


def test_what_a_caller_does_to_an_axis_later_changes_no_sweep():
    rates = np.array([0.01, 0.1])
    sweep = rl.Sweep(data=POINT, w=[1.0, 2.0], learning_rate=rates)
    before = sweep.run()
    rates *= 10
    pd.testing.assert_frame_equal(replace(sweep, max_steps=10_000).run(), before)


def test_a_negative_rate_that_is_drawn_late_is_refused():
    sweep = rl.Sweep(
        data=POINT, w=1.0, learning_rate=rl.Normal(0.4, 0.1), draws=200_000, max_steps=1
    )
    late = int(np.flatnonzero(sweep.parameters(0, 200_000)["learning_rate"] < 0)[0])
    assert late > 4096
    with pytest.raises(rl.InputError, match="learning_rate: expected values >= 0"):
        sweep.train(late - 1, late + 1)


def test_excess_loss_of_what_diverges_warns_of_nothing():
    data = rl.TrainingSet([-1.0, 0.0, 1.0, 2.0], [1e30, 3e30, 0.0, 2e30])
    sweep = rl.Sweep(data=data, w=1.0, v=[1.0, 2.0], learning_rate=3.0, dtype="float32")
    assert not (sweep.run()["outcome"] == "converged").any()


def plane(**changes):
    axes = {"w": np.linspace(-1, 5, 30), "v": np.linspace(-4, 4, 20), "learning_rate": 0.3}
    return rl.Sweep(**({"data": POINT} | axes | changes))


def test_a_zoom_is_the_sweep_of_a_box():
    zoomed = plane().zoom(w=(2, 3), v=(0.5, 0.75), n=11)
    assert zoomed.specification() == plane(
        w=np.linspace(2, 3, 11), v=np.linspace(0.5, 0.75, 11)
    ).specification()  # fmt: skip
    # What is not named stays, and a number becomes an axis.
    other = plane().zoom(learning_rate=(0.1, 0.2), momentum=(0, 0.5), n=3)
    assert other.axes["w"].size == 30
    np.testing.assert_array_equal(other.axes["learning_rate"], np.linspace(0.1, 0.2, 3))
    np.testing.assert_array_equal(other.axes["momentum"], [0, 0.25, 0.5])


def test_a_zoom_keeps_equal_ratios():
    rates = plane(learning_rate=np.geomspace(1e-3, 10, 9))
    zoomed = rates.zoom(learning_rate=(0.01, 1), n=5).axes["learning_rate"]
    np.testing.assert_array_equal(zoomed, rl.geomspace(0.01, 1, 5))
    with pytest.raises(rl.InputError, match="learning_rate: expected a finite number > 0, got 0"):
        rates.zoom(learning_rate=(0, 1))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_zoom_goes_down_to_the_spacing_of_floats(dtype):
    one = np.dtype(dtype).type(1)
    spacing = float(np.spacing(one))
    axis = plane(dtype=dtype).zoom(w=(1, 1 + 7 * spacing), n=500).axes["w"]
    np.testing.assert_array_equal(axis, 1 + spacing * np.arange(8))


def test_a_zoom_into_what_was_drawn_draws_the_rest():
    drawn = small_sweep()
    assert drawn.zoom(w=(0, 1), n=2).drawn == ("v",)
    assert drawn.zoom(w=(0, 1), v=(0, 1), n=2).draws is None


def test_a_zoom_into_the_decay_of_one_parameter():
    sweep = plane(optimizer=rl.SGD(weight_decay={"w": 0.1, "v": 0.2}))
    zoomed = sweep.zoom(weight_decay_v=(0, 1), n=3)
    assert zoomed.optimizer.weight_decay["w"] == 0.1
    np.testing.assert_array_equal(zoomed.axes["weight_decay_v"], [0, 0.5, 1])


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({}, "zoom: expected ranges, such as w=\\(0, 1\\), got none"),
        ({"w": 3}, "w: expected two ends"),
        ({"w": (1, 1)}, "w: expected the smaller end first"),
        ({"w": (0, np.inf)}, "w: expected finite values"),
        ({"w0": (0, 1)}, "zoom: expected one of w, b, v, c, learning_rate, negative_slope, mom"),
        ({"beta1": (0, 1)}, "zoom: expected one of"),  # of Adam
        ({"momentum": (0, 1)}, "momentum: expected values in"),
        ({"w": (0, 1), "n": 1}, "n: expected a whole number >= 2"),
    ],
)
def test_zooms_that_cannot_be(ranges, message):
    with pytest.raises(rl.InputError, match=message):
        plane().zoom(**ranges)


def test_runs_from_any_points_are_those_of_a_grid():
    sweep = plane()
    rows = sweep.train(0, 40)
    names = [*"wbvc", *(name for name in sweep.settings)]
    points = {name: rows[f"{name}0" if name in "wbvc" else name] for name in names}
    pd.testing.assert_frame_equal(sweep.train_at(points), rows)
    backwards = sweep.train_at({name: values[::-1] for name, values in points.items()})
    ends = ["w", "b", "v", "c", "outcome", "unit", "steps_taken"]
    pd.testing.assert_frame_equal(
        backwards[ends], rows[ends][::-1].reset_index(drop=True), check_categorical=False
    )


def test_points_of_a_setting_that_the_sweep_has_not():
    sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=0.5, v=0.3, learning_rate=0.1)
    runs = sweep.train_at({"momentum": [0.0, 0.5]}, engine="numpy")
    grid = rl.Sweep(
        data=rl.TrainingSet.point(1, 3), w=0.5, v=0.3, learning_rate=0.1,
        optimizer=rl.SGD(momentum=[0.0, 0.5]),
    )  # fmt: skip
    pd.testing.assert_frame_equal(runs, grid.train(0, 2, engine="numpy"))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({}, "points: expected values by name"),
        ({"w0": 1}, "points: expected one of w, b, v, c"),
        ({"b": [1, 2], "c": [1, 2, 3]}, "b: expected 1 or 3 values, got 2"),
        ({"b": np.nan}, "b: expected finite values"),
        ({"b": 1, "learning_rate": -1}, "learning_rate: expected values >= 0"),
    ],
)
def test_points_that_cannot_be_trained_are_refused(points, message):
    sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=0.5, v=0.3, learning_rate=0.1)
    with pytest.raises(rl.InputError, match=message):
        sweep.train_at(points)
    with pytest.raises(rl.InputError, match="points: expected values of w, too"):
        rl.Sweep(data=rl.TrainingSet.point(1, 3), w=[0.5, 1], learning_rate=0.1).train_at({"b": 1})
