import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relulab as rl
from relulab.model.outcome import OUTCOMES

POINT = rl.TrainingSet.point(1, 3)
LINE = rl.TrainingSet([-1.0, 0.0, 1.0, 2.0], [0.0, 0.5, 0.0, 1.5])


def trained(tolerance, data=LINE, max_steps=200, rate=(0.01, 0.1, 0.6, 2.2), **options):
    rng = np.random.default_rng(0)
    w, b, v, c = rng.normal(size=(4, 400))
    rates = np.resize(rate, 400)
    return rl.train(
        rl.Networks(w, b, v, c), data, rates, gradient_tolerance=tolerance, max_steps=max_steps,
        **options,
    ).to_frame()  # fmt: skip


def by_hand(**changes):
    columns = {
        "gradient_norm": [1e-8, 1e-5, 0.1, 1e-5, 1e-5, np.nan, 1e-7],
        "outcome": pd.Categorical(
            ["converged", "unfinished", "unfinished", "oscillating", "diverged", "diverged",
             "converged"], dtype=OUTCOMES),
        "period": pd.array([None, None, None, 2, None, None, None], "Int64"),
        "steps_taken": [3, 9, 9, 9, 4, 5, 6],
    }  # fmt: skip
    return pd.DataFrame(columns | changes)


def by_gradient(runs, tolerance):
    """Relabel runs as if they were trained with batches, of which the gradient alone decides."""
    return rl.relabel(runs, tolerance, batch_size=1)


def test_a_larger_tolerance_by_hand():
    runs = by_hand()
    before = runs.copy(deep=True)
    found = by_gradient(runs, 1e-5)
    assert found["outcome"].tolist() == [
        "converged", "converged", "unfinished", "converged", "diverged", "diverged", "converged",
    ]  # fmt: skip
    assert found["outcome"].dtype == OUTCOMES
    assert found["period"].isna().all()
    assert found["period"].dtype == "Int64"
    assert found["steps_taken"].tolist() == runs["steps_taken"].tolist()
    pd.testing.assert_frame_equal(runs, before)
    # An orbit beyond the tolerance keeps its period.
    assert by_gradient(runs, 1e-6)["period"].tolist() == before["period"].tolist()
    assert "period" not in by_gradient(runs.drop(columns="period"), 1e-5)


@pytest.mark.parametrize(
    ("tolerance", "options"),
    [
        (1e-3, {}),
        (1e-3, {"data": POINT}),
        (1e-3, {"dtype": "float32"}),
        (1e-3, {"summation": "sorted"}),
        (0.05, {"batch_size": 3, "max_steps": 203}),  # the last state is within an epoch
    ],
)
def test_what_converges_under_a_larger_tolerance_does_in_training(tolerance, options):
    runs, retrained = trained(1e-7, **options), trained(tolerance, **options)
    data = options.get("data", LINE)
    found = rl.relabel(runs, tolerance, data, batch_size=options.get("batch_size"))
    changed = (found["outcome"] == "converged") & (runs["outcome"] != "converged")
    assert changed.sum() >= 10
    there = retrained[found["outcome"] == "converged"]
    assert (there["outcome"] == "converged").all()
    assert (there["steps_taken"] <= found.loc[there.index, "steps_taken"]).all()
    # Nothing else changes, and what does was within the tolerance.
    assert (found.loc[changed, "gradient_norm"] <= tolerance).all()
    pd.testing.assert_frame_equal(found[~changed], runs[~changed])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_smaller_tolerance_that_is_possible_is_training_with_it(dtype):
    runs = trained(1e-3, dtype=dtype)
    with pytest.raises(rl.InputError) as error:
        rl.relabel(runs, 0)
    least = float(re.search(r"at least (\S+), got 0", str(error.value))[1])
    assert least == runs.loc[runs["outcome"] == "converged", "gradient_norm"].max() < 1e-3
    found = rl.relabel(runs, least)
    pd.testing.assert_frame_equal(found, trained(least, dtype=dtype))
    pd.testing.assert_frame_equal(found, runs)
    with pytest.raises(rl.InputError):
        rl.relabel(runs, least * (1 - 1e-6))


def test_a_smaller_tolerance_that_is_not_possible_is_told_with_the_reason():
    with pytest.raises(
        rl.InputError,
        match=r"^gradient_tolerance: expected at least 1e-07, got 1e-08, with which 1 run"
        r" would have continued, .* not stored; train them again with that tolerance$",
    ):
        rl.relabel(by_hand(), 1e-8)


def test_oscillating_runs_keep_their_orbit_or_are_within_the_tolerance():
    # w, b frozen on a dead unit: c flips between 4 and 2 at a rate of 2, for ever.
    network = rl.Networks(w=-1, b=0, v=0, c=4)
    runs = rl.train(network, POINT, 2.0, max_steps=10).to_frame()
    assert runs["outcome"].tolist() == ["oscillating"]
    pd.testing.assert_frame_equal(rl.relabel(runs, 0.5), runs)
    found = rl.relabel(runs, 1.0, POINT)
    assert found["outcome"].tolist() == ["converged"]
    assert found["period"].isna().all()


