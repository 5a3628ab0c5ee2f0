"""One contract for every depth, recalibration and stem; published sizes; and He's network written out naively."""

from collections.abc import Iterator, Mapping
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architecture import Architecture, RecalibrationName, Stem
from models.resnet import ResNet
from tests.models.networks import as_if_trained

# He 2016, table 1, and section 4.2 (6n + 2 layers in three stages).
STAGES: dict[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    20: (3, 3, 3),
    32: (5, 5, 5),
    56: (9, 9, 9),
    110: (18, 18, 18),
}
BOTTLENECKS = (50, 101, 152)
RECALIBRATIONS: tuple[RecalibrationName, ...] = ("srm", "se", "ge", "none")
STEMS: tuple[Stem, ...] = ("imagenet", "small")
IMAGE_SIZE = {"imagenet": 33, "small": 17}


def tiny(depth: int, recalibration: RecalibrationName, stem: Stem, **others: object) -> Architecture:
    """This combination with 4 channels in its first stage."""
    fields = {"width": 4 / base_width(depth), "image_size": IMAGE_SIZE[stem], "num_classes": 3, **others}
    return Architecture.model_validate({"depth": depth, "recalibration": recalibration, "stem": stem, **fields})


def base_width(depth: int) -> int:
    return 64 if len(STAGES[depth]) == 4 else 16


def combinations() -> list[Architecture]:
    """Every depth x recalibration x stem, with the numbers of channels and classes spread over them."""
    return [
        tiny(depth, recalibration, stem, in_channels=(1, 3, 4)[index % 3], num_classes=(2, 5, 1, 3, 4)[index % 5])
        for index, (depth, recalibration, stem) in enumerate(product(STAGES, RECALIBRATIONS, STEMS))
    ]


def label(architecture: Architecture) -> str:
    return f"{architecture.depth}-{architecture.recalibration}-{architecture.stem}"


every_combination = pytest.mark.parametrize("architecture", combinations(), ids=label)


def block_channels(architecture: Architecture) -> dict[str, int]:
    """Each block's name and the channels that it puts out."""
    first = round(base_width(architecture.depth) * architecture.width)
    expansion = 4 if architecture.depth in BOTTLENECKS else 1
    return {
        f"layer{stage}.{index}": first * 2 ** (stage - 1) * expansion
        for stage, count in enumerate(STAGES[architecture.depth], start=1)
        for index in range(count)
    }


def torchvision_names(depth: int) -> Iterator[str]:
    """The names in the ``state_dict`` of torchvision's ``resnet<depth>``, continued to the CIFAR depths."""

    def batch_norm(prefix: str) -> Iterator[str]:
        for value in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            yield f"{prefix}.{value}"

    yield "conv1.weight"
    yield from batch_norm("bn1")
    convolutions = 3 if depth in BOTTLENECKS else 2
    for stage, count in enumerate(STAGES[depth], start=1):
        for index in range(count):
            block = f"layer{stage}.{index}"
            for number in range(1, convolutions + 1):
                yield f"{block}.conv{number}.weight"
                yield from batch_norm(f"{block}.bn{number}")
            if index == 0 and (stage > 1 or depth in BOTTLENECKS):
                yield f"{block}.downsample.0.weight"
                yield from batch_norm(f"{block}.downsample.1")
    yield "fc.weight"
    yield "fc.bias"


def final_size(architecture: Architecture) -> int:
    """Side of the last features by the formula for convolutions, floor((n + 2p - k) / s) + 1."""
    size = architecture.image_size
    if architecture.stem == "imagenet":
        size = (size + 2 * 3 - 7) // 2 + 1
        size = (size + 2 * 1 - 3) // 2 + 1
    for _ in STAGES[architecture.depth][1:]:
        size = (size + 2 * 1 - 3) // 2 + 1
    return size


