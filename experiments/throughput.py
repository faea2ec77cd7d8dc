"""How fast does relulab train, next to the ways that people do it today?

One job for all but one table: networks with w, b, v, c ~ N(0, 1), one sample (x=1, target=3), a
learning rate log-uniform on [0.01, 2], gradient tolerance 1e-10, at most 10,000 steps. (Only
``by_samples`` is about another one, see there.) Everything is timed in one run and told as medians
and ratios; rows on a part of the networks are scaled to all.
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

import numpy as np
import pandas as pd

import relulab as rl
from peers import Job, Trainer, jax_fixed_steps, jax_full_batch, jax_while, torch_steps
from relulab import figures
from relulab.sweeps.locking import Ownership
from relulab.sweeps.schema import merged
from relulab.sweeps.sweep import shards
from relulab.sweeps.workers import map_unordered
from relulab.sweeps.writing import Slot
from relulab.training.sorted_sums import SortedSums
from relulab.validation import FloatArray

X, TARGET, MAX_STEPS, TOLERANCE = 1.0, 3.0, 10_000, 1e-10
TOLERANCE_32 = 1e-5  # float32 cannot reach the other one
DATA = rl.TrainingSet.point(X, TARGET)
SHARD = 50_000  # so a second thread has nothing to do for fewer networks
Program = Callable[[pd.DataFrame], FloatArray]
HAS_NUMBA = find_spec("numba") is not None
ENGINES = ["numpy", "numba"] if HAS_NUMBA else ["numpy"]

# The scan over the number of samples. Each variant has the most samples that it is timed on and
# the most samples times steps: where sums are slow there are fewer steps, not fewer networks, since
# NumPy's calls and half-empty compiled lanes make the step of one network among few dearer.
SCAN_NETWORKS, NO_LIMIT = 2_000, 10**10
VARIANTS = [
    ("numba", "direct", 10**4, 10**6),
    ("numba", "sorted", 10**6, NO_LIMIT),
    ("numpy", "direct", 10**3, 5 * 10**4),
    ("numpy", "sorted", 10**5, NO_LIMIT),
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
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        program()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def starts(rows: pd.DataFrame) -> rl.Networks:
    """Return the initial networks of some rows of a sweep."""
    return rl.Networks(*(rows[f"{p}0"] for p in "wbvc"))


def python_loop(rows: pd.DataFrame) -> FloatArray:
    """Train one network after the other with the source text's loop and a stopping rule."""
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


def ours(engine: str, dtype: str = "float64") -> Callable[[pd.DataFrame], FloatArray]:
    """Return a function that trains rows on one engine in one thread."""

    def run(rows: pd.DataFrame) -> FloatArray:
        trained = rl.train(
            starts(rows), DATA, rows["learning_rate"], max_steps=MAX_STEPS,
            gradient_tolerance=TOLERANCE if dtype == "float64" else TOLERANCE_32, dtype=dtype,
            engine=engine,
        )  # fmt: skip
        return trained.networks.stack(dtype)

    return run


def two_threads(rows: pd.DataFrame) -> FloatArray:
    """Train rows on the Numba engine, in shards on two threads."""
    run = ours("numba")
    slices = [(rows.iloc[start:stop],) for start, stop in shards(0, len(rows), SHARD)]
    parts = dict(map_unordered(run, slices, n_jobs=2, threads=True))
    return np.concatenate([parts[i] for i in range(len(slices))], axis=1)


def peers() -> dict[str, tuple[int, Program]]:
    """Return the peers that are installed, each with the most networks that it is timed on."""
    trainers: dict[str, tuple[int, Trainer]] = {}
    this = Job(X, TARGET, MAX_STEPS, TOLERANCE)
    if find_spec("jax") is not None:
        trainers["JAX jit(vmap(while_loop))"] = (200_000, jax_while(this))
        for chunk in (8, 16, 64, 256, 1024, 8192):
            trainers[f"JAX jit(vmap(while_loop)), chunks of {chunk}"] = (
                20_000,
                jax_while(this, chunk),
            )
        trainers["JAX jit(vmap(fori_loop))"] = (20_000, jax_fixed_steps(this))
    if find_spec("torch") is not None:
        trainers["torch.func vmap(grad)"] = (10_000, torch_steps(this))
        trainers["torch.compile of vmap(grad)"] = (10_000, torch_steps(this, compiled=True))

    def program(trainer: Trainer, rows: pd.DataFrame) -> FloatArray:
        return trainer(starts(rows).stack(), rows["learning_rate"].to_numpy())

    return {name: (most, partial(program, t)) for name, (most, t) in trainers.items()}


