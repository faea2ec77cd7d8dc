"""Numba: networks that step together, ``LANES`` of them, each step judged as it comes.

For what the bursts of ``numba_engine`` leave: batches, which all networks must take at the same
time; slopes and other optimizers than plain descent; and the following of unfinished runs. A
network that has ended occupies its lane until the ended ones are sorted out.
"""

from dataclasses import replace
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from relulab.training import numba_kernels, orbits, stability, update_rules
from relulab.training.numba_kernels import (
    CONVERGED,
    DIVERGED,
    LANES,
    TRAINING,
    UNFINISHED,
    UNSTABLE,
    call,
    compiled,
    constants_of,
    evaluate,
    larger,
    largest,
    limits_of,
    rates_of,
    refresh_sides,
    rests,
    sample,
    select,
    sums_by_tables,
    tables_of,
)
from relulab.training.specification import FinalStates, Problem
from relulab.training.update_rules import AdamRule, SGDRule

# The most steps before the ended networks are sorted out.
MOST_STEPS = 4096
UNDECIDED = -1  # of a period
# Rows of scratch: gradients of w, b, v, c; loss; the factor of clipping.
LOSS, FACTOR, N_ROWS = 4, 5, 6

_kernel = compiled(stability, update_rules, numba_kernels)


class SGDLanes(NamedTuple):
    """``SGDRule``, with arrays for all networks; and ``room`` of the dtype."""

    decay: Any
    momentum: Any
    nesterov: bool
    max_norm: Any  # of no network where nothing is clipped
    velocity: Any
    room: Any
    one: Any


class AdamLanes(NamedTuple):
    """``AdamRule``, with arrays for all networks."""

    decay: Any
    beta1: Any
    beta2: Any
    epsilon: Any
    m: Any
    s: Any
    power1: Any
    power2: Any
    one: Any


class Orbits(NamedTuple):
    """The tolerances of ``orbits``, in the dtype of the arithmetic."""

    tolerance: Any
    seen: Any


def run(problem: Problem) -> FinalStates:
    """Train every network of the problem until it finishes.

    All go through some epochs, and the ended ones are sorted out; a full batch is an epoch of one
    step.
    """
    final = FinalStates.unfilled(problem)
    batches, options = problem.batches, problem.options
    limits, constants = limits_of(problem), constants_of(problem)
    active, here = np.arange(problem.n_nets), _copy(problem)
    death, n_revivals = np.full(problem.n_nets, -1, np.int64), np.zeros(problem.n_nets, np.int64)
    steps_per_epoch = batches.steps_per_epoch if batches else 1
    # The number of samples of a batch, in the dtype of the arithmetic.
    counts = np.arange((batches.size if batches else 0) + 1).astype(problem.dtype)
    step, n_epochs = 0, 1
    while active.size:
        first = step // steps_per_epoch
        orders = (
            np.stack([batches.order(first + k) for k in range(n_epochs)])
            if batches
            else np.empty((n_epochs, 0), np.int64)
        )
        outcome = np.full(active.size, TRAINING, np.int64)
        steps = np.full(active.size, step, np.int64)
        call(
            _train_epochs,
            here.parameters, here.rates, here.slope, _decay_of(here), *_lanes_of(here), steps,
            death, n_revivals, outcome, np.array(problem.trained), problem.x, problem.target,
            tables_of(problem), orders, steps_per_epoch, options.max_steps, limits, constants,
            counts,
            np.empty((N_ROWS, LANES), problem.dtype),
        )  # fmt: skip
        step += n_epochs * steps_per_epoch
        ended = outcome != TRAINING
        runs, left = active[ended], np.flatnonzero(~ended)
        final.parameters[:, runs] = here.parameters[:, ended]
        final.steps_taken[runs], final.death_step[runs] = steps[ended], death[ended]
        final.n_revivals[runs], final.outcome[runs] = n_revivals[ended], outcome[ended]
        if final.rule is not None and here.rule is not None:
            for there, values in zip(final.rule.arrays, here.rule.arrays, strict=True):
                there[..., runs] = values[..., ended]
        active, death, n_revivals = active[left], death[left], n_revivals[left]
        here = here.at(left, here.parameters, here.rule)
        if 2 * n_epochs * steps_per_epoch <= MOST_STEPS:
            n_epochs *= 2  # so that a short run does not wait long, nor a long one for NumPy
    whole = _copy(problem)
    call(
        _tell,
        final.parameters, whole.slope, _decay_of(whole), problem.x,
        problem.target, tables_of(problem), np.array(problem.trained), constants, final.loss,
        final.gradient_norm,
    )  # fmt: skip
    return final


