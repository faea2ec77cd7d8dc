"""The fate of a network: how its training ended, and what became of its unit."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pandas as pd


class _Described(IntEnum):
    """An integer code with a sentence that explains it."""

    description: str

    def __new__(cls, code: int, description: str) -> "_Described":
        member = int.__new__(cls, code)
        member._value_ = code
        member.description = description
        return member

    @property
    def label(self) -> str:
        """The word used in tables."""
        return self.name.lower()


class Outcome(_Described):
    """How training ended. Exactly one holds; it says nothing about the unit.

    With batches the gradient alone decides which runs have converged, and none is unstable.
    """

    CONVERGED = 0, "The gradient is within the tolerance, at a state where gradient descent rests."
    DIVERGED = 1, "A number stopped being finite, or the loss passed divergence_loss."
    OSCILLATING = 2, "At max_steps the parameters were on a periodic orbit."
    UNFINISHED = (
        3,
        "At max_steps none of the others holds: it moves on, chaotically or across a kink.",
    )
    UNSTABLE = (
        4,
        "It is exactly on a saddle or a minimum too sharp for the rate: no step moves it.",
    )


class Unit(_Described):
    """What became of the ReLU unit, which is dead if it is active on no sample.

    Exactly one of these holds; it says nothing about the outcome.

    Under plain descent a unit that is inactive on every sample never becomes active again. With
    momentum, weight decay or Adam it can; ``n_revivals`` counts this. With a negative slope the
    words describe the pre-activations only: the unit is inactive but not dead, so it trains on and
    may fit well.
    """

    ALIVE = 0, "At the end the unit is active on at least one training sample."
    BORN_DEAD = 1, "The unit is inactive on every training sample from the first state to the end."
    DIED = (
        2,
        "Active at some step, then inactive on every training sample from a later step to the end.",
    )


OUTCOMES = pd.CategoricalDtype([o.label for o in Outcome])
UNITS = pd.CategoricalDtype([u.label for u in Unit])

# A fate is an outcome and a unit together; tables of codes use this order.
CODED_FATES = [(outcome, unit) for outcome in OUTCOMES.categories for unit in UNITS.categories]


def fate_codes(runs: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return the place in ``CODED_FATES`` of each run of a table with known words."""
    outcome = pd.Categorical(runs["outcome"], dtype=OUTCOMES).codes
    unit = pd.Categorical(runs["unit"], dtype=UNITS).codes
    return outcome.astype(np.int64) * len(UNITS.categories) + unit


def outcome_labels(codes: npt.NDArray[np.int8]) -> pd.Categorical:
    """Return outcome codes ``(n_nets,)`` as words."""
    return pd.Categorical.from_codes(codes, dtype=OUTCOMES)


def unit_labels(death_step: npt.NDArray[np.integer]) -> pd.Categorical:
    """Return the fate of each unit from its death step (-1 never, 0 born dead), ``(n_nets,)``."""
    fates = np.array([Unit.ALIVE, Unit.BORN_DEAD, Unit.DIED], np.int8)
    codes = fates[np.clip(death_step, -1, 1) + 1]
    return pd.Categorical.from_codes(codes, dtype=UNITS)
