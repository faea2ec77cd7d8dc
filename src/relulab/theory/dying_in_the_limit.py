"""Units that die under gradient descent only in the limit, in no finite number of steps."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from relulab.model.data import TrainingSet
from relulab.model.double_double import DoubleDouble
from relulab.model.network import Networks
from relulab.theory.active_samples import ActiveSamples
from relulab.training.options import checked_freeze
from relulab.validation import instance_of

# A pre-activation that goes to 0 is below this fraction of |v| when training stops. One that does
# not is seldom that small: it is about as large as v, unless the start was unbalanced.
VANISHING = 1e-2

# The least loss that a dead unit saves, in units of the unit's mean half squared output: 1 if c is
# where it ends, less if c is slow. On one sample, if c trains, a living unit can add nothing.
SPARED = 1e-3


def dies_in_the_limit(
    networks: Networks, data: TrainingSet, freeze: Collection[str] = ()
) -> npt.NDArray[np.bool_]:
    """Return which converged networks have an active unit whose pre-activations go to 0.

    If the targets of the active samples are the network's predictions without its unit, each step
    takes away a part of the pre-activations, but never all. The unit is alive in every state and
    dead in the limit. A last state, near the limit, counts as such if

    - its largest pre-activation is above 0 and at most |v|/100, and
    - with a dead unit the loss is smaller, by at least a thousandth of the mean of
      ``0.5*(v*relu(w*x+b))**2``. The c of that loss is the one at which a dead unit's network ends:
      the mean of the targets or, if c is frozen, its value.

    A unit that stays alive lowers the loss instead: the loss is convex in v and c, and at its
    minimum in them v = 0 is no better. (The gradients in w and b vanish only where that in v does.
    If v and one of w and b are frozen, only the first condition identifies such units.) This cannot
    resolve more than the gradient tolerance does: with a small v, pre-activations are still large
    when training stops. Then train with a smaller tolerance.

    Parameters
    ----------
    networks : Networks
        ``n_nets`` of them: the last states of converged runs. For others the result means nothing.
    data : TrainingSet
        Of any number of samples, in any order.
    freeze : collection of str
        The parameters among "w", "b", "v", "c" that did not train.

    Returns
    -------
    ndarray of bool, shape (n_nets,)
        False where a parameter is not finite.

    Raises
    ------
    InputError
        If an argument is of another kind, or if sums of squares of the samples are beyond the range
        of float64.

    Examples
    --------
    "Why can't a single ReLU learn a ReLU?" (stats.stackexchange.com, question 379884): one of two
    starts goes to w = 1, the other to w = 0 from below.

    >>> import relulab as rl
    >>> data = rl.TrainingSet([-2.0, -1.0, 1.0, 2.0], [0.0, 0.0, 1.0, 2.0])
    >>> starts = rl.Networks(w=[10, -10], b=0, v=1, c=0)
    >>> trained = rl.train(starts, data, learning_rate=0.1, freeze=("b", "v", "c"))
    >>> trained
    Trained(2 networks: 2 converged (alive))
    >>> rl.theory.dies_in_the_limit(trained.networks, data, freeze=("b", "v", "c"))
    array([False,  True])
    """
    instance_of("networks", networks, Networks)
    samples = ActiveSamples.of(data)
    c_trains = "c" not in checked_freeze(freeze)
    w, b, v, c = map(DoubleDouble.of, networks.stack())
    active, _ = samples.sides(w.hi, b.hi, 0.0)
    fraction, mean_x, mean_target, sxx, sxt = samples.moments(active)
    half = DoubleDouble.of(0.5)
    with np.errstate(all="ignore"):  # networks that are not finite, and overflow
        a = w * mean_x + b
        e = v * a + c - mean_target
        sum_ae = fraction * a * e + w * (v * w * sxx - sxt)
        added = half * v * v * (fraction * a * a + w * w * sxx)
        # The loss minus that with v = 0: the mean of 0.5*e**2 - 0.5*(e - v*a)**2.
        excess = v * sum_ae - added
        if c_trains:
            gap = c - samples.mean_target
            excess = excess + half * gap * gap
        ends = np.multiply.outer(samples.x[[0, -1]], w.hi) + b.hi
        vanishes = ends.max(axis=0) <= VANISHING * np.abs(v.hi)
        spared = excess.hi >= SPARED * added.hi
        result: npt.NDArray[np.bool_] = (fraction.hi > 0) & vanishes & spared
    return result
