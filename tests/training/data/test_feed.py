"""Batches that are read ahead: the loader's own, in order, whatever happens on the way."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.card import InputSpec
from training.data.feed import AHEAD, Batch, Feed
from training.data.pipeline import IMAGE, LABEL, OnDemand, cached, loader
from training.datasets import Item
from training.errors import TrainingError

CPU = torch.device("cpu")
SPEC = InputSpec(height=8, width=8, channels=3, crop="none", interpolation="bilinear")


class Counted:
    """Ten batches; says how many were read."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 10

    def __iter__(self) -> Iterator[Batch]:
        for number in range(10):
            self.read += 1
            yield {LABEL: torch.tensor([number])}


def items(count: int) -> list[Item]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [Item(image, index, str(index), str(index)) for index, image in enumerate(pixels)]


@pytest.mark.parametrize("workers", [0, 2])
def test_gives_the_loaders_batches_in_each_epoch(workers: int) -> None:
    images = OnDemand(items(23), SPEC) if workers else cached(items(23), SPEC)
    batches = loader(images, 5, workers=workers)
    feed = Feed(batches, CPU)
    assert len(feed) == len(batches) == 5
    for _ in range(2):
        pairs: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = list(zip(feed, batches, strict=True))
        for fed, own in pairs:
            assert torch.equal(fed[IMAGE], own[IMAGE])
            assert torch.equal(fed[LABEL], own[LABEL])
        assert torch.cat([fed[LABEL] for fed, _ in pairs]).tolist() == list(range(23))


def test_reads_no_further_ahead_than_it_says() -> None:
    source = Counted()
    feed = iter(Feed(source, CPU))
    for taken in range(1, 4):
        assert next(feed)[LABEL].item() == taken - 1
        assert source.read <= taken + AHEAD
    assert len(list(feed)) == 7


def test_its_thread_ends_with_the_epoch_and_when_it_is_left() -> None:
    before = threading.active_count()
    assert len(list(Feed(Counted(), CPU))) == 10
    feed = iter(Feed(Counted(), CPU))
    next(feed)
    assert threading.active_count() == before + 1
    del feed
    assert threading.active_count() == before


def test_an_image_that_cant_be_read_is_a_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    feed = Feed(loader(OnDemand([*items(5), Item(broken, 0, "6", "6")], SPEC), 2), CPU)
    with pytest.raises(TrainingError, match=r"broken\.png can't be read"):
        list(feed)
