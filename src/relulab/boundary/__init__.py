"""How ragged the boundaries between fates are, how far away, and how fates share a plane.

A fate is what became of a run: its outcome and unit together, such as "converged, died", or the
labels that a function of a table of runs returns, one for each run::

    fate=lambda runs: runs["unit"] == "died"

Pairs of starts measure boundaries (``uncertain_pairs``, ``dimension``), bisection finds them
(``bisect``, ``distance_to_other_fate``), and maps show how fates mix (``basin_entropy``, ``wada``).
``statistics.outcome_rates`` gives the sizes of the basins, with intervals.
"""

from relulab.boundary.basins import BasinEntropy, basin_entropy, smooth_entropy, wada
from relulab.boundary.edges import bisect, distance_to_other_fate
from relulab.boundary.pairs import uncertain_pairs
from relulab.boundary.power_law import Dimension, dimension

__all__ = [
    "BasinEntropy",
    "Dimension",
    "basin_entropy",
    "bisect",
    "dimension",
    "distance_to_other_fate",
    "smooth_entropy",
    "uncertain_pairs",
    "wada",
]


def __dir__() -> list[str]:
    return __all__
