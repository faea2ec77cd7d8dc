"""How many units does a learning rate kill, how many in the first step, and when?

One sample (x=1, target=3), w, b and v drawn from N(0, 1), c = 0. Closed forms: the fraction that
dies in the first step, by quadrature, and the fraction that ever dies as the rate goes to 0.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics, theory

X, TARGET = 1.0, 3.0
STD: dict[str, Any] = {"std_w": 1.0, "std_b": 1.0, "std_v": 1.0}
RATES = np.array([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.4, 2])
SHOWN_RATES = (0.001, 0.01, 0.1, 0.5)  # of which --quick keeps the first

AT_ONCE, IN_ALL = "dies in the first step", "dies ever"

SWEEP = rl.Sweep(
    data=rl.TrainingSet.point(X, TARGET),
    w=rl.Normal(0, STD["std_w"]),
    b=rl.Normal(0, STD["std_b"]),
    v=rl.Normal(0, STD["std_v"]),
    c=0.0,
    draws=40_000,
    learning_rate=RATES,
    max_steps=20_000,
)


def runs_of(results: rl.Results) -> Iterator[pd.DataFrame]:
    """Yield the runs part by part, with whether their unit dies in the first step, or ever."""
    for runs in results.frames(["learning_rate", "death_step", "steps_taken", "outcome", "unit"]):
        yield runs.assign(
            **{
                AT_ONCE: runs["death_step"].eq(1).fillna(False),
                IN_ALL: runs["unit"].eq("died"),
            }
        )


def death_rates(rates: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the fractions of runs whose unit dies in the first step, or ever, with theory."""
    parts = [
        table[table[event].astype(bool)].drop(columns=event).assign(event=event)
        for event, table in rates.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    expected = theory.death_at_first_step_probability(X, TARGET, table["learning_rate"], **STD)
    return table.assign(theory=np.where(table["event"] == AT_ONCE, expected, np.nan))


def shown(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of the rates whose survival is drawn."""
    return runs[runs["learning_rate"].isin(SHOWN_RATES)]


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    at_once, in_all, curves = statistics.in_one_pass(
        runs_of(results),
        partial(statistics.rates, column=AT_ONCE, by="learning_rate"),
        partial(statistics.rates, column=IN_ALL, by="learning_rate"),
        lambda parts: statistics.survival(map(shown, parts), "learning_rate"),
    )
    table = death_rates({AT_ONCE: at_once, IN_ALL: in_all})
    yield "death_rates", table

    ax = figures.intervals(table, "learning_rate", by="event", log="x")
    rates = np.geomspace(table["learning_rate"].min(), table["learning_rate"].max(), 200)
    expected = theory.death_at_first_step_probability(X, TARGET, rates, **STD)
    figures.mark_curve(ax, rates, expected, "quadrature: first step")
    slowly = theory.small_rate_death_probability(X, TARGET, **STD)
    figures.mark_level(ax, slowly, f"dies as η → 0: {slowly:.4f}")
    ax.set(title="How many units does a learning rate kill, and how many at once?", ylim=(0, None))
    ax.set_ylabel("fraction of runs")
    figures.show_runs(ax, table.drop_duplicates("learning_rate")["n_runs"].sum())
    yield "death_rates", ax

    yield "survival", curves
    ax = figures.survival(curves, "learning_rate")
    ax.set(title="When do units die?", ylim=(0, 1))
    yield "survival", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="How many units does a learning rate kill, and how many in the first step?",
    sweeps={"rates": SWEEP},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
