"""One process at a time changes the file, and one that dies holds nothing back."""

from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from service.workers.shared_file import SharedFile
from tests.service.workers.hammering import hold, hold_once


def test_the_file_is_released_when_its_holder_is_killed(processes: ForkServerContext, tmp_path: Path) -> None:
    path, running = tmp_path / "file", processes.Event()
    holder = processes.Process(target=hold, args=(path, running))
    holder.start()
    assert running.wait(30)
    waiting = processes.Process(target=hold_once, args=(path,))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    holder.kill()
    waiting.join(5)
    assert waiting.exitcode == 0


def test_the_making_of_the_file_may_be_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3))
    file = SharedFile(path, 8)
    file.bytes[7] = 1
    assert path.read_bytes() == bytes(7) + b"\1"


def test_others_see_what_is_written(tmp_path: Path) -> None:
    first, second = SharedFile(tmp_path / "file", 8), SharedFile(tmp_path / "file", 8)
    first.bytes[2] = 9
    assert second.bytes[2] == 9
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    SharedFile(tmp_path / "file", 16)
    with pytest.raises(ValueError, match="another service"):
        SharedFile(tmp_path / "file", 8)
