"""``--dry-run``: what a command would train, and what that takes, with nothing touched."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest

import relulab as rl
from relulab.experiment import add_data_options, data_of
from relulab.experiment.options import option_parser
from relulab.sweeps import forecast as forecasts
from relulab.sweeps.draws import DRAWS_PER_BLOCK
from relulab.sweeps.execution import run_sweeps
from relulab.sweeps.forecast import duration, forecast, together

GRID = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0),
    w=rl.Normal(0, 1),
    v=rl.Normal(0, 1),
    learning_rate=np.geomspace(0.01, 3, 5),
    draws=400,
    max_steps=200,
)
POINTS = rl.Sweep(
    data=rl.TrainingSet([-1.0, 0.5, 1.0], [0.0, 1.0, 1.0]),
    w=rl.Normal(0, 1),
    v=0.5,
    learning_rate=rl.LogUniform(0.01, 1),
    draws=1_000,
    max_steps=100,
)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(forecasts, "REPEATS", 1)
    monkeypatch.setattr(forecasts, "PROBED", 100)


def experiment(**more):
    return rl.Experiment(
        file="dry.py",
        question="How dry?",
        report=lambda results: pytest.fail("nothing is reported"),
        **{"sweeps": {"grid": GRID, "points": POINTS}, **more},
    )


def state(folder):
    return {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in [folder, *folder.rglob("*")]}


def told(folder, capsys, *options, of=None):
    """Return what a dry run prints, of which nothing may be found in the folder."""
    before = state(folder) if folder.exists() else None
    arguments = ["--dry-run", "--engine", "numpy", "--jobs", "1", "--results", str(folder)]
    assert rl.main(of or experiment(), [*arguments, *options]) == 0
    assert (state(folder) if folder.exists() else None) == before
    return capsys.readouterr().out


def numbers(text):
    """Return the runs, and those to train, of each sweep."""
    rows = [
        line.split() for line in text.splitlines() if line.split()[:1] in (["grid"], ["points"])
    ]
    return {row[0]: tuple(int(word.replace(",", "")) for word in row[1:3]) for row in rows}


def test_a_dry_run_tells_the_runs_and_makes_no_folder(tmp_path, capsys):
    text = told(tmp_path / "new", capsys)
    assert numbers(text) == {"grid": (2_000, 2_000), "points": (1_000, 1_000)}
    assert "3,000 runs to train in 2 parts: 0.2 MB of disk, and about" in text
    assert "with 1 worker and the engine numpy" in text
    assert not (tmp_path / "new").exists()


def test_a_dry_run_tells_what_is_missing(tmp_path, capsys):
    results = rl.Results(tmp_path)
    run_sweeps({"grid": replace(GRID, draws=300)}, results, shard_size=1_000, progress=False)
    assert numbers(told(tmp_path, capsys)) == {"grid": (2_000, 500), "points": (1_000, 1_000)}
    results.layout.part_file("grid", 0).unlink()
    assert numbers(told(tmp_path, capsys))["grid"] == (2_000, 1_500)
    assert numbers(told(tmp_path, capsys, "--restart"))["grid"] == (2_000, 2_000)
    run_sweeps({"grid": GRID, "points": POINTS}, results, progress=False)
    text = told(tmp_path, capsys)
    assert numbers(text) == {"grid": (2_000, 0), "points": (1_000, 0)}
    restarted = numbers(told(tmp_path, capsys, "--restart"))
    assert restarted == {"grid": (2_000, 2_000), "points": (1_000, 1_000)}
    assert "0 runs to train in 0 parts: 0.0 MB of disk, and about 0 s" in text


def test_the_command_line_changes_what_is_told(tmp_path, capsys):
    new = tmp_path / "new"
    assert numbers(told(new, capsys, "--quick")) == {"grid": (80, 80), "points": (200, 200)}
    assert numbers(told(new, capsys, "--draws", "50")) == {"grid": (250, 250), "points": (50, 50)}


def test_records_and_the_users_data_are_left_alone(tmp_path, capsys):
    def record(_options):
        pytest.fail("a record was made")

    (tmp_path / "data.csv").write_text("x,y\n1,2\n2,4\n3,5\n")
    dry = experiment(
        sweeps=lambda options: {"grid": replace(GRID, data=data_of(options, lambda: GRID.data))},
        options=add_data_options,
        records={"trace": record},
    )
    options = ["--csv", str(tmp_path / "data.csv"), "--x", "x", "--target", "y"]
    text = told(tmp_path / "new", capsys, *options, "--by", "learning_rate", of=dry)
    assert numbers(text) == {"grid": (2_000, 2_000)}
    assert "not included: the time of the records trace" in text


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("--dry-run: expected none with --figures, which trains nothing", ["--figures"]),
        ("--scheduler: expected none with --dry-run", ["--scheduler", "127.0.0.1:1"]),
        ("--jobs: expected a whole number other than 0", ["--jobs", "0"]),
        ("--by: expected each once of the columns", ["--by", "speed"]),
        ("holds results of another specification", ["--seed", "7"]),
    ],
)
def test_what_a_run_would_refuse_is_refused(message, options, tmp_path, capsys):
    run_sweeps({"grid": replace(GRID, draws=10)}, rl.Results(tmp_path), progress=False)
    before = state(tmp_path)
    assert rl.main(experiment(), ["--dry-run", "--results", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert state(tmp_path) == before


def test_without_sweeps_there_is_nothing_to_tell(tmp_path, capsys):
    alone = experiment(sweeps={}, records={"trace": lambda options: pd.DataFrame({"a": [1]})})
    assert rl.main(alone, ["--dry-run", "--results", str(tmp_path / "new")]) == 2
    assert "--dry-run: expected none, because dry has no sweep" in capsys.readouterr().err


def test_the_help_names_it():
    text = " ".join(option_parser(experiment()).format_help().split())
    assert "--dry-run only print how many runs there are, and the disk and time they take" in text


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_probe_of_processes_and_of_threads(engine, tmp_path, monkeypatch):
    if engine == "numba":
        pytest.importorskip("numba", reason="Numba (extra fast) missing")
    monkeypatch.setattr("relulab.sweeps.execution.FEW_RUNS", 0)
    there = forecast({"a": POINTS}, rl.Results(tmp_path / "new"), n_jobs=2, engine=engine)
    assert (there.n_workers, there.engine) == (2, engine)
    assert there.seconds > 0
    assert not list(tmp_path.iterdir())


def test_parts_cost_what_the_probe_says(tmp_path, monkeypatch):
    """A probe of a clock that is wound by hand: 0.25 s for each call, and 1 ms for each run."""
    monkeypatch.setattr(
        forecasts, "_probe", lambda sweep, rows, copies, *_: 0.25 + 0.001 * copies * len(rows["w0"])
    )
    monkeypatch.setattr(forecasts, "_drawing", lambda sweep: 0.0005)
    many = replace(GRID, draws=5_000)
    there = forecast({"a": many, "b": POINTS}, rl.Results(tmp_path), engine="numpy", n_jobs=1)
    assert there.costs["a"].parts == pytest.approx([0.25 + 10_000 * 0.0015] * 2 + [0.25 + 7.5])
    assert there.costs["b"].parts == pytest.approx([0.25 + 1.5])
    once = sum(cost.once for cost in there.costs.values())
    assert there.seconds - once == pytest.approx(2 * 15.25 + 7.75 + 1.75)


def test_workers_take_the_next_task_when_they_are_free():
    for tasks in product([0.5, 1.0, 4.0], repeat=4):
        assert together(list(tasks), 1) == sum(tasks)
        assert together(list(tasks), 4) == max(tasks)
        free = [0.0, 0.0]
        for task in tasks:
            worker = int(free[1] < free[0])
            free[worker] += task
        assert together(list(tasks), 2) == max(free)


@pytest.mark.parametrize("sweep", [GRID, POINTS], ids=["grid", "points"])
def test_the_disk_is_about_what_is_told(sweep, tmp_path):
    sweep = replace(sweep, draws=20 * sweep.draws)
    results = rl.Results(tmp_path)
    run_sweeps({"a": sweep}, results, progress=False)
    taken = sum(file.stat().st_size for file in results.part_files())
    assert 0.7 < len(sweep) * sweep.bytes_per_run / taken < 1.5


@pytest.mark.parametrize("draws", [100, 10 * DRAWS_PER_BLOCK])
@pytest.mark.parametrize("sweep", [GRID, POINTS], ids=["grid", "points"])
def test_runs_from_all_over_a_sweep_are_its_runs(sweep, draws):
    sweep = replace(sweep, draws=draws)
    runs = forecasts._spread(len(sweep), 300)
    assert (np.diff(runs) > 0).all()
    assert runs.size == min(len(sweep), 300)
    assert (np.histogram(runs, 10, (0, len(sweep)))[0] >= runs.size // 10 - 1).all()
    found = pd.DataFrame(sweep._rows(runs))
    expected = sweep.parameters(0, len(sweep)).iloc[runs].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_times_are_told_in_words():
    seconds = [0.012, 4.24, 88.0, 130.0, 7_500.0, 360_000.0]
    words = ["0.012 s", "4.2 s", "88 s", "2 min", "2.1 h", "1e+02 h"]
    assert list(map(duration, seconds)) == words
