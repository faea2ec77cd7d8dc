"""Bad input gets one line that names the argument, before any work: for every public callable.

``CALLS`` has a valid value for each argument of each of them; hypothesis puts something odd in the
place of one or two. Either that works, or it is refused by an InputError. A new callable or a new
argument that is not in the table fails a test here.
"""

import contextlib
import inspect
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import relulab as rl
from relulab import boundary, figures, statistics, tables, theory
from relulab.experiment import add_data_options, data_of
from relulab.sweeps.execution import run_sweeps

POINT = rl.TrainingSet.point(1, 3)
DATA = rl.TrainingSet([-1.0, 0.0, 1.0], [0.0, 0.0, 1.0])
NETWORK = rl.Networks(w=0.5, b=0.2, v=0.3, c=0.1)
SWEEP = rl.Sweep(
    data=DATA, w=[-0.5, 0.3], b=[0.1, -1], v=rl.Normal(0, 1), draws=2, learning_rate=[0.1, 3],
    max_steps=30,
)  # fmt: skip
RUNS = SWEEP.run(engine="numpy")[
    ["draw", "w0", "b0", "learning_rate", "loss", "excess_loss", "gradient_norm", "steps_taken",
     "death_step", "period", "outcome", "unit"]
]  # fmt: skip
MAP = RUNS[(RUNS["draw"] == 0) & (RUNS["learning_rate"] == 3)]
RATES = statistics.outcome_rates(RUNS, "learning_rate")
OPTIMA = statistics.optimum_rates(RUNS, "learning_rate")
SURVIVAL = statistics.survival(RUNS, "learning_rate")
TRAINED = rl.train(NETWORK, DATA, 0.1, max_steps=3, engine="numpy")
TRACE = rl.trace(NETWORK, POINT, 0.1, 5)
COUNTS = pd.DataFrame({"before": ["alive", "died"], "after": ["died", "died"], "count": [3, 5]})
SAMPLES = pd.DataFrame({"x": [0.0, 1, 2], "target": [1.0, 0, 3]})
CURVES = pd.DataFrame({"label": ["a", "a", "b"], "x": [0.0, 1, 2], "prediction": [1.0, 1, 2]})


class WithSample:
    """What looks like a distribution and is none."""

    def sample(self, rng, n):
        return np.zeros(n)


def nested(depth):
    value: Any = 1.0
    for _ in range(depth):
        value = [value]
    return value


# Made anew for each example, for a function may work in place.
ODD = {
    name: make
    for name, make in {
        "None": lambda: None,
        "NaN": lambda: np.nan,
        "inf": lambda: np.inf,
        "-inf": lambda: -np.inf,
        "-1": lambda: -1,
        "0": lambda: 0,
        "1": lambda: 1,
        "2.5": lambda: 2.5,
        "-0.0": lambda: -0.0,
        "10**400": lambda: 10**400,
        "-10**400": lambda: -(10**400),
        "10**5000": lambda: 10**5000,  # more digits than Python prints
        "2**62": lambda: 2**62,
        "1e308": lambda: 1e308,
        "-1e308": lambda: -1e308,
        "5e-324": lambda: 5e-324,
        "1j": lambda: 1j,
        "True": lambda: True,
        "False": lambda: False,
        "Fraction": lambda: Fraction(1, 3),
        "Decimal": lambda: Decimal("0.1"),
        "empty text": lambda: "",
        "text": lambda: "no such word",
        "text of a number": lambda: "1.5",
        "two lines": lambda: "two\nlines\r\nand \u2028 more",
        "long text": lambda: "long\n" * 10_000,
        "zero byte": lambda: "a\0b",
        "URL": lambda: "https://example.org/data.csv",
        "bytes": lambda: b"1.5",
        "no list": lambda: [],
        "list": lambda: [1.0, 2.0],
        "list with NaN": lambda: [1.0, np.nan],
        "list with None": lambda: [1.0, None],
        "list of texts": lambda: ["1.5", "two\nlines"],
        "list of bools": lambda: [True, False],
        "list of huge numbers": lambda: [10**400, 10**5000],
        "list of 1e308": lambda: [1e308, -1e308],
        "nested": lambda: [[1.0, 2.0], [3.0, 4.0]],
        "ragged": lambda: [[1.0], [2.0, 3.0]],
        "deeply nested": lambda: nested(100),
        "tuple": lambda: (1, "w", None),
        "set": lambda: {1.0, 2.0},
        "set of texts": lambda: {"w", "no such word"},
        "dict": lambda: {"w": 1.0},
        "range": lambda: range(3),
        "iterator": lambda: iter([1.0, 2.0]),
        "object": object,
        "type": lambda: float,
        "function": lambda: np.sin,
        "lambda": lambda: lambda *_: "two\nlines",
        "module": lambda: np,
        "ellipsis": lambda: ...,
        "slice": lambda: slice(3),
        "path": lambda: Path("no") / "such" / "folder.csv",
        "folder": lambda: Path("."),
        "0-d": lambda: np.array(1.5),
        "0-d text": lambda: np.array("text"),
        "1-d": lambda: np.array([0.5, 1.5]),
        "2-d": lambda: np.ones((2, 2)),
        "3-d": lambda: np.zeros((1, 2, 0)),
        "no array": lambda: np.array([]),
        "objects": lambda: np.array([1.0, "a", None], object),
        "object numbers": lambda: np.array([1, 2.5, Fraction(1, 3)], object),
        "bools": lambda: np.array([True, False]),
        "complex array": lambda: np.array([1 + 1j, 2]),
        "duration": lambda: np.timedelta64(1, "s"),
        "dates": lambda: np.array(["2020-01-01", "NaT"], "datetime64[D]"),
        "durations": lambda: np.array([1, 2], "timedelta64[s]"),
        "records": lambda: np.array([(1, 2.0)], [("a", int), ("b", float)]),
        "texts": lambda: np.array(["1", "2"]),
        "float32": lambda: np.float32(1.5),
        "float16": lambda: np.array([1, 6e4], np.float16),
        "long double": lambda: np.longdouble("1e4000"),
        "long doubles": lambda: np.array([1, "1e4000"], np.longdouble),
        "int8": lambda: np.int8(-100),
        "uint64": lambda: np.uint64(2**64 - 1),
        "numpy NaN": lambda: np.float64("nan"),
        "numpy bool": lambda: np.bool_(True),
        "numpy text": lambda: np.str_("text"),
        "complex": lambda: np.complex128(1 + 1j),
        "date": lambda: pd.Timestamp("2020-01-01"),
        "NaT": lambda: pd.NaT,
        "NA": lambda: pd.NA,
        "Series": lambda: pd.Series([0.5, 1.5], index=["a", "a"]),
        "Series of texts": lambda: pd.Series(["w", "b"]),
        "Series with NA": lambda: pd.Series([1, None], dtype="Int64"),
        "Categorical": lambda: pd.Categorical(["alive", None]),
        "Index": lambda: pd.Index([1.0, 2.0]),
        "no frame": pd.DataFrame,
        "frame": lambda: pd.DataFrame({"a": [1.0]}),
        "frame of a column twice": lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
        "frame of numbered columns": lambda: pd.DataFrame([[1, 2], [3, 4]]),
        "list of frames": lambda: [pd.DataFrame({"a": [1]}), 5],
        "distribution": lambda: rl.Normal(0, 1),
        "wide distribution": lambda: rl.Normal(0, 1e308),
        "constant distribution": lambda: rl.Normal(1, 0),
        "SGD": lambda: rl.SGD(momentum=0.5, weight_decay={"w": 0.1}, max_norm=0.1),
        "SGD of arrays": lambda: rl.SGD(momentum=[0.0, 0.9], weight_decay=[0.0, 1.0]),
        "SGD of draws": lambda: rl.SGD(momentum=rl.Normal(0, 1)),
        "Adam": rl.Adam,
        "dict of odd decays": lambda: {"w": "1", "q": 2.0},
        "distribution type": lambda: rl.Normal,
        "no distribution": WithSample,
        "networks": lambda: rl.Networks(w=[1, 2], b=0, v=1e308, c=-1e308),
        "diverged networks": lambda: rl.Networks.from_stack(np.full((4, 1), np.nan)),
        "samples": lambda: POINT,
        "huge samples": lambda: rl.TrainingSet([1e308, -1e308, 1e200], [1e308, -1e308, 1]),
        "tiny samples": lambda: rl.TrainingSet([0, 5e-324, 1e-320], [0, 1e308, -1e308]),
        "many huge samples": lambda: rl.TrainingSet(np.linspace(-1e200, 1e200, 20), [1] * 20),
        "scale": lambda: rl.Scale("x"),
        "sweep": lambda: SWEEP,
        "enumeration": lambda: rl.Outcome.DIVERGED,
    }.items()
}


