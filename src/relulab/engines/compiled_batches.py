"""The compiled engine where a step takes a batch: all networks go through an epoch together.

So every network takes the same samples at the same time. The finished ones are sorted out after
some epochs, in NumPy; as in a burst, until then they only occupy their lanes.
"""

from typing import Any

import numpy as np

from relulab.batches import Batches
from relulab.engines.compiled_states import compiled, evaluate, largest, sample
from relulab.engines.contract import FinalStates, Problem
from relulab.outcome import Outcome

# Lanes that step together, and the most steps before the finished networks are sorted out.
LANES = 128
MOST_STEPS = 4096

CONVERGED, DIVERGED, UNFINISHED = map(
    int, (Outcome.CONVERGED, Outcome.DIVERGED, Outcome.UNFINISHED)
)
TRAINING = -1


def run_batches(
    problem: Problem, batches: Batches, limits: tuple[Any, ...], constants: tuple[Any, ...]
) -> FinalStates:
    """Train every network of the problem until it finishes."""
    final = FinalStates.unfilled(problem.n_nets, problem.dtype)
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
        _train_epochs(
            p, rates, steps, death, outcome, trained, problem.x, problem.target, orders,
            batches.steps_per_epoch, problem.stopping.max_steps, limits, constants, counts,
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
    _tell_full_batch(
        final.parameters, problem.x, problem.target, trained, constants, final.loss,
        final.gradient_norm,
    )  # fmt: skip
    return final


@compiled
def _tell_full_batch(p, x, target, trained, constants, loss, norm):
    """Write loss and gradient norm of final states."""
    for i in range(p.shape[1]):
        _, _, _, _, loss[i], norm[i], _, _ = evaluate(p, i, x, target, None, trained, constants)


@compiled
def _sum_up(w, b, v, c, x, target, samples, sums, n_lanes, zero, half):
    """Write the sums of gw, gb, gv, gc and loss over some samples, for the first lanes."""
    sum_w, sum_b, sum_v, sum_c, sum_loss = sums[0], sums[1], sums[2], sums[3], sums[4]
    for i in range(n_lanes):
        sum_w[i] = sum_b[i] = sum_v[i] = sum_c[i] = sum_loss[i] = -zero
    for k in samples:
        for i in range(n_lanes):
            _, residual, gw, gb, gv = sample(w[i], b[i], v[i], c[i], x[k], target[k], zero)
            sum_w[i] += gw
            sum_b[i] += gb
            sum_v[i] += gv
            sum_c[i] += residual
            sum_loss[i] += half * (residual * residual)


@compiled
def _train_epochs(
    p, r, steps, death, outcome, trained, x, target, orders, steps_per_epoch, max_steps, limits,
    constants, counts, sums,
):  # fmt: skip
    """Train all networks through some epochs, or to their end, judging every state."""
    tolerance, divergence_loss, _, _, most = limits
    zero, half, n_samples, _ = constants
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
            if judged:
                _sum_up(w, b, v, c, x, target, everything, sums, n, zero, half)
            else:
                samples = orders[epoch, number * size : (number + 1) * size]
                _sum_up(w, b, v, c, x, target, samples, sums, n, zero, half)
            count = n_samples if judged else counts[samples.size]
            n_training = 0
            for i in range(n):
                low, high = w[i] * x_min + b[i], w[i] * x_max + b[i]
                loss = sums[4, i] / count
                is_finite = (abs(low) <= most) & (abs(high) <= most) & (loss <= most)
                fires = (low > zero) | (high > zero)
                goes_on = ends[i] == TRAINING
                dies = goes_on & is_finite & (not fires) & (died[i] < 0)
                died[i] = k if dies else died[i]
                norm = largest(
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
                samples = orders[epoch, number * size : (number + 1) * size]
                _sum_up(w, b, v, c, x, target, samples, sums, n, zero, half)
                count = counts[samples.size]
            for i in range(n):
                goes_on = ends[i] == TRAINING
                gw, gb, gv, gc = (
                    sums[0, i] / count, sums[1, i] / count, sums[2, i] / count, sums[3, i] / count,
                )  # fmt: skip
                w[i] = w[i] - hidden[i] * gw if goes_on & trains_w else w[i]
                b[i] = b[i] - hidden[i] * gb if goes_on & trains_b else b[i]
                v[i] = v[i] - output[i] * gv if goes_on & trains_v else v[i]
                c[i] = c[i] - output[i] * gc if goes_on & trains_c else c[i]
                taken[i] += goes_on
