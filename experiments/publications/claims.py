"""Published claims, how our values are measured, and when the two agree.

There are five kinds: printed numbers, an exact value, an estimate with a standard error, a
probability, and a bound.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

import relulab as rl
from relulab import statistics

# A claim says why ours differs, if that is known.
AGREES, DIFFERS, UNEXPLAINED = "agrees", "differs", "differs, unexplained"
CONFIDENCE = 0.999
LIMIT = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)  # in standard errors
Optimizer = rl.SGD | rl.Adam
PLAIN = rl.SGD()
MOST_DIGITS = 15  # that two doubles computed differently can have in common


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement about a setting: its source and, if ours differs, why."""

    name: str
    source: str
    setting: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Printed(Claim):
    """A training run with printed numbers.

    Attributes
    ----------
    numbers : dict of str to dict of int to str
        The printed numbers, by a formula in the columns of ``rl.trace`` and the number of updates.
    rounding : float
        The relative difference that another order of the same operations can make.
    """

    data: rl.TrainingSet
    start: rl.Networks
    rate: float
    numbers: Mapping[str, Mapping[int, str]]
    freeze: Collection[str] = ()
    batch_size: int | None = None
    negative_slope: float = 0
    optimizer: Optimizer = PLAIN
    rounding: float = 1e-12

    def items(self) -> dict[str, str]:
        """Return the printed numbers by their names in the tables."""
        return {
            f"{formula} @ {step}": number
            for formula, printed in self.numbers.items()
            for step, number in printed.items()
        }

    def measure(self) -> dict[str, float]:
        """Return our numbers, by the same names."""
        steps = max(step for printed in self.numbers.values() for step in printed)
        trace = rl.trace(
            self.start,
            self.data,
            self.rate,
            steps,
            freeze=self.freeze,
            batch_size=self.batch_size,
            negative_slope=self.negative_slope,
            optimizer=self.optimizer,
        )
        columns = {formula: np.asarray(trace.eval(formula), float) for formula in self.numbers}
        return {
            f"{formula} @ {step}": float(columns[formula][step])
            for formula, printed in self.numbers.items()
            for step in printed
        }


LINEAR = ("v", "c")
SLOPE = ("b", "v", "c")  # of a neuron without bias


def linear(w: float, b: float, offset: float) -> rl.Networks:
    """Return the linear neuron w*x + b, a ReLU that is active while w*x + b is above -offset.

    With v = 1 and c = -offset frozen, its bias is b + c. (With ``negative_slope=1``, any unit is
    linear.)
    """
    return rl.Networks(w=w, b=b + offset, v=1, c=-offset)


def after(first: int, numbers: str, every: int = 1) -> dict[int, str]:
    """Return printed numbers by their updates: ``first``, then every ``every``."""
    return {first + every * i: number for i, number in enumerate(numbers.split())}


@dataclass(frozen=True, kw_only=True)
class Exact(Claim):
    """A value given by a formula; our measurement resolves ``digits`` of it."""

    published: str
    value: float
    digits: int
    measure: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Estimate(Claim):
    """A value that we estimate from random draws; ``measure`` returns it and its standard error."""

    published: str
    value: float
    measure: Callable[[], tuple[float, float]]


