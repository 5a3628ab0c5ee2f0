"""The tables, the same in SQLite and PostgreSQL. A change needs a migration; a test compares the two."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone. SQLite stores no zone, so there it is UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def json_column(name: str) -> Column[Any]:
    return Column(name, JSON().with_variant(JSONB(), "postgresql"), nullable=False)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# The labels of a model may be a thousand, and are the same in all its records. They are stored once.
models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("version", String(16), nullable=False),
    Column("digest", String(71), nullable=False),
    Column("task", String(16), nullable=False),
    json_column("labels"),
    UniqueConstraint("digest", "name", "version"),
)

predictions = Table(
    "predictions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("time", UtcTime, nullable=False),
    Column("model_id", ForeignKey("models.id"), nullable=False),
    Column("input_digest", String(71), nullable=False),
    Column("frame", Integer),
    json_column("probabilities"),
    Column("label", String, nullable=False),
    Column("style_shift", Double),
    Column("caller", String),
    Index(None, "time"),
    Index(None, "caller", "time"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("prediction_id", ForeignKey("predictions.id", ondelete="CASCADE"), nullable=False),
    Column("time", UtcTime, nullable=False),
    json_column("labels"),
    Column("caller", String),
    Index(None, "prediction_id"),
)
