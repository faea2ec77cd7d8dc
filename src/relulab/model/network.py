"""The network: y = v * relu(w*x + b) + c, many of them at once."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relulab.validation import (
    FloatArray,
    InputError,
    expected_values,
    extent,
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

    def __repr__(self) -> str:
        if not len(self):
            return "Networks(0 networks)"
        extents = [f"{name}={extent(getattr(self, name))}" for name in PARAMETERS]
        many = f"{len(self):,} networks: " if len(self) > 1 else ""
        return f"Networks({many}{', '.join(extents)})"

    def predict(self, x: Any) -> FloatArray:
        """Return the predictions, shape (n_nets, n_samples), at inputs x of shape (n_samples,)."""
        with np.errstate(over="ignore", invalid="ignore"):
            activation = np.maximum(self._pre_activation(x), 0)
            result: FloatArray = self.v[:, np.newaxis] * activation + self.c[:, np.newaxis]
        return result

    def gradients(self, x: Any, target: Any) -> FloatArray:
        """Return the gradients of the mean loss by w, b, v, c, shape (4, n_nets).

        With pre_activation = w*x + b and residual = prediction - target, the loss of a sample is
        0.5*residual**2, and by the chain rule its derivatives are::

            by w: residual*v*x    where pre_activation > 0, else 0
            by b: residual*v      where pre_activation > 0, else 0: relu'(0) is 0
            by v: residual*relu(pre_activation)
            by c: residual

        Engines take the same sums in a stated order (``training.specification``).

        Parameters
        ----------
        x, target : array_like, shape (n_samples,)

        Raises
        ------
        InputError
            If either is not finite, or if their lengths differ.
        """
        x, target = finite_array("x", x), finite_array("target", target)
        if x.size != target.size:
            raise InputError(f"target: expected {x.size} values, one for each x, got {target.size}")
        with np.errstate(over="ignore", invalid="ignore"):
            residual = self.predict(x) - target
            pre_activation = self._pre_activation(x)
            back = np.where(pre_activation > 0, residual * self.v[:, np.newaxis], 0)
            by_v = residual * np.maximum(pre_activation, 0)
            terms = [back * x, back, by_v, residual]
            return np.stack([term.mean(axis=1) for term in terms])

    def _pre_activation(self, x: Any) -> FloatArray:
        """Return w*x + b, shape (n_nets, n_samples)."""
        x = finite_array("x", x)
        within_memory("x", len(self) * x.size)
        return np.outer(self.w, x) + self.b[:, np.newaxis]
