import numpy as np
import pytest

import relulab as rl


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
