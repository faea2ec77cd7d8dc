"""Checks of what users pass in: one line that names the argument, what was expected, what came."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]


class InputError(ValueError):
    """A mistake in an argument or in a file that the user named; its text is one line."""


def shown(value: object) -> str:
    """Return a short one-line text of a value for an error message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def finite_array(name: str, value: object) -> npt.NDArray[np.float64]:
    """Return a 1-D float64 copy of a number or sequence; refuse emptiness, NaN and infinity."""
    try:
        array = np.atleast_1d(np.array(value, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}: expected numbers, got {shown(value)}") from None
    if array.ndim != 1:
        raise InputError(f"{name}: expected one dimension, got shape {array.shape}")
    if array.size == 0:
        raise InputError(f"{name}: expected at least one value, got none")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise InputError(f"{name}: expected finite values, got {array[bad[0]]} at index {bad[0]}")
    return array


def non_negative_array(name: str, value: object) -> npt.NDArray[np.float64]:
    """Return ``finite_array(name, value)``; refuse negative entries too."""
    array = finite_array(name, value)
    bad = np.flatnonzero(array < 0)
    if bad.size:
        raise InputError(f"{name}: expected values >= 0, got {array[bad[0]]} at index {bad[0]}")
    return array


def finite_number(name: str, value: object, *, above: float = -np.inf) -> float:
    """Return a float; refuse what is not a finite number greater than ``above``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        raise InputError(f"{name}: expected a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise InputError(f"{name}: expected a finite number, got {shown(value)}") from None
    if not (np.isfinite(number) and number > above):
        limit = "" if above == -np.inf else f" > {above:g}"
        raise InputError(f"{name}: expected a finite number{limit}, got {number}")
    return number


def whole_number(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """Return an int; refuse what is not a whole number within the bounds."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole or int(value) < at_least:  # type: ignore[call-overload]
        raise InputError(f"{name}: expected a whole number >= {at_least}, got {shown(value)}")
    number: int = int(value)  # type: ignore[call-overload]
    if at_most is not None and number > at_most:
        raise InputError(f"{name}: expected a whole number <= {at_most}, got {shown(value)}")
    return number


def instance_of(name: str, value: object, kind: type) -> None:
    """Refuse a value of another type."""
    if not isinstance(value, kind):
        raise InputError(f"{name}: expected {kind.__name__}, got {shown(value)}")


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """Return the value if it is one of ``allowed``."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(f"{name}: expected one of {', '.join(allowed)}, got {shown(value)}")
    return value
