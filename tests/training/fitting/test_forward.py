"""Precision, memory format and frozen parts of a training step."""

import pytest
import torch
from torch import nn

from models.architecture import Architecture
from models.recalibration import StyleRecalibration
from models.resnet import ResNet
from training.fitting.fine_tuning import freeze
from training.fitting.forward import TrainingForward, memory_format

CPU = torch.device("cpu")


def network(**changes: object) -> ResNet:
    torch.manual_seed(0)
    return ResNet(Architecture(**{"depth": 20, "stem": "small", "width": 0.25, "image_size": 16} | changes))


def images() -> torch.Tensor:
    return torch.randn((4, 3, 16, 16), generator=torch.Generator().manual_seed(1))


def seen_dtypes(model: ResNet, forward: TrainingForward) -> dict[str, torch.dtype]:
    """The type of what each part gives."""
    found: dict[str, torch.dtype] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda _, __, y, name=name: found.update({name: y.dtype}))
        if isinstance(module, StyleRecalibration):
            module.register_forward_hook(lambda _, __, y, name=name: found.update({name: y[1].dtype}))
    found["logits"] = forward(images(), model).dtype
    return found


def test_bfloat16_autocasts_on_a_cpu_and_keeps_gates_and_logits_float32() -> None:
    model = network()
    found = seen_dtypes(model, TrainingForward(CPU, "bfloat16"))
    assert found["layer1.0.conv1"] == found["layer3.2.conv2"] == found["fc"] == torch.bfloat16
    assert found["layer1.0.recalibration"] == found["logits"] == torch.float32
    assert {value.dtype for value in model.parameters()} == {torch.float32}


def test_float32_is_the_default() -> None:
    assert set(seen_dtypes(network(), TrainingForward(CPU)).values()) == {torch.float32}


def test_bfloat16_differs_from_float32_by_its_rounding_alone() -> None:
    exact = TrainingForward(CPU)(images(), network())
    rounded = TrainingForward(CPU, "bfloat16")(images(), network())
    assert not torch.equal(exact, rounded)
    assert float((exact - rounded).detach().norm() / exact.detach().norm()) < 0.05


def test_channels_last_stays_off_on_a_cpu_with_a_reason() -> None:
    with pytest.warns(UserWarning, match="channels_last stays off on a CPU"):
        assert memory_format(True, CPU) == torch.contiguous_format
    assert memory_format(False, CPU) == torch.contiguous_format
    assert memory_format(True, torch.device("cuda")) == torch.channels_last


def test_images_get_the_layout_of_the_network() -> None:
    seen = []

    def look(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.is_contiguous(memory_format=torch.channels_last))
        return x.mean(dim=(2, 3))

    TrainingForward(CPU, layout=torch.channels_last)(images(), look)
    TrainingForward(CPU)(images(), look)
    assert seen == [True, False]


def test_frozen_parts_keep_their_statistics_in_training_mode() -> None:
    model = network()
    frozen = freeze(model, ["conv1", "bn1", "layer1"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()  # as MONAI's trainer does before each step
    TrainingForward(CPU, frozen=frozen)(images(), model)
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"layer2", "layer3"}
