"""Networks whose unit is dead: only c moves, on any number of samples."""

from typing import Any

import numpy as np

from relulab.model.double_double import DoubleDouble, two_sum
from relulab.theory.settling import in_range
from relulab.training.stability import EDGE, SLACK
from relulab.validation import (
    Float64Array,
    InputError,
    finite_array,
    finite_number,
    instance_of,
    number_arrays,
)


def dead_unit_c(
    c0: Any, target: Any, learning_rate: Any, step: Any, *,
    momentum: Any = 0, velocity: Any = 0, nesterov: bool = False, weight_decay: Any = 0,
) -> Float64Array:  # fmt: skip
    """Return c after some full-batch steps of a network whose unit is dead.

    The gradient is c - target, and each step multiplies it by 1 - learning_rate. So c converges
    below a rate of 2, has period 2 at 2, and diverges above, although the unit is dead.

    With weight decay the gradient is (1 + decay)*(c - rest), and c comes to rest at
    rest = target/(1 + decay). With momentum m a step takes c - rest and learning_rate*velocity to
    linear combinations of the two, with q = learning_rate*(1 + decay)::

        [1 - q, -m]    with nesterov    [1 - q - q*m, -m^2]
        [  q,    m]                     [     q,       m  ]

    and several steps multiply by a power of this matrix. c converges below a rate of
    ``stability_limit(1 + decay)``: rate and sharpness enter the limit as a product.

    Parameters
    ----------
    c0, target, learning_rate, step : array_like
        Of shapes that broadcast. For several samples ``target`` is their mean target, and the loss
        converges to half the variance of the targets (see ``dead_unit_loss``).
    momentum, velocity : array_like
        The velocity is that of c at the start: 0 for a unit that is born dead.
    nesterov : bool
        Whether momentum is Nesterov's.
    weight_decay : array_like
        That of c, at least 0.

    Returns
    -------
    ndarray of float64, of the common shape
        The error is a few roundings of c0 and of how far c has moved, at rates >= 0 of any
        size. With momentum or decay this holds up to 2**40 steps, and numbers beyond 1e290 are NaN.

    Raises
    ------
    InputError
        If a step is not a whole number >= 0, a momentum is not in [0, 1), or a decay is negative.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.dead_unit_c(0, 3, 1e-9, [0, 1, 10**9]).round(9).tolist()
    [0.0, 3e-09, 1.896361677]
    """
    c0, target, rate, step, momentum, velocity, decay = number_arrays(
        c0=c0, target=target, learning_rate=learning_rate, step=step, momentum=momentum,
        velocity=velocity, weight_decay=weight_decay,
    )  # fmt: skip
    in_range("momentum", momentum, 1)
    in_range("weight_decay", decay, np.inf)
    instance_of("nesterov", nesterov, bool)
    wrong = step[(step < 0) | (step != np.rint(step)) | np.isinf(step)]
    if wrong.size:
        raise InputError(f"step: expected whole numbers >= 0, got {wrong[0]}")
    c0, target, rate, step, momentum, velocity, decay = np.broadcast_arrays(
        c0, target, rate, step, momentum, velocity, decay
    )
    plain = (momentum == 0) & (decay == 0)
    result = _plain_c(c0, target, rate, step)
    if plain.all():
        return result
    moved = _c_with_momentum(c0, target, rate, step, momentum, velocity, decay, nesterov)
    return np.where(plain, result, moved)


def _plain_c(
    c0: Float64Array, target: Float64Array, rate: Float64Array, step: Float64Array
) -> Float64Array:
    with np.errstate(all="ignore"):  # it diverges
        # Halves, if a difference of two numbers may be beyond float64.
        unit = np.where(np.maximum(np.abs(c0), np.abs(target)) > 2.0**1000, 0.5, 1.0)
        gap = c0 * unit - target * unit
        left = _multiplied(gap, rate, step)
        # Measured from the start while it is nearer than the target; else first steps are lost.
        exponent = np.where(step == 0, 0.0, step * _log_factor(rate))
        begins = (np.abs(exponent) < np.log(2)) & ((rate < 1) | (step % 2 == 0))
        moved = np.where(begins, c0 * unit + gap * np.expm1(exponent), target * unit + left)
        result: Float64Array = moved / unit
    return result


