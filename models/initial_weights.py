"""Start a network from trained weights, so that it computes what they computed, or say why it can't.

Only gates and the classifier may be fresh. Everything else of the network comes from the checkpoint, and everything
of the checkpoint goes into the network.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.architecture import Architecture, Start
from models.recalibration import GatherExcite, SqueezeExcitation
from models.resnet import CIFAR_DEPTHS, IMAGENET_STAGES, ResNet

GATE, CLASSIFIER, COUNTER = ".recalibration.", "fc.", ".num_batches_tracked"
CONVOLUTION = re.compile(r"^layer(\d+)\.(\d+)\.conv(\d)\.weight$")
NAMED = 5
"""Names that an error lists."""


@dataclass
class Loaded:
    """What became of a checkpoint's values and of the network's."""

    loaded: list[str] = field(default_factory=list)
    """The network's values that came from the checkpoint."""
    fresh: list[str] = field(default_factory=list)
    """Those that did not."""
    changes: list[str] = field(default_factory=list)
    """What was done to fit the one to the other, a sentence each."""
    unsettled: list[str] = field(default_factory=list)
    """BatchNorms whose statistics are not those of their input: :func:`settle_batch_norm` measures them."""

    def __str__(self) -> str:
        return "\n  ".join([f"{len(self.loaded)} values loaded, {len(self.fresh)} fresh", *self.changes])


class Form(NamedTuple):
    """What the names and shapes of a ResNet's values tell of it."""

    depth: int | None
    channels: int
    """Of the first convolution."""
    stem: str

    @property
    def width(self) -> float:
        return self.channels / (16 if self.depth in CIFAR_DEPTHS else 64)

    def __str__(self) -> str:
        depth = f"ResNet-{self.depth}" if self.depth else "ResNet of unknown depth"
        return f"a {depth} of width {self.width:g} with the {self.stem} stem"


def load_initial_weights(
    network: ResNet, state: Mapping[str, Tensor], *, start: Start = "identity", classifier: bool = True
) -> Loaded:
    """Copy a checkpoint's values into a network of the same depth, width and stem.

    A first layer of 3 channels is summed over them for grey images, and one of grey images is spread over 3. The
    option-A shortcuts of networks for CIFAR (He 2016, section 3.3), which have no weights, become convolutions. A
    classifier of other classes stays fresh.

    Args:
        network: changed only if all fits.
        state: as :func:`models.checkpoint.read_checkpoint` returns it.
        start: what becomes of gates where the checkpoint has none. ``identity``: each is 0.5 and the last BatchNorm
            of its block is doubled, so that the network computes what the checkpoint's did. ``as-is``: they are left
            as they are, and gates of a checkpoint that the network has no place for are dropped.
        classifier: whether to take the classifier; not if it is for other labels.

    Raises:
        ValueError: if it does not fit, with what would.
    """
    own, result = network.state_dict(), Loaded()
    refuse_another_form(state, network.architecture)
    state = dict(state)
    gates = {name for name in state if GATE in name}
    if gates and not gates <= own.keys():
        if start == "identity":
            raise ValueError(
                f"the checkpoint has gates ({brief(gates - own.keys())}) that a network with "
                f"network.recalibration={network.architecture.recalibration} has no place for: set it to theirs, or "
                "network.start=as-is to drop them, which changes what the network computes"
            )
        state = {name: value for name, value in state.items() if name not in gates}
        result.changes.append("the checkpoint's gates were dropped")
        gates = set()
    fit_first_layer(state, own, result)
    add_shortcuts(state, network, result)
    if not classifier or any(state[name].shape != own[name].shape for name in own if is_head(name) and name in state):
        result.changes.append("the classifier is fresh: it was for other classes")
        state = {name: value for name, value in state.items() if not is_head(name)}
    check_names(state, own)
    check_shapes(state, own)
    for name, value in own.items():
        if name in state:
            value.copy_(state[name])
            result.loaded.append(name)
        elif not name.endswith(COUNTER) or GATE in name:
            result.fresh.append(name)
    if start == "identity" and not gates and network.architecture.recalibration != "none":
        open_gates(network)
        result.changes.append("fresh gates are 0.5 and the last BatchNorm of each block is doubled: nothing changes")
    return result


def is_head(name: str) -> bool:
    return name.startswith(CLASSIFIER)


def refuse_another_form(state: Mapping[str, Tensor], architecture: Architecture) -> None:
    """Raise a ValueError if depth, width or stem are not the network's."""
    first = state.get("conv1.weight")
    if first is None or first.dim() != 4 or not any(CONVOLUTION.match(name) for name in state):
        raise ValueError(f"the checkpoint is not one of a ResNet: it has {brief(state)}")
    found = Form(depth_of(state), first.shape[0], "imagenet" if first.shape[-1] == 7 else "small")
    base = 16 if architecture.depth in CIFAR_DEPTHS else 64
    wanted = Form(architecture.depth, max(round(base * architecture.width), 1), architecture.stem)
    if found != wanted:
        settings = [
            f"network.{name}={theirs}"
            for name, theirs, ours in (
                ("depth", found.depth, wanted.depth),
                ("width", f"{found.width:g}", f"{wanted.width:g}"),
                ("stem", found.stem, wanted.stem),
            )
            if theirs is not None and theirs != ours
        ]
        advice = f"set {' '.join(settings)}" if found.depth else "take one of a depth that this project has"
        raise ValueError(f"the checkpoint holds {found}, the network is {wanted}: {advice}")


