"""Any worker tells of all of them, whoever died. Real processes, and Prometheus's own parser."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.observing.metrics import Metrics, ModelLabels, ModelMetrics
from service.records.metrics import RecordMetrics
from service.workers.metrics import Restarts, forget_worker, metrics_folder
from tests.conftest import ImageMaker
from tests.service.workers.counting import Worker, of, parsed

Start = Callable[..., Worker]
LOAD = "model = ModelMetrics(metrics, labels)"
UNLOAD = "metrics.forget(labels, [])"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Worker] = []

    def worker(index: int, *lines: str) -> Worker:
        started.append(Worker(tmp_path, index))
        for line in lines:
            started[-1].do(line)
        return started[-1]

    yield worker
    for each in started:
        if each.process.returncode is None:
            each.kill()


def count(worker: Worker, requests: int, seconds: float) -> None:
    worker.do(f"metrics.requests.labels('eye', 'ok').inc({requests})")
    worker.do(f"model.answered([0] * {requests} + [1])")
    worker.do(f"model.inference_seconds.observe({seconds})")
    worker.do("records.written.inc(2)")


def test_counts_are_sums_and_stay_when_a_worker_is_killed(start: Start, tmp_path: Path) -> None:
    workers = [start(index, LOAD) for index in range(3)]
    for worker, (requests, seconds) in zip(workers, [(3, 0.002), (40, 0.02), (500, 20.0)], strict=True):
        count(worker, requests, seconds)

    def check(worker: Worker, requests: int) -> None:
        series = worker.series()
        assert of(series, "retina_requests_total", model="eye", outcome="ok") == [requests]
        assert of(series, "retina_predictions_total", label="ill") == [requests]
        assert of(series, "retina_predictions_total", label="well") == [3]
        assert of(series, "retina_images_total", version="7") == [requests + 3]
        assert of(series, "retina_records_written_total") == [6]
        name = "retina_inference_duration_seconds"
        buckets = [of(series, f"{name}_bucket", le=le) for le in ("0.001", "0.0025", "0.025", "10.0", "+Inf")]
        assert buckets == [[0], [1], [2], [2], [3]]
        assert of(series, f"{name}_count") == [3]
        assert of(series, f"{name}_sum") == [pytest.approx(20.022)]

    for worker in workers:
        check(worker, 543)
    files = sorted(metrics_folder(tmp_path).iterdir())
    for _ in range(2):  # the seat of a worker that was killed is taken again, and again
        workers[1].kill()
        check(workers[0], 543)
        forget_worker(tmp_path, 1)
        check(workers[2], 543)
        workers[1] = start(1, LOAD)
        check(workers[1], 543)
    workers[1].do("metrics.requests.labels('eye', 'ok').inc(7); model.predictions[0].inc(7); model.images.inc(7)")
    check(workers[0], 550)
    assert sorted(metrics_folder(tmp_path).iterdir()) == files, "restarts leave no files"


def test_gauges_are_of_the_workers_that_live(start: Start, tmp_path: Path) -> None:
    workers = [start(index, LOAD) for index in range(3)]
    for worker, own in zip(workers, (1, 20, 300), strict=True):
        worker.do(f"metrics.in_flight.set({own}); records.queue_length.set({own}); model.queue_length.set({own})")
        worker.do(f"metrics.queue_limit.set({own}); metrics.decode_threads.set({own}); metrics.in_flight_limit.set(64)")
    for worker in workers[1:]:
        worker.do("metrics.ready.set(1)")
    sums = ("retina_in_flight_requests", "retina_records_queue_length", "retina_queue_length", "retina_queue_limit")

    def check(worker: Worker, total: int, count: int, ready: int) -> None:
        series = worker.series()
        assert [of(series, name) for name in (*sums, "retina_decode_threads")] == [[total]] * 5
        assert of(series, "retina_in_flight_requests_limit") == [64]
        assert of(series, "retina_workers") == [count]
        assert of(series, "retina_ready") == [ready]
        assert of(series, "retina_build_info") == of(series, "retina_model_info") == [1]
        assert of(series, "retina_model_plan", setting="threads") == [4]
        assert of(series, "retina_model_plan", setting="batch") == [8]

    check(workers[0], 321, 3, 1)
    workers[1].kill()
    forget_worker(tmp_path, 1)
    check(workers[0], 301, 2, 1)
    workers[2].kill()  # nobody says so, but another takes its seat
    before = time.time()
    start(2, LOAD)
    check(workers[0], 1, 2, 0)
    [loaded] = of(workers[0].series(), "retina_model_loaded_timestamp_seconds")
    assert before <= loaded <= time.time()


def test_a_version_that_nobody_serves_has_no_series(start: Start, tmp_path: Path) -> None:
    workers = [start(index, LOAD) for index in range(3)]
    for worker in workers:
        count(worker, 10, 0.1)

    def of_the_version() -> set[str]:
        return {name for name, labels in workers[0].series() if ("version", "7") in labels}

    everything = of_the_version()
    assert {"retina_images_total", "retina_queue_length", "retina_style_shift_bucket"} <= everything
    for worker in workers[:2]:
        worker.do(UNLOAD)
        assert of_the_version() == everything, "one still serves it"
    workers[2].kill()
    forget_worker(tmp_path, 2)
    assert of_the_version() == set()
    workers[0].do(LOAD)
    assert of_the_version() == everything
    workers[1].do(LOAD)
    workers[1].do("model.images.inc(5)")
    series = workers[1].series()
    assert of(series, "retina_images_total") == [33 + 5]
    assert of(series, "retina_model_info") == [1]


def test_replaced_content_of_a_version_leaves_one_digest(start: Start) -> None:
    workers = [start(index, LOAD) for index in range(2)]
    for worker in workers:
        worker.do("new = labels._replace(digest='sha256:b'); model = ModelMetrics(metrics, new)")
        worker.do("metrics.forget(labels, [new])")
    series = workers[0].series()
    assert of(series, "retina_model_info", digest="sha256:b") == of(series, "retina_model_info") == [1]
    assert of(series, "retina_images_total") == [0]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_each_worker_s_process(start: Start, tmp_path: Path) -> None:
    """Against ``/proc``, read otherwise."""
    workers = [start(index) for index in range(2)]
    workers[1].do("kept = bytearray(b'x' * (100 << 20)); opened = [open('/dev/null') for _ in range(50)]")
    series = workers[0].series()
    for worker in workers:
        folder = Path("/proc", str(worker.process.pid))
        lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        of_it = {"worker": str(worker.index)}
        [memory] = of(series, "process_resident_memory_bytes", **of_it)
        assert memory == pytest.approx(1024 * int(lines["VmRSS"].split()[0]), rel=0.05)
        assert of(series, "process_open_fds", **of_it)[0] == pytest.approx(len(list((folder / "fd").iterdir())), abs=2)
        [since] = of(series, "process_start_time_seconds", **of_it)
        assert 0 <= time.time() - since < 60
        assert 0.1 < of(series, "process_cpu_seconds_total", **of_it)[0] < 30
    assert of(series, "process_open_fds", worker="1")[0] > 50
    workers[1].kill()
    for say in (lambda: None, lambda: forget_worker(tmp_path, 1)):
        say()
        assert len(of(workers[0].series(), "process_resident_memory_bytes")) == 1


def test_restarts_are_counted_by_a_process_without_a_seat(start: Start, tmp_path: Path) -> None:
    restarts = Restarts(tmp_path)
    worker = start(0)
    assert of(worker.series(), "retina_worker_restarts_total") == [0]
    for _ in range(3):
        restarts.count()
    assert of(worker.series(), "retina_worker_restarts_total") == [3]


def test_a_worker_that_is_just_starting_disturbs_nobody(start: Start, tmp_path: Path) -> None:
    worker = start(0, LOAD)
    for folder in (metrics_folder(tmp_path), tmp_path / "statistics"):
        for name in ("counter_1.db", "gauge_livesum_1.db", "1.db"):
            (folder / name).touch()  # made, and not yet written to
    assert of(worker.series(), "retina_images_total") == [0]
    assert worker.do("answer = model.statistics.document('eye', '7')")["inference_count"] == 0


def test_statistics_are_of_all_workers(start: Start, tmp_path: Path) -> None:
    one, other = (start(index, LOAD) for index in range(2))
    one.do("model.statistics.success.add(0.5); model.statistics.executed([0.1, 0.2], 2.0)")
    other.do("model.statistics.success.add(0.25); model.statistics.fail.add(1.0)")
    other.do("model.statistics.executed([0.3, 0.4], 3.0); model.statistics.executed([0.5], 4.0)")
    moment = other.do("answer = model.statistics.last_inference")
    of_all = one.do("answer = model.statistics.document('eye', '7')")
    assert (of_all["inference_count"], of_all["execution_count"]) == (5, 3)
    assert of_all["last_inference"] == round(1000 * moment)
    stages = of_all["inference_stats"]
    assert stages["success"] == {"count": 2, "ns": 750_000_000}
    assert stages["fail"] == {"count": 1, "ns": 1_000_000_000}
    assert stages["queue"] == {"count": 5, "ns": 1_500_000_000}
    assert {b["batch_size"]: b["compute_infer"] for b in of_all["batch_stats"]} == {
        1: {"count": 1, "ns": 4_000_000_000},
        2: {"count": 2, "ns": 5_000_000_000},
    }
    other.kill()
    other = start(1, LOAD)
    for worker in (one, other):
        assert worker.do("answer = model.statistics.document('eye', '7')") == of_all
    for worker in (one, other):  # they are since the model was loaded
        worker.do(UNLOAD)
        worker.do(LOAD)
    other.do("model.statistics.success.add(1.0)")
    again = one.do("answer = model.statistics.document('eye', '7')")
    assert again["inference_stats"]["success"]["count"] == 1
    assert again["inference_count"] == again["last_inference"] == 0
    assert again["batch_stats"] == []


def test_a_service_of_one_worker_tells_what_a_process_alone_tells(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "of-somebody-else"))
    metrics = Metrics()
    RecordMetrics(metrics.registry)
    labels = ModelLabels(
        "eye", "7", "sha256:a", "CPUExecutionProvider", ("ill", "well"), (("threads", 4), ("batch", 8))
    )
    model = ModelMetrics(metrics, labels)
    worker = start(0, LOAD)
    lines = (
        "model.answered([0, 1, 1])",
        "model.shifted(2.5, 'usual')",
        "model.encoded(0.03)",
        "metrics.ready.set(1)",
        "metrics.model_loaded.labels('eye', '7').set(1.0)",
    )
    for line in lines:
        exec(line, {"metrics": metrics, "model": model})
        worker.do(line)

    def own(text: str) -> dict[object, float]:
        return {
            key: value
            for key, value in parsed(text).items()
            if key[0].startswith("retina") and "_created" not in key[0]
        }

    alone, shared = own(metrics.text().decode()), own(worker.do("answer = metrics.text().decode()"))
    assert shared.pop(("retina_workers", frozenset())) == 1
    assert alone == shared
    assert len(alone) > 100
    alone_in_all = parsed(metrics.text().decode())
    assert of(alone_in_all, "process_resident_memory_bytes") != []
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


APPLICATION = """
import json, sys
from pathlib import Path
from fastapi.testclient import TestClient
from service.app import create_app
from service.settings import Settings
from service.workers.seat import Seat

