"""What is stored is what is read: by us, and by whoever opens the files without us."""

import enum
import itertools
import os
import stat
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import relulab as rl
from relulab import statistics
from relulab.model.outcome import OUTCOMES
from relulab.sweeps.execution import run_sweeps
from relulab.sweeps.names import slug
from relulab.sweeps.parquet import StoredTable, write_table
from relulab.sweeps.schema import COLUMNS, unknown_words, with_known_words
from relulab.validation import named_as_options

POINT = rl.TrainingSet.point(1, 3)
THREE = rl.TrainingSet([-1.0, 0.5, 2.0], [2.0, -1.0, 3.0])
DRAWN = {"w": rl.Normal(0, 1), "b": rl.Normal(0, 1), "v": rl.Normal(0, 1)}

# Of every kind: samples, draws, axes, dtypes, rates of the layers. Some runs of each diverge.
KINDS = {
    "one sample": rl.Sweep(data=POINT, **DRAWN, draws=7, learning_rate=[0.1, 3], max_steps=2_000),
    "three samples": rl.Sweep(
        data=THREE, **DRAWN, draws=5, learning_rate=[0.1, 2.5, 4], max_steps=2_000
    ),
    "float32": rl.Sweep(
        data=THREE, w=[0.3, -1.1], v=[1.7, 0.1, 9], learning_rate=[0.1, 3.0],
        max_steps=2_000, dtype="float32",
    ),
    "layers": rl.Sweep(
        data=POINT, w=1.1, v=[0.3, 2.0], hidden_learning_rate=[0.1, 3],
        output_learning_rate=0.7, max_steps=50,
    ),
    "hidden": rl.Sweep(
        data=THREE, w=rl.Uniform(-1, 1), draws=3, learning_rate=rl.LogUniform(0.01, 1),
        hidden_learning_rate=0.1, dtype="float32", max_steps=50, batch_size=1,
    ),
}  # fmt: skip

STEPS = ("death_step", "steps_taken")

NAMES = ["a", "A", "a/b", "a%20b", "1", "2", "../../up", "é", "e\u0301", "con", "x" * 300,
         "a=b", "sweep=a", "_hidden", ".hidden", "it's \"so\"", "*[a]?{}", "%s", "a\\b",
         "None", " a "]  # fmt: skip


@pytest.fixture
def results(tmp_path):
    return rl.Results(tmp_path / "results")


def expected_of(sweeps):
    """Return what any reader must find: all runs, in the columns of all sweeps, from memory."""
    frames = []
    for name, sweep in sorted(sweeps.items()):
        runs = sweep.run(engine="numpy")
        frames.append(
            {"sweep": np.full(len(runs), name, object)}
            | {column: runs[column].to_numpy(object, na_value=None) if runs[column].dtype == "Int64"
               else runs[column].astype(object).to_numpy() for column in runs}
        )  # fmt: skip
    columns = [name for name in COLUMNS if any(name in frame for frame in frames)]
    return {
        name: np.concatenate(
            [frame.get(name, np.full(len(frame["sweep"]), None)) for frame in frames]
        )
        for name in columns
    }


def bits(values):
    """Return values with floats told by their bits, whatever their precision: exactly."""
    return [
        None if value is None or value is pd.NA
        else np.float64(value).view(np.int64).item() if isinstance(value, float | np.floating)
        else value.item() if isinstance(value, np.generic)
        else value
        for value in values
    ]  # fmt: skip


def by_polars(table):
    return {name: table[name].to_list() for name in table.columns}


def by_arrow(table):
    return {name: table[name].to_pylist() for name in table.column_names}


def by_pandas(frame):
    # pandas has no missing floats but NaN.
    return {name: frame[name].astype(object).tolist() for name in frame}


def by_duckdb(folder):
    found = duckdb.connect().execute("select * from read_parquet(?)", [f"{folder}/**/*.parquet"])
    names = [column[0] for column in found.description]
    return dict(zip(names, zip(*found.fetchall(), strict=True), strict=True))


