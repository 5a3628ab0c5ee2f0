"""Statistics of the gates of a split: how channels correlate, and which channels tell the classes apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Gates = NDArray[np.float32] | NDArray[np.float64]
"""(N, C)"""
CONSTANT = 1e-6
"""A gate with a lower standard deviation counts as constant. Rounding in float32 alone gives about 1e-8."""


class Correlation(NamedTuple):
    """How the channels of a block correlate over the images."""

    mean_absolute: float | None
    """Mean of |r| over the pairs of channels; None with fewer than two channels that vary."""
    by_chance: float
    """What |r| is expected to be for independent channels on as many images."""
    varying: int
    constant: int
    """Channels whose gate is the same for every image: they have no correlation and are left out."""
    matrix: NDArray[np.float64]
    """(V, V), of the channels that vary."""


def correlation(gates: Gates) -> Correlation:
    """Pearson correlation between the channels' gates (N, C) over N images.

    The SRM paper compares SRM with SE by this matrix; a low mean of |r| means that channels carry information of their
    own. By chance alone it is sqrt(2 / (pi * (N - 1))), the mean of the half-normal distribution.
    """
    varies = gates.std(axis=0, dtype=np.float64) > CONSTANT
    kept = gates[:, varies].astype(np.float64)
    count = kept.shape[1]
    by_chance = float(np.sqrt(2 / (np.pi * (len(gates) - 1))))
    matrix = np.atleast_2d(np.corrcoef(kept, rowvar=False)) if count else np.zeros((0, 0))
    pairs = np.abs(matrix[np.triu_indices(count, k=1)])
    mean = float(pairs.mean()) if len(pairs) else None
    return Correlation(mean, by_chance, count, len(varies) - count, matrix)


class Separation(NamedTuple):
    """How well each channel's gate tells the classes apart, (C,) each."""

    f: NDArray[np.float64]
    """F statistic of the analysis of variance; 0 for a constant gate."""
    eta_squared: NDArray[np.float64]
    """Part of the gate's variance that the classes explain, 0 to 1."""
    floor: float
    """The largest eta squared of any channel that chance gives: the 95th percentile over permuted labels."""
    rows: int
    """Independent values behind it: one for each patient and class."""


def separation(
    gates: Gates, truth: NDArray[np.bool_], patients: Sequence[str], *, permutations: int = 200, seed: int = 0
) -> Separation:
    """Compare the gates (N, C) of images with and without each label, ``truth`` (N, K).

    Where an image has one class this is the analysis of variance between classes; where it may have several labels, the
    regression on all of them. Several images of a patient with the same labels count once, by their mean gate, since
    they are not independent. The floor holds for all channels together, so that a channel above it is one that chance
    would rarely give among so many.
    """
    names = [f"{label.tobytes().hex()}/{patient}" for label, patient in zip(truth, patients, strict=True)]
    _, first, unit = np.unique(names, return_index=True, return_inverse=True)
    count = len(first)
    sums = np.zeros((count, gates.shape[1]))
    np.add.at(sums, unit, gates.astype(np.float64))
    values = sums / np.bincount(unit)[:, None]
    centred = values - values.mean(axis=0)
    varies = values.std(axis=0) > CONSTANT
    total = np.where(varies, (centred**2).sum(axis=0), 1)
    labels = truth[first].astype(np.float64)
    basis, sizes, _ = np.linalg.svd(labels - labels.mean(axis=0), full_matrices=False)
    basis = basis[:, sizes > 1e-9 * max(sizes.max(), 1)]

    def explained(directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """eta squared, (C,)"""
        return np.where(varies, ((directions.T @ centred) ** 2).sum(axis=0) / total, 0.0)

    eta = explained(basis)
    random = np.random.default_rng(seed)
    by_chance = [explained(basis[random.permutation(count)]).max() for _ in range(permutations)]
    freedom = basis.shape[1]
    f = eta / np.maximum(1 - eta, np.finfo(np.float64).tiny) * (count - freedom - 1) / freedom
    return Separation(f, eta, float(np.percentile(by_chance, 95)), count)


def class_means(gates: Gates, truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean gate of the images of each class (or with each label) and channel, (K, C)."""
    return np.stack([gates[has].mean(axis=0, dtype=np.float64) for has in truth.T], dtype=np.float32)


def extremes(gates: Gates, channel: int, count: int) -> tuple[list[int], list[int]]:
    """Images (rows) with a channel's highest gates, the highest first, and with its lowest, the lowest first."""
    order = np.argsort(gates[:, channel], kind="stable")
    count = min(count, len(order) // 2)
    return order[::-1][:count].tolist(), order[:count].tolist()
