"""From the items of a source to finished parts, with enough images in flight to keep every CPU at work."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from models.cpu import usable_cpus
from models.preprocessing import ImageFault
from service.file_names import readable
from service.http.answers import prediction
from service.inference.errors import UnusableImageError
from service.inference.predictor import Predictor
from service.inference.runtime import Model
from service.observing.metrics import Metrics
from service.scoring.counts import Counts
from service.scoring.errors import ScoringError
from service.scoring.items import Item, Source
from service.scoring.results import Results, Run
from service.scoring.sources import is_named_like_an_image
from service.scoring.tables import OTHER, Failed, Part, Scored, Tables
from service.settings import Settings

ROWS_AT_ONCE = 512
"""Rows that are written at once: a row group."""
DEPTH = 4
"""Images in flight for each that runs: one runs, one waits for it, one is decoded, one is read."""
UNREADABLE = "unreadable"
DICOM_INDEX = "DICOMDIR"
"""The index of a DICOM medium (PS3.10, 8.6), which is a DICOM file without an image."""
OUTAGE = 16
"""So many entries in a row that can't be read, though they are there, mean that their store is gone."""


class Entry(NamedTuple):
    """An entry in flight."""

    part: int
    last: bool
    """Whether its part ends with it."""
    row: asyncio.Task[Scored | Failed]


class Rows(NamedTuple):
    """Rows to write into a part."""

    part: Part
    scored: list[Scored]
    failed: list[Failed]
    last: bool
    """Whether the part is finished with them."""


