"""The choice between the two engines, which give the same bits."""

from importlib import import_module
from types import ModuleType

from relulab.training import numba_support
from relulab.validation import InputError, one_of

ENGINES = ("auto", "numpy", "numba")


def resolved_engine(name: object) -> str:
    """Return the engine that a name stands for in this process, without loading it.

    If Numba is installed but cannot be used, "auto" is "numpy", and stderr says why, once.
    """
    engine = one_of("engine", name, ENGINES)
    if engine == "numpy":
        return engine
    if not numba_support.is_installed():
        if engine == "auto":
            return "numpy"
        raise InputError(
            "engine: expected numpy or auto where Numba is not installed, got numba;"
            ' pip install "relulab[fast]" brings it'
        )
    problem = numba_support.problem()
    if problem is None:
        return "numba"
    if engine == "numba":
        raise InputError(
            f"engine: expected numpy or auto where Numba cannot be used ({problem}), got numba"
        )
    numba_support.say_once(
        "engine",
        f"Numba cannot be used ({problem}); the NumPy engine is used: the same bits, but slower",
    )
    return "numpy"


def load_engine(name: object) -> ModuleType:
    """Return the module of the named engine, with its functions ``run`` and ``periods``."""
    if resolved_engine(name) == "numba":
        try:
            return import_module("relulab.training.numba_engine")
        except Exception as error:  # of Numba, at the kernels
            numba_support.note_failure(error)
    return import_module(f"relulab.training.{resolved_engine(name)}_engine")
