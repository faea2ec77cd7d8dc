"""NumPy: networks whose unit is dead, in which only c moves; see ``numba_dead``.

They step here in bursts, in a handful of calls a step, as long as none of a burst's states may be
the last. What remains are a few steps, which the engine takes and judges as usual.
"""

import numpy as np
import numpy.typing as npt

from relulab.training.sorted_sums import MEAN_TARGET, MEAN_TARGET_LOW, SortedSums
from relulab.training.specification import FinalStates, Problem
from relulab.validation import FloatArray

# To leave the engine's window and come back costs about as much as so many steps in it.
LONG = 64
# The steps of a burst: each network takes the last one in vain.
BURST = 32
WINDOW = 8192

# The rows of a table of lanes; the last two only for sorted sums.
C, RATE, TARGET, TARGET_LOW = range(4)


def lasts(
    problem: Problem,
    mean: FloatArray,
    rate: FloatArray,
    age: npt.NDArray[np.int64],
    been_dead: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Return which networks will probably take ``LONG`` more steps; only time depends on it.

    A step multiplies c's mean residual by 1 - rate; but rounding may have stopped c.
    """
    options = problem.options
    later = np.abs(mean) * np.abs(1 - rate.astype(np.float64)) ** LONG
    result: npt.NDArray[np.bool_] = later > options.gradient_tolerance
    result |= been_dead >= LONG
    result &= later <= problem.largest_mean
    result &= age <= options.max_steps - LONG
    return result


def step_dead(problem: Problem, runs: npt.NDArray[np.intp], final: FinalStates) -> None:
    """Take steps of networks from their states in ``final``, but none from a state that may end it.

    The unit of each is dead, under plain descent on the full batch, its state finite; c trains.
    """
    table = np.stack([final.parameters[3, runs], problem.rates[1, runs]])
    if problem.sums is not None:
        table = np.concatenate([table, _mean_targets(problem.sums, final.parameters[0, runs])])
    age = final.steps_taken[runs]
    with np.errstate(all="ignore"):
        _take_bursts(problem, table, age)
    final.parameters[3, runs], final.steps_taken[runs] = table[C], age


def _mean_targets(sums: SortedSums, w: FloatArray) -> FloatArray:
    """Return the rows TARGET and TARGET_LOW: of all samples, on the silent side."""
    before, after = sums.moments[-1, 0], sums.moments[0, 1]
    silent = np.where(w >= 0, before[:, None], after[:, None])
    targets: FloatArray = silent[[MEAN_TARGET, MEAN_TARGET_LOW]]
    return targets


def _take_bursts(problem: Problem, table: FloatArray, age: npt.NDArray[np.int64]) -> None:
    """Step all networks until one of the states of the next burst may be the last."""
    options, n_nets = problem.options, age.size
    lanes = np.arange(min(WINDOW, n_nets))
    n_loaded, here, left = lanes.size, table[:, lanes], options.max_steps - age[lanes]
    while lanes.size:
        before = here[C].copy()
        smallest, largest = _burst(problem, here)
        goes_on = (smallest > options.gradient_tolerance) & (largest <= problem.largest_mean)
        goes_on &= left >= BURST
        left -= BURST
        ended = np.flatnonzero(~goes_on)
        if not ended.size:
            continue
        table[C, lanes[ended]] = before[ended]
        age[lanes[ended]] = options.max_steps - BURST - left[ended]
        n_new = min(ended.size, n_nets - n_loaded)
        new, emptied = ended[:n_new], ended[n_new:]
        lanes[new] = np.arange(n_loaded, n_loaded + n_new)
        here[:, new], left[new] = table[:, lanes[new]], options.max_steps - age[lanes[new]]
        n_loaded += n_new
        if emptied.size:
            lanes, left = np.delete(lanes, emptied), np.delete(left, emptied)
            here = np.delete(here, emptied, axis=1)


def _burst(problem: Problem, here: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Move c; return the smallest and largest size of its gradient in the states before."""
    c, rate = here[C], here[RATE]
    mean, size, one = np.empty((3, c.size), c.dtype)
    smallest, largest = np.full(c.size, np.inf, c.dtype), np.zeros(c.size, c.dtype)
    count = problem.dtype.type(problem.x.size)
    for _ in range(BURST):
        if problem.sums is None:
            np.subtract(c, problem.target[0], out=mean)
            for target in problem.target[1:]:
                np.subtract(c, target, out=one)
                np.add(mean, one, out=mean)
        else:
            np.subtract(c, here[TARGET], out=mean)
            np.subtract(mean, here[TARGET_LOW], out=mean)
            np.multiply(mean, count, out=mean)
        if problem.x.size > 1:
            np.divide(mean, count, out=mean)
        np.abs(mean, out=size)
        np.minimum(smallest, size, out=smallest)
        np.maximum(largest, size, out=largest)
        np.multiply(mean, rate, out=mean)
        np.subtract(c, mean, out=c)
    return smallest, largest
