"""The device of a run."""

import torch

from training.errors import TrainingError


def choose_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        TrainingError: if CUDA is requested and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device: cuda was asked for and torch finds no CUDA device; set device=auto or device=cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
