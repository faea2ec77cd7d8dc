"""The Numba engine where lanes, bursts and refills could go wrong; threads; no Numba."""

import os
import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import relulab as rl

POINT = rl.TrainingSet.point(1.0, 3.0)
SEVERAL = rl.TrainingSet([-2.0, 1.0, 2.0], [1.0, -1.0, 3.0])
needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="Numba (extra fast) missing")


def both(networks, data, rate, **options):
    """Train on both engines and hold the results together; return one."""
    one, two = (
        rl.train(networks, data, rate, engine=engine, **options) for engine in ("numpy", "numba")
    )
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame(), check_exact=True)
    return two


def mixture(n, low=1e-3, high=3.0, seed=0):
    rng = np.random.default_rng(seed)
    networks = rl.Networks(*rng.standard_normal((4, n)))
    return networks, np.exp(rng.uniform(np.log(low), np.log(high), n))


@needs_numba
@pytest.mark.parametrize("n", [1, 2, 127, 128, 129, 1000])
def test_any_number_of_networks(n):
    both(*mixture(n)[:1], POINT, mixture(n)[1], max_steps=2000)


@needs_numba
@pytest.mark.parametrize("max_steps", [0, 1, 15, 31, 32, 33, 48, 63, 64, 65, 255, 256, 257, 1000])
@pytest.mark.parametrize("data", [POINT, SEVERAL], ids=["one sample", "several"])
def test_max_steps_at_the_edges_of_bursts(max_steps, data):
    networks, rate = mixture(700)
    trained = both(networks, data, rate, max_steps=max_steps)
    assert trained.steps_taken.max() == max_steps


@pytest.mark.slow
@needs_numba
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_lengths_that_differ_a_thousandfold(dtype):
    networks, rate = mixture(20_000, 3e-3, 2.5)
    trained = both(networks, POINT, rate, max_steps=20_000, dtype=dtype)
    moved = trained.steps_taken[trained.steps_taken > 0]
    assert moved.max() > 1000 * moved.min()
    assert len(set(zip(trained.outcome, trained.unit, strict=True))) >= 5


@needs_numba
@pytest.mark.parametrize("freeze", [("c",), ("w", "b"), ("v",), ("b", "c"), ("w", "b", "v", "c")])
@pytest.mark.parametrize("data", [POINT, SEVERAL], ids=["one sample", "several"])
def test_frozen_parameters(freeze, data):
    networks, rate = mixture(3000)
    trained = both(networks, data, rate, max_steps=1000, freeze=freeze)
    for name in freeze:
        np.testing.assert_array_equal(getattr(trained.networks, name), getattr(networks, name))


@needs_numba
@pytest.mark.parametrize("tolerance", [0.0, 1e-2, 0.5])
@pytest.mark.parametrize("divergence_loss", [0.5, 1e30, 1e308])
def test_tolerance_and_divergence_loss(tolerance, divergence_loss):
    networks, rate = mixture(3000)
    both(
        networks, POINT, rate, max_steps=300,
        gradient_tolerance=tolerance, divergence_loss=divergence_loss,
    )  # fmt: skip


@needs_numba
@pytest.mark.parametrize(
    ("dtype", "divergence_loss", "c"),
    [("float64", 1e308, 1.38e154), ("float64", 1.7e308, 1.5e154), ("float32", 3e38, 2.2e19)],
)
def test_a_loss_that_overflows_below_a_residual_that_does_not(dtype, divergence_loss, c):
    trained = both(
        rl.Networks(w=1.0, b=0.0, v=0.0, c=c), rl.TrainingSet.point(-1.0, 0.0), 0.1, max_steps=300,
        divergence_loss=divergence_loss, dtype=dtype,
    )  # fmt: skip
    assert trained.outcome[0] == "diverged"
    assert trained.loss[0] == np.inf


@needs_numba
def test_a_tolerance_beyond_float32():
    networks, rate = mixture(100)
    trained = both(networks, POINT, rate, gradient_tolerance=1e300, dtype="float32")
    # A dead unit's network rests at any c where the rate is at most 2, for such a tolerance.
    dead = (trained.unit == "born_dead") & (rate <= 2)
    assert dead.sum() > 10
    assert (trained.steps_taken[dead] == 0).all()


@needs_numba
@pytest.mark.parametrize("summation", ["direct", "sorted"])
@pytest.mark.parametrize("max_steps", [1, 100])
def test_v_overflows_in_the_step_that_kills_the_unit(summation, max_steps):
    """With c frozen, only v tells: the loss of sorted sums is finite without it."""
    trained = both(
        rl.Networks(w=0.0, b=1e150, v=1e-5, c=1e149), rl.TrainingSet([0.0, 1.0], [0.0, 0.0]), 1e10,
        freeze=("c",), divergence_loss=1e308, max_steps=max_steps, summation=summation,
    )  # fmt: skip
    assert trained.outcome[0] == "diverged"
    assert trained.unit[0] == "alive"  # a state that is not finite is not told to be dead
    assert trained.steps_taken[0] == 1


