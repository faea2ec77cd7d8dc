"""How ragged the borders between fates are, how far away they are, and how fates share a plane.

A fate is what became of a run: its outcome and its unit together, such as "converged, died", or
whatever a function of a table of runs returns, one label for each run::

    fate=lambda runs: runs["unit"] == "died"

Borders are measured by pairs of starts (``uncertain_pairs``, ``dimension``), found to the last bit
by bisection (``bisect``, ``distance_to_other_fate``), and judged from maps (``basin_entropy``,
``wada``). ``statistics.outcome_rates`` has the size of the basins, with intervals.
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
