"""Numba is there but unusable, or what it compiled is damaged: right bits, and one line."""

import errno
import os
import shutil
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from relulab.training import numba_support

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
from relulab.sweeps.execution import run_sweeps
results = rl.Results(os.environ["RESULTS"])
if failed := run_sweeps({"a": SWEEP}, results, shard_size=100, n_jobs=2, progress=False):
    sys.exit(results.layout.manifest().sweeps["a"].shards[0].error)
show(results.load(sweep="a").drop(columns="sweep", errors="ignore"))
"""
END = (
    "import relulab.training.numba_engine as c; print(sum(c._train.stats.cache_misses.values()))\n"
)

ENGINE_FILES = "relulab.training.numba_"
FALLS_BACK = "; the NumPy engine is used: the same bits, but slower\n"


def run_python(*codes, path=(), **environment):
    """Run code after BEGIN in a process of its own, where warnings are errors."""
    paths = map(str, [*path, os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", "".join(map(textwrap.dedent, codes))],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def by_numpy():
    names: dict = {}
    exec(BEGIN, names)
    sweep = names["SWEEP"]
    frame = sweep.train(0, len(sweep), "numpy")
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
    SWEEP.run(engine="numba")
except rl.InputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", UNUSABLE)
def test_where_numba_cannot_be_used_the_numpy_engine_does_the_work(case, by_numpy):
    first, environment, why = UNUSABLE[case]
    auto = TRAIN.format(engine="auto")
    done = run_python(first, BEGIN, auto, auto, ASKED_FOR, **environment)
    assert done.stdout.startswith(2 * by_numpy), done.stderr
    assert done.stderr.startswith("Numba cannot be used (")
    assert done.stderr.endswith(FALLS_BACK)
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    check_refusal(done.stdout.removeprefix(2 * by_numpy), why)


def check_refusal(line, why):
    assert line.startswith("engine: expected numpy or auto where Numba cannot be used (")
    assert why in line
    assert line.count("\n") == 1


def test_where_numba_was_asked_for_and_fails_one_line_says_why():
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
def test_a_broken_installation_is_named(tmp_path, by_numpy, does, why):
    package = a_numba_that(tmp_path, does)
    done = run_python(hidden_by(tmp_path), BEGIN, TRAIN.format(engine="auto"))
    assert done.stdout == by_numpy, done.stderr
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 600
    if "Error" in why and "Runtime" not in why:
        file = "/nowhere/of/all" if "Errno" in why else str(package / "__init__.py")
        assert ("numba.extending" in why) or file in done.stderr
    if not does:
        assert str(package) in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("no compiler", SWEEP_SHARDS.format(engine="auto")),  # by processes
        ("an error of LLVM", SWEEP_SHARDS.format(engine="auto")),  # by threads
        ("no compiler", IN_FILES),
    ],
)
def test_one_line_for_all_workers(case, code, by_numpy, tmp_path):
    first, environment, why = UNUSABLE[case]
    done = run_python(first, BEGIN, code, RESULTS=str(tmp_path / "results"), **environment)
    assert done.stdout == by_numpy, done.stderr
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_closed_stderr_ends_nothing(by_numpy):
    for how in ("sys.stderr.close()", "sys.stderr = None"):
        done = run_python(
            BEGIN, how + "\n", TRAIN.format(engine="auto"), "sys.stderr = sys.__stderr__ = None",
            NUMBA_DISABLE_JIT="1",
        )  # fmt: skip
        assert done.stdout == by_numpy


def test_a_usable_choice_of_processor_is_no_problem():
    code = "from relulab.training import numba_support; print(numba_support.problem())"
    done = run_python(code, NUMBA_CPU_NAME="generic")
    assert done.stdout == "None\n"
    assert done.stderr == ""


@posix
@pytest.mark.slow
def test_a_worker_of_a_cluster_decides_for_itself(tmp_path, by_numpy):
    pytest.importorskip("distributed", reason="Dask (extra dask) missing")
    from test_cluster import Cluster

    with ExitStack() as processes:
        cluster = Cluster(tmp_path, processes, 0)
        cluster.environment["NUMBA_DISABLE_JIT"] = "1"
        cluster.worker(2)
        # Numba is usable here, where nothing is trained.
        done = run_python(
            BEGIN,
            "from relulab.sweeps.dask_client import dask_client\n"
            f"with dask_client({cluster.address!r}) as client:\n",
            "    show(SWEEP.run(shard_size=50, client=client))\nprint('numba' in sys.modules)",
        )  # fmt: skip
    assert done.stdout == by_numpy + "False\n", done.stderr


# The cache. Most is tried with a small kernel of its own file, which compiles in a moment.

KERNEL = """
import numba
from relulab.training.kernel_cache import keep_on_disk

