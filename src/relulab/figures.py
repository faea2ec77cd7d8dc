"""Figures as functions of tables: each takes a table and an optional ``ax`` and returns the Axes.

A fate is an outcome and a unit together; each fate has one color in every figure. Hue tells the
outcome (blue converged, orange diverged, green oscillating, gray unfinished), lightness the unit
(dark alive, middle died, pale born dead), so that they differ also without color vision.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.patches import Patch

from relulab.outcome import OUTCOMES, UNITS
from relulab.validation import InputError

STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.dpi": 150,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "font.size": 10,
    "legend.frameon": False,
}

FATE_COLORS = {
    ("converged", "alive"): "#08519c",
    ("converged", "died"): "#5b95d0",
    ("converged", "born_dead"): "#bdd7ee",
    ("diverged", "alive"): "#a63603",
    ("diverged", "died"): "#ef7f2c",
    ("diverged", "born_dead"): "#fdc998",
    ("oscillating", "alive"): "#00523c",
    ("oscillating", "died"): "#31a774",
    ("oscillating", "born_dead"): "#b2f1c6",
    ("unfinished", "alive"): "#2b2b2b",
    ("unfinished", "died"): "#8c8c8c",
    ("unfinished", "born_dead"): "#d6d6d6",
}
# From the bottom of a stack: the dead first, so that their upper edge is the share of all dead.
FATES = [(o, u) for u in ("born_dead", "died", "alive") for o in OUTCOMES.categories]

SYMBOLS = {
    "learning_rate": "learning rate η",
    "hidden_learning_rate": "hidden learning rate",
    "output_learning_rate": "output learning rate",
    "w0": "initial hidden weight $w_0$",
    "b0": "initial hidden bias $b_0$",
    "v0": "initial output weight $v_0$",
    "c0": "initial output bias $c_0$",
    "step": "step",
    "loss": "loss",
    "prediction": "prediction",
    **{name: f"${name}$" for name in "wbvc"},
}


def fate_label(outcome: str, unit: str) -> str:
    """Return a fate in words."""
    return f"{outcome}, {unit.replace('_', ' ')}"


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
    keys = [x, "outcome", "unit"]
    if missing := [name for name in (*keys, "share") if name not in rates]:
        raise InputError(f"rates: expected the columns {', '.join(keys)}, share; no {missing[0]}")
    if not pd.api.types.is_numeric_dtype(rates[x]):
        raise InputError(f"rates: expected numbers in the column {x}, got {rates[x].dtype}")
    if rates.duplicated(keys).any():
        raise InputError(f"rates: expected one row for each {x} and fate; make them by [{x!r}]")
    ax = ax or _new_axes((7.5, 4.5))
    shares = rates.pivot_table("share", x, ["outcome", "unit"], "sum", observed=True)
    present = [fate for fate in FATES if fate in shares and shares[fate].max() > 0]
    if present:
        ax.stackplot(
            shares.index,
            [shares[fate] for fate in present],
            colors=[FATE_COLORS[fate] for fate in present],
            linewidth=0,
        )
        _scale_axis(ax, "x", shares.index.to_numpy(dtype=float))
    ax.set(xlabel=SYMBOLS.get(x, x), ylabel="share of runs", ylim=(0, 1))
    _fate_legend(ax, present[::-1])
    return ax


def outcome_map(runs: pd.DataFrame, x: str, y: str, ax: Axes | None = None) -> Axes:
    """Draw the fate of one run at each point of a grid over two columns."""
    ax = ax or _new_axes((7, 5))
    outcome = pd.Categorical(runs["outcome"], dtype=OUTCOMES).codes
    unit = pd.Categorical(runs["unit"], dtype=UNITS).codes
    code = outcome.astype(int) * len(UNITS.categories) + unit
    cells = _grid(runs.assign(fate=code), x, y, "fate")
    fates = [(o, u) for o in OUTCOMES.categories for u in UNITS.categories]
    colors = ListedColormap([FATE_COLORS[fate] for fate in fates])
    if len(runs):
        norm = Normalize(-0.5, len(fates) - 0.5)
        ax.pcolormesh(*_mesh(cells), cmap=colors, norm=norm, rasterized=True)
    ax.set(xlabel=SYMBOLS.get(x, x), ylabel=SYMBOLS.get(y, y))
    _fate_legend(ax, [fate for i, fate in enumerate(fates) if i in set(code)])
    return ax


def steps_map(runs: pd.DataFrame, x: str, y: str, ax: Axes | None = None) -> Axes:
    """Draw the steps to converge at each point of a grid; runs that did not converge are gray."""
    ax = ax or _new_axes((7, 5))
    steps = runs["steps_taken"].clip(lower=1).where(runs["outcome"] == "converged")
    cells = _grid(runs.assign(steps=steps.astype(float)), x, y, "steps")
    ax.set_facecolor("#d6d6d6")
    known = steps.dropna()
    if len(known):
        norm = LogNorm(known.min(), max(known.max(), known.min() + 1))
        mesh = ax.pcolormesh(*_mesh(cells), norm=norm, cmap="viridis", rasterized=True)
        ax.figure.colorbar(mesh, ax=ax, label="steps to converge (gray: did not)")
    ax.set(xlabel=SYMBOLS.get(x, x), ylabel=SYMBOLS.get(y, y))
    return ax


def loss_curves(
    trace: pd.DataFrame, labels: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the loss of every run of a trace against the step, on a logarithmic axis.

    ``labels`` names the runs, in the order of their numbers, at the right end of their curves.
    """
    ax = ax or _new_axes((7, 4.5))
    groups = _labelled_runs(trace, labels)
    for color, (label, history) in zip(_sequence_colors(len(groups)), groups, strict=True):
        positive = history["loss"].where(history["loss"] > 0)
        ax.plot(history["step"], positive, color=color, label=label, linewidth=1.6)
    if len(groups):
        ax.set_yscale("log")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set(xlabel="step", ylabel="loss")
    return ax


