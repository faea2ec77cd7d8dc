import tracemalloc
from fractions import Fraction
from math import prod, sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import relulab as rl
from relulab import statistics
from relulab.analysis.statistics import (
    outcome_rates,
    steps_to_converge,
    summary,
    survival,
    wilson_interval,
)
from relulab.model.outcome import OUTCOMES, UNITS


@pytest.fixture(scope="module")
def runs():
    normal = rl.Normal(0, 1)
    return rl.Sweep(
        data=rl.TrainingSet.point(1, 3), w=normal, b=normal, v=normal, draws=200,
        learning_rate=[0.01, 0.1, 3.0], max_steps=500,
    ).run()  # fmt: skip


def test_wilson_interval_published_values():
    # Brown, Cai & DasGupta 2001 and Newcombe 1998, table I, method 3.
    for count, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
                                (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)):  # fmt: skip
        found = wilson_interval(count, n)
        assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@pytest.mark.slow
@given(
    st.lists(st.floats() | st.sampled_from([0.3, 1, 7, 2e9]), min_size=1).map(np.array),
    st.integers(0, 30),
)
@example(np.array([0x7FF0_0000_0000_0001]).view(float), 0)  # a signaling NaN
@example(np.array([1, -1, np.inf]) * np.finfo(float).max, 1)
@example(np.array([1, 5e-324]) * np.finfo(np.float32).max, 0)
@example(np.array([3.4028235e38, -3.4028235e38, 1e-45, 0], np.float32), 2)
def test_cumulative_fractions_are_exact_where_they_are_listed(values, cut):
    runs = pd.DataFrame({"loss": values, "by": "a"})
    table = statistics.cumulative([runs[:cut], runs[cut:]], "loss", ["by"])
    values = values.astype(float)
    assert table["loss"].is_monotonic_increasing
    assert (table["n_runs"] == values.size).all()
    for row in table.itertuples():
        at_most = np.isfinite(values) & (values <= row.loss)
        assert row.fraction == np.count_nonzero(at_most) / values.size
    # Each has a step close above it.
    for value in values[np.isfinite(values)]:
        step = table["loss"][table["loss"] >= value].min()
        assert step - value <= max(abs(value) / 256, 5e-324)


@pytest.mark.parametrize("kind", ["float16", "float32", "Float32", "float64"])
@pytest.mark.parametrize("tolerance", [0.0, 1e-300, 1e-6, 0.1, 1e300])
def test_numbers_and_tolerances_beyond_the_range_of_a_column(kind, tolerance):
    dtype = np.dtype(kind.lower())
    limits = np.finfo(dtype)
    # The nearest to 0.1 is above it in float32, below it in float16.
    excess = np.array([0, limits.tiny, 0.1, limits.max, np.inf, np.nan], dtype)
    outcomes = ["converged"] * 5 + ["diverged"]
    runs = pd.DataFrame({"excess_loss": excess, "outcome": outcomes, "unit": "alive"})
    runs = runs.astype({"excess_loss": kind} if kind == "Float32" else {})
    found = statistics.optimum(runs, tolerance)
    expected = [
        "global" if value == 0 or Fraction(*value.as_integer_ratio()) <= tolerance else "local"
        for value in excess[:4]
    ]
    assert list(found) == [*expected, "local", "diverged"]
    assert statistics.optimum_rates(runs, tolerance=tolerance)["count"].sum() == 6
    table = statistics.cumulative(runs, "excess_loss")
    assert table["fraction"].iloc[-1] == 4 / 6


def test_cumulative_counts_missing_values_as_larger_than_all():
    runs = pd.DataFrame({"death_step": pd.array([3, None, 300, 1000], dtype="Int64")})
    table = statistics.cumulative(runs, "death_step")
    assert table["death_step"].tolist() == [3, 300, 1000]
    assert table["fraction"].tolist() == [0.25, 0.5, 0.75]


def test_wilson_interval_covers():
    p, n = 0.03, 400
    counts = np.random.default_rng(0).binomial(n, p, 20_000)
    low, high = wilson_interval(counts, n)
    assert ((low <= p) & (p <= high)).mean() == pytest.approx(0.95, abs=0.02)


