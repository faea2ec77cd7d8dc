"""Independent tasks: in this process when that is enough, else by joblib's workers or Dask's."""

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import joblib

from relulab.validation import InputError, shown

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
) -> Iterator[tuple[int, Any]]:
    """Yield (index of the task, ``function(*task)``) as the tasks get done.

    ``n_jobs`` as in joblib: -1 is one worker for each core. ``threads`` tells that the function
    releases the GIL. A single task, or a single worker, runs in this process, in a thread of its
    own if it can, so that an interrupt need not wait for it. A backend that was chosen by
    ``joblib.parallel_config`` goes before all that.

    An exception of the function is raised here. When a worker process dies, which takes the others
    with it, the tasks that may have been running are tried again, each alone; one that dies again
    yields ``Lost``.
    """
    left = dict(enumerate(tasks))
    backend, _ = joblib.parallel.get_active_backend()
    if type(backend).__name__ == "DaskDistributedBackend":  # which is there only if Dask is
        for i, result, error in _by_dask(backend.client, function, left):
            if error:
                raise error
            yield i, result
        return
    if (n_jobs == 1 or len(left) == 1) and isinstance(backend, OUR_BACKENDS):
        yield from _here(function, dict(left), threads)
        return
    while left:
        done = _by_workers(function, dict(left), n_jobs, threads)
        while left:
            try:
                i, result, error = next(done)
            except Exception:  # the pool broke; not the function, whose exceptions are results
                # Tasks go to the workers in their order, not more than this many ahead.
                for i in list(left)[: 2 * joblib.effective_n_jobs(n_jobs)]:
                    yield i, _alone(function, left.pop(i))
                break
            if error:
                raise error
            del left[i]
            yield i, result


def _here(
    function: Callable[..., Any], tasks: Mapping[int, tuple[Any, ...]], threads: bool
) -> Iterator[tuple[int, Any]]:
    if not threads:
        for i, task in tasks.items():
            yield i, function(*task)
        return
    results: SimpleQueue[tuple[int, Any, Exception | None]] = SimpleQueue()

    def work() -> None:
        for i, task in tasks.items():
            results.put(_numbered(i, function, task))

    Thread(target=work, daemon=True).start()  # nobody waits for it when the program ends
    n_left = len(tasks)
    while n_left:
        try:
            # An interrupt just before a wait does not end the wait, so none is for ever.
            i, result, error = results.get(timeout=0.5)
        except Empty:
            continue
        if error:
            raise error
        n_left -= 1
        yield i, result


def _by_workers(
    function: Callable[..., Any], tasks: Mapping[int, tuple[Any, ...]], n_jobs: int, threads: bool
) -> Iterator[tuple[int, Any, Exception | None]]:
    backend, _ = joblib.parallel.get_active_backend()
    workers = joblib.Parallel(
        n_jobs=n_jobs,
        prefer="threads" if threads else "processes",
        # Ray's backend gives nothing before it has all.
        return_as="generator_unordered" if backend.supports_return_generator else "list",
        batch_size=1,
    )
    calls = (joblib.delayed(_numbered)(i, function, task) for i, task in tasks.items())
    results = workers(calls)
    try:
        for result in results:  # noqa: UP028 - that would close them before we can be quiet
            yield result
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that tasks are left, which we know
            if not isinstance(results, list):
                results.close()


def _alone(function: Callable[..., Any], task: tuple[Any, ...]) -> Any:
    """Return the result of a task in a worker that has no other, or ``Lost``."""
    try:
        [(_, result, error)] = _by_workers(function, {0: task}, n_jobs=2, threads=False)
    except Exception:
        return Lost(traceback.format_exc())
    if error:
        raise error
    return result


def _numbered(
    i: int, function: Callable[..., Any], task: tuple[Any, ...]
) -> tuple[int, Any, Exception | None]:
    """Return the number of the task, its result or None, and its exception or None."""
    try:
        return i, function(*task), None
    except Exception as error:
        return i, None, error


def _by_dask(
    client: Any, function: Callable[..., Any], tasks: Mapping[int, tuple[Any, ...]]
) -> Iterator[tuple[int, Any, Exception | None]]:
    """Yield what ``_by_workers`` does, from the workers of a Dask cluster.

    Not through joblib, whose Dask backend waits for ever for a task that Dask has given up: one
    that has killed several workers, or that a worker cannot even load.
    """
    distributed = import_module("distributed")
    to_come = iter(tasks.items())
    running: dict[Any, int] = {}
    alone = False
    try:
        while True:
            # A few ahead for each core, of all who have joined by now.
            ahead = 2 * sum(client.nthreads().values()) or 1
            for i, task in islice(to_come, max(ahead - len(running), 0)):
                running[client.submit(_numbered, i, function, task, pure=False)] = i
            if not running:
                return
            try:
                done = distributed.wait(list(running), PATIENCE, "FIRST_COMPLETED").done
            except TimeoutError:
                if not alone and not client.nthreads():
                    print("the cluster has no worker; waiting for one", file=sys.stderr)
                    alone = True
                continue
            for future in done:
                i = running.pop(future)
                if future.status == "finished":
                    yield future.result()
                else:
                    yield i, Lost("".join(traceback.format_exception(future.exception()))), None
    except (CancelledError, OSError):
        raise ConnectionError(
            "the scheduler of the cluster is gone; what is finished is kept, and the same command"
            " goes on from there when it is back"
        ) from None
    finally:
        client.cancel(list(running))


@contextmanager
def dask_cluster(address: str) -> Iterator[None]:
    """Send tasks to the Dask cluster at an address.

    Raises
    ------
    InputError
        If Dask is not installed, no scheduler answers, or a worker has another relulab than we.
    """
    try:
        distributed: Any = import_module("distributed")
    except ModuleNotFoundError:
        raise InputError(
            "--scheduler: expected Dask where a scheduler is named, found none;"
            " pip install 'relulab[dask]' brings it"
        ) from None
    try:
        if not address.strip():  # for which Dask would start a cluster of its own
            raise ValueError("nothing")
        client = distributed.Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler: expected the address of a Dask scheduler, such as tcp://host:8786, got"
            f" {shown(address)} ({shown(str(error))})"
        ) from None
    with client:
        ours = version("relulab")
        for worker, theirs in client.run(version, "relulab", on_error="return").items():
            if theirs != ours:
                found = theirs if isinstance(theirs, str) else "none"
                raise InputError(
                    f"--scheduler: expected workers with relulab {ours}, found {found} on {worker}"
                )
        with joblib.parallel_config(backend="dask"):
            yield
