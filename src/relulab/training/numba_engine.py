"""The Numba engine: the bits of the specification at the speed of the vector units.

``LANES`` networks step together in loops over lanes that LLVM vectorizes. Direct sums step in
leaps. A leap judges nothing, but keeps enough to show whether a run may have ended or died on the
way; if so, the lane is put back and steps again, in bursts. Sorted sums always step in bursts. In a
burst a lane whose state might be its last, or breaks a bound, freezes there (its update is not
selected). After the burst the plain form of the specification judges it alone: either the run ends
and the next waiting network gets the lane, or the lane catches up. So leaps and bursts can use
cheap tests, as long as these never miss a state that ends a run. When no network waits any more,
the last ones move together and step in fewer vectors.

Networks whose unit is dead leave the lanes, and train afterwards: see ``numba_dead``. All this is
for plain descent on the full batch; everything else is in ``numba_lockstep``.
"""

from typing import Any, NamedTuple, Self

import numpy as np

from relulab.training import (
    numba_dead,
    numba_following,
    numba_judging,
    numba_kernels,
    numba_lockstep,
    stability,
)
from relulab.training.numba_dead import Dead, is_surely_dead, train_dead
from relulab.training.numba_judging import alone
from relulab.training.numba_kernels import (
    LANES,
    MOST_STEPS,
    N_FIRING,
    TRAINING,
    X_AFTER,
    X_BEFORE,
    call,
    compiled,
    constants_of,
    in_lanes,
    integer_of,
    limits_of,
    maximum,
    move_splits,
    sample,
    select,
    step_on_one_sample,
    step_on_samples,
    sums_by_tables,
    tables_of,
    whole_vectors,
)
from relulab.training.specification import FinalStates, Problem

# The steps of a burst, and of the first leap. For runs of a few hundred steps the optimum is flat.
BURST, LEAP = 48, 32
# The test after a leap costs a few steps, and a lane that is put back costs about twice the leap.
# So s steps are best if s times the fraction of lanes put back is about 3. Above the first number
# the next leap is half as long, below the second twice as long.
MANY_ANEW, FEW_ANEW = 6, 1.5
LEAST_STEPS = 16
# When no network waits any more, the remaining lanes are a multiple of this: a vector of float32.
VECTOR = 16

# A lane's count in a burst: 1 for each step, plus this for each step from a firing state.
FIRED_BITS = 16
FIRED = 1 << FIRED_BITS


