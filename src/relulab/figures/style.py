"""What all figures have in common: the style sheet, new Axes, checks of tables, saving."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from inspect import Parameter, signature
from os import PathLike
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter

from relulab.figures.palette import cut, drawable, fitting
from relulab.validation import (
    InputError,
    checked_table,
    columns_in,
    instance_of,
    numbers_in,
    shortened,
    shown,
    whole_number,
    without_index,
)

STYLE = mpl.rc_params_from_file(
    Path(__file__).with_name("relulab.mplstyle"), use_default_template=False
)
WIDTH, HEIGHT = STYLE["figure.figsize"]

# What a picture's file says of itself is of the picture alone: the same table, the same bytes.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
FORMATS = tuple(METADATA)

# What a user's matplotlibrc decides also here: what the letters look like, and what is of the
# session and in no picture. All else is Matplotlib's default or in the style sheet.
FONTS = ("family", "sans-serif", "serif", "monospace", "cursive", "fantasy")
KEPT = {"backend", "backend_fallback", "date.epoch", "interactive", "savefig.directory", "toolbar"}
KEPT |= {f"font.{kind}" for kind in FONTS}
SESSION = ("figure.max_open", "figure.raise", "keymap.", "tk.", "webagg.")
EVERYTHING = {
    name: mpl.rcParamsDefault[name]
    for name in mpl.rcParamsDefault
    if name not in KEPT and not name.startswith(SESSION)
} | dict(STYLE)
# What decides how a figure of the user's, which has its style already, becomes a file.
FILES = {k: v for k, v in EVERYTHING.items() if k.startswith(("savefig.", "svg.", "pdf.", "ps."))}

OURS = "relulab"  # how figures are told that were made in this style

MOST_PANELS = 100

MOST_LETTERS = 250  # of a title

MOST_LAYOUTS = 4  # one is enough unless a text leaves the figure

# What the horizontal bars of an Axes are of, in full.
row_names: WeakKeyDictionary[Axes, list[str]] = WeakKeyDictionary()

LARGEST = 1e150  # Matplotlib adds margins and ticks, by powers on logarithmic axes; finite, too

P = ParamSpec("P")
R = TypeVar("R")


def style() -> AbstractContextManager[None]:
    """Return a context in which everything is drawn in relulab's style.

    That is Matplotlib's defaults and relulab's style sheet. Of the user's settings (matplotlibrc,
    ``rcParams``) only the font family counts.
    """
    return mpl.rc_context(EVERYTHING)


def nearly_infinite() -> AbstractContextManager[None]:
    """Return a context in which what is so large may overflow, as with Matplotlib's margins."""
    return np.errstate(over="ignore", invalid="ignore")


