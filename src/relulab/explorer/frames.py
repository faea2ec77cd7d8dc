"""Train the runs of a view: first coarsely, then in full."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.explorer.view import View
from relulab.model.outcome import fate_codes
from relulab.sweeps.sweep import Sweep
from relulab.training.options import UpdateKeywords
from relulab.training.settings import BOUNDS
from relulab.training.trainer import trace
from relulab.validation import Float64Array

# A coarse map has as many cells as can be trained in this many seconds, within these limits a side.
MOMENT = 0.04
COARSEST, FINEST = 24, 300
PIECE = 0.1  # seconds of training after which a map may be dropped for a newer wish
FEW_STEPS, MANY_STEPS = 150, 2_000  # steps to trace, during and after dragging


@dataclass(frozen=True)
class Wish:
    """A view to train, its cells a side, and the starts to trace."""

    view: View
    n: int
    chosen: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Frame:
    """A trained map.

    Attributes
    ----------
    wish : Wish
    sweep : Sweep
        The sweep of this map.
    runs : DataFrame
        Its results.
    chosen_runs, chosen_trace : DataFrame
        The results of the chosen starts, and their traces, step by step.
    whole : bool
        Whether the map has its full resolution.
    """

    wish: Wish
    sweep: Sweep
    runs: pd.DataFrame
    chosen_runs: pd.DataFrame
    chosen_trace: pd.DataFrame
    whole: bool

    @property
    def x(self) -> Float64Array:
        """The x values of the columns of cells."""
        return self._axis(self.wish.view.x)

    @property
    def y(self) -> Float64Array:
        """The y values of the rows of cells."""
        return self._axis(self.wish.view.y)

    @cached_property
    def fates(self) -> npt.NDArray[np.int64]:
        """The fate of each cell, as its place in ``CODED_FATES``, shape (n_y, n_x)."""
        cells: npt.NDArray[np.int64] = self.cells(fate_codes(self.runs))
        return cells

    def cells(self, values: Any) -> Any:
        """Return the numbers of all runs as cells, shape (n_y, n_x)."""
        first, second = self.sweep.axes
        shape = tuple(self.sweep.axes[name].size for name in (first, second))
        grid = np.asarray(values).reshape(shape)
        return grid.T if first == self.wish.view.x else grid

    def run_at(self, row: int, column: int) -> "pd.Series[Any]":
        """Return the run of a cell."""
        return self.runs.iloc[int(self.cells(np.arange(len(self.runs)))[row, column])]

    def _axis(self, name: str) -> Float64Array:
        return self.sweep.axes[name]


class Trainer:
    """Trains what is wished for, and measures how long it takes."""

    def __init__(self) -> None:
        self.progress = 0.0  # of the full map
        self._seconds = 1e-5  # per run; a guess, until it is measured

    def __call__(self, wish: Wish) -> Iterator[Frame | None]:
        """Yield maps, each finer than the last."""
        self.progress = 0.0
        for n in self._levels(wish.n):
            whole = n == wish.n
            sweep = wish.view.at(n)
            parts = []
            for part in self._parts(sweep):
                parts.append(part)
                if whole:
                    self.progress = sum(map(len, parts)) / len(sweep)
                yield None
            runs = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
            chosen, history = traced(wish.view, wish.chosen, MANY_STEPS if whole else FEW_STEPS)
            yield Frame(wish, sweep, runs, chosen, history, whole)

    def _levels(self, n: int) -> list[int]:
        """Return the cells a side of each map, which takes about five times as long as the last."""
        coarse = math.isqrt(int(MOMENT / self._seconds))
        levels = [min(max(coarse, COARSEST), FINEST, n)]
        while levels[-1] < n:
            finer = levels[-1] * 9 // 4
            levels.append(n if finer * 3 // 2 > n else finer)
        return levels

    def _parts(self, sweep: Sweep) -> Iterator[pd.DataFrame]:
        start = 0
        while start < len(sweep):
            stop = min(start + max(int(PIECE / self._seconds), 500), len(sweep))
            before = time.perf_counter()
            yield sweep.train(start, stop)
            self._seconds = (time.perf_counter() - before) / (stop - start)
            start = stop


def traced(
    view: View, chosen: tuple[tuple[float, float], ...], most_steps: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the results of chosen starts, and their traces of at most ``most_steps`` steps."""
    if not chosen:
        return pd.DataFrame(), pd.DataFrame()
    sweep = view.at(1)
    points: dict[str, Any] = dict(zip((view.x, view.y), np.array(chosen).T, strict=True))
    runs = sweep.train_at(points)
    names = UpdateKeywords.__annotations__.keys() - BOUNDS.keys()
    options = {name: getattr(sweep, name) for name in names}
    n_steps = int(min(runs["steps_taken"].max(), most_steps))
    return runs, trace(runs, sweep.data, n_steps=n_steps, **options)
