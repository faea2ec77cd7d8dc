"""The Numba engine: the bits of the specification at the speed of the vector units.

``LANES`` networks step together for ``BURST`` steps in a loop over lanes that LLVM vectorizes. A
lane whose state might be its last, or breaks a bound, freezes there (its update is not selected);
after the burst, such a lane is judged alone by the plain statement of the specification, which
either ends it, and then the next waiting network gets the lane, or catches up with the burst. So
the vector loop may ask a cheap question, as long as it never misses a state that ends a run.

What is computed of one state is in ``compiled_states``.
"""

from typing import Any

import numpy as np

from relulab.double_double import splitter
from relulab.engines.compiled_batches import run_batches
from relulab.engines.compiled_states import (
    N_FIRING,
    N_SIDES,
    NEAR,
    X_AFTER,
    X_BEFORE,
    compiled,
    evaluate,
    find_split,
    guess_split,
    load_sides,
    sample,
    sorted_sums,
)
from relulab.engines.contract import FinalStates, Problem
from relulab.outcome import Outcome

# Measured on AVX-512, and flat around here for float64 and float32: all state stays in the
# first-level cache, and a run that ends within a burst wastes few steps of its lane.
LANES = 128
BURST = 48

CONVERGED, DIVERGED, UNFINISHED = map(
    int, (Outcome.CONVERGED, Outcome.DIVERGED, Outcome.UNFINISHED)
)
TRAINING = -1
# A lane's count in a burst: 1 for each step, and this besides for each from a firing state.
FIRED_BITS = 16
FIRED = 1 << FIRED_BITS


def run(problem: Problem) -> FinalStates:
    """Train every network of the problem until it finishes."""
    number = problem.dtype.type
    integer = np.dtype(f"i{problem.dtype.itemsize}").type  # as wide, so that vectors match
    stopping = problem.stopping
    tolerance = number(stopping.gradient_tolerance)
    divergence_loss = number(stopping.divergence_loss)
    limits = (
        tolerance,
        divergence_loss,
        # Bounds for the cheap test of a burst, on the safe side of rounding: a residual up to the
        # first has a loss below divergence_loss, a gb above the second has a norm above tolerance.
        number(1.41) * np.sqrt(divergence_loss),
        number(1.001) * tolerance / number(max(1.0, np.abs(problem.x).max())),
        np.finfo(problem.dtype).max,
    )
    constants = (number(0), number(0.5), number(problem.x.size), splitter(number))
    if problem.batches is not None:
        return run_batches(problem, problem.batches, limits, constants)
    final = FinalStates.unfilled(problem.n_nets, problem.dtype)
    _train(
        problem.parameters,
        problem.rates,
        np.array(problem.trained),
        problem.x,
        problem.target,
        _tables(problem, integer),
        stopping.max_steps,
        limits,
        constants,
        np.zeros(LANES, integer),
        (integer(0), integer(1), integer(1 + FIRED)),
        (final.parameters, final.loss, final.gradient_norm),
        (final.steps_taken, final.death_step, final.outcome),
    )
    return final


def _tables(problem: Problem, integer: Any) -> Any:
    """Return the tables of sorted sums, the sides of every lane's split, the splits, w >= 0."""
    sums = problem.sums
    if sums is None:
        return None
    inverse_width = problem.dtype.type(1 / sums.width if sums.width else 0)
    sides = np.zeros((N_SIDES, LANES), problem.dtype)
    splits, rising = np.zeros(LANES, integer), np.full(LANES, -1, integer)
    return sums.x, sums.moments, sums.guesses, inverse_width, sides, splits, rising


@compiled
def _alone(
    p, r, lane, age, death, n_steps, max_steps, trained, x, target, tables, limits, constants
):
    """Train one lane for at most ``n_steps``, judging every state as the specification says.

    Return outcome (TRAINING if it goes on), steps taken, death step, loss and gradient norm.
    """
    taken = 0
    while True:
        gw, gb, gv, gc, loss, norm, fires, finite = evaluate(
            p, lane, x, target, tables, trained, constants
        )
        if finite and not fires and death < 0:
            death = age + taken
        if not finite or loss > limits[1]:
            return DIVERGED, taken, death, loss, norm
        if norm <= limits[0]:
            return CONVERGED, taken, death, loss, norm
        if age + taken == max_steps:
            return UNFINISHED, taken, death, loss, norm
        if taken == n_steps:
            return TRAINING, taken, death, loss, norm
        if trained[0]:
            p[0, lane] -= r[0, lane] * gw
        if trained[1]:
            p[1, lane] -= r[0, lane] * gb
        if trained[2]:
            p[2, lane] -= r[1, lane] * gv
        if trained[3]:
            p[3, lane] -= r[1, lane] * gc
        taken += 1


