"""A results folder: a manifest, one Parquet file per shard, records; written whole or not at all.

What relulab writes can be told from what others do: Parquet files bear a mark, and the manifest
lists the shards with the checksums of their files. Every page of data has a checksum of its own,
which is looked at whenever it is read.

::

    <folder>/manifest.json                          what was asked, by which versions, shard states
    <folder>/runs/sweep=<name>/part-00000.parquet   one row per run
    <folder>/records/<name>.parquet                 traces, timings: whatever is not runs

``pandas.read_parquet("<folder>/runs")`` reads all runs, with ``sweep`` as a column.
"""

import glob
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from relulab.validation import InputError, shown

# What the files of a folder mean; 2 since runs have a period and may be oscillating.
FORMAT = 2
DONE, PENDING, FAILED = "done", "pending", "failed"

# In the metadata of every Parquet file that relulab wrote.
MARK = b"relulab"


class Results:
    """The files of one experiment in one folder."""

    def __init__(self, folder: str | Path) -> None:
        if not isinstance(folder, (str, Path)):
            raise InputError(f"folder: expected the path of a folder, got {shown(folder)}")
        self.folder = Path(os.path.expanduser(folder))
        self.manifest_file = self.folder / "manifest.json"

    def read_manifest(self) -> dict[str, Any] | None:
        """Return the manifest, or None if the folder has none."""
        try:
            content = self.manifest_file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            manifest: dict[str, Any] = json.loads(content)
            known = manifest["format"] == FORMAT and all(
                map(_is_entry, manifest["sweeps"].values())
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            known = False
        if not known:
            raise InputError(
                f"{self.manifest_file}: expected a manifest of format {FORMAT}, got a file that is"
                " damaged or of another version; use --restart, or --results with another folder"
            )
        return manifest

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Replace the manifest."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(self.manifest_file)
        temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, self.manifest_file)

    def part_file(self, sweep: str, number: int) -> Path:
        """Return where shard ``number`` of a sweep is stored."""
        return self.folder / "runs" / f"sweep={sweep}" / f"part-{number:05d}.parquet"

    def record_file(self, name: str) -> Path:
        """Return where a record is stored."""
        return self.folder / "records" / f"{name}.parquet"

    def part_files(self, sweep: str | None = None) -> list[Path]:
        """Return the files of the finished shards, of one sweep or of all, in order."""
        named = "*" if sweep is None else glob.escape(sweep)
        return sorted(self.folder.glob(f"runs/sweep={named}/part-*.parquet"))

    def sweeps(self) -> list[str]:
        """Return the names of the sweeps of which there are results."""
        return sorted({f.parent.name.removeprefix("sweep=") for f in self.part_files()})

    @staticmethod
    def _checked_name(argument: str, name: object) -> str:
        """Return a name of a sweep or a record, of which files are made."""
        if not isinstance(name, str) or not name or set(name) & set("/\\\0\n"):
            raise InputError(f"{argument}: expected a name, got {shown(name)}")
        return name

    def n_missing(self) -> int:
        """Return how many of the runs that the manifest lists are not there yet."""
        manifest = self.read_manifest()
        return sum(
            shard["stop"] - shard["start"]
            for name, entry in (manifest["sweeps"] if manifest else {}).items()
            for number, shard in enumerate(entry["shards"])
            if not self.part_file(name, number).exists()
        )

    def listed(self, manifest: Mapping[str, Any]) -> set[Path]:
        """Return the files of the shards that a manifest lists."""
        return {
            self.part_file(name, number)
            for name, entry in manifest["sweeps"].items()
            for number in range(len(entry["shards"]))
        }

    def written(self) -> set[Path]:
        """Return the Parquet files that relulab wrote here: marked, or listed in the manifest."""
        try:  # of any version
            listed = self.listed(json.loads(self.manifest_file.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged, or none
            listed = set()
        files = {*self.folder.glob("runs/**/*.parquet"), *self.folder.glob("records/*.parquet")}
        return {file for file in files if file in listed or _is_marked(file)}

    def beside(self, files: set[Path]) -> list[Path]:
        """Return the Parquet files under runs/ beside some, but for those that are half-written."""
        there = set(self.folder.glob("runs/**/*.parquet"))
        return sorted(f for f in there - files if not f.name.startswith("."))

    def remove(self) -> None:
        """Delete what relulab wrote here but for figures and tables; leave everything else."""
        for file in (*self.written(), self.manifest_file):
            file.unlink(missing_ok=True)
        self.remove_temporary_files()

    def remove_temporary_files(self) -> None:
        """Delete the half-written files that a killed process left."""
        for pattern in (".*.tmp", "runs/sweep=*/.*.tmp", "records/.*.tmp"):
            for file in self.folder.glob(pattern):
                file.unlink(missing_ok=True)

    def frames(
        self, columns: Sequence[str] | None = None, sweep: str | None = None
    ) -> Iterator[pd.DataFrame]:
        """Yield the finished parts one by one, with the column ``sweep``."""
        wanted = _checked_columns(columns)
        for file in self._parts(sweep):
            yield _frame(file, wanted)

    def frames_together(
        self, sweeps: Sequence[str], columns: Sequence[str] | None = None
    ) -> Iterator[tuple[pd.DataFrame, ...]]:
        """Yield the parts that are finished of all of some sweeps, those of the same runs at once.

        For sweeps of one experiment that differ in how they are trained, not in their runs: their
        shards were planned alike.
        """
        if isinstance(sweeps, str) or not isinstance(sweeps, Sequence) or not sweeps:
            raise InputError(f"sweeps: expected names of sweeps, got {shown(sweeps)}")
        wanted = _checked_columns(columns)
        parts = [{file.name: file for file in self._parts(sweep)} for sweep in sweeps]
        for name in sorted(set.intersection(*map(set, parts))):
            yield tuple(_frame(files[name], wanted) for files in parts)

    def _parts(self, sweep: str | None) -> list[Path]:
        """Return the files of the finished parts; refuse to find none."""
        files = self.part_files(None if sweep is None else self._checked_name("sweep", sweep))
        if not files:
            of_sweep = f" of sweep {sweep}" if sweep else ""
            raise InputError(
                f"{self.folder}: expected results{of_sweep}, found none; run the experiment first"
            )
        return files

    def load(self, columns: Sequence[str] | None = None, sweep: str | None = None) -> pd.DataFrame:
        """Return the finished runs in one table; mind the memory, or name the columns."""
        return pd.concat(self.frames(columns, sweep), ignore_index=True)

    def load_record(self, name: str) -> pd.DataFrame:
        """Return a stored record, such as a trace."""
        self._checked_name("name", name)
        try:
            return pd.read_parquet(self.record_file(name))
        except FileNotFoundError:
            raise InputError(
                f"{self.folder}: expected the record {name}, found none; run the experiment first"
            ) from None


def write_parquet(file: Path, frame: pd.DataFrame, dictionary: Sequence[str] = ()) -> str:
    """Write a table so that it appears whole or not at all; return the checksum of the file.

    Only the columns in ``dictionary`` get one: for random floats it makes writing slower and
    files larger.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(file)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), MARK: b"1"})
    try:
        with temporary.open("wb") as sink:
            encoded = [column for column in dictionary if column in frame]
            # The rest are floats as good as random: compression took a third of the time of writing
            # to save an eighth of the bytes, and their ranges help no reader.
            pq.write_table(
                table,
                sink,
                use_dictionary=encoded,
                write_statistics=encoded,
                compression="none",
                write_page_checksum=True,
            )
            sink.flush()
            os.fsync(sink.fileno())
        digest = checksum(temporary)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def checksum(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def has_rows(file: Path, n_rows: int) -> bool:
    """Return whether a file can be read to its end, whole, with that number of rows."""
    try:
        return bool(_read(file).num_rows == n_rows)
    except (OSError, pa.ArrowException):
        return False


def _checked_columns(columns: Sequence[str] | None) -> list[str] | None:
    """Return names of columns but for ``sweep``, which is in no file."""
    if columns is None:
        return None
    if (
        isinstance(columns, str)
        or not isinstance(columns, Sequence)
        or not all(isinstance(name, str) for name in columns)
    ):
        raise InputError(f"columns: expected names of columns, got {shown(columns)}")
    return [name for name in columns if name != "sweep"]


def _frame(file: Path, columns: list[str] | None) -> pd.DataFrame:
    """Return the runs of a part, with the column ``sweep``."""
    try:
        if missing := set(columns or ()) - set(pq.read_schema(file).names):
            raise InputError(
                f"columns: expected columns among {', '.join(pq.read_schema(file).names)},"
                f" got {min(missing)}"
            )
        frame: pd.DataFrame = _read(file, columns).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file}: expected a Parquet file, got a damaged one; run the experiment again"
            f" ({shown(str(error))})"
        ) from None
    return frame.assign(sweep=file.parent.name.removeprefix("sweep="))


def _read(file: Path, columns: list[str] | None = None) -> pa.Table:
    return pq.read_table(file, columns=columns, partitioning=None, page_checksum_verification=True)


def _is_marked(file: Path) -> bool:
    try:
        return MARK in (pq.read_metadata(file).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _is_entry(entry: Any) -> bool:
    """Return whether a sweep's entry in a manifest has the shape that this version writes."""
    numbers = [entry["n_runs"], *(s[end] for s in entry["shards"] for end in ("start", "stop"))]
    states = [shard["state"] for shard in entry["shards"]]
    return (
        isinstance(entry["specification"], dict)
        and all(isinstance(number, int) for number in numbers)
        and all(state in (DONE, PENDING, FAILED) for state in states)
    )


def provenance() -> dict[str, Any]:
    """Return the versions that a result came from."""
    packages = ("relulab", "numpy", "pandas", "pyarrow")
    git = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = None  # installed from a wheel, or no git here
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "commit": commit,
    }


def _temporary(file: Path) -> Path:
    # The leading dot hides it from pandas and pyarrow, which read every other file of a folder.
    return file.with_name(f".{file.name}.{os.getpid()}.tmp")
