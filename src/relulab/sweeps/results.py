"""Read a results folder: runs, records, and the samples that the runs were trained on."""

import html
import json
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from relulab.model.data import Scale, TrainingSet
from relulab.sweeps.layout import Layout, Part, about_data
from relulab.sweeps.manifest import Manifest
from relulab.sweeps.names import checked_name
from relulab.sweeps.parquet import DamagedFileError, StoredTable
from relulab.sweeps.schema import (
    COLUMNS,
    COUNT,
    SWEEP,
    arrow_schema,
    in_schema,
    is_read_as,
    to_frame,
    unknown_words,
    with_known_words,
)
from relulab.validation import InputError, counted, shown


class StoredPart(NamedTuple):
    """Some columns of a part of a results folder.

    Attributes
    ----------
    columns : list of str
    read : function of columns
        Returns the runs, in some of these columns, or all, as an Arrow table.
    counts : function of columns
        Returns the distinct rows of some columns, which may repeat, with the number of runs that
        each represents; None if the file does not hold them.
    """

    columns: list[str]
    read: Callable[..., pa.Table]
    counts: Callable[[Sequence[str]], tuple[pa.Table, npt.NDArray[np.int64]] | None]


class Frames(Iterator[pd.DataFrame]):
    """Parts of a results folder, each read only when it is needed.

    Attributes
    ----------
    parts : iterator of StoredPart
        The remaining parts, as Arrow tables, which ``frame`` converts to pandas. Code that counts
        runs reads several at once.
    """

    def __init__(self, parts: Iterable[StoredPart]) -> None:
        self.parts = iter(parts)

    def __next__(self) -> pd.DataFrame:
        return self.frame(next(self.parts).read())

    @staticmethod
    def frame(table: pa.Table) -> pd.DataFrame:
        """Return rows of a part, in all or some of its columns, as a DataFrame."""
        return to_frame(table)


