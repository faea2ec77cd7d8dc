"""Dead units' closed forms against exact fractions and 80 digits, at rates of every size."""

import math
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relulab as rl
from relulab import theory

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

EPSILON = 2.0**-52
ULP = math.ulp(1.0)
RATES = (
    5e-324, 1e-320, 2.3e-308, 1e-200, 1e-30, 1e-17, 1e-16, 1.2e-16, 3e-16, 1e-9, 1e-3, 0.1, 0.4999,
    0.5, 0.75, 1 - ULP, 1.0, 1 + ULP, 1.25, 1.9, 2 - 1e-9, 2 - 2 * ULP, 2 - ULP,
)  # fmt: skip


def exact_c(c0, target, rate, step):
    """Return c after so many steps, and the logarithm of the power, at 400 digits."""
    with localcontext() as context:
        context.prec = 400  # 1 - rate and its powers need them
        c0, target = Decimal(c0), Decimal(target)
        factor = 1 - Decimal(rate)
        context.Emax, context.Emin = MAX_EMAX, MIN_EMIN
        if factor == 0:
            return float(target if step else c0), 0.0
        log_power = step * abs(factor).ln()
        if log_power > 10**6:  # far beyond float64
            return math.copysign(math.inf, c0 - target) * (-1) ** (step % 2), math.inf
        power = log_power.exp() * (-1 if factor < 0 and step % 2 else 1)
        return float(target + power * (c0 - target)), float(log_power)


@pytest.mark.parametrize("rate", [*RATES, 0.0, 2.0, 2 + 2 * ULP, 2.5, 1e10, 1e20])
@pytest.mark.parametrize(
    ("c0", "target"),
    [(0.0, 3.0), (0.5, 3.0), (1.0, 0.0), (-0.1, -209.4), (1e300, -1e-300), (1.7e308, -1.7e308)],
)
def test_c_keeps_its_digits(rate, c0, target):
    for step in (0, 1, 2, 3, 7, 1000, 10**9, 2**53 - 1, 10**16, 10**17, 2**60):
        expected, log_power = exact_c(c0, target, rate, step)
        found = float(theory.dead_unit_c(c0, target, rate, step))
        if math.isinf(expected):
            assert found == expected, step
            continue
        unit = 2.0**-1000 if abs(c0) > 1 else 1.0
        found, expected, start = found * unit, expected * unit, c0 * unit
        allowed = 4 * EPSILON * (abs(start) + abs(expected - start))
        if target == 0:  # all the digits of a small power
            allowed = 4 * EPSILON * abs(expected) * (1 + abs(log_power))
        assert abs(found - expected) <= allowed + 1e-323, step


def test_c_of_a_start_at_the_target_stays_there():
    assert theory.dead_unit_c(3, 3, [0.1, 2, 3, 1e300], 10_000).tolist() == [3] * 4
    with np.errstate(all="raise"):
        assert theory.dead_unit_c(1e-300, 0, 3, 2000).tolist() == pytest.approx(
            float(Fraction(1e-300) * 2**2000), rel=1e-14, abs=0
        )


@pytest.mark.parametrize("step", [math.inf, math.nan, -1, 0.5])
def test_steps_are_whole_numbers(step):
    with pytest.raises(rl.InputError, match="step: expected whole numbers >= 0"):
        theory.dead_unit_c(0, 3, 0.1, step)


def exact_steps(c0, target, rate, tolerance):
    """Return the real number of steps at 80 digits; inf where it is beyond float64."""
    with localcontext() as context:
        context.prec = 1200
        ratio = abs(Decimal(c0) - Decimal(target)) / Decimal(tolerance)
        factor = abs(1 - Decimal(rate))
        context.prec = 80
        if ratio <= 1:
            return Decimal(0)
        if factor == 0:
            return Decimal(1)
        if 1 - factor < Decimal("1e-300"):  # ln(1 - r) is -r to more digits than asked
            return ratio.ln() / (1 - factor)
        return ratio.ln() / -factor.ln()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("c0", "target", "tolerance"),
    [
        (0.5, 3.0, 1e-6), (0.0, 3.0, 5e-324), (1.7e308, -1.7e308, 1e-6), (5e-324, 3e-323, 5e-324),
        (0.0, 1 + ULP, 1.0), (0.1, 1.1 + ULP, 1.0), (1e-20, 1.0, 1 - ULP), (2.0, 3.0, 2.0),
    ],
)  # fmt: skip
def test_steps_at_rates_of_every_size(c0, target, rate, tolerance):
    with localcontext() as context:
        context.prec = 1200
        real = exact_steps(c0, target, rate, tolerance)
        nearest = real.to_integral_value(rounding="ROUND_CEILING")
        allowed = 8 * Decimal(EPSILON) * real
        with np.errstate(all="raise"):
            found = float(theory.dead_unit_steps(c0, target, rate, tolerance))
        if real > Decimal("1.79e308"):
            assert found == math.inf
        elif real + allowed <= nearest and real - allowed > nearest - 1:
            assert abs(Decimal(found) - nearest) <= nearest * Decimal(EPSILON) / 2
        else:
            assert abs(Decimal(found) - real) <= allowed + 1


