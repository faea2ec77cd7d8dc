from . import boundary, figures, theory
from .analysis import statistics, tables
from .analysis.relabeling import relabel
from .experiment import Experiment, Report, main
from .explorer import explore
from .model.data import Scale, TrainingSet
from .model.geometric import geomspace
from .model.initialization import (
    SCHEMES,
    LogUniform,
    Normal,
    Scheme,
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
from .model.network import Networks
from .model.outcome import Outcome, Unit
from .sweeps.results import Results
from .sweeps.sweep import Sweep
from .theory.answer import BrokenStick
from .theory.broken_stick import broken_stick
from .theory.curvature import sharpness
from .theory.optimum import BestFit, best_fit
from .training.optimizers import SGD, Adam
from .training.trainer import Trained, trace, train
from .validation import InputError

__all__ = [
    "SCHEMES",
    "SGD",
    "Adam",
    "BestFit",
    "BrokenStick",
    "Experiment",
    "InputError",
    "LogUniform",
    "Networks",
    "Normal",
    "Outcome",
    "Report",
    "Results",
    "Scale",
    "Scheme",
    "Sweep",
    "Trained",
    "TrainingSet",
    "Uniform",
    "Unit",
    "best_fit",
    "boundary",
    "broken_stick",
    "explore",
    "figures",
    "geomspace",
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
__version__: str
