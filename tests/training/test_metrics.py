"""Every figure against its formula written out naively, and what bootstrap intervals must do."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from training.metrics import METRICS, bootstrap_interval, confusion, metrics_for

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def sample(seed: int, images: int = 120, classes: int = 4) -> tuple[Array, Labels]:
    """Probabilities that know something of the labels; no class missing."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, images - classes)])
    scores = np.exp(random.normal(size=(images, classes)) + 1.2 * np.eye(classes)[labels])
    return scores / scores.sum(axis=1, keepdims=True), labels


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
        expected = 0.0 if name in ("nll", "ece") else 1.0
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

    def test_confusion_keeps_a_class_that_nobody_has(self) -> None:
        assert confusion(np.eye(3)[[0, 1, 1]], np.array([0, 0, 1])) == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]

    def test_kappa_belongs_to_ordered_classes_alone(self) -> None:
        assert set(metrics_for("ordinal")) - set(metrics_for("multi-class")) == {"quadratic_kappa"}
        assert set(metrics_for("ordinal")) == set(METRICS)


def hits(probabilities: Array, labels: Labels) -> float:
    """Accuracy, quick enough to be drawn many times."""
    return float((probabilities.argmax(1) == labels).mean())


def answers(right: NDArray[np.bool_]) -> tuple[Array, Labels]:
    """Two-class probabilities that are right where asked."""
    labels = np.arange(len(right)) % 2
    return np.eye(2)[np.where(right, labels, 1 - labels)], labels


class TestBootstrap:
    def test_agrees_with_the_normal_approximation(self) -> None:
        right = np.arange(500) % 10 < 7
        low, high = bootstrap_interval(hits, *answers(right), groups=[str(i) for i in range(500)])
        half = 1.96 * math.sqrt(0.7 * 0.3 / 500)
        assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.15 * half)

    def test_covers_the_truth_about_19_times_in_20(self) -> None:
        random = np.random.default_rng(0)
        covered = 0
        for _ in range(60):
            low, high = bootstrap_interval(
                hits, *answers(random.random(150) < 0.8), groups=[str(i) for i in range(150)], resamples=200
            )
            covered += low <= 0.8 <= high
        assert covered >= 51  # 57 expected; fewer than 51 has a chance of about 1 in 100

    def test_is_wider_where_images_of_a_patient_repeat(self) -> None:
        # 60 patients, 9 identical images each: the real sample size is 60, so the interval is 3 times as wide.
        right = (np.arange(60) % 4 > 0).repeat(9)
        labels = (np.arange(60) % 2).repeat(9)
        probabilities = np.eye(2)[np.where(right, labels, 1 - labels)]
        patients = [f"p{i}" for i in range(60) for _ in range(9)]
        narrow = bootstrap_interval(hits, probabilities, labels, [str(i) for i in range(540)])
        wide = bootstrap_interval(hits, probabilities, labels, patients)
        assert (wide[1] - wide[0]) / (narrow[1] - narrow[0]) == pytest.approx(3, rel=0.2)

    def test_draws_whole_patients_with_replacement(self) -> None:
        patients = ["b", "a", "c", "a", "b", "a", "d", "e"]
        probabilities = np.stack([np.arange(8.0), np.zeros(8)], axis=1)  # the first column tells the row
        seen: list[list[int]] = []

        def spy(drawn: Array, _: Labels) -> float:
            seen.append([int(row) for row in drawn[:, 0]])
            return 0.0

        bootstrap_interval(spy, probabilities, np.zeros(8, dtype=np.int64), patients, resamples=50)
        assert len(seen) >= 50
        for rows in seen:
            times = [rows.count(row) for row in range(8)]
            assert times[1] == times[3] == times[5]
            assert times[0] == times[4]
            assert times[0] + times[1] + times[2] + times[6] + times[7] == 5
        assert len({tuple(sorted(rows)) for rows in seen}) > 20

    def test_is_the_same_for_the_same_seed_alone(self) -> None:
        probabilities, labels = sample(0)
        groups = [str(i // 2) for i in range(len(labels))]

        def interval(seed: int) -> tuple[float, float]:
            return bootstrap_interval(naive_nll, probabilities, labels, groups, resamples=60, seed=seed)

        assert interval(3) == interval(3)
        assert interval(3) != interval(4)

    def test_draws_again_where_a_class_is_missing(self) -> None:
        probabilities, labels = sample(0, images=30)
        labels = np.where(labels == 3, 0, labels)
        labels[0] = 3  # one image: missing from about a third of all draws
        missing = []

        def spy(drawn: Array, of: Labels) -> float:
            missing.append(set(range(4)) - set(of.tolist()))
            return METRICS["macro_auc"](drawn, of)

        low, high = bootstrap_interval(spy, probabilities, labels, [str(i) for i in range(30)], resamples=100)
        assert len(missing) == 100
        assert set().union(*missing) == set()
        assert 0 <= low < high <= 1
