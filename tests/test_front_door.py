"""What a newcomer meets: examples in docstrings, reprs, ``python -m relulab``."""

import doctest
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import relulab as rl
from relulab.__main__ import main

FLAGS = doctest.NORMALIZE_WHITESPACE
POINT = rl.TrainingSet.point(1, 3)
SCRIPT = """\
'''What becomes of one network, \u03b7 = 0.1?

More about it.
'''
import relulab as rl

SWEEP = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=[0.5, 1.0], v=0.3, learning_rate=0.1)
ONE = rl.Experiment(
    file=__file__,
    question="What becomes of it?",
    sweeps={"one": SWEEP},
    report=lambda results: [("runs", results.load())],
)
if __name__ == "__main__":
    raise SystemExit(rl.main(ONE))
"""


WITH_EXAMPLES = {"Sweep", "best_fit", "broken_stick", "sharpness", "trace", "train"}
MODULES = ("boundary", "figures", "statistics", "tables", "theory")
PUBLIC = {name: getattr(rl, name) for name in rl.__all__ if name not in MODULES} | {
    f"{module}.{name}": getattr(getattr(rl, module), name)
    for module in MODULES
    for name in getattr(rl, module).__all__
}


@pytest.mark.parametrize("name", [name for name, thing in PUBLIC.items() if callable(thing)])
def test_examples_in_docstrings(name):
    found = [test for test in doctest.DocTestFinder().find(PUBLIC[name], name) if test.examples]
    assert found or not (name in WITH_EXAMPLES or name.startswith("theory."))
    for example in found:
        said = []
        doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
        assert not said, "".join(said)
    plt.close("all")


def test_closed_forms_say_what_they_take_and_return():
    functions = [name for name in rl.theory.__all__ if callable(getattr(rl.theory, name))]
    assert len(functions) > 25
    for name in functions:
        text = getattr(rl.theory, name).__doc__
        for section in ("Parameters", "Returns", "Raises", "Examples"):
            assert f"\n    {section}\n    ---" in text, (name, section)


