"""Losses, weight decay and learning rates, against arithmetic by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from models.architecture import Architecture
from models.resnet import ResNet
from training.fitting.optimisation import ClassificationLoss, create_optimiser, create_schedule
from training.recipe import LossSpec, OptimiserSpec, ScheduleSpec

COUNTS = np.array([50, 30, 15, 5])
PRIOR = COUNTS / COUNTS.sum()
ONE_HOT = np.eye(4)[np.repeat(np.arange(4), COUNTS // 5)]


def network(recalibration: str, depth: int = 20) -> ResNet:
    torch.manual_seed(0)
    return ResNet(Architecture(depth=depth, recalibration=recalibration, stem="small", width=0.25, image_size=16))


class TestLoss:
    """Targets are class probabilities. The batch holds the classes as often as the training data."""

    logits = np.random.default_rng(0).normal(0, 2, (20, 4))
    labels = np.repeat(np.arange(4), COUNTS // 5)

    def ours(self, target: NDArray[Any], **spec: Any) -> float:
        loss = ClassificationLoss(LossSpec(**spec), torch.from_numpy(PRIOR).float())
        return float(loss(torch.from_numpy(self.logits).float(), torch.from_numpy(target).float()))

    def each(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Negative log-likelihood of each image's class."""
        picked: NDArray[np.float64] = -log_softmax(logits, axis=1)[np.arange(20), self.labels]
        return picked

    def test_plain_is_cross_entropy(self) -> None:
        assert self.ours(ONE_HOT) == pytest.approx(self.each(self.logits).mean(), rel=1e-5)

    def test_balanced_weighs_classes_by_their_rarity(self) -> None:
        weights = compute_class_weight("balanced", classes=np.arange(4), y=np.repeat(np.arange(4), COUNTS))
        weights = weights[self.labels]
        expected = (weights * self.each(self.logits)).sum() / weights.sum()
        assert weights.max() > 5 * weights.min()
        assert self.ours(ONE_HOT, class_weights="balanced") == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
    def test_logit_adjustment_adds_the_log_prior(self, tau: float) -> None:
        expected = self.each(self.logits + tau * np.log(PRIOR)).mean()
        assert self.ours(ONE_HOT, logit_adjustment=tau) == pytest.approx(expected, rel=1e-5)

    def test_label_smoothing_spreads_the_target(self) -> None:
        target = 0.9 * ONE_HOT + 0.1 / 4
        expected = -(target * log_softmax(self.logits, axis=1)).sum(axis=1).mean()
        assert self.ours(ONE_HOT, label_smoothing=0.1) == pytest.approx(expected, rel=1e-5)

    def test_accepts_blended_targets(self) -> None:
        target = np.random.default_rng(1).dirichlet(np.ones(4), 20)
        expected = -(target * log_softmax(self.logits + np.log(PRIOR), axis=1)).sum(axis=1).mean()
        assert self.ours(target, logit_adjustment=1.0) == pytest.approx(expected, rel=1e-5)

    def test_ordinal_targets_fall_with_the_distance(self) -> None:
        # beta = ln 2: every grade of distance halves the target.
        target = np.array([[8, 4, 2, 1], [4, 8, 4, 2], [2, 4, 8, 4], [1, 2, 4, 8]])
        target = (target / target.sum(axis=1, keepdims=True))[self.labels]
        expected = -(target * log_softmax(self.logits, axis=1)).sum(axis=1).mean()
        assert self.ours(ONE_HOT, ordinal_sharpness=math.log(2)) == pytest.approx(expected, rel=1e-5)

    def test_is_float32_whatever_the_logits_are(self) -> None:
        loss = ClassificationLoss(LossSpec(logit_adjustment=1.0), torch.from_numpy(PRIOR).float())
        assert loss(torch.zeros(20, 4, dtype=torch.bfloat16), torch.eye(4)[self.labels]).dtype == torch.float32


class TestWeightDecay:
    @pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
    @pytest.mark.parametrize("recalibration", ["srm", "se", "ge", "none"])
    def test_is_everywhere_but_in_the_recalibration(self, name: str, recalibration: str) -> None:
        model = network(recalibration)
        optimiser = create_optimiser(model, OptimiserSpec(name=name, weight_decay=0.03))
        decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
        assert sum(len(group["params"]) for group in optimiser.param_groups) == len(list(model.parameters()))
        expected = {key: 0.0 if ".recalibration." in key else 0.03 for key, _ in model.named_parameters()}
        assert {key: decay[id(value)] for key, value in model.named_parameters()} == expected
        assert (0.0 in expected.values()) == (recalibration != "none")

    def test_shrinks_weights_and_leaves_srm(self) -> None:
        model = network("srm")
        for value in model.parameters():
            value.data.fill_(1.0)
            value.grad = torch.zeros_like(value)
        create_optimiser(model, OptimiserSpec(name="adamw", learning_rate=0.1, weight_decay=0.5)).step()
        for key, value in model.named_parameters():
            expected = 1.0 if ".recalibration." in key else 1 - 0.1 * 0.5
            torch.testing.assert_close(value.data, torch.full_like(value, expected))


