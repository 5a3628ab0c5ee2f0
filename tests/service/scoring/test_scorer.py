"""Bad files, a store that is gone and a full disk; memory; progress; the extra that is missing."""

import gc
import hashlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from models.preprocessing import preprocess
from service.inference import predictor
from service.inference.execution import execution_of
from service.offline import choose
from service.scoring import command
from service.scoring.errors import ScoringError
from service.scoring.items import Item, Kind
from service.scoring.listing import Listing
from service.scoring.progress import Shown, in_words
from service.scoring.results import Results
from service.scoring.scorer import Rows, Scorer
from service.scoring.tables import Scored
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.most import Most
from tests.service.scoring.conftest import Runs


class Made:
    """A source whose images are made when they are read, from their place in it."""

    kind: Kind = "manifest"
    address = "made"
    reads = 0

    def __init__(self, count: int, read: Callable[[int], bytes]) -> None:
        self.listing = Listing.of((f"{index:05}",) for index in range(count))
        self.read = read

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for index, (name, carried) in enumerate(self.listing.rows(start, stop), start):
            yield Item(name, carried, partial(self.read, index))


def score_made(source: Made, settings: Settings, to: Path, rows: int) -> int:
    model = choose(settings, execution_of(settings), "colour", "1")
    results = Results(to)
    run = command.run_of(model, source, settings, rows, None)
    with results.alone():
        results.begin(run)
        return command.score(model, source, results, run, settings, Console(file=io.StringIO()))


def test_bad_files_have_a_table_of_their_own(score: Runs, images: Path, tmp_path: Path) -> None:
    whole = (images / "00.jpg").read_bytes()
    (images / "cut.jpg").write_bytes(whole[:200])
    (images / "scan.gif").write_bytes(b"GIF89a")
    (images / "folder.png").mkdir()
    names = ["images/00.jpg", "images/cut.jpg", "images/none.png", "images/scan.gif", "images/folder.png"]
    (tmp_path / "list.csv").write_text("file,eye\n" + "".join(f"{name},left\n" for name in names))
    assert score(tmp_path / "list.csv") == 1
    assert score.names() == ["images/00.jpg"]
    assert score.failed() == dict(zip(names[1:], ["damaged", "missing", "unrecognised", "missing"], strict=True))
    rows = pq.read_table(score.to / "failed-00000.parquet").to_pylist()
    assert rows[0]["sha256"] == hashlib.sha256(whole[:200]).hexdigest()
    assert rows[1]["sha256"] is None
    assert "send one of JPEG" in rows[2]["sentence"]
    assert [row["source_eye"] for row in rows] == ["left"] * 4
    assert f"4 files could not be used: {score.to}/failed-*.parquet says why." in score.said


def test_an_image_out_of_scope_can_be_refused(score: Runs) -> None:
    from tests.models.preprocessing.dicom_files import bundled

    folder = score.to.with_name("dicom")
    folder.mkdir()
    (folder / "ct").write_bytes(bundled("CT_small.dcm"))
    settings = Settings(provider="cpu", threads=1)
    assert score(folder, settings=settings, model="oct") == 0
    assert score.table()["scope"].to_pylist() == ["out of scope"]
    score.to = score.to.with_name("refused")
    assert score(folder, settings=settings.model_copy(update={"out_of_scope": "refuse"}), model="oct") == 1
    assert score.failed() == {"ct": "out-of-scope"}


def test_a_store_that_is_gone_stops_the_run(settings: Settings, tmp_path: Path, make_image: ImageMaker) -> None:
    image = make_image("PNG")

    def read(index: int) -> bytes:
        if index >= 30:
            raise TimeoutError("no answer")
        return image

    with pytest.raises(ScoringError, match=r"16 entries in a row can't be read.*no answer.*the same command again"):
        score_made(Made(100, read), settings, tmp_path, rows=10)
    assert [path.name for path in sorted(tmp_path.glob("*.parquet"))] == [
        f"part-{part:05}.parquet" for part in range(3)
    ]
    assert score_made(Made(100, lambda _: image), settings, tmp_path, rows=10) == 0
    assert len(list(tmp_path.glob("part-*"))) == 10


