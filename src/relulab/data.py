"""The samples that every network of a sweep is trained on."""

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relulab.validation import InputError, finite_array


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Samples in the order in which gradients are summed.

    Attributes
    ----------
    x, target : ndarray of float64, shape (n_samples,)

    Raises
    ------
    InputError
        If either is empty or not finite, or if their lengths differ.
    """

    x: npt.NDArray[np.float64]
    target: npt.NDArray[np.float64]

    def __init__(self, x: Any, target: Any) -> None:
        x_array, target_array = finite_array("x", x), finite_array("target", target)
        if x_array.size != target_array.size:
            raise InputError(
                f"target: expected {x_array.size} values, one for each x, got {target_array.size}"
            )
        for name, array in (("x", x_array), ("target", target_array)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def point(cls, x: float, target: float) -> Self:
        """Return the training set of one sample, the one of the closed forms."""
        return cls([x], [target])

    @property
    def n_samples(self) -> int:
        """The number of samples."""
        return int(self.x.size)

    def specification(self) -> dict[str, Any]:
        """Return what identifies the samples, bit for bit, as JSON values."""
        if self.n_samples <= 100:
            return {"x": self.x.tolist(), "target": self.target.tolist()}
        digest = hashlib.sha256(self.x.tobytes() + self.target.tobytes()).hexdigest()
        return {"n_samples": self.n_samples, "sha256": digest}
