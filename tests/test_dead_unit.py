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


@pytest.mark.parametrize("rate", [*RATES, 0.0, 2.0, 2.5, 1e10, 1e20])
@pytest.mark.parametrize(
    ("c0", "target"), [(0.0, 3.0), (0.5, 3.0), (1.0, 0.0), (1e300, -1e-300), (1.7e308, -1.7e308)]
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
    assert theory.dead_unit_steps(3, 3, rate, 1e-6) == 0


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
