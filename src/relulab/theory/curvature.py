"""How curved the loss is at a network: the Hessian of the mean loss, and its largest eigenvalue.

Gradient descent can settle at a stationary point only where that eigenvalue is below
2 / learning_rate. The sums over active samples follow from the tables that training has, so
that a network costs O(log n_samples).
"""

from collections.abc import Collection

import numpy as np

from relulab.model.data import TrainingSet
from relulab.model.network import PARAMETERS, Networks
from relulab.training import sorted_sums
from relulab.training.options import checked_freeze
from relulab.training.sorted_sums import MEAN_TARGET, MEAN_X, SLOPE, SXX, SortedSums
from relulab.validation import Float64Array, FloatArray, InputError, instance_of

# Networks at once: the arrays of a block stay in the cache, and memory is bounded.
BLOCK = 8192


def sharpness(networks: Networks, data: TrainingSet, freeze: Collection[str] = ()) -> Float64Array:
    """Return the largest eigenvalue of the Hessian of the mean loss at every network.

    It is never negative, as no entry on the Hessian's diagonal is; at least 1 where c trains, whose
    entry is 1; and 1 (0 with c frozen) at a network that is inactive on every sample.

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
    sums = tables_of(networks, data)
    parameters = networks.stack()
    result = np.empty(len(networks))
    for block in _blocks(len(networks)):
        entries = _hessians(sums, parameters[:, block])
        # Rows of 0 in place of none add eigenvalues of 0, and the largest is never below 0.
        entries[frozen, :] = entries[:, frozen] = 0
        entries = entries.transpose(2, 0, 1)
        finite = np.isfinite(parameters[:, block]).all(axis=0)
        finite &= np.isfinite(entries).all(axis=(1, 2))
        largest = np.full(finite.size, np.nan)
        largest[finite] = np.linalg.eigvalsh(entries[finite])[:, -1]
        result[block] = largest
    return result


def hessian(networks: Networks, data: TrainingSet) -> Float64Array:
    """Return the Hessian of the mean loss at every network, with 0 for both derivatives of relu(0).

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

    Returns
    -------
    ndarray of float64, shape (n_nets, 4, 4)
        In the order w, b, v, c. NaN where a parameter is not finite.

    Raises
    ------
    InputError
        As in ``sharpness``.
    """
    sums = tables_of(networks, data)
    parameters = networks.stack()
    result = np.empty((len(networks), 4, 4))
    for block in _blocks(len(networks)):
        result[block] = _hessians(sums, parameters[:, block]).transpose(2, 0, 1)
    result[~np.isfinite(parameters).all(axis=0)] = np.nan
    return result


def _blocks(n_nets: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, n_nets, BLOCK)]


def tables_of(networks: Networks, data: TrainingSet) -> SortedSums:
    """Check both and return the tables of the samples, those that training in float64 has made."""
    instance_of("networks", networks, Networks)
    instance_of("data", data, TrainingSet)
    try:
        return sorted_sums.tables(data, np.dtype(np.float64))
    except InputError:
        raise InputError(
            "data: expected samples whose sums of squares are within the range of float64, got"
            f" {data!r}"
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
