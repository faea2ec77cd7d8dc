"""Independent tasks: in this process where that is enough, else by joblib's workers or Dask's."""

import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from importlib import import_module
from threading import Semaphore, current_thread, main_thread
from typing import Any

import joblib
from joblib.parallel import get_active_backend

from relulab.sweeps.attempts import Done, Lost, Tasks, attempt
from relulab.sweeps.dask import by_dask
from relulab.training.engines import ENGINES, resolved_engine
from relulab.validation import InputError, one_of, shown


def checked_n_jobs(n_jobs: object) -> int:
    """Return the number of workers, or raise InputError."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InputError(f"n_jobs: expected a whole number other than 0, got {shown(n_jobs)}")
    return n_jobs


def checked_client(client: object) -> Any:
    """Return a client of a Dask cluster, or None; raise InputError for all else."""
    if client is not None and not (hasattr(client, "submit") and hasattr(client, "scheduler")):
        raise InputError(f"client: expected a distributed.Client, got {shown(client)}")
    return client


def engine_for_workers(name: object, client: Any = None) -> tuple[str, bool]:
    """Return the engine to name to the workers, and whether they are best threads of this process.

    Workers of a Dask cluster choose themselves, because Numba may be usable here and not there, or
    the other way round. For all others it is chosen here, so that one line says why Numba cannot be
    used, and not one for each worker.
    """
    engine = one_of("engine", name, ENGINES)
    if client is not None:
        return engine, False
    threads = resolved_engine(engine) == "numba"
    # As it was asked for: with "auto", the NumPy engine goes on even if Numba fails at a kernel.
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
    """Yield (index of the task, ``function(*task)``) as the tasks get done.

    ``n_jobs`` as in joblib: -1 is one worker for each core. ``threads`` says that the function
    releases the GIL: then the workers are threads of this process, else processes, but for a single
    task or a single worker, which need none. A backend that was chosen by
    ``joblib.parallel_config`` goes before that, and the cluster of a Dask ``client`` before all.
    Of threads there are ``spare`` more; see ``Turns``.

    An exception of the function is raised here. When a worker process dies, which takes the others
    with it, the tasks that may have been running are tried again, each alone; one that dies again
    yields ``Lost``. Workers of a Dask cluster that answer ``Unseen`` get no further task; of others
    that is a result like any.
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
    """Return what a worker that has no other task makes of one, or ``Lost``."""
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
        # A single thread, too, is another than this one, which hears Ctrl-C meanwhile.
        n_jobs=max(n_workers, 2) if threads and in_threads else n_workers,
        pre_dispatch=1 if n_workers == 1 else "2*n_jobs",
        batch_size=1,
        prefer=prefer,
        # Ray's backend gives nothing before it has all.
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
            warnings.simplefilter("ignore", UserWarning)  # that tasks are left, which we know
            if not isinstance(results, list):
                results.close()


class Turns(Semaphore):
    """What workers do inside this, at most so many do at a time; a worker elsewhere need not wait.

    With one thread more than turns, one writes to the disk while all others compute.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return nullcontext, ()


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Start processes that no Ctrl-C reaches, which a terminal sends to all of them.

    They would each print a traceback, and the parent ends them anyway. A child inherits what is
    blocked. The parent takes a Ctrl-C that comes meanwhile when all of them have started: half of
    a pool cannot be ended in silence.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _start_trackers()
    handler, taken = signal.getsignal(signal.SIGINT), []
    # Other threads, such as those of linear algebra, block nothing, so blocking is not enough here.
    deferred = current_thread() is main_thread() and callable(handler)
    if deferred:
        signal.signal(signal.SIGINT, lambda *came: taken.append(came))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if deferred:
            signal.signal(signal.SIGINT, handler)
            if taken and callable(handler):
                handler(*taken[0])


@contextmanager
def _quiet_manager() -> Iterator[None]:
    """Keep joblib's thread from telling that results came for tasks that were just given up."""
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
    """Start the processes that clean up after others, which else start with the first child.

    Python's then unblocks what we block for the children. joblib's warns at its end of what workers
    that were killed have left, which it cleans up: lines that nobody can do anything about.
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
