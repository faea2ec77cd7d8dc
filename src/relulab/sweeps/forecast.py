"""Forecast the cost of sweeps in runs, disk and time, from a probe of about 1000 runs of each.

The cost of a shard has a part that does not depend on its size (calls, and the slowest networks,
which train when all others have ended) and a part for each run. The probe separates the two: runs
from all over a sweep are trained and written once, and then in ``COPIES`` copies, by as many
workers at a time as the sweep will have.
"""

import heapq
import time
from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.sweeps import execution
from relulab.sweeps.layout import Part
from relulab.sweeps.locking import Ownership
from relulab.sweeps.manifest import Manifest
from relulab.sweeps.parquet import DamagedFileError
from relulab.sweeps.planning import checked_sweeps, plan
from relulab.sweeps.results import Results
from relulab.sweeps.sweep import Sweep
from relulab.sweeps.workers import checked_n_jobs, engine_for_workers, map_unordered
from relulab.sweeps.writing import Slot
from relulab.training.engines import resolved_engine

PROBED = 1000
COPIES = 8
# A short probe is repeated this many times, or for this long.
REPEATS, ENOUGH_SECONDS = 5, 1.0
# A probe that takes longer is not trained in copies: its time is all in the steps.
LONG = 15.0


@dataclass(frozen=True)
class Cost:
    """The missing runs of one sweep, and their cost.

    Attributes
    ----------
    n_runs, n_missing : int
        The runs of the sweep, and of the parts to be trained.
    n_bytes : float
        About how much disk they take.
    parts : list of float
        The seconds that one worker needs for each part.
    once : float
        The seconds before the first part.
    """

    n_runs: int
    n_missing: int
    n_bytes: float = 0.0
    parts: list[float] = field(default_factory=list)
    once: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """The cost of sweeps.

    Attributes
    ----------
    costs : dict of str to Cost
        By the names of the sweeps.
    n_workers : int
    engine : str
        The engine that will do the arithmetic.
    notes : list of str
        What the user should know, as ``run_sweeps`` will print it.
    """

    costs: dict[str, Cost]
    n_workers: int
    engine: str
    notes: list[str]

    @property
    def seconds(self) -> float:
        """How long training and writing will take."""
        every = [seconds for cost in self.costs.values() for seconds in cost.parts]
        once = sum(cost.once for cost in self.costs.values())
        return once + together(every, self.n_workers)


def together(seconds: list[float], n_workers: int) -> float:
    """Return how long tasks take in their order, each done by the first free worker."""
    ends = [0.0] * n_workers
    for needed in seconds:
        heapq.heapreplace(ends, ends[0] + needed)
    return max(ends)


def forecast(
    sweeps: Mapping[str, Sweep],
    results: Results,
    *,
    n_jobs: int = 1,
    engine: str = "auto",
    restart: bool = False,
    records: Collection[str] = (),
) -> Forecast:
    """Return the cost of ``run_sweeps`` with the same arguments; change no file.

    Raises
    ------
    InputError
        As ``run_sweeps``.
    """
    checked_n_jobs(n_jobs)
    sweeps = checked_sweeps(sweeps)
    engine, threads = engine_for_workers(engine)
    manifest, notes = plan(sweeps, results.layout, restart=restart, records=records)
    missing = {
        name: [
            part.shard
            for part in results.layout.parts(manifest, name)
            if part.shard.start < len(sweep) and (restart or not _is_there(part))
        ]
        for name, sweep in sweeps.items()
    }
    few = sum(len(shard) for shards in missing.values() for shard in shards) <= execution.FEW_RUNS
    n_workers = 1 if few else joblib.effective_n_jobs(n_jobs)
    costs = {}
    for name, sweep in sweeps.items():
        shards = missing[name]
        cost = Cost(len(sweep), sum(map(len, shards)))
        if shards:
            began = time.perf_counter()
            _ = sweep.best_loss
            once = time.perf_counter() - began
            part, run = _costs(name, sweep, manifest, n_workers, engine, threads=threads)
            cost = replace(
                cost,
                n_bytes=cost.n_missing * sweep.bytes_per_run,
                parts=[part + run * len(shard) for shard in shards],
                once=once,
            )
        costs[name] = cost
    return Forecast(costs, n_workers, resolved_engine(engine), notes)


def _is_there(part: Part) -> bool:
    """Return whether a part's file exists and describes itself as this part."""
    try:
        part.open()
    except (FileNotFoundError, DamagedFileError):
        return False
    return True


def _costs(
    name: str, sweep: Sweep, manifest: Manifest, n_workers: int, engine: str, *, threads: bool
) -> tuple[float, float]:
    """Return the seconds that one of ``n_workers`` takes for a part, and for each run."""
    run = _spread(len(sweep), PROBED)
    rows = sweep._rows(run)
    with TemporaryDirectory() as folder:
        ours = Ownership(Path(folder, ".owner.json"), "")
        Path(folder, "runs").mkdir()
        files = [Path(folder, "runs", "a", f"{k}.parquet") for k in range(n_workers)]
        about = {"sweep": name}
        slots = [Slot(file, about, manifest.columns, sweep.repeating, ours) for file in files]

        def seconds(sweep: Sweep, copies: int) -> float:
            tasks = [(sweep, rows, copies, slot, engine) for slot in slots]
            done = map_unordered(_probe, tasks, n_jobs=n_workers, threads=threads)
            with closing(done):
                return float(mean(needed for _, needed in done))

        short = replace(sweep, max_steps=min(sweep.max_steps, 1))
        vars(short)["best_loss"] = sweep.best_loss  # the same, and may take long to compute
        seconds(short, 1)  # compiles, starts workers
        taken: list[tuple[float, float]] = []
        while len(taken) < REPEATS and sum(map(sum, taken)) < ENOUGH_SECONDS:
            once = seconds(sweep, 1)
            taken.append((once, seconds(sweep, COPIES) if once < LONG else COPIES * once))
    once, often = (median(times) for times in zip(*taken, strict=True))
    each = max((often - once) / (COPIES - 1), 0)
    return max(once - each, 0), each / run.size + _drawing(sweep)


def _spread(n: int, n_wanted: int) -> npt.NDArray[np.int64]:
    """Return some of n runs, one at random from each of equal parts, or all if n is small."""
    if n <= n_wanted:
        return np.arange(n)
    edges = np.arange(n_wanted + 1) * n // n_wanted
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def _probe(sweep: Sweep, rows: Mapping[str, Any], copies: int, slot: Slot, engine: str) -> float:
    """Train some runs, with this many copies of each, and write them; return the seconds."""
    copied = {name: np.tile(values, copies) for name, values in rows.items()}
    began = time.perf_counter()
    slot.write(pd.DataFrame(sweep._trained(copied, engine), copy=False))
    return time.perf_counter() - began


def _drawing(sweep: Sweep) -> float:
    """Return the seconds for making the start of a run, which a shard does in order."""
    n = min(len(sweep), 20 * PROBED)
    began = time.perf_counter()
    sweep.parameters(0, n)
    return float(time.perf_counter() - began) / n


def duration(seconds: float) -> str:
    """Return a time in words."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"
