"""What figures ask of tables: columns, numbers, and numbers that have a place on an axis."""

import numpy as np
import pandas as pd

from relulab.validation import InputError, checked_table, columns_in, numbers_in, shown

LARGEST = 1e150  # Matplotlib adds margins and ticks, by powers on logarithmic axes; finite, too


def require(argument: str, table: pd.DataFrame, *columns: str, **named: str) -> None:
    """Refuse a table that lacks a column; ``named`` are arguments that name one."""
    checked_table(argument, table)
    for name, column in named.items():
        if not isinstance(column, str):
            raise InputError(f"{name}: expected the name of a column, got {shown(column)}")
    columns_in(argument, table, *columns, *named.values())


def with_numbers(argument: str, table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return the table with NaN where one of the columns misses a number; refuse all but numbers.

    Matplotlib cannot draw columns of pandas' types that have values of their own for it.
    """
    numbers_in(argument, table, *columns)
    own = [name for name in columns if pd.api.types.is_extension_array_dtype(table[name])]
    return table.assign(**{name: table[name].to_numpy(float, na_value=np.nan) for name in own})


def placed(argument: str, table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return ``with_numbers``, with NaN, which is drawn as a gap, for what has no place."""
    table = with_numbers(argument, table, *columns)
    numbers = {name: table[name].to_numpy(float) for name in columns}
    return table.assign(
        **{name: np.where(np.abs(v) < LARGEST, v, np.nan) for name, v in numbers.items()}
    )


def require_finite(argument: str, table: pd.DataFrame, *columns: str, missing: bool = True) -> None:
    """Refuse a table of numbers that have no place on an axis; ``missing`` ones may be allowed."""
    for name in columns:
        values = table[name].to_numpy(float)
        wrong = values[~((np.abs(values) < LARGEST) | (np.isnan(values) & missing))]
        if wrong.size:
            raise InputError(
                f"{argument}: expected finite numbers in the column {name}, got {wrong[0]}"
            )


def require_fractions(argument: str, table: pd.DataFrame, column: str) -> None:
    """Refuse a table in which a column has numbers that are no fractions."""
    values = table[column].to_numpy(float)
    wrong = values[(values < 0) | (values > 1 + 1e-9)]
    if wrong.size:
        raise InputError(
            f"{argument}: expected numbers from 0 to 1 in the column {column}, got {wrong[0]}"
        )
