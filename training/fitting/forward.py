"""How the network runs in a training step: precision, memory format, frozen parts."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn


class TrainingForward(Inferer):
    """The forward pass of a training step: images (N, C, H, W) to float32 logits (N, K).

    Autocast is set up here, since MONAI's ``amp=True`` autocasts CUDA alone. Frozen parts are put back into evaluation
    mode each time, since the whole network is put into training mode before each step.
    """

    def __init__(
        self,
        device: torch.device,
        precision: str = "float32",
        layout: torch.memory_format = torch.contiguous_format,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        self.device_type = device.type
        self.dtype = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
        self.layout = layout
        self.frozen = frozen

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Tensor:
        for part in self.frozen:
            part.eval()
        images = inputs.contiguous(memory_format=self.layout)
        with torch.autocast(self.device_type, dtype=self.dtype, enabled=self.dtype is not None):
            logits: Tensor = network(images, *args, **kwargs)
        return logits.float()


def memory_format(channels_last: bool, device: torch.device) -> torch.memory_format:
    """The format of images and convolution weights.

    On a CPU always contiguous: torch 2.13's backward pass of channels-last 1x1 convolutions with stride 2, which every
    ResNet has, writes beyond its memory there (wrong gradients for 6 to 13 channels, aborts of the process).
    """
    if not channels_last:
        return torch.contiguous_format
    if device.type == "cpu":
        warnings.warn("channels_last stays off on a CPU, where torch's backward pass corrupts memory", stacklevel=2)
        return torch.contiguous_format
    return torch.channels_last


def compile_network(network: nn.Module, device: torch.device) -> None:
    """``torch.compile`` a network in place; on a CPU without the compiler's own change to channels-last.

    That change aborts the process there, by the fault that :func:`memory_format` describes.
    """
    network.compile(options={"layout_optimization": device.type != "cpu"})
