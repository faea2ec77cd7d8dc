"""Tables from runs: rates with intervals, steps to converge. They see tables only.

Every function takes the runs as a DataFrame or as an iterable of DataFrames (the parts of a
results folder), which are counted one after the other, so memory does not grow with the runs.
"""

from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.outcome import OUTCOMES, UNITS
from relulab.validation import InputError, finite_number, instance_of, shown

Runs = pd.DataFrame | Iterable[pd.DataFrame]

# What a run on several samples found, the best first.
OPTIMA = pd.CategoricalDtype(["global", "local", "moving", "died", "born_dead", "diverged"])


def wilson_interval(
    count: npt.ArrayLike, n: npt.ArrayLike, confidence: float = 0.95
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the Wilson score interval (low, high) of a share count / n.

    Unlike the usual normal interval it is sensible at 0 and at n (Wilson 1927; Brown, Cai &
    DasGupta 2001). NaN where n is 0.
    """
    if not 0 < finite_number("confidence", confidence) < 1:
        raise InputError(f"confidence: expected a number between 0 and 1, got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    n = np.where(np.equal(n, 0), np.nan, n)
    share = np.asarray(count, float) / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)
    # Exactly 0 and 1 at the ends, where rounding leaves a trace.
    return np.where(share == 0, 0.0, low), np.where(share == 1, 1.0, high)


def outcome_rates(
    runs: Runs, by: str | Sequence[str] = (), confidence: float = 0.95
) -> pd.DataFrame:
    """Return how many runs ended in each outcome x unit, for each value of the columns ``by``.

    Returns
    -------
    DataFrame
        The columns ``by``, then outcome, unit, count, n_runs, share and its Wilson interval low,
        high. Every combination of outcome and unit has a row, also where count is 0.
    """
    return _rates(runs, by, {"outcome": OUTCOMES, "unit": UNITS}, confidence)


def optimum_rates(
    runs: Runs, by: str | Sequence[str] = (), tolerance: float = 1e-6, confidence: float = 0.95
) -> pd.DataFrame:
    """Return how many runs ended at each of OPTIMA, for each value of the columns ``by``.

    Returns
    -------
    DataFrame
        As ``outcome_rates``, with the column optimum instead of outcome and unit.
    """
    labelled = (frame.assign(optimum=optimum(frame, tolerance)) for frame in _frames(runs))
    return _rates(labelled, by, {"optimum": OPTIMA}, confidence)


def optimum(runs: pd.DataFrame, tolerance: float = 1e-6) -> pd.Categorical:
    """Return what each run on several samples found: one of OPTIMA.

    ``global`` is a final loss within ``tolerance`` of the smallest that any network has, whatever
    the outcome; else the run ``died`` or was ``born_dead``, or the outcome was ``diverged``, or it
    converged to a ``local`` optimum (or saddle), or was still ``moving``. The tolerance is in the
    units of the loss: where targets are small, take a smaller one.
    """
    if finite_number("tolerance", tolerance) < 0:
        raise InputError(f"tolerance: expected a number >= 0, got {tolerance}")
    instance_of("runs", runs, pd.DataFrame)
    needed = ["excess_loss", "outcome", "unit"]
    if missing := [name for name in needed if name not in runs]:
        raise InputError(
            f"runs: expected the columns {', '.join(needed)}, which runs on several samples have;"
            f" no {missing[0]}"
        )
    found = np.select(
        [
            runs["outcome"] == "diverged",
            runs["excess_loss"] <= tolerance,
            runs["unit"] == "died",
            runs["unit"] == "born_dead",
            runs["outcome"] == "converged",
        ],
        ["diverged", "global", "died", "born_dead", "local"],
        "moving",
    )
    return pd.Categorical(found, dtype=OPTIMA)


def _rates(
    runs: Runs, by: str | Sequence[str], labels: dict[str, pd.CategoricalDtype], confidence: float
) -> pd.DataFrame:
    """Return count, share and interval of every combination of labels, for each value of ``by``."""
    by = _column_names(by, taken=tuple(labels))
    counts = _counted(runs, [*by, *labels]).rename("count").reset_index()
    rows = pd.MultiIndex.from_product(
        [dtype.categories for dtype in labels.values()], names=list(labels)
    ).to_frame(index=False)
    if by:
        rows = counts[by].drop_duplicates().merge(rows, how="cross")
    rates = rows.merge(counts, how="left", on=[*by, *labels])
    rates["count"] = rates["count"].fillna(0).astype("int64")
    rates = rates.astype(labels)
    if by:
        rates["n_runs"] = rates.groupby(by, observed=True, dropna=False)["count"].transform("sum")
    else:
        rates["n_runs"] = rates["count"].sum()
    rates["share"] = rates["count"] / rates["n_runs"]
    rates["low"], rates["high"] = wilson_interval(rates["count"], rates["n_runs"], confidence)
    return rates.sort_values([*by, *labels], ignore_index=True)


def steps_to_converge(
    runs: Runs, by: str | Sequence[str] = (), quantiles: Sequence[float] = (0.1, 0.5, 0.9)
) -> pd.DataFrame:
    """Return quantiles of steps_taken of the converged runs, for each value of ``by``.

    Returns
    -------
    DataFrame
        The columns ``by``, n_converged, and q10, q50, ...: the smallest number of steps by which
        at least that share of the converged runs had converged.
    """
    by = _column_names(by, taken=("outcome", "steps_taken"))
    if not isinstance(quantiles, Sequence):
        raise InputError(f"quantiles: expected several numbers, got {shown(quantiles)}")
    if not all(0 < finite_number("quantiles", q) <= 1 for q in quantiles):
        raise InputError(f"quantiles: expected numbers in (0, 1], got {shown(quantiles)}")
    every = _counted(runs, [*by, "outcome", "steps_taken"]).rename("count").reset_index()
    converged = every[every["outcome"] == "converged"].sort_values([*by, "steps_taken"])
    # Without columns, all rows are one group.
    keys = by or np.zeros(len(converged))
    groups = converged.groupby(keys, observed=True, dropna=False)["count"]
    reached = groups.cumsum() / groups.transform("sum")
    columns = {"n_converged": groups.sum()}
    for q in quantiles:
        first = converged[reached >= q]
        keys = by or np.zeros(len(first))
        by_group = first.groupby(keys, observed=True, dropna=False)
        columns[f"q{100 * q:g}"] = by_group["steps_taken"].first()
    table = pd.DataFrame(columns).reset_index(drop=not by)
    if not by:
        return table
    # A group in which nothing converged is listed, too.
    every_group = every[by].drop_duplicates().sort_values(by)
    table = every_group.merge(table, how="left", on=by)
    return table.fillna({"n_converged": 0}).astype({"n_converged": "int64"})


def _column_names(by: str | Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return the columns to group by; refuse those that the table itself holds."""
    names = [by] if isinstance(by, str) else by
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InputError(f"by: expected names of columns, got {shown(by)}")
    wrong = [name for i, name in enumerate(names) if name in taken or name in names[:i]]
    if wrong:
        raise InputError(f"by: expected each column once and none of {taken}, got {wrong[0]}")
    return list(names)


def _frames(runs: Runs) -> Iterator[pd.DataFrame]:
    """Yield the tables of runs one after the other."""
    if not isinstance(runs, Iterable):
        raise InputError(f"runs: expected a DataFrame or several, got {shown(runs)}")
    for frame in [runs] if isinstance(runs, pd.DataFrame) else runs:
        if not isinstance(frame, pd.DataFrame):
            raise InputError(f"runs: expected a DataFrame or several, got {shown(frame)}")
        yield frame


def _counted(runs: Runs, columns: list[str]) -> pd.Series:
    """Return the number of runs at each combination of values that occurs, also missing ones."""
    totals: pd.Series | None = None
    for frame in _frames(runs):
        missing = [column for column in columns if column not in frame]
        if missing:
            raise InputError(
                f"by: expected columns among {', '.join(frame.columns)}, got {missing[0]}"
            )
        counts = frame.groupby(columns, observed=True, dropna=False).size()
        if totals is not None:
            both = pd.concat([totals, counts])
            counts = both.groupby(level=columns, observed=True, dropna=False).sum()
        totals = counts
    if totals is None:
        raise InputError("runs: expected at least one table, got none")
    return totals.astype("int64")