def periods(problem: Problem) -> Any:
    """Return the periods of runs whose parameters are those at max_steps; see ``orbits``."""
    number, batches = problem.dtype.type, problem.batches
    every = np.arange(problem.x.size)
    steps = batches.steps(problem.options.max_steps) if batches else repeat(every)
    samples = [batch for _, batch in zip(range(orbits.FOLLOWED), steps, strict=False)]
    ends = np.cumsum([0, *map(len, samples)]) if batches else np.array([0, every.size])
    period = np.zeros(problem.n_nets, np.int64)
    here = _copy(problem)
    call(
        _follow,
        here.parameters, here.rates, here.slope, *_lanes_of(here), np.array(problem.trained),
        problem.x, problem.target, tables_of(problem),
        np.concatenate(samples) if batches else every, ends, constants_of(problem),
        np.arange(problem.x.size + 1).astype(number), np.empty((N_ROWS, LANES), number),
        np.empty((orbits.FOLLOWED + 1, 4, LANES), number), np.empty((4, LANES), number),
        Orbits(number(orbits.RETURN_TOLERANCE[problem.dtype.name]), number(orbits.SEEN)), period,
    )  # fmt: skip
    return period


def _copy(problem: Problem) -> Problem:
    """Return the problem with arrays of its own to step in.

    A slope without an optimizer gets an SGD that is plain, and an optimizer slopes of 0, to the
    same bits: so there are fewer kernels to compile.
    """
    rule, slope, n_nets = problem.rule, problem.slope, problem.n_nets
    if problem.is_general:
        slope = np.zeros(n_nets, problem.dtype) if slope is None else slope
        rule = SGDRule.plain(n_nets, problem.dtype) if rule is None else rule
    every = np.arange(n_nets)
    return replace(problem, slope=slope).at(every, problem.parameters, rule)


def _decay_of(problem: Problem) -> Any:
    return None if problem.rule is None else problem.rule.decay


def _lanes_of(problem: Problem) -> tuple[SGDLanes | None, AdamLanes | None]:
    """Return the optimizer as a kernel takes it: one of two, or none for plain descent."""
    rule, one = problem.rule, problem.dtype.type(1)
    if isinstance(rule, SGDRule):
        room = problem.dtype.type(update_rules.ROOM)
        max_norm = np.empty(0, problem.dtype) if rule.max_norm is None else rule.max_norm
        lanes = SGDLanes(
            rule.decay, rule.momentum, rule.nesterov, max_norm, rule.velocity, room, one
        )
        return lanes, None
    if isinstance(rule, AdamRule):
        numbers = rule.decay, rule.beta1, rule.beta2, rule.epsilon
        return None, AdamLanes(*numbers, rule.m, rule.s, rule.power1, rule.power2, one)
    return None, None


_clipping = _kernel(update_rules.clipping)
_faster = _kernel(update_rules.faster)
_moments = _kernel(update_rules.moments)
_adam_size = _kernel(update_rules.adam_size)
_coasting_factor = _kernel(update_rules.coasting_factor)
_sgd_edge = _kernel(update_rules.sgd_edge)
_adam_edge = _kernel(update_rules.adam_edge)


@_kernel
def _decayed(gradient, decay, parameter):
    """``update_rules.decayed``, where NumPy's choice would be an array."""
    return select(decay > 0, gradient + decay * parameter, gradient)


