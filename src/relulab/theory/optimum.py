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


@dataclass(frozen=True, eq=False)
class BestFit:
    """The network of the smallest loss that any network has on some samples.

    Attributes
    ----------
    network : Networks
        One network, with w = 1 or w = -1.
    loss : float
        The mean of ``0.5*(prediction - target)**2``, in units of target**2, before the parameters
        are rounded to float64.
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
        If ``data`` is no ``TrainingSet``, or if a parameter of its best fit is beyond the range of
        float64.

    Examples
    --------
    >>> import relulab as rl
    >>> fit = rl.best_fit(rl.TrainingSet([0, 1, 2, 3], [1, 1, 2, 4]))
    >>> fit.kind, fit.network, round(fit.loss, 4)
    ('hinge', Networks(w=1.0, b=-1.5, v=2.0, c=1.0), 0.0)
    """
    instance_of("data", data, TrainingSet)
    return cached(data, _best_fit)


def _best_fit(data: TrainingSet) -> BestFit:
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
        squares, w, b, v, c = best
        units = [0, x_exponent, target_exponent - x_exponent, target_exponent]
        parameters = np.ldexp([w, b, v, c], units)
        if not np.isfinite(parameters).all():
            raise InputError(
                "data: expected samples whose best fit is within the range of float64, got"
                f" {data!r}"
            )
        network = Networks(*parameters)
        loss = float(np.ldexp(squares / (2 * data.n_samples), 2 * target_exponent))
    return BestFit(network, loss, kind)


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
    meets = (split > 0) & (lower < hinge.hi) & (hinge.hi <= x[split])
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
    return np.stack([np.maximum(squares.hi, 0), np.full(split.size, w), -hinge.hi, v.hi, c.hi])


def _at(moments: Moments, split: npt.NDArray[np.int64]) -> Moments:
    return Moments(**{name: value[split] for name, value in vars(moments).items()})
