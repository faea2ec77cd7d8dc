"""Scripts print and draw the same wherever they are started; the user's settings stay."""

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

import relulab as rl
from relulab import figures
from relulab.sweeps.output import Output, own_output

pytestmark = pytest.mark.slow  # many scripts; the pass with the lowest versions is hostile itself

ROOT = Path(__file__).parent.parent
HOSTILE = ROOT / "tests" / "data" / "hostile.matplotlibrc"
PICTURES = [f"parameter_curves.{kind}" for kind in figures.FORMATS]


def command(script, *options):
    return [sys.executable, str(ROOT / "experiments" / f"{script}.py"), *map(str, options)]


# Variables that another environment may have set, and this test is about.
SET = ("MPLBACKEND", "MATPLOTLIBRC", "PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL")
CLEAN = {name: value for name, value in os.environ.items() if name not in SET}


def run(script, *options, environment=None, **how):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "check": False} | how
    return subprocess.run(
        command(script, *options), env=CLEAN | (environment or {}), stdin=subprocess.DEVNULL, **how
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return the bytes of the pictures that are drawn where nothing is set."""
    folder = tmp_path_factory.mktemp("plain")
    done = run("seed_trace", "--format", *figures.FORMATS, "--results", folder)
    assert done.returncode == 0, done.stderr
    return {name: (folder / name).read_bytes() for name in PICTURES}


# What is set, and how many lines at most Matplotlib or we may say about it.
ENVIRONMENTS = {
    "ascii": ({"PYTHONIOENCODING": "ascii"}, 0),
    "cp1252": ({"PYTHONIOENCODING": "cp1252"}, 0),
    "strict": ({"PYTHONIOENCODING": "ascii:strict"}, 0),
    "C": ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 0),
    "backend of notebooks": ({"MPLBACKEND": "module://matplotlib_inline.backend_inline"}, 1),
    "backend that is not there": ({"MPLBACKEND": "module://no_such_backend"}, 1),
    "backend with windows": ({"MPLBACKEND": "TkAgg"}, 0),
    "nonsense for a backend": ({"MPLBACKEND": "nonsense"}, 1),
    "hostile matplotlibrc": ({"MATPLOTLIBRC": str(HOSTILE)}, 0),
    "matplotlibrc that is no text": ({"MATPLOTLIBRC": "NO TEXT"}, 2),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_script_draws_the_same_in_every_environment(name, plain, tmp_path):
    environment, n_lines = ENVIRONMENTS[name]
    if environment.get("MATPLOTLIBRC") == "NO TEXT":
        environment = {"MATPLOTLIBRC": str(tmp_path / "rc")}
        (tmp_path / "rc").write_bytes(b"axes.grid: \xff\n")
    # PyArrow opens no path that Python could not decode.
    folder = tmp_path / ("a" if name == "C" else "η")
    options = ["--format", *figures.FORMATS, "--results", folder]
    done = run("seed_trace", *options, environment=environment)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) <= n_lines, done.stderr
    assert {name: (folder / name).read_bytes() for name in PICTURES} == plain


def test_a_matplotlibrc_of_the_working_directory_is_none_of_ours(plain, tmp_path):
    (tmp_path / "matplotlibrc").write_text(HOSTILE.read_text() + "nonsense\naxes.gird: 3\n")
    options = ["--format", *figures.FORMATS, "--results", tmp_path]
    done = run("seed_trace", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert {name: (tmp_path / name).read_bytes() for name in PICTURES} == plain


@pytest.mark.parametrize(
    ("options", "status", "stream"),
    [(["--help"], 0, "stdout"), (["--η"], 2, "stderr"), (["--engine", "η"], 2, "stderr")],
)
def test_what_cannot_be_encoded_is_told_with_backslashes(options, status, stream, tmp_path):
    options = [*options, "--results", tmp_path]
    done = run("edge_of_stability", *options, environment={"PYTHONIOENCODING": "ascii:strict"})
    assert done.returncode == status
    assert rb"\u03b7" in getattr(done, stream)
    assert b"Traceback" not in done.stderr


SHELL = {
    "stdout closed": ">&-",
    "stderr closed": "2>&-",
    "all closed": "<&- >&- 2>&-",
    "stdout read no more": "| head -c 1 >&2",
    "both read no more": "2>&1 | head -c 1",
    "stdout to read from": "1</dev/null",
}


# A sweep, which tells how far it has come, a table and a figure.
SCRIPT = """
import relulab as rl

def report(results):
    rates = rl.statistics.outcome_rates(results.frames(), "learning_rate")
    print(rates)
    yield "rates", rates
    yield "outcome_fractions", rl.figures.outcome_fractions(rates)

sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=[-1.0, 1.0], v=0.5, learning_rate=[0.1, 0.2])
one = rl.Experiment(file=__file__, question="Who reads it?", sweeps={"a": sweep}, report=report)
raise SystemExit(rl.main(one))
"""


@pytest.mark.skipif(os.name == "nt", reason="in the words of a Unix shell")
@pytest.mark.parametrize("name", SHELL)
def test_closed_streams_change_nothing_but_what_is_printed(name, tmp_path):
    (tmp_path / "small.py").write_text(SCRIPT)
    line = f"'{sys.executable}' '{tmp_path / 'small.py'}' --results '{tmp_path / 'r'}'"
    script = f"({line}; echo $? >'{tmp_path / 'status'}') {SHELL[name]}"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, env=CLEAN, stdin=subprocess.DEVNULL, check=False
    )
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr
    assert (tmp_path / "status").read_text().strip() == "0", done.stderr
    assert (tmp_path / "r" / "outcome_fractions.png").exists()
    assert len(pd.read_parquet(tmp_path / "r" / "runs")) > 0


@pytest.mark.skipif(os.name == "nt", reason="in the words of a Unix shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_mistakes_keep_their_status_where_nobody_reads_of_them(closed, tmp_path):
    for options in (["--nonsense"], ["--engine", "gpu"], ["--figures"]):
        line = " ".join(f"'{w}'" for w in command("learning_rate", *options, "--results", tmp_path))
        done = subprocess.run(["sh", "-c", f"{line} {closed}"], capture_output=True, check=False)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr


class Broken(io.StringIO):
    """A stream that fails as a full disk or a closed pipe does."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


