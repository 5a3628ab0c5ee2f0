"""Calibration at other class frequencies, against a population whose errors are known by adding up its cells."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.evaluation.bootstrap import figures, interval, resample
from training.evaluation.label_shift import effective_images, importance
from training.evaluation.metrics import CALIBRATION, METRICS

HERE, TARGET = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.3, 0.5])
CELLS = 400


def cells() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How often each kind of image is met in each class (CELLS, 3), and an overconfident network's probabilities."""
    random = np.random.default_rng(0)
    of_class = random.dirichlet(np.full(CELLS, 0.5), 3).T
    scores = (of_class * TARGET + 1e-4) ** 1.8
    return of_class, scores / scores.sum(axis=1, keepdims=True)


def true_errors(of_class: NDArray[np.float64], given: NDArray[np.float64]) -> dict[str, float]:
    """The figures of the whole population at the target frequencies: sums over every cell and class, no sample."""
    joint = of_class * TARGET
    gaps: dict[int, float] = {}
    nll = brier = 0.0
    for row, probabilities in zip(joint, given, strict=True):
        top = int(probabilities.argmax())
        bin_ = min(int(probabilities[top] * 15), 14)
        gaps[bin_] = gaps.get(bin_, 0.0) + row[top] - probabilities[top] * row.sum()
        for k in range(3):
            nll -= row[k] * np.log(probabilities[k])
            brier += row[k] * sum((probabilities[j] - (j == k)) ** 2 for j in range(3))
    return {"nll": nll, "brier": brier, "ece": sum(map(abs, gaps.values()))}


def sample(images: int, seed: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities and labels of images with the split's class frequencies."""
    of_class, given = cells()
    random = np.random.default_rng(seed)
    labels = random.choice(3, images, p=HERE)
    kinds = np.array([random.choice(CELLS, p=of_class[:, label]) for label in labels])
    return given[kinds], labels


class TestImportance:
    def test_makes_the_classes_as_frequent_as_wanted(self) -> None:
        labels = np.array([0] * 7 + [1] * 2 + [2])
        weights = importance(labels, TARGET)
        assert [weights[labels == k].sum() / weights.sum() for k in range(3)] == pytest.approx(TARGET.tolist())

    def test_does_so_for_each_label_of_several(self) -> None:
        labels = np.array([[1, 0], [1, 1], [1, 0], [0, 0]])
        weights = importance(labels, np.array([0.5, 0.1]))
        assert ((weights * labels).sum(axis=0) / weights.sum(axis=0)).tolist() == pytest.approx([0.5, 0.1])

    def test_is_one_at_the_frequencies_of_the_images(self) -> None:
        labels = np.array([0, 0, 1, 2])
        np.testing.assert_allclose(importance(labels, np.array([0.5, 0.25, 0.25])), 1)

    def test_gives_no_weight_to_a_class_that_is_not_there(self) -> None:
        assert np.isfinite(importance(np.array([0, 0, 1]), TARGET)).all()


class TestEffectiveImages:
    def test_by_hand(self) -> None:
        assert effective_images(np.ones(9)) == 9
        assert effective_images(np.array([1.0, 1.0, 4.0])) == pytest.approx(2)  # 6^2 / 18
        assert effective_images(np.ones((9, 4))) == 9

    def test_is_the_number_whose_mean_varies_as_much(self) -> None:
        random = np.random.default_rng(0)
        weights = random.exponential(size=50)
        means = random.normal(size=(20_000, 50)) @ weights / weights.sum()
        assert effective_images(weights) == pytest.approx(1 / means.var(), rel=0.05)


@pytest.mark.parametrize("name", CALIBRATION)
def test_weighted_figures_are_those_of_the_target_population(name: str) -> None:
    probabilities, labels = sample(30_000)
    truth = true_errors(*cells())[name]
    found = CALIBRATION[name](probabilities, labels, importance(labels, TARGET))
    assert found == pytest.approx(truth, rel=0.05)
    # Probabilities for one population on images of another are wrong about either.
    assert METRICS[name](probabilities, labels) != pytest.approx(truth, rel=0.2)


def test_intervals_hold_the_error_of_the_target_population() -> None:
    probabilities, labels = sample(3_000, seed=2)
    weights = resample([str(index) for index in range(3_000)], labels, resamples=200)
    assert weights is not None
    drawn = figures(probabilities, labels, weights, TARGET)
    for name, truth in true_errors(*cells()).items():
        bounds = interval(drawn[name])
        assert bounds is not None
        assert bounds[0] < truth < bounds[1], name
    plain = figures(probabilities, labels, weights)
    np.testing.assert_array_equal(drawn["accuracy"], plain["accuracy"])  # a figure of the images as they are