def test_rates_count_every_run_once(runs):
    rates = outcome_rates(runs, ["learning_rate"])
    assert len(rates) == 3 * len(OUTCOMES.categories) * len(UNITS.categories)
    assert rates["count"].sum() == len(runs)
    assert (rates["n_runs"] == 200).all()
    for row in rates.itertuples():
        here = runs[
            (runs["learning_rate"] == row.learning_rate)
            & (runs["outcome"] == row.outcome)
            & (runs["unit"] == row.unit)
        ]
        assert row.count == len(here)
        assert row.low <= row.fraction == row.count / 200 <= row.high


def test_parts_give_the_same_tables_as_the_whole(runs):
    parts = [runs.iloc[:57], runs.iloc[57:58], runs.iloc[58:]]
    for by in ([], ["learning_rate"], ["learning_rate", "draw"]):
        for table in (outcome_rates, steps_to_converge, survival, summary):
            pd.testing.assert_frame_equal(table(iter(parts), by), table(runs, by))


def test_rates_of_the_values_of_any_column(runs):
    units = statistics.rates(runs, "unit", "learning_rate")
    by_outcome = outcome_rates(runs, "learning_rate")
    expected = by_outcome.groupby(["learning_rate", "unit"], observed=False)["count"].sum()
    assert units.set_index(["learning_rate", "unit"])["count"].tolist() == expected.tolist()
    assert units["unit"].dtype == UNITS
    low, high = wilson_interval(units["count"], 200)
    assert (units["low"].tolist(), units["high"].tolist()) == (low.tolist(), high.tolist())

    flagged = runs.assign(early=runs["death_step"].lt(2).fillna(False).astype(bool), late=False)
    early = statistics.rates(iter([flagged[:9], flagged[9:]]), "early", ["learning_rate"])
    true = early[early["early"]]
    assert true["count"].tolist() == (runs["death_step"] < 2).groupby(
        runs["learning_rate"]).sum().tolist()  # fmt: skip
    assert statistics.rates(flagged, "late")["count"].tolist() == [len(runs), 0]

    steps = statistics.rates(runs, "death_step")
    assert steps["n_runs"].iloc[0] == runs["death_step"].notna().sum()
    assert steps["count"].tolist() == runs["death_step"].value_counts().sort_index().tolist()
    assert statistics.rates(runs[:0], "unit")["count"].tolist() == [0, 0, 0]


def test_quantiles_of_steps(runs):
    table = steps_to_converge(runs, ["learning_rate"], quantiles=(0.25, 0.5)).set_index(
        "learning_rate"
    )
    for rate, group in runs[runs["outcome"] == "converged"].groupby("learning_rate"):
        steps = group["steps_taken"].to_numpy()
        assert table["n_converged"][rate] == len(steps)
        for q, name in ((0.25, "q25"), (0.5, "q50")):
            assert table[name][rate] == np.quantile(steps, q, method="inverted_cdf")


def test_tables_of_no_runs_are_empty(runs):
    assert (outcome_rates(runs.iloc[:0])["count"] == 0).all()
    for table in (outcome_rates, steps_to_converge, survival, summary):
        assert table(runs.iloc[:0], ["learning_rate"]).empty


def test_without_columns_no_runs_are_a_group_of_none(runs):
    for table, count in ((steps_to_converge, "n_converged"), (survival, "n_at_risk"),
                         (summary, "n_runs")):  # fmt: skip
        (row,) = table(runs.iloc[:0]).to_dict("records")
        assert row[count] == 0
    assert summary(runs.iloc[:0])["died"].isna().all()


def test_unknown_column_is_named_with_those_that_exist(runs):
    with pytest.raises(rl.InputError, match=r"^by: expected columns among run, .*, got rate$"):
        outcome_rates(runs, ["rate"])


@pytest.mark.parametrize("table", [outcome_rates, steps_to_converge, survival, summary])
def test_what_is_no_table_of_runs_lacks_a_column(table, runs):
    with pytest.raises(
        rl.InputError, match=r"^runs: expected the columns .*outcome.*; no outcome$"
    ):
        table(runs.drop(columns="outcome"), ["draw"])


def test_missing_values_are_a_group_of_their_own(runs):
    rates = outcome_rates(iter([runs.iloc[:200], runs.iloc[200:]]), "death_step")
    assert rates["count"].sum() == len(runs)
    never = rates[rates["death_step"].isna()]
    assert never["count"].sum() == (runs["unit"] == "alive").sum() > 0


