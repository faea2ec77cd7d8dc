"""From the command line to files and back: execution, results, experiments."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Thread, get_ident

import numpy as np
import pandas as pd
import pytest

import relulab as rl
from relulab import statistics
from relulab.experiment import write_report
from relulab.sweeps import execution
from relulab.sweeps.execution import Ended, run_sweeps
from relulab.sweeps.parquet import StoredTable, write_table
from relulab.sweeps.schema import COLUMNS

ROOT = Path(__file__).parent.parent
SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0),
    w=rl.Normal(0, 1),
    b=rl.Normal(0, 1),
    v=0.5,
    draws=40,
    learning_rate=np.geomspace(0.01, 3, 5),
    max_steps=200,
)


@pytest.fixture
def results(tmp_path):
    return rl.Results(tmp_path / "results")


def contents(results):
    return {p: p.read_bytes() for p in results.folder.rglob("*") if p.is_file()}


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EXPERIMENT


def test_parts_of_several_sweeps_are_of_the_same_runs(results):
    slower = replace(SWEEP, max_steps=7)
    run_sweeps({"a": SWEEP, "b": slower}, results, shard_size=30, progress=False)
    results.layout.part_file("b", 1).unlink()
    pairs = list(results.frames_together(["b", "a"], ["run", "sweep"]))
    for k, (b, a) in zip((0, 2, 3, 4), pairs, strict=False):
        assert list(a["run"]) == list(b["run"])
        assert a["run"].iloc[0] == 30 * k
        assert set(a["sweep"]) == {"a"}
        assert set(b["sweep"]) == {"b"}
    assert len(pairs) == len(results.part_files("a")) - 1


def test_parquet_round_trip_is_exact_and_opens_in_pandas(results):
    names = ["[a]*?", "a"]
    sweeps = dict.fromkeys(names, SWEEP)
    assert run_sweeps(sweeps, results, shard_size=30, progress=False) == 0
    memory = SWEEP.run()
    loaded = pd.read_parquet(results.folder / "runs")
    assert list(loaded["sweep"].unique()) == names
    for name in names:
        rows = loaded[loaded["sweep"] == name].drop(columns="sweep").reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, memory, check_exact=True)
        stored = results.load(sweep=name).drop(columns="sweep")
        pd.testing.assert_frame_equal(stored, memory, check_exact=True)
    assert loaded["death_step"].dtype == "Int64"


def test_files_do_not_depend_on_the_number_of_workers(results, tmp_path, monkeypatch):
    monkeypatch.setattr("relulab.sweeps.execution.FEW_RUNS", 0)
    other = rl.Results(tmp_path / "other")
    run_sweeps({"a": SWEEP}, results, shard_size=30, progress=False)
    run_sweeps({"a": SWEEP}, other, shard_size=30, n_jobs=2, progress=False)
    for number in range(7):
        one, two = (r.layout.part_file("a", number).read_bytes() for r in (results, other))
        assert one == two


def test_resume_makes_only_what_is_missing(results):
    run_sweeps({"a": SWEEP}, results, shard_size=50, progress=False)
    before = contents(results)
    lost = results.layout.part_file("a", 2)
    lost.unlink()
    stray = results.folder / f".relulab-{'0' * 32}.tmp"
    stray.write_text("half a file of a killed process")
    stamps = {p: p.stat().st_mtime_ns for p in results.folder.rglob("*.parquet")}
    run_sweeps({"a": SWEEP}, results, shard_size=7, progress=False)
    after = contents(results)
    assert after[lost] == before[lost]
    assert not stray.exists()
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())


@pytest.mark.parametrize("damage", [b"", b"PAR1 but not really", None])
def test_a_damaged_part_is_named_and_computed_again(results, damage):
    run_sweeps({"a": SWEEP}, results, shard_size=50, progress=False)
    before = contents(results)
    file = results.layout.part_file("a", 1)
    file.write_bytes(before[file][:-100] if damage is None else damage)
    with pytest.raises(rl.InputError, match=r"part-00001\.parquet: expected the file that relulab"):
        results.load()
    run_sweeps({"a": SWEEP}, results, progress=False)
    assert file.read_bytes() == before[file]


def test_a_part_with_too_few_rows_is_computed_again(results):
    run_sweeps({"a": SWEEP}, results, shard_size=50, progress=False)
    file = results.layout.part_file("a", 1)
    whole = file.read_bytes()
    table = StoredTable.open(file)
    write_table(results.folder, file, table.read(None, COLUMNS).slice(0, 49), table.about)
    run_sweeps({"a": SWEEP}, results, progress=False)
    assert file.read_bytes() == whole


def test_raising_draws_extends(results):
    run_sweeps({"a": SWEEP}, results, shard_size=60, progress=False)
    before = contents(results)
    more = replace(SWEEP, draws=70)
    run_sweeps({"a": more}, results, shard_size=60, progress=False)
    for file, content in before.items():
        if file.suffix == ".parquet":
            assert file.read_bytes() == content
    pd.testing.assert_frame_equal(
        results.load().drop(columns="sweep"), more.run(), check_exact=True
    )


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("max_steps", replace(SWEEP, max_steps=100)),
        ("w", replace(SWEEP, w=rl.Normal(0, 2))),
        ("data", replace(SWEEP, data=rl.TrainingSet.point(1.0, 2.0))),
        ("learning_rate", replace(SWEEP, learning_rate=0.1)),
    ],
)
def test_another_specification_is_refused_and_nothing_touched(results, key, other):
    run_sweeps({"a": SWEEP}, results, progress=False)
    before = contents(results)
    with pytest.raises(rl.InputError, match=rf"another specification \({key}: there .*--restart"):
        run_sweeps({"a": other}, results, progress=False)
    assert contents(results) == before


def test_sweeps_of_another_experiment_are_refused(results):
    run_sweeps({"a": SWEEP}, results, progress=False)
    before = contents(results)
    for sweeps in ({"b": SWEEP}, {}):
        with pytest.raises(rl.InputError, match=r"another specification \(sweeps: there 'a'"):
            run_sweeps(sweeps, results, progress=False)
    assert contents(results) == before


def test_runs_without_a_manifest_are_refused(results):
    run_sweeps({"a": SWEEP}, results, progress=False)
    results.layout.manifest_file.unlink()
    before = contents(results)
    with pytest.raises(rl.InputError, match=r"manifest\.json: missing, but there are runs"):
        run_sweeps({"a": replace(SWEEP, v=0.6)}, results, progress=False)
    assert contents(results) == before


class Constant:
    """A distribution that a manifest cannot describe."""

    def sample(self, rng, n):
        return np.ones(n)


def test_numbers_of_other_libraries_are_stored_as_plain_ones(results):
    sweep = replace(
        SWEEP, seed=np.int64(0), max_steps=np.int64(200), draws=np.int64(40),
        gradient_tolerance=np.float64(1e-6), w=rl.Normal(0, np.float32(1)),
        b=rl.Normal(Fraction(0), Fraction(1)),
    )  # fmt: skip
    assert run_sweeps({"a": sweep}, results, progress=False) == 0
    assert sweep.specification() == SWEEP.specification()
    assert run_sweeps({"a": SWEEP}, results, progress=False) == 0


@pytest.mark.parametrize(
    "mistake", [{"engine": "gpu"}, {"n_jobs": 0}, {"shard_size": 0}, {"shard_size": 2.5}]
)
def test_a_mistake_beside_restart_deletes_nothing(results, mistake):
    run_sweeps({"a": SWEEP}, results, progress=False)
    before = contents(results)
    with pytest.raises(rl.InputError):
        run_sweeps({"a": SWEEP}, results, restart=True, progress=False, **mistake)
    assert contents(results) == before


def test_a_failed_shard_does_not_stop_the_others(results, monkeypatch):
    train = rl.Sweep.train

    def failing(self, start, stop, engine):
        if start == 50:
            raise RuntimeError("the third law")
        return train(self, start, stop, engine)

    monkeypatch.setattr(rl.Sweep, "train", failing)
    assert run_sweeps({"a": SWEEP}, results, shard_size=50, progress=False) == 1
    shards = results.layout.manifest().sweeps["a"].shards
    assert [s.state for s in shards] == ["done", "failed", "done", "done"]
    assert "the third law" in shards[1].error
    monkeypatch.undo()
    assert run_sweeps({"a": SWEEP}, results, progress=False) == 0
    assert results.layout.manifest().sweeps["a"].shards[1].error is None
    pd.testing.assert_frame_equal(
        results.load().drop(columns="sweep"), SWEEP.run(), check_exact=True
    )


def test_the_manifest_tells_specification_and_versions(results):
    run_sweeps({"a": SWEEP}, results, progress=False)
    manifest = json.loads(results.layout.manifest_file.read_text())
    assert manifest["sweeps"]["a"]["specification"] == SWEEP.specification()
    assert manifest["sweeps"]["a"]["n_runs"] == 200
    assert manifest["versions"]["numpy"] == np.__version__


# All but what is no experiment.
SCRIPTS = sorted(
    file.stem
    for file in (Path(__file__).parent.parent / "experiments").glob("*.py")
    if file.stem not in ("peers", "explorer", "recording")
)
SMALL = {
    "throughput": ("--networks", 4_000, "--repeats", 1),
    "dead_relu": ("--draws", 60, "--max-steps", 500),
    "teacher_student": ("--draws", 40, "--max-steps", 500),
    "data_order": ("--draws", 100, "--max-steps", 3_000),
    "death_by_learning_rate": ("--draws", 100),
    "hinge_regression": ("--draws", 40),
    "learning_rate": ("--draws", 100),
    "momentum": ("--draws", 50, "--max-steps", 1_000),
    "boundary": ("--pairs", 2000),
    "summation_order": ("--draws", 500),
    "published": ("--draws", 500),
}


KINDS = (".png", ".csv", ".gif")

# Of every kind one: what a script asks of the libraries, others ask as well.
FAST = {"edge_of_stability", "hinge_regression", "seed_trace"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in FAST else [pytest.mark.slow]) for n in SCRIPTS]
)
def test_every_experiment_runs_quick_and_redraws_without_training(name, tmp_path, capsys):
    options = ["--quick", "--results", tmp_path, "--jobs", 1, *SMALL.get(name, ())]
    assert rl.main(load_script(name), [*map(str, options)]) == 0
    assert str(tmp_path) in capsys.readouterr().out
    drawn = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix in KINDS}
    assert {".png", ".csv"} <= {Path(n).suffix for n in drawn}
    for name_of_file in drawn:
        (tmp_path / name_of_file).unlink()
    # In a process of its own, as a user starts the script, with training made unimportable: the
    # figures come from the files alone, to the same bytes. Each is looked at when it is saved.
    block = (
        "import runpy, sys\n"
        "for module in ('trainer', 'numpy_engine', 'numba_engine', 'specification', 'orbits'):\n"
        "    sys.modules[f'relulab.training.{module}'] = None\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import looking\n"
        "looking.look_at_all_that_is_saved()\n"
        f"sys.path.insert(0, {str(ROOT / 'experiments')!r})\n"  # as Python does for a script
        f"sys.argv = ['{name}', '--figures', '--results', {str(tmp_path)!r}]\n"
        f"runpy.run_path({str(ROOT / 'experiments' / f'{name}.py')!r}, run_name='__main__')\n"
    )
    redrawn = subprocess.run(
        [sys.executable, "-c", block], capture_output=True, text=True, check=False
    )
    assert redrawn.returncode == 0, redrawn.stderr
    pictures = sum(name_of_file.endswith(".png") for name_of_file in drawn)
    assert redrawn.stderr.count("looked at") == pictures > 0
    for name_of_file, content in drawn.items():
        assert (tmp_path / name_of_file).read_bytes() == content


def test_figures_come_in_the_formats_that_are_asked_for(tmp_path, capsys):
    experiment = load_script("seed_trace")
    folder = ["--results", str(tmp_path)]
    assert rl.main(experiment, ["--format", "svg", "pdf", *folder]) == 0
    assert "parameter_curves.svg  parameter_curves.pdf" in capsys.readouterr().out
    drawn = {
        f.name: f.read_bytes() for f in tmp_path.iterdir() if f.suffix in (".csv", ".svg", ".pdf")
    }
    assert set(drawn) == {"iterations.csv", "parameter_curves.svg", "parameter_curves.pdf"}
    assert drawn["parameter_curves.pdf"].startswith(b"%PDF")
    assert b"<svg" in drawn["parameter_curves.svg"]
    assert rl.main(experiment, ["--figures", "--format", "pdf", "svg", "svg", *folder]) == 0
    for name, content in drawn.items():
        assert (tmp_path / name).read_bytes() == content


def test_tables_by_any_columns_in_the_formats_that_are_asked_for(tmp_path, capsys):
    experiment = load_script("initialization_grid")
    options = ["--quick", "--by", "learning_rate", "w0", "--tables", "md", "csv"]
    assert rl.main(experiment, [*options, "--results", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "summary_by_learning_rate_w0.md" in printed
    runs = rl.Results(tmp_path).load()
    stored = pd.read_csv(tmp_path / "summary_by_learning_rate_w0.csv")
    expected = statistics.summary(runs, ["learning_rate", "w0"])
    assert stored["n_runs"].tolist() == expected["n_runs"].tolist()
    assert rl.tables.text(expected) in printed
    lines = (tmp_path / "summary_by_learning_rate_w0.md").read_text().splitlines()
    assert lines[0].startswith("|")
    assert len(lines) == 2 + len(expected)
    curves = pd.read_csv(tmp_path / "survival_by_learning_rate_w0.csv")
    assert curves["survival"][curves["w0"] <= 0].eq(0).all()  # born dead
    redrawn = ["--figures", "--results", str(tmp_path), "--by"]
    for wrong in (["speed"], ["outcome"], ["w0", "w0"]):
        assert rl.main(experiment, [*redrawn, *wrong]) == 2
        said = capsys.readouterr()
        known = "columns sweep, w0, b0, v0, c0, learning_rate"
        assert said.err == f"error: --by: expected each once of the {known}, got {wrong[0]!r}\n"
        assert not said.out


def test_the_folder_of_another_experiment_is_not_redrawn(tmp_path, capsys):
    experiment = load_script("initialization_grid")
    run_sweeps({"a": SWEEP}, rl.Results(tmp_path), progress=False)
    assert rl.main(experiment, ["--figures", "--results", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "expected results of initialization_grid, found those of another" in said.err
    assert not said.out


def test_a_redrawing_keeps_the_intervals_of_an_answer(tmp_path, capsys):
    experiment, folder = load_script("hinge_regression"), ["--results", str(tmp_path)]
    quick = ["--quick", "--draws", "40", "--max-steps", "200"]
    assert rl.main(experiment, [*quick, "--bootstrap", "100", *folder]) == 0
    answer, table = (tmp_path / "answer.txt").read_text(), (tmp_path / "answer.csv").read_bytes()
    assert "bootstrap draws" in answer
    capsys.readouterr()
    (tmp_path / "answer.csv").unlink()
    assert rl.main(experiment, ["--figures", *folder]) == 0
    assert capsys.readouterr().out.startswith(answer)
    assert (tmp_path / "answer.txt").read_text() == answer
    assert (tmp_path / "answer.csv").read_bytes() == table
    assert rl.main(experiment, ["--figures", "--bootstrap", "200", *folder]) == 0
    assert "200 bootstrap draws" in (tmp_path / "answer.txt").read_text()


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("found none; run the experiment first", ["--figures"]),
        ("--draws: expected none with --figures", ["--figures", "--draws", 5]),
        ("--restart: expected none with --figures", ["--figures", "--restart"]),
        ("--max-steps: expected none with --figures", ["--quick", "--figures", "--max-steps", 0]),
        ("--engine: expected one of", ["--engine", "gpu"]),
        ("--max-steps: expected a whole number >= 0, got -1", ["--max-steps", -1]),
        ("--draws: expected a whole number >= 1, got 0", ["--draws", 0]),
        ("--seed: expected a whole number >= 0, got -5", ["--seed", -5]),
        ("--jobs: expected a whole number other than 0", ["--jobs", 0]),
        ("argument --draws: invalid int value: 'many'", ["--draws", "many"]),
        ("unrecognized arguments: --speed", ["--speed"]),
        ("argument --format: invalid choice: 'gif'", ["--format", "gif"]),
    ],
)
def test_mistakes_on_the_command_line(message, options, tmp_path, capsys):
    experiment = load_script("learning_rate")
    arguments = [*map(str, options), "--results", str(tmp_path / "new")]
    try:
        status = rl.main(experiment, arguments)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_results_folder_that_is_a_file_is_told_in_one_line(tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    assert rl.main(load_script("learning_rate"), ["--quick", "--results", str(file)]) == 2
    assert capsys.readouterr().err == f"error: {file}: expected a folder, found a file\n"


def test_other_results_are_refused_on_the_command_line_and_restart_helps(tmp_path, capsys):
    experiment = replace(load_script("initialization_grid"), report=lambda results: ())
    small = {"small": replace(experiment.sweeps["small"], w=[1.0, 2.0], v=[1.0])}
    experiment = replace(experiment, sweeps=small)
    options = ["--results", str(tmp_path)]
    mine = tmp_path / "runs" / "notes.txt"
    assert rl.main(experiment, options) == 0
    mine.write_text("not relulab's")
    assert rl.main(experiment, [*options, "--max-steps", "5"]) == 2
    assert "max_steps: there 10000, asked 5" in capsys.readouterr().err
    assert rl.main(experiment, [*options, "--max-steps", "5", "--restart"]) == 0
    assert rl.Results(tmp_path).load()["steps_taken"].max() <= 5
    assert mine.read_text() == "not relulab's"


def test_a_seed_is_of_no_matter_where_nothing_is_drawn(tmp_path):
    experiment = replace(load_script("initialization_grid"), report=lambda results: ())
    small = {"small": replace(experiment.sweeps["small"], w=[1.0, 2.0], v=[1.0])}
    experiment = replace(experiment, sweeps=small)
    for seed in ("0", "3"):
        assert rl.main(experiment, ["--seed", seed, "--results", str(tmp_path)]) == 0


def test_options_of_a_sweep_are_refused_where_there_is_none(tmp_path, capsys):
    folder = tmp_path / "new"
    for option in ("--draws", "--seed", "--max-steps"):
        status = rl.main(load_script("seed_trace"), [option, "4", "--results", str(folder)])
        assert status == 2
        assert f"{option}: expected none, because seed_trace" in capsys.readouterr().err
    assert not folder.exists()


def test_draws_is_refused_where_nothing_is_drawn(tmp_path, capsys):
    experiment = load_script("initialization_grid")
    assert rl.main(experiment, ["--draws", "5", "--results", str(tmp_path)]) == 2
    assert "--draws: expected none" in capsys.readouterr().err


def test_an_interrupt_says_what_is_kept(tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("relulab.experiment.command.run_sweeps", interrupted)
    options = ["--results", str(tmp_path)]
    assert rl.main(load_script("learning_rate"), options) == 130
    assert "has no results yet" in capsys.readouterr().err
    monkeypatch.undo()
    run_sweeps({"a": SWEEP}, rl.Results(tmp_path), shard_size=50, progress=False)
    rl.Results(tmp_path).layout.part_file("a", 0).unlink()
    monkeypatch.setattr("relulab.experiment.command.run_sweeps", interrupted)
    assert rl.main(load_script("learning_rate"), options) == 130
    assert f"kept in {tmp_path} (50 runs are missing)" in capsys.readouterr().err


def test_the_seed_table_shows_the_true_c(tmp_path):
    experiment = load_script("seed_trace")
    assert rl.main(experiment, ["--results", str(tmp_path)]) == 0
    with (tmp_path / "iterations.csv").open() as file:
        rows = list(csv.DictReader(file))
    seed = json.loads((Path(__file__).parent / "data" / "seed_trace.json").read_text())
    exact = [row["exact"] for row in seed["iterations"]]
    for name in ("cost", "prediction", "w", "b", "v", "c"):
        assert [float(row[name]).hex() for row in rows] == [row[name] for row in exact]


def test_write_report_returns_its_files(tmp_path):
    files = write_report([("t", pd.DataFrame({"a": [1]}))], tmp_path)
    assert [f.name for f in files] == ["t.csv"]


def test_small_sweeps_start_no_workers(results, monkeypatch):
    def noted(*task, run_shard=execution._run_shard):  # which could not be sent to a process
        at_work.append(get_ident())
        return run_shard(*task)

    at_work = []
    monkeypatch.setattr(execution, "_run_shard", noted)
    run_sweeps({"a": SWEEP}, results, shard_size=30, n_jobs=2, engine="numpy", progress=False)
    assert at_work == [get_ident()] * 7


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_runs(tmp_path):
    # In processes of their own, because Arrow's memory is not Python's to trace. All columns are
    # read, so that holding on to the runs, trained or read, would cost some 80 MB.
    measure = (
        "import resource, sys\n"
        "import relulab as rl\n"
        "from relulab.sweeps.execution import run_sweeps\n"
        "sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=rl.Normal(0, 1), v=rl.Normal(0, 1),\n"
        "                 draws=int(sys.argv[1]), learning_rate=0.5, max_steps=5)\n"
        "results = rl.Results(sys.argv[2])\n"
        "run_sweeps({'a': sweep}, results, shard_size=20_000, progress=False)\n"
        "rl.statistics.outcome_rates(results.frames())\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    )

    def peak_megabytes(draws):
        done = subprocess.run(
            [sys.executable, "-c", measure, str(draws), str(tmp_path / str(draws))],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return float(done.stdout)

    assert peak_megabytes(600_000) < peak_megabytes(60_000) + 40


CSV = "dose,answer\n" + "".join(f"{k},{max(k - 7, 0) + 0.1 * (-1) ** k}\n" for k in range(20))


def test_an_experiment_on_the_users_data(tmp_path, capsys):
    file = tmp_path / "my data.csv"
    file.write_text(CSV + "21,\n")
    experiment = load_script("hinge_regression")
    columns = ["--csv", str(file), "--x", "dose", "--target", "answer"]
    options = ["--quick", "--draws", "40", "--max-steps", "2000", "--results", str(tmp_path / "r")]
    assert rl.main(experiment, [*columns, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --missing: ")
    assert "(line 22); --missing drop drops them" in error
    assert not (tmp_path / "r").exists()
    assert rl.main(experiment, [*columns, "--missing", "drop", *options]) == 0
    captured = capsys.readouterr()
    assert "dropped 1 of 21 rows" in captured.err
    data = rl.Results(tmp_path / "r").data()
    assert data.x_scale.label == "dose"
    np.testing.assert_allclose(data.x_scale.to_user(data.x), np.arange(20), atol=1e-12)
    runs = pd.read_parquet(tmp_path / "r" / "runs")
    assert (runs["excess_loss"] > -1e-12).all()
    # The same folder, other data: refused.
    assert rl.main(experiment, ["--quick", "--draws", "40", "--results", str(tmp_path / "r")]) == 2
    assert "another specification (data:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("--csv: expected --x COLUMN and --target COLUMN", ["--csv", "FILE"]),
        ("--x: expected with --csv FILE, got no --csv", ["--x", "dose"]),
        ("--missing: expected with --csv FILE, got no --csv", ["--missing", "drop"]),
        ("--x: expected none with --figures", ["--figures", "--csv", "FILE", "--x", "dose"]),
        ("--x: expected a column of", ["--csv", "FILE", "--x", "size", "--target", "answer"]),
        ("--missing: expected one of refuse, drop", ["--csv", "FILE", "--x", "dose", "--target",
                                                   "answer", "--missing", "guess"]),
        ("expected a CSV file", ["--csv", "nowhere.csv", "--x", "dose", "--target", "answer"]),
    ],
)  # fmt: skip
def test_mistakes_about_the_users_data(message, options, tmp_path, capsys):
    file = tmp_path / "my.csv"
    file.write_text(CSV)
    arguments = [str(file) if option == "FILE" else option for option in options]
    folder = tmp_path / "new"
    status = rl.main(load_script("hinge_regression"), [*arguments, "--results", str(folder)])
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not folder.exists()


def test_parts_of_all_sweeps_grow_together(results, monkeypatch):
    begun = []

    def fails(sweep, start, stop, slot, *rest):
        begun.append(slot.file.parent.name)
        return Ended(error="it fails")

    monkeypatch.setattr("relulab.sweeps.execution._run_shard", fails)
    run_sweeps({"a": SWEEP, "b": SWEEP}, results, shard_size=30, progress=False)
    assert begun[:4] == ["a", "b", "a", "b"]


HINGE = load_script("hinge_regression")
QUICKLY = ["--quick", "--draws", "3", "--max-steps", "50", "--engine", "numpy"]


def test_the_users_file_is_read_once_before_training(tmp_path, capsys, monkeypatch):
    """What happens to it while networks train is of no matter, and its faults are told once."""
    file = tmp_path / "my data.csv"
    file.write_text(CSV + "21,\n22,\n")
    options = [*QUICKLY, "--x", "dose", "--target", "answer", "--missing", "drop"]
    expected = tmp_path / "expected"
    assert rl.main(HINGE, [*options, "--csv", str(file), "--results", str(expected)]) == 0
    assert capsys.readouterr().err.count("dropped 2 of 22 rows") == 1
    train = rl.Sweep.train

    def overwriting(*arguments):
        file.write_text("dose,answer\n1,5\n2,4\n3,1\n")
        return train(*arguments)

    monkeypatch.setattr(rl.Sweep, "train", overwriting)
    found = tmp_path / "found"
    assert rl.main(HINGE, [*options, "--csv", str(file), "--results", str(found)]) == 0
    monkeypatch.undo()
    file.unlink()
    assert rl.main(HINGE, ["--figures", "--results", str(found)]) == 0
    pictures = [f.name for f in expected.iterdir() if f.suffix in (".png", ".csv")]
    assert len(pictures) > 4
    for name in pictures:
        assert (found / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("file", ["/dev/stdin", "a pipe"])
def test_data_come_through_a_pipe(tmp_path, file):
    command = [sys.executable, ROOT / "experiments" / "hinge_regression.py", *QUICKLY]
    command += ["--x", "dose", "--target", "answer", "--results", tmp_path / "r", "--csv"]
    if file == "/dev/stdin":
        source, pipe = {"input": CSV}, file
    else:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        source = {}
        Thread(target=pipe.write_text, args=[CSV], daemon=True).start()
    done = subprocess.run([*command, pipe], capture_output=True, text=True, check=False, **source)
    assert done.returncode == 0, done.stderr
    assert rl.Results(tmp_path / "r").data().n_samples == 20


def test_default_folders(tmp_path):
    """Beside a user's script; for the project's own, where the published ones are; data apart."""
    mine = replace(HINGE, file=str(tmp_path / "A" / "my_sweep.py"))
    assert mine.folder(quick=False) == tmp_path / "A" / "results" / "my_sweep"
    assert mine.folder(quick=True) == tmp_path / "A" / "results" / "quick" / "my_sweep"
    named = replace(HINGE, file=str(tmp_path / "experiments" / "my_sweep.py"))
    assert named.folder(quick=False) == tmp_path / "experiments" / "results" / "my_sweep"
    assert HINGE.folder(quick=False) == ROOT / "results" / "hinge_regression"
    apart = HINGE.folder(quick=False, data="../My data")
    assert apart.parent == ROOT / "results"
    assert apart.name.startswith("hinge_regression-my-data-")


def test_results_of_a_users_data_are_beside_the_published_ones(tmp_path, capsys):
    """Their figures are found again by the file's name, without reading it."""
    experiment = replace(HINGE, file=str(tmp_path / "hinge_regression.py"))
    file = tmp_path / "mine.csv"
    file.write_text(CSV)
    columns = ["--x", "dose", "--target", "answer"]
    assert rl.main(experiment, [*QUICKLY, "--csv", str(file), *columns]) == 0
    folder = tmp_path / "results" / "quick" / "hinge_regression-mine"
    assert (folder / "fits.png").exists()
    file.unlink()
    assert rl.main(experiment, ["--quick", "--figures", "--csv", str(file)]) == 0
    assert rl.main(experiment, ["--quick", "--figures"]) == 2
    assert "found none; run the experiment first" in capsys.readouterr().err


