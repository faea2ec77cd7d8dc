"""Figures as functions of tables: each takes a table and an optional ``ax`` and returns the Axes.

Without ``ax`` a figure of relulab's style is made; a given one keeps the style that it has.
``plt.style.use("relulab.figures.relulab")`` sets the style for everything.
"""

import relulab.figures.backend  # noqa: F401 (the first to import Matplotlib)
from relulab.figures.curves import cumulative, intervals, lines, points, survival
from relulab.figures.films import Film, save_film
from relulab.figures.fractions import (
    bars,
    dots,
    fate_bars,
    optimum_bars,
    optimum_fractions,
    outcome_fractions,
)
from relulab.figures.legends import legend_of
from relulab.figures.maps import outcome_map, speed_map, steps_map, transitions, value_map
from relulab.figures.moving_fits import fit_film, fit_steps
from relulab.figures.palette import (
    FATE_COLORS,
    FATES,
    OKABE_ITO,
    OPTIMUM_COLORS,
    OPTIMUM_LABELS,
    SYMBOLS,
    fate_label,
)
from relulab.figures.saving import FORMATS, save
from relulab.figures.style import outer_labels, panels, show_runs, style
from relulab.figures.theory_marks import (
    mark_curve,
    mark_fraction,
    mark_level,
    mark_position,
    mark_region,
)
from relulab.figures.traces import fits, loss_curves, parameter_curves, trajectories

__all__ = [
    "FATES",
    "FATE_COLORS",
    "FORMATS",
    "OKABE_ITO",
    "OPTIMUM_COLORS",
    "OPTIMUM_LABELS",
    "SYMBOLS",
    "Film",
    "bars",
    "cumulative",
    "dots",
    "fate_bars",
    "fate_label",
    "fit_film",
    "fit_steps",
    "fits",
    "intervals",
    "legend_of",
    "lines",
    "loss_curves",
    "mark_curve",
    "mark_fraction",
    "mark_level",
    "mark_position",
    "mark_region",
    "optimum_bars",
    "optimum_fractions",
    "outcome_fractions",
    "outcome_map",
    "outer_labels",
    "panels",
    "parameter_curves",
    "points",
    "save",
    "save_film",
    "show_runs",
    "speed_map",
    "steps_map",
    "style",
    "survival",
    "trajectories",
    "transitions",
    "value_map",
]


def __dir__() -> list[str]:
    return __all__
