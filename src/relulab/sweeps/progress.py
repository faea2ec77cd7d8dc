"""The progress of a sweep: a bar in a terminal or a notebook, occasional lines in a log file."""

import sys
import warnings
from typing import Any

from tqdm import TqdmWarning, tqdm

from relulab.sweeps.output import Output

with warnings.catch_warnings():
    # In a notebook without ipywidgets, where a text bar does as well.
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.auto import tqdm as bar_of_here

# Seconds between two lines in a log file.
LOG_SECONDS = 30


class _Lines(tqdm):  # type: ignore[misc]
    """Progress as lines, for files in which a bar would become one endless line."""

    @staticmethod
    def status_printer(file: Any) -> Any:
        """Return the function that writes one state of the bar."""
        return lambda text: print(text, file=file, flush=True)


def progress_of(n_done: int, n_runs: int, *, quiet: bool) -> Any:
    """Return a progress bar of runs; it shows runs per second and the time left."""
    how: dict[str, Any] = {"unit": "run", "unit_scale": True, "disable": quiet}
    if "ipykernel" in sys.modules:
        return bar_of_here(total=n_runs, initial=n_done, **how)
    file = Output(sys.stderr)  # stderr may be closed, or a pipe that is no longer read
    if file.isatty():
        return bar_of_here(total=n_runs, initial=n_done, file=file, **how)
    return _Lines(total=n_runs, initial=n_done, file=file, mininterval=LOG_SECONDS, **how)
