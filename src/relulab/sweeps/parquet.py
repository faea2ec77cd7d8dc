"""Parquet files that describe themselves, with digests of their content.

A file's footer has, under the key ``relulab``, a JSON text that describes the content (``about``)
and has two digests: of everything before the footer, and of the footer itself, computed with zeros
in the place of this digest. So a file alone shows whether it is damaged, wherever the damage is,
and the footer is checked before any number in it is used.

Pages also have checksums, which Parquet checks whenever a page is read, so that a few columns of a
file can be read without reading all of it.

Between its pages and its footer, a file may hold a second, small table, which is a Parquet file
itself: the ``extract``. The footer says where it is, with its digest. Other readers find the pages
by their places in the file and do not see it.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from relulab.sweeps.files import is_regular, whole

# In the metadata of every Parquet file that relulab wrote.
MARK = b"relulab"

# This many values of a column show whether it repeats.
LOOKED_AT = 4096

_DIGITS = 64
_ZEROS = b"0" * _DIGITS
_BODY = re.compile(rb'"body": "([0-9a-f]{%d})"' % _DIGITS)
_FOOTER = re.compile(rb'"footer": "([0-9a-f]{%d})"' % _DIGITS)
_END = 8  # bytes after the footer: its length, and Parquet's magic number
_MAGIC = b"PAR1"


class DamagedFileError(Exception):
    """A file has changed since it was written, or relulab did not write it."""


@dataclass(frozen=True)
class StoredTable:
    """A Parquet file of relulab's with an undamaged footer.

    Attributes
    ----------
    file : Path
    about : dict
        Its writer's description of the content.
    schema : pyarrow.Schema
    n_rows : int
    """

    file: Path
    about: dict[str, Any]
    schema: pa.Schema
    n_rows: int
    _metadata: pq.FileMetaData
    _extract: dict[str, Any] | None

    @classmethod
    def open(cls, file: Path) -> Self:
        """Return the description of a file, reading only its footer.

        Raises
        ------
        DamagedFileError
            If the footer is not as it was written, or is not relulab's.
        FileNotFoundError
            If there is no file.
        """
        if not is_regular(file):  # a pipe would be waited for; a link leads elsewhere
            raise DamagedFileError("not a file")
        with file.open("rb") as source:
            footer = _footer(source)
            _checked_digest(_FOOTER, footer, _with_zeros(_FOOTER, footer))
            try:
                found = pq.ParquetFile(source)
                described = json.loads((found.metadata.metadata or {})[MARK])
                about, extract = described["about"], described.get("extract")
            except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
                raise DamagedFileError(str(error)) from None
        metadata = found.metadata
        return cls(file, about, found.schema_arrow, metadata.num_rows, metadata, extract)

    def check(self) -> None:
        """Read the whole file; raise ``DamagedFileError`` if it is not as it was written."""
        content = self.file.read_bytes()
        start = len(content) - _footer_size(content[-_END:], len(content))
        _checked_digest(_BODY, content[start:], memoryview(content)[:start])

    def read(
        self, columns: Sequence[str] | None = None, dictionary: Collection[str] = ()
    ) -> pa.Table:
        """Return some columns, or all; only columns in ``dictionary`` may have a dictionary.

        Raises
        ------
        DamagedFileError
            If a page has changed since it was written, or if the table would take much more memory
            than disk.
        """
        try:
            with self.file.open("rb") as source:
                found = pq.ParquetFile(
                    source, metadata=self._metadata, page_checksum_verification=True
                )
                _check_size(self._metadata, self.file.stat().st_size, dictionary)
                return found.read(columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(str(error)) from None

    def extract(self) -> pa.Table | None:
        """Return the small table in the file, or None if it has none.

        Raises
        ------
        DamagedFileError
            If it has changed since it was written, or if it might take more memory than the table.
        """
        if self._extract is None:
            return None
        start, size = self._extract["start"], self._extract["size"]
        with self.file.open("rb") as source:
            if not 0 <= start <= start + size <= os.fstat(source.fileno()).st_size:
                raise DamagedFileError("its extract is not in it")
            source.seek(start)
            content = source.read(size)
        if _digest(content) != self._extract["digest"]:
            raise DamagedFileError("the digest of its extract does not match")
        try:
            found = pq.ParquetFile(pa.BufferReader(content))
            has, types = found.metadata, found.schema_arrow.types
            narrow = all(pa.types.is_primitive(t) or pa.types.is_dictionary(t) for t in types)
            if has.num_rows > self.n_rows or len(types) > len(self.schema) + 1 or not narrow:
                raise DamagedFileError("its extract is larger than the table")
            return found.read()
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(str(error)) from None


def write_table(
    folder: Path,
    file: Path,
    table: pa.Table,
    about: Mapping[str, Any],
    dictionary: Collection[str] = (),
    extract: pa.Table | None = None,
) -> None:
    """Write a table so that it appears whole or not at all.

    Parameters
    ----------
    folder : Path
        The results folder, in which the file lies while it is half-written.
    file : Path
        A file in an existing folder.
    about : dict of JSON values
        The description of the content, which ``StoredTable.open`` returns.
    dictionary : collection of str
        The columns that get a dictionary if their values repeat. Whole numbers among the rest are
        stored as differences.
    extract : pyarrow.Table, optional
        A small table for ``StoredTable.extract``.
    """
    known = [name for name in table.column_names if name in dictionary]
    repeating = [name for name in known if _repeats(table[name])]
    # Numbers of runs and draws, which take almost no space as differences.
    counting = [n for n in known if n not in repeating and pa.types.is_integer(table[n].type)]
    described = {"body": _ZEROS.decode(), "footer": _ZEROS.decode(), "about": dict(about)}
    # The rest are practically random floats: a dictionary makes writing slower and files larger,
    # compression took a third of the writing time to save an eighth of the bytes, and their ranges
    # help no reader.
    with whole(folder, file) as sink:
        with pq.ParquetWriter(
            sink,
            table.schema,
            use_dictionary=repeating,
            column_encoding=dict.fromkeys(counting, "DELTA_BINARY_PACKED"),
            write_statistics=[name for name in repeating if _has_range(table[name])],
            compression="none",
            write_page_checksum=True,
        ) as writer:
            writer.write_table(table)
            if extract is not None:
                content = _as_file(extract)
                place = {"start": sink.tell(), "size": len(content), "digest": _digest(content)}
                described["extract"] = place
                sink.write(content)
            writer.add_key_value_metadata({MARK.decode(): json.dumps(described)})
        _fill_in_digests(sink)


def _as_file(table: pa.Table) -> bytes:
    """Return a table as the content of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _fill_in_digests(sink: Any) -> None:
    """Put the digests of the written file into its footer."""
    footer = _footer(sink)
    sink.truncate(sink.seek(-len(footer), os.SEEK_END))
    sink.seek(0)
    body = hashlib.file_digest(sink, "sha256").hexdigest()
    for place, of in ((_BODY, body), (_FOOTER, None)):
        digest = (of or _digest(footer)).encode()
        at = _found(place, footer).start(1)
        footer = footer[:at] + digest + footer[at + _DIGITS :]
    sink.write(footer)


