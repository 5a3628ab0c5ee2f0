"""Large arrays of ``.npz`` files: unpacked once, found again, shared, and in memory where that can't be."""

import errno
import multiprocessing
import os
import struct
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.training.command_line import call
from training.data.cache.archives import array_of

FORK = multiprocessing.get_context("fork")
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 12, 12, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes are large, and come in several chunks."""
    monkeypatch.setattr("training.data.cache.archives.LARGE", 10_000)
    monkeypatch.setattr("training.data.cache.archives.CHUNK", 7_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "some.npz", images=IMAGES, small=IMAGES[:2])


def written(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def read(path: Path, name: str = "images") -> Any:
    with np.load(path, allow_pickle=False) as archive:
        return array_of(archive, path, name)


def is_mapped(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


def files_in(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def damage(path: Path, member: int, place: float) -> None:
    """Change bytes in the middle of a member's compressed data."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.infolist()[member]
    content = bytearray(path.read_bytes())
    name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
    start = entry.header_offset + 30 + name + extra + int(place * entry.compress_size)
    for index in range(start, start + 20):
        content[index] ^= 0x5A
    path.write_bytes(content)


def in_memory(path: Path) -> str:
    """What NumPy says of a damaged file."""
    with np.load(path, allow_pickle=False) as archive, pytest.raises(Exception) as caught:  # noqa: PT011
        archive["images"]
    return f"{type(caught.value).__name__}: {caught.value}"


