"""How curved the loss is at a network: the Hessian of the mean loss, and its largest eigenvalue.

Gradient descent can settle at a stationary point only if that eigenvalue is below
2 / learning_rate; with momentum, below ``theory.stability_limit``. If the hinge is on a sample, the
loss has a different Hessian on each side, and the smaller of the two eigenvalues must be below the
limit (Mulayoff, Michaeli & Soudry 2021, "The implicit bias of minima stability", Lemmas 2 and 3):
above it, both sides repel.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relulab.model.data import TrainingSet
from relulab.model.double_double import DoubleDouble
from relulab.model.network import PARAMETERS, Networks, checked_slopes
from relulab.theory.active_samples import ActiveSamples, Moments, Side
from relulab.theory.decaying import checked_decay
from relulab.training.options import checked_freeze
from relulab.validation import Float64Array, FloatArray, finite_number, instance_of, one_of

# Networks per block: its arrays stay in the cache, and memory is bounded.
BLOCK = 8192

SIDES = ("smaller", "inactive", "active")

# A hinge is on a sample if they differ by no more than the rounding of w, b and evenly spaced x, in
# the epsilons of the networks. (Training in float32 also rounds x.)
HINGE_EPSILONS = 4


def sharpness(
    networks: Networks,
    data: TrainingSet,
    freeze: Collection[str] = (),
    *,
    side: str = "smaller",
    hinge_tolerance: float | None = None,
    negative_slope: Any = 0,
    weight_decay: Any = 0,
) -> Float64Array:
    """Return the largest eigenvalue of the Hessian of the mean loss at every network.

    Gradient descent can settle only where it is below 2 / learning_rate (with momentum,
    ``theory.stability_limit``). It is never negative, because no diagonal entry of the Hessian is.
    It is at least 1 if c trains, because the entry of c is 1. A network that is inactive on every
    sample has 1 (0 with c frozen), unless there is a slope or weight decay.

    Parameters
    ----------
    networks : Networks
        ``n_nets`` of them, finite or not.
    data : TrainingSet
        Of any number of samples, in any order.
    freeze : collection of str
        The parameters among "w", "b", "v", "c" that do not train: their rows and columns of the
        Hessian are left out. With all of them frozen the result is 0.
    side : {"smaller", "inactive", "active"}
        Which Hessian to take if the hinge is on samples; elsewhere there is only one. On the two
        sides of the surface w*x + b = 0 these samples are all "inactive" or all "active": they
        share one x (or are within ``hinge_tolerance`` of each other). "inactive" is also the case
        relu'(0) = 0 of training. "smaller", the default, is the smaller eigenvalue of the two
        sides, the one that must be below 2 / learning_rate.

        If w = b = 0, every sample is on the hinge. The inactive side has the smallest eigenvalue of
        all sides, so "smaller" takes it. But if b is frozen and w is not, the sides are w < 0 and
        w > 0, with x < 0 or x > 0 active, and "smaller" chooses between these two. With a negative
        slope, a side on which some samples are active and others leak can be flatter still;
        "smaller" chooses between the two sides on which all samples are alike.
    hinge_tolerance : float, optional
        A sample is on the hinge if ``|w*x + b| <= hinge_tolerance*(|w|*max|x| + |b|)``. The
        default, 2**-50, is for numbers that are exact up to rounding; 0 is for exact numbers. For
        networks in float32, which training in float32 returns, the default is 2**-21; give this if
        you make such networks from a table, because ``Networks(w, b, v, c)`` has float64.
        If some x are 1e12 times as large as the distances of others, give 0: the tolerance, which
        is relative to max|x|, would put several samples on the hinge.
        Training stops near its limit and, with full-batch steps, on a side that is flat enough
        (``training.stability``). To see the other side, use a tolerance as large as the distance
        left to the limit, such as 1e-4 with the default gradient tolerance of 1e-6.
    negative_slope : float or array_like, shape (n_nets,)
        From 0 to 1; see ``Networks.predict``. At 1 there is no kink, and both sides are the same.
    weight_decay : float, array_like of shape (n_nets,), or mapping of parameters to these
        Adds 0.5*weight_decay*p^2 to the loss for every parameter p, or for the named ones, such as
        ``{"w": 0.1, "v": 0.1}``; this adds to the diagonal of the Hessian.

    Returns
    -------
    ndarray of float64, shape (n_nets,)
        The error is within 2**-49 of the norm of the Hessian (of the trained parameters), whose
        entries are as exact as ``hessian`` says. NaN where a parameter or an entry of the Hessian
        is not finite or beyond 1e290.

    Raises
    ------
    InputError
        If an argument is of another kind, or if sums of squares of the samples are beyond the range
        of float64.

    Examples
    --------
    The hinge of this teacher is on its sample at -0.2:

    >>> import relulab as rl
    >>> data = rl.TrainingSet.teacher(w=1, b=0.2, v=1.5, c=0, n_samples=16)
    >>> teacher = rl.Networks(w=1, b=0.2, v=1.5, c=0)
    >>> rl.sharpness(teacher, data).round(4), rl.sharpness(teacher, data, side="active").round(4)
    (array([2.5199]), array([2.6398]))
    """
    instance_of("networks", networks, Networks)
    samples = ActiveSamples.of(data)
    frozen = checked_freeze(freeze)
    one_of("side", side, SIDES)
    tolerance = _checked_tolerance(hinge_tolerance, networks)
    loss = _Loss.of(samples, networks, negative_slope, weight_decay)
    result = np.empty(len(networks))
    for block in _blocks(len(networks)):
        result[block] = _sharpness(loss[block], frozen, side, tolerance)
    return result


def hessian(
    networks: Networks,
    data: TrainingSet,
    *,
    side: str = "inactive",
    hinge_tolerance: float | None = None,
    negative_slope: Any = 0,
    weight_decay: Any = 0,
) -> Float64Array:
    """Return the Hessian of the mean loss at every network.

    With a = w*x + b, e = v*a + c - target and sums over active samples::

        ww = v^2 sum x^2    wb = v^2 sum x    wv = v sum x*a + sum e*x    wc = v sum x
                            bb = v^2 count    bv = v sum a   + sum e      bc = v count
                                              vv = sum a^2                vc = sum a
                                                                          cc = n_samples

    each divided by n_samples. With a negative slope, inactive samples add the same terms with
    slope*w and slope*b in place of w and b, and the rows and columns of w and b times the slope.
    Weight decay adds to the diagonal.

    Parameters
    ----------
    networks : Networks
        ``n_nets`` of them, finite or not.
    data : TrainingSet
        Of any number of samples, in any order.
    side : {"inactive", "active"}
        How to treat samples on the hinge; see ``sharpness``.
    hinge_tolerance : float, optional
        Which samples are on the hinge; see ``sharpness``.
    negative_slope, weight_decay : float, array_like of shape (n_nets,), or mapping
        See ``sharpness``.

    Returns
    -------
    ndarray of float64, shape (n_nets, 4, 4)
        In the order w, b, v, c, computed in twice the precision of float64. The error of an entry
        is at most 2**-52 of itself plus 2**-90 of the same entry where nothing cancels: for |w|,
        |b|, |v|, |c| on a single sample max|x|, -max|target|. This holds unless an intermediate
        number is too small for float64. NaN where a parameter is not finite.

    Raises
    ------
    InputError
        As in ``sharpness``.

    Examples
    --------
    >>> import relulab as rl
    >>> hessian(rl.Networks(w=1, b=0, v=2, c=0), rl.TrainingSet.point(x=1, target=2))[0]
    array([[4., 4., 2., 2.],
           [4., 4., 2., 2.],
           [2., 2., 1., 1.],
           [2., 2., 1., 1.]])
    """
    instance_of("networks", networks, Networks)
    samples = ActiveSamples.of(data)
    chosen = SIDES[1:].index(one_of("side", side, SIDES[1:]))
    tolerance = _checked_tolerance(hinge_tolerance, networks)
    loss = _Loss.of(samples, networks, negative_slope, weight_decay)
    result = np.empty((len(networks), 4, 4))
    for block in _blocks(len(networks)):
        here = loss[block]
        one = here.sides(tolerance)[chosen]
        result[block] = here.hessians(one).transpose(2, 0, 1)
    result[~loss.finite] = np.nan
    return result


def _checked_tolerance(hinge_tolerance: float | None, networks: Networks) -> float:
    if hinge_tolerance is not None:
        return finite_number("hinge_tolerance", hinge_tolerance, at_least=0)
    epsilon = max(float(np.finfo(networks.w.dtype).eps), float(np.finfo(np.float64).eps))
    return HINGE_EPSILONS * epsilon


def _blocks(n_nets: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n_nets, BLOCK)]


@dataclass(frozen=True, eq=False)
class _Loss:
    """The loss at some networks.

    Attributes
    ----------
    samples : ActiveSamples
    parameters, decay : ndarray of float64, shape (4, n_nets)
        In the order w, b, v, c.
    slope : ndarray of float64, shape (n_nets,)
    """

    samples: ActiveSamples
    parameters: FloatArray
    slope: Float64Array
    decay: Float64Array

    @classmethod
    def of(
        cls, samples: ActiveSamples, networks: Networks, negative_slope: Any, weight_decay: Any
    ) -> Self:
        slopes = checked_slopes(negative_slope, len(networks))
        slope = np.broadcast_to(slopes, (len(networks),))
        return cls(samples, networks.stack(), slope, checked_decay(weight_decay, len(networks)))

    def __getitem__(self, index: Any) -> Self:
        return type(self)(
            self.samples, self.parameters[:, index], self.slope[index], self.decay[:, index]
        )

    @property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Whether each network is finite, shape (n_nets,)."""
        result: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(self.parameters), axis=0)
        return result

    def sides(self, tolerance: float) -> tuple[Side, Side]:
        """Return the sides with the samples on the hinge inactive, and with them active."""
        w, b, _, _ = self.parameters
        return self.samples.sides(w, b, tolerance)

    def hessians(self, side: Side) -> Float64Array:
        """Return the Hessians on one side, shape (4, 4, n_nets)."""
        w, b, v, c = map(DoubleDouble.of, self.parameters)
        with np.errstate(all="ignore"):  # networks that are not finite, and overflow
            entries = _entries(self.samples.moments(side), w, b, v, c)
            if self.slope.any():
                others = self.samples.moments(Side(side.split, 1 - side.rising))
                slope = DoubleDouble.of(self.slope)
                factors = slope, slope, *map(DoubleDouble.of, (1.0, 1.0))
                # A slope of 0 would turn w*inf into NaN.
                for at, entry in _entries(others, slope * w, slope * b, v, c).items():
                    leaked = (factors[at[0]] * factors[at[1]] * entry).where(self.slope > 0)
                    entries[at] = entries[at] + leaked
            result = np.ones((4, 4, self.slope.size))
            for (i, j), entry in entries.items():
                result[i, j] = result[j, i] = entry.hi
            result[range(4), range(4)] += self.decay
        return result


