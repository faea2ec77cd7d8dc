"""Read two columns of a table as numbers; refuse other values, naming the row."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_float_dtype, is_integer_dtype

from relulab.reading.notation import DATES, DAY, NANOSECONDS, TIMES, ZONED_DATES, written
from relulab.validation import Float64Array, InputError, argument, shown

MOST_NAMES = 20  # names of columns in a message


@dataclass(frozen=True)
class Rows:
    """How messages name the rows of a table.

    Attributes
    ----------
    source : str
        The name of the table in messages.
    word : {"row", "line"}
    numbers : sequence of int
        One for each row.
    """

    source: str
    word: str
    numbers: Sequence[int]

    def __getitem__(self, k: int) -> str:
        where = f"{self.word} {self.numbers[k]}"
        return f"{where} of {self.source}" if self.word == "line" else where


@dataclass(frozen=True)
class Column:
    """The numbers of a column.

    Attributes
    ----------
    name : hashable
    numbers : ndarray of float64, shape (n_rows,)
        NaN where a value is missing.
    counted : tuple of two str, optional
        If the values are days: "dates" or "times", and the one from which they count.
    """

    name: Hashable
    numbers: Float64Array
    counted: tuple[str, str] | None = None

    @property
    def label(self) -> str:
        """The name of the column in figures."""
        return (
            str(self.name) if self.counted is None else f"{self.name} (days from {self.counted[1]})"
        )


def name_and_first(label: str) -> tuple[str, str] | None:
    """Return the name and the first instant in a ``Column.label`` of days."""
    match = re.fullmatch(r"(.*) \(days from ([^()]*)\)", label, re.DOTALL)
    return None if match is None else (match[1], match[2])


def frame_columns(
    frame: pd.DataFrame, x: Hashable, target: Hashable
) -> tuple[Rows, Column, Column]:
    """Return two columns of a table."""
    k_x, k_target = places_of("frame", dict(enumerate(frame.columns)), x, target)
    rows = Rows("frame", "row", range(1, len(frame) + 1))
    if len(frame) == 0:
        raise InputError("frame: expected at least one row, got none")
    return (
        rows,
        _of_cells("x", x, frame.iloc[:, k_x], rows),
        _of_cells("target", target, frame.iloc[:, k_target], rows),
    )


def places_of(
    source: str, names: Mapping[int, Hashable], x: Hashable, target: Hashable
) -> tuple[int, int]:
    """Return the positions of two columns; refuse names that do not occur exactly once."""
    places: dict[Hashable, list[int]] = {}
    for k, name in names.items():
        places.setdefault(name, []).append(k)
    found = []
    for which, name in (("x", x), ("target", target)):
        # Hashable first: a Series or array given as the name has no truth value.
        if not isinstance(name, Hashable) or name not in places:
            there = ", ".join(map(shown, list(places)[:MOST_NAMES])) or "none"
            raise InputError(
                f"{argument(which)}: expected a column of {source}"
                f" ({there}{', ...' if len(places) > MOST_NAMES else ''}), got {shown(name)}"
            )
        if len(places[name]) > 1:
            raise InputError(
                f"{argument(which)}: expected one column of that name in {source},"
                f" got {len(places[name])} called {shown(name)}"
            )
        found += places[name]
    if found[0] == found[1]:
        raise InputError(
            f"{argument('target')}: expected another column than {argument('x')},"
            f" got {shown(target)} for both"
        )
    return found[0], found[1]


def _of_cells(which: str, name: Hashable, column: "pd.Series[Any]", rows: Rows) -> Column:
    """Return a column of a table; refuse anything but finite numbers and, for x, dates."""
    if which == "x" and is_datetime64_any_dtype(column.dtype):
        index = pd.DatetimeIndex(column)
        kind = DATES if index.tz is None else ZONED_DATES
        stamps = (index if index.tz is None else index.tz_convert(None)).to_numpy()
        unit = NANOSECONDS // int(np.timedelta64(1, "s") / np.timedelta64(1, index.unit))
        nanoseconds = [None if stamp is None else stamp * unit for stamp in _whole(stamps)]
        return days(name, kind, nanoseconds)
    if is_integer_dtype(column.dtype) or is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return Column(name, finite(which, name, values, rows))
    values = np.full(column.size, np.nan)
    for k, cell in enumerate(column):
        if cell is None or cell is pd.NA or cell is pd.NaT:
            continue
        if isinstance(cell, bool) or not isinstance(cell, Real):
            raise refused(which, name, "numbers", cell, rows[k])
        try:
            values[k] = float(cell)
        except OverflowError:
            values[k] = np.inf
    return Column(name, finite(which, name, values, rows))


def _whole(stamps: np.ndarray[Any, Any]) -> list[int | None]:
    """Return instants as whole numbers in their unit, None where they are missing."""
    return [
        None if missing else number
        for missing, number in zip(
            np.isnat(stamps).tolist(), stamps.view("i8").tolist(), strict=True
        )
    ]


def days(name: Hashable, kind: str, nanoseconds: list[int | None]) -> Column:
    """Return instants as days from the earliest, each rounded once to float64."""
    first = min((n for n in nanoseconds if n is not None), default=None)
    values = np.array(
        [np.nan if n is None or first is None else (n - first) / DAY for n in nanoseconds]
    )
    if first is None:
        return Column(name, values)
    return Column(name, values, (TIMES if kind == TIMES else DATES, written(kind, first)))


def refused(
    which: str, name: Hashable, expected: str, got: object, where: str, hint: str = ""
) -> InputError:
    """Return the error for an unexpected value in a column."""
    return InputError(
        f"{argument(which)}: expected {expected} in column {shown(name)}, got {shown(got)}"
        f" in {where}{hint}"
    )


def finite(which: str, name: Hashable, values: Float64Array, rows: Rows) -> Float64Array:
    """Return the values; refuse infinities."""
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise InputError(
            f"{argument(which)}: expected finite values in column {shown(name)},"
            f" got {values[infinite[0]]} in {rows[int(infinite[0])]}"
        )
    return values