@compiled
def _burst_one_sample(p, r, x, target, limits, constants, counts, steps):
    """Step all lanes BURST times on one sample, all parameters training.

    A lane freezes where the state may have converged or may have diverged; ``limits`` are such that
    no such state is missed. ``counts`` gets each lane's steps, see FIRED.
    """
    tolerance, _, largest_residual, hidden_tolerance, largest = limits
    zero = constants[0]
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    no_step, step, fired_step = steps
    for _ in range(BURST):
        for i in range(LANES):
            pre, residual, gw, gb, gv = sample(w[i], b[i], v[i], c[i], x, target, zero)
            size, size_v = abs(residual), abs(gv)
            larger = size if size > size_v else size_v
            # A pre-activation of +inf makes the residual infinite or NaN; -inf and NaN do not.
            bounded = (size <= largest_residual) & (pre >= -largest)
            goes_on = bounded & ((larger > tolerance) | (abs(gb) > hidden_tolerance))
            w[i] = w[i] - hidden[i] * gw if goes_on else w[i]
            b[i] = b[i] - hidden[i] * gb if goes_on else b[i]
            v[i] = v[i] - output[i] * gv if goes_on else v[i]
            c[i] = c[i] - output[i] * residual if goes_on else c[i]
            taken = fired_step if pre > zero else step
            counts[i] += taken if goes_on else no_step


@compiled
def _burst(p, r, x, target, trained, limits, constants, counts, steps, sums):
    """Step all lanes BURST times on any samples, some parameters perhaps frozen; as above."""
    tolerance, divergence_loss, _, _, largest = limits
    zero, half, n_samples, _ = constants
    trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    x_min, x_max = x.min(), x.max()
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    sum_w, sum_b, sum_v, sum_c, sum_loss = sums[0], sums[1], sums[2], sums[3], sums[4]
    no_step, step, fired_step = steps
    for _ in range(BURST):
        for i in range(LANES):
            sum_w[i] = sum_b[i] = sum_v[i] = sum_c[i] = sum_loss[i] = -zero
        for k in range(x.size):
            for i in range(LANES):
                _, residual, gw, gb, gv = sample(w[i], b[i], v[i], c[i], x[k], target[k], zero)
                sum_w[i] += gw
                sum_b[i] += gb
                sum_v[i] += gv
                sum_c[i] += residual
                sum_loss[i] += half * (residual * residual)
        for i in range(LANES):
            gw = sum_w[i] / n_samples if trains_w else zero
            gb = sum_b[i] / n_samples if trains_b else zero
            gv = sum_v[i] / n_samples if trains_v else zero
            gc = sum_c[i] / n_samples if trains_c else zero
            # Monotone in x, also in floating point: the ends tell of all samples.
            low, high = w[i] * x_min + b[i], w[i] * x_max + b[i]
            small = (
                (abs(gw) <= tolerance)
                & (abs(gb) <= tolerance)
                & (abs(gv) <= tolerance)
                & (abs(gc) <= tolerance)
            )
            bounded = (
                (sum_loss[i] / n_samples <= divergence_loss)
                & (abs(low) <= largest)
                & (abs(high) <= largest)
            )
            goes_on = bounded & (not small)
            w[i] = w[i] - hidden[i] * gw if goes_on & trains_w else w[i]
            b[i] = b[i] - hidden[i] * gb if goes_on & trains_b else b[i]
            v[i] = v[i] - output[i] * gv if goes_on & trains_v else v[i]
            c[i] = c[i] - output[i] * gc if goes_on & trains_c else c[i]
            fires = (low > zero) | (high > zero)
            taken = fired_step if fires else step
            counts[i] += taken if goes_on else no_step


@compiled
def _move_splits(w, b, tables, moved, todo, touched, zero):
    """Find the split of the lanes that moved beyond it, and load its sides."""
    x, moments, guesses, inverse_width, sides, splits, rising = tables
    n_moved = 0
    for i in range(LANES):
        todo[n_moved] = i
        n_moved += moved[i]
    # Touching what the next loop reads, in a loop so short that the processor waits for the memory
    # of many lanes at once, halves the time where the tables do not fit its caches.
    for k in range(n_moved):
        i = todo[k]
        splits[i] = guess_split(w[i], b[i], x, guesses, inverse_width, zero)
    last = min(NEAR, x.size) - 1
    for k in range(n_moved):
        guess = splits[todo[k]]
        touched[0] += x[guess] + x[guess + last]
    for k in range(n_moved):
        i = todo[k]
        splits[i] = find_split(w[i], b[i], x, splits[i], zero)
        rising[i] = w[i] >= zero
    for k in range(n_moved):
        split = splits[todo[k]]
        touched[0] += moments[split, 0, 0] + moments[split, 1, 0]
    for k in range(n_moved):
        i = todo[k]
        load_sides(i, x, moments, sides, splits[i], rising[i])


