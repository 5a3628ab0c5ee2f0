"""Selective accuracy: against the definition over every order of equal scores, repeated images, and counting."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.run_folder import predictions
from training.evaluation.bootstrap import resample
from training.evaluation.evaluate import evaluate
from training.evaluation.kept import Evaluation
from training.evaluation.selective import COVERAGES, measure_selective, rank_among
from training.run import Run


def aurc_of(scores: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The definition: the mean over k of the risk among the k images with the lowest scores; quadratic in time."""
    wrong = ~right[np.argsort(scores, kind="stable")]
    return float(np.mean([wrong[:k].mean() for k in range(1, len(wrong) + 1)]))


def test_four_images_by_hand() -> None:
    scores, right = np.array([3.0, 1, 4, 2]), np.array([False, True, True, True])
    found = measure_selective({"any": scores}, right, None)["by"]["any"]
    # Risks 0, 0, 1/3 and 1/4 at one to four images.
    assert found["aurc"] == {"value": pytest.approx((1 / 3 + 1 / 4) / 4), "interval": None}
    values = {coverage: figure["value"] for coverage, figure in found["accuracy"].items()}
    expected = {"1.00": 3 / 4, "0.80": 1 - 1 / 3.2, "0.70": 1 - 0.8 / 2.8, "0.50": 1.0}
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_aurc_is_the_quadratic_definition_s() -> None:
    random = np.random.default_rng(0)
    scores, right = random.normal(size=150), random.random(150) < 0.7
    found = measure_selective({"any": scores}, right, None)["by"]["any"]
    assert found["aurc"]["value"] == pytest.approx(aurc_of(scores, right))


def test_equal_scores_count_as_the_mean_over_every_order() -> None:
    scores, right = np.array([0.0, 1, 1, 1, 2, 2]), np.array([True, False, True, True, False, True])
    found = measure_selective({"any": scores}, right, None)["by"]["any"]
    orders = [list(order) for order in itertools.permutations(range(6))]
    aurcs, at_half = [], []
    for order in orders:
        aurcs.append(aurc_of(scores[order], right[order]))
        at_half.append(right[order][np.argsort(scores[order], kind="stable")][:3].mean())
    assert found["aurc"]["value"] == pytest.approx(np.mean(aurcs))
    assert found["accuracy"]["0.50"]["value"] == pytest.approx(np.mean(at_half))


def test_intervals_are_those_of_repeated_images_of_drawn_patients() -> None:
    random = np.random.default_rng(1)
    scores, right = random.normal(size=40), random.random(40) < 0.7
    weights = resample([f"p{index // 2}" for index in range(40)], np.zeros(40, np.int64), resamples=30)
    assert weights is not None
    found = measure_selective({"any": scores}, right, weights)["by"]["any"]
    aurcs, full, half = [], [], []
    for row in weights.astype(int):
        again = np.repeat(np.arange(40), row)
        order = np.argsort(scores[again], kind="stable")  # a repeated image is as right as itself
        aurcs.append(aurc_of(scores[again], right[again]))
        full.append(right[again].mean())
        half.append(right[again][order][: len(again) // 2].mean())
    for figure, values in (
        (found["aurc"], aurcs),
        (found["accuracy"]["1.00"], full),
        (found["accuracy"]["0.50"], half),
    ):
        assert figure["interval"] == pytest.approx(np.percentile(values, [2.5, 97.5]).tolist())


def test_a_rank_is_the_part_of_the_validation_images_that_is_smaller() -> None:
    reference, scores = np.array([3.0, 1, 2, 2]), np.array([0.0, 1, 2, 2.5, 9])
    assert rank_among(reference, scores).tolist() == [0, 0, 0.25, 0.75, 1]


class TestOfARun:
    def test_everything_answered_is_the_plain_accuracy(self, finished: Run) -> None:
        for report in finished.metrics().values():
            assert report.selective is not None
            for curve in report.selective.by.values():
                assert [float(name) for name in curve.accuracy] == list(COVERAGES)
                assert curve.accuracy["1.00"].value == pytest.approx(report.metrics["accuracy"].value)
                assert curve.accuracy["1.00"].interval == pytest.approx(report.metrics["accuracy"].interval)

    def test_is_counted_from_the_predictions(self, finished: Run) -> None:
        report = finished.metrics()["test"]
        assert report.selective is not None
        rows, _, labels = predictions(finished, "test")
        evaluation = Evaluation.read(finished, "test")
        right = evaluation.probabilities.argmax(axis=1) == labels
        by = {
            "confidence": evaluation.probabilities.max(axis=1),
            "style_shift": -np.array([float(row["style_shift"]) for row in rows]),
        }
        for name, trusted in by.items():
            best = np.argsort(-trusted, kind="stable")[:64]  # 80 % of 80 images
            assert report.selective.by[name].accuracy["0.80"].value == pytest.approx(right[best].mean())
        assert 0 < report.selective.by["confidence"].aurc.value < 1

    def test_both_is_the_larger_rank_among_validation_images(self, finished: Run) -> None:
        validation, test = Evaluation.read(finished, "val"), Evaluation.read(finished, "test")
        assert validation.style_shift is not None
        assert test.style_shift is not None
        assert test.rejection_rank is not None
        for row in range(len(test.ids)):
            shift = np.mean([other < test.style_shift[row] for other in validation.style_shift])
            doubt = np.mean([max(other) > test.probabilities[row].max() for other in validation.probabilities])
            assert test.rejection_rank[row] == pytest.approx(max(shift, doubt))

    def test_without_resamples_has_no_intervals(self, run_copy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("training.evaluation.evaluate.resample", lambda *_, **__: None)
        report = evaluate(run_copy, "val")
        assert report.selective is not None
        assert report.style_shift is not None
        assert report.selective.by["both"].aurc.interval is None
        assert report.style_shift.false_alarm_rate.interval is None

    def test_an_evaluation_of_before_can_be_read(self, run_copy: Run) -> None:
        path: Path = run_copy.folder / "evaluation-test.npz"
        with np.load(path) as arrays:
            np.savez(path, **{name: arrays[name] for name in arrays if name not in ("style_shift", "rejection_rank")})
        evaluation = Evaluation.read(run_copy, "test")
        assert (evaluation.style_shift, evaluation.rejection_rank) == (None, None)
        assert evaluation.rejection_scores == {}
        assert len(evaluation.ids) == 80
