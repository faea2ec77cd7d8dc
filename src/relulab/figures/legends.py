"""One legend for a figure: below its panels, in columns, with what all of them show.

A legend beside the Axes would eat a third of the width; one inside hides what is drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.transforms import Bbox, IdentityTransform

from relulab.figures.look import CURRENT
from relulab.figures.palette import (
    FATES,
    OPTIMA,
    OPTIMUM_LABELS,
    cut,
    drawable,
    fate_label,
    fitting,
)
from relulab.figures.style import GAP, in_its_style, root_of, when_resized
from relulab.validation import Float64Array

# Fates, optima and units come in the order of their stacks, whichever panel shows them first.
ORDER = [*(fate_label(*fate) for fate in FATES), *(OPTIMUM_LABELS[o] for o in OPTIMA), "alive"]
RANK = {label: i for i, label in enumerate(ORDER)}


@dataclass(frozen=True)
class Told:
    """What a legend shows by its full labels, of which it may have no room for all.

    What is ``late`` comes last: theory, and what is missing. Its width is that of its place.
    """

    entries: dict[str, Any]
    late: frozenset[str]
    title: str | None
    ax: Axes
    width: float


TOLD: WeakKeyDictionary[Legend, Told] = WeakKeyDictionary()

MOST_LETTERS = 200
MOST_ENTRIES = 100
FEWEST_ROWS = 8


def legend_of(ax: Axes) -> Legend | None:
    """Return the legend of what an Axes shows, if there is one."""
    figure = root_of(ax)
    if own := ax.get_legend():
        return own
    return figure.legends[-1] if figure.legends else None


def add_to_legend(
    ax: Axes, handles: Sequence[Artist], title: str | None = None, *, late: bool = False
) -> None:
    """Add entries to the figure's legend, once each; ``late`` ones stand behind all others."""
    if not CURRENT.get().legend:
        return
    figure = root_of(ax)
    in_figure = isinstance(ax.figure.get_layout_engine(), ConstrainedLayoutEngine) and all(
        legend in TOLD for legend in figure.legends
    )
    old = legend_of(ax) if in_figure else ax.get_legend()
    entries: dict[str, Any] = {}
    known = TOLD.get(old) if old else None
    if known:
        entries, title = known.entries, known.title or title
    elif old:
        title = old.get_title().get_text() or title
        labels = [text.get_text() for text in old.get_texts()]
        entries = dict(zip(labels, old.legend_handles, strict=True))
    new = {drawable(str(handle.get_label())): handle for handle in handles}
    at_the_end = known.late if known else frozenset()
    at_the_end |= frozenset(new) if late else frozenset()
    entries = entries | new
    if not entries:
        return
    if old:
        old.remove()

    def place(entry: tuple[str, Any]) -> tuple[bool, int]:
        return entry[0] in at_the_end, RANK.get(entry[0], len(RANK))

    _show(Told(dict(sorted(entries.items(), key=place)), at_the_end, title, ax, 0), in_figure)


def _show(told: Told, in_figure: bool) -> None:
    """Make a legend, in the figure or, where nothing makes room beside the Axes, in them."""
    ax = told.ax
    if in_figure:
        new: Legend | None = _legend_of_figure(ax, told.entries, told.title)
        _follow(root_of(ax))
    else:
        new = _legend_within(ax, told.entries, told.title)
    if new:
        width = float(root_of(ax).get_size_inches()[0])
        TOLD[new] = replace(told, width=width)


def _follow(figure: Figure) -> None:
    """Remake the legends of a figure when its size changes, in a window or for a file."""
    if figure not in when_resized:
        when_resized[figure] = reflow
        figure.canvas.mpl_connect("resize_event", lambda event: reflow(event.canvas.figure))


def reflow(figure: Figure) -> None:
    """Remake the legends of a figure if its width has changed since they were made."""
    for legend in [legend for legend in figure.legends if legend in TOLD]:
        told = TOLD[legend]
        if told.width != figure.get_size_inches()[0]:
            legend.remove()
            with in_its_style(figure):
                _show(told, in_figure=True)


def _legend_within(ax: Axes, entries: Mapping[str, Any], title: str | None) -> Legend | None:
    """Make a legend that is no larger than its Axes, so that it covers no other."""
    for n in range(min(len(entries), MOST_ENTRIES), 0, -1):
        # Named, because Matplotlib warns if its default takes long to find.
        legend = _legend(ax.legend, _first(entries, n), title, ax.bbox.width, loc="best")
        box = legend.get_window_extent()
        if box.height <= ax.bbox.height and box.width <= ax.bbox.width:
            return legend
        legend.remove()
    return None