def drawn_in_style(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function draw in relulab's style, but for an Axes of the user's, which has its own.

    What is given as ``ax`` and is none is refused.
    """
    parameters = signature(function)
    needs_axes = parameters.parameters["ax"].default is Parameter.empty

    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = parameters.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if isinstance(value, pd.DataFrame):
                bound.arguments[name] = without_index(value)
        ax = bound.arguments.get("ax")
        ours = (ax is None and not needs_axes) or root_of(ax).get_gid() == OURS
        with style() if ours else nullcontext(), nearly_infinite():
            return function(*bound.args, **bound.kwargs)

    return styled


def new_axes(height: float = HEIGHT) -> Axes:
    """Return the Axes of a new figure of the width that all have; height in inches."""
    figure, ax = plt.subplots(figsize=(WIDTH, height))
    figure.set_gid(OURS)
    return ax


def panels(n: int, n_columns: int = 3) -> list[Axes]:
    """Return n Axes of one figure with common axes."""
    n = whole_number("n", n, at_least=1, at_most=MOST_PANELS)
    n_columns = whole_number("n_columns", n_columns, at_least=1, at_most=MOST_PANELS)
    n_rows = -(-n // n_columns)
    with style():
        figure, grid = plt.subplots(
            n_rows, n_columns, figsize=(WIDTH, 0.8 + max(1.8 * n_rows, 2.8)), sharex=True,
            sharey=True, squeeze=False,
        )  # fmt: skip
    figure.set_gid(OURS)
    every: list[Axes] = list(grid.flat)
    for ax in every[n:]:
        ax.set_axis_off()
    return every[:n]


def outer_labels(axes: Sequence[Axes]) -> None:
    """Leave labels and ticks of panels at the left of their rows and at the foot of columns."""
    if not isinstance(axes, Sequence):
        raise InputError(f"axes: expected several Axes, got {shown(axes)}")
    for ax in axes:
        instance_of("axes", ax, Axes)
    filled = [ax.get_subplotspec() for ax in axes]
    places = {(spec.rowspan.start, spec.colspan.start) for spec in filled if spec}
    for ax, spec in zip(axes, filled, strict=True):
        if spec and not spec.is_first_col():
            ax.set_ylabel("")
            ax.tick_params(axis="y", which="both", left=False, labelleft=False)
        foot = not spec or (spec.rowspan.start + 1, spec.colspan.start) not in places
        ax.tick_params(axis="x", which="both", bottom=foot, labelbottom=foot)
        if not foot:
            ax.set_xlabel("")


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


def in_its_style(figure: Figure) -> AbstractContextManager[None]:
    """Return a context in which a figure becomes a file: relulab's style, or the user's own."""
    return style() if figure.get_gid() == OURS else mpl.rc_context(FILES)


def finished(figure: Figure) -> None:
    """Lay a figure out, with its title in full width and no text that leaves it.

    Once, so that the formats look the same and do not depend on which of them are asked for:
    another layout would start from this one.
    """
    ours = figure.get_gid() == OURS
    if ours:
        _make_drawable(figure)
    _spread_title(figure)
    figure.set_dpi(STYLE["savefig.dpi"])
    for _ in range(MOST_LAYOUTS):
        figure.draw_without_rendering()
        if not ours or not _shorten_what_leaves(figure):
            break
    if ours:
        _leave_out_numbers_at_the_edge(figure)
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


def root_of(ax: Axes | None) -> Figure:
    """Return the figure that an Axes is part of."""
    instance_of("ax", ax, Axes)
    figure = ax.get_figure(root=True) if ax else None
    if figure is None:
        raise InputError("ax: expected Axes of a figure, got one that was removed from its figure")
    return figure


def _spread_title(figure: Figure) -> None:
    """Give the title the whole width of the figure, in several lines if need be."""
    titled = [ax for ax in figure.axes if ax.get_title(loc="left") or ax.get_title()]
    text = figure.get_suptitle()
    if not text and len(titled) == 1:
        text = titled[0].get_title(loc="left") or titled[0].get_title()
        for where in ("left", "center"):
            titled[0].set_title("", loc=where)
    if text := text.strip("\n"):
        title = figure.suptitle(
            cut(text, MOST_LETTERS),
            x=0.01,
            ha="left",
            wrap=True,
            fontsize=STYLE["figure.titlesize"],
        )
        _shorten(title, figure, highest=figure.bbox.height / 4)


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


def _leave_out_numbers_at_the_edge(figure: Figure) -> None:
    """Leave out numbers at ticks that would be cut, as at 10^21 on an axis that ends there."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if not isinstance(axis.get_major_formatter(), FixedFormatter):
                for label in axis.get_majorticklabels():
                    label.set_visible(label.get_visible() and _is_inside(label, figure))


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


def require(argument: str, table: pd.DataFrame, *columns: str, **named: str) -> None:
    """Refuse a table that lacks a column; ``named`` are arguments that name one."""
    checked_table(argument, table)
    for name, column in named.items():
        if not isinstance(column, str):
            raise InputError(f"{name}: expected the name of a column, got {shown(column)}")
    columns_in(argument, table, *columns, *named.values())


def with_numbers(argument: str, table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return the table with NaN where one of the columns misses a number; refuse all but numbers.

    Matplotlib cannot draw columns of pandas' types that have values of their own for it.
    """
    numbers_in(argument, table, *columns)
    own = [name for name in columns if pd.api.types.is_extension_array_dtype(table[name])]
    return table.assign(**{name: table[name].to_numpy(float, na_value=np.nan) for name in own})


def placed(argument: str, table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return ``with_numbers``, with NaN, which is drawn as a gap, for what has no place."""
    table = with_numbers(argument, table, *columns)
    numbers = {name: table[name].to_numpy(float) for name in columns}
    return table.assign(
        **{name: np.where(np.abs(v) < LARGEST, v, np.nan) for name, v in numbers.items()}
    )


def require_finite(argument: str, table: pd.DataFrame, *columns: str, missing: bool = True) -> None:
    """Refuse a table of numbers that have no place on an axis; ``missing`` ones may be allowed."""
    for name in columns:
        values = table[name].to_numpy(float)
        wrong = values[~((np.abs(values) < LARGEST) | (np.isnan(values) & missing))]
        if wrong.size:
            raise InputError(
                f"{argument}: expected finite numbers in the column {name}, got {wrong[0]}"
            )


def require_fractions(argument: str, table: pd.DataFrame, column: str) -> None:
    """Refuse a table in which a column has numbers that are no fractions."""
    values = table[column].to_numpy(float)
    wrong = values[(values < 0) | (values > 1 + 1e-9)]
    if wrong.size:
        raise InputError(
            f"{argument}: expected numbers from 0 to 1 in the column {column}, got {wrong[0]}"
        )
