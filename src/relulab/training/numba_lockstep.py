"""Numba: ``LANES`` networks step together, and every step is judged.

This is for everything that ``numba_engine`` leaves out: batches, which all networks must take at
the same time, and slopes and optimizers other than plain descent. A network that has ended occupies
its lane until the ended ones are sorted out.
"""

from typing import Any, NamedTuple

import numpy as np

from relulab.training import numba_judging, numba_kernels, stability, update_rules
from relulab.training.numba_judging import evaluate, rates_of, rests
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
    inverses,
    largest,
    limits_of,
    refresh_sides,
    sample,
    select,
    sums_by_tables,
    tables_of,
    whole_vectors,
)
from relulab.training.specification import FinalStates, Problem
from relulab.training.update_rules import AdamRule, SGDRule
from relulab.validation import FloatArray

# The most steps before the ended networks are sorted out.
MOST_STEPS = 4096

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

_called = (stability, update_rules, numba_kernels, numba_judging)
_kernel = compiled(*_called)
_called_from_python = compiled(*_called, from_python=True)


class SGDKind(NamedTuple):
    """The numbers of an ``SGDRule`` for all networks, in the dtype of the arithmetic."""

    nesterov: bool
    clips: bool
    room: Any
    one: Any


class AdamKind(NamedTuple):
    """The numbers of an ``AdamRule`` for all networks."""

    one: Any


def run(problem: Problem) -> FinalStates:
    """Train every network of the problem until it finishes.

    All go through some epochs, then the ended ones are sorted out. A full batch is an epoch of one
    step.
    """
    final = FinalStates.unfilled(problem)
    batches, options = problem.batches, problem.options
    limits, constants, kind = limits_of(problem), constants_of(problem), kind_of(problem)
    active, nets = np.arange(problem.n_nets), table_of(problem)
    notes = np.zeros((N_NOTES, problem.n_nets), np.int64)
    notes[DIED], notes[ENDS] = -1, TRAINING
    steps_per_epoch = batches.steps_per_epoch if batches else 1
    # The numbers of samples in a batch, in the dtype of the arithmetic.
    counts = counts_of(problem, batches.size if batches else 0)
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
            counts, everything, work_arrays(),
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
    nets = table_of(problem)
    nets[:4] = final.parameters
    call(
        _tell,
        nets, kind[0], problem.x, problem.target, tables_of(problem), np.array(problem.trained),
        constants, final.loss, final.gradient_norm,
    )  # fmt: skip
    return final


def counts_of(problem: Problem, most: int) -> FloatArray:
    """Return the possible numbers of samples in a batch, and their inverses; see ``divide``."""
    counts = np.arange(most + 1)
    return np.stack([counts.astype(problem.dtype), inverses(counts, problem.dtype)])


def work_arrays() -> tuple[Any, ...]:
    """Return the work arrays of ``refresh_sides``."""
    return np.empty(LANES, np.int64), np.empty(LANES + 1, np.int64)


def table_of(problem: Problem) -> FloatArray:
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


def kind_of(problem: Problem) -> tuple[bool | None, SGDKind | None, AdamKind | None]:
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
def forget_splits(tables):
    """Make every lane find its split anew."""
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
def means(f, leaks, x, target, samples, tables, trained, mean, scratch, n, constants):
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
def advance(f, notes, sgd, adam, trained, zero, n):
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
            forget_splits(tables)
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
            means(f, leaks, x, target, seen, tables, trained, mean, scratch, n, constants)
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
                means(f, leaks, x, target, batch, tables, trained, mean, scratch, n, constants)
            advance(f, notes, sgd, adam, trained, constants.zero, n)
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
