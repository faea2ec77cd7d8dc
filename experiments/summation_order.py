"""How many networks end differently if sums run in another order, or in single precision?

Three samples, all four parameters drawn from N(0, 1). The same starts are trained three times: with
sums in the order of the samples, in reverse order, and in float32. In exact arithmetic there would
be no difference. Here a fate is the state of the unit (alive, died, born dead), and whether the run
diverged. Whether other runs converged, oscillate or are unfinished does not count: that depends on
max_steps and tolerances, and float32 reaches other tolerances.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics

X, TARGET = np.array([-1.0, 0.5, 2.0]), np.array([2.0, -1.0, 3.0])
WHAT = ("fate", "outcome")
REFERENCE, REVERSED, SINGLE = "in order", "reversed order", "float32"
SHOWN_RATE = 1.1
# The rate shown comes first, for --quick.
RATES = [SHOWN_RATE, *(rate for rate in np.arange(0.4, 1.61, 0.05).round(2) if rate != SHOWN_RATE)]


def sweep(data: rl.TrainingSet, dtype: str = "float64") -> rl.Sweep:
    """Return the sweep of one way to sum; all have the same starts."""
    return rl.Sweep(
        data=data,
        **rl.standard_normal(),
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


def with_fate(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with their fate: the state of the unit, and whether the run diverged."""
    units = runs["unit"].cat
    words = [str(unit).replace("_", " ") for unit in units.categories]
    words += [f"{word}, diverged" for word in words]
    codes = units.codes + len(units.categories) * (runs["outcome"] == "diverged").to_numpy()
    return runs.assign(
        fate=pd.Categorical.from_codes(codes.to_numpy(), dtype=pd.CategoricalDtype(words))
    )


def pairs(results: rl.Results, against: str) -> Iterator[pd.DataFrame]:
    """Yield the runs of the reference joined with the same runs of another sweep, by parts."""
    columns = ["run", "learning_rate", "outcome", "unit"]
    for frames in results.frames_together([REFERENCE, against], columns):
        reference, other = map(with_fate, frames)
        both = reference.merge(other, on="run", suffixes=("", "_after"))
        yield both.assign(
            **{f"{what}_differs": both[what] != both[f"{what}_after"] for what in WHAT}
        )


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    changed, transitions = [], []
    for against in (REVERSED, SINGLE):
        for what in WHAT:
            differs = f"{what}_differs"
            rates = statistics.rates(pairs(results, against), differs, ["learning_rate"])
            rates = rates[rates[differs].astype(bool)].sort_values("learning_rate")
            rates = rates.drop(columns=differs)
            rates.insert(0, "against", against)
            rates.insert(1, "what", what)
            changed.append(rates)
        shown = (both[both["learning_rate"] == SHOWN_RATE] for both in pairs(results, against))
        counts = statistics.rates(shown, "fate_after", ["fate"])
        counts = counts[counts["count"] > 0].rename(
            columns={"fate": "before", "fate_after": "after"}
        )
        counts = counts[["before", "after", "count"]].sort_values(["before", "after"])
        transitions.append(counts.assign(against=against))
    rates = pd.concat(changed)
    yield "changed", rates
    fates = rates[rates["what"] == "fate"]
    ax = figures.intervals(fates, "learning_rate", by="against", log="y")
    figures.show_runs(ax, fates["n_runs"].sum())
    ax.set_title("How many networks end differently through rounding alone?")
    ax.set_ylabel("fraction of runs (on the axis: none)")
    yield "changed", ax

    yield "transitions", pd.concat(transitions)
    for table, against, name in zip(
        transitions, (REVERSED, SINGLE), ("reversed", "float32"), strict=True
    ):
        ax = figures.transitions(table.drop(columns="against"))
        ax.set(
            title=f"Which fates does {against} change into which, at η = {SHOWN_RATE:g}?",
            xlabel=against,
            ylabel="float64, in order",
        )
        yield f"transitions_{name}", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="How many networks end differently through rounding alone?",
    sweeps=SWEEPS,
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
