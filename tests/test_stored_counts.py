"""Counts that are stored beside the runs: tables are the same, and the runs are not read."""

from dataclasses import replace
from functools import partial

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal

import relulab as rl
from relulab import statistics
from relulab.sweeps import schema
from relulab.sweeps.execution import run_sweeps
from relulab.sweeps.parquet import DamagedFileError, StoredTable, write_table

PLAIN = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0),
    w=rl.Normal(0, 1),
    v=rl.Normal(0, 1),
    learning_rate=[0.1, 0.5, 2.5],
    draws=400,
    max_steps=25,
)
WITH_MOMENTUM = replace(
    PLAIN, learning_rate=0.2, optimizer=rl.SGD(momentum=[0.0, 0.5]), dtype="float32"
)
COLUMNS = ["learning_rate", "momentum", "steps_taken", "death_step", "outcome", "unit"]
TABLES = {
    "outcomes": statistics.outcome_rates,
    "units": partial(statistics.rates, column="unit"),
    "steps": statistics.steps_to_converge,
    "survival": statistics.survival,
    "summary": statistics.summary,
}


def stored(folder, **sweeps):
    """Return the results of sweeps in several parts."""
    results = rl.Results(folder)
    run_sweeps(sweeps, results, shard_size=700, engine="numpy", progress=False)
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("counts"), plain=PLAIN, heavy=WITH_MOMENTUM)


@pytest.fixture
def no_runs_read(monkeypatch):
    """Let all reading of runs fail."""
    monkeypatch.setattr(StoredTable, "read", lambda *_: pytest.fail("runs were read"))


@pytest.mark.parametrize("by", ["learning_rate", "sweep", ["sweep", "momentum", "w0", "draw"], ()])
@pytest.mark.parametrize("table", TABLES)
def test_a_table_from_counts_is_that_of_the_runs(results, table, by):
    assert_frame_equal(TABLES[table](results, by=by), TABLES[table](results.load(), by=by))


@pytest.mark.parametrize("by", ["learning_rate", ["sweep", "momentum"], ["b0", "c0", "period"]])
@pytest.mark.parametrize("table", TABLES)
def test_no_runs_are_read_for_a_table(results, table, by, no_runs_read):
    assert len(TABLES[table](results, by=by))


def test_no_runs_are_read_for_several_tables(results, no_runs_read):
    made = statistics.in_one_pass(
        results.frames(COLUMNS),
        *(partial(table, by=["sweep", "learning_rate"]) for table in TABLES.values()),
    )
    alone = [table(results, by=["sweep", "learning_rate"]) for table in TABLES.values()]
    for one, other in zip(made, alone, strict=True):
        assert_frame_equal(one, other)


def test_frames_beside_counts_are_the_runs(results):
    def gathered(frames):
        return pd.concat(frames, ignore_index=True)

    rates, runs = statistics.in_one_pass(results.frames(COLUMNS), TABLES["outcomes"], gathered)
    assert_frame_equal(runs, results.load(COLUMNS))
    assert_frame_equal(rates, statistics.outcome_rates(runs))


def test_counts_are_few_and_complete(results):
    for file in results.part_files():
        opened = StoredTable.open(file)
        counts = opened.extract()
        assert 4 * counts.num_rows <= opened.n_rows
        assert sum(counts["count"].to_pylist()) == opened.n_rows


def test_other_readers_see_the_runs_alone(results):
    runs, folder = results.load(), results.folder / "runs"
    steps = int(runs["steps_taken"].sum())
    assert len(pd.read_parquet(folder)) == len(runs)
    for file in results.part_files():
        opened = StoredTable.open(file)
        assert pl.read_parquet(file).shape == (opened.n_rows, len(opened.schema))
    [(n, total)] = duckdb.sql(
        f"select count(*), sum(steps_taken) from '{folder.as_posix()}/*/*.parquet'"
    ).fetchall()
    assert (n, total) == (len(runs), steps)