@needs_numba
def test_v_overflows_where_a_silent_sample_makes_the_loss_nan():
    """With w and b frozen, only v tells: the largest loss that is seen misses NaN."""
    trained = both(
        rl.Networks(w=1e200, b=0.0, v=0.0, c=0.0), rl.TrainingSet([-1.0, 1.0], [0.0, 1e10]), None,
        hidden_learning_rate=1.0, output_learning_rate=1e100, freeze=("w", "b"), max_steps=100,
    )  # fmt: skip
    assert trained.outcome[0] == "diverged"
    assert trained.steps_taken[0] == 1


@needs_numba
@pytest.mark.parametrize("x", [0.0, -3.0, 1e-3, 40.0, 1e30, -1e-30])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_any_input(x, dtype):
    networks, rate = mixture(3000)
    both(networks, rl.TrainingSet.point(x, -0.7), rate, max_steps=1000, dtype=dtype)


@needs_numba
def test_a_gradient_above_the_tolerance_beside_a_residual_below_it():
    # The residual alone is within the tolerance, gw is 1000 times larger: not converged yet.
    start = rl.Networks(w=1000.0, b=0.0, v=0.001, c=2.0 - 5e-7)
    trained = both(start, POINT, 1e-8, max_steps=100)
    assert trained.outcome[0] == "unfinished"


def hostile(rng):
    """Return networks, samples, rates and options such as nobody trains with."""
    n_samples, n = rng.choice([1, 1, 2, 3, 4, 5, 16]), rng.choice([1, 7, 130, 700])
    x = rng.standard_normal(n_samples) * 10.0 ** rng.choice([0, 0, 0, 3, -3, 170, -170])
    data = rl.TrainingSet(x, rng.standard_normal(n_samples) * 10.0 ** rng.choice([0, 0, 2, 5]))
    orders = rng.choice([0, 0, 1, 5, 50, 150])
    start = rng.standard_normal((4, n)) * 10.0 ** rng.uniform(-orders, orders, (4, n))
    low, high = rng.choice([(-2, 0.5), (-4, 2), (-1, 1), (-150, 150), (-12, -6)])
    options = {
        "max_steps": rng.choice([1, 7, 31, 33, 100, 257, 600]),
        "gradient_tolerance": rng.choice([1e-10, 0, 1e-3, 0.1, 10]),
        "divergence_loss": rng.choice([1e30, 1e30, 10, 0.5, 1e300, 1e-3]),
        "freeze": [name for name in "wbvc" if rng.random() < 0.12],
    }
    return rl.Networks(*start), data, 10.0 ** rng.uniform(low, high, n), options


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_is_put_back_in_a_leap_is_all_that_may_have_ended_in_it(seed):
    rng, outcomes = np.random.default_rng(seed), set()
    for _ in range(150):
        networks, data, rate, options = hostile(rng)
        with np.errstate(all="ignore"):
            trained = both(networks, data, rate, **options)
        outcomes |= set(trained.outcome)
    assert {"converged", "diverged", "unfinished"} <= outcomes


# What is compiled is not run, so any processor of the family can tell.
WHOLE_VECTORS = """
import numba
import numpy as np
if {before}:
    numba.njit("float64(float64)")(lambda x: x + 1)
from relulab.training import numba_kernels
kernel, table = numba_kernels.step_on_one_sample, np.zeros((4, numba_kernels.LANES))
point = numba.typeof(table), numba.typeof(table), numba.float64, numba.float64
kernel.compile((*point, *2 * [numba.typeof(table[0])], numba.float64, numba.intp, numba.intp))
print(kernel.overloads.popitem()[1].library.get_asm_str().count("zmm"))
"""


@needs_numba
@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="not an x86 processor")
@pytest.mark.parametrize("before", [False, True])
def test_whole_vectors_whoever_compiled_before(before, tmp_path):
    features = "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd,+prefer-256-bit"
    chosen = {"NUMBA_CPU_NAME": "skylake-avx512", "NUMBA_CPU_FEATURES": features}
    done = subprocess.run(
        [sys.executable, "-c", WHOLE_VECTORS.format(before=before)],
        env=os.environ | chosen | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) > 0


