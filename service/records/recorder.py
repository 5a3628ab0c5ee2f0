"""Group commit: one thread writes, and all waiting records are committed together.

The longer a commit takes, the more records share the next one. So a slow database makes records wait longer, but hardly
reduces the number of records per second.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from service.records.errors import RecordsError, UnavailableError, UncertainError
from service.records.metrics import RecordMetrics
from service.records.record import Record, now
from service.records.store import Store

logger = logging.getLogger(__name__)
Loss = Literal["queue-full", "refused", "shutdown"]

LARGEST_COMMIT = 1000
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
CLOSE_S = 5.0
PURGE_EVERY_S = 3600.0
PURGED_AT_ONCE = 1000
LOG_EVERY_S = 10.0


@dataclass(frozen=True)
class Entry:
    """The records of one request. ``future`` is set once they are committed, if somebody waits for that."""

    records: Sequence[Record]
    future: asyncio.Future[None] | None
    withdrawn: Sequence[UUID] = ()
    """Records that were committed, or may have been, and whose answers were not sent."""

    @property
    def is_abandoned(self) -> bool:
        """Whether somebody waited for these records and gave up: their answer is not sent."""
        return self.future is not None and self.future.cancelled()


class Recorder:
    """The queue in front of the database, and the thread that empties it.

    Records that somebody waits for succeed or fail with their commit. If the waiting ends earlier, no answer is sent,
    so the records are not written, or are taken back. The others stay in the queue while the database is unavailable.
    If the queue is full, records are lost; this is counted and logged.

    Args:
        store: Where the records are written.
        metrics: The metrics to update.
        queue_size: Limit of waiting records.
        retention_days: Age at which records are deleted, with their feedback; 0 keeps them.
    """

    def __init__(self, store: Store, metrics: RecordMetrics, *, queue_size: int, retention_days: int) -> None:
        self.store = store
        self.metrics = metrics
        self.queue_size = queue_size
        self.retention = timedelta(days=retention_days) if retention_days else None
        self.queue: deque[Entry] = deque()
        self.waiting = 0
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self.wait_s = FIRST_WAIT_S
        self.next_purge = time.monotonic()
        self.next_log = 0.0
        self.unlogged = 0
        self.thread = threading.Thread(target=self.run, name="records", daemon=True)

    def start(self) -> None:
        """Start the thread that writes."""
        self.thread.start()

    def add(self, records: Sequence[Record], *, wait: bool) -> asyncio.Future[None] | None:
        """Queue records. Called in the thread of the event loop; it never blocks.

        With ``wait`` it returns a future that ends when these records, and all added before, are committed.

        Raises:
            UnavailableError: if ``wait`` is set and the queue is full or about to close. Without ``wait`` they are
                lost.
        """
        future = asyncio.get_running_loop().create_future() if wait else None
        with self.changed:
            fits = self.waiting + len(records) <= self.queue_size and not self.closing.is_set()
            if fits:
                self.queue.append(Entry(records, future))
                self.count(len(records))
                self.changed.notify()
        if not fits:
            if future is not None:
                raise UnavailableError(
                    f"{self.waiting} prediction records wait already, and the limit is {self.queue_size}"
                )
            self.lose(len(records), "queue-full", "the queue is full")
        return future

    def withdraw(self, record_ids: Sequence[UUID]) -> None:
        """Take back records that were committed, or may have been, and whose answers were not sent. It never blocks."""
        if record_ids:
            with self.changed:
                self.queue.append(Entry((), None, record_ids))
                self.changed.notify()

    def count(self, change: int) -> None:
        self.waiting += change
        self.metrics.queue_length.set(self.waiting)

    def run(self) -> None:
        """Write until closed and empty. This is the main function of the thread."""
        while True:
            entries = self.take()
            if entries:
                self.write(entries)
            elif self.closing.is_set():
                return
            if self.retention is not None and time.monotonic() >= self.next_purge:
                self.purge()

    def take(self) -> list[Entry]:
        """Return waiting records, as many as fit into one commit. Empty when it is time to purge, or when closing."""
        with self.changed:
            until_purge = max(0.0, self.next_purge - time.monotonic()) if self.retention is not None else None
            if not self.queue and not self.closing.is_set():
                self.changed.wait(until_purge)
            entries, size = [], 0
            while self.queue and size < LARGEST_COMMIT:
                entry = self.queue.popleft()
                if entry.is_abandoned:
                    self.count(-len(entry.records))
                    self.metrics.withdrawn.inc(len(entry.records))
                    continue
                entries.append(entry)
                size += len(entry.records) + len(entry.withdrawn)
            return entries

    def write(self, entries: list[Entry]) -> None:
        records = [record for entry in entries for record in entry.records]
        withdrawn = [record_id for entry in entries for record_id in entry.withdrawn]
        start = time.perf_counter()
        try:
            if withdrawn:
                self.store.withdraw(withdrawn)
            self.store.write(records)
        except (UnavailableError, RecordsError) as error:
            self.metrics.failures.inc()
            self.postpone(entries, error)
        except Exception as error:  # whatever the error is, the next records must still be written
            logger.exception("the database refused prediction records")
            unwaited = self.settle(entries, error)
            self.lose(sum(len(entry.records) for entry in unwaited), "refused", "the database refused them")
            with self.changed:
                self.count(-len(records))
        else:
            self.wait_s = FIRST_WAIT_S
            if records:
                self.metrics.commit_seconds.observe(time.perf_counter() - start)
                self.metrics.written.inc(len(records))
            self.metrics.withdrawn.inc(len(withdrawn))
            with self.changed:
                self.count(-len(records))
            self.settle(entries, None)

    def postpone(self, entries: list[Entry], error: Exception) -> None:
        """Fail the records that somebody waits for, and queue the others again for the next attempt."""
        unwaited = self.settle(entries, error)
        if isinstance(error, UncertainError):
            unsent = [record.id for entry in entries if entry.future is not None for record in entry.records]
            unwaited += [Entry((), None, unsent)] if unsent else []
        kept = sum(len(entry.records) for entry in unwaited)
        with self.changed:
            self.count(kept - sum(len(entry.records) for entry in entries))
            if not self.closing.is_set():
                self.queue.extendleft(reversed(unwaited))
        if self.closing.is_set():
            self.lose(kept, "shutdown", str(error))
            with self.changed:
                self.count(-kept)
        elif kept:
            self.log(f"prediction records can't be written, {self.waiting} wait: {error}")
            self.closing.wait(self.wait_s)
            self.wait_s = min(2 * self.wait_s, LONGEST_WAIT_S)
        else:
            self.log(f"prediction records can't be written: {error}")
            with self.changed:  # what is taken back can wait, but not longer than until somebody waits for a record
                if self.queue and not any(entry.future for entry in self.queue) and not self.closing.is_set():
                    self.changed.wait(LONGEST_WAIT_S)

    def lose(self, count: int, reason: Loss, why: str) -> None:
        if count:
            self.metrics.lost.labels(reason).inc(count)
            self.unlogged += count
            self.log(f"prediction records were lost: {why}")

    def log(self, text: str) -> None:
        """Log an error, but not for every request."""
        if time.monotonic() >= self.next_log:
            self.next_log = time.monotonic() + LOG_EVERY_S
            lost, self.unlogged = self.unlogged, 0
            logger.error("%s%s", f"{lost} lost; " if lost else "", text)

    def purge(self) -> None:
        """Delete some of the records that are too old. New ones are written in between."""
        assert self.retention is not None
        try:
            deleted = self.store.delete_before(now() - self.retention, PURGED_AT_ONCE)
        except Exception:  # the next attempt may succeed, and records must still be written
            logger.exception("old prediction records can't be deleted")
            deleted = 0
        self.metrics.deleted.inc(deleted)
        if deleted < PURGED_AT_ONCE:
            self.next_purge = time.monotonic() + PURGE_EVERY_S

    def close(self) -> None:
        """Write the waiting records, with one more attempt if the database is unavailable, and end.

        Takes some seconds at most.
        """
        self.closing.set()
        with self.changed:
            self.changed.notify()
        self.thread.join(CLOSE_S)
        if self.thread.is_alive():
            logger.error("%d prediction records were lost: the database does not answer", self.waiting)
            return
        if self.unlogged:
            logger.error("%d prediction records were lost", self.unlogged)
        self.store.close()

    def settle(self, entries: Sequence[Entry], error: Exception | None) -> list[Entry]:
        """Set the futures, in the thread of their event loop, and return the entries that nobody waits for."""
        waited = [entry for entry in entries if entry.future is not None]
        if waited and waited[0].future is not None:
            waited[0].future.get_loop().call_soon_threadsafe(self.tell, waited, error)
        return [entry for entry in entries if entry.future is None]

    def tell(self, entries: Sequence[Entry], error: Exception | None) -> None:
        for entry in entries:
            if entry.future is None:
                continue
            if entry.future.done():  # cancelled while the commit ran, so its answer was not sent
                if error is None:
                    self.withdraw([record.id for record in entry.records])
            elif error is None:
                entry.future.set_result(None)
            else:
                entry.future.set_exception(error)
