"""Tables from runs: rates with intervals, steps to converge, survival.

Every function takes the runs as a DataFrame or as an iterable of DataFrames (the parts of a
results folder), which are counted one by one, so memory does not grow with the runs.
``in_one_pass`` makes several tables while reading the parts once.
"""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype

from relulab.analysis.counting import (
    Runs,
    beside,
    column_names,
    count_groups,
    n_runs,
    require,
)
from relulab.analysis.one_pass import in_one_pass
from relulab.model.outcome import OUTCOMES, UNITS
from relulab.validation import (
    Float64Array,
    InputError,
    checked_table,
    finite_number,
    number_arrays,
    numbers_in,
    shown,
)

__all__ = [
    "OPTIMA",
    "cumulative",
    "in_one_pass",
    "optimum",
    "optimum_rates",
    "outcome_rates",
    "rates",
    "steps_to_converge",
    "summary",
    "survival",
    "wilson_interval",
]


def __dir__() -> list[str]:
    return __all__


# The columns of the tables, apart from those that a user groups by.
RATE_COLUMNS = ("count", "n_runs", "fraction", "low", "high")
SURVIVAL_COLUMNS = ("step", "n_at_risk", "n_died", "n_censored", "survival", "low", "high")
CUMULATIVE_COLUMNS = ("n_runs", "fraction")
SUMMARY_COLUMNS = (
    "n_runs", *OUTCOMES.categories, *UNITS.categories, "global_optimum",
    "steps_q10", "steps_q50", "steps_q90", "death_step_q50",
)  # fmt: skip

# What a run on several samples can find, the best first.
OPTIMA = pd.CategoricalDtype(
    ["global", "local", "oscillating", "moving", "died", "born_dead", "diverged"]
)

# The columns that show how a run and its unit ended, and when.
ENDS = ("death_step", "outcome", "steps_taken")

# The columns that show what a run on several samples found.
FOUND = ("excess_loss", "outcome", "sweep", "unit")

# How the observation of a unit ends.
WATCHED = pd.CategoricalDtype(["n_died", "n_censored", "never"])


