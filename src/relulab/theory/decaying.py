"""What weight decay leaves of a unit on one sample."""

import math
from collections.abc import Mapping

import numpy as np

from relulab.model.network import PARAMETERS
from relulab.validation import (
    Float64Array,
    InputError,
    expected_values,
    finite_number,
    non_negative_array,
    shown,
)


def collapse_residual(x: float, weight_decay: object) -> float:
    """Return the residual up to which weight decay takes the unit to 0, on one sample.

    Descent on the loss plus 0.5*decay*p^2 for every parameter p rests where decay*p is minus the
    gradient: decay_w*w = -e*v*x, decay_b*b = -e*v and decay_v*v = -e*a. The first two give
    a = w*x + b = -e*v*Q^2, with Q^2 = x^2/decay_w + 1/decay_b. The third then says that v is 0 or
    |e| is sqrt(decay_v)/Q, which this function returns. So a unit that survives has exactly this
    residual, however large the target is. It survives only if the network without it has a larger
    residual, because e and v*a = -e*v^2*Q^2 have opposite signs. Otherwise descent rests only at
    w = b = v = 0. With the same decay for all three it is decay/q. (Kamber & Parhi 2026, arXiv
    2603.27072, have such a threshold for deep linear networks; an active unit is one.)

    Parameters
    ----------
    x : float
        The x of the sample.
    weight_decay : float or mapping of parameters to floats
        As in ``sharpness``; parameters not named do not decay. The decay of c does not matter.

    Returns
    -------
    float
        0 if v does not decay, or if w (at x other than 0) or b does not.

    Raises
    ------
    InputError
        If x is not finite, or a decay is negative or not finite.

    Examples
    --------
    >>> from relulab import theory
    >>> theory.collapse_residual(0, 0.25), round(theory.collapse_residual(1, 0.25), 6)
    (0.25, 0.176777)
    """
    decay_w, decay_b, decay_v, _ = checked_decay(weight_decay, 1)[:, 0].tolist()
    return math.sqrt(decay_v) * _price(finite_number("x", x), decay_w, decay_b)


def decayed_minimum(
    x: float, target: float, weight_decay: object, *, c: float | None = None
) -> tuple[float, float, float, float]:
    """Return w, b, v, c of the smallest loss with weight decay on one sample.

    Of all w, b, v with the output f = v*a, the cheapest cost ``collapse_residual``*|f|: they have
    w/b = x*decay_b/decay_w and a^2/Q^2 = decay_v*v^2. It remains to minimize a convex function of f
    and c: 0.5*(f + c - target)^2 + residual*|f| + 0.5*decay_c*c^2. Its only minimum has f = 0 if
    target*decay_c/(1 + decay_c), the residual of c alone at rest, is no larger in size than that
    residual; so always if c trains without decay.

    Parameters
    ----------
    x, target : float
        The sample.
    weight_decay : float or mapping of parameters to floats
        As in ``sharpness``; above 0 for w, b and v.
    c : float, optional
        The value of a frozen c; None if c trains.

    Returns
    -------
    four floats
        The solution with a >= 0. In a linear network -w, -b, -v has the same loss.

    Raises
    ------
    InputError
        If a number is not finite, a decay is negative, or that of w, b or v is 0: then there are
        many solutions.

    Examples
    --------
    >>> from relulab import theory
    >>> decay = {"w": 0.25, "b": 0.25, "v": 0.25}
    >>> theory.decayed_minimum(0, 1.25, decay, c=0)
    (0.0, 1.0, 1.0, 0.0)
    >>> theory.decayed_minimum(0, 1.25, decay)
    (0.0, 0.0, 0.0, 1.25)
    """
    x, target = finite_number("x", x), finite_number("target", target)
    decay_w, decay_b, decay_v, decay_c = checked_decay(weight_decay, 1)[:, 0].tolist()
    if min(decay_w, decay_b, decay_v) == 0:
        raise InputError(
            f"weight_decay: expected that of w, b, v above 0, got {shown(weight_decay)}"
        )
    price = _price(x, decay_w, decay_b)
    residual = math.sqrt(decay_v) * price
    alone = target / (1 + decay_c) if c is None else finite_number("c", c)
    gap = target * (decay_c / (1 + decay_c)) if c is None else target - alone
    if abs(gap) <= residual:
        return 0.0, 0.0, 0.0, alone
    e = math.copysign(residual, -gap)
    f = gap + e
    if c is None:
        alone, f = -e / decay_c, f * (1 + 1 / decay_c)
    with np.errstate(all="ignore"):
        ratio = np.float64(math.sqrt(decay_v)) / price
        a, v = np.sqrt([abs(f) * ratio, abs(f) / ratio])
        w, b = a * price * (price * np.array([x, 1]) / [decay_w, decay_b])
    found = float(w), float(b), math.copysign(v, f), alone
    if not np.isfinite(found).all():
        raise InputError(
            "x, target, weight_decay: expected numbers whose minimum is within the range of"
            f" float64, got {x}, {target}, {shown(weight_decay)}"
        )
    return found


def _price(x: float, decay_w: float, decay_b: float) -> float:
    """Return 1/Q: its half square is the least cost in w and b of an activation of 1."""
    if x == 0:
        return math.sqrt(decay_b)
    if decay_w == 0 or decay_b == 0:
        return 0.0
    return 1 / math.hypot(x / math.sqrt(decay_w), 1 / math.sqrt(decay_b))


def checked_decay(weight_decay: object, n_nets: int) -> Float64Array:
    """Return the weight decays of w, b, v, c, shape (4, n_nets); refuse negative ones."""
    given = weight_decay
    if not isinstance(given, Mapping):
        given = dict.fromkeys(PARAMETERS, weight_decay)
    decay = np.zeros((len(PARAMETERS), n_nets))
    for name, value in given.items():
        if not isinstance(name, str) or name not in PARAMETERS:
            raise InputError(f"weight_decay: expected among w, b, v, c, got {shown(name)}")
        values = non_negative_array("weight_decay", value)
        if values.size not in (1, n_nets):
            raise InputError(f"weight_decay: expected {expected_values(n_nets)}, got {values.size}")
        decay[PARAMETERS.index(name)] = values
    return decay
