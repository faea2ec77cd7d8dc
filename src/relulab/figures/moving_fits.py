"""What a network predicts while it learns, dies or blows up: at several steps, and as a film."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from relulab.figures.checks import placed, require, with_numbers
from relulab.figures.films import Film
from relulab.figures.histories import (
    checked_labels,
    dead_from,
    histories,
    last_finite,
    last_finite_in_words,
    refuse_several,
)
from relulab.figures.legends import add_to_legend, line_entry
from relulab.figures.look import LookKeywords, chosen
from relulab.figures.palette import FATE_COLORS, sequence_colors
from relulab.figures.saving import finished
from relulab.figures.style import OURS, drawn_in_style, nearly_infinite, new_axes, root_of, style
from relulab.figures.traces import limit_losses
from relulab.model.data import TrainingSet
from relulab.model.network import PARAMETERS, Networks
from relulab.validation import (
    Float64Array,
    InputError,
    finite_array,
    finite_number,
    instance_of,
    without_index,
)

MOST_RUNS = 4  # of a film
MOST_FRAMES = 24  # but for those that are held
SLOW, HELD = 6, 2  # up to this step, a film shows each for so many frames

GEOMETRIC = 6  # steps that are shown between the first and the last, about

LARGEST = 1e100  # of a prediction that has a place on an axis


@drawn_in_style
def fit_steps(
    trace: pd.DataFrame,
    data: TrainingSet,
    steps: Sequence[int] | None = None,
    ax: Axes | None = None,
    *,
    negative_slope: float = 0.0,
    **look: Unpack[LookKeywords],
) -> Axes:
    """Draw what a trace's only run predicts at several steps, over the samples, early ones dark.

    The circle is the hinge, where the pre-activation is 0. A state in which the unit is inactive on
    every sample is dashed. Gray is where there are no samples. The last finite state of a run that
    stops being finite is named in the legend.

    Parameters
    ----------
    trace : DataFrame
        Of one run, with the columns step, w, b, v, c and n_active, as ``rl.trace`` returns it.
    data : TrainingSet
        What it was trained on.
    steps : sequence of int, optional
        Which; by default the first and the last, some between in about equal ratios, and those
        between which the unit dies.
    negative_slope : float
        Of the unit, unless the trace has a column of it.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> data = rl.TrainingSet([-1, 0, 1, 2], [0, 0, 1, 2])
    >>> trace = rl.trace(rl.Networks(w=1, b=1, v=0.5, c=0), data, 0.1, n_steps=200)
    >>> ax = rl.figures.fit_steps(trace, data)
    """
    states = States.of(trace, data, negative_slope)
    ax = ax or new_axes()
    shown = states.steps_to_show() if steps is None else states.checked_steps(steps)
    colors = chosen(shown, [f"step {step}" for step in shown], sequence_colors(len(shown)))
    finite = states.table.index
    drawn = {step: c for step, c in zip(shown, colors, strict=True) if step in finite}
    view = states.view([*drawn])
    entries = _draw_samples(ax, data)
    _shade_beyond(ax, data)
    for step, color in drawn.items():
        fit = states.fit(step, states.reach)
        width = 2.2 if step == max(shown) else 1.4
        entries += ax.plot(*fit.line, "-" if fit.active else "--", color=color, linewidth=width)
        entries[-1].set_label(f"step {step}{states.note(step, fit, view)}")
        ax.plot(*fit.hinge, "o", color=color, markerfacecolor="white", zorder=4)
    entries.append(line_entry("hinge", "black", linestyle="none", marker="o", fillstyle="none"))
    if states.end is not None:
        entries.append(line_entry(last_finite_in_words([states.end]), "none"))
    if not len(states.table) and len(trace):
        entries.append(line_entry("no finite state", "none"))
    ax.set(xlabel="x", ylabel="target and prediction", xlim=view.x, ylim=view.y)
    add_to_legend(ax, entries)
    return ax


def fit_film(
    trace: pd.DataFrame,
    data: TrainingSet,
    labels: Sequence[str] | None = None,
    *,
    title: str = "What does the network learn, step by step?",
    negative_slope: float = 0.0,
    seconds: float = 0.4,
    pause: float = 3.0,
) -> Film:
    """Return a film of what up to four runs predict, side by side, with their losses below.

    The circle is the hinge; gray is where there are no samples. A network whose unit is inactive on
    every sample is dashed, and a gray line is the step that made it so. A run that stops being
    finite stays at its last finite state. Each of the first steps is shown, and longer than those
    that follow, which come in about equal ratios. Traces of rows of a results table have the colors
    of their fates.

    Parameters
    ----------
    trace, data, negative_slope
        As in ``fit_steps``, but of up to four runs, and with their losses.
    labels : sequence of str, optional
        Of the runs, in the order of their numbers.
    title : str
        The title, to which the step is added.
    seconds, pause : float
        How long a step is shown, and how much longer the last one is.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> data = rl.TrainingSet([-1, 0, 1, 2], [0, 0, 1, 2])
    >>> start = rl.Networks(w=[1, 1], b=1, v=0.5, c=0)
    >>> trace = rl.trace(start, data, [0.1, 1.5], n_steps=50)
    >>> film = rl.figures.fit_film(trace, data, ["slowly", "fast"])
    >>> rl.figures.save_film(film, "film.gif")  # doctest: +SKIP
    """
    require("trace", trace, "run", "step", *PARAMETERS, "n_active", "loss")
    trace = with_numbers("trace", without_index(trace), "step", "loss")
    runs = histories(trace)
    if not 1 <= len(runs) <= MOST_RUNS:
        raise InputError(f"trace: expected 1 to {MOST_RUNS} runs, got {len(runs)}")
    names = checked_labels(runs, labels)
    instance_of("title", title, str)
    every = [States.of(run, data, negative_slope) for run in runs]
    frames = _frames(runs, every, names, title)
    return Film(frames, seconds, pause)


def _frames(
    runs: Sequence[pd.DataFrame], every: Sequence["States"], names: Sequence[str], title: str
) -> Iterator[Axes]:
    """Yield one figure, redrawn for every step."""
    steps = _steps_of_film(max(float(run["step"].max()) for run in runs))
    with style(), nearly_infinite():
        reels = _reels(runs, every, names, steps)
    figure = root_of(reels[0].fit)
    for step in steps:
        with style(), nearly_infinite():
            for reel in reels:
                reel.show(step)
            figure.suptitle(f"{title} (step {step})")
            if step == steps[0]:
                finished(figure)  # so that its title is where those of all others are
        for _ in range(HELD if step <= SLOW else 1):
            yield reels[0].fit


def _steps_of_film(last: float) -> list[int]:
    """Return the steps that a film shows: the first ones, then some in equal ratios."""
    if not 0 <= last < LARGEST:
        return [0]
    ratios = np.geomspace(1, max(last, 1), MOST_FRAMES)
    return [int(step) for step in np.unique(np.round([0, last, *ratios])) if step <= last]


@dataclass(frozen=True)
class _Reel:
    """What moves in a film of one run: the artists of its fit and of its loss."""

    states: "States"
    losses: pd.DataFrame
    across: tuple[float, float]
    fit: Axes
    line: Line2D
    hinge: Line2D
    last_move: Line2D
    word: Text
    below: Axes
    loss: Line2D
    here: Line2D

    def show(self, step: int) -> None:
        """Show the state of a step, or the last finite one before it."""
        known = self.states.table.index
        known = known[known <= step]
        so_far = self.losses[self.losses["step"] <= step]
        self.loss.set_data(so_far["step"], so_far["loss"])
        loss = np.clip(so_far["loss"].iloc[-1:], *self.below.get_ylim())
        self.here.set_data(so_far["step"].iloc[-1:], loss)
        self.here.set_marker("o" if self.states.end is None or step <= self.states.end else "X")
        if not len(known):
            self.word.set_text("no finite state")
            return
        fit = self.states.fit(known[-1], self.across)
        self.line.set_data(*fit.line)
        self.line.set_linestyle("-" if fit.active else (0, (3, 1.5)))
        self.hinge.set_data(*fit.hinge)
        if self.states.death and step >= self.states.death:
            fits = [self.states.fit(s, self.across) for s in self.states.around_death]
            self.last_move.set_data(*np.hstack([fit.hinge for fit in fits]))
        self.word.set_text(self.states.words(step))


def _reels(
    runs: Sequence[pd.DataFrame],
    every: Sequence["States"],
    names: Sequence[str],
    steps: Sequence[int],
) -> list[_Reel]:
    """Return the panels of a film, with all in them that does not move."""
    n = len(runs)
    figure, grid = plt.subplots(
        2, n, figsize=(max(5.6, 1.9 * n), 4.6), sharex="row", sharey="row", squeeze=False,
        height_ratios=[3, 2],
    )  # fmt: skip
    figure.set_gid(OURS)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, 0.98))  # below the title
    views = [states.view([s for s in steps if s in states.table.index]) for states in every]
    across = min(view.x[0] for view in views), max(view.x[1] for view in views)
    height = min(view.y[0] for view in views), max(view.y[1] for view in views)
    reels = []
    for run, states, name, fit, below in zip(runs, every, names, *grid, strict=True):
        color = _fate_color(run)
        _draw_samples(fit, states.data)
        [line] = fit.plot([], [], color=color, linewidth=2.6)
        [last_move] = fit.plot([], [], "-", color="0.4", linewidth=1, zorder=3)
        _shade_beyond(fit, states.data)
        [hinge] = fit.plot([], [], "o", color=color, markerfacecolor="white", markeredgewidth=2,
                           markersize=8, zorder=4)  # fmt: skip
        word = fit.text(0.04, 0.97, "", transform=fit.transAxes, va="top", linespacing=1.3)
        losses = placed("trace", run, "step", "loss").dropna(subset=["step", "loss"])
        below.plot(losses["step"], losses["loss"], color="0.85", linewidth=1.2)
        [loss] = below.plot([], [], color=color, linewidth=2)
        [here] = below.plot([], [], "o", color=color, clip_on=False)
        below.set(xlabel="step", yscale="log")
        fit.set(title=name, xlim=across, ylim=height, xlabel="x")
        reels.append(
            _Reel(states, losses, across, fit, line, hinge, last_move, word, below, loss, here)
        )
    first = grid[1, 0]
    if steps[-1] > 30:  # so that the first steps have room
        first.set_xscale("symlog", linthresh=10)
    limit_losses(first, runs)
    grid[0, 0].set_ylabel("target and prediction")
    first.set_ylabel("loss")
    return reels


def _fate_color(run: pd.DataFrame) -> str:
    """Return the color of a run's fate, where that is known."""
    fate = tuple(run[name].iloc[0] for name in ("outcome", "unit") if name in run)
    return FATE_COLORS.get(fate, FATE_COLORS["converged", "alive"])


