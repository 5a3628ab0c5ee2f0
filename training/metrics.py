"""Figures of merit from probabilities and labels, with bootstrap intervals clustered by patient."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    log_loss,
    matthews_corrcoef,
)
from torchmetrics.functional.classification import multiclass_calibration_error

Probabilities = NDArray[np.float64]
"""(N, K), each row summing to 1"""
Labels = NDArray[np.int64]
"""(N,), from 0 to K-1"""

BOOTSTRAP_METHOD = "95 % percentile bootstrap over {unit}, {resamples} resamples"


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


def negative_log_likelihood(probabilities: Probabilities, labels: Labels) -> float:
    return float(log_loss(labels, probabilities, labels=list(range(probabilities.shape[1]))))


def expected_calibration_error(probabilities: Probabilities, labels: Labels) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, weighted by images (Guo et al., ICML 2017)."""
    below_one = torch.from_numpy(probabilities).clamp(max=1 - 1e-7)  # torchmetrics gives a confidence of 1 its own bin
    value = multiclass_calibration_error(
        below_one, torch.from_numpy(labels), num_classes=probabilities.shape[1], n_bins=15
    )
    return float(value)


METRICS: dict[str, Callable[[Probabilities, Labels], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_auc": macro_auc,
    "quadratic_kappa": quadratic_kappa,
    "macro_f1": macro_f1,
    "mcc": mcc,
    "nll": negative_log_likelihood,
    "ece": expected_calibration_error,
}


def metrics_for(task: str) -> list[str]:
    """The figures that make sense for a task: kappa with quadratic weights only where classes are ordered."""
    return [name for name in METRICS if name != "quadratic_kappa" or task == "ordinal"]


def bootstrap_interval(
    metric: Callable[[Probabilities, Labels], float],
    probabilities: Probabilities,
    labels: Labels,
    groups: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % percentile interval of a metric when whole groups (patients) are drawn with replacement.

    A resample that lacks a class is drawn again, since AUC has no value there.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(group_of == group) for group in range(group_of.max() + 1)]
    classes = len(np.unique(labels))
    random = np.random.default_rng(seed)
    values: list[float] = []
    while len(values) < resamples:
        chosen = np.concatenate([members[group] for group in random.integers(len(members), size=len(members))])
        if len(np.unique(labels[chosen])) == classes:
            values.append(metric(probabilities[chosen], labels[chosen]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def confusion(probabilities: Probabilities, labels: Labels) -> list[list[int]]:
    """Counts by true class (rows) and most probable class (columns)."""
    classes = list(range(probabilities.shape[1]))
    rows: list[list[int]] = confusion_matrix(labels, probabilities.argmax(1), labels=classes).tolist()
    return rows
