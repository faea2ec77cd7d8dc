"""The best fit as an answer about the data, in numbers and in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from textwrap import wrap

import numpy as np
import pandas as pd

from relulab.reading.frame_columns import name_and_first
from relulab.reading.notation import later
from relulab.validation import one_line, set_fields

# A fraction of the squares about the mean that may be rounding; a fraction of the loss too small to
# be worth two numbers.
ROUNDING, HARDLY = 1e-9, 1e-3

PER_DAY = " per day"

WIDTH = 100  # characters of a line of text


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty and its unit.

    Attributes
    ----------
    value : float
    standard_error : float
        NaN if unknown.
    lower, upper : float
        The 95 % interval by the bootstrap; NaN without one.
    unit : str
    remark : str
        What the number belongs to; for a breakpoint among dates, its date.
    """

    value: float
    standard_error: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
    unit: str = ""
    remark: str = ""

    def __post_init__(self) -> None:
        numbers = ("value", "standard_error", "lower", "upper")
        set_fields(self, **{name: float(getattr(self, name)) for name in numbers})


@dataclass(frozen=True, eq=False)
class BrokenStick:
    """The best fit of a network in the user's units; ``str`` puts it in words.

    Attributes
    ----------
    kind : {"hinge", "linear", "constant"}
        As in ``BestFit``.
    flat : {"left", "right"} or None
        Which side of a hinge is flat.
    estimates : dict of str to Estimate
        For a hinge: ``breakpoint``, ``slope`` and ``level``; for a line: ``slope`` and
        ``intercept``; for a constant: ``level``. For all: ``loss``, the mean of half the squared
        residual, ``n_samples`` and, unless all targets are equal, ``R2``.

        With more than four samples, other models too. For the best continuous line with one break
        and two free slopes: ``free_loss``, ``free_R2`` and, if it beats a straight line,
        ``free_breakpoint``, ``free_left_slope`` and ``free_right_slope``. For comparison with a
        hinge: ``line_R2`` of a straight line and, if it beats that line, ``other_breakpoint`` and
        ``other_R2`` of the best hinge that is flat on the other side.
    notes : tuple of str
        Missing results, and the reasons.
    x, target : str
        The names of the columns.
    """

    kind: str
    flat: str | None
    estimates: Mapping[str, Estimate]
    notes: tuple[str, ...]
    x: str
    target: str

    @property
    def table(self) -> pd.DataFrame:
        """One row for each estimate; columns quantity and the fields of ``Estimate``."""
        rows = [{"quantity": name, **vars(found)} for name, found in self.estimates.items()]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return f"BrokenStick({one_line(self._sentence())})"

    def __str__(self) -> str:
        others = ("free_", "line_", "other_")
        own = {
            name.replace("R2", "R²"): found
            for name, found in self.estimates.items()
            if not name.startswith(others)
        }
        width = max(map(len, own))
        numbers = [f"{name:{width}}  {_in_words(found)}" for name, found in own.items()]
        lines = [self._sentence(), "", *numbers, ""]
        for note in (self._beside_free_slopes(), self._beside_others(), *self.notes):
            lines += wrap(note, WIDTH, break_long_words=False, break_on_hyphens=False)
        return "\n".join(map(one_line, lines)).rstrip()

    def _sentence(self) -> str:
        found = self.estimates
        if self.kind == "constant":
            return f"{self.target} = {_digits(found['level'])}, whatever {self.x}: a constant"
        slope = found["slope"]
        does = "rises" if slope.value > 0 else "falls"
        does += f" by {_digits(replace(slope, value=abs(slope.value)))}"
        does += " per day" if slope.unit.endswith(PER_DAY) else " per unit"
        if self.kind == "linear":
            start = found["intercept"]
            return (
                f"{self.target} {does}, from {_digits(start)} {start.remark}: a straight line,"
                " no breakpoint"
            )
        bend, level = found["breakpoint"], _digits(found["level"])
        where = f"{self.x} = {bend.remark or _digits(bend)}"
        if self.flat == "left":
            return f"{self.target} = {level} up to {where}, then {does}"
        return f"{self.target} {does} up to {where}, then stays at {level}"

    def _beside_free_slopes(self) -> str:
        """Return the words on how much better two free slopes would be."""
        flat = "One side" if self.flat is None else f"The {self.flat} side"
        words = f"{flat} of this model is flat by construction."
        if "free_R2" not in self.estimates:
            return words if self.flat else ""
        bend = self.estimates.get("free_breakpoint")
        own, free = self.estimates["R2"].value, self.estimates["free_R2"].value
        if bend is None or free - own <= ROUNDING:
            return f"{words} Two free slopes would be no better."
        where = f"breaking at {self._place(bend)}"
        if free - own < HARDLY * (1 - own):
            return f"{words} Two free slopes, {where}, would hardly be better: R² {free:.4f}."
        losses = [f"{self.estimates[name].value:.4g}" for name in ("free_loss", "loss")]
        digits = next(n for n in range(4, 17) if f"{free:.{n}f}" != f"{own:.{n}f}")
        return (
            f"{words} Two free slopes, {where}: R² {free:.{digits}f}, not {own:.{digits}f}; loss"
            f" {losses[0]}, not {losses[1]}."
        )

    def _beside_others(self) -> str:
        """Return the words on how well models do that have no more parameters."""
        if "line_R2" not in self.estimates:
            return ""
        words = f"A straight line: R² {self.estimates['line_R2'].value:.4f}."
        if "other_R2" in self.estimates:
            bend, of = self.estimates["other_breakpoint"], self.estimates["other_R2"].value
            where = self._place(bend)
            words = f"Flat on the other side, breaking at {where}: R² {of:.4f}. {words}"
        return words

    def _place(self, bend: Estimate) -> str:
        """Return the breakpoint of another model, to the error of the fit's own."""
        short, error = _digits(bend), _error_of(self.estimates.get("breakpoint", bend))
        if abs(float(short) - bend.value) > error:
            short = _rounded(bend.value, error)
        return bend.remark or short


def _digits(found: Estimate) -> str:
    """Return a number to two digits of its error, if known."""
    return _rounded(found.value, _error_of(found))


def _error_of(found: Estimate) -> float:
    error = found.standard_error
    return error if error == error else (found.upper - found.lower) / 4


def _rounded(value: float, error: float) -> str:
    if not 1e-4 < error < 1e15:
        return f"{value:.6g}" if error == 0 else f"{value:.4g}"
    return f"{value:.{max(1 - math.floor(math.log10(error)), 0)}f}"


def _in_words(found: Estimate) -> str:
    error, about, remark = found.standard_error, _error_of(found), found.remark
    plain = f"{found.value:,.0f}" if found.value.is_integer() else f"{found.value:.4g}"
    words = _digits(found) if found.unit else plain
    if error == error:
        words += f" ± {_rounded(error, error)}"
    if found.lower == found.lower:
        ends = found.lower, found.upper
        words += ", 95 % from {} to {}".format(*(_rounded(end, about) for end in ends))
        if counted_from := name_and_first(found.unit):
            remark += ", from {} to {}".format(*(later(counted_from[1], end) for end in ends))
    return "  ".join(filter(None, [words, found.unit, remark]))
