"""Numba: networks whose unit is dead, in which only c moves.

Under plain descent on the full batch a dead unit stays dead, and the gradient is the mean residual
of a constant. So a step is three operations instead of two dozen. Most steps of many sweeps are of
this kind, because many units are dead and c needs long where the rate is small.
"""

from typing import Any, NamedTuple, Self

import numpy as np

from relulab.training import numba_judging, numba_kernels, stability
from relulab.training.numba_judging import alone
from relulab.training.numba_kernels import (
    LANES,
    TRAINING,
    compiled,
    in_lanes,
    maximum,
    minimum,
    select,
    whole_vectors,
)
from relulab.training.sorted_sums import MEAN_TARGET, MEAN_TARGET_LOW
from relulab.training.specification import Problem

# The steps between two looks at the lanes; 32 to 128 are alike.
BURST = 64
# The lanes that step together in registers; all lanes, when only so few networks are left.
CHUNK, FEW = 64, 16

# The rows of the table: the state and the rates of a network; the steps it may still take in the
# burst; its mean residual; and for sorted sums the mean target in twice the precision. They are one
# table, because LLVM keeps in registers only what surely does not overlap.
W, B, V, C, HIDDEN, OUTPUT, LEFT, MEAN, TARGET, TARGET_LOW, N_ROWS = range(11)

_kernel = compiled(stability, numba_kernels, numba_judging)


