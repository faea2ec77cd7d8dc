"""What does momentum do to a one-node ReLU network: which rates settle, which units die?

First, two maps of fates over learning rate and momentum. Then two findings of Arnekvist, Carvalho,
Kragic & Stork 2020 (arXiv 2005.06195) about single ReLUs: they die more easily if targets have a
small variance, and momentum drives parameters into the regions where they are dead. Their unit is
relu(w*x + b), which is this network with v = 1 and c = 0 frozen; the whole network is tried, too.
Inputs are 40 quantiles of N(0, 1), steps are full-batch, targets have mean 0 and a standard
deviation, std, of 1 or less. (For the single unit and SGD, a small std is equivalent to a large
start: the same run in other units has targets of std 1 and starts at (w, b)/std.)

Momentum m makes steps 1/(1 - m) times as large in the long run. So it is compared twice: at the
same rate, and at the same long-run rate.
"""

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics, theory
from relulab.figures.style import Axes, root_of

# The maps, of one start each. (The best fit of these nine has its hinge between two samples: with a
# hinge on a sample, networks chatter across it at any momentum.)
MAPPED = {
    "one sample": rl.TrainingSet.point(1, 3),
    "nine noisy samples": rl.TrainingSet.teacher(
        w=1, b=0.2, v=1, c=0, n_samples=9, noise=0.3, seed=7
    ),
}
START: dict[str, Any] = {"w": 0.5, "b": 0.2, "v": 0.3, "c": 0.1}
MAP_RATES = rl.geomspace(0.05, 5, 101)
MAP_MOMENTA = np.linspace(0, 0.98, 50)

# Which units die
N_SAMPLES = 40
X = np.array([NormalDist().inv_cdf((i + 0.5) / N_SAMPLES) for i in range(N_SAMPLES)])
STDS = (1.0, 0.1, 0.01)
PLAIN, HEAVY, ADAM = "plain", "momentum 0.9", "Adam"
RULES: dict[str, rl.SGD | rl.Adam] = {
    PLAIN: rl.SGD(),
    HEAVY: rl.SGD(momentum=0.9),
    ADAM: rl.Adam(),
}
UNIT, NETWORK = "single ReLU", "whole network"
MODELS: dict[str, dict[str, Any]] = {
    UNIT: {"w": rl.Normal(0, 1), "b": 0.0, "v": 1.0, "c": 0.0, "freeze": ("v", "c")},
    NETWORK: {**rl.standard_normal(), "b": 0.0, "c": 0.0},
}
RATES = rl.geomspace(0.01, 0.1, 6)
SLOW, FAST = RATES[0], RATES[-1]  # FAST is SLOW/(1 - 0.9)


def standardized(target: Any) -> Any:
    """Return targets of mean 0 and standard deviation 1."""
    return (target - target.mean()) / target.std()


TARGETS = {
    "target |x|": standardized(np.abs(X)),
    "target x": standardized(X),
    "target noise": standardized(np.random.default_rng(0).normal(size=N_SAMPLES)),
}

# Starts from which the single unit dies
FIELD = "target |x|"
FIELD_STD = 0.1
FIELD_STARTS = {"w": np.linspace(-2, 2, 81), "b": np.linspace(-2, 2, 81)}


def name_of(*what: object) -> str:
    """Return the name of a sweep."""
    return ", ".join(map(str, what))


def sweep(model: str, target: str, std: float, rule: str) -> rl.Sweep:
    """Return the sweep of one case of the deaths."""
    return rl.Sweep(
        data=rl.TrainingSet(X, std * TARGETS[target]),
        **MODELS[model],
        draws=400,
        learning_rate=RATES,
        optimizer=RULES[rule],
        max_steps=10_000,
    )


CASES = {
    name_of(model, target, f"std = {std:g}", rule): (model, target, std, rule)
    for model in MODELS
    for target in TARGETS
    for std in STDS
    for rule in RULES
}
SWEEPS = (
    {
        f"map of {name}": rl.Sweep(
            data=data,
            **START,
            learning_rate=MAP_RATES,
            optimizer=rl.SGD(momentum=MAP_MOMENTA),
            max_steps=20_000,
        )
        for name, data in MAPPED.items()
    }
    | {
        f"starts, {rule}": rl.Sweep(
            data=rl.TrainingSet(X, FIELD_STD * TARGETS[FIELD]),
            **MODELS[UNIT] | FIELD_STARTS,
            learning_rate=SLOW,
            optimizer=RULES[rule],
            max_steps=20_000,
        )
        for rule in (PLAIN, HEAVY)
    }
    | {name: sweep(*case) for name, case in CASES.items()}
)


def flattest_best_fit(data: rl.TrainingSet) -> float:
    """Return the smallest sharpness of all best fits, which share w*v, b*v and c."""
    best = rl.best_fit(data).network
    size = np.geomspace(0.01, 100, 20_001)
    return float(
        rl.sharpness(rl.Networks(best.w * size, best.b * size, best.v / size, best.c), data).min()
    )


