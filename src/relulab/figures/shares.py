"""Shares of runs: what became of them, stacked against a number or as one bar for each name."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from relulab.figures.legends import add_to_legend, patches
from relulab.figures.style import drawn_in_style, new_axes, require, require_numbers
from relulab.figures.words import (
    FATE_COLORS,
    FATES,
    OPTIMUM_COLORS,
    OPTIMUM_LABELS,
    fate_label,
    name_of,
    symbol,
    text_color,
)
from relulab.validation import InputError

FATE = ["outcome", "unit"]

# A share of so much of the width has room for its text.
ROOM = 0.09

LABEL_WIDTH = 28  # characters in a line


@drawn_in_style
def outcome_shares(rates: pd.DataFrame, x: str = "learning_rate", ax: Axes | None = None) -> Axes:
    """Draw the share of every fate against a column, stacked, the dead at the bottom.

    Parameters
    ----------
    rates : DataFrame
        ``statistics.outcome_rates(runs, by=[x])``.
    x : str
        A numeric column; drawn on a logarithmic axis if all values are positive and span more
        than a factor of 30.
    """
    require("rates", rates, x, *FATE, "share")
    require_numbers("rates", rates, x)
    shares = _shares(rates, x, FATE)
    present = _present(shares, FATES)
    ax = ax or new_axes()
    _stack(ax, shares[present], [FATE_COLORS[fate] for fate in present])
    _fate_legend(ax, present)
    return ax


@drawn_in_style
def optimum_shares(rates: pd.DataFrame, x: str, ax: Axes | None = None) -> Axes:
    """Draw the share of everything that was found against a numeric column, stacked.

    ``rates`` is ``statistics.optimum_rates(runs, by=[x])``; the share of the global optimum is at
    the bottom.
    """
    require("rates", rates, x, "optimum", "share")
    require_numbers("rates", rates, x)
    shares = _shares(rates, x, ["optimum"])
    present = _present(shares, OPTIMUM_COLORS)
    ax = ax or new_axes()
    _stack(ax, shares[present], [OPTIMUM_COLORS[name] for name in present])
    _optimum_legend(ax, present)
    return ax


@drawn_in_style
def fate_bars(rates: pd.DataFrame, label: str, ax: Axes | None = None) -> Axes:
    """Draw the share of every fate as one bar for each value of a column, the dead at the left.

    ``rates`` is ``statistics.outcome_rates(runs, by=[label])``.
    """
    require("rates", rates, label, *FATE, "share")
    shares = _shares(rates, label, FATE)
    present = _present(shares, FATES)
    ax = ax or new_axes(_height(shares))
    _bars(ax, shares[present], [FATE_COLORS[fate] for fate in present])
    _fate_legend(ax, present)
    return ax


@drawn_in_style
def optimum_bars(rates: pd.DataFrame, label: str, ax: Axes | None = None) -> Axes:
    """Draw the share of everything that was found as one bar for each value of a column.

    ``rates`` is ``statistics.optimum_rates(runs, by=[label])``.
    """
    require("rates", rates, label, "optimum", "share")
    shares = _shares(rates, label, ["optimum"])
    present = _present(shares, OPTIMUM_COLORS)
    ax = ax or new_axes(_height(shares))
    _bars(ax, shares[present], [OPTIMUM_COLORS[name] for name in present])
    _optimum_legend(ax, present)
    return ax


@drawn_in_style
def bars(table: pd.DataFrame, label: str, value: str, ax: Axes | None = None) -> Axes:
    """Draw one horizontal bar for each row on a logarithmic axis, with its value at its end."""
    require("table", table, label, value)
    ax = ax or new_axes(_height(table, legend=0))
    drawn = ax.barh(np.arange(len(table)), table[value], color=FATE_COLORS["converged", "died"])
    ax.bar_label(drawn, [f"{v:,.3g}" for v in table[value]], padding=4)
    _name_rows(ax, table[label])
    ax.set_xlabel(symbol(value))
    if (table[value] > 0).any():
        ax.set_xscale("log")
        ax.set_xlim(right=6 * table[value].max())  # the text has room
    return ax


def _shares(rates: pd.DataFrame, by: str, labels: list[str]) -> pd.DataFrame:
    """Return a table with a row for each value of ``by`` and a column for each label."""
    if rates.duplicated([by, *labels]).any():
        words = "fate" if labels == FATE else labels[0]
        raise InputError(
            f"rates: expected one row for each {by} and {words}; make them by [{by!r}]"
        )
    shares: pd.DataFrame = rates.pivot_table("share", by, labels, "sum", observed=True, sort=False)
    return shares.fillna(0.0)


def _present(shares: pd.DataFrame, labels: Any) -> list[Any]:
    """Return those of the labels that some row has a share of."""
    return [name for name in labels if name in shares and shares[name].max() > 0]


def _stack(ax: Axes, shares: pd.DataFrame, colors: Sequence[str]) -> None:
    """Stack the columns of a table against its index."""
    shares = shares.sort_index()
    if len(shares.columns):
        values = shares.index.to_numpy(dtype=float)
        ax.stackplot(values, [shares[name] for name in shares], colors=colors, linewidth=0)
        if values.min() > 0 and values.max() > 30 * values.min():
            ax.set_xscale("log")
        if values.min() < values.max():
            ax.set_xlim(values.min(), values.max())
    ax.set(xlabel=symbol(str(shares.index.name)), ylabel="share of runs", ylim=(0, 1))


def _bars(ax: Axes, shares: pd.DataFrame, colors: Sequence[str]) -> None:
    """Draw each row of a table as one bar of its columns, with the numbers where there is room."""
    rows, left = np.arange(len(shares)), np.zeros(len(shares))
    for name, color in zip(shares, colors, strict=True):
        width = shares[name].to_numpy()
        drawn = ax.barh(rows, width, left=left, color=color)
        text = [f"{share:.0%}" if share >= ROOM else "" for share in width]
        ax.bar_label(drawn, text, label_type="center", color=text_color(color))
        left += width
    _name_rows(ax, shares.index)
    if pd.api.types.is_numeric_dtype(shares.index.dtype):
        ax.set_ylabel(symbol(str(shares.index.name)))
    ax.set(xlabel="share of runs", xlim=(0, 1))


def _name_rows(ax: Axes, names: Any) -> None:
    ax.set_yticks(np.arange(len(names)), [fill(name_of(name), LABEL_WIDTH) for name in names])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)


def _height(table: pd.DataFrame, legend: float = 0.9) -> float:
    return 1 + legend + 0.35 * len(table)


def _fate_legend(ax: Axes, fates: Sequence[tuple[str, str]]) -> None:
    add_to_legend(ax, patches({fate_label(*fate): FATE_COLORS[fate] for fate in fates}))


def _optimum_legend(ax: Axes, names: Sequence[str]) -> None:
    add_to_legend(ax, patches({OPTIMUM_LABELS[name]: OPTIMUM_COLORS[name] for name in names}))
