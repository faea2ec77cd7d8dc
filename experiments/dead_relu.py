"""Which initialization schemes are born dead on which data, which die later, and what helps?

|x| at nine points of a domain (the example of Lu, Shin, Su & Karniadakis 2019, "Dying ReLU and
initialization"). The closed forms for being born dead depend only on the ends of the domain.

The remedies are those that people recommend: a bias, a slope for negative inputs, another
optimizer, clipping, weight decay, standardized data. Each is tried from the same starts at the
same learning rates, and compared at its best rate and at a common rate. Losses on standardized
data are compared in the units of |x|. A unit with a slope is not dead when it is inactive on every
sample, so the tables count all units that are inactive at the end.
"""

from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics, theory
from relulab.figures.style import Axes, root_of

DOMAINS = {"[-1, 1]": (-1.0, 1.0), "[0, 1]": (0.0, 1.0), "[1, 2]": (1.0, 2.0)}
FILES = {"[-1, 1]": "minus_1_to_1", "[0, 1]": "0_to_1", "[1, 2]": "1_to_2"}
STANDARD = "all N(0, 1)"
SCHEMES: dict[str, rl.Scheme] = {
    **{name: rl.scheme(name) for name in ("he_normal", "he_uniform", "glorot_uniform")},
    "torch_default": rl.torch_default(),
    STANDARD: rl.standard_normal(),
}
DRAWS = 2_000
RATE = 0.1

# The domain where the hinge matters and one on which |x| is a line, both from he_normal.
HELPED = ("[-1, 1]", "[0, 1]")
HELPED_START: dict[str, Any] = {**SCHEMES["he_normal"]}
HELPED_DRAWS = 500
RATES = rl.geomspace(0.001, 1, 16)
COMMON_RATE = RATES[10]  # RATE
NOTHING = "nothing"
INPUTS, TARGETS, BOTH = "standardized x", "standardized targets", "both standardized"
REMEDIES: dict[str, dict[str, Any]] = {
    NOTHING: {},
    "bias b₀ = 0.5": {"b": 0.5},
    "bias b₀ = 1": {"b": 1.0},
    "slope 0.01": {"negative_slope": 0.01},
    "slope 0.3": {"negative_slope": 0.3},
    "momentum 0.9": {"optimizer": rl.SGD(momentum=0.9)},
    "Nesterov 0.9": {"optimizer": rl.SGD(momentum=0.9, nesterov=True)},
    "Adam": {"optimizer": rl.Adam()},
    "clipping at 1": {"optimizer": rl.SGD(max_norm=1)},
    "clipping at 0.1": {"optimizer": rl.SGD(max_norm=0.1)},
    "weight decay 0.001": {"optimizer": rl.SGD(weight_decay=0.001)},
    INPUTS: {},
    TARGETS: {},
    BOTH: {},
}
BY_RATE = (NOTHING, "bias b₀ = 1", "slope 0.3", "momentum 0.9", "Adam", BOTH)
FEWEST = 20  # runs for which a median is drawn
TOLERANCE = 1e-4  # of the loss, within which a run has found the best fit
AS_OFTEN = 0.01  # the best rate is the fastest with a success rate this close to the highest


def data(domain: str, remedy: str = NOTHING) -> rl.TrainingSet:
    """Return |x| at nine points of a domain, standardized if that is the remedy."""
    samples = rl.TrainingSet.from_function(np.abs, *DOMAINS[domain], n_samples=9)
    x, target = samples.x, samples.target
    if remedy in (INPUTS, BOTH):
        x = (x - x.mean()) / x.std()
    if remedy in (TARGETS, BOTH):
        target = (target - target.mean()) / target.std()
    return rl.TrainingSet(x, target)


def schemes_name(scheme: str, domain: str) -> str:
    """Return the name of the sweep of a scheme on a domain."""
    return f"{scheme} on {domain}"


def remedies_name(remedy: str, domain: str) -> str:
    """Return the name of the sweep of a remedy on a domain."""
    return f"{remedy} on {domain}"


