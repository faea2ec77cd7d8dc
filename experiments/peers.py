"""The jobs of throughput.py as a user of Numba, C++, JAX or PyTorch would write them.

Each function returns a trainer: it takes the initial w, b, v, c, shape (4, n_nets), and the rates,
shape (n_nets,), and returns the final w, b, v, c. A trainer compiles only once. All stop by the
same rule, checked before each step: the gradient is within the tolerance, the loss is above 1e30 or
NaN, or ``max_steps`` have been taken (``jax_fixed_steps`` has only the last).

Without fast math, Numba and C++ do the operations in the order of relulab's specification and give
the same bits. With it they fuse and reorder operations, as JAX always does; PyTorch's compiled code
gave our bits where it was measured. None of them does all that relulab does: relulab also checks
that descent rests where the gradient is small, finds the step at which a unit dies, and looks for
orbits.

Networks that step side by side are sorted by rate first, so that those with about the same number
of steps are together.
"""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from relulab.validation import FloatArray

Trainer = Callable[[FloatArray, FloatArray], FloatArray]
Samples = tuple[float, ...]

LANES = 16  # as in peers.cpp
SOURCE = Path(__file__).with_suffix(".cpp")
STRICT = ("-ffp-contract=off", "-fno-trapping-math")  # these change no bit


class Job(NamedTuple):
    """The samples and the stopping rule."""

    x: Samples
    target: Samples
    max_steps: int
    tolerance: float


def numba_loop(job: Job, n_threads: int = 1, *, fastmath: bool = False) -> Trainer:
    """Return a ``prange`` over networks, each in a scalar loop that ends when the network does."""
    return partial(_in_place, _on_threads(_numba_loop(job.x, job.target, fastmath), job, n_threads))


@cache
def _numba_loop(x_: Samples, target_: Samples, fastmath: bool) -> Any:
    import numba

    # To Numba, arrays from outside are constants, so the loop over samples is unrolled.
    x, target, n = np.array(x_), np.array(target_), len(x_)

    @numba.njit(parallel=True, fastmath=fastmath, error_model="numpy")
    def train(p: FloatArray, rates: FloatArray, max_steps: int, tolerance: float) -> None:
        for i in numba.prange(rates.size):
            w, b, v, c, rate = p[0, i], p[1, i], p[2, i], p[3, i], rates[i]
            for _ in range(max_steps):
                gw = gb = gv = gc = loss = -0.0  # added to anything, -0.0 changes nothing
                for k in range(n):
                    pre = w * x[k] + b
                    h = pre if pre > 0 else 0.0
                    residual = v * h + c - target[k]
                    gh = residual * v if pre > 0 else 0.0
                    gw += x[k] * gh
                    gb += gh
                    gv += residual * h
                    gc += residual
                    loss += 0.5 * (residual * residual)
                gw, gb, gv, gc, loss = gw / n, gb / n, gv / n, gc / n, loss / n
                # Twice as fast as comparing the largest of the four.
                hidden = abs(gw) <= tolerance and abs(gb) <= tolerance
                if (hidden and abs(gv) <= tolerance and abs(gc) <= tolerance) or not loss <= 1e30:
                    break
                w -= rate * gw
                b -= rate * gb
                v -= rate * gv
                c -= rate * gc
            p[0, i], p[1, i], p[2, i], p[3, i] = w, b, v, c

    return train


def numba_lanes(job: Job, n_threads: int = 1, *, fastmath: bool = False) -> Trainer:
    """Return a ``prange`` over blocks of networks, stepped in vectors until all have ended."""
    train = _numba_lanes(job.x, job.target, fastmath)
    return partial(_in_blocks, _on_threads(train, job, n_threads))


