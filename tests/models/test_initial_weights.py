"""Initial weights: a gated network computes what the plain one did; what does not fit is refused with what would."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.architecture import Architecture
from models.fold import fold, unfolded_state
from models.initial_weights import load_initial_weights, settle_batch_norm
from models.resnet import ResNet
from tests.models.public_weights import WIDTH, public_state

SIZE = 40


def network_of(recalibration: Any = "srm", *, settled: bool = False, **architecture: Any) -> ResNet:
    """A network; if settled with weights and statistics that no two channels share."""
    torch.manual_seed(6)
    fields = {"depth": 18, "width": WIDTH, "num_classes": 3, "image_size": SIZE} | architecture
    network = ResNet(Architecture(recalibration=recalibration, **fields)).eval()
    if settled:
        with torch.no_grad():
            for name, value in network.named_parameters():
                if name.endswith(("bn.weight", "bn.bias", "cfc")) or ".bn" in name or name.startswith("bn"):
                    value.copy_(1 + 0.3 * torch.randn_like(value))
            network.train()
            for _ in range(40):
                network(images(network.architecture.in_channels))
            network.eval()
    return network


def images(channels: int = 3, count: int = 8) -> Tensor:
    return torch.randn(count, channels, SIZE, SIZE)


def logits(network: ResNet, batch: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.eval()(batch)


def state_of(network: ResNet) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("depth", [18, 50, 20])
@pytest.mark.parametrize("recalibration", ["srm", "se", "ge"])
def test_gates_change_nothing_at_the_start(recalibration: str, depth: int) -> None:
    plain = network_of("none", settled=True, depth=depth)
    gated = network_of(recalibration, depth=depth)
    before = logits(gated, batch := images())
    load_initial_weights(gated, plain.state_dict())
    expected = logits(plain, batch)
    torch.testing.assert_close(logits(gated, batch), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert not torch.allclose(before, expected, rtol=0.1)


@pytest.mark.parametrize("recalibration", ["srm", "se", "ge"])
def test_gates_change_nothing_in_training_either_and_learn(recalibration: str) -> None:
    plain, gated = network_of("none", settled=True), network_of(recalibration)
    load_initial_weights(gated, plain.state_dict())
    batch = images()
    expected, found = plain.train()(batch), gated.train()(batch)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    found.square().sum().backward()
    gate = [value for name, value in gated.named_parameters() if ".recalibration." in name]
    assert any(value.grad is not None and value.grad.abs().sum() > 0 for value in gate)


def test_as_is_halves_every_branch() -> None:
    plain, gated = network_of("none", settled=True), network_of("srm")
    load_initial_weights(gated, plain.state_dict(), start="as-is")
    name = "layer1.0.bn2.weight"
    assert torch.equal(gated.state_dict()[name], plain.state_dict()[name])
    assert not torch.allclose(logits(gated, batch := images()), logits(plain, batch), rtol=0.1)


def test_says_what_was_loaded_and_what_is_fresh() -> None:
    network = network_of("srm")
    loaded = load_initial_weights(network, public_state(classes=1000))
    assert set(loaded.loaded) == {name for name in public_state() if not name.startswith("fc.")}
    assert {name.split(".")[-2] for name in loaded.fresh if name.startswith("layer")} == {"recalibration", "bn"}
    assert {"fc.weight", "fc.bias"} < set(loaded.fresh)
    assert "the classifier is fresh" in str(loaded)
    assert str(loaded).startswith("120 values loaded, 50 fresh")


@pytest.mark.parametrize(("taken", "classifier"), [(True, True), (False, False)])
def test_a_classifier_of_other_labels_stays_fresh(taken: bool, classifier: bool) -> None:
    network, state = network_of("srm"), public_state(classes=3)
    load_initial_weights(network, state, classifier=classifier)
    assert torch.equal(network.fc.weight, state["fc.weight"]) == taken


def test_gates_of_the_same_kind_are_loaded_and_nothing_is_doubled() -> None:
    trained, other = network_of("srm", settled=True), network_of("srm", num_classes=4)
    loaded = load_initial_weights(other, trained.state_dict())
    assert loaded.fresh == ["fc.weight", "fc.bias"]
    assert all(
        torch.equal(value, trained.state_dict()[name]) for name, value in other.state_dict().items() if name[:2] != "fc"
    )


@pytest.mark.parametrize("recalibration", ["none", "se"])
def test_gates_without_a_place_are_refused_or_dropped(recalibration: str) -> None:
    trained, network = network_of("srm", settled=True), network_of(recalibration)
    before = state_of(network)
    with pytest.raises(ValueError, match=r"has gates \(layer1.*more\).*network\.recalibration=.*network\.start=as-is"):
        load_initial_weights(network, trained.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert "dropped" in str(load_initial_weights(network, trained.state_dict(), start="as-is"))


@pytest.mark.parametrize(
    ("theirs", "advice"),
    [
        ({"depth": 34}, "network.depth=34$"),
        ({"depth": 50}, "network.depth=50$"),
        ({"depth": 20}, "network.depth=20 network.width=0.25$"),
        ({"width": 0.25}, "network.width=0.25$"),
        ({"stem": "small"}, "network.stem=small$"),
        ({"depth": 34, "width": 0.25, "stem": "small"}, "network.depth=34 network.width=0.25 network.stem=small$"),
    ],
)
def test_another_form_is_refused_with_the_settings_that_fit(theirs: dict[str, Any], advice: str) -> None:
    if theirs == {"depth": 20}:
        theirs = {"depth": 20, "width": 0.25}
    state, network = network_of("none", **theirs).state_dict(), network_of("srm")
    before = state_of(network)
    with pytest.raises(ValueError, match=advice):
        load_initial_weights(network, state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_resnet_that_nobody_knows_and_a_file_of_something_else() -> None:
    state = public_state() | {"layer1.2.conv1.weight": torch.zeros(4, 4, 3, 3)}
    with pytest.raises(ValueError, match="ResNet of unknown depth"):
        load_initial_weights(network_of(), state)
    with pytest.raises(ValueError, match=r"is not one of a ResNet: it has features\.0\.weight"):
        load_initial_weights(network_of(), {"features.0.weight": torch.zeros(64, 3, 3, 3)})


def test_one_value_too_few_or_too_many_is_refused() -> None:
    less = public_state()
    del less["layer3.1.bn2.running_var"]
    with pytest.raises(ValueError, match=r"lacks values .* may lack: layer3\.1\.bn2\.running_var$"):
        load_initial_weights(network_of(), less)
    more = public_state() | {"layer4.1.se.fc1.weight": torch.zeros(2, 32)}
    with pytest.raises(ValueError, match=r"no place for: layer4\.1\.se\.fc1\.weight$"):
        load_initial_weights(network_of(), more)


def test_half_of_the_gates_is_refused() -> None:
    state = network_of("srm").state_dict()
    del state["layer4.1.recalibration.cfc"]
    with pytest.raises(ValueError, match=r"lacks values .*: layer4\.1\.recalibration\.cfc$"):
        load_initial_weights(network_of("srm"), state)


def test_gather_excite_of_another_image_size_is_refused() -> None:
    state = network_of("ge", image_size=64).state_dict()
    with pytest.raises(ValueError, match=r"layer1\.0\.recalibration\.conv\.weight is .*\(input\.size\)"):
        load_initial_weights(network_of("ge"), state)


def test_checkpoints_from_before_num_batches_tracked() -> None:
    """torchvision's own files of 2017 have none."""
    old = {name: value for name, value in public_state().items() if not name.endswith("num_batches_tracked")}
    load_initial_weights(network := network_of(), old)
    assert network.bn1.num_batches_tracked == 0
    load_initial_weights(network, public_state())
    assert network.bn1.num_batches_tracked == 12_345


