"""The network: y = v * relu(w*x + b) + c, many of them at once."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relulab.validation import (
    FloatArray,
    InputError,
    expected_values,
    finite_array,
    set_fields,
    shown,
    within_memory,
)

PARAMETERS = ("w", "b", "v", "c")


@dataclass(frozen=True, eq=False)
class Networks:
    """The parameters of ``n_nets`` independent one-node networks.

    Numbers stand for one value in every network, so ``Networks(w=[1, 2], b=0, v=1, c=0)`` is two
    networks. A negative zero is stored as zero: no step of gradient descent can make one, and
    without them the sign of a zero gradient never matters.

    Attributes
    ----------
    w, b, v, c : ndarray, shape (n_nets,)
        Hidden weight, hidden bias, output weight, output bias.

    Raises
    ------
    InputError
        If a value is not finite or the lengths differ.
    """

    w: FloatArray
    b: FloatArray
    v: FloatArray
    c: FloatArray

    def __init__(self, w: Any, b: Any, v: Any, c: Any) -> None:
        given = dict(zip(PARAMETERS, (w, b, v, c), strict=True))
        arrays = {name: finite_array(name, value) for name, value in given.items()}
        n_nets = max(array.size for array in arrays.values())
        for name, array in arrays.items():
            if array.size not in (1, n_nets):
                raise InputError(f"{name}: expected {expected_values(n_nets)}, got {array.size}")
            array += 0.0  # the copy is ours; -0.0 becomes 0.0
            set_fields(self, **{name: np.broadcast_to(array, (n_nets,))})

    @classmethod
    def from_stack(cls, stack: FloatArray) -> Self:
        """Return the networks whose rows w, b, v, c are given, finite or not, in their dtype."""
        floats = isinstance(stack, np.ndarray) and stack.dtype.kind == "f"
        if not floats or stack.ndim != 2 or len(stack) != len(PARAMETERS):
            raise InputError(f"stack: expected floats of shape (4, n_nets), got {shown(stack)}")
        networks = cls.__new__(cls)
        set_fields(networks, **dict(zip(PARAMETERS, stack, strict=True)))
        return networks

    def stack(self, dtype: npt.DTypeLike = np.float64) -> FloatArray:
        """Return a new array of shape (4, n_nets) with the rows w, b, v, c."""
        stack: FloatArray = np.empty((len(PARAMETERS), len(self)), dtype)
        for row, name in zip(stack, PARAMETERS, strict=True):
            row[:] = getattr(self, name)
        return stack

    def __len__(self) -> int:
        return int(self.w.size)

    def predict(self, x: Any) -> FloatArray:
        """Return the predictions, shape (n_nets, n_samples), at inputs x of shape (n_samples,)."""
        x = finite_array("x", x)
        within_memory("x", len(self) * x.size)
        with np.errstate(over="ignore", invalid="ignore"):
            pre_activation = np.outer(self.w, x) + self.b[:, np.newaxis]
            activation = np.maximum(pre_activation, 0)
            result: FloatArray = self.v[:, np.newaxis] * activation + self.c[:, np.newaxis]
        return result
