"""The folder of the results: its lock, what the run is of, and parts that appear whole or not at all."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.durable import synchronise
from service.scoring.counts import Counts
from service.scoring.errors import ScoringError

if sys.platform != "win32":
    import fcntl

RUN, LOCK = "run.json", ".lock"
DRAFT = ".draft"
PART = re.compile(r"part-(\d{5,})\.parquet")
COUNTS = b"retina_srm.counts"
"""The key of a part's counts in its metadata."""


class Run(BaseModel):
    """What the results are of. A run goes on only with the same."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    model: str
    version: str
    digest: str
    """Of the model package."""
    source: str
    images: int = Field(ge=1)
    """Entries of the source, whether they are images or not."""
    listing: str
    """SHA-256 over the names and carried columns of the source, in order."""
    rows: int = Field(ge=1)
    """Entries of the source in a part."""
    frame: int | None
    style_shift: str
    """As the setting says: whether an image that is unlike training gets no label."""
    out_of_scope: str
    software: str

    @property
    def parts(self) -> int:
        return -(-self.images // self.rows)

    def span(self, part: int) -> tuple[int, int]:
        """The first entry of a part, and the one behind its last."""
        return part * self.rows, min((part + 1) * self.rows, self.images)


WORDS = {
    "model": "the model {}",
    "version": "version {} of the model",
    "digest": "the model package {}",
    "source": "the source {}",
    "images": "{} entries in the source",
    "listing": "a source with the list {}",
    "rows": "--rows {}",
    "frame": "--frame {}",
    "style_shift": "RETINA_STYLE_SHIFT={}",
    "out_of_scope": "RETINA_OUT_OF_SCOPE={}",
}


class Results:
    """A folder of results.

    Raises:
        ScoringError: if it can't be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ScoringError(f"{folder} can't be made ({error.strerror}): name another folder with --to") from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder's lock. The system gives it back when the process ends in any way. Not on Windows.

        Raises:
            ScoringError: if another run has it.
        """
        try:
            file = (self.folder / LOCK).open("a")
        except OSError as error:
            raise ScoringError(f"{self.folder} can't be written ({error.strerror}): check its rights") from None
        with file:
            if sys.platform != "win32":
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise ScoringError(
                        f"Another run writes to {self.folder}: wait until it ends, or name another folder with --to"
                    ) from None
            yield

    def before(self) -> Run | None:
        """Return what the results in the folder are of; None if there are none.

        Raises:
            ScoringError: if that can't be read, or if there are results without it.
        """
        path = self.folder / RUN
        try:
            return Run.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            if any(self.folder.glob("*.parquet")):
                raise ScoringError(
                    f"{self.folder} holds Parquet files without {RUN}: name an empty folder with --to"
                ) from None
            return None
        except (OSError, ValidationError) as error:
            raise ScoringError(f"{path} can't be used ({error}): name another folder with --to") from None

    def begin(self, run: Run) -> None:
        """Go on with what is in the folder, or write down what it will hold. Unfinished parts are removed.

        Raises:
            ScoringError: if the folder holds results of something else.
        """
        before = self.before()
        if before is None:
            draft = self.draft(RUN)
            draft.write_text(run.model_dump_json(indent=2) + "\n")
            self.publish(draft, RUN)
        elif differences := [name for name in WORDS if getattr(before, name) != getattr(run, name)]:
            name = differences[0]
            was, now = (WORDS[name].format(getattr(of, name)) for of in (before, run))
            raise ScoringError(
                f"{self.folder} holds results of {was}, and this run is of {now}: name another folder with --to, or "
                "start it as before"
            )
        self.tidy()

    def finished(self, parts: int) -> dict[int, Counts]:
        """The counts of the finished parts, by number.

        Raises:
            ScoringError: if one of them can't be read.
        """
        found = {}
        for path in sorted(self.folder.glob("part-*.parquet")):
            if (match := PART.fullmatch(path.name)) and int(match[1]) < parts:
                found[int(match[1])] = counts_of(path)
        return found

    def draft(self, name: str) -> Path:
        """Where a file is written before it gets its name."""
        return self.folder / f".{name}{DRAFT}"

    def publish(self, draft: Path, name: str) -> None:
        """Give a file its name, once all of it is on the disk."""
        synchronise(draft)
        draft.replace(self.folder / name)
        synchronise(self.folder)

    def receive(self, name: str, content: bytes | None) -> None:
        """Write a whole file that was made elsewhere. Without content there is none: one of that name is removed."""
        if content is None:
            (self.folder / name).unlink(missing_ok=True)
            return
        draft = self.draft(name)
        draft.write_bytes(content)
        self.publish(draft, name)

    def unwritable(self, error: OSError) -> ScoringError:
        return ScoringError(
            f"{self.folder} can't be written ({error.strerror or error}): finished parts are kept; make room, then "
            "start the same command again"
        )

    def tidy(self) -> None:
        """Remove what was never finished."""
        for draft in self.folder.glob(f".*{DRAFT}"):
            draft.unlink(missing_ok=True)


def counts_of(path: Path) -> Counts:
    """The counts of a finished part.

    Raises:
        ScoringError: if it can't be read.
    """
    try:
        return Counts(**json.loads(pq.read_metadata(path).metadata[COUNTS]))
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise ScoringError(
            f"{path} can't be read ({error}): delete it, and the same command scores this part again"
        ) from None


def part_name(part: int) -> str:
    return f"part-{part:05}.parquet"


def failed_name(part: int) -> str:
    return f"failed-{part:05}.parquet"


def metadata(facts: dict[str, Any]) -> dict[str, str]:
    """Facts as the metadata of a Parquet file: text as it is, all else as JSON."""
    return {f"retina_srm.{name}": f if isinstance(f, str) else json.dumps(f) for name, f in facts.items()}
