"""Where decoded images are kept, what is there, and its removal."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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


@dataclass(frozen=True)
class Entry:
    """A file of decoded images, ``path``, with its index."""

    path: Path
    index: Index

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


def read_index(path: Path) -> Index | None:
    """The index in a file; None if it is damaged or was removed meanwhile."""
    try:
        return Index.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def entries(folder: Path) -> Iterator[Entry]:
    """All complete files of decoded images below a folder."""
    for path in sorted(folder.glob("*/*.json")):
        if NAME.fullmatch(path.parent.name) and (index := read_index(path)) is not None:
            yield Entry(path.with_suffix(".npy"), index)


def clear(folder: Path) -> int:
    """Remove what was written into a folder, drafts of killed processes too, and return the bytes that became free.

    A process that uses the images keeps them until it ends.
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
