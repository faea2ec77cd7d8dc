"""Closed forms at finite arguments of any size: numbers that can be right, never NaN."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import relulab as rl
from relulab import theory
from relulab.theory.extremes import distance, quotient

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

HUGE, TINY = 1.7976931348623157e308, 5e-324
SIZES = (0.0, TINY, 1e-310, 1e-200, 1e-154, 1.0, 3.0, 1e154, 1e200, 1e308, HUGE)
SIGNED = (*SIZES, -TINY, -1e-200, -1.0, -1e200, -HUGE)


def pick(n, rng, *kinds):
    return zip(*(rng.choice(kind, n).tolist() for kind in kinds), strict=True)


def test_quotients_are_exact_to_some_roundings():
    rng = np.random.default_rng(0)
    for *above, one, other in pick(3000, rng, SIGNED, SIGNED, SIZES[1:], SIZES[1:]):
        exact = Fraction(above[0]) * Fraction(above[1]) / Fraction(one) / Fraction(other)
        found = float(quotient(above, [one, other]))
        if abs(exact) > Fraction(HUGE):
            assert math.isinf(found)
        else:
            assert abs(Fraction(found) - exact) <= abs(exact) * Fraction(1, 2**50) + Fraction(TINY)
    assert quotient([0.0], [0.0]) == 0
    assert quotient([1.0], [0.0]) == math.inf


def test_a_distance_beyond_float64_is_twice_a_number():
    assert [float(part) for part in distance(HUGE, -HUGE)] == [HUGE, 2.0]
    assert [float(part) for part in distance(-TINY, TINY)] == [2 * TINY, 1.0]


def test_born_dead_is_a_probability():
    rng = np.random.default_rng(0)
    for seed in range(8000):
        kind = seed % 4
        if kind < 2:
            w, b = (rng.choice(SIZES[1:-2]) for _ in "wb")
            w, b = (
                (rl.Normal(0, w), rl.Normal(0, b))
                if kind
                else (rl.Uniform(-w, w), rl.Uniform(-b, b))
            )
        else:
            mean, std = rng.choice(SIGNED), rng.choice(SIZES)
            low, high = sorted(rng.choice(SIGNED, 2) / 2)
            law = rl.Normal(mean, std) if seed % 8 < 4 or low == high else rl.Uniform(low, high)
            w, b = (law, rng.choice(SIGNED)) if kind == 2 else (rng.choice(SIGNED), law)
        low, high = sorted(rng.choice(SIGNED, 2).tolist())
        with np.errstate(all="raise"):
            found = theory.born_dead_probability(w, b, low, high)
        assert 0 <= found <= 1, (w, b, low, high)


def test_born_dead_keeps_the_digits_of_small_probabilities():
    for r in (1e5, 1e20, 1e300):
        found = theory.born_dead_probability(rl.Normal(0, 1), rl.Normal(0, 1), -r, r)
        assert found == pytest.approx(math.atan(1 / r) / math.pi, rel=1e-15, abs=0)
    scaled = theory.born_dead_probability(rl.Normal(0, 1e-320), rl.Normal(0, 1e-320), -2, 3)
    assert scaled == pytest.approx(
        theory.born_dead_probability(rl.Normal(0, 1), rl.Normal(0, 1), -2, 3), rel=1e-15, abs=0
    )
    found = theory.born_dead_probability(rl.Uniform(-1e300, 1e300), rl.Uniform(-1e-5, 1e-5), 0, 0)
    assert found == 0.5
    far = theory.born_dead_probability(rl.Normal(0, 1e200), rl.Normal(0, 1e300), -1e150, 1e150)
    assert far == pytest.approx(1e-50 / math.pi, rel=1e-13, abs=0)
    # An interval of w far above its mean: P(10 <= w <= 11), where the mirror has the digits.
    tail = (math.erfc(10 / math.sqrt(2)) - math.erfc(11 / math.sqrt(2))) / 2
    assert theory.born_dead_probability(rl.Normal(-10.5, 1.0), -0.5, -1, 1) == pytest.approx(
        tail, rel=1e-13, abs=0
    )
    assert theory.born_dead_probability(rl.Normal(10.5, 1.0), -0.5, -1, 1) == pytest.approx(
        tail, rel=1e-13, abs=0
    )
    assert theory.born_dead_probability(rl.Normal(1e308, 1e308), -1e308, -1, -1) == pytest.approx(
        1 - math.erfc(2**0.5) / 2, rel=1e-12, abs=0
    )


def boundary_cases(n):
    """Return w, b, x of which w*x + b is about 0: b is -w*x, or beside it."""
    rng = np.random.default_rng(7)
    w, x = rng.normal(size=(2, n))
    b = -(w * x)
    return w, b * (1 + rng.integers(-1, 2, n) * 2.0**-53), x


def test_numbers_are_judged_by_the_predicate_of_training():
    w, b, x = boundary_cases(3000)
    found = [
        theory.born_dead_probability(*case, case[2])
        for case in zip(w.tolist(), b.tolist(), x.tolist(), strict=True)
    ]
    active = np.multiply(w, x) + b > 0
    assert 500 < active.sum() < 2500
    np.testing.assert_array_equal(found, ~active)
    for case in zip(w[:300], b[:300], x[:300], strict=True):
        data = rl.TrainingSet([case[2], case[2] + 0.1], [1, 1])
        trained = rl.train(rl.Networks(*case[:2], 1, 0), data, 0.1, max_steps=0)
        low, high = data.x.min(), data.x.max()
        dead = theory.born_dead_probability(float(case[0]), float(case[1]), low, high)
        assert (trained.unit[0] == "born_dead") == dead


@pytest.mark.parametrize("freeze", [(), ("c",)])
def test_small_rate_death_is_a_probability(freeze):
    rng = np.random.default_rng(0)
    for x, target, c, *stds in pick(3000, rng, SIGNED, SIGNED, SIGNED, SIZES, SIZES, SIZES):
        std_w, std_b, std_v = stds
        with np.errstate(all="raise"):
            found = theory.small_rate_death_probability(
                x, target, std_w=std_w, std_b=std_b, std_v=std_v, c=c, freeze=freeze
            )
        assert 0 <= found <= 0.25, (x, target, c, stds)


def test_a_leaky_unit_wakes_with_a_probability():
    rng = np.random.default_rng(0)
    slopes = np.array([0, TINY, 1e-200, 0.05, 1])
    for x, target, c, *stds in pick(2000, rng, SIGNED, SIGNED, SIGNED, SIZES, SIZES, SIZES):
        spreads = {f"std_{p}": size for p, size in zip("wbv", stds, strict=True)}
        for freeze in ((), ("c",)):
            with np.errstate(all="raise"):
                found = [
                    theory.small_rate_wake_probability(
                        x, target, slope, **spreads, c=c, freeze=freeze
                    )
                    for slope in slopes.tolist()
                ]
            assert found[0] == 0
            assert found == sorted(found), (x, target, c, stds)
            assert found[-1] <= 0.25
    standard = {"std_w": 1.0, "std_b": 1.0, "std_v": 1.0}
    # With a slope of 0 nothing wakes, however far the target is.
    assert theory.small_rate_wake_probability(1e300, 1e300, 0, **standard) == 0
    assert theory.small_rate_wake_probability(0, HUGE, 0, **standard, c=-HUGE) == 0
    far = theory.small_rate_wake_probability(0, 1e300, 1e-300, **standard)
    assert far == pytest.approx(math.atan(math.tanh(1)) / (2 * math.pi), rel=1e-14, abs=0)
    beyond = theory.small_rate_wake_probability(1e10, 1e300, 1e-310, **standard)
    assert beyond == pytest.approx(math.atan(math.tanh(1)) / (2 * math.pi), rel=1e-12, abs=0)
    # With c frozen every slope but 0 wakes as many, however near the target is.
    near = theory.small_rate_wake_probability(0, TINY, 0.05, **standard, freeze=("c",))
    assert near == 0.125


def test_waking_with_a_far_target():
    # The angle is 2*HUGE*1e-310, or 0.036.
    wakes = theory.wakes_under_gradient_flow(
        0, [-0.03, -0.1], 1, -HUGE, x=0, target=HUGE, negative_slope=1e-310
    )
    assert wakes.tolist() == [True, False]


def test_small_rate_death_depends_on_ratios_alone():
    for unit in (1e-320, 1e-300, 1e300, 1e308):
        stds = {f"std_{p}": size * unit for p, size in zip("wbv", (1.0, 0.5, 1.5), strict=True)}
        scaled = theory.small_rate_death_probability(1.0, 3.0, **stds)
        expected = math.atan2(1.5 * math.tanh(3 * 2**0.5), math.sqrt(1.25 / 2)) / (2 * math.pi)
        assert scaled == pytest.approx(expected, rel=2e-4 if unit == 1e-320 else 1e-14, abs=0)
    near = theory.small_rate_death_probability(0, 1e-200, std_w=0, std_b=1e-300, std_v=1e-200)
    assert near == pytest.approx(1e-100 / (2 * math.pi), rel=1e-13, abs=0)
    for x in (1e160, 1e300, HUGE):  # w alone moves the unit
        found = theory.small_rate_death_probability(x, 1, std_w=1e200, std_b=1, std_v=1e200)
        assert found == pytest.approx(0.125, rel=1e-12, abs=0)


def test_a_unit_that_w_moves_beyond_float64_is_active_half_of_the_time():
    found = theory.small_rate_death_probability(1e-300, 1, std_w=1e-300, std_b=0, std_v=1)
    assert found == 0.25


def test_first_step_death_is_a_probability():
    rng = np.random.default_rng(0)
    for x, target, c, rate, *stds in pick(
        1500, rng, SIGNED, SIGNED, SIGNED, SIZES, SIZES, SIZES, SIZES
    ):
        std_w, std_b, std_v = stds
        with np.errstate(all="raise"):
            found = theory.death_at_first_step_probability(
                x, target, rate, std_w=std_w, std_b=std_b, std_v=std_v, c=c
            )
        assert 0 <= found <= 0.5 + 1e-12, (x, target, c, rate, stds)


def test_first_step_death_in_other_units():
    """With rate/unit^2, target*unit^2 and all stds times unit, nothing changes but the scale."""
    standard = {"std_w": 1.0, "std_b": 0.5, "std_v": 2.0}
    expected = theory.death_at_first_step_probability(1, 3, [0.01, 0.3, 2.0], **standard)
    for power in (-400, -150, 150, 400, 500):
        unit = 2.0**power
        found = theory.death_at_first_step_probability(
            1, 3 * unit * unit, np.array([0.01, 0.3, 2.0]) / unit / unit,
            **{name: std * unit for name, std in standard.items()},
        )  # fmt: skip
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_first_step_death_of_tiny_rates_and_far_targets():
    """Of a rate so small that v moves nothing: the wedge 0 < A < rate*s*|gap|*v."""
    for rate, gap in (
        (1e-60, 1e60),
        (1e-200, 1e200),
        (1e-300, 1e300),
        (1e-22, 1e21),
        (1e-19, 3e19),
    ):
        found = theory.death_at_first_step_probability(0, gap, rate, std_w=1, std_b=1, std_v=1)
        assert found == pytest.approx(math.atan(rate * gap) / (2 * math.pi), rel=1e-12, abs=0)


def test_other_closed_forms_are_never_nan():
    with np.errstate(all="raise"):
        cases = np.array(
            list(product((0.0, TINY, -1e-200, 1.0, 1e200, -1e200, HUGE, -HUGE), repeat=4))
        ).T
        w, b, v, x = cases
        assert (theory.interpolation_sharpness(w, b, v, x) >= 1).all()
        assert not np.isnan(theory.balance(w, b, v)).any()
        assert not np.isnan(theory.balanced_step(w, np.abs(b))).any()
        for x, target, c in product(SIGNED, repeat=3):
            for trains in (True, False):
                limit = theory.largest_stable_rate(x, target, c=c, c_trains=trains)
                assert 0 <= limit <= (2 if trains else math.inf)
            if target > 0:
                assert not np.isnan(theory.balanced_start(x, target, [0, 1, c])).any()


def test_balanced_steps_keep_zero_loss():
    for y in (1.0, -1.0):
        assert theory.balanced_step(y, [0.5, 1e17, HUGE]).tolist() == [y, y, y]
        assert np.isnan(theory.balanced_step(y, np.nan))


def test_balanced_starts_of_all_sizes():
    for x, target, y in product((0, 1e-200, -2, 1e100, -1e300), (TINY, 1e-160, 3, HUGE), (1, 1e8)):
        w, b, v = map(float, theory.balanced_start(x, target, y))
        q = math.hypot(1, x)
        expected = y * (math.sqrt(target) / math.sqrt(q))
        assert v == pytest.approx(expected, rel=1e-14, abs=0)
        assert b == pytest.approx(expected / q, rel=1e-14, abs=1e-323)
        assert w == pytest.approx(x / q * expected, rel=1e-14, abs=1e-323)


def test_what_is_not_a_number_is_not_inactive():
    for i in range(4):
        arguments = [1.0, 0.5, 2.0, 1.0]
        arguments[i] = math.nan
        assert np.isnan(theory.interpolation_sharpness(*arguments))
    assert theory.interpolation_sharpness(-math.inf, 0, 2, 1) == 1


def test_death_in_one_step_where_factors_are_beyond_float64():
    """Against the same step in exact arithmetic, where the pre-activation is within float64."""
    rng = np.random.default_rng(0)
    sizes = (0.0, TINY, 1e-300, 1e-160, 1e-20, 1.0, 1e20, 1e160, 1e300)
    signed = (*sizes, *(-size for size in sizes))
    cases = list(pick(3000, rng, signed, signed, signed, signed, signed, sizes))
    n_dying = 0
    for b, v, c, x, target, rate in cases:
        a, e = abs(b), v * abs(b) + c - target
        if not math.isfinite(e):
            continue
        exact = Fraction(rate) * (1 + Fraction(x) ** 2) * Fraction(v) * Fraction(e)
        if a > 0 and abs(exact - Fraction(a)) <= Fraction(a) * Fraction(1, 10**12):
            continue
        found = theory.dies_in_one_step(0, a, v, c, x, target, rate)
        assert found == (a > 0 and exact >= Fraction(a)), (a, v, c, x, target, rate)
        n_dying += int(found)
    assert n_dying > 300
    assert not theory.dies_in_one_step(1e300, 0, 1, 0, 1e300, 1, 1)  # not finite: diverged


def test_flow_times_where_start_and_target_are_far_apart():
    """From A = 1, v = 0 (b = 1, x = 0), D = 1 and f = 0: sinh(z) = (1 + 4*t*f)/(2*(t - f))."""
    for target in (1e100, 1e154, 1e290, 1e307):
        half = theory.frozen_c_flow_time(0, 1, 0, 0, 0, target, target / 2)
        # arsinh(1/(2*t)) is next to nothing, and sinh(z1) is 2*t.
        assert half * 2 * target == pytest.approx(math.log(4) + math.log(target), rel=1e-13)
    # D underflows.
    assert np.isnan(theory.frozen_c_flow_time(0, 1e-170, 0, 0, 0, 1e-154, 1e-155))


def test_invariants_of_a_sum_beyond_float64():
    plus, minus = theory.gradient_flow_invariants(0, HUGE, HUGE, [700.0, 1e4], 0)
    expected = math.exp(math.log(HUGE / 1e300) + math.log(2e300) - 700)
    np.testing.assert_allclose(plus, [expected, 0], rtol=1e-12)
    assert minus.tolist() == [0, 0]


def test_balance_of_huge_parameters():
    a, c = 2.0**700, 1e200
    found = theory.balance([c, c, 0, 3 * a, HUGE], [0, 1, 0, 4 * a, 0], [c, c, c, 5 * a, -HUGE])
    assert found.tolist() == [0, 0, -math.inf, 0, 0]