def labels(start: FloatArray, final: FloatArray) -> FloatArray:
    """Return what became of networks, judged from both ends alone: 3 * outcome + unit."""
    with np.errstate(all="ignore"):
        tolerance = TOLERANCE if final.dtype == np.float64 else TOLERANCE_32
        w, b, v, c = final
        fires = w * X + b > 0
        h = np.where(fires, w * X + b, 0)
        residual = v * h + c - TARGET
        gh = np.where(fires, residual * v, 0)
        norm = np.max([abs(residual), abs(residual * h), abs(gh), abs(X * gh)], axis=0)
        outcome = np.select([~(residual**2 <= 2e30), norm <= tolerance], [1, 0], 2)
    unit = np.select([start[0] * X + start[1] <= 0, ~fires], [1, 2], 0)
    codes: FloatArray = 3.0 * outcome + unit
    return codes


def timed(
    programs: dict[str, tuple[int, Program]], rows: pd.DataFrame, expected: FloatArray, repeats: int
) -> pd.DataFrame:
    """Time programs in turn, each on its first networks; compare their labels."""
    differs = []
    for most, program in programs.values():
        part = rows.iloc[:most]
        final = program(part)  # compiles, warms up
        differs.append(np.mean(labels(starts(part).stack(), final) != expected[: len(part)]))
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, (most, program) in programs.items():
            if sum(seconds for seconds, _ in taken[name]) > 20:
                continue  # so slow a program is timed fewer times
            began, began_cpu = time.perf_counter(), time.process_time()
            program(rows.iloc[:most])
            taken[name].append((time.perf_counter() - began, time.process_time() - began_cpu))
    seconds, cpu_seconds = np.array([np.median(times, axis=0) for times in taken.values()]).T
    return pd.DataFrame(
        {
            "program": list(programs),
            "networks": [min(most, len(rows)) for most, _ in programs.values()],
            "seconds": seconds,
            "cores_used": cpu_seconds / seconds,
            "differing_labels": differs,
        }
    )


def side_by_side(options: Namespace) -> pd.DataFrame:
    """Time every program on the job or its first networks; compare labels with ours."""
    n_networks = options.networks // (20 if options.quick else 1)
    rows = job(n_networks).parameters(0, n_networks)
    programs: dict[str, tuple[int, Program]] = {"Python loop of the text": (2_000, python_loop)}
    for engine in ENGINES:
        programs[f"relulab {engine}"] = (n_networks, ours(engine))
    if HAS_NUMBA:
        programs["relulab numba, 2 threads"] = (n_networks, two_threads)
        in_float32 = (n_networks, ours("numba", "float32"))
        programs["relulab numba, float32, tolerance 1e-5"] = in_float32

    trained = rl.train(
        starts(rows), DATA, rows["learning_rate"], max_steps=MAX_STEPS,
        gradient_tolerance=TOLERANCE,
    )  # fmt: skip
    expected = labels(starts(rows).stack(), trained.networks.stack())
    table = timed(programs, rows, expected, options.repeats)
    # Loaded only now: the threads that JAX and PyTorch keep would disturb our two.
    others = {} if options.quick else peers()
    if others:
        table = pd.concat([table, timed(others, rows, expected, options.repeats)])
    table["seconds_for_all"] = table["seconds"] * n_networks / table["networks"]
    table["million_steps_per_second"] = trained.steps_taken.sum() / table["seconds_for_all"] / 1e6
    table["times_python_loop"] = table["seconds_for_all"].iloc[0] / table["seconds_for_all"]
    table["times_numpy"] = table["seconds_for_all"].iloc[1] / table["seconds_for_all"]
    return table


