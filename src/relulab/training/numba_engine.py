"""The Numba engine: the bits of the specification at the speed of the vector units.

``LANES`` networks step together for ``BURST`` steps in a loop over lanes that LLVM vectorizes. A
lane whose state might be its last, or breaks a bound, freezes there (its update is not selected);
after the burst, such a lane is judged alone by the plain statement of the specification, which
either ends it, and then the next waiting network gets the lane, or catches up with the burst. So
the vector loop may ask a cheap question, as long as it never misses a state that ends a run. When
no network waits any more, the last ones move together and step in fewer vectors.

No fast-math anywhere: LLVM may neither reassociate nor contract. Constants come as arguments in
the networks' dtype, because Numba would widen float32 arithmetic with a literal to float64.

All kernels are in this one file, because the cache on disk, like Numba's own, looks at the file of
a function alone, and would go on using a kernel after a change of what it calls in another file.
(It is told of ``stability``, whose arithmetic is compiled here as it is. The numbers of the columns
of ``sorted_sums`` and of the outcomes are baked in: when they change, change this.)
"""

from collections.abc import Callable
from itertools import repeat
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite.binding import get_host_cpu_features
from numba.extending import intrinsic

from relulab.model.double_double import splitter
from relulab.model.outcome import Outcome
from relulab.training import orbits, stability
from relulab.training.batches import Batches
from relulab.training.kernel_cache import keep_on_disk
from relulab.training.numba_support import CompilerError
from relulab.training.sorted_sums import (
    MEAN_TARGET,
    MEAN_TARGET_LOW,
    MEAN_X,
    MEAN_X_LOW,
    N_COLUMNS,
    RESIDUAL_SUM,
    SLOPE,
    SLOPE_LOW,
    SXX,
)
from relulab.training.specification import FinalStates, Problem

# Measured on AVX-512, and flat around here for float64 and float32: all state stays in the
# first-level cache, and a run that ends within a burst wastes few steps of its lane.
LANES = 128
BURST = 48
# When no network waits any more, the lanes that go on are a multiple of this: a vector of float32.
VECTOR = 16

CONVERGED, DIVERGED, UNFINISHED, UNSTABLE = map(
    int, (Outcome.CONVERGED, Outcome.DIVERGED, Outcome.UNFINISHED, Outcome.UNSTABLE)
)
TRAINING = -1
UNDECIDED = -1  # of a period
EDGE = stability.EDGE
NO_DECAY = (0.0, 0.0, 0.0, 0.0)
# A lane's count in a burst: 1 for each step, and this besides for each from a firing state.
FIRED_BITS = 16
FIRED = 1 << FIRED_BITS
# The most steps with batches before the finished networks are sorted out.
MOST_STEPS = 4096

# The sides of a lane's split: its firing side's moments, its silent side's, then these.
SILENT = N_COLUMNS
SILENT_STT, N_FIRING, N_SILENT, X_BEFORE, X_AFTER = range(2 * N_COLUMNS, 2 * N_COLUMNS + 5)
N_SIDES = 2 * N_COLUMNS + 5

# So many samples after a guess are looked at without a branch.
NEAR = 4


class Limits(NamedTuple):
    """What a state is compared with, in the dtype of the arithmetic."""

    tolerance: Any
    divergence_loss: Any
    largest_residual: Any  # whose half square is surely below divergence_loss, and square finite
    hidden_factor: Any  # times |gb| it is the larger of the gradients of w and b that train
    largest: Any  # finite number


class Constants(NamedTuple):
    """Numbers in the dtype of the arithmetic."""

    zero: Any
    half: Any
    n_samples: Any
    splitter: Any
    resolution: float  # this and the next of ``stability``, in float64 for any dtype
    x_moments: tuple[float, float]


class Tables(NamedTuple):
    """What sorted sums need; the last three are of each lane."""

    x: Any
    moments: Any
    guesses: Any
    inverse_width: Any
    sides: Any
    splits: Any
    rising: Any  # whether w >= 0; -1 before the first look


class Orbits(NamedTuple):
    """The tolerances of ``orbits``, in the dtype of the arithmetic."""

    tolerance: Any
    seen: Any


def _ask_for_whole_vectors() -> None:
    """Let LLVM use the whole width of AVX-512, which it does not on today's processors.

    Measured a quarter faster in float64, and no bit changes. Numba has one such setting for the
    process; what NUMBA_CPU_FEATURES or NUMBA_CPU_NAME say goes first.
    """
    config: Any = numba.config
    if config.CPU_FEATURES is None and config.CPU_NAME is None:
        features = get_host_cpu_features()
        if features.get("avx512f"):
            features["prefer-256-bit"] = False
            config.CPU_FEATURES = features.flatten()


