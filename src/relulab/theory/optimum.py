"""The best that a one-node ReLU network can do on some samples: the global optimum of the loss.

A network is a hinge: a continuous function, a line on one side of a point and on the other a line
with negative_slope times its slope (0 for a plain ReLU). The samples can be on its two sides in 2n
ways. The optimum of each such split is known in closed form, so the best of all is found without a
search, in O(n log n). The idea is from Hudson 1966 (JASA 61).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from relulab.model.data import TrainingSet, cached
from relulab.model.double_double import DoubleDouble
from relulab.model.network import Networks, checked_slopes
from relulab.model.splits import Moments, Splits
from relulab.validation import Float64Array, InputError, instance_of

# A fraction of the sum of squares of the targets about their mean: a kind of fit that is better by
# less is only more complicated.
NEGLIGIBLE = 1e-24

# Two kinds of fit with the same squares differ by their last roundings.
TIE = 1 + 2 * np.finfo(float).eps

# Of a sum of squares of x, which are at most 1: smaller numbers lose digits in products.
SMALLEST = np.finfo(float).tiny / np.finfo(float).eps ** 2

# A smaller slope counts as 0: its square may be lost, and no network in float64 can use it.
LEAST_SLOPE = 2.0**-100

# A fraction of the same: the float64 error of a split's sum of squares is a hundredth of this.
MARGIN = 1e-12

# Slopes times samples at once, and slopes times splits. So all intermediate arrays fit in the
# cache; beyond it, and if the system must provide memory for every array, it takes 4 times as long.
BLOCK, PIECE = 1 << 16, 1 << 12


@dataclass(frozen=True, eq=False)
class BestFit:
    """The network with the smallest loss of all networks on some samples.

    Attributes
    ----------
    network : Networks
        One network, with w = 1 or w = -1.
    loss : float
        The mean of ``0.5*(prediction - target)**2``, in units of target**2, before the parameters
        are rounded to float64. It is exact to 1e-12 of itself plus 1e-24 of the best constant's
        loss. Rounding the parameters adds less than 1e-9 of it, plus 1e-15 of the best constant's,
        plus 2**-99 of the square of the largest target.
    kind : {"hinge", "linear", "constant"}
        "hinge": the unit is active on some samples; "linear": on all, and the network is their
        least-squares line; "constant": v = 0, and the network is their mean.
    """

    network: Networks
    loss: float
    kind: str


def best_fit(data: TrainingSet, negative_slope: float = 0.0) -> BestFit:
    """Return the global optimum of the loss over all w, b, v, c, in O(n log n).

    A line is preferred to a hinge, and a constant to both, unless its loss is larger by more than
    rounding and 1e-24 of the variance of the targets. Multiplying w and b by a positive number and
    dividing v by it gives other networks with the same predictions. If all active samples have one
    x, the hinge is as far from them as the smallest loss allows: at the next sample.

    Parameters
    ----------
    data : TrainingSet
        Of any number of samples, in any order; several may have the same x.
    negative_slope : float
        From 0 to 1; see ``Networks.predict``. With 1 the best fit is linear or constant.

    Returns
    -------
    BestFit

    Raises
    ------
    InputError
        If ``data`` is not a ``TrainingSet``, if the slope is not from 0 to 1, or if the best fit is
        beyond the range or the precision of float64: if x are a few units in the last place apart,
        the hinge may lie between two floats.

    Examples
    --------
    >>> import relulab as rl
    >>> fit = rl.best_fit(rl.TrainingSet([0, 1, 2, 3], [1, 1, 2, 4]))
    >>> fit.kind, fit.network, round(fit.loss, 4)
    ('hinge', Networks(w=1.0, b=-1.5, v=2.0, c=1.0), 0.0)
    """
    instance_of("data", data, TrainingSet)
    return cached(data, _best_fit, float(checked_slopes(negative_slope, 1)[0]))


def smallest_loss(data: TrainingSet, negative_slope: float = 0.0) -> float:
    """Return the loss of the best fit, even if no network in float64 attains it.

    As the slope goes to 0, this need not go to its value at slope 0: with v = 1/slope, a unit that
    is active only on the last sample fits any line to the others. A slope below 2**-100 counts as
    0.

    Raises
    ------
    InputError
        If sums beyond the range of float64 lose the loss.
    """
    return cached(data, _optimum, float(negative_slope)).loss


def smallest_losses(data: TrainingSet, negative_slope: npt.ArrayLike) -> Float64Array:
    """Return ``smallest_loss`` for many slopes, shape (n_slopes,), in O(n_slopes*n_samples).

    Raises
    ------
    InputError
        As ``smallest_loss``.
    """
    slopes, places = np.unique(np.asarray(negative_slope, np.float64), return_inverse=True)
    samples = _Scaled.of(data)
    size = max(1, BLOCK // data.n_samples)
    blocks = [slopes[start : start + size] for start in range(0, slopes.size, size)]
    losses = [samples.loss(samples.best(block)[1][0]) for block in blocks]
    return np.concatenate(losses)[places]


@dataclass(frozen=True)
class _Optimum:
    """The best fit to samples scaled to at most 1, and its loss on the given samples.

    Scaling multiplies the ``parameters`` w, b, v, c by powers of 2, the ``units``.
    """

    kind: str
    loss: float
    total: float
    squares: float
    parameters: Float64Array
    units: tuple[int, int, int, int]


def _best_fit(data: TrainingSet, slope: float) -> BestFit:
    optimum = cached(data, _optimum, slope)
    with np.errstate(all="ignore"):
        parameters = np.ldexp(optimum.parameters, optimum.units)
        # Rounding costs the square of an ulp of the targets, and more if x are ulps apart.
        back = np.ldexp(parameters, np.negative(optimum.units))
        most = (1 + 1e-9) * optimum.squares + 1e-15 * optimum.total + data.n_samples * 2.0**-100
        has_the_loss = np.isfinite(optimum.loss) and _squares(data, back, slope) <= most
    if not has_the_loss:
        raise _refusal(data)
    return BestFit(Networks(*parameters), optimum.loss, optimum.kind)


def _refusal(data: TrainingSet) -> InputError:
    return InputError(
        "data: expected samples whose best fit is within the range and the precision of float64,"
        f" got {data!r}"
    )


def _squares(data: TrainingSet, parameters: Float64Array, slope: float) -> float:
    """Return the sum of squared residuals of a network on the scaled samples; w is 1 or -1."""
    samples = np.stack([_scaled(data.x)[0], _scaled(data.target)[0]])
    residuals = [
        _residuals(samples[:, piece], parameters, slope) for piece in _pieces(data.n_samples)
    ]
    return float(np.sum(np.concatenate(residuals) ** 2))


def _residuals(samples: Float64Array, parameters: Float64Array, slope: float) -> Float64Array:
    (x, target), (w, b, v, c) = samples, parameters
    pre_activation = DoubleDouble.of(w * x) + DoubleDouble.of(b)
    leak = DoubleDouble.of(np.where(pre_activation.hi > 0, 1.0, slope))
    output = DoubleDouble.of(v) * (leak * pre_activation) + DoubleDouble.of(c)
    residual: Float64Array = (output - DoubleDouble.of(target)).hi
    return residual


def _pieces(size: int, width: int = 1) -> list[slice]:
    """Return the pieces in which to work through a range of things of some width."""
    step = max(1, PIECE // width)
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def _optimum(data: TrainingSet, slope: float) -> _Optimum:
    samples = _Scaled.of(data)
    index, best = samples.best(np.array([slope]))
    squares, *parameters = best[:, 0].tolist()
    return _Optimum(
        kind=("constant", "linear", "hinge")[min(int(index[0]), 2)],
        loss=float(samples.loss(best[0])[0]),
        total=samples.total,
        squares=squares,
        parameters=np.array(parameters),
        units=samples.units,
    )


@dataclass(frozen=True, eq=False)
class _Scaled:
    """Samples scaled to at most 1, and the powers of 2 that scale them back.

    Attributes
    ----------
    data : TrainingSet
    splits : Splits
    x_exponent, target_exponent : int
    """

    data: TrainingSet
    splits: Splits
    x_exponent: int
    target_exponent: int

    @classmethod
    def of(cls, data: TrainingSet) -> Self:
        (x, x_exponent), (target, target_exponent) = _scaled(data.x), _scaled(data.target)
        splits = Splits.of(x, target)
        # If x that differ are scaled to one, no split can be between them.
        inexact = bool((np.ldexp(x, x_exponent) != data.x).any())
        if inexact and (np.diff(np.sort(data.x)) > 0)[np.diff(splits.x) == 0].any():
            raise _refusal(data)
        return cls(data, splits, x_exponent, target_exponent)

    @property
    def units(self) -> tuple[int, int, int, int]:
        """The powers of 2 of w, b, v, c."""
        return 0, self.x_exponent, self.target_exponent - self.x_exponent, self.target_exponent

    @cached_property
    def all(self) -> Moments:
        """The moments of all samples."""
        return self.splits.at(np.array([0]))[1]

    @property
    def total(self) -> float:
        """The constant's sum of squared residuals."""
        return float(self.all.stt.hi[0])

    def loss(self, squares: Float64Array) -> Float64Array:
        """Return the losses for sums of squared residuals."""
        with np.errstate(all="ignore"):  # extreme units
            result: Float64Array = np.ldexp(
                squares / (2 * self.data.n_samples), 2 * self.target_exponent
            )
        return result

    def best(self, slopes: Float64Array) -> tuple[npt.NDArray[np.int64], Float64Array]:
        """Return the kind for every slope, 0 if constant, 1 if linear, else more; and the best fit.

        The fits are the sum of squared residuals, w, b, v, c; shape (5, n_slopes).
        """
        constant = np.array([self.total, 1.0, 0.0, 0.0, self.all.mean_target.hi[0]])
        with np.errstate(all="ignore"):  # no crossing if a slope is 0
            # Firing to the right of the hinge and, mirrored, to the left.
            hinges = [
                _fits(side, slopes, split)
                for side, split in zip(self.sides, self.candidates(slopes), strict=True)
            ]
            alike = np.broadcast_to(constant[:, np.newaxis, np.newaxis], (5, slopes.size, 1))
            fits = np.concatenate([alike, *hinges], axis=2)
            enough = TIE * fits[0].min(axis=1) + NEGLIGIBLE * self.total
        is_constant, is_linear = (fits[0, :, :2] <= enough[:, np.newaxis]).T
        index = np.select([is_constant, is_linear], [0, 1], fits[0].argmin(axis=1))
        best = np.take_along_axis(fits, index[np.newaxis, :, np.newaxis], axis=2)[:, :, 0]
        if not np.isfinite(best).all():
            raise _refusal(self.data)
        return index, best

    @property
    def sides(self) -> "tuple[_Side, _Side]":
        """The samples for units that fire on the largest x, and for those on the smallest."""
        return _Side(self.splits, 1.0), _Side(self.splits, -1.0)

    @cached_property
    def nearly(self) -> tuple[Float64Array, Float64Array]:
        """The moments in float64 of the samples before a split and of the others."""
        return self.splits.ahead.nearly(), self.splits.back.nearly()[:, ::-1]

    def candidates(self, slopes: Float64Array) -> list[npt.NDArray[np.int64]]:
        """Return for each side 0 and the splits that may have the best fit for a slope.

        Float64 shows all other splits to be worse by more than its possible errors. Few are left,
        unless the line's squares are hardly more than these errors. If none are left, or all fits
        are lines, the line is the best fit.
        """
        only_the_line, n = np.zeros(1, np.int64), self.splits.x.size
        line = _fits(self.sides[0], slopes, only_the_line)[0]
        settled = (line <= NEGLIGIBLE * self.total) | (slopes == 1)[:, np.newaxis]
        if settled.all():
            return [only_the_line, only_the_line]
        least, limits = np.empty((2, slopes.size, n - 1)), line
        for piece in _pieces(n - 1, slopes.size):
            split = slice(piece.start + 1, piece.stop + 1)
            first, last = (moments[:, split] for moments in self.nearly)
            least[:, :, piece], some = _estimates(self.splits.x, split, first, last, slopes)
            limits = np.fmin(limits, np.fmin.reduce(some, axis=(0, 2))[:, np.newaxis])
        worse = (settled | (least > limits + MARGIN * self.total)).all(axis=1)  # not NaN
        right, left = (1 + np.flatnonzero(~side) for side in worse)
        return [np.append(0, right), np.append(0, n - left[::-1])]


