"""Which initialization schemes are born dead, on which data, which die later, and what helps?

|x| at nine points of a domain (the example of Lu, Shin, Su & Karniadakis 2019, "Dying ReLU and
initialization"). The closed forms of being born dead depend on the ends of the domain alone. The
remedies: a positive initial bias, a smaller learning rate, and what they cost.
"""

from argparse import Namespace
from collections.abc import Iterator

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics, theory

DOMAINS = {"[-1, 1]": (-1.0, 1.0), "[0, 1]": (0.0, 1.0), "[1, 2]": (1.0, 2.0)}
FILES = {"[-1, 1]": "minus_1_to_1", "[0, 1]": "0_to_1", "[1, 2]": "1_to_2"}
STANDARD = "all N(0, 1)"
SCHEMES: dict[str, rl.Scheme] = {
    **{name: rl.scheme(name) for name in ("he_normal", "he_uniform", "glorot_uniform")},
    "torch_default": rl.torch_default(),
    STANDARD: rl.standard_normal(),
}
DRAWS = 2_000  # the same for the remedies, of which b = 0 at this rate is he_normal again
RATE = 0.1
BIASES = (0.0, 0.1, 0.5, 1.0)
FEWEST = 20  # runs that a median is drawn of
TOLERANCE = 1e-4  # of the loss; tells who found the best network


def data(domain: str) -> rl.TrainingSet:
    """Return |x| at nine points of a domain."""
    return rl.TrainingSet.from_function(np.abs, *DOMAINS[domain], n_samples=9)


def schemes_name(scheme: str, domain: str) -> str:
    """Return the name of the sweep of a scheme on a domain."""
    return f"{scheme} on {domain}"


def remedies_name(domain: str) -> str:
    """Return the name of the sweep of remedies on a domain."""
    return f"remedies on {domain}"


SWEEPS = {
    schemes_name(name, domain): rl.Sweep(
        data=data(domain), **start, draws=DRAWS, learning_rate=RATE, max_steps=20_000
    )
    for name, start in SCHEMES.items()
    for domain in DOMAINS
} | {
    remedies_name(domain): rl.Sweep(
        data=data(domain),
        **(SCHEMES["he_normal"] | {"b": BIASES}),
        draws=DRAWS,
        learning_rate=np.geomspace(0.01, 1, 11),
        max_steps=20_000,
    )
    for domain in DOMAINS
}


def names(_options: Namespace) -> pd.DataFrame:
    """Return which scheme and which domain each sweep is of, with what theory says."""
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


COLUMNS = ["learning_rate", "b0", "excess_loss", "steps_taken", "death_step", "outcome", "unit"]


def remedies(results: rl.Results) -> Iterator[pd.DataFrame]:
    """Yield the runs of the remedies with their domain, part by part."""
    domains = {remedies_name(domain): domain for domain in DOMAINS}
    for runs in results.frames(COLUMNS):
        if domain := domains.get(runs["sweep"].iloc[0]):
            yield runs.assign(domain=domain)


def remedies_table(results: rl.Results) -> pd.DataFrame:
    """Return what became of the remedies' runs, and the steps of those that found the best."""
    by = ["domain", "b0", "learning_rate"]
    table = statistics.summary(remedies(results), by, TOLERANCE)
    # Not those of all that converged: dead ones, which learn c alone, do so in a few steps.
    found = (runs[statistics.optimum(runs, TOLERANCE) == "global"] for runs in remedies(results))
    steps = statistics.steps_to_converge(found, by).set_index(by).add_prefix("best_")
    table = table.drop(columns=["steps_q10", "steps_q50", "steps_q90"])
    return table.join(steps, on=by).assign(dead=table["born_dead"] + table["died"])


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    known = results.load_record("names")
    summary = statistics.summary(results.frames(COLUMNS), ["sweep"], TOLERANCE)
    yield "schemes", known.merge(summary, on="sweep").drop(columns="sweep")

    born_dead = known.pivot(index="scheme", columns="domain", values="born_dead_theory")
    rates = statistics.outcome_rates(results.frames(["outcome", "unit"]), ["sweep"])
    rates = known.merge(rates, on="sweep")
    for domain, name in FILES.items():
        here = rates[rates["domain"] == domain]
        ax = figures.fate_bars(here, "scheme")
        for scheme, fraction in born_dead[domain].items():
            figures.mark_fraction(ax, scheme, fraction, "born dead, closed form")
        ax.set_title(f"Who is born dead, who dies later, fitting |x| on {domain}? (η = {RATE:g})")
        yield f"schemes_{name}", ax

    table = remedies_table(results)
    yield "remedies", table
    table["steps"] = table["best_q50"].where(table["best_n_converged"] >= FEWEST).astype(float)
    shown = (
        ("dead", "fraction of dead units", "Do a larger bias or a smaller rate keep units alive?"),
        ("global_optimum", "fraction at the best network", "Do they also find the best network?"),
        ("steps", "steps to it, median", "How many steps does it take those that find it?"),
    )
    for column, label, question in shown:
        panels = figures.panels(len(DOMAINS))
        for ax, domain in zip(panels, DOMAINS, strict=True):
            rows = table[table["domain"] == domain]
            log = "xy" if column == "steps" else "x"
            figures.lines(rows, "learning_rate", column, by="b0", log=log, ax=ax)
            ax.set(title=domain, ylabel=label)
        figures.outer_labels(panels)
        panels[0].figure.suptitle(f"{question} (|x|, he_normal)")
        yield f"remedies_{column}", panels[0]


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Which schemes are born dead on which data, which die later, and what helps?",
    sweeps=SWEEPS,
    records={"names": names},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
