"""Axes of sweeps: the position of each run; axes replaced, thinned, or zoomed."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.model.geometric import geomspace
from relulab.model.network import PARAMETERS
from relulab.training.optimizers import setting_names, with_settings
from relulab.training.settings import BOUNDS, RATES
from relulab.validation import (
    LARGEST_SHARD,
    Float64Array,
    InputError,
    expected_values,
    finite_array,
    finite_number,
    one_of,
    shown,
    whole_number,
)

if TYPE_CHECKING:
    from relulab.sweeps.sweep import Sweep


def grid_positions(
    axes: Mapping[str, Float64Array], run: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.intp]]]:
    """Return the draw of each run, and for each axis the index of the run's value on it.

    Runs count through the last axis first, and through all of the grid before the next draw.
    """
    shape = tuple(axis.size for axis in axes.values())
    draw, point = np.divmod(run, math.prod(shape))
    index = dict(zip(axes, np.unravel_index(point, shape), strict=True)) if shape else {}
    return draw, index


def with_values(sweep: "Sweep", values: Mapping[str, Any]) -> "Sweep":
    """Return the sweep with other initial values or settings: numbers, axes or distributions.

    Nothing is drawn if these replace all distributions.
    """
    for name in values:
        one_of("values", name, choices(sweep))
    own: dict[str, Any] = {name: value for name, value in values.items() if hasattr(sweep, name)}
    if len(own) < len(values):
        others = {name: value for name, value in values.items() if name not in own}
        own["optimizer"] = with_settings(sweep.optimizer, others)
    if not set(sweep.drawn) - set(values):
        own["draws"] = None
    return replace(sweep, **own)


def thinned(sweep: "Sweep", stride: int) -> "Sweep":
    """Return the sweep with every stride-th value of each axis."""
    return with_values(sweep, {name: axis[::stride] for name, axis in sweep.axes.items()})


def zoomed(sweep: "Sweep", n: int, ranges: Mapping[str, Any]) -> "Sweep":
    """Return the sweep of a box; see ``Sweep.zoom``."""
    n = whole_number("n", n, at_least=2, at_most=LARGEST_SHARD)
    if not ranges:
        raise InputError("zoom: expected ranges, such as w=(0, 1), got none")
    values = {}
    for name, ends in ranges.items():
        one_of("zoom", name, choices(sweep))
        log = is_geometric(sweep.axes.get(name))
        low, high = _range(name, ends, log)
        values[name] = spaced(low, high, n, log=log, dtype=sweep.dtype)
    return with_values(sweep, values)


def rows_at(sweep: "Sweep", points: Mapping[str, Any]) -> tuple["Sweep", dict[str, Any]]:
    """Return a sweep with the settings of ``Sweep.train_at``, and the columns of its starts."""
    if not isinstance(points, Mapping | pd.DataFrame) or not len(points):
        raise InputError(
            f"points: expected values by name, such as {{'w': 1}}, got {shown(points)}"
        )
    for name in points:
        one_of("points", name, choices(sweep))
    given = {name: finite_array(name, points[name]) for name in points}
    if others := [name for name in (*sweep.axes, *sweep.drawn) if name not in given]:
        raise InputError(
            f"points: expected values of {others[0]}, too, which is not a single number in the"
            " sweep"
        )
    n = max(values.size for values in given.values())
    for name, values in given.items():
        if values.size not in (1, n):
            raise InputError(f"{name}: expected {expected_values(n)}, got {values.size}")
    there = sweep
    if not given.keys() <= {*PARAMETERS, *RATES}:  # settings that the sweep may not have yet
        there = with_values(sweep, {name: values[:1] for name, values in given.items()})
    rows: dict[str, Any] = {"run": np.arange(n)}
    for name, value in there._values.items():
        column = f"{name}0" if name in PARAMETERS else name
        rows[column] = np.broadcast_to(given.get(name, value), (n,))
    return there, rows


def choices(sweep: "Sweep") -> list[str]:
    """Return the possible axes: initial values, and the settings that this sweep can have."""
    possible = {*sweep.rate_names, "negative_slope", *setting_names(sweep.optimizer)}
    return [*PARAMETERS, *(name for name in BOUNDS if name in possible)]


def spaced(low: float, high: float, n: int, *, log: bool, dtype: str = "float64") -> Float64Array:
    """Return n values from low to high, evenly spaced or in equal ratios.

    If there are fewer floating-point numbers of the dtype between them, return those.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # sweeps refuse what is not finite
        values = geomspace(low, high, n) if log else np.linspace(low, high, n)
    return np.unique(values.astype(dtype)).astype(float)


def is_geometric(axis: Float64Array | None) -> bool:
    """Return whether an axis has equal ratios, such as those of ``geomspace``."""
    if axis is None or axis.size < 3 or axis.min() <= 0:
        return False
    steps, ratios = np.diff(axis), np.diff(np.log(axis))
    return bool(np.ptp(ratios) < 1e-6 * abs(ratios).max() < np.ptp(steps / abs(steps).max()))


def _range(name: str, ends: Any, log: bool) -> tuple[float, float]:
    if (array := finite_array(name, ends)).shape != (2,):
        raise InputError(f"{name}: expected two ends, such as (0, 1), got {shown(ends)}")
    low, high = array
    if not low < high:
        raise InputError(f"{name}: expected the smaller end first, got {low}, {high}")
    finite_number(name, low, above=0 if log else -np.inf)
    return float(low), float(high)