def test_groups_in_which_nothing_converged_are_listed(runs):
    table = steps_to_converge(runs, "learning_rate").set_index("learning_rate")
    assert list(table.index) == [0.01, 0.1, 3.0]
    assert table["n_converged"][3.0] == 0
    assert table["q50"].isna().tolist() == [False, False, True]


def test_the_interval_is_exact_at_its_ends():
    assert wilson_interval(0, 2000)[0] == 0
    assert wilson_interval(2000, 2000)[1] == 1
    # As numerous as float64 can count, and a fraction too small to be squared.
    assert wilson_interval(5e307, 1e308) == (pytest.approx(0.5), pytest.approx(0.5))
    assert wilson_interval(1e-200, 1e-200) == (pytest.approx(0), 1)


@pytest.mark.parametrize(
    ("start", "call"),
    [
        ("by", lambda runs: outcome_rates(runs, "outcome")),
        ("by", lambda runs: outcome_rates(runs, ["draw", "draw"])),
        ("by", lambda runs: outcome_rates(runs, 5)),
        ("by", lambda runs: steps_to_converge(runs, "steps_taken")),
        ("by", lambda runs: outcome_rates(runs, "count")),
        ("by", lambda runs: statistics.rates(runs, "unit", "unit")),
        ("column", lambda runs: statistics.rates(runs, ["unit"])),
        ("runs", lambda runs: statistics.rates(runs, "nonsense")),
        ("by", lambda runs: survival(runs, "step")),
        ("by", lambda runs: survival(runs, "nonsense")),
        ("by", lambda runs: summary(runs, "unit")),
        ("by", lambda runs: summary(runs, "death_step")),
        ("confidence", lambda runs: outcome_rates(runs, confidence=95)),
        ("confidence", lambda runs: survival(runs, confidence=0)),
        ("tolerance", lambda runs: summary(runs, tolerance=-1)),
        ("quantiles", lambda runs: steps_to_converge(runs, quantiles=(1.5,))),
        ("quantiles", lambda runs: steps_to_converge(runs, quantiles=0.5)),
        ("runs", lambda runs: outcome_rates("x")),
    ],
)
def test_bad_input(start, call, runs):
    with pytest.raises(rl.InputError, match=f"^{start}: expected"):
        call(runs)


def several(**changes):
    columns = {
        "excess_loss": [0.0, 2e-6, 1.0, 0.5, 0.5, 1e-7, np.nan, 1e-9, 0.5, 0.0, 1.0],
        "outcome": ["converged", "converged", "unfinished", "converged", "unfinished",
                    "unfinished", "diverged", "converged", *["oscillating"] * 3],
        "unit": ["alive", "alive", "alive", "died", "born_dead", "alive", "alive", "died",
                 "alive", "alive", "died"],
        "rate": [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3],
    }  # fmt: skip
    return pd.DataFrame(columns | changes)


def test_what_was_found():
    found = ["global", "local", "moving", "died", "born_dead", "global", "diverged", "global",
             "oscillating", "global", "died"]  # fmt: skip
    assert list(statistics.optimum(several())) == found
    assert list(statistics.optimum(several(), tolerance=0))[:2] == ["global", "local"]
    assert list(statistics.optimum(several(), tolerance=1e-5))[1] == "global"


def test_rates_of_what_was_found():
    rates = statistics.optimum_rates(several(), "rate").set_index(["rate", "optimum"])
    assert rates["count"].sum() == 11
    assert rates.loc[(2, "global"), "count"] == 2
    assert rates.loc[(2, "global"), "fraction"] == 0.5
    assert rates.loc[(1, "diverged"), "count"] == 0
    parts = [several().iloc[:3], several().iloc[3:]]
    again = statistics.optimum_rates(iter(parts), "rate").set_index(["rate", "optimum"])
    pd.testing.assert_frame_equal(rates, again)


def test_runs_on_one_sample_have_no_excess_loss(runs):
    with pytest.raises(rl.InputError, match="excess_loss, outcome, unit, which runs on several"):
        statistics.optimum_rates(runs)
    with pytest.raises(rl.InputError, match="tolerance: expected a number >= 0, got -1"):
        statistics.optimum(several(), tolerance=-1)


