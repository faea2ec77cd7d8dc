"""What the experiments' tables say beside their own theory: they compare what they claim to."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from test_experiment import load_script

import oracle
import relulab as rl
from relulab import statistics, theory
from relulab.experiment.options import QUICK

pytestmark = pytest.mark.slow  # statistics of our own

# From the binomial error of this many standard errors a table may differ from its theory.
Z = 4.5


@pytest.fixture(scope="module")
def tables_of(tmp_path_factory):
    """Return a function that runs a script, thinned, and returns its tables and its results.

    Its figures are drawn in files by the tests of the command line.
    """

    def tables(name, *options):
        experiment = load_script(name)
        folder = tmp_path_factory.mktemp(name)
        arguments = ["--quick", "--jobs", "1", "--results", str(folder), *options]
        assert rl.main(replace(experiment, report=lambda results: ()), arguments) == 0
        results = rl.Results(folder)
        told = {n: i for n, i in experiment.report(results) if not isinstance(i, Axes)}
        plt.close("all")
        return told, results

    return tables


def assert_within(fraction, expected, n):
    error = np.sqrt(expected * (1 - expected) / n)
    np.testing.assert_array_less(abs(fraction - expected), Z * error + 1e-12)


def test_schemes_are_born_dead_as_often_as_the_closed_form_says(tables_of):
    tables, results = tables_of("dead_relu", "--max-steps", "200")
    table = tables["schemes"]
    assert len(table) == 15
    assert_within(table["born_dead"], table["born_dead_theory"], table["n_runs"])
    # he_normal is there twice, from the same draws.
    for domain in ("[-1, 1]", "[0, 1]"):
        helped = results.load(["learning_rate", "draw", "unit"], f"nothing on {domain}")
        twice = helped[np.isclose(helped["learning_rate"], 0.1)].set_index("draw")["unit"]
        scheme = results.load(["draw", "unit"], f"he_normal on {domain}").set_index("draw")["unit"]
        assert len(twice) > 90
        assert (twice == scheme.loc[twice.index]).all()


def test_a_remedy_is_measured_by_the_best_fit_of_its_own_network(tables_of):
    tables, results = tables_of("dead_relu", "--max-steps", "3000", "--draws", "60")
    keys = ["domain", "remedy"]
    by_rate = tables["remedies_by_rate"].set_index(keys)
    x = np.linspace(-1, 1, 9)
    plain = rl.TrainingSet(x, abs(x))
    standardized = rl.TrainingSet(x / x.std(), (abs(x) - abs(x).mean()) / abs(x).std())
    for remedy, data, slope, unit in (
        ("nothing", plain, 0, 1),
        ("slope 0.3", plain, 0.3, 1),
        ("both standardized", standardized, 0, abs(x).var()),
    ):
        runs = results.load(["learning_rate", "loss", "unit"], f"{remedy} on [-1, 1]")
        excess = (runs["loss"] - rl.best_fit(data, slope).loss) * unit
        rows = by_rate.loc[("[-1, 1]", remedy)].set_index("learning_rate")
        for column, expected in (("best", excess <= 1e-4), ("inactive", runs["unit"] != "alive")):
            fraction = expected.groupby(runs["learning_rate"]).mean()
            np.testing.assert_allclose(rows[column], fraction)
            assert 0 < fraction.max() < 1
    # At its best rate no remedy does worse than at the common one, but for what counts as equal.
    rows = tables["remedies"].pivot(index=keys, columns="at", values="best")
    assert rows.shape == (28, 2)
    assert (rows["its own best rate"] >= rows["η = 0.1"] - 0.011).all()


def test_the_coast_is_measured_beside_a_smooth_border(tables_of):
    tables, results = tables_of("boundary", "--pairs", "30000", "--map-size", "60")
    found = tables["dimensions"].set_index(["border", "learning_rate"])
    pairs = tables["pairs"]
    assert (pairs["n_pairs"] == 30_000).all()
    coast, null, whole = found.index.unique("border")
    error = (found["high"] - found["low"]) / 3.92
    assert (abs(found["dimension"] - 1) < Z * error)[null].all()
    assert found.loc[(coast, 0.5), "low"] > found.loc[(null, 0.5), "high"]
    # The straight line at w0 = 0 is part of the whole plane's border.
    assert found.loc[(whole, 0.5), "dimension"] < found.loc[(coast, 0.5), "dimension"]
    # Each frame is within the one before, around an edge, down to the floats themselves.
    frames = tables["frames"]
    ends = frames[["w0_low", "w0_high", "v0_low", "v0_high"]].astype(float).to_numpy()
    inside = (ends[1:, ::2] > ends[:-1, ::2]) & (ends[1:, 1::2] < ends[:-1, 1::2])
    assert inside.all()
    assert ((frames["alive"] > 0.05) & (frames["alive"] < 0.95)).all()
    assert frames["boundary_entropy"].notna().all()
    last = np.unique(results.load(["w0"], "frame 12")["w0"])
    assert np.diff(last).min() < 5 * QUICK * np.spacing(last[0])
    assert tables["wada"]["fraction"].is_monotonic_increasing
    distances = results.load_record("distances")
    assert set(distances["fate"]) == {True, False}
    assert distances["distance"].max() <= 3


def test_nothing_settles_where_momentum_lets_no_network_rest(tables_of):
    tables, results = tables_of("momentum", "--draws", "50", "--max-steps", "5000")
    table = tables["map"]
    np.testing.assert_allclose(table["limit"], 2 * (1 + table["momentum"]))
    assert (table["largest_rate"] < table["limit"]).all()
    assert not (table["largest_rate_alive"] > table["largest_rate"]).any()
    runs = results.load(["learning_rate", "momentum", "outcome"], "map of one sample")
    beyond = runs[runs["learning_rate"] > 2 * (1 + runs["momentum"])]
    assert len(beyond) > 5
    assert not (beyond["outcome"] == "converged").any()

    # A finding is the difference of two fractions of the same starts.
    [row] = (
        tables["findings"]
        .query(
            "claim == 'momentum, std 0.01' and model == 'single ReLU' and target == 'target |x|'"
        )
        .itertuples()
    )
    died = {
        rule: results.load(
            ["learning_rate", "unit"], f"single ReLU, target |x|, std = 0.01, {rule}"
        ).query("learning_rate < 0.02")["unit"].eq("died")
        for rule in ("plain", "momentum 0.9")
    }  # fmt: skip
    assert (row.died_without, row.died_with) == (died["plain"].mean(), died["momentum 0.9"].mean())
    assert row.n_runs == 50
    assert row.low < row.difference == row.died_with - row.died_without < row.high


def test_small_targets_are_large_starts_of_a_single_unit():
    """What the text of ``momentum.py`` says; exactly, as all is scaled by a power of 2."""
    x = np.linspace(-2, 2, 9)
    w, how = np.linspace(-2, 2, 41), {"freeze": ("v", "c"), "gradient_tolerance": 0}
    how |= {"optimizer": rl.SGD(momentum=0.9), "max_steps": 2_000}
    small = rl.train(rl.Networks(w, 0, 1, 0), rl.TrainingSet(x, abs(x) / 16), 0.02, **how)
    large = rl.train(rl.Networks(16 * w, 0, 1, 0), rl.TrainingSet(x, abs(x)), 0.02, **how)
    np.testing.assert_array_equal(small.death_step, large.death_step)
    np.testing.assert_array_equal(16 * small.networks.w, large.networks.w)
    assert 0 < (small.death_step > 0).sum() < w.size


def test_the_first_step_kills_as_many_as_the_quadrature_says(tables_of):
    tables, _ = tables_of("death_by_learning_rate", "--max-steps", "2000")
    table = tables["death_rates"]
    first = table[table["theory"].notna()]
    assert len(first) == 3
    assert_within(first["fraction"], first["theory"], first["n_runs"])
    ever = table[table["theory"].isna()].set_index("learning_rate")["fraction"]
    assert (ever >= first.set_index("learning_rate")["fraction"]).all()
    slowly = theory.small_rate_death_probability(1, 3, std_w=1, std_b=1, std_v=1)
    assert_within(ever.iloc[0], slowly, first["n_runs"].iloc[0])


def test_c_of_dead_units_ends_where_the_closed_forms_say(tables_of):
    tables, results = tables_of("data_order", "--draws", "200")
    table = tables["where_c_ends"]
    known = table[table["theory"].notna()]
    assert set(known["order"]) == {"all samples", "one by one, in order"}
    # At the smallest rate a unit that dies late has not come to the end yet.
    np.testing.assert_allclose(known["low"], known["theory"], atol=1e-3)
    np.testing.assert_allclose(known["high"], known["theory"], atol=1e-3)
    fast = known[known["learning_rate"] > 0.01]
    np.testing.assert_allclose(fast["low"], fast["theory"], atol=1e-9)
    shuffled = table[table["theory"].isna()]
    assert (shuffled["low"] < 1).all()
    assert (shuffled["high"] > 1).all()
    one_by_one = results.load(["outcome", "steps_taken"]).query("sweep != 'all samples'")
    assert set(one_by_one["outcome"]) == {"diverged", "oscillating", "unfinished"}


def test_steps_that_are_no_whole_epochs_are_refused(tmp_path, capsys):
    experiment = load_script("data_order")
    assert rl.main(experiment, ["--max-steps", "100", "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: --max-steps: expected a multiple of the 3")


def test_no_network_settles_beyond_the_edge_and_periods_double_where_they_should(tables_of):
    tables, results = tables_of("edge_of_stability")
    edge = tables["sharpness_over_edge"]
    assert set(edge["alive"]) == {True, False}
    assert (edge["n_above"] == 0).all()
    assert edge.loc[edge["alive"], "largest_over_edge"].max() > 0.9
    periods = tables["periods"].set_index("k")
    period = periods["period"].fillna(1)
    assert (period[period.index < theory.FROZEN_C_SETTLES - 0.01] == 1).all()
    two = (period.index > 1.01) & (period.index < theory.FROZEN_C_PERIOD_4 - 0.01)
    assert (period[two] == 2).all()
    four = (period.index > theory.FROZEN_C_PERIOD_4 + 0.01) & (period.index < 1.28)
    assert (period[four] == 4).all()
    dies = periods["unit"] == "died"
    assert dies[dies.index > theory.FROZEN_C_DIES + 0.005].all()
    assert not dies[dies.index < theory.FROZEN_C_DIES - 0.005].any()
    catapults = results.load_record("catapults")
    starts = catapults[catapults["step"] == 0]
    sharp = theory.interpolation_sharpness(starts["w"], starts["b"], starts["v"], 1)
    assert (sharp > 8).all()
    ends = catapults[catapults["step"] == 40]
    flat = theory.interpolation_sharpness(ends["w"], ends["b"], ends["v"], 1)
    assert (flat < 8).all()
    np.testing.assert_allclose(ends["prediction"], 3, atol=1e-3)


def test_dead_units_need_the_steps_of_the_closed_form(tables_of):
    tables, _ = tables_of("learning_rate")
    steps = tables["steps_to_converge"].dropna()
    born = steps[(steps["unit"] == "born_dead")]
    assert len(born) > 10
    expected = theory.dead_unit_steps(0, 3, born["learning_rate"], 1e-6)
    for quantile in ("q10", "q50", "q90"):
        np.testing.assert_allclose(born[quantile].astype(float), expected, atol=1)


def test_starts_die_where_the_predicates_say(tables_of):
    _, results = tables_of("initialization_grid")
    for name, rate in {"small": 0.01, "large": 0.3}.items():
        runs = results.load(sweep=name)
        start = (runs["w0"], 0.0, runs["v0"], 0.0, 1.0, 3.0)
        at_once = theory.dies_in_one_step(*start, rate)
        np.testing.assert_array_equal(runs["death_step"].eq(1).fillna(False), at_once)
    small = results.load(sweep="small")
    slowly = theory.dies_under_gradient_flow(small["w0"], 0.0, small["v0"], 0.0, 1.0, 3.0)
    assert np.mean((small["unit"] == "died") == slowly) > 0.99


def test_a_fate_is_of_the_unit_and_of_divergence_alone(tables_of):
    tables, results = tables_of("summation_order", "--draws", "4000", "--max-steps", "100")
    words = pd.concat([tables["transitions"]["before"], tables["transitions"]["after"]])
    assert not words.str.contains("converged|oscillating|unfinished").any()
    counts = tables["transitions"].groupby("against")["count"].sum()
    assert (counts == 4_000).all()
    keys = ["learning_rate", "draw"]
    runs = results.load([*keys, "outcome", "unit"])
    runs["fate"] = runs["unit"].astype(str) + (runs["outcome"] == "diverged").astype(str)
    fates = runs.pivot(index=keys, columns="sweep", values="fate")
    changed = tables["changed"].query("what == 'fate'").set_index(["against", "learning_rate"])
    for against in ("reversed order", "float32"):
        expected = (fates[against] != fates["in order"]).groupby("learning_rate").sum()
        found = changed.loc[against, "count"]
        np.testing.assert_array_equal(found, expected.loc[found.index])
    assert (changed["count"] > 0).any()
    # At that many steps some are unfinished, which is no fate.
    shown = runs[(runs["sweep"] == "in order") & (runs["learning_rate"] == 1.1)]
    assert (shown["outcome"] == "unfinished").any()
    told = tables["transitions"].query("against == 'float32'")
    diverged = told.loc[told["before"].str.endswith("diverged"), "count"].sum()
    assert diverged == (shown["outcome"] == "diverged").sum() > 0


def test_recovering_the_teacher_is_counted_of_all_runs(tables_of):
    tables, _ = tables_of("teacher_student", "--draws", "20", "--max-steps", "500")
    rates = tables["optimum_rates"]
    fractions = rates.groupby(["scheme", "teacher_bias", "learning_rate"])["fraction"].sum()
    np.testing.assert_allclose(fractions, 1)
    assert set(rates["optimum"]) <= set(statistics.OPTIMA.categories)


def test_the_step_that_kills_carries_the_hinge_beyond_the_last_sample(tables_of):
    tables, results = tables_of("dying_relu")
    table = tables["fates"].set_index("run")
    trace = results.load_record("steps")
    x = [k / 2 for k in range(-4, 5)]
    for run, (b, rate) in enumerate([(0.6, 0.5), (0.6, 1.5), (0.6, 2.0), (-2.4, 0.5)]):
        end = oracle.train_one((1.0, b, 0.8, 0.0), x, [max(s, 0.0) for s in x], rate, rate)
        row = table.iloc[run]
        assert (row["outcome"], row["unit"]) == (end.outcome, end.unit)
        assert (row["steps_taken"], row["loss"]) == (end.steps_taken, end.loss)
        assert (-1 if pd.isna(row["death_step"]) else row["death_step"]) == end.death_step
        history = trace[trace["run"] == run].dropna()
        assert row["last_finite_step"] == history["step"].max()
        active = [sum(w * s + b > 0 for s in x) for w, b in history[["w", "b"]].to_numpy()]
        assert list(history["n_active"]) == active
    assert list(table["unit"]) == ["alive", "died", "alive", "born_dead"]
    assert list(table["outcome"]) == ["converged", "converged", "diverged", "converged"]
    died = table.loc["dies"]
    # w is positive on both sides of the step, so the unit is active to the right of its hinge.
    assert died["hinge_before"] < 2 < died["hinge_after"]
    assert died["largest_pre_activation_after"] <= 0 < died["largest_pre_activation_before"]
