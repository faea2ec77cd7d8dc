"""Numba: unfinished runs are followed beyond ``max_steps``, to find their periods.

``orbits`` says what is a period. All runs go half of the way, and only those that may have one go
the whole way.
"""

from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from relulab.training import (
    numba_judging,
    numba_kernels,
    numba_lockstep,
    orbits,
    stability,
    update_rules,
)
from relulab.training.numba_kernels import (
    LANES,
    TRAINING,
    call,
    compiled,
    constants_of,
    in_lanes,
    larger,
    maximum,
    minimum,
    sample,
    select,
    step_on_one_sample,
    step_on_samples,
    tables_of,
    whole_vectors,
)
from relulab.training.numba_lockstep import (
    GRADIENT,
    HIDDEN,
    LOSS,
    N_NOTES,
    N_ROWS,
    OUTPUT,
    SLOPE,
    B,
    C,
    V,
    W,
    advance,
    counts_of,
    forget_splits,
    kind_of,
    means,
    table_of,
    work_arrays,
)
from relulab.training.specification import Problem

UNDECIDED = -1  # of a period

_called = (stability, update_rules, numba_kernels, numba_judging, numba_lockstep)
_kernel = compiled(*_called)
_called_from_python = compiled(*_called, from_python=True)


class Orbits(NamedTuple):
    """The tolerances of ``orbits`` and the bounds of ``_may_return``, in the arithmetic's dtype."""

    tolerance: Any
    seen: Any
    steady: Any
    most_away: Any
    creeping: Any


def periods(problem: Problem) -> Any:
    """Return the periods of runs whose parameters are those at max_steps; see ``orbits``."""
    number, batches = problem.dtype.type, problem.batches
    tolerance = orbits.RETURN_TOLERANCE[problem.dtype.name]
    seen = orbits.SEEN * tolerance
    # One percent more, for rounding; see ``_may_return``.
    most_away = 1.01 * seen / (1 - orbits.LONGEST_PERIOD * seen)
    bounds = map(number, (tolerance, orbits.SEEN, orbits.STEADY, most_away, 0.86 * seen))
    every = np.arange(problem.x.size)
    steps = batches.steps(problem.options.max_steps) if batches else repeat(every)
    samples = [batch for _, batch in zip(range(orbits.FOLLOWED), steps, strict=False)]
    parts = np.cumsum([0, *map(len, samples)]) if batches else np.array([0, every.size])
    period = np.zeros(problem.n_nets, np.int64)
    call(
        _follow,
        table_of(problem), *kind_of(problem), np.array(problem.trained), problem.x, problem.target,
        tables_of(problem), np.concatenate(samples) if batches else every, parts,
        constants_of(problem), counts_of(problem, batches.size if batches else 0), work_arrays(),
        np.empty((N_ROWS, LANES), number), np.full((N_NOTES, LANES), TRAINING, np.int64),
        np.empty((orbits.FOLLOWED + 1, 4, LANES), number), np.empty((4, LANES), number),
        Orbits(*bounds), np.arange(problem.n_nets), period,
    )  # fmt: skip
    return period


