"""Plan what a results folder is to hold: its existing shards, and those to be added."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from relulab.sweeps.layout import Layout
from relulab.sweeps.manifest import Manifest, Shard, SweepEntry, is_foreign_manifest, provenance
from relulab.sweeps.names import checked_name
from relulab.sweeps.parquet import is_foreign
from relulab.sweeps.sweep import Sweep, shards
from relulab.sweeps.writing import goes
from relulab.validation import InputError, instance_of, one_line, shortened, shown

# At most this many foreign files among the runs are named.
MOST_NAMED = 5

OTHERWISE = "use --restart, or --results with another folder"


def plan(
    sweeps: Mapping[str, Sweep],
    layout: Layout,
    shard_size: int | None = None,
    *,
    restart: bool = False,
    records: Collection[str] = (),
) -> tuple[Manifest, list[str]]:
    """Return the manifest of a folder that is to hold the sweeps; change no file.

    A folder may grow by draws and by sweeps. It keeps everything that it has.

    Parameters
    ----------
    sweeps : dict of str to Sweep
    layout : Layout
    shard_size : int, optional
        The size of added shards.
    restart : bool
        The folder may hold anything, and all shards are planned again.
    records : collection of str
        The names of the records to be stored next to the runs.

    Returns
    -------
    manifest : Manifest
    notes : list of str
        What the user should know: what the folder has beyond what was asked for.

    Raises
    ------
    InputError
        If the folder holds other runs.
    """
    sweeps = checked_sweeps(sweeps)
    if layout.folder.exists() and not layout.folder.is_dir():
        raise InputError(f"{layout.folder}: expected a folder, found a file")
    _refuse_files_of_others(layout, sweeps, records)
    old = None if restart else layout.manifest()
    there = old.sweeps if old else {}
    if old is None and not restart and (runs := _parquet(layout.strangers(None))):
        raise InputError(
            f"{layout.manifest_file}: missing, but there are runs, such as {runs[0]}; {OTHERWISE}"
        )
    if there and not set(there) & set(sweeps):
        there_name, asked = next(iter(there)), next(iter(sweeps), None)
        raise _refusal(layout, "sweeps", shown(there_name), shown(asked) if asked else "none")
    entries = {
        name: _entry(layout, name, sweep, there.get(name), shard_size)
        for name, sweep in sweeps.items()
    }
    kept = {name: entry for name, entry in there.items() if name not in sweeps}
    manifest = Manifest({**entries, **kept}, **provenance())
    if old is not None and old.major_version != manifest.major_version:
        versions = (m.versions["relulab"] for m in (old, manifest))
        raise _refusal(layout, "relulab", *versions)
    notes = [
        f"{layout.folder}: has {entry.draws:,} draws of sweep {name!r}, of which"
        f" {sweeps[name].draws:,} are asked for; all of them are used"
        for name, entry in entries.items()
        if entry.n_runs > len(sweeps[name])
    ]
    notes += [
        f"{layout.folder}: also has the sweep {name!r}, which is not asked for; it is kept and used"
        for name in kept
    ]
    if any("=" in part for part in layout.folder.parts):
        notes.append(
            f"{layout.folder}: has an = in its path, from which DuckDB makes a column; read the"
            " runs there with hive_partitioning = false"
        )
    return manifest, notes + _strangers(layout, manifest, restart=restart)


def checked_sweeps(sweeps: object) -> dict[str, Sweep]:
    """Return sweeps by name; refuse anything that is not a sweep or not a name."""
    if not isinstance(sweeps, Mapping):
        raise InputError(f"sweeps: expected a dict of Sweep by name, got {shown(sweeps)}")
    checked = {checked_name("sweeps", name): sweep for name, sweep in sweeps.items()}
    for name, sweep in checked.items():
        instance_of(f"sweep {name!r}", sweep, Sweep)
    return checked


def _entry(
    layout: Layout, name: str, sweep: Sweep, old: SweepEntry | None, shard_size: int | None
) -> SweepEntry:
    """Return what the folder is to hold of a sweep, including what it already has."""
    try:
        asked = json.loads(json.dumps(sweep.specification(), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InputError(f"sweep {name!r}: expected values that JSON can hold; {error}") from None
    kept: list[Shard] = []
    if old:
        for key in [*asked, *old.specification]:
            there, wanted = (s.get(key, "nothing") for s in (old.specification, asked))
            if json.dumps(there) != json.dumps(wanted):  # to the bit: 0.0 is not -0.0
                if key == "converged":
                    raise InputError(
                        f"{layout.folder}: holds runs labeled before converged meant at rest, which"
                        f" cannot be mixed with new ones (--figures draws them); {OTHERWISE}"
                    )
                raise _refusal(layout, key, str(there), str(wanted))
        if old.n_runs != sweep.n_points * (old.draws or 1) or bool(old.draws) != bool(sweep.draws):
            raise _refusal(
                layout, "draws", f"{old.draws}, with {old.n_runs} runs", str(sweep.draws)
            )
        if old.n_runs >= len(sweep):
            return old
        kept = old.shards
    end = kept[-1].stop if kept else 0
    added = [Shard(*ends) for ends in shards(end, len(sweep), shard_size, len(kept))]
    return SweepEntry(asked, sweep.draws, len(sweep), sweep.columns, [*kept, *added])


def _refusal(layout: Layout, key: str, there: str, asked: str) -> InputError:
    there, asked = shortened(there), shortened(asked)
    return InputError(
        f"{layout.folder}: holds results of another specification ({key}: there {there}, asked"
        f" {asked}); {OTHERWISE}"
    )


def _strangers(layout: Layout, manifest: Manifest, *, restart: bool) -> list[str]:
    """Return lines for foreign files among the runs; refuse those that look like runs."""
    found = layout.strangers(manifest)
    if restart:
        found = [file for path in found for file in _files(path) if not goes(file)]
    if runs := _parquet(found):
        raise InputError(
            f"{runs[0]}: not a part of these results, but pandas would read it as one;"
            " move it, or use --results with another folder"
        )
    return named(found)


def _parquet(paths: list[Path]) -> list[Path]:
    """Return the Parquet files, by name, at some paths and below them."""
    files = [file for path in paths for file in _files(path)]
    return [file for file in files if file.suffix.lower() == ".parquet"]


def _files(path: Path) -> list[Path]:
    """Return the files at a path or, if it is a folder, below it."""
    if path.is_dir() and not path.is_symlink():
        return [file for inner in sorted(path.iterdir()) for file in _files(inner)]
    return [path]


def _refuse_files_of_others(
    layout: Layout, sweeps: Mapping[str, Sweep], records: Collection[str]
) -> None:
    """Refuse to overwrite intact files that another program wrote."""
    files = [*map(layout.data_file, sweeps), *map(layout.record_file, records)]
    for file in files:
        if is_foreign(file):
            raise InputError(
                f"{file}: expected no file, or one that relulab wrote, found another program's;"
                " move it, or use --results with another folder"
            )
    if is_foreign_manifest(layout.manifest_file):
        raise InputError(
            f"{layout.manifest_file}: expected a relulab manifest, found another program's"
            " file; use --results with another folder"
        )


def named(strangers: list[Path]) -> list[str]:
    """Return a line for each of the first few paths that are not parts, and one for the rest."""
    lines = [
        f"{one_line(str(path))}: not a part of these results; relulab ignores it, but pandas may"
        " read it or fail: move it"
        for path in strangers[:MOST_NAMED]
    ]
    if more := len(strangers) - len(lines):
        lines.append(f"and {more:,} more of that kind")
    return lines
