"""Memory of a training process on data of OCTMNIST's size at 224 px: 97,477 grey images to train on.

    python -m tests.benchmarks.large_data
    python -m tests.benchmarks.large_data --channels 3

Makes an ``.npz`` in MedMNIST's layout, of images that compress well, and does all that `fit` does with images but
train: reads and measures them, then gives two epochs of batches of 256. Prints the peak of anonymous memory, which is
the process's own; memory-mapped files are the page cache's, which processes share. Needs 6 GB of disk, or 25 with 3
channels.

Exits with 1 if the peak is 2 GB or more.
"""

import io
import os
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.lib import format as npy

from tests.training.tiny_data import tiny_recipe
from training.data.batches import ShuffledBatches, training_loader
from training.data.cache.folder import VARIABLE
from training.data.pipeline import loader
from training.fitting.material import gather_material, validation_images

COUNTS = {"train": 97_477, "val": 10_832, "test": 1_000}
SIZE, CLASSES, CHUNK = 224, 4, 1024
BATCH = 256
LIMIT = 2.0
"""GB of anonymous memory."""


class Peak:
    """The largest anonymous memory of this process, in GB, looked at 50 times a second."""

    value = 0.0

    def __init__(self) -> None:
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self) -> None:
        while True:
            status = Path("/proc/self/status").read_text()
            self.value = max(self.value, int(status.partition("RssAnon:")[2].split()[0]) / 1e6)
            time.sleep(0.02)


def write_archive(path: Path, counts: dict[str, int]) -> None:
    """Images of squares and slow gradients, each with a number of its own in its first pixels."""
    random = np.random.default_rng(0)
    images = random.integers(0, 12, (CHUNK, 14, 14), dtype=np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    images += np.arange(SIZE, dtype=np.uint8)[:, None] // 64
    images += np.arange(CHUNK, dtype=np.uint16)[:, None, None].astype(np.uint8) % 30
    images *= 5
    written = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for split, count in counts.items():
            with archive.open(f"{split}_images.npy", "w", force_zip64=True) as file:
                npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (count, SIZE, SIZE)})
                for start in range(0, count, CHUNK):
                    chunk = images[: min(CHUNK, count - start)]
                    numbers = np.arange(written, written + len(chunk), dtype=np.int64)
                    chunk[:, 0, :8] = numbers.view(np.uint8).reshape(-1, 8)
                    written += len(chunk)
                    file.write(chunk.data)
            labels = io.BytesIO()
            np.save(labels, (np.arange(count) % CLASSES).astype(np.uint8)[:, None])
            archive.writestr(f"{split}_labels.npy", labels.getvalue())


def main(
    channels: Annotated[int, typer.Option(help="1: the images as they are; 3: each is written to the cache")] = 1,
    share: Annotated[float, typer.Option(help="Part of the images, for a trial")] = 1.0,
) -> None:
    """Print seconds and peak memory of each part."""
    peak = Peak()
    start = time.perf_counter()

    def say(part: str) -> None:
        nonlocal start
        print(f"{part:<28}{time.perf_counter() - start:>8.1f} s, peak {peak.value:.2f} GB", flush=True)
        start = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = str(Path(folder) / "cache")
        path = Path(folder) / "large.npz"
        write_archive(path, {split: max(BATCH, int(share * count)) for split, count in COUNTS.items()})
        say("archive written")
        recipe = tiny_recipe(
            path, dataset="octmnist", task="multi-class", input={"size": SIZE, "channels": channels}, batch_size=BATCH
        )
        material = gather_material(recipe)
        validation = validation_images(recipe, material)
        say("data read and measured")
        for epoch in range(2):
            order = ShuffledBatches(len(material.images), BATCH, seed=epoch)
            images = sum(len(batch["image"]) for batch in training_loader(material.images, order))
            images += sum(len(batch["image"]) for batch in loader(validation, BATCH))
            say(f"epoch {epoch + 1}, {images} images")
    sys.exit(peak.value >= LIMIT)


if __name__ == "__main__":
    typer.run(main)
