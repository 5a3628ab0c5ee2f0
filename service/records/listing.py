"""Lists of records, newest first: pages with a cursor, and CSV."""

import base64
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Self
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, and_, or_, select

from service.records.messages import PredictionPage, PredictionRecord
from service.records.record import Owner
from service.records.store import Store, owned
from service.records.tables import feedback, models, predictions

CHUNK = 500
"""Records of a CSV answer that are read together."""
COLUMNS = (
    "id",
    "time",
    "model",
    "version",
    "digest",
    "task",
    "input_digest",
    "frame",
    "label",
    "probability",
    "probabilities",
    "style_shift",
    "caller",
    "feedback_time",
    "feedback_labels",
    "feedback_caller",
)
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class Cursor(NamedTuple):
    """The last record of a page. New records are above it, so they do not move the next page."""

    time: datetime
    id: UUID

    def text(self) -> str:
        """Write the cursor as text for an address."""
        micros = round((self.time - EPOCH).total_seconds() * 1e6)
        return base64.urlsafe_b64encode(micros.to_bytes(8) + self.id.bytes).decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a cursor.

        Raises:
            ValueError: if the text is not one.
        """
        data = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
        if len(data) != 24:
            raise ValueError("a cursor has 24 bytes")
        try:
            return cls(EPOCH + timedelta(microseconds=int.from_bytes(data[:8])), UUID(bytes=data[8:]))
        except OverflowError:
            raise ValueError("a cursor's time is not one") from None


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Wanted:
    """What a record must fit. None leaves a filter out."""

    owner: Owner | None = None
    model: str | None = None
    version: str | None = None
    label: str | None = None
    since: datetime | None = None
    """Inclusive."""
    until: datetime | None = None
    """Exclusive."""
    feedback: Literal["with", "without"] | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        time, found = predictions.c.time, owned(self.owner)
        equal = ((models.c.name, self.model), (models.c.version, self.version), (predictions.c.label, self.label))
        found += [column == value for column, value in equal if value is not None]
        if self.since is not None:
            found.append(time >= self.since)
        if self.until is not None:
            found.append(time < self.until)
        if self.feedback is not None:
            told = select(feedback.c.id).where(feedback.c.prediction_id == predictions.c.id).exists()
            found.append(told if self.feedback == "with" else ~told)
        return found


def page(store: Store, wanted: Wanted, size: int, after: Cursor | None = None) -> PredictionPage:
    """Return at most ``size`` records that are older than a cursor. It blocks, so call it from a worker thread.

    Raises:
        UnavailableError: if the database is unavailable.
    """
    conditions = wanted.conditions()
    if after is not None:
        p = predictions.c
        conditions.append(or_(p.time < after.time, and_(p.time == after.time, p.id < after.id)))
    found = store.find(conditions, size + 1)
    shown = found[:size]
    more = len(found) > size
    return PredictionPage(predictions=shown, next=Cursor(shown[-1].time, shown[-1].id).text() if more else None)


def csv_of(store: Store, wanted: Wanted, first: PredictionPage, *, whole: bool) -> Iterator[str]:
    """Yield CSV: the columns, the first page, and with ``whole`` every page after it.

    Each page is read when the client has taken the one before, so an export of any length takes little memory and holds
    no transaction open.
    """
    yield line(COLUMNS)
    shown = first
    while True:
        yield "".join(map(csv_line, shown.predictions))
        if not whole or shown.next is None:
            return
        shown = page(store, wanted, CHUNK, Cursor.parse(shown.next))


def csv_line(record: PredictionRecord) -> str:
    """A record as a line of CSV, with the last feedback, which counts."""
    probabilities = {entry.label: entry.probability for entry in record.probabilities}
    told = record.feedback[-1] if record.feedback else None
    return line(
        (
            record.id,
            record.time.isoformat(),
            record.model.name,
            record.model.version,
            record.model.digest,
            record.task,
            record.input_digest,
            record.frame,
            record.label,
            probabilities[record.label],
            orjson.dumps(probabilities).decode(),
            record.style_shift,
            record.caller,
            told and told.time.isoformat(),
            told and ";".join(told.labels),
            told and told.caller,
        )
    )


def line(values: tuple[object, ...]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([safe(value) for value in values])
    return text.getvalue()


def safe(value: object) -> object:
    """Mark a text that a spreadsheet would run as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
