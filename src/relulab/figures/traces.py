"""Runs step by step, and what they learned: losses, parameters, paths, predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like

from relulab.figures.checks import placed, require, with_numbers
from relulab.figures.histories import (
    checked_labels,
    dead_from,
    histories,
    last_finite,
    last_finite_in_words,
    refuse_several,
)
from relulab.figures.legends import add_to_legend, line_entry
from relulab.figures.look import LookKeywords, WidthKeyword, chosen
from relulab.figures.palette import (
    SYMBOLS,
    columns_of,
    groups_of,
    literal,
    name_colors,
    name_of,
    sequence_colors,
    symbol,
)
from relulab.figures.style import drawn_in_style, new_axes
from relulab.validation import InputError, instance_of, shown

WIDEST = 5.5  # points: the first of several fits

# Losses are drawn from here to here, in units of the largest at the start: what has fallen so far
# has converged, what has grown so far is blowing up, and the first steps would be squeezed.
LEAST_LOSS, MOST_LOSS = 1e-12, 1e6

# Parameters that grow beyond so many times their size at the start are drawn on a symlog axis.
FAR = 100


@drawn_in_style
def loss_curves(
    trace: pd.DataFrame,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    by: str | None = None,
    colors: Sequence[str] | None = None,
    **look: Unpack[WidthKeyword],
) -> Axes:
    """Draw the loss of every run of a trace against the step, on a logarithmic axis.

    The axis shows losses from 1e-12 to 1e6 times the largest at the start; curves may leave it. A
    cross is the last finite state of a run that stops being finite.

    Parameters
    ----------
    trace : DataFrame
        Columns run, step and loss, as ``rl.trace`` returns them.
    labels, colors : sequence of str, optional
        Of the runs, in the order of their numbers.
    by : str, optional
        In the place of labels and colors: the column that gives them, such as "fate" or
        "learning_rate", with one value for each run.

    Examples
    --------
    >>> import relulab as rl
    >>> sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=1, v=[0.5, 3.5], learning_rate=0.3)
    >>> trace = rl.trace(sweep.run(), sweep.data, n_steps=20)
    >>> ax = rl.figures.loss_curves(trace, by="fate")
    """
    require("trace", trace, "run", "step", "loss")
    trace = with_numbers("trace", trace, "run", "step", "loss")
    runs = _runs(placed("trace", trace, "step", "loss"), labels, colors, by)
    ax = ax or new_axes()
    entries = []
    for run in runs:
        positive = run.history["loss"].where(run.history["loss"] > 0)
        entries += ax.plot(run.history["step"], positive, color=run.color, label=run.label)
    if runs:
        ax.set_yscale("log")
        limit_losses(ax, [run.history for run in runs])
    entries += _mark_last_finite(ax, [trace.loc[run.history.index] for run in runs])
    ax.set(xlabel="step", ylabel="loss")
    add_to_legend(ax, entries)
    return ax


@drawn_in_style
def parameter_curves(
    trace: pd.DataFrame, ax: Axes | None = None, **look: Unpack[LookKeywords]
) -> Axes:
    """Draw w, b, v, c and, where known, the prediction of a trace's only run against the step.

    Gray is where the unit is inactive on every sample, to the end. From the last finite state on
    nothing is drawn. What grows far beyond the start is drawn on a symlog axis.
    """
    require("trace", trace, "run", "step", *"wbvc")
    names = [n for n in (*"wbvc", "prediction") if n in trace]
    refuse_several(trace)
    trace = with_numbers("trace", trace, "step", *names)
    end = last_finite(trace, *names)
    drawn = placed("trace", trace, "step", *names)
    ax = ax or new_axes()
    colors = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#000000")[: len(names)]
    for name, color in zip(names, chosen(names, names, colors), strict=True):
        line = "--" if name == "prediction" else "-"
        ax.plot(drawn["step"], drawn[name], line, color=color, marker="o", markersize=3)
        there = drawn.dropna(subset=["step", name])
        if len(there):
            last = (there["step"].iloc[-1], there[name].iloc[-1])
            ax.annotate(SYMBOLS[name], last, (6, 0), textcoords="offset points", va="center")
    sizes = drawn[names].abs().max(axis=1).dropna()
    if len(sizes) and sizes.max() > FAR * max(sizes.iloc[0], 1e-100):
        threshold = max(sizes.iloc[0], 1e-100)
        # With so wide a linear part that its numbers have room beside the powers of 10.
        wide = max(np.log10(sizes.max() / threshold) / 6, 1)
        ax.set_yscale("symlog", linthresh=threshold, linscale=wide)
    if "n_active" in trace:
        dead = dead_from(with_numbers("trace", trace, "n_active"))
        if dead is not None:
            area = ax.axvspan(dead, drawn["step"].max(), color="0.9", linewidth=0, zorder=0)
            area.set_label(f"inactive on every sample from step {dead:g} on")
            add_to_legend(ax, [area])
    if end is not None:
        step = float(trace["step"].iloc[end])
        how: dict[str, Any] = {"linewidth": 1, "linestyle": ":"}
        ax.axvline(step, color="black", **how)
        add_to_legend(ax, [line_entry(last_finite_in_words([step]), "black", **how)])
    ax.set(xlabel="step", ylabel="value before the step's update")
    return ax


@drawn_in_style
def trajectories(
    trace: pd.DataFrame,
    x: str,
    y: str,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    by: str | None = None,
    colors: Sequence[str] | None = None,
    **look: Unpack[WidthKeyword],
) -> Axes:
    """Draw the path of every run of a trace in the plane of two columns, from circle to square.

    The longer a path, the deeper it lies, so that one that goes back and forth hides no other. A
    cross in the place of the square is the last finite state of a run that stops being finite;
    among other runs it is at the edge, because it would be far away.

    Parameters
    ----------
    trace : DataFrame
        A column run and those of ``x`` and ``y``.
    x, y : str
    labels, colors, by
        As in ``loss_curves``.
    """
    require("trace", trace, "run", x=x, y=y)
    trace = with_numbers("trace", trace, x, y)
    runs = _runs(placed("trace", trace, x, y), labels, colors, by)
    ax = ax or new_axes()
    stopped = [last_finite(trace.loc[run.history.index], x, y) is not None for run in runs]
    lengths = [_length(run.history, x, y) for run in runs]
    depth = np.argsort(np.argsort(lengths)[::-1]) / max(len(runs), 1)
    ends = []
    for run, stops, above in zip(runs, stopped, depth, strict=True):
        finite = run.history.dropna(subset=[x, y])
        how: dict[str, Any] = {"color": run.color, "zorder": 2 + above}
        ax.plot(finite[x], finite[y], "-", linewidth=1, alpha=0.7, **how)
        how["zorder"] = 3 + above
        ax.plot(finite[x].iloc[:1], finite[y].iloc[:1], "o", fillstyle="none", **how)
        [end] = ax.plot(finite[x].iloc[-1:], finite[y].iloc[-1:], "X" if stops else "s", **how)
        ends.append(end)
        add_to_legend(ax, [line_entry(run.label, run.color)])
    if any(stopped) and not all(stopped) and ax.get_autoscale_on():
        _leave_room_for(ax, runs, stopped, x, y)
        for end in ends:
            end.set(clip_on=False)
            end.set_data(
                np.clip(end.get_xdata(), *ax.get_xlim()), np.clip(end.get_ydata(), *ax.get_ylim())
            )
    if any(stopped):
        add_to_legend(ax, [line_entry("last finite state", "black", linestyle="none", marker="X")])
    ax.set(xlabel=symbol(x), ylabel=symbol(y))
    return ax


@drawn_in_style
def fits(
    samples: pd.DataFrame,
    curves: pd.DataFrame,
    best: str | None = None,
    ax: Axes | None = None,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw predictions over the samples that they were trained on.

    Curves are drawn the narrower the later they come, so that those that coincide are all seen.

    Parameters
    ----------
    samples : DataFrame
        Columns x and target.
    curves : DataFrame
        Columns label, x and prediction, one row for each point of a curve.
    best : str, optional
        The label of the curve to compare with, which is drawn over all others, thin and dashed.
    """
    require("samples", samples, "x", "target")
    samples = placed("samples", samples, "x", "target")
    require("curves", curves, "label", "x", "prediction")
    curves = placed("curves", curves, "x", "prediction")
    if best is not None:
        instance_of("best", best, str)
    ax = ax or new_axes()
    ax.plot(samples["x"], samples["target"], "o", color="#b8b8b8", markersize=3, zorder=0)
    learned = [(k, c) for k, c in curves.groupby("label", sort=False) if k != best]
    entries = []
    labels = [name_of(label) for label, _ in learned]
    colors = chosen([label for label, _ in learned], labels, name_colors(len(labels)))
    widths = np.linspace(WIDEST, 2, len(labels))
    for label, color, width, (_, curve) in zip(labels, colors, widths, learned, strict=True):
        how: dict[str, Any] = {"color": color, "label": literal(label)}
        entries += ax.plot(curve["x"], curve["prediction"], linewidth=width, **how)
    if best is not None:
        curve = curves[curves["label"] == best]
        how = {"color": "black", "label": literal(name_of(best))}
        how |= {"linewidth": 1, "dashes": (5, 5)}
        entries += ax.plot(curve["x"], curve["prediction"], "--", **how)
    add_to_legend(ax, entries)
    ax.set(xlabel="x", ylabel="target")
    return ax