def _c_with_momentum(
    c0: Float64Array, target: Float64Array, rate: Float64Array, step: Float64Array,
    momentum: Float64Array, velocity: Float64Array, decay: Float64Array, nesterov: bool,
) -> Float64Array:  # fmt: skip
    """Return c after some steps by a power of the matrix of a step.

    A power of I + M is I + N. Only N is computed, in twice the precision, so small rates lose
    nothing.
    """
    one, m = DoubleDouble.of(1.0), DoubleDouble.of(momentum)
    with np.errstate(all="ignore"):  # it diverges
        q = DoubleDouble.of(rate) * (one + DoubleDouble.of(decay))
        square: list[list[DoubleDouble]] = [[-q, -m], [q, m - one]]
        if nesterov:
            square[0] = [-q - q * m, -(m * m)]
        nothing = DoubleDouble.of(np.zeros(step.shape))
        power = [[nothing, nothing], [nothing, nothing]]
        left = step
        while (left > 0).any():
            longer = _followed(power, square)
            odd = left % 2 == 1
            power = [
                [new.where(odd) + old.where(~odd) for new, old in zip(*rows, strict=True)]
                for rows in zip(longer, power, strict=True)
            ]
            square = _followed(square, square)
            left = np.floor(left / 2)
        gap = DoubleDouble.of(c0) - DoubleDouble.of(target) / (one + DoubleDouble.of(decay))
        speed = DoubleDouble.of(rate) * DoubleDouble.of(velocity)
        moved = power[0][0] * gap + power[0][1] * speed
        result: Float64Array = (DoubleDouble.of(c0) + moved).hi
    return result


def _followed(
    first: list[list[DoubleDouble]], then: list[list[DoubleDouble]]
) -> list[list[DoubleDouble]]:
    """Return F + T + F*T, which is (I + F)(I + T) - I."""
    return [
        [
            first[i][j] + then[i][j] + (first[i][0] * then[0][j] + first[i][1] * then[1][j])
            for j in range(2)
        ]
        for i in range(2)
    ]


def dead_unit_loss(targets: Any, weight_decay: Any = 0) -> Float64Array:
    """Return the loss at which a network with a dead unit rests, with full-batch steps.

    c rests at mean/(1 + decay), so the loss is half the variance of the targets plus half the
    square of mean*decay/(1 + decay). Like ``loss`` in tables, it leaves out the decay term.

    Parameters
    ----------
    targets : array_like, shape (n_samples,)
    weight_decay : float or array_like
        The decay of c, at least 0; w, b and v do not matter.

    Returns
    -------
    ndarray of float64, of the shape of ``weight_decay``
        inf where it is beyond float64.

    Raises
    ------
    InputError
        If a target is not finite or a decay is negative.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.dead_unit_loss([1, 3], [0, 1]).tolist()
    [0.5, 1.0]
    """
    targets = finite_array("targets", targets)
    [decay] = number_arrays(weight_decay=weight_decay)
    in_range("weight_decay", decay, np.inf)
    exponent = np.frexp(np.abs(targets).max())[1]
    with np.errstate(all="ignore"):
        scaled = np.ldexp(targets, -exponent)
        mean = scaled.mean()
        mean += (scaled - mean).mean()  # the rounding error of a large offset
        off = mean * (decay / (1 + decay))
        loss = 0.5 * (np.mean((scaled - mean) ** 2) + off * off)
        result: Float64Array = np.ldexp(loss, 2 * exponent)
    return result


def _log_factor(rate: Float64Array) -> Float64Array:
    """Return log|1 - rate| with all its digits. (1 - rate is exact from 1/2 on.)"""
    return np.where(rate < 0.5, np.log1p(-rate), np.log(np.abs(1 - rate)))


def _multiplied(gap: Float64Array, rate: Float64Array, step: Float64Array) -> Float64Array:
    """Return gap * (1 - rate)^step in four powers, each within float64 if the result is."""
    part = np.floor(step / 4)
    for times in (part, part, part, part + (step - 4 * part)):
        small = np.exp(times * _log_factor(rate))
        power = np.where(rate < 0.5, small, np.power(1 - rate, times))
        gap = np.where(gap == 0, gap, gap * power)
    return gap


def dead_unit_steps(c0: Any, target: Any, learning_rate: Any, tolerance: float) -> Float64Array:
    """Return the number of full-batch steps in which a dead unit's network converges.

    That is the first k at which |c_k - target|, the gradient norm, is at most the tolerance; see
    ``dead_unit_c``. Above a rate of 2 descent does not rest there, however near the target it is:
    such a run is not ``converged`` (``training.stability``).

    Parameters
    ----------
    c0, target, learning_rate : array_like
        Of shapes that broadcast.
    tolerance : float
        Greater than 0.

    Returns
    -------
    ndarray of float64
        Whole numbers, up to rounding at the tolerance; inf if it never converges, or only after
        more steps than float64 can hold.

    Raises
    ------
    InputError
        If the tolerance is not above 0.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.dead_unit_steps(0.5, 3, [0.1, 1, 2], tolerance=1e-6).tolist()
    [140.0, 1.0, inf]
    """
    c0, target, rate = number_arrays(c0=c0, target=target, learning_rate=learning_rate)
    tolerance = finite_number("tolerance", tolerance, above=0.0)
    with np.errstate(all="ignore"):
        distance, log_ratio = _distance(c0, target, tolerance)
        steps = np.maximum(np.ceil(log_ratio / -_log_factor(rate)), 1.0)
    result: Float64Array = np.select(
        [rate > EDGE + SLACK, distance <= tolerance, (rate <= 0) | (rate >= 2)],
        [np.inf, 0.0, np.inf],
        steps,
    )
    return result