_ask_for_whole_vectors()


def _kernel(function: Callable[..., Any]) -> Any:
    """Compile without the GIL; cached on disk where there is a place to write, else anew."""
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": False,
        "forceinline": True,
    }
    kernel = numba.njit(**options)(function)
    keep_on_disk(kernel, stability)
    return kernel


def _call(kernel: Any, *arguments: Any) -> None:
    """Call a kernel, which compiles it or loads what was compiled, and so may fail.

    A kernel itself raises nothing but that there is no memory.
    """
    try:
        kernel(*arguments)
    except MemoryError:
        raise
    except Exception as error:
        raise CompilerError(f"{kernel.__name__}: {error}") from error


def run(problem: Problem) -> FinalStates:
    """Train every network of the problem until it finishes."""
    number = problem.dtype.type
    integer = np.dtype(f"i{problem.dtype.itemsize}").type  # as wide, so that vectors match
    options = problem.options
    with np.errstate(over="ignore"):
        tolerance = number(options.gradient_tolerance)  # which may be beyond float32
    divergence_loss = number(options.divergence_loss)
    trains_w, trains_b, _, _ = problem.trained
    limits = Limits(
        tolerance=tolerance,
        divergence_loss=divergence_loss,
        # 1.41 is on the safe side of rounding.
        largest_residual=np.sqrt(min(divergence_loss, np.finfo(number).max / 2)) * number(1.41),
        hidden_factor=number(max(trains_w * abs(problem.x[0]), trains_b)),  # to the bit
        largest=np.finfo(problem.dtype).max,
    )
    constants = _constants(problem)
    if problem.batches is not None:
        return _run_batches(problem, problem.batches, limits, constants)
    final = FinalStates.unfilled(problem)
    _call(
        _train,
        problem.parameters,
        problem.rates,
        np.array(problem.trained),
        problem.x,
        problem.target,
        _tables(problem, integer),
        options.max_steps,
        limits,
        constants,
        np.zeros(LANES, integer),
        (final.parameters, final.loss, final.gradient_norm),
        (final.steps_taken, final.death_step, final.outcome),
    )
    return final


def _constants(problem: Problem) -> Constants:
    number = problem.dtype.type
    return Constants(
        number(0),
        number(0.5),
        number(problem.x.size),
        splitter(number),
        stability.resolution(number),
        problem.x_moments,
    )


def _tables(problem: Problem, integer: Any) -> Tables | None:
    """Return the tables of sorted sums, with room for every lane's split; None for direct sums."""
    sums = problem.sums
    if sums is None:
        return None
    inverse_width = problem.dtype.type(1 / sums.width if sums.width else 0)
    sides = np.zeros((N_SIDES, LANES), problem.dtype)
    splits, rising = np.zeros(LANES, integer), np.full(LANES, -1, integer)
    return Tables(sums.x, sums.moments, sums.guesses, inverse_width, sides, splits, rising)


def periods(problem: Problem) -> Any:
    """Return the periods of runs whose parameters are those at max_steps; see ``orbits``."""
    number, batches = problem.dtype.type, problem.batches
    integer = np.dtype(f"i{problem.dtype.itemsize}").type
    every = np.arange(problem.x.size)
    steps = batches.steps(problem.options.max_steps) if batches else repeat(every)
    samples = [batch for _, batch in zip(range(orbits.FOLLOWED), steps, strict=False)]
    ends = np.cumsum([0, *map(len, samples)]) if batches else np.array([0, every.size])
    period = np.zeros(problem.n_nets, np.int64)
    _call(
        _follow,
        problem.parameters.copy(),
        problem.rates,
        np.array(problem.trained),
        problem.x,
        problem.target,
        _tables(problem, integer),
        np.concatenate(samples) if batches else every,
        ends,
        _constants(problem),
        np.arange(problem.x.size + 1).astype(number),
        np.empty((5, LANES), number),
        np.empty((orbits.FOLLOWED + 1, 4, LANES), number),
        np.empty((4, LANES), number),
        Orbits(number(orbits.RETURN_TOLERANCE[problem.dtype.name]), number(orbits.SEEN)),
        period,
    )
    return period


