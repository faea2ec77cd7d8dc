"""Closed forms that results are held against, each where its assumptions are stated.

Notation for one sample (x, target): s = 1 + x^2 and q = sqrt(s); pre-activation a = w*x + b and
A = a/q; output f = v*a, residual e = f + c - target. While the unit is active, a step of gradient
descent multiplies A+v by 1 - learning_rate*q*e and A-v by 1 + learning_rate*q*e, and leaves w - x*b
as it is. So the many parameters are few: all that follows is about A, v and c.
"""

from relulab.theory.born_dead import born_dead_probability
from relulab.theory.dead_unit import dead_unit_c, dead_unit_c_per_example, dead_unit_steps
from relulab.theory.dying import (
    death_at_first_step_probability,
    dies_in_one_step,
    dies_under_gradient_flow,
    small_rate_death_probability,
)
from relulab.theory.dying_in_the_limit import dies_in_the_limit
from relulab.theory.frozen_c import (
    FROZEN_C_DIES,
    FROZEN_C_PERIOD_4,
    FROZEN_C_SETTLES,
    balanced_start,
    balanced_step,
)
from relulab.theory.settling import (
    LARGEST_STABLE_RATE,
    balance,
    interpolation_sharpness,
    largest_stable_rate,
)

__all__ = [
    "FROZEN_C_DIES",
    "FROZEN_C_PERIOD_4",
    "FROZEN_C_SETTLES",
    "LARGEST_STABLE_RATE",
    "balance",
    "balanced_start",
    "balanced_step",
    "born_dead_probability",
    "dead_unit_c",
    "dead_unit_c_per_example",
    "dead_unit_steps",
    "death_at_first_step_probability",
    "dies_in_one_step",
    "dies_in_the_limit",
    "dies_under_gradient_flow",
    "interpolation_sharpness",
    "largest_stable_rate",
    "small_rate_death_probability",
]


def __dir__() -> list[str]:
    return __all__
