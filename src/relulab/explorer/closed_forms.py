"""The closed forms that apply to a view."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from relulab.explorer.view import View
from relulab.model.network import PARAMETERS
from relulab.theory import dies_in_one_step, dies_under_gradient_flow, stability_limit
from relulab.training.optimizers import SGD
from relulab.training.settings import BOUNDS, RATES
from relulab.validation import Float64Array

FLOW, ONE_STEP, EDGE = "dies as η → 0", "dies in the first step", "nothing rests at larger η"


class ClosedForm(NamedTuple):
    """A region of the plane: its label, and a function of ``numbers_of`` that finds its inside."""

    words: str
    inside: Callable[[dict[str, Any]], Any]


def closed_forms(view: View) -> list[ClosedForm]:
    """Return the closed forms that are known for a view without training."""
    sweep = view.sweep
    trained = set(PARAMETERS) - set(sweep.freeze)
    settings = {name for name in (*view.numbers, view.x, view.y) if name in BOUNDS}
    plain = isinstance(sweep.optimizer, SGD) and not sweep.optimizer.nesterov
    full_batch = sweep.batch_size is None
    one_sample = full_batch and "x" in view.numbers and {"w", "b"} <= trained
    # Velocities begin at 0, and a slope matters only once the unit is inactive.
    harmless = {"momentum", "negative_slope"}
    found = []
    if one_sample and settings == {"learning_rate"} and "v" in trained:
        found.append(ClosedForm(FLOW, lambda values: _flow(values, sweep.freeze)))
    if one_sample and plain and settings <= {*RATES, *harmless}:
        found.append(ClosedForm(ONE_STEP, _one_step))
    one_rate = "learning_rate" in (view.x, view.y) and settings <= {"learning_rate", *harmless}
    if one_rate and full_batch and plain and "c" in trained:
        found.append(ClosedForm(EDGE, _beyond_the_edge))
    return found


def numbers_of(view: View, x: Float64Array, y: Float64Array) -> dict[str, Any]:
    """Return all values at the points of a grid, ready to broadcast to shape (n_y, n_x)."""
    return {**view.numbers, view.x: x, view.y: y[:, np.newaxis]}


def _start(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in (*PARAMETERS, "x", "target")}


def _flow(values: dict[str, Any], freeze: Collection[str]) -> Any:
    return dies_under_gradient_flow(**_start(values), freeze=freeze)


def _one_step(values: dict[str, Any]) -> Any:
    rate = values.get("hidden_learning_rate", values.get("learning_rate"))
    return dies_in_one_step(**_start(values), learning_rate=rate)


def _beyond_the_edge(values: dict[str, Any]) -> Any:
    # No network has a sharpness below 1, the entry of the Hessian for c.
    return stability_limit(values["learning_rate"], values.get("momentum", 0.0)) < 1
