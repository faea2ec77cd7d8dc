"""The Numba kernels that all ways of stepping share: samples, sorted sums, splits.

No fast-math anywhere: LLVM may neither reassociate nor contract. Constants are arguments in the
networks' dtype, because Numba would widen float32 arithmetic with a literal to float64.

Like Numba's own, the cache on disk checks only the file of a kernel. It would miss a change of a
function that the kernel calls in another file, so ``compiled`` gets those files. The numbers of the
columns of ``sorted_sums`` and of the outcomes are repeated here: change both together.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from relulab.model.double_double import splitter
from relulab.model.outcome import Outcome
from relulab.training import stability
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
from relulab.training.specification import Problem
from relulab.validation import FloatArray

# Measured on AVX-512; the optimum is flat for float64 and float32. All state stays in the
# first-level cache, and a run that ends within a burst wastes few steps of its lane.
LANES = 128

# The most steps without a test of the result.
MOST_STEPS = 256

CONVERGED, DIVERGED, UNFINISHED, UNSTABLE = map(
    int, (Outcome.CONVERGED, Outcome.DIVERGED, Outcome.UNFINISHED, Outcome.UNSTABLE)
)
TRAINING = -1

# The sides of a lane's split: the moments of the firing and of the silent side, then these.
SILENT = N_COLUMNS
SILENT_STT, N_FIRING, N_SILENT, X_BEFORE, X_AFTER = range(2 * N_COLUMNS, 2 * N_COLUMNS + 5)
N_SIDES = 2 * N_COLUMNS + 5

# The number of samples after a guess that are tested without a branch.
NEAR = 4


class Limits(NamedTuple):
    """The limits to compare a state with, in the dtype of the arithmetic."""

    tolerance: Any
    divergence_loss: Any
    largest_residual: Any  # its half square is surely below divergence_loss, its square finite
    hidden_factor: Any  # times |gb|: the larger of the gradients of w and b, if they train
    largest_sum: Any  # of losses: their mean is surely at most divergence_loss
    largest: Any  # finite number
    largest_mean: Any  # residual of a dead unit: its loss is surely at most divergence_loss
    reach: Any  # of w, b and their step: within it pre-activations are surely finite
    ends: Any  # the smallest and the largest x


class Constants(NamedTuple):
    """Numbers in the dtype of the arithmetic."""

    zero: Any
    half: Any
    one: Any
    n_samples: Any
    inverse: Any  # of n_samples, see ``inverses``
    splitter: Any
    resolution: float  # this and the next are of ``stability``, in float64 for any dtype
    x_moments: tuple[float, float]


class Tables(NamedTuple):
    """The input of sorted sums; the last three are per lane."""

    x: Any
    moments: Any
    guesses: Any
    inverse_width: Any
    leaks: bool  # whether the silent side's moments matter
    sides: Any
    splits: Any
    rising: Any  # whether w >= 0; -1 before the first look


def _emit_whole_vectors(typing_context):
    def emit(context, builder, signature, arguments):
        # llvmlite does not know this attribute; so bypass its own ``add``.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return numba.types.void(), emit


# Let LLVM use the whole width of AVX-512, if the processor has it, in the calling function, instead
# of the half that LLVM prefers on many processors. Measured a quarter faster in float64, and no bit
# changes. Set for each function: Numba's setting for the process only works before anything is
# compiled.
whole_vectors: Any = intrinsic(_emit_whole_vectors)


def compiled(*called: ModuleType, from_python: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles without the GIL.

    The code is cached on disk if there is a place to write; ``called`` are the modules whose
    functions it calls. Only functions called ``from_python`` get wrappers, which take time to
    compile.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": False,
        "forceinline": True,
        "no_cpython_wrapper": not from_python,
        "no_cfunc_wrapper": True,
    }

    def decorate(function: Callable[..., Any]) -> Any:
        kernel = numba.njit(**options)(function)
        keep_on_disk(kernel, *called)
        return kernel

    return decorate


_kernel = compiled(stability)


def call(kernel: Any, *arguments: Any) -> None:
    """Call a kernel; this compiles it or loads compiled code, and so may fail.

    The kernel itself raises only MemoryError.
    """
    try:
        kernel(*arguments)
    except MemoryError:
        raise
    except Exception as error:
        raise CompilerError(f"{kernel.__name__}: {error}") from error


def limits_of(problem: Problem) -> Limits:
    """Return the limits to compare states with."""
    number, options = problem.dtype.type, problem.options
    with np.errstate(over="ignore"):
        tolerance = number(options.gradient_tolerance)  # may be beyond float32
    divergence_loss = number(options.divergence_loss)
    trains_w, trains_b, _, _ = problem.trained
    n, most = problem.x.size, np.finfo(problem.dtype).max
    return Limits(
        tolerance=tolerance,
        divergence_loss=divergence_loss,
        # 1.41 allows for rounding.
        largest_residual=np.sqrt(min(divergence_loss, most / 2)) * number(1.41),
        hidden_factor=number(max(trains_w * abs(problem.x[0]), trains_b)),  # to the bit
        largest_sum=min(divergence_loss, most / n) * number(0.999 * n),
        largest=most,
        largest_mean=problem.largest_mean,
        reach=number(most / 4 / MOST_STEPS / (1 + np.abs(problem.x).max())),
        ends=(problem.x.min(), problem.x.max()),
    )


def integer_of(problem: Problem) -> Any:
    """Return the integer type as wide as the floats, so that vectors match."""
    return np.dtype(f"i{problem.dtype.itemsize}").type


def inverses(counts: npt.NDArray[np.int64], dtype: np.dtype[Any]) -> FloatArray:
    """Return 1 / count for powers of 2, where multiplying gives the same bits; 0 for others."""
    exact = (counts > 0) & (counts & (counts - 1) == 0)
    return np.where(exact, 1 / np.maximum(counts, 1), 0).astype(dtype)


def constants_of(problem: Problem) -> Constants:
    """Return numbers in the dtype of the problem."""
    number = problem.dtype.type
    return Constants(
        number(0),
        number(0.5),
        number(1),
        number(problem.x.size),
        inverses(np.array([problem.x.size]), problem.dtype)[0],
        splitter(number),
        stability.resolution(number),
        problem.x_moments,
    )


def tables_of(problem: Problem) -> Tables | None:
    """Return the tables of sorted sums, with space for each lane's split; None for direct sums."""
    sums = problem.sums
    if sums is None:
        return None
    inverse_width = problem.dtype.type(1 / sums.width if sums.width else 0)
    sides = np.zeros((N_SIDES, LANES), problem.dtype)
    integer = integer_of(problem)
    splits, rising = np.zeros(LANES, integer), np.full(LANES, -1, integer)
    leaks = problem.slope is not None
    return Tables(sums.x, sums.moments, sums.guesses, inverse_width, leaks, sides, splits, rising)