def test_figures_and_tables_of_any_name_stay_in_the_folder(tmp_path):
    names = ["loss/t", "../up", "Loss", "loss", "a b", "con", "x" * 300, "%s"]
    table = pd.DataFrame({"a": [1]})
    folder = tmp_path / "folder"
    files = write_report([(name, table) for name in names], folder)
    assert len({file.name.casefold() for file in files}) == len(names)
    assert {f for f in tmp_path.rglob("*") if f.is_file()} == set(files)
    assert all(file.parent == folder for file in files)
    for name in ("", 3, None, "a\nb"):
        with pytest.raises(rl.InputError, match=r"^report: expected a name"):
            write_report([(name, table)], folder)
    with pytest.raises(rl.InputError, match="each name once, got 'a'"):
        write_report([("a", table), ("a", table)], folder)


def test_texts_of_a_report_are_printed_and_written(tmp_path, capsys):
    table = pd.DataFrame({"a": [1]})
    text = "two lines,\n\u00b1 1"
    files = write_report([("answer", text), ("answer", table)], tmp_path)
    assert [file.name for file in files] == ["answer.txt", "answer.csv"]
    assert files[0].read_text(encoding="utf-8") == text + "\n"
    assert capsys.readouterr().out == text + "\n\n"
    with pytest.raises(rl.InputError, match="each name once, got 'answer'"):
        write_report([("answer", text), ("answer", text)], tmp_path)