@numba.njit
def plus(a, b):
    return a + b

def add(x):
    total = x[0]
    for i in range(1, x.size):
        total = plus(total, x[i])
    return total

add = numba.njit(add)
keep_on_disk(add)
"""


class Small:
    """A source file with a kernel, and the folder in which its code is kept."""

    def __init__(self, folder, monkeypatch):
        self.source, self.cache = folder / "small.py", folder / "cache"
        self.monkeypatch = monkeypatch
        self.source.write_text(KERNEL)

    def kernel(self):
        """Return the kernel, of the module imported anew."""
        spec = spec_from_file_location("small", self.source)
        module = module_from_spec(spec)
        self.monkeypatch.setitem(sys.modules, "small", module)
        spec.loader.exec_module(module)
        return module.add

    def total(self, dtype="float64"):
        """Return the kernel's sum of 0.1, 0.2, 0.3, and whether it was compiled again."""
        add = self.kernel()
        total = add(np.array([0.1, 0.2, 0.3], dtype))
        return total, bool(add.stats.cache_misses)

    @property
    def files(self):
        return sorted(self.cache.rglob("*.kernel"))


RIGHT = 0.1 + 0.2 + 0.3


@pytest.fixture
def small(tmp_path, monkeypatch):
    import numba

    small = Small(tmp_path, monkeypatch)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(small.cache))
    monkeypatch.setattr(numba_support, "_said", set())
    assert small.total() == (RIGHT, True)
    assert small.total() == (RIGHT, False)
    [_] = small.files
    return small


def test_other_signatures_have_other_files(small):
    single = np.float32(0.1) + np.float32(0.2) + np.float32(0.3)
    assert small.total("float32") == (single, True)
    assert small.total("float32") == (single, False)
    assert small.total() == (RIGHT, False)
    assert len(small.files) == 2


def emptied(content):
    return b""


def truncated(content):
    return content[:-1]


