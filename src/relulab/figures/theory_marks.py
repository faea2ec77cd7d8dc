"""Theory laid over figures: levels, thresholds, curves, fractions, always in black."""

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from relulab.figures.checks import LARGEST
from relulab.figures.legends import add_to_legend, line_entry
from relulab.figures.look import LegendKeyword
from relulab.figures.palette import name_of
from relulab.figures.style import drawn_in_style, row_names
from relulab.validation import (
    Float64Array,
    InputError,
    finite_array,
    finite_number,
    instance_of,
    number_array,
    shortened,
)

# One for each name in the legend.
DASHES: tuple[Any, ...] = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))
LINEWIDTH = 1.2
ABOVE = 2.5  # points with intervals are at 2.1
HATCHES = ("////", "\\\\\\\\", "||||", "----")


@drawn_in_style
def mark_level(ax: Axes, y: float, text: str, **look: Unpack[LegendKeyword]) -> None:
    """Lay a theoretical value over an axis as a dashed horizontal line; the legend names it.

    What has no place on the axis, as 0 on a logarithmic one, is not drawn.
    """
    _mark_number(ax, ax.axhline, ax.yaxis, finite_number("y", y), text)


@drawn_in_style
def mark_position(ax: Axes, x: float, text: str, **look: Unpack[LegendKeyword]) -> None:
    """Lay a theoretical threshold over an axis as a dashed vertical line; the legend names it.

    What has no place on the axis, as 0 on a logarithmic one, is not drawn.
    """
    _mark_number(ax, ax.axvline, ax.xaxis, finite_number("x", x), text)


@drawn_in_style
def mark_curve(
    ax: Axes, x: npt.ArrayLike, y: npt.ArrayLike, text: str, **look: Unpack[LegendKeyword]
) -> None:
    """Lay a theoretical curve over an axis, dashed; the legend names it.

    There the name covers no data, however the curve runs. The limits of the axes stay as the data
    made them. Where a point has no place on the axes, the curve has a gap.
    """
    xs, ys = number_array("x", x), number_array("y", y)
    if xs.shape != ys.shape or xs.ndim != 1:
        raise InputError(f"x, y: expected as many x as y, got shapes {xs.shape} and {ys.shape}")
    how = _black_dashes(ax, text)
    limits = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim()}
    seen = has_place(ax.xaxis, xs) & has_place(ax.yaxis, ys)
    ax.plot(np.where(seen, xs, np.nan), np.where(seen, ys, np.nan), **how)
    ax.set(**limits)
    add_to_legend(ax, [line_entry(**how)], late=True)


@drawn_in_style
def mark_region(
    ax: Axes,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    inside: npt.ArrayLike,
    text: str,
    **look: Unpack[LegendKeyword],
) -> None:
    """Lay a theoretical region over an axis, hatched, with a dashed boundary; the legend names it.

    Parameters
    ----------
    x : array_like, shape (n_x,)
    y : array_like, shape (n_y,)
    inside : array_like of bool, shape (n_y, n_x)
        Which points of the grid are inside; a fine grid makes a smooth boundary.
    text : str
        What the legend calls it.
    """
    xs, ys, fractions = finite_array("x", x), finite_array("y", y), number_array("inside", inside)
    if fractions.shape != (ys.size, xs.size):
        raise InputError(
            f"inside: expected shape {(ys.size, xs.size)}, for each y and x, got {fractions.shape}"
        )
    how = _black_dashes(ax, text)
    hatch = HATCHES[DASHES.index(how["linestyle"]) % len(HATCHES)]
    draw_region(ax, xs, ys, fractions, how["linestyle"], hatch)
    ax.plot([], [], **how)  # its dashes are taken
    area = {"facecolor": "none", "edgecolor": "black", "linestyle": how["linestyle"]}
    add_to_legend(ax, [Patch(label=text, hatch=hatch, linewidth=LINEWIDTH, **area)], late=True)


def draw_region(
    ax: Axes,
    xs: Float64Array,
    ys: Float64Array,
    inside: Float64Array,
    dashes: Any,
    hatch: str | None = None,
) -> None:
    """Draw the boundary of a region and hatch it, where the axes have a place for it."""
    across, up = has_place(ax.xaxis, xs), has_place(ax.yaxis, ys)
    xs, ys, inside = xs[across], ys[up], inside[np.ix_(up, across)]
    if min(inside.shape) > 1 and 0 < inside.mean() < 1:
        style: dict[str, Any] = {"linestyles": [dashes], "linewidths": LINEWIDTH}
        ax.contour(xs, ys, inside, levels=[0.5], colors="black", **style)
    if hatch and min(inside.shape) > 1 and (most := inside.max()) > 0.5:
        ax.contourf(xs, ys, inside, levels=[0.5, most], colors="none", hatches=[hatch])


@drawn_in_style
def mark_fraction(
    ax: Axes,
    row: object,
    fraction: float,
    text: str = "closed form",
    **look: Unpack[LegendKeyword],
) -> None:
    """Lay a theoretical fraction over a horizontal bar as a black tick.

    Parameters
    ----------
    row : object
        Which bar: its value in the column that the bars are of.
    fraction : float
        Where the bar, or the part of it that the theory predicts, should end.
    text : str
        What the legend calls all ticks.
    """
    fraction = finite_number("fraction", fraction)
    if not 0 <= fraction <= 1:
        raise InputError(f"fraction: expected a number from 0 to 1, got {fraction}")
    instance_of("text", text, str)
    labels = [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]
    names = row_names.get(ax, labels)  # else the user's own bars
    if name_of(row) not in names:
        raise InputError(f"row: expected one of {', '.join(names)}, got {shortened(name_of(row))}")
    how: dict[str, Any] = {"marker": "|", "color": "black", "linestyle": "none"}
    # A tick, which covers no text; with white around it, to be seen on dark bars.
    how |= {
        "markersize": 22,
        "markeredgewidth": 2.5,
        "path_effects": [withStroke(linewidth=5, foreground="white")],
    }
    ax.plot(
        [fraction], [ax.get_yticks()[names.index(name_of(row))]], clip_on=False, zorder=3, **how
    )
    add_to_legend(ax, [line_entry(text, **how | {"markersize": 10})], late=True)


def _mark_number(ax: Axes, draw: Callable[..., Any], axis: Axis, number: float, text: str) -> None:
    how = _black_dashes(ax, text)
    if has_place(axis, number):
        draw(number, **how)
        add_to_legend(ax, [line_entry(**how)], late=True)


def has_place(axis: Axis, values: npt.ArrayLike) -> Any:
    """Return which values an axis can show."""
    numbers = np.asarray(values)
    return (np.abs(numbers) < LARGEST) & ((numbers > 0) | (axis.get_scale() != "log"))


def _black_dashes(ax: Axes, text: str) -> dict[str, Any]:
    """Return how the line of this name is drawn, in dashes that no other name has."""
    instance_of("text", text, str)
    black = [line for a in ax.figure.axes for line in a.lines if line.get_color() == "black"]
    labels = dict.fromkeys(str(line.get_label()) for line in black)
    known = [label for label in labels if not label.startswith("_child")]
    which = known.index(text) if text in known else len(known)
    dashes = DASHES[which % len(DASHES)]
    how = {"color": "black", "linestyle": dashes, "linewidth": LINEWIDTH, "label": text}
    return how | {"zorder": ABOVE}
