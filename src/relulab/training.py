"""The public trainer: ``train`` for where networks end, ``trace`` for how they get there."""

from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from relulab.batches import checked_batches
from relulab.compiler import CompilerError, note_failure
from relulab.data import TrainingSet
from relulab.engines import sorted_sums
from relulab.engines.contract import FinalStates, Problem
from relulab.engines.lockstep import Lanes
from relulab.engines.orbits import find_periods
from relulab.network import PARAMETERS, Networks
from relulab.outcome import Outcome, outcome_labels, unit_labels
from relulab.settings import (
    DTYPES,
    GRADIENTS,
    RATES,
    StoppingRule,
    checked_freeze,
    checked_rate_names,
    resolved_engine,
    resolved_gradient,
)
from relulab.validation import (
    FloatArray,
    InputError,
    expected_values,
    in_dtype,
    instance_of,
    non_negative_array,
    one_of,
    whole_number,
    within_memory,
)


@dataclass(frozen=True, eq=False)
class Trained:
    """Where training left every network.

    Attributes
    ----------
    initial, networks : Networks
        The parameters before and after, ``n_nets`` of them.
    rates : dict of str to ndarray, each of shape (n_nets,)
        The learning rates under the names by which they were given.
    loss, gradient_norm : ndarray, shape (n_nets,)
        Of the final state. In a diverged state they may be anything, finite or not.
    steps_taken : ndarray of int64, shape (n_nets,)
        The number of updates.
    death_step : ndarray of int64, shape (n_nets,)
        The first step at which the unit fires on no sample; 0 born dead, -1 never.
    period : ndarray of int64, shape (n_nets,)
        After how many steps an oscillating network returns (``engines.orbits``); 0 for none.
    outcome, unit : pandas.Categorical, shape (n_nets,)
        The labels of ``relulab.outcome``; independent of each other.
    """

    initial: Networks
    rates: dict[str, FloatArray]
    networks: Networks
    loss: FloatArray
    gradient_norm: FloatArray
    steps_taken: npt.NDArray[np.int64]
    death_step: npt.NDArray[np.int64]
    period: npt.NDArray[np.int64]
    outcome: pd.Categorical
    unit: pd.Categorical

    def to_frame(self) -> pd.DataFrame:
        """Return one row per network: run, initial values, rates, final state, labels."""
        death_step, period = (
            pd.Series(numbers, dtype="Int64") for numbers in (self.death_step, self.period)
        )
        return pd.DataFrame(
            {
                "run": np.arange(len(self.initial)),
                **{f"{p}0": getattr(self.initial, p) for p in PARAMETERS},
                **self.rates,
                **{p: getattr(self.networks, p) for p in PARAMETERS},
                "loss": self.loss,
                "gradient_norm": self.gradient_norm,
                "steps_taken": self.steps_taken,
                "death_step": death_step.mask(death_step < 0),
                "period": period.mask(period == 0),
                "outcome": self.outcome,
                "unit": self.unit,
            }
        )


def train(
    networks: Networks,
    data: TrainingSet,
    learning_rate: Any = None,
    *,
    hidden_learning_rate: Any = None,
    output_learning_rate: Any = None,
    freeze: Collection[str] = (),
    max_steps: int = 10_000,
    gradient_tolerance: float = 1e-6,
    divergence_loss: float = 1e30,
    batch_size: int | None = None,
    shuffle_seed: int | None = None,
    gradient: str = "auto",
    dtype: str = "float64",
    engine: str = "auto",
) -> Trained:
    """Train every network by gradient descent until it converges, diverges or stops.

    The arithmetic is specified to the bit in ``relulab.engines.contract``; a network's result
    does not depend on the engine or on the networks beside it.

    Parameters
    ----------
    networks : Networks
        The initial values of ``n_nets`` networks.
    data : TrainingSet
    learning_rate : float or array_like, shape (n_nets,), optional
        The step size, one for all or one for each network.
    hidden_learning_rate, output_learning_rate : like learning_rate, optional
        The step size of w and b, and of v and c, where it differs from ``learning_rate``.
    freeze : collection of str
        The parameters among "w", "b", "v", "c" that do not train.
    max_steps : int
        The largest number of updates. A network that has not finished then is followed for up to
        128 more, to tell whether it oscillates.
    gradient_tolerance : float
        A network has converged when no gradient is larger in absolute value.
    divergence_loss : float
        A network has diverged when its loss is larger. Growth to large finite values can be
        transient (5e5-fold was seen), so keep this far above what you would call large.
    batch_size : int, optional
        How many samples a step takes; None for all. They come in the order of the data set, again
        in each epoch; convergence is judged by all samples at the beginning of an epoch. (1 is the
        "for each training example" of textbooks.)
    shuffle_seed : int, optional
        Of another order in each epoch, the same for all networks.
    gradient : {"auto", "direct", "sorted"}
        How the sums over samples are made: in sample order, or from tables of the sorted samples
        (``relulab.engines.sorted_sums``), where a step on a million samples costs a few times one
        on ten. The two agree to rounding, not to the bit. "auto" is "direct" up to 16 samples.
    dtype : {"float64", "float32"}
        The arithmetic; initial values, rates and data are rounded to it first.
    engine : {"auto", "lockstep", "compiled"}
        What does the arithmetic; the bits are the same. "auto" takes the compiled engine where
        Numba is installed (the extra ``fast``) and can be used; where it is installed but cannot be
        used, a line on stderr says why.

    Raises
    ------
    InputError
        In one line that names the argument, before any training.
    """
    instance_of("networks", networks, Networks)
    stopping = StoppingRule(max_steps, gradient_tolerance, divergence_loss)
    resolved_engine(engine)
    rates = _checked_rates(
        (learning_rate, hidden_learning_rate, output_learning_rate), len(networks)
    )
    sums = (gradient, batch_size, shuffle_seed)
    problem = _problem(networks, data, rates, freeze, sums, dtype, stopping)
    final, period = _run(problem, engine)
    return Trained(
        initial=networks,
        rates=rates,
        networks=Networks.from_stack(final.parameters),
        loss=final.loss,
        gradient_norm=final.gradient_norm,
        steps_taken=final.steps_taken,
        death_step=final.death_step,
        period=period,
        outcome=outcome_labels(np.where(period > 0, np.int8(Outcome.OSCILLATING), final.outcome)),
        unit=unit_labels(final.death_step),
    )