SWEEPS = {
    schemes_name(name, domain): rl.Sweep(
        data=data(domain), **start, draws=DRAWS, learning_rate=RATE, max_steps=20_000
    )
    for name, start in SCHEMES.items()
    for domain in DOMAINS
} | {
    remedies_name(remedy, domain): rl.Sweep(
        data=data(domain, remedy),
        **HELPED_START | how,
        draws=HELPED_DRAWS,
        learning_rate=RATES,
        max_steps=20_000,
    )
    for domain in HELPED
    for remedy, how in REMEDIES.items()
}


def names(_options: Namespace) -> pd.DataFrame:
    """Return the scheme and the domain of each sweep, with the theory."""
    rows = [
        (
            schemes_name(scheme, domain),
            scheme,
            domain,
            theory.born_dead_probability(start["w"], start["b"], *DOMAINS[domain]),
        )
        for scheme, start in SCHEMES.items()
        for domain in DOMAINS
    ]
    return pd.DataFrame(rows, columns=["sweep", "scheme", "domain", "born_dead_theory"])


COLUMNS = ["learning_rate", "excess_loss", "steps_taken", "death_step", "outcome", "unit"]


def schemes(results: rl.Results) -> Iterator[pd.DataFrame]:
    """Yield the runs of the schemes, part by part."""
    for scheme in SCHEMES:
        for domain in DOMAINS:
            yield from results.frames(COLUMNS, schemes_name(scheme, domain))


def remedies(results: rl.Results) -> Iterator[pd.DataFrame]:
    """Yield the runs of the remedies, with losses in the units of |x|, part by part."""
    of = {remedies_name(r, domain): (r, domain) for r in REMEDIES for domain in HELPED}
    for name, (remedy, domain) in of.items():
        scaled = remedy in (TARGETS, BOTH)
        unit = data(domain).target.var() if scaled else 1.0
        for runs in results.frames(COLUMNS, name):
            yield runs.assign(remedy=remedy, domain=domain, excess_loss=runs["excess_loss"] * unit)