@needs_numba
def test_threads_give_the_same_bits():
    normal = rl.Normal(0, 1)
    sweep = rl.Sweep(
        data=POINT, w=normal, b=normal, v=normal, c=normal, draws=3000,
        learning_rate=[0.01, 0.3, 2.5], max_steps=1000,
    )  # fmt: skip
    alone = sweep.run(engine="numba")
    pd.testing.assert_frame_equal(
        sweep.run(engine="numba", n_jobs=2, shard_size=1000), alone, check_exact=True
    )
    pd.testing.assert_frame_equal(sweep.run(engine="numpy"), alone, check_exact=True)


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


TRAIN = (
    "import relulab as rl; print(rl.train(rl.Networks(.5, .2, .3, .1),"
    " rl.TrainingSet.point(1, 3), .01, max_steps=10, engine={engine!r}).networks.w[0]{more})"
)


def test_without_numba_auto_is_numpy_and_numba_names_the_extra():
    # find_spec raises ValueError for a None in sys.modules, so hide the package by a finder.
    hide = (
        "import sys, importlib.machinery as m\n"
        "find = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = classmethod(lambda c, name, *a: None if name == 'numba'"
        " else find(name, *a))\n"
    )
    auto = run_python(hide + TRAIN.format(engine="auto", more=", 'numba' in sys.modules"))
    assert auto.stdout == "0.5949862276409392 False\n", auto.stderr
    compiled = run_python(hide + TRAIN.format(engine="numba", more=""))
    last = compiled.stderr.strip().splitlines()[-1]
    assert "InputError: engine: expected numpy or auto where Numba is not installed" in last
    assert 'pip install "relulab[fast]"' in last


@needs_numba
def test_auto_takes_numba():
    auto = run_python("import sys\n" + TRAIN.format(engine="auto", more=", 'numba' in sys.modules"))
    assert auto.stdout == "0.5949862276409392 True\n", auto.stderr


@pytest.mark.slow
@needs_numba
def test_where_nothing_can_be_cached_it_compiles_anew(tmp_path):
    # An installation in which no cache folder can be made, neither beside the code nor at home.
    package = Path(rl.__file__).parent
    shutil.copytree(package, tmp_path / "relulab", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "relulab" / "training" / "__pycache__").write_text("a file, not a folder")
    nowhere = "/dev/null/nowhere"
    done = run_python(
        TRAIN.format(engine="numba", more=", rl.__file__"),
        PYTHONPATH=str(tmp_path),
        HOME=nowhere,
        XDG_CACHE_HOME=nowhere,
        NUMBA_CACHE_DIR="",
    )
    assert done.stdout == f"0.5949862276409392 {tmp_path / 'relulab' / '__init__.py'}\n", (
        done.stderr
    )


@needs_numba
@pytest.mark.parametrize("number", [float, np.float64, np.float32])
def test_the_type_of_the_stopping_numbers_changes_no_bit(number):
    # float32 networks against float64 scalars would be compared in float64 by NumPy alone.
    networks = rl.Networks(-1, -1, 1, [float(np.float32(0.1)), float(np.float32(0.3))])
    trained = both(
        networks, rl.TrainingSet.point(1, 0), 1e-3, dtype="float32", max_steps=np.uint8(100),
        gradient_tolerance=number(0.1), divergence_loss=number(9 / 200),
    )  # fmt: skip
    plain = both(
        networks, rl.TrainingSet.point(1, 0), 1e-3, dtype="float32", max_steps=100,
        gradient_tolerance=0.1, divergence_loss=9 / 200,
    )  # fmt: skip
    pd.testing.assert_frame_equal(trained.to_frame(), plain.to_frame(), check_exact=True)


@pytest.mark.parametrize("engine", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_a_small_integer_type_for_max_steps(engine):
    networks = rl.Networks(np.linspace(-1, 1, 20_000), 0.2, 0.3, 0.1)
    trained = rl.train(networks, POINT, 0.001, max_steps=np.uint8(100), engine=engine)
    assert trained.steps_taken.max() == 100


@pytest.mark.parametrize("engine", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_training_does_not_call_what_aborts_a_process_that_ends(engine):
    """``np.unique`` does in a thread, and threads still train when Ctrl-C ends the process."""
    sweep = rl.Sweep(data=POINT, w=rl.Normal(0, 1), b=rl.Normal(0, 1), v=rl.Normal(0, 1),
                     learning_rate=np.linspace(0.1, 1, 10), draws=300, max_steps=2000)  # fmt: skip
    called = set()
    sys.setprofile(lambda frame, *_: called.add(frame.f_code))
    try:
        sweep.train(0, len(sweep), engine)
    finally:
        sys.setprofile(None)
    assert not [code for code in called if code.co_name == "unique" and "numpy" in code.co_filename]
