"""The distinct rows of a table, found by Arrow among whole numbers that stand for its values.

pandas' groupby looks up every value of every column and makes much of each row. A table of runs has
few different rows, so nearly all of that is spared where those that repeat are found first.
"""

from collections.abc import Sequence
from operator import is_
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

IntArray = npt.NDArray[np.int64]

# A table, and how many rows each of its rows stands for: one, if that is not told.
Counted = tuple[pd.DataFrame, IntArray | None]

# Whether most rows repeat is tried with so many.
TRIAL = 1 << 14

# So many rows are held: of more, more repeat, and pandas takes as long for any few of them.
MOST_ROWS = 1 << 18


def distinct(
    table: pd.DataFrame, columns: Sequence[str], counts: IntArray | None = None
) -> tuple[IntArray, IntArray]:
    """Return where each row of some columns occurs first, in order, and how many times it does.

    Rows that pandas takes for one may be told apart (those of 0.0 and -0.0), so what is found is
    still to be grouped. With ``counts`` a row stands for so many.
    """
    n = len(table)
    keys = [key for name in columns if (key := _key(table[name])) is not None]
    names = [str(k) for k in range(len(keys))]
    arrays = dict(zip(names, keys, strict=True), row=np.arange(n))
    if counts is not None:
        arrays["count"] = counts
    # In one thread, which costs less, and tables are made beside each other.
    groups = pa.table(arrays).group_by(names, use_threads=False)
    found = groups.aggregate(
        [("row", "min"), ([], "count_all") if counts is None else ("count", "sum")]
    )
    rows, sums = (found[name].to_numpy() for name in found.column_names if name not in names)
    order = np.argsort(rows, kind="stable")  # quick, as they nearly are in order
    return rows[order], sums[order]


class Together:
    """Tables one after the other, in which rows that repeat are put together, if many do.

    So what is made of them is made of fewer rows, and of fewer tables.
    """

    def __init__(self) -> None:
        self._pays: bool | None = None
        self._held: list[Counted] = []

    def add(
        self, table: pd.DataFrame, columns: Sequence[str], counts: IntArray | None = None
    ) -> list[Counted]:
        """Take a table, and return tables that stand for some of what was taken, in order.

        A table that was put together has ``columns`` only.
        """
        try:
            if self._pays is None and len(table):
                trial = table.iloc[:TRIAL]
                self._pays = 2 * distinct(trial, columns)[0].size < len(trial)
            if not self._pays:
                return [*self.rest(), (table, counts)]
            found = _different(table, columns, counts)
        except TypeError:  # of what has no hash, in a column that nobody may ask for
            return [*self.rest(), (table, counts)]
        before = self.rest() if self._held and not _alike(self._held[0][0], found[0]) else []
        self._held.append(found)
        enough = sum(len(held) for held, _ in self._held) > MOST_ROWS
        return [*before, *self.rest()] if enough else before

    def rest(self) -> list[Counted]:
        """Return tables that stand for all that was taken and not returned yet."""
        held, self._held = self._held, []
        if len(held) < 2:
            return held
        tables, counts = zip(*held, strict=True)
        table = pd.concat(tables, ignore_index=True)
        try:
            return [_different(table, table.columns.tolist(), np.concatenate(counts))]
        except TypeError:
            return held


def _different(table: pd.DataFrame, columns: Sequence[str], counts: IntArray | None) -> Counted:
    rows, sums = distinct(table, columns, counts)
    return pd.DataFrame({name: table[name].array.take(rows) for name in columns}), sums


def _alike(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Return whether tables may go together: they have the same columns, in the same types.

    Without the sweep it is told from the table whether an excess loss is missing in all of it.
    """
    same = a.dtypes.to_dict() == b.dtypes.to_dict()
    return same and ("sweep" in a or "excess_loss" not in a)


def _key(column: pd.Series) -> Any:
    """Return numbers that differ wherever a column does; nothing if all of it is the same."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy()
    if isinstance(column.array, pd.arrays.IntegerArray | pd.arrays.BooleanArray):
        return pa.array(column.array)
    if isinstance(dtype, np.dtype) and dtype.kind in "biufmM" and dtype.itemsize <= 8:
        return column.to_numpy().view(f"i{dtype.itemsize}")
    if _is_constant(column):
        return None
    groups = column.groupby(column, sort=False, observed=True, dropna=False)
    return groups.ngroup().to_numpy()


def _is_constant(column: pd.Series) -> bool:
    """Return whether all rows are seen to be the same, as the name of their sweep is."""
    if column.empty:
        return False
    if isinstance(column.dtype, pd.StringDtype):
        return bool((column == column.iloc[0]).fillna(False).all())
    values = column.to_numpy(object)
    return all(map(is_, values, [values[0]] * len(values)))
