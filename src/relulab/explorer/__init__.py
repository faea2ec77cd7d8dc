"""An interactive map of fates, which trains while you look."""

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.backends.registry import BackendFilter, backend_registry

from relulab.explorer.window import Explorer
from relulab.sweeps.sweep import Sweep
from relulab.validation import InputError, instance_of

__all__ = ["Explorer", "explore", "has_windows"]


def explore(
    sweep: Sweep, x: str = "w0", y: str = "v0", *, n: int = 1000, show: bool = True
) -> Explorer:
    """Open a window with a map of the fates of runs, which trains while you look.

    Sliders set everything that is not on an axis. The toolbar zooms and pans, and shows the fate
    under the pointer. A click traces a run. The window lists its keys. With one sample, closed
    forms are drawn over the map. While you drag, maps are coarse; then the map is trained in full.

    Parameters
    ----------
    sweep : Sweep
        What to train. If x or y is an axis of the sweep, the map begins with its range; a number
        gets a usual range. Everything else that is an axis or random begins at its middle.
    x, y : str
        The horizontal and vertical axes: columns of initial values (w0, b0, v0, c0) or names of
        settings: learning_rate, hidden_learning_rate, momentum, ...
    n : int
        The full map has n x n runs.
    show : bool
        Whether to show the window at once, with ``matplotlib.pyplot.show``.

    Returns
    -------
    Explorer
        It has the map's ``sweep``, ``runs``, ``code()`` and ``figure``.

    Raises
    ------
    InputError
        In one line that names the argument; also if Matplotlib cannot show windows here.

    Examples
    --------
    >>> import numpy as np, relulab as rl
    >>> sweep = rl.Sweep(
    ...     data=rl.TrainingSet.point(1, 3), w=np.linspace(-1, 5, 50), v=np.linspace(-4, 4, 50),
    ...     learning_rate=0.3,
    ... )
    >>> explorer = rl.explore(sweep, "w0", "v0", n=100, show=False)
    >>> len(explorer.runs)
    10000
    """
    instance_of("show", show, bool)
    if show and not has_windows():
        raise InputError(
            f"show: expected a Matplotlib backend with windows, got {mpl.get_backend()};"
            " in Jupyter, use"
            ' %matplotlib widget (ipympl); anywhere, matplotlib.use("WebAgg"), in the browser'
        )
    explorer = Explorer(sweep, x, y, n)
    if show:
        plt.show()
    return explorer


def has_windows() -> bool:
    """Return whether Matplotlib can show windows here, or pages or widgets instead."""
    backend = mpl.get_backend().lower()
    others = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)  # type: ignore[no-untyped-call]
    return backend not in others and "inline" not in backend
