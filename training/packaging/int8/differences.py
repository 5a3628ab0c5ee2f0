"""How the answers of an INT8 graph differ from those of the float32 graph, and how far they may."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.card import StyleReference
from models.package import INPUT
from models.verification import Difference
from training.evaluation import metrics, multilabel

ACCURACY_DROP = MACRO_AUC_DROP = 0.005
GATE_DIFFERENCE = 0.05
"""Of 99.9 % of the gates, which lie between 0 and 1."""
VERDICTS_CHANGED = 0.01


class Answers(NamedTuple):
    """Outputs of a graph for N images."""

    probabilities: NDArray[np.float64]
    """(N, K)"""
    gates: NDArray[np.float32]
    """(N, all gates)"""
    style_shift: NDArray[np.float32] | None
    """(N,); None of a package without one."""


def open_graph(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def answers(session: onnxruntime.InferenceSession, batches: Iterable[NDArray[np.uint8]]) -> Answers:
    """Run a graph on batches of images (n, H, W, C), one after another."""
    names = [output.name for output in session.get_outputs()]
    wanted = [name for name in ("probabilities", "recalibration_weights", "style_shift") if name in names]
    found = [session.run(wanted, {INPUT: batch}) for batch in batches]
    probabilities, gates, *shift = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Answers(probabilities.astype(np.float64), gates, shift[0] if shift else None)


def error(before: Answers, after: Answers) -> float:
    """The mean difference of the probabilities plus that of the gates: by it, convolutions are ranked."""
    gates = np.abs(after.gates - before.gates).mean() if before.gates.size else 0.0
    return float(np.abs(after.probabilities - before.probabilities).mean() + gates)


def differences(
    before: Answers, after: Answers, labels: NDArray[np.int64], style: StyleReference | None
) -> list[Difference]:
    """Compare the answers of the float32 graph with those of the INT8 graph.

    Args:
        before: of the float32 graph.
        after: of the INT8 graph, for the same images.
        labels: (N,); (N, K) where multi-label.
        style: with the thresholds of the verdicts.
    """
    probability = np.abs(after.probabilities - before.probabilities)

    def drop(metric: Callable[[NDArray[np.float64], NDArray[np.int64]], float]) -> float:
        return metric(before.probabilities, labels) - metric(after.probabilities, labels)

    found = [
        Difference(figure="accuracy, drop", value=drop(accuracy), limit=ACCURACY_DROP),
        Difference(figure="macro AUC, drop", value=drop(macro_auc), limit=MACRO_AUC_DROP),
        Difference(figure="probability, largest difference", value=float(probability.max()), limit=None),
        Difference(figure="probability, mean difference", value=float(probability.mean()), limit=None),
    ]
    if before.gates.size:
        gate = np.abs(after.gates - before.gates)
        most = float(np.quantile(gate, 0.999))
        found += [
            Difference(figure="gate, 99.9th percentile of the difference", value=most, limit=GATE_DIFFERENCE),
            Difference(figure="gate, largest difference", value=float(gate.max()), limit=None),
            Difference(figure="gate, mean difference", value=float(gate.mean()), limit=None),
        ]
    if style is not None and before.style_shift is not None and after.style_shift is not None:
        shifts = zip(before.style_shift, after.style_shift, strict=True)
        changed = [style.verdict(float(old)) != style.verdict(float(new)) for old, new in shifts]
        share = float(np.mean(changed))
        found.append(Difference(figure="style verdicts, share changed", value=share, limit=VERDICTS_CHANGED))
    return found


def accuracy(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The share of right answers; of right decisions where multi-label."""
    return (multilabel.odir_f1 if labels.ndim == 2 else metrics.accuracy)(probabilities, labels)


def macro_auc(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Mean area under the ROC curve of the labels that some of the images have and others have not; 0 without any."""
    has = labels == 1 if labels.ndim == 2 else labels[:, None] == np.arange(probabilities.shape[1])
    measurable = has.any(axis=0) & ~has.all(axis=0)
    return multilabel.macro_auc(probabilities[:, measurable], has[:, measurable]) if measurable.any() else 0.0


def described(found: Sequence[Difference]) -> str:
    return "; ".join(
        f"{each.figure} {each.value:.4f}" + ("" if each.limit is None else f" (limit {each.limit:g})") for each in found
    )
