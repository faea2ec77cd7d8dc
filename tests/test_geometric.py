"""Equal ratios: correctly rounded, and with the same bits whatever the processor can do."""

import os
import subprocess
import sys
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import relulab as rl
from relulab.model.geometric import between

POSITIVE = st.floats(5e-324, 1.7e308, allow_subnormal=True)


def exactly(low, high, part):
    """Return low * (high / low)**part to 70 digits."""
    with localcontext() as context:
        context.prec = 80
        low, high = Decimal(low), Decimal(high)
        return (low.ln() + (high.ln() - low.ln()) * Decimal(part)).exp()


def exactly_at(low, high, i, num):
    with localcontext() as context:
        context.prec = 80
        return exactly(low, high, Decimal(i) / Decimal(num - 1))


@pytest.mark.slow
@given(POSITIVE, POSITIVE, st.integers(2, 40))
@example(1e-3, 10.0, 9)
@example(1.0, 4.0, 3)
@example(3.0, 3.0, 4)
@example(5e-324, 1.7e308, 30)
@example(1.0, 1.0 + 2**-52, 5)
def test_every_value_is_correctly_rounded(start, stop, num):
    values = rl.geomspace(start, stop, num)
    assert (values[0], values[-1]) == (start, stop)
    assert list(values) == [float(exactly_at(start, stop, i, num)) for i in range(num)]


def test_it_is_numpys_but_for_the_last_digits():
    for ends in ((1e-3, 10), (10, 1e-3), (0.5, 0.7)):
        for num in (1, 2, 3, 50, 1000):
            np.testing.assert_array_max_ulp(
                rl.geomspace(*ends, num), np.geomspace(*ends, num), maxulp=16
            )
    assert rl.geomspace(1, 2).size == np.geomspace(1, 2).size


@given(POSITIVE, POSITIVE, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
@example(1e-2, 2.0, [0.0, 2**-60, 0.5, 1 - 2**-53])
@example(5e-324, 1.7e308, [0.0, 1e-320, 0.3, 1 - 2**-53])
def test_between_is_right_to_a_few_roundings(one, other, parts):
    low, high = sorted([one, other])
    if low < high:
        for value, part in zip(between(low, high, np.array(parts)), parts, strict=True):
            right = exactly(low, high, part)
            spacing = Decimal(float(np.spacing(float(right))))
            assert abs(Decimal(float(value)) - right) <= 2 * spacing


SHOW = """
import numpy as np
import relulab as rl
print(rl.geomspace(1e-3, 10, 1001).tobytes().hex())
for low, high in ((0.01, 2), (1e-300, 1e300), (1, 1.001)):
    print(rl.LogUniform(low, high).sample(np.random.default_rng(0), 1000).tobytes().hex())
sweep = rl.Sweep(
    data=rl.TrainingSet.point(1, 3), w=rl.LogUniform(0.1, 2), v=rl.Normal(0, 1), draws=200,
    learning_rate=rl.geomspace(0.01, 3, 5), max_steps=50,
)
print(sweep.run(engine="numpy").to_csv(float_format=float.hex))
"""


def test_the_bits_are_those_of_any_processor():
    # NumPy's ways for what this processor can do, and those for what every processor can.
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    there = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    if not there:
        pytest.skip("NumPy has no other ways to compute here")
    shown = [
        subprocess.run(
            [sys.executable, "-c", SHOW],
            env=os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(disabled)},
            capture_output=True, text=True, check=True,
        ).stdout
        for disabled in ([], there)
    ]  # fmt: skip
    assert shown[0] == shown[1]
