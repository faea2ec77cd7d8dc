"""Independent tasks: in this process if that is enough, otherwise by workers of joblib or Dask."""

import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from importlib import import_module
from threading import Condition, Semaphore, get_ident
from typing import Any

import joblib
from joblib.parallel import get_active_backend

from relulab.sweeps.attempts import Done, Lost, Tasks, attempt
from relulab.sweeps.dask import by_dask
from relulab.sweeps.interrupts import interrupts_wait
from relulab.training.engines import ENGINES, resolved_engine
from relulab.validation import InputError, one_of, shown


def checked_n_jobs(n_jobs: object) -> int:
    """Return the number of workers, or raise InputError."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InputError(f"n_jobs: expected a whole number other than 0, got {shown(n_jobs)}")
    return n_jobs


def checked_client(client: object) -> Any:
    """Return a client of a Dask cluster, or None; raise InputError for anything else."""
    if client is not None and not (hasattr(client, "submit") and hasattr(client, "scheduler")):
        raise InputError(f"client: expected a distributed.Client, got {shown(client)}")
    return client


def engine_for_workers(name: object, client: Any = None) -> tuple[str, bool]:
    """Return the engine for the workers, and whether they should be threads of this process.

    Workers of a Dask cluster choose for themselves, because Numba may be usable here and not
    there, or the other way round. For all others it is chosen here, so that only one line, not one
    per worker, says why Numba cannot be used.
    """
    engine = one_of("engine", name, ENGINES)
    if client is not None:
        return engine, False
    threads = resolved_engine(engine) == "numba"
    # The name that was asked for: with "auto", NumPy takes over even if Numba fails at a kernel.
    return (engine if threads else "numpy"), threads


def map_unordered(
    function: Callable[..., Any],
    tasks: Sequence[tuple[Any, ...]],
    *,
    n_jobs: int,
    threads: bool,
    client: Any = None,
    spare: int = 0,
) -> Generator[tuple[int, Any], None, None]:
    """Yield (index of the task, ``function(*task)``) as the tasks finish.

    ``n_jobs`` is as in joblib: -1 is one worker per core. ``threads`` means that the function
    releases the GIL: then the workers are threads of this process, otherwise processes. A single
    task or a single worker needs no process. A backend chosen by ``joblib.parallel_config`` takes
    precedence over this, and the cluster of a Dask ``client`` over everything. With threads, there
    are ``spare`` more; see ``Turns``.

    An exception of the function is raised here. When a worker process dies, which ends the others,
    too, the tasks that may have been running are tried again, each alone; one that dies again
    yields ``Lost``. Workers of a Dask cluster that answer ``Unseen`` get no further task; from
    other workers that is a result like any other.
    """
    numbered = dict(enumerate(tasks))
    if client is not None:
        done = by_dask(client, function, numbered)
    else:
        n_workers = joblib.effective_n_jobs(n_jobs)
        done = _by_joblib(function, numbered, n_workers, threads, spare)
    with closing(done):
        for i, result, error in done:
            if error:
                raise error
            yield i, result


def _by_joblib(
    function: Callable[..., Any], tasks: Tasks, n_workers: int, threads: bool, spare: int
) -> Generator[Done, None, None]:
    left = dict(tasks)
    while left:
        try:
            for i, result, error in _attempted(
                function, dict(left), min(n_workers, len(left)), threads, spare
            ):
                del left[i]
                yield i, result, error
        except Exception:  # the pool broke; not the function, whose exceptions are results
            # Tasks go to the workers in their order, not more than this many ahead.
            for i in list(left)[: 2 * n_workers]:
                yield _alone(i, function, left.pop(i))


def _alone(i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> Done:
    """Return the result of a task done by a worker with no other task, or ``Lost``."""
    try:
        [done] = _attempted(function, {i: task}, n_workers=2, threads=False)
    except Exception:
        return i, Lost(traceback.format_exc()), None
    return done


def _attempted(
    function: Callable[..., Any], tasks: Tasks, n_workers: int, threads: bool, spare: int = 0
) -> Generator[Done, None, None]:
    prefer = "threads" if threads else "processes"
    backend, _ = get_active_backend(prefer=prefer)
    in_threads = getattr(backend, "supports_sharedmem", False)
    processes = n_workers > 1 and not in_threads
    if threads and in_threads:
        n_workers += spare
    workers = joblib.Parallel(
        # Even a single thread is not this one, which listens for Ctrl-C meanwhile.
        n_jobs=max(n_workers, 2) if threads and in_threads else n_workers,
        pre_dispatch=1 if n_workers == 1 else "2*n_jobs",
        batch_size=1,
        prefer=prefer,
        # Ray's backend yields nothing before it has all results.
        return_as="generator_unordered" if backend.supports_return_generator else "list",
    )
    calls = (joblib.delayed(attempt)(i, function, task) for i, task in tasks.items())
    results: Any = []
    try:
        with _deaf_children() if processes else nullcontext():
            results = workers(calls)
        for done in results:  # noqa: UP028 - that would close them before we can be quiet
            yield done
    finally:
        with _quiet_manager() if processes else nullcontext(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about tasks left, which we know of
            if not isinstance(results, list):
                results.close()


class Turns(Semaphore):
    """A limit on how many workers do something at a time; a worker elsewhere need not wait.

    With one more thread than turns, one writes to the disk while all others compute.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return nullcontext, ()


class Gate:
    """Lets threads of this process in until it is closed, which waits for those inside.

    So none of them is left in the middle of a file when this process ends. A worker elsewhere has
    a gate of its own, which stays open: it is killed instead.
    """

    def __init__(self) -> None:
        self._open = True
        self._inside: set[int] = set()
        self._changed = Condition()

    @contextmanager
    def entered(self) -> Iterator[bool]:
        """Enter if the gate is open, and yield whether it is."""
        me = get_ident()
        try:
            with self._changed:
                if self._open:
                    self._inside.add(me)
            yield me in self._inside
        finally:
            with self._changed:
                self._inside.discard(me)
                self._changed.notify_all()

    def close(self) -> None:
        """Close the gate; return when no other thread is inside."""
        with self._changed:
            self._open = False
            # Ctrl-C may have come upon this thread inside.
            self._changed.wait_for(lambda: self._inside <= {get_ident()})

    def __reduce__(self) -> tuple[Any, ...]:
        return Gate, ()


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which a terminal sends to all of them.

    Otherwise each would print a traceback, and the parent ends them anyway. Children inherit the
    blocked signals. A Ctrl-C that comes meanwhile is handled when all have started: half of a pool
    cannot be ended silently.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _start_trackers()
    # Other threads, such as those of linear algebra, do not block it, so blocking is not enough.
    with interrupts_wait():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _quiet_manager() -> Iterator[None]:
    """Keep joblib's thread from reporting results of tasks that were just given up."""
    hook = threading.excepthook

    def said(what: threading.ExceptHookArgs) -> None:
        if what.thread is None or what.thread.name != "ExecutorManagerThread":
            hook(what)

    threading.excepthook = said
    try:
        yield
    finally:
        threading.excepthook = hook


def _start_trackers() -> None:
    """Start the processes that clean up after others, which otherwise start with the first child.

    Python's would then unblock the signals that we block for the children. joblib's warns at its
    end of what killed workers left, which it cleans up: nobody needs those lines.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        import_module("multiprocessing.resource_tracker").ensure_running()
        import_module("joblib.externals.loky.backend.resource_tracker").ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before
