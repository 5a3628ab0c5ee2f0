"""Which week or month a prediction counts in, and what the audit does without a database."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.records.audit.accuracy import audit
from service.records.store import Store
from tests.service.records.facts import RecordMaker


@pytest.mark.parametrize(
    ("time", "week"),
    [
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), "2026-W53"),
        (datetime(2027, 1, 1, tzinfo=UTC), "2026-W53"),
        (datetime(2027, 1, 3, 23, 59, 59, tzinfo=UTC), "2026-W53"),
        (datetime(2027, 1, 4, tzinfo=UTC), "2027-W01"),
        (datetime(2024, 12, 29, tzinfo=UTC), "2024-W52"),
        (datetime(2024, 12, 30, tzinfo=UTC), "2025-W01"),
        (datetime(2023, 1, 1, tzinfo=UTC), "2022-W52"),
    ],
)
def test_weeks_at_the_turn_of_the_year(store: Store, make_record: RecordMaker, time: datetime, week: str) -> None:
    """ISO 8601: a week belongs to the year that has its Thursday. Read off a calendar."""
    store.write([make_record(time=time)])
    assert [figures.period for figures in audit(store, by="week")] == [week, None]


def test_a_time_belongs_to_its_utc_day(store: Store, make_record: RecordMaker) -> None:
    if store.engine.dialect.name == "postgresql":
        name = store.engine.url.database
        with store.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'")
        store.engine.dispose()
    store.write([make_record(time=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))])
    assert [figures.period for figures in audit(store, by="month")] == ["2026-10", None]


def test_without_a_database_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "typo" / "records.db"
    monkeypatch.setenv("RETINA_RECORDS_URL", f"sqlite:///{path}")
    done = CliRunner().invoke(app, ["audit"])
    assert "There are no prediction records in" in str(done.exception)
    assert not path.exists()
