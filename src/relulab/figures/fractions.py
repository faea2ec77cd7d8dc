"""Rows and stacks: fractions of runs against a number, or one bar or row of dots for each name."""

from collections.abc import Mapping, Sequence, Sized
from itertools import compress
from typing import Any, Unpack

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.text import Text

from relulab.figures.checks import placed, require, require_finite, require_fractions, with_numbers
from relulab.figures.curves import MARKERS, draw_intervals, legend_title
from relulab.figures.legends import add_to_legend, line_entry, patches
from relulab.figures.look import LookKeywords, chosen
from relulab.figures.palette import (
    FATE_COLORS,
    FATES,
    OPTIMA,
    OPTIMUM_COLORS,
    OPTIMUM_LABELS,
    columns_of,
    fate_label,
    groups_of,
    name_of,
    symbol,
    text_color,
    wrapped,
)
from relulab.figures.style import (
    SMALLEST,
    count_runs_of,
    drawn_in_style,
    inches,
    new_axes,
    root_of,
    row_names,
)
from relulab.model.outcome import OUTCOMES, UNITS
from relulab.validation import Float64Array, InputError, instance_of, words_in

FATE, OPTIMUM = ["outcome", "unit"], ["optimum"]

# A fraction of so much of the width has room for its text.
ROOM = 0.09

FEWEST_CELLS = 6  # of a stack against a number; areas between fewer would be made up

MOST_BARS = 1000  # no picture can be higher

SPREAD = 0.7  # of a row's height: what its dots share

LABEL_WIDTH = 28  # characters in a line
MOST_WIDTH = 0.6  # of the figure's, should they be wide ones