def test_float32_runs_are_judged_in_float32_as_in_training():
    # The gradient is c, and 0.001 rounds up.
    network = rl.Networks(w=-1, b=0, v=0, c=0.001)
    options = {"max_steps": 0, "dtype": "float32"}
    data = rl.TrainingSet.point(1, 0)
    runs = rl.train(network, data, 0.1, gradient_tolerance=1e-4, **options).to_frame()
    assert runs["outcome"].tolist() == ["unfinished"]
    assert runs["gradient_norm"].astype(float)[0] > 0.001
    retrained = rl.train(network, data, 0.1, gradient_tolerance=0.001, **options).to_frame()
    pd.testing.assert_frame_equal(rl.relabel(runs, 0.001, data), retrained)
    assert retrained["outcome"].tolist() == ["converged"]


@given(st.floats(1e-7, 10), st.floats(1e-7, 10))
def test_relabeling_twice_is_relabeling_once(one, other):
    runs = by_hand()
    first, last = sorted([one, other])
    twice = by_gradient(by_gradient(runs, first), last)
    pd.testing.assert_frame_equal(twice, by_gradient(runs, last))


def test_words_of_a_csv_file_become_categories():
    runs = by_hand()
    words = runs.assign(outcome=runs["outcome"].astype(str)).set_index(np.zeros(7, int))
    found = by_gradient(words, 1e-5)
    assert found["outcome"].dtype == OUTCOMES
    assert found["outcome"].tolist() == by_gradient(runs, 1e-5)["outcome"].tolist()


def test_several_tables_are_relabelled_one_by_one():
    parts = [by_hand().iloc[:2], by_hand().iloc[2:]]
    found = list(by_gradient(iter(parts), 1e-2))
    for frame, part in zip(found, parts, strict=True):
        pd.testing.assert_frame_equal(frame, by_gradient(part, 1e-2))
    with pytest.raises(rl.InputError, match="gradient_tolerance"):
        rl.relabel(iter(parts), -1)  # at once
    with pytest.raises(rl.InputError, match="expected DataFrame, got 3"):
        list(rl.relabel([3], 1e-2))


def chaotic(tolerance, **options):
    """Networks beyond the edge of stability: c frozen, k = 1.5 on (1, 3)."""
    v = np.sqrt(np.linspace(0.001, 1.58, 300) * 3 / np.sqrt(2))
    networks = rl.Networks(v / np.sqrt(2), v / np.sqrt(2), v, 0.0)
    options = {"freeze": ("c",), "max_steps": 500, **options}
    return rl.train(
        networks, POINT, 0.5 / np.sqrt(2), gradient_tolerance=tolerance, **options
    ).to_frame()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_state_within_the_tolerance_where_descent_does_not_rest_is_not_converged(dtype):
    runs = chaotic(1e-9, dtype=dtype)
    assert (runs["gradient_norm"] <= 1).sum() >= 20
    pd.testing.assert_frame_equal(rl.relabel(runs, 1, POINT, freeze=("c",)), runs)
    assert (by_gradient(runs, 1)["outcome"] == "converged").sum() >= 20


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_another_freeze_than_in_training_is_refused(dtype):
    """c trains or not: its eigenvalue decides which of these runs rest."""
    k = np.linspace(0.8, 0.9999, 50)
    start = rl.Networks(*rl.theory.balanced_start(1.0, 3.0, np.full(50, 0.9)), 0.1)
    options = {"freeze": ("c",), "max_steps": 50, "dtype": dtype}
    runs, retrained = (
        rl.train(start, POINT, k / 3 / np.sqrt(2), gradient_tolerance=t, **options).to_frame()
        for t in (1e-9, 1e-2)
    )
    found = rl.relabel(runs, 1e-2, POINT, freeze=("c",))
    assert found["outcome"].tolist() == retrained["outcome"].tolist()
    with pytest.raises(rl.InputError, match=r"^freeze: expected also c, which never moved in the"):
        rl.relabel(runs, 1e-2, POINT)
    with pytest.raises(rl.InputError, match=r"^freeze: expected parameters .*, got v, which moved"):
        rl.relabel(runs, 1e-2, POINT, freeze=("v", "c"))
    # As a folder stores them beside networks of float64.
    wide = runs.astype({p: float for p in ("w", "b", "v", "c")})
    assert rl.relabel(wide, 1e-2, POINT, freeze=("c",))["outcome"].tolist() == list(
        found["outcome"]
    )
    # Starts that are not known show nothing.
    rl.relabel(runs.drop(columns=["w0", "b0", "v0", "c0"]), 1e-2, POINT)


