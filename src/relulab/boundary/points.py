"""From points, numbers with names, to the fates of the runs that start there."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.model.outcome import CODED_FATES, OUTCOMES, UNITS, fate_codes
from relulab.sweeps.axes import choices
from relulab.sweeps.sweep import Sweep
from relulab.validation import (
    Float64Array,
    InputError,
    columns_in,
    expected_values,
    finite_array,
    instance_of,
    one_of,
    shown,
    words_in,
)

Fate = Callable[[pd.DataFrame], Any]
Labels = npt.NDArray[Any]

WORDS = np.array([", ".join(fate) for fate in CODED_FATES])

# Runs trained at once; this bounds the memory.
RUNS_AT_ONCE = 2**17


def check_fate(fate: Fate | None) -> None:
    """Refuse a fate that is neither None nor a function."""
    if fate is not None and not callable(fate):
        raise InputError(f"fate: expected a function of a table of runs, got {shown(fate)}")


def fates_of(runs: pd.DataFrame, fate: Fate | None) -> Labels:
    """Return the fate of each run, as an array of words or numbers."""
    if fate is None:
        columns_in("runs", runs, "outcome", "unit")
        words_in("runs", runs, "outcome", OUTCOMES.categories)
        words_in("runs", runs, "unit", UNITS.categories)
        words: Labels = WORDS[fate_codes(runs)]
        return words
    try:
        labels = np.asarray(fate(runs))
    except InputError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError) as error:
        said = f"{type(error).__name__}: {error}"
        raise InputError(f"fate: expected a function of a table of runs, got {said}") from error
    if labels.shape != (len(runs),):
        raise InputError(
            f"fate: expected one label for each of {len(runs)} runs, got shape {labels.shape}"
        )
    if pd.isna(labels).any():
        raise InputError("fate: expected a label for each run, got a missing one")
    return labels.astype(str) if labels.dtype == object else labels


def fates_at(
    sweep: Sweep, names: Collection[str], points: Float64Array, fate: Fate | None
) -> Labels:
    """Return the fates of the starts at points, shape (n_points, n_axes), block by block."""
    parts = [points[i : i + RUNS_AT_ONCE] for i in range(0, len(points), RUNS_AT_ONCE)]
    return np.concatenate(
        [fates_of(sweep.train_at(dict(zip(names, part.T, strict=True))), fate) for part in parts]
    )


def check_sweep(sweep: Sweep, names: Collection[str], argument: str) -> None:
    """Refuse names that no point can have, and a sweep without single numbers for the others."""
    instance_of("sweep", sweep, Sweep)
    for name in names:
        one_of(argument, name, choices(sweep))
    for name in (*sweep.axes, *sweep.drawn):
        if name not in names:
            raise InputError(
                f"sweep: expected a number for {name}, which is not in {argument}, got several"
            )


def check_corners(
    sweep: Sweep, argument: str, names: Collection[str], low: Float64Array, high: Float64Array
) -> None:
    """Refuse ranges, from low to high, with values that no sweep can have."""
    ends = zip(low.tolist(), high.tolist(), strict=True)
    try:
        sweep.zoom(n=2, **dict(zip(names, ends, strict=True)))
    except InputError as error:
        raise InputError(f"{argument}: expected values that can be trained, got {error}") from None


def checked_points(sweep: Sweep, argument: str, points: Any) -> tuple[list[str], Float64Array]:
    """Return the names and the points, shape (n_points, n_axes), in the arithmetic of the sweep."""
    if not isinstance(points, Mapping | pd.DataFrame) or not len(points):
        raise InputError(f"{argument}: expected values by name, got {shown(points)}")
    names = list(points)
    check_sweep(sweep, names, argument)
    values = [finite_array(argument, points[name]) for name in names]
    n = max(array.size for array in values)
    for array in values:
        if array.size not in (1, n):
            raise InputError(f"{argument}: expected {expected_values(n)}, got {array.size}")
    stacked = np.stack([np.broadcast_to(array, (n,)) for array in values], axis=1)
    return names, as_trained(sweep, stacked)


def as_trained(sweep: Sweep, points: Float64Array) -> Float64Array:
    """Return points rounded to the arithmetic of a sweep."""
    with np.errstate(over="ignore"):  # training refuses what is not finite
        return points.astype(sweep.dtype).astype(float)