def _sharpness(loss: _Loss, frozen: Collection[str], side: str, tolerance: float) -> Float64Array:
    """Return the largest eigenvalues on one side, or the smaller of both; shape (n_nets,)."""
    w, b, _, _ = loss.parameters
    inactive, active = loss.sides(tolerance)
    if side != "smaller":
        return _largest_eigenvalues(loss, active if side == "active" else inactive, frozen)
    if "b" in frozen:  # with w frozen as well, both sides are the same
        at_origin = (w == 0) & (b == 0)
        for one, rising, edge in ((inactive, 0, "left"), (active, 1, "right")):
            one.split[at_origin] = np.searchsorted(loss.samples.x, 0.0, edge)  # type: ignore[call-overload]
            one.rising[at_origin] = rising
    smaller = _largest_eigenvalues(loss, inactive, frozen)
    kinks = (inactive.split != active.split) | (inactive.rising != active.rising)
    if kinks.any():
        there = Side(active.split[kinks], active.rising[kinks])
        other = _largest_eigenvalues(loss[kinks], there, frozen)
        smaller[kinks] = np.fmin(smaller[kinks], other)  # a side that overflows is the sharper one
    return smaller


def _largest_eigenvalues(loss: _Loss, side: Side, frozen: Collection[str]) -> Float64Array:
    """Return the largest eigenvalues on one side, shape (n_nets,)."""
    entries = loss.hessians(side)
    # Zeroing rows instead of removing them adds eigenvalues of 0; the largest is never below 0.
    left_out = [PARAMETERS.index(name) for name in frozen]
    entries[left_out, :] = entries[:, left_out] = 0
    entries = entries.transpose(2, 0, 1)
    finite = loss.finite
    finite &= np.isfinite(entries).all(axis=(1, 2))
    largest = np.full(finite.size, np.nan)
    # No diagonal entry is above the largest eigenvalue, except by LAPACK's rounding.
    diagonal = np.diagonal(entries[finite], axis1=1, axis2=2).max(axis=1)
    largest[finite] = np.maximum(np.linalg.eigvalsh(entries[finite])[:, -1], diagonal)
    return largest


def _entries(
    moments: Moments, w: DoubleDouble, b: DoubleDouble, v: DoubleDouble, c: DoubleDouble
) -> dict[tuple[int, int], DoubleDouble]:
    """Return what some samples, all active, add to the Hessian's entries, except cc.

    Sums about the means of these samples, by the parallel axis theorem; 0 if there are none.
    """
    fraction, mean_x, mean_target, sxx, sxt = moments
    a = w * mean_x + b
    e = v * a + c - mean_target
    sum_x, sum_a, sum_e = fraction * mean_x, fraction * a, fraction * e
    sum_xx, sum_xa = sum_x * mean_x + sxx, sum_x * a + w * sxx
    sum_aa = sum_a * a + w * w * sxx
    sum_ex = sum_e * mean_x + (v * w * sxx - sxt)
    rows = [
        [v * v * sum_xx, v * v * sum_x, v * sum_xa + sum_ex, v * sum_x],
        [v * v * fraction, v * sum_a + sum_e, v * fraction],
        [sum_aa, sum_a],
    ]
    some = fraction.hi > 0
    return {
        (i, i + j): entry.where(some) for i, row in enumerate(rows) for j, entry in enumerate(row)
    }