def _emit_in_lanes(typing_context, table):
    def emit(context, builder, signature, arguments):
        array = context.make_array(table)(context, builder, arguments[0])
        size = context.get_abi_sizeof(context.get_data_type(table.dtype))
        rows = cgutils.unpack_tuple(builder, array.shape)[0]
        lanes, row, item = (
            context.get_constant(numba.types.intp, number) for number in (LANES, LANES * size, size)
        )
        array.shape = cgutils.pack_array(builder, [rows, lanes])
        array.strides = cgutils.pack_array(builder, [row, item])
        return impl_ret_borrowed(context, builder, table, array._getvalue())

    return table(table), emit


# Tell LLVM that a table has ``LANES`` columns. Then it knows that rows do not overlap: it need not
# check that before each loop, nor keep a scalar loop for overlapping rows, which it would also use
# for few lanes.
in_lanes: Any = intrinsic(_emit_in_lanes)


def _emit_select(typing_context, condition, a, b):
    def emit(context, builder, signature, arguments):
        return builder.select(*arguments)

    return a(numba.types.boolean, a, b), emit


# a if the condition holds, else b, with both evaluated. ``a if condition else b`` branches; LLVM
# must find out that it need not, and then computes parts of the loops twice.
select: Any = intrinsic(_emit_select)