@_kernel
def _sgd_next(p, g, rate, j, i, sgd, factor):
    """Return the next value and velocity of parameter j of network i."""
    gradient = _decayed(g * factor, sgd.decay[j, i], p)
    momentum = sgd.momentum[i]
    velocity = _faster(sgd.velocity[j, i], momentum, gradient)
    step = select(sgd.nesterov, _faster(velocity, momentum, gradient), velocity)
    return p - rate * step, velocity


@_kernel
def _adam_next(p, g, rate, j, i, adam, power1, power2):
    """Return the next value and moments of parameter j of network i, and the rate of its step."""
    gradient = _decayed(g, adam.decay[j, i], p)
    m, s = _moments(adam.m[j, i], adam.s[j, i], gradient, adam.beta1[i], adam.beta2[i], adam.one)
    size = _adam_size(s, rate, power1, power2, adam.epsilon[i], adam.one)
    return p - size * m, m, s, size


@_kernel
def _factor(rows, i, lane, sgd):
    """Return the factor that clips the gradients of network i, in a lane."""
    if sgd.max_norm.size == 0:
        return sgd.one
    gw, gb, gv, gc = rows[0, lane], rows[1, lane], rows[2, lane], rows[3, lane]
    return _clipping(gw, gb, gv, gc, sgd.max_norm[i], sgd.room, sgd.one)


@_kernel
def _means(p, slope, x, target, samples, tables, trained, count, rows, scratch, n, constants):
    """Write the mean gradients and loss over some samples of the first lanes."""
    zero, half = constants.zero, constants.half
    w, b, v, c = p[0], p[1], p[2], p[3]
    by_w, by_b, by_v, by_c, loss = rows[0], rows[1], rows[2], rows[3], rows[LOSS]
    if tables is not None:
        moved, todo, touched = scratch
        refresh_sides(w, b, tables, moved, todo, touched, n, zero)
        for i in range(n):
            if slope is None:
                leak = None
            else:
                leak = slope[i]
            by_w[i], by_b[i], by_v[i], by_c[i], loss[i] = sums_by_tables(
                w[i], b[i], v[i], c[i], leak, tables.sides, i, constants
            )
    else:
        for i in range(n):
            by_w[i] = by_b[i] = by_v[i] = by_c[i] = loss[i] = -zero
        for k in samples:
            for i in range(n):
                if slope is None:
                    leak = None
                else:
                    leak = slope[i]
                _, residual, gw, gb, gv = sample(
                    w[i], b[i], v[i], c[i], leak, x[k], target[k], zero
                )
                by_w[i] += gw
                by_b[i] += gb
                by_v[i] += gv
                by_c[i] += residual
                loss[i] += half * (residual * residual)
    for j in range(5):
        row, trains = rows[j], j == LOSS or trained[j]
        for i in range(n):
            row[i] = row[i] / count if trains else zero


@_kernel
def _advance(p, r, first, ends, sgd, adam, trained, rows, n):
    """Take the step of the gradients in the first lanes, of networks from ``first`` on.

    Not in those that have ended.
    """
    if sgd is not None:
        for i in range(n):
            rows[FACTOR, i] = _factor(rows, first + i, i, sgd)
    if adam is not None:
        for i in range(n):
            k, goes_on = first + i, ends[i] == TRAINING
            adam.power1[k] = select(goes_on, adam.power1[k] * adam.beta1[k], adam.power1[k])
            adam.power2[k] = select(goes_on, adam.power2[k] * adam.beta2[k], adam.power2[k])
    for j in range(4):
        here, rate, gradient = p[j], r[0 if j < 2 else 1], rows[j]
        if not trained[j]:
            continue
        for i in range(n):
            k, goes_on = first + i, ends[i] == TRAINING
            if sgd is not None:
                there, velocity = _sgd_next(
                    here[i], gradient[i], rate[i], j, k, sgd, rows[FACTOR, i]
                )
                sgd.velocity[j, k] = select(goes_on, velocity, sgd.velocity[j, k])
            elif adam is not None:
                there, m, s, _ = _adam_next(
                    here[i], gradient[i], rate[i], j, k, adam, adam.power1[k], adam.power2[k]
                )
                adam.m[j, k] = select(goes_on, m, adam.m[j, k])
                adam.s[j, k] = select(goes_on, s, adam.s[j, k])
            else:
                there = here[i] - rate[i] * gradient[i]
            here[i] = select(goes_on, there, here[i])


