"""Maps: fates and steps over a grid of two columns, counts over two labellings."""

from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize, to_rgb

from relulab.figures.legends import add_to_legend, patches
from relulab.figures.palette import FATE_COLORS, fate_label, name_of, symbol, text_color, wrapped
from relulab.figures.style import (
    LARGEST,
    WIDTH,
    drawn_in_style,
    new_axes,
    placed,
    require,
    require_finite,
    with_numbers,
)
from relulab.model.outcome import CODED_FATES, OUTCOMES, UNITS, fate_codes
from relulab.validation import (
    InputError,
    instance_of,
    shown,
    whole_numbers_in,
    within_memory,
    words_in,
)

LABEL_WIDTH = 12  # characters in a line
LIGHTEST = 0.15  # how dark the fastest runs are
NOTHING = "#d6d6d6"  # where a map has nothing to tell


@drawn_in_style
def outcome_map(runs: pd.DataFrame, x: str, y: str, ax: Axes | None = None) -> Axes:
    """Draw the fate of one run at each point of a grid over two columns."""
    require("runs", runs, "outcome", "unit", x=x, y=y)
    runs = with_numbers("runs", runs, x, y)
    require_finite("runs", runs, x, y, missing=False)
    words_in("runs", runs, "outcome", OUTCOMES.categories)
    words_in("runs", runs, "unit", UNITS.categories)
    code = fate_codes(runs)
    mesh = _mesh(runs, x, y, code)
    colors = ListedColormap([FATE_COLORS[fate] for fate in CODED_FATES])
    ax = ax or new_axes()
    if len(runs):
        norm = Normalize(-0.5, len(CODED_FATES) - 0.5)
        ax.pcolormesh(*mesh, cmap=colors, norm=norm, rasterized=True)
    ax.set(xlabel=symbol(x), ylabel=symbol(y))
    present = [CODED_FATES[i] for i in np.unique(code)]
    add_to_legend(ax, patches({fate_label(*fate): FATE_COLORS[fate] for fate in present}))
    return ax


@drawn_in_style
def speed_map(runs: pd.DataFrame, x: str, y: str, ax: Axes | None = None) -> Axes:
    """Draw the fate of one run at each point of a grid, the darker the longer it took.

    The color is that of the fate. The lightness is the rank of steps_taken among the runs of that
    fate: the fastest are nearly white, half of them are lighter than the middle.
    """
    require("runs", runs, "outcome", "unit", "steps_taken", x=x, y=y)
    runs = with_numbers("runs", runs, x, y, "steps_taken")
    require_finite("runs", runs, x, y, missing=False)
    words_in("runs", runs, "outcome", OUTCOMES.categories)
    words_in("runs", runs, "unit", UNITS.categories)
    code = fate_codes(runs)
    rank = runs["steps_taken"].groupby(code).rank(pct=True).fillna(0).to_numpy(float)
    full = np.array([to_rgb(FATE_COLORS[fate]) for fate in CODED_FATES])[code]
    darkness = (LIGHTEST + (1 - LIGHTEST) * rank)[:, np.newaxis]
    columns, rows, cells = _mesh(runs, x, y, 1 - darkness * (1 - full))
    ax = ax or new_axes()
    if len(runs):
        shown_cells = np.nan_to_num(cells, nan=to_rgb(NOTHING)[0])
        ax.pcolormesh(columns, rows, shown_cells, rasterized=True)
    ax.set(xlabel=symbol(x), ylabel=symbol(y))
    present = [CODED_FATES[i] for i in np.unique(code)]
    add_to_legend(ax, patches({fate_label(*fate): FATE_COLORS[fate] for fate in present}))
    return ax


@drawn_in_style
def value_map(
    table: pd.DataFrame, x: str, y: str, value: str, ax: Axes | None = None, *, log: bool = False
) -> Axes:
    """Draw a number at each point of a grid over two columns, with a color bar.

    Gray is where there is none; on the logarithmic scale of ``log`` also where it is not above 0.
    """
    require("table", table, x=x, y=y, value=value)
    instance_of("log", log, bool)
    table = with_numbers("table", table, x, y)
    require_finite("table", table, x, y, missing=False)
    numbers = placed("table", table, value)[value].to_numpy(float)
    if log:
        numbers = np.where(numbers > 0, numbers, np.nan)
    mesh = _mesh(table, x, y, numbers, "table")
    ax = ax or new_axes()
    ax.set_facecolor(NOTHING)
    if np.isfinite(numbers).any():
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        norm = LogNorm(low, max(high, low * (1 + 1e-9))) if log else Normalize(low, high)
        drawn = ax.pcolormesh(*mesh, norm=norm, cmap="viridis", rasterized=True)
        ax.figure.colorbar(drawn, ax=ax, label=symbol(value))
    ax.set(xlabel=symbol(x), ylabel=symbol(y))
    return ax


