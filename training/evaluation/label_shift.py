"""Weights that turn the images of a split into a sample with other class frequencies.

Probabilities are for one set of class frequencies. Whether they are right can only be judged on images with the same
frequencies. A split has its own, so each image counts by how much more frequent its class is in the other population
(label shift: within a class the images are alike). Lipton, Wang, Smola: "Detecting and Correcting for Label Shift with
Black Box Predictors", ICML 2018, https://arxiv.org/abs/1802.03916, equation 1; the number of images that the weighted
ones are worth is Kish's: "Survey Sampling", Wiley 1965, section 11.7.
"""

import numpy as np
from numpy.typing import NDArray

from training.evaluation.calibration import frequencies

ImageWeights = NDArray[np.float64]
"""(N,), how much each image counts; for a multi-label task (N, K), for each label of an image"""


def importance(labels: NDArray[np.int64], prior: NDArray[np.float64]) -> ImageWeights:
    """Weights under which labels are as frequent as ``prior`` (K,) says; each is the prior over the frequency here.

    Of labels (N, K) the weights are (N, K), since each label is a question of its own.
    """
    here = frequencies(labels, len(prior))
    if labels.ndim == 2:
        return np.asarray(np.where(labels == 1, prior / here, (1 - prior) / (1 - here)))
    return np.asarray((prior / np.where(here > 0, here, 1))[labels])


def effective_images(weights: ImageWeights) -> float:
    """How many images of equal weight have as little chance in their mean: (sum of w)^2 / sum of w^2."""
    return float(weights.sum() ** 2 / (weights**2).sum() * len(weights) / weights.size)
