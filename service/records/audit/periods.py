"""Of which model and period a prediction is."""

from datetime import date, datetime
from typing import Literal, NamedTuple

from sqlalchemy import ColumnElement

from models.card import Task
from service.records.tables import models, predictions

Period = Literal["week", "month"]


class ModelKey(NamedTuple):
    """A model's identity and what its probabilities mean."""

    id: int
    name: str
    version: str
    digest: str
    task: Task

    @property
    def place(self) -> tuple[str, int, int]:
        """Sorts models by name, then by version as a number."""
        return self.name, int(self.version), self.id


def period_of(day: date, by: Period) -> str:
    """Return ``2026-11``, or ``2026-W47`` (ISO 8601, weeks begin on Monday)."""
    if by == "month":
        return f"{day:%Y-%m}"
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def chosen(model: str | None, since: datetime | None) -> list[ColumnElement[bool]]:
    """The conditions that a prediction is of a model, and made since a time. None of either allows all."""
    conditions = [] if model is None else [models.c.name == model]
    if since is not None:
        conditions.append(predictions.c.time >= since)
    return conditions