READERS = {
    "Results.load": lambda r: by_pandas(r.load()),
    "pandas": lambda r: by_pandas(pd.read_parquet(r.folder / "runs")),
    "polars": lambda r: by_polars(pl.read_parquet(r.folder / "runs")),
    "polars, lazily": lambda r: by_polars(pl.scan_parquet(r.folder / "runs").collect()),
    "DuckDB": lambda r: by_duckdb(r.folder / "runs"),
    "pyarrow.dataset": lambda r: by_arrow(pyarrow.dataset.dataset(r.folder / "runs").to_table()),
}


def assert_read(results, sweeps, reader):
    """Hold what a reader finds against the runs in memory, column by column, bit by bit."""
    expected = expected_of(sweeps)
    found = {name: np.array(list(v), object) for name, v in READERS[reader](results).items()}
    assert list(found) == list(expected)
    order = {name: k for k, name in enumerate(sorted(sweeps))}
    rows = np.lexsort((found["run"].astype(int), [order[name] for name in found["sweep"]]))
    for name, values in expected.items():
        there = found[name][rows]
        if reader in ("pandas", "Results.load"):
            floats = [isinstance(value, float) for value in there]
            values = np.where(floats & (values == None), np.nan, values)  # noqa: E711
        assert bits(there) == bits(values), name


MIXES = [
    *itertools.combinations(KINDS, 2),
    tuple(KINDS),
]


@pytest.mark.parametrize("mix", MIXES, ids=" + ".join)
def test_every_reader_finds_every_column_and_every_bit(results, mix):
    # Under names whose order, in folders too, is another one each time.
    names = np.random.default_rng(len(mix)).permutation(["z", "a", "M/m", "5", "é"])
    sweeps = {str(n): KINDS[kind] for n, kind in zip(names, mix, strict=False)}
    assert run_sweeps(sweeps, results, shard_size=4, engine="numpy", progress=False) == 0
    for reader in READERS:
        assert_read(results, sweeps, reader)
    schemas = [pq.read_schema(file) for file in results.part_files()]
    assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)


def test_a_column_that_one_sweep_lacks_can_be_loaded(results):
    sweeps = {"a": KINDS["one sample"], "b": KINDS["three samples"]}
    run_sweeps(sweeps, results, progress=False)
    loaded = results.load(columns=["excess_loss"])
    assert list(loaded) == ["sweep", "excess_loss"]
    assert loaded["excess_loss"][loaded["sweep"] == "a"].isna().all()
    assert list(results.load(["draw"], "a")) == ["sweep", "draw"]
    assert len(results.load(["sweep"])) == sum(map(len, sweeps.values()))
    assert list(results.load(["loss", "sweep", "w"])) == ["loss", "sweep", "w"]
    with pytest.raises(rl.InputError, match=r"columns: expected columns among sweep, run.*'foo'"):
        results.load(["foo"])


def test_the_optimum_is_counted_where_there_is_one(results):
    """Runs on one sample have no excess loss, in a table with others that do, too."""
    sweeps = {"one": KINDS["one sample"], "three": KINDS["three samples"]}
    run_sweeps(sweeps, results, shard_size=3, progress=False)
    alone = statistics.summary(sweeps["three"].run())["global_optimum"][0]
    for runs in (results, results.load(), pd.read_parquet(results.folder / "runs")):
        summary = statistics.summary(runs, "sweep").set_index("sweep")
        assert summary["global_optimum"]["three"] == alone
        assert np.isnan(summary["global_optimum"]["one"])
        rates = statistics.optimum_rates(runs).set_index("optimum")
        assert rates["n_runs"].iloc[0] == len(sweeps["three"])


def test_statistics_take_results_as_they_take_tables(results):
    run_sweeps({"a": KINDS["three samples"]}, results, shard_size=3, progress=False)
    by = ["learning_rate"]
    for function in (statistics.outcome_rates, statistics.summary, statistics.survival):
        expected = function(results.load(), by)
        pd.testing.assert_frame_equal(function(results, by), expected)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [None, ["learning_rate", "outcome", "unit", *STEPS]])
