"""Gradient flow on one sample: invariants, times, where it leads; against descent and 40 digits."""

import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relulab as rl
from relulab import theory
from relulab.theory.gradient_flow import _flow_time

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

DIGITS = Context(prec=60, Emax=MAX_EMAX, Emin=MIN_EMIN)


def states(n, seed=0):
    """Return random w, b, v, c of shape (4, n)."""
    return np.random.default_rng(seed).normal(size=(4, n))


def step_of(parameters, x, target, rate, freeze=()):
    """Return the parameters before and after a step, of those whose unit is active in both."""
    trace = rl.trace(
        rl.Networks(*parameters), rl.TrainingSet.point(x, target), rate, n_steps=1, freeze=freeze
    )
    before, after = (trace.loc[trace["step"] == k, list("wbvc")].to_numpy().T for k in (0, 1))
    both = (before[0] * x + before[1] > 0) & (after[0] * x + after[1] > 0)
    assert both.sum() > 50
    return before[:, both], after[:, both], np.broadcast_to(rate, both.shape)[both]


# Invariants


@pytest.mark.parametrize(("x", "target"), [(1.0, 3.0), (-0.7, 0.4)])
def test_a_step_multiplies_the_invariants(x, target):
    before, after, rate = step_of(states(500), x, target, 0.05)
    w, b, v, c = before
    k = rate * math.hypot(1, x) * (v * (w * x + b) + c - target)
    old, new = (theory.gradient_flow_invariants(*p, x) for p in (before, after))
    assert np.abs(k).max() > 0.3
    np.testing.assert_allclose(new[0], old[0] * (1 - k) * np.exp(k), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(new[1], old[1] * (1 + k) * np.exp(-k), rtol=1e-10, atol=1e-12)


def test_small_steps_conserve_the_invariants():
    start = rl.Networks(*states(300))
    worst = []
    for rate in (0.002, 0.001):
        end = rl.trace(start, rl.TrainingSet.point(1, 3), rate, round(1 / rate))
        alive = end.groupby("run").last()
        alive = alive[alive["w"] + alive["b"] > 0]
        new = theory.gradient_flow_invariants(*(alive[p] for p in "wbvc"), 1)
        old = theory.gradient_flow_invariants(*start.stack()[:, alive.index], 1)
        worst.append(max(np.abs(n - o).max() for n, o in zip(new, old, strict=True)))
    assert worst[0] == pytest.approx(2 * worst[1], rel=0.1, abs=0)


def many(values):
    return [Decimal(value) for value in values]


@pytest.mark.parametrize(
    ("w", "b", "v", "c", "x"),
    [
        (0.3, 0.5, 0.7, 0.2, 1.5), (1e200, -3.0, 2.0, -1e-3, 1e-5), (1.0, 0.0, 0.5, 300.0, 1.0),
        (1e-300, 1e-310, 1e-305, -400.0, 2.0), (1.0, 2.0, 1e300, 500.0, 0.5),
        (0.0, 5e-324, 0, 1.0, 0), (1e300, 0.0, 1.0, 1e-310, 1e300), (0.1, 0.2, -5.0, 1e5, 3.0),
    ],
)  # fmt: skip
def test_invariants_at_60_digits(w, b, v, c, x):
    with localcontext(DIGITS):
        dw, db, dv, dc, dx = many((w, b, v, c, x))
        q = (1 + dx * dx).sqrt()
        a = (dw * dx + db) / q
        exact = [float((a + dv) * (-q * dc).exp()), float((a - dv) * (q * dc).exp())]
    found = [float(value) for value in theory.gradient_flow_invariants(w, b, v, c, x)]
    allowed = 4e-16 * (4 + abs(math.hypot(1, x) * c))
    assert found == pytest.approx(exact, rel=allowed, abs=1e-323)


def test_invariants_that_are_0_stay_0():
    plus, minus = theory.gradient_flow_invariants(0, 1, [-1, 1], [-1e300, 1e300], 0)
    assert plus.tolist() == [0, 0]
    assert minus.tolist() == [0, 0]
    assert np.isnan(theory.gradient_flow_invariants(1, 0, math.nan, 0, 0)).all()


# Times


def exact_time(f0, f1, t, apart):
    """Return q times the time from f0 to f1 by G, at so many digits that nothing cancels."""
    with localcontext(DIGITS) as context:
        context.prec = 1000
        f0, f1, t, apart = many((f0, f1, t, apart))
        scale = (apart * apart + 4 * t * t).sqrt()

        def logarithm(f):
            root = (apart * apart + 4 * f * f).sqrt()
            return abs((apart * apart + 4 * t * f + scale * root) / (t - f)).ln()

        return float((logarithm(f1) - logarithm(f0)) / scale)


def integrated_time(f0, f1, t, apart):
    """Return q times the time from f0 to f1 by tanh-sinh quadrature at 60 digits."""
    with localcontext(DIGITS):
        f0, f1, t, apart = many((f0, f1, t, apart))
        middle, half, step = (f0 + f1) / 2, (f1 - f0) / 2, Decimal(1) / 100
        pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
        total = Decimal(0)
        for i in range(-450, 451):
            s = i * step
            turn = pi / 4 * (s.exp() - (-s).exp())
            cosh = (turn.exp() + (-turn).exp()) / 2
            f = middle + half * (turn.exp() - (-turn).exp()) / 2 / cosh
            weight = pi / 4 * (s.exp() + (-s).exp()) / (cosh * cosh)
            total += weight / ((t - f) * (apart * apart + 4 * f * f).sqrt())
        return total * half * step


TIMES = [
    (0.1, 1.0, 2.0, 0.7), (-1.0, 0.0, 2.0, 0.5), (-1.0, 1.5, 2.0, 0.5), (-3.0, -2.0, 1.0, 4.0),
    (-3.0, -1.0, 0.3, 0.1), (5.0, 2.5, 2.0, 0.5), (0.1, 1.9, 2.0, 0.0), (0.5, 0.5 + 1e-9, 1.0, 0.3),
    (-0.25, -0.2499999, 1.0, 1.0), (-1e-3, 1e-3, 1.0, 30.0),
]  # fmt: skip


@pytest.mark.parametrize(("f0", "f1", "t", "apart"), TIMES)
def test_times_by_integration_at_40_digits(f0, f1, t, apart):
    integral = integrated_time(f0, f1, t, apart)
    assert float(integral) == pytest.approx(exact_time(f0, f1, t, apart), rel=1e-15, abs=0)
    # At x = 0 the start has q = 1, A = b and v = f0/b; where f = 0 is passed, v must vanish first.
    b = start_of(f0, apart, f0 < 0 and f1 == 0)
    found = theory.frozen_c_flow_time(0, b, f0 / b, 0, 0, t, f1)
    assert float(found) == pytest.approx(float(integral), rel=1e-13, abs=0)


def start_of(f0, apart, dies):
    """Return A > 0 with |A^2 - (f0/A)^2| = D, smaller than |v| if the unit is to die."""
    larger = math.sqrt((math.hypot(apart, 2 * f0) + apart) / 2)
    return abs(f0) / larger if dies else larger


@settings(max_examples=150)
@given(
    st.sampled_from([1e-150, 1e-20, 1.0, 1e20, 1e150]),
    # The quotient of the two ends, or that of t and D, may be beyond float64.
    st.one_of(st.floats(-3, 0.999), st.sampled_from([0.0, 1e-290, -1e-290, 1e-320, -1e-320])),
    st.floats(1e-12, 1),
    st.one_of(st.just(0.0), st.floats(1e-8, 10), st.just(1e-200)),
)  # fmt: skip
def test_times_keep_their_digits(unit, start, way, apart):
    """Of parts of the way as small as 1e-12, where G(f1) - G(f0) has lost all digits."""
    f0, f1, t, d = start * unit, (start + (1 - start) * way * 0.999) * unit, unit, apart * unit
    if f0 < 0 < f1 or (d == 0 and f0 <= 0) or f0 == f1:
        return
    with np.errstate(all="ignore"):
        found = float(_flow_time(*map(np.float64, (f0, f1, t, t - f1, d))))
    # t - f1 and t - f0 are rounded, and so is the way where it is short.
    expected = exact_time(f0, f1, t, d)
    rounding = 2.0**-52 * (8 + unit / abs(t - f0) + unit / abs(t - f1))
    assert found == pytest.approx(expected, rel=rounding, abs=0)


@pytest.mark.parametrize(
    ("x", "target", "c"), [(1.0, 3.0, 0.0), (-0.5, 0.3, 1.0), (0.0, -1.0, 0.5)]
)
def test_descent_in_small_steps_takes_that_long(x, target, c):
    parameters, rate = states(30), 5e-4
    parameters[3] = c
    trace = rl.trace(
        rl.Networks(*parameters), rl.TrainingSet.point(x, target), rate, 8000, freeze=("c",)
    )
    n_found = 0
    for run, states_of in trace.groupby("run"):
        w, b, v, _ = parameters[:, run]
        if w * x + b <= 0:
            assert math.isinf(theory.frozen_c_flow_time(w, b, v, c, x, target, c + 1e-3))
            continue
        prediction = states_of["prediction"].to_numpy()
        moved = np.abs(prediction - target) < 0.5 * abs(prediction[0] - target)
        if moved.any() and prediction[moved.argmax()] != c:
            step = moved.argmax()
            time = theory.frozen_c_flow_time(w, b, v, c, x, target, prediction[step])
            assert float(time) == pytest.approx(rate * step, rel=0.01, abs=3 * rate)
            n_found += 1
    assert n_found > 5


def test_the_time_of_death():
    x, target, rate = 1.0, 3.0, 1e-4
    parameters = states(400)
    parameters[3] = 0.5
    trained = rl.train(
        rl.Networks(*parameters), rl.TrainingSet.point(x, target), rate, freeze=("c",),
        max_steps=100_000, gradient_tolerance=1e-3,
    )  # fmt: skip
    time = theory.frozen_c_flow_time(*parameters, x, target, 0.5)
    died = trained.unit == "died"
    assert died.sum() > 30
    np.testing.assert_allclose(time[died], rate * trained.death_step[died].astype(float), rtol=0.02)
    # What lives may pass f = 0 as well, with v and not A at 0; what is inactive is there already.
    lives = trained.unit == "alive"
    assert (np.isfinite(time[lives]) == (parameters[2][lives] < 0)).all()
    assert (time[trained.unit == "born_dead"] == 0).all()
    after = theory.frozen_c_flow_time(*parameters, x, target, 0.6)
    assert np.isinf(after[died]).all()


def test_the_balanced_form():
    x, target = 0.7, 2.0
    q = math.hypot(1, x)
    y = np.sqrt([0.01, 0.1, 0.5])
    w, b, v = theory.balanced_start(x, target, y)
    f0 = y * y * target
    for f1 in (1.1, 1.9, 2 - 1e-12):
        expected = np.log(f1 * (target - f0) / (f0 * (target - f1))) / (2 * q * target)
        found = theory.frozen_c_flow_time(w, b, v, 0, x, target, f1)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        mirrored = theory.frozen_c_flow_time(w, b, -v, 0, x, -target, -f1)
        np.testing.assert_array_equal(mirrored, found)


def test_times_at_the_ends():
    time = theory.frozen_c_flow_time
    assert time(0, 1, 1, 0, 0, 3, [1, 3, 4, 0.5]).tolist() == [0, math.inf, math.inf, math.inf]
    assert time(0, 1, 5, 0, 0, 3, [5, 3, 4, 6]).tolist()[::3] == [0, math.inf]
    assert np.isfinite(time(0, 1, 5, 0, 0, 3, 4))
    assert time(0, 1, -1, 0, 0, 3, [0, 1]).tolist() == [math.inf] * 2  # balanced: never at 0
    assert np.isnan(time(0, 1, math.nan, 0, 0, 3, 1))
    assert np.isnan(time(0, 1, 1, 0, 0, math.inf, 1))


# Where it leads


def exact_flow_sharpness(w, b, v, c, x, target):
    """Return the sharpness of the end of the flow by bisection at 60 digits."""
    with localcontext(DIGITS):
        w, b, v, c, x, target = many((w, b, v, c, x, target))
        q = (1 + x * x).sqrt()
        a = (w * x + b) / q
        plus, minus = ((a + v) * (-q * c).exp()) ** 2, ((a - v) * (q * c).exp()) ** 2

        def ends(c):
            return plus * (2 * q * c).exp(), minus * (-2 * q * c).exp()

        low, high = min(c, target) - 100, max(c, target) + 100
        for _ in range(200):
            middle = (low + high) / 2
            one, other = ends(middle)
            if q * (one - other) / 4 + middle > target:
                high = middle
            else:
                low = middle
        return float(1 + (1 + x * x) * sum(ends(low)) / 2)


def test_flow_sharpness_at_60_digits():
    rng = np.random.default_rng(0)
    for i in range(60):
        w, b, v, c, x, target = (rng.normal(size=6) * 10.0 ** rng.integers(-2, 2)).tolist()
        w, b = (w, b) if w * x + b > 0 else (-w, -b)
        found = float(theory.flow_sharpness(w, b, v, c, x, target))
        if theory.dies_under_gradient_flow(w, b, v, c, x, target):
            assert found == 1
        else:
            expected = exact_flow_sharpness(w, b, v, c, x, target)
            assert found == pytest.approx(expected, rel=1e-12, abs=0), i


@pytest.mark.parametrize("freeze", [(), ("c",)])
def test_flow_sharpness_is_that_of_the_end_of_training_in_small_steps(freeze):
    networks, data = rl.Networks(*states(300)), rl.TrainingSet.point(1, 3)
    trained = rl.train(networks, data, 2e-4, max_steps=200_000, freeze=freeze)
    ended = trained.outcome == "converged"
    found = theory.flow_sharpness(*networks.stack(), 1, 3, freeze=freeze)
    assert ended.sum() > 250
    np.testing.assert_allclose(
        found[ended], rl.sharpness(trained.networks, data, freeze)[ended], rtol=4e-3
    )


def test_the_constants_to_all_their_digits():
    with localcontext(DIGITS):
        k = Decimal("1.28")
        for _ in range(20):  # Newton's method on (k - 1)*exp(k) = 1
            k -= ((k - 1) * k.exp() - 1) / (k * k.exp())
        assert float(k) == theory.FLOW_SHARPNESS_FALLS
        assert float(Decimal(2).sqrt()) == theory.FLOW_SHARPNESS_FALLS_FROZEN_C


@pytest.mark.parametrize(
    ("freeze", "limit"),
    [((), theory.FLOW_SHARPNESS_FALLS), (("c",), theory.FLOW_SHARPNESS_FALLS_FROZEN_C)],
)
@pytest.mark.parametrize(("x", "target"), [(1.0, 3.0), (-0.4, 0.2), (0.0, -2.0)])
def test_a_moderate_step_does_not_raise_the_flow_sharpness(freeze, limit, x, target):
    parameters = states(40_000, seed=3)
    w, b, v, c = parameters
    k = np.random.default_rng(1).uniform(0, 2.5, w.size)
    e = v * np.maximum(w * x + b, 0) + c - target
    rate = k / (math.hypot(1, x) * np.abs(e))
    before, after, rate = step_of(parameters, x, target, rate, freeze)
    w, b, v, c = before
    k = rate * math.hypot(1, x) * np.abs(v * (w * x + b) + c - target)
    old, new = (theory.flow_sharpness(*p, x, target, freeze=freeze) for p in (before, after))
    lives = ~theory.dies_under_gradient_flow(*before, x, target, freeze=freeze)
    lives &= ~theory.dies_under_gradient_flow(*after, x, target, freeze=freeze)
    rises = lives & (new > old * (1 + 1e-9))
    assert (lives & (k <= limit)).sum() > 1000
    assert not rises[k <= limit].any()
    assert rises[k > limit].any()
    if freeze:  # and there is no better limit
        assert k[rises].min() < limit + 0.1


# Death, with c frozen


@pytest.mark.parametrize(("x", "target"), [(1.0, 3.0), (-0.5, 0.3), (2.0, -1.0)])
def test_death_with_c_frozen_while_k_is_below_1(x, target):
    parameters = states(20_000)
    networks, data = rl.Networks(*parameters), rl.TrainingSet.point(x, target)
    expected = theory.dies_under_gradient_flow(*parameters, x, target, freeze=("c",))
    w, b, v, c = parameters
    # Whose |e| does not grow: at rates with which the first |k| is 0.3, and lambda*rate below 1.
    q, a = math.hypot(1, x), np.maximum(w * x + b, 0)
    size = np.maximum(q * np.abs(v * a + c - target), a * a + q * q * v * v)
    trained = rl.train(
        networks, data, 0.3 / size, max_steps=200_000, freeze=("c",), gradient_tolerance=1e-9
    )
    ended = trained.outcome == "converged"
    assert ended.mean() > 0.9
    assert expected.sum() > 500
    np.testing.assert_array_equal(expected[ended], (trained.unit == "died")[ended])


@pytest.mark.parametrize(
    ("x", "target", "std_w", "std_b", "std_v", "c"),
    [(1.0, 3.0, 1, 1, 1, 0.0), (-0.5, 0.3, 1, 0.5, 2, 1.0), (1.0, 1.0, 2**0.5, 0, 1, 0.0)],
)
def test_the_probability_of_death_with_c_frozen(x, target, std_w, std_b, std_v, c):
    n = 40_000
    rng = np.random.default_rng(0)
    w, b, v = (std * rng.normal(size=n) for std in (std_w, std_b, std_v))
    p = theory.small_rate_death_probability(
        x, target, std_w=std_w, std_b=std_b, std_v=std_v, c=c, freeze=("c",)
    )
    found = theory.dies_under_gradient_flow(w, b, v, c, x, target, freeze=("c",)).mean()
    assert found == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / n))
    at_c = theory.small_rate_death_probability(
        x, c, std_w=std_w, std_b=std_b, std_v=std_v, c=c, freeze=("c",)
    )
    assert at_c == 0


@pytest.mark.parametrize("freeze", [("w",), ("w", "c"), "c", None])
def test_other_parameters_cannot_be_frozen(freeze):
    with pytest.raises(rl.InputError, match="freeze: expected"):
        theory.dies_under_gradient_flow(1, 0, 1, 0, 1, 3, freeze=freeze)
