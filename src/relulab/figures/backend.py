"""Matplotlib, imported and used whatever the user's settings are.

Importing this module imports Matplotlib, before any other module of relulab does.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib.util import find_spec
from pathlib import Path


@contextmanager
def drawing_files() -> Iterator[None]:
    """Draw with Agg, whatever backend the user chose; drop the figures that were left open."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    # Not by mpl.use(), which would load what MPLBACKEND names: that may not work here.
    chosen, loaded = dict.__getitem__(mpl.rcParams, "backend"), vars(plt)["_backend_mod"]
    default = dict.__getitem__(mpl.rcParamsDefault, "backend")
    with mpl.rc_context():
        plt.switch_backend("agg")
        others = plt.get_fignums()
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - set(others):
                plt.close(number)
            dict.__setitem__(mpl.rcParams, "backend", chosen)
            dict.__setitem__(mpl.rcParamsDefault, "backend", default)
            vars(plt)["_backend_mod"] = loaded


def _import_matplotlib() -> None:
    """Import Matplotlib, also where it refuses the user's settings.

    It does where MPLBACKEND names no backend, and where matplotlibrc is no text or not readable.
    """
    try:
        import matplotlib
    except (ValueError, OSError) as error:
        logging.getLogger(__name__).warning(
            "Matplotlib refuses its settings (%s); drawing without them",
            str(error).split(";")[0],
        )
        for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
            del sys.modules[name]  # what was loaded before it stopped
        spec = find_spec("matplotlib")
        assert spec is not None
        assert spec.origin is not None
        backend = os.environ.pop("MPLBACKEND", None)
        try:
            # It takes the matplotlibrc of the working directory first; here is its own.
            with chdir(Path(spec.origin).parent / "mpl-data"):
                import matplotlib  # noqa: F401
        finally:
            if backend is not None:
                os.environ["MPLBACKEND"] = backend


_import_matplotlib()
