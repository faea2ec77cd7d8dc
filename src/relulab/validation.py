"""Checks of user input; an error is one line with the argument, what was expected and was given."""

import numbers
import re
import shlex
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.floating[Any]]
Float64Array = npt.NDArray[np.float64]

# More numbers are refused if memory would have to hold them at once.
MOST_NUMBERS = 10**9

# A manifest lists its shards; beyond this, one file per shard is no way to store a sweep.
MOST_SHARDS = 100_000
# A worker holds a shard in memory, and so does a reader of its file.
LARGEST_SHARD = 1_000_000

LARGEST_SEED = 2**128 - 1  # as many bits as NumPy's generators are seeded with

# How messages name arguments: None in Python; else as options, some renamed by this mapping.
_option_names: ContextVar[Mapping[str, str] | None] = ContextVar("option_names", default=None)


class InputError(ValueError):
    """A mistake in an argument or in a file that the user named; its text is one line."""

    def __init__(self, message: str) -> None:
        name, colon, rest = message.partition(":")
        if name in (_option_names.get() or ()):
            message = f"{argument(name)}{colon}{rest}"
        super().__init__(one_line(message))


def argument(name: str, value: str | None = None) -> str:
    """Return an argument's name for a message, with the value that it suggests, if any.

    Python callers read ``missing='drop'``; users of the command line (``named_as_options``) read
    ``--missing drop``.
    """
    names = _option_names.get()
    if names is None:
        return name if value is None else f"{name}={value!r}"
    option = "--" + names.get(name, name).replace("_", "-")
    # A tab is written as typed, \t.
    return option if value is None else f"{option} {shlex.quote(repr(value)[1:-1])}"


@contextmanager
def named_as_options(**names: str) -> Iterator[None]:
    """Let messages name arguments as options of the command line; ``path="csv"`` renames one.

    A message that begins with one of ``names`` then begins with the option.
    """
    token = _option_names.set(names)
    try:
        yield
    finally:
        _option_names.reset(token)


def one_line(text: str) -> str:
    """Return a text on one line, without control characters or surrogates."""
    line = " ".join(text.expandtabs(1).splitlines())
    return re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", line)


