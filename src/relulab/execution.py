"""Runs sweeps into a results folder: plan, resume, run shards, keep the manifest."""

import errno
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from relulab.locking import Ownership, locked
from relulab.parallel import checked_n_jobs, map_unordered
from relulab.progress import progress_of
from relulab.results import (
    DONE,
    FAILED,
    FORMAT,
    PENDING,
    Results,
    checksum,
    has_rows,
    provenance,
    write_parquet,
)
from relulab.settings import resolved_engine
from relulab.sweep import Sweep, shards
from relulab.tasks import Lost
from relulab.validation import InputError

# Starting workers costs about as much as training this many runs.
FEW_RUNS = 20_000

# Seconds between two writings of the manifest.
MANIFEST_SECONDS = 1

# What an operating system says where there is no room: on the disk, of a quota, of a file's size.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class StorageFullError(OSError):
    """There is no room for results."""


def run_sweeps(
    sweeps: Mapping[str, Sweep],
    results: Results,
    *,
    n_jobs: int = 1,
    engine: str = "auto",
    shard_size: int | None = None,
    restart: bool = False,
    progress: bool = True,
) -> int:
    """Train what the folder lacks of the sweeps; return the number of shards that failed.

    Finished shards are kept, and a sweep with more draws than the folder's is extended; with
    ``restart``, what relulab wrote there is deleted first. A shard that fails does not stop the
    others; its traceback is in the manifest. A finished shard whose file is damaged is named on
    stderr and computed again.

    Raises
    ------
    InputError
        If the folder holds another specification, or another process is at work there; nothing is
        touched then.
    StorageFullError
        If there is no room for more; what is finished is kept.
    """
    checked_n_jobs(n_jobs)
    engine = resolved_engine(engine)
    plan(sweeps, results, shard_size, restart=restart)  # refuses before the folder is made
    with locked(results.folder) as ours:
        manifest = plan(sweeps, results, shard_size, restart=restart)
        if restart:
            results.remove()  # last, when all that was asked has proved valid
        results.remove_temporary_files()
        todo = [
            (name, number, shard)
            for name, entry in manifest["sweeps"].items()
            for number, shard in enumerate(entry["shards"])
            if not _is_done(results.part_file(name, number), shard)
        ]
        # All sweeps grow together, so that what is finished tells of each.
        todo.sort(key=lambda shard: shard[1])
        results.write_manifest(manifest)
        tasks = [
            (
                sweeps[name],
                shard["start"],
                shard["stop"],
                results.part_file(name, number).absolute(),  # workers may live elsewhere
                engine,
                ours,
            )
            for name, number, shard in todo
        ]
        for name, _, _ in todo:
            _ = sweeps[name].best_loss  # once, before the sweep goes to the workers
        n_runs = sum(map(len, sweeps.values()))
        n_missing = sum(shard["stop"] - shard["start"] for _, _, shard in todo)
        with progress_of(n_runs - n_missing, n_runs, quiet=not progress or not todo) as bar:
            if n_missing <= FEW_RUNS:
                n_jobs = 1
            done = map_unordered(_run_shard, tasks, n_jobs=n_jobs, threads=engine == "compiled")
            with closing(done):  # before the lock is given back
                try:
                    entries = [shard for _, _, shard in todo]
                    _note_results(done, entries, bar.update, manifest, results)
                finally:
                    results.write_manifest(manifest)
        results.remove_temporary_files()  # of workers that died
    return sum(shard["state"] == FAILED for _, _, shard in todo)


def _note_results(
    done: Iterable[tuple[int, Any]],
    todo: Sequence[dict[str, Any]],
    advance: Callable[[int], object],
    manifest: dict[str, Any],
    results: Results,
) -> None:
    """Put the results of shards into the manifest, as they come."""
    written = time.monotonic()
    for i, result in done:
        shard = todo[i]
        if isinstance(result, Lost):
            result = {"state": FAILED, "error": result.error}
        full = result.pop("full", None)
        for key in set(shard) - {"start", "stop"}:
            del shard[key]
        shard.update(result)
        advance(shard["stop"] - shard["start"])
        if full:
            raise StorageFullError(
                f"{full}; what is finished is kept, and the same command goes on from there when"
                " there is room"
            )
        # A file that the manifest does not know is looked through when the sweep is resumed, so
        # the manifest need not be written for each.
        if time.monotonic() > written + MANIFEST_SECONDS:
            results.write_manifest(manifest)
            written = time.monotonic()