@dataclass(frozen=True)
class Odd:
    """A value under the name by which a failing example tells it."""

    name: str
    make: Callable[[], Any] = field(repr=False)


def odd(**more: Callable[[], Any]) -> list[Odd]:
    """Return the odd values, with more that are odd for this argument."""
    return odd_of(ODD | more)


def odd_of(values: dict[str, Callable[[], Any]]) -> list[Odd]:
    return [Odd(name, make) for name, make in values.items()]


EVERY = odd()


def words(*more: str) -> list[Odd]:
    """Return odd values, and texts that are valid or nearly so."""
    return odd(**{word: partial(str, word) for word in more})


def without_much_work(low: int, high: int) -> list[Odd]:
    """Return odd values, but no whole number within bounds: valid, and a lot of work."""

    def is_much(value):
        return isinstance(value, (int, np.integer)) and low <= value <= high

    return [value for value in odd() if not is_much(value.make())]


# Columns that do not fit, made for the number of rows.
CELLS: dict[str, Callable[[int], Any]] = {
    "None": lambda n: [None] * n,
    "NaN": lambda n: [np.nan] * n,
    "inf": lambda n: [np.inf] * n,
    "inf and 1": lambda n: np.resize([np.inf, 1], n),
    "-inf and NaN": lambda n: np.resize([-np.inf, np.nan], n),
    "0": lambda n: [0] * n,
    "-1": lambda n: [-1] * n,
    "1e308": lambda n: np.resize([1e308, -1e308], n),
    "5e-324": lambda n: np.resize([5e-324, 1.0], n),
    "10**30": lambda n: pd.Series([10**30] * n, dtype=object),
    "2**62": lambda n: [2**62] * n,
    "bools": lambda n: np.resize([True, False], n),
    "complex": lambda n: [1j] * n,
    "texts": lambda n: np.resize(["text", "two\nlines"], n),
    "long texts": lambda n: ["long\n" * 1000] * n,
    "dates": lambda n: pd.date_range("2020-01-01", periods=n),
    "durations": lambda n: pd.to_timedelta(np.arange(n), unit="s"),
    "lists": lambda n: [[1.0]] * n,
    "dicts": lambda n: pd.Series([{}] * n, dtype=object),
    "mixed": lambda n: pd.Series(([1, "a", None, 2.5, pd.NA] * n)[:n], dtype=object),
    "Int64": lambda n: pd.array(([None, 3] * n)[:n], "Int64"),
    "categories": lambda n: pd.Categorical((["died", "no such word"] * n)[:n]),
    "words": lambda n: (["converged", "alive", "global"] * n)[:n],
    "fractions": lambda n: pd.Series([Fraction(1, 3)] * n, dtype=object),
    "float32": lambda n: np.ones(n, np.float32),
    "distinct": lambda n: np.arange(n, dtype=float),
}


def refilled_column(table: pd.DataFrame, column: str, cells: str) -> pd.DataFrame:
    spoiled = table.astype({column: object})
    spoiled[column] = pd.Series(CELLS[cells](len(table)), index=table.index)
    return spoiled


def misshapen(table: pd.DataFrame) -> list[Odd]:
    """Return tables of other rows and columns."""
    return odd_of(
        {
            "no rows": lambda: table.iloc[:0],
            "one row": lambda: table.iloc[:1],
            "rows twice": lambda: pd.concat([table, table]),
            "one index": lambda: table.set_axis([0] * len(table)),
            "numbered columns": lambda: table.set_axis(range(table.shape[1]), axis="columns"),
            "two levels of columns": lambda: pd.concat({"a": table}, axis="columns"),
            "all columns twice": lambda: pd.concat([table, table], axis="columns"),
            "in a list": lambda: [table, table.iloc[:0]],
            **{f"without {name}": partial(table.drop, columns=name) for name in table},
            **{
                f"{name} twice": partial(pd.concat, [table, table[[name]]], axis="columns")
                for name in table
            },
        }
    )


def refilled(table: pd.DataFrame) -> list[Odd]:
    """Return tables in which a column has other cells."""
    return odd_of(
        {
            f"{name} of {cells}": partial(refilled_column, table, name, cells)
            for name in table
            for cells in CELLS
        }
    )


def new_axes():
    return Figure().add_subplot()


def named_axes():
    ax = new_axes()
    ax.set_yticks([0, 1], ["died", "alive"])
    return ax


def removed_axes():
    ax = new_axes()
    ax.remove()
    return ax


AXES = odd(axes=new_axes, removed=removed_axes, figure=Figure)


@dataclass(frozen=True)
class Call:
    """A callable with valid arguments.

    Attributes
    ----------
    function : callable
    valid : dict
        A value for each argument.
    odd : dict
        Odd values of an argument, where it is not simply ``odd()``.
    named : dict
        What else names an argument in a message.
    allowed : tuple
        What may be raised beside InputError.
    """

    function: Callable[..., Any]
    valid: dict[str, Any] = field(default_factory=dict)
    odd: dict[str, list[Odd]] = field(default_factory=dict)
    named: dict[str, str] = field(default_factory=dict)
    allowed: tuple[type[Exception], ...] = ()


def tables_of(call: Call) -> list[str]:
    return [key for key, value in call.valid.items() if isinstance(value, pd.DataFrame)]


