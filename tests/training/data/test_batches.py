"""The order of the training images: each once an epoch, another order in each, and the same from any step on."""

from types import SimpleNamespace

import pytest

from training.data.batches import ShuffledBatches


def at(batches: ShuffledBatches, step: int) -> list[list[int]]:
    batches.place(SimpleNamespace(state=SimpleNamespace(iteration=step)))
    return list(batches)


def test_an_epoch_holds_each_image_once_but_for_the_incomplete_batch() -> None:
    batches = at(ShuffledBatches(34, 8, seed=3), 0)
    assert [len(batch) for batch in batches] == [8, 8, 8, 8]
    images = [image for batch in batches for image in batch]
    assert len(set(images)) == 32
    assert set(images) < set(range(34))
    assert images != sorted(images)


def test_order_follows_from_seed_and_epoch() -> None:
    batches = ShuffledBatches(40, 8, seed=3)
    first, second = at(batches, 0), at(batches, 5)
    assert first != second
    assert at(ShuffledBatches(40, 8, seed=3), 5) == second
    assert at(ShuffledBatches(40, 8, seed=4), 0) not in (first, second)


def test_continues_in_the_middle_of_an_epoch() -> None:
    whole = at(ShuffledBatches(40, 8, seed=0), 10)
    assert at(ShuffledBatches(40, 8, seed=0), 13) == whole[3:]


def test_weights_say_how_often_an_image_comes() -> None:
    weights = [1.0, 2.0, 0.5, 0.5, 4.0, 1.0, 1.0] * 10
    order = [image for batch in at(ShuffledBatches(70, 7, seed=1, weights=weights), 10) for image in batch]
    assert len(order) == 70
    for image, weight in enumerate(weights):
        assert abs(order.count(image) - 7 * weight / 10) < 1
    assert order != sorted(order)
    assert order != [image for batch in at(ShuffledBatches(70, 7, seed=1, weights=weights), 20) for image in batch]


def test_equal_weights_change_nothing() -> None:
    assert at(ShuffledBatches(34, 8, seed=3, weights=[2.0] * 34), 4) == at(ShuffledBatches(34, 8, seed=3), 4)


def test_processes_share_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = at(ShuffledBatches(34, 8, seed=0), 4)
    monkeypatch.setattr("training.distributed.world_size", lambda: 2)
    parts = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        parts.append(at(ShuffledBatches(34, 8, seed=0), 4))
    assert [first + second for first, second in zip(*parts, strict=True)] == whole
