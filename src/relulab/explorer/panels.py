"""The chosen runs: their paths over the map, their losses, their fits."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from relulab.explorer.controls import Box
from relulab.explorer.frames import Frame
from relulab.explorer.view import View
from relulab.explorer.words import fate_in_words, start_in_words
from relulab.figures import fits, loss_curves, trajectories
from relulab.figures.palette import FATE_COLORS, wrapped
from relulab.model.network import PARAMETERS, Networks
from relulab.model.outcome import CODED_FATES, fate_codes
from relulab.validation import Float64Array

OUTLINE = [withStroke(linewidth=2.4, foreground="black")]
FAR = 1e4  # times the loss at the start; the panel ends there
LARGEST = 1e100  # number drawn; Matplotlib cannot compute with much larger limits
LETTERS, LINES = 70, 2  # in the text above


class Panels:
    """The loss and the fit of the chosen runs next to a map, and their paths over it."""

    def __init__(self, figure: Figure, over: Axes, box: Box) -> None:
        left, bottom, width, height = box
        part = height / 2
        self._map = over
        self._loss = figure.add_axes((left, bottom + 1.15 * part, width, 0.7 * part))
        self._fit = figure.add_axes((left, bottom, width, 0.82 * part))
        self._place_of_words = left - 0.04, bottom + height
        self._lines: dict[str, list[Any]] = {}
        self._n = 0
        self._show_axes(False)
        self._forget()

    def moving(self) -> list[Artist]:
        """Return the artists that change with every map, except the paths."""
        beside = [line for kind in self._lines if kind != "path" for line in self._lines[kind]]
        return [*beside, self._words]

    def show(self, frame: Frame, *, anew: bool) -> bool:
        """Show the chosen runs; return whether more than lines changed."""
        n = len(frame.chosen_runs)
        if n == self._n and (n == 0 or not anew):
            if n:
                self._move(frame)
            return False
        self._n = n
        self._draw(frame)
        return True

    def _draw(self, frame: Frame) -> None:
        self._forget()
        n = self._n
        self._show_axes(n > 0)
        if n == 0:
            return
        history = frame.chosen_trace
        loss_curves(history, ax=self._loss, colors=_colors(frame), legend=False)
        begin = history.loc[history["step"] == 0, "loss"].max()
        low, high = self._loss.get_ylim()
        if np.isfinite(begin):
            self._loss.set_ylim(low, min(high, max(FAR * begin, 2 * low)))
        lines = list(self._loss.lines)
        self._lines["loss"], self._lines["last finite"] = lines[:n], lines[n:]
        for line in self._lines["last finite"]:
            line.set_ydata(np.clip(line.get_ydata(), *self._loss.get_ylim()))
        self._draw_fits(frame)
        if path := path_columns(frame.wish.view):
            labels = self._map.get_xlabel(), self._map.get_ylabel()
            trajectories(history, *path, ax=self._map, colors=["white"] * n, legend=False)
            self._map.set(xlabel=labels[0], ylabel=labels[1])
        else:
            for x, y in frame.wish.chosen:
                self._map.plot(x, y, "o", color="white", fillstyle="none")
        self._lines["path"] = list(self._map.lines)
        for line in self._lines["path"]:
            line.set(path_effects=OUTLINE, alpha=1)
        self._say(frame)

    def _draw_fits(self, frame: Frame) -> None:
        data = frame.sweep.data
        colors = _colors(frame)
        x = self._x(frame)
        end = _networks(frame.chosen_runs, "")
        curves = [pd.DataFrame({"label": k, "x": x, "prediction": y})
                  for k, y in enumerate(_predictions(frame, end, x))]  # fmt: skip
        one = len(curves) == 1
        if one:
            start = _predictions(frame, _networks(frame.chosen_runs, "0"), x)[0]
            curves.append(pd.DataFrame({"label": "start", "x": x, "prediction": start}))
        samples = pd.DataFrame({"x": data.x, "target": data.target})
        fits(samples, pd.concat(curves), best="start" if one else None, ax=self._fit)
        if (legend := self._fit.get_legend()) is not None:
            legend.remove()
        self._fit.lines[0].set(color="0.5", markersize=5)
        self._lines["samples"] = list(self._fit.lines[:1])
        self._lines["fit"] = list(self._fit.lines[1 : len(colors) + 1])
        self._lines["start"] = list(self._fit.lines[len(colors) + 1 :])
        for line, color in zip(self._lines["fit"], colors, strict=True):
            line.set_color(color)
        self._lines["hinge"] = [
            self._fit.plot(*at, "o", color=color, fillstyle="none", markersize=8)[0]
            for at, color in zip(_hinges(end), colors, strict=True)
        ]
        self._fit.set(xlabel="x (circle: the hinge; dashed: at the start)")
        self._fit.set_xlim(x[0], x[-1])
        # Diverged runs may leave the panel, so that the rest can be seen.
        stayed = [*(frame.chosen_runs["outcome"] != "diverged"), *[True] * one]
        near = [c["prediction"] for c, near in zip(curves, stayed, strict=True) if near]
        seen = np.concatenate([data.target, *near])
        seen = seen[np.abs(seen) < LARGEST]
        margin = 0.1 * (np.ptp(seen) or 1.0)
        self._fit.set_ylim(seen.min() - margin, seen.max() + margin)

    def _move(self, frame: Frame) -> None:
        """Move the existing lines, within the existing limits."""
        end = _networks(frame.chosen_runs, "")
        groups = [history for _, history in frame.chosen_trace.groupby("run")]
        for kind in ("loss", "fit", "hinge"):
            for line, color in zip(self._lines[kind], _colors(frame), strict=True):
                line.set_color(color)
        for line, history in zip(self._lines["loss"], groups, strict=True):
            line.set_data(history["step"], history["loss"].where(history["loss"] > 0))
        for line in self._lines["last finite"]:  # is where it was, until all is drawn anew
            line.set_data([], [])
        x = self._x(frame)
        start = _networks(frame.chosen_runs, "0")
        for kind, networks in (("fit", end), ("start", start)):
            for line, prediction in zip(
                self._lines[kind], _predictions(frame, networks, x), strict=False
            ):  # the start is drawn only for a single run
                line.set_data(x, prediction)
        for line, at in zip(self._lines["hinge"], _hinges(end), strict=True):
            line.set_data(*([number] for number in at))
        self._lines["samples"][0].set_data(frame.sweep.data.x, frame.sweep.data.target)
        self._say(frame)
        if path := path_columns(frame.wish.view):
            for k, history in enumerate(groups):
                finite = history.dropna(subset=list(path))
                x, y = (finite[name].to_numpy() for name in path)
                whole, first, last = self._lines["path"][3 * k : 3 * k + 3]
                whole.set_data(x, y)
                first.set_data(x[:1], y[:1])
                last.set_data(x[-1:], y[-1:])

    def _forget(self) -> None:
        for line in self._lines.get("path", []):
            line.remove()
        for ax in (self._loss, self._fit):
            ax.clear()
        self._lines = {}
        place: Any = {"transform": self._loss.figure.transFigure, "va": "top", "fontsize": 9}
        self._words = self._loss.text(*self._place_of_words, "", **place)

    def _say(self, frame: Frame) -> None:
        """Write the fate of a single run above the panels."""
        view, runs = frame.wish.view, frame.chosen_runs
        words = f"{len(runs)} runs where fates meet"
        if len(runs) == 1:
            run = runs.iloc[0]
            words = f"{start_in_words(run, (view.x, view.y))}: {fate_in_words(run)}"
        self._words.set_text(wrapped(words, LETTERS, LINES))

    def _show_axes(self, shown: bool) -> None:
        for ax in (self._loss, self._fit):
            ax.set_visible(shown)

    def _x(self, frame: Frame) -> Float64Array:
        """Return the x values of predictions: around the samples, wider for a single sample."""
        x = frame.sweep.data.x
        margin = 0.1 * np.ptp(x) or 3.0
        return np.linspace(x.min() - margin, x.max() + margin, 400)


def path_columns(view: View) -> tuple[str, str] | None:
    """Return the columns of a path over the map, or None if training does not move its axes."""
    return (view.x, view.y) if {view.x, view.y} <= set(PARAMETERS) else None


def _colors(frame: Frame) -> list[str]:
    """Return the colors of the fates of the chosen runs."""
    return [FATE_COLORS[CODED_FATES[code]] for code in fate_codes(frame.chosen_runs)]


def _networks(runs: pd.DataFrame, when: str) -> Networks:
    return Networks.from_stack(np.stack([runs[f"{p}{when}"].to_numpy(float) for p in PARAMETERS]))


def _predictions(frame: Frame, networks: Networks, x: Float64Array) -> Float64Array:
    """Return the predictions of the chosen runs' networks, shape (n, n_x)."""
    slope: Any = frame.chosen_runs.get("negative_slope", 0.0)
    with np.errstate(all="ignore"):
        return np.asarray(networks.predict(x, np.asarray(slope, float)), float)


def _hinges(networks: Networks) -> list[tuple[float, float]]:
    """Return where the hinges are, (-b/w, c)."""
    with np.errstate(all="ignore"):
        at = -networks.b / networks.w
    return [(float(x), float(y)) for x, y in zip(at, networks.c, strict=True)]
