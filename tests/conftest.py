import matplotlib as mpl
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
