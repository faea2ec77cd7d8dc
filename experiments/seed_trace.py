"""Do ten iterations of the source text come out as printed?

The text prints v under the label c; the table shows the true c.
"""

from argparse import Namespace

import pandas as pd

import relulab as rl
from relulab import figures

N_ITERATIONS = 10


def iterations(_options: Namespace) -> pd.DataFrame:
    """Trace the text's network."""
    start = rl.Networks(w=0.5, b=0.2, v=0.3, c=0.1)
    return rl.trace(start, rl.TrainingSet.point(x=1, target=3), 0.01, N_ITERATIONS)


def table(trace: pd.DataFrame) -> pd.DataFrame:
    """Return the text's rows: loss and prediction before an update, parameters after it."""
    before, after = trace.iloc[:-1], trace.iloc[1:].reset_index()
    return pd.DataFrame(
        {
            "iteration": before["step"],
            "cost": before["loss"],
            "prediction": before["prediction"],
            **{name: after[name] for name in "wbvc"},
        }
    )


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    trace = results.load_record("iterations")
    rows = table(trace)
    styles = {"cost": "{:.4f}", "prediction": "{:.2f}", "w": "{}", "b": "{:.4f}", "v": "{:.2f}",
              "c": "{:.2f}"}  # fmt: skip
    print(rows.to_string(index=False, formatters={k: f.format for k, f in styles.items()}))
    print("(the text prints v in place of c)")
    yield "iterations", rows
    ax = figures.parameter_curves(trace)
    ax.set_title("How do the parameters move in the text's ten iterations? (target 3)")
    yield "parameter_curves", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Do ten iterations of the source text come out as printed?",
    records={"iterations": iterations},
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
