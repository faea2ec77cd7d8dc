"""Numba: the plain statement of the specification, which judges one lane at a time.

Loops over lanes use cheap tests, and ask here when a state might be the last.
"""

import numpy as np

from relulab.training import numba_kernels, stability
from relulab.training.numba_kernels import (
    CONVERGED,
    DIVERGED,
    N_FIRING,
    N_SILENT,
    SILENT,
    TRAINING,
    UNFINISHED,
    UNSTABLE,
    compiled,
    find_split,
    guess_split,
    largest,
    load_sides,
    sample,
    slot_of,
    sums_by_tables,
)
from relulab.training.sorted_sums import (
    MEAN_TARGET,
    MEAN_TARGET_LOW,
    MEAN_X,
    MEAN_X_LOW,
    SLOPE,
    SLOPE_LOW,
    SXX,
)

EDGE = stability.EDGE
NO_DECAY = (0.0, 0.0, 0.0, 0.0)

_kernel = compiled(stability, numba_kernels)


@_kernel
def alone(
    p, r, lane, age, death, n_steps, max_steps, trained, x, target, tables, limits, constants
):
    """Train one lane for at most ``n_steps``, judging every state as the specification says.

    Return outcome (TRAINING if it continues), steps taken, death step, loss and gradient norm.
    """
    taken = 0
    while True:
        gw, gb, gv, gc, loss, norm, fires, finite = evaluate(
            p, lane, x, target, tables, None, trained, constants
        )
        if finite and not fires and death < 0:
            death = age + taken
        if not finite or loss > limits.divergence_loss:
            return DIVERGED, taken, death, loss, norm
        if norm <= limits.tolerance:
            rates = rates_of(r[0, lane], r[0, lane], r[1, lane], r[1, lane], trained)
            # Decided before all sums are made, because many units are dead.
            if (not fires and rates[3] <= EDGE) or rests(
                p, lane, rates, NO_DECAY, EDGE, 0.0, x, target, tables,
                loss, gw, gb, norm, constants,
            ):  # fmt: skip
                return CONVERGED, taken, death, loss, norm
            if (
                p[0, lane] - r[0, lane] * gw == p[0, lane]
                and p[1, lane] - r[0, lane] * gb == p[1, lane]
                and p[2, lane] - r[1, lane] * gv == p[2, lane]
                and p[3, lane] - r[1, lane] * gc == p[3, lane]
            ):
                return UNSTABLE, taken, death, loss, norm
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


@_kernel
def evaluate(p, lane, x, target, tables, slope, trained, constants):
    """Return the gradients, loss, gradient norm, firing and finite of one lane's state."""
    zero, half, n_samples = constants.zero, constants.half, constants.n_samples
    w, b, v, c = p[0, lane], p[1, lane], p[2, lane], p[3, lane]
    if slope is None:
        leak = None
    else:
        leak = slope[lane]
    if tables is None:
        gw = gb = gv = gc = loss = -zero  # adding to -0.0 changes no bit of the first term
        fires, finite = False, True
        for i in range(x.size):
            pre, residual, sample_gw, sample_gb, sample_gv = sample(
                w, b, v, c, leak, x[i], target[i], zero
            )
            gw += sample_gw
            gb += sample_gb
            gv += sample_gv
            gc += residual
            loss += half * (residual * residual)
            fires = fires or pre > zero
            finite = finite and np.isfinite(pre)
    else:
        sorted_x = tables.x
        slot = slot_of(w, b, sorted_x, tables.inverse_width, zero)
        guess = guess_split(slot, sorted_x, tables.guesses)
        tables.splits[lane] = find_split(w, b, sorted_x, guess, zero)
        tables.rising[lane] = w >= zero
        load_sides(tables, lane)
        gw, gb, gv, gc, loss = sums_by_tables(w, b, v, c, leak, tables.sides, lane, constants)
        fires = tables.sides[N_FIRING, lane] > zero
        low, high = w * sorted_x[0] + b, w * sorted_x[-1] + b
        finite = np.isfinite(low) and np.isfinite(high) and np.isfinite(v)
    loss /= n_samples
    gw = gw / n_samples if trained[0] else zero
    gb = gb / n_samples if trained[1] else zero
    gv = gv / n_samples if trained[2] else zero
    gc = gc / n_samples if trained[3] else zero
    norm = largest(gw, gb, gv, gc)
    return gw, gb, gv, gc, loss, norm, fires, finite and np.isfinite(loss)


