"""From which starts (w0, v0) does gradient descent converge, at a small, a middle, a large rate?

One sample (x=1, target=3), b = c = 0, a grid over the two weights. Closed forms: the starts from
which the unit dies under gradient flow (as the rate goes to 0), and those from which it dies in one
step.
"""

from collections.abc import Iterable
from functools import partial

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics, theory

X, TARGET = 1.0, 3.0
RATES = {"small": 0.01, "middle": 0.1, "large": 0.3}

SWEEPS = {
    name: rl.Sweep(
        data=rl.TrainingSet.point(X, TARGET),
        w=np.linspace(-1, 5, 201),
        v=np.linspace(-4, 4, 201),
        learning_rate=rate,
    )
    for name, rate in RATES.items()
}


def steps_to_learn(parts: Iterable[pd.DataFrame]) -> tuple[int, int]:
    """Return the fewest and the most steps of networks that learned, for one scale of colors."""
    steps = pd.concat(
        runs.loc[(runs["outcome"] == "converged") & (runs["unit"] == "alive"), "steps_taken"]
        for runs in parts
    )
    return max(steps.min(), 1), steps.max()


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    columns = ["w0", "v0", "outcome", "unit", "death_step", "steps_taken"]
    rates, summary, limits = statistics.in_one_pass(
        results.frames(columns),
        partial(statistics.outcome_rates, by="sweep"),
        partial(statistics.summary, by="sweep"),
        steps_to_learn,
    )
    yield "outcome_rates", rates
    yield "summary", summary
    w, v = np.linspace(-1, 5, 601), np.linspace(-4, 4, 801)
    start = (w, 0.0, v[:, np.newaxis], 0.0, X, TARGET)
    for name, rate in RATES.items():
        runs = results.load(columns, name)
        ax = figures.outcome_map(runs, "w0", "v0")
        slowly, at_once = (
            theory.dies_under_gradient_flow(*start),
            theory.dies_in_one_step(*start, rate),
        )
        figures.mark_region(ax, w, v, slowly, "dies as η → 0")
        figures.mark_region(ax, w, v, at_once, "dies in one step")
        ax.set_title(f"From which starts does the network train at η = {rate:g}?")
        yield f"outcome_map_{name}", ax
        ax = figures.steps_map(runs, "w0", "v0", limits=limits)
        ax.set_title(f"How many steps does it take at η = {rate:g}?")
        yield f"steps_map_{name}", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="From which starts (w0, v0) does gradient descent converge, and how fast?",
    sweeps=SWEEPS,
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
