"""The input and output of an engine, and the arithmetic between them.

Every engine follows this specification bit for bit: the order of operations for the gradients of
``model.network``, in IEEE arithmetic of the networks' dtype, without fused multiply-add and without
reassociation. For each sample (x, target), in order::

    pre = w*x + b;  h = pre if pre > 0 else 0;  residual = (v*h + c) - target
    gv = residual*h;  gc = residual;  gh = residual*v if pre > 0 else 0;  gw = x*gh;  gb = gh

With a negative_slope s > 0 the two zeros are ``s*pre`` and ``s*(residual*v)``; with s = 0 they are
exactly 0, whatever the product would be. So the derivative at pre = 0 is s.

The sums of gw, gb, gv, gc and 0.5*(residual*residual) start from the first sample's terms and are
divided by n_samples. A parameter that does not train has gradient 0. Plain descent takes
``w -= rate*gw`` and so on, all from the same old values. Other optimizers apply the updates of
``update_rules`` to these gradients, for the parameters that train.

State k is the parameters after k updates, with the optimizer's velocities or moments. Before update
k the state is judged. Here the gradient is that of the loss with its decay term,
``g + weight_decay*p`` (exactly g if the decay is 0), and gradient_norm is the largest of the four
in absolute value. In this order:

1. diverged: a pre-activation, a parameter or the loss is not finite, or loss > divergence_loss.
   (A parameter that is not finite makes a pre-activation or the loss not finite, so only those two
   are tested. For a dead unit's v this is true only of direct sums; sorted ones also test v.)
   The loss has no decay term.
2. converged: gradient_norm <= gradient_tolerance, the movement left in the velocity, in units of
   the gradient (``update_rules.coasting``), is as small, and descent rests there, by the rule of
   ``stability``.
3. unstable: both are within gradient_tolerance, descent does not rest, and yet the update changes
   no bit of any parameter, of ``momentum*velocity``, or of a moment of Adam.
4. unfinished: k = max_steps. (``orbits`` then finds out which of these runs oscillate.)

The tolerance and divergence_loss are rounded to the dtype, as are all numbers of the optimizer. The
gradient of a state that has not diverged can be infinite or NaN, if products or sums overflow; a
norm of NaN is within no tolerance.

Independently, death_step is the first k whose state is finite and inactive on every sample. If a
later state is active on some sample, finite or not, the unit has revived: this is counted, and the
search for death_step starts again. A plain unit never revives, even with clipping: without
velocity, decay or slope nothing moves its w and b.

With ``batches``, update k uses only the samples of one batch: their terms are summed in the order
of the epoch and divided by their number. The full batch judges the states at which an epoch begins
and the state at k = max_steps. There, only gradient and velocity decide whether the run has
converged, because rest depends on all the steps of an epoch. In between, a state can only diverge:
the pre-activations are those of all samples, and "the loss" is that of the coming batch. All
results for a final state are of the full batch.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relulab.training.batches import Batches
from relulab.training.options import TrainingOptions
from relulab.training.sorted_sums import SortedSums
from relulab.training.update_rules import AdamRule, SGDRule
from relulab.validation import FloatArray


@dataclass(frozen=True, eq=False)
class Problem:
    """``n_nets`` networks, the data, and how to train; every float array has one dtype.

    Attributes
    ----------
    parameters : ndarray, shape (4, n_nets)
        Initial w, b, v, c.
    rates : ndarray, shape (2, n_nets)
        The step sizes: row 0 of the hidden w and b, row 1 of the output v and c.
    trained : tuple of four bool
        Which of w, b, v, c train.
    x, target : ndarray, shape (n_samples,)
    sums : SortedSums, optional
        Tables of the samples for ``summation="sorted"``; None for direct sums.
    batches : Batches, optional
        Which samples each step takes; None for all.
    options : TrainingOptions
        When to stop.
    slope : ndarray, shape (n_nets,), optional
        The negative slopes; None if all are 0.
    rule : SGDRule or AdamRule, optional
        The optimizer, with its state before the first update; None for plain descent.
    """

    parameters: FloatArray
    rates: FloatArray
    trained: tuple[bool, bool, bool, bool]
    x: FloatArray
    target: FloatArray
    sums: SortedSums | None
    batches: Batches | None
    options: TrainingOptions
    slope: FloatArray | None = None
    rule: SGDRule | AdamRule | None = None

    def at(
        self, runs: npt.NDArray[np.intp], parameters: FloatArray, rule: SGDRule | AdamRule | None
    ) -> Self:
        """Return the problem of some of the networks at new parameters."""
        return replace(
            self,
            parameters=parameters[:, runs],
            rates=self.rates[:, runs],
            slope=None if self.slope is None else self.slope[runs],
            rule=None if rule is None else rule.map(lambda values: values[..., runs]),
        )

    @property
    def n_nets(self) -> int:
        """The number of networks."""
        return int(self.parameters.shape[1])

    @property
    def is_general(self) -> bool:
        """Whether there is a slope or another optimizer than plain descent."""
        return self.slope is not None or self.rule is not None

    @cached_property
    def x_moments(self) -> tuple[float, float]:
        """The means of x and x^2, in float64."""
        x = self.x.astype(np.float64)
        with np.errstate(over="ignore"):
            return float(np.mean(x)), float(np.mean(x * x))

    @cached_property
    def largest_mean(self) -> Any:
        """A size of c's mean residual at which the loss of a dead unit is surely bounded.

        No residual is farther from the mean than the targets are from each other. The slack, and
        1.41 for a root of 2, allow for the rounding of the sums.
        """
        n, info = self.x.size, np.finfo(self.dtype)
        slack = 4 * n * float(info.eps)
        largest = np.sqrt(min(self.options.divergence_loss, float(info.max) / 2 / n)) * 1.41
        with np.errstate(over="ignore"):
            spread = float(self.target.max()) - float(self.target.min())
        return self.dtype.type(max(largest * (1 - slack) - spread * (1 + slack), -1))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The floating-point type of the arithmetic."""
        return self.parameters.dtype