# Arguments of the same kind everywhere.
TABLE_COLUMNS = words(*RUNS, "fate", "optimum")
SOME_COLUMNS = odd(
    several=lambda: ["learning_rate", "unit"], twice=lambda: ["unit", "unit"], w0=lambda: "w0"
)
FEW_STEPS = without_much_work(1000, 2**62)
FREEZE = odd(
    c=lambda: ("c",), all=lambda: ["w", "b", "v", "c"], frame=lambda: pd.DataFrame({"w": [1]})
)
SUMMATION = words("direct", "sorted")
DTYPE = words("float32", "float16")
ENGINE = words("numpy", "numba")
OPTIONAL: dict[str, Any] = {"hidden_learning_rate": None, "output_learning_rate": None}

TRAINING = {
    "networks": NETWORK,
    "data": DATA,
    "learning_rate": 0.1,
    **OPTIONAL,
    "negative_slope": 0.1,
    "optimizer": rl.SGD(momentum=0.5),
    "freeze": (),
    "batch_size": None,
    "shuffle_seed": None,
    "summation": "auto",
    "dtype": "float64",
}
STOPPING = {"max_steps": 30, "gradient_tolerance": 1e-6, "divergence_loss": 1e30}
HOW = {"max_steps": FEW_STEPS, "freeze": FREEZE, "summation": SUMMATION, "dtype": DTYPE}
IN_SORTED = {"data": "summation"}  # many samples are summed from tables
# An optimizer's numbers are named as in its own call.
SETTINGS = "momentum|weight_decay|weight_decay_w|nesterov|max_norm|beta1|beta2|epsilon"
ELSE_NAMED = {**IN_SORTED, "optimizer": SETTINGS}


def swept(**arguments):
    """Make a sweep, what a manifest holds of it, and its runs."""
    sweep = rl.Sweep(**arguments)
    json.dumps(sweep.specification(), allow_nan=False)
    return sweep.run(engine="numpy")


def explored(**arguments):
    """Open the explorer, and close it."""
    figure = rl.explore(**arguments).figure
    plt.close(figure)
    figure.canvas.callbacks.process("close_event", None)


FILE = odd(
    csv=lambda: "a.csv", picture=lambda: Path("b.png"), hidden=lambda: ".svg", other=lambda: "c.gif"
)
PATHS = [value for value in odd() if value.name != "long text"]  # is told in full
# A type that is called with an array raises what it likes.
FUNCTIONS = [value for value in odd() if not isinstance(value.make(), type)]

CALLS = {
    "BestFit": Call(rl.BestFit, {"network": NETWORK, "loss": 0.5, "kind": "hinge"}),
    "LogUniform": Call(rl.LogUniform, {"low": 1, "high": 2}, named={"low": "high"}),
    "Networks": Call(rl.Networks, {"w": 1, "b": 0, "v": 1, "c": 0}),
    "Networks.from_stack": Call(rl.Networks.from_stack, {"stack": np.ones((4, 2))}),
    "Networks.gradients": Call(NETWORK.gradients, {"x": [0.0, 1.0], "target": [1.0, 2.0], "negative_slope": 0.5}),
    "Networks.predict": Call(NETWORK.predict, {"x": [0.0, 1.0], "negative_slope": 0.5}),
    "SGD": Call(
        rl.SGD, {"momentum": 0.5, "nesterov": False, "weight_decay": 0.1, "max_norm": 1.0}
    ),
    "Adam": Call(rl.Adam, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.1}),
    "Normal": Call(rl.Normal, {"mean": 0, "std": 1}),
    "Scale": Call(rl.Scale, {"label": "x", "mean": 0.0, "std": 1.0}),
    "Scale.from_user": Call(rl.Scale("x", 1, 1e-308).from_user, {"values": 1.0}),
    "Scale.to_user": Call(rl.Scale("x", 1, 1e308).to_user, {"values": 1.0}),
    "Sweep": Call(
        swept,
        {
            "data": DATA,
            **{name: 0.5 for name in "wbv"},
            "c": rl.Normal(0, 1),
            "learning_rate": 0.1,
            **OPTIONAL,
            "draws": 2,
            "seed": 0,
            "negative_slope": 0.1,
            "optimizer": rl.SGD(momentum=[0.0, 0.5]),
            "freeze": (),
            **STOPPING,
            "batch_size": None,
            "shuffle_seed": None,
            "summation": "auto",
            "dtype": "float64",
        },
        {"draws": without_much_work(1000, 2**63), **HOW},
        named={"data": "summation|data", "c": "draws", "optimizer": f"draws|{SETTINGS}"},
    ),
    "Sweep.parameters": Call(SWEEP.parameters, {"start": 0, "stop": 3}),
    "Sweep.run": Call(
        rl.Sweep(data=POINT, learning_rate=0.1).run,  # one run: no odd n_jobs starts workers
        {"n_jobs": 1, "shard_size": None, "engine": "numpy", "progress": False, "client": None},
        {"engine": ENGINE},
    ),
    "Sweep.train": Call(SWEEP.train, {"start": 0, "stop": 3, "engine": "numpy"}, {"engine": ENGINE}),
    "Sweep.zoom": Call(SWEEP.zoom, {"n": 3, "w": (0, 1)}),
    "explore": Call(
        explored,
        {"sweep": SWEEP, "x": "w0", "y": "v0", "n": 3, "show": False},
        {"x": words("c0", "v0", "learning_rate"), "y": words("b", "momentum", "beta1"), "n": without_much_work(30, 4000)},
        {"x": "y"},
    ),
    "Trained": Call(
        rl.Trained,
        {f.name: vars(TRAINED)[f.name] for f in fields(rl.Trained)},
    ),
    "TrainingSet": Call(
        rl.TrainingSet, {"x": [0.0, 1.0], "target": [1.0, 2.0], "x_scale": None, "target_scale": None}
    ),
    "TrainingSet.from_csv": Call(
        rl.TrainingSet.from_csv,
        {"path": "data.csv", "x": "size", "target": "price", "missing": "refuse", "standardize": False,
         "sep": ",", "decimal": ".", "thousands": None, "encoding": "utf-8"},
        {"path": PATHS, "missing": words("drop"), "x": words("price", "name"), "target": words("size", "name"),
         "sep": words(";", "\t", '"', "\n"), "decimal": words(",", ".."), "thousands": words(*",.' _"),
         "encoding": words("utf-16", "hex", "cp037")},
        named={"path": "CSV file", "encoding": "CSV file|x"},
    ),
    "TrainingSet.from_frame": Call(
        rl.TrainingSet.from_frame,
        {"frame": SAMPLES, "x": "x", "target": "target", "missing": "refuse", "standardize": False},
        {
            "missing": words("drop"),
            "x": words("x", "target"),
            "target": words("x"),
        },
        named={"frame": "x|target|missing"},
    ),
    "TrainingSet.from_function": Call(
        rl.TrainingSet.from_function,
        {"function": abs, "low": -1, "high": 1, "n_samples": 5, "noise": 0.1, "seed": 0},
        {"n_samples": without_much_work(10**6, 10**9), "function": FUNCTIONS},
        named={"low": "high"},
    ),
    "TrainingSet.point": Call(rl.TrainingSet.point, {"x": 1, "target": 3}),
    "TrainingSet.teacher": Call(
        rl.TrainingSet.teacher,
        {"w": 1, "b": 0, "v": 1, "c": 0, "low": -1, "high": 1, "n_samples": 5, "noise": 0, "seed": 0},
        {"n_samples": without_much_work(10**6, 10**9)},
        named={**dict.fromkeys("wbvc", "function"), "low": "high|function", "high": "function"},
    ),
    "Uniform": Call(rl.Uniform, {"low": 0, "high": 1}, named={"low": "high"}),
    "best_fit": Call(rl.best_fit, {"data": DATA, "negative_slope": 0.1}),
    "geomspace": Call(rl.geomspace, {"start": 0.1, "stop": 2.0, "num": 5}),
    "broken_stick": Call(
        rl.broken_stick,
        {"data": DATA, "bootstrap": 100, "seed": 0},
        {"bootstrap": without_much_work(100, 10**6)},
    ),
    **{f"{name}": Call(getattr(rl, name)) for name in rl.SCHEMES},
    "relabel": Call(
        rl.relabel,
        {"runs": RUNS, "gradient_tolerance": 1e-3, "data": DATA, "freeze": (), "batch_size": 1},
        {"freeze": FREEZE},
        named={"runs": "gradient_tolerance"},
    ),
    "scheme": Call(rl.scheme, {"name": "he_normal"}, named={"name": "scheme"}),
    "sharpness": Call(
        rl.sharpness,
        {"networks": NETWORK, "data": DATA, "freeze": (), "side": "smaller", "hinge_tolerance": 1e-6,
         "negative_slope": 0.1, "weight_decay": {"w": 0.1}},
        {"freeze": FREEZE, "side": words("smaller", "active", "inactive")},
    ),
    "trace": Call(rl.trace, {**TRAINING, "n_steps": 3}, {**HOW, "n_steps": without_much_work(1000, 10**8)}, named=ELSE_NAMED),
    # Numba is tried by Sweep.train: with an optimizer it compiles for long.
    "train": Call(rl.train, {**TRAINING, **STOPPING, "engine": "numpy"}, {**HOW, "engine": words("numpy")}, named=ELSE_NAMED),
}  # fmt: skip

