"""Map sanity: SciPy's rank correlation, drawn retinas, and explanations that lose their weights."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from models.architecture import Architecture
from models.card import InputSpec
from models.provenance import TrainingData
from models.resnet import ResNet
from training.data.pipeline import Normalisation
from training.datasets import Item
from training.maps.sanity import (
    check_maps,
    mass_on_retina,
    permute_values,
    rank_correlation,
    retina,
    stages,
)
from training.run import RunFacts

SIDE = 64


def b_scan(*, white_corner: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A wavy bright band with a dark layer inside, over speckle; and where the band is."""
    row, column = np.mgrid[:SIDE, :SIDE]
    top = 20 + 4 * np.sin(column / 9)
    band = (row >= top) & (row < top + 14)
    image = np.where(band & (np.abs(row - top - 7) > 2), 150.0, 20.0)
    image += np.random.default_rng(0).normal(0, 6, image.shape)
    if white_corner:
        image[row > SIDE - 8 + column / 20] = 255
    return image.clip(0, 255).astype(np.float32), band


def network_of(recalibration: str) -> ResNet:
    torch.manual_seed(0)
    architecture = Architecture(
        depth=18, in_channels=1, num_classes=3, stem="small", width=0.25, recalibration=recalibration, image_size=SIDE
    )
    network = ResNet(architecture)
    for _, parameter in network.named_parameters():  # gates and BatchNorm with values of their own, as after training
        if parameter.numel() == 1 or parameter.std() == 0:
            torch.nn.init.normal_(parameter, 1.0, 0.3)
    network.train()(torch.randn(16, 1, SIDE, SIDE))
    return network.eval()


def facts_of(network: ResNet) -> RunFacts:
    data = TrainingData(name="drawn", licence="none", source="test", md5="0", split_rule="none", counts={})
    return RunFacts(
        labels=["a", "b", "c"],
        architecture=network.architecture,
        input=InputSpec(height=SIDE, width=SIDE, channels=1),
        normalisation=Normalisation([0.2], [0.2]),
        training_data=data,
        train_prior=[1 / 3] * 3,
        source_commit="test",
        python="3",
        libraries={},
    )


def drawn_items() -> list[Item]:
    random = np.random.default_rng(1)
    image, _ = b_scan()
    images = [np.roll(image, int(random.integers(-15, 25)), axis=0) for _ in range(6)]
    return [Item(image.astype(np.uint8)[..., None], 0, str(n), str(n)) for n, image in enumerate(images)]


def test_rank_correlation_is_scipys() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(0, 5, (2, 4, 3, 6))  # with ties
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation(a, b), expected)
    assert rank_correlation(np.ones((1, 4)), np.arange(4.0)[None]) == 0


@pytest.mark.parametrize("white_corner", [False, True])
def test_a_drawn_retina_is_found_with_its_dark_layer(white_corner: bool) -> None:
    image, band = b_scan(white_corner=white_corner)
    found = retina(image)
    assert (found & band).sum() / (found | band).sum() > 0.9


def test_mass_on_the_retina_of_known_maps() -> None:
    image, _ = b_scan()
    mask = retina(image)
    inside = mass_on_retina(mask[None].astype(float), image[None])
    flat = mass_on_retina(np.ones((1, 4, 4)), image[None])
    assert inside["mass"] == pytest.approx(1)
    assert flat["mass"] == pytest.approx(flat["area"]) == pytest.approx(mask.mean())
    assert mass_on_retina(np.stack([mask, -mask.astype(float)]), np.stack([image] * 2))["mass"] == pytest.approx(1)


def test_permuted_values_are_the_same_in_another_order() -> None:
    network = network_of("srm")
    before = copy.deepcopy(network.state_dict())
    permute_values(network, torch.Generator().manual_seed(0))
    for name, values in network.state_dict().items():
        assert torch.equal(values.flatten().sort().values, before[name].flatten().sort().values), name
    assert not torch.equal(network.fc.weight, before["fc.weight"])


def test_the_stages_hold_every_parameter_once() -> None:
    network = network_of("srm")
    named = [id(parameter) for _, modules in stages(network) for module in modules for parameter in module.parameters()]
    assert sorted(named) == sorted(map(id, network.parameters()))


@pytest.mark.parametrize("recalibration", ["srm", "se", "none"])
def test_explanations_lose_what_they_had_step_by_step(recalibration: str) -> None:
    network = network_of(recalibration)
    weights = copy.deepcopy(network.state_dict())
    found = check_maps(network, drawn_items(), facts_of(network), b_scans=True)
    assert all(torch.equal(values, weights[name]) for name, values in network.state_dict().items())
    cascade = found["cascade"]
    assert [row["randomised_from"] for row in cascade] == ["fc", "layer4", "layer3", "layer2", "layer1", "conv1"]
    assert found["images"] == 6
    assert 0 < found["on_retina"]["area"] < 0.5
    gates = [row["gates"] for row in cascade]
    if recalibration == "none":
        assert gates == [None] * 6
    else:
        assert gates[0] == pytest.approx(1)  # the classifier does not move them
        assert gates[1] < 1
        assert abs(gates[-1]) < 0.25
    assert cascade[0]["map"] < 0.999