def depth_of(state: Mapping[str, Tensor]) -> int | None:
    """The depth whose blocks a checkpoint's convolutions are; None if there is no such ResNet."""
    found = [tuple(map(int, match.groups())) for match in map(CONVOLUTION.match, state) if match]
    stages = max(stage for stage, _, _ in found)
    counts = [len({block for stage, block, _ in found if stage == number + 1}) for number in range(stages)]
    bottleneck = any(convolution == 3 for _, _, convolution in found)
    for depth, form in IMAGENET_STAGES.items():
        if form == (counts, bottleneck):
            return depth
    deep = 6 * counts[0] + 2
    return deep if deep in CIFAR_DEPTHS and counts == [counts[0]] * 3 and not bottleneck else None


def fit_first_layer(state: dict[str, Tensor], own: Mapping[str, Tensor], result: Loaded) -> None:
    """Fit the first layer to grey or colour images. The same for a grey image in three equal channels."""
    weight, channels = state["conv1.weight"], own["conv1.weight"].shape[1]
    match weight.shape[1], channels:
        case 3, 1:
            state["conv1.weight"] = weight.sum(dim=1, keepdim=True)
            result.changes.append("the first layer was summed over its 3 channels, for grey images")
        case 1, 3:
            state["conv1.weight"] = weight.expand(-1, 3, -1, -1) / 3
            result.changes.append("the first layer, of grey images, was spread over 3 channels")


def add_shortcuts(state: dict[str, Tensor], network: ResNet, result: Loaded) -> None:
    """Write option-A shortcuts as convolutions: every second pixel, with channels of zeros on both sides."""
    if network.architecture.depth not in CIFAR_DEPTHS or any(".downsample." in name for name in state):
        return
    for name, block in network.blocks().items():
        if block.downsample is None:
            continue
        convolution = block.downsample.get_submodule("0")
        assert isinstance(convolution, nn.Conv2d)
        weight = torch.zeros_like(convolution.weight)
        before = (convolution.out_channels - convolution.in_channels) // 2
        for channel in range(convolution.in_channels):
            weight[before + channel, channel] = 1
        state[f"{name}.downsample.0.weight"] = weight
        state |= plain_batch_norm(f"{name}.downsample.1", convolution.out_channels)
        result.unsettled.append(f"{name}.downsample.1")
    result.changes.append("shortcuts without weights (option A) became convolutions that do the same")


def plain_batch_norm(name: str, channels: int, bias: Tensor | None = None) -> dict[str, Tensor]:
    """The values of a BatchNorm that adds ``bias`` and does nothing else in evaluation mode."""
    return {
        f"{name}.weight": torch.ones(channels),
        f"{name}.bias": torch.zeros(channels) if bias is None else bias,
        f"{name}.running_mean": torch.zeros(channels),
        f"{name}.running_var": torch.ones(channels) - nn.BatchNorm2d(1).eps,
    }


def check_names(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    unknown = [name for name in state if name not in own and not name.endswith(COUNTER)]
    gates = any(GATE in name for name in state)
    missing = [
        name
        for name in own
        if name not in state and not is_head(name) and not name.endswith(COUNTER) and (gates or GATE not in name)
    ]
    if unknown:
        raise ValueError(f"the checkpoint has values that the network has no place for: {brief(unknown)}")
    if missing:
        raise ValueError(f"the checkpoint lacks values that only gates and the classifier may lack: {brief(missing)}")


def check_shapes(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    other = [
        f"{name} is {tuple(state[name].shape)} and should be {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if other:
        hint = ": gather-excite is bound to the size that it was trained at (input.size)" if GATE in other[0] else ""
        raise ValueError(f"{len(other)} values of the checkpoint have another shape: {'; '.join(other[:3])}{hint}")


def brief(names: Mapping[str, Tensor] | set[str] | list[str]) -> str:
    first = sorted(names)[:NAMED] if isinstance(names, set) else list(names)[:NAMED]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


@torch.no_grad()
def open_gates(network: ResNet) -> None:
    """Set every gate to 0.5 and double what it halves. Both are exact in binary numbers."""
    for block in network.blocks().values():
        match block.recalibration:
            case SqueezeExcitation() as gate:
                gate.fc2.weight.zero_()
                gate.fc2.bias.zero_()
            case GatherExcite() as gate:
                gate.bn.weight.zero_()
            case None:
                continue
        last = block.bn3 if block.bottleneck else block.bn2
        last.weight.mul_(2)
        last.bias.mul_(2)


@torch.inference_mode()
def settle_batch_norm(network: ResNet, names: list[str], images: Tensor) -> None:
    """Give BatchNorms the statistics of their inputs, and weights with which they compute what they did before.

    A BatchNorm that was folded away, or never was, has a mean of 0 and a variance of 1. In training it would
    normalise by the batch's, and change what the network computes.

    Args:
        network: in any mode; left in evaluation mode.
        names: of the BatchNorms.
        images: (N, C, H, W), normalised, as many as give good statistics.
    """
    network.eval()

    def settle(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))
        assert module.running_mean is not None
        assert module.running_var is not None
        values = inputs[0].transpose(0, 1).flatten(1)
        mean, variance = values.mean(dim=1), values.var(dim=1, correction=0)
        old = (module.running_var + module.eps).sqrt()
        module.bias.add_(module.weight * (mean - module.running_mean) / old)
        module.weight.mul_((variance + module.eps).sqrt() / old)
        module.running_mean.copy_(mean)
        module.running_var.copy_(variance)

    handles = [network.get_submodule(name).register_forward_pre_hook(settle) for name in names]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