def _emit_prefetch(typing_context, array, index):
    def emit(context, builder, signature, arguments):
        pointer = context.make_array(array)(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(pointer, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        # For reading, kept in all caches; data, not code.
        builder.call(function, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return numba.types.void(array, numba.types.intp), emit


# Start to fetch an element of a contiguous array, by its place in memory, without waiting.
prefetch: Any = intrinsic(_emit_prefetch)


@_kernel
def sample(w, b, v, c, slope, x, target, zero):
    """Return one sample's pre-activation, residual, gw, gb and gv (gc is the residual)."""
    pre = w * x + b
    fires = pre > zero
    if slope is None:
        h = select(fires, pre, zero)
    else:
        leaks = slope > zero
        h = select(fires, pre, select(leaks, slope * pre, zero))
    residual = (v * h + c) - target
    gv = residual * h
    if slope is None:
        gb = select(fires, residual * v, zero)
    else:
        back = residual * v
        gb = select(fires, back, select(leaks, slope * back, zero))
    gw = x * gb
    return pre, residual, gw, gb, gv


@_kernel
def maximum(a, b):
    """Return the larger number as vector units do: b if either is NaN."""
    return select(a > b, a, b)


@_kernel
def minimum(a, b):
    """Return the smaller number; b if either is NaN."""
    return select(a < b, a, b)


@_kernel
def larger(a, b):
    """Return the larger number, NaN if either is."""
    return a if a > b or a != a else b


@_kernel
def largest(gw, gb, gv, gc):
    """Return the largest absolute gradient, NaN if any is."""
    return larger(larger(abs(gw), abs(gb)), larger(abs(gv), abs(gc)))


@_kernel
def step_on_one_sample(p, r, x, target, smallest, biggest, zero, n_steps, n_lanes):
    """Step all lanes ``n_steps`` times on one sample without tests, all parameters trained.

    Keep the smallest and the biggest size of the residuals on the way.
    """
    p, r = in_lanes(p), in_lanes(r)
    whole_vectors()
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    for _ in range(n_steps):
        for i in range(n_lanes):
            _, residual, gw, gb, gv = sample(w[i], b[i], v[i], c[i], None, x, target, zero)
            size = abs(residual)
            least, most = minimum(size, smallest[i]), maximum(size, biggest[i])
            w[i] -= hidden[i] * gw
            b[i] -= hidden[i] * gb
            v[i] -= output[i] * gv
            c[i] -= output[i] * residual
            # At the end: LLVM would turn the first store into a masked one, which is slow on AMD
            # processors without AVX-512. Where there is no other store, ``+ zero`` prevents it.
            smallest[i], biggest[i] = least, most


@_kernel
def add_two(w, b, v, c, x, target, next_x, next_target, gw, gb, gv, gc, loss, zero, half):
    """Return the sums of gw, gb, gv, gc and losses with two more samples, added in turn."""
    _, residual, one_w, one_b, one_v = sample(w, b, v, c, None, x, target, zero)
    _, other, two_w, two_b, two_v = sample(w, b, v, c, None, next_x, next_target, zero)
    return (
        (gw + one_w) + two_w,
        (gb + one_b) + two_b,
        (gv + one_v) + two_v,
        (gc + residual) + other,
        (loss + half * (residual * residual)) + half * (other * other),
    )


@_kernel
def add_up(p, x, target, n_added, sums, constants, n_lanes):
    """Write sums of gw, gb, gv, gc and losses over the first samples into the rows of ``sums``.

    Two samples at a time, to read and write the sums half as often.
    """
    p, sums = in_lanes(p), in_lanes(sums)
    whole_vectors()
    zero, half = constants.zero, constants.half
    w, b, v, c = p[0], p[1], p[2], p[3]
    sum_w, sum_b, sum_v, sum_c, sum_loss = sums[0], sums[1], sums[2], sums[3], sums[4]
    if n_added & 1:
        for i in range(n_lanes):
            _, residual, gw, gb, gv = sample(w[i], b[i], v[i], c[i], None, x[0], target[0], zero)
            sum_w[i], sum_b[i], sum_v[i], sum_c[i] = gw, gb, gv, residual
            sum_loss[i] = half * (residual * residual)
    else:
        for i in range(n_lanes):
            sum_w[i], sum_b[i], sum_v[i], sum_c[i], sum_loss[i] = add_two(
                w[i], b[i], v[i], c[i], x[0], target[0], x[1], target[1],
                -zero, -zero, -zero, -zero, -zero, zero, half,
            )  # fmt: skip
    for k in range(2 - (n_added & 1), n_added, 2):
        for i in range(n_lanes):
            sum_w[i], sum_b[i], sum_v[i], sum_c[i], sum_loss[i] = add_two(
                w[i], b[i], v[i], c[i], x[k], target[k], x[k + 1], target[k + 1],
                sum_w[i], sum_b[i], sum_v[i], sum_c[i], sum_loss[i], zero, half,
            )  # fmt: skip


@_kernel
def divide(sums, count, inverse, n_lanes):
    """Turn the first four rows of sums into means; ``inverse`` is 1 / count if exact, else 0.

    A division costs as much as two samples.
    """
    sums = in_lanes(sums)
    whole_vectors()
    for j in range(4):
        if inverse > 0:
            for i in range(n_lanes):
                sums[j, i] *= inverse
        else:
            for i in range(n_lanes):
                sums[j, i] /= count


@_kernel
def step_on_samples(p, r, x, target, trained, sums, seen, constants, n_steps, n_lanes):
    """Step all lanes ``n_steps`` times on any samples without tests.

    Keep the smallest and the largest gradient norm and the largest sum of losses on the way in the
    rows of ``seen``; they may miss a NaN. The last two samples are added as the step is made, so
    the sums of two or three samples stay in registers.
    """
    p, r, sums, seen = in_lanes(p), in_lanes(r), in_lanes(sums), in_lanes(seen)
    whole_vectors()
    zero, half = constants.zero, constants.half
    w, b, v, c = p[0], p[1], p[2], p[3]
    sum_w, sum_b, sum_v, sum_c, sum_loss = sums[0], sums[1], sums[2], sums[3], sums[4]
    n_added, count, inverse = max(x.size - 2, 0), constants.n_samples, constants.inverse
    last, last_target = x[x.size - 1], target[x.size - 1]
    next_to_last, next_target = x[n_added], target[n_added]
    if n_added == 0:
        for i in range(n_lanes):
            sum_w[i] = sum_b[i] = sum_v[i] = sum_c[i] = sum_loss[i] = -zero
    for _ in range(n_steps):
        if n_added > 0:
            add_up(p, x, target, n_added, sums, constants, n_lanes)
        if x.size == 1:
            for i in range(n_lanes):
                _, residual, gw, gb, gv = sample(
                    w[i], b[i], v[i], c[i], None, last, last_target, zero
                )
                loss = half * (residual * residual)
                take_step(p, r, seen, i, gw, gb, gv, residual, loss, trained, zero)
        elif inverse > 0:
            for i in range(n_lanes):
                gw, gb, gv, gc, loss = add_two(
                    w[i], b[i], v[i], c[i], next_to_last, next_target, last, last_target,
                    sum_w[i], sum_b[i], sum_v[i], sum_c[i], sum_loss[i], zero, half,
                )  # fmt: skip
                take_step(
                    p, r, seen, i, gw * inverse, gb * inverse, gv * inverse, gc * inverse, loss,
                    trained, zero,
                )  # fmt: skip
        else:
            for i in range(n_lanes):
                gw, gb, gv, gc, loss = add_two(
                    w[i], b[i], v[i], c[i], next_to_last, next_target, last, last_target,
                    sum_w[i], sum_b[i], sum_v[i], sum_c[i], sum_loss[i], zero, half,
                )  # fmt: skip
                take_step(
                    p, r, seen, i, gw / count, gb / count, gv / count, gc / count, loss,
                    trained, zero,
                )  # fmt: skip


@_kernel
def take_step(p, r, seen, i, gw, gb, gv, gc, loss, trained, zero):
    """Take the step of one lane; keep the same numbers as ``step_on_samples``."""
    w, b, v, c, hidden, output = p[0], p[1], p[2], p[3], r[0], r[1]
    smallest, biggest, heaviest = seen[0], seen[1], seen[2]
    gw = select(trained[0], gw, zero)
    gb = select(trained[1], gb, zero)
    gv = select(trained[2], gv, zero)
    gc = select(trained[3], gc, zero)
    norm = maximum(maximum(abs(gw), abs(gb)), maximum(abs(gv), abs(gc)))
    least, most = minimum(norm, smallest[i]), maximum(norm, biggest[i])
    heavy = maximum(loss, heaviest[i])
    w[i] -= hidden[i] * gw
    b[i] -= hidden[i] * gb
    v[i] -= output[i] * gv
    c[i] -= output[i] * gc
    smallest[i], biggest[i], heaviest[i] = least, most, heavy


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
def _residuals(w, b, v, c, sides, first, count, lane, splitter, zero):
    """Return mean and slope of a side's residuals and its mean activation; see ``sorted_sums``.

    ``first`` is the side's first column, ``count`` the number of its samples.
    """
    a, product_low = _two_product(w, sides[first + MEAN_X, lane], splitter, zero)
    a_low = product_low + w * sides[first + MEAN_X_LOW, lane]
    a, rest = _two_sum(a, b)
    a_low = rest + a_low
    y, product_low = _two_product(v, a, splitter, zero)
    y_low = product_low + v * a_low
    y, rest = _two_sum(y, c)
    y_low = rest + y_low
    e = (y - sides[first + MEAN_TARGET, lane]) + (y_low - sides[first + MEAN_TARGET_LOW, lane])
    e = e if count > zero else zero
    vw, vw_low = _two_product(v, w, splitter, zero)
    s = (vw - sides[first + SLOPE, lane]) + (vw_low - sides[first + SLOPE_LOW, lane])
    s = s if sides[first + SXX, lane] > zero else zero
    return e, s, a + a_low


@_kernel
def sums_by_tables(w, b, v, c, slope, sides, lane, constants):
    """Return the sums of gw, gb, gv, gc and loss as ``training.sorted_sums`` specifies them."""
    zero, half, splitter = constants.zero, constants.half, constants.splitter
    count, silent_count = sides[N_FIRING, lane], sides[N_SILENT, lane]
    e, s, a = _residuals(w, b, v, c, sides, 0, count, lane, splitter, zero)
    d = (c - sides[SILENT + MEAN_TARGET, lane]) - sides[SILENT + MEAN_TARGET_LOW, lane]
    firing, silent, skew = count * e, silent_count * d, sides[SXX, lane] * s
    gw = v * (sides[MEAN_X, lane] * firing + skew)
    gb = v * firing
    gv = firing * a + w * skew
    firing_loss = (sides[RESIDUAL_SUM, lane] + firing * e) + skew * s
    silent_loss = sides[SILENT_STT, lane] + silent * d
    if slope is not None:
        u, leaks = slope * v, slope > zero
        e, s, a = _residuals(w, b, u, c, sides, SILENT, silent_count, lane, splitter, zero)
        leaking, skew = silent_count * e, sides[SILENT + SXX, lane] * s
        gw = select(leaks, gw + u * (sides[SILENT + MEAN_X, lane] * leaking + skew), gw)
        gb = select(leaks, gb + u * leaking, gb)
        gv = select(leaks, gv + slope * (leaking * a + w * skew), gv)
        loss = (sides[SILENT + RESIDUAL_SUM, lane] + leaking * e) + skew * s
        silent, silent_loss = select(leaks, leaking, silent), select(leaks, loss, silent_loss)
    return gw, gb, gv, firing + silent, half * (firing_loss + silent_loss)


@_kernel
def _beyond(w, b, x, rises, zero):
    """Return whether a sample lies beyond the split, in the order of x."""
    return (w * x + b > zero) == rises


@_kernel
def slot_of(w, b, x, inverse_width, zero):
    """Return the part of the range of x that contains the split."""
    part = (-b / w - x[0]) * inverse_width
    part = select(part > zero, part, zero)  # 0 also if it is NaN
    return select(part < x.size, int(part), x.size)


@_kernel
def guess_split(slot, x, guesses):
    """Return a sample shortly before the split."""
    return max(min(guesses[np.uintp(slot)] - 1, x.size - NEAR), 0)


@_kernel
def find_split(w, b, x, guess, zero):
    """Return the first sample beyond the split, searching outward from a guess."""
    n, rises = x.size, w >= zero
    if n >= NEAR:
        # Nearly always it is among the next few. Counting has no branch to mispredict, so the
        # processor works on several lanes at once while it waits for memory.
        before = 0
        for i in range(NEAR):
            before += 1 if (w * x[np.uintp(guess + i)] + b > zero) != rises else 0
        if (before > 0 or guess == 0) and (before < NEAR or guess + NEAR == n):
            return guess + before
    else:
        before = NEAR
        guess = -NEAR
    low, high, step = 0, n, NEAR
    if before:  # upward from there, in growing steps
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
def load_sides(tables, lane):
    """Copy the moments of both sides of a lane's split."""
    x, sides, split, side = tables.x, tables.sides, tables.splits[lane], tables.rising[lane]
    n, moments = x.size, tables.moments[np.uintp(split)]
    firing, silent = moments[np.uintp(side)], moments[np.uintp(1 - side)]
    for column in range(N_COLUMNS):
        sides[column, lane] = firing[column]
    if tables.leaks:
        for column in range(N_COLUMNS):
            sides[SILENT + column, lane] = silent[column]
    else:
        sides[SILENT + MEAN_TARGET, lane] = silent[MEAN_TARGET]
        sides[SILENT + MEAN_TARGET_LOW, lane] = silent[MEAN_TARGET_LOW]
    sides[SILENT_STT, lane] = silent[RESIDUAL_SUM] + silent[SLOPE] * (silent[SLOPE] * silent[SXX])
    sides[N_FIRING, lane] = n - split if side else split
    sides[N_SILENT, lane] = split if side else n - split
    sides[X_BEFORE, lane] = x[np.uintp(max(split - 1, 0))]
    sides[X_AFTER, lane] = x[np.uintp(min(split, n - 1))]


@_kernel
def move_splits(w, b, tables, moved, todo, n_lanes, zero):
    """Find the split of the lanes that moved beyond it, and load its sides."""
    x, moments, splits, rising = tables.x, tables.moments, tables.splits, tables.rising
    n_moved = 0
    for i in range(n_lanes):
        todo[n_moved] = i
        n_moved += moved[i]
    # Each loop prefetches what the next one reads, for many lanes at once. Places are unsigned:
    # Numba tests whether signed ones count from the end. This and no branches saved a quarter.
    for k in range(n_moved):
        lane = np.uintp(todo[k])
        splits[lane] = slot_of(w[lane], b[lane], x, tables.inverse_width, zero)
        prefetch(tables.guesses, splits[lane])
    last = min(NEAR, x.size) - 1
    for k in range(n_moved):
        lane = np.uintp(todo[k])
        splits[lane] = guess_split(splits[lane], x, tables.guesses)
        prefetch(x, splits[lane])
        prefetch(x, splits[lane] + last)
    for k in range(n_moved):
        lane = np.uintp(todo[k])
        splits[lane] = find_split(w[lane], b[lane], x, splits[lane], zero)
        rising[lane] = w[lane] >= zero
        prefetch(moments, splits[lane] * (2 * N_COLUMNS))
        prefetch(moments, splits[lane] * (2 * N_COLUMNS) + N_COLUMNS)
    for k in range(n_moved):
        load_sides(tables, np.uintp(todo[k]))


@_kernel
def refresh_sides(w, b, tables, moved, todo, n_lanes, zero):
    """Find the splits of the lanes that moved beyond theirs, and load their sides."""
    whole_vectors()
    sides, splits, rising, n = tables.sides, tables.splits, tables.rising, tables.x.size
    before, after = sides[X_BEFORE], sides[X_AFTER]
    for i in range(n_lanes):
        rises = w[i] >= zero
        # The split is the first sample beyond it; its two neighbors show if it still is.
        first_is = (splits[i] == 0) | ((w[i] * before[i] + b[i] > zero) != rises)
        last_is = (splits[i] == n) | ((w[i] * after[i] + b[i] > zero) == rises)
        same = (first_is & last_is & (rising[i] == rises)) | (w[i] != w[i])
        moved[i] = not same
    move_splits(w, b, tables, moved, todo, n_lanes, zero)
