"""Group commit, outages and losses, with a database that the test holds back, fails and frees."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from service.records.errors import UnavailableError
from service.records.metrics import RecordMetrics
from service.records.record import Record
from service.records.recorder import Recorder
from service.records.store import Store
from tests.service.records.facts import RecordMaker

LIMIT_S = 20


class HeldStore:
    """Stands in for a store: commits wait for ``free``, and raise ``error`` while there is one."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Event()
        self.error: Exception | None = None
        self.commits: list[list[Record]] = []
        self.attempts = 0

    def write(self, records: list[Record]) -> None:
        self.entered.set()
        assert self.free.wait(LIMIT_S)
        self.attempts += 1
        if self.error is not None:
            raise self.error
        self.commits.append(records)

    def delete_before(self, time: datetime, limit: int) -> int:
        return 0

    def close(self) -> None: ...


@pytest.fixture
def held() -> HeldStore:
    return HeldStore()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


RecorderMaker = Callable[..., Recorder]


@pytest.fixture
def make_recorder(held: HeldStore, registry: CollectorRegistry) -> Iterator[RecorderMaker]:
    made: list[Recorder] = []

    def make(store: Store | HeldStore = held, queue_size: int = 100, retention_days: int = 0) -> Recorder:
        recorder = Recorder(
            store,  # type: ignore[arg-type]
            RecordMetrics(registry),
            queue_size=queue_size,
            retention_days=retention_days,
        )
        made.append(recorder)
        recorder.start()
        return recorder

    yield make
    held.free.set()
    for recorder in made:
        recorder.close()
        assert not recorder.thread.is_alive()


