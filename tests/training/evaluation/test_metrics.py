"""Every figure against its formula written out naively; those at fixed rates against torchmetrics too."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    binary_sensitivity_at_specificity,
    binary_specificity_at_sensitivity,
    multiclass_calibration_error,
)

from tests.training.evaluation.samples import Array, Labels, sample
from training.evaluation.metrics import (
    CALIBRATION,
    FIXED_RATES,
    METRICS,
    class_metrics,
    confusion,
    figure_of,
    metrics_for,
    reliability,
)


def table(probabilities: Array, labels: Labels) -> Array:
    """Counts by true class and by predicted class."""
    counts = np.zeros((probabilities.shape[1],) * 2)
    for row, label in zip(probabilities, labels, strict=True):
        counts[label, list(row).index(max(row))] += 1
    return counts


def naive_accuracy(probabilities: Array, labels: Labels) -> float:
    return float(np.trace(table(probabilities, labels)) / len(labels))


def naive_balanced_accuracy(probabilities: Array, labels: Labels) -> float:
    counts = table(probabilities, labels)
    return float(np.mean([counts[k, k] / counts[k].sum() for k in range(len(counts))]))


def naive_macro_auc(probabilities: Array, labels: Labels) -> float:
    """The part of (image of the class, other image) pairs in the right order; a tie is half."""
    areas = []
    for k in range(probabilities.shape[1]):
        inside, outside = probabilities[labels == k, k], probabilities[labels != k, k]
        wins = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in inside for b in outside)
        areas.append(wins / (len(inside) * len(outside)))
    return sum(areas) / len(areas)


def naive_quadratic_kappa(probabilities: Array, labels: Labels) -> float:
    """Cohen 1968: 1 - sum(w * observed) / sum(w * expected), w the squared distance of the grades."""
    observed = table(probabilities, labels)
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    weights = np.subtract.outer(np.arange(len(observed)), np.arange(len(observed))) ** 2
    return float(1 - (weights * observed).sum() / (weights * expected).sum())


def naive_macro_f1(probabilities: Array, labels: Labels) -> float:
    counts = table(probabilities, labels)
    scores = []
    for k in range(len(counts)):
        wrong = counts[k].sum() + counts[:, k].sum() - 2 * counts[k, k]
        scores.append(2 * counts[k, k] / (2 * counts[k, k] + wrong))
    return float(np.mean(scores))


def naive_mcc(probabilities: Array, labels: Labels) -> float:
    """Gorodkin 2004: the correlation of the one-hot matrices of truth and prediction."""
    truth, guess = np.eye(probabilities.shape[1])[labels], np.eye(probabilities.shape[1])[probabilities.argmax(1)]
    truth, guess = truth - truth.mean(axis=0), guess - guess.mean(axis=0)
    return float((truth * guess).sum() / math.sqrt((truth**2).sum() * (guess**2).sum()))


def naive_nll(probabilities: Array, labels: Labels) -> float:
    return -sum(math.log(row[label]) for row, label in zip(probabilities, labels, strict=True)) / len(labels)


def naive_brier(probabilities: Array, labels: Labels) -> float:
    """Brier 1950, equation 2: squared differences from the one-hot truth, summed over classes."""
    return sum(
        sum((value - (k == label)) ** 2 for k, value in enumerate(row))
        for row, label in zip(probabilities.tolist(), labels, strict=True)
    ) / len(labels)


def naive_ece(probabilities: Array, labels: Labels) -> float:
    """Guo et al. 2017, equation 3, with 15 bins of equal width; the last bin includes a confidence of 1."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for row, label in zip(probabilities, labels, strict=True):
        confidence = float(max(row))
        bins.setdefault(min(int(confidence * 15), 14), []).append((confidence, int(row.argmax()) == label))
    return sum(
        abs(sum(confidence for confidence, _ in members) - sum(right for _, right in members)) / len(labels)
        for members in bins.values()
    )