@drawn_in_style
def outcome_fractions(
    rates: pd.DataFrame,
    x: str = "learning_rate",
    ax: Axes | None = None,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw the fraction of every fate against a column, stacked, the dead at the bottom.

    Each value of the column has a cell of its own, up to half-way to its neighbours: nothing is
    drawn that was not counted. Fewer than 6 values are points, with intervals where the table has
    them.

    Parameters
    ----------
    rates : DataFrame
        ``statistics.outcome_rates(runs, by=[x])``.
    x : str
        A numeric column; drawn on a logarithmic axis if all values are positive and span more
        than a factor of 30.
    """
    return _stacked(rates, FATE, x, ax)


@drawn_in_style
def optimum_fractions(
    rates: pd.DataFrame, x: str, ax: Axes | None = None, **look: Unpack[LookKeywords]
) -> Axes:
    """Draw the fraction of everything that was found against a numeric column, stacked.

    ``rates`` is ``statistics.optimum_rates(runs, by=[x])``; the dead are at the bottom, the global
    optimum on top. Fewer than 6 values are points, with intervals where the table has them.
    """
    return _stacked(rates, OPTIMUM, x, ax)


@drawn_in_style
def fate_bars(
    rates: pd.DataFrame, label: str, ax: Axes | None = None, **look: Unpack[LookKeywords]
) -> Axes:
    """Draw the fraction of every fate as one bar for each value of a column, the dead at the left.

    ``rates`` is ``statistics.outcome_rates(runs, by=[label])``.
    """
    return _barred(rates, FATE, label, ax)


@drawn_in_style
def optimum_bars(
    rates: pd.DataFrame, label: str, ax: Axes | None = None, **look: Unpack[LookKeywords]
) -> Axes:
    """Draw the fraction of everything that was found as one bar for each value of a column.

    The dead are at the left, the global optimum at the right. Beside each bar stands the fraction
    that found the global optimum, which may be too small to be seen.

    ``rates`` is ``statistics.optimum_rates(runs, by=[label])``.
    """
    ax = _barred(rates, OPTIMUM, label, ax)
    fractions, colors = _fractions(rates, label, OPTIMUM)
    color = colors.get(OPTIMUM_LABELS["global"], OPTIMUM_COLORS["global"])
    how: dict[str, Any] = {"textcoords": "offset points", "color": color}
    for row, fraction in enumerate(fractions.get("global", np.zeros(len(fractions)))):
        ax.annotate(f"{100 * fraction:.2g}% global", (1, row), (6, 0), va="center", **how)
    return ax


@drawn_in_style
def bars(
    table: pd.DataFrame,
    label: str,
    value: str,
    ax: Axes | None = None,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw one horizontal bar from 0 for each row, with its value at its end.

    Values that differ by orders of magnitude are ``dots``: on a logarithmic axis is no 0.
    """
    require("table", table, label=label, value=value)
    table = with_numbers("table", table, value)
    require_finite("table", table, value)
    ax = ax or new_axes(_height(table, legend=0))
    [color] = chosen([value], [symbol(value)], [FATE_COLORS["converged", "died"]])
    drawn = ax.barh(np.arange(len(table)), table[value], color=color)
    ax.bar_label(drawn, [_amount(v) if v == v else "" for v in table[value]], padding=4)
    ax.margins(x=0.2)  # the text has room
    _name_rows(ax, table[label])
    ax.set_xlabel(symbol(value))
    return ax


@drawn_in_style
def dots(
    table: pd.DataFrame,
    label: str,
    value: str,
    by: str | None = None,
    ax: Axes | None = None,
    *,
    log: bool = False,
    low: str = "low",
    high: str = "high",
    amounts: bool = False,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw a row for each name, with a dot at its value and a bar from the column low to high.

    Parameters
    ----------
    table : DataFrame
        Columns label, value, low and high. Rows come in the order in which names are met.
    by : str, optional
        A column; each of its values has a color and a marker, and where names are shared a line
        of its own within the row.
    log : bool
        Whether the axis is logarithmic. What is not above 0 has no place on it, and no dot.
    low, high : str
        The columns of the ends of the bars.
    amounts : bool
        Whether each dot has its value beside it.
    """
    require("table", table, *columns_of(by), label=label, value=value, low=low, high=high)
    instance_of("log", log, bool)
    instance_of("amounts", amounts, bool)
    table = placed("table", table, value, low, high)
    places, names = pd.factorize(table[label], use_na_sentinel=False)
    place = pd.Series(places, table.index, float)
    ax = ax or new_axes(_height(names))
    entries = []
    groups = groups_of(table, by)
    spread = SPREAD if len(names) < len(table) else 0.0
    for i, (name, color, rows) in enumerate(groups):
        how: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "color": color}
        rows = rows[rows[value] > 0] if log else rows[rows[value].notna()]
        reach = np.maximum([rows[value] - rows[low], rows[high] - rows[value]], 0)
        at = place[rows.index] + (i - (len(groups) - 1) / 2) * spread / len(groups)
        ax.errorbar(rows[value], at, xerr=reach, linestyle="none", elinewidth=1.2, **how)
        if len(rows):
            entries.append(line_entry(name, linestyle="none", **how))
        for where in zip(rows[value], at, strict=True) if amounts else ():
            ax.annotate(_amount(where[0]), where, (6, 0), textcoords="offset points", va="center")
    if log and (table[value] > 0).any():
        ax.set_xscale("log")
    if amounts and len(table):
        ax.margins(x=0.2)  # the text has room
    _name_rows(ax, names)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel(symbol(value))
    if by is not None:
        add_to_legend(ax, entries, legend_title(table, by))
    return ax


def _amount(value: float) -> str:
    """Return the number at the end of a bar."""
    if not value < 1e15:
        return f"{value:.3g}"
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _stacked(rates: pd.DataFrame, kind: list[str], x: str, ax: Axes | None) -> Axes:
    require("rates", rates, *kind, "fraction", x=x)
    rates = with_numbers("rates", rates, x, "fraction")
    require_finite("rates", rates, x)
    fractions, colors = _fractions(rates, x, kind)
    ax = ax or new_axes()
    count_runs_of(ax, rates, "n_runs", x)
    if fractions.size and len(fractions) < FEWEST_CELLS:
        _spread(ax, rates, kind, x, list(fractions))
        return ax
    _stack(ax, fractions, list(colors.values()))
    _legend_of_parts(ax, fractions, colors, inches(ax)[1])
    return ax


def _barred(rates: pd.DataFrame, kind: list[str], label: str, ax: Axes | None) -> Axes:
    require("rates", rates, *kind, "fraction", label=label)
    rates = with_numbers("rates", rates, "fraction")
    fractions, colors = _fractions(rates, label, kind)
    ax = ax or new_axes(_height(fractions))
    count_runs_of(ax, rates, "n_runs", label)
    _bars(ax, fractions, list(colors.values()))
    _legend_of_parts(ax, fractions, colors, inches(ax)[0])
    return ax


def _legend_of_parts(
    ax: Axes, fractions: pd.DataFrame, colors: Mapping[str, Any], length: float
) -> None:
    """Add to the legend what can be seen where so many inches are the whole."""
    seen = (fractions.max() * length >= SMALLEST).to_list()
    add_to_legend(ax, patches(dict(compress(colors.items(), seen))))


def _fractions(
    rates: pd.DataFrame, by: str, kind: list[str]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the fractions, and colors by words, of all fates or optima that some row has.

    The table has a row for each value of ``by`` and a column for each fate or optimum.
    """
    if by in (*kind, "fraction"):
        raise InputError(f"rates: expected another column to draw the fractions by, got {by}")
    require_fractions("rates", rates, "fraction")
    words: dict[str, Any] = {"outcome": OUTCOMES.categories, "unit": UNITS.categories}
    for name in kind:
        words_in("rates", rates, name, words.get(name, OPTIMUM_COLORS))
    if rates.duplicated([by, *kind]).any():
        what = "fate" if kind == FATE else kind[0]
        raise InputError(f"rates: expected one row for each {by} and {what}; make them by [{by!r}]")
    table = rates.pivot_table("fraction", by, kind, "sum", observed=True, sort=False).fillna(0.0)
    every: dict[Any, tuple[str, str]] = (
        {fate: (fate_label(*fate), FATE_COLORS[fate]) for fate in FATES}
        if kind == FATE
        else {name: (OPTIMUM_LABELS[name], OPTIMUM_COLORS[name]) for name in OPTIMA}
    )
    present = [name for name in every if name in table and table[name].max() > 0]
    labels, defaults = ([every[name][i] for name in present] for i in (0, 1))
    colors = chosen(present, labels, defaults)
    return table[present], dict(zip(labels, colors, strict=True))


def _spread(ax: Axes, rates: pd.DataFrame, kind: list[str], x: str, present: Sequence[Any]) -> None:
    """Draw a few fractions as points, with intervals if the table has them."""
    names = rates[kind[0]] if len(kind) == 1 else pd.MultiIndex.from_frame(rates[kind].astype(str))
    rates = rates[pd.Index(names).isin(present)]
    for end in ("low", "high"):
        if end not in rates:
            rates = rates.assign(**{end: rates["fraction"]})
    rates = placed("rates", rates, x, "fraction", "low", "high")
    log = "x" if _is_wide(rates[x].to_numpy(float)) else ""
    by = "fate" if kind == FATE else kind[0]
    draw_intervals(ax, rates, x, "fraction", by, log, "low", "high")
    ax.set(ylabel="fraction of runs", ylim=(-0.03, 1.03))


def _is_wide(values: Float64Array) -> bool:
    """Return whether values are all positive and span so much that their axis is logarithmic."""
    return bool(values.min() > 0 and values.max() > 30 * values.min())


def _stack(ax: Axes, fractions: pd.DataFrame, colors: Sequence[Any]) -> None:
    """Stack the columns of a table against its index."""
    fractions = fractions.sort_index()
    if len(fractions.columns):
        values = fractions.index.to_numpy(dtype=float)
        log = _is_wide(values)
        between = _geometric_means(values) if log else (values[:-1] + values[1:]) / 2
        edges = np.repeat([values[0], *between, values[-1]], 2)[1:-1]
        heights = np.repeat(fractions.to_numpy().T, 2, axis=1)
        ax.stackplot(edges, heights, colors=colors, linewidth=0)
        if log:
            ax.set_xscale("log")
        if values.min() < values.max():
            ax.set_xlim(values.min(), values.max())
    ax.set(xlabel=symbol(str(fractions.index.name)), ylabel="fraction of runs", ylim=(0, 1))


def _geometric_means(values: Float64Array) -> Float64Array:
    """Return those of neighbours; their roots are multiplied, as no product of them overflows."""
    roots: Float64Array = np.sqrt(values)
    return roots[:-1] * roots[1:]


def _bars(ax: Axes, fractions: pd.DataFrame, colors: Sequence[Any]) -> None:
    """Draw each row of a table as one bar of its columns, with the numbers where there is room."""
    rows, left = np.arange(len(fractions)), np.zeros(len(fractions))
    for name, color in zip(fractions, colors, strict=True):
        width = fractions[name].to_numpy()
        drawn = ax.barh(rows, width, left=left, color=color)
        text = [f"{fraction:.0%}" if fraction >= ROOM else "" for fraction in width]
        ax.bar_label(drawn, text, label_type="center", color=text_color(color))
        left += width
    _name_rows(ax, fractions.index)
    if pd.api.types.is_numeric_dtype(fractions.index.dtype):
        ax.set_ylabel(symbol(str(fractions.index.name)))
    ax.set(xlabel="fraction of runs", xlim=(0, 1))


def _name_rows(ax: Axes, names: Any) -> None:
    row_names[ax] = [name_of(name) for name in names]
    ax.set_yticks(np.arange(len(names)), [_beside_a_bar(ax, name) for name in row_names[ax]])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)


def _beside_a_bar(ax: Axes, name: str) -> str:
    """Return a name in two lines that leave room for the bars."""
    figure = root_of(ax)
    for n_letters in range(LABEL_WIDTH, 1, -1):
        label = Text(text=wrapped(name, n_letters, 2), figure=figure)
        label.set_fontsize(mpl.rcParams["ytick.labelsize"])
        if label.get_window_extent().width < MOST_WIDTH * figure.bbox.width:
            break
    return label.get_text()


def _height(table: Sized, legend: float = 0.9) -> float:
    if len(table) > MOST_BARS:
        raise InputError(f"label: expected at most {MOST_BARS:,} bars, got {len(table):,}")
    return 1 + legend + 0.35 * len(table)