@pytest.mark.parametrize("wrong", [None, 3, [3]])
def test_what_is_not_a_table_of_runs(wrong):
    for function in (statistics.outcome_rates, statistics.optimum_rates):
        with pytest.raises(
            rl.InputError, match="runs: expected a DataFrame, several of them, or Res"
        ):
            function(wrong)


# --- survival


def watched(ends, outcome="unfinished"):
    """Return runs of (last step that was seen, whether the unit died there)."""
    return pd.DataFrame(
        {
            "death_step": pd.array([step if died else None for step, died in ends], "Int64"),
            "outcome": outcome,
            "steps_taken": [step for step, _ in ends],
        }
    )


def test_survival_of_published_data():
    # Remission under 6-MP (Gehan 1965), with the standard errors that textbooks print.
    relapsed = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    seen = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    runs = watched([(t, True) for t in relapsed] + [(t, False) for t in seen])
    table = survival(runs).set_index("step")
    assert table.index.tolist() == sorted({0, *relapsed, *seen})
    assert table["n_at_risk"][[0, 6, 7, 10, 13, 22, 35]].tolist() == [21, 21, 17, 15, 12, 7, 1]
    for step, fraction, error in ((6, 0.8571, 0.0764), (7, 0.8067, 0.0869), (10, 0.7529, 0.0963),
                               (13, 0.6902, 0.1068), (16, 0.6275, 0.1141),
                               (22, 0.5378, 0.1282), (23, 0.4482, 0.1346)):  # fmt: skip
        row = table.loc[step]
        assert row["survival"] == pytest.approx(fraction, abs=5e-5)
        interval = wilson_interval(fraction * (n := fraction * (1 - fraction) / error**2), n)
        assert (row["low"], row["high"]) == (
            pytest.approx(interval[0], abs=5e-4),
            pytest.approx(interval[1], abs=5e-4),
        )
    assert table["survival"][35] == table["survival"][23]


def test_survival_of_a_hand_example():
    runs = pd.concat(
        [
            watched([(0, True), (2, True), (2, True), (7, False), (9, True)]),
            watched([(3, False)], "converged"),
            watched([(1, False)], "diverged"),
            watched([(7, False)], "oscillating"),
        ]
    )
    table = survival(runs)
    assert table["step"].tolist() == [0, 2, 7, 9]
    assert table["n_at_risk"].tolist() == [8, 7, 5, 4]
    assert table["n_died"].tolist() == [1, 2, 0, 1]
    assert table["n_censored"].tolist() == [0, 0, 1, 0]
    assert table["survival"].tolist() == pytest.approx([7 / 8, 5 / 8, 5 / 8, 15 / 32])
    # Up to the first censoring these are binomial fractions.
    low, high = wilson_interval([7, 5, 5], 8)
    assert table["low"][:3].tolist() == pytest.approx(low)
    assert table["high"][:3].tolist() == pytest.approx(high)


def test_survival_of_all_and_of_none_has_an_interval():
    alive = survival(watched([(5, False)] * 10))
    assert alive["step"].tolist() == [0, 5]
    assert (alive["survival"] == 1).all()
    assert (alive["high"] == 1).all()
    assert alive["low"].tolist() == pytest.approx([float(wilson_interval(10, 10)[0])] * 2)
    dead = survival(watched([(0, True)] * 4 + [(5, True)] * 6))
    assert dead["survival"].tolist() == [0.6, 0]
    assert dead["low"].tolist() == pytest.approx([float(wilson_interval(6, 10)[0]), 0])
    assert dead["high"][1] == pytest.approx(float(wilson_interval(0, 10)[1]))