def _repeats(column: pa.ChunkedArray) -> bool:
    """Return whether the first values of a column repeat."""
    some = column.slice(0, LOOKED_AT)
    return pa.types.is_dictionary(some.type) or 2 * len(some.unique()) <= len(some)


def _has_range(column: pa.ChunkedArray) -> bool:
    """Return whether a column's smallest and largest values help readers to skip it.

    Those of words do not, and they are costly. A range does not show NaN, so readers would skip
    rows that have one.
    """
    if pa.types.is_floating(column.type):
        return not pc.any(pc.is_nan(column)).as_py()
    return not pa.types.is_dictionary(column.type)


def is_ours(file: Path) -> bool:
    """Return whether relulab wrote a Parquet file, in whatever format."""
    return MARK in (_metadata(file) or {})


def is_foreign(file: Path) -> bool:
    """Return whether there is a whole Parquet file that somebody else wrote."""
    metadata = _metadata(file)
    return metadata is not None and MARK not in metadata


def _metadata(file: Path) -> dict[bytes, bytes] | None:
    """Return the metadata in the footer of a Parquet file, or None if it is not one."""
    try:
        if not is_regular(file):
            return None
        with file.open("rb") as source:
            return pq.read_metadata(source).metadata or {}
    except (OSError, pa.ArrowException):
        return None


def _footer(source: Any) -> bytes:
    """Return the footer of an open file, with the bytes that follow it."""
    size = source.seek(0, os.SEEK_END)
    source.seek(max(size - _END, 0))
    length = _footer_size(source.read(_END), size)
    source.seek(size - length)
    footer: bytes = source.read(length)
    source.seek(0)
    return footer


def _footer_size(end: bytes, size: int) -> int:
    """Return the number of bytes from the footer's first to the end of a file."""
    length = int.from_bytes(end[:4], "little") + _END
    if end[4:] != _MAGIC or not _END < length <= size:
        raise DamagedFileError("not a Parquet file")
    return length


def _found(place: re.Pattern[bytes], footer: bytes) -> re.Match[bytes]:
    """Return where a digest is in a footer."""
    found = place.search(footer)
    if not found:
        raise DamagedFileError("not a relulab file, or of another version")
    return found


def _with_zeros(place: re.Pattern[bytes], footer: bytes) -> bytes:
    at = _found(place, footer).start(1)
    return footer[:at] + _ZEROS + footer[at + _DIGITS :]


def _checked_digest(place: re.Pattern[bytes], footer: bytes, of: bytes | memoryview) -> None:
    if _found(place, footer)[1] != _digest(of).encode():
        raise DamagedFileError("its digest does not match")


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def _check_size(metadata: Any, size: int, dictionary: Collection[str]) -> None:
    """Refuse a file that takes much more memory than disk; relulab writes no such file."""
    groups = [metadata.row_group(k) for k in range(metadata.num_row_groups)]
    chunks = [group.column(k) for group in groups for k in range(group.num_columns)]
    plain = all(
        chunk.compression == "UNCOMPRESSED"
        and (chunk.path_in_schema in dictionary or not chunk.has_dictionary_page)
        for chunk in chunks
    )
    if not plain or sum(chunk.total_uncompressed_size for chunk in chunks) > size:
        raise DamagedFileError("compressed, which relulab's files are not")
