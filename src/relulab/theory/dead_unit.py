"""Networks whose unit is dead: only c moves, on any number of samples."""

from typing import Any

import numpy as np

from relulab.model.double_double import DoubleDouble, two_sum
from relulab.theory.settling import in_range
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

    Its gradient is c - target, so each step multiplies that by 1 - learning_rate: convergence below
    a rate of 2, period 2 at 2, and a dead network that diverges above.

    With weight decay the gradient is (1 + decay)*(c - rest), and c comes to rest at
    rest = target/(1 + decay). With momentum m a step takes c - rest and learning_rate*velocity to
    linear combinations of the two, with q = learning_rate*(1 + decay)::

        [1 - q, -m]    with nesterov    [1 - q - q*m, -m^2]
        [  q,    m]                     [     q,       m  ]

    and some steps to those of a power of this matrix. Convergence is below a rate of
    ``stability_limit(1 + decay)``, for it is the rate and the sharpness in one.

    Parameters
    ----------
    c0, target, learning_rate, step : array_like
        Of shapes that broadcast; ``target`` is the mean of the targets where there are several, and
        the loss that c converges to is half their variance (see ``dead_unit_loss``).
    momentum, velocity : array_like
        The velocity is that of c at the start: 0 for a unit that is dead from the first step on.
    nesterov : bool
        Whether momentum is Nesterov's.
    weight_decay : array_like
        That of c, at least 0.

    Returns
    -------
    ndarray of float64, of the common shape
        With an error of some roundings of c0 and of how far c has moved, at rates of any size.
        With momentum or decay that is true up to 2**40 steps, and what is beyond 1e290 is NaN.

    Raises
    ------
    InputError
        If a step is no whole number >= 0, a momentum not from 0 to below 1, or a decay negative.

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
        # Halves, where a difference of two numbers may be beyond float64.
        unit = np.where(np.maximum(np.abs(c0), np.abs(target)) > 2.0**1000, 0.5, 1.0)
        gap = c0 * unit - target * unit
        left = _multiplied(gap, rate, step)
        # Seen from the start while it is nearer than the target, or it would lose its first steps.
        exponent = np.where(step == 0, 0.0, step * _log_factor(rate))
        begins = (exponent > -np.log(2)) & (exponent <= 0) & ((rate < 1) | (step % 2 == 0))
        moved = np.where(begins, c0 * unit + gap * np.expm1(exponent), target * unit + left)
        result: Float64Array = moved / unit
    return result


def _c_with_momentum(
    c0: Float64Array, target: Float64Array, rate: Float64Array, step: Float64Array,
    momentum: Float64Array, velocity: Float64Array, decay: Float64Array, nesterov: bool,
) -> Float64Array:  # fmt: skip
    """Return c after some steps by a power of the matrix of a step.

    Of I + M the powers are I + N, and N is what is computed, in twice the precision: so small rates
    lose nothing.
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
    """Return F + T + F*T, the I + F of which is that of (I + F)(I + T)."""
    return [
        [
            first[i][j] + then[i][j] + (first[i][0] * then[0][j] + first[i][1] * then[1][j])
            for j in range(2)
        ]
        for i in range(2)
    ]


def dead_unit_loss(targets: Any, weight_decay: Any = 0) -> Float64Array:
    """Return the loss at which a network with a dead unit rests, by full-batch steps.

    c rests at mean/(1 + decay), so that the loss is half the variance of the targets and half the
    square of mean*decay/(1 + decay). The loss does not count the decay term, as ``loss`` in tables.

    Parameters
    ----------
    targets : array_like, shape (n_samples,)
    weight_decay : float or array_like
        That of c, at least 0; w, b and v do not matter.

    Returns
    -------
    ndarray of float64, of the shape of ``weight_decay``
        inf where it is beyond float64.

    Raises
    ------
    InputError
        If a target is not finite or a decay negative.

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
        mean += (scaled - mean).mean()  # what rounding left of a large offset
        off = mean * (decay / (1 + decay))
        loss = 0.5 * (np.mean((scaled - mean) ** 2) + off * off)
        result: Float64Array = np.ldexp(loss, 2 * exponent)
    return result


def _log_factor(rate: Float64Array) -> Float64Array:
    """Return log|1 - rate| to all its digits. (From 1/2 on 1 - rate is exact.)"""
    return np.where(rate < 0.5, np.log1p(-rate), np.log(np.abs(1 - rate)))


def _multiplied(gap: Float64Array, rate: Float64Array, step: Float64Array) -> Float64Array:
    """Return gap * (1 - rate)^step, in four parts of the power, each within float64 if that is."""
    part = np.floor(step / 4)
    for times in (part, part, part, part + (step - 4 * part)):
        small = np.exp(times * _log_factor(rate))
        power = np.where(rate < 0.5, small, np.power(1 - rate, times))
        gap = np.where(gap == 0, gap, gap * power)
    return gap


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
        Whole numbers up to rounding at a boundary; inf where it never converges, or after more
        steps than float64 has numbers for.

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
        [distance <= tolerance, (rate <= 0) | (rate >= 2)], [0.0, np.inf], steps
    )
    return result


def _distance(
    c0: Float64Array, target: Float64Array, tolerance: float
) -> tuple[Float64Array, Float64Array]:
    """Return |c0 - target|, and the logarithm of its ratio to the tolerance to all its digits."""
    distance, low = two_sum(c0, -target)
    distance, low = np.abs(distance), np.where(distance < 0, -low, low)
    halved = np.log(np.abs(c0 / 2 - target / 2)) + np.log(2)
    far = np.where(np.isinf(distance), halved, np.log(distance)) - np.log(tolerance)
    quotient = distance / tolerance
    far = np.where(np.isfinite(quotient), np.log(quotient), far)
    # Just above the tolerance, where a logarithm of the ratio has lost what decides.
    near = np.log1p(((distance - tolerance) + low) / tolerance)
    return distance, np.where(distance <= 2 * tolerance, near, far)


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
        With an error of some roundings of the largest target, at rates of any size.

    Raises
    ------
    InputError
        If a rate is not between 0 and 2, where (1-r)^n goes to 0 and every c to this limit. Above,
        c diverges. At a rate of 2, where (1-r)^n is 1 or -1, it moves by a constant each epoch if n
        is even, and is back after two epochs if n is odd. And if the limit is beyond float64: near
        2 the weights have changing signs and a small sum.

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
    # Powers of 2 out of what is squared or split: they change no digit.
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

    By halves: of every two neighbours the earlier one is multiplied, and then the factor squared.
    In twice the precision, for beyond a rate of 1 the terms cancel.
    """
    n = 1 << (values.size - 1).bit_length()
    padded = np.append(np.zeros(n - values.size), values)  # before the first, they have no weight
    sums = DoubleDouble.of(np.broadcast_to(padded, (rates.size, n)))
    factor = DoubleDouble.of(1.0) - DoubleDouble.of(rates[:, np.newaxis])
    while n > 1:
        sums = sums[:, ::2] * factor + sums[:, 1::2]
        factor, n = factor * factor, n // 2
    return sums[:, 0]
