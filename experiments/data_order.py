"""Does it matter whether a step takes all samples, or one at a time, in order or shuffled?

Three samples that no network fits exactly, all four parameters drawn from N(0, 1). With a dead
unit, only c moves: with full-batch steps to the mean of the targets, with one sample at a time in
the same order to another, known value; shuffled, c never settles. All runs take all their steps
(gradient tolerance 0): with one sample at a time, a mean gradient that happens to vanish at the
beginning of an epoch is no reason to stop.
"""

from argparse import Namespace

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics, theory

DATA = rl.TrainingSet([-2.0, 1.0, 2.0], [1.0, -1.0, 3.0])
RATES = rl.geomspace(0.005, 1.6, 16)
ALL, IN_ORDER, SHUFFLED = "all samples", "one by one, in order", "one by one, shuffled"
ORDERS = {ALL: (None, None), IN_ORDER: (1, None), SHUFFLED: (1, 0)}  # batch size, seed
N_SHUFFLES = 100  # to find the range of c
SHUFFLED_STEPS = 3_000  # from a start at c = 0

DIES, DIVERGES = "the unit dies", "diverges, the unit alive"


def sweep(batch_size: int | None, shuffle_seed: int | None) -> rl.Sweep:
    """Return the sweep of one order; all have the same starts."""
    return rl.Sweep(
        data=DATA,
        **rl.standard_normal(),
        draws=2_000,
        learning_rate=RATES,
        max_steps=9_999,
        gradient_tolerance=0,
        batch_size=batch_size,
        shuffle_seed=shuffle_seed,
    )


def sweeps(options: Namespace) -> dict[str, rl.Sweep]:
    """Return one sweep for each order; to be comparable, runs must end with an epoch."""
    n = DATA.x.size
    if options.max_steps is not None and options.max_steps % n:
        raise rl.InputError(
            f"--max-steps: expected a multiple of the {n} samples, got {options.max_steps}"
        )
    return {name: sweep(*order) for name, order in ORDERS.items()}


def shuffled_c(_options: Namespace) -> pd.DataFrame:
    """Return c of a dead unit's network after many epochs, for many shuffles."""
    dead = rl.Networks(w=np.zeros(RATES.size), b=-1.0, v=0.0, c=0.0)
    ends = []
    for seed in range(N_SHUFFLES):
        trained = rl.train(
            dead, DATA, RATES, batch_size=1, shuffle_seed=seed,
            gradient_tolerance=0, max_steps=SHUFFLED_STEPS,
        )  # fmt: skip
        ends.append(trained.networks.c)
    return pd.DataFrame({"learning_rate": np.tile(RATES, N_SHUFFLES), "c": np.concatenate(ends)})


def ends_of(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with the one of the two drawn ends that they have."""
    end = np.select(
        [runs["unit"] == "died", (runs["outcome"] == "diverged") & (runs["unit"] == "alive")],
        [DIES, DIVERGES],
        "other",
    )
    return runs.assign(order=runs["sweep"], end=pd.Categorical(end, [DIES, DIVERGES, "other"]))


def where_c_ends(results: rl.Results) -> pd.DataFrame:
    """Return the range in which c of dead units' networks ends, with theory."""
    spread = {"n_dead": ("c", "size"), "low": ("c", "min"), "high": ("c", "max")}
    keys = ["sweep", "learning_rate"]
    parts = [
        runs[runs["unit"] != "alive"].groupby(keys).agg(**spread)
        for order in (ALL, IN_ORDER)
        for runs in results.frames(["learning_rate", "c", "unit"], order)
    ]
    whole = pd.concat(parts).groupby(keys).agg({"n_dead": "sum", "low": "min", "high": "max"})
    shuffled = results.load_record("shuffled_c").assign(sweep=SHUFFLED).groupby(keys).agg(**spread)
    table = pd.concat([whole, shuffled]).reset_index().rename(columns={"sweep": "order"})
    in_order = theory.dead_unit_c_per_example(DATA.target, table["learning_rate"])
    known = [table["order"] == IN_ORDER, table["order"] == ALL]
    table["theory"] = np.select(known, [in_order, DATA.target.mean()], np.nan)
    return table


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    parts = map(ends_of, results.frames(["learning_rate", "outcome", "unit"]))
    rates = statistics.rates(parts, "end", ["order", "learning_rate"])
    rates = rates.sort_values(["order", "learning_rate", "end"])
    yield "ends", rates
    panels = figures.panels(2, n_columns=2)
    drawn = rates.sort_values("order", ascending=False, kind="stable")
    for ax, end in zip(panels, (DIES, DIVERGES), strict=True):
        figures.intervals(drawn[drawn["end"] == end], "learning_rate", by="order", log="x", ax=ax)
        ax.set(title=end, ylim=(0, 1))
    figures.outer_labels(panels)
    of_end = rates[rates["end"] == DIES]  # each end has a row for each rate
    figures.show_runs(panels[0], of_end["n_runs"].sum())
    panels[0].figure.suptitle("Dying and diverging: does the order of the samples matter?")
    yield "deaths", panels[0]

    table = where_c_ends(results)
    yield "where_c_ends", table
    # Shuffled, c has a range but no middle that means anything.
    middle = (table["low"] + table["high"]) / 2
    table["c"] = middle.mask(table["order"] == SHUFFLED)
    drawn = table.sort_values("order", ascending=False)  # wide bars first
    ax = figures.intervals(drawn, "learning_rate", "c", by="order", log="x")
    rate = np.geomspace(RATES.min(), RATES.max(), 200)
    in_order = theory.dead_unit_c_per_example(DATA.target, rate)
    figures.mark_curve(ax, rate, in_order, "closed form, in order")
    figures.mark_level(ax, DATA.target.mean(), "mean of the targets")
    figures.show_runs(ax, table["n_dead"].sum())
    ax.set_title(f"Where does c of a dead unit's network end? (bars: {N_SHUFFLES} shuffles)")
    yield "where_c_ends", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Full batch, one sample at a time, or shuffled: which units die, where does c end?",
    sweeps=sweeps,
    records={"shuffled_c": shuffled_c},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
