"""relulab: what gradient descent does to a one-node ReLU network, from every start."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relulab import figures, statistics, tables, theory
    from relulab.curvature import sharpness
    from relulab.data import Scale, TrainingSet
    from relulab.experiment import Experiment, Report, main
    from relulab.initialization import (
        SCHEMES,
        LogUniform,
        Normal,
        Uniform,
        glorot_normal,
        glorot_uniform,
        he_normal,
        he_uniform,
        lecun_normal,
        scheme,
        standard_normal,
        torch_default,
    )
    from relulab.least_squares import BestFit, best_fit
    from relulab.network import Networks
    from relulab.outcome import Outcome, Unit
    from relulab.relabeling import relabel
    from relulab.results import Results
    from relulab.sweep import Sweep
    from relulab.training import Trained, trace, train
    from relulab.validation import InputError

# Where each public name lives. Names are imported when first used, so that figures are drawn from
# files without loading an engine, and ``import relulab`` is light.
_HOMES = {
    "curvature": ("sharpness",),
    "least_squares": ("BestFit", "best_fit"),
    "data": ("Scale", "TrainingSet"),
    "experiment": ("Experiment", "Report", "main"),
    "initialization": (
        "SCHEMES",
        "LogUniform",
        "Normal",
        "Uniform",
        "glorot_normal",
        "glorot_uniform",
        "he_normal",
        "he_uniform",
        "lecun_normal",
        "scheme",
        "standard_normal",
        "torch_default",
    ),
    "network": ("Networks",),
    "outcome": ("Outcome", "Unit"),
    "relabeling": ("relabel",),
    "results": ("Results",),
    "sweep": ("Sweep",),
    "training": ("Trained", "trace", "train"),
    "validation": ("InputError",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = ("figures", "statistics", "tables", "theory")

__all__ = [
    "SCHEMES",
    "BestFit",
    "Experiment",
    "InputError",
    "LogUniform",
    "Networks",
    "Normal",
    "Outcome",
    "Report",
    "Results",
    "Scale",
    "Sweep",
    "Trained",
    "TrainingSet",
    "Uniform",
    "Unit",
    "best_fit",
    "figures",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "main",
    "relabel",
    "scheme",
    "sharpness",
    "standard_normal",
    "statistics",
    "tables",
    "theory",
    "torch_default",
    "trace",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"relulab.{name}")
    if name in _MODULE_OF:
        return getattr(import_module(f"relulab.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'relulab' has no attribute {name!r}")