@drawn_in_style
def steps_map(
    runs: pd.DataFrame,
    x: str,
    y: str,
    ax: Axes | None = None,
    *,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draw the steps to converge at each point of a grid; the dead and what did not are gray.

    A dead unit's network learns c alone, in steps that tell nothing of the unit. ``limits`` are the
    ends of the colors; without them they are the fewest and the most steps of these runs.
    """
    require("runs", runs, "outcome", "unit", "steps_taken", x=x, y=y)
    runs = with_numbers("runs", runs, x, y, "steps_taken")
    require_finite("runs", runs, x, y, missing=False)
    learned = (runs["outcome"] == "converged") & (runs["unit"] == "alive")
    steps = runs["steps_taken"].clip(lower=1).where(learned & (runs["steps_taken"] < LARGEST))
    cells = _mesh(runs, x, y, steps.astype(float))
    ax = ax or new_axes()
    ax.set_facecolor(NOTHING)
    known = steps.dropna()
    if len(known):
        fewest, most = limits or (known.min(), known.max())
        norm = LogNorm(fewest, max(most, fewest + 1))
        mesh = ax.pcolormesh(*cells, norm=norm, cmap="viridis", rasterized=True)
        ax.figure.colorbar(mesh, ax=ax, label="steps to converge (gray: dead or did not)")
    ax.set(xlabel=symbol(x), ylabel=symbol(y))
    return ax


@drawn_in_style
def transitions(counts: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw how many runs two labellings call what, a row for each label before.

    What both call the same is gray; the more runs change from one label to another, the darker,
    on a logarithmic scale.

    Parameters
    ----------
    counts : DataFrame
        Columns before, after and count. Labels come in the order of their categories, or else in
        which they are met.
    """
    require("counts", counts, "before", "after", "count")
    whole_numbers_in("counts", counts, "count")
    if counts.duplicated(["before", "after"]).any():
        raise InputError("counts: expected one row for each before and after, got several")
    names = _labels(counts)
    table = counts.astype({"before": object, "after": object})
    cells = table.pivot(index="before", columns="after", values="count")
    cells = cells.reindex(index=names, columns=names).fillna(0).astype("int64")
    ax = ax or new_axes(min(2.2 + 0.45 * len(names), WIDTH))
    _count_cells(ax, cells.to_numpy())
    words = [wrapped(name_of(name).replace("_", " "), LABEL_WIDTH, 3) for name in names]
    ax.set_xticks(range(len(words)), words, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(words)), words)
    ax.tick_params(length=0)
    ax.set_xlabel("after")
    ax.set_ylabel("before", labelpad=10)
    return ax


def _labels(counts: pd.DataFrame) -> list[Any]:
    """Return the labels that occur, in their order."""
    met = [name for side in ("before", "after") for name in counts[side].dropna()]
    ordered = counts["before"].dtype
    if isinstance(ordered, pd.CategoricalDtype):
        met = [*(name for name in ordered.categories if name in set(met)), *met]
    return list(dict.fromkeys(met))


def _count_cells(ax: Axes, counts: Any) -> None:
    same = np.eye(len(counts), dtype=bool)
    changed = np.ma.masked_where(same | (counts == 0), counts)
    # The lightest is not white, which is that of no run, and few runs alone are not dark.
    norm = LogNorm(0.3, max(changed.max() if changed.count() else 1, 100))
    places = np.arange(len(counts))
    if len(counts):
        mesh = ax.pcolormesh(places, places, changed, norm=norm, cmap="Purples")
        ax.pcolormesh(
            places, places, np.ma.masked_where(~same, same), cmap=ListedColormap([NOTHING])
        )
        ax.set(xlim=(-0.5, len(counts) - 0.5), ylim=(len(counts) - 0.5, -0.5))
    longest = max((len(f"{count:,}") for count in counts.flat), default=1)
    # A digit is some 0.64 of its height wide; the names of the rows take 1.4 inches.
    room = 72 * (WIDTH - 1.4) / max(len(places), 1) / (0.64 * longest + 0.5)
    size = min(room, mpl.rcParams["font.size"])
    for row, column in np.argwhere(same | (counts > 0)):
        count = counts[row, column]
        color = NOTHING if row == column else mesh.cmap(norm(count))
        ax.text(
            column, row, f"{count:,}", ha="center", va="center", color=text_color(color),
            fontsize=size,
        )  # fmt: skip


def _mesh(
    runs: pd.DataFrame, x: str, y: str, values: npt.ArrayLike, argument: str = "runs"
) -> tuple[Any, Any, Any]:
    """Return the values of both axes, and the cells, a row for each y; one run for each cell.

    Cells without a run are NaN.
    """
    if x == y:
        raise InputError(f"y: expected another column than x, got {shown(y)} for both")
    columns, column = np.unique(runs[x].to_numpy(float), return_inverse=True)
    rows, row = np.unique(runs[y].to_numpy(float), return_inverse=True)
    place = row * columns.size + column
    n_cells = rows.size * columns.size
    # A table of few runs may span a grid of very many cells.
    within_memory(argument, n_cells)
    if np.unique(place).size < place.size:
        raise InputError(f"{argument}: expected one run for each {x} and {y}, got several")
    values = np.asarray(values, float)
    cells = np.full((n_cells, *values.shape[1:]), np.nan)
    cells[place] = values
    return columns, rows, cells.reshape(rows.size, columns.size, *values.shape[1:])
