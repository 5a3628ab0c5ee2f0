"""Accuracy among the images that are answered when the most doubtful ones go to a person (selective classification).

The images are ordered by a rejection score. Coverage is the part that is answered, risk the part of these that is
wrong. The area under the curve of risk by coverage (AURC) is the mean risk over the coverages 1/N, 2/N, ... 1 (Geifman
and El-Yaniv, "Selective Classification for Deep Neural Networks", NIPS 2017; Geifman, Uziel and El-Yaniv,
"Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers", ICLR 2019). Lower is better.

Images with equal scores are answered in random order: every figure is its expectation over these orders. So none
depends on the order of the file, and an image that a resample draws twice needs no rule of its own.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.evaluation.bootstrap import Weights, chunks, with_intervals

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
COMBINATION = (
    "the larger of two ranks: the part of the validation images with a smaller style shift, and the part with a higher "
    "confidence"
)
Scores = NDArray[np.float64]
"""(N,), images with a higher one are rejected first"""


class Sums(NamedTuple):
    """Images and mistakes up to each score, the lowest first, of R weightings and G different scores."""

    images: NDArray[np.float64]
    """(R, G)"""
    mistakes: NDArray[np.float64]
    """(R, G)"""


def rejection_scores(
    shift: Scores, probabilities: NDArray[np.float64], of_validation: tuple[Scores, NDArray[np.float64]]
) -> dict[str, Scores]:
    """Scores by which N images are rejected: their style shift, their confidence, and both (:data:`COMBINATION`).

    Args:
        shift: (N,)
        probabilities: (N, K), calibrated. The highest of an image is its confidence.
        of_validation: the same two of the validation images.
    """
    doubt, usual_doubt = -probabilities.max(axis=1), -of_validation[1].max(axis=1)
    both = np.maximum(rank_among(of_validation[0], shift), rank_among(usual_doubt, doubt))
    return {"style_shift": shift, "confidence": doubt, "both": both}


def rank_among(reference: Scores, scores: Scores) -> Scores:
    """The part of ``reference`` that is smaller than each score."""
    return np.searchsorted(np.sort(reference), scores, side="left") / len(reference)


def measure_selective(
    scores: Mapping[str, Scores], right: NDArray[np.bool_], weights: Weights | None
) -> dict[str, Any]:
    """Accuracy at :data:`COVERAGES` and AURC with intervals, by each score."""
    return {"combination": COMBINATION, "by": {name: curve(each, right, weights) for name, each in scores.items()}}


def curve(scores: Scores, right: NDArray[np.bool_], weights: Weights | None) -> dict[str, Any]:
    names = [f"{coverage:.2f}" for coverage in COVERAGES]
    found = figures_of(scores, right, np.ones((1, len(scores))))
    drawn: dict[str, NDArray[np.float64]] = {}
    if weights is not None:
        parts = [figures_of(scores, right, weights[rows]) for rows in chunks(weights)]
        drawn = dict(zip(["aurc", *names], np.concatenate(parts).T, strict=True))
    figures = with_intervals(dict(zip(["aurc", *names], found[0].tolist(), strict=True)), drawn)
    return {"aurc": figures.pop("aurc"), "accuracy": figures}


def figures_of(scores: Scores, right: NDArray[np.bool_], weights: Weights) -> NDArray[np.float64]:
    """AURC and the accuracy at each of C coverages, (R, 1 + C)."""
    sums = cumulate(scores, right, weights)
    return np.column_stack([aurc(sums), accuracy_at(sums, COVERAGES)])


def cumulate(scores: Scores, right: NDArray[np.bool_], weights: Weights) -> Sums:
    order = np.argsort(scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) > 0, True))  # the last image of each run of ties
    drawn = weights[:, order]
    return Sums(np.cumsum(drawn, axis=1)[:, ends], np.cumsum(drawn * ~right[order], axis=1)[:, ends])


def aurc(sums: Sums) -> NDArray[np.float64]:
    """The mean risk over all coverages, (R,).

    Among w equal scores after a images with E mistakes, the j-th image makes the expected risk (E + j r) / (a + j), r
    being the part of mistakes among the w. Its sum over j is (E - a r) (H(a + w) - H(a)) + w r with harmonic numbers H.
    """
    images, mistakes = sums
    count, wrong = (np.diff(each, axis=1, prepend=0) for each in sums)
    before, earlier = images - count, mistakes - wrong
    harmonic = np.append(0, np.cumsum(1 / np.arange(1, int(images.max()) + 1)))
    steps = harmonic[images.astype(int)] - harmonic[before.astype(int)]
    risks = (earlier - before * wrong / np.maximum(count, 1)) * steps + wrong
    return risks.sum(axis=1) / images[:, -1]


def accuracy_at(sums: Sums, coverages: tuple[float, ...]) -> NDArray[np.float64]:
    """Accuracy among the answered images, (R, C). The last image counts by the part of it that the coverage needs."""
    start = np.zeros((len(sums.images), 1))
    images, mistakes = (np.concatenate([start, each], axis=1) for each in sums)
    answered = images[:, -1:] * np.array(coverages)
    wrong = [np.interp(*row) for row in zip(answered, images, mistakes, strict=True)]
    return 1 - np.array(wrong) / answered