def test_half_precision_weights_become_the_networks_own() -> None:
    state = {name: value.half() if value.is_floating_point() else value for name, value in public_state().items()}
    network = network_of()
    load_initial_weights(network, state)
    assert network.conv1.weight.dtype == torch.float32
    assert torch.equal(network.conv1.weight, state["conv1.weight"].float())


def test_grey_images_see_what_colour_ones_did_and_back() -> None:
    colour, grey = network_of("none", settled=True), network_of("none", in_channels=1)
    load_initial_weights(grey, colour.state_dict())
    batch = images(1)
    torch.testing.assert_close(logits(grey, batch), logits(colour, batch.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)
    again = network_of("none")
    load_initial_weights(again, grey.state_dict())
    torch.testing.assert_close(logits(again, batch.expand(-1, 3, -1, -1)), logits(grey, batch), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match=r"conv1\.weight is \(4, 3, 7, 7\) and should be \(4, 2, 7, 7\)"):
        load_initial_weights(network_of("none", in_channels=2), colour.state_dict())


class OptionA(nn.Module):
    """The shortcut of He 2016, section 3.3, option A, as the widespread code for CIFAR writes it."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> Tensor:
        added = self.out_channels - x.shape[1]
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, added // 2, added // 2))


def test_shortcuts_without_weights_load_as_convolutions_and_train_as_they_did() -> None:
    public = network_of("none", settled=True, depth=20, width=1.0, stem="small")
    for block in public.blocks().values():
        if block.downsample is not None:
            block.downsample = nn.Sequential(OptionA(block.out_channels))
    batch = images(count=64)
    # In training every BatchNorm goes by the batch: the two agree where the loaded statistics are the batch's.
    settle_batch_norm(public, [name for name, part in public.named_modules() if "BatchNorm" in repr(type(part))], batch)
    network = network_of("none", depth=20, width=1.0, stem="small")
    loaded = load_initial_weights(network, public.state_dict())
    assert loaded.unsettled == ["layer2.0.downsample.1", "layer3.0.downsample.1"]
    expected = logits(public, batch)
    torch.testing.assert_close(logits(network, batch), expected, rtol=1e-3, atol=1e-3)
    settle_batch_norm(network, loaded.unsettled, batch)
    torch.testing.assert_close(logits(network, batch), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(network.train()(batch), public.train()(batch), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("recalibration", ["srm", "se", "ge", "none"])
def test_a_folded_network_is_unfolded_to_the_same_function_and_trains_as_it_did(recalibration: str) -> None:
    trained = network_of(recalibration, settled=True)
    state, names = unfolded_state(fold(trained))
    network = network_of(recalibration)
    loaded = load_initial_weights(network, state)
    assert not [name for name in loaded.fresh if not name.endswith("num_batches_tracked")]
    batch = images(count=64)
    expected = logits(trained, batch)
    torch.testing.assert_close(logits(network, batch), expected, rtol=1e-3, atol=1e-4)
    settle_batch_norm(network, names, batch)
    torch.testing.assert_close(logits(network, batch), expected, rtol=1e-3, atol=1e-4)
    # The trained one's statistics are of other batches, so in training the two agree where these do.
    settle_batch_norm(trained, names, batch)
    torch.testing.assert_close(network.train()(batch), trained.train()(batch), rtol=1e-2, atol=1e-2)