def test_what_is_in_flight_after_an_error_is_not_read_to_its_end(
    settings: Settings, tmp_path: Path, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, two, ends, seen = make_image("PNG"), threading.Barrier(2, timeout=20), threading.Event(), list[int]()
    shutdown = ThreadPoolExecutor.shutdown

    def end(executor: ThreadPoolExecutor, **options: Any) -> None:
        ends.set()
        shutdown(executor, **options)

    def read(index: int) -> bytes:
        seen.append(index)
        if len(seen) <= 2:  # each of two threads reads its first
            two.wait()
        if index == 0:
            raise ScoringError("gone")
        assert ends.wait(20)
        return image

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", end)
    source = Made(64, read)
    source.reads = 2
    with pytest.raises(ScoringError, match="gone"):
        score_made(source, settings, tmp_path, rows=64)
    assert len(seen) <= 3, (
        "its own first, that of the other thread, and one of the chunk that the first thread took next"
    )


def test_some_entries_that_cannot_be_read_do_not_stop_it(
    settings: Settings, tmp_path: Path, make_image: ImageMaker
) -> None:
    image = make_image("PNG")

    def read(index: int) -> bytes:
        if index % 4:
            raise TimeoutError("no answer")
        return image

    assert score_made(Made(60, read), settings, tmp_path, rows=60) == 1
    assert pq.read_metadata(tmp_path / "part-00000.parquet").num_rows == 15
    assert set(pq.read_table(tmp_path / "failed-00000.parquet")["reason"].to_pylist()) == {"unreadable"}


def test_a_full_disk_is_one_sentence(
    settings: Settings, tmp_path: Path, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, sync, synced = make_image("PNG"), os.fsync, iter(range(1000))

    def full(handle: int) -> None:
        if next(synced) == 5:  # run.json and one part took two each
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ScoringError, match=r"can't be written \(No space left on device\): finished parts are kept"):
        score_made(Made(100, lambda _: image), settings, tmp_path, rows=10)
    kept = sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".parquet")
    assert kept[0] == "part-00000.parquet"
    assert not list(tmp_path.glob(".*.draft"))


def test_memory_does_not_grow(repository: Path, tmp_path: Path, make_image: ImageMaker) -> None:
    """3,000 files: no more of them are in memory than in flight, and no more rows than are written and wait for it."""
    image = make_image("PNG", 64, 64)
    held = Most()
    rows: list[int] = []

    class Counted(bytes):
        """The content of a file, which knows when it is freed."""

        def __del__(self) -> None:
            held.__exit__()

    def read(_: int) -> bytes:
        held.__enter__()
        return Counted(image)

    write = Scorer.write

    def watched(self: Any, written: Rows) -> None:
        assert all(row.gates.base is None for row in written.scored), "a view keeps the maps of its batch"
        write(self, written)
        rows.append(sum(isinstance(thing, Scored) for thing in gc.get_objects()))

    settings = Settings(model_repository=repository, provider="cpu", threads=2, streams=2, decode_threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scorer, "write", watched)
        assert score_made(Made(3000, read), settings, tmp_path, rows=1000) == 0
    assert held.most <= 8  # of two threads: decoded, read next, and what an image library still names; a batch is 8
    assert len(rows) == 6  # each part has 512 and 488
    assert max(rows) <= 3 * 512 + 4 * 2 * 8  # written, waiting, and collected; depth, threads, batch


def test_far_files_are_read_at_once_and_decoded_by_few(
    repository: Path, tmp_path: Path, make_image: ImageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, together = make_image("PNG"), threading.Barrier(8)
    reading, decoding = Most(), Most()

    def read(index: int) -> bytes:
        with reading:
            if index % 8 == 0:
                together.wait(60)  # until the first of eight batches are read at once
            return image

    def decode(*arguments: Any) -> Any:
        with decoding:
            time.sleep(0.001)  # lets others in
            return preprocess(*arguments)

    monkeypatch.setattr(predictor, "preprocess", decode)
    source = Made(128, read)
    source.reads = 8
    settings = Settings(model_repository=repository, provider="cpu", decode_threads=2)
    assert score_made(source, settings, tmp_path, rows=1000) == 0
    assert reading.most == 8
    assert decoding.most == 2


def test_progress_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("service.scoring.progress.time.perf_counter", lambda: now)
    stream = io.StringIO()
    with Shown(Console(file=stream, width=40), total=10_000, done=2000) as shown:
        now += 5
        shown.add(500, 0)
        assert not stream.getvalue()
        now += 5
        shown.add(500, 3)
    # 1,000 in 10 s, and 7,000 are left
    assert stream.getvalue() == "3,000 of 10,000 (30 %), 100 images/s, about 1 min 10 s left, 3 failed\n"
    assert [in_words(seconds) for seconds in (0.4, 59, 61, 7260)] == ["0 s", "59 s", "1 min 01 s", "2 h 01 min"]


def test_progress_on_a_terminal() -> None:
    stream = io.StringIO()
    with Shown(Console(file=stream, force_terminal=True, width=100), total=100, done=0) as shown:
        shown.add(50, 2)
    assert "50/100" in stream.getvalue()
    assert "2 failed" in stream.getvalue()


@pytest.mark.parametrize(
    ("missing", "extra", "options"),
    [("pyarrow", "score", []), ("fsspec", "score", []), ("ray", "ray", ["--engine=ray"])],
)
def test_without_the_extra_it_is_one_sentence(missing: str, extra: str, options: list[str], tmp_path: Path) -> None:
    argv = ["service", "score", ".", "--to", "x", *options]
    code = f"import sys; sys.modules[{missing!r}] = None; sys.argv = {argv}\nfrom service.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == f"Error: {missing} is not installed: pip install 'retina-srm[{extra}]'"


def test_results_are_on_this_machine(score: Runs, images: Path) -> None:
    with pytest.raises(ScoringError, match="written to a folder of this machine"):
        command.score_source(
            str(images),
            "s3://bucket/results",
            score.settings,
            model="colour",
            version=None,
            rows=None,
            frame=None,
            image_column=None,
            id_column=None,
            stderr=Console(file=io.StringIO()),
        )
