"""What an evaluation leaves beside its figures, so that the report never opens a split again."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.resnet import ResNet
from training.data.pipeline import IMAGE, PrepareBatch, cached, loader
from training.datasets import Item
from training.errors import TrainingError
from training.evaluation.calibration import Calibrator
from training.evaluation.predict import NetworkOutputs
from training.run import Run, RunFacts

EXAMPLES = 12


@dataclass(frozen=True)
class Evaluation:
    """The predictions of N images, the gates by class, and a few mistakes to look at; ``evaluation-<split>.npz``."""

    ids: NDArray[np.str_]
    """(N,)"""
    patients: NDArray[np.str_]
    """(N,)"""
    labels: NDArray[np.int64]
    """(N,); (N, K) of a multi-label task"""
    logits: NDArray[np.float64]
    """(N, K)"""
    probabilities: NDArray[np.float64]
    """(N, K), calibrated, at the recipe's target prior"""
    uncalibrated: NDArray[np.float64]
    """(N, K), the same without the temperature"""
    gate_mean: NDArray[np.float32]
    """(K, gates), of the images of each class"""
    gate_std: NDArray[np.float32]
    """(K, gates)"""
    examples: NDArray[np.int64]
    """(E,), the rows of the most confident mistakes"""
    images: NDArray[np.uint8]
    """(E, H, W, C), as the network saw them"""
    maps: NDArray[np.float32]
    """(E, 2, h, w), class activation for the predicted and for the true class"""
    style_shift: NDArray[np.float64] | None = None
    """(N,); None of an evaluation by a version that did not keep it"""
    rejection_rank: NDArray[np.float64] | None = None
    """(N,), the score ``both`` of :mod:`training.evaluation.selective`; None as above, and of a multi-label task"""

    @property
    def rejection_scores(self) -> dict[str, NDArray[np.float64]]:
        """By what the images may be rejected, see :mod:`training.evaluation.selective`; empty where it was not kept."""
        if self.style_shift is None or self.rejection_rank is None:
            return {}
        doubt = -self.probabilities.max(axis=1)
        return {"style_shift": self.style_shift, "confidence": doubt, "both": self.rejection_rank}

    @property
    def truth(self) -> NDArray[np.bool_]:
        """(N, K), whether the image has the label"""
        return has_label(self.labels, self.logits.shape[1])

    def write(self, path: Path) -> None:
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        np.savez_compressed(path, **{name: array for name, array in kept.items() if array is not None})

    @classmethod
    def read(cls, run: Run, split: str) -> "Evaluation":
        """Read what the evaluation of a split left.

        Raises:
            TrainingError: if the split was not evaluated, or by a version that left nothing.
        """
        path = evaluation_path(run, split)
        if split not in run.metrics() or not path.is_file():
            raise TrainingError(
                f"{run.folder} has no evaluation of the {split} split to report: run `python -m training evaluate "
                f"{run.folder} --split {split}` first"
            )
        with np.load(path, allow_pickle=False) as arrays:
            names = [field.name for field in fields(cls) if field.default is MISSING or field.name in arrays]
            return cls(**{name: arrays[name] for name in names})


def evaluation_path(run: Run, split: str) -> Path:
    return run.folder / f"evaluation-{split}.npz"


def record(
    network: ResNet,
    items: Sequence[Item],
    facts: RunFacts,
    outputs: NetworkOutputs,
    calibrator: Calibrator,
    rejection_rank: NDArray[np.float64] | None,
) -> Evaluation:
    """Gather what the report will need of a split that is open now."""
    probabilities = calibrator(outputs.logits)
    chosen = worst_mistakes(probabilities, outputs.labels)
    predicted = probabilities[chosen].argmax(axis=1)
    images, maps = explain(network, [items[row] for row in chosen], facts)
    shown = np.stack([predicted, outputs.labels[chosen]], axis=1) if len(chosen) else np.zeros((0, 2), np.int64)
    classes = [outputs.gates[has] for has in has_label(outputs.labels, probabilities.shape[1]).T]
    return Evaluation(
        ids=np.array([item.id for item in items]),
        patients=np.array([item.group for item in items]),
        labels=outputs.labels,
        logits=outputs.logits,
        probabilities=probabilities,
        uncalibrated=calibrator._replace(temperature=1.0)(outputs.logits),
        gate_mean=np.stack([gates.mean(axis=0) for gates in classes]),
        gate_std=np.stack([gates.std(axis=0) for gates in classes]),
        examples=chosen,
        images=images,
        maps=np.take_along_axis(maps, shown[:, :, None, None], axis=1),
        style_shift=outputs.style_shift,
        rejection_rank=rejection_rank,
    )


def has_label(labels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Return (N, K), whether each image has each label, from class numbers (N,) or from zeros and ones (N, K)."""
    return labels == 1 if labels.ndim == 2 else labels[:, None] == np.arange(classes)


def worst_mistakes(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of the misclassified images, the most confident first, at most :data:`EXAMPLES`.

    None of a multi-label task: an image can be right in one label and wrong in another.
    """
    if labels.ndim == 2:
        return np.zeros(0, dtype=np.int64)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:EXAMPLES]


@torch.inference_mode()
def explain(network: ResNet, items: Sequence[Item], facts: RunFacts) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the images (E, H, W, C) as the network sees them and their class activation maps (E, K, h, w)."""
    spec = facts.input
    if not items:
        classes = len(facts.labels)
        return np.zeros((0, spec.height, spec.width, spec.channels), np.uint8), np.zeros((0, classes, 1, 1), np.float32)
    (batch,) = loader(cached(items, spec), len(items))
    pixels: Any = batch[IMAGE]
    normalised, _ = PrepareBatch(facts.normalisation)(batch, next(network.parameters()).device)
    maps = network.explain(normalised).class_activation
    return pixels.permute(0, 2, 3, 1).numpy(), maps.float().cpu().numpy()
