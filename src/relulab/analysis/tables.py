"""Tables for people and programs: aligned text for a terminal, Markdown for a page, CSV.

In text and Markdown, fractions are percentages, counts have separators, other numbers have four
digits, and missing values are empty cells. CSV keeps every digit. The index is not shown.
"""

import os
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype, is_scalar
from tabulate import tabulate

from relulab.model.outcome import OUTCOMES, UNITS
from relulab.validation import InputError, instance_of, one_line, shown

__all__ = [
    "FORMATS",
    "markdown",
    "text",
    "write",
]


def __dir__() -> list[str]:
    return __all__


FORMATS = ("csv", "md")

# The columns shown in percent, in any table; the names of counts begin with n_.
FRACTIONS = {"fraction", "low", "high", "survival", "global_optimum"}
FRACTIONS.update(OUTCOMES.categories, UNITS.categories)


def text(table: pd.DataFrame) -> str:
    """Return the table in columns of fixed width, with numbers aligned to the right."""
    lines = _tabulated(table, _in_words(table), "plain").splitlines()
    return "\n".join(line.rstrip() for line in lines)


def markdown(table: pd.DataFrame) -> str:
    """Return the table in GitHub's Markdown."""
    escapes = str.maketrans({"\\": "\\\\", "|": "\\|"})
    columns = [[cell.translate(escapes) for cell in column] for column in _in_words(table)]
    return _tabulated(table, columns, "pipe")


def _tabulated(table: pd.DataFrame, columns: list[list[str]], how: str) -> str:
    """Return columns of texts, each after its name, in one of tabulate's formats."""
    sides = ["right" if number else "left" for number in _numbers(table)]
    lines: str = tabulate(
        list(zip(*(cells for _, *cells in columns), strict=True)),
        headers=[name for name, *_ in columns],
        tablefmt=how,
        colalign=sides if len(table) else None,  # tabulate 0.9 fails if there are no rows
        disable_numparse=True,
    )
    return lines


def write(table: pd.DataFrame, file: str | PathLike[str]) -> None:
    """Write the table to a file: CSV if its name ends in ``.csv``, Markdown if in ``.md``."""
    instance_of("table", table, pd.DataFrame)
    named = isinstance(file, (str, PathLike)) and "\0" not in str(file)
    path = Path(os.path.expanduser(file)) if named else Path()
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".md":
        path.write_text(markdown(table) + "\n", encoding="utf-8")
    else:
        raise InputError(f"file: expected a name that ends in .csv or .md, got {shown(file)}")


def _in_words(table: pd.DataFrame) -> list[list[str]]:
    """Return each column as texts: its name and its cells."""
    instance_of("table", table, pd.DataFrame)
    return [
        [_line(name), *(_cell(value, name) for value in cells)] for name, cells in table.items()
    ]


def _numbers(table: pd.DataFrame) -> list[bool]:
    """Return which columns are numbers."""
    return [is_numeric_dtype(dtype) and not is_bool_dtype(dtype) for dtype in table.dtypes]


def _cell(value: Any, name: object) -> str:
    """Return a value of the column ``name`` as text."""
    if is_scalar(value) and pd.isna(value):
        return ""
    if isinstance(value, (float, np.floating)):
        return f"{value:.2%}" if name in FRACTIONS else f"{value:.4g}"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}" if name == "count" or str(name).startswith("n_") else str(value)
    return _line(value)


def _line(value: object) -> str:
    """Return a value as one line of text, without control characters for the terminal."""
    return one_line(" ".join(str(value).split()))
