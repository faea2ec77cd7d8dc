"""Where networks start: distributions of one parameter, and named schemes for all four."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypedDict, runtime_checkable

import numpy as np
import numpy.typing as npt

from relulab.model.geometric import between
from relulab.validation import Float64Array, finite_number, one_of, set_fields


@runtime_checkable
class Distribution(Protocol):
    """A distribution of one parameter, to draw random values from.

    A dataclass whose fields are JSON values, so a manifest can identify it.
    """

    def sample(self, rng: np.random.Generator, n: int) -> Float64Array:
        """Return n independent values."""
        ...


@dataclass(frozen=True)
class Normal:
    """Gaussian with the given mean and standard deviation."""

    mean: float
    std: float

    def __post_init__(self) -> None:
        mean, std = finite_number("mean", self.mean), finite_number("std", self.std, at_least=0)
        set_fields(self, mean=mean, std=std)

    def sample(self, rng: np.random.Generator, n: int) -> Float64Array:
        """Return n independent values."""
        with np.errstate(over="ignore"):
            return self.mean + self.std * rng.standard_normal(n)


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        low = finite_number("low", self.low)
        high = finite_number("high", self.high, above=low)
        finite_number("high - low", high - low)
        set_fields(self, low=low, high=high)

    def sample(self, rng: np.random.Generator, n: int) -> Float64Array:
        """Return n independent values."""
        return _within(self.low, self.low + (self.high - self.low) * rng.random(n), self.high)


@dataclass(frozen=True)
class LogUniform:
    """Positive values whose logarithm is uniform on [log(low), log(high))."""

    low: float
    high: float

    def __post_init__(self) -> None:
        low = finite_number("low", self.low, above=0)
        set_fields(self, low=low, high=finite_number("high", self.high, above=low))

    def sample(self, rng: np.random.Generator, n: int) -> Float64Array:
        """Return n independent values."""
        return _within(self.low, between(self.low, self.high, rng.random(n)), self.high)


def _within(low: float, values: Float64Array, high: float) -> Float64Array:
    """Return draws in [low, high): rounding can reach ``high`` and, in ratios, pass it."""
    result: Float64Array = np.clip(values, low, np.nextafter(high, low))
    return result


# A number, numbers for the points of an axis, or a distribution.
Value = float | npt.ArrayLike | Distribution


class Scheme(TypedDict):
    """Where each of the four parameters starts, ready for ``Sweep(**scheme, ...)``."""

    w: Value
    b: Value
    v: Value
    c: Value


def he_normal() -> Scheme:
    """Weights N(0, 2/fan_in), biases 0; fan_in is 1 in both layers (He et al. 2015, eq. 10)."""
    return {"w": Normal(0, 2**0.5), "b": 0.0, "v": Normal(0, 2**0.5), "c": 0.0}


def he_uniform() -> Scheme:
    """Weights U(-sqrt(6/fan_in), +), biases 0: the variance of he_normal."""
    return {"w": Uniform(-(6**0.5), 6**0.5), "b": 0.0, "v": Uniform(-(6**0.5), 6**0.5), "c": 0.0}


def glorot_normal() -> Scheme:
    """Weights N(0, 2/(fan_in+fan_out)) = N(0, 1), biases 0 (Glorot & Bengio 2010, eq. 12)."""
    return {"w": Normal(0, 1), "b": 0.0, "v": Normal(0, 1), "c": 0.0}


def glorot_uniform() -> Scheme:
    """Weights U(-sqrt(6/(fan_in+fan_out)), +), biases 0 (Glorot & Bengio 2010, eq. 16)."""
    return {"w": Uniform(-(3**0.5), 3**0.5), "b": 0.0, "v": Uniform(-(3**0.5), 3**0.5), "c": 0.0}


def lecun_normal() -> Scheme:
    """Weights N(0, 1/fan_in), biases 0 (LeCun et al. 1998); here the same as glorot_normal."""
    return {"w": Normal(0, 1), "b": 0.0, "v": Normal(0, 1), "c": 0.0}


def torch_default() -> Scheme:
    """Everything U(-1/sqrt(fan_in), +), as ``torch.nn.Linear(1, 1)`` draws it in both layers."""
    return _all_alike(Uniform(-1, 1))


def standard_normal() -> Scheme:
    """Everything N(0, 1), biases too: no one's default, but every direction is equally likely."""
    return _all_alike(Normal(0, 1))


def _all_alike(start: Value) -> Scheme:
    return {"w": start, "b": start, "v": start, "c": start}


SCHEMES: dict[str, Callable[[], Scheme]] = {
    function.__name__: function
    for function in (
        he_normal,
        he_uniform,
        glorot_normal,
        glorot_uniform,
        lecun_normal,
        torch_default,
        standard_normal,
    )
}


def scheme(name: str) -> Scheme:
    """Return the named scheme, ready for ``Sweep(**scheme(name), ...)``."""
    return SCHEMES[one_of("scheme", name, tuple(SCHEMES))]()
