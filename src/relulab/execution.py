"""Runs sweeps into a results folder: plan, resume, run shards, keep the manifest."""

import json
import sys
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from relulab.parallel import checked_n_jobs, map_unordered
from relulab.results import DONE, FAILED, FORMAT, PENDING, Results, provenance, write_parquet
from relulab.settings import resolved_engine
from relulab.sweep import Sweep, shards
from relulab.validation import InputError

# Starting workers costs about as much as training this many runs.
FEW_RUNS = 20_000


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
    others; its traceback is in the manifest.

    Raises
    ------
    InputError
        If the folder holds another specification; nothing is touched then.
    """
    checked_n_jobs(n_jobs)
    engine = resolved_engine(engine)
    manifest = plan(sweeps, results, shard_size, restart=restart)
    if restart:
        results.remove()  # last, when all that was asked has proved valid
    results.write_manifest(manifest)
    results.remove_temporary_files()
    todo = [
        (name, number, shard)
        for name, entry in manifest["sweeps"].items()
        for number, shard in enumerate(entry["shards"])
        if shard["state"] != DONE
    ]
    tasks = [
        (sweeps[name], shard["start"], shard["stop"], results.part_file(name, number), engine)
        for name, number, shard in todo
    ]
    for name, _, _ in todo:
        _ = sweeps[name].best_loss  # once, before the sweep goes to the workers
    n_runs = sum(map(len, sweeps.values()))
    n_missing = sum(shard["stop"] - shard["start"] for _, _, shard in todo)
    with tqdm(
        total=n_runs,
        initial=n_runs - n_missing,
        unit="run",
        unit_scale=True,
        disable=not progress or not todo,
        mininterval=0.1 if sys.stderr.isatty() else 30,  # a log file gets a line now and then
    ) as bar:
        if n_missing <= FEW_RUNS:
            n_jobs = 1
        done = map_unordered(_run_shard, tasks, n_jobs=n_jobs, threads=engine == "compiled")
        for i, (seconds, error) in done:
            shard = todo[i][2]
            shard.update(state=FAILED if error else DONE, seconds=seconds)
            shard.pop("error", None)
            if error:
                shard["error"] = error
            results.write_manifest(manifest)
            bar.update(shard["stop"] - shard["start"])
    return sum(shard["state"] == FAILED for _, _, shard in todo)


def plan(
    sweeps: Mapping[str, Sweep],
    results: Results,
    shard_size: int | None = None,
    *,
    restart: bool = False,
) -> dict[str, Any]:
    """Return the manifest of a folder that is to hold the sweeps; touch nothing.

    A shard is done exactly if its file is there and opens with as many rows as the shard has runs.
    With ``restart``, nothing counts as done and the folder may hold any specification.
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
        for number, shard in enumerate(entry["shards"]):
            n_rows = shard["stop"] - shard["start"]
            if not restart and results.has_part(name, number, n_rows):
                shard["state"] = DONE
            elif shard["state"] == DONE:
                shard["state"] = PENDING
        entries[name] = entry
    if old is not None and (other := sorted(set(old["sweeps"]) - set(sweeps))):
        raise _refusal(results, f"sweep {other[0]}", "in the folder", "not asked for")
    manifest = {"format": FORMAT, **provenance(), "sweeps": entries}
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


def _run_shard(
    sweep: Sweep, start: int, stop: int, file: Path, engine: str
) -> tuple[float, str | None]:
    """Train one shard and write its file; return the seconds and the traceback of a failure."""
    began = time.perf_counter()
    try:
        write_parquet(file, sweep.train(start, stop, engine), sweep.repeating_columns)
    except Exception:
        return time.perf_counter() - began, traceback.format_exc()
    return time.perf_counter() - began, None