@_kernel
def _objective(p, lane, i, decay, rows):
    """Return the gradients of network i, in a lane, of the loss with its decay term."""
    gw, gb, gv, gc = rows[0, lane], rows[1, lane], rows[2, lane], rows[3, lane]
    if decay is not None:
        gw, gb = _decayed(gw, decay[0, i], p[0, lane]), _decayed(gb, decay[1, i], p[1, lane])
        gv, gc = _decayed(gv, decay[2, i], p[2, lane]), _decayed(gc, decay[3, i], p[3, lane])
    return gw, gb, gv, gc


@_kernel
def _coasts_within(i, sgd, adam, tolerance):
    """Return whether what the velocity would still move is within the tolerance."""
    if sgd is not None:
        factor = _coasting_factor(sgd.momentum[i], sgd.nesterov, sgd.one)
        return _all_within(factor, sgd.velocity, i, tolerance)
    if adam is not None:
        factor = _coasting_factor(adam.beta1[i], False, adam.one)
        return _all_within(factor, adam.m, i, tolerance)
    return True


@_kernel
def _all_within(factor, velocity, i, tolerance):
    return (
        (abs(factor * velocity[0, i]) <= tolerance)
        & (abs(factor * velocity[1, i]) <= tolerance)
        & (abs(factor * velocity[2, i]) <= tolerance)
        & (abs(factor * velocity[3, i]) <= tolerance)
    )


@_kernel
def _fate_within(
    p, r, lane, i, slope, decay, sgd, adam, x, target, tables, trained, rows, constants
):
    """Return how network i, in a lane, ends where all is within the tolerance; TRAINING if not."""
    hidden, output = r[0, lane], r[1, lane]
    rates, edge = rates_of(hidden, hidden, output, output, trained), stability.EDGE
    stands = True
    if sgd is not None:
        edge = _sgd_edge(np.float64(sgd.momentum[i]), sgd.nesterov)
        factor = _factor(rows, i, lane, sgd)
        for j in range(4):
            here, g, rate = p[j, lane], rows[j, lane], (hidden if j < 2 else output)
            there, velocity = _sgd_next(here, g, rate, j, i, sgd, factor)
            momentum = sgd.momentum[i]
            same = (there == here) & (momentum * velocity == momentum * sgd.velocity[j, i])
            stands = stands and (same or not trained[j])
    elif adam is not None:
        edge = _adam_edge(np.float64(adam.beta1[i]))
        power1, power2 = adam.power1[i] * adam.beta1[i], adam.power2[i] * adam.beta2[i]
        sizes = np.zeros(4)
        for j in range(4):
            here, g, rate = p[j, lane], rows[j, lane], (hidden if j < 2 else output)
            there, m, s, size = _adam_next(here, g, rate, j, i, adam, power1, power2)
            same = (there == here) & (m == adam.m[j, i]) & (s == adam.s[j, i])
            stands = stands and (same or not trained[j])
            sizes[j] = np.float64(size)
        rates = rates_of(sizes[0], sizes[1], sizes[2], sizes[3], trained)
    else:
        for j in range(4):
            here, rate = p[j, lane], (hidden if j < 2 else output)
            stands = stands and here - rate * rows[j, lane] == here
    decays, leak = (0.0, 0.0, 0.0, 0.0), 0.0
    if decay is not None:
        decays = (
            np.float64(decay[0, i]),
            np.float64(decay[1, i]),
            np.float64(decay[2, i]),
            np.float64(decay[3, i]),
        )
    if slope is not None:
        leak = np.float64(slope[lane])
    gw, gb, gv, gc = _objective(p, lane, i, decay, rows)
    norm, loss = largest(gw, gb, gv, gc), rows[LOSS, lane]
    if rests(
        p, lane, rates, decays, edge, leak, x, target, tables, loss, rows[0, lane], rows[1, lane],
        norm, constants,
    ):  # fmt: skip
        return CONVERGED
    return UNSTABLE if stands else TRAINING


