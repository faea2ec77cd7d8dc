"""What all figures have in common: the style sheet, new Axes, checks of tables, saving."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from functools import wraps
from inspect import Parameter, cleandoc, signature
from os import PathLike
from pathlib import Path
from textwrap import indent
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter
from matplotlib.transforms import Bbox

from relulab.figures.look import CURRENT, Look, checked_width
from relulab.figures.palette import columns_of, cut, drawable, fitting
from relulab.validation import (
    Float64Array,
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

# Of a figure whose width was asked for, which stands in a paper as it is.
LETTERS = 8.0  # points
PAPER = {name: LETTERS for name, value in STYLE.items() if name.endswith("size") and value == 11.0}
PAPER |= {"savefig.dpi": 300.0, "lines.linewidth": 1.2, "lines.markersize": 3.5}

OURS = "relulab"  # how figures are told that were made in this style
GAP = "relulab gap"  # a place of a grid without a panel

# The smallest that is seen, in inches: two dots of a picture.
SMALLEST = 2 / STYLE["savefig.dpi"]

MOST_PANELS = 100

MOST_LETTERS = 250  # of a title

MOST_LAYOUTS = 4  # one is enough unless a text leaves the figure

# What the horizontal bars of an Axes are of, in full.
row_names: WeakKeyDictionary[Axes, list[str]] = WeakKeyDictionary()

# The figures whose width was asked for.
papers: WeakSet[Figure] = WeakSet()

# How many runs an Axes shows, and a whole figure if that was said.
runs_shown: WeakKeyDictionary[Axes | Figure, int] = WeakKeyDictionary()

# What is to be done where a figure's size may have changed.
when_resized: WeakKeyDictionary[Figure, Callable[[Figure], None]] = WeakKeyDictionary()

LARGEST = 1e150  # Matplotlib adds margins and ticks, by powers on logarithmic axes; finite, too

BETWEEN = 2.0  # dots between two numbers at ticks

MOST_RUNS = 1e18

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

    What is given as ``ax`` and is none is refused. A function of ``**look`` takes the arguments of
    ``Look`` that it does not have itself; one that draws into given Axes only whether a legend is
    drawn.
    """
    every = signature(function).parameters.values()
    own = [parameter for parameter in every if parameter.kind is not Parameter.VAR_KEYWORD]
    needs_axes = signature(function).parameters["ax"].default is Parameter.empty
    names = {parameter.name for parameter in own} | ({"width", "colors"} if needs_axes else set())
    options = [
        Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
        for f in fields(Look)
        if len(own) < len(every) and f.name not in names
    ]
    parameters = signature(function).replace(parameters=[*own, *options])

    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = parameters.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__name__}() {error}") from None
        for name, value in bound.arguments.items():
            if isinstance(value, pd.DataFrame):
                bound.arguments[name] = without_index(value)
        given = [option.name for option in options if option.name in bound.arguments]
        look = Look(**{name: bound.arguments.pop(name) for name in given})
        ax = bound.arguments.get("ax")
        if ax is not None and look.width is not None:
            raise InputError("width: expected none beside ax, which has its width already")
        if ax is None and not needs_axes:
            context = _our_style(look.width is not None)
        else:
            figure = root_of(ax)
            ours = figure.get_gid() == OURS
            context = _our_style(figure in papers) if ours else nullcontext()
        before = CURRENT.set(look)
        try:
            with context, nearly_infinite():
                return function(*bound.args, **bound.kwargs)
        finally:
            CURRENT.reset(before)

    vars(styled)["__signature__"] = parameters
    styled.__doc__ = _with_options(function.__doc__ or "", [option.name for option in options])
    return styled


def _with_options(doc: str, options: Sequence[str]) -> str:
    """Return a docstring with what that of ``Look`` says of some arguments."""
    if not options:
        return doc
    entries = re.split(r"(?m)^(?=\w)", cleandoc(Look.__doc__ or "").split("----------\n")[1])
    told = "".join(e.rstrip() + "\n" for e in entries if e.split(" :")[0] in options)
    told = indent(told, "    ")
    head, section, rest = doc.partition("    Parameters\n    ----------\n")
    if not section:
        return f"{doc.rstrip()}\n\n    Parameters\n    ----------\n{told}    "
    own, break_, more = rest.partition("\n\n")
    return f"{head}{section}{own.rstrip()}\n{told}" + (f"\n{more}" if break_ else "    ")


