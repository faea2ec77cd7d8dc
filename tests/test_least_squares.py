from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relulab.model.data import TrainingSet
from relulab.model.network import Networks
from relulab.theory import optimum
from relulab.theory.optimum import best_fit, smallest_loss, smallest_losses
from relulab.validation import InputError

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries


def plain_loss(network, x, target, slope=0.0):
    """Return the loss of a network, one sample after the other, in exact arithmetic."""
    w, b, v, c = (Fraction(float(p)) for p in network.stack()[:, 0])
    total = Fraction(0)
    for xi, ti in zip(x, target, strict=True):
        pre = w * Fraction(float(xi)) + b
        total += (v * max(pre, Fraction(slope) * pre) + c - Fraction(float(ti))) ** 2
    return float(total / (2 * len(x)))


def loss_at(x, target, hinge, sign, slope=0.0):
    """Return the smallest loss with the hinge at a position."""
    pre = sign * (x - hinge)
    columns = np.stack([np.maximum(pre, slope * pre), np.ones(x.size)], axis=1)
    solution = np.linalg.lstsq(columns, target)[0]
    return 0.5 * np.mean((columns @ solution - target) ** 2)


def golden_section(function, low, high):
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if function(left) < function(right):
            high = right
        else:
            low = left
    return function((low + high) / 2)


def brute_loss(x, target, slope=0.0):
    """Return the smallest loss that a search over hinge positions and straight lines finds."""
    knots = np.unique(x)
    line = np.stack([x, np.ones(x.size)], axis=1) - [x.mean(), 0]
    losses = [0.5 * np.mean((line @ np.linalg.lstsq(line, target)[0] - target) ** 2)]
    for sign in (1, -1):
        for low, high in pairwise(knots):
            grid = np.linspace(low, high, 5)  # with the middle
            at_grid = [loss_at(x, target, hinge, sign, slope) for hinge in grid]
            losses += at_grid
            k = int(np.argmin(at_grid))
            ends = grid[max(k - 1, 0)], grid[min(k + 1, 4)]
            if min(at_grid) <= 1.5 * min(losses) + 1e-15:  # others cannot win
                at = partial(loss_at, x, target, sign=sign, slope=slope)
                losses.append(golden_section(at, *ends))
    return min(losses)


def assert_best(x, target, slope=0.0):
    x, target = np.asarray(x, float), np.asarray(target, float)
    fit = best_fit(TrainingSet(x, target), slope)
    assert fit.loss <= brute_loss(x, target, slope) * (1 + 1e-9) + 1e-15
    assert plain_loss(fit.network, x, target, slope) == pytest.approx(fit.loss, rel=1e-9, abs=1e-20)
    residual = fit.network.predict(x, slope)[0] - target
    assert 0.5 * np.mean(residual**2) == pytest.approx(fit.loss, rel=1e-9, abs=1e-20)
    firing = fit.network.w * x + fit.network.b > 0
    kinds = {"linear": firing.all(), "hinge": firing.any() and not firing.all()}
    assert kinds.get(fit.kind, fit.network.v == 0)
    return fit


def kinked(rng, n):
    w, b, v = rng.normal(size=3)
    x = rng.normal(size=n)
    return x, v * np.maximum(w * x + b, 0) + rng.choice([0.01, 0.3]) * rng.normal(size=n)


@pytest.mark.parametrize("seed", range(40))
def test_no_search_finds_better(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 41))
    x, target = [
        lambda: kinked(rng, n),
        lambda: (rng.normal(size=n), rng.normal(size=n)),
        lambda: (rng.integers(0, 6, n), rng.normal(size=n)),
        lambda: (rng.standard_cauchy(n), rng.integers(0, 2, n)),
    ][seed % 4]()
    assert_best(x, target)


def line_squares(x, target):
    """Return the sum of squared residuals of the line, and the line's mean point and slope."""
    mean_x, mean = sum(x) / len(x), sum(target) / len(target)
    sxx = sum((u - mean_x) ** 2 for u in x)
    slope = sum((u - mean_x) * (z - mean) for u, z in zip(x, target, strict=True)) / (sxx or 1)
    return sum((z - mean - slope * (u - mean_x)) ** 2 for u, z in zip(x, target, strict=True)), (
        mean_x, mean, slope,
    )  # fmt: skip


