"""Maps: fates and steps over a grid of two columns, counts over two labellings."""

from collections.abc import Mapping
from typing import Any, Unpack

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize, to_rgb
from matplotlib.patches import Patch

from relulab.figures.checks import LARGEST, placed, require, require_finite, with_numbers
from relulab.figures.legends import add_to_legend, patches
from relulab.figures.look import CURRENT, LookKeywords, chosen, color_map
from relulab.figures.palette import (
    FATE_COLORS,
    FATES,
    fate_label,
    literal,
    name_of,
    symbol,
    text_color,
    wrapped,
)
from relulab.figures.style import (
    SMALLEST,
    STYLE,
    WIDTH,
    count_runs,
    drawn_in_style,
    inches,
    new_axes,
    root_of,
)
from relulab.model.outcome import CODED_FATES, OUTCOMES, UNITS, fate_codes
from relulab.validation import (
    Float64Array,
    InputError,
    finite_array,
    instance_of,
    shown,
    whole_numbers_in,
    within_memory,
    words_in,
)

LABEL_WIDTH = 12  # characters in a line
LIGHTEST = 0.15  # how dark the fastest runs are
NOTHING, STROKES = "#e4e4e4", "#8c8c8c"  # where a map has no value

# Light enough for black digits, however many runs.
LIGHT_PURPLES = ListedColormap(mpl.colormaps["Purples"](np.linspace(0.15, 0.62, 256)))

SPOT = (2 * SMALLEST) ** 2  # square inches of the least that is found by eye

EQUAL = 1e-6  # how much steps may differ, by rounding, on axes that are geometric
SMALLEST_EDGE = 1e-150


@drawn_in_style
def outcome_map(
    runs: pd.DataFrame, x: str, y: str, ax: Axes | None = None, **look: Unpack[LookKeywords]
) -> Axes:
    """Draw the fate of one run at each point of a grid over two columns.

    Here as in all maps, an axis whose values are geometric, as those of ``numpy.geomspace``, is
    logarithmic, and what is hatched is empty: no run, or none that has the number.
    """
    require("runs", runs, "outcome", "unit", x=x, y=y)
    runs = with_numbers("runs", runs, x, y)
    require_finite("runs", runs, x, y, missing=False)
    words_in("runs", runs, "outcome", OUTCOMES.categories)
    words_in("runs", runs, "unit", UNITS.categories)
    code = fate_codes(runs)
    mesh = _mesh(runs, x, y, code)
    colors = _fate_colors(code)
    ax = ax or new_axes()
    norm = Normalize(-0.5, len(CODED_FATES) - 0.5)
    _draw(ax, mesh, x, y, cmap=ListedColormap([colors[f] for f in CODED_FATES]), norm=norm)
    count_runs(ax, len(runs))
    _legend_of_fates(ax, mesh[2], code, colors)
    return ax


@drawn_in_style
def speed_map(
    runs: pd.DataFrame, x: str, y: str, ax: Axes | None = None, **look: Unpack[LookKeywords]
) -> Axes:
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
    colors = _fate_colors(code)
    full = np.array([to_rgb(colors[fate]) for fate in CODED_FATES])[code]
    darkness = (LIGHTEST + (1 - LIGHTEST) * rank)[:, np.newaxis]
    columns, rows, cells = _mesh(runs, x, y, 1 - darkness * (1 - full))
    missing = np.isnan(cells[..., 0])
    if missing.any():  # transparent
        cells = np.concatenate([np.nan_to_num(cells), ~missing[..., np.newaxis]], axis=2)
    ax = ax or new_axes()
    _draw(ax, (columns, rows, cells), x, y)
    count_runs(ax, len(runs))
    _legend_of_fates(ax, np.where(missing, np.nan, 0), code, colors)
    return ax


