"""Measure published thresholds, orbits, rates, probabilities and bounds by training.

Networks with c frozen at 0 are trained on one sample. There a = w*x + b, q = sqrt(1 + x^2), A = a/q
and k = rate*q*target; a balanced network has A = v, and at zero loss A*v = target/q. Published
formulas are written out here, although ``relulab.theory`` has some of them, to check these, too.
"""

import math
from collections.abc import Callable
from functools import partial
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

import relulab as rl
from publications.claims import CONFIDENCE, PLAIN, Optimizer

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

X, TARGET = 1.0, 3.0
MOMENTUM = 0.9
Q = math.hypot(1, X)
POINT = rl.TrainingSet.point(X, TARGET)


def networks(big_a: npt.ArrayLike, v: npt.ArrayLike) -> rl.Networks:
    """Return networks of A and v with c = 0."""
    scaled = np.asarray(big_a, float) / Q
    return rl.Networks(w=X * scaled, b=scaled, v=v, c=0)


def balanced(relative: npt.ArrayLike) -> rl.Networks:
    """Return balanced networks with these predictions relative to the target."""
    size = np.sqrt(np.asarray(relative, float) * TARGET / Q)
    return networks(size, size)


def relative(trained: rl.Networks, negative_slope: float = 0) -> Array:
    """Return predictions relative to the target."""
    activation = trained.w * X + trained.b
    activation = np.where(activation > 0, activation, negative_slope * activation)
    return np.asarray((trained.v * activation + trained.c) / TARGET, float)


# The name is quoted because --figures works without the trainer.
def frozen(
    start: rl.Networks,
    rate: npt.ArrayLike,
    n_steps: int,
    negative_slope: float = 0,
    optimizer: Optimizer = PLAIN,
) -> "rl.Trained":
    """Train with c frozen for exactly ``n_steps`` steps."""
    return rl.train(
        start,
        POINT,
        rate,
        max_steps=n_steps,
        gradient_tolerance=0,
        freeze=("c",),
        negative_slope=negative_slope,
        optimizer=optimizer,
    )


def rate_of(k: npt.ArrayLike) -> Array:
    """Return the learning rates for the numbers k."""
    return np.asarray(k, float) / (Q * TARGET)


def threshold(holds: Callable[[Array], Flags], low: float, high: float, n_rounds: int) -> float:
    """Return where ``holds``, true at ``low``, becomes false; each round is 32 times as precise."""
    for _ in range(n_rounds):
        grid = np.linspace(low, high, 33)
        first = max(int(np.argmin(holds(grid))), 1)
        low, high = grid[first - 1], grid[first]
    return float(low + high) / 2


def never_rises() -> float:
    """Return the largest k at which no balanced start has a loss that rises in a step."""

    def holds(k: Array) -> Flags:
        # From predictions near 0 to those from which a step leads to 0.
        parts = np.linspace(1e-3, 0.999, 2001)
        start = np.concatenate([parts * (1 + each) / each for each in k])
        once = relative(frozen(balanced(start), rate_of(np.repeat(k, parts.size)), 1).networks)
        rises = np.abs(once - 1) > np.abs(start - 1) * (1 + 1e-12)
        return np.asarray(~rises.reshape(k.size, parts.size).any(axis=1))

    return threshold(holds, 0.5, 1, 4)


def settles(optimizer: Optimizer = PLAIN, near: float = 1) -> float:
    """Return the largest k at which a balanced network near zero loss gets nearer: ~``near``."""

    def holds(k: Array) -> Flags:
        start = balanced(np.full(k.size, 1 + 1e-6))
        early, late = (
            np.abs(relative(frozen(start, rate_of(k), n, optimizer=optimizer).networks) - 1)
            for n in (500, 1000)
        )
        return np.asarray((late < early) | (late < 1e-9))  # at rest to rounding

    return threshold(holds, near / 2, 1.15 * near, 9)


def sharpness_limit(optimizer: Optimizer, near: float) -> float:
    """Return the largest stable rate * sharpness at zero loss, where sharpness is 2*q*target."""
    return 2 * settles(optimizer, near / 2)


ORIGIN = rl.TrainingSet.point(X, 0)


def parabola(size: float, n_nets: int = 1) -> rl.Networks:
    """Return networks with a dead unit, whose c trains with loss c^2/2 on a target of 0."""
    return rl.Networks(w=-1, b=-1, v=0, c=np.full(n_nets, size))