@_called_from_python
def _follow(
    nets, leaks, sgd, adam, trained, x, target, tables, samples, parts, constants, counts, scratch,
    f, notes, states, moved, limits, chosen, period,
):  # fmt: skip
    """Step all networks, without judging, and find their periods from the states.

    Step k uses ``samples[parts[k]:parts[k+1]]``; with a single such part, every step uses it. All
    networks go half of the way, and the few that may have a period go the whole way. ``chosen`` has
    the numbers of all networks, ``period`` is filled with 0.
    """
    all_mean = constants.n_samples, constants.inverse
    plain = leaks is None and tables is None and parts.size == 2
    alone = plain and x.size == 1 and trained[0] & trained[1] & trained[2] & trained[3]
    n_chosen, n_steps = chosen.size, (states.shape[0] - 1) // 2
    for looks in (True, False):
        n_kept = 0
        for start in range(0, n_chosen, LANES):
            n = min(LANES, n_chosen - start)
            for j in range(nets.shape[0]):
                for i in range(n):
                    f[j, i] = nets[j, chosen[start + i]]
            if tables is not None:
                forget_splits(tables)
            for j in range(4):
                for i in range(n):
                    states[0, j, i] = states[1, j, i] = f[j, i]
                    moved[j, i] = constants.zero
            for k in range(n_steps):
                part = k if parts.size > 2 else 0
                taken = samples[parts[part] : parts[part + 1]]
                if alone and looks:
                    _step_and_look_back(f, states, moved, x[0], target[0], k < 2, constants.zero, n)
                elif alone:
                    step_on_one_sample(
                        f[W:HIDDEN], f[HIDDEN:SLOPE], x[0], target[0], f[GRADIENT], f[LOSS],
                        constants.zero, 1, n,
                    )  # fmt: skip
                elif plain:
                    step_on_samples(
                        f[W:HIDDEN], f[HIDDEN:SLOPE], x, target, trained, f[GRADIENT:], f[SLOPE:],
                        constants, 1, n,
                    )  # fmt: skip
                else:
                    mean = all_mean
                    if taken.size < x.size:
                        mean = counts[0, taken.size], counts[1, taken.size]
                    means(f, leaks, x, target, taken, tables, trained, mean, scratch, n, constants)
                    advance(f, notes, sgd, adam, trained, constants.zero, n)
                if looks and not alone:
                    _look_back(f, states, moved, k < 2, constants.zero, n)
                elif not looks:
                    for j in range(4):
                        for i in range(n):
                            states[k + 1, j, i] = f[j, i]
                            away = abs(f[j, i] - states[0, j, i])
                            moved[j, i] = larger(moved[j, i], away) + constants.zero
            if looks:
                for i in range(n):
                    chosen[n_kept] = chosen[start + i]
                    n_kept += _may_return(f, states, moved, i, limits, constants.zero)
            else:
                _find_periods(states, moved, n, limits, f[GRADIENT:], constants.zero)
                for i in range(n):
                    period[chosen[start + i]] = np.int64(f[GRADIENT, i])
        n_chosen, n_steps = n_kept, states.shape[0] - 1


@_kernel
def _look_back(f, states, moved, skips, zero, n):
    """Note in ``moved`` how near to the first state later ones come, how far away, and how fast.

    One that ``skips`` does not count as near. ``states[1]`` keeps the last state. For ``+ zero``
    see ``step_on_one_sample``.
    """
    f, moved, first, last = in_lanes(f), in_lanes(moved), in_lanes(states[0]), in_lanes(states[1])
    whole_vectors()
    closest, farthest, longest, away = moved[0], moved[1], moved[2], f[GRADIENT]
    for i in range(n):
        most, step = abs(f[0, i] - first[0, i]), abs(f[0, i] - last[0, i])
        for j in range(1, 4):
            most = maximum(most, abs(f[j, i] - first[j, i]))
            step = maximum(step, abs(f[j, i] - last[j, i]))
        away[i] = most
        farthest[i] = maximum(most, farthest[i]) + zero
        longest[i] = maximum(step, longest[i]) + zero
    for i in range(n):
        closest[i] = away[i] if skips else minimum(away[i], closest[i]) + zero
    for j in range(4):
        for i in range(n):
            last[j, i] = f[j, i]


@_kernel
def _step_and_look_back(f, states, moved, x, target, skips, zero, n):
    """Step on one sample and look back, while the numbers are in registers: a sixth faster."""
    f, moved, first = in_lanes(f), in_lanes(moved), in_lanes(states[0])
    whole_vectors()
    w, b, v, c, hidden, output = f[W], f[B], f[V], f[C], f[HIDDEN], f[OUTPUT]
    closest, farthest, longest = moved[0], moved[1], moved[2]
    for i in range(n):
        _, residual, gw, gb, gv = sample(w[i], b[i], v[i], c[i], None, x, target, zero)
        step_w, step_b = hidden[i] * gw, hidden[i] * gb
        step_v, step_c = output[i] * gv, output[i] * residual
        w[i] -= step_w
        b[i] -= step_b
        v[i] -= step_v
        c[i] -= step_c
        step = maximum(maximum(abs(step_w), abs(step_b)), maximum(abs(step_v), abs(step_c)))
        away = maximum(
            maximum(abs(w[i] - first[0, i]), abs(b[i] - first[1, i])),
            maximum(abs(v[i] - first[2, i]), abs(c[i] - first[3, i])),
        )
        longest[i] = maximum(step, longest[i])
        farthest[i] = maximum(away, farthest[i])
        closest[i] = select(skips, away, minimum(away, closest[i]))


