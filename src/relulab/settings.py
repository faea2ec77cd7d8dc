"""How networks are trained, apart from training them: rates, frozen parameters, when to stop."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from relulab import compiler
from relulab.network import PARAMETERS
from relulab.validation import InputError, finite_number, one_of, shown, whole_number

DTYPES = ("float64", "float32")
ENGINES = ("auto", "lockstep", "compiled")
GRADIENTS = ("auto", "direct", "sorted")
RATES = ("learning_rate", "hidden_learning_rate", "output_learning_rate")

# gradient="auto": direct sums up to this many samples, tables beyond. It decides bits, so it is
# one number for every engine and machine.
DIRECT_UP_TO = 16


@dataclass(frozen=True)
class StoppingRule:
    """When a network's training ends; the order of judgement is in ``engines.contract``."""

    max_steps: int = 10_000
    gradient_tolerance: float = 1e-6
    divergence_loss: float = 1e30

    def __post_init__(self) -> None:
        max_steps = whole_number("max_steps", self.max_steps, at_least=0, at_most=2**62)
        tolerance = finite_number("gradient_tolerance", self.gradient_tolerance)
        if tolerance < 0:
            raise InputError(f"gradient_tolerance: expected a number >= 0, got {tolerance}")
        divergence_loss = finite_number("divergence_loss", self.divergence_loss, above=0.0)
        # Plain numbers from here on: beside a float64 scalar NumPy would compare float32 networks
        # in float64, and the engines would differ.
        object.__setattr__(self, "max_steps", max_steps)
        object.__setattr__(self, "gradient_tolerance", tolerance)
        object.__setattr__(self, "divergence_loss", divergence_loss)


def checked_freeze(freeze: object) -> tuple[str, ...]:
    """Return the frozen parameters in the order w, b, v, c."""
    if isinstance(freeze, (str, bytes, np.ndarray)) or not isinstance(freeze, Collection):
        raise InputError(f"freeze: expected a collection such as ('c',), got {shown(freeze)}")
    names = [one_of("freeze", name, PARAMETERS) for name in freeze]
    return tuple(p for p in PARAMETERS if p in names)


def checked_rate_names(given: Collection[str]) -> None:
    """Refuse a choice of rates that leaves a parameter without one, or a rate without use."""
    separate = [name for name in RATES[1:] if name in given]
    if "learning_rate" in given and len(separate) == 2:
        raise InputError(
            "learning_rate: expected none beside both hidden_learning_rate and"
            " output_learning_rate, which leave it without use"
        )
    if "learning_rate" not in given and len(separate) < 2:
        raise InputError(
            "learning_rate: expected it, or both hidden_learning_rate and output_learning_rate,"
            f" got {separate[0] + ' only' if separate else 'none'}"
        )


def resolved_engine(name: object) -> str:
    """Return the engine that a name stands for in this process, without loading it.

    Where Numba is installed but cannot be used, "auto" is "lockstep", and stderr says why, once.
    """
    engine = one_of("engine", name, ENGINES)
    if engine == "lockstep":
        return engine
    if not compiler.is_installed():
        if engine == "auto":
            return "lockstep"
        raise InputError(
            "engine: expected lockstep or auto where Numba is not installed, got compiled;"
            ' pip install "relulab[fast]" brings it'
        )
    problem = compiler.problem()
    if problem is None:
        return "compiled"
    if engine == "compiled":
        raise InputError(
            f"engine: expected lockstep or auto where Numba cannot be used ({problem}),"
            " got compiled"
        )
    compiler.say_once(
        "engine",
        f"Numba cannot be used ({problem}); the NumPy engine does the work, with the same bits but"
        " slower",
    )
    return "lockstep"


def resolved_gradient(name: object, n_samples: int, batch_size: int | None) -> str:
    """Return how the sums over samples are made, "direct" or "sorted"."""
    gradient = one_of("gradient", name, GRADIENTS)
    if gradient == "auto":
        return "direct" if batch_size or n_samples <= DIRECT_UP_TO else "sorted"
    return gradient
