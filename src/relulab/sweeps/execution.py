"""Run sweeps into a results folder: train what it lacks, and keep its manifest."""

import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from relulab.sweeps.attempts import Lost, Unseen
from relulab.sweeps.dask_client import check_workers
from relulab.sweeps.files import remove_temporary_files
from relulab.sweeps.layout import Part
from relulab.sweeps.locking import locked
from relulab.sweeps.manifest import DONE, FAILED, PENDING, Manifest, Shard
from relulab.sweeps.names import checked_name
from relulab.sweeps.parquet import DamagedFileError
from relulab.sweeps.planning import checked_sweeps, plan
from relulab.sweeps.progress import progress_of
from relulab.sweeps.results import Results
from relulab.sweeps.sweep import Sweep
from relulab.sweeps.workers import (
    Gate,
    Turns,
    checked_client,
    checked_n_jobs,
    engine_for_workers,
    map_unordered,
)
from relulab.sweeps.writing import FULL, Slot, Writer, gone, no_room, told_in_a_line
from relulab.training.engines import resolved_engine
from relulab.validation import InputError, instance_of, one_line

# Starting workers costs about as much as training this many runs.
FEW_RUNS = 20_000

# Seconds between two writes of the manifest.
MANIFEST_SECONDS = 1


@dataclass(frozen=True)
class Ended:
    """How the work on a shard ended: ``seconds`` if it is done, otherwise one of the reasons.

    Attributes
    ----------
    seconds : float, optional
    error : str, optional
        The traceback of the failure.
    no_room : str, optional
        The system's message when there was no room for the file.
    """

    seconds: float | None = None
    error: str | None = None
    no_room: str | None = None


def run_sweeps(
    sweeps: Mapping[str, Sweep],
    results: Results,
    *,
    n_jobs: int = 1,
    engine: str = "auto",
    shard_size: int | None = None,
    restart: bool = False,
    progress: bool = True,
    records: Mapping[str, Callable[[], pd.DataFrame]] | None = None,
    client: Any = None,
    begin: Callable[[], object] = lambda: None,
) -> int:
    """Train the runs of the sweeps that the folder lacks; return the number of failed shards.

    Finished shards are kept. A sweep with more draws than in the folder is extended, and a new
    sweep is added. If a sweep has fewer draws than in the folder, all of the folder's are kept and
    used, and so are sweeps that are not asked for. With ``restart``, everything that relulab wrote
    there is deleted first. A failed shard does not stop the others; its traceback is in the
    manifest. A finished shard whose file is damaged or missing is reported on stderr and computed
    again.

    Parameters
    ----------
    sweeps : dict of str to Sweep
    results : Results
        The folder is created if needed.
    n_jobs, engine, shard_size, progress, client
        As in ``Sweep.run``.
    restart : bool
    records : dict of str to function, optional
        Each returns a table, which is stored before any run is trained.
    begin : function, optional
        Called between: when samples and records are stored, and no run is trained yet.

    Raises
    ------
    InputError
        If the folder holds another specification, or another process is at work there; then
        nothing is changed.
    StorageError
        If there is no room for more, or if the folder is gone; finished parts are kept.
    """
    instance_of("results", results, Results)
    for name, flag in (("restart", restart), ("progress", progress)):
        instance_of(name, flag, bool)
    checked_n_jobs(n_jobs)
    checked_client(client)
    if engine != "auto":  # "auto" is resolved when there is something to train
        resolved_engine(engine)
    sweeps = checked_sweeps(sweeps)
    records = {checked_name("record", name): make for name, make in (records or {}).items()}
    asked = partial(plan, sweeps, results.layout, shard_size, restart=restart, records=records)
    asked()  # refuses before the folder is made
    with told_in_a_line(results.folder), locked(results.folder) as ours:
        writer = Writer(results.layout, ours)
        manifest, notes = asked()
        for note in notes:
            print(note, file=sys.stderr)
        if restart:
            writer.remove()  # last, when all arguments have proved valid
        remove_temporary_files(results.folder)
        for name, sweep in sweeps.items():
            writer.data(name, sweep.data)
        writer.manifest(manifest)
        for name, make in records.items():
            writer.record(name, make())
        begin()
        todo, n_done = _looked_through(manifest, sweeps, writer)
        n_missing = sum(len(part.shard) for part in todo)
        whole = _with_all_draws(sweeps, manifest)
        if progress and n_missing > FEW_RUNS:
            _announce(todo, whole, results.folder)
        with progress_of(n_done, n_done + n_missing, quiet=not progress or not todo) as bar:
            workers = (n_jobs, 1) if n_missing > FEW_RUNS else (1, 0)
            _train(todo, whole, manifest, writer, *workers, engine, client, bar.update)
        writer.manifest(manifest)
    return sum(part.shard.state == FAILED for part in todo)


def _with_all_draws(sweeps: Mapping[str, Sweep], manifest: Manifest) -> dict[str, Sweep]:
    """Return the sweeps with a folder's draws: the last shard asked for may have more."""
    draws = {name: entry.draws for name, entry in manifest.sweeps.items()}
    return {
        name: sweep if sweep.draws == draws[name] else replace(sweep, draws=draws[name])
        for name, sweep in sweeps.items()
    }


