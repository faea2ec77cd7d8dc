"""How curved the loss is at a network: the Hessian of the mean loss, and its largest eigenvalue.

Gradient descent can settle at a stationary point only where that eigenvalue is below
2 / learning_rate. Where the hinge is on a sample, the loss has another Hessian on each side, and
the smaller of the two eigenvalues must be below it (Mulayoff, Michaeli & Soudry 2021, "The implicit
bias of minima stability", Lemmas 2 and 3): beyond that, both sides repel.
"""

from collections.abc import Collection

import numpy as np

from relulab.model.data import TrainingSet
from relulab.model.double_double import DoubleDouble
from relulab.model.network import PARAMETERS, Networks
from relulab.theory.active_samples import ActiveSamples, Side
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
) -> Float64Array:
    """Return the largest eigenvalue of the Hessian of the mean loss at every network.

    Gradient descent can settle only where it is below 2 / learning_rate. It is never negative, as
    no entry on the Hessian's diagonal is; at least 1 where c trains, whose entry is 1; and 1 (0
    with c frozen) at a network that is inactive on every sample.

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
        are w < 0 and w > 0, that is, x < 0 and x > 0 active, and "smaller" is of these two.
    hinge_tolerance : float
        A sample is on the hinge where ``|w*x + b| <= hinge_tolerance*(|w|*max|x| + |b|)``. The
        default, 2**-50, is for numbers that are right but for rounding; 0 is for those that are
        exact. Training stops near its limit, and, by full-batch steps, on a side that is flat
        enough (``training.stability``). To learn of the other side, take what it may leave of the
        way, such as 1e-4 with the default gradient tolerance of 1e-6.

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
    parameters = networks.stack()
    result = np.empty(len(networks))
    for block in _blocks(len(networks)):
        result[block] = _sharpness(samples, parameters[:, block], frozen, side, tolerance)
    return result


def hessian(
    networks: Networks,
    data: TrainingSet,
    *,
    side: str = "inactive",
    hinge_tolerance: float = HINGE_TOLERANCE,
) -> Float64Array:
    """Return the Hessian of the mean loss at every network.

    With a = w*x + b and e = v*a + c - target, and with sums over active samples::

        ww = v^2 sum x^2    wb = v^2 sum x    wv = v sum x*a + sum e*x    wc = v sum x
                            bb = v^2 count    bv = v sum a   + sum e      bc = v count
                                              vv = sum a^2                vc = sum a
                                                                          cc = n_samples

    each divided by n_samples.

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
    parameters = networks.stack()
    result = np.empty((len(networks), 4, 4))
    for block in _blocks(len(networks)):
        w, b, _, _ = parameters[:, block]
        one = samples.sides(w, b, tolerance)[chosen]
        result[block] = _hessians(samples, one, parameters[:, block]).transpose(2, 0, 1)
    result[~np.isfinite(parameters).all(axis=0)] = np.nan
    return result


def _blocks(n_nets: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n_nets, BLOCK)]


def _sharpness(
    samples: ActiveSamples,
    parameters: FloatArray,
    frozen: Collection[str],
    side: str,
    tolerance: float,
) -> Float64Array:
    """Return the largest eigenvalues, shape (n_nets,), on one side or the smaller of the two."""
    w, b, _, _ = parameters
    inactive, active = samples.sides(w, b, tolerance)
    if side != "smaller":
        chosen = active if side == "active" else inactive
        return _largest_eigenvalues(samples, chosen, parameters, frozen)
    if "b" in frozen:  # with w frozen as well, all sides are alike
        at_origin = (w == 0) & (b == 0)
        for one, rising, edge in ((inactive, 0, "left"), (active, 1, "right")):
            one.split[at_origin] = np.searchsorted(samples.x, 0.0, edge)  # type: ignore[call-overload]
            one.rising[at_origin] = rising
    smaller = _largest_eigenvalues(samples, inactive, parameters, frozen)
    kinks = (inactive.split != active.split) | (inactive.rising != active.rising)
    if kinks.any():
        there = Side(active.split[kinks], active.rising[kinks])
        other = _largest_eigenvalues(samples, there, parameters[:, kinks], frozen)
        smaller[kinks] = np.fmin(smaller[kinks], other)  # a side that overflows is the sharper one
    return smaller


def _largest_eigenvalues(
    samples: ActiveSamples, side: Side, parameters: FloatArray, frozen: Collection[str]
) -> Float64Array:
    """Return the largest eigenvalues on one side, shape (n_nets,)."""
    entries = _hessians(samples, side, parameters)
    # Rows of 0 in place of none add eigenvalues of 0, and the largest is never below 0.
    left_out = [PARAMETERS.index(name) for name in frozen]
    entries[left_out, :] = entries[:, left_out] = 0
    entries = entries.transpose(2, 0, 1)
    finite = np.isfinite(parameters).all(axis=0)
    finite &= np.isfinite(entries).all(axis=(1, 2))
    largest = np.full(finite.size, np.nan)
    # No entry on the diagonal is above the largest eigenvalue, but for LAPACK's rounding.
    diagonal = np.diagonal(entries[finite], axis1=1, axis2=2).max(axis=1)
    largest[finite] = np.maximum(np.linalg.eigvalsh(entries[finite])[:, -1], diagonal)
    return largest


def _hessians(samples: ActiveSamples, side: Side, parameters: FloatArray) -> Float64Array:
    """Return the Hessians, shape (4, 4, n_nets), at the rows w, b, v, c of ``parameters``.

    Sums about the means of the active samples, by the parallel axis theorem.
    """
    w, b, v, c = map(DoubleDouble.of, parameters)
    fraction, mean_x, mean_target, sxx, sxt = samples.moments(side)
    with np.errstate(all="ignore"):  # networks that are not finite, and overflow
        a = w * mean_x + b
        e = v * a + c - mean_target
        sum_x, sum_a, sum_e = fraction * mean_x, fraction * a, fraction * e
        sum_xx, sum_xa = sum_x * mean_x + sxx, sum_x * a + w * sxx
        sum_aa = sum_a * a + w * w * sxx
        sum_ex = sum_e * mean_x + (v * w * sxx - sxt)
        ww, wb, wv, wc = v * v * sum_xx, v * v * sum_x, v * sum_xa + sum_ex, v * sum_x
        bb, bv, bc = v * v * fraction, v * sum_a + sum_e, v * fraction
        rows = [[ww, wb, wv, wc], [wb, bb, bv, bc], [wv, bv, sum_aa, sum_a], [wc, bc, sum_a]]
        result = np.ones((4, 4, w.hi.size))
        for i, row in enumerate(rows):
            for j, entry in enumerate(row):
                result[i, j] = np.where(fraction.hi > 0, entry.hi, 0)
    return result
