"""Runs step by step, and what they learned: losses, parameters, paths, predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like

from relulab.figures.legends import add_to_legend, line_entry
from relulab.figures.palette import SYMBOLS, literal, name_of, sequence_colors, symbol
from relulab.figures.style import drawn_in_style, new_axes, placed, require, with_numbers
from relulab.validation import InputError, instance_of, shown

WIDEST = 5.5  # points: the first of several fits


@drawn_in_style
def loss_curves(
    trace: pd.DataFrame,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    *,
    colors: Sequence[str] | None = None,
    legend: bool = True,
) -> Axes:
    """Draw the loss of every run of a trace against the step, on a logarithmic axis.

    ``labels`` names the runs, in the order of their numbers, and ``colors`` are theirs.
    """
    require("trace", trace, "run", "step", "loss")
    trace = placed("trace", with_numbers("trace", trace, "run"), "step", "loss")
    groups = _labelled_runs(trace, labels)
    shades = _colors_of_runs(colors, len(groups))
    instance_of("legend", legend, bool)
    ax = ax or new_axes()
    entries = []
    for color, (label, history) in zip(shades, groups, strict=True):
        positive = history["loss"].where(history["loss"] > 0)
        entries += ax.plot(history["step"], positive, color=color, label=label)
    if len(groups):
        ax.set_yscale("log")
    ax.set(xlabel="step", ylabel="loss")
    if legend:
        add_to_legend(ax, entries)
    return ax


@drawn_in_style
def parameter_curves(trace: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw w, b, v, c and, where known, the prediction of a trace's only run against the step."""
    require("trace", trace, "run", "step", *"wbvc")
    names = [n for n in (*"wbvc", "prediction") if n in trace]
    trace = placed("trace", trace, "step", *names)
    if trace["run"].nunique() > 1:
        raise InputError(f"trace: expected a single run, got {trace['run'].nunique()}")
    ax = ax or new_axes()
    colors = ("#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#000000")
    for name, color in zip(names, colors, strict=False):
        line = "--" if name == "prediction" else "-"
        ax.plot(trace["step"], trace[name], line, color=color, marker="o", markersize=3)
        drawn = trace.dropna(subset=["step", name])
        if len(drawn):
            end = (drawn["step"].iloc[-1], drawn[name].iloc[-1])
            ax.annotate(SYMBOLS[name], end, (6, 0), textcoords="offset points", va="center")
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
    colors: Sequence[str] | None = None,
    legend: bool = True,
) -> Axes:
    """Draw the path of every run of a trace in the plane of two columns, from circle to square.

    ``labels`` names the runs, in the order of their numbers, and ``colors`` are theirs.
    """
    require("trace", trace, "run", x=x, y=y)
    trace = placed("trace", trace, x, y)
    groups = _labelled_runs(trace, labels)
    shades = _colors_of_runs(colors, len(groups))
    instance_of("legend", legend, bool)
    ax = ax or new_axes()
    for color, (label, path) in zip(shades, groups, strict=True):
        finite = path.dropna(subset=[x, y])
        ax.plot(finite[x], finite[y], "-", color=color, linewidth=1)
        ax.plot(finite[x].iloc[:1], finite[y].iloc[:1], "o", color=color, fillstyle="none")
        ax.plot(finite[x].iloc[-1:], finite[y].iloc[-1:], "s", color=color)
        if legend:
            add_to_legend(ax, [line_entry(label, color)])
    ax.set(xlabel=symbol(x), ylabel=symbol(y))
    return ax


@drawn_in_style
def fits(
    samples: pd.DataFrame, curves: pd.DataFrame, best: str | None = None, ax: Axes | None = None
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
    colors, widths = sequence_colors(len(learned)), np.linspace(WIDEST, 2, len(learned))
    for color, width, (label, curve) in zip(colors, widths, learned, strict=True):
        how: dict[str, Any] = {"color": color, "label": literal(name_of(label))}
        entries += ax.plot(curve["x"], curve["prediction"], linewidth=width, **how)
    if best is not None:
        curve = curves[curves["label"] == best]
        how = {"color": "black", "label": literal(name_of(best))}
        how |= {"linewidth": 1, "dashes": (5, 5)}
        entries += ax.plot(curve["x"], curve["prediction"], "--", **how)
    add_to_legend(ax, entries)
    ax.set(xlabel="x", ylabel="target")
    return ax


def _labelled_runs(
    trace: pd.DataFrame, labels: Sequence[str] | None
) -> list[tuple[str, pd.DataFrame]]:
    """Return the label and the history of every run."""
    groups = list(trace.groupby("run"))
    if labels is None:
        labels = [f"run {run}" for run, _ in groups]
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise InputError(f"labels: expected several texts, got {shown(labels)}")
    for label in labels:
        instance_of("labels", label, str)
    if len(labels) != len(groups):
        raise InputError(f"labels: expected {len(groups)}, one for each run, got {len(labels)}")
    return [(label, history) for label, (_, history) in zip(labels, groups, strict=True)]


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
