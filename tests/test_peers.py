"""The peers of throughput.py do the same job: what they are timed on is what relulab does."""

import os
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest

import peers
import relulab as rl
import throughput

pytestmark = pytest.mark.slow  # compilers are slow, and what they make is of no user

N_NETS, TOLERANCE = 3_001, 1e-10  # a last block of lanes that is not full
NUMBA = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is missing")
JAX = pytest.mark.skipif(find_spec("jax") is None, reason="JAX (extra peers) is missing")
TORCH = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch (extra peers) is missing")
CPP = pytest.mark.skipif(not peers.has_cpp(), reason="g++ with OpenMP is missing")
THREADS = peers.numba_threads() if find_spec("numba") else os.cpu_count() or 1
COMPILED = [
    pytest.param(peers.numba_loop, id="Numba", marks=NUMBA),
    pytest.param(peers.numba_lanes, id="Numba, lanes", marks=NUMBA),
    pytest.param(peers.cpp, id="C++", marks=CPP),
    pytest.param(partial(peers.cpp, lanes=True), id="C++, lanes", marks=CPP),
]
# Four samples and few steps: some networks end at max_steps.
DATA = {
    1: (rl.TrainingSet.point(1.0, 3.0), 2_000),
    4: (rl.TrainingSet([-2.0, 1.0, 2.0, 0.5], [1.0, -1.0, 3.0, 0.25]), 300),
}


def trained(n_samples):
    """Return a job, the initial networks, the rates, and where relulab ends."""
    data, max_steps = DATA[n_samples]
    rng = np.random.default_rng(3)
    start, rate = rng.standard_normal((4, N_NETS)), 10 ** rng.uniform(-2, 1, N_NETS)
    final = rl.train(
        rl.Networks(*start), data, rate, max_steps=max_steps, gradient_tolerance=TOLERANCE
    )
    job = peers.Job(tuple(data.x), tuple(data.target), max_steps, TOLERANCE)
    return job, start, rate, final


def labels(start, final, n_samples):
    return throughput.labels(start, final, DATA[n_samples][0])


@pytest.mark.parametrize("n_samples", DATA)
@pytest.mark.parametrize("peer", COMPILED)
def test_without_fast_math_a_peer_has_our_bits(peer, n_samples):
    job, start, rate, ours = trained(n_samples)
    assert {"converged", "diverged", "unfinished"} <= set(ours.outcome)
    final = peer(job)(start, rate)
    np.testing.assert_array_equal(final, ours.networks.stack())
    np.testing.assert_array_equal(peer(job, n_threads=min(2, THREADS))(start, rate), final)


@pytest.mark.parametrize("peer", COMPILED)
def test_with_fast_math_a_peer_has_our_labels(peer):
    job, start, rate, ours = trained(1)
    final = peer(job, fastmath=True)(start, rate)
    expected = ours.networks.stack()
    assert (final != expected).any()
    np.testing.assert_array_equal(labels(start, final, 1), labels(start, expected, 1))


@pytest.mark.parametrize(
    "peer",
    [
        pytest.param(peers.jax_while, marks=JAX),
        pytest.param(
            peers.torch_steps,
            # torch.compile calls what PyTorch itself deprecates.
            marks=[TORCH, pytest.mark.filterwarnings("ignore::DeprecationWarning")],
        ),
    ],
)
def test_a_library_has_our_labels(peer):
    job, start, rate, ours = trained(1)
    final = peer(job, chunk=N_NETS)(start, rate)
    np.testing.assert_array_equal(labels(start, final, 1), labels(start, ours.networks.stack(), 1))


@CPP
def test_fast_math_leaves_the_denormals_of_the_process():
    peers.cpp(peers.Job((1.0,), (3.0,), 1, TOLERANCE), fastmath=True)
    assert np.float64(5e-324) * np.float64(1.0) > 0


@pytest.mark.parametrize("n_samples", DATA)
def test_labels_are_those_of_training(n_samples):
    _, start, _, ours = trained(n_samples)
    outcome, unit = np.divmod(labels(start, ours.networks.stack(), n_samples), 3)
    diverged = ours.outcome == "diverged"
    np.testing.assert_array_equal(outcome == 1, diverged)
    np.testing.assert_array_equal(outcome == 0, ours.outcome == "converged")
    names = np.array(["alive", "born_dead", "died"])[unit.astype(int)]
    np.testing.assert_array_equal(names[~diverged], ours.unit[~diverged])
