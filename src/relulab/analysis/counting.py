"""Runs counted by groups, part by part: what the tables of ``statistics`` are made of.

Runs are a DataFrame or an iterable of DataFrames (the parts of a results folder), which are counted
one after the other, so memory does not grow with the runs but with the values that occur.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from relulab.analysis.distinct import Counted, IntArray, Together, distinct
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
    With ``source``, the columns from which it and the measures come, rows that repeat in these and
    in ``by`` are put together before.

    Returns
    -------
    groups : DataFrame
        The columns ``by``, one row for each group, numbered from 0. Without ``by`` all runs are one
        group, also where there is no run.
    counted : list of DataFrame
        For each list of columns in ``measures``: the number of the group, those columns, count.
    """
    tallies = [_Tally([*by, *names]) for names in measures]
    for frame, counts in _put_together(runs, by, source):
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


def _put_together(runs: Runs, by: list[str], source: Sequence[str]) -> Iterator[Counted]:
    """Yield the tables of runs; with a source, those in which rows that repeat are together."""
    plain = ((frame, None) for frame in frames_of(runs))
    together = Together()
    for frame, counts in runs.counted() if isinstance(runs, Shared) else plain:
        if missing := [column for column in by if column not in frame]:
            raise InputError(
                f"by: expected columns among {', '.join(map(str, frame.columns))},"
                f" got {shortened(missing[0])}"
            )
        if source:
            there = [name for name in frame.columns if name in (*by, *source)]
            yield from together.add(frame, there, counts)
        else:
            yield frame, counts
    yield from together.rest()


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
