"""How curved the loss is at a network: the Hessian of the mean loss, and its largest eigenvalue.

Gradient descent can settle at a stationary point only where that eigenvalue is below
2 / learning_rate. The sums over the samples that fire follow from the tables that training has, so
that a network costs O(log n_samples).
"""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from relulab.data import TrainingSet
from relulab.engines import sorted_sums
from relulab.engines.sorted_sums import MEAN_TARGET, MEAN_X, SLOPE, SXX, SortedSums
from relulab.network import PARAMETERS, Networks
from relulab.settings import checked_freeze
from relulab.validation import Float64Array, FloatArray, InputError, instance_of

# Networks at once: the arrays of a block stay in the cache, and memory is bounded.
BLOCK = 8192

# Laguerre's iteration ends within 4 to 6 steps unless the largest eigenvalues all but coincide.
MOST_ITERATIONS = 8


def sharpness(networks: Networks, data: TrainingSet, freeze: Collection[str] = ()) -> Float64Array:
    """Return the largest eigenvalue of the Hessian of the mean loss at every network.

    It is never negative, as no entry on the Hessian's diagonal is; at least 1 where c trains, whose
    entry is 1; and 1 (0 with c frozen) at a network that fires on no sample.

    Parameters
    ----------
    networks : Networks
        ``n_nets`` of them, finite or not.
    data : TrainingSet
        Of any number of samples, in any order.
    freeze : collection of str
        The parameters among "w", "b", "v", "c" that do not train: their rows and columns of the
        Hessian are left out. With all of them frozen the result is 0.

    Returns
    -------
    ndarray of float64, shape (n_nets,)
        With an error of some roundings of the Hessian's norm. NaN where a parameter or an entry of
        the Hessian is not finite.

    Raises
    ------
    InputError
        If an argument is of another kind, or if sums of squares of the samples are beyond the range
        of float64.
    """
    frozen = [PARAMETERS.index(name) for name in checked_freeze(freeze)]
    sums = _tables(networks, data)
    parameters = networks.stack()
    result = np.empty(len(networks))
    for block in _blocks(len(networks)):
        entries = _hessians(sums, parameters[:, block])
        # Rows of 0 in place of none add eigenvalues of 0, and the largest is never below 0.
        entries[frozen, :] = entries[:, frozen] = 0
        finite = np.isfinite(parameters[:, block]).all(axis=0)
        finite &= np.isfinite(entries).all(axis=(0, 1))
        entries[:, :, ~finite] = 0
        result[block] = np.where(finite, _largest_eigenvalues(entries), np.nan)
    return result


def hessian(networks: Networks, data: TrainingSet) -> Float64Array:
    """Return the Hessian of the mean loss at every network, with 0 for both derivatives of relu(0).

    With a = w*x + b and e = v*a + c - target, and with sums over the samples that fire::

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

    Returns
    -------
    ndarray of float64, shape (n_nets, 4, 4)
        In the order w, b, v, c. NaN where a parameter is not finite.

    Raises
    ------
    InputError
        As in ``sharpness``.
    """
    sums = _tables(networks, data)
    parameters = networks.stack()
    result = np.empty((len(networks), 4, 4))
    for block in _blocks(len(networks)):
        result[block] = _hessians(sums, parameters[:, block]).transpose(2, 0, 1)
    result[~np.isfinite(parameters).all(axis=0)] = np.nan
    return result


def _blocks(n_nets: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n_nets, BLOCK)]


def _tables(networks: Networks, data: TrainingSet) -> SortedSums:
    """Check both and return the tables of the samples, those that training in float64 has made."""
    instance_of("networks", networks, Networks)
    instance_of("data", data, TrainingSet)
    try:
        return sorted_sums.tables(data.x, data.target)
    except InputError:
        raise InputError(
            "data: expected samples whose sums of squares are within the range of float64, got"
            f" {data.extent}"
        ) from None


def _hessians(sums: SortedSums, parameters: FloatArray) -> Float64Array:
    """Return the Hessians, shape (4, 4, n_nets), at the rows w, b, v, c of ``parameters``.

    Sums about the means of the firing samples: by the parallel axis theorem nothing cancels.
    """
    w, b, v, c = parameters
    with np.errstate(all="ignore"):  # networks that are not finite, and overflow
        split = sorted_sums.find_splits(sums, w, b)
        rising = (w >= 0).astype(np.int64)
        moments = sums.moments[split, rising].T
        count = np.where(rising, sums.x.size - split, split) / sums.x.size
        fires = count > 0
        mean_x, spread = moments[MEAN_X], moments[SXX] / sums.x.size
        a = w * mean_x + b
        e = np.where(fires, v * a + c - moments[MEAN_TARGET], 0)
        sum_x, sum_a, sum_e = count * mean_x, count * a, count * e
        sum_xx, sum_xa = sum_x * mean_x + spread, sum_a * mean_x + w * spread
        sum_aa = sum_a * a + w * (w * spread)
        sum_ex = sum_e * mean_x + (v * (w * spread) - moments[SLOPE] * spread)
        ww, wb, wv, wc = v * (v * sum_xx), v * (v * sum_x), v * sum_xa + sum_ex, v * sum_x
        bb, bv, bc = v * (v * count), v * sum_a + sum_e, v * count
        one = np.ones_like(w)
        rows = [[ww, wb, wv, wc], [wb, bb, bv, bc], [wv, bv, sum_aa, sum_a], [wc, bc, sum_a, one]]
        return np.array(rows)