class TestLargeArray:
    def test_is_mapped_from_one_file(self, path: Path, cache: Path) -> None:
        images = read(path)
        assert is_mapped(images)
        assert type(images) is np.ndarray
        np.testing.assert_array_equal(images, IMAGES)
        assert files_in(cache) == [".json", ".npy"]

    def test_is_found_again(self, path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read(path)
        monkeypatch.setattr("training.data.cache.archives.write", lambda *_: pytest.fail("unpacked again"))
        np.testing.assert_array_equal(read(path), IMAGES)

    def test_is_unpacked_by_one_of_several_processes(
        self, path: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log, ready = tmp_path / "log", FORK.Barrier(3)

        def slow(*_: Any) -> None:
            with log.open("a") as file:
                file.write("unpacked\n")
            time.sleep(0.3)

        def start() -> None:
            ready.wait(30)
            np.testing.assert_array_equal(read(path), IMAGES)

        monkeypatch.setattr("training.data.cache.archives.require_space", slow)
        processes = [FORK.Process(target=start) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(30)
            assert process.exitcode == 0
        assert log.read_text() == "unpacked\n"

    def test_of_a_changed_file_is_unpacked_anew(self, path: Path, cache: Path) -> None:
        before = path.stat()
        read(path)
        written(path, images=IMAGES[::-1], small=IMAGES[:2])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as old: the CRC tells
        np.testing.assert_array_equal(read(path), IMAGES[::-1])
        os.utime(path, ns=(1, 1))
        read(path)
        assert len(files_in(cache)) == 6

    @pytest.mark.parametrize("suffix", [".npy", ".json"])
    def test_is_unpacked_anew_where_the_cache_is_damaged(self, path: Path, cache: Path, suffix: str) -> None:
        read(path)
        (kept,) = cache.rglob(f"*{suffix}")
        kept.write_bytes(kept.read_bytes()[:-100])
        np.testing.assert_array_equal(read(path), IMAGES)
        assert is_mapped(read(path))

    def test_without_its_index_is_unpacked_anew(self, path: Path, cache: Path) -> None:
        read(path)
        (index,) = cache.rglob("*.json")
        index.unlink()
        np.testing.assert_array_equal(read(path), IMAGES)
        assert index.is_file()

    def test_of_another_shape_in_the_cache_is_unpacked_anew(self, path: Path, cache: Path) -> None:
        read(path)
        (kept,) = cache.rglob("*.npy")
        np.save(kept, IMAGES[:3])
        np.testing.assert_array_equal(read(path), IMAGES)


class TestInMemory:
    def test_is_a_small_array(self, path: Path, cache: Path) -> None:
        small = read(path, "small")
        assert not is_mapped(small)
        np.testing.assert_array_equal(small, IMAGES[:2])
        assert not cache.exists()

    def test_is_one_in_the_order_of_fortran(self, tmp_path: Path, cache: Path) -> None:
        images = read(written(tmp_path / "some.npz", images=np.asfortranarray(IMAGES)))
        np.testing.assert_array_equal(images, IMAGES)
        assert not is_mapped(images)
        assert not cache.exists()

    def test_is_one_without_space(
        self, path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=IMAGES.nbytes))
        for _ in range(2):
            images = read(path)
            np.testing.assert_array_equal(images, IMAGES)
            assert not is_mapped(images)
        assert files_in(cache) == []
        said = capsys.readouterr().err
        assert said.count("stay in memory") == 1
        assert said.startswith(f"Decoded images can't be kept in {cache} (0.0 GB are needed")

    def test_is_one_where_the_folder_cannot_be_written(
        self, path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cache.write_text("a file")
        np.testing.assert_array_equal(read(path), IMAGES)
        assert f"can't be kept in {cache} (Not a directory)" in capsys.readouterr().err

    def test_is_one_where_the_disk_fills_up_meanwhile(
        self, path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr("training.files.os.fsync", full)
        np.testing.assert_array_equal(read(path), IMAGES)
        assert files_in(cache) == []
        assert "No space left on device" in capsys.readouterr().err


class TestDamage:
    @pytest.mark.parametrize("place", [0.0, 0.3, 0.9])
    def test_has_numpys_words_and_leaves_no_file(self, path: Path, cache: Path, place: float) -> None:
        damage(path, 0, place)
        with pytest.raises(Exception) as caught:  # noqa: PT011
            read(path)
        assert f"{type(caught.value).__name__}: {caught.value}" == in_memory(path)
        assert files_in(cache) == []

    def test_of_a_header_that_promises_more(self, path: Path, cache: Path, tmp_path: Path) -> None:
        longer = tmp_path / "longer.npy"
        np.save(longer, IMAGES)
        content = longer.read_bytes().replace(b"(50, ", b"(99, ")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", content)
        with pytest.raises(ValueError, match="EOF: reading array data"):
            read(path)
        assert not cache.exists()

    def test_of_a_directory_that_promises_more(self, path: Path, cache: Path, tmp_path: Path) -> None:
        """The member ends before the size that the archive states for it, with a CRC that is right."""
        np.save(tmp_path / "whole.npy", IMAGES)
        content = (tmp_path / "whole.npy").read_bytes()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", content[:-4_000])
        changed = bytearray(path.read_bytes())
        struct.pack_into("<I", changed, changed.rindex(b"PK\x01\x02") + 24, len(content))
        path.write_bytes(changed)
        with pytest.raises(ValueError, match="EOF: reading array data") as caught:
            read(path)
        assert f"ValueError: {caught.value}" == in_memory(path)
        assert files_in(cache) == []

    def test_of_objects_is_refused(self, tmp_path: Path, cache: Path) -> None:
        path = written(tmp_path / "some.npz", images=np.array([list(range(9000))] * 3, dtype=object))
        with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
            read(path)
        assert not cache.exists()

    def test_of_a_missing_array(self, path: Path, cache: Path) -> None:
        with pytest.raises(KeyError, match="labels is not a file in the archive"):
            read(path, "labels")


class TestCommands:
    def test_list_and_clear(
        self, path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "300")
        read(path)
        assert call(monkeypatch, "cache", "list") == 0
        lines = capsys.readouterr().out.splitlines()
        (row,) = [line.replace("│", "|") for line in lines if "unpacked images.npy, 50 x 12 x 12 x 3" in line]
        assert [cell.strip() for cell in row.split("|")][2] == "50"
        assert str(path) in row
        assert lines[-1].startswith(f"{cache}: 1 file(s)")
        assert call(monkeypatch, "cache", "clear") == 0
        assert not any(cache.iterdir())
        np.testing.assert_array_equal(read(path), IMAGES)