def cut_in_the_middle(content):
    return content[: len(content) // 2]


def zeroed(content):
    return bytes(len(content))


def longer(content):
    return content + b"\0"


def of_something_else(content):
    return b"<html>404</html>"


@pytest.mark.parametrize(
    "damage", [emptied, truncated, cut_in_the_middle, zeroed, longer, of_something_else]
)
def test_a_damaged_file_is_named_and_replaced(small, damage, capsys):
    [file] = small.files
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert small.total() == (RIGHT, True)
    assert capsys.readouterr().err == f"{file}: damaged; compiled again\n"
    assert small.total() == (RIGHT, False)
    file.write_bytes(damage(whole))
    assert small.total() == (RIGHT, True)
    assert capsys.readouterr().err == ""  # one line is enough
    assert small.files == [file]


def test_any_flipped_bit_is_seen(small):
    from relulab.training.kernel_cache import DamagedError, KernelFiles

    [file] = small.files
    whole = file.read_bytes()
    files = KernelFiles(file.parent, "any", None)
    files.file = lambda key: file
    assert files.load("another key") is None
    places = np.random.default_rng(0).integers(0, 8 * len(whole), 300)
    for place in (*range(8 * 49), *places, 8 * len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(DamagedError, match="damaged"):
            files.load("another key")


def test_the_code_of_another_signature_is_not_taken(small):
    """As two processes could bring about that wrote one file at a time."""
    small.total("float32")
    one, two = small.files
    shutil.copy(one, two)
    assert small.total("float32")[0] == np.float32(0.1) + np.float32(0.2) + np.float32(0.3)
    assert small.total()[0] == RIGHT


def test_code_of_another_source_is_not_taken(small, capsys):
    """What has changed is not the kernel, but what it calls."""
    small.source.write_text(KERNEL.replace("return a + b", "return a - b"))
    assert small.total() == (0.1 - 0.2 - 0.3, True)
    assert small.total() == (0.1 - 0.2 - 0.3, False)
    assert len(small.files) == 1
    assert capsys.readouterr().err == ""


def test_code_of_another_version_of_numba_is_not_taken(small, monkeypatch, capsys):
    from relulab.training import kernel_cache

    monkeypatch.setattr(kernel_cache, "VERSIONS", ("another",))
    assert small.total() == (RIGHT, True)
    assert len(small.files) == 2
    assert capsys.readouterr().err == ""


def test_code_that_cannot_be_linked_is_compiled_anew(small, capsys, monkeypatch):
    from numba.core.compiler import CompileResult

    def fails(*_):
        raise RuntimeError("no\nsymbol")

    with monkeypatch.context() as patched:
        patched.setattr(CompileResult, "_rebuild", fails)
        assert small.total() == (RIGHT, True)
    [file] = small.files
    assert capsys.readouterr().err == (
        f"{file.parent}: RuntimeError('no\\nsymbol'); compiled again\n"
    )
    assert small.total() == (RIGHT, False)


def test_a_folder_in_the_place_of_a_file(small, capsys):
    [file] = small.files
    file.unlink()
    file.mkdir()
    for _ in range(2):
        assert small.total() == (RIGHT, True)
    said = capsys.readouterr().err
    assert str(file) in said
    assert said.count("\n") == 1
    assert [f.name for f in small.cache.rglob("*") if f.suffix == ".tmp"] == []


def test_a_file_that_may_not_be_read(small, capsys, monkeypatch):
    read = Path.read_bytes

    def refused(path):
        if path.suffix == ".kernel":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    assert small.total() == (RIGHT, True)
    [file] = small.files
    assert capsys.readouterr().err == (
        f"[Errno {errno.EACCES}] {os.strerror(errno.EACCES)}: '{file}'; compiled again\n"
    )


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_no_room_for_the_cache(small, capsys, monkeypatch, code):
    [file] = small.files
    file.unlink()

    def fails(path, content):
        path.touch()
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "write_bytes", fails)
    for _ in range(2):
        assert small.total() == (RIGHT, True)
    said = capsys.readouterr().err
    assert said.startswith(f"[Errno {code}] {os.strerror(code)}: '{small.cache}")
    assert said.endswith("; compiled kernels are not kept, so each start compiles them again\n")
    assert said.count("\n") == 1
    assert [f for f in small.cache.rglob("*") if f.is_file()] == []


def test_the_folder_vanishes_while_running(small, capsys):
    add = small.kernel()
    shutil.rmtree(small.cache)
    assert add(np.array([0.1, 0.2, 0.3])) == RIGHT
    assert len(small.files) == 1
    add = small.kernel()
    shutil.rmtree(small.cache)
    small.cache.write_text("a file, not a folder")
    assert add(np.array([0.1, 0.2, 0.3])) == RIGHT
    said = capsys.readouterr().err
    assert str(small.cache) in said
    assert said.count("\n") == 1


def test_no_folder_at_all(small, monkeypatch, capsys):
    import numba

    class Nowhere:
        @classmethod
        def from_function(cls, *_):
            return None

    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [Nowhere])
    for _ in range(2):
        assert small.total() == (RIGHT, True)
    assert capsys.readouterr().err == ""