def every_run(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Return true for each run."""
    return pd.Series(True, runs.index)


@dataclass(frozen=True, kw_only=True)
class Chance(Claim):
    """The probability of an event, counted in the runs of a sweep, or those ``among`` them."""

    published: str
    value: float
    sweep: rl.Sweep
    event: Callable[[pd.DataFrame], "pd.Series[bool]"]
    among: Callable[[pd.DataFrame], "pd.Series[bool]"] = every_run


@dataclass(frozen=True, kw_only=True)
class Bound(Claim):
    """A lower bound, or an upper one if ``upper``; ours is the number nearest to it."""

    published: str
    value: float
    measure: Callable[[], float]
    upper: bool = False


def digits_of(number: str) -> int:
    """Return how many significant digits a printed number has."""
    mantissa = re.split("[eE]", number)[0].lstrip("+-").replace(".", "")
    return len(mantissa.lstrip("0")) or 1


def half_unit(number: str) -> float:
    """Return half a unit of the last place of a printed number."""
    mantissa, _, exponent = number.lower().partition("e")
    places = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - places)


def common_digits(ours: float, published: float) -> float:
    """Return how many digits two numbers share; with 0, how many zeros after the point."""
    difference = abs(ours - published) / (abs(published) or 1)
    if math.isnan(difference):
        return 0.0
    return min(max(0.0, -math.log10(difference)), MOST_DIGITS) if difference else MOST_DIGITS


def judged_numbers(claim: Printed, ours: Mapping[str, float]) -> pd.DataFrame:
    """Return each printed number with ours, its digits and how many of them agree."""
    rows = []
    for name, number in claim.items().items():
        value, there = float(number), digits_of(number)
        difference = abs(ours[name] - value)
        # Slightly more than half a unit, because halves are rounded up or down.
        printed = difference <= half_unit(number) * (1 + 1e-9)
        common = there if printed else min(common_digits(ours[name], value), there)
        same = printed or difference <= claim.rounding * abs(value)
        rows.append((claim.name, name, number, ours[name], there, common, same))
    columns = ["row", "number", "published", "ours", "digits", "common", "same"]
    return pd.DataFrame(rows, columns=columns)


def _printed(claim: Printed, ours: Mapping[str, float]) -> dict[str, object]:
    """Judge by the number that agrees least; if all agree, show the last with most digits."""
    numbers = judged_numbers(claim, ours)
    same = bool(numbers["same"].all())
    order = ["digits", "common"] if same else ["same", "common"]
    shown = numbers.sort_values(order, kind="stable").iloc[-1 if same else 0]
    others = f" ({len(numbers)} numbers)" if len(numbers) > 1 else ""
    return {
        "published": f"{shown['number']} = {shown['published']}{others}",
        "ours": f"{shown['ours']:.{min(shown['digits'] + 1, 17)}g}",
        "digits": float(shown["digits"]),
        "common": float(shown["common"]),
        "agreement": f"{round(shown['common'], 1):g} of {shown['digits']} digits",
        "agrees": same,
    }


def _exact(claim: Exact, ours: float) -> dict[str, object]:
    common = common_digits(ours, claim.value)
    return {
        "published": f"{claim.published} = {claim.value:.10g}",
        "ours": f"{ours:.10g}",
        "digits": float(claim.digits),
        "common": common,
        "agreement": f"{round(common, 1):g} digits, {claim.digits} resolved",
        "agrees": common >= claim.digits,
    }


def _estimate(claim: Estimate, ours: float, error: float) -> dict[str, object]:
    off = (ours - claim.value) / error
    return {
        "published": f"{claim.published} = {claim.value:.10g}",
        "ours": f"{ours:.5f} in {ours - LIMIT * error:.5f} ... {ours + LIMIT * error:.5f}",
        "standard_errors": off,
        "agreement": f"{off:+.1f} standard errors",
        "agrees": abs(off) <= LIMIT,
    }


def _chance(claim: Chance, count: int, n: int) -> dict[str, object]:
    low, high = (float(end[0]) for end in statistics.wilson_interval([count], [n], CONFIDENCE))
    error = math.sqrt(claim.value * (1 - claim.value) / n)
    off = (count / n - claim.value) / error if error else float(count > 0)
    told = f"{off:+.1f} standard errors of {n:,} runs" if error else f"{count:,} of {n:,} runs"
    return {
        "published": f"{claim.published} = {claim.value:.6g}",
        "ours": f"{count / n:.5f} in {low:.5f} ... {high:.5f}",
        "standard_errors": off,
        "agreement": told,
        "agrees": low <= claim.value <= high,
    }


def _bound(claim: Bound, ours: float) -> dict[str, object]:
    holds = ours <= claim.value if claim.upper else ours >= claim.value
    return {
        "published": f"{claim.published} {'<=' if claim.upper else '>='} {claim.value:g}",
        "ours": f"{ours:.10g} at the nearest",
        "agreement": "holds" if holds else "is broken",
        "agrees": holds,
    }


def judged(claim: Claim, ours: Mapping[str, float]) -> dict[str, object]:
    """Return a row of the table: the published value, ours, and the verdict.

    ``ours`` has the numbers of a ``Printed``, the count and n of a ``Chance``, otherwise the value,
    for an ``Estimate`` with its standard error.
    """
    match claim:
        case Printed():
            row = _printed(claim, ours)
        case Exact():
            row = _exact(claim, ours["value"])
        case Estimate():
            row = _estimate(claim, ours["value"], ours["standard_error"])
        case Chance():
            row = _chance(claim, int(ours["count"]), int(ours["n"]))
        case Bound():
            row = _bound(claim, ours["value"])
        case _:
            raise TypeError(f"expected a claim of a known kind, got {claim!r}")
    differs = DIFFERS if claim.why else UNEXPLAINED
    agrees = row.pop("agrees")
    return {
        "row": claim.name,
        "source": claim.source,
        "setting": claim.setting,
        "kind": type(claim).__name__.lower(),
        **row,
        "verdict": AGREES if agrees else differs,
        "why": "" if agrees else claim.why,
    }
