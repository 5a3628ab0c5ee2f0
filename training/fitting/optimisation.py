"""Loss, optimiser and learning-rate schedule of a recipe."""

import torch
from monai.optimizers import WarmupCosineSchedule
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from models.recalibration import Recalibration
from models.resnet import ResNet
from training.fitting.fine_tuning import stage_distances
from training.recipe import LossSpec, OptimiserSpec, ScheduleSpec


def create_loss(spec: LossSpec, prior: Tensor, *, multi_label: bool) -> nn.Module:
    """The recipe's loss for training data with these class frequencies (K,)."""
    return MultiLabelLoss(spec, prior) if multi_label else ClassificationLoss(spec, prior)


class MultiLabelLoss(nn.Module):
    """Binary cross-entropy of each label, averaged, with the recipe's remedy for rare labels.

    Balanced weights make a label's positive images weigh as much as its negative ones. Logit adjustment is that of the
    two classes "has the label" and "has it not": tau times the log of their odds is added.

    Targets are 0 or 1 for each label (N, K), or blended by mixup.
    """

    log_odds: Tensor
    positive_weight: Tensor | None

    def __init__(self, spec: LossSpec, prior: Tensor) -> None:
        super().__init__()
        self.tau = spec.logit_adjustment
        self.label_smoothing = spec.label_smoothing
        self.register_buffer("log_odds", torch.logit(prior))
        balanced = (1 - prior) / prior if spec.class_weights == "balanced" else None
        self.register_buffer("positive_weight", balanced)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        adjusted = logits.float() + self.tau * self.log_odds
        soft = target * (1 - self.label_smoothing) + self.label_smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(adjusted, soft, pos_weight=self.positive_weight)


class ClassificationLoss(nn.Module):
    """Cross-entropy with the recipe's remedy for class imbalance.

    Targets are class probabilities (N, K): one-hot, or blended by mixup.
    """

    log_prior: Tensor
    weight: Tensor | None
    soft_targets: Tensor

    def __init__(self, spec: LossSpec, prior: Tensor) -> None:
        super().__init__()
        self.tau = spec.logit_adjustment
        self.label_smoothing = spec.label_smoothing
        self.register_buffer("log_prior", prior.log())
        balanced = 1 / (prior * len(prior)) if spec.class_weights == "balanced" else None
        self.register_buffer("weight", balanced)
        self.register_buffer("soft_targets", ordinal_targets(len(prior), spec.ordinal_sharpness))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        adjusted = logits.float() + self.tau * self.log_prior
        soft = target @ self.soft_targets
        return nn.functional.cross_entropy(adjusted, soft, self.weight, label_smoothing=self.label_smoothing)


def ordinal_targets(classes: int, sharpness: float) -> Tensor:
    """Row by true grade, the target's probabilities (K, K): softmax(-sharpness * distance); 0 gives one-hot rows."""
    grades = torch.arange(classes, dtype=torch.float32)
    if sharpness == 0:
        return torch.eye(classes)
    return torch.softmax(-sharpness * (grades[:, None] - grades).abs(), dim=1)


def create_optimiser(
    network: nn.Module, spec: OptimiserSpec, stage_decay: float = 1.0, *, fused: bool = False
) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD over the trained parameters, without weight decay for the recalibration, as in SRM's code.

    With a ``stage_decay`` below 1, each stage of a :class:`ResNet` has its own learning rate
    (:class:`training.recipe.recipe.FineTuningSpec`).
    """
    own = {id(p) for m in network.modules() if isinstance(m, Recalibration) for p in m.parameters()}
    distances = stage_distances(network) if stage_decay < 1 and isinstance(network, ResNet) else {}
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((distances.get(name, 0), id(parameter) in own), []).append(parameter)
    options = [
        {
            "params": parameters,
            "weight_decay": 0.0 if recalibrates else spec.weight_decay,
            "lr": spec.learning_rate * stage_decay**distance,
        }
        for (distance, recalibrates), parameters in groups.items()
    ]
    match spec.name:
        case "adamw":
            return torch.optim.AdamW(options, fused=fused or None)
        case "adam":
            return torch.optim.Adam(options, fused=fused or None)
        case "sgd":
            nesterov = spec.nesterov and spec.momentum > 0
            return torch.optim.SGD(options, momentum=spec.momentum, nesterov=nesterov, fused=fused or None)


def create_schedule(
    optimiser: torch.optim.Optimizer, spec: ScheduleSpec, steps: int, steps_per_epoch: int = 1
) -> LambdaLR:
    """Learning rate by step: a linear warm-up, then a cosine to zero, steps down at the milestones, or a constant."""
    warmup = round(spec.warmup * steps)
    if spec.name == "cosine":
        return WarmupCosineSchedule(optimiser, warmup_steps=warmup, t_total=steps)
    milestones = [epoch * steps_per_epoch for epoch in spec.milestones]

    def factor(step: int) -> float:
        return min((step + 1) / max(warmup, 1), 1.0) * spec.factor ** sum(step >= passed for passed in milestones)

    return LambdaLR(optimiser, factor)
