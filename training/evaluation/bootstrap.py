"""Intervals: figures of a thousand resamples of patients at once, from how often each image was drawn.

A resample is a row of weights: how often each image was drawn. So every figure is a few sums over the images instead of
a call of scikit-learn. This takes seconds for ten thousand images. The values are those of
:mod:`training.evaluation.metrics` on the drawn images, to rounding; the tests compare the two.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from training.evaluation.metrics import ECE_BINS, FIXED_RATES, Labels, Probabilities, at_least

Weights = NDArray[np.float64]
"""(R, N), how often each of N images is in each of R resamples"""
Values = dict[str, NDArray[np.float64]]
"""Figure to its value in each resample, (R,) or (R, K)"""

METHOD = "95 % percentile bootstrap over {unit}, {resamples} resamples"
TOO_FEW = "no intervals: a class is in so few patients that hardly any resample of the patients holds every class"
CHUNK = 300_000
"""Weights in memory at once. Larger blocks save calls but cost more in cache misses."""
MOST_DRAWS = 20
"""Limit of draws per resample. Above it a set is too small for intervals."""


def resample(groups: Sequence[str], labels: Labels, *, resamples: int, seed: int = 0) -> Weights | None:
    """Draw whole groups (patients) with replacement, as many as there are; return the weights of the images.

    A resample that lacks a class of the labels is drawn again, since AUC has no value there. None where a class is in
    so few patients that hardly any resample holds them all.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    count = int(group_of.max()) + 1
    class_of, classes = np.unique(labels, return_inverse=True)
    holds = csr_array((np.ones(len(labels)), (group_of, classes)), shape=(count, len(class_of)))
    random = np.random.default_rng(seed)
    kept: list[NDArray[np.int64]] = []
    found = 0
    for _ in range(MOST_DRAWS):
        drawn = random.multinomial(count, np.full(count, 1 / count), size=resamples)
        complete = drawn[((drawn @ holds) > 0).all(axis=1)]
        kept.append(complete[: resamples - found])
        found += len(kept[-1])
        if found == resamples:
            return np.concatenate(kept)[:, group_of].astype(np.float64)
    return None


def interval(values: NDArray[np.float64]) -> list[float] | None:
    """The 95 % percentile interval [low, high]. None if a resample has no value."""
    if not np.isfinite(values).all():
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return [float(low), float(high)]


def with_intervals(values: Mapping[str, float], drawn: Values) -> dict[str, Any]:
    """Figure to its value and its interval, which is None where there were no resamples."""
    return {
        name: {"value": value, "interval": interval(drawn[name]) if name in drawn else None}
        for name, value in values.items()
    }


def chunks(weights: Weights) -> Iterator[slice]:
    """Rows that are computed together."""
    rows = max(1, CHUNK // weights.shape[1])
    return (slice(start, start + rows) for start in range(0, len(weights), rows))


def figures(
    probabilities: Probabilities, labels: Labels, weights: Weights, prior: NDArray[np.float64] | None = None
) -> Values:
    """All of :data:`training.evaluation.metrics.METRICS` and the classes' figures, in each resample.

    With a prior (K,), those of :data:`training.evaluation.metrics.CALIBRATION` are weighted to it in each resample.
    """
    of_errors = weights if prior is None else weighted_to(prior, labels, weights)
    parts = [decisions(probabilities, labels, weights) | errors(probabilities, labels, of_errors)]
    curves = [ranked(probabilities, labels, weights[rows]) for rows in chunks(weights)]
    parts.append({name: np.concatenate([part[name] for part in curves]) for name in curves[0]})
    return {name: values for part in parts for name, values in part.items()} | {
        "macro_auc": parts[1]["auc"].mean(axis=1)
    }


def decisions(probabilities: Probabilities, labels: Labels, weights: Weights) -> Values:
    """Figures of the most probable class alone, from each class's counts."""
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    truth, guess = indicator(labels, classes), indicator(predicted, classes)
    total = weights.sum(axis=1)
    has, said = weights @ truth, weights @ guess
    right = (weights * (predicted == labels)) @ truth
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = right / has
        specificity = 1 - (said - right) / (total[:, None] - has)
        f1 = np.where(has + said > 0, 2 * right / (has + said), np.nan)
        covariance = right.sum(axis=1) * total - (has * said).sum(axis=1)
        spread = (total**2 - (has**2).sum(axis=1)) * (total**2 - (said**2).sum(axis=1))
        grades = np.arange(classes)
        apart = weights @ (predicted - labels).astype(np.float64) ** 2
        by_chance = has @ grades**2 - 2 * (has @ grades) * (said @ grades) / total + said @ grades**2
        kappa = 1 - apart / by_chance
    return {
        "accuracy": right.sum(axis=1) / total,
        "balanced_accuracy": np.nanmean(sensitivity, axis=1),
        "quadratic_kappa": kappa,
        "macro_f1": np.nanmean(f1, axis=1),
        "mcc": np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1)), 0.0),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": f1,
    }


