"""Published thresholds, orbits, rates, probabilities and bounds, and how training measures them.

What has c frozen at 0 is trained on one sample. There a = w*x + b, q = sqrt(1 + x^2), A = a/q and
k = rate*q*target; a balanced network has A = v, and at zero loss A*v = target/q. Published formulas
are written out here, although ``relulab.theory`` has some of them, to judge what it has, too.
"""

import math
from collections.abc import Callable
from functools import partial
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

import relulab as rl

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

X, TARGET = 1.0, 3.0
Q = math.hypot(1, X)
POINT = rl.TrainingSet.point(X, TARGET)


def networks(big_a: npt.ArrayLike, v: npt.ArrayLike) -> rl.Networks:
    """Return networks of A and v with c = 0."""
    scaled = np.asarray(big_a, float) / Q
    return rl.Networks(w=X * scaled, b=scaled, v=v, c=0)


def balanced(relative: npt.ArrayLike) -> rl.Networks:
    """Return balanced networks by their prediction relative to the target."""
    size = np.sqrt(np.asarray(relative, float) * TARGET / Q)
    return networks(size, size)


def relative(trained: rl.Networks) -> Array:
    """Return predictions relative to the target."""
    activation = np.maximum(trained.w * X + trained.b, 0)
    return np.asarray((trained.v * activation + trained.c) / TARGET, float)


# The name is quoted because --figures works without the trainer.
def frozen(start: rl.Networks, rate: npt.ArrayLike, n_steps: int) -> "rl.Trained":
    """Train with c frozen for exactly so many steps."""
    return rl.train(start, POINT, rate, max_steps=n_steps, gradient_tolerance=0, freeze=("c",))


def rate_of(k: npt.ArrayLike) -> Array:
    """Return the learning rates of the numbers k."""
    return np.asarray(k, float) / (Q * TARGET)


def threshold(holds: Callable[[Array], Flags], low: float, high: float, n_rounds: int) -> float:
    """Return where ``holds`` ends, which is true at ``low``; each round is 32 times as close."""
    for _ in range(n_rounds):
        grid = np.linspace(low, high, 33)
        first = max(int(np.argmin(holds(grid))), 1)
        low, high = grid[first - 1], grid[first]
    return float(low + high) / 2


def never_rises() -> float:
    """Return up to which k no balanced start has a loss that rises in a step."""

    def holds(k: Array) -> Flags:
        # From the dead end of predictions to where a step leads to 0.
        parts = np.linspace(1e-3, 0.999, 2001)
        start = np.concatenate([parts * (1 + each) / each for each in k])
        once = relative(frozen(balanced(start), rate_of(np.repeat(k, parts.size)), 1).networks)
        rises = np.abs(once - 1) > np.abs(start - 1) * (1 + 1e-12)
        return np.asarray(~rises.reshape(k.size, parts.size).any(axis=1))

    return threshold(holds, 0.5, 1, 4)


def settles() -> float:
    """Return up to which k a balanced network comes nearer to zero loss in 1,000 steps."""

    def holds(k: Array) -> Flags:
        ended = frozen(balanced(np.full(k.size, 1 + 1e-6)), rate_of(k), 1000)
        return np.abs(relative(ended.networks) - 1) < np.abs(relative(ended.initial) - 1)

    return threshold(holds, 0.5, 1.15, 9)


def two_cycle(k: float) -> float:
    """Return r*(sqrt(1/r - 3/4) + 1/2) of the lower prediction r of an orbit of period 2."""
    settled = rl.train(balanced([0.9]), POINT, rate_of(k), max_steps=20_000, freeze=("c",))
    if settled.period[0] != 2:
        return math.nan
    other = frozen(settled.networks, rate_of(k), 1).networks
    r = min(relative(settled.networks)[0], relative(other)[0])
    return float(r * (math.sqrt(1 / r - 0.75) + 0.5))


def lyapunov(k: float) -> float:
    """Return at which rate neighbours come apart, per step, on the mean of 200 starts."""
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

    Superstable are orbits through the start whose next prediction is the largest, (1 + k)/(3k):
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


def reached_by_flow() -> float:
    """Return the prediction at the published time, extrapolated to steps of no length."""
    start = balanced([SAXE_FROM / TARGET])
    one, two, four = (
        TARGET * relative(frozen(start, SAXE_TIME / n, n).networks)[0] for n in (1000, 2000, 4000)
    )
    return float((8 * four - 6 * two + one) / 3)


def critical_rate(big_a: float, v: float) -> float:
    """Return Liang and Montufar's critical rate of a start."""
    y, r = TARGET / Q, big_a**2 + v**2
    beyond = 8 / (r + math.sqrt(r * r - 16 * y * (big_a * v - y)))
    return min(1 / y, beyond) / Q**2


def converges_up_to(big_a: float, v: float) -> float:
    """Return up to which rate the network converges alive from a start."""

    def holds(rate: Array) -> Flags:
        start = networks(np.full(rate.size, big_a), np.full(rate.size, v))
        ended = rl.train(start, POINT, rate, max_steps=20_000, freeze=("c",))
        return np.asarray((ended.outcome == "converged") & (ended.unit == "alive"))

    return threshold(holds, 0.02, 0.3, 6)


def flow_sharpness_ratio() -> float:
    """Return by which largest factor a step changes the sharpness where gradient flow would end.

    With c frozen that is q^2*sqrt((A^2 - v^2)^2 + 4*(target/q)^2), of what flow conserves. Of the
    steps after which the unit fires and of which (rate*q*residual)^2 <= 2.
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

    g is the smaller of its two sides, P^2*E|x - hinge|*sqrt(1 + E(x)^2) of the samples on a side.
    """
    data = rl.TrainingSet.teacher(w=1, b=0.2, v=1, c=0, n_samples=9)
    rates = np.geomspace(0.02, 2, 12)
    sweep = rl.Sweep(
        data=data, **rl.standard_normal(), draws=500, learning_rate=rates, max_steps=20_000
    )
    runs = sweep.run().query("outcome == 'converged' and unit == 'alive'")
    hinge = (-runs["b"] / runs["w"]).to_numpy()[:, np.newaxis]
    sides = []
    for inside in (data.x > hinge, data.x < hinge):
        count = np.maximum(inside.sum(axis=1), 1)
        mean = (inside * data.x).sum(axis=1) / count
        distance = (inside * np.abs(data.x - hinge)).sum(axis=1) / count
        sides.append(inside.mean(axis=1) ** 2 * distance * np.sqrt(1 + mean**2))
    bound = 1 + 2 * np.abs(runs["v"] * runs["w"]) * np.minimum(*sides)
    return float(np.min(rl.sharpness(rl.Networks(*(runs[p] for p in "wbvc")), data) / bound))


def dead_loss() -> float:
    """Return the loss of a dead unit's network on t = 2x - 1 at 20,000 midpoints of [0, 1]."""
    x = (np.arange(20_000) + 0.5) / 20_000
    ended = rl.train(rl.Networks(w=1, b=-5, v=1, c=0), rl.TrainingSet(x, 2 * x - 1), 0.5)
    return float(ended.loss[0])


# Symmetric, as the normal numbers of the question are.
NORMAL_X = np.array([NormalDist().inv_cdf((i + 0.5) / 1000) for i in range(1000)])
RELU_DATA = rl.TrainingSet(NORMAL_X, np.maximum(NORMAL_X, 0))
KERAS_RATE = 2 * 0.01


def slope_learned(w: float) -> float:
    """Return where a ReLU with v = 1 and no biases ends from a weight, on data of relu(x)."""
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
