"""Write to a results folder: manifest, samples, records, parts; and report if that fails."""

import errno
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from relulab.model.data import TrainingSet
from relulab.sweeps.files import is_regular, remove_temporary_files, write_whole
from relulab.sweeps.layout import Layout, Part, about_data
from relulab.sweeps.locking import Ownership
from relulab.sweeps.manifest import Manifest
from relulab.sweeps.parquet import DamagedFileError, StoredTable, is_foreign, is_ours, write_table
from relulab.sweeps.schema import (
    COLUMNS,
    arrow_schema,
    count_rows,
    in_schema,
    to_table,
    with_absent,
)
from relulab.validation import InputError, checked_table

# An operating system's errors for no room: a full disk, a quota, a limit on file size.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


_PART = re.compile(r"part-[0-9]{5,}\.parquet")


class StorageError(OSError):
    """The results folder cannot be written to: there is no room, or it is gone."""


def no_room(folder: Path, why: object) -> StorageError:
    """Return the error for a lack of room, which also says what is kept."""
    return StorageError(
        f"{folder}: no room ({why}); finished parts are kept, and the same command continues from"
        " there when there is room"
    )


def gone(folder: Path) -> StorageError:
    """Return the error for a folder that is no longer there, or no longer ours."""
    return StorageError(
        f"{folder}: deleted, renamed, unlocked or taken over by another process while running;"
        " nothing more is written, and the same command continues from what is left"
    )


@contextmanager
def told_in_a_line(folder: Path) -> Iterator[None]:
    """Report a full disk in one line, whatever was being written."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise no_room(folder, error) from None
        raise


def goes(file: Path) -> bool:
    """Return whether --restart deletes a file: it has our mark, or is a damaged part."""
    damaged = is_regular(file) and _PART.fullmatch(file.name) and not is_foreign(file)
    return is_ours(file) or bool(damaged)


@dataclass(frozen=True)
class Slot:
    """Where a worker is to write the runs of a shard.

    Attributes
    ----------
    file : Path
        Absolute, because a worker may have another working directory.
    about : dict
        The description that the file stores of itself.
    columns : dict of str to str
        The columns of all parts of the experiment; see ``relulab.sweeps.schema``.
    repeating : sequence of str
        The columns in which runs may be equal: the file also holds how often each of their rows
        occurs, so that counting need not read the runs.
    ours : Ownership
    """

    file: Path
    about: dict[str, Any]
    columns: Mapping[str, str]
    repeating: Sequence[str]
    ours: Ownership

    def write(self, runs: pd.DataFrame) -> None:
        """Store the runs of the shard."""
        for folder in (self.file.parent.parent, self.file.parent):
            if folder.is_symlink():
                raise InputError(f"{folder}: expected relulab's folder, found a link meanwhile")
            folder.mkdir(exist_ok=True)  # but not the results folder, if it is gone
        table = to_table(runs, self.about["sweep"], arrow_schema(self.columns))
        counts = count_rows(table, self.repeating)
        write_table(self.ours.folder, self.file, table, self.about, COLUMNS, counts)


@dataclass(frozen=True)
class Writer:
    """Writes the files of a folder that we own.

    Attributes
    ----------
    layout : Layout
    ours : Ownership
    """

    layout: Layout
    ours: Ownership

    def manifest(self, manifest: Manifest) -> None:
        """Replace the manifest.

        Raises
        ------
        StorageError
            If the folder is gone, or no longer ours.
        """
        if not self.ours.holds():
            raise gone(self.layout.folder)
        text = manifest.to_text().encode()
        write_whole(self.layout.folder, self.layout.manifest_file, text)

    def data(self, sweep: str, data: TrainingSet) -> None:
        """Store the samples of a sweep, with the scales of the user's units."""
        file, about = self.layout.data_file(sweep), about_data(sweep, data)
        try:
            stored = StoredTable.open(file)
            stored.check()
            samples = [stored.read()[name].to_numpy().tobytes() for name in ("x", "target")]
            kept = stored.about == about and samples == [data.x.tobytes(), data.target.tobytes()]
        except (FileNotFoundError, DamagedFileError, KeyError):
            kept = False
        if not kept:
            units = json.dumps({name: about[name] for name in ("x", "target")})
            frame = pd.DataFrame({"x": data.x, "target": data.target})
            # pandas reads this as its ``attrs``.
            self._table(file, frame, about, {b"PANDAS_ATTRS": units})

    def record(self, name: str, frame: pd.DataFrame) -> None:
        """Store a record."""
        checked_table(f"record {name!r}", frame)
        if frame.columns.empty:
            raise InputError(f"record {name!r}: expected at least one column, got none")
        try:
            self._table(self.layout.record_file(name), frame, {"record": name})
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise InputError(
                f"record {name!r}: expected a table that a Parquet file can hold, got {error}"
            ) from None

    def _table(
        self,
        file: Path,
        frame: pd.DataFrame,
        about: Mapping[str, Any],
        metadata: Mapping[bytes, str] | None = None,
    ) -> None:
        file.parent.mkdir(exist_ok=True)
        table = pa.Table.from_pandas(frame)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), **(metadata or {})})
        write_table(self.layout.folder, file, table, about)

    def slot(self, part: Part, manifest: Manifest, repeating: Sequence[str]) -> Slot:
        """Return where a worker is to write a part."""
        return Slot(part.file.absolute(), part.about, manifest.columns, repeating, self.ours)

    def fit(self, part: Part, stored: StoredTable, manifest: Manifest) -> None:
        """Rewrite a part of an earlier run if the columns of the experiment have changed."""
        schema = arrow_schema(manifest.columns)
        if not stored.schema.equals(schema):
            table = in_schema(stored.read(None, COLUMNS), schema, stored.n_rows)
            counts = stored.extract()
            if counts is not None:
                new = [field for field in schema if field.name not in stored.schema.names]
                counts = with_absent(counts, new)
            write_table(self.layout.folder, part.file, table, part.about, COLUMNS, counts)

    def remove(self) -> None:
        """Delete what relulab wrote here, except figures and tables; leave everything else."""
        folder = self.layout.folder
        for pattern in ("runs/*/*", "records/*", "data/*"):
            for file in filter(goes, list(folder.glob(pattern))):
                file.unlink()
        self.layout.manifest_file.unlink(missing_ok=True)
        for place in (*folder.glob("runs/*"), folder / "runs", folder / "records", folder / "data"):
            if place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        remove_temporary_files(folder)