@dataclass(frozen=True)
class _Run:
    """A run as it is drawn."""

    label: str
    color: Any
    history: pd.DataFrame


def _runs(
    trace: pd.DataFrame,
    labels: Sequence[str] | None,
    colors: Sequence[str] | None,
    by: str | None,
) -> list[_Run]:
    """Return how every run is drawn, in the order of their numbers."""
    runs = histories(trace)
    if by is None:
        names = checked_labels(runs, labels)
        return [
            _Run(*how) for how in zip(names, _colors_of_runs(colors, len(runs)), runs, strict=True)
        ]
    for name, value in (("labels", labels), ("colors", colors)):
        if value is not None:
            raise InputError(f"{name}: expected None beside by, got {shown(value)}")
    require("trace", trace, *columns_of(by))
    if any(run[column].nunique() > 1 for column in columns_of(by) for run in runs):
        raise InputError(f"by: expected a column with one value for each run, got {shown(by)}")
    first = {run.index[0]: run for run in runs}
    groups = groups_of(trace.loc[list(first)], by)
    how = {row: (label, color) for label, color, rows in groups for row in rows.index}
    # A run whose value is missing is in no group.
    return [_Run(*how[row], run) for row, run in first.items() if row in how]


def limit_losses(ax: Axes, runs: Sequence[pd.DataFrame]) -> None:
    """Let the axis show losses that are comparable to those at the start, if some are not."""
    begin = max((run["loss"].iloc[0] for run in runs), default=np.nan)
    low, high = LEAST_LOSS * begin, MOST_LOSS * begin
    losses = pd.concat([run["loss"] for run in runs]).to_numpy(float)
    losses = losses[losses > 0]
    seen = losses[(losses >= low) & (losses <= high)]
    if seen.size and seen.size < losses.size:
        margin = (seen.max() / seen.min()) ** 0.05
        bottom = low if (losses < low).any() else seen.min() / margin
        top = high if (losses > high).any() else seen.max() * margin
        if bottom < top:
            ax.set_ylim(bottom, top)