def _looked_through(
    manifest: Manifest, sweeps: Mapping[str, Sweep], writer: Writer
) -> tuple[list[Part], int]:
    """Return the parts to train, and how many of the requested runs exist.

    Every existing part is checked, requested or not: all must be undamaged and have the same
    columns. A damaged part is trained again or, if its sweep is not at hand, deleted, so that it
    counts as missing.
    """
    todo, n_done = [], 0
    for part in writer.layout.parts(manifest):
        asked = part.sweep in sweeps and part.shard.start < len(sweeps[part.sweep])
        shard, was_done = part.shard, part.shard.state == DONE
        shard.state = PENDING
        try:
            stored = part.open()
            stored.check()
            writer.fit(part, stored, manifest)
        except FileNotFoundError:
            if asked and was_done:
                print(f"{part.file}: missing; it is computed again", file=sys.stderr)
        except DamagedFileError as error:
            mended = part.sweep in sweeps
            how = "it is computed again" if mended else "deleted, as its sweep is not asked for"
            print(f"{part.file}: damaged ({one_line(str(error))}); {how}", file=sys.stderr)
            if not mended:
                part.file.unlink()
            asked = mended
        else:
            shard.state, shard.error = DONE, None
            n_done += len(shard) if asked else 0
            continue
        if asked:
            todo.append(part)
    return todo, n_done


def _train(
    todo: list[Part],
    sweeps: Mapping[str, Sweep],
    manifest: Manifest,
    writer: Writer,
    n_jobs: int,
    spare: int,
    engine: str,
    client: Any,
    advance: Callable[[int], object],
) -> None:
    """Train the shards of some parts, and keep the manifest.

    With a spare thread, all cores train while a part is written.
    """
    if not todo:  # then nobody need check whether Numba can be used
        return
    if client is not None:
        check_workers(client, writer.layout.folder, writer.ours.holds)
    engine, threads = engine_for_workers(engine, client)
    # All sweeps grow together, so that the finished parts cover each of them.
    todo.sort(key=lambda part: part.shard.start / part.entry.n_runs)
    for name in {part.sweep for part in todo}:
        _ = sweeps[name].best_loss  # once, before the sweep goes to the workers
    turns, gate = Turns(joblib.effective_n_jobs(n_jobs)), Gate()
    tasks = [
        (sweeps[part.sweep], part.shard.start, part.shard.stop, slot, engine, turns, gate)
        for part in todo
        for slot in [writer.slot(part, manifest, sweeps[part.sweep].repeating)]
    ]
    done = map_unordered(
        _run_shard, tasks, n_jobs=n_jobs, threads=threads, client=client, spare=spare
    )
    with closing(gate), closing(done):  # before the lock is released
        try:
            for shard in _noted(done, [part.shard for part in todo], manifest, writer):
                advance(len(shard))
        except BaseException as error:
            if isinstance(error, Exception) and not writer.ours.holds():
                raise gone(writer.layout.folder) from None
            with suppress(OSError):  # the first failure is the one to report
                writer.manifest(manifest)
            raise


def _announce(todo: list[Part], sweeps: Mapping[str, Sweep], folder: Path) -> None:
    """Print how much is to be trained, and the disk it takes and has."""
    n_runs = sum(len(part.shard) for part in todo)
    needed = sum(len(part.shard) * sweeps[part.sweep].bytes_per_run for part in todo)
    free = shutil.disk_usage(folder).free
    print(
        f"{n_runs:,} runs to train in {len(todo):,} parts, which take about"
        f" {megabytes(needed)} of disk ({megabytes(free)} free)",
        file=sys.stderr,
    )


def megabytes(n_bytes: float) -> str:
    """Return a size in words."""
    if n_bytes >= 1e9:
        return f"{n_bytes / 1e9:,.1f} GB"
    return f"{n_bytes / 1e6:.{0 if n_bytes >= 1e7 else 1}f} MB"


def _noted(
    done: Iterable[tuple[int, Ended | Lost | Unseen]],
    shards: list[Shard],
    manifest: Manifest,
    writer: Writer,
) -> Iterator[Shard]:
    """Record in the manifest how the work on each shard ended, and yield the shards."""
    folder = writer.layout.folder
    written = time.monotonic()
    for i, ended in done:
        shard = shards[i]
        if isinstance(ended, Unseen):
            raise InputError(
                f"{folder}: expected workers that all see it under that path, found one that does"
                " not"
            )
        shard.state = FAILED if ended.error else DONE
        shard.error = ended.error
        shard.seconds = ended.seconds if isinstance(ended, Ended) else None
        yield shard
        if isinstance(ended, Ended) and ended.no_room:
            raise no_room(folder, ended.no_room)
        # Parts that the manifest calls pending are checked when the sweep is resumed, so it need
        # not be written after each part.
        if time.monotonic() > written + MANIFEST_SECONDS:
            writer.manifest(manifest)
            written = time.monotonic()


def _run_shard(
    sweep: Sweep,
    start: int,
    stop: int,
    slot: Slot,
    engine: str,
    turn: AbstractContextManager[Any],
    gate: Gate,
) -> Ended | Unseen:
    """Train one shard, in its turn, and write its file; return how that ended.

    A worker continues for a while after its parent process was killed, so it checks whether
    another process has taken over the folder.
    """
    unseen = Unseen(str(slot.ours.folder))
    try:
        with turn:
            began = time.perf_counter()
            if not slot.ours.holds():
                return unseen
            runs = sweep.train(start, stop, engine)
    except Exception:
        return Ended(error=traceback.format_exc())
    try:
        with gate.entered() as may_write:
            if not may_write or not slot.ours.holds():
                return unseen
            slot.write(runs)
    except Exception as error:
        if not slot.ours.holds():
            return unseen
        full = isinstance(error, OSError) and error.errno in FULL
        return Ended(error=traceback.format_exc(), no_room=str(error) if full else None)
    return Ended(seconds=time.perf_counter() - began)