def test_another_numba_inside_costs_the_cache_alone(small, monkeypatch, capsys):
    import numba

    monkeypatch.delattr(numba.core.caching.CacheImpl, "get_filename_base")
    assert small.total()[0] == RIGHT
    assert "; compiled kernels are not kept\n" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_that_start_together(small):
    shutil.rmtree(small.cache)
    code = f"""
import sys
import numpy as np
sys.path.insert(0, {str(small.source.parent)!r})
from small import add
dtypes = ["float64", "float32", "int64"]
first = int(sys.argv[1])
sys.stdin.read(1)
for dtype in dtypes[first:] + dtypes[:first]:
    print(dtype, add(np.array([1, 2, 4], dtype)))
"""
    command = [sys.executable, "-W", "error", "-c", code]
    children = [
        subprocess.Popen(
            [*command, str(k)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env=os.environ | {"NUMBA_CACHE_DIR": small.cache},
        )
        for k in range(3)
    ]  # fmt: skip
    for child in children:
        child.stdin.write("g")
        child.stdin.flush()
    for child in children:
        told, _ = child.communicate()
        assert sorted(told.splitlines()) == ["float32 7.0", "float64 7.0", "int64 7"], told
    assert len(small.files) == 3
    assert small.total() == (RIGHT, False)


# The cache of the engine itself.


@pytest.fixture(scope="module")
def compiled_files(tmp_path_factory, by_numpy):
    """Return a cache folder that holds all that BEGIN's sweep needs."""
    cache = tmp_path_factory.mktemp("cache")
    where = "from relulab.training.numba_engine import _train; print(_train.stats.cache_path)"
    told = run_python(where, NUMBA_CACHE_DIR=str(cache))
    there = Path(told.stdout.strip())
    assert there.is_relative_to(cache), told.stderr
    # What this process has on disk is copied, because compiling takes many seconds.
    names: dict = {}
    exec(BEGIN, names)
    names["SWEEP"].train(0, len(names["SWEEP"]), "numba")
    from relulab.training.numba_engine import _train

    for file in Path(_train.stats.cache_path).glob("numba_*.kernel"):
        shutil.copy(file, there)
    return cache


@pytest.fixture
def cache(compiled_files, tmp_path):
    return shutil.copytree(compiled_files, tmp_path / "cache")


def test_the_next_process_compiles_nothing(cache, by_numpy):
    done = run_python(BEGIN, TRAIN.format(engine="auto"), END, NUMBA_CACHE_DIR=str(cache))
    assert done.stdout == by_numpy + "0\n", done.stderr
    assert done.stderr == ""


def kernels_called(kernel):
    """Return the kernels that a kernel calls, and that these call."""
    from numba.core.dispatcher import Dispatcher

    code, known = kernel.py_func.__code__, kernel.py_func.__globals__
    found = [known.get(name) for name in code.co_names]
    called = {other for other in found if isinstance(other, Dispatcher)}
    return called.union(*map(kernels_called, called))


def test_every_kernel_is_compiled_anew_when_code_that_it_calls_changes():
    from numba.core.dispatcher import Dispatcher

    from relulab.training import numba_engine

    modules = [module for name, module in sys.modules.items() if name.startswith(ENGINE_FILES)]
    kernels = {
        kernel
        for module in modules
        for kernel in vars(module).values()
        if isinstance(kernel, Dispatcher)
    }
    assert numba_engine._train in kernels
    for kernel in kernels:
        needed = {other.py_func.__module__ for other in kernels_called(kernel)}
        stamped = {name for name, *_ in kernel._cache._cache_file.stamp[1]}
        assert needed - {kernel.py_func.__module__} <= stamped, kernel


@pytest.mark.slow
def test_every_file_of_the_engine_is_damaged(cache, by_numpy):
    files = sorted(cache.rglob("*.kernel"))
    assert len(files) > 10
    for k, file in enumerate(files):
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes([b"", content[: len(content) // 3], content][k % 3])
    codes = BEGIN, TRAIN.format(engine="auto"), END
    done = run_python(*codes, NUMBA_CACHE_DIR=str(cache))
    assert done.stdout == by_numpy + "1\n", done.stderr
    assert done.stderr.count("\n") == 1
    assert any(done.stderr == f"{file}: damaged; compiled again\n" for file in files)
    again = run_python(*codes, NUMBA_CACHE_DIR=str(cache))
    assert again.stdout == by_numpy + "0\n", again.stderr
    assert again.stderr == ""


@pytest.mark.slow
@posix
def test_a_full_cache_disk_is_no_full_results_disk(cache, by_numpy, tmp_path):
    files = list(cache.rglob("numba_following._follow-*.kernel"))  # of each signature in use
    size = min(file.stat().st_size for file in files)
    for file in files:
        file.unlink()
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size // 2},) * 2)\n"
    done = run_python(
        limit, BEGIN, IN_FILES, RESULTS=str(tmp_path / "results"), NUMBA_CACHE_DIR=str(cache)
    )
    assert done.stdout == by_numpy, done.stderr
    assert done.stderr.startswith(f"{files[0].parent}: ")
    assert os.strerror(errno.EFBIG) in done.stderr
    assert "; compiled kernels are not kept" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_file_in_the_place_of_the_cache_folder(tmp_path, by_numpy):
    place = tmp_path / "cache"
    place.write_text("a file, not a folder")
    done = run_python(BEGIN, TRAIN.format(engine="auto"), NUMBA_CACHE_DIR=str(place))
    assert done.stdout == by_numpy, done.stderr
    assert done.stderr == ""
    assert place.read_text() == "a file, not a folder"
