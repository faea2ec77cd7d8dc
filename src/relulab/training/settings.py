"""Settings: the numbers that may differ between runs, apart from initial values."""

from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.model.initialization import Distribution
from relulab.model.network import PARAMETERS
from relulab.validation import Float64Array, InputError, finite_array, finite_number

RATES = ("learning_rate", "hidden_learning_rate", "output_learning_rate")
DECAYS = tuple(f"weight_decay_{p}" for p in PARAMETERS)

Bounds = tuple[str, Callable[[Any], npt.NDArray[np.bool_]]]
_NOT_NEGATIVE: Bounds = ">= 0", lambda values: values >= 0
_POSITIVE: Bounds = "> 0", lambda values: values > 0
_FRACTION: Bounds = "in [0, 1)", lambda values: (values >= 0) & (values < 1)
_UP_TO_1: Bounds = "in [0, 1]", lambda values: (values >= 0) & (values <= 1)

# All settings with their bounds, in the order of their columns, in which runs also count through
# their axes. A new one goes to the end: the random numbers of a setting depend on its place.
BOUNDS: dict[str, Bounds] = {
    **dict.fromkeys(RATES, _NOT_NEGATIVE),
    "negative_slope": _UP_TO_1,
    "momentum": _FRACTION,
    "weight_decay": _NOT_NEGATIVE,
    **dict.fromkeys(DECAYS, _NOT_NEGATIVE),
    "max_norm": _POSITIVE,
    "beta1": _FRACTION,
    "beta2": _FRACTION,
    "epsilon": _NOT_NEGATIVE,
}


def within_bounds(name: str, value: object) -> Float64Array:
    """Return ``finite_array(name, value)``; refuse values out of the setting's bounds."""
    array = finite_array(name, value)
    expected, fits = BOUNDS[name]
    bad = np.flatnonzero(~fits(array))
    if bad.size:
        wrong = f"{array[bad[0]]} at index {bad[0]}"
        raise InputError(f"{name}: expected values {expected}, got {wrong}")
    return array


def is_distribution(value: object) -> TypeGuard[Distribution]:
    """Return whether values are to be drawn. (A pandas column has ``sample``, too.)"""
    return isinstance(value, Distribution) and not isinstance(value, type | pd.Series)


def checked_setting(name: str, value: Any) -> Any:
    """Return the number, the read-only array or the given distribution of a setting."""
    if is_distribution(value):
        return value
    array = within_bounds(name, value)
    if np.ndim(value) == 0:
        return finite_number(name, float(array[0]))
    array.flags.writeable = False
    return array


def is_plain(value: Any, plain: float = 0.0) -> bool:
    """Return whether a setting is the number that has no effect."""
    return isinstance(value, float) and value == plain
