"""Periodic orbits: which of the runs that are unfinished at max_steps go round in a circle.

The third part of the specification. An unfinished run is followed from its last state by the same
updates, without judging, for ``FOLLOWED`` steps. Of these states x[0], x[1], ..., x[FOLLOWED], the
distance at q is the largest |x[k+q] - x[k]| of any parameter and *every* k that has both. So growth
is no orbit, however near its beginnings are to each other, nor a return that the next batches do
not repeat. An optimizer's velocity goes on with the run; it need not be compared, because it is a
difference of parameters, and these return at every k.

The scale is the largest of |x[0]| and of |x[k] - x[0]| over all k, of those parameters that move at
all. Take the first q <= ``LONGEST_PERIOD`` whose distance is at most ``SEEN`` times
``RETURN_TOLERANCE`` times the scale. If it is within the tolerance itself, q is the period. Else
the run has none, because it is still settling: a decay that flips would look like an orbit of
period 2*q. Nor has it one if q is 1, which is a run that creeps or stands still (of a learning rate
of 0, or of one so small that rounding swallows the steps), or if a state is not finite.

With batches a period is in steps; an epoch of more than ``LONGEST_PERIOD`` steps has none.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from relulab.model.outcome import Outcome
from relulab.training.specification import FinalStates, Problem
from relulab.validation import FloatArray

LONGEST_PERIOD = 64
FOLLOWED = 2 * LONGEST_PERIOD
# In float32 rounding alone moves an orbit by some units in the last place, which must not count.
RETURN_TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
SEEN = 1000

# An engine's: the periods, shape (n_nets,), of runs that are where the problem's networks are.
Follow = Callable[[Problem], npt.NDArray[np.int64]]


def find_periods(problem: Problem, final: FinalStates, follow: Follow) -> npt.NDArray[np.int64]:
    """Return the period of every run, shape (n_nets,); 0 where there is none."""
    period = np.zeros(problem.n_nets, np.int64)
    unfinished = np.flatnonzero(final.outcome == Outcome.UNFINISHED)
    if unfinished.size:
        period[unfinished] = follow(problem.at(unfinished, final.parameters, final.rule))
    return period


def periods(states: FloatArray) -> npt.NDArray[np.int64]:
    """Return the periods of runs with these ``states``, shape (FOLLOWED + 1, 4, n_nets)."""
    tolerance = states.dtype.type(RETURN_TOLERANCE[states.dtype.name])
    moved = np.zeros(states.shape[1:], states.dtype)
    for state in states[1:]:
        np.maximum(moved, np.abs(state - states[0]), out=moved)
    scale = np.where(moved > 0, np.maximum(np.abs(states[0]), moved), 0).max(axis=0)
    near = tolerance * scale
    # NaN where a state is not finite, which is near nothing.
    near[~np.isfinite(scale)] = np.nan
    seen = states.dtype.type(SEEN) * near

    period = np.zeros(near.size, np.int64)
    decided = np.zeros(near.size, bool)
    for q in range(1, LONGEST_PERIOD + 1):
        # Most runs fail at the first pair, so that the others are looked at for few.
        first = np.abs(states[q] - states[0]).max(axis=0)
        runs = np.flatnonzero((first <= seen) & ~decided)
        some = states[:, :, runs]
        distance = np.abs(some[q:] - some[:-q]).max(axis=(0, 1))
        period[runs[distance <= near[runs]]] = q
        decided[runs[distance <= seen[runs]]] = True
    return np.where(period > 1, period, 0)
