"""Networks whose unit is dead: only c moves, on any number of samples."""

from typing import Any

import numpy as np

from relulab.validation import Float64Array, InputError, finite_array, finite_number, number_arrays


def dead_unit_c(c0: Any, target: Any, learning_rate: Any, step: Any) -> Float64Array:
    """Return c after some full-batch steps of a network whose unit is dead.

    Its gradient is c - target, so each step multiplies that by 1 - learning_rate: convergence below
    a rate of 2, period 2 at 2, and a dead network that diverges above.

    Parameters
    ----------
    c0, target, learning_rate, step : array_like
        Of shapes that broadcast; ``target`` is the mean of the targets where there are several, and
        the loss that c converges to is half their variance.
    """
    c0, target, rate, step = number_arrays(
        c0=c0, target=target, learning_rate=learning_rate, step=step
    )
    wrong = step[(step < 0) | (step != np.rint(step))]
    if wrong.size:
        raise InputError(f"step: expected whole numbers >= 0, got {wrong[0]}")
    with np.errstate(over="ignore", invalid="ignore"):  # it diverges
        result: Float64Array = target + (1 - rate) ** step * (c0 - target)
    return result


def dead_unit_steps(c0: Any, target: Any, learning_rate: Any, tolerance: float) -> Float64Array:
    """Return after how many full-batch steps a dead unit's network has converged.

    The first k at which |c_k - target|, its gradient norm, is at most the tolerance; see
    ``dead_unit_c``.

    Parameters
    ----------
    c0, target, learning_rate : array_like
        Of shapes that broadcast.
    tolerance : float
        Greater than 0.

    Returns
    -------
    ndarray of float64
        Whole numbers up to rounding at a boundary; inf where it never converges.
    """
    c0, target, rate = number_arrays(c0=c0, target=target, learning_rate=learning_rate)
    tolerance = finite_number("tolerance", tolerance, above=0.0)
    with np.errstate(all="ignore"):
        distance = np.abs(c0 - target) / tolerance
        factor = np.abs(1 - rate)
        steps = np.ceil(np.log(distance) / -np.log(factor))
    result: Float64Array = np.select(
        [distance <= 1, factor >= 1, factor == 0], [0.0, np.inf, 1.0], steps
    )
    return result


def dead_unit_c_per_example(targets: Any, learning_rate: Any) -> Float64Array:
    """Return c at the beginning of late epochs of a dead unit, one example a step.

    An epoch takes c to (1-r)^n * c + r * sum (1-r)^(n-i) * target_i, with r the learning rate and i
    from 1 to n, whose fixed point is a mean of the targets with the weights (1-r)^(n-i): the later
    in an epoch, the heavier. Only as r goes to 0 is it the mean that full-batch steps lead to.

    Parameters
    ----------
    targets : array_like, shape (n_samples,)
        In the order in which the examples come.
    learning_rate : float or array_like, shape (n_rates,)

    Returns
    -------
    ndarray of float64, of the shape of ``learning_rate``

    Raises
    ------
    InputError
        If a rate is not between 0 and 2, where (1-r)^n goes to 0 and every c to this limit. Above,
        c diverges. At a rate of 2, where (1-r)^n is 1 or -1, it moves by a constant each epoch if n
        is even, and is back after two epochs if n is odd.
    """
    rates, targets = finite_array("learning_rate", learning_rate), finite_array("targets", targets)
    outside = rates[(rates <= 0) | (rates >= 2)]
    if outside.size:
        raise InputError(f"learning_rate: expected values between 0 and 2, got {outside[0]}")
    weights = (1 - rates[:, np.newaxis]) ** np.arange(targets.size)[::-1]
    with np.errstate(over="ignore", invalid="ignore"):
        result: Float64Array = weights @ targets / weights.sum(axis=1)
    if not np.isfinite(result).all():
        raise InputError("targets: expected values whose sum is within the range of float64")
    return result.reshape(np.shape(learning_rate))