def wilson_interval(
    count: npt.ArrayLike, n: npt.ArrayLike, confidence: float = 0.95
) -> tuple[Float64Array, Float64Array]:
    """Return the Wilson score interval (low, high) of a fraction count / n.

    Unlike the usual normal interval, it is sensible at 0 and at n (Wilson 1927; Brown, Cai &
    DasGupta 2001). It is NaN where n is 0.
    """
    confidence = finite_number("confidence", confidence)
    if not 0 < confidence < 1:
        raise InputError(f"confidence: expected a number between 0 and 1, got {confidence}")
    count, n = number_arrays(count=count, n=n)
    if (np.isinf(n) | (n < 0)).any():
        raise InputError("n: expected finite numbers >= 0, got others")
    if ((count < 0) | (count > n)).any():
        raise InputError("count: expected numbers from 0 to n, got others")
    z = NormalDist().inv_cdf(min((1 + confidence) / 2, float(np.nextafter(1, 0))))
    n = np.where(n == 0, np.nan, n)
    fraction = count / n
    center = (count + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(fraction * (n - count) + z**2 / 4)
    low, high = np.maximum(center - half, 0.0), np.minimum(center + half, 1.0)
    # Exactly 0 and 1 at the ends, where rounding leaves a trace.
    return np.where(fraction == 0, 0.0, low), np.where(fraction == 1, 1.0, high)


def outcome_rates(
    runs: Runs, by: str | Sequence[str] = (), confidence: float = 0.95
) -> pd.DataFrame:
    """Return how many runs have each outcome and unit, for each value of the columns ``by``.

    Returns
    -------
    DataFrame
        The columns ``by``, then outcome, unit, count, n_runs, fraction and its Wilson interval low,
        high. Every combination of outcome and unit has a row, even if count is 0.
    """
    by = column_names(by, taken=("outcome", "unit", *RATE_COLUMNS))
    groups, (fates,) = count_groups(runs, by, ["outcome", "unit"])
    return beside(groups, _rates(groups, fates, {"outcome": OUTCOMES, "unit": UNITS}, confidence))


def rates(
    runs: Runs, column: str, by: str | Sequence[str] = (), confidence: float = 0.95
) -> pd.DataFrame:
    """Return how many runs have each value of any column, for each value of the columns ``by``.

    Runs without a value in the column are left out.

    Returns
    -------
    DataFrame
        As ``outcome_rates``, with that column instead of outcome and unit. Every group has a row
        for each category, for False and True, or for each value that occurs in any group.
    """
    if not isinstance(column, str):
        raise InputError(f"column: expected the name of a column, got {shown(column)}")
    by = column_names(by, taken=(column, *RATE_COLUMNS))
    groups, (tally,) = count_groups(runs, by, [column])
    dtype = tally[column].dtype
    values = (
        [False, True] if is_bool_dtype(dtype) else tally[column].astype("category").cat.categories
    )
    fractions = _rates(groups, tally, {column: pd.CategoricalDtype(values)}, confidence)
    return beside(groups, fractions.astype({column: dtype}))


def optimum_rates(
    runs: Runs, by: str | Sequence[str] = (), tolerance: float = 1e-6, confidence: float = 0.95
) -> pd.DataFrame:
    """Return how many runs found each of OPTIMA, for each value of the columns ``by``.

    Returns
    -------
    DataFrame
        As ``outcome_rates``, with the column optimum instead of outcome and unit.
    """
    by = column_names(by, taken=("optimum", *RATE_COLUMNS))
    label = partial(_with_optimum, tolerance=tolerance)
    groups, (optima,) = count_groups(runs, by, ["optimum"], derived=label, source=FOUND)
    return beside(groups, _rates(groups, optima, {"optimum": OPTIMA}, confidence))


def optimum(runs: pd.DataFrame, tolerance: float = 1e-6) -> pd.Categorical:
    """Return what each run on several samples found: one of OPTIMA.

    ``global`` is a final loss within ``tolerance`` of the smallest that any network has, whatever
    the outcome. Otherwise the unit ``died`` or was ``born_dead``, or the run ``diverged``, stopped
    at a ``local`` optimum or a saddle (converged or unstable), was ``oscillating``, or was still
    ``moving``. The tolerance is in the units of the loss: use a smaller one if targets are small.
    For runs on one sample in the same table, the result is missing, as their excess_loss is.
    """
    tolerance = finite_number("tolerance", tolerance, at_least=0)
    checked_table("runs", runs)
    require(runs, ["excess_loss", "outcome", "unit"], ", which runs on several samples have")
    numbers_in("runs", runs, "excess_loss")
    # As float64, because float32 would be compared with the tolerance rounded to it.
    excess_loss = pd.Series(_as_floats(runs["excess_loss"]), runs.index)
    conditions = [
        runs["outcome"] == "diverged",
        excess_loss <= tolerance,
        runs["unit"] == "died",
        runs["unit"] == "born_dead",
        runs["outcome"] == "converged",
        runs["outcome"] == "unstable",
        runs["outcome"] == "oscillating",
    ]
    words = ["diverged", "global", "died", "born_dead", "local", "local", "oscillating"]
    codes = _first_that_holds(conditions, words, "moving", OPTIMA)
    codes[_on_one_sample(runs)] = -1
    return pd.Categorical.from_codes(codes, dtype=OPTIMA)


def _on_one_sample(runs: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which runs of a table are on one sample: they have no excess loss.

    A run that diverged on several samples may have a NaN there, too, but all runs of a sweep are on
    the same samples.
    """
    lacking = runs["excess_loss"].isna() & ~_holds(runs["outcome"] == "diverged")
    if not lacking.any():
        return np.zeros(len(runs), bool)
    sweep = runs["sweep"] if "sweep" in runs else np.zeros(len(runs))
    return lacking.groupby(np.asarray(sweep), dropna=False).transform("any").to_numpy(bool)


def cumulative(runs: Runs, value: str, by: str | Sequence[str] = ()) -> pd.DataFrame:
    """Return the fraction of runs with at most each value, for each value of the columns ``by``.

    It is meant for continuous numbers, such as losses: every value is rounded up to one of 256
    steps between a power of 2 and the next, so the table does not grow with the runs, and the
    fractions are exact at the values that it lists.

    Returns
    -------
    DataFrame
        The columns ``by``, the values (ascending), n_runs and fraction. Runs whose value is missing
        or infinite count as larger than all others, and have no row.
    """
    if not isinstance(value, str):
        raise InputError(f"value: expected the name of a column, got {shown(value)}")
    if value in (*CUMULATIVE_COLUMNS, "group", "count"):
        raise InputError(f"value: expected a column of runs, got {value}")
    by = column_names(by, taken=(value, *CUMULATIVE_COLUMNS))
    rounded = partial(_rounded_up, value=value)
    groups, (tally,) = count_groups(runs, by, [value], derived=rounded, source=[value])
    tally = tally.sort_values(["group", value], ignore_index=True)
    tally["n_runs"] = n_runs(groups, tally).loc[tally["group"]].to_numpy()
    tally["fraction"] = tally.groupby("group")["count"].cumsum() / tally["n_runs"]
    finite = tally[tally[value].notna()]
    return beside(groups, finite.set_index("group")[[value, *CUMULATIVE_COLUMNS]])


def steps_to_converge(
    runs: Runs, by: str | Sequence[str] = (), quantiles: Sequence[float] = (0.1, 0.5, 0.9)
) -> pd.DataFrame:
    """Return quantiles of steps_taken of the converged runs, for each value of ``by``.

    Returns
    -------
    DataFrame
        The columns ``by``, n_converged, and q10, q50, ...: the smallest number of steps by which
        at least that fraction of the converged runs had converged; missing if none had.
    """
    if not isinstance(quantiles, Sequence):
        raise InputError(f"quantiles: expected several numbers, got {shown(quantiles)}")
    quantiles = [finite_number("quantiles", q) for q in quantiles]
    if not all(0 < q <= 1 for q in quantiles):
        raise InputError(f"quantiles: expected numbers in (0, 1], got {shown(quantiles)}")
    names = [f"q{100 * q:g}" for q in quantiles]
    by = column_names(by, taken=("outcome", "steps_taken", "n_converged", *names))
    groups, (ends,) = count_groups(runs, by, ["outcome", "steps_taken"])
    converged = ends[ends["outcome"] == "converged"]
    steps = _quantiles(groups, converged, "steps_taken", quantiles)
    steps.insert(0, "n_converged", n_runs(groups, converged))
    return beside(groups, steps)


def survival(runs: Runs, by: str | Sequence[str] = (), confidence: float = 0.95) -> pd.DataFrame:
    """Return the fraction of units that are not dead after k updates, for each value of ``by``.

    This is the estimate of Kaplan & Meier (1958). A unit dies at its death_step, 0 if it was born
    dead. An unfinished run with its unit alive is censored at its steps_taken: the unit was alive
    there, and its later fate is unknown. Alive units of runs that converged, diverged or oscillate
    are never censored: they stay as they are forever.

    Returns
    -------
    DataFrame
        The columns ``by``, step, n_at_risk (not dead before that step and not censored), n_died,
        n_censored, survival, low, high. A row for step 0 and for each step at which a unit died or
        was censored; survival is constant in between.

    Notes
    -----
    low, high is the Wilson interval of a fraction of n = survival * (1 - survival) / variance runs,
    with Greenwood's variance (Rothman 1978). Before the first censoring, n is the number of runs,
    so this is the interval of all other fractions here. Unlike the usual ones it also exists where
    survival is 1 or 0: there n is its limit as the deaths at that step go to none or to all.
    """
    by = column_names(by, taken=("fate", *SURVIVAL_COLUMNS))
    groups, (fates,) = count_groups(runs, by, ["step", "fate"], derived=_with_fate, source=ENDS)
    start = pd.DataFrame({"group": groups.index, "step": 0, "fate": "n_died", "count": 0})
    events = pd.concat([start, fates.dropna(subset="step").astype({"fate": str})])
    table = events.pivot_table("count", ["group", "step"], "fate", "sum", fill_value=0)
    table = table.reindex(columns=["n_died", "n_censored"], fill_value=0).reset_index()
    gone = table["n_died"] + table["n_censored"]
    gone_before = gone.groupby(table["group"]).cumsum() - gone
    table["n_at_risk"] = n_runs(groups, fates).loc[table["group"]].to_numpy() - gone_before
    kept = (table["n_at_risk"] - table["n_died"]) / table["n_at_risk"]
    table["survival"] = kept.groupby(table["group"]).cumprod()
    size = _effective_size(table)
    table["low"], table["high"] = wilson_interval(table["survival"] * size, size, confidence)
    curves = table.set_index("group")[list(SURVIVAL_COLUMNS)].astype({"step": "int64"})
    return beside(groups, curves)


def summary(runs: Runs, by: str | Sequence[str] = (), tolerance: float = 1e-6) -> pd.DataFrame:
    """Return one row that summarizes the runs, for each value of the columns ``by``.

    Returns
    -------
    DataFrame
        The columns ``by``; n_runs; the fractions of all runs that converged, diverged, are
        oscillating, unfinished or unstable; the fractions alive, born_dead, died; global_optimum,
        the fraction of the runs on several samples that ended within ``tolerance`` of the global
        optimum (see ``optimum``; only if there is an excess_loss); steps_q10, steps_q50, steps_q90,
        the steps that the converged runs took (see ``steps_to_converge``); and death_step_q50, the
        median death step of the units that died.
    """
    measures = (
        ["outcome"],
        ["unit"],
        ["optimum"],
        ["outcome", "steps_taken"],
        ["unit", "death_step"],
    )
    by = column_names(by, taken=(*SUMMARY_COLUMNS, *dict.fromkeys(chain(*measures))))
    tolerance = finite_number("tolerance", tolerance, at_least=0)
    groups, (outcomes, units, optima, ends, deaths) = count_groups(
        runs,
        by,
        *measures,
        derived=partial(_with_optimum_if_told, tolerance=tolerance),
        source=[*ENDS, *FOUND],
    )
    converged = ends[ends["outcome"] == "converged"]
    died = deaths[deaths["unit"] == "died"]
    table = pd.concat(
        [
            n_runs(groups, outcomes).rename("n_runs"),
            _fractions(groups, outcomes, "outcome", OUTCOMES),
            _fractions(groups, units, "unit", UNITS),
            _fractions(groups, optima, "optimum", OPTIMA)["global"].rename("global_optimum"),
            _quantiles(groups, converged, "steps_taken", (0.1, 0.5, 0.9)).add_prefix("steps_"),
            _quantiles(groups, died, "death_step", (0.5,)).add_prefix("death_step_"),
        ],
        axis="columns",
    )
    if optima["optimum"].isna().all():
        table = table.drop(columns="global_optimum")
    return beside(groups, table)


def _rounded_up(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """Return the runs with a value rounded up to 9 binary digits, missing if it is not finite."""
    require(frame, [value])
    numbers_in("runs", frame, value)
    values = _as_floats(frame[value])
    # Our own NaN, because a signaling one would warn.
    digits, exponent = np.frexp(np.where(np.isfinite(values), values, np.nan))
    with np.errstate(over="ignore"):
        rounded = np.ldexp(np.ceil(digits * 512) / 512, exponent)
    # Above the last step there is no power of 2, so the largest number takes its place.
    return frame.assign(**{value: np.minimum(rounded, np.finfo(float).max)})


def _as_floats(column: pd.Series) -> Float64Array:
    """Return a column of numbers in float64, NaN where a value is missing."""
    with np.errstate(over="ignore"):  # for types longer than float64
        return column.to_numpy(float, na_value=np.nan)


def _holds(condition: "pd.Series[bool]") -> npt.NDArray[np.bool_]:
    """Return where a condition holds; missing values count as False."""
    if condition.dtype == bool:  # none is missing
        return condition.to_numpy()
    return condition.fillna(False).to_numpy(bool)


def _first_that_holds(
    conditions: Sequence["pd.Series[bool]"],
    words: Sequence[str],
    otherwise: str,
    dtype: pd.CategoricalDtype,
) -> npt.NDArray[np.int8]:
    """Return, as codes of a dtype, the word of the first condition that holds in each row."""
    *codes, rest = (np.int8(list(dtype.categories).index(word)) for word in [*words, otherwise])
    chosen: npt.NDArray[np.int8] = np.select([_holds(c) for c in conditions], codes, rest)
    return chosen


def _with_fate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with how, and at which step, the observation of their unit ended."""
    require(frame, ENDS)
    death_step = frame["death_step"].astype("Int64")
    alive = death_step.isna()
    censored = alive & _holds(frame["outcome"] == "unfinished")
    fate = _first_that_holds([~alive, censored], ["n_died", "n_censored"], "never", WATCHED)
    return frame.assign(
        step=death_step.mask(censored, frame["steps_taken"]),
        fate=pd.Categorical.from_codes(fate, dtype=WATCHED),
    )


def _with_optimum(frame: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    return frame.assign(optimum=optimum(frame, tolerance))


def _with_optimum_if_told(frame: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Return the runs with what they found, which is missing for runs on one sample."""
    if "excess_loss" in frame:
        return _with_optimum(frame, tolerance)
    return frame.assign(optimum=pd.Categorical.from_codes([-1] * len(frame), dtype=OPTIMA))


def _rates(
    groups: pd.DataFrame,
    tally: pd.DataFrame,
    labels: dict[str, pd.CategoricalDtype],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Return count, fraction and interval of every combination of labels in each group."""
    words = [dtype.categories for dtype in labels.values()]
    rows = pd.MultiIndex.from_product([groups.index, *words], names=["group", *labels])
    counts = tally.astype(dict.fromkeys(labels, object)).set_index(["group", *labels])["count"]
    table = counts.reindex(rows, fill_value=0).reset_index().astype(labels).set_index("group")
    table["n_runs"] = table.groupby("group")["count"].transform("sum")
    table["fraction"] = table["count"] / table["n_runs"]
    table["low"], table["high"] = wilson_interval(table["count"], table["n_runs"], confidence)
    return table


def _fractions(
    groups: pd.DataFrame, tally: pd.DataFrame, label: str, dtype: pd.CategoricalDtype
) -> pd.DataFrame:
    """Return the fraction of every label in each group, in a column for each label."""
    fractions = _rates(groups, tally, {label: dtype})["fraction"].to_numpy()
    words = list(dtype.categories)
    return pd.DataFrame(fractions.reshape(len(groups), len(words)), groups.index, words)


def _quantiles(
    groups: pd.DataFrame, tally: pd.DataFrame, column: str, quantiles: Sequence[float]
) -> pd.DataFrame:
    """Return the quantiles of each group: the smallest values that enough runs do not exceed."""
    ordered = tally.sort_values(["group", column])
    counts = ordered.groupby("group")["count"]
    reached = counts.cumsum() / counts.transform("sum")
    table = pd.DataFrame(index=groups.index)
    for q in quantiles:
        first = ordered[reached >= q].groupby("group")[column].first()
        table[f"q{100 * q:g}"] = first.reindex(groups.index).astype("Int64")
    return table


def _effective_size(curve: pd.DataFrame) -> Float64Array:
    """Return the number of runs for which survival, uncensored, would be as uncertain."""
    at_risk, died, survival = (curve[name] for name in ("n_at_risk", "n_died", "survival"))
    before = survival.groupby(curve["group"]).shift(fill_value=1.0)
    hazard = died / at_risk
    with np.errstate(divide="ignore", invalid="ignore"):
        # Greenwood: the variance of survival is survival**2 times this sum.
        greenwood = (hazard / (at_risk - died)).groupby(curve["group"]).cumsum()
        size = (1 - survival) / (survival * greenwood)
    return np.select([survival == 1, survival == 0], [at_risk, at_risk / before], size)
