"""Periodic orbits: which of the runs that are unfinished at max_steps go round in a circle.

The third part of the specification. An unfinished run is followed from its last state by the same
updates, without judging, for ``2 * LONGEST_PERIOD`` steps. With ``then`` the last state and ``now``
that after k more steps, each parameter moves by ``moved = max over k of |now - then|``, and the
distance after k steps is the largest ``|now - then|`` of the four. The scale is the largest of
``|then|`` and ``moved`` of those parameters that move at all.

A run *returns* after k steps where the distance is at most ``RETURN_TOLERANCE`` times the scale.
Its period is the smallest p <= ``LONGEST_PERIOD`` such that it returns after every multiple of p
steps: returning again and again tells an orbit from a state that creeps, or passes by once. Two
things have no period: what stands still (p = 1; of a learning rate of 0, or of one so small that
rounding swallows the steps), and what never gets farther than ``SEEN`` times the tolerance, where
rounding or a decay would look the same.

With batches a period is in steps; an epoch of more than ``LONGEST_PERIOD`` steps has none.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from relulab.model.outcome import Outcome
from relulab.training.specification import FinalStates, Problem
from relulab.validation import FloatArray

LONGEST_PERIOD = 64
# In float32 rounding alone moves an orbit by some units in the last place, which must not count.
RETURN_TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
SEEN = 1000

# So many networks are followed at a time, to bound the memory.
BLOCK = 8192

# Returns the distances, shape (n_steps, n_nets), and how far each parameter moved, (4, n_nets).
Follow = Callable[[Problem, int], tuple[FloatArray, FloatArray]]


def find_periods(problem: Problem, final: FinalStates, follow: Follow) -> npt.NDArray[np.int64]:
    """Return the period of every run, shape (n_nets,); 0 where there is none.

    ``follow`` is the engine's: it takes the problem with its parameters as they are now.
    """
    period = np.zeros(problem.n_nets, np.int64)
    unfinished = np.flatnonzero(final.outcome == Outcome.UNFINISHED)
    for first in range(0, unfinished.size, BLOCK):
        runs = unfinished[first : first + BLOCK]
        last = replace(problem, parameters=final.parameters[:, runs], rates=problem.rates[:, runs])
        with np.errstate(all="ignore"):
            distance, moved = follow(last, 2 * LONGEST_PERIOD)
            period[runs] = _period(last.parameters, distance, moved)
    return period


def _period(then: FloatArray, distance: FloatArray, moved: FloatArray) -> npt.NDArray[np.int64]:
    tolerance = then.dtype.type(RETURN_TOLERANCE[then.dtype.name])
    scale = np.where(moved > 0, np.maximum(np.abs(then), moved), 0).max(axis=0)
    shortest = shortest_period(distance <= tolerance * scale)
    seen = distance.max(axis=0) >= then.dtype.type(SEEN) * tolerance * scale
    return np.where((shortest > 1) & seen, shortest, 0)


def shortest_period(returned: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the smallest p such that every p-th row, counted from 1, is true; 0 if none is."""
    shortest = np.zeros(returned.shape[1], np.int64)
    for p in range(LONGEST_PERIOD, 0, -1):
        shortest[returned[p - 1 :: p].all(axis=0)] = p
    return shortest
