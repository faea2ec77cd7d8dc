"""The options of training: learning rates, frozen parameters, batches, when to stop, arithmetic."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, signature
from typing import Any, TypedDict, TypeVar

import numpy as np

from relulab.model.data import TrainingSet
from relulab.model.network import PARAMETERS
from relulab.training.batches import Batches
from relulab.training.optimizers import PLAIN, Optimizer, checked_optimizer
from relulab.training.settings import RATES, checked_setting, is_plain
from relulab.training.sorted_sums import in_range
from relulab.validation import (
    InputError,
    finite_number,
    one_of,
    seed_number,
    set_fields,
    shown,
    whole_number,
)

DTYPES = ("float64", "float32")
SUMMATIONS = ("auto", "direct", "sorted")

# summation="auto": direct sums up to this many samples, beyond that tables if possible. It decides
# the bits, so it is the same for every engine and machine.
DIRECT_UP_TO = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingOptions:
    """How networks are trained, apart from the networks and the data.

    Attributes
    ----------
    learning_rate : float or array_like
        The step size. The loss is the mean of residual^2/2; on a mean of residual^2 (MSE in PyTorch
        and Keras) half this rate takes the same steps.
    hidden_learning_rate, output_learning_rate : like learning_rate, optional
        The step size of w and b, and of v and c, if it differs from ``learning_rate``.
    negative_slope : float or array_like
        In [0, 1]: the slope and the derivative of the unit at pre-activations that are not above 0.
        0 is the ReLU, 0.01 a usual leaky ReLU, 1 a linear network. A unit with a slope and no
        pre-activation above 0 is inactive but not dead: its gradients continue.
    optimizer : SGD or Adam
        What turns gradients into a step: ``rl.SGD(momentum=0.9)``, ``rl.Adam()``; by default plain
        gradient descent.
    freeze : collection of str
        The parameters among "w", "b", "v", "c" that do not train.
    max_steps : int
        The largest number of updates. A network that has not finished by then is followed for 128
        more, to find out whether it oscillates.
    gradient_tolerance : float
        A network has converged when no gradient exceeds this in absolute value and gradient descent
        with these rates rests at the state (``relulab.training.stability``): a run that only flies
        past an unstable minimum, or passes a saddle slowly, trains on. With weight decay the
        gradient is that of the loss with its decay term. With momentum, the movement left in the
        velocity must be as small (``relulab.training.update_rules``).
    divergence_loss : float
        A network has diverged when its loss exceeds this. Growth to large finite values can be
        transient (5e5-fold was seen), so keep this far above what you would call large.
    batch_size : int, optional
        Samples per step; None for all. They come in the order of the data set in each epoch.
        Convergence is judged at the beginning of an epoch, only by the gradient over all samples.
        (1 is the "for each training example" of textbooks.)
    shuffle_seed : int, optional
        Seed of a new order in each epoch, the same for all networks.
    summation : {"auto", "direct", "sorted"}
        How to sum over samples: in sample order, or from tables of the sorted samples
        (``training.sorted_sums``), where a step on a million samples costs a few times one on ten.
        The two agree to rounding, not bit for bit. "auto" is "direct" up to 16 samples, and if sums
        of squares are beyond the range of the arithmetic.
    dtype : {"float64", "float32"}
        The arithmetic; initial values, rates and data are first rounded to it. NumPy's types of
        these names will do.

    Raises
    ------
    InputError
        In one line that names the option.
    """

    learning_rate: Any = None
    hidden_learning_rate: Any = None
    output_learning_rate: Any = None
    negative_slope: Any = 0.0
    optimizer: Optimizer = PLAIN
    freeze: Collection[str] = ()
    max_steps: int = 10_000
    gradient_tolerance: float = 1e-6
    divergence_loss: float = 1e30
    batch_size: int | None = None
    shuffle_seed: int | None = None
    summation: str = "auto"
    dtype: Any = "float64"

    def __post_init__(self) -> None:
        self._check_rate_names()
        one_of("summation", self.summation, SUMMATIONS)
        number = np.dtype(one_of("dtype", _name_of(self.dtype), DTYPES))
        # Plain numbers from here on: with a float64 scalar NumPy would compare float32 networks in
        # float64, and the engines would differ. A manifest can hold them, too.
        set_fields(
            self,
            dtype=number.name,
            negative_slope=checked_setting("negative_slope", self.negative_slope),
            optimizer=checked_optimizer(self.optimizer),
            freeze=checked_freeze(self.freeze),
            max_steps=whole_number("max_steps", self.max_steps, at_least=0, at_most=2**62),
            gradient_tolerance=finite_number(
                "gradient_tolerance", self.gradient_tolerance, at_least=0
            ),
            divergence_loss=finite_number("divergence_loss", self.divergence_loss, above=0),
        )
        if self.divergence_loss > float(np.finfo(number).max):
            raise InputError(
                f"divergence_loss: expected a number within the range of {number},"
                f" got {self.divergence_loss}"
            )
        self._check_batches()

    def _check_rate_names(self) -> None:
        """Refuse rates that leave a parameter without a rate, or a rate without use."""
        separate = [name for name in RATES[1:] if name in self.rate_names]
        if "learning_rate" in self.rate_names and len(separate) == 2:
            raise InputError(
                "learning_rate: expected none with both hidden_learning_rate and"
                " output_learning_rate, which leave it without use"
            )
        if "learning_rate" not in self.rate_names and len(separate) < 2:
            raise InputError(
                "learning_rate: expected a value, or both hidden_learning_rate and"
                f" output_learning_rate, got {separate[0] + ' only' if separate else 'none'}"
            )

    def _check_batches(self) -> None:
        if self.batch_size is None:
            if self.shuffle_seed is not None:
                raise InputError(
                    "shuffle_seed: expected None without batch_size, because the full batch has no"
                    f" order, got {shown(self.shuffle_seed)}"
                )
            return
        set_fields(self, batch_size=whole_number("batch_size", self.batch_size, at_least=1))
        if self.shuffle_seed is not None:
            set_fields(self, shuffle_seed=seed_number("shuffle_seed", self.shuffle_seed))
        if self.summation == "sorted":
            raise InputError("summation: expected direct or auto with batch_size, got sorted")

    @property
    def rate_names(self) -> list[str]:
        """The given names among RATES."""
        return [name for name in RATES if getattr(self, name) is not None]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that differ from those of a ReLU under plain descent."""
        slope = {} if is_plain(self.negative_slope) else {"negative_slope": self.negative_slope}
        rates = {name: getattr(self, name) for name in self.rate_names}
        return {**rates, **slope, **self.optimizer.settings}

    @property
    def can_revive(self) -> bool:
        """Whether a unit that is inactive on every sample can become active again."""
        return "negative_slope" in self.settings or self.optimizer.moves_inactive

    def batches(self, n_samples: int) -> Batches | None:
        """Return the batches for this number of samples; None for the full batch.

        Raises
        ------
        InputError
            If a batch is larger than the number of samples.
        """
        if self.batch_size is None:
            return None
        if self.batch_size > n_samples:
            raise InputError(
                f"batch_size: expected at most {n_samples}, the number of samples,"
                f" got {shown(self.batch_size)}"
            )
        return Batches(n_samples, self.batch_size, self.shuffle_seed)

    def summation_of(self, data: TrainingSet) -> str:
        """Return how to sum over the samples, "direct" or "sorted"."""
        if self.summation != "auto":
            return self.summation
        many = not self.batch_size and data.n_samples > DIRECT_UP_TO
        return "sorted" if many and in_range(data, np.dtype(self.dtype)) else "direct"


