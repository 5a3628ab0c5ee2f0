"""Pruning by gates: by hand on given gates, and on a small network block after block."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from models.architecture import Architecture
from models.recalibration import Recalibration
from models.resnet import ResNet
from tests.training.networks import random_network
from training.data.pipeline import Normalisation, cached
from training.evaluation.predict import predict
from training.gates.pruning import PrunedRecalibration, Pruning
from training.run import Run, RunFacts

ARCHITECTURE = Architecture(depth=20, stem="small", width=0.25, in_channels=1, num_classes=3, image_size=12)


class Given(Recalibration):
    """A recalibration whose gates are known."""

    def gate(self, x: Tensor) -> Tensor:
        return torch.tensor([[0.1, 0.5, 0.3, 0.9], [0.8, 0.2, 0.6, 0.4]])


class TestPrunedRecalibration:
    def test_closes_the_lowest_gates_of_each_image(self) -> None:
        pruned = PrunedRecalibration(Given())
        x = torch.full((2, 4, 2, 2), 10.0)
        for fraction, expected in {
            0.0: [[0.1, 0.5, 0.3, 0.9], [0.8, 0.2, 0.6, 0.4]],
            0.25: [[0, 0.5, 0.3, 0.9], [0.8, 0, 0.6, 0.4]],
            0.5: [[0, 0.5, 0, 0.9], [0.8, 0, 0.6, 0]],
            1.0: [[0.0] * 4] * 2,
        }.items():
            pruned.fraction = fraction
            y, gate = pruned(x)
            torch.testing.assert_close(gate, torch.tensor(expected))
            torch.testing.assert_close(y, 10 * torch.tensor(expected)[:, :, None, None].expand(2, 4, 2, 2))

    def test_at_random_closes_as_many(self) -> None:
        pruned = PrunedRecalibration(Given())
        pruned.fraction, pruned.order = 0.5, "random"
        closed = torch.stack([pruned.gate(torch.zeros(2, 4, 1, 1)) == 0 for _ in range(400)]).float()
        assert (closed.sum(dim=2) == 2).all()
        np.testing.assert_allclose(closed.mean(dim=0), 0.5, atol=0.1)


@pytest.fixture
def network() -> ResNet:
    return random_network(ARCHITECTURE, seed=0)


def by_hand(network: ResNet, images: Tensor, pruned: set[str], count: int) -> Tensor:
    """Logits with the ``count`` lowest gates of each image closed in the named blocks."""
    x = torch.relu(network.bn1(network.conv1(images)))
    for name, block in network.blocks().items():
        y = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
        assert isinstance(block.recalibration, Recalibration)
        gate = block.recalibration.gate(y)
        if name in pruned:
            for row in gate:
                values = row.tolist()
                for channel in sorted(range(len(values)), key=values.__getitem__)[:count]:
                    row[channel] = 0
        shortcut = x if block.downsample is None else block.downsample(x)
        x = torch.relu(y * gate[:, :, None, None] + shortcut)
    logits: Tensor = network.fc(x.mean(dim=(2, 3)))
    return logits


@torch.inference_mode()
@pytest.mark.parametrize("blocks", [{"layer1.1"}, {"layer1.0", "layer1.1", "layer1.2"}])
def test_network_is_pruned_in_the_named_blocks(network: ResNet, blocks: set[str]) -> None:
    images = torch.randn(3, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    pruning = Pruning(network)
    for name in blocks:
        pruning.modules[name].fraction = 0.5  # 2 of the 4 channels of the first stage
    torch.testing.assert_close(pruning.network(images), by_hand(network, images, blocks, 2))
    assert not torch.allclose(pruning.network(images), network(images))


@torch.inference_mode()
def test_network_itself_is_left_alone(network: ResNet) -> None:
    images = torch.randn(2, 1, 12, 12)
    before, modules = network(images), [type(module) for module in network.modules()]
    values = copy.deepcopy(network.state_dict())
    pruning = Pruning(network)
    pruning.modules["layer2.0"].fraction = 0.9
    pruning.network(images)
    assert [type(module) for module in network.modules()] == modules
    assert all(not module._forward_hooks for module in network.modules())
    torch.testing.assert_close(network.state_dict(), values)
    torch.testing.assert_close(network(images), before, rtol=0, atol=0)


def test_network_without_gates_is_refused() -> None:
    with pytest.raises(ValueError, match="no gates"):
        Pruning(ResNet(ARCHITECTURE.model_copy(update={"recalibration": "none"})))


def test_nothing_pruned_is_the_prediction(finished: Run) -> None:
    from training.evaluation.evaluate import read_same_data

    facts: RunFacts = finished.facts()
    assert isinstance(facts.normalisation, Normalisation)
    network, items = finished.network(), read_same_data(finished).splits["val"]
    pruning = Pruning(network)
    images = cached(items, facts.input)
    expected = predict(network, items, facts).logits
    np.testing.assert_allclose(pruning.logits(images, facts, blocks=[], fraction=0.9), expected, atol=1e-5)
    pruned = pruning.logits(images, facts, blocks=pruning.modules, fraction=0.9)
    assert np.abs(pruned - expected).max() > 0.01
    first, again = (
        pruning.logits(images, facts, blocks=pruning.modules, fraction=0.5, order="random") for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