def test_stored_runs_that_repeat_are_counted_as_each_for_itself(results, columns):
    kinds = ("one sample", "three samples")
    sweeps = {kind: replace(KINDS[kind], draws=90, max_steps=4) for kind in kinds}
    run_sweeps(sweeps, results, shard_size=61, engine="numpy", progress=False)
    tables = [
        partial(function, by=by)
        for function in (statistics.outcome_rates, statistics.summary, statistics.survival)
        for by in (["sweep", "learning_rate"], ["learning_rate"], [])
    ]
    tables += [partial(statistics.rates, column="sweep", by="unit"), pd.concat]
    whole = results.load(columns)
    together = statistics.in_one_pass(results.frames(columns), *tables)
    for table, found in zip(tables, together, strict=True):
        for one in (found, table(results.frames(columns))):
            pd.testing.assert_frame_equal(one.reset_index(drop=True), table([whole]))


def test_few_parts_are_in_memory_while_they_are_counted(results, monkeypatch):
    sweep = replace(KINDS["three samples"], draws=20, max_steps=9)
    run_sweeps({"a": sweep}, results, shard_size=1, engine="numpy", progress=False)
    read = Mock(side_effect=StoredTable.read)
    monkeypatch.setattr(StoredTable, "read", lambda *args: read(*args))

    def ahead(frames):
        return [read.call_count - taken for taken, _ in enumerate(frames)]

    for numbers in statistics.in_one_pass(results, ahead, ahead, statistics.outcome_rates)[:2]:
        assert len(numbers) == len(sweep) == 60
        assert max(numbers) < 8


def test_what_is_wrong_with_a_part_or_a_question_is_told_where_parts_are_read_at_once(results):
    run_sweeps({"a": KINDS["three samples"]}, results, shard_size=3, progress=False)
    with (
        named_as_options(by="by"),
        pytest.raises(rl.InputError, match=r"--by: expected columns among sweep, .* got speed$"),
    ):
        statistics.survival(results, "speed")
    results.part_files()[3].write_bytes(b"x")
    with pytest.raises(rl.InputError, match=r"part-00003.*damaged"):
        statistics.in_one_pass(results, statistics.outcome_rates, statistics.summary)


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_gives_back_exactly_the_names(results, reader):
    sweeps = dict.fromkeys(NAMES, rl.Sweep(data=POINT, w=1.0, v=1.0, learning_rate=0.1))
    assert run_sweeps(sweeps, results, progress=False) == 0
    assert sorted(READERS[reader](results)["sweep"]) == sorted(NAMES)
    assert results.sweeps() == sorted(NAMES)
    assert statistics.outcome_rates(results)["count"].sum() == len(NAMES)
    for name in NAMES:
        assert list(results.load(sweep=name)["sweep"]) == [name]


def test_the_same_command_again_finds_all_done(results, capsys):
    sweeps = dict.fromkeys(NAMES, KINDS["layers"])
    run_sweeps(sweeps, results, progress=False)
    stamps = {f: f.stat().st_mtime_ns for f in results.folder.rglob("*.parquet")}
    run_sweeps(sweeps, results, progress=False)
    assert stamps == {f: f.stat().st_mtime_ns for f in results.folder.rglob("*.parquet")}
    assert capsys.readouterr().err == ""


def test_no_two_names_share_a_file_on_any_system():
    names = [*NAMES, *(f"{name}-{slug(name)[-8:]}" for name in NAMES), *map(slug, NAMES)]
    slugs = [slug(name).casefold() for name in dict.fromkeys(names)]
    assert len(set(slugs)) == len(slugs)
    for one in slugs:
        assert one.isascii()
        assert not set(one) & set('/\\:*?"<>|=% .')
        assert one[0] not in "_.-"
        assert len(one) < 64
        assert one not in ("con", "nul", "aux", "prn", "com1", "lpt1")


