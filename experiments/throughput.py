"""How fast is relulab, next to the ways people do this today?

All but two tables time one job: networks with w, b, v, c ~ N(0, 1), one sample (x=1, target=3), a
learning rate log-uniform on [0.01, 2], gradient tolerance 1e-10, at most 10,000 steps. (The other
two, ``small_jobs`` and ``by_samples``, describe their jobs.) Everything is timed in one run and
reported as medians and ratios; rows on a part of the networks are scaled to all.

The peers of ``peers.py`` stop by the same rule, and ``differing_labels`` is the fraction of
networks that end differently. ``differing_bits`` is the fraction whose final parameters differ from
ours in any bit: 0 for Numba and C++ without fast math. Only relulab also finds death steps and
periods, and judges whether descent rests.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd

import peers
import relulab as rl
from relulab import figures
from relulab.sweeps.locking import Ownership
from relulab.sweeps.schema import merged
from relulab.sweeps.sweep import shards
from relulab.sweeps.workers import map_unordered
from relulab.sweeps.writing import Slot
from relulab.training.sorted_sums import SortedSums
from relulab.validation import FloatArray

X, TARGET, MAX_STEPS, TOLERANCE = 1.0, 3.0, 10_000, 1e-10
TOLERANCE_32 = 1e-5  # float32 cannot reach the other tolerance
DATA = rl.TrainingSet.point(X, TARGET)
ENOUGH_SECONDS = 20  # a slow program is timed fewer times
SHARD = 50_000  # the fewest networks that are worth a thread
N_SHARDS = 10  # more have more slow networks at their ends, fewer leave a thread idle at the end
Program = Callable[[pd.DataFrame], FloatArray]
HAS_NUMBA = find_spec("numba") is not None
ENGINES = ["numpy", "numba"] if HAS_NUMBA else ["numpy"]
NAMES = {"numpy": "NumPy engine", "numba": "Numba engine"}

# The scan over the number of samples. Each variant has its largest number of samples, and of
# samples times steps: slow sums get fewer steps, not fewer networks, because NumPy's calls and
# half-empty compiled lanes make a step more expensive if there are few networks.
SCAN_NETWORKS, NO_LIMIT = 2_000, 10**10
VARIANTS = [
    ("numba", "direct", 10**4, 10**6),
    ("numba", "sorted", 10**6, NO_LIMIT),
    ("numpy", "direct", 10**3, 5 * 10**4),
    ("numpy", "sorted", 10**5, 10**6),
]
JAX_SAMPLES, JAX_WORK = 10**4, 10**5


def job(n_networks: int) -> rl.Sweep:
    """Return the job as a sweep."""
    return rl.Sweep(
        data=DATA, **rl.standard_normal(), learning_rate=rl.LogUniform(0.01, 2), draws=n_networks,
        max_steps=MAX_STEPS, gradient_tolerance=TOLERANCE,
    )  # fmt: skip


def seconds_of(program: Callable[[], object], repeats: int) -> float:
    """Return the median time of some calls."""
    times: list[float] = []
    while len(times) < repeats and sum(times) < ENOUGH_SECONDS:
        began = time.perf_counter()
        program()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def starts(rows: pd.DataFrame) -> rl.Networks:
    """Return the initial networks of some rows of a sweep."""
    return rl.Networks(*(rows[f"{p}0"] for p in "wbvc"))


def python_loop(rows: pd.DataFrame) -> FloatArray:
    """Train networks one by one with the source text's loop and a stopping rule."""
    final = []
    columns = ["w0", "b0", "v0", "c0", "learning_rate"]
    for w, b, v, c, rate in rows[columns].to_numpy().tolist():
        for step in range(MAX_STEPS + 1):
            h = max(0, w * X + b)
            dy = v * h + c - TARGET
            cost = 0.5 * dy**2
            dv = dy * h
            dc = dy * 1
            dh = dy * v
            if w * X + b > 0:
                dw = X * dh
                db = dh
            else:
                dw = 0
                db = 0
            small = max(abs(dw), abs(db), abs(dv), abs(dc)) <= TOLERANCE
            if small or not cost <= 1e30 or step == MAX_STEPS:
                break
            w = w - rate * dw
            b = b - rate * db
            v = v - rate * dv
            c = c - rate * dc
        final.append((w, b, v, c))
    return np.array(final).T


