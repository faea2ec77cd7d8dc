"""Bounds of the sharpness at rest: on converged runs, at best fits of made-up data, by counting."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relulab as rl
from relulab import theory
from relulab.theory.curvature import hessian

pytestmark = pytest.mark.slow  # arithmetic of our own, which asks nothing of the libraries

FREEZES = [(), ("c",), ("w",), ("b", "c"), ("v",), ("w", "b", "v", "c")]


def sample(n, seed=0):
    rng = np.random.default_rng(seed)
    return rl.TrainingSet(rng.normal(size=n), rng.normal(size=n))


def draw(n, seed=1):
    return rl.Networks(*np.random.default_rng(seed).normal(size=(4, n)))


def counted(w, b, v, data, freeze=()):
    """Return the bound by summing over samples in plain Python."""
    active = [x for x in data.x.tolist() if w * x + b > 0]
    n = data.n_samples
    mean = [sum(v * x for x in active), v * len(active), sum(w * x + b for x in active), n]
    return sum((m / n) ** 2 for m, name in zip(mean, "wbvc", strict=True) if name not in freeze)


def counted_weight(hinge, data, side):
    distances = [(x, x - hinge if side == "right" else hinge - x) for x in data.x.tolist()]
    there = [(x, d) for x, d in distances if d > 0]
    if not there:
        return 0.0
    x, d = (sum(column) / len(there) for column in zip(*there, strict=True))
    return (len(there) / data.n_samples) ** 2 * d * math.hypot(1, x)


@pytest.mark.parametrize("freeze", FREEZES)
@pytest.mark.parametrize("n_samples", [1, 4, 50])
def test_the_bound_is_what_counting_finds(n_samples, freeze):
    data, networks = sample(n_samples), draw(200)
    expected = [counted(*p[:3], data, freeze) for p in networks.stack().T.tolist()]
    found = theory.sharpness_lower_bound(networks, data, freeze)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("n_samples", [1, 4, 50])
def test_the_weight_of_a_side_is_what_counting_finds(n_samples, side):
    data = sample(n_samples)
    hinges = np.append(np.linspace(-3, 3, 41), data.x)  # which are on neither side of themselves
    found = theory.side_weight(hinges, data, side)
    expected = [counted_weight(hinge, data, side) for hinge in hinges.tolist()]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15)
    assert theory.side_weight(0.5, data, side).shape == ()


@pytest.mark.parametrize("offset", [0.0, 2020.0, 1e6, -1e9, 1e12])
@pytest.mark.parametrize("n_samples", [1, 3, 9])
def test_both_keep_their_digits_far_from_zero(n_samples, offset):
    data = rl.TrainingSet(sample(n_samples).x + offset, np.zeros(n_samples))
    samples, rng = list(map(Fraction, data.x.tolist())), np.random.default_rng(3)
    for _ in range(40):
        w, v = map(Fraction, rng.normal(size=2) * [1, 1 / (1 + abs(offset))])
        hinge = Fraction(float(rng.choice(data.x) + rng.normal()))
        b = Fraction(float(-w * hinge))
        bound = theory.sharpness_lower_bound(rl.Networks(*map(float, (w, b, v)), 0), data)
        # In floating point, as in training.
        active = [x for x in samples if float(w) * float(x) + float(b) > 0]
        means = (sum(terms) / n_samples for terms in (
            [v * x for x in active], [v for _ in active], [w * x + b for x in active], [n_samples]
        ))  # fmt: skip
        assert bound[0] == pytest.approx(float(sum(m * m for m in means)), rel=1e-14, abs=0)
        for side, there in {
            "right": [x for x in samples if x > hinge], "left": [x for x in samples if x < hinge]
        }.items():  # fmt: skip
            found = float(theory.side_weight(float(hinge), data, side))
            mean = sum(there) / len(there) if there else hinge
            part = Fraction(len(there), n_samples) ** 2 * abs(mean - hinge)
            assert found == pytest.approx(float(part) * math.hypot(1, mean), rel=1e-14, abs=0)


def bounds(networks, data, freeze=()):
    """Return the sharpness, its bound, and the bound from the slope and the side, c training."""
    w, b, v, _c = networks.stack()
    by_side = [theory.side_weight(-b / w, data, side) for side in ("left", "right")]
    slope = 1 + 2 * np.abs(v * w) * np.where(w > 0, by_side[1], by_side[0])
    return (
        rl.sharpness(networks, data, freeze),
        theory.sharpness_lower_bound(networks, data, freeze),
        slope,
    )


@pytest.mark.parametrize("freeze", [(), ("c",), ("b",)])
@pytest.mark.parametrize("n_samples", [1, 3, 9, 20])
def test_converged_runs_are_as_sharp_as_that(n_samples, freeze):
    data = sample(n_samples, seed=n_samples)
    rate = np.random.default_rng(0).uniform(0.05, 0.8, 600)
    trained = rl.train(
        draw(600), data, rate, freeze=freeze, max_steps=8000, gradient_tolerance=1e-9
    )
    rest = (trained.outcome == "converged") & (np.abs(trained.networks.v) > 1e-3)
    assert rest.sum() > 60
    stack = trained.networks.stack()[:, rest]
    sharp, bound, slope = bounds(rl.Networks.from_stack(stack), data, freeze)
    assert (bound <= sharp * (1 + 1e-6)).all()
    if not freeze:
        assert (slope <= bound * (1 + 1e-12)).all()
        assert (bound > 1.01).any()
        # So a slope is learnt only at rates that are small enough.
        assert (slope < 2 / rate[rest] * (1 + 1e-6)).all()
    elif freeze == ("c",):
        np.testing.assert_allclose(
            bound, theory.sharpness_lower_bound(rl.Networks.from_stack(stack), data) - 1, atol=1e-12
        )


@settings(max_examples=120)
@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=1, max_size=12),
    st.floats(0.01, 100),
)
def test_best_fits_are_as_sharp_as_that_in_whatever_units(samples, factor):
    """At a best fit, and at the networks of the same predictions, the gradient is 0."""
    data = rl.TrainingSet(*np.round(np.array(samples).T, 3))
    w, b, v, c = rl.best_fit(data).network.stack()
    networks = rl.Networks(w * factor, b * factor, v / factor, c)
    pre = networks.w * data.x + networks.b
    if v == 0 or np.abs(pre).min() < 1e-9 * factor:  # a hinge at a sample is not smooth
        return
    [matrix] = hessian(networks, data)
    sharp, bound, slope = bounds(networks, data)
    size = np.abs(matrix).max()
    assert slope[0] <= bound[0] * (1 + 1e-9)
    assert bound[0] <= sharp[0] + 1e-9 * size


def test_on_one_sample_it_is_the_sharpness():
    w, b, v = np.random.default_rng(0).normal(size=(3, 100))
    data = rl.TrainingSet.point(-0.7, 2)
    found = theory.sharpness_lower_bound(rl.Networks(w, b, v, 0), data)
    np.testing.assert_allclose(found, theory.interpolation_sharpness(w, b, v, -0.7), rtol=1e-13)


def test_elsewhere_than_at_rest_it_is_no_bound():
    networks, data = draw(3000), sample(3)
    sharp, bound, _slope = bounds(networks, data)
    assert (bound > sharp).any()


def test_networks_that_are_not_finite():
    stack = np.ones((4, 5))
    stack[range(4), range(4)] = math.nan, math.inf, -math.inf, math.nan
    stack[:, 4] = 1e200
    found = theory.sharpness_lower_bound(rl.Networks.from_stack(stack), sample(4))
    assert np.isnan(found).tolist() == [True] * 4 + [False]
    assert found[4] == math.inf
    with np.errstate(all="raise"):
        far = theory.side_weight([1e308, -1e308], sample(4), "right")
    assert far[0] == 0
    assert far[1] > 1e307


@pytest.mark.parametrize(
    ("hinge", "data", "side", "message"),
    [
        (math.nan, sample(2), "left", "hinge: expected finite values"),
        (0, [1, 2], "left", "data: expected TrainingSet"),
        (0, sample(2), "up", "side: expected one of left, right, got 'up'"),
        (0, rl.TrainingSet([1e200, -1e200], [0, 1]), "left", "data: expected samples whose sums"),
    ],
)
def test_mistakes_are_named(hinge, data, side, message):
    with pytest.raises(rl.InputError, match=message):
        theory.side_weight(hinge, data, side)
