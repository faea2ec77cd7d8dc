"""Dead units that move on: what the velocity that they died with still does."""

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
    """Return after how many steps a silent unit's velocity has made it active again.

    While the unit is silent on all samples w and b have no gradient, so that each step multiplies
    their velocities by the momentum m. In k steps they come to m*(1 - m^k)/(1 - m) times what they
    are, and the pre-activation a of a sample moves by -learning_rate times that of its velocity
    x*velocity_w + velocity_b. With Nesterov's form each step is smaller by another factor m. All
    the steps together take a by the part m/(1 - m) (m^2/(1 - m)), which is never quite reached: so
    the unit wakes exactly if a is above 0 there, and else it is dead for good.

    Parameters
    ----------
    pre_activation, velocity : array_like
        Of a sample, w*x + b and x*velocity_w + velocity_b, in the units in which SGD has them (a
        step is -learning_rate*velocity). Of several samples, each is asked: a unit wakes when it
        does on the first of them, which is that with the least or with the largest x.
    learning_rate : array_like
        At least 0.
    momentum : array_like
        From 0 to below 1.
    nesterov : bool
        Whether momentum is Nesterov's.

    Returns
    -------
    ndarray of float64, of the common shape
        0 where the pre-activation is above 0, inf where it never is. Right but for rounding where
        it comes to 0 in a whole number of steps.

    Raises
    ------
    InputError
        If a rate is negative or a momentum not of this range.

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