class TestOptimiser:
    def test_sgd_without_momentum_steps_down_the_gradient(self) -> None:
        layer = nn.Linear(2, 1, bias=False)
        layer.weight.data = torch.tensor([[1.0, 2.0]])
        optimiser = create_optimiser(layer, OptimiserSpec(name="sgd", learning_rate=0.1, momentum=0, weight_decay=0))
        layer.weight.grad = torch.tensor([[3.0, -4.0]])
        optimiser.step()
        torch.testing.assert_close(layer.weight.data, torch.tensor([[0.7, 2.4]]))

    def test_sgd_with_momentum_is_nesterovs(self) -> None:
        layer = nn.Linear(1, 1, bias=False)
        layer.weight.data.zero_()
        optimiser = create_optimiser(layer, OptimiserSpec(name="sgd", learning_rate=1, momentum=0.5, weight_decay=0))
        for _ in range(2):
            layer.weight.grad = torch.ones(1, 1)
            optimiser.step()
        # Velocities 1 and 1.5; each step is gradient + momentum * velocity: 1.5 + 1.75.
        assert float(layer.weight.detach()) == pytest.approx(-3.25)

    def test_sgd_without_nesterov_steps_by_the_velocity(self) -> None:
        layer = nn.Linear(1, 1, bias=False)
        layer.weight.data.zero_()
        spec = OptimiserSpec(name="sgd", learning_rate=1, momentum=0.5, nesterov=False, weight_decay=0)
        optimiser = create_optimiser(layer, spec)
        for _ in range(2):
            layer.weight.grad = torch.ones(1, 1)
            optimiser.step()
        assert float(layer.weight.detach()) == pytest.approx(-(1 + 1.5))

    def test_adam_adds_the_decay_to_the_gradient_and_adamw_does_not(self) -> None:
        # Adam's first step has the size of the rate whatever the gradient's: decay alone moves it a whole step.
        ends = {}
        for name in ("adam", "adamw"):
            layer = nn.Linear(1, 1, bias=False)
            layer.weight.data.fill_(2.0)
            layer.weight.grad = torch.zeros(1, 1)
            create_optimiser(layer, OptimiserSpec(name=name, learning_rate=0.1, weight_decay=0.5)).step()
            ends[name] = float(layer.weight.detach())
        assert ends == pytest.approx({"adam": 2 - 0.1, "adamw": 2 * (1 - 0.1 * 0.5)}, rel=1e-5)


def learning_rates(steps: int, steps_per_epoch: int = 1, **spec: Any) -> list[float]:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = create_schedule(optimiser, ScheduleSpec(**spec), steps, steps_per_epoch)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return rates


class TestSchedule:
    def test_cosine_after_a_linear_warm_up(self) -> None:
        rates = learning_rates(100, name="cosine", warmup=0.2)
        expected = [2 * step / 20 for step in range(20)]
        expected += [1 + math.cos(math.pi * step / 80) for step in range(80)]
        assert rates == pytest.approx(expected)
        assert rates[-1] < 0.01

    def test_constant_after_a_warm_up(self) -> None:
        rates = learning_rates(100, name="constant", warmup=0.2)
        assert rates[20:] == [2.0] * 80
        rises = np.diff(rates[:20])
        assert (rises > 0).all()
        assert rises.max() == pytest.approx(rises.min())  # linear
        assert rates[0] <= 0.1

    def test_steps_down_after_the_milestones_as_torchs_does(self) -> None:
        reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
        theirs = torch.optim.lr_scheduler.MultiStepLR(reference, [3, 6], gamma=0.2)
        expected = []
        for _ in range(10):  # epochs of 5 steps
            expected += [reference.param_groups[0]["lr"]] * 5
            reference.step()
            theirs.step()
        rates = learning_rates(50, 5, name="step", milestones=[3, 6], factor=0.2, warmup=0)
        assert rates == pytest.approx(expected)
        warm = learning_rates(50, 5, name="step", milestones=[3, 6], factor=0.2, warmup=0.2)
        assert warm[:10] == pytest.approx([2.0 * (step + 1) / 10 for step in range(10)])
        assert warm[10:] == pytest.approx(expected[10:])

    @pytest.mark.parametrize("name", ["cosine", "constant"])
    def test_without_warm_up_starts_at_the_full_rate(self, name: str) -> None:
        assert learning_rates(10, name=name, warmup=0)[0] == 2.0