def _fits(gap: Axes, size: Bbox) -> bool:
    """Return whether there is room for a legend in a place of a grid, without its margins."""
    grid = gap.get_gridspec()
    assert grid is not None
    whole = gap.figure.bbox
    return size.width < whole.width / grid.ncols and size.height < 0.8 * whole.height / grid.nrows


def _first(entries: Mapping[str, Any], n: int) -> Mapping[str, Any]:
    """Return n entries, of which the last says how many more there are."""
    if n >= len(entries):
        return entries
    few = dict(list(entries.items())[: n - 1])
    more = Line2D([], [], linestyle="none")
    return few | {f"and {len(entries) - len(few):,} more": more}


def _legend_of_figure(ax: Axes, entries: Mapping[str, Any], title: str | None) -> Legend:
    """Make a legend below the panels, or in the place of one that there is not."""

    def legend(shown: Mapping[str, Any], n_columns: int, **how: Any) -> Legend:
        place: dict[str, Any] = how or {"loc": "outside lower center"}
        width = ax.figure.bbox.width
        return _legend(ax.figure.legend, shown, title, width, ncols=n_columns, **place)

    # As few rows as the width allows, with as few columns as these rows need.
    measured = dict(list(entries.items())[:MOST_ENTRIES])
    by_columns = range(len(measured), 0, -1)
    column = legend(measured, 1)
    widths = _widths(column)
    most = next((n for n in by_columns if _in_columns(widths, n) < ax.figure.bbox.width), 1)
    room = _most_rows(column)
    gap = next((other for other in root_of(ax).axes if other.get_gid() == GAP), None)
    size = column.get_window_extent()
    column.remove()
    if gap and _fits(gap, size):
        live: dict[str, Any] = {"bbox_to_anchor": gap.bbox, "bbox_transform": IdentityTransform()}
        return legend(entries, 1, loc="center", **live)
    n_rows = -(-len(entries) // most)
    if n_rows > room:
        return legend(_first(entries, min(most * room, MOST_ENTRIES)), most)
    return legend(entries, -(-len(entries) // n_rows))


def _legend(
    make: Callable[..., Legend],
    entries: Mapping[str, Any],
    title: str | None,
    width: float,
    **how: Any,
) -> Legend:
    """Make a legend in which every text has room in a width, in pixels."""
    # Matplotlib leaves out labels that begin with an underscore.
    plain = [str(i) for i in range(len(entries))]
    legend = make(list(entries.values()), plain, title=title, **how)
    for text, label in zip(legend.get_texts(), entries, strict=True):
        text.set_text(label)
        _shorten(text, width - _beside(legend) - _em(legend))
    _shorten(legend.get_title(), width - 2 * _em(legend))
    return legend


def _shorten(text: Text, width: float) -> None:
    """Shorten a text that is wider than so many pixels."""

    def fits(words: str) -> bool:
        text.set_text(words)
        return bool(text.get_window_extent().width <= width)

    text.set_text(fitting(cut(text.get_text(), MOST_LETTERS), fits))


def _most_rows(legend: Legend) -> int:
    """Return how many rows a legend may have to leave room for the rest of the figure."""
    row = (1 + legend.labelspacing) * 1.2 * _em(legend)
    return max(int(0.4 * legend.figure.bbox.height / row), FEWEST_ROWS)


def _em(legend: Legend) -> float:
    """Return the height of a legend's letters, in pixels."""
    return float(legend.get_texts()[0].get_fontsize()) * legend.figure.dpi / 72


def _beside(legend: Legend) -> float:
    """Return the width of an entry beside its text, in pixels."""
    beside = legend.handlelength + legend.handletextpad + legend.columnspacing
    return float(beside * _em(legend))


def _widths(column: Legend) -> Float64Array:
    """Return the widths of the entries of a legend of one column, in pixels."""
    widths = [text.get_window_extent().width for text in column.get_texts()]
    return np.array(widths) + _beside(column)


def _in_columns(widths: Float64Array, n_columns: int) -> float:
    """Return how wide entries are in several columns."""
    return float(sum(max(part) for part in np.array_split(widths, n_columns)))


def patches(colors: Mapping[str, str]) -> list[Artist]:
    """Return the entries of filled areas: colors by their labels."""
    return [Patch(color=color, label=label) for label, color in colors.items()]


def line_entry(label: str, color: Any, **how: Any) -> Artist:
    """Return the entry of a line or, with ``linestyle="none"``, of a marker."""
    return Line2D([], [], color=color, label=label, **how)
