"""Does it matter whether a step takes all samples, or one after the other, in order or shuffled?

Three samples that no network fits, all four parameters drawn from N(0, 1). A dead unit's network
only moves c: to the mean of the targets by full-batch steps, but to another, known value if it sees
one sample after the other in the same order.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import relulab as rl
from relulab import figures, statistics, theory

DATA = rl.TrainingSet([-2.0, 1.0, 2.0], [1.0, -1.0, 3.0])
ORDERS: dict[str, dict[str, Any]] = {
    "all samples": {},
    "one by one, in order": {"batch_size": 1},
    "one by one, shuffled": {"batch_size": 1, "shuffle_seed": 0},
}
ONE_BY_ONE = "one by one, in order"


def sweep(order: dict[str, Any]) -> rl.Sweep:
    """Return the sweep of one order; the starts are the same in all."""
    start: dict[str, Any] = dict.fromkeys("wbvc", rl.Normal(0, 1))
    return rl.Sweep(
        data=DATA,
        **start,
        draws=2_000,
        learning_rate=np.geomspace(0.005, 1.6, 16),
        max_steps=9_999,  # a multiple of the samples, so that all runs end with an epoch
        **order,
    )


def report(results: rl.Results) -> Iterator[tuple[str, Axes | pd.DataFrame]]:
    """Tables and figures from the files."""
    columns = ["learning_rate", "c", "outcome", "unit"]
    runs = results.load(columns).rename(columns={"sweep": "order"})
    rates = statistics.rates(runs, "unit", ["order", "learning_rate"])
    yield "unit_rates", rates
    ax = figures.intervals(rates[rates["unit"] == "died"], "learning_rate", by="order", log="x")
    ax.set(title="Who dies: does the order of the samples matter?", ylim=(0, None))
    ax.set_ylabel("share of runs that die")
    yield "deaths", ax

    dead = runs[(runs["unit"] != "alive") & (runs["outcome"] != "diverged")]
    ends = dead.groupby(["order", "learning_rate"], sort=False)["c"].agg(["size", "min", "max"])
    ends = ends.rename(columns={"size": "n_dead"}).reset_index()
    rate = ends["learning_rate"].to_numpy()
    fixed = theory.dead_unit_c_per_example(DATA.target, rate)
    ends["theory"] = np.select(
        [ends["order"] == ONE_BY_ONE, ends["order"] == "all samples"],
        [fixed, DATA.target.mean()],
        np.nan,
    )
    yield "where_c_ends", ends

    shown = dead.drop_duplicates(["order", "learning_rate"]).sort_values("learning_rate")
    ax = figures.lines(shown, "learning_rate", "c", by="order", log="x")
    rate = np.geomspace(rate.min(), rate.max(), 200)
    figures.mark_curve(
        ax, rate, theory.dead_unit_c_per_example(DATA.target, rate), "closed form, in order"
    )
    figures.mark_level(ax, DATA.target.mean(), "mean of the targets")
    ax.set_title("Where does c of a dead unit's network end?")
    yield "where_c_ends", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Who dies and where does c end, by full-batch, per-example, shuffled steps?",
    sweeps={name: sweep(order) for name, order in ORDERS.items()},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