@dataclass(frozen=True)
class View:
    """The limits of the axes of fits."""

    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class Fit:
    """A state's prediction as a line, its hinge (nowhere without one), whether it is active."""

    line: tuple[Float64Array, Float64Array]
    hinge: tuple[list[float], list[float]]
    active: bool


@dataclass(frozen=True)
class States:
    """The finite states of one run over its samples.

    Attributes
    ----------
    data : TrainingSet
    steps : sequence of float
        All steps of the trace.
    table : DataFrame
        The states that can be drawn, by their steps.
    slope : float
    death : int, optional
        From which step on the unit is inactive on every sample, to the end.
    end : int, optional
        The last finite state's step, if there are states after it.
    """

    data: TrainingSet
    steps: Sequence[float]
    table: pd.DataFrame
    slope: float
    death: int | None
    end: int | None

    @classmethod
    def of(cls, trace: pd.DataFrame, data: TrainingSet, negative_slope: float) -> "States":
        """Return the states of a trace; refuse one that has several runs."""
        columns = ("step", *PARAMETERS, "n_active")
        require("trace", trace, "run", *columns)
        instance_of("data", data, TrainingSet)
        slope = finite_number("negative_slope", negative_slope, at_least=0)
        refuse_several(trace)
        if "negative_slope" in trace and len(trace):
            given = with_numbers("trace", trace, "negative_slope")["negative_slope"].iloc[0]
            slope = finite_number("trace", float(given), at_least=0)
        if slope > 1:
            raise InputError(f"negative_slope: expected a number from 0 to 1, got {slope:g}")
        trace = with_numbers("trace", trace, *columns).sort_values("step", kind="stable")
        end = last_finite(trace, *PARAMETERS)
        there = placed("trace", trace, *columns).dropna(subset=[*columns])
        table = there.drop_duplicates("step").set_index("step", drop=False)
        dead = dead_from(trace)
        return cls(
            data,
            trace["step"].dropna().tolist(),
            table,
            slope,
            None if dead is None else int(dead),
            None if end is None else int(trace["step"].iloc[end]),
        )

    def steps_to_show(self) -> list[int]:
        """Return the first and the last step, some between in equal ratios, those of death."""
        if not len(self.table):
            return []
        steps = self.table["step"].to_numpy()
        last = steps[-1]
        wanted: set[float] = {0.0, last, *np.round(np.geomspace(1, max(last, 1), GEOMETRIC))}
        if self.death is not None:
            # Nearly the same states beside those between which it dies would hide these.
            wanted = {step for step in wanted if abs(step - self.death) > 1 or step in (0, last)}
            wanted |= {*self.around_death}
        return [int(step) for step in steps if step in wanted]

    def checked_steps(self, steps: object) -> list[int]:
        """Return steps in their order; refuse those that the trace does not have."""
        given = np.unique(finite_array("steps", steps))
        strange = given[~np.isin(given, self.steps)]
        if strange.size:
            first, last = (min(self.steps), max(self.steps)) if self.steps else (0, 0)
            raise InputError(
                f"steps: expected steps of the trace, {first:g} to {last:g}, got {strange[0]:g}"
            )
        return [int(step) for step in given]

    @property
    def around_death(self) -> list[int]:
        """The steps between which the unit dies, if it does."""
        pair = [self.death - 1, self.death] if self.death else []
        return pair if set(pair) <= set(self.table.index) else []

    def fit(self, step: float, x: tuple[float, float]) -> Fit:
        """Return what the network of a step predicts from one x to another."""
        state: Any = self.table.loc[step].to_dict()
        network = Networks(*(state[p] for p in PARAMETERS))
        with np.errstate(all="ignore"):
            hinge = float(-state["b"] / state["w"]) if state["w"] else np.nan
        inside = x[0] < hinge < x[1]
        at = np.array([x[0], *([hinge] if inside else []), x[1]])
        line = np.asarray(network.predict(at, self.slope)[0], float)
        where = ([hinge], [float(state["c"])]) if inside else ([], [])
        # What is larger has no place on an axis.
        line = np.where(np.abs(line) < LARGEST, line, np.nan)
        return Fit((at, line), where, bool(state["n_active"] > 0))

    @property
    def reach(self) -> tuple[float, float]:
        """How far a hinge may be from the samples to be shown: as far as these are apart."""
        low, high = float(np.min(self.data.x)), float(np.max(self.data.x))
        width = high - low or max(abs(high), 1.0)
        return low - width, high + width

    def view(self, steps: Sequence[float]) -> View:
        """Return limits within which are the samples, and of hinges and fits what is near them."""
        x, target = np.asarray(self.data.x, float), np.asarray(self.data.target, float)
        low, high = float(x.min()), float(x.max())
        least, most = self.reach
        margin = 0.1 * (low - least)
        hinges = [h for step in steps for h in self.fit(step, self.reach).hinge[0]]
        ends = [low, high, *hinges]
        across = max(min(ends) - margin, least), min(max(ends) + margin, most)
        here = [self.fit(s, across).line[1] for s in steps]
        first = np.concatenate([target, *here[:1]])
        first = first[np.isfinite(first)]
        bottom, top = float(first.min()), float(first.max())
        height = top - bottom or max(abs(top), 1.0)
        fits = np.concatenate([first, *here])
        near = np.clip(fits[np.isfinite(fits)], bottom - height, top + height)
        margin = 0.05 * (float(np.ptp(near)) or height)
        return View(across, (float(near.min()) - margin, float(near.max()) + margin))

    def words(self, step: float) -> str:
        """Return what a film says of a state."""
        words = []
        if self.death == 0:
            words = ["born dead" if self.slope == 0 else "inactive from the start"]
        elif self.death is not None and step >= self.death:
            words = [f"{'dead' if self.slope == 0 else 'inactive'} from step {self.death}"]
        if self.end is not None and step > self.end:
            words.append(f"finite until step {self.end}")
        return "\n".join(words)

    def note(self, step: float, fit: Fit, view: View) -> str:
        """Return what a legend says of a state beside its step."""
        low, high = view.y
        if not ((fit.line[1] <= high).any() and (fit.line[1] >= low).any()):
            return " (outside)"
        if self.table["n_active"].loc[step] > 0:
            return ""
        gone = self.slope == 0 and self.death is not None and step >= self.death
        return " (dead)" if gone else " (inactive)"


def _shade_beyond(ax: Axes, data: TrainingSet) -> None:
    """Shade where there are no samples: a unit that is active there alone is dead."""
    low, high = float(np.min(data.x)), float(np.max(data.x))
    far = high - low or max(abs(high), 1.0)
    for ends in ((low - far, low), (high, high + far)):
        ax.axvspan(*ends, color="0.94", linewidth=0, zorder=-1)


def _draw_samples(ax: Axes, data: TrainingSet) -> list[Any]:
    """Draw the samples; many of them small."""
    size = 5 if data.n_samples <= 50 else 3
    how: dict[str, Any] = {"color": "#9a9a9a", "markersize": size, "zorder": 0}
    return list(ax.plot(data.x, data.target, "o", label="samples", **how))