class UpdateKeywords(TypedDict, total=False):
    """The options of an update, except ``learning_rate``; see ``TrainingOptions``."""

    hidden_learning_rate: Any
    output_learning_rate: Any
    negative_slope: Any
    optimizer: Optimizer
    freeze: Collection[str]
    batch_size: int | None
    shuffle_seed: int | None
    summation: str
    dtype: Any


class TrainingKeywords(UpdateKeywords, total=False):
    """All options except ``learning_rate``; see ``TrainingOptions``."""

    max_steps: int
    gradient_tolerance: float
    divergence_loss: float


Function = TypeVar("Function", bound=Callable[..., Any])


def takes(keywords: type) -> Callable[[Function], Function]:
    """Return a decorator that shows options by name, for help and completion, and refuses others.

    ``keywords`` is the type of the function's ``**options``.
    """

    def decorate(function: Function) -> Function:
        parameters = list(signature(function).parameters.values())
        options = [
            Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
            for f in fields(TrainingOptions)
            if f.name in keywords.__annotations__
        ]
        named = signature(function).replace(parameters=[*parameters[:-1], *options])

        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                named.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(*args, **kwargs)

        checked.__signature__ = named  # type: ignore[attr-defined]
        described = _described([option.name for option in options])
        checked.__doc__ = (function.__doc__ or "").replace("    **options\n", described)
        return checked  # type: ignore[return-value]

    return decorate


def _described(names: Collection[str]) -> str:
    """Return the part of the docstring of ``TrainingOptions`` about some options."""
    attributes = re.split(r"-{3,}\n|\n    Raises", str(TrainingOptions.__doc__))[1]
    entries = re.split(r"(?m)^(?=    \w)", attributes)
    return "".join(e for e in entries if set(re.findall(r"\w+", e.split(":")[0])) & set(names))


def _name_of(dtype: object) -> object:
    """Return the name of a NumPy type; anything else as it is."""
    is_type = isinstance(dtype, type) and issubclass(dtype, np.generic)
    is_type |= isinstance(dtype, np.dtype)
    return np.dtype(dtype).name if is_type else dtype  # type: ignore[call-overload]


def checked_freeze(freeze: object) -> tuple[str, ...]:
    """Return the frozen parameters in the order w, b, v, c."""
    if isinstance(freeze, (str, bytes, np.ndarray)) or not isinstance(freeze, Collection):
        raise InputError(f"freeze: expected a collection such as ('c',), got {shown(freeze)}")
    names = [one_of("freeze", name, PARAMETERS) for name in freeze]
    return tuple(p for p in PARAMETERS if p in names)
