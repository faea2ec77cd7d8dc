"""Independent tasks: in this process when that is enough, else by threads or joblib's workers."""

import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread, current_thread, main_thread
from typing import Any

import joblib

from relulab import cluster
from relulab.settings import ENGINES, resolved_engine
from relulab.tasks import Done, Lost, Tasks, attempt
from relulab.validation import InputError, one_of, shown

# What joblib takes where nobody has chosen.
OUR_BACKENDS = (
    joblib._parallel_backends.LokyBackend,
    joblib._parallel_backends.ThreadingBackend,
)


def checked_n_jobs(n_jobs: object) -> int:
    """Return the number of workers, or raise InputError."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InputError(f"n_jobs: expected a whole number other than 0, got {shown(n_jobs)}")
    return n_jobs


def engine_for_workers(name: object) -> tuple[str, bool]:
    """Return the engine to name to the workers, and whether they are best threads of this process.

    Workers of a backend that was chosen, which may be on other machines, choose themselves, because
    Numba may be usable here and not there, or the other way round. Otherwise it is chosen here, so
    that one line says why Numba cannot be used, and not one for each worker.
    """
    engine: str = one_of("engine", name, ENGINES)
    backend, _ = joblib.parallel.get_active_backend()
    if not isinstance(backend, OUR_BACKENDS):
        return engine, False
    threads = resolved_engine(engine) == "compiled"
    # As it was asked for: with "auto", lockstep goes on even if Numba fails at a kernel.
    return (engine if threads else "lockstep"), threads


def check_workers(folder: Path, function: Callable[..., bool], *args: Any) -> None:
    """Refuse workers elsewhere of which one does not see a folder; see ``cluster.check_workers``.

    ``function(*args)`` says on a worker whether it sees the folder. Where the workers are threads
    or processes of this machine nothing is asked.
    """
    backend, _ = joblib.parallel.get_active_backend()
    if _is_dask(backend):
        cluster.check_workers(backend.client, folder, function, *args)


def map_unordered(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], *, n_jobs: int, threads: bool
) -> Generator[tuple[int, Any], None, None]:
    """Yield (index of the task, ``function(*task)``) as the tasks get done.

    ``n_jobs`` as in joblib: -1 is one worker for each core. ``threads`` tells that the function
    releases the GIL: then the workers are threads of this process, else processes, but for a single
    task or a single worker, which need none. A backend that was chosen by
    ``joblib.parallel_config`` goes before all that.

    An exception of the function is raised here. When a worker process dies, which takes the others
    with it, the tasks that may have been running are tried again, each alone; one that dies again
    yields ``Lost``. Workers of a Dask cluster that answer ``Unseen`` get no further task; of others
    that is a result like any.
    """
    numbered = dict(enumerate(tasks))
    backend, _ = joblib.parallel.get_active_backend()
    if _is_dask(backend):
        done = cluster.by_dask(backend.client, function, numbered)
    elif not isinstance(backend, OUR_BACKENDS):
        done = _by_processes(function, numbered, n_jobs)
    elif threads:
        done = _by_threads(function, numbered, n_jobs)
    elif n_jobs == 1 or len(numbered) == 1:
        done = (attempt(i, function, task) for i, task in numbered.items())
    else:
        done = _by_processes(function, numbered, n_jobs)
    with closing(done):
        for i, result, error in done:
            if error:
                raise error
            yield i, result


def _is_dask(backend: Any) -> bool:
    return type(backend).__name__ == "DaskDistributedBackend"  # which is there only if Dask is


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


def _by_threads(
    function: Callable[..., Any], tasks: Tasks, n_jobs: int
) -> Generator[Done, None, None]:
    """Yield the results of tasks that threads work on.

    Not joblib's, which looks for results a hundred times a second, and which the end of the program
    waits for: so an interrupt need not wait for a task.
    """
    waiting: SimpleQueue[tuple[int, tuple[Any, ...]]] = SimpleQueue()
    results: SimpleQueue[Done] = SimpleQueue()
    for task in tasks.items():
        waiting.put(task)

    def work() -> None:
        with suppress(Empty):
            while True:
                i, task = waiting.get_nowait()
                results.put(attempt(i, function, task))

    for _ in range(min(joblib.effective_n_jobs(n_jobs), len(tasks))):
        Thread(target=work, daemon=True).start()
    n_left = len(tasks)
    try:
        while n_left:
            # An interrupt just before a wait does not end the wait, so none is for ever.
            with suppress(Empty):
                yield results.get(timeout=0.5)
                n_left -= 1
    finally:
        with suppress(Empty):
            while True:  # the threads take no more
                waiting.get_nowait()


def _by_processes(
    function: Callable[..., Any], tasks: Tasks, n_jobs: int
) -> Generator[Done, None, None]:
    left = dict(tasks)
    while left:
        try:
            for i, result, error in _by_joblib(function, dict(left), n_jobs):
                del left[i]
                yield i, result, error
        except Exception:  # the pool broke; not the function, whose exceptions are results
            # Tasks go to the workers in their order, not more than this many ahead.
            for i in list(left)[: 2 * joblib.effective_n_jobs(n_jobs)]:
                yield _alone(i, function, left.pop(i))


def _alone(i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> Done:
    """Return what a worker that has no other task makes of one, or ``Lost``."""
    try:
        [done] = _by_joblib(function, {i: task}, n_jobs=2)
    except Exception:
        return i, Lost(traceback.format_exc()), None
    return done


def _by_joblib(
    function: Callable[..., Any], tasks: Tasks, n_jobs: int
) -> Generator[Done, None, None]:
    backend, _ = joblib.parallel.get_active_backend()
    workers = joblib.Parallel(
        n_jobs=n_jobs,
        # Ray's backend gives nothing before it has all.
        return_as="generator_unordered" if backend.supports_return_generator else "list",
        batch_size=1,
    )
    calls = (joblib.delayed(attempt)(i, function, task) for i, task in tasks.items())
    results: Any = []
    try:
        with _deaf_children() if backend.supports_return_generator else nullcontext():
            results = workers(calls)
        for done in results:  # noqa: UP028 - that would close them before we can be quiet
            yield done
    finally:
        with warnings.catch_warnings(), _quiet_manager():
            warnings.simplefilter("ignore", UserWarning)  # that tasks are left, which we know
            if not isinstance(results, list):
                results.close()