settings = Settings(model_repository=Path(sys.argv[3]), provider="cpu", threads=1, admin_key="k" * 32)
key = {"Authorization": "Bearer " + "k" * 32}
with TestClient(create_app(settings, Seat(int(sys.argv[1]), 2, Path(sys.argv[2])))) as client:
    for line in sys.stdin:
        answer = None
        exec(line)
        print(json.dumps(answer), flush=True)
"""
PREDICT = "answer = client.post('/v1/models/colour/versions/1/predict', content=Path({!r}).read_bytes()).status_code"


def test_over_http(repository: Path, tmp_path: Path, make_image: ImageMaker) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(make_image())
    workers = [Worker(tmp_path, index, APPLICATION, str(repository)) for index in range(2)]
    try:
        for worker, images in zip(workers, (1, 2), strict=True):
            assert [worker.do(PREDICT.format(str(image))) for _ in range(images)] == [200] * images
        for _ in range(2):
            series = parsed(workers[0].do("answer = client.get('/metrics').text"))
            assert of(series, "retina_images_total", model="colour", version="1") == [3]
            assert of(series, "retina_requests_total", model="colour", outcome="ok") == [3]
            stats = workers[0].do("answer = client.get('/v2/models/colour/versions/1/stats').json()")
            assert stats["model_stats"][0]["inference_count"] == 3
            assert stats["model_stats"][0]["inference_stats"]["success"]["count"] == 3
            if workers[1].process.returncode is None:
                workers[1].kill()
        unload = "answer = client.post('/v2/repository/models/colour/unload', headers=key).status_code"
        forget_worker(tmp_path, 1)
        assert workers[0].do(unload) == 200
        series = parsed(workers[0].do("answer = client.get('/metrics').text"))
        assert (
            of(series, "retina_images_total", model="colour") == of(series, "retina_model_info", model="colour") == []
        )
        assert of(series, "retina_model_info", model="grey") == [1]
    finally:
        for worker in workers:
            if worker.process.returncode is None:
                worker.kill()
