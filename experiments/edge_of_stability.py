"""How sharp are the minima at which gradient descent settles, and what happens beyond 2/η?

Gradient descent can settle at a minimum only if its sharpness, the largest eigenvalue of the
Hessian, is below 2/η; if the hinge is on a sample, the smaller of the two sides counts. With c
frozen, networks cannot become flat enough at large rates: they oscillate with a period that doubles
again and again. A network that starts at a sharp place is thrown to a flatter one. A dead unit's
network has sharpness 1 at any rate, so networks with living units are examined separately.
"""

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, theory

X, TARGET = 1.0, 3.0
DATA = {
    "one sample": rl.TrainingSet.point(X, TARGET),
    "nine noisy samples": rl.TrainingSet.teacher(
        w=1, b=0.2, v=1, c=0, n_samples=9, noise=0.3, seed=1
    ),
}

DRAWS = 500  # the figure has the points of at most this many

# Period doubling: k = η |target| sqrt(1 + x^2), from a balanced start near the minimum.
K = np.linspace(0.8, 1.62, 821)
W, B, V = map(float, theory.balanced_start(X, TARGET, 0.9))
ORBIT = 64

# Catapults: starts at λ > 2/η = 8, where λ = a^2 + 1 + (1 + x^2) v^2 is the squared length of the
# prediction's gradient, which equals the sharpness if the loss is 0.
CATAPULT_RATE = 0.25
CATAPULTS = rl.Networks(w=[1.5, 1.1, 2.9], b=0.0, v=[2.2, 2.1, 0.6], c=0.0)


def sweep(data: rl.TrainingSet) -> rl.Sweep:
    """Return the sweep of starts and rates on a data set."""
    return rl.Sweep(
        data=data,
        **rl.standard_normal() | {"c": 0.0},
        draws=DRAWS,
        learning_rate=rl.geomspace(0.02, 2.5, 36),
        max_steps=20_000,
    )


def frozen_rates() -> Any:
    """Return the learning rates for the values of k."""
    return K / (np.hypot(1, X) * TARGET)


FROZEN = rl.Sweep(
    data=DATA["one sample"],
    w=W,
    b=B,
    v=V,
    freeze=("c",),
    learning_rate=frozen_rates(),
    max_steps=20_000,
)


def orbits(_options: Namespace) -> pd.DataFrame:
    """Trace the orbits of the networks with c frozen."""
    start = rl.Networks(np.full(K.size, W), B, V, 0.0)
    settled = rl.train(start, FROZEN.data, frozen_rates(), max_steps=20_000, freeze=("c",))
    trace = rl.trace(settled.networks, FROZEN.data, frozen_rates(), n_steps=ORBIT, freeze=("c",))
    trace["k"] = K[trace["run"]]
    return trace[["k", "step", "prediction"]]


def catapults(_options: Namespace) -> pd.DataFrame:
    """Trace the networks that start at a sharp place."""
    return rl.trace(CATAPULTS, DATA["one sample"], CATAPULT_RATE, n_steps=40)


def settled(results: rl.Results, name: str) -> Iterator[pd.DataFrame]:
    """Yield the converged runs of a sweep, part by part, with the sharpness at the end."""
    for runs in results.frames(["draw", "learning_rate", *"wbvc", "outcome", "unit"], name):
        runs = runs[runs["outcome"] == "converged"]
        networks = rl.Networks(*(runs[p] for p in "wbvc"))
        sharpness = rl.sharpness(networks, DATA[name])
        edge = runs["learning_rate"] * sharpness / 2
        yield runs.assign(
            sharpness=sharpness,
            data=name,
            alive=runs["unit"] == "alive",
            edge=edge,
            n_converged=1,
            n_above=edge > 1,
        )


def over_edge(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how far beyond the edge of stability converged runs are, for each learning rate."""
    return runs.groupby(["data", "alive", "learning_rate"], as_index=False).agg(
        n_converged=("n_converged", "sum"), edge=("edge", "max"), n_above=("n_above", "sum")
    )


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    panels = figures.panels(len(DATA), n_columns=2)
    tables, n_drawn = [], 0
    for ax, name in zip(panels, DATA, strict=True):
        parts, drawn = [], []
        for runs in settled(results, name):
            parts.append(over_edge(runs))
            drawn.append(runs[runs["alive"] & (runs["draw"] < DRAWS)])
        tables.append(over_edge(pd.concat(parts)))
        rates = tables[-1]["learning_rate"]
        rate = np.geomspace(rates.min(), rates.max(), 50)
        figures.points(pd.concat(drawn), "learning_rate", "sharpness", log="xy", ax=ax)
        n_drawn += sum(map(len, drawn))
        figures.mark_curve(ax, rate, 2 / rate, "2/η")
        ax.set_title(name)
    figures.outer_labels(panels)
    figures.show_runs(panels[0], n_drawn)
    panels[0].figure.suptitle("How sharp are the minima at which living networks settle?")
    yield "sharpness", panels[0]
    table = pd.concat(tables, ignore_index=True)
    yield "sharpness_over_edge", table.rename(columns={"edge": "largest_over_edge"})

    frozen = results.load(["learning_rate", "period", "outcome", "unit"], "c frozen")
    frozen.insert(0, "k", frozen["learning_rate"] * np.hypot(1, X) * TARGET)
    yield "periods", frozen.drop(columns="sweep")
    orbit = results.load_record("orbits")
    orbit["relative"] = orbit["prediction"] / TARGET
    ax = figures.points(orbit, "k", "relative")
    for threshold, text in (
        (theory.FROZEN_C_SETTLES, "period 2"),
        (theory.FROZEN_C_PERIOD_4, "period 4"),
        (theory.FROZEN_C_DIES, "death"),
    ):
        figures.mark_position(ax, threshold, f"k = {threshold:.3f}: {text}")
    ax.set(
        title="What happens beyond the edge of stability? (c frozen at 0)",
        xlabel=r"$k = \eta \cdot |\mathrm{target}| \cdot \sqrt{1 + x^2}$",
        ylabel="prediction / target, 64 steps",
    )
    figures.show_runs(ax, len(frozen))
    yield "period_doubling", ax

    trace = results.load_record("catapults")
    trace["lambda"] = theory.interpolation_sharpness(trace["w"], trace["b"], trace["v"], X)
    labels = [f"w = {w:g}, v = {v:g}" for w, v in zip(CATAPULTS.w, CATAPULTS.v, strict=True)]
    trace["start"] = [labels[run] for run in trace["run"]]
    ax = figures.lines(trace, "step", "lambda", by="start", log="")
    figures.mark_level(ax, 2 / CATAPULT_RATE, "2/η")
    ax.set(
        title=f"How does a network leave a place that is too sharp? (η = {CATAPULT_RATE:g})",
        ylabel="squared gradient of the prediction, λ",
    )
    yield "catapult", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="How sharp are the minima that training settles at, and what lies beyond 2/η?",
    sweeps={name: sweep(data) for name, data in DATA.items()} | {"c frozen": FROZEN},
    records={"orbits": orbits, "catapults": catapults},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
