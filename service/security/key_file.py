"""The file of API keys: written atomically, and read again when it changes."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from models.wording import described
from service.security.keys import KeyEntry, key_id
from service.security.scopes import Caller

logger = logging.getLogger(__name__)
WRITABLE_BY_OTHERS = 0o022


class KeyFileError(ValueError):
    """The key file can't be used or changed. The text says why."""


class Content(BaseModel):
    """What is in the file."""

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    keys: list[KeyEntry] = []


class Stamp(NamedTuple):
    """Identity of the file in the file system. It changes with any change of the file or its permissions."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class KeyFile:
    """The keys that are valid now.

    If the file is missing, damaged or writable by others while the service runs, this is logged, and the keys read last
    stay valid.

    Raises:
        KeyFileError: if the file can't be used at the start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content, self.stamp = read(path)
        self.entries = {entry.id: entry for entry in content.keys}
        self.lost = False

    def check(self, key: str) -> Caller | None:
        """Return the caller of a key, or None if the key is unknown, expired or revoked."""
        self.refresh()
        entry = self.entries.get(key_id(key) or "")
        if entry is None or not entry.matches(key) or entry.status(datetime.now(UTC)) != "active":
            return None
        return entry.caller()

    def refresh(self) -> None:
        """Read the file again if it has changed. This is one call to the file system, so a revoked key ends at once."""
        try:
            stamp = Stamp.of(self.path.stat())
        except OSError as error:
            if not self.lost:
                logger.error("the key file %s can't be read (%s): the keys read before stay valid", self.path, error)
            self.lost = True
            return
        if stamp == self.stamp and not self.lost:
            return
        self.stamp, self.lost = stamp, False
        try:
            content, self.stamp = read(self.path)
        except KeyFileError as error:
            logger.error("%s: the keys read before stay valid", error)
            return
        self.entries = {entry.id: entry for entry in content.keys}
        logger.info("read %d keys from %s", len(self.entries), self.path)


def read(path: Path) -> tuple[Content, Stamp]:
    """Read a key file.

    Raises:
        KeyFileError: if it is missing or damaged, or if others than its owner may write it, since they could add a key.
            Others may read it: it contains digests of random keys, and secrets mounted into containers are often
            readable.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read()
    except OSError as error:
        raise KeyFileError(
            f"The key file {path} can't be read ({error.strerror}): make it with `python -m service keys add NAME`"
        ) from None
    if os.name == "posix" and status.st_mode & WRITABLE_BY_OTHERS:
        raise KeyFileError(f"The key file {path} can be written by others than its owner: chmod 600 {path}")
    try:
        content = Content.model_validate_json(text)
    except ValidationError as error:
        [fault, *_] = described(error.errors(), whole="the file")
        raise KeyFileError(f"The key file {path} is damaged: {fault}") from None
    return content, Stamp.of(status)


@contextmanager
def changing(path: Path) -> Iterator[list[KeyEntry]]:
    """Yield the entries to change, and write them when the block ends without an error.

    The draft beside the file is created exclusively, so it is also the lock. Of two changes at once, one is refused.

    Raises:
        KeyFileError: if the file is damaged, if the folder can't be written, or if another change is in progress.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(f"Another change of {path} is going on, or was cut off: then remove {draft}") from None
    except OSError as error:
        raise KeyFileError(f"{draft} can't be written ({error.strerror}): the folder must exist and be yours") from None
    try:
        with os.fdopen(descriptor, "w") as file:
            content = read(path)[0] if path.exists() else Content()
            yield content.keys
            file.write(content.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