BAD_NAMES = [
    "",
    " ",
    "a\nb",
    "a\0b",
    "\x1b[31mred",
    "\ud800",
    1,
    None,
    ("a",),
    "x" * 1_001,
    "a\u2028b",
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("kind", ["sweeps", "record"])
def test_a_bad_name_is_refused_before_any_work(results, kind, name):
    made = []
    given = {"sweeps": {}, "records": {}}
    given["sweeps" if kind == "sweeps" else "records"] = {
        name: KINDS["layers"] if kind == "sweeps" else lambda: made.append(1)
    }
    with pytest.raises(rl.InputError, match=rf"^{kind}: expected a name") as error:
        run_sweeps(given["sweeps"], results, records=given["records"], progress=False)
    assert str(error.value).isprintable()
    assert not made
    assert not results.folder.exists()


@pytest.mark.parametrize("name", NAMES)
def test_records_of_any_name_stay_in_the_folder_and_are_loaded(results, name):
    table = pd.DataFrame({"n": [1, 2], "x": [np.nan, 0.1], "text": ["a", None]})
    before = set(results.folder.parent.rglob("*"))
    run_sweeps({}, results, records={name: lambda: table}, progress=False)
    pd.testing.assert_frame_equal(results.load_record(name), table)
    made = set(results.folder.parent.rglob("*")) - before
    assert all(path.is_relative_to(results.folder) for path in made)
    with pytest.raises(rl.InputError, match="expected the record 'none', found none; run"):
        results.load_record("none")


def test_samples_are_stored_with_what_leads_back_to_the_users_units(results):
    frame = pd.DataFrame({"dose (mg)": np.arange(200) / 7, "answer": np.arange(200.0) ** 2})
    data = rl.TrainingSet.from_frame(frame, x="dose (mg)", target="answer", standardize=True)
    sweep = rl.Sweep(data=data, w=1.0, learning_rate=0.1, max_steps=1)
    run_sweeps({"b": sweep, "a": replace(sweep, v=2.0)}, results, progress=False)
    for stored in (results.data(), results.data("a")):
        assert stored.x.tobytes() == data.x.tobytes()
        assert stored.target.tobytes() == data.target.tobytes()
        assert (stored.x_scale, stored.target_scale) == (data.x_scale, data.target_scale)
    opened = pd.read_parquet(results.layout.data_file("a"))
    np.testing.assert_array_equal(opened["x"], data.x)
    assert opened.attrs["x"] == {
        "label": "dose (mg)", "mean": data.x_scale.mean, "std": data.x_scale.std
    }  # fmt: skip
    run_sweeps({"c": replace(sweep, data=POINT), "a": replace(sweep, v=2.0)}, results,
               progress=False)  # fmt: skip
    with pytest.raises(rl.InputError, match="sweep: expected one of a, b, c, whose data differ"):
        results.data()
    with pytest.raises(rl.InputError, match="sweep: expected one of 'a', 'b', 'c', got 'd'"):
        results.data("d")


STRANGERS = ["part-00000 (1).parquet", "part-00000.sync-conflict-20250101.parquet",
             "part-00000.parquet~", "Thumbs.db", ".part-00000.parquet.crc", "notes.txt",
             "part-00009.parquet", "part-00000.PARQUET"]  # fmt: skip


@pytest.mark.parametrize("place", ["a", "", "b"])
@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_among_the_runs_are_named_and_not_counted(results, name, place, capsys):
    sweep = KINDS["one sample"]
    experiment = rl.Experiment(
        file="strange.py", question="Who?", sweeps={"a": sweep},
        report=lambda found: [("t", statistics.outcome_rates(found))],
    )  # fmt: skip
    folder = ["--results", str(results.folder)]
    assert rl.main(experiment, folder) == 0
    stranger = results.folder / "runs" / place / name
    stranger.parent.mkdir(exist_ok=True)
    stranger.write_bytes(results.layout.part_file("a", 0).read_bytes())
    named = stranger if place == "a" or not place else stranger.parent
    capsys.readouterr()
    assert rl.main(experiment, ["--figures", *folder]) == 0
    said = capsys.readouterr()
    assert said.err.startswith(f"{named}: not a part of these results")
    assert said.err.count("\n") == 1
    assert pd.read_csv(results.folder / "t.csv")["count"].sum() == len(sweep)
    assert len(results.load()) == len(sweep)
    status = rl.main(experiment, folder)
    assert str(stranger) in capsys.readouterr().err or named != stranger
    assert status == (2 if name.lower().endswith(".parquet") else 0)
    assert stranger.exists()


GROWN = {"a": KINDS["one sample"], "b": KINDS["three samples"]}


def test_a_folder_grows_by_sweeps_that_have_other_columns(results, capsys):
    """Also where the new columns make those that are there wider: nothing is trained again."""
    first = {"f": KINDS["float32"]}
    run_sweeps(first, results, shard_size=5, engine="numpy", progress=False)
    assert results.load()["w"].dtype == np.float32
    seconds = [shard.seconds for shard in results.layout.manifest().sweeps["f"].shards]
    sweeps = {"a": KINDS["one sample"], "l": KINDS["layers"], **first}
    run_sweeps(sweeps, results, shard_size=4, engine="numpy", progress=False)
    assert [shard.seconds for shard in results.layout.manifest().sweeps["f"].shards] == seconds
    for reader in READERS:
        assert_read(results, sweeps, reader)
    assert capsys.readouterr().err == ""
    run_sweeps(first, results, engine="numpy", progress=False)
    said = capsys.readouterr().err
    assert "also has the sweep 'a', which is not asked for; it is kept and used" in said
    assert_read(results, sweeps, "pandas")


def test_killed_while_columns_grow_it_resumes(results, monkeypatch):
    """A part of the old columns beside one of the new ones is read rightly, and mended."""
    first = {"f": KINDS["float32"]}
    run_sweeps(first, results, shard_size=5, engine="numpy", progress=False)
    sweeps = {"a": KINDS["one sample"], **first}
    written = []

    def killed(folder, file, *rest):
        if file.parent.parent.name == "runs":
            if written:
                raise KeyboardInterrupt
            written.append(file)
        write_table(folder, file, *rest)

    monkeypatch.setattr("relulab.sweeps.writing.write_table", killed)
    with pytest.raises(KeyboardInterrupt):
        run_sweeps(sweeps, results, engine="numpy", progress=False)
    monkeypatch.undo()
    loaded = results.load(sweep="f")
    expected = first["f"].run(engine="numpy")
    for name in expected:
        assert bits(loaded[name].astype(object)) == bits(expected[name].astype(object)), name
    run_sweeps(sweeps, results, engine="numpy", progress=False)
    for reader in READERS:
        assert_read(results, sweeps, reader)


def test_fewer_draws_than_stored_use_what_is_there_and_say_so(results, capsys):
    many, few = KINDS["one sample"], replace(KINDS["one sample"], draws=2)
    run_sweeps({"a": many}, results, progress=False)
    before = results.layout.part_file("a", 0).stat()
    run_sweeps({"a": few}, results, progress=False)
    assert "has 7 draws of sweep 'a', of which 2 are asked for; all of them are used" in (
        capsys.readouterr().err
    )
    assert results.layout.part_file("a", 0).stat().st_mtime_ns == before.st_mtime_ns
    assert len(results.load()) == len(many)
    assert results.n_missing() == 0


def test_fewer_draws_than_planned_train_no_more_than_is_asked_for(results, monkeypatch):
    many, few = replace(KINDS["one sample"], draws=40), replace(KINDS["one sample"], draws=10)
    trained = []
    train = rl.Sweep.train

    def stopping(self, start, stop, engine):
        if stop_at and start >= stop_at:
            raise KeyboardInterrupt
        trained.append(start)
        return train(self, start, stop, engine)

    monkeypatch.setattr(rl.Sweep, "train", stopping)
    stop_at = 8
    with pytest.raises(KeyboardInterrupt):
        run_sweeps({"a": many}, results, shard_size=8, engine="numpy", progress=False)
    stop_at = 0
    run_sweeps({"a": few}, results, engine="numpy", progress=False)
    assert trained == [0, 8, 16]
    assert results.n_missing() == 80 - 24
    run_sweeps({"a": many}, results, engine="numpy", progress=False)
    assert_read(results, {"a": many}, "pandas")


def test_sweeps_that_were_planned_apart_are_paired_run_by_run(results):
    """As the shards of two sweeps may begin elsewhere when one has grown."""
    small = replace(KINDS["one sample"], draws=10)
    slower = replace(small, max_steps=3)
    run_sweeps({"a": small}, results, shard_size=6, progress=False)
    large = {"a": replace(small, draws=23), "b": replace(slower, draws=23)}
    run_sweeps(large, results, shard_size=9, progress=False)
    pairs = list(results.frames_together(["b", "a"], ["run", "w"]))
    for k, name in enumerate("ba"):
        runs = pd.concat([pair[k] for pair in pairs], ignore_index=True)
        expected = large[name].run()[["run", "w"]]
        pd.testing.assert_frame_equal(runs[["run", "w"]], expected, check_exact=True)
    assert all(list(b["run"]) == list(a["run"]) for b, a in pairs)
    results.layout.part_file("a", 1).unlink()  # runs 6 ... 11
    runs = [run for b, _ in results.frames_together(["b", "a"], ["run"]) for run in b["run"]]
    assert runs == [*range(6), *range(12, 46)]


def test_more_shards_than_a_folder_holds_are_refused_when_it_grows_too(results, monkeypatch):
    run_sweeps({"a": KINDS["one sample"]}, results, shard_size=2, progress=False)
    monkeypatch.setattr("relulab.sweeps.sweep.MOST_SHARDS", 9)
    with pytest.raises(rl.InputError, match="got 6 runs in shards of 2 in addition to 7"):
        run_sweeps({"a": replace(KINDS["one sample"], draws=10)}, results, shard_size=2,
                   progress=False)  # fmt: skip


def test_more_runs_than_the_memory_holds_are_refused_at_once():
    sweep = rl.Sweep(data=POINT, w=rl.Normal(0, 1), draws=10**10, learning_rate=0.1)
    with pytest.raises(rl.InputError, match=r"^run: 10,000,000,000 runs take about .* GB"):
        sweep.run()


@pytest.mark.skipif(os.name != "posix", reason="pipes and links of POSIX")
@pytest.mark.parametrize("place", ["manifest.json", "runs/a/part-00000.parquet",
                                   "records/r.parquet", "data/a.parquet"])  # fmt: skip
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_is_no_file_is_not_waited_for(results, place, kind, tmp_path, capsys):
    experiment = rl.Experiment(
        file="pipe.py", question="Who?", sweeps={"a": KINDS["layers"]},
        records={"r": lambda _: pd.DataFrame({"n": [1]})},
        report=lambda found: [
            ("t", found.load_record("r")), ("u", pd.DataFrame({"x": found.data().x})),
            ("v", statistics.outcome_rates(found)),
        ],
    )  # fmt: skip
    folder = ["--results", str(results.folder)]
    assert rl.main(experiment, folder) == 0
    file = results.folder / place
    elsewhere = tmp_path / "elsewhere"
    file.rename(elsewhere)
    content = elsewhere.read_bytes()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(elsewhere)
    capsys.readouterr()
    assert rl.main(experiment, ["--figures", *folder]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(file) in error
    assert error.count("\n") == 1
    status = rl.main(experiment, folder)
    if kind == "folder" or place == "manifest.json":
        assert status in (1, 2)
    else:
        assert status == 0
        assert stat.S_ISREG(file.lstat().st_mode)
    assert elsewhere.read_bytes() == content


def test_parts_that_are_not_asked_for_fit_the_columns_too(results):
    """A sweep that is kept, and draws beyond those that are asked for."""
    narrow = KINDS["float32"]
    many = replace(KINDS["hidden"], draws=9)
    run_sweeps({"a": narrow, "c": many}, results, shard_size=3, engine="numpy", progress=False)
    few = {"c": replace(many, draws=3), "z": KINDS["one sample"]}
    run_sweeps(few, results, shard_size=3, engine="numpy", progress=False)
    for reader in READERS:
        assert_read(results, {"a": narrow, "c": many, "z": KINDS["one sample"]}, reader)
    assert results.layout.n_unfitted(results.layout.manifest()) == 0


def test_a_damaged_part_that_is_not_asked_for_is_no_dead_end(results, capsys):
    sweeps = {"a": KINDS["layers"], "b": KINDS["one sample"]}
    run_sweeps(sweeps, results, shard_size=4, progress=False)
    damaged = results.layout.part_file("b", 1)
    damaged.write_bytes(damaged.read_bytes()[:-50])
    run_sweeps({"a": KINDS["layers"]}, results, progress=False)
    said = capsys.readouterr().err
    assert f"{damaged}: damaged (" in said
    assert "deleted, as its sweep is not asked for" in said
    assert results.n_missing() == 4
    assert len(results.load(sweep="b")) == 10
    run_sweeps(sweeps, results, progress=False)
    assert_read(results, sweeps, "pandas")


def test_another_working_directory_changes_nothing(tmp_path, monkeypatch):
    """Not even one in which there are other results under the same name."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    victim = {"victim": KINDS["layers"]}
    run_sweeps(victim, rl.Results(there / "r"), progress=False)
    monkeypatch.chdir(here)
    results = rl.Results("r")

    def going():
        os.chdir(there)
        return pd.DataFrame({"n": [1]})

    run_sweeps({"a": KINDS["layers"]}, results, records={"x": going}, progress=False)
    assert_read(rl.Results(there / "r"), victim, "pandas")
    assert_read(rl.Results(here / "r"), {"a": KINDS["layers"]}, "pandas")
    assert not (here / "r" / ".owner.json").exists()


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("place", ["data/a.parquet", "records/r.parquet", "manifest.json"])
def test_files_of_others_in_the_place_of_ours_are_refused(results, place, restart):
    mine = results.folder / place
    mine.parent.mkdir(parents=True)
    if place == "manifest.json":
        mine.write_text('{"name": "my web app", "icons": []}')
    else:
        pd.DataFrame({"mine": [1]}).to_parquet(mine)
    before = mine.read_bytes()
    with pytest.raises(rl.InputError, match=rf"{mine.name}: expected .*another") as error:
        run_sweeps({"a": KINDS["layers"]}, results, records={"r": lambda: None}, restart=restart,
                   progress=False)  # fmt: skip
    assert "--restart" not in str(error.value)
    assert mine.read_bytes() == before
    assert set(results.folder.rglob("*")) == {mine, mine.parent} - {results.folder}


RECORDS = {
    "an index": pd.DataFrame({"loss": [1.0, 2.0]}, pd.Index([3, 5], name="step")),
    "two": pd.DataFrame({"n": [1]}, pd.MultiIndex.from_tuples([(1, "a")], names=["k", "l"])),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="float64")}),
    "words": pd.DataFrame({"a": pd.Categorical(["x", "y", "x"]), "t": ["1", None, "2"]}),
    "times": pd.DataFrame({"t": pd.to_datetime(["2024-01-01", None]), "b": [True, False]}),
}


@pytest.mark.parametrize("table", RECORDS.values(), ids=RECORDS)
def test_a_record_comes_back_as_it_was_made(results, table):
    run_sweeps({}, results, records={"r": lambda: table}, progress=False)
    pd.testing.assert_frame_equal(results.load_record("r"), table)


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame({"a": [1, "x"]}), None, [1],
        pd.DataFrame({"a": [1j]}), pd.DataFrame({"a": [2**70]}), pd.DataFrame({"a": [object()]}),
        pd.DataFrame({("a", "b"): [1]}),
        pd.DataFrame(index=range(3)),
    ],
)  # fmt: skip
def test_a_record_that_no_file_can_hold_is_refused_in_one_line(results, table):
    with pytest.raises(rl.InputError, match=r"^record 'r': expected"):
        run_sweeps({}, results, records={"r": lambda: table}, progress=False)


class Named(enum.StrEnum):
    A = "aa"


def test_names_that_are_members_of_an_enumeration_are_their_texts(results):
    run_sweeps({Named.A: KINDS["layers"]}, results, progress=False)
    assert results.sweeps() == ["aa"]
    assert_read(results, {"aa": KINDS["layers"]}, "pandas")
    assert len(results.load(sweep=Named.A)) == len(KINDS["layers"])


@pytest.mark.parametrize("damaged", ["part", "part and manifest", "stranger"])
def test_restart_deletes_our_own_damaged_parts(results, damaged):
    sweeps = {"a": KINDS["layers"], "b": KINDS["one sample"]}
    run_sweeps(sweeps, results, shard_size=4, progress=False)
    part = results.layout.part_file("b", 2)
    if damaged == "stranger":
        part.with_name("notes.txt").write_text("mine")
    else:
        part.write_bytes(part.read_bytes()[:-50])
    if damaged == "part and manifest":
        results.layout.manifest_file.write_text("{")
    run_sweeps({"a": KINDS["layers"]}, results, restart=True, progress=False)
    assert_read(results, {"a": KINDS["layers"]}, "Results.load")
    left = {file.name for file in results.folder.rglob("runs/*/*")}
    assert left == {"part-00000.parquet"} | ({"notes.txt"} if damaged == "stranger" else set())


def test_a_folder_that_changes_while_it_is_read_is_not_called_damaged(results):
    run_sweeps({"f": KINDS["float32"]}, results, shard_size=3, engine="numpy", progress=False)
    frames = results.frames()
    next(frames)
    run_sweeps({"f": KINDS["float32"], "z": KINDS["one sample"]}, results, progress=False)
    with pytest.raises(rl.InputError, match="expected results that do not change"):
        list(frames)


def test_an_equals_sign_in_the_path_is_told(tmp_path, capsys):
    results = rl.Results(tmp_path / "w=1")
    run_sweeps({"a": KINDS["layers"]}, results, progress=False)
    assert "read the runs there with hive_partitioning = false" in capsys.readouterr().err
    query = "select w from read_parquet(?, hive_partitioning = false)"
    found = duckdb.connect().execute(query, [f"{results.folder}/runs/*/*.parquet"]).fetchall()
    assert [w for (w,) in found] == list(KINDS["layers"].run()["w"])


@pytest.mark.parametrize(
    "wrong",
    [{"sweeps": None}, {"sweeps": [1]}, {"sweeps": {"a": 3}}, {"restart": "no"}, {"progress": 1},
     {"results": "a path"}],
)  # fmt: skip
def test_wrong_arguments_of_a_run_are_refused_in_one_line(results, wrong):
    valid = {"sweeps": {"a": KINDS["layers"]}, "results": results, "restart": False}
    with pytest.raises(rl.InputError, match=r"^(sweeps|sweep 'a'|restart|progress|results): exp"):
        run_sweeps(**valid | wrong)
    assert not results.folder.exists()


def test_parts_of_before_have_the_first_of_the_words_that_there_are_now():
    words = pa.DictionaryArray.from_arrays(
        pa.array([3, 0], pa.int8()), list(OUTCOMES.categories[:4])
    )
    stored = pa.table({"outcome": words})
    assert unknown_words(stored) == []
    frame = with_known_words(stored).to_pandas()
    assert frame["outcome"].dtype == OUTCOMES
    assert frame["outcome"].tolist() == ["unfinished", "converged"]
    swapped = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), ["diverged", "converged"])
    assert unknown_words(pa.table({"outcome": swapped})) == ["outcome"]
