"""The updates of the optimizers: the fifth part of the specification.

The formulas and defaults are those of torch.optim.SGD (dampening 0), of torch.optim.Adam and, for
``max_norm``, of torch.nn.utils.clip_grad_norm_. Here g are the gradients of the loss in w, b, v, c,
and p are the parameters; frozen ones stay unchanged. The operations are in the order below, in the
networks' dtype, with exactly rounded square roots and divisions::

    SGD     norm = sqrt(((gw*gw + gb*gb) + gv*gv) + gc*gc)           if max_norm is given
            g = g * min(max_norm/(norm + 1e-6), 1)                   (a NaN stays one)
            d = g + weight_decay*p
            velocity = momentum*velocity + d                         from 0
            step = velocity,  with nesterov d + momentum*velocity
            p = p - rate*step

    Adam    d = g + weight_decay*p
            m = beta1*m + (1 - beta1)*d                              from 0
            s = beta2*s + (1 - beta2)*(d*d)                          from 0
            power1 = power1*beta1;  power2 = power2*beta2            from 1
            size = (rate/(1 - power1)) / (sqrt(s)/sqrt(1 - power2) + epsilon)
            p = p - size*m

If weight_decay is 0, d is exactly g, whatever p is. (PyTorch multiplies and divides in another
order; the results agree to rounding.)

Coasting, the movement left in the velocity, is the sum of all its steps if d were 0 from now on, in
units of the gradient. For SGD it is momentum/(1 - momentum)*|velocity|, with nesterov momentum
times that, and for Adam beta1/(1 - beta1)*|m|. The largest of the four parameters counts.

With a velocity the largest eigenvalue at which descent rests (``stability``) is not 2. On a
parabola of curvature q/rate descent is a second-order recurrence, whose roots are within the unit
circle for 0 < q < edge::

    SGD           z^2 - (1 + momentum - q)*z + momentum              edge = 2*(1 + momentum)
    with nesterov z^2 - (1 + momentum)*(1 - q)*z + momentum*(1 - q)  2*(1 + m)/(1 + 2*m)
    Adam          as SGD, with q*(1 - beta1) for q                   2*(1 + beta1)/(1 - beta1)

The rates of Adam here are the four ``size`` of the coming update. They grow as gradients fade, up
to rate/epsilon, so Adam may later leave a state at which it rests now; only the present is judged.
Clipping does not matter where gradients are small, and is not judged.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from relulab.validation import FloatArray

# Added to a norm before dividing by it.
ROOM = 1e-6


def clipping(gw: Any, gb: Any, gv: Any, gc: Any, max_norm: Any, room: Any, one: Any) -> Any:
    """Return the factor that clips the gradients."""
    norm = np.sqrt(((gw * gw + gb * gb) + gv * gv) + gc * gc)
    return np.minimum(max_norm / (norm + room), one)


def decayed(gradient: Any, decay: Any, parameter: Any) -> Any:
    """Return the gradient of the loss with its decay term; without decay, exactly the gradient."""
    return np.where(decay > 0, gradient + decay * parameter, gradient)


def faster(velocity: Any, momentum: Any, gradient: Any) -> Any:
    """Return the next velocity of SGD; applied twice it gives the step with nesterov."""
    return momentum * velocity + gradient


def moments(m: Any, s: Any, gradient: Any, beta1: Any, beta2: Any, one: Any) -> Any:
    """Return the next mean gradient and mean square of Adam."""
    return beta1 * m + (one - beta1) * gradient, beta2 * s + (one - beta2) * (gradient * gradient)


def adam_size(s: Any, rate: Any, power1: Any, power2: Any, epsilon: Any, one: Any) -> Any:
    """Return the factor by which Adam multiplies the mean gradient."""
    return (rate / (one - power1)) / (np.sqrt(s) / np.sqrt(one - power2) + epsilon)


def coasting_factor(momentum: Any, nesterov: bool, one: Any) -> Any:
    """Return the movement left in a velocity, in units of the gradient, per velocity."""
    factor = momentum / (one - momentum)
    return momentum * factor if nesterov else factor


def sgd_edge(momentum: Any, nesterov: bool) -> Any:
    """Return the largest eigenvalue at which SGD rests; ``momentum`` in float64."""
    return 2.0 * (1.0 + momentum) / (1.0 + 2.0 * momentum if nesterov else 1.0)


def adam_edge(beta1: Any) -> Any:
    """Return the largest eigenvalue at which Adam rests; ``beta1`` in float64."""
    return 2.0 * (1.0 + beta1) / (1.0 - beta1)


@dataclass(frozen=True, eq=False)
class Rule:
    """An optimizer in the arithmetic of the networks: its numbers and its state for each.

    Every subclass has ``decay``, shape (4, n_nets), 0 for frozen parameters. The last axis of every
    array is that of the networks.
    """

    decay: FloatArray

    def map(self, function: Callable[[FloatArray], FloatArray]) -> Self:
        """Return the rule with a function applied to every array."""
        arrays = {
            f.name: function(value)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }
        return replace(self, **arrays)

    @property
    def arrays(self) -> list[FloatArray]:
        """All arrays, in the order of the fields."""
        values = [getattr(self, f.name) for f in fields(self)]
        return [value for value in values if isinstance(value, np.ndarray)]

    @property
    def state(self) -> tuple[FloatArray, ...]:
        """The parts of a state other than the parameters, each of shape (4, n_nets)."""
        raise NotImplementedError

    @property
    def _one(self) -> Any:
        return self.decay.dtype.type(1)


@dataclass(frozen=True, eq=False)
class SGDRule(Rule):
    """``max_norm`` and ``momentum`` of shape (n_nets,), ``velocity`` of shape (4, n_nets)."""

    momentum: FloatArray
    nesterov: bool
    max_norm: FloatArray | None
    velocity: FloatArray

    @classmethod
    def plain(cls, n_nets: int, dtype: npt.DTypeLike) -> Self:
        """Return the rule of plain descent."""
        zero, zeros = np.zeros(n_nets, dtype), np.zeros((4, n_nets), dtype)
        return cls(zeros, momentum=zero, nesterov=False, max_norm=None, velocity=zeros.copy())

    @property
    def state(self) -> tuple[FloatArray, ...]:
        """The part of the velocities that a step keeps; without momentum it is 0."""
        return (self.momentum * self.velocity,)

    def advanced(self, p: FloatArray, g: FloatArray, rates: FloatArray) -> tuple[FloatArray, Self]:
        """Return the next parameters and the rule with its next state; all of shape (4, n_nets)."""
        one = self._one
        if self.max_norm is not None:
            gw, gb, gv, gc = g
            g = g * clipping(gw, gb, gv, gc, self.max_norm, one.dtype.type(ROOM), one)
        gradient = decayed(g, self.decay, p)
        velocity = faster(self.velocity, self.momentum, gradient)
        step = faster(velocity, self.momentum, gradient) if self.nesterov else velocity
        return p - rates * step, replace(self, velocity=velocity)

    def coasting(self) -> FloatArray:
        """Return the movement left in the velocities, shape (n_nets,)."""
        factor = coasting_factor(self.momentum, self.nesterov, self._one)
        return np.asarray(np.abs(factor * self.velocity).max(axis=0))

    def edge(self) -> FloatArray:
        """Return the largest eigenvalue at which descent rests, shape (n_nets,)."""
        return np.asarray(sgd_edge(self.momentum.astype(np.float64), self.nesterov))

    def sizes(self, rates: FloatArray) -> FloatArray:
        """Return the rates of a velocity in the update that led to this state."""
        return rates


@dataclass(frozen=True, eq=False)
class AdamRule(Rule):
    """``beta1``, ``beta2``, ``epsilon`` and the powers of shape (n_nets,), m and s (4, n_nets)."""

    beta1: FloatArray
    beta2: FloatArray
    epsilon: FloatArray
    m: FloatArray
    s: FloatArray
    power1: FloatArray
    power2: FloatArray

    @property
    def state(self) -> tuple[FloatArray, ...]:
        """The moments. (If these are 0, the powers have no effect.)"""
        return self.m, self.s

    def advanced(self, p: FloatArray, g: FloatArray, rates: FloatArray) -> tuple[FloatArray, Self]:
        """Return the next parameters and the rule with its next state; all of shape (4, n_nets)."""
        gradient = decayed(g, self.decay, p)
        m, s = moments(self.m, self.s, gradient, self.beta1, self.beta2, self._one)
        power1, power2 = self.power1 * self.beta1, self.power2 * self.beta2
        rule = replace(self, m=m, s=s, power1=power1, power2=power2)
        return p - rule.sizes(rates) * m, rule

    def coasting(self) -> FloatArray:
        """Return the movement left in the velocities, shape (n_nets,)."""
        factor = coasting_factor(self.beta1, False, self._one)
        return np.asarray(np.abs(factor * self.m).max(axis=0))

    def edge(self) -> FloatArray:
        """Return the largest eigenvalue at which descent rests, shape (n_nets,)."""
        return np.asarray(adam_edge(self.beta1.astype(np.float64)))

    def sizes(self, rates: FloatArray) -> FloatArray:
        """Return the rates of a velocity in the update that led to this state."""
        size = adam_size(self.s, rates, self.power1, self.power2, self.epsilon, self._one)
        return np.asarray(size)