async def waited(future: asyncio.Future[None] | None) -> None:
    assert future is not None
    await asyncio.wait_for(future, LIMIT_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - it becomes true in another thread
            await asyncio.sleep(0.005)


def test_what_waits_is_committed_together(
    held: HeldStore, make_recorder: RecorderMaker, make_record: RecordMaker, registry: CollectorRegistry
) -> None:
    async def body() -> None:
        recorder = make_recorder()
        held.free.clear()
        first = recorder.add([make_record()], wait=True)
        await until(held.entered.is_set)
        rest = [recorder.add([make_record(), make_record()], wait=True) for _ in range(5)]
        assert registry.get_sample_value("retina_records_queue_length") == 11
        assert not any(future.done() for future in (first, *rest) if future)
        held.free.set()
        for future in (first, *rest):
            await waited(future)

    asyncio.run(body())
    assert [len(commit) for commit in held.commits] == [1, 10]
    assert registry.get_sample_value("retina_records_written_total") == 11
    assert registry.get_sample_value("retina_records_queue_length") == 0
    assert registry.get_sample_value("retina_records_commit_duration_seconds_count") == 2


def test_a_failed_commit_is_told_and_the_next_one_is_tried(
    held: HeldStore, make_recorder: RecorderMaker, make_record: RecordMaker, registry: CollectorRegistry
) -> None:
    async def body() -> None:
        recorder = make_recorder()
        held.error = UnavailableError("gone")
        with pytest.raises(UnavailableError, match="gone"):
            await waited(recorder.add([make_record()], wait=True))
        held.error = None
        await waited(recorder.add([make_record()], wait=True))

    asyncio.run(body())
    assert registry.get_sample_value("retina_records_commit_failures_total") == 1
    assert registry.get_sample_value("retina_records_written_total") == 1


def test_what_nobody_waits_for_outlives_an_outage_in_order(
    held: HeldStore, make_recorder: RecorderMaker, make_record: RecordMaker, registry: CollectorRegistry
) -> None:
    records = [make_record() for _ in range(4)]

    async def body() -> None:
        recorder = make_recorder()
        held.error = UnavailableError("gone")
        for record in records[:3]:
            assert recorder.add([record], wait=False) is None
        await until(lambda: held.attempts >= 2)
        with pytest.raises(UnavailableError):  # a reader does not wait for the end of an outage
            await waited(recorder.add([], wait=True))
        held.error = None
        recorder.add(records[3:], wait=False)
        await waited(recorder.add([], wait=True))

    asyncio.run(body())
    assert [record for commit in held.commits for record in commit] == records
    assert registry.get_sample_value("retina_records_lost_total", {"reason": "queue-full"}) == 0


def test_each_outage_begins_with_short_waits(
    held: HeldStore, make_recorder: RecorderMaker, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def outage(recorder: Recorder) -> list[float]:
        waits.clear()
        held.error = UnavailableError("gone")
        recorder.add([make_record()], wait=False)
        await until(lambda: len(waits) >= 4)
        held.error = None
        await waited(recorder.add([], wait=True))
        return waits[:4]

    async def body() -> None:
        recorder = make_recorder()

        def wait(seconds: float) -> None:
            waits.append(seconds)
            time.sleep(0.01)

        monkeypatch.setattr(recorder.closing, "wait", wait)
        assert await outage(recorder) == pytest.approx([0.1, 0.2, 0.4, 0.8])
        assert await outage(recorder) == pytest.approx([0.1, 0.2, 0.4, 0.8])

    asyncio.run(body())


def test_a_commit_has_a_size_that_it_does_not_exceed(
    held: HeldStore, make_recorder: RecorderMaker, make_record: RecordMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the queue grew in an outage, so that a commit's time is bounded too."""
    monkeypatch.setattr("service.records.recorder.LARGEST_COMMIT", 4)

    async def body() -> None:
        recorder = make_recorder()
        held.free.clear()
        recorder.add([make_record()], wait=False)
        await until(held.entered.is_set)
        for _ in range(10):
            recorder.add([make_record()], wait=False)
        held.free.set()
        await waited(recorder.add([], wait=True))

    asyncio.run(body())
    assert [len(commit) for commit in held.commits] == [1, 4, 4, 2]


def test_closing_does_not_wait_for_a_database_that_hangs(
    held: HeldStore,
    make_recorder: RecorderMaker,
    make_record: RecordMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("service.records.recorder.CLOSE_S", 0.2)

    async def body() -> None:
        recorder = make_recorder()
        held.free.clear()
        recorder.add([make_record(), make_record()], wait=False)
        await until(held.entered.is_set)
        start = time.monotonic()
        await asyncio.to_thread(recorder.close)
        assert time.monotonic() - start < LIMIT_S / 2
        assert "2 prediction records were lost: the database does not answer" in caplog.text
        held.free.set()
        await until(lambda: not recorder.thread.is_alive())

    asyncio.run(body())


def test_a_full_queue_loses_or_refuses(
    held: HeldStore,
    make_recorder: RecorderMaker,
    make_record: RecordMaker,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body() -> None:
        recorder = make_recorder(queue_size=3)
        held.free.clear()
        recorder.add([make_record()], wait=False)
        await until(held.entered.is_set)
        recorder.add([make_record(), make_record()], wait=False)
        recorder.add([make_record(), make_record()], wait=False)
        with pytest.raises(UnavailableError, match="3 prediction records wait already, and the limit is 3"):
            recorder.add([make_record()], wait=True)
        held.free.set()
        await waited(recorder.add([], wait=True))

    asyncio.run(body())
    assert sum(map(len, held.commits)) == 3
    assert registry.get_sample_value("retina_records_lost_total", {"reason": "queue-full"}) == 2
    assert "2 lost; prediction records were lost: the queue is full" in caplog.text


def test_what_the_database_refuses_is_lost_alone(
    held: HeldStore, make_recorder: RecorderMaker, make_record: RecordMaker, registry: CollectorRegistry
) -> None:
    async def body() -> None:
        recorder = make_recorder()
        held.error = ValueError("not this one")
        recorder.add([make_record()], wait=False)
        with pytest.raises(ValueError, match="not this one"):
            await waited(recorder.add([make_record()], wait=True))
        held.error = None
        await waited(recorder.add([make_record()], wait=True))

    asyncio.run(body())
    assert registry.get_sample_value("retina_records_lost_total", {"reason": "refused"}) == 1
    assert registry.get_sample_value("retina_records_queue_length") == 0


def test_closing_writes_what_waits(held: HeldStore, make_recorder: RecorderMaker, make_record: RecordMaker) -> None:
    async def body() -> None:
        recorder = make_recorder()
        held.free.clear()
        for _ in range(5):
            recorder.add([make_record()], wait=False)
        threading.Timer(0.1, held.free.set).start()
        await asyncio.to_thread(recorder.close)
        with pytest.raises(UnavailableError):
            recorder.add([make_record()], wait=True)

    asyncio.run(body())
    assert sum(map(len, held.commits)) == 5


def test_closing_in_an_outage_says_what_is_lost(
    held: HeldStore,
    make_recorder: RecorderMaker,
    make_record: RecordMaker,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body() -> None:
        recorder = make_recorder()
        held.error = UnavailableError("gone")
        for _ in range(5):
            recorder.add([make_record()], wait=False)
        await asyncio.to_thread(recorder.close)

    asyncio.run(body())
    assert registry.get_sample_value("retina_records_lost_total", {"reason": "shutdown"}) == 5
    assert "5" in "".join(record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR)


def test_old_records_are_deleted_in_the_background(
    store: Store,
    make_recorder: RecorderMaker,
    make_record: RecordMaker,
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.records.recorder.PURGED_AT_ONCE", 2)
    today = datetime.now(UTC)
    records = [make_record(time=today - timedelta(days=days)) for days in (100, 40, 31, 29, 0)]
    store.write(records)

    async def body() -> None:
        make_recorder(store, retention_days=30)
        await until(lambda: registry.get_sample_value("retina_records_deleted_total") == 3)
        assert [store.read(record.id) is not None for record in records] == [False, False, False, True, True]

    asyncio.run(body())