def weighted_to(prior: NDArray[np.float64], labels: Labels, weights: Weights) -> Weights:
    """Weights (R, N) under which the classes are as frequent as the prior says in each resample."""
    has = weights @ indicator(labels, len(prior)) / weights.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        factor = np.where(has > 0, prior / has, 0.0)
    return np.asarray(weights * factor[:, labels])


def errors(probabilities: Probabilities, labels: Labels, weights: Weights) -> Values:
    """Figures of the probabilities: sums over the images, and over bins of confidence."""
    total = weights.sum(axis=1)
    truth = indicator(labels, probabilities.shape[1]).toarray()
    given = np.clip(probabilities[np.arange(len(labels)), labels], np.finfo(np.float64).eps, None)
    confidence = probabilities.max(axis=1)
    bins = indicator(np.minimum((confidence * ECE_BINS).astype(np.int64), ECE_BINS - 1), ECE_BINS)
    gap = (weights * (confidence - (probabilities.argmax(axis=1) == labels))) @ bins
    return {
        "nll": weights @ -np.log(given) / total,
        "brier": weights @ ((probabilities - truth) ** 2).sum(axis=1) / total,
        "ece": np.abs(gap).sum(axis=1) / total,
    }


def ranked(probabilities: Probabilities, labels: Labels, weights: Weights) -> Values:
    """Figures along each class's ROC and precision-recall curves, one class against the rest, (R, K) each."""
    names = ["auc", "average_precision"]
    names += [f"sensitivity_at_specificity_{rate:.2f}" for rate in FIXED_RATES]
    names += [f"specificity_at_sensitivity_{rate:.2f}" for rate in FIXED_RATES]
    values: Values = {name: np.empty((len(weights), probabilities.shape[1])) for name in names}
    rows = np.arange(len(weights))
    for k in range(probabilities.shape[1]):
        order = np.argsort(-probabilities[:, k], kind="stable")
        score = probabilities[order, k]
        ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))  # the last image of each run of ties
        drawn, positive = weights[:, order], labels[order] == k
        hits = np.cumsum(drawn * positive, axis=1)[:, ends]
        alarms = np.cumsum(drawn * ~positive, axis=1)[:, ends]
        with np.errstate(divide="ignore", invalid="ignore"):
            recall, false = hits / hits[:, -1:], alarms / alarms[:, -1:]
            precision = hits / np.maximum(hits + alarms, 1)
        step = np.diff(false, axis=1, prepend=0)
        before = np.concatenate([np.zeros((len(weights), 1)), recall[:, :-1]], axis=1)
        values["auc"][:, k] = (step * (recall + before)).sum(axis=1) / 2
        values["average_precision"][:, k] = ((recall - before) * precision).sum(axis=1)
        for rate in FIXED_RATES:
            allowed = at_least(1 - false, rate).sum(
                axis=1
            )  # number of thresholds, from the highest, that keep the specificity
            reached = np.where(allowed > 0, recall[rows, allowed - 1], 0.0)
            values[f"sensitivity_at_specificity_{rate:.2f}"][:, k] = reached
            needed = at_least(recall, rate).argmax(axis=1)
            values[f"specificity_at_sensitivity_{rate:.2f}"][:, k] = 1 - false[rows, needed]
    return values


def indicator(index: NDArray[np.int64], columns: int) -> csr_array:
    """(N, columns), 1 where the column is the row's index."""
    return csr_array((np.ones(len(index)), (np.arange(len(index)), index)), shape=(len(index), columns))