class Scorer:
    """Scores parts of a source.

    Args:
        model: The loaded model.
        settings: Of these count the threads, the batches and the limits on an image.
        run: What the results are of.
        advance: Called with the numbers of entries and failures since the last call.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        source: Source,
        results: Results,
        run: Run,
        tables: Tables,
        advance: Callable[[int, int], None],
    ) -> None:
        self.model = model
        self.source = source
        self.results = results
        self.run = run
        self.tables = tables
        self.advance = advance
        self.abstain = run.style_shift == "abstain"
        cpus = settings.decode_threads or usable_cpus()
        at_work = model.plan.streams * min(model.plan.batch, settings.max_batch_size)
        self.most = max(DEPTH * max(at_work, cpus), 2 * source.reads)
        self.most_bytes = settings.max_upload_bytes
        self.bytes = 0
        """Of the files in flight."""
        self.room = asyncio.Event()
        self.room.set()
        own = settings.model_copy(update={"queue_size": self.most, "caller_share": 1.0, "batch_delay_ms": 0.0})
        self.predictor = Predictor(own, Metrics())
        self.predictor.add(model)
        self.readers = ThreadPoolExecutor(source.reads or cpus, "read")
        self.reading = asyncio.Semaphore(source.reads or cpus)
        self.writer = ThreadPoolExecutor(1, "write")
        self.waiting: deque[Rows] = deque()
        """To be written. While one entry after another can't be read, no part is finished: its store may be gone."""
        self.writing: Future[None] | None = None
        self.found: dict[int, Counts] = {}
        """The counts of the parts that this run has finished."""
        self.unreadable = 0

    async def score(self, parts: Iterable[int]) -> None:
        """Score parts. After an error or a cancellation those that are finished stay, and nothing of the others.

        Raises:
            ScoringError: if the source can't be read any longer, or the results can't be written.
        """
        flight: deque[Entry] = deque()
        try:
            await self.keep_going(flight, self.work(parts))
            await self.hand_over()
            await self.written()
        except OSError as error:
            raise self.results.unwritable(error) from error
        finally:
            for entry in flight:
                entry.row.cancel()
            await asyncio.gather(*(entry.row for entry in flight), return_exceptions=True)
            self.readers.shutdown(cancel_futures=True)
            self.predictor.close()
            self.writer.shutdown()
            self.results.tidy()

    async def keep_going(self, flight: deque[Entry], work: Iterator[tuple[int, bool, Item]]) -> None:
        """Take entries in their order, and write their rows."""
        loop = asyncio.get_running_loop()
        scored, failed = list[Scored](), list[Failed]()
        part: Part | None = None
        while True:
            while len(flight) < self.most and (next_one := next(work, None)):
                number, last, item = next_one
                flight.append(Entry(number, last, loop.create_task(self.one(item))))
            if not flight:
                return
            entry = flight[0]
            row = await entry.row
            flight.popleft()
            part = part or Part(self.results, entry.part, self.tables)
            if isinstance(row, Scored):
                scored.append(row)
            else:
                failed.append(row)
            self.notice(row)
            if entry.last or len(scored) + len(failed) == ROWS_AT_ONCE:
                self.waiting.append(Rows(part, scored, failed, entry.last))
                if not self.unreadable:
                    await self.hand_over()
                self.advance(len(scored) + len(failed), sum(row.reason != OTHER for row in failed))
                scored, failed = [], []
            if entry.last:
                part = None

    def work(self, parts: Iterable[int]) -> Iterator[tuple[int, bool, Item]]:
        for part in parts:
            start, stop = self.run.span(part)
            for index, item in enumerate(self.source.items(start, stop), start):
                yield part, index == stop - 1, item

    async def hand_over(self) -> None:
        """Give the rows that wait to the thread of the writer."""
        while self.waiting:
            await self.written()
            self.writing = self.writer.submit(self.write, self.waiting.popleft())

    def write(self, rows: Rows) -> None:
        """Write rows, in the thread of the writer."""
        rows.part.write(rows.scored, rows.failed)
        if rows.last:
            self.found[rows.part.number] = rows.part.finish()

    async def written(self) -> None:
        """Wait for the rows that are being written, and raise their error."""
        if self.writing is not None:
            await asyncio.wrap_future(self.writing)
            self.writing = None

    async def one(self, item: Item) -> Scored | Failed:
        """Read, decode and run one entry."""
        async with self.reading:
            await self.room.wait()
            content = await asyncio.get_running_loop().run_in_executor(self.readers, self.fetch, item)
            if isinstance(content, Failed):
                return content
            data, digest = content
            self.hold(len(data))
        try:
            [(image, outputs)] = await self.predictor.predict(self.model, [data], self.run.frame)
        except UnusableImageError as error:
            fault = error.reason.fault
            reason = OTHER if self.is_other(item.name, fault) else fault
            return Failed(readable(item.name), item.carried, digest, reason, str(error))
        finally:
            self.hold(-len(data))
        answer = prediction(
            self.model.card, image, outputs, file=None, weights="none", activation_map=False, abstain=self.abstain
        )
        gates = np.array(outputs.recalibration_weights)  # a copy: the outputs are views of a batch with its maps
        return Scored(readable(item.name), item.carried, digest, answer, gates)

    def hold(self, more: int) -> None:
        """Count bytes of files in flight, and let others be read only while there is room."""
        self.bytes += more
        if self.bytes < self.most_bytes:
            self.room.set()
        else:
            self.room.clear()

    def is_other(self, name: str, fault: ImageFault) -> bool:
        """Whether a file was only found in a folder, and nobody would expect an image in it."""
        if self.source.kind != "folder":
            return False
        if PurePosixPath(name).name == DICOM_INDEX:
            return True
        return fault == "unrecognised" and not is_named_like_an_image(name)

    def fetch(self, item: Item) -> tuple[bytes, str] | Failed:
        """Read an entry and its SHA-256, in a thread of the readers."""
        try:
            data = item.read()
        except ScoringError:
            raise
        except FileNotFoundError:
            return self.failed(item, "missing", "The file does not exist: check its name.")
        except PermissionError:
            return self.failed(item, "no-access", "The file can't be read: check its rights.")
        except IsADirectoryError:
            return self.failed(item, "missing", "The name is that of a folder: name a file.")
        except Exception as error:  # the libraries of stores have no common base
            return self.failed(item, UNREADABLE, f"The file can't be read ({type(error).__name__}: {error}).")
        return data, hashlib.sha256(data).hexdigest()

    def failed(self, item: Item, reason: str, sentence: str) -> Failed:
        return Failed(readable(item.name), item.carried, None, reason, sentence)

    def notice(self, row: Scored | Failed) -> None:
        """Stop where the store is gone: its images would all be failures, and no later run would read them."""
        self.unreadable = self.unreadable + 1 if isinstance(row, Failed) and row.reason == UNREADABLE else 0
        if self.unreadable == OUTAGE:
            assert isinstance(row, Failed)
            raise ScoringError(
                f"{OUTAGE} entries in a row can't be read, the last of them {row.name}: {row.sentence} Finished parts "
                "are kept; start the same command again when the source can be read"
            )
