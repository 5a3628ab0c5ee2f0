"""How far a sample of scores lies from a reference sample: population stability index and Kolmogorov-Smirnov test."""

from math import exp, sqrt

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
BINS = 10


def counts_by_bin(reference: Scores, scores: Scores) -> tuple[Scores, Scores]:
    """Count both samples in bins that hold a tenth of the reference each. Equal scores make fewer, larger bins."""
    edges = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS, method="inverted_cdf"))
    first, second = (np.bincount(np.searchsorted(edges, s), minlength=len(edges) + 1) for s in (reference, scores))
    return first.astype(np.float64), second.astype(np.float64)


def stability_index(reference: Scores, counts: Scores) -> float:
    """Population stability index (PSI) of two samples, from their counts in the same bins (B,).

    It is the sum of (q - p) ln(q / p) over the bins, where p and q are the shares: Jeffreys' divergence. An empty bin
    counts as half an image, because the logarithm of 0 is not finite.
    """
    p, q = (np.maximum(sample, 0.5) / sample.sum() for sample in (reference, counts))
    return float(((q - p) * np.log(q / p)).sum())


def expected_index(bins: int, reference: int, images: int) -> float:
    """The PSI that two samples of the same distribution have on average.

    Without drift PSI / (1/n + 1/m) has about a chi-squared distribution with B - 1 degrees of freedom: Yurdakul,
    "Statistical Properties of Population Stability Index", Western Michigan University 2018,
    https://scholarworks.wmich.edu/dissertations/3208.
    """
    return (bins - 1) * (1 / reference + 1 / images)


def index_deviation(bins: int, reference: int, images: int) -> float:
    """The standard deviation of the PSI of two samples of the same distribution, from the same source."""
    return sqrt(2 * (bins - 1)) * (1 / reference + 1 / images)


def smirnov(reference: Scores, scores: Scores) -> tuple[float, float]:
    """Return the largest distance of the two distribution functions, and the p-value of Smirnov's test (1939).

    The p-value is the limit for large samples. For small ones, and with equal scores, it is too large rather than too
    small.
    """
    pooled = np.concatenate([reference, scores])
    shares = (np.searchsorted(np.sort(s), pooled, side="right") / len(s) for s in (reference, scores))
    distance = float(np.abs(next(shares) - next(shares)).max())
    return distance, kolmogorov(distance * sqrt(len(reference) * len(scores) / len(pooled)))


def kolmogorov(value: float) -> float:
    """The probability that Kolmogorov's distribution exceeds a value."""
    if value < 0.3:  # the sum converges slowly there, to more than 0.99999
        return 1.0
    return min(1.0, sum((2 if k % 2 else -2) * exp(-2 * (k * value) ** 2) for k in range(1, 21)))
