"""The view of a map: two axes and a number for everything else, as a sweep and as Python code."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from relulab.model.data import TrainingSet
from relulab.model.initialization import Distribution
from relulab.model.network import PARAMETERS
from relulab.sweeps.axes import choices, is_geometric, spaced, with_values
from relulab.sweeps.draws import DRAWS_PER_BLOCK
from relulab.sweeps.sweep import Sweep
from relulab.training.optimizers import SGD
from relulab.training.settings import BOUNDS, RATES
from relulab.validation import Float64Array, InputError, instance_of, one_of, shown

MOST_PRINTED = 100  # samples
SAMPLE = ("x", "target")  # sliders can move a single sample


class Range(NamedTuple):
    """The ends of an axis or a slider, and whether it is logarithmic."""

    low: float
    high: float
    log: bool


def column_of(name: str) -> str:
    """Return the column of a results table for an axis: ``w0`` for w."""
    return f"{name}0" if name in PARAMETERS else name


@dataclass(frozen=True)
class View:
    """A part of a plane of two parameters or settings.

    Attributes
    ----------
    sweep : Sweep
        A sweep of one run: everything but the following.
    x, y : str
        The axes, by their names in a ``Sweep``: w, learning_rate, momentum.
    x_range, y_range : Range
    numbers : dict of str to float
        The values of the sliders: initial values and settings, ``max_steps``, and x and target of a
        single sample.
    """

    sweep: Sweep
    x: str
    y: str
    x_range: Range
    y_range: Range
    numbers: Mapping[str, float]

    def axis(self, name: str, n: int) -> Float64Array:
        """Return n values of an axis, within its possible ones."""
        low, high, log = self._ends(name)
        return spaced(low, high, n, log=log, dtype=self.sweep.dtype)

    def at(self, n: int) -> Sweep:
        """Return the sweep of this view: n x n runs, or fewer if there are fewer floats."""
        values: dict[str, Any] = dict(self.numbers)
        changes: dict[str, Any] = {"max_steps": round(values.pop("max_steps"))}
        if SAMPLE[0] in values:
            changes["data"] = TrainingSet.point(*(values.pop(name) for name in SAMPLE))
        axes = {name: self.axis(name, n) for name in (self.x, self.y)}
        return with_values(replace(self.sweep, **changes), values | axes)

    def code(self, n: int) -> str:
        """Return the Python code that makes ``at(n)``."""
        sweep = self.at(n)
        axes = {name: self._axis_code(name, n) for name in (self.x, self.y)}
        defaults = {f.name: f.default for f in fields(Sweep)}
        shown = [(f, getattr(sweep, f)) for f in ("data", *_in_order(defaults))]
        lines = [
            f"    {name}={axes.get(name) or _code(value, axes)},"
            for name, value in shown
            if name in (*PARAMETERS, "max_steps") or not _is(value, defaults[name])
        ]
        many = sweep.data.n_samples > MOST_PRINTED
        why = f"# data: the {sweep.data.n_samples:,} samples of the map\n" if many else ""
        code = f"import relulab as rl\n\n{why}sweep = rl.Sweep(\n" + "\n".join(lines) + "\n)"
        return f"import numpy as np\n{code}" if "np." in code else code

    def _ends(self, name: str) -> Range:
        """Return the range of an axis, limited to the valid values of a setting."""
        low, high, log = self.x_range if name == self.x else self.y_range
        if name in BOUNDS:
            fits = BOUNDS[name][1]
            zero, one, two = np.array([0, 1, 2], self.sweep.dtype)
            least = zero if fits(zero) else np.nextafter(zero, one)
            most = np.inf if fits(two) else one if fits(one) else np.nextafter(one, zero)
            with np.errstate(over="ignore", under="ignore"):
                first, last = np.array([low, high]).astype(self.sweep.dtype)
            low = low if first >= least else float(least)
            high = high if last <= most else float(most)
        if low > high:
            raise InputError("view: expected a part of the plane with valid settings, got none")
        return Range(low, high, log)

    def _axis_code(self, name: str, n: int) -> str:
        low, high, log = self._ends(name)
        code = f"{'rl.geomspace' if log else 'np.linspace'}({low!r}, {high!r}, {n})"
        number = self.sweep.dtype
        if number != "float64":
            return f'np.unique({code}.astype("{number}")).astype(float)'
        # If there are fewer floats than n, some occur twice.
        return code if self.axis(name, n).size == n else f"np.unique({code})"


def view_of(sweep: Sweep, x: str, y: str) -> tuple[View, dict[str, Range]]:
    """Return the view of a whole sweep, and the ranges of all possible axes and sliders.

    x and y need not be axes of the sweep. Its other axes, and values drawn at random, begin at
    their middle.
    """
    instance_of("sweep", sweep, Sweep)
    x, y = axis_names(sweep, x, y)
    possible = choices(sweep)
    known = {name: getattr(sweep, name) for name in PARAMETERS}
    known |= {"negative_slope": sweep.negative_slope, "momentum": 0.0} | sweep.settings
    ranges = {name: _range(name, known.get(name)) for name in possible}
    shown_ones = [*PARAMETERS, *(name for name in BOUNDS if name in sweep.settings)]
    values = {name: _middle(known[name]) for name in shown_ones if name not in (x, y)}
    values["max_steps"] = float(sweep.max_steps)
    least = min(1.0, values["max_steps"])
    ranges["max_steps"] = Range(least, max(1e5, values["max_steps"]), least > 0)
    if sweep.data.n_samples == 1:
        values |= {"x": float(sweep.data.x[0]), "target": float(sweep.data.target[0])}
        ranges |= {name: _around(values[name], -5, 5) for name in SAMPLE}
    # Replace the sweep's values on the axes, too, because they may be drawn at random.
    on_axes = {name: _middle(known.get(name, ranges[name].low)) for name in (x, y)}
    one = with_values(sweep, {n: v for n, v in values.items() if n in known} | on_axes)
    return View(one, x, y, ranges[x], ranges[y], values), ranges


def axis_names(sweep: Sweep, x: str, y: str) -> tuple[str, str]:
    """Return the names of two axes in a ``Sweep``; refuse those that a map cannot have."""
    possible = choices(sweep)
    names = {column_of(name): name for name in possible} | {name: name for name in possible}
    x, y = (
        names[one_of(argument, name, [*map(column_of, possible), *PARAMETERS])]
        for argument, name in (("x", x), ("y", y))
    )
    if x == y:
        raise InputError(f"y: expected another axis than x, got {shown(column_of(y))} for both")
    return x, y


def exchanged(view: View, x: str, y: str, ranges: Mapping[str, Range]) -> View:
    """Return a view with other axes; one that was an axis before keeps its range.

    A former axis gets a slider at its middle or, since one can pan beyond the valid values, as
    near as the slider goes.
    """
    x, y = axis_names(view.sweep, x, y)
    before = {view.x: view.x_range, view.y: view.y_range}
    freed = {
        name: float(np.clip(_middle_of(limits), *ranges[name][:2]))
        for name, limits in before.items()
        if name not in (x, y)
    }
    values = {n: v for n, v in {**freed, **view.numbers}.items() if n not in (x, y)}
    x_range, y_range = (before.get(name, ranges[name]) for name in (x, y))
    return View(view.sweep, x, y, x_range, y_range, {n: values[n] for n in ranges if n in values})


def _middle_of(limits: Range) -> float:
    low, high, log = limits
    return float(f"{(low * high) ** 0.5 if log else (low + high) / 2:.4g}")


def _range(name: str, value: Any) -> Range:
    """Return the range of an axis or a slider: that in the sweep, or a usual one."""
    if isinstance(value, np.ndarray) and value.size > 1:
        return Range(float(value.min()), float(value.max()), is_geometric(value))
    if isinstance(value, Distribution):
        low, high = (float(q) for q in np.quantile(_sample(value), [0.01, 0.99]))
        if name in RATES and 0 < low < high:
            return Range(low, high, True)
        if low < high:
            return Range(_tidy(low, value), _tidy(high, value), False)
    number = None if value is None else _middle(value)
    if name in PARAMETERS:
        return _around(number, -5, 5)
    if name in (*RATES, "max_norm", "epsilon") and number != 0:
        low, high = {"epsilon": (1e-12, 1.0), "max_norm": (1e-3, 1e3)}.get(name, (1e-3, 10.0))
        return Range(*_around(number, low, high)[:2], True)
    high = {"negative_slope": 1.0, "momentum": 0.99, "beta1": 0.99, "beta2": 0.9999}.get(name, 2.0)
    return _around(number, 0, high)


def _around(value: float | None, low: float, high: float) -> Range:
    value = low if value is None else value
    return Range(float(min(low, value)), float(max(high, value)), False)


def _middle(value: Any) -> float:
    """Return the middle number of an axis or a distribution."""
    if isinstance(value, np.ndarray):
        return float(value[value.size // 2])
    if isinstance(value, Distribution):
        return _tidy(float(np.median(_sample(value))), value)
    return float(value)


def _tidy(number: float, value: Distribution) -> float:
    """Return a number rounded to the decimals that matter for the spread of a distribution."""
    spread = float(np.std(_sample(value)))
    decimals = 1 - int(np.floor(np.log10(2 * spread))) if spread > 0 else 15
    return round(float(number), decimals) + 0.0


def _sample(value: Distribution) -> Float64Array:
    return value.sample(np.random.default_rng(0), DRAWS_PER_BLOCK)


def _in_order(names: Mapping[str, Any]) -> list[str]:
    """Return the arguments of a sweep in their usual order: starts first, then training."""
    others = [n for n in names if n not in ("data", "draws", "seed", *PARAMETERS)]
    return [*PARAMETERS, *others]


def _is(value: Any, default: Any) -> bool:
    """Return whether an argument is its default."""
    if isinstance(value, SGD):
        return not value.settings
    return not isinstance(value, np.ndarray) and bool(value == default)


def _code(value: Any, axes: Mapping[str, str]) -> str:
    """Return the Python code of an argument."""
    if isinstance(value, TrainingSet):
        if value.n_samples > MOST_PRINTED:
            return "data"
        if value.n_samples == 1:
            return f"rl.TrainingSet.point({value.x[0].item()!r}, {value.target[0].item()!r})"
        return f"rl.TrainingSet({value.x.tolist()!r}, {value.target.tolist()!r})"
    if hasattr(value, "weight_decay"):
        return _optimizer_code(value, axes)
    return repr(value)


def _optimizer_code(optimizer: Any, axes: Mapping[str, str]) -> str:
    given = []
    for f in fields(optimizer):
        value = getattr(optimizer, f.name)
        if isinstance(value, dict):
            parts = {p: axes.get(f"weight_decay_{p}") or repr(v) for p, v in value.items()}
            code = "{" + ", ".join(f"{p!r}: {part}" for p, part in parts.items()) + "}"
        else:
            code = axes.get(f.name) or repr(value)
        if code != repr(f.default):
            given.append(f"{f.name}={code}")
    return f"rl.{type(optimizer).__name__}({', '.join(given)})"
