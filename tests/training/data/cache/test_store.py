"""Decoded images on disk: each is decoded once, and again when anything changed that decides its pixels."""

import errno
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.card import InputSpec
from tests.training.data.cache.decodings import SPEC, Decodings, expected, held
from training.data.cache.folder import entries
from training.data.cache.store import stored
from training.data.pipeline import IMAGE, LABEL, cached, loader
from training.data.unreadable import Unreadable
from training.datasets import Item

FORK = multiprocessing.get_context("fork")


def files_in(folder: Path) -> set[str]:
    return {path.suffix for path in folder.rglob("*") if path.is_file()}


class TestSecondTime:
    def test_nothing_is_decoded(self, items: list[Item], decodings: Decodings) -> None:
        first = cached(items, SPEC)
        assert decodings.take() == 9
        second = cached(items, SPEC)
        assert decodings.take() == 0
        for images in (first, second):
            np.testing.assert_array_equal(held(images), expected(items))
            (batch,) = loader(images, 9)
            np.testing.assert_array_equal(batch[IMAGE].numpy(), expected(items))
            assert batch[LABEL].tolist() == list(range(9))

    def test_parts_in_another_order_share_what_is_there(self, items: list[Item], decodings: Decodings) -> None:
        cached(items[:4], SPEC)
        cached(items[6:], SPEC)
        decodings.take()
        order = [items[index] for index in (8, 5, 0, 5, 3)]
        images = cached(order, SPEC)
        assert decodings.take() == 1  # image 5, once
        np.testing.assert_array_equal(held(images), expected(order))
        (batch,) = loader(images, 5)
        np.testing.assert_array_equal(batch[IMAGE].numpy(), expected(order))
        assert batch[LABEL].tolist() == [8, 5, 0, 5, 3]

    def test_an_array_is_known_by_its_bytes(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        arrays = [np.full((20, 20, 3), value, np.uint8) for value in range(3)]
        cached([Item(array, 0, "a", "a") for array in arrays], SPEC)
        monkeypatch.setattr("training.data.decoding.fit", lambda *_: pytest.fail("decoded again"))
        again = cached([Item(arrays[value].copy(), 0, "a", "a") for value in (2, 0)], SPEC)
        assert [int(again[index][IMAGE].max()) for index in range(2)] == [2, 0]

    def test_arrays_that_are_the_input_are_not_copied(self, cache: Path) -> None:
        arrays = [np.full((8, 10, 3), value, np.uint8) for value in range(3)]
        spec = SPEC.model_copy(update={"crop": "none"})
        images = cached([Item(array, 0, "a", "a") for array in arrays], spec)
        assert not cache.exists()
        assert all(np.shares_memory(part, array) for part, array in zip(images.parts, arrays, strict=True))
        np.testing.assert_array_equal(held(images), np.stack(arrays).transpose(0, 3, 1, 2))

    def test_rows_of_one_array_are_one_part(self, cache: Path) -> None:
        whole = np.random.default_rng(0).integers(0, 256, (9, 8, 10, 3), dtype=np.uint8)
        spec = SPEC.model_copy(update={"crop": "none"})
        order = [7, 2, 2, 0, 8]
        images = cached([Item(whole[row], 0, "a", "a") for row in order], spec)
        assert len(images.parts) == 1
        assert np.shares_memory(images.parts[0], whole)
        (batch,) = loader(images, 5)
        assert batch[IMAGE].is_contiguous()
        np.testing.assert_array_equal(batch[IMAGE].numpy(), whole[order].transpose(0, 3, 1, 2))

    @pytest.mark.parametrize(
        "arrange",
        [
            lambda whole: whole[1:],
            lambda whole: whole[::2],
            lambda whole: whole.reshape(-1)[7 : 7 + 8 * 240].reshape(8, 8, 10, 3),
            lambda whole: whole.reshape(9, 3, 8, 10).transpose(0, 2, 3, 1),
            lambda whole: whole[:, ::-1],
            lambda whole: whole[:, :, ::-1],
            np.asfortranarray,
            lambda whole: np.concatenate([whole, whole], axis=2)[:, :, 5:15],
            lambda whole: [*whole[:4], *whole[:4].copy(), whole[5].copy()],
            lambda whole: np.frombuffer(whole.tobytes(), np.uint8).reshape(whole.shape),
            lambda whole: np.frombuffer(whole.tobytes(), "<u2").view(np.uint8).reshape(whole.shape),
        ],
    )
    def test_rows_are_the_images_whatever_they_are_views_of(self, cache: Path, arrange: Any) -> None:
        whole = np.random.default_rng(0).integers(0, 256, (9, 8, 10, 3), dtype=np.uint8)
        spec = SPEC.model_copy(update={"crop": "none"})
        arrays = list(arrange(whole))
        images = cached([Item(array, 0, "a", "a") for array in arrays], spec)
        np.testing.assert_array_equal(held(images), np.stack(arrays).transpose(0, 3, 1, 2))
        (batch,) = loader(images, len(arrays))
        np.testing.assert_array_equal(batch[IMAGE].numpy(), np.stack(arrays).transpose(0, 3, 1, 2))


class TestDecodedAnew:
    @pytest.fixture(autouse=True)
    def once(self, items: list[Item], decodings: Decodings) -> None:
        cached(items, SPEC)
        assert decodings.take() == 9

    def test_a_file_with_other_content(self, items: list[Item], decodings: Decodings) -> None:
        changed, other = items[3].image, items[7].image
        assert isinstance(changed, Path)
        assert isinstance(other, Path)
        before = changed.stat()
        changed.write_bytes(other.read_bytes() + b"\0")  # of another size, though as old
        os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
        np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))
        assert decodings.take() == 1

    def test_a_file_that_was_written_later(self, items: list[Item], decodings: Decodings) -> None:
        assert isinstance(items[3].image, Path)
        os.utime(items[3].image, ns=(1, 1))
        cached(items, SPEC)
        assert decodings.take() == 1

    def test_for_another_input(self, items: list[Item], decodings: Decodings) -> None:
        assert held(cached(items, InputSpec(height=9, width=10, channels=1))).shape == (9, 1, 9, 10)
        assert decodings.take() == 9

    def test_after_the_preprocessing_changed(
        self, items: list[Item], decodings: Decodings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("models.preprocessing.VERSION", 2)
        cached(items, SPEC)
        assert decodings.take() == 9

    @pytest.mark.parametrize("decoder", ["pillow", "pydicom"])
    def test_with_another_decoder(
        self, items: list[Item], decodings: Decodings, monkeypatch: pytest.MonkeyPatch, decoder: str
    ) -> None:
        monkeypatch.setattr("training.data.cache.store.version_of", lambda name: "99" if name == decoder else "1")
        cached(items, SPEC)
        assert decodings.take() == 9
        cached(items, SPEC)
        assert decodings.take() == 0

    def test_where_a_file_is_not_what_its_index_says(
        self, items: list[Item], decodings: Decodings, cache: Path
    ) -> None:
        (path,) = cache.rglob("*.npy")
        np.save(path, np.load(path)[:8])
        np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))
        assert decodings.take() == 9

    @pytest.mark.parametrize("suffix", [".npy", ".json"])
    def test_where_the_cache_is_damaged(
        self, items: list[Item], decodings: Decodings, cache: Path, suffix: str
    ) -> None:
        (path,) = cache.rglob(f"*{suffix}")
        path.write_bytes(path.read_bytes()[:-100])
        os.utime(path, ns=(1, 1))
        np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))
        assert decodings.take() == 9


