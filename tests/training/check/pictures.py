"""Pictures that differ as much as retinas of different people should, and entries of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from training.check.scan import Scan, scan
from training.check.source import Entry


def picture(seed: int, width: int = 48, height: int = 48) -> Image.Image:
    """Smooth random patches with a little noise, the same for the same seed."""
    random = np.random.default_rng(seed)
    patches = Image.fromarray(random.integers(30, 220, (20, 20), dtype=np.uint8))
    smooth = np.asarray(patches.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + random.integers(-2, 3, smooth.shape)).clip(0, 255).astype(np.uint8))


def entry(
    number: int, image: Image.Image | Path, label: str = "a", split: str | None = None, patient: str | None = None
) -> Entry:
    return Entry(f"i{number}", image if isinstance(image, Path) else np.asarray(image), label, split, patient)


def scans(images: Sequence[Image.Image]) -> list[Scan]:
    found = scan([entry(number, image) for number, image in enumerate(images)])
    assert all(isinstance(result, Scan) for result in found), found
    return [result for result in found if isinstance(result, Scan)]
