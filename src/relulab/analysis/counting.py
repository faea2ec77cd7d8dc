"""Count runs by groups, part by part, for the tables of ``statistics``.

Runs are a DataFrame or an iterable of DataFrames (the parts of a results folder), which are counted
one by one, so memory grows with the number of different values, not of runs.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import pyarrow as pa

from relulab.analysis.distinct import Counted, IntArray, Table, Together, distinct, names_in
from relulab.validation import (
    InputError,
    checked_table,
    labels_in,
    shortened,
    shown,
    whole_numbers_in,
    without_index,
)

STEPS = ("steps_taken", "death_step")

EXPECTED = "expected a DataFrame, several of them, or Results"

Runs = pd.DataFrame | Iterable[pd.DataFrame]

# Counts are added up after this many parts, or when these have most of the rows, and more than few.
MOST_PARTS = 8
FEW_ROWS = 1024

# This many stored parts are read and merged at once; more would take more memory.
PARTS_AT_ONCE = 2


class StoredPart(Protocol):
    """A part of stored runs."""

    columns: list[str]

    def read(self, columns: Sequence[str] = ()) -> pa.Table:
        """Return the runs, in some or all of these columns."""

    def counts(self, columns: Sequence[str]) -> Counted | None:
        """Return the distinct rows of some columns with their numbers of runs, if stored."""


@runtime_checkable
class Stored(Protocol):
    """Runs in files, part by part."""

    parts: Iterator[StoredPart]

    def frame(self, table: pa.Table) -> pd.DataFrame:
        """Return rows of a part, in all or some of its columns, as a DataFrame."""


class Shared(ABC, Iterable[pd.DataFrame]):
    """Tables of runs for several consumers, with repeated rows merged once for all of them."""

    @abstractmethod
    def counted(self) -> Iterator[Counted]:
        """Yield tables that represent the same runs, in which repeated rows may be merged."""


def count_groups(
    runs: Runs,
    by: list[str],
    *measures: list[str],
    derived: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    source: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Count the runs of each group with each combination of values, including missing ones.

    Everything is counted in one pass, frame by frame. ``derived`` adds columns to a frame.
    Before, rows that are equal in ``by`` and in the measures are merged; if columns are derived,
    rows that are equal in ``by`` and in ``source``, from which ``derived`` makes the measures.

    Returns
    -------
    groups : DataFrame
        The columns ``by``, one row for each group, numbered from 0. Without ``by``, all runs are
        one group, even if there are none.
    counted : list of DataFrame
        For each list of columns in ``measures``: the number of the group, those columns, count.
    """
    tallies = [_Tally([*by, *names]) for names in measures]
    if derived is None:
        source = list(chain(*measures))

    def needed(there: list[str]) -> list[str]:
        if missing := [column for column in by if column not in there]:
            raise InputError(
                f"by: expected columns among {', '.join(map(str, there))},"
                f" got {shortened(missing[0])}"
            )
        return [name for name in there if name in (*by, *source)] if source else []

    for frame, counts in chain.from_iterable(few for _, few in put_together(runs, needed)):
        if derived is not None:
            frame = derived(frame)
        labels_in("runs", frame, *by)
        for names in measures:
            require(frame, names)
        for tally in tallies:
            tally.add(frame, counts)
    totals = [tally.total() for tally in tallies]
    keys = [total.index.to_frame(index=False) for total in totals]
    groups = keys[0][by].drop_duplicates(ignore_index=True) if by else pd.DataFrame(index=[0])
    counted = []
    for key, total, names in zip(keys, totals, measures, strict=True):
        number = key.groupby(by, sort=False, observed=True, dropna=False).ngroup() if by else 0
        counted.append(key[names].assign(group=number, count=total.to_numpy("int64")))
    return groups, counted


class _Tally:
    """The number of runs with each combination of values of some columns."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._parts: list[_Part] = []

    def add(self, frame: pd.DataFrame, counts: IntArray | None) -> None:
        """Add the runs of a frame."""
        self._keep(frame, counts)
        first, *others = (part.counts.size for part in self._parts)
        if len(others) == MOST_PARTS or sum(others) > max(first, FEW_ROWS):
            table, sums = self._together()
            self._parts = []
            self._keep(table, sums)

    def total(self) -> pd.Series:
        """Return the number of runs of each combination that occurs, in pandas' order."""
        if not self._parts:
            raise InputError("runs: expected at least one table, got none")
        table, counts = self._together()
        # By columns: pandas 2 mixes up an index of a nullable column with more than 127 values.
        by = [table[name] for name in table]
        total: pd.Series = pd.Series(counts).groupby(by, observed=True, dropna=False).sum()
        return total

    def _keep(self, table: pd.DataFrame, counts: IntArray | None) -> None:
        rows, sums = distinct(table, self._columns, counts)
        columns = [table[name].array.take(rows) for name in self._columns]
        self._parts.append(_Part(columns, sums))

    def _together(self) -> tuple[pd.DataFrame, IntArray]:
        """Return the rows of all parts, which may repeat, with their counts."""
        columns = zip(*(part.columns for part in self._parts), strict=True)
        joined = [pd.concat(map(pd.Series, arrays), ignore_index=True) for arrays in columns]
        counts = np.concatenate([part.counts for part in self._parts])
        return pd.DataFrame(dict(zip(self._columns, joined, strict=True))), counts


