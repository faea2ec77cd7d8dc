"""Tasks on the workers of a Dask cluster."""

import logging
import platform
import sys
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from itertools import islice
from typing import Any

import joblib

from relulab.tasks import Done, Lost, Tasks, attempt
from relulab.validation import InputError, shown

# Seconds without a result after which we look whether the cluster has a worker at all.
PATIENCE = 10


def by_dask(client: Any, function: Callable[..., Any], tasks: Tasks) -> Generator[Done, None, None]:
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
    return attempt(i, function, task)


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
            ' pip install "relulab[dask]" brings it'
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