class Dead(NamedTuple):
    """The networks that step together; an empty lane has the ``run`` number -1."""

    table: Any
    run: Any
    age: Any
    due: Any

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Return empty lanes."""
        table, run = np.zeros((N_ROWS, LANES), problem.dtype), np.full(LANES, -1)
        return cls(table, run, np.zeros(LANES, np.int64), np.arange(LANES + 1))


@_kernel
def is_surely_dead(p, lane, target, limits, zero):
    """Return whether a lane's unit is dead, and its loss and all else surely within the bounds.

    ``target`` is that of any sample: no residual is larger than that one and the targets' range.
    """
    w, b, v, c = p[0, lane], p[1, lane], p[2, lane], p[3, lane]
    low, high = w * limits.ends[0] + b, w * limits.ends[1] + b
    return (
        (maximum(low, high) <= zero)
        & (minimum(low, high) >= -limits.largest)
        & (abs(v) <= limits.largest)
        & (abs(c - target) <= limits.largest_mean)
    )


@_kernel
def train_dead(
    dead, rates, trained, x, target, tables, max_steps, limits, constants, floats, integers
):
    """Train the networks that have not ended, from their states in the final arrays."""
    final_p, final_loss, final_norm = floats
    final_steps, final_death, final_outcome = integers
    q, run, age, due = dead
    p, r = q[:HIDDEN], q[HIDDEN:LEFT]
    n_due, n_seen, n_busy, n_lanes = LANES, 0, 0, LANES
    while True:
        for k in range(n_due):
            lane = due[k]
            if run[lane] >= 0:
                i = run[lane]
                outcome, taken, _, loss, norm = alone(
                    p, r, lane, age[lane], final_death[i], np.int64(q[LEFT, lane]),
                    max_steps, trained, x, target, tables, limits, constants,
                )  # fmt: skip
                age[lane] += taken
                if outcome == TRAINING:
                    continue
                final_p[3, i], final_loss[i], final_norm[i] = q[C, lane], loss, norm
                final_steps[i], final_outcome[i] = age[lane], outcome
                run[lane] = -1
                n_busy -= 1
            while n_seen < final_outcome.size and final_outcome[n_seen] != TRAINING:
                n_seen += 1
            if n_seen < final_outcome.size:
                _load(q, lane, n_seen, final_p, rates, x, tables, constants)
                run[lane], age[lane] = n_seen, final_steps[n_seen]
                n_seen += 1
                n_busy += 1
        if n_busy == 0:
            break
        if n_busy <= FEW < n_lanes:  # no network waits
            _pack(q, run, age)
            n_lanes = FEW
        for lane in range(n_lanes):
            q[LEFT, lane] = select(run[lane] >= 0, min(max_steps - age[lane], BURST), 0)
        if tables is not None:
            if n_lanes == FEW:
                _step_sorted(q, trained[3], limits, constants, FEW, FEW)
            else:
                _step_sorted(q, trained[3], limits, constants, LANES, CHUNK)
        elif x.size > 1:
            _step_on_samples(q, target, trained[3], limits, constants, n_lanes)
        elif n_lanes == FEW:
            _step_on_one_sample(q, target[0], trained[3], limits, constants, FEW, FEW)
        else:
            _step_on_one_sample(q, target[0], trained[3], limits, constants, LANES, CHUNK)
        n_due = 0
        for lane in range(n_lanes):
            most, left = min(max_steps - age[lane], BURST), np.int64(q[LEFT, lane])
            age[lane] += select(run[lane] >= 0, most - left, 0)
            due[n_due] = lane
            n_due += (run[lane] >= 0) & ((left > 0) | (age[lane] == max_steps))


@_kernel
def _load(q, lane, i, final_p, rates, x, tables, constants):
    """Put network i into a lane."""
    for j in range(4):
        q[j, lane] = final_p[j, i]
    q[HIDDEN, lane], q[OUTPUT, lane] = rates[0, i], rates[1, i]
    if tables is not None:
        # If w rises, all samples come before the split, else after it.
        rises = q[W, lane] >= constants.zero
        silent = tables.moments[x.size if rises else 0, 0 if rises else 1]
        q[TARGET, lane], q[TARGET_LOW, lane] = silent[MEAN_TARGET], silent[MEAN_TARGET_LOW]


@_kernel
def _pack(q, run, age):
    """Move the networks to the first lanes, and empty the others."""
    to = 0
    for lane in range(LANES):
        if run[lane] >= 0:
            for j in range(N_ROWS):
                q[j, to] = q[j, lane]
            run[to], age[to] = run[lane], age[lane]
            to += 1
    for lane in range(to, LANES):
        run[lane] = -1


@_kernel
def _advance(q, i, mean, trains, limits, constants):
    """Take the step of one lane, unless its state may be the last."""
    size = abs(mean)
    goes_on = (
        trains
        & (size > limits.tolerance)
        & (size <= limits.largest_mean)
        & (q[LEFT, i] > constants.zero)
    )
    moved = q[C, i] - q[OUTPUT, i] * mean
    q[LEFT, i] -= select(goes_on, constants.one, constants.zero)
    q[C, i] = select(goes_on, moved, q[C, i])


@_kernel
def _step_on_one_sample(q, target, trains, limits, constants, n_lanes, chunk):
    """Take the steps of a burst in all lanes; a lane freezes if its state may be the last.

    ``chunk`` must be known when this is compiled, or the lanes pass through memory.
    """
    q = in_lanes(q)
    whole_vectors()
    for first in range(0, n_lanes, chunk):
        for _ in range(BURST):
            for i in range(first, first + chunk):
                _advance(q, i, q[C, i] - target, trains, limits, constants)


@_kernel
def _step_on_samples(q, target, trains, limits, constants, n_lanes):
    """As above, on any samples."""
    q = in_lanes(q)
    whole_vectors()
    count, inverse = constants.n_samples, constants.inverse
    for _ in range(BURST):
        for i in range(n_lanes):
            q[MEAN, i] = q[C, i] - target[0]
        for k in range(1, target.size):
            for i in range(n_lanes):
                q[MEAN, i] += q[C, i] - target[k]
        if inverse > 0:
            for i in range(n_lanes):
                _advance(q, i, q[MEAN, i] * inverse, trains, limits, constants)
        else:
            for i in range(n_lanes):
                _advance(q, i, q[MEAN, i] / count, trains, limits, constants)


@_kernel
def _step_sorted(q, trains, limits, constants, n_lanes, chunk):
    """As above, by the sums of ``sorted_sums`` with no firing sample."""
    q = in_lanes(q)
    whole_vectors()
    count = constants.n_samples
    for first in range(0, n_lanes, chunk):
        for _ in range(BURST):
            for i in range(first, first + chunk):
                away = (q[C, i] - q[TARGET, i]) - q[TARGET_LOW, i]
                _advance(q, i, (count * away) / count, trains, limits, constants)
