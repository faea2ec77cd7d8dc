"""Batches: the samples that each step takes, the same for every network."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count, islice

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Batches:
    """Epochs of batches; each epoch takes every sample once.

    Attributes
    ----------
    n_samples : int
    size : int
        Samples in a batch; the last batch of an epoch has the rest.
    shuffle_seed : int, optional
        Seed of a new order of the samples in each epoch; None for the order of the data set.
    """

    n_samples: int
    size: int
    shuffle_seed: int | None = None

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.n_samples // self.size)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the samples in the order of an epoch; it depends on the seed and the epoch."""
        if self.shuffle_seed is None:
            return np.arange(self.n_samples)
        sequence = np.random.SeedSequence(self.shuffle_seed, spawn_key=(epoch,))
        return np.random.default_rng(sequence).permutation(self.n_samples)

    def epoch(self, epoch: int) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the samples of each batch of an epoch."""
        order = self.order(epoch)
        for first in range(0, self.n_samples, self.size):
            yield order[first : first + self.size]

    def steps(self, first: int = 0) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the samples of step ``first`` and all later steps, without end."""
        epoch, done = divmod(first, self.steps_per_epoch)
        return islice(chain.from_iterable(map(self.epoch, count(epoch))), done, None)