_add_sample = _kernel(stability.add_sample)
_sums_of_sides = _kernel(stability.sums_of_sides)
_size_of = _kernel(stability.size_of)
_surely_rests = _kernel(stability.surely_rests)
_settles = _kernel(stability.settles)
_decays_at = _kernel(stability.decays_at)
_rests_inactive = _kernel(stability.rests_inactive)
_valley = _kernel(stability.valley)
_below = _kernel(stability.below)
_definite = _kernel(stability.definite)


@_kernel
def rates_of(w, b, v, c, trained):
    """Return the rates of w, b, v, c in float64, 0 for frozen parameters."""
    return (
        np.float64(w) if trained[0] else 0.0,
        np.float64(b) if trained[1] else 0.0,
        np.float64(v) if trained[2] else 0.0,
        np.float64(c) if trained[3] else 0.0,
    )


@_kernel
def rests(p, lane, rates, decay, edge, slope, x, target, tables, loss, gw, gb, norm, constants):
    """Return whether descent rests at a lane's state; ``evaluate`` has loaded its sides."""
    w, b, v, c = (
        np.float64(p[0, lane]),
        np.float64(p[1, lane]),
        np.float64(p[2, lane]),
        np.float64(p[3, lane]),
    )
    gw, gb, norm, loss = np.float64(gw), np.float64(gb), np.float64(norm), np.float64(loss)
    size = _size_of(w, b, v, loss)
    if not _decays_at(decay) and _surely_rests(
        w, b, v, rates, edge, constants.x_moments, gw, gb, norm, size
    ):
        return True
    if tables is None:
        sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        for i in range(x.size):
            active = np.float64(p[0, lane] * x[i] + p[1, lane] > constants.zero)
            sums = _add_sample(
                sums, active, w, b, v, c, slope, np.float64(x[i]), np.float64(target[i])
            )
    else:
        n, mean_x, sxx, to_x, mean_target = _moments_of_side(tables.sides, lane, 0, N_FIRING)
        n_others, others_x, others_sxx, others_to_x, others_target = _moments_of_side(
            tables.sides, lane, SILENT, N_SILENT
        )
        sums = _sums_of_sides(
            w, b, v, c, slope, n, mean_x, sxx, to_x, mean_target,
            n_others, others_x, others_sxx, others_to_x, others_target,
        )  # fmt: skip
    n_samples = np.float64(x.size)
    rounding = constants.resolution * np.sqrt(2.0 * loss)
    settles, bound = _settles(sums, n_samples, w, b, v, rates, decay, rounding)
    if not settles:
        diagonal = _valley(rates, decay, norm, size)
        settles = _definite(sums, n_samples, w, b, v, rates, 1.0, diagonal)
    if settles and not bound <= edge:
        diagonal = _below(edge, rates, decay)
        settles = _definite(sums, n_samples, w, b, v, rates, -1.0, diagonal)
    return settles or (sums[0] == 0.0 and _rests_inactive(rates, decay, edge))


@_kernel
def _moments_of_side(sides, lane, first, count):
    """Return the moments of a side for ``stability``; ``first`` is its first column."""
    return (
        np.float64(sides[count, lane]),
        np.float64(sides[first + MEAN_X, lane]) + np.float64(sides[first + MEAN_X_LOW, lane]),
        np.float64(sides[first + SXX, lane]),
        np.float64(sides[first + SLOPE, lane]) + np.float64(sides[first + SLOPE_LOW, lane]),
        np.float64(sides[first + MEAN_TARGET, lane])
        + np.float64(sides[first + MEAN_TARGET_LOW, lane]),
    )
