"""Tasks and their results, in whatever process or on whatever machine they are done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Tasks = Mapping[int, tuple[Any, ...]]

# The number of a task, its result or None, and its exception or None.
Done = tuple[int, Any, Exception | None]


@dataclass(frozen=True)
class Lost:
    """The result of a task that no worker could finish, usually for lack of memory.

    Attributes
    ----------
    error : str
        The pool's error, as a traceback.
    """

    error: str


@dataclass(frozen=True)
class Unseen:
    """The result of a task that was not done, as its worker does not see the results folder.

    On a Dask cluster the task goes to another worker, and this one gets no more; elsewhere it is a
    result like any other.

    Attributes
    ----------
    folder : str
        The folder that the worker does not see.
    worker, host : str
        The address of the worker and the name of its host, which ``by_dask`` fills in.
    """

    folder: str
    worker: str = ""
    host: str = ""


def attempt(i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> Done:
    """Do a task; its exception is a result like any other."""
    try:
        return i, function(*task), None
    except Exception as error:
        return i, None, error
