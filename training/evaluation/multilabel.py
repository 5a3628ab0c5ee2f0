"""Figures of a multi-label task: for each label, and the score of the ODIR-2019 challenge.

A label is predicted if its probability is above 1/2.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import cohen_kappa_score, f1_score, multilabel_confusion_matrix

from training.evaluation.label_shift import ImageWeights

Probabilities = NDArray[np.float64]
"""(N, K), each label's own"""
Labels = NDArray[np.int64]
"""(N, K), 0 or 1"""

THRESHOLD = 0.5
ECE_BINS = 15
METHOD = "95 % percentile bootstrap over {unit}, {resamples} resamples"
MOST_DRAWS = 20
"""Limit of draws per resample. Above it a split is too small for intervals."""


def label_aucs(probabilities: Probabilities, labels: Labels) -> NDArray[np.float64]:
    """Area under the ROC curve of each label, (K,), by ranks."""
    count = labels.sum(axis=0)
    ranks = (rankdata(probabilities, axis=0) * labels).sum(axis=0)
    return np.asarray((ranks - count * (count + 1) / 2) / (count * (len(labels) - count)))


def macro_auc(probabilities: Probabilities, labels: Labels) -> float:
    """Mean of the labels' areas under the ROC curve."""
    return float(label_aucs(probabilities, labels).mean())


def macro_f1(probabilities: Probabilities, labels: Labels) -> float:
    return float(f1_score(labels, probabilities > THRESHOLD, average="macro", zero_division=0))


def odir_kappa(probabilities: Probabilities, labels: Labels) -> float:
    """Cohen's kappa over all decisions, each image's on each label, as one list: the challenge's first part."""
    return float(cohen_kappa_score(labels.ravel(), probabilities.ravel() > THRESHOLD))


def odir_f1(probabilities: Probabilities, labels: Labels) -> float:
    """The challenge's second part. It is called F1 there, and averages micro over "has it" and "has it not" alike, so
    its value is the part of all decisions that are right."""
    return float(((probabilities > THRESHOLD) == labels).mean())


def odir_auc(probabilities: Probabilities, labels: Labels) -> float:
    """Area under one ROC curve of all decisions together: the challenge's third part."""
    return macro_auc(probabilities.reshape(-1, 1), labels.reshape(-1, 1))


def odir_score(probabilities: Probabilities, labels: Labels) -> float:
    """The ODIR-2019 challenge's final score: the mean of its kappa, F1 and AUC, as its released evaluation computes."""
    return (odir_kappa(probabilities, labels) + odir_f1(probabilities, labels) + odir_auc(probabilities, labels)) / 3


def negative_log_likelihood(probabilities: Probabilities, labels: Labels) -> float:
    """Mean over images and labels."""
    given = np.where(labels == 1, probabilities, 1 - probabilities)
    return float(-np.log(np.clip(given, np.finfo(np.float64).eps, None)).mean())


def expected_calibration_error(
    probabilities: Probabilities, labels: Labels, weights: ImageWeights | None = None
) -> float:
    """Mean gap between a label's probability and how often it is true, over 15 equal bins of all images and labels."""
    gap = probabilities - labels
    gap = (gap if weights is None else gap * weights / weights.mean()).ravel()
    place = np.minimum((probabilities.ravel() * ECE_BINS).astype(int), ECE_BINS - 1)
    return float(np.abs(np.bincount(place, gap)).sum() / len(gap))


METRICS: dict[str, Callable[[Probabilities, Labels], float]] = {
    "macro_auc": macro_auc,
    "macro_f1": macro_f1,
    "odir_kappa": odir_kappa,
    "odir_f1": odir_f1,
    "odir_auc": odir_auc,
    "odir_score": odir_score,
    "nll": negative_log_likelihood,
    "ece": expected_calibration_error,
}


def measure(
    probabilities: Probabilities, labels: Labels, groups: Sequence[str], names: Sequence[str], *, resamples: int
) -> dict[str, Any]:
    """All figures with intervals by image. Also by patient, if all images of a patient have the same labels.

    The probability of a patient is the mean over the images of the patient, as in the challenge.
    """
    table = multilabel_confusion_matrix(labels, probabilities > THRESHOLD)
    (tn, fp), (fn, tp) = table.transpose(1, 2, 0)
    values = {name: metric(probabilities, labels) for name, metric in METRICS.items()}
    by_patient = len(set(groups)) < len(groups)
    drawn = intervals(probabilities, labels, groups, resamples=resamples)
    unit = "patients" if by_patient else "images"
    report: dict[str, Any] = {
        "interval_method": METHOD.format(unit=unit, resamples=resamples)
        if drawn
        else "no intervals: a label is too rare",
        "metrics": {name: {"value": value, "interval": drawn.get(name)} for name, value in values.items()},
        "class_auc": dict(zip(names, label_aucs(probabilities, labels).tolist(), strict=True)),
        "confusion_by_label": {
            name: {"true_positive": int(a), "false_positive": int(b), "false_negative": int(c), "true_negative": int(d)}
            for name, a, b, c, d in zip(names, tp, fp, fn, tn, strict=True)
        },
    }
    together = of_patients(probabilities, labels, groups) if by_patient else None
    if together is not None:
        of, truth, patients = together
        drawn = intervals(of, truth, patients, resamples=resamples)
        report["patient_metrics"] = {
            name: {"value": metric(of, truth), "interval": drawn.get(name)} for name, metric in METRICS.items()
        }
    return report


def of_patients(
    probabilities: Probabilities, labels: Labels, groups: Sequence[str]
) -> tuple[Probabilities, Labels, list[str]] | None:
    """Mean probabilities and labels of each patient. None if the images of a patient differ in their labels."""
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    rows = list(members.values())
    if any((labels[own] != labels[own[0]]).any() for own in rows):
        return None
    return np.stack([probabilities[own].mean(axis=0) for own in rows]), labels[[own[0] for own in rows]], list(members)


def intervals(
    probabilities: Probabilities, labels: Labels, groups: Sequence[str], *, resamples: int, seed: int = 0
) -> dict[str, list[float]]:
    """95 % percentile interval of each figure when whole groups (patients) are drawn with replacement.

    If a label is on no image or on all images of a resample, the resample is drawn again, since AUC has no value. Empty
    if nearly all resamples are like that.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(group_of == group) for group in range(group_of.max() + 1)]
    random = np.random.default_rng(seed)
    values: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(MOST_DRAWS * resamples):
        chosen = np.concatenate([members[group] for group in random.integers(len(members), size=len(members))])
        count = labels[chosen].sum(axis=0)
        if (count > 0).all() and (count < len(chosen)).all():
            for name, metric in METRICS.items():
                values[name].append(metric(probabilities[chosen], labels[chosen]))
            if len(values["nll"]) == resamples:
                return {name: np.percentile(drawn, [2.5, 97.5]).tolist() for name, drawn in values.items()}
    return {}
