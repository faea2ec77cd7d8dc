"""Runs counted by groups, part by part: what the tables of ``statistics`` are made of.

Runs are a DataFrame or an iterable of DataFrames (the parts of a results folder), which are counted
one after the other, so memory does not grow with the runs but with the values that occur.
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

# Counts are added up when so many parts came, or most rows, and more than a few, are of these.
MOST_PARTS = 8
FEW_ROWS = 1024

# So many stored parts are read and put together at once: more of them take more memory.
PARTS_AT_ONCE = 2


@runtime_checkable
class Stored(Protocol):
    """Runs in files, part by part: what reads the next ones, and makes pandas' of Arrow's."""

    readers: Iterator[Callable[[], pa.Table]]

    def frame(self, table: pa.Table) -> pd.DataFrame:
        """Return rows of a part, in all or some of its columns, in pandas' form."""


class Shared(ABC, Iterable[pd.DataFrame]):
    """Tables of runs for several who count: rows that repeat are put together for all of them."""

    @abstractmethod
    def counted(self) -> Iterator[Counted]:
        """Yield tables that stand for the same runs, in which rows that repeat may stand once."""


def count_groups(
    runs: Runs,
    by: list[str],
    *measures: list[str],
    derived: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
    source: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Count the runs of each group at each combination of values that occurs, also missing ones.

    All is counted in one pass, one frame after the other. ``derived`` adds columns to a frame.
    Rows that repeat in ``by`` and in the measures are put together before, or, where columns are
    derived, in ``source``, from which these and the measures come.

    Returns
    -------
    groups : DataFrame
        The columns ``by``, one row for each group, numbered from 0. Without ``by`` all runs are one
        group, also where there is no run.
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
    """How many runs have each combination of the values of some columns."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._parts: list[_Part] = []

    def add(self, frame: pd.DataFrame, counts: IntArray | None) -> None:
        """Count the runs of a frame, too."""
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
        # Beside columns: pandas 2 mixes up an index of a nullable column with more than 127 values.
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
    """Rows that differ, and how many runs have the values of each."""

    columns: list[Any]
    counts: IntArray


def beside(groups: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table, whose index tells the number of the group, beside the columns ``by``."""
    columns = [groups.loc[table.index], table]
    return pd.concat([part.reset_index(drop=True) for part in columns], axis="columns")


def n_runs(groups: pd.DataFrame, tally: pd.DataFrame) -> pd.Series:
    """Return the number of runs of each group."""
    return tally.groupby("group")["count"].sum().reindex(groups.index, fill_value=0)


def put_together(
    runs: Runs, needed: Callable[[list[str]], list[str]]
) -> Iterator[tuple[Callable[[], pd.DataFrame] | None, list[Counted]]]:
    """Yield what makes each table of runs, and tables that stand for some of the runs so far.

    These have the columns that are ``needed``, of those that there are, if rows repeat in them.
    The last ones stand for the rest, and come with no table.
    """
    together = Together()

    def fewer(table: Table, counts: IntArray | None = None) -> tuple[Counted, Counted | None]:
        columns = needed(names_in(table))
        return (table, counts), together.fewer(table, columns, counts) if columns else None

    in_pandas: Callable[[Table], pd.DataFrame] = _itself
    given: Iterator[tuple[Counted, Counted | None]]
    if isinstance(runs, Shared):
        given = (fewer(*counted) for counted in runs.counted())
    elif isinstance(parts := _opened(runs), Stored):
        in_pandas = parts.frame
        given = _at_once(lambda read: fewer(read()), parts.readers)
    else:
        given = map(fewer, frames_of(parts))
    for plain, few in given:
        held = together.add(plain, few)
        yield partial(in_pandas, plain[0]), [(in_pandas(table), n) for table, n in held]
    yield None, [(in_pandas(table), n) for table, n in together.rest()]


def _itself(table: pd.DataFrame) -> pd.DataFrame:
    return table


def _opened(runs: Any) -> Any:
    """Return what yields the tables of runs, such as the frames of ``Results``."""
    is_one = isinstance(runs, pd.DataFrame | np.ndarray) or not isinstance(runs, Iterable)
    return runs if is_one else iter(runs)


def _at_once(make: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yield what is made of each item, in order; several are made at once, in threads."""
    with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
        made: deque[Future[Any]] = deque()
        for item in items:
            made.append(pool.submit(copy_context().run, make, item))
            if len(made) > PARTS_AT_ONCE:
                yield made.popleft().result()
        while made:
            yield made.popleft().result()


def frames_of(runs: Runs) -> Iterator[pd.DataFrame]:
    """Yield the tables of runs one after the other."""
    if not isinstance(runs, Iterable) or isinstance(runs, np.ndarray):
        raise InputError(f"runs: {EXPECTED}, got {shown(runs)}")
    for frame in [runs] if isinstance(runs, pd.DataFrame) else runs:
        if not isinstance(frame, pd.DataFrame):
            raise InputError(f"runs: {EXPECTED}, got {shown(frame)}")
        checked_table("runs", frame)
        yield without_index(frame)


def column_names(by: str | Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return the columns to group by; refuse those that the table itself holds."""
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
    """Refuse a table of runs without the columns that a measure is made of."""
    if missing := [name for name in names if name not in frame]:
        raise InputError(
            f"runs: expected the columns {', '.join(map(shortened, names))}{where};"
            f" no {shortened(missing[0])}"
        )
    labels_in("runs", frame, *names)
    whole_numbers_in("runs", frame, *(name for name in names if name in STEPS))
