"""Several tables from one reading of the runs: each is made in a thread, as the parts come."""

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
    of ``statistics``, rows that repeat in all columns are counted before, once for all of them.

    Parameters
    ----------
    runs : DataFrame, or iterable of DataFrame
        Such as the parts of a results folder, in the columns that the tables together need.
    *tables : callable
        Each takes an iterator of DataFrames, as the functions of ``statistics`` do, and returns its
        table, or whatever it makes of them. It must leave the values in them as they are, because
        the others see them, too.

    Returns
    -------
    list
        What each of them returned, in their order.

    Raises
    ------
    InputError
        If the runs are no tables. What one of ``tables`` raises is raised.

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
        finally:  # whatever happened, or the threads would wait for ever
            for feed in feeds:
                feed.queue.put(end)
    errors = [error for future in made if (error := future.exception())]
    for error in errors:
        if not isinstance(error, _StoppedError):
            raise error
    return [future.result() for future in made]


# What makes a frame, once for all, and what is to be counted now of all frames so far.
_Item = tuple[Callable[[], pd.DataFrame] | None, list[Counted]]


class _StoppedError(Exception):
    """There are no more frames, though there are more runs: something failed elsewhere."""


class _Feed(Shared):
    """The frames for one table, of which one may wait."""

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
        """Take what is left, or whoever puts it there would wait for ever."""
        with suppress(_StoppedError):
            deque(self, maxlen=0)


def _made(table: Callable[[Iterator[pd.DataFrame]], Any], feed: _Feed) -> Any:
    """Return a table, whether it took all frames or not."""
    try:
        return table(feed)
    except BaseException:
        feed.failed = True
        raise
    finally:
        feed.drain()
