"""What all figures share: the style sheet, new Axes, checks of tables, storing pictures."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from relulab.validation import InputError

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

OURS = "relulab"  # how figures are told that were made in this style

P = ParamSpec("P")
R = TypeVar("R")


def style() -> AbstractContextManager[None]:
    """Return a context in which everything is drawn in relulab's style."""
    return mpl.rc_context(STYLE)


def drawn_in_style(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function draw in relulab's style, but for an Axes of the user's, which has its own."""

    @wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Axes)]
        ours = all(_root(ax).get_gid() == OURS for ax in given)
        with style() if ours else nullcontext():
            return function(*args, **kwargs)

    return styled


def new_axes(height: float = HEIGHT) -> Axes:
    """Return the Axes of a new figure of the width that all have; height in inches."""
    figure, ax = plt.subplots(figsize=(WIDTH, height))
    figure.set_gid(OURS)
    return ax


def panels(n: int, n_columns: int = 3) -> list[Axes]:
    """Return n Axes of one figure with common axes."""
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
    """Leave the labels of panels at the left of their rows and at the foot of their columns."""
    filled = [ax.get_subplotspec() for ax in axes]
    places = {(spec.rowspan.start, spec.colspan.start) for spec in filled if spec}
    for ax, spec in zip(axes, filled, strict=True):
        if spec and not spec.is_first_col():
            ax.set_ylabel("")
        foot = not spec or (spec.rowspan.start + 1, spec.colspan.start) not in places
        ax.tick_params(axis="x", which="both", labelbottom=foot)
        if not foot:
            ax.set_xlabel("")


def save(ax: Axes, *files: Path) -> None:
    """Store the figure that an Axes is part of, and free it.

    The suffix of a file is its format: png, svg or pdf. The same figure gives the same bytes.
    """
    for file in files:
        if file.suffix.removeprefix(".") not in FORMATS:
            raise InputError(
                f"file: expected a name that ends with one of {', '.join(FORMATS)}, got {file.name}"
            )
    figure = _root(ax)
    _spread_title(figure)
    with style():
        # Laid out once, so that the formats look the same and do not depend on which of them are
        # asked for: another layout would start from this one.
        figure.set_dpi(STYLE["savefig.dpi"])
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for file in files:
            figure.savefig(file, metadata=METADATA[file.suffix.removeprefix(".")])
    plt.close(figure)


def _root(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def _spread_title(figure: Figure) -> None:
    """Give the title the whole width of the figure, in several lines if need be."""
    titled = [ax for ax in figure.axes if ax.get_title(loc="left") or ax.get_title()]
    text = figure.get_suptitle()
    if not text and len(titled) == 1:
        text = titled[0].get_title(loc="left") or titled[0].get_title()
        for where in ("left", "center"):
            titled[0].set_title("", loc=where)
    if text:
        figure.suptitle(text, x=0.01, ha="left", wrap=True, fontsize=STYLE["figure.titlesize"])


def require(argument: str, table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table that lacks a column."""
    if missing := [name for name in columns if name not in table]:
        raise InputError(
            f"{argument}: expected the columns {', '.join(columns)}; no {missing[0]} among"
            f" {', '.join(map(str, table.columns))}"
        )


def require_numbers(argument: str, table: pd.DataFrame, *columns: str) -> None:
    """Refuse a table in which a column is not of numbers."""
    for name in columns:
        if len(table) and not pd.api.types.is_numeric_dtype(table[name]):
            raise InputError(
                f"{argument}: expected numbers in the column {name}, got {table[name].dtype}"
            )
