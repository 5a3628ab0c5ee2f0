"""A worker's place among the processes of one service."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Seat:
    """Which of how many workers a process is. A worker that takes the place of a dead one has the same seat."""

    index: int
    """From 0."""
    count: int
    folder: Path
    """What the workers share: a folder in memory, only for this service, made at its start and removed at its end."""