def ours(
    engine: str,
    dtype: str = "float64",
    data: rl.TrainingSet = DATA,
    max_steps: int = MAX_STEPS,
) -> Program:
    """Return a function that trains rows on one engine in one thread."""

    def run(rows: pd.DataFrame) -> FloatArray:
        trained = rl.train(
            starts(rows), data, rows["learning_rate"], max_steps=max_steps,
            gradient_tolerance=TOLERANCE if dtype == "float64" else TOLERANCE_32, dtype=dtype,
            engine=engine,
        )  # fmt: skip
        return trained.networks.stack(dtype)

    return run


def on_two_threads(run: Program) -> Program:
    """Return a function that trains rows in shards on two threads."""

    def run_both(rows: pd.DataFrame) -> FloatArray:
        size = max(len(rows) // N_SHARDS, SHARD)
        slices = [(rows.iloc[start:stop],) for start, stop in shards(0, len(rows), size)]
        parts = dict(map_unordered(run, slices, n_jobs=2, threads=True))
        return np.concatenate([parts[i] for i in range(len(slices))], axis=1)

    return run_both


def on_rows(trainer: peers.Trainer) -> Program:
    """Return a peer as a function of rows."""
    return lambda rows: trainer(starts(rows).stack(), rows["learning_rate"].to_numpy())


def compiled_peers(job: peers.Job, n_threads: int) -> dict[str, Program]:
    """Return the peers in Numba and C++ that can be compiled here."""
    made: dict[str, peers.Trainer] = {}
    for suffix, fastmath in (("", False), (", fast math", True)):
        how: dict[str, Any] = {"n_threads": n_threads, "fastmath": fastmath}
        if HAS_NUMBA and n_threads <= peers.numba_threads():
            made[f"Numba loop{suffix}"] = peers.numba_loop(job, **how)
            made[f"Numba, {peers.LANES} lanes{suffix}"] = peers.numba_lanes(job, **how)
        if peers.has_cpp():
            made[f"C++ loop{suffix}"] = peers.cpp(job, **how)
            made[f"C++, {peers.LANES} lanes{suffix}"] = peers.cpp(job, **how, lanes=True)
    return {name: on_rows(trainer) for name, trainer in made.items()}


def labels(start: FloatArray, final: FloatArray, data: rl.TrainingSet = DATA) -> FloatArray:
    """Return the fates of networks as 3 * outcome + unit, judged only from start and end."""
    with np.errstate(all="ignore"):
        tolerance = TOLERANCE if final.dtype == np.float64 else TOLERANCE_32
        w, b, v, c = final[:, None]
        x, target = data.x[:, None], data.target[:, None]
        fires = w * x + b > 0
        h = np.where(fires, w * x + b, 0)
        residual = v * h + c - target
        gh = np.where(fires, residual * v, 0)
        gradients = np.mean([residual, residual * h, gh, x * gh], axis=1)
        loss = np.mean(residual**2, axis=0) / 2
        outcome = np.select([~(loss <= 1e30), abs(gradients).max(axis=0) <= tolerance], [1, 0], 2)
    fired = (start[0] * x + start[1] > 0).any(axis=0)
    codes: FloatArray = 3.0 * outcome + np.select([~fired, ~fires.any(axis=0)], [1, 2], 0)
    return codes


class Timed(NamedTuple):
    """A program, with its number of threads and the most networks to time it on."""

    program: str
    n_threads: int
    most: int
    run: Program


def timed(
    programs: list[Timed],
    rows: pd.DataFrame,
    expected: FloatArray,
    repeats: int,
    data: rl.TrainingSet = DATA,
) -> pd.DataFrame:
    """Time programs in turn, each on the first networks; compare labels and bits with ours."""
    start = starts(rows).stack()
    differs = []
    for _, _, most, run in programs:
        final, same = run(rows.iloc[:most]), expected[:, :most]  # compiles, warms up
        codes = [labels(start[:, :most], end, data) for end in (final, same)]
        other = (final != same) & ~(np.isnan(final) & np.isnan(same))
        differs.append((np.mean(codes[0] != codes[1]), np.mean(other.any(axis=0))))
    taken: list[list[tuple[float, float]]] = [[] for _ in programs]
    for _ in range(repeats):
        for times, (_, _, most, run) in zip(taken, programs, strict=True):
            if sum(seconds for seconds, _ in times) > ENOUGH_SECONDS:
                continue
            began, began_cpu = time.perf_counter(), time.process_time()
            run(rows.iloc[:most])
            times.append((time.perf_counter() - began, time.process_time() - began_cpu))
    seconds, cpu_seconds = np.array([np.median(times, axis=0) for times in taken]).T
    differing_labels, differing_bits = np.array(differs).T
    return pd.DataFrame(
        {
            "program": [p.program for p in programs],
            "threads": [p.n_threads for p in programs],
            "networks": [min(p.most, len(rows)) for p in programs],
            "seconds": seconds,
            "cores_used": cpu_seconds / seconds,
            "differing_labels": differing_labels,
            "differing_bits": differing_bits,
        }
    )


def side_by_side(options: Namespace) -> pd.DataFrame:
    """Time every program on the job or its first networks."""
    n_networks = options.networks // (20 if options.quick else 1)
    rows = job(n_networks).parameters(0, n_networks)
    same_job = peers.Job((X,), (TARGET,), MAX_STEPS, TOLERANCE)
    programs = [Timed("Python loop of the text", 1, 2_000, python_loop)]
    for engine in ENGINES:
        programs.append(Timed(f"relulab, {NAMES[engine]}", 1, n_networks, ours(engine)))
    if HAS_NUMBA:
        engine, in_float32 = f"relulab, {NAMES['numba']}", ours("numba", "float32")
        programs.append(Timed(engine, 2, n_networks, on_two_threads(ours("numba"))))
        engine += ", float32, tolerance 1e-5"
        programs.append(Timed(engine, 1, n_networks, in_float32))
        programs.append(Timed(engine, 2, n_networks, on_two_threads(in_float32)))
    if not options.quick:
        for threads in (1, 2):
            made = compiled_peers(same_job, threads)
            programs += [Timed(name, threads, n_networks, run) for name, run in made.items()]
    trained = rl.train(
        starts(rows), DATA, rows["learning_rate"], max_steps=MAX_STEPS,
        gradient_tolerance=TOLERANCE,
    )  # fmt: skip
    expected = trained.networks.stack()
    table = timed(programs, rows, expected, options.repeats)

    # Loaded only now: the threads of JAX and PyTorch would disturb all others.
    programs = []
    n_cores = os.cpu_count() or 1
    if find_spec("jax") is not None and not options.quick:
        jax_while, jax_fixed = peers.jax_while(same_job), peers.jax_fixed_steps(same_job)
        programs.append(Timed("JAX while_loop, sorted", n_cores, 200_000, on_rows(jax_while)))
        programs.append(Timed("JAX vmap(fori_loop)", n_cores, 20_000, on_rows(jax_fixed)))
    if find_spec("torch") is not None and not options.quick:
        torch = on_rows(peers.torch_steps(same_job))
        programs.append(Timed("PyTorch compile, sorted", n_cores, 10_000, torch))
    if programs:
        table = pd.concat([table, timed(programs, rows, expected, options.repeats)])
    table["seconds_for_all"] = table["seconds"] * n_networks / table["networks"]
    table["million_steps_per_second"] = trained.steps_taken.sum() / table["seconds_for_all"] / 1e6
    table["times_python_loop"] = table["seconds_for_all"].iloc[0] / table["seconds_for_all"]
    table["times_numpy"] = table["seconds_for_all"].iloc[1] / table["seconds_for_all"]
    return table


def small_jobs(options: Namespace) -> pd.DataFrame:
    """Time jobs with few samples or few steps, in one thread.

    Networks start as in the job and learn a noisy relu on 2, 4 or 16 samples, or the job's sample
    for 100 steps. ``times_ours`` is a program's time divided by that of relulab;
    ``in_period_search`` is the fraction of our time in which unfinished runs are followed further.
    """
    rng = np.random.default_rng(0)
    few = max(options.networks // (2_000 if options.quick else 100), 1)
    jobs = [("one sample, 100 steps", DATA, 100, 10 * few)]
    for n in (2, 4, 16):
        x = np.linspace(-1, 1, n)
        data = rl.TrainingSet(x, np.maximum(x, 0) + 0.1 * rng.standard_normal(n))
        jobs.append((f"{n} samples", data, MAX_STEPS, few))
    tables = []
    for name, data, max_steps, n_networks in jobs:
        rows = job(n_networks).parameters(0, n_networks)
        train = ours(ENGINES[-1], data=data, max_steps=max_steps)
        programs = [Timed("relulab", 1, n_networks, train)]
        if not options.quick:
            same_job = peers.Job(tuple(data.x), tuple(data.target), max_steps, TOLERANCE)
            made = compiled_peers(same_job, 1)
            programs += [Timed(peer, 1, n_networks, run) for peer, run in made.items()]
        table = timed(programs, rows, train(rows), options.repeats, data)
        table.insert(0, "job", name)
        table["times_ours"] = table["seconds"] / table["seconds"].iloc[0]
        table["in_period_search"] = np.nan
        table.loc[0, "in_period_search"] = in_period_search(train, rows, options.repeats)
        tables.append(table)
    return pd.concat(tables)


def in_period_search(train: Program, rows: pd.DataFrame, repeats: int) -> float:
    """Return the fraction of our training time spent following unfinished runs to find periods."""
    from relulab.training.orbits import find_periods

    searching = 0.0

    def watched(*arguments: Any) -> Any:
        nonlocal searching
        began = time.perf_counter()
        periods = find_periods(*arguments)
        searching += time.perf_counter() - began
        return periods

    with patch("relulab.training.trainer.find_periods", watched):
        parts = []
        for _ in range(repeats):
            began, searching = time.perf_counter(), 0.0
            train(rows)
            parts.append(searching / (time.perf_counter() - began))
    return float(np.median(parts))


def by_networks(options: Namespace) -> pd.DataFrame:
    """Time the engines on 100 ... 10,000,000 networks."""
    largest = 1_000 if options.quick else options.largest
    programs = {engine: ours(engine) for engine in ENGINES}
    if HAS_NUMBA:
        programs["numba, 2 threads"] = on_two_threads(ours("numba"))
    measured = []
    for n in (n for n in (10**k for k in range(2, 8)) if n <= largest):
        rows = job(n).parameters(0, n)
        for name, program in programs.items():
            if name == "numpy" and n > 10**6:
                continue
            seconds = seconds_of(partial(program, rows), 3 if n <= 10**6 else 1)
            measured.append((name, n, seconds / n * 1e6))
    return pd.DataFrame(measured, columns=["engine", "networks", "microseconds_per_network"])


def by_samples(options: Namespace) -> pd.DataFrame:
    """Time the steps of full-batch training on 10 ... 1,000,000 samples, in one thread.

    2,000 networks with w, b, v, c ~ N(0, 1) learn a noisy relu until they converge or have taken
    ``max_steps``, at rates log-uniform on [0.01, 1]. ``ratio_to_10`` is relative to the first row.
    JAX, which chooses its own threads, takes ``max_steps`` steps for each; its
    ``largest_difference`` from our final parameters is over rates up to 0.1.
    """
    rng = np.random.default_rng(0)
    n_networks = SCAN_NETWORKS // (20 if options.quick else 1)
    networks = rl.Networks(*rng.standard_normal((4, n_networks)))
    rate = 10 ** rng.uniform(-2, 0, n_networks)
    columns = ["variant", "n_samples", "networks", "max_steps", "nanoseconds_per_step"]
    columns += ["seconds_to_tabulate", "largest_difference"]
    measured: list[tuple[object, ...]] = []
    for n in (10**k for k in range(1, 4 if options.quick else 7)):
        x = np.sort(rng.uniform(-1, 1, n))
        target = np.maximum(x, 0) + 0.1 * rng.standard_normal(n)
        data = rl.TrainingSet(x, target)
        train = partial(rl.train, networks, data, rate)
        tabulating = seconds_of(partial(SortedSums.of, data, np.dtype(np.float64)), options.repeats)
        for engine, summation, most, work in VARIANTS:
            if engine not in ENGINES or n > most:
                continue
            limit = max(min(MAX_STEPS, work // n) // (100 if options.quick else 1), 1)
            run = partial(train, max_steps=limit, summation=summation, engine=engine)
            steps = run().steps_taken.sum()  # compiles, warms up, makes the tables
            cost = seconds_of(run, options.repeats) / steps * 1e9
            extra = tabulating if summation == "sorted" else np.nan
            measured.append((f"{engine}, {summation}", n, len(rate), limit, cost, extra, np.nan))
        if find_spec("jax") is not None and n <= JAX_SAMPLES:
            limit = min(MAX_STEPS, JAX_WORK // n) // (100 if options.quick else 1)
            run_jax = partial(peers.jax_full_batch(x, target, limit), networks.stack(), rate)
            end = train(max_steps=limit, gradient_tolerance=0).networks.stack()
            difference = abs(run_jax() - end)[:, rate <= 0.1].max()
            cost = seconds_of(run_jax, options.repeats) / (len(rate) * limit) * 1e9
            name = "JAX jit(vmap(fori_loop))"
            measured.append((name, n, len(rate), limit, cost, np.nan, difference))
    table = pd.DataFrame(measured, columns=columns)
    ratio = table["nanoseconds_per_step"] / table["nanoseconds_per_step"].iloc[0]
    table.insert(5, "ratio_to_10", ratio)
    return table


def overheads(options: Namespace) -> pd.DataFrame:
    """Time the parts of a 1,000,000-run sweep into files, in one thread."""
    n_runs = 50_000 if options.quick else 1_000_000
    sweep = job(n_runs)
    sweep.train(0, SHARD)  # compiles, also what follows unfinished runs
    parts = dict.fromkeys(("drawing", "training", "labelling", "writing"), 0.0)
    with tempfile.TemporaryDirectory() as folder:
        ours_to_write = Ownership(Path(folder, ".owner.json"), "")
        for start in range(0, n_runs, SHARD):
            times = [time.perf_counter()]
            sweep.parameters(start, start + SHARD)
            times.append(time.perf_counter())
            frame = sweep.train(start, start + SHARD)
            times.append(time.perf_counter())
            file = Path(folder, "runs", "job", f"part-{start}.parquet")
            columns = merged([sweep.columns])
            slot = Slot(file, {"sweep": "job"}, columns, sweep.repeating, ours_to_write)
            slot.write(frame)
            times.append(time.perf_counter())
            ours(ENGINES[-1])(frame)
            times.append(time.perf_counter())
            drawing, whole, writing, stepping = np.diff(times)
            parts["drawing"] += drawing
            parts["training"] += stepping
            parts["labelling"] += whole - drawing - stepping
            parts["writing"] += writing
    table = pd.DataFrame({"part": list(parts), "seconds": list(parts.values())})
    table["fraction"] = table["seconds"] / table["seconds"].sum()
    return table


def bounds(options: Namespace) -> pd.DataFrame:
    """Measure the bare arithmetic of a step, without any checks, and the time to compile."""
    if not HAS_NUMBA:
        return pd.DataFrame({"measure": [], "value": []})
    from numba import njit

    from relulab.training.numba_kernels import whole_vectors

    @njit(nogil=True, error_model="numpy")
    def bare(p: FloatArray, rate: FloatArray, x: float, target: float, n_steps: int) -> None:
        whole_vectors()
        w, b, v, c = p[0], p[1], p[2], p[3]
        for _ in range(n_steps):
            for i in range(128):
                pre = w[i] * x + b[i]
                h = pre if pre > 0.0 else 0.0
                residual = v[i] * h + c[i] - target
                gh = residual * v[i] if pre > 0.0 else 0.0
                w[i] -= rate[i] * (x * gh)
                b[i] -= rate[i] * gh
                v[i] -= rate[i] * (residual * h)
                c[i] -= rate[i] * residual

    rate, n_steps = np.full(128, 1e-9), 2_000_000
    tasks = [(np.full((4, 128), 0.5), rate, X, TARGET, n_steps) for _ in range(2)]
    bare(*tasks[0][:-1], 1)
    seconds = seconds_of(partial(bare, *tasks[0]), options.repeats)
    both = seconds_of(
        lambda: list(map_unordered(bare, tasks, n_jobs=2, threads=True)), options.repeats
    )
    first = (
        "import time, relulab as rl\n"
        "def f(): return rl.train(rl.Networks(1, 1, 1, 1), rl.TrainingSet.point(1, 3), 0.1)\n"
        "t = time.perf_counter(); f(); t = time.perf_counter() - t\n"
        "u = time.perf_counter(); f(); print(t - (time.perf_counter() - u))"
    )
    values: dict[str, float] = {
        "million bare steps per second": 128 * n_steps / seconds / 1e6,
        # What two threads can give on this machine.
        "million on two threads": 2 * 128 * n_steps / both / 1e6,
    }
    with tempfile.TemporaryDirectory() as cache:
        names = ["seconds to compile", "seconds to load what was compiled"]
        # A quick run uses code that was compiled before.
        where = {} if options.quick else {"NUMBA_CACHE_DIR": cache}
        for name in names[options.quick :]:
            done = subprocess.run(
                [sys.executable, "-c", first], capture_output=True, text=True, check=True,
                env=os.environ | where,
            )  # fmt: skip
            values[name] = float(done.stdout)
    return pd.DataFrame({"measure": list(values), "value": list(values.values())})


def machine(_options: Namespace) -> pd.DataFrame:
    """Return the processor, its cores and the version of Python."""
    try:
        names = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in names if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    facts = {"processor": cpu, "cores": str(os.cpu_count()), "python": platform.python_version()}
    return pd.DataFrame({"fact": list(facts), "value": list(facts.values())})


def load(results: rl.Results, name: str) -> pd.DataFrame:
    """Return a record with the full names of engines."""
    table = results.load_record(name)
    for column in {"engine", "variant"} & set(table):
        for short, full in NAMES.items():
            table[column] = table[column].str.replace(short, full, regex=False)
    return table


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    pd.set_option("display.width", 160)
    for name in ("machine", "bounds", "overheads", "side_by_side", "small_jobs", "by_samples"):
        table = load(results, name)
        print(table.to_string(index=False, float_format=lambda value: f"{value:,.4g}"), "\n")
        yield name, table
    # For each program, the row with the most threads: its best use of the machine.
    table = load(results, "side_by_side").sort_values("threads")
    table = table.drop_duplicates("program", keep="last")
    table = table.sort_values("times_python_loop", ascending=False)
    is_ours = table["program"].str.startswith("relulab")
    table["by"] = np.where(is_ours, "relulab", "others")
    value = "times_python_loop"
    ax = figures.dots(table, "program", value, "by", log=True, low=value, high=value, amounts=True)
    threads = table["threads"].max()
    ax.set(
        title=f"How much faster than the text's Python loop, on up to {threads} threads?",
        xlabel="times faster",
    )
    yield "side_by_side", ax
    table = load(results, "small_jobs")
    value = "times_ours"
    ax = figures.dots(table, "program", value, "job", log=True, low=value, high=value)
    ax.set(
        title="How many times as long as relulab do small jobs take, on one thread?",
        xlabel="times as long (below 1: faster)",
    )
    ax.set_xticks([1, 2, 5, 10], labels=["1", "2", "5", "10"])
    yield "small_jobs", ax
    table = load(results, "by_networks")
    yield "by_networks", table
    ax = figures.lines(table, "networks", "microseconds_per_network", "engine")
    ax.set(
        title="What does one network cost when many are trained at once?",
        xlabel="number of networks",
        ylabel="microseconds per network",
    )
    yield "by_networks", ax
    table = load(results, "by_samples")
    ax = figures.lines(table, "n_samples", "nanoseconds_per_step", "variant")
    ax.set(
        title="What does a step cost when there are more samples?",
        xlabel="number of samples",
        ylabel="nanoseconds per step",
    )
    yield "by_samples", ax


def options(parser: ArgumentParser) -> None:
    """Add the options for sizes."""
    parser.add_argument("--networks", type=int, default=1_000_000, help="networks in the job")
    parser.add_argument("--largest", type=int, default=10**7, help="most networks in the scan")
    parser.add_argument("--repeats", type=int, default=9, help="timings of each program")


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="How fast is relulab, next to the ways people do this today?",
    records={
        "machine": machine,
        "bounds": bounds,
        "overheads": overheads,
        "by_networks": by_networks,
        "side_by_side": side_by_side,
        "small_jobs": small_jobs,
        "by_samples": by_samples,
    },
    options=options,
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
