import numpy as np
import pandas as pd
import pytest

import relulab as rl
from relulab import statistics
from relulab.outcome import OUTCOMES, UNITS
from relulab.statistics import outcome_rates, steps_to_converge, wilson_interval


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
        assert row.low <= row.share == row.count / 200 <= row.high


def test_parts_give_the_same_tables_as_the_whole(runs):
    parts = [runs.iloc[:57], runs.iloc[57:58], runs.iloc[58:]]
    for by in ([], ["learning_rate"], ["learning_rate", "draw"]):
        pd.testing.assert_frame_equal(outcome_rates(iter(parts), by), outcome_rates(runs, by))
        pd.testing.assert_frame_equal(
            steps_to_converge(iter(parts), by), steps_to_converge(runs, by)
        )


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
    assert steps_to_converge(runs.iloc[:0], ["learning_rate"]).empty


def test_unknown_column_is_named_with_those_that_exist(runs):
    with pytest.raises(rl.InputError, match=r"^by: expected columns among run, .*, got rate$"):
        outcome_rates(runs, ["rate"])


def test_missing_values_are_a_group_of_their_own(runs):
    rates = outcome_rates(iter([runs.iloc[:200], runs.iloc[200:]]), "death_step")
    assert rates["count"].sum() == len(runs)
    never = rates[rates["death_step"].isna()]
    assert never["count"].sum() == (runs["unit"] == "alive").sum() > 0


def test_groups_in_which_nothing_converged_are_listed(runs):
    table = steps_to_converge(runs, "learning_rate").set_index("learning_rate")
    assert list(table.index) == [0.01, 0.1, 3.0]
    assert table["n_converged"][3.0] == 0
    assert np.isnan(table["q50"][3.0])


def test_the_interval_is_exact_at_its_ends():
    assert wilson_interval(0, 2000)[0] == 0
    assert wilson_interval(2000, 2000)[1] == 1


@pytest.mark.parametrize(
    ("start", "call"),
    [
        ("by", lambda runs: outcome_rates(runs, "outcome")),
        ("by", lambda runs: outcome_rates(runs, ["draw", "draw"])),
        ("by", lambda runs: outcome_rates(runs, 5)),
        ("by", lambda runs: steps_to_converge(runs, "steps_taken")),
        ("confidence", lambda runs: outcome_rates(runs, confidence=95)),
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
        "excess_loss": [0.0, 2e-6, 1.0, 0.5, 0.5, 1e-7, np.nan, 1e-9],
        "outcome": ["converged", "converged", "unfinished", "converged", "unfinished",
                    "unfinished", "diverged", "converged"],
        "unit": ["alive", "alive", "alive", "died", "born_dead", "alive", "alive", "died"],
        "rate": [1, 1, 1, 1, 2, 2, 2, 2],
    }  # fmt: skip
    return pd.DataFrame(columns | changes)


def test_what_was_found():
    found = ["global", "local", "moving", "died", "born_dead", "global", "diverged", "global"]
    assert list(statistics.optimum(several())) == found
    assert list(statistics.optimum(several(), tolerance=0))[:2] == ["global", "local"]
    assert list(statistics.optimum(several(), tolerance=1e-5))[1] == "global"


def test_rates_of_what_was_found():
    rates = statistics.optimum_rates(several(), "rate").set_index(["rate", "optimum"])
    assert rates["count"].sum() == 8
    assert rates.loc[(2, "global"), "count"] == 2
    assert rates.loc[(2, "global"), "share"] == 0.5
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
        with pytest.raises(rl.InputError, match="runs: expected a DataFrame or several, got"):
            function(wrong)
