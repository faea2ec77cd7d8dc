"""Connect to a Dask cluster, and check that its workers can help."""

import asyncio
import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any

from relulab.sweeps.attempts import Unseen
from relulab.sweeps.dask import other_version
from relulab.validation import InputError, counted, shown

# Seconds in which a scheduler must answer a new client, and a worker our check of its folder.
LIMIT = 10

# Seconds to wait for a scheduler when disconnecting.
GOODBYE = 3


def check_workers(client: Any, folder: Path, function: Callable[..., bool], *args: Any) -> None:
    """Refuse a cluster with a worker that does not see a folder.

    A worker that does not answer in time is not refused: it may be busy for others, and if it does
    not see the folder, its first task will report that (``Unseen``).

    Parameters
    ----------
    client : distributed.Client
        The client of the cluster.
    folder : Path
        The folder named in the error.
    function, *args
        Returns whether a worker sees the folder; called on each worker, in a separate thread.

    Raises
    ------
    InputError
        If a worker does not see it, or has another version of relulab.
    """
    ours = version("relulab")

    async def answer(address: str) -> tuple[str, Any]:
        with suppress(OSError, TimeoutError):
            asked = client.run(
                _seen_there, ours, function, args, workers=[address], on_error="return"
            )
            return address, (await asyncio.wait_for(asked, LIMIT)).get(address)
        return address, None

    async def answers() -> list[tuple[str, Any]]:
        workers = (await client.scheduler.identity())["workers"]
        return await asyncio.gather(*map(answer, workers))

    try:
        answered = client.sync(answers, callback_timeout=2 * LIMIT)
    except (OSError, TimeoutError):
        return  # the scheduler is silent or gone, which is reported while waiting for results
    blind = []
    for address, found in answered:
        if isinstance(found, InputError):
            raise found
        if isinstance(found, ModuleNotFoundError):
            raise other_version(ours, f"none on the worker {address} ({found})")
        if isinstance(found, tuple) and not found[1]:
            blind.append(Unseen(str(folder), address, found[0]))
    if blind:
        raise InputError(
            f"--scheduler: expected workers that all see {folder}, found {len(blind)} of"
            f" {counted(len(answered), 'worker')} that {'does' if len(blind) == 1 else 'do'} not:"
            f" {blind[0].worker} on {blind[0].host}; use --results with a folder that all share"
        )


async def _seen_there(ours: str, function: Callable[..., bool], args: tuple[Any, ...]) -> Any:
    """Return the name of a worker's host and whether the function is true there."""
    if (theirs := version("relulab")) != ours:
        return other_version(ours, f"{theirs} on {platform.node()}")
    # A file system that hangs must not keep the worker from answering the scheduler.
    return platform.node(), await asyncio.to_thread(function, *args)


@contextmanager
def dask_client(address: str) -> Iterator[Any]:
    """Return a client of the Dask cluster at an address, for a while.

    Raises
    ------
    InputError
        If Dask is not installed, or no scheduler answers; while running, if a worker has another
        version of relulab.
    """
    try:
        import_module("distributed")
    except ModuleNotFoundError:
        raise InputError(
            "--scheduler: expected Dask where a scheduler is named, found none;"
            ' pip install "relulab[dask]" installs it'
        ) from None
    # Dask reports a lost scheduler in many lines, and we do it in one. The first of its parts that
    # notices reports it; most parts have the level of the first of these loggers.
    for part in ("distributed", "distributed.client"):
        logging.getLogger(part).setLevel(logging.CRITICAL)
    try:
        client = _within(2 * LIMIT, _connected, address)
    except Exception as error:  # each kind of address has its own exceptions
        why = str(error) or f"no answer within {LIMIT} s"
        raise InputError(
            f"--scheduler: expected the address of a Dask scheduler, such as tcp://host:8786, got"
            f" {shown(address)} ({shown(why)})"
        ) from None
    try:
        yield client
    finally:
        with suppress(Exception):  # it may be gone, or silent forever
            client.close(timeout=GOODBYE)


def _connected(address: str) -> Any:
    """Return a client, if a scheduler answers at the address."""
    distributed: Any = import_module("distributed")
    if not address.strip():  # Dask would start its own cluster
        raise ValueError("nothing")
    distributed.comm.resolve_address(address)
    asyncio.run(_greeted(distributed, address))
    return distributed.Client(address, timeout=LIMIT)


async def _greeted(distributed: Any, address: str) -> None:
    """Exchange a greeting with a scheduler; Dask's client would wait for it forever."""
    secrets = distributed.Security().get_connection_args("client")
    try:
        async with asyncio.timeout(LIMIT):
            server = await distributed.comm.connect(address, timeout=LIMIT, **secrets)
            try:
                identity = await distributed.core.send_recv(server, op="identity")
            finally:
                server.abort()
    except TimeoutError:
        raise TimeoutError(f"no scheduler answered there within {LIMIT} s") from None
    except distributed.comm.CommClosedError:
        raise ConnectionError("the server there is not a scheduler, or needs tls://") from None
    except (OSError, TypeError):  # nothing listens there; it lacks what tls:// needs
        raise
    except Exception:  # noise in place of a message
        raise ConnectionError("the server there is not a scheduler") from None
    if "workers" not in identity:
        kind = shown(identity.get("type"))
        raise ConnectionError(f"the server there is not a scheduler, but a Dask {kind}")


def _within(seconds: float, function: Callable[..., Any], *args: Any) -> Any:
    """Return a function's result, or raise TimeoutError and leave the function running."""
    answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

    def work() -> None:
        try:
            answers.put((function(*args), None))
        except Exception as error:
            answers.put((None, error))

    Thread(target=work, daemon=True).start()
    until = monotonic() + seconds
    while True:
        # An interrupt just before a wait does not end the wait, so waits are short.
        try:
            answer, error = answers.get(timeout=0.5)
        except Empty:
            if monotonic() < until:
                continue
            raise TimeoutError(f"nothing there answered within {seconds} s") from None
        if error:
            raise error
        return answer