@pytest.mark.parametrize(
    "sweep",
    [
        replace(PLAIN, w=np.linspace(-1, 1, 900), v=1.0, learning_rate=0.1, draws=None),
        replace(PLAIN, max_steps=5_000, gradient_tolerance=1e-12, draws=10),
    ],
    ids=["a point of the grid for each run", "a number of steps for each run"],
)
def test_where_runs_differ_they_are_read(tmp_path, sweep):
    results = stored(tmp_path, runs=sweep)
    assert [StoredTable.open(file).extract() for file in results.part_files()].count(None)
    assert_frame_equal(
        statistics.outcome_rates(results, "w0"), statistics.outcome_rates(results.load(), "w0")
    )


def test_a_part_without_counts_is_read(results, tmp_path):
    again = stored(tmp_path, plain=PLAIN)
    for file in again.part_files():  # as an earlier version wrote it
        before = StoredTable.open(file)
        table = before.read(None, schema.COLUMNS)
        write_table(tmp_path, file, table, before.about, schema.COLUMNS)
    expected = statistics.summary(results.frames(sweep="plain"), "learning_rate")
    assert_frame_equal(statistics.summary(again, "learning_rate"), expected)


def test_counts_get_the_columns_of_a_new_sweep(tmp_path, monkeypatch):
    stored(tmp_path, plain=PLAIN)
    results = stored(tmp_path, plain=PLAIN, heavy=WITH_MOMENTUM)
    expected = statistics.survival(results.load(), ["sweep", "momentum"])
    monkeypatch.setattr(StoredTable, "read", lambda *_: pytest.fail("runs were read"))
    assert_frame_equal(statistics.survival(results, ["sweep", "momentum"]), expected)


def damage(file):
    """Change one byte in the middle of the counts of a part."""
    place = StoredTable.open(file)._extract
    content = bytearray(file.read_bytes())
    content[place["start"] + place["size"] // 2] ^= 1
    file.write_bytes(content)


def test_damaged_counts_are_told_in_a_line_and_mended(tmp_path, capsys):
    results = stored(tmp_path, plain=PLAIN)
    expected = statistics.outcome_rates(results, "learning_rate")
    damage(results.part_files()[0])
    with pytest.raises(rl.InputError, match=r"got a damaged one \(the digest of its extract"):
        statistics.outcome_rates(results, "learning_rate")
    stored(tmp_path, plain=PLAIN)
    assert "damaged" in capsys.readouterr().err
    assert_frame_equal(statistics.outcome_rates(results, "learning_rate"), expected)


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ([1, 2], "its counts are not those of its runs"),
        ([-1, 701], "its counts are not those of its runs"),
        ([1.0, 699.0], "its counts are not those of its runs"),
        ([2**62 + 175] * 4, "its counts are not those of its runs"),  # modulo 2**64 they are
        ([1] * 2000, "its extract is larger than the table"),
        (["1"], "its extract is larger than the table"),  # texts may take any memory
    ],
)
def test_counts_of_other_runs_are_refused(tmp_path, counts, why):
    results = stored(tmp_path, plain=PLAIN)
    file = results.part_files()[0]
    before = StoredTable.open(file)
    table = before.read(None, schema.COLUMNS)
    few = table.select(["outcome", "unit"]).take([0] * len(counts))
    few = few.append_column("count", pa.array(counts))
    write_table(tmp_path, file, table, before.about, schema.COLUMNS, few)
    with pytest.raises(rl.InputError, match=why):
        statistics.outcome_rates(results)


@pytest.mark.parametrize(
    "place", [{"size": 2**50}, {"size": 2**70}, {"start": 2**70}, {"size": -1}]
)
def test_counts_that_are_said_to_be_elsewhere_are_refused(results, place):
    part = StoredTable.open(results.part_files()[0])
    elsewhere = replace(part, _extract={**part._extract, **place})
    with pytest.raises(DamagedFileError, match="its extract is not in it"):
        elsewhere.extract()
