"""A prediction record before it is written."""

import hashlib
import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from models.card import Task


@dataclass(frozen=True)
class ModelFacts:
    """What a record stores of its model, so that it can be read when the model no longer exists."""

    name: str
    version: str
    digest: str
    task: Task
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """A prediction: its input, its model and its result.

    It contains no image, no file name and no patient data. So it contains no text that the client chooses, not even the
    request id.
    """

    id: uuid.UUID
    time: datetime
    model: ModelFacts
    input_digest: str
    frame: int | None
    """The DICOM frame or TIFF page, counted from 1. None if the input was a tensor or a message of the protocol."""
    probabilities: NDArray[np.float32]
    """(K,)"""
    label: str
    style_shift: float | None
    caller: str | None


@dataclass(frozen=True)
class Owner:
    """The caller whose records are seen. Without a name: the records of callers without a key."""

    name: str | None


def new_id() -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562, section 5.7).

    It begins with the time, so that new rows are neighbours in the index. It ends with 74 random bits, so that nobody
    can guess it.
    """
    milliseconds, random = time.time_ns() // 1_000_000, secrets.randbits(74)
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | (random & (2**62 - 1)))


def input_digest(data: bytes | NDArray[np.uint8]) -> str:
    """Digest of a file's bytes, as ``sha256sum`` gives it, or of a tensor's, with the algorithm in front."""
    content = data if isinstance(data, bytes) else data.data
    return "sha256:" + hashlib.sha256(content).hexdigest()


def now() -> datetime:
    """The time of a record, always in UTC."""
    return datetime.now(UTC)
