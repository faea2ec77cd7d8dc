"""Tasks on the workers of a Dask cluster, any part of which may fall silent at any time."""

import asyncio
import platform
import sys
import traceback
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import version
from itertools import islice
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from tqdm import tqdm

from relulab.sweeps.attempts import Done, Lost, Tasks, Unseen, attempt
from relulab.validation import InputError, counted

# Seconds between two checks of the cluster's workers.
LOOK = 5

# Seconds without a result, an answer or a heartbeat after which we report what is wrong; seconds
# after which we report that nothing is; the longest pause between two such lines.
SOON = 10
PATIENCE = 60
LONGEST_PAUSE = 3600

# A line names at most this many workers.
MOST_NAMED = 3


@dataclass(frozen=True)
class _Result:
    """The end of a task; ``error`` is Dask's, because errors of the task are results."""

    i: int
    future: Any
    done: Done | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class _Look:
    """The scheduler's list of its workers, or None if it could not be asked."""

    workers: dict[str, Any] | None


def by_dask(client: Any, function: Callable[..., Any], tasks: Tasks) -> Generator[Done, None, None]:
    """Yield the results of the workers of a Dask cluster.

    This does not use joblib, whose Dask backend waits forever for a task that Dask has given up:
    one that has killed several workers, or that a worker cannot even load.

    Nothing here waits for an answer from the cluster, which may never come: tasks are sent, and
    the client's own thread puts the results into one queue. If nothing comes for a while, a line
    on stderr says what we are waiting for, then again with growing pauses. Only the scheduler
    decides that a worker is lost, because honest tasks may take hours.

    A worker that answers ``Unseen`` gets no further task; its tasks go to the others.
    """
    sent = _Sent(client, function, tasks)
    to_come = iter(tasks)
    try:
        while True:
            sent.look_again()
            # A few ahead for each core, of all workers that have joined by now.
            for i in islice(to_come, max(sent.ahead() - len(sent), 0)):
                sent.send(i)
            if not len(sent):
                return
            if done := sent.next_done():
                yield done
                sent.silence.end()
    except (CancelledError, OSError):
        raise ConnectionError(
            "the scheduler of the cluster is gone; finished parts are kept, and the same command"
            " continues from there when it is back"
        ) from None
    finally:
        sent.forget()


class _Sent:
    """The tasks sent to the cluster, and what is known about its workers."""

    def __init__(self, client: Any, function: Callable[..., Any], tasks: Tasks) -> None:
        self.client, self.function, self.tasks = client, function, tasks
        self.ours = version("relulab")
        self.silence = _Silence()
        self._loop = client.loop.asyncio_loop
        self._events: SimpleQueue[_Result | _Look] = SimpleQueue()
        # By task number: Dask's future, the coroutine that fetches its result, allowed workers.
        self._running: dict[int, tuple[Any, Any, list[str] | None]] = {}
        self._again: list[int] = []  # tasks of workers that do not see the folder
        self._workers: dict[str, Any] = {}
        self._blind: dict[str, Unseen] = {}
        self._heard: dict[str, tuple[Any, float]] = {}  # the last sign of life, and when it came
        self._asked: float | None = None  # when we asked the scheduler, until it answers
        self._looked = -inf
        self._blind_since = -inf

    def __len__(self) -> int:
        return len(self._running) + len(self._again)

    def ahead(self) -> int:
        """Return how many tasks the cluster is to have at a time."""
        return 2 * sum(self._workers[address]["nthreads"] for address in self._able()) or 1

    def send(self, i: int) -> None:
        """Send a task to any worker or, if some do not see the folder, to one that does."""
        if self.client.status in ("closing", "closed"):
            raise ConnectionError
        workers = (self._able() or None) if self._blind else None
        future = self.client.submit(
            _on_worker, self.ours, i, self.function, self.tasks[i], pure=False, workers=workers
        )
        self._running[i] = future, self._run(_fetched(i, future, self._events)), workers

    def look_again(self) -> None:
        """Ask the scheduler for its workers, if it is time to and no answer is pending."""
        if self._asked is None and monotonic() >= self._looked + LOOK:
            self._asked = monotonic()
            self._run(_looked(self.client, self._events))

    def next_done(self) -> Done | None:
        """Return a result, or None if there is none after half a second.

        An interrupt just before a wait does not end the wait, so waits are short.
        """
        try:
            event = self._events.get(timeout=min(0.5, LOOK))
        except Empty:
            self._tell()
            return None
        if isinstance(event, _Look):
            self._take_look(event.workers)
            return None
        if event.i not in self._running or self._running[event.i][0] is not event.future:
            return None  # sent again meanwhile
        del self._running[event.i]
        done = event.done or _failed(event.i, event.error)
        if isinstance(done[1], Unseen):
            self._avoid(done[1])
            self._again.append(event.i)
            return None
        return done

    def forget(self) -> None:
        """Let the cluster drop our remaining tasks, without waiting for that."""
        with suppress(RuntimeError):  # the client's thread has ended
            for future, fetching, _ in self._running.values():
                fetching.cancel()
                future.release()
        self._running.clear()

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _able(self) -> list[str]:
        return [address for address in self._workers if address not in self._blind]

    def _avoid(self, unseen: Unseen) -> None:
        self._blind_since, self._looked = monotonic(), -inf  # who else is there now?
        if unseen.worker not in self._blind:
            self._blind[unseen.worker] = unseen
            _say(f"{_blind_worker(unseen)}; it gets no further part")

    def _take_look(self, workers: dict[str, Any] | None) -> None:
        asked, self._asked, now = self._asked or 0, None, monotonic()
        self._looked = now
        if workers is None:
            return
        self.silence.gone |= set(self._workers) - set(workers)
        self._workers = workers
        heard = {address: worker["last_seen"] for address, worker in workers.items()}
        self._heard = {
            address: (sign, self._heard[address][1])
            if address in self._heard and self._heard[address][0] == sign
            else (sign, now)
            for address, sign in heard.items()
        }
        if not self._blind or not workers:
            return
        if asked < self._blind_since:
            self._looked = -inf
        elif not self._able():
            unseen = next(iter(self._blind.values()))
            raise InputError(
                f"--scheduler: no worker is left that sees {unseen.folder}, which all must share;"
                f" {_blind_worker(unseen)}"
            )
        else:
            self._send_again()

    def _send_again(self) -> None:
        again, self._again = self._again, []
        for i, (future, fetching, chosen) in list(self._running.items()):
            # It would wait forever for one of its allowed workers to come back.
            if chosen is not None and not set(chosen) & set(self._workers):
                fetching.cancel()
                future.release()
                again.append(i)
        for i in again:
            self.send(i)

    def _tell(self) -> None:
        """Report what we are waiting for, if it is time to."""
        now = monotonic()
        able = self._able()
        unwell = [text for address in able if (text := self._unwell(address, now))]
        told = unwell[:MOST_NAMED]
        if more := len(unwell) - len(told):
            told.append(f"{more} more")
        if gone := len(self.silence.gone):
            told.append(f"{counted(gone, 'worker')} lost since the last result")
        what = f" ({', '.join(told)})" if told else ""
        if self._asked is not None and now - self._asked > SOON:
            silent = f"the scheduler has not answered for {now - self._asked:.0f} s"
            self.silence.tell("scheduler", SOON, f"{silent}; waiting for it")
        elif not self._workers and self._looked > -inf:
            text = f"the cluster has no worker{what}; waiting for one"
            self.silence.tell("workers", SOON, text)
        else:
            text = f"waiting for {counted(len(self), 'part')} on {counted(len(able), 'worker')}"
            self.silence.tell("unwell" if told else "slow", PATIENCE, text + what)

    def _unwell(self, address: str, now: float) -> str:
        """Return what is wrong with a worker."""
        worker, (_, heard) = self._workers[address], self._heard[address]
        if worker["status"] != "running":
            limit = worker["memory_limit"]
            memory = worker["metrics"].get("memory", 0)
            full = f", {memory / limit:.0%} of its memory in use" if limit else ""
            return f"{address} is {worker['status'].replace('_', ' ')}{full}"
        if now - heard > SOON + LOOK:
            return f"{address} not heard of for {now - heard:.0f} s"
        return ""


