"""One step of training: forward and backward for each part of a batch, then the optimiser."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from monai.utils import CommonKeys
from torch import GradScaler, Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.errors import TrainingError


def require_parts(batch: int, parts: int) -> None:
    """Refuse to divide a process's batch into parts that are unequal, or of one image, which has no batch statistics.

    Raises:
        TrainingError: in that case.
    """
    if batch % parts or batch // parts < 2:
        raise TrainingError(
            f"accumulate: {batch} images can't be divided into {parts} equal parts of at least 2: set another "
            "batch_size or accumulate"
        )


class TrainingStep:
    """What MONAI's ``SupervisedTrainer`` does with a batch. Nothing in it waits for a GPU.

    The gradient is the mean over the parts of the batch, so that the activations of one part are in memory at a time.
    Batch statistics are each part's own, as they are each process's own. MONAI's ``accumulation_steps`` would make each
    part a step of the schedule, of the moving average and of the checkpoints.

    Args:
        parts: into how many equal parts the batch is divided.
        scaler: of the loss, for float16. It leaves out a step whose gradient overflows.
        clip_norm: largest norm of the whole gradient.
    """

    def __init__(self, parts: int = 1, scaler: GradScaler | None = None, clip_norm: float | None = None) -> None:
        self.parts = parts
        self.scaler = scaler
        self.clip_norm = clip_norm

    def __call__(self, trainer: Any, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the loss of the whole batch, detached."""
        images, targets = trainer.prepare_batch(batch, trainer.state.device, non_blocking=True)
        network = trainer.network
        network.train()
        trainer.optimizer.zero_grad(set_to_none=True)
        losses = []
        for last, part, target in self.divided(images, targets):
            with nullcontext() if last or not isinstance(network, DistributedDataParallel) else network.no_sync():
                loss: Tensor = trainer.loss_function(trainer.inferer(part, network), target) / self.parts
                (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            losses.append(loss.detach())
        self.update(trainer.optimizer, network)
        return {CommonKeys.LOSS: torch.stack(losses).sum()}

    def divided(self, images: Tensor, targets: Tensor) -> Iterator[tuple[bool, Tensor, Tensor]]:
        """The parts of a batch, and whether each is the last."""
        size = len(images) // self.parts
        pairs = zip(images.split(size), targets.split(size), strict=True)
        return ((number == self.parts, *pair) for number, pair in enumerate(pairs, start=1))

    def update(self, optimiser: torch.optim.Optimizer, network: nn.Module) -> None:
        if self.clip_norm is not None:
            if self.scaler is not None:
                self.scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(network.parameters(), self.clip_norm)
        if self.scaler is None:
            optimiser.step()
        else:
            self.scaler.step(optimiser)
            self.scaler.update()