@drawn_in_style
def value_map(
    table: pd.DataFrame,
    x: str,
    y: str,
    value: str,
    ax: Axes | None = None,
    *,
    log: bool = False,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw a number at each point of a grid over two columns, with a color bar.

    Hatched is where there is none, or on the logarithmic scale of ``log`` where it is not above 0.
    """
    require("table", table, x=x, y=y, value=value)
    instance_of("log", log, bool)
    table = with_numbers("table", table, x, y)
    require_finite("table", table, x, y, missing=False)
    numbers = placed("table", table, value)[value].to_numpy(float)
    if log:
        numbers = np.where(numbers > 0, numbers, np.nan)
    mesh = _mesh(table, x, y, numbers, "table")
    shades = color_map("viridis")
    ax = ax or new_axes()
    norm = Normalize()
    if np.isfinite(numbers).any():
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        norm = LogNorm(low, max(high, low * (1 + 1e-9))) if log else Normalize(low, high)
    _draw_numbers(ax, mesh, x, y, symbol(value), norm, shades)
    _hatch_gaps(ax, mesh[2], f"no {literal(name_of(value))}")
    return ax


@drawn_in_style
def steps_map(
    runs: pd.DataFrame,
    x: str,
    y: str,
    ax: Axes | None = None,
    *,
    limits: tuple[float, float] | None = None,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw the steps to converge at each point of a grid; the dead and what did not are hatched.

    A dead unit's network learns c alone, in steps that say nothing about the unit. ``limits`` are
    the ends of the colors, by default the fewest and the most steps of these runs.
    """
    require("runs", runs, "outcome", "unit", "steps_taken", x=x, y=y)
    ends = None if limits is None else _ends_of_steps(limits)
    runs = with_numbers("runs", runs, x, y, "steps_taken")
    require_finite("runs", runs, x, y, missing=False)
    learned = (runs["outcome"] == "converged") & (runs["unit"] == "alive")
    steps = runs["steps_taken"].clip(lower=1).where(learned & (runs["steps_taken"] < LARGEST))
    mesh = _mesh(runs, x, y, steps.astype(float))
    shades = color_map("viridis")
    ax = ax or new_axes()
    norm = Normalize()
    if ends is not None or steps.notna().any():
        fewest, most = ends or (steps.min(), steps.max())
        norm = LogNorm(fewest, max(most, fewest + 1))
    _draw_numbers(ax, mesh, x, y, "steps to converge", norm, shades)
    count_runs(ax, len(runs))
    _hatch_gaps(ax, mesh[2], "dead, or did not converge")
    return ax


def _ends_of_steps(limits: object) -> tuple[float, float]:
    """Return the ends of a logarithmic scale of steps."""
    ends = finite_array("limits", limits)
    if ends.shape != (2,) or ends[0] <= 0 or abs(ends).max() > LARGEST:
        raise InputError(f"limits: expected two numbers above 0, got {shown(limits)}")
    return float(ends[0]), float(ends[1])


@drawn_in_style
def transitions(counts: pd.DataFrame, ax: Axes | None = None, **look: Unpack[LookKeywords]) -> Axes:
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
    shades = color_map(LIGHT_PURPLES)
    ax = ax or new_axes(min(2.2 + 0.45 * len(names), WIDTH))
    _count_cells(ax, cells.to_numpy(), shades)
    count_runs(ax, float(counts["count"].sum()))
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


def _count_cells(ax: Axes, counts: Any, shades: Colormap | str) -> None:
    same = np.eye(len(counts), dtype=bool)
    changed = np.ma.masked_where(same | (counts == 0), counts)
    # The lightest is not white, which is that of no run, and few runs alone are not dark.
    norm = LogNorm(0.3, max(changed.max() if changed.count() else 1, 100))
    places = np.arange(len(counts))
    if len(counts):
        mesh = ax.pcolormesh(places, places, changed, norm=norm, cmap=shades)
        ax.pcolormesh(
            places, places, np.ma.masked_where(~same, same), cmap=ListedColormap([NOTHING])
        )
        ax.set(xlim=(-0.5, len(counts) - 0.5), ylim=(len(counts) - 0.5, -0.5))
    longest = max((len(f"{count:,}") for count in counts.flat), default=1)
    # A digit is some 0.64 of its height wide; the names of the rows take 1.4 inches.
    letters = mpl.rcParams["font.size"]
    width = root_of(ax).get_size_inches()[0] - 1.4 * letters / STYLE["font.size"]
    room = 72 * max(width, 0.1) / max(len(places), 1) / (0.64 * longest + 0.5)
    size = min(room, letters)
    for row, column in np.argwhere(same | (counts > 0)):
        count = counts[row, column]
        color = NOTHING if row == column else mesh.cmap(norm(count))
        ax.text(
            column, row, f"{count:,}", ha="center", va="center", color=text_color(color),
            fontsize=size,
        )  # fmt: skip


def _fate_colors(code: npt.NDArray[Any]) -> dict[tuple[str, str], Any]:
    """Return the colors of all fates, of which some may be chosen among those that occur."""
    occur = {CODED_FATES[i] for i in np.unique(code)}
    present = [fate for fate in FATES if fate in occur]
    colors = chosen(present, [fate_label(*f) for f in present], [FATE_COLORS[f] for f in present])
    return FATE_COLORS | dict(zip(present, colors, strict=True))


def _legend_of_fates(
    ax: Axes, cells: Any, code: npt.NDArray[Any], colors: Mapping[Any, Any]
) -> None:
    """Tell the fates that can be seen in a map of so many cells, and what is hatched."""
    area = np.prod(inches(ax)) / max(cells.size, 1)
    number, count = np.unique(code, return_counts=True)
    seen = [CODED_FATES[i] for i, n in zip(number, count, strict=True) if n * area >= SPOT]
    add_to_legend(ax, patches({fate_label(*fate): colors[fate] for fate in seen}))
    _hatch_gaps(ax, cells, "no run")


def _draw(ax: Axes, mesh: tuple[Any, Any, Any], x: str, y: str, **how: Any) -> Any:
    """Draw the cells, if there are any that are not empty, on axes as their values ask for."""
    columns, rows, cells = mesh
    drawn = None
    if np.isfinite(cells).any():
        edges = _edges(columns), _edges(rows)
        drawn = ax.pcolormesh(*edges, cells, rasterized=True, **how)
        scales = {"xscale": columns, "yscale": rows}
        ax.set(**{name: "log" for name, values in scales.items() if is_geometric(values)})
    ax.set(xlabel=symbol(x), ylabel=symbol(y))
    return drawn


def _draw_numbers(
    ax: Axes,
    mesh: tuple[Any, Any, Any],
    x: str,
    y: str,
    label: str,
    norm: Normalize,
    shades: Colormap | str,
) -> None:
    """Draw cells of numbers, with a color bar."""
    drawn = _draw(ax, mesh, x, y, norm=norm, cmap=shades)
    if drawn is not None and CURRENT.get().legend:
        ax.figure.colorbar(drawn, ax=ax, label=label)


def _hatch_gaps(ax: Axes, cells: Any, label: str) -> None:
    """Hatch what is behind the cells, and say what that is if there are gaps."""
    how: dict[str, Any] = {"facecolor": NOTHING, "edgecolor": STROKES, "hatch": "///"}
    if np.isnan(cells).any():
        ax.patch.set(**how, linewidth=0)
        add_to_legend(ax, [Patch(label=label, linewidth=0, **how)], late=True)


def is_geometric(values: Float64Array) -> bool:
    """Return whether values have one ratio, and not one difference, as a range of them has."""
    if values.size < 3 or values[0] < SMALLEST_EDGE:
        return False
    steps, differences = np.diff(np.log(values)), np.diff(values)
    return bool(
        np.ptp(steps) < EQUAL * steps.max() and np.ptp(differences) > differences.max() / 10
    )


def _edges(values: Float64Array) -> Float64Array:
    """Return the edges of cells around ascending values, half-way to their neighbours."""
    if values.size < 2:
        return np.concatenate([values - 0.5, values + 0.5])
    if is_geometric(values):
        return np.exp(_edges(np.log(values)))
    between = values[:-1] / 2 + values[1:] / 2
    ends = 2 * values[[0, -1]] - between[[0, -1]]
    return np.concatenate([ends[:1], between, ends[1:]])


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