def _our_style(paper: bool) -> AbstractContextManager[None]:
    return mpl.rc_context(EVERYTHING | PAPER if paper else EVERYTHING)


def new_axes(height: float | None = None) -> Axes:
    """Return the Axes of a new figure; height in inches in letters of relulab's size."""
    asked = CURRENT.get().width
    width = WIDTH if asked is None else float(asked)
    if height is None:
        size = width, HEIGHT * min(width / WIDTH, 1)
    else:
        size = width, height * (1 if asked is None else LETTERS / STYLE["font.size"])
    figure, ax = plt.subplots(figsize=size)
    figure.set_gid(OURS)
    if asked is not None:
        papers.add(figure)
    return ax


def panels(n: int, n_columns: int = 3, *, width: float | str | None = None) -> list[Axes]:
    """Return n Axes of one figure with common axes.

    They are in as many rows as ``n_columns`` asks for, and in no more columns than these rows
    need. The last row is full, so that all columns end at one axis; a place that is left in the
    first one is the legend's if it has room there.

    Parameters
    ----------
    width : float or str, optional
        Of the figure in inches, or "single" (3.5) or "double" (7.2), columns of a journal. Letters
        have 8 points then.
    """
    n = whole_number("n", n, at_least=1, at_most=MOST_PANELS)
    n_columns = whole_number("n_columns", n_columns, at_least=1, at_most=MOST_PANELS)
    asked = checked_width(width)
    n_rows = -(-n // n_columns)
    n_columns = -(-n // n_rows)
    inches_wide = WIDTH if asked is None else asked
    size = inches_wide, (0.8 + max(1.8 * n_rows, 2.8)) * min(inches_wide / WIDTH, 1)
    with _our_style(asked is not None):
        figure, grid = plt.subplots(
            n_rows, n_columns, figsize=size, sharex=True, sharey=True, squeeze=False
        )
    figure.set_gid(OURS)
    if asked is not None:
        papers.add(figure)
    n_gaps = n_rows * n_columns - n
    for ax in grid[0, n_columns - n_gaps :]:
        ax.set_axis_off()
        ax.set_gid(GAP)
    return [ax for ax in grid.flat if ax.get_gid() != GAP]


def show_runs(ax: Axes, n: float) -> None:
    """Say how many runs the figure of an Axes shows, which then stands behind its title.

    Maps and fractions know it of their tables; several panels show the sum of theirs. 0 says
    nothing.
    """
    runs_shown[root_of(ax)] = whole_number("n", n, at_least=0)


def count_runs(ax: Axes, n: float) -> None:
    """Note how many runs an Axes shows, the most if it is drawn into several times."""
    if 0 < n < MOST_RUNS:
        runs_shown[ax] = max(runs_shown.get(ax, 0), int(n))


def count_runs_of(ax: Axes, table: pd.DataFrame, column: str, by: str | None) -> None:
    """Note the runs of a table that has their number, if it does, in each row of a group."""
    if column in table and pd.api.types.is_numeric_dtype(table[column].dtype):
        counts = table if by is None else table.groupby(list(columns_of(by)), observed=True)
        count_runs(ax, float(np.sum(counts[column].max())))


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
    if figure.get_gid() != OURS:
        return mpl.rc_context(FILES)
    return _our_style(figure in papers)


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


def root_of(ax: Axes | None) -> Figure:
    """Return the figure that an Axes is part of."""
    instance_of("ax", ax, Axes)
    figure = ax.get_figure(root=True) if ax else None
    if figure is None:
        raise InputError("ax: expected Axes of a figure, got one that was removed from its figure")
    return figure


def inches(ax: Axes) -> Float64Array:
    """Return width and height of an Axes."""
    return np.array([ax.bbox.width, ax.bbox.height]) / root_of(ax).dpi


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