@dataclass(frozen=True, eq=False)
class _Side:
    """Sorted samples for units with w = 1, or samples at -x for units with w = -1."""

    splits: Splits
    w: float

    @property
    def x(self) -> Float64Array:
        """Ascending."""
        return self.splits.x if self.w > 0 else -self.splits.x[::-1]

    def at(self, split: npt.NDArray[np.int64]) -> tuple[Moments, Moments]:
        """Return the moments of the samples before some splits and of the others."""
        if self.w > 0:
            return self.splits.at(split)
        last, first = self.splits.at(self.splits.x.size - split)
        return first.mirrored(), last.mirrored()


def _estimates(
    x: Float64Array, split: slice, first: Float64Array, last: Float64Array, slopes: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return lower bounds of the squares of some splits, and the squares of some fits.

    Parameters
    ----------
    x : ndarray of float64, shape (n_samples,)
        Ascending.
    split : slice
        From 1.
    first, last : ndarray of float64, shape (7, n_splits)
        The results of ``Prefixes.nearly`` for the samples on both sides.
    slopes : ndarray of float64, shape (n_slopes,)

    Returns
    -------
    tuple of ndarray of float64, shape (2, n_slopes, n_splits)
        For units that fire to the right, and to the left.
    """
    low, high = x[split.start - 1 : split.stop - 1], x[split]
    ends = np.stack([low, high])[:, np.newaxis]
    from_first, to_last = (ends - first[0]) - first[5], (last[0] - ends) + last[5]
    rise = (last[1] - first[1]) + (last[6] - first[6])
    count = np.arange(split.start, split.stop, dtype=np.float64)
    weight = count * (x.size - count) / x.size
    leaks = slopes[:, np.newaxis] >= LEAST_SLOPE
    slope = np.where(leaks, slopes[:, np.newaxis], 0.0)
    least, some = np.empty((2, 2, slopes.size, low.size))
    # With x and the targets mirrored for a unit that fires to the left, the signs are the same.
    sides = (last, first, to_last, from_first), (first, last, from_first, to_last)
    for i, (firing, silent, to_firing, to_silent) in enumerate(sides):
        (sxx, sxt, stt), (silent_sxx, silent_sxt, silent_stt) = firing[2:5], silent[2:5]
        both, across = sxx + slope**2 * silent_sxx, sxt + slope * silent_sxt
        steepness = across / both
        apart = silent_sxt / silent_sxx - slope * (sxt / sxx)
        leaking = silent_stt - silent_sxt / silent_sxx * silent_sxt
        leaking = leaking + silent_sxx * (sxx / both) * apart**2
        own = np.where(leaks, leaking, silent_stt) + (stt - sxt / sxx * sxt)
        # As in _fits. The hinge is best if the gap is 0, else at one of the ends.
        run = to_firing + slope * to_silent
        gap = steepness * run - rise
        more = both * weight / (both + weight * run**2) * gap**2
        at_an_end = own + more.min(axis=0)
        # If squares of x vanish, float64 shows nothing.
        vanish = (sxx < 4 * SMALLEST) | leaks & (silent_sxx < 4 * SMALLEST)
        some[i] = np.where(vanish, np.inf, at_an_end)
        least[i] = np.select([vanish, gap[0] * gap[1] > 0], [-np.inf, at_an_end], own)
    least[:, :, low == high] = np.inf  # no split
    return least, some


def _scaled(values: Float64Array) -> tuple[Float64Array, int]:
    """Return values scaled to at most 1, with squares in range, and the power of 2 taken out."""
    exponent = int(np.frexp(np.abs(values).max())[1])
    return np.ldexp(values, -exponent), exponent


def _fits(side: _Side, slopes: Float64Array, split: npt.NDArray[np.int64]) -> Float64Array:
    """Return the best fit for some splits of distinct x; split 0 is the linear fit.

    Parameters
    ----------
    side : _Side
    slopes : ndarray of float64, shape (n_slopes,)
    split : ndarray of int, shape (n_splits,)

    Returns
    -------
    ndarray of float64, shape (5, n_slopes, n_splits)
        The sum of squared residuals, w, b, v, c.
    """
    pieces = [
        _fits_of_piece(side, slopes, split[piece]) for piece in _pieces(split.size, slopes.size)
    ]
    return np.concatenate(pieces, axis=2)


def _fits_of_piece(side: _Side, slopes: Float64Array, split: npt.NDArray[np.int64]) -> Float64Array:
    x, all_samples = side.x, side.at(np.zeros(1, np.int64))[1]
    silent, firing = side.at(split)
    leaks = slopes[:, np.newaxis] >= LEAST_SLOPE
    slope = DoubleDouble.of(np.where(leaks, slopes[:, np.newaxis], 0.0))
    n, rise = all_samples.count, firing.mean_target - silent.mean_target
    # The optimum for a split is a line on each side through the means of its samples, with slopes v
    # and slope*v. The hinge is where the lines meet, if that lies between the two sides.
    sxx, sxt = firing.sxx + slope * slope * silent.sxx, firing.sxt + slope * silent.sxt
    some_sxx = sxx.where(sxx.hi > 0, 1.0)
    steepness = (sxt / some_sxx).where(sxx.hi > 0)
    # How far the two sides' own lines are from slopes in this ratio, in squares. Silent samples
    # that do not leak have no slope, but the variance of their targets.
    apart = silent.slope - slope * firing.slope
    leaking = silent.residual_sum + silent.sxx * firing.sxx * apart * apart / some_sxx
    own = leaking.where(leaks) + silent.stt.where(~leaks) + firing.residual_sum
    # If they meet elsewhere, a hinge at one end of the interval between the sides is best, because
    # the loss has one minimum in the hinge's position for each sign of v. The lower end is enough:
    # the upper end is the lower end of the next split, and beyond the last sample nothing fires
    # (and the leak is a line).
    before_all = min(2 * x[0] - x[-1], np.nextafter(x[0], -np.inf))
    lower = np.where(split > 0, x[split - 1], before_all)
    hinge = firing.mean_x - slope * silent.mean_x - rise / steepness
    hinge = hinge / (DoubleDouble.of(1.0) - slope)
    # Use its low part only if x are so few ulps apart that it matters.
    worth = (steepness.hi * hinge.lo) ** 2 * x.size > NEGLIGIBLE * all_samples.stt.hi
    place = DoubleDouble(hinge.hi, np.where(worth, hinge.lo, 0.0))
    above, below = place - DoubleDouble.of(lower), DoubleDouble.of(x[split]) - place
    meets = (split > 0) & (above.hi > 0) & (below.hi >= 0)
    hinge = DoubleDouble(np.where(meets, hinge.hi, lower), np.where(meets, hinge.lo, 0.0))
    # The line through the mean of all samples as a function of the activation, from the sums of
    # both sides. Its loss exceeds that of the split's optimum by a square in which no digits
    # cancel: between variances of the sides, sxx and weight*run^2.
    leaked = slope * (silent.mean_x - hinge)
    fired, weight = firing.mean_x - hinge, firing.count * silent.count / n
    run = fired - leaked
    variance = sxx + weight * run * run
    variance = variance.where(variance.hi > 0, 1.0)  # 0 if all x are equal
    v = (sxt + weight * run * rise) / variance
    c = all_samples.mean_target - v * fired * firing.count / n - v * leaked * silent.count / n
    gap = steepness * run - rise
    squares = own + sxx * weight * gap * gap / variance
    width = np.full(squares.hi.shape, side.w)
    fits = np.stack([np.maximum(squares.hi, 0), width, -hinge.hi, v.hi, c.hi])
    # If squares of x vanish: at least that of the silent samples alone; matters if that is best.
    few_fire, few_leak = x[split] == x[-1], (split == 0) | (x[0] == x[split - 1])
    lost = ~few_fire & (firing.sxx.hi < SMALLEST) | (split > 0) & (variance.hi < SMALLEST)
    lost = lost | leaks & ~few_leak & (np.minimum(silent.sxx.hi, sxx.hi) < SMALLEST)
    least = np.where(leaks, 0.0, silent.stt.hi)
    return np.where(lost, np.stack([least, *np.full((4, *least.shape), np.nan)]), fits)