def parameter_curves(trace: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw w, b, v, c and, where known, the prediction of a trace's only run against the step."""
    if trace["run"].nunique() > 1:
        raise InputError(f"trace: expected a single run, got {trace['run'].nunique()}")
    ax = ax or _new_axes((7, 4.5))
    names = [n for n in (*"wbvc", "prediction") if n in trace]
    colors = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#000000")
    for name, color in zip(names, colors, strict=False):
        style = "--" if name == "prediction" else "-"
        ax.plot(trace["step"], trace[name], style, color=color, marker="o", markersize=3)
        if len(trace):
            end = trace.iloc[-1]
            label = SYMBOLS[name]
            ax.annotate(
                label, (end["step"], end[name]), (6, 0), textcoords="offset points", va="center"
            )
    ax.set(xlabel="step", ylabel="value before the step's update")
    return ax


def trajectories(
    trace: pd.DataFrame,
    x: str,
    y: str,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the path of every run of a trace in the plane of two columns, from circle to square."""
    ax = ax or _new_axes((6, 5))
    groups = _labelled_runs(trace, labels)
    for color, (label, path) in zip(_sequence_colors(len(groups)), groups, strict=True):
        finite = path.dropna(subset=[x, y])
        ax.plot(finite[x], finite[y], "-", color=color, linewidth=1, label=label)
        ax.plot(finite[x].iloc[:1], finite[y].iloc[:1], "o", color=color, fillstyle="none")
        ax.plot(finite[x].iloc[-1:], finite[y].iloc[-1:], "s", color=color, markersize=5)
    if len(groups):
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set(xlabel=SYMBOLS.get(x, x), ylabel=SYMBOLS.get(y, y))
    return ax


def bars(table: pd.DataFrame, label: str, value: str, ax: Axes | None = None) -> Axes:
    """Draw one horizontal bar for each row on a logarithmic axis, with its value at its end."""
    ax = ax or _new_axes((7.5, 0.6 + 0.42 * len(table)))
    drawn = ax.barh(table[label], table[value], color="#5b95d0")
    ax.bar_label(drawn, [f"{v:,.3g}" for v in table[value]], padding=4)
    ax.invert_yaxis()
    if len(table):
        ax.set_xscale("log")
        ax.set_xlim(right=3 * table[value].max())
    return ax


def lines(table: pd.DataFrame, x: str, y: str, by: str, ax: Axes | None = None) -> Axes:
    """Draw y against x on logarithmic axes, one line for each value of a column."""
    ax = ax or _new_axes((7, 4.5))
    groups = list(table.groupby(by, sort=False))
    for color, (name, rows) in zip(_sequence_colors(len(groups)), groups, strict=True):
        ax.plot(rows[x], rows[y], "o-", color=color, label=str(name), markersize=4)
    if groups:
        ax.set(xscale="log", yscale="log")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set(xlabel=SYMBOLS.get(x, x), ylabel=SYMBOLS.get(y, y))
    return ax


def mark_level(ax: Axes, y: float, text: str) -> None:
    """Lay a theoretical value over an axis as a dashed horizontal line with its name."""
    ax.axhline(y, color="black", linestyle="--", linewidth=1)
    _mark_text(ax, text, (0.01, y), ax.get_yaxis_transform(), ha="left")


def mark_position(ax: Axes, x: float, text: str) -> None:
    """Lay a theoretical threshold over an axis as a dashed vertical line with its name."""
    ax.axvline(x, color="black", linestyle="--", linewidth=1)
    _mark_text(ax, text, (x, 0.98), ax.get_xaxis_transform(), ha="right", va="top", rotation=90)


def style() -> AbstractContextManager[None]:
    """Return a context in which everything is drawn in relulab's style."""
    return plt.rc_context(STYLE)


def save(ax: Axes, file: Path) -> None:
    """Store the figure that an Axes is part of, and free it."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    with style():
        figure.savefig(file, metadata={"Software": None})
    plt.close(figure)


def _mark_text(ax: Axes, text: str, where: tuple[float, float], transform: Any, **kw: Any) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    style = {"va": "bottom", "fontsize": 8.5, "bbox": box, **kw}
    ax.annotate(
        text, where, (3, 3) if "rotation" not in kw else (-3, 0), xycoords=transform,
        textcoords="offset points", **style,
    )  # fmt: skip


def _new_axes(size: tuple[float, float]) -> Axes:
    with style():
        _, ax = plt.subplots(figsize=size)
    return ax


def _scale_axis(ax: Axes, which: str, values: Any) -> None:
    if values.min() > 0 and values.max() > 30 * values.min():
        ax.set(**{f"{which}scale": "log"})
    if values.min() < values.max():
        ax.set(**{f"{which}lim": (values.min(), values.max())})


def _fate_legend(ax: Axes, fates: Sequence[tuple[str, str]]) -> None:
    patches = [Patch(color=FATE_COLORS[fate], label=fate_label(*fate)) for fate in fates]
    if patches:
        ax.legend(handles=patches, loc="center left", bbox_to_anchor=(1, 0.5))


def _labelled_runs(
    trace: pd.DataFrame, labels: Sequence[str] | None
) -> list[tuple[str, pd.DataFrame]]:
    """Return the label and the history of every run."""
    groups = list(trace.groupby("run"))
    if labels is None:
        labels = [f"run {run}" for run, _ in groups]
    if len(labels) != len(groups):
        raise InputError(f"labels: expected {len(groups)}, one for each run, got {len(labels)}")
    return [(label, history) for label, (_, history) in zip(labels, groups, strict=True)]


def _grid(runs: pd.DataFrame, x: str, y: str, value: str) -> pd.DataFrame:
    """Return a table with a row for each y and a column for each x; one run for each cell."""
    if runs.duplicated([x, y]).any():
        raise InputError(f"runs: expected one run for each {x} and {y}, got several")
    cells: pd.DataFrame = runs.pivot(index=y, columns=x, values=value)
    return cells


def _mesh(cells: pd.DataFrame) -> tuple[Any, Any, Any]:
    return cells.columns.to_numpy(float), cells.index.to_numpy(float), cells.to_numpy(float)


def _sequence_colors(n: int) -> list[Any]:
    # Not the ends of the map: its yellow is hard to see on white.
    return [plt.get_cmap("viridis")(p) for p in np.linspace(0, 0.85, max(n, 1))][:n]
