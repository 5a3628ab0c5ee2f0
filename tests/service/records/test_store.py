"""Records in both databases: what is written is what plain SQL finds, and what comes back."""

import json
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import psycopg
import pytest

from service.records.database import default_url, open_engine
from service.records.errors import RecordsError, UnavailableError
from service.records.store import Store
from tests.conftest import LABELS
from tests.service.records.facts import FACTS, RecordMaker

QUERY = (
    "SELECT p.id, p.time, m.name, m.version, m.digest, m.task, m.labels, p.input_digest, p.frame, p.probabilities, "
    "p.label, p.style_shift, p.caller FROM predictions p JOIN models m ON m.id = p.model_id"
)


def by_sql(address: str) -> list[tuple[object, ...]]:
    """What the database's own driver finds, without SQLAlchemy."""
    if address.startswith("sqlite"):
        with sqlite3.connect(address.removeprefix("sqlite:///")) as connection:
            rows = connection.execute(QUERY).fetchall()
            connection.execute("PRAGMA integrity_check")
        parsed = [list(row) for row in rows]
        for row in parsed:
            row[0], row[1] = uuid.UUID(row[0]), datetime.fromisoformat(row[1]).replace(tzinfo=UTC)
            row[6], row[9] = json.loads(row[6]), json.loads(row[9])
        return [tuple(row) for row in parsed]
    with psycopg.connect(address) as other:
        return other.execute(QUERY).fetchall()


def test_a_record_is_found_by_plain_sql(store: Store, address: str, make_record: RecordMaker) -> None:
    east = timezone(timedelta(hours=9))
    record = make_record(time=datetime(2026, 11, 24, 17, 15, 30, 123456, east))
    store.write([record])
    [row] = by_sql(address)
    assert row[:9] == (
        record.id,
        datetime(2026, 11, 24, 8, 15, 30, 123456, UTC),
        "colour",
        "2",
        FACTS.digest,
        "multi-class",
        LABELS,
        record.input_digest,
        3,
    )
    np.testing.assert_array_equal(np.array(row[9], np.float32), record.probabilities)
    assert row[10:] == ("normal", 0.25, "clinic-a")


def test_a_record_comes_back_with_its_feedback(store: Store, make_record: RecordMaker) -> None:
    record, other = make_record(), make_record()
    store.write([record, other])
    first, second = record.time + timedelta(days=1), record.time + timedelta(days=2)
    assert store.add_feedback(record.id, first, ["cataract"], "clinic-a")
    assert store.add_feedback(record.id, second, ["glaucoma"], None)
    found = store.read(record.id)
    assert found is not None
    assert (found.id, found.time, found.label, found.frame) == (record.id, record.time, "normal", 3)
    assert [entry.label for entry in found.probabilities] == LABELS
    assert [entry.probability for entry in found.probabilities] == pytest.approx([0.7, 0.2, 0.1])
    assert [(entry.time, entry.labels, entry.caller) for entry in found.feedback] == [
        (first, ["cataract"], "clinic-a"),
        (second, ["glaucoma"], None),
    ]
    untouched = store.read(other.id)
    assert untouched is not None
    assert untouched.feedback == []


def test_an_unknown_record(store: Store) -> None:
    assert store.read(uuid.uuid4()) is None
    assert not store.add_feedback(uuid.uuid4(), datetime.now(UTC), ["normal"], None)


def test_writing_again_what_was_committed_changes_nothing(store: Store, address: str, make_record: RecordMaker) -> None:
    records = [make_record() for _ in range(3)]
    store.write(records[:2])
    store.write(records)
    assert {row[0] for row in by_sql(address)} == {record.id for record in records}


def test_a_model_is_kept_once(store: Store, address: str, make_record: RecordMaker) -> None:
    store.write([make_record(), make_record()])
    again = Store(store.engine)  # another process, which has not seen the model yet
    again.write([make_record()])
    assert len({row[2:5] for row in by_sql(address)}) == 1


def test_old_records_go_with_their_feedback_oldest_first(store: Store, address: str, make_record: RecordMaker) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    records = [make_record(time=start + timedelta(days=day)) for day in (3, 0, 2, 1)]
    store.write(records)
    for record in records:
        store.add_feedback(record.id, start, ["normal"], None)
    limit = start + timedelta(days=2)
    assert store.delete_before(limit, 1) == 1
    assert {row[1] for row in by_sql(address)} == {start + timedelta(days=day) for day in (1, 2, 3)}
    assert store.delete_before(limit, 10) == 1
    assert store.delete_before(limit, 10) == 0
    assert store.read(records[3].id) is None
    kept = store.read(records[2].id)
    assert kept is not None
    assert len(kept.feedback) == 1


def test_a_commit_is_on_disk_before_it_returns(store: Store) -> None:
    """As the database itself says: nothing that its files' owner set may weaken it."""
    with store.engine.connect() as connection:
        if store.engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_postgres_that_answers_too_early_is_set_right(store: Store, address: str) -> None:
    if store.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no such setting")
    name = store.engine.url.database
    for setting, expected in (("off", "on"), ("remote_write", "remote_write")):
        with store.engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = {setting}")
        other = open_engine(address)
        with other.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == expected
        other.dispose()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense", "not a database's address"),
        ("mysql://root:secret@host/db", "begins with 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////proc/nowhere/records.db", "can't be made"),
    ],
)
def test_an_address_that_can_t_work_is_one_sentence(address: str, message: str) -> None:
    with pytest.raises(RecordsError, match=message) as caught:
        open_engine(address)
    assert "secret" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    store = Store(open_engine("postgresql://user:secret@127.0.0.1:1/records"))
    with pytest.raises(UnavailableError, match=r"(?i)refused") as caught:
        store.prepare()
    assert "secret" not in str(caught.value)


def test_the_default_file_lies_where_programs_keep_their_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/eve")
    assert default_url() == "sqlite:////home/eve/.local/state/retina-srm/records.db"
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_url() == "sqlite:////state/retina-srm/records.db"
