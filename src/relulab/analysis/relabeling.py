"""Find the outcomes of stored runs for another tolerance, without training them again."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.analysis.counting import EXPECTED, Runs
from relulab.model.data import TrainingSet
from relulab.model.network import PARAMETERS, Networks
from relulab.model.outcome import OUTCOMES
from relulab.training.numpy_engine import Lanes
from relulab.training.optimizers import SGD
from relulab.training.options import TrainingOptions, checked_freeze
from relulab.training.settings import BOUNDS, RATES, within_bounds
from relulab.training.trainer import evaluated
from relulab.validation import (
    Float64Array,
    InputError,
    checked_table,
    counted,
    finite_number,
    instance_of,
    labels_in,
    non_negative_array,
    numbers_in,
    shown,
    whole_number,
)

# The outcomes that end a run within the tolerance.
ENDED = ("converged", "unstable")


@overload
def relabel(
    runs: pd.DataFrame,
    gradient_tolerance: float,
    data: TrainingSet | None = None,
    *,
    freeze: Collection[str] = (),
    batch_size: int | None = None,
) -> pd.DataFrame: ...


@overload
def relabel(
    runs: Iterable[pd.DataFrame],
    gradient_tolerance: float,
    data: TrainingSet | None = None,
    *,
    freeze: Collection[str] = (),
    batch_size: int | None = None,
) -> Iterator[pd.DataFrame]: ...


def relabel(
    runs: Runs,
    gradient_tolerance: float,
    data: TrainingSet | None = None,
    *,
    freeze: Collection[str] = (),
    batch_size: int | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """Return the runs with the outcomes that another gradient tolerance gives their last states.

    With a smaller tolerance, if it is possible, everything is as if trained with it. With a larger
    one, an unfinished or oscillating run becomes converged (and its period missing) if the
    gradient_norm of its last state is within the tolerance *and* gradient descent rests at that
    state, as in training. This needs the training data; without them, such a run is refused. Only
    the last state is stored and judged. So, with a larger tolerance:

    - steps_taken stays the step of the last state. Training with that tolerance would have stopped
      there or earlier.
    - A run that diverged, or whose last state is beyond the tolerance, keeps its outcome, though
      training with that tolerance might have stopped it earlier, on a plateau.
    - death_step and unit describe the training as it was run, to its last state.
    - No run becomes unstable, though training would call it so if it stood still there.

    Runs with a negative slope, weight decay or clipping are judged like others. With momentum or
    Adam, an unfinished run is refused, because its velocity is not stored.

    Parameters
    ----------
    runs : DataFrame, or iterable of DataFrame
        The runs, which are not changed. Several tables, such as the parts of a results folder, are
        relabeled and returned one by one.
    gradient_tolerance : float
        At least the largest gradient_norm of the converged and the unstable runs.
    data : TrainingSet, optional
        The data on which all the runs were trained.
    freeze : collection of str
        The parameters that did not train, as in training. Refused if the runs show that it is
        another, as far as they can.
    batch_size : int, optional
        As in training. With batches, only the gradient decides, and no data are needed.

    Raises
    ------
    InputError
        Also if such runs are beyond the tolerance: they would have continued, with a result that
        is not stored. The message gives the smallest possible tolerance.

    Examples
    --------
    >>> import relulab as rl
    >>> data = rl.TrainingSet.point(1, 3)
    >>> start = rl.Networks(w=0.5, b=0.2, v=0.3, c=0.1)
    >>> runs = rl.train(start, data, learning_rate=0.1, max_steps=12).to_frame()
    >>> rl.relabel(runs, 1e-2, data)["outcome"].tolist()
    ['converged']
    """
    tolerance = finite_number("gradient_tolerance", gradient_tolerance, at_least=0)
    if data is not None:
        instance_of("data", data, TrainingSet)
    names = checked_freeze(freeze)
    if batch_size is not None:
        whole_number("batch_size", batch_size, at_least=1)

    def relabelled(frame: pd.DataFrame) -> pd.DataFrame:
        return _relabelled(frame, tolerance, data, names, by_batches=batch_size is not None)

    if isinstance(runs, pd.DataFrame):
        return relabelled(runs)
    if not isinstance(runs, Iterable) or isinstance(runs, np.ndarray):
        raise InputError(f"runs: {EXPECTED}, got {shown(runs)}")
    return map(relabelled, runs)


def _relabelled(
    runs: pd.DataFrame,
    tolerance: float,
    data: TrainingSet | None,
    freeze: Collection[str],
    by_batches: bool,
) -> pd.DataFrame:
    """Return one table with its new labels."""
    outcome, norm = _checked_measures(runs)
    with np.errstate(over="ignore"):  # a tolerance beyond float32
        within = norm <= norm.dtype.type(tolerance)  # rounded as when float32 networks train
    beyond = np.isin(outcome, ENDED) & ~within
    if beyond.any():
        raise InputError(
            f"gradient_tolerance: expected at least {float(norm[beyond].max())}, got {tolerance},"
            f" with which {counted(beyond.sum(), 'run')} would have continued, with a result"
            " that is not stored; train them again with that tolerance"
        )
    converged = within & np.isin(outcome, ("unfinished", "oscillating"))
    _refuse_velocities(runs[converged])
    if converged.any() and not by_batches:
        if data is None:
            raise InputError(
                "data: expected the TrainingSet of the runs, got None; it decides whether gradient"
                f" descent rests where {counted(converged.sum(), 'run')} would now be converged"
            )
        converged[converged] = _rests(runs[converged], data, freeze)
    labels = pd.Categorical(np.where(converged, "converged", outcome), dtype=OUTCOMES)
    relabelled = runs.assign(outcome=labels)
    if "period" in runs:
        relabelled["period"] = runs["period"].mask(converged)
    return relabelled


def _refuse_velocities(runs: pd.DataFrame) -> None:
    """Refuse runs with velocities, which are not stored."""
    for name in ("momentum", "beta1"):
        if name in runs and (runs[name].fillna(0) != 0).any():
            raise InputError(
                f"runs: expected unfinished ones without velocity, got {name}, with which a run"
                " within the tolerance may still move; train them again with that tolerance"
            )


def _rests(runs: pd.DataFrame, data: TrainingSet, freeze: Collection[str]) -> npt.NDArray[np.bool_]:
    """Return whether gradient descent rests at the last state of each run."""
    names = [*PARAMETERS, "loss"]
    if any(name not in runs for name in names) or not any(name in runs for name in RATES):
        raise InputError(f"runs: expected the columns {', '.join(names)} and those of the rates")
    numbers_in("runs", runs, *names, *(name for name in BOUNDS if name in runs))
    networks = Networks(*(runs[name] for name in PARAMETERS))
    loss = non_negative_array("loss", runs["loss"])
    settings: dict[str, Any] = {name: _rates(runs, name) for name in RATES[1:]}
    slope = _setting(runs, "negative_slope")
    decay = {p: _setting(runs, f"weight_decay_{p}", "weight_decay") for p in PARAMETERS}
    dtype = "float32" if runs["w"].dtype == np.float32 else "float64"
    optimizer = SGD(weight_decay=decay)
    options = TrainingOptions(
        freeze=freeze, dtype=dtype, negative_slope=slope, optimizer=optimizer, **settings
    )
    lanes = evaluated(networks, data, {**settings, **options.settings}, options)
    _refuse_other_data(lanes, data, loss)
    _refuse_other_freeze(runs, lanes, options.freeze)
    return lanes.rest(np.arange(len(runs)))


def _setting(runs: pd.DataFrame, *names: str) -> Float64Array:
    """Return a setting of the runs, from the first of these columns with a value; 0 if none has."""
    values = pd.Series(np.nan, runs.index)
    for name in names:
        values = values.fillna(runs.get(name, values))
    filled: Float64Array = within_bounds(names[0], values.fillna(0).astype(np.float64))
    return filled


def _rates(runs: pd.DataFrame, layer: str) -> Float64Array:
    """Return the rates of a layer: its own or, if it has none, the learning rate."""
    missing = pd.Series(np.nan, runs.index)
    rates = runs.get(layer, missing).fillna(runs.get(RATES[0], missing)).astype(np.float64)
    if rates.isna().any():
        raise InputError(f"runs: expected a {layer} or learning_rate of every run, got one without")
    return non_negative_array(layer, rates)


def _refuse_other_data(lanes: Lanes, data: TrainingSet, loss: Float64Array) -> None:
    """Refuse data on which a network does not have the stored loss."""
    w, b, v, c = np.abs(lanes.parameters.astype(np.float64))
    there = lanes.loss.astype(np.float64)
    with np.errstate(all="ignore"):
        largest = v * (w * np.abs(data.x).max() + b) + c + np.abs(data.target).max()
        rounding = 64 * float(np.finfo(lanes.loss.dtype).eps) * largest
        # Stored numbers may be rounded, and sums are made in another order.
        room = 1e-3 * loss + 1e-4 * np.mean(0.5 * data.target**2)
        room += rounding * (np.sqrt(2 * loss) + rounding)
        other = np.flatnonzero(~(np.abs(there - loss) <= room))
    if other.size:
        first = other[0]
        raise InputError(
            "data: expected the training data of the runs, got others, on which a network of loss"
            f" {loss[first]:g} has {there[first]:g}"
        )


def _refuse_other_freeze(runs: pd.DataFrame, lanes: Lanes, freeze: Collection[str]) -> None:
    """Refuse frozen parameters that moved, and trained ones that did not although they would.

    Only three steps show that a parameter does not train: the first may move v alone, and the
    second w and b. The states of an orbit return.
    """
    if not {f"{p}0" for p in PARAMETERS} <= {*runs}:
        return
    numbers_in("runs", runs, *(f"{p}0" for p in PARAMETERS))
    ends = lanes.parameters
    starts = np.array([runs[f"{p}0"].to_numpy(np.float64, na_value=np.nan) for p in PARAMETERS])
    # Networks of float32 may be stored in float64, and their starts as they were drawn.
    with np.errstate(over="ignore"):
        moved = (starts != ends) & (starts.astype(np.float32) != ends)
    with np.errstate(all="ignore"):
        would = ends - lanes.rates.repeat(2, axis=0) * lanes.gradients != ends
    shows = np.zeros(len(runs), bool)
    if "steps_taken" in runs:
        steps = runs["steps_taken"].to_numpy(np.float64, na_value=0)
        shows = (runs["outcome"] == "unfinished").to_numpy() & (steps >= 3) & moved.any(axis=0)
    for p, its_moved, its_would in zip(PARAMETERS, moved, would, strict=True):
        if p in freeze and its_moved.any():
            raise InputError(
                f"freeze: expected parameters that did not train, got {p}, which moved"
            )
        if p not in freeze and not its_moved.any() and (its_would & shows).any():
            raise InputError(
                f"freeze: expected also {p}, which never moved in these runs, got {shown(freeze)}"
            )


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
    if np.isnan(norm[np.isin(outcome, ENDED)]).any():
        raise InputError("runs: expected a gradient_norm of every converged run, got one without")
    return outcome, norm
