"""The distinct rows of a table, found by whole numbers that stand for its values.

pandas' groupby looks up every value of every column and makes much of each row. A table of runs has
few different rows, so nearly all of that is spared where those that repeat are found first.
"""

from collections.abc import Sequence
from operator import is_

import numpy as np
import numpy.typing as npt
import pandas as pd

IntArray = npt.NDArray[np.int64]

# A table of so many numbers is made in no time.
FEW = 4096


class Codes:
    """The rows of a table as whole numbers, which are the same only where values are.

    Rows that pandas takes for one may have several numbers (those of 0.0 and -0.0), so what is
    found by them is still to be grouped.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table
        self._backwards = np.arange(len(table))[::-1]
        # Where numbers are larger, counting by all of them costs more than looking them up.
        self._limit = 4 * len(table) + FEW
        self._known: dict[tuple[str, ...], tuple[IntArray, int]] = {}

    def distinct(
        self, columns: Sequence[str], counts: IntArray | None = None
    ) -> tuple[IntArray, IntArray]:
        """Return where each row of some columns occurs first, in order, and how many times it does.

        With ``counts`` a row stands for so many.
        """
        numbers, n = self._numbers(tuple(columns))
        first = np.full(n, -1)
        first[numbers[::-1]] = self._backwards  # of several the last is written last
        rows = np.sort(first[first >= 0])
        # Sums in float64 are exact, as whole numbers far below 2**53.
        sums = np.bincount(numbers, counts, n).astype(np.int64)
        return rows, sums[numbers[rows]]

    def _numbers(self, columns: tuple[str, ...]) -> tuple[IntArray, int]:
        """Return a number from 0 to n - 1 for each row of some columns, and n."""
        if columns not in self._known:
            *others, last = columns
            if others:
                (a, n_a), (b, n_b) = self._numbers((*others,)), self._numbers((last,))
                # In place, as below: fresh memory takes longer than arithmetic.
                numbers = a * n_b
                numbers += b
                found = numbers, n_a * n_b
                if found[1] > self._limit:
                    found = self._looked_up(numbers)
            else:
                found = self._of_column(self._table[last])
            self._known[columns] = found
        return self._known[columns]

    def _of_column(self, column: pd.Series) -> tuple[IntArray, int]:
        dtype = column.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            codes = np.add(column.cat.codes.to_numpy(), 1, dtype=np.int64)
            return codes, len(dtype.categories) + 1
        if isinstance(column.array, pd.arrays.IntegerArray | pd.arrays.BooleanArray):
            plain = column.to_numpy("uint64" if dtype == "UInt64" else "int64", na_value=0)
            numbers, n = self._of_integers(plain.astype(np.int64, copy=False))
            numbers += 1
            numbers[column.isna().to_numpy()] = 0
            return numbers, n + 1
        if isinstance(dtype, np.dtype) and dtype.kind in "biu":
            return self._of_integers(column.to_numpy().astype(np.int64, copy=False))
        if isinstance(dtype, np.dtype) and dtype.kind in "fmM" and dtype.itemsize <= 8:
            bits = column.to_numpy().view(f"i{dtype.itemsize}").astype(np.int64, copy=False)
            # Numbers of few digits, as rounded ones are, end in zeros, and are small without.
            used = int(np.bitwise_or.reduce(bits))
            zeros = max((used & -used).bit_length() - 1, 0)
            return self._of_integers(bits >> zeros if zeros else bits)
        if _is_constant(column):
            return np.zeros(len(column), np.int64), 1
        groups = column.groupby(column, sort=False, observed=True, dropna=False)
        return np.asarray(groups.ngroup(), np.int64), groups.ngroups

    def _of_integers(self, values: IntArray) -> tuple[IntArray, int]:
        """Return numbers for integers: how far they are from the smallest, if that is not far."""
        least, most = (int(values.min()), int(values.max())) if values.size else (0, 0)
        if most - least >= self._limit:
            return self._looked_up(values)
        numbers, n = np.asarray(values - least, np.int64), most - least + 1
        if n <= FEW:
            return numbers, n
        # Those that occur, without the gaps: the fewer, the less to count with other columns.
        occurs = np.zeros(n, bool)
        occurs[numbers] = True
        place = np.cumsum(occurs) - 1
        return place[numbers], int(place[-1]) + 1

    @staticmethod
    def _looked_up(numbers: IntArray) -> tuple[IntArray, int]:
        """Return numbers of a small range for any."""
        found, values = pd.factorize(numbers)
        return found.astype(np.int64, copy=False), len(values)


def _is_constant(column: pd.Series) -> bool:
    """Return whether all rows are seen to be the same, as the name of their sweep is."""
    if column.empty:
        return False
    if isinstance(column.dtype, pd.StringDtype):
        return bool((column == column.iloc[0]).fillna(False).all())
    values = column.to_numpy(object)
    return all(map(is_, values, [values[0]] * len(values)))