def test_what_cannot_move_may_be_frozen_or_not():
    """At x = 0 w has no gradient; where v is frozen at 0, neither have w and b."""
    data = rl.TrainingSet.point(0, 3)
    starts = rl.Networks(0.5, 1.0, [0.0, 0.1], [0.0, 1.0])
    for freeze in ((), ("v",), ("w", "v")):
        options = {"freeze": freeze, "max_steps": 60}
        runs = rl.train(starts, data, 0.1, **options, gradient_tolerance=1e-9).to_frame()
        for named in {freeze, (*freeze, "w")}:
            found = rl.relabel(runs, 0.2, data, freeze=named)
            assert found["outcome"].tolist() == ["converged"] * 2


def test_every_run_must_be_of_the_data():
    one, other = trained(1e-7), trained(1e-7, data=POINT)
    both = pd.concat([one, other], ignore_index=True)
    with pytest.raises(rl.InputError, match=r"^data: expected the training data of the runs, got "):
        rl.relabel(both, 1e-3, LINE)


def test_without_data_what_depends_on_them_is_refused():
    runs = chaotic(1e-9)
    pd.testing.assert_frame_equal(rl.relabel(runs, 1e-9), runs)
    with pytest.raises(rl.InputError, match=r"^data: expected the TrainingSet of the runs, got N"):
        rl.relabel(runs, 1)
    for missing in ("v", "loss", "learning_rate"):
        with pytest.raises(
            rl.InputError, match=r"^runs: expected the columns w, b, v, c, loss and"
        ):
            rl.relabel(runs.drop(columns=missing), 1, POINT)


def test_tables_in_which_some_have_rates_of_layers():
    runs = trained(1e-7)
    layers = trained(1e-7, rate=0.1).rename(columns={"learning_rate": "output_learning_rate"})
    both = pd.concat([runs, layers.assign(hidden_learning_rate=0.1)], ignore_index=True)
    found = rl.relabel(both, 1e-3, LINE)
    pd.testing.assert_series_equal(found["outcome"][:400], rl.relabel(runs, 1e-3, LINE)["outcome"])
    with pytest.raises(rl.InputError, match=r"^runs: expected a hidden_learning_rate or learning_"):
        rl.relabel(both.drop(columns="hidden_learning_rate"), 1e-3, LINE)


def test_other_data_than_the_runs_were_trained_on_are_refused():
    runs = trained(1e-7)
    with pytest.raises(rl.InputError, match=r"^data: expected the training data of the runs, got "):
        rl.relabel(runs, 1e-3, POINT)
    for column, wrong in (("loss", -1.0), ("loss", np.nan), ("learning_rate", -1.0)):
        with pytest.raises(rl.InputError, match=rf"^{column}|^output_{column}|^hidden_{column}"):
            rl.relabel(runs.assign(**{column: wrong}), 1e-3, LINE)


def test_unstable_runs_stay_so_or_are_refused():
    runs = rl.train(rl.Networks(1, 0.5, 2, 0), POINT, 1.0).to_frame()
    assert runs["outcome"].tolist() == ["unstable"]
    pd.testing.assert_frame_equal(rl.relabel(runs, 1, POINT), runs)
    with pytest.raises(
        rl.InputError, match=r"at least 0\.5, got 0\.0, with which 1 run would have"
    ):
        rl.relabel(runs.assign(gradient_norm=0.5), 0, POINT)


def test_a_tolerance_beyond_float32_is_larger_than_all():
    runs = trained(1e-7, dtype="float32", max_steps=3)
    found = rl.relabel(runs, 1e300, batch_size=4)
    assert set(found["outcome"]) <= {"converged", "diverged"}


def test_of_no_runs():
    assert rl.relabel(by_hand().iloc[:0], 1).empty


@pytest.mark.parametrize(
    ("message", "runs", "tolerance"),
    [
        ("gradient_tolerance: expected a number >= 0, got -1", by_hand(), -1),
        ("gradient_tolerance: expected a finite number, got nan", by_hand(), np.nan),
        ("gradient_tolerance: expected a finite number, got inf", by_hand(), np.inf),
        ("gradient_tolerance: expected a number, got '1'", by_hand(), "1"),
        ("runs: expected a DataFrame, several of them, or Results, got 3", 3, 1),
        ("runs: expected the columns .*; no outcome", by_hand().drop(columns="outcome"), 1),
        ("runs: .*; no gradient_norm", by_hand().drop(columns="gradient_norm"), 1),
        ("runs: expected numbers in gradient_norm, got", by_hand(gradient_norm="x"), 1),
        ("runs: expected outcomes among .*, got 'lost'", by_hand(outcome="lost"), 1),
        ("runs: expected outcomes among .*, got .*nan", by_hand(outcome=np.nan), 1),
        ("runs: expected a gradient_norm of every converged", by_hand(outcome="converged"), 1),
    ],
)
def test_bad_input(message, runs, tolerance):
    with pytest.raises(rl.InputError, match=f"^{message}") as error:
        rl.relabel(runs, tolerance)
    assert "\n" not in str(error.value)