# A folder with the runs of a sweep and a record, to be read.
STORED = "stored"
COLUMNS = odd(
    some=lambda: ["outcome"], sweep=lambda: ("sweep",), twice=lambda: ["loss", "loss"],
    none=lambda: ["loss", "no such word"],
)  # fmt: skip
SWEEPS = words("a", "*", "[", "../sweep=a", "b")


def reading(method, /, **arguments):
    result = getattr(rl.Results(STORED), method)(**arguments)
    return result if isinstance(result, pd.DataFrame) else list(result)


CALLS |= {
    "Results.data": Call(
        lambda sweep: rl.Results(STORED).data(sweep), {"sweep": None}, {"sweep": SWEEPS},
    ),
    "Results": Call(rl.Results, {"folder": STORED}),
    "Results.frames": Call(
        partial(reading, "frames"), {"columns": None, "sweep": None},
        {"columns": COLUMNS, "sweep": SWEEPS}, named={"sweep": "sweep|results"},
    ),
    "Results.frames_together": Call(
        partial(reading, "frames_together"), {"sweeps": ["a"], "columns": None},
        {"columns": COLUMNS, "sweeps": odd(names=lambda: ["a", "b"], text=lambda: "a")},
        named={"sweeps": "sweeps|sweep|results"},
    ),
    "Results.load": Call(
        partial(reading, "load"), {"columns": None, "sweep": None},
        {"columns": COLUMNS, "sweep": SWEEPS}, named={"sweep": "sweep|results"},
    ),
    "Results.load_record": Call(
        partial(reading, "load_record"), {"name": "trace"}, {"name": words("trace", "../x")},
        named={"name": "record"},
    ),
}  # fmt: skip

BY = {"by": SOME_COLUMNS, "column": TABLE_COLUMNS}
BLAMED = {"runs": "by|column|frame", "column": "columns"}

CALLS |= {
    "statistics.cumulative": Call(
        statistics.cumulative,
        {"runs": RUNS, "value": "loss", "by": ["unit"]},
        {"by": SOME_COLUMNS, "value": words(*RUNS, "group", "count", "fraction")},
        named=BLAMED | {"value": "columns|column|by"},
    ),
    "statistics.in_one_pass": Call(
        lambda runs, table: statistics.in_one_pass(runs, statistics.outcome_rates, table),
        {"runs": RUNS, "table": partial(statistics.survival, by="unit")},
        named={"runs": BLAMED["runs"], "table": "tables"},
        allowed=(TypeError,),  # of a function that takes no runs
    ),
    "statistics.optimum": Call(
        statistics.optimum, {"runs": RUNS, "tolerance": 1e-6}
    ),
    "statistics.optimum_rates": Call(
        statistics.optimum_rates,
        {"runs": RUNS, "by": "learning_rate", "tolerance": 1e-6, "confidence": 0.95}, BY, BLAMED,
    ),
    "statistics.outcome_rates": Call(
        statistics.outcome_rates, {"runs": RUNS, "by": "learning_rate", "confidence": 0.95}, BY, BLAMED
    ),
    "statistics.rates": Call(
        statistics.rates,
        {"runs": RUNS, "column": "unit", "by": "learning_rate", "confidence": 0.95}, BY, BLAMED,
    ),
    "statistics.steps_to_converge": Call(
        statistics.steps_to_converge,
        {"runs": RUNS, "by": "learning_rate", "quantiles": (0.1, 0.5)}, BY, BLAMED,
    ),
    "statistics.summary": Call(
        statistics.summary, {"runs": RUNS, "by": "learning_rate", "tolerance": 1e-6}, BY, BLAMED
    ),
    "statistics.survival": Call(
        statistics.survival, {"runs": RUNS, "by": "learning_rate", "confidence": 0.95}, BY, BLAMED
    ),
    "statistics.wilson_interval": Call(
        statistics.wilson_interval, {"count": 1, "n": 2, "confidence": 0.95},
        {"confidence": odd(almost=lambda: 1 - 2**-53, hardly=lambda: 5e-324)},
    ),
    "tables.markdown": Call(tables.markdown, {"table": RUNS}),
    "tables.text": Call(tables.text, {"table": RUNS}),
    "tables.write": Call(
        tables.write, {"table": RATES, "file": "table.md"}, {"file": FILE},
        allowed=(OSError,),
    ),
}  # fmt: skip

FIXED = rl.Sweep(data=DATA, w=0.5, b=0.1, v=0.3, learning_rate=0.1, max_steps=5)
PAIRS = pd.DataFrame(
    {"scale": [0.1, 0.01, 0.001], "n_axes": 2, "n_pairs": 1000, "n_different": [90, 10, 1]}
)
POINTS = odd(
    others=lambda: {"b": [0.1, 0.2]}, empty=dict, sizes=lambda: {"w": [1, 2], "v": [1, 2, 3]},
    frame=lambda: pd.DataFrame({"w": [0.1, np.nan]}), rates=lambda: {"learning_rate": [-1, 1]},
)  # fmt: skip
BOXES = odd(
    reverse=lambda: {"w": (1, 0)}, wide=lambda: {"w": (-1e308, 1e308)}, one=lambda: {"w": (1,)},
    rate=lambda: {"learning_rate": (-1, 1)},
    setting=lambda: {"max_steps": (1, 2)},
)  # fmt: skip
FATE = odd(
    constant=lambda: lambda runs: 1, short=lambda: lambda runs: [1],
    unit=lambda: lambda runs: runs["unit"], missing=lambda: lambda runs: runs["period"],
    column=lambda: lambda runs: runs["no such column"],
)  # fmt: skip


