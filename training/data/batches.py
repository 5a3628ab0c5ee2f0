"""The order of the training images. It depends only on seed and epoch, so that a run can continue at any step."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Generator
from torch.utils.data import Sampler

from training.data.pipeline import Images, Loader
from training.distributed import own_batch_size, rank


class ShuffledBatches(Sampler[list[int]]):
    """Indices of each batch of an epoch, shuffled again in each epoch. The last incomplete batch is dropped.

    With several processes, each takes its part of the same global batch, so the batches are those of one process.

    With weights (images,), an image of weight 2 comes twice as often as one of weight 1, in as many draws as there are
    images: systematic resampling (Kitagawa 1996), so that its number in an epoch differs from its share by less than 1.
    """

    def __init__(self, images: int, batch_size: int, seed: int, weights: Sequence[float] | None = None) -> None:
        self.images = images
        self.weights = None if weights is None or len(set(weights)) < 2 else np.asarray(weights, dtype=np.float64)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.start = 0
        """The epoch, from 0, and its first batch that the next iteration gives."""

    def place(self, trainer: Any) -> None:
        """Set the position from the step counter of a trainer, at the start or in the middle of an epoch."""
        self.epoch, self.start = divmod(trainer.state.iteration, len(self))

    def __len__(self) -> int:
        return self.images // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng((self.seed, self.epoch))
        order = random.permutation(self.images)
        if self.weights is not None:
            limits = np.cumsum(self.weights) / self.weights.sum()
            drawn = np.searchsorted(limits, (random.random() + np.arange(self.images)) / self.images, side="right")
            order = drawn.clip(max=self.images - 1)[order]
        own = own_batch_size(self.batch_size)
        for batch in range(self.start, len(self)):
            first = batch * self.batch_size + rank() * own
            yield order[first : first + own].tolist()


def training_loader(dataset: Images, batches: ShuffledBatches, workers: int = 0) -> Loader:
    """A loader with its own generator. Starting it does not change the random state of torch.

    Its worker processes stay for all epochs.
    """
    generator = Generator().manual_seed(0)
    return Loader(
        dataset, num_workers=workers, batch_sampler=batches, generator=generator, persistent_workers=workers > 0
    )
