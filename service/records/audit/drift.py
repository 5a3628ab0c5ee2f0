"""Whether the style of the images has changed, from the style-shift scores in the prediction records."""

from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from sqlalchemy import select

from service.records.audit import stability
from service.records.audit.periods import ModelKey, Period, chosen, period_of
from service.records.audit.references import Reference, Source, from_card, from_first, style_references
from service.records.audit.stability import Scores
from service.records.store import Store
from service.records.tables import models, predictions

SHIFTED, DRIFTED = 0.1, 0.25
"""The usual bounds of the PSI: Siddiqi, "Credit Risk Scorecards", Wiley 2006."""
SIGNIFICANT = 0.01
NOISE = 0.1
"""Largest standard deviation that the PSI may have without drift. Beyond it the lower bound means nothing."""

Verdict = Literal["stable", "shifted", "drifted", "too few", "reference"]


@dataclass(frozen=True)
class Drift:
    """The images of a model in a period, and how far their scores lie from the reference."""

    model: str
    version: str
    digest: str
    period: str
    images: int
    """Different images with a score. An image that was sent twice in the period counts once."""
    without_score: int
    """Different images without a score."""
    unusual: float | None
    """Share of the images, by the card's thresholds; None without the card or images."""
    unlike: float | None
    psi: float | None
    psi_corrected: float | None
    """Less what it is on average without drift, and at least 0."""
    p_value: float | None
    verdict: Verdict
    reference: Source | None


@dataclass
class Seen:
    """The different images of a model in a period."""

    scores: "array[float]" = field(default_factory=lambda: array("d"))
    without_score: int = 0
    images: set[int] = field(default_factory=set)
    """Hashes of those counted so far."""


def drift(
    store: Store, repository: Path, *, by: Period, model: str | None = None, since: datetime | None = None
) -> list[Drift]:
    """Compare each model's scores in each period with its validation images.

    Without the package, the model's first records stand in, also those before ``since``.

    Args:
        store: Where the records are.
        repository: The model repository. A package is recognised by its digest.
        by: Length of a period. Weeks begin on Monday. All times are UTC.
        model: Only this model.
        since: Only predictions from this time on.
    """
    store.prepare()
    found = collect(store, by, model, since)
    styles = style_references(repository, {key.digest for key in found})
    first = found
    if since is not None and any(key.digest not in styles for key in found):
        first = collect(store, by, model, None)
    rows = []
    for key in sorted(found, key=lambda key: key.place):
        style = styles.get(key.digest)
        reference = from_first(scores_of(first[key])) if style is None else from_card(style)
        rows += [measure(key, period, found[key][period], reference) for period in sorted(found[key])]
    return rows


def collect(store: Store, by: Period, model: str | None, since: datetime | None) -> dict[ModelKey, dict[str, Seen]]:
    """Read the scores of each model and period. Records are read in parts, so only the scores are in memory."""
    p, m = predictions.c, models.c
    query = (
        select(m.id, m.name, m.version, m.digest, m.task, p.time, p.input_digest, p.frame, p.style_shift)
        .join_from(predictions, models)
        .where(*chosen(model, since))
        .order_by(p.time)
        .execution_options(yield_per=10_000)
    )
    found: dict[ModelKey, dict[str, Seen]] = defaultdict(dict)
    latest: dict[ModelKey, Seen] = {}
    with store.reading() as connection:
        for *identity, time, sent, frame, score in connection.execute(query):
            key, period = ModelKey(*identity), period_of(time.date(), by)
            if period not in found[key]:
                if key in latest:
                    latest[key].images.clear()
                latest[key] = found[key][period] = Seen()
            seen, image = latest[key], hash((sent, frame))
            if image in seen.images:
                continue
            seen.images.add(image)
            if score is None:
                seen.without_score += 1
            else:
                seen.scores.append(score)
    return found


def scores_of(periods: Mapping[str, Seen]) -> dict[str, Scores]:
    return {period: np.array(seen.scores) for period, seen in periods.items()}


def measure(key: ModelKey, period: str, seen: Seen, reference: Reference | None) -> Drift:
    """Compare one period with the reference."""
    scores, source = np.array(seen.scores), None if reference is None else reference.source
    unusual = unlike = psi = corrected = p_value = None
    if reference is not None and reference.style is not None and len(scores):
        unlike = float((scores > reference.style.unlike_beyond).mean())
        unusual = float((scores > reference.style.usual_up_to).mean()) - unlike
    verdict: Verdict = "too few"
    if source is not None and period in source.periods:
        verdict = "reference"
    elif reference is not None and enough(len(reference.scores), len(scores)):
        before, now = stability.counts_by_bin(reference.scores, scores)
        psi = stability.stability_index(before, now)
        expected = stability.expected_index(len(before), len(reference.scores), len(scores))
        corrected = max(0.0, psi - expected)
        _, p_value = stability.smirnov(reference.scores, scores)
        verdict = judge(corrected, p_value)
    return Drift(
        key.name,
        key.version,
        key.digest,
        period,
        len(scores),
        seen.without_score,
        unusual,
        unlike,
        psi,
        corrected,
        p_value,
        verdict,
        source,
    )


def enough(reference: int, images: int) -> bool:
    """Whether the PSI of so many images means something."""
    return images > 0 and stability.index_deviation(stability.BINS, reference, images) <= NOISE


def judge(corrected: float, p_value: float) -> Verdict:
    """Both must speak of a change: the PSI says that it is large, the test that it is not chance."""
    if p_value >= SIGNIFICANT or corrected < SHIFTED:
        return "stable"
    return "shifted" if corrected < DRIFTED else "drifted"
