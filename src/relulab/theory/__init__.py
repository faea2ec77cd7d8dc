"""Closed forms to compare results with; each states its assumptions.

Notation for one sample (x, target): s = 1 + x^2 and q = sqrt(s); pre-activation a = w*x + b and
A = a/q; output f = v*a; residual e = f + c - target. While the unit is active, a step of gradient
descent multiplies A+v by 1 - learning_rate*q*e and A-v by 1 + learning_rate*q*e, and leaves w - x*b
unchanged. So the closed forms need only A, v and c.
"""

from relulab.theory.born_dead import born_dead_probability
from relulab.theory.coasting import steps_to_wake
from relulab.theory.dead_unit import (
    dead_unit_c,
    dead_unit_c_per_example,
    dead_unit_loss,
    dead_unit_steps,
)
from relulab.theory.decaying import collapse_residual, decayed_minimum
from relulab.theory.diverging import cannot_diverge, descent_potential
from relulab.theory.dying import (
    death_at_first_step_probability,
    dies_in_one_step,
    dies_under_gradient_flow,
    small_rate_death_probability,
    small_rate_wake_probability,
    wakes_under_gradient_flow,
)
from relulab.theory.dying_in_the_limit import dies_in_the_limit
from relulab.theory.frozen_c import (
    FROZEN_C_DIES,
    FROZEN_C_MONOTONE,
    FROZEN_C_PERIOD_4,
    FROZEN_C_PERIOD_8,
    FROZEN_C_PERIOD_16,
    FROZEN_C_PERIOD_32,
    FROZEN_C_SETTLES,
    FROZEN_C_SUPERSTABLE,
    balanced_start,
    balanced_step,
    balanced_two_cycle,
    frozen_c_critical_rate,
    frozen_c_edge_error,
)
from relulab.theory.gradient_flow import (
    FLOW_SHARPNESS_FALLS,
    FLOW_SHARPNESS_FALLS_FROZEN_C,
    flow_sharpness,
    frozen_c_flow_time,
    gradient_flow_invariants,
)
from relulab.theory.settling import (
    LARGEST_STABLE_RATE,
    adam_stability_limit,
    balance,
    interpolation_sharpness,
    largest_stable_rate,
    stability_limit,
)
from relulab.theory.sharpness_bounds import sharpness_lower_bound, side_weight

__all__ = [
    "FLOW_SHARPNESS_FALLS",
    "FLOW_SHARPNESS_FALLS_FROZEN_C",
    "FROZEN_C_DIES",
    "FROZEN_C_MONOTONE",
    "FROZEN_C_PERIOD_4",
    "FROZEN_C_PERIOD_8",
    "FROZEN_C_PERIOD_16",
    "FROZEN_C_PERIOD_32",
    "FROZEN_C_SETTLES",
    "FROZEN_C_SUPERSTABLE",
    "LARGEST_STABLE_RATE",
    "adam_stability_limit",
    "balance",
    "balanced_start",
    "balanced_step",
    "balanced_two_cycle",
    "born_dead_probability",
    "cannot_diverge",
    "collapse_residual",
    "dead_unit_c",
    "dead_unit_c_per_example",
    "dead_unit_loss",
    "dead_unit_steps",
    "death_at_first_step_probability",
    "decayed_minimum",
    "descent_potential",
    "dies_in_one_step",
    "dies_in_the_limit",
    "dies_under_gradient_flow",
    "flow_sharpness",
    "frozen_c_critical_rate",
    "frozen_c_edge_error",
    "frozen_c_flow_time",
    "gradient_flow_invariants",
    "interpolation_sharpness",
    "largest_stable_rate",
    "sharpness_lower_bound",
    "side_weight",
    "small_rate_death_probability",
    "small_rate_wake_probability",
    "stability_limit",
    "steps_to_wake",
    "wakes_under_gradient_flow",
]


def __dir__() -> list[str]:
    return __all__
