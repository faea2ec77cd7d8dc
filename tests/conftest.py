import os
from importlib.util import find_spec

import matplotlib as mpl
import pytest
from hypothesis import settings

mpl.use("Agg")
# The gate runs the tests with a hostile matplotlibrc, which a user's own Axes obeys; without LaTeX.
mpl.rcParams["text.usetex"] = False
# A busy machine is no error, and the gate says the same each time. To look for new examples:
# pytest --hypothesis-profile search
settings.register_profile("search", deadline=None)
settings.register_profile("house", settings.get_profile("search"), derandomize=True)
settings.load_profile("house")


def pytest_addoption(parser):
    parser.addoption(
        "--runs", type=int, default=2_000_000,
        help="of the sweep in test_scale.py; 100_000_000 take minutes and 9 GB of disk",
    )  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Let a worker that has nothing left to do take what waits behind another's long test.

    Tests of one file stay together for the most part, and so what they share is made once.
    """
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(scope="session", autouse=True)
def kernels(request):
    """Compile the kernels before all else where many tests are run: each worker some of them.

    It takes minutes, and the workers begin with tests that need the same ones; each would compile
    them all. The others come from the cache.
    """
    n_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 0))
    if n_workers == 0 or request.session.testscollected < 1000 or find_spec("numba") is None:
        return
    import relulab as rl

    networks, data = rl.Networks(0.5, 0.2, 0.3, 0.1), rl.TrainingSet([-1.0, 1.0], [0.0, 1.0])
    hows: list[dict] = [{"summation": "direct"}, {"summation": "sorted"}, {"batch_size": 1}]
    slow_too = any("test_optimizers" in item.nodeid for item in request.session.items)
    if slow_too:
        both = (rl.SGD(momentum=0.5), rl.Adam())
        hows += [{"optimizer": o, "summation": s} for o in both for s in ("direct", "sorted")]
    ways = [
        {"dtype": dtype, **how}
        for how in hows
        for dtype in ("float64", "float32")
        if slow_too or dtype == "float64" or how == hows[0]  # of which the fast tests have need
    ]
    first = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    for way in ways[first::n_workers]:  # unfinished runs, as these are followed
        rl.train(networks, data, 1e-3, max_steps=2, engine="numba", **way)
