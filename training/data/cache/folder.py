"""Where decoded images and unpacked arrays are kept, what is there, and its removal."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from models.card import InputSpec

VARIABLE = "RETINA_TRAINING_CACHE"
SUFFIXES = {".npy", ".json", ".lock", ".part", ".draft"}
"""Of the files that this package writes; nothing else is ever removed."""
NAME = re.compile("[0-9a-f]{32}")


class Index(BaseModel):
    """What a file of decoded images holds. It lies beside the file, and is written last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: InputSpec
    """How the images became the network's input."""
    preprocessing: int
    """The version of that code."""
    decoders: dict[str, str]
    """The libraries that decoded and resized the images, by version."""
    source: str
    """The folder that held all of the files."""
    written: datetime
    images: list[str]
    """The key of the image in each row."""
    unreadable: dict[str, str]
    """Key to the reason, of images that can't be read. They have no row."""


class Unpacked(BaseModel):
    """What an unpacked array is. It lies beside the file, and is written last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    """The ``.npz`` file."""
    array: str
    """The array's file in it."""
    shape: tuple[int, ...]
    written: datetime


AnyIndex = TypeVar("AnyIndex", Index, Unpacked)


@dataclass(frozen=True)
class Entry:
    """A file of decoded images or an unpacked array, ``path``, with its index."""

    path: Path
    index: Index | Unpacked

    @property
    def size(self) -> int:
        """In bytes, with the index."""
        files = (self.path, self.path.with_suffix(".json"))
        return sum(file.stat().st_size for file in files if file.is_file())


def cache_folder() -> Path:
    """The folder that ``RETINA_TRAINING_CACHE`` names; else ``retina-srm`` in the user's folder for caches."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "retina-srm"


def read_index(path: Path, kind: type[AnyIndex]) -> AnyIndex | None:
    """The index in a file; None if it is of another kind, damaged, or was removed meanwhile."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def entries(folder: Path) -> Iterator[Entry]:
    """All complete files of decoded images and unpacked arrays below a folder."""
    for path in sorted(folder.glob("*/*.json")):
        if NAME.fullmatch(path.parent.name):
            index = read_index(path, Index) or read_index(path, Unpacked)
            if index is not None:
                yield Entry(path.with_suffix(".npy"), index)


def clear(folder: Path) -> int:
    """Remove what was written into a folder, drafts of killed processes too, and return the bytes that became free.

    A process that uses them keeps them until it ends.
    """
    freed = 0
    for inner in folder.iterdir() if folder.is_dir() else ():
        if not (NAME.fullmatch(inner.name) and inner.is_dir()):
            continue
        for path in inner.iterdir():
            if path.suffix in SUFFIXES:
                freed += path.stat().st_size
                path.unlink()
        if not any(inner.iterdir()):
            inner.rmdir()
    return freed


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
