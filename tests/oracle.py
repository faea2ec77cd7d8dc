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
    n_revivals: int
    period: int
    outcome: str
    unit: str


def evaluate(w, b, v, c, samples, number, slope=0):
    """Return the mean gradients and loss over samples, whether any fires, whether all is finite."""
    half, n = number(0.5), number(len(samples))
    sums = None
    fires, finite = False, True

    def passed(value, active):
        return value if active else slope * value if slope else number(0)

    for x, target in samples:
        pre = w * x + b
        active = pre > 0
        h = passed(pre, active)
        residual = (v * h + c) - target
        gh = passed(residual * v, active)
        terms = [x * gh, gh, residual * h, residual, half * (residual * residual)]
        sums = terms if sums is None else [s + t for s, t in zip(sums, terms, strict=True)]
        fires = fires or active
        finite = finite and math.isfinite(pre)
    *gradients, loss = (s / n for s in sums)
    finite = finite and all(math.isfinite(p) for p in (w, b, v, c, loss))
    return gradients, loss, fires, finite


def quotient(a, b):
    """Return a/b where b is not negative, also where it is 0, as IEEE does."""
    if b != 0:
        return a / b
    return a * type(a)(math.inf) if a > 0 or a < 0 else type(a)(math.nan)


def root(a, number):
    """Return the square root, exactly rounded also in float32: float64 has digits enough."""
    return number(math.sqrt(float(a)))


# An optimizer's memory is what a step leaves for the next: velocities or moments, and powers.


@dataclass
class SGD:
    """Descent with velocities; the defaults are plain descent."""

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | dict = 0.0
    max_norm: float | None = None

    def begin(self, number):
        return [number(0)] * 4, ()

    def update(self, memory, parameters, gradients, decays, rates, trains, number):
        """Return parameters and memory after a step, and the rates that it had."""
        velocities, momentum = memory[0], number(self.momentum)
        if self.max_norm is not None:
            gw, gb, gv, gc = gradients
            norm = root(((gw * gw + gb * gb) + gv * gv) + gc * gc, number)
            clip = number(self.max_norm) / (norm + number(1e-6))
            if clip > 1:  # which NaN is not
                clip = number(1)
            gradients = [g * clip for g in gradients]
        after, velocities_after, sizes = list(parameters), list(velocities), [number(0)] * 4
        for i in range(4):
            if trains[i]:
                d = gradients[i] + decays[i] * parameters[i]
                velocity = momentum * velocities[i] + d
                step = d + momentum * velocity if self.nesterov else velocity
                sizes[i] = rates[i]
                after[i] = parameters[i] - rates[i] * step
                if momentum:  # else there is nothing to remember
                    velocities_after[i] = velocity
        return after, (velocities_after, ()), sizes

    def coasting(self, memory, number):
        """Return what the velocities would still move, for each parameter."""
        momentum = number(self.momentum)
        share = momentum / (number(1) - momentum)
        if self.nesterov:
            share = momentum * share
        return [share * abs(velocity) for velocity in memory[0]]

    def edge(self, number):
        """Return the largest eigenvalue at which this rests."""
        momentum = float(number(self.momentum))
        return 2 * (1 + momentum) / (1 + 2 * momentum if self.nesterov else 1)


