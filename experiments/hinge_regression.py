"""Where does a broken stick through real data break, and does gradient descent find it?

A one-node ReLU network is a broken-stick regression with one flat side. By default it is fitted to
442 diabetes patients: disease progression after a year against the body mass index (Efron et al.
2004, bundled with scikit-learn, the extra ``data``). --csv FILE --x COLUMN --target COLUMN takes
your own data. The answer comes first, from the best fit: where it breaks, how steep it is, how sure
that is (--bootstrap 2000 resamples the data). Then comes the result of gradient descent. Both
columns are standardized for training; answer and figures are in the units of the data.
"""

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics
from relulab.experiment import add_data_options, data_of
from relulab.theory.broken_stick import checked_draws

SCHEMES = ("he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "torch_default")
LEARNING_RATE = 0.1
MOST_FITS, MOST_POINTS = 6, 2_000  # drawn at most
QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9)


def diabetes() -> rl.TrainingSet:
    """Return the default data set."""
    try:
        from sklearn.datasets import load_diabetes
    except ModuleNotFoundError:
        raise rl.InputError(
            "--csv: expected your data where scikit-learn is not installed, got none;"
            ' pip install "relulab[data]" brings the default data set'
        ) from None
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame = frame.rename(columns={"bmi": "body mass index", "target": "disease progression"})
    return rl.TrainingSet.from_frame(
        frame, x="body mass index", target="disease progression", standardize=True
    )


def options(parser: ArgumentParser) -> None:
    """Add the options for the data and for the answer."""
    add_data_options(parser)
    parser.add_argument(
        "--bootstrap", type=n_draws, default=0, metavar="DRAWS",
        help="95 %% intervals of the answer from this many resamplings, such as 2000",
    )  # fmt: skip


def n_draws(text: str) -> int:
    """Return a number of draws from the command line."""
    try:
        return checked_draws("draws", int(text))
    except ValueError:
        raise ArgumentTypeError(
            f"expected 0 or a whole number from 100 to 1,000,000, got {text[:20]!r}"
        ) from None


def answer(results: rl.Results, options: Namespace) -> rl.Report:
    """Return the best fit in words and as a table."""
    draws = options.bootstrap or (draws_told(results.folder) if options.figures else 0)
    stick = rl.broken_stick(results.data(), draws)
    yield "answer", str(stick)
    yield "answer", stick.table


def draws_told(folder: Path) -> int:
    """Return the draws of the intervals in a folder's answer, so that a redrawing has them, too."""
    told = folder / "answer.txt"
    text = told.read_text(encoding="utf-8") if told.is_file() else ""
    draws = re.search(r"percentiles of ([0-9][0-9,]*)\s+bootstrap", text)
    return int(draws[1].replace(",", "")) if draws else 0


def sweeps(options: Namespace) -> dict[str, rl.Sweep]:
    """Return one sweep for each scheme."""
    data = data_of(options, diabetes)
    return {
        name: rl.Sweep(
            data=data,
            **rl.scheme(name),
            draws=2_000,
            learning_rate=LEARNING_RATE,
            max_steps=100_000,
        )
        for name in SCHEMES
    }


def one_row_each(fits: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return one row for each combination of the keys, with the number of runs, n."""
    return fits.groupby(keys, sort=False, as_index=False).agg(
        n=("n", "sum"), loss=("loss", "min"), **{p: (p, "first") for p in "wbvc"}
    )


def learned_fits(frames: Iterable[pd.DataFrame], x: Any) -> pd.DataFrame:
    """Return the most frequent fits: their fraction of all runs, the best loss and w, b, v, c."""
    # Fits count as one if they differ only because of where training stopped: if their predictions
    # agree to one decimal of the targets' standard deviation.
    keys = [f"at_{k}" for k in range(len(x))]
    parts, n_runs = [], 0
    for runs in frames:
        finite = runs[runs["outcome"] != "diverged"]
        predictions = rl.Networks(*(finite[p] for p in "wbvc")).predict(x)
        decimals = pd.DataFrame(predictions.round(1) + 0.0, finite.index, keys)
        parts.append(one_row_each(decimals.join(finite).assign(n=1), keys))
        n_runs += len(runs)
    fits = one_row_each(pd.concat(parts, ignore_index=True), keys)
    fits["fraction"] = fits["n"] / n_runs
    fits = fits.drop(columns=keys).sort_values("n", ascending=False, kind="stable")
    return fits.head(MOST_FITS)


def quantiles(excess: pd.DataFrame) -> pd.DataFrame:
    """Return quantiles of the excess loss of each sweep's runs."""
    rows = {
        sweep: [runs.loc[runs["fraction"] >= q, "excess_loss"].min() for q in QUANTILES]
        for sweep, runs in excess.groupby("sweep", sort=False)
    }
    names = [f"q{100 * q:g}" for q in QUANTILES]
    table = pd.DataFrame.from_dict(rows, "index", columns=names)
    return table.rename_axis("sweep").reset_index()


def report(results: rl.Results) -> rl.Report:
    """Tables and figures from the files."""
    data = results.data()
    rates, excess, learned = statistics.in_one_pass(
        results.frames([*"wbvc", "loss", "excess_loss", "outcome", "unit"]),
        partial(statistics.optimum_rates, by="sweep"),
        partial(statistics.cumulative, value="excess_loss", by="sweep"),
        partial(learned_fits, x=np.quantile(data.x, [0, 0.25, 0.5, 0.75, 1])),
    )
    yield "optimum_rates", rates
    fit = rl.best_fit(data)
    parameters = {name: getattr(fit.network, name) for name in "wbvc"}
    optimum = pd.DataFrame({**parameters, "loss": fit.loss, "kind": fit.kind})
    yield "best_fit", optimum

    yield "excess_loss", quantiles(excess)

    x = np.linspace(data.x.min(), data.x.max(), 400)
    yield "fits", learned.reset_index(drop=True)
    shown = pd.concat([learned, optimum])
    r_squared = (1 - 2 * shown["loss"] / np.var(data.target)).round(4) + 0.0  # no -0
    found = [f"{n:,} {'run' if n == 1 else 'runs'}" for n in learned["n"]]
    labels = [
        f"{who}, R² {of:.4f}" for who, of in zip([*found, "the best fit"], r_squared, strict=True)
    ]
    curves = pd.DataFrame(
        {
            "label": np.repeat(labels, x.size),
            "x": np.tile(data.x_scale.to_user(x), len(shown)),
            "prediction": data.target_scale.to_user(
                rl.Networks(*(shown[p] for p in "wbvc")).predict(x).ravel()
            ),
        }
    )
    few = slice(None, None, -(-data.n_samples // MOST_POINTS))
    points = pd.DataFrame(
        {
            "x": data.x_scale.to_user(data.x[few]),
            "target": data.target_scale.to_user(data.target[few]),
        }
    )
    ax = figures.fits(points, curves, best=labels[-1])
    n_runs = rates["count"].sum()
    ax.set(
        title=f"Which broken sticks do {n_runs:,} runs of gradient descent find?",
        xlabel=data.x_scale.label.replace("$", r"\$"),
        ylabel=data.target_scale.label.replace("$", r"\$"),
    )
    yield "fits", ax

    ax = figures.optimum_bars(rates, "sweep")
    ax.set_title(f"How often is the best fit found? (η = {LEARNING_RATE:g})")
    yield "optimum_by_scheme", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Where does the best broken stick break, and does gradient descent find it?",
    sweeps=sweeps,
    options=options,
    answer=answer,
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
