"""How flat a network at rest can be: bounds on the sharpness without a Hessian."""

from collections.abc import Collection
from typing import Any

import numpy as np

from relulab.model.data import TrainingSet
from relulab.model.double_double import DoubleDouble
from relulab.model.network import PARAMETERS, Networks
from relulab.theory.active_samples import ActiveSamples
from relulab.training.options import checked_freeze
from relulab.validation import Float64Array, finite_array, instance_of, one_of

SIDES = ("left", "right")


def sharpness_lower_bound(
    networks: Networks, data: TrainingSet, freeze: Collection[str] = ()
) -> Float64Array:
    """Return a lower bound on the sharpness of a network at rest: 1 + p^2*(v^2*(1 + x^2) + a^2).

    Here p is the fraction of active samples, and x and a are the means of x and of the activation
    over these. At rest (gradient 0), with v other than 0 and no sample at the hinge, the sums of e
    and of e*x over active samples are 0. So the parts of the Hessian with residuals vanish, however
    large the loss is. What is left is the mean of g*g', with g the gradient (v*x, v, a, 1) of the
    output, or (0, 0, 0, 1) where the unit is inactive. The largest eigenvalue of a mean of squares
    is at least that of the square of the mean, |mean g|^2. On one sample the bound is attained: it
    is ``interpolation_sharpness``.

    As v^2*(1 + x^2) + a^2 is at least 2*|v|*a*sqrt(1 + x^2), and a is |w| times the mean distance
    of x from the hinge at -b/w, the sharpness is at least 1 + 2*|v*w|*g with g of ``side_weight``
    (Mulayoff, Michaeli & Soudry 2021, NeurIPS 34, for wide networks at zero loss).

    Parameters
    ----------
    networks : Networks
        ``n_nets`` of them; the bound holds only for those at rest.
    data : TrainingSet
        Of any number of samples, in any order.
    freeze : collection of str
        The parameters among "w", "b", "v", "c" that do not train, as in ``sharpness``; their parts
        of the mean gradient are left out.

    Returns
    -------
    ndarray of float64, shape (n_nets,)
        The error is a few roundings, however far from 0 the samples are. NaN where a parameter is
        not finite, inf where a square is beyond float64.

    Raises
    ------
    InputError
        As in ``sharpness``.

    Examples
    --------
    >>> import relulab as rl
    >>> data = rl.TrainingSet([-1, 0, 1, 2], [0, 0, 1, 2])
    >>> fit = rl.best_fit(data).network
    >>> rl.theory.sharpness_lower_bound(fit, data).tolist(), rl.sharpness(fit, data).round(4)
    ([2.375], array([3.5059]))
    """
    frozen = checked_freeze(freeze)
    instance_of("networks", networks, Networks)
    samples = ActiveSamples.of(data)
    w, b, v, c = networks.stack()
    p, mean_x = _active_part(samples, w, b)
    x = mean_x.hi
    with np.errstate(all="ignore"):
        exact = (DoubleDouble.of(w) * mean_x + DoubleDouble.of(b)).hi
        a = np.where(np.isfinite(exact), exact, w * x + b)  # beyond 1e300
        parts = dict(zip(PARAMETERS, (p * v * x, p * v, p * a, np.ones_like(p)), strict=True))
        kept = [part * part for name, part in parts.items() if name not in frozen]
        bound: Float64Array = np.sum([np.zeros_like(p), *kept], axis=0)
    finite = np.isfinite([w, b, v, c]).all(axis=0)
    return np.where(finite, bound, np.nan)


def side_weight(hinge: Any, data: TrainingSet, side: str) -> Float64Array:
    """Return g = p^2*d*sqrt(1 + x^2) of the samples on one side of a hinge.

    Here p is the fraction of the samples that lie strictly on that side, x is their mean, and d is
    their mean distance from the hinge. At rest 1 + 2*|v*w|*g is at most the sharpness
    (``sharpness_lower_bound``), which is below 2/learning_rate where gradient descent settles. So
    it can learn slopes v*w of size up to (1/learning_rate - 1/2)/g: steeper ones if fewer samples
    lie beyond the hinge (Mulayoff, Michaeli & Soudry 2021, NeurIPS 34).

    Parameters
    ----------
    hinge : float or array_like, shape (n_hinges,)
        Positions -b/w, in units of x.
    data : TrainingSet
        Of any number of samples, in any order.
    side : {"right", "left"}
        Where the unit is active: right for w > 0, left for w < 0.

    Returns
    -------
    ndarray of float64, of the shape of ``hinge``
        0 where there is no sample on that side. The error is a few roundings, however far from 0
        the samples are.

    Raises
    ------
    InputError
        If a hinge is not finite, or as ``sharpness`` raises it.

    Examples
    --------
    >>> import relulab as rl
    >>> data = rl.TrainingSet([-1, 0, 1, 2], [0, 0, 1, 2])
    >>> rl.theory.side_weight([-9, 0, 5], data, "right").round(4).tolist()
    [10.6213, 0.676, 0.0]
    """
    hinges = finite_array("hinge", hinge)
    sign = 1.0 if one_of("side", side, SIDES) == "right" else -1.0
    samples = ActiveSamples.of(data)
    p, mean_x = _active_part(samples, np.full(hinges.size, sign), -sign * hinges)
    with np.errstate(all="ignore"):
        distance = sign * (mean_x - DoubleDouble.of(hinges)).hi
        result: Float64Array = np.where(p > 0, p * p * distance * np.hypot(1, mean_x.hi), 0.0)
    return result.reshape(np.shape(hinge))


def _active_part(
    samples: ActiveSamples, w: Float64Array, b: Float64Array
) -> tuple[Float64Array, DoubleDouble]:
    """Return the fraction of samples on which each unit is active, and their mean x."""
    inactive_at_hinge, _ = samples.sides(w, b, tolerance=0.0)
    moments = samples.moments(inactive_at_hinge)
    return moments.fraction.hi, moments.mean_x