@pytest.mark.parametrize("slope", [1e-3, 0.01, 0.2, 0.9, 1 - 2**-20, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_no_search_finds_better_with_a_slope(seed, slope):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 21))
    x, target = [
        lambda: kinked(rng, n),
        lambda: (rng.normal(size=n), rng.normal(size=n)),
        lambda: (rng.integers(0, 6, n), rng.normal(size=n)),
        lambda: (rng.standard_cauchy(n), rng.integers(0, 2, n)),
    ][seed % 4]()
    fit = assert_best(x, target, slope)
    assert smallest_loss(TrainingSet(x, target), slope) == fit.loss


def exact_leaky_squares(x, target, slope):
    """Return the smallest sum of squared residuals over all splits and hinges, in fractions.

    Of each split the line on both sides with slopes m and slope*m, two intercepts free, by normal
    equations; and hinges on all samples.
    """
    x, target = ([Fraction(float(u)) for u in values] for values in (x, target))
    slope = Fraction(slope)
    found = [line_squares(x, target)[0]]
    for sign in (1, -1):
        places = [sign * u for u in x]
        for low, high in pairwise(sorted(set(places))):
            for hinge in (low, high):
                activation = [max(u - hinge, slope * (u - hinge)) for u in places]
                found.append(line_squares(activation, target)[0])
            sides = [[i for i, u in enumerate(places) if (u >= high) == fires] for fires in (0, 1)]
            means = [
                [sum(values[i] for i in side) / len(side) for values in (places, target)]
                for side in sides
            ]
            scaled = [
                (factor * (places[i] - mean_x), target[i] - mean)
                for factor, side, (mean_x, mean) in zip((slope, 1), sides, means, strict=True)
                for i in side
            ]
            across = sum(u * u for u, _ in scaled)
            if slope == 1 or not across:
                continue
            m = sum(u * z for u, z in scaled) / across
            (left_x, left), (right_x, right) = means
            if m and low <= (right_x - slope * left_x - (right - left) / m) / (1 - slope) <= high:
                found.append(sum((z - m * u) ** 2 for u, z in scaled))
    return min(found)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=7),
    st.sampled_from([1e-12, 1e-6, 0.01, 0.25, 0.9, 1 - 2.0**-40, 1.0]),
    st.sampled_from([0.0, 1e6]),
)
@example([(0, 0), (1, 1), (2, 5)], 1e-6, 0.0)  # nearly a plain ReLU's, with another loss
def test_the_smallest_loss_with_a_slope_is_exact(samples, slope, offset):
    x, target = np.array(samples, float).T
    best = float(exact_leaky_squares(x + offset, target, slope)) / (2 * x.size)
    found = smallest_loss(TrainingSet(x + offset, target), slope)
    assert found == pytest.approx(best, rel=1e-12, abs=1e-24)


def test_a_small_slope_is_not_nearly_none():
    """The samples on the left are a line, and that on the right is where v of 1/slope takes it."""
    data = TrainingSet([0, 1, 2, 3], [0, 1, 2, 5])
    assert smallest_loss(data, 1e-6) == pytest.approx(0, abs=1e-24)
    assert smallest_loss(data) > 0.05
    for tiny in (2.0**-101, 1e-200, 5e-324):  # with which no hinge in float64 is near enough
        assert smallest_loss(data, tiny) == smallest_loss(data)


