"""Numba: ``LANES`` networks step together, and every step is judged.

This is for everything that ``numba_engine`` leaves out: batches, which all networks must take at
the same time; slopes and optimizers other than plain descent; and following unfinished runs. A
network that has ended occupies its lane until the ended ones are sorted out.
"""

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
    divide,
    evaluate,
    in_lanes,
    inverses,
    larger,
    largest,
    limits_of,
    maximum,
    minimum,
    rates_of,
    refresh_sides,
    rests,
    sample,
    select,
    step_on_one_sample,
    step_on_samples,
    sums_by_tables,
    tables_of,
    whole_vectors,
)
from relulab.training.specification import FinalStates, Problem
from relulab.training.update_rules import AdamRule, SGDRule
from relulab.validation import FloatArray

# The most steps before the ended networks are sorted out.
MOST_STEPS = 4096
UNDECIDED = -1  # of a period

# The rows of a table of networks: parameters and rates; for slopes and optimizers also these. SGD
# uses momentum, max_norm and four velocities; Adam uses beta1, beta2, epsilon, four m, four s and
# the two powers.
# Rows used as arguments have a NumPy type, or Numba would compile a function for each number.
W, B, V, C, HIDDEN, OUTPUT = map(np.int64, range(6))
SLOPE, DECAY, NUMBERS, STATE = 6, 7, 11, 14
M, S, POWER1, POWER2, N_STORED = 14, 18, 22, 23, 24
# The networks that step also have rows for their step. One array with rows at known places, and one
# of integers, cannot overlap for LLVM, so loops over lanes become vectors.
GRADIENT, LOSS, FACTOR, N_ROWS = 24, 28, 29, 30
TAKEN, DIED, REVIVED, ENDS, ASKED, N_NOTES = range(6)

_kernel = compiled(stability, update_rules, numba_kernels)
_called_from_python = compiled(stability, update_rules, numba_kernels, from_python=True)


class SGDKind(NamedTuple):
    """The numbers of an ``SGDRule`` for all networks, in the dtype of the arithmetic."""

    nesterov: bool
    clips: bool
    room: Any
    one: Any


class AdamKind(NamedTuple):
    """The numbers of an ``AdamRule`` for all networks."""

    one: Any


class Orbits(NamedTuple):
    """The tolerances of ``orbits`` and the bounds of ``_may_return``, in the arithmetic's dtype."""

    tolerance: Any
    seen: Any
    steady: Any
    most_away: Any
    creeping: Any