@_kernel
def _train_epochs(
    parameters, rates, slopes, decay, sgd, adam, steps, death, revivals, outcome, trained, x,
    target, tables, orders, steps_per_epoch, max_steps, limits, constants, counts, rows,
):  # fmt: skip
    """Train all networks through some epochs, or to their end, judging every state."""
    tolerance, divergence_loss, most = limits.tolerance, limits.divergence_loss, limits.largest
    zero, n_samples = constants.zero, constants.n_samples
    x_min, x_max, everything = x.min(), x.max(), np.arange(x.size)
    size, by_batches = counts.size - 1, orders.shape[1] > 0
    asked = np.empty(LANES, np.bool_)
    scratch = np.empty(LANES, np.int64), np.empty(LANES + 1, np.int64), np.zeros(1, x.dtype)
    for start in range(0, parameters.shape[1], LANES):
        stop = min(start + LANES, parameters.shape[1])
        n = stop - start
        p, r = parameters[:, start:stop], rates[:, start:stop]
        if slopes is None:
            slope = None
        else:
            slope = slopes[start:stop]
        if tables is not None:
            tables.rising[:] = -1
        w, b, v = p[0], p[1], p[2]
        taken, died, revived = steps[start:stop], death[start:stop], revivals[start:stop]
        ends = outcome[start:stop]
        n_training = n
        first_step = taken[0]
        for number_of_step in range(orders.shape[0] * steps_per_epoch):
            if n_training == 0:
                break
            k = first_step + number_of_step
            epoch, number = divmod(number_of_step, steps_per_epoch)
            judged = number == 0 or k == max_steps
            batch = orders[epoch, number * size : (number + 1) * size] if by_batches else everything
            samples = everything if judged else batch
            count = n_samples if judged else counts[batch.size]
            _means(
                p, slope, x, target, samples, tables, trained, count, rows, scratch, n, constants
            )
            loss = rows[LOSS]
            n_training = n_asked = 0
            for i in range(n):
                low, high = w[i] * x_min + b[i], w[i] * x_max + b[i]
                is_finite = (abs(low) <= most) & (abs(high) <= most) & (loss[i] <= most)
                if tables is not None:
                    is_finite &= abs(v[i]) <= most
                fires = (low > zero) | (high > zero)
                goes_on = ends[i] == TRAINING
                wakes = goes_on & fires & (died[i] >= 0)
                dies = goes_on & is_finite & (not fires) & (died[i] < 0)
                revived[i] += wakes
                died[i] = k if dies else (-1 if wakes else died[i])
                gw, gb, gv, gc = _objective(p, i, start + i, decay, rows)
                within = (
                    (abs(gw) <= tolerance)
                    & (abs(gb) <= tolerance)
                    & (abs(gv) <= tolerance)
                    & (abs(gc) <= tolerance)
                    & _coasts_within(start + i, sgd, adam, tolerance)
                    & judged
                )
                bounded = is_finite & (loss[i] <= divergence_loss)
                state = UNFINISHED if k == max_steps else TRAINING
                state = CONVERGED if within & by_batches else state
                state = state if bounded else DIVERGED
                asked[i] = goes_on & bounded & within & (not by_batches)
                n_asked += asked[i]
                ends[i] = state if goes_on else ends[i]
                n_training += ends[i] == TRAINING
            if n_asked > 0:
                n_training = 0
                for i in range(n):
                    if asked[i]:
                        fate = _fate_within(
                            p, r, i, start + i, slope, decay, sgd, adam, x, target, tables,
                            trained, rows, constants,
                        )  # fmt: skip
                        ends[i] = fate if fate != TRAINING else ends[i]
                    n_training += ends[i] == TRAINING
            if by_batches and judged:
                count = counts[batch.size]
                _means(
                    p, slope, x, target, batch, tables, trained, count, rows, scratch, n, constants
                )
            _advance(p, r, start, ends, sgd, adam, trained, rows, n)
            for i in range(n):
                taken[i] += ends[i] == TRAINING