class Lanes(NamedTuple):
    """The networks that step together, one in each lane.

    An empty lane has the ``run`` number -1 and NaN parameters, so it freezes in every burst.
    """

    p: Any
    r: Any
    run: Any
    age: Any
    death: Any
    counts: Any  # of the steps of a burst, see FIRED
    stopped: Any
    due: Any
    sums: Any

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Return empty lanes."""
        p, r = (np.full((rows, LANES), np.nan, problem.dtype) for rows in (4, 2))
        run, age, death = np.full(LANES, -1), np.zeros(LANES, np.int64), np.full(LANES, -1)
        counts, stopped = np.zeros(LANES, integer_of(problem)), np.zeros(LANES, np.int64)
        due, sums = np.zeros(LANES + 1, np.int64), np.zeros((5, LANES), problem.dtype)
        return cls(p, r, run, age, death, counts, stopped, due, sums)


class Anew(NamedTuple):
    """All lanes before a leap, and the lanes that step again."""

    before: Any
    seen: Any
    lanes: Any
    p: Any
    r: Any
    counts: Any

    @classmethod
    def of(cls, problem: Problem) -> Self:
        """Return space for all lanes."""
        before, seen, p, r = (np.zeros((rows, LANES), problem.dtype) for rows in (4, 3, 4, 2))
        lanes, counts = np.zeros(LANES + 1, np.int64), np.zeros(LANES, integer_of(problem))
        return cls(before, seen, lanes, p, r, counts)


_called = (stability, numba_kernels, numba_judging, numba_dead)
_kernel = compiled(*_called)
_called_from_python = compiled(*_called, from_python=True)


def run(problem: Problem) -> FinalStates:
    """Train every network of the problem until it finishes."""
    if problem.batches is not None or problem.is_general:
        return numba_lockstep.run(problem)
    final = FinalStates.unfilled(problem)
    call(
        _train,
        problem.parameters,
        problem.rates,
        np.array(problem.trained),
        problem.x,
        problem.target,
        tables_of(problem),
        problem.options.max_steps,
        limits_of(problem),
        constants_of(problem),
        Lanes.of(problem),
        Anew.of(problem),
        Dead.of(problem),
        (final.parameters, final.loss, final.gradient_norm),
        (final.steps_taken, final.death_step, final.outcome),
    )
    return final


def periods(problem: Problem) -> Any:
    """Return the periods of runs whose parameters are those at max_steps; see ``orbits``."""
    return numba_following.periods(problem)


@_kernel
def _leap(lanes, anew, x, target, trained, single, limits, constants, n_steps, n_lanes):
    """Step all lanes without judging, then again those that may have ended or died on the way.

    These are put back and stepped with judgment, packed into few vectors. Return how many they are.
    ``single`` says that there is one sample and all parameters train: then the residual, which is
    the gradient of c, is enough to test.
    """
    whole_vectors()
    p, r, run, counts, before = lanes.p, lanes.r, lanes.run, lanes.counts, anew.before
    w, b, v, c, zero, largest = p[0], p[1], p[2], p[3], constants.zero, limits.largest
    smallest, biggest, heaviest = anew.seen[0], anew.seen[1], anew.seen[2]
    for i in range(n_lanes):
        before[0, i], before[1, i], before[2, i], before[3, i] = w[i], b[i], v[i], c[i]
        smallest[i], biggest[i], heaviest[i] = largest, zero, zero
    if single:
        step_on_one_sample(p, r, x[0], target[0], smallest, biggest, zero, n_steps, n_lanes)
        for i in range(n_lanes):
            # A NaN residual makes b NaN if the unit fires. It fires in all states or in none, as
            # dying lanes are put back; if in none, c is infinite before it is NaN.
            pre = w[i] * x[0] + b[i]
            counts[i] = (
                (smallest[i] > limits.tolerance)
                & (biggest[i] <= limits.largest_residual)
                & (pre >= -largest)
            )
    else:
        step_on_samples(
            p, r, x, target, trained, lanes.sums, anew.seen, constants, n_steps, n_lanes
        )
        for i in range(n_lanes):
            # Pre-activations are finite within ``reach``. So a residual is infinite, and detected,
            # before it is NaN, except for an infinite v at a silent sample, which makes v NaN. If
            # v * h and c together make a residual NaN, then v becomes NaN or, if v is frozen, w or
            # b does; then the unit counts as dead and is put back.
            begun = maximum(abs(before[0, i]), abs(before[1, i]))
            counts[i] = (
                (smallest[i] > limits.tolerance)
                & (heaviest[i] <= limits.largest_sum)
                & (maximum(begun, r[0, i] * biggest[i]) <= limits.reach)
                & (abs(v[i]) <= largest)
            )
    x_min, x_max = limits.ends
    for i in range(n_lanes):
        # A dead unit stays dead: the last state decides for all steps.
        fired = (before[0, i] * x_min + before[1, i] > zero) | (
            before[0, i] * x_max + before[1, i] > zero
        )
        fires = (w[i] * x_min + b[i] > zero) | (w[i] * x_max + b[i] > zero)
        goes_on = (counts[i] != 0) & (fires | (not fired))
        counts[i] = select(goes_on, select(fired, n_steps * (1 + FIRED), n_steps), 0)
        w[i] = select(goes_on, w[i], before[0, i])
        b[i] = select(goes_on, b[i], before[1, i])
        v[i] = select(goes_on, v[i], before[2, i])
        c[i] = select(goes_on, c[i], before[3, i])
    n_anew = 0
    for i in range(n_lanes):
        anew.lanes[n_anew] = i
        n_anew += (counts[i] == 0) & (run[i] >= 0)
    for k in range(n_anew):
        lane = anew.lanes[k]
        for j in range(4):
            anew.p[j, k] = p[j, lane]
        anew.r[0, k], anew.r[1, k], anew.counts[k] = r[0, lane], r[1, lane], 0
    n_vectors = (n_anew + VECTOR - 1) // VECTOR
    n_anew_lanes = n_vectors * VECTOR
    if single:
        _burst_one_sample(
            anew.p, anew.r, x[0], target[0], limits, constants, anew.counts, n_steps, n_anew_lanes
        )
    else:
        _burst(
            anew.p, anew.r, x, target, trained, limits, constants, anew.counts, n_steps,
            n_anew_lanes, lanes.sums,
        )  # fmt: skip
    for k in range(n_anew):
        lane = anew.lanes[k]
        for j in range(4):
            p[j, lane] = anew.p[j, k]
        counts[lane] = anew.counts[k]
    return n_anew


@_kernel
def _burst_one_sample(p, r, x, target, limits, constants, counts, n_steps, n_lanes):
    """Step all lanes ``n_steps`` times on one sample, all parameters trained.

    A lane freezes if its state may have converged or diverged; the ``limits`` miss no such state.
    ``counts`` gets each lane's steps, see FIRED.
    """
    p, r = in_lanes(p), in_lanes(r)
    whole_vectors()
    tolerance, largest, zero = limits.tolerance, limits.largest, constants.zero
    largest_residual, hidden_factor = limits.largest_residual, limits.hidden_factor
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    for _ in range(n_steps):
        for i in range(n_lanes):
            pre, residual, gw, gb, gv = sample(w[i], b[i], v[i], c[i], None, x, target, zero)
            size = abs(residual)
            norm = maximum(maximum(size, abs(gv)), abs(gb) * hidden_factor)
            # A pre-activation of +inf makes the residual infinite or NaN; -inf and NaN do not.
            goes_on = (norm > tolerance) & (size <= largest_residual) & (pre >= -largest)
            w[i] -= select(goes_on, hidden[i] * gw, zero)
            b[i] -= select(goes_on, hidden[i] * gb, zero)
            v[i] -= select(goes_on, output[i] * gv, zero)
            c[i] -= select(goes_on, output[i] * residual, zero)
            counts[i] += select(goes_on, select(pre > zero, 1 + FIRED, 1), 0)


@_kernel
def _burst(p, r, x, target, trained, limits, constants, counts, n_steps, n_lanes, sums):
    """Step all lanes ``n_steps`` times on any samples, with parameters frozen or not; as above.

    The loops are written out, because LLVM does not vectorize them with ``add_up``.
    """
    p, r, sums = in_lanes(p), in_lanes(r), in_lanes(sums)
    whole_vectors()
    tolerance, largest, zero = limits.tolerance, limits.largest, constants.zero
    half, n_samples, (x_min, x_max) = constants.half, constants.n_samples, limits.ends
    trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    sum_w, sum_b, sum_v, sum_c, sum_loss = sums[0], sums[1], sums[2], sums[3], sums[4]
    for _ in range(n_steps):
        for i in range(n_lanes):
            sum_w[i] = sum_b[i] = sum_v[i] = sum_c[i] = sum_loss[i] = -zero
        for k in range(x.size):
            for i in range(n_lanes):
                _, residual, gw, gb, gv = sample(
                    w[i], b[i], v[i], c[i], None, x[k], target[k], zero
                )
                sum_w[i] += gw
                sum_b[i] += gb
                sum_v[i] += gv
                sum_c[i] += residual
                sum_loss[i] += half * (residual * residual)
        for i in range(n_lanes):
            gw = select(trains_w, sum_w[i] / n_samples, zero)
            gb = select(trains_b, sum_b[i] / n_samples, zero)
            gv = select(trains_v, sum_v[i] / n_samples, zero)
            gc = select(trains_c, sum_c[i] / n_samples, zero)
            # Monotone in x, even in floating point: the ends decide for all samples.
            low, high = w[i] * x_min + b[i], w[i] * x_max + b[i]
            small = (
                (abs(gw) <= tolerance)
                & (abs(gb) <= tolerance)
                & (abs(gv) <= tolerance)
                & (abs(gc) <= tolerance)
            )
            bounded = (
                (sum_loss[i] <= limits.largest_sum) & (abs(low) <= largest) & (abs(high) <= largest)
            )
            goes_on = bounded & (not small)
            w[i] -= select(goes_on, hidden[i] * gw, zero)
            b[i] -= select(goes_on, hidden[i] * gb, zero)
            v[i] -= select(goes_on, output[i] * gv, zero)
            c[i] -= select(goes_on, output[i] * gc, zero)
            fires = (low > zero) | (high > zero)
            counts[i] += select(goes_on, select(fires, 1 + FIRED, 1), 0)


@_kernel
def _burst_sorted(p, r, tables, trained, limits, constants, counts, n_steps, n_lanes):
    """Step all lanes ``n_steps`` times by sorted sums; as above.

    The code of ``refresh_sides`` is repeated here: calling it cost 6 %.
    """
    whole_vectors()
    tolerance, divergence_loss, most = limits.tolerance, limits.divergence_loss, limits.largest
    zero, n_samples = constants.zero, constants.n_samples
    trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    x, sides, splits, rising = tables.x, tables.sides, tables.splits, tables.rising
    x_min, x_max, n = x[0], x[-1], x.size
    before, after, n_firing = sides[X_BEFORE], sides[X_AFTER], sides[N_FIRING]
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    moved, todo = np.empty(LANES, counts.dtype), np.empty(LANES + 1, np.int64)
    for _ in range(n_steps):
        for i in range(n_lanes):
            rises = w[i] >= zero
            # The split is the first sample beyond it; its two neighbors show if it still is.
            first_is = (splits[i] == 0) | ((w[i] * before[i] + b[i] > zero) != rises)
            last_is = (splits[i] == n) | ((w[i] * after[i] + b[i] > zero) == rises)
            same = (first_is & last_is & (rising[i] == rises)) | (w[i] != w[i])
            moved[i] = not same
        move_splits(w, b, tables, moved, todo, n_lanes, zero)
        for i in range(n_lanes):
            gw, gb, gv, gc, loss = sums_by_tables(w[i], b[i], v[i], c[i], None, sides, i, constants)
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
            finite = (abs(low) <= most) & (abs(high) <= most) & (abs(v[i]) <= most)
            bounded = finite & (loss / n_samples <= divergence_loss)
            goes_on = bounded & (not small)
            w[i] -= select(goes_on & trains_w, hidden[i] * gw, zero)
            b[i] -= select(goes_on & trains_b, hidden[i] * gb, zero)
            v[i] -= select(goes_on & trains_v, output[i] * gv, zero)
            c[i] -= select(goes_on & trains_c, output[i] * gc, zero)
            counts[i] += select(goes_on, select(n_firing[i] > zero, 1 + FIRED, 1), 0)


@_kernel
def _note_burst(counts, age, death, max_steps, stopped, due, n_steps, n_lanes):
    """Add a burst to the lanes' ages; list those that are dead or cannot take another one as is.

    Return how many these are.
    """
    whole_vectors()
    for lane in range(n_lanes):
        taken, fired = counts[lane] & (FIRED - 1), counts[lane] >> FIRED_BITS
        dies = (fired < taken) & (death[lane] < 0)
        age[lane] += taken
        death[lane] = select(dies, age[lane] - taken + fired, death[lane])
        stopped[lane] = (taken < n_steps) | (age[lane] >= max_steps) | (death[lane] >= 0)
    n_due = 0
    for lane in range(n_lanes):  # no branch: it would be mispredicted
        due[n_due] = lane
        n_due += stopped[lane]
    return n_due


@_kernel
def _pack(p, r, run, age, death, n_lanes):
    """Move the networks that still train to the first lanes, and empty the other lanes.

    The splits stay with the lanes: a moved network finds its own split in its next step.
    """
    to = 0
    for lane in range(n_lanes):
        if run[lane] >= 0:
            for j in range(4):
                p[j, to] = p[j, lane]
            r[0, to], r[1, to] = r[0, lane], r[1, lane]
            run[to], age[to], death[to] = run[lane], age[lane], death[lane]
            to += 1
    for lane in range(to, n_lanes):
        for j in range(4):
            p[j, lane] = np.nan
        run[lane] = -1


@_called_from_python
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
    lanes,
    anew,
    dead,
    floats,
    integers,
):
    """Train all networks and fill in the final states."""
    final_p, final_loss, final_norm = floats
    final_steps, final_death, final_outcome = integers
    n_nets = parameters.shape[1]
    p, r, run, age, death, counts, stopped, due, _ = lanes
    single = x.size == 1 and trained[0] & trained[1] & trained[2] & trained[3]
    length = n_steps = LEAP if tables is None else BURST
    n_lanes, n_loaded, n_finished, zero = run.size, 0, 0, constants.zero

    while n_finished < n_nets:
        n_due = _note_burst(counts, age, death, max_steps, stopped, due, n_steps, n_lanes)
        for k in range(n_due):
            lane = due[k]
            missing = n_steps - (counts[lane] & (FIRED - 1)) if run[lane] >= 0 else 0
            # Until the lane can take another burst: catch up, end, or take the next run.
            while True:
                if run[lane] < 0:
                    if n_loaded == n_nets:
                        break
                    run[lane] = n_loaded
                    for j in range(4):
                        p[j, lane] = parameters[j, n_loaded]
                    r[0, lane], r[1, lane] = rates[0, n_loaded], rates[1, n_loaded]
                    born_dead = is_surely_dead(p, lane, target[0], limits, zero)
                    age[lane], death[lane], missing = 0, select(born_dead, 0, -1), 0
                    n_loaded += 1
                i = run[lane]
                if death[lane] >= 0 and is_surely_dead(p, lane, target[0], limits, zero):
                    outcome = TRAINING  # by ``train_dead``
                elif missing > 0 or age[lane] == max_steps:
                    outcome, taken, death[lane], final_loss[i], final_norm[i] = alone(
                        p, r, lane, age[lane], death[lane], missing,
                        max_steps, trained, x, target, tables, limits, constants,
                    )  # fmt: skip
                    age[lane] += taken
                    missing = 0
                    if outcome == TRAINING:
                        continue
                else:
                    break
                for j in range(4):
                    final_p[j, i] = p[j, lane]
                    p[j, lane] = np.nan
                final_steps[i], final_death[i], final_outcome[i] = age[lane], death[lane], outcome
                run[lane] = -1
                n_finished += 1
        n_needed = (n_nets - n_finished + VECTOR - 1) // VECTOR * VECTOR
        if n_loaded == n_nets and 2 * n_needed <= n_lanes:
            _pack(p, r, run, age, death, n_lanes)
            n_lanes = n_needed
        left = max_steps
        for lane in range(n_lanes):
            counts[lane] = 0
            left = min(left, max_steps - age[lane] if run[lane] >= 0 else max_steps)
        n_steps = min(length, left)
        if tables is not None:
            _burst_sorted(p, r, tables, trained, limits, constants, counts, n_steps, n_lanes)
        else:
            n_anew = _leap(
                lanes, anew, x, target, trained, single, limits, constants, n_steps, n_lanes
            )
            if n_anew * n_steps > MANY_ANEW * n_lanes:
                length = max(length // 2, LEAST_STEPS)
            elif n_anew * n_steps < FEW_ANEW * n_lanes:
                length = min(length * 2, MOST_STEPS)
    train_dead(
        dead, rates, trained, x, target, tables, max_steps, limits, constants, floats, integers
    )
