"""The samples on which every network of a sweep is trained."""

import hashlib
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from os import PathLike
from threading import RLock
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.model.network import Networks
from relulab.reading.csv_columns import csv_columns
from relulab.reading.frame_columns import Column, Rows, frame_columns
from relulab.validation import (
    MOST_NUMBERS,
    Float64Array,
    InputError,
    argument,
    counted,
    extent,
    finite_array,
    finite_number,
    instance_of,
    number_array,
    one_line,
    one_of,
    seed_number,
    set_fields,
    shortened,
    shown,
    whole_number,
)

# How to treat rows with a missing value.
MISSING = ("refuse", "drop")

T = TypeVar("T")


@dataclass(frozen=True)
class Scale:
    """How the numbers of a training set are written in the user's units.

    Attributes
    ----------
    label : str
        The name of the quantity, with its unit if it has one.
    mean, std : float
        A stored number z stands for ``z*std + mean`` in the user's units.

    Raises
    ------
    InputError
        If ``mean`` is not finite, or ``std`` is not a finite number above 0.
    """

    label: str
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        instance_of("label", self.label, str)
        mean, std = finite_number("mean", self.mean), finite_number("std", self.std, above=0)
        set_fields(self, mean=mean, std=std)

    def to_user(self, values: npt.ArrayLike) -> Float64Array:
        """Return stored numbers, of any shape, in the user's units."""
        with np.errstate(over="ignore"):
            return np.asarray(number_array("values", values) * self.std + self.mean)

    def from_user(self, values: npt.ArrayLike) -> Float64Array:
        """Return numbers in the user's units, of any shape, as the training set stores them."""
        with np.errstate(over="ignore"):
            return np.asarray((number_array("values", values) - self.mean) / self.std)


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Samples, in the order in which gradients are summed.

    A network's loss on them is the mean of residual^2/2, with residual = prediction - target.

    Attributes
    ----------
    x, target : ndarray of float64, shape (n_samples,)
        The samples, read-only.
    x_scale, target_scale : Scale
        Names and units, for figures; they are not part of the identity of the samples.

    Raises
    ------
    InputError
        If either is empty or not finite, or if their lengths differ.
    """

    x: Float64Array
    target: Float64Array
    x_scale: Scale
    target_scale: Scale
    _made: dict[Any, Any] = field(init=False)
    _making: Any = field(init=False)

    def __init__(
        self,
        x: Any,
        target: Any,
        *,
        x_scale: Scale | None = None,
        target_scale: Scale | None = None,
    ) -> None:
        x_array, target_array = finite_array("x", x), finite_array("target", target)
        if x_array.size != target_array.size:
            raise InputError(
                f"target: expected {x_array.size} values, one for each x, got {target_array.size}"
            )
        for name, array, scale in (
            ("x", x_array, x_scale),
            ("target", target_array, target_scale),
        ):
            array.flags.writeable = False
            scale = Scale(name) if scale is None else scale
            instance_of(f"{name}_scale", scale, Scale)
            set_fields(self, **{name: array, f"{name}_scale": scale})
        set_fields(self, _made={}, _making=RLock())

    @classmethod
    def point(cls, x: float, target: float) -> Self:
        """Return a training set of one sample, as in the closed forms."""
        return cls([x], [target])

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        x: Hashable,
        target: Hashable,
        missing: str = "refuse",
        standardize: bool = False,
    ) -> Self:
        """Return two columns of a table as samples, in the order of its rows.

        Parameters
        ----------
        frame : DataFrame
            Its index is ignored; messages count rows from 1.
        x, target : column names
            Two columns of numbers. Booleans, durations and texts such as ``"1.5"`` are not numbers.
            x may be a column of dates (``datetime64``, with or without a time zone): they become
            days since the earliest date, which ``x_scale.label`` and a ``UserWarning`` name.
        missing : {"refuse", "drop"}
            What to do with rows in which either value is missing; dropping them gives a
            ``UserWarning``.
        standardize : bool
            Whether to shift and scale both to mean 0 and (population) standard deviation 1;
            ``x_scale`` and ``target_scale`` convert back to the units of the table.

        Raises
        ------
        InputError
            If a column is absent, duplicated, not of finite numbers or, with ``standardize``,
            constant; if values are missing and not to be dropped; or if no row is left.
        """
        instance_of("frame", frame, pd.DataFrame)
        _check_treatment(missing, standardize)
        return cls._from_columns(*frame_columns(frame, x, target), missing, standardize)

    @classmethod
    def from_csv(
        cls,
        path: str | PathLike[str],
        *,
        x: str,
        target: str,
        missing: str = "refuse",
        standardize: bool = False,
        sep: str = ",",
        decimal: str = ".",
        thousands: str | None = None,
        encoding: str = "utf-8",
    ) -> Self:
        """Return two columns of a CSV file as samples.

        The file is read once, so it may be a pipe. A compressed file (gzip, bzip2, xz, or a zip
        archive of one file) is unpacked, whatever its name. Messages count the lines of the file.

        Parameters
        ----------
        path : str or path
        x, target : str
            Two names in the first line that is not blank. Spaces around names and values, and all
            other columns, are ignored.
        missing, standardize
            As in ``from_frame``. Missing values are those of ``pandas.read_csv``: an empty field,
            ``NA``, ``nan`` and the like.
        sep : str
            The character between fields.
        decimal : {".", ","}
            The decimal mark.
        thousands : {",", ".", "'", " "}, optional
            The separator of thousands; ``" "`` is any kind of space, ``"'"`` any apostrophe. By
            default all but the ordinary space are recognized between groups of three digits,
            unless the whole column could be read in two ways: 1,234 in a column with 1,234.5 is
            1234, but alone it is refused.
        encoding : str
            The encoding of a file without a byte order mark.

        Notes
        -----
        Numbers are read exactly: each becomes the nearest float64.

        x may be dates, with or without a time and a time zone, or times of day, in ISO 8601:
        ``2024-01-31``, ``2024-01-31T12:30:15.5+01:00``, ``12:30:15``. They become days since the
        earliest in the column, which ``x_scale.label`` and a ``UserWarning`` name; each is the
        float64 nearest to the exact number of days.

        Raises
        ------
        InputError
            If the file cannot be read as such a table, if a number or date could be read in two
            ways, or as ``from_frame`` raises it.
        """
        instance_of("x", x, str)
        instance_of("target", target, str)
        _check_treatment(missing, standardize)
        columns = csv_columns(
            path, x, target, sep=sep, decimal=decimal, thousands=thousands, encoding=encoding
        )
        return cls._from_columns(*columns, missing, standardize)

    @classmethod
    def from_function(
        cls,
        function: Callable[[Float64Array], npt.ArrayLike],
        low: float,
        high: float,
        n_samples: int,
        noise: float = 0.0,
        seed: int = 0,
    ) -> Self:
        """Return samples of a function at evenly spaced x.

        Parameters
        ----------
        function : callable
            Takes all x, shape (n_samples,), and returns as many finite numbers.
        low, high : float
            First and last x; a single sample lies at ``low``.
        n_samples : int
        noise : float
            Standard deviation of the normal noise added to the targets.
        seed : int
            Seed of the noise.

        Raises
        ------
        InputError
            If a number is out of range, or ``function`` does not return such numbers.
        """
        if not callable(function):
            raise InputError(f"function: expected a function of x, got {shown(function)}")
        low = finite_number("low", low)
        high = finite_number("high", high, above=low)
        finite_number("high - low", high - low)
        n_samples = whole_number("n_samples", n_samples, at_least=1, at_most=MOST_NUMBERS)
        noise = finite_number("noise", noise, at_least=0)
        seed = seed_number("seed", seed)
        x = np.linspace(low, high, n_samples)
        result = function(x.copy())  # it may work in place
        if np.iscomplexobj(result):
            raise InputError(f"function: expected real numbers, got {shown(result)}")
        target = finite_array("function", result)
        if np.shape(result) != x.shape:
            raise InputError(
                f"function: expected one value for each x, shape {x.shape}, got {np.shape(result)}"
            )
        if noise > 0:
            with np.errstate(over="ignore"):
                target += noise * np.random.default_rng(seed).standard_normal(n_samples)
            if not np.isfinite(target).all():
                raise InputError(f"noise: expected a number that keeps targets finite, got {noise}")
        return cls(x, target)

    @classmethod
    def teacher(
        cls,
        w: float,
        b: float,
        v: float,
        c: float,
        low: float = -1.0,
        high: float = 1.0,
        n_samples: int = 100,
        noise: float = 0.0,
        seed: int = 0,
    ) -> Self:
        """Return samples of the network ``v*relu(w*x + b) + c``; see ``from_function``.

        Parameters
        ----------
        w, b, v, c : float
            Hidden weight, hidden bias, output weight, output bias.
        low, high, n_samples, noise, seed
            As in ``from_function``.

        Raises
        ------
        InputError
            If a number is out of range or too large for finite targets.
        """
        numbers = {"w": w, "b": b, "v": v, "c": c}
        teacher = Networks(**{name: finite_number(name, x) for name, x in numbers.items()})
        return cls.from_function(lambda x: teacher.predict(x)[0], low, high, n_samples, noise, seed)

    @classmethod
    def _from_columns(
        cls, rows: Rows, x: Column, target: Column, missing: str, standardize: bool
    ) -> Self:
        """Return samples from two columns; warnings point at the caller's caller."""
        is_missing = np.isnan(x.numbers) | np.isnan(target.numbers)
        n_rows, without = is_missing.size, np.flatnonzero(is_missing)
        if without.size and missing == "refuse":
            which = rows.word + ("s " if without.size > 1 else " ")
            which += ", ".join(str(rows.numbers[k]) for k in without[:5])
            raise InputError(
                f"{argument('missing')}: expected x and target in every row of {rows.source}, got"
                f" {without.size} of {n_rows} rows without"
                f" ({which}{', ...' if without.size > 5 else ''});"
                f" {argument('missing', 'drop')} drops them"
            )
        if without.size == n_rows:
            raise InputError(
                f"{argument('missing')}: expected a row of {rows.source} with x and target,"
                f" got none of {n_rows}"
            )
        if x.counted is not None:
            kind, first = x.counted
            warnings.warn(f"x: {kind}; counted in days from {first}", UserWarning, stacklevel=3)
        if without.size:
            warnings.warn(
                f"{rows.source}: dropped {without.size} of {n_rows} rows, without x or target",
                UserWarning,
                stacklevel=3,
            )
        x_values, target_values = x.numbers[~is_missing], target.numbers[~is_missing]
        x_scale, target_scale = Scale(x.label), Scale(target.label)
        if standardize:
            x_scale = _standard("x", x_scale.label, x_values)
            target_scale = _standard("target", target_scale.label, target_values)
            x_values = x_scale.from_user(x_values)
            target_values = target_scale.from_user(target_values)
        return cls(x_values, target_values, x_scale=x_scale, target_scale=target_scale)

    def __reduce__(self) -> tuple[Any, ...]:
        content = self.x.tobytes(), self.target.tobytes()
        return _restored, (type(self), *content, self.x_scale, self.target_scale)

    @property
    def n_samples(self) -> int:
        """The number of samples."""
        return int(self.x.size)

    def __repr__(self) -> str:
        units = [
            f", {name} is {shortened(one_line(scale.label))}"
            for name, scale in (("x", self.x_scale), ("target", self.target_scale))
            if scale.label != name
        ]
        return (
            f"TrainingSet({counted(self.n_samples, 'sample')}: x={extent(self.x)},"
            f" target={extent(self.target)}{''.join(units)})"
        )

    def specification(self) -> dict[str, Any]:
        """Return JSON values that identify the samples bit for bit."""
        if self.n_samples <= 100:
            return {"x": self.x.tolist(), "target": self.target.tolist()}
        digest = hashlib.sha256(self.x.tobytes() + self.target.tobytes()).hexdigest()
        return {"n_samples": self.n_samples, "sha256": digest}