class Results:
    """The files of one experiment in one folder.

    Iterating over it yields the finished runs part by part, as ``frames()`` does, so the functions
    of ``statistics`` take a ``Results`` as they take a DataFrame.

    Parameters
    ----------
    folder : str or Path
        ``~`` is the user's home folder.

    Examples
    --------
    >>> results = Results("results/learning_rate")  # doctest: +SKIP
    >>> results.load(columns=["learning_rate", "outcome"])  # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        if not isinstance(folder, (str, Path)) or "\0" in str(folder):
            raise InputError(f"folder: expected the path of a folder, got {shown(folder)}")
        # Absolute, because a script may change the working directory.
        self.folder = Path(os.path.abspath(os.path.expanduser(folder)))
        self.layout = Layout(self.folder)

    def __repr__(self) -> str:
        folder = repr(str(self.folder))
        try:
            table = self._extent()
        except (InputError, OSError) as error:
            return f"Results({folder}: {error})"
        if table.empty:
            what = "no sweeps" if self.folder.is_dir() else "no such folder"
            return f"Results({folder}: {what})"
        sweeps = counted(len(table), "sweep")
        runs = counted(int(table["n_runs"].sum()), "run")
        return f"Results({folder}: {sweeps}, {runs}, {table['n_missing'].sum():,} missing)"

    def _repr_html_(self) -> str:
        try:
            table = self._extent().to_html(index=False)
        except (InputError, OSError):  # the repr shows it
            table = ""
        return html.escape(repr(self)) + table

    def _extent(self) -> pd.DataFrame:
        """Return how many runs each sweep is to have, and how many of them are missing."""
        parts = pd.DataFrame(
            [
                (part.sweep, len(part.shard), len(part.shard) * (not part.file.exists()))
                for part in self.layout.parts(self.layout.manifest())
            ],
            columns=["sweep", "n_runs", "n_missing"],
        )
        return parts.groupby("sweep", as_index=False).sum()

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return self.frames()

    def part_files(self, sweep: str | None = None) -> list[Path]:
        """Return the files of the finished parts, of one sweep or of all, in order."""
        return [
            part.file
            for part in self.layout.parts(self.layout.manifest(), sweep)
            if part.file.exists()
        ]

    def sweeps(self) -> list[str]:
        """Return the names of the sweeps that have finished runs."""
        return sorted({part.sweep for part in self.layout.finished(self.layout.manifest())})

    def n_missing(self) -> int:
        """Return how many of the runs in the manifest are still missing."""
        return int(self._extent()["n_missing"].sum())

    def frames(
        self, columns: Sequence[str] | None = None, sweep: str | None = None
    ) -> Iterator[pd.DataFrame]:
        """Yield the finished parts one by one, all with the same columns.

        Parameters
        ----------
        columns : sequence of str, optional
            The columns to read; ``sweep`` is always included. Rows of a sweep without a column
            have missing values there.
        sweep : str, optional
            Read only this sweep's runs.

        Raises
        ------
        InputError
            If there are no runs, no such column, or a damaged part.
        """
        manifest, parts = self._finished(sweep)
        wanted = _checked_columns(columns, manifest)
        return Frames(
            StoredPart(
                wanted,
                partial(self._table, part, manifest, wanted),
                partial(self._counts, part, manifest),
            )
            for part in parts
        )

    def frames_together(
        self, sweeps: Sequence[str], columns: Sequence[str] | None = None
    ) -> Iterator[tuple[pd.DataFrame, ...]]:
        """Yield the runs that are finished in all of these sweeps, the same runs of each together.

        Use it for sweeps of one experiment with the same starts and different training.

        Parameters
        ----------
        sweeps : sequence of str
        columns : sequence of str, optional
            As in ``frames``.
        """
        if isinstance(sweeps, str) or not isinstance(sweeps, Sequence) or not sweeps:
            raise InputError(f"sweeps: expected names of sweeps, got {shown(sweeps)}")
        finished = [self._finished(sweep) for sweep in sweeps]
        manifest = finished[0][0]
        wanted = _checked_columns(columns, manifest)
        return self._aligned([parts for _, parts in finished], wanted, manifest)

    def _aligned(
        self, sweeps: list[list[Part]], wanted: list[str], manifest: Manifest
    ) -> Iterator[tuple[pd.DataFrame, ...]]:
        """Yield the same runs of several sweeps, whose shards may begin and end elsewhere."""
        starts = [[part.shard.start for part in parts] for parts in sweeps]
        ends = {end for parts in sweeps for p in parts for end in (p.shard.start, p.shard.stop)}
        held: dict[int, tuple[Part, pd.DataFrame]] = {}
        for start, stop in pairwise(sorted(ends)):
            here = [
                parts[max(bisect_right(first, start) - 1, 0)]
                for parts, first in zip(sweeps, starts, strict=True)
            ]
            if not all(part.shard.start <= start and stop <= part.shard.stop for part in here):
                continue  # some sweep has not finished these
            for k, part in enumerate(here):
                if k not in held or held[k][0] is not part:
                    held[k] = part, to_frame(self._table(part, manifest, wanted))
            yield tuple(
                held[k][1].iloc[start - part.shard.start : stop - part.shard.start]
                for k, part in enumerate(here)
            )

    def load(self, columns: Sequence[str] | None = None, sweep: str | None = None) -> pd.DataFrame:
        """Return the finished runs in one table; mind the memory, or name the columns.

        See ``frames``.
        """
        return pd.concat(self.frames(columns, sweep), ignore_index=True)

    def load_record(self, name: str) -> pd.DataFrame:
        """Return a stored record, such as a trace.

        Raises
        ------
        InputError
            If there is no such record, or if its file is damaged.
        """
        file = self.layout.record_file(name)
        with self._reading(file, f"the record {name!r}"):
            stored = StoredTable.open(file)
            if stored.about != {"record": checked_name("record", name)}:
                raise DamagedFileError("it holds something else")
            stored.check()
            frame: pd.DataFrame = stored.read().to_pandas()
            return frame

    def data(self, sweep: str | None = None) -> TrainingSet:
        """Return the samples that a sweep was trained on, with the scales of the user's units.

        Parameters
        ----------
        sweep : str, optional
            Its name; not needed if all sweeps have the same data.

        Raises
        ------
        InputError
            If there is no such sweep, or if its file is damaged.
        """
        manifest = self._manifest()
        names = sorted(manifest.sweeps)
        described = {name: _text(manifest.sweeps[name].specification.get("data")) for name in names}
        if sweep is None and len(set(described.values())) > 1:
            raise InputError(
                f"sweep: expected one of {', '.join(names)}, whose data differ, got None"
            )
        name = names[0] if sweep is None else self._known(sweep, manifest)
        file = self.layout.data_file(name)
        missing = f"the samples of sweep {name!r}"
        with self._reading(file, missing, manifest):
            stored = StoredTable.open(file)
            stored.check()
            table = stored.read()
            data = TrainingSet(
                *(table[column].to_numpy() for column in ("x", "target")),
                x_scale=Scale(**stored.about["x"]),
                target_scale=Scale(**stored.about["target"]),
            )
            if stored.about != about_data(name, data) or described[name] != _text(
                data.specification()
            ):
                raise DamagedFileError("it holds other samples")
            return data

    def _manifest(self) -> Manifest:
        """Return the manifest; refuse a folder without sweeps."""
        manifest = self.layout.manifest()
        if manifest is None or not manifest.sweeps:
            raise self._nothing("results")
        return manifest

    @staticmethod
    def _known(sweep: str, manifest: Manifest) -> str:
        """Return the name of a sweep that a manifest lists."""
        if not isinstance(sweep, str) or sweep not in manifest.sweeps:
            names = ", ".join(map(repr, sorted(manifest.sweeps)))
            raise InputError(f"sweep: expected one of {names}, got {shown(sweep)}")
        return sweep

    def _finished(self, sweep: str | None) -> tuple[Manifest, list[Part]]:
        """Return the manifest and the finished parts; refuse if there are none."""
        manifest = self._manifest()
        if sweep is not None:
            self._known(sweep, manifest)
        parts = self.layout.finished(manifest, sweep)
        if not parts:
            of_sweep = f" of sweep {sweep!r}" if sweep is not None else ""
            raise self._nothing(f"results{of_sweep}")
        return manifest, parts

    def _table(
        self, part: Part, manifest: Manifest, wanted: Sequence[str], some: Sequence[str] = ()
    ) -> pa.Table:
        """Return the runs of a part in the wanted columns, or only some of them."""
        with self._reading(part.file, f"runs of sweep {part.sweep!r}", manifest):
            stored = part.open()
            columns = {name: manifest.columns[name] for name in some or wanted}
            there = [name for name in stored.schema.names if name in columns and name != SWEEP]
            _check_types(stored.schema, columns)
            return _in_columns(stored.read(there, COLUMNS), columns, stored.n_rows, part.sweep)

    def _counts(
        self, part: Part, manifest: Manifest, wanted: Sequence[str]
    ) -> tuple[pa.Table, npt.NDArray[np.int64]] | None:
        """Return the counts of a part in some columns, if its file holds them."""
        with self._reading(part.file, f"runs of sweep {part.sweep!r}", manifest):
            stored = part.open()
            counts = stored.extract()
            if counts is None or not {*wanted} <= {SWEEP, *counts.column_names}:
                return None
            columns = {name: manifest.columns[name] for name in wanted}
            _check_types(counts.schema, columns)
            numbers = counts[COUNT].to_numpy()
            # Each is checked, because a sum may also overflow to the right number.
            whole = numbers.dtype == np.int64 and (numbers > 0).all()
            if not whole or (numbers > stored.n_rows).any() or numbers.sum() != stored.n_rows:
                raise DamagedFileError("its counts are not those of its runs")
            return _in_columns(counts, columns, counts.num_rows, part.sweep), numbers

    def _nothing(self, what: str) -> InputError:
        return InputError(f"{self.folder}: expected {what}, found none; run the experiment first")

    @contextmanager
    def _reading(self, file: Path, what: str, manifest: Manifest | None = None) -> Iterator[None]:
        """Report in one line a file that is damaged or missing."""
        try:
            yield
        except FileNotFoundError:
            raise self._nothing(what) from None
        except (OSError, DamagedFileError, ValueError, KeyError, TypeError) as error:
            if manifest and self._manifest().to_text() != manifest.to_text():
                raise InputError(
                    f"{self.folder}: expected results that do not change while they are read,"
                    " got others meanwhile; read them again"
                ) from None
            raise InputError(
                f"{file}: expected the file that relulab wrote, got a damaged one ({error}); run"
                " the experiment again to repair it"
            ) from None


def _check_types(schema: pa.Schema, columns: Mapping[str, str]) -> None:
    """Raise ``DamagedFileError`` if stored columns cannot be read as those of a manifest."""
    there = {name: schema.field(name).type for name in schema.names if name in columns}
    if any(not is_read_as(type_, columns[name]) for name, type_ in there.items()):
        raise DamagedFileError("its columns have other types")


def _in_columns(table: pa.Table, columns: Mapping[str, str], n_rows: int, sweep: str) -> pa.Table:
    """Return rows of a part in the columns of a manifest."""
    if wrong := unknown_words(table):
        raise DamagedFileError(f"it has unknown words in {wrong[0]}")
    return with_known_words(in_schema(table, arrow_schema(columns), n_rows, sweep))


def _checked_columns(columns: Any, manifest: Manifest) -> list[str]:
    """Return names of columns, ``sweep`` among them."""
    there = manifest.columns
    if columns is None:
        return list(there)
    if isinstance(columns, pd.Index | np.ndarray):
        columns = columns.tolist()
    if (
        isinstance(columns, str)
        or not isinstance(columns, Sequence)
        or not all(isinstance(name, str) for name in columns)
    ):
        raise InputError(f"columns: expected names of columns, got {shown(columns)}")
    if unknown := [name for name in columns if name not in there]:
        raise InputError(
            f"columns: expected columns among {', '.join(there)}, got {shown(unknown[0])}"
        )
    names = list(dict.fromkeys(columns))
    return names if SWEEP in names else [SWEEP, *names]


def _text(values: Any) -> str:
    """Return a text that is the same for the same JSON values."""
    return json.dumps(values, sort_keys=True)
