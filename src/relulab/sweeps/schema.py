"""The columns of stored runs: every part of an experiment has the same ones, in the same types.

An experiment's columns are those of all its sweeps together. A column that a sweep lacks is null
in its parts (unlike NaN, which is a result), and a column is float64 if it is float64 in any sweep:
every float32 is a float64. So any program that reads the files, in any order, finds every column
and every bit.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from relulab.model.network import PARAMETERS
from relulab.model.outcome import OUTCOMES, UNITS
from relulab.training.settings import BOUNDS

SWEEP = "sweep"

# All columns that runs may have, in the order in which they are stored, with their possible types.
_INITIAL, _FLOAT = ("float64",), ("float32", "float64")
COLUMNS = {
    SWEEP: ("string",),
    "run": ("int64",),
    "draw": ("int64",),
    **{f"{name}0": _INITIAL for name in PARAMETERS},
    **dict.fromkeys(BOUNDS, _INITIAL),
    **dict.fromkeys((*PARAMETERS, "loss", "excess_loss", "gradient_norm"), _FLOAT),
    "steps_taken": ("int64",),
    "death_step": ("Int64",),
    "n_revivals": ("int64",),
    "period": ("Int64",),
    "outcome": ("outcome",),
    "unit": ("unit",),
}

# The column with the number of runs in the table that ``count_rows`` makes. The table is worth
# storing if its rows represent so many runs on average, which the first runs show.
COUNT = "count"
FEWEST_REPEATS = 4
TRIAL = 1 << 14

# The types of columns by their names in a manifest: pandas' name, and Arrow's type.
# With the index type that Parquet readers return.
_WORDS = pa.dictionary(pa.int32(), pa.string())
PANDAS: dict[str, Any] = {
    "string": str,
    "int64": "int64",
    "Int64": "Int64",
    "float32": "float32",
    "float64": "float64",
    "outcome": OUTCOMES,
    "unit": UNITS,
}
ARROW = {
    "string": pa.string(),
    "int64": pa.int64(),
    "Int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "outcome": _WORDS,
    "unit": _WORDS,
}


def checked_columns(columns: Mapping[str, str]) -> None:
    """Raise ``ValueError`` unless these are columns of runs with their types."""
    known = [kind in COLUMNS.get(name, ()) for name, kind in columns.items()]
    if not (known and all(known)):
        raise ValueError("it lacks known columns")


def merged(columns: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return columns, with their types, that can hold the columns of several sweeps."""
    together = {SWEEP: "string"}
    for name in list(COLUMNS)[1:]:
        kinds = {one[name] for one in columns if name in one}
        if not kinds:
            continue
        if kinds == {"float32", "float64"}:
            kinds = {"float64"}
        if kinds == {"int64"} and not all(name in one for one in columns):
            kinds = {"Int64"}
        [together[name]] = kinds
    return together


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """Return the schema of a file with these columns, which pandas reads as it was stored."""
    return _arrow_schema(tuple(columns.items()))


@cache
def _arrow_schema(columns: tuple[tuple[str, str], ...]) -> pa.Schema:
    empty = pd.DataFrame({name: pd.Series([], dtype=PANDAS[kind]) for name, kind in columns})
    metadata = pa.Schema.from_pandas(empty, preserve_index=False).metadata
    return pa.schema([(name, ARROW[kind]) for name, kind in columns], metadata)


def to_table(runs: pd.DataFrame, sweep: str, schema: pa.Schema) -> pa.Table:
    """Return the runs of a sweep in the columns of a schema, to the bit."""
    n = len(runs)
    arrays = []
    for field in schema:
        if field.name == SWEEP:
            arrays.append(pa.repeat(pa.scalar(sweep), n))
        elif field.name not in runs:
            arrays.append(pa.nulls(n, field.type))
        elif isinstance(runs[field.name].dtype, np.dtype):
            # Unlike pandas: a NaN stays a NaN and does not become a missing value.
            values = runs[field.name].to_numpy()
            arrays.append(pa.array(values, from_pandas=False).cast(field.type))
        else:
            arrays.append(pa.array(runs[field.name], type=field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def is_read_as(stored: pa.DataType, kind: str) -> bool:
    """Return whether a stored column can be read as one of a kind, to the bit."""
    return stored == ARROW[kind] or (stored == pa.float32() and kind == "float64")


WORDS = {
    name: pa.array(list(dtype.categories))
    for name, dtype in {"outcome": OUTCOMES, "unit": UNITS}.items()
}


def unknown_words(table: pa.Table) -> list[str]:
    """Return the columns of a stored table with words that a run cannot have.

    Older parts have only the first of today's words.
    """
    return [
        name
        for name, words in WORDS.items()
        if name in table.column_names
        and any(
            not words[: len(chunk.dictionary)].equals(chunk.dictionary)
            for chunk in table[name].chunks
        )
    ]


def with_known_words(table: pa.Table) -> pa.Table:
    """Return a stored table with all of today's words, so that parts can be combined."""
    for place, name in enumerate(table.column_names):
        chunks = table[name].chunks
        # Making the same codes again takes time.
        if name in WORDS and not all(c.dictionary.equals(WORDS[name]) for c in chunks):
            now = [pa.DictionaryArray.from_arrays(c.indices, WORDS[name]) for c in chunks]
            table = table.set_column(place, name, pa.chunked_array(now, table[name].type))
    return table


def in_schema(
    table: pa.Table, schema: pa.Schema, n_rows: int, sweep: str | None = None
) -> pa.Table:
    """Return a stored table in the columns of another schema, which holds all of its columns.

    With ``sweep``, fill its column with this name: as the one word of a dictionary, this is fast.
    """
    arrays = []
    for field in schema:
        if field.name == SWEEP and sweep is not None:
            codes = pa.array(np.zeros(n_rows, np.int32))
            arrays.append(pa.DictionaryArray.from_arrays(codes, [sweep]))
        elif field.name in table.column_names:
            arrays.append(table[field.name].cast(field.type))
        else:
            arrays.append(pa.nulls(n_rows, field.type))
    return pa.Table.from_arrays(arrays, schema.names, metadata=schema.metadata)


def count_rows(table: pa.Table, columns: Sequence[str]) -> pa.Table | None:
    """Return the distinct rows of some columns, with their number in COUNT; None if few repeat.

    Columns of nulls, which other sweeps have, are added to these.
    """
    absent = [name for name in table.column_names if table[name].null_count == table.num_rows]
    keys = [name for name in columns if name not in absent]
    for rows, repeats in ((table[:TRIAL], 2), (table, FEWEST_REPEATS)):
        # One thread: the other cores train.
        counts = rows.group_by(keys, use_threads=False).aggregate([([], "count_all")])
        if counts.num_rows * repeats > rows.num_rows:
            return None
    counts = counts.rename_columns([*keys, COUNT])
    return with_absent(counts, [table.schema.field(name) for name in absent])


def with_absent(counts: pa.Table, fields: Iterable[pa.Field]) -> pa.Table:
    """Return counts with columns of nulls."""
    schema = pa.schema([*fields, *counts.schema])
    return in_schema(counts, schema, counts.num_rows)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return rows of a stored table, in all or some of its columns, as ``Results`` gives them."""
    if SWEEP in table.column_names:
        place = table.column_names.index(SWEEP)
        table = table.set_column(place, SWEEP, table[SWEEP].cast(pa.string()))
    frame: pd.DataFrame = table.to_pandas()
    return frame
