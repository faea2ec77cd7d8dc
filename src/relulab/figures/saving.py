"""Figures as files: laid out, with no text that leaves them, and always the same bytes."""

import os
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter
from matplotlib.transforms import Bbox

from relulab.figures.palette import cut, drawable, fitting
from relulab.figures.style import (
    OURS,
    in_its_style,
    nearly_infinite,
    root_of,
    runs_shown,
    when_resized,
)
from relulab.validation import InputError, shortened, shown

# What a picture's file says of itself is of the picture alone: the same table, the same bytes.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}

FORMATS = tuple(METADATA)

MOST_LETTERS = 250  # of a title

MOST_LAYOUTS = 4  # one is enough unless a text leaves the figure

BETWEEN = 2.0  # dots between two numbers at ticks


def save(ax: Axes, *files: str | PathLike[str]) -> None:
    """Store the figure that an Axes is part of, and free it.

    The suffix of a file is its format: png, svg or pdf. The same figure gives the same bytes.
    """
    figure = root_of(ax)
    paths = [_picture(file) for file in files]
    with in_its_style(figure), nearly_infinite():
        finished(figure)
        for path in paths:
            figure.savefig(path, metadata=METADATA[path.suffix.removeprefix(".")])
    plt.close(figure)


def finished(figure: Figure) -> None:
    """Lay a figure out, with its title in full width and no text that leaves it.

    Once, so that the formats look the same and do not depend on which of them are asked for:
    another layout would start from this one.
    """
    ours = figure.get_gid() == OURS
    figure.set_dpi(mpl.rcParams["savefig.dpi"])
    if figure in when_resized:
        when_resized[figure](figure)
    if ours:
        _make_drawable(figure)
    _spread_title(figure)
    for _ in range(MOST_LAYOUTS):
        figure.draw_without_rendering()
        if not ours or not _shorten_what_leaves(figure):
            break
    if ours:
        _leave_out_numbers(figure)
    figure.set_layout_engine("none")


def _picture(file: str | PathLike[str]) -> Path:
    """Return the path of a picture's file; refuse what no picture can be stored in."""
    named = isinstance(file, str | PathLike) and "\0" not in str(file)
    path = Path(os.path.expanduser(file)) if named else None
    if path is None or path.suffix.removeprefix(".") not in FORMATS:
        raise InputError(
            f"file: expected a name that ends with one of {', '.join(FORMATS)},"
            f" got {shortened(path.name) if path else shown(file)}"
        )
    return path


def _spread_title(figure: Figure) -> None:
    """Give the title the whole width of the figure, in several lines if need be."""
    titled = [ax for ax in figure.axes if ax.get_title(loc="left") or ax.get_title()]
    text = figure.get_suptitle()
    if not text and len(titled) == 1:
        text = titled[0].get_title(loc="left") or titled[0].get_title()
        for where in ("left", "center"):
            titled[0].set_title("", loc=where)
    text = cut(text.strip("\n"), MOST_LETTERS)
    if text := _with_runs(text, figure) if figure.get_gid() == OURS else text:
        size = mpl.rcParams["figure.titlesize"]
        title = figure.suptitle(text, x=0.01, ha="left", wrap=True, fontsize=size)
        _shorten(title, figure, highest=figure.bbox.height / 4)


def _with_runs(title: str, figure: Figure) -> str:
    """Return a title with the number of runs behind it, or below it where it is long."""
    n = runs_shown.get(figure, sum(runs_shown.get(ax, 0) for ax in figure.axes))
    runs = f"{n:,} {'run' if n == 1 else 'runs'}"
    if not n or not title or " ".join(title.split()).endswith(runs):
        return title or (runs if n else "")
    line = Text(text=f"{title} · {runs}", figure=figure, fontsize=mpl.rcParams["figure.titlesize"])
    fits = line.get_window_extent().width < 0.98 * figure.bbox.width
    return f"{title} · {runs}" if fits else f"{title}\n{runs}"


def _make_drawable(figure: Figure) -> None:
    """Show as it is what only looks like a formula, and leave out what no font has."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if (shown := "\n".join(map(drawable, text.get_text().split("\n")))) != text.get_text():
            text.set_text(shown)


def _shorten_what_leaves(figure: Figure) -> bool:
    """Shorten the texts that leave a figure; return whether there was one, so that it changed."""
    texts = [*figure.texts, *(legend.get_title() for legend in figure.legends)]
    for ax in figure.axes:
        texts += [child for child in ax.get_children() if isinstance(child, Text)]
        texts += [ax.xaxis.label, ax.yaxis.label]
    # Names of rows and columns stay, but another layout may have room for them.
    axes = [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]
    named = [axis for axis in axes if isinstance(axis.get_major_formatter(), FixedFormatter)]
    ticks = [label for axis in named for label in axis.get_majorticklabels()]
    leaving = [t for t in (*texts, *ticks) if t.get_visible() and not _is_inside(t, figure)]
    for text in leaving:
        if text not in ticks:
            _shorten(text, figure)
    return bool(leaving)


def _leave_out_numbers(figure: Figure) -> None:
    """Leave out numbers at ticks that would be cut, as at 10^21 on an axis that ends there.

    And of numbers along one line, as below neighbouring panels, those that touch one before them.
    """
    for name in ("xaxis", "yaxis"):
        shown: list[Bbox] = []
        for label in _numbers_at_ticks([getattr(ax, name) for ax in figure.axes]):
            box = label.get_window_extent()
            touches = any(box.padded(BETWEEN).overlaps(other) for other in shown)
            label.set_visible(not touches and _is_inside(label, figure))
            shown += [box] * label.get_visible()


def _numbers_at_ticks(axes: Sequence[Axis]) -> Iterator[Text]:
    """Yield the numbers that are shown at ticks."""
    for axis in axes:
        if isinstance(axis.get_major_formatter(), FixedFormatter):
            continue
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if low <= tick.get_loc() <= high:
                labels = (tick.label1, tick.label2)
                yield from (text for text in labels if text.get_visible() and text.get_text())


def _shorten(text: Text, figure: Figure, highest: float = np.inf) -> None:
    """Leave as much of a text as is inside the figure."""

    def fits(words: str) -> bool:
        text.set_text(words)
        return _is_inside(text, figure) and text.get_window_extent().height <= highest

    text.set_text(fitting(text.get_text(), fits))


def _is_inside(text: Text, figure: Figure) -> bool:
    if not text.get_text():
        return True
    box = text.get_window_extent()
    corners = np.array([box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1])
    return bool((corners >= -1).all() or not np.isfinite(corners).all())
