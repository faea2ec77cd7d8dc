"""A map of fates to walk in: it trains while one looks."""

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
    """Open a window with a map of what becomes of runs, which trains while one looks.

    Sliders move what is on no axis; the toolbar zooms and pans; a click traces a run; the toolbar
    says the fate under the pointer. The window lists its keys. Where there is one sample, closed
    forms are laid over. Dragging shows coarse maps; what stands still is trained in full.

    Parameters
    ----------
    sweep : Sweep
        What is trained. The map begins with its axes x and y as wide as they are there; a number
        gets a usual range. What else is an axis or drawn at random begins at its middle.
    x, y : str
        What is across and up: the columns of initial values (w0, b0, v0, c0) or the names of
        settings: learning_rate, hidden_learning_rate, momentum, ...
    n : int
        The map in full is of n x n runs.
    show : bool
        Whether to show the window at once, with ``matplotlib.pyplot.show``.

    Returns
    -------
    Explorer
        With ``sweep``, ``runs`` and ``code()`` of the map, and its ``figure``.

    Raises
    ------
    InputError
        In one line that names the argument; or if Matplotlib has no window to show it in.

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
            f"show: expected a backend of Matplotlib that has windows, got {mpl.get_backend()};"
            " in Jupyter,"
            ' %matplotlib widget (of ipympl); anywhere, matplotlib.use("WebAgg"), in the browser'
        )
    explorer = Explorer(sweep, x, y, n)
    if show:
        plt.show()
    return explorer


def has_windows() -> bool:
    """Return whether Matplotlib can show windows here, or what it has in their place."""
    backend = mpl.get_backend().lower()
    others = backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE)  # type: ignore[no-untyped-call]
    return backend not in others and "inline" not in backend
