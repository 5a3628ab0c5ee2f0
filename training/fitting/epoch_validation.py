"""Validation after each epoch: all figures of the task, over all processes, on unaugmented images."""

from typing import Any

import numpy as np
import torch
from ignite.metrics import EpochMetric
from monai.engines import SupervisedEvaluator
from monai.utils import evenly_divisible_all_gather
from torch import Tensor, nn

from training.data.feed import Feed
from training.data.pipeline import LABEL, Normalisation, PrepareBatch, evaluation_batch, loader
from training.errors import TrainingError
from training.evaluation.metrics import metric_of, metrics_for
from training.recipe import Recipe


class GatheredFigure(EpochMetric):
    """A figure of the logits and labels of an epoch. Processes may have had different numbers of images."""

    def __init__(self, task: str, name: str) -> None:
        def figure(logits: Tensor, labels: Tensor) -> float:
            if not torch.isfinite(logits).all():
                raise TrainingError("the validation logits are not finite: lower optimiser.learning_rate")
            probabilities = probabilities_of(logits.double(), labels).cpu().numpy()
            return metric_of(task, name)(probabilities, labels.cpu().numpy().astype(np.int64))

        super().__init__(
            figure, output_transform=lambda output: (output["pred"], output[LABEL]), check_compute_fn=False
        )

    def compute(self) -> float:
        logits, labels = (
            evenly_divisible_all_gather(torch.cat(parts), concat=True) for parts in (self._predictions, self._targets)
        )
        return self.compute_fn(logits, labels)


def probabilities_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Uncalibrated probabilities (N, K): softmax over the classes, or a sigmoid for each label if labels are (N, K)."""
    return torch.sigmoid(logits) if labels.ndim == 2 else torch.softmax(logits, dim=1)


def create_evaluator(
    recipe: Recipe, device: torch.device, network: nn.Module, val: Any, normalisation: Normalisation, workers: int
) -> SupervisedEvaluator:
    """Validation of this process's images ``val``, in float32, as the exported network runs."""
    at_once = recipe.validation_batch_size or evaluation_batch(recipe.input.size, recipe.input.size)
    batches = loader(val, at_once, workers=workers)
    return SupervisedEvaluator(
        device=device,
        val_data_loader=Feed(batches, device),
        network=network,
        prepare_batch=PrepareBatch(normalisation),
        key_val_metric={recipe.select_by: GatheredFigure(recipe.task, recipe.select_by)},
        additional_metrics={
            name: GatheredFigure(recipe.task, name) for name in metrics_for(recipe.task) if name != recipe.select_by
        },
        decollate=False,
    )


def own_part(items: list[Any], rank: int, world_size: int) -> list[Any]:
    """Every ``world_size``-th item, from ``rank`` on.

    Raises:
        TrainingError: if there are fewer items than processes.
    """
    if len(items) < world_size:
        raise TrainingError(f"{len(items)} validation image(s) can't be shared by {world_size} processes: start fewer")
    return items[rank::world_size]
