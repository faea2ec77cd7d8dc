"""What all figures have in common: the style sheet, new Axes and panels, the number of runs."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from functools import wraps
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from textwrap import indent
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes as Axes
from matplotlib.figure import Figure

from relulab.figures.look import CURRENT, Look, checked_width
from relulab.figures.palette import columns_of
from relulab.validation import (
    Float64Array,
    InputError,
    instance_of,
    shown,
    whole_number,
    without_index,
)

STYLE = mpl.rc_params_from_file(
    Path(__file__).with_name("relulab.mplstyle"), use_default_template=False
)
WIDTH, HEIGHT = STYLE["figure.figsize"]


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

OURS = "relulab"  # marks figures that were made in this style
GAP = "relulab gap"  # a place of a grid without a panel

# The smallest that is seen, in inches: two dots of a picture.
SMALLEST = 2 / STYLE["savefig.dpi"]

MOST_PANELS = 100


# What the horizontal bars of an Axes are of, in full.
row_names: WeakKeyDictionary[Axes, list[str]] = WeakKeyDictionary()

# The figures whose width was asked for.
papers: WeakSet[Figure] = WeakSet()

# How many runs an Axes shows, and a whole figure if that was said.
runs_shown: WeakKeyDictionary[Axes | Figure, int] = WeakKeyDictionary()

# What is to be done where a figure's size may have changed.
when_resized: WeakKeyDictionary[Figure, Callable[[Figure], None]] = WeakKeyDictionary()


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


def in_its_style(figure: Figure) -> AbstractContextManager[None]:
    """Return a context in which a figure becomes a file: relulab's style, or the user's own."""
    if figure.get_gid() != OURS:
        return mpl.rc_context(FILES)
    return _our_style(figure in papers)


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