def settled(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the largest rate at which runs converge for each momentum, of any unit and alive."""
    runs = runs.assign(rate=runs["learning_rate"].where(runs["outcome"] == "converged"))
    runs["alive_rate"] = runs["rate"].where(runs["unit"] == "alive")
    table = runs.groupby("momentum", as_index=False).agg(
        largest_rate=("rate", "max"), largest_rate_alive=("alive_rate", "max")
    )
    # The rate whose stability limit is 1, the smallest sharpness that any network has.
    return table.assign(limit=theory.stability_limit(1.0, table["momentum"]))


def deaths(results: rl.Results) -> pd.DataFrame:
    """Return how many of the units not born dead die, in every case."""

    def runs() -> Iterator[pd.DataFrame]:
        for name, (model, target, std, rule) in CASES.items():
            for part in results.frames(["learning_rate", "unit"], name):
                born = part[part["unit"] != "born_dead"]
                yield born.assign(model=model, target=target, std=std, rule=rule,
                                  died=born["unit"] == "died")  # fmt: skip

    rates = statistics.rates(runs(), "died", ["model", "target", "std", "rule", "learning_rate"])
    return rates[rates["died"]].drop(columns="died")


# The claims: in the second of two cases, more units die.
def claims() -> Iterator[tuple[str, Any, Any]]:
    """Yield a claim with its two cases, each a std, a rule and a rate.

    "At η/10" means a tenth of the rate of plain descent, which is the same in the long run.
    """
    large, small = STDS[0], STDS[-1]
    for rule in RULES:
        yield f"small targets, {rule}", (large, rule, SLOW), (small, rule, SLOW)
    for std in (large, small):
        for rate, words in ((SLOW, ""), (FAST, ", at η/10")):
            yield f"momentum, std {std:g}{words}", (std, PLAIN, rate), (std, HEAVY, SLOW)


def findings(died: pd.DataFrame) -> pd.DataFrame:
    """Return by how much more units die, as claimed, with a 95 % interval.

    It is the interval of Newcombe 1998 (method 10) for the difference of two fractions, from their
    Wilson intervals. Both cases have the same starts, so it is rather too wide.
    """
    keyed = died.set_index(["model", "target", "std", "rule", "learning_rate"]).sort_index()
    rows = []
    for claim, before, after in claims():
        for model in MODELS:
            for target in TARGETS:
                p, q = (keyed.loc[(model, target, *case)] for case in (before, after))
                difference = q["fraction"] - p["fraction"]
                low = difference - np.hypot(q["fraction"] - q["low"], p["high"] - p["fraction"])
                high = difference + np.hypot(q["high"] - q["fraction"], p["fraction"] - p["low"])
                verdict = "yes" if low > 0 else "fewer die" if high < 0 else "not seen"
                rows.append((claim, model, target, p["fraction"], q["fraction"], difference, low,
                             high, int(q["n_runs"]), verdict))  # fmt: skip
    columns = ["claim", "model", "target", "died_without", "died_with", "difference", "low", "high",
               "n_runs", "reproduced"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def findings_figure(table: pd.DataFrame) -> Axes:
    """Draw a row for each claim, for both models."""
    figure = root_of(figures.panels(1)[0])
    figure.clear()
    figure.set_size_inches(5.6, 4.4)
    axes = figure.subplots(1, 2)
    for ax, model in zip(axes, MODELS, strict=True):
        figures.dots(table[table["model"] == model], "claim", "difference", "target", ax)
        figures.mark_position(ax, 0, "no difference")
        ax.set(title=model, xlabel="increase in deaths", xlim=(-0.35, 1))
    figures.outer_labels(list(axes))
    figure.suptitle("Do small targets and momentum kill ReLUs? (Arnekvist et al. 2020)")
    first: Axes = axes[0]
    return first


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    columns = ["learning_rate", "momentum", "outcome", "unit"]
    panels = figures.panels(len(MAPPED), n_columns=2)
    tables = []
    momenta = np.linspace(MAP_MOMENTA[0], MAP_MOMENTA[-1], 200)
    for ax, (name, data) in zip(panels, MAPPED.items(), strict=True):
        runs = results.load(columns, f"map of {name}")
        tables.append(settled(runs).assign(data=name))
        figures.outcome_map(runs, "learning_rate", "momentum", ax)
        ax.set(title=name, ylabel="momentum m")
        limit = theory.stability_limit(1.0, momenta)
        figures.mark_curve(ax, limit, momenta, "2(1 + m): no network rests beyond")
        if data.n_samples > 1:
            words = "2(1 + m)/sharpness of the flattest best fit"
            figures.mark_curve(ax, limit / flattest_best_fit(data), momenta, words)
    figures.outer_labels(panels)
    panels[0].figure.suptitle("Which learning rates settle, with how much momentum?")
    yield "map", panels[0]
    yield "map", pd.concat(tables)

    died = deaths(results)
    yield "deaths", died
    table = findings(died)
    yield "findings", table
    ax = findings_figure(table)
    figures.show_runs(ax, died["n_runs"].sum())
    yield "findings", ax

    panels = figures.panels(2, n_columns=2)
    for ax, rule in zip(panels, (PLAIN, HEAVY), strict=True):
        runs = results.load(["w0", "b0", "outcome", "unit"], f"starts, {rule}")
        figures.outcome_map(runs, "w0", "b0", ax)
        w = np.linspace(-2, 2, 201)
        figures.mark_curve(ax, w, -np.abs(w) * X.max(), "born dead below")
        ax.set(title=rule)
    figures.outer_labels(panels)
    panels[0].figure.suptitle(
        f"From where does a single ReLU die? ({FIELD}, std {FIELD_STD:g}, η = {SLOW:g})"
    )
    yield "starts", panels[0]


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Which rates settle with momentum, and does momentum kill ReLUs?",
    sweeps=SWEEPS,
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
