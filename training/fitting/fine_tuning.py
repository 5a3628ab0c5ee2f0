"""Fine-tuning: frozen parts, and a learning rate that falls from the classifier towards the stem."""

from collections.abc import Collection, Sequence

from torch import nn

from models.resnet import ResNet
from training.errors import TrainingError


def freeze(network: ResNet, names: Sequence[str], fresh: Collection[str] = ()) -> list[nn.Module]:
    """Switch off the gradients of the named parts, such as ``layer1``, and return the modules that hold them.

    The caller keeps these in evaluation mode. So their batch normalisation, that of SRM included, uses and keeps its
    loaded statistics. A gate whose values are fresh goes on training inside a frozen part: it has learned nothing yet.

    Args:
        network: whose parameters are changed.
        names: of its modules.
        fresh: names of the values that came from no checkpoint.

    Raises:
        TrainingError: for a name that the network does not have, or if nothing is left to train.
    """
    parts = dict(network.named_modules())
    gates = {f"{name}.recalibration" for name in network.blocks()}
    kept = {gate for gate in gates if any(value.startswith(f"{gate}.") for value in fresh)}
    frozen: list[nn.Module] = []
    for name in names:
        if not name or name not in parts:
            known = ", ".join(part for part, _ in network.named_children() if list(parts[part].parameters()))
            raise TrainingError(f"fine_tuning.freeze: the network has no part {name!r}; it has {known}")
        frozen += without(name, parts[name], kept - {name})
    for module in frozen:
        module.requires_grad_(False)
    if not any(value.requires_grad for name, value in network.named_parameters() if ".recalibration." not in name):
        raise TrainingError("fine_tuning.freeze names every part of the network: leave at least `fc` to train")
    return frozen


def without(name: str, module: nn.Module, kept: Collection[str]) -> list[nn.Module]:
    """The module, or if it holds one of those to keep, its parts that don't."""
    if name in kept:
        return []
    if not any(gate.startswith(f"{name}.") for gate in kept):
        return [module]
    return [part for child, inner in module.named_children() for part in without(f"{name}.{child}", inner, kept)]


def stage_distances(network: ResNet) -> dict[str, int]:
    """Distance of each parameter from the classifier in stages: ``fc`` 0, the last stage 1, and so on to the stem."""
    stages = len(network.stage_names)
    distance = {name: stages - index for index, name in enumerate(network.stage_names)} | {"fc": 0}
    return {name: distance.get(name.split(".")[0], stages + 1) for name, _ in network.named_parameters()}
