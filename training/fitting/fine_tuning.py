"""Fine-tuning: frozen parts, and a learning rate that falls from the classifier towards the stem."""

from collections.abc import Sequence

from torch import nn

from models.resnet import ResNet
from training.errors import TrainingError


def freeze(network: ResNet, names: Sequence[str]) -> list[nn.Module]:
    """Switch off the gradients of the named parts, such as ``layer1``, and return these parts.

    The caller keeps them in evaluation mode. So their batch normalisation, that of SRM included, uses and keeps its
    loaded statistics.

    Raises:
        TrainingError: for a name that the network does not have, or if nothing is left to train.
    """
    parts = dict(network.named_modules())
    for name in names:
        if not name or name not in parts:
            known = ", ".join(part for part, _ in network.named_children() if list(parts[part].parameters()))
            raise TrainingError(f"fine_tuning.freeze: the network has no part {name!r}; it has {known}")
        parts[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise TrainingError("fine_tuning.freeze names every part of the network: leave at least `fc` to train")
    return [parts[name] for name in names]


def stage_distances(network: ResNet) -> dict[str, int]:
    """Distance of each parameter from the classifier in stages: ``fc`` 0, the last stage 1, and so on to the stem."""
    stages = len(network.stage_names)
    distance = {name: stages - index for index, name in enumerate(network.stage_names)} | {"fc": 0}
    return {name: distance.get(name.split(".")[0], stages + 1) for name, _ in network.named_parameters()}