@_kernel
def _tell(p, slopes, decay, x, target, tables, trained, constants, loss, norm):
    """Write loss and gradient norm of final states."""
    for start in range(0, p.shape[1], LANES):
        here = p[:, start : start + LANES]
        if slopes is None:
            slope = None
        else:
            slope = slopes[start : start + LANES]
        for lane in range(here.shape[1]):
            i = start + lane
            gw, gb, gv, gc, loss[i], norm[i], _, _ = evaluate(
                here, lane, x, target, tables, slope, trained, constants
            )
            if decay is not None:
                norm[i] = largest(
                    _decayed(gw, decay[0, i], p[0, i]),
                    _decayed(gb, decay[1, i], p[1, i]),
                    _decayed(gv, decay[2, i], p[2, i]),
                    _decayed(gc, decay[3, i], p[3, i]),
                )


@_kernel
def _follow(
    parameters, rates, slopes, sgd, adam, trained, x, target, tables, samples, parts, constants,
    counts, rows, states, moved, limits, period,
):  # fmt: skip
    """Step all networks, without judging, and find their periods from the states.

    ``samples[parts[k]:parts[k+1]]`` are what step k takes; with a single such part, every step.
    """
    zero = constants.zero
    ends = np.full(LANES, TRAINING, np.int64)
    scratch = np.empty(LANES, np.int64), np.empty(LANES + 1, np.int64), np.zeros(1, x.dtype)
    for start in range(0, parameters.shape[1], LANES):
        stop = min(start + LANES, parameters.shape[1])
        n = stop - start
        p, r = parameters[:, start:stop], rates[:, start:stop]
        if slopes is None:
            slope = None
        else:
            slope = slopes[start:stop]
        if tables is not None:
            tables.rising[:] = -1
        states[0, :, :n] = p
        moved[:] = zero
        for k in range(states.shape[0] - 1):
            part = k if parts.size > 2 else 0
            taken = samples[parts[part] : parts[part + 1]]
            count = counts[taken.size]
            _means(p, slope, x, target, taken, tables, trained, count, rows, scratch, n, constants)
            _advance(p, r, start, ends, sgd, adam, trained, rows, n)
            for j in range(4):
                here, state, then, most = p[j], states[k + 1, j], states[0, j], moved[j]
                for i in range(n):
                    state[i] = here[i]
                    most[i] = larger(most[i], abs(here[i] - then[i]))
        _find_periods(states, moved, n, limits, rows, zero, period[start:stop])


@_kernel
def _find_periods(states, moved, n, limits, scratch, zero, period):
    """Write the periods of the first ``n`` lanes, as ``orbits.periods`` says."""
    away, scale, near, seen = scratch[0], scratch[1], scratch[2], scratch[3]
    scale[:] = zero
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
        away[:] = zero
        for j in range(4):
            then, now = states[0, j], states[q, j]
            for i in range(n):
                away[i] = larger(away[i], abs(now[i] - then[i]))
        for i in range(n):
            if away[i] <= seen[i] and period[i] == UNDECIDED:
                distance = _distance(states, i, q, seen[i], zero)
                if distance <= seen[i]:
                    period[i] = q if distance <= near[i] and q > 1 else 0
    for i in range(n):
        period[i] = max(period[i], 0)


@_kernel
def _distance(states, i, q, seen, zero):
    """Return a lane's distance at q; any that is not within ``seen`` if it is not."""
    distance = zero
    for k in range(states.shape[0] - q):
        for j in range(4):
            distance = larger(distance, abs(states[k + q, j, i] - states[k, j, i]))
        if not distance <= seen:
            break
    return distance
