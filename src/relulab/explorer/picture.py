"""A map on its axes: the image, the closed forms over it, and the legend."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from relulab.explorer.closed_forms import closed_forms, numbers_of
from relulab.explorer.controls import Box
from relulab.explorer.frames import Frame
from relulab.explorer.layers import LAYERS
from relulab.explorer.view import Range, View, column_of
from relulab.figures.legends import line_entry
from relulab.figures.palette import symbol, wrapped
from relulab.figures.theory_marks import DASHES, LINEWIDTH, draw_region

LEGEND = (0.05, 0.335)  # its upper left corner, in fractions of the figure
N_COLUMNS = 4
OLD = 0.3  # opacity of a map that is out of date
COARSE, FINE = 120, 500  # cells a side for closed forms
BELOW = 1e3  # ratio of the ends of an axis that becomes logarithmic
LETTERS = 80  # in a line of the title

BLANK = np.full((1, 1, 4), 255, np.uint8)


class Picture:
    """The map of a frame, on axes whose limits may move."""

    def __init__(self, figure: Figure, place: Box, bar: Box) -> None:
        self._figure = figure
        self.axes = figure.add_axes(place)
        self._bar_place = bar
        self._bar: Axes | None = None
        self._title = self.axes.text(0, 1.02, "", transform=self.axes.transAxes)
        # Placed in fractions of the axes, an image is equally fast on all scales.
        self._image = self.axes.imshow(
            BLANK, extent=(0, 1, 0, 1), origin="lower", transform=self.axes.transAxes,
            interpolation="nearest", aspect="auto", zorder=0,
        )  # fmt: skip
        self._frame: Frame | None = None
        self._marks: dict[str, tuple[Any, Any, list[Artist]]] = {}  # extent, inside, lines
        self.layer = LAYERS["fate"]

    def lay_out(self, view: View) -> None:
        """Show the axes of a view, without its map."""
        x, y = view.x_range, view.y_range
        self.axes.set(
            xscale="log" if x.log else "linear", xlim=(x.low, x.high),
            yscale="log" if y.log else "linear", ylim=(y.low, y.high),
            xlabel=symbol(column_of(view.x)), ylabel=symbol(column_of(view.y)),
        )  # fmt: skip
        self.blank("")

    def ranges(self) -> tuple[Range, Range]:
        """Return the limits of the axes."""
        x, y = (
            Range(float(min(limits)), float(max(limits)), scale == "log")
            for limits, scale in (
                (self.axes.get_xlim(), self.axes.get_xscale()),
                (self.axes.get_ylim(), self.axes.get_yscale()),
            )
        )
        return x, y

    def stay_above_0(self) -> None:
        """Give logarithmic axes positive limits: Matplotlib's keys leave them as they are."""
        axis: Axis
        for axis, set_limits in (
            (self.axes.xaxis, self.axes.set_xlim),
            (self.axes.yaxis, self.axes.set_ylim),
        ):
            low, high = sorted(axis.get_view_interval())
            if axis.get_scale() == "log" and low <= 0:
                set_limits((high / BELOW, high) if high > 0 else (1 / BELOW, 1))

    def show(self, frame: Frame, *, coarse: bool) -> None:
        """Show a map; a coarse one keeps the color scale and has coarse closed forms."""
        self._frame = frame
        self._image.set_alpha(None)
        self.layer.paint(self._image, frame, keep_scale=coarse)
        self.place()
        self._mark(frame.wish.view, COARSE if coarse else FINE)

    def place(self) -> None:
        """Put the map in its place, even while the limits of the axes move."""
        if self._frame is None:
            return
        spans: list[float] = []
        axes = (self._frame.x, self.axes.xaxis), (self._frame.y, self.axes.yaxis)
        for values, axis in axes:
            scaled = axis.get_transform().transform
            low, high = scaled(np.array(axis.get_view_interval()))
            first, last = scaled(values[[0, -1]])
            half = (last - first) / max(values.size - 1, 1) / 2 or (high - low) / 2
            spans += [(first - half - low) / (high - low), (last + half - low) / (high - low)]
        self._image.set_extent(tuple(spans))  # type: ignore[arg-type]

    def nearest(self, x: float, y: float) -> tuple[int, int]:
        """Return the row and column of the cell nearest to a point."""
        assert self._frame is not None
        found = []
        axes = (self._frame.y, y, self.axes.yaxis), (self._frame.x, x, self.axes.xaxis)
        for values, at, axis in axes:
            scaled = axis.get_transform().transform
            found.append(int(np.abs(scaled(values) - scaled(np.array([at]))).argmin()))
        return found[0], found[1]

    def pale(self) -> bool:
        """Mark the map as out of date; return whether it was not yet marked."""
        changes = self._frame is not None and self._image.get_alpha() is None
        if changes:
            self._image.set_alpha(OLD)
        return changes

    def blank(self, words: str) -> None:
        """Show no map, and why not."""
        self._frame = None
        self._image.set_data(BLANK)
        for _, _, artists in self._marks.values():
            _remove(artists)
        self._marks = {}
        self.set_title(words)

    def set_title(self, words: str) -> None:
        """Write a text above the map."""
        self._title.set_text(wrapped(words, LETTERS, 2))

    def moving(self) -> list[Artist]:
        """Return the artists that change with every map."""
        axes = self.axes
        return [*axes.images, *axes.collections, *axes.lines, *axes.texts]

    def explain(self) -> bool:
        """Explain the colors and dashes in a legend; return whether it is new."""
        if self._frame is None:
            return False
        entries = self.layer.entries(self._frame)
        forms = closed_forms(self._frame.wish.view)
        for dashes, form in zip(DASHES, forms, strict=False):
            if self._marks[form.words][2]:  # it can be seen
                how = {"linestyle": dashes, "linewidth": LINEWIDTH}
                entries.append(line_entry(form.words, "black", **how))
        labels = [str(entry.get_label()) for entry in entries]
        old = [text.get_text() for legend in self._figure.legends for text in legend.get_texts()]
        numbers = self.layer.number is not None
        if labels == old and not numbers:
            return False
        for legend in list(self._figure.legends):
            legend.remove()
        with mpl.rc_context({"legend.frameon": False}):
            self._figure.legend(
                handles=entries, loc="upper left", bbox_to_anchor=LEGEND, ncols=N_COLUMNS,
                fontsize=8, columnspacing=1.2, handlelength=1.6,
            )  # fmt: skip
        # A new bar each time: the toolbar's home would give an old bar its old limits.
        if self._bar is not None:
            self._bar.remove()
            self._bar = None
        if numbers:
            self._bar = self._figure.add_axes(self._bar_place)
            self._figure.colorbar(self._image, cax=self._bar, label=self.layer.words)
        return True

    def _mark(self, view: View, cells: int) -> None:
        """Draw the closed forms over the map; redraw only those that have changed."""
        forms = closed_forms(view)
        x, y = view.axis(view.x, cells), view.axis(view.y, cells)
        numbers = numbers_of(view, x, y)
        regions = {
            form.words: (dashes, np.broadcast_to(form.inside(numbers), (y.size, x.size)))
            for dashes, form in zip(DASHES, forms, strict=False)
        }
        place = (x[0], x[-1], y[0], y[-1])
        old, self._marks = self._marks, {}
        for words, (dashes, inside) in regions.items():
            before = old.pop(words, None)
            if before and before[0] == place and np.array_equal(before[1], inside):
                self._marks[words] = before
                continue
            if before:
                _remove(before[2])
            others = set(self.axes.collections)
            draw_region(self.axes, x, y, inside.astype(float), dashes)
            made: list[Artist] = [a for a in self.axes.collections if a not in others]
            self._marks[words] = place, inside, made
        for _, _, artists in old.values():
            _remove(artists)


def _remove(artists: list[Artist]) -> None:
    for artist in artists:
        artist.remove()
