"""Tables from runs: rates with intervals, steps to converge. They see tables only.

Every function takes the runs as a DataFrame or as an iterable of DataFrames (the parts of a
results folder), which are counted one after the other, so memory does not grow with the runs.
"""

from collections.abc import Iterable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.outcome import OUTCOMES, UNITS
from relulab.validation import InputError

Runs = pd.DataFrame | Iterable[pd.DataFrame]


def wilson_interval(
    count: npt.ArrayLike, n: npt.ArrayLike, confidence: float = 0.95
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the Wilson score interval (low, high) of a share count / n.

    Unlike the usual normal interval it is sensible at 0 and at n (Wilson 1927; Brown, Cai &
    DasGupta 2001). NaN where n is 0.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    n = np.where(np.equal(n, 0), np.nan, n)
    share = np.asarray(count, float) / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)


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
    by = _column_names(by)
    counts = _counted(runs, [*by, "outcome", "unit"]).rename("count").reset_index()
    rows = pd.MultiIndex.from_product(
        [OUTCOMES.categories, UNITS.categories], names=["outcome", "unit"]
    ).to_frame(index=False)
    if by:
        rows = counts[by].drop_duplicates().merge(rows, how="cross")
    rates = rows.merge(counts, how="left", on=[*by, "outcome", "unit"])
    rates["count"] = rates["count"].fillna(0).astype("int64")
    rates["outcome"] = rates["outcome"].astype(OUTCOMES)
    rates["unit"] = rates["unit"].astype(UNITS)
    if by:
        rates["n_runs"] = rates.groupby(by, observed=True)["count"].transform("sum")
    else:
        rates["n_runs"] = rates["count"].sum()
    rates["share"] = rates["count"] / rates["n_runs"]
    rates["low"], rates["high"] = wilson_interval(rates["count"], rates["n_runs"], confidence)
    return rates.sort_values([*by, "outcome", "unit"], ignore_index=True)


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
    by = _column_names(by)
    frames = [runs] if isinstance(runs, pd.DataFrame) else runs
    converged = (frame[frame["outcome"] == "converged"] for frame in frames)
    counts = _counted(converged, [*by, "steps_taken"]).rename("count").reset_index()
    counts = counts.sort_values([*by, "steps_taken"])
    groups = counts.groupby(by, observed=True) if by else counts.groupby(lambda _: 0)
    total = groups["count"].transform("sum")
    reached = groups["count"].cumsum() / total
    columns = {"n_converged": groups["count"].sum()}
    for q in quantiles:
        first = counts[reached >= q]
        by_group = first.groupby(by, observed=True) if by else first.groupby(lambda _: 0)
        columns[f"q{100 * q:g}"] = by_group["steps_taken"].first()
    table = pd.DataFrame(columns)
    return table.reset_index() if by else table.reset_index(drop=True)


def _column_names(by: str | Sequence[str]) -> list[str]:
    return [by] if isinstance(by, str) else list(by)


def _counted(runs: Runs, columns: list[str]) -> pd.Series:
    """Return the number of runs at each combination of values that occurs."""
    frames = [runs] if isinstance(runs, pd.DataFrame) else runs
    total: pd.Series | None = None
    for frame in frames:
        missing = [column for column in columns if column not in frame]
        if missing:
            raise InputError(
                f"by: expected columns among {', '.join(frame.columns)}, got {missing[0]}"
            )
        counts = frame.groupby(columns, observed=True).size()
        total = counts if total is None else total.add(counts, fill_value=0)
    if total is None:
        raise InputError("runs: expected at least one table, got none")
    return total.astype("int64")