def _distance(
    c0: Float64Array, target: Float64Array, tolerance: float
) -> tuple[Float64Array, Float64Array]:
    """Return |c0 - target|, and the logarithm of its ratio to the tolerance with all digits."""
    distance, low = two_sum(c0, -target)
    distance, low = np.abs(distance), np.where(distance < 0, -low, low)
    halved = np.log(np.abs(c0 / 2 - target / 2)) + np.log(2)
    far = np.where(np.isinf(distance), halved, np.log(distance)) - np.log(tolerance)
    quotient = distance / tolerance
    far = np.where(np.isfinite(quotient), np.log(quotient), far)
    # Just above the tolerance, where a logarithm of the ratio has lost the deciding digits.
    near = np.log1p(((distance - tolerance) + low) / tolerance)
    return distance, np.where(distance <= 2 * tolerance, near, far)


def dead_unit_c_per_example(targets: Any, learning_rate: Any) -> Float64Array:
    """Return c at the beginning of late epochs of a dead unit, with one sample per step.

    An epoch takes c to (1-r)^n * c + r * sum (1-r)^(n-i) * target_i, with r the learning rate and i
    from 1 to n. The fixed point is a mean of the targets with the weights (1-r)^(n-i), heavier
    later in the epoch. Only as r goes to 0 is it the mean that full-batch steps lead to.

    Parameters
    ----------
    targets : array_like, shape (n_samples,)
        In the order of the steps.
    learning_rate : float or array_like, shape (n_rates,)

    Returns
    -------
    ndarray of float64, of the shape of ``learning_rate``
        The error is a few roundings of the largest target, at rates of any size.

    Raises
    ------
    InputError
        If a rate is not between 0 and 2, or the limit is beyond float64. Only between 0 and 2 do
        powers of (1-r)^n go to 0, and every c to this limit; above, c diverges. At 2, where
        (1-r)^n is 1 or -1, c moves by a constant each epoch if n is even, and returns after two
        epochs if n is odd. Near 2 the weights alternate in sign and have a small sum.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.dead_unit_c_per_example([1, 2, 6], [1e-9, 0.5, 1]).round(6).tolist()
    [3.0, 4.142857, 6.0]
    """
    rates, targets = finite_array("learning_rate", learning_rate), finite_array("targets", targets)
    outside = rates[(rates <= 0) | (rates >= 2)]
    if outside.size:
        raise InputError(f"learning_rate: expected values between 0 and 2, got {outside[0]}")
    # Take out powers of 2 before squaring or splitting: they change no digit.
    exponent = np.frexp(np.abs(targets).max())[1]
    with np.errstate(over="ignore", under="ignore"):
        scaled = _weighted_sums(np.ldexp(targets, -exponent), rates)
        mean = scaled / _weighted_sums(np.ones(targets.size), rates)
        result: Float64Array = np.ldexp(mean.hi, exponent)
    if not np.isfinite(result).all():
        raise InputError(
            "targets: expected values whose limit is within the range of float64, got"
            f" {result[~np.isfinite(result)][0]} at the learning rate"
            f" {rates[~np.isfinite(result)][0]}"
        )
    return result.reshape(np.shape(learning_rate))


def _weighted_sums(values: Float64Array, rates: Float64Array) -> DoubleDouble:
    """Return the sum of (1 - rate)^(n-i) * values_i for every rate.

    By halving: multiply the earlier of every two neighbors by the factor, add, and square the
    factor. In twice the precision, because above a rate of 1 the terms cancel.
    """
    n = 1 << (values.size - 1).bit_length()
    padded = np.append(np.zeros(n - values.size), values)  # zeros before the first have no weight
    sums = DoubleDouble.of(np.broadcast_to(padded, (rates.size, n)))
    factor = DoubleDouble.of(1.0) - DoubleDouble.of(rates[:, np.newaxis])
    while n > 1:
        sums = sums[:, ::2] * factor + sums[:, 1::2]
        factor, n = factor * factor, n // 2
    return sums[:, 0]
