"""A folded network against the network that it came from, with every statistic and gate off its start."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

from models.architecture import Architecture, RecalibrationName, Stem
from models.fold import fold
from models.resnet import ResNet
from tests.models.networks import as_if_trained

COMBINATIONS: list[tuple[int, RecalibrationName, Stem]] = list(
    product((18, 50, 20), ("srm", "se", "ge", "none"), ("imagenet", "small"))
)


def trained(depth: int, recalibration: RecalibrationName, stem: Stem, correction: int = 1) -> ResNet:
    fields = {"depth": depth, "recalibration": recalibration, "stem": stem, "correction": correction}
    return as_if_trained(Architecture.model_validate({**fields, "width": 1 / 8, "image_size": 32, "num_classes": 3}))


def images(count: int = 3) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, 32, 32)


def batch_norms(network: ResNet) -> set[str]:
    return {name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)}


def check_equal(network: ResNet, folded: ResNet) -> None:
    """In float64: in float32 the differences depend on the processor."""
    network, folded = copy.deepcopy(network).double(), copy.deepcopy(folded).double()
    with torch.inference_mode():
        wanted, ours = network.explain(images().double()), folded.explain(images().double())
    torch.testing.assert_close(ours.logits, wanted.logits, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(ours.class_activation, wanted.class_activation, atol=1e-9, rtol=1e-9)
    assert list(ours.recalibration_weights) == list(wanted.recalibration_weights)
    for name, gate in wanted.recalibration_weights.items():
        torch.testing.assert_close(ours.recalibration_weights[name], gate, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("depth", "recalibration", "stem"), COMBINATIONS)
def test_same_values_without_batch_norm(depth: int, recalibration: RecalibrationName, stem: Stem) -> None:
    network = trained(depth, recalibration, stem).double()  # folded in float64 too
    folded = fold(network)
    check_equal(network, folded)
    may_stay = {name for name in batch_norms(network) if recalibration == "ge" and "recalibration" in name}
    assert batch_norms(folded) <= may_stay


@pytest.mark.parametrize("correction", [0, 1])
def test_keeps_the_correction(correction: int) -> None:
    network = trained(18, "srm", "small", correction).double()
    check_equal(network, fold(network))


@pytest.mark.parametrize("recalibration", ["srm", "se", "ge", "none"])
def test_leaves_the_original_alone(recalibration: RecalibrationName) -> None:
    network = trained(20, recalibration, "small").train()
    before, structure = copy.deepcopy(network.state_dict()), str(network)
    folded = fold(network)
    assert str(network) == structure
    assert network.training
    assert all(module.training for module in network.modules())
    assert network.state_dict().keys() == before.keys()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name

    shared = {value.data_ptr() for value in network.state_dict().values() if value.numel()}
    assert not shared & {value.data_ptr() for value in folded.state_dict().values()}


def test_a_network_in_training_mode_folds_by_its_running_statistics() -> None:
    network = trained(18, "srm", "imagenet").double()
    folded = fold(network.train())
    check_equal(network.eval(), folded)


@pytest.mark.parametrize("recalibration", ["srm", "none"])
def test_every_part_is_in_evaluation_mode(recalibration: RecalibrationName) -> None:
    folded = fold(trained(18, recalibration, "small").train())
    assert [name for name, module in folded.named_modules() if module.training] == []


def test_folding_keeps_the_attributes_of_the_network() -> None:
    network = trained(50, "srm", "small")
    folded = fold(network)
    assert folded.architecture == network.architecture
    assert list(folded.blocks()) == list(network.blocks())