class TestUnreadable:
    def test_is_recorded_with_its_reason(self, items: list[Item], decodings: Decodings, cache: Path) -> None:
        for item in (items[2], items[5]):
            assert isinstance(item.image, Path)
            item.image.write_bytes(b"not an image")
        first: list[Unreadable] = []
        again: list[Unreadable] = []
        cached(items, SPEC, first)
        decodings.take()
        whole = [item for item in items if item not in (items[2], items[5])]
        images = cached(items, SPEC, again)
        assert decodings.take() == 0
        assert [fault.id for fault in again] == [items[2].id, items[5].id]
        assert again == first
        assert all(fault.reason.startswith("This is not an image file") for fault in again)
        np.testing.assert_array_equal(held(images), expected(whole))
        (index,) = cache.rglob("*.json")
        assert list(json.loads(index.read_text())["unreadable"].values()) == [fault.reason for fault in first]

    def test_a_file_that_is_not_there_may_come(self, items: list[Item], decodings: Decodings) -> None:
        path = items[2].image
        assert isinstance(path, Path)
        content = path.read_bytes()
        path.unlink()
        faults: list[Unreadable] = []
        assert len(cached(items, SPEC, faults)) == 8
        assert "No such file" in faults[0].reason
        path.write_bytes(content)
        assert len(cached(items, SPEC)) == 9

    def test_what_the_disk_did_not_give_is_tried_again(self, items: list[Item], decodings: Decodings) -> None:
        def fail() -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        decodings.before = fail
        faults: list[Unreadable] = []
        assert len(cached(items, SPEC, faults)) == 0
        assert len(faults) == 9
        decodings.before = lambda: None
        np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))