def numbered(runs):
    """Return a fate of its own for each run."""
    return np.arange(len(runs))


BASINS = {"runs": MAP, "x": "w0", "y": "b0"}

CALLS |= {
    "boundary.basin_entropy": Call(
        boundary.basin_entropy, {**BASINS, "box_size": 2, "fate": None},
        {"x": TABLE_COLUMNS, "y": TABLE_COLUMNS, "fate": FATE},
        named=dict.fromkeys(BASINS, "runs|x|y|box_size"),
    ),
    "boundary.bisect": Call(
        boundary.bisect,
        {"sweep": FIXED, "a": {"w": 0.5, "v": [0.1, 0.2]}, "b": {"w": -0.3, "v": 1.0}, "fate": None},
        {"a": POINTS, "b": POINTS, "fate": FATE}, named={"a": "a|b", "b": "a|b", "sweep": "w|v"},
    ),
    "boundary.dimension": Call(
        boundary.dimension, {"pairs": PAIRS, "n_bootstrap": 20, "seed": 0, "confidence": 0.95},
        {"n_bootstrap": without_much_work(100, 2**62)},
    ),
    "boundary.distance_to_other_fate": Call(
        boundary.distance_to_other_fate,
        {"sweep": FIXED, "starts": {"w": [0.5, 0.2], "v": 1.0}, "reach": 2.0, "n_directions": 3, "seed": 0, "fate": None},
        {"starts": POINTS, "n_directions": without_much_work(10, 10_000), "fate": FATE},
    ),
    "boundary.smooth_entropy": Call(
        boundary.smooth_entropy, {"box_size": 3}, {"box_size": without_much_work(10, 1000)}
    ),
    "boundary.uncertain_pairs": Call(
        boundary.uncertain_pairs,
        {"sweep": FIXED, "box": {"w": (-1, 1), "v": (-1, 1)}, "scales": [0.1, 0.01], "n_pairs": 5, "seed": 0, "fate": None},
        {"box": BOXES, "n_pairs": without_much_work(100, 10**9), "fate": FATE},
        named={"box": "scales"},
    ),
    "boundary.wada": Call(
        boundary.wada, {**BASINS, "radii": (0, 1), "fate": lambda: numbered},
        {"x": TABLE_COLUMNS, "y": TABLE_COLUMNS, "fate": FATE},
        named=dict.fromkeys([*BASINS, "fate"], "runs|x|y|fate"),
    ),
    "Sweep.train_at": Call(
        FIXED.train_at, {"points": {"w": [0.1, 0.2], "v": 1.0}, "engine": "numpy"},
        {"points": POINTS, "engine": ENGINE}, named={"points": "w|v|learning_rate|points"},
    ),
}  # fmt: skip

START = {"w": 1.0, "b": 0.5, "v": -1.0, "c": 0.0}
SPREADS = {"std_w": 1.0, "std_b": 0.5, "std_v": 2.0, "c": 0.0}

OF_THEORY = {"freeze": FREEZE, "side": words("left", "right")}

CALLS |= {
    f"theory.{name}": Call(
        getattr(theory, name),
        valid,
        {key: values for key, values in OF_THEORY.items() if key in valid},
    )
    for name, valid in {
        "adam_stability_limit": {"learning_rate": 0.1, "beta1": 0.9},
        "balance": {"w": 1, "b": 2, "v": 3},
        "balanced_start": {"x": 1, "target": 3, "y": 0.5},
        "balanced_step": {"y": 0.5, "k": 1.2},
        "balanced_two_cycle": {"k": 1.2},
        "born_dead_probability": {"w": rl.Normal(0, 1), "b": 0.5, "x_min": -1, "x_max": 1},
        "cannot_diverge": {**START, "x": 1, "target": 3, "learning_rate": 0.1},
        "collapse_residual": {"x": 1, "weight_decay": 0.1},
        "dead_unit_c": {
            "c0": 0,
            "target": 3,
            "learning_rate": 0.1,
            "step": 2,
            "momentum": 0.5,
            "velocity": 1,
            "nesterov": True,
            "weight_decay": 0.1,
        },
        "dead_unit_c_per_example": {"targets": [1, 2], "learning_rate": 0.5},
        "dead_unit_loss": {"targets": [1, 2], "weight_decay": 0.1},
        "dead_unit_steps": {"c0": 0, "target": 3, "learning_rate": 0.1, "tolerance": 1e-6},
        "death_at_first_step_probability": {"x": 1, "target": 3, "learning_rate": 0.1, **SPREADS},
        "decayed_minimum": {
            "x": 1,
            "target": 3,
            "weight_decay": {"w": 0.1, "b": 0.2, "v": 0.1},
            "c": 0.5,
        },
        "descent_potential": {**START, "x": 1, "target": 3},
        "dies_in_the_limit": {"networks": NETWORK, "data": DATA, "freeze": ()},
        "dies_in_one_step": {
            **START,
            "x": 1,
            "target": 3,
            "learning_rate": 0.1,
            "momentum": 0.5,
            "velocity": 1,
            "nesterov": False,
        },
        "dies_under_gradient_flow": {**START, "x": 1, "target": 3, "freeze": ()},
        "flow_sharpness": {**START, "x": 1, "target": 3, "freeze": ()},
        "frozen_c_critical_rate": {**START, "x": 1, "target": 3, "linear": False},
        "frozen_c_edge_error": {"step": 100, "balanced": True},
        "frozen_c_flow_time": {**START, "x": 1, "target": 3, "prediction": 2},
        "gradient_flow_invariants": {**START, "x": 1},
        "interpolation_sharpness": {"w": 1, "b": 2, "v": 3, "x": 1},
        "largest_stable_rate": {"x": 1, "target": 3, "c": 0.0, "c_trains": True},
        "sharpness_lower_bound": {"networks": NETWORK, "data": DATA, "freeze": ()},
        "side_weight": {"hinge": 0.5, "data": DATA, "side": "right"},
        "small_rate_death_probability": {"x": 1, "target": 3, **SPREADS, "freeze": ()},
        "small_rate_wake_probability": {
            "x": 1,
            "target": 3,
            "negative_slope": 0.1,
            **SPREADS,
            "freeze": (),
        },
        "stability_limit": {"learning_rate": 0.1, "momentum": 0.9, "nesterov": False},
        "steps_to_wake": {
            "pre_activation": -1,
            "velocity": -1,
            "learning_rate": 0.1,
            "momentum": 0.9,
            "nesterov": False,
        },
        "wakes_under_gradient_flow": {
            **START,
            "x": 1,
            "target": 3,
            "negative_slope": 0.1,
            "freeze": (),
        },
    }.items()
}