def kaplan_meier(runs):
    """Return the rows that ``survival`` should give, in exact fractions, run by run."""

    def end(run):
        if run.death_step is not pd.NA:
            return run.death_step, "died"
        if run.outcome == "unfinished":
            return run.steps_taken, "censored"
        return float("inf"), "never"

    ends = [end(run) for run in runs.itertuples()]
    rows = []
    for k in sorted({0, *(step for step, why in ends if why != "never")}):
        at_risk = {t: sum(step >= t for step, _ in ends) for t in range(k + 1)}
        died = {t: sum(e == (t, "died") for e in ends) for t in range(k + 1)}
        steps = [t for t in died if died[t]]
        fraction = prod((1 - Fraction(died[t], at_risk[t]) for t in steps), start=Fraction(1))
        before = prod(
            (1 - Fraction(died[t], at_risk[t]) for t in steps if t < k), start=Fraction(1)
        )
        if fraction == 1:
            n = Fraction(at_risk[k])
        elif fraction == 0:
            n = at_risk[k] / before
        else:
            risks = (Fraction(died[t], at_risk[t] * (at_risk[t] - died[t])) for t in steps)
            n = (1 - fraction) / (fraction * sum(risks))
        z = 1.959963984540054
        s, n = float(fraction), float(n)
        half = z * sqrt(s * (1 - s) / n + z * z / (4 * n * n))
        low, high = ((s + z * z / (2 * n) + sign * half) / (1 + z * z / n) for sign in (-1, 1))
        censored = sum(e == (k, "censored") for e in ends)
        rows.append([k, at_risk[k], died[k], censored, s, low, high])
    return rows


RUN = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from(list(OUTCOMES.categories)),
    st.integers(0, 6),
    st.one_of(st.none(), st.integers(0, 6)),
)


@pytest.mark.slow
@settings(max_examples=40)  # most of the time goes into pandas
@given(st.lists(RUN, min_size=1, max_size=25), st.integers(0, 25))
def test_survival_is_that_of_kaplan_and_meier(rows, cut):
    runs = pd.DataFrame(rows, columns=["group", "outcome", "steps_taken", "death_step"])
    runs["death_step"] = runs["death_step"].astype("Int64")
    table = survival(iter([runs.iloc[:cut], runs.iloc[cut:]]), "group")
    assert sorted(set(runs["group"])) == table["group"].unique().tolist()
    for group, found in table.groupby("group"):
        expected = kaplan_meier(runs[runs["group"] == group])
        for row, right in zip(found.drop(columns="group").to_numpy(), expected, strict=True):
            assert row.tolist() == pytest.approx(right, abs=1e-9)


def test_the_interval_of_survival_covers():
    n_tables, n_runs, hazard = 2000, 60, 0.1
    rng = np.random.default_rng(0)
    death = rng.geometric(hazard, (n_tables, n_runs))
    last = rng.integers(1, 25, (n_tables, n_runs))
    runs = pd.DataFrame({"death_step": death.ravel(), "steps_taken": last.ravel(),
                         "table": np.repeat(np.arange(n_tables), n_runs)})  # fmt: skip
    runs["death_step"] = runs["death_step"].astype("Int64")
    runs["death_step"] = runs["death_step"].mask(runs["death_step"] > runs["steps_taken"])
    curves = survival(runs.assign(outcome="unfinished"), "table")
    for step in (1, 5, 12):
        row = curves[curves["step"] <= step].groupby("table").last()
        covered = (row["low"] <= (1 - hazard) ** step) & ((1 - hazard) ** step <= row["high"])
        assert covered.mean() == pytest.approx(0.95, abs=0.02)


def test_survival_starts_at_the_fraction_that_is_not_born_dead_and_ends_at_the_alive(runs):
    table = survival(runs, "learning_rate").set_index("learning_rate")
    for rate, group in runs.groupby("learning_rate"):
        curve = table.loc[[rate]]
        assert curve["step"].iloc[0] == 0
        assert curve["survival"].iloc[0] == pytest.approx((group["unit"] != "born_dead").mean())
        # All are censored after the last death, so the estimate is a plain fraction.
        assert curve["survival"].iloc[-1] == pytest.approx((group["unit"] == "alive").mean())


def test_survival_takes_death_steps_from_a_csv_file():
    runs = watched([(0, True), (3, True), (5, False)])
    as_floats = runs.astype({"death_step": "float64"})
    pd.testing.assert_frame_equal(survival(as_floats), survival(runs))


@pytest.mark.slow
@pytest.mark.parametrize("table", [survival, summary])
def test_memory_does_not_grow_with_the_runs(table):
    def peak(n_parts):
        rng = np.random.default_rng(0)
        parts = (
            pd.DataFrame(
                {
                    "death_step": pd.array(rng.integers(0, 300, 3000), "Int64"),
                    "steps_taken": rng.integers(0, 300, 3000),
                    "outcome": "converged",
                    "unit": "died",
                }
            )
            for _ in range(n_parts)
        )
        tracemalloc.start()
        table(parts)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1)
    assert peak(30) < 1.5 * peak(3)


# --- summary