def test_the_answer_comes_before_any_training_and_knows_the_command_line(tmp_path, capsys):
    experiment = replace(
        HINGE,
        file=str(tmp_path / "mine.py"),
        sweeps={"a": SWEEP},
        answer=lambda results, options: [
            ("said", f"seed {options.seed}, {results.n_missing()} runs to come")
        ],
        report=lambda results: [("more", "so much for that")],
    )
    assert rl.main(experiment, ["--seed", "5", "--engine", "numpy"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"seed 5, {len(SWEEP)} runs to come\n")
    assert said.index("outcome") < said.index("so much for that")
    assert rl.main(replace(experiment, answer=lambda *_: "nothing"), ["--figures"]) == 2
    said = capsys.readouterr().err
    assert said == "error: answer: expected names with figures and tables, got 'nothing'\n"
    # Nothing is made where there is nothing.
    assert rl.main(HINGE, ["--figures", "--results", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()


def test_a_long_sweep_says_first_how_much_is_to_come(results, capsys):
    rates = [0.1, 0.2, 0.3, 0.4]
    sweep = replace(SWEEP, v=rl.Normal(0, 1), draws=6_000, learning_rate=rates, max_steps=1)
    run_sweeps({"a": sweep}, results, engine="numpy")
    said = capsys.readouterr().err.splitlines()[0]
    assert said.startswith("24,000 runs to train in 3 parts, which take about ")
    told = float(said.split("about ")[1].split(" MB")[0])
    size = sum(file.stat().st_size for file in results.part_files()) / 1e6
    assert 0.8 < size / told < 1.25
