"""Independent tasks: in this process when that is enough, else by joblib's workers or Dask's."""

import logging
import platform
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import joblib

from relulab.validation import InputError, shown

Tasks = Mapping[int, tuple[Any, ...]]

# The number of a task, its result or None, and its exception or None.
Done = tuple[int, Any, Exception | None]

# What joblib takes where nobody has chosen.
OUR_BACKENDS = (
    joblib._parallel_backends.LokyBackend,
    joblib._parallel_backends.ThreadingBackend,
)

# Seconds without a result after which we look whether the cluster has a worker at all.
PATIENCE = 10


@dataclass(frozen=True)
class Lost:
    """The result of a task that no worker could finish: killed for its memory, most often.

    Attributes
    ----------
    error : str
        What the pool said, as a traceback.
    """

    error: str


def checked_n_jobs(n_jobs: object) -> int:
    """Return the number of workers, or raise InputError."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InputError(f"n_jobs: expected a whole number other than 0, got {shown(n_jobs)}")
    return n_jobs


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
    yields ``Lost``.
    """
    numbered = dict(enumerate(tasks))
    backend, _ = joblib.parallel.get_active_backend()
    if type(backend).__name__ == "DaskDistributedBackend":  # which is there only if Dask is
        done = _by_dask(backend.client, function, numbered)
    elif not isinstance(backend, OUR_BACKENDS):
        done = _by_processes(function, numbered, n_jobs)
    elif threads:
        done = _by_threads(function, numbered, n_jobs)
    elif n_jobs == 1 or len(numbered) == 1:
        done = (_numbered(i, function, task) for i, task in numbered.items())
    else:
        done = _by_processes(function, numbered, n_jobs)
    with closing(done):
        for i, result, error in done:
            if error:
                raise error
            yield i, result


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
                results.put(_numbered(i, function, task))

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
    results = workers(joblib.delayed(_numbered)(i, function, task) for i, task in tasks.items())
    try:
        for done in results:  # noqa: UP028 - that would close them before we can be quiet
            yield done
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that tasks are left, which we know
            if not isinstance(results, list):
                results.close()


def _numbered(i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> Done:
    try:
        return i, function(*task), None
    except Exception as error:
        return i, None, error


def _by_dask(
    client: Any, function: Callable[..., Any], tasks: Tasks
) -> Generator[Done, None, None]:
    """Yield the results of the workers of a Dask cluster.

    Not through joblib, whose Dask backend waits for ever for a task that Dask has given up: one
    that has killed several workers, or that a worker cannot even load.
    """
    distributed = import_module("distributed")
    ours = version("relulab")
    to_come = iter(tasks.items())
    running: dict[Any, int] = {}
    alone = False
    try:
        while True:
            # A few ahead for each core, of all who have joined by now.
            ahead = 2 * sum(client.nthreads().values()) or 1
            for i, task in islice(to_come, max(ahead - len(running), 0)):
                running[client.submit(_on_worker, ours, i, function, task, pure=False)] = i
            if not running:
                return
            try:
                ended = distributed.wait(list(running), PATIENCE, "FIRST_COMPLETED").done
            except TimeoutError:
                if not alone and not client.nthreads():
                    print("the cluster has no worker; waiting for one", file=sys.stderr)
                    alone = True
                continue
            alone = False
            for future in ended:
                # A result that died with its worker meanwhile is made again.
                if future.status in ("finished", "error"):
                    done = _fetched(running[future], future)
                    del running[future]
                    yield done
    except (CancelledError, OSError):
        raise ConnectionError(
            "the scheduler of the cluster is gone; what is finished is kept, and the same command"
            " goes on from there when it is back"
        ) from None
    finally:
        client.cancel(list(running))


def _on_worker(ours: str, i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> Done:
    """Do a task on a worker of the version that sent it, whose bits it must have."""
    if (theirs := version("relulab")) != ours:
        return i, None, _other_version(ours, f"{theirs} on {platform.node()}")
    return _numbered(i, function, task)


def _fetched(i: int, future: Any) -> Done:
    try:
        done: Done = future.result()
    except (CancelledError, OSError):
        raise  # the scheduler is gone
    except ModuleNotFoundError as error:
        return i, None, _other_version(version("relulab"), f"none on a worker ({error})")
    except Exception as error:
        return i, Lost("".join(traceback.format_exception(error))), None
    return done


def _other_version(ours: str, found: str) -> InputError:
    return InputError(f"--scheduler: expected workers with relulab {ours}, found {found}")


@contextmanager
def dask_cluster(address: str) -> Iterator[None]:
    """Send tasks to the Dask cluster at an address.

    Raises
    ------
    InputError
        If Dask is not installed, or no scheduler answers; while running, if a worker has another
        relulab than we.
    """
    try:
        distributed: Any = import_module("distributed")
    except ModuleNotFoundError:
        raise InputError(
            "--scheduler: expected Dask where a scheduler is named, found none;"
            " pip install 'relulab[dask]' brings it"
        ) from None
    # What it has to say of a lost scheduler is many lines, and we say it in one. Its parts, most of
    # which have the level of the first of these, tell it, whichever is the first to notice.
    for part in ("distributed", "distributed.client"):
        logging.getLogger(part).setLevel(logging.CRITICAL)
    try:
        if not address.strip():  # for which Dask would start a cluster of its own
            raise ValueError("nothing")
        client = distributed.Client(address, timeout=10)
    except Exception as error:  # each kind of address has its own
        raise InputError(
            f"--scheduler: expected the address of a Dask scheduler, such as tcp://host:8786, got"
            f" {shown(address)} ({shown(str(error))})"
        ) from None
    with client, joblib.parallel_config(backend="dask"):
        yield
