"""Frozen parts, and learning rates that fall from the classifier to the stem."""

import pytest
import torch

from models.architecture import Architecture
from models.resnet import ResNet
from training.errors import TrainingError
from training.fitting.fine_tuning import freeze
from training.fitting.optimisation import create_optimiser, create_schedule
from training.recipe import OptimiserSpec, ScheduleSpec


def network() -> ResNet:
    return ResNet(Architecture(depth=18, stem="small", width=0.1, image_size=16))


class TestFreeze:
    def test_switches_off_the_parts_named_alone(self) -> None:
        model = network()
        parts = freeze(model, ["conv1", "bn1", "layer1", "layer2.0"])
        assert parts == [model.conv1, model.bn1, model.layer1, model.get_submodule("layer2.0")]
        off = {name for name, value in model.named_parameters() if not value.requires_grad}
        expected = ("conv1.", "bn1.", "layer1.", "layer2.0.")
        assert off == {name for name, _ in model.named_parameters() if name.startswith(expected)}

    def test_leaves_the_frozen_out_of_the_optimiser(self) -> None:
        model = network()
        freeze(model, ["conv1", "layer1"])
        held = {id(p) for group in create_optimiser(model, OptimiserSpec()).param_groups for p in group["params"]}
        assert held == {id(p) for name, p in model.named_parameters() if not name.startswith(("conv1.", "layer1."))}

    @pytest.mark.parametrize("name", ["layer9", "layer", ""])
    def test_of_an_unknown_part_names_the_known(self, name: str) -> None:
        with pytest.raises(
            TrainingError, match=rf"no part '{name}'; it has conv1, bn1, layer1, layer2, layer3, layer4"
        ):
            freeze(network(), [name])

    def test_of_everything_is_refused(self) -> None:
        everything = ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]
        with pytest.raises(TrainingError, match="leave at least `fc`"):
            freeze(network(), everything)


class TestStageDecay:
    def test_is_a_factor_for_each_stage_from_the_classifier_down(self) -> None:
        model = network()
        optimiser = create_optimiser(model, OptimiserSpec(learning_rate=0.32, weight_decay=0.1), stage_decay=0.5)
        rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
        expected = {
            "fc": 0.32,
            "layer4": 0.16,
            "layer3": 0.08,
            "layer2": 0.04,
            "layer1": 0.02,
            "bn1": 0.01,
            "conv1": 0.01,
        }
        for name, value in model.named_parameters():
            assert rates[id(value)] == pytest.approx(expected[name.split(".")[0]])

    def test_keeps_srm_free_of_weight_decay(self) -> None:
        model = network()
        optimiser = create_optimiser(model, OptimiserSpec(weight_decay=0.1), stage_decay=0.5)
        decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
        for name, value in model.named_parameters():
            assert decay[id(value)] == (0.0 if ".recalibration." in name else 0.1)

    def test_every_rate_follows_the_schedule(self) -> None:
        optimiser = create_optimiser(network(), OptimiserSpec(learning_rate=0.4), stage_decay=0.5)
        spec = ScheduleSpec(name="step", milestones=[1], warmup=0)
        schedule = create_schedule(optimiser, spec, steps=2, steps_per_epoch=1)
        first = [group["lr"] for group in optimiser.param_groups]
        optimiser.step()
        schedule.step()
        assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.1 * rate for rate in first])
        assert max(first) == pytest.approx(0.4)

    def test_of_one_is_one_rate(self) -> None:
        optimiser = create_optimiser(network(), OptimiserSpec(learning_rate=0.4), stage_decay=1.0)
        assert {group["lr"] for group in optimiser.param_groups} == {0.4}
        assert len(optimiser.param_groups) == 2
        assert isinstance(optimiser, torch.optim.AdamW)