def run(problem: Problem) -> FinalStates:
    """Train every network of the problem until it finishes.

    All go through some epochs, then the ended ones are sorted out. A full batch is an epoch of one
    step.
    """
    final = FinalStates.unfilled(problem)
    batches, options = problem.batches, problem.options
    limits, constants, kind = limits_of(problem), constants_of(problem), _kind(problem)
    active, nets = np.arange(problem.n_nets), _table(problem)
    notes = np.zeros((N_NOTES, problem.n_nets), np.int64)
    notes[DIED], notes[ENDS] = -1, TRAINING
    steps_per_epoch = batches.steps_per_epoch if batches else 1
    # The numbers of samples in a batch, in the dtype of the arithmetic.
    counts = _counts(problem, batches.size if batches else 0)
    everything = np.arange(problem.x.size)
    step, n_epochs = 0, 1
    while active.size:
        first = step // steps_per_epoch
        orders = np.empty((n_epochs, 0), np.int64)
        if batches:
            orders = np.stack([batches.order(first + k) for k in range(n_epochs)])
        call(
            _train_epochs,
            nets, notes, *kind, np.array(problem.trained), problem.x, problem.target,
            tables_of(problem), orders, steps_per_epoch, options.max_steps, limits, constants,
            counts, everything, _scratch(),
            np.empty((N_ROWS, LANES), problem.dtype), np.zeros((N_NOTES, LANES), np.int64),
        )  # fmt: skip
        step += n_epochs * steps_per_epoch
        ended = notes[ENDS] != TRAINING
        runs = active[ended]
        final.parameters[:, runs] = nets[:4, ended]
        final.steps_taken[runs], final.death_step[runs] = notes[TAKEN, ended], notes[DIED, ended]
        final.n_revivals[runs], final.outcome[runs] = notes[REVIVED, ended], notes[ENDS, ended]
        if final.rule is not None:
            for there, here in zip(
                final.rule.arrays, _rows(final.rule, nets[:, ended]), strict=True
            ):
                there[..., runs] = here
        active, nets, notes = active[~ended], nets[:, ~ended], notes[:, ~ended]
        if 2 * n_epochs * steps_per_epoch <= MOST_STEPS:
            n_epochs *= 2  # short runs do not wait long, nor long ones for NumPy
    nets = _table(problem)
    nets[:4] = final.parameters
    call(
        _tell,
        nets, kind[0], problem.x, problem.target, tables_of(problem), np.array(problem.trained),
        constants, final.loss, final.gradient_norm,
    )  # fmt: skip
    return final


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
        _table(problem), *_kind(problem), np.array(problem.trained), problem.x, problem.target,
        tables_of(problem), np.concatenate(samples) if batches else every, parts,
        constants_of(problem), _counts(problem, batches.size if batches else 0), _scratch(),
        np.empty((N_ROWS, LANES), number), np.full((N_NOTES, LANES), TRAINING, np.int64),
        np.empty((orbits.FOLLOWED + 1, 4, LANES), number), np.empty((4, LANES), number),
        Orbits(*bounds), np.arange(problem.n_nets), period,
    )  # fmt: skip
    return period


def _counts(problem: Problem, most: int) -> FloatArray:
    """Return the possible numbers of samples in a batch, and their inverses; see ``divide``."""
    counts = np.arange(most + 1)
    return np.stack([counts.astype(problem.dtype), inverses(counts, problem.dtype)])


def _scratch() -> tuple[Any, ...]:
    """Return the work arrays of ``refresh_sides``."""
    return np.empty(LANES, np.int64), np.empty(LANES + 1, np.int64)


def _table(problem: Problem) -> FloatArray:
    """Return a table of the networks at their start.

    A slope without an optimizer gets a plain SGD, and an optimizer without slopes gets slopes of 0,
    with the same bits: so there are fewer kernels to compile.
    """
    plain = [*problem.parameters, *problem.rates]
    if not problem.is_general:
        return np.stack(plain)
    table = np.zeros((N_STORED, problem.n_nets), problem.dtype)
    table[: len(plain)] = plain
    if problem.slope is not None:
        table[SLOPE] = problem.slope
    if problem.rule is not None:
        for row, values in zip(_rows(problem.rule, table), problem.rule.arrays, strict=True):
            row[:] = values
    return table


def _rows(rule: SGDRule | AdamRule, table: FloatArray) -> list[FloatArray]:
    """Return the parts of a table that are the arrays of a rule."""
    parts = [table[DECAY:NUMBERS]]
    if isinstance(rule, AdamRule):
        parts += [*table[NUMBERS:STATE], table[M:S], table[S:POWER1], table[POWER1], table[POWER2]]
    elif rule.max_norm is None:
        parts += [table[NUMBERS], table[STATE : STATE + 4]]
    else:
        parts += [table[NUMBERS], table[NUMBERS + 1], table[STATE : STATE + 4]]
    return parts


def _kind(problem: Problem) -> tuple[bool | None, SGDKind | None, AdamKind | None]:
    """Return what a kernel is compiled for: slope, SGD, Adam, each None if absent.

    All are None for plain descent.
    """
    rule, number = problem.rule, problem.dtype.type
    if isinstance(rule, AdamRule):
        return True, None, AdamKind(number(1))
    if not problem.is_general:
        return None, None, None
    nesterov, clips = (False, False) if rule is None else (rule.nesterov, rule.max_norm is not None)
    return True, SGDKind(nesterov, clips, number(update_rules.ROOM), number(1)), None