def by_networks(options: Namespace) -> pd.DataFrame:
    """Time the engines on 100 ... 10,000,000 networks."""
    largest = 1_000 if options.quick else options.largest
    programs = {engine: ours(engine) for engine in ENGINES}
    if HAS_NUMBA:
        programs["numba, 2 threads"] = two_threads
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

    2,000 networks with w, b, v, c ~ N(0, 1) learn a noisy relu until they converge or have made
    ``max_steps``, at rates log-uniform on [0.01, 1]. ``ratio_to_10`` is to the first row. JAX,
    which takes what threads it likes, makes ``max_steps`` steps of each; its ``largest_difference``
    from our final parameters is that of rates up to 0.1.
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
            run_jax = partial(jax_full_batch(x, target, limit), networks.stack(), rate)
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
    sweep.train(0, 100)  # compiles
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
            slot = Slot(file, {"sweep": "job"}, merged([sweep.columns]), ours_to_write)
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
    """Measure the bare arithmetic of a step, without any judging, and the time to compile."""
    if not HAS_NUMBA:
        return pd.DataFrame({"measure": [], "value": []})
    from numba import njit

    import relulab.training.numba_engine  # noqa: F401 (so that both use the same vectors)

    @njit(nogil=True, error_model="numpy")
    def bare(p: FloatArray, rate: FloatArray, n_steps: int) -> None:
        w, b, v, c = p[0], p[1], p[2], p[3]
        for _ in range(n_steps):
            for i in range(128):
                pre = w[i] * X + b[i]
                h = pre if pre > 0.0 else 0.0
                residual = v[i] * h + c[i] - TARGET
                gh = residual * v[i] if pre > 0.0 else 0.0
                w[i] -= rate[i] * (X * gh)
                b[i] -= rate[i] * gh
                v[i] -= rate[i] * (residual * h)
                c[i] -= rate[i] * residual

    p, rate, n_steps = np.full((4, 128), 0.5), np.full(128, 1e-9), 200_000
    bare(p, rate, 1)
    seconds = seconds_of(partial(bare, p, rate, n_steps), options.repeats)
    first = (
        "import time, relulab as rl\n"
        "def f(): return rl.train(rl.Networks(1, 1, 1, 1), rl.TrainingSet.point(1, 3), 0.1)\n"
        "t = time.perf_counter(); f(); t = time.perf_counter() - t\n"
        "u = time.perf_counter(); f(); print(t - (time.perf_counter() - u))"
    )
    values: dict[str, float] = {"million bare steps per second": 128 * n_steps / seconds / 1e6}
    with tempfile.TemporaryDirectory() as cache:
        names = ["seconds to compile", "seconds to load what was compiled"]
        # A quick look takes what was compiled before.
        where = {} if options.quick else {"NUMBA_CACHE_DIR": cache}
        for name in names[options.quick :]:
            done = subprocess.run(
                [sys.executable, "-c", first], capture_output=True, text=True, check=True,
                env=os.environ | where,
            )  # fmt: skip
            values[name] = float(done.stdout)
    return pd.DataFrame({"measure": list(values), "value": list(values.values())})


def machine(_options: Namespace) -> pd.DataFrame:
    """Name the machine and the versions."""
    try:
        names = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in names if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor() or platform.machine()
    facts = {"processor": cpu, "cores": str(os.cpu_count()), "python": platform.python_version()}
    return pd.DataFrame({"fact": list(facts), "value": list(facts.values())})


# The engines and peers by their full names.
NAMES = {
    "numpy": "NumPy engine",
    "numba": "Numba engine",
    "JAX the same": "JAX jit(vmap(while_loop))",
    "torch.compile of it": "torch.compile of vmap(grad)",
}


def load(results: rl.Results, name: str) -> pd.DataFrame:
    """Return a record with the names of programs in full."""
    table = results.load_record(name)
    for column in {"program", "engine", "variant"} & set(table):
        for short, full in NAMES.items():
            table[column] = table[column].str.replace(short, full, regex=False)
    return table


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    pd.set_option("display.width", 160)
    for name in ("machine", "bounds", "overheads", "side_by_side", "by_samples"):
        table = load(results, name)
        print(table.to_string(index=False, float_format=lambda value: f"{value:,.4g}"), "\n")
        yield name, table
    table = load(results, "side_by_side").sort_values("times_python_loop")
    ax = figures.bars(table, "program", "times_python_loop")
    ax.set(title="How much faster than the text's Python loop?", xlabel="times faster")
    yield "side_by_side", ax
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
    """Add the sizes to the command line."""
    parser.add_argument("--networks", type=int, default=1_000_000, help="networks of the job")
    parser.add_argument("--largest", type=int, default=10**7, help="most networks of the scan")
    parser.add_argument("--repeats", type=int, default=9, help="timings of each program")


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="How fast does relulab train, next to the ways that people do it today?",
    records={
        "machine": machine,
        "bounds": bounds,
        "overheads": overheads,
        "by_networks": by_networks,
        "side_by_side": side_by_side,
        "by_samples": by_samples,
    },
    options=options,
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