@pytest.mark.parametrize("slope", [0.0, 0.01, 1 - 2.0**-20])
@pytest.mark.parametrize("seed", range(12))
def test_judging_all_splits_changes_nothing(seed, slope, monkeypatch):
    """What float64 finds to be surely worse is so: to the bit, with all in twice the precision."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 400))
    x, noise = rng.normal(size=(2, n))
    x = [
        lambda: x,
        lambda: np.round(x),
        lambda: 1 + np.round(9 * x) * 2.0**-52,
        lambda: x + 1e9,
        lambda: np.where(x > 0, 1e-150 * x, np.round(x)),
        lambda: rng.standard_cauchy(n),
    ][seed % 6]()
    place = (x - np.median(x)) / (np.ptp(x) or 1)
    target = np.maximum(place, 0) + [0.1, 1e-7][seed % 2] * noise + [0, 1e12][seed // 6]
    samples = TrainingSet(x, target)
    few = fit_of(samples, slope)
    monkeypatch.setattr(optimum, "MARGIN", 1e300)
    assert fit_of(TrainingSet(x, target), slope) == few


def fit_of(data, slope):
    """Return the least loss and the best fit, or that they are refused."""
    try:
        loss = smallest_loss(data, slope)
        fit = best_fit(data, slope)
    except InputError as error:
        return str(error)
    return loss, fit.kind, fit.network.stack().tobytes()


def test_few_of_many_splits_are_judged():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 30_000)
    data = TrainingSet(x, np.maximum(x, 0) + 0.1 * rng.normal(size=x.size))
    for slope in (0.0, 0.01, 1.0):
        with np.errstate(all="ignore"):
            right, left = optimum._Scaled.of(data).candidates(np.array([slope]))
        assert right.size + left.size < 100


def test_many_slopes_at_once_are_each_alone():
    rng = np.random.default_rng(3)
    for n in (1, 2, 30, 3000):
        data = TrainingSet(rng.normal(size=n), rng.normal(size=n))
        slopes = np.append(rng.random(60), [0.0, 1.0, 0.5, 0.5])
        alone = [smallest_loss(data, s) for s in slopes]
        assert smallest_losses(data, slopes).tolist() == alone
        assert alone[-4] == best_fit(data).loss


def test_a_slope_of_1_is_the_least_squares_line():
    rng = np.random.default_rng(4)
    x, target = rng.normal(size=(2, 200))
    fit = best_fit(TrainingSet(x, target), 1.0)
    expected, *_ = np.polyfit(x, target, 1, full=True)
    assert fit.kind == "linear"
    assert fit.network.v[0] * fit.network.w[0] == pytest.approx(expected[0], rel=1e-12)
    assert fit.loss == pytest.approx(np.mean((np.polyval(expected, x) - target) ** 2) / 2)


@pytest.mark.parametrize("slope", [0.05, 0.5, 1.0])
def test_no_descent_comes_below_the_smallest_loss(slope):
    """Plain descent from 300 starts, of which the best comes near it."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, 12)
    data = TrainingSet(x, np.abs(x - 0.3) + 0.1 * rng.normal(size=12))
    stack = rng.normal(size=(4, 300))
    for _ in range(4000):
        stack -= 0.2 * Networks.from_stack(stack).gradients(data.x, data.target, slope)
    predicted = Networks.from_stack(stack).predict(data.x, slope)
    losses = np.mean((predicted - data.target) ** 2, axis=1) / 2
    losses = losses[np.isfinite(losses)]
    best = smallest_loss(data, slope)
    assert losses.min() >= best * (1 - 1e-12)
    assert losses.min() == pytest.approx(best, rel=0.01)


@pytest.mark.parametrize("slope", [-0.1, 1.1, np.nan, [0.1, 0.2], "x", None])
def test_other_slopes_are_refused(slope):
    with pytest.raises(InputError, match=r"^negative_slope: expected"):
        best_fit(TrainingSet([0, 1], [0, 1]), slope)


def exact_best_squares(x, target):
    """Return the smallest sum of squared residuals over all splits and hinges, in fractions."""
    x, target = ([Fraction(float(u)) for u in values] for values in (x, target))
    found = [line_squares(x, target)[0]]
    for sign in (1, -1):
        places = [sign * u for u in x]
        for low, high in pairwise(sorted(set(places))):
            firing = [i for i, place in enumerate(places) if place >= high]
            silent = [z for place, z in zip(places, target, strict=True) if place <= low]
            level = sum(silent) / len(silent)
            own, (mean_x, mean, slope) = line_squares(
                [places[i] for i in firing], [target[i] for i in firing]
            )
            if slope and low <= mean_x - (mean - level) / slope <= high:
                found.append(own + sum((z - level) ** 2 for z in silent))
            found.append(line_squares([max(u - low, 0) for u in places], target)[0])
    return min(found)


@st.composite
def extreme_samples(draw):
    """Draw samples a few ulps apart, near each other beside others, and of all sizes."""
    n = draw(st.integers(2, 6))
    ints = st.lists(st.integers(-5, 5), min_size=n, max_size=n).map(np.array)
    size, base = (10.0 ** draw(st.integers(-320, 300)) for _ in range(2))
    z, other, target = draw(ints), draw(ints), draw(ints)
    kind = draw(st.sampled_from(["scaled", "cluster", "ulps", "ulps beside others", "offset"]))
    x = {
        "scaled": z * size,
        "cluster": np.where(other > 0, z * size, other),
        "ulps": base * (1 + z * 2.0**-52),
        "ulps beside others": np.where(other > 0, 1 + z * 2.0**-52, other),
        "offset": z + draw(st.sampled_from([1e3, 1e9, 1e15])),
    }[kind]
    return x, target * draw(st.sampled_from([1.0, 1.0, 1e-300, 1e100, 1e300]))


