"""Writing and reading records. Every method blocks, so call it from a worker thread."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, delete, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.http.answers import LabelProbability, ModelIdentity
from service.records import schema
from service.records.database import READ_ONLY
from service.records.errors import UnavailableError, UncertainError
from service.records.messages import FeedbackEntry, PredictionRecord
from service.records.record import ModelFacts, Owner, Record
from service.records.tables import feedback, models, predictions

LATER = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)
"""Errors that may be temporary: no connection, a locked file, a full disk, a read-only standby."""

NEWEST_FIRST = (predictions.c.time.desc(), predictions.c.id.desc())


@contextmanager
def reachable() -> Iterator[None]:
    """Raise :class:`UnavailableError` for errors that may be temporary."""
    try:
        yield
    except LATER as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise UnavailableError(" ".join(str(cause).split())) from error


class Store:
    """The records of one database, on an engine from :func:`service.records.database.open_engine`.

    Every method raises :class:`UnavailableError` if the database is unavailable, and
    :class:`~service.records.errors.RecordsError` if this version needs another schema.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.prepared = False
        self.model_ids: dict[ModelFacts, int] = {}
        # If the answer to a commit is lost, it is tried again. Then some of its rows may already exist.
        insert = postgres_insert if engine.dialect.name == "postgresql" else sqlite_insert
        self.insert_prediction = insert(predictions).on_conflict_do_nothing()
        self.insert_model = insert(models).on_conflict_do_nothing()

    def prepare(self) -> None:
        """Create or migrate a SQLite file. For PostgreSQL only check the schema; a command upgrades it.

        Services of several versions share the schema of a server, so none of them changes it at its start.
        """
        if self.prepared:
            return
        with reachable():
            if self.engine.dialect.name == "sqlite":
                schema.upgrade(self.engine)
            else:
                with self.engine.connect() as connection:
                    schema.check(connection)
        self.prepared = True

    def write(self, records: Sequence[Record]) -> None:
        """Commit records in one transaction. Those that already exist are skipped.

        Raises:
            UncertainError: if the commit was sent and its answer was lost.
        """
        self.prepare()
        if not records:
            return
        found = dict(self.model_ids)
        try:
            with reachable(), self.engine.connect() as connection:
                transaction = connection.begin()
                for model in {record.model for record in records} - found.keys():
                    found[model] = self.model_id(connection, model)
                connection.execute(self.insert_prediction, [row(record, found[record.model]) for record in records])
                try:
                    with reachable():
                        transaction.commit()
                except UnavailableError as error:
                    connection.invalidate()  # its transaction may still be open
                    raise UncertainError(str(error)) from error
        except BaseException:
            self.model_ids = {}  # the database may have been restored from a backup
            raise
        self.model_ids = found

    def model_id(self, connection: Connection, model: ModelFacts) -> int:
        values = {"name": model.name, "version": model.version, "digest": model.digest}
        connection.execute(self.insert_model, values | {"task": model.task, "labels": list(model.labels)})
        columns = (models.c[name] == value for name, value in values.items())
        return int(connection.execute(select(models.c.id).where(*columns)).scalar_one())

    def read(self, record_id: UUID, owner: Owner | None = None) -> PredictionRecord | None:
        """Return a record with its feedback, oldest first. None if the id does not exist for the owner.

        Args:
            record_id: The id of the record.
            owner: The only caller whose records are seen. None sees all.
        """
        found = self.find([predictions.c.id == record_id, *owned(owner)], 1)
        return found[0] if found else None

    def find(self, conditions: Sequence[ColumnElement[bool]], limit: int) -> list[PredictionRecord]:
        """Return the newest ``limit`` records that fit all conditions, newest first, with their feedback."""
        self.prepare()
        query = select(predictions, models).join(models).where(*conditions).order_by(*NEWEST_FIRST).limit(limit)
        with self.reading() as connection:
            # Two tables have columns with the same name, so columns are read by table.
            rows = [found._mapping for found in connection.execute(query)]
            told: dict[UUID, list[FeedbackEntry]] = {found[predictions.c.id]: [] for found in rows}
            entries = select(feedback).where(feedback.c.prediction_id.in_(told)).order_by(feedback.c.id)
            for entry in connection.execute(entries) if told else ():
                told[entry.prediction_id].append(
                    FeedbackEntry(time=entry.time, labels=entry.labels, caller=entry.caller)
                )
        return [record_of(found, told[found[predictions.c.id]]) for found in rows]

    def add_feedback(self, record_id: UUID, time: datetime, labels: list[str], caller: str | None) -> bool:
        """Commit a feedback beside the earlier ones. Return False if the record no longer exists."""
        self.prepare()
        values = {"prediction_id": record_id, "time": time, "labels": labels, "caller": caller}
        try:
            with reachable(), self.engine.begin() as connection:
                connection.execute(feedback.insert(), values)
        except IntegrityError:
            return False
        return True

    def withdraw(self, record_ids: Sequence[UUID]) -> None:
        """Delete records whose answers were not sent. Those that do not exist are skipped."""
        self.prepare()
        with reachable(), self.engine.begin() as connection:
            connection.execute(delete(predictions).where(predictions.c.id.in_(record_ids)))

    def delete_before(self, time: datetime, limit: int) -> int:
        """Delete at most ``limit`` of the oldest records before a time, with their feedback. Return how many."""
        self.prepare()
        oldest = select(predictions.c.id).where(predictions.c.time < time).order_by(predictions.c.time).limit(limit)
        with reachable(), self.engine.begin() as connection:
            return connection.execute(delete(predictions).where(predictions.c.id.in_(oldest))).rowcount

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database and does not block writers."""
        with reachable(), self.engine.connect().execution_options(**{READ_ONLY: True}) as connection:
            yield connection

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()


def owned(owner: Owner | None) -> list[ColumnElement[bool]]:
    """The condition that a record is of an owner; none if all may be seen."""
    return [] if owner is None else [predictions.c.caller == owner.name]


def record_of(found: RowMapping, told: list[FeedbackEntry]) -> PredictionRecord:
    p, m = predictions.c, models.c
    pairs = zip(found[m.labels], found[p.probabilities], strict=True)
    return PredictionRecord(
        id=found[p.id],
        time=found[p.time],
        model=ModelIdentity(name=found[m.name], version=found[m.version], digest=found[m.digest]),
        task=found[m.task],
        input_digest=found[p.input_digest],
        frame=found[p.frame],
        label=found[p.label],
        probabilities=[LabelProbability(label=label, probability=value) for label, value in pairs],
        style_shift=found[p.style_shift],
        caller=found[p.caller],
        feedback=told,
    )


def row(record: Record, model_id: int) -> dict[str, object]:
    return {
        "id": record.id,
        "time": record.time,
        "model_id": model_id,
        "input_digest": record.input_digest,
        "frame": record.frame,
        "probabilities": record.probabilities,
        "label": record.label,
        "style_shift": record.style_shift,
        "caller": record.caller,
    }