def _largest_eigenvalues(matrices: Float64Array) -> Float64Array:
    """Return the largest eigenvalues of finite symmetric matrices, shape (4, 4, n), in bulk.

    Two to three times as fast as LAPACK one by one, and as accurate: tridiagonal form, then
    Laguerre's iteration for the largest root of the characteristic polynomial, from above. LAPACK
    takes the few whose largest eigenvalues are so near to each other that the iteration is slow.
    """
    # Scaled by powers of 2, which is exact. Of subnormal numbers no power in range makes 1.
    exponent = np.maximum(np.frexp(np.abs(matrices).max(axis=(0, 1)))[1], -1022)
    diagonal, squares = _tridiagonal(matrices * np.ldexp(1.0, -exponent))
    roots, found = _largest_roots(diagonal, squares)
    with np.errstate(over="ignore"):  # up to 4 times the largest entry
        largest = np.ldexp(roots, exponent)
    rest = np.flatnonzero(~found)
    if rest.size:
        largest[rest] = np.linalg.eigvalsh(matrices[:, :, rest].transpose(2, 0, 1))[:, -1]
    return largest


def _tridiagonal(
    matrices: Float64Array,
) -> tuple[Float64Array, Float64Array]:
    """Return tridiagonal matrices with the same eigenvalues.

    A Householder reflection, then a rotation (Golub & Van Loan, Matrix Computations, 8.3.1). What
    is below 1e-20 is left out: beside entries of about 1 it is nothing, and its square is not
    accurate enough to reflect with.

    Parameters
    ----------
    matrices : ndarray, shape (4, 4, n)
        Symmetric, the largest entry of each about 1.

    Returns
    -------
    diagonal : ndarray, shape (4, n)
    squares : ndarray, shape (3, n)
        Of the entries beside the diagonal.
    """
    (first, x, y, z), (_, a, b, c), (_, _, d, e), (_, _, _, f) = matrices
    # The reflection along u = (u, y, z) that takes (x, y, z) to a multiple of (1, 0, 0) ...
    tail = y * y + z * z
    square = x * x + tail
    u = x + np.copysign(np.sqrt(square), x)
    reflects = tail > 1e-40
    beta = np.where(reflects, 2 / np.where(reflects, u * u + tail, 1), 0)
    # ... takes the rest to rest - u p' - p u'.
    p = beta * (a * u + b * y + c * z)
    q = beta * (b * u + d * y + e * z)
    r = beta * (c * u + e * y + f * z)
    half = 0.5 * beta * (u * p + y * q + z * r)
    p, q, r = p - half * u, q - half * y, r - half * z
    a = a - 2 * u * p
    b, c = b - u * q - y * p, c - u * r - z * p
    d, e, f = d - 2 * y * q, e - y * r - z * q, f - 2 * z * r

    rotates = np.abs(c) > 1e-20
    beside = b * b + c * c
    length = np.where(rotates, np.sqrt(beside), 1)
    cos, sin = np.where(rotates, b / length, 1), np.where(rotates, c / length, 0)
    twist = 2 * cos * sin * e
    e = (cos * cos - sin * sin) * e + cos * sin * (f - d)
    d, f = cos * cos * d + sin * sin * f + twist, sin * sin * d + cos * cos * f - twist
    return np.stack([first, a, d, f]), np.stack([square, beside, e * e])


def _largest_roots(
    diagonal: Float64Array, squares: Float64Array
) -> tuple[Float64Array, npt.NDArray[np.bool_]]:
    """Return the largest eigenvalues of tridiagonal matrices, and which of them have been found.

    Laguerre's iteration falls monotonically to the largest of real roots, with cubic convergence
    where it is simple (Wilkinson, The Algebraic Eigenvalue Problem, 7.40). The polynomial's values
    from the three-term recurrence are those of a matrix that differs by roundings, so an iterate
    is not below the largest root by more than that.
    """
    tolerance = 4 * np.finfo(np.float64).eps
    beside = np.zeros((5, diagonal.shape[1]))
    beside[1:4] = np.sqrt(squares)
    root = (diagonal + beside[:-1] + beside[1:]).max(axis=0) + tolerance  # Gershgorin's bound
    found = np.zeros(root.size, bool)
    for _ in range(MOST_ITERATIONS):
        value, slope, bend = _polynomial(root - diagonal, squares)
        # The four roots' reciprocal distances have the mean slope/(4*value).
        spread = np.sqrt(np.maximum(9 * slope * slope - 24 * value * bend, 0))
        above = (value > 0) & (slope > 0)
        step = np.where(above, 4 * value / np.where(above, slope + spread, 1), 0)
        root = root - np.where(found, 0, step)
        found |= step <= tolerance
        if found.all():
            break
    return root, found


def _polynomial(
    t: Float64Array, squares: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return the characteristic polynomial, its derivative and half the second derivative.

    Parameters
    ----------
    t : ndarray, shape (4, n)
        The argument minus the diagonal.
    squares : ndarray, shape (3, n)
    """
    value, slope, bend = t[1] * t[0] - squares[0], t[0] + t[1], np.ones_like(t[0])
    before, slope_before, bend_before = t[0], np.ones_like(t[0]), np.zeros_like(t[0])
    for t_k, square in zip(t[2:], squares[1:], strict=True):
        value, slope, bend, before, slope_before, bend_before = (
            t_k * value - square * before,
            value + t_k * slope - square * slope_before,
            slope + t_k * bend - square * bend_before,
            value,
            slope,
            bend,
        )
    return value, slope, bend
