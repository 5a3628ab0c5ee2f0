"""A Ray cluster of two nodes: the results are those of one machine, though one of them is killed."""

import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from service.inference.execution import execution_of
from service.offline import choose
from service.scoring import command
from service.scoring.errors import ScoringError
from service.scoring.items import Item, Kind
from service.scoring.listing import Listing
from service.scoring.results import Results
from service.scoring.workers import Workers, workers_of
from service.settings import Settings
from tests.conftest import ImageMaker
from tests.service.clusters import Two, cluster_of_two
from tests.service.scoring.conftest import Runs, listed

TWO = Workers(2, 2)
LIMIT_S = 120


@pytest.fixture(scope="module")
def cluster() -> Iterator[Two]:
    pytest.importorskip("ray")
    with cluster_of_two() as cluster:
        yield cluster


def assert_same(found: Runs, expected: Runs) -> None:
    """Both folders have the same parts with the same rows."""
    assert listed(found.to) == listed(expected.to)
    for path in sorted(expected.to.glob("*.parquet")):
        one, other = pq.read_table(found.to / path.name), pq.read_table(path)
        assert one.schema.equals(other.schema, check_metadata=True)
        for name, values in zip(one.column_names, zip(one.columns, other.columns, strict=True), strict=True):
            if pa.types.is_floating(values[0].type):
                assert values[0].to_pylist() == pytest.approx(values[1].to_pylist(), abs=1e-5), name
            elif name == "gates":
                flat = [value.combine_chunks().flatten().to_pylist() for value in values]
                assert flat[0] == pytest.approx(flat[1], abs=1e-5)
            else:
                assert values[0].equals(values[1]), name


@pytest.fixture
def slow(images: Path, tmp_path: Path) -> Path:
    """A manifest of 240 names, one of them without a file."""
    names = [str(path) for path in sorted(images.rglob("*")) if path.is_file()] * 20
    names[130] = "none.png"
    path = tmp_path / "list.csv"
    path.write_text("file,number\n" + "".join(f"{name},{number}\n" for number, name in enumerate(names)))
    return path


def test_a_killed_node_costs_nothing(cluster: Two, score: Runs, slow: Path) -> None:
    here = Runs(score.settings, score.to.with_name("here"))
    assert here(slow, rows=10) == 1
    killed = threading.Event()

    def kill() -> None:
        end = time.monotonic() + LIMIT_S
        while len(score.parts()) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        cluster.kill_second()
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    assert score(slow, rows=10, workers=TWO) == 1
    thread.join()
    assert killed.is_set()
    assert_same(score, here)
    assert "1 file could not be used" in score.said
    cluster.add_second()


def test_a_part_that_is_gone_is_made_again_and_no_other(cluster: Two, score: Runs, images: Path) -> None:
    assert score(images, rows=3, workers=TWO) == 0
    before = {path.name: path.stat().st_mtime_ns for path in score.parts()}
    (score.to / "part-00002.parquet").unlink()
    assert score(images, rows=3, workers=Workers(1, 1)) == 0
    after = {path.name: path.stat().st_mtime_ns for path in score.parts()}
    assert {name for name in before if before[name] != after[name]} == {"part-00002.parquet"}
    assert len(score.names()) == 12


def test_a_full_disk_and_a_stop_keep_the_finished_parts(
    cluster: Two, score: Runs, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive, received = Results.receive, iter(range(100))

    def third(error: BaseException) -> Any:
        def write(results: Results, name: str, content: bytes | None) -> None:
            if next(received) == 5:  # two files of each part
                raise error
            receive(results, name, content)

        return write

    monkeypatch.setattr(Results, "receive", third(OSError(28, "No space left on device")))
    with pytest.raises(ScoringError, match=r"can't be written \(No space left on device\): finished parts are kept"):
        score(images, rows=2, workers=TWO)
    assert len(score.parts()) == 2
    monkeypatch.setattr(Results, "receive", third(KeyboardInterrupt()))
    received = iter(range(1, 100))
    assert score(images, rows=2, workers=TWO) == command.STOPPED
    assert "Stopped. 4 of 6 parts are finished and kept" in score.said
    monkeypatch.setattr(Results, "receive", receive)
    assert score(images, rows=2, workers=TWO) == 0
    assert len(score.names()) == 12


class Deadly:
    """A source whose third part ends the process that reads it."""

    kind: Kind = "manifest"
    address = "deadly"
    reads = 0

    def __init__(self, image: bytes) -> None:
        self.image = image
        self.listing = Listing.of((f"{index}",) for index in range(4))

    def items(self, start: int, stop: int) -> Iterator[Item]:
        for name, carried in self.listing.rows(start, stop):
            yield Item(name, carried, (lambda: os._exit(1)) if name == "2" else lambda: self.image)


def test_a_part_that_ends_its_workers_ends_the_run(
    cluster: Two, settings: Settings, tmp_path: Path, make_image: ImageMaker
) -> None:
    model, source = choose(settings, execution_of(settings), "colour", "1"), Deadly(make_image())
    results = Results(tmp_path)
    run = command.run_of(model, source, settings, 1, None)
    with results.alone():
        results.begin(run)
        with pytest.raises(
            ScoringError, match="5 workers have died with part 2, which is entries 3 to 3 of the source"
        ):
            command.score(model, source, results, run, settings, Console(file=io.StringIO()), Workers(1, 1))
    assert "part-00002.parquet" not in listed(tmp_path)
    assert "part-00000.parquet" in listed(tmp_path)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("ray", None, None, None), Workers(1, None, 1, 0)),
        (("ray", "4", None, None), Workers(4, 4, 1, 0)),
        (("ray", "1-16", 2.0, 0.5), Workers(1, 16, 2.0, 0.5)),
        (("here", None, None, None), None),
    ],
)
def test_options(options: Any, expected: Workers | None) -> None:
    assert workers_of(*options) == expected


@pytest.mark.parametrize("count", ["0", "4-2", "many", "-1", "1-"])
def test_numbers_of_workers_that_nobody_can_start(count: str) -> None:
    with pytest.raises(ScoringError, match="neither a number, such as 4, nor a range"):
        workers_of("ray", count, None, None)


def test_workers_need_the_engine() -> None:
    with pytest.raises(ScoringError, match="need --engine ray"):
        workers_of("here", None, 2, None)