_clipping = _kernel(update_rules.clipping)
_faster = _kernel(update_rules.faster)
_moments = _kernel(update_rules.moments)
_adam_size = _kernel(update_rules.adam_size)
_coasting_factor = _kernel(update_rules.coasting_factor)
_sgd_edge = _kernel(update_rules.sgd_edge)
_adam_edge = _kernel(update_rules.adam_edge)


@_kernel
def _copy(here, first, there, to, n):
    """Copy columns of the rows that two tables share.

    In loops, as in all kernels: assigning a slice makes Numba compile its error messages about
    shapes for seconds.
    """
    for j in range(min(here.shape[0], there.shape[0])):
        for i in range(n):
            there[j, to + i] = here[j, first + i]


@_kernel
def _forget_splits(tables):
    for lane in range(tables.rising.size):
        tables.rising[lane] = -1


@_kernel
def _decayed(gradient, decay, parameter):
    """``update_rules.decayed`` for scalars, where NumPy's choice would return an array."""
    return select(decay > 0, gradient + decay * parameter, gradient)


@_kernel
def _next(f, j, rate, i, sgd, adam, power1, power2):
    """Return the step of parameter j in lane i, its next velocity and s, and the rate of m."""
    here, g, state = f[j, i], f[GRADIENT + j, i], f[STATE + j, i]
    if sgd is not None:
        gradient, momentum = _decayed(g * f[FACTOR, i], f[DECAY + j, i], here), f[NUMBERS, i]
        velocity = _faster(state, momentum, gradient)
        step = select(sgd.nesterov, _faster(velocity, momentum, gradient), velocity)
        return rate * step, velocity, rate, rate
    if adam is not None:
        gradient, epsilon = _decayed(g, f[DECAY + j, i], here), f[NUMBERS + 2, i]
        beta1, beta2 = f[NUMBERS, i], f[NUMBERS + 1, i]
        m, s = _moments(state, f[S + j, i], gradient, beta1, beta2, adam.one)
        size = _adam_size(s, rate, power1, power2, epsilon, adam.one)
        return size * m, m, s, size
    return rate * g, state, rate, rate


@_kernel
def _factor(f, i, sgd):
    """Return the factor that clips a lane's gradients."""
    if not sgd.clips:
        return sgd.one
    gw, gb, gv, gc = f[GRADIENT, i], f[GRADIENT + 1, i], f[GRADIENT + 2, i], f[GRADIENT + 3, i]
    return _clipping(gw, gb, gv, gc, f[NUMBERS + 1, i], sgd.room, sgd.one)


@_kernel
def _means(f, leaks, x, target, samples, tables, trained, mean, scratch, n, constants):
    """Write the mean gradients and loss over some samples of the first lanes.

    ``mean`` is their number and its inverse, as ``divide`` takes them.
    """
    whole_vectors()
    zero, half = constants.zero, constants.half
    count, inverse = mean
    if tables is not None:
        moved, todo = scratch
        refresh_sides(f[W], f[B], tables, moved, todo, n, zero)
        for i in range(n):
            if leaks is None:
                slope = None
            else:
                slope = f[SLOPE, i]
            gw, gb, gv, gc, loss = sums_by_tables(
                f[W, i], f[B, i], f[V, i], f[C, i], slope, tables.sides, i, constants
            )
            f[GRADIENT, i], f[GRADIENT + 1, i], f[GRADIENT + 2, i] = gw, gb, gv
            f[GRADIENT + 3, i], f[LOSS, i] = gc, loss
    else:
        for i in range(n):
            f[GRADIENT, i] = f[GRADIENT + 1, i] = f[GRADIENT + 2, i] = -zero
            f[GRADIENT + 3, i] = f[LOSS, i] = -zero
        for k in samples:
            for i in range(n):
                if leaks is None:
                    slope = None
                else:
                    slope = f[SLOPE, i]
                _, residual, gw, gb, gv = sample(
                    f[W, i], f[B, i], f[V, i], f[C, i], slope, x[k], target[k], zero
                )
                f[GRADIENT, i] += gw
                f[GRADIENT + 1, i] += gb
                f[GRADIENT + 2, i] += gv
                f[GRADIENT + 3, i] += residual
                f[LOSS, i] += half * (residual * residual)
    trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    divide(f[GRADIENT:], count, inverse, n)
    for i in range(n):
        f[GRADIENT, i] = select(trains_w, f[GRADIENT, i], zero)
        f[GRADIENT + 1, i] = select(trains_b, f[GRADIENT + 1, i], zero)
        f[GRADIENT + 2, i] = select(trains_v, f[GRADIENT + 2, i], zero)
        f[GRADIENT + 3, i] = select(trains_c, f[GRADIENT + 3, i], zero)
        f[LOSS, i] /= count


