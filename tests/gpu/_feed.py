"""Batches from a memory-mapped array to a GPU, copied while the step before them runs.

A candidate for training's data path that `tests.gpu.training` measures.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Buffer = tuple[Tensor, torch.cuda.Event]
"""A tensor and the event after the copy that fills or empties it."""


class Feed:
    """Iterates over the batches of ``images`` (N, H, W, C) uint8 that ``batches`` names, on the device.

    Threads gather each batch into pinned memory, a stream of its own copies it, and ``ahead`` batches are under way. A
    batch's pinned memory is used again only after its copy has ended.
    """

    def __init__(
        self, images: NDArray[np.uint8], batches: Iterable[NDArray[np.int64]], device: torch.device, ahead: int = 3
    ) -> None:
        self.images = images
        self.batches = batches
        self.device = device
        self.ahead = ahead

    def __iter__(self) -> Iterator[Tensor]:
        stream = torch.cuda.Stream(self.device)
        free: deque[Buffer] = deque()
        under_way: deque[Future[Buffer]] = deque()

        def copy(indices: NDArray[np.int64], buffer: Buffer | None) -> Buffer:
            if buffer is None:
                pinned = torch.empty((len(indices), *self.images.shape[1:]), dtype=torch.uint8, pin_memory=True)
            else:
                pinned, copied = buffer
                copied.synchronize()
            np.take(self.images, indices, axis=0, out=pinned.numpy(), mode="clip")
            with torch.cuda.stream(stream):
                batch = pinned.to(self.device, non_blocking=True)
                done = torch.cuda.Event()
                done.record(stream)
            free.append((pinned, done))
            return batch, done

        def next_batch() -> Tensor:
            batch, done = under_way.popleft().result()
            current = torch.cuda.current_stream(self.device)
            current.wait_event(done)
            batch.record_stream(current)
            return batch

        with ThreadPoolExecutor(self.ahead) as pool:
            for indices in self.batches:
                under_way.append(pool.submit(copy, indices, free.popleft() if free else None))
                if len(under_way) > self.ahead:
                    yield next_batch()
            while under_way:
                yield next_batch()
