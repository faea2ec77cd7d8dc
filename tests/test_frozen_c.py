"""c frozen: the phases of the cubic map, its orbits and the critical rate, against loops."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relulab as rl
from relulab import theory

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries


def turned(y, k, n):
    """Return y after n steps, with its derivatives d/dy, d/dk, d2/dy2, d2/dy/dk."""
    by_y, by_k, by_yy, by_yk = Decimal(1), Decimal(0), Decimal(0), Decimal(0)
    for _ in range(n):
        slope, slope_k, bend = 1 + k - 3 * k * y * y, y - y**3, -6 * k * y
        by_yk = (bend * by_k + 1 - 3 * y * y) * by_y + slope * by_yk
        by_yy = bend * by_y * by_y + slope * by_yy
        by_k = slope * by_k + slope_k
        by_y, y = slope * by_y, y * (1 + k - k * y * y)
    return y, by_y, by_k, by_yy, by_yk


def doubling(period, near):
    """Return the k at which the slope along an orbit of that period is -1, to 50 digits."""
    y, k = 0.9, near - 1e-3 / period
    for _ in range(20_000):
        y = y * (1 + k - k * y * y)
    with localcontext() as context:
        context.prec = 60
        y, k = Decimal(y), Decimal(near)
        for _ in range(50):
            end, by_y, by_k, by_yy, by_yk = turned(y, k, period)
            wrong, wrong_slope = end - y, by_y + 1
            determinant = (by_y - 1) * by_yk - by_k * by_yy
            move_y = (by_yk * wrong - by_k * wrong_slope) / determinant
            move_k = ((by_y - 1) * wrong_slope - by_yy * wrong) / determinant
            y, k = y - move_y, k - move_k
            if abs(move_k) < Decimal("1e-52"):
                return k
    raise AssertionError("Newton's method has found none")


@pytest.mark.parametrize(
    ("period", "near", "constant"),
    [
        (2, 1.236, theory.FROZEN_C_PERIOD_4), (4, 1.28803, theory.FROZEN_C_PERIOD_8),
        (8, 1.29922, theory.FROZEN_C_PERIOD_16), (16, 1.301628, theory.FROZEN_C_PERIOD_32),
    ],
)  # fmt: skip
def test_periods_double_where_the_constants_say_to_all_their_digits(period, near, constant):
    assert float(doubling(period, near)) == constant


@pytest.mark.parametrize(
    ("below", "threshold", "above"),
    [
        (2, theory.FROZEN_C_PERIOD_4, 4), (4, theory.FROZEN_C_PERIOD_8, 8),
        (8, theory.FROZEN_C_PERIOD_16, 16), (16, theory.FROZEN_C_PERIOD_32, 32),
    ],
)  # fmt: skip
def test_periods_of_training_at_the_thresholds(below, threshold, above):
    k = threshold + np.array([-1, 1]) * 2e-3 / below**2
    w, b, v = theory.balanced_start(1, 3, np.full(2, 0.9))
    trained = rl.train(
        rl.Networks(w, b, v, 0), rl.TrainingSet.point(1, 3), k / (3 * math.sqrt(2)), freeze=("c",),
        max_steps=100_000,
    )  # fmt: skip
    assert trained.period.tolist() == [below, above]


def test_closed_thresholds_to_all_their_digits():
    with localcontext() as context:
        context.prec = 50
        exact = {
            "MONOTONE": 2 * Decimal(2).sqrt() - 2,
            "SUPERSTABLE": Decimal("4.5").sqrt() - 1,
            "PERIOD_4": Decimal(5).sqrt() - 1,
            "DIES": Decimal("1.5") * Decimal(3).sqrt() - 1,
        }
    for name, value in exact.items():
        found = getattr(theory, f"FROZEN_C_{name}")
        assert found == pytest.approx(float(value), rel=2.0**-52, abs=0)


def test_the_loss_is_monotone_up_to_the_threshold():
    def rises(k):
        y = np.linspace(0.001, math.sqrt(1 + 1 / k) - 0.001, 20_001)
        after = theory.balanced_step(y, k)
        return (np.abs(after**2 - 1) > np.abs(y**2 - 1) * (1 + 1e-12)).any()

    assert not any(rises(k) for k in (0.1, 0.5, theory.FROZEN_C_MONOTONE - 1e-6))
    assert all(rises(k) for k in (theory.FROZEN_C_MONOTONE + 1e-4, 0.9, 1.0))


def test_at_the_superstable_k_a_point_of_the_orbit_is_where_the_map_turns():
    k = theory.FROZEN_C_SUPERSTABLE
    low, _high = theory.balanced_two_cycle(k)
    assert 1 + k - 3 * k * float(low) ** 2 == pytest.approx(0, abs=1e-14)


@given(st.floats(1, 1.598))
def test_the_two_cycle_is_an_orbit_of_the_map(k):
    low, high = theory.balanced_two_cycle(k)
    np.testing.assert_allclose(theory.balanced_step(low, k), high, rtol=1e-14)
    # The map is steep at the upper point where it comes near to death.
    np.testing.assert_allclose(theory.balanced_step(high, k), low, rtol=1e-14, atol=1e-14)
    r = float(low) ** 2
    assert 1 / k == pytest.approx(r * (math.sqrt(1 / r - 0.75) + 0.5), rel=1e-14, abs=0)


def test_the_two_cycle_at_40_digits():
    for k in (1.0, 1 + 2.0**-52, 1 + 1e-9, 1.05, 1.1, 1.2, 1.5, 10.0, 1e150, 1.7e308):
        with localcontext() as context:
            context.prec = 700
            d = Decimal(k)
            upper = ((d + 1 + ((d - 1) * (d + 3)).sqrt()) / (2 * d)).sqrt()
            exact = [float(1 / d / upper), float(upper)]
        found = [float(y) for y in theory.balanced_two_cycle(k)]
        assert found == pytest.approx(exact, rel=4e-16, abs=5e-324)
    for k in (math.nextafter(1, 0), 0, -2, math.nan, math.inf):
        with pytest.raises(rl.InputError, match="k: expected finite values >= 1, got"):
            theory.balanced_two_cycle([1.1, k])


@pytest.mark.parametrize("k", [1.05, 1.1, 1.15, 1.2])
def test_training_ends_on_the_two_cycle_of_chen_and_bruna(k):
    x, target = -0.4, 0.2
    w, b, v = theory.balanced_start(x, target, 0.5)
    start, data, rate = (
        rl.Networks(w, b, v, 0),
        rl.TrainingSet.point(x, target),
        k / (math.hypot(1, x) * target),
    )
    end = rl.train(start, data, rate, freeze=("c",), max_steps=3000).networks
    trace = rl.trace(end, data, rate, 1, freeze=("c",))
    y = np.sort(np.sqrt(trace["prediction"].to_numpy() / target))
    np.testing.assert_allclose(y, [float(p) for p in theory.balanced_two_cycle(k)], rtol=1e-9)


# The critical rate


def linear_end(scaled, v, z, rate, n_steps=20_000):
    """Return |A*v - z| and A after training the product A*v, in units of s = 1, and its largest."""
    largest = 0.0
    for _ in range(n_steps):
        wrong = scaled * v - z
        largest = max(largest, abs(wrong))
        if largest > 1e12 or abs(wrong) < 1e-9:
            break
        scaled, v = scaled - rate * v * wrong, v - rate * scaled * wrong
    return abs(wrong), largest


def test_descent_converges_below_the_critical_rate_and_not_above():
    rng = np.random.default_rng(0)
    kinds = {"oscillates": 0, "diverges": 0}
    for _ in range(120):
        scaled, v, z = abs(rng.normal()), 2 * rng.normal(), rng.normal()
        # At x = 0 and with b = A: s = q = 1.
        critical = float(theory.frozen_c_critical_rate(0, scaled, v, 0.5, 0, 0.5 + z))
        end, _ = linear_end(scaled, v, z, 0.98 * critical)
        assert end < 1e-8
        end, largest = linear_end(scaled, v, z, 1.02 * critical)
        assert end > 1e-4
        assert critical <= 1 / abs(z) * (1 + 1e-15)
        total = scaled**2 + v**2
        bound = 8 / (total + math.sqrt(total**2 - 16 * z * (scaled * v - z)))
        if abs(bound * abs(z) - 1) < 0.05:  # either may come first
            continue
        oscillates = bound > 1 / abs(z)
        kinds["oscillates" if oscillates else "diverges"] += 1
        assert (largest > 1e12) == (not oscillates)
    assert min(kinds.values()) > 25


@pytest.mark.parametrize(("x", "target", "c"), [(1.0, 3.0, 0.0), (-0.5, 0.3, 1.0)])
def test_training_with_its_relu_at_the_critical_rate(x, target, c):
    parameters = 2 * np.random.default_rng(0).normal(size=(4, 3000))
    parameters[3] = c
    networks, data = rl.Networks(*parameters), rl.TrainingSet.point(x, target)
    critical = theory.frozen_c_critical_rate(*parameters, x, target)
    active = parameters[0] * x + parameters[1] > 0
    assert np.isinf(critical[~active]).all()
    stable = theory.largest_stable_rate(x, target, c=c, c_trains=False)

    def ends(factor):
        rate = np.where(active, factor * critical, 0.1)
        return rl.train(networks, data, rate, freeze=("c",), max_steps=20_000)

    below, above = ends(0.97), ends(1.03)
    assert (below.outcome[active] == "converged").mean() > 0.999
    second = active & (critical < 0.9 * stable)
    assert second.sum() > 300
    assert (above.unit[second] == "died").all()
    first = active & (critical > 0.999 * stable)
    alive = first & (above.unit == "alive")
    assert alive.sum() > 50
    assert (above.outcome[alive] != "converged").all()


@settings(max_examples=300)
@given(*[st.floats(1e-3, 1e3)] * 2, st.floats(-1e3, 1e3), st.sampled_from([0.0, 1e-8, 1.0, 1e5]))
def test_the_critical_rate_at_50_digits(b, v, target, x):
    with localcontext() as context:
        context.prec = 50
        q = (1 + Decimal(x) ** 2).sqrt()
        scaled, dv, z = Decimal(b) / q, Decimal(v), Decimal(target) / q
        total = scaled**2 + dv**2
        root = (total**2 - 16 * z * (scaled * dv - z)).sqrt()
        exact = 8 / (q * q * (total + root))
        if z:
            exact = min(exact, 1 / (q * q * abs(z)))
    found = float(theory.frozen_c_critical_rate(0, b, v, 0, x, target))
    assert found == pytest.approx(float(exact), rel=4e-15, abs=0)


def test_the_critical_rate_at_the_ends():
    rate = theory.frozen_c_critical_rate
    assert float(rate(0, 1, 1, 3, 0, 3)) == 2  # at the target: 4/(s*(A^2 + v^2))
    assert float(rate(0, 1e-200, 1e-200, 3, 0, 3)) == math.inf
    assert float(rate(0, 1e154, 1e154, 0, 0, 1)) == pytest.approx(2e-308, abs=0, rel=1e-12)
    assert float(rate(0, 1e-170, 1, -1.7e308, 0, 1.7e308)) == pytest.approx(
        1 / 3.4 / 1e308, rel=1e-9, abs=0
    )
    assert float(rate(0, 1, 1, 0, 1e100, 1)) == pytest.approx(4e-200, abs=0, rel=1e-12)
    sizes = [0.0, 5e-324, 1e-200, 1.0, -1e-160, 1e160, -1e160, 1.7e308, -1.7e308]
    cases = np.stack(np.meshgrid(*[sizes] * 4)).reshape(4, -1)
    with np.errstate(all="raise"):
        assert (rate(0, *cases[:3], 0, cases[3]) >= 0).all()
        assert (rate(cases[0], 0, cases[1], 0, cases[2], cases[3]) >= 0).all()
    assert np.isnan(rate(0, 1, math.nan, 0, 0, 1))


# The edge, k = 1


@pytest.mark.parametrize(("scaled", "v"), [(0.5, 0.5), (1.2, 1.2), (0.7, 1.5)])
def test_the_power_law_at_the_edge(scaled, v):
    """Of A and v with s = 1 and a target of 1, in a plain loop."""
    balanced = scaled == v
    for step in range(1, 300_001):
        wrong = scaled * v - 1
        scaled, v = scaled - v * wrong, v - scaled * wrong
        if step in (10_000, 300_000):
            law = float(theory.frozen_c_edge_error(step, balanced=balanced))
            # Even and odd steps are above and below, by a part of 1/sqrt(step).
            assert abs(scaled * v - 1) == pytest.approx(law, rel=3 / math.sqrt(step), abs=0)


def test_the_power_law_of_random_starts():
    scaled, v = 1.2 * np.random.default_rng(0).normal(size=(2, 400))
    scaled = np.abs(scaled)
    for _ in range(30_000):
        wrong, active = scaled * v - 1, scaled > 0
        scaled, v = np.where(active, [scaled - v * wrong, v - scaled * wrong], [scaled, v])
    part = np.abs(scaled * v - 1)[scaled > 0] * math.sqrt(30_000)
    assert part.size > 100
    # Most have come to the one law, the others are on their way from the other.
    one, other = (float(theory.frozen_c_edge_error(1, balanced=b)) for b in (True, False))
    assert np.median(part) == pytest.approx(other, rel=0.01, abs=0)
    assert (part > 0.95 * one).mean() > 0.98
    assert (part < 1.05 * other).mean() > 0.98


def test_training_at_the_edge_is_unfinished():
    x, target = -0.7, 2.0
    w, b, v = theory.balanced_start(x, target, np.array([0.5, 0.5]))
    start = rl.Networks(w, b, v + np.array([0, 0.9]), 0)
    rate = 1 / (math.hypot(1, x) * target)
    trained = rl.train(
        start, rl.TrainingSet.point(x, target), rate, freeze=("c",), max_steps=20_000
    )
    assert trained.outcome.tolist() == ["unfinished"] * 2
    for loss, balanced in zip(trained.loss, (True, False), strict=True):
        law = theory.frozen_c_edge_error(20_000, balanced=balanced)
        assert math.sqrt(2 * loss) / target == pytest.approx(float(law), rel=0.02, abs=0)


def test_the_power_law_takes_steps_above_0():
    assert theory.frozen_c_edge_error(1e300, balanced=False) == pytest.approx(
        math.sqrt(0.5) * 1e-150, abs=0, rel=1e-12
    )
    for step in (0, -1, math.nan):
        with pytest.raises(rl.InputError, match="step: expected values > 0"):
            theory.frozen_c_edge_error([1, step], balanced=True)
    with pytest.raises(rl.InputError, match="balanced: expected bool"):
        theory.frozen_c_edge_error(1, balanced=1)
