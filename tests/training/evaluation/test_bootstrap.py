"""Resamples against scikit-learn on the drawn images, and what patient-clustered intervals must do."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.evaluation.samples import Array, Labels, sample
from training.evaluation.bootstrap import figures, interval, resample
from training.evaluation.metrics import METRICS, class_metrics


def ids(count: int) -> list[str]:
    return [str(index) for index in range(count)]


def answers(right: NDArray[np.bool_]) -> tuple[Array, Labels]:
    """Two-class probabilities that are right where asked."""
    labels = np.arange(len(right)) % 2
    return np.eye(2)[np.where(right, labels, 1 - labels)], labels


def accuracy_interval(probabilities: Array, labels: Labels, groups: list[str], resamples: int = 1000) -> list[float]:
    weights = resample(groups, labels, resamples=resamples)
    assert weights is not None
    bounds = interval(figures(probabilities, labels, weights)["accuracy"])
    assert bounds is not None
    return bounds


class TestFigures:
    @pytest.mark.parametrize("digits", [2, 9], ids=["with ties", "without"])
    def test_equal_those_of_the_drawn_images(self, digits: int) -> None:
        probabilities, labels = sample(0, images=90)
        probabilities = probabilities.round(digits) + 1e-3
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        weights = resample([str(index // 3) for index in range(90)], labels, resamples=4)
        assert weights is not None
        found = figures(probabilities, labels, weights)
        assert found.keys() == METRICS.keys() | class_metrics(probabilities, labels).keys()
        for row, times in enumerate(weights.astype(int)):
            drawn = np.repeat(np.arange(90), times)
            for name, metric in METRICS.items():
                expected = metric(probabilities[drawn], labels[drawn])
                assert found[name][row] == pytest.approx(expected, abs=1e-6), name  # torchmetrics' ECE is float32
            for name, values in class_metrics(probabilities[drawn], labels[drawn]).items():
                np.testing.assert_allclose(found[name][row], values, atol=1e-9, err_msg=name)

    def test_where_a_class_is_never_predicted(self) -> None:
        probabilities, labels = sample(5, images=60)
        probabilities[:, 2] = 1e-3
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        found = figures(probabilities, labels, np.ones((1, 60)))
        for name, metric in METRICS.items():
            assert found[name][0] == pytest.approx(metric(probabilities, labels), abs=1e-6), name

    def test_do_not_depend_on_how_many_are_worked_on_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        probabilities, labels = sample(1)
        weights = resample(ids(120), labels, resamples=7)
        assert weights is not None
        whole = figures(probabilities, labels, weights)
        monkeypatch.setattr("training.evaluation.bootstrap.CHUNK", 250)
        for name, values in figures(probabilities, labels, weights).items():
            np.testing.assert_allclose(values, whole[name], rtol=1e-12)


class TestResamples:
    def test_draw_whole_patients_with_replacement(self) -> None:
        patients = ["b", "a", "c", "a", "b", "a", "d", "e"]
        weights = resample(patients, np.zeros(8, dtype=np.int64), resamples=50)
        assert weights is not None
        assert weights.shape == (50, 8)
        assert (weights[:, 1] == weights[:, 3]).all()
        assert (weights[:, 3] == weights[:, 5]).all()
        assert (weights[:, 0] == weights[:, 4]).all()
        assert (weights[:, [0, 1, 2, 6, 7]].sum(axis=1) == 5).all()
        assert len({tuple(row) for row in weights.tolist()}) > 20

    def test_are_the_same_for_the_same_seed_alone(self) -> None:
        labels = np.arange(60) % 3
        first, again, other = (resample(ids(60), labels, resamples=20, seed=seed) for seed in (3, 3, 4))
        assert first is not None
        assert again is not None
        assert other is not None
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_are_drawn_again_where_a_class_is_missing(self) -> None:
        labels = np.arange(30) % 3
        labels[0] = 3  # one image: missing from about a third of all draws
        weights = resample(ids(30), labels, resamples=100)
        assert weights is not None
        assert (weights[:, 0] >= 1).all()

    def test_are_none_if_hardly_any_resample_has_every_class(self) -> None:
        labels = np.arange(40)  # each class is one image: complete in 40! / 40^40 of the draws
        assert resample(ids(40), labels, resamples=10) is None


class TestInterval:
    def test_agrees_with_the_normal_approximation(self) -> None:
        low, high = accuracy_interval(*answers(np.arange(500) % 10 < 7), ids(500))
        half = 1.96 * math.sqrt(0.7 * 0.3 / 500)
        assert (low, high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.15 * half)

    def test_covers_the_truth_about_19_times_in_20(self) -> None:
        random = np.random.default_rng(0)
        covered = 0
        for _ in range(60):
            low, high = accuracy_interval(*answers(random.random(150) < 0.8), ids(150), resamples=200)
            covered += low <= 0.8 <= high
        assert covered >= 51  # 57 expected; fewer than 51 has a chance of about 1 in 100

    def test_is_wider_where_images_of_a_patient_repeat(self) -> None:
        # 60 patients, 9 identical images each: the real sample size is 60, so the interval is 3 times as wide.
        right = (np.arange(60) % 4 > 0).repeat(9)
        labels = (np.arange(60) % 2).repeat(9)
        probabilities = np.eye(2)[np.where(right, labels, 1 - labels)]
        narrow = accuracy_interval(probabilities, labels, ids(540))
        wide = accuracy_interval(probabilities, labels, [f"p{i}" for i in range(60) for _ in range(9)])
        assert (wide[1] - wide[0]) / (narrow[1] - narrow[0]) == pytest.approx(3, rel=0.2)

    def test_is_none_without_values(self) -> None:
        assert interval(np.array([0.1, np.nan])) is None