def plan(
    sweeps: Mapping[str, Sweep],
    results: Results,
    shard_size: int | None = None,
    *,
    restart: bool = False,
) -> dict[str, Any]:
    """Return the manifest of a folder that is to hold the sweeps; touch nothing.

    With ``restart`` the folder may hold any specification, and all of its shards are planned anew.
    """
    old = None if restart else results.read_manifest()
    if not restart and old is None and results.part_files():
        raise InputError(
            f"{results.folder}: expected a manifest.json beside the runs that are there, found"
            " none; use --restart, or --results with another folder"
        )
    entries = {}
    for name, sweep in sweeps.items():
        entry: dict[str, Any] = {
            "specification": sweep.specification(),
            "draws": sweep.draws,
            "n_runs": len(sweep),
            "shards": [],
        }
        if old is not None:
            entry["shards"] = _kept_shards(results, old, name, entry)
        planned = entry["shards"][-1]["stop"] if entry["shards"] else 0
        for start, stop in shards(planned, len(sweep), shard_size):
            entry["shards"].append({"start": start, "stop": stop, "state": PENDING})
        entries[name] = entry
    if old is not None and (other := sorted(set(old["sweeps"]) - set(sweeps))):
        raise _refusal(results, f"sweep {other[0]}", "in the folder", "not asked for")
    manifest = {"format": FORMAT, **provenance(), "sweeps": entries}
    if old is not None and _major(old) != _major(manifest):
        raise _refusal(results, "relulab", *(m["versions"]["relulab"] for m in (old, manifest)))
    if foreign := results.beside(results.written() if restart else results.listed(manifest)):
        raise InputError(
            f"{foreign[0]}: expected only the files of these sweeps in {results.folder / 'runs'},"
            " which pandas reads as one table; move it, or use --results with another folder"
        )
    try:
        json.dumps(manifest)
    except TypeError as error:
        raise InputError(f"sweep: expected values that JSON can tell; {error}") from None
    return manifest


def _kept_shards(
    results: Results, old: dict[str, Any], name: str, asked: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the shards that a folder has planned of a sweep; refuse another specification."""
    if name not in old["sweeps"]:
        raise _refusal(results, f"sweep {name}", "not in the folder", "asked for")
    kept = old["sweeps"][name]
    there, wanted = kept["specification"], asked["specification"]
    for key in [*wanted, *there]:
        if there.get(key) != wanted.get(key):
            raise _refusal(results, key, there.get(key), wanted.get(key))
    if kept["n_runs"] > asked["n_runs"]:
        raise _refusal(results, "draws", kept["draws"], asked["draws"])
    shards_kept: list[dict[str, Any]] = kept["shards"]
    return shards_kept


def _refusal(results: Results, key: str, there: object, wanted: object) -> InputError:
    def short(value: object) -> str:
        text = str(value)
        return text if len(text) <= 60 else text[:57] + "..."

    return InputError(
        f"{results.folder}: holds results of another specification ({key}: there {short(there)},"
        f" asked {short(wanted)}); use --restart, or --results with another folder"
    )


def _major(manifest: dict[str, Any]) -> str:
    """Return the major version of the relulab that a manifest is of."""
    return str(manifest.get("versions", {}).get("relulab", "?")).split(".")[0]


def _is_done(file: Path, shard: dict[str, Any]) -> bool:
    """Return whether a shard's file is there and whole; tell where it is damaged."""
    known = shard.get("sha256")
    if not file.exists():
        whole, damaged = False, False
    elif known:
        whole = checksum(file) == known
        damaged = not whole
    else:  # written, and then the process was killed before the manifest was
        whole = has_rows(file, shard["stop"] - shard["start"])
        damaged = not whole
    if damaged:
        print(f"{file}: damaged; it is computed again", file=sys.stderr)
    if whole:
        shard.update(state=DONE, sha256=known or checksum(file))
    elif shard["state"] == DONE:
        shard["state"] = PENDING
    return whole


def _run_shard(
    sweep: Sweep, start: int, stop: int, file: Path, engine: str, ours: Ownership
) -> dict[str, Any]:
    """Train one shard and write its file; return what the manifest is to tell of it.

    A worker whose process was killed goes on for a while, so it looks whether another process has
    taken over the folder.
    """
    began = time.perf_counter()
    try:
        runs = sweep.train(start, stop, engine) if ours.holds() else None
        if runs is None or not ours.holds():
            raise RuntimeError(
                f"{ours.note.parent}: not ours; another process has taken it over, or this worker"
                " does not see the folder, which all must share"
            )
        digest = write_parquet(file, runs, sweep.repeating_columns)
    except Exception as error:
        told = {"state": FAILED, "error": traceback.format_exc()}
        full = isinstance(error, OSError) and error.errno in FULL
        return told | ({"full": str(error)} if full else {})
    return {"state": DONE, "seconds": time.perf_counter() - began, "sha256": digest}
