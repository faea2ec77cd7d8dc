"""Does gradient descent find the best broken stick through real data?

A one-node ReLU network is a broken-stick regression with one flat side. By default it is fitted to
442 diabetes patients: disease progression after a year against the body mass index (Efron et al.
2004, bundled with scikit-learn, the extra ``data``). --csv FILE --x COLUMN --target COLUMN takes
your own. Both columns are standardized for training; the figures are in the units of the data.
"""

from argparse import Namespace
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import relulab as rl
from relulab import figures, statistics
from relulab.experiment import add_data_options, data_of

SCHEMES = ("he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "torch_default")
LEARNING_RATE = 0.1
BEST = "the best fit"
MOST_FITS, MOST_POINTS = 6, 2_000  # so many are drawn


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
    # One fit are those that predict the same but for where the gradient became small enough: to one
    # decimal of the targets' standard deviation.
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

    x = np.linspace(data.x.min(), data.x.max(), 400)
    yield "fits", learned.reset_index(drop=True)
    shown = pd.concat([learned, optimum])
    curves = pd.DataFrame(
        {
            "label": np.repeat(
                [
                    f"{fit.n:,} {'run' if fit.n == 1 else 'runs'}, loss {fit.loss:.4f}"
                    for fit in learned.itertuples()
                ]
                + [BEST],
                x.size,
            ),
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
    ax = figures.fits(points, curves, best=BEST)
    ax.set(
        title="Which broken sticks does gradient descent find?",
        xlabel=data.x_scale.label.replace("$", r"\$"),
        ylabel=data.target_scale.label.replace("$", r"\$"),
    )
    yield "fits", ax

    ax = figures.optimum_bars(rates, "sweep")
    ax.set_title(f"How often is the best fit found? (η = {LEARNING_RATE:g})")
    yield "optimum_by_scheme", ax

    ax = figures.cumulative(excess, "excess_loss", "sweep")
    ax.set_title("How far from the best loss do runs end?")
    yield "excess_loss", ax


EXPERIMENT = rl.Experiment(
    file=__file__,
    question="Does gradient descent find the best broken stick through real data?",
    sweeps=sweeps,
    options=add_data_options,
    report=report,
)

if __name__ == "__main__":
    raise SystemExit(rl.main(EXPERIMENT))
