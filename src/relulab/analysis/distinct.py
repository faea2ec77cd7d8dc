"""Find the distinct rows of a table with Arrow, through whole numbers that encode its values.

pandas' groupby looks up every value of every column, which is slow. A table of runs has few
distinct rows, so finding these first saves nearly all of that work.
"""

from collections.abc import Sequence
from operator import is_
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

IntArray = npt.NDArray[np.int64]

# Of pandas or Arrow: stored runs are Arrow tables, and only few of their rows are converted.
Table: TypeAlias = pd.DataFrame | pa.Table

# A table, and how many rows each of its rows represents; None means one each.
Counted = tuple[Table, IntArray | None]

# The number of rows for testing whether most repeat.
TRIAL = 1 << 14

# The number of rows to hold: among more, more repeat, and pandas has the same cost for few rows.
MOST_ROWS = 1 << 18


def distinct(
    table: pd.DataFrame, columns: Sequence[str], counts: IntArray | None = None
) -> tuple[IntArray, IntArray]:
    """Return where each distinct row of some columns occurs first, in order, and how often.

    Rows that pandas takes as equal may be found distinct (with 0.0 and -0.0), so the result must
    still be grouped. With ``counts``, each row represents that many.
    """
    keys = [key for name in columns if (key := _key(table[name])) is not None]
    _, rows, sums = _grouped(keys, counts, row=np.arange(len(table)))
    order = np.argsort(rows, kind="stable")  # fast, because they are nearly in order
    return rows[order], sums[order]


class Together:
    """A sequence of tables, joined into fewer, in which repeated rows are merged, if many repeat.

    pandas takes much longer for many small tables than for a large one.
    """

    def __init__(self) -> None:
        self._pays: bool | None = None
        self._held: list[Counted] = []
        self._kind = False, False  # of those held: are_few, one run each

    def fewer(
        self, table: Table, columns: Sequence[str], counts: IntArray | None = None
    ) -> Counted | None:
        """Return the distinct rows, if many repeat. Several threads may call this at once."""
        try:
            if self._pays is None and len(table):
                trial = table[:TRIAL]
                self._pays = 2 * len(_different(trial, columns)[0]) < len(trial)
            return _different(table, columns, counts) if self._pays else None
        except TypeError:  # unhashable values, in a column that may never be used
            return None

    def add(self, table: Counted, *, are_few: bool) -> list[Counted]:
        """Take a table, and return tables that represent some of those taken, in order.

        Stored tables, and those whose rows ``are_few`` because repeated ones were merged, are held
        until they have many rows together. Then the latter are merged again.
        """
        if isinstance(table[0], pd.DataFrame) and not are_few:
            return [*self.rest(), table]
        kind = are_few, table[1] is None
        alike = not self._held or (kind == self._kind and _alike(self._held[0][0], table[0]))
        before = [] if alike else self.rest()
        self._held.append(table)
        self._kind = kind
        if self._n_held() > MOST_ROWS:
            self._held = self.rest()
            if self._n_held() > MOST_ROWS // 2:  # few repeat
                before += self._held
                self._held = []
        return before

    def _n_held(self) -> int:
        return sum(len(held) for held, _ in self._held)

    def rest(self) -> list[Counted]:
        """Return tables that represent everything taken and not yet returned."""
        held, self._held = self._held, []
        if len(held) < 2:
            return held
        tables, counts = zip(*held, strict=True)
        are_few, are_single = self._kind
        together = _joined(tables), None if are_single else np.concatenate(counts)
        if not are_few:
            return [together]
        try:
            return [_different(together[0], names_in(held[0][0]), together[1])]
        except TypeError:
            return held


def names_in(table: Table) -> list[str]:
    """Return the names of the columns of a table of pandas or Arrow."""
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
    """Return whether tables can be merged: they have the same columns, with the same types.

    Tables with an excess loss but no sweep stay apart: one must see whether it is missing in all
    rows of a table.
    """
    one, other = (dict(t.dtypes) if isinstance(t, pd.DataFrame) else t.schema for t in (a, b))
    return one == other and ("sweep" in names_in(a) or "excess_loss" not in names_in(a))


def _grouped(keys: Sequence[Any], counts: IntArray | None, **least: IntArray) -> tuple[Any, ...]:
    """Return the distinct keys, the minima of other columns, and how many rows have them."""
    arrays = {str(k): key for k, key in enumerate(keys)}
    names = list(arrays)
    wanted: list[Any] = [(name, "min") for name in least]
    wanted.append(([], "count_all") if counts is None else ("count", "sum"))
    arrays |= least if counts is None else {**least, "count": counts}
    # In one thread, which costs less: several tables are made at the same time.
    found = pa.table(arrays).group_by(names, use_threads=False).aggregate(wanted)
    others = [found[name].to_numpy() for name in found.column_names if name not in names]
    return [_whole(found[name]) for name in names], *others


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without a copy if it is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _is_one_word(column: pa.Array) -> bool:
    """Return whether all rows of a stored column are the same, like the name of their sweep."""
    return (
        pa.types.is_dictionary(column.type)
        and len(column.dictionary) == 1
        and column.null_count == 0
    )


def _bits(column: pa.Array) -> pa.Array:
    """Return an array that differs wherever a stored column does, as whole numbers if possible."""
    if pa.types.is_dictionary(column.type):
        return column.indices
    if pa.types.is_floating(column.type):
        return column.view(pa.int32() if column.type.bit_width == 32 else pa.int64())
    return column


def _with_bits(column: pa.Array, bits: pa.Array) -> pa.Array:
    """Return the values of a stored column from their bits."""
    if pa.types.is_dictionary(column.type):
        return pa.DictionaryArray.from_arrays(bits, column.dictionary)
    return bits.view(column.type)


def _key(column: pd.Series) -> Any:
    """Return numbers that differ wherever a column does, or None if it is constant."""
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
    """Return whether all rows are clearly the same, like the name of their sweep."""
    if column.empty:
        return False
    if isinstance(column.dtype, pd.StringDtype):
        return bool((column == column.iloc[0]).fillna(False).all())
    values = column.to_numpy(object)
    return all(map(is_, values, [values[0]] * len(values)))