def images(architecture: Architecture, count: int, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(count, architecture.in_channels, architecture.image_size, architecture.image_size)


class TestPublishedSizes:
    """Parameters at 1000 classes: torchvision's documentation, and counted by hand from the definitions."""

    @pytest.mark.parametrize(
        ("depth", "recalibration", "count"),
        [
            (18, "none", 11_689_512),
            (34, "none", 21_797_672),
            (50, "none", 25_557_032),
            (101, "none", 44_549_160),
            (152, "none", 60_192_808),
            (18, "srm", 11_697_192),
            (34, "srm", 21_812_776),
            (50, "srm", 25_617_448),
            (101, "srm", 44_679_208),
            (18, "se", 11_778_592),
            (34, "se", 21_958_868),
            (50, "se", 28_088_024),
            (101, "se", 49_326_872),
        ],
    )
    def test_imagenet_family(self, depth: int, recalibration: RecalibrationName, count: int) -> None:
        with torch.device("meta"):
            network = ResNet(Architecture.model_validate({"depth": depth, "recalibration": recalibration}))
        assert sum(p.numel() for p in network.parameters()) == count

    @pytest.mark.parametrize(("depth", "count"), [(20, 269_722), (32, 464_154), (56, 853_018), (110, 1_727_962)])
    def test_cifar_family(self, depth: int, count: int) -> None:
        """Counts with shortcuts that have no weights (option A); ours are 1x1 convolutions (option B)."""
        projections = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
        network = ResNet(
            Architecture.model_validate({"depth": depth, "recalibration": "none", "stem": "small", "num_classes": 10})
        )
        assert sum(p.numel() for p in network.parameters()) == count + projections

    def test_gather_excite(self) -> None:
        """ResNet-50 at 224 px: each gate has a weight for every position, and batch normalisation's two."""
        gates = sum(
            blocks * channels * (side**2 + 2)
            for blocks, channels, side in ((3, 256, 56), (4, 512, 28), (6, 1024, 14), (3, 2048, 7))
        )
        with torch.device("meta"):
            network = ResNet(Architecture(depth=50, recalibration="ge", image_size=224))
        assert sum(p.numel() for p in network.parameters()) == 25_557_032 + gates

    @pytest.mark.parametrize(("depth", "entries"), [(18, 122), (50, 320)])
    def test_the_list_of_names_below_is_torchvisions(self, depth: int, entries: int) -> None:
        assert len(list(torchvision_names(depth))) == entries


class TestContract:
    @every_combination
    def test_trains(self, architecture: Architecture) -> None:
        torch.manual_seed(0)
        network = ResNet(architecture)
        before = network.conv1.weight.detach().clone()
        logits = network(images(architecture, 3))
        assert logits.shape == (3, architecture.num_classes)
        logits.square().sum().backward()
        for name, value in network.named_parameters():
            assert value.grad is not None, name
            assert value.grad.isfinite().all(), name
        torch.optim.SGD(network.parameters(), lr=0.1).step()
        assert not torch.equal(network.conv1.weight, before)

    @every_combination
    def test_explains(self, architecture: Architecture) -> None:
        network = as_if_trained(architecture)
        batch = images(architecture, 2)
        with torch.inference_mode():
            logits, gates, maps, _ = network.explain(batch)
            torch.testing.assert_close(logits, network(batch), atol=0, rtol=0)
            alone = network(batch[:1])
        torch.testing.assert_close(alone, logits[:1], atol=1e-5, rtol=1e-5)

        side = final_size(architecture)
        assert maps.shape == (2, architecture.num_classes, side, side)
        torch.testing.assert_close(maps.mean(dim=(2, 3)), logits, atol=1e-5, rtol=1e-5)

        channels = {} if architecture.recalibration == "none" else block_channels(architecture)
        assert {name: tuple(gate.shape) for name, gate in gates.items()} == {n: (2, c) for n, c in channels.items()}
        assert list(gates) == list(channels)
        for name, gate in gates.items():
            assert ((gate > 0) & (gate < 1)).all(), name
            assert gate.std() > 0, name
        for module in network.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks

    @every_combination
    def test_names_are_torchvisions(self, architecture: Architecture) -> None:
        network = ResNet(architecture)
        names = set(network.state_dict())
        ours = {name for name in names if ".recalibration." in name}
        assert names - ours == set(torchvision_names(architecture.depth))
        gated = {} if architecture.recalibration == "none" else block_channels(architecture)
        assert {name.partition(".recalibration.")[0] for name in ours} == set(gated)
        assert list(network.blocks()) == list(block_channels(architecture))


def batch_norm(x: Tensor, state: Mapping[str, Tensor], name: str) -> Tensor:
    weight, bias, mean, var = (state[f"{name}.{v}"] for v in ("weight", "bias", "running_mean", "running_var"))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - mean.reshape(shape)) / (var.reshape(shape) + 1e-5) ** 0.5 * weight.reshape(shape) + bias.reshape(shape)


