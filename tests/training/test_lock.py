"""The lock on a run folder: between real processes, and after a SIGKILL."""

import errno
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.training.killed import die_and_leave_a_child, fit_until_told, processes
from tests.training.tiny_data import medmnist_arrays, tiny_recipe, write_medmnist
from training.errors import TrainingError
from training.fitting.engine import fit
from training.lock import sole_writer
from training.recipe import Recipe

FEW = {"train": (12, 8, 6, 4, 4), "val": (2, 2, 2, 2, 2), "test": (1, 1, 1, 1, 1)}


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return processes()


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    data = write_medmnist(tmp_path / "few.npz", medmnist_arrays(FEW))
    return tiny_recipe(data, epochs=1, batch_size=8, network={"depth": 20, "width": 0.25})


@pytest.fixture
def held(context: ForkServerContext, recipe: Recipe, tmp_path: Path) -> Iterator[tuple[BaseProcess, Any]]:
    """Another process in the middle of a fit, and the event that lets it go on."""
    inside, leave = context.Event(), context.Event()
    process = context.Process(target=fit_until_told, args=(recipe, tmp_path / "run", inside, leave))
    process.start()
    try:
        assert inside.wait(100)
        yield process, leave
    finally:
        process.kill()
        process.join()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_fit_is_refused_and_changes_nothing(
    held: tuple[BaseProcess, Any], recipe: Recipe, tmp_path: Path
) -> None:
    process, leave = held
    before = contents(tmp_path / "run")
    choices: list[dict[str, Any]] = [{"resume": True}, {"overwrite": True}, {}]
    for options in choices:
        with pytest.raises(TrainingError, match=r"run is being written by another process: wait .* --run$"):
            fit(recipe, tmp_path / "run", progress=False, **options)
    assert contents(tmp_path / "run") == before
    leave.set()
    process.join(100)
    assert process.exitcode == 0  # the first did not notice
    assert fit(recipe, tmp_path / "run", resume=True, progress=False).finished()


def test_a_kill_leaves_no_lock(held: tuple[BaseProcess, Any], recipe: Recipe, tmp_path: Path) -> None:
    process, _ = held
    process.kill()
    process.join()
    assert not (tmp_path / "run" / "last.pt").exists()
    assert fit(recipe, tmp_path / "run", resume=True, progress=False).finished()


def test_a_kill_leaves_no_lock_with_the_loaders_processes(context: ForkServerContext, tmp_path: Path) -> None:
    """They may outlive the run by seconds."""
    forked, leave = context.Event(), context.Event()
    process = context.Process(target=die_and_leave_a_child, args=(tmp_path / "run", forked, leave))
    process.start()
    process.join(100)
    try:
        assert forked.is_set()
        assert process.exitcode == -9
        with sole_writer(tmp_path / "run"):
            pass
    finally:
        leave.set()


def test_it_ends_with_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyError), sole_writer(tmp_path):
        raise KeyError
    with sole_writer(tmp_path):
        pass


def test_a_folder_that_can_not_be_made_is_a_sentence(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"file/run can't be written \(Not a directory\): name another with --run"):
        fit(recipe, tmp_path / "file" / "run", resume=True, progress=False)


def test_storage_without_locks_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: FileLock) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match="storage without file locks: start only one"), sole_writer(tmp_path):
        pass
