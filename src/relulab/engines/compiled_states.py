"""What the compiled engine computes of one network's state, by direct or by sorted sums.

No fast-math anywhere: LLVM may neither reassociate nor contract. Constants come as arguments in
the networks' dtype, because Numba would widen float32 arithmetic with a literal to float64.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite.binding import get_host_cpu_features

from relulab.engines.sorted_sums import (
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

# The sides of a lane's split: its firing side's moments, then these.
SILENT_TARGET, SILENT_TARGET_LOW, SILENT_STT, N_FIRING, N_SILENT, X_BEFORE, X_AFTER = range(
    N_COLUMNS, N_COLUMNS + 7
)
N_SIDES = N_COLUMNS + 7

# So many samples after a guess are looked at without a branch.
NEAR = 4


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


def compiled(function: Callable[..., Any]) -> Any:
    """Compile without the GIL; cached on disk where there is a place to write, else anew."""
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": False,
        "forceinline": True,
    }
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # Numba finds no folder that it may write to
        return numba.njit(**options)(function)


@compiled
def sample(w, b, v, c, x, target, zero):
    """Return one sample's pre-activation, residual, gw, gb and gv (gc is the residual)."""
    pre = w * x + b
    fires = pre > zero
    h = pre if fires else zero
    residual = (v * h + c) - target
    gv = residual * h
    gb = residual * v if fires else zero
    gw = x * gb
    return pre, residual, gw, gb, gv


@compiled
def _larger(a, b):
    """Return the larger number, NaN if either is."""
    return a if a > b or a != a else b


@compiled
def largest(gw, gb, gv, gc):
    """Return the largest absolute gradient, NaN if any is."""
    return _larger(_larger(abs(gw), abs(gb)), _larger(abs(gv), abs(gc)))


@compiled
def evaluate(p, lane, x, target, tables, trained, constants):
    """Return the gradients, loss, gradient norm, firing and finite of one lane's state."""
    zero, half, n_samples, _ = constants
    w, b, v, c = p[0, lane], p[1, lane], p[2, lane], p[3, lane]
    if tables is None:
        gw = gb = gv = gc = loss = -zero  # adding to -0.0 changes no bit of the first term
        fires, finite = False, True
        for i in range(x.size):
            pre, residual, sample_gw, sample_gb, sample_gv = sample(
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
        sorted_x, moments, guesses, inverse_width, sides, splits, rising = tables
        guess = guess_split(w, b, sorted_x, guesses, inverse_width, zero)
        splits[lane] = find_split(w, b, sorted_x, guess, zero)
        rising[lane] = w >= zero
        load_sides(lane, sorted_x, moments, sides, splits[lane], rising[lane])
        gw, gb, gv, gc, loss = sorted_sums(w, b, v, c, sides, lane, constants)
        fires = sides[N_FIRING, lane] > zero
        finite = np.isfinite(w * sorted_x[0] + b) and np.isfinite(w * sorted_x[-1] + b)
    loss /= n_samples
    gw = gw / n_samples if trained[0] else zero
    gb = gb / n_samples if trained[1] else zero
    gv = gv / n_samples if trained[2] else zero
    gc = gc / n_samples if trained[3] else zero
    norm = largest(gw, gb, gv, gc)
    return gw, gb, gv, gc, loss, norm, fires, finite and np.isfinite(loss)


@compiled
def _two_product(a, b, splitter, zero):
    """Return the rounded product and its error (0 where halving the digits overflows)."""
    product = a * b
    scaled_a, scaled_b = splitter * a, splitter * b
    a_high, b_high = scaled_a - (scaled_a - a), scaled_b - (scaled_b - b)
    a_low, b_low = a - a_high, b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error if error - error == zero else zero


@compiled
def _two_sum(a, b):
    """Return the rounded sum and its error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@compiled
def sorted_sums(w, b, v, c, sides, lane, constants):
    """Return the sums of gw, gb, gv, gc and loss as ``engines.sorted_sums`` specifies them."""
    zero, half, _, splitter = constants
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
    d = (c - sides[SILENT_TARGET, lane]) - sides[SILENT_TARGET_LOW, lane]
    firing, silent, skew = count * e, silent_count * d, sxx * s
    gw = v * (sides[MEAN_X, lane] * firing + skew)
    gb = v * firing
    gv = firing * (a + a_low) + w * skew
    gc = firing + silent
    firing_loss = (sides[RESIDUAL_SUM, lane] + firing * e) + skew * s
    loss = half * (firing_loss + (sides[SILENT_STT, lane] + silent * d))
    return gw, gb, gv, gc, loss


@compiled
def _beyond(w, b, x, rises, zero):
    """Return whether a sample lies beyond the split, in the order of x."""
    return (w * x + b > zero) == rises


@compiled
def guess_split(w, b, x, guesses, inverse_width, zero):
    """Return a sample shortly before the split."""
    n = x.size
    part = (-b / w - x[0]) * inverse_width
    inside = (part >= zero) & (part < n)
    slot = int(part) if inside else (n if part > zero else 0)
    return max(min(guesses[slot] - 1, n - NEAR), 0)


@compiled
def find_split(w, b, x, guess, zero):
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


@compiled
def load_sides(lane, x, moments, sides, split, side):
    """Copy the moments of both sides of a lane's split."""
    n = x.size
    firing, silent = moments[split, side], moments[split, 1 - side]
    for column in range(N_COLUMNS):
        sides[column, lane] = firing[column]
    sides[SILENT_TARGET, lane] = silent[MEAN_TARGET]
    sides[SILENT_TARGET_LOW, lane] = silent[MEAN_TARGET_LOW]
    sides[SILENT_STT, lane] = silent[RESIDUAL_SUM] + silent[SLOPE] * (silent[SLOPE] * silent[SXX])
    sides[N_FIRING, lane] = n - split if side else split
    sides[N_SILENT, lane] = split if side else n - split
    sides[X_BEFORE, lane] = x[max(split - 1, 0)]
    sides[X_AFTER, lane] = x[min(split, n - 1)]
