"""The specification as a plain Python loop over one network: slow, obvious, independent."""

import math
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

# The numbers of the loop. Python's do what those of numpy.float64 do, several times as fast.
NUMBER = {"float64": float, "float32": np.float32}
# The engines that are held against one run of the loop, which takes far longer than theirs.
ENGINES = ("numpy", "numba") if find_spec("numba") else ("numpy",)


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
        if batch == samples:  # the same sums again, which would take as long again
            gradients, batch_loss, batch_finite = full_gradients, full_loss, finite
        else:
            gradients, batch_loss, _, batch_finite = evaluate(w, b, v, c, batch, number)
        if not judged:
            # The pre-activations of all samples, but the loss of the coming batch.
            finite = all(math.isfinite(w * s + b) for s, _ in samples) and batch_finite
        loss = full_loss if judged else batch_loss
        if finite and not fires and death_step < 0:
            death_step = k
        if not finite or loss > divergence_loss:
            outcome = "diverged"
        elif (
            judged
            and norm <= gradient_tolerance
            and (
                batch_size
                or rests(
                    (w, b, v, c), samples, hidden_rate, output_rate, freeze, full_loss, norm, number
                )
            )
        ):
            outcome = "converged"
        elif (
            not batch_size
            and norm <= gradient_tolerance
            and (updated(w, b, v, c, full_gradients) == (w, b, v, c))
        ):
            outcome = "unstable"
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


def rests(state, samples, hidden_rate, output_rate, freeze, loss, norm, number=float):
    """Return whether descent rests at a state, by eigenvalues and a solver of linear systems."""
    active = [state[0] * x + state[1] > 0 for x, _ in samples]
    w, b, v, c = (float(p) for p in state)
    rates = [hidden_rate, hidden_rate, output_rate, output_rate]
    scale = np.sqrt([0.0 if p in freeze else float(r) for p, r in zip("wbvc", rates, strict=True)])
    # The Jacobian of the outputs, the residuals, and the samples that are active, in rows.
    jacobian, residual = np.zeros((len(samples), 4)), np.zeros(len(samples))
    for i, (x, target) in enumerate(samples):
        x, target = float(x), float(target)
        a = w * x + b if active[i] else 0.0
        jacobian[i] = [v * x, v, a, 1] if active[i] else [0, 0, 0, 1]
        residual[i] = v * a + c - target
    jacobian *= scale
    # (ex, e) in the coordinates of the scaled Hessian, as functions of the residuals.
    residual_part = np.array([active, active], float) * scale[2]
    residual_part *= np.array(
        [[scale[0] * float(x) for x, _ in samples], [scale[1]] * len(samples)]
    )
    part = residual_part @ residual / len(samples)
    gauss_newton = jacobian.T @ jacobian / len(samples)
    hessian = gauss_newton.copy()
    hessian[:2, 2] += part
    hessian[2, :2] += part
    if np.linalg.eigvalsh(hessian)[-1] > 2 + 2.0**-40:
        return False
    growth = np.linalg.norm(part)
    largest = np.linalg.norm(residual_part) * np.sqrt(2 * float(loss) / len(samples))
    if growth <= 256 * float(np.finfo(number).eps) * largest:
        return True
    damped = gauss_newton + (growth + 2.0**-48 * np.trace(gauss_newton)) * np.eye(4)
    step = np.linalg.solve(damped, jacobian.T @ residual / len(samples))
    left = part - residual_part @ (jacobian @ step) / len(samples)
    if np.linalg.norm(left) <= growth / 2:
        return True
    size = max(w * w + b * b + v * v, np.sqrt(2 * float(loss))) ** 0.5
    trains = scale > 0
    plain = (hessian / np.where(trains, scale, 1) / np.where(trains, scale, 1)[:, None])[trains]
    return np.linalg.eigvalsh(plain[:, trains])[0] > -2 * float(norm) / size


def period_of(states, number=float):
    """Return after how many steps each of the states comes back; 0 for never."""
    tolerance = number(1e-5 if number is np.float32 else 1e-9)
    if not all(math.isfinite(p) for state in states for p in state):
        return 0

    def away(state, other):
        return [abs(p - q) for p, q in zip(state, other, strict=True)]

    moved = [max(column) for column in zip(*(away(s, states[0]) for s in states), strict=True)]
    if not all(math.isfinite(m) for m in moved):
        return 0
    sizes = [max(abs(p), m) for p, m in zip(states[0], moved, strict=True) if m > 0]
    near = tolerance * max(sizes, default=number(0))
    for q in range(1, 65):
        distance = max(max(away(*pair)) for pair in zip(states, states[q:], strict=False))
        if distance <= number(1000) * near:
            return q if q > 1 and distance <= near else 0
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
