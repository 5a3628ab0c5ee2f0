"""Runs that end early: killed at many moments, stopped by Ctrl-C, run twice at once, or begun with something else."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from service.scoring.errors import ScoringError
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.scoring.conftest import Runs, listed

ROWS = 4
MOMENTS = [1, 4, 9, 14, 19, 23, 27, 29, 33, 38, 43]


@pytest.fixture
def source(images: Path) -> Path:
    """The twelve images, and two files that can't be used."""
    (images / "05 damaged.jpg").write_bytes((images / "04.jpg").read_bytes()[:300])
    (images / "zz.jpg").write_bytes(b"")
    return images


def fingerprint(path: Path) -> tuple[bytes, int, int]:
    stat = path.stat()
    return path.read_bytes(), stat.st_ino, stat.st_mtime_ns


def names(path: Path) -> list[str]:
    return list(pq.read_table(path)["name"].to_pylist())


def everything(folder: Path) -> list[str]:
    """The names in all tables of a folder."""
    return sorted(name for path in folder.glob("*.parquet") for name in names(path))


def test_killed_at_many_moments_each_image_is_there_once(repository: Path, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()

    def run(*moments: int) -> list[int]:
        command = [sys.executable, "-m", "tests.service.scoring.killed", repository, source, folder, ROWS, *moments]
        done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, text=True, timeout=120, check=True)
        return [int(line) for line in done.stdout.split()]

    assert run(*MOMENTS) == [-signal.SIGKILL] * len(MOMENTS)
    finished = {moment: sorted((folder / str(moment)).glob("part-*.parquet")) for moment in MOMENTS}
    assert {len(parts) for parts in finished.values()} == {0, 1, 2, 3}, "the moments are all in the same part"
    before = {path: fingerprint(path) for parts in finished.values() for path in parts}
    for moment, parts in finished.items():
        found = [name for path in parts for name in names(path)]
        assert len(found) == len(set(found))
        # A second run, which is not killed.
        runs = Runs(Settings(model_repository=repository, provider="cpu", threads=2), folder / str(moment))
        assert runs(source, version="1") == 1  # two files failed
        assert everything(runs.to) == listed(source)
        assert runs.failed() == {"05 damaged.jpg": "damaged", "zz.jpg": "empty"}
        assert not list(runs.to.glob("*.draft")) + list(runs.to.glob(".*.draft"))
    assert before == {path: fingerprint(path) for path in before}, "a finished part was written again"


@pytest.fixture
def long(tmp_path: Path, make_image: ImageMaker) -> Path:
    """A manifest that takes some seconds."""
    (tmp_path / "a.jpg").write_bytes(make_image("JPEG", 700, 500))
    (tmp_path / "long.csv").write_text("file\n" + "a.jpg\n" * 1200)
    return tmp_path / "long.csv"


