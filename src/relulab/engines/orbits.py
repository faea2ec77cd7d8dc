"""Periodic orbits: which of the runs that are unfinished at max_steps go round in a circle.

The third part of the specification. An unfinished run is followed from its last state, by the same
updates and without judging, for up to ``2 * LONGEST_PERIOD`` steps. It *returns* after k steps if
each of w, b, v, c is back within ``RETURN_TOLERANCE``, relative to its value in the last state. Its
period is the smallest p <= ``LONGEST_PERIOD`` such that it returns after every multiple of p steps.
Returning again and again tells an orbit from a state that creeps, or passes by once.

Period 1 is not an orbit but a standstill (of a learning rate of 0, or of one so small that rounding
swallows the steps) and counts as none. With batches a period is in steps, not in epochs.

One implementation serves every engine, so that their bits agree.
"""

from dataclasses import replace
from itertools import islice, repeat

import numpy as np
import numpy.typing as npt

from relulab.engines.contract import FinalStates, Problem
from relulab.engines.lockstep import WINDOW, Lanes
from relulab.outcome import Outcome
from relulab.validation import FloatArray

LONGEST_PERIOD = 64
# In float32 rounding alone moves an orbit by some units in the last place, which must not count.
RETURN_TOLERANCE = {"float64": 1e-9, "float32": 1e-5}


def find_periods(problem: Problem, final: FinalStates) -> npt.NDArray[np.int64]:
    """Return the period of every run, shape (n_nets,); 0 where there is none."""
    period = np.zeros(problem.n_nets, np.int64)
    unfinished = np.flatnonzero(final.outcome == Outcome.UNFINISHED)
    for first in range(0, unfinished.size, WINDOW):
        runs = unfinished[first : first + WINDOW]
        last = replace(problem, parameters=final.parameters[:, runs], rates=problem.rates[:, runs])
        with np.errstate(all="ignore"):
            shortest = _shortest_period(_follow(last))
        period[runs] = np.where(shortest > 1, shortest, 0)
    return period


def _follow(problem: Problem) -> npt.NDArray[np.bool_]:
    """Return whether each run is back after 1, 2, ... steps, shape (2*LONGEST_PERIOD, n_nets)."""
    returned = np.zeros((2 * LONGEST_PERIOD, problem.n_nets), bool)
    lanes = Lanes(problem, problem.n_nets)
    batches = problem.batches
    steps = batches.steps(problem.stopping.max_steps) if batches else repeat(None)
    for k, batch in enumerate(islice(steps, 2 * LONGEST_PERIOD)):
        if k == LONGEST_PERIOD:  # most have no period, and need not be followed any longer
            hopeless = _shortest_period(returned[:k]) == 0
            lanes.drop(np.flatnonzero(hopeless[lanes.run]))
        if lanes.n_active == 0:
            break
        lanes.step(batch)
        returned[k, lanes.run] = _is_back(lanes.parameters, problem.parameters[:, lanes.run])
    return returned


def _is_back(now: FloatArray, then: FloatArray) -> npt.NDArray[np.bool_]:
    tolerance = then.dtype.type(RETURN_TOLERANCE[then.dtype.name])
    back: npt.NDArray[np.bool_] = np.all(np.abs(now - then) <= tolerance * np.abs(then), axis=0)
    return back


def _shortest_period(returned: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the smallest p such that every p-th row, counted from 1, is true; 0 if none is."""
    shortest = np.zeros(returned.shape[1], np.int64)
    for p in range(LONGEST_PERIOD, 0, -1):
        shortest[returned[p - 1 :: p].all(axis=0)] = p
    return shortest