@settings(max_examples=50)
@given(extreme_samples())
@example(([1, 1 + 2**-52, 1 + 3 * 2**-52], [0, 1, 5]))
@example(([1, 1 + 3 * 2**-52, 1 - 2**-52], [996, 998, 1005]))
@example(([0, 1e-200, 1], [0, 1, 1]))
@example(([0, 1, 2], [1e300, 0, 1e300]))
@example(([1e200, 2e200, 3e200], [1e-130, 0, 1e-130]))
# Scaled to at most 1, the smallest x would be equal.
@example(([-4e291, -8e-278, 2e-138], [6, 2, 0]))
@example(([-1e-323, -1e-323, 5e-324, 1.9, 2], [1, 1, 0, 0, 1]))
def test_wherever_samples_lie_the_best_fit_is_exact_or_refused(samples):
    x, target = (np.asarray(values, float) for values in samples)
    try:
        fit = best_fit(TrainingSet(x, target))
    except InputError as error:
        assert "range and the precision of float64" in str(error)  # noqa: PT017
        return
    best = exact_best_squares(x, target) / (2 * len(x))
    level = Fraction(float(np.abs(target).max()))
    # Of the largest target an ulp squared, of the loss what float64 has of it.
    accuracy = best / 10**8 + level**2 / 10**14 + Fraction(5e-324)
    assert abs(Fraction(fit.loss) - best) <= accuracy
    w, b, v, c = (Fraction(float(p)) for p in fit.network.stack()[:, 0])
    residuals = [
        v * max(w * Fraction(u) + b, 0) + c - Fraction(z)
        for u, z in zip(x.tolist(), target.tolist(), strict=True)
    ]
    assert abs(sum(r * r for r in residuals) / (2 * len(x)) - best) <= accuracy


def test_a_sweep_needs_no_network_of_the_smallest_loss():
    x, target = 1 + 2.0**-52 * np.array([0, 1, 3]), np.array([0, 1, 5])
    with pytest.raises(InputError, match="within the range and the precision"):
        best_fit(TrainingSet(x, target))
    best = exact_best_squares(x, target) / 6
    assert smallest_loss(TrainingSet(x, target)) == pytest.approx(float(best), rel=1e-9, abs=1e-12)


def test_samples_at_two_places_are_fitted_by_a_line():
    """A hinge has the same squares, and may round to less."""
    x = np.where([1, 1, 1, 0, 1, 0], 1.0000000000000005e150, 9.999999999999996e149)
    target = [
        0.8444421477595768,
        1.0641423337440055,
        1.0156848017959308,
        0.11045599407379741,
        1.0894574125059968,
        -0.061775780831284155,
    ]
    assert best_fit(TrainingSet(x, target)).kind == "linear"


SMALL = st.integers(-4, 4)


@settings(max_examples=60)
@given(st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=9))
def test_ties(samples):
    assert_best(*zip(*samples, strict=True))


@settings(max_examples=60)
@given(st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=12))
def test_laws(samples):
    x, target = np.array(samples, float).T
    fit = best_fit(TrainingSet(x, target))
    for other, factor in (
        (TrainingSet(-x, target), 1),
        (TrainingSet(x, -target), 1),
        (TrainingSet(x[::-1], target[::-1]), 1),
        (TrainingSet(np.tile(x, 2), np.tile(target, 2)), 1),
        (TrainingSet(x + 2**20, target - 2**20), 1),
        (TrainingSet(x * 2.0**500, target * 2.0**-30), 2.0**-60),
        (TrainingSet(x * 2.0**-500, target * 2.0**30), 2.0**60),
    ):
        same = best_fit(other)
        assert same.loss == pytest.approx(factor * fit.loss, rel=1e-14, abs=1e-28 * factor)
        assert same.kind == fit.kind


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize(("w", "b", "v", "c"), [(2, -0.6, -3, 0.5), (-0.5, 0.1, 4, -2)])
def test_teacher_is_found(w, b, v, c, offset):
    data = TrainingSet.teacher(w, b - w * offset, v, c, low=offset - 1, high=offset + 1)
    fit = best_fit(data)
    accuracy = 1e-14 * (1 + offset)
    assert fit.kind == "hinge"
    assert fit.loss < accuracy**2
    assert fit.network.w[0] == np.sign(w)
    assert fit.network.v[0] * fit.network.w[0] == pytest.approx(v * w, abs=30 * accuracy)
    hinge = -fit.network.b[0] / fit.network.w[0]
    assert hinge == pytest.approx(offset - b / w, abs=30 * accuracy)
    assert fit.network.c[0] == pytest.approx(c, abs=30 * accuracy)