def _run_batches(
    problem: Problem, batches: Batches, limits: Limits, constants: Constants
) -> FinalStates:
    """Train where a step takes a batch: all networks go through an epoch together.

    So every network takes the same samples at the same time. The finished ones are sorted out after
    some epochs; until then they only occupy their lanes.
    """
    final = FinalStates.unfilled(problem)
    active = np.arange(problem.n_nets)
    p, rates = problem.parameters.copy(), problem.rates
    death = np.full(problem.n_nets, -1, np.int64)
    trained, step, n_epochs = np.array(problem.trained), 0, 1
    # The number of samples of a batch, in the dtype of the arithmetic.
    counts = np.arange(batches.size + 1).astype(problem.dtype)
    while active.size:
        first = step // batches.steps_per_epoch
        orders = np.stack([batches.order(first + k) for k in range(n_epochs)])
        outcome = np.full(active.size, TRAINING, np.int64)
        steps = np.full(active.size, step, np.int64)
        _call(
            _train_epochs,
            p, rates, steps, death, outcome, trained, problem.x, problem.target, orders,
            batches.steps_per_epoch, problem.options.max_steps, limits, constants, counts,
            np.empty((5, LANES), problem.dtype),
        )  # fmt: skip
        step += n_epochs * batches.steps_per_epoch
        ended = outcome != TRAINING
        runs = active[ended]
        final.parameters[:, runs] = p[:, ended]
        final.steps_taken[runs], final.death_step[runs] = steps[ended], death[ended]
        final.outcome[runs] = outcome[ended]
        active, death = active[~ended], death[~ended]
        p, rates = p[:, ~ended].copy(), rates[:, ~ended].copy()
        if 2 * n_epochs * batches.steps_per_epoch <= MOST_STEPS:
            n_epochs *= 2  # so that a short run does not wait long, nor a long one for NumPy
    _call(
        _tell_full_batch,
        final.parameters, problem.x, problem.target, trained, constants, final.loss,
        final.gradient_norm,
    )  # fmt: skip
    return final


def _emit_select(typing_context, condition, a, b):
    def emit(context, builder, signature, arguments):
        return builder.select(*arguments)

    return a(numba.types.boolean, a, b), emit


# a if the condition holds, else b, having evaluated both. Where ``a if condition else b`` branches,
# LLVM must find out that it need not, and on the way computes parts of the loops twice.
_select: Any = intrinsic(_emit_select)


@_kernel
def _sample(w, b, v, c, x, target, zero):
    """Return one sample's pre-activation, residual, gw, gb and gv (gc is the residual)."""
    pre = w * x + b
    fires = pre > zero
    h = _select(fires, pre, zero)
    residual = (v * h + c) - target
    gv = residual * h
    gb = _select(fires, residual * v, zero)
    gw = x * gb
    return pre, residual, gw, gb, gv


@_kernel
def _max(a, b):
    """Return the larger number as the vector units do: b if either is NaN."""
    return _select(a > b, a, b)


@_kernel
def _larger(a, b):
    """Return the larger number, NaN if either is."""
    return a if a > b or a != a else b


@_kernel
def _largest(gw, gb, gv, gc):
    """Return the largest absolute gradient, NaN if any is."""
    return _larger(_larger(abs(gw), abs(gb)), _larger(abs(gv), abs(gc)))