@pytest.mark.parametrize("rate", [0.0, 2.0, 2 + 2 * ULP, 3.0, 1e308])
def test_it_never_converges_at_other_rates(rate):
    assert theory.dead_unit_steps(0, 3, rate, 1e-6) == math.inf
    assert theory.dead_unit_steps(3, 3, rate, 1e-6) == (0 if rate < 2.1 else math.inf)


def test_a_start_within_the_tolerance_converges_as_training_says():
    rate = np.repeat([0.0, 0.1, 1.9, 2.0, 2 + 2 * ULP, 2 + 2.0**-41, 2 + 2.0**-39, 2.5, 100], 2)
    c0 = np.tile([3.0, 3 + 1e-7], 9)
    trained = rl.train(rl.Networks(-1, -1, 1, c0), rl.TrainingSet.point(1, 3), rate, max_steps=200)
    expected = np.where(trained.outcome == "converged", trained.steps_taken, math.inf)
    assert set(expected) == {0, math.inf}
    assert theory.dead_unit_steps(c0, 3, rate, 1e-6).tolist() == expected.tolist()


def test_steps_are_those_of_a_loop():
    for rate in (0.003, 0.3, 0.9, 1.2, 1.99):
        c, steps = 0.5, 0
        while abs(c - 3) > 1e-6:
            c, steps = c - rate * (c - 3), steps + 1
        assert theory.dead_unit_steps(0.5, 3, rate, 1e-6) == steps


def exact_epoch_end(targets, rate):
    rest = 1 - Fraction(rate)
    total = weight = Fraction(0)
    for target in targets:
        total, weight = total * rest + Fraction(target), weight * rest + 1
    return float(total / weight)


@pytest.mark.parametrize(
    "targets",
    [[5.0], [5.0, 5.0], [1.0, 2.0, 6.0, -1.0], [1.0, 1.0, 2.0, 2.0], [0.1, 0.2, 0.7], [1e308] * 5],
)
@pytest.mark.parametrize("rate", RATES)
def test_per_example_keeps_its_digits(targets, rate):
    with np.errstate(all="raise"):
        found = float(theory.dead_unit_c_per_example(targets, rate))
    expected = exact_epoch_end(targets, rate)
    size = max(map(abs, targets))
    assert found == pytest.approx(expected, rel=4 * EPSILON, abs=4 * EPSILON * size)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-10, 10), min_size=1, max_size=40),
    st.floats(0, 2, exclude_min=True, exclude_max=True),
)
def test_per_example_is_the_exact_fixed_point(targets, rate):
    expected = exact_epoch_end(targets, rate)
    size = max(map(abs, targets)) + 1e-300
    found = float(theory.dead_unit_c_per_example(targets, rate))
    assert found == pytest.approx(expected, rel=4 * EPSILON, abs=4 * EPSILON * size)


def test_per_example_of_many_samples():
    targets = np.random.default_rng(0).normal(size=5000)
    for rate in (1e-17, 1e-9, 1e-3, 2 - 1e-9):
        found = float(theory.dead_unit_c_per_example(targets, rate))
        with localcontext() as context:
            context.prec = 60
            rest, total, weight = 1 - Decimal(rate), Decimal(0), Decimal(0)
            for target in targets.tolist():
                total, weight = total * rest + Decimal(target), weight * rest + 1
            expected = float(total / weight)
        assert found == pytest.approx(expected, rel=1e-14, abs=0)


def test_per_example_beyond_float64_is_refused():
    with pytest.raises(rl.InputError, match="targets: expected values whose limit is within"):
        theory.dead_unit_c_per_example([1e308, -1e308], 2 - 1e-9)


# With momentum, decay and velocity


def looped_c(c0, target, rate, momentum, velocity, nesterov, decay, steps):
    """Return c after each of some numbers of steps, step by step in exact fractions or decimals."""
    c, rest, ends = c0, max(steps), {0: c0}
    for k in range(1, rest + 1):
        d = (c - target) + decay * c
        velocity = momentum * velocity + d
        c -= rate * (d + momentum * velocity if nesterov else velocity)
        ends[k] = c
    return [ends[k] for k in steps]


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("rate", [1e-30, 1e-9, 1e-3, 0.3, 1.0, 1.2, 1.9])
@pytest.mark.parametrize(("velocity", "decay"), [(0.0, 0.0), (0.0, 0.25), (-2.0, 3.0), (0.7, 1e-9)])
def test_c_with_momentum_is_that_of_a_loop_at_80_digits(nesterov, momentum, rate, velocity, decay):
    steps = [0, 1, 2, 3, 7, 50, 333]
    numbers = 0.3, 3.0, rate, momentum, velocity
    options = {"momentum": momentum, "velocity": velocity, "nesterov": nesterov}
    found = theory.dead_unit_c(0.3, 3.0, rate, steps, **options, weight_decay=decay)
    with localcontext() as context:
        context.prec = 80
        exact = [Decimal(number) for number in numbers]
        ends = looped_c(*exact, nesterov, Decimal(decay), steps)
        for k, (one, end) in enumerate(zip(found.tolist(), ends, strict=True)):
            moved = max(abs(e - ends[0]) for e in ends[: k + 1])
            if moved > Decimal("1e290"):
                assert math.isnan(one) or abs(end) < Decimal("1e308")
                continue
            assert abs(Decimal(one) - end) <= Decimal(EPSILON) * (2 + 2 * moved)


