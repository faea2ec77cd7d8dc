"""Dead units that move on: the effect of the velocity with which they died."""

from typing import Any

import numpy as np

from relulab.theory.settling import in_range
from relulab.validation import Float64Array, instance_of, number_arrays


def steps_to_wake(
    pre_activation: Any,
    velocity: Any,
    learning_rate: Any,
    momentum: Any,
    *,
    nesterov: bool = False,
) -> Float64Array:
    """Return the number of steps in which a silent unit's velocity makes it active again.

    While the unit is silent on all samples, w and b have no gradient, so each step multiplies their
    velocities by the momentum m. Over k steps the velocities add up to m*(1 - m^k)/(1 - m) times
    their present value, and the pre-activation a of a sample moves by -learning_rate times that
    multiple of its velocity x*velocity_w + velocity_b. Nesterov's form adds another factor m. The
    factor of all steps together, m/(1 - m) (Nesterov: m^2/(1 - m)), is never quite reached: the
    unit wakes exactly if a is above 0 there, and otherwise it is dead for good.

    Parameters
    ----------
    pre_activation, velocity : array_like
        Of a sample: w*x + b and x*velocity_w + velocity_b, in the units of SGD (a step is
        -learning_rate*velocity). With several samples, take the smallest result: a unit wakes when
        it does on the first sample, which has the least or the largest x.
    learning_rate : array_like
        At least 0.
    momentum : array_like
        From 0 to below 1.
    nesterov : bool
        Whether momentum is Nesterov's.

    Returns
    -------
    ndarray of float64, of the common shape
        0 where the pre-activation is above 0, inf where it never is. Rounding can matter where it
        reaches 0 in a whole number of steps.

    Raises
    ------
    InputError
        If a rate is negative or a momentum is out of range.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.steps_to_wake(-0.5, velocity=[-0.5, -2, 2], learning_rate=1, momentum=0.5).tolist()
    [inf, 1.0, inf]
    >>> theory.steps_to_wake(-0.5, velocity=-0.51, learning_rate=1, momentum=0.5).tolist()
    6.0
    """
    a, velocity, rate, momentum = number_arrays(
        pre_activation=pre_activation, velocity=velocity, learning_rate=learning_rate,
        momentum=momentum,
    )  # fmt: skip
    in_range("learning_rate", rate, np.inf)
    in_range("momentum", momentum, 1)
    instance_of("nesterov", nesterov, bool)
    with np.errstate(all="ignore"):
        first = momentum * momentum if nesterov else momentum
        whole = -rate * velocity * (first / (1 - momentum))
        # m^k < 1 + a/whole: the first k above the quotient.
        steps = np.floor(np.log1p(a / whole) / np.log(momentum)) + 1
        wakes = (a <= 0) & (whole > -a)
    result: Float64Array = np.select([a > 0, wakes], [0.0, np.maximum(steps, 1)], np.inf)
    nan = np.isnan(a + velocity)
    return np.where(nan, np.nan, result)
