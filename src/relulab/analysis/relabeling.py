"""Outcomes under another tolerance, from stored runs, without training them again."""

from collections.abc import Iterable, Iterator
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.analysis.counting import EXPECTED, Runs
from relulab.model.outcome import OUTCOMES
from relulab.validation import InputError, checked_table, counted, finite_number, labels_in, shown


@overload
def relabel(runs: pd.DataFrame, gradient_tolerance: float) -> pd.DataFrame: ...


@overload
def relabel(runs: Iterable[pd.DataFrame], gradient_tolerance: float) -> Iterator[pd.DataFrame]: ...


def relabel(runs: Runs, gradient_tolerance: float) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """Return the runs with the outcomes that another gradient tolerance gives their last states.

    A run that did not diverge has converged if the gradient_norm of its last state is within the
    tolerance. With a larger tolerance, unfinished and oscillating runs become converged (and their
    period missing); with a smaller one that is possible, everything is as training with it gives.

    What is judged is the last state, and nothing else is stored. So, with a larger tolerance:

    - steps_taken stays the step of the last state. Training with that tolerance would have stopped
      there or before.
    - A run that diverged, or whose last state is beyond the tolerance, keeps its outcome, though
      training with that tolerance might have stopped it on the way, on a plateau.
    - death_step and unit tell of the training as it was run, to its last state.

    Parameters
    ----------
    runs : DataFrame, or iterable of DataFrame
        It stays as it is. Of several tables, such as the parts of a results folder, those with the
        other labels are returned one by one.
    gradient_tolerance : float
        At least the largest gradient_norm of the converged runs.

    Raises
    ------
    InputError
        Also if converged runs are beyond the tolerance: they would have trained on, and where to
        is not stored. The message tells the smallest tolerance that is possible.
    """
    tolerance = finite_number("gradient_tolerance", gradient_tolerance, at_least=0)
    if isinstance(runs, pd.DataFrame):
        return _relabelled(runs, tolerance)
    if not isinstance(runs, Iterable) or isinstance(runs, np.ndarray):
        raise InputError(f"runs: {EXPECTED}, got {shown(runs)}")
    return (_relabelled(frame, tolerance) for frame in runs)


def _relabelled(runs: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Return one table with its new labels."""
    outcome, norm = _checked_measures(runs)
    # A plain number beside an array is rounded to its dtype, as when float32 networks train.
    within = norm <= tolerance
    beyond = (outcome == "converged") & ~within
    if beyond.any():
        raise InputError(
            f"gradient_tolerance: expected at least {float(norm[beyond].max())}, got {tolerance},"
            f" with which {counted(beyond.sum(), 'converged run')} would have trained on, and"
            " where to is not stored; train them again with that tolerance"
        )
    converged = within & (outcome != "diverged")
    labels = pd.Categorical(np.where(converged, "converged", outcome), dtype=OUTCOMES)
    relabelled = runs.assign(outcome=labels)
    if "period" in runs:
        relabelled["period"] = runs["period"].mask(converged)
    return relabelled


def _checked_measures(
    runs: pd.DataFrame,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.floating[Any]]]:
    """Return outcome and gradient_norm of the runs, each of shape (n_runs,)."""
    checked_table("runs", runs)
    for name in ("outcome", "gradient_norm"):
        if name not in runs:
            raise InputError(f"runs: expected the columns outcome, gradient_norm; no {name}")
    labels_in("runs", runs, "outcome")
    unknown = runs.loc[~runs["outcome"].isin(OUTCOMES.categories), "outcome"]
    if len(unknown):
        raise InputError(
            f"runs: expected outcomes among {', '.join(OUTCOMES.categories)},"
            f" got {shown(unknown.iloc[0])}"
        )
    column = runs["gradient_norm"]
    if column.dtype.kind not in "iufb":
        raise InputError(f"runs: expected numbers in gradient_norm, got {column.dtype}")
    outcome = runs["outcome"].to_numpy(object)
    dtype = np.float32 if column.dtype == np.float32 else np.float64
    norm = column.to_numpy(dtype, na_value=np.nan)
    if np.isnan(norm[outcome == "converged"]).any():
        raise InputError("runs: expected a gradient_norm of every converged run, got one without")
    return outcome, norm
