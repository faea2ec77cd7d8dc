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
    outcome: str
    unit: str


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
    number=float,
):
    """Train one network; ``number`` is float or numpy.float32."""
    w, b, v, c = (number(p) for p in start)
    x, target = [number(s) for s in x], [number(s) for s in target]
    hidden_rate, output_rate = number(hidden_rate), number(output_rate)
    gradient_tolerance, divergence_loss = number(gradient_tolerance), number(divergence_loss)
    zero, half, n = number(0), number(0.5), number(len(x))
    death_step = -1
    for k in range(max_steps + 1):
        sums = None
        fires, finite = False, True
        for xi, ti in zip(x, target, strict=True):
            pre = w * xi + b
            h = pre if pre > 0 else zero
            residual = (v * h + c) - ti
            gv = residual * h
            gc = residual
            gh = residual * v
            gw = xi * gh if pre > 0 else zero
            gb = gh if pre > 0 else zero
            terms = [gw, gb, gv, gc, half * (residual * residual)]
            sums = terms if sums is None else [s + t for s, t in zip(sums, terms, strict=True)]
            fires = fires or pre > 0
            finite = finite and math.isfinite(pre)
        gw, gb, gv, gc, loss = (s / n for s in sums)
        gw, gb, gv, gc = (
            zero if p in freeze else g for p, g in zip("wbvc", (gw, gb, gv, gc), strict=True)
        )
        absolute = [abs(g) for g in (gw, gb, gv, gc)]
        norm = math.nan if any(math.isnan(g) for g in absolute) else max(absolute)
        finite = finite and all(math.isfinite(p) for p in (w, b, v, c, loss))
        if finite and not fires and death_step < 0:
            death_step = k
        if not finite or loss > divergence_loss:
            outcome = "diverged"
        elif norm <= gradient_tolerance:
            outcome = "converged"
        elif k == max_steps:
            outcome = "unfinished"
        else:
            if "w" not in freeze:
                w = w - hidden_rate * gw
            if "b" not in freeze:
                b = b - hidden_rate * gb
            if "v" not in freeze:
                v = v - output_rate * gv
            if "c" not in freeze:
                c = c - output_rate * gc
            continue
        unit = "alive" if death_step < 0 else "died" if death_step else "born_dead"
        return Final(w, b, v, c, loss, norm, k, death_step, outcome, unit)
    raise AssertionError("unreachable")


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
    for name in ("steps_taken", "death_step", "outcome", "unit"):
        assert list(getattr(trained, name)) == [getattr(f, name) for f in finals], name
