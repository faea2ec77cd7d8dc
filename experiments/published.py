"""Does relulab reproduce what has been published about this network?

Each row is a claim with its source: printed numbers of a training run that is, or can be written
as, that of a one-node network; or a threshold, orbit, probability or bound from a paper. The
published values are in ``publications/printed.py`` and ``publications/theorems.py``; to add a row,
add an entry there. Our values come from training. A row that differs stays, with the reason.
"""

from argparse import Namespace
from typing import Any

import pandas as pd

import relulab as rl
from publications.claims import (
    AGREES,
    CONFIDENCE,
    DIFFERS,
    LIMIT,
    UNEXPLAINED,
    Bound,
    Chance,
    Claim,
    Estimate,
    Exact,
    Printed,
    judged,
    judged_numbers,
)
from publications.printed import PRINTED
from publications.theorems import THEOREMS
from relulab import figures
from relulab.figures.legends import add_to_legend, line_entry
from relulab.figures.style import Axes, root_of

CLAIMS: list[Claim] = [*PRINTED, *THEOREMS]
ESTIMATED = ("value", "standard_error")
SWEEPS = {claim.name: claim.sweep for claim in CLAIMS if isinstance(claim, Chance)}


def measured(_options: Namespace) -> pd.DataFrame:
    """Train for all rows except those with sweeps, and return our numbers."""
    rows: list[tuple[str, str, float]] = []
    for claim in CLAIMS:
        match claim:
            case Printed():
                rows += [(claim.name, number, ours) for number, ours in claim.measure().items()]
            case Exact() | Bound():
                rows.append((claim.name, "value", claim.measure()))
            case Estimate():
                for number, ours in zip(ESTIMATED, claim.measure(), strict=True):
                    rows.append((claim.name, number, ours))
    return pd.DataFrame(rows, columns=["row", "number", "ours"])


def counted(results: rl.Results, claim: Chance) -> dict[str, float]:
    """Return in how many runs of its sweep an event happened, and the number of runs."""
    columns = ["w", "outcome", "unit", "excess_loss"]
    parts = results.frames(columns, claim.name)
    happened = [claim.event(runs[claim.among(runs)]) for runs in parts]
    return {"count": sum(map(sum, happened)), "n": sum(map(len, happened))}


def ours(results: rl.Results) -> dict[str, dict[str, float]]:
    """Return our numbers by row."""
    stored = results.load_record("measured")
    numbers: dict[str, dict[str, float]] = {claim.name: {} for claim in CLAIMS}
    for row, number, value in zip(stored["row"], stored["number"], stored["ours"], strict=True):
        numbers[row][number] = value
    for claim in CLAIMS:
        if isinstance(claim, Chance):
            numbers[claim.name] = counted(results, claim)
            continue
        match claim:
            case Printed():
                needed = set(claim.items())
            case Estimate():
                needed = set(ESTIMATED)
            case _:
                needed = {"value"}
        if needed - set(numbers[claim.name]):
            raise rl.InputError(
                f"{results.folder}: expected our numbers for the row {claim.name!r}, a newer one;"
                " train without --figures"
            )
    return numbers


COLORS = {AGREES: "#0072b2", DIFFERS: "#d55e00", UNEXPLAINED: "black"}
WORDS = {
    AGREES: "ours agrees",
    DIFFERS: "ours differs, for a known reason",
    UNEXPLAINED: "ours differs, unexplained",
}
WORDS_LAST = ["agreement", "verdict", "why"]
MOST_ERRORS = 5.0
DOT: dict[str, Any] = {"marker": "o", "linestyle": "none"}
RING = DOT | {"color": "black", "markerfacecolor": "none", "markersize": 8}


def named_rows(ax: Axes, part: pd.DataFrame) -> None:
    """Label a line with the name of each row of a part of the table."""
    ax.set(yticks=range(len(part)), yticklabels=part["row"], ylim=(len(part) - 0.5, -0.5))
    ax.tick_params(axis="y", labelsize=9, length=0)
    ax.grid(axis="y", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)


def agreement(table: pd.DataFrame) -> Axes:
    """Draw how well each row agrees: in digits or, of random numbers, in standard errors."""
    random = table["kind"].isin(["chance", "estimate"])
    above, below = (table[rows].reset_index(drop=True) for rows in (~random, random))
    figure = root_of(figures.panels(1)[0])
    figure.clear()
    figure.set_size_inches(5.6, 2.2 + 0.19 * len(table))
    digits, errors = figure.subplots(2, 1, height_ratios=[len(above), len(below)])
    named_rows(digits, above)
    for place, (kind, there, common, verdict, told) in enumerate(
        above[["kind", "digits", "common", "verdict", "agreement"]].itertuples(index=False)
    ):
        color = COLORS[verdict]
        if kind == "bound":
            digits.text(0.3, place, f"bound {told}", color=color, va="center", fontsize=9)
        else:
            digits.plot(there, place, **RING)
            digits.plot(common, place, **DOT, color=color, clip_on=False)
    named_rows(errors, below)
    off = below["standard_errors"].clip(-MOST_ERRORS, MOST_ERRORS)
    for place, (error, verdict) in enumerate(zip(off, below["verdict"], strict=True)):
        errors.plot(error, place, **DOT, color=COLORS[verdict], clip_on=False)
    digits.set(xlim=(0, 17.8), xlabel="digits in common")
    errors.set(xlim=(-MOST_ERRORS, MOST_ERRORS), xlabel="standard errors off the published value")
    shown = [verdict for verdict in WORDS if (table["verdict"] == verdict).any()]
    dots = [line_entry(WORDS[verdict], COLORS[verdict], **DOT) for verdict in shown]
    add_to_legend(digits, [*dots, line_entry("digits printed, or resolved by training", **RING)])
    for limit in (-LIMIT, LIMIT):
        figures.mark_position(errors, limit, f"{CONFIDENCE:.1%} of chance lies between")
    n = (table["verdict"] == AGREES).sum()
    figure.suptitle(f"Does relulab reproduce what is published? ({n} of {len(table)} rows agree)")
    axes: Axes = digits
    return axes


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    numbers = ours(results)
    table = pd.DataFrame([judged(claim, numbers[claim.name]) for claim in CLAIMS])
    yield "rows", table[[*table.columns.drop(WORDS_LAST), *WORDS_LAST]]
    printed = [judged_numbers(claim, numbers[claim.name]) for claim in PRINTED]
    yield "numbers", pd.concat(printed)
    yield "agreement", agreement(table)


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Does relulab reproduce what has been published about this network?",
    sweeps=SWEEPS,
    records={"measured": measured},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
