"""With ``RETINA_RECORDS=required``, an answer that became 503 leaves no record, however slow the database was."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from service.app import create_app
from service.http.problems import ProblemError
from service.records.audit.accuracy import audit
from service.records.errors import UncertainError
from service.records.kept import Records
from service.records.metrics import RecordMetrics
from service.records.record import Record
from service.records.recorder import Recorder
from service.records.store import Store
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.records.facts import RecordMaker
from tests.waiting import until

LIMIT_S = 20
PREDICT = "/v1/models/colour/predict"


@contextmanager
def held_back(address: str) -> Iterator[None]:
    """Lock the database, as a backup or a slow disk does. Writers wait, and go on afterwards."""
    if address.startswith("sqlite"):
        with sqlite3.connect(address.removeprefix("sqlite:///"), isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with psycopg.connect(address) as server:
        server.execute("LOCK TABLE predictions IN EXCLUSIVE MODE")
        yield


def count(address: str) -> int:
    query = "SELECT count(*) FROM predictions"
    if address.startswith("sqlite"):
        with sqlite3.connect(address.removeprefix("sqlite:///")) as other:
            return int(other.execute(query).fetchone()[0])
    with psycopg.connect(address) as server:
        row = server.execute(query).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def client(settings: Settings, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr("service.records.database.BUSY_S", LIMIT_S)  # longer than a test holds the database back
    changes = {"records": "required", "records_url": SecretStr(address), "records_timeout_s": 0.5}
    with TestClient(create_app(settings.model_copy(update=changes)), raise_server_exceptions=False) as client:
        yield client


def test_a_slow_database(client: TestClient, address: str, store: Store, make_image: ImageMaker) -> None:
    assert client.post(PREDICT, content=make_image()).status_code == 200
    state: Any = client.app
    recorder: Recorder = state.state.service.records.recorder
    with held_back(address):
        for seed in (1, 2):  # the first is being written, the second waits behind it
            answer = client.post(PREDICT, content=make_image(seed=seed))
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:retina-srm:problem:records-unavailable")
    until(lambda: not recorder.queue and recorder.waiting == 0)
    assert client.post(PREDICT, content=make_image()).status_code == 200
    listed = client.get("/v1/predictions").json()["predictions"]
    assert len(listed) == count(address) == 2
    assert audit(store, by="month")[-1].predictions == 2
    assert "retina_records_withdrawn_total 2.0" in client.get("/metrics").text


def test_a_commit_whose_answer_is_lost(
    client: TestClient, address: str, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    state: Any = client.app
    dialect: Any = state.state.service.records.store.engine.dialect
    commit, failures = dialect.do_commit, [True]

    def lossy(connection: Any) -> None:
        commit(connection)
        if failures:
            failures.pop()
            raise dialect.dbapi.OperationalError("the connection was lost")

    monkeypatch.setattr(dialect, "do_commit", lossy)
    assert client.post(PREDICT, content=make_image()).status_code == 503
    until(lambda: count(address) == 0)
    assert client.post(PREDICT, content=make_image()).status_code == 200
    assert count(address) == 1


class SlowStore:
    """Stands in for a store whose commits wait for ``free``."""

    def __init__(self) -> None:
        self.free, self.entered = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.log: list[tuple[str, list[UUID]]] = []

    def write(self, records: Sequence[Record]) -> None:
        self.entered.set()
        assert self.free.wait(LIMIT_S)
        if self.error is not None:
            raise self.error
        self.log += [("write", [record.id for record in records])] if records else []

    def withdraw(self, record_ids: Sequence[UUID]) -> None:
        self.log.append(("withdraw", list(record_ids)))

    def close(self) -> None: ...


@pytest.fixture
def slow() -> Iterator[tuple[SlowStore, Records]]:
    store: Any = SlowStore()
    recorder = Recorder(store, RecordMetrics(CollectorRegistry()), queue_size=100, retention_days=0)
    recorder.start()
    yield store, Records(store, recorder, required=True, timeout_s=0.1)
    store.free.set()
    recorder.close()


def added(records: Records, record: Record) -> asyncio.Future[None]:
    future = records.recorder.add([record], wait=True)
    assert future is not None
    return future


def test_what_was_given_up_is_not_written_or_is_taken_back(
    slow: tuple[SlowStore, Records], make_record: RecordMaker
) -> None:
    store, records = slow
    first, second, third = (make_record() for _ in range(3))

    async def body() -> None:
        future = added(records, first)
        assert await asyncio.to_thread(store.entered.wait, LIMIT_S)
        with pytest.raises(ProblemError, match="did not answer within"):
            await records.committed(future, [first.id])  # while it is written
        with pytest.raises(ProblemError, match="did not answer within"):
            await records.committed(added(records, second), [second.id])  # before that
        store.free.set()
        records.timeout_s = LIMIT_S
        await records.settled()
        await records.committed(added(records, third), [third.id])

    asyncio.run(body())
    assert store.log == [("write", [first.id]), ("withdraw", [first.id]), ("write", [third.id])]
    assert records.recorder.waiting == 0


def test_a_request_that_is_cancelled_after_the_commit(
    slow: tuple[SlowStore, Records], make_record: RecordMaker
) -> None:
    store, records = slow
    record = make_record()

    async def body() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(records.committed(future, [record.id]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        future.set_result(None)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.free.set()
        records.timeout_s = LIMIT_S
        await records.settled()

    asyncio.run(body())
    assert store.log == [("withdraw", [record.id])]


def test_the_store_says_when_a_commit_is_uncertain(
    store: Store, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dialect: Any = store.engine.dialect
    store.write([make_record()])

    def lost(_: Any) -> None:
        raise dialect.dbapi.OperationalError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(dialect, "do_commit", lost)
        with pytest.raises(UncertainError, match="the connection was lost"):
            store.write([make_record()])
    record = make_record()
    store.write([record])
    store.withdraw([record.id, make_record().id])
    assert store.read(record.id) is None
