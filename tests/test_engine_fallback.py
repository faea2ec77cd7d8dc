"""Numba is there but unusable: right bits, and one line."""

import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("numba") is None, reason="Numba (extra fast) missing")
posix = pytest.mark.skipif(os.name != "posix", reason="limits and signals of POSIX")

# What child processes begin with: runs that converge, diverge, die and do not finish.
BEGIN = """
import sys
import relulab as rl
normal = rl.Normal(0, 1)
SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(1.0, 3.0), w=normal, b=normal, v=normal, c=normal, draws=100,
    learning_rate=[0.003, 0.3, 3.0], max_steps=200,
)
def show(frame):
    print(frame.to_csv(float_format=float.hex))
"""
TRAIN = "show(SWEEP.train(0, len(SWEEP), {engine!r}))\n"
SWEEP_SHARDS = "show(SWEEP.run(engine={engine!r}, n_jobs=2, shard_size=50))\n"
IN_FILES = """
import os
from relulab.execution import run_sweeps
results = rl.Results(os.environ["RESULTS"])
if failed := run_sweeps({"a": SWEEP}, results, shard_size=100, n_jobs=2, progress=False):
    sys.exit(results.read_manifest()["sweeps"]["a"]["shards"][0]["error"])
show(results.load(sweep="a").drop(columns="sweep", errors="ignore"))
"""

FALLS_BACK = "; the NumPy engine does the work, with the same bits but slower\n"


