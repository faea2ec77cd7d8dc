"""Whether Numba can be used in this process and, if not, why.

Nothing here loads an engine. Numba is imported once, when training first needs it, and the result
holds for the process.
"""

import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from threading import RLock

# LLVM ends the process or writes pages to stderr for an unknown processor or feature, and a feature
# that the processor lacks kills with SIGILL. So a child process tries them on a loop that LLVM
# vectorizes.
TRIAL = """
import sys
sys.path[:] = sys.argv[1:]
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
import numba, numpy
@numba.njit(error_model="numpy")
def step(x, y, n):
    for i in range(x.size):
        slope = x[i] * y[i] + y[i]
        y[i] = y[i] - x[i] * slope / n if abs(slope) > n else y[i]
for number in (numpy.float64, numpy.float32):
    step(numpy.arange(256).astype(number), numpy.ones(256, number), number(3))
"""
TRIAL_SECONDS = 120
TRIAL_FOR = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")

# The most letters shown of an exception; Numba's fill pages.
MOST_LETTERS = 240


class CompilerError(RuntimeError):
    """Numba failed to compile a kernel or to call it for the first time."""


_lock = RLock()
_problems: list[str | None] = []  # the results, the last one valid; empty until the first call
_said: set[str] = set()


def is_installed() -> bool:
    """Return whether Numba is installed, usable or not, without importing it."""
    try:
        return find_spec("numba") is not None
    except ValueError:  # a module without a specification is in its place
        return True


def problem() -> str | None:
    """Return why Numba cannot be used in this process, or None if it can."""
    with _lock:  # one thread looks, the others wait for its result
        if not _problems:
            _problems.append(_found())
        return _problems[-1]


def note_failure(error: BaseException) -> None:
    """Remember that Numba failed, so that nothing in this process tries it again."""
    with _lock:
        _problems.append(_told(error))


def say_once(topic: str, line: str) -> None:
    """Print a line on stderr, unless this process has printed one on the topic."""
    with _lock:
        if topic in _said:
            return
        _said.add(topic)
    if sys.stderr is not None:
        with suppress(OSError, ValueError):  # closed; work continues
            print(line, file=sys.stderr)


def _found() -> str | None:
    try:
        numba = import_module("numba")
        if getattr(numba, "__file__", None) is None:  # a namespace: folders without __init__.py
            return f"there is no Numba in {', '.join(numba.__path__)}"
        # Everything that the engine imports: find what is broken before choosing the engine.
        for name in ("llvmlite.binding", "numba.extending", "numba.core.caching"):
            import_module(name)
        if numba.config.DISABLE_JIT:
            return "NUMBA_DISABLE_JIT is set"
    except Exception as error:  # anything that a broken installation raises
        return _told(error)
    chosen = [f"{name}={os.environ[name]}" for name in TRIAL_FOR if os.environ.get(name)]
    return _tried(" ".join(chosen)) if chosen else None


def _tried(chosen: str) -> str | None:
    """Compile in a child process with the user's settings; return why that failed."""
    if not sys.executable:
        return None
    try:
        child = subprocess.run(
            [sys.executable, "-c", TRIAL, *sys.path],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # then nothing is known
        return None
    said = child.stderr.decode(errors="replace")
    unknown = [line for line in said.splitlines() if "not a recognized" in line]
    if unknown:
        return _one_line(f"{chosen}: {unknown[0]}")
    if child.returncode == 0:
        return None
    ended = f"status {child.returncode}"
    with suppress(ValueError):
        ended = signal.Signals(-child.returncode).name
    return _one_line(f"{chosen} ends a process that compiles with {ended}")


def _told(error: BaseException) -> str:
    """Return an exception as one line, with the file that raised it if that is a cause."""
    cause = error.__cause__ if isinstance(error, CompilerError) and error.__cause__ else error
    text = _one_line(f"{type(cause).__name__}: {cause}")
    file = getattr(cause, "filename", None)
    if not isinstance(file, str):
        frames = traceback.extract_tb(cause.__traceback__)
        files = [frame.filename for frame in frames if not frame.filename.startswith("<")]
        file = files[-1] if files and isinstance(cause, ImportError | AttributeError) else None
    return text if file is None or file in text or file == __file__ else f"{text}; {file}"


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 3] + "..."
