"""Periodic orbits: which of the runs that are unfinished at max_steps oscillate.

The third part of the specification. An unfinished run is followed from its last state by the same
updates, without judging, for ``FOLLOWED`` steps. For these states x[0], x[1], ..., x[FOLLOWED], the
distance at q is the largest |x[k+q] - x[k]| over all parameters and *every* k that has both. So
neither growth, however close its first states, nor a return that the next batches do not repeat
counts as an orbit. An optimizer's velocity continues with the run. It need not be compared, because
it is a difference of parameters, and these return at every k.

The scale is the largest |x[0]| or |x[k] - x[0]|, over all k and the parameters that move at all.
Take the first q <= ``LONGEST_PERIOD`` whose distance is at most ``SEEN`` times
``RETURN_TOLERANCE`` times the scale. If it is within the tolerance itself, q is the period. If not,
the run has no period, because it is still settling: a decay that flips sign would look like an
orbit of period 2*q. A slow decay returns within the tolerance, too, and has no period: let the
swing at a shorter q be the largest |x[k+shorter] - x[k]| over the first q of these k, or over the
last q. If any of these swings changes from first to last by more than 1/``STEADY`` of itself, what
tells q from a shorter period may be gone soon. Otherwise, at its pace, it changes by less than a
tenth in 10^4 further steps. An orbit may drift as a whole: along a valley, bouncing across a kink.

A run also has no period if a state or the scale is infinite or NaN, or if q is 1: then it creeps or
stands still (at a learning rate of 0, or one so small that rounding swallows the steps).

Growth and drift below these bounds are not seen. In float32 the tolerance is only a hundred
roundings, and a few oscillating runs in ten thousand later leave the orbit whose period they have.

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
# In float32 rounding alone moves an orbit by a few units in the last place; this must not count.
RETURN_TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
SEEN = 1000
STEADY = 1024  # a power of 2, so that multiplying rounds nothing

# Provided by an engine: the periods, shape (n_nets,), of runs at the problem's networks.
Follow = Callable[[Problem], npt.NDArray[np.int64]]


def find_periods(problem: Problem, final: FinalStates, follow: Follow) -> npt.NDArray[np.int64]:
    """Return the period of every run, shape (n_nets,); 0 for none."""
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
    # A NaN is not 0, so it becomes the scale.
    scale = np.where(moved != 0, np.maximum(np.abs(states[0]), moved), 0).max(axis=0)
    near = tolerance * scale
    # NaN, which is near nothing, if a state is not finite.
    near[~np.isfinite(scale)] = np.nan
    seen = states.dtype.type(SEEN) * near

    period = np.zeros(near.size, np.int64)
    decided = np.zeros(near.size, bool)
    for q in range(1, LONGEST_PERIOD + 1):
        # Most runs fail at the first pair; check the others only for the rest.
        first = np.abs(states[q] - states[0]).max(axis=0)
        runs = np.flatnonzero((first <= seen) & ~decided)
        some = states[:, :, runs]
        distance = np.abs(some[q:] - some[:-q]).max(axis=(0, 1))
        period[runs[distance <= near[runs]]] = q
        decided[runs[distance <= seen[runs]]] = True
    for q in np.flatnonzero(np.bincount(period[period > 1])).tolist():  # see Lanes.drop
        runs = np.flatnonzero(period == q)
        some = states[:, :, runs]
        steady = np.ones(runs.size, bool)
        for shorter in range(1, q):
            swings = np.abs(some[shorter:] - some[:-shorter]).max(axis=1)
            first, last = swings[:q].max(axis=0), swings[-q:].max(axis=0)
            steady &= STEADY * np.abs(last - first) <= first
        period[runs[~steady]] = 0
    return np.where(period > 1, period, 0)