def test_reprs_are_short_and_say_what_is_there(tmp_path):
    networks = rl.Networks(w=np.linspace(-1, 2, 4), b=0.2, v=0.3, c=0)
    assert repr(networks) == "Networks(4 networks: w=-1 ... 2, b=0.2, v=0.3, c=0.0)"
    assert repr(rl.Networks(1, 0, 0.25, 0)) == "Networks(w=1.0, b=0.0, v=0.25, c=0.0)"
    assert repr(rl.Networks.from_stack(np.empty((4, 0)))) == "Networks(0 networks)"
    diverged = rl.Networks.from_stack(np.full((4, 2), [np.nan, 1.0]))
    assert repr(diverged).startswith("Networks(2 networks: w=1.0 (some not finite), b=1.0 (some")
    assert repr(rl.Networks.from_stack(np.full((4, 1), np.nan))).startswith("Networks(w=none fin")
    assert repr(POINT) == "TrainingSet(1 sample: x=1.0, target=3.0)"
    frame = pd.DataFrame({"size": [1.0, 2.0, 4.0], "price": [2.0, 0.5, 1.0]})
    data = rl.TrainingSet.from_frame(frame, x="size", target="price")
    expected = "TrainingSet(3 samples: x=1 ... 4, target=0.5 ... 2, x is size, target is price)"
    assert repr(data) == expected
    trained = rl.train(networks, POINT, 0.1)
    assert repr(trained) == "Trained(4 networks: 3 converged (alive), 1 converged (born_dead))"
    assert "born_dead" in trained._repr_html_()
    sweep = rl.Sweep(
        data=POINT, w=np.linspace(-1, 5, 500), v=rl.Uniform(0, 1), draws=40, learning_rate=0.1,
        freeze=["c"], max_steps=50,
    )  # fmt: skip
    assert repr(sweep) == (
        "Sweep(20,000 runs: w=500 values, -1 ... 5, b=0.0, v=Uniform(low=0.0, high=1.0), c=0.0,"
        " learning_rate=0.1; 40 draws, 1 sample, freeze=('c',), max_steps=50)"
    )
    results = rl.Results(tmp_path / "r")
    assert repr(results) == f"Results({str(tmp_path / 'r')!r}: no such folder)"
    (tmp_path / "r").mkdir()
    assert repr(results) == f"Results({str(tmp_path / 'r')!r}: no sweeps)"
    from relulab.sweeps.execution import run_sweeps

    small = rl.Sweep(data=POINT, w=[1.0, 2.0, 3.0], learning_rate=0.1)
    run_sweeps({"a": small}, results, shard_size=2, progress=False)
    assert repr(results) == f"Results({str(tmp_path / 'r')!r}: 1 sweep, 3 runs, 0 missing)"
    results.layout.part_file("a", 0).unlink()
    assert repr(results).endswith(": 1 sweep, 3 runs, 2 missing)")
    assert "n_missing" in results._repr_html_()
    results.layout.manifest_file.write_text("{")
    assert "expected a manifest" in repr(results)
    assert "expected a manifest" in results._repr_html_()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "helper.py").write_text("print('not to be run')")
    (tmp_path / "broken.py").write_text("Experiment(")
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "nowhere.py").symlink_to(tmp_path / "nothing")
    (tmp_path / "comment.py").write_text("# Experiment(question='none?')")
    wrong = SCRIPT.replace("learning_rate=0.1", "learning_rate=-1")
    (tmp_path / "experiments" / "wrong.py").write_text(wrong, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


def test_it_lists_the_experiments_that_it_finds(folder, capsys):
    assert main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith("mine ")
    assert "What becomes of it?" in said
    assert "helper" not in said
    assert "\nbroken " not in said
    assert main(["list"]) == 0
    assert capsys.readouterr().out == said


def test_it_lists_the_projects_own_experiments_from_anywhere(folder):
    if not (Path(rl.__file__).parents[2] / "experiments").is_dir():
        pytest.skip("relulab is not installed from a clone")
    done = subprocess.run(
        [sys.executable, "-m", "relulab"], capture_output=True, cwd="/", check=True,
        env={"PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": str(Path(rl.__file__).parents[1])},
    )  # fmt: skip
    listed = done.stdout.decode()
    assert "\ndata_order " in listed
    assert r"what lies beyond 2/\u03b7?" in listed


def test_it_runs_an_experiment_and_redraws_it(folder, capsys):
    assert main(["figures", "mine"]) == 2
    assert "expected results, found none; run the experiment first" in capsys.readouterr().err
    assert main(["run", "mine", "--max-steps", "30"]) == 0
    there = folder / "experiments" / "results" / "mine"
    table = (there / "runs.csv").read_bytes()
    (there / "runs.csv").unlink()
    assert main(["figures", "experiments/mine.py"]) == 0
    assert (there / "runs.csv").read_bytes() == table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing"], "error: name: expected one of mine, wrong"),
        (["run", "wrong"], "error: experiments/wrong.py: learning_rate: expected values >= 0"),
        (["figures", "mine", "--draws", "3"], "error: unrecognized arguments: --draws 3"),
        (["figures", "mine", "--restart"], "error: unrecognized arguments: --restart"),
        (["run", "mine", "--figures"], "error: unrecognized arguments: --figures"),
        (["run", "mine", "--engine", "gpu"], "error: --engine: expected one of auto, numpy, numba"),
        (["run", "helper.py"], "error: helper.py: expected one Experiment, found 0"),
        (["run"], "error: name: expected the name of an experiment, got none"),
        (["run", "--jobs", "1", "mine"], "error: name: expected one of mine, wrong"),
        (["lists"], "error: argument command: invalid choice: 'lists'"),
        (["list", "mine"], "error: unrecognized arguments: mine"),
    ],
)
def test_mistakes_are_told_in_one_line(folder, capsys, arguments, message):
    try:
        status = main(arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    said = capsys.readouterr().err
    assert said.startswith(message)
    assert said.count("\n") == 1


@pytest.mark.parametrize(("command", "has"), [("run", True), ("figures", False)])
def test_help_lists_what_a_command_takes(folder, capsys, command, has):
    with pytest.raises(SystemExit) as end:
        main([command, "mine", "--help"])
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "--figures" not in said
    assert ("--engine {auto,numpy,numba}" in said) == has
    assert ("--restart" in said) == has
    assert "these columns: sweep, w0, b0, v0, c0, learning_rate" in said