def shown(value: object) -> str:
    """Return a short one-line text of a value for an error message."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # a whole number with more digits than Python prints
        return f"{type(value).__name__} of too many digits"
    return shortened(text)


def shortened(text: str) -> str:
    """Return a text cut to fit in a line."""
    return text if len(text) <= 80 else text[:77] + "..."


def counted(n: int, one: str, many: str | None = None) -> str:
    """Return a number of things in words: ``1 run``, ``2,000 runs``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def extent(values: FloatArray) -> str:
    """Return the range of numbers in words; if all are equal, the number."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return "none finite"
    low, high = finite.min(), finite.max()
    text = str(low) if low == high else f"{low:.4g} ... {high:.4g}"
    return text if finite.size == values.size else f"{text} (some not finite)"


def expected_values(n: int) -> str:
    """Return the allowed number of values, one for all or one for each of n, in words."""
    return "1 value" if n == 1 else f"1 or {n} values"


def number_array(name: str, value: object) -> Float64Array:
    """Return a float64 copy of numbers, of any shape, finite or not; refuse anything else."""
    try:
        given = np.asarray(value)
        kind = given.dtype.kind
        # Texts that read as numbers are not numbers, nor are dates. Booleans are only in arrays.
        if kind == "O" and all(map(_is_number, given.flat)):
            kind = "f"
        if kind in "iuf" or (kind == "b" and given.ndim):
            with np.errstate(over="ignore"):  # of floats wider than float64
                return given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):  # ragged; integers beyond float64
        pass
    raise InputError(f"{name}: expected numbers, got {shown(value)}")


def number_arrays(**values: object) -> list[Float64Array]:
    """Return float64 copies of arrays of numbers, finite or not; their shapes must broadcast."""
    arrays = [number_array(name, value) for name, value in values.items()]
    shapes = [array.shape for array in arrays]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise InputError(
            f"{', '.join(values)}: expected shapes that broadcast, got"
            f" {', '.join(map(str, shapes))}"
        ) from None
    return arrays


def finite_array(name: str, value: object) -> Float64Array:
    """Return a 1-D float64 copy of a number or sequence; refuse none, NaN and infinity."""
    array = np.atleast_1d(number_array(name, value))
    if array.ndim != 1:
        raise InputError(f"{name}: expected one dimension, got shape {array.shape}")
    if array.size == 0:
        raise InputError(f"{name}: expected at least one value, got none")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise InputError(f"{name}: expected finite values, got {array[bad[0]]} at index {bad[0]}")
    return array


def non_negative_array(name: str, value: object) -> Float64Array:
    """Return ``finite_array(name, value)``; refuse negative entries too."""
    array = finite_array(name, value)
    bad = np.flatnonzero(array < 0)
    if bad.size:
        raise InputError(f"{name}: expected values >= 0, got {array[bad[0]]} at index {bad[0]}")
    return array


def finite_number(
    name: str, value: object, *, above: float = -np.inf, at_least: float = -np.inf
) -> float:
    """Return a float; refuse anything but a finite number within the bounds."""
    if isinstance(value, bool) or not _is_number(value):
        raise InputError(f"{name}: expected a number, got {shown(value)}")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise InputError(f"{name}: expected a finite number, got {shown(value)}") from None
    if not (np.isfinite(number) and number > above):
        limit = "" if above == -np.inf else f" > {above:g}"
        raise InputError(f"{name}: expected a finite number{limit}, got {number}")
    if number < at_least:
        raise InputError(f"{name}: expected a number >= {at_least:g}, got {number}")
    return number


def whole_number(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """Return an int; refuse anything but a whole number within the bounds."""
    is_whole = isinstance(value, numbers.Integral) and _is_number(value)
    if isinstance(value, bool) or not is_whole or int(value) < at_least:  # type: ignore[call-overload]
        raise InputError(f"{name}: expected a whole number >= {at_least}, got {shown(value)}")
    number: int = int(value)  # type: ignore[call-overload]
    if at_most is not None and number > at_most:
        raise InputError(f"{name}: expected a whole number <= {at_most}, got {shown(value)}")
    return number


def seed_number(name: str, value: object) -> int:
    """Return a seed as an int."""
    return whole_number(name, value, at_least=0, at_most=LARGEST_SEED)


def within_memory(name: str, n_numbers: int) -> None:
    """Refuse more numbers at once than memory can hold."""
    if n_numbers > MOST_NUMBERS:
        raise InputError(
            f"{name}: expected no more than {MOST_NUMBERS:,} numbers at once,"
            f" got {shown(n_numbers)}"
        )


def in_dtype(name: str, values: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """Return the values in the dtype of the arithmetic; refuse those beyond its range."""
    with np.errstate(over="ignore"):
        result = values.astype(dtype, copy=False)
    if not np.isfinite(result).all():
        raise InputError(f"{name}: expected values within the range of {dtype}, got larger ones")
    return result


def set_fields(instance: object, **values: object) -> None:
    """Set fields of a frozen dataclass during its construction."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def instance_of(name: str, value: object, kind: type) -> None:
    """Refuse a value of another type."""
    if not isinstance(value, kind):
        raise InputError(f"{name}: expected {kind.__name__}, got {shown(value)}")


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """Return the value if it is one of ``allowed``."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"{name}: expected one of {', '.join(allowed)}, got {shown(value)}")
    return value


def checked_table(name: str, value: object) -> None:
    """Refuse anything but a DataFrame with unique columns of one level."""
    instance_of(name, value, pd.DataFrame)
    columns = value.columns  # type: ignore[attr-defined]
    if columns.nlevels > 1:
        raise InputError(f"{name}: expected columns of one level, got {columns.nlevels} levels")
    if not columns.is_unique:
        twice = columns[columns.duplicated()][0]
        raise InputError(f"{name}: expected each column once, got {shown(twice)} several times")


def columns_in(name: str, table: pd.DataFrame, *columns: str) -> None:
    """Refuse anything but a table with these columns."""
    checked_table(name, table)
    if missing := [column for column in columns if column not in table]:
        raise InputError(
            f"{name}: expected the columns {', '.join(map(shortened, columns))};"
            f" no {shortened(missing[0])} among {', '.join(map(str, table.columns))}"
        )
    labels_in(name, table, *columns)


def without_index(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with rows numbered from 0 and no names of axes; the data is shared.

    The index means nothing here, but pandas refuses to group by a name that an index also has.
    """
    plain = table.copy(deep=False)
    plain.index = pd.RangeIndex(len(table))
    plain.columns = pd.Index(table.columns.tolist())
    return plain


def numbers_in(name: str, table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table with a column that is not of numbers."""
    for column in columns:
        if len(table) and table[column].dtype.kind not in "iufb":
            raise InputError(
                f"{name}: expected numbers in the column {column}, got {table[column].dtype}"
            )


def whole_numbers_in(name: str, table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table with a column of anything but whole numbers and missing values."""
    numbers_in(name, table, *columns)
    for column in columns:
        if len(table) and table[column].dtype.kind == "f":
            values = table[column].dropna().to_numpy(np.float64)
            wrong = values[~((values == np.rint(values)) & (np.abs(values) < 2**62))]
            if wrong.size:
                raise InputError(
                    f"{name}: expected whole numbers in the column {column}, got {wrong[0]}"
                )


def words_in(name: str, table: pd.DataFrame, column: str, known: Collection[str]) -> None:
    """Refuse a table with a column that has unknown or missing words."""
    wrong = table.loc[~table[column].isin(list(known)), column]
    if len(wrong):
        raise InputError(
            f"{name}: expected {', '.join(known)} in the column {column},"
            f" got {shown(wrong.iloc[0])}"
        )


def labels_in(name: str, table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table with a column of values that cannot be grouped, such as lists."""
    for column in columns:
        cells = table[column] if table[column].dtype == object else ()
        # Many cells, few types.
        if all(issubclass(kind, Hashable) for kind in set(map(type, cells))):
            continue
        if wrong := [cell for cell in cells if not isinstance(cell, Hashable)]:
            raise InputError(
                f"{name}: expected numbers or words in the column {column}, got {shown(wrong[0])}"
            )


def _is_number(value: object) -> bool:
    # NumPy derives durations from its integers.
    return isinstance(value, numbers.Real) and not isinstance(value, np.timedelta64)
