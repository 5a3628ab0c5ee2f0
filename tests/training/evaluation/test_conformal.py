"""Prediction sets: the quantile by hand, coverage by simulation, and what the card says of them."""

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from models.card import Conformal, MeasuredCoverage
from tests.training.run_folder import change_recipe, predictions
from training.evaluation.conformal import PredictionSets, lac_thresholds, measure_sets
from training.evaluation.evaluate import evaluate
from training.run import Run

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
PRIOR = np.array([0.6, 0.3, 0.1])
EVEN = np.ones(3)


def draw(random: np.random.Generator, images: int, prior: Array, group: int = 1) -> tuple[Array, Labels, list[str]]:
    """Probabilities that assume PRIOR, of images whose classes have another; ``group`` like images a patient."""
    labels = random.choice(3, images // group, p=prior).repeat(group)
    evidence = random.normal(0, 1, (images // group, 3)).repeat(group, axis=0) + random.normal(0, 0.2, (images, 3))
    logits = evidence + 1.5 * np.eye(3)[labels] + np.log(PRIOR)
    return softmax(1.5 * logits, axis=1), labels, [str(index // group) for index in range(images)]


def covered(thresholds: Array, probabilities: Array, labels: Labels) -> float:
    """Without the rule that the most probable label is in: the guarantee is the quantile's own."""
    rows = np.arange(len(labels))
    return float((probabilities[rows, labels] >= thresholds[labels]).mean())


class TestThresholds:
    @pytest.mark.parametrize("images", [9, 20, 37, 100, 101])
    @pytest.mark.parametrize("coverage", [0.8, 0.9])
    def test_are_the_finite_sample_quantile(self, images: int, coverage: float) -> None:
        # Vovk: the ceil((n + 1) * coverage)-th smallest score, here 1 - probability of the true label.
        probabilities, labels, groups = draw(np.random.default_rng(images), images, PRIOR)
        found = lac_thresholds(probabilities, labels, groups, coverage=coverage, class_weight=EVEN)
        scores = sorted(1 - row[label] for row, label in zip(probabilities, labels, strict=True))
        np.testing.assert_allclose(found, 1 - scores[math.ceil(round((images + 1) * coverage, 9)) - 1])

    def test_keep_the_image_at_the_threshold_in_its_own_set(self) -> None:
        # Of 9 images 90 % need the lowest, 0.3; 1 - (1 - 0.3) would be a rounding step above it.
        given = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3])
        probabilities = np.stack([given, (1 - given) / 2, (1 - given) / 2], axis=1)
        labels, groups = np.zeros(9, dtype=np.int64), [str(image) for image in range(9)]
        found = lac_thresholds(probabilities, labels, groups, coverage=0.9, class_weight=EVEN)
        np.testing.assert_array_equal(found, 0.3)
        assert covered(found, probabilities, labels) == 1

    def test_let_every_label_in_where_there_are_too_few_images(self) -> None:
        probabilities, labels, groups = draw(np.random.default_rng(0), 8, PRIOR)  # 90 % need 9
        found = lac_thresholds(probabilities, labels, groups, coverage=0.9, class_weight=EVEN)
        np.testing.assert_array_equal(found, 0)

    def test_of_repeated_images_are_those_of_the_patients(self) -> None:
        probabilities, labels, groups = draw(np.random.default_rng(0), 40, PRIOR)
        once = lac_thresholds(probabilities, labels, groups, coverage=0.9, class_weight=EVEN)
        times = np.arange(40) % 5 + 1
        again = lac_thresholds(
            probabilities.repeat(times, axis=0),
            labels.repeat(times),
            np.repeat(groups, times).tolist(),
            coverage=0.9,
            class_weight=EVEN,
        )
        np.testing.assert_allclose(once, again)

    def test_of_a_class_that_will_be_rarer_stay_close(self) -> None:
        probabilities, labels, groups = draw(np.random.default_rng(0), 300, PRIOR)
        weight = np.array([0.1, 0.3, 0.6]) / (np.bincount(labels) / 300)
        found = lac_thresholds(probabilities, labels, groups, coverage=0.9, class_weight=weight)
        plain = lac_thresholds(probabilities, labels, groups, coverage=0.9, class_weight=EVEN)
        assert (found < plain).all()  # the class that is hardest here will be common


class TestCoverage:
    """Over many validation splits, of new images: the guarantee, by simulation."""

    def mean_coverage(
        self, new_prior: Array, weight: Array | None, *, images: int = 60, group: int = 1, rounds: int = 400
    ) -> float:
        random = np.random.default_rng(0)
        new, truth, _ = draw(random, 20_000, new_prior)
        values = []
        for _ in range(rounds):
            probabilities, labels, groups = draw(random, images, PRIOR, group)
            by_class = EVEN if weight is None else weight
            found = lac_thresholds(probabilities, labels, groups, coverage=0.9, class_weight=by_class)
            values.append(covered(found, new, truth))
        return float(np.mean(values))

    def test_is_what_was_asked_for(self) -> None:
        # 55 of 61 ranks: .9016 exactly, for continuous scores.
        assert self.mean_coverage(PRIOR, None) == pytest.approx(55 / 61, abs=0.006)

    def test_holds_where_images_of_a_patient_repeat(self) -> None:
        # 20 patients of 3 near-identical images: 19 of 21 ranks, not the 55 of 61 of independent images.
        assert self.mean_coverage(PRIOR, None, group=3) == pytest.approx(19 / 21, abs=0.015)

    def test_is_lost_when_the_classes_change_and_kept_by_weights(self) -> None:
        other = np.array([0.1, 0.3, 0.6])
        assert self.mean_coverage(other, None) < 0.8
        # A weight of 6 for the rare class is coarse, so the coverage is above what was asked for, and nears it.
        assert 0.9 < self.mean_coverage(other, other / PRIOR) < 0.96
        assert self.mean_coverage(other, other / PRIOR, images=1000, rounds=100) == pytest.approx(0.903, abs=0.01)


@pytest.fixture
def sets() -> PredictionSets:
    return PredictionSets(0.9, np.array([0.3, 0.3, 0.1]), "validation split, 9 images", "On average.")


ROWS = np.array([[0.6, 0.35, 0.05], [0.2, 0.25, 0.55], [0.9, 0.05, 0.05], [0.29, 0.28, 0.43]])


class TestSets:
    def test_hold_what_reaches_its_threshold_and_the_top(self, sets: PredictionSets) -> None:
        expected = [[True, True, False], [False, False, True], [True, False, False], [False, False, True]]
        np.testing.assert_array_equal(sets(ROWS), expected)
        high = sets._replace(thresholds=np.full(3, 0.95))
        np.testing.assert_array_equal(high(ROWS).sum(axis=1), 1)
        np.testing.assert_array_equal(high(ROWS).argmax(axis=1), ROWS.argmax(axis=1))

    def test_are_those_of_the_card(self, sets: PredictionSets) -> None:
        random = np.random.default_rng(0)
        measured = {"data": "x", "split": "test", "images": 1, "coverage": 1.0, "interval": None}
        card = Conformal(
            method="lac",
            coverage=0.9,
            thresholds=sets.thresholds.tolist(),
            calibrated_on="x",
            guarantee="x",
            measured=MeasuredCoverage(**measured, by_label={}, mean_set_size=1),
        )
        for row in random.dirichlet(EVEN, 200):
            members = card.members(row.tolist())
            assert sorted(members) == np.flatnonzero(sets(row[None])[0]).tolist()
            assert members == sorted(members, key=lambda label: -row[label])

    def test_measured_by_counting(self, sets: PredictionSets) -> None:
        labels, names = np.array([0, 1, 0, 2]), ["a", "b", "c"]
        weights = np.array([[1.0, 1, 1, 1], [2, 1, 0, 1], [1, 2, 0, 1]])
        found: dict[str, Any] = measure_sets(sets, ROWS, labels, names, np.array([0.5, 0.25, 0.25]), weights)
        assert found["coverage"]["value"] == 0.75
        assert found["coverage"]["interval"] == pytest.approx(np.percentile([0.75, 0.75, 0.5], [2.5, 97.5]).tolist())
        assert {name: row["value"] for name, row in found["class_coverage"].items()} == {"a": 1, "b": 0, "c": 1}
        assert {name: row["images"] for name, row in found["class_coverage"].items()} == {"a": 2, "b": 1, "c": 1}
        assert found["coverage_at_target_prior"] == 0.75
        assert found["mean_set_size"]["value"] == 1.25
        assert found["set_sizes"] == {"1": 3, "2": 1}
        assert found["thresholds"] == {"a": 0.3, "b": 0.3, "c": 0.1}


class TestPredictionSets:
    @pytest.mark.parametrize("split", ["val", "test"])
    def test_are_measured_on_the_split(self, finished: Run, split: str) -> None:
        # The plain quantile of the validation scores, from the predictions file alone: 55 of 61 ranks.
        _, validation, truth = predictions(finished, "val")
        threshold = 1 - np.sort(1 - validation[np.arange(60), truth])[54]
        _, probabilities, labels = predictions(finished, split)
        members = probabilities >= threshold - 1e-6
        members[np.arange(len(labels)), probabilities.argmax(axis=1)] = True
        found = finished.metrics()[split].conformal
        assert found is not None
        assert list(found.thresholds.values()) == pytest.approx([threshold] * 5, abs=1e-5)
        assert found.coverage.value == pytest.approx(members[np.arange(len(labels)), labels].mean())
        assert found.mean_set_size.value == pytest.approx(members.sum(axis=1).mean())
        assert found.coverage.value > 0.8
        assert "60 images" in found.calibrated_on

    def test_follow_the_target_prior(self, run_copy: Run) -> None:
        change_recipe(run_copy, calibration={"target_prior": [0.05, 0.05, 0.1, 0.4, 0.4]})
        found = evaluate(run_copy, "val").conformal
        assert found is not None
        assert len(set(found.thresholds.values())) > 1  # a class that will be frequent weighs more in its own test
        assert found.coverage_at_target_prior >= 0.9
        assert "target prior" in found.guarantee

    def test_are_left_out_on_request(self, run_copy: Run) -> None:
        change_recipe(run_copy, calibration={"coverage": None})
        assert evaluate(run_copy, "val").conformal is None
        assert "conformal" not in json.loads(run_copy.metrics_path.read_text())["val"]

    def test_count_patients(self, by_patient: Run) -> None:
        found = evaluate(by_patient, "val").conformal
        assert found is not None
        assert "of 15 patients" in found.calibrated_on
        assert "of new patients" in found.guarantee
