"""Atomic files: written under another name, synchronised, renamed. So a kill or a full disk leaves no partial file."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from training.errors import TrainingError


@contextmanager
def whole(path: Path, draft: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file to write as ``draft``, which gets its name at the end of the block, or is removed after an error."""
    try:
        with draft.open(mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        synchronise(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Give a file its name only after all of its content is on the disk.

    Raises:
        TrainingError: if it can't be written, for example on a full disk. An existing file of that name is not changed.
    """
    try:
        with whole(path, path.with_name(f"{path.name}.part")) as file:
            file.write(content)
    except OSError as error:
        raise TrainingError(
            f"{path} can't be written ({error.strerror}): nothing saved before is lost; make room, then start the same "
            "command with --resume"
        ) from None


def replace_text(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    with whole(path, path.with_name(f"{path.name}.draft"), "w") as file:
        file.write(text)


def synchronise(folder: Path) -> None:
    """Synchronise the names in a folder to the disk, if the system can."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sha256(path: Path) -> str:
    """The digest of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
