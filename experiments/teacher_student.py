"""How often does gradient descent recover the network that made the data?

A teacher relu(x + bias) labels 100 points of [-1, 1] without noise, so the best loss is 0 and the
hinge to find is at -bias. Students start from named schemes and train at several rates.
"""

from argparse import Namespace

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics

SCHEMES = ("he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "torch_default")
BIASES = np.linspace(-0.9, 0.9, 13).round(2) + 0.0  # not -0
RATES = (0.1, 0.03, 0.3, 1.0)
SHOWN_RATE = RATES[0]  # also what --quick keeps
SHOWN_BIASES = (-0.75, -0.6, -0.3, 0.0, 0.3, 0.6)


def sweep_name(scheme: str, bias: float) -> str:
    """Return the name of the sweep of a scheme and a teacher."""
    return f"{scheme} bias {bias:g}"


def student(scheme: str, bias: float) -> rl.Sweep:
    """Return the sweep of a teacher's students that start from a scheme."""
    return rl.Sweep(
        data=rl.TrainingSet.teacher(w=1, b=bias, v=1, c=0, n_samples=100),
        **rl.scheme(scheme),
        draws=1_000,
        learning_rate=RATES,
        max_steps=20_000,
    )


def teachers(_options: Namespace) -> pd.DataFrame:
    """Return the scheme and the teacher of each sweep."""
    return pd.DataFrame(
        [(sweep_name(s, b), s, b) for s in SCHEMES for b in BIASES],
        columns=["sweep", "scheme", "teacher_bias"],
    )


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    columns = ["learning_rate", "excess_loss", "outcome", "unit"]
    rates = statistics.optimum_rates(results.frames(columns), ["sweep", "learning_rate"])
    rates = results.load_record("teachers").merge(rates, on="sweep").drop(columns="sweep")
    yield "optimum_rates", rates

    here = rates[rates["learning_rate"] == SHOWN_RATE]
    panels = figures.panels(len(SCHEMES))
    for ax, (scheme, rows) in zip(panels, here.groupby("scheme", sort=False), strict=True):
        figures.optimum_fractions(rows, "teacher_bias", ax)
        ax.set_title(str(scheme))
    figures.outer_labels(panels)
    panels[0].figure.suptitle(f"How often is the teacher recovered? (η = {SHOWN_RATE:g})")
    yield "by_teacher", panels[0]

    found = rates[rates["optimum"] == "global"].sort_values("learning_rate", kind="stable")
    panels = figures.panels(len(SHOWN_BIASES))
    for ax, bias in zip(panels, SHOWN_BIASES, strict=True):
        rows = found[found["teacher_bias"] == bias]
        figures.lines(rows, "learning_rate", "fraction", "scheme", log="x", ax=ax)
        ax.set(title=f"bias {bias:g}", ylabel="fraction of runs")
    figures.outer_labels(panels)
    shown = found[found["teacher_bias"].isin(SHOWN_BIASES)]
    figures.show_runs(panels[0], shown["n_runs"].sum())
    panels[0].figure.suptitle("Does a larger step help to recover the teacher?")
    yield "by_rate", panels[0]


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="How often does gradient descent recover the network that made the data?",
    sweeps={sweep_name(s, b): student(s, b) for s in SCHEMES for b in BIASES},
    records={"teachers": teachers},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
