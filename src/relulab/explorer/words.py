"""Describe the fate of a run in words."""

from collections.abc import Sequence
from typing import Any

from relulab.explorer.view import column_of
from relulab.validation import counted

ENDS = {
    "converged": "converged after {steps}",
    "diverged": "diverged in step {n:,}",
    "oscillating": "oscillating with period {period} after {steps}",
    "unfinished": "unfinished after {steps}",
    "unstable": "standing still on an unstable point after {steps}",
}
UNITS = {"alive": "alive", "born_dead": "born dead", "died": "died in step {death:,}"}


def fate_in_words(run: Any) -> str:
    """Return how a run ended, as ``died in step 3, converged after 27 steps, loss 1.2e-13``."""
    n = int(run["steps_taken"])
    end = ENDS[str(run["outcome"])].format(steps=counted(n, "step"), n=n, period=run["period"])
    unit = UNITS[str(run["unit"])].format(death=run["death_step"])
    return f"{unit}, {end}, loss {run['loss']:.3g}"


def start_in_words(run: Any, names: Sequence[str]) -> str:
    """Return where a run started, as ``w0 = 1.25, v0 = -0.4``."""
    return ", ".join(f"{column_of(name)} = {run[column_of(name)]:.6g}" for name in names)
