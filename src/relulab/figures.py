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

# What a run on several samples found (statistics.OPTIMA), in the colors of the fates.
OPTIMUM_COLORS = {
    "global": FATE_COLORS["converged", "alive"],
    "local": "#9e6fb8",
    "moving": FATE_COLORS["unfinished", "alive"],
    "died": FATE_COLORS["converged", "died"],
    "born_dead": FATE_COLORS["converged", "born_dead"],
    "diverged": FATE_COLORS["diverged", "alive"],
}
OPTIMUM_LABELS = {
    "global": "global optimum",
    "local": "local optimum",
    "moving": "still moving",
    "died": "died",
    "born_dead": "born dead",
    "diverged": "diverged",
}

SYMBOLS = {
    "learning_rate": "learning rate η",
    "hidden_learning_rate": "hidden learning rate",
    "output_learning_rate": "output learning rate",
    "w0": "initial hidden weight $w_0$",
    "b0": "initial hidden bias $b_0$",
    "v0": "initial output weight $v_0$",
    "c0": "initial output bias $c_0$",
    "excess_loss": "loss above that of the best network",
    "teacher_bias": "bias of the teacher",
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
    _stack(ax, shares[present], [FATE_COLORS[fate] for fate in present])
    _fate_legend(ax, present[::-1])
    return ax


def optimum_shares(rates: pd.DataFrame, x: str, ax: Axes | None = None) -> Axes:
    """Draw the share of everything that was found against a numeric column, stacked.

    ``rates`` is ``statistics.optimum_rates(runs, by=[x])``; the share of the global optimum is at
    the bottom.
    """
    _require("rates", rates, x, "optimum", "share")
    ax = ax or _new_axes((7.5, 4.5))
    shares = rates.pivot_table("share", x, "optimum", "sum", observed=True)
    present = [name for name in OPTIMUM_COLORS if name in shares and shares[name].max() > 0]
    _stack(ax, shares[present], [OPTIMUM_COLORS[name] for name in present])
    _legend(ax, {OPTIMUM_LABELS[name]: OPTIMUM_COLORS[name] for name in present[::-1]})
    return ax


def optimum_bars(rates: pd.DataFrame, label: str, ax: Axes | None = None) -> Axes:
    """Draw the share of everything that was found as one bar for each value of a column.

    ``rates`` is ``statistics.optimum_rates(runs, by=[label])``.
    """
    _require("rates", rates, label, "optimum", "share")
    shares = rates.pivot_table("share", label, "optimum", "sum", observed=True, sort=False)
    ax = ax or _new_axes((7.5, 1.2 + 0.45 * len(shares)))
    left = np.zeros(len(shares))
    for name, color in OPTIMUM_COLORS.items():
        if name not in shares:
            continue
        width = shares[name].to_numpy()
        drawn = ax.barh(shares.index.astype(str), width, left=left, color=color)
        text = [f"{share:.0%}" if share >= 0.05 else "" for share in width]
        dark = name in ("born_dead",)
        ax.bar_label(drawn, text, label_type="center", color="black" if dark else "white")
        left += width
    ax.invert_yaxis()
    ax.set(xlabel="share of runs", xlim=(0, 1))
    present = [name for name in OPTIMUM_COLORS if name in shares and shares[name].max() > 0]
    _legend(ax, {OPTIMUM_LABELS[name]: OPTIMUM_COLORS[name] for name in present})
    return ax


def cumulative(table: pd.DataFrame, value: str, by: str, ax: Axes | None = None) -> Axes:
    """Draw which share of the rows is at or below a value, one curve for each value of ``by``.

    On a logarithmic axis: values up to 0, which rounding makes of the smallest, are drawn at its
    left end. Values that are not finite count as larger than all.
    """
    _require("table", table, value, by)
    ax = ax or _new_axes((7, 4.5))
    groups = list(table.groupby(by, sort=False, observed=True))
    smallest = table[value].where(table[value] > 0).min()
    for color, (name, rows) in zip(_sequence_colors(len(groups)), groups, strict=True):
        values = np.sort(rows[value].where(np.isfinite(rows[value]), np.inf))
        share = np.arange(1, values.size + 1) / values.size
        ax.step(np.maximum(values, smallest), share, where="post", color=color, label=str(name))
    if groups:
        ax.set(xscale="log")
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set(xlabel=SYMBOLS.get(value, value), ylabel="share of runs", ylim=(0, 1.02))
    return ax


def fits(
    samples: pd.DataFrame, curves: pd.DataFrame, best: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw predictions over the samples that they were trained on.

    Parameters
    ----------
    samples : DataFrame
        Columns x and target.
    curves : DataFrame
        Columns label, x and prediction, one row for each point of a curve.
    best : str, optional
        The label of the curve that is drawn as the one to compare with.
    """
    _require("samples", samples, "x", "target")
    _require("curves", curves, "label", "x", "prediction")
    ax = ax or _new_axes((8, 5))
    ax.plot(samples["x"], samples["target"], "o", color="#b8b8b8", markersize=3, zorder=0)
    learned = [(k, c) for k, c in curves.groupby("label", sort=False) if k != best]
    for color, (label, curve) in zip(_sequence_colors(len(learned)), learned, strict=True):
        ax.plot(curve["x"], curve["prediction"], color=color, linewidth=2, label=str(label))
    if best is not None:
        curve = curves[curves["label"] == best]
        ax.plot(curve["x"], curve["prediction"], "--", color="black", linewidth=1.4, label=best)
    if len(curves):
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set(xlabel="x", ylabel="target")
    return ax


def panels(n: int, n_columns: int = 3) -> list[Axes]:
    """Return n Axes of one figure with common axes."""
    n_rows = -(-n // n_columns)
    with style():
        size = (3.1 * n_columns + 1.6, 2.7 * n_rows)
        _, grid = plt.subplots(
            n_rows, n_columns, figsize=size, sharex=True, sharey=True, squeeze=False
        )
    every: list[Axes] = list(grid.flat)
    for ax in every[n:]:
        ax.set_axis_off()
    return every[:n]


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


def lines(
    table: pd.DataFrame, x: str, y: str, by: str, log: str = "xy", ax: Axes | None = None
) -> Axes:
    """Draw y against x, one line for each value of a column; ``log`` names the axes that are."""
    ax = ax or _new_axes((7, 4.5))
    groups = list(table.groupby(by, sort=False, observed=True))
    for color, (name, rows) in zip(_sequence_colors(len(groups)), groups, strict=True):
        ax.plot(rows[x], rows[y], "o-", color=color, label=str(name), markersize=4)
    if groups:
        ax.set(**{f"{axis}scale": "log" for axis in log})
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


def _require(argument: str, table: pd.DataFrame, *columns: str) -> None:
    if missing := [name for name in columns if name not in table]:
        raise InputError(
            f"{argument}: expected the columns {', '.join(columns)}; no {missing[0]} among"
            f" {', '.join(map(str, table.columns))}"
        )


def _stack(ax: Axes, shares: pd.DataFrame, colors: Sequence[str]) -> None:
    """Stack the columns of a table against its index."""
    if len(shares.columns):
        layers = [shares[name] for name in shares]
        ax.stackplot(shares.index, layers, colors=colors, linewidth=0)
        _scale_axis(ax, "x", shares.index.to_numpy(dtype=float))
    x = str(shares.index.name)
    ax.set(xlabel=SYMBOLS.get(x, x), ylabel="share of runs", ylim=(0, 1))


def _fate_legend(ax: Axes, fates: Sequence[tuple[str, str]]) -> None:
    _legend(ax, {fate_label(*fate): FATE_COLORS[fate] for fate in fates})


def _legend(ax: Axes, colors: dict[str, str]) -> None:
    patches = [Patch(color=color, label=label) for label, color in colors.items()]
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
