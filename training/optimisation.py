"""Loss, optimiser and learning-rate schedule of a recipe."""

import torch
from monai.optimizers import WarmupCosineSchedule
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from models.recalibration import Recalibration
from training.recipe import LossSpec, OptimiserSpec, ScheduleSpec


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


def create_optimiser(network: nn.Module, spec: OptimiserSpec) -> torch.optim.Optimizer:
    """AdamW or SGD; the recalibration's parameters have no weight decay, as in SRM's own code."""
    own = {id(p) for m in network.modules() if isinstance(m, Recalibration) for p in m.parameters()}
    groups = [
        {"params": [p for p in network.parameters() if id(p) not in own], "weight_decay": spec.weight_decay},
        {"params": [p for p in network.parameters() if id(p) in own], "weight_decay": 0.0},
    ]
    if spec.name == "adamw":
        return torch.optim.AdamW(groups, lr=spec.learning_rate)
    return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum, nesterov=spec.momentum > 0)


def create_schedule(optimiser: torch.optim.Optimizer, spec: ScheduleSpec, steps: int) -> LambdaLR:
    """Learning rate by step: a linear warm-up, then a cosine to zero or a constant."""
    warmup = round(spec.warmup * steps)
    if spec.name == "cosine":
        return WarmupCosineSchedule(optimiser, warmup_steps=warmup, t_total=steps)
    return LambdaLR(optimiser, lambda step: min((step + 1) / max(warmup, 1), 1.0))
