"""The specification as a plain Python loop over one network: slow, obvious, independent."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Final:
    w: float
    b: float
    v: float
    c: float
    loss: float
    gradient_norm: float
    steps_taken: int
    death_step: int
    period: int
    outcome: str
    unit: str


def evaluate(w, b, v, c, samples, number):
    """Return the mean gradients and loss over samples, whether any fires, whether all is finite."""
    zero, half, n = number(0), number(0.5), number(len(samples))
    sums = None
    fires, finite = False, True
    for x, target in samples:
        pre = w * x + b
        h = pre if pre > 0 else zero
        residual = (v * h + c) - target
        gv = residual * h
        gc = residual
        gh = residual * v
        gw = x * gh if pre > 0 else zero
        gb = gh if pre > 0 else zero
        terms = [gw, gb, gv, gc, half * (residual * residual)]
        sums = terms if sums is None else [s + t for s, t in zip(sums, terms, strict=True)]
        fires = fires or pre > 0
        finite = finite and math.isfinite(pre)
    *gradients, loss = (s / n for s in sums)
    finite = finite and all(math.isfinite(p) for p in (w, b, v, c, loss))
    return gradients, loss, fires, finite


def train_one(
    start,
    x,
    target,
    hidden_rate,
    output_rate,
    freeze=(),
    max_steps=10_000,
    gradient_tolerance=1e-6,
    divergence_loss=1e30,
    batch_size=None,
    order=range,
    number=float,
):
    """Train one network; ``number`` is float or numpy.float32, ``order(n)`` of the next epoch."""
    w, b, v, c = (number(p) for p in start)
    samples = [(number(s), number(t)) for s, t in zip(x, target, strict=True)]
    hidden_rate, output_rate = number(hidden_rate), number(output_rate)
    gradient_tolerance, divergence_loss = number(gradient_tolerance), number(divergence_loss)
    death_step, period, waiting = -1, 0, []

    def next_batch():
        if not waiting:
            ordered = [samples[i] for i in order(len(samples))]
            size = batch_size or len(samples)
            waiting.extend(ordered[i : i + size] for i in range(0, len(samples), size))
        return waiting[0]

    def updated(w, b, v, c, gradients):
        gw, gb, gv, gc = gradients
        if "w" not in freeze:
            w = w - hidden_rate * gw
        if "b" not in freeze:
            b = b - hidden_rate * gb
        if "v" not in freeze:
            v = v - output_rate * gv
        if "c" not in freeze:
            c = c - output_rate * gc
        return w, b, v, c

    for k in range(max_steps + 1):
        new_epoch = not waiting
        batch = next_batch()
        full_gradients, full_loss, fires, finite = evaluate(w, b, v, c, samples, number)
        full_gradients = [
            number(0) if p in freeze else g for p, g in zip("wbvc", full_gradients, strict=True)
        ]
        absolute = [abs(g) for g in full_gradients]
        norm = math.nan if any(math.isnan(g) for g in absolute) else max(absolute)
        judged = new_epoch or k == max_steps
        gradients, batch_loss, _, batch_finite = evaluate(w, b, v, c, batch, number)
        if not judged:
            # The pre-activations of all samples, but the loss of the coming batch.
            finite = all(math.isfinite(w * s + b) for s, _ in samples) and batch_finite
        loss = full_loss if judged else batch_loss
        if finite and not fires and death_step < 0:
            death_step = k
        if not finite or loss > divergence_loss:
            outcome = "diverged"
        elif judged and norm <= gradient_tolerance:
            outcome = "converged"
        elif k == max_steps:
            states = [(w, b, v, c)]
            while len(states) <= 128:
                gradients, *_ = evaluate(*states[-1], next_batch(), number)
                states.append(updated(*states[-1], gradients))
                del waiting[0]
            period = period_of(states, number)
            outcome = "oscillating" if period else "unfinished"
        else:
            del waiting[0]
            w, b, v, c = updated(w, b, v, c, gradients)
            continue
        unit = "alive" if death_step < 0 else "died" if death_step else "born_dead"
        return Final(w, b, v, c, full_loss, norm, k, death_step, period, outcome, unit)
    raise AssertionError("unreachable")


def period_of(states, number=float):
    """Return after how many steps the first state comes back, again and again; 0 for never."""
    tolerance = number(1e-5 if number is np.float32 else 1e-9)
    away = [[abs(now - then) for now, then in zip(s, states[0], strict=True)] for s in states]
    if any(math.isnan(a) for row in away for a in row):
        return 0
    moved = [max(column) for column in zip(*away, strict=True)]
    sizes = [max(abs(p), m) for p, m in zip(states[0], moved, strict=True) if m > 0]
    scale = max(sizes, default=number(0))
    farthest = max(max(row) for row in away)
    for p in range(1, 65):
        if all(max(row) <= tolerance * scale for row in away[p::p]):
            return p if p > 1 and farthest >= number(1000) * tolerance * scale else 0
    return 0


def assert_same_bits(trained, finals):
    """Hold a Trained against the oracle's finals, bit for bit (all NaN count as one)."""
    dtype = trained.loss.dtype
    for name in ("w", "b", "v", "c", "loss", "gradient_norm"):
        ours = getattr(trained.networks if name in "wbvc" else trained, name)
        theirs = np.array([getattr(f, name) for f in finals], dtype)
        assert ours.dtype == dtype
        different = np.flatnonzero(~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs))))
        assert different.size == 0, (
            name,
            different[:5],
            ours[different[:5]],
            theirs[different[:5]],
        )
    for name in ("steps_taken", "death_step", "period", "outcome", "unit"):
        assert list(getattr(trained, name)) == [getattr(f, name) for f in finals], name
