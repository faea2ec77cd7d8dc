"""Make several tables while reading the runs once, each in a thread, as the parts come."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from queue import Queue
from typing import Any

import pandas as pd

from relulab.analysis.counting import Runs, Shared, put_together
from relulab.analysis.distinct import Counted
from relulab.validation import InputError, shown


def in_one_pass(runs: Runs, *tables: Callable[[Iterator[pd.DataFrame]], Any]) -> list[Any]:
    """Return several tables of the same runs, which are read once, part by part.

    The tables are made at the same time, in threads, while the next part is read. For the functions
    of ``statistics``, rows that are equal in all columns are merged first, once for all tables.

    Parameters
    ----------
    runs : DataFrame, or iterable of DataFrame
        For example the parts of a results folder, with all columns that the tables need.
    *tables : callable
        Each takes an iterator of DataFrames, like the functions of ``statistics``, and returns a
        table or anything else. It must not change the values in them, because the others see them,
        too.

    Returns
    -------
    list
        The result of each, in their order.

    Raises
    ------
    InputError
        If the runs are not tables. An exception from one of ``tables`` is raised as it is.

    Examples
    --------
    >>> from functools import partial
    >>> import relulab as rl
    >>> from relulab import statistics
    >>> start = {name: rl.Normal(0, 1) for name in "wbv"}
    >>> runs = rl.Sweep(data=rl.TrainingSet.point(1, 3), **start, learning_rate=[0.1, 0.2], draws=9)
    >>> rates, curves = statistics.in_one_pass(
    ...     runs.run(),
    ...     partial(statistics.outcome_rates, by="learning_rate"),
    ...     partial(statistics.survival, by="learning_rate"),
    ... )
    >>> int(rates["count"].sum())
    18
    """
    if wrong := [table for table in tables if not callable(table)]:
        raise InputError(f"tables: expected functions of runs, got {shown(wrong[0])}")
    feeds = [_Feed() for _ in tables]
    with ThreadPoolExecutor(max(len(tables), 1)) as pool:
        made = [
            pool.submit(copy_context().run, _made, table, feed)
            for table, feed in zip(tables, feeds, strict=True)
        ]
        end: _StoppedError | None = _StoppedError()
        try:
            for frame, counted in put_together(runs, list):
                item = frame and cache(frame), counted
                for feed in feeds:
                    feed.queue.put(item)
                if any(feed.failed for feed in feeds):
                    break
            else:
                end = None
        finally:  # whatever happened, otherwise the threads would wait forever
            for feed in feeds:
                feed.queue.put(end)
    errors = [error for future in made if (error := future.exception())]
    for error in errors:
        if not isinstance(error, _StoppedError):
            raise error
    return [future.result() for future in made]


# A function that makes a frame, once for all tables, and tables to be counted now.
_Item = tuple[Callable[[], pd.DataFrame] | None, list[Counted]]


class _StoppedError(Exception):
    """The frames end before the runs do, because something failed elsewhere."""


class _Feed(Shared):
    """The frames for one table, with room for one waiting frame."""

    def __init__(self) -> None:
        self.queue: Queue[_Item | _StoppedError | None] = Queue(1)
        self.failed = False
        self._ended = False

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return self

    def __next__(self) -> pd.DataFrame:
        while (frame := self._next()[0]) is None:
            pass
        return frame().copy(deep=False)

    def counted(self) -> Iterator[Counted]:
        with suppress(StopIteration):
            while True:
                for table, counts in self._next()[1]:
                    yield table.copy(deep=False), counts

    def _next(self) -> _Item:
        item = None if self._ended else self.queue.get()
        if isinstance(item, tuple):
            return item
        self._ended = True
        raise item or StopIteration

    def drain(self) -> None:
        """Take the remaining frames; otherwise the thread that supplies them would wait forever."""
        with suppress(_StoppedError):
            deque(self, maxlen=0)


def _made(table: Callable[[Iterator[pd.DataFrame]], Any], feed: _Feed) -> Any:
    """Return a table, whether or not it took all frames."""
    try:
        return table(feed)
    except BaseException:
        feed.failed = True
        raise
    finally:
        feed.drain()
