"""The explorer's window: a map that trains while you drag, zoom and click."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import key_press_handler
from matplotlib.figure import Figure
from matplotlib.widgets import RadioButtons

from relulab.explorer.coast import near_the_coast
from relulab.explorer.controls import Box, NumberSlider, sliders
from relulab.explorer.frames import Frame, Trainer, Wish
from relulab.explorer.latest import Latest
from relulab.explorer.layers import LAYERS
from relulab.explorer.panels import Panels
from relulab.explorer.picture import Picture
from relulab.explorer.stage import Stage
from relulab.explorer.view import column_of, exchanged, view_of
from relulab.explorer.words import fate_in_words, start_in_words
from relulab.figures.style import style
from relulab.sweeps.sweep import Sweep
from relulab.validation import (
    InputError,
    finite_number,
    number_array,
    one_line,
    one_of,
    shown,
    whole_number,
)

SIZE = (12.0, 7.2)  # inches; 1200 x 720 dots
SMALL = ("font.size", "axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize")
LOOKS: Any = dict.fromkeys(SMALL, 9) | {"figure.constrained_layout.use": False}
MAP: Box = (0.06, 0.40, 0.46, 0.54)
BAR: Box = (0.53, 0.40, 0.012, 0.54)
SLIDERS: Box = (0.02, 0.03, 0.55, 0.22)
PANELS: Box = (0.67, 0.36, 0.31, 0.60)
BUTTONS: Box = (0.60, 0.03, 0.14, 0.20)
HELP = (0.76, 0.23)

TICK = 10  # milliseconds between two checks of the thread's results
PATIENCE = 0.25  # seconds after which an old map is shown as such
N_BESIDE = 10  # runs next to the boundary
MOST_CELLS = 4_000  # a side

KEYS = {
    "t": "trace ten runs where fates meet",
    "escape": "forget the traced runs",
    "x": "another axis across",
    "y": "another axis up",
    "w": "write the map as Python",
    "s": "save the picture: PNG, PDF",
    "d": "save the runs: Parquet",
}

# Holds explorers while their windows are open: Matplotlib's callbacks are weak references.
OPEN: "WeakKeyDictionary[Figure, Explorer]" = WeakKeyDictionary()


class Explorer:
    """An interactive map of fates, made by ``explore``.

    Attributes
    ----------
    figure : Figure
        The Matplotlib figure.
    axes : Axes
        The axes of the map.
    sliders : dict of str to Slider
        The sliders, by the names of their values.
    frame : Frame, optional
        The current map, if there is one yet.
    """

    def __init__(self, sweep: Sweep, x: str, y: str, n: int) -> None:
        self._n = whole_number("n", n, at_least=2, at_most=MOST_CELLS)
        self._view, self._ranges = view_of(sweep, x, y)
        self._chosen: tuple[tuple[float, float], ...] = ()
        self.frame: Frame | None = None
        self._changed = True
        self._asked: Wish | None = None
        self._asked_at = 0.0
        self._waiting: list[Callable[[], object]] = []  # actions for when the map is whole
        self._refused: InputError | None = None  # training's error for the current wish
        self.sliders: dict[str, NumberSlider] = {}
        self._sliding: tuple[str, ...] = ()  # sliders that were moved
        self._trainer = Trainer()
        self._latest: Latest[Wish, Frame] = Latest(self._trainer)
        with style(), mpl.rc_context(LOOKS):
            self._build()
        OPEN[self.figure] = self
        self._timer.start()

    def _build(self) -> None:
        self.figure = plt.figure(figsize=SIZE, dpi=100, layout="none")
        canvas = self.figure.canvas
        self._picture = Picture(self.figure, MAP, BAR)
        self._panels = Panels(self.figure, self.axes, PANELS)
        self._stage = Stage(self.figure, self._moving, self.axes)
        self.axes.format_coord = self._words_at  # type: ignore[method-assign]
        self._buttons = RadioButtons(
            self.figure.add_axes(BUTTONS, frame_on=False), list(LAYERS), activecolor="black"
        )
        self._buttons.on_clicked(self._set_layer)
        hints = ["click: trace a run", *(f"{key}: {what}" for key, what in KEYS.items())]
        self.figure.text(*HELP, "\n".join(hints), va="top", fontsize=8, color="0.35")
        self._lay_out()
        self._timer = canvas.new_timer(interval=TICK)
        self._timer.add_callback(self.tick)
        if (manager := canvas.manager) is not None:
            manager.set_window_title("relulab explorer")
            if manager.key_press_handler_id is not None:
                canvas.mpl_disconnect(manager.key_press_handler_id)
        canvas.mpl_connect("button_press_event", self._clicked)
        canvas.mpl_connect("key_press_event", self._pressed)
        canvas.mpl_connect("close_event", self._closed)

    def _lay_out(self) -> None:
        """Make the axes of the map, and sliders for everything else."""
        for slider in self.sliders.values():
            slider.disconnect_events()
            slider.ax.remove()
        self._sliding = ()
        view = self._view
        self._picture.lay_out(view)
        for limits in ("xlim_changed", "ylim_changed"):
            self.axes.callbacks.connect(limits, self._moved)
        self.sliders = sliders(self.figure, SLIDERS, view.numbers, self._ranges, self._slid)
        if (toolbar := self.figure.canvas.toolbar) is not None:
            toolbar.update()  # home is this view now

    # State

    @property
    def axes(self) -> Axes:
        """The axes of the map."""
        return self._picture.axes

    @property
    def sweep(self) -> Sweep:
        """The sweep that gives exactly this map."""
        return self._view.at(self._n)

    @property
    def runs(self) -> pd.DataFrame:
        """The results of ``sweep``, as ``Sweep.run`` returns them."""
        return self.wait().runs

    def code(self) -> str:
        """Return the Python code that makes ``sweep``."""
        return self._view.code(self._n)

    def wait(self) -> Frame:
        """Train the map in full, show it, and return it; raise the error if training refuses it."""
        while True:
            self.tick()
            if not self._changed and not self._latest.busy:
                self.tick()
                if self._refused is not None:
                    raise self._refused
                if self.frame is None or self.frame.wish != self._asked:
                    raise InputError("wait: expected an open window, got one that was closed")
                return self.frame
            self._latest.wait()

    # Actions

    def set_numbers(self, **values: float) -> None:
        """Move sliders, such as ``learning_rate=0.2, c=1``, even to numbers beyond their ends."""
        for name in values:
            one_of("set_numbers", name, [*self.sliders])
        for name, value in {n: finite_number(n, v) for n, v in values.items()}.items():
            self.sliders[name].show(value)
            self._slid(name, value)

    def set_axes(self, x: str | None = None, y: str | None = None) -> None:
        """Put other parameters or settings on the axes."""
        self._view = exchanged(self._view, x or self._view.x, y or self._view.y, self._ranges)
        self._chosen = ()
        self.frame, self._asked = None, None  # ask again even if the axes are the same
        with style(), mpl.rc_context(LOOKS):
            self._lay_out()
        self._change()
        self._stage.redraw()

    def trace(self, starts: Sequence[tuple[float, float]]) -> None:
        """Show the traces of the runs that start at points (x, y) of the map."""
        points = number_array("starts", starts)
        if points.size and (points.ndim != 2 or points.shape[1] != 2 or np.isnan(points).any()):
            raise InputError(f"starts: expected points (x, y), got {shown(starts)}")
        self._chosen = tuple((x, y) for x, y in points.reshape(-1, 2).tolist())
        self._change()

    def trace_beside_the_coast(self) -> None:
        """Show the traces of ten runs that start at the boundary between fates."""
        frame = self.wait()
        cells = near_the_coast(frame.fates, N_BESIDE)
        self.trace([(frame.x[column], frame.y[row]) for row, column in cells])

    def save_picture(self) -> list[Path]:
        """Store the figure in the working directory, as PNG and PDF; return the files."""
        self.wait()
        files = _new_files("png", "pdf")
        with style(), mpl.rc_context(LOOKS):
            for file in files:
                self.figure.savefig(file)
        self._say(f"saved {', '.join(map(str, files))}")
        return files

    def save_runs(self) -> Path:
        """Store ``runs`` in the working directory, as Parquet; return the file."""
        runs = self.runs
        [file] = _new_files("parquet")
        runs.to_parquet(file, index=False)
        self._say(f"saved {file}: {len(runs):,} runs")
        return file

    # Events in the window

    def _slid(self, name: str, value: float) -> None:
        if self._view.numbers[name] != value:
            self._view = replace(self._view, numbers={**self._view.numbers, name: value})
            self._change()
            if name not in self._sliding:
                self._sliding = (*self._sliding, name)
                self._stage.redraw()  # once without this slider, which moves from now on

    def _moved(self, _axes: Any) -> None:
        """Follow the limits of the map, which the toolbar and keys move."""
        self._picture.stay_above_0()
        x_range, y_range = self._picture.ranges()
        if (x_range, y_range) != (self._view.x_range, self._view.y_range):
            self._view = replace(self._view, x_range=x_range, y_range=y_range)
            self._picture.place()
            self._change()

    def _clicked(self, event: Any) -> None:
        toolbar = self.figure.canvas.toolbar
        free = toolbar is None or not toolbar.mode
        if event.inaxes is self.axes and event.button == 1 and free:
            run = self._run_at(event.xdata, event.ydata)
            names = [column_of(name) for name in (self._view.x, self._view.y)]
            at = (event.xdata, event.ydata) if run is None else (run[names[0]], run[names[1]])
            self.trace([at])

    def _pressed(self, event: Any) -> None:
        act: dict[str, Callable[[], object]] = {
            "t": lambda: self._when_whole(self.trace_beside_the_coast),
            "escape": lambda: self.trace([]),
            "x": lambda: self._next_axis("x"),
            "y": lambda: self._next_axis("y"),
            "w": self._write_code,
            "s": lambda: self._when_whole(self.save_picture),
            "d": lambda: self._when_whole(self.save_runs),
        }
        layers = [str(i + 1) for i in range(len(LAYERS))]
        if event.key in act:
            act[event.key]()
        elif event.key in layers:
            self._buttons.set_active(layers.index(event.key))
        else:
            before = [limits.log for limits in self._picture.ranges()]
            toolbar = self.figure.canvas.toolbar
            key_press_handler(event, self.figure.canvas, toolbar)
            self._moved(self.axes)  # Matplotlib's keys make axes logarithmic
            if toolbar is not None and before != [r.log for r in self._picture.ranges()]:
                toolbar.update()  # the old limits are of another scale

    def _when_whole(self, act: Callable[[], object]) -> None:
        """Do something that needs the full map as soon as it exists, without blocking."""
        frame = self.frame
        if not self._changed and frame is not None and frame.whole and frame.wish == self._asked:
            act()
        else:
            self._waiting.append(act)

    def _write_code(self) -> None:
        print(self.code())
        self._picture.set_title("the Python code is printed; explorer.code() returns it")
        self._stage.refresh()

    def _say(self, words: str) -> None:
        """Print a text, and show it above the map until the next map."""
        print(words)
        self._picture.set_title(words)
        self._stage.refresh()

    def _next_axis(self, which: str) -> None:
        on_axes = {"x": self._view.x, "y": self._view.y}
        names = [name for name in self._ranges if name in (*self._view.numbers, *on_axes.values())]
        names = [name for name in names if name not in ("max_steps", "target")]
        now = names.index(on_axes[which])
        others = [name for name in (*names[now + 1 :], *names[:now]) if name != "x"]
        taken = on_axes["y" if which == "x" else "x"]
        self.set_axes(**{which: next(name for name in others if name != taken)})

    def _set_layer(self, name: str | None) -> None:
        self._picture.layer = LAYERS[str(name)]
        if self.frame is not None:
            self._picture.show(self.frame, coarse=False)
            self._picture.explain()
            self._stage.redraw()

    def _closed(self, _event: Any) -> None:
        self._timer.stop()
        self._latest.close()
        OPEN.pop(self.figure, None)

    def _words_at(self, x: float, y: float) -> str:
        """Return the toolbar's text for the run under the pointer."""
        names = (self._view.x, self._view.y)
        if (run := self._run_at(x, y)) is not None:
            return f"{start_in_words(run, names)}: {fate_in_words(run)}"
        return start_in_words({column_of(names[0]): x, column_of(names[1]): y}, names)

    def _run_at(self, x: float, y: float) -> "pd.Series[Any] | None":
        """Return the run of the cell at a point, if the map is up to date."""
        frame = self.frame
        if frame is None or frame.wish.view != self._view:
            return None
        return frame.run_at(*self._picture.nearest(x, y))

    # Results of the thread

    def _change(self) -> None:
        self._changed = True
        self._timer.start()

    def tick(self) -> None:
        """Show new results, and ask for the current wish."""
        frame = None
        try:
            frame = self._latest.take()
        except InputError as error:  # for a value that a slider can have, but training cannot
            self.frame, self._refused = None, error
            self._picture.blank(one_line(str(error)))
            self._stage.redraw()
        changed = self._changed
        if changed:
            self._ask()
        if frame is not None:
            self._show(frame)
        elif not self._latest.busy:
            self._timer.stop()
        elif (self._is_old() and self._picture.pale()) or changed:
            self._stage.refresh()

    def _ask(self) -> None:
        self._changed = False
        wish = Wish(self._view, self._n, self._chosen)
        if wish != self._asked:
            self._asked, self._asked_at, self._refused = wish, time.monotonic(), None
            self._latest.ask(wish)

    def _show(self, frame: Frame) -> None:
        self.frame = frame
        done = frame.whole and frame.wish == self._asked
        self._picture.show(frame, coarse=not done)
        more = "" if done else f" ({frame.wish.n:,} x {frame.wish.n:,} are on their way)"
        self._picture.set_title(f"What becomes of {len(frame.runs):,} runs?{more}")
        new = self._panels.show(frame, anew=done)
        if (done and self._picture.explain()) or new:
            self._stage.redraw()
        else:
            self._stage.refresh()
        if done:
            waiting, self._waiting = self._waiting, []
            for act in waiting:
                self._when_whole(act)

    def _is_old(self) -> bool:
        """Return whether the map has been out of date for too long."""
        if self.frame is None or self._asked is None:
            return False
        waited = time.monotonic() - self._asked_at > PATIENCE
        return waited and self.frame.wish.view != self._asked.view

    def _moving(self) -> list[Artist]:
        sliding = [self.sliders[name] for name in self._sliding]
        knobs = [artist for s in sliding for artist in (s.poly, *s.ax.lines, s.valtext)]
        return [*self._picture.moving(), *knobs, *self._panels.moving()]


def _new_files(*suffixes: str) -> list[Path]:
    """Return new files, all with the same number."""
    for number in count(1):
        files = [Path(f"explorer-{number}.{suffix}") for suffix in suffixes]
        if not any(file.exists() for file in files):
            return files
    raise AssertionError