NAIVE: dict[str, Callable[[Array, Labels], float]] = {
    "accuracy": naive_accuracy,
    "balanced_accuracy": naive_balanced_accuracy,
    "macro_auc": naive_macro_auc,
    "quadratic_kappa": naive_quadratic_kappa,
    "macro_f1": naive_macro_f1,
    "mcc": naive_mcc,
    "nll": naive_nll,
    "brier": naive_brier,
    "ece": naive_ece,
}


class TestFigures:
    def test_all_have_a_naive_formula_here(self) -> None:
        assert NAIVE.keys() == METRICS.keys()

    @pytest.mark.parametrize("name", NAIVE)
    @pytest.mark.parametrize("seed", range(3))
    def test_equal_the_naive_formula(self, name: str, seed: int) -> None:
        probabilities, labels = sample(seed)
        assert METRICS[name](probabilities, labels) == pytest.approx(NAIVE[name](probabilities, labels), abs=1e-6)

    @pytest.mark.parametrize("name", NAIVE)
    def test_where_a_class_is_never_predicted(self, name: str) -> None:
        probabilities, labels = sample(5)
        probabilities[:, 2] = 1e-3
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        assert 2 not in probabilities.argmax(axis=1)
        assert METRICS[name](probabilities, labels) == pytest.approx(NAIVE[name](probabilities, labels), abs=1e-6)

    @pytest.mark.parametrize("name", ["macro_auc"])
    def test_with_ties(self, name: str) -> None:
        probabilities, labels = sample(3)
        probabilities = (probabilities * 10).round() / 10
        assert METRICS[name](probabilities, labels) == pytest.approx(NAIVE[name](probabilities, labels), abs=1e-6)

    @pytest.mark.parametrize("name", NAIVE)
    def test_of_a_perfect_classifier(self, name: str) -> None:
        labels = np.arange(40) % 4
        expected = 0.0 if name in ("nll", "brier", "ece") else 1.0
        assert METRICS[name](np.eye(4)[labels], labels) == pytest.approx(expected, abs=1e-6)

    def test_calibration_error_counts_full_confidence_in_the_last_bin(self) -> None:
        # Confidences 1 (wrong) and 0.95 (right) share the bin from 14/15 to 1: |(1.95 - 1) / 2|.
        probabilities, labels = np.array([[1.0, 0.0], [0.95, 0.05]]), np.array([1, 0])
        assert METRICS["ece"](probabilities, labels) == pytest.approx(0.475, abs=1e-6)

    def test_confusion_has_true_classes_in_rows(self) -> None:
        probabilities, labels = sample(0)
        counts = table(probabilities, labels)
        assert not (counts == counts.T).all()
        assert confusion(probabilities, labels) == counts.tolist()

    def test_confusion_keeps_a_class_without_images(self) -> None:
        assert confusion(np.eye(3)[[0, 1, 1]], np.array([0, 0, 1])) == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]

    def test_kappa_belongs_to_ordered_classes_alone(self) -> None:
        assert set(metrics_for("ordinal")) - set(metrics_for("multi-class")) == {"quadratic_kappa"}
        assert set(metrics_for("ordinal")) == set(METRICS)


class TestWeights:
    """A weight of n is the image n times: of figures that know no weights, n rows."""

    @pytest.mark.parametrize("name", CALIBRATION)
    def test_count_as_repeated_images(self, name: str) -> None:
        probabilities, labels = sample(7)
        times = np.arange(120) % 4
        rows = np.repeat(np.arange(120), times)
        expected = NAIVE[name](probabilities[rows], labels[rows])
        assert CALIBRATION[name](probabilities, labels, times.astype(float)) == pytest.approx(expected)

    def test_calibration_error_is_torchmetrics(self) -> None:
        probabilities, labels = sample(8)
        times = 1 + np.arange(120) % 3
        given, truth = (torch.from_numpy(np.repeat(each, times, axis=0)) for each in (probabilities, labels))
        expected = float(multiclass_calibration_error(given, truth, num_classes=4, n_bins=15))
        found = CALIBRATION["ece"](probabilities, labels, times.astype(float))
        assert found == pytest.approx(expected, abs=1e-6)  # float32

    def test_do_not_touch_figures_of_the_images_as_they_are(self) -> None:
        probabilities, labels = sample(9)
        weights = np.linspace(0.1, 3, 120)
        assert figure_of("accuracy", probabilities, labels, weights) == METRICS["accuracy"](probabilities, labels)
        assert figure_of("brier", probabilities, labels, weights) != METRICS["brier"](probabilities, labels)


