"""A count of what is decoded, and what a cache must hold."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.card import InputSpec
from models.preprocessing import preprocess
from training.data.cache.images import CachedImages
from training.data.pipeline import IMAGE
from training.datasets import Item

SPEC = InputSpec(height=8, width=10, channels=3)


class Decodings:
    """Counts the files that are decoded by any process, as lines of a file, and calls ``before`` before each."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.before = lambda: None

    def __call__(self, data: bytes, spec: InputSpec) -> Any:
        with self.log.open("a") as file:
            file.write(f"{spec.height}\n")
        self.before()
        return preprocess(data, spec)

    def take(self) -> int:
        """Their number since the last call."""
        count = len(self.log.read_text().splitlines()) if self.log.exists() else 0
        self.log.unlink(missing_ok=True)
        return count


def expected(items: list[Item]) -> NDArray[np.uint8]:
    """(N, C, H, W), by the service's own function."""
    images = [item.image for item in items]
    return np.stack([preprocess(p.read_bytes(), SPEC).pixels.transpose(2, 0, 1) for p in images if isinstance(p, Path)])


def held(images: CachedImages) -> NDArray[np.uint8]:
    return np.stack([images[index][IMAGE].numpy() for index in range(len(images))])
