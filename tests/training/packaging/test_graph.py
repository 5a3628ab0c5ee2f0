"""Every kind of network as a package: the ONNX graph, run by ONNX Runtime, against the network it came from."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from models.architecture import Architecture, RecalibrationName, Stem
from models.card import InputSpec
from models.fold import fold
from models.package import INPUT, OUTPUTS
from models.resnet import ResNet
from tests.models.networks import as_if_trained
from training.data.pipeline import Normalisation
from training.errors import TrainingError
from training.packaging.export import verify_parity, write_graph
from training.packaging.graph import PackagedNetwork

CLASSES, SIDE = 3, 32
TEMPERATURE, SHIFT = 1.7, [0.4, -0.3, 0.1]
# A depth for each kind of block: basic, bottleneck, and CIFAR's three stages.
DEPTHS = (18, 50, 20)
Kind = tuple[int, RecalibrationName, Stem, int]
IN_FULL: list[Kind] = [
    (50, "srm", "imagenet", 3),
    (20, "srm", "small", 1),
    (18, "se", "imagenet", 1),
    (20, "ge", "small", 3),
    (18, "none", "small", 3),
]
RECALIBRATIONS: tuple[RecalibrationName, ...] = ("srm", "se", "ge", "none")
STEMS: tuple[Stem, ...] = ("imagenet", "small")
THE_OTHERS: list[Kind] = [
    (depth, recalibration, stem, channels)
    for index, (depth, recalibration, stem) in enumerate(product(DEPTHS, RECALIBRATIONS, STEMS))
    for channels in ((1, 3)[index % 2],)
    if (depth, recalibration, stem) not in [kind[:3] for kind in IN_FULL]
]


class Case(NamedTuple):
    network: ResNet
    spec: InputSpec
    mean: list[float]
    std: list[float]

    def packaged(
        self, network: ResNet, *, multi_label: bool = False, temperature: float = TEMPERATURE
    ) -> PackagedNetwork:
        return PackagedNetwork(
            network, Normalisation(self.mean, self.std), temperature, SHIFT, multi_label=multi_label
        ).eval()

    def images(self, count: int, seed: int = 0) -> NDArray[np.uint8]:
        shape = (count, self.spec.height, self.spec.width, self.spec.channels)
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    def expected(self, images: NDArray[np.uint8], *, multi_label: bool = False) -> Sequence[NDArray[np.floating]]:
        """normalised images, calibrated probabilities, all gates, activation maps."""
        scaled = (images.astype(np.float64) / 255 - self.mean) / self.std
        with torch.inference_mode():
            answer = self.network.explain(torch.from_numpy(scaled.transpose(0, 3, 1, 2)).float())
        logits = answer.logits.double().numpy() / TEMPERATURE + SHIFT
        odds = np.exp(logits)
        gates = [gate.numpy() for gate in answer.recalibration_weights.values()]
        return (
            odds / (1 + odds) if multi_label else odds / odds.sum(axis=1, keepdims=True),
            np.concatenate(gates, axis=1) if gates else np.zeros((len(images), 0)),
            answer.class_activation.numpy(),
        )


def case(kind: Kind) -> Case:
    depth, recalibration, stem, channels = kind
    architecture = Architecture.model_validate(
        {
            "depth": depth,
            "recalibration": recalibration,
            "stem": stem,
            "in_channels": channels,
            "num_classes": CLASSES,
            "image_size": SIDE,
            "width": 1 / 4 if depth == 20 else 1 / 16,
        }
    )
    spec = InputSpec.model_validate({"height": SIDE, "width": SIDE, "channels": channels})
    mean, std = [0.5, 0.3, 0.2][:channels], [0.25, 0.2, 0.3][:channels]
    return Case(as_if_trained(architecture), spec, mean, std)


@pytest.mark.parametrize("kind", IN_FULL, ids=lambda kind: "-".join(map(str, kind)))
def test_onnx_equals_the_network(kind: Kind, tmp_path: Path) -> None:
    packaging, multi_label = case(kind), kind[0] == 20
    path = tmp_path / "model.onnx"
    write_graph(packaging.packaged(fold(packaging.network), multi_label=multi_label), packaging.spec, path)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(uint8)", [SIDE, SIDE, kind[3]])
    assert isinstance(image.shape[0], str), "the batch size must be free"
    for count in (1, 3, 8):
        images = packaging.images(count, seed=count)
        images[count // 2] = 255  # a flat image too
        wanted = packaging.expected(images, multi_label=multi_label)
        for name, ours, theirs in zip(OUTPUTS, session.run(None, {INPUT: images}), wanted, strict=True):
            assert ours.dtype == np.float32, name
            assert ours.shape == theirs.shape, name
            assert not ours.size or np.abs(ours - theirs).max() < 1e-4, name

    parity = verify_parity(path, packaging.packaged(packaging.network, multi_label=multi_label), packaging.spec)
    assert parity.worst_difference.keys() == set(OUTPUTS)
    assert parity.opset >= 20
    with pytest.raises(TrainingError, match=r"probabilities differs from PyTorch by .*: no package was written"):
        verify_parity(path, packaging.packaged(packaging.network, temperature=1.0), packaging.spec)


@pytest.mark.parametrize("kind", THE_OTHERS, ids=lambda kind: "-".join(map(str, kind)))
def test_torch_export_equals_the_network(kind: Kind) -> None:
    """The first half of an ONNX export, at a fifth of its cost; with the cases above, every kind of network."""
    packaging = case(kind)
    program = torch.export.export(
        packaging.packaged(fold(packaging.network)),
        (torch.from_numpy(packaging.images(2)),),
        dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
    ).module()
    for count in (1, 5):
        images = packaging.images(count, seed=count)
        with torch.inference_mode():
            outputs = program(torch.from_numpy(images))
        for name, ours, theirs in zip(OUTPUTS, outputs, packaging.expected(images), strict=True):
            assert tuple(ours.shape) == theirs.shape, name
            assert not theirs.size or np.abs(ours.numpy() - theirs).max() < 1e-4, name


def test_every_kind_of_network_is_covered() -> None:
    kinds = {kind[:3] for kind in [*IN_FULL, *THE_OTHERS]}
    assert kinds == set(product(DEPTHS, RECALIBRATIONS, STEMS))
    for place, values in ((0, DEPTHS), (1, RECALIBRATIONS), (2, STEMS), (3, (1, 3))):
        assert {kind[place] for kind in IN_FULL} == set(values)


class TestPackagedNetwork:
    def network(self) -> ResNet:
        torch.manual_seed(0)
        architecture = Architecture(
            depth=20, recalibration="srm", stem="small", width=0.25, in_channels=3, num_classes=4, image_size=16
        )
        return ResNet(architecture).eval()

    @pytest.mark.parametrize("multi_label", [False, True])
    def test_ends_in_softmax_or_for_several_labels_sigmoid(self, multi_label: bool) -> None:
        network, normalisation = self.network(), Normalisation([0.5, 0.4, 0.3], [0.2, 0.3, 0.1])
        shift = [0.5, -0.5, 0.0, 1.0]
        images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
        x = (images / 255 - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.3, 0.1])
        with torch.inference_mode():
            packaged = PackagedNetwork(network, normalisation, 2.0, shift, multi_label=multi_label)
            probabilities, gates, maps = packaged(torch.from_numpy(images))
            explanation = network.explain(torch.from_numpy(x.transpose(0, 3, 1, 2)).float().contiguous())
        calibrated = explanation.logits.numpy() / 2 + np.array(shift)
        expected = 1 / (1 + np.exp(-calibrated)) if multi_label else softmax(calibrated, axis=1)
        np.testing.assert_allclose(probabilities.numpy(), expected, atol=1e-5)
        assert (np.abs(probabilities.numpy().sum(axis=1) - 1) < 1e-4).all() != multi_label
        np.testing.assert_allclose(maps.numpy(), explanation.class_activation.numpy(), atol=1e-4)
        assert gates.shape == (3, 3 * (4 + 8 + 16))
