"""Batches on the device before a step asks for them."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor

AHEAD = 2
"""Batches that are read while a step runs."""

Batch = dict[str, Tensor]


class Batches(Protocol):
    """A loader of batches on the host."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


class Feed:
    """The batches of a loader, in its order. A thread reads the next ones, and copies them to a GPU, while steps run.

    The copy is made from pinned memory in a stream of its own. The step's stream waits for it; the host does not.
    """

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self.batches = batches
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        source = iter(self.batches)  # here, so that worker processes are started by the main thread
        with ThreadPoolExecutor(1) as reader:
            under_way = deque(reader.submit(self.read, source) for _ in range(AHEAD))
            while (ready := under_way.popleft().result()) is not None:
                under_way.append(reader.submit(self.read, source))
                batch, copied = ready
                if copied is not None:
                    current = torch.cuda.current_stream(self.device)
                    current.wait_event(copied)
                    for tensor in batch.values():
                        tensor.record_stream(current)  # its memory is not used again before the step has used it
                yield batch

    def read(self, source: Iterator[Batch]) -> tuple[Batch, torch.cuda.Event | None] | None:
        """The next batch and the event at the end of its copy, or None after the last one."""
        batch = next(source, None)
        if batch is None:
            return None
        if self.stream is None:
            return batch, None
        with torch.cuda.stream(self.stream):
            batch = {name: tensor.pin_memory().to(self.device, non_blocking=True) for name, tensor in batch.items()}
            copied = torch.cuda.Event()
            copied.record(self.stream)
        return batch, copied
