"""Start from public weights: torchvision-named ResNet checkpoints, with a report of what was found."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.resnet import ResNet


@dataclass(frozen=True)
class LoadReport:
    """Which of the network's values came from the checkpoint."""

    path: Path
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """In the network, not in the checkpoint: they keep their fresh values."""
    skipped: dict[str, str] = field(default_factory=dict)
    """In the checkpoint, not used, and why."""

    def __str__(self) -> str:
        lines = [f"{self.path}: {len(self.loaded)} loaded, {len(self.missing)} missing, {len(self.skipped)} skipped"]
        lines += [f"  missing: {name}" for name in self.missing]
        lines += [f"  skipped: {name} ({why})" for name, why in self.skipped.items()]
        return "\n".join(lines)


def load_initial_weights(network: ResNet, path: Path) -> LoadReport:
    """Copy every value whose name and shape fit from a checkpoint into the network.

    Reads ``.safetensors``, and ``.pth`` or ``.pt`` as torch saves a ``state_dict``, bare or under ``state_dict`` or
    ``model``, with or without the ``module.`` that data-parallel training puts before names. A pickle that holds
    more than tensors is refused, since unpickling it can run any code.

    Raises:
        ValueError: if the file is missing, not a checkpoint, or has nothing in common with the network.
    """
    state = read_state_dict(path)
    own = network.state_dict()
    report = LoadReport(path)
    for name, value in state.items():
        target = own.get(name)
        if target is None:
            report.skipped[name] = "the network has no such value"
        elif target.shape != value.shape:
            report.skipped[name] = f"shape {tuple(value.shape)}, the network's is {tuple(target.shape)}"
        else:
            own[name] = value
            report.loaded.append(name)
    report.missing.extend(name for name in own if name not in state or name in report.skipped)
    if not report.loaded:
        raise ValueError(f"{path}: none of its {len(state)} values fits the network: is it a ResNet of the same depth?")
    network.load_state_dict(own)
    return report


def read_state_dict(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        content: object = load_file(path) if path.suffix == ".safetensors" else load_pickle(path)
    except Exception as error:  # a damaged pickle raises whatever its instructions run into
        reason = str(error).partition("\n")[0] or "it ends too early"
        raise ValueError(
            f"{path} is not a checkpoint that can be loaded safely (a state_dict of tensors in .pth or "
            f".safetensors): {reason}"
        ) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no state_dict: expected names with tensors")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def load_pickle(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)
