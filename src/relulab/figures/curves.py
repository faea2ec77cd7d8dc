"""Numbers against numbers: lines, estimates with intervals, points, distributions, survival."""

from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from relulab.figures.checks import placed, require, require_finite, with_numbers
from relulab.figures.legends import add_to_legend, line_entry
from relulab.figures.look import CURRENT, LookKeywords, color_map
from relulab.figures.palette import columns_of, groups_of, is_number, symbol
from relulab.figures.style import count_runs_of, drawn_in_style, new_axes
from relulab.validation import InputError, shown

RANGE = 3  # points that a bar is wide which stands for itself

# Markers distinguish lines that coincide.
MARKERS = "osD^vP*X"

# A numeric column with more values than this gets a color bar.
MOST_GROUPS = 8


@drawn_in_style
def lines(
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    log: str = "xy",
    ax: Axes | None = None,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw y against x, one line for each value of a column; ``log`` names the axes that are.

    A line has a gap where a number is missing or infinite. What is not above 0 has no place on a
    logarithmic axis and stands at its lower end, as a hollow marker beside the line.
    """
    require("table", table, *columns_of(by), x=x, y=y)
    table = placed("table", table, x, y)
    _check_log(log)
    ax = ax or new_axes()
    entries = []
    for i, (label, color, rows) in enumerate(groups_of(table, by)):
        how = {"marker": MARKERS[i % len(MARKERS)], "color": color}
        beside = _at_the_ends(ax, rows, x, y, log, **how)
        ax.plot(rows[x].mask(beside), rows[y].mask(beside), **how)
        if len(rows[[x, y]].dropna()):
            entries.append(line_entry(label, **how))
    _finish(ax, table, x, y, log)
    add_to_legend(ax, entries, legend_title(table, by))
    return ax


@drawn_in_style
def intervals(
    table: pd.DataFrame,
    x: str,
    y: str = "fraction",
    by: str | None = None,
    log: str = "",
    ax: Axes | None = None,
    *,
    low: str = "low",
    high: str = "high",
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw y against x as points with a bar from the column low to the column high.

    A row whose y is missing has its bar alone, as a range has that is about no number.

    Parameters
    ----------
    table : DataFrame
        Columns x, y, low and high: rates with their Wilson intervals, for example.
    by : str, optional
        A column; each of its values has a color of its own.
    log : str
        The axes that are logarithmic: "", "x", "y" or "xy". What is not above 0 stands at the lower
        end of a logarithmic axis, as a hollow marker without a bar.
    low, high : str
        The columns of the ends of the bars.
    """
    require("table", table, *columns_of(by), x=x, y=y, low=low, high=high)
    table = placed("table", table, x, y, low, high)
    _check_log(log)
    ax = ax or new_axes()
    draw_intervals(ax, table, x, y, by, log, low, high)
    return ax


def draw_intervals(
    ax: Axes, table: pd.DataFrame, x: str, y: str, by: str | None, log: str, low: str, high: str
) -> None:
    """Draw what ``intervals`` draws, of a table that was checked."""
    entries = []
    for i, (label, color, rows) in enumerate(groups_of(table, by)):
        how: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "color": color}
        bars = rows[rows[y].isna()].dropna(subset=[x, low, high])
        if len(bars):
            ax.vlines(bars[x], bars[low], bars[high], color=color, linewidth=RANGE)
        rows = rows.dropna(subset=[x, y])
        n = len(rows)
        rows = rows[~_at_the_ends(ax, rows, x, y, log, **how)]
        # Rounding may put an end on the wrong side of the point.
        reach = np.maximum([rows[y] - rows[low], rows[high] - rows[y]], 0)
        ax.errorbar(rows[x], rows[y], yerr=reach, linestyle="none", elinewidth=1.2, **how)
        if n:
            entries.append(line_entry(label, linestyle="none", **how))
        elif len(bars):
            bar = {"marker": "|", "markersize": 10, "markeredgewidth": RANGE}
            entries.append(line_entry(label, linestyle="none", **how | bar))
    _finish(ax, table, x, y, log)
    if by is not None:
        add_to_legend(ax, entries, legend_title(table, by))