@dataclass
class Adam:
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float | dict = 0.0

    def begin(self, number):
        return [number(0)] * 8, (number(1), number(1))

    def update(self, memory, parameters, gradients, decays, rates, trains, number):
        """Return parameters and memory after a step, and the rates that it had."""
        moments, (power1, power2) = memory
        one, beta1, beta2 = number(1), number(self.beta1), number(self.beta2)
        power1, power2 = power1 * beta1, power2 * beta2
        after, moments, sizes = list(parameters), list(moments), [number(0)] * 4
        for i in range(4):
            if trains[i]:
                d = gradients[i] + decays[i] * parameters[i]
                m = beta1 * moments[i] + (one - beta1) * d
                s = beta2 * moments[4 + i] + (one - beta2) * (d * d)
                scale = root(s, number) / root(one - power2, number)
                sizes[i] = quotient(rates[i] / (one - power1), scale + number(self.epsilon))
                after[i] = parameters[i] - sizes[i] * m
                moments[i], moments[4 + i] = m, s
        return after, (moments, (power1, power2)), sizes

    def coasting(self, memory, number):
        """Return what the first moments would still move, for each parameter."""
        beta1 = number(self.beta1)
        share = beta1 / (number(1) - beta1)
        return [share * abs(m) for m in memory[0][:4]]

    def edge(self, number):
        """Return the largest eigenvalue at which this rests."""
        beta1 = float(number(self.beta1))
        return 2 * (1 + beta1) / (1 - beta1)


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
    negative_slope=0.0,
    optimizer=None,
):
    """Train one network; ``number`` is float or numpy.float32, ``order(n)`` of the next epoch."""
    state = [number(p) for p in start]
    samples = [(number(s), number(t)) for s, t in zip(x, target, strict=True)]
    hidden_rate, output_rate = number(hidden_rate), number(output_rate)
    rates = [hidden_rate, hidden_rate, output_rate, output_rate]
    gradient_tolerance, divergence_loss = number(gradient_tolerance), number(divergence_loss)
    slope, optimizer = number(negative_slope), optimizer or SGD()
    memory = optimizer.begin(number)
    trains = [p not in freeze for p in "wbvc"]
    decays = decays_of(optimizer, trains, number)
    death_step, n_revivals, period, waiting = -1, 0, 0, []

    def next_batch():
        if not waiting:
            ordered = [samples[i] for i in order(len(samples))]
            size = batch_size or len(samples)
            waiting.extend(ordered[i : i + size] for i in range(0, len(samples), size))
        return waiting[0]

    def gradients_of(state, batch):
        gradients, loss, fires, finite = evaluate(*state, batch, number, slope)
        gradients = [g if t else number(0) for g, t in zip(gradients, trains, strict=True)]
        return gradients, loss, fires, finite

    def updated(memory, state, gradients):
        return optimizer.update(memory, state, gradients, decays, rates, trains, number)

    for k in range(max_steps + 1):
        new_epoch = not waiting
        batch = next_batch()
        full_gradients, full_loss, fires, finite = gradients_of(state, samples)
        # What does not decay has no such term, also where it is not finite.
        decayed = [
            g + d * p if d else g for g, d, p in zip(full_gradients, decays, state, strict=True)
        ]
        absolute = [abs(d) for d in decayed]
        norm = math.nan if any(math.isnan(d) for d in absolute) else max(absolute)
        coasting = optimizer.coasting(memory, number)
        slow = all(d <= gradient_tolerance for d in [*absolute, *coasting])
        judged = new_epoch or k == max_steps
        gradients, loss = full_gradients, full_loss
        if batch != samples:  # else the same sums again, which would take as long again
            gradients, batch_loss, _, batch_finite = gradients_of(state, batch)
            if not judged:
                # The pre-activations of all samples, but the loss of the coming batch.
                w, b, *_ = state
                loss = batch_loss
                finite = all(math.isfinite(w * s + b) for s, _ in samples) and batch_finite
        if death_step >= 0 and fires:
            death_step = -1
            n_revivals += 1
        elif death_step < 0 and finite and not fires:
            death_step = k
        after, memory_after, sizes = updated(memory, state, gradients)
        if not finite or loss > divergence_loss:
            outcome = "diverged"
        elif (
            judged
            and slow
            and (
                batch_size
                or rests_at(
                    state, samples, sizes, full_loss, norm, number,
                    slope=slope, decays=decays, edge=optimizer.edge(number),
                )
            )
        ):  # fmt: skip
            outcome = "converged"
        elif not batch_size and slow and (after, memory_after[0]) == (state, memory[0]):
            outcome = "unstable"
        elif k == max_steps:
            states = [state]
            while len(states) <= 128:
                gradients, *_ = gradients_of(states[-1], next_batch())
                following, memory, _ = updated(memory, states[-1], gradients)
                states.append(following)
                del waiting[0]
            period = period_of(states, number)
            outcome = "oscillating" if period else "unfinished"
        else:
            del waiting[0]
            state, memory = after, memory_after
            continue
        unit = "alive" if death_step < 0 else "died" if death_step else "born_dead"
        return Final(*state, full_loss, norm, k, death_step, n_revivals, period, outcome, unit)
    raise AssertionError("unreachable")


