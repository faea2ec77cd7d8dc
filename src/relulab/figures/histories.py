"""The runs of a trace: which there are, how long they are finite, from when on units are dead."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from relulab.figures.palette import literal, name_of
from relulab.validation import InputError, instance_of, shown


def keys(trace: pd.DataFrame) -> list[str]:
    """Return the columns that distinguish the runs of a trace."""
    return ["sweep", "run"] if "sweep" in trace else ["run"]


def histories(trace: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the history of every run, in the order of their numbers."""
    return [history for _, history in trace.groupby(keys(trace), observed=True)]


def refuse_several(trace: pd.DataFrame) -> None:
    """Refuse the trace of several runs."""
    if (n := len(histories(trace))) > 1:
        raise InputError(f"trace: expected a single run, got {n}")


def last_finite(history: pd.DataFrame, *columns: str) -> int | None:
    """Return the row of a run's last finite state, if others follow; None else."""
    finite = np.isfinite(history[[*columns]].to_numpy(float)).all(axis=1)
    if not finite.any() or finite[-1]:
        return None
    return int(np.flatnonzero(finite)[-1])


def last_finite_in_words(steps: Sequence[float]) -> str:
    """Return where runs stop being finite."""
    first, last = min(steps), max(steps)
    if first == last:
        return f"last finite state: step {first:g}"
    return f"last finite states: steps {first:g} to {last:g}"


def dead_from(history: pd.DataFrame) -> float | None:
    """Return from which step on a unit is inactive on every sample, to the end; None if it is not.

    Columns step and n_active, missing where the state is not finite.
    """
    states = history.dropna(subset=["step", "n_active"])
    alive = np.flatnonzero(states["n_active"].to_numpy(float) > 0)
    first = alive[-1] + 1 if alive.size else 0
    return float(states["step"].to_numpy(float)[first]) if first < len(states) else None


def checked_labels(runs: Sequence[pd.DataFrame], labels: Sequence[str] | None) -> Sequence[str]:
    """Return a label for each run."""
    if labels is None:
        sweeps = [f"{name_of(run['sweep'].iloc[0])}, " if "sweep" in run else "" for run in runs]
        numbers = [run["run"].iloc[0] for run in runs]
        return [literal(f"{s}run {n}") for s, n in zip(sweeps, numbers, strict=True)]
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise InputError(f"labels: expected several texts, got {shown(labels)}")
    for label in labels:
        instance_of("labels", label, str)
    if len(labels) != len(runs):
        raise InputError(f"labels: expected {len(runs)}, one for each run, got {len(labels)}")
    return labels
