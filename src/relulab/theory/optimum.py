"""The best that a one-node ReLU network can do on some samples: the global optimum of the loss.

A network is a hinge: flat on one side of a point, a line on the other, continuous. Which samples
lie on which side leaves 2n splits, and for each the optimum is known in closed form, so that the
best of all is found without a search, in O(n log n); Hudson 1966 (JASA 61) has the idea.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relulab.model.data import TrainingSet, cached
from relulab.model.double_double import DoubleDouble
from relulab.model.network import Networks
from relulab.model.splits import Moments, Splits
from relulab.validation import Float64Array, InputError, instance_of

# Of the sum of squares of the targets about their mean: a kind that is better by less than that is
# not better, only more complicated.
NEGLIGIBLE = 1e-24

# Of a sum of squares of x, which are at most 1: products lose digits of what is smaller.
SMALLEST = np.finfo(float).tiny / np.finfo(float).eps ** 2


@dataclass(frozen=True, eq=False)
class BestFit:
    """The network of the smallest loss that any network has on some samples.

    Attributes
    ----------
    network : Networks
        One network, with w = 1 or w = -1.
    loss : float
        The mean of ``0.5*(prediction - target)**2``, in units of target**2, before the parameters
        are rounded to float64, which adds less than 1e-9 of it and 1e-15 of the constant's.
    kind : {"hinge", "linear", "constant"}
        Whether the unit is active on some samples; or on all, and the network is their
        least-squares line; or v = 0, and the network is their mean.
    """

    network: Networks
    loss: float
    kind: str


def best_fit(data: TrainingSet) -> BestFit:
    """Return the global optimum of the loss over all w, b, v, c, in O(n log n).

    A line is preferred to a hinge, and a constant to both, unless it is worse by more than 1e-24 of
    the variance of the targets. There are other networks of the same predictions: w and b times any
    positive number, v divided by it. If all samples on which the unit is active have one x, the
    hinge is as far from them as it can be without a loss, at the next sample.

    Parameters
    ----------
    data : TrainingSet
        Of any number of samples, in any order; several may have the same x.

    Returns
    -------
    BestFit

    Raises
    ------
    InputError
        If ``data`` is no ``TrainingSet``, or if its best fit is beyond the range or the precision
        of float64: where x are a few units in the last place apart, the hinge may lie between.

    Examples
    --------
    >>> import relulab as rl
    >>> fit = rl.best_fit(rl.TrainingSet([0, 1, 2, 3], [1, 1, 2, 4]))
    >>> fit.kind, fit.network, round(fit.loss, 4)
    ('hinge', Networks(w=1.0, b=-1.5, v=2.0, c=1.0), 0.0)
    """
    instance_of("data", data, TrainingSet)
    return cached(data, _best_fit)


def smallest_loss(data: TrainingSet) -> float:
    """Return the loss of the best fit, also where no network in float64 has it.

    Raises
    ------
    InputError
        If that is lost in sums beyond the range of float64.
    """
    return cached(data, _optimum).loss


@dataclass(frozen=True)
class _Optimum:
    """What the best fit is in samples of at most 1, and its loss in those that were given.

    The powers of 2 by which ``parameters``, w, b, v, c, are multiplied there are the ``units``.
    """

    kind: str
    loss: float
    total: float
    squares: float
    parameters: Float64Array
    units: tuple[int, int, int, int]


def _best_fit(data: TrainingSet) -> BestFit:
    optimum = cached(data, _optimum)
    with np.errstate(all="ignore"):
        parameters = np.ldexp(optimum.parameters, optimum.units)
        # Rounding costs a square of an ulp of the targets, and more where x are ulps apart.
        back = np.ldexp(parameters, np.negative(optimum.units))
        most = (1 + 1e-9) * optimum.squares + 1e-15 * optimum.total + data.n_samples * 2.0**-100
        has_the_loss = np.isfinite(optimum.loss) and _squares(data, back) <= most
    if not has_the_loss:
        raise _refusal(data)
    return BestFit(Networks(*parameters), optimum.loss, optimum.kind)


def _refusal(data: TrainingSet) -> InputError:
    return InputError(
        "data: expected samples whose best fit is within the range and the precision of float64,"
        f" got {data!r}"
    )


def _squares(data: TrainingSet, parameters: Float64Array) -> float:
    """Return the sum of squared residuals of a network on the scaled samples; w is 1 or -1."""
    (x, _), (target, _) = _scaled(data.x), _scaled(data.target)
    w, b, v, c = parameters
    pre_activation = DoubleDouble.of(w * x) + DoubleDouble.of(b)
    output = DoubleDouble.of(v) * pre_activation.where(pre_activation.hi > 0) + DoubleDouble.of(c)
    residual = output - DoubleDouble.of(target)
    return float(np.sum(residual.hi**2))


def _optimum(data: TrainingSet) -> _Optimum:
    (x, x_exponent), (target, target_exponent) = _scaled(data.x), _scaled(data.target)
    splits = Splits.of(x, target)
    with np.errstate(all="ignore"):  # no crossing where a slope is 0; extreme units
        # Firing to the right of the hinge, and, in the mirror, to the left.
        fits = np.hstack([_fits(splits, 1.0), _fits(splits.mirrored(), -1.0)])
        total, mean = splits.last.stt.hi[0], splits.last.mean_target.hi[0]
        enough = fits[0].min() + NEGLIGIBLE * total
        if total <= enough:
            kind, best = "constant", np.array([total, 1.0, 0.0, 0.0, mean])
        elif fits[0, 0] <= enough:
            kind, best = "linear", fits[:, 0]
        else:
            kind, best = "hinge", fits[:, fits[0].argmin()]
        if not np.isfinite(best).all():
            raise _refusal(data)
        squares, *parameters = best
        loss = float(np.ldexp(squares / (2 * data.n_samples), 2 * target_exponent))
    units = 0, x_exponent, target_exponent - x_exponent, target_exponent
    return _Optimum(kind, loss, total, squares, np.array(parameters), units)


def _scaled(values: Float64Array) -> tuple[Float64Array, int]:
    """Return values of at most 1, whose squares are in range, and the power of 2 taken out."""
    exponent = int(np.frexp(np.abs(values).max())[1])
    return np.ldexp(values, -exponent), exponent


def _fits(splits: Splits, w: float) -> Float64Array:
    """Return the linear fit, then the best fit for each split that has samples on both sides.

    Parameters
    ----------
    splits : Splits
        Of x*w.
    w : float
        1 or -1.

    Returns
    -------
    ndarray of float64, shape (5, number of distinct x)
        The sum of squared residuals, w, b, v, c.
    """
    x = splits.x
    split = np.append(0, 1 + np.flatnonzero(x[:-1] < x[1:]))
    silent, firing = _at(splits.first, split), _at(splits.last, split)
    n, rise = firing.count[0], firing.mean_target - silent.mean_target
    # The optimum for a split is the firing samples' own line from where it meets the silent
    # samples' mean, if it does so between the two sides. If not, it is a hinge at one end of that
    # interval, as the loss has one minimum in the hinge's position. The lower end is enough: the
    # upper one is the next split's lower end, and after the last sample nothing fires.
    lower = np.append(min(2 * x[0] - x[-1], np.nextafter(x[0], -np.inf)), x[split[1:] - 1])
    hinge = firing.mean_x - rise / firing.slope
    # With its low part only where x are so few ulps apart that it is worth something.
    worth = (firing.slope.hi * hinge.lo) ** 2 * x.size > NEGLIGIBLE * splits.last.stt.hi[0]
    place = DoubleDouble(hinge.hi, np.where(worth, hinge.lo, 0.0))
    above, below = place - DoubleDouble.of(lower), DoubleDouble.of(x[split]) - place
    meets = (split > 0) & (above.hi > 0) & (below.hi >= 0)
    hinge = DoubleDouble(np.where(meets, hinge.hi, lower), np.where(meets, hinge.lo, 0.0))
    # The line through the mean of all samples on the activation x - hinge, with the sums of both
    # sides put together. What the line's loss is above that of the split's optimum is a square, of
    # which no digits cancel: between variances of the sides, sxx and weight*run^2.
    run, weight = firing.mean_x - hinge, firing.count * silent.count / n
    variance = firing.sxx + weight * run * run
    variance = variance.where(variance.hi > 0, 1.0)  # 0 if all x are equal
    v = (firing.sxt + weight * run * rise) / variance
    c = firing.mean_target[0] - v * run * firing.count / n
    gap = firing.slope * run - rise
    squares = silent.stt + firing.residual_sum + firing.sxx * weight * gap * gap / variance
    fits = np.stack([np.maximum(squares.hi, 0), np.full(split.size, w), -hinge.hi, v.hi, c.hi])
    # Where squares of x vanish, no less than the silent samples alone; it matters if that is best.
    lost = (x[split] < x[-1]) & (firing.sxx.hi < SMALLEST) | (split > 0) & (variance.hi < SMALLEST)
    return np.where(lost, np.stack([silent.stt.hi, *np.full((4, split.size), np.nan)]), fits)


def _at(moments: Moments, split: npt.NDArray[np.int64]) -> Moments:
    return Moments(**{name: value[split] for name, value in vars(moments).items()})