@cache
def _numba_lanes(x_: Samples, target_: Samples, fastmath: bool) -> Any:
    import numba

    x, target, n = np.array(x_), np.array(target_), len(x_)

    @numba.njit(parallel=True, fastmath=fastmath, error_model="numpy")
    def train(p: FloatArray, rates: FloatArray, max_steps: int, tolerance: float) -> None:
        for block in numba.prange(rates.size // LANES):
            here = slice(block * LANES, (block + 1) * LANES)
            w, b, v, c = p[0, here].copy(), p[1, here].copy(), p[2, here].copy(), p[3, here].copy()
            rate = rates[here].copy()  # 0 where a network has ended
            for _ in range(max_steps):
                for i in range(LANES):
                    gw = gb = gv = gc = loss = -0.0
                    for k in range(n):
                        pre = w[i] * x[k] + b[i]
                        h = pre if pre > 0 else 0.0
                        residual = v[i] * h + c[i] - target[k]
                        gh = residual * v[i] if pre > 0 else 0.0
                        gw += x[k] * gh
                        gb += gh
                        gv += residual * h
                        gc += residual
                        loss += 0.5 * (residual * residual)
                    gw, gb, gv, gc, loss = gw / n, gb / n, gv / n, gc / n, loss / n
                    size = max(max(abs(gw), abs(gb)), max(abs(gv), abs(gc)))
                    rate[i] = rate[i] if (size > tolerance) & (loss <= 1e30) else 0.0
                    w[i] -= rate[i] * gw
                    b[i] -= rate[i] * gb
                    v[i] -= rate[i] * gv
                    c[i] -= rate[i] * gc
                if not rate.any():
                    break
            p[0, here], p[1, here], p[2, here], p[3, here] = w, b, v, c

    return train


def _on_threads(train: Any, job: Job, n_threads: int) -> Any:
    import numba

    def run(p: FloatArray, rates: FloatArray) -> None:
        before = numba.get_num_threads()
        numba.set_num_threads(n_threads)
        train(p, rates, job.max_steps, job.tolerance)
        numba.set_num_threads(before)

    return run


def numba_threads() -> int:
    """Return the most threads that Numba has here."""
    import numba

    config: Any = numba.config
    return int(config.NUMBA_NUM_THREADS)


class CJob(ctypes.Structure):
    """A job as peers.cpp takes it."""

    _fields_ = (
        ("x", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
        ("max_steps", ctypes.c_long),
        ("tolerance", ctypes.c_double),
    )


def has_cpp() -> bool:
    """Return whether g++ is installed and can make a library with OpenMP."""
    try:
        _library(1, STRICT)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def cpp(job: Job, n_threads: int = 1, *, fastmath: bool = False, lanes: bool = False) -> Trainer:
    """Return peers.cpp's scalar loop, or its vectors of ``LANES`` networks."""
    library = _library(len(job.x), ("-ffast-math",) if fastmath else STRICT)
    x, target = np.array(job.x), np.array(job.target)
    function = library.lanes if lanes else library.scalar

    def train(p: FloatArray, rates: FloatArray) -> None:
        given = CJob(x.ctypes.data, target.ctypes.data, job.max_steps, job.tolerance)
        function(
            ctypes.c_void_p(p.ctypes.data), ctypes.c_void_p(rates.ctypes.data),
            ctypes.c_long(rates.size), ctypes.byref(given), ctypes.c_int(n_threads),
        )  # fmt: skip

    return partial(_in_blocks if lanes else _in_place, train)


@cache
def _library(n_samples: int, flags: tuple[str, ...]) -> ctypes.CDLL:
    """Compile peers.cpp in a temporary folder, and load the library."""
    compiler = [shutil.which("g++") or "g++", "-fopenmp"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        compiled, linked = f"{folder}/peers.o", f"{folder}/peers.so"
        how = ["-O3", "-march=native", "-fPIC", f"-DN_SAMPLES={n_samples}", *flags]
        compiling = [*compiler, *how, "-c", str(SOURCE), "-o", compiled]
        # Linked separately: with -ffast-math it would turn off denormals in the whole process.
        for call in (compiling, [*compiler, "-shared", compiled, "-o", linked]):
            subprocess.run(call, capture_output=True, check=True)
        return ctypes.CDLL(linked)


def _in_place(train: Any, parameters: FloatArray, rates: FloatArray) -> FloatArray:
    final = np.array(parameters, order="C")
    train(final, np.ascontiguousarray(rates))
    return final


def _in_blocks(train: Any, parameters: FloatArray, rates: FloatArray) -> FloatArray:
    """Train networks sorted by rate; copies of the last one fill up the last block."""
    n_more = -rates.size % LANES
    order = np.pad(np.argsort(rates), (0, n_more), mode="edge")
    final = np.empty_like(parameters)
    final[:, order] = _in_place(train, parameters[:, order], rates[order])
    return final


def loss(relu: Any, job: Job, p: Any) -> Any:
    """Return the loss of one network on one sample.

    The gradient of both libraries' relu at 0 is 0.
    """
    w, b, v, c = p
    return 0.5 * (v * relu(w * job.x[0] + b) + c - job.target[0]) ** 2


def jax_while(job: Job, chunk: int = 512, unrolled: int = 8) -> Trainer:
    """Return one ``while_loop`` for each chunk of networks, with several steps fused by XLA.

    It was measured ten times as fast as ``vmap`` of a ``while_loop``, on the best chunks of any
    order.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    gradient = jax.vmap(jax.value_and_grad(partial(loss, jax.nn.relu, job)))

    def update(state: Any) -> Any:
        step, p, rate = state
        for _ in range(unrolled):
            value, slope = gradient(p)
            size = reduce(jax.numpy.maximum, map(abs, slope))
            goes_on = (step < job.max_steps) & (value <= 1e30) & (size > job.tolerance)
            rate = jax.numpy.where(goes_on, rate, 0)  # 0 where a network has ended
            step, p = step + 1, tuple(q - rate * g for q, g in zip(p, slope, strict=True))
        return step, p, rate

    def train(p: Any, rate: Any) -> Any:
        return jax.lax.while_loop(lambda state: state[2].any(), update, (0, tuple(p), rate))[1]

    return partial(_in_chunks, jax.jit(train), chunk)


def jax_fixed_steps(job: Job) -> Trainer:
    """Return ``jit(vmap(fori_loop))``: max_steps for every network, no stopping."""
    import jax

    return _fixed_steps(partial(loss, jax.nn.relu, job), job.max_steps)


def jax_full_batch(x: FloatArray, target: FloatArray, n_steps: int) -> Trainer:
    """Return ``jit(vmap(fori_loop))`` on the mean loss of many samples, no stopping."""
    import jax

    def mean_loss(p: Any) -> Any:
        w, b, v, c = p
        return 0.5 * jax.numpy.mean((v * jax.nn.relu(w * x + b) + c - target) ** 2)

    return _fixed_steps(mean_loss, n_steps)


def _fixed_steps(loss_of_one: Callable[[Any], Any], n_steps: int) -> Trainer:
    import jax

    jax.config.update("jax_enable_x64", True)
    gradient = jax.grad(loss_of_one)

    def train(p: Any, rate: Any) -> Any:
        return jax.lax.fori_loop(0, n_steps, lambda _, p: p - rate * gradient(p), p)

    compiled = jax.jit(jax.vmap(train))
    return lambda parameters, rates: np.asarray(compiled(parameters.T, rates)).T


def torch_steps(job: Job, chunk: int = 1000, unrolled: int = 8) -> Trainer:
    """Return ``torch.compile`` of some steps of ``vmap(grad)``, called until a chunk has ended."""
    import torch

    gradient = torch.func.vmap(torch.func.grad_and_value(partial(loss, torch.relu, job)))

    @partial(torch.compile, dynamic=False)
    def update(p: Any, rate: Any) -> Any:
        for _ in range(unrolled):
            slope, value = gradient(p)
            size = reduce(torch.maximum, map(abs, slope))
            rate = torch.where((value <= 1e30) & (size > job.tolerance), rate, 0)
            p = tuple(q - rate * g for q, g in zip(p, slope, strict=True))
        return p, rate

    def train(parameters: FloatArray, rates: FloatArray) -> Any:
        p, rate = tuple(torch.tensor(parameters)), torch.tensor(rates)
        for _ in range(0, job.max_steps, unrolled):  # which divides max_steps
            p, rate = update(p, rate)
            if not rate.any():
                break
        return p

    return partial(_in_chunks, train, chunk)


def _in_chunks(train: Any, size: int, parameters: FloatArray, rates: FloatArray) -> FloatArray:
    """Train networks sorted by rate, ``size`` at a time."""
    order, final = np.argsort(rates), np.empty_like(parameters)
    for i in range(0, order.size, size):
        chunk = order[i : i + size]
        final[:, chunk] = np.stack(train(parameters[:, chunk], rates[chunk]))
    return final