class TestClassFigures:
    @pytest.mark.parametrize("seed", range(3))
    def test_of_the_most_probable_class_are_counts(self, seed: int) -> None:
        probabilities, labels = sample(seed)
        counts, figures = table(probabilities, labels), class_metrics(probabilities, labels)
        for k in range(4):
            hit, has, said = counts[k, k], counts[k].sum(), counts[:, k].sum()
            assert figures["sensitivity"][k] == pytest.approx(hit / has)
            assert figures["specificity"][k] == pytest.approx((len(labels) - has - said + hit) / (len(labels) - has))
            assert figures["f1"][k] == pytest.approx(2 * hit / (has + said))
        assert figures["auc"].mean() == pytest.approx(naive_macro_auc(probabilities, labels))

    @pytest.mark.parametrize("digits", [1, 6], ids=["with ties", "without"])
    def test_at_a_fixed_rate_are_the_best_of_all_thresholds(self, digits: int) -> None:
        probabilities, labels = sample(4)
        probabilities = probabilities.round(digits)
        figures = class_metrics(probabilities, labels)
        for k in range(4):
            score, positive = probabilities[:, k], labels == k
            points = [
                ((score[positive] >= cut).mean(), (score[~positive] < cut).mean()) for cut in [*np.unique(score), 2.0]
            ]
            for rate in FIXED_RATES:
                sensitivity = max(sens for sens, spec in points if spec >= rate - 1e-12)
                specificity = max(spec for sens, spec in points if sens >= rate - 1e-12)
                assert figures[f"sensitivity_at_specificity_{rate:.2f}"][k] == pytest.approx(sensitivity)
                assert figures[f"specificity_at_sensitivity_{rate:.2f}"][k] == pytest.approx(specificity)

    def test_at_a_fixed_rate_equal_torchmetrics(self) -> None:
        probabilities, labels = sample(6)
        figures = class_metrics(probabilities, labels)
        for k in range(4):
            score, positive = torch.from_numpy(probabilities[:, k]), torch.from_numpy((labels == k).astype(np.int64))
            sensitivity, _ = binary_sensitivity_at_specificity(score, positive, 0.9)
            specificity, _ = binary_specificity_at_sensitivity(score, positive, 0.9)
            assert figures["sensitivity_at_specificity_0.90"][k] == pytest.approx(float(sensitivity), abs=1e-6)
            assert figures["specificity_at_sensitivity_0.90"][k] == pytest.approx(float(specificity), abs=1e-6)

    def test_a_rate_that_is_just_reached_counts(self) -> None:
        # 9 of 10 healthy images are below the only ill one: a specificity of .9, whatever 1 - 1/10 rounds to.
        ill = np.append(np.linspace(0.1, 0.8, 9), [0.95, 0.9])
        figures = class_metrics(np.stack([1 - ill, ill], axis=1), np.array([0] * 10 + [1]))
        assert figures["sensitivity_at_specificity_0.90"][1] == 1
        assert figures["sensitivity_at_specificity_0.95"][1] == 0
        assert figures["specificity_at_sensitivity_0.95"][1] == pytest.approx(0.9)


def test_reliability_bins_hold_the_calibration_error() -> None:
    """Guo et al. 2017: the error is the gap between accuracy and confidence, weighted by images."""
    probabilities, labels = sample(3)
    bins = reliability(probabilities, labels)
    assert sum(each["images"] for each in bins) == len(labels)
    right = sum(each["accuracy"] * each["images"] for each in bins)
    assert right == pytest.approx(np.trace(table(probabilities, labels)))
    assert [each["share"] for each in bins] == pytest.approx([each["images"] / len(labels) for each in bins])
    gaps = sum(each["images"] * abs(each["accuracy"] - each["confidence"]) for each in bins)
    assert gaps / len(labels) == pytest.approx(METRICS["ece"](probabilities, labels), abs=1e-6)
