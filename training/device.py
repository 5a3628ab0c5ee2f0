"""The device of a run, and the way of small values to it."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from training.errors import TrainingError


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        TrainingError: if CUDA is requested and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device: cuda was asked for and torch finds no CUDA device; set device=auto or device=cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def sent(values: ArrayLike, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Values on a device. The host does not wait for a GPU: only from pinned memory is the copy asynchronous."""
    tensor = torch.as_tensor(values, dtype=dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