@drawn_in_style
def points(
    table: pd.DataFrame,
    x: str,
    y: str,
    by: str | None = None,
    log: str = "",
    ax: Axes | None = None,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw a small dot for each row: for tens of thousands of them.

    Parameters
    ----------
    table : DataFrame
        Columns x and y.
    by : str, optional
        What the color shows: ``"fate"``, from the columns outcome and unit, or a column. One of
        more than 8 different numbers has a color bar.
    log : str
        The axes that are logarithmic: "", "x", "y" or "xy".

    Rows without a place or a color are left out: of missing or infinite numbers, and of those that
    are not above 0 on a logarithmic axis.
    """
    require("table", table, *columns_of(by), x=x, y=y)
    table = placed("table", table, x, y)
    _check_log(log)
    ax = ax or new_axes()
    if by is not None and _is_scale(table, by):
        table = placed("table", table, by)
    for axis, name in (("x", x), ("y", y)):
        if axis in log:
            table = table[table[name] > 0]
    table = table.dropna(subset=[x, y, *columns_of(by)]).reset_index(drop=True)
    # In the order of the rows, so that no color covers another; as pixels, so that vector files
    # stay small.
    how: dict[str, Any] = {"s": 3, "linewidths": 0, "rasterized": True}
    if by is not None and _is_scale(table, by):
        values = table[by].to_numpy(float)
        wide = values.min() > 0 and values.max() > 30 * values.min()
        norm = LogNorm() if wide else Normalize()
        shades = color_map("viridis")
        drawn = ax.scatter(table[x], table[y], c=values, norm=norm, cmap=shades, **how)
        if CURRENT.get().legend:
            ax.figure.colorbar(drawn, ax=ax, label=symbol(by))
    else:
        groups = groups_of(table, by)
        colors = pd.Series(index=table.index, dtype=object)
        for _, color, rows in groups:
            colors[rows.index] = [color] * len(rows)
        ax.scatter(table[x], table[y], c=list(colors), **how)
        if by is not None:
            entries = [line_entry(g[0], g[1], linestyle="none", marker="o") for g in groups]
            add_to_legend(ax, entries, legend_title(table, by))
    _finish(ax, table, x, y, log)
    return ax


@drawn_in_style
def cumulative(
    table: pd.DataFrame,
    value: str,
    by: str,
    ax: Axes | None = None,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw which fraction of the runs is at or below a value, one curve for each value of ``by``.

    On a logarithmic axis, if any value is above 0: values up to 0, which rounding makes of the
    smallest, are drawn at its left end. Curves that lie on each other are told apart by their
    markers.

    Parameters
    ----------
    table : DataFrame
        ``statistics.cumulative(runs, value, by=[by])``.
    """
    require("table", table, "fraction", *columns_of(by), value=value)
    table = placed("table", table, value, "fraction")
    table = table.dropna(subset=[value, "fraction"])
    ax = ax or new_axes()
    count_runs_of(ax, table, "n_runs", by)
    smallest = table[value].where(table[value] > 0).min()
    logarithmic = not np.isnan(smallest)
    entries = []
    groups = groups_of(table, by)
    for i, (label, color, rows) in enumerate(groups):
        rows = rows.sort_values(value)
        values = rows[value].clip(lower=smallest) if logarithmic else rows[value]
        ax.step(values, rows["fraction"], where="post", color=color)
        # On the risers, at fractions of each curve's own.
        marker = MARKERS[i % len(MARKERS)]
        marked = (np.arange(8) + (i + 1) / len(groups)) / 8
        marked = marked[marked <= rows["fraction"].max()]
        at = values.iloc[np.searchsorted(rows["fraction"].cummax(), marked)]
        ax.plot(at, marked, linestyle="none", color=color, marker=marker)
        entries.append(line_entry(label, color, marker=marker))
    if logarithmic:
        ax.set(xscale="log")
    add_to_legend(ax, entries, legend_title(table, by))
    ax.set(xlabel=symbol(value), ylabel="fraction of runs with at most this", ylim=(0, 1.02))
    return ax


@drawn_in_style
def survival(
    table: pd.DataFrame,
    by: str | None = None,
    ax: Axes | None = None,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw which fraction still lives after each step, as steps in the band of their intervals.

    The axis of steps is linear from 0 to 1 and logarithmic from there on, so that step 0, at which
    units are born dead, has its place. Curves go on to the last step of the table.

    Parameters
    ----------
    table : DataFrame
        ``statistics.survival(runs, by=[by])``: columns step, survival, low and high.
    by : str, optional
        A column; each of its values has a color of its own.
    """
    names = ("step", "survival", "low", "high")
    require("table", table, *names, *columns_of(by))
    require_finite("table", with_numbers("table", table, "step"), "step", missing=False)
    table = placed("table", table, *names)
    ax = ax or new_axes()
    count_runs_of(ax, table, "n_at_risk", by)
    last = table["step"].max()
    entries = []
    for label, color, rows in groups_of(table, by):
        rows = rows.sort_values("step")
        if rows["step"].max() < last:  # nothing more happened
            rows = pd.concat([rows, rows.iloc[-1:].assign(step=last)])
        ax.step(rows["step"], rows["survival"], where="post", color=color)
        ax.fill_between(
            rows["step"],
            rows["low"],
            rows["high"],
            step="post",
            color=color,
            alpha=0.2,
            linewidth=0,
        )
        entries.append(line_entry(label, color))
    if entries:
        ax.set_xscale("symlog", linthresh=1, linscale=0.5)
        ax.set_xlim(0, max(last, 1))
    ax.set(xlabel="step", ylabel="fraction of units alive", ylim=(0, 1.02))
    if by is not None:
        add_to_legend(ax, entries, legend_title(table, by))
    return ax


def _at_the_ends(
    ax: Axes, rows: pd.DataFrame, x: str, y: str, log: str, **how: Any
) -> "pd.Series[bool]":
    """Draw hollow markers at the lower ends of logarithmic axes; return of which rows."""
    how |= {"linestyle": "none", "markerfacecolor": "none", "clip_on": False, "zorder": 3}
    left, below = (rows[x] <= 0) & ("x" in log), (rows[y] <= 0) & ("y" in log)
    for which, transform in (
        (below & ~left, ax.get_xaxis_transform()),
        (left & ~below, ax.get_yaxis_transform()),
        (left & below, ax.transAxes),
    ):
        here = rows[which & rows[x].notna() & rows[y].notna()]
        if len(here):
            ax.plot(here[x].mask(left, 0), here[y].mask(below, 0), transform=transform, **how)
    return left | below


def _is_scale(table: pd.DataFrame, by: str) -> bool:
    return by in table and is_number(table[by]) and table[by].nunique() > MOST_GROUPS


def legend_title(table: pd.DataFrame, by: str) -> str | None:
    """Return the legend's title: what numbers are numbers of; names speak for themselves."""
    return symbol(by) if by in table and is_number(table[by]) else None


def _check_log(log: str) -> None:
    if not isinstance(log, str):
        raise InputError(f"log: expected letters among x, y, got {shown(log)}")
    if wrong := sorted(set(log) - set("xy")):
        raise InputError(f"log: expected letters among x, y, got {wrong[0]}")


def _finish(ax: Axes, table: pd.DataFrame, x: str, y: str, log: str) -> None:
    for axis, name in (("x", x), ("y", y)):
        if axis in log and (table[name] > 0).any():
            ax.set(**{f"{axis}scale": "log"})
    ax.set(xlabel=symbol(x), ylabel=symbol(y))