class _Silence:
    """Reports what we are waiting for, repeatedly, with growing pauses."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self._since = monotonic()
        self._told: dict[str, tuple[float, float]] = {}  # for each reason: when, the next pause

    def end(self) -> None:
        """Note a result; keep the pause of "slow", because long tasks need no frequent lines."""
        self.gone = set()
        self._since = monotonic()
        self._told = {reason: told for reason, told in self._told.items() if reason == "slow"}

    def tell(self, reason: str, first_pause: float, text: str) -> None:
        """Print a line, if the last one for the same reason is long enough ago."""
        now = monotonic()
        when, pause = self._told.get(reason, (self._since, first_pause))
        if now >= max(when, self._since) + pause:
            self._told[reason] = now, min(2 * pause, LONGEST_PAUSE)
            _say(f"no result for {now - self._since:.0f} s: {text}")


async def _fetched(i: int, future: Any, events: "SimpleQueue[_Result | _Look]") -> None:
    try:
        events.put(_Result(i, future, done=await future))
    except Exception as error:
        events.put(_Result(i, future, error=error))


async def _looked(client: Any, events: "SimpleQueue[_Result | _Look]") -> None:
    try:
        events.put(_Look((await client.scheduler.identity())["workers"]))
    except Exception:  # it is gone, as the futures show, or about to go
        events.put(_Look(None))


def _on_worker(ours: str, i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> Done:
    """Do a task on a worker, which must have the sender's version, for the same bits."""
    if (theirs := version("relulab")) != ours:
        return i, None, other_version(ours, f"{theirs} on {platform.node()}")
    i, result, error = attempt(i, function, task)
    if isinstance(result, Unseen):
        address = import_module("distributed").get_worker().address
        result = replace(result, worker=address, host=platform.node())
    return i, result, error


def _failed(i: int, error: Exception | None) -> Done:
    """Return the end of a task that Dask reports as failed."""
    if error is None or isinstance(error, (CancelledError, OSError)):
        raise ConnectionError  # the scheduler is gone
    if isinstance(error, ModuleNotFoundError):
        return i, None, other_version(version("relulab"), f"none on a worker ({error})")
    return i, Lost("".join(traceback.format_exception(error))), None


def other_version(ours: str, found: str) -> InputError:
    """Return the error for a worker with another version of relulab, which may differ in bits."""
    return InputError(f"--scheduler: expected workers with relulab {ours}, found {found}")


def _blind_worker(unseen: Unseen) -> str:
    return f"the worker {unseen.worker} on {unseen.host} does not see {unseen.folder}"


def _say(text: str) -> None:
    if sys.stderr.isatty():
        tqdm.write(text, file=sys.stderr)  # above a bar
    else:
        print(text, file=sys.stderr, flush=True)
