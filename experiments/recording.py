"""Simulate a mouse to measure how fast the explorer is, and to film a walk through a map."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.backend_bases import Event, KeyEvent, MouseButton, MouseEvent, NavigationToolbar2
from matplotlib.lines import Line2D

from relulab.explorer import Explorer

Place = tuple[float, float]


class Hand:
    """A mouse over a figure."""

    def __init__(self, figure: Any, seen: Callable[[], None] = lambda: None) -> None:
        self.figure = figure
        self.seen = seen
        self.at = (0.0, 0.0)

    def event(self, kind: str, at: Place, *, pressed: bool = True) -> None:
        """Send a mouse event at a place, in dots from the lower left corner."""
        self.at = at
        x, y = (round(number) for number in at)
        canvas = self.figure.canvas
        left = MouseButton.LEFT if pressed else None
        held = [MouseButton.LEFT] if kind == "motion_notify_event" and pressed else None
        self._happen(MouseEvent(kind, canvas, x, y, left, buttons=held))

    def key(self, name: str) -> None:
        """Press a key."""
        self._happen(KeyEvent("key_press_event", self.figure.canvas, name))

    def click(self, at: Place) -> None:
        """Press and release the button at a place."""
        self.event("button_press_event", at)
        self.event("button_release_event", at)

    def _happen(self, event: Event) -> None:
        self.figure.canvas.callbacks.process(event.name, event)

    def drag(self, path: list[Place]) -> None:
        """Press the button at the first place, and release it at the last."""
        self.event("button_press_event", path[0])
        for at in path[1:]:
            self.event("motion_notify_event", at)
            self.seen()
        self.event("button_release_event", path[-1])
        self.seen()


def between(start: Place, end: Place, n: int) -> list[Place]:
    """Return n places on the way from start to end."""
    xs, ys = (np.linspace(a, b, n).tolist() for a, b in zip(start, end, strict=True))
    return list(zip(xs, ys, strict=True))


def measure(explorer: Explorer, n_drags: int = 5, seconds: float = 3.0) -> None:
    """Print how often maps are drawn while a slider is dragged, and how soon the full map."""
    frame = explorer.wait()
    explorer.figure.canvas.draw()
    name = next(n for n in ("learning_rate", "b", "c", "w", "v") if n in explorer.sliders)
    ax = explorer.sliders[name].ax
    left, right = (ax.transAxes.transform((share, 0.5)) for share in (0.45, 0.75))
    hand = Hand(explorer.figure)
    rates, cells, waits = [], [], []
    for k in range(n_drags + 1):
        drawn: list[int] = []
        hand.event("button_press_event", tuple(left))
        begin = time.perf_counter()
        while (passed := time.perf_counter() - begin) < seconds:
            hand.event("motion_notify_event", tuple(left + (right - left) * passed / seconds))
            explorer.tick()
            if explorer.frame is not None and explorer.frame.wish != frame.wish:
                frame = explorer.frame
                drawn.append(frame.x.size)
            time.sleep(0.005)
        hand.event("button_release_event", tuple(right))
        stopped = time.perf_counter()
        frame = explorer.wait()
        if k:  # the first drag finds out how fine coarse maps can be
            waits.append(time.perf_counter() - stopped)
            rates.append(len(drawn) / seconds)
            cells.append(median(drawn) if drawn else 0)
    n, side = frame.x.size, f"{median(cells):.0f}"
    print(
        f"while {name} is dragged: {median(rates):.0f} maps per second of {side} x {side} runs\n"
        f"when it stops: {n:,} x {n:,} runs after {median(waits):.2f} s\n"
        f"(medians of {n_drags} drags, {seconds:g} s each)"
    )


def film(explorer: Explorer, file: str) -> None:
    """Film a walk: a growing learning rate, a zoom, a run, ten runs where fates meet."""
    figure, axes = explorer.figure, explorer.axes
    toolbar = NavigationToolbar2(figure.canvas)
    pointer = Line2D([], [], marker=(3, 0, 35), markersize=9, color="#d55e00", zorder=99)
    pointer.set_transform(figure.transFigure)
    figure.add_artist(pointer)
    writer = PillowWriter(fps=6)

    def seen(n: int = 1) -> None:
        explorer.wait()
        x, y = figure.transFigure.inverted().transform(hand.at)
        pointer.set_data([x], [y])
        for _ in range(n):
            writer.grab_frame()

    def key(name: str) -> None:
        hand.key(name)
        seen(8)

    def on_map(x: float, y: float) -> Place:
        at = axes.transAxes.transform((x, y))
        return float(at[0]), float(at[1])

    hand = Hand(figure, seen)
    slider = explorer.sliders["learning_rate"]
    with writer.saving(figure, file, dpi=67):
        seen(4)
        start = slider.ax.transData.transform((slider.val, 0.5))
        left, right = ((start[0] + by, start[1]) for by in (-35, 22))
        path = [*between(tuple(start), left, 6), *between(left, right, 12)]
        hand.drag([*path, *between(right, tuple(start), 6)])
        hand.click(on_map(0.5, 0.56))
        seen(8)
        hand.drag([tuple(start), *between(tuple(start), left, 5), *between(left, tuple(start), 5)])
        for corners in ((0.52, 0.55, 0.76, 0.8), (0.35, 0.3, 0.75, 0.7)):
            toolbar.zoom()
            hand.drag(between(on_map(*corners[:2]), on_map(*corners[2:]), 3))
            toolbar.zoom()
            seen(6)
        key("t")
        key("2")
        key("1")
        toolbar.home()
        key("escape")