@_kernel
def _advance(f, notes, sgd, adam, trained, zero, n):
    """Take the step of the gradients in the first lanes, except ended ones."""
    whole_vectors()
    if sgd is not None:
        for i in range(n):
            f[FACTOR, i] = _factor(f, i, sgd)
    if adam is not None:
        for i in range(n):
            goes_on = notes[ENDS, i] == TRAINING
            f[POWER1, i] *= select(goes_on, f[NUMBERS, i], adam.one)
            f[POWER2, i] *= select(goes_on, f[NUMBERS + 1, i], adam.one)
    # Each with its rows at places known to LLVM.
    if trained[0]:
        _advance_one(f, notes, W, HIDDEN, sgd, adam, zero, n)
    if trained[1]:
        _advance_one(f, notes, B, HIDDEN, sgd, adam, zero, n)
    if trained[2]:
        _advance_one(f, notes, V, OUTPUT, sgd, adam, zero, n)
    if trained[3]:
        _advance_one(f, notes, C, OUTPUT, sgd, adam, zero, n)


@_kernel
def _advance_one(f, notes, j, rate, sgd, adam, zero, n):
    """Take the step of parameter j, whose rate is in another row."""
    whole_vectors()
    for i in range(n):
        goes_on = notes[ENDS, i] == TRAINING
        step, velocity, s, _ = _next(f, j, f[rate, i], i, sgd, adam, f[POWER1, i], f[POWER2, i])
        f[j, i] -= select(goes_on, step, zero)
        if sgd is not None:
            f[STATE + j, i] = select(goes_on, velocity, f[STATE + j, i])
        if adam is not None:
            f[STATE + j, i] = select(goes_on, velocity, f[STATE + j, i])
            f[S + j, i] = select(goes_on, s, f[S + j, i])


@_kernel
def _objective(f, i, leaks):
    """Return a lane's gradients of the loss with its decay term."""
    gw, gb, gv, gc = f[GRADIENT, i], f[GRADIENT + 1, i], f[GRADIENT + 2, i], f[GRADIENT + 3, i]
    if leaks is not None:
        gw, gb = _decayed(gw, f[DECAY, i], f[W, i]), _decayed(gb, f[DECAY + 1, i], f[B, i])
        gv, gc = _decayed(gv, f[DECAY + 2, i], f[V, i]), _decayed(gc, f[DECAY + 3, i], f[C, i])
    return gw, gb, gv, gc


@_kernel
def _coasts_within(f, i, sgd, adam, tolerance):
    """Return whether the movement left in the velocity is within the tolerance."""
    if sgd is not None:
        factor = _coasting_factor(f[NUMBERS, i], sgd.nesterov, sgd.one)
        return _velocity_within(f, i, factor, tolerance)
    if adam is not None:
        return _velocity_within(f, i, _coasting_factor(f[NUMBERS, i], False, adam.one), tolerance)
    return True