def expected_gate(x: Tensor, state: Mapping[str, Tensor], prefix: str, kind: str) -> Tensor:
    """Counted by hand from the paper's definition."""
    match kind:
        case "srm":
            sigma = (torch.var(x, dim=(2, 3), correction=1) + 1e-5) ** 0.5
            cfc = state[f"{prefix}.cfc"]
            z = batch_norm(cfc[:, 0] * x.mean((2, 3)) + cfc[:, 1] * sigma, state, f"{prefix}.bn")
        case "se":
            hidden = torch.relu(x.mean((2, 3)) @ state[f"{prefix}.fc1.weight"].T + state[f"{prefix}.fc1.bias"])
            z = hidden @ state[f"{prefix}.fc2.weight"].T + state[f"{prefix}.fc2.bias"]
        case _:
            z = batch_norm((x * state[f"{prefix}.conv.weight"][:, 0]).sum((2, 3)), state, f"{prefix}.bn")
    return torch.sigmoid(z)


def expected_logits(x: Tensor, state: Mapping[str, Tensor], architecture: Architecture) -> Tensor:
    """He 2016 with the stride in the 3x3 convolution, as torchvision has it, and the gate before the addition."""
    if architecture.stem == "imagenet":
        x = F.conv2d(x, state["conv1.weight"], stride=2, padding=3)
        x = F.max_pool2d(torch.relu(batch_norm(x, state, "bn1")), 3, stride=2, padding=1)
    else:
        x = torch.relu(batch_norm(F.conv2d(x, state["conv1.weight"], padding=1), state, "bn1"))
    for stage, count in enumerate(STAGES[architecture.depth], start=1):
        for index in range(count):
            block = f"layer{stage}.{index}"
            stride = 2 if stage > 1 and index == 0 else 1
            layers = [(1, 0), (stride, 1), (1, 0)] if architecture.depth in BOTTLENECKS else [(stride, 1), (1, 1)]
            y = x
            for number, (step, padding) in enumerate(layers, start=1):
                y = torch.relu(y) if number > 1 else y
                y = F.conv2d(y, state[f"{block}.conv{number}.weight"], stride=step, padding=padding)
                y = batch_norm(y, state, f"{block}.bn{number}")
            if architecture.recalibration != "none":
                y = y * expected_gate(y, state, f"{block}.recalibration", architecture.recalibration)[:, :, None, None]
            if f"{block}.downsample.0.weight" in state:
                x = F.conv2d(x, state[f"{block}.downsample.0.weight"], stride=stride)
                x = batch_norm(x, state, f"{block}.downsample.1")
            x = torch.relu(x + y)
    return x.mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]


@pytest.mark.parametrize(
    "architecture", [tiny(d, r, s) for d, r, s in product((18, 50, 20), RECALIBRATIONS, STEMS)], ids=label
)
def test_computes_the_published_network(architecture: Architecture) -> None:
    network = as_if_trained(architecture)
    batch = images(architecture, 4)
    state = {name: value.double() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        ours, wanted = network(batch).double(), expected_logits(batch.double(), state, architecture)
    assert wanted.std(dim=0).min() > 1e-3, "the logits must depend on the image"
    torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-4)


def test_correction_reaches_the_gates() -> None:
    sets = {}
    for correction in (0, 1):
        network = as_if_trained(tiny(18, "srm", "small", correction=correction))
        sets[correction] = network.explain(images(network.architecture, 2)).recalibration_weights["layer4.1"]
    assert not torch.allclose(sets[0], sets[1])


def test_gather_excite_names_the_remedy_for_another_image_size() -> None:
    network = ResNet(tiny(18, "ge", "small", image_size=17)).eval()
    with pytest.raises(ValueError, match="build the network with the image_size of your images"):
        network(torch.zeros(1, 3, 24, 24))


@pytest.mark.parametrize("recalibration", ["srm", "se", "none"])
def test_other_networks_take_any_image_size(recalibration: RecalibrationName) -> None:
    network = as_if_trained(tiny(18, recalibration, "imagenet"))
    for size in ((32, 64), (15, 9), (1, 1)):
        assert network(torch.randn(2, 3, *size)).isfinite().all()


def test_dropout_acts_in_training_alone() -> None:
    network = as_if_trained(tiny(20, "none", "small", dropout=0.5))
    batch = images(network.architecture, 2)
    assert torch.equal(network(batch), network(batch))
    network.dropout.train()
    assert not torch.equal(network(batch), network(batch))


def test_width_multiplies_every_stage() -> None:
    with torch.device("meta"):
        network = ResNet(Architecture(depth=50, width=1.5))
    widths = [network.blocks()[f"layer{stage}.0"].out_channels for stage in (1, 2, 3, 4)]
    assert widths == [384, 768, 1536, 3072]


def test_convolutions_start_as_he_initialises_them() -> None:
    """Standard deviation sqrt(2 / fan_out), He 2015, equation 14; no convolution has a bias."""
    torch.manual_seed(0)
    network = ResNet(Architecture(depth=18, stem="small", width=0.5))
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is None, name
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1), name
