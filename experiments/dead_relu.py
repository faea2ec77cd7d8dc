"""Which initialization schemes are born dead, on which data, which die later, and what helps?

|x| at nine points of a domain (the example of Lu, Shin, Su & Karniadakis 2019, "Dying ReLU and
initialization"). The closed forms of being born dead depend on the ends of the domain alone. The
remedies: a positive initial bias, a smaller learning rate, and what they cost.
"""

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

import relulab as rl
from relulab import figures, statistics, theory

DOMAINS = {"[-1, 1]": (-1.0, 1.0), "[0, 1]": (0.0, 1.0), "[1, 2]": (1.0, 2.0)}
STANDARD = "all N(0, 1)"
SCHEMES: dict[str, dict[str, Any]] = {
    **{name: rl.scheme(name) for name in ("he_normal", "he_uniform", "glorot_uniform")},
    "torch_default": rl.torch_default(),
    STANDARD: dict.fromkeys("wbvc", rl.Normal(0, 1)),
}
RATE = 0.1
BIASES = (0.0, 0.1, 0.5, 1.0)
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
        data=data(domain), **start, draws=5_000, learning_rate=RATE, max_steps=20_000
    )
    for name, start in SCHEMES.items()
    for domain in DOMAINS
} | {
    remedies_name(domain): rl.Sweep(
        data=data(domain),
        **(SCHEMES["he_normal"] | {"b": BIASES}),
        draws=1_000,
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


def report(results: rl.Results) -> Iterator[tuple[str, Axes | pd.DataFrame]]:
    """Tables and figures from the files."""
    columns = ["learning_rate", "b0", "excess_loss", "steps_taken", "death_step", "outcome", "unit"]
    known = results.load_record("names")
    runs = results.load(columns)
    of_schemes = runs[runs["sweep"].isin(known["sweep"])]
    summary = known.merge(statistics.summary(of_schemes, ["sweep"], TOLERANCE), on="sweep")
    yield "schemes", summary.drop(columns="sweep")

    born_dead = known.pivot(index="scheme", columns="domain", values="born_dead_theory")
    rates = known.merge(statistics.outcome_rates(of_schemes, ["sweep"]), on="sweep")
    for i, domain in enumerate(DOMAINS):
        here = rates[rates["domain"] == domain]
        ax = figures.fate_bars(here, "scheme")
        for scheme, share in born_dead[domain].items():
            figures.mark_share(ax, scheme, share, "born dead, closed form")
        ax.set_title(f"Who is born dead, who dies later, fitting |x| on {domain}? (η = {RATE:g})")
        yield f"schemes_{i}", ax

    remedies = runs[~runs["sweep"].isin(known["sweep"])]
    remedies = remedies.assign(domain=remedies["sweep"].str.removeprefix("remedies on "))
    by = ["domain", "b0", "learning_rate"]
    table = statistics.summary(remedies, by, TOLERANCE)
    yield "remedies", table
    table["dead"] = table["born_dead"] + table["died"]
    shown = (
        ("dead", "share of dead units", "Do a larger bias or a smaller rate keep units alive?"),
        ("global_optimum", "share at the best network", "Do they also find the best network?"),
        ("steps_q50", "steps to converge, median", "What do they cost?"),
    )
    for column, label, question in shown:
        panels = figures.panels(len(DOMAINS))
        for ax, domain in zip(panels, DOMAINS, strict=True):
            rows = table[table["domain"] == domain]
            log = "xy" if column == "steps_q50" else "x"
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