def arguments_of(function: Callable[..., Any]) -> set[str]:
    names = {"files": "file", "ranges": "w", "tables": "table"}  # of which there may be several
    parameters = inspect.signature(function).parameters
    return {names.get(name, name) for name in parameters} - {"self"}


def drawing(name: str, valid: dict[str, Any], **more: list[Odd]) -> Call:
    """Return a figure's call, in which every text is a column unless said otherwise."""
    columns = [
        column for value in valid.values() if isinstance(value, pd.DataFrame) for column in value
    ]
    default = words(*columns, "fate", "unit", "optimum")
    odd_values = {key: default for key, value in valid.items() if isinstance(value, str)}
    function = getattr(figures, name)
    given = valid if "ax" in valid else {**valid, "ax": None}
    common = {key: value for key, value in LOOK.items() if key in arguments_of(function)}
    given = common | given
    # A table may be refused because of an argument that does not fit it, or the other way round.
    argument_names = "|".join([*valid, *common])
    return Call(
        function, given, {**odd_values, "ax": AXES, **LOOKS, **more},
        named=dict.fromkeys(given, argument_names),
    )  # fmt: skip


# What all figures take.
LOOK: dict[str, Any] = {"width": None, "colors": None, "legend": True}
LOOKS = {
    "width": words("single", "double", "triple"),
    "colors": odd(
        map=lambda: "magma", no_map=lambda: "a", few=lambda: [], some=lambda: ["red"] * 20,
        wrong=lambda: ["red", "a"], named=lambda: {"died": "red"}, badly=lambda: {"died": 3},
    ),
}  # fmt: skip


UNPRINTABLE = ("10**5000", "list of huge numbers")
LOG = words("x", "yx", "z\n")
LABELS = odd(one=lambda: ["first"], texts=lambda: ("two\nlines",))
MARKED = {"ax": new_axes}

CALLS |= {
    f"figures.{name}": call
    for name, call in {
        "bars": drawing("bars", {"table": RATES, "label": "outcome", "value": "fraction"}),
        "cumulative": drawing(
            "cumulative",
            {"table": statistics.cumulative(RUNS, "loss", "unit"), "value": "loss", "by": "unit"},
        ),
        "dots": drawing(
            "dots",
            {"table": RATES, "label": "unit", "value": "fraction", "by": "learning_rate", "log": False, "low": "low", "high": "high", "amounts": True},
        ),
        "Film": Call(
            figures.Film, {"frames": lambda: [new_axes()], "seconds": 0.5, "pause": 1},
            {"seconds": odd(), "pause": odd()},
        ),
        "fate_bars": drawing("fate_bars", {"rates": RATES, "label": "learning_rate"}),
        "fate_label": Call(figures.fate_label, {"outcome": "converged", "unit": "died"}),
        "fit_film": Call(
            figures.fit_film,
            {"trace": TRACE, "data": POINT, "labels": None, "title": "a", "negative_slope": 0.0, "seconds": 1, "pause": 1},
            {"labels": LABELS, "title": odd()}, named={"trace": "trace|labels"},
        ),
        "fit_steps": drawing(
            "fit_steps",
            {"trace": TRACE, "data": POINT, "steps": [0, 3], "negative_slope": 0.0},
        ),
        "fits": drawing("fits", {"samples": SAMPLES, "curves": CURVES, "best": "a"}),
        "intervals": drawing(
            "intervals",
            {"table": RATES, "x": "learning_rate", "y": "fraction", "by": "fate", "log": "x", "low": "low", "high": "high"}, log=LOG,
        ),
        "legend_of": Call(figures.legend_of, {"ax": new_axes}, {"ax": AXES}),
        "lines": drawing(
            "lines", {"table": RUNS, "x": "learning_rate", "y": "loss", "by": "draw", "log": "xy"},
            log=LOG,
        ),
        "loss_curves": drawing(
            "loss_curves",
            {"trace": TRACE, "labels": None, "by": None, "colors": None, "legend": True},
            labels=LABELS, colors=LABELS,
        ),
        "mark_curve": drawing(
            "mark_curve", {**MARKED, "x": [1, 2], "y": [1, 2], "text": "a"}, text=odd()
        ),
        "mark_level": drawing("mark_level", {**MARKED, "y": 0.5, "text": "a"}, text=odd()),
        "mark_position": drawing("mark_position", {**MARKED, "x": 0.5, "text": "a"}, text=odd()),
        "mark_region": drawing(
            "mark_region",
            {**MARKED, "x": [0, 1], "y": [0, 1], "inside": [[True, False], [True, True]], "text": "a"},
            text=odd(),
        ),
        "mark_fraction": drawing(
            "mark_fraction",
            {"ax": named_axes, "row": "died", "fraction": 0.5, "text": "a"},
            row=[value for value in odd() if value.name not in UNPRINTABLE], text=odd(),
        ),
        "optimum_bars": drawing("optimum_bars", {"rates": OPTIMA, "label": "learning_rate"}),
        "optimum_fractions": drawing("optimum_fractions", {"rates": OPTIMA, "x": "learning_rate"}),
        "outcome_map": drawing("outcome_map", {"runs": MAP, "x": "w0", "y": "b0"}),
        "outcome_fractions": drawing("outcome_fractions", {"rates": RATES, "x": "learning_rate"}),
        "outer_labels": Call(
            lambda axes: figures.outer_labels(axes), {"axes": lambda: [new_axes()]},
            {"axes": odd(removed=lambda: [removed_axes()])},
        ),
        "panels": Call(
            figures.panels, {"n": 1, "n_columns": 1, "width": "single"},
            {**dict.fromkeys(["n", "n_columns"], without_much_work(5, 100)), "width": LOOKS["width"]},
        ),
        "parameter_curves": drawing("parameter_curves", {"trace": TRACE}),
        "points": drawing(
            "points", {"table": RUNS, "x": "w0", "y": "loss", "by": "draw", "log": ""}, log=LOG
        ),
        "save": Call(
            lambda ax, file: figures.save(ax, file),
            {"ax": lambda: figures.panels(1)[0], "file": Path("a.png")}, {"ax": AXES, "file": FILE},
            allowed=(OSError,),
        ),
        "save_film": Call(
            figures.save_film,
            {"film": lambda: figures.Film([new_axes()]), "file": Path("c.gif")},
            {"film": odd(no_axes=lambda: figures.Film([1]), removed=lambda: figures.Film([removed_axes()])), "file": FILE},
            named={"film": "film|frames|ax"}, allowed=(OSError,),
        ),
        "show_runs": Call(figures.show_runs, {"ax": new_axes, "n": 1000}, {"ax": AXES}),
        "speed_map": drawing("speed_map", {"runs": MAP, "x": "w0", "y": "b0"}),
        "value_map": drawing(
            "value_map", {"table": MAP, "x": "w0", "y": "b0", "value": "loss", "log": False}
        ),
        "steps_map": drawing(
            "steps_map", {"runs": MAP, "x": "w0", "y": "b0", "limits": (1, 100)},
            limits=odd(reverse=lambda: (100, 1)),
        ),
        "style": Call(figures.style),
        "survival": drawing("survival", {"table": SURVIVAL, "by": "learning_rate"}),
        "trajectories": drawing(
            "trajectories",
            {"trace": TRACE, "x": "w", "y": "loss", "labels": None, "by": None, "colors": None, "legend": True},
            labels=LABELS, colors=LABELS
        ),
        "transitions": drawing("transitions", {"counts": COUNTS}),
    }.items()
}  # fmt: skip

