"""The optimizers to choose from, with PyTorch's names and defaults; see ``update_rules``."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from relulab.model.network import PARAMETERS
from relulab.training.settings import BOUNDS, checked_setting, is_plain
from relulab.validation import InputError, instance_of, one_of, set_fields, shown


@dataclass(frozen=True, eq=False, kw_only=True)
class SGD:
    """Gradient descent: plain by default, or with momentum, weight decay or clipping.

    The updates are those of torch.optim.SGD (dampening 0) and torch.nn.utils.clip_grad_norm_, in
    the order of operations of ``relulab.training.update_rules``. Give each number once for all
    networks or once for each; in a ``Sweep`` it may also be an axis or a distribution.

    To repeat here a run on a mean squared error without 1/2, whose gradients are twice as large,
    double the learning rate and halve ``weight_decay`` and ``max_norm``.

    Attributes
    ----------
    momentum : float or array_like
        In [0, 1): how much of the velocity a step keeps (heavy ball).
    nesterov : bool
        Whether a step looks ahead along the velocity.
    weight_decay : float or array_like, or dict of str to these
        >= 0: adds ``weight_decay * parameter`` to the gradient of w, b, v and c, or of those named
        in a dict, such as ``{"w": 0.2, "v": 0.2}``.
    max_norm : float or array_like, optional
        > 0: a gradient vector (w, b, v, c) of larger norm is scaled to this norm, before the decay.

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> starts = rl.Networks(w=[0.5, -0.5], b=0.2, v=0.3, c=0.1)
    >>> heavy = rl.SGD(momentum=0.5)
    >>> runs = rl.train(starts, rl.TrainingSet.point(1, 3), 0.1, optimizer=heavy).to_frame()
    >>> runs[["momentum", "outcome", "unit", "n_revivals"]]
       momentum    outcome       unit  n_revivals
    0       0.5  converged      alive           0
    1       0.5  converged  born_dead           0
    """

    momentum: Any = 0.0
    nesterov: bool = False
    weight_decay: Any = 0.0
    max_norm: Any = None

    def __post_init__(self) -> None:
        instance_of("nesterov", self.nesterov, bool)
        set_fields(self, momentum=checked_setting("momentum", self.momentum))
        if self.nesterov and is_plain(self.momentum):
            raise InputError("nesterov: expected False without momentum, got True")
        set_fields(self, weight_decay=_checked_decay(self.weight_decay))
        if self.max_norm is not None:
            set_fields(self, max_norm=checked_setting("max_norm", self.max_norm))

    def __repr__(self) -> str:
        return _repr(self)

    @property
    def settings(self) -> dict[str, Any]:
        """The numbers that differ from plain descent, by the names of their columns."""
        settings = {} if is_plain(self.momentum) else {"momentum": self.momentum}
        settings |= _decay_settings(self.weight_decay)
        return settings if self.max_norm is None else {**settings, "max_norm": self.max_norm}

    @property
    def moves_inactive(self) -> bool:
        """Whether it can move the w and b of a unit that is not active."""
        return any(name != "max_norm" for name in self.settings)


@dataclass(frozen=True, eq=False, kw_only=True)
class Adam:
    """The update of torch.optim.Adam; the numbers may be given as in ``SGD``.

    To repeat here a run on a mean squared error without 1/2, keep the learning rate and halve
    ``epsilon`` and ``weight_decay``.

    Attributes
    ----------
    beta1, beta2 : float or array_like
        In [0, 1): how much of the mean gradient and of the mean square gradient a step keeps.
    epsilon : float or array_like
        >= 0: added to the root of the mean square. (With 0, a gradient that was always 0 is divided
        by 0, and the run diverges.)
    weight_decay : float or array_like, or dict of str to these
        As in ``SGD``: added to the gradient (not separate from it, as in AdamW).

    Raises
    ------
    InputError
        In one line that names the argument.

    Examples
    --------
    >>> import relulab as rl
    >>> start = rl.Networks(w=0.5, b=0.2, v=0.3, c=0.1)
    >>> rl.trace(start, rl.TrainingSet.point(1, 3), 0.01, n_steps=1, optimizer=rl.Adam()).round(4)
       run  step     w     b     v     c    loss  prediction  n_active
    0    0     0  0.50  0.20  0.30  0.10  3.6180      0.3100         1
    1    0     1  0.51  0.21  0.31  0.11  3.5559      0.3332         1
    """

    beta1: Any = 0.9
    beta2: Any = 0.999
    epsilon: Any = 1e-8
    weight_decay: Any = 0.0

    def __post_init__(self) -> None:
        for name in ("beta1", "beta2", "epsilon"):
            set_fields(self, **{name: checked_setting(name, getattr(self, name))})
        set_fields(self, weight_decay=_checked_decay(self.weight_decay))

    def __repr__(self) -> str:
        return _repr(self)

    @property
    def settings(self) -> dict[str, Any]:
        """The numbers, by the names of their columns."""
        own = {name: getattr(self, name) for name in ("beta1", "beta2", "epsilon")}
        return {**_decay_settings(self.weight_decay), **own}

    @property
    def moves_inactive(self) -> bool:
        """Whether it can move the w and b of a unit that is not active."""
        return True


Optimizer = SGD | Adam


def with_settings(optimizer: Optimizer, settings: Mapping[str, Any]) -> Optimizer:
    """Return the optimizer with new values for some of its ``settings``."""
    decay = optimizer.weight_decay
    if isinstance(decay, dict):
        decay = {p: settings.get(f"weight_decay_{p}", value) for p, value in decay.items()}
    else:
        decay = settings.get("weight_decay", decay)
    own = {f.name: settings[f.name] for f in fields(optimizer) if f.name in settings}
    return replace(optimizer, **{**own, "weight_decay": decay})


def setting_names(optimizer: Optimizer) -> list[str]:
    """Return the column names of all numbers that the optimizer can have."""
    own = [f.name for f in fields(optimizer) if f.name in BOUNDS]
    if isinstance(decay := optimizer.weight_decay, dict):
        own.remove("weight_decay")
        own += [f"weight_decay_{p}" for p in decay]
    return own


def checked_optimizer(value: object) -> Optimizer:
    """Return an optimizer; refuse anything else."""
    if not isinstance(value, Optimizer):
        raise InputError(f"optimizer: expected rl.SGD(...) or rl.Adam(...), got {shown(value)}")
    return value


def _checked_decay(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return checked_setting("weight_decay", value)
    for name in value:
        one_of("weight_decay", name, PARAMETERS)
    # In a fixed order, whatever the order in which they are given.
    return {p: checked_setting(f"weight_decay_{p}", value[p]) for p in PARAMETERS if p in value}


def _decay_settings(value: Any) -> dict[str, Any]:
    values = value if isinstance(value, dict) else {None: value}
    named = {f"weight_decay_{p}" if p else "weight_decay": v for p, v in values.items()}
    return {name: v for name, v in named.items() if not is_plain(v)}


def _repr(optimizer: Optimizer) -> str:
    """Return the call that makes the optimizer, without defaults."""
    values = {f.name: getattr(optimizer, f.name) for f in fields(optimizer)}
    plain = {f.name: f.default for f in fields(optimizer)}
    changed = [
        f"{name}={value!r}"
        for name, value in values.items()
        if not (type(value) is type(plain[name]) and value == plain[name])
    ]
    return f"{type(optimizer).__name__}({', '.join(changed)})"


PLAIN = SGD()
