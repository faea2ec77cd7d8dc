"""Why does a ReLU die, and what is different where it learns?

Nine samples of max(x, 0), which a network can fit exactly. Three runs begin at the same network and
differ in the learning rate alone: one learns, one dies, one blows up. A fourth begins with another
bias and is born dead: its hinge is beyond the last sample from the start.

A unit is inactive on the samples where its pre-activation w*x + b is not above 0. The gradients of
w, b and v are sums over the others, and so vanish for good once a single step has carried the
hinge, x = -b/w, beyond the last sample. After that only c moves, to the mean of the targets.
"""

from argparse import Namespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures
from relulab.figures.legends import add_to_legend, line_entry
from relulab.figures.style import OURS, Axes

X = np.linspace(-2, 2, 9)
DATA = rl.TrainingSet(X, np.maximum(X, 0))

# The first three runs share a start; the fourth has the hinge at 2.4.
STARTS = {"w": 1.0, "b": [0.6, 0.6, 0.6, -2.4], "v": 0.8, "c": 0.0}
RATES = {"learns": 0.5, "dies": 1.5, "blows up": 2.0, "is born dead": 0.5}
TITLES = ["η = 0.5: learns", "η = 1.5: dies", "η = 2: blows up", "b = -2.4: born dead"]
N_STEPS = 300
STEPS = (0, 1, 2, 3, 4, 5, N_STEPS)
KEPT = ["learning_rate", "b0", "outcome", "unit", "death_step", "steps_taken", "loss"]
LAST_SHOWN = 10  # of the pre-activations, which stand still where the unit is dead


def ends() -> pd.DataFrame:
    """Train the four networks."""
    return rl.train(rl.Networks(**STARTS), DATA, list(RATES.values())).to_frame()


def ends_of(_options: Namespace) -> pd.DataFrame:
    """Return where the four runs end."""
    return ends()


def steps_of(_options: Namespace) -> pd.DataFrame:
    """Trace the four runs."""
    return rl.trace(ends(), DATA, n_steps=N_STEPS)


def fates(ends: pd.DataFrame, trace: pd.DataFrame) -> pd.DataFrame:
    """Return what became of each run, and the hinge and the unit before and after it dies."""
    rows = []
    for name, end, history in zip(RATES, ends.to_dict("records"), by_run(trace), strict=True):
        row: dict[str, Any] = {"run": name, **{column: end[column] for column in KEPT}}
        row["last_finite_step"] = history["loss"].last_valid_index()
        if end["unit"] == "died":
            for when, step in (("before", end["death_step"] - 1), ("after", end["death_step"])):
                w, b = history.loc[step, ["w", "b"]]
                row |= {
                    f"hinge_{when}": -b / w,
                    f"largest_pre_activation_{when}": (w * X + b).max(),
                }
        rows.append(row)
    return pd.DataFrame(rows).astype({"death_step": "Int64"})


def by_run(trace: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the history of every run by its steps."""
    return [history.set_index("step", drop=False) for _, history in trace.groupby("run")]


def pre_activations(history: pd.DataFrame) -> pd.DataFrame:
    """Return w*x + b of every sample, a column each."""
    return pd.DataFrame({x: history["w"] * x + history["b"] for x in X})


def draw_pre_activations(ax: Axes, history: pd.DataFrame) -> None:
    """Draw how the pre-activations of the samples move, the largest in the color of the fate."""
    every = pre_activations(history).loc[:LAST_SHOWN]
    every = every.where(every.abs() < 1e3)  # what blows up is far outside
    largest = every.max(axis=1)
    color = figures.FATE_COLORS[tuple(history[["outcome", "unit"]].iloc[0])]
    ax.axhspan(-100, 0, color="0.94", linewidth=0, zorder=-1)
    ax.plot(every.index, every, color="0.7", linewidth=0.7)
    ax.plot(largest, color=color, linewidth=2.4, marker="o")
    ax.axhline(0, color="black", linewidth=1)
    ax.set(xlim=(-0.3, LAST_SHOWN + 0.3), ylim=(-5, 4.5), xlabel="step")


def why_it_dies(trace: pd.DataFrame) -> Axes:
    """Draw the fits of each run at some steps, and below them the pre-activations."""
    n = len(RATES)
    with figures.style():
        figure, (above, below) = plt.subplots(
            2, n, figsize=(7.6, 5.4), sharex="row", sharey="row", height_ratios=[3, 2]
        )
    figure.set_gid(OURS)
    for k, (name, history) in enumerate(zip(TITLES, by_run(trace), strict=True)):
        figures.fit_steps(history, DATA, STEPS, above[k], legend=k == 0)
        above[k].set(title=name, xlim=(-2.6, 2.8), ylim=(-2, 4))
        draw_pre_activations(below[k], history)
    add_to_legend(above[0], [line_entry("dead", "0.3", linestyle="--")])
    below[0].text(0.96, 0.05, "inactive", transform=below[0].transAxes, ha="right")
    below[0].set_ylabel("w·x + b")
    for row in (above, below):
        figures.outer_labels([*row])
    axes: list[Axes] = [*above]
    return axes[0]


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    trace = results.load_record("steps")
    table = fates(results.load_record("ends"), trace)
    yield "fates", table
    died = table[table["unit"] == "died"].iloc[0]
    step, before, after = (died[n] for n in ("death_step", "hinge_before", "hinge_after"))
    ax = why_it_dies(trace)
    ax.figure.suptitle(
        f"Why does a ReLU die? At η = {died['learning_rate']:g} step {step} carries its hinge from"
        f" {before:.2f} to {after:.2f}, beyond the last sample at {X[-1]:g}: no sample can move it"
        " any more"
    )
    yield "why_it_dies", ax
    yield "film", figures.fit_film(trace, DATA, TITLES, title="Same samples: why do two ReLUs die?")


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Why does a ReLU die, and what is different where it learns?",
    records={"ends": ends_of, "steps": steps_of},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