def test_a_perfect_fit_has_no_loss_but_rounding():
    assert best_fit(TrainingSet.teacher(1, -0.3, 1, 0, n_samples=1000)).loss < 1e-30
    x = np.arange(8) / 8 + 1e6  # exactly representable: no loss at all
    assert best_fit(TrainingSet(x, np.maximum(x - 1e6 - 0.25, 0))).loss < 1e-50


def test_offset():
    rng = np.random.default_rng(0)
    x, target = kinked(rng, 30)
    there = x + 1e6
    here = best_fit(TrainingSet(there - 1e6, target))
    far = best_fit(TrainingSet(there, target))
    assert far.loss == pytest.approx(here.loss, rel=1e-12)
    assert plain_loss(far.network, there, target) == pytest.approx(far.loss, rel=1e-12)


@pytest.mark.parametrize(
    ("x", "target"), [([1], [3]), ([1, 2, 5], [3, 3, 3]), ([2, 2, 2], [3, 2, 4]), ([0], [0])]
)
def test_constant(x, target):
    fit = best_fit(TrainingSet(x, target))
    assert (fit.kind, fit.network.v[0], fit.network.c[0]) == ("constant", 0, np.mean(target))
    assert fit.loss == pytest.approx(np.var(target) / 2, rel=1e-15)


def test_what_lies_below_a_constant_is_found():
    # A symmetric bump: neither a line nor the mean, but one flat side and half a slope.
    assert assert_best([-2, -1, 0, 1, 2], [0, 0, 1, 0, 0]).kind == "hinge"


@pytest.mark.parametrize(
    ("x", "target"), [([1, 2], [5, 3]), ([2, 2, 3], [1, 3, 0]), (np.linspace(-3, 1, 50), None)]
)
def test_linear(x, target):
    x = np.asarray(x, float)
    fit = assert_best(x, 3 - 0.7 * x if target is None else target)
    assert fit.kind == "linear"


def test_two_samples_that_hardly_differ_fire():
    x = np.array([-1, -1 + 2**-53])
    fit = best_fit(TrainingSet(x, [0, 1]))
    assert fit.kind == "linear"
    assert (fit.network.w * x + fit.network.b > 0).all()


def test_a_lone_sample_fires_alone():
    fit = assert_best([0, 1, 2, 3, 4, 5], [1, -1, -1, 1, 0, 60])
    assert fit.kind == "hinge"
    assert fit.network.b[0] == -4  # the flattest of the equally good
    assert fit.network.c[0] == pytest.approx(0, abs=1e-30)


def test_many_samples():
    rng = np.random.default_rng(1)
    x, noise = rng.uniform(-1, 1, 100_000), rng.normal(size=100_000)
    target = 2 * np.maximum(0.2 - x, 0) + 0.1 * noise
    fit = best_fit(TrainingSet(x, target))
    assert fit.kind == "hinge"
    assert fit.loss == pytest.approx(0.005, rel=0.02)
    assert fit.network.b[0] == pytest.approx(0.2, abs=0.01)
    for shift in (-1e-3, 1e-3):
        near = Networks(-1, fit.network.b + shift, fit.network.v, fit.network.c)
        assert fit.loss < 0.5 * np.mean((near.predict(x)[0] - target) ** 2)


def test_refusals():
    with pytest.raises(InputError, match="data: expected TrainingSet, got 3"):
        best_fit(3)
    with pytest.raises(InputError, match="data: expected samples whose best fit is within"):
        best_fit(TrainingSet([0, 1e-200], [0, 1e200]))