@_kernel
def _may_return(f, states, moved, i, limits, zero):
    """Return whether a lane may have a period, from the first half of its states.

    Let q be its period and d = SEEN*tolerance the distance that counts, in units of the scale. Each
    x[k] is within k//q <= 64 such distances of one of the first q states. So the scale is at most
    the largest of |x[0]| and |x[k] - x[0]| over these, divided by 1 - 64*d, and x[q] must be within
    d times that of x[0]. And x[k+1] - x[k] repeats to within 2*63*d/1000, but is beyond d for some
    k (or q would be 1). So it is beyond .87*d for some k < q. The scale is at least the largest
    |x[k] - x[0]|, and |x[0]| of a parameter that has moved.
    """
    closest, farthest, longest, finite = moved[0, i], moved[1, i], moved[2, i], True
    size, scale = farthest, farthest
    for j in range(4):
        there, begun = f[j, i], abs(states[0, j, i])
        size = max(size, begun)
        scale = max(scale, begun if there != states[0, j, i] else zero)
        finite = finite and np.isfinite(there)
    creeps = longest <= limits.creeping * scale
    return finite and closest <= limits.most_away * size and not creeps


@_kernel
def _find_periods(states, moved, n, limits, scratch, zero):
    """Write the periods of the first lanes into ``scratch[0]``, as ``orbits.periods`` says."""
    whole_vectors()
    period, away, scale, near, seen = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    for i in range(n):
        scale[i] = zero
    for j in range(4):
        then, most = states[0, j], moved[j]
        for i in range(n):
            size = larger(abs(then[i]), most[i]) if most[i] > zero else zero
            scale[i] = larger(scale[i], size)
    for i in range(n):
        near[i] = limits.tolerance * scale[i] if np.isfinite(scale[i]) else np.nan
        seen[i] = limits.seen * near[i]
        period[i] = UNDECIDED
    for q in range(1, (states.shape[0] - 1) // 2 + 1):
        for i in range(n):
            away[i] = zero
        for j in range(4):
            then, now = states[0, j], states[q, j]
            for i in range(n):
                away[i] = larger(away[i], abs(now[i] - then[i]))
        for i in range(n):
            if away[i] <= seen[i] and period[i] == UNDECIDED:
                distance = _distance(states, i, q, seen[i], zero)
                if distance <= seen[i]:
                    if q > 1 and distance <= near[i] and _is_steady(states, i, q, limits, zero):
                        period[i] = q
                    else:
                        period[i] = 0
    for i in range(n):
        period[i] = max(period[i], 0)


@_kernel
def _is_steady(states, i, q, limits, zero):
    """Return whether the swings of a lane at shorter periods than q last."""
    steady = True
    for shorter in range(1, q):
        first = _swing(states, i, shorter, 0, q, zero)
        last = _swing(states, i, shorter, states.shape[0] - shorter - q, q, zero)
        steady = steady and limits.steady * abs(last - first) <= first
    return steady


@_kernel
def _swing(states, i, shorter, begin, n, zero):
    """Return a lane's largest distance between ``n`` states and those ``shorter`` steps later."""
    swing = zero
    for k in range(begin, begin + n):
        for j in range(4):
            swing = larger(swing, abs(states[k + shorter, j, i] - states[k, j, i]))
    return swing


@_kernel
def _distance(states, i, q, seen, zero):
    """Return a lane's distance at q; if beyond ``seen``, any number beyond it."""
    distance = zero
    for k in range(states.shape[0] - q):
        for j in range(4):
            distance = larger(distance, abs(states[k + q, j, i] - states[k, j, i]))
        if not distance <= seen:
            break
    return distance