# What is not in the table, and why.
ELSEWHERE = {
    "InputError": "is what all others raise",
    "Experiment": "is made by a script",
    "boundary.BasinEntropy": "is what basin_entropy returns",
    "boundary.Dimension": "is what dimension returns",
    "BrokenStick": "is what broken_stick returns",
    "Report": "is the type of what a report yields",
    "Scheme": "is the type of a scheme",
    "Experiment.folder": "is called by the command line",
    "main": "is the command line, below",
    **{
        f"Results.{name}": "is called by relulab itself"
        for name in vars(rl.Results)
        if f"Results.{name}" not in CALLS
    },
    "Networks.stack": "takes what numpy.dtype takes",
    "Outcome": "an enumeration, whose values Python checks",
    "Unit": "an enumeration, whose values Python checks",
    **{f"{law}.sample": "is called by Sweep" for law in ("LogUniform", "Normal", "Uniform")},
}


def public_callables() -> dict[str, Any]:
    """Return all public functions and classes, and the methods that are given arguments."""
    found = {name: value for name in rl.__all__ if callable(value := getattr(rl, name))}
    for module in (boundary, figures, statistics, tables, theory):
        prefix = module.__name__.split(".")[-1]
        found |= {
            f"{prefix}.{name}": getattr(module, name)
            for name in module.__all__
            if callable(getattr(module, name)) and not name.startswith("_")
        }
    for owner, kind in list(found.items()):
        if inspect.isclass(kind) and kind.__module__.startswith("relulab."):
            found |= {
                f"{owner}.{name}": getattr(kind, name)
                for name in vars(kind)
                if not name.startswith("_") and takes_arguments(getattr(kind, name))
            }
    return found


def takes_arguments(method: Any) -> bool:
    return (inspect.isfunction(method) or inspect.ismethod(method)) and bool(arguments_of(method))


PUBLIC = public_callables()


@pytest.mark.parametrize("optimizer", [rl.SGD, rl.Adam])
def test_no_learning_rate_is_taken_for_a_momentum(optimizer):
    with pytest.raises(TypeError):
        optimizer(0.01)


def test_the_table_has_every_public_callable():
    assert set(CALLS) <= set(PUBLIC)
    assert not set(CALLS) & set(ELSEWHERE)
    assert not set(PUBLIC) - set(CALLS) - set(ELSEWHERE)


@pytest.mark.parametrize("name", CALLS)
def test_the_table_has_every_argument(name):
    assert set(CALLS[name].valid) == arguments_of(PUBLIC[name])


def made(value: Any) -> Any:
    """Return a valid value; a table or an Axes anew, as the function may change it."""
    if isinstance(value, pd.DataFrame):
        return value.copy()
    return value() if inspect.isfunction(value) else value


