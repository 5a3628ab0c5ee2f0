"""Accuracy and calibration of predictions over time, from the feedback on them."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from models.card import Task
from service.records.audit.periods import ModelKey, Period, chosen, period_of
from service.records.store import Store
from service.records.tables import feedback, models, predictions

BINS = 15  # as on the model cards
Z = 1.959963984540054
"""The standard normal distribution's quantile for 95 %."""


class Figures(NamedTuple):
    """The figures of a model in a period, on the cases with feedback. None if there are none."""

    model: str
    version: str
    digest: str
    period: str | None
    """``2026-W47`` (ISO 8601) or ``2026-11``; None for the whole time."""
    predictions: int
    fed_back: int
    accuracy: float | None
    interval: tuple[float, float] | None
    """95 %, Wilson's."""
    ece: float | None
    brier: float | None


@dataclass
class Cases:
    """The predictions of one model and period: their number, and those with a confirmed label."""

    predictions: int = 0
    probabilities: list[list[float]] = field(default_factory=list)
    truths: list[list[int]] = field(default_factory=list)

    def add(self, other: "Cases") -> None:
        self.predictions += other.predictions
        self.probabilities += other.probabilities
        self.truths += other.truths


def audit(store: Store, *, by: Period, model: str | None = None, since: datetime | None = None) -> list[Figures]:
    """Return the figures of each model for each period with predictions, then for all periods together.

    Args:
        store: Where the records are.
        by: Length of a period. Weeks begin on Monday. All times are UTC.
        model: Only this model.
        since: Only predictions from this time on.
    """
    store.prepare()
    figures = []
    found = collect(store, by, model, since)
    for row in sorted(found, key=lambda row: row.place):
        cases, whole = found[row], Cases()
        for period in sorted(cases):
            figures.append(measure(row, period, cases[period]))
            whole.add(cases[period])
        figures.append(measure(row, None, whole))
    return figures


def collect(store: Store, by: Period, model: str | None, since: datetime | None) -> dict[ModelKey, dict[str, Cases]]:
    """Read the number of predictions, and the cases with feedback, of each model and period."""
    found: dict[ModelKey, dict[str, Cases]] = defaultdict(lambda: defaultdict(Cases))
    conditions = chosen(model, since)
    time = predictions.c.time
    day = func.date(func.timezone("UTC", time) if store.engine.dialect.name == "postgresql" else time)
    counts = (
        select(models, day.label("day"), func.count().label("number"))
        .join_from(predictions, models)
        .where(*conditions)
        .group_by(models.c.id, day)
    )
    any_feedback = feedback.alias()
    latest = (
        select(func.max(any_feedback.c.id)).where(any_feedback.c.prediction_id == predictions.c.id).scalar_subquery()
    )
    told = (
        select(predictions.c.model_id, time, predictions.c.probabilities, feedback.c.labels)
        .join_from(predictions, feedback)
        .join(models)
        .where(*conditions, feedback.c.id == latest)
        .order_by(predictions.c.time)
    )
    with store.reading() as connection:
        rows = {}
        for entry in connection.execute(counts):
            key = ModelKey(entry.id, entry.name, entry.version, entry.digest, entry.task)
            rows[entry.id] = key, {label: index for index, label in enumerate(entry.labels)}
            on = entry.day if isinstance(entry.day, date) else date.fromisoformat(entry.day)
            found[key][period_of(on, by)].predictions += entry.number
        for entry in connection.execute(told):
            if entry.model_id in rows:  # otherwise its first prediction came between the two queries
                key, indices = rows[entry.model_id]
                cases = found[key][period_of(entry.time.date(), by)]
                cases.probabilities.append(entry.probabilities)
                cases.truths.append([indices[label] for label in entry.labels])
    return found


def measure(row: ModelKey, period: str | None, cases: Cases) -> Figures:
    count = len(cases.truths)
    accuracy = interval = ece = brier = None
    if count:
        probabilities = np.array(cases.probabilities, np.float64)
        truth = np.zeros(probabilities.shape)
        for index, labels in enumerate(cases.truths):
            truth[index, labels] = 1
        right = correct(probabilities, truth, row.task)
        accuracy, interval = float(right.mean()), wilson(int(right.sum()), count)
        ece, brier = calibration_error(probabilities, truth, row.task), brier_score(probabilities, truth, row.task)
    return Figures(row.name, row.version, row.digest, period, cases.predictions, count, accuracy, interval, ece, brier)


def correct(probabilities: NDArray[np.float64], truth: NDArray[np.float64], task: Task) -> NDArray[np.bool_]:
    """Whether each case (N, K) is right, (N,): its most probable label, or for a multi-label model every label."""
    if task == "multi-label":
        return np.asarray(((probabilities > 0.5) == (truth == 1)).all(axis=1))
    return np.asarray(truth[np.arange(len(truth)), probabilities.argmax(axis=1)] == 1)


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson, JASA 1927). It is valid for few cases and near 0 and 1 too."""
    share, z2 = right / count, Z * Z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z * sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    return max(0.0, centre - half), min(1.0, centre + half)


def calibration_error(probabilities: NDArray[np.float64], truth: NDArray[np.float64], task: Task) -> float:
    """Mean gap between confidence and accuracy, over 15 bins of equal width (Guo et al., ICML 2017).

    The confidence is the probability of the most probable label. For a multi-label model every label counts.
    """
    if task == "multi-label":
        confidence, right = probabilities.ravel(), truth.ravel()
    else:
        confidence, right = probabilities.max(axis=1), correct(probabilities, truth, task).astype(np.float64)
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def brier_score(probabilities: NDArray[np.float64], truth: NDArray[np.float64], task: Task) -> float:
    """Mean squared distance from the truth: summed over classes, 0 to 2 (Brier 1950); multi-label, a label's mean."""
    squares = (probabilities - truth) ** 2
    return float(squares.mean() if task == "multi-label" else squares.sum(axis=1).mean())