@compiled
def _burst_sorted(p, r, tables, trained, limits, constants, counts, steps):
    """Step all lanes BURST times by sorted sums; as above."""
    tolerance, divergence_loss, _, _, most = limits
    zero, _, n_samples, _ = constants
    trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    x, _, _, _, sides, splits, rising = tables
    x_min, x_max, n = x[0], x[-1], x.size
    before, after, n_firing = sides[X_BEFORE], sides[X_AFTER], sides[N_FIRING]
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    no_step, step, fired_step = steps
    moved, todo = np.empty(LANES, counts.dtype), np.empty(LANES + 1, np.int64)
    touched = np.zeros(1, x.dtype)
    for _ in range(BURST):
        for i in range(LANES):
            rises = w[i] >= zero
            # The split is the first sample beyond it: still so if the two around it say so.
            first_is = (splits[i] == no_step) | ((w[i] * before[i] + b[i] > zero) != rises)
            last_is = (splits[i] == n) | ((w[i] * after[i] + b[i] > zero) == rises)
            side_is = rising[i] == (step if rises else no_step)
            same = (first_is & last_is & side_is) | (w[i] != w[i])
            moved[i] = no_step if same else step
        _move_splits(w, b, tables, moved, todo, touched, zero)
        for i in range(LANES):
            gw, gb, gv, gc, loss = sorted_sums(w[i], b[i], v[i], c[i], sides, i, constants)
            gw = gw / n_samples if trains_w else zero
            gb = gb / n_samples if trains_b else zero
            gv = gv / n_samples if trains_v else zero
            gc = gc / n_samples if trains_c else zero
            low, high = w[i] * x_min + b[i], w[i] * x_max + b[i]
            small = (
                (abs(gw) <= tolerance)
                & (abs(gb) <= tolerance)
                & (abs(gv) <= tolerance)
                & (abs(gc) <= tolerance)
            )
            bounded = (
                (loss / n_samples <= divergence_loss) & (abs(low) <= most) & (abs(high) <= most)
            )
            goes_on = bounded & (not small)
            w[i] = w[i] - hidden[i] * gw if goes_on & trains_w else w[i]
            b[i] = b[i] - hidden[i] * gb if goes_on & trains_b else b[i]
            v[i] = v[i] - output[i] * gv if goes_on & trains_v else v[i]
            c[i] = c[i] - output[i] * gc if goes_on & trains_c else c[i]
            taken = fired_step if n_firing[i] > zero else step
            counts[i] += taken if goes_on else no_step


@compiled
def _train(
    parameters,
    rates,
    trained,
    x,
    target,
    tables,
    max_steps,
    limits,
    constants,
    counts,
    steps,
    floats,
    integers,
):
    """Train all networks and fill in the final states."""
    final_p, final_loss, final_norm = floats
    final_steps, final_death, final_outcome = integers
    n_nets = parameters.shape[1]
    p, r = np.empty((4, LANES), parameters.dtype), np.empty((2, LANES), parameters.dtype)
    sums = np.empty((5, LANES), parameters.dtype)
    # An empty lane holds NaN, so that it freezes in every burst.
    p[:] = np.nan
    r[:] = np.nan
    run = np.full(LANES, -1, np.int64)
    age, death = np.zeros(LANES, np.int64), np.full(LANES, -1, np.int64)
    one_sample = x.size == 1 and trained.all()
    n_loaded, n_finished = 0, 0

    while n_finished < n_nets:
        for lane in range(LANES):
            missing = 0
            if run[lane] >= 0:
                taken, fired = counts[lane] & (FIRED - 1), counts[lane] >> FIRED_BITS
                if fired < taken and death[lane] < 0:
                    death[lane] = age[lane] + fired
                age[lane] += taken
                missing = BURST - taken
            # As long as the lane cannot take a whole burst: catch up, end, or take the next run.
            while True:
                if run[lane] < 0:
                    if n_loaded == n_nets:
                        break
                    run[lane] = n_loaded
                    for k in range(4):
                        p[k, lane] = parameters[k, n_loaded]
                    r[0, lane], r[1, lane] = rates[0, n_loaded], rates[1, n_loaded]
                    age[lane], death[lane], missing = 0, -1, 0
                    n_loaded += 1
                if age[lane] + missing + BURST > max_steps:
                    missing = max_steps - age[lane]
                elif missing == 0:
                    break
                outcome, taken, death[lane], loss, norm = _alone(
                    p, r, lane, age[lane], death[lane], missing,
                    max_steps, trained, x, target, tables, limits, constants,
                )  # fmt: skip
                age[lane] += taken
                missing = 0
                if outcome != TRAINING:
                    i = run[lane]
                    for k in range(4):
                        final_p[k, i] = p[k, lane]
                        p[k, lane] = np.nan
                    final_loss[i], final_norm[i] = loss, norm
                    final_steps[i], final_death[i] = age[lane], death[lane]
                    final_outcome[i] = outcome
                    run[lane] = -1
                    n_finished += 1
        counts[:] = 0
        if tables is not None:
            _burst_sorted(p, r, tables, trained, limits, constants, counts, steps)
        elif one_sample:
            _burst_one_sample(p, r, x[0], target[0], limits, constants, counts, steps)
        else:
            _burst(p, r, x, target, trained, limits, constants, counts, steps, sums)
