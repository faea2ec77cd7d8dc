"""The best fit in the user's units: where it breaks, how steep it is, how sure that is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from relulab.model.data import Scale, TrainingSet
from relulab.reading.frame_columns import name_and_first
from relulab.reading.notation import later
from relulab.theory.answer import PER_DAY, ROUNDING, BrokenStick, Estimate
from relulab.theory.breaks import best_break, best_hinge, least_squares
from relulab.theory.optimum import NEGLIGIBLE, BestFit, best_fit
from relulab.validation import (
    Float64Array,
    InputError,
    counted,
    instance_of,
    seed_number,
    whole_number,
)

# With fewer draws, a few outermost ones would decide the 95 % interval.
FEWEST_DRAWS, MOST_DRAWS = 100, 10**6

QUANTILES = (0.025, 0.975)

# Parameters of a continuous line with two free slopes: it fits this many samples exactly.
N_FREE = 4

# A smaller sum of squares has lost digits.
LEAST = np.finfo(float).tiny

# A fraction of x: samples that are closer have spreads with fewer than half of the digits.
CLOSE = 2.0**-26


def broken_stick(data: TrainingSet, bootstrap: int = 0, seed: int = 0) -> BrokenStick:
    """Return the best fit in an analyst's terms: breakpoint, slope, level and their errors.

    Parameters
    ----------
    data : TrainingSet
        Its ``x_scale`` and ``target_scale`` give the units of the answer. If x are dates, the
        breakpoint is a date, too, and the slope is per day.
    bootstrap : int
        The number of times to draw samples with replacement and fit again, for 95 % intervals from
        the percentiles; 0 for none, else at least 100.
    seed : int
        Seed of these draws.

    Returns
    -------
    BrokenStick

    Raises
    ------
    InputError
        If ``bootstrap`` is out of range, if an answer is beyond the range of float64, or as
        ``best_fit`` raises it.

    Notes
    -----
    Standard errors are those of least squares with independent noise of one variance, estimated
    with n - 3 degrees of freedom (a line n - 2, a constant n - 1), from the derivatives of the fit
    with respect to its three numbers. A hinge at a sample, where the loss has a kink, has the same
    errors in the limit of many samples (Feder 1975, Ann. Statist. 3). But its breakpoint gets no
    standard error if the next sample on a side is farther away than that error would be: such a
    hinge sticks to the sample.

    The best fit is exact however close the samples are. What float64 cannot resolve beside it
    (standard errors, intervals, other models) is left out, and a note says so.

    Examples
    --------
    >>> import relulab as rl
    >>> data = rl.TrainingSet([0, 1, 2, 3, 4, 5], [2.1, 1.9, 2, 4.1, 5.9, 8])
    >>> stick = rl.broken_stick(data)
    >>> print(stick)
    target = 2.000 up to x = 1.985, then rises by 1.980 per unit
    <BLANKLINE>
    breakpoint  1.985 ± 0.063  x
    slope       1.980 ± 0.050  target per x  on the right
    level       2.000 ± 0.080  target  on the left
    loss        0.003167  (target) squared
    R²          0.9988
    n_samples   6
    <BLANKLINE>
    The left side of this model is flat by construction. Two free slopes, breaking at 1.849:
    R² 0.9994, not 0.9988; loss 0.0015, not 0.003167.
    A straight line: R² 0.8583.
    >>> round(stick.estimates["breakpoint"].standard_error, 4)
    0.0625
    """
    instance_of("data", data, TrainingSet)
    bootstrap = checked_draws("bootstrap", bootstrap)
    seed = seed_number("seed", seed)
    fit, units = best_fit(data), _Units.of(data)
    with np.errstate(all="ignore"):  # extreme units
        total = _squares_about_the_mean(data)
        estimates, notes = ESTIMATES[fit.kind](data, fit, units)
        if bootstrap and fit.kind == "hinge":
            estimates, said = _with_intervals(estimates, data, fit, units, total, bootstrap, seed)
            notes += said
        elif bootstrap:
            notes += ["There is no breakpoint, so it has no interval."]
        estimates["loss"] = units.loss(fit.loss)
        if total > 0:
            estimates["R2"] = Estimate(1 - 2 * data.n_samples * fit.loss / total)
        estimates["n_samples"] = Estimate(data.n_samples)
        if not np.isfinite([found.value for found in estimates.values()]).all():
            raise _refusal(data)
        if total > 0 and data.n_samples > N_FREE and np.ptp(data.x) > 0:
            others, said = _others(data, fit, units, total)
            estimates, notes = estimates | others, notes + said
    flat = None
    if fit.kind == "hinge":
        flat = "left" if fit.network.w[0] > 0 else "right"
    return BrokenStick(fit.kind, flat, estimates, tuple(notes), units.x, units.target)


def checked_draws(name: str, value: object) -> int:
    """Return the number of bootstrap draws; refuse too few and too many."""
    n_draws = whole_number(name, value, at_least=0, at_most=MOST_DRAWS)
    if 0 < n_draws < FEWEST_DRAWS:
        raise InputError(f"{name}: expected 0 or at least {FEWEST_DRAWS}, got {n_draws}")
    return n_draws


@dataclass(frozen=True)
class _Units:
    """The conversion of stored numbers to the user's units, with their names.

    Attributes
    ----------
    x, target : str
        The names.
    first : str or None
        If x are dates, the earliest, from which days are counted.
    """

    x: str
    target: str
    first: str | None
    x_scale: Scale
    target_scale: Scale

    @classmethod
    def of(cls, data: TrainingSet) -> Self:
        x, target = data.x_scale, data.target_scale
        name, first = name_and_first(x.label) or (x.label, None)
        return cls(name, target.label, first, x, target)

    @property
    def per(self) -> str:
        return f"{self.target}{PER_DAY if self.first else f' per {self.x}'}"

    def place(self, x: float, error: float = np.nan) -> Estimate:
        value = float(self.x_scale.to_user(x))
        date = None if self.first is None else later(self.first, value)
        error *= self.x_scale.std
        return Estimate(value, error, unit=self.x_scale.label, remark=date or "")

    def slope(self, slope: float, error: float = np.nan, remark: str = "") -> Estimate:
        unit = self.target_scale.std / self.x_scale.std
        return Estimate(slope * unit, error * unit, unit=self.per, remark=remark)

    def height(self, target: float, error: float = np.nan, remark: str = "") -> Estimate:
        value = float(self.target_scale.to_user(target))
        error *= self.target_scale.std
        return Estimate(value, error, unit=self.target, remark=remark)

    def loss(self, loss: float) -> Estimate:
        square = self.target_scale.std * self.target_scale.std  # where std**2 raises: infinite
        return Estimate(loss * square, unit=f"({self.target}) squared")


Told = tuple[dict[str, Estimate], list[str]]


def _refusal(data: TrainingSet) -> InputError:
    return InputError(
        "data: expected samples whose best fit and squares of the targets are within the range of"
        f" float64, got {data!r}"
    )


def _squares_about_the_mean(data: TrainingSet) -> float:
    """Return the sum; refuse targets that differ by less or more than squares can have."""
    total = float(np.sum((data.target - data.target.mean()) ** 2))
    if np.ptp(data.target) > 0 and not LEAST < total < np.inf:
        raise _refusal(data)
    return total


def _lose_digits(x: Float64Array) -> bool:
    """Return whether x are too close to each other, or too small or large, for their squares."""
    sxx = np.sum((x - x.mean()) ** 2)
    return bool(np.ptp(x) < CLOSE * np.abs(x).max() or not LEAST < sxx < np.inf)


def _noise(data: TrainingSet, fit: BestFit, n_parameters: int) -> tuple[float, list[str]]:
    """Return the standard deviation of the noise, or NaN and a note if it is unknown."""
    squares, freedom = 2 * data.n_samples * fit.loss, data.n_samples - n_parameters
    if freedom <= 0:
        few = counted(data.n_samples, "sample"), counted(n_parameters, "parameter")
        return np.nan, [f"No standard errors: {few[0]} for {few[1]}."]
    if squares <= NEGLIGIBLE * _squares_about_the_mean(data):
        return 0.0, []
    return float(np.sqrt(squares / freedom)), []


def _constant(data: TrainingSet, fit: BestFit, units: _Units) -> Told:
    noise, notes = _noise(data, fit, 1)
    return {"level": units.height(fit.network.c[0], noise / np.sqrt(data.n_samples))}, notes


def _line(data: TrainingSet, fit: BestFit, units: _Units) -> Told:
    noise, notes = _noise(data, fit, 2)
    w, b, v, c = fit.network.stack()[:, 0].tolist()
    mean = data.x.mean()
    sxx, start = np.sum((data.x - mean) ** 2), float(units.x_scale.from_user(0))
    slope_error = noise / np.sqrt(sxx)
    error = noise * np.sqrt(1 / data.n_samples + (start - mean) ** 2 / sxx)
    if noise > 0 and (_lose_digits(data.x) or np.isinf(error)):
        slope_error = error = np.nan
        notes += ["No standard errors: in float64 the squares of x lose their digits."]
    at = f"at {units.x} = {units.first or 0}"
    return {
        "slope": units.slope(v * w, slope_error),
        "intercept": units.height(v * (w * start + b) + c, error, at),
    }, notes


def _hinge(data: TrainingSet, fit: BestFit, units: _Units) -> Told:
    noise, notes = _noise(data, fit, 3)
    w, b, v, c = fit.network.stack()[:, 0].tolist()
    place, away = -b / w, w * data.x + b  # w is 1 or -1
    active, n_flat = away[away > 0], np.sum(away <= 0)
    sxx = np.sum((active - active.mean()) ** 2)
    level_error, slope_error = noise / np.sqrt(n_flat), noise / np.sqrt(sxx)
    # The sloping side is a separate line; the point where it reaches the level has both errors.
    place_error = noise / abs(v) * np.sqrt(1 / n_flat + 1 / active.size + active.mean() ** 2 / sxx)
    if active.min() == active.max():
        slope_error = place_error = np.nan
        notes += [
            "All samples of the sloping side have one x: its slope is not determined, nor is the"
            " breakpoint; the flattest slope is given."
        ]
    elif noise > 0 and (
        _lose_digits(active) or _lose_digits(data.x[away > 0]) or np.isinf(place_error)
    ):
        slope_error = place_error = np.nan
        notes += [
            "No standard errors of the slope and the breakpoint: in float64 the squares of x on the"
            " sloping side lose their digits."
        ]
    elif place_error > 0 and (away == 0).any():
        gap = max(active.min(), -away[away < 0].max(initial=-np.inf))
        if gap > place_error:
            place_error = np.nan
            notes += [
                "No standard error of the breakpoint: it is at a sample, where the loss has a kink,"
                " and the next one is farther away than the standard error would be."
            ]
    sides = ("left", "right") if w > 0 else ("right", "left")
    return {
        "breakpoint": units.place(place, place_error),
        "slope": units.slope(v * w, slope_error, f"on the {sides[1]}"),
        "level": units.height(c, level_error, f"on the {sides[0]}"),
    }, notes


ESTIMATES = {"constant": _constant, "linear": _line, "hinge": _hinge}


@dataclass(frozen=True, eq=False)
class _Sorted:
    """Samples ascending in x, from 0 to 1, with targets of at most 1.

    Their distances are those of ``exact``, x divided by a power of 2, to rounding.
    """

    x: Float64Array
    exact: Float64Array
    target: Float64Array
    x_scale: Scale
    target_scale: Scale

    @classmethod
    def of(cls, data: TrainingSet) -> Self:
        order = np.argsort(data.x, kind="stable")
        x, target = data.x[order], data.target[order]
        x_scale = Scale("x", x[0], x[-1] - x[0])
        target_scale = Scale("target", 0, np.abs(target).max())
        exact = np.ldexp(x, -np.frexp(np.abs(x).max())[1])
        scaled = x_scale.from_user(x), exact, target_scale.from_user(target)
        return cls(*scaled, x_scale, target_scale)


def _others(data: TrainingSet, fit: BestFit, units: _Units, total: float) -> Told:
    """Return the estimates of other models, for comparison with the fit."""
    samples, found = _Sorted.of(data), {}
    unit = samples.target_scale.std / samples.x_scale.std
    gaps = np.diff(samples.exact)
    resolved = gaps[gaps > 0].min() ** 2 > LEAST

    def place(x: float) -> Estimate:
        return units.place(float(samples.x_scale.to_user(x)))

    def fitted(*columns: Float64Array) -> tuple[Float64Array, float, Estimate]:
        """Return the least-squares fit of columns and a level, with its loss and R2."""
        design = np.stack([np.ones(data.n_samples), *columns], axis=1)
        solution = np.asarray(np.linalg.lstsq(design, samples.target)[0], np.float64)
        residuals = (samples.target - design @ solution) * samples.target_scale.std
        loss = float(np.mean(residuals**2) / 2)
        return solution, loss, Estimate(1 - 2 * data.n_samples * loss / total)

    def is_least(loss: float, *sloping: bool) -> bool:
        """Return whether it is that of the best break also without scaling x and solving."""
        least = least_squares(samples.exact, samples.target, sloping=(sloping[0], sloping[1]))
        off = 2 * data.n_samples * loss - least * samples.target_scale.std**2
        return bool(abs(off) <= ROUNDING * total)

    _, line_loss, of_line = fitted(samples.x)
    if fit.kind == "hinge":
        found["line_R2"] = of_line
        w, loss = fit.network.w[0], line_loss
        sloping = bool(w > 0), bool(w < 0)
        bend = best_break(samples.x, samples.target, sloping=sloping)
        if bend == bend:
            found["other_breakpoint"] = place(bend)
            _, loss, found["other_R2"] = fitted(np.maximum(w * (bend - samples.x), 0))
        resolved = resolved and is_least(loss, *sloping)
    bend, loss, r_squared = best_break(samples.x, samples.target), line_loss, of_line
    if bend == bend:
        solution, loss, r_squared = fitted(samples.x, np.maximum(samples.x - bend, 0))
        found["free_breakpoint"] = place(bend)
        found["free_left_slope"] = units.slope(solution[1] * unit)
        found["free_right_slope"] = units.slope((solution[1] + solution[2]) * unit)
    found |= {"free_loss": units.loss(loss), "free_R2": r_squared}
    resolved = resolved and is_least(loss, True, True)
    if resolved and np.isfinite([each.value for each in found.values()]).all():
        return found, []
    return {}, ["No comparison with other models: some x are too close to each other for float64."]


def _with_intervals(
    estimates: Mapping[str, Estimate],
    data: TrainingSet,
    fit: BestFit,
    units: _Units,
    total: float,
    n_draws: int,
    seed: int,
) -> Told:
    """Return the estimates with percentiles of fits to samples drawn with replacement."""
    samples, rng = _Sorted.of(data), np.random.default_rng(seed)
    n = data.n_samples
    side, bend, steepness, level = best_hinge(samples.x, samples.target)
    refit = side * steepness * np.maximum(side * (samples.x - bend), 0) + level
    off = np.sum(((samples.target - refit) * samples.target_scale.std) ** 2) - 2 * n * fit.loss
    if off > ROUNDING * total:  # not NaN, as of a fit that is hardly better than a line
        return dict(estimates), [
            "No 95 % intervals: some x are too close to each other for fits in float64."
        ]
    refits = np.full((n_draws, 4), np.nan)
    for k in range(n_draws):
        drawn = np.sort(rng.integers(0, n, n))
        refits[k] = best_hinge(samples.x[drawn], samples.target[drawn])
    w, places, slopes, levels = refits.T
    breaks, alike = ~np.isnan(w), w == fit.network.w[0]
    unit = samples.target_scale.std / samples.x_scale.std
    found = {
        "breakpoint": [units.place(x).value for x in samples.x_scale.to_user(places[breaks])],
        "slope": [units.slope(slope * unit).value for slope in slopes[alike]],
        "level": [units.height(t).value for t in samples.target_scale.to_user(levels[alike])],
    }
    with_intervals = dict(estimates)
    for name, values in found.items():
        if len(values) >= FEWEST_DRAWS:
            lower, upper = np.quantile(values, QUANTILES).tolist()
            with_intervals[name] = replace(estimates[name], lower=lower, upper=upper)
    note = f"95 % intervals: percentiles of {n_draws:,} bootstrap draws."
    if other := int(np.sum(breaks & ~alike)):
        note += (
            f" In {other:,} of them the other side is flat; these count for the breakpoint alone."
        )
    if straight := int(np.sum(~breaks)):
        note += f" In {straight:,} there is no break; they count for nothing."
    return with_intervals, [note]
