"""Closed forms against simulation, and simulation against the published values."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relulab as rl
from relulab import theory

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

N = 40_000
STANDARD = {"std_w": 1.0, "std_b": 1.0, "std_v": 1.0}
NORMAL, UNIFORM = rl.Normal(0, 1), rl.Uniform(-1, 1)


def fraction(p):
    return pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / N) + 1e-12)


def values(law, rng):
    return law.sample(rng, N) if isinstance(law, rl.Normal | rl.Uniform) else np.full(N, law)


def states(n):
    """Return random w, b, v, c of shape (4, n)."""
    return np.random.default_rng(0).normal(size=(4, n))


# Born dead


@pytest.mark.parametrize(
    ("w", "b", "low", "high"),
    [
        (NORMAL, NORMAL, -1, 1),
        (NORMAL, NORMAL, -(3**0.5), 3**0.5),
        (rl.Normal(0, 2), rl.Normal(0, 0.5), -1, 1),
        (NORMAL, NORMAL, 0, 2),
        (rl.Normal(0, 0.7), rl.Normal(0, 2), 1, 3),
        (UNIFORM, UNIFORM, -0.5, 0.5),
        (UNIFORM, UNIFORM, -2.5, 2.5),
        (UNIFORM, UNIFORM, 0, 2.5),
        (UNIFORM, UNIFORM, 1.5, 4),
        (rl.Uniform(-3, 3), rl.Uniform(-0.5, 0.5), -0.1, 0.3),
        (NORMAL, 0.0, 1, 2),
        (NORMAL, 0.0, 0, 2),
        (NORMAL, 0.0, -1, 2),
        (NORMAL, 0.0, 0, 0),
        (UNIFORM, -0.5, -2, 1),
        (NORMAL, 0.5, 1, 2),
        (NORMAL, 0.5, -1, 2),
        (NORMAL, -0.5, 0, 0),
        (rl.Normal(1, 2), -0.3, -2, 1),
        (rl.Uniform(0, 3), -0.5, -2, 1),
        (0.7, NORMAL, -1, 2),
        (-2, rl.Uniform(-3, 1), -1, 2),
        (rl.Normal(0, 0), NORMAL, -1, 2),
    ],
)
def test_born_dead(w, b, low, high):
    data = rl.TrainingSet([low, (low + high) / 2, high], [0, 1, 2])
    rng = np.random.default_rng(0)
    trained = rl.train(rl.Networks(values(w, rng), values(b, rng), 1, 0), data, 0.1, max_steps=0)
    found = (trained.unit == "born_dead").mean()
    assert found == fraction(theory.born_dead_probability(w, b, low, high))


def test_born_dead_published_values():
    def normal(low, high, std_w=1, std_b=1):
        w, b = rl.Normal(0, std_w), rl.Normal(0, std_b)
        return theory.born_dead_probability(w, b, low, high)

    def uniform(low, high):
        return theory.born_dead_probability(UNIFORM, UNIFORM, low, high)

    assert normal(-1, 1) == pytest.approx(1 / 4)
    assert normal(-(3**0.5), 3**0.5) == pytest.approx(1 / 6)
    for r in (0.3, 1.0, 2.0, 7.0):
        assert normal(-r, r) == pytest.approx(math.atan(1 / r) / math.pi)
        assert normal(-r, r, 2, 3) == pytest.approx(math.atan(3 / (r * 2)) / math.pi)
        assert normal(0, r) == pytest.approx(0.5 - math.atan(r) / (2 * math.pi))
        assert uniform(-r, r) == pytest.approx(1 / (4 * r) if r >= 1 else 0.5 - r / 4)
        assert uniform(0, r) == pytest.approx((1 + (1 - r / 2 if r <= 1 else 1 / (2 * r))) / 4)
    for one_point in (normal(2, 2), uniform(2, 2), uniform(-0.5, -0.5)):
        assert one_point == pytest.approx(1 / 2)


def test_zero_bias_is_born_dead_by_the_sign_of_w_or_never():
    for name in ("he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal"):
        w, b = (rl.scheme(name)[p] for p in "wb")
        for b_0 in (b, rl.Normal(0, 0)):
            found = [
                theory.born_dead_probability(w, b_0, low, high)
                for low, high in [(-1, 2), (1, 2), (-2, -1), (0, 2), (-2, 0), (3, 3), (0, 0)]
            ]
            assert found == pytest.approx([0, 0.5, 0.5, 0.5, 0.5, 0.5, 1])


def test_numbers_are_born_dead_or_not():
    assert theory.born_dead_probability(1, -2, -1, 2) == 1  # pre-activation 0 does not fire
    assert theory.born_dead_probability(1, -2, -1, 2.1) == 0
    assert theory.born_dead_probability(-1, -2, -2, 2) == 1
    assert theory.born_dead_probability(0, 0.1, 0, 0) == 0


def quantiles(law, n=2000):
    middle = (np.arange(n) + 0.5) / n
    if isinstance(law, rl.Uniform):
        return law.low + (law.high - law.low) * middle
    return np.array([NormalDist(law.mean, law.std).inv_cdf(p) for p in middle])


def below(law, values):
    if isinstance(law, rl.Uniform):
        return np.clip((values - law.low) / (law.high - law.low), 0, 1)
    return np.array([NormalDist(law.mean, law.std).cdf(value) for value in values])


size = st.floats(0.05, 20)


@settings(max_examples=60)
@given(st.booleans(), size, size, st.floats(-5, 5), st.floats(-5, 5))
def test_born_dead_is_the_mean_over_w(gaussian, size_w, size_b, one, other):
    law = rl.Normal if gaussian else (lambda _, size: rl.Uniform(-size, size))
    w, b, low, high = law(0, size_w), law(0, size_b), min(one, other), max(one, other)
    ws = quantiles(w)
    expected = below(b, -np.maximum(ws * low, ws * high)).mean()
    assert theory.born_dead_probability(w, b, low, high) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("w", "b", "low", "high", "message"),
    [
        (NORMAL, NORMAL, 1, 0, "x_max: expected a number >= x_min = 1, got 0"),
        (NORMAL, NORMAL, math.nan, 0, "x_min: expected a finite number"),
        (NORMAL, UNIFORM, 0, 1, "w, b: expected two Normal or two Uniform of mean 0"),
        (rl.Normal(1, 1), NORMAL, 0, 1, r"got Normal\(mean=1.0, std=1.0\) and Normal"),
        (UNIFORM, rl.Uniform(0, 1), 0, 1, "w, b: expected two"),
        (rl.LogUniform(1, 2), 0, 0, 1, "w: expected a number, Normal or Uniform, got LogUniform"),
        (NORMAL, [1, 2], 0, 1, "b: expected a number, Normal or Uniform"),
        (NORMAL, "0", 0, 1, "b: expected a number"),
    ],
)
def test_born_dead_names_what_has_no_closed_form(w, b, low, high, message):
    with pytest.raises(rl.InputError, match=message):
        theory.born_dead_probability(w, b, low, high)


# Death by training


@pytest.mark.parametrize(("x", "target"), [(1.0, 3.0), (-0.5, 0.3), (0.0, -1.0)])
def test_death_in_one_step_is_that_of_training(x, target):
    parameters, rate = states(5000), np.geomspace(1e-3, 10, 5000)
    found = theory.dies_in_one_step(*parameters, x, target, rate)
    data = rl.TrainingSet.point(x, target)
    trained = rl.train(rl.Networks(*parameters), data, rate, max_steps=1, gradient_tolerance=0)
    assert 300 < found.sum() < 2000
    np.testing.assert_array_equal(found, trained.death_step == 1)


def test_death_in_one_step_at_the_exact_boundary():
    # a = 1, e = 1, s = 2: the pre-activation becomes 1 - 2*rate.
    assert theory.dies_in_one_step(1, 0, 1, 1, 1, 1, [0.49, 0.5, 0.51]).tolist() == [0, 1, 1]
    assert not theory.dies_in_one_step(-1, 0, 1, 9, 1, 1, 1)  # dead before
    assert not theory.dies_in_one_step(1, -1, 1, 9, 1, 1, 1)
    assert theory.dies_in_one_step([1, -1], 0, 1, [[1], [0], [9]], 1, 1, 1).shape == (3, 2)


PUBLISHED = {0.01: 0.007042, 0.1: 0.085415, 0.2: 0.138629, 0.5: 0.196883, 1: 0.225296, 2: 0.242597}


def test_first_step_death_published_values():
    found = theory.death_at_first_step_probability(1, 3, list(PUBLISHED), **STANDARD)
    assert found == pytest.approx(list(PUBLISHED.values()), abs=6e-7)


@pytest.mark.parametrize(("rate", "probability"), PUBLISHED.items())
def test_fraction_that_dies_at_step_one(rate, probability):
    sweep = rl.Sweep(
        data=rl.TrainingSet.point(1, 3), w=NORMAL, b=NORMAL, v=NORMAL, learning_rate=rate,
        draws=N, max_steps=1,
    )  # fmt: skip
    assert sweep.run()["death_step"].eq(1).fillna(False).mean() == fraction(probability)


@pytest.mark.parametrize(
    ("x", "target", "std_w", "std_b", "std_v", "c"),
    [(2.0, -1.0, 0.5, 2.0, 3.0, 0.5), (0.0, 1.0, 7.0, 0.1, 1.0, 0.0), (-1.0, 1.0, 1, 0, 0.2, 1.0)],
)
def test_first_step_death(x, target, std_w, std_b, std_v, c):
    rates = np.array([0.003, 0.1, 0.7, 5.0])
    rng = np.random.default_rng(3)
    w, b, v = (std * rng.normal(size=N) for std in (std_w, std_b, std_v))
    expected = theory.death_at_first_step_probability(
        x, target, rates, std_w=std_w, std_b=std_b, std_v=std_v, c=c
    )
    for rate, probability in zip(rates, expected, strict=True):
        assert theory.dies_in_one_step(w, b, v, c, x, target, rate).mean() == fraction(probability)


def first_step_death_by_quadrature(push, distance):
    """Return P(0 < a <= push*v*(v*a + distance)) as a sum over v."""
    normal, (cells, width) = NormalDist(), np.linspace(-9, 9, 40_000, retstep=True)
    total = 0.0
    for v in cells:
        slope, limit = 1 - push * v * v, push * v * distance  # slope*a <= limit is dead
        if slope > 0:
            dead = normal.cdf(limit / slope) - 0.5 if limit > 0 else 0.0
        else:
            dead = 1 - normal.cdf(max(limit / slope, 0))
        total += dead * normal.pdf(v)
    return total * width


@pytest.mark.parametrize(
    ("push", "distance"), [(0.3, 1.7), (1e-3, 40.0), (50.0, 0.2), (1e-3, 0.01)]
)
def test_first_step_death_to_many_digits(push, distance):
    found = theory.death_at_first_step_probability(0, distance, push, **STANDARD)
    assert found == pytest.approx(first_step_death_by_quadrature(push, distance), abs=1e-7)


def test_first_step_death_at_the_ends():
    def probability(rate, **changed):
        return theory.death_at_first_step_probability(1, 3, rate, **{**STANDARD, **changed})

    assert probability([0.0, 1e-300]) == pytest.approx([0, 0], abs=1e-20)
    assert probability([1e12, 1e300], c=3 - 1e-3) == pytest.approx(0.5, abs=0.01)
    assert probability([1e12, 1e300], c=1e9) == pytest.approx(0.25)
    assert probability(1e300) == pytest.approx(probability(1e24), abs=1e-12)
    assert probability([1.0, 2.0], std_v=0).tolist() == [0, 0]
    assert probability(1.0, std_w=0, std_b=0) == 0  # never fires
    assert probability(1.0).shape == ()
    # At the target already: dead where rate*s*v^2 >= 1, whatever a.
    expected = NormalDist().cdf(-1 / math.sqrt(0.7 * 2))
    assert probability(0.7, c=3.0) == pytest.approx(expected, abs=1e-13)
    with pytest.raises(rl.InputError, match="learning_rate: expected values >= 0"):
        probability([1, -1])
    with pytest.raises(rl.InputError, match="std_v: expected a number >= 0"):
        probability(1, std_v=-1)


def test_small_rate_death_published_values():
    probability = theory.small_rate_death_probability
    assert probability(1, 3, **STANDARD) == pytest.approx(0.124967, abs=5e-7)
    he = {"std_w": 2**0.5, "std_b": 0, "std_v": 1}
    assert probability(1, 1, **he) == pytest.approx(0.115604, abs=5e-7)
    assert probability(0, 1, **he) == 0  # never fires
    with pytest.raises(rl.InputError, match="std_b: expected a number >= 0"):
        probability(1, 3, std_w=1, std_b=-1, std_v=1)


@pytest.mark.parametrize(
    ("x", "target", "std_w", "std_b", "std_v", "c"),
    [(1.0, 3.0, 1, 1, 1, 0.0), (1.0, 1.0, 2**0.5, 0, 1, 0.0), (-0.5, 0.3, 1, 0.5, 2, 1.0)],
)
def test_small_rate_death(x, target, std_w, std_b, std_v, c):
    rng = np.random.default_rng(0)
    w, b, v = (std * rng.normal(size=N) for std in (std_w, std_b, std_v))
    expected = theory.small_rate_death_probability(
        x, target, std_w=std_w, std_b=std_b, std_v=std_v, c=c
    )
    assert theory.dies_under_gradient_flow(w, b, v, c, x, target).mean() == fraction(expected)


@pytest.mark.parametrize(
    ("x", "target", "sign"), [(1.0, 3.0, 1), (-0.5, 0.3, 1), (2.0, -1.0, -1), (0.0, 1.0, 1)]
)
def test_death_under_gradient_flow_is_that_of_training_in_small_steps(x, target, sign):
    parameters = states(20_000)
    trained = rl.train(
        rl.Networks(*parameters), rl.TrainingSet.point(x, target), 0.001,
        max_steps=100_000, gradient_tolerance=1e-3,
    )  # fmt: skip
    found = theory.dies_under_gradient_flow(*parameters, x, target)
    assert 1000 < found.sum() < 6000
    # Steps are not a flow: what is decided by a hair is decided otherwise now and then.
    assert (found != (trained.unit == "died")).mean() < 0.001


# One step on one sample, while it fires


@pytest.mark.parametrize(("x", "target", "rate"), [(1.0, 3.0, 0.05), (-0.7, 0.4, 0.3)])
def test_one_step_decouples(x, target, rate):
    trace = rl.trace(rl.Networks(*states(500)), rl.TrainingSet.point(x, target), rate, n_steps=1)
    (w, b, v, c), (w1, b1, v1, c1) = (
        trace.loc[trace["step"] == k, list("wbvc")].to_numpy().T for k in (0, 1)
    )
    both = (w * x + b > 0) & (w1 * x + b1 > 0)
    assert both.sum() > 100
    w, b, v, c, w1, b1, v1, c1 = np.stack([w, b, v, c, w1, b1, v1, c1])[:, both]
    s = 1 + x * x
    q = math.sqrt(s)
    a, a1 = w * x + b, w1 * x + b1
    e, e1, f = v * a + c - target, v1 * a1 + c1 - target, v * a
    scaled, scaled1 = a / q, a1 / q
    close = {"rtol": 1e-12, "atol": 1e-11}
    np.testing.assert_allclose(w1 - x * b1, w - x * b, **close)
    np.testing.assert_allclose(scaled1 + v1, (scaled + v) * (1 - rate * q * e), **close)
    np.testing.assert_allclose(scaled1 - v1, (scaled - v) * (1 + rate * q * e), **close)
    np.testing.assert_allclose(
        scaled1**2 - v1**2, (scaled**2 - v**2) * (1 - rate**2 * s * e**2), **close
    )
    sharp, sharp1 = (theory.interpolation_sharpness(*p, x) for p in ((w, b, v), (w1, b1, v1)))
    np.testing.assert_allclose(e1, e * (1 - rate * sharp + rate**2 * s * e * f), **close)
    np.testing.assert_allclose(
        sharp1, sharp - 4 * rate * s * e * f + rate**2 * s * e**2 * (sharp - 1), **close
    )


@pytest.mark.parametrize("batch_size", [None, 1])
def test_balance_changes_by_the_squares_of_the_steps(batch_size):
    data = rl.TrainingSet([-2, 0.5, 1, 2], [1, 0, -1, 3])
    trace = rl.trace(rl.Networks(*states(200)), data, 0.05, n_steps=40, batch_size=batch_size)
    w, b, v = (trace[p].to_numpy().reshape(200, 41) for p in "wbv")
    squares = np.diff(w) ** 2 + np.diff(b) ** 2 - np.diff(v) ** 2
    change = np.diff(theory.balance(w, b, v))
    assert np.abs(squares).max() > 0.01
    scale = (w * w + b * b + v * v)[:, 1:].max()
    np.testing.assert_allclose(change, squares, rtol=0, atol=1e-14 * scale)


def test_gradient_flow_conserves_the_balance():
    networks, data = rl.Networks(*states(200)), rl.TrainingSet([-2, 0.5, 1], [1, 0, -1])
    worst = []
    for rate in (0.01, 0.005):
        end = rl.trace(networks, data, rate, n_steps=round(2 / rate)).groupby("run").last()
        before = theory.balance(networks.w, networks.b, networks.v)
        worst.append(np.abs(theory.balance(end["w"], end["b"], end["v"]) - before).max())
    assert worst[0] == pytest.approx(2 * worst[1], rel=0.2)


# Where training settles


def test_nothing_firing_converges_above_the_largest_stable_rate():
    for data in (rl.TrainingSet.point(1, 3), rl.TrainingSet([-2, 1, 2], [1, -1, 3])):
        runs = rl.Sweep(
            data=data, w=NORMAL, b=NORMAL, v=NORMAL, c=NORMAL, draws=5000, max_steps=2000,
            learning_rate=[theory.LARGEST_STABLE_RATE * 1.01, 3.0],
        ).run()  # fmt: skip
        firing = runs[runs["unit"] == "alive"]
        assert not (firing["outcome"] == "converged").any()


def test_largest_stable_rates_published_values():
    assert theory.largest_stable_rate(1, 3) == 2
    assert theory.largest_stable_rate(1, 3, c=0) == pytest.approx(0.210853, abs=5e-7)
    assert theory.largest_stable_rate(1, 3, c=0, c_trains=False) == pytest.approx(
        0.235702, abs=5e-7
    )
    assert theory.largest_stable_rate(1, 3, c=3) == 2
    assert theory.largest_stable_rate(1, 3, c=3, c_trains=False) == math.inf
    with pytest.raises(rl.InputError, match="c: expected a number where c does not train"):
        theory.largest_stable_rate(1, 3, c_trains=False)


@pytest.mark.parametrize(("freeze", "c_trains"), [((), True), (("c",), False)])
def test_stable_up_to_the_largest_rate_and_not_above(freeze, c_trains):
    x, target, c = -0.7, 1.6, 0.3
    limit = theory.largest_stable_rate(x, target, c=c, c_trains=c_trains)
    w, b, v = theory.balanced_start(x, target - c, 1.0)
    assert 2 / (theory.interpolation_sharpness(w, b, v, x) - (not c_trains)) == pytest.approx(limit)
    # No other network of zero loss with this c is flatter, and some are nearly as flat.
    w, b = np.random.default_rng(0).normal(size=(2, 10_000))
    a = w * x + b
    w, b, a = w[a > 0], b[a > 0], a[a > 0]
    sharp = theory.interpolation_sharpness(w, b, (target - c) / a, x) - (not c_trains)
    assert 0.99 * limit < 2 / sharp.min() <= limit * (1 + 1e-12)
    # A step away from zero loss training comes back, or leaves.
    w, b, v = theory.balanced_start(x, target - c, 1.0)
    distance = []
    for rate in (0.97 * limit, 1.03 * limit):
        start = rl.Networks(w, b, v + 1e-6, c)
        end = rl.trace(start, rl.TrainingSet.point(x, target), rate, 150, freeze=freeze)
        distance.append(math.sqrt(end["loss"].iloc[-1] / end["loss"].iloc[0]))
    assert distance[0] < 0.1
    assert distance[1] > 10


def test_converged_networks_are_below_the_limit_of_their_sharpness():
    x, target, rates = 1.0, 3.0, [0.1, 0.3, 0.8, 1.5]
    runs = rl.Sweep(
        data=rl.TrainingSet.point(x, target), w=NORMAL, b=NORMAL, v=NORMAL, c=NORMAL, draws=5000,
        learning_rate=rates,
    ).run()  # fmt: skip
    settled = runs[(runs["unit"] == "alive") & (runs["outcome"] == "converged")]
    limit = 2 / theory.interpolation_sharpness(settled["w"], settled["b"], settled["v"], x)
    assert len(settled) > 2000
    assert (settled["learning_rate"] <= limit + 1e-3).all()
    dead = theory.interpolation_sharpness([-1, 0], [0, 0], 5, 1)
    assert dead.tolist() == [1, 1]


def test_no_firing_network_with_a_training_c_has_period_2_or_3_on_one_sample():
    runs = rl.Sweep(
        data=rl.TrainingSet.point(1, 3), w=NORMAL, b=NORMAL, v=NORMAL, c=NORMAL, draws=2000,
        learning_rate=np.linspace(0.1, 1.9, 19), max_steps=3000,
    ).run()  # fmt: skip
    firing = runs[runs["unit"] == "alive"]
    assert len(firing) > 1000
    assert not firing["period"].isin([2, 3]).any()


# Dead units


@pytest.mark.parametrize("targets", [[3.0], [1.0, 2.0, 6.0]])
@pytest.mark.parametrize("c0", [0.0, 7.0])
def test_dead_unit_follows_the_geometric_law(c0, targets):
    rate = np.array([0.1, 1.0, 1.9, 2.0, 2.5])
    data = rl.TrainingSet(np.arange(1.0, 1 + len(targets)), targets)
    trace = rl.trace(rl.Networks([-1] * 5, 0, 1, c0), data, rate, n_steps=20)
    found = trace["c"].to_numpy().reshape(5, 21)
    expected = theory.dead_unit_c(c0, 3.0, rate[:, np.newaxis], np.arange(21))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    assert (trace[["w", "b", "v"]].to_numpy() == [-1, 0, 1]).all()
    loss = trace["loss"].to_numpy().reshape(5, 21)[1, 1:]  # settled
    np.testing.assert_allclose(loss, np.var(targets) / 2, rtol=1e-12, atol=1e-25)


def test_dead_unit_diverges_to_infinity():
    assert theory.dead_unit_c([1, -1], 0, 3, 10_000).tolist() == [np.inf, -np.inf]


def test_dead_unit_converges_after_so_many_steps():
    rate = np.array([0.001, 0.1, 0.5, 0.9, 1.0, 1.3, 1.9, 2.0, 2.5, 0.0])
    networks = rl.Networks([-1] * rate.size, 0, 1, 0.5)
    trained = rl.train(networks, rl.TrainingSet.point(1, 3), rate, max_steps=30_000)
    expected = theory.dead_unit_steps(0.5, 3, rate, 1e-6)
    converges = trained.outcome == "converged"
    assert list(converges) == [True] * 7 + [False] * 3
    np.testing.assert_array_equal(trained.steps_taken[converges], expected[converges])
    assert np.isinf(expected[~converges]).all()
    assert theory.dead_unit_steps([3.0, 3.5], 3.0, 0.1, 0.5).tolist() == [0, 0]
    with pytest.raises(rl.InputError, match="tolerance: expected a finite number > 0"):
        theory.dead_unit_steps(0.5, 3, rate, 0.0)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 8])
def test_dead_unit_per_example_ends_at_a_weighted_mean(n_samples):
    rates = np.array([0.05, 0.5, 1.0, 1.5, 1.9])
    targets = np.random.default_rng(n_samples).normal(size=n_samples) + 4
    data = rl.TrainingSet(np.arange(1.0, n_samples + 1), targets)
    n_epochs = 700 // n_samples + 30
    networks = rl.Networks([-1] * 5, 0, 1, 9)
    trace = rl.trace(networks, data, rates, n_epochs * n_samples, batch_size=1)
    found = trace["c"].to_numpy().reshape(5, -1)[:, -1]
    expected = theory.dead_unit_c_per_example(targets, rates)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    power = np.arange(n_samples)[::-1]
    one_by_one = [r * ((1 - r) ** power @ targets) / (1 - (1 - r) ** n_samples) for r in rates]
    np.testing.assert_allclose(expected, one_by_one, rtol=1e-10)


def test_dead_unit_per_example_at_the_ends():
    targets = [1.0, 2.0, 6.0, -1.0]
    limit = theory.dead_unit_c_per_example
    assert limit(targets, 1e-9) == pytest.approx(2.0)  # the mean
    assert limit(targets, 1.0) == -1.0  # the last
    assert limit([5.0], 0.3) == 5.0
    assert limit(targets, [0.1, 0.2]).shape == (2,)
    for rate in (0.0, 2.0, 2.5, -1.0):
        with pytest.raises(rl.InputError, match="learning_rate: expected values between 0 and 2"):
            limit(targets, [1.0, rate])


# c frozen at 0, balanced


def balanced_training(k, y, max_steps, x=1.0, target=3.0):
    k = np.asarray(k, float)
    w, b, v = theory.balanced_start(x, target, np.broadcast_to(y, k.shape))
    rate = k / (math.hypot(1, x) * target)
    return rl.Networks(w, b, v, 0), rl.TrainingSet.point(x, target), rate


@pytest.mark.parametrize(("x", "target"), [(1.0, 3.0), (-0.4, 0.2)])
def test_a_balanced_start_follows_the_cubic_map(x, target):
    k = np.array([0.1, 0.9, 1.1, 1.4])
    networks, data, rate = balanced_training(k, 0.3, 12, x, target)
    trace = rl.trace(networks, data, rate, 12, freeze=("c",))
    y = np.full(4, 0.3)
    for step in range(13):
        state = trace[trace["step"] == step]
        np.testing.assert_allclose(state["prediction"], y * y * target, rtol=1e-10)
        np.testing.assert_allclose(state["v"], y * math.sqrt(target / math.hypot(1, x)), rtol=1e-10)
        y = theory.balanced_step(y, k)


@pytest.mark.parametrize(
    ("threshold", "below", "above"),
    [(theory.FROZEN_C_SETTLES, 0, 2), (theory.FROZEN_C_PERIOD_4, 2, 4)],
)
def test_periods_double_at_the_thresholds(threshold, below, above):
    margin = 0.002
    networks, data, rate = balanced_training([threshold - margin, threshold + margin], 0.9, 0)
    trained = rl.train(networks, data, rate, freeze=("c",), max_steps=20_000)
    assert trained.period.tolist() == [below, above]
    assert (trained.unit == "alive").all()


def test_published_thresholds():
    assert theory.FROZEN_C_SETTLES == 1
    assert 1.23 < theory.FROZEN_C_PERIOD_4 < 1.24
    assert pytest.approx(1.598, abs=5e-4) == theory.FROZEN_C_DIES


def test_a_balanced_unit_survives_exactly_below_its_threshold():
    for k, dies in ((theory.FROZEN_C_DIES - 0.001, False), (theory.FROZEN_C_DIES + 0.02, True)):
        starts = np.linspace(0.01, math.sqrt((1 + k) / k) - 0.01, 500)
        networks, data, rate = balanced_training(np.full(500, k), starts, 0)
        trained = rl.train(networks, data, rate, freeze=("c",), max_steps=20_000)
        assert (trained.unit == ("died" if dies else "alive")).all()


def test_balanced_start_needs_a_positive_target():
    with pytest.raises(rl.InputError, match="target: expected a finite number > 0"):
        theory.balanced_start(1, -3, 1)