def found(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that found the best fit."""
    return runs[statistics.optimum(runs, TOLERANCE) == "global"]


def remedies_table(results: rl.Results) -> pd.DataFrame:
    """Return how many are inactive at the end, how many found the best fit, and their steps.

    The steps are those of runs that found it: with a dead unit, c alone converges in a few steps.
    """
    by = ["remedy", "domain", "learning_rate"]
    table, steps = statistics.in_one_pass(
        remedies(results),
        partial(statistics.summary, by=by, tolerance=TOLERANCE),
        lambda runs: statistics.steps_to_converge(map(found, runs), by),
    )
    table, steps = table.set_index(by), steps.set_index(by)
    count = table["n_runs"]
    parts = {"inactive": table["born_dead"] + table["died"], "best": table["global_optimum"]}
    columns: dict[str, Any] = {"n_runs": count}
    for name, fraction in parts.items():
        low, high = statistics.wilson_interval((fraction * count).round(), count)
        columns |= {name: fraction, f"{name}_low": low, f"{name}_high": high}
    steps["n_converged"] = steps["n_converged"] / count.loc[steps.index]
    steps = steps.rename(columns={"n_converged": "best_and_converged"})
    steps = steps.rename(columns={q: f"steps_{q}" for q in ("q10", "q50", "q90")})
    table = pd.DataFrame(columns).join(table[["diverged"]]).join(steps)
    table["best_and_converged"] = table["best_and_converged"].fillna(0.0)
    return table.reset_index()


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each remedy at its best rate and at the common one."""
    few = table["best_and_converged"] * table["n_runs"] < FEWEST
    steps = ["steps_q10", "steps_q50", "steps_q90"]
    table = table.assign(**{name: table[name].astype(float).mask(few) for name in steps})
    most = table.groupby(["domain", "remedy"])["best"].transform("max")
    often = table[table["best"] >= most - AS_OFTEN]
    ordered = often.sort_values(["steps_q50", "learning_rate"], ascending=[True, False])
    own = ordered.groupby(["domain", "remedy"], as_index=False).first()
    own = own.sort_values("best", ascending=False, kind="stable")
    common = table[np.isclose(table["learning_rate"], COMMON_RATE)]
    at = {"its own best rate": own, f"η = {COMMON_RATE:g}": common}
    rows = pd.concat([rows.assign(at=name) for name, rows in at.items()], ignore_index=True)
    return rows[["domain", "remedy", "at", *table.columns.drop(["domain", "remedy"])]]


def remedies_figure(rows: pd.DataFrame, domain: str) -> Axes:
    """Draw a row for each remedy on a domain, the best first."""
    rows = rows[rows["domain"] == domain]
    figure = root_of(figures.panels(1)[0])
    figure.clear()
    figure.set_size_inches(5.6, 1.9 + 0.27 * rows["remedy"].nunique())
    axes = figure.subplots(1, 3, width_ratios=[1, 1, 1.1])
    shown = (
        ("inactive", "inactive\nat the end", False, ("inactive_low", "inactive_high")),
        ("best", "found the\nbest fit", False, ("best_low", "best_high")),
        ("steps_q50", "steps to it,\nmiddle 80 %", True, ("steps_q10", "steps_q90")),
    )
    for ax, (column, label, log, (low, high)) in zip(axes, shown, strict=True):
        figures.dots(rows, "remedy", column, "at", ax, log=log, low=low, high=high)
        baseline = list(rows["remedy"].unique()).index(NOTHING)
        ax.axhspan(baseline - 0.5, baseline + 0.5, color="0.9", zorder=0)
        ax.set(xlabel=label)
        if not log:
            ax.set(xlim=(-0.05, 1.05), xticks=[0, 0.5, 1], xticklabels=["0", "½", "1"])
    figures.outer_labels(list(axes))
    figure.suptitle(f"Which remedy helps a ReLU to fit |x| on {domain}? (he_normal)")
    first: Axes = axes[0]
    # At the common rate, which is the best of some, and at the best ones.
    figures.show_runs(first, rows.drop_duplicates(["remedy", "learning_rate"])["n_runs"].sum())
    return first


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    known = results.load_record("names")
    summary, rates = statistics.in_one_pass(
        schemes(results),
        partial(statistics.summary, by="sweep", tolerance=TOLERANCE),
        partial(statistics.outcome_rates, by="sweep"),
    )
    yield "schemes", known.merge(summary, on="sweep").drop(columns="sweep")

    born_dead = known.pivot(index="scheme", columns="domain", values="born_dead_theory")
    rates = known.merge(rates, on="sweep")
    for domain, name in FILES.items():
        here = rates[rates["domain"] == domain]
        ax = figures.fate_bars(here, "scheme")
        for scheme, fraction in born_dead[domain].items():
            figures.mark_fraction(ax, scheme, fraction, "born dead, closed form")
        ax.set_title(f"Which schemes are born dead or die, fitting |x| on {domain}? (η = {RATE:g})")
        yield f"schemes_{name}", ax

    table = remedies_table(results)
    yield "remedies_by_rate", table
    rows = compared(table)
    yield "remedies", rows
    for domain in HELPED:
        yield f"remedies_{FILES[domain]}", remedies_figure(rows, domain)

    panels = figures.panels(len(HELPED), n_columns=2)
    drawn = table.set_index("remedy").loc[list(BY_RATE)].reset_index()
    for ax, domain in zip(panels, HELPED, strict=True):
        here = drawn[drawn["domain"] == domain]
        figures.lines(here, "learning_rate", "best", "remedy", log="x", ax=ax)
        ax.set(title=domain, ylabel="found the best fit", ylim=(-0.03, 1.03))
    figures.outer_labels(panels)
    figures.show_runs(panels[0], drawn["n_runs"].sum())
    panels[0].figure.suptitle("At which learning rates does a remedy help to find the best fit?")
    yield "remedies_by_rate", panels[0]


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Which schemes are born dead on which data, which die later, and what helps?",
    sweeps=SWEEPS,
    records={"names": names},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
