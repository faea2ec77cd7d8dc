"""Two columns of numbers out of a table or a file; what is not a number is refused by its row."""

import numbers
from collections.abc import Collection, Hashable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_float_dtype, is_integer_dtype

from relulab.validation import Float64Array, InputError, shown


def csv_table(path: str | PathLike[str], names: Collection[str]) -> tuple[Path, pd.DataFrame]:
    """Return the file and its table, in which the columns of those names are numbers."""
    if not isinstance(path, str | PathLike) or "://" in str(path):
        raise InputError(f"path: expected the path of a CSV file, got {shown(path)}")
    file = Path(path)
    try:
        # As text without a header: otherwise pandas would rename the second of two columns of
        # one name, take a surplus first field as an index, and, in some versions, miss the last
        # bit of numbers.
        text = pd.read_csv(file, header=None, dtype=str)
    except Exception as error:  # each compression and each kind of damage has its own
        raise InputError(f"{file}: expected a CSV file, got {shown(str(error).strip())}") from None
    text = text.loc[:, text.iloc[0].notna()]  # spreadsheets add columns without a name
    frame = text.iloc[1:].set_axis(text.iloc[0].tolist(), axis="columns")
    for k, name in enumerate(frame.columns):
        if name in names:
            frame.isetitem(k, [_parsed(field) for field in frame.iloc[:, k]])
    return file, frame


def _parsed(field: Any) -> Any:
    """Return the number that a field of a file holds, to the last bit, or else the field."""
    try:
        # Python reads 2024_01 as a number; nobody else does.
        return field if "_" in str(field) else float(field)
    except ValueError:
        return field


def two_columns(
    source: str, frame: pd.DataFrame, x: Hashable, target: Hashable
) -> tuple[Float64Array, Float64Array]:
    """Return two columns of a table, NaN where a value is missing; refuse all but numbers.

    ``source`` is what messages call the table, in which every name must be there once.
    """
    names: list[Any] = list(frame.columns)
    repeated = frame.columns[frame.columns.duplicated()]
    if repeated.size:
        raise InputError(
            f"{source}: expected each column name once, got {shown(repeated[0])} several times"
        )
    for argument, name in (("x", x), ("target", target)):
        # Hashable first: a Series or array given as the name has no truth value.
        if not isinstance(name, Hashable) or name not in set(names):
            there = ", ".join(map(shown, names)) or "none"
            raise InputError(
                f"{argument}: expected a column of {source} ({there}), got {shown(name)}"
            )
    if x == target:
        raise InputError(f"target: expected another column than x, got {shown(target)} for both")
    if frame.shape[0] == 0:
        raise InputError(f"{source}: expected at least one row, got none")
    x_column, target_column = (frame.iloc[:, names.index(name)] for name in (x, target))
    return _values("x", x_column), _values("target", target_column)


def _values(argument: str, column: "pd.Series[Any]") -> Float64Array:
    """Return a column as float64, NaN where a value is missing; refuse all but finite numbers."""
    where = f"in column {shown(column.name)}"
    if is_integer_dtype(column.dtype) or is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = np.full(column.size, np.nan)
        for k, cell in enumerate(column):
            if cell is None or cell is pd.NA or cell is pd.NaT:
                continue
            if isinstance(cell, bool) or not isinstance(cell, numbers.Real):
                raise InputError(
                    f"{argument}: expected numbers {where}, got {shown(cell)} in row {k + 1}"
                )
            try:
                values[k] = float(cell)
            except OverflowError:
                values[k] = np.inf
    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        raise InputError(
            f"{argument}: expected finite values {where}, got {values[infinite[0]]}"
            f" in row {infinite[0] + 1}"
        )
    return values
