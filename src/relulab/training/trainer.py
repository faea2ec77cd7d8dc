"""The public trainer: ``train`` for where networks end, ``trace`` for how they get there."""

from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.model.data import TrainingSet
from relulab.model.network import PARAMETERS, Networks
from relulab.model.outcome import Outcome, outcome_labels, unit_labels
from relulab.training import sorted_sums
from relulab.training.engines import load_engine, resolved_engine
from relulab.training.numba_support import CompilerError, note_failure
from relulab.training.numpy_engine import Lanes
from relulab.training.optimizers import (
    PLAIN,
    Adam,
    checked_optimizer,
    setting_names,
    with_settings,
)
from relulab.training.options import TrainingKeywords, TrainingOptions, UpdateKeywords, takes
from relulab.training.orbits import find_periods
from relulab.training.settings import BOUNDS, DECAYS, RATES, within_bounds
from relulab.training.specification import FinalStates, Problem
from relulab.training.update_rules import AdamRule, SGDRule
from relulab.validation import (
    FloatArray,
    InputError,
    columns_in,
    counted,
    expected_values,
    in_dtype,
    instance_of,
    numbers_in,
    shown,
    whole_number,
    whole_numbers_in,
    within_memory,
    without_index,
)

# Networks trained at a time: the engines' arrays stay small, and waiting for the slowest network
# of a block costs nothing at this size.
BLOCK = 2**18


