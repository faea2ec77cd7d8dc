"""Random values of a sweep: the same whoever draws them, in whatever order."""

import numpy as np
import numpy.typing as npt

from relulab.model.initialization import Distribution
from relulab.validation import Float64Array

# Random values come from blocks of this many draws. Each block has its own key, so a value depends
# only on the seed, the parameter and the draw. Changing this number changes every drawn value.
DRAWS_PER_BLOCK = 4096


def drawn_values(
    distribution: Distribution, seed: int, key: int, draw: npt.NDArray[np.int64]
) -> Float64Array:
    """Return the values of a parameter, which has the ``key``, for ascending draws."""
    if not draw.size:
        return np.empty(0)
    if draw[-1] - draw[0] > draw.size + DRAWS_PER_BLOCK:  # most blocks between are not needed
        parts = np.split(draw, np.flatnonzero(np.diff(draw // DRAWS_PER_BLOCK)) + 1)
        return np.concatenate([drawn_values(distribution, seed, key, part) for part in parts])
    first, end = int(draw[0]), int(draw[-1]) + 1
    values = np.empty(end - first)
    for k in range(first // DRAWS_PER_BLOCK, (end - 1) // DRAWS_PER_BLOCK + 1):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key, k)))
        block = distribution.sample(rng, DRAWS_PER_BLOCK)
        begin = k * DRAWS_PER_BLOCK - first
        its = slice(max(begin, 0), begin + DRAWS_PER_BLOCK)
        values[its] = block[max(-begin, 0) : end - first - begin]
    return values[draw - first]
