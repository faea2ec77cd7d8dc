"""How many networks meet another fate if sums run in another order, or in single precision?

Three samples, all four parameters drawn from N(0, 1). The same starts are trained three times: sums
in the order of the samples, in the opposite order, and in float32. In exact arithmetic there would
be no difference.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import relulab as rl
from relulab import figures, statistics

X, TARGET = np.array([-1.0, 0.5, 2.0]), np.array([2.0, -1.0, 3.0])
REFERENCE, REVERSED, SINGLE = "in order", "reversed order", "float32"
SHOWN_RATE = 1.1
# The one that is shown comes first, for --quick.
RATES = [SHOWN_RATE, *(rate for rate in np.arange(0.4, 1.61, 0.05).round(2) if rate != SHOWN_RATE)]


def sweep(data: rl.TrainingSet, dtype: str = "float64") -> rl.Sweep:
    """Return the sweep of one way to sum; the starts are the same in all."""
    start: dict[str, Any] = dict.fromkeys("wbvc", rl.Normal(0, 1))
    return rl.Sweep(
        data=data,
        **start,
        draws=20_000,
        learning_rate=RATES,
        max_steps=10_000,
        # float32 gets no closer to a stationary point than this.
        gradient_tolerance=1e-4,
        dtype=dtype,
    )


SWEEPS = {
    REFERENCE: sweep(rl.TrainingSet(X, TARGET)),
    REVERSED: sweep(rl.TrainingSet(X[::-1], TARGET[::-1])),
    SINGLE: sweep(rl.TrainingSet(X, TARGET), "float32"),
}


def fates(results: rl.Results, sweep: str) -> pd.Series:
    """Return the fate of every run in words, by learning rate and draw."""
    runs = results.load(["learning_rate", "draw", "outcome", "unit"], sweep)
    words = [figures.fate_label(*fate) for fate in figures.FATES]
    fate = pd.Categorical(
        list(map(figures.fate_label, runs["outcome"], runs["unit"])), categories=words
    )
    return pd.Series(fate, runs.set_index(["learning_rate", "draw"]).index, name="fate")


def report(results: rl.Results) -> Iterator[tuple[str, Axes | pd.DataFrame]]:
    """Tables and figures from the files."""
    reference = fates(results, REFERENCE)
    pairs = pd.concat(
        [
            pd.DataFrame({"before": reference, "after": fates(results, other), "against": other})
            for other in (REVERSED, SINGLE)
        ]
    ).dropna()
    pairs["changed"] = pairs["before"] != pairs["after"]
    rates = statistics.rates(pairs.reset_index(), "changed", ["against", "learning_rate"])
    rates = rates[rates["changed"]].drop(columns="changed")
    yield "changed", rates
    ax = figures.intervals(rates, "learning_rate", by="against", log="y")
    ax.set_title("How many networks meet another fate because of rounding alone?")
    ax.set_ylabel("share of runs (none: below the axis)")
    yield "changed", ax

    shown = pairs.xs(SHOWN_RATE)
    counts = shown.groupby(["against", "before", "after"], observed=True, sort=True).size()
    table = counts.rename("count").reset_index()
    yield "transitions", table
    for other, name in ((REVERSED, "reversed"), (SINGLE, "float32")):
        ax = figures.transitions(table[table["against"] == other].drop(columns="against"))
        ax.set(
            title=f"Which fates change into which at η = {SHOWN_RATE:g}?",
            xlabel=other,
            ylabel="float64, in order",
        )
        yield f"transitions_{name}", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="How many networks meet another fate because of the order of sums, or of float32?",
    sweeps=SWEEPS,
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
