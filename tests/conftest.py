import matplotlib as mpl
from hypothesis import settings

mpl.use("Agg")
settings.register_profile("house", deadline=None)  # a busy machine is no error
settings.load_profile("house")


def pytest_addoption(parser):
    parser.addoption(
        "--runs", type=int, default=2_000_000,
        help="of the sweep in test_scale.py; 100_000_000 take minutes and 9 GB of disk",
    )  # fmt: skip