@lru_cache(maxsize=4)
def _restored(
    kind: type[TrainingSet], x: bytes, target: bytes, x_scale: Scale, target_scale: Scale
) -> TrainingSet:
    """Return a copy; in a worker, the same one for every task, so tables are made once."""
    arrays = np.frombuffer(x), np.frombuffer(target)
    return kind(*arrays, x_scale=x_scale, target_scale=target_scale)


def cached(data: TrainingSet, make: Callable[..., T], *arguments: Hashable) -> T:
    """Return ``make(data, *arguments)``, made only once for this object.

    Copies start without it.
    """
    with data._making:  # threads wait for the first one
        key = make, arguments
        if key not in data._made:
            data._made[key] = make(data, *arguments)
        result: T = data._made[key]
        return result


def rounded(data: TrainingSet, dtype: npt.DTypeLike) -> TrainingSet:
    """Return the samples rounded to a dtype; they must be within its range."""
    dtype = np.dtype(dtype)
    return data if dtype == np.float64 else cached(data, _rounded, dtype)


def _rounded(data: TrainingSet, dtype: np.dtype[Any]) -> TrainingSet:
    return TrainingSet(data.x.astype(dtype), data.target.astype(dtype))


def _check_treatment(missing: object, standardize: object) -> None:
    one_of(argument("missing"), missing, MISSING)
    instance_of("standardize", standardize, bool)


def _standard(which: str, label: str, values: Float64Array) -> Scale:
    """Return the scale that gives the values mean 0 and standard deviation 1."""
    low, high = values.min(), values.max()
    with np.errstate(all="ignore"):  # an overflow gives a std that is refused
        mean = values.mean()
        mean += (values - mean).mean()  # the rounding error of a large offset
        residual = values - mean
        largest = np.abs(residual).max()  # so that no square overflows or vanishes
        std = largest * np.sqrt(np.mean((residual / largest) ** 2))
    if low == high or not 0 < std < np.inf:
        raise InputError(
            f"{argument(which)}: expected values with a finite spread above 0 in column"
            f" {shown(label)} to standardize, got {low} to {high}"
        )
    return Scale(label, float(mean), float(std))