@dataclass(frozen=True, eq=False)
class Trained:
    """Where training left every network.

    Attributes
    ----------
    initial, networks : Networks
        The parameters of the ``n_nets`` networks before and after training.
    settings : dict of str to ndarray, each of shape (n_nets,)
        The learning rates under the names you gave, and the negative slope and the numbers of the
        optimizer if they differ from plain descent.
    loss, gradient_norm : ndarray, shape (n_nets,)
        At the final state. In a diverged state they may be anything, finite or not.
    steps_taken : ndarray of int64, shape (n_nets,)
        The number of updates.
    death_step : ndarray of int64, shape (n_nets,)
        The step from which the unit was inactive on every sample until the end; 0 if born dead,
        -1 if it ended active.
    n_revivals : ndarray of int64, shape (n_nets,), optional
        How often a unit that was inactive on every sample became active again; None if it cannot:
        without a negative slope, momentum, weight decay or Adam.
    period : ndarray of int64, shape (n_nets,)
        The number of steps after which an oscillating network returns (``training.orbits``); 0 for
        none.
    outcome, unit : pandas.Categorical, shape (n_nets,)
        The labels of ``relulab.model.outcome``; independent of each other.
    """

    initial: Networks
    settings: dict[str, FloatArray]
    networks: Networks
    loss: FloatArray
    gradient_norm: FloatArray
    steps_taken: npt.NDArray[np.int64]
    death_step: npt.NDArray[np.int64]
    n_revivals: npt.NDArray[np.int64] | None
    period: npt.NDArray[np.int64]
    outcome: pd.Categorical
    unit: pd.Categorical

    def __repr__(self) -> str:
        fates = self._fates()
        counts = ", ".join(f"{n:,} {outcome} ({unit})" for (outcome, unit), n in fates.items())
        return f"Trained({counted(len(self.initial), 'network')}: {counts or 'none'})"

    def _repr_html_(self) -> str:
        return str(self._fates().unstack(fill_value=0).to_html())

    def _fates(self) -> Any:
        """Return the number of networks of each outcome and unit, the largest first."""
        fates = pd.DataFrame({"outcome": self.outcome, "unit": self.unit})
        return fates.astype(str).value_counts()

    def final(self) -> dict[str, Any]:
        """Return the final states and the labels, as columns of a table."""
        return {
            **{p: getattr(self.networks, p) for p in PARAMETERS},
            "loss": self.loss,
            "gradient_norm": self.gradient_norm,
            "steps_taken": self.steps_taken,
            "death_step": pd.arrays.IntegerArray(self.death_step, self.death_step < 0),
            **({} if self.n_revivals is None else {"n_revivals": self.n_revivals}),
            "period": pd.arrays.IntegerArray(self.period, self.period == 0),
            "outcome": self.outcome,
            "unit": self.unit,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row per network: run, initial values, settings, final state, labels."""
        return pd.DataFrame(
            {
                "run": np.arange(len(self.initial)),
                **{f"{p}0": getattr(self.initial, p) for p in PARAMETERS},
                **self.settings,
                **self.final(),
            }
        )


@takes(TrainingKeywords)
def train(
    networks: Networks,
    data: TrainingSet,
    learning_rate: Any = None,
    *,
    engine: str = "auto",
    **options: Unpack[TrainingKeywords],
) -> Trained:
    """Train every network by gradient descent until it converges, diverges or stops.

    The loss is the mean over samples of residual^2/2. The mean squared error of PyTorch and Keras
    has no 1/2, so a learning rate here is twice the rate there (but with Adam the same, see
    ``Adam`` and ``SGD``).

    The arithmetic is specified bit for bit in ``relulab.training.specification``. A network's
    result does not depend on the engine or on the other networks.

    Parameters
    ----------
    networks : Networks
        The initial values of ``n_nets`` networks.
    data : TrainingSet
    learning_rate : float or array_like, shape (n_nets,), optional
        The step size, one for all or one for each network, as for the other rates.
    engine : {"auto", "numpy", "numba"}
        The engine for the arithmetic; results are the same bit for bit. "auto" uses Numba if it is
        installed (the extra ``fast``) and works; if it is installed but does not work, a line on
        stderr says why.
    **options

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        In one line that names the wrong argument, before any training.

    Examples
    --------
    >>> import relulab as rl
    >>> starts = rl.Networks(w=[0.5, -0.5], b=0.2, v=0.3, c=0.1)
    >>> trained = rl.train(starts, rl.TrainingSet.point(1, 3), learning_rate=0.1)
    >>> trained.to_frame()[["outcome", "unit", "steps_taken"]]
         outcome       unit  steps_taken
    0  converged      alive           17
    1  converged  born_dead          142
    """
    instance_of("networks", networks, Networks)
    checked = TrainingOptions(learning_rate=learning_rate, **options)
    resolved_engine(engine)  # refused before any work
    return descend(networks, data, _settings(checked, len(networks)), checked, engine)


def descend(
    networks: Networks,
    data: TrainingSet,
    settings: dict[str, FloatArray],
    options: TrainingOptions,
    engine: str,
) -> Trained:
    """Train networks, each with its own settings: arrays of shape (n_nets,)."""
    ends = _ends(networks, data, settings, options, engine)
    return Trained(
        initial=networks,
        settings=settings,
        networks=Networks.from_stack(ends["parameters"]),
        loss=ends["loss"],
        gradient_norm=ends["gradient_norm"],
        steps_taken=ends["steps_taken"],
        death_step=ends["death_step"],
        n_revivals=ends["n_revivals"] if options.can_revive else None,
        period=ends["period"],
        outcome=outcome_labels(ends["outcome"]),
        unit=unit_labels(ends["death_step"]),
    )


def _ends(
    networks: Networks,
    data: TrainingSet,
    settings: dict[str, FloatArray],
    options: TrainingOptions,
    engine: str,
) -> dict[str, Any]:
    """Return the arrays of ``FinalStates`` and the periods, block by block."""
    n_nets = len(networks)
    if n_nets <= BLOCK:
        return _end(_problem(networks, data, settings, options), engine)

    def problem(block: slice) -> Problem:
        part = Networks.from_stack(np.stack([getattr(networks, p)[block] for p in PARAMETERS]))
        its = {name: values[block] for name, values in settings.items()}
        return _problem(part, data, its, options)

    blocks = [slice(first, first + BLOCK) for first in range(0, n_nets, BLOCK)]
    if options.dtype != "float64":  # refuse values beyond its range before any training
        for block in blocks:
            problem(block)
    ends: dict[str, Any] = {}
    for block in blocks:
        for name, values in _end(problem(block), engine).items():
            if name not in ends:
                ends[name] = np.empty((*values.shape[:-1], n_nets), values.dtype)
            ends[name][..., block] = values
    return ends


def _end(problem: Problem, engine: str) -> dict[str, Any]:
    """Return the arrays of ``FinalStates`` and the periods of one block."""
    final, period = _run(problem, engine)
    ends = {name: values for name, values in vars(final).items() if name != "rule"}
    outcome = np.where(period > 0, np.int8(Outcome.OSCILLATING), final.outcome)
    return ends | {"period": period, "outcome": outcome}


@takes(UpdateKeywords)
def trace(
    networks: Networks | pd.DataFrame,
    data: TrainingSet,
    learning_rate: Any = None,
    n_steps: int = 100,
    **options: Unpack[UpdateKeywords],
) -> pd.DataFrame:
    """Return the history of ``n_steps`` updates of every network, converged or not.

    Parameters
    ----------
    networks : Networks or DataFrame
        As in ``train``; or rows of a results table, which have initial values (w0, b0, v0, c0),
        rates, slope and the optimizer's numbers of their own, which count beside an ``optimizer``.
        ``data`` and all other options must be those of their training, which is checked where the
        history reaches a row's last state.
    data, learning_rate
        As in ``train``.
    n_steps : int
    **options

    Returns
    -------
    DataFrame
        One row per run and step 0 ... n_steps with columns run, step, w, b, v, c, loss; for a
        single sample, prediction; and n_active, the number of samples on which the unit is active:
        the state before that step's update. A run's values are missing from its first state that
        is not finite. Rows of a results table keep their run; their sweep, settings, outcome and
        unit follow n_active.

    Raises
    ------
    InputError
        As in ``train``; or if rows end elsewhere, so that they were trained in another way.

    Examples
    --------
    >>> import relulab as rl
    >>> start = rl.Networks(w=0.5, b=0.2, v=0.3, c=0.1)
    >>> rl.trace(start, rl.TrainingSet.point(1, 3), learning_rate=0.01, n_steps=1).round(4)
       run  step       w       b       v       c    loss  prediction  n_active
    0    0     0  0.5000  0.2000  0.3000  0.1000  3.6180      0.3100         1
    1    0     1  0.5081  0.2081  0.3188  0.1269  3.4974      0.3552         1

    >>> sweep = rl.Sweep(data=rl.TrainingSet.point(1, 3), w=1, v=[0.5, 3.5], learning_rate=0.3)
    >>> died = sweep.run().query("unit == 'died'")
    >>> trace = rl.trace(died, sweep.data, n_steps=2)
    >>> trace[["run", "step", "n_active", "learning_rate", "outcome", "unit"]]
       run  step  n_active  learning_rate    outcome  unit
    0    1     0         1            0.3  converged  died
    1    1     1         0            0.3  converged  died
    2    1     2         0            0.3  converged  died
    """
    n_steps = whole_number("n_steps", n_steps, at_least=0, at_most=2**31)
    rows = None
    if isinstance(networks, pd.DataFrame):
        rows = without_index(networks)
        networks, learning_rate, options = _started(rows, learning_rate, options)
    instance_of("networks", networks, Networks)
    checked = TrainingOptions(learning_rate=learning_rate, **options)
    settings = _settings(checked, len(networks))
    within_memory("n_steps", (n_steps + 1) * 6 * len(networks))
    problem = _problem(networks, data, settings, checked)
    history = _history(problem, n_steps)
    if rows is not None:
        _check_ends(rows, history)
    run, step = np.indices((problem.n_nets, n_steps + 1)).reshape(2, -1)
    w, b, v, c, loss = history.transpose(1, 2, 0).reshape(5, -1)
    columns: dict[str, Any] = {
        "run": run,
        "step": step,
        "w": w,
        "b": b,
        "v": v,
        "c": c,
        "loss": loss,
    }
    with np.errstate(all="ignore"):
        if data.n_samples == 1:
            pre = w * problem.x[0] + b
            slope = 0 if problem.slope is None else problem.slope[run]
            columns["prediction"] = v * np.where(pre <= 0, slope * pre, pre) + c
        n_active = _n_active(w, b, problem.x)
    columns["n_active"] = pd.arrays.IntegerArray(n_active, np.isnan(loss))
    if rows is not None:
        columns |= {name: rows[name].array[run] for name in ("run", *_LABELS) if name in rows}
    return pd.DataFrame(columns)


# What a trace keeps of the rows that it is of.
_LABELS = ("sweep", *BOUNDS, "outcome", "unit")


def _started(
    rows: pd.DataFrame, learning_rate: Any, options: UpdateKeywords
) -> tuple[Networks, Any, UpdateKeywords]:
    """Return the networks, the rate and the options from which rows of a results table started."""
    columns_in("networks", rows, *(f"{p}0" for p in PARAMETERS))
    if not len(rows):
        raise InputError("networks: expected at least one row, got none")
    keys = [name for name in ("sweep", "run") if name in rows]
    if "run" in keys and (twice := rows.duplicated(keys)).any():
        run = shown(rows.loc[twice, "run"].tolist()[0])
        raise InputError(f"networks: expected each run once, got run {run} several times")
    # Where sweeps differ in their settings, a results folder misses those that one lacks.
    own = {
        name: rows[name].to_numpy() for name in BOUNDS if name in rows and rows[name].notna().any()
    }
    given = {"learning_rate": learning_rate, **options}
    if both := [name for name in own if given.get(name) is not None]:
        raise InputError(f"{both[0]}: expected None beside rows that have one each")
    update: Any = {name: own.pop(name) for name in (*RATES, "negative_slope") if name in own}
    optimizer = checked_optimizer(options.get("optimizer", PLAIN))
    decays = {p: own[name] for p, name in zip(PARAMETERS, DECAYS, strict=True) if name in own}
    if decays:
        optimizer = replace(optimizer, weight_decay=decays)
    if strange := [name for name in own if name not in setting_names(optimizer)]:
        raise InputError(
            f"optimizer: expected the one of the rows, which have {strange[0]},"
            f" got {shown(optimizer)}"
        )
    update["optimizer"] = with_settings(optimizer, own)
    networks = Networks(*(rows[f"{p}0"] for p in PARAMETERS))
    rate = update.pop("learning_rate", learning_rate)
    return networks, rate, options | update


def _check_ends(rows: pd.DataFrame, history: FloatArray) -> None:
    """Refuse rows whose last state is another than that of their history."""
    if not {"steps_taken", *PARAMETERS} <= {*rows}:
        return
    whole_numbers_in("networks", rows, "steps_taken")
    numbers_in("networks", rows, *PARAMETERS)
    runs = rows["run"].tolist() if "run" in rows else range(len(rows))
    steps = rows["steps_taken"].to_numpy(np.float64, na_value=np.inf)
    ends = rows[[*PARAMETERS]].to_numpy(history.dtype, na_value=np.nan)
    for k in np.flatnonzero((steps >= 0) & (steps < len(history))):
        there, end = history[int(steps[k]), :4, k], ends[k]
        if np.isfinite(there).all() and (there != end).any():
            raise InputError(
                "networks: expected rows that were trained on this data with these options, got"
                f" run {shown(runs[k])}, which ended elsewhere at step {steps[k]:.0f}"
            )


def _history(problem: Problem, n_steps: int) -> FloatArray:
    """Return w, b, v, c and the loss of every state, shape (n_steps + 1, 5, n_nets).

    From the first state that is not finite on they are NaN.
    """
    lanes = Lanes(problem, np.arange(problem.n_nets))
    history = np.full((n_steps + 1, 5, problem.n_nets), np.nan, problem.dtype)
    finite = np.ones(problem.n_nets, bool)
    batches = problem.batches
    steps = batches.steps() if batches else repeat(None)
    with np.errstate(all="ignore"):
        for state, batch in zip(history, steps, strict=False):
            lanes.evaluate()
            finite &= lanes.finite
            np.copyto(state[:4], lanes.parameters, where=finite)
            np.copyto(state[4], lanes.loss, where=finite)
            if batch is not None:
                lanes.evaluate_batch(batch)
            lanes.update()
    return history


def _n_active(w: FloatArray, b: FloatArray, x: FloatArray) -> npt.NDArray[np.int64]:
    """Return on how many samples each unit is active, in the arithmetic of its training.

    Pre-activations are monotone in x, also rounded, so the first sample at which activity changes
    is found by bisection.
    """
    x = np.sort(x)
    low, high = np.zeros(w.size, np.int64), np.full(w.size, x.size)
    for _ in range(x.size.bit_length()):
        middle = (low + high) // 2
        active = w * x[np.minimum(middle, x.size - 1)] + b > 0
        changed = (active == (w > 0)) | (low == high)
        high = np.where(changed, middle, high)
        low = np.where(changed, low, middle + 1)
    return np.where(w > 0, x.size - low, low)


def evaluated(
    networks: Networks,
    data: TrainingSet,
    settings: dict[str, FloatArray],
    options: TrainingOptions,
) -> Lanes:
    """Return networks with their settings as they would train on: with losses and gradients.

    Shapes are as in ``descend``. Velocities are 0.
    """
    lanes = Lanes(_problem(networks, data, settings, options), np.arange(len(networks)))
    with np.errstate(all="ignore"):
        lanes.evaluate()
    return lanes


def _run(problem: Problem, engine: str) -> tuple[FinalStates, npt.NDArray[np.int64]]:
    """Return the final states and the periods, by NumPy if a Numba kernel fails."""
    trainer = load_engine(engine)
    try:
        final: FinalStates = trainer.run(problem)
        return final, find_periods(problem, final, trainer.periods)
    except CompilerError as error:
        note_failure(error)
    return _run(problem, engine)  # by NumPy, or refused if Numba was required


def _settings(options: TrainingOptions, n_nets: int) -> dict[str, FloatArray]:
    """Return the settings of the options, each of shape (n_nets,)."""
    given = {name: within_bounds(name, value) for name, value in options.settings.items()}
    for name, values in given.items():
        if values.size not in (1, n_nets):
            raise InputError(f"{name}: expected {expected_values(n_nets)}, got {values.size}")
    return {name: np.broadcast_to(values, (n_nets,)) for name, values in given.items()}


def _problem(
    networks: Networks,
    data: TrainingSet,
    settings: dict[str, FloatArray],
    options: TrainingOptions,
) -> Problem:
    """Return the input of an engine, in the dtype of the arithmetic."""
    instance_of("data", data, TrainingSet)
    dtype = np.dtype(options.dtype)
    given = {name: _in_dtype(name, values, dtype) for name, values in settings.items()}
    both = [given[name if name in given else "learning_rate"] for name in RATES[1:]]
    w, b, v, c = (p not in options.freeze for p in PARAMETERS)
    x, target = in_dtype("data", data.x, dtype), in_dtype("data", data.target, dtype)
    parameters = in_dtype("networks", networks.stack(), dtype)
    parameters += 0.0  # as in Networks: what is too small for float32 may be -0.0 now
    by_tables = options.summation_of(data) == "sorted"
    slope = given.get("negative_slope")
    return Problem(
        parameters=parameters,
        rates=np.stack(both),
        trained=(w, b, v, c),
        x=x,
        target=target,
        sums=sorted_sums.tables(data, dtype) if by_tables else None,
        batches=options.batches(data.n_samples),
        options=options,
        slope=None if slope is None or not slope.any() else slope,
        rule=_rule(given, options, len(networks), dtype),
    )


def _rule(
    given: dict[str, FloatArray], options: TrainingOptions, n_nets: int, dtype: np.dtype[Any]
) -> SGDRule | AdamRule | None:
    """Return the optimizer at the beginning of training; None for plain descent."""
    if not options.optimizer.settings:
        return None
    zero = np.zeros(n_nets, dtype)
    decay = np.zeros((4, n_nets), dtype)
    for row, p, name in zip(decay, PARAMETERS, DECAYS, strict=True):
        if p not in options.freeze:
            row[:] = given.get(name, given.get("weight_decay", zero))
    if isinstance(options.optimizer, Adam):
        m, s = np.zeros((2, 4, n_nets), dtype)
        power1, power2 = np.ones((2, n_nets), dtype)
        return AdamRule(
            decay, given["beta1"], given["beta2"], given["epsilon"], m, s, power1, power2
        )
    return replace(
        SGDRule.plain(n_nets, dtype),
        decay=decay,
        momentum=given.get("momentum", zero),
        nesterov=options.optimizer.nesterov,
        max_norm=given.get("max_norm"),
    )


def _in_dtype(name: str, values: FloatArray, dtype: np.dtype[Any]) -> FloatArray:
    """Return a setting in the dtype of the arithmetic; rounding may take it to a bound."""
    rounded = in_dtype(name, values, dtype)
    expected, fits = BOUNDS[name]
    bad = np.flatnonzero(~fits(rounded))
    if bad.size:
        raise InputError(
            f"{name}: expected values {expected} in {dtype}, got {values[bad[0]]}, which is"
            f" {rounded[bad[0]]} there"
        )
    return rounded
