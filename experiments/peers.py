"""The jobs of throughput.py as a user of JAX or PyTorch would write it.

Each function returns a trainer: it takes the initial w, b, v, c, shape (4, n_nets), and the rates,
shape (n_nets,), and returns the final w, b, v, c. What a trainer compiles, it compiles once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from relulab.validation import FloatArray

Trainer = Callable[[FloatArray, FloatArray], FloatArray]


class Job(NamedTuple):
    """The sample and the stopping rule."""

    x: float
    target: float
    max_steps: int
    tolerance: float


def loss(relu: Any, job: Job, p: Any) -> Any:
    """Return the loss of one network; the gradient of both libraries' relu at 0 is 0."""
    w, b, v, c = p
    return 0.5 * (v * relu(w * job.x + b) + c - job.target) ** 2


def jax_while(job: Job, chunk: int | None = None) -> Trainer:
    """``jit(vmap(while_loop))`` over all networks, or over chunks of them."""
    import jax

    jax.config.update("jax_enable_x64", True)
    gradient = jax.value_and_grad(partial(loss, jax.nn.relu, job))

    def goes_on(state: Any) -> Any:
        step, _, value, slope = state
        size = jax.numpy.abs(slope).max()
        return (step < job.max_steps) & (value <= 1e30) & (size > job.tolerance)

    def train(p: Any, rate: Any) -> Any:
        def update(state: Any) -> Any:
            step, p, _, slope = state
            p = p - rate * slope
            return (step + 1, p, *gradient(p))

        return jax.lax.while_loop(goes_on, update, (0, p, *gradient(p)))[1]

    return partial(_in_chunks, jax.jit(jax.vmap(train)), chunk)


def jax_fixed_steps(job: Job) -> Trainer:
    """``jit(vmap(fori_loop))``: max_steps for every network, no stopping."""
    import jax

    return _fixed_steps(partial(loss, jax.nn.relu, job), job.max_steps)


def jax_full_batch(x: FloatArray, target: FloatArray, n_steps: int) -> Trainer:
    """``jit(vmap(fori_loop))`` on the mean loss of many samples, no stopping."""
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

    return partial(_in_chunks, jax.jit(jax.vmap(train)), None)


def _in_chunks(
    function: Any, chunk: int | None, parameters: FloatArray, rates: FloatArray
) -> FloatArray:
    size = chunk or rates.size
    parts = [
        np.asarray(function(parameters.T[i : i + size], rates[i : i + size]))
        for i in range(0, rates.size, size)
    ]
    return np.concatenate(parts).T


def torch_steps(job: Job, *, compiled: bool = False) -> Trainer:
    """``vmap(grad)`` in a loop over the steps for all networks, stopping when all have ended."""
    import torch

    gradient = torch.func.vmap(torch.func.grad(partial(loss, torch.relu, job)))

    def update(p: Any, rate: Any) -> Any:
        slope = gradient(p)
        ended = (slope.abs().amax(dim=1) <= job.tolerance) | ~torch.isfinite(slope).all(dim=1)
        return torch.where(ended[:, None], p, p - rate * slope), ended

    if compiled:
        update = torch.compile(update)

    def train(parameters: FloatArray, rates: FloatArray) -> FloatArray:
        p, rate = torch.tensor(parameters.T), torch.tensor(rates)[:, None]
        for _ in range(job.max_steps):
            p, ended = update(p, rate)
            if ended.all():
                break
        return np.asarray(p).T

    return train
