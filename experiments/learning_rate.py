"""Which learning rates train a one-node ReLU network, which kill it, which blow it up?

One sample (x=1, target=3), w, b and v drawn from N(0, 1), c = 0, rates from 0.001 to 10.
"""

from argparse import Namespace
from functools import partial

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics, theory

X, TARGET = 1.0, 3.0
CURVE_RATES = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4])

# The rate just above 2 makes two cells of the figure join at 2, where stability ends.
RATES = np.union1d(rl.geomspace(1e-3, 10, 81), [2.005])

SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(X, TARGET),
    w=rl.Normal(0, 1),
    b=rl.Normal(0, 1),
    v=rl.Normal(0, 1),
    c=0.0,
    draws=2_000,
    learning_rate=RATES,
    max_steps=20_000,
)


def curves(_options: Namespace) -> pd.DataFrame:
    """Trace the start of the source text at several rates."""
    n = CURVE_RATES.size
    start = rl.Networks([0.5] * n, [0.2] * n, [0.3] * n, [0.1] * n)
    return rl.trace(start, SWEEP.data, CURVE_RATES, n_steps=60)


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    columns = ["learning_rate", "outcome", "unit", "death_step", "steps_taken"]
    rates, summary, steps = statistics.in_one_pass(
        results.frames(columns, "rates"),
        partial(statistics.outcome_rates, by="learning_rate"),
        partial(statistics.summary, by="learning_rate"),
        partial(statistics.steps_to_converge, by=["learning_rate", "unit"]),
    )
    yield "outcome_rates", rates
    yield "summary", summary

    ax = figures.outcome_fractions(rates)
    born = theory.born_dead_probability(SWEEP.w, SWEEP.b, X, X)
    dies = theory.small_rate_death_probability(X, TARGET, std_w=1, std_b=1, std_v=1)
    figures.mark_level(ax, born, f"born dead: {born:.3f}")
    figures.mark_level(ax, born + dies, f"all dead as η → 0: {born + dies:.3f}")
    figures.mark_position(ax, theory.LARGEST_STABLE_RATE, "η = 2: no stable fit above")
    ax.set_title("Which learning rates train the network, kill it, blow it up?")
    yield "outcome_fractions", ax

    yield "steps_to_converge", steps
    rate = np.union1d(np.geomspace(RATES[0], 1.999, 400), RATES[RATES < 2])
    dead = theory.dead_unit_steps(SWEEP.c, TARGET, rate, SWEEP.gradient_tolerance)
    panels = figures.panels(3)
    for ax, unit in zip(panels, ("born_dead", "died", "alive"), strict=True):
        rows = steps[steps["unit"] == unit].dropna()
        quantiles = {"low": "q10", "high": "q90"}
        figures.intervals(rows, "learning_rate", "q50", "unit", "xy", ax, **quantiles, legend=False)
        ax.set(title=unit.replace("_", " "), ylabel="steps to converge")
        if unit == "born_dead":
            figures.mark_curve(ax, rate, dead, "closed form")
    figures.outer_labels(panels)
    figures.show_runs(panels[0], steps["n_converged"].sum())
    panels[0].figure.suptitle("How many steps does it take? (median and the middle 80 %)")
    yield "steps_to_converge", panels[0]

    trace = results.load_record("curves")
    labels = [f"η = {rate:g}" for rate in CURVE_RATES]
    ax = figures.loss_curves(trace, labels)
    ax.set_title("How fast does the loss fall from w=0.5, b=0.2, v=0.3, c=0.1?")
    yield "loss_curves", ax
    ax = figures.trajectories(trace, "w", "v", labels)
    ax.set_title("Which way do the weights go? (circle: start, square: step 60)")
    yield "trajectories", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Which learning rates train the network, kill it, blow it up?",
    sweeps={"rates": SWEEP},
    records={"curves": curves},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
