"""Is a difference between two kinds of networks beyond chance: tests over seeds and patients together.

Several seeds of each kind are measured on the same images. Two things vary by chance: the seed, and which patients the
split happens to hold. A t-test over seeds ignores the second, and a bootstrap over patients ignores
the first. Radiology has the same problem with readers in place of seeds, and its multi-reader multi-case analysis is
used here: Obuchowski and Rockette, "Hypothesis testing of diagnostic accuracy for multiple readers and multiple tests",
Communications in Statistics - Simulation and Computation 1995, with the degrees of freedom of Hillis, "A comparison of
denominator degrees of freedom methods for multiple observer ROC analysis", Statistics in Medicine 2007.

The correction of Nadeau and Bengio (Machine Learning 2003) is meant for a new random split in every run. With one fixed
split the seeds' variance does not contain the patients' at all, so there is nothing that it could scale up.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Figures = NDArray[np.float64]


class Difference(NamedTuple):
    """A figure of one kind of network minus that of another, averaged over S seeds."""

    value: float
    interval: tuple[float, float] | None
    """95 %, over seeds and patients; None for a single seed."""
    p_value: float | None
    """Two-sided, over seeds and patients; None for a single seed."""
    patient_interval: tuple[float, float]
    """95 % percentile bootstrap over patients, for these very seeds."""


def difference(ours: Figures, theirs: Figures, ours_drawn: Figures, theirs_drawn: Figures) -> Difference:
    """Compare two kinds of networks, paired by seed and by patient.

    The variance of the mean difference is the seeds' part, ``var(d) / S`` of the S differences d, and the patients'
    part, the mean covariance of d between two seeds over resamples of the patients (what all seeds have in common).

    Args:
        ours: the figure for each seed, (S,).
        theirs: the same of the other kind, seeds in the same order, (S,).
        ours_drawn: the figure for each seed and resample of the patients, (S, R).
        theirs_drawn: the same of the other kind on the same resamples, (S, R).
    """
    by_seed, drawn = ours - theirs, ours_drawn - theirs_drawn
    value, seeds = float(by_seed.mean()), len(by_seed)
    low, high = np.percentile(drawn.mean(axis=0), [2.5, 97.5])
    patient_interval = (float(low), float(high))
    if seeds == 1:
        return Difference(value, None, None, patient_interval)
    of_seeds = float(by_seed.var(ddof=1)) / seeds
    covariance = np.cov(drawn)
    of_patients = max(float(covariance[~np.eye(seeds, dtype=bool)].mean()), 0.0)
    variance = of_seeds + of_patients
    if variance == 0:  # the kinds differ by a constant, mostly 0
        return Difference(value, (value, value), 1.0 if value == 0 else 0.0, patient_interval)
    error = np.sqrt(variance)
    freedom = np.inf if of_seeds == 0 else (seeds - 1) * (variance / of_seeds) ** 2
    margin = float(student.ppf(0.975, freedom) * error)
    p_value = float(2 * student.sf(abs(value) / error, freedom))
    return Difference(value, (value - margin, value + margin), p_value, patient_interval)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of several comparisons: below 0.05 after it, the chance of any false claim is below 0.05.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    return [float(value) for value in adjusted]