def test_a_full_disk_is_told_once_on_the_other_stream(capsys):
    with own_output():
        out = Output(Broken(OSError(28, "No space left on device")))
        for _ in range(3):
            print("a", file=out, flush=True)
    assert capsys.readouterr().err == "output: No space left on device; nothing more is printed\n"


def test_output_needs_no_stream_and_survives_a_closed_one():
    for stream in (None, io.StringIO()):
        if stream is not None:
            stream.close()
        out = Output(stream)
        assert not out.isatty()
        print("a", file=out, flush=True)
        out.writelines(["a"])
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    print("η, ü", file=Output(narrow), flush=True)
    assert narrow.buffer.getvalue().decode("cp1252").rstrip() == r"\u03b7, ü"


def test_progress_is_no_error_where_nobody_watches(monkeypatch):
    sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=[0.5, 1.0], learning_rate=0.1)
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed, Broken(BrokenPipeError(32, "Broken pipe"))):
        monkeypatch.setattr(sys, "stderr", stream)
        assert len(sweep.run(progress=True)) == 2


def experiment():
    file = ROOT / "experiments" / "seed_trace.py"
    spec = importlib.util.spec_from_file_location("seed_trace", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EXPERIMENT


def settings():
    return dict(mpl.rcParams.copy()), plt.get_fignums(), mpl.get_backend(auto_select=False)


def test_main_leaves_the_settings_of_a_session_as_they_are(tmp_path, plain):
    with mpl.rc_context():
        mpl.rcParams.update({"lines.linewidth": 9, "axes.grid": True, "savefig.bbox": "tight"})
        plt.switch_backend("svg")
        try:
            plt.figure()
            before, streams = settings(), (sys.stdout, sys.stderr)
            assert rl.main(experiment(), ["--results", str(tmp_path)]) == 0
            assert settings() == before
            assert (sys.stdout, sys.stderr) == streams
            assert plt.figure().canvas.__class__.__module__.endswith("backend_svg")
        finally:
            plt.close("all")
            plt.switch_backend("agg")
    assert (tmp_path / PICTURES[0]).read_bytes() == plain[PICTURES[0]]


def test_main_leaves_a_backend_that_is_not_chosen_yet_open(tmp_path):
    session = (
        "import sys, matplotlib as mpl, matplotlib.pyplot as plt, relulab as rl\n"
        f"sys.path.insert(0, {str(ROOT / 'experiments')!r})\n"
        "import seed_trace\n"
        "before = mpl.get_backend(auto_select=False)\n"
        f"assert rl.main(seed_trace.EXPERIMENT, ['--results', {str(tmp_path)!r}]) == 0\n"
        "assert mpl.get_backend(auto_select=False) == before\n"
        "print(plt.figure().canvas.__class__.__module__)"
    )
    for backend, module in (("svg", "matplotlib.backends.backend_svg"), (None, "matplotlib")):
        done = subprocess.run(
            [sys.executable, "-c", session], check=True, capture_output=True, text=True,
            env=CLEAN | ({"MPLBACKEND": backend} if backend else {}),
        )  # fmt: skip
        assert done.stdout.splitlines()[-1].startswith(module)


def test_importing_figures_changes_no_setting():
    compare = (
        "import matplotlib as mpl, matplotlib.pyplot; before = dict(mpl.rcParams.copy())\n"
        "import relulab.figures; assert dict(mpl.rcParams.copy()) == before"
    )
    environment = CLEAN | {"MPLBACKEND": "TkAgg", "MATPLOTLIBRC": str(HOSTILE)}
    subprocess.run([sys.executable, "-c", compare], check=True, env=environment)


TABLE = pd.DataFrame({"x": [1.0, 2, 3], "fraction": [0.3, 0.1, 0.2], "of": list("aba")})


def draw(folder, ax=None):
    ax = figures.lines(TABLE, "x", "fraction", "of", ax=ax)
    figures.mark_level(ax, 0.2, "theory of $w_0$")
    ax.set(title="Is it the same?", ylabel="another label")
    files = [Path(folder) / f"picture.{kind}" for kind in figures.FORMATS]
    figures.save(ax, *files)
    return [file.read_bytes() for file in files]


def test_figures_have_the_same_bytes_whatever_the_users_settings_are(tmp_path):
    expected = draw(tmp_path)
    with mpl.rc_context(fname=HOSTILE):
        assert draw(tmp_path) == expected
    with mpl.rc_context({"font.family": "serif"}):
        assert draw(tmp_path) != expected  # which alone is the user's


def test_an_axes_of_the_user_keeps_its_style(tmp_path):
    pictures = []
    for size in (5, 20):
        with mpl.rc_context({"xtick.labelsize": size, "savefig.bbox": "tight"}):
            _, ax = plt.subplots()
            pictures.append(draw(tmp_path, ax)[0])
            assert {t.get_fontsize() for t in ax.get_xticklabels()} == {size}
    assert pictures[0] != pictures[1]


def test_a_folder_of_the_home_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert rl.main(experiment(), ["--results", "~/a"]) == 0
    assert (tmp_path / "a" / "parameter_curves.png").exists()
    assert rl.Results("~/a").folder == tmp_path / "a"
    rl.tables.write(TABLE, "~/table.md")
    figures.save(figures.points(TABLE, "x", "fraction"), "~/picture.png")
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"a", "table.md", "picture.png"}


@pytest.mark.parametrize("name", ['a"b', "a'b", "a\\b", "a\nb", "a  b", "η"])
def test_the_line_that_opens_the_runs_is_python(name, tmp_path, monkeypatch):
    file = ROOT / "experiments" / "initialization_grid.py"
    spec = importlib.util.spec_from_file_location("initialization_grid", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(rl.Sweep, "__len__", lambda _: 1)
    monkeypatch.chdir(tmp_path)
    printed = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(printed):
        options = ["--quick", "--results", str(tmp_path / name), "--tables", "csv"]
        assert rl.main(replace(module.EXPERIMENT, report=lambda results: ()), options) == 0
    lines = printed.buffer.getvalue().decode().splitlines()
    (line,) = [line for line in lines if line.strip().startswith("runs/: ")]
    assert len(eval(line.split("runs/: ")[1], {"pandas": pd}))
