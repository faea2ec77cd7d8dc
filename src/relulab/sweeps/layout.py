"""The files of a results folder, and which parts exist.

::

    <folder>/manifest.json                     what was asked for, versions, progress
    <folder>/data/<slug>.parquet               the samples of a sweep
    <folder>/runs/<slug>/part-00000.parquet    one row per run, with the column ``sweep``
    <folder>/records/<slug>.parquet            traces, timings: anything but runs

A slug is the name of a sweep or a record in a form that every file system accepts
(``names.slug``); the files contain the name itself. All parts have the same columns, so
``pandas.read_parquet("<folder>/runs")``, polars, DuckDB and ``pyarrow.dataset`` read all runs as
one table.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from relulab.model.data import TrainingSet
from relulab.sweeps.manifest import Manifest, Shard, SweepEntry, read_manifest
from relulab.sweeps.names import checked_name, slug
from relulab.sweeps.parquet import DamagedFileError, StoredTable
from relulab.sweeps.schema import arrow_schema


class Part(NamedTuple):
    """One stored shard: its sweep, and where its file is or will be."""

    sweep: str
    entry: SweepEntry
    shard: Shard
    file: Path

    @property
    def about(self) -> dict[str, Any]:
        """The description in the part's file, so that no other file is taken for it."""
        return {
            "sweep": self.sweep,
            "specification": self.entry.identity,
            "start": self.shard.start,
            "stop": self.shard.stop,
        }

    def open(self) -> StoredTable:
        """Return the part's file; ``DamagedFileError`` if it is not this part's."""
        stored = StoredTable.open(self.file)
        if stored.about != self.about or stored.n_rows != len(self.shard):
            raise DamagedFileError("it holds other runs")
        if not set(self.entry.columns) <= set(stored.schema.names):
            raise DamagedFileError("it lacks columns")
        return stored


@dataclass(frozen=True)
class Layout:
    """The files of a results folder, for the code that writes and checks them.

    Attributes
    ----------
    folder : Path
        Absolute.
    """

    folder: Path

    @property
    def manifest_file(self) -> Path:
        """Where the manifest is stored."""
        return self.folder / "manifest.json"

    def manifest(self) -> Manifest | None:
        """Return the manifest, or None if the folder has none.

        Raises
        ------
        InputError
            If it is damaged, or of another format.
        """
        return read_manifest(self.manifest_file)

    def part_file(self, sweep: str, number: int) -> Path:
        """Return where shard ``number`` of a sweep is stored."""
        return self.folder / "runs" / slug(sweep) / f"part-{number:05d}.parquet"

    def record_file(self, name: str) -> Path:
        """Return where a record is stored."""
        return self.folder / "records" / f"{slug(checked_name('record', name))}.parquet"

    def data_file(self, sweep: str) -> Path:
        """Return where the samples of a sweep are stored."""
        return self.folder / "data" / f"{slug(sweep)}.parquet"

    def parts(self, manifest: Manifest | None, sweep: str | None = None) -> list[Part]:
        """Return the parts that a manifest lists, of one sweep or of all, finished or not."""
        entries = manifest.sweeps if manifest else {}
        return [
            Part(name, entry, shard, self.part_file(name, number))
            for name, entry in sorted(entries.items())
            if sweep in (None, name)
            for number, shard in enumerate(entry.shards)
        ]

    def finished(self, manifest: Manifest | None, sweep: str | None = None) -> list[Part]:
        """Return the parts whose files exist."""
        return [part for part in self.parts(manifest, sweep) if part.file.exists()]

    def strangers(self, manifest: Manifest | None) -> list[Path]:
        """Return the paths under runs/ that are not parts in the manifest."""
        parts = {part.file for part in self.parts(manifest)}
        folders = {file.parent for file in parts}
        found = []
        for path in _inside(self.folder / "runs"):
            found += (
                [file for file in _inside(path) if file not in parts] if path in folders else [path]
            )
        return found

    def n_unfitted(self, manifest: Manifest | None) -> int:
        """Return how many parts lack the common columns, as after an interrupt."""
        schema = arrow_schema(manifest.columns) if manifest else None
        n = 0
        for part in self.parts(manifest):
            with suppress(FileNotFoundError, DamagedFileError):
                n += not StoredTable.open(part.file).schema.equals(schema)
        return n


def about_data(sweep: str, data: TrainingSet) -> dict[str, Any]:
    """Return the description in a file of samples: their sweep, and their units."""
    return {
        "sweep": sweep,
        "samples": data.specification(),
        "x": asdict(data.x_scale),
        "target": asdict(data.target_scale),
    }


def _inside(folder: Path) -> list[Path]:
    """Return the content of a folder; nothing if there is no such folder."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
