"""How curved the loss is at a network: the Hessian of the mean loss, and its largest eigenvalue.

Gradient descent can settle at a stationary point only where that eigenvalue is below
2 / learning_rate; with momentum, below ``theory.stability_limit``. Where the hinge is on a sample,
the loss has another Hessian on each side, and the smaller of the two eigenvalues must be below it
(Mulayoff, Michaeli & Soudry 2021, "The implicit bias of minima stability", Lemmas 2 and 3): beyond
that, both sides repel.
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

# Networks at once: the arrays of a block stay in the cache, and memory is bounded.
BLOCK = 8192

SIDES = ("smaller", "inactive", "active")

# A hinge is on a sample if it is off by no more than the roundings of w, b and evenly spaced x.
HINGE_TOLERANCE = 2.0**-50


def sharpness(
    networks: Networks,
    data: TrainingSet,
    freeze: Collection[str] = (),
    *,
    side: str = "smaller",
    hinge_tolerance: float = HINGE_TOLERANCE,
    negative_slope: Any = 0,
    weight_decay: Any = 0,
) -> Float64Array:
    """Return the largest eigenvalue of the Hessian of the mean loss at every network.

    Gradient descent can settle only where it is below 2 / learning_rate (with momentum,
    ``theory.stability_limit``). It is never negative, as no entry on the Hessian's diagonal is; at
    least 1 where c trains, whose entry is 1; and 1 (0 with c frozen) at a network that is inactive
    on every sample. A slope and weight decay change the last.

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
        Which Hessian is taken where the hinge is on samples; elsewhere there is only one. The two
        sides of the surface w*x + b = 0 are those on which these samples are "inactive" and
        "active", all together, as several that are there have one x (or are within
        ``hinge_tolerance`` of each other). "inactive" is also what relu'(0) = 0 gives, which
        training takes. "smaller", the default, is the smaller eigenvalue of the two sides, the one
        that must be below 2 / learning_rate.

        Where w = b = 0 every sample is on the hinge. The smallest eigenvalue of all sides is that
        of the inactive one, and so it is "smaller"; but where b is frozen and w is not, the sides
        are w < 0 and w > 0, that is, x < 0 and x > 0 active, and "smaller" is of these two. With a
        negative slope some other side can be flatter still, on which some samples are active and
        others leak; "smaller" is of the two on which all are alike.
    hinge_tolerance : float
        A sample is on the hinge where ``|w*x + b| <= hinge_tolerance*(|w|*max|x| + |b|)``. The
        default, 2**-50, is for numbers that are right but for rounding; 0 is for those that are
        exact. Training stops near its limit, and, by full-batch steps, on a side that is flat
        enough (``training.stability``). To learn of the other side, take what it may leave of the
        way, such as 1e-4 with the default gradient tolerance of 1e-6.
    negative_slope : float or array_like, shape (n_nets,)
        From 0 to 1; see ``Networks.predict``. At 1 there is no kink, and both sides are the same.
    weight_decay : float, array_like of shape (n_nets,), or mapping of parameters to these
        The loss is then that with 0.5*weight_decay*p^2 of every parameter p, or of those that are
        named, such as ``{"w": 0.1, "v": 0.1}``: it adds to the Hessian's diagonal.

    Returns
    -------
    ndarray of float64, shape (n_nets,)
        Within 2**-49 of the norm of the Hessian (of what trains), whose entries are as exact as
        ``hessian`` says. NaN where a parameter or an entry of the Hessian is not finite or beyond
        1e290.

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
    tolerance = finite_number("hinge_tolerance", hinge_tolerance, at_least=0)
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
    hinge_tolerance: float = HINGE_TOLERANCE,
    negative_slope: Any = 0,
    weight_decay: Any = 0,
) -> Float64Array:
    """Return the Hessian of the mean loss at every network.

    With a = w*x + b and e = v*a + c - target, and with sums over active samples::

        ww = v^2 sum x^2    wb = v^2 sum x    wv = v sum x*a + sum e*x    wc = v sum x
                            bb = v^2 count    bv = v sum a   + sum e      bc = v count
                                              vv = sum a^2                vc = sum a
                                                                          cc = n_samples

    each divided by n_samples. With a negative slope, the others add what they would if they were
    active with slope*w and slope*b, the rows and columns of w and b times the slope. Weight decay
    adds to the diagonal.

    Parameters
    ----------
    networks : Networks
        ``n_nets`` of them, finite or not.
    data : TrainingSet
        Of any number of samples, in any order.
    side : {"inactive", "active"}
        What samples on the hinge are; see ``sharpness``.
    hinge_tolerance : float
        Which samples are on the hinge; see ``sharpness``.
    negative_slope, weight_decay : float, array_like of shape (n_nets,), or mapping
        See ``sharpness``.

    Returns
    -------
    ndarray of float64, shape (n_nets, 4, 4)
        In the order w, b, v, c. They are made in twice the precision of float64: the error of an
        entry is at most 2**-52 of itself and 2**-90 of the entry of a network with |w|, |b|, |v|,
        |c| on a single sample with max|x| and -max|target|, where nothing cancels; unless a number
        on the way is too small for float64. NaN where a parameter is not finite.

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
    tolerance = finite_number("hinge_tolerance", hinge_tolerance, at_least=0)
    loss = _Loss.of(samples, networks, negative_slope, weight_decay)
    result = np.empty((len(networks), 4, 4))
    for block in _blocks(len(networks)):
        here = loss[block]
        one = here.sides(tolerance)[chosen]
        result[block] = here.hessians(one).transpose(2, 0, 1)
    result[~loss.finite] = np.nan
    return result


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
        """Which networks are, shape (n_nets,)."""
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
                # Of w*inf a slope of 0 would make NaN.
                for at, entry in _entries(others, slope * w, slope * b, v, c).items():
                    leaked = (factors[at[0]] * factors[at[1]] * entry).where(self.slope > 0)
                    entries[at] = entries[at] + leaked
            result = np.ones((4, 4, self.slope.size))
            for (i, j), entry in entries.items():
                result[i, j] = result[j, i] = entry.hi
            result[range(4), range(4)] += self.decay
        return result


def _sharpness(loss: _Loss, frozen: Collection[str], side: str, tolerance: float) -> Float64Array:
    """Return the largest eigenvalues, shape (n_nets,), on one side or the smaller of the two."""
    w, b, _, _ = loss.parameters
    inactive, active = loss.sides(tolerance)
    if side != "smaller":
        return _largest_eigenvalues(loss, active if side == "active" else inactive, frozen)
    if "b" in frozen:  # with w frozen as well, all sides are alike
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
    # Rows of 0 in place of none add eigenvalues of 0, and the largest is never below 0.
    left_out = [PARAMETERS.index(name) for name in frozen]
    entries[left_out, :] = entries[:, left_out] = 0
    entries = entries.transpose(2, 0, 1)
    finite = loss.finite
    finite &= np.isfinite(entries).all(axis=(1, 2))
    largest = np.full(finite.size, np.nan)
    # No entry on the diagonal is above the largest eigenvalue, but for LAPACK's rounding.
    diagonal = np.diagonal(entries[finite], axis1=1, axis2=2).max(axis=1)
    largest[finite] = np.maximum(np.linalg.eigvalsh(entries[finite])[:, -1], diagonal)
    return largest


def _entries(
    moments: Moments, w: DoubleDouble, b: DoubleDouble, v: DoubleDouble, c: DoubleDouble
) -> dict[tuple[int, int], DoubleDouble]:
    """Return what some samples, all active, add to the entries of the Hessian but for cc.

    Sums about the means of these samples, by the parallel axis theorem; 0 where there are none.
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