def begin(source: Path, to: Path, repository: Path) -> subprocess.Popen[str]:
    """Start the command, and wait until a part is finished."""
    command = [sys.executable, "-m", "service", "score", source, "--to", to, "--model", "colour", "--rows", 100]
    process = subprocess.Popen(
        [*map(str, command), "--repository", str(repository)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(to.glob("part-*.parquet")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stop_drops_the_unfinished_part(score: Runs, long: Path, repository: Path, how: signal.Signals) -> None:
    process = begin(long, score.to, repository)
    with pytest.raises(ScoringError, match="Another run writes to"):
        score(long)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    finished = len(score.parts())
    assert f"Stopped. {finished} of 12 parts are finished and kept; the same command goes on from there." in said
    assert "Traceback" not in said
    assert 0 < finished < 12
    assert sorted(path.name for path in score.to.iterdir()) == sorted(
        [".lock", "run.json", *(path.name for path in score.parts())]
    )


def test_a_real_kill(score: Runs, long: Path, repository: Path) -> None:
    process = begin(long, score.to, repository)
    process.kill()
    process.communicate()
    before = {path: fingerprint(path) for path in score.parts()}
    long.write_text(long.read_text())  # the same list
    assert 0 < len(before) < 12
    assert score(long) == 0
    assert score.table().num_rows == 1200
    assert before == {path: fingerprint(path) for path in before}


def test_a_second_run_does_nothing(score: Runs, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert score(source, rows=ROWS) == 1
    before = {path: fingerprint(path) for path in score.to.iterdir()}

    def read(path: Path) -> bytes:
        raise AssertionError(path)

    monkeypatch.setattr("service.scoring.trees.LocalTree.read", read)
    assert score(source) == 1  # the failures are still there
    assert "4 of 4 parts were finished before" in score.said
    assert before == {path: fingerprint(path) for path in score.to.iterdir()}


def test_a_part_that_was_deleted_is_scored_again(score: Runs, source: Path) -> None:
    assert score(source, rows=ROWS) == 1
    kept = {path: fingerprint(path) for path in score.parts() if path.name != "part-00000.parquet"}
    (source / "05 damaged.jpg").write_bytes((source / "04.jpg").read_bytes())  # repaired
    (score.to / "part-00000.parquet").unlink()
    assert score(source) == 1
    assert everything(score.to) == listed(source)
    assert score.failed() == {"zz.jpg": "empty"}
    assert kept == {path: fingerprint(path) for path in kept}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "grey"}, "results of the model colour, and this run is of the model grey"),
        ({"version": "1"}, "results of version 2 of the model, and this run is of version 1"),
        ({"rows": 5}, "--rows 4, and this run is of --rows 5"),
        ({"frame": 1}, "--frame None, and this run is of --frame 1"),
    ],
)
def test_something_else_in_the_folder(score: Runs, source: Path, change: dict[str, Any], message: str) -> None:
    assert score(source, rows=ROWS) == 1
    before = {path: fingerprint(path) for path in score.to.iterdir()}
    with pytest.raises(ScoringError, match=message):
        score(source, **change)
    assert before == {path: fingerprint(path) for path in score.to.iterdir()}


def test_another_source_settings_or_list(score: Runs, source: Path, tmp_path: Path, make_image: ImageMaker) -> None:
    assert score(source, rows=ROWS) == 1
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.png").write_bytes(make_image("PNG"))
    with pytest.raises(ScoringError, match=rf"results of the source {source}, and this run is of the source"):
        score(tmp_path / "b")
    abstaining = score.settings.model_copy(update={"style_shift": "abstain"})
    with pytest.raises(ScoringError, match="RETINA_STYLE_SHIFT=report, and this run is of RETINA_STYLE_SHIFT=abstain"):
        score(source, settings=abstaining)
    (source / "00.jpg").rename(source / "00 again.jpg")
    with pytest.raises(ScoringError, match="a source with the list"):
        score(source)
    (source / "new.jpg").write_bytes(make_image("JPEG"))
    with pytest.raises(ScoringError, match="14 entries in the source, and this run is of 15"):
        score(source)


def test_a_folder_that_is_not_for_results(score: Runs, source: Path, tmp_path: Path) -> None:
    score.to = tmp_path / "others"
    score.to.mkdir()
    (score.to / "table.parquet").write_bytes(b"")
    with pytest.raises(ScoringError, match=r"holds Parquet files without run\.json"):
        score(source)
    score.to = tmp_path / "file"
    score.to.write_text("")
    with pytest.raises(ScoringError, match="can't be made"):
        score(source)
    score.to = tmp_path / "broken"
    score.to.mkdir()
    (score.to / "run.json").write_text("{}")
    with pytest.raises(ScoringError, match=r"run\.json can't be used"):
        score(source)


def test_a_part_that_is_damaged_is_named(score: Runs, source: Path) -> None:
    assert score(source, rows=ROWS) == 1
    score.parts()[2].write_bytes(b"PAR1")
    with pytest.raises(ScoringError, match=r"part-00002\.parquet can't be read .* delete it"):
        score(source)
