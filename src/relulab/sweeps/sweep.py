"""A sweep: numbers, axes and distributions for up to billions of runs, made on demand."""

import math
import os
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from inspect import Signature, signature
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.model.data import TrainingSet, rounded
from relulab.model.initialization import Distribution, Value
from relulab.model.network import PARAMETERS, Networks
from relulab.sweeps.attempts import Lost
from relulab.sweeps.axes import grid_positions, rows_at, zoomed
from relulab.sweeps.draws import DRAWS_PER_BLOCK, drawn_values
from relulab.sweeps.progress import progress_of
from relulab.sweeps.workers import checked_client, checked_n_jobs, engine_for_workers, map_unordered
from relulab.theory.optimum import smallest_loss, smallest_losses
from relulab.training.engines import resolved_engine
from relulab.training.optimizers import SGD
from relulab.training.options import TrainingOptions
from relulab.training.settings import BOUNDS, is_distribution, within_bounds
from relulab.validation import (
    LARGEST_SHARD,
    MOST_SHARDS,
    Float64Array,
    FloatArray,
    InputError,
    counted,
    extent,
    finite_array,
    finite_number,
    in_dtype,
    instance_of,
    seed_number,
    set_fields,
    shown,
    whole_number,
    within_memory,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Sweep(TrainingOptions):
    """All combinations of the axes, times ``draws``, and the options of ``train``.

    Each of w, b, v, c, the rates, ``negative_slope`` and the optimizer's numbers is a number
    (fixed), an array (an axis of the grid) or a distribution (drawn at random; the same draws at
    every point of the grid). Runs are numbered through the axes in the order w, b, v, c,
    ``learning_rate``, ``hidden_learning_rate``, ``output_learning_rate``, ``negative_slope``,
    ``momentum``, ``weight_decay``, ``max_norm``, ``beta1``, ``beta2``, ``epsilon``, the last one
    fastest. ``draw`` is the slowest, so raising ``draws`` appends runs and changes none.

    Attributes
    ----------
    data : TrainingSet
    w, b, v, c : float, array_like or distribution
        Initial values.
    draws : int, optional
        How many values are drawn; required if anything is drawn at random, otherwise omitted.
    seed : int
        The seed of the draws.
    learning_rate, hidden_learning_rate, output_learning_rate
        Values like those of w; as in ``train``, give one or two of the three.
    negative_slope : float, array_like or distribution
    optimizer : SGD or Adam
        Its numbers can be given like w: ``rl.SGD(momentum=np.linspace(0, 0.9, 10))``.
    freeze, max_steps, gradient_tolerance, divergence_loss, batch_size, shuffle_seed
    summation, dtype
        As in ``train``.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> sweep = rl.Sweep(
    ...     data=rl.TrainingSet.point(1, 3), w=rl.Normal(0, 1), b=0.5, v=rl.Normal(0, 1),
    ...     draws=1000, learning_rate=rl.geomspace(0.01, 1, 5),
    ... )
    >>> sweep
    Sweep(5,000 runs: w=Normal(mean=0.0, std=1.0), b=0.5, v=Normal(mean=0.0, std=1.0), c=0.0, \
learning_rate=5 values, 0.01 ... 1; 1,000 draws, 1 sample)
    >>> int((sweep.run().query("learning_rate == 1")["unit"] == "died").sum())  # of 1,000
    677
    """

    data: TrainingSet
    w: Value = 0.0
    b: Value = 0.0
    v: Value = 0.0
    c: Value = 0.0
    draws: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        instance_of("data", self.data, TrainingSet)
        super().__post_init__()
        self.batches(self.data.n_samples)
        # Copies, so that the caller cannot change an axis afterwards.
        values = {name: _checked(name, value) for name, value in self._values.items()}
        own = {name: value for name, value in values.items() if hasattr(self, name)}
        set_fields(self, **own)
        set_fields(self, seed=seed_number("seed", self.seed))
        if self.draws is not None:
            # len() and run numbers cannot exceed this.
            most = sys.maxsize // max(self.n_points, 1)
            set_fields(self, draws=whole_number("draws", self.draws, at_least=1, at_most=most))
            if not self.drawn:
                raise InputError("draws: expected None, because nothing is drawn at random")
        elif self.drawn:
            raise InputError(
                f"draws: expected a whole number >= 1, because {self.drawn[0]} is drawn at random"
            )
        self._check_range()

    def _check_range(self) -> None:
        """Refuse now what training would refuse later, as far as it is known."""
        number = np.dtype(self.dtype)
        in_dtype("data", np.stack([self.data.x, self.data.target]), number)
        for name, value in self._values.items():
            if name not in self.drawn:
                in_dtype(name, np.atleast_1d(value), number)
                continue
            # A whole block, so that a distribution that reaches below 0 is caught here.
            block = in_dtype(name, self._random(name, np.arange(DRAWS_PER_BLOCK)), number)
            if name in BOUNDS:
                expected, fits = BOUNDS[name]
                if not fits(block).all():
                    wrong = block[~fits(block)].min()
                    raise InputError(f"{name}: expected values {expected}, drew {wrong}")

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_short(value)}" for name, value in self._values.items())
        defaults = {f.name: f.default for f in fields(TrainingOptions)}
        others = [
            f"{name}={getattr(self, name)!r}"
            for name, default in defaults.items()
            if name not in (*BOUNDS, "optimizer") and getattr(self, name) != default
        ]
        # Its numbers are listed above.
        if not isinstance(self.optimizer, SGD):
            others.append("Adam")
        elif self.optimizer.nesterov:
            others.append("nesterov")
        more = [counted(self.draws, "draw")] if self.draws else []
        more += [counted(self.data.n_samples, "sample"), *others]
        return f"Sweep({counted(len(self), 'run')}: {values}; {', '.join(more)})"

    @property
    def _values(self) -> dict[str, Any]:
        """The initial values and the settings, in the order in which runs are numbered."""
        settings = self.settings
        ordered = {name: settings[name] for name in BOUNDS if name in settings}
        return {**{name: getattr(self, name) for name in PARAMETERS}, **ordered}

    @cached_property
    def axes(self) -> dict[str, Float64Array]:
        """The axes of the grid, in the order in which runs are numbered."""
        return {n: v for n, v in self._values.items() if isinstance(v, np.ndarray)}

    @cached_property
    def drawn(self) -> tuple[str, ...]:
        """The names of the values that are drawn at random."""
        return tuple(n for n, v in self._values.items() if isinstance(v, Distribution))

    @cached_property
    def n_points(self) -> int:
        """The number of points of the grid."""
        return math.prod(axis.size for axis in self.axes.values())

    def __len__(self) -> int:
        return self.n_points * (self.draws or 1)

    def zoom(self, *, n: int = 500, **ranges: tuple[float, float]) -> "Sweep":
        """Return the sweep of a box: ``n`` values of each of ``ranges``, ends included.

        Parameters
        ----------
        n : int
            How many values of each; if the dtype has fewer numbers in a range, all of them.
        **ranges : tuple of float
            Ends for any initial values and settings, such as ``w=(0, 1), learning_rate=(0.1,
            0.2)``. The values are spaced like the axis they replace: in equal ratios if it was,
            otherwise evenly. Everything else stays as it is.

        Raises
        ------
        InputError
            In one line that names the argument.

        Examples
        --------
        >>> import numpy as np, relulab as rl
        >>> plane = {"w": np.linspace(-1, 5, 500), "v": np.linspace(-4, 4, 500)}
        >>> sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), **plane, learning_rate=0.3)
        >>> sweep.zoom(w=(2.4, 2.5), v=(0.5, 0.6), n=100)
        Sweep(10,000 runs: w=100 values, 2.4 ... 2.5, b=0.0, v=100 values, 0.5 ... 0.6, c=0.0, \
learning_rate=0.3; 1 sample)
        """
        return zoomed(self, n, ranges)

    def parameters(self, start: int, stop: int) -> pd.DataFrame:
        """Return run, draw (if drawn), w0, b0, v0, c0 and settings of runs start ... stop-1."""
        return pd.DataFrame(self._start(start, stop), copy=False)

    def _start(self, start: int, stop: int) -> dict[str, Any]:
        """Return the columns of ``parameters``, as arrays."""
        start = whole_number("start", start, at_least=0)
        stop = whole_number("stop", stop, at_least=0)
        if not 0 <= start <= stop <= len(self):
            raise InputError(
                f"start, stop: expected 0 <= start <= stop <= {len(self)}, got {shown(start)},"
                f" {shown(stop)}"
            )
        within_memory("start, stop", stop - start)
        return self._rows(np.arange(start, stop))

    def _rows(self, run: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Return the columns of ``parameters`` of ascending runs."""
        draw, index = grid_positions(self.axes, run)
        columns: dict[str, Any] = {"run": run}
        if self.drawn:
            columns["draw"] = draw
        for name, value in self._values.items():
            column = f"{name}0" if name in PARAMETERS else name
            if name in index:
                columns[column] = value[index[name]]
            elif name in self.drawn:
                columns[column] = self._random(name, draw)
            else:
                columns[column] = np.full(run.size, value)
        return columns

    def _random(self, name: str, draw: npt.NDArray[np.int64]) -> Float64Array:
        """Return the values of a drawn parameter for ascending draws."""
        values: Any = self._values[name]
        return drawn_values(values, self.seed, (*PARAMETERS, *BOUNDS).index(name), draw)

    def train(self, start: int, stop: int, engine: str = "auto") -> pd.DataFrame:
        """Train runs start ... stop-1 and return the rows of the results table."""
        resolved_engine(engine)  # refused before any work
        rows = self._start(start, stop)
        if start == stop:
            raise InputError(f"stop: expected a number above start, got {stop}")
        # Nothing else uses these arrays, so the table need not copy them.
        return pd.DataFrame(self._trained(rows, engine), copy=False)

    def train_at(self, points: Mapping[str, Any], engine: str = "auto") -> pd.DataFrame:
        """Train runs from any points, on a grid or not, and return a row for each.

        Parameters
        ----------
        points : dict of str to array_like, or DataFrame
            Initial values and settings, such as ``{"w": [0.1, 0.2], "v": 1}``: one value for all
            runs or one for each. Everything else is as in the sweep, and must be a number there.
        engine : {"auto", "numpy", "numba"}
            As in ``train``.

        Raises
        ------
        InputError
            In one line that names the argument.

        Examples
        --------
        >>> import relulab as rl
        >>> sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=1, learning_rate=0.3)
        >>> sweep.train_at({"v": [0.5, 3.5]})[["w0", "v0", "outcome", "unit"]]
            w0   v0    outcome   unit
        0  1.0  0.5  converged  alive
        1  1.0  3.5  converged   died
        """
        resolved_engine(engine)
        there, rows = rows_at(self, points)
        return pd.DataFrame(there._trained(rows, engine))

    def _trained(self, rows: dict[str, Any], engine: str) -> dict[str, Any]:
        """Return the columns of starts and settings with those of the results of training."""
        # Imported here: describing a sweep and drawing its results must not load an engine.
        from relulab.training.trainer import descend

        networks = Networks(*(rows[f"{p}0"] for p in PARAMETERS))
        # Drawn values are known only now.
        settings: dict[str, FloatArray] = {
            name: within_bounds(name, rows[name]) for name in self._values if name in BOUNDS
        }
        final = descend(networks, self.data, settings, self, engine).final()
        if self.data.n_samples > 1:
            names = list(final)
            best: Any = self.best_loss
            if best is None:
                slopes = rows["negative_slope"].astype(self.dtype)
                best = smallest_losses(rounded(self.data, self.dtype), slopes).astype(self.dtype)
            with np.errstate(all="ignore"):  # for runs that diverged
                final["excess_loss"] = final["loss"] - best
            names.insert(names.index("loss") + 1, "excess_loss")
            final = {name: final[name] for name in names}
        return rows | final

    @cached_property
    def best_loss(self) -> float | None:
        """The smallest loss that any network has on the data.

        None for a single sample, and if the runs have different slopes. If it is computed before
        the shards go to the workers, they need not compute it again.
        """
        if self.data.n_samples == 1 or not isinstance(self.negative_slope, float):
            return None
        # In the dtype of training.
        slope = float(np.dtype(self.dtype).type(self.negative_slope))
        return smallest_loss(rounded(self.data, self.dtype), slope)

    def run(
        self,
        *,
        n_jobs: int = 1,
        shard_size: int | None = None,
        engine: str = "auto",
        progress: bool = False,
        client: Any = None,
    ) -> pd.DataFrame:
        """Train all runs and return one row for each, in memory.

        ``n_jobs`` workers (-1: one per core) train shards of ``shard_size`` runs; neither number
        changes a bit of the result. A sweep of one shard runs in this process. With ``progress``,
        a bar in the terminal or notebook shows runs per second and the time left. With a
        ``client``, a ``distributed.Client``, the workers of its Dask cluster do the work.
        """
        n_jobs, client = checked_n_jobs(n_jobs), checked_client(client)
        instance_of("progress", progress, bool)
        planned = shards(0, len(self), shard_size)
        self._check_memory()
        engine, threads = engine_for_workers(engine, client)
        _ = self.best_loss
        tasks = [(start, stop, engine) for start, stop in planned]
        frames: list[pd.DataFrame] = [pd.DataFrame()] * len(tasks)
        done = map_unordered(self.train, tasks, n_jobs=n_jobs, threads=threads, client=client)
        with closing(done), progress_of(0, len(self), quiet=not progress) as bar:
            for i, frame in done:
                if isinstance(frame, Lost):
                    raise RuntimeError(f"lost a shard, perhaps for lack of memory:\n{frame.error}")
                frames[i] = frame
                bar.update(len(frame))
        return pd.concat(frames, ignore_index=True)

    def _check_memory(self) -> None:
        """Refuse to hold more runs at once than this machine has memory for."""
        # Twice, because the parts are copied into one table at the end.
        needed, there = 2 * len(self) * sum(map(_width, self.columns.values())), memory()
        if needed > there:
            raise InputError(
                f"run: {len(self):,} runs take about {needed / 1e9:,.0f} GB of memory, and this"
                f" machine has {there / 1e9:,.0f} GB; use fewer draws, or let rl.main store them"
                " in files, part by part"
            )

    @cached_property
    def columns(self) -> dict[str, str]:
        """The columns of the results table and their types, as ``schema`` names them."""
        start = {str(name): str(dtype) for name, dtype in self.parameters(0, 0).dtypes.items()}
        final = dict.fromkeys((*PARAMETERS, "loss"), self.dtype)
        if self.data.n_samples > 1:
            final["excess_loss"] = self.dtype
        final["gradient_norm"] = self.dtype
        steps = {"steps_taken": "int64", "death_step": "Int64"}
        steps |= {"n_revivals": "int64"} if self.can_revive else {}
        steps["period"] = "Int64"
        return {**start, **final, **steps, "outcome": "outcome", "unit": "unit"}

    @property
    def repeating(self) -> list[str]:
        """The columns in which many runs may be equal: the grid, words and counts of steps."""
        names = [name for name in self._values if name not in self.drawn]
        grid = {f"{name}0" if name in PARAMETERS else name for name in names}
        return [
            name
            for name, kind in self.columns.items()
            if name in grid or (not kind.startswith("float") and name not in ("run", "draw"))
        ]

    @property
    def bytes_per_run(self) -> float:
        """About how much disk a run takes: little for values that repeat, and for counts."""
        counts = {"run", "draw", "steps_taken", "death_step", "n_revivals", "period"}
        starts = {f"{name}0" if name in PARAMETERS else name: name for name in self._values}
        n_bytes = 0.0
        for column, kind in self.columns.items():
            drawn = starts.get(column) in self.drawn
            if drawn and self.n_points > 1:  # the same values at all points of the grid
                n_bytes += 1 + 8 / self.n_points
            else:
                few = column in counts or (column in starts and not drawn)
                n_bytes += 1 if few else _width(kind)
        return n_bytes

    def specification(self) -> dict[str, Any]:
        """Return as JSON values everything that decides the runs, except the number of draws."""
        described = {name: _described(value) for name, value in self._values.items()}
        others = (*BOUNDS, "freeze", "optimizer", "summation")
        names = [f.name for f in fields(TrainingOptions) if f.name not in others]
        rule = self.optimizer
        return {
            "data": self.data.specification(),
            **described,
            **({"seed": self.seed} if self.drawn else {}),
            **{name: getattr(self, name) for name in names},
            # The values above and these two describe any optimizer that is not plain SGD.
            **({} if isinstance(rule, SGD) else {"optimizer": "Adam"}),
            **({"nesterov": True} if isinstance(rule, SGD) and rule.nesterov else {}),
            # The old name: with another, the first folders of this format would not match.
            "gradient": self.summation_of(self.data),
            "freeze": list(self.freeze),
            # Runs from before this rule have other outcomes, so they belong to another sweep.
            "converged": "at rest",
        }


# For help and completion: first what is trained, then how, without the long type ``ArrayLike``.
_arguments = [p.replace(annotation=p.empty) for p in signature(Sweep).parameters.values()]
_arguments.sort(key=lambda argument: hasattr(TrainingOptions, argument.name))
Sweep.__signature__ = Signature(_arguments)  # type: ignore[attr-defined]


def shards(
    start: int, stop: int, shard_size: int | None = None, n_there: int = 0
) -> list[tuple[int, int]]:
    """Return contiguous slices of runs start ... stop-1, each (start, stop).

    ``n_there`` is the number of shards that exist already.
    """
    if shard_size is None:
        # Small enough to show progress and bound memory; so large that the slowest network of a
        # shard hardly matters.
        shard_size = min(max((stop - start) // 32, 10_000), 250_000)
    shard_size = whole_number("shard_size", shard_size, at_least=1, at_most=LARGEST_SHARD)
    if (stop - start) / shard_size > MOST_SHARDS - n_there:
        raise InputError(
            f"shard_size: expected at most {MOST_SHARDS:,} shards, got {stop - start:,} runs in"
            f" shards of {shard_size:,}"
            + (f" in addition to {n_there:,} existing shards" if n_there else "")
            + "; use fewer draws or larger shards"
        )
    return [(i, min(i + shard_size, stop)) for i in range(start, stop, shard_size)]


def _checked(name: str, value: Any) -> float | Float64Array | Distribution:
    """Return a number, an axis or a distribution; refuse anything else."""
    if is_distribution(value):
        if not is_dataclass(value):
            raise InputError(
                f"{name}: expected a distribution that is a dataclass, got {shown(value)}"
            )
        return value
    array = within_bounds(name, value) if name in BOUNDS else finite_array(name, value)
    if np.ndim(value) == 0:
        return finite_number(name, float(array[0]))
    if np.unique(array).size < array.size:
        raise InputError(f"{name}: expected an axis of distinct values, got some value twice")
    array.flags.writeable = False
    return array


def _short(value: Any) -> str:
    """Return a short text for a number, an axis or a distribution."""
    if isinstance(value, np.ndarray):
        return f"{counted(value.size, 'value')}, {extent(value)}"
    return repr(value)


def _width(kind: str) -> int:
    """Return about how many bytes a value of a column takes."""
    return {"float32": 4, "outcome": 1, "unit": 1}.get(kind, 8)


def memory() -> float:
    """Return how many bytes of memory this process may use; 1 TiB if unknown."""
    limits: list[float] = []
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for file in ("memory.max", "memory/memory.limit_in_bytes"):  # in a container
        with suppress(OSError, ValueError):
            limits.append(float(Path("/sys/fs/cgroup", file).read_text()))
    return min(limits, default=2.0**40)


def _described(value: Any) -> Any:
    """Return a number, an axis or a distribution as JSON values, exact to the bit."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Distribution):
        return {type(value).__name__: asdict(value)}  # type: ignore[call-overload]
    return value