@_kernel
def _evaluate(p, lane, x, target, tables, trained, constants):
    """Return the gradients, loss, gradient norm, firing and finite of one lane's state."""
    zero, half, n_samples = constants.zero, constants.half, constants.n_samples
    w, b, v, c = p[0, lane], p[1, lane], p[2, lane], p[3, lane]
    if tables is None:
        gw = gb = gv = gc = loss = -zero  # adding to -0.0 changes no bit of the first term
        fires, finite = False, True
        for i in range(x.size):
            pre, residual, sample_gw, sample_gb, sample_gv = _sample(
                w, b, v, c, x[i], target[i], zero
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
        guess = _guess_split(w, b, sorted_x, tables.guesses, tables.inverse_width, zero)
        tables.splits[lane] = _find_split(w, b, sorted_x, guess, zero)
        tables.rising[lane] = w >= zero
        _load_sides(tables, lane)
        gw, gb, gv, gc, loss = _sorted_sums(w, b, v, c, tables.sides, lane, constants)
        fires = tables.sides[N_FIRING, lane] > zero
        low, high = w * sorted_x[0] + b, w * sorted_x[-1] + b
        finite = np.isfinite(low) and np.isfinite(high) and np.isfinite(v)
    loss /= n_samples
    gw = gw / n_samples if trained[0] else zero
    gb = gb / n_samples if trained[1] else zero
    gv = gv / n_samples if trained[2] else zero
    gc = gc / n_samples if trained[3] else zero
    norm = _largest(gw, gb, gv, gc)
    return gw, gb, gv, gc, loss, norm, fires, finite and np.isfinite(loss)


@_kernel
def _two_product(a, b, splitter, zero):
    """Return the rounded product and its error (0 where halving the digits overflows)."""
    product = a * b
    scaled_a, scaled_b = splitter * a, splitter * b
    a_high, b_high = scaled_a - (scaled_a - a), scaled_b - (scaled_b - b)
    a_low, b_low = a - a_high, b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error if error - error == zero else zero


@_kernel
def _two_sum(a, b):
    """Return the rounded sum and its error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@_kernel
def _sorted_sums(w, b, v, c, sides, lane, constants):
    """Return the sums of gw, gb, gv, gc and loss as ``training.sorted_sums`` specifies them."""
    zero, half, splitter = constants.zero, constants.half, constants.splitter
    sxx, count, silent_count = sides[SXX, lane], sides[N_FIRING, lane], sides[N_SILENT, lane]
    a, product_low = _two_product(w, sides[MEAN_X, lane], splitter, zero)
    a_low = product_low + w * sides[MEAN_X_LOW, lane]
    a, rest = _two_sum(a, b)
    a_low = rest + a_low
    y, product_low = _two_product(v, a, splitter, zero)
    y_low = product_low + v * a_low
    y, rest = _two_sum(y, c)
    y_low = rest + y_low
    e = (y - sides[MEAN_TARGET, lane]) + (y_low - sides[MEAN_TARGET_LOW, lane])
    e = e if count > zero else zero
    vw, vw_low = _two_product(v, w, splitter, zero)
    s = (vw - sides[SLOPE, lane]) + (vw_low - sides[SLOPE_LOW, lane])
    s = s if sxx > zero else zero
    d = (c - sides[SILENT + MEAN_TARGET, lane]) - sides[SILENT + MEAN_TARGET_LOW, lane]
    firing, silent, skew = count * e, silent_count * d, sxx * s
    gw = v * (sides[MEAN_X, lane] * firing + skew)
    gb = v * firing
    gv = firing * (a + a_low) + w * skew
    gc = firing + silent
    firing_loss = (sides[RESIDUAL_SUM, lane] + firing * e) + skew * s
    loss = half * (firing_loss + (sides[SILENT_STT, lane] + silent * d))
    return gw, gb, gv, gc, loss


@_kernel
def _beyond(w, b, x, rises, zero):
    """Return whether a sample lies beyond the split, in the order of x."""
    return (w * x + b > zero) == rises


@_kernel
def _guess_split(w, b, x, guesses, inverse_width, zero):
    """Return a sample shortly before the split."""
    n = x.size
    part = (-b / w - x[0]) * inverse_width
    inside = (part >= zero) & (part < n)
    slot = int(part) if inside else (n if part > zero else 0)
    return max(min(guesses[slot] - 1, n - NEAR), 0)


@_kernel
def _find_split(w, b, x, guess, zero):
    """Return the first sample beyond the split, searching from a guess outwards."""
    n, rises = x.size, w >= zero
    if n >= NEAR:
        # Nearly always it is among the next few. Counting has no branch for the processor to
        # mispredict, so that it works on several lanes at once while it waits for memory.
        before, near = 0, x[guess : guess + NEAR]
        for i in range(NEAR):
            before += 1 if (w * near[i] + b > zero) != rises else 0
        if (before > 0 or guess == 0) and (before < NEAR or guess + NEAR == n):
            return guess + before
    else:
        before = NEAR
        guess = -NEAR
    low, high, step = 0, n, NEAR
    if before:  # upwards from there, in growing steps
        low = guess + NEAR
        while low + step < n:
            if _beyond(w, b, x[low + step], rises, zero):
                high = low + step
                break
            low += step + 1
            step *= 2
    else:
        high = guess
        while high - step > 0:
            if not _beyond(w, b, x[high - step], rises, zero):
                low = high - step + 1
                break
            high -= step
            step *= 2
    while low < high:
        middle = (low + high) >> 1
        if _beyond(w, b, x[middle], rises, zero):
            high = middle
        else:
            low = middle + 1
    return high


@_kernel
def _load_sides(tables, lane):
    """Copy the moments of both sides of a lane's split."""
    x, sides, split, side = tables.x, tables.sides, tables.splits[lane], tables.rising[lane]
    n = x.size
    firing, silent = tables.moments[split, side], tables.moments[split, 1 - side]
    for column in range(N_COLUMNS):
        sides[column, lane] = firing[column]
        sides[SILENT + column, lane] = silent[column]
    sides[SILENT_STT, lane] = silent[RESIDUAL_SUM] + silent[SLOPE] * (silent[SLOPE] * silent[SXX])
    sides[N_FIRING, lane] = n - split if side else split
    sides[N_SILENT, lane] = split if side else n - split
    sides[X_BEFORE, lane] = x[max(split - 1, 0)]
    sides[X_AFTER, lane] = x[min(split, n - 1)]


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
def _rates(w, b, v, c, trained):
    """Return the rates of what trains in float64, 0 for what does not."""
    return (
        np.float64(w) if trained[0] else 0.0,
        np.float64(b) if trained[1] else 0.0,
        np.float64(v) if trained[2] else 0.0,
        np.float64(c) if trained[3] else 0.0,
    )


@_kernel
def _rest(p, lane, rates, decay, edge, slope, x, target, tables, loss, gw, gb, norm, constants):
    """Return whether descent rests at one lane's state, whose sides ``_evaluate`` has loaded."""
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
    """Return the moments of a side, whose columns begin with ``first``, for ``stability``."""
    return (
        np.float64(sides[count, lane]),
        np.float64(sides[first + MEAN_X, lane]) + np.float64(sides[first + MEAN_X_LOW, lane]),
        np.float64(sides[first + SXX, lane]),
        np.float64(sides[first + SLOPE, lane]) + np.float64(sides[first + SLOPE_LOW, lane]),
        np.float64(sides[first + MEAN_TARGET, lane])
        + np.float64(sides[first + MEAN_TARGET_LOW, lane]),
    )


@_kernel
def _alone(
    p, r, lane, age, death, n_steps, max_steps, trained, x, target, tables, limits, constants
):
    """Train one lane for at most ``n_steps``, judging every state as the specification says.

    Return outcome (TRAINING if it goes on), steps taken, death step, loss and gradient norm.
    """
    taken = 0
    while True:
        gw, gb, gv, gc, loss, norm, fires, finite = _evaluate(
            p, lane, x, target, tables, trained, constants
        )
        if finite and not fires and death < 0:
            death = age + taken
        if not finite or loss > limits.divergence_loss:
            return DIVERGED, taken, death, loss, norm
        if norm <= limits.tolerance:
            rates = _rates(r[0, lane], r[0, lane], r[1, lane], r[1, lane], trained)
            # Settled before all sums are made, as it is for the many dead.
            if (not fires and rates[3] <= EDGE) or _rest(
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
def _burst_one_sample(p, r, x, target, trained, limits, constants, counts, n_lanes):
    """Step all lanes BURST times on one sample; without ``trained``, all parameters train.

    A lane freezes where the state may have converged or may have diverged; ``limits`` are such that
    no such state is missed. ``counts`` gets each lane's steps, see FIRED.
    """
    tolerance, largest, zero = limits.tolerance, limits.largest, constants.zero
    largest_residual, hidden_factor = limits.largest_residual, limits.hidden_factor
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    trains_w = trains_b = trains_v = trains_c = True
    if trained is not None:
        trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    for _ in range(BURST):
        for i in range(n_lanes):
            pre, residual, gw, gb, gv = _sample(w[i], b[i], v[i], c[i], x, target, zero)
            size = abs(residual)
            size_c, size_v = _select(trains_c, size, zero), _select(trains_v, abs(gv), zero)
            norm = _max(_max(size_c, size_v), abs(gb) * hidden_factor)
            # A pre-activation of +inf makes the residual infinite or NaN; -inf and NaN do not.
            goes_on = (norm > tolerance) & (size <= largest_residual) & (pre >= -largest)
            w[i] = _select(goes_on & trains_w, w[i] - hidden[i] * gw, w[i])
            b[i] = _select(goes_on & trains_b, b[i] - hidden[i] * gb, b[i])
            v[i] = _select(goes_on & trains_v, v[i] - output[i] * gv, v[i])
            c[i] = _select(goes_on & trains_c, c[i] - output[i] * residual, c[i])
            counts[i] += _select(goes_on, _select(pre > zero, 1 + FIRED, 1), 0)


@_kernel
def _burst(p, r, x, target, trained, limits, constants, counts, n_lanes, sums):
    """Step all lanes BURST times on any samples, some parameters perhaps frozen; as above.

    Its loops stand here in full: calling ``_sum_up`` cost a tenth of the speed, and sharing the
    step with ``_burst_sorted`` through a function kept LLVM from vectorizing (20 times slower).
    """
    tolerance, divergence_loss, largest = limits.tolerance, limits.divergence_loss, limits.largest
    zero, half, n_samples = constants.zero, constants.half, constants.n_samples
    trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    x_min, x_max = x.min(), x.max()
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    sum_w, sum_b, sum_v, sum_c, sum_loss = sums[0], sums[1], sums[2], sums[3], sums[4]
    for _ in range(BURST):
        for i in range(n_lanes):
            sum_w[i] = sum_b[i] = sum_v[i] = sum_c[i] = sum_loss[i] = -zero
        for k in range(x.size):
            for i in range(n_lanes):
                _, residual, gw, gb, gv = _sample(w[i], b[i], v[i], c[i], x[k], target[k], zero)
                sum_w[i] += gw
                sum_b[i] += gb
                sum_v[i] += gv
                sum_c[i] += residual
                sum_loss[i] += half * (residual * residual)
        for i in range(n_lanes):
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
            counts[i] += _select(goes_on, _select(fires, 1 + FIRED, 1), 0)


@_kernel
def _move_splits(w, b, tables, moved, todo, touched, n_lanes, zero):
    """Find the split of the lanes that moved beyond it, and load its sides."""
    x, moments, splits, rising = tables.x, tables.moments, tables.splits, tables.rising
    n_moved = 0
    for i in range(n_lanes):
        todo[n_moved] = i
        n_moved += moved[i]
    # Touching what the next loop reads, in a loop so short that the processor waits for the memory
    # of many lanes at once, halves the time where the tables do not fit its caches.
    for k in range(n_moved):
        i = todo[k]
        splits[i] = _guess_split(w[i], b[i], x, tables.guesses, tables.inverse_width, zero)
    last = min(NEAR, x.size) - 1
    for k in range(n_moved):
        guess = splits[todo[k]]
        touched[0] += x[guess] + x[guess + last]
    for k in range(n_moved):
        i = todo[k]
        splits[i] = _find_split(w[i], b[i], x, splits[i], zero)
        rising[i] = w[i] >= zero
    for k in range(n_moved):
        split = splits[todo[k]]
        touched[0] += moments[split, 0, 0] + moments[split, 1, 0]
    for k in range(n_moved):
        _load_sides(tables, todo[k])


@_kernel
def _burst_sorted(p, r, tables, trained, limits, constants, counts, n_lanes):
    """Step all lanes BURST times by sorted sums; as above."""
    tolerance, divergence_loss, most = limits.tolerance, limits.divergence_loss, limits.largest
    zero, n_samples = constants.zero, constants.n_samples
    trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    x, sides, splits, rising = tables.x, tables.sides, tables.splits, tables.rising
    x_min, x_max, n = x[0], x[-1], x.size
    before, after, n_firing = sides[X_BEFORE], sides[X_AFTER], sides[N_FIRING]
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    moved, todo = np.empty(LANES, counts.dtype), np.empty(LANES + 1, np.int64)
    touched = np.zeros(1, x.dtype)
    for _ in range(BURST):
        for i in range(n_lanes):
            rises = w[i] >= zero
            # The split is the first sample beyond it: still so if the two around it say so.
            first_is = (splits[i] == 0) | ((w[i] * before[i] + b[i] > zero) != rises)
            last_is = (splits[i] == n) | ((w[i] * after[i] + b[i] > zero) == rises)
            same = (first_is & last_is & (rising[i] == rises)) | (w[i] != w[i])
            moved[i] = not same
        _move_splits(w, b, tables, moved, todo, touched, n_lanes, zero)
        for i in range(n_lanes):
            gw, gb, gv, gc, loss = _sorted_sums(w[i], b[i], v[i], c[i], sides, i, constants)
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
            w[i] = w[i] - hidden[i] * gw if goes_on & trains_w else w[i]
            b[i] = b[i] - hidden[i] * gb if goes_on & trains_b else b[i]
            v[i] = v[i] - output[i] * gv if goes_on & trains_v else v[i]
            c[i] = c[i] - output[i] * gc if goes_on & trains_c else c[i]
            counts[i] += _select(goes_on, _select(n_firing[i] > zero, 1 + FIRED, 1), 0)


@_kernel
def _note_burst(counts, age, death, max_steps, stopped, due, n_lanes):
    """Add a burst to the lanes' ages; list those that cannot take another one as they are.

    Return how many they are.
    """
    for lane in range(n_lanes):
        taken, fired = counts[lane] & (FIRED - 1), counts[lane] >> FIRED_BITS
        dies = (fired < taken) & (death[lane] < 0)
        death[lane] = _select(dies, age[lane] + fired, death[lane])
        age[lane] += taken
        stopped[lane] = (taken < BURST) | (age[lane] + BURST > max_steps)
    n_due = 0
    for lane in range(n_lanes):  # without a branch, which would be mispredicted
        due[n_due] = lane
        n_due += stopped[lane]
    return n_due


@_kernel
def _pack(p, r, run, age, death, n_lanes):
    """Move the networks that still train to the first lanes, and empty the others.

    The splits of a lane stay: a network whose split is another one's looks for it in its next step.
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


@_kernel
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
    stopped, due = np.empty(LANES, np.int64), np.empty(LANES + 1, np.int64)
    all_train = trained.all()
    n_lanes, n_loaded, n_finished = LANES, 0, 0

    while n_finished < n_nets:
        n_due = _note_burst(counts, age, death, max_steps, stopped, due, n_lanes)
        for k in range(n_due):
            lane = due[k]
            missing = BURST - (counts[lane] & (FIRED - 1)) if run[lane] >= 0 else 0
            # As long as the lane cannot take a whole burst: catch up, end, or take the next run.
            while True:
                if run[lane] < 0:
                    if n_loaded == n_nets:
                        break
                    run[lane] = n_loaded
                    for j in range(4):
                        p[j, lane] = parameters[j, n_loaded]
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
                    for j in range(4):
                        final_p[j, i] = p[j, lane]
                        p[j, lane] = np.nan
                    final_loss[i], final_norm[i] = loss, norm
                    final_steps[i], final_death[i] = age[lane], death[lane]
                    final_outcome[i] = outcome
                    run[lane] = -1
                    n_finished += 1
        n_needed = (n_nets - n_finished + VECTOR - 1) // VECTOR * VECTOR
        if n_loaded == n_nets and 2 * n_needed <= n_lanes:
            _pack(p, r, run, age, death, n_lanes)
            n_lanes = n_needed
        counts[:] = 0
        if tables is not None:
            _burst_sorted(p, r, tables, trained, limits, constants, counts, n_lanes)
        elif x.size == 1 and all_train:  # compiled apart, so that it need not ask what trains
            _burst_one_sample(p, r, x[0], target[0], None, limits, constants, counts, n_lanes)
        elif x.size == 1:
            _burst_one_sample(p, r, x[0], target[0], trained, limits, constants, counts, n_lanes)
        else:
            _burst(p, r, x, target, trained, limits, constants, counts, n_lanes, sums)


@_kernel
def _tell_full_batch(p, x, target, trained, constants, loss, norm):
    """Write loss and gradient norm of final states."""
    for i in range(p.shape[1]):
        _, _, _, _, loss[i], norm[i], _, _ = _evaluate(p, i, x, target, None, trained, constants)


@_kernel
def _sum_up(w, b, v, c, x, target, samples, sums, n_lanes, zero, half):
    """Write the sums of gw, gb, gv, gc and loss over some samples, for the first lanes."""
    sum_w, sum_b, sum_v, sum_c, sum_loss = sums[0], sums[1], sums[2], sums[3], sums[4]
    for i in range(n_lanes):
        sum_w[i] = sum_b[i] = sum_v[i] = sum_c[i] = sum_loss[i] = -zero
    for k in samples:
        for i in range(n_lanes):
            _, residual, gw, gb, gv = _sample(w[i], b[i], v[i], c[i], x[k], target[k], zero)
            sum_w[i] += gw
            sum_b[i] += gb
            sum_v[i] += gv
            sum_c[i] += residual
            sum_loss[i] += half * (residual * residual)


@_kernel
def _train_epochs(
    p, r, steps, death, outcome, trained, x, target, orders, steps_per_epoch, max_steps, limits,
    constants, counts, sums,
):  # fmt: skip
    """Train all networks through some epochs, or to their end, judging every state."""
    tolerance, divergence_loss, most = limits.tolerance, limits.divergence_loss, limits.largest
    zero, half, n_samples = constants.zero, constants.half, constants.n_samples
    trains_w, trains_b, trains_v, trains_c = trained[0], trained[1], trained[2], trained[3]
    x_min, x_max, everything = x.min(), x.max(), np.arange(x.size)
    size = counts.size - 1
    for start in range(0, p.shape[1], LANES):
        stop = min(start + LANES, p.shape[1])
        n = stop - start
        w, b, v, c = p[0, start:stop], p[1, start:stop], p[2, start:stop], p[3, start:stop]
        hidden, output = r[0, start:stop], r[1, start:stop]
        taken, died, ends = steps[start:stop], death[start:stop], outcome[start:stop]
        n_training = n
        first_step = taken[0]
        for j in range(orders.shape[0] * steps_per_epoch):
            if n_training == 0:
                break
            k = first_step + j
            epoch, number = divmod(j, steps_per_epoch)
            judged = number == 0 or k == max_steps
            batch = orders[epoch, number * size : (number + 1) * size]
            samples = everything if judged else batch
            _sum_up(w, b, v, c, x, target, samples, sums, n, zero, half)
            count = n_samples if judged else counts[batch.size]
            n_training = 0
            for i in range(n):
                low, high = w[i] * x_min + b[i], w[i] * x_max + b[i]
                loss = sums[4, i] / count
                is_finite = (abs(low) <= most) & (abs(high) <= most) & (loss <= most)
                fires = (low > zero) | (high > zero)
                goes_on = ends[i] == TRAINING
                dies = goes_on & is_finite & (not fires) & (died[i] < 0)
                died[i] = k if dies else died[i]
                norm = _largest(
                    sums[0, i] / count if trains_w else zero,
                    sums[1, i] / count if trains_b else zero,
                    sums[2, i] / count if trains_v else zero,
                    sums[3, i] / count if trains_c else zero,
                )
                state = UNFINISHED if k == max_steps else TRAINING
                state = CONVERGED if judged & (norm <= tolerance) else state
                state = state if is_finite & (loss <= divergence_loss) else DIVERGED
                ends[i] = state if goes_on else ends[i]
                n_training += ends[i] == TRAINING
            if judged:
                _sum_up(w, b, v, c, x, target, batch, sums, n, zero, half)
                count = counts[batch.size]
            for i in range(n):
                goes_on = ends[i] == TRAINING
                gw, gb, gv, gc = (
                    sums[0, i] / count, sums[1, i] / count, sums[2, i] / count, sums[3, i] / count,
                )  # fmt: skip
                w[i] = _select(goes_on & trains_w, w[i] - hidden[i] * gw, w[i])
                b[i] = _select(goes_on & trains_b, b[i] - hidden[i] * gb, b[i])
                v[i] = _select(goes_on & trains_v, v[i] - output[i] * gv, v[i])
                c[i] = _select(goes_on & trains_c, c[i] - output[i] * gc, c[i])
                taken[i] += goes_on


@_kernel
def _follow(
    p, r, trained, x, target, tables, samples, ends, constants, counts, sums, states, moved, limits,
    period,
):  # fmt: skip
    """Step all networks, without judging, and find their periods from the states.

    ``samples[ends[k]:ends[k+1]]`` are what step k takes; with a single such part, every step.
    """
    zero, half = constants.zero, constants.half
    for start in range(0, p.shape[1], LANES):
        stop = min(start + LANES, p.shape[1])
        n = stop - start
        q = p[:, start:stop]
        w, b, v, c = q[0], q[1], q[2], q[3]
        states[0, :, :n] = q
        moved[:] = zero
        for k in range(states.shape[0] - 1):
            part = k if ends.size > 2 else 0
            taken = samples[ends[part] : ends[part + 1]]
            count = counts[taken.size]
            if tables is None:
                _sum_up(w, b, v, c, x, target, taken, sums, n, zero, half)
                for j in range(4):
                    for i in range(n):
                        sums[j, i] /= count
            else:
                for i in range(n):
                    gw, gb, gv, gc, _, _, _, _ = _evaluate(
                        q, i, x, target, tables, trained, constants
                    )
                    sums[0, i], sums[1, i], sums[2, i], sums[3, i] = gw, gb, gv, gc
            for j in range(4):
                rate, here, gradient = r[0 if j < 2 else 1, start:stop], q[j], sums[j]
                state, then, most = states[k + 1, j], states[0, j], moved[j]
                for i in range(n):
                    if trained[j]:
                        here[i] -= rate[i] * gradient[i]
                    state[i] = here[i]
                    most[i] = _larger(most[i], abs(here[i] - then[i]))
        _find_periods(states, moved, n, limits, sums, zero, period[start:stop])


@_kernel
def _find_periods(states, moved, n, limits, scratch, zero, period):
    """Write the periods of the first ``n`` lanes, as ``orbits.periods`` says."""
    away, scale, near, seen = scratch[0], scratch[1], scratch[2], scratch[3]
    scale[:] = zero
    for j in range(4):
        then, most = states[0, j], moved[j]
        for i in range(n):
            size = _larger(abs(then[i]), most[i]) if most[i] > zero else zero
            scale[i] = _larger(scale[i], size)
    for i in range(n):
        near[i] = limits.tolerance * scale[i] if np.isfinite(scale[i]) else np.nan
        seen[i] = limits.seen * near[i]
        period[i] = UNDECIDED
    for q in range(1, (states.shape[0] - 1) // 2 + 1):
        away[:] = zero
        for j in range(4):
            then, now = states[0, j], states[q, j]
            for i in range(n):
                away[i] = _larger(away[i], abs(now[i] - then[i]))
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
            distance = _larger(distance, abs(states[k + q, j, i] - states[k, j, i]))
        if not distance <= seen:
            break
    return distance