def test_summary_is_the_other_tables_side_by_side(runs):
    table = summary(runs, "learning_rate").set_index("learning_rate")
    rates = outcome_rates(runs, "learning_rate")
    steps = steps_to_converge(runs, "learning_rate").set_index("learning_rate")
    assert (table["n_runs"] == 200).all()
    for label in ("outcome", "unit"):
        fractions = rates.pivot_table("fraction", "learning_rate", label, "sum", observed=False)
        for word in fractions:
            assert table[word].tolist() == pytest.approx(fractions[word].tolist())
    for q in ("q10", "q50", "q90"):
        assert table[f"steps_{q}"].tolist() == steps[q].tolist()
    died = runs[runs["unit"] == "died"].groupby("learning_rate")["death_step"]
    median = [np.quantile(d.astype(int), 0.5, method="inverted_cdf") for _, d in died]
    assert table["death_step_q50"].tolist() == median
    assert list(table) == ["n_runs", *OUTCOMES.categories, *UNITS.categories,
                           "steps_q10", "steps_q50", "steps_q90", "death_step_q50"]  # fmt: skip


def test_summary_tells_the_fraction_at_the_global_optimum():
    runs = several(steps_taken=5, death_step=pd.array([None] * 11, "Int64"))
    table = summary(runs, "rate").set_index("rate")
    assert table["global_optimum"].tolist() == pytest.approx([1 / 4, 2 / 4, 1 / 3])
    assert summary(runs, tolerance=1e-5)["global_optimum"].tolist() == [5 / 11]
    # Beside runs on one sample, where there is nothing to find.
    both = [runs, runs.drop(columns="excess_loss").assign(rate=0)]
    fractions = summary(iter(both), "rate")["global_optimum"]
    assert fractions.isna().tolist() == [True, False, False, False]
    assert fractions[1:].tolist() == table["global_optimum"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("table", [statistics.summary, statistics.survival])
def test_missing_and_many_death_steps_count_alike_in_parts_and_whole(n, table):
    """Where pandas 2 mixes up an index that has both missing values and more than 127 others."""
    rng = np.random.default_rng(0)
    died = rng.random(4 * n) < 0.6
    runs = pd.DataFrame(
        {
            "sweep": "a",
            "outcome": pd.Categorical(np.full(4 * n, "converged"), dtype=OUTCOMES),
            "unit": pd.Categorical(np.where(died, "died", "alive"), dtype=UNITS),
            "steps_taken": 3000,
            "death_step": pd.Series(rng.integers(1, 3000, 4 * n), dtype="Int64").mask(~died),
        }
    )
    parts = [runs[i : i + n] for i in range(0, 4 * n, n)]
    pd.testing.assert_frame_equal(table(parts, ["sweep"]), table(runs, ["sweep"]))


@pytest.mark.parametrize(
    "function",
    [
        statistics.outcome_rates,
        statistics.steps_to_converge,
        statistics.survival,
        statistics.summary,
        lambda runs, by: statistics.rates(runs, "unit", by),
        lambda runs, by: statistics.cumulative(runs, "loss", by),
    ],
)
def test_the_index_of_runs_is_not_looked_at(function, runs):
    by = ["learning_rate"]
    expected = function(runs, by)
    for names in (by, ["outcome", "unit"], ["loss", "learning_rate", "steps_taken"]):
        strange = runs.set_index(names, drop=False)
        strange.columns.name = names[0]
        before = strange.copy()
        pd.testing.assert_frame_equal(function(strange, by), expected)
        pd.testing.assert_frame_equal(
            function([strange.iloc[:50], strange.iloc[50:]], by), expected
        )
        pd.testing.assert_frame_equal(strange, before)
    found = statistics.rates(runs.set_index("unit", drop=False), "unit")
    pd.testing.assert_frame_equal(found, statistics.rates(runs, "unit"))


class Folder:
    """Something that yields tables, as a results folder does."""

    def __init__(self, frames):
        self.frames = frames

    def __iter__(self):
        return iter(self.frames)


def test_whatever_yields_tables_can_be_counted(runs):
    parts = Folder([runs[:100], runs[100:]])
    pd.testing.assert_frame_equal(outcome_rates(parts), outcome_rates(runs))
    assert outcome_rates(rl.relabel(parts, 1.0, batch_size=1))["count"].sum() == len(runs)
