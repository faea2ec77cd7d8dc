"""A sweep of many runs, its tables and its figures, within a small memory: pytest --runs N."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import relulab as rl

# An experiment, which tells the peaks of its memory in the end, its workers' among them.
EXPERIMENT = """
import json, sys
from itertools import chain
from pathlib import Path
import relulab as rl
from relulab import figures, statistics

BY = ["learning_rate"]

def report(results):
    yield "summary", statistics.summary(results.frames(), BY)
    rates = statistics.outcome_rates(results.frames(["outcome", "unit", *BY]), BY)
    yield "outcome_rates", rates
    yield "outcome_fractions", figures.outcome_fractions(rates)
    curves = statistics.survival(results.frames(), BY)
    yield "survival", figures.survival(curves, *BY)
    losses = statistics.cumulative(results.frames(["loss", *BY]), "loss", BY)
    yield "loss", figures.cumulative(losses, "loss", *BY)

def peak(process):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))

sweep = rl.Sweep(
    data=rl.TrainingSet.point(1, 3), w=rl.Normal(0, 1), b=rl.Normal(0, 1), v=rl.Normal(0, 1),
    learning_rate=[0.05, 0.2, 0.4, 1.2], draws=int(sys.argv[2]) // 4, max_steps=100,
)
if __name__ == "__main__":
    experiment = rl.Experiment(file=__file__, question="?", sweeps={"a": sweep}, report=report)
    options = ["--jobs", "2", "--engine", sys.argv[3], "--results", sys.argv[1], *sys.argv[4:]]
    status = rl.main(experiment, options)
    children = [f.read_text().split() for f in Path("/proc/self/task").glob("*/children")]
    print(json.dumps([peak(process) for process in ["self", *chain.from_iterable(children)]]))
    raise SystemExit(status)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_many_runs_stay_within_a_small_memory(tmp_path, pytestconfig, engine):
    if engine == "numba":
        pytest.importorskip("numba", reason="Numba (extra fast) missing")
    n_runs = pytestconfig.getoption("runs")
    script = tmp_path / "many.py"
    script.write_text(EXPERIMENT)
    done = subprocess.run(
        [sys.executable, script, tmp_path / "results", str(n_runs), engine],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    print(done.stdout)
    megabytes = json.loads(done.stdout.splitlines()[-1])
    # Holding on to all rows takes more already for the few runs of every day.
    assert sum(megabytes) < (1024 if n_runs <= 2_000_000 else 1536)
    results = rl.Results(tmp_path / "results")
    assert results.n_missing() == 0
    assert len(results.part_files()) == max(n_runs // 250_000, 32)
    for file in results.part_files():  # pytest keeps the folders of its last runs
        file.unlink()
    made = {file.name for file in results.folder.glob("*.*")}
    assert made >= {"summary.csv", "outcome_fractions.png", "survival.png", "loss.png"}