def trace(
    networks: Networks,
    data: TrainingSet,
    learning_rate: Any = None,
    n_steps: int = 100,
    *,
    hidden_learning_rate: Any = None,
    output_learning_rate: Any = None,
    freeze: Collection[str] = (),
    batch_size: int | None = None,
    shuffle_seed: int | None = None,
    gradient: str = "auto",
    dtype: str = "float64",
) -> pd.DataFrame:
    """Return the whole history of ``n_steps`` updates of every network, converged or not.

    Returns
    -------
    DataFrame
        One row per run and step 0 ... n_steps with columns run, step, w, b, v, c, loss and,
        if the data is a single sample, prediction: all of the state before that step's update.
        From the first state that is not finite on, a run's values are NaN.

    Raises
    ------
    InputError
        As in ``train``.
    """
    instance_of("networks", networks, Networks)
    n_steps = whole_number("n_steps", n_steps, at_least=0, at_most=2**31)
    rates = _checked_rates(
        (learning_rate, hidden_learning_rate, output_learning_rate), len(networks)
    )
    within_memory("n_steps", (n_steps + 1) * 5 * len(networks))
    stopping = StoppingRule(max_steps=n_steps)
    sums = (gradient, batch_size, shuffle_seed)
    problem = _problem(networks, data, rates, freeze, sums, dtype, stopping)
    lanes = Lanes(problem, problem.n_nets)
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
    columns = dict(zip((*PARAMETERS, "loss"), history.transpose(1, 2, 0), strict=True))
    run, step = np.indices((problem.n_nets, n_steps + 1))
    frame = pd.DataFrame(
        {"run": run.ravel(), "step": step.ravel(), **{k: v.ravel() for k, v in columns.items()}}
    )
    if data.n_samples == 1:
        activation = np.maximum(frame["w"] * problem.x[0] + frame["b"], 0)
        frame["prediction"] = frame["v"] * activation + frame["c"]
    return frame


def load_engine(name: str) -> Any:
    """Return the module of the named engine, with its functions ``run`` and ``follow``."""
    if resolved_engine(name) == "compiled":
        try:
            return import_module("relulab.engines.compiled")
        except Exception as error:  # of Numba, where it meets the kernels
            note_failure(error)
    return import_module(f"relulab.engines.{resolved_engine(name)}")


def _run(problem: Problem, engine: str) -> tuple[FinalStates, npt.NDArray[np.int64]]:
    """Return the final states and the periods, by another engine if Numba fails at a kernel."""
    trainer = load_engine(engine)
    try:
        final: FinalStates = trainer.run(problem)
        return final, find_periods(problem, final, trainer.follow)
    except CompilerError as error:
        note_failure(error)
    return _run(problem, engine)  # by lockstep, or refused if it was to be compiled


def _checked_rates(rates: tuple[Any, Any, Any], n_nets: int) -> dict[str, FloatArray]:
    """Return which of RATES were given, each of shape (n_nets,)."""
    named = zip(RATES, rates, strict=True)
    given = {name: non_negative_array(name, r) for name, r in named if r is not None}
    checked_rate_names(given)
    for name, rate in given.items():
        if rate.size not in (1, n_nets):
            raise InputError(f"{name}: expected {expected_values(n_nets)}, got {rate.size}")
    return {name: np.broadcast_to(rate, (n_nets,)) for name, rate in given.items()}


def _problem(
    networks: Networks,
    data: TrainingSet,
    rates: dict[str, FloatArray],
    freeze: Collection[str],
    sums: tuple[str, int | None, int | None],
    dtype: str,
    stopping: StoppingRule,
) -> Problem:
    instance_of("data", data, TrainingSet)
    frozen = checked_freeze(freeze)
    number = np.dtype(one_of("dtype", dtype, DTYPES))
    if stopping.divergence_loss > float(np.finfo(number).max):
        raise InputError(
            f"divergence_loss: expected a number within the range of {number},"
            f" got {stopping.divergence_loss}"
        )
    given = {name: in_dtype(name, rate, number) for name, rate in rates.items()}
    both = [given[name if name in given else "learning_rate"] for name in RATES[1:]]
    w, b, v, c = (p not in frozen for p in PARAMETERS)
    x, target = in_dtype("data", data.x, number), in_dtype("data", data.target, number)
    gradient, batch_size, shuffle_seed = sums
    one_of("gradient", gradient, GRADIENTS)
    batches = checked_batches(batch_size, shuffle_seed, data.n_samples, gradient)
    by_tables = resolved_gradient(gradient, data.n_samples, batch_size) == "sorted"
    return Problem(
        parameters=in_dtype("networks", networks.stack(), number),
        rates=np.stack(both),
        trained=(w, b, v, c),
        x=x,
        target=target,
        sums=sorted_sums.tables(x, target) if by_tables else None,
        batches=batches,
        stopping=stopping,
    )