def decays_of(optimizer, trains, number):
    """Return the weight decay of w, b, v, c; 0 for what is frozen."""
    decay = optimizer.weight_decay
    by_name = decay if isinstance(decay, dict) else dict.fromkeys("wbvc", decay)
    return [number(by_name.get(p, 0) if t else 0) for p, t in zip("wbvc", trains, strict=True)]


def rests(state, samples, hidden_rate, output_rate, freeze, loss, norm, number=float, **others):
    """Return whether descent with the rates of layers rests at a state, see ``rests_at``."""
    of_layers = zip("wbvc", [hidden_rate] * 2 + [output_rate] * 2, strict=True)
    rates = [0.0 if p in freeze else rate for p, rate in of_layers]
    return rests_at(state, samples, rates, loss, norm, number, **others)


@np.errstate(all="ignore")
def rests_at(state, samples, rates, loss, norm, number=float, slope=0, decays=(0,) * 4, edge=2):
    """Return whether descent rests at a state, by eigenvalues and a solver of linear systems.

    ``rates`` are those of w, b, v, c, 0 for what is frozen; ``decays`` their weight decay.
    """
    w, b, v, c = (float(p) for p in state)
    scale = np.sqrt([float(r) for r in rates])
    decays = np.array([float(d) for d in decays])
    trains = scale > 0
    # The derivatives of the activation, the Jacobian of the outputs, and the residuals.
    by_pre = np.array([1.0 if state[0] * x + state[1] > 0 else float(slope) for x, _ in samples])
    x, target = np.array(samples, float).T
    a = np.where(by_pre != 0, by_pre * (w * x + b), 0)
    ones = np.ones(len(samples))
    jacobian = np.stack([v * by_pre * x, v * by_pre, a, ones], axis=1) * scale
    residual = v * a + c - target
    # (ex, e) in the coordinates of the scaled Hessian, as functions of the residuals.
    residual_part = scale[2] * np.stack([scale[0] * by_pre * x, scale[1] * by_pre])
    part = residual_part @ residual / len(samples)
    gauss_newton = jacobian.T @ jacobian / len(samples)
    hessian = gauss_newton + np.diag(scale * scale * decays)
    hessian[:2, 2] += part
    hessian[2, :2] += part
    if not np.isfinite(hessian).all():
        return False
    if np.linalg.eigvalsh(hessian)[-1] > edge + 2.0**-40:
        return False
    growth = np.linalg.norm(part)
    largest = np.linalg.norm(residual_part) * np.sqrt(2 * float(loss) / len(samples))
    if growth <= 256 * float(np.finfo(number).eps) * largest:
        return True
    if not decays.any():
        damped = gauss_newton + (growth + 2.0**-48 * np.trace(gauss_newton)) * np.eye(4)
        step = np.linalg.solve(damped, jacobian.T @ residual / len(samples))
        left = part - residual_part @ (jacobian @ step) / len(samples)
        if np.linalg.norm(left) <= growth / 2:
            return True
    size = max(w * w + b * b + v * v, np.sqrt(2 * float(loss))) ** 0.5
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

    def steady(q, shorter):
        swings = [max(away(*pair)) for pair in zip(states, states[shorter:], strict=False)]
        first, last = max(swings[:q]), max(swings[-q:])
        return number(1024) * abs(last - first) <= first

    for q in range(1, 65):
        distance = max(max(away(*pair)) for pair in zip(states, states[q:], strict=False))
        if distance <= number(1000) * near:
            lasts = all(steady(q, shorter) for shorter in range(1, q))
            return q if q > 1 and distance <= near and lasts else 0
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
    for name in ("steps_taken", "death_step", "n_revivals", "period", "outcome", "unit"):
        if getattr(trained, name, None) is None:  # revivals, where there can be none
            assert not any(getattr(f, name) for f in finals), name
            continue
        assert list(getattr(trained, name)) == [getattr(f, name) for f in finals], name