@dataclass(frozen=True, eq=False)
class States:
    """States of networks of a problem, as ``stability`` judges them.

    Attributes
    ----------
    parameters, gradients : ndarray, shape (4, n_states)
        ``gradients`` are those of the loss alone.
    rates, decay : ndarray, shape (4, n_states)
        The rates of the coming update; the decay in float64, 0 for frozen parameters.
    loss, norm, slope, edge : ndarray, shape (n_states,)
        ``norm`` includes the decay term of the loss; ``edge`` is in float64.
    """

    parameters: FloatArray
    gradients: FloatArray
    rates: FloatArray
    decay: FloatArray
    loss: FloatArray
    norm: FloatArray
    slope: FloatArray
    edge: FloatArray

    def take(self, which: npt.NDArray[np.intp]) -> Self:
        """Return some of the states."""
        return type(self)(**{name: values[..., which] for name, values in vars(self).items()})


@dataclass(frozen=True, eq=False)
class FinalStates:
    """The last state of every network; engines fill it in as the networks finish.

    Attributes
    ----------
    parameters : ndarray, shape (4, n_nets)
    loss, gradient_norm : ndarray, shape (n_nets,)
    steps_taken, death_step, n_revivals : ndarray of int64, shape (n_nets,)
        ``death_step`` is -1 for never.
    outcome : ndarray of int8, shape (n_nets,)
        Codes of ``Outcome``; -1 while the network trains.
    rule : SGDRule or AdamRule, optional
        With the state of the optimizer.
    """

    parameters: FloatArray
    loss: FloatArray
    gradient_norm: FloatArray
    steps_taken: npt.NDArray[np.int64]
    death_step: npt.NDArray[np.int64]
    n_revivals: npt.NDArray[np.int64]
    outcome: npt.NDArray[np.int8]
    rule: SGDRule | AdamRule | None = None

    @classmethod
    def unfilled(cls, problem: Problem) -> Self:
        """Return outputs in which a forgotten entry is NaN or -1, never a plausible number.

        ``n_revivals`` is 0 for units that cannot revive.
        """
        n_nets, dtype, rule = problem.n_nets, problem.dtype, problem.rule
        return cls(
            parameters=np.full((4, n_nets), np.nan, dtype),
            loss=np.full(n_nets, np.nan, dtype),
            gradient_norm=np.full(n_nets, np.nan, dtype),
            steps_taken=np.full(n_nets, -1, np.int64),
            death_step=np.full(n_nets, -1, np.int64),
            n_revivals=np.full(n_nets, -1 if problem.is_general else 0, np.int64),
            outcome=np.full(n_nets, -1, np.int8),
            rule=None if rule is None else rule.map(lambda values: np.full_like(values, np.nan)),
        )
