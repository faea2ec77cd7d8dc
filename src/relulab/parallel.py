"""Independent tasks through joblib: in this process when that is enough, else by workers."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib

from relulab.validation import InputError, shown


def checked_n_jobs(n_jobs: object) -> int:
    """Return the number of workers, or raise InputError."""
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise InputError(f"n_jobs: expected a whole number other than 0, got {shown(n_jobs)}")
    return n_jobs


def map_unordered(
    function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], *, n_jobs: int, threads: bool
) -> Iterator[tuple[int, Any]]:
    """Yield (index of the task, ``function(*task)``) as the tasks get done.

    ``n_jobs`` as in joblib: -1 is one worker for each core. A single task, or a single worker,
    runs in this process. ``threads`` tells that the function releases the GIL.
    """
    if n_jobs == 1 or len(tasks) == 1:
        for i, task in enumerate(tasks):
            yield i, function(*task)
        return
    workers = joblib.Parallel(
        n_jobs=n_jobs,
        prefer="threads" if threads else "processes",
        return_as="generator_unordered",
    )
    yield from workers(joblib.delayed(_numbered)(i, function, task) for i, task in enumerate(tasks))


def _numbered(i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> tuple[int, Any]:
    return i, function(*task)
