"""One legend for a figure: below its panels, in columns, with what all of them show.

A legend beside the Axes would eat a third of the width; one inside hides what is drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from relulab.figures.palette import FATES, OPTIMUM_LABELS, cut, drawable, fate_label, fitting
from relulab.figures.style import root_of
from relulab.validation import Float64Array

# Fates and optima are told in the order of their stacks, whichever panel shows them first.
ORDER = [fate_label(*fate) for fate in FATES] + list(OPTIMUM_LABELS.values())

# What a legend shows by its full labels, of which it may have no room for all.
ENTRIES: WeakKeyDictionary[Legend, dict[str, Any]] = WeakKeyDictionary()

MOST_LETTERS = 200
MOST_ENTRIES = 100
FEWEST_ROWS = 8


def legend_of(ax: Axes) -> Legend | None:
    """Return the legend that tells what an Axes shows, if there is one."""
    figure = root_of(ax)
    if own := ax.get_legend():
        return own
    return figure.legends[-1] if figure.legends else None


def add_to_legend(ax: Axes, handles: Sequence[Artist], title: str | None = None) -> None:
    """Add entries to the figure's legend; labels that it has already are not told twice."""
    old = legend_of(ax)
    entries: dict[str, Any] = {}
    if old:
        title = old.get_title().get_text() or title
        labels = [text.get_text() for text in old.get_texts()]
        entries = ENTRIES.get(old) or dict(zip(labels, old.legend_handles, strict=True))
    entries = entries | {drawable(str(handle.get_label())): handle for handle in handles}
    if not entries:
        return
    if old:
        old.remove()
    rank = {label: i for i, label in enumerate(ORDER)}
    entries = dict(sorted(entries.items(), key=lambda entry: rank.get(entry[0], len(rank))))
    if isinstance(ax.figure.get_layout_engine(), ConstrainedLayoutEngine):
        new = _legend_below(ax, entries, title)
    else:  # a figure of the user's, in which nothing makes room beside the Axes
        new = _legend(ax.legend, entries, title, ax.bbox.width)
    ENTRIES[new] = entries


def _legend_below(ax: Axes, entries: Mapping[str, Any], title: str | None) -> Legend:
    def legend(shown: Mapping[str, Any], n_columns: int) -> Legend:
        how: dict[str, Any] = {"loc": "outside lower center", "ncols": n_columns}
        return _legend(ax.figure.legend, shown, title, ax.figure.bbox.width, **how)

    # As few rows as the width allows, with as few columns as these rows need.
    measured = dict(list(entries.items())[:MOST_ENTRIES])
    by_columns = range(len(measured), 0, -1)
    column = legend(measured, 1)
    widths = _widths(column)
    most = next((n for n in by_columns if _in_columns(widths, n) < ax.figure.bbox.width), 1)
    room = _most_rows(column)
    column.remove()
    n_rows = -(-len(entries) // most)
    if n_rows > room:
        first = list(measured)[: most * room - 1]
        more = Line2D([], [], linestyle="none")
        more_label = f"and {len(entries) - len(first):,} more"
        return legend({name: entries[name] for name in first} | {more_label: more}, most)
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
