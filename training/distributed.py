"""Several processes, on one or more machines, started by ``torchrun``. Each takes its part of every batch."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from training.errors import TrainingError


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that ``torchrun`` started, by NCCL on GPUs and Gloo on CPUs. With one process, do nothing."""
    if os.environ.get("WORLD_SIZE", "1") == "1" or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """Rank of this process, 0 if there is only one. Only process 0 writes files."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process if a machine has several."""
    if device.type != "cuda":
        return device
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(own)
    return own


def own_seed(seed: int) -> int:
    """The recipe's seed for process 0, and another one for each other process, so that each draws its own numbers."""
    return seed if rank() == 0 else int(np.random.SeedSequence((seed, rank())).generate_state(1)[0])


def own_batch_size(batch_size: int) -> int:
    """Images of a global batch that each process takes.

    Raises:
        TrainingError: if the processes can't share the batch evenly, or would have one image each, which has no
            batch statistics.
    """
    own, rest = divmod(batch_size, world_size())
    if rest or own < 2:
        raise TrainingError(
            f"a batch_size of {batch_size} can't be shared by {world_size()} processes: set a multiple of "
            f"{world_size()}, at least {2 * world_size()}"
        )
    return own


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a detached value over all processes, on each of them."""
    value = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(value)
        value /= world_size()
    return value


def gather_objects(value: Any) -> list[Any]:
    """The value of every process, in their order, on each of them."""
    values = [value] * world_size()
    if world_size() > 1:
        dist.all_gather_object(values, value)
    return values


def by_process_0(act: Callable[[], object]) -> None:
    """Do something in process 0 alone. All processes call this together, and all raise its :class:`TrainingError`."""
    refusal = None
    if rank() == 0:
        try:
            act()
        except TrainingError as error:
            refusal = str(error)
    refusal = gather_objects(refusal)[0]
    if refusal is not None:
        raise TrainingError(refusal)


def share_gradients(network: nn.Module, device: torch.device) -> nn.Module:
    """Wrap a network so that all processes use the mean of their gradients."""
    if world_size() == 1:
        return network
    return DistributedDataParallel(network, device_ids=[device.index] if device.type == "cuda" else None)


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> None:
    """Replace every batch normalisation in a network by one with the statistics of all processes.

    The class of torch runs only on GPUs, so a CPU uses :class:`SynchronisedBatchNorm`.
    """
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            if device.type == "cuda":
                setattr(network, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))
            else:
                replacement = SynchronisedBatchNorm(child.num_features, eps=child.eps, momentum=child.momentum)
                replacement.load_state_dict(child.state_dict())
                setattr(network, name, replacement)
        else:
            synchronise_batch_norm(child, device)


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation of features (N, C) or (N, C, H, W) by mean and variance over all processes, in float32."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any number of positions after the channels."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        x = input.float()
        dims, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
        count = x.numel() // x.shape[1] * world_size()  # every process has as many images
        mean = SumOverProcesses.apply(x.sum(dims)) / count
        centred = x - mean.view(shape)
        variance = SumOverProcesses.apply(centred.square().sum(dims)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)


class SumOverProcesses(torch.autograd.Function):
    """Sum of a tensor over all processes. Backward, the input of each process gets the sum of all gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
