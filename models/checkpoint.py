"""Read a checkpoint: names and tensors, under the names of this project's networks. No pickled code is run."""

import re
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

WRAPPERS = ("network", "state_dict", "model")
"""Keys under which checkpoints keep a ``state_dict``; the first is this project's own."""
PREFIXES = re.compile(r"^(?:(?:module|model|backbone|_orig_mod)\.)+")
"""What data-parallel training, Lightning, segmentation libraries and ``torch.compile`` put before names."""
CIFAR_NAMES = ((re.compile(r"^linear\."), "fc."), (re.compile(r"\.shortcut\."), ".downsample."))
"""Names of the widespread ResNets for CIFAR (after kuangliu's and akamaster's), and ours."""


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's values by name.

    Reads ``.safetensors``, and ``.pth`` or ``.pt`` as torch saves a ``state_dict``, bare or under one of
    :data:`WRAPPERS`. The prefixes of :data:`PREFIXES` are removed from names. A pickle that holds more than tensors
    is refused, since unpickling it can run any code.

    Raises:
        ValueError: if the file is missing or not such a checkpoint.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    try:
        content: object = load_file(path) if path.suffix == ".safetensors" else load_pickle(path)
    except Exception as error:  # a damaged pickle raises whatever its instructions run into
        held = code_in(path)
        reason = (
            f"it holds {', '.join(held)}: save its state_dict() alone"
            if held
            else str(error).partition("\n")[0] or "it ends too early"
        )
        raise ValueError(
            f"{path} is not a checkpoint that can be loaded safely (a state_dict of tensors in .pth or "
            f".safetensors): {reason}"
        ) from None
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path} holds no state_dict: expected names with tensors")
    return {own_name(str(name)): value for name, value in content.items()}


def own_name(name: str) -> str:
    name = PREFIXES.sub("", name)
    for pattern, ours in CIFAR_NAMES:
        name = pattern.sub(ours, name)
    return name


def load_pickle(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def code_in(path: Path) -> list[str]:
    """Names of the classes and functions that a pickle would call, without calling them; none if it can't be told."""
    if path.suffix == ".safetensors":
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception:  # not torch's archive, or a damaged one: the error of loading says so
        return []
