"""The loss of each step, read some steps later on a GPU, so that no step waits until the one before it is done."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys
from torch import Tensor

from training import distributed
from training.errors import TrainingError

BEHIND = 8
"""Steps that a GPU may be behind. The host then prepares the next ones."""


class StepFigures(NamedTuple):
    """What is known of a step once its loss is read."""

    step: int
    """From 1, over all epochs."""
    epoch: int
    loss: float
    """Of the whole batch, all processes' parts."""
    learning_rate: float


class Waiting(NamedTuple):
    """A step whose loss is on its way to the host."""

    step: int
    epoch: int
    loss: Tensor
    copied: torch.cuda.Event | None
    learning_rate: float


class Losses:
    """Hands the figures of each step, in order, to those who listen, and stops a run whose loss is not finite.

    All processes read the same steps at the same time, so that all of them stop.
    """

    def __init__(self, device: torch.device) -> None:
        self.behind = BEHIND if device.type == "cuda" else 0
        self.waiting: deque[Waiting] = deque()
        self.listeners: list[Callable[[StepFigures], None]] = []
        self.newest = math.nan
        """The loss that was read last."""

    def attach(self, trainer: Engine) -> None:
        """After each epoch, all of its losses are read before anybody else learns that it ended."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.settle)

    def add(self, trainer: Any) -> None:
        loss = distributed.mean_over_processes(trainer.state.output[CommonKeys.LOSS])
        copied = None
        if loss.device.type == "cuda":
            loss = loss.to("cpu", non_blocking=True)  # into pinned memory
            copied = torch.cuda.Event()
            copied.record()
        rate = max(group["lr"] for group in trainer.optimizer.param_groups)
        self.waiting.append(Waiting(trainer.state.iteration, trainer.state.epoch, loss, copied, rate))
        while len(self.waiting) > self.behind:
            self.read()

    def settle(self) -> None:
        """Read all losses that are waiting.

        Raises:
            TrainingError: if one is not finite.
        """
        while self.waiting:
            self.read()

    def read(self) -> None:
        step, epoch, loss, copied, rate = self.waiting.popleft()
        if copied is not None:
            copied.synchronize()
        self.newest = loss.item()
        if not math.isfinite(self.newest):
            raise TrainingError(
                f"the loss is {self.newest} in step {step}, epoch {epoch}: lower optimiser.learning_rate, or set "
                "optimiser.clip_norm"
            )
        for listen in self.listeners:
            listen(StepFigures(step, epoch, self.newest, rate))
