"""One legend for a figure: below its panels, in columns, with what all of them show.

A legend beside the Axes would eat a third of the width; one inside hides what is drawn.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from relulab.figures.style import root_of
from relulab.figures.words import FATES, OPTIMUM_LABELS, fate_label

# Fates and optima are told in the order of their stacks, whichever panel shows them first.
ORDER = [fate_label(*fate) for fate in FATES] + list(OPTIMUM_LABELS.values())


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
        entries = dict(zip(labels, old.legend_handles, strict=True))
    entries |= {str(handle.get_label()): handle for handle in handles}
    if not entries:
        return
    if old:
        old.remove()
    rank = {label: i for i, label in enumerate(ORDER)}
    entries = dict(sorted(entries.items(), key=lambda entry: rank.get(entry[0], len(rank))))
    if isinstance(ax.figure.get_layout_engine(), ConstrainedLayoutEngine):
        _legend_below(ax, entries, title)
    else:  # a figure of the user's, in which nothing makes room beside the Axes
        ax.legend(entries.values(), entries.keys(), title=title)


def _legend_below(ax: Axes, entries: Mapping[str, Any], title: str | None) -> None:
    def legend(n_columns: int) -> Legend:
        return ax.figure.legend(
            entries.values(), entries.keys(), title=title, loc="outside lower center",
            ncols=n_columns,
        )  # fmt: skip

    # As few rows as the width allows, with as few columns as these rows need.
    by_columns = range(len(entries), 0, -1)
    column = legend(1)
    most = next((n for n in by_columns if _width(column, n) < ax.figure.bbox.width), 1)
    column.remove()
    n_rows = -(-len(entries) // most)
    legend(-(-len(entries) // n_rows))


def _width(column: Legend, n_columns: int) -> float:
    """Return how wide a legend of one column would be in several, in pixels."""
    texts = column.get_texts()
    em = float(texts[0].get_fontsize()) * column.figure.dpi / 72
    beside = (column.handlelength + column.handletextpad + column.columnspacing) * em
    widths = np.array([text.get_window_extent().width for text in texts]) + beside
    return float(sum(max(part) for part in np.array_split(widths, n_columns)))


def patches(colors: Mapping[str, str]) -> list[Artist]:
    """Return the entries of filled areas: colors by their labels."""
    return [Patch(color=color, label=label) for label, color in colors.items()]


def line_entry(label: str, color: Any, **how: Any) -> Artist:
    """Return the entry of a line or, with ``linestyle="none"``, of a marker."""
    return Line2D([], [], color=color, label=label, **how)
