"""The order of the training images: a function of seed and epoch alone, so that a run can go on at any step."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Generator
from torch.utils.data import Sampler

from training.data.pipeline import Images, Loader
from training.distributed import own_batch_size, rank


class ShuffledBatches(Sampler[list[int]]):
    """Indices of each batch of an epoch, shuffled anew in each; the last incomplete batch is left out.

    With several processes, each takes its part of the same global batch, so the batches are those of one process.
    """

    def __init__(self, images: int, batch_size: int, seed: int) -> None:
        self.images = images
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.start = 0
        """The epoch, from 0, and its first batch that the next iteration gives."""

    def place(self, trainer: Any) -> None:
        """Stand where a trainer's step counter is, at the start of an epoch or amid one."""
        self.epoch, self.start = divmod(trainer.state.iteration, len(self))

    def __len__(self) -> int:
        return self.images // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.images)
        own = own_batch_size(self.batch_size)
        for batch in range(self.start, len(self)):
            first = batch * self.batch_size + rank() * own
            yield order[first : first + own].tolist()


def training_loader(dataset: Images, batches: ShuffledBatches, workers: int = 0) -> Loader:
    """A loader with a generator of its own: starting it leaves torch's random state as it was."""
    return Loader(dataset, num_workers=workers, batch_sampler=batches, generator=Generator().manual_seed(0))
