"""The figures of several kinds of networks and seeds: means, spreads, and each kind's difference to the baseline."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.comparison.significance import difference, holm
from training.errors import TrainingError
from training.evaluation import multilabel
from training.evaluation.bootstrap import Values, figures, resample
from training.evaluation.figures import Figures, SplitFigures
from training.evaluation.kept import Evaluation

Key = tuple[str, int]
"""Kind of recalibration, and seed."""
RESAMPLES = 1000
METHOD = (
    "Means and standard deviations over the seeds. Differences to {baseline} are paired by seed and by {unit}; their "
    "95 % intervals and p-values are over seeds and {unit} together: the multi-reader multi-case analysis of "
    "Obuchowski and Rockette 1995 with seeds as readers, covariances from {resamples} bootstrap resamples of the "
    "{unit}, and degrees of freedom by Hillis 2007. With a single seed the interval is over the {unit} alone, and "
    "there is no p-value. p (Holm) is adjusted for the kinds compared on one figure; the figures beside {primary}, by "
    "which the recipe chooses, are for description."
)


def check_same_data(reports: Mapping[Key, Figures], evaluations: Mapping[Key, Evaluation]) -> None:
    """Refuse runs that were measured on other images.

    Raises:
        TrainingError: naming two runs whose data differ.
    """
    (first, report), *others = reports.items()
    for key, other in others:
        if other.md5 != report.md5 or not np.array_equal(evaluations[key].ids, evaluations[first].ids):
            raise TrainingError(
                f"{key[0]} seed {key[1]} was measured on other data than {first[0]} seed {first[1]}: fit one of them "
                "again, on the same data and split"
            )


def summarise(reports: Mapping[Key, Figures], kind: str) -> dict[str, dict[str, Any]]:
    """Each figure's mean and standard deviation (n - 1; None for a single seed) over the seeds of a kind."""
    own = [report.metrics for (k, _), report in reports.items() if k == kind]
    result = {}
    for name in own[0]:
        values = [metrics[name].value for metrics in own]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        result[name] = {"mean": float(np.mean(values)), "sd": spread, "values": values}
    return result


def differences(
    reports: Mapping[Key, Figures], evaluations: Mapping[Key, Evaluation], kinds: Sequence[str], baseline: str
) -> dict[str, dict[str, Any]]:
    """Kind to figure to its difference to the baseline, over the seeds that both have."""
    names = list(next(iter(reports.values())).metrics)
    drawn = resampled(evaluations, {key: assumed_prior(report) for key, report in reports.items()})
    result: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        seeds = [seed for k, seed in reports if k == kind and (baseline, seed) in reports]
        if kind == baseline or not seeds:
            continue
        result[kind] = {}
        for name in names:
            ours, theirs = (
                np.array([reports[k, seed].metrics[name].value for seed in seeds]) for k in (kind, baseline)
            )
            found = None
            if drawn:
                found = difference(
                    ours, theirs, *(np.stack([drawn[k, seed][name] for seed in seeds]) for k in (kind, baseline))
                )
            result[kind][name] = {
                "difference": float((ours - theirs).mean()),
                "interval": found and found.interval,
                "p": found and found.p_value,
                "p_holm": None,
                "patient_interval": found and found.patient_interval,
                "seeds": seeds,
            }
    for name in names:
        tested = [kind[name] for kind in result.values() if kind[name]["p"] is not None]
        for entry, adjusted in zip(tested, holm([entry["p"] for entry in tested]), strict=True):
            entry["p_holm"] = adjusted
    return result


def assumed_prior(report: Figures) -> NDArray[np.float64] | None:
    """The class frequencies to which an evaluation weighted its figures of the probabilities; None where it did not."""
    if isinstance(report, SplitFigures) and report.effective_images is not None:
        return np.asarray(report.target_prior)
    return None


def resampled(
    evaluations: Mapping[Key, Evaluation], priors: Mapping[Key, NDArray[np.float64] | None]
) -> dict[Key, Values]:
    """Every network's figures in the same resamples of the patients, which keeps the pairing; empty if too few."""
    first = next(iter(evaluations.values()))
    patients = first.patients.tolist()
    if first.labels.ndim == 1:
        weights = resample(patients, first.labels, resamples=RESAMPLES)
        if weights is None:
            return {}
        return {key: figures(e.probabilities, e.labels, weights, priors[key]) for key, e in evaluations.items()}
    draws = resample(patients, np.zeros(len(patients), np.int64), resamples=RESAMPLES)
    assert draws is not None  # with a single class every draw is complete
    count = draws @ first.labels
    complete = draws[((count > 0) & (count < draws.sum(axis=1, keepdims=True))).all(axis=1)]
    if len(complete) < RESAMPLES / 2:  # the label is so rare that the resamples with a value would be a biased choice
        return {}
    rows = [np.repeat(np.arange(len(patients)), draw.astype(np.int64)) for draw in complete]
    return {
        key: {
            name: np.array([metric(e.probabilities[row], e.labels[row]) for row in rows])
            for name, metric in multilabel.METRICS.items()
        }
        for key, e in evaluations.items()
    }
