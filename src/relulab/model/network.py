"""Many networks y = v * relu(w*x + b) + c at once; the ReLU may be leaky."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relulab.validation import (
    Float64Array,
    FloatArray,
    InputError,
    expected_values,
    extent,
    finite_array,
    non_negative_array,
    set_fields,
    shown,
    within_memory,
)

PARAMETERS = ("w", "b", "v", "c")


@dataclass(frozen=True, eq=False)
class Networks:
    """The parameters of ``n_nets`` independent one-node networks.

    A single number applies to every network, so ``Networks(w=[1, 2], b=0, v=1, c=0)`` is two
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
        """Return the networks with the given rows w, b, v, c, finite or not, in their dtype."""
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

    def predict(self, x: Any, negative_slope: Any = 0) -> FloatArray:
        """Return the predictions at some inputs: v*relu(w*x + b) + c.

        Parameters
        ----------
        x : array_like, shape (n_samples,)
        negative_slope : float or array_like, shape (n_nets,)
            From 0 to 1. With a slope other than 0 the unit is a leaky ReLU (Maas, Hannun & Ng
            2013): relu(z) is z where z > 0, else negative_slope*z. With 1 the network is linear.

        Returns
        -------
        ndarray, shape (n_nets, n_samples)

        Raises
        ------
        InputError
            If x is not finite, a slope is not from 0 to 1, or the number of slopes is wrong.

        Examples
        --------
        >>> import relulab as rl
        >>> rl.Networks(w=1, b=0, v=2, c=1).predict([-1, 3], negative_slope=0.25).tolist()
        [[0.5, 7.0]]
        """
        slope = self._slopes(negative_slope)
        with np.errstate(over="ignore", invalid="ignore"):
            activation = _activation(self._pre_activation(x), slope)
            result: FloatArray = self.v[:, np.newaxis] * activation + self.c[:, np.newaxis]
        return result

    def gradients(self, x: Any, target: Any, negative_slope: Any = 0) -> FloatArray:
        """Return the gradients of the mean loss in w, b, v, c, shape (4, n_nets).

        With pre_activation = w*x + b and residual = prediction - target, the loss of a sample is
        0.5*residual**2, and by the chain rule its derivatives are::

            in w: residual*v*x    if pre_activation > 0, else times negative_slope
            in b: residual*v      if pre_activation > 0, else times negative_slope
            in v: residual*relu(pre_activation)
            in c: residual

        So relu'(0) is negative_slope: 0 for the plain ReLU. Engines take the same sums in a stated
        order (``training.specification``).

        Parameters
        ----------
        x, target : array_like, shape (n_samples,)
        negative_slope : float or array_like, shape (n_nets,)
            As in ``predict``.

        Raises
        ------
        InputError
            If either is not finite, if their lengths differ, or as ``predict`` raises it.
        """
        x, target = finite_array("x", x), finite_array("target", target)
        if x.size != target.size:
            raise InputError(f"target: expected {x.size} values, one for each x, got {target.size}")
        slope = self._slopes(negative_slope)
        with np.errstate(over="ignore", invalid="ignore"):
            pre_activation = self._pre_activation(x)
            activation = _activation(pre_activation, slope)
            v, c = self.v[:, np.newaxis], self.c[:, np.newaxis]
            residual = v * activation + c - target
            # With a slope of 0 the product need not be 0: the other factor may not be finite.
            leaked = np.where(slope > 0, slope * (residual * v), 0)
            back = np.where(pre_activation > 0, residual * v, leaked)
            terms = [back * x, back, residual * activation, residual]
            return np.stack([term.mean(axis=1) for term in terms])

    def _pre_activation(self, x: Any) -> FloatArray:
        """Return w*x + b, shape (n_nets, n_samples)."""
        x = finite_array("x", x)
        within_memory("x", len(self) * x.size)
        return np.outer(self.w, x) + self.b[:, np.newaxis]

    def _slopes(self, negative_slope: Any) -> FloatArray:
        """Return the slopes in a column, in the dtype of the networks."""
        return checked_slopes(negative_slope, len(self)).astype(self.w.dtype)[:, np.newaxis]


def checked_slopes(negative_slope: object, n_nets: int) -> Float64Array:
    """Return negative slopes, one or ``n_nets`` of them; refuse values outside 0 to 1."""
    slopes = non_negative_array("negative_slope", negative_slope)
    if slopes.size not in (1, n_nets):
        raise InputError(f"negative_slope: expected {expected_values(n_nets)}, got {slopes.size}")
    if slopes.max() > 1:
        raise InputError(f"negative_slope: expected values from 0 to 1, got {slopes.max()}")
    return slopes


def _activation(pre_activation: FloatArray, slope: FloatArray) -> FloatArray:
    """Return the activation; NaN stays NaN at any slope."""
    activation: FloatArray = np.maximum(pre_activation, 0)
    if slope.any():
        leaks = (pre_activation <= 0) & (slope > 0)
        activation = np.where(leaks, slope * pre_activation, activation)
    return activation