@_kernel
def _velocity_within(f, i, factor, tolerance):
    return (
        (abs(factor * f[STATE, i]) <= tolerance)
        & (abs(factor * f[STATE + 1, i]) <= tolerance)
        & (abs(factor * f[STATE + 2, i]) <= tolerance)
        & (abs(factor * f[STATE + 3, i]) <= tolerance)
    )


@_kernel
def _fate_within(f, i, leaks, sgd, adam, x, target, tables, trained, constants):
    """Return how a network ends if all is within the tolerance; TRAINING if it does not end."""
    hidden, output = f[HIDDEN, i], f[OUTPUT, i]
    rates, edge = rates_of(hidden, hidden, output, output, trained), stability.EDGE
    power1 = power2 = constants.zero
    if sgd is not None:
        f[FACTOR, i] = _factor(f, i, sgd)
        edge = _sgd_edge(np.float64(f[NUMBERS, i]), sgd.nesterov)
    if adam is not None:
        edge = _adam_edge(np.float64(f[NUMBERS, i]))
        power1, power2 = f[POWER1, i] * f[NUMBERS, i], f[POWER2, i] * f[NUMBERS + 1, i]
    stands, sizes = True, np.zeros(4)
    for j in range(4):
        rate = hidden if j < 2 else output
        step, velocity, s, size = _next(f, j, rate, i, sgd, adam, power1, power2)
        same, sizes[j] = f[j, i] - step == f[j, i], np.float64(size)
        if sgd is not None:
            momentum = f[NUMBERS, i]
            same &= momentum * velocity == momentum * f[STATE + j, i]
        if adam is not None:
            same &= (velocity == f[STATE + j, i]) & (s == f[S + j, i])
        stands = stands and (same or not trained[j])
    decay, slope = (0.0, 0.0, 0.0, 0.0), 0.0
    if adam is not None:
        rates = rates_of(sizes[0], sizes[1], sizes[2], sizes[3], trained)
    if leaks is not None:
        slope = np.float64(f[SLOPE, i])
        decay = (
            np.float64(f[DECAY, i]),
            np.float64(f[DECAY + 1, i]),
            np.float64(f[DECAY + 2, i]),
            np.float64(f[DECAY + 3, i]),
        )
    gw, gb, gv, gc = _objective(f, i, leaks)
    if rests(
        f, i, rates, decay, edge, slope, x, target, tables, f[LOSS, i], f[GRADIENT, i],
        f[GRADIENT + 1, i], largest(gw, gb, gv, gc), constants,
    ):  # fmt: skip
        return CONVERGED
    return UNSTABLE if stands else TRAINING


@_kernel
def _judge(f, notes, n, leaks, sgd, adam, ends, k, judged, by_batches, limits, zero, max_steps):
    """Record deaths, revivals and ends of the states at step k, with the loss in the rows.

    ``ends`` are the least and the largest x. Return the number of lanes to test for rest.
    """
    whole_vectors()
    tolerance, divergence_loss, most = limits.tolerance, limits.divergence_loss, limits.largest
    x_min, x_max = ends
    n_asked = 0
    for i in range(n):
        w, b = f[W, i], f[B, i]
        low, high = w * x_min + b, w * x_max + b
        # For v, the loss of direct sums shows the same, if it is finite.
        is_finite = (abs(low) <= most) & (abs(high) <= most) & (f[LOSS, i] <= most)
        is_finite &= abs(f[V, i]) <= most
        fires = (low > zero) | (high > zero)
        goes_on, died = notes[ENDS, i] == TRAINING, notes[DIED, i]
        wakes = goes_on & fires & (died >= 0)
        dies = goes_on & is_finite & (not fires) & (died < 0)
        notes[REVIVED, i] += wakes
        notes[DIED, i] = select(dies, k, select(wakes, -1, died))
        gw, gb, gv, gc = _objective(f, i, leaks)
        within = (
            (abs(gw) <= tolerance)
            & (abs(gb) <= tolerance)
            & (abs(gv) <= tolerance)
            & (abs(gc) <= tolerance)
            & _coasts_within(f, i, sgd, adam, tolerance)
            & judged
        )
        bounded = is_finite & (f[LOSS, i] <= divergence_loss)
        fate = select(within & by_batches, CONVERGED, select(k == max_steps, UNFINISHED, TRAINING))
        fate = select(bounded, fate, DIVERGED)
        asked = goes_on & bounded & within & (not by_batches)
        notes[ASKED, i] = asked
        n_asked += asked
        notes[ENDS, i] = select(goes_on, fate, notes[ENDS, i])
    return n_asked