def _mark_last_finite(ax: Axes, runs: Sequence[pd.DataFrame]) -> list[Any]:
    """Mark where losses stop being finite, at the edge of the axis if it shows no such losses."""
    ends = [run.iloc[row] for run in runs if (row := last_finite(run, "loss")) is not None]
    if not ends:
        return []
    steps = [float(end["step"]) for end in ends]
    losses = np.clip([float(end["loss"]) for end in ends], *ax.get_ylim())
    how: dict[str, Any] = {"color": "black", "markersize": 7, "clip_on": False, "zorder": 4}
    return list(ax.plot(steps, losses, "X", label=last_finite_in_words(steps), **how))


def _leave_room_for(
    ax: Axes, runs: Sequence[_Run], stopped: Sequence[bool], x: str, y: str
) -> None:
    """Let the axes show the paths that do not blow up, and where those begin that do."""
    seen = pd.concat([
        run.history.head(1) if stops else run.history
        for run, stops in zip(runs, stopped, strict=True)
    ])  # fmt: skip
    for name, limit in ((x, ax.set_xlim), (y, ax.set_ylim)):
        low, high = seen[name].min(), seen[name].max()
        margin = 0.05 * (high - low)
        if margin > 0:
            limit(low - margin, high + margin)


def _length(history: pd.DataFrame, x: str, y: str) -> float:
    """Return how long a path is."""
    steps = np.diff(history[[x, y]].dropna().to_numpy(float), axis=0)
    with np.errstate(all="ignore"):
        return float(np.hypot(*steps.T).sum())


def _colors_of_runs(colors: Sequence[str] | None, n: int) -> Sequence[Any]:
    """Return a color for each run."""
    if colors is None:
        return sequence_colors(n)
    if isinstance(colors, str) or not isinstance(colors, Sequence):
        raise InputError(f"colors: expected several colors, got {shown(colors)}")
    for color in colors:
        if not isinstance(color, str) or not is_color_like(color):
            raise InputError(f"colors: expected colors such as '#0072b2', got {shown(color)}")
    if len(colors) != n:
        raise InputError(f"colors: expected {n}, one for each run, got {len(colors)}")
    return colors
