"""The distinct rows of a table, found by Arrow among whole numbers that stand for its values.

pandas' groupby looks up every value of every column and makes much of each row. A table of runs has
few different rows, so nearly all of that is spared where those that repeat are found first.
"""

from collections.abc import Sequence
from operator import is_
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

IntArray = npt.NDArray[np.int64]

# Of pandas, or of Arrow: what is stored is in Arrow's form, and few rows of it are pandas' soon.
Table: TypeAlias = pd.DataFrame | pa.Table

# A table, and how many rows each of its rows stands for: one, if that is not told.
Counted = tuple[Table, IntArray | None]

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
    keys = [key for name in columns if (key := _key(table[name])) is not None]
    _, rows, sums = _grouped(keys, counts, row=np.arange(len(table)))
    order = np.argsort(rows, kind="stable")  # quick, as they nearly are in order
    return rows[order], sums[order]


class Together:
    """Tables one after the other, in which rows that repeat are put together, if many do.

    So what is made of them is made of fewer rows, and of fewer tables.
    """

    def __init__(self) -> None:
        self._pays: bool | None = None
        self._held: list[Counted] = []

    def fewer(
        self, table: Table, columns: Sequence[str], counts: IntArray | None = None
    ) -> Counted | None:
        """Return the rows that differ, if many repeat. Several threads may do so at once."""
        try:
            if self._pays is None and len(table):
                trial = table[:TRIAL]
                self._pays = 2 * len(_different(trial, columns)[0]) < len(trial)
            return _different(table, columns, counts) if self._pays else None
        except TypeError:  # of what has no hash, in a column that nobody may ask for
            return None

    def add(self, table: Counted, fewer: Counted | None) -> list[Counted]:
        """Take a table, and return tables that stand for some of what was taken, in order.

        Where ``fewer`` rows stand for it, these are taken instead.
        """
        if fewer is None:
            return [*self.rest(), table]
        before = self.rest() if self._held and not _alike(self._held[0][0], fewer[0]) else []
        self._held.append(fewer)
        if sum(len(held) for held, _ in self._held) > MOST_ROWS:
            self._held = self.rest()
            if sum(len(held) for held, _ in self._held) > MOST_ROWS // 2:  # few repeat
                before += self._held
                self._held = []
        return before

    def rest(self) -> list[Counted]:
        """Return tables that stand for all that was taken and not returned yet."""
        held, self._held = self._held, []
        if len(held) < 2:
            return held
        tables, counts = zip(*held, strict=True)
        try:
            return [_different(_joined(tables), names_in(held[0][0]), np.concatenate(counts))]
        except TypeError:
            return held


def names_in(table: Table) -> list[str]:
    """Return the names of the columns of a table, of pandas or of Arrow."""
    return table.columns.tolist() if isinstance(table, pd.DataFrame) else table.column_names


def _different(table: Table, columns: Sequence[str], counts: IntArray | None = None) -> Counted:
    if isinstance(table, pd.DataFrame):
        rows, sums = distinct(table, columns, counts)
        return pd.DataFrame({name: table[name].array.take(rows) for name in columns}), sums
    stored = {name: _whole(table[name]) for name in columns}
    varying = [name for name in columns if not _is_one_word(stored[name])] or columns[:1]
    keys, sums = _grouped([_bits(stored[name]) for name in varying], counts)
    few = {name: column[: len(sums)] for name, column in stored.items()}
    few |= {name: _with_bits(stored[name], key) for name, key in zip(varying, keys, strict=True)}
    return pa.table(few, metadata=table.schema.metadata), sums


def _joined(tables: Sequence[Table]) -> Table:
    if isinstance(tables[0], pd.DataFrame):
        return pd.concat(tables, ignore_index=True)
    return pa.concat_tables(tables)


def _alike(a: Table, b: Table) -> bool:
    """Return whether tables may go together: they have the same columns, in the same types.

    Without the sweep it is told from the table whether an excess loss is missing in all of it.
    """
    one, other = (dict(t.dtypes) if isinstance(t, pd.DataFrame) else t.schema for t in (a, b))
    return one == other and ("sweep" in names_in(a) or "excess_loss" not in names_in(a))


def _grouped(keys: Sequence[Any], counts: IntArray | None, **least: IntArray) -> tuple[Any, ...]:
    """Return the keys that differ, the least of other columns, and how many rows have those."""
    arrays = {str(k): key for k, key in enumerate(keys)}
    names = list(arrays)
    wanted: list[Any] = [(name, "min") for name in least]
    wanted.append(([], "count_all") if counts is None else ("count", "sum"))
    arrays |= least if counts is None else {**least, "count": counts}
    # In one thread, which costs less, and tables are made beside each other.
    found = pa.table(arrays).group_by(names, use_threads=False).aggregate(wanted)
    others = [found[name].to_numpy() for name in found.column_names if name not in names]
    return [_whole(found[name]) for name in names], *others


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without a copy where it is one."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _is_one_word(column: pa.Array) -> bool:
    """Return whether all rows of a stored column are the same, as the name of their sweep is."""
    return (
        pa.types.is_dictionary(column.type)
        and len(column.dictionary) == 1
        and column.null_count == 0
    )


def _bits(column: pa.Array) -> pa.Array:
    """Return what differs wherever a stored column does, in whole numbers but for words."""
    if pa.types.is_dictionary(column.type):
        return column.indices
    if pa.types.is_floating(column.type):
        return column.view(pa.int32() if column.type.bit_width == 32 else pa.int64())
    return column


def _with_bits(column: pa.Array, bits: pa.Array) -> pa.Array:
    """Return the values of a stored column of which these are the bits."""
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(bits, column.dictionary)
    return bits.view(column.type)


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