@_called_from_python
def _train_epochs(
    nets, all_notes, leaks, sgd, adam, trained, x, target, tables, orders, steps_per_epoch,
    max_steps, limits, constants, counts, everything, scratch, f, notes,
):  # fmt: skip
    """Train all networks through some epochs, or to their end, judging every state."""
    ends, all_mean = limits.ends, (constants.n_samples, constants.inverse)
    size, by_batches = counts.shape[1] - 1, orders.shape[1] > 0
    for start in range(0, nets.shape[1], LANES):
        stop = min(start + LANES, nets.shape[1])
        n = stop - start
        _copy(nets, start, f, 0, n)
        _copy(all_notes, start, notes, 0, n)
        if tables is not None:
            _forget_splits(tables)
        n_training, first = n, notes[TAKEN, 0]
        for step in range(orders.shape[0] * steps_per_epoch):
            if n_training == 0:
                break
            k = first + step
            epoch, number = divmod(step, steps_per_epoch)
            judged = number == 0 or k == max_steps
            batch = orders[epoch, number * size : (number + 1) * size] if by_batches else everything
            seen = everything if judged else batch
            mean = all_mean if judged else (counts[0, batch.size], counts[1, batch.size])
            _means(f, leaks, x, target, seen, tables, trained, mean, scratch, n, constants)
            n_asked = _judge(
                f, notes, n, leaks, sgd, adam, ends, k, judged, by_batches, limits, constants.zero,
                max_steps,
            )  # fmt: skip
            if n_asked > 0:
                for i in range(n):
                    if notes[ASKED, i]:
                        fate = _fate_within(
                            f, i, leaks, sgd, adam, x, target, tables, trained, constants
                        )
                        notes[ENDS, i] = fate if fate != TRAINING else notes[ENDS, i]
            if by_batches and judged:
                mean = counts[0, batch.size], counts[1, batch.size]
                _means(f, leaks, x, target, batch, tables, trained, mean, scratch, n, constants)
            _advance(f, notes, sgd, adam, trained, constants.zero, n)
            n_training = 0
            for i in range(n):
                n_training += notes[ENDS, i] == TRAINING
                notes[TAKEN, i] += notes[ENDS, i] == TRAINING
        _copy(f, 0, nets, start, n)
        _copy(notes, 0, all_notes, start, n)


@_called_from_python
def _tell(nets, leaks, x, target, tables, trained, constants, loss, norm):
    """Write the loss and gradient norm of final states."""
    for start in range(0, nets.shape[1], LANES):
        f = nets[:, start : start + LANES]
        for lane in range(f.shape[1]):
            i = start + lane
            if leaks is None:
                slope = None
            else:
                slope = f[SLOPE]
            gw, gb, gv, gc, loss[i], norm[i], _, _ = evaluate(
                f, lane, x, target, tables, slope, trained, constants
            )
            if leaks is not None:
                norm[i] = largest(
                    _decayed(gw, f[DECAY, lane], f[W, lane]),
                    _decayed(gb, f[DECAY + 1, lane], f[B, lane]),
                    _decayed(gv, f[DECAY + 2, lane], f[V, lane]),
                    _decayed(gc, f[DECAY + 3, lane], f[C, lane]),
                )


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
                _forget_splits(tables)
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
                    _means(f, leaks, x, target, taken, tables, trained, mean, scratch, n, constants)
                    _advance(f, notes, sgd, adam, trained, constants.zero, n)
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