def make_files():
    Path("data.csv").write_text("size,price,name\n1,2,a\n3,4,b\n")
    run_sweeps(
        {"a": SWEEP}, rl.Results(STORED), engine="numpy", progress=False,
        records={"trace": lambda: TRACE},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the working directory, with files to be read."""
    with contextlib.chdir(tmp_path_factory.mktemp("work")):
        make_files()
        yield Path.cwd()


SEARCH = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"data.csv", STORED}


def clean(folder: Path) -> None:
    for name in files_in(folder):
        (folder / name).unlink()


@pytest.mark.parametrize("name", CALLS)
def test_valid_arguments_are_valid(name, folder):
    call = CALLS[name]
    call.function(**{key: made(value) for key, value in call.valid.items()})
    plt.close("all")
    clean(folder)


# What a user should be told: rows without a value, dates, a letter that no font has.
pytestmark = pytest.mark.filterwarnings("ignore:.*(dropped|counted in days|Glyph)")

NAMES = [name for name, call in CALLS.items() if call.valid]
OTHERS = [name for name in NAMES if not name.startswith("figures.")]
WITH_TABLES = [name for name in OTHERS if tables_of(CALLS[name])]


@pytest.mark.parametrize("name", OTHERS)
def test_every_odd_value_in_the_place_of_an_argument(name, folder):
    call = CALLS[name]
    for key, valid in call.valid.items():
        shapes = misshapen(valid) if isinstance(valid, pd.DataFrame) else []
        for value in [*call.odd.get(key, EVERY), *shapes]:
            assert_works_or_is_refused(call, folder, {key: value})


@pytest.mark.parametrize("name", WITH_TABLES)
@SEARCH
@given(data=st.data())
def test_tables_of_odd_cells_work_or_are_refused_in_one_line(name, folder, data):
    call = CALLS[name]
    key = data.draw(st.sampled_from(tables_of(call)))
    value = data.draw(st.sampled_from(refilled(call.valid[key])))
    assert_works_or_is_refused(call, folder, {key: value})


@pytest.mark.parametrize("name", NAMES)
@SEARCH
@given(data=st.data())
def test_odd_arguments_work_or_are_refused_in_one_line(name, folder, data):
    assert_works_or_is_refused(CALLS[name], folder, data.draw(odd_arguments(CALLS[name])))


@st.composite
def odd_arguments(draw: st.DrawFn, call: Call) -> dict[str, Odd]:
    """Draw what is odd in the place of one or two arguments."""
    numbers = st.one_of(st.floats(), st.integers(-3, 3), st.text(max_size=5))
    rest = numbers.map(lambda value: Odd(repr(value), lambda: value))
    keys = st.lists(st.sampled_from(sorted(call.valid)), min_size=1, max_size=2, unique=True)
    drawn = {}
    for key in draw(keys):
        values = st.sampled_from(call.odd.get(key, EVERY))
        valid = call.valid[key]
        tables = [misshapen(valid), refilled(valid)] if key in tables_of(call) else []
        drawn[key] = draw(st.one_of(values, values, rest, *map(st.sampled_from, tables)))
    return drawn


def assert_works_or_is_refused(call: Call, folder: Path, wrong: dict[str, Odd]) -> None:
    arguments = {key: made(value) for key, value in call.valid.items()}
    arguments |= {key: value.make() for key, value in wrong.items()}
    try:
        call.function(**arguments)
    except rl.InputError as error:
        assert_says(str(error), "|".join(call.named.get(key, key) + f"|{key}" for key in wrong))
        assert not files_in(folder)
    except call.allowed:
        pass
    finally:
        plt.close("all")
        clean(folder)


def assert_says(message: str, names: str) -> None:
    assert len(message.splitlines()) == 1
    assert len(message) < 1000
    assert re.search(rf"\b({names})\b", message), f"none of {names} in: {message}"
    assert "expected" in message


# What takes two arguments or one cell of many to be found, and was.
FOUND = {
    "y: expected another column than x": lambda: figures.outcome_map(MAP, "w0", "w0"),
    "rates: expected another column": lambda: figures.fate_bars(RATES, "outcome"),
    "summation: expected one of": lambda: rl.train(
        NETWORK, DATA, 0.1, batch_size=1, summation=pd.Series(["auto"])
    ),
    "table: expected alive, born_dead, died": lambda: figures.points(
        RUNS.assign(unit="asleep"), "w0", "loss", "fate"
    ),
    "rates: expected numbers from 0 to 1": lambda: figures.fate_bars(
        RATES.assign(fraction=2.0), "learning_rate"
    ),
    "runs: expected whole numbers": lambda: statistics.survival(RUNS.assign(death_step=0.5)),
    "n_steps: expected no more": lambda: rl.trace(NETWORK, POINT, 0.1, 2**31),
    "start, stop: expected no more": lambda: rl.Sweep(
        data=POINT, learning_rate=rl.Uniform(0, 1), draws=10**12
    ).parameters(0, 10**12),
    "w: expected values within the range of float32": lambda: rl.Sweep(
        data=POINT, learning_rate=0.1, w=1e300, dtype="float32"
    ),
    "data: expected values within the range of float32": lambda: rl.Sweep(
        data=rl.TrainingSet.point(1e300, 1), learning_rate=0.1, dtype="float32"
    ),
}


@pytest.mark.parametrize("start", FOUND)
def test_what_was_found_is_refused(start):
    with pytest.raises(rl.InputError, match=f"^{start}"):
        FOUND[start]()


def test_what_was_found_is_valid():
    sweep = partial(rl.Sweep, data=POINT)
    assert sweep(learning_rate=0.1, freeze=pd.Series(["w"])).freeze == ("w",)
    assert len(sweep(learning_rate=pd.Series([0.1, 0.2]))) == 2
    nullable = RUNS.astype({"excess_loss": "Float64", "outcome": "string", "unit": "string"})
    assert list(statistics.optimum(nullable)) == list(statistics.optimum(RUNS))
    statistics.cumulative(RUNS, "death_step", "unit")  # some of which are missing
    plt.close("all")


# The command line


def tiny(folder: Path) -> rl.Experiment:
    """Return an experiment of four runs, or of two on a user's file."""

    def sweeps(options):
        return {
            "a": rl.Sweep(
                data=data_of(options, lambda: DATA), w=rl.Normal(0, 1), draws=2, b=0.5, v=0.5,
                learning_rate=[0.1, 3], max_steps=20,
            )
        }  # fmt: skip

    return rl.Experiment(
        file=str(folder / "experiments" / "tiny.py"),
        question="How odd can a command line be?",
        report=lambda results: [("runs", results.load())],
        sweeps=sweeps,
        options=add_data_options,
    )


# No operating system hands a zero byte over, so none is here.
NUMBERS = ["1", "3", "0", "-1", "2.5", "1e3", "", " ", "two\nlines", "nan", "9" * 30, "9" * 5000]
WORDS = ["", "no such word", "two\nlines", "*", "../up", "-", "--"]
OPTIONS: dict[str, list[list[str]]] = {
    "--figures": [[]],
    "--quick": [[]],
    "--restart": [[]],
    "--dry-run": [[]],
    "--help": [[]],
    "--format": [["png"], ["svg", "svg"], ["gif"], []],
    "--tables": [["md"], ["csv", "md"], ["xlsx"], [""]],
    "--by": [["learning_rate"], ["sweep"], ["w0"], ["learning_rate", "learning_rate"], ["run"],
             ["draw"], ["outcome"], ["learning_rate", "no such column"], [],
             *([word] for word in WORDS)],
    "--jobs": [[number] for number in NUMBERS],
    "--draws": [[number] for number in NUMBERS],
    "--seed": [[number] for number in NUMBERS],
    "--max-steps": [[number] for number in NUMBERS],
    "--engine": [["numpy"], ["gpu"], ["NumPy"], *([word] for word in WORDS)],
    "--results": [[name] for name in (
        "new", "old", "file", "file/below", "deep/er/folder", "", ".", " ", "a\nb", "n\u00e4me",
        "*[a]?{}%s", "x" * 300, "x/" * 3000, "-", "--quick", "sweep=a",
    )],
    "--csv": [["data.csv"], ["no.csv"], ["."], [""], ["https://example.org/data.csv"], ["file"]],
    "--x": [["size"], ["name"], *([word] for word in WORDS)],
    "--target": [["price"], ["size"], *([word] for word in WORDS)],
    "--missing": [["drop"], ["keep"], [""]],
    "--sep": [[";"], [","], ["\\t"], ["\t"], *([word] for word in WORDS)],
    "--decimal": [[","], ["."], *([word] for word in WORDS)],
    "--thousands": [[","], ["."], ["'"], [" "], *([word] for word in WORDS)],
    "--encoding": [["utf-16"], ["latin-1"], ["hex"], *([word] for word in WORDS)],
    "--scheduler": [[""], [" "], ["no address"], ["127.0.0.1"], ["http://127.0.0.1:1"], ["tls://127.0.0.1:1"]],
    "--no-such-option": [[], ["1"]],
    "-q": [[]],
    "": [[], ["two words"]],
}  # fmt: skip

CSV = ["--csv", "data.csv", "--x", "size", "--target", "price"]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    names = draw(st.lists(st.sampled_from(sorted(OPTIONS)), min_size=1, max_size=3))
    line = ["--results", draw(st.sampled_from(["new", "old"]))]
    line += draw(st.sampled_from([[], CSV, ["--figures"]]))
    for name in names:
        line += [name, *draw(st.sampled_from(OPTIONS[name]))]
    return line


def run_main(experiment: rl.Experiment, arguments: list[str]) -> tuple[Any, str, str]:
    """Return the exit status, and what a terminal is told."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", e) for e in ("strict", "backslashreplace"))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = rl.main(experiment, arguments)
        except SystemExit as end:
            status = end.code
    texts = [(stream.seek(0), stream.read())[1] for stream in (out, err)]
    return status, *texts


def contents(folder: Path) -> dict[Path, bytes | None]:
    return {
        path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Return the working directory, with results, a file, and data."""
    monkeypatch.chdir(tmp_path)
    make_files()
    Path("file").write_text("no folder")
    assert run_main(tiny(tmp_path), ["--results", "old", "--engine", "numpy"])[0] == 0
    return tmp_path


@pytest.mark.slow
@settings(
    SEARCH, max_examples=200, suppress_health_check=list(HealthCheck)
)  # the folder is restored each time
@given(arguments=command_lines())
def test_an_odd_command_line_works_or_is_refused_in_one_line(shop, arguments):
    before = contents(shop)
    status, _, told = run_main(tiny(shop), ["--engine", "numpy", *arguments])
    assert status in (0, 2)
    if status == 2:
        assert told.startswith("error: ")
        assert len(told.splitlines()) == 1
        assert contents(shop) == before
    else:
        assert "error" not in told
        assert "Traceback" not in told
    restore(shop, before)


def restore(folder: Path, before: dict[Path, bytes | None]) -> None:
    for path in sorted(set(contents(folder)) - set(before), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for path, content in before.items():
        if content is None:
            path.mkdir(exist_ok=True)
        elif not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)