class _Part(NamedTuple):
    """Distinct rows, and how many runs have the values of each."""

    columns: list[Any]
    counts: IntArray


def beside(groups: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns ``by`` and the table, whose index is the number of the group."""
    columns = [groups.loc[table.index], table]
    return pd.concat([part.reset_index(drop=True) for part in columns], axis="columns")


def n_runs(groups: pd.DataFrame, tally: pd.DataFrame) -> pd.Series:
    """Return the number of runs of each group."""
    return tally.groupby("group")["count"].sum().reindex(groups.index, fill_value=0)


def put_together(
    runs: Runs, needed: Callable[[list[str]], list[str]]
) -> Iterator[tuple[Callable[[], pd.DataFrame] | None, list[Counted]]]:
    """Yield a function that makes each table of runs, and tables for some of the runs so far.

    If rows repeat in the ``needed`` columns, these tables have only those, with such rows merged.
    The last tables represent the remaining runs, and come without a function.
    """
    together = Together()
    in_pandas: Callable[[Table], pd.DataFrame] = _itself

    def taken(table: Table, counts: IntArray | None = None) -> _Taken:
        columns = needed(names_in(table))
        few = together.fewer(table, columns, counts) if columns else None
        return _Taken(partial(in_pandas, table), few or (table, counts), few is not None)

    def of_part(part: StoredPart) -> _Taken:
        columns = needed(part.columns)
        few = part.counts(columns) if columns else None
        if few is None:
            return taken(part.read(columns))
        return _Taken(lambda: in_pandas(part.read()), few, True)

    given: Iterator[_Taken]
    if isinstance(runs, Shared):
        given = (taken(*counted) for counted in runs.counted())
    elif isinstance(parts := _opened(runs), Stored):
        in_pandas = parts.frame
        given = _at_once(of_part, parts.parts)
    else:
        given = map(taken, frames_of(parts))
    for frame, rows, are_few in given:
        held = together.add(rows, are_few=are_few)
        yield frame, [(in_pandas(table), n) for table, n in held]
    yield None, [(in_pandas(table), n) for table, n in together.rest()]


class _Taken(NamedTuple):
    """A table of runs: a function that makes it, and rows that represent it."""

    frame: Callable[[], pd.DataFrame]
    rows: Counted
    are_few: bool


def _itself(table: pd.DataFrame) -> pd.DataFrame:
    return table


def _opened(runs: Any) -> Any:
    """Return an iterator over the tables of runs, such as the frames of ``Results``."""
    is_one = isinstance(runs, pd.DataFrame | np.ndarray) or not isinstance(runs, Iterable)
    return runs if is_one else iter(runs)


def _at_once(make: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yield ``make(item)`` for each item, in order; several are made at once, in threads."""
    with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
        made: deque[Future[Any]] = deque()
        for item in items:
            made.append(pool.submit(copy_context().run, make, item))
            if len(made) > PARTS_AT_ONCE:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()


def frames_of(runs: Runs) -> Iterator[pd.DataFrame]:
    """Yield the tables of runs one by one."""
    if not isinstance(runs, Iterable) or isinstance(runs, np.ndarray):
        raise InputError(f"runs: {EXPECTED}, got {shown(runs)}")
    for frame in [runs] if isinstance(runs, pd.DataFrame) else runs:
        if not isinstance(frame, pd.DataFrame):
            raise InputError(f"runs: {EXPECTED}, got {shown(frame)}")
        checked_table("runs", frame)
        yield without_index(frame)


def column_names(by: str | Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return the columns to group by; refuse those that the result itself has."""
    names = [by] if isinstance(by, str) else by
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InputError(f"by: expected names of columns, got {shown(by)}")
    wrong = [name for i, name in enumerate(names) if name in taken or name in names[:i]]
    if wrong:
        raise InputError(
            f"by: expected each column once and none of {', '.join(taken)},"
            f" got {shortened(wrong[0])}"
        )
    return list(names)


def require(frame: pd.DataFrame, names: Sequence[str], where: str = "") -> None:
    """Refuse a table of runs without the columns that a measure needs."""
    if missing := [name for name in names if name not in frame]:
        raise InputError(
            f"runs: expected the columns {', '.join(map(shortened, names))}{where};"
            f" no {shortened(missing[0])}"
        )
    labels_in("runs", frame, *names)
    whole_numbers_in("runs", frame, *(name for name in names if name in STEPS))