@pytest.mark.parametrize("nesterov", [False, True])
def test_c_with_momentum_after_very_many_steps(nesterov):
    """Of the roots of the recurrence, at 120 digits."""
    momentum, rate, decay = 0.9, 1e-9, 0.5
    with localcontext() as context:
        context.prec = 120
        m, q = Decimal(momentum), Decimal(rate) * (1 + Decimal(decay))
        sum_, product = ((1 + m) * (1 - q), m * (1 - q)) if nesterov else (1 + m - q, m)
        root = (sum_ * sum_ / 4 - product).sqrt()
        one, other = sum_ / 2 + root, sum_ / 2 - root
        first = 1 - q - q * m if nesterov else 1 - q
        target = Decimal(3) / (1 + Decimal(decay))
        for step in (10**6, 10**9, 2**33, 2**40):
            part = (first - other) / (one - other)
            left = part * one**step + (1 - part) * other**step
            expected = float(target - left * target)
            options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": decay}
            found = float(theory.dead_unit_c(0, 3, rate, step, **options))
            assert found == pytest.approx(expected, rel=2 * EPSILON, abs=0)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_c_converges_below_the_limit_of_stability(momentum, nesterov):
    decay = 0.3
    limit = theory.stability_limit(1 + decay, momentum, nesterov=nesterov)
    options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": decay}
    assert theory.dead_unit_c(0, 3, 0.99 * limit, 5000, **options) == pytest.approx(3 / 1.3)
    assert abs(theory.dead_unit_c(0, 3, 1.01 * limit, 500, **options)) > 1e3


def test_c_without_momentum_has_the_bits_of_the_plain_formula():
    rates, steps = np.meshgrid([1e-17, 0.1, 1.0, 1.9, 3.0], [0, 1, 5, 1000])
    plain = theory.dead_unit_c(0.1, 3, rates, steps)
    momentum = np.zeros(2)[:, np.newaxis, np.newaxis] + [[[0.0]], [[0.5]]]
    mixed = theory.dead_unit_c(0.1, 3, rates, steps, momentum=momentum[:2], velocity=1.0)
    assert mixed[0].tobytes() == plain.tobytes()
    assert theory.dead_unit_c(0.1, 3, 0.5, 1, velocity=[1, 2]).shape == (2,)


def test_training_a_dead_network_step_by_step_with_decay():
    """Of w, b, v nothing but decay is left, and of the loss what ``dead_unit_loss`` is."""
    targets, decay, rate = [1.0, 4.0, -2.0, 6.0], 0.4, 0.3
    c = 5.0
    for k in range(200):
        assert theory.dead_unit_c(5, np.mean(targets), rate, k, weight_decay=decay) == (
            pytest.approx(c, rel=1e-13)
        )
        c -= rate * (np.mean([c - t for t in targets]) + decay * c)
    loss = np.mean([(c - t) ** 2 for t in targets]) / 2
    assert theory.dead_unit_loss(targets, decay) == pytest.approx(loss, rel=1e-14)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=20), st.floats(0, 100))
def test_the_loss_of_a_dead_unit_in_fractions(targets, decay):
    mean = Fraction(sum(targets), len(targets))
    rest = mean / (1 + Fraction(decay))
    loss = float(sum((t - rest) ** 2 for t in targets) / (2 * len(targets)))
    assert theory.dead_unit_loss(targets, decay) == pytest.approx(loss, rel=1e-13, abs=1e-18)


def test_the_loss_of_a_dead_unit_at_the_ends():
    assert theory.dead_unit_loss([3, 3], [0.0, 1e308]).tolist() == [0, pytest.approx(4.5)]
    assert theory.dead_unit_loss([1e300], 1.0) == math.inf
    assert theory.dead_unit_loss([1e150, -1e150]) == pytest.approx(5e299)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1}, "momentum: expected values from 0 to below 1, got 1"),
        ({"weight_decay": -1}, "weight_decay: expected finite values >= 0, got -1"),
        ({"nesterov": "yes"}, "nesterov: expected bool, got 'yes'"),
        ({"velocity": "fast"}, "velocity: expected numbers, got 'fast'"),
    ],
)
def test_other_momenta_are_refused(options, message):
    with pytest.raises(rl.InputError, match=f"^{message}"):
        theory.dead_unit_c(0, 3, 0.1, 1, **options)
