"""What a network costs: parameters, multiply-adds, and time, measured side by side."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.architecture import Architecture
from models.fold import fold
from models.recalibration import Recalibration
from models.resnet import ResNet
from training.fitting.optimisation import create_optimiser
from training.recipe import OptimiserSpec

# Operations for each element of the features that a module recalibrates: 1 for a mean, 2 for a standard deviation, 1
# for the product with the gate. The pooling of GE counts as a convolution.
ELEMENTWISE = {"none": 0, "srm": 4, "se": 2, "ge": 1}
LEAST_ROUNDS = 5


def parameters(architecture: Architecture) -> int:
    """Number of trainable values."""
    return sum(value.numel() for value in on_meta(architecture).parameters())


def multiply_adds(architecture: Architecture) -> int:
    """Operations for one image, where a multiplication with its addition is one operation.

    This is what papers on ResNets call FLOPs; twice as much would be the floating-point operations themselves.
    Counted are convolutions, linear layers and the work of recalibration on its features, each element of a pooling
    and of the product with the gate as one. BatchNorm, ReLU, additions and other pooling are not.
    SRM's 3.86e9 for a plain ResNet-50 at 224 px (3.87e9 with SE, 3.88e9 with SRM) has the stride in a block's first
    1x1 convolution; here, as in torchvision, it is in the 3x3 one, which makes 4.09e9, and the differences are
    the same.
    """
    plain = on_meta(architecture.model_copy(update={"recalibration": "none"})).eval()
    elements = 0

    def count(_: nn.Module, __: tuple[Tensor, ...], output: tuple[Tensor, None]) -> None:
        nonlocal elements
        elements += output[0].numel()

    for block in plain.blocks().values():
        block.register_forward_hook(count)  # the network ends with this function
    size = architecture.image_size
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        plain(torch.empty(1, architecture.in_channels, size, size, device="meta"))
    weights = sum(  # all three kinds use each of their weights once per image
        value.numel()
        for module in on_meta(architecture).modules()
        if isinstance(module, Recalibration)
        for value in module.parameters()
        if value.dim() > 1
    )
    return counter.get_total_flops() // 2 + weights + elements * ELEMENTWISE[architecture.recalibration]


def on_meta(architecture: Architecture) -> ResNet:
    """The network on the meta device, without memory for its values."""
    with torch.device("meta"):
        return ResNet(architecture)


class Timing(NamedTuple):
    """Time of one batch, and as a multiple of the baseline's in the same round: medians over the rounds."""

    milliseconds: float
    ratio: float
    quartiles: tuple[float, float]
    """Of the ratio."""


def time_inference(
    architectures: Mapping[str, Architecture], baseline: str, device: torch.device, *, batch_size: int, seconds: float
) -> dict[str, Timing]:
    """Measure the inference time of the networks as they are served: folded, in evaluation mode, float32."""
    steps = {}
    for name, architecture in architectures.items():
        network, images = fold(ResNet(architecture)).to(device), random_images(architecture, batch_size, device)

        def step(network: nn.Module = network, images: Tensor = images) -> None:
            with torch.inference_mode():
                network(images)

        steps[name] = step
    return interleaved(steps, baseline, device, seconds=seconds)


def time_training(
    architectures: Mapping[str, Architecture],
    baseline: str,
    device: torch.device,
    optimiser: OptimiserSpec,
    *,
    batch_size: int,
    seconds: float,
) -> dict[str, Timing]:
    """Time a step of training in float32: forward, backward, update; without loading and augmentation of images."""
    steps = {}
    for name, architecture in architectures.items():
        network, images = ResNet(architecture).train().to(device), random_images(architecture, batch_size, device)
        labels = torch.arange(batch_size, device=device) % architecture.num_classes
        updates = create_optimiser(network, optimiser)

        def step(
            network: nn.Module = network,
            images: Tensor = images,
            labels: Tensor = labels,
            updates: torch.optim.Optimizer = updates,
        ) -> None:
            updates.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            updates.step()

        steps[name] = step
    return interleaved(steps, baseline, device, seconds=seconds)


def random_images(architecture: Architecture, batch_size: int, device: torch.device) -> Tensor:
    size = architecture.image_size
    return torch.randn(batch_size, architecture.in_channels, size, size, device=device)


def interleaved(
    steps: Mapping[str, Callable[[], Any]], baseline: str, device: torch.device, *, seconds: float
) -> dict[str, Timing]:
    """Run every step once a round, in a new order each round, for about ``seconds`` and at least five rounds.

    Other load on the machine then affects all of them alike, and hardly changes a ratio within a round.
    """

    def timed(step: Callable[[], Any]) -> float:
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - start

    order, chance = list(steps), random.Random(0)
    for _ in range(2):  # the first calls choose algorithms and allocate memory
        for step in steps.values():
            timed(step)
    rounds: list[dict[str, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < LEAST_ROUNDS or time.perf_counter() < end:
        chance.shuffle(order)
        rounds.append({name: timed(steps[name]) for name in order})
    result = {}
    for name in steps:
        ratios = [times[name] / times[baseline] for times in rounds]
        low, median, high = statistics.quantiles(ratios, n=4)
        result[name] = Timing(1000 * statistics.median(times[name] for times in rounds), median, (low, high))
    return result
