import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import relulab as rl

TINIEST, LARGEST = 5e-324, np.finfo(float).max


@pytest.mark.parametrize(
    ("distribution", "mean", "std"),
    [
        (rl.Normal(2, 3), 2, 3),
        (rl.Uniform(-1, 3), 1, 4 / 12**0.5),
        (rl.LogUniform(0.1, 10), 9.9 / np.log(100), None),
    ],
)
def test_moments(distribution, mean, std):
    n = 200_000
    values = distribution.sample(np.random.default_rng(0), n)
    assert values.mean() == pytest.approx(mean, abs=4 * values.std() / n**0.5)
    if std:
        assert values.std() == pytest.approx(std, rel=0.01)


def test_log_uniform_is_uniform_in_the_logarithm():
    logs = np.log10(rl.LogUniform(0.01, 100).sample(np.random.default_rng(0), 100_000))
    assert -2 <= logs.min() < logs.max() <= 2
    counts = np.histogram(logs, bins=8, range=(-2, 2))[0]
    assert abs(counts - 12_500).max() < 4.5 * np.sqrt(12_500 * 7 / 8)


def few_ulps_above(low, n_ulps):
    for _ in range(n_ulps):
        low = math.nextafter(low, math.inf)
    return low


@given(st.floats(allow_infinity=False, allow_nan=False), st.integers(1, 4) | st.floats(0, LARGEST))
@example(0.0, 1)
@example(-TINIEST, 2)
@example(1.0, 1)
@example(1e300, 3)
@example(0.0, LARGEST)
@example(TINIEST, LARGEST)
@example(LARGEST / 2, LARGEST)
@example(-LARGEST / 2, LARGEST / 2)
def test_draws_are_in_their_interval(low, high):
    high = few_ulps_above(low, high) if isinstance(high, int) else high
    assume(low < high < math.inf)

    class Ends:
        """A generator of the smallest and the largest number that one draws, too."""

        def random(self, n):
            return np.append(np.random.default_rng(0).random(n - 2), [0.0, 1 - 2**-53])

    for kind in (rl.Uniform, rl.LogUniform):
        if low > 0 or (kind is rl.Uniform and high - low < math.inf):
            values = kind(low, high).sample(Ends(), 1000)
            assert ((low <= values) & (values < high)).all()


def test_ordinary_draws_are_those_of_the_formula():
    draws = np.random.default_rng(0).random(4096)
    for low, high in ((-1, 3), (0, 1), (1e-6, 1e3), (1e6, 1e6 + 1)):
        values = rl.Uniform(low, high).sample(np.random.default_rng(0), 4096)
        assert (values == low + (high - low) * draws).all()
    values = rl.LogUniform(1e-3, 3).sample(np.random.default_rng(0), 4096)
    logs = np.log(1e-3) + (np.log(3) - np.log(1e-3)) * draws
    np.testing.assert_allclose(values, np.exp(logs), rtol=2e-15)


@pytest.mark.parametrize("name", rl.SCHEMES)
def test_schemes_have_the_published_variance(name):
    published = {
        "he_normal": 2.0,
        "he_uniform": 2.0,
        "glorot_normal": 1.0,
        "glorot_uniform": 1.0,
        "lecun_normal": 1.0,
        "torch_default": 1 / 3,
        "standard_normal": 1.0,
    }
    scheme = rl.scheme(name)
    assert list(scheme) == ["w", "b", "v", "c"]
    for p in "wv":
        values = scheme[p].sample(np.random.default_rng(1), 200_000)
        assert values.var() == pytest.approx(published[name], rel=0.02)
    assert rl.Sweep(
        data=rl.TrainingSet.point(1, 1), learning_rate=0.1, draws=2, **scheme
    ).run().shape[0] == 2  # fmt: skip
    if name in ("torch_default", "standard_normal"):
        assert scheme["b"] == scheme["c"] == scheme["w"]
    else:
        assert scheme["b"] == scheme["c"] == 0


@pytest.mark.parametrize(
    ("start", "call"),
    [
        ("std", lambda: rl.Normal(0, -1)),
        ("std", lambda: rl.Normal(0, 10**400)),
        ("mean", lambda: rl.Normal(np.nan, 1)),
        ("high", lambda: rl.Uniform(1, 1)),
        ("low", lambda: rl.LogUniform(0, 1)),
        ("low", lambda: rl.Uniform("a", 1)),
        ("scheme", lambda: rl.scheme("xavier")),
    ],
)
def test_bad_input(start, call):
    with pytest.raises(rl.InputError, match=f"^{start}: expected"):
        call()
