"""Figures of merit from probabilities and labels; their intervals are :mod:`training.evaluation.bootstrap`'s."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    log_loss,
    matthews_corrcoef,
    multilabel_confusion_matrix,
    roc_curve,
)

from training.evaluation import multilabel
from training.evaluation.label_shift import ImageWeights

Probabilities = NDArray[np.float64]
"""(N, K), each row summing to 1"""
Labels = NDArray[np.int64]
"""(N,), from 0 to K-1"""

ECE_BINS = 15
FIXED_RATES = (0.90, 0.95)
"""The specificities at which sensitivity is given, and the other way round."""


def class_aucs(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Area under the ROC curve of each class against the rest, (K,).

    By ranks (Mann and Whitney 1947), ties counting a half: the same value as scikit-learn's, at a fiftieth of the
    time, which a thousand bootstrap resamples need.
    """
    positive = labels[:, None] == np.arange(probabilities.shape[1])
    count = positive.sum(axis=0)
    ranks = (rankdata(probabilities, axis=0) * positive).sum(axis=0)
    return np.asarray((ranks - count * (count + 1) / 2) / (count * (len(labels) - count)))


def macro_auc(probabilities: Probabilities, labels: Labels) -> float:
    """Mean of the classes' areas under the ROC curve, each against the rest."""
    return float(class_aucs(probabilities, labels).mean())


def accuracy(probabilities: Probabilities, labels: Labels) -> float:
    return float(accuracy_score(labels, probabilities.argmax(1)))


def balanced_accuracy(probabilities: Probabilities, labels: Labels) -> float:
    """Mean of the classes' recalls."""
    return float(balanced_accuracy_score(labels, probabilities.argmax(1)))


def quadratic_kappa(probabilities: Probabilities, labels: Labels) -> float:
    """Cohen's kappa with quadratic weights, for ordered grades."""
    classes = list(range(probabilities.shape[1]))
    return float(cohen_kappa_score(labels, probabilities.argmax(1), labels=classes, weights="quadratic"))


def macro_f1(probabilities: Probabilities, labels: Labels) -> float:
    return float(f1_score(labels, probabilities.argmax(1), average="macro", zero_division=0))


def mcc(probabilities: Probabilities, labels: Labels) -> float:
    """Matthews correlation coefficient, multi-class."""
    return float(matthews_corrcoef(labels, probabilities.argmax(1)))


def negative_log_likelihood(probabilities: Probabilities, labels: Labels, weights: ImageWeights | None = None) -> float:
    classes = list(range(probabilities.shape[1]))
    return float(log_loss(labels, probabilities, labels=classes, sample_weight=weights))


def expected_calibration_error(
    probabilities: Probabilities, labels: Labels, weights: ImageWeights | None = None
) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, by what is in them (Guo et al., ICML 2017)."""
    bins = reliability(probabilities, labels, weights)
    return float(sum(each["share"] * abs(each["confidence"] - each["accuracy"]) for each in bins))


def brier(probabilities: Probabilities, labels: Labels, weights: ImageWeights | None = None) -> float:
    """Mean squared distance from the one-hot truth, summed over the classes: 0 to 2 (Brier 1950)."""
    classes = list(range(probabilities.shape[1]))
    return float(brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False, sample_weight=weights))


CALIBRATION: dict[str, Callable[[Probabilities, Labels, ImageWeights | None], float]] = {
    "nll": negative_log_likelihood,
    "brier": brier,
    "ece": expected_calibration_error,
}
"""Figures that compare probabilities with how often they come true. They mean something only on images with the class
frequencies that the probabilities assume; :func:`training.evaluation.label_shift.importance` gives the weights."""

METRICS: dict[str, Callable[[Probabilities, Labels], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_auc": macro_auc,
    "quadratic_kappa": quadratic_kappa,
    "macro_f1": macro_f1,
    "mcc": mcc,
    "nll": negative_log_likelihood,
    "brier": brier,
    "ece": expected_calibration_error,
}


def figure_of(name: str, probabilities: Probabilities, labels: Labels, weights: ImageWeights) -> float:
    """The figure of this name; one of :data:`CALIBRATION` with the weights, any other of the images as they are."""
    if name in CALIBRATION:
        return CALIBRATION[name](probabilities, labels, weights)
    return METRICS[name](probabilities, labels)


def metric_of(task: str, name: str) -> Callable[[Probabilities, Labels], float]:
    """The figure of this name: of labels (N, K) where the task is multi-label, otherwise of labels (N,)."""
    return (multilabel.METRICS if task == "multi-label" else METRICS)[name]


def metrics_for(task: str) -> list[str]:
    """The figures that make sense for a task: kappa with quadratic weights only where classes are ordered."""
    if task == "multi-label":
        return list(multilabel.METRICS)
    return [name for name in METRICS if name != "quadratic_kappa" or task == "ordinal"]


def at_least(values: NDArray[np.float64], target: float) -> NDArray[np.bool_]:
    """Whether rates reach a target; 90 of 100 do reach .9, whatever the rounding."""
    return values >= target - 1e-9


def class_metrics(probabilities: Probabilities, labels: Labels) -> dict[str, NDArray[np.float64]]:
    """Figures of each class against the rest, (K,) each.

    ``sensitivity``, ``specificity`` and ``f1`` are of the most probable class. ``sensitivity_at_specificity_0.90`` is
    the largest sensitivity of any threshold on the class's probability that keeps a specificity of .90, and the other
    way round. The threshold is chosen on the same images, so on few images these are a little too good. A class without
    images, or with all of them, has NaN.
    """
    classes = range(probabilities.shape[1])
    table = multilabel_confusion_matrix(labels, probabilities.argmax(1), labels=classes).astype(np.float64)
    (tn, fp), (fn, tp) = table.transpose(1, 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        figures = {
            "auc": class_aucs(probabilities, labels),
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
        }
    precision = [average_precision_score(labels == k, probabilities[:, k]) for k in classes]
    figures["average_precision"] = np.array(precision)
    curves = [roc_curve(labels == k, probabilities[:, k], drop_intermediate=False)[:2] for k in classes]
    for target in FIXED_RATES:
        sensitivity = [recall[at_least(1 - false, target)].max() for false, recall in curves]
        specificity = [1 - false[at_least(recall, target)].min() for false, recall in curves]
        figures[f"sensitivity_at_specificity_{target:.2f}"] = np.array(sensitivity)
        figures[f"specificity_at_sensitivity_{target:.2f}"] = np.array(specificity)
    return figures


def confusion(probabilities: Probabilities, labels: Labels) -> list[list[int]]:
    """Counts by true class (rows) and most probable class (columns)."""
    classes = list(range(probabilities.shape[1]))
    rows: list[list[int]] = confusion_matrix(labels, probabilities.argmax(1), labels=classes).tolist()
    return rows


def reliability(
    probabilities: Probabilities, labels: Labels, weights: ImageWeights | None = None
) -> list[dict[str, float]]:
    """Mean confidence and accuracy, number of images and share of the weight in each of 15 equal bins of confidence.

    Empty bins are left out.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    weights = np.ones(len(labels)) if weights is None else weights
    place = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    inside = [place == each for each in np.unique(place[weights > 0])]
    return [
        {
            "confidence": float(np.average(confidence[own], weights=weights[own])),
            "accuracy": float(np.average(right[own], weights=weights[own])),
            "images": int(own.sum()),
            "share": float(weights[own].sum() / weights.sum()),
        }
        for own in inside
    ]