class TestProcesses:
    def test_two_at_once_decode_once(self, items: list[Item], decodings: Decodings) -> None:
        decodings.before = lambda: time.sleep(0.05)
        images = [item.image for item in items]
        both = [FORK.Process(target=stored, args=(images, SPEC)) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join(30)
            assert process.exitcode == 0
        assert decodings.take() == 9
        np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))
        assert decodings.take() == 0

    def test_one_that_is_killed_leaves_no_half_cache(
        self, items: list[Item], decodings: Decodings, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("training.data.decoding.usable_cpus", lambda: 1)
        decodings.before = lambda: time.sleep(60 if len(decodings.log.read_text().splitlines()) == 6 else 0)
        process = FORK.Process(target=stored, args=([item.image for item in items], SPEC))
        process.start()
        for _ in range(600):
            if decodings.log.exists() and len(decodings.log.read_text().splitlines()) == 6:
                break
            time.sleep(0.05)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert files_in(cache) == {".lock", ".part"}
        assert list(entries(cache)) == []
        assert decodings.take() == 6
        decodings.before = lambda: None
        np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))
        assert decodings.take() == 9
        assert files_in(cache) == {".lock", ".npy", ".json"}


class TestWithoutDisk:
    def test_images_stay_in_memory_where_there_is_no_space(
        self,
        items: list[Item],
        cache: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=9 * 8 * 10 * 3))  # no byte to spare
        for _ in range(2):
            np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))
        assert files_in(cache) <= {".lock"}
        said = capsys.readouterr().err
        assert said.count("stay in memory") == 1
        assert said.startswith(f"Decoded images can't be kept in {cache} (0.0 GB are needed")

    def test_or_where_the_folder_cannot_be_written(
        self, items: list[Item], cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cache.write_text("a file")
        np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))
        assert f"can't be kept in {cache} (Not a directory)" in capsys.readouterr().err

    def test_or_where_the_disk_fills_up_meanwhile(
        self, items: list[Item], cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("training.data.cache.store.os.fsync", full)
        np.testing.assert_array_equal(held(cached(items, SPEC)), expected(items))
        assert files_in(cache) == {".lock"}
        assert "No space left on device" in capsys.readouterr().err

    def test_an_unreadable_image_is_named_there_too(self, items: list[Item], cache: Path) -> None:
        cache.write_text("a file")
        assert isinstance(items[4].image, Path)
        items[4].image.write_bytes(b"")
        faults: list[Unreadable] = []
        images = cached(items, SPEC, faults)
        assert [fault.id for fault in faults] == [items[4].id]
        np.testing.assert_array_equal(held(images), expected([*items[:4], *items[5:]]))
