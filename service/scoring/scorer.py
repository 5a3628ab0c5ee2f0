"""From the items of a source to finished parts, with a thread for each CPU that reads, decodes and runs batches."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from models.preprocessing import ImageError, ImageFault, Preprocessed
from service.file_names import readable
from service.http.answers import prediction
from service.inference.predictor import BulkPredictor
from service.inference.runtime import Model, Outputs
from service.scoring.errors import ScoringError
from service.scoring.items import Item, Source
from service.scoring.results import Results, Run
from service.scoring.sources import is_named_like_an_image
from service.scoring.tables import OTHER, Failed, Part, Scored, Tables
from service.settings import Settings

ROWS_AT_ONCE = 512
"""Rows that are written at once: a row group."""
DEPTH = 4
"""Chunks in flight for each thread: the others go on while one takes long."""
UNREADABLE = "unreadable"
DICOM_INDEX = "DICOMDIR"
"""The index of a DICOM medium (PS3.10, 8.6), which is a DICOM file without an image."""
OUTAGE = 16
"""So many entries in a row that can't be read, though they are there, mean that their store is gone."""


class Chunk(NamedTuple):
    """Entries that a thread decodes and runs together."""

    part: int
    items: list[Item]
    last: bool
    """Whether their part ends with them."""


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
        self.predictor = BulkPredictor(model, settings)
        threads = max(self.predictor.threads, source.reads)
        self.most = DEPTH * threads
        self.threads = ThreadPoolExecutor(threads, "score")
        self.writer = ThreadPoolExecutor(1, "write")
        self.part: Part | None = None
        """Whose rows are collected."""
        self.scored, self.failed = list[Scored](), list[Failed]()
        self.waiting: deque[Rows] = deque()
        """To be written. While one entry after another can't be read, no part is finished: its store may be gone."""
        self.writing: Future[None] | None = None
        self.unreadable = 0
        self.stopped = False

    def score(self, parts: Iterable[int]) -> None:
        """Score parts. After an error or a signal those that are finished stay, and nothing of the others.

        Raises:
            ScoringError: if the source can't be read any longer, or the results can't be written.
        """
        flight: deque[tuple[Chunk, Future[list[Scored | Failed]]]] = deque()
        chunks = self.chunks(parts)
        try:
            while True:
                while len(flight) < self.most and (chunk := next(chunks, None)):
                    flight.append((chunk, self.threads.submit(self.rows, chunk.items)))
                if not flight:
                    break
                chunk, rows = flight.popleft()
                self.collect(chunk, rows.result())
            self.hand_over()
            self.written()
        except OSError as error:
            raise self.results.unwritable(error) from error
        finally:
            self.stopped = True
            self.threads.shutdown(cancel_futures=True)
            self.writer.shutdown()
            self.results.tidy()

    def chunks(self, parts: Iterable[int]) -> Iterator[Chunk]:
        for part in parts:
            start, stop = self.run.span(part)
            items = self.source.items(start, stop)
            while start < stop:
                chunk = list(islice(items, self.predictor.batch))
                start += len(chunk)
                yield Chunk(part, chunk, last=start == stop)

    def collect(self, chunk: Chunk, rows: Iterable[Scored | Failed]) -> None:
        """Take the rows of a chunk, in the order of the source, and write them once they make a row group."""
        self.part = self.part or Part(self.results, chunk.part, self.tables)
        for row in rows:
            if isinstance(row, Scored):
                self.scored.append(row)
            else:
                self.failed.append(row)
            self.notice(row)
        if chunk.last or len(self.scored) + len(self.failed) >= ROWS_AT_ONCE:
            collected = Rows(self.part, self.scored, self.failed, chunk.last)
            self.scored, self.failed = [], []
            self.waiting.append(collected)
            if not self.unreadable:
                self.hand_over()
            failures = sum(row.reason != OTHER for row in collected.failed)
            self.advance(len(collected.scored) + len(collected.failed), failures)
        if chunk.last:
            self.part = None

    def hand_over(self) -> None:
        """Give the rows that wait to the thread of the writer."""
        while self.waiting:
            self.written()
            self.writing = self.writer.submit(self.write, self.waiting.popleft())

    def write(self, rows: Rows) -> None:
        """Write rows, in the thread of the writer."""
        rows.part.write(rows.scored, rows.failed)
        if rows.last:
            rows.part.finish()

    def written(self) -> None:
        """Wait for the rows that are being written, and raise their error."""
        if self.writing is not None:
            self.writing.result()
            self.writing = None

    def rows(self, items: Sequence[Item]) -> list[Scored | Failed]:
        """Read, decode and run entries, in a thread."""
        read: list[str | Failed] = []
        """Of each entry its SHA-256, or why there is none."""

        def files() -> Iterator[bytes]:
            for item in items:
                if self.stopped:
                    raise CancelledError
                content = self.fetch(item)
                if isinstance(content, Failed):
                    read.append(content)
                else:
                    read.append(content[1])
                    yield content[0]

        answers = iter(self.predictor.predict(files(), self.run.frame))
        return [
            entry if isinstance(entry, Failed) else self.row(item, entry, next(answers))
            for item, entry in zip(items, read, strict=True)
        ]

    def row(self, item: Item, digest: str, answer: tuple[Preprocessed, Outputs] | ImageError) -> Scored | Failed:
        """The row of an entry that was read."""
        if isinstance(answer, ImageError):
            reason = OTHER if self.is_other(item.name, answer.fault) else answer.fault
            return Failed(readable(item.name), item.carried, digest, reason, str(answer))
        image, outputs = answer
        said = prediction(
            self.model.card, image, outputs, file=None, weights="none", activation_map=False, abstain=self.abstain
        )
        gates = np.array(outputs.recalibration_weights)  # a copy: the outputs are views of a batch with its maps
        return Scored(readable(item.name), item.carried, digest, said, gates)

    def is_other(self, name: str, fault: ImageFault) -> bool:
        """Whether a file was only found in a folder, and nobody would expect an image in it."""
        if self.source.kind != "folder":
            return False
        if PurePosixPath(name).name == DICOM_INDEX:
            return True
        return fault == "unrecognised" and not is_named_like_an_image(name)

    def fetch(self, item: Item) -> tuple[bytes, str] | Failed:
        """Read an entry and its SHA-256."""
        try:
            data = item.read()
        except ScoringError:
            raise
        except FileNotFoundError:
            return unread(item, "missing", "The file does not exist: check its name.")
        except PermissionError:
            return unread(item, "no-access", "The file can't be read: check its rights.")
        except IsADirectoryError:
            return unread(item, "missing", "The name is that of a folder: name a file.")
        except Exception as error:  # the libraries of stores have no common base
            return unread(item, UNREADABLE, f"The file can't be read ({type(error).__name__}: {error}).")
        return data, hashlib.sha256(data).hexdigest()

    def notice(self, row: Scored | Failed) -> None:
        """Stop where the store is gone: its images would all be failures, and no later run would read them."""
        self.unreadable = self.unreadable + 1 if isinstance(row, Failed) and row.reason == UNREADABLE else 0
        if self.unreadable == OUTAGE:
            assert isinstance(row, Failed)
            raise ScoringError(
                f"{OUTAGE} entries in a row can't be read, the last of them {row.name}: {row.sentence} Finished parts "
                "are kept; start the same command again when the source can be read"
            )


def unread(item: Item, reason: str, sentence: str) -> Failed:
    return Failed(readable(item.name), item.carried, None, reason, sentence)
