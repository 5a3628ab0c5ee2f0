"""Whether the batches of a memory-mapped file keep a captured training step busy."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.feed import Batch, Feed


class Gathered:
    """Batches of a memory-mapped array (N, H, W, C) in pinned memory."""

    def __init__(self, images: NDArray[np.uint8], batches: list[NDArray[np.int64]]) -> None:
        self.images = images
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        for indices in self.batches:
            pinned = torch.empty((len(indices), *self.images.shape[1:]), dtype=torch.uint8, pin_memory=True)
            np.take(self.images, indices, axis=0, out=pinned.numpy(), mode="clip")
            yield {"image": pinned}


def compare_feed(static: Tensor, step: Callable[[], object]) -> dict[str, float]:
    """Images a second of a step alone, of feeding its images (N, C, H, W) alone and of both, from a memory map."""
    batch, _, size, _ = static.shape
    random = np.random.default_rng(0)
    count, epochs = 32 * batch, 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, size, size, 3))
        for start in range(0, count, batch):
            images[start : start + batch] = random.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)

        def batches() -> list[Any]:
            return [part for _ in range(epochs) for part in random.permutation(count).reshape(-1, batch)]

        def measure(*, feed: bool, run: bool) -> float:
            torch.cuda.synchronize()
            start = time.perf_counter()
            source: Any = Feed(Gathered(images, batches()), static.device) if feed else batches()
            for raw in source:
                if feed:
                    static.copy_(raw["image"].permute(0, 3, 1, 2)).div_(255)
                if run:
                    step()
            torch.cuda.synchronize()
            return count * epochs / (time.perf_counter() - start)

        figures = {
            name: statistics.median(measure(feed=feed, run=run) for _ in range(3))
            for name, feed, run in (("step alone", False, True), ("feed alone", True, False), ("both", True, True))
        }
    figures["both / step alone"] = figures["both"] / figures["step alone"]
    print("\n" + "\n".join(f"{name:<30}{value:>12.3f}" for name, value in figures.items()), flush=True)
    return figures