def falls_on_a_parabola(optimizer: Optimizer, near: float) -> float:
    """Return the largest rate at which c, so small that its square is 0, falls: ~``near``."""

    def holds(rate: Array) -> Flags:
        early, late = (
            np.abs(
                rl.train(
                    parabola(1e-100, rate.size),
                    ORIGIN,
                    rate,
                    max_steps=n,
                    gradient_tolerance=0,
                    optimizer=optimizer,
                ).networks.c
            )
            for n in (500, 1000)
        )
        return np.asarray((late < early) | (late == 0))

    return threshold(holds, near / 2, 1.15 * near, 9)


def hovering(beta2: float) -> float:
    """Return the median rate * preconditioned curvature of Adam on a parabola in 2,000 steps."""
    rate, n_steps = 0.1, 4000
    optimizer = rl.Adam(beta2=beta2, epsilon=1e-12)
    c = rl.trace(parabola(1), ORIGIN, rate, n_steps, optimizer=optimizer)["c"]
    mean_square = (c**2).ewm(alpha=1 - beta2, adjust=True).mean()
    return float(np.median(rate / np.sqrt(mean_square.iloc[n_steps // 2 :])))


GOH_RATE = 0.25


def critical_momentum() -> float:
    """Return the largest momentum at which c never changes sign on its way to 0, in 850 steps."""

    def holds(momentum: Array) -> Flags:
        start, optimizer = parabola(1, momentum.size), rl.SGD(momentum=momentum)
        trace = rl.trace(start, ORIGIN, GOH_RATE, 850, optimizer=optimizer)
        return np.asarray(trace.groupby("run")["c"].min() > 0)

    return threshold(holds, 0.2, 0.3, 4)


def rate_of_convergence(momentum: float) -> float:
    """Return the factor by which the swings of c shrink per step, over the first 850."""
    trace = rl.trace(parabola(1), ORIGIN, GOH_RATE, 850, optimizer=rl.SGD(momentum=momentum))
    c = trace["c"].to_numpy()
    # For a swing r^n*sin(a*n + b) this is r^(2n)*sin(a)^2.
    swing = c[1:-1] ** 2 - c[2:] * c[:-2]
    return float((swing[-1] / swing[0]) ** (0.5 / (swing.size - 1)))


def from_critical(k: Array, negative_slope: float) -> "rl.Trained":
    """Train from the start with the largest next prediction, for 200 steps."""
    start = balanced((1 + k) / (3 * k))
    return frozen(start, rate_of(k), 200, negative_slope)


def lives_up_to() -> float:
    """Return the largest k at which a unit lives from the start with the largest next prediction.

    From other starts units die at larger k.
    """
    return threshold(lambda k: np.asarray(from_critical(k, 0).unit == "alive"), 1.2, 2.5, 9)


def bounded_up_to() -> float:
    """Return the largest k at which a linear network does not diverge from that start."""

    def holds(k: Array) -> Flags:
        return np.asarray(from_critical(k, 1).outcome != "diverged")

    return threshold(holds, 1.2, 2.5, 9)


def two_cycle(k: float) -> float:
    """Return r*(sqrt(1/r - 3/4) + 1/2) for the lower prediction r of an orbit of period 2."""
    settled = rl.train(balanced([0.9]), POINT, rate_of(k), max_steps=20_000, freeze=("c",))
    if settled.period[0] != 2:
        return math.nan
    other = frozen(settled.networks, rate_of(k), 1).networks
    r = min(relative(settled.networks)[0], relative(other)[0])
    return float(r * (math.sqrt(1 / r - 0.75) + 0.5))


def lyapunov(k: float) -> float:
    """Return the rate per step at which neighbors separate, as the mean of 200 starts."""
    settled = frozen(balanced(np.linspace(0.5, 1.2, 200)), rate_of(k), 200).networks
    gap, n_steps = 1e-9, 25
    beside = networks(settled.v * (1 + gap), settled.v * (1 + gap))
    before = relative(beside) - relative(settled)
    ended = [relative(frozen(each, rate_of(k), n_steps).networks) for each in (settled, beside)]
    after = np.maximum(np.abs(ended[1] - ended[0]), 1e-16)  # no less than rounding
    return float(np.mean(np.log(after / np.abs(before))) / n_steps)


def power_at_the_edge() -> float:
    """Return the power of n with which the residual falls at k = 1."""
    n_steps = np.array([16_000, 64_000])
    ended = [relative(frozen(balanced([1.2]), rate_of(1), n).networks)[0] for n in n_steps]
    slope: float = np.diff(np.log(np.abs(np.array(ended) - 1)))[0] / np.diff(np.log(n_steps))[0]
    return slope


def feigenbaum() -> float:
    """Return the ratio of gaps between superstable orbits of periods 2^8, 2^9 and 2^10.

    Superstable orbits go through the start with the largest next prediction, (1 + k)/(3k):
    training for one period leads back to it.
    """

    def returns(period: int, k: Array) -> Array:
        start = (1 + k) / (3 * k)
        return relative(frozen(balanced(start), rate_of(k), period).networks) - start

    def stays(period: int, sign: float, k: Array) -> Flags:
        return np.asarray(np.sign(returns(period, k)) == sign)

    found: list[float] = []
    low, high = 0.3, 0.8
    for period in (2**n for n in range(11)):
        sign = float(np.sign(returns(period, np.array([low])))[0])
        found.append(threshold(partial(stays, period, sign), low, high, 11))
        gap = found[-1] - found[-2] if len(found) > 1 else 2.5
        low, high = found[-1] + gap / 8, found[-1] + gap / 4
    return (found[-2] - found[-3]) / (found[-1] - found[-2])


SAXE_FROM, SAXE_TO = 0.01, 2.7
SAXE_TIME = math.log(SAXE_TO * (TARGET - SAXE_FROM) / (SAXE_FROM * (TARGET - SAXE_TO))) / (
    2 * Q * TARGET
)


def reached_by_flow(linear: bool = False) -> float:
    """Return the prediction at the published time, extrapolated to steps of length 0.

    A linear unit starts from A < 0.
    """
    start = balanced([SAXE_FROM / TARGET])
    if linear:
        start = networks(-start.v, -start.v)
    slope = float(linear)
    one, two, four = (
        TARGET * relative(frozen(start, SAXE_TIME / n, n, slope).networks, slope)[0]
        for n in (1000, 2000, 4000)
    )
    return float((8 * four - 6 * two + one) / 3)


def critical_rate(big_a: float, v: float) -> float:
    """Return Liang and Montufar's critical rate of a start."""
    y, r = TARGET / Q, big_a**2 + v**2
    beyond = 8 / (r + math.sqrt(r * r - 16 * y * (big_a * v - y)))
    return min(1 / y, beyond) / Q**2


def converges_up_to(big_a: float, v: float, negative_slope: float = 0) -> float:
    """Return the largest rate at which a start converges without the unit's death."""

    def holds(rate: Array) -> Flags:
        start = networks(np.full(rate.size, big_a), np.full(rate.size, v))
        ended = rl.train(
            start,
            POINT,
            rate,
            max_steps=20_000,
            freeze=("c",),
            negative_slope=negative_slope,
        )
        goes_on = (ended.unit == "alive") | (negative_slope > 0)
        return np.asarray((ended.outcome == "converged") & goes_on)

    return threshold(holds, 0.02, 0.3, 6)


FACTOR_TARGET = 0.5
FACTORS = rl.TrainingSet.point(1, FACTOR_TARGET)


def factorized(
    w: npt.ArrayLike, v: npt.ArrayLike, rate: float, n_steps: int, decay: npt.ArrayLike
) -> "rl.Trained":
    """Train the linear w*v, both with decay."""
    return rl.train(
        rl.Networks(w=w, b=0, v=v, c=0),
        FACTORS,
        rate,
        max_steps=n_steps,
        freeze=("b", "c"),
        negative_slope=1,
        optimizer=rl.SGD(weight_decay={"w": decay, "v": decay}),
    )


def decayed_product(decay: float) -> float:
    """Return w*v at the end of training with decay."""
    ended = factorized([1.0], 1.2, 0.5, 20_000, decay).networks
    return float(ended.w[0] * ended.v[0])


def collapses_from() -> float:
    """Return the smallest decay at which w*v ends at 0, in 20,000 steps."""

    def holds(decay: Array) -> Flags:
        ended = factorized(np.ones(decay.size), 1.2, 0.5, 20_000, decay).networks
        return np.asarray(ended.w * ended.v > 1e-4)

    return threshold(holds, 0.1, 1, 4)


def boundary_dimension(decay: float) -> tuple[float, float]:
    """Return the dimension of the boundary of the starts that diverge at rate 1, and its error.

    It uses pairs of starts at a distance: the fraction that differ falls as the distance to the
    power 2 - dimension (Grebogi, McDonald, Ott & Yorke 1983).
    """
    rng = np.random.default_rng(0)
    distances, n_pairs = 2.0 ** -np.array([4, 6, 8, 10]), 200_000

    def diverges(w: Array, v: Array) -> Flags:
        return np.asarray(factorized(w, v, 1, 1000, decay).outcome == "diverged")

    differing = []
    for distance in distances:
        w, v = rng.uniform(-4.5, 4.5, (2, n_pairs))
        angle = rng.uniform(0, 2 * np.pi, n_pairs)
        beside = diverges(w + distance * np.cos(angle), v + distance * np.sin(angle))
        differing.append(np.sum(diverges(w, v) != beside))
    # The logarithm of a count has the variance (1 - fraction)/count.
    logs, weights = np.log(distances), np.array(differing, float)
    away = weights * (logs - np.average(logs, weights=weights))
    power = away @ np.log(weights) / (away @ logs)
    error = math.sqrt(away**2 @ ((1 - weights / n_pairs) / weights)) / (away @ logs)
    return float(2 - power), error


TEACHER = rl.TrainingSet.teacher(w=1, b=0.2, v=1, c=0, n_samples=9)


def steps_of(rate: Array, n_steps: int, optimizer: Optimizer) -> Array:
    """Return the steps of w, b, v, c from random starts, shape (n_nets, n_steps, 4)."""
    start = rl.Networks(*np.random.default_rng(0).normal(size=(4, rate.size)))
    trace = rl.trace(start, TEACHER, rate, n_steps, optimizer=optimizer)
    states = [trace.pivot(index="run", columns="step", values=p).to_numpy() for p in "wbvc"]
    return np.diff(np.stack(states, axis=2), axis=1)


def longest_adam_step(beta1: float, beta2: float, n_steps: int = 60) -> float:
    """Return the largest step of a parameter relative to the rate, in 2,000 random runs."""
    rate = np.geomspace(1e-3, 10, 2000)
    steps = steps_of(rate, n_steps, rl.Adam(beta1=beta1, beta2=beta2))
    return float(np.nanmax(np.abs(steps) / rate[:, np.newaxis, np.newaxis]))


def longest_clipped_step() -> float:
    """Return the longest step relative to rate * max_norm, in 2,000 random runs."""
    rate = np.geomspace(1e-3, 10, 2000)
    max_norm = np.random.default_rng(1).uniform(0.1, 2, rate.size)
    steps = steps_of(rate, 60, rl.SGD(max_norm=max_norm))
    length = np.sqrt(np.sum(steps**2, axis=2))
    return float(np.nanmax(length / (rate * max_norm)[:, np.newaxis]))


def flow_sharpness_ratio() -> float:
    """Return the largest factor by which a step changes the sharpness at the end of gradient flow.

    With c frozen, this sharpness is q^2*sqrt((A^2 - v^2)^2 + 4*(target/q)^2), where flow conserves
    A^2 - v^2. Only steps with (rate*q*residual)^2 <= 2 after which the unit is active count.
    """
    rng = np.random.default_rng(0)
    start = networks(np.abs(rng.normal(size=50_000)), rng.normal(size=50_000))
    rate = rng.uniform(0, 0.5, 50_000)
    ended = frozen(start, rate, 1)

    def sharpness(states: rl.Networks) -> Array:
        big_a = (states.w * X + states.b) / Q
        gap = big_a**2 - states.v**2
        return np.asarray(Q**2 * np.sqrt(gap**2 + 4 * (TARGET / Q) ** 2), float)

    kappa = rate * Q * (relative(start) - 1) * TARGET
    counted = (kappa**2 <= 2) & (ended.networks.w * X + ended.networks.b > 0)
    return float(np.max((sharpness(ended.networks) / sharpness(start))[counted]))


def sharpness_over_bound() -> float:
    """Return the smallest sharpness over 1 + 2|v w|g at minima with a living unit.

    g is the smaller of P^2*E|x - hinge|*sqrt(1 + E(x)^2) for the samples on the two sides.
    """
    rates = rl.geomspace(0.02, 2, 12)
    sweep = rl.Sweep(
        data=TEACHER, **rl.standard_normal(), draws=500, learning_rate=rates, max_steps=20_000
    )
    runs = sweep.run().query("outcome == 'converged' and unit == 'alive'")
    hinge = (-runs["b"] / runs["w"]).to_numpy()[:, np.newaxis]
    sides = []
    for inside in (TEACHER.x > hinge, TEACHER.x < hinge):
        count = np.maximum(inside.sum(axis=1), 1)
        mean = (inside * TEACHER.x).sum(axis=1) / count
        distance = (inside * np.abs(TEACHER.x - hinge)).sum(axis=1) / count
        sides.append(inside.mean(axis=1) ** 2 * distance * np.sqrt(1 + mean**2))
    bound = 1 + 2 * np.abs(runs["v"] * runs["w"]) * np.minimum(*sides)
    return float(np.min(rl.sharpness(rl.Networks(*(runs[p] for p in "wbvc")), TEACHER) / bound))


KINKED = rl.TrainingSet.teacher(w=1, b=0.2, v=1.5, c=0, n_samples=16)


def edge_at_a_kink() -> float:
    """Return the largest rate * smaller one-sided sharpness where runs settle at a kink.

    The teacher's hinge is on a sample; networks near it settle at it, up to the scale of w and b.
    """
    rng, n_nets = np.random.default_rng(0), 4000
    size, rate = 10 ** rng.uniform(-0.5, 0.5, n_nets), rng.uniform(0.1, 2, n_nets)
    off = 1 + 1e-3 * rng.normal(size=(3, n_nets))
    start = rl.Networks(size * off[0], 0.2 * size * off[1], 1.5 / size * off[2], 0)
    ended = rl.train(start, KINKED, rate, max_steps=50_000)
    w, at_kink = ended.networks.w, np.abs(ended.networks.b / ended.networks.w - 0.2) < 1e-6
    there = at_kink & (ended.outcome == "converged") & (ended.loss < 1e-12)
    minima = rl.Networks(w[there], 0.2 * w[there], 1.5 / w[there], 0)
    sides = [rl.sharpness(minima, KINKED, side=side) for side in ("inactive", "active")]
    return float(np.max(rate[there] * np.minimum(*sides)))


SPREAD = np.array([NormalDist().inv_cdf((i + 0.5) / 40) for i in range(40)])


def dying_more(std: float, momentum: float) -> float:
    """Return how much more units die with targets of std 0.01 and momentum 0.9, at least.

    The targets are |x| with mean 0. The result is the difference between the near ends of two
    intervals.
    """
    w = np.random.default_rng(0).normal(size=1000)
    target = (np.abs(SPREAD) - np.abs(SPREAD).mean()) / np.abs(SPREAD).std()
    dead = [
        np.sum(
            rl.train(
                rl.Networks(w, 0, 1, 0),
                rl.TrainingSet(SPREAD, size * target),
                0.01,
                max_steps=10_000,
                freeze=("v", "c"),
                optimizer=rl.SGD(momentum=beta),
            ).unit
            == "died"
        )
        for size, beta in ((0.01, MOMENTUM), (std, momentum))
    ]
    low, high = rl.statistics.wilson_interval(dead, [w.size] * 2, CONFIDENCE)
    return float(low[0] - high[1])


def drift_of_the_balance() -> float:
    """Return the change of w^2 + b^2 - v^2 in training for a time of 2, as steps go to 0."""
    data, start = rl.TrainingSet([-1, 0.5, 1], [1, 0, 2]), rl.Networks(0.9, 0.3, 0.7, 0.1)

    def balance(states: rl.Networks) -> float:
        return float((states.w**2 + states.b**2 - states.v**2)[0])

    one, two, four = (
        balance(rl.train(start, data, 2 / n, max_steps=n, gradient_tolerance=0).networks)
        - balance(start)
        for n in (1000, 2000, 4000)
    )
    return (8 * four - 6 * two + one) / 3


def dead_loss() -> float:
    """Return the loss of a dead unit's network on t = 2x - 1 at 20,000 midpoints in [0, 1]."""
    x = (np.arange(20_000) + 0.5) / 20_000
    ended = rl.train(rl.Networks(w=1, b=-5, v=1, c=0), rl.TrainingSet(x, 2 * x - 1), 0.5)
    return float(ended.loss[0])


# Symmetric, like the normal numbers in the question.
NORMAL_X = np.array([NormalDist().inv_cdf((i + 0.5) / 1000) for i in range(1000)])
RELU_DATA = rl.TrainingSet(NORMAL_X, np.maximum(NORMAL_X, 0))
KERAS_RATE = 2 * 0.01


def slope_learned(w: float) -> float:
    """Return where a ReLU with v = 1 and no biases ends from a weight, on data from relu(x)."""
    start, steps = rl.Networks(w=w, b=0, v=1, c=0), 20 * 100
    trained = rl.train(
        start,
        RELU_DATA,
        KERAS_RATE,
        max_steps=steps,
        gradient_tolerance=0,
        freeze=("b", "v", "c"),
    )
    return float(trained.networks.w[0])