def run_python(*codes, path=(), **environment):
    """Run code after BEGIN in a process of its own, where warnings are errors."""
    paths = map(str, [*path, os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "".join(map(textwrap.dedent, codes))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def by_lockstep():
    names: dict = {}
    exec(BEGIN, names)
    sweep = names["SWEEP"]
    frame = sweep.train(0, len(sweep), "lockstep")
    assert set(frame["outcome"]) == {"converged", "diverged", "unfinished"}
    return frame.to_csv(float_format=float.hex) + "\n"


def hidden_by(folder):
    """Return code after which ``numba`` is searched in a folder alone."""
    return f"""
import importlib.machinery as m
find = m.PathFinder.find_spec
m.PathFinder.find_spec = classmethod(
    lambda c, name, path=None, target=None:
    find(name, [{str(folder)!r}] if name == "numba" else path)
)
"""


def a_numba_that(tmp_path, does):
    package = tmp_path / "numba"
    package.mkdir()
    if does:
        (package / "__init__.py").write_text(does)
    return package


# Each: what a process does first, its environment, and what the line says.
FAILS_AT_A_KERNEL = """
import numba.core.dispatcher as d
from numba.core.errors import LoweringError
def compile(self, signature):
    raise LoweringError("LLVM does not know\\nwhat to do")
d.Dispatcher.compile = compile
"""
FAILS_AT_THE_ENGINE = "import numba.extending; numba.extending.intrinsic = None\n"
UNUSABLE = {
    "a NumPy that Numba refuses": (
        "import numpy; numpy.__version__ = '99.0.0'\n", {}, "ImportError: Numba needs NumPy",
    ),
    "no compiler": ("", {"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT is set"),
    "no llvmlite": (
        "import sys; sys.modules['llvmlite'] = None\n", {}, "No module named 'llvmlite.binding'",
    ),
    "an error of LLVM": (
        FAILS_AT_A_KERNEL, {}, "LoweringError: LLVM does not know what to do",
    ),
    "another Numba inside": (FAILS_AT_THE_ENGINE, {}, "TypeError"),
    "an unknown processor": (
        "", {"NUMBA_CPU_NAME": "nonsense"}, "NUMBA_CPU_NAME=nonsense: 'nonsense' is not",
    ),
}  # fmt: skip
if os.name == "posix":
    UNUSABLE["features that end the process"] = (
        "", {"NUMBA_CPU_FEATURES": "nonsense"}, "NUMBA_CPU_FEATURES=nonsense ends a process",
    )  # fmt: skip


ASKED_FOR = """
try:
    SWEEP.run(engine="compiled")
except rl.InputError as error:
    print(error)
"""


@pytest.mark.parametrize("case", UNUSABLE)
def test_where_numba_cannot_be_used_the_numpy_engine_does_the_work(case, by_lockstep):
    first, environment, why = UNUSABLE[case]
    auto = TRAIN.format(engine="auto")
    done = run_python(first, BEGIN, auto, auto, ASKED_FOR, **environment)
    assert done.stdout.startswith(2 * by_lockstep), done.stderr
    assert done.stderr.startswith("Numba cannot be used (")
    assert done.stderr.endswith(FALLS_BACK)
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    check_refusal(done.stdout.removeprefix(2 * by_lockstep), why)


def check_refusal(line, why):
    assert line.startswith("engine: expected lockstep or auto where Numba cannot be used (")
    assert why in line
    assert line.count("\n") == 1


def test_where_the_compiled_engine_was_asked_for_and_fails_one_line_says_why():
    first, _, why = UNUSABLE["an error of LLVM"]
    done = run_python(first, BEGIN, ASKED_FOR)
    assert done.stderr == ""
    check_refusal(done.stdout, why)


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("raise ImportError('Numba needs\\nanother NumPy')", "ImportError: Numba needs another"),
        ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("open('/nowhere/of/all')", "FileNotFoundError: [Errno 2]"),
        ("this is no Python", "SyntaxError: invalid syntax"),
        ("raise Exception(1000 * 'long ')", "Exception: long long"),
        ("__version__ = '0.1'", "No module named 'numba.extending'"),
        ("", "there is no Numba in "),
    ],
)
def test_a_broken_installation_is_named(tmp_path, by_lockstep, does, why):
    package = a_numba_that(tmp_path, does)
    done = run_python(hidden_by(tmp_path), BEGIN, TRAIN.format(engine="auto"))
    assert done.stdout == by_lockstep, done.stderr
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 600
    if "Error" in why and "Runtime" not in why:
        file = "/nowhere/of/all" if "Errno" in why else str(package / "__init__.py")
        assert ("numba.extending" in why) or file in done.stderr
    if not does:
        assert str(package) in done.stderr


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("no compiler", SWEEP_SHARDS.format(engine="auto")),  # by processes
        ("an error of LLVM", SWEEP_SHARDS.format(engine="auto")),  # by threads
        ("no compiler", IN_FILES),
    ],
)
def test_one_line_for_all_workers(case, code, by_lockstep, tmp_path):
    first, environment, why = UNUSABLE[case]
    done = run_python(first, BEGIN, code, RESULTS=str(tmp_path / "results"), **environment)
    assert done.stdout == by_lockstep, done.stderr
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_stderr_ends_nothing(by_lockstep):
    for how in ("sys.stderr.close()", "sys.stderr = None"):
        done = run_python(
            BEGIN, how + "\n", TRAIN.format(engine="auto"), "sys.stderr = sys.__stderr__ = None",
            NUMBA_DISABLE_JIT="1",
        )  # fmt: skip
        assert done.stdout == by_lockstep


def test_a_usable_choice_of_processor_is_no_problem():
    done = run_python("from relulab import compiler; print(compiler.problem())",
                      NUMBA_CPU_NAME="generic")  # fmt: skip
    assert done.stdout == "None\n"
    assert done.stderr == ""


@posix
def test_a_worker_of_a_cluster_decides_for_itself(tmp_path, by_lockstep):
    pytest.importorskip("distributed", reason="Dask (extra dask) missing")
    from test_cluster import Cluster

    with ExitStack() as processes:
        cluster = Cluster(tmp_path, processes, 0)
        cluster.environment["NUMBA_DISABLE_JIT"] = "1"
        cluster.worker(2)
        # Numba is usable here, where nothing is trained.
        done = run_python(
            BEGIN,
            f"from relulab.cluster import dask_cluster\nwith dask_cluster({cluster.address!r}):\n",
            "    show(SWEEP.run(shard_size=50))\nprint('numba' in sys.modules)",
        )  # fmt: skip
    assert done.stdout == by_lockstep + "False\n", done.stderr
